"""Resampling in chunks: the same values to the bit, lazily, and no more input than is needed."""

from __future__ import annotations

import itertools
import math
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import TooLargeError
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import _chunked as chunked
from spatial_duck.resampling import resample
from spatial_duck.resampling._chunk_reader import ChunkReader, chunks_meeting
from spatial_duck.resampling._chunk_tasks import Filter, ResampleTasks, edges_of, uses
from spatial_duck.resampling._output_chunks import output_chunks
from spatial_duck.resampling._planning import make_plan
from spatial_duck.resampling._reading_order import Bands, in_layers, reading_order
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._stores import RecordingStore

da = pytest.importorskip("dask.array", reason="needs dask")
dask = pytest.importorskip("dask", reason="needs dask")


@st.composite
def _cases(draw):
    """A source in chunks that do not divide it, and a target that meets it."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = tuple(draw(st.integers(1, 12)) for _ in range(3))
    channels = draw(st.sampled_from((None, 0, 3)))
    aligned = draw(st.booleans())
    direction = draw(strategies.directions(3, 3, oblique=not aligned, sheared=not aligned))
    dims = ["z", "y", "x"]
    if channels is not None:
        dims.insert(channels, "c")
        shape = (*shape[:channels], 2, *shape[channels:])
    source = Geometry(shape, rng.uniform(0.5, 2, 3), rng.uniform(-2, 0, 3), dims=dims)
    wanted = tuple(draw(st.integers(1, 12)) for _ in range(3))
    spacing = rng.uniform(0.3, 2, 3)
    origin = rng.uniform(-2, 4, 3)
    target = Geometry(wanted, spacing, origin, direction)[
        draw(st.sampled_from((np.s_[:], np.s_[1 % wanted[0]], np.s_[:, 0, ::-1])))
    ]
    chunks = tuple(draw(st.integers(1, n)) for n in shape)
    dtype = draw(st.sampled_from(("f4", "f8", "i2", "u1", ">f4")))
    return source, target, (rng.normal(size=shape) * 50).astype(dtype), chunks


@pytest.mark.slow
@given(_cases(), st.sampled_from(("nearest", "linear")), st.sampled_from((0, "edge")))
@settings(max_examples=100)
def test_equals_in_memory_to_the_bit(case, interpolation, fill):
    source, target, data, chunks = case
    whole = resample(sd.SpatialArray(data, source), target, interpolation=interpolation, fill=fill)
    lazy = sd.SpatialArray(da.from_array(data, chunks=chunks), source)
    result = resample(lazy, target, interpolation=interpolation, fill=fill)
    assert isinstance(result.data, da.Array)
    assert result.geometry == whole.geometry
    assert result.dtype == whole.dtype
    computed = result.data.compute(scheduler="synchronous")
    assert computed.dtype == whole.dtype
    np.testing.assert_array_equal(computed, whole.data)


GEOMETRY = Geometry((20, 30, 40), (2, 1, 1))
C, S = np.cos(0.4), np.sin(0.4)
TURN = [[C, -S, 0], [S, C, 0], [0, 0, 1]]
TARGETS = {
    "view": GEOMETRY[3:9, ::-1],
    "shift": Geometry((22, 30, 40), (2, 1, 1), (-4, 5, 0)),
    "axes": Geometry((30, 40, 30), (1.3, 0.8, 1.1), (1, -3, 2)),
    "affine": Geometry((30, 30, 30), 1.1, (5, 3, 4), [[C, -S, 0], [S, C, 0], [0, 0, 1]]),
    "slice": Geometry((30, 30, 30), 1.1, (5, 3, 4), [[C, -S, 0], [S, C, 0], [0, 0, 1]])[:, 4],
}


def _zarr(data, chunks, shards=None):
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(
        store, shape=data.shape, chunks=chunks, shards=shards, dtype=data.dtype
    )
    array[...] = data
    return sd.SpatialArray(array, GEOMETRY), store


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_computes_or_reads_early(name):
    data = np.random.default_rng(0).normal(size=GEOMETRY.shape)
    image, store = _zarr(data, (7, 16, 11))
    lazy = sd.SpatialArray(da.from_array(data, chunks=7), GEOMETRY)
    with assert_lazy(store):
        a = resample(image, TARGETS[name])
        b = resample(lazy, TARGETS[name])
    expected = resample(sd.SpatialArray(data, GEOMETRY), TARGETS[name])
    np.testing.assert_array_equal(np.asarray(a.compute().data), expected.data)
    np.testing.assert_array_equal(np.asarray(b.compute().data), expected.data)


def test_a_view_of_a_store_stays_one():
    data = np.random.default_rng(0).normal(size=GEOMETRY.shape)
    image, _ = _zarr(data, (7, 16, 11))
    result = resample(image, TARGETS["view"])
    assert type(result.data) is type(image.data)
    np.testing.assert_array_equal(np.asarray(result), data[3:9, ::-1])


def _chunks(task):
    """The chunks that a task needs, beside the node that all of them share."""
    return {key for key in task.dependencies if isinstance(key, tuple)}


@pytest.mark.parametrize("name", ["axes", "affine", "slice"])
def test_only_what_is_needed(name):
    """Each output chunk depends on the source chunks that the box of its neighbours meets."""
    size = np.array((5, 10, 10))
    source = da.from_array(np.zeros(GEOMETRY.shape), chunks=tuple(size), name="source")
    result = resample(sd.SpatialArray(source, GEOMETRY), TARGETS[name])
    graph = dict(result.data.__dask_graph__())
    starts = [np.cumsum([0, *c]) for c in result.data.chunks]
    top, checked = np.array(GEOMETRY.shape) - 1, 0
    for index in np.ndindex(*result.data.numblocks):
        depends = _chunks(graph[(result.data.name, *index)])
        ranges = [np.arange(s[i], s[i + 1]) for s, i in zip(starts, index, strict=True)]
        points = result.geometry.index_to_physical(np.stack(np.meshgrid(*ranges), -1))
        position = GEOMETRY.physical_to_index(points).reshape(-1, 3)
        if not ((position >= -0.5) & (position < top + 0.5)).all(axis=1).any():
            continue
        if name == "axes":  # where axes stand alone, voxels outside are known one by one
            position = position[((position >= -0.5) & (position < top + 0.5)).all(axis=1)]
        low = np.floor(np.clip(position.min(axis=0), 0, top)).astype(int) // size
        high = np.ceil(np.clip(position.max(axis=0), 0, top)).astype(int) // size
        expected = {("source", *(low + k).tolist()) for k in np.ndindex(*(high - low + 1))}
        assert depends == expected
        checked += 1
    assert checked


@pytest.mark.parametrize("spacing", [1e-3, 1e-9])
@pytest.mark.parametrize("direction", [np.eye(3), np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]])
def test_more_chunks_than_can_be_planned_are_refused_at_once(spacing, direction):
    """A spacing in another unit than the world's asks for them, and would plan for days."""
    image = sd.SpatialArray(da.zeros((200, 200, 200), chunks=50, dtype="i2"), unit="mm")
    grid = sd.Geometry((10**6,) * 3, spacing, direction=direction, unit="mm")
    with pytest.raises(TooLargeError, match="in the unit of the image's world"):
        resample(image, spacing=spacing)
    with pytest.raises(TooLargeError, match=r"chunks, more than .* can be planned"):
        resample(image, grid)


