"""Functions that select or rearrange voxels: each voxel keeps its position exactly."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import as_tuple, at_least, normalize_axis
from spatial_duck.rules._rule import (
    UNKNOWN,
    check_aligned_except,
    elementwise_geometry,
    geometry_or_none,
    index_geometry,
    is_known,
    loss_of_all,
    rule,
    shape_of,
    unplaced,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["flatten", "index_axis"]


def index_axis(grid: Geometry, axis: Any, key: Any, function: str) -> Geometry:
    """Return the geometry with one axis indexed by a key."""
    i = normalize_axis(axis, grid.ndim)
    before = (slice(None),) * i
    key = np.asarray(key) if isinstance(key, range) and len(key) else key
    cut = _as_slice(key, grid.shape[i])
    return (
        grid[(*before, cut)] if cut is not None else index_geometry(grid, (*before, key), function)
    )


def _as_slice(key: Any, n: int) -> slice | None:
    """Return the slice that is equivalent to a 1-D array of indices, or None."""
    if not isinstance(key, list | np.ndarray):
        return None
    index = np.asarray(key)
    if index.ndim != 1 or index.size < 2 or index.dtype.kind not in "iu":
        return None
    index = np.where(index < 0, index + n, index)
    step = int(index[1] - index[0])
    if not step or index.min() < 0 or index.max() >= n or (np.diff(index) != step).any():
        return None
    start, stop = int(index[0]), int(index[-1]) + step
    return slice(start, stop if stop >= 0 else None, step)


def flatten(grid: Geometry, function: str, order: Any = "C") -> Geometry:
    """Return the geometry of the flattened image."""
    return reshape_in_order(grid, (math.prod(grid.shape),), function, order)


def reshape_in_order(grid: Geometry, shape: tuple[int, ...], function: str, order: Any) -> Geometry:
    """Return the geometry in another shape; lost where `order` depends on the data's memory."""
    if order in ("C", "F", None):
        return grid.reshape(shape, function, order or "C")
    straight, turned = (grid.reshape(shape, function, o) for o in "CF")
    return straight if straight == turned else grid.take_axes(shape, [None] * len(shape), function)


def working_axis(grid: Geometry, axis: Any, function: str) -> tuple[Geometry, int]:
    """Return the geometry and axis that a function works along; None flattens the image."""
    if axis is None:
        return flatten(grid, function), 0
    return grid, normalize_axis(axis, grid.ndim)


def lose_length(grid: Geometry, axis: int, function: str) -> Geometry:
    """Return the geometry with one axis lost, of a length that depends on values."""
    shape = (*grid.shape[:axis], UNKNOWN, *grid.shape[axis + 1 :])
    return grid.lose(axis, function, shape=shape)


# --- methods of geometries ----------------------------------------------------------------


def _by_method(method: Callable[..., Geometry], function: Any, reads: str, **options: bool) -> None:
    """Register a function that does what a method of geometries does with its parameters."""

    def move(*operands: Any) -> Geometry:
        """Move the grid as the method of the geometry does."""
        return method(*operands)

    move.__name__ = method.__name__
    rule("moves", function, deferrable=True, reads=reads, **options)(move)


_by_method(Geometry.broadcast_to, np.broadcast_to, "array shape")
_by_method(Geometry.diagonal, np.diagonal, "a offset axis1 axis2")
_by_method(Geometry.expand_dims, np.expand_dims, "a axis", adds_axes=True)
_by_method(Geometry.flip, np.flip, "m axis")
_by_method(Geometry.moveaxis, np.moveaxis, "a source destination")
_by_method(Geometry.pad, np.pad, "array pad_width")
_by_method(Geometry.rot90, np.rot90, "m k axes")
_by_method(Geometry.squeeze, np.squeeze, "a axis")
_by_method(Geometry.swapaxes, np.swapaxes, "a axis1 axis2")
_by_method(Geometry.transpose, np.transpose, "a axes")
_by_method(Geometry.window, np.lib.stride_tricks.sliding_window_view, "x window_shape axis")


# --- flips and transpositions -------------------------------------------------------------


@rule("moves", np.flipud, np.fliplr, deferrable=True)
def _flip_one(name: str, m: Geometry) -> Geometry:
    return m.flip(0 if name == "flipud" else 1)


@rule("moves", np.matrix_transpose, np.linalg.matrix_transpose, deferrable=True)
def _matrix_transpose(x: Geometry) -> Geometry:
    return x.swapaxes(-1, -2)


@rule("moves", np.rollaxis, deferrable=True)
def _rollaxis(a: Geometry, axis: Any, start: Any) -> Geometry:
    i = normalize_axis(axis, a.ndim)
    start = operator.index(start)
    start = start + a.ndim if start < 0 else start
    return a.moveaxis(i, start - 1 if i < start else start)


# --- axes of length 1, shapes -------------------------------------------------------------


