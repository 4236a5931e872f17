"""Objects of masks and label images, chosen by their volume, grown by a distance, or renumbered."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck.array import SpatialArray
from spatial_duck.backends import chunk_values, empty_block
from spatial_duck.geometry._quantity import one_length, volume_in
from spatial_duck.geometry._validation import is_whole
from spatial_duck.ndimage._components import Parts, select_parts
from spatial_duck.ndimage._domain import Axes, Domain, find_domain, halo_of
from spatial_duck.ndimage._morphology import by_frame, joining_structure
from spatial_duck.ndimage._running import (
    Engine,
    check_image,
    lazy_data,
    require_host,
    run,
    slabs,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


#: Voxels of which several may be as near as the nearest, on sheared grids.
_AS_NEAR = 16
#: Points whose neighbours are looked for together.
_POINTS = 1 << 17

__all__ = ["expand_labels", "keep_largest", "relabel_sequential", "remove_small_objects"]


def keep_largest(
    labels: SpatialArray,
    count: int = 1,
    *,
    structure: ArrayLike | None = None,
    axes: Axes = None,
) -> SpatialArray:
    """Keep the largest connected parts of each label, and set the others to 0.

    Parameters
    ----------
    labels : SpatialArray of bool or int
        A mask, or labels with 0 outside objects; on a NumPy, Dask or Zarr array.
    count : int, optional
        How many parts of each label are kept.
    structure : array_like of bool, optional
        Which of the 3ⁿ neighbours are joined, symmetric; by default those that share a face.
    axes : str, int, or sequence of these, optional
        The axes along which voxels are joined, by name or number; all space axes by default. Each
        time and each channel keeps its own parts.

    Returns
    -------
    SpatialArray
        On the same grid, of the same type. Of parts of one size the first in C order is kept. On a
        lazy image, lazy: chunks are labelled and joined.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> keep_largest(sd.SpatialArray([1, 0, 1, 1, 0, 2], spacing=0.5)).data
    array([0, 0, 1, 1, 0, 2])
    """
    if not is_whole(count, 1):
        raise ValueError(f"count must be a whole number of 1 or more, got {count!r}")
    labels = check_image(labels, "keep_largest", "biu")
    domain = find_domain(labels, axes, "keep_largest")
    choose = partial(_is_largest, int(count), _frames(labels.shape, domain.axes))
    return _select_objects(labels, domain, structure, "keep_largest", choose)


def remove_small_objects(
    labels: SpatialArray,
    volume: Any,
    *,
    structure: ArrayLike | None = None,
    axes: Axes = None,
) -> SpatialArray:
    """Set the connected parts of labels whose volume is too small to 0.

    Parameters
    ----------
    labels : SpatialArray of bool or int
        A mask, or labels with 0 outside objects; on a NumPy, Dask or Zarr array.
    volume : float, str or quantity
        The smallest volume that stays, in cubic world units, or with a unit such as ``"5 ml"``:
        along two axes an area, along one a length. That of a part is the number of its voxels
        times the volume of one.
    structure, axes
        As for `keep_largest`.

    Returns
    -------
    SpatialArray
        On the same grid, of the same type; lazy where the image is.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> mask = sd.SpatialArray([True, False, True, True], spacing=0.5)
    >>> remove_small_objects(mask, 1.0).data
    array([False, False,  True,  True])
    """
    labels = check_image(labels, "remove_small_objects", "biu")
    domain = find_domain(labels, axes, "remove_small_objects")
    wanted = volume_in(volume, domain.units[0], len(domain.axes), "volume")
    if not 0 <= wanted < math.inf:
        raise ValueError(f"volume must be finite, and 0 or more, got {volume!r}")
    # Spacings read from text have few digits: a part of exactly this volume is kept.
    voxels = wanted / math.sqrt(max(float(np.linalg.det(domain.metric)), 0.0)) * (1 - 1e-6)
    return _select_objects(
        labels, domain, structure, "remove_small_objects", partial(_is_large_enough, voxels)
    )


def expand_labels(labels: SpatialArray, distance: Any, *, axes: Axes = None) -> SpatialArray:
    """Grow labels by a distance into the background, without growing over each other.

    Parameters
    ----------
    labels : SpatialArray of bool or int
        A mask, or labels with 0 outside objects; on a NumPy, Dask or Zarr array.
    distance : float or quantity
        How far they grow, in world units, between centres of voxels.
    axes : str, int, or sequence of these, optional
        The axes to grow along, by name or number; all space axes by default.

    Returns
    -------
    SpatialArray
        On the same grid, of the same type: each voxel of the background within the distance has
        the label of the nearest voxel that has one. Exact on oblique, anisotropic and sheared
        grids. On a lazy image, lazy, by chunks that overlap by the distance.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> expand_labels(sd.SpatialArray([1, 0, 0, 0, 0, 2], spacing=0.5), 0.5).data
    array([1, 1, 0, 0, 2, 2])
    """
    labels = check_image(labels, "expand_labels", "biu")
    require_host(labels.data, "expand_labels")
    domain = find_domain(labels, axes, "expand_labels")
    reach = one_length(distance, labels.world, "distance")
    if not 0 <= reach < math.inf:
        raise ValueError(f"distance must be finite, and 0 or more, got {distance!r}")
    reach *= 1 + 1e-6
    return run(
        labels, _expand, halo=halo_of(domain, reach, labels.ndim), axes=domain.axes, reach=reach,
        steps=domain.steps,
        spacing=domain.spacing if domain.orthogonal else None,
    )  # fmt: skip


def relabel_sequential(labels: SpatialArray) -> tuple[SpatialArray, Any]:
    """Renumber labels 1, 2, … in their order.

    Parameters
    ----------
    labels : SpatialArray of int
        0 outside objects; on a NumPy, Dask or Zarr array.

    Returns
    -------
    labels : SpatialArray of int32
        On the same grid.
    values : ndarray of int, shape (k + 1,)
        What each of the new labels was: ``values[new] == old``; 0 comes first. On a lazy image a
        `dask.delayed.Delayed`.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> found, values = relabel_sequential(sd.SpatialArray([0, 7, 7, 30]))
    >>> found.data, values
    (array([0, 1, 1, 2], dtype=int32), array([ 0,  7, 30]))
    """
    labels = check_image(labels, "relabel_sequential", "biu")
    require_host(labels.data, "relabel_sequential")
    lazy = lazy_data(labels)
    if lazy is None:
        rows = slabs(labels.shape)
        values = _label_values([labels.data[part] for part in rows])
        renumbered = np.empty(labels.shape, np.int32)
        for part in rows:
            renumbered[part] = _renumber(labels.data[part], values)
        return wrap(labels, renumbered), values
    import dask
    import dask.array as da
    from dask.graph_manipulation import bind

    values = dask.delayed(_label_values, pure=True)(
        [dask.delayed(np.unique, pure=True)(block) for block in chunk_values(lazy)]
    )
    # Read again for the result: chunks used for both would stay in memory until all are read.
    found = da.map_blocks(
        _renumber, bind(lazy, values), values, dtype=np.int32, chunks=lazy.chunks,
        meta=empty_block(lazy, dtype=np.dtype(np.int32)),
    )  # fmt: skip
    return wrap(labels, found), values


# --- objects by their volume --------------------------------------------------------------


def _select_objects(
    labels: SpatialArray, domain: Domain, structure: ArrayLike | None, what: str,
    choose: Callable[[Parts], NDArray[np.bool_]],
) -> SpatialArray:  # fmt: skip
    joins = joining_structure(structure, domain, labels.ndim, what)
    lazy = lazy_data(labels)
    data = require_host(labels.data, what) if lazy is None else lazy
    return wrap(labels, select_parts(data, joins, choose))


def _frames(shape: Sequence[int], axes: Sequence[int]) -> tuple[Any, Any]:
    """Return the shape, and for each axis whether each index along it is a separate frame."""
    return tuple(shape), tuple([axis not in axes for axis in range(len(shape))])


def _is_largest(count: int, frames: tuple[Any, Any], parts: Parts) -> NDArray[np.bool_]:
    """Return which parts are among the `count` largest of their value in their frame."""
    shape, others = frames
    kept = np.zeros(len(parts.first), bool)
    there = np.flatnonzero(parts.sizes > 0)
    index = np.unravel_index(parts.first[there], shape) if len(there) else ()
    keys = [i for i, other in zip(index, others, strict=True) if other] if len(there) else []
    keys = [parts.values[there], *keys]
    # By value and frame, in these the largest first, and of equal ones the first in the array.
    order = np.lexsort([parts.first[there], -parts.sizes[there], *keys])
    fresh = np.zeros(len(there), bool)
    fresh[:1] = True
    for key in keys:
        fresh[1:] |= np.diff(key[order].astype(np.int64)) != 0
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(there)), 0))
    kept[there[order[np.arange(len(there)) - starts < count]]] = True
    return kept


def _is_large_enough(voxels: float, parts: Parts) -> NDArray[np.bool_]:
    return parts.sizes >= voxels


# --- labels -------------------------------------------------------------------------------


def _label_values(blocks: Sequence[Any]) -> NDArray[Any]:
    """Return 0 and the labels that there are, in order."""
    found = np.unique(np.concatenate([np.unique(block) for block in blocks]))
    return np.concatenate([np.zeros(1, found.dtype), found[found != 0]])


def _renumber(block: Any, values: NDArray[Any]) -> NDArray[np.int32]:
    order = np.argsort(values, kind="stable")
    found: NDArray[np.int32] = order[np.searchsorted(values, block, sorter=order)].astype(np.int32)
    return found


def _expand(
    engine: Engine, block: Any, *, axes: Any, spacing: Any, steps: Any, reach: float, mode: str
) -> Any:
    del mode

    def one(frame: Any) -> Any:
        background = frame == 0
        if background.all() or not background.any():
            return frame
        if spacing is not None:
            # Distances follow from the indices, slab by slab: SciPy's own take three times the
            # memory.
            nearest = engine.nd.distance_transform_edt(
                background, sampling=spacing.tolist(), return_distances=False, return_indices=True
            )
            grown = frame.copy()
            for rows in slabs(frame.shape):
                found = nearest[:, rows]
                near = _squared_distances(engine, found, rows.start, spacing) <= reach**2
                grown[rows] = np.where(near, frame[tuple(found)], frame[rows])
            return grown
        from scipy.spatial import cKDTree

        inside, outside = np.argwhere(~background), np.argwhere(background)
        count = min(_AS_NEAR, len(inside))
        tree = cKDTree(inside @ steps.T)
        values, grown = frame[~background], frame.copy()
        for start in range(0, len(outside), _POINTS):
            some = outside[start : start + _POINTS]
            distances, numbers = tree.query(some @ steps.T, range(1, count + 1))
            labels = values[numbers]
            # Of several that are as near the lowest, in whatever chunk.
            labels[distances > distances[:, :1] * (1 + 1e-9)] = values.max()
            near = distances[:, 0] <= reach
            grown[tuple(some[near].T)] = labels[near].min(axis=1)
        return grown

    return by_frame(engine, block, axes, one, block.dtype)


def _squared_distances(engine: Engine, nearest: Any, start: int, spacing: Any) -> Any:
    """Return the squares of the distances from the voxels of a slab to others, by their indices."""
    total: Any = 0.0
    for axis, (index, step) in enumerate(zip(nearest, spacing.tolist(), strict=True)):
        first = start if axis == 0 else 0
        own = engine.xp.arange(first, first + index.shape[axis])
        own = own.reshape([-1 if a == axis else 1 for a in range(index.ndim)])
        total = total + ((index - own) * step) ** 2
    return total
