"""PyTorch, JAX, sparse, array_api_strict: any array that follows the array API standard.

These have no ``__array_function__``, so NumPy's functions are brought to the standard's here, by
tables: `_SHARED` for those that the standard has, with the names of their parameters, `FUNCTIONS`
for those made of them, and `COMMON` for those that need slices alone. What is in none is a
TypeError: a function of the same name in some library may well mean something else
(``torch.median``).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import array_api_compat
import numpy as np

from spatial_duck.backends._arguments import adapt_arguments, leaves, map_leaves, with_tuples
from spatial_duck.backends._common import COMMON
from spatial_duck.backends._registry import name_of
from spatial_duck.backends.arrayapi import _along_axis, _reductions  # noqa: F401  # enter theirs
from spatial_duck.backends.arrayapi._functions import UFUNCS, created
from spatial_duck.backends.arrayapi._tools import (
    FUNCTIONS,
    flatten,
    to_complex,
    to_dtype,
    to_floating,
)
from spatial_duck.rules._bind import NO_VALUE, signature_of

__all__ = ["call", "namespace"]

#: Ufuncs whose name in the standard is another; the others have the same name or none.
_UFUNC_NAMES = {
    "absolute": "abs", "arccos": "acos", "arccosh": "acosh", "arcsin": "asin",
    "arcsinh": "asinh", "arctan": "atan", "arctan2": "atan2", "arctanh": "atanh",
    "conjugate": "conj", "fabs": "abs", "fmod": None, "invert": "bitwise_invert",
    "left_shift": "bitwise_left_shift", "power": "pow", "right_shift": "bitwise_right_shift",
}  # fmt: skip

#: Ufuncs of the standard on real floating types alone, which NumPy takes integers for.
_FLOATING = frozenset({
    "acos", "acosh", "asin", "asinh", "atan", "atan2", "atanh", "cos", "cosh", "divide", "exp",
    "expm1", "hypot", "log", "log10", "log1p", "log2", "logaddexp", "sin", "sinh", "sqrt", "tan",
    "tanh",
})  # fmt: skip

_REDUCTIONS = {
    np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min,
    np.logical_and: np.all, np.logical_or: np.any,
}  # fmt: skip
_ACCUMULATIONS = {np.add: np.cumsum, np.multiply: np.cumprod}

#: Functions that the standard has too: how many of their parameters are given by position, and the
#: others that they have there.
_SHARED = {
    "broadcast_arrays meshgrid": (0, ""),
    "nonzero real imag unique_values unique_counts unique_inverse unique_all matrix_transpose "
    "linalg.cholesky linalg.det linalg.eigh linalg.eigvalsh linalg.inv linalg.matrix_transpose "
    "linalg.pinv linalg.slogdet linalg.svdvals": (1, ""),
    "broadcast_to tile linalg.matmul linalg.matrix_power linalg.outer linalg.solve": (2, ""),
    "moveaxis": (3, ""),
    "mean max amax min amin all any argmax argmin count_nonzero": (1, "axis keepdims"),
    "sum prod": (1, "axis keepdims dtype"),
    "std var": (1, "axis keepdims ddof correction"),
    "cumsum cumprod": (1, "axis dtype"),
    "cumulative_sum cumulative_prod": (1, "axis dtype include_initial"),
    "sort argsort": (1, "axis stable"),
    "searchsorted": (2, "side sorter"),
    "stack flip": (1, "axis"),
    "roll linalg.cross linalg.vecdot": (2, "axis"),
    "tril triu": (1, "k"),
    "tensordot linalg.tensordot": (2, "axes"),
    "zeros_like ones_like empty_like": (1, "dtype device"),
    "full_like": (2, "dtype device"),
    "linalg.diagonal": (1, "offset"),
    "linalg.trace": (1, "offset dtype"),
    "linalg.matrix_norm": (1, "keepdims ord"),
    "linalg.vector_norm": (1, "axis keepdims ord"),
    "linalg.matrix_rank": (1, "rtol"),
    "linalg.svd": (1, "full_matrices"),
    "fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft": (1, "n axis norm"),
    "fft.fftn fft.ifftn fft.rfftn fft.irfftn": (1, "s axes norm"),
    "fft.fftshift fft.ifftshift": (1, "axes"),
}
#: Names of functions and of parameters that are others there.
_NAMES = {
    "amax": "max", "amin": "min", "cumsum": "cumulative_sum", "cumprod": "cumulative_prod",
    "ddof": "correction",
}  # fmt: skip


def _found(owner: Any, name: str) -> Any:
    """Return the object of a dotted name, or None."""
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


#: NumPy function: name in the standard, number of positional parameters, and the others.
_STANDARD: dict[Any, tuple[str, int, list[str]]] = {
    _found(np, name): (_NAMES.get(name, name), count, parameters.split())
    for names, (count, parameters) in _SHARED.items()
    for name in names.split()
    if _found(np, name) is not None  # some are newer than our oldest NumPy
}

#: Functions of the standard on complex types alone.
_COMPLEX = frozenset({"fft.fft", "fft.ifft", "fft.fftn", "fft.ifftn", "fft.irfft", "fft.irfftn",
                      "fft.hfft"})  # fmt: skip


def namespace(data: Any) -> Any:
    """Return the array-API namespace of an array."""
    return array_api_compat.array_namespace(data)


def call(func: Any, args: Any, kwargs: Any) -> Any:
    """Run a NumPy function, ufunc or ufunc method through the array API.

    Raises
    ------
    TypeError
        If the standard lacks the function, or what it is asked for.
    """
    like = next(a for a in leaves((args, kwargs)) if name_of(type(a)) == "arrayapi")
    xp = namespace(like)
    if "like" in kwargs:
        return created(xp, func, args, kwargs)
    args, kwargs = with_tuples(func, args, kwargs)
    args, kwargs = map_leaves(partial(_brought, like=like, xp=xp), (args, kwargs))
    owner = getattr(func, "__self__", None)
    if isinstance(func, np.ufunc):
        return _call_ufunc(xp, func, args, kwargs)
    if isinstance(owner, np.ufunc):
        return _call_method(xp, owner, func.__name__, args, kwargs)
    if func in COMMON:
        return COMMON[func](*args, **kwargs)
    composed = FUNCTIONS.get(func)
    if composed is not None:
        args, kwargs = adapt_arguments(xp.__name__, func, composed, args, kwargs, skip=1)
        return composed(xp, *args, **kwargs)
    if func not in _STANDARD:
        raise TypeError(
            f"{xp.__name__} has no {func.__module__}.{func.__name__} by way of the array API: "
            "use .to('numpy') first, or the library's own function on image.data"
        )
    name, n, parameters = _STANDARD[func]
    run = _found(xp, name)
    if run is None:
        raise TypeError(f"{xp.__name__} has no {name}, which numpy.{func.__name__} needs")
    if n == 0:
        return run(*args, **kwargs)
    arguments = _bind(func, args, kwargs)
    leading = list(arguments.values())[:n]
    options = {}
    for key, value in list(arguments.items())[n:]:
        if key not in parameters:
            raise TypeError(f"numpy.{func.__name__} on {xp.__name__} does not take {key!r}")
        options[_NAMES.get(key, key)] = to_dtype(xp, value) if key == "dtype" else value
    if func is np.searchsorted:  # a table may be a list
        leading = [v if hasattr(v, "dtype") else xp.asarray(v) for v in leading]
    x = leading[0]
    if func in (np.cumsum, np.cumprod) and options.get("axis") is None:
        leading[0], options["axis"] = flatten(xp, x), 0
    elif func in (np.sort, np.argsort) and "axis" in options and options["axis"] is None:
        leading[0], options["axis"] = flatten(xp, x), -1
    if func in (np.mean, np.std, np.var) or name.startswith(("linalg.", "fft.")):
        leading[0] = to_floating(xp, x)
    if name in _COMPLEX:
        leading[0] = to_complex(xp, leading[0])
    return run(*leading, **options)


def _bind(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return a call's arguments by name, without those that say nothing."""
    signature = signature_of(func)
    bound = signature.bind(*args, **kwargs).arguments
    found: dict[str, Any] = {}
    for name, value in bound.items():
        default = signature.parameters[name].default
        said_nothing = value is NO_VALUE or value is default
        if value is None and default is None and name == "axis":
            continue
        if not said_nothing:
            found[name] = value
    return found


