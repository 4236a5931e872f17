"""Grids of one lattice: overlap, intersection, hull, and grids that fit a box or another grid.

The lattice of a geometry is its grid, extended infinitely. Two grids lie on one lattice if the
axes of each run along those of the other and some of their voxel centres coincide; either may be
coarser by a whole number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck._config import current
from spatial_duck.errors import GeometryError, GeometryMismatchError
from spatial_duck.geometry._anchor import PlacedAxis
from spatial_duck.geometry._compare import to_common_world
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._moves import shift
from spatial_duck.geometry._points import (
    bounds_of,
    direction_of,
    physical_to_index,
    place_of,
    require_positions,
)
from spatial_duck.geometry._quantity import in_unit
from spatial_duck.geometry._validation import MAX_CONDITION, condition_number

if TYPE_CHECKING:
    from fractions import Fraction


__all__ = [
    "enclosing",
    "hull",
    "intersection",
    "overlap",
    "pad_to_multiple",
    "snap_to",
    "transformed",
    "zoom_out",
    "zoom_to",
]

Floats = NDArray[np.float64]

G = TypeVar("G", bound=Grid)


class _AxisRelation(NamedTuple):
    """The linear relation between the indices of an axis of this grid and of another grid.

    Index `j` of the `other_axis`, of `count`, lies at index ``start + step * j`` of the `axis`.
    """

    axis: int
    other_axis: int
    start: float
    step: Fraction
    length: int


# --- what two grids share -----------------------------------------------------------------


def overlap(grid: G, other: Grid) -> tuple[slice, ...]:
    """Return the slices of the voxels that coincide with voxels of another grid.

    Parameters
    ----------
    grid : Geometry
        The geometry that is sliced.
    other : Geometry
        A grid on the same lattice; its axes may be in another order, flipped, coarser or finer, and
        its world in another frame, order or unit.

    Returns
    -------
    tuple of slice
        One for each axis, with a rising start and a step of None for 1; empty where the grids are
        apart.

    Raises
    ------
    GeometryMismatchError
        If the grids do not lie on one lattice.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> g = Geometry((10, 10), spacing=2.0)
    >>> g.overlap(g[3:, ::2])
    (slice(3, 10, None), slice(0, 9, 2))
    """
    slices = [slice(0, n) for n in grid.shape]
    for axis, _, start, step, count in _relate_axes(grid, other, "overlap"):
        slices[axis] = _common_indices(start, step, count, grid.shape[axis], grid, other)
    if any(s.start == s.stop for s in slices):
        # Disjoint along one axis, they have no overlap.
        return tuple([slice(0, 0) if i in grid.sampled_axes else s for i, s in enumerate(slices)])
    return tuple(slices)


def _common_indices(
    start: float, step: Fraction, count: int, n: int, grid: Grid, other: Grid
) -> slice:
    """Return the indices 0 to n - 1 that coincide with an index of the other grid."""
    # The pattern repeats after `period` indices of this grid: one of these must be common.
    period = abs(step.numerator)
    limit = current().tolerance
    first = next(
        (i for i in range(period) if abs((r := (i - start) / float(step)) - round(r)) <= limit),
        None,
    )
    if first is None:
        raise _lattice_error("overlap", grid, other, "no voxel centres coincide")
    if not count:
        return slice(0, 0)
    ends = (start, start + float(step) * (count - 1))
    low, high = max(min(ends) - limit, 0), min(max(ends) + limit, n - 1)
    begin = first + period * math.ceil((low - first) / period - limit)
    stop = math.floor(high + limit) + 1
    if begin >= stop:
        return slice(0, 0)
    last = begin + (stop - 1 - begin) // period * period
    return slice(begin, last + 1, None if period == 1 else period)


def intersection(grid: G, other: Grid) -> G:
    """Return the voxels that coincide with voxels of another grid: ``g & h == g[g.overlap(h)]``."""
    return grid[overlap(grid, other)]  # type: ignore[index, no-any-return]


def hull(grid: G, other: Grid) -> G:
    """Return the smallest grid on this lattice that holds the voxel centres of both: ``g | h``.

    Raises
    ------
    GeometryMismatchError
        If the grids do not lie on one lattice.
    """
    made = grid
    limit = current().tolerance
    for axis, _, start, step, count in _relate_axes(grid, other, "|"):
        _common_indices(
            start, step, count, grid.shape[axis], grid, other
        )  # raises where they are not on one lattice
        if not count:
            continue
        ends = (start, start + float(step) * (count - 1))
        low, high = math.floor(min(ends) + limit), math.ceil(max(ends) - limit)
        if grid.shape[axis]:
            low, high = min(low, 0), max(high, grid.shape[axis] - 1)
        made = made._with_map(shift(made._map, axis, 2 * low, high - low + 1))
    return made


def _relate_axes(grid: Grid, other: Grid, what: str) -> list[_AxisRelation]:
    """Return the relation of each axis of this grid to an axis of another.

    Raises
    ------
    GeometryMismatchError
        If they do not, or the grids have other axes or worlds.
    """
    from fractions import Fraction

    for g in (grid, other):
        require_positions(g, what)
    if set(grid.world.axes) != set(other.world.axes):
        raise _lattice_error(what, grid, other, f"world axes: {grid.world.axes!r} and "
                        f"{other.world.axes!r}")  # fmt: skip
    here, there, reason = to_common_world(grid, other)
    if reason:
        raise _lattice_error(what, grid, other, reason)
    ours, theirs = here.sampled_axes, there.sampled_axes
    plain = [[(a.name, n) for i, (a, n) in enumerate(zip(g._axes, g.shape, strict=True))
              if i not in g.sampled_axes] for g in (here, there)]  # fmt: skip
    if len(ours) != len(theirs) or plain[0] != plain[1]:
        raise _lattice_error(what, grid, other, f"axes: {grid.dims!r} and {other.dims!r}")
    direction = direction_of(here)
    if condition_number(direction) > MAX_CONDITION:
        raise GeometryError(f"{what}: the axes {grid.dims!r} are not independent")
    if not ours:
        return []
    steps = direction * [here._axes[i].spacing for i in ours]
    inverse = np.linalg.pinv(steps)
    way = np.subtract(there._origin, here._origin)
    start = inverse @ way
    scale = min([here._axes[i].spacing or 1.0 for i in ours])
    limit = current().tolerance
    if np.linalg.norm(steps @ start - way) > limit * scale:
        raise _lattice_error(what, grid, other, "origin: they lie in different planes")
    lines = []
    for j in theirs:
        axis = there._axes[j]
        vector = np.multiply(axis.column or (), axis.spacing or 0.0)
        along = inverse @ vector
        k = int(np.argmax(abs(along)))
        step = Fraction(float(along[k])).limit_denominator(1000)
        far = max(there.shape[j] - 1, 1)
        is_whole = step != 0 and 1 in (abs(step.numerator), step.denominator)
        if not is_whole or np.linalg.norm(steps[:, k] * float(step) - vector) * far > limit * scale:
            raise _lattice_error(what, grid, other, f"axis {j} of the other: spacing or direction")
        lines.append(_AxisRelation(ours[k], j, float(start[k]), step, there.shape[j]))
    if len({line.axis for line in lines}) != len(lines):
        raise _lattice_error(what, grid, other, "direction")
    return lines


def _lattice_error(what: str, a: Grid, b: Grid, reason: str) -> GeometryMismatchError:
    return GeometryMismatchError(
        f"{what}: the grids do not lie on one lattice; they differ in {reason}\n"
        f"  first:  {a!r}\n  second: {b!r}\n"
        "Bring one onto the other's lattice with snap_to, or resample the image"
    )


# --- grids that fit -----------------------------------------------------------------------


def enclosing(grid: G, bounds: ArrayLike | Mapping[str, Any] | Grid) -> G:
    """Return the smallest grid on this lattice whose voxels cover a box of the world.

    Parameters
    ----------
    grid : Geometry
        The geometry; the result may be smaller or larger.
    bounds : array_like of float, shape (2, n_world), mapping or Geometry
        Lowest and highest coordinates, as `Geometry.bounds` has them; or (lowest, highest) by
        world axis, where axes that are left out stay; or a grid, which is covered to its corners.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> g = Geometry((10, 10), spacing=2.0).enclosing([[3, 3], [7, 30]])
    >>> g.shape, g.origin.tolist()
    ((2, 14), [4.0, 4.0])
    """
    low, high = _index_box(grid, bounds)
    made = grid
    for axis in grid.sampled_axes:
        if not (math.isfinite(low[axis]) and math.isfinite(high[axis])):
            continue
        # Rounding must not add a voxel.
        near = current().tolerance
        first = math.floor(low[axis] + 0.5 + near)
        last = max(math.ceil(high[axis] - 0.5 - near), first)
        made = made._with_map(shift(made._map, axis, 2 * first, last - first + 1))
    return made


def _index_box(grid: Grid, bounds: Any) -> tuple[Floats, Floats]:
    """Return the lowest and highest indices that a box of the world reaches to."""
    world = grid.world
    if isinstance(bounds, Grid):
        _, other, reason = to_common_world(grid, bounds)
        if reason or set(bounds.world.axes) != set(world.axes):
            raise _lattice_error("enclosing", grid, bounds, reason or "world axes")
        ends = [(-0.5, n - 0.5) if a.spacing is not None else (0.0, 0.0)
                for n, a in zip(other.shape, other._axes, strict=True)]  # fmt: skip
        indices = np.array(list(product(*ends)), dtype=np.float64)
        steps = direction_of(other) * [a.spacing for a in other._axes if a.spacing is not None]
        points = indices[:, other.sampled_axes] @ steps.T + other._origin
    else:
        if isinstance(bounds, Mapping):
            unknown = [name for name in bounds if name not in world.axes]
            if unknown:
                raise GeometryError(f"bounds: {unknown!r} are not among {world.axes!r}")
            now = dict(zip(world.axes, np.transpose(bounds_of(grid)).tolist(), strict=True))
            units = dict(zip(world.axes, world.units, strict=True))
            now |= {name: list(in_unit(pair, units[name], "bounds"))
                    for name, pair in bounds.items()}  # fmt: skip
            box = np.array([now[name] for name in world.axes], dtype=np.float64).T
        else:
            box = np.asarray(in_unit(bounds, world.units, "bounds"), dtype=np.float64)
        if box.shape != (2, len(world.axes)) or not (box[0] <= box[1]).all():
            raise GeometryError(
                f"bounds must have shape (2, {len(world.axes)}), the lowest and the highest "
                f"coordinates along the world axes {world.axes!r}, got {bounds!r}"
            )
        points = np.array(list(product(*box.T)))
    found = physical_to_index(grid, points)
    return found.min(axis=0), found.max(axis=0)


def snap_to(grid: G, other: Grid) -> G:
    """Return the grid moved onto the lattice of another, by less than half a voxel of that.

    Raises
    ------
    GeometryMismatchError
        If the axes do not run along those of the other, or the spacing is no whole multiple.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((4,), origin=(0.3,)).snap_to(Geometry((9,), origin=(10,))).origin
    array([0.])
    """
    lines = _relate_axes(other, grid, "snap_to")
    for line in lines:
        if line.step.denominator != 1:
            raise _lattice_error("snap_to", grid, other, f"spacing of axis {line.other_axis}")
    if grid.world == other.world:
        # In the lattice's own order of summation, so that coinciding centres are equal to the bit.
        index = [0.0] * len(other._axes)
        for line in lines:
            index[line.axis] = round(line.start)
        origin = place_of(other, index)
    else:
        index = [0.0] * len(grid._axes)
        for line in lines:
            index[line.other_axis] = (round(line.start) - line.start) / float(line.step)
        origin = place_of(grid, index)
    return grid._from_axes(grid.shape, grid._axes, origin, grid.world, dict(grid._anchor.lost))


def zoom_out(grid: G, factor: float | Mapping[str, float] | Sequence[float]) -> G:
    """Return a coarser grid with the same outer corners.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    factor : float, sequence of float or mapping
        How many voxels become one: for all space axes, for each array axis, or by name. Where it
        does not divide the shape, the last voxel is not cut: all become a little smaller.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> g = Geometry((9, 8)).zoom_out(2)
    >>> g.shape, g.spacing.tolist(), g.origin.tolist()
    ((5, 4), [1.8, 2.0], [0.4, 0.5])
    """
    factors = _per_axis(grid, factor, 1.0, "zoom_out")
    if any(not (f > 0 and math.isfinite(f)) for f in factors):
        raise GeometryError(f"zoom_out: factors must be positive, got {factor!r}")
    shape = [
        n if f == 1 else max(math.ceil(n / f - 1e-9 * n), min(n, 1))
        for n, f in zip(grid.shape, factors, strict=True)
    ]
    return zoom_to(grid, shape)


def zoom_to(grid: G, shape: int | Mapping[str, int] | Sequence[int]) -> G:
    """Return a grid of another shape with the same outer corners.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    shape : int, sequence of int or mapping
        Voxels along all space axes, along each array axis, or by name. Plain axes keep theirs.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((10, 8)).zoom_to({"x": 4}).spacing
    array([1., 2.])
    """
    sizes = [int(n) for n in _per_axis(grid, shape, None, "zoom_to")]
    axes = list(grid._axes)
    origin = grid._origin
    for i, (n, m) in enumerate(zip(grid.shape, sizes, strict=True)):
        axis = axes[i]
        if n == m:
            continue
        if axis.spacing is None or axis.column is None:
            raise GeometryError(f"zoom_to: axis {i} ({axis.name!r}) is plain and keeps its {n}")
        if n < 1 or m < 1:
            raise GeometryError(f"zoom_to: shape must be of 1 or more, got {shape!r} of {n}")
        spacing = axis.spacing * n / m
        length = (spacing - axis.spacing) / 2
        origin = tuple([o + length * c for o, c in zip(origin, axis.column, strict=True)])
        axes[i] = PlacedAxis(axis.name, spacing, axis.column)
    if tuple(sizes) == grid.shape:
        return grid
    return grid._from_axes(
        tuple(sizes), axes, origin, grid.world, dict(grid._anchor.lost), grid._along()
    )


def pad_to_multiple(grid: G, n: int | Mapping[str, int] | Sequence[int]) -> G:
    """Return the grid with voxels added at the ends, until its shape is a multiple of a number.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    n : int, sequence of int or mapping
        The number for all space axes, for each array axis, or by name.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((9, 16)).pad_to_multiple(8).shape
    (16, 16)
    """
    multiples = [int(m) for m in _per_axis(grid, n, 1, "pad_to_multiple")]
    if any(m < 1 for m in multiples):
        raise GeometryError(f"pad_to_multiple: numbers must be 1 or more, got {n!r}")
    made = grid
    for i, m in enumerate(multiples):
        size = -(-grid.shape[i] // m) * m
        if size != grid.shape[i]:
            made = made._with_map(shift(made._map, i, 0, size))
    return made


def _per_axis(grid: Grid, value: Any, default: Any, what: str) -> list[Any]:
    """Return a value for each array axis: `default`, or its length, where none is given."""
    kept = [n if default is None else default for n in grid.shape]
    if isinstance(value, Mapping):
        names = grid.dims
        unknown = [name for name in value if name not in names]
        if unknown:
            raise GeometryError(f"{what}: {unknown!r} are not among dims {names!r}")
        return [value.get(name, k) for name, k in zip(names, kept, strict=True)]
    if np.ndim(value) == 0:
        space = [r for r, kind in enumerate(grid.world.types) if kind == "space"]
        return [
            value if a.column is not None and any(a.column[r] for r in space) else k
            for a, k in zip(grid._axes, kept, strict=True)
        ]
    if len(value) != len(kept):
        raise GeometryError(
            f"{what} takes one value for each of the axes {grid.dims!r}, got {value!r}"
        )
    return list(value)


def transformed(grid: G, matrix: Floats) -> G:
    """Return the grid whose points are those of this one, mapped by an affine matrix.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    matrix : ndarray of float, shape (n_world + 1, n_world + 1)
        Maps points of its world.
    """
    n = len(grid.world.axes)
    turn = matrix[:n, :n]
    axes = []
    for axis in grid._axes:
        if axis.spacing is not None and axis.column is not None:
            vector = turn @ np.multiply(axis.column, axis.spacing)
            length = float(np.linalg.norm(vector))
            axis = PlacedAxis(axis.name, length, tuple((vector / length).tolist()))
        axes.append(axis)
    origin = turn @ np.array(grid._origin) + matrix[:n, n]
    return grid._from_axes(
        grid.shape, axes, tuple(origin.tolist()), grid.world, dict(grid._anchor.lost),
        grid._along(),
    )  # fmt: skip
