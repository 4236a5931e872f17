"""Combine several grids: broadcasting and concatenation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from spatial_duck.errors import GeometryMismatchError
from spatial_duck.geometry._anchor import PlacedAxis, forget_rows, used_sources
from spatial_duck.geometry._compare import (
    axis_kind,
    describe_gap,
    difference,
    is_same_grid,
    is_unequal,
    mismatch,
    to_common_world,
)
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._map import NEW_AXIS, Axis, IndexMap, UnevenSteps, unique_names
from spatial_duck.geometry._moves import resize_axis, shift

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["broadcast", "concatenate", "is_contiguous", "is_same_grid", "merge"]

G = TypeVar("G", bound=Grid)


def broadcast(function: str, grids: Sequence[G]) -> G:
    """Return the geometry of an elementwise operation on images on one grid.

    Parameters
    ----------
    function : str
        Name of the operation, for errors.
    grids : sequence of Geometry
        The geometries of the images, at least one.

    Returns
    -------
    Geometry
        An axis that one image lacks, or has with length 1, takes the other's geometry.

    Raises
    ------
    GeometryMismatchError
        If they do not lie on one grid.
    ValueError
        If the shapes do not broadcast.
    """
    result, *rest = grids if len(grids) < 3 else {id(grid): grid for grid in grids}.values()
    for grid in rest:
        result = merge(function, result, grid)
    return result


def concatenate(function: str, pieces: Sequence[G | tuple[int, ...]], axis: int) -> G:
    """Return the geometry of pieces joined along an axis.

    Parameters
    ----------
    function : str
        Name of the operation, for errors.
    pieces : sequence of (Geometry or tuple of int)
        The geometry of each image, or the shape of a bare array.
    axis : int
        The axis to join along. Where it is sampled, each image must begin where the piece before
        it ended.

    Raises
    ------
    GeometryMismatchError
        If a piece does not continue the grid, or lies on another one.
    """
    first: Any = None
    start = total = 0
    loss = None
    piece: Any
    for piece in pieces:
        if piece.__class__ is tuple:
            total += piece[axis]
            continue
        shape, axes, _, _ = piece._map
        if axes[axis][2] and loss is None:
            loss = axes[axis][2][0].function
        if first is None:
            first, start = piece, total
        elif not _is_next_piece(first, piece, axis, total - start):
            if not _is_continuation(first, piece, axis, total - start):
                wanted = first._with_map(shift(first._map, axis, 2 * (total - start), shape[axis]))
                reason = difference(wanted, piece) or "origin"
                raise GeometryMismatchError(
                    f"{function}: along axis {axis} ({first._axes[axis].name!r}) each piece must "
                    f"begin where the one before it ended; they differ first in {reason}\n"
                    f"  expected: {wanted!r}\n  came:     {piece!r}\n"
                    "Use the bare arrays (image.data) where positions do not matter, or np.stack "
                    "for a new axis"
                )
            if not first.shape[axis]:
                first, start = piece, total  # empty pieces have no say in the positions
        total += shape[axis]
    grid = first._map
    if loss is not None and len(pieces) > 1:
        old = grid.axes[axis]
        sources = [source for source, _ in old.steps] + [p.source for p in old.uneven]
        lost = [UnevenSteps(source, loss) for source in sources or [None]]
        axes = (*grid.axes[:axis], Axis(old.name, (), tuple(lost)), *grid.axes[axis + 1 :])
        grid = grid._replace(axes=axes)
    return first._with_map(shift(grid, axis, -2 * start, total))  # type: ignore[no-any-return]


def is_contiguous(grids: Sequence[Grid], axis: int) -> bool:
    """Whether grids of one shape follow each other; False where equal numbers do not show it."""
    rest = iter(grids)
    first = next(rest)
    shape, mapped, _, _ = first._map
    sources, _, world, _ = first._anchor
    origin = first._origin
    _, spacing, column, _ = first._axes[axis]
    if spacing is None or column is None:
        return False
    total = shape[axis]
    for grid in rest:
        its_shape, its_axes, _, _ = grid._map
        its_sources, _, its_world, _ = grid._anchor
        if (
            its_shape != shape
            or its_axes != mapped
            or its_sources != sources
            or (its_world is not world and its_world != world)
        ):
            return False
        length = spacing * total
        for begin, c, place in zip(origin, column, grid._origin):  # noqa: B905
            if place != begin + length * c:
                return False
        total += shape[axis]
    return True


def _is_next_piece(first: Grid, piece: Grid, axis: int, steps: int) -> bool:
    """Whether a piece of the same image begins `steps` voxels after another, by the integers."""
    shape, axes, offset, _ = first._map
    other, others, place, _ = piece._map
    if first._anchor is not piece._anchor and first._anchor != piece._anchor:
        return False
    if axes != others or (shape != other and not _is_same_but(shape, other, axis)):
        return False
    moved = [*offset]
    for source, step in axes[axis][1]:
        moved[source] += 2 * step * steps
    return place == tuple(moved)


def _is_same_but(shape: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
    """Whether two shapes agree in all axes but one."""
    return shape[:axis] == other[:axis] and shape[axis + 1 :] == other[axis + 1 :]


def _is_continuation(a: Grid, b: Grid, axis: int, steps: int) -> bool:
    """Whether b lies `steps` voxels further along `axis` on the grid of a."""
    if not a.shape[axis]:
        b = b._with_map(resize_axis(b._map, axis, 0))
    return difference(a._with_map(shift(a._map, axis, 2 * steps, b.shape[axis])), b) is None


# --- broadcasting -------------------------------------------------------------------------


def merge(function: str, a: G, b: G) -> G:
    """Return the geometry of an elementwise operation on two images."""
    if a._anchor is b._anchor or a._anchor == b._anchor:
        if a._map == b._map or _is_part(a._map, b._map):
            return a
        if _is_part(b._map, a._map):
            return b
    same = a.shape == b.shape and a._axes == b._axes and a._origin == b._origin
    if same and a.world == b.world and _has_same_uneven_steps(a, b):
        return a
    ndim = max(len(a.shape), len(b.shape))
    x, y = _forget_in_both(_add_leading_axes(a, ndim), _add_leading_axes(b, ndim))
    x, y, reason = to_common_world(x, y)
    if reason:
        raise mismatch(a, b, reason, function)
    choice: list[str] = []
    shared: list[int] = []
    for i, (n, m, p, q) in enumerate(zip(x.shape, y.shape, x._axes, y._axes, strict=True)):
        if is_unequal(n, m) and 1 not in (n, m):
            named = f", dims {a.dims} {b.dims}" if a.dims != b.dims else ""
            words = (
                f"operands could not be broadcast together with shapes {a.shape} {b.shape}{named}"
            )
            if p.spacing is None or q.spacing is None:
                raise ValueError(words)
            raise mismatch(a, b, f"shape: {words}", function)
        if p.name is not None and q.name is not None and p.name != q.name:
            raise mismatch(a, b, f"dims: axis {i} is {p.name!r} and {q.name!r}", function)
        which = _choose_axis(p, q, n, m)
        if which is None:
            raise mismatch(a, b, f"axis {i}: {axis_kind(p)} and {axis_kind(q)}", function)
        if which == "both" and p.spacing is not None:
            shared.append(i)
        choice.append(which)
    # Along an axis that only one of them has, the other may lie anywhere.
    theirs = [y._axes[i] for i, c in enumerate(choice) if c == "y" and y._axes[i].spacing]
    ours = [x._axes[i] for i, c in enumerate(choice) if c == "x" and x._axes[i].spacing]
    reason = describe_gap(x, y, shared, [*theirs, *ours], None)
    if reason is not None:
        raise mismatch(a, b, reason, function)
    shape = tuple([m if n == 1 else n for n, m in zip(x.shape, y.shape, strict=True)])
    lost = {n: f for n, f in (y._anchor.lost + x._anchor.lost) if n not in x.world.axes}
    return _combine_axes(x, y, choice, shape, theirs, ours, tuple(lost.items()))


def _is_part(grid: IndexMap, part: IndexMap) -> bool:
    """Whether a part of the same image, such as a plane or a mean, broadcasts to all of it.

    Compares integers: axes that it has are the same, and along the others it may lie anywhere.
    """
    shape, axes, offset, _ = grid
    other, others, place, _ = part
    lead = len(axes) - len(others)
    if lead < 0:
        return False
    free = list(axes[:lead])
    for n, axis, m, its in zip(shape[lead:], axes[lead:], other, others, strict=True):
        if n == m and axis == its:
            continue
        if m != 1 or n == 1 or (its[0] is not None and its[0] != axis[0]) or its[2]:
            return False
        free += [axis, its]
    sources = []
    for _, steps, uneven in free:
        if uneven or len(steps) > 1:
            return False
        sources += [source for source, _ in steps]
    return all([p == q or k in sources for k, (p, q) in enumerate(zip(offset, place, strict=True))])


def _choose_axis(p: PlacedAxis, q: PlacedAxis, n: int, m: int) -> str | None:
    """Return which axis the result has: that of "x", of "y", or "both"; None if they differ."""
    if n != m and 1 in (n, m):
        return "x" if m == 1 else "y"
    if (p.spacing is None) == (q.spacing is None):
        return "y" if q.lost and not p.lost else "both"
    loose = p if p.spacing is None else q
    if loose.name is not None or loose.lost:
        return None
    return "y" if loose is p else "x"


def _combine_axes(
    x: G,
    y: G,
    choice: Sequence[str],
    shape: tuple[int, ...],
    theirs: Sequence[PlacedAxis],
    ours: Sequence[PlacedAxis],
    lost: tuple[tuple[str, str], ...],
) -> G:
    """Return the grid whose axes are chosen from x and y, with as little arithmetic as possible.

    Where all that is sampled comes from x, it is x's anchor; where both lie on one anchor and no
    axis of it moves two of theirs, its integers are put together; else the numbers are.
    """
    anchor, base, other = x._anchor, x._map, y._map
    one_anchor = anchor == y._anchor
    axes = [
        _joint_axis(p, q, c, one_anchor)
        for p, q, c in zip(base.axes, other.axes, choice, strict=True)
    ]
    taken = used_sources([axes[i] for i, c in enumerate(choice) if c == "y"])
    mine = used_sources([axes[i] for i, c in enumerate(choice) if c != "y"])
    offset = base.offset
    if one_anchor and not taken & mine:
        places = zip(base.offset, other.offset, strict=True)
        offset = tuple([q if k in taken else p for k, (p, q) in enumerate(places)])
    elif theirs or taken:
        # Along the axes that only y has, the result begins where y does: add the component of
        # the displacement between the origins along these axes.
        origin = x._origin
        if theirs:
            way = np.subtract(y._origin, origin)
            free = np.array([axis.column for axis in (*theirs, *ours)]).T
            steps = np.linalg.lstsq(free, way, rcond=None)[0]
            along = sum(s * np.array(f.column) for s, f in zip(steps, theirs, strict=False))
            origin = tuple((along + origin).tolist())
        count = len(anchor.sources)
        axes = [
            _shift_sources(axis, count) if c == "y" else axis
            for axis, c in zip(axes, choice, strict=True)
        ]
        anchor = anchor._replace(sources=anchor.sources + y._anchor.sources, origin=origin)
        offset = (0,) * len(anchor.sources)
    if anchor.lost != lost:
        anchor = anchor._replace(lost=lost)
    return x._with_map(IndexMap(shape, unique_names(axes), offset), anchor)


def _joint_axis(p: Axis, q: Axis, choice: str, one_anchor: bool) -> Axis:
    """Return the axis of the combined map that a choice gives."""
    if choice == "x":
        return p
    if choice == "y":
        return q if q.name or not q.uneven else q._replace(name=p.name)
    name = p.name or q.name
    if p.uneven == q.uneven or not q.uneven:
        return p if p.name == name else p._replace(name=name)
    # Positions on which they disagree are unknown.
    sources: list[int | None] = [part.source for part in p.uneven] if p.uneven else []
    sources += [source for source, _ in p.steps]
    if one_anchor and not sources:
        sources = [part.source for part in q.uneven]
    function = (p.uneven or q.uneven)[0].function
    return Axis(name, (), tuple([UnevenSteps(s, function) for s in sources or [None]]))


def _shift_sources(axis: Axis, count: int) -> Axis:
    """Return an axis with the numbers of its anchor axes increased by `count`."""
    return Axis(
        axis.name,
        tuple([(source + count, step) for source, step in axis.steps]),
        tuple(
            [p if p.source is None else p._replace(source=p.source + count) for p in axis.uneven]
        ),
    )


def _has_same_uneven_steps(a: Grid, b: Grid) -> bool:
    return all([p.uneven == q.uneven for p, q in zip(a._map.axes, b._map.axes, strict=True)])


def _forget_in_both(a: G, b: G) -> tuple[G, G]:
    """Return both grids without the world axes along which either's position is unknown.

    Not those that the other extends along: there the result lies where the other does.
    """
    return _forget_unknown_axes(a, b), _forget_unknown_axes(b, a)


def _forget_unknown_axes(grid: G, other: G) -> G:
    if not other._anchor.lost:
        return grid
    extends = {
        grid.world.axes[r]
        for axis in grid._axes
        if axis.column is not None
        for r, c in enumerate(axis.column)
        if c
    }
    rows = {name: f for name, f in other._anchor.lost if name not in extends}
    anchor = forget_rows(grid._anchor, rows)
    return grid if anchor is grid._anchor else grid._with_map(grid._map, anchor)


def _add_leading_axes(grid: G, ndim: int) -> G:
    """Return the grid with plain axes of length 1 added in front."""
    extra = ndim - len(grid.shape)
    if not extra:
        return grid
    shape, axes = (1,) * extra + grid.shape, (NEW_AXIS,) * extra + grid._map.axes
    return grid._with_map(grid._map._replace(shape=shape, axes=axes))
