"""NumPy's functions that Dask lacks, made lazily of those that it has.

Those along one axis, of matrices and of new arrays have modules of their own; these are formulas,
or run block by block. `REASONS` says of what is not there why not, and what to do.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
from numpy.lib import recfunctions
from numpy.polynomial import polynomial

from spatial_duck.backends._common import COMMON
from spatial_duck.backends.dask._along_axis import (
    FUNCTIONS,
    elementwise,
    elemwise,
    implements,
    is_lazy,
    sample_block,
)
from spatial_duck.backends.dask._creation import FUNCTIONS as _CREATION
from spatial_duck.backends.dask._linalg import FUNCTIONS as _MATRICES
from spatial_duck.backends.dask._private import meta_of
from spatial_duck.geometry._numbering import as_tuple, normalize_axis, swapped_axes
from spatial_duck.rules._bind import NO_VALUE
from spatial_duck.rules._moves import wrap_indices

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS", "REASONS"]

FUNCTIONS.update(COMMON | _MATRICES | _CREATION)

_IN_PLACE = "writes single voxels in place: compute first, or build a mask and use np.where"
_COMPUTE = "call .compute() first, or use map_blocks"
_TEXT = f"would have to compute the array to know how wide its result's text is: {_COMPUTE}"
_TYPE = f"would have to compute the array to know its result's type: {_COMPUTE}"
_ROOTS = (
    "would have to compute the array to know its result's type: use numpy's function of that name, "
    "on complex data where a value has no real result"
)
_MEMORY = "asks about memory, which lazy data have not got yet"
_SHOW = f"would have to compute the array to show it: {_COMPUTE}, or repr(image)"
#: Why Dask cannot have a function, by its name.
REASONS = {
    "place": _IN_PLACE, "put": _IN_PLACE, "put_along_axis": _IN_PLACE, "fill_diagonal": _IN_PLACE,
    "assign_fields_by_name": _IN_PLACE, "recursive_fill_fields": _IN_PLACE,
    "center": _TEXT, "ljust": _TEXT, "rjust": _TEXT, "zfill": _TEXT, "replace": _TEXT,
    "multiply": _TEXT, "mod": _TEXT, "expandtabs": _TEXT, "translate": _TEXT, "decode": _TEXT,
    "encode": _TEXT, "partition": _TEXT, "rpartition": _TEXT, "_join": _TEXT, "_split": _TEXT,
    "_rsplit": _TEXT, "_splitlines": _TEXT,
    "eig": f"{_TYPE}, or numpy.linalg.eigh where the matrices are symmetric",
    "eigvals": f"{_TYPE}, or numpy.linalg.eigvalsh where the matrices are symmetric",
    "real_if_close": f"{_TYPE}, or image.real",
    "roots": _TYPE, "sqrt": _ROOTS, "log": _ROOTS, "log2": _ROOTS, "log10": _ROOTS,
    "logn": _TYPE, "power": _ROOTS, "arccos": _ROOTS, "arcsin": _ROOTS, "arctanh": _ROOTS,
    "may_share_memory": _MEMORY, "shares_memory": _MEMORY,
    "array_str": _SHOW, "array_repr": _SHOW, "array2string": _SHOW,
    "trim_zeros": "would have to compute the array to know where it ends: slice it",
}  # fmt: skip


# --- by other functions -------------------------------------------------------------------


@implements("array_equal")
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    a1, a2 = da.asarray(a1), da.asarray(a2)
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    return ((same | ((a1 != a1) & (a2 != a2))) if equal_nan else same).all()


@implements("array_equiv")
def _array_equiv(a1: Any, a2: Any) -> Any:
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return (a1 == a2).all()


@implements("transpose")
def _transpose(a: Any, axes: Any = None) -> Any:
    return a.transpose() if axes is None else a.transpose(axes)


@implements("swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    return a.transpose(swapped_axes(axis1, axis2, a.ndim))


@implements("reshape")
def _reshape(a: Any, shape: Any, order: Any = "C", *, copy: Any = None) -> Any:
    if order not in ("C", "F") or copy is False:
        raise TypeError(
            f"numpy.reshape on Dask takes order 'C' or 'F', and may copy; got order={order!r}, "
            f"copy={copy!r}"
        )
    a = da.asarray(a)
    return a.reshape(shape) if order == "C" else a.T.reshape(shape[::-1]).T


def _along(a: Any, axis: int | None) -> tuple[Any, int]:
    """Return an array and the axis along which to go; all voxels as one line without an axis."""
    return (a.reshape(-1), 0) if axis is None else (a, normalize_axis(axis, a.ndim))


@implements("take")
def _take(a: Any, indices: Any, axis: Any = None, out: Any = None, mode: Any = "raise") -> Any:
    if out is not None or (mode != "raise" and is_lazy(indices)):
        raise TypeError("numpy.take on Dask takes no out=, and mode= with indices in memory alone")
    a, axis = _along(a, axis)
    if is_lazy(indices):
        return da.take(a, indices, axis)
    index = wrap_indices(np.asarray(indices), a.shape[axis], mode)
    if index.ndim < 2:
        return da.take(a, index if index.ndim else int(index), axis)
    found = da.take(a, index.ravel(), axis)
    return found.reshape((*a.shape[:axis], *index.shape, *a.shape[axis + 1 :]))


@implements("delete")
def _delete(arr: Any, obj: Any, axis: Any = None) -> Any:
    arr, axis = _along(arr, axis)
    if not isinstance(obj, slice) and not is_lazy(obj) and np.asarray(obj).dtype == bool:
        kept = np.delete(np.arange(arr.shape[axis]), obj)
        return da.take(arr, kept, axis)
    return da.delete(arr, obj, axis)


@implements("insert")
def _insert(arr: Any, obj: Any, values: Any, axis: Any = None) -> Any:
    arr, axis = _along(arr, axis)
    if not is_lazy(values):
        # NumPy casts to the array's type; Dask's takes the values' own, and neither lists nor
        # arrays in memory.
        values = np.asarray(values).astype(arr.dtype)
        if values.ndim:
            values = _inserted(arr, obj, values, axis)
    return da.insert(arr, obj, values, axis)


def _inserted(arr: Any, obj: Any, values: Any, axis: int) -> Any:
    """Return the values that `numpy.insert` puts into an array, in the shape that Dask wants."""
    others = [*arr.shape[:axis], *arr.shape[axis + 1 :]]
    if np.ndim(obj) == 0 and not isinstance(obj, slice):
        # NumPy broadcasts with the inserted axis in front; one line across it, without the axis.
        return da.asarray(np.broadcast_to(values, others))
    count = len(np.arange(arr.shape[axis])[obj]) if isinstance(obj, slice) else len(obj)
    return da.asarray(np.broadcast_to(values, (*others[:axis], count, *others[axis:])))


@implements("repeat")
def _repeat(a: Any, repeats: Any, axis: Any = None) -> Any:
    a, axis = _along(a, axis)
    if np.ndim(repeats) == 0 or is_lazy(repeats):
        return da.repeat(a, repeats, axis)
    return da.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@implements("clip")
def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *,
    min: Any = NO_VALUE, max: Any = NO_VALUE, **options: Any,
) -> Any:  # fmt: skip
    low, high = (a_min if min is NO_VALUE else min), (a_max if max is NO_VALUE else max)
    return da.clip(a, low, high, out=out, **options)


@implements("column_stack")
def _column_stack(tup: Any) -> Any:
    arrays = [da.asarray(a) for a in tup]
    return da.concatenate([a.reshape(-1, 1) if a.ndim < 2 else a for a in arrays], 1)


@implements("copyto")
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, da.Array):
        raise TypeError("numpy.copyto of Dask data needs an array to write to in Dask as well")
    kind = src.dtype if hasattr(src, "dtype") else np.result_type(src)
    if hasattr(src, "dtype") and not np.can_cast(kind, dst.dtype, casting):
        raise TypeError(f"Cannot cast {kind} to {dst.dtype} according to the rule {casting!r}")
    value = da.broadcast_to(da.asarray(src).astype(dst.dtype), dst.shape)
    dst[...] = value if where is True else da.where(where, value, dst)


@implements("putmask")
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    if np.size(values) != 1 and np.shape(values) != a.shape:
        raise TypeError("numpy.putmask on Dask takes one value, or values of the array's shape")
    _copyto(a, values, "unsafe", mask)


@implements("diagflat")
def _diagflat(v: Any, k: int = 0) -> Any:
    return da.diag(v.reshape(-1), k)


@implements("resize")
def _resize(a: Any, new_shape: Any) -> Any:
    shape = as_tuple(new_shape)
    size = int(np.prod(shape))
    flat = a.reshape(-1)
    repeats = -(-size // flat.shape[0]) if flat.shape[0] else 0
    if not repeats:
        return da.zeros_like(a, shape=shape)
    return da.concatenate([flat] * repeats)[:size].reshape(shape)


@implements("ix_")
def _ix(*args: Any) -> Any:
    if any(np.ndim(a) != 1 for a in args):
        raise ValueError("Cross index must be 1 dimensional")
    if any(str(getattr(a, "dtype", "")) == "bool" for a in args):
        raise TypeError("numpy.ix_ of masks would have to compute them: use data[mask]")
    n = len(args)
    return tuple(
        [da.asarray(a).reshape([-1 if i == j else 1 for j in range(n)]) for i, a in enumerate(args)]
    )


@implements("select")
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """Choose by conditions; Dask names every such result alike, so that two in one graph mix."""
    if len(condlist) != len(choicelist):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(condlist):
        raise ValueError("select with an empty condition list is not possible")
    kind = np.result_type(*[getattr(c, "dtype", c) for c in (*choicelist, default)])
    result = default
    for condition, choice in zip(condlist[::-1], choicelist[::-1], strict=True):
        if str(getattr(condition, "dtype", "bool")) != "bool":
            raise TypeError(f"select: conditions must be of bool, got {condition.dtype}")
        result = da.where(condition, choice, result)
    return result.astype(kind)


@implements("histogram_bin_edges")
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, **_: Any) -> Any:
    if isinstance(bins, str) or (np.ndim(bins) == 0 and range is None) or is_lazy((bins, range)):
        raise TypeError("numpy.histogram_bin_edges on Dask needs a number of bins and their range")
    return np.histogram_bin_edges(np.empty(0, a.dtype), bins, range)


@implements("histogram2d")
def _histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    """Count pairs of values; Dask wants both in the same chunks."""
    given = {"range": range, "density": density, "weights": weights}
    x, y, given = _beside(np.histogram2d, bins, given, x, y)
    return da.histogram2d(x, y, bins, **given)


@implements("histogramdd")
def _histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    given = {"range": range, "density": density, "weights": weights}
    if isinstance(sample, tuple | list):
        *lines, given = _beside(np.histogramdd, bins, given, *sample)
        return da.histogramdd(tuple(lines), bins, **given)
    lines, given = _beside(np.histogramdd, bins, given, da.asarray(sample).rechunk({1: -1}))
    return da.histogramdd(lines, bins, **given)


def _beside(func: Any, bins: Any, given: dict[str, Any], *lines: Any) -> Any:
    """Return lines of values in the chunks of the first, and the options with such weights."""
    numbers = np.ndim(bins) == 0 or any(np.ndim(b) == 0 for b in bins)
    if (numbers and given["range"] is None) or is_lazy((bins, given["range"])):
        raise TypeError(
            f"numpy.{func.__name__} on Dask needs the edges of the bins, or their number and range="
        )
    first = next(x for x in lines if isinstance(x, da.Array))
    lines = tuple([da.asarray(x).rechunk(first.chunks) for x in lines])
    if given["weights"] is not None:
        given["weights"] = da.asarray(given["weights"]).rechunk(first.chunks[:1])
    return *lines, given


@implements("union1d")
def _union1d(ar1: Any, ar2: Any) -> Any:
    return da.unique(da.concatenate([da.asarray(a).reshape(-1) for a in (ar1, ar2)]))


@implements("unique_values")
def _unique_values(x: Any, /) -> Any:
    return da.unique(x.reshape(-1))


def _unique_parts(name: str, *parts: str) -> Callable[..., Any]:
    """Make a function that returns the unique values and more of what `da.unique` can."""

    def run(x: Any, /) -> Any:
        values, *found = da.unique(x.reshape(-1), **{f"return_{part}": True for part in parts})
        whole = [f.reshape(x.shape) if p == "inverse" else f
                 for p, f in zip(parts, found, strict=True)]  # fmt: skip
        return type(getattr(np, name)(np.empty(0)))(values, *whole)

    return run


implements("unique_counts")(_unique_parts("unique_counts", "counts"))
implements("unique_inverse")(_unique_parts("unique_inverse", "inverse"))
implements("unique_all")(_unique_parts("unique_all", "index", "inverse", "counts"))


@implements("setdiff1d")
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    ar1, ar2 = da.asarray(ar1), da.asarray(ar2)
    ar1 = ar1.reshape(-1) if assume_unique else _unique_values(ar1)
    return ar1[~da.isin(ar1, ar2)]


@implements("intersect1d")
def _intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise TypeError("numpy.intersect1d on Dask has no return_indices")
    found = da.asarray(ar1).reshape(-1) if assume_unique else _unique_values(da.asarray(ar1))
    return found[da.isin(found, da.asarray(ar2))]


@implements("setxor1d")
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:  # noqa: ARG001
    return da.unique(da.concatenate([_setdiff1d(ar1, ar2), _setdiff1d(ar2, ar1)]))


# --- what types and shapes tell -----------------------------------------------------------


@implements("diag_indices_from")
def _diag_indices_from(arr: Any) -> Any:
    if arr.ndim < 2 or len(set(arr.shape)) != 1:
        raise ValueError("diag_indices_from needs 2 dimensions or more of equal length")
    return np.diag_indices(arr.shape[0], arr.ndim)


def _by_type(func: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return func(*[sample_block(a) if isinstance(a, da.Array) else a for a in args], **kwargs)

    return run


for _func in (np.common_type, np.min_scalar_type, np.can_cast):
    FUNCTIONS[_func] = _by_type(_func)


@implements("einsum_path")
def _einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    known = [np.broadcast_to(0, a.shape) if isinstance(a, da.Array) else a for a in operands]
    return np.einsum_path(*known, optimize=optimize)


# --- polynomials in several variables, and fields -----------------------------------------


@implements("polyval2d", module=polynomial)
def _polyval2d(x: Any, y: Any, c: Any) -> Any:
    if is_lazy(c) or np.ndim(c) != 2:
        raise TypeError("numpy.polyval2d on Dask needs a matrix of coefficients in memory")
    return elementwise(polynomial.polyval2d, "x", "y")(x, y, c)


@implements("polygrid2d", module=polynomial)
def _polygrid2d(x: Any, y: Any, c: Any) -> Any:
    x, y = da.asarray(x), da.asarray(y)
    n = x.ndim + y.ndim
    x = da.broadcast_to(x[(..., *[None] * y.ndim)], x.shape + y.shape)
    return _polyval2d(x, da.broadcast_to(y, x.shape[: n - y.ndim] + y.shape), c)


@implements("polyvalnd", module=polynomial)
def _polyvalnd(pts: Any, c: Any) -> Any:
    if is_lazy(c) or np.ndim(c) != len(pts):
        raise TypeError("numpy.polyvalnd on Dask needs an axis of coefficients for each point's")
    return elemwise(functools.partial(_polynomial, c), *pts)


def _polynomial(c: Any, *pts: Any) -> Any:
    return polynomial.polyvalnd(pts, c)


def _of_fields(func: Any) -> Callable[..., Any]:
    """Make a function of each voxel's fields."""

    def run(base: Any, *args: Any, **kwargs: Any) -> Any:
        block = functools.partial(_first, func, args, kwargs)
        return base.map_blocks(block, meta=block(meta_of(base)))

    return run


