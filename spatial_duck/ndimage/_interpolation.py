"""Geometric transforms under SciPy's names: each is a resampling, in world units.

`zoom` changes the voxels and not the object's position; `shift`, `rotate` and `affine_transform`
move the object through the world, seen on the image's own grid.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spatial_duck.array import SpatialArray
from spatial_duck.errors import GeometryError
from spatial_duck.geometry._quantity import in_unit
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.ndimage._domain import Axes, PerAxis, find_domain, per_axis
from spatial_duck.ndimage._running import check_image
from spatial_duck.resampling import resample
from spatial_duck.transforms import Affine, Transform

__all__ = ["affine_transform", "rotate", "shift", "zoom"]


def zoom(
    image: SpatialArray, zoom: PerAxis, *, interpolation: str | None = None, axes: Axes = None
) -> SpatialArray:
    """Change the number of voxels; the object stays where it is.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, Dask or Zarr array.
    zoom : float, sequence of float, or mapping of str to float
        Voxels of the result for each voxel of the image.
    interpolation : str, optional
        As for `spatial_duck.resample`. Nothing is smoothed before voxels are left out: use
        `gaussian_filter` or `spatial_duck.pyramid`.
    axes : str, int, or sequence of these, optional
        The axes to work along; all space axes by default.

    Returns
    -------
    SpatialArray
        Over the same extent: ``round(n * zoom)`` voxels, as SciPy's with ``grid_mode=True``.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> zoom(sd.SpatialArray([0.0, 2.0], spacing=2.0), 2).origin
    array([-0.5])
    """
    image = check_image(image, "zoom")
    domain = find_domain(image, axes, "zoom")
    square = domain._replace(metric=np.diag(np.diag(domain.metric)))
    if isinstance(zoom, Mapping):  # axes that are not named keep their voxels
        zoom = {name: 1.0 for name in domain.names if name} | dict(zoom)
    factors = per_axis(zoom, square, "zoom")
    if not (factors > 0).all():
        raise GeometryError(f"zoom must hold positive numbers, got {zoom!r}")
    shape: list[int | None] = [None] * len(image.geometry.sampled_axes)
    for axis, factor in zip(domain.axes, factors, strict=True):
        at = image.geometry.sampled_axes.index(axis)
        shape[at] = max(round(image.shape[axis] * float(factor)), min(image.shape[axis], 1))
    result: SpatialArray = resample(image, shape=shape, interpolation=interpolation, fill="edge")
    return result


def shift(
    image: SpatialArray, shift: ArrayLike, *, interpolation: str | None = None, fill: Any = 0
) -> SpatialArray:
    """Move the object through the world.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, Dask or Zarr array.
    shift : sequence of float, shape (n_world,)
        How far, in world units, in the order of the image's world axes.
    interpolation, fill
        As for `spatial_duck.resample`.

    Returns
    -------
    SpatialArray
        On the image's own grid. To move the image with its grid instead, and lose nothing, use
        ``image.replace(origin=image.origin + shift)``.
    """
    image = check_image(image, "shift")
    world = image.world
    vector = np.asarray(in_unit(shift, world.units, "shift"), dtype=np.float64)
    if vector.shape != (len(world.axes),):
        raise GeometryError(
            f"shift must have a number for each of the world axes {world.axes!r}, got {shift!r}"
        )
    matrix = np.eye(len(vector) + 1)
    matrix[:-1, -1] = -vector
    return affine_transform(image, Affine(matrix, world), interpolation=interpolation, fill=fill)


def rotate(
    image: SpatialArray,
    angle: float,
    plane: Sequence[str] = ("x", "y"),
    *,
    center: ArrayLike | None = None,
    interpolation: str | None = None,
    fill: Any = 0,
) -> SpatialArray:
    """Turn the object in a plane of the world.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, Dask or Zarr array.
    angle : float or quantity
        In degrees or in a unit of its own, from the first axis of the plane towards the second.
    plane : sequence of two str, optional
        World axes.
    center : sequence of float, optional
        World position that stays; the centre of the image by default.
    interpolation, fill
        As for `spatial_duck.resample`.

    Returns
    -------
    SpatialArray
        On the image's own grid.
    """
    image = check_image(image, "rotate")
    world = image.world
    names = list(plane)
    if len(set(names)) != 2 or any(n not in world.axes or n not in SPACE_AXES for n in names):
        raise GeometryError(
            f"plane must name two space axes of the world {world.axes!r}, got {plane!r}"
        )
    a, b = world.axes.index(names[0]), world.axes.index(names[1])
    if world.units[a] != world.units[b]:
        raise GeometryError(
            f"rotate: {names!r} are in {world.units[a]!r} and {world.units[b]!r}; bring them to "
            "one unit with geometry.to_unit first"
        )
    still = image.center
    if center is not None:
        still = np.asarray(in_unit(center, world.units, "center"), dtype=np.float64)
    # Points of the output go to points of the input: the turn backwards.
    turn = math.radians(in_unit(angle, "deg", "angle"))
    cos, sin = math.cos(turn), math.sin(turn)
    matrix = np.eye(len(world.axes) + 1)
    matrix[a, a] = matrix[b, b] = cos
    matrix[a, b], matrix[b, a] = sin, -sin
    matrix[:-1, -1] = still - matrix[:-1, :-1] @ still
    return affine_transform(image, Affine(matrix, world), interpolation=interpolation, fill=fill)


def affine_transform(
    image: SpatialArray, transform: Transform, *, interpolation: str | None = None, fill: Any = 0
) -> SpatialArray:
    """Resample an image through a transform of the world, onto its own grid.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, Dask or Zarr array.
    transform : Transform
        Maps points of the output to points of the image, as in SciPy, but in the world: an
        `Affine` and not a matrix of indices.
    interpolation, fill
        As for `spatial_duck.resample`.

    Returns
    -------
    SpatialArray
        On the image's own grid.
    """
    image = check_image(image, "affine_transform")
    if not hasattr(transform, "to_world"):
        raise TypeError(
            "affine_transform needs a Transform, got "
            f"{type(transform).__name__}; spatial_duck.Affine(matrix, world) makes one of a "
            "matrix of world coordinates"
        )
    result: SpatialArray = resample(
        image, image.geometry, transform=transform, interpolation=interpolation, fill=fill
    )
    return result