def test_blocks_outside_depend_on_nothing():
    source = da.from_array(np.ones(GEOMETRY.shape), chunks=10, name="source")
    target = Geometry((60, 30, 40), (2, 1, 1), (-40, 0.5, 0))
    result = resample(sd.SpatialArray(source, GEOMETRY), target, fill=3)
    graph = dict(result.data.__dask_graph__())
    free = [k for k in graph if k[0] == result.data.name and not _chunks(graph[k])]
    assert len(free) >= result.data.npartitions // 2
    computed = np.asarray(result.compute().data)
    assert (computed[:20] == 3).all()
    assert (computed[40:] == 3).all()


def test_reads_only_the_chunks_it_needs():
    data = np.random.default_rng(0).normal(size=GEOMETRY.shape)
    image, store = _zarr(data, (5, 10, 10))
    target = Geometry((4, 8, 8), (1, 1, 1), (12.5, 11.5, 21.5))
    result = resample(image, target)
    assert store.chunks_read == []
    np.asarray(result.compute().data)
    assert set(store.chunks_read) == {"c/1/1/2"}


def test_name_says_what_it_is():
    """The same question has the same name, another one has another."""
    source = da.from_array(np.ones(GEOMETRY.shape), chunks=10, name="source")
    image = sd.SpatialArray(source, GEOMETRY)

    def name(**options):
        return resample(image, TARGETS["axes"], **options).data.name

    assert name() == name()
    assert len({name(), name(interpolation="nearest"), name(fill=1), name(fill="edge")}) == 4


