"""What waits in memory while blocks of an image are computed does not grow with its length.

Counted in the order in which Dask would compute the tasks, and as it does.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import spatial_duck as sd

zarr = pytest.importorskip("zarr", reason="needs zarr")
dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")

TURN = np.array([[0.98, -0.199, 0.0], [0.199, 0.98, 0.0], [0.0, 0.0, -1.0]])


def _stored(layers, longest, dtype):
    """An oblique image of so many layers of three by three chunks."""
    shape = [36, 36, 36]
    shape[longest] = 12 * layers
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=tuple(shape), chunks=(12,) * 3, dtype=dtype
    )
    return sd.SpatialArray(array, spacing=(1.0, 0.8, 0.8), direction=TURN, frame="LPS", unit="mm")


def _random(shape):
    return da.random.default_rng(0).random(shape, chunks=12).astype("f4")


def _overlapped(shape):
    return da.zeros(shape, chunks=12, dtype="f4").map_overlap(np.sin, depth=2, dtype="f4")


def _slabs(shape):
    return da.ones(shape, chunks=(12, 36, 36), dtype="f4")


def _large(shape):
    return da.ones(shape, chunks=20, dtype="f4")


def _plain(source, layers, longest):
    """An image of that shape over a Dask array of another kind."""
    stored = _stored(layers, longest, "f4")
    return stored.replace(source(stored.shape))


def _most_waiting(array):
    """Return how many results wait at once for others that need them."""
    from dask.core import get_deps
    from dask.order import order

    (array,) = dask.optimize(array)
    graph = dict(array.__dask_graph__())
    place, (needs, _) = order(graph), get_deps(graph)
    left = Counter(key for keys in needs.values() for key in keys)
    waiting, most = set(), 0
    for key in sorted(graph, key=place.__getitem__):
        if _is_block(key):
            waiting.add(key)
        most = max(most, len(waiting))
        left.subtract(needs[key])
        waiting -= {needed for needed in (*needs[key], key) if not left[needed]}
    return most


def _is_block(key):
    return isinstance(key, tuple) and not key[0].endswith("-turn")


def _most_held(compute, array, **scheduler):
    """Return how many results are held at once while an array is computed, not those asked for."""
    from dask.callbacks import Callback

    most, wanted = 0, set(dask.core.flatten(array.__dask_keys__()))

    def count(key, value, graph, state, worker):
        nonlocal most
        most = max(most, sum(_is_block(k) and k not in wanted for k in state["cache"]))

    with Callback(posttask=count):
        compute(array, **scheduler)
    return most


def _two(block):
    return np.stack([block.data, -block.data])


def _windows(image):
    return sd.sliding_window(_two, image, window=12, overlap=0.25, plain={"c": 2}).data


def _labels(image):
    return _windows(image).argmax(axis=0).astype("uint8")


def _there_and_back(image):
    there, record = sd.conform(
        image, orientation="SPL", spacing=1.0, intensity=("ct-window", 40, 400)
    )
    return sd.restore(there.replace(_labels(there)), record).data


def _scaled(image):
    there, _ = sd.conform(image, intensity=("ct-window", 40, 400))
    return _labels(there)


@pytest.mark.slow
@pytest.mark.parametrize("longest", [0, 2])
@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize("chunks", [None, 12])
@pytest.mark.parametrize("way", [_windows, _labels, _there_and_back, _scaled])
def test_longer_images_keep_no_more_waiting(way, chunks, dtype, longest):
    found = []
    for layers in (10, 40):
        array = way(_stored(layers, longest, dtype))
        found.append(_most_waiting(array if chunks is None else array.rechunk(chunks)))
    assert found[1] <= 1.25 * found[0]


def _cubic(image):
    return sd.resample(image, spacing=0.9, interpolation="cubic").data


@pytest.mark.slow
@pytest.mark.parametrize("compute", [dask.compute, dask.persist])  # to one result, or to many
@pytest.mark.parametrize("source", [_random, _overlapped, _slabs, _large])
@pytest.mark.parametrize("way", [_labels, _there_and_back, _cubic])
def test_few_results_wait_while_a_long_dask_array_is_computed(way, source, compute):
    array = way(_plain(source, 24, 0))
    most = 500 if source is _overlapped else 100  # of thousands; Dask's overlaps are small parts
    assert _most_held(compute, array, scheduler="sync") < most


def test_few_windows_wait_while_threads_compute_a_long_dask_array():
    array = _labels(_plain(_random, 24, 0))
    assert _most_held(dask.compute, array, num_workers=2) < 60


@pytest.mark.parametrize("source", [_random, _slabs])
def test_one_chunk_of_windows_needs_few_windows(source):
    array = _windows(_plain(source, 40, 0))
    (one,) = dask.optimize(array.blocks[0, -1, 0, 0])
    assert sum(map(_is_block, one.__dask_graph__())) < 30


@pytest.mark.parametrize("dtype", ["f4", "i2"])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("spacing", [0.7, None])
def test_what_is_converted_as_it_is_read_is_what_is_converted_before(dtype, interpolation, spacing):
    values = np.random.default_rng(0).normal(0, 900, (30, 14, 17)).astype(dtype)
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=values.shape, chunks=(7, 5, 6), dtype=dtype
    )
    array[...] = values
    grid = {"spacing": (1.0, 0.8, 0.8), "direction": TURN, "frame": "LPS"}
    how = {
        "spacing": spacing, "interpolation": interpolation, "intensity": ("ct-window", 40, 400),
        "fill": -1000,
    }  # fmt: skip
    wanted, _ = sd.conform(sd.SpatialArray(values, **grid), **how)
    found, _ = sd.conform(sd.SpatialArray(array, **grid), **how)
    assert found.dtype == wanted.dtype == "f4"
    assert found.geometry == wanted.geometry
    np.testing.assert_allclose(
        found.compute(scheduler="synchronous").data, wanted.data, rtol=1e-5, atol=1e-5
    )
