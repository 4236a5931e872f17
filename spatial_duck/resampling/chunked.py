"""Resampling of arrays in chunks, lazily: for each output chunk the input box that it needs.

The result is a Dask array. Each of its chunks depends on those chunks of the source that meet its
input box, and on nothing where it lies outside the source. Chunks are computed as in memory, from
indices in the whole output, so that the values are the same to the bit.
"""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError, missing_extra
from spatial_duck.resampling import memory
from spatial_duck.resampling.blocks import fill_block

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling.plan import Box, Plan

    Chunks = tuple[tuple[int, ...], ...]

__all__ = ["execute", "output_chunks"]

#: Bytes of an output chunk, at most.
_LARGEST = 1 << 25


def execute(plan: Plan, data: Any, fill: Any) -> Any:
    """Resample an array in chunks.

    Parameters
    ----------
    plan : Plan
        What to do.
    data : dask.array.Array or array with ``to_dask()``
        The source.
    fill : scalar
        Value of voxels outside it.

    Returns
    -------
    dask.array.Array
        Lazy. A slice of the source, still on disk where that is, where the result is one.
    """
    try:
        import dask.array as da
    except ImportError:
        raise missing_extra("dask", "dask", "Resampling an array in chunks") from None
    on_disk = hasattr(data, "to_dask")
    found = memory.view(plan, data) if on_disk else None
    if found is not None:
        return found
    array = data.to_dask() if on_disk else data
    if not isinstance(array, da.Array) or not isinstance(array._meta, np.ndarray):
        raise TypeError(
            f"resample works on NumPy, Dask and Zarr arrays, got {type(data).__name__}"
            f"{' of ' + type(array._meta).__name__ if isinstance(array, da.Array) else ''}; "
            "bring the image to one of these with image.to(...)"
        )
    if any(math.isnan(n) for n in array.shape):
        raise GeometryError(
            f"resample needs the shape of the image, got {array.shape}; call compute_chunk_sizes() "
            "on the Dask array first"
        )
    found = memory.view(plan, array)
    if found is not None:
        return found
    chunks = output_chunks(plan, array.chunks, array.dtype.itemsize)
    return _graph(da, plan, array, chunks, fill)