def test_graph_pickles():
    source = da.from_array(np.ones(GEOMETRY.shape), chunks=10)
    result = resample(sd.SpatialArray(source, GEOMETRY), TARGETS["affine"])
    back = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(np.asarray(back.compute()), np.asarray(result.compute()))


def test_chunks_are_no_larger_than_their_limit():
    shape = (400, 500, 600)
    image = sd.SpatialArray(da.zeros(shape, chunks=-1, dtype="f4"), spacing=(2, 1, 1))
    result = resample(image, spacing=1)
    largest = np.prod([max(c) for c in result.data.chunks])
    assert largest * 4 <= 1 << 25


def test_unknown_chunks_are_refused():
    lazy = da.from_array(np.arange(10.0), chunks=5)
    image = sd.SpatialArray(lazy[lazy > 3], dims=("x",))
    with pytest.raises(sd.GeometryError):
        resample(image, Geometry((3,)))


@pytest.mark.long
def test_runs_on_distributed():
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    source = da.from_array(np.random.default_rng(0).normal(size=GEOMETRY.shape), chunks=10)
    image = sd.SpatialArray(source, GEOMETRY)
    expected = resample(image.compute(), TARGETS["affine"])
    with distributed.Client(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ):
        result = resample(image, TARGETS["affine"]).compute()
    np.testing.assert_array_equal(result.data, expected.data)


#: Little is kept in the tests that count what is read, so that some draws are read often.
READ_OFTEN = pytest.mark.filterwarnings("ignore:resample. each chunk of the source:UserWarning")


@READ_OFTEN
@settings(max_examples=60)
@given(st.data())
def test_what_an_order_keeps_is_what_a_reader_keeps(data):
    """A reader that may hold the bytes that `in_layers` tells reads each chunk once."""
    shape = tuple(data.draw(st.integers(8, 40), label="n") for _ in range(3))
    sizes = tuple(data.draw(st.integers(3, 20), label="chunk") for _ in range(3))
    angle = data.draw(st.floats(0.1, 0.7), label="angle")
    c, s = np.cos(angle), np.sin(angle)
    source = Geometry(shape)
    target = source.replace(direction=[[c, -s, 0], [s, c, 0], [0, 0, 1]], origin=(3.2, -2.1, 0.3))
    plan = make_plan(source, target)
    values = np.random.default_rng(0).normal(size=shape)
    chunks = da.core.normalize_chunks(sizes, shape)
    edges = edges_of(chunks)
    out, _ = output_chunks(plan, chunks, 8, 0)
    work = ResampleTasks(plan, edges_of(out), edges, values.dtype, 0.0)
    order, most, _ = in_layers(work, 8)
    assert sorted(order) == list(np.ndindex(*map(len, out)))
    left = uses(work)
    reader = ChunkReader(values, edges, most, lambda band: left)
    reader._left[0] = left.copy()
    reader._rest[0] = int(left.sum())
    reads = []
    read = reader._read
    reader._read = lambda number: (reads.append(number), read(number))[1]
    for index in order:
        chunked._read_block(chunked.TaskRun(work, reader, Bands.one(work)), index)
    assert len(reads) == len(set(reads)) == np.count_nonzero(left)


