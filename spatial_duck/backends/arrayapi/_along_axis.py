"""NumPy's functions along an axis, and of sets and counts, made of those that the array API has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from spatial_duck.backends.arrayapi._tools import (
    all_false,
    flatten,
    implements,
    is_library_array,
    slice_keys,
    to_array,
    to_floating,
)
from spatial_duck.geometry._numbering import as_tuple, normalize_axes, normalize_axis
from spatial_duck.rules._bind import NO_VALUE

__all__: list[str] = []


@implements(np.gradient)
def _gradient(xp: Any, f: Any, *varargs: Any, axis: Any = None, edge_order: int = 1) -> Any:
    axes = normalize_axes(axis, f.ndim)
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if edge_order != 1 or len(steps) != len(axes) or any(np.ndim(s) for s in steps):
        raise TypeError(f"gradient on {xp.__name__} takes a number for each axis, edge_order=1")
    f = to_floating(xp, f)
    found = []
    for i, step in zip(axes, steps, strict=True):
        first, second, left, right, late, last = slice_keys(
            f.ndim, i, slice(0, 1), slice(1, 2), slice(None, -2), slice(2, None), slice(-2, -1),
            slice(-1, None),
        )  # fmt: skip
        inner = (f[right] - f[left]) / (2.0 * step)
        edges = (f[second] - f[first]) / step, (f[last] - f[late]) / step
        found.append(xp.concat([edges[0], inner, edges[1]], axis=i))
    return found[0] if len(axes) == 1 else tuple(found)


@implements(np.partition)
def _partition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    """Sort, which is a partition at every place."""
    return xp.sort(flatten(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@implements(np.argpartition)
def _argpartition(xp: Any, a: Any, kth: Any, axis: Any = -1, **_: Any) -> Any:
    return xp.argsort(flatten(xp, a) if axis is None else a, axis=-1 if axis is None else axis)


@implements(np.append)
def _append(xp: Any, arr: Any, values: Any, axis: Any = None) -> Any:
    like = arr if is_library_array(arr) else values
    arr, values = to_array(xp, arr, like), to_array(xp, values, like)
    if axis is None:
        arr, values, axis = flatten(xp, arr), flatten(xp, values), 0
    return xp.concat([arr, values], axis=normalize_axis(axis, arr.ndim))


@implements(np.diff)
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


@implements(np.repeat)
def _repeat(xp: Any, a: Any, repeats: Any, axis: Any = None) -> Any:
    if not isinstance(repeats, int):
        repeats = to_array(xp, repeats, a)
    return xp.repeat(flatten(xp, a) if axis is None else a, repeats, axis=axis or 0)


@implements(np.take)
def _take(
    xp: Any, a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise"
) -> Any:
    if out is not None or mode != "raise":
        raise TypeError(f"take on {xp.__name__} takes no out and no mode")
    a, axis = (flatten(xp, a), 0) if axis is None else (a, normalize_axis(axis, a.ndim))
    n, given = a.shape[axis], np.shape(indices)
    if not is_library_array(indices):
        numbers = np.ravel(indices)
        if numbers.size and not -n <= numbers.min() <= numbers.max() < n:
            raise IndexError(f"index out of bounds for axis {axis} with size {n}")
        flat = numbers % max(n, 1)
        if xp.__name__ != "sparse":  # which indexes by NumPy's arrays alone
            flat = to_array(xp, flat, a, xp.int64)
    else:
        flat = flatten(xp, indices)
    found = xp.take(a, flat, axis=axis)
    return xp.reshape(found, tuple(a.shape[:axis]) + given + tuple(a.shape[axis + 1 :]))


@implements(np.take_along_axis)
def _take_along_axis(xp: Any, arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = flatten(xp, arr), 0
    return xp.take_along_axis(arr, xp.astype(to_array(xp, indices, arr), xp.int64), axis=axis)


@implements(np.compress)
def _compress(xp: Any, condition: Any, a: Any, axis: Any = None, out: Any = None) -> Any:
    if is_library_array(condition):
        raise TypeError(f"compress on {xp.__name__} takes a condition of NumPy or a list")
    return _take(xp, a, np.flatnonzero(condition), axis, out)


@implements(np.delete)
def _delete(xp: Any, arr: Any, obj: Any, axis: Any = None) -> Any:
    n = math.prod(arr.shape) if axis is None else arr.shape[axis]
    return _take(xp, arr, np.delete(np.arange(n), obj), axis)


@implements(np.lib.stride_tricks.sliding_window_view)
def _windows(
    xp: Any, x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False,
    writeable: bool = False,
) -> Any:  # fmt: skip
    """Copy the windows: the standard has no strides."""
    widths = as_tuple(window_shape)
    axes = normalize_axes(axis, x.ndim)
    if writeable or len(widths) != len(axes):
        raise TypeError(f"sliding_window_view on {xp.__name__} is read, a width for each axis")
    for i, width in zip(axes, widths, strict=True):
        if not 0 <= width <= x.shape[i]:
            raise ValueError("window shape cannot be larger than input array shape")
        starts = np.arange(x.shape[i] - width + 1)
        x = xp.moveaxis(_take(xp, x, starts[:, None] + np.arange(width), i), i + 1, -1)
    return x


@implements(np.rollaxis)
def _rollaxis(xp: Any, a: Any, axis: int, start: int = 0) -> Any:
    axis = normalize_axis(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return xp.moveaxis(a, axis, start - 1 if start > axis else start)


@implements(np.trapezoid, getattr(np, "trapz", None))
def _trapezoid(xp: Any, y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    axis = normalize_axis(axis, y.ndim)
    after, before = slice_keys(y.ndim, axis, slice(1, None), slice(None, -1))
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


# --- sets and counts ----------------------------------------------------------------------


@implements(np.isin)
def _isin(
    xp: Any, element: Any, test_elements: Any, assume_unique: bool = False, invert: bool = False,
    *, kind: Any = None,
) -> Any:  # fmt: skip
    like = next(filter(is_library_array, (element, test_elements)))
    element, tested = to_array(xp, element, like), flatten(xp, to_array(xp, test_elements, like))
    kinds = xp.result_type(element, tested)
    element, tested = xp.astype(element, kinds), xp.sort(xp.astype(tested, kinds))
    found = all_false(xp, element)
    if tested.shape[0]:
        flat = flatten(xp, element)
        at = xp.clip(xp.searchsorted(tested, flat), 0, tested.shape[0] - 1)
        found = xp.reshape(xp.take(tested, at) == flat, element.shape)
    return xp.logical_not(found) if invert else found


@implements(np.union1d)
def _union1d(xp: Any, ar1: Any, ar2: Any) -> Any:
    like = next(filter(is_library_array, (ar1, ar2)))
    parts = [flatten(xp, to_array(xp, a, like)) for a in (ar1, ar2)]
    kind = xp.result_type(*parts)
    return xp.sort(xp.unique_values(xp.concat([xp.astype(p, kind) for p in parts])))


@implements(np.setdiff1d)
def _setdiff1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(is_library_array, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(to_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2, invert=True)]


@implements(np.intersect1d)
def _intersect1d(
    xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise TypeError(f"intersect1d on {xp.__name__} has no return_indices")
    like = next(filter(is_library_array, (ar1, ar2)))
    ar1 = xp.sort(xp.unique_values(to_array(xp, ar1, like)))
    return ar1[_isin(xp, ar1, ar2)]


@implements(np.setxor1d)
def _setxor1d(xp: Any, ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    like = next(filter(is_library_array, (ar1, ar2)))
    ar1, ar2 = to_array(xp, ar1, like), to_array(xp, ar2, like)
    return _union1d(xp, _setdiff1d(xp, ar1, ar2), _setdiff1d(xp, ar2, ar1))


@implements(np.unique)
def _unique(xp: Any, ar: Any, **options: Any) -> Any:
    if any(v for k, v in options.items() if k not in ("equal_nan", "sorted")):
        raise TypeError(f"unique on {xp.__name__}: use numpy.unique_counts, unique_inverse or _all")
    return xp.sort(xp.unique_values(ar))


@implements(np.digitize)
def _digitize(xp: Any, x: Any, bins: Any, right: bool = False) -> Any:
    bins = to_array(xp, bins, x, x.dtype)
    if bins.shape[0] > 1 and bool(xp.any(bins[1:] < bins[:-1])):
        raise TypeError(f"digitize on {xp.__name__} takes bins that increase")
    side = "left" if right else "right"
    return xp.reshape(xp.searchsorted(bins, flatten(xp, x), side=side), x.shape)


@implements(np.interp)
def _interp(
    library: Any, x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    if period is not None:
        raise TypeError(f"interp on {library.__name__} has no period")
    like = next(filter(is_library_array, (x, xp, fp)))
    x, xp, fp = (to_floating(library, to_array(library, a, like)) for a in (x, xp, fp))
    kind = library.result_type(x, xp, fp)
    x, xp, fp = (library.astype(a, kind) for a in (x, xp, fp))
    flat, n = flatten(library, x), xp.shape[0]
    if n < 2:
        raise TypeError(f"interp on {library.__name__} takes two points or more")
    i = library.clip(library.searchsorted(xp, flat, side="right") - 1, 0, n - 2)
    x0, y0 = library.take(xp, i), library.take(fp, i)
    slope = (library.take(fp, i + 1) - y0) / (library.take(xp, i + 1) - x0)
    found = slope * (flat - x0) + y0
    ends = [
        (flat < xp[0], fp[0] if left is None else left),
        (flat > xp[n - 1], fp[n - 1] if right is None else right),
        (flat == xp[n - 1], fp[n - 1]),
    ]
    for where, value in ends:
        found = library.where(where, to_array(library, value, like, kind), found)
    return library.reshape(found, x.shape)


@implements(np.histogram)
def _histogram(
    xp: Any, a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if weights is not None or isinstance(bins, str):
        raise TypeError(f"histogram on {xp.__name__} takes no weights, and no rule for the bins")
    flat = to_floating(xp, flatten(xp, a))
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
