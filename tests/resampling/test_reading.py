"""Reading of boxes from arrays on disk: each chunk once, few of them kept, nothing remembered."""

from __future__ import annotations

import itertools
import pickle
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import _chunk_tasks, _output_chunks, _reading_order, resample
from spatial_duck.resampling._chunk_reader import ChunkReader, cache_limit, chunks_meeting
from spatial_duck.resampling._chunk_tasks import ResampleTasks, uses
from spatial_duck.testing._stores import RecordingStore

zarr = pytest.importorskip("zarr", reason="needs zarr")
da = pytest.importorskip("dask.array", reason="needs dask")

DATA = np.random.default_rng(0).normal(size=(20, 30, 40))
EDGES = (np.array([0, 7, 14, 20]), np.array([0, 16, 30]), np.array([0, 11, 22, 33, 40]))
GEOMETRY = Geometry(DATA.shape)
C, S = np.cos(0.4), np.sin(0.4)
TARGET = Geometry((30, 30, 30), 1.1, (-5, 3, 4), [[C, -S, 0], [S, C, 0], [0, 0, 1]])


class _Array(np.ndarray):
    """Counts what is read."""

    reads = 0

    def __getitem__(self, key):
        self.reads += 1
        return self.view(np.ndarray)[key]


def _counted(data):
    return data.view(_Array)


@pytest.mark.parametrize("kept", [1, 20_000, 1 << 20])
def test_boxes_are_those_of_the_array(kept):
    reader = ChunkReader(_counted(DATA), EDGES, kept)
    rng = np.random.default_rng(1)
    for _ in range(60):
        box = tuple(tuple(sorted(rng.choice(n + 1, 2, replace=False))) for n in DATA.shape)
        found = reader.box(box)
        np.testing.assert_array_equal(found, DATA[tuple(slice(*b) for b in box)])
        assert reader._size <= max(kept, 7 * 16 * 11 * 8)


PARTS = (np.array([0, 4, 7, 14, 17, 20]), EDGES[1], np.array([0, 5, 11, 16, 22, 28, 33, 37, 40]))


@pytest.mark.parametrize("order", ["C", "F"])
def test_parts_of_a_chunk_go_by_themselves(order):
    """A chunk is read once though its parts are needed at different times, and then are gone."""
    source = _counted(np.asarray(DATA, order=order))
    boxes = [((a, b), (0, 30), (5, 30)) for a, b in ((0, 4), (3, 7), (7, 14), (12, 20))]
    left = np.zeros([len(p) - 1 for p in PARTS], int)
    for box in boxes:
        met = [chunks_meeting(e, *bounds)[0] for e, bounds in zip(PARTS, box, strict=True)]
        left[np.ix_(*met)] += 1
    reader = ChunkReader(source, EDGES, 1.5 * DATA.nbytes, lambda band: left, parts=PARTS)
    reader._left[0] = left.copy()
    reader._rest[0] = int(left.sum())
    for box in boxes:
        found = reader.box(box)
        np.testing.assert_array_equal(found, DATA[tuple(slice(*b) for b in box)])
        assert reader._size == sum(piece.nbytes for piece in reader._pieces.values())
        assert all(piece.base is None for piece in reader._pieces.values())
        assert all(reader._left[0][number] > 0 for number in reader._pieces)
    assert source.reads == 3 * 2 * 3
    assert not reader._pieces


@pytest.mark.parametrize("kept", [1, 20_000, 1 << 20])
def test_boxes_of_parts_are_those_of_the_array(kept):
    reader = ChunkReader(_counted(DATA), EDGES, kept, parts=PARTS)
    rng = np.random.default_rng(1)
    for _ in range(60):
        box = tuple(tuple(sorted(rng.choice(n + 1, 2, replace=False))) for n in DATA.shape)
        found = pickle.loads(pickle.dumps(reader)).box(box) if kept == 1 else reader.box(box)
        np.testing.assert_array_equal(found, DATA[tuple(slice(*b) for b in box)])
        assert reader._size <= max(kept, 7 * 16 * 11 * 8)