@READ_OFTEN
@settings(max_examples=40)
@given(st.data())
def test_bands_read_each_chunk_once_and_keep_what_they_need(data):
    """What does not fit comes in bands, each of which reads a chunk once and keeps less."""
    shape = tuple(data.draw(st.integers(16, 40), label="n") for _ in range(3))
    sizes = tuple(data.draw(st.integers(3, 12), label="chunk") for _ in range(3))
    angle = data.draw(st.floats(0.1, 0.7), label="angle")
    c, s = np.cos(angle), np.sin(angle)
    source = Geometry(shape)
    target = source.replace(direction=[[c, -s, 0], [s, c, 0], [0, 0, 1]], origin=(3.2, -2.1, 0.3))
    plan = make_plan(source, target)
    values = np.random.default_rng(0).normal(size=shape)
    chunks = da.core.normalize_chunks(sizes, shape)
    edges = edges_of(chunks)
    work = ResampleTasks(plan, edges_of(chunks), edges, values.dtype, 0.0)
    whole = in_layers(work, 8)[1]
    order = reading_order(work, 8, data.draw(st.floats(0.3, 1.2), label="kept") * whole)
    assert sorted(order.chunks) == list(np.ndindex(*map(len, chunks)))
    numbers = [order.bands.number(index) for index in order.chunks]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(len(order.bands)))
    for number in range(len(order.bands)):
        box = order.bands.box(number)
        here = [i for i, n in zip(order.chunks, numbers, strict=True) if n == number]
        assert sorted(here) == list(itertools.product(*[range(*ends) for ends in box]))
    # As many bytes as the fullest band has in use at once, found by counting.
    meeting = {}
    for index in order.chunks:
        bounds = work.box(tuple((e[i], e[i + 1]) for e, i in zip(work.outs, index, strict=True)))
        met = [chunks_meeting(e, *ends)[0] for e, ends in zip(edges, bounds or (), strict=False)]
        meeting[index] = list(itertools.product(*met)) if bounds else []
    most, expected = 0, 0
    for _, group in itertools.groupby(order.chunks, order.bands.number):
        band = list(group)
        left = Counter(number for index in band for number in meeting[index])
        expected += len(left)
        held = set()
        for index in band:
            held |= set(meeting[index])
            most = max(most, sum(math.prod(chunks[a][i] for a, i in enumerate(n)) for n in held))
            left -= Counter(meeting[index])
            held = {n for n in held if left[n]}
    reader = ChunkReader(
        values, edges, 8 * most, lambda band: chunked._uses(work, edges, order.bands, band)
    )
    reads = []
    read = reader._read
    reader._read = lambda number: (reads.append(number), read(number))[1]
    run = chunked.TaskRun(work, reader, order.bands)
    for index in order.chunks:
        chunked._read_block(run, index)
        assert reader._size <= 8 * most
    assert len(reads) <= expected


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("chunks", [(1, 160, 160), (160, 160, 1), (8, 8, 160), (50, 50, 50)])
def test_thin_chunks_are_filtered_together(stored, chunks, monkeypatch):
    """Not each with the neighbours that its filter looks at, which of planes is 33 times all."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    values = np.random.default_rng(0).normal(size=(160, 160, 160)).astype("f4")
    if stored:
        data = zarr.create_array({}, shape=values.shape, chunks=chunks, dtype="f4")
        data[...] = values
    else:
        data = da.from_array(values, chunks=chunks)
    image = sd.SpatialArray(data)
    turned = image.geometry.replace(direction=TURN, origin=(9, -8, 0))
    filtered = []
    make = Filter.make

    def counted(work, source, box, out_box):
        filtered.append(source.size)
        return make(work, source, box, out_box)

    monkeypatch.setattr(Filter, "make", counted)
    found = resample(image, turned, interpolation="cubic").compute()
    assert sum(filtered) <= 5 * values.size
    whole = resample(sd.SpatialArray(values), turned, interpolation="cubic")
    np.testing.assert_allclose(found.data, whole.data, atol=1e-5)


@pytest.mark.parametrize("shape", [(0, 30, 30), (40, 0, 7), (40, 30, 0), (40, 1, 30)])
def test_planes_of_an_empty_or_thin_image_are_filtered(shape):
    image = sd.SpatialArray(da.ones(shape, chunks=(1, 1, -1), dtype="f4"))
    target = Geometry((4, 4, 4), 1.0, (0, 0, 0), TURN)
    found = resample(image, target, interpolation="cubic", fill=7).compute()
    whole = resample(image.compute(), target, interpolation="cubic", fill=7)
    np.testing.assert_allclose(found.data, whole.data, atol=1e-6)
