"""Arguments and types of NumPy's, as the functions of other libraries take them."""

from __future__ import annotations

import inspect
import operator
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry._numbering import as_tuple
from spatial_duck.rules._bind import parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["adapt_arguments", "host_type", "leaves", "map_leaves", "with_tuples"]

#: Parameters that NumPy takes as a number, a list or an array alike, and others as a tuple.
_TUPLES: dict[Any, frozenset[str]] = {
    np.reshape: frozenset({"shape", "newshape"}),
    np.broadcast_to: frozenset({"shape"}),
    np.tile: frozenset({"reps"}),
}
#: Those that may also be one number, which says something else than a tuple of one.
_TUPLES_OR_NUMBERS: dict[Any, frozenset[str]] = {np.roll: frozenset({"shift", "axis"})}


def with_tuples(func: Any, args: Any, kwargs: Any) -> tuple[Any, Any]:
    """Return a call's arguments with shapes, repetitions and shifts as tuples of ints.

    Most functions take none of these, and their arguments come back as they are.
    """
    always, names = _TUPLES.get(func), _TUPLES.get(func) or _TUPLES_OR_NUMBERS.get(func)
    if names is None:
        return args, kwargs
    known = [p.name for p in parameters_of(func)]
    new = [
        _as_ints(a) if name in names and (always or np.ndim(a)) else a
        for a, name in zip(args, known, strict=False)
    ]
    return (*new, *args[len(known) :]), {
        k: _as_ints(v) if k in names and (always or np.ndim(v)) else v for k, v in kwargs.items()
    }


def _as_ints(value: Any) -> Any:
    """Return one int or several as a tuple; what else was given is left for the library."""
    try:
        return tuple([operator.index(v) for v in as_tuple(value)])
    except TypeError:
        return value


def adapt_arguments(
    library: str, func: Any, run: Any, args: Any, kwargs: Any, *, skip: int = 0
) -> tuple[Any, Any]:
    """Return the arguments of NumPy's function `func` as `run`, of another library, takes them.

    They are given by name where `run` has its parameters in another order, and those that it lacks
    are left out where they are NumPy's defaults. `skip` parameters of `run` come before NumPy's.

    Raises
    ------
    TypeError
        If an argument that it lacks is not the default.
    """
    taken, accepts = _taken(func, run, skip)
    if len(args) <= taken and (accepts is None or accepts.issuperset(kwargs)):
        return args, kwargs
    parameters = parameters_of(func)
    given = dict(zip([p.name for p in parameters[taken:]], args[taken:], strict=False)) | kwargs
    defaults = {p.name: p.default for p in parameters}
    kept = {}
    for name, value in given.items():
        if accepts is None or name in accepts:
            kept[name] = value
        elif not _is_default(value, defaults.get(name, inspect.Parameter.empty)):
            raise TypeError(
                f"numpy.{func.__name__} on {library} does not take {name}: bring the "
                "image into memory first, with .compute() or .to('numpy')"
            )
    return args[:taken], kept


def _is_default(value: Any, default: Any) -> bool:
    if value is default:
        return True
    same = value.__class__ is default.__class__ and isinstance(value, str | int | float | bool)
    return same and value == default


@cache
def _taken(func: Any, run: Any, skip: int) -> tuple[int, frozenset[str] | None]:
    """Return how many of NumPy's arguments a function takes by position, and which by name."""
    try:
        found = list(inspect.signature(run).parameters.values())[skip:]
    except ValueError:
        return sys.maxsize, None
    theirs = [p.name for p in parameters_of(func)]
    kinds = {p.kind for p in found} | {p.kind for p in parameters_of(func)}
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    count = 0
    for wanted, p in zip(theirs, [p for p in found if p.kind in by_place], strict=False):
        if p.name != wanted and p.name in theirs:
            break
        count += 1
    names = frozenset(p.name for p in found if p.kind is not inspect.Parameter.POSITIONAL_ONLY)
    return (
        sys.maxsize if inspect.Parameter.VAR_POSITIONAL in kinds else count,
        None if inspect.Parameter.VAR_KEYWORD in kinds else names,
    )


def leaves(value: Any) -> Iterator[Any]:
    """Yield the arguments, those inside lists, tuples and dicts too."""
    if value.__class__ in (list, tuple):
        for v in value:
            yield from leaves(v)
    elif value.__class__ is dict:
        yield from leaves(list(value.values()))
    else:
        yield value


def map_leaves(function: Callable[[Any], Any], value: Any) -> Any:
    """Return arguments with what a function makes of each, inside lists, tuples and dicts too."""
    if value.__class__ in (list, tuple):
        return value.__class__([map_leaves(function, v) for v in value])
    if value.__class__ is dict:
        return {k: map_leaves(function, v) for k, v in value.items()}
    return function(value)


def host_type(dtype: Any) -> np.dtype[Any]:
    """Return NumPy's type for that of any library; half precision for bfloat16.

    Examples
    --------
    >>> host_type(np.dtype("int16"))
    dtype('int16')
    """
    if isinstance(dtype, np.dtype) and str(dtype) != "bfloat16":
        return dtype
    if isinstance(dtype, type):  # NumPy's and CuPy's namespaces have classes
        return np.dtype(dtype)
    name = str(dtype).rpartition(".")[2]
    return np.dtype("float16" if name == "bfloat16" else name)
