"""Distances between the surfaces of segmentations, in world units.

The surface of a segmentation is the voxels of it that share a face with a voxel outside it, or with
the outside of the image; its points are their centres in the world. The distance of each to the
nearest point of the other surface is found by a k-d tree of world points, on any grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.geometry._quantity import one_length
from spatial_duck.metrics._pairs import check_pair, measure_with_halo, value_by_label

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]
    Indices = dict[int, tuple[NDArray[np.intp], NDArray[np.intp]]]

__all__ = ["average_surface_distance", "hausdorff", "surface_dice", "surface_distances"]


def surface_distances(
    reference: SpatialArray, prediction: Any, labels: Sequence[int] | None = None
) -> Any:
    """Return how far each surface voxel lies from the other surface.

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
    tuple of ndarray, or dict of int to tuple of ndarray
        Distances in world units from the surface voxels of the reference to the surface of the
        prediction, and from those of the prediction to that of the reference. Infinite where the
        other has no surface. One pair where one image is a mask of bool, else one for each label.
        Where an image is lazy, a `dask.delayed.Delayed` of that.

    Raises
    ------
    GeometryMismatchError
        If the images lie on different grids.
    ValueError
        If one is a mask of bool, and the other has labels besides 1.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> a, b = np.zeros((2, 5, 5), bool)
    >>> a[1, 1] = b[3, 1] = True
    >>> surface_distances(sd.SpatialArray(a, spacing=(2.5, 1.0)), b)
    (array([5.]), array([5.]))
    """
    return _compare_surfaces("surface_distances", lambda pair: pair, reference, prediction, labels)


def hausdorff(
    reference: SpatialArray,
    prediction: Any,
    labels: Sequence[int] | None = None,
    *,
    percentile: float = 100.0,
) -> Any:
    """Return the Hausdorff distance: how far the surfaces lie from each other at most.

    Parameters
    ----------
    reference, prediction, labels
        As for `surface_distances`.
    percentile : float, optional
        Percentile of the distances in each direction, of which the larger one counts; 95 ignores
        the farthest, which is known as HD95.

    Returns
    -------
    float or dict of int to float
        In world units; infinite where one image has no surface, NaN where neither has. Lazy as for
        `surface_distances`.

    Notes
    -----
    Huttenlocher et al., Comparing images using the Hausdorff distance, IEEE PAMI 15, 1993; the
    percentile of each direction as in Metrics reloaded (Maier-Hein et al., Nature Methods 21,
    2024).
    """
    if not (isinstance(percentile, Real) and 0 < percentile <= 100):
        raise ValueError(f"percentile must be a number above 0 and at most 100, got {percentile!r}")
    value = partial(_hausdorff, percentile=percentile)
    return _compare_surfaces("hausdorff", value, reference, prediction, labels)


def average_surface_distance(
    reference: SpatialArray, prediction: Any, labels: Sequence[int] | None = None
) -> Any:
    """Return the average symmetric surface distance: the mean over the voxels of both surfaces.

    Parameters
    ----------
    reference, prediction, labels
        As for `surface_distances`.

    Returns
    -------
    float or dict of int to float
        As for `hausdorff`.
    """
    what = "average_surface_distance"
    return _compare_surfaces(what, _mean_distance, reference, prediction, labels)


def surface_dice(
    reference: SpatialArray,
    prediction: Any,
    tolerance: Any,
    labels: Sequence[int] | None = None,
) -> Any:
    """Return the part of both surfaces that lies within a tolerance of the other.

    Parameters
    ----------
    reference, prediction
        As for `surface_distances`.
    tolerance : float
        Largest distance that counts as agreement, in the world's unit, or with one of its own.
    labels
        As for `surface_distances`.

    Returns
    -------
    float or dict of int to float
        From 0 to 1; NaN where neither image has a surface, 0 where one has none, whatever the
        tolerance. Lazy as for `surface_distances`.

    Notes
    -----
    Nikolov et al., Clinically applicable segmentation of head and neck anatomy, J Med Internet Res
    23, 2021, over surface voxels, each of which counts once.
    """
    reference = as_image(reference, "surface_dice", "reference")
    limit = one_length(tolerance, reference.world, "tolerance")
    if not limit >= 0:
        raise ValueError(f"tolerance must be 0 or more, got {tolerance!r}")
    value = partial(_fraction_within, limit=limit)
    return _compare_surfaces("surface_dice", value, reference, prediction, labels)


def _hausdorff(pair: tuple[Floats, Floats], percentile: float) -> float:
    ends = [_percentile(distances, percentile) for distances in pair if distances.size]
    return max(ends) if ends else float("nan")


def _percentile(distances: Floats, percentile: float) -> float:
    if np.isinf(distances).any():  # all of them: the other has no surface
        return float("inf")
    return float(np.percentile(distances, percentile))


def _mean_distance(pair: tuple[Floats, Floats]) -> float:
    both = np.concatenate(pair)
    return float(both.mean()) if both.size else float("nan")


def _fraction_within(pair: tuple[Floats, Floats], limit: float) -> float:
    both = np.concatenate(pair)
    # Grids that were stored in 32 bits have distances that differ in the seventh digit.
    near = (both <= limit * (1 + 1e-6)) & np.isfinite(both)
    return float(near.mean()) if both.size else float("nan")


def _compare_surfaces(
    what: str, value: Callable[..., Any], reference: Any, prediction: Any, labels: Any
) -> Any:
    image, other, masks, wanted = check_pair(what, reference, prediction, labels)
    join = partial(_join_surfaces, value=value, masks=masks, labels=wanted, geometry=image.geometry)
    find = partial(_surfaces, shape=image.shape, labels=wanted)
    return measure_with_halo(find, join, image.data, other, halo=1)


def _surfaces(
    one: Any,
    other: Any,
    start: Sequence[int],
    core: Any = None,
    *,
    shape: Sequence[int],
    labels: tuple[int, ...] | None,
) -> Indices:
    """Return the indices of the surface voxels of each label, in the whole image.

    Parameters
    ----------
    one, other : ndarray
        Blocks with a halo of one voxel, as far as there are voxels.
    start : sequence of int
        Index of their first voxel.
    core : sequence of (start, stop), optional
        The voxels that count; all by default.
    shape : sequence of int
        Shape of the whole image.
    labels : tuple of int or None
        Those wanted; all but 0 if None.
    """
    found: dict[int, list[Any]] = {}
    for column, values in enumerate((one, other)):
        edge = _has_other_neighbour(np.asarray(values))
        if core is not None:
            inside = np.zeros(edge.shape, dtype=bool)
            inside[tuple([slice(a - s, b - s) for (a, b), s in zip(core, start, strict=True)])] = (
                True
            )
            edge &= inside
        if labels is None or 0 not in labels:
            edge &= values != 0
        index = np.argwhere(edge)
        marks = values[tuple(index.T)]
        flat = np.ravel_multi_index(tuple((index + np.asarray(start)).T), tuple(shape))
        order = np.argsort(marks, kind="stable")
        names, firsts = np.unique(marks[order], return_index=True)
        for name, part in zip(names.tolist(), np.split(flat[order], firsts[1:]), strict=False):
            if labels is None or name in labels:
                found.setdefault(int(name), [_NO_INDICES, _NO_INDICES])[column] = part
    return {label: (a, b) for label, (a, b) in found.items()}


_NO_INDICES = np.zeros(0, dtype=np.intp)


def _has_other_neighbour(labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where a voxel shares a face with one of another label, or with the outside."""
    edge = np.zeros(labels.shape, dtype=bool)
    for axis in range(labels.ndim):
        one = [slice(None)] * labels.ndim
        two = list(one)
        one[axis], two[axis] = slice(None, -1), slice(1, None)
        differs = labels[tuple(one)] != labels[tuple(two)]
        edge[tuple(one)] |= differs
        edge[tuple(two)] |= differs
        for end in (0, -1) if labels.shape[axis] else ():
            last = [slice(None)] * labels.ndim
            last[axis] = end  # type: ignore[call-overload]
            edge[tuple(last)] = True
    return edge


def _join_surfaces(
    parts: list[Indices],
    value: Callable[..., Any],
    masks: bool,
    labels: tuple[int, ...] | None,
    geometry: Geometry,
) -> Any:
    found = {}
    for name in {name for part in parts for name in part}:
        sides = [
            np.concatenate([part.get(name, (_NO_INDICES, _NO_INDICES))[column] for part in parts])
            for column in (0, 1)
        ]
        found[name] = _distances(sides[0], sides[1], geometry)
    return value_by_label(
        lambda pair: value(pair or (np.zeros(0), np.zeros(0))), found, masks, labels
    )


def _distances(
    one: NDArray[np.intp], other: NDArray[np.intp], geometry: Geometry
) -> tuple[Floats, Floats]:
    """Return the distances between two sets of voxels, given by their flat indices, in order."""
    trees = require("scipy.spatial", "Distances between surfaces")
    points = [
        geometry.index_to_physical(np.column_stack(np.unravel_index(np.sort(i), geometry.shape)))
        for i in (one, other)
    ]
    if not (len(one) and len(other)):
        return np.full(len(one), np.inf), np.full(len(other), np.inf)
    there, back = (trees.cKDTree(p) for p in points)
    return back.query(points[0])[0], there.query(points[1])[0]
