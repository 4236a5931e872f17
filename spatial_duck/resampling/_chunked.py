"""Resampling of arrays in chunks, lazily: for each output chunk the input box that it needs.

The result is a Dask array. Each of its chunks depends on those chunks of the source that meet its
input box, and on nothing where it lies outside the source. Chunks are computed as in memory, from
indices in the whole output, so that nearest and linear values are the same to the bit. Where the
source has to be filtered first (B-splines) it is filtered once, chunk by chunk with enough around
each that the values are the same to 2e-9.

The graph is one small task for each chunk: what all of them need, the plan and where the chunks
begin, is one node of the graph. An array on disk is read in the tasks themselves, through a
`reading.ChunkReader` that they share.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._config import current
from spatial_duck._optional import require
from spatial_duck.errors import GeometryError, TooLargeError
from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling._chunk_reader import ChunkReader, assemble, cache_limit, chunks_meeting
from spatial_duck.resampling._device_values import place_of
from spatial_duck.resampling._prefilter import prepare, prepared_type, wider
from spatial_duck.resampling._turns import MOST_GROUPS, in_turns, layers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

    Chunks = tuple[tuple[int, ...], ...]

__all__ = ["Filter", "ResampleTasks", "edges_of", "execute", "output_chunks", "uses"]

#: Bytes of an output chunk, at most.
_LARGEST = 1 << 25
#: Output chunks, at most: planning these takes minutes, and tens of gigabytes.
_MOST = 20_000_000


def execute(plan: Plan, data: Any, fill: Any, dtype: Any = None) -> Any:
    """Resample an array in chunks.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    data : dask.array.Array or array with ``to_dask()``
        The source.
    fill : scalar
        Value of voxels outside it.
    dtype : dtype, optional
        What the source is converted to before; what is on disk is as it is read.

    Returns
    -------
    dask.array.Array
        Lazy. A slice of the source, still on disk where that is, where the result is one.
    """
    da = require("dask.array", "Resampling an array in chunks")
    on_disk = backends.is_stored(data)
    found = memory.view(plan, data) if on_disk else None
    if found is not None:
        return found if dtype is None else backends.astype(found, dtype, copy=False)
    array = backends.dask_form(data)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    like = None if backends.is_on_host(array) else backends.empty_block(array)
    if like is not None:
        place_of(like)
    if any(math.isnan(n) for n in array.shape):
        raise GeometryError(
            f"resample needs the shape of the image, got {array.shape}; call compute_chunk_sizes() "
            "on the Dask array first"
        )
    found = memory.view(plan, array)
    if found is not None:
        return found
    kept = current().max_kept_bytes if on_disk and not plan.filters else math.inf
    chunks = output_chunks(plan, array.chunks, array.dtype.itemsize, kept)
    kind = array.dtype.newbyteorder("=")
    stored = data if on_disk else None
    if plan.filters:
        array, stored = _filtered(da, plan, array, stored), None
    work = ResampleTasks(plan, edges_of(chunks), edges_of(array.chunks), kind, fill, like)
    return _graph(da, work, array, stored, chunks)


def output_chunks(plan: Plan, chunks: Chunks, itemsize: int, kept: float = math.inf) -> Chunks:
    """Choose the chunks of the output: as much of the world in each as in the source's.

    Axes that are carried along keep their chunks. No chunk is larger than 32 MiB, unless axes that
    are carried along make it so. Where axes mix, chunks are small enough that each chunk of a
    source on disk needs to be read once while no more than `kept` bytes are, if that can be (see
    `_order`). TooLargeError is raised for more than can be planned.
    """
    out: list[tuple[int, ...] | None] = [None] * len(plan.shape)
    sizes: dict[int, float] = {}
    for line in plan.separable:
        if line.out is None:
            continue
        if line.exact and line.scale == 1 and line.offset == 0:
            if plan.shape[line.out] == line.length:
                out[line.out] = chunks[line.source]
                continue
        sizes[line.out] = max(chunks[line.source], default=1) / abs(line.scale)
    if plan.coupled is not None:
        edges = [max(max(chunks[s], default=1), 1) for s in plan.coupled.sources]
        edge = math.prod(edges) ** (1 / len(edges))
        steps = [math.hypot(*column) for column in zip(*plan.coupled.matrix, strict=True)]
        edge = _fitting_edge(plan, chunks, itemsize, kept, edge, steps)
        for step, o in zip(steps, plan.coupled.outs, strict=True):
            sizes[o] = edge / step
    for o in plan.repeated:
        sizes[o] = plan.shape[o]
    whole = {o: max(min(round(size), plan.shape[o]), 1) for o, size in sizes.items()}
    rest = itemsize * math.prod([max(c, default=1) for c in out if c is not None])
    while math.prod(whole.values()) * rest > _LARGEST and max(whole.values(), default=1) > 1:
        longest = max(whole, key=lambda o: whole[o])
        whole[longest] = -(-whole[longest] // 2)
    count = math.prod([-(-plan.shape[o] // size) for o, size in whole.items()])
    count *= math.prod([len(c) for c in out if c is not None])
    if count > _MOST:
        raise TooLargeError(
            f"resample: a result of shape {plan.shape} would have {count:,} chunks, more than the "
            f"{_MOST:,} that can be planned; is the spacing in the unit of the image's world?"
        )
    for o, size in whole.items():
        n = plan.shape[o]
        if 0 < n % size < size // 4:  # no slivers at the end: the same number of even chunks
            size = -(-n // -(-n // size))
        out[o] = tuple([min(size, n - i) for i in range(0, n, size)]) or (0,)
    return tuple([c if c is not None else (0,) for c in out])


#: The least edge of a chunk, in voxels of the source, that is made so that more fits into memory.
_LEAST_EDGE = 32


def _fitting_edge(
    plan: Plan, chunks: Chunks, itemsize: int, kept: float, edge: float, steps: Sequence[float]
) -> float:
    """Return the edge of a chunk, at most `edge`, with which what is kept suffices; or `edge`."""
    if itemsize * math.prod(plan.source_shape) <= kept or plan.coupled is None:
        return edge
    smaller = edge
    while smaller >= _LEAST_EDGE:
        reach = [0.0] * len(plan.source_shape)
        for source, row in zip(plan.coupled.sources, plan.coupled.matrix, strict=True):
            reach[source] = sum([abs(m) / s for m, s in zip(row, steps, strict=True)]) * smaller
        fronts = _fronts(plan, chunks, itemsize, reach)
        if min([fronts[source] for source in plan.coupled.sources]) <= kept:
            return smaller
        smaller *= 0.97
    return edge


def _fronts(plan: Plan, chunks: Chunks, itemsize: int, reach: Sequence[float]) -> dict[int, float]:
    """Return the bytes of the source that are in use at once, for each axis to move along it.

    Those are layers of chunks: as many as the box of an output chunk can reach into. Axes that are
    carried along are done one chunk after the other.
    """
    whole = {s.source for s in plan.separable if s.exact}
    n = [max(c, default=1) if i in whole else sum(c) for i, c in enumerate(chunks)]
    found = {}
    for axis in range(len(n)):
        if axis in whole:
            continue
        thick = max(max(chunks[axis], default=1), 1)
        count = math.ceil((reach[axis] + 2) / thick) + 1
        found[axis] = itemsize * math.prod(n) / max(n[axis], 1) * min(thick * count, n[axis])
    return found


def edges_of(chunks: Chunks) -> tuple[NDArray[np.intp], ...]:
    """Return where the chunks along each axis begin, and where the last one ends."""
    return tuple([np.cumsum([0, *c]) for c in chunks])


@dataclass(frozen=True, slots=True, eq=False)
class ResampleTasks:
    """Resampling of all chunks by a plan.

    Attributes
    ----------
    plan : Plan
        The plan of the resampling.
    outs, sources : tuple of ndarray of int
        Where the chunks begin along each axis of the output and of the source.
    dtype : numpy.dtype
        That of the output.
    fill : scalar
        Value outside.
    like : array or None
        A chunk without voxels, where chunks are not NumPy's.
    """

    plan: Plan
    outs: tuple[NDArray[np.intp], ...]
    sources: tuple[NDArray[np.intp], ...]
    dtype: np.dtype[Any]
    fill: Any
    like: Any = None

    def box(self, out_box: Box) -> Box | None:
        """Return the box of the source that a box of the output needs."""
        return self.plan.input_box(out_box)

    def boxes(self) -> Iterator[tuple[list[tuple[Any, Any]], Any]]:
        """Return `box` for all chunks at each index along the first axis, as arrays."""
        plan, n = self.plan, len(self.outs)

        def along(values: Any, axis: int) -> Any:
            return np.asarray(values).reshape([-1 if a == axis else 1 for a in range(n)])

        ranges = [(along(e[:-1], o), along(e[1:], o)) for o, e in enumerate(self.outs)]
        found: list[Any] = [None] * len(plan.source_shape)
        met: Any = np.array(True).reshape((1,) * n)
        for line in plan.separable:
            parts = [(0, 1)]
            if line.out is not None:
                parts = list(itertools.pairwise(self.outs[line.out].tolist()))
            tables = [line.table(*part, plan.interpolation, plan.edge) for part in parts]
            needs = [t.bounds if t.stop > t.start else (0, 0) for t in tables]
            first, stop = (along([b[i] for b in needs], line.out or 0) for i in (0, 1))
            found[line.source] = first, stop
            met = np.logical_and(met, stop > first)

        def slab(values: Any, i: int) -> Any:
            return values if n == 0 or len(values) == 1 else values[i : i + 1]

        for i in range(len(self.outs[0]) - 1 if n else 1):
            bounds: list[Any] = [
                None if b is None else (slab(b[0], i), slab(b[1], i)) for b in found
            ]
            hit = slab(met, i)
            if plan.coupled is not None:
                here = [(slab(ranges[o][0], i), slab(ranges[o][1], i)) for o in plan.coupled.outs]
                boxes, inside = plan.coupled.bounds(here, plan.edge)
                hit = np.logical_and(hit, inside)
                for source, box in zip(plan.coupled.sources, boxes, strict=True):
                    bounds[source] = box
            yield bounds, hit

    def make(self, source: Any, box: Box, out_box: Box) -> Any:
        """Compute a block."""
        if not engines.on_host(source):
            dtype = place_of(source).named(self.dtype)
            return device.block(self.plan, source, box, out_box, self.fill, dtype)
        out = np.empty([b - a for a, b in out_box], self.dtype)
        memory.fill_in(self.plan, source, box, out, self.fill, threads=1, out_box=out_box)
        return out


class Filter(ResampleTasks):
    """Filtering of the source, each chunk by itself."""

    __slots__ = ()

    def box(self, out_box: Box) -> Box | None:
        """Return a chunk with as much around it as the filters look at."""
        return wider(self.plan, out_box)

    def boxes(self) -> Iterator[tuple[list[tuple[Any, Any]], Any]]:
        """Return `box` for all chunks at each index along the first axis, as arrays."""
        for i in range(len(self.outs[0]) - 1):
            edges = (self.outs[0][i : i + 2], *self.outs[1:])
            found = []
            for axis, (e, halo, n) in enumerate(
                zip(edges, self.plan.halo, self.plan.source_shape, strict=True)
            ):
                shape = [-1 if a == axis else 1 for a in range(len(edges))]
                first, stop = np.maximum(e[:-1] - halo, 0), np.minimum(e[1:] + halo, n)
                found.append((first.reshape(shape), stop.reshape(shape)))
            yield found, True

    def make(self, source: Any, box: Box, out_box: Box) -> Any:
        """Filter a block."""
        inner = [slice(a - f, b - f) for (a, b), (f, _) in zip(out_box, box, strict=True)]
        if not engines.on_host(source):
            return device.prepare(self.plan, source)[tuple(inner)]
        found = prepare(self.plan, source)[tuple(inner)]
        return found.copy() if found.size < source.size else found


def _filtered(da: Any, plan: Plan, array: Any, stored: Any) -> Any:
    """Return the source filtered, lazily."""
    edges = edges_of(array.chunks)
    like = None if backends.is_on_host(array) else backends.empty_block(array)
    work = Filter(plan, edges, edges, prepared_type(array.dtype), 0, like)
    return _graph(da, work, array, stored, array.chunks)


def _graph(da: Any, work: ResampleTasks, array: Any, stored: Any, chunks: Chunks) -> Any:
    """Make the lazy array: of the chunks of a Dask array, or of what is stored."""
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    from spatial_duck.backends.dask._private import DataNode, Task, TaskRef

    step = "resample" if type(work) is ResampleTasks else "filter"
    name = f"{step}-{tokenize(work.plan, array.name, chunks, work.dtype, work.fill, step)}"
    common = TaskRef(f"{name}-common")
    meta = _filled(work, (0,) * len(chunks))
    tasks: dict[Any, Any] = {}
    if stored is not None:
        # What the settings say here does not hold in the threads that compute.
        kept = current().max_kept_bytes
        tasks[common.key] = Task(common.key, _begin, work, stored, kept, array.dtype)
        ordered, groups = _order(work, array.chunks, kept)
        for index, before in in_turns(name, common, ordered, groups, tasks):
            tasks[name, *index] = Task((name, *index), _read_block, common, index, *before)
        graph = HighLevelGraph.from_collections(name, tasks)
        return da.Array(graph, name, chunks, dtype=work.dtype, meta=meta)
    tasks[common.key] = DataNode(common.key, work)
    sizes = [range(len(c)) for c in chunks]
    refs: dict[tuple[int, ...], Any] = {}
    source = array.name
    for slab, (hit, met) in enumerate(_chunks_needed(work)):
        hits = hit.tolist()
        spans = [list(zip(first.tolist(), stop.tolist(), strict=True)) for first, stop in met]
        indices = itertools.product((slab,), *sizes[1:]) if sizes else ((),)
        for index, hit, span in zip(indices, hits, zip(*spans, strict=True), strict=True):
            key = (name, *index)
            if not hit:
                tasks[key] = Task(key, _outside, common, index)
                continue
            needed = []
            for number in itertools.product(*[range(*ends) for ends in span]):
                ref = refs.get(number)
                if ref is None:
                    refs[number] = ref = TaskRef((source, *number))
                needed.append(ref)
            tasks[key] = Task(key, _block, common, index, *needed)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[array])
    return da.Array(graph, name, chunks, dtype=work.dtype, meta=meta)


def _chunks_needed(
    work: ResampleTasks,
) -> Iterator[tuple[NDArray[np.bool], list[tuple[NDArray[Any], NDArray[Any]]]]]:
    """Return the chunks of the source that the output's need, at each index of the first axis.

    Gives which need any, and along each axis of the source the first and after the last of them.
    """
    sizes = [len(e) - 1 for e in work.outs]
    shape = (1, *sizes[1:]) if sizes else ()
    for bounds, met in work.boxes():
        spans = [
            (np.broadcast_to(e.searchsorted(first, "right") - 1, shape).ravel(),
             np.broadcast_to(e.searchsorted(stop, "left"), shape).ravel())
            for e, (first, stop) in zip(work.sources, bounds, strict=True)
        ]  # fmt: skip
        yield np.broadcast_to(met, shape).ravel(), spans


def uses(work: ResampleTasks) -> NDArray[np.intp]:
    """Return how many chunks of the output need each chunk of the source.

    Each adds one to a box of chunks, which is noted at the box's corners and summed up at last.
    """
    counts = np.zeros([len(e) for e in work.sources], np.intp)
    for hit, spans in _chunks_needed(work):
        for corner in itertools.product((0, 1), repeat=len(spans)):
            at = tuple([span[end][hit] for span, end in zip(spans, corner, strict=True)])
            np.add.at(counts, at, (-1) ** sum(corner))
    for axis in range(counts.ndim):
        counts.cumsum(axis, out=counts)
    return counts[(slice(-1),) * counts.ndim]


def _out_box(work: ResampleTasks, index: tuple[int, ...]) -> Box:
    """Return the box of the output that a chunk is."""
    return tuple([(int(e[i]), int(e[i + 1])) for e, i in zip(work.outs, index, strict=True)])


def _outside(work: ResampleTasks, index: tuple[int, ...]) -> Any:
    """Return a chunk that lies outside the source."""
    return _filled(work, [b - a for a, b in _out_box(work, index)])


def _filled(work: ResampleTasks, shape: Sequence[int]) -> Any:
    """Return a chunk of one value."""
    if work.like is None:
        return np.full(shape, work.fill, dtype=work.dtype)
    place = place_of(work.like)
    return device.outside(place, shape, place.named(work.dtype), work.fill)


def _block(work: ResampleTasks, index: tuple[int, ...], *pieces: Any) -> Any:
    """Compute one chunk of the output from the chunks of the source that it needs."""
    out_box = _out_box(work, index)
    box = work.box(out_box)
    if box is None:  # the box of many chunks was known less exactly
        return _outside(work, index)
    cuts = [chunks_meeting(e, *bounds)[1] for e, bounds in zip(work.sources, box, strict=True)]
    source = assemble(pieces, box, cuts)
    return work.make(source, box, out_box)


@dataclass(frozen=True, slots=True, eq=False)
class TaskRun:
    """Reading of an array on disk for all chunks of one computation."""

    work: ResampleTasks
    reader: ChunkReader


def _begin(work: ResampleTasks, data: Any, kept: float, dtype: np.dtype[Any]) -> TaskRun:
    """Begin a computation: nothing is remembered of the one before."""
    reader = ChunkReader(data, work.sources, cache_limit(kept), partial(uses, work), dtype)
    return TaskRun(work, reader)


def _order(work: ResampleTasks, chunks: Chunks, kept: float) -> tuple[list[tuple[int, ...]], int]:
    """Return the indices of the output's chunks as `in_turns` takes them.

    Where the source is larger than what is kept of it, what needs the same chunks of it comes
    together: layer after layer of them, along the axis along which the fewest bytes are in use at
    once.
    """
    plan, itemsize = work.plan, work.dtype.itemsize
    indices, groups = layers([len(e) - 1 for e in work.outs])
    if itemsize * math.prod(plan.source_shape) <= kept or len(indices) < 2:
        return indices, groups
    indices.sort()
    lasts = [
        np.stack([np.where(hit, stop - 1, -1) for _, stop in spans])
        for hit, spans in _chunks_needed(work)
    ]
    last = np.concatenate(lasts, axis=1)
    reach = [0.0] * len(plan.source_shape)
    fronts = _fronts(plan, chunks, itemsize, reach)
    axes = sorted(range(len(reach)), key=lambda axis: fronts.get(axis, -1.0))
    ranks = np.lexsort([last[axis] for axis in reversed(axes)])
    return [indices[i] for i in ranks.tolist()], MOST_GROUPS


def _read_block(run: TaskRun, index: tuple[int, ...], *_: Any) -> Any:
    """Compute one chunk of the output from what lies on disk, when its turn has come."""
    out_box = _out_box(run.work, index)
    box = run.work.box(out_box)
    if box is None:
        return _outside(run.work, index)
    return run.work.make(run.reader.box(box), box, out_box)
