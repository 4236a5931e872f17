"""More of NumPy's functions, made of the array API's: voxel by voxel, and reductions.

As in `arrayapi_functions`, each takes the namespace first, and parameters of NumPy's that change
nothing here. Nothing is copied to the host but single numbers, such as the ends of a histogram.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck.backends.arrayapi._functions import to_dtype, to_floating
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "VALUES",
    "created",
    "does",
    "flat_of",
    "held",
    "is_floating",
    "no",
    "slices",
    "to_array",
]

#: NumPy function: what does it, given the namespace first.
VALUES: dict[Any, Callable[..., Any]] = {}


def does(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated function for some of NumPy's, where NumPy has them."""

    def enter(made: Callable[..., Any]) -> Callable[..., Any]:
        VALUES.update(dict.fromkeys([f for f in functions if f is not None], made))
        return made

    return enter


def held(value: Any) -> bool:
    """Whether a value is an array of the library."""
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def to_array(xp: Any, value: Any, like: Any, dtype: Any = None) -> Any:
    """Return an array on the device of another."""
    if held(value):
        return value if dtype is None else xp.astype(value, dtype)
    return xp.asarray(value, dtype=dtype, device=array_api_compat.device(like))


def flat_of(xp: Any, a: Any) -> Any:
    """Return all voxels as one line."""
    return xp.reshape(a, (-1,))


def is_floating(xp: Any, a: Any) -> bool:
    """Whether values are real or complex numbers of finite precision."""
    return bool(xp.isdtype(a.dtype, ("real floating", "complex floating")))


def slices(ndim: int, axis: int, *cuts: Any) -> list[tuple[Any, ...]]:
    """Return keys that cut along one axis."""
    return [tuple([cut if i == axis else slice(None) for i in range(ndim)]) for cut in cuts]


