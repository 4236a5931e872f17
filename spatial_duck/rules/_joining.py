"""Functions that join images along an axis, and split them.

Along a sampled axis each piece must begin where the one before it ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.geometry._numbering import at_least, normalize_axis, split_slices
from spatial_duck.rules._moves import flatten, index_axis, lose_length, working_axis
from spatial_duck.rules._rule import (
    check_aligned_except,
    existing,
    geometries,
    is_known,
    rule,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["join", "pieces"]

#: An array to join: the geometry of an image, or the shape of a bare array.
Piece = Geometry | tuple[int, ...]


def pieces(arrays: Any) -> list[Piece]:
    """Return the arrays to join; an image in place of a list stands for its planes."""
    if isinstance(arrays, Geometry):
        return [arrays[i] for i in range(arrays.shape[0])]
    return [a if a.__class__ is Geometry else shape_of(a) for a in arrays]


def _ndim(piece: Piece) -> int:
    return len(piece) if isinstance(piece, tuple) else piece.ndim


def join(function: str, arrays: Sequence[Piece], axis: Any) -> Geometry:
    """Return the geometry of pieces joined along an axis that they have."""
    return alignment.concatenate(function, arrays, normalize_axis(axis, _ndim(arrays[0])))


def _join_flat(function: str, arrays: Sequence[Piece]) -> Geometry:
    """Return the geometry of pieces joined in one dimension."""
    if all(_ndim(p) == 1 for p in arrays):
        return join(function, arrays, 0)
    found = geometries(*arrays)
    for other in found[1:]:
        if other.ndim == found[0].ndim > 0:
            check_aligned_except(function, 0, found[0], other)
    return lose_length(flatten(found[0], function), 0, function)


@rule("moves", np.concatenate)
def _concatenate(arrays: Any, axis: Any = 0) -> Geometry | None:
    parts = pieces(arrays)
    if not geometries(*parts):
        return None
    return _join_flat("concatenate", parts) if axis is None else join("concatenate", parts, axis)


@rule("moves", np.append)
def _append(arr: Any, values: Any, axis: Any) -> Geometry:
    parts = pieces((arr, values))
    return _join_flat("append", parts) if axis is None else join("append", parts, axis)


@rule("moves", np.hstack, np.vstack, np.dstack)
def _stack_along(name: str, tup: Any) -> Geometry:
    ndim = "hvd".index(name[0]) + 1
    parts = [at_least(p, ndim) for p in pieces(tup)]
    axis = {"hstack": min(_ndim(parts[0]) - 1, 1), "vstack": 0, "dstack": 2}[name]
    return join(name, parts, axis)


@rule("moves", np.column_stack)
def _column_stack(tup: Any) -> Geometry:
    parts = pieces(tup)
    return join("column_stack", [_as_column(p) if _ndim(p) < 2 else p for p in parts], 1)


def _as_column(piece: Piece) -> Piece:
    whole = at_least(piece, 1)
    return (*whole, 1) if isinstance(whole, tuple) else whole[:, None]


@rule("moves", np.stack, adds_axes=True)
def _stack(arrays: Any, axis: Any) -> Geometry | None:
    parts = pieces(arrays)
    found = geometries(*parts)
    if not found:
        return None
    grid = alignment.broadcast("stack", found)
    return grid.expand_dims(axis).resize_axis(normalize_axis(axis, grid.ndim + 1), len(parts))


@rule("moves", np.block)
def _block(arrays: Any) -> Geometry:
    def depth(a: Any) -> int:
        return 1 + max([depth(b) for b in a], default=0) if isinstance(a, list) else 0

    def widest(a: Any) -> int:
        if isinstance(a, list):
            return max([widest(b) for b in a], default=0)
        return a.ndim if isinstance(a, Geometry) else len(shape_of(a))

    levels = depth(arrays)
    ndim = max(widest(arrays), levels)

    def build(a: Any, level: int) -> Piece:
        if not isinstance(a, list):
            return _add_leading_axes(a if isinstance(a, Geometry) else shape_of(a), ndim)
        parts = [build(b, level + 1) for b in a]
        axis = ndim - levels + level
        if geometries(*parts):
            return join("block", parts, axis)
        shape = list(parts[0]) if isinstance(parts[0], tuple) else []
        shape[axis] = sum([p[axis] for p in parts if isinstance(p, tuple)])
        return tuple(shape)

    found = build(arrays, 0)
    assert isinstance(found, Geometry)
    return found


def _add_leading_axes(piece: Piece, ndim: int) -> Piece:
    """Return a piece with axes of length 1 added before the others."""
    extra = ndim - _ndim(piece)
    if isinstance(piece, tuple):
        return (1,) * extra + piece
    return piece[(None,) * extra + (...,)] if extra else piece


@rule("moves", np.insert)
def _insert(arr: Any, obj: Any, values: Any, axis: Any) -> Geometry | None:
    if not isinstance(arr, Geometry):
        return None
    grid, i = working_axis(arr, axis, "insert")
    n = grid.shape[i]
    piece = values if isinstance(values, Geometry) and values.ndim == grid.ndim else None
    if piece is not None:
        # At a single position NumPy takes planes from the first axis of the values.
        piece = piece.moveaxis(0, i) if np.ndim(obj) == 0 and not isinstance(obj, slice) else piece
        check_aligned_except("insert", i, grid, piece)
    if not is_known(obj):
        return lose_length(grid, i, "insert")
    # A single position takes as many planes as the values have; of several, each takes one.
    shape = shape_of(values)
    padded = (1,) * (grid.ndim - len(shape)) + shape
    single = not isinstance(obj, slice | range) and np.size(obj) == 1
    count = padded[0 if np.ndim(obj) == 0 else i] if single else 1
    marks = np.insert(np.arange(n), obj, np.full(count, -1) if single else -1)
    before = int((np.cumsum(marks >= 0) == 0).sum())
    after = int((np.cumsum(marks[::-1] >= 0) == 0).sum())
    if before + n + after == len(marks) and n:
        if piece is not None and 0 in (before, after) and piece.shape[i] == before + after:
            return join("insert", [piece, grid] if before else [grid, piece], i)
        return grid.pad({i: (before, after)})
    return grid.lose(i, "insert", shape=(*grid.shape[:i], len(marks), *grid.shape[i + 1 :]))


# --- splitting ----------------------------------------------------------------------------


def _split_along(function: str, ary: Geometry, sections: Any, axis: Any) -> list[Geometry]:
    i = normalize_axis(axis, ary.ndim)
    cuts = split_slices(sections, ary.shape[i], equal=function != "array_split")
    return [ary[(slice(None),) * i + (cut,)] for cut in cuts]


@rule("moves", np.split, np.array_split)
def _split(name: str, ary: Geometry, indices_or_sections: Any, axis: Any) -> list[Geometry]:
    return _split_along(name, ary, indices_or_sections, axis)


@rule("moves", np.hsplit, np.vsplit, np.dsplit)
def _split_by_name(name: str, ary: Geometry, indices_or_sections: Any) -> list[Geometry]:
    axis = {"hsplit": 1, "vsplit": 0, "dsplit": 2}[name]
    return _split_along(name, ary, indices_or_sections, min(axis, ary.ndim - 1))


@rule("moves", *existing(np, "unstack"))
def _unstack(x: Geometry, axis: Any) -> list[Geometry]:
    i = normalize_axis(axis, x.ndim)
    return [index_axis(x, i, n, "unstack") for n in range(x.shape[i])]
