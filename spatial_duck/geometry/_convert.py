"""Convert a grid to other coordinates: frames, units, and orders of world axes.

Each change acts on the anchor; the integers over it stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry._anchor import rewrite_anchor
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._moves import shift
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.geometry._world import SPACE_AXES, World, check_frame, frame_change, unit_factor

__all__ = ["rebase", "repeat", "to_frame", "to_unit", "to_world"]

G = TypeVar("G", bound=Grid)


def to_frame(grid: G, frame: str) -> G:
    """Return the same grid in the coordinates of another anatomical frame.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    frame : str
        Frame code, such as ``"RAS"``.

    Raises
    ------
    FrameError
        If the present frame is unspecified, or the change needs an axis that the world lacks.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((2, 2, 2), origin=(1, 2, 3), frame="LPS").to_frame("RAS").origin
    array([ 1., -2., -3.])
    """
    new = check_frame(frame)
    world = grid.world
    old = world.frame
    if new is None or old is None:
        raise FrameError(
            f"to_frame: cannot convert from {old!r} to {frame!r}; say what the coordinates "
            "are now with replace(frame=...)"
        )
    if new == old:
        return grid
    axes = world.axes
    rows: list[tuple[int, int]] = [(i, 1) for i in range(len(axes))]
    units = list(world.units)
    for name, (source, sign) in zip(SPACE_AXES, frame_change(old, new), strict=True):
        if name not in axes and SPACE_AXES[source] not in axes:
            continue
        if name not in axes or SPACE_AXES[source] not in axes:
            raise FrameError(
                f"to_frame: {old} to {new} takes {name!r} from {SPACE_AXES[source]!r}, and "
                f"the world has only {axes!r}"
            )
        row = axes.index(SPACE_AXES[source])
        rows[axes.index(name)] = (row, sign)
        units[axes.index(name)] = world.units[row]
    changed = World(axes, units, new, world.types)
    steps = [(row, float(sign)) for row, sign in rows]
    return grid._with_map(grid._map, rewrite_anchor(grid._anchor, changed, steps))


def to_unit(grid: G, unit: str | Mapping[str, str | None]) -> G:
    """Return the same grid in other units.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    unit : str or mapping of str to str
        Unit of the space axes (a time unit: of the time axes), or of each world axis that is to
        change.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((2, 2), spacing=0.5, unit="mm").to_unit("um").spacing
    array([500., 500.])
    """
    world = grid.world
    if isinstance(unit, str):  # of the axes of its type, of which there must be one
        units = World(world.axes, unit, types=world.types).units
        wanted: dict[str, str | None] = {
            name: new for name, new in zip(world.axes, units, strict=True) if new is not None
        }
    else:
        wanted = dict(unit)
    new = world.replace(
        units={n: wanted.get(n, u) for n, u in zip(world.axes, world.units, strict=True)}
        | {n: u for n, u in wanted.items() if n not in world.axes}
    )
    factors = [
        unit_factor(old, now) if name in wanted else 1.0
        for name, old, now in zip(world.axes, world.units, new.units, strict=True)
    ]
    return grid._with_map(grid._map, rewrite_anchor(grid._anchor, new, list(enumerate(factors))))


def to_world(grid: G, axes: Sequence[str]) -> G:
    """Return the same grid with the world axes in another order, or with fewer.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    axes : sequence of str
        Names of world axes, in the order wanted. The position along those that are left out is
        given up: no axis of the array may run along them. So an image at one time becomes one
        without time.

    Raises
    ------
    GeometryError
        If a name is not among the world axes, or an axis of the array runs along one that is left
        out.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> Geometry((2, 2), origin=(1, 2)).to_world(("x", "y")).origin
    array([2., 1.])
    >>> series = Geometry((5, 2, 2), dims=("t", "y", "x"))
    >>> series[3].world.axes, series[3].to_world(("y", "x")).world.axes
    (('t', 'y', 'x'), ('y', 'x'))
    """
    now = grid.world
    order = tuple(axes)
    left = [r for r, name in enumerate(now.axes) if name not in order]
    if len(order) + len(left) != len(now.axes) or not set(order) <= set(now.axes):
        raise GeometryError(
            f"to_world: expected names among {now.axes!r}, in any order, got {order!r}"
        )
    moving = [now.axes[r] for r in left if any(a.column and a.column[r] for a in grid._axes)]
    if moving:
        raise GeometryError(
            f"to_world: axes of the array run along {moving!r}, which therefore cannot be left "
            f"out, got {order!r}"
        )
    rows = [now.axes.index(name) for name in order]
    columns = [c for spacing, c, _ in grid._anchor.sources if spacing is not None]
    if any(any(c[r] for r in left) and any(c[r] for r in rows) for c in columns):
        # An oblique axis that an integer took away does not fit into fewer world axes: what stays
        # is the position that it left.
        grid = rebase(grid)
    changed = rewrite_anchor(grid._anchor, now.take(rows), [(r, 1.0) for r in rows])
    return grid._with_map(grid._map, changed)


def rebase(grid: G) -> G:
    """Return the grid on an anchor whose origin is the position of the voxel at index 0."""
    if not any(grid._map.offset):
        return grid
    anchor = grid._anchor._replace(origin=grid._origin)
    zeros = (0,) * len(grid._map.offset)
    return grid._with_map(grid._map._replace(offset=zeros), anchor)


def repeat(grid: G, repeats: int, axis: int) -> G:
    """Return the geometry of ``np.repeat(array, repeats, axis)`` for one number of repeats.

    Each voxel is cut into `repeats` thinner ones, which fill the same extent.
    """
    i = normalize_axis(axis, len(grid.shape))
    size = grid.shape[i] * repeats
    old = grid._axes[i]
    if old.spacing is None or repeats < 1:
        return grid._with_map(shift(grid._map, i, 0, size))
    axes = (*grid._axes[:i], old._replace(spacing=old.spacing / repeats), *grid._axes[i + 1 :])
    shape = (*grid.shape[:i], size, *grid.shape[i + 1 :])
    fine = grid._from_axes(
        shape, axes, grid._origin, grid.world, dict(grid._anchor.lost), grid._along()
    )
    return fine._with_map(shift(fine._map, i, 1 - repeats, size))
