"""Functions whose results hold values or indices and no voxels: statistics, sets, coefficients.

They lie nowhere: their axes are plain, and remember the function. Where only some axes of an image
are used up, the others stay.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._reductions import weighed
from spatial_duck.rules._rule import (
    UNKNOWN,
    across,
    each,
    geometries,
    rule,
    shape_of,
    together,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

_ANY = (UNKNOWN,)


# --- where voxels are ---------------------------------------------------------------------


@rule("plain", np.nonzero)
def _nonzero(a: Geometry) -> Any:
    return [values("nonzero", a, _ANY)] * a.ndim


@rule("plain", np.flatnonzero)
def _flatnonzero(a: Geometry) -> Any:
    return values("flatnonzero", a, _ANY)


@rule("plain", np.argwhere)
def _argwhere(a: Geometry) -> Any:
    return values("argwhere", a, (UNKNOWN, a.ndim))


@rule("plain", np.diag_indices_from)
def _diag_indices_from(arr: Geometry) -> Any:
    return [values("diag_indices_from", arr, _ANY)] * arr.ndim


@each("plain", np.tril_indices_from, np.triu_indices_from)
def _tril_indices_from(function: str) -> Callable[..., Any]:
    def geometry(arr: Geometry, k: Any = 0) -> Any:
        return [values(function, arr, _ANY)] * 2

    return geometry


# --- histograms ---------------------------------------------------------------------------


def _edges(function: str, source: Geometry, bins: Any) -> tuple[Any, Any]:
    """Return the geometries of a histogram's counts and of the edges of its bins."""
    given = not isinstance(bins, str) and len(shape_of(bins))
    n = shape_of(bins)[0] - 1 if given else UNKNOWN
    counts, edges = values(function, source, (n,), (n + 1,))
    return counts, edges


def _source(*arguments: Any) -> Geometry:
    return geometries(*arguments)[0]


@rule("plain", np.histogram)
def _histogram(
    a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None
) -> Any:
    if len(geometries(a, weights)) == 2:
        together("histogram", a, weights)
    return _edges("histogram", _source(a, weights, bins), bins)


@rule("plain", np.histogram_bin_edges)
def _histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    if len(geometries(a, weights)) == 2:
        together("histogram_bin_edges", a, weights)
    return _edges("histogram_bin_edges", _source(a, weights, bins), bins)[1]


@rule("plain", np.histogram2d)
def _histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    density: Any = None,
    weights: Any = None,
) -> Any:
    if len(geometries(x, y, weights)) > 1:
        together("histogram2d", *geometries(x, y, weights))
    return values("histogram2d", _source(x, y, weights, bins), (UNKNOWN, UNKNOWN), _ANY, _ANY)


@rule("plain", np.histogramdd)
def _histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    density: Any = None,
    weights: Any = None,
) -> Any:
    if isinstance(sample, Geometry):
        count = sample.shape[1] if sample.ndim > 1 else 1
        if isinstance(weights, Geometry) and sample.ndim > 1:
            together("histogramdd", sample[:, 0], weights)
    else:
        count = shape_of(sample)[1] if isinstance(sample, np.ndarray) else len(sample)
        if len(geometries(sample, weights)) > 1:
            together("histogramdd", *geometries(sample, weights))
    source = _source(sample, weights, bins)
    counts, edges = values("histogramdd", source, (UNKNOWN,) * count, _ANY)
    return counts, [edges] * count


@rule("plain", np.bincount)
def _bincount(x: Any, /, weights: Any = None, minlength: Any = 0) -> Any:
    if len(geometries(x, weights)) == 2:
        together("bincount", x, weights)
    return values("bincount", _source(x, weights), _ANY)


# --- sets ---------------------------------------------------------------------------------


@rule("plain", np.unique)
def _unique(
    ar: Geometry,
    return_index: Any = False,
    return_inverse: Any = False,
    return_counts: Any = False,
    axis: Any = None,
    *,
    equal_nan: Any = True,
    sorted: Any = True,
) -> Any:
    line = values("unique", ar, _ANY)
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
            found[inverse] = values("unique", ar, (UNKNOWN,) * result[inverse].ndim)
        return (unique, *found[1:])

    return geometry


@rule("plain", np.unique_values)
def _unique_values(x: Geometry) -> Any:
    return values("unique_values", x, _ANY)


@rule("plain", np.unique_counts)
def _unique_counts(x: Geometry) -> Any:
    return values("unique_counts", x, _ANY, _ANY)


@rule("plain", np.unique_inverse)
def _unique_inverse(x: Geometry) -> Any:
    return values("unique_inverse", x, _ANY), x


