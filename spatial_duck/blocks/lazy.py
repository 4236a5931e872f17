"""Jobs over arrays in chunks, lazily: a Dask graph with one task for each block.

A task depends on those chunks of each image that meet the box which its block needs. Where windows
are blended, each chunk of the result is the weighted sum of the blocks that reach into it. The job
itself is a node of the graph, so that it (a network, perhaps) goes to each worker once.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.blocks.cover import weighted
from spatial_duck.blocks.memory import rounded
from spatial_duck.blocks.regions import slices
from spatial_duck.errors import missing_extra
from spatial_duck.resampling.blocks import work_type
from spatial_duck.resampling.reading import assembled, meeting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
    from dask._task_spec import List, Task, TaskRef
    from dask.highlevelgraph import HighLevelGraph

    assert job.dtype is not None
    name, tasks = _tasks("map_blocks", _compute, job, arrays)
    if job.blended:
        layer, ref = f"{name}-blend", TaskRef(f"{name}-job")
        for number in job.numbers:
            near = itertools.product(
                *[c.meeting(k) for c, k in zip(job.covers, number, strict=True)]
            )
            found = tuple(near)
            parts = List(*[TaskRef((name, *k)) for k in found])
            key = (layer, *number)
            tasks[key] = Task(key, _blend, ref, number, found, parts)
        name = layer
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=arrays)
    chunks = tuple([cover.chunks for cover in job.covers])
    meta = np.empty_like(arrays[0]._meta, shape=(0,) * job.grid.ndim, dtype=job.dtype)
    return da.Array(graph, name, chunks, dtype=job.dtype, meta=meta)


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

    name, tasks = _tasks("reduce_blocks", _value, job, arrays)
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
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=arrays)
    return Delayed(out, graph, layer=name)


def _tasks(
    what: str, compute: Callable[..., Any], job: Job, arrays: Sequence[Any]
) -> tuple[str, dict[Any, Any]]:
    """Return a name, and the tasks that compute one block each."""
    from dask._task_spec import DataNode, List, Task, TaskRef
    from dask.base import tokenize

    token = tokenize(
        job.function, job.dtype, job.fill, job.grid, [a.name for a in arrays],
        [(c.edges, c.windows, c.weights) for c in job.covers],
        [(s.geometry, s.attrs, s.axes, s.interpolation) for s in job.sources],
    )  # fmt: skip
    name = f"{what}-{token}"
    tasks: dict[Any, Any] = {f"{name}-job": DataNode(f"{name}-job", job)}
    ref = TaskRef(f"{name}-job")
    edges = [[np.cumsum([0, *c]) for c in array.chunks] for array in arrays]
    known: list[list[dict[tuple[int, int], Any]]] = [[{} for _ in a.chunks] for a in arrays]
    for number in job.numbers:
        boxes = job.boxes(number)
        cuts: list[Sequence[Cuts] | None] = []
        pieces = []
        for array, ends, seen, box in zip(arrays, edges, known, boxes, strict=True):
            met = []
            if any(stop <= start for start, stop in box):  # no chunk is read for no voxels
                cuts.append(None)
                pieces.append(List(array._meta))
                continue
            for axis, bounds in enumerate(box):
                if bounds not in seen[axis]:
                    seen[axis][bounds] = meeting(ends[axis], *bounds)
                met.append(seen[axis][bounds])
            cuts.append(tuple([m[1] for m in met]))
            pieces.append(
                List(*[TaskRef((array.name, *k)) for k in itertools.product(*[m[0] for m in met])])
            )
        key = (name, *number)
        tasks[key] = Task(key, compute, ref, number, tuple(boxes), tuple(cuts), List(*pieces))
    return name, tasks


def _part(box: Box, cuts: Sequence[Cuts] | None, pieces: Sequence[Any]) -> Any:
    """Put the parts of chunks that meet a box together."""
    if cuts is None:
        return np.empty_like(pieces[0], shape=[stop - start for start, stop in box])
    return assembled(pieces, box, cuts)


def _compute(
    job: Job,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    pieces: Sequence[Any],
) -> Any:
    """Compute what is needed of one block's result."""
    data = [_part(b, c, p) for b, c, p in zip(boxes, cuts, pieces, strict=True)]
    return job.compute(number, boxes, data)


def _value(
    job: Job,
    number: Number,
    boxes: Sequence[Box],
    cuts: Sequence[Sequence[Cuts] | None],
    pieces: Sequence[Any],
) -> Any:
    """Return what the function returns for one block."""
    data = [_part(b, c, p) for b, c, p in zip(boxes, cuts, pieces, strict=True)]
    return job.value(number, boxes, data)


def _blend(job: Job, number: Number, blocks: Sequence[Number], parts: Sequence[Any]) -> Any:
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
