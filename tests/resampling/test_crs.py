"""Rasters of different coordinate reference systems are not resampled onto each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryMismatchError

WKT = 'PROJCS["UTM 33N",GEOGCS["WGS 84",AUTHORITY["EPSG","4326"]],AUTHORITY["EPSG","32633"]]'
WKT2 = 'PROJCRS["UTM 33N",BASEGEOGCRS["WGS 84",ID["EPSG",4326]],ID["EPSG",32633]]'


def raster(crs: Any) -> sd.SpatialArray:
    attrs = {} if crs is None else {"crs": crs}
    return sd.SpatialArray(np.ones((8, 8)), spacing=5.0, unit="m", attrs=attrs)


@pytest.mark.parametrize("other", ["EPSG:32632", "epsg:4326", WKT.replace('"32633"', '"32632"')])
@pytest.mark.parametrize("crs", ["EPSG:32633", WKT, WKT2])
def test_different_systems_are_refused(crs: str, other: str) -> None:
    with pytest.raises(GeometryMismatchError, match=r"EPSG:32633, and that .* reproject"):
        sd.resample(raster(crs), to=raster(other))


def test_a_transform_may_lead_from_one_system_to_the_other() -> None:
    image = raster("EPSG:32633").replace(np.arange(64.0).reshape(8, 8))
    shift = sd.Affine([[1, 0, 5], [0, 1, 0], [0, 0, 1]], raster(None).world)
    found = sd.resample(image, to=raster("EPSG:32632"), transform=shift)
    np.testing.assert_array_equal(found.data[:-1], image.data[1:])


@pytest.mark.parametrize("other", ["EPSG:32633", WKT, WKT2, None, "a local grid", 32632])
def test_spellings_of_one_system_and_unknown_ones_are_taken(other: Any) -> None:
    image = raster(WKT)
    assert sd.resample(image, to=raster(other)).attrs["crs"] == WKT
    assert sd.resample(image, to=raster("EPSG:32632").geometry).shape == (8, 8)
