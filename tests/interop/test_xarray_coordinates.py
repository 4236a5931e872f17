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


def test_axes_under_other_names_are_sampled_where_they_are_named() -> None:
    array = xr.DataArray(
        np.arange(24.0).reshape(2, 3, 4), dims=("band", "lat", "lon"),
        coords={"lat": ("lat", [50.0, 49.5, 49], {"units": "degree"}), "lon": [1.0, 3, 5, 7],
                "band": ["red", "green"]},
    )  # fmt: skip
    plain = sd.from_xarray(array)
    assert plain.geometry.sampled_axes == ()
    image = sd.from_xarray(array, sampled=("lat", "lon"))
    assert image.world.axes == ("lat", "lon")
    assert image.unit == ("degree", None)
    for k, lat in enumerate([50.0, 49.5, 49]):
        assert image.index_to_physical((0, k, 2)).tolist() == [lat, 5]
    assert list(image.coords["band"]) == ["red", "green"]
    renamed = sd.from_xarray(array.rename(lat="y", lon="x"))
    assert np.array_equal(renamed.spacing, image.spacing)
    with pytest.raises(sd.GeometryError, match="even"):
        sd.from_xarray(array.isel(lat=[0, 1, 1]), sampled=("lat",))


@pytest.mark.parametrize("sampled", [("lat", "q"), "lat"])
def test_sampled_names_axes(sampled: Any) -> None:
    array = xr.DataArray(np.zeros((3, 4)), dims=("lat", "lon"))
    with pytest.raises(sd.GeometryError, match=r"sampled must hold names of \('lat', 'lon'\)"):
        sd.from_xarray(array, sampled=sampled)


@pytest.mark.parametrize("how", [{}, {"wrap": False}, {"index": True}])
def test_an_array_that_says_where_it_lies_is_not_told(how: dict[str, bool]) -> None:
    array = sd.to_xarray(_image(), **how)
    with pytest.raises(sd.GeometryError, match="leave sampled= out"):
        sd.from_xarray(array, sampled=("y",))
