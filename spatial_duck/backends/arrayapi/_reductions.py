"""NumPy's reductions and products that the array API lacks, made of those that it has."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends.arrayapi._tools import (
    flatten,
    implements,
    is_floating,
    is_library_array,
    reduction_options,
    to_array,
    to_dtype,
    to_floating,
    without_nan,
)
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []


@implements(np.ptp)
def _ptp(xp: Any, a: Any, axis: Any = None, keepdims: Any = False) -> Any:
    return xp.max(a, **reduction_options(axis, keepdims)) - xp.min(
        a, **reduction_options(axis, keepdims)
    )


@implements(np.average)
def _average(
    xp: Any, a: Any, axis: Any = None, weights: Any = None, returned: bool = False, *,
    keepdims: Any = False,
) -> Any:  # fmt: skip
    how = reduction_options(axis, keepdims)
    a = to_floating(xp, a)
    if weights is None:
        found = xp.mean(a, **how)
        count = math.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)])
        return (found, xp.full_like(found, float(count))) if returned else found
    weights = to_floating(xp, to_array(xp, weights, a))
    if weights.ndim == 1 and a.ndim > 1:
        at = normalize_axis(axis, a.ndim)
        weights = xp.reshape(weights, tuple([-1 if i == at else 1 for i in range(a.ndim)]))
    weights = xp.broadcast_to(weights, a.shape)
    whole = xp.sum(weights, **how)
    found = xp.sum(a * weights, **how) / whole
    return (found, whole) if returned else found


# --- without NaN --------------------------------------------------------------------------


def _nan_total(name: str, neutral: float) -> Callable[..., Any]:
    def total(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        return getattr(xp, name)(without_nan(xp, a, neutral), **reduction_options(axis, keepdims))

    return total


def _nan_running(name: str, neutral: float) -> Callable[..., Any]:
    def running(xp: Any, a: Any, axis: Any = None, dtype: Any = None) -> Any:
        a = without_nan(xp, a, neutral)
        a, axis = (flatten(xp, a), 0) if axis is None else (a, axis)
        return getattr(xp, name)(a, axis=axis, dtype=dtype and to_dtype(xp, dtype))

    return running


def _nan_extreme(name: str, value: float) -> Callable[..., Any]:
    def extreme(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        how = reduction_options(axis, keepdims)
        found = getattr(xp, name)(without_nan(xp, a, value), **how)
        if not is_floating(xp, a):
            return found
        return xp.where(xp.all(xp.isnan(a), **how), xp.full_like(found, math.nan), found)

    return extreme


def _nan_index(name: str, value: float) -> Callable[..., Any]:
    def index(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
        if is_floating(xp, a) and bool(xp.any(xp.all(xp.isnan(a), axis=axis))):
            raise ValueError("All-NaN slice encountered")
        return getattr(xp, name)(without_nan(xp, a, value), **reduction_options(axis, keepdims))

    return index


implements(np.nansum)(_nan_total("sum", 0.0))
implements(np.nanprod)(_nan_total("prod", 1.0))
implements(np.nancumsum)(_nan_running("cumulative_sum", 0.0))
implements(np.nancumprod)(_nan_running("cumulative_prod", 1.0))
implements(np.nanmax)(_nan_extreme("max", -math.inf))
implements(np.nanmin)(_nan_extreme("min", math.inf))
implements(np.nanargmax)(_nan_index("argmax", -math.inf))
implements(np.nanargmin)(_nan_index("argmin", math.inf))


@implements(np.nanmean)
def _nanmean(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    how = reduction_options(axis, keepdims)
    a = to_floating(xp, a)
    known = xp.astype(xp.logical_not(xp.isnan(a)), a.dtype)
    return xp.sum(without_nan(xp, a, 0.0), **how) / xp.sum(known, **how)


@implements(np.nanvar)
def _nanvar(xp: Any, a: Any, axis: Any = None, *, ddof: Any = 0, keepdims: Any = False) -> Any:
    how = reduction_options(axis, keepdims)
    a = to_floating(xp, a)
    known = xp.astype(xp.logical_not(xp.isnan(a)), a.dtype)
    squares = (a - _nanmean(xp, a, axis, keepdims=True)) ** 2
    squares = xp.where(xp.isnan(a), xp.zeros_like(a), squares)
    return xp.sum(squares, **how) / (xp.sum(known, **how) - ddof)


@implements(np.nanstd)
def _nanstd(xp: Any, a: Any, axis: Any = None, **options: Any) -> Any:
    return xp.sqrt(_nanvar(xp, a, axis, **options))


# --- quantiles ----------------------------------------------------------------------------


def _sorted_lines(xp: Any, a: Any, axis: Any, keepdims: Any) -> tuple[Any, Any, tuple[int, ...]]:
    """Return the values sorted along a last axis, where one is NaN, and the shape without it."""
    axes = normalize_axes(axis, a.ndim)
    order = [i for i in range(a.ndim) if i not in axes]
    kept = tuple([a.shape[i] for i in order])
    count = math.prod([a.shape[i] for i in axes])
    lines = xp.permute_dims(to_floating(xp, a), (*order, *axes))
    lines = xp.sort(xp.reshape(lines, (*kept, count)), axis=-1)
    shape = tuple([1 if i in axes else n for i, n in enumerate(a.shape)])
    return lines, xp.any(xp.isnan(lines), axis=-1), shape if keepdims else kept


@implements(np.median)
def _median(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    lines, unknown, shape = _sorted_lines(xp, a, axis, keepdims)
    n = lines.shape[-1]
    middle = xp.mean(lines[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    return xp.reshape(xp.where(unknown, xp.full_like(middle, math.nan), middle), shape)


@implements(np.quantile)
def _quantile(
    xp: Any, a: Any, q: Any, axis: Any = None, out: Any = None, overwrite_input: bool = False,
    method: str = "linear", keepdims: Any = False,
) -> Any:  # fmt: skip
    if out is not None or method != "linear" or is_library_array(q):
        raise TypeError(f"quantile on {xp.__name__} is linear, of numbers, and takes no out")
    lines, unknown, shape = _sorted_lines(xp, a, axis, keepdims)
    n = lines.shape[-1]
    found = []
    for part in np.ravel(q).tolist():
        at = part * (n - 1)
        low = min(math.floor(at), max(n - 2, 0))
        first, second = lines[..., low], lines[..., min(low + 1, n - 1)]
        value = first + (second - first) * (at - low)
        value = xp.where(unknown, xp.full_like(value, math.nan), value)
        found.append(xp.reshape(value, shape))
    return xp.reshape(xp.stack(found), (*np.shape(q), *shape)) if np.ndim(q) else found[0]


@implements(np.percentile)
def _percentile(xp: Any, a: Any, q: Any, *args: Any, **options: Any) -> Any:
    if is_library_array(q):
        raise TypeError(f"percentile on {xp.__name__} is of numbers")
    return _quantile(xp, a, (np.asarray(q) / 100).tolist(), *args, **options)


# --- norms and products -------------------------------------------------------------------


@implements(np.linalg.norm)
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


@implements(np.diagonal)
def _diagonal(xp: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return xp.linalg.diagonal(xp.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset)


@implements(np.trace)
def _trace(
    xp: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Any:
    moved = xp.moveaxis(a, (axis1, axis2), (-2, -1))
    return xp.linalg.trace(moved, offset=offset, dtype=dtype and to_dtype(xp, dtype))


def _arrays_of(xp: Any, *values: Any) -> list[Any]:
    """Make arrays of numbers, as NumPy's products do; arrays stay."""
    return [x if hasattr(x, "shape") and np.ndim(x) else xp.asarray(x) for x in values]


