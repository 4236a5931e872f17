"""Compare two grids, and name the first field in which they differ.

Two grids are the same if, in one frame, order of world axes and unit, no voxel centre of the one
lies more than a tolerance (in voxels) from its partner in the other.

Grids on one anchor are compared by their integers, and grids with equal numbers at once; the rest
is one comparison of points, with NumPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from spatial_duck._config import current
from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.geometry._anchor import Anchor, PlacedAxis
from spatial_duck.geometry._convert import to_frame, to_unit
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._points import direction_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry._world import World

    Floats = NDArray[np.float64]

__all__ = [
    "axis_kind",
    "describe_gap",
    "difference",
    "is_same_grid",
    "is_unequal",
    "mismatch",
    "to_common_world",
]

G = TypeVar("G", bound=Grid)


def is_same_grid(a: Grid, b: Grid, tolerance: float | None = None) -> bool:
    """Whether two geometries are the same grid (the equality of the package).

    Parameters
    ----------
    a, b : Geometry
        They may be in different frames, world orders or units.
    tolerance : float, optional
        Largest displacement of a voxel centre, in voxels (`config` has the default, 1e-3).

    Returns
    -------
    bool
        False too where they cannot be compared, as with other shapes or units.
    """
    return a is b or difference(a, b, tolerance) is None


def difference(a: Grid, b: Grid, tolerance: float | None = None) -> str | None:
    """Return the first field in which two geometries differ, in words, or None.

    Parameters
    ----------
    a, b : Geometry
        The geometries.
    tolerance : float, optional
        Largest displacement of a voxel, in voxels; the one of `config` by default.
    """
    if a._anchor is b._anchor and a._map == b._map:
        return None
    if a.shape == b.shape and a._axes == b._axes and a._origin == b._origin:
        if a.world == b.world:
            return None
    elif len(a.shape) != len(b.shape) or any(map(is_unequal, a.shape, b.shape)):
        return f"shape: {a.shape} and {b.shape}"
    for i, (p, q) in enumerate(zip(a._axes, b._axes, strict=True)):
        if p.name != q.name:
            return f"dims: axis {i} is {p.name!r} and {q.name!r}"
        if (p.spacing is None) != (q.spacing is None):
            return f"axis {i} ({p.name!r}): {axis_kind(p)} and {axis_kind(q)}"
    if set(a.world.axes) != set(b.world.axes):
        return f"world axes: {a.world.axes!r} and {b.world.axes!r}"
    x, y, reason = to_common_world(a, b)
    return reason or describe_gap(x, y, range(len(a.shape)), (), tolerance)


def mismatch(a: Grid, b: Grid, reason: str, function: str) -> GeometryMismatchError:
    """Return the error that shows both geometries and the first difference."""
    slices = (
        "Slices taken as image[i:i+1] are joined by concatenate. " if function == "stack" else ""
    )
    return GeometryMismatchError(
        f"{function}: the images do not lie on the same grid; they differ first in {reason}\n"
        f"  first:  {a!r}\n  second: {b!r}\n"
        f"{slices}{_how_to_name(a, b)}{_how_to_leave_out(a, b)}"
        "Bring one onto the other with resample(image, to=other), or take its bare array "
        "(image.data) where positions do not matter"
    )


def _how_to_name(a: Grid, b: Grid) -> str:
    """Return advice for axes that differ in their names alone."""
    if a.shape != b.shape or a.dims == b.dims:
        return ""
    axes = [x._replace(name=y.name) for x, y in zip(a._axes, b._axes, strict=True)]
    if axes != list(b._axes) or a._origin != b._origin or a.world != b.world:
        return ""
    return (
        "Only the names of their axes differ: give the second those of the first with "
        "reorient(image, like=other), or image.replace(dims=other.dims). "
    )


def _how_to_leave_out(a: Grid, b: Grid) -> str:
    """Return advice for images at two times, or two depths, of one grid."""
    if set(a.world.axes) != set(b.world.axes):
        return ""
    x, y, _ = to_common_world(a, b)
    extends = np.hstack([direction_of(x), direction_of(y)]).any(axis=1)
    differs = np.not_equal(x._origin, y._origin)
    still = [str(name) for name in np.array(x.world.axes)[~extends & differs]]
    kept = tuple([name for name in x.world.axes if name not in still])
    if not still or not kept:
        return ""
    return (
        f"Neither extends along {' and '.join(map(repr, still))}: to compare them although they "
        "lie apart there, leave that out of both, "
        f"image.replace(geometry=image.geometry.to_world({kept!r})). "
    )


def is_unequal(n: int, m: int) -> bool:
    """Whether two lengths differ; an unknown one (NaN) does not."""
    return n != m and n == n and m == m


def axis_kind(axis: PlacedAxis) -> str:
    if axis.spacing is not None:
        return "sampled"
    return f"plain (its positions were lost by {axis.lost!r})" if axis.lost else "plain"


# --- one world ----------------------------------------------------------------------------


def to_common_world(a: G, b: G) -> tuple[G, G, str | None]:
    """Return two grids in the world of the one with more axes, and why that fails (or None).

    A world axis that only one has is added to the other, at the position of the first.
    """
    v, w = a.world, b.world
    if v == w:
        return a, b, None
    if len(w.axes) > len(v.axes):
        y, x, reason = to_common_world(b, a)
        return x, y, reason
    if v.frame != w.frame and v.space and w.space:  # a frame says nothing of other axes
        if v.frame is None or w.frame is None:
            return a, b, f"frame: {v.frame!r} and {w.frame!r}"
        try:
            b = to_frame(b, v.frame)
        except GeometryError:
            return a, b, f"frame: {v.frame!r} and {w.frame!r}, in a world of {w.axes!r}"
    w = b.world
    for name in v.axes:
        if name not in w.axes:
            continue
        ours, theirs = v.units[v.axes.index(name)], w.units[w.axes.index(name)]
        if v.types[v.axes.index(name)] != w.types[w.axes.index(name)]:
            return a, b, f"type of {name!r}: {v.type_of(name)!r} and {w.type_of(name)!r}"
        if ours != theirs:
            try:
                b = to_unit(b, {name: ours})
            except GeometryError:
                return a, b, f"unit of {name!r}: {ours!r} and {theirs!r}"
    world = v.joined(b.world)
    return _embed(a, b, world), _embed(b, a, world), None


def _embed(grid: G, other: G, world: World) -> G:
    """Return a grid in a world of more axes, or in another order; `other` fills its origin."""
    if grid.world == world:
        return grid
    anchor = grid._anchor
    rows = [grid.world.axes.index(n) if n in grid.world.axes else None for n in world.axes]
    origin = tuple(
        [
            other._origin[other.world.axes.index(name)] if row is None else anchor.origin[row]
            for name, row in zip(world.axes, rows, strict=True)
        ]
    )
    sources = [
        source
        if source.spacing is None
        else source._replace(column=tuple([0.0 if r is None else source.column[r] for r in rows]))
        for source in anchor.sources
    ]
    lost = tuple([(name, function) for name, function in anchor.lost if name not in world.axes])
    return grid._with_map(grid._map, Anchor(tuple(sources), origin, world, lost))


# --- voxel by voxel -----------------------------------------------------------------------

#: Most axes that are compared corner by corner; of more, each world axis is bounded separately.
_MAX_CORNER_AXES = 8


def describe_gap(
    a: Grid, b: Grid, shared: Sequence[int], free: Sequence[PlacedAxis], tolerance: float | None
) -> str | None:
    """Return the field by which a voxel centre of b differs from that of a, or None.

    Both grids lie in one world and have as many axes. Only the `shared` axes are walked along,
    and displacements along the `free` ones do not count.
    """
    if 0 in a.shape or 0 in b.shape:
        return None  # there is no voxel
    limit = current().tolerance if tolerance is None else tolerance
    if len(free) == 1 and all([a._axes[i] == b._axes[i] for i in shared]):
        # The usual case after a reduction or a slice: compared without arrays, in a tenth of the
        # time, and only where the numbers agree to rounding.
        way = [q - p for p, q in zip(a._origin, b._origin, strict=True)]
        column, spacing = free[0].column or (), free[0].spacing or 0.0
        length = sum([w * c for w, c in zip(way, column, strict=True)])
        if max([abs(w - length * c) for w, c in zip(way, column, strict=True)]) < 1e-9 * spacing:
            return None
    axes = [i for i in shared if a._axes[i].spacing is not None and a.shape[i] > 1]
    apart = np.subtract(b._origin, a._origin)
    # The displacement between partners that each axis adds at its far end.
    drift = np.array([
        np.subtract(_step(b._axes[i]), _step(a._axes[i])) * (a.shape[i] - 1) for i in axes
    ]).reshape(len(axes), len(apart))  # fmt: skip
    if free:
        along = np.array([axis.column for axis in free]).T
        beside = np.eye(len(apart)) - along @ np.linalg.pinv(along)
        apart, drift = beside @ apart, drift @ beside.T
    for rows in map(list, a.world.blocks):
        sizes = [np.linalg.norm(np.take(_step(x), rows)) for x in a._axes if x.spacing is not None]
        scale = min([s for s in sizes if s > 0], default=1.0) * limit
        corner = _farthest(apart[rows], drift[:, rows], scale)
        if corner is not None:
            return _differing_field(a, b, [axes[k] for k in corner])
    return None


def _farthest(apart: Floats, drift: Floats, limit: float) -> list[int] | None:
    """Return the axes at whose far ends partners lie more than `limit` apart; None if nowhere.

    The largest displacement is at a corner, as it is a convex function of the index. Corners are
    walked only along the axes that matter, and only where a bound does not tell.
    """
    lengths = np.linalg.norm(drift, axis=1)
    if np.linalg.norm(apart) + lengths.sum() <= limit:
        return None
    if np.linalg.norm(apart) > limit:
        return []
    order = [int(k) for k in np.argsort(-lengths) if lengths[k] > 0]
    few = order[:_MAX_CORNER_AXES]
    corners = np.array(sorted(np.ndindex((2,) * len(few)), key=sum)).reshape(-1, len(few))
    off = np.linalg.norm(apart + corners @ drift[few], axis=1) > limit
    if off.any():
        return [few[k] for k in np.flatnonzero(corners[int(np.argmax(off))])]
    if len(few) == len(order):
        return None
    # No farther than each world axis by itself can come, which is exact for aligned grids.
    most = np.maximum(
        abs(apart + np.maximum(drift, 0).sum(axis=0)), abs(apart + np.minimum(drift, 0).sum(axis=0))
    )
    return order if np.linalg.norm(most) > limit else None


def _differing_field(a: Grid, b: Grid, axes: Sequence[int]) -> str:
    """Return the field that displaces the corner at the far end of some axes."""
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


def _step(axis: PlacedAxis) -> Floats:
    """Return the vector by which one index along a sampled axis moves."""
    assert axis.spacing is not None
    assert axis.column is not None
    return np.multiply(axis.column, axis.spacing)