def _needed(work):
    """Return which chunks of the source each chunk of the output needs."""
    for index in itertools.product(*[range(len(e) - 1) for e in work.outs]):
        box = work.box(tuple((e[i], e[i + 1]) for e, i in zip(work.outs, index, strict=True)))
        met = [
            chunks_meeting(e, *bounds)[0]
            for e, bounds in zip(work.sources, box or (), strict=False)
        ]
        yield list(itertools.product(*met)) if box else []


@pytest.mark.parametrize("target", [
    TARGET, GEOMETRY.replace(spacing=(1.5, 0.7, 1), origin=(2, -3, 0.2)), TARGET[:, 4],
    TARGET.replace(direction=[[0, 1, 0], [-1, 0, 0], [0, 0, 1]]),
], ids=["turned", "aligned", "slice", "swapped"])  # fmt: skip
def test_uses_are_counted_as_boxes_have_them(target):
    """And while what is still needed fits, each chunk is read once, whatever has been dropped."""
    image = sd.SpatialArray(zarr.create_array({}, shape=DATA.shape, chunks=(7, 16, 11), dtype="f8"))
    graph = dict(resample(image, target).data.__dask_graph__())
    (begin,) = [t for k, t in graph.items() if isinstance(k, str)]
    work = begin.args[0]
    assert isinstance(work, ResampleTasks)
    needed = list(_needed(work))
    wanted = Counter(number for numbers in needed for number in numbers)
    counted = uses(work)
    assert {n: c for n, c in np.ndenumerate(counted) if c} == wanted
    # The most that is needed at one time: chunks that were used and will be again, and the next.
    most, seen, left = 0, set(), Counter(wanted)
    for numbers in needed:
        seen |= set(numbers)
        most = max(most, len(seen))
        left -= Counter(numbers)
        seen = {n for n in seen if left[n] > 0}
    source = _counted(DATA)
    reader = ChunkReader(source, EDGES, most * 7 * 16 * 11 * 8, lambda band: uses(work))
    for index in itertools.product(*[range(len(e) - 1) for e in work.outs]):
        box = work.box(tuple((e[i], e[i + 1]) for e, i in zip(work.outs, index, strict=True)))
        if box is not None:
            key = tuple(slice(*b) for b in box)
            np.testing.assert_array_equal(reader.box(box), DATA[key])
    assert source.reads == len(wanted)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("stored", [False, True])
def test_boxes_are_the_same_however_many_are_worked_out_at_a_time(
    stored, interpolation, monkeypatch
):
    data = da.from_array(DATA, chunks=(7, 16, 11))
    if stored:
        data = zarr.create_array({}, shape=DATA.shape, chunks=(7, 16, 11), dtype="f8")
        data[...] = DATA
    image, expected = sd.SpatialArray(data), None
    for many in (1, 7, _chunk_tasks._AT_ONCE):
        monkeypatch.setattr(_chunk_tasks, "_AT_ONCE", many)
        found = resample(image, TARGET, interpolation=interpolation).data
        order = [key[1:] for key in found.__dask_graph__() if key[0] == found.name]
        assert found.numblocks[0] > 2
        expected = expected or (order, found.compute())
        assert order == expected[0]
        np.testing.assert_array_equal(found, expected[1])


def test_threads_drop_what_is_over_once():
    boxes = [tuple((0, n) for n in DATA.shape)] * 16
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            reader = ChunkReader(DATA, EDGES, 1, lambda band: np.full((3, 2, 4), 16))
            with ThreadPoolExecutor(8) as pool:
                for found in pool.map(reader.box, boxes):
                    np.testing.assert_array_equal(found, DATA)
            assert reader._size == sum(piece.nbytes for piece in reader._pieces.values())
    finally:
        sys.setswitchinterval(switch)


