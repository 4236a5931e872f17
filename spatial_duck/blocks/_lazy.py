"""Jobs over arrays in chunks, lazily: a Dask graph with one task for each block.

A task depends on those chunks of each image that meet the box which its block needs; an image on
disk is read in the tasks themselves, by a `ChunkReader` that keeps some of its chunks, since chunks
that are results wait in memory for all blocks around them. Blocks of it, and windows that are
blended, come layer after layer, so that few results wait for their neighbours. Where windows are
blended, each chunk of the result is the weighted sum of the blocks that reach into it. The job
itself is a node of the graph, so that it (a network, perhaps) goes to each worker once.
"""

from __future__ import annotations

import itertools
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._config import current
from spatial_duck._optional import require
from spatial_duck.blocks._cover import weighted
from spatial_duck.blocks._index_map import slices
from spatial_duck.blocks._memory import rounded
from spatial_duck.resampling._blocks import work_type
from spatial_duck.resampling._chunk_reader import ChunkReader, assemble, cache_limit, chunks_meeting
from spatial_duck.resampling._chunk_tasks import edges_of
from spatial_duck.resampling._turns import LayerGates, in_turns, is_led, layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from spatial_duck.blocks._index_map import Box
    from spatial_duck.blocks._tasks import BlockJob, BlockValue
    from spatial_duck.resampling._chunk_reader import Cuts

    Number = tuple[int, ...]

__all__ = ["execute", "values"]

#: So many values are combined at once.
_FAN = 16


def _as_dask(data: Any) -> Any:
    """Return the data of an image as a Dask array, without computing or reading it."""
    require("dask.array", "map_blocks on an array in chunks")
    return backends.dask_form(data) if backends.is_lazy(data) else backends.chunked(data)


def execute(job: BlockJob, data: Sequence[Any]) -> Any:
    """Return the result of a job as a lazy Dask array.

    Parameters
    ----------
    job : BlockJob
        With a dtype.
    data : sequence of array
        The data of each image: on disk, of chunks, or in memory.
    """
    graph, needed = _Graph.of("map_blocks", _compute, job, data)
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    assert job.dtype is not None
    name = f"{graph.name}-blend" if job.blended else graph.name
    layers = HighLevelGraph.from_collections(name, graph, dependencies=needed)
    chunks = tuple([cover.chunks for cover in job.covers])
    meta = np.empty_like(graph.arrays[0].meta, shape=(0,) * job.grid.ndim, dtype=job.dtype)
    return da.Array(layers, name, chunks, dtype=job.dtype, meta=meta)


def values(
    job: BlockJob,
    data: Sequence[Any],
    combine: Callable[[list[Any]], Any] | None,
    finish: Callable[[BlockJob, list[Any]], list[BlockValue]],
) -> Any:
    """Return the values of all blocks, or what they are combined to, as a Delayed."""
    graph, needed = _Graph.of("reduce_blocks", _value, job, data)
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    reduced = _Reduced(graph, combine, finish)
    layers = HighLevelGraph.from_collections(graph.name, reduced, dependencies=needed)
    return Delayed(reduced.out, layers, layer=graph.name)


# --- the graph ----------------------------------------------------------------------------


class _Chunked(NamedTuple):
    """Name and chunks of an array in the graph."""

    name: str
    chunks: tuple[tuple[int, ...], ...]
    meta: Any
    stored: Any  # what is on disk, or None
    kept: float
    led: bool  # whether its chunks come in turns

    @property
    def edges(self) -> list[Any]:
        """Where the chunks begin along each axis, and where the last one ends."""
        return list(edges_of(self.chunks))


class _Made(Mapping[Any, Any]):
    """Tasks by key, made when first asked for.

    So that planning costs the same for any number of blocks, and what goes to a scheduler in
    another process is what they are made of.
    """

    @abstractmethod
    def make(self) -> dict[Any, Any]:
        """Make the tasks."""

    @cached_property
    def _tasks(self) -> dict[Any, Any]:
        return self.make()

    def __getitem__(self, key: Any) -> Any:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


