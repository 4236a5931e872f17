"""Several grids in one operation: whether they are the same grid, and what they make together.

Two grids are the same if, in one frame, order of world axes and unit, no voxel centre of the one
lies more than a tolerance (in voxels) from its partner in the other.

What is the same object, or equal to the last bit, is seen at once; the rest of the work is one
comparison of points, with NumPy.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._config import current
from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.geometry._moves import PLAIN, Axis, Grid, shifted, unique_names
from spatial_duck.geometry._world import SPACE_AXES, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry._geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = ["broadcast", "concatenate", "difference", "same_grid"]

Vector = tuple[float, ...]


def same_grid(a: Geometry, b: Geometry, tolerance: float | None = None) -> bool:
    """Tell whether two geometries are the same grid (the equality of the package)."""
    return a is b or difference(a, b, tolerance) is None


def difference(a: Geometry, b: Geometry, tolerance: float | None = None) -> str | None:
    """Return what differs first between two geometries, in words, or None.

    Parameters
    ----------
    a, b : Geometry
        The geometries.
    tolerance : float, optional
        Largest displacement of a voxel, in voxels; the one of `config` by default.
    """
    if a._shape == b._shape and a._axes == b._axes and a._origin == b._origin:
        if a._world == b._world:
            return None
    elif len(a._shape) != len(b._shape) or any(map(_unequal, a._shape, b._shape)):
        return f"shape: {a._shape} and {b._shape}"
    for i, (p, q) in enumerate(zip(a._axes, b._axes, strict=True)):
        if p.name != q.name:
            return f"dims: axis {i} is {p.name!r} and {q.name!r}"
        if (p.spacing is None) != (q.spacing is None):
            return f"axis {i} ({p.name!r}): {_kind(p)} and {_kind(q)}"
    if set(a._world.axes) != set(b._world.axes):
        return f"world axes: {a._world.axes!r} and {b._world.axes!r}"
    x, y, reason = _in_one_world(a, b)
    return reason or _gap(x, y, range(len(a._shape)), (), tolerance)


def mismatch(a: Geometry, b: Geometry, reason: str, function: str) -> GeometryMismatchError:
    """Make the error that shows both geometries and what differs first."""
    slices = (
        "Slices taken as image[i:i+1] are joined by concatenate. " if function == "stack" else ""
    )
    return GeometryMismatchError(
        f"{function}: the images do not lie on the same grid; they differ first in {reason}\n"
        f"  first:  {a!r}\n  second: {b!r}\n"
        f"{slices}{_apart(a, b)}Bring one onto the other with resample(image, to=other), or take "
        "its bare array (image.data) where positions do not matter"
    )


def _apart(a: Geometry, b: Geometry) -> str:
    """Say how to compare images at two times, or two depths, of one grid."""
    if set(a._world.axes) != set(b._world.axes):
        return ""
    x, y, _ = _in_one_world(a, b)
    extends = np.hstack([x.direction, y.direction]).any(axis=1)
    still = [str(name) for name in np.array(x.world.axes)[~extends & (x.origin != y.origin)]]
    kept = tuple([name for name in x.world.axes if name not in still])
    if not still or not kept:
        return ""
    return (
        f"Neither extends along {' and '.join(map(repr, still))}: to compare them although they "
        "lie apart there, leave that out of both, "
        f"image.replace(geometry=image.geometry.to_world({kept!r})). "
    )


def broadcast(function: str, grids: Sequence[Geometry]) -> Geometry:
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
    result = grids[0]
    for grid in grids[1:]:
        if grid is not result:
            result = _merge(function, result, grid)
    return result


def concatenate(function: str, pieces: Sequence[Geometry | tuple[int, ...]], axis: int) -> Geometry:
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
    lost: str | None = None
    piece: Any
    for piece in pieces:
        if piece.__class__ is tuple:
            total += piece[axis]
            continue
        shape, axes = piece._shape, piece._axes
        if axes[axis][3] is not None:
            lost = lost or axes[axis][3]
        if first is None:
            first, start = piece, total
            total += shape[axis]
            continue
        # Pieces of one image: the same axes, in a place that is found by the same arithmetic.
        origin, spacing = first._origin, axes[axis][1]
        if spacing is not None:
            length = spacing * (total - start)
            column = axes[axis][2]
            origin = tuple([o + length * c for o, c in zip(origin, column)])  # noqa: B905
        same = (
            origin == piece._origin
            and axes == first._axes
            and piece._world == first._world
            and (shape == first._shape or _same_but(shape, first._shape, axis))
        )
        if not same and not _continues(first, piece, axis, total - start):
            wanted = _next(first, axis, total - start, shape[axis])
            reason = difference(wanted, piece) or "origin"
            raise GeometryMismatchError(
                f"{function}: along axis {axis} ({first._axes[axis].name!r}) each piece must "
                f"begin where the one before it ended; they differ first in {reason}\n"
                f"  expected: {wanted!r}\n  came:     {piece!r}\n"
                "Use the bare arrays (image.data) where positions do not matter, or np.stack for "
                "a new axis"
            )
        if not same and not first._shape[axis]:
            first, start = piece, total  # what is empty does not say where the others lie
        total += shape[axis]
    axes, shape = first._axes, first._shape
    if lost is not None:
        axes = (*axes[:axis], axes[axis]._replace(lost=lost), *axes[axis + 1 :])
    out = (*shape[:axis], total, *shape[axis + 1 :])
    return first._with(out, axes, _end(first, axis, -start) if start else first._origin)  # type: ignore[no-any-return]


def _same_but(shape: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
    """Tell whether two shapes agree in all axes but one."""
    return shape[:axis] == other[:axis] and shape[axis + 1 :] == other[axis + 1 :]


def _next(grid: Geometry, axis: int, steps: int, size: int) -> Geometry:
    """Return the piece of `size` planes that begins `steps` voxels after the origin."""
    shape = (*grid._shape[:axis], size, *grid._shape[axis + 1 :])
    return grid._with(shape, grid._axes, _end(grid, axis, steps))


def _end(grid: Grid, axis: int, steps: int) -> Vector:
    old = grid._axes[axis]
    return shifted(grid._origin, old, steps) if steps and old.spacing is not None else grid._origin


def _continues(a: Geometry, b: Geometry, axis: int, steps: int) -> bool:
    """Tell whether b lies `steps` voxels further along `axis` on the grid of a."""
    if not a._shape[axis]:
        b = b.resize_axis(axis, 0)
    return difference(_next(a, axis, steps, b._shape[axis]), b) is None


def _unequal(n: int, m: int) -> bool:
    """Tell whether two lengths differ; one that only computing would tell (NaN) does not."""
    return n != m and n == n and m == m


def _kind(axis: Axis) -> str:
    if axis.spacing is not None:
        return "sampled"
    return f"plain (its positions were lost by {axis.lost!r})" if axis.lost else "plain"


def _in_one_world(a: Geometry, b: Geometry) -> tuple[Geometry, Geometry, str | None]:
    """Bring two grids into the world of the one that has more world axes; or say why not.

    A world axis that only one has is added to the other, at the place of the one.
    """
    v, w = a._world, b._world
    if v == w:
        return a, b, None
    if len(w.axes) > len(v.axes):
        y, x, reason = _in_one_world(b, a)
        return x, y, reason
    if v.frame != w.frame and v.space and w.space:  # a frame says nothing of other axes
        if v.frame is None or w.frame is None:
            return a, b, f"frame: {v.frame!r} and {w.frame!r}"
        try:
            b = b.to_frame(v.frame)
        except GeometryError:
            return a, b, f"frame: {v.frame!r} and {w.frame!r}, in a world of {w.axes!r}"
    ours = dict(zip(v.axes, v.units, strict=True))
    theirs = dict(zip(b._world.axes, b._world.units, strict=True))
    for name in v.axes:
        if name in theirs and ours[name] != theirs[name]:
            try:
                b = b.to_unit({name: ours[name]})
            except GeometryError:
                return a, b, f"unit of {name!r}: {ours[name]!r} and {theirs[name]!r}"
    units = theirs | ours
    frame = v.frame if v.space or not w.space else w.frame
    world = World((*v.axes, *[n for n in w.axes if n not in ours]), units, frame)
    return _embedded(a, b, world), _embedded(b, a, world), None


def _embedded(grid: Geometry, other: Geometry, world: World) -> Geometry:
    """Rewrite a grid in a world of more axes, or in another order; `other` fills its origin."""
    if grid._world == world:
        return grid
    rows = [grid._world.axes.index(n) if n in grid._world.axes else None for n in world.axes]
    origin = tuple(
        [
            other._origin[other._world.axes.index(name)] if row is None else grid._origin[row]
            for name, row in zip(world.axes, rows, strict=True)
        ]
    )
    axes = [
        axis
        if axis.column is None
        else axis._replace(column=tuple([0.0 if row is None else axis.column[row] for row in rows]))
        for axis in grid._axes
    ]
    new = grid._with(grid._shape, tuple(axes), origin)
    new._world = world
    return new


def _gap(
    a: Geometry, b: Geometry, shared: Sequence[int], free: Sequence[Axis], tolerance: float | None
) -> str | None:
    """Find a voxel centre of b that lies off its partner in a, and say what puts it there.

    Both grids lie in one world and have as many axes. Only the `shared` axes are walked along,
    and displacements along the `free` ones do not count.
    """
    if 0 in a._shape or 0 in b._shape:
        return None  # there is no voxel
    limit = current().tolerance if tolerance is None else tolerance
    if len(free) == 1 and all([a._axes[i] == b._axes[i] for i in shared]):
        # What a reduction or a slice of one image leaves: seen without arrays, in a tenth of the
        # time. It counts only where it lies as exactly as arithmetic can tell.
        way = [q - p for p, q in zip(a._origin, b._origin, strict=True)]
        column, spacing = free[0].column or (), free[0].spacing or 0.0
        length = sum([w * c for w, c in zip(way, column, strict=True)])
        if max([abs(w - length * c) for w, c in zip(way, column, strict=True)]) < 1e-9 * spacing:
            return None
    axes = [i for i in shared if a._axes[i].spacing is not None and a._shape[i] > 1]
    apart = np.subtract(b._origin, a._origin)
    # How far the partners have drifted apart at the far end of each axis.
    drift = np.array([
        np.subtract(_step(b._axes[i]), _step(a._axes[i])) * (a._shape[i] - 1) for i in axes
    ]).reshape(len(axes), len(apart))  # fmt: skip
    if free:
        along = np.array([axis.column for axis in free]).T
        beside = np.eye(len(apart)) - along @ np.linalg.pinv(along)
        apart, drift = beside @ apart, drift @ beside.T
    # The largest displacement is at a corner: it is a convex function of the index.
    corners = sorted(product((0, 1), repeat=len(axes)), key=sum)
    moved = apart + np.array(corners).reshape(len(corners), len(axes)) @ drift
    for rows in _blocks(a._world):
        sizes = [np.linalg.norm(np.take(_step(x), rows)) for x in a._axes if x.spacing is not None]
        scale = min([s for s in sizes if s > 0], default=1.0) * limit
        off = np.linalg.norm(moved[:, rows], axis=1) > scale
        if off.any():
            return _field(a, b, [axes[k] for k in np.flatnonzero(corners[off.argmax()])])
    return None


def _field(a: Geometry, b: Geometry, axes: Sequence[int]) -> str:
    """Name the field that displaces the corner at the far end of some axes."""
    if not axes:
        return f"origin: {a._origin} and {b._origin}"
    for i in axes:
        p, q = a._axes[i], b._axes[i]
        assert p.spacing is not None
        assert q.spacing is not None
        if abs(p.spacing - q.spacing) > 1e-12 * p.spacing:
            return f"spacing of axis {i} ({p.name!r}): {p.spacing} and {q.spacing}"
        if p.column != q.column:
            return f"direction of axis {i} ({p.name!r}): {p.column} and {q.column}"
    return f"origin: {a._origin} and {b._origin}"


def _blocks(world: World) -> list[list[int]]:
    """Return the rows of a world in which one distance has a meaning: space, and each other."""
    space = [r for r, name in enumerate(world.axes) if name in SPACE_AXES]
    others = [[r] for r, name in enumerate(world.axes) if name not in SPACE_AXES]
    return [space, *others] if space else others


def _step(axis: Axis) -> Floats:
    """Return the vector by which one index along a sampled axis moves."""
    assert axis.spacing is not None
    assert axis.column is not None
    return np.multiply(axis.column, axis.spacing)


def _merge(function: str, a: Geometry, b: Geometry) -> Geometry:
    """Return the geometry of an elementwise operation on two images."""
    same = a._shape == b._shape and a._axes == b._axes and a._origin == b._origin
    if same and a._world == b._world:
        return a
    ndim = max(len(a._shape), len(b._shape))
    x, y, reason = _in_one_world(_lead(a, ndim), _lead(b, ndim))
    if reason:
        raise mismatch(a, b, reason, function)
    axes: list[Axis] = []
    shared: list[int] = []
    only_x: list[int] = []
    only_y: list[int] = []
    for i, (n, m, p, q) in enumerate(zip(x._shape, y._shape, x._axes, y._axes, strict=True)):
        if _unequal(n, m) and 1 not in (n, m):
            raise ValueError(
                f"operands could not be broadcast together with shapes {a._shape} {b._shape}"
            )
        if p.name is not None and q.name is not None and p.name != q.name:
            raise mismatch(a, b, f"dims: axis {i} is {p.name!r} and {q.name!r}", function)
        axis, mine = _pick(p, q, n, m)
        if axis is None:
            raise mismatch(a, b, f"axis {i}: {_kind(p)} and {_kind(q)}", function)
        if axis.spacing is not None:
            (shared if mine is None else only_x if mine else only_y).append(i)
        axes.append(axis)
    # Along an axis that one of them has alone, the other may lie anywhere.
    theirs = [y._axes[i] for i in only_y]
    free = [*theirs, *[x._axes[i] for i in only_x]]
    gap = _gap(x, y, shared, free, None)
    if gap is not None:
        raise mismatch(a, b, gap, function)
    origin = x._origin
    if theirs:
        # Along those that only y has, the result begins where y does: of the way from origin to
        # origin, take the part along them.
        way = np.subtract(y._origin, x._origin)
        steps = np.linalg.lstsq(np.array([f.column for f in free]).T, way, rcond=None)[0]
        moved = sum(s * np.array(f.column) for s, f in zip(steps, theirs, strict=False)) + origin
        origin = tuple(moved.tolist())
    shape = tuple([m if n == 1 else n for n, m in zip(x._shape, y._shape, strict=True)])
    return x._with(shape, unique_names(axes), origin)


def _pick(p: Axis, q: Axis, n: int, m: int) -> tuple[Axis | None, bool | None]:
    """Return the axis that two of length n and m make, and whose it is: p's, q's or (None) both.

    No axis if they do not go together.
    """
    if n != m and 1 in (n, m):
        return (p, True) if m == 1 else (q, False)
    if p.spacing is not None and q.spacing is not None:
        return p, None
    if p.spacing is None and q.spacing is None:
        return Axis(p.name or q.name, None, None, p.lost or q.lost), None
    loose, axis = (p, q) if p.spacing is None else (q, p)
    if loose.name is not None or loose.lost:
        return None, None
    return axis, axis is p


def _lead(grid: Geometry, ndim: int) -> Geometry:
    """Add plain axes of length 1 before the others."""
    extra = ndim - len(grid._shape)
    if not extra:
        return grid
    return grid._with((1,) * extra + grid._shape, (PLAIN,) * extra + grid._axes, grid._origin)