def test_threads_share_what_is_read():
    source = _counted(DATA)
    reader = ChunkReader(source, EDGES)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(reader.box, [tuple((0, n) for n in DATA.shape)] * 16))
    assert source.reads == 3 * 2 * 4


def test_an_error_is_told_to_each_and_not_kept():
    class Broken(np.ndarray):
        fails = True

        def __getitem__(self, key):
            if self.fails:
                raise OSError("gone")
            return self.view(np.ndarray)[key]

    source = DATA.view(Broken)
    reader = ChunkReader(source, EDGES)
    for _ in range(2):
        with pytest.raises(OSError, match="gone"):
            reader.box(((0, 3), (0, 3), (0, 3)))
    source.fails = False
    np.testing.assert_array_equal(reader.box(((0, 3), (0, 3), (0, 3))), DATA[:3, :3, :3])


def test_pickles_without_what_it_keeps():
    reader = ChunkReader(DATA, EDGES)
    reader.box(((0, 20), (0, 30), (0, 40)))
    assert len(pickle.dumps(reader)) < 2 * len(pickle.dumps(DATA))


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_what_is_kept_is_a_setting_of_where_the_image_was_resampled(scheduler):
    """The settings do not reach the threads that compute."""
    found, reads = [], []
    for limit in (0, 2000 * DATA.itemsize, None):
        store = RecordingStore(zarr.storage.MemoryStore())
        array = zarr.create_array(store, shape=DATA.shape, chunks=(7, 16, 11), dtype=DATA.dtype)
        array[...] = DATA
        with sd.config(max_kept_bytes=limit):
            result = resample(sd.SpatialArray(array, GEOMETRY), TARGET)
        store.chunks_read.clear()
        found.append(np.asarray(result.data.compute(scheduler=scheduler, num_workers=2)))
        reads.append(len(store.chunks_read))
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[2])
    assert min(reads[:2]) > reads[2] == len(set(store.chunks_read))


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_each_computation_reads_each_chunk_once_and_anew(interpolation, scheduler):
    """What was written between two computations is seen."""
    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=DATA.shape, chunks=(7, 16, 11), dtype=DATA.dtype)
    array[...] = DATA
    result = resample(sd.SpatialArray(array, GEOMETRY), TARGET, interpolation=interpolation)
    for data in (DATA, DATA[::-1]):
        array[...] = data
        store.chunks_read.clear()
        expected = resample(
            sd.SpatialArray(data.copy(), GEOMETRY), TARGET, interpolation=interpolation
        )
        values = result.data.compute(scheduler=scheduler)
        np.testing.assert_allclose(values, expected.data, atol=1e-7)
        reads = store.chunks_read
        assert len(reads) == len(set(reads))


def test_views_of_a_store():
    array = zarr.create_array(zarr.storage.MemoryStore(), shape=DATA.shape, chunks=(7, 16, 11),
                              dtype=DATA.dtype)  # fmt: skip
    array[...] = DATA
    view = sd.SpatialArray(array, GEOMETRY)[::-1, 3:].transpose(2, 0, 1)
    whole = sd.SpatialArray(DATA, GEOMETRY)[::-1, 3:].transpose(2, 0, 1)
    np.testing.assert_array_equal(
        np.asarray(resample(view, TARGET).data), resample(whole, TARGET).data
    )


@pytest.mark.slow
@pytest.mark.parametrize("stored", [False, True])
def test_a_graph_costs_little_for_each_chunk(stored):
    """Planned, not read: 27,000 chunks that hold nothing."""
    import time

    import dask.array as da

    shape = (30 * 16,) * 3
    if stored:
        data = zarr.create_array(zarr.storage.MemoryStore(), shape=shape, chunks=(16,) * 3,
                                 dtype="u1")  # fmt: skip
    else:
        data = da.zeros(shape, chunks=16, dtype="u1")
    target = TARGET.replace(shape=shape, spacing=1.0)
    start = time.process_time()
    result = resample(sd.SpatialArray(data), target)
    taken = time.process_time() - start
    count = result.data.npartitions
    assert count >= 20_000
    assert taken / count < 120e-6  # a third of that on a machine with nothing else to do
    common = next(k for k in result.data.__dask_graph__() if isinstance(k, str))
    assert sys.getsizeof(pickle.dumps(result.data.__dask_graph__()[common])) < 20_000


