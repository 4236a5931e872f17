"""Promise 7: pickle, copy, deepcopy, threads and processes keep everything."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from spatial_duck import Geometry, SpatialArray, config
from spatial_duck.testing import DeviceArray, assert_no_host_copy, voxel_numbers
from spatial_duck.testing._strategies import geometries, images

GEOMETRY = Geometry((3, 4, 5), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")
VALUES = voxel_numbers(GEOMETRY.shape).astype(float)
COPIES = {
    **{f"pickle {n}": (lambda x, n=n: pickle.loads(pickle.dumps(x, n))) for n in range(2, 6)},
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "method": lambda x: x.copy(),
}


def assert_same(again: Any, image: SpatialArray) -> None:
    assert type(again) is type(image)
    assert again.geometry == image.geometry
    assert hash(again.geometry) == hash(image.geometry)
    assert again.attrs == image.attrs
    assert type(again.data) is type(image.data)
    assert again.dtype == image.dtype
    np.testing.assert_array_equal(np.asarray(again), np.asarray(image))


@pytest.mark.slow
@pytest.mark.parametrize("how", COPIES)
@settings(max_examples=25)
@given(image=images())
def test_any_image(how, image):
    image.attrs["who"] = "me"
    assert_same(COPIES[how](image), image)


@pytest.mark.parametrize("how", COPIES)
def test_lost_and_unnamed_axes(how):
    image = SpatialArray(VALUES, GEOMETRY)
    for moved in (image[:, [0, 0, 3]], image[None], np.lib.stride_tricks.sliding_window_view(
        image, 2, axis=1
    ), image.reshape(12, 5)):  # fmt: skip
        again = COPIES[how](moved)
        assert again.geometry == moved.geometry
        assert again.geometry.lost == moved.geometry.lost


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("backend", ["dask"], indirect=True)
def test_lazy_images(how, backend):
    image = SpatialArray(backend.make(VALUES), GEOMETRY, attrs={"a": [1]})[::-1]
    assert_same(COPIES[how](image), image)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_views_of_zarr_on_disk(zarr_format, tmp_path):
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = zarr.create_array(
        tmp_path / "image.zarr", shape=VALUES.shape, chunks=(2, 2, 2), dtype=VALUES.dtype,
        zarr_format=zarr_format,
    )  # fmt: skip
    array[...] = VALUES
    image = SpatialArray(array, GEOMETRY)[::-1, 1:].T
    assert_same(pickle.loads(pickle.dumps(image)), image)
    assert_same(copy.copy(image), image)


def test_a_copy_is_independent_and_a_shallow_one_shares_what_numpy_shares():
    image = SpatialArray(VALUES.copy(), GEOMETRY, attrs={"list": [1]})
    deep, method = copy.deepcopy(image), image.copy()
    shallow = copy.copy(image)
    deep[0, 0, 0] = method[0, 0, 0] = shallow[0, 0, 0] = -1
    assert image.data[0, 0, 0] == 0
    deep.attrs["list"].append(2)
    shallow.attrs["other"] = 1
    assert image.attrs == {"list": [1]}


def test_out_of_band_buffers_are_not_copied():
    image = SpatialArray(VALUES.copy(), GEOMETRY)
    buffers: list[pickle.PickleBuffer] = []
    text = pickle.dumps(image, 5, buffer_callback=buffers.append)
    assert len(text) < 2000
    assert len(buffers) == 1
    again = pickle.loads(text, buffers=buffers)
    assert np.shares_memory(again.data, image.data)
    assert again.geometry == image.geometry


def test_device_arrays_are_copied_on_the_device():
    image = SpatialArray(DeviceArray(VALUES), GEOMETRY)
    with assert_no_host_copy():
        for again in (copy.copy(image), copy.deepcopy(image), image.copy()):
            assert isinstance(again.data, DeviceArray)
            assert again.geometry == GEOMETRY


@settings(max_examples=20)
@given(geometries())
def test_geometries_are_one_key_of_a_dictionary(g):
    assert {g: 1}[pickle.loads(pickle.dumps(g))] == 1


def work(image: SpatialArray) -> tuple[SpatialArray, float]:
    with config(tolerance=0.25) as settings_:
        return np.flip(image + image, 1)[1:], settings_.tolerance


def test_threads_see_the_same_image_and_their_own_settings():
    image = SpatialArray(VALUES, GEOMETRY)
    moved = image[::-1].T  # its geometry is worked out when first asked for
    expected = GEOMETRY[::-1].transpose()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: moved.geometry, range(64)))
        assert all(g == expected for g in found)
        for result, tolerance in pool.map(work, [image] * 32):
            assert result.geometry == GEOMETRY.flip(1)[1:]
            assert tolerance == 0.25


def negated(image: SpatialArray) -> SpatialArray:
    return -image[::-1]


def test_processes_give_images_back():
    """Spawned, as on Windows and macOS: nothing is inherited, all goes through pickles."""
    image = SpatialArray(VALUES, GEOMETRY, attrs={"series": 1})
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        (again,) = pool.map(np.negative, [image])
    assert_same(again, -image)