@rule("moves", np.atleast_1d, np.atleast_2d, np.atleast_3d)
def _at_least(name: str, arys: Any) -> Any:
    ndim = int(name[-2])
    found = [
        at_least(a, ndim) if isinstance(a, Geometry) else unplaced(at_least(shape_of(a), ndim))
        for a in arys
    ]
    return found[0] if len(found) == 1 else found


@rule("moves", np.broadcast_arrays)
def _broadcast_arrays(args: Any) -> Any:
    shape = elementwise_geometry("broadcast_arrays", *args).shape
    return [a.broadcast_to(shape) if isinstance(a, Geometry) else unplaced(shape) for a in args]


@rule("moves", np.reshape)
def _reshape(a: Geometry, shape: Any = None, newshape: Any = None, order: Any = "C") -> Geometry:
    shape = newshape if shape is None else shape
    wanted = [operator.index(n) for n in as_tuple(shape)]
    if -1 in wanted:
        known = math.prod([n for n in wanted if n != -1])
        size = math.prod(a.shape)
        if wanted.count(-1) > 1 or not known or size % known:
            raise ValueError(f"cannot reshape array of size {size} into shape {tuple(wanted)}")
        wanted[wanted.index(-1)] = size // known
    if math.prod(wanted) != math.prod(a.shape):
        raise ValueError(
            f"cannot reshape array of size {math.prod(a.shape)} into shape {tuple(wanted)}"
        )
    return reshape_in_order(a, tuple(wanted), "reshape", order)


@rule("plain", np.ravel)
def _ravel(a: Geometry, order: Any) -> Geometry:
    return flatten(a, "ravel", order)


# --- more voxels --------------------------------------------------------------------------


@rule("keeps", np.tile, deferrable=True)
def _tile(A: Any, reps: Any) -> Geometry | None:
    if not isinstance(A, Geometry):
        return None
    times = as_tuple(reps)
    # The grid goes on: a tile is the next field of view.
    grid = A[(None,) * (len(times) - A.ndim) + (...,)] if len(times) > A.ndim else A
    times = (1,) * (grid.ndim - len(times)) + times
    shape = tuple([n * operator.index(t) for n, t in zip(grid.shape, times, strict=True)])
    return grid.with_shape(shape)


@rule("plain", np.resize)
def _resize(a: Geometry, new_shape: Any) -> Geometry:
    shape = as_tuple(new_shape)
    if a.ndim and shape[-a.ndim + 1 :] == a.shape[1:] and len(shape) == a.ndim:
        return a.resize_axis(0, shape[0])
    if a.ndim == 1 and len(shape) == 1:
        return a.resize_axis(0, shape[0])
    if shape[len(shape) - a.ndim :] == a.shape:
        return a.broadcast_to(shape)
    return a.take_axes(shape, [None] * len(shape), "resize")


@rule("derives", np.repeat)
def _repeat(a: Any, repeats: Any, axis: Any) -> Geometry | None:
    if not isinstance(a, Geometry):
        return None
    grid, i = working_axis(a, axis, "repeat")
    if not isinstance(repeats, int | np.integer | list | tuple | np.ndarray):
        return lose_length(grid, i, "repeat")
    counts = np.asarray(repeats)
    if counts.size and (counts == counts.flat[0]).all() and counts.size in (1, grid.shape[i]):
        return grid.repeat(int(counts.flat[0]), i)
    return index_axis(grid, i, np.repeat(np.arange(grid.shape[i]), counts), "repeat")


# --- fewer voxels -------------------------------------------------------------------------


def wrap_indices(indices: Any, n: int, mode: Any) -> Any:
    """Return indices as the modes of `numpy.take` read them."""
    if mode == "raise" or not is_known(indices):
        return indices
    return np.clip(indices, 0, n - 1) if mode == "clip" else np.mod(indices, n)


@rule("moves", np.take)
def _take(a: Any, indices: Any, axis: Any, mode: Any) -> Any:
    if not isinstance(a, Geometry):
        return _look_up(a, indices, axis)
    grid, i = working_axis(a, axis, "take")
    return index_axis(grid, i, wrap_indices(indices, grid.shape[i], mode), "take")


def _look_up(a: Any, indices: Any, axis: Any) -> Geometry | None:
    """Return the geometry of values of a table, looked up for each voxel."""
    shape = shape_of(a)
    if not isinstance(indices, Geometry) or axis is None or len(shape) == 1:
        return geometry_or_none(indices)
    i = normalize_axis(axis, len(shape))
    new = (*range(i), *range(i + indices.ndim, len(shape) - 1 + indices.ndim))
    return indices.expand_dims(new).with_shape((*shape[:i], *indices.shape, *shape[i + 1 :]))


