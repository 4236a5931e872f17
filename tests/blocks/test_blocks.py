"""Blocks: the function sees the right voxels in the right place, and the result has no borders."""

from __future__ import annotations

import itertools
import math
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.blocks._api import with_plain
from spatial_duck.blocks._cover import PROFILES, cover_cores, cover_windows
from spatial_duck.geometry import Geometry
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._assertions import assert_no_host_copy, assert_same_place
from spatial_duck.testing._device import DeviceArray
from tests.effort import examples

GRID = Geometry((20, 30, 40), (2, 1, 0.5), (-10, 5, 0), frame="LPS", unit="mm")
C, S = np.cos(0.4), np.sin(0.4)
OBLIQUE = Geometry(
    (20, 30, 40), (2, 1, 0.5), (-10, 5, 0), [[C, -S, 0], [S, C, 0], [0, 0, 1]], unit="mm",
    frame="LPS",
)  # fmt: skip


def values(shape=GRID.shape, dtype="f8", seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 100).astype(dtype)


def on(backend, data, chunks=None):
    """Data on a backend, with what is read from it where that is written down."""
    chunks = tuple(n // 2 + 1 for n in data.shape) if chunks is None else chunks
    if backend == "numpy":
        return data
    if backend == "dask":
        return pytest.importorskip("dask.array", reason="needs dask").from_array(data, chunks)
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=data.shape, chunks=chunks, dtype=data.dtype)
    array[...] = data
    store.chunks_read.clear()
    return array


def store_of(image):
    return image.data.array.store


def identity(block):
    return block


# --- covers -------------------------------------------------------------------------------


@given(
    st.integers(1, 40), st.integers(1, 12), st.integers(0, 14), st.sampled_from([None, *PROFILES])
)
def test_cores_share_an_axis_out_and_weights_add_up_to_one(length, size, halo, blend):
    overlap = min(halo, size - 1)
    edges = (*range(0, length, size), length)
    for cover in (
        cover_cores(edges, halo, blend),
        cover_windows(length, size, overlap, blend),
    ):
        assert (cover.edges[0], cover.edges[-1]) == (0, length)
        assert sum(cover.chunks) == length
        assert min(cover.chunks) >= 1
        total = np.zeros(length)
        for k, (start, stop) in enumerate(cover.windows):
            first, last = cover.core(k)
            assert 0 <= start <= first < last <= stop <= length
            if cover.weights is None:
                total[first:last] += 1
            else:
                assert (cover.weights[k] > 0).all()
                total[start:stop] += cover.weights[k]
                met = [j for j, (a, b) in enumerate(cover.windows) if a < last and b > first]
                assert list(cover.meeting(k)) == met
        np.testing.assert_allclose(total, 1, rtol=1e-12)


def test_windows_have_one_length():
    windows = cover_windows(103, 16, 5, "gaussian").windows
    assert {b - a for a, b in windows} == {16}
    assert all(b[0] <= a[1] - 5 for a, b in itertools.pairwise(windows))


# --- what the function sees ---------------------------------------------------------------


@pytest.mark.slow
@given(st.data())
@settings(max_examples=examples(60))
def test_every_block_knows_where_its_voxels_are(data):
    image = data.draw(strategies.images())
    blocks = data.draw(st.integers(1, 4))
    halo = data.draw(st.integers(0, 3))
    unit = data.draw(st.sampled_from(("voxel", None)))
    if image.geometry.sampled_axes:
        halo = {image.dims[image.geometry.sampled_axes[-1]]: halo}
    else:
        halo = {}
    seen = []

    def look(block):
        assert_same_place(block, image)
        seen.append(block)
        return block

    result = sd.map_blocks(
        look, image, blocks=dict.fromkeys(halo, blocks), halo=halo, halo_unit=unit
    )
    np.testing.assert_array_equal(result.data, image.data)
    assert result.geometry == image.geometry
    assert result.dtype == image.dtype
    assert seen or 0 in image.shape


def test_blocks_of_turned_images_know_where_they_are():
    image = sd.SpatialArray(np.arange(math.prod(OBLIQUE.shape)).reshape(OBLIQUE.shape), OBLIQUE)
    turned = image[::-2, :, 3].T[None]
    result = sd.map_blocks(
        lambda b: (assert_same_place(b, image), b)[1], turned, blocks=7, halo=2, halo_unit="voxel"
    )
    np.testing.assert_array_equal(result.data, turned.data)
    assert result.geometry == turned.geometry


