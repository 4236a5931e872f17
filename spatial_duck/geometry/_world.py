"""World coordinates: the names, units and anatomical frame of physical axes.

A frame is a three-letter code that says which way the anatomical axes x, y and z point:
``"LPS"`` (x to the patient's left, y to posterior, z to superior; DICOM, ITK) or ``"RAS"``
(nibabel, NIfTI), or any other of the 48 such codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypedDict, Unpack

from spatial_duck._advice import check_keywords
from spatial_duck._signatures import show_keywords
from spatial_duck.errors import FrameError, GeometryError

__all__ = [
    "LENGTHS",
    "LETTER_AXES",
    "OPPOSITE",
    "PLANE_NAMES",
    "SPACE_AXES",
    "TIMES",
    "World",
    "canonical_unit",
    "check_frame",
    "frame_change",
    "is_known_unit",
    "unit_factor",
]

SPACE_AXES = ("x", "y", "z")

#: Anatomical letters and those of the opposite directions.
OPPOSITE = MappingProxyType(dict(zip("LRPASI", "RLAPIS", strict=True)))

#: The anatomical axis (x, y, z) of each letter.
LETTER_AXES = MappingProxyType({"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2})

#: The plane across each anatomical axis.
PLANE_NAMES = ("sagittal", "coronal", "axial")

#: Lengths in metres and times in seconds, under the names that are stored.
LENGTHS = MappingProxyType(
    {
        "m": 1.0,
        "km": 1e3,
        "dm": 1e-1,
        "cm": 1e-2,
        "mm": 1e-3,
        "um": 1e-6,
        "nm": 1e-9,
        "pm": 1e-12,
        "angstrom": 1e-10,
        "in": 0.0254,
        "ft": 0.3048,
    }
)
TIMES = MappingProxyType(
    {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0, "d": 86400.0}
)

_PREFIXES = {"": "", "kilo": "k", "deci": "d", "centi": "c", "milli": "m"}
_PREFIXES |= {"micro": "u", "nano": "n", "pico": "p"}
_ALIASES: dict[str, str] = {
    "µm": "um",  # U+00B5 and U+03BC are both in use
    "μm": "um",
    "µs": "us",
    "μs": "us",
    "micron": "um",
    "microns": "um",
    "Å": "angstrom",
    "Angstrom": "angstrom",
    "inch": "in",
    "inches": "in",
    "foot": "ft",
    "feet": "ft",
    "sec": "s",
    "msec": "ms",
    "usec": "us",
    "minute": "min",
    "minutes": "min",
    "hour": "h",
    "hours": "h",
    "day": "d",
    "days": "d",
}
for _long, _short in _PREFIXES.items():
    for _stem, _symbol, _known in (
        ("meter", "m", LENGTHS),
        ("metre", "m", LENGTHS),
        ("second", "s", TIMES),
    ):
        if _short + _symbol in _known:
            _ALIASES[_long + _stem] = _ALIASES[_long + _stem + "s"] = _short + _symbol


def canonical_unit(unit: str | None) -> str | None:
    """Return the short name of a unit; names that are not known come back as they are.

    Examples
    --------
    >>> canonical_unit("micrometer"), canonical_unit("seconds"), canonical_unit("ppm")
    ('um', 's', 'ppm')
    """
    if unit is None:
        return None
    if not isinstance(unit, str) or not unit:
        raise GeometryError(f"unit must be a name such as 'mm' or None, got {unit!r}")
    return _ALIASES.get(unit, unit)


def is_known_unit(unit: str | None) -> bool:
    """Whether a unit's short name is that of a known length or time."""
    return unit in LENGTHS or unit in TIMES


def unit_factor(old: str | None, new: str | None) -> float:
    """Return the number by which a value in the `old` unit is multiplied to be in the `new` one.

    Parameters
    ----------
    old, new : str or None
        Names of units.

    Returns
    -------
    float

    Raises
    ------
    GeometryError
        If one is unknown or unspecified, or one is a length and the other a time.

    Examples
    --------
    >>> unit_factor("mm", "um")
    1000.0
    """
    old, new = canonical_unit(old), canonical_unit(new)
    if old == new:
        return 1.0
    for table in (LENGTHS, TIMES):
        if old is not None and new is not None and old in table and new in table:
            factor = table[old] / table[new]
            # 1e-3 / 1e-6 is 999.9999999999999: the powers of ten are exact the other way round.
            inverse = table[new] / table[old]
            if abs(factor - round(factor)) < 1e-9 * factor:
                return float(round(factor))
            if abs(inverse - round(inverse)) < 1e-9 * inverse:
                return 1.0 / round(inverse)
            return factor
    raise GeometryError(
        f"unit: cannot convert {old!r} to {new!r}; known lengths are {', '.join(LENGTHS)} and "
        f"times {', '.join(TIMES)}. A unit that was never given is set with replace(unit=...)"
    )


