"""Promise 5: nothing computes, reads or copies to the host unless the user asks."""

from __future__ import annotations

import sys
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck import Geometry, SpatialArray
from spatial_duck.testing import (
    DeviceArray,
    assert_lazy,
    assert_no_host_copy,
    assert_same_place,
    voxel_numbers,
)
from spatial_duck.testing._strategies import chains, geometries, keys
from tests.effort import examples

GEOMETRY = Geometry((7, 8, 9), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")
CHUNKS = (3, 4, 2)


def stored(zarr_format: int = 3) -> tuple[SpatialArray, Any]:
    """Return an image in a store that notes what is read, and the store."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(
        store, shape=GEOMETRY.shape, chunks=CHUNKS, dtype="i4", zarr_format=zarr_format,
        chunk_key_encoding={"name": "v2", "separator": "/"} if zarr_format == 2 else None,
        config={"write_empty_chunks": True},
    )  # fmt: skip
    array[...] = voxel_numbers(GEOMETRY.shape)
    return SpatialArray(array, GEOMETRY), store


LAZY = {
    "slice": lambda x: x[1:-1, ::-2, 3],
    "flip": np.flip,
    "transpose": np.transpose,
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "arithmetic": lambda x: (x + 1) * 2 - x,
    "comparison": lambda x: x > 3,
    "reduction": lambda x: x.mean(axis=0),
    "where": lambda x: np.where(x > 3, x, 0),
    "concatenate": lambda x: np.concatenate([x[:2], x[2:]]),
    "pad": lambda x: np.pad(x, 1),
    "stack": lambda x: np.stack([x, x]),
    "geometry": lambda x: (x.bounds, x.affine, x.index_to_physical((1, 2, 3)), x.orientation),
    "attributes": lambda x: (
        x.shape,
        x.dtype,
        x.nbytes,
        getattr(x, "chunks", None),
        x.T,
        x.real,
        x.attrs,
        x.device,
    ),
    "text": lambda x: (repr(x), x._repr_html_()),
    "chunk": lambda x: x.chunk(),
    "assignment of a mask": lambda x: np.clip(x, 3, 9),
    "copy": lambda x: (x.replace(spacing=(1, 1, 1)), x.astype(float)),
    "interface": lambda x: (np.shape(x), np.ndim(x), np.result_type(x, 1.0)),
}


@pytest.mark.parametrize("what", LAZY)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_is_not_read(what, zarr_format):
    image, store = stored(zarr_format)
    with assert_lazy(store):
        LAZY[what](image)


@pytest.mark.parametrize("what", LAZY)
def test_dask_is_not_computed(what):
    da = pytest.importorskip("dask.array", reason="needs dask")
    image = SpatialArray(da.from_array(voxel_numbers(GEOMETRY.shape), chunks=CHUNKS), GEOMETRY)
    with assert_lazy():
        LAZY[what](image)


def test_asking_computes_and_reads():
    """The other side: the tests above would see it."""
    image, store = stored()
    with pytest.raises(AssertionError, match="chunks were read"), assert_lazy(store):
        np.asarray(image)
    with pytest.raises(AssertionError, match="computed"), assert_lazy():
        image.chunk().compute()
    np.testing.assert_array_equal(image.compute().data, voxel_numbers(GEOMETRY.shape))


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(st.data())
def test_a_read_touches_only_the_chunks_that_intersect(data):
    """Against the chunk of each voxel that is selected, one by one."""
    image, store = stored(data.draw(st.sampled_from((2, 3))))
    key = data.draw(keys(GEOMETRY.shape))
    with assert_lazy(store):
        view = image[key]
    before = len(store.chunks_read)
    values = np.asarray(view)
    np.testing.assert_array_equal(values, voxel_numbers(GEOMETRY.shape)[key])
    places = np.unravel_index(values.reshape(-1), GEOMETRY.shape)
    needed = {tuple(int(i) for i in c) for c in zip(
        *[p // n for p, n in zip(places, CHUNKS, strict=True)], strict=True
    )}  # fmt: skip
    read = {
        tuple(int(i) for i in name.removeprefix("c/").replace(".", "/").split("/"))
        for name in store.chunks_read[before:]
    }
    # A step over whole chunks may read those that it jumps over; nothing outside the box.
    box = set()
    if needed:
        box = set(product(*[range(min(c), max(c) + 1) for c in zip(*needed, strict=True)]))
    assert needed <= read <= box if values.size else not read


def test_cost_of_moving_a_view_does_not_grow_with_the_image():
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    store = zarr.storage.MemoryStore()
    huge = zarr.create_array(store, shape=(10**5,) * 3, chunks=(256,) * 3, dtype="u2")
    image = SpatialArray(huge, spacing=0.5)  # 2 PB
    view = np.flip(image[100:-100:3].T, 1)[..., 5]
    assert view.shape == (10**5, 10**5)
    assert view.spacing.tolist() == [0.5, 0.5]
    assert np.asarray(view[:2, :2]).tolist() == [[0, 0], [0, 0]]


def calls_of_a_chain(image: SpatialArray, length: int) -> int:
    """Count the calls of functions that slices one after the other take, and their origin."""
    count = 0

    def note(frame: Any, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(note)
    try:
        for _ in range(length):
            image = image[:, ::-1]
        image.origin  # noqa: B018
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("kind", ["numpy", "zarr"])
def test_cost_of_a_slice_does_not_grow_with_the_chain(kind):
    image = (
        SpatialArray(voxel_numbers(GEOMETRY.shape), GEOMETRY) if kind == "numpy" else stored()[0]
    )
    calls_of_a_chain(image, 1)  # imports
    assert calls_of_a_chain(image, 1_000) <= 10 * calls_of_a_chain(image, 100)


# --- a device -----------------------------------------------------------------------------


def on_device() -> SpatialArray:
    return SpatialArray(DeviceArray(voxel_numbers(GEOMETRY.shape).astype(float)), GEOMETRY)


@pytest.mark.parametrize("what", [w for w in LAZY if w != "chunk"])
def test_nothing_is_copied_from_the_device(what):
    with assert_no_host_copy():
        result = LAZY[what](on_device())
    if isinstance(result, SpatialArray):
        assert isinstance(result.data, DeviceArray)


def test_asarray_of_a_device_array_is_refused():
    image = on_device()
    with assert_no_host_copy(), pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(image)
    with pytest.raises(TypeError):
        image + voxel_numbers(GEOMETRY.shape)
    with pytest.raises(AssertionError, match="1 times"), assert_no_host_copy():
        image.data.get()
    brought = image.to("numpy")
    assert isinstance(brought.data, np.ndarray)
    assert brought.geometry == GEOMETRY


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(geometries(), st.data())
def test_chains_stay_on_the_device(g, data):
    image = SpatialArray(DeviceArray(voxel_numbers(g.shape)), g)
    result = image
    with assert_no_host_copy():
        for operation in data.draw(chains(g.shape)):
            result = operation(result)
    assert isinstance(result.data, DeviceArray)
    assert_same_place(result.to("numpy"), image)


@pytest.mark.gpu
@pytest.mark.parametrize("what", [w for w in LAZY if w != "chunk"])
def test_cupy_stays_on_the_gpu(what):
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    image = SpatialArray(cupy.asarray(voxel_numbers(GEOMETRY.shape).astype(float)), GEOMETRY)
    result = LAZY[what](image)
    if isinstance(result, SpatialArray):
        assert isinstance(result.data, cupy.ndarray)
    with pytest.raises(TypeError):
        np.asarray(image)