@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr"])
def test_blocks_cannot_be_written_to(backend):
    data = values()
    image = sd.SpatialArray(on(backend, data.copy()), GRID)

    def spoil(block):
        block[...] = 0
        return block

    with pytest.raises(sd.BlockError, match="read-only") as caught:
        sd.map_blocks(spoil, image, blocks=11).compute(scheduler="synchronous")
    assert isinstance(caught.value.__cause__, ValueError)
    np.testing.assert_array_equal(np.asarray(image), data)


def test_images_keep_attrs_and_blocks_have_them():
    image = sd.SpatialArray(values(), GRID, attrs={"patient": 7})
    result = sd.map_blocks(lambda b: b if b.attrs == {"patient": 7} else None, image)
    assert result.attrs == {"patient": 7}


@pytest.mark.parametrize(
    "halo, unit, voxels",
    [
        (3, "voxel", (3, 3, 3)),
        (3, None, (2, 3, 6)),
        (300, "um", (1, 1, 1)),
        ({"x": 1.2}, None, (0, 0, 3)),
        ((0, 2, None), "voxel", (0, 2, 0)),
    ],
)
def test_halos_in_world_units_and_voxels(halo, unit, voxels):
    shapes = []
    image = sd.SpatialArray(values(), GRID)
    sd.map_blocks(
        lambda b: (shapes.append(b.shape), b)[1], image, blocks=10, halo=halo, halo_unit=unit
    )
    middle = tuple(min(10 + 2 * v, n) for v, n in zip(voxels, (10, 30, 40), strict=True))
    assert max(s[1:] for s in shapes) == middle[1:]
    assert shapes[0][0] == 10 + voxels[0]


def test_halo_of_a_time_series_is_in_space_alone():
    grid = Geometry((4, 6, 6), dims=("t", "y", "x"))
    shapes = set()
    image = sd.SpatialArray(np.zeros(grid.shape), grid)
    blocks = {"t": 1, "y": 3}
    sd.map_blocks(lambda b: (shapes.add(b.shape), b)[1], image, blocks=blocks, halo=1)
    assert shapes == {(1, 4, 6)}


def test_plain_axes_are_whole_unless_named():
    image = sd.SpatialArray(np.zeros((5, 6, 8)), dims=("c", "y", "x"))
    shapes = set()
    look = lambda b: (shapes.add(b.shape), b)[1]  # noqa: E731
    sd.map_blocks(look, image, blocks=4)
    sd.map_blocks(look, image, blocks={"c": 2, "x": 8})
    assert shapes == {(5, 4, 4), (5, 2, 4), (2, 6, 8), (1, 6, 8)}


# --- equal to the whole -------------------------------------------------------------------


@st.composite
def _filters(draw):
    ndim = draw(st.sampled_from((1, 2, 3)))
    shape = tuple(draw(st.integers(1, 24)) for _ in range(ndim))
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    spacing = draw(st.sampled_from((0.3, 1.0, 2.5)))
    sigma = draw(st.sampled_from((0.4, 1.0, 1.7)))
    return shape, chunks, spacing, sigma, draw(st.integers(0, 4))


@pytest.mark.slow
@given(_filters(), st.sampled_from(("numpy", "dask", "zarr")), st.integers(0, 99))
@settings(max_examples=examples(60))
def test_gaussian_filter_in_blocks_equals_the_filter_of_the_whole(case, backend, seed):
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs scipy")
    shape, chunks, spacing, sigma, extra = case
    data = values(shape, seed=seed)
    image = sd.SpatialArray(on(backend, data, chunks), spacing=spacing)
    reach = int(4 * sigma + 0.5) + extra

    def smooth(block):
        return block.replace(ndimage.gaussian_filter(block.data, sigma))

    blocks = chunks if backend == "numpy" else None
    result = sd.map_blocks(smooth, image, halo=reach * spacing, blocks=blocks)
    found = result.data if backend == "numpy" else result.data.compute(scheduler="synchronous")
    np.testing.assert_allclose(found, ndimage.gaussian_filter(data, sigma), atol=1e-6)
    assert result.geometry == image.geometry


@pytest.mark.parametrize("backend", ["dask", "zarr"])
@pytest.mark.parametrize("blend", [None, "linear", "gaussian"])
def test_lazy_equals_in_memory_to_the_bit(backend, blend):
    data = values(dtype="f4")
    options = {"halo": 3, "blocks": (7, 11, 13), "blend": blend}
    change = lambda b: np.cumsum(b, axis=0)  # noqa: E731 -- depends on where the block begins
    expected = sd.map_blocks(change, sd.SpatialArray(data, OBLIQUE), **options)
    lazy = sd.SpatialArray(on(backend, data), OBLIQUE)
    found = sd.map_blocks(change, lazy, **options).compute(scheduler="synchronous")
    np.testing.assert_array_equal(found.data, expected.data)
    assert found.dtype == expected.dtype
    assert found.geometry == expected.geometry