@dataclass(eq=False)
class _Graph(_Made):
    """The tasks of a job."""

    name: str
    compute: Callable[..., Any]
    job: BlockJob
    arrays: tuple[_Chunked, ...]

    @classmethod
    def of(
        cls, what: str, compute: Callable[..., Any], job: BlockJob, data: Sequence[Any]
    ) -> tuple[_Graph, list[Any]]:
        """Return the graph that calls `compute` for each block, and the arrays that it needs."""
        arrays = [_as_dask(d) for d in data]
        from dask.base import tokenize

        stored = [d if backends.is_stored(d) else None for d in data]
        # What the settings say here does not hold in the threads that compute.
        kept = current().max_kept_bytes / max(1, sum(s is not None for s in stored))
        token = tokenize(
            job.function, job.dtype, job.fill, job.grid, [a.name for a in arrays],
            [(c.edges, c.windows, c.weights) for c in job.covers],
            [(s.geometry, s.attrs, s.axes, s.interpolation, s.coords) for s in job.sources],
        )  # fmt: skip
        known = tuple([
            _Chunked(a.name, a.chunks, backends.empty_block(a), s, kept, s is not None or is_led(a))
            for a, s in zip(arrays, stored, strict=True)
        ])  # fmt: skip
        needed = [a for a, s in zip(arrays, stored, strict=True) if s is None]
        return cls(f"{what}-{token}", compute, job, known), needed

    def __reduce__(self) -> tuple[Any, ...]:
        return _Graph, (self.name, self.compute, self.job, self.arrays)

    def make(self) -> dict[Any, Any]:
        """Make the tasks."""
        from spatial_duck.backends.dask._private import DataNode, Task, TaskRef

        name, compute, job = self.name, self.compute, self.job
        tasks: dict[Any, Any] = {f"{name}-job": DataNode(f"{name}-job", job)}
        ref = TaskRef(f"{name}-job")
        finders, first = [], None
        for n, array in enumerate(self.arrays):
            reader = None
            if array.stored is not None:
                read = f"{name}-read-{n}"
                tasks[read] = Task(read, _reader, array.stored, array.edges, array.kept, ref, n)
                reader = TaskRef(read)
                first = first or reader
            finders.append(_Finder(array, reader))
        numbers: Iterable[tuple[Number, tuple[Any, ...]]] = zip(job.numbers, itertools.repeat(()))
        gates = None
        if job.blended and not all(array.led for array in self.arrays):
            gates = LayerGates(name, job.counts)
        elif first is not None:
            numbers = in_turns(name, first, *layers(job.counts), tasks)
        for number, before in numbers:
            boxes = job.boxes(number)
            cuts, pieces = [], []
            for finder, box in zip(finders, boxes, strict=True):
                cut, found = finder(box)
                cuts.append(cut)
                pieces += found
            if gates is not None:
                before = (*before, gates.gate(number, len(pieces)))
            key = (name, *number)
            # The pieces are arguments of their own: containers would be tasks inside the task.
            tasks[key] = Task(
                key, compute, ref, number, tuple(boxes), tuple(cuts), *pieces, *before
            )
        if job.blended:
            for number in job.numbers:
                near = [c.meeting(k) for c, k in zip(job.covers, number, strict=True)]
                blocks = tuple(itertools.product(*near))
                key = (f"{name}-blend", *number)
                parts = [TaskRef((name, *k)) for k in blocks]
                own = None if gates is None else gates.own(number, tasks)
                tasks[key] = Task(key, _blend, ref, number, blocks, own, *parts)
        if gates is not None:
            gates.add(tasks)
        return tasks


