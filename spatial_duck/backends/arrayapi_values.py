"""More of NumPy's functions of the array API's: of values, sets, lines and indices.

As in `arrayapi_functions`, each takes the namespace first, and parameters of NumPy's that change
nothing here. Nothing is copied to the host but single numbers, such as the ends of a histogram.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck.backends.arrayapi_functions import to_dtype, to_floating
from spatial_duck.grid import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VALUES", "created"]

#: NumPy function: what does it, given the namespace first.
VALUES: dict[Any, Callable[..., Any]] = {}


def _does(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def enter(made: Callable[..., Any]) -> Callable[..., Any]:
        VALUES.update(dict.fromkeys(functions, made))
        return made

    return enter


def _held(value: Any) -> bool:
    """Tell whether a value is an array of the library."""
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def _array(xp: Any, value: Any, like: Any, dtype: Any = None) -> Any:
    """Return an array on the device of another."""
    if _held(value):
        return value if dtype is None else xp.astype(value, dtype)
    return xp.asarray(value, dtype=dtype, device=array_api_compat.device(like))


def _flat(xp: Any, a: Any) -> Any:
    return xp.reshape(a, (-1,))


def _is_floating(xp: Any, a: Any) -> bool:
    return bool(xp.isdtype(a.dtype, ("real floating", "complex floating")))


def _slices(ndim: int, axis: int, *cuts: Any) -> list[tuple[Any, ...]]:
    """Return keys that cut along one axis."""
    return [tuple([cut if i == axis else slice(None) for i in range(ndim)]) for cut in cuts]


def created(xp: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Call a function with ``like=``: NumPy makes the array, and the library takes it."""
    kwargs = dict(kwargs)
    place = array_api_compat.device(kwargs.pop("like"))
    if args and _held(args[0]):
        if func in (np.asarray, np.asanyarray) and not kwargs and len(args) == 1:
            return args[0]
        raise TypeError(f"numpy.{func.__name__} on {xp.__name__} takes lists and arrays of NumPy")
    return xp.asarray(np.ascontiguousarray(func(*args, **kwargs)), device=place)


# --- voxel by voxel -----------------------------------------------------------------------


@_does(np.round, np.around)
def _round(xp: Any, a: Any, decimals: int = 0, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"round on {xp.__name__} takes no out")
    if not decimals or not _is_floating(xp, a):
        return xp.round(a)
    scale = 10.0 ** abs(decimals)
    return xp.round(a * scale) / scale if decimals > 0 else xp.round(a / scale) * scale


@_does(np.fix)
def _fix(xp: Any, x: Any) -> Any:
    return xp.trunc(x)


@_does(np.iscomplex)
def _iscomplex(xp: Any, x: Any) -> Any:
    return xp.imag(x) != 0 if xp.isdtype(x.dtype, "complex floating") else _no(xp, x)


@_does(np.isreal)
def _isreal(xp: Any, x: Any) -> Any:
    return xp.logical_not(_iscomplex(xp, x))


def _no(xp: Any, x: Any) -> Any:
    return xp.zeros_like(x, dtype=xp.bool)


@_does(np.isposinf)
def _isposinf(xp: Any, x: Any) -> Any:
    return x == math.inf if _is_floating(xp, x) else _no(xp, x)


@_does(np.isneginf)
def _isneginf(xp: Any, x: Any) -> Any:
    return x == -math.inf if _is_floating(xp, x) else _no(xp, x)


@_does(np.sinc)
def _sinc(xp: Any, x: Any) -> Any:
    x = to_floating(xp, x) * math.pi
    safe = xp.where(x == 0, xp.ones_like(x), x)
    return xp.where(x == 0, xp.ones_like(x), xp.sin(safe) / safe)


