"""Grids to resample onto: `aligned_grid`. Works on geometry alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._points import nearest_axes
from spatial_duck.geometry._rounding import count_voxels
from spatial_duck.geometry._world import OPPOSITE, SPACE_AXES, check_frame

__all__ = ["aligned_grid"]


def aligned_grid(
    geometry: Geometry,
    spacing: float | Mapping[str, float] | None = None,
    orientation: str | None = None,
) -> Geometry:
    """Return the smallest grid along the world's axes that covers an image.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the image, which may be oblique or sheared. Axes other than those of space
        stay.
    spacing : float or mapping of str to float, optional
        Spacing of the new grid, one for all axes of space or by the name of the world axis. By
        default the smallest of the image's own, for all.
    orientation : str, optional
        Direction that each axis of space runs to, in array-axis order, such as ``"RAS"`` (then
        the frame must be known). By default the nearest to the image's own.

    Returns
    -------
    Geometry
        In the same world, with the axes of space in the places of the image's, named after the
        world axes that they run along, and centred on the image's bounds.

    Raises
    ------
    GeometryError
        If the image does not have an axis for each world axis of space, or no voxels.
    FrameError
        If an orientation is asked for and the frame is unspecified.

    Examples
    --------
    >>> turned = Geometry((10, 10), spacing=1.0, direction=[[0.6, -0.8], [0.8, 0.6]])
    >>> grid = aligned_grid(turned)
    >>> grid.shape, grid.direction.tolist()
    ((14, 14), [[0.0, -1.0], [1.0, 0.0]])
    """
    world = geometry.world
    rows = [r for r, name in enumerate(world.axes) if name in SPACE_AXES]
    nearest = nearest_axes(geometry)
    if len(nearest) != len(rows) or not all(n > 0 for n in geometry.shape):
        raise GeometryError(
            f"aligned_grid needs an axis for each of the world's axes of space "
            f"{[world.axes[r] for r in rows]} and a voxel or more, got {geometry!r}"
        )
    places = [axis for axis, _, _ in nearest]
    runs = [(name, sign) for _, name, sign in nearest]
    if orientation is not None:
        runs = _runs(geometry, orientation)
    columns = {axis: k for k, axis in enumerate(geometry.sampled_axes)}
    shape, dims = list(geometry.shape), list(geometry.dims)
    steps, direction = geometry.spacing.copy(), geometry.direction.copy()
    origin = geometry.origin.copy()
    finest = min(float(steps[columns[axis]]) for axis in places)
    low, high = geometry.bounds
    for axis, (name, sign) in zip(places, runs, strict=True):
        row = world.axes.index(name)
        wanted = spacing.get(name) if isinstance(spacing, Mapping) else spacing
        step = finest if wanted is None else float(wanted)
        if not 0 < step < math.inf:
            raise GeometryError(f"spacing must be positive, got {spacing!r}")
        extent = float(high[row] - low[row])
        shape[axis] = max(1, count_voxels(extent / step))
        dims[axis] = name
        steps[columns[axis]] = step
        direction[:, columns[axis]] = np.eye(len(world.axes))[row] * sign
        origin[row] = (low[row] + high[row]) / 2 - sign * step * (shape[axis] - 1) / 2
    return Geometry(
        tuple(shape),
        spacing=steps.tolist(),
        origin=origin.tolist(),
        direction=direction,
        dims=dims,
        sampled=[str(dims[axis]) for axis in geometry.sampled_axes],
        world=world,
    )


def _runs(geometry: Geometry, orientation: str) -> list[tuple[str, int]]:
    """Return the world axis, and the sign, along which each axis of a code runs."""
    if geometry.frame is None:
        raise FrameError(
            "orientation needs a frame, and this geometry has none: say which way x, y and z "
            "point with replace(frame='LPS') or another code"
        )
    code: Any = check_frame(orientation, "orientation")
    towards = {letter: (name, 1) for name, letter in zip(SPACE_AXES, geometry.frame, strict=True)}
    towards |= {OPPOSITE[letter]: (name, -1) for letter, (name, _) in towards.items()}
    return [towards[letter] for letter in code]
