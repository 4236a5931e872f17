"""The numbers of a geometry, and conversions between indices and points.

For the vector ``i`` of (fractional) indices along the sampled axes::

    world = origin + direction @ (spacing * i)
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._quantity import in_unit
from spatial_duck.geometry._validation import MAX_CONDITION, condition_number
from spatial_duck.geometry._world import OPPOSITE, SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = [
    "affine_of",
    "axis_units",
    "bounds_of",
    "center_of",
    "corner_of",
    "direction_of",
    "index_to_physical",
    "nearest_axes",
    "orientation_of",
    "physical_to_index",
    "place_of",
    "read_only",
    "require_positions",
    "space_axes",
    "spacing_of",
]

Floats = NDArray[np.float64]

_FLOAT64 = np.dtype(np.float64)


def read_only(values: Any) -> Floats:
    """Return a read-only array of floats."""
    array: Floats = np.array(values, _FLOAT64)  # by position: a third faster than by name
    array.setflags(False)  # type: ignore[call-arg]
    return array


def spacing_of(grid: Grid) -> Floats:
    """Return the distance between voxel centres along each sampled axis, shape (n_sampled,)."""
    return read_only([a[1] for a in grid._axes if a[1] is not None])


def direction_of(grid: Grid) -> Floats:
    """Return the unit vector of each sampled axis, as columns, shape (n_world, n_sampled)."""
    columns = [a.column for a in grid._axes if a.column is not None]
    return read_only(np.array(columns, float).reshape(len(columns), len(grid._origin)).T.copy())


def affine_of(grid: Grid) -> Floats:
    """Return the matrix from sampled indices to world, shape (n_world + 1, n_sampled + 1)."""
    direction = direction_of(grid)
    matrix = np.zeros((direction.shape[0] + 1, direction.shape[1] + 1))
    matrix[:-1, :-1] = direction * spacing_of(grid)
    matrix[:-1, -1] = grid._origin
    matrix[-1, -1] = 1.0
    return read_only(matrix)


def corner_of(grid: Grid) -> Floats:
    """Return the position of the outer corner of the voxel at index 0, shape (n_world,)."""
    require_positions(grid, "corner")
    return read_only(place_of(grid, [-0.5] * len(grid._axes)))


def axis_units(grid: Grid) -> tuple[str | None, ...]:
    """Return the unit of each sampled axis: that of the world axes that it runs along."""
    units = grid.world.units
    columns = [a.column for a in grid._axes if a.column is not None]
    return tuple([next(u for u, c in zip(units, column, strict=True) if c) for column in columns])


def center_of(grid: Grid) -> Floats:
    """Return the position of the centre of the grid, shape (n_world,)."""
    return read_only(place_of(grid, [(n - 1) / 2 for n in grid.shape]))


def bounds_of(grid: Grid) -> Floats:
    """Return the box in the world that holds all voxels, to their outer edges, shape (2, n_world).

    The first row holds the lowest coordinates and the second the highest.
    """
    require_positions(grid, "bounds")
    low, high = list(grid._origin), list(grid._origin)
    for n, axis in zip(grid.shape, grid._axes, strict=True):
        if axis.spacing is not None and axis.column is not None:
            for w, c in enumerate(axis.column):
                first, last = axis.spacing * c * -0.5, axis.spacing * c * (n - 0.5)
                low[w] += min(first, last)
                high[w] += max(first, last)
    return read_only([low, high])


def place_of(grid: Grid, index: Sequence[float]) -> tuple[float, ...]:
    """Return the world position of an index, one entry for each array axis."""
    point = grid._origin
    for axis, i in zip(grid._axes, index, strict=True):
        if axis.spacing is not None and axis.column is not None:
            length = axis.spacing * i
            point = tuple([p + length * c for p, c in zip(point, axis.column, strict=True)])
    return point


def orientation_of(grid: Grid) -> str:
    """Return the anatomical direction that each space axis of the array runs to.

    ``"SPL"`` is the orientation of an axial LPS volume with dims z, y, x. Oblique axes count as
    the nearest anatomical ones.

    Raises
    ------
    FrameError
        If the frame is unspecified.
    """
    frame = grid.frame
    if frame is None:
        raise FrameError(
            "orientation needs a frame, and this geometry has none: say which way x, y and z "
            "point with replace(frame='LPS') or another code"
        )
    towards = dict(zip(SPACE_AXES, frame, strict=True))
    code = ""
    for _, name, sign in nearest_axes(grid):
        code += towards[name] if sign > 0 else OPPOSITE[towards[name]]
    return code


def space_axes(grid: Grid) -> list[int]:
    """Return the array axes that run through space."""
    rows = [r for r, name in enumerate(grid.world.axes) if name in SPACE_AXES]
    return [i for i, a in enumerate(grid._axes) if a.column and any(a.column[r] for r in rows)]


def nearest_axes(grid: Grid) -> list[tuple[int, str, int]]:
    """Return (array axis, nearest anatomical world axis, sign) for each space axis of the array."""
    rows = [(r, n) for r, n in enumerate(grid.world.axes) if n in SPACE_AXES]
    columns = [axis.column or () for axis in grid._axes]
    space = [(i, columns[i]) for i in space_axes(grid)]
    if len(space) > len(rows):
        raise GeometryError(
            f"orientation: {len(space)} array axes run through {len(rows)} world space axes"
        )
    best = max(
        permutations(rows, len(space)),
        key=lambda p: sum(abs(column[r]) for (r, _), (_, column) in zip(p, space, strict=True)),
    )
    return [
        (i, name, 1 if column[r] >= 0 else -1)
        for (r, name), (i, column) in zip(best, space, strict=True)
    ]


# --- points -------------------------------------------------------------------------------


def index_to_physical(grid: Grid, index: ArrayLike) -> Floats:
    """Return the world positions of (fractional) array indices.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    index : array_like of float, shape (..., ndim)
        One entry for each array axis; those of plain axes are ignored.

    Returns
    -------
    ndarray of float, shape (..., n_world)

    Raises
    ------
    GeometryLossError
        If the positions along an axis were lost.
    """
    require_positions(grid, "index_to_physical")
    indices = np.asarray(index, dtype=np.float64)
    if indices.ndim == 0 or indices.shape[-1] != len(grid.shape):
        raise GeometryError(
            f"index must have one entry for each of the {len(grid.shape)} array axes "
            f"{grid.dims!r} in its last dimension, got shape "
            f"{indices.shape}"
        )
    steps = direction_of(grid) * spacing_of(grid)
    result: Floats = indices[..., grid.sampled_axes] @ steps.T + grid._origin
    return result


def physical_to_index(grid: Grid, point: ArrayLike) -> Floats:
    """Return the fractional array indices of world positions.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    point : array_like of float, shape (..., n_world)
        World positions, in world-axis order and unit; numbers with a unit are converted.

    Returns
    -------
    ndarray of float, shape (..., ndim)
        0 on plain axes. Where the image has fewer sampled axes than the world has axes, the
        point is projected onto it orthogonally.

    Raises
    ------
    GeometryLossError
        If the positions along an axis were lost.
    GeometryError
        If two axes run through the world along one line, as a window axis does with the axis
        that it slides along.
    """
    require_positions(grid, "physical_to_index")
    points = np.asarray(in_unit(point, grid.world.units, "point"), dtype=np.float64)
    if points.ndim == 0 or points.shape[-1] != len(grid._origin):
        raise GeometryError(
            f"point must have one entry for each of the world axes {grid.world.axes!r} in "
            f"its last dimension, got shape {points.shape}"
        )
    direction, spacing = direction_of(grid), spacing_of(grid)
    sampled = grid.sampled_axes
    if condition_number(direction) > MAX_CONDITION:
        raise GeometryError(
            f"physical_to_index: the sampled axes {sampled} are not independent, "
            "so that a point has no single index; index one axis of each pair with an integer first"
        )
    inverse = np.linalg.pinv(direction) / spacing[:, None]
    out = np.zeros((*points.shape[:-1], len(grid.shape)))
    out[..., sampled] = (points - grid._origin) @ inverse.T
    return out


def require_positions(grid: Grid, what: str) -> None:
    """Raise a `GeometryLossError` if the positions along an axis are not known.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    what : str
        What needs them, for the error.
    """
    for i, axis in enumerate(grid._axes):
        if axis.lost:
            raise GeometryLossError(
                f"{what} needs the positions along axis {i} ({axis.name!r}), which "
                f"{axis.lost!r} lost; do it before {axis.lost!r}"
            )