@pytest.mark.parametrize("target", [
    GEOMETRY.replace(spacing=(1.5, 0.7, 1), origin=(2, -3, 0.2)), TARGET, TARGET[:, 4],
], ids=["aligned", "turned", "slice"])  # fmt: skip
@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("many", [0, 1 << 20])
def test_what_does_not_fit_is_the_same(target, interpolation, many, monkeypatch):
    monkeypatch.setattr(_reading_order, "EXACT", many)
    monkeypatch.setattr(_output_chunks, "EXACT", many)
    array = zarr.create_array({}, shape=DATA.shape, chunks=(7, 16, 11), dtype=DATA.dtype)
    array[...] = DATA
    with sd.config(max_kept_bytes=1):
        lazy = resample(sd.SpatialArray(array, GEOMETRY), target, interpolation=interpolation)
    whole = resample(sd.SpatialArray(DATA, GEOMETRY), target, interpolation=interpolation)
    np.testing.assert_allclose(np.asarray(lazy.data), whole.data, atol=1e-7)


def test_a_worker_with_little_memory_keeps_less(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    assert cache_limit(240e6) == 240e6, "here is no worker"
    for limit, kept in ((400e6, 100e6), (4e9, 240e6), (None, 240e6)):
        worker = SimpleNamespace(memory_manager=SimpleNamespace(memory_limit=limit))
        monkeypatch.setattr(distributed, "get_worker", lambda worker=worker: worker)
        assert cache_limit(240e6) == kept


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [
    (16, 64, 64), (1, 192, 192), (64, 64, 64), (32, 32, 32), (32, 128, 128),
])  # fmt: skip
def test_a_turned_store_is_read_once_with_few_chunks_kept(chunks, tmp_path, monkeypatch):
    """Chunks of the result are as large, and come in such an order, that it can be."""
    monkeypatch.setattr(_reading_order, "_DIVIDED", 1 << 19)  # as if the volume were larger
    monkeypatch.setattr(_reading_order, "_PART", 1 << 17)
    values = np.random.default_rng(0).integers(0, 999, (128, 192, 192)).astype("u2")
    array = zarr.create_array(str(tmp_path / "a"), shape=values.shape, chunks=chunks, dtype="u2")
    array[...] = values
    image = sd.SpatialArray(array)
    c, s = np.cos(0.3), np.sin(0.3)
    turned = image.geometry.replace(
        direction=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]), origin=(20, -15, 0)
    )
    taken = _bytes_read(monkeypatch)
    with sd.config(max_kept_bytes=0.6 * values.nbytes):
        lazy = resample(image, turned)
    assert all(a % b == 0 for a, b in zip(chunks, lazy.data.chunksize, strict=True)) or 1 in chunks
    found = lazy.data.compute(scheduler="sync")
    assert sum(taken) <= 1.1 * values.nbytes
    np.testing.assert_array_equal(found, resample(image.compute(), turned).data)


