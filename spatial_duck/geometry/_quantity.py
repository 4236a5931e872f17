"""Read numbers with a unit: pint, astropy, unyt, NumPy's times, and ``"2 um"``.

Wherever a length, a point or a time is wanted, numbers with a unit are converted to the unit that
is in force there; plain numbers pass as they are. No library of units is imported: their numbers
are known by what they can do.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._world import canonical_unit, is_known_unit, unit_factor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spatial_duck.geometry._world import World

__all__ = [
    "by_name",
    "has_unit",
    "in_unit",
    "is_sequence",
    "length_in",
    "lengths_along",
    "one_length",
    "split_unit",
    "units_of",
    "volume_in",
]

_NUMBER = r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*"
_QUANTITY_PATTERN = re.compile(_NUMBER + r"([^\s\d][^\d]*?)\s*$")
_VOLUME_PATTERN = re.compile(_NUMBER + r"([^\W\d²³]+)\s*(?:\^|\*\*)?\s*([123²³]?)\s*$")
#: Cubic centimetres of the units of volume that have names of their own.
_VOLUMES = {"l": 1e3, "dl": 100.0, "cl": 10.0, "ml": 1.0, "cc": 1.0, "ul": 1e-3, "nl": 1e-6}

_NUMPY_TIME_UNITS = {"D": "d", "h": "h", "m": "min", "s": "s", "ms": "ms", "us": "us", "ns": "ns"}


def split_unit(value: Any, field: str) -> tuple[Any, str | None]:
    """Return numbers without their unit, and the unit; None for plain numbers.

    Examples
    --------
    >>> split_unit("2.5 um", "spacing"), split_unit((1, 2), "spacing")
    ((2.5, 'um'), ((1, 2), None))
    """
    if isinstance(value, str):
        found = _QUANTITY_PATTERN.match(value)
        if found is None:
            raise GeometryError(
                f"{field} must hold real numbers, or numbers with a unit such as '2 um', "
                f"got {value!r}"
            )
        return float(found[1]), canonical_unit(found[2])
    if isinstance(value, dt.timedelta):
        return value.total_seconds(), "s"
    if isinstance(value, np.timedelta64) or (
        isinstance(value, np.ndarray) and value.dtype.kind == "m"
    ):
        step = np.datetime_data(value.dtype)[0]
        if step not in _NUMPY_TIME_UNITS:
            raise GeometryError(f"{field} must be a length of time in a fixed unit, got {value!r}")
        return value / np.timedelta64(1, step), _NUMPY_TIME_UNITS[step]  # type: ignore[call-overload]
    if (magnitude := getattr(value, "magnitude", None)) is not None and hasattr(value, "units"):
        return magnitude, canonical_unit(str(value.units))  # pint
    if hasattr(value, "to_value"):
        unit = getattr(value, "unit", None)  # astropy
        unit = getattr(value, "units", None) if unit is None else unit  # unyt
        if unit is not None:
            plain = getattr(value, "value", None)
            return (np.asarray(value) if plain is None else plain), canonical_unit(str(unit))
    return value, None


def has_unit(value: Any) -> bool:
    """Whether numbers, or one of several, have a unit.

    Examples
    --------
    >>> has_unit(2.0), has_unit([2.0, "2 um"]), has_unit({"x": "2 um"})
    (False, True, True)
    """
    if isinstance(value, str | dt.timedelta | np.timedelta64):
        return True
    if isinstance(value, np.ndarray) and type(value) is np.ndarray:
        return value.dtype.kind == "m" or (
            value.dtype.kind in "OUS" and any(map(has_unit, value.ravel().tolist()))
        )
    if isinstance(value, list | tuple | Mapping):
        return any(map(has_unit, value.values() if isinstance(value, Mapping) else value))
    return hasattr(value, "to_value") or (hasattr(value, "magnitude") and hasattr(value, "units"))


def in_unit(value: Any, unit: str | Sequence[str | None] | None, field: str) -> Any:
    """Return numbers in a unit, as plain numbers.

    Parameters
    ----------
    value : number, str, array_like, or a quantity of pint, astropy or unyt
        Plain numbers come back as they are. A quantity has one unit for all its numbers; a list
        may hold several, and those without a unit stay as they are.
    unit : str, None or sequence of (str or None)
        The unit that is in force; where it is a sequence, the unit of each number along the last
        dimension.
    field : str
        Name of the parameter, for errors.

    Returns
    -------
    object
        Plain numbers, converted where they had a unit.

    Raises
    ------
    GeometryError
        If a unit cannot be converted, or none is in force.

    Examples
    --------
    >>> in_unit("2000 um", "mm", "sigma")
    2.0
    >>> in_unit(["1 cm", 3.0], ("mm", "mm"), "point")
    [10.0, 3.0]
    """
    if not has_unit(value):
        return value
    if isinstance(value, list | tuple):
        many = isinstance(unit, list | tuple)
        if many and len(unit) == len(value) and not any(map(is_sequence, value)):  # type: ignore[arg-type]
            pairs: Iterable[Any] = zip(value, unit, strict=True)  # type: ignore[arg-type]
        else:
            pairs = [(v, unit) for v in value]
        return [in_unit(v, u, field) for v, u in pairs]
    if type(value) is np.ndarray and value.dtype.kind in "OUS":
        return in_unit(value.tolist(), unit, field)
    plain, given = split_unit(value, field)
    wanted = unit if isinstance(unit, list | tuple) else (unit,)
    if len(set(wanted)) == 1:
        factor = _factor(value, given, wanted[0], field)
        return plain * factor if isinstance(plain, float) else np.asarray(plain) * factor
    if np.ndim(plain) == 0:
        raise GeometryError(
            f"{field} is one number {value!r} for world axes in different units {wanted!r}: give "
            "one for each"
        )
    factors = [_factor(value, given, u, field) for u in wanted]
    return np.asarray(plain, dtype=np.float64) * factors


def length_in(value: Any, world: World, field: str) -> Any:
    """Return one length through space, or one for each axis of space, in the unit of a world.

    Examples
    --------
    >>> from spatial_duck import World
    >>> length_in("2 mm", World(("t", "y", "x"), {"t": "s", "y": "um", "x": "um"}), "control")
    2000.0
    """
    pairs = zip(world.units, world.types, strict=True)
    return in_unit(value, [unit for unit, kind in pairs if kind == "space"], field)


def one_length(value: Any, world: World, field: str) -> float:
    """Return one length through space in the unit of a world.

    Raises
    ------
    GeometryError
        If it is not one number.

    Examples
    --------
    >>> from spatial_duck import World
    >>> one_length("2 mm", World(("y", "x"), ("um", "um")), "tolerance")
    2000.0
    """
    found = length_in(value, world, field)
    try:
        return float(found)
    except (TypeError, ValueError):
        raise GeometryError(
            f"{field} must be one number, or one with a unit such as '2 um', got {value!r}"
        ) from None


def volume_in(value: Any, unit: str | None, power: int, field: str) -> float:
    """Return a volume, area or length as a number in a unit to a power.

    Parameters
    ----------
    value : number, str, or a quantity of pint, astropy or unyt
        Plain numbers come back as they are. Text is such as ``"5 ml"``, ``"5 mm^3"``, ``"5 mm³"``.
    unit : str or None
        The unit of length that is in force.
    power : int
        3 for a volume, 2 for an area, 1 for a length.
    field : str
        Name of the parameter, for errors.

    Raises
    ------
    GeometryError
        If a unit cannot be converted, or none is in force.

    Examples
    --------
    >>> volume_in("5 ml", "mm", 3, "volume"), volume_in("4 mm²", "um", 2, "area")
    (5000.0, 4000000.0)
    """
    wanted = unit if power == 1 else f"{unit}^{power}"
    try:
        if not has_unit(value):
            return float(value)
        if unit is not None and isinstance(value, str):
            return _volume_of_text(value, unit, power)
        if unit is not None and hasattr(value, "to"):
            found = value.to(unit if power == 1 else f"{unit}**{power}")
            return float(found.magnitude if hasattr(found, "magnitude") else found.value)
    except Exception:  # each library of units has errors of its own
        pass
    raise GeometryError(
        f"{field} must be a number, in the image's unit {wanted}, or one with a unit of its own "
        f"such as {_EXAMPLES[power]!r}, a quantity of pint, astropy or unyt, got {value!r}"
        if unit is not None
        else f"{field} must be a plain number for an image that has no unit, got {value!r}: give "
        "the image one with replace(unit=...)"
    )


_EXAMPLES = {1: "5 mm", 2: "5 mm^2", 3: "5 ml"}


def _volume_of_text(value: str, unit: str, power: int) -> float:
    found = _VOLUME_PATTERN.match(value)
    if found is None:
        raise ValueError(value)
    number, name, exponent = found.groups()
    litres = name.replace("L", "l").replace("µ", "u").replace("μ", "u")
    if not exponent and litres in _VOLUMES and power == 3:
        return float(number) * _VOLUMES[litres] * unit_factor("cm", unit) ** 3
    if int(exponent.translate({ord("²"): "2", ord("³"): "3"}) or 1) != power:
        raise ValueError(value)
    return float(number) * unit_factor(name, unit) ** power


def lengths_along(
    value: Any, names: Sequence[str | None], units: Sequence[str | None], field: str
) -> Any:
    """Return lengths along axes as plain numbers: one for all, one for each, or by name.

    Examples
    --------
    >>> lengths_along({"z": "5 um"}, ("z", "y"), ("mm", "mm"), "sigma")
    {'z': 0.005}
    """
    if isinstance(value, Mapping):
        unit_of = dict(zip(names, units, strict=True))
        return {n: in_unit(v, unit_of.get(n), field) for n, v in value.items()}
    return in_unit(value, tuple(units), field)


def is_sequence(value: Any) -> bool:
    """Whether a value holds several numbers, each with a unit or without."""
    # NumPy makes no array of a list of quantities.
    return isinstance(value, list | tuple) or (
        not isinstance(value, str | Mapping) and hasattr(value, "__len__") and np.ndim(value) > 0
    )


def _factor(value: Any, given: str | None, wanted: str | None, field: str) -> float:
    """Return the factor that converts a value to the unit wanted."""
    if wanted is None:
        raise GeometryError(
            f"{field} came in {given!r}, and the image has no unit to convert it to: give the "
            f"image one with replace(unit=...), or plain numbers, got {value!r}"
        )
    if given == wanted:
        return 1.0
    if is_known_unit(given) and is_known_unit(wanted):
        try:
            return unit_factor(given, wanted)
        except GeometryError:
            raise GeometryError(
                f"{field} must be in a unit that can be converted to {wanted!r}, got {value!r}"
            ) from None
    # Units that only the library itself knows, such as of angles.
    try:
        if hasattr(value, "to_value"):
            unit = getattr(value, "unit", None)
            unit = value.units if unit is None else unit
            return float((1.0 * unit).to_value(wanted))
        return float((1.0 * value.units).to(wanted).magnitude)
    except Exception:
        raise GeometryError(
            f"{field} must be in a unit that can be converted to {wanted!r}, got {value!r}"
        ) from None


def units_of(value: Any, names: Sequence[str | None], field: str) -> dict[str, str]:
    """Return the unit that came with the number of each axis, or with one for all, by axis name."""
    if not has_unit(value):
        return {}
    found: dict[str, str] = {}
    single = not isinstance(value, list | tuple)
    for n, name in enumerate(names):
        part = value if single else value[n] if n < len(value) else None
        unit = split_unit(part, field)[1] if part is not None and has_unit(part) else None
        if name is not None and unit is not None:
            found[name] = unit
    return found


def by_name(value: Any, names: Sequence[str | None], field: str, default: float) -> Any:
    """Return a mapping by axis name as a list in the order of the axes."""
    if not isinstance(value, Mapping):
        return value
    unknown = [name for name in value if name not in names]
    if unknown:
        raise GeometryError(
            f"{field}: {unknown!r} are not among the axes that it is given for, {tuple(names)!r}"
        )
    return [value.get(name, default) for name in names]
