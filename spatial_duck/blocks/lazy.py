"""Jobs over arrays in chunks, lazily: a Dask graph with one task for each block.

A task depends on those chunks of each image that meet the box which its block needs. Where windows
are blended, each chunk of the result is the weighted sum of the blocks that reach into it. The job
itself is a node of the graph, so that it (a network, perhaps) goes to each worker once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.blocks.cover import weighted
from spatial_duck.blocks.memory import rounded
from spatial_duck.blocks.regions import slices
from spatial_duck.errors import missing_extra
from spatial_duck.resampling.blocks import work_type
from spatial_duck.resampling.reading import assembled, meeting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from spatial_duck.blocks.job import BlockValue, Job
    from spatial_duck.blocks.regions import Box
    from spatial_duck.resampling.reading import Cuts

    Number = tuple[int, ...]

__all__ = ["as_dask", "execute", "values"]

#: So many values are combined at once.
_FAN = 16


def as_dask(data: Any) -> Any:
    """Return the data of an image as a Dask array, without computing or reading it."""
    try:
        import dask.array as da
    except ImportError:
        raise missing_extra("dask", "dask", "map_blocks on an array in chunks") from None
    if hasattr(data, "to_dask"):
        return data.to_dask()
    return data if isinstance(data, da.Array) else da.from_array(data)


def execute(job: Job, arrays: Sequence[Any]) -> Any:
    """Return the result of a job as a lazy Dask array.

    Parameters
    ----------
    job : Job
        With a dtype.
    arrays : sequence of dask.array.Array
        The data of each image.
    """
    import dask.array as da
    from dask.highlevelgraph import HighLevelGraph

    assert job.dtype is not None
    graph = _Graph.of("map_blocks", _compute, job, arrays)
    name = f"{graph.name}-blend" if job.blended else graph.name
    layers = HighLevelGraph.from_collections(name, graph, dependencies=arrays)
    chunks = tuple([cover.chunks for cover in job.covers])
    meta = np.empty_like(arrays[0]._meta, shape=(0,) * job.grid.ndim, dtype=job.dtype)
    return da.Array(layers, name, chunks, dtype=job.dtype, meta=meta)


def values(
    job: Job,
    arrays: Sequence[Any],
    combine: Callable[[list[Any]], Any] | None,
    finish: Callable[[Job, list[Any]], list[BlockValue]],
) -> Any:
    """Return the values of all blocks, or what they are combined to, as a Delayed."""
    from dask._task_spec import List, Task, TaskRef
    from dask.delayed import Delayed
    from dask.highlevelgraph import HighLevelGraph

    graph = _Graph.of("reduce_blocks", _value, job, arrays)
    name, tasks = graph.name, dict(graph)
    keys: list[Any] = [(name, *number) for number in job.numbers]
    if combine is None:
        out: Any = f"{name}-list"
        parts = List(*[TaskRef(key) for key in keys])
        tasks[out] = Task(out, finish, TaskRef(f"{name}-job"), parts)
    else:
        level = 0
        while len(keys) > 1 or level == 0:
            groups = [keys[i : i + _FAN] for i in range(0, len(keys), _FAN)]
            keys = []
            for i, group in enumerate(groups):
                key = (f"{name}-combine", level, i)
                tasks[key] = Task(key, combine, List(*[TaskRef(k) for k in group]))
                keys.append(key)
            level += 1
        (out,) = keys
    layers = HighLevelGraph.from_collections(name, tasks, dependencies=arrays)
    return Delayed(out, layers, layer=name)


# --- the graph ----------------------------------------------------------------------------


class _Chunked(NamedTuple):
    """What the graph knows of an array."""

    name: str
    chunks: tuple[tuple[int, ...], ...]
    meta: Any


@dataclass(eq=False)
class _Graph(Mapping[Any, Any]):
    """The tasks of a job by key, made when first asked for.

    So that planning costs the same for any number of blocks, and what goes to a scheduler in
    another process is the job and not its tasks.
    """

    name: str
    compute: Callable[..., Any]
    job: Job
    arrays: tuple[_Chunked, ...]

    @classmethod
    def of(cls, what: str, compute: Callable[..., Any], job: Job, arrays: Sequence[Any]) -> _Graph:
        """Return the graph that calls `compute` for each block."""
        from dask.base import tokenize

        token = tokenize(
            job.function, job.dtype, job.fill, job.grid, [a.name for a in arrays],
            [(c.edges, c.windows, c.weights) for c in job.covers],
            [(s.geometry, s.attrs, s.axes, s.interpolation) for s in job.sources],
        )  # fmt: skip
        known = tuple([_Chunked(a.name, a.chunks, a._meta) for a in arrays])
        return cls(f"{what}-{token}", compute, job, known)

    def __getitem__(self, key: Any) -> Any:
        return self._tasks[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Graph, (self.name, self.compute, self.job, self.arrays)

    @cached_property
    def _tasks(self) -> dict[Any, Any]:
        from dask._task_spec import DataNode, Task, TaskRef

        name, compute, job = self.name, self.compute, self.job
        tasks: dict[Any, Any] = {f"{name}-job": DataNode(f"{name}-job", job)}
        ref = TaskRef(f"{name}-job")
        finders = [_Finder(array) for array in self.arrays]
        for number in job.numbers:
            boxes = job.boxes(number)
            cuts, pieces = [], []
            for finder, box in zip(finders, boxes, strict=True):
                cut, found = finder(box)
                cuts.append(cut)
                pieces += found
            key = (name, *number)
            # The pieces are arguments of their own: containers would be tasks inside the task.
            tasks[key] = Task(key, compute, ref, number, tuple(boxes), tuple(cuts), *pieces)
        if job.blended:
            for number in job.numbers:
                near = [c.meeting(k) for c, k in zip(job.covers, number, strict=True)]
                blocks = tuple(itertools.product(*near))
                key = (f"{name}-blend", *number)
                parts = [TaskRef((name, *k)) for k in blocks]
                tasks[key] = Task(key, _blend, ref, number, blocks, *parts)
        return tasks


class _Finder:
    """Finds the chunks of an array that meet boxes; most boxes share their bounds and chunks."""

    def __init__(self, array: _Chunked) -> None:
        self._name, self._meta = array.name, array.meta
        self._edges = [np.cumsum([0, *c]) for c in array.chunks]
        self._met: list[dict[tuple[int, int], tuple[range, Cuts]]] = [{} for _ in array.chunks]
        self._refs: dict[Number, Any] = {}

    def __call__(self, box: Box) -> tuple[tuple[Cuts, ...] | None, list[Any]]:
        """Return the parts of chunks along each axis, and references to the chunks."""
        from dask._task_spec import TaskRef

        met = []
        for seen, edges, bounds in zip(self._met, self._edges, box, strict=True):
            if bounds[1] <= bounds[0]:  # no chunk is read for no voxels
                return None, [self._meta]
            if bounds not in seen:
                seen[bounds] = meeting(edges, *bounds)
            met.append(seen[bounds])
        refs = self._refs
        found = []
        for k in itertools.product(*[m[0] for m in met]):
            if k not in refs:
                refs[k] = TaskRef((self._name, *k))
            found.append(refs[k])
        return tuple([m[1] for m in met]), found


# --- what the tasks do --------------------------------------------------------------------


def _part(box: Box, cuts: Sequence[Cuts] | None, pieces: Sequence[Any]) -> Any:
    """Put the parts of chunks that meet a box together."""
    if cuts is None:
        return np.empty_like(pieces[0], shape=[stop - start for start, stop in box])
    return assembled(pieces, box, cuts)


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
    job: Job,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    *pieces: Any,
) -> Any:
    """Compute what is needed of one block's result."""
    return job.compute(number, boxes, _parts(boxes, cuts, pieces))


def _value(
    job: Job,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    *pieces: Any,
) -> Any:
    """Return what the function returns for one block."""
    return job.value(number, boxes, _parts(boxes, cuts, pieces))


def _blend(job: Job, number: Number, blocks: Sequence[Number], *parts: Any) -> Any:
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