def check_frame(frame: str | None, field: str = "frame") -> str | None:
    """Return a valid frame code in capitals, or raise a `FrameError` that names the field.

    Examples
    --------
    >>> check_frame("ras")
    'RAS'
    """
    if frame is None:
        return None
    code = frame.upper() if isinstance(frame, str) else ""
    if len(code) != 3 or sorted(LETTER_AXES.get(letter, -1) for letter in code) != [0, 1, 2]:
        raise FrameError(
            f"{field} must be a code of three letters, one each of L/R, P/A and S/I (such as 'LPS' "
            f"or 'RAS'), or None for unspecified, got {frame!r}"
        )
    return code


@lru_cache(maxsize=256)
def frame_change(old: str, new: str) -> tuple[tuple[int, int], ...]:
    """Return how anatomical coordinates change between two frames.

    Parameters
    ----------
    old, new : str
        Frame codes.

    Returns
    -------
    tuple of (source, sign)
        For each of x, y, z in the new frame: the index of the old coordinate that it is, and
        1 or -1.

    Examples
    --------
    >>> frame_change("LPS", "RAS")
    ((0, -1), (1, -1), (2, 1))
    """
    lines = [LETTER_AXES[letter] for letter in old]
    sources = [lines.index(LETTER_AXES[letter]) for letter in new]
    return tuple((s, 1 if old[s] == letter else -1) for s, letter in zip(sources, new, strict=True))


#: What an axis of the world may measure.
AXIS_TYPES = ("space", "time", "other")


class WorldChanges(TypedDict, total=False):
    """Keywords of `World.replace`."""

    axes: Sequence[str]
    units: str | Mapping[str, str | None] | Sequence[str | None] | None
    frame: str | None
    types: Mapping[str, str] | Sequence[str] | None


