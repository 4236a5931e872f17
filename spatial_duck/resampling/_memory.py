"""Resampling of arrays in memory: slabs of the output, in a pool of threads."""

from __future__ import annotations

import itertools
import math
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.resampling._blocks import block
from spatial_duck.resampling._prefilter import prepare, wider

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

__all__ = ["cut", "execute", "execute_boxes", "slices", "workers"]

#: Output voxels below which a thread is not worth starting.
_SMALL = 1 << 15
#: Output voxels of a slab whose values between two steps should stay in a cache.
_CACHED = 1 << 18


def workers() -> int:
    """Return the number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def slices(plan: Plan) -> tuple[tuple[slice, ...], tuple[slice, ...]] | None:
    """Return source and output slices where the result is a slice of the source and a border.

    Returns
    -------
    tuple of (source key, output key), or None
        None where it takes arithmetic, or axes change places or are removed or repeated.
    """
    if plan.kind != "shift" or plan.repeated or any(line.out is None for line in plan.separable):
        return None
    box = tuple([(0, n) for n in plan.shape])
    tables = plan.tables(box)
    if plan.input_box(box, tables) is None:
        return None
    here: list[slice] = [slice(None)] * len(plan.source_shape)
    there: list[slice] = [slice(None)] * len(plan.shape)
    for line, table in zip(plan.separable, tables, strict=True):
        step = table.step
        if step is None or line.out is None:
            return None
        stop = int(table.low[-1]) + (1 if step > 0 else -1)
        here[line.source] = slice(int(table.low[0]), None if stop < 0 else stop, step)
        there[line.out] = slice(table.start, table.stop)
    return tuple(here), tuple(there)


def view(plan: Plan, data: Any) -> Any:
    """Return the result as a view of the data where it is one, or None.

    Works for every backend whose arrays can be sliced and transposed.
    """
    found = slices(plan)
    if found is None:
        return None
    here, there = found
    if any(s != slice(0, n) for s, n in zip(there, plan.shape, strict=True)):
        return None
    part = backends.index(data, here)
    order = sorted(range(len(plan.separable)), key=lambda i: plan.separable[i].out or 0)
    axes = tuple([plan.separable[i].source for i in order])
    if axes == tuple(range(len(axes))):
        return part
    return backends.call(np.transpose, (part, axes), {})


def cut(shape: Sequence[int], voxels: int) -> list[Box]:
    """Cut a shape into boxes of about so many voxels, along the outermost axes first.

    Examples
    --------
    >>> cut((4, 10), 20)
    [((0, 2), (0, 10)), ((2, 4), (0, 10))]
    """
    sizes = list(shape)
    for axis, n in enumerate(shape):
        inner = math.prod(shape[axis + 1 :])
        sizes[axis] = max(min(n, voxels // max(inner, 1)), 1)
        if sizes[axis] > 1:
            break
    ranges = [
        [(i, min(i + size, n)) for i in range(0, n, size)]
        for n, size in zip(shape, sizes, strict=True)
    ]
    return list(itertools.product(*ranges))


def execute(plan: Plan, data: NDArray[Any], fill: Any, threads: int | None = None) -> NDArray[Any]:
    """Resample an array in memory.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    data : ndarray
        The source.
    fill : scalar
        Value of voxels outside it.
    threads : int, optional
        How many to use; by default as many as there are CPUs.

    Returns
    -------
    ndarray
        A view of the data where the result is one.
    """
    found: NDArray[Any] | None = view(plan, data)
    if found is not None:
        return found
    return execute_boxes(plan, partial(_cut_out, data), data.dtype, fill, threads)


def _cut_out(data: NDArray[Any], box: Box) -> NDArray[Any]:
    return data[tuple([slice(*bounds) for bounds in box])]


def execute_boxes(
    plan: Plan,
    read: Callable[[Box], NDArray[Any]],
    dtype: np.dtype[Any],
    fill: Any,
    threads: int | None = None,
) -> NDArray[Any]:
    """Resample an array of which one box alone is asked for: that which the result needs.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    read : callable
        Returns a box of the source.
    dtype : dtype
        Type of its values.
    fill : scalar
        Value of voxels outside it.
    threads : int, optional
        As for `execute`.
    """
    out: NDArray[Any] = np.empty(plan.shape, dtype.newbyteorder("="))
    if out.size == 0:
        return out
    box = plan.input_box(tuple([(0, n) for n in plan.shape]))
    if box is None:
        out[...] = fill
        return out
    box = wider(plan, box) if plan.filters else box
    part = read(box)
    if plan.filters:
        part = prepare(plan, part, workers() if threads is None else threads)
    fill_in(plan, part, box, out, fill, threads)
    return out


def fill_in(
    plan: Plan,
    data: NDArray[Any],
    box: Box,
    out: NDArray[Any],
    fill: Any,
    threads: int | None,
    out_box: Box | None = None,
) -> None:
    """Compute a part of the output slab by slab."""
    threads = workers() if threads is None else threads
    whole = out_box or tuple([(0, n) for n in plan.shape])
    steps = sum(not line.exact for line in plan.separable) + (plan.coupled is not None)
    whole_at_once = threads == 1 and steps <= 1  # nothing between steps that should stay in a cache
    if out.size < 2 * _SMALL or whole_at_once:
        pieces = [tuple([(0, n) for n in out.shape])]
    else:
        each = -(-out.size // (threads * (4 if plan.coupled is not None else 1)))
        pieces = cut(out.shape, max(min(each, _CACHED) if steps > 1 else each, _SMALL))

    def work(piece: Box) -> None:
        part = tuple([(a + f, b + f) for (a, b), (f, _) in zip(piece, whole, strict=True)])
        block(plan, data, box, part, out[tuple([slice(a, b) for a, b in piece])], fill)

    if len(pieces) == 1 or threads == 1:
        for piece in pieces:
            work(piece)
        return
    with ThreadPoolExecutor(min(threads, len(pieces))) as pool:
        for _ in pool.map(work, pieces):
            pass
