"""Linear algebra on Dask arrays: NumPy's functions, each matrix whole in one block.

Stacks of matrices are worked on block by block. One matrix in several blocks is decomposed by Dask,
along its longer side; the signs of the vectors are Dask's then.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from spatial_duck.backends.dask._along_axis import (
    FUNCTIONS,
    bind_arguments,
    implements,
    is_lazy,
    refuse_lazy,
    sample_block,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS"]


def _matrices(
    func: Any, signature: str, sizes: Callable[..., dict[str, int]] | None = None
) -> Callable[..., Any]:
    """Make a function of the matrices in the last two axes, each whole in one block.

    ``sizes(m, n)`` gives the lengths that are new in the result.
    """
    count = signature.partition("->")[0].count("(")

    def run(*args: Any, **kwargs: Any) -> Any:
        given = dict(list(bind_arguments(func, args, kwargs).items())[count:])
        refuse_lazy(func, given)
        arrays = [da.asarray(a) for a in args[:count]]
        tried = func(
            *[sample_block(a)[(..., *[slice(1)] * min(a.ndim, 2))] for a in arrays], **given
        )
        many = isinstance(tried, tuple)
        result = da.apply_gufunc(
            functools.partial(_call, func, given, many),
            signature,
            *arrays,
            output_dtypes=[s.dtype for s in tried] if many else tried.dtype,
            output_sizes=sizes(*arrays[0].shape[-2:]) if sizes else None,
            allow_rechunk=True,
        )
        return type(tried)(*result) if many else result

    return run


def _call(func: Any, given: dict[str, Any], many: bool, *arrays: Any) -> Any:
    found = func(*arrays, **given)
    return tuple(found) if many else found


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
implements("svdvals", module=np.linalg)(
    _matrices(
        getattr(np.linalg, "svdvals", None), "(m,n)->(k)", sizes=lambda m, n: {"k": min(m, n)}
    )
)


@implements("solve", module=np.linalg)
def _solve(a: Any, b: Any) -> Any:
    signature = "(m,m),(m)->(m)" if b.ndim == 1 else "(m,m),(m,n)->(m,n)"
    return _matrices(np.linalg.solve, signature)(a, b)


@implements("matrix_norm", module=np.linalg)
def _matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    norm = _matrices(np.linalg.matrix_norm, "(m,n)->()")(x, ord=ord)
    return norm[..., None, None] if keepdims else norm


@implements("vector_norm", module=np.linalg)
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


implements("matrix_transpose")(_swapped)
implements("matrix_transpose", module=np.linalg)(_swapped)


@implements("diagonal", module=np.linalg)
def _diagonals(x: Any, /, *, offset: int = 0) -> Any:
    return da.diagonal(x, offset, -2, -1)


@implements("trace", module=np.linalg)
def _traces(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    return da.diagonal(x, offset, -2, -1).sum(-1, dtype=dtype)


@implements("outer", module=np.linalg)
def _outer(x1: Any, x2: Any, /) -> Any:
    return da.asarray(x1)[:, None] * da.asarray(x2)[None, :]


@implements("vecdot", module=np.linalg)
def _vecdot(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    return (da.conj(x1) * x2).sum(axis)


implements("matmul", module=np.linalg)(lambda x1, x2, /: da.matmul(x1, x2))
implements("tensordot", module=np.linalg)(lambda x1, x2, /, *, axes=2: da.tensordot(x1, x2, axes))


@implements("multi_dot", module=np.linalg)
def _multi_dot(arrays: Any, *, out: Any = None) -> Any:
    if out is not None:
        raise TypeError("numpy.linalg.multi_dot on Dask takes no out=")
    return functools.reduce(da.dot, [da.asarray(a) for a in arrays])


@implements("cross")
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


implements("cross", module=np.linalg)(lambda x1, x2, /, *, axis=-1: _cross(x1, x2, axis=axis))


@implements("dot")
def _dot(a: Any, b: Any) -> Any:
    a, b = da.asarray(a), da.asarray(b)
    return da.dot(a, b) if a.ndim and b.ndim else a * b


@implements("outer")
def _outer_of_any(a: Any, b: Any) -> Any:
    return da.outer(da.asarray(a), da.asarray(b))


@implements("inner")
def _inner(a: Any, b: Any, /) -> Any:
    a, b = da.asarray(a), da.asarray(b)
    return da.tensordot(a, b, axes=((-1,), (-1,))) if a.ndim and b.ndim else a * b


@implements("kron")
def _kron(a: Any, b: Any) -> Any:
    a, b = da.asarray(a), da.asarray(b)
    n = max(a.ndim, b.ndim)
    a, b = (x.reshape((1,) * (n - x.ndim) + x.shape) for x in (a, b))
    shape = [p * q for p, q in zip(a.shape, b.shape, strict=True)]
    left = a[tuple([k for _ in range(n) for k in (slice(None), None)])]
    right = b[tuple([k for _ in range(n) for k in (None, slice(None))])]
    return (left * right).reshape(shape)


# --- decompositions and fits --------------------------------------------------------------


def _one_of_many(a: Any) -> bool:
    """Whether an array is one matrix in several blocks, which Dask decomposes."""
    return bool(a.ndim == 2 and a.npartitions > 1)


def _whole_side(a: Any) -> Any:
    """Return a matrix whose shorter side is whole in each block."""
    return a.rechunk({int(a.shape[0] >= a.shape[1]): -1})


@implements("qr", module=np.linalg)
def _qr(a: Any, mode: str = "reduced") -> Any:
    signature = {
        "reduced": "(m,n)->(m,k),(k,n)", "r": "(m,n)->(k,n)", "complete": "(m,n)->(m,m),(m,n)",
    }  # fmt: skip
    if mode not in signature or (mode == "complete" and _one_of_many(a)):
        raise TypeError(
            f"numpy.linalg.qr on Dask has no mode {mode!r} for a matrix in several blocks: give "
            "mode='reduced' or 'r', or rechunk(-1) first if it fits in memory"
        )
    if _one_of_many(a):
        q, r = da.linalg.qr(_whole_side(a))
        return r if mode == "r" else type(np.linalg.qr(np.eye(1)))(q, r)
    return _matrices(np.linalg.qr, signature[mode], _shorter)(a, mode=mode)


def _shorter(m: int, n: int) -> dict[str, int]:
    return {"k": min(m, n)}


@implements("svd", module=np.linalg)
def _svd(
    a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False
) -> Any:
    if _one_of_many(a):
        if compute_uv and full_matrices:
            raise TypeError(
                "numpy.linalg.svd on Dask has no full matrices of a matrix in several blocks: "
                "give full_matrices=False, or rechunk(-1) first if it fits in memory"
            )
        u, s, v = da.linalg.svd(_whole_side(a))
        return type(np.linalg.svd(np.eye(1)))(u, s, v) if compute_uv else s
    if not compute_uv:
        run = _matrices(np.linalg.svd, "(m,n)->(k)", _shorter)
        return run(a, compute_uv=False, hermitian=hermitian)
    signature = "(m,n)->(m,m),(k),(n,n)" if full_matrices else "(m,n)->(m,k),(k),(k,n)"
    run = _matrices(np.linalg.svd, signature, _shorter)
    return run(a, full_matrices=full_matrices, hermitian=hermitian)


@implements("lstsq", module=np.linalg)
def _lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    if not is_lazy(a):
        return _lstsq_of_columns(np.asarray(a), b, rcond)
    if rcond is not None or a.shape[0] < a.shape[1]:
        raise TypeError(
            "numpy.linalg.lstsq on Dask needs a tall matrix and takes no rcond=: compute the "
            "matrix first, and leave what is fitted lazy"
        )
    b = da.asarray(b)
    a = a.rechunk({1: -1})
    x, left, rank, singular = da.linalg.lstsq(a, b.rechunk({0: a.chunks[0]}))
    return x, left, rank.astype(np.int32), singular  # as NumPy's


def _lstsq_of_columns(a: Any, b: Any, rcond: Any) -> Any:
    """Fit each column of lazy data with one matrix in memory."""
    _, none, rank, singular = np.linalg.lstsq(a, np.zeros((len(a), 0)), rcond)
    columns = b.rechunk({0: -1})
    kind = np.linalg.lstsq(a, sample_block(columns, 0), rcond)[0].dtype
    x = columns.map_blocks(
        _solution, a, rcond, dtype=kind, chunks=((a.shape[1],), *columns.chunks[1:])
    )
    left = none
    if rank == a.shape[1] < a.shape[0]:
        left = (abs(b - da.asarray(a).dot(x)) ** 2).sum(axis=0, keepdims=b.ndim == 1)
    return x, left, rank, singular


def _solution(b: Any, a: Any, rcond: Any) -> Any:
    return np.linalg.lstsq(a, b, rcond)[0]


@implements("polyfit")
def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: bool = False, w: Any = None, cov: Any = False
) -> Any:
    """Fit a curve to each column, as many as there are."""
    refuse_lazy(np.polyfit, {"x": x, "w": w})
    if full or cov:
        raise TypeError("numpy.polyfit on Dask gives the coefficients alone: no full=, no cov=")
    y = y.rechunk({0: -1})
    fit = functools.partial(_fit, x, deg, rcond, w)
    kind = fit(sample_block(y, 0)).dtype
    count = deg + 1 if np.ndim(deg) == 0 else len(deg)
    return y.map_blocks(fit, dtype=kind, chunks=((count,), *y.chunks[1:]))


def _fit(x: Any, deg: Any, rcond: Any, w: Any, y: Any) -> Any:
    return np.polyfit(x, y, deg, rcond, w=w)
