"""PyTorch, JAX, sparse, array_api_strict: any array that follows the array API standard.

These have no ``__array_function__``, so NumPy's functions are brought to the standard's here, by
tables: `_FUNCTIONS` for those that the standard has, with the names of their parameters, and
`_COMPOSED` for those that are made of them. What is in neither is a TypeError: a function of the
same name in some library may well mean something else (``torch.median``).
"""

from __future__ import annotations

import inspect
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends import Backend, _module_of, backend_of
from spatial_duck.backends.pieces import PIECES
from spatial_duck.errors import missing_extra
from spatial_duck.grid import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKEND", "call", "index", "namespace"]

try:
    import array_api_compat
except ImportError as error:
    raise missing_extra("array-api-compat", "interop", "Work on array-API arrays") from error

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
    np.diff: ("diff", 1, {"n": "n", "axis": "axis", "prepend": "prepend", "append": "append"}),
    np.sort: ("sort", 1, {"axis": "axis", "stable": "stable"}),
    np.argsort: ("argsort", 1, {"axis": "axis", "stable": "stable"}),
    np.searchsorted: ("searchsorted", 2, {"side": "side", "sorter": "sorter"}),
    np.nonzero: ("nonzero", 1, {}),
    np.concatenate: ("concat", 1, {"axis": "axis"}),
    np.stack: ("stack", 1, {"axis": "axis"}),
    np.broadcast_to: ("broadcast_to", 2, {}),
    np.broadcast_arrays: ("broadcast_arrays", 0, {}),
    np.moveaxis: ("moveaxis", 3, {}),
    np.flip: ("flip", 1, {"axis": "axis"}),
    np.roll: ("roll", 2, {"axis": "axis"}),
    np.repeat: ("repeat", 2, {"axis": "axis"}),
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
for _name in ("matrix_transpose", "vecdot"):
    if hasattr(np, _name) and not isinstance(getattr(np, _name), np.ufunc):
        _FUNCTIONS[getattr(np, _name)] = (_name, 1 + (_name == "vecdot"), {"axis": "axis"})

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
    args, kwargs = _brought(args, like, xp), _brought(kwargs, like, xp)
    owner = getattr(func, "__self__", None)
    if isinstance(func, np.ufunc):
        return _call_ufunc(xp, func, args, kwargs)
    if isinstance(owner, np.ufunc):
        return _call_method(xp, owner, func.__name__, args, kwargs)
    if func in PIECES:
        return PIECES[func](*args, **kwargs)
    if func in _COMPOSED:
        return _COMPOSED[func](xp, *args, **kwargs)
    if func not in _FUNCTIONS:
        raise TypeError(
            f"{xp.__name__} has no {func.__module__}.{func.__name__} by way of the array API: "
            "use .to('numpy') first, or the library's own function on image.data"
        )
    name, n, parameters = _FUNCTIONS[func]
    if not hasattr(xp, name):
        raise TypeError(f"{xp.__name__} has no {name}, which numpy.{func.__name__} needs")
    if n == 0:
        return getattr(xp, name)(*args)
    arguments = _bind(func, args, kwargs)
    leading = list(arguments.values())[:n]
    options = {}
    for key, value in list(arguments.items())[n:]:
        if key not in parameters:
            raise TypeError(f"numpy.{func.__name__} on {xp.__name__} does not take {key!r}")
        options[parameters[key]] = _dtype(xp, value) if key == "dtype" else value
    x = leading[0]
    if func in _FLATTENING and options.get("axis") is None:
        leading[0], options["axis"] = xp.reshape(x, (-1,)), 0
    elif func in (np.sort, np.argsort) and "axis" in options and options["axis"] is None:
        leading[0], options["axis"] = xp.reshape(x, (-1,)), -1
    if func in (np.mean, np.std, np.var):
        leading[0] = _floating(xp, x)
    return getattr(xp, name)(*leading, **options)


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
        said_nothing = value is np._NoValue or value is default
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
    return next(a for a in _leaves([*args, *kwargs.values()]) if _module_of(type(a)) == "arrayapi")


