"""Coordinates of images and of xarray, both ways."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

xr = pytest.importorskip("xarray", reason="needs xarray")


def _image(data: Any = None) -> sd.SpatialArray:
    coords = {
        "channel": ("c", ["DAPI", "GFP"]),
        "gain": ("c", [1.0, 2.0], {"unit": "dB", "mode": "auto"}),
        "way": ("c", [[1.0, 0, 0], [0, 1, 0]]),
        "day": ("c", np.array(["2020-01-01", "2020-01-02"], "M8[ns]")),
        "specimen": "M01",
    }
    data = np.arange(2 * 3 * 4.0).reshape(2, 3, 4) if data is None else data
    return sd.SpatialArray(data, dims=("c", "y", "x"), spacing=(2, 0.5), coords=coords)


@pytest.mark.parametrize("wrap", [True, False])
def test_there_and_back(wrap: bool) -> None:
    image = _image()
    array = sd.to_xarray(image, wrap=wrap)
    assert array.coords["channel"].dims == ("c",)
    assert array.coords["channel"].values.tolist() == ["DAPI", "GFP"]
    assert array.coords["gain"].attrs["units"] == "dB"
    assert array.coords["specimen"].item() == "M01"
    back = sd.from_xarray(array)
    assert dict(back.coords) == dict(image.coords)
    assert back.geometry.isclose(image.geometry)


@pytest.mark.parametrize("wrap", [True, False])
def test_through_operations_of_xarray(wrap: bool) -> None:
    image = _image()
    array = sd.to_xarray(image, wrap=wrap)
    for there, here in (
        (array.isel(c=slice(None, None, -1)), image[::-1]),
        (array.isel(c=1), image[1]),
        (array.transpose("x", "c", "y"), image.transpose(2, 0, 1)),
        (array.isel(c=[1, 1, 0]), image[[1, 1, 0]]),
        (array + 1, image + 1),
    ):
        assert dict(sd.from_xarray(there).coords) == dict(here.coords)


def test_coordinates_given_in_xarray_come_along() -> None:
    array = xr.DataArray(
        np.zeros((3, 4)),
        {"lamp": ("t", ["a", "b", "c"]), "t": [0.0, 1.0, 5.0], "run": 7, "x": [0, 2, 4, 6]},
        ("t", "x"),
    )
    image = sd.from_xarray(array)
    assert image.geometry.sampled_axes == (1,)
    assert image.spacing.tolist() == [2]
    assert list(image.coords["t"]) == [0, 1, 5]
    assert list(image.coords["lamp"]) == ["a", "b", "c"]
    assert image.coords["run"].item() == 7
    even = sd.from_xarray(array.assign_coords(t=[0.0, 2.0, 4.0]))
    assert even.spacing.tolist() == [2, 2]
    assert "t" not in even.coords
    dates = array.assign_coords(t=np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "M8[ns]"))
    assert sd.from_xarray(dates).coords["t"].dtype.kind == "M"


def test_changes_made_in_xarray_win() -> None:
    array = sd.to_xarray(_image()).assign_coords(channel=("c", ["one", "two"]))
    assert list(sd.from_xarray(array).coords["channel"]) == ["one", "two"]