@pytest.mark.slow
@pytest.mark.parametrize("exact, times", [(20_000, 8), (100, 16)])
def test_planes_are_read_a_few_times_where_what_is_needed_at_once_does_not_fit(
    exact, times, monkeypatch
):
    """And not once for each chunk of the result that needs them, which here is 220 times."""
    for module in (_chunk_tasks, _output_chunks, _reading_order):  # as if the volume were larger
        monkeypatch.setattr(module, "PIECE", 16)
    monkeypatch.setattr(_output_chunks, "_FEWEST", 1 << 11)
    monkeypatch.setattr(_reading_order, "_DIVIDED", 1 << 15)
    monkeypatch.setattr(_reading_order, "_PART", 1 << 13)
    monkeypatch.setattr(_reading_order, "EXACT", exact)
    monkeypatch.setattr(_output_chunks, "EXACT", exact)
    values = np.random.default_rng(0).integers(0, 999, (64, 256, 256)).astype("u2")
    array = zarr.create_array({}, shape=values.shape, chunks=(1, 256, 256), dtype="u2")
    array[...] = values
    image = sd.SpatialArray(array)
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]
    turned = image.geometry.replace(direction=turn, origin=(20, 0, 0))
    taken = _bytes_read(monkeypatch)
    told = r"shape \(1, 256, 256\), is read about [0-9]+ times.*max_kept_bytes="
    with sd.config(max_kept_bytes=0.1 * values.nbytes), pytest.warns(UserWarning, match=told):
        lazy = resample(image, turned)
    found = lazy.data.compute(scheduler="sync")
    assert sum(taken) <= times * values.nbytes
    np.testing.assert_array_equal(found, resample(image.compute(), turned).data)
    taken.clear()
    found = lazy.data.compute(scheduler="threads", num_workers=4)
    assert sum(taken) <= 2 * times * values.nbytes
    np.testing.assert_array_equal(found, resample(image.compute(), turned).data)


def _bytes_read(monkeypatch):
    """Return a list to which the size of each chunk is added that a reader reads."""
    taken = []
    read = ChunkReader._read

    def counted(reader, number):
        found = read(reader, number)
        taken.append(found.nbytes)
        return found

    monkeypatch.setattr(ChunkReader, "_read", counted)
    return taken


def test_parts_of_a_chunk_do_not_hold_the_chunk():
    """Neither those that are kept nor those that are handed out and needed no more."""
    planes, whole, parts = np.arange(9), np.array([0, 64]), np.arange(0, 65, 8)
    reader = ChunkReader(
        np.zeros((8, 64, 64)), [planes, whole, whole], 1e9, parts=[planes, parts, parts]
    )
    reader._left[0] = np.ones((8, 8, 8), int)
    reader._rest[0] = 512
    found = reader._parts_of((0, 0, 0), [range(1), range(1), range(2)], 0)
    assert all(part.base is None for part in found.values())
    assert len(reader._pieces) == 62


def test_a_box_of_the_next_band_that_comes_early_costs_nothing():
    """Threads begin with a band before the last of another are done."""
    source = _counted(np.zeros((8, 4, 4)))
    edges = [np.arange(9), np.array([0, 4]), np.array([0, 4])]
    needs = {0: [2, 2, 2, 2, 1, 1, 1, 1], 1: [1, 0, 0, 0, 0, 0, 0, 0]}
    reader = ChunkReader(
        source, edges, 4.5 * 16 * 8, lambda band: np.array(needs[band]).reshape(8, 1, 1)
    )
    for band, plane in [*[(0, i) for i in range(5)], (1, 0),
                        *[(0, i) for i in (5, 6, 7, 0, 1, 2, 3)]]:  # fmt: skip
        reader.box(((plane, plane + 1), (0, 4), (0, 4)), band)
    assert source.reads == 8
    assert not reader._pieces or set(reader._pieces) == {(0, 0, 0)}


def test_a_band_of_which_others_do_a_part_ends():
    """On a worker of several, what is needed is counted for all of them."""
    source = _counted(np.zeros((100, 4, 4)))
    edges = [np.arange(101), np.array([0, 4]), np.array([0, 4])]
    needs = np.zeros((2, 100, 1, 1), int)
    needs[0, :50], needs[1, 50:55] = 10, 100
    reader = ChunkReader(source, edges, 10 * 16 * 8, lambda band: needs[band].copy())
    order = [(0, i) for i in range(50)] + [(1, 50 + i % 5) for i in range(200)]
    for band, plane in order:
        reader.box(((plane, plane + 1), (0, 4), (0, 4)), band)
    assert source.reads <= 50 + 32 + 5
