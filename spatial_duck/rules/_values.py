"""Functions whose results hold values or indices and no voxels: statistics, sets, coefficients.

They lie nowhere: their axes are plain, and remember the function. Where only some axes of an image
are used up, the others stay.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._reductions import check_weights
from spatial_duck.rules._rule import (
    UNKNOWN,
    check_aligned_except,
    geometries,
    loss_of_all,
    rule,
    shape_of,
    together,
)

__all__: list[str] = []

_ANY = (UNKNOWN,)


# --- where voxels are ---------------------------------------------------------------------


@rule("plain", np.nonzero)
def _nonzero(a: Geometry) -> Any:
    return [loss_of_all("nonzero", a, _ANY)] * a.ndim


@rule("plain", np.flatnonzero)
def _flatnonzero(a: Geometry) -> Any:
    return loss_of_all("flatnonzero", a, _ANY)


@rule("plain", np.argwhere)
def _argwhere(a: Geometry) -> Any:
    return loss_of_all("argwhere", a, (UNKNOWN, a.ndim))


@rule("plain", np.diag_indices_from)
def _diag_indices_from(arr: Geometry) -> Any:
    return [loss_of_all("diag_indices_from", arr, _ANY)] * arr.ndim


@rule("plain", np.tril_indices_from, np.triu_indices_from)
def _tril_indices_from(name: str, arr: Geometry) -> Any:
    return [loss_of_all(name, arr, _ANY)] * 2


# --- histograms ---------------------------------------------------------------------------


def _edges(function: str, source: Geometry, bins: Any) -> tuple[Any, Any]:
    """Return the geometries of a histogram's counts and of the edges of its bins."""
    given = not isinstance(bins, str) and len(shape_of(bins))
    n = shape_of(bins)[0] - 1 if given else UNKNOWN
    counts, edges = loss_of_all(function, source, (n,), (n + 1,))
    return counts, edges


def _source(*arguments: Any) -> Geometry:
    return geometries(*arguments)[0]


def _check_together(function: str, *arguments: Any) -> None:
    if len(geometries(*arguments)) > 1:
        together(function, *geometries(*arguments))


@rule("plain", np.histogram)
def _histogram(a: Any, bins: Any, weights: Any) -> Any:
    _check_together("histogram", a, weights)
    return _edges("histogram", _source(a, weights, bins), bins)


@rule("plain", np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any, weights: Any) -> Any:
    _check_together("histogram_bin_edges", a, weights)
    return _edges("histogram_bin_edges", _source(a, weights, bins), bins)[1]


@rule("plain", np.histogram2d)
def _histogram2d(x: Any, y: Any, bins: Any, weights: Any) -> Any:
    _check_together("histogram2d", x, y, weights)
    return loss_of_all("histogram2d", _source(x, y, weights, bins), (UNKNOWN, UNKNOWN), _ANY, _ANY)


@rule("plain", np.histogramdd)
def _histogramdd(sample: Any, bins: Any, weights: Any) -> Any:
    if isinstance(sample, Geometry):
        count = sample.shape[1] if sample.ndim > 1 else 1
        if isinstance(weights, Geometry) and sample.ndim > 1:
            together("histogramdd", sample[:, 0], weights)
    else:
        count = shape_of(sample)[1] if isinstance(sample, np.ndarray) else len(sample)
        _check_together("histogramdd", sample, weights)
    source = _source(sample, weights, bins)
    counts, edges = loss_of_all("histogramdd", source, (UNKNOWN,) * count, _ANY)
    return counts, [edges] * count


@rule("plain", np.bincount)
def _bincount(x: Any, weights: Any = None) -> Any:
    _check_together("bincount", x, weights)
    return loss_of_all("bincount", _source(x, weights), _ANY)


# --- sets ---------------------------------------------------------------------------------


@rule("plain", np.unique)
def _unique(
    ar: Geometry, return_index: Any, return_inverse: Any, return_counts: Any, axis: Any
) -> Any:
    line = loss_of_all("unique", ar, _ANY)
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


@rule("plain", np.unique_values)
def _unique_values(x: Geometry) -> Any:
    return loss_of_all("unique_values", x, _ANY)