def _first(func: Any, args: Any, kwargs: Any, base: Any) -> Any:
    return func(base, *args, **kwargs)


for _name in ("rename_fields", "require_fields", "repack_fields"):
    FUNCTIONS[getattr(recfunctions, _name)] = _of_fields(getattr(recfunctions, _name))


@implements("apply_along_fields", module=recfunctions)
def _apply_along_fields(func: Any, arr: Any) -> Any:
    block = functools.partial(recfunctions.apply_along_fields, func)
    return arr.map_blocks(block, dtype=block(sample_block(arr)).dtype)


@implements("structured_to_unstructured", module=recfunctions)
def _structured_to_unstructured(arr: Any, *args: Any, **kwargs: Any) -> Any:
    block = functools.partial(_first, recfunctions.structured_to_unstructured, args, kwargs)
    tried = block(meta_of(arr))
    chunks = (*arr.chunks, tried.shape[-1:])
    return arr.map_blocks(block, new_axis=arr.ndim, chunks=chunks, meta=tried)


@implements("unstructured_to_structured", module=recfunctions)
def _unstructured_to_structured(arr: Any, *args: Any, **kwargs: Any) -> Any:
    block = functools.partial(_first, recfunctions.unstructured_to_structured, args, kwargs)
    meta = block(sample_block(arr, -1 % arr.ndim))[(slice(0, 0),) * (arr.ndim - 1)]
    return arr.rechunk({-1: -1}).map_blocks(block, drop_axis=arr.ndim - 1, meta=meta)
