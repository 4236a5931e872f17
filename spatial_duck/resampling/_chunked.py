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
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._config import current
from spatial_duck._optional import require
from spatial_duck.errors import GeometryError
from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling._chunk_reader import ChunkReader, assemble, cache_limit, chunks_meeting
from spatial_duck.resampling._chunk_tasks import (
    Filter,
    ResampleTasks,
    chunks_needed,
    edges_of,
    uses,
)
from spatial_duck.resampling._device_values import place_of
from spatial_duck.resampling._output_chunks import filter_chunks, output_chunks
from spatial_duck.resampling._prefilter import prepared_type
from spatial_duck.resampling._reading_order import (
    Bands,
    ReadingOrder,
    part_edges,
    reading_order,
)
from spatial_duck.resampling._turns import MOST_GROUPS, LayerGates, in_turns, is_led, layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._chunk_tasks import Chunks, Edges, Order
    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

__all__ = ["execute"]


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
    chunks, order = output_chunks(plan, array.chunks, array.dtype.itemsize, kept)
    kind = array.dtype.newbyteorder("=")
    stored = data if on_disk else None
    layered = bool(plan.filters) and not on_disk and not is_led(array)
    if plan.filters:
        array, stored = _filtered(da, plan, array, stored), None
    work = ResampleTasks(plan, edges_of(chunks), edges_of(array.chunks), kind, fill, like)
    return _graph(da, work, array, stored, chunks, layered, order)


def _filtered(da: Any, plan: Plan, array: Any, stored: Any) -> Any:
    """Return the source filtered, lazily."""
    like = None if backends.is_on_host(array) else backends.empty_block(array)
    dtype = prepared_type(array.dtype)
    chunks = filter_chunks(plan, array.chunks, dtype.itemsize)
    work = Filter(plan, edges_of(chunks), edges_of(array.chunks), dtype, 0, like)
    return _graph(da, work, array, stored, chunks)


def _graph(
    da: Any, work: ResampleTasks, array: Any, stored: Any, chunks: Chunks, layered: bool = False,
    order: ReadingOrder | None = None,
) -> Any:  # fmt: skip
    """Make the lazy array: of the chunks of a Dask array, or of what is stored, in an order.

    What is filtered overlaps, and waits for what needs it: it comes layer after layer if asked.
    """
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
        ordered, groups, bands = _order(work, array.dtype.itemsize, kept, order)
        tasks[common.key] = Task(common.key, _begin, work, stored, kept, array.dtype, bands)
        for index, before in in_turns(name, common, ordered, groups, tasks):
            tasks[name, *index] = Task((name, *index), _read_block, common, index, *before)
        graph = HighLevelGraph.from_collections(name, tasks)
        return da.Array(graph, name, chunks, dtype=work.dtype, meta=meta)
    tasks[common.key] = DataNode(common.key, work)
    sizes = [range(len(c)) for c in chunks]
    refs: dict[tuple[int, ...], Any] = {}
    source = array.name
    gates = LayerGates(name, [len(c) for c in chunks]) if layered else None
    indices = itertools.product(*sizes)
    for hit, met in chunks_needed(work):
        hits = hit.tolist()
        spans = [list(zip(first.tolist(), stop.tolist(), strict=True)) for first, stop in met]
        here = itertools.islice(indices, len(hits))
        for index, hit, span in zip(here, hits, zip(*spans, strict=True), strict=True):
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
            before = (None, None)
            if gates is not None:
                before = gates.gate(index, len(needed)), gates.own(index, tasks)
            tasks[key] = Task(key, _block, common, index, *before, *needed)
    if gates is not None:
        gates.add(tasks)
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[array])
    return da.Array(graph, name, chunks, dtype=work.dtype, meta=meta)


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


def _block(work: ResampleTasks, index: tuple[int, ...], _gate: Any, _own: Any, *pieces: Any) -> Any:
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
    bands: Bands


def _begin(
    work: ResampleTasks, data: Any, kept: float, dtype: np.dtype[Any], bands: Bands
) -> TaskRun:
    """Begin a computation: nothing is remembered of the one before."""
    parts = part_edges(work.plan, work.sources, dtype.itemsize)
    reader = ChunkReader(
        data, work.sources, cache_limit(kept), partial(_uses, work, parts, bands), dtype, parts
    )
    return TaskRun(work, reader, bands)


def _uses(work: ResampleTasks, parts: Edges, bands: Bands, band: int) -> NDArray[np.intp]:
    """Return how often a band needs each part."""
    here = bands.work(work, band)
    return uses(replace(here, outs=here.pieces(), sources=parts))


def _order(
    work: ResampleTasks, itemsize: int, kept: float, order: ReadingOrder | None
) -> tuple[Order, int, Bands]:
    """Return the indices of the output's chunks as `in_turns` takes them, and their bands."""
    indices, groups = layers([len(e) - 1 for e in work.outs])
    if itemsize * math.prod(work.plan.source_shape) <= kept or len(indices) < 2:
        return indices, groups, Bands.one(work)
    order = order or reading_order(work, itemsize, kept)
    return order.chunks, MOST_GROUPS, order.bands


def _read_block(run: TaskRun, index: tuple[int, ...], *_: Any) -> Any:
    """Compute one chunk of the output from what lies on disk, when its turn has come."""
    work, band = run.work, run.bands.number(index)
    out_box = _out_box(work, index)
    box = work.box(out_box)
    if box is None:
        return _outside(work, index)
    edges = replace(work, outs=tuple([np.array(ends) for ends in out_box])).pieces()
    pieces = [list(itertools.pairwise(e.tolist())) for e in edges]
    if math.prod(map(len, pieces)) == 1:
        return work.make(run.reader.box(box, band), box, out_box)
    out = np.empty([stop - start for start, stop in out_box], work.dtype)
    for piece in itertools.product(*pieces):
        here = out[tuple([slice(a - f, b - f) for (a, b), (f, _) in
                          zip(piece, out_box, strict=True)])]  # fmt: skip
        box = work.box(piece)
        if box is None:
            here[...] = work.fill
        else:
            memory.fill_in(work.plan, run.reader.box(box, band), box, here, work.fill, 1, piece)
    return out
