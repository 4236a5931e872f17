"""Overlap of segmentations: counts of voxels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.metrics._pairs import check_pair, value_by_label
from spatial_duck.ndimage._running import measure_parts

if TYPE_CHECKING:
    Counts = dict[int, tuple[int, int, int]]

__all__ = ["dice", "jaccard", "volume_similarity"]


def dice(reference: SpatialArray, prediction: Any, labels: Sequence[int] | None = None) -> Any:
    """Return the Dice coefficient: twice the common voxels over the voxels of both.

    Parameters
    ----------
    reference : SpatialArray of bool or int
        A mask, or labels with 0 outside; on a NumPy, Dask or Zarr array, all of whose axes are
        space axes.
    prediction : SpatialArray or array
        On the same grid.
    labels : sequence of int, optional
        Labels wanted; by default all but 0 that either image has.

    Returns
    -------
    float or dict of int to float
        A number where one is a mask of bool, else one for each label; NaN where neither image has
        it. Where an image is lazy, a `dask.delayed.Delayed` of that.

    Raises
    ------
    GeometryMismatchError
        If the images lie on different grids.
    ValueError
        If one is a mask of bool, and the other has labels besides 1.

    Notes
    -----
    ``2 |A ∩ B| / (|A| + |B|)``: Dice, Measures of the amount of ecologic association between
    species, Ecology 26, 1945; Maier-Hein et al., Metrics reloaded, Nature Methods 21, 2024.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> a = sd.SpatialArray(np.array([0, 1, 1, 0], bool))
    >>> b = sd.SpatialArray(np.array([0, 0, 1, 1], bool))
    >>> dice(a, b)
    0.5
    """
    return _compare_overlap("dice", _dice, reference, prediction, labels)


def jaccard(reference: SpatialArray, prediction: Any, labels: Sequence[int] | None = None) -> Any:
    """Return the Jaccard index: the common voxels over the voxels of either.

    Parameters
    ----------
    reference, prediction, labels
        As for `dice`.

    Returns
    -------
    float or dict of int to float
        As for `dice`.
    """
    return _compare_overlap("jaccard", _jaccard, reference, prediction, labels)


def volume_similarity(
    reference: SpatialArray, prediction: Any, labels: Sequence[int] | None = None
) -> Any:
    """Return how alike the volumes are, wherever they lie: 1 for equal ones, 0 where one is empty.

    Parameters
    ----------
    reference, prediction, labels
        As for `dice`.

    Returns
    -------
    float or dict of int to float
        As for `dice`.

    Notes
    -----
    ``1 - ||A| - |B|| / (|A| + |B|)``: Taha and Hanbury, Metrics for evaluating 3D medical image
    segmentation, BMC Medical Imaging 15, 2015.
    """
    return _compare_overlap("volume_similarity", _volume_similarity, reference, prediction, labels)


def _dice(counts: tuple[int, int, int] | None) -> float:
    mine, theirs, both = counts or (0, 0, 0)
    return 2 * both / (mine + theirs) if mine + theirs else float("nan")


def _jaccard(counts: tuple[int, int, int] | None) -> float:
    mine, theirs, both = counts or (0, 0, 0)
    either = mine + theirs - both
    return both / either if either else float("nan")


def _volume_similarity(counts: tuple[int, int, int] | None) -> float:
    mine, theirs, _ = counts or (0, 0, 0)
    return 1 - abs(mine - theirs) / (mine + theirs) if mine + theirs else float("nan")


def _compare_overlap(
    what: str, value: Callable[..., float], reference: Any, prediction: Any, labels: Any
) -> Any:
    image, other, masks, wanted = check_pair(what, reference, prediction, labels)
    join = partial(_join_counts, value=value, masks=masks, labels=wanted)
    return measure_parts(partial(_count, labels=wanted), join, image.data, other)


def _count(one: Any, other: Any, start: Any, *, labels: tuple[int, ...] | None) -> Counts:
    """Count the voxels of each label in either block, and those that both have."""
    del start
    counts: dict[int, list[int]] = {}
    for column, values in enumerate((one, other, one[one == other])):
        found, numbers = np.unique(values, return_counts=True)
        for label, number in zip(found.tolist(), numbers.tolist(), strict=True):
            if label if labels is None else label in labels:
                counts.setdefault(int(label), [0, 0, 0])[column] = number
    return {label: (a, b, c) for label, (a, b, c) in counts.items()}


def _join_counts(parts: list[Counts], value: Callable[..., float], masks: bool, labels: Any) -> Any:
    total: Counts = {}
    for part in parts:
        for label, counts in part.items():
            before = total.get(label, (0, 0, 0))
            total[label] = tuple([a + b for a, b in zip(before, counts, strict=True)])  # type: ignore[assignment]
    return value_by_label(value, total, masks, labels)