def test_threads_change_nothing():
    image = sd.SpatialArray(values(), GRID)
    names = set()

    def change(block):
        names.add(threading.current_thread().name)
        return np.cumsum(block, axis=2)

    one, four = (
        sd.map_blocks(change, image, blocks=6, halo=1, blend="linear", threads=n) for n in (1, 4)
    )
    np.testing.assert_array_equal(one.data, four.data)
    assert len(names) > 1


def test_an_error_in_a_thread_ends_the_rest():
    image = sd.SpatialArray(np.zeros(1000))
    count = []

    def fail(block):
        count.append(1)
        raise KeyError("no")

    with pytest.raises(sd.BlockError, match="KeyError"):
        sd.map_blocks(fail, image, blocks=1, threads=2)
    assert len(count) < 10


def test_device_arrays_stay_on_the_device():
    data = values(dtype="f4")
    for blend in (None, "linear", "gaussian"):
        with assert_no_host_copy():
            image = sd.SpatialArray(DeviceArray(data), GRID)
            result = sd.map_blocks(lambda b: b * 2, image, blocks=9, halo=2, blend=blend)
            assert isinstance(result.data, DeviceArray)
        np.testing.assert_allclose(result.data.get(), data * 2, rtol=1e-5)


def test_device_blocks_are_copies():
    image = sd.SpatialArray(DeviceArray(values()), GRID)

    def spoil(block):
        block.data[...] = 0
        return block

    before = image.data.get()
    sd.map_blocks(spoil, image, blocks=9)
    np.testing.assert_array_equal(image.data.get(), before)


@pytest.mark.gpu
def test_cupy_blocks():
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    data = values(dtype="f4")
    image = sd.SpatialArray(cupy.asarray(data), GRID)
    for blend in (None, "gaussian"):
        result = sd.map_blocks(lambda b: b * 2, image, blocks=9, halo=2, blend=blend)
        assert isinstance(result.data, cupy.ndarray)
        np.testing.assert_allclose(cupy.asnumpy(result.data), data * 2, rtol=1e-5)


# --- lazy ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_chunks_are_read_once_while_those_that_are_still_needed_fit():
    image = sd.SpatialArray(on("zarr", values((12, 16, 16)), (2, 2, 2)))
    # Three layers of 64 chunks meet one layer of blocks; two and some rows are needed again.
    with sd.config(max_kept_bytes=155 * 2**3 * 8):
        result = sd.map_blocks(identity, image, halo=1, halo_unit="voxel")
    np.testing.assert_array_equal(
        result.data.compute(scheduler="synchronous"), values((12, 16, 16))
    )
    assert len(store_of(image).chunks_read) == 6 * 8 * 8


@pytest.mark.slow
def test_nothing_is_read_until_it_is_asked_for_and_then_no_more_than_needed():
    image = sd.SpatialArray(on("zarr", values(), (5, 10, 10)), GRID)
    other = sd.SpatialArray(on("zarr", values(), (5, 10, 10)), OBLIQUE)
    stores = [store_of(image), store_of(other)]
    with assert_lazy(*stores):
        result = sd.map_blocks(lambda a, b: a + b, image, other, halo=1, halo_unit="voxel")
        blended = sd.map_blocks(identity, image, halo=2, blend="gaussian")
        table = sd.reduce_blocks(np.max, image)
    assert result.data.chunks == ((5,) * 4, (10,) * 3, (10,) * 4)
    result[:5, :10, :10].compute(scheduler="synchronous")
    assert sorted(set(stores[0].chunks_read)) == [
        f"c/{i}/{j}/{k}" for i in (0, 1) for j in (0, 1) for k in (0, 1)
    ]
    assert 0 < len(set(stores[1].chunks_read)) < 30
    stores[0].chunks_read.clear()
    blended[:4, :10, :10].compute(scheduler="synchronous")
    assert 8 <= len(set(stores[0].chunks_read)) <= 27
    found = table.compute(scheduler="synchronous")
    assert len(found) == 48