def output_chunks(plan: Plan, chunks: Chunks, itemsize: int) -> Chunks:
    """Choose the chunks of the output: as much of the world in each as in the source's.

    Axes that are carried along keep their chunks. No chunk is larger than 32 MiB, unless axes that
    are carried along make it so.
    """
    out: list[tuple[int, ...] | None] = [None] * len(plan.shape)
    sizes: dict[int, float] = {}
    for line in plan.lines:
        if line.out is None:
            continue
        if line.exact and line.scale == 1 and line.offset == 0:
            if plan.shape[line.out] == line.length:
                out[line.out] = chunks[line.source]
                continue
        sizes[line.out] = max(chunks[line.source], default=1) / abs(line.scale)
    if plan.mixed is not None:
        edges = [max(max(chunks[s], default=1), 1) for s in plan.mixed.sources]
        edge = math.prod(edges) ** (1 / len(edges))
        for column, o in enumerate(plan.mixed.outs):
            sizes[o] = edge / math.hypot(*[row[column] for row in plan.mixed.matrix])
    for o in plan.repeated:
        sizes[o] = plan.shape[o]
    whole = {o: max(min(round(size), plan.shape[o]), 1) for o, size in sizes.items()}
    rest = itemsize * math.prod([max(c, default=1) for c in out if c is not None])
    while math.prod(whole.values()) * rest > _LARGEST and max(whole.values(), default=1) > 1:
        longest = max(whole, key=lambda o: whole[o])
        whole[longest] = -(-whole[longest] // 2)
    for o, size in whole.items():
        n = plan.shape[o]
        out[o] = tuple([min(size, n - i) for i in range(0, n, size)]) or (0,)
    return tuple([c if c is not None else (0,) for c in out])


def _ranges(chunks: Sequence[int]) -> list[tuple[int, int]]:
    """Return start and stop of each chunk along an axis."""
    ends = list(itertools.accumulate(chunks))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _graph(da: Any, plan: Plan, array: Any, chunks: Chunks, fill: Any) -> Any:
    """Make the lazy array."""
    from dask._task_spec import List, Task, TaskRef
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

    dtype = array.dtype.newbyteorder("=")
    name = f"resample-{tokenize(plan, array.name, chunks, fill)}"
    edges = [np.cumsum([0, *c]) for c in array.chunks]
    compute = partial(_compute, plan, dtype, fill)
    tasks: dict[Any, Any] = {}
    for index, out_box, box in _boxes(plan, chunks):
        key = (name, *index)
        if box is None:
            shape = tuple([stop - start for start, stop in out_box])
            tasks[key] = Task(key, fill_block, shape, dtype, fill)
            continue
        met = [_meeting(e, *bounds) for e, bounds in zip(edges, box, strict=True)]
        pieces = [
            TaskRef((array.name, *number)) for number in itertools.product(*[m[0] for m in met])
        ]
        cuts = tuple([m[1] for m in met])
        tasks[key] = Task(key, compute, out_box, box, cuts, List(*pieces))
    graph = HighLevelGraph.from_collections(name, tasks, dependencies=[array])
    return da.Array(graph, name, chunks, dtype=dtype, meta=np.empty((0,) * len(chunks), dtype))


def _boxes(plan: Plan, chunks: Chunks) -> Iterator[tuple[tuple[int, ...], Box, Box | None]]:
    """Give index, output box and input box of each output chunk."""
    ranges = [_ranges(c) for c in chunks]
    # What a line needs depends on one axis of the output: it is worked out once for each range.
    needs: list[list[tuple[int, int] | None]] = []
    for line in plan.lines:
        parts = [(0, 1)] if line.out is None else ranges[line.out]
        tables = [line.table(*part, plan.order, plan.edge) for part in parts]
        needs.append([t.bounds if t.stop > t.start else None for t in tables])
    mixed = plan.mixed
    for index in itertools.product(*[range(len(r)) for r in ranges]):
        out_box = tuple([r[i] for r, i in zip(ranges, index, strict=True)])
        box: list[tuple[int, int] | None] = [None] * len(plan.source_shape)
        for line, need in zip(plan.lines, needs, strict=True):
            box[line.source] = need[0 if line.out is None else index[line.out]]
        if mixed is not None:
            found = mixed.bounds(tuple([out_box[o] for o in mixed.outs]), plan.edge)
            for i, source in enumerate(mixed.sources):
                box[source] = None if found is None else found[i]
        full = [b for b in box if b is not None]
        yield index, out_box, tuple(full) if len(full) == len(box) else None


def _meeting(
    edges: NDArray[np.intp], start: int, stop: int
) -> tuple[range, tuple[tuple[int, int], ...]]:
    """Return the chunks that meet a range, and the part of each (from, to) that lies in it."""
    first = int(np.searchsorted(edges, start, "right")) - 1
    last = int(np.searchsorted(edges, stop, "left"))
    return range(first, last), tuple(
        [
            (max(start - int(edges[i]), 0), min(stop, int(edges[i + 1])) - int(edges[i]))
            for i in range(first, last)
        ]
    )


def _compute(
    plan: Plan,
    dtype: np.dtype[Any],
    fill: Any,
    out_box: Box,
    box: Box,
    cuts: tuple[tuple[tuple[int, int], ...], ...],
    pieces: Sequence[NDArray[Any]],
) -> NDArray[Any]:
    """Compute one chunk of the output from the chunks of the source that it needs."""
    if len(pieces) == 1:
        source = np.asarray(pieces[0])[tuple([slice(*c[0]) for c in cuts])]
    else:
        source = np.empty([stop - start for start, stop in box], dtype)
        starts = [[0, *itertools.accumulate([b - a for a, b in c])] for c in cuts]
        numbers = itertools.product(*[range(len(c)) for c in cuts])
        for piece, number in zip(pieces, numbers, strict=True):
            here = tuple([slice(*c[i]) for c, i in zip(cuts, number, strict=True)])
            there = tuple([slice(s[i], s[i + 1]) for s, i in zip(starts, number, strict=True)])
            source[there] = np.asarray(piece)[here]
    out = np.empty([stop - start for start, stop in out_box], dtype)
    memory.fill_in(plan, source, box, out, fill, threads=1, out_box=out_box)
    return out
