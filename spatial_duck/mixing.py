"""Several grids in one operation: whether they are the same grid, and what they make together.

Two grids are the same if, in one frame, order of world axes and unit, no voxel centre of the one
lies more than a tolerance (in voxels) from its partner in the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatial_duck.config import current
from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.grid import PLAIN, Axis, Grid, shifted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.geometry import Geometry

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
    if a._shape != b._shape:
        return f"shape: {a._shape} and {b._shape}"
    if a._axes == b._axes and a._origin == b._origin and a._world == b._world:
        return None
    for i, (p, q) in enumerate(zip(a._axes, b._axes, strict=True)):
        if p.name != q.name:
            return f"dims: axis {i} is {p.name!r} and {q.name!r}"
        if (p.spacing is None) != (q.spacing is None):
            return f"axis {i} ({p.name!r}): {_kind(p)} and {_kind(q)}"
    b, reason = _in_world_of(a, b)
    if reason:
        return reason
    gap = _gap(a, b, range(len(a._shape)), (), tolerance)
    return None if gap is None else gap


def mismatch(a: Geometry, b: Geometry, reason: str, function: str) -> GeometryMismatchError:
    """Make the error that shows both geometries and what differs first."""
    return GeometryMismatchError(
        f"{function}: the images do not lie on the same grid; they differ first in {reason}\n"
        f"  first:  {a!r}\n  second: {b!r}\n"
        "Bring one onto the other with resample(image, to=other), or take its bare array "
        "(image.data) where positions do not matter"
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
            wanted = first._with(shape, first._axes, _end(first, axis, total - start))
            reason = difference(wanted, piece) or "origin"
            raise GeometryMismatchError(
                f"{function}: along axis {axis} ({first._axes[axis].name!r}) each piece must "
                f"begin where the one before it ended; they differ first in {reason}\n"
                f"  expected: {wanted!r}\n  came:     {piece!r}\n"
                "Use the bare arrays (image.data) where positions do not matter, or np.stack for "
                "a new axis"
            )
        total += shape[axis]
    axes, shape = first._axes, first._shape
    if lost is not None:
        axes = (*axes[:axis], axes[axis]._replace(lost=lost), *axes[axis + 1 :])
    out = (*shape[:axis], total, *shape[axis + 1 :])
    return first._with(out, axes, _end(first, axis, -start) if start else first._origin)  # type: ignore[no-any-return]


def _same_but(shape: tuple[int, ...], other: tuple[int, ...], axis: int) -> bool:
    """Tell whether two shapes agree in all axes but one."""
    return shape[:axis] == other[:axis] and shape[axis + 1 :] == other[axis + 1 :]


def _end(grid: Grid, axis: int, steps: int) -> Vector:
    old = grid._axes[axis]
    return shifted(grid._origin, old, steps) if steps and old.spacing is not None else grid._origin


def _continues(a: Geometry, b: Geometry, axis: int, steps: int) -> bool:
    """Tell whether b lies `steps` voxels further along `axis` on the grid of a."""
    n, old = a._shape, a._axes[axis]
    if (old.lost or b._axes[axis].lost) and not (
        old.spacing is None and b._axes[axis].spacing is None
    ):
        return False
    shape = (*n[:axis], b._shape[axis], *n[axis + 1 :])
    return difference(a._with(shape, a._axes, _end(a, axis, steps)), b) is None


def _kind(axis: Axis) -> str:
    if axis.spacing is not None:
        return "sampled"
    return f"plain (its positions were lost by {axis.lost!r})" if axis.lost else "plain"


def _in_world_of(a: Geometry, b: Geometry) -> tuple[Geometry, str | None]:
    """Bring b into the frame, unit and axis order of a; or say why that cannot be."""
    v, w = a._world, b._world
    if v == w:
        return b, None
    if v.frame != w.frame and v.axes and w.axes:  # what lies nowhere has no use for a frame
        if v.frame is None or w.frame is None:
            return b, f"frame: {v.frame!r} and {w.frame!r}"
        b = b.to_frame(v.frame)
        w = b._world
    common = [name for name in v.axes if name in w.axes]
    if len(common) < min(len(v.axes), len(w.axes)):
        return b, f"world axes: {v.axes!r} and {w.axes!r}"
    ours = dict(zip(v.axes, v.units, strict=True))
    theirs = dict(zip(w.axes, w.units, strict=True))
    changed = {n: ours[n] for n in common if ours[n] != theirs[n]}
    if changed:
        try:
            b = b.to_unit(changed)
        except GeometryError:
            name = next(iter(changed))
            return b, f"unit of {name!r}: {ours[name]!r} and {theirs[name]!r}"
    order = (*common, *[name for name in w.axes if name not in common])
    return (b if order == b._world.axes else b.to_world(order)), None


def _vectors(grid: Grid, names: Sequence[str]) -> tuple[Vector, list[Vector | None]]:
    """Return origin and step of each axis in the world axes that are named."""
    rows = [grid._world.axes.index(name) for name in names]
    origin = tuple([grid._origin[r] for r in rows])
    steps: list[Vector | None] = []
    for axis in grid._axes:
        if axis.spacing is None or axis.column is None:
            steps.append(None)
        else:
            spacing, column = axis.spacing, axis.column
            steps.append(tuple([spacing * column[r] for r in rows]))
    return origin, steps


def _gap(
    a: Geometry,
    b: Geometry,
    shared: Sequence[int],
    free: Sequence[Vector],
    tolerance: float | None,
) -> str | None:
    """Find a voxel centre of b, in a's world, that lies off its partner in a.

    Only the `shared` axes are compared (both grids have as many axes), and displacements along
    the `free` vectors do not count.
    """
    limit = current().tolerance if tolerance is None else tolerance
    names = [name for name in a._world.axes if name in b._world.axes]
    o, steps_a = _vectors(a, names)
    p, steps_b = _vectors(b, names)
    blocks = [[i for i, name in enumerate(names) if name in ("x", "y", "z")]]
    blocks += [[i] for i, name in enumerate(names) if name not in ("x", "y", "z")]
    apart = _without([q - r for q, r in zip(p, o, strict=True)], free)
    growth = []
    for i in shared:
        u, v = steps_a[i], steps_b[i]
        if u is not None and v is not None:
            grown = [(s - t) * max(a._shape[i] - 1, 0) for s, t in zip(v, u, strict=True)]
            growth.append((i, _without(grown, free)))
    for rows in blocks:
        sizes = [_norm(s, rows) for s in steps_a if s is not None and _norm(s, rows) > 0]
        scale = min(sizes, default=1.0) * limit
        at_origin = _norm(apart, rows)
        if at_origin > scale:
            return f"origin: {a._origin} and {b._origin}"
        for i, grown in growth:
            if at_origin + _norm(grown, rows) > scale:
                first, second = a._axes[i].spacing, b._axes[i].spacing
                field = "spacing" if abs((first or 0) - (second or 0)) > 1e-12 else "direction"
                values = (
                    (first, second)
                    if field == "spacing"
                    else (a._axes[i].column, b._axes[i].column)
                )
                return f"{field} of axis {i} ({a._axes[i].name!r}): {values[0]} and {values[1]}"
        if at_origin + sum(_norm(g, rows) for _, g in growth) > scale:
            return "the far corner of the grid"
    return None


def _norm(vector: Sequence[float], rows: Sequence[int]) -> float:
    return float(sum([vector[r] * vector[r] for r in rows])) ** 0.5


def _dot(u: Sequence[float], v: Sequence[float]) -> float:
    return sum([x * y for x, y in zip(u, v, strict=True)])


def _without(vector: Sequence[float], free: Sequence[Vector]) -> list[float]:
    """Return the part of `vector` that is orthogonal to all `free` vectors."""
    basis: list[list[float]] = []
    for f in (*free, tuple(vector)):
        rest = list(f)
        for unit in basis:
            along = _dot(rest, unit)
            rest = [r - along * u for r, u in zip(rest, unit, strict=True)]
        length = _dot(rest, rest) ** 0.5
        if len(basis) == len(free):
            break
        basis.append([r / length for r in rest] if length > 0 else [0.0] * len(rest))
    return rest


def _merge(function: str, a: Geometry, b: Geometry) -> Geometry:
    """Return the geometry of an elementwise operation on two images."""
    if a._shape == b._shape and a._axes == b._axes and a._origin == b._origin:
        if a._world == b._world:
            return a
    ndim = max(len(a._shape), len(b._shape))
    x = a._with(*_lead(a, ndim), a._origin)
    moved, reason = _in_world_of(a, b)
    if reason:
        raise mismatch(a, b, reason, function)
    y = moved._with(*_lead(moved, ndim), moved._origin)

    shape: list[int] = []
    axes: list[Axis] = []
    shared: list[int] = []
    only_x: list[int] = []
    only_y: list[int] = []
    for i, (n, m, p, q) in enumerate(zip(x._shape, y._shape, x._axes, y._axes, strict=True)):
        if n != m and 1 not in (n, m):
            raise ValueError(
                f"operands could not be broadcast together with shapes {a._shape} {b._shape}"
            )
        axis = p
        lacks_x = i < ndim - len(a._shape)
        lacks_y = i < ndim - len(b._shape)
        if p.name is not None and q.name is not None and p.name != q.name:
            raise mismatch(a, b, f"dims: axis {i} is {p.name!r} and {q.name!r}", function)
        if lacks_y or (m == 1 and n != 1):
            if p.spacing is not None:
                only_x.append(i)
        elif lacks_x or (n == 1 and m != 1):
            axis = q
            if q.spacing is not None:
                only_y.append(i)
        elif p.spacing is not None and q.spacing is not None:
            shared.append(i)
        elif p.spacing is None and q.spacing is None:
            axis = Axis(p.name or q.name, None, None, p.lost or q.lost)
        else:
            loose = p if p.spacing is None else q
            if loose.name is not None or loose.lost:
                raise mismatch(a, b, f"axis {i}: {_kind(p)} and {_kind(q)}", function)
            axis = q if p.spacing is None else p
            (only_y if p.spacing is None else only_x).append(i)
        shape.append(m if n == 1 else n)
        axes.append(axis)
    names = [name for name in x._world.axes if name in y._world.axes]
    _, steps_x = _vectors(x, names)
    _, steps_y = _vectors(y, names)
    free = [s for i in only_x if (s := steps_x[i]) is not None]
    free += [s for i in only_y if (s := steps_y[i]) is not None]
    gap = _gap(x, y, shared, free, None)
    if gap is not None:
        raise mismatch(a, b, gap, function)
    # The grid with more world axes, and more axes of its own, says where the result lies.
    base, theirs = (x, only_y) if len(x._world.axes) >= len(y._world.axes) else (y, only_x)
    if base is y:
        axes = [y._axes[i] if i in shared else axis for i, axis in enumerate(axes)]
        if theirs:
            raise mismatch(a, b, f"world axes: {a._world.axes!r} and {b._world.axes!r}", function)
    elif theirs:
        if x._world.axes != y._world.axes:
            raise mismatch(a, b, f"world axes: {a._world.axes!r} and {b._world.axes!r}", function)
        base = base._with(base._shape, base._axes, _joint_origin(x, y, free, theirs))
    return base._with(tuple(shape), _named_once(axes), base._origin)


def _lead(grid: Grid, ndim: int) -> tuple[tuple[int, ...], tuple[Axis, ...]]:
    extra = ndim - len(grid._shape)
    return (1,) * extra + grid._shape, (PLAIN,) * extra + grid._axes


def _joint_origin(x: Grid, y: Grid, free: Sequence[Vector], from_y: Sequence[int]) -> Vector:
    """Move x's origin along the axes that only y has, to where y begins along them."""
    delta = [q - p for p, q in zip(x._origin, y._origin, strict=True)]
    ours = [f for f in free if f not in [_step(y, i) for i in from_y]]
    theirs = [_step(y, i) for i in from_y]
    # Along y's axes, the part of delta that x's own free axes do not explain.
    rest = _without(delta, [*theirs, *ours])
    explained = [d - r for d, r in zip(delta, rest, strict=True)]
    coefficients = _solve([*theirs, *ours], explained)
    origin = list(x._origin)
    for c, step in zip(coefficients, theirs, strict=False):
        origin = [o + c * s for o, s in zip(origin, step, strict=True)]
    return tuple(origin)


def _step(grid: Grid, i: int) -> Vector:
    axis = grid._axes[i]
    assert axis.spacing is not None
    assert axis.column is not None
    spacing = axis.spacing
    return tuple([spacing * c for c in axis.column])


def _solve(columns: Sequence[Vector], target: Sequence[float]) -> list[float]:
    """Least-squares coefficients of `target` in `columns`."""
    import numpy as np

    matrix = np.array(columns).T
    return [float(c) for c in np.linalg.lstsq(matrix, np.array(target), rcond=None)[0]]


def _named_once(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    seen: set[str] = set()
    out = []
    for axis in axes:
        if axis.name is not None and axis.name in seen:
            axis = axis._replace(name=None)
        if axis.name is not None:
            seen.add(axis.name)
        out.append(axis)
    return tuple(out)
