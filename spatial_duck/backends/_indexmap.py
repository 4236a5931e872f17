"""Where the elements of a view lie in its source array: NumPy's keys composed, without data.

A view is described by its shape, by one `AxisMap` for each of its axes, and by a position on each
source axis that an integer took away. Composing a key with it costs the same for every size of
array and every length of the chain. Arrays of int and masks stay lazy as well as long as each of
them moves along one axis; that is orthogonal indexing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from spatial_duck.geometry._keys import (
    consumed,
    ellipsis_position,
    is_array,
    plain_key,
    too_many,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry._keys import Walk

    Ints = NDArray[np.intp]

__all__ = ["NEW", "AxisMap", "Pointwise", "View", "chunk_sizes", "compose", "compose_arrays"]


class AxisMap(NamedTuple):
    """Where one axis of a view lies in the source array.

    Position `i` of the axis is position ``offset + step * i`` of the source axis, or, where there
    is an `index`, position ``index[offset + step * i]``.

    Attributes
    ----------
    source : int or None
        Axis of the source array; None for an axis that the view added.
    offset, step : int
        First position, and signed step. The step is never 0.
    index : ndarray of int, shape (n,), or None
        Positions on the source axis, none of them negative, where an array selected them.
    """

    source: int | None
    offset: int = 0
    step: int = 1
    index: Any = None

    def positions(self, n: int) -> Ints:
        """Return the positions on the source axis of the first `n` elements."""
        positions = self.offset + self.step * np.arange(n, dtype=np.intp)
        return positions if self.index is None else self.index[positions]


NEW = AxisMap(None)
_new_tuple = tuple.__new__

Shape = tuple[int, ...]
Maps = tuple[AxisMap, ...]
Fixed = tuple[tuple[int, int], ...]


class View(NamedTuple):
    """Shape, axis maps, and (source axis, position) pairs of the axes that integers removed."""

    shape: Shape
    maps: Maps
    fixed: Fixed


class Pointwise(NamedTuple):
    """A key whose arrays move along several axes together.

    Attributes
    ----------
    walked : Walk
        The key's basic part, which axes the arrays index, and where the new axes go.
    indices : dict of int to ndarray of int
        For each taken axis, the index along it, broadcast to the block's number of axes.
    """

    walked: Walk
    indices: dict[int, Any]


def compose(shape: Shape, maps: Maps, fixed: Fixed, keys: tuple[Any, ...]) -> View | None:
    """Index a view with ints, slices, None and Ellipsis.

    Returns
    -------
    View or None
        None if the key holds anything else: `compose_arrays` then does it.

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    """
    ndim = len(shape)
    out_shape: list[int] = []
    out_maps: list[AxisMap] = []
    i = 0
    for k in keys:
        cls = k.__class__
        if cls is slice:
            if i >= ndim:
                raise too_many(ndim, keys)
            if k.start is None and k.stop is None and k.step is None:
                out_shape.append(shape[i])
                out_maps.append(maps[i])
            else:
                start, stop, step = k.indices(shape[i])
                source, offset, stride, index = maps[i]
                out_shape.append(len(range(start, stop, step)))
                out_maps.append(
                    _new_tuple(AxisMap, (source, offset + stride * start, stride * step, index))
                )
            i += 1
        elif cls is int:
            if i >= ndim:
                raise too_many(ndim, keys)
            n = shape[i]
            at = k + n if k < 0 else k
            if not 0 <= at < n:
                raise IndexError(f"index {k} is out of bounds for axis {i} with size {n}")
            source, offset, stride, index = maps[i]
            if source is not None:
                at = offset + stride * at
                fixed = (*fixed, (source, at if index is None else int(index[at])))
            i += 1
        elif k is None:
            out_shape.append(1)
            out_maps.append(NEW)
        elif k is Ellipsis:
            rest = keys[ellipsis_position(keys) + 1 :]
            end = ndim - sum([consumed(r) for r in rest])
            if end < i:
                raise too_many(ndim, keys)
            out_shape += shape[i:end]
            out_maps += maps[i:end]
            i = end
        else:
            return None
    if i < ndim:
        out_shape += shape[i:]
        out_maps += maps[i:]
    return _new_tuple(View, (tuple(out_shape), tuple(out_maps), fixed))


def compose_arrays(
    shape: Shape, maps: Maps, fixed: Fixed, keys: tuple[Any, ...]
) -> View | Pointwise:
    """Index a view with a key that may hold NumPy integers, arrays of int and masks.

    Returns
    -------
    View or Pointwise
        `Pointwise` if the arrays do not each move along an axis of their own.

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    """
    keys = tuple([plain_key(k) for k in keys])
    view = compose(shape, maps, fixed, keys)
    if view is not None:
        return view
    keys = _without_flags(keys)
    walked = walk(shape, keys) if any(map(is_array, keys)) else None
    if walked is None:
        return cast("View", compose(shape, maps, fixed, keys))
    indices = _indices(shape, keys, len(walked.block))
    moving = {a: [d for d, n in enumerate(x.shape) if n != 1] for a, x in indices.items()}
    used = [d for axes in moving.values() for d in axes]
    if len(used) != len(set(used)) or max(map(len, moving.values())) > 1:
        return Pointwise(walked, indices)
    if any(axes and maps[a].source is None for a, axes in moving.items()):
        return Pointwise(walked, indices)

    block = [NEW] * len(walked.block)
    for a, index in indices.items():
        source, offset, step, old = maps[a]
        at = offset + step * index.ravel()
        at = at if old is None else old[at]
        if source is None:
            continue
        if moving[a]:
            block[moving[a][0]] = AxisMap(source, 0, 1, at)
        else:
            fixed = (*fixed, (source, int(at[0])))
    view = cast("View", compose(shape, maps, fixed, walked.basic))
    held = _held(walked)
    out_shape = [n for i, n in enumerate(view.shape) if i not in held]
    out_maps = [m for i, m in enumerate(view.maps) if i not in held]
    out_shape[walked.place : walked.place] = walked.block
    out_maps[walked.place : walked.place] = block
    return View(tuple(out_shape), tuple(out_maps), view.fixed)


def _without_flags(keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """Replace a True or False that stands alone by the new axis that it makes."""
    arrays = [k for k in keys if is_array(k)]
    if len(arrays) != 1 or arrays[0].ndim or any(isinstance(k, int) for k in keys):
        return keys
    if not arrays[0]:
        raise IndexError(
            "the key False selects nothing, which a view of an array on disk cannot hold: "
            "use [None][:0] or work on .compute()"
        )
    return tuple([None if is_array(k) else k for k in keys])


def _held(walked: Walk) -> list[int]:
    """Return the axes of the basic part's result that the arrays take."""
    held, i = [], 0
    for n, k in enumerate(walked.basic):
        if k is not None:
            if i in walked.taken:
                held.append(n)
            i += 1
    return held


