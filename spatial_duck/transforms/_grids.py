"""A transform on a grid: as a displacement field, and how much it enlarges space there.

Both are computed where and when they are asked for with ``chunks=``: a block of the grid at a time,
with one voxel around it for derivatives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.transforms._displacement import DisplacementField

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.transforms._base import Transform

    Floats = NDArray[np.float64]
    Box = tuple[slice, ...]

__all__ = ["determinant_on", "field_on"]


def field_on(transform: Transform, grid: Any, chunks: Any = None) -> DisplacementField:
    """Return a transform as a displacement field; see `Transform.to_field`."""
    from spatial_duck.array import SpatialArray

    grid = _grid_of(grid)
    transform = transform.to_world(grid.world)

    def displacements(box: Box) -> Floats:
        points = grid.index_to_physical(_indices(box))
        moved: Floats = transform(points) - points
        return moved

    n = len(grid.world.axes)
    vectors = Geometry(
        (*grid.shape, n), grid.spacing, grid.origin, grid.direction, dims=(*grid.dims, "c"),
        sampled=grid.dims, world=grid.world,
    )  # fmt: skip
    return DisplacementField(SpatialArray(_computed(displacements, grid, chunks, (n,)), vectors))


def determinant_on(transform: Transform, grid: Any, chunks: Any = None) -> SpatialArray:
    """Return the Jacobian determinant as an image; see `Transform.jacobian_determinant`."""
    from spatial_duck.array import SpatialArray
    from spatial_duck.transforms._affine import Affine

    grid = _grid_of(grid)
    transform = transform.to_world(grid.world)
    if all(isinstance(part, Affine) for part in transform.parts):
        matrix = _linear_part(transform, len(grid.world.axes))
        found = float(np.linalg.det(matrix))

        def determinants(box: Box) -> Floats:
            return np.full([s.stop - s.start for s in box], found)
    else:
        steps = np.linalg.inv(grid.direction * grid.spacing)

        def determinants(box: Box) -> Floats:
            rows = [_difference(transform, grid, box, axis) for axis in range(grid.ndim)]
            by_index = np.stack(rows, -1)  # d world / d index, shape (..., n_world, ndim)
            values: Floats = np.linalg.det(by_index @ steps)
            return values

    return SpatialArray(_computed(determinants, grid, chunks, ()), grid)


def _grid_of(grid: Any) -> Geometry:
    geometry = grid if isinstance(grid, Geometry) else grid.geometry
    plain = [a for a in range(geometry.ndim) if a not in geometry.sampled_axes]
    if plain:
        geometry = geometry[tuple([0 if a in plain else slice(None) for a in range(geometry.ndim)])]
    if geometry.ndim != len(geometry.world.axes):
        raise GeometryError(
            f"a grid with an axis for each of the world axes {geometry.world.axes!r} is needed, "
            f"got {geometry!r}"
        )
    return geometry


def _indices(box: Box) -> Floats:
    """Return the indices of a box of voxels, shape (..., ndim)."""
    lines = [np.arange(s.start, s.stop, dtype=float) for s in box]
    return np.stack(np.meshgrid(*lines, indexing="ij"), -1)


def _difference(transform: Transform, grid: Geometry, box: Box, axis: int) -> Floats:
    """Return by how much the map moves on along an axis, from neighbour to neighbour in the grid.

    At the grid's ends from the voxel itself: outside, a field on this grid moves nothing.
    """
    index = _indices(box)
    low, high = index.copy(), index.copy()
    last = grid.shape[axis] - 1
    if last:
        low[..., axis] = np.maximum(index[..., axis] - 1, 0)
        high[..., axis] = np.minimum(index[..., axis] + 1, last)
    else:
        low[..., axis] -= 0.25
        high[..., axis] += 0.25
    apart = (high - low)[..., axis, None]
    ends = [transform(grid.index_to_physical(i)) for i in (low, high)]
    return (ends[1] - ends[0]) / apart


def _linear_part(transform: Transform, n: int) -> Floats:
    """Return the matrix of a transform whose parts are affine."""
    base = transform(np.zeros(n))
    return (transform(np.eye(n)) - base).T


def _computed(
    function: Callable[[Box], Floats], grid: Geometry, chunks: Any, after: tuple[int, ...]
) -> Any:
    """Return a function's values over a grid, lazily where chunks are given."""
    if chunks is None:
        return function(tuple([slice(0, n) for n in grid.shape]))
    da = require("dask.array", "A transform on a grid in chunks")
    sizes = da.core.normalize_chunks(chunks, grid.shape, dtype=np.float64)

    def block(block_info: Any = None) -> Floats:
        place = block_info[None]["array-location"][: grid.ndim]
        return function(tuple([slice(*ends) for ends in place]))

    return da.map_blocks(
        block, chunks=(*sizes, *[(n,) for n in after]), dtype=np.float64,
        meta=np.empty((0,) * (grid.ndim + len(after))),
    )  # fmt: skip
