"""Statistics of the values under each label, by SciPy's names.

Moments are one of the values (the reference), the mean minus the reference, and the sum of squared
differences from the mean, so that large values lose no precision; chunks are joined as in Chan,
Golub and LeVeque, Algorithms for computing the sample variance, The American Statistician 37, 1983.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck import backends
from spatial_duck.array import SpatialArray
from spatial_duck.ndimage._domain import Axes
from spatial_duck.ndimage._measurements import Measure, measure_frames, voxels_by_label
from spatial_duck.ndimage._running import engine_of, exact_differences, round_to_float64

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Floats = NDArray[np.float64]

__all__ = ["maximum", "mean", "median", "minimum", "standard_deviation", "sum_labels", "variance"]

_COUNT, _REFERENCE, _MEAN, _SQUARES, _LOW, _HIGH = range(6)


def _values_by_label(image: Any, labels: Any, index: Any) -> Iterator[Any]:
    """Yield the values of each label of an index, as `voxels_by_label` yields its mask."""
    for chosen in voxels_by_label(labels, index):
        yield image.ravel() if chosen is None else image[chosen]


def _moments(image: Any, labels: Any, start: Sequence[int], index: Any) -> Floats:
    """Return count, reference, mean minus reference, squares and extremes of each label."""
    del start
    rows = []
    for values in _values_by_label(image, labels, index):
        if not values.size:
            rows.append([0.0, 0.0, 0.0, 0.0, np.inf, -np.inf])
            continue
        one = round_to_float64(values[:1])
        apart = exact_differences(values, one)
        some = float(one[0])
        middle = float(apart.mean())
        squares = float(((apart - middle) ** 2).sum())
        rows.append([values.size, some, middle, squares, float(values.min()), float(values.max())])
    return np.array(rows)


def _join_moments(parts: Sequence[Any], **where: Any) -> Floats:
    """Join the moments of chunks; the keywords of `Measure.join` are not needed."""
    del where
    total = np.array(parts[0], dtype=np.float64)
    for part in parts[1:]:
        other = np.asarray(part, dtype=np.float64)
        fresh, gone = total[:, _COUNT] == 0, other[:, _COUNT] == 0
        count = total[:, _COUNT] + other[:, _COUNT]
        some = np.where(fresh, other[:, _REFERENCE], total[:, _REFERENCE])
        mine = total[:, _MEAN] + np.where(fresh, 0, total[:, _REFERENCE] - some)
        theirs = other[:, _MEAN] + np.where(gone, 0, other[:, _REFERENCE] - some)
        share = other[:, _COUNT] / np.maximum(count, 1)
        total[:, _SQUARES] += other[:, _SQUARES]
        total[:, _SQUARES] += (theirs - mine) ** 2 * total[:, _COUNT] * share
        total[:, _MEAN] = mine + (theirs - mine) * share
        total[:, _COUNT], total[:, _REFERENCE] = count, some
        total[:, _LOW] = np.minimum(total[:, _LOW], other[:, _LOW])
        total[:, _HIGH] = np.maximum(total[:, _HIGH], other[:, _HIGH])
    return total


_MOMENTS = Measure(_moments, _join_moments)


def _measure_moments(what: str, image: Any, labels: Any, index: Any, axes: Axes) -> Any:
    """Return the moments of each label, shape (*other axes, [len(index)], 6)."""
    return measure_frames(what, image, labels, index, axes, "biuf", _MOMENTS, 6)[0]


def sum_labels(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the sum of the values.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, Dask or Zarr array, of real numbers.
    labels : SpatialArray or array, optional
        On the same grid. Without an index, all that is not zero is one object.
    index : int or sequence of int, optional
        Labels whose values are wanted.
    axes : str, int, or sequence of these, optional
        The axes to measure along; all space axes by default.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
        NumPy, or a Dask array where the image is lazy. 0 for a label without voxels.

    Raises
    ------
    GeometryMismatchError
        If the labels lie elsewhere.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray([[1.0, 2.0], [3.0, 5.0]])
    >>> sum_labels(image, image > 1), sum_labels(image, np.array([[1, 1], [2, 2]]), [1, 2])
    (np.float64(10.0), array([3., 8.]))
    """
    found = _measure_moments("sum_labels", image, labels, index, axes)
    return found[..., _COUNT] * (found[..., _REFERENCE] + found[..., _MEAN])


def mean(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the mean of the values, NaN for a label without voxels.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
    """
    found = _measure_moments("mean", image, labels, index, axes)
    return np.where(found[..., _COUNT] > 0, found[..., _REFERENCE] + found[..., _MEAN], np.nan)[()]


def variance(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the variance of the values, NaN for a label without voxels.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
    """
    found = _measure_moments("variance", image, labels, index, axes)
    count = found[..., _COUNT]
    return np.where(count > 0, found[..., _SQUARES] / np.maximum(count, 1), np.nan)[()]


def standard_deviation(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the standard deviation of the values, NaN for a label without voxels.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
    """
    found = _measure_moments("standard_deviation", image, labels, index, axes)
    count = found[..., _COUNT]
    return np.where(count > 0, np.sqrt(found[..., _SQUARES] / np.maximum(count, 1)), np.nan)[()]


def minimum(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the lowest value, infinite for a label without voxels.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
    """
    return _measure_moments("minimum", image, labels, index, axes)[..., _LOW][()]


def maximum(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the highest value, minus infinity for a label without voxels.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
    """
    return _measure_moments("maximum", image, labels, index, axes)[..., _HIGH][()]


# --- medians ------------------------------------------------------------------------------


def _count_values(image: Any, labels: Any, start: Sequence[int], index: Any) -> list[Any]:
    """Return the values of each label, in order, and how many voxels have each."""
    del start
    xp = engine_of(image).xp
    return [
        xp.unique(values, return_counts=True) for values in _values_by_label(image, labels, index)
    ]


def _medians(parts: Sequence[Any], **where: Any) -> Floats:
    """Return the median of each label; the keywords of `Measure.join` are not needed."""
    del where
    return np.array([[_median_of_counts(counted)] for counted in zip(*parts, strict=True)])


def _median_of_counts(counted: Sequence[tuple[Any, Any]]) -> float:
    """Return the median of values that were counted in parts."""
    values = np.concatenate([backends.to(v, "numpy") for v, _ in counted])
    counts = np.concatenate([backends.to(n, "numpy") for _, n in counted])
    if not values.size or (values != values).any():
        return float("nan")
    order = np.argsort(values, kind="stable")
    ends = np.cumsum(counts[order])
    middle = [(ends[-1] - 1) // 2, ends[-1] // 2]
    low, high = values[order][np.searchsorted(ends, middle, side="right")].tolist()
    return (low + high) / 2 if low != high else float(low)


_MEDIANS = Measure(_count_values, _medians)


def median(
    image: SpatialArray, labels: Any = None, index: ArrayLike | None = None, *, axes: Axes = None
) -> Any:
    """Return the median of the values, NaN for a label without voxels, or with NaN among them.

    Parameters
    ----------
    image, labels, index, axes
        As for `sum_labels`.

    Returns
    -------
    array of float, shape ``(*other axes, [len(index)])``
        Exact, on a lazy image too: the different values under each label are gathered, which are
        few in images of integers.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray([[1.0, 2.0], [3.0, 5.0]])
    >>> median(image), median(image, np.array([[1, 1], [2, 1]]), [1, 2])
    (np.float64(2.5), array([2., 3.]))
    """
    return measure_frames("median", image, labels, index, axes, "biuf", _MEDIANS, 1)[0][..., 0][()]