def _brought(value: Any, like: Any, xp: Any) -> Any:
    """Bring NumPy's scalars to Python's and its arrays to the library, both on the host."""
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


def _dtype(xp: Any, dtype: Any) -> Any:
    try:
        return getattr(xp, np.dtype(dtype).name)
    except TypeError:
        return dtype


def _floating(xp: Any, x: Any) -> Any:
    """Bring integers to the library's default floating type, as NumPy does."""
    if not hasattr(x, "dtype") or not xp.isdtype(x.dtype, ("bool", "integral")):
        return x
    return xp.astype(x, xp.asarray(1.0).dtype)


def _call_ufunc(xp: Any, ufunc: np.ufunc, args: Any, kwargs: Any) -> Any:
    outs, where = kwargs.pop("out", None), kwargs.pop("where", True)
    dtype = kwargs.pop("dtype", None)
    casting = kwargs.pop("casting", "same_kind")
    if kwargs:
        raise TypeError(f"numpy.{ufunc.__name__} on {xp.__name__} does not take {sorted(kwargs)}")
    name = _UFUNC_NAMES.get(ufunc.__name__, ufunc.__name__)
    run = getattr(xp, name, None) if name else None
    if run is None:
        raise TypeError(
            f"numpy.{ufunc.__name__} is not in the array API: use .to('numpy') first, or the "
            "library's own function on image.data"
        )
    if dtype is not None:
        args = [xp.astype(a, _dtype(xp, dtype)) if hasattr(a, "dtype") else a for a in args]
    if name in _FLOATING:
        args = [_floating(xp, a) for a in args]
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
    """Tell whether a type may be written to another of its kind or a wider one."""
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


# --- functions made of others -------------------------------------------------------------


def _transpose(xp: Any, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else normalize_axes(tuple(axes), a.ndim)
    return xp.permute_dims(a, tuple(order))


def _swapaxes(xp: Any, a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    i, j = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[i], order[j] = j, i
    return xp.permute_dims(a, tuple(order))


def _rot90(xp: Any, m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = normalize_axes(tuple(axes), m.ndim)
    turned = _swapaxes(xp, m, first, second) if k % 2 else m
    flipped = {0: (), 1: (first,), 2: (first, second), 3: (second,)}[k % 4]
    return xp.flip(turned, axis=flipped) if flipped else turned


def _squeeze(xp: Any, a: Any, axis: Any = None) -> Any:
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axis
    return xp.squeeze(a, axis=normalize_axes(axes, a.ndim))


def _expand_dims(xp: Any, a: Any, axis: Any) -> Any:
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    for i in sorted(normalize_axes(axes, a.ndim + len(axes))):
        a = xp.expand_dims(a, axis=i)
    return a


def _reshape(xp: Any, a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    if order not in ("C", "A"):
        raise TypeError(f"reshape on {xp.__name__} takes order 'C' alone, got {order!r}")
    return xp.reshape(a, shape if isinstance(shape, tuple | list) else (shape,), copy=copy)


def _clip(xp: Any, a: Any, a_min: Any = None, a_max: Any = None, **kwargs: Any) -> Any:
    kwargs = {k: v for k, v in kwargs.items() if v is not None and v is not np._NoValue}
    low = kwargs.pop("min", a_min)
    high = kwargs.pop("max", a_max)
    if kwargs:
        raise TypeError(f"clip on {xp.__name__} does not take {sorted(kwargs)}")
    low, high = (None if v is np._NoValue else v for v in (low, high))
    return xp.clip(a, low, high)


def _round(xp: Any, a: Any, decimals: int = 0, out: Any = None) -> Any:
    if decimals or out is not None:
        raise TypeError(f"round on {xp.__name__} takes no decimals and no out")
    return xp.round(a)


def _where(xp: Any, condition: Any, x: Any, y: Any) -> Any:
    if not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        x = xp.asarray(x)
    return xp.where(condition, x, y)


_COMPOSED: dict[Any, Callable[..., Any]] = {
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.rot90: _rot90,
    np.squeeze: _squeeze,
    np.expand_dims: _expand_dims,
    np.reshape: _reshape,
    np.clip: _clip,
    np.round: _round,
    np.around: _round,
    np.where: _where,
    np.ravel: lambda xp, a, order="C": _reshape(xp, a, (-1,), order),
    np.flipud: lambda xp, m: xp.flip(m, axis=0),
    np.fliplr: lambda xp, m: xp.flip(m, axis=1),
    np.copy: lambda xp, a, **_: xp.asarray(a, copy=True),
    np.ptp: lambda xp, a, axis=None, keepdims=False: (
        xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)
    ),
    np.shape: lambda _, a: tuple(a.shape),
    np.ndim: lambda _, a: a.ndim,
    np.size: lambda _, a, axis=None: int(
        np.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)], dtype=int)
    ),
    np.iscomplexobj: lambda xp, x: xp.isdtype(x.dtype, "complex floating"),
    np.isrealobj: lambda xp, x: not xp.isdtype(x.dtype, "complex floating"),
}


