"""NumPy's functions that Dask lacks, made lazily of those that it has.

Functions of the matrices in the last two axes run on whole matrices (`_matrices`); the others are
formulas. `REASONS` says of what is not here why not, and what to do.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from spatial_duck.backends.dask_lines import (
    FUNCTIONS,
    added,
    arguments,
    is_lazy,
    refuse_lazy,
    sample,
)
from spatial_duck.backends.pieces import PIECES
from spatial_duck.grid import normalize_axis

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS", "REASONS"]

FUNCTIONS.update(PIECES)

_IN_PLACE = "writes single voxels in place: compute first, or build a mask and use np.where"
_TEXT = "would have to compute the array to know how wide its result's text is"
_TYPE = "would have to compute the array to know its result's type"
#: Why Dask cannot have a function, by its name.
REASONS = {
    "place": _IN_PLACE, "put": _IN_PLACE, "put_along_axis": _IN_PLACE, "fill_diagonal": _IN_PLACE,
    "center": _TEXT, "ljust": _TEXT, "rjust": _TEXT, "zfill": _TEXT, "replace": _TEXT,
    "multiply": _TEXT, "mod": _TEXT, "expandtabs": _TEXT, "translate": _TEXT, "decode": _TEXT,
    "encode": _TEXT, "partition": _TEXT, "rpartition": _TEXT,
    "eig": _TYPE, "eigvals": _TYPE, "real_if_close": _TYPE, "roots": _TYPE, "sqrt": _TYPE,
    "log": _TYPE, "log2": _TYPE, "log10": _TYPE, "logn": _TYPE, "power": _TYPE, "arccos": _TYPE,
    "arcsin": _TYPE, "arctanh": _TYPE,
    "trim_zeros": "would have to compute the array to know where it ends: slice it",
}  # fmt: skip


# --- matrices -----------------------------------------------------------------------------


def _matrices(
    func: Any, signature: str, sizes: Callable[..., dict[str, int]] | None = None
) -> Callable[..., Any]:
    """Make a function of the matrices in the last two axes, each whole in one block.

    Parameters
    ----------
    func : callable
        NumPy's.
    signature : str
        As of a generalised ufunc.
    sizes : callable, optional
        ``sizes(m, n)``: lengths that are new in the result.
    """
    count = signature.partition("->")[0].count("(")

    def run(*args: Any, **kwargs: Any) -> Any:
        given = dict(list(arguments(func, args, kwargs).items())[count:])
        refuse_lazy(func, given)
        arrays = [da.asarray(a) for a in args[:count]]
        tried = func(*[sample(a)[(..., *[slice(1)] * min(a.ndim, 2))] for a in arrays], **given)
        many = isinstance(tried, tuple)
        result = da.apply_gufunc(
            functools.partial(_as_tuple if many else _as_is, func, given),
            signature,
            *arrays,
            output_dtypes=[s.dtype for s in tried] if many else tried.dtype,
            output_sizes=sizes(*arrays[0].shape[-2:]) if sizes else None,
            allow_rechunk=True,
        )
        return type(tried)(*result) if many else result

    return run


def _as_is(func: Any, given: dict[str, Any], *arrays: Any) -> Any:
    return func(*arrays, **given)


def _as_tuple(func: Any, given: dict[str, Any], *arrays: Any) -> Any:
    return tuple(func(*arrays, **given))


for _name, _signature in {
    "det": "(m,m)->()",
    "slogdet": "(m,m)->(),()",
    "eigh": "(m,m)->(m),(m,m)",
    "eigvalsh": "(m,m)->(m)",
    "pinv": "(m,n)->(n,m)",
    "matrix_rank": "(m,n)->()",
    "cond": "(m,n)->()",
    "matrix_power": "(m,m)->(m,m)",
    "inv": "(m,m)->(m,m)",
    "cholesky": "(m,m)->(m,m)",  # Dask's own is the upper triangle
}.items():
    FUNCTIONS[getattr(np.linalg, _name)] = _matrices(getattr(np.linalg, _name), _signature)
added("svdvals", module=np.linalg)(
    _matrices(
        getattr(np.linalg, "svdvals", None), "(m,n)->(k)", sizes=lambda m, n: {"k": min(m, n)}
    )
)


@added("solve", module=np.linalg)
def _solve(a: Any, b: Any) -> Any:
    signature = "(m,m),(m)->(m)" if b.ndim == 1 else "(m,m),(m,n)->(m,n)"
    return _matrices(np.linalg.solve, signature)(a, b)


@added("matrix_norm", module=np.linalg)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    norm = _matrices(np.linalg.matrix_norm, "(m,n)->()")(x, ord=ord)
    return norm[..., None, None] if keepdims else norm


@added("vector_norm", module=np.linalg)
def _vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    size = abs(x if x.dtype.kind in "fc" else x.astype(float))
    over = {"axis": axis, "keepdims": keepdims}
    if ord == 0:
        return (x != 0).sum(**over).astype(size.dtype)
    if ord in (np.inf, -np.inf):
        return size.max(**over) if ord > 0 else size.min(**over)
    return da.sqrt((size**2).sum(**over)) if ord == 2 else (size**ord).sum(**over) ** (1 / ord)


def _swapped(x: Any, /) -> Any:
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return x.swapaxes(-1, -2)


added("matrix_transpose")(_swapped)
added("matrix_transpose", module=np.linalg)(_swapped)


@added("diagonal", module=np.linalg)
def _diagonals(x: Any, /, *, offset: int = 0) -> Any:
    return da.diagonal(x, offset, -2, -1)


@added("trace", module=np.linalg)
def _traces(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return da.diagonal(x, offset, -2, -1).sum(-1, dtype=dtype)


@added("outer", module=np.linalg)
def _outer(x1: Any, x2: Any, /) -> Any:
    return da.asarray(x1)[:, None] * da.asarray(x2)[None, :]


@added("vecdot", module=np.linalg)
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return (da.conj(x1) * x2).sum(axis)


added("matmul", module=np.linalg)(lambda x1, x2, /: da.matmul(x1, x2))
added("tensordot", module=np.linalg)(lambda x1, x2, /, *, axes=2: da.tensordot(x1, x2, axes))


@added("multi_dot", module=np.linalg)
def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    if out is not None:
        raise TypeError("numpy.linalg.multi_dot on Dask takes no out=")
    return functools.reduce(da.dot, [da.asarray(a) for a in arrays])


@added("cross")
def _cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    a, b = da.moveaxis(da.asarray(a), axisa, -1), da.moveaxis(da.asarray(b), axisb, -1)
    if (a.shape[-1], b.shape[-1]) != (3, 3):
        raise ValueError("Dask has cross products of vectors of 3 alone")
    turns = [(1, 2), (2, 0), (0, 1)]
    product = da.stack([a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in turns], -1)
    return da.moveaxis(product, -1, axisc)


added("cross", module=np.linalg)(lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis))


@added("inner")
def _inner(a: Any, b: Any, /) -> Any:
    a, b = da.asarray(a), da.asarray(b)
    return da.tensordot(a, b, axes=((-1,), (-1,))) if a.ndim and b.ndim else a * b


@added("kron")
def _kron(a: Any, b: Any) -> Any:
    a, b = da.asarray(a), da.asarray(b)
    n = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (n - x.ndim) + x.shape) for x in (a, b))
    shape = [p * q for p, q in zip(a.shape, b.shape, strict=True)]
    left = a[tuple([k for _ in range(n) for k in (slice(None), None)])]
    right = b[tuple([k for _ in range(n) for k in (None, slice(None))])]
    return (left * right).reshape(shape)


# --- by other functions -------------------------------------------------------------------


@added("array_equal")
def _array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    a1, a2 = da.asarray(a1), da.asarray(a2)
    if a1.shape != a2.shape:
        return False
    same = a1 == a2
    return ((same | ((a1 != a1) & (a2 != a2))) if equal_nan else same).all()


@added("array_equiv")
def _array_equiv(a1: Any, a2: Any) -> Any:
    try:
        np.broadcast_shapes(a1.shape, a2.shape)
    except ValueError:
        return False
    return (a1 == a2).all()


@added("transpose")
def _transpose(a: Any, axes: Any = None) -> Any:
    return a.transpose() if axes is None else a.transpose(axes)


@added("swapaxes")
def _swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    i, j = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[i], order[j] = j, i
    return a.transpose(order)


@added("column_stack")
def _column_stack(tup: Any) -> Any:
    arrays = [da.asarray(a) for a in tup]
    return da.concatenate([a.reshape(-1, 1) if a.ndim < 2 else a for a in arrays], 1)


@added("copyto")
def _copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    if not isinstance(dst, da.Array):
        raise TypeError("numpy.copyto of Dask data needs an array to write to in Dask as well")
    kind = src.dtype if hasattr(src, "dtype") else np.result_type(src)
    if hasattr(src, "dtype") and not np.can_cast(kind, dst.dtype, casting):
        raise TypeError(f"Cannot cast {kind} to {dst.dtype} according to the rule {casting!r}")
    value = da.broadcast_to(da.asarray(src).astype(dst.dtype), dst.shape)
    dst[...] = value if where is True else da.where(where, value, dst)


@added("putmask")
def _putmask(a: Any, /, mask: Any, values: Any) -> None:
    if np.size(values) != 1 and np.shape(values) != a.shape:
        raise TypeError("numpy.putmask on Dask takes one value, or values of the array's shape")
    _copyto(a, values, "unsafe", mask)


@added("diagflat")
def _diagflat(v: Any, k: int = 0) -> Any:
    return da.diag(v.reshape(-1), k)


@added("resize")
def _resize(a: Any, new_shape: Any) -> Any:
    shape = tuple(new_shape) if hasattr(new_shape, "__len__") else (new_shape,)
    size = int(np.prod(shape))
    flat = a.reshape(-1)
    repeats = -(-size // flat.shape[0]) if flat.shape[0] else 0
    if not repeats:
        return da.zeros_like(a, shape=shape)
    return da.concatenate([flat] * repeats)[:size].reshape(shape)


@added("ix_")
def _ix(*args: Any) -> Any:
    if any(np.ndim(a) != 1 for a in args):
        raise ValueError("Cross index must be 1 dimensional")
    if any(str(getattr(a, "dtype", "")) == "bool" for a in args):
        raise TypeError("numpy.ix_ of masks would have to compute them: use data[mask]")
    n = len(args)
    return tuple(
        [da.asarray(a).reshape([-1 if i == j else 1 for j in range(n)]) for i, a in enumerate(args)]
    )


@added("histogram_bin_edges")
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, **_: Any) -> Any:
    if isinstance(bins, str) or (np.ndim(bins) == 0 and range is None) or is_lazy((bins, range)):
        raise TypeError("numpy.histogram_bin_edges on Dask needs a number of bins and their range")
    return np.histogram_bin_edges(np.empty(0, a.dtype), bins, range)


def _unique_of(x: Any, **options: Any) -> Any:
    return da.unique(x.reshape(-1), **options)


@added("unique_values")
def _unique_values(x: Any, /) -> Any:
    return _unique_of(x)


@added("unique_counts")
def _unique_counts(x: Any, /) -> Any:
    return _named("unique_counts", _unique_of(x, return_counts=True))


@added("unique_inverse")
def _unique_inverse(x: Any, /) -> Any:
    values, inverse = _unique_of(x, return_inverse=True)
    return _named("unique_inverse", (values, inverse.reshape(x.shape)))


@added("unique_all")
def _unique_all(x: Any, /) -> Any:
    values, index, inverse, counts = _unique_of(
        x, return_index=True, return_inverse=True, return_counts=True
    )
    return _named("unique_all", (values, index, inverse.reshape(x.shape), counts))


def _named(name: str, values: Any) -> Any:
    return type(getattr(np, name)(np.empty(0)))(*values)


@added("setdiff1d")
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:
    ar1, ar2 = da.asarray(ar1), da.asarray(ar2)
    ar1 = ar1.reshape(-1) if assume_unique else _unique_of(ar1)
    return ar1[~da.isin(ar1, ar2)]


@added("intersect1d")
def _intersect1d(
    ar1: Any, ar2: Any, assume_unique: bool = False, return_indices: bool = False
) -> Any:
    if return_indices:
        raise TypeError("numpy.intersect1d on Dask has no return_indices")
    found = da.asarray(ar1).reshape(-1) if assume_unique else _unique_of(da.asarray(ar1))
    return found[da.isin(found, da.asarray(ar2))]


@added("setxor1d")
def _setxor1d(ar1: Any, ar2: Any, assume_unique: bool = False) -> Any:  # noqa: ARG001
    return da.unique(da.concatenate([_setdiff1d(ar1, ar2), _setdiff1d(ar2, ar1)]))


# --- what types and shapes tell -----------------------------------------------------------


@added("diag_indices_from")
def _diag_indices_from(arr: Any) -> Any:
    if arr.ndim < 2 or len(set(arr.shape)) != 1:
        raise ValueError("diag_indices_from needs 2 dimensions or more of equal length")
    return np.diag_indices(arr.shape[0], arr.ndim)


@added("size")
def _size(a: Any, axis: Any = None) -> Any:
    return a.size if axis is None else np.size(np.broadcast_to(0, a.shape), axis)


@added("isrealobj")
def _isrealobj(x: Any) -> bool:
    return bool(x.dtype.kind != "c")


def _by_type(func: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return func(*[sample(a) if isinstance(a, da.Array) else a for a in args], **kwargs)

    return run


for _func in (np.common_type, np.min_scalar_type, np.can_cast):
    FUNCTIONS[_func] = _by_type(_func)


@added("einsum_path")
def _einsum_path(*operands: Any, optimize: Any = "greedy") -> Any:
    known = [np.broadcast_to(0, a.shape) if isinstance(a, da.Array) else a for a in operands]
    return np.einsum_path(*known, optimize=optimize)