@dataclass(eq=False)
class _Reduced(_Made):
    """The tasks of a job, and those that bring its values together."""

    graph: _Graph
    combine: Callable[[list[Any]], Any] | None
    finish: Callable[[BlockJob, list[Any]], list[BlockValue]]

    @property
    def out(self) -> Any:
        """The key of the one value, or of the list."""
        if self.combine is None:
            return f"{self.graph.name}-list"
        level, left = 0, -(-math.prod(self.graph.job.counts) // _FAN)
        while left > 1:
            level, left = level + 1, -(-left // _FAN)
        return (f"{self.graph.name}-combine", level, 0)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Reduced, (self.graph, self.combine, self.finish)

    def make(self) -> dict[Any, Any]:
        """Make the tasks."""
        from spatial_duck.backends.dask._private import List, Task, TaskRef

        name, tasks = self.graph.name, dict(self.graph)
        keys: list[Any] = [(name, *number) for number in self.graph.job.numbers]
        if self.combine is None:
            parts = List(*[TaskRef(key) for key in keys])
            tasks[self.out] = Task(self.out, self.finish, TaskRef(f"{name}-job"), parts)
            return tasks
        level = 0
        while self.out not in tasks:
            groups = [keys[i : i + _FAN] for i in range(0, len(keys), _FAN)]
            keys = [(f"{name}-combine", level, i) for i in range(len(groups))]
            for key, group in zip(keys, groups, strict=True):
                tasks[key] = Task(key, self.combine, List(*[TaskRef(k) for k in group]))
            level += 1
        return tasks


class _Finder:
    """Finds the chunks of an array that meet boxes; most boxes share their bounds and chunks."""

    def __init__(self, array: _Chunked, reader: Any) -> None:
        self._name, self._meta, self._reader = array.name, array.meta, reader
        self._edges = array.edges
        self._met: list[dict[tuple[int, int], tuple[range, Cuts]]] = [{} for _ in array.chunks]
        self._refs: dict[Number, Any] = {}

    def __call__(self, box: Box) -> tuple[tuple[Cuts, ...] | None, list[Any]]:
        """Return the parts of chunks along each axis, and references to the chunks."""
        from spatial_duck.backends.dask._private import TaskRef

        if any(stop <= start for start, stop in box):  # no chunk is read for no voxels
            return None, [self._meta]
        if self._reader is not None:
            return None, [self._reader]
        met = []
        for seen, edges, bounds in zip(self._met, self._edges, box, strict=True):
            if bounds not in seen:
                seen[bounds] = chunks_meeting(edges, *bounds)
            met.append(seen[bounds])
        refs = self._refs
        found = []
        for k in itertools.product(*[m[0] for m in met]):
            if k not in refs:
                refs[k] = TaskRef((self._name, *k))
            found.append(refs[k])
        return tuple([m[1] for m in met]), found


# --- what the tasks do --------------------------------------------------------------------


def _reader(stored: Any, edges: Sequence[Any], kept: float, job: BlockJob, n: int) -> ChunkReader:
    """Begin to read an image: nothing is remembered of the computation before."""
    return ChunkReader(stored, edges, cache_limit(kept), partial(_uses, job, n, edges))


def _uses(job: BlockJob, n: int, edges: Sequence[NDArray[np.intp]], _band: int) -> NDArray[np.intp]:
    """Return how many blocks need each chunk of an image: they are one band."""
    counts = np.zeros([len(e) - 1 for e in edges], np.intp)
    for number in job.numbers:
        box = job.boxes(number)[n]
        if all(stop > start for start, stop in box):
            met = [chunks_meeting(e, *bounds)[0] for e, bounds in zip(edges, box, strict=True)]
            counts[tuple([slice(m.start, m.stop) for m in met])] += 1
    return counts


def _part(box: Box, cuts: Sequence[Cuts] | None, pieces: Sequence[Any]) -> Any:
    """Assemble a box from the parts of chunks that meet it."""
    if isinstance(pieces[0], ChunkReader):
        return pieces[0].box(box)
    if cuts is None:
        return np.empty_like(pieces[0], shape=[stop - start for start, stop in box])
    return assemble(pieces, box, cuts)


def _parts(
    boxes: Sequence[Box], cuts: Sequence[Sequence[Cuts] | None], pieces: Sequence[Any]
) -> list[Any]:
    """Return what each image has in its box."""
    ends = itertools.accumulate([1 if c is None else math.prod(map(len, c)) for c in cuts])
    bounds = itertools.pairwise([0, *ends])
    return [
        _part(box, cut, pieces[start:stop])
        for box, cut, (start, stop) in zip(boxes, cuts, bounds, strict=True)
    ]


def _compute(
    job: BlockJob,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    *pieces: Any,
) -> Any:
    """Compute what is needed of one block's result."""
    return job.compute(number, boxes, _parts(boxes, cuts, pieces))


def _value(
    job: BlockJob,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    *pieces: Any,
) -> Any:
    """Return what the function returns for one block."""
    return job.value(number, boxes, _parts(boxes, cuts, pieces))


def _blend(job: BlockJob, number: Number, blocks: Sequence[Number], _own: Any, *parts: Any) -> Any:
    """Add up the blocks that reach into one chunk of the result."""
    assert job.dtype is not None
    core = job.core(number)
    shape = [stop - start for start, stop in core]
    out = np.zeros_like(parts[0], shape=shape, dtype=work_type(job.dtype))
    for block, part in zip(blocks, parts, strict=True):
        needed = job.needed(block)
        box = tuple([(max(a, c), min(b, d)) for (a, b), (c, d) in zip(needed, core, strict=True)])
        values = part[slices([(a - n, b - n) for (a, b), (n, _) in zip(box, needed, strict=True)])]
        key = slices([(a - c, b - c) for (a, b), (c, _) in zip(box, core, strict=True)])
        out[key] += weighted(values, job.weights(block, box), out.dtype)
    return rounded(out, job.dtype)
