"""Promise 8: in place is in place, under the same rules; on error nothing is half-written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck import Geometry, GeometryMismatchError, SpatialArray
from spatial_duck.testing import DeviceArray, assert_no_host_copy, voxel_numbers
from spatial_duck.testing._strategies import keys

GEOMETRY = Geometry((5, 4, 6), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")
VALUES = voxel_numbers(GEOMETRY.shape).astype(float)


def on_disk(path: Any, zarr_format: int) -> Any:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = zarr.create_array(
        path, shape=VALUES.shape, chunks=(2, 3, 4), dtype=VALUES.dtype, zarr_format=zarr_format
    )
    array[...] = VALUES
    return array


@pytest.fixture(params=["numpy", "zarr2", "zarr3"])
def writable(request, tmp_path):
    """An image, and how to read its backing array anew: from the disk where it lies there."""
    if request.param == "numpy":
        backing = VALUES.copy()
        return SpatialArray(backing, GEOMETRY), lambda: backing
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "image.zarr"
    array = on_disk(path, int(request.param[-1]))
    return SpatialArray(array, GEOMETRY), lambda: zarr.open_array(path, mode="r")[...]


def plus_one(x):
    x += 1
    return x


def minus_itself(x):
    x -= x[:1]
    return x


WRITES = {
    "all": lambda x: x.__setitem__(..., 7),
    "part": lambda x: x.__setitem__((slice(1, None), ..., slice(None, None, -2)), 7),
    "point": lambda x: x.__setitem__((1, 2, 3), -1),
    "array": lambda x: x.__setitem__(2, np.arange(24).reshape(4, 6)),
    "broadcast": lambda x: x.__setitem__((slice(None), 1), np.arange(6)),
    "mask": lambda x: x.__setitem__(np.arange(5) > 2, 0),
    "+=": plus_one,
    "-= of itself": minus_itself,
}


@pytest.mark.parametrize("write", WRITES)
def test_writes_reach_the_backing_array(writable, write):
    image, backing = writable
    expected = VALUES.copy()
    WRITES[write](expected)
    result = WRITES[write](image)
    assert result is None or result is image
    np.testing.assert_array_equal(backing(), expected)
    assert image.geometry == GEOMETRY


@pytest.mark.slow
@settings(max_examples=60, suppress_health_check=[], deadline=None)
@given(st.data())
def test_views_alias_as_numpys_do(data):
    """Through any basic key, flip and transpose: what is written lands on those voxels alone."""
    image, expected = SpatialArray(VALUES.copy(), GEOMETRY), VALUES.copy()
    axes = data.draw(st.permutations(range(3)))
    one, other = np.flip(image, 1).transpose(axes), np.flip(expected, 1).transpose(axes)
    key = data.draw(keys(other.shape))
    if np.ndim(other[key]):
        one[key][...] = -5
        other[key][...] = -5
    else:
        one[key] = other[key] = -5
    np.testing.assert_array_equal(image.data, expected)


def test_writes_through_a_view_reach_the_disk(tmp_path):
    array = on_disk(tmp_path / "image.zarr", 3)
    view = SpatialArray(array, GEOMETRY)[::-1, 1:3].transpose(2, 0, 1)
    view[1] = 5
    view += 1
    expected = VALUES.copy()
    expected[::-1, 1:3].transpose(2, 0, 1)[1] = 5
    expected[::-1, 1:3] += 1
    np.testing.assert_array_equal(array[...], expected)


def test_an_image_is_written_where_it_lies():
    image = SpatialArray(VALUES.copy(), GEOMETRY)
    part = SpatialArray(np.full((2, 4, 6), -1.0), GEOMETRY[1:3])
    image[1:3] = part
    assert (image.data[1:3] == -1).all()
    with pytest.raises(GeometryMismatchError, match="assignment"):
        image[0:2] = part
    with pytest.raises(GeometryMismatchError, match="in-place"):
        image[0:2] += part
    image[0:2] = part.data  # bare arrays go anywhere


# --- out= ---------------------------------------------------------------------------------

OUT = {
    "ufunc": lambda x, out: np.add(x, 1, out=out),
    "tuple": lambda x, out: np.add(x, 1, out=(out,)),
    "where": lambda x, out: np.add(x, 1, out=out, where=np.arange(6) > 2),
    "clip": lambda x, out: np.clip(x, 3, 9, out=out),
    "copyto": lambda x, out: np.copyto(out, x + 1),
    "concatenate": lambda x, out: np.concatenate([x[:2], x[2:]], out=out),
    "cumsum": lambda x, out: np.cumsum(x, axis=1, out=out),
    "accumulate": lambda x, out: np.add.accumulate(x, axis=1, out=out),
    "round": lambda x, out: np.round(x / 3, 1, out=out),
}


@pytest.mark.parametrize("how", OUT)
def test_out_is_written_and_returned(how):
    expected = np.zeros_like(VALUES)
    OUT[how](VALUES, expected)
    for out in (SpatialArray(np.zeros_like(VALUES), GEOMETRY), np.zeros_like(VALUES)):
        result = OUT[how](SpatialArray(VALUES, GEOMETRY), out)
        assert result is None or result is out
        np.testing.assert_array_equal(np.asarray(out), expected)


@pytest.mark.parametrize("how", OUT)
def test_out_on_another_grid_is_refused_and_untouched(how):
    out = SpatialArray(np.zeros_like(VALUES), GEOMETRY.replace(origin=(10, 20, 31)))
    with pytest.raises(GeometryMismatchError):
        OUT[how](SpatialArray(VALUES, GEOMETRY), out)
    assert not out.data.any()


def test_out_of_a_reduction_lies_at_the_centre():
    x = SpatialArray(VALUES, GEOMETRY)
    out = SpatialArray(np.zeros((4, 6)), GEOMETRY.reduce(0))
    assert np.sum(x, axis=0, out=out) is out
    np.testing.assert_array_equal(out.data, VALUES.sum(0))
    wrong = SpatialArray(np.zeros((4, 6)), GEOMETRY[0])
    with pytest.raises(GeometryMismatchError):
        np.sum(x, axis=0, out=wrong)
    assert not wrong.data.any()


# --- errors -------------------------------------------------------------------------------

WRONG = {
    "shape": lambda x: x.__setitem__(slice(1, 3), np.zeros((3, 4, 6))),
    "value": lambda x: x.__setitem__(slice(None), "abc"),
    "index": lambda x: x.__setitem__(9, 0),
    "too many": lambda x: x.__setitem__((0, 0, 0, 0), 0),
    "mask": lambda x: x.__setitem__(np.ones(4, bool), 0),
    "in place, wider": lambda x: x.__iadd__(np.zeros((2, 5, 4, 6))),
    "in place, shape": lambda x: x.__iadd__(np.zeros((5, 4, 7))),
    "other grid": lambda x: x.__iadd__(
        SpatialArray(VALUES, GEOMETRY.replace(spacing=(2, 0.5, 1.5)))
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_on_error_nothing_is_written(writable, wrong):
    image, backing = writable
    with pytest.raises((ValueError, IndexError, TypeError)):
        WRONG[wrong](image)
    np.testing.assert_array_equal(backing(), VALUES)
    assert image.geometry == GEOMETRY


def test_integers_are_not_added_to_by_fractions():
    image = SpatialArray(VALUES.astype(int), GEOMETRY)
    with pytest.raises(TypeError, match="casting"):
        image += 0.5
    np.testing.assert_array_equal(image.data, VALUES)


def test_read_only_stays_read_only(tmp_path):
    frozen = VALUES.copy()
    frozen.setflags(write=False)
    image = SpatialArray(frozen, GEOMETRY)
    for view in (image, image[1:], np.flip(image), image.T):
        with pytest.raises(ValueError, match=r"read.only"):
            view[...] = 0
        with pytest.raises(ValueError, match=r"read.only"):
            view += 1
    with pytest.raises(ValueError, match=r"read.only"):
        np.broadcast_to(SpatialArray(VALUES.copy(), GEOMETRY), (2, 5, 4, 6))[...] = 0
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    on_disk(tmp_path / "image.zarr", 3)
    image = SpatialArray(zarr.open_array(tmp_path / "image.zarr", mode="r"), GEOMETRY)
    with pytest.raises((ValueError, PermissionError), match=r"read.only"):
        image[...] = 0
    np.testing.assert_array_equal(image.compute().data, VALUES)


def test_dask_images_do_not_change_those_that_share_their_array():
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = SpatialArray(da.from_array(VALUES, chunks=3), GEOMETRY)
    same = image
    image += 1
    np.testing.assert_array_equal(np.asarray(same), VALUES)
    np.testing.assert_array_equal(np.asarray(image), VALUES + 1)


def test_on_the_device_writes_stay_there():
    data = DeviceArray(VALUES)
    image = SpatialArray(data, GEOMETRY)
    with assert_no_host_copy():
        image[1:] += 1
        image[0] = 0
    expected = VALUES.copy()
    expected[1:] += 1
    expected[0] = 0
    np.testing.assert_array_equal(data.get(), expected)