def created(xp: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Call a function with ``like=``: NumPy makes the array, and the library takes it."""
    kwargs = dict(kwargs)
    place = array_api_compat.device(kwargs.pop("like"))
    if args and held(args[0]):
        if func in (np.asarray, np.asanyarray) and not kwargs and len(args) == 1:
            return args[0]
        raise TypeError(f"numpy.{func.__name__} on {xp.__name__} takes lists and arrays of NumPy")
    made = np.ascontiguousarray(func(*args, **kwargs))
    # The memory of a buffer may be read-only, which PyTorch does not know.
    return xp.asarray(made if made.flags.writeable else made.copy(), device=place)


# --- voxel by voxel -----------------------------------------------------------------------


@does(np.round, np.around)
def _round(xp: Any, a: Any, decimals: int = 0, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"round on {xp.__name__} takes no out")
    if not decimals or not is_floating(xp, a):
        return xp.round(a)
    scale = 10.0 ** abs(decimals)
    return xp.round(a * scale) / scale if decimals > 0 else xp.round(a / scale) * scale


@does(np.fix)
def _fix(xp: Any, x: Any) -> Any:
    return xp.trunc(x)


@does(np.iscomplex)
def _iscomplex(xp: Any, x: Any) -> Any:
    return xp.imag(x) != 0 if xp.isdtype(x.dtype, "complex floating") else no(xp, x)


@does(np.isreal)
def _isreal(xp: Any, x: Any) -> Any:
    return xp.logical_not(_iscomplex(xp, x))


def no(xp: Any, x: Any) -> Any:
    """Return False for each voxel."""
    return xp.zeros_like(x, dtype=xp.bool)


@does(np.isposinf)
def _isposinf(xp: Any, x: Any) -> Any:
    return x == math.inf if is_floating(xp, x) else no(xp, x)


@does(np.isneginf)
def _isneginf(xp: Any, x: Any) -> Any:
    return x == -math.inf if is_floating(xp, x) else no(xp, x)


@does(np.sinc)
def _sinc(xp: Any, x: Any) -> Any:
    x = to_floating(xp, x) * math.pi
    safe = xp.where(x == 0, xp.ones_like(x), x)
    return xp.where(x == 0, xp.ones_like(x), xp.sin(safe) / safe)


@does(np.select)
def _select(xp: Any, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    like = next(filter(held, [*choicelist, *condlist]))
    choices = [to_array(xp, c, like) for c in [*choicelist, default]]
    kind = xp.result_type(*[c for c in choicelist if hasattr(c, "dtype")] or choices)
    found = xp.astype(choices[-1], kind)
    for where, choice in list(zip(condlist, choices, strict=False))[::-1]:
        found = xp.where(where, xp.astype(choice, kind), found)
    return found


@does(np.polyval)
def _polyval(xp: Any, p: Any, x: Any) -> Any:
    found = xp.zeros_like(x)
    for i in range(len(p)):
        found = found * x + p[i]
    return found


@does(np.digitize)
def _digitize(xp: Any, x: Any, bins: Any, right: bool = False) -> Any:
    bins = to_array(xp, bins, x, x.dtype)
    if bins.shape[0] > 1 and bool(xp.any(bins[1:] < bins[:-1])):
        raise TypeError(f"digitize on {xp.__name__} takes bins that increase")
    side = "left" if right else "right"
    return xp.reshape(xp.searchsorted(bins, flat_of(xp, x), side=side), x.shape)


@does(np.interp)
def _interp(
    xp: Any, x: Any, xs: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    if period is not None:
        raise TypeError(f"interp on {xp.__name__} has no period")
    like = next(filter(held, (x, xs, fp)))
    x, xs, fp = (to_floating(xp, to_array(xp, a, like)) for a in (x, xs, fp))
    kind = xp.result_type(x, xs, fp)
    x, xs, fp = (xp.astype(a, kind) for a in (x, xs, fp))
    flat, n = flat_of(xp, x), xs.shape[0]
    if n < 2:
        raise TypeError(f"interp on {xp.__name__} takes two points or more")
    i = xp.clip(xp.searchsorted(xs, flat, side="right") - 1, 0, n - 2)
    x0, y0 = xp.take(xs, i), xp.take(fp, i)
    slope = (xp.take(fp, i + 1) - y0) / (xp.take(xs, i + 1) - x0)
    found = slope * (flat - x0) + y0
    ends = [
        (flat < xs[0], fp[0] if left is None else left),
        (flat > xs[n - 1], fp[n - 1] if right is None else right),
        (flat == xs[n - 1], fp[n - 1]),
    ]
    for where, value in ends:
        found = xp.where(where, to_array(xp, value, like, kind), found)
    return xp.reshape(found, x.shape)


# --- reductions ---------------------------------------------------------------------------


def _nan_extreme(name: str, value: float) -> Callable[..., Any]:
    def extreme(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        over = {"axis": axis, "keepdims": keepdims is True}
        if not is_floating(xp, a):
            return getattr(xp, name)(a, **over)
        unknown = xp.isnan(a)
        found = getattr(xp, name)(xp.where(unknown, xp.full_like(a, value), a), **over)
        return xp.where(xp.all(unknown, **over), xp.full_like(found, math.nan), found)

    return extreme


VALUES[np.nanmax] = _nan_extreme("max", -math.inf)
VALUES[np.nanmin] = _nan_extreme("min", math.inf)


@does(np.nanvar)
def _nanvar(xp: Any, a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    a = to_floating(xp, a)
    unknown = xp.isnan(a)
    zero = xp.zeros_like(a)
    known = xp.astype(xp.logical_not(unknown), a.dtype)
    whole = xp.sum(known, axis=axis, keepdims=True)
    mean = xp.sum(xp.where(unknown, zero, a), axis=axis, keepdims=True) / whole
    squares = xp.where(unknown, zero, (a - mean) ** 2)
    over = {"axis": axis, "keepdims": keepdims is True}
    return xp.sum(squares, **over) / (xp.sum(known, **over) - ddof)


@does(np.nanstd)
def _nanstd(xp: Any, a: Any, axis: Any = None, **options: Any) -> Any:
    return xp.sqrt(_nanvar(xp, a, axis, **options))


def _nan_index(name: str, value: float) -> Callable[..., Any]:
    def index(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        over = {"axis": axis, "keepdims": keepdims is True}
        if is_floating(xp, a):
            unknown = xp.isnan(a)
            if bool(xp.any(xp.all(unknown, axis=axis))):
                raise ValueError("All-NaN slice encountered")
            a = xp.where(unknown, xp.full_like(a, value), a)
        return getattr(xp, name)(a, **over)

    return index


VALUES[np.nanargmax] = _nan_index("argmax", -math.inf)
VALUES[np.nanargmin] = _nan_index("argmin", math.inf)


def _nan_running(name: str, neutral: float) -> Callable[..., Any]:
    def running(xp: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
        if is_floating(xp, a):
            a = xp.where(xp.isnan(a), xp.full_like(a, neutral), a)
        a, axis = (flat_of(xp, a), 0) if axis is None else (a, axis)
        return getattr(xp, name)(a, axis=axis, dtype=dtype and to_dtype(xp, dtype))

    return running


VALUES[np.nancumsum] = _nan_running("cumulative_sum", 0.0)
VALUES[np.nancumprod] = _nan_running("cumulative_prod", 1.0)


@does(np.average)
def _average(
    xp: Any, a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
    keepdims: Any = False,
) -> Any:  # fmt: skip
    over = {"axis": axis, "keepdims": keepdims is True}
    a = to_floating(xp, a)
    if weights is None:
        found = xp.mean(a, **over)
        count = math.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)])
        return (found, xp.full_like(found, float(count))) if returned else found
    weights = to_floating(xp, to_array(xp, weights, a))
    if weights.ndim == 1 and a.ndim > 1:
        at = normalize_axis(axis, a.ndim)
        weights = xp.reshape(weights, tuple([-1 if i == at else 1 for i in range(a.ndim)]))
    weights = xp.broadcast_to(weights, a.shape)
    whole = xp.sum(weights, **over)
    found = xp.sum(a * weights, **over) / whole
    return (found, whole) if returned else found


@does(np.quantile)
def _quantile(
    xp: Any, a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: Any = False,
) -> Any:  # fmt: skip
    if out is not None or method != "linear" or held(q):
        raise TypeError(f"quantile on {xp.__name__} is linear, of numbers, and takes no out")
    axes = normalize_axes(axis, a.ndim)
    order = [i for i in range(a.ndim) if i not in axes]
    kept = tuple([a.shape[i] for i in order])
    count = math.prod([a.shape[i] for i in axes])
    lines = xp.reshape(xp.permute_dims(to_floating(xp, a), (*order, *axes)), (*kept, count))
    lines = xp.sort(lines, axis=-1)
    n = lines.shape[-1]
    shape = tuple([1 if i in axes else m for i, m in enumerate(a.shape)]) if keepdims else kept
    found = []
    for part in np.ravel(q).tolist():
        at = part * (n - 1)
        low = min(math.floor(at), max(n - 2, 0))
        first, second = lines[..., low], lines[..., min(low + 1, n - 1)]
        value = first + (second - first) * (at - low)
        unknown = xp.any(xp.isnan(lines), axis=-1)
        value = xp.where(unknown, xp.full_like(value, math.nan), value)
        found.append(xp.reshape(value, shape))
    return xp.reshape(xp.stack(found), (*np.shape(q), *shape)) if np.ndim(q) else found[0]


@does(np.percentile)
def _percentile(xp: Any, a: Any, q: Any, *args: Any, **options: Any) -> Any:
    if held(q):
        raise TypeError(f"percentile on {xp.__name__} is of numbers")
    return _quantile(xp, a, (np.asarray(q) / 100).tolist(), *args, **options)


@does(getattr(np, "trapezoid", None), getattr(np, "trapz", None))
def _trapezoid(xp: Any, y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    axis = normalize_axis(axis, y.ndim)
    after, before = slices(y.ndim, axis, slice(1, None), slice(None, -1))
    step = dx
    if x is not None:
        x = to_array(xp, x, y)
        if x.ndim == 1:
            step = xp.reshape(
                x[1:] - x[:-1], tuple([-1 if i == axis else 1 for i in range(y.ndim)])
            )
        else:
            step = x[after] - x[before]
    return xp.sum(step * (y[after] + y[before]) / 2.0, axis=axis)


@does(np.linalg.norm)
def _norm(xp: Any, x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    x = to_floating(xp, x)
    axes = normalize_axes(axis, x.ndim)
    if ord is None or len(axes) == 1:
        # Of a matrix too it is by default the root of the sum of squares.
        power = 2 if ord is None else ord
        return xp.linalg.vector_norm(x, axis=axes, ord=power, keepdims=keepdims)
    norm = xp.linalg.matrix_norm(xp.moveaxis(x, axes, (-2, -1)), ord=ord)
    for i in sorted(axes) if keepdims else ():
        norm = xp.expand_dims(norm, axis=i)
    return norm
