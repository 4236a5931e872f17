"""Morphology with structuring elements by radius, and distances in the world.

A structuring element is a ball by its radius in world units, the same shape in the world on every
grid; a box by its size along the array's axes; or a footprint in voxels.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._quantity import one_length
from spatial_duck.ndimage._components import chunked_holes
from spatial_duck.ndimage._domain import (
    Axes,
    Domain,
    PerAxis,
    ball_footprint,
    embed,
    find_domain,
    footprint_of,
    halo_of,
    kernel_reach,
)
from spatial_duck.ndimage._running import check_image, lazy_data, run, wrap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.ndimage._running import Engine

__all__ = [
    "ball",
    "binary_closing",
    "binary_dilation",
    "binary_erosion",
    "binary_fill_holes",
    "binary_opening",
    "distance_transform_edt",
]


def ball(
    image: SpatialArray | Geometry, radius: PerAxis, *, axes: Axes = None
) -> NDArray[np.bool_]:
    """Return the voxels whose centres lie within a ball around a voxel's centre.

    Parameters
    ----------
    image : SpatialArray or Geometry
        Image with the voxels.
    radius : float, sequence of float, or mapping of str to float
        In world units; orthogonal axes may have one each.
    axes : str, int, or sequence of these, optional
        The axes of the ball, by name or number; all space axes by default.

    Returns
    -------
    ndarray of bool
        With one axis of odd length for each of `axes`, in array order.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> ball(Geometry((9, 9, 9), spacing=(3.0, 1.0, 1.0)), 3.0).shape
    (3, 7, 7)
    """
    grid = image if isinstance(image, Geometry) else as_image(image, "ball", keeps_mask=True)
    return ball_footprint(find_domain(grid, axes, "ball"), radius)


# --- binary -------------------------------------------------------------------------------


def _apply_binary(
    engine: Engine, block: Any, *, function: str, structure: Any, border: int, mode: str
) -> Any:
    del mode
    return getattr(engine.nd, function)(
        block != 0, engine.xp.asarray(structure), border_value=border
    )


def _run_binary(
    image: SpatialArray,
    what: str,
    steps: Sequence[str],
    radius: PerAxis | None,
    size: PerAxis | None,
    footprint: ArrayLike | None,
    axes: Axes,
    border_value: int,
) -> SpatialArray:
    image = check_image(image, what)
    domain = find_domain(image, axes, what)
    structure = embed(footprint_of(domain, size, radius, footprint), domain, image.ndim)
    for step in steps:
        image = run(
            image, _apply_binary, halo=kernel_reach(structure), dtype=bool, function=step,
            structure=structure, border=int(bool(border_value)),
        )  # fmt: skip
    return image


def binary_erosion(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    border_value: int = 0,
) -> SpatialArray:
    """Keep the voxels around which the whole structuring element is not zero.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array; what is not zero belongs to the object.
    radius : float, sequence of float, or mapping of str to float, optional
        Structuring element: a ball by its radius in world units.
    size : float, sequence of float, or mapping of str to float, optional
        Structuring element: a box along the array's axes by its width in world units.
    footprint : array_like of bool, optional
        Structuring element in voxels, along `axes`, of odd sides.
    axes : str, int, or sequence of these, optional
        The axes to work along, by name or number; all space axes by default.
    border_value : int, optional
        Value of what lies beyond the image.

    Returns
    -------
    SpatialArray of bool
        On the same grid; lazy where the image is.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> binary_erosion(sd.SpatialArray([0, 1, 1, 1, 1, 1, 0], spacing=0.5), 1.0).data.astype(int)
    array([0, 0, 0, 1, 0, 0, 0])
    """
    steps = ["binary_erosion"]
    what = "binary_erosion"
    return _run_binary(image, what, steps, radius, size, footprint, axes, border_value)


def binary_dilation(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    border_value: int = 0,
) -> SpatialArray:
    """Add the voxels that the structuring element reaches from those that are not zero.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    radius, size, footprint, axes, border_value
        As for `binary_erosion`.

    Returns
    -------
    SpatialArray of bool
        On the grid of the image.
    """
    steps = ["binary_dilation"]
    what = "binary_dilation"
    return _run_binary(image, what, steps, radius, size, footprint, axes, border_value)


def binary_opening(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    border_value: int = 0,
) -> SpatialArray:
    """Erode, then dilate: what the structuring element does not fit into goes away.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    radius, size, footprint, axes, border_value
        As for `binary_erosion`.

    Returns
    -------
    SpatialArray of bool
        On the grid of the image.
    """
    steps = ["binary_erosion", "binary_dilation"]
    what = "binary_opening"
    return _run_binary(image, what, steps, radius, size, footprint, axes, border_value)


def binary_closing(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    border_value: int = 0,
) -> SpatialArray:
    """Dilate, then erode: gaps that the structuring element does not fit into are filled.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    radius, size, footprint, axes, border_value
        As for `binary_erosion`. As in SciPy, with a border value of 0 objects at the image's ends
        are eroded from outside.

    Returns
    -------
    SpatialArray of bool
        On the grid of the image.
    """
    steps = ["binary_dilation", "binary_erosion"]
    what = "binary_closing"
    return _run_binary(image, what, steps, radius, size, footprint, axes, border_value)


def binary_fill_holes(image: SpatialArray, *, axes: Axes = None) -> SpatialArray:
    """Fill the parts of the background that do not reach the image's ends.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    axes : str, int, or sequence of these, optional
        The axes to work along, by name or number; all space axes by default.

    Returns
    -------
    SpatialArray of bool
        On the same grid. On a lazy image, lazy: parts are found chunk by chunk and joined.
    """
    image = check_image(image, "binary_fill_holes")
    domain = find_domain(image, axes, "binary_fill_holes")
    structure = connectivity(len(domain.axes))
    lazy = lazy_data(image)
    if lazy is not None:
        joined = embed(structure, domain, image.ndim)
        return wrap(image, chunked_holes(lazy, joined, domain.axes))
    return run(
        image, _fill, halo=[0] * image.ndim, dtype=bool, axes=domain.axes, structure=structure
    )


def connectivity(n: int) -> NDArray[np.bool_]:
    """Return the structure that joins voxels which share a face."""
    offsets = np.indices((3,) * n) - 1
    return abs(offsets).sum(axis=0) <= 1


def joining_structure(
    structure: ArrayLike | None, domain: Domain, ndim: int, what: str
) -> NDArray[np.bool_]:
    """Return which neighbours are joined, with an axis of length 1 or 3 for each of an image's.

    Parameters
    ----------
    structure : array_like of bool, optional
        As it was given: of the 3ⁿ neighbours along the domain's axes; those that share a face by
        default.
    domain : Domain
        The axes.
    ndim : int
        Number of axes of the image.
    what : str
        The operation, for messages.

    Raises
    ------
    ValueError
        If it is not symmetric, or of another shape.
    """
    n = len(domain.axes)
    joins = connectivity(n) if structure is None else np.asarray(structure, dtype=bool)
    if joins.shape != (3,) * n or not (joins == np.flip(joins)).all():
        raise ValueError(
            f"{what}: structure must be symmetric and of shape {(3,) * n}, 3 along each of the "
            f"axes {domain.names!r}, got shape {joins.shape}"
        )
    return embed(joins, domain, ndim)


def _fill(engine: Engine, block: Any, *, axes: Sequence[int], structure: Any, mode: str) -> Any:
    del mode
    where = engine.xp.asarray(structure)
    return by_frame(
        engine, block != 0, axes, lambda frame: engine.nd.binary_fill_holes(frame, where), bool
    )


def by_frame(engine: Engine, block: Any, axes: Sequence[int], function: Any, dtype: Any) -> Any:
    """Apply a function to a block along some axes, once for each index on the others."""
    others = [axis for axis in range(block.ndim) if axis not in axes]
    if not others:
        return function(block).astype(dtype, copy=False)
    out = engine.xp.empty(block.shape, dtype)
    for index in product(*[range(block.shape[axis]) for axis in others]):
        key: list[Any] = [slice(None)] * block.ndim
        for axis, i in zip(others, index, strict=True):
            key[axis] = i
        out[tuple(key)] = function(block[tuple(key)])
    return out


# --- distances ----------------------------------------------------------------------------


def distance_transform_edt(
    image: SpatialArray, *, max_distance: float | None = None, axes: Axes = None
) -> SpatialArray:
    """Return the distance in the world from each voxel to the nearest one that is zero.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    max_distance : float, optional
        In world units: larger distances are given as this. A lazy image needs it, as chunks can be
        worked on one by one only when no distance reaches further.
    axes : str, int, or sequence of these, optional
        The axes to measure along, by name or number; all space axes by default.

    Returns
    -------
    SpatialArray of float64
        On the same grid: 0 outside objects; `max_distance`, or infinity, where there is no zero.
        Exact, on sheared grids too, where a search tree takes the place of SciPy's transform.

    Raises
    ------
    TypeError
        If the image is lazy and `max_distance` is not given.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> distance_transform_edt(sd.SpatialArray([0, 1, 1, 1, 1], spacing=0.5)).data
    array([0. , 0.5, 1. , 1.5, 2. ])
    """
    image = check_image(image, "distance_transform_edt")
    domain = find_domain(image, axes, "distance_transform_edt")
    halo = [0] * image.ndim
    if max_distance is not None:
        max_distance = one_length(max_distance, image.world, "max_distance")
        if not 0 < max_distance < math.inf:
            raise ValueError(f"max_distance must be positive and finite, got {max_distance!r}")
        halo = halo_of(domain, max_distance, image.ndim)
    elif lazy_data(image) is not None:
        raise TypeError(
            "distance_transform_edt: any distance may depend on the whole of a lazy image: give "
            "max_distance= to work by chunks, or bring it into memory with image.compute()"
        )
    return run(
        image, _distances, halo=halo, dtype=np.float64, axes=domain.axes,
        spacing=domain.spacing if domain.orthogonal else None, steps=domain.steps,
        limit=math.inf if max_distance is None else max_distance,
    )  # fmt: skip


def _distances(
    engine: Engine, block: Any, *, axes: Any, spacing: Any, steps: Any, limit: float, mode: str
) -> Any:
    del mode

    def one(frame: Any) -> Any:
        if bool(frame.all()):
            return engine.xp.full(frame.shape, limit)
        if spacing is not None:
            found = engine.nd.distance_transform_edt(frame, sampling=spacing.tolist())
        else:
            found = _search_distances(engine, frame, steps, limit)
        return engine.xp.minimum(found, limit)

    return by_frame(engine, block != 0, axes, one, np.float64)


def _search_distances(engine: Engine, frame: Any, steps: Any, limit: float) -> Any:
    """Return distances on axes that are not orthogonal, by a k-d tree of the background."""
    if engine.xp is not np:
        raise GeometryError(
            "distance_transform_edt on the GPU needs axes at right angles: use image.to('numpy') "
            "or resample onto an orthogonal grid first"
        )
    from scipy.spatial import cKDTree

    tree = cKDTree(np.argwhere(~frame) @ steps.T)
    out = np.zeros(frame.shape)
    reach = limit * (1 + 1e-9)
    out[frame] = tree.query(np.argwhere(frame) @ steps.T, distance_upper_bound=reach)[0]
    return out