def _brought(value: Any, like: Any, xp: Any) -> Any:
    """Convert a scalar of NumPy to Python's and an array of it to the library's."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        place = array_api_compat.device(like)
        if "cpu" not in str(place).lower():
            raise TypeError(
                f"an array of NumPy and one on {place} in one operation: bring one to the other "
                "with .to(...) first"
            )
        return xp.asarray(np.ascontiguousarray(value))
    return value


def _call_ufunc(xp: Any, ufunc: np.ufunc, args: Any, kwargs: Any) -> Any:
    outs, where = kwargs.pop("out", None), kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    casting = kwargs.pop("casting", "same_kind")
    if kwargs:
        raise TypeError(f"numpy.{ufunc.__name__} on {xp.__name__} does not take {sorted(kwargs)}")
    name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
    run = getattr(xp, name, None) if name else None
    if ufunc.__name__ in UFUNCS:
        run = partial(UFUNCS[ufunc.__name__], xp)
    if run is None:
        raise TypeError(
            f"numpy.{ufunc.__name__} is not in the array API: use .to('numpy') first, or the "
            "library's own function on image.data"
        )
    if dtype is not None:
        args = [xp.astype(a, to_dtype(xp, dtype)) if hasattr(a, "dtype") else a for a in args]
    if name in _FLOATING:
        args = [to_floating(xp, a) for a in args]
    if len(args) > ufunc.nin:
        args, outs = args[: ufunc.nin], tuple(args[ufunc.nin :])
    result = run(*args)
    out = outs[0] if isinstance(outs, tuple) else outs
    if out is None:
        if where is not True:
            raise TypeError(f"numpy.{ufunc.__name__} on {xp.__name__} takes where= only with out=")
        return result
    kind = str(casting)
    if kind != "unsafe" and not _castable(xp, result.dtype, out.dtype):
        raise TypeError(
            f"Cannot cast ufunc {ufunc.__name__!r} output from {result.dtype} to {out.dtype} with "
            f"casting rule {kind!r}"
        )
    if where is not True:
        result = xp.where(where, result, out)
    out[...] = xp.astype(result, out.dtype)
    return out


def _castable(xp: Any, given: Any, wanted: Any) -> bool:
    """Whether a type may be written to another of its kind or a wider one."""
    kinds = ("bool", "unsigned integer", "signed integer", "real floating", "complex floating")
    rank = [next(i for i, k in enumerate(kinds) if xp.isdtype(t, k)) for t in (given, wanted)]
    return rank[0] <= rank[1]


def _call_method(xp: Any, ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
    if method == "outer":
        a, b = args
        a, b = xp.asarray(a), xp.asarray(b)
        a = xp.reshape(a, tuple(a.shape) + (1,) * b.ndim)
        return _call_ufunc(xp, ufunc, (a, b), kwargs)
    tables: dict[str, dict[Any, Any]] = {"reduce": _REDUCTIONS, "accumulate": _ACCUMULATIONS}
    table = tables.get(method, {})
    if ufunc not in table:
        raise TypeError(f"numpy.{ufunc.__name__}.{method} is not in the array API")
    options = dict(zip(("axis", "dtype", "out", "keepdims"), args[1:], strict=False)) | kwargs
    options.setdefault("axis", 0)
    options = {k: v for k, v in options.items() if v is not None or k == "axis"}
    return call(table[ufunc], args[:1], options)