@pytest.mark.slow
def test_volumes_larger_than_memory_are_planned_and_read_in_parts():
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = zarr.create_array(
        zarr.storage.MemoryStore(), shape=(2048,) * 3, chunks=(128,) * 3, dtype="f8", fill_value=3
    )  # 64 GiB
    image = sd.SpatialArray(array, spacing=0.5)
    result = sd.map_blocks(lambda b: b + 1, image, halo=1)
    assert result.shape == (2048,) * 3
    part = result[640:700, 640:700, 640:700].compute(scheduler="synchronous")
    assert (part.data == 4).all()
    assert part.origin.tolist() == [320.0] * 3


def test_graphs_have_a_node_for_each_block_and_one_for_the_function():
    image = sd.SpatialArray(on("dask", values(), (5, 10, 10)), GRID)
    result = sd.map_blocks(identity, image, halo=1)
    added = len(result.data.dask) - len(image.data.dask)
    assert added == 48 + 1


def test_tasks_are_made_when_they_are_asked_for():
    """Planning costs the same for any number of blocks, and workers are sent the job alone."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs dask")
    da = pytest.importorskip("dask.array", reason="needs dask")
    sizes = []
    for blocks in (20, 2):
        image = sd.SpatialArray(da.zeros((40, 40, 40), chunks=20, dtype="f4"))
        result = sd.map_blocks(identity, image, halo=1, blocks=blocks)
        graph = result.data.dask.layers[result.data.name].mapping
        assert "_tasks" not in vars(graph)
        sizes.append(len(cloudpickle.dumps(graph)))
        assert len(graph) == 1 + (40 // blocks) ** 3
        assert "_tasks" in vars(graph)
        assert len(cloudpickle.dumps(graph)) == sizes[-1]
    assert sizes[1] < 2 * sizes[0]


@pytest.mark.parametrize("combine", [None, max])
def test_tasks_of_a_reduction_are_made_when_they_are_asked_for(combine):
    """For any number of blocks, also those that are combined in more than one round."""
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs dask")
    da = pytest.importorskip("dask.array", reason="needs dask")
    for count in (1, 5, 16, 17, 256, 257):
        image = sd.SpatialArray(da.arange(count, chunks=100))
        result = sd.reduce_blocks(np.max, image, blocks=1, combine=combine)
        (graph,) = [layer.mapping for name, layer in result.dask.layers.items() if "reduce" in name]
        assert "_tasks" not in vars(graph)
        assert "_tasks" not in vars(graph.graph)
        again = cloudpickle.loads(cloudpickle.dumps(graph))
        assert set(again) == set(graph)
        found = result.compute(scheduler="synchronous")
        assert (found if combine else found[-1].value) == count - 1


def test_the_same_call_has_the_same_name():
    pytest.importorskip("dask", reason="needs dask")
    image = sd.SpatialArray(on("dask", values()), GRID)
    names = [sd.map_blocks(np.sqrt, image, halo=h).data.name for h in (1, 1, 2)]
    assert names[0] == names[1] != names[2]


def test_lazy_results_are_pickled():
    cloudpickle = pytest.importorskip("cloudpickle", reason="needs dask")
    image = sd.SpatialArray(on("dask", values()), GRID)
    result = cloudpickle.loads(cloudpickle.dumps(sd.map_blocks(identity, image, halo=1)))
    np.testing.assert_array_equal(result.data.compute(scheduler="synchronous"), values())


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    data = values()
    image = sd.SpatialArray(on("dask", data, (10, 15, 20)), GRID)
    marks = str(tmp_path)

    def once(block, grid):
        """Kill the worker, then raise, then work."""
        import os
        from pathlib import Path

        if grid.index_to_physical((0, 0, 0)).tolist() == [-10.0, 5.0, 10.0]:
            for mark in ("killed", "raised"):
                path = Path(marks) / mark
                if not path.exists():
                    path.touch()
                    if mark == "killed":
                        os._exit(1)
                    raise OSError("for once")
        return block * 2

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            silence_logs=50, memory_limit=0,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):  # fmt: skip
        result = sd.map_blocks(once, image, halo=2)
        found = client.compute(result, retries=3).result(timeout=60)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["killed", "raised"]
    np.testing.assert_array_equal(found.data, data * 2)
    assert found.geometry == image.geometry


# --- several images -----------------------------------------------------------------------

OTHERS = {
    "the same": GRID,
    "coarse": Geometry((12, 20, 9), (4, 2, 3), (-14, 3, -2), frame="LPS", unit="mm"),
    "oblique": OBLIQUE,
    "turned": GRID.transpose((2, 0, 1))[::-1].to_frame("RAS").to_unit("um").to_world("xyz"),
    "part": GRID[5:9, 3:, 1::2],
    "elsewhere": GRID.replace(origin=(1000, 1000, 1000)),
    "channels": with_plain(OBLIQUE, {"c": 2}),
}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr"])
@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("interpolation", ["linear", "nearest"])
def test_other_images_come_to_the_blocks_of_the_first(name, interpolation, backend):
    other = sd.SpatialArray(values(OTHERS[name].shape, seed=1), OTHERS[name])
    image = sd.SpatialArray(values(), GRID)
    expected = sd.resample(other, image, interpolation=interpolation, fill=-7).data
    plain = {"c": 2} if name == "channels" else None
    lazy = sd.SpatialArray(on(backend, other.data), other.geometry)
    result = sd.map_blocks(
        lambda a, b: b, image, lazy, halo=1, blocks=(6, 7, 15), interpolation=interpolation,
        fill=-7, plain=plain,
    )  # fmt: skip
    found = result.data if backend == "numpy" else result.data.compute(scheduler="synchronous")
    np.testing.assert_allclose(found, expected, atol=1e-9 * 300)
    assert result.geometry.isclose(sd.resample(other, image).geometry)


@pytest.mark.slow
def test_interpolations_that_reach_far_are_the_same_in_blocks():
    other = sd.SpatialArray(values(OBLIQUE.shape, seed=1), OBLIQUE)
    image = sd.SpatialArray(values(), GRID)
    from spatial_duck.resampling import INTERPOLATIONS

    for interpolation in INTERPOLATIONS:
        expected = sd.resample(other, image, interpolation=interpolation).data
        found = sd.map_blocks(
            lambda a, b: b, image, other, blocks=9, interpolation=interpolation
        ).data
        np.testing.assert_allclose(found, expected, atol=1e-6 * 300, err_msg=interpolation)


@pytest.mark.slow
def test_only_what_is_needed_of_other_images_is_read():
    fine = Geometry((100, 100, 100), 0.1, (-10, 5, 0), frame="LPS", unit="mm")
    other = sd.SpatialArray(on("zarr", values(fine.shape, "f4"), (10, 10, 10)), fine)
    image = sd.SpatialArray(on("dask", values(), (5, 10, 10)), GRID)
    result = sd.map_blocks(lambda a, b: b.astype("f8"), image, other)
    result[:1, :1, :1].compute(scheduler="synchronous")  # a block of 10 x 10 x 5 mm
    assert len(set(store_of(other).chunks_read)) == 9 * 10 * 5
    store_of(other).chunks_read.clear()
    result[15:, 20:, 30:].compute(scheduler="synchronous")  # 20 mm away
    assert not store_of(other).chunks_read


def test_images_without_interpolation_come_with_their_own_voxels():
    other = sd.SpatialArray(np.arange(12 * 20 * 9).reshape(12, 20, 9), OTHERS["coarse"])
    image = sd.SpatialArray(values(), GRID)

    def check(a, b):
        assert_same_place(b, other)
        # All voxels of the other whose centres lie in the block's region.
        low, high = a.bounds
        points = other.index_to_physical(np.moveaxis(np.indices(other.shape), 0, -1))
        inside = ((points >= low) & (points <= high)).all(axis=-1)
        assert set(other.data[inside].tolist()) <= set(b.data.ravel().tolist())
        assert b.size <= 2 * inside.sum() + 60
        return a

    sd.map_blocks(check, image, other, blocks=10, interpolation=None)


def test_images_that_do_not_fit_are_refused_at_once():
    image = sd.SpatialArray(values(), GRID)
    nowhere = sd.SpatialArray(np.zeros((3, 3)), dims=("a", "b"))
    no_frame = sd.SpatialArray(values(), GRID.replace(frame=None, spacing=3))
    lost = sd.SpatialArray(values(), GRID).reshape(20, 1200)
    for other, error in ((nowhere, sd.GeometryError), (no_frame, sd.FrameError),
                         (lost, sd.GeometryLossError)):  # fmt: skip
        with pytest.raises(error):
            sd.map_blocks(lambda a, b: a, image, other)


# --- other results ------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "dask"])
def test_other_types_and_plain_axes(backend):
    data = values()
    image = sd.SpatialArray(on(backend, data), GRID)
    result = sd.map_blocks(
        lambda b: np.stack([b.data > 0, b.data < 0]), image, plain={"sign": 2}, dtype=bool, halo=2
    )
    assert (result.dims, result.dtype) == (("sign", "z", "y", "x"), bool)
    np.testing.assert_array_equal(np.asarray(result), [data > 0, data < 0])
    back = sd.map_blocks(lambda b: b.data.any(axis=0), result, plain={}, blocks=8)
    np.testing.assert_array_equal(np.asarray(back), np.ones_like(data, bool))
    assert back.geometry == GRID


@pytest.mark.parametrize("backend", ["numpy", "dask"])
def test_a_result_in_another_byte_order_is_of_the_same_type(backend):
    data = values().astype(">f4")
    image = sd.SpatialArray(on(backend, data), GRID)
    for run in (
        lambda part: sd.map_blocks(lambda b: b, part, blocks=4, dtype="f4"),
        lambda part: sd.sliding_window(lambda b: b, part, window=4, blend=None),
    ):
        found = np.asarray(run(image))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, data)


def test_the_type_of_a_lazy_result_is_said_or_that_of_the_image():
    image = sd.SpatialArray(on("dask", values()), GRID)
    positive = lambda b: b > 0  # noqa: E731
    wrong = sd.map_blocks(positive, image)
    with pytest.raises(sd.SpatialDuckError, match="dtype='bool'"):
        wrong.compute(scheduler="synchronous")
    assert sd.map_blocks(positive, image, dtype=bool).compute().dtype == bool
    assert sd.map_blocks(positive, sd.SpatialArray(values(), GRID)).dtype == bool


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["numpy", "dask"])
@pytest.mark.parametrize("blocks", [3, 4, 100])
def test_another_grid_for_the_result(backend, blocks):
    data = values()
    image = sd.SpatialArray(on(backend, data), GRID)
    whole = sd.SpatialArray(data, GRID)
    binned = sd.pyramid(whole, 2, factors=(2, 2, 2))[1]
    halved = sd.map_blocks(
        lambda b: sd.pyramid(b, 2, factors=(2, 2, 2))[1], image, to=binned, blocks=blocks
    )
    np.testing.assert_allclose(np.asarray(halved), binned.data, atol=1e-12)
    assert halved.geometry == binned.geometry
    for target in (OBLIQUE[::2, 3:, ::-1], GRID[:, 4], OTHERS["coarse"]):
        expected = sd.resample(whole, target)
        found = sd.map_blocks(
            lambda b, grid: sd.resample(b, grid), image, to=target, halo=1, blocks=blocks
        )
        np.testing.assert_allclose(np.asarray(found), expected.data, atol=1e-9 * 300)
        assert found.geometry == target


def test_results_that_reach_further_are_placed_by_their_geometry():
    image = sd.SpatialArray(values(), GRID)
    result = sd.map_blocks(lambda b: np.pad(b, ((1, 2), (3, 0), (0, 5))), image, blocks=7)
    np.testing.assert_array_equal(result.data, image.data)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda b: b[1:], "does not lie on the grid of the result, or does not reach"),
        (lambda b: b[..., ::-1], "does not lie on the grid"),
        (lambda b: b.T, "does not lie on the grid"),
        (lambda b: b.replace(origin=b.origin + 0.3), "does not lie on the grid"),
        (lambda b: b.ravel(), "does not lie on the grid"),
        (lambda b: b.replace(frame="RAS"), "does not lie on the grid"),
        (lambda b: b.data[1:], r"got shape \(6, 7, 7\)"),
        (lambda b: None, "got NoneType"),
        (lambda b: 3, "got int"),
    ],
)
def test_results_that_do_not_fit_are_refused(function, message):
    image = sd.SpatialArray(values(), GRID)
    with pytest.raises(sd.GeometryMismatchError, match=message):
        sd.map_blocks(function, image, blocks=7)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"halo": -1}, sd.GeometryError, "halo must be 0 or more"),
        ({"halo": {"q": 1}}, sd.GeometryError, "among the sampled axes"),
        ({"halo": 1, "halo_unit": "s"}, sd.GeometryError, "cannot convert"),
        ({"blocks": 0}, sd.GeometryError, "blocks must hold ints of 1 or more"),
        ({"blocks": (1, 2)}, sd.GeometryError, "an entry for each sampled axis"),
        ({"blend": "magic"}, ValueError, "blend must be one of linear, gaussian"),
        ({"threads": 0}, ValueError, "threads must be"),
        ({"plain": {"x": 2}}, sd.GeometryError, "plain must map names"),
        ({"interpolation": ["linear"]}, ValueError, "images after the first"),
    ],
)
def test_wrong_parameters_are_named(options, error, message):
    with pytest.raises(error, match=message):
        sd.map_blocks(identity, sd.SpatialArray(values(), GRID), **options)


@pytest.mark.parametrize("backend", ["numpy", "dask"])
@pytest.mark.parametrize(
    "function",
    [
        lambda b: np.stack([b, -b]),
        lambda b: np.stack([b, -b]).replace(dims=("class", "z", "y", "x")),
        lambda b: np.stack([b.data, -b.data]),
    ],
    ids=["an axis without a name", "another name", "an array"],
)
def test_plain_axes_of_results_are_called_as_was_said(function, backend):
    image = sd.SpatialArray(values(), GRID)
    image = image.chunk(4) if backend == "dask" else image
    for found in (
        sd.map_blocks(function, image, blocks=5, plain={"c": 2}),
        sd.sliding_window(function, image, window=5, plain={"c": 2}, dtype=image.dtype),
    ):
        assert found.dims == ("c", "z", "y", "x")
        np.testing.assert_allclose(found.compute().data[1], -values(), rtol=1e-6)


def test_what_is_no_image_is_refused():
    with pytest.raises(TypeError, match="map_blocks needs an image as its image, got ndarray"):
        sd.map_blocks(identity, np.zeros(3))
    with pytest.raises(TypeError, match="needs an image"):
        sd.map_blocks(identity)


@pytest.mark.parametrize("backend", ["numpy", "dask"])
def test_images_without_voxels_give_images_without_voxels(backend):
    data = np.zeros((4, 0, 3), "f4")
    image = sd.SpatialArray(on(backend, data, (2, 1, 3)), spacing=2)
    result = sd.map_blocks(lambda b: 1 / 0, image, blocks=2, halo=2)
    assert np.asarray(result).shape == (4, 0, 3)
    assert result.dtype == "f4"
    assert result.geometry == image.geometry


# --- errors -------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "dask"])
def test_a_block_that_raises_says_where_it_lies(backend):
    image = sd.SpatialArray(on(backend, values()), GRID)

    def fragile(block, grid):
        if (grid.bounds[0] <= [5, 18, 12]).all() and (grid.bounds[1] >= [5, 18, 12]).all():
            raise ZeroDivisionError("nothing here")
        return block

    with pytest.raises(sd.BlockError) as caught:
        sd.map_blocks(fragile, image, blocks=(5, 10, 10), halo=1).compute(scheduler="threads")
    text = str(caught.value)
    assert "fragile raised ZeroDivisionError" in text
    assert "nothing here" in text
    assert "z -1 to 9 mm, y 14.5 to 24.5 mm, x 9.75 to 14.75 mm (LPS)" in text
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.number, again.bounds) == (text, (1, 1, 2), caught.value.bounds)
    assert again.bounds == [[-1, 14.5, 9.75], [9, 24.5, 14.75]]


# --- blending -----------------------------------------------------------------------------


@pytest.mark.parametrize("blend", list(PROFILES))
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1", "c8"])
def test_blending_what_agrees_changes_nothing(blend, dtype):
    data = np.abs(values(dtype="f8")).clip(0, 250).astype(dtype)
    image = sd.SpatialArray(data, GRID)
    result = sd.map_blocks(identity, image, halo=3, blocks=(6, 9, 14), blend=blend)
    assert result.dtype == dtype
    np.testing.assert_allclose(result.data, data, rtol=1e-5 if dtype in ("f4", "c8") else 1e-12)


def _jumps(result, edges):
    """Largest jump between neighbours where blocks end, and anywhere else."""
    at, inside = 0.0, 0.0
    for axis in range(result.ndim):
        jumps = np.abs(np.diff(result, axis=axis))
        border = [e - 1 for e in edges]
        at = max(at, float(np.take(jumps, border, axis).max()))
        inside = max(inside, float(np.delete(jumps, border, axis).max()))
    return at, inside


def _biased(block):
    """What a network does: each window is wrong by something of its own."""
    return (block.data + 3 * np.sin(12.9898 * block.origin.sum())).astype("f4")


@pytest.mark.parametrize("blend", list(PROFILES))
def test_blended_windows_have_no_seams(blend):
    points = np.indices((96, 96)) * 0.1
    image = sd.SpatialArray((np.sin(points[0]) + np.cos(points[1])).astype("f4"))
    cut = sd.sliding_window(_biased, image, window=32, overlap=0.5, blend=None).data
    smooth = sd.sliding_window(_biased, image, window=32, overlap=0.5, blend=blend).data
    middles, ends = [24, 40, 56, 72], [16, 32, 48, 64, 80]
    at, inside = _jumps(cut, middles)
    assert at > 10 * inside  # the seams are there, for blending to remove
    assert _jumps(smooth, middles)[0] < 0.4 * at
    assert _jumps(smooth, ends)[0] <= _jumps(smooth, ends)[1]


# --- sliding windows ----------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr"])
@pytest.mark.parametrize("window", [16, (8, 64, 16), {"x": 33, "y": 16}])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.6])
def test_windows_have_their_size_and_cover_all(backend, window, overlap):
    data = values(dtype="f4")
    image = sd.SpatialArray(on(backend, data), GRID)
    shapes = set()

    def predict(block):
        shapes.add(block.shape)
        return np.stack([block.data, -block.data])

    result = sd.sliding_window(predict, image, window=window, overlap=overlap, plain={"c": 2})
    found = result.compute(scheduler="synchronous").data
    np.testing.assert_allclose(found, [data, -data], rtol=1e-5, atol=1e-3)
    sizes = {16: (16, 16, 16), (8, 64, 16): (8, 64, 16)}.get(
        window if not isinstance(window, dict) else None, (20, 16, 33)
    )
    assert shapes == {sizes}
    assert result.dtype == "f4"


def test_windows_of_small_images_are_continued_in_place():
    image = sd.SpatialArray(values((3, 5), "f4"), spacing=2.0, origin=(10, 20))

    def predict(block):
        assert block.shape == (8, 8)
        inside = block[2:5, 1:6]
        assert inside.geometry.isclose(image.geometry)
        np.testing.assert_array_equal(inside.data, image.data)
        return block

    for blend in (None, "gaussian"):
        found = sd.sliding_window(predict, image, window=8, blend=blend, pad="constant")
        np.testing.assert_array_equal(found.data, image.data)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"overlap": 1.0}, "overlap must be"),
        ({"window": 0}, "window must hold"),
        ({"blend": "x"}, "blend must be"),
    ],
)
def test_wrong_windows_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        sd.sliding_window(identity, sd.SpatialArray(np.zeros(9)), **{"window": 4} | options)


# --- reductions and tables ----------------------------------------------------------------


@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr"])
def test_reductions(backend):
    data = values()
    image = sd.SpatialArray(on(backend, data), GRID)
    found = sd.reduce_blocks(lambda b: float(b.sum()), image, combine=sum, blocks=6)
    table = sd.reduce_blocks(lambda b: float(b.max()), image, blocks=6)
    if backend != "numpy":
        found, table = (x.compute(scheduler="synchronous") for x in (found, table))
    assert found == pytest.approx(data.sum())
    assert len(table) == 4 * 5 * 7
    best = max(table, key=lambda row: row.value)
    peak = GRID.index_to_physical(np.unravel_index(data.argmax(), data.shape))
    low, high = best.geometry.bounds
    assert best.value == data.max()
    assert (low <= peak).all()
    assert (peak <= high).all()
    assert sum(math.prod(row.geometry.shape) for row in table) == data.size


def test_objects_in_halos_are_counted_once():
    """Bright points, found by a filter that needs neighbours, as a table of physical positions."""
    data = np.zeros((40, 40))
    places = np.random.default_rng(2).permutation(38 * 38)[:60]
    data[1 + places // 38, 1 + places % 38] = np.arange(60) + 1.0
    image = sd.SpatialArray(data, OBLIQUE[0].replace(shape=(40, 40), spacing=(0.7, 0.4)))

    def peaks(block, grid):
        from scipy.ndimage import maximum_filter

        found = np.argwhere((block.data > 0) & (maximum_filter(block.data, 3) == block.data))
        points = block.index_to_physical(found)
        index = np.rint(grid.physical_to_index(points))
        mine = ((index >= 0) & (index < grid.shape)).all(axis=1)
        return [tuple(p) for p in points[mine].round(9).tolist()]

    pytest.importorskip("scipy", reason="needs scipy")
    whole = peaks(image, image.geometry)
    parts = sd.reduce_blocks(
        peaks,
        image,
        blocks=(7, 9),
        halo=1,
        halo_unit="voxel",
        combine=lambda found: list(itertools.chain(*found)),
    )
    assert sorted(parts) == sorted(whole)
    assert len(set(whole)) > 30


def test_reductions_that_raise_say_where():
    image = sd.SpatialArray(on("dask", values()), GRID)
    with pytest.raises(sd.BlockError, match="which lies at z"):
        sd.reduce_blocks(lambda b: 1 / 0, image).compute(scheduler="synchronous")
