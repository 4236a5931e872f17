"""Functions whose results hold values or indices and no voxels: statistics, sets, coefficients.

Their axes are plain, and note the function that lost the positions. Where only some axes of an
image are consumed, the others stay.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._reductions import check_weights
from spatial_duck.rules._rule import (
    UNKNOWN,
    check_aligned_except,
    elementwise_geometry,
    geometries,
    loss_of_all,
    rule,
    shape_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_UNKNOWN_SHAPE = (UNKNOWN,)


@rule("plain", np.flatnonzero, np.unique_values, np.roots)
def _line_of_values(name: str, image: Geometry) -> Any:
    return loss_of_all(name, image, _UNKNOWN_SHAPE)


# --- indices of voxels --------------------------------------------------------------------


@rule("plain", np.nonzero, np.diag_indices_from)
def _nonzero(name: str, image: Geometry) -> Any:
    return [loss_of_all(name, image, _UNKNOWN_SHAPE)] * image.ndim


@rule("plain", np.argwhere)
def _argwhere(a: Geometry) -> Any:
    return loss_of_all("argwhere", a, (UNKNOWN, a.ndim))


@rule("plain", np.tril_indices_from, np.triu_indices_from)
def _tril_indices_from(name: str, arr: Geometry) -> Any:
    return [loss_of_all(name, arr, _UNKNOWN_SHAPE)] * 2


# --- histograms ---------------------------------------------------------------------------


def _first_image(*arguments: Any) -> Geometry:
    return geometries(*arguments)[0]


def _check_together(function: str, *arguments: Any) -> None:
    if len(geometries(*arguments)) > 1:
        elementwise_geometry(function, *geometries(*arguments))


@rule("plain", np.histogram, np.histogram_bin_edges)
def _histogram(name: str, a: Any, bins: Any, weights: Any) -> Any:
    _check_together(name, a, weights)
    given = not isinstance(bins, str) and len(shape_of(bins))
    n = shape_of(bins)[0] - 1 if given else UNKNOWN
    counts, edges = loss_of_all(name, _first_image(a, weights, bins), (n,), (n + 1,))
    return (counts, edges) if name == "histogram" else edges


@rule("plain", np.histogram2d)
def _histogram2d(x: Any, y: Any, bins: Any, weights: Any) -> Any:
    _check_together("histogram2d", x, y, weights)
    return loss_of_all(
        "histogram2d",
        _first_image(x, y, weights, bins),
        (UNKNOWN, UNKNOWN),
        _UNKNOWN_SHAPE,
        _UNKNOWN_SHAPE,
    )


@rule("plain", np.histogramdd)
def _histogramdd(sample: Any, bins: Any, weights: Any) -> Any:
    if isinstance(sample, Geometry):
        count = sample.shape[1] if sample.ndim > 1 else 1
        if isinstance(weights, Geometry) and sample.ndim > 1:
            elementwise_geometry("histogramdd", sample[:, 0], weights)
    else:
        count = shape_of(sample)[1] if isinstance(sample, np.ndarray) else len(sample)
        _check_together("histogramdd", sample, weights)
    source = _first_image(sample, weights, bins)
    counts, edges = loss_of_all("histogramdd", source, (UNKNOWN,) * count, _UNKNOWN_SHAPE)
    return counts, [edges] * count


@rule("plain", np.bincount)
def _bincount(x: Any, weights: Any = None) -> Any:
    _check_together("bincount", x, weights)
    return loss_of_all("bincount", _first_image(x, weights), _UNKNOWN_SHAPE)


# --- sets ---------------------------------------------------------------------------------


@rule("plain", np.unique)
def _unique(
    ar: Geometry, return_index: Any, return_inverse: Any, return_counts: Any, axis: Any
) -> Any:
    line = loss_of_all("unique", ar, _UNKNOWN_SHAPE)
    unique = line
    if axis is not None:
        i = operator.index(axis) % ar.ndim
        unique = ar.lose(i, "unique", shape=(*ar.shape[:i], UNKNOWN, *ar.shape[i + 1 :]))
    flags = (return_index, return_inverse, return_counts)
    if not any(flags):
        return unique

    def geometry(result: Any, *_: Any) -> tuple[Geometry, ...]:
        # The inverse has a value for each voxel, and the shape of the image where it is whole.
        whole = [r.shape == ar.shape and axis is None for r in result]
        inverse = 1 + bool(return_index) if return_inverse else -1
        found = [ar if n == inverse and whole[n] else line for n in range(len(result))]
        if return_inverse and not whole[inverse]:
            found[inverse] = loss_of_all("unique", ar, (UNKNOWN,) * result[inverse].ndim)
        return (unique, *found[1:])

    return geometry


@rule("plain", np.unique_counts)
def _unique_counts(x: Geometry) -> Any:
    return loss_of_all("unique_counts", x, _UNKNOWN_SHAPE, _UNKNOWN_SHAPE)


@rule("plain", np.unique_inverse)
def _unique_inverse(x: Geometry) -> Any:
    return loss_of_all("unique_inverse", x, _UNKNOWN_SHAPE), x


@rule("plain", np.unique_all)
def _unique_all(x: Geometry) -> Any:
    line = loss_of_all("unique_all", x, _UNKNOWN_SHAPE)
    return line, line, x, line


@rule("plain", np.union1d, np.setdiff1d, np.setxor1d)
def _set_operation(name: str, ar1: Any, ar2: Any) -> Any:
    return loss_of_all(name, _first_image(ar1, ar2), _UNKNOWN_SHAPE)


@rule("plain", np.intersect1d)
def _intersect1d(ar1: Any, ar2: Any, return_indices: Any) -> Any:
    found = loss_of_all("intersect1d", _first_image(ar1, ar2), _UNKNOWN_SHAPE)
    return (found,) * 3 if return_indices else found


# --- statistics of several variables ------------------------------------------------------


@rule("plain", np.cov, np.corrcoef)
def _variables(
    name: str, image: Any, y: Any, rowvar: Any, fweights: Any = None, aweights: Any = None
) -> Any:
    if isinstance(image, Geometry) and isinstance(y, Geometry):
        if image.ndim == y.ndim == 2:
            check_aligned_except(name, 0 if rowvar else 1, image, y)
        elif image.shape == y.shape:
            elementwise_geometry(name, image, y)
    for weights in (fweights, aweights):
        check_weights(name, image, (-1 if rowvar else 0), weights)
    source = _first_image(image, y, fweights, aweights)
    # For one row the number of variables depends on NumPy's version.
    return lambda result, *_: loss_of_all(name, source, shape_of(result))


# --- coefficients of polynomials ----------------------------------------------------------


@rule("plain", np.poly)
def _poly(seq_of_zeros: Geometry) -> Any:
    return loss_of_all("poly", seq_of_zeros, (seq_of_zeros.shape[0] + 1,))


@rule("plain", np.polyadd, np.polysub, np.polymul, np.polydiv, np.polyder, np.polyint)
def _coefficients(name: str, image: Any, other: Any, k: Any = None) -> Any:
    source = _first_image(image, other, k)

    def geometry(result: Any, *_: Any) -> Any:
        if isinstance(result, tuple):
            return tuple([loss_of_all(name, source, shape_of(r)) for r in result])
        return loss_of_all(name, source, shape_of(result))

    return geometry


@rule("plain", np.polyfit)
def _polyfit(x: Any, y: Any, w: Any) -> Any:
    found = geometries(x, y, w)
    for g in found:
        elementwise_geometry(
            "polyfit", *[f.resize_axis(1, 1)[:, 0] if f.ndim == 2 else f for f in (found[0], g)]
        )
    source = y if isinstance(y, Geometry) else found[0]

    def coefficients(result: Any, *_: Any) -> Any:
        if isinstance(result, tuple):
            return tuple([_fit_coefficients(source, r) for r in result])
        return _fit_coefficients(source, result)

    return coefficients


def _fit_coefficients(source: Geometry, array: Any) -> Any:
    """Return the geometry of fitted coefficients; the axis of the columns keeps its positions."""
    shape = shape_of(array)
    if source.ndim == 2 and shape and shape[-1] == source.shape[1]:
        new = (None,) * (len(shape) - 1)
        return source.take_axes(shape, (*new, 1), "polyfit")
    return loss_of_all("polyfit", source, shape)


# --- bits ---------------------------------------------------------------------------------


def _repack(name: str, a: Geometry, axis: Any, length: Callable[[int], int]) -> Geometry:
    """Return the geometry with another length of one axis, or of the flattened image."""
    if axis is None:
        return a.take_axes((length(math.prod(a.shape)),), (None,), name)
    i = operator.index(axis) % a.ndim
    return a.lose(i, name, shape=(*a.shape[:i], length(a.shape[i]), *a.shape[i + 1 :]))


@rule("plain", np.packbits)
def _packbits(name: str, a: Geometry, axis: Any = None) -> Any:
    return _repack(name, a, axis, lambda n: (n + 7) // 8)


@rule("plain", np.unpackbits)
def _unpackbits(name: str, a: Geometry, axis: Any = None, count: Any = None) -> Any:
    bits = 0 if count is None else operator.index(count)
    return _repack(name, a, axis, lambda n: bits if bits > 0 or count == 0 else n * 8 + bits)
