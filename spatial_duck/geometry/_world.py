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

from spatial_duck.errors import FrameError, GeometryError

__all__ = [
    "LENGTHS",
    "SPACE_AXES",
    "TIMES",
    "World",
    "canonical_unit",
    "check_frame",
    "frame_change",
    "unit_factor",
]

SPACE_AXES = ("x", "y", "z")

#: Anatomical letters by the physical line they lie on.
_LINES = MappingProxyType({"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2})

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
    if len(code) != 3 or sorted(_LINES.get(letter, -1) for letter in code) != [0, 1, 2]:
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
    lines = [_LINES[letter] for letter in old]
    sources = [lines.index(_LINES[letter]) for letter in new]
    return tuple((s, 1 if old[s] == letter else -1) for s, letter in zip(sources, new, strict=True))


@dataclass(frozen=True, slots=True)
class World:
    """The physical coordinates that an image lives in.

    Parameters
    ----------
    axes : sequence of str
        Name of each coordinate, such as ``("z", "y", "x")``; the order in which an origin's
        numbers and a direction's rows are given.
    units : str, mapping or sequence of (str or None), optional
        Unit of each coordinate. One name stands for the space axes x, y and z; a mapping goes by
        axis. None is unspecified.
    frame : str, optional
        Which way the anatomical x, y and z point (``"LPS"``, ``"RAS"``, …), or None for
        unspecified.

    Raises
    ------
    GeometryError
        If the axes are not unique names or the units are not one for each.
    FrameError
        If the frame is not a known code.

    Examples
    --------
    >>> World(("t", "z", "y", "x"), {"t": "second", "z": "mm", "y": "mm", "x": "mm"}, "RAS")
    World(axes=('t', 'z', 'y', 'x'), units=('s', 'mm', 'mm', 'mm'), frame='RAS')
    """

    axes: tuple[str, ...]
    units: tuple[str | None, ...] = ()
    frame: str | None = None

    def __init__(
        self,
        axes: Sequence[str],
        units: str | Mapping[str, str | None] | Sequence[str | None] | None = None,
        frame: str | None = None,
    ) -> None:
        axes = tuple(axes)
        if any(not isinstance(a, str) or not a for a in axes) or len(set(axes)) != len(axes):
            raise GeometryError(f"world: axes must be different, non-empty names, got {axes!r}")
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "units", _units(axes, units))
        object.__setattr__(self, "frame", check_frame(frame))

    @property
    def space(self) -> tuple[int, ...]:
        """Positions of the space axes among `axes`, in the order x, y, z, where present."""
        return tuple(self.axes.index(name) for name in SPACE_AXES if name in self.axes)


def _units(
    axes: tuple[str, ...], units: str | Mapping[str, str | None] | Sequence[str | None] | None
) -> tuple[str | None, ...]:
    if units is None:
        return (None,) * len(axes)
    if isinstance(units, str):
        unit = canonical_unit(units)
        return tuple(unit if name in SPACE_AXES else None for name in axes)
    if isinstance(units, Mapping):
        unknown = [name for name in units if name not in axes]
        if unknown:
            raise GeometryError(f"unit: {unknown!r} are not among the world axes {axes!r}")
        return tuple(canonical_unit(units.get(name)) for name in axes)
    if not isinstance(units, Sequence) or len(units) != len(axes):
        raise GeometryError(f"unit: expected one unit for each world axis {axes!r}, got {units!r}")
    return tuple(canonical_unit(unit) for unit in units)