@implements(np.dot)
def _dot(xp: Any, a: Any, b: Any) -> Any:
    a, b = _arrays_of(xp, a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


@implements(np.inner)
def _inner(xp: Any, a: Any, b: Any) -> Any:
    a, b = _arrays_of(xp, a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


@implements(np.outer)
def _outer(xp: Any, a: Any, b: Any) -> Any:
    a, b = [flatten(xp, x) for x in _arrays_of(xp, a, b)]
    return a[:, None] * b[None, :]


@implements(np.linalg.qr)
def _qr(xp: Any, a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise TypeError(f"numpy.linalg.qr on {xp.__name__} has no mode {mode!r}")
    found = xp.linalg.qr(to_floating(xp, a), mode="reduced" if mode == "r" else mode)
    return found[1] if mode == "r" else found


@implements(np.einsum)
def _einsum(xp: Any, subscripts: Any, *operands: Any, **options: Any) -> Any:
    run = getattr(xp, "einsum", None)
    if run is None or not isinstance(subscripts, str) or options.keys() - {"optimize"}:
        raise TypeError(f"{xp.__name__} has no such einsum: use .to('numpy') first")
    return run(subscripts, *operands)


@implements(np.vdot)
def _vdot(xp: Any, a: Any, b: Any) -> Any:
    a, b = flatten(xp, a), flatten(xp, b)
    return xp.sum((xp.conj(a) if xp.isdtype(a.dtype, "complex floating") else a) * b)


@implements(np.linalg.multi_dot)
def _multi_dot(xp: Any, arrays: Any, *, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"multi_dot on {xp.__name__} takes no out")
    return functools.reduce(xp.matmul, arrays)


@implements(np.kron)
def _kron(xp: Any, a: Any, b: Any) -> Any:
    a, b = _arrays_of(xp, a, b)
    n = max(a.ndim, b.ndim)
    a, b = (xp.reshape(x, (1,) * (n - x.ndim) + tuple(x.shape)) for x in (a, b))
    shape = tuple([p * q for p, q in zip(a.shape, b.shape, strict=True)])
    left = xp.reshape(a, tuple([m for p in a.shape for m in (p, 1)]))
    right = xp.reshape(b, tuple([m for p in b.shape for m in (1, p)]))
    return xp.reshape(left * right, shape)


@implements(np.cross)
def _cross(
    xp: Any, a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    like = a if is_library_array(a) else b
    a, b = to_array(xp, a, like), to_array(xp, b, like)
    a, b = xp.moveaxis(a, axisa, -1), xp.moveaxis(b, axisb, -1)
    if (a.shape[-1], b.shape[-1]) != (3, 3):
        raise TypeError(f"cross on {xp.__name__} is of vectors of 3 alone")
    a, b = xp.broadcast_arrays(a, b)
    return xp.moveaxis(xp.linalg.cross(a, b, axis=-1), -1, axisc)
