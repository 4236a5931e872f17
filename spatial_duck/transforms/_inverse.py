"""Inverses that have no closed form: those of displacement fields, found numerically.

The inverse at a point y is the point x with ``x + u(x) = y``, found as the limit of
``x = y - u(x)`` (Chen et al., A simple fixed-point approach to invert a deformation field, Medical
Physics 35, 2008). The iteration converges where the field's Lipschitz constant is below 1; a field
that folds space has no inverse. Beyond its grid a field is extended by its outermost vectors, so
that points that are moved off the grid have an inverse too.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.transforms._base import sub_world
from spatial_duck.transforms._displacement import DisplacementField

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = ["invert_field"]

#: Most iterations; each multiplies the error by the field's largest slope at most.
_MAX_STEPS = 200
#: The iteration ends when all points are within the tolerance (in voxels), and fails where the
#: error stays above the maximum.
_TOLERANCE, _MAX_ERROR = 1e-6, 1e-2


def invert_field(field: DisplacementField) -> DisplacementField:
    """Return the inverse of a displacement field, as a field on the same grid.

    Parameters
    ----------
    field : DisplacementField
        Over all axes of its world. Lazy vectors are read into memory.

    Returns
    -------
    DisplacementField
        Exact at its voxels but for rounding, and linear between them. Its ``error`` is the largest
        distance by which a point that goes through it and then through `field` misses itself, in
        world units: over the voxels and the middles between them whose way lies on the grid.

    Raises
    ------
    GeometryError
        If the field folds space, or leaves some axes of its world as they are.
    """
    world = field.world
    if len(field.axes) != len(world.axes):
        raise GeometryError(
            f"the field moves points along {field.axes!r} of the world {world.axes!r}; invert it "
            "in a world of these axes alone"
        )
    field = field.to_world(sub_world(world, field.axes))
    grid = _grid(field)
    n = len(grid.shape)
    vectors = np.tensordot(field.vectors, np.asarray(field.data, dtype=np.float64), 1)
    held = DisplacementField(_vector_image(vectors, grid))
    index = np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, n)
    points = grid.index_to_physical(index)
    found = _solve(held, grid, points)
    moved = (found - points).T.reshape(n, *grid.shape)
    inverse = DisplacementField(_vector_image(moved, grid))
    middles = np.concatenate([index, np.minimum(index + 0.5, np.array(grid.shape) - 1)])
    inverse.error = _round_trip_error(inverse, held, grid, grid.index_to_physical(middles))
    return inverse.to_world(world)


def _grid(field: DisplacementField) -> Geometry:
    """Return the grid of a field in the field's world, without its components."""
    from spatial_duck.geometry import Geometry

    steps, start = field.index_map
    columns = np.linalg.inv(steps)
    spacing = np.sqrt((columns**2).sum(0))
    names = [f"i{k}" for k in range(len(columns))]
    return Geometry(
        field.data.shape[1:], spacing.tolist(), (-columns @ start).tolist(), columns / spacing,
        names, sampled=names, world=field.world,
    )  # fmt: skip


def _vector_image(vectors: Floats, grid: Geometry) -> SpatialArray:
    from spatial_duck.array import SpatialArray

    n = len(vectors)
    return SpatialArray(vectors, grid.expand_dims(0).repeat(n, 0))


def _extended_vectors(field: DisplacementField, grid: Geometry, points: Floats) -> Floats:
    """Return the vectors at points; beyond the grid those at its border."""
    index = grid.physical_to_index(points)
    inside = grid.index_to_physical(np.clip(index, 0, np.array(grid.shape) - 1))
    vectors: Floats = field(inside) - inside
    return vectors


def _solve(field: DisplacementField, grid: Geometry, points: Floats) -> Floats:
    """Return for each point the one that the field maps to it."""
    found = points - _extended_vectors(field, grid, points)
    voxel = float(min(grid.spacing.tolist()))
    left: Any = np.arange(len(points))
    worst = math.inf
    for _ in range(_MAX_STEPS):
        here = found[left]
        far = here + _extended_vectors(field, grid, here) - points[left]
        distance = np.sqrt((far**2).sum(1))
        worst = float(distance.max(initial=0.0))
        found[left] = here - far
        left = left[distance > _TOLERANCE * voxel]
        if not len(left):
            return found
    if worst > _MAX_ERROR * voxel:
        raise GeometryError(
            f"the displacement field has no inverse that could be found: after {_MAX_STEPS} steps "
            f"points miss themselves by up to {worst:.3g}; it folds space, or nearly"
        )
    return found


def _round_trip_error(
    inverse: DisplacementField, field: DisplacementField, grid: Geometry, points: Floats
) -> float:
    """Return the largest distance between points and their images under inverse and field."""
    between = inverse(points)
    index = grid.physical_to_index(between)
    inside = ((index >= 0) & (index <= np.array(grid.shape) - 1)).all(axis=1)
    far = field(between[inside]) - points[inside]
    return float(np.sqrt((far**2).sum(1)).max(initial=0.0))