def _indices(shape: Shape, keys: tuple[Any, ...], ndim: int) -> dict[int, Any]:
    """Return the index along each axis that arrays and the ints beside them take."""
    found: dict[int, Any] = {}
    position = ellipsis_position(keys)
    end = len(shape) - sum(consumed(k) for k in keys[position + 1 :])
    axis = 0
    for k in keys:
        if k is Ellipsis:
            axis = end
        elif isinstance(k, slice):
            axis += 1
        elif k is not None:
            array = np.asarray(k)
            parts: Sequence[Any] = array.nonzero() if array.dtype == bool else (array,)
            if array.ndim or array.dtype != bool:
                for part in parts:
                    part = np.where(part < 0, part + shape[axis], part).astype(np.intp)
                    found[axis] = part.reshape((1,) * (ndim - part.ndim) + part.shape)
                    axis += 1
    return found


def chunk_sizes(axis: AxisMap, n: int, edges: Any) -> tuple[int, ...]:
    """Cut an axis of a view where the chunks of the source end.

    Parameters
    ----------
    axis : AxisMap
        The axis.
    n : int
        Its length.
    edges : int or ndarray of int
        Length of the source's chunks along the source axis, or where each of them begins,
        followed by where the last ends.

    Returns
    -------
    tuple of int
        Sizes that sum to `n`; each block lies in one chunk of the source.

    Examples
    --------
    >>> chunk_sizes(AxisMap(0, 9, -1), 10, 4)
    (2, 4, 4)
    >>> chunk_sizes(AxisMap(0, 1, 3), 4, 5)
    (2, 1, 1)
    """
    if axis.source is None or n == 0:
        return (n,)
    regular = isinstance(edges, int)
    if axis.index is not None:
        at = axis.positions(n)
        chunk = at // edges if regular else np.searchsorted(edges, at, side="right")
        cuts = np.flatnonzero(np.diff(chunk)) + 1
        if len(cuts) >= 2 * len(np.unique(chunk)):
            # An order that jumps about: whole blocks, each of which reads several chunks.
            size = edges if regular else int(np.diff(edges).max())
            cuts = np.arange(size, n, size)
    else:
        step = abs(axis.step)
        last = axis.offset + axis.step * (n - 1)
        first = min(axis.offset, last)
        stop = first + step * (n - 1) + 1
        if regular:
            inner = np.arange((first // edges + 1) * edges, stop, edges)
        else:
            inner = edges[(edges > first) & (edges < stop)]
        cuts = np.unique(-((first - inner) // step))
        if axis.step < 0:
            cuts = n - cuts[::-1]
    return tuple(np.diff([0, *cuts.tolist(), n]).tolist())