@rule("plain", np.unique_counts)
def _unique_counts(x: Geometry) -> Any:
    return loss_of_all("unique_counts", x, _ANY, _ANY)


@rule("plain", np.unique_inverse)
def _unique_inverse(x: Geometry) -> Any:
    return loss_of_all("unique_inverse", x, _ANY), x


@rule("plain", np.unique_all)
def _unique_all(x: Geometry) -> Any:
    line = loss_of_all("unique_all", x, _ANY)
    return line, line, x, line


@rule("plain", np.union1d, np.setdiff1d, np.setxor1d)
def _of_two_sets(name: str, ar1: Any, ar2: Any) -> Any:
    return loss_of_all(name, _source(ar1, ar2), _ANY)


@rule("plain", np.intersect1d)
def _intersect1d(ar1: Any, ar2: Any, return_indices: Any) -> Any:
    found = loss_of_all("intersect1d", _source(ar1, ar2), _ANY)
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
            together(name, image, y)
    for weights in (fweights, aweights):
        check_weights(name, image, (-1 if rowvar else 0), weights)
    source = _source(image, y, fweights, aweights)
    # How many variables there are is up to NumPy's version where there is one row.
    return lambda result, *_: loss_of_all(name, source, shape_of(result))


# --- coefficients of polynomials ----------------------------------------------------------


@rule("plain", np.poly)
def _poly(seq_of_zeros: Geometry) -> Any:
    return loss_of_all("poly", seq_of_zeros, (seq_of_zeros.shape[0] + 1,))


@rule("plain", np.roots)
def _roots(p: Geometry) -> Any:
    return loss_of_all("roots", p, _ANY)


@rule("plain", np.polyadd, np.polysub, np.polymul, np.polydiv, np.polyder, np.polyint)
def _coefficients(name: str, image: Any, other: Any, k: Any = None) -> Any:
    source = _source(image, other, k)

    def geometry(result: Any, *_: Any) -> Any:
        if isinstance(result, tuple):
            return tuple([loss_of_all(name, source, shape_of(r)) for r in result])
        return loss_of_all(name, source, shape_of(result))

    return geometry


@rule("plain", np.polyfit)
def _polyfit(x: Any, y: Any, w: Any) -> Any:
    found = geometries(x, y, w)
    for g in found:
        together(
            "polyfit", *[f.resize_axis(1, 1)[:, 0] if f.ndim == 2 else f for f in (found[0], g)]
        )
    source = y if isinstance(y, Geometry) else found[0]

    def coefficients(result: Any, *_: Any) -> Any:
        if isinstance(result, tuple):
            return tuple([_of_fit(source, r) for r in result])
        return _of_fit(source, result)

    return coefficients


def _of_fit(source: Geometry, array: Any) -> Any:
    """Return the geometry of coefficients: those of each column of a table stay with it."""
    shape = shape_of(array)
    if source.ndim == 2 and shape and shape[-1] == source.shape[1]:
        new = (None,) * (len(shape) - 1)
        return source.take_axes(shape, (*new, 1), "polyfit")
    return loss_of_all("polyfit", source, shape)


# --- bits ---------------------------------------------------------------------------------


@rule("plain", np.packbits)
def _packbits(a: Geometry, axis: Any = None) -> Any:
    if axis is None:
        return a.take_axes(((math.prod(a.shape) + 7) // 8,), (None,), "packbits")
    i = operator.index(axis) % a.ndim
    return a.lose(i, "packbits", shape=(*a.shape[:i], (a.shape[i] + 7) // 8, *a.shape[i + 1 :]))


@rule("plain", np.unpackbits)
def _unpackbits(a: Geometry, axis: Any = None, count: Any = None) -> Any:
    def length(n: int) -> int:
        bits = 0 if count is None else operator.index(count)
        return bits if bits > 0 or count == 0 else n * 8 + bits

    if axis is None:
        return a.take_axes((length(math.prod(a.shape)),), (None,), "unpackbits")
    i = operator.index(axis) % a.ndim
    return a.lose(i, "unpackbits", shape=(*a.shape[:i], length(a.shape[i]), *a.shape[i + 1 :]))
