"""More of NumPy's functions, made of the array API's: along an axis, sets, products and indices.

As in `arrayapi_functions`, each takes the namespace first, and parameters of NumPy's that change
nothing here.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends.arrayapi._elementwise import (
    VALUES,
    does,
    flat_of,
    held,
    is_floating,
    no,
    slices,
    to_array,
)
from spatial_duck.backends.arrayapi._functions import arrays_of, to_dtype, to_floating
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis
from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["VALUES"]


# --- along an axis ------------------------------------------------------------------------


@does(np.gradient)
def _gradient(xp: Any, f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = normalize_axes(axis, f.ndim)
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if edge_order != 1 or len(steps) != len(axes) or any(np.ndim(s) for s in steps):
        raise TypeError(f"gradient on {xp.__name__} takes a number for each axis, edge_order=1")
    f = to_floating(xp, f)
    found = []
    for i, step in zip(axes, steps, strict=True):
        first, second, left, right, late, last = slices(
            f.ndim, i, slice(0, 1), slice(1, 2), slice(None, -2), slice(2, None), slice(-2, -1),
            slice(-1, None),
        )  # fmt: skip
        inner = (f[right] - f[left]) / (2.0 * step)
        edges = (f[second] - f[first]) / step, (f[last] - f[late]) / step
        found.append(xp.concat([edges[0], inner, edges[1]], axis=i))
    return found[0] if len(axes) == 1 else tuple(found)


@does(np.partition)
def _partition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    """Sort, which is a partition at every place."""
    return xp.sort(flat_of(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@does(np.argpartition)
def _argpartition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    return xp.argsort(flat_of(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@does(np.append)
def _append(xp: Any, arr: Any, values: Any, axis: Any = None) -> Any:
    like = arr if held(arr) else values
    arr, values = to_array(xp, arr, like), to_array(xp, values, like)
    if axis is None:
        arr, values, axis = flat_of(xp, arr), flat_of(xp, values), 0
    return xp.concat([arr, values], axis=normalize_axis(axis, arr.ndim))


@does(np.diff)
def _diff(
    xp: Any, a: Any, n: int = 1, axis: int = -1, prepend: Any = NO_VALUE, append: Any = NO_VALUE
) -> Any:
    axis = normalize_axis(axis, a.ndim)
    ends: list[Any] = []
    for value in (prepend, append):
        end = None
        if value is not None and value is not NO_VALUE:
            end = to_array(xp, value, a)
            if end.ndim == 0:
                end = xp.broadcast_to(end, (*a.shape[:axis], 1, *a.shape[axis + 1 :]))
        ends.append(end)
    return xp.diff(a, axis=axis, n=n, prepend=ends[0], append=ends[1])


@does(np.repeat)
def _repeat(xp: Any, a: Any, repeats: Any, axis: Any = None) -> Any:
    if not isinstance(repeats, int):
        repeats = to_array(xp, repeats, a)
    return xp.repeat(flat_of(xp, a) if axis is None else a, repeats, axis=axis or 0)


@does(np.take)
def _take(
    xp: Any, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise"
) -> Any:
    if out is not None or mode != "raise":
        raise TypeError(f"take on {xp.__name__} takes no out and no mode")
    a, axis = (flat_of(xp, a), 0) if axis is None else (a, normalize_axis(axis, a.ndim))
    n, given = a.shape[axis], np.shape(indices)
    if not held(indices):
        numbers = np.ravel(indices)
        if numbers.size and not -n <= numbers.min() <= numbers.max() < n:
            raise IndexError(f"index out of bounds for axis {axis} with size {n}")
        flat = numbers % max(n, 1)
        if xp.__name__ != "sparse":  # which indexes by NumPy's arrays alone
            flat = to_array(xp, flat, a, xp.int64)
    else:
        flat = flat_of(xp, indices)
    found = xp.take(a, flat, axis=axis)
    return xp.reshape(found, tuple(a.shape[:axis]) + given + tuple(a.shape[axis + 1 :]))


@does(np.take_along_axis)
def _take_along_axis(xp: Any, arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = flat_of(xp, arr), 0
    return xp.take_along_axis(arr, xp.astype(to_array(xp, indices, arr), xp.int64), axis=axis)


@does(np.compress)
def _compress(xp: Any, condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    if held(condition):
        raise TypeError(f"compress on {xp.__name__} takes a condition of NumPy or a list")
    return _take(xp, a, np.flatnonzero(condition), axis, out)


@does(np.delete)
def _delete(xp: Any, arr: Any, obj: Any, axis: Any = None) -> Any:
    n = math.prod(arr.shape) if axis is None else arr.shape[axis]
    return _take(xp, arr, np.delete(np.arange(n), obj), axis)


@does(np.lib.stride_tricks.sliding_window_view)
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


@does(np.rollaxis)
def _rollaxis(xp: Any, a: Any, axis: int, start: int = 0) -> Any:
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return xp.moveaxis(a, axis, start - 1 if start > axis else start)


@does(np.column_stack)
def _column_stack(xp: Any, tup: Any) -> Any:
    return xp.concat([xp.reshape(a, (-1, 1)) if a.ndim == 1 else a for a in tup], axis=1)


# --- sets and counts ----------------------------------------------------------------------


@does(np.isin, getattr(np, "in1d", None))
def _isin(
    xp: Any, element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False,
    *, kind: Any = None,
) -> Any:  # fmt: skip
    like = next(filter(held, (element, test_elements)))
    element, tested = to_array(xp, element, like), flat_of(xp, to_array(xp, test_elements, like))
    kinds = xp.result_type(element, tested)
    element, tested = xp.astype(element, kinds), xp.sort(xp.astype(tested, kinds))
    found = no(xp, element)
    if tested.shape[0]:
        flat = flat_of(xp, element)
        at = xp.clip(xp.searchsorted(tested, flat), 0, tested.shape[0] - 1)
        found = xp.reshape(xp.take(tested, at) == flat, element.shape)
    return xp.logical_not(found) if invert else found


@does(np.union1d)
def _union1d(xp: Any, ar1: Any, ar2: Any) -> Any:
    like = next(filter(held, (ar1, ar2)))
    parts = [flat_of(xp, to_array(xp, a, like)) for a in (ar1, ar2)]
    kind = xp.result_type(*parts)
    return xp.sort(xp.unique_values(xp.concat([xp.astype(p, kind) for p in parts])))


@does(np.setdiff1d)
def _setdiff1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(held, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(to_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2, invert=True)]


@does(np.intersect1d)
def _intersect1d(
    xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise TypeError(f"intersect1d on {xp.__name__} has no return_indices")
    like = next(filter(held, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(to_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2)]


@does(np.setxor1d)
def _setxor1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(held, (ar1, ar2)))
    ar1, ar2 = to_array(xp, ar1, like), to_array(xp, ar2, like)
    return _union1d(xp, _setdiff1d(xp, ar1, ar2), _setdiff1d(xp, ar2, ar1))


@does(np.histogram)
def _histogram(
    xp: Any, a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if weights is not None or isinstance(bins, str):
        raise TypeError(f"histogram on {xp.__name__} takes no weights, and no rule for the bins")
    flat = to_floating(xp, flat_of(xp, a))
    if np.ndim(bins) == 0 and range is None:
        range = (float(xp.min(flat)), float(xp.max(flat)))
    edges = to_array(xp, np.histogram_bin_edges(np.empty(0), bins, range), a, flat.dtype)
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


@does(np.einsum)
def _einsum(xp: Any, subscripts: Any, *operands: Any, **options: Any) -> Any:
    run = getattr(xp, "einsum", None)
    if run is None or not isinstance(subscripts, str) or options.keys() - {"optimize"}:
        raise TypeError(f"{xp.__name__} has no such einsum: use .to('numpy') first")
    return run(subscripts, *operands)


@does(np.vdot)
def _vdot(xp: Any, a: Any, b: Any) -> Any:
    a, b = flat_of(xp, a), flat_of(xp, b)
    return xp.sum((xp.conj(a) if xp.isdtype(a.dtype, "complex floating") else a) * b)


@does(np.linalg.multi_dot)
def _multi_dot(xp: Any, arrays: Any, *, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"multi_dot on {xp.__name__} takes no out")
    return functools.reduce(xp.matmul, arrays)


@does(np.kron)
def _kron(xp: Any, a: Any, b: Any) -> Any:
    a, b = arrays_of(xp, a, b)
    n = max(a.ndim, b.ndim)
    a, b = (xp.reshape(x, (1,) * (n - x.ndim) + tuple(x.shape)) for x in (a, b))
    shape = tuple([p * q for p, q in zip(a.shape, b.shape, strict=True)])
    left = xp.reshape(a, tuple([m for p in a.shape for m in (p, 1)]))
    right = xp.reshape(b, tuple([m for p in b.shape for m in (1, p)]))
    return xp.reshape(left * right, shape)


@does(np.cross)
def _cross(
    xp: Any, a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: Any = None
) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    like = a if held(a) else b
    a, b = to_array(xp, a, like), to_array(xp, b, like)
    a, b = xp.moveaxis(a, axisa, -1), xp.moveaxis(b, axisb, -1)
    if (a.shape[-1], b.shape[-1]) != (3, 3):
        raise TypeError(f"cross on {xp.__name__} is of vectors of 3 alone")
    a, b = xp.broadcast_arrays(a, b)
    return xp.moveaxis(xp.linalg.cross(a, b, axis=-1), -1, axisc)


# --- indices, in place, questions ---------------------------------------------------------


def _host_indices(func: Any) -> Callable[..., Any]:
    def indices(xp: Any, arr: Any, *args: Any, **options: Any) -> Any:
        found = func(np.broadcast_to(0, arr.shape), *args, **options)
        return tuple([to_array(xp, np.ascontiguousarray(i), arr) for i in found])

    return indices


for _func in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from):
    VALUES[_func] = _host_indices(_func)


@does(np.copyto)
def _copyto(xp: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    src = to_array(xp, src, dst)
    if casting != "unsafe" and not xp.can_cast(src, dst.dtype) and not is_floating(xp, dst):
        raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} according to {casting!r}")
    src = xp.broadcast_to(xp.astype(src, dst.dtype), dst.shape)
    dst[...] = src if where is True else xp.where(where, src, dst)


@does(np.putmask)
def _putmask(xp: Any, a: Any, /, mask: Any, values: Any) -> None:
    if math.prod(np.shape(values)) != 1 and np.shape(values) != tuple(a.shape):
        raise TypeError(f"putmask on {xp.__name__} takes one value, or values of the array's shape")
    values = xp.reshape(to_array(xp, values, a), np.shape(values) or (1,) * a.ndim)
    _copyto(xp, a, values, "unsafe", mask)


@does(np.result_type)
def _result_type(xp: Any, *arrays_and_dtypes: Any) -> Any:
    return xp.result_type(*[to_dtype(xp, a) if isinstance(a, type | str | np.dtype) else a
                            for a in arrays_and_dtypes])  # fmt: skip


@does(np.array_equiv)
def _array_equiv(xp: Any, a1: Any, a2: Any) -> bool:
    try:
        np.broadcast_shapes(tuple(a1.shape), tuple(a2.shape))
    except ValueError:
        return False
    return bool(xp.all(a1 == a2))
