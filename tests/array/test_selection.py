"""`isel`, `sel`, `sizes`, order-explicit names, and functions of the package as methods."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.array._forward import METHODS
from spatial_duck.errors import GeometryError
from spatial_duck.testing import assert_lazy

DATA = np.arange(3 * 4 * 5 * 6).reshape(3, 4, 5, 6)
TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


def _image(data: Any = DATA, **more: Any) -> sd.SpatialArray:
    coords = {
        "channel": ("c", ["DAPI", "GFP", "RFP"]),
        "gain": ("c", [0.1 + 0.2, 2.0, 4.0]),
        "batch": ("c", [7, 8, 7]),
        "day": ("c", np.array(["2020-01-01", "2020-01-05", "2020-01-09"], "M8[D]")),
        "way": ("c", np.eye(3)),
        "name": ((), "M01"),
    }
    return sd.SpatialArray(
        data, dims=("c", "z", "y", "x"), spacing=(2.0, 1.0, 0.5), unit="mm", coords=coords, **more
    )


@pytest.mark.parametrize(
    "chosen, key",
    [
        ({"z": 1}, (slice(None), 1)),
        ({"z": -1, "c": 0}, (0, -1)),
        ({"x": slice(None, None, -2)}, (..., slice(None, None, -2))),
        ({"y": [3, 0]}, (slice(None), slice(None), [3, 0])),
        ({"y": [3, 0], "z": [1, 1, 2]}, np.ix_(range(3), [1, 1, 2], [3, 0], range(6))),
        ({"y": np.array([1, 0, 1, 0, 1], bool), "c": 1}, (1, slice(None), slice(0, None, 2))),
        ({"y": np.int64(2)}, (slice(None), slice(None), 2)),
        ({}, ()),
    ],
)
def test_isel_is_indexing_by_name(chosen: Any, key: Any) -> None:
    image = _image()
    found = image.isel(**chosen)
    assert np.array_equal(found.data, DATA[key])
    assert image.isel(chosen).geometry == found.geometry


def test_isel_is_lazy(backend: Any) -> None:
    image = _image(backend.make(DATA))
    with assert_lazy():
        found = image.isel(z=[2, 0], x=slice(1, 4), c=1)
    assert np.array_equal(backend.to_numpy(found.compute().data), DATA[1][[2, 0], :, 1:4])
    assert found.coords["channel"].item() == "GFP"


@pytest.mark.parametrize(
    "chosen, key",
    [
        ({"channel": "GFP"}, (1,)),
        ({"channel": ["RFP", "DAPI"]}, ([2, 0],)),
        ({"channel": slice("GFP", "RFP")}, (slice(1, 3),)),
        ({"channel": slice(None, "GFP")}, (slice(0, 2),)),
        ({"gain": 0.3}, (0,)),
        ({"gain": slice(1, 4)}, (slice(1, 3),)),
        ({"gain": slice(4, 1)}, (slice(1, 3),)),
        ({"gain": slice(3, None)}, (slice(2, 3),)),
        ({"gain": slice(100, None)}, (slice(0, 0),)),
        ({"batch": 7}, ([0, 2],)),
        ({"batch": 8}, (1,)),
        ({"batch": [8, 7]}, ([1, 0, 2],)),
        ({"day": "2020-01-05"}, (1,)),
        ({"day": slice("2020-01-02", None)}, (slice(1, 3),)),
        ({"z": 4.1}, (slice(None), 2)),
        ({"z": 6.9}, (slice(None), 3)),
        ({"z": [4.1, -0.9]}, (slice(None), [2, 0])),
        ({"x": slice(0.5, 1.5)}, (..., slice(1, 4))),
        ({"x": slice(1.5, 0.5)}, (..., slice(1, 4))),
        ({"x": slice(0.6, 1.4)}, (..., slice(2, 3))),
        ({"x": slice(None, 1.0)}, (..., slice(0, 3))),
        ({"x": slice(1.0, None)}, (..., slice(2, 6))),
        ({"x": slice(None, None, 2)}, (..., slice(0, 6, 2))),
        ({"x": slice(90, None)}, (..., slice(0, 0))),
        ({"channel": "RFP", "z": 2, "x": slice(None, 0)}, (2, 1, slice(None), slice(0, 1))),
    ],
)
def test_sel(chosen: Any, key: Any) -> None:
    image = _image()
    assert np.array_equal(image.sel(**chosen).data, DATA[key])
    mirrored = np.flip(image, (0, 1, 3))
    again = mirrored.sel(**chosen)
    for axis in "zx":
        if axis in again.dims and again.sizes[axis] and not isinstance(chosen.get(axis), list):
            again = np.flip(again, again.dims.index(axis))
    if "c" not in again.dims and chosen.get("x") != slice(None, None, 2):
        assert np.array_equal(again.data, DATA[key])


@pytest.mark.parametrize(
    "chosen, message",
    [
        ({"channel": "CFP"}, "no 'channel' is 'CFP', among .'DAPI'"),
        ({"gain": 0.31}, "no 'gain' is 0.31"),
        ({"gain": "GFP"}, r"'gain' holds numbers, .*; sel\(channel='GFP'\) finds it"),
        ({"name": "M01"}, "one value of the whole image"),
        ({"way": 1}, "holds vectors"),
        ({"c": 1}, r"its axis is plain, use isel\(c=index\)"),
        ({"lamp": 1}, "among the coordinates and world axes"),
        ({"z": 7.1}, "outside the image, which reaches from -1 to 7"),
        ({"channel": "GFP", "gain": 2.0}, "second choice"),
    ],
)
def test_sel_says_what_is_there(chosen: Any, message: str) -> None:
    with pytest.raises(GeometryError, match=message):
        _image().sel(**chosen)


def test_sel_refuses_oblique_axes() -> None:
    image = _image(direction=TURN)
    assert np.array_equal(image.sel(z=2.0).data, DATA[:, 1])
    for name in ("y", "x"):
        with pytest.raises(GeometryError, match=r"oblique.*crop.*sample.*resample"):
            image.sel({name: 0.0})
    with pytest.raises(GeometryError, match="no array axis runs along 'z'"):
        image[:, 1].sel(z=2.0)


def test_sel_takes_the_nearest_of_irregular_times() -> None:
    times = {"t": ("t", [0.0, 1.0, 5.0], {"unit": "s"})}
    image = sd.SpatialArray(np.arange(6).reshape(3, 2), dims=("t", "x"), coords=times)
    assert image.sel(t=4.0).data.tolist() == [4, 5]
    assert image.sel(t=slice(0.5, 9)).data.tolist() == [[2, 3], [4, 5]]


def test_sizes() -> None:
    image = _image()
    assert image.sizes == {"c": 3, "z": 4, "y": 5, "x": 6}
    assert image[:, None].sizes == image.sizes


@pytest.mark.parametrize("field", ["spacing", "origin", "direction", "size"])
def test_keys_say_their_order(field: str) -> None:
    image = sd.SpatialArray(
        np.zeros((2, 3, 4)), spacing=(2.5, 0.75, 0.5), origin=(-10, 5, 3), direction=TURN
    )
    wanted = {
        "spacing": [2.5, 0.75, 0.5], "origin": [-10, 5, 3], "direction": TURN, "size": [2, 3, 4],
    }[field]  # fmt: skip
    zyx, xyz = image[f"{field}_zyx"], image[f"{field}_xyz"]
    assert np.array_equal(zyx, wanted)
    assert np.array_equal(xyz, np.asarray(wanted)[::-1, ::-1] if np.ndim(zyx) == 2 else zyx[::-1])
    assert np.array_equal(image.T[f"{field}_zyx"], wanted)
    assert np.array_equal(getattr(image, f"{field}_zyx"), wanted)
    with pytest.raises(IndexError, match=rf"replace\({field}"):
        image[f"{field}_zyx"] = zyx


def test_fields_of_structured_types_win() -> None:
    plain = sd.SpatialArray(np.zeros(3))
    with pytest.raises(IndexError):
        plain["other"]
    with pytest.raises(GeometryError, match="axes named z, y, x"):
        plain["spacing_zyx"]
    table = np.zeros(3, [("spacing_zyx", "i4")])
    assert sd.SpatialArray(table)["spacing_zyx"].dtype == "i4"


@pytest.mark.slow
def test_methods_are_the_functions() -> None:
    image = sd.SpatialArray(np.arange(24.0).reshape(4, 6), spacing=2.0)
    assert image.resample(spacing=1.0).crop({"x": (0, 4)}).geometry == (
        sd.crop(sd.resample(image, spacing=1.0), {"x": (0, 4)}).geometry
    )
    assert {*METHODS} <= {*dir(image)}
    for name in METHODS:
        assert getattr(image, name).__doc__
        if name not in ("plot", "show", "write"):
            function = getattr(sd, name)
            given = [*inspect.signature(function).parameters][1:]
            assert [*inspect.signature(getattr(image, name)).parameters] == given


def test_write_takes_the_path_first(tmp_path: Any) -> None:
    image = sd.SpatialArray(np.arange(24.0).reshape(4, 6), spacing=2.0)
    image.write(tmp_path / "a.npy")
    assert sd.read(tmp_path / "a.npy").geometry == image.geometry
