"""Functions that reduce axes: the axis leaves, the origin moves to the centre of its extent.

With ``keepdims`` a single voxel as thick as the extent stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis
from spatial_duck.rules._moves import diagonal
from spatial_duck.rules._rule import (
    NO,
    each,
    geometries,
    named,
    only,
    rule,
    shape_of,
    together,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["reduced", "weighed"]


def reduced(
    function: str, a: Any, axis: Any, keepdims: Any = False, *others: Any
) -> Geometry | None:
    """Return the geometry of a reduction.

    Parameters
    ----------
    function : str
        Its name, for errors.
    a : Geometry or array
        What is reduced; of a bare array, the result is bare.
    axis, keepdims
        As for `numpy.sum`.
    *others
        Arguments that hold a value for each voxel, such as ``where``: images among them must lie
        on the grid.
    """
    if a.__class__ is not Geometry:
        return None
    if others and geometries(*others):
        together(function, a, *geometries(*others))
    return a.reduce(axis, keepdims is not NO and bool(keepdims))


def weighed(function: str, a: Any, axis: Any, weights: Any) -> None:
    """Check that weights, of the image's shape or of its axis's, lie on its grid."""
    if not (isinstance(weights, Geometry) and isinstance(a, Geometry)):
        return
    axes = normalize_axes(axis, a.ndim)
    if weights.shape == a.shape:
        together(function, a, weights)
    elif weights.ndim == len(axes):
        order = sorted(range(len(axes)), key=lambda n: axes[n])
        new = tuple([i for i in range(a.ndim) if i not in axes])
        together(function, a, weights.transpose(order).expand_dims(new))


def _quantiles(
    function: str, a: Any, q: Any, axis: Any, keepdims: Any, weights: Any
) -> Geometry | None:
    if a.__class__ is not Geometry:
        return only(q)
    weighed(function, a, axis, weights)
    result = reduced(function, a, axis, keepdims)
    assert result is not None
    # Of an image without voxels the functions that pass over NaN give one mean.
    lead = () if function.startswith("nan") and 0 in a.shape else shape_of(q)
    # The axes of several quantiles come first and are plain.
    return result.expand_dims(tuple(range(len(lead)))).with_shape((*lead, *result.shape))


# --- by value -----------------------------------------------------------------------------


@each("derives", np.sum, np.prod, np.nansum, np.nanprod, deferrable=True)
def _sum(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = NO,
        initial: Any = NO,
        where: Any = NO,
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims, where)

    return geometry


@each("derives", np.max, np.min, np.amax, np.amin, np.nanmax, np.nanmin, deferrable=True)
def _max(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        axis: Any = None,
        out: Any = None,
        keepdims: Any = NO,
        initial: Any = NO,
        where: Any = NO,
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims, where)

    return geometry


@each("derives", np.mean, np.nanmean, deferrable=True)
def _mean(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        keepdims: Any = NO,
        *,
        where: Any = NO,
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims, where)

    return geometry


@each("derives", np.std, np.var, np.nanstd, np.nanvar, deferrable=True)
def _std(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        axis: Any = None,
        dtype: Any = None,
        out: Any = None,
        ddof: Any = 0,
        keepdims: Any = NO,
        *,
        where: Any = NO,
        mean: Any = NO,
        correction: Any = NO,
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims, where, mean)

    return geometry


@each("derives", np.all, np.any, deferrable=True)
def _all(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO, *, where: Any = NO
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims, where)

    return geometry


@rule("derives", np.ptp, deferrable=True)
def _ptp(a: Any, axis: Any = None, out: Any = None, keepdims: Any = NO) -> Geometry | None:
    return reduced("ptp", a, axis, keepdims)


@rule("derives", np.count_nonzero, deferrable=True)
def _count_nonzero(a: Any, axis: Any = None, *, keepdims: Any = False) -> Geometry | None:
    return reduced("count_nonzero", a, axis, keepdims)


@each("derives", np.argmax, np.argmin, np.nanargmax, np.nanargmin, deferrable=True)
def _argmax(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = NO
    ) -> Geometry | None:
        return reduced(function, a, axis, keepdims)

    return geometry


@rule("derives", np.median, deferrable=True)
def _median(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: Any = False, keepdims: Any = False
) -> Geometry | None:
    return reduced("median", a, axis, keepdims)


@rule("derives", np.nanmedian, deferrable=True)
def _nanmedian(
    a: Any, axis: Any = None, out: Any = None, overwrite_input: Any = False, keepdims: Any = NO
) -> Geometry | None:
    return reduced("nanmedian", a, axis, keepdims)


@each("derives", np.percentile, np.quantile, deferrable=True)
def _percentile(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: Any = False,
        method: Any = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
    ) -> Geometry | None:
        return _quantiles(function, a, q, axis, keepdims, weights)

    return geometry


@each("derives", np.nanpercentile, np.nanquantile, deferrable=True)
def _nanpercentile(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: Any = False,
        method: Any = "linear",
        keepdims: Any = NO,
        *,
        weights: Any = None,
    ) -> Geometry | None:
        return _quantiles(function, a, q, axis, keepdims, weights)

    return geometry


@rule("derives", np.average)
def _average(
    a: Any, axis: Any = None, weights: Any = None, returned: Any = False, *, keepdims: Any = NO
) -> Any:
    if not isinstance(a, Geometry):
        return None
    weighed("average", a, axis, weights)
    result = reduced("average", a, axis, keepdims)
    return (result, result) if returned else result


@each("derives", *named(np, "trapezoid", "trapz"))
def _trapezoid(function: str) -> Callable[..., Any]:
    def geometry(y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1) -> Geometry | None:
        if not isinstance(y, Geometry):
            return None
        weighed(function, y, axis, x)
        return y.reduce(normalize_axis(axis, y.ndim))

    return geometry


@rule("derives", np.trace)
def _trace(
    a: Geometry, offset: Any = 0, axis1: Any = 0, axis2: Any = 1, dtype: Any = None, out: Any = None
) -> Geometry | None:
    return diagonal(a, offset, axis1, axis2, "trace").reduce(-1) if only(a) else None


@rule("derives", np.linalg.trace)
def _linalg_trace(x: Geometry, /, *, offset: Any = 0, dtype: Any = None) -> Geometry:
    return diagonal(x, offset, -2, -1, "trace").reduce(-1)


# --- norms and properties of matrices -----------------------------------------------------


@rule("derives", np.linalg.norm, deferrable=True)
def _norm(x: Geometry, ord: Any = None, axis: Any = None, keepdims: Any = False) -> Geometry | None:
    return reduced("norm", x, axis, keepdims)


@rule("derives", np.linalg.vector_norm, deferrable=True)
def _vector_norm(
    x: Geometry, /, *, axis: Any = None, keepdims: Any = False, ord: Any = 2
) -> Geometry | None:
    return reduced("vector_norm", x, axis, keepdims)


@rule("derives", np.linalg.matrix_norm, deferrable=True)
def _matrix_norm(x: Geometry, /, *, keepdims: Any = False, ord: Any = "fro") -> Geometry | None:
    return reduced("matrix_norm", x, (-2, -1), keepdims)


@rule("derives", np.linalg.det, deferrable=True)
def _det(a: Geometry) -> Geometry:
    return a.reduce((-2, -1))


@rule("derives", np.linalg.slogdet)
def _slogdet(a: Geometry) -> tuple[Geometry, Geometry]:
    return (a.reduce((-2, -1)),) * 2


@rule("derives", np.linalg.cond, deferrable=True)
def _cond(x: Geometry, p: Any = None) -> Geometry:
    return x.reduce((-2, -1))


@rule("derives", np.linalg.matrix_rank)
def _matrix_rank(A: Geometry, tol: Any = None, hermitian: Any = False, *, rtol: Any = None) -> Any:
    return A.reduce((-2, -1)) if only(A) and A.ndim > 1 else None


# --- along an axis, by a caller's function ------------------------------------------------


@rule("derives", np.apply_over_axes)
def _apply_over_axes(func: Any, a: Geometry, axes: Any) -> Any:
    which = normalize_axes(axes, a.ndim)

    def geometry(result: Any, *_: Any) -> Geometry:
        grid = a
        for i in which:
            if result.shape[i] == 1:
                grid = grid.reduce(i, keepdims=True)
            else:
                shape = (*grid.shape[:i], result.shape[i], *grid.shape[i + 1 :])
                grid = grid.lose(i, "apply_over_axes", shape=shape)
        return grid

    return geometry


@rule("derives", np.apply_along_axis)
def _apply_along_axis(func1d: Any, axis: Any, arr: Geometry, *args: Any, **kwargs: Any) -> Any:
    i = normalize_axis(axis, arr.ndim)

    def geometry(result: Any, *_: Any) -> Geometry:
        new = result.ndim - arr.ndim + 1
        sources = (*range(i), *[None] * new, *range(i + 1, arr.ndim))
        return arr.take_axes(result.shape, sources, "apply_along_axis")

    return geometry