@rule("plain", np.take_along_axis)
def _take_along_axis(arr: Any, indices: Any, axis: Any) -> Geometry:
    if axis is None and isinstance(arr, Geometry):
        arr = flatten(arr, "take_along_axis")
    grid: Geometry = arr if isinstance(arr, Geometry) else indices
    i = 0 if axis is None else normalize_axis(axis, grid.ndim)
    shape = list(
        np.broadcast_shapes(*[(*s[:i], 1, *s[i + 1 :]) for s in (shape_of(arr), shape_of(indices))])
    )
    shape[i] = shape_of(indices)[i]
    if not isinstance(arr, Geometry):
        return grid.broadcast_to(shape)
    lost = grid.lose(i, "take_along_axis", shape=(*grid.shape[:i], shape[i], *grid.shape[i + 1 :]))
    if isinstance(indices, Geometry):
        check_aligned_except("take_along_axis", i, arr, indices)
    return lost if tuple(shape) == lost.shape else lost.broadcast_to(shape)


@rule("moves", np.compress)
def _compress(condition: Any, a: Any, axis: Any) -> Any:
    if not isinstance(a, Geometry):
        if not isinstance(condition, Geometry):
            return None
        shape = (math.prod(shape_of(a)),) if axis is None else shape_of(a)
        i = 0 if axis is None else normalize_axis(axis, len(shape))
        return loss_of_all("compress", condition, (*shape[:i], UNKNOWN, *shape[i + 1 :]))
    grid, i = working_axis(a, axis, "compress")
    if isinstance(condition, Geometry) and condition.shape == grid.shape[i : i + 1]:
        after = (None,) * (grid.ndim - i - 1)
        elementwise_geometry("compress", grid, condition[(None,) * i + (..., *after)])
    if not isinstance(condition, list | tuple | np.ndarray):
        return lose_length(grid, i, "compress")
    return index_axis(grid, i, np.flatnonzero(np.asarray(condition)), "compress")


@rule("plain", np.extract)
def _extract(condition: Any, arr: Any) -> Geometry:
    grids = [g for g in (condition, arr) if isinstance(g, Geometry)]
    if len(grids) == 2 and condition.shape == arr.shape:
        elementwise_geometry("extract", condition, arr)
    grid = arr if isinstance(arr, Geometry) else condition
    if grid is arr and arr.ndim == 1 and isinstance(condition, np.ndarray):
        return index_axis(arr, 0, np.flatnonzero(condition), "extract")
    return flatten(grid, "extract").lose(0, "extract", shape=(UNKNOWN,))


@rule("moves", np.delete)
def _delete(arr: Any, obj: Any, axis: Any) -> Geometry | None:
    if not isinstance(arr, Geometry):
        return None
    grid, i = working_axis(arr, axis, "delete")
    if not is_known(obj):
        return lose_length(grid, i, "delete")
    return index_axis(grid, i, np.delete(np.arange(grid.shape[i]), obj), "delete")


@rule("moves", np.linalg.diagonal, deferrable=True)
def _linalg_diagonal(x: Geometry, offset: Any) -> Geometry:
    return x.diagonal(offset, -2, -1)


@rule("plain", np.diag, np.diagflat)
def _diag(name: str, v: Geometry, k: Any) -> Geometry:
    if v.ndim == 2 and name == "diag":
        return v.diagonal(k, 0, 1)
    n = math.prod(v.shape) + abs(operator.index(k))
    return v.take_axes((n, n), (None, None), name)


@rule("moves", np.trim_zeros)
def _trim_zeros(filt: Geometry) -> Any:
    def found(result: Any, data: Any) -> Geometry:
        starts = _view_starts(data, result)
        ends = [s + n for s, n in zip(starts, result.shape, strict=True)]
        return filt[tuple(map(slice, starts, ends))]

    return found


def _view_starts(whole: Any, part: Any) -> list[int]:
    """Return the index at which a contiguous view begins in its array, from their addresses."""
    starts = [0] * whole.ndim
    trimmed = [i for i in range(whole.ndim) if part.shape[i] != whole.shape[i]]
    if not part.size:
        return starts
    rest = _address(part) - _address(whole)
    # Axes with negative strides are counted from their other end.
    turned = [i for i in trimmed if whole.strides[i] < 0]
    rest -= sum([whole.strides[i] * (whole.shape[i] - part.shape[i]) for i in turned])
    for i in sorted(trimmed, key=lambda i: -abs(whole.strides[i])):
        steps, rest = divmod(rest, abs(whole.strides[i]))
        room = whole.shape[i] - part.shape[i]
        starts[i] = room - steps if i in turned else steps
    return starts


def _address(array: Any) -> int:
    for protocol in ("__array_interface__", "__cuda_array_interface__"):
        interface = getattr(array, protocol, None)
        if interface is not None:
            return int(interface["data"][0])
    raise TypeError(
        f"numpy.trim_zeros needs data in memory, got {type(array).__name__}: use image.compute()"
    )
