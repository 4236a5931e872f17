"""Values that stand for nothing are named by what takes them like others."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "resample": lambda image: sd.resample(image, spacing=7.0),
    "pyramid": lambda image: sd.pyramid(image, factors=2, levels=2),
    "gaussian_filter": lambda image: sd.ndimage.gaussian_filter(image, 10.0),
    "median_filter": lambda image: sd.ndimage.median_filter(image, radius=10.0),
}


def raster(nodata: float | None) -> sd.SpatialArray:
    attrs = {} if nodata is None else {"nodata": nodata}
    return sd.SpatialArray(np.ones((8, 8)), spacing=5.0, unit="m", attrs=attrs)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_data_are_named(name: str) -> None:
    with pytest.warns(UserWarning, match=r"-9999.*attrs\['nodata'\]"):
        FUNCTIONS[name](raster(-9999.0))


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("nodata", [None, np.nan])
def test_nothing_is_said_without(name: str, nodata: float | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FUNCTIONS[name](raster(nodata))


def test_what_makes_no_new_values_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sd.resample(raster(-9999.0), spacing=7.0, interpolation="nearest")
        sd.pyramid(raster(-9999.0), factors=2, levels=2, method="nearest")