@rule("plain", np.unique_all)
def _unique_all(x: Geometry) -> Any:
    line = values("unique_all", x, _ANY)
    return line, line, x, line


@rule("plain", np.union1d)
def _union1d(ar1: Any, ar2: Any) -> Any:
    return values("union1d", _source(ar1, ar2), _ANY)


@rule("plain", np.setdiff1d)
def _setdiff1d(ar1: Any, ar2: Any, assume_unique: Any = False) -> Any:
    return values("setdiff1d", _source(ar1, ar2), _ANY)


@rule("plain", np.setxor1d)
def _setxor1d(ar1: Any, ar2: Any, assume_unique: Any = False) -> Any:
    return values("setxor1d", _source(ar1, ar2), _ANY)


@rule("plain", np.intersect1d)
def _intersect1d(
    ar1: Any, ar2: Any, assume_unique: Any = False, return_indices: Any = False
) -> Any:
    found = values("intersect1d", _source(ar1, ar2), _ANY)
    return (found,) * 3 if return_indices else found


# --- statistics of several variables ------------------------------------------------------


def _variables(function: str, m: Any, y: Any, rowvar: Any, *weights: Any) -> Any:
    if isinstance(m, Geometry) and isinstance(y, Geometry):
        if m.ndim == y.ndim == 2:
            across(function, 0 if rowvar else 1, m, y)
        elif m.shape == y.shape:
            together(function, m, y)
    for w in weights:
        if isinstance(m, Geometry) and isinstance(w, Geometry):
            weighed(function, m, (-1 if rowvar else 0), w)
    source = _source(m, y, *weights)
    # How many variables there are is up to NumPy's version where there is one row.
    return lambda result, *_: values(function, source, shape_of(result))


@rule("plain", np.cov)
def _cov(
    m: Any,
    y: Any = None,
    rowvar: Any = True,
    bias: Any = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Any:
    return _variables("cov", m, y, rowvar, fweights, aweights)


@rule("plain", np.corrcoef)
def _corrcoef(x: Any, y: Any = None, rowvar: Any = True, *, dtype: Any = None) -> Any:
    return _variables("corrcoef", x, y, rowvar)


# --- coefficients of polynomials ----------------------------------------------------------


@rule("plain", np.poly)
def _poly(seq_of_zeros: Geometry) -> Any:
    return values("poly", seq_of_zeros, (seq_of_zeros.shape[0] + 1,))


@rule("plain", np.roots)
def _roots(p: Geometry) -> Any:
    return values("roots", p, _ANY)


@each("plain", np.polyadd, np.polysub, np.polymul)
def _polyadd(function: str) -> Callable[..., Any]:
    def geometry(a1: Any, a2: Any) -> Any:
        return values(function, _source(a1, a2), _ANY)

    return geometry


@rule("plain", np.polydiv)
def _polydiv(u: Any, v: Any) -> Any:
    return values("polydiv", _source(u, v), _ANY, _ANY)


@rule("plain", np.polyder)
def _polyder(p: Geometry, m: Any = 1) -> Any:
    return values("polyder", p, _ANY)


@rule("plain", np.polyint)
def _polyint(p: Any, m: Any = 1, k: Any = None) -> Any:
    return values("polyint", _source(p, k), _ANY)


@rule("plain", np.polyfit)
def _polyfit(
    x: Any, y: Any, deg: Any, rcond: Any = None, full: Any = False, w: Any = None, cov: Any = False
) -> Any:
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
    return values("polyfit", source, shape)


# --- bits ---------------------------------------------------------------------------------


@rule("plain", np.packbits)
def _packbits(a: Geometry, /, axis: Any = None, bitorder: Any = "big") -> Any:
    if axis is None:
        return a.take_axes(((math.prod(a.shape) + 7) // 8,), (None,), "packbits")
    i = operator.index(axis) % a.ndim
    return a.lose(i, "packbits", shape=(*a.shape[:i], (a.shape[i] + 7) // 8, *a.shape[i + 1 :]))


@rule("plain", np.unpackbits)
def _unpackbits(a: Geometry, /, axis: Any = None, count: Any = None, bitorder: Any = "big") -> Any:
    def length(n: int) -> int:
        bits = 0 if count is None else operator.index(count)
        return bits if bits > 0 or count == 0 else n * 8 + bits

    if axis is None:
        return a.take_axes((length(math.prod(a.shape)),), (None,), "unpackbits")
    i = operator.index(axis) % a.ndim
    return a.lose(i, "unpackbits", shape=(*a.shape[:i], length(a.shape[i]), *a.shape[i + 1 :]))