@dataclass(frozen=True, slots=True, repr=False)
class World:
    """The physical coordinates that an image lives in.

    Parameters
    ----------
    axes : sequence of str
        Name of each coordinate, such as ``("z", "y", "x")``; the order in which an origin's
        numbers and a direction's rows are given.
    units : str, mapping or sequence of (str or None), optional
        Unit of each coordinate. One name stands for all axes of its type: a time for the time
        axes, anything else for the space axes. A mapping goes by axis. None is unspecified.
    frame : str, optional
        Which way the anatomical x, y and z point (``"LPS"``, ``"RAS"``, …), or None for
        unspecified. Space without an axis of one of these names has none.
    types : mapping or sequence of {"space", "time", "other"}, optional
        What each coordinate measures. By default ``t`` is a time and all others are space; a
        mapping names those that differ from that.

    Raises
    ------
    GeometryError
        If the axes are not unique names, or units or types are not one for each.
    FrameError
        If the frame is not a known code, or there is no x, y or z.

    Examples
    --------
    >>> World(("t", "z", "y", "x"), {"t": "second", "z": "mm", "y": "mm", "x": "mm"}, "RAS")
    World(axes=('t', 'z', 'y', 'x'), units=('s', 'mm', 'mm', 'mm'), frame='RAS')
    >>> World(("Z", "lambda"), "um", types={"lambda": "other"}).units
    ('um', None)
    """

    axes: tuple[str, ...]
    units: tuple[str | None, ...] = ()
    frame: str | None = None
    types: tuple[str, ...] = ()

    def __init__(
        self,
        axes: Sequence[str],
        units: str | Mapping[str, str | None] | Sequence[str | None] | None = None,
        frame: str | None = None,
        types: Mapping[str, str] | Sequence[str] | None = None,
    ) -> None:
        axes = tuple(axes)
        if any(not isinstance(a, str) or not a for a in axes) or len(set(axes)) != len(axes):
            raise GeometryError(f"world: axes must be different, non-empty names, got {axes!r}")
        kinds = _check_types(axes, types)
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "units", _check_units(axes, kinds, units))
        object.__setattr__(self, "frame", check_frame(frame))
        object.__setattr__(self, "types", kinds)
        if frame is not None and not self.space and "space" in kinds:
            raise FrameError(
                f"frame: {frame!r} says which way x, y and z point, and the world has only {axes!r}"
            )

    @property
    def space(self) -> tuple[int, ...]:
        """Positions of the anatomical axes among `axes`, in the order x, y, z, where present."""
        return tuple(self.axes.index(name) for name in SPACE_AXES if name in self.axes)

    @property
    def blocks(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the axes between which a distance has a meaning: space of one unit."""
        found: dict[object, list[int]] = {}
        for r, (kind, unit) in enumerate(zip(self.types, self.units, strict=True)):
            found.setdefault(("space", unit) if kind == "space" else r, []).append(r)
        return tuple(map(tuple, found.values()))

    def type_of(self, axis: str) -> str:
        """Return the type of a coordinate: space, time or other."""
        return self.types[self.axes.index(axis)]

    def take(self, rows: Sequence[int]) -> World:
        """Return the world of some axes, in the order given."""
        axes = [self.axes[r] for r in rows]
        types = [self.types[r] for r in rows]
        is_named = any(name in SPACE_AXES for name in axes) or "space" not in types
        frame = self.frame if is_named else None
        return World(axes, [self.units[r] for r in rows], frame, types)

    def joined(self, other: World) -> World:
        """Return the world of these axes and those that only the other has."""
        new = [r for r, name in enumerate(other.axes) if name not in self.axes]
        return World(
            (*self.axes, *[other.axes[r] for r in new]),
            (*self.units, *[other.units[r] for r in new]),
            self.frame if self.space or not other.space else other.frame,
            (*self.types, *[other.types[r] for r in new]),
        )

    @show_keywords(WorldChanges)
    def replace(self, **changes: Unpack[WorldChanges]) -> World:
        """Return a world with some of the parameters changed; those of an axis go by its name."""
        check_keywords("World.replace", changes, WorldChanges.__annotations__)
        axes = tuple(changes.get("axes", self.axes))
        units = dict(zip(self.axes, self.units, strict=True))
        types = dict(zip(self.axes, self.types, strict=True))
        return World(
            axes,
            changes.get("units", {name: units.get(name) for name in axes}),
            changes.get("frame", self.frame),
            changes.get("types", {name: types[name] for name in axes if name in types}),
        )

    def __repr__(self) -> str:
        types = "" if self.types == _check_types(self.axes, None) else f", types={self.types!r}"
        return f"World(axes={self.axes!r}, units={self.units!r}, frame={self.frame!r}{types})"


def _check_types(
    axes: tuple[str, ...], types: Mapping[str, str] | Sequence[str] | None
) -> tuple[str, ...]:
    usual = ["time" if name == "t" else "space" for name in axes]
    if types is None:
        return tuple(usual)
    if isinstance(types, Mapping):
        unknown = [name for name in types if name not in axes]
        if unknown:
            raise GeometryError(f"types: {unknown!r} are not among the world axes {axes!r}")
        types = [types.get(name, kind) for name, kind in zip(axes, usual, strict=True)]
    if (
        isinstance(types, str)
        or len(types) != len(axes)
        or any(kind not in AXIS_TYPES for kind in types)
    ):
        raise GeometryError(
            f"types must hold one of {AXIS_TYPES} for each world axis {axes!r}, got {types!r}"
        )
    return tuple(types)


def _check_units(
    axes: tuple[str, ...],
    types: tuple[str, ...],
    units: str | Mapping[str, str | None] | Sequence[str | None] | None,
) -> tuple[str | None, ...]:
    if units is None:
        return (None,) * len(axes)
    if isinstance(units, str):
        unit = canonical_unit(units)
        kind = "time" if unit in TIMES else "space"
        if axes and kind not in types:
            raise GeometryError(
                f"unit: {units!r} stands for the axes of {kind}, and there is none among {axes!r}; "
                "give the unit of each world axis by name"
            )
        return tuple(unit if k == kind else None for k in types)
    if isinstance(units, Mapping):
        unknown = [name for name in units if name not in axes]
        if unknown:
            raise GeometryError(f"unit: {unknown!r} are not among the world axes {axes!r}")
        return tuple(canonical_unit(units.get(name)) for name in axes)
    if not isinstance(units, Sequence) or len(units) != len(axes):
        raise GeometryError(f"unit: expected one unit for each world axis {axes!r}, got {units!r}")
    return tuple(canonical_unit(unit) for unit in units)
