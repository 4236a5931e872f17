"""Functions that reduce axes: the axis is removed, the origin moves to the centre of its extent.

With ``keepdims`` it becomes a single voxel as thick as the extent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis
from spatial_duck.rules._rule import (
    NO_VALUE,
    elementwise_geometry,
    existing,
    geometries,
    geometry_or_none,
    rule,
    shape_of,
)

__all__ = ["check_weights", "reduction"]


def reduction(
    function: str, a: Any, axis: Any, keepdims: Any = False, *others: Any
) -> Geometry | None:
    """Return the geometry of a reduction; None of a bare array, whose result is bare.

    Images among `others`, with a value for each voxel as ``where`` has, must lie on the grid.
    """
    if a.__class__ is not Geometry:
        return None
    if others and geometries(*others):
        elementwise_geometry(function, a, *geometries(*others))
    return a.reduce(axis, keepdims is not NO_VALUE and bool(keepdims))


def check_weights(function: str, a: Any, axis: Any, weights: Any) -> None:
    """Check that weights of the shape of the image, or of its axis, lie on its grid."""
    if not (isinstance(weights, Geometry) and isinstance(a, Geometry)):
        return
    axes = normalize_axes(axis, a.ndim)
    if weights.shape == a.shape:
        elementwise_geometry(function, a, weights)
    elif weights.ndim == len(axes):
        order = sorted(range(len(axes)), key=lambda n: axes[n])
        new = tuple([i for i in range(a.ndim) if i not in axes])
        elementwise_geometry(function, a, weights.transpose(order).expand_dims(new))


# --- by value -----------------------------------------------------------------------------


@rule(
    "derives",
    *existing(np, "sum prod max min amax amin mean std var all any ptp argmax argmin median"),
    *existing(np, "nansum nanprod nanmax nanmin nanmean nanstd nanvar nanargmax nanargmin"),
    *existing(np, "nanmedian count_nonzero"),
    *existing(np.linalg, "norm vector_norm"),
    deferrable=True,
)
def _reduce(
    name: str, image: Any, axis: Any, keepdims: Any, where: Any = None, mean: Any = None
) -> Geometry | None:
    return reduction(name, image, axis, keepdims, where, mean)


@rule("derives", *existing(np, "percentile quantile nanpercentile nanquantile"), deferrable=True)
def _quantiles(
    name: str, a: Any, q: Any, axis: Any, keepdims: Any, weights: Any = None
) -> Geometry | None:
    if a.__class__ is not Geometry:
        return geometry_or_none(q)
    check_weights(name, a, axis, weights)
    result = reduction(name, a, axis, keepdims)
    assert result is not None
    # Of an image without voxels the functions that pass over NaN give one mean.
    lead = () if name.startswith("nan") and 0 in a.shape else shape_of(q)
    # The axes of several quantiles come first and are plain.
    if not lead:
        return result
    return result.expand_dims(tuple(range(len(lead)))).with_shape((*lead, *result.shape))


@rule("derives", np.average)
def _average(a: Any, axis: Any, weights: Any, returned: Any, keepdims: Any) -> Any:
    check_weights("average", a, axis, weights)
    result = reduction("average", a, axis, keepdims)
    return (result, result) if returned else result


@rule("derives", *existing(np, "trapezoid trapz"))
def _trapezoid(name: str, y: Any, x: Any, axis: Any) -> Geometry | None:
    check_weights(name, y, axis, x)
    return reduction(name, y, axis)


@rule("derives", np.trace, deferrable=True)
def _trace(a: Any, offset: Any, axis1: Any, axis2: Any) -> Geometry | None:
    return a.diagonal(offset, axis1, axis2).reduce(-1) if geometry_or_none(a) else None


@rule("derives", np.linalg.trace, deferrable=True)
def _linalg_trace(x: Geometry, offset: Any) -> Geometry:
    return x.diagonal(offset, -2, -1).reduce(-1)


# --- of matrices --------------------------------------------------------------------------


@rule("derives", *existing(np.linalg, "matrix_norm det cond"), deferrable=True)
def _reduce_matrix(name: str, image: Any, keepdims: Any = False) -> Geometry | None:
    return reduction(name, image, (-2, -1), keepdims)


@rule("derives", np.linalg.slogdet)
def _slogdet(a: Geometry) -> tuple[Geometry, Geometry]:
    return (a.reduce((-2, -1)),) * 2


@rule("derives", np.linalg.matrix_rank)
def _matrix_rank(A: Any) -> Geometry | None:
    return A.reduce((-2, -1)) if geometry_or_none(A) and A.ndim > 1 else None


# --- along an axis, by a caller's function ------------------------------------------------


@rule("derives", np.apply_over_axes)
def _apply_over_axes(a: Geometry, axes: Any) -> Any:
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
def _apply_along_axis(axis: Any, arr: Geometry) -> Any:
    i = normalize_axis(axis, arr.ndim)

    def geometry(result: Any, *_: Any) -> Geometry:
        new = result.ndim - arr.ndim + 1
        sources = (*range(i), *[None] * new, *range(i + 1, arr.ndim))
        return arr.take_axes(result.shape, sources, "apply_along_axis")

    return geometry
