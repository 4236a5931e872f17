"""The arguments of a NumPy function by name: NumPy's own signature, read once for each function.

A rule names only the parameters that it reads; the others, and those that a newer NumPy adds, need
no mention.
"""

from __future__ import annotations

import inspect
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "AXIS_PARAMETERS",
    "FUNCTION_NAME",
    "LEADING_NAMES",
    "NO_VALUE",
    "OLD_SIGNATURES",
    "bind",
    "parameters_of",
    "positions_of",
    "signature_of",
]

#: NumPy's default of parameters that may be left out.
NO_VALUE: Any = inspect.signature(np.sum).parameters["initial"].default
#: A rule's names for the function's first and second parameter, whatever NumPy calls them.
LEADING_NAMES = {"image": 0, "other": 1}
#: The rule's parameter that is given the function's name.
FUNCTION_NAME = "name"
#: Parameters of NumPy that are axes, or sequences of them.
AXIS_PARAMETERS = frozenset(
    "axis axes axis1 axis2 axisa axisb axisc source destination start pad_width".split()
)

#: Parameters of functions in C, for which NumPy gives no signature before version 2.4.
OLD_SIGNATURES = {
    "array": "object dtype copy order subok ndmin",
    "asanyarray": "a",
    "asarray": "a",
    "ascontiguousarray": "a",
    "asfortranarray": "a",
    "bincount": "x weights",
    "busday_count": "begindates enddates",
    "busday_offset": "dates offsets",
    "concatenate": "arrays axis=0 out",
    "copyto": "dst src casting where",
    "datetime_as_string": "arr",
    "dot": "a b out",
    "empty_like": "prototype dtype order subok shape",
    "inner": "a b",
    "is_busday": "dates",
    "lexsort": "keys axis=-1",
    "packbits": "a axis bitorder",
    "putmask": "a mask values",
    "ravel_multi_index": "multi_index dims mode order",
    "unpackbits": "a axis count bitorder",
    "unravel_index": "indices shape order",
    "vdot": "a b",
    "where": "condition x y",
}

_NO_DEFAULT = inspect.Parameter.empty
_KEYWORD_ONLY = 1_000_000


@cache
def signature_of(function: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a NumPy function."""
    try:
        return inspect.signature(function)
    except ValueError:
        words = [w.partition("=") for w in OLD_SIGNATURES.get(function.__name__, "").split()]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([
            inspect.Parameter(name, kind, default=int(default) if default else NO_VALUE)
            for name, _, default in words
        ])  # fmt: skip


def parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a NumPy function."""
    return list(signature_of(function).parameters.values())


def positions_of(parameters: Sequence[inspect.Parameter]) -> dict[str, int]:
    """Return the position of each parameter; very large for one that is only given by name."""
    return {
        p.name: n if p.kind < p.KEYWORD_ONLY else _KEYWORD_ONLY for n, p in enumerate(parameters)
    }


def bind(
    function: str,
    parameters: Sequence[inspect.Parameter],
    rule: Callable[..., Any],
    reads: Sequence[str] = (),
) -> Callable[..., Any]:
    """Return a rule as a function of NumPy's arguments.

    Parameters
    ----------
    function : str
        Name of NumPy's function.
    parameters : sequence of inspect.Parameter
        Parameters of the function.
    rule : callable
        Its parameters are names of NumPy's, `image` and `other` for the first two, and `name` for
        the function's name. A default of its own stands where this version of NumPy has no such
        parameter, or no default for it.
    reads : sequence of str, optional
        The parameters that are handed to the rule in its ``*operands``.

    Raises
    ------
    RuntimeError
        If the rule names a parameter that NumPy lacks, without a default.
    """
    names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
    own = rule.__defaults__ or ()
    defaults = dict(zip(names[len(names) - len(own) :], own, strict=True))
    fixed = (function,) if FUNCTION_NAME in names[:1] else ()
    readers = [
        _argument_lookup(function, parameters, name, defaults.get(name, _NO_DEFAULT))
        for name in (*names[len(fixed) :], *reads)
    ]
    kinds, spread = [p.kind for p in parameters], inspect.Parameter.VAR_POSITIONAL
    rest = kinds.index(spread) if spread in kinds else _KEYWORD_ONLY
    required = len([p for p in parameters if p.default is _NO_DEFAULT and p.kind < spread])
    count = len(readers)
    # So many of the rule's parameters are NumPy's first, in NumPy's order.
    leading = next((k for k, (i, _, _) in enumerate(readers) if i != k or k == rest), count)
    standing = tuple([default for _, _, default in readers])

    def bound(*args: Any, **kwargs: Any) -> Any:
        n = len(args)
        if n < required:
            _check_required(function, parameters[n:required], kwargs)
        if not kwargs and (n <= leading or leading == count):
            return rule(*fixed, *args[:count], *standing[n:])
        if n > rest:
            args, n = (*args[:rest], args[rest:]), rest + 1
        given = [
            args[i] if i < n else kwargs.get(name, default) if kwargs else default
            for i, name, default in readers
        ]
        return rule(*fixed, *given)

    return bound


def _argument_lookup(
    function: str, theirs: Sequence[inspect.Parameter], name: str, default: Any
) -> tuple[int, str, Any]:
    """Return the position, the name and the default of a rule's parameter in NumPy's signature."""
    if name in LEADING_NAMES:
        name = theirs[LEADING_NAMES[name]].name
    position = positions_of(theirs).get(name, _KEYWORD_ONLY)
    for p in theirs:
        if p.name == name:
            if p.kind is p.VAR_POSITIONAL:
                return position, name, ()
            if p.default is NO_VALUE or p.default is _NO_DEFAULT:
                return position, name, NO_VALUE if default is _NO_DEFAULT else default
            return position, name, p.default
    if default is _NO_DEFAULT:
        raise RuntimeError(f"numpy.{function} has no parameter {name!r}")
    return position, name, default


def _check_required(
    name: str, parameters: Sequence[inspect.Parameter], kwargs: dict[str, Any]
) -> None:
    missing = [p.name for p in parameters if p.name not in kwargs]
    if missing:
        raise TypeError(f"{name}() is missing the arguments {', '.join(map(repr, missing))}")
