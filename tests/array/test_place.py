"""Promise 2: voxels keep their place, through any chain of operations, on every backend.

An image is filled with its own voxel numbers; after the chain, each number that is left must lie
where it lay at first, to 1e-9 of a voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from spatial_duck import Geometry, SpatialArray
from spatial_duck.testing import (
    NO_VOXEL,
    assert_lazy,
    assert_same_place,
    place_of,
    voxel_numbers,
)
from spatial_duck.testing._oracles import displacement
from spatial_duck.testing._strategies import OPERATIONS, chains, geometries, operations
from tests.effort import examples

BACKENDS = ["numpy", "dask", "zarr2", "zarr3"]
MODEST = settings(max_examples=examples(60), suppress_health_check=list(HealthCheck), deadline=None)
LONG = settings(MODEST, max_examples=2000)


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // 2 + 1 for n in shape)  # they divide next to no shape


def _array(backend: str, numbers: np.ndarray) -> tuple[Any, list[Any]]:
    """Return the backend's array of voxel numbers, and the stores that note what is read."""
    if backend == "numpy":
        return numbers, []
    if backend == "dask":
        da = pytest.importorskip("dask.array", reason="needs dask")
        return da.from_array(numbers, chunks=_chunks(numbers.shape)), []
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(
        store,
        shape=numbers.shape,
        chunks=_chunks(numbers.shape),
        dtype=numbers.dtype,
        fill_value=-2,  # a chunk that is not found does not pass for voxel 0
        zarr_format=int(backend[-1]),
        config={"write_empty_chunks": True},
    )
    array[...] = numbers
    return array, [store]


def check_chain(backend: str, data: st.DataObject) -> None:
    geometry = data.draw(geometries())
    chain = data.draw(chains(geometry.shape))
    array, stores = _array(backend, voxel_numbers(geometry.shape))
    image = SpatialArray(array, geometry)
    with assert_lazy(*stores):
        result = image
        for operation in chain:
            result = operation(result)
            note(f"{operation}: {getattr(result, 'geometry', result)!r}")
        assert isinstance(result, SpatialArray)
        assert not result.geometry.lost
        assert result.shape == result.geometry.shape
        assert result.world == image.world
    numbers = voxel_numbers(geometry.shape)
    for operation in chain:
        numbers = operation(numbers)
    np.testing.assert_array_equal(np.asarray(result), numbers)
    distance, report = displacement(place_of(image), image.shape, place_of(result), numbers)
    event("voxels are left" if (numbers != NO_VOXEL).any() else "no voxel is left")
    assert distance <= 1e-9, report


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
@MODEST
@given(st.data())
def test_chains_keep_every_voxel_in_its_place(backend, data):
    check_chain(backend, data)


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
@LONG
@given(st.data())
def test_two_thousand_chains(backend, data):
    check_chain(backend, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATIONS)
@settings(MODEST, max_examples=examples(25))
@given(st.data())
def test_each_operation_alone(name, data):
    """So that none hides behind the others, and a failure names it."""
    ndim = data.draw(st.integers(max(OPERATIONS[name][1], 1), 4))
    geometry = data.draw(geometries(ndim, min_side=1))
    image = SpatialArray(voxel_numbers(geometry.shape), geometry)
    others = [n for n in OPERATIONS if n != name]
    result = data.draw(operations(image.shape, without=others))(image)
    if isinstance(result, SpatialArray):
        assert_same_place(result, image)
    else:
        assert np.ndim(result) == 0


def test_the_oracle_sees_what_it_should():
    """A test that cannot fail is a defect: wrong places are found."""
    image = SpatialArray(voxel_numbers((4, 5)), Geometry((4, 5), (2, 0.5), (1, 2)))
    assert_same_place(image[1:, ::-2], image)
    stale = SpatialArray(image.data[1:, ::-2], image.geometry[:3, :3])
    with pytest.raises(AssertionError, match=r"moved by .* voxel 9 was at"):
        assert_same_place(stale, image)
    nudged = image.replace(origin=(1 + 1e-6, 2))
    with pytest.raises(AssertionError, match="moved by"):
        assert_same_place(nudged, image)
    with pytest.raises(AssertionError, match="computed"), assert_lazy():
        pytest.importorskip("dask.array", reason="needs dask").ones(3).compute()


def test_the_oracle_notes_what_is_read():
    array, stores = _array("zarr3", voxel_numbers((4, 5)))
    with pytest.raises(AssertionError, match="chunks were read"), assert_lazy(*stores):
        array[:1]