def index(data: Any, key: Any) -> Any:
    """Return ``data[key]``, for libraries too that have no negative steps or short keys."""
    keys = key if key.__class__ is tuple else (key,)
    if not any(isinstance(k, slice) and k.step is not None and k.step < 0 for k in keys):
        short = sum(k is not None for k in keys) < data.ndim
        if short and not any(k is Ellipsis or hasattr(k, "ndim") for k in keys):
            return data[(*keys, ...)]  # the standard wants all axes
        return data[key]
    if any(hasattr(k, "__len__") or hasattr(k, "ndim") for k in keys):
        raise TypeError("a key with both negative steps and arrays: index in two steps")
    used = sum(k is not None and k is not Ellipsis for k in keys)
    forward: list[Any] = []
    turned: list[int] = []
    axis = out = 0
    for k in keys:
        if isinstance(k, slice) and k.step is not None and k.step < 0:
            walked = range(*k.indices(data.shape[axis]))
            turned.append(out)
            forward.append(slice(walked[-1], walked[0] + 1, -k.step) if walked else slice(0, 0))
        else:
            forward.append(k)
        step = data.ndim - used if k is Ellipsis else int(k is not None)
        axis += step
        out += step if k is Ellipsis or not isinstance(k, int) else 0
        out += k is None
    if not any(k is Ellipsis for k in forward):
        forward.append(...)
    return namespace(data).flip(data[tuple(forward)], axis=tuple(turned))


def _same(data: Any, **_: Any) -> Any:
    """Return the data, which are in memory already."""
    return data


#: How each library copies to the host; NumPy knows the others.
_TO_NUMPY: dict[str, Callable[[Any], Any]] = {
    "torch": lambda x: x.detach().cpu().resolve_conj().resolve_neg().numpy(),
    "sparse": lambda x: x.todense(),
    "array_api_strict": lambda x: np.from_dlpack(x),
}


def _to_numpy(data: Any) -> Any:
    root = type(data).__module__.partition(".")[0]
    return _TO_NUMPY.get(root, np.asarray)(data)


def _take(data: Any, library: str, device: Any = None) -> Any:
    """Bring an array to a library, without a copy where both share memory."""
    try:
        import_module(library)
        module = "jax.numpy" if library == "jax" else library
        xp = import_module(module)
    except ImportError as error:
        raise missing_extra(library, "all", f".to({library!r})") from error
    found = backend_of(data)
    if found.name == "arrayapi" and type(data).__module__.partition(".")[0].startswith(library):
        return data if device is None else array_api_compat.to_device(data, device)
    array = found.to_numpy(data)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if library == "sparse":
        return xp.COO.from_numpy(array)
    if library == "torch" and (not array.flags.writeable or any(s < 0 for s in array.strides)):
        array = array.copy()  # PyTorch has neither read-only memory nor negative strides
    made = xp.asarray(array)
    return made if device is None else array_api_compat.to_device(made, device)


BACKEND = Backend(
    name="arrayapi",
    lazy=False,
    call=call,
    compute=_same,
    to_numpy=_to_numpy,
    take=_take,
    device=array_api_compat.device,
)
