"""Axes of OME-Zarr as worlds, and back: names, types, units, anatomical orientations.

An axis is a JSON object, ``{"name": "x", "type": "space", "unit": "millimeter"}``. Axes of space
may have an anatomical orientation (RFC-4); those of x, y and z together are a frame. The standard's
order is time, then channels, then space. This module handles axes alone, neither arrays nor
transformations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FormatError
from spatial_duck.geometry._world import SPACE_AXES, World, canonical_unit

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = [
    "Axes",
    "array_axes",
    "axes_by_name",
    "axes_of_world",
    "axis_names",
    "sampled_axes",
    "world_of_axes",
]

Axes = Sequence[Mapping[str, Any]]

#: Units as the standard spells them.
_UNITS = {
    "m": "meter", "km": "kilometer", "dm": "decimeter", "cm": "centimeter", "mm": "millimeter",
    "um": "micrometer", "nm": "nanometer", "pm": "picometer", "in": "inch", "ft": "foot",
    "s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond", "min": "minute",
    "h": "hour", "d": "day",
}  # fmt: skip

#: Anatomical orientations (RFC-4), by the letter that an axis runs to.
_ORIENTATIONS = {
    "L": "right-to-left", "R": "left-to-right", "P": "anterior-to-posterior",
    "A": "posterior-to-anterior", "S": "inferior-to-superior", "I": "superior-to-inferior",
}  # fmt: skip
_LETTERS = {value: letter for letter, value in _ORIENTATIONS.items()}

#: The axes of all images before 0.3.
_FIXED = ("t", "c", "z", "y", "x")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}


# --- reading ------------------------------------------------------------------------------


def axes_by_name(names: Any = _FIXED) -> tuple[dict[str, Any], ...]:
    """Return axes whose types follow from their names, as in versions up to 0.3.

    Examples
    --------
    >>> axes_by_name(["c", "y"])
    ({'name': 'c', 'type': 'channel'}, {'name': 'y', 'type': 'space'})
    """
    if isinstance(names, str) or not all(isinstance(n, str) for n in names):
        raise FormatError(f"axes must be a list of names, got {names!r}")
    return tuple([{"name": n, **({"type": _TYPES[n]} if n in _TYPES else {})} for n in names])


def sampled_axes(axes: Axes) -> list[int]:
    """Return which axes are space or time."""
    kinds = [str(a.get("type", "")).lower() for a in axes]
    return [
        i
        for i, (a, kind) in enumerate(zip(axes, kinds, strict=True))
        if kind in ("space", "time") or (not kind and a.get("name") in (*SPACE_AXES, "t"))
    ]


def world_of_axes(axes: Axes) -> World:
    """Return the world whose coordinates are the axes of a coordinate system."""
    units = [canonical_unit(a.get("unit") or None) for a in axes]
    names = [str(a["name"]) for a in axes]
    types = {n: kind for n, a in zip(names, axes, strict=True) if (kind := a.get("type"))}
    known = {n: str(kind).lower() for n, kind in types.items()}
    return World(names, units, _frame(axes), known)


def _frame(axes: Axes) -> str | None:
    """Return the frame that the orientations of x, y and z make; None without all three."""
    orientations = {a.get("name"): a.get("orientation") for a in axes}
    letters = ""
    for name in SPACE_AXES:
        orientation = orientations.get(name)
        value = orientation.get("value") if isinstance(orientation, Mapping) else None
        letters += _LETTERS.get(str(value), "")
    return letters if len(letters) == 3 else None


# --- writing ------------------------------------------------------------------------------


def axes_of_world(world: World) -> list[dict[str, Any]]:
    """Return a world's coordinates as the axes of a coordinate system, with orientations."""
    axes = []
    for name, unit in zip(world.axes, world.units, strict=True):
        axis: dict[str, Any] = {"name": name, "type": world.type_of(name)}
        if unit is not None:
            axis["unit"] = _UNITS.get(unit, unit)
        if world.frame is not None and name in SPACE_AXES:
            value = _ORIENTATIONS[world.frame[SPACE_AXES.index(name)]]
            axis["orientation"] = {"type": "anatomical", "value": value}
        axes.append(axis)
    return axes


def axis_names(geometry: Geometry) -> tuple[str, ...]:
    """Return a name for each array axis; a plain one without a name is called c."""
    return tuple(name or ("c" if "c" not in geometry.dims else "channel") for name in geometry.dims)


def array_axes(geometry: Geometry, *, in_world: bool) -> list[dict[str, Any]]:
    """Return the axes of an array.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the array, its sampled axes named x, y, z and t.
    in_world : bool
        Whether each sampled axis runs along the world axis of its name, so that the orientation of
        that world axis holds for it. Units are given in any case.
    """
    world = geometry.world
    known = {axis["name"]: axis for axis in axes_of_world(world)}
    axes = []
    for i, name in enumerate(axis_names(geometry)):
        if i not in geometry.sampled_axes:
            axes.append({"name": name, "type": "channel"})
            continue
        axis = dict(known.get(name, {"name": name, "type": "time" if name == "t" else "space"}))
        if not in_world:
            axis.pop("orientation", None)
        axes.append(axis)
    return axes
