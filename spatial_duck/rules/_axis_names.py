"""Replace names of axes by positions in the arguments of NumPy's functions.

This is done once for each call, before anything else looks at the arguments. The names are those of
the first image among them. An axis that a function adds has no name yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.rules._rule import Rule

__all__ = ["axis_position", "has_names", "names_to_positions"]


def has_names(rule: Rule, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Whether any of a function's axes is given by name."""
    n = len(args)
    for position, name in rule.axes:
        value = args[position] if position < n else kwargs.get(name)
        if value.__class__ is int or value is None:
            continue
        if _has_name(value):
            return True
    return False


def _has_name(value: Any) -> bool:
    if isinstance(value, str):
        return True
    return isinstance(value, list | tuple | dict) and any(map(_has_name, value))


def names_to_positions(
    function: str, rule: Rule, args: Sequence[Any], kwargs: dict[str, Any], dims: Sequence[Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return arguments with positions in place of the names of axes, which are those in `dims`.

    Raises
    ------
    GeometryError
        If no axis has the name, or the axis is a new one.
    """
    args, kwargs = list(args), dict(kwargs)
    for position, name in rule.axes:
        if position < len(args):
            args[position] = _positions(function, rule, args[position], dims)
        elif name in kwargs:
            kwargs[name] = _positions(function, rule, kwargs[name], dims)
    return tuple(args), kwargs


def _positions(function: str, rule: Rule, value: Any, dims: Sequence[Any]) -> Any:
    if isinstance(value, str):
        if rule.adds_axes:
            raise GeometryError(
                f"{function}: the axis {value!r} would be a new one, and new axes have no names; "
                f"say by a number where it goes among dims {tuple(dims)!r}"
            )
        return axis_position(function, value, dims)
    if isinstance(value, list | tuple) and _has_name(value):
        return type(value)([_positions(function, rule, v, dims) for v in value])
    if isinstance(value, dict):
        return {_positions(function, rule, k, dims): v for k, v in value.items()}
    return value


def axis_position(function: str, name: str, dims: Sequence[Any]) -> int:
    """Return the array axis of a name.

    Raises
    ------
    GeometryError
        If there is none.
    """
    if name not in dims:
        raise GeometryError(f"{function}: no axis is named {name!r}; dims are {tuple(dims)!r}")
    return list(dims).index(name)
