"""Make the anchor of a geometry from the constructor's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from spatial_duck._advice import check_keywords
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._anchor import PlacedAxis, make_anchor
from spatial_duck.geometry._quantity import by_name, has_unit, in_unit, units_of
from spatial_duck.geometry._validation import (
    check_dims,
    check_direction,
    check_lost,
    check_numbers,
    check_origin,
    check_shape,
    check_spacing,
    check_world,
    count_world,
    find_sampled,
)
from spatial_duck.geometry._world import World

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from spatial_duck.geometry._anchor import Anchor, Vector
    from spatial_duck.geometry._grid import Grid
    from spatial_duck.geometry._map import IndexMap

__all__ = [
    "GeometryChanges",
    "Lengths",
    "Units",
    "anchor_of",
    "changed_fields",
    "check_columns",
    "fields_of_affine",
]

#: Lengths as users give them: plain numbers or numbers with units, in order or by name.
Lengths = Any
Units = str | Mapping[str, str | None] | Sequence[str | None]


class GeometryChanges(TypedDict, total=False):
    """Keywords of `Geometry.replace`."""

    shape: Sequence[int]
    spacing: Lengths | None
    origin: Lengths | None
    direction: ArrayLike | None
    affine: ArrayLike | None
    dims: Sequence[str | None] | None
    sampled: Sequence[str | int] | None
    world: World | Sequence[str] | None
    frame: str | None
    unit: Units | None
    lost: Mapping[Any, str] | None


def anchor_of(
    shape: Any,
    spacing: Any,
    origin: Any,
    direction: Any,
    dims: Any,
    sampled: Any,
    world: Any,
    frame: str | None,
    unit: Units | None,
    lost: Mapping[Any, str] | None,
) -> tuple[Anchor, IndexMap]:
    """Check the parameters of a `Geometry` and return the anchor and map that they make."""
    shape = check_shape(shape)
    names = check_dims(dims, len(shape))
    lost_axes, lost_world = check_lost(lost, len(shape))
    which = find_sampled(names, sampled, lost_axes)
    along = [names[i] for i in which]
    spacing = by_name(spacing, along, "spacing", 1.0)
    if not which:
        _require_nothing_sampled(names, spacing, direction)
    columns = None if direction is None else check_numbers("direction", direction, 2)
    n_world = None if isinstance(origin, Mapping) else count_world(origin, columns)
    placed = check_world(world, frame, unit, along, n_world)
    lost_world = {name: f for name, f in lost_world.items() if name not in placed.axes}
    origin = by_name(origin, placed.axes, "origin", 0.0)
    if has_unit(spacing) or has_unit(origin):
        placed = _add_units(placed, spacing, along, origin)
        spacing = in_unit(spacing, _units_along(placed, along, columns), "spacing")
        origin = in_unit(origin, placed.units, "origin")
    spacings = check_spacing(spacing, along)
    directions = check_direction(columns, along, placed)
    axes = [PlacedAxis(name, None, None, lost_axes.get(i)) for i, name in enumerate(names)]
    for i, s, column in zip(which, spacings, directions, strict=True):
        axes[i] = PlacedAxis(names[i], s, column)
    # An axis whose positions are lost ran along the world axis of its name, if there is one.
    ran = {
        i: tuple([float(name == names[i]) for name in placed.axes])
        for i in lost_axes
        if names[i] in placed.axes
    }
    start = check_origin(origin, placed)
    return make_anchor(shape, axes, start, placed, lost_world, along=ran)


def _require_nothing_sampled(names: Sequence[str | None], spacing: Any, direction: Any) -> None:
    """Raise where lengths are given and no axis is sampled."""
    for field, value in (("spacing", spacing), ("direction", direction)):
        if value is not None and np.size(value) > 0:
            raise GeometryError(
                f"{field} was given, and none of the axes {tuple(names)!r} is sampled: those named "
                f"x, y, z and t are, in lower case; name others in sampled=, for example "
                f"sampled={tuple([n for n in names if n is not None])!r}"
            )


def _add_units(world: World, spacing: Any, along: Sequence[str | None], origin: Any) -> World:
    """Return the world with the units that came with numbers, where it has none."""
    given = units_of(spacing, along, "spacing") | units_of(origin, world.axes, "origin")
    units = {
        name: given.get(name) if unit is None else unit
        for name, unit in zip(world.axes, world.units, strict=True)
    }
    # An axis that runs obliquely has the unit of the space that it runs through.
    others = [unit for name, unit in given.items() if name not in world.axes]
    space = [name for name, kind in zip(world.axes, world.types, strict=True) if kind == "space"]
    if others and all(units[name] is None for name in space):
        units |= dict.fromkeys(space, others[0])
    return world.replace(units=units)


def _units_along(world: World, along: Sequence[str | None], columns: Any) -> tuple[str | None, ...]:
    """Return the unit of each sampled axis's spacing."""
    units = dict(zip(world.axes, world.units, strict=True))
    found = []
    for k, name in enumerate(along):
        if columns is None or columns.shape[0] != len(world.axes) or k >= columns.shape[1]:
            found.append(units.get(name) if name is not None else None)
        else:
            rows = np.flatnonzero(columns[:, k])
            found.append(world.units[int(rows[0])] if len(rows) else None)
    return tuple(found)


