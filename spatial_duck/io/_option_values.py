"""Checks of the values of formats' options: booleans, counts, and lengths along the axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["axis_lengths", "check_boolean", "check_count", "check_tile", "check_values"]

#: Options that are numbers of something, in whichever format has them.
_COUNTS = ("levels", "threads", "tile")


def check_boolean(name: str, value: Any) -> None:
    """Refuse what is no boolean, 0 or 1: a string such as "no" would be taken as True.

    Examples
    --------
    >>> check_boolean("lazy", "no")
    Traceback (most recent call last):
    TypeError: lazy must be True or False, got 'no'
    """
    if not (isinstance(value, bool | np.bool_) or (_is_int(value) and value in (0, 1))):
        raise TypeError(f"{name} must be True or False, got {value!r}")


def check_count(name: str, value: Any) -> None:
    """Refuse what is not an int of 1 or more.

    Examples
    --------
    >>> check_count("threads", 1.5)
    Traceback (most recent call last):
    spatial_duck.errors.FormatError: threads must be an int of 1 or more, got 1.5
    """
    if not _is_int(value) or value < 1:
        raise FormatError(f"{name} must be an int of 1 or more, got {value!r}")


def check_tile(side: int) -> int:
    """Return the side of tiles, which TIFF wants to be a multiple of 16."""
    if side % 16:
        raise FormatError(
            f"tile must be a multiple of 16 in TIFF, got {side}; the next is {-(-side // 16) * 16}"
        )
    return side


def check_values(options: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    """Check the values of the options that a format annotates as bool, and of counts.

    Parameters
    ----------
    options : mapping of str to inspect.Parameter
        The format's options.
    given : mapping
        Values that the caller gave.
    """
    for name, value in given.items():
        if options[name].annotation in ("bool", bool):
            check_boolean(name, value)
        elif name in _COUNTS and value is not None:
            check_count(name, value)


def axis_lengths(
    name: str, given: Any, geometry: Geometry, default: Sequence[int]
) -> tuple[int, ...]:
    """Return a length for each axis, given one for all space axes, by name, or for each axis.

    Parameters
    ----------
    name : str
        Name of the option.
    given : int, mapping of str to int, sequence of int, or None
        What the caller gave.
    geometry : Geometry
        That of the image as it is written.
    default : sequence of int
        Lengths along the axes for which none is given.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> axis_lengths("chunks", {"y": 4}, Geometry((8, 9, 10)), (2, 2, 2))
    (2, 4, 2)
    """
    # Not above: it loads the pyramids, which the command line does without.
    from spatial_duck.pyramids._levels import space_axes

    dims = geometry.dims
    if given is None:
        wanted: list[Any] = [None] * len(dims)
    elif isinstance(given, Mapping):
        unknown = [axis for axis in given if axis is None or axis not in dims]
        if unknown:
            raise FormatError(
                f"{name}: {unknown!r} are not among the axes {dims!r} that are written"
            )
        wanted = [given.get(axis) for axis in dims]
    elif isinstance(given, Sequence | np.ndarray) and not isinstance(given, str | bytes):
        wanted = list(given)
    else:
        check_count(name, given)
        space = space_axes(geometry)
        wanted = [
            given if axis in space or dim in ("x", "y", "z") else None
            for axis, dim in enumerate(dims)
        ]
    if len(wanted) != len(dims) or not all(n is None or (_is_int(n) and n > 0) for n in wanted):
        raise FormatError(
            f"{name} must be a positive int, or hold one for each of the axes {dims!r}, "
            f"got {given!r}"
        )
    return tuple(
        max(1, min(n, d if c is None else int(c)))
        for n, c, d in zip(geometry.shape, wanted, default, strict=True)
    )


def _is_int(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