@_does(np.select)
def _select(xp: Any, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    like = next(filter(_held, [*choicelist, *condlist]))
    choices = [_array(xp, c, like) for c in [*choicelist, default]]
    kind = xp.result_type(*[c for c in choicelist if hasattr(c, "dtype")] or choices)
    found = xp.astype(choices[-1], kind)
    for where, choice in list(zip(condlist, choices, strict=False))[::-1]:
        found = xp.where(where, xp.astype(choice, kind), found)
    return found


@_does(np.polyval)
def _polyval(xp: Any, p: Any, x: Any) -> Any:
    found = xp.zeros_like(x)
    for i in range(len(p)):
        found = found * x + p[i]
    return found


@_does(np.digitize)
def _digitize(xp: Any, x: Any, bins: Any, right: bool = False) -> Any:
    bins = _array(xp, bins, x, x.dtype)
    if bins.shape[0] > 1 and bool(xp.any(bins[1:] < bins[:-1])):
        raise TypeError(f"digitize on {xp.__name__} takes bins that increase")
    side = "left" if right else "right"
    return xp.reshape(xp.searchsorted(bins, _flat(xp, x), side=side), x.shape)


@_does(np.interp)
def _interp(
    xp: Any, x: Any, xs: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    if period is not None:
        raise TypeError(f"interp on {xp.__name__} has no period")
    like = next(filter(_held, (x, xs, fp)))
    x, xs, fp = (to_floating(xp, _array(xp, a, like)) for a in (x, xs, fp))
    kind = xp.result_type(x, xs, fp)
    x, xs, fp = (xp.astype(a, kind) for a in (x, xs, fp))
    flat, n = _flat(xp, x), xs.shape[0]
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
        found = xp.where(where, _array(xp, value, like, kind), found)
    return xp.reshape(found, x.shape)


# --- reductions ---------------------------------------------------------------------------


def _nan_extreme(name: str, value: float) -> Callable[..., Any]:
    def extreme(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        over = {"axis": axis, "keepdims": keepdims is True}
        if not _is_floating(xp, a):
            return getattr(xp, name)(a, **over)
        unknown = xp.isnan(a)
        found = getattr(xp, name)(xp.where(unknown, xp.full_like(a, value), a), **over)
        return xp.where(xp.all(unknown, **over), xp.full_like(found, math.nan), found)

    return extreme


VALUES[np.nanmax] = _nan_extreme("max", -math.inf)
VALUES[np.nanmin] = _nan_extreme("min", math.inf)


@_does(np.nanvar)
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


@_does(np.nanstd)
def _nanstd(xp: Any, a: Any, axis: Any = None, **options: Any) -> Any:
    return xp.sqrt(_nanvar(xp, a, axis, **options))


def _nan_index(name: str, value: float) -> Callable[..., Any]:
    def index(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        over = {"axis": axis, "keepdims": keepdims is True}
        if _is_floating(xp, a):
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
        if _is_floating(xp, a):
            a = xp.where(xp.isnan(a), xp.full_like(a, neutral), a)
        a, axis = (_flat(xp, a), 0) if axis is None else (a, axis)
        return getattr(xp, name)(a, axis=axis, dtype=dtype and to_dtype(xp, dtype))

    return running


VALUES[np.nancumsum] = _nan_running("cumulative_sum", 0.0)
VALUES[np.nancumprod] = _nan_running("cumulative_prod", 1.0)


@_does(np.average)
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
    weights = to_floating(xp, _array(xp, weights, a))
    if weights.ndim == 1 and a.ndim > 1:
        at = normalize_axis(axis, a.ndim)
        weights = xp.reshape(weights, tuple([-1 if i == at else 1 for i in range(a.ndim)]))
    weights = xp.broadcast_to(weights, a.shape)
    whole = xp.sum(weights, **over)
    found = xp.sum(a * weights, **over) / whole
    return (found, whole) if returned else found


@_does(np.quantile)
def _quantile(
    xp: Any, a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: Any = False,
) -> Any:  # fmt: skip
    if out is not None or method != "linear" or _held(q):
        raise TypeError(f"quantile on {xp.__name__} is linear, of numbers, and takes no out")
    axes = normalize_axes(axis, a.ndim)
    order = [i for i in range(a.ndim) if i not in axes]
    kept = tuple([a.shape[i] for i in order])
    lines = xp.reshape(xp.permute_dims(to_floating(xp, a), (*order, *axes)), (*kept, -1))
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


@_does(np.percentile)
def _percentile(xp: Any, a: Any, q: Any, *args: Any, **options: Any) -> Any:
    if _held(q):
        raise TypeError(f"percentile on {xp.__name__} is of numbers")
    return _quantile(xp, a, (np.asarray(q) / 100).tolist(), *args, **options)


@_does(getattr(np, "trapezoid", None), getattr(np, "trapz", None))
def _trapezoid(xp: Any, y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    axis = normalize_axis(axis, y.ndim)
    after, before = _slices(y.ndim, axis, slice(1, None), slice(None, -1))
    step = dx
    if x is not None:
        x = _array(xp, x, y)
        if x.ndim == 1:
            step = xp.reshape(
                x[1:] - x[:-1], tuple([-1 if i == axis else 1 for i in range(y.ndim)])
            )
        else:
            step = x[after] - x[before]
    return xp.sum(step * (y[after] + y[before]) / 2.0, axis=axis)


@_does(np.linalg.norm)
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


# --- along an axis ------------------------------------------------------------------------


@_does(np.gradient)
def _gradient(xp: Any, f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = normalize_axes(axis, f.ndim)
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if edge_order != 1 or len(steps) != len(axes) or any(np.ndim(s) for s in steps):
        raise TypeError(f"gradient on {xp.__name__} takes a number for each axis, edge_order=1")
    f = to_floating(xp, f)
    found = []
    for i, step in zip(axes, steps, strict=True):
        first, second, left, right, late, last = _slices(
            f.ndim, i, slice(0, 1), slice(1, 2), slice(None, -2), slice(2, None), slice(-2, -1),
            slice(-1, None),
        )  # fmt: skip
        inner = (f[right] - f[left]) / (2.0 * step)
        edges = (f[second] - f[first]) / step, (f[last] - f[late]) / step
        found.append(xp.concat([edges[0], inner, edges[1]], axis=i))
    return found[0] if len(axes) == 1 else tuple(found)


@_does(np.partition)
def _partition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    """Sort, which is a partition at every place."""
    return xp.sort(_flat(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@_does(np.argpartition)
def _argpartition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    return xp.argsort(_flat(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@_does(np.take)
def _take(
    xp: Any, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise"
) -> Any:
    if out is not None or mode != "raise":
        raise TypeError(f"take on {xp.__name__} takes no out and no mode")
    a, axis = (_flat(xp, a), 0) if axis is None else (a, normalize_axis(axis, a.ndim))
    n, given = a.shape[axis], np.shape(indices)
    if not _held(indices):
        numbers = np.ravel(indices)
        if numbers.size and not -n <= numbers.min() <= numbers.max() < n:
            raise IndexError(f"index out of bounds for axis {axis} with size {n}")
        indices = _array(xp, numbers % max(n, 1), a, xp.int64)
    found = xp.take(a, _flat(xp, indices), axis=axis)
    return xp.reshape(found, tuple(a.shape[:axis]) + given + tuple(a.shape[axis + 1 :]))


@_does(np.take_along_axis)
def _take_along_axis(xp: Any, arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = _flat(xp, arr), 0
    return xp.take_along_axis(arr, xp.astype(_array(xp, indices, arr), xp.int64), axis=axis)


@_does(np.compress)
def _compress(xp: Any, condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    if _held(condition):
        raise TypeError(f"compress on {xp.__name__} takes a condition of NumPy or a list")
    return _take(xp, a, np.flatnonzero(condition), axis, out)


@_does(np.delete)
def _delete(xp: Any, arr: Any, obj: Any, axis: Any = None) -> Any:
    n = math.prod(arr.shape) if axis is None else arr.shape[axis]
    return _take(xp, arr, np.delete(np.arange(n), obj), axis)


@_does(np.lib.stride_tricks.sliding_window_view)
def _windows(
    xp: Any, x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False,
    writeable: bool = False,
) -> Any:  # fmt: skip
    """Copy the windows: the standard has no strides."""
    widths = window_shape if isinstance(window_shape, tuple | list) else (window_shape,)
    axes = normalize_axes(axis, x.ndim)
    if writeable or len(widths) != len(axes):
        raise TypeError(f"sliding_window_view on {xp.__name__} is read, a width for each axis")
    for i, width in zip(axes, widths, strict=True):
        if not 0 <= width <= x.shape[i]:
            raise ValueError("window shape cannot be larger than input array shape")
        starts = np.arange(x.shape[i] - width + 1)
        x = xp.moveaxis(_take(xp, x, starts[:, None] + np.arange(width), i), i + 1, -1)
    return x


@_does(np.rollaxis)
def _rollaxis(xp: Any, a: Any, axis: int, start: int = 0) -> Any:
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return xp.moveaxis(a, axis, start - 1 if start > axis else start)


@_does(np.column_stack)
def _column_stack(xp: Any, tup: Any) -> Any:
    return xp.concat([xp.reshape(a, (-1, 1)) if a.ndim == 1 else a for a in tup], axis=1)


# --- sets and counts ----------------------------------------------------------------------


@_does(np.isin, getattr(np, "in1d", None))
def _isin(
    xp: Any, element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False,
    *, kind: Any = None,
) -> Any:  # fmt: skip
    like = next(filter(_held, (element, test_elements)))
    element, tested = _array(xp, element, like), _flat(xp, _array(xp, test_elements, like))
    kinds = xp.result_type(element, tested)
    element, tested = xp.astype(element, kinds), xp.sort(xp.astype(tested, kinds))
    found = _no(xp, element)
    if tested.shape[0]:
        flat = _flat(xp, element)
        at = xp.clip(xp.searchsorted(tested, flat), 0, tested.shape[0] - 1)
        found = xp.reshape(xp.take(tested, at) == flat, element.shape)
    return xp.logical_not(found) if invert else found


@_does(np.union1d)
def _union1d(xp: Any, ar1: Any, ar2: Any) -> Any:
    like = next(filter(_held, (ar1, ar2)))
    parts = [_flat(xp, _array(xp, a, like)) for a in (ar1, ar2)]
    kind = xp.result_type(*parts)
    return xp.sort(xp.unique_values(xp.concat([xp.astype(p, kind) for p in parts])))


@_does(np.setdiff1d)
def _setdiff1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(_held, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2, invert=True)]


@_does(np.intersect1d)
def _intersect1d(
    xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise TypeError(f"intersect1d on {xp.__name__} has no return_indices")
    like = next(filter(_held, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2)]


@_does(np.setxor1d)
def _setxor1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(_held, (ar1, ar2)))
    ar1, ar2 = _array(xp, ar1, like), _array(xp, ar2, like)
    return _union1d(xp, _setdiff1d(xp, ar1, ar2), _setdiff1d(xp, ar2, ar1))


@_does(np.histogram)
def _histogram(
    xp: Any, a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if weights is not None or isinstance(bins, str):
        raise TypeError(f"histogram on {xp.__name__} takes no weights, and no rule for the bins")
    flat = to_floating(xp, _flat(xp, a))
    if np.ndim(bins) == 0 and range is None:
        range = (float(xp.min(flat)), float(xp.max(flat)))
    edges = _array(xp, np.histogram_bin_edges(np.empty(0), bins, range), a, flat.dtype)
    ordered = xp.sort(flat)
    left = xp.searchsorted(ordered, edges[:-1], side="left")
    last = xp.searchsorted(ordered, edges[-1:], side="right")
    ends = xp.concat([left, last])
    counts = ends[1:] - ends[:-1]
    if density:
        parts = xp.astype(counts, flat.dtype)
        return parts / (edges[1:] - edges[:-1]) / xp.sum(parts), edges
    return counts, edges


# --- products -----------------------------------------------------------------------------


@_does(np.einsum)
def _einsum(xp: Any, subscripts: Any, *operands: Any, **options: Any) -> Any:
    run = getattr(xp, "einsum", None)
    if run is None or not isinstance(subscripts, str) or options.keys() - {"optimize"}:
        raise TypeError(f"{xp.__name__} has no such einsum: use .to('numpy') first")
    return run(subscripts, *operands)


@_does(np.vdot)
def _vdot(xp: Any, a: Any, b: Any) -> Any:
    a, b = _flat(xp, a), _flat(xp, b)
    return xp.sum((xp.conj(a) if xp.isdtype(a.dtype, "complex floating") else a) * b)


@_does(np.linalg.multi_dot)
def _multi_dot(xp: Any, arrays: Any, *, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"multi_dot on {xp.__name__} takes no out")
    return functools.reduce(xp.matmul, arrays)


@_does(np.kron)
def _kron(xp: Any, a: Any, b: Any) -> Any:
    n = max(a.ndim, b.ndim)
    a, b = (xp.reshape(x, (1,) * (n - x.ndim) + tuple(x.shape)) for x in (a, b))
    shape = tuple([p * q for p, q in zip(a.shape, b.shape, strict=True)])
    left = xp.reshape(a, tuple([m for p in a.shape for m in (p, 1)]))
    right = xp.reshape(b, tuple([m for p in b.shape for m in (1, p)]))
    return xp.reshape(left * right, shape)


@_does(np.cross)
def _cross(
    xp: Any, a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = xp.moveaxis(a, axisa, -1), xp.moveaxis(b, axisb, -1)
    if (a.shape[-1], b.shape[-1]) != (3, 3):
        raise TypeError(f"cross on {xp.__name__} is of vectors of 3 alone")
    a, b = xp.broadcast_arrays(a, b)
    return xp.moveaxis(xp.linalg.cross(a, b, axis=-1), -1, axisc)


# --- indices, in place, questions ---------------------------------------------------------


def _host_indices(func: Any) -> Callable[..., Any]:
    def indices(xp: Any, arr: Any, *args: Any, **options: Any) -> Any:
        found = func(np.broadcast_to(0, arr.shape), *args, **options)
        return tuple([_array(xp, np.ascontiguousarray(i), arr) for i in found])

    return indices


for _func in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from):
    VALUES[_func] = _host_indices(_func)


@_does(np.copyto)
def _copyto(xp: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    src = _array(xp, src, dst)
    if casting != "unsafe" and not xp.can_cast(src, dst.dtype) and not _is_floating(xp, dst):
        raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} according to {casting!r}")
    src = xp.broadcast_to(xp.astype(src, dst.dtype), dst.shape)
    dst[...] = src if where is True else xp.where(where, src, dst)


@_does(np.putmask)
def _putmask(xp: Any, a: Any, /, mask: Any, values: Any) -> None:
    if math.prod(np.shape(values)) != 1 and np.shape(values) != tuple(a.shape):
        raise TypeError(f"putmask on {xp.__name__} takes one value, or values of the array's shape")
    values = xp.reshape(_array(xp, values, a), np.shape(values) or (1,) * a.ndim)
    _copyto(xp, a, values, "unsafe", mask)


@_does(np.result_type)
def _result_type(xp: Any, *arrays_and_dtypes: Any) -> Any:
    return xp.result_type(*[to_dtype(xp, a) if isinstance(a, type | str | np.dtype) else a
                            for a in arrays_and_dtypes])  # fmt: skip


@_does(np.array_equiv)
def _array_equiv(xp: Any, a1: Any, a2: Any) -> bool:
    try:
        np.broadcast_shapes(tuple(a1.shape), tuple(a2.shape))
    except ValueError:
        return False
    return bool(xp.all(a1 == a2))


VALUES.pop(None, None)