def fields_of_affine(
    affine: ArrayLike, spacing: Any, origin: Any, direction: Any
) -> tuple[list[float], list[float], Any]:
    """Return spacing, origin and direction of a homogeneous matrix."""
    given = {"spacing": spacing, "origin": origin, "direction": direction}
    both = [name for name, value in given.items() if value is not None]
    if both:
        raise GeometryError(f"affine excludes {', '.join(both)}: it holds them")
    matrix = check_numbers("affine", affine, 2)
    rows, columns = matrix.shape
    if rows < 2 or columns < 1 or not np.array_equal(matrix[-1], [0.0] * (columns - 1) + [1.0]):
        raise GeometryError(
            "affine must have a last row of zeros and a one, and a column for each sampled "
            f"axis before the last, got shape {matrix.shape} and last row "
            f"{matrix[-1].tolist() if rows else []}"
        )
    lengths = np.sqrt((matrix[:-1, :-1] ** 2).sum(axis=0))
    if (lengths == 0).any():
        raise GeometryError(
            f"affine has a column of zeros: {matrix.tolist()}; each sampled axis must move "
            "through the world"
        )
    return lengths.tolist(), matrix[:-1, -1].tolist(), matrix[:-1, :-1] / lengths


def check_columns(direction: Any, shape: Any, dims: Any, sampled: Any, lost: Any) -> None:
    """Check that an affine has a column for each sampled axis, beside the one of the origin."""
    names = check_dims(dims, len(check_shape(shape)))
    along = [names[i] for i in find_sampled(names, sampled, check_lost(lost, len(names))[0])]
    rows, columns = np.shape(direction)
    if columns != len(along):
        raise GeometryError(
            f"affine must have a column for each sampled axis {tuple(along)!r} and one for the "
            f"origin: shape (n_world + 1, {len(along) + 1}), got {(rows + 1, columns + 1)}"
        )


def changed_fields(
    grid: Grid, changes: dict[str, Any]
) -> tuple[dict[str, Any], dict[int, Vector] | None]:
    """Return the constructor's parameters for a geometry with some of them changed.

    And where axes without positions ran, if both axes and world stay what they are.
    """
    check_keywords("replace", changes, GeometryChanges.__annotations__)
    now = grid.world
    world = changes.get("world", now)
    if not isinstance(world, World):
        world = now.replace(axes=tuple(world), frame=None)
        named = any(name in world.axes for name in "xyz")
        world = world.replace(frame=now.frame if named else None)
    axes = grid._axes
    fields: dict[str, Any] = {
        "shape": grid.shape, "dims": grid.dims, **changes,
    }  # fmt: skip
    along = None
    if len(tuple(fields["dims"])) == len(grid.shape):
        # Renamed axes keep their positions.
        columns = [a.column for a in axes if a.column is not None]
        kept: dict[str, Any] = {
            "sampled": grid.sampled_axes,
            "lost": grid.lost,
        }
        if changes.get("affine") is None:
            kept["spacing"] = [a.spacing for a in axes if a.spacing is not None]
            kept["direction"] = np.array(columns).reshape(len(columns), len(grid._origin)).T
        spacing = changes.get("spacing")
        if isinstance(spacing, Mapping):
            names = [a.name for a in axes if a.spacing is not None]
            fields["spacing"] = by_name(
                dict(zip(names, kept["spacing"], strict=True)) | dict(spacing),
                names,
                "spacing",
                1.0,
            )
        fields = kept | fields
        if world.axes == now.axes and fields["lost"] == grid.lost:
            along = grid._along()
    if len(world.axes) == len(grid._origin) and changes.get("affine") is None:
        fields = {"origin": grid._origin} | fields
        if isinstance(changes.get("origin"), Mapping):
            start = dict(zip(world.axes, grid._origin, strict=True))
            fields["origin"] = by_name(start | dict(changes["origin"]), world.axes, "origin", 0.0)
    new = world.replace(
        units=changes.get("unit", world.units), frame=changes.get("frame", world.frame)
    )
    return fields | {"world": new, "frame": None, "unit": None}, along
