"""PyTorch, JAX, sparse, array_api_strict: any array that follows the array API standard.

These have no ``__array_function__``, so NumPy's functions are brought to the standard's here, by
tables: `_FUNCTIONS` for those that the standard has, with the names of their parameters, and
`arrayapi_functions.COMPOSED` for those made of them. What is in neither is a TypeError: a function
of the same name in some library may well mean something else (``torch.median``).
"""

from __future__ import annotations

import inspect
from functools import cache, partial
from typing import Any

import array_api_compat
import numpy as np

from spatial_duck.backends._arguments import adapt_arguments, with_tuples
from spatial_duck.backends._pieces import PIECES
from spatial_duck.backends._registry import name_of
from spatial_duck.backends.arrayapi._along_axis import VALUES
from spatial_duck.backends.arrayapi._elementwise import created
from spatial_duck.backends.arrayapi._functions import (
    COMPOSED,
    UFUNCS,
    to_complex,
    to_dtype,
    to_floating,
)
from spatial_duck.rules._bind import NO_VALUE

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

_REDUCING = {"axis": "axis", "keepdims": "keepdims"}
_LIKE = {"dtype": "dtype", "device": "device"}

#: NumPy function: name in the standard, number of leading positional parameters, and the other
#: parameters that it has there, by NumPy's name.
_FUNCTIONS: dict[Any, tuple[str, int, dict[str, str]]] = {
    np.sum: ("sum", 1, {**_REDUCING, "dtype": "dtype"}),
    np.prod: ("prod", 1, {**_REDUCING, "dtype": "dtype"}),
    np.mean: ("mean", 1, _REDUCING),
    np.std: ("std", 1, {**_REDUCING, "ddof": "correction", "correction": "correction"}),
    np.var: ("var", 1, {**_REDUCING, "ddof": "correction", "correction": "correction"}),
    np.max: ("max", 1, _REDUCING),
    np.amax: ("max", 1, _REDUCING),
    np.min: ("min", 1, _REDUCING),
    np.amin: ("min", 1, _REDUCING),
    np.all: ("all", 1, _REDUCING),
    np.any: ("any", 1, _REDUCING),
    np.argmax: ("argmax", 1, _REDUCING),
    np.argmin: ("argmin", 1, _REDUCING),
    np.count_nonzero: ("count_nonzero", 1, _REDUCING),
    np.cumsum: ("cumulative_sum", 1, {"axis": "axis", "dtype": "dtype"}),
    np.cumprod: ("cumulative_prod", 1, {"axis": "axis", "dtype": "dtype"}),
    np.sort: ("sort", 1, {"axis": "axis", "stable": "stable"}),
    np.argsort: ("argsort", 1, {"axis": "axis", "stable": "stable"}),
    np.searchsorted: ("searchsorted", 2, {"side": "side", "sorter": "sorter"}),
    np.nonzero: ("nonzero", 1, {}),
    np.stack: ("stack", 1, {"axis": "axis"}),
    np.broadcast_to: ("broadcast_to", 2, {}),
    np.broadcast_arrays: ("broadcast_arrays", 0, {}),
    np.moveaxis: ("moveaxis", 3, {}),
    np.flip: ("flip", 1, {"axis": "axis"}),
    np.roll: ("roll", 2, {"axis": "axis"}),
    np.tile: ("tile", 2, {}),
    np.take: ("take", 2, {"axis": "axis"}),
    np.take_along_axis: ("take_along_axis", 2, {"axis": "axis"}),
    np.tril: ("tril", 1, {"k": "k"}),
    np.triu: ("triu", 1, {"k": "k"}),
    np.tensordot: ("tensordot", 2, {"axes": "axes"}),
    np.real: ("real", 1, {}),
    np.imag: ("imag", 1, {}),
    np.zeros_like: ("zeros_like", 1, _LIKE),
    np.ones_like: ("ones_like", 1, _LIKE),
    np.empty_like: ("empty_like", 1, _LIKE),
    np.full_like: ("full_like", 2, _LIKE),
}
_ALONG = {"n": "n", "axis": "axis", "norm": "norm"}
_OVER = {"s": "s", "axes": "axes", "norm": "norm"}
#: The same by name, where NumPy has them: those that are newer than our oldest NumPy, and those of
#: the extensions.
_BY_NAME: dict[str, tuple[int, dict[str, str]]] = {
    "matrix_transpose": (1, {}),
    "cumulative_sum": (1, {k: k for k in ("axis", "dtype", "include_initial")}),
    "cumulative_prod": (1, {k: k for k in ("axis", "dtype", "include_initial")}),
    "unique_values": (1, {}),
    "unique_counts": (1, {}),
    "unique_inverse": (1, {}),
    "unique_all": (1, {}),
    "meshgrid": (0, {}),
    "linalg.cholesky": (1, {}),
    "linalg.cross": (2, {"axis": "axis"}),
    "linalg.det": (1, {}),
    "linalg.diagonal": (1, {"offset": "offset"}),
    "linalg.eigh": (1, {}),
    "linalg.eigvalsh": (1, {}),
    "linalg.inv": (1, {}),
    "linalg.matmul": (2, {}),
    "linalg.matrix_norm": (1, {"keepdims": "keepdims", "ord": "ord"}),
    "linalg.matrix_power": (2, {}),
    "linalg.matrix_rank": (1, {"rtol": "rtol"}),
    "linalg.matrix_transpose": (1, {}),
    "linalg.outer": (2, {}),
    "linalg.pinv": (1, {}),
    "linalg.slogdet": (1, {}),
    "linalg.solve": (2, {}),
    "linalg.svd": (1, {"full_matrices": "full_matrices"}),
    "linalg.svdvals": (1, {}),
    "linalg.tensordot": (2, {"axes": "axes"}),
    "linalg.trace": (1, {"offset": "offset", "dtype": "dtype"}),
    "linalg.vecdot": (2, {"axis": "axis"}),
    "linalg.vector_norm": (1, {**_REDUCING, "ord": "ord"}),
    **{f"fft.{n}": (1, _ALONG) for n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")},
    **{f"fft.{n}": (1, _OVER) for n in ("fftn", "ifftn", "rfftn", "irfftn")},
    **{f"fft.{n}": (1, {"axes": "axes"}) for n in ("fftshift", "ifftshift")},
}


def _found(owner: Any, name: str) -> Any:
    """Return what a dotted name stands for, or None."""
    for part in name.split("."):
        owner = getattr(owner, part, None)
    return owner


for _name, (_n, _parameters) in _BY_NAME.items():
    if _found(np, _name) is not None:
        _FUNCTIONS[_found(np, _name)] = (_name, _n, _parameters)

#: Functions of the standard on complex types alone.
_COMPLEX = frozenset({"fft.fft", "fft.ifft", "fft.fftn", "fft.ifftn", "fft.irfft", "fft.irfftn",
                      "fft.hfft"})  # fmt: skip

#: Without an axis, NumPy flattens first.
_FLATTENING = frozenset({np.cumsum, np.cumprod, np.take})


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
    like = _first(args, kwargs)
    xp = namespace(like)
    if "like" in kwargs:
        return created(xp, func, args, kwargs)
    args, kwargs = with_tuples(func, args, kwargs)
    args, kwargs = _brought(args, like, xp), _brought(kwargs, like, xp)
    owner = getattr(func, "__self__", None)
    if isinstance(func, np.ufunc):
        return _call_ufunc(xp, func, args, kwargs)
    if isinstance(owner, np.ufunc):
        return _call_method(xp, owner, func.__name__, args, kwargs)
    if func in PIECES:
        return PIECES[func](*args, **kwargs)
    composed = VALUES.get(func) or COMPOSED.get(func)
    if composed is not None:
        args, kwargs = adapt_arguments(xp.__name__, func, composed, args, kwargs, skip=1)
        return composed(xp, *args, **kwargs)
    if func not in _FUNCTIONS:
        raise TypeError(
            f"{xp.__name__} has no {func.__module__}.{func.__name__} by way of the array API: "
            "use .to('numpy') first, or the library's own function on image.data"
        )
    name, n, parameters = _FUNCTIONS[func]
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
        options[parameters[key]] = to_dtype(xp, value) if key == "dtype" else value
    if func is np.searchsorted:  # a table may be a list
        leading = [v if hasattr(v, "dtype") else xp.asarray(v) for v in leading]
    x = leading[0]
    if func in _FLATTENING and options.get("axis") is None:
        leading[0], options["axis"] = xp.reshape(x, (-1,)), 0
    elif func in (np.sort, np.argsort) and "axis" in options and options["axis"] is None:
        leading[0], options["axis"] = xp.reshape(x, (-1,)), -1
    if func in (np.mean, np.std, np.var) or name.startswith(("linalg.", "fft.")):
        leading[0] = to_floating(xp, x)
    if name in _COMPLEX:
        leading[0] = to_complex(xp, leading[0])
    return run(*leading, **options)


@cache
def _signature(func: Any) -> inspect.Signature:
    return inspect.signature(func)


def _bind(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return a call's arguments by name, without those that say nothing."""
    signature = _signature(func)
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


def _leaves(value: Any) -> Any:
    if value.__class__ in (list, tuple):
        return [leaf for v in value for leaf in _leaves(v)]
    return [value]


def _first(args: Any, kwargs: Any) -> Any:
    return next(a for a in _leaves([*args, *kwargs.values()]) if name_of(type(a)) == "arrayapi")


def _brought(value: Any, like: Any, xp: Any) -> Any:
    """Convert NumPy's scalars to Python's and its arrays to the library's."""
    if value.__class__ in (list, tuple):
        return value.__class__([_brought(v, like, xp) for v in value])
    if value.__class__ is dict:
        return {k: _brought(v, like, xp) for k, v in value.items()}
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
