"""Which voxels of an image lie in a region of another grid, or are needed to interpolate there.

Works on geometry alone. A box is a first index and the one after the last along each array axis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._rounding import rounding_tolerance
from spatial_duck.transforms._base import sub_world, world_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = ["Box", "IndexMap", "bare_grid", "index_map", "slices"]

Box = tuple[tuple[int, int], ...]

#: Voxels beyond the neighbours that an interpolation needs: its own support, and as far as the
#: filter before it reaches.
_MARGIN = {"nearest": 0, "linear": 0}
_FAR = 24


def slices(box: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
    """Return the key that cuts out a box."""
    return tuple([slice(a, b) for a, b in box])


def bare_grid(geometry: Geometry) -> Geometry:
    """Return a geometry without its plain axes.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> bare_grid(Geometry((2, 5, 6), dims=("c", "y", "x"))).shape
    (5, 6)
    """
    sampled = geometry.sampled_axes
    return geometry.reduce(tuple([i for i in range(geometry.ndim) if i not in sampled]))


@dataclass(frozen=True, eq=False, slots=True)
class IndexMap:
    """Indices along axes of one grid as a linear function of those of another.

    Attributes
    ----------
    shape : tuple of int
        Shape of the source.
    ours, theirs : tuple of int
        Axes of source and target that run through the world axes that both have.
    matrix, offset : ndarray of float, shapes (ours, theirs) and (ours,)
        ``source_index = matrix @ target_index + offset``.
    """

    shape: tuple[int, ...]
    ours: tuple[int, ...]
    theirs: tuple[int, ...]
    matrix: Floats
    offset: Floats

    def _reach(self, box: Box, beyond: float) -> tuple[Floats, Floats]:
        """Return the lowest and highest positions that a box of the target takes."""
        ends = np.array([box[t] for t in self.theirs], float).reshape(-1, 2)
        first, last = ends[:, 0] - beyond, ends[:, 1] - 1 + beyond
        a, b = self.matrix * first, self.matrix * last
        low = np.minimum(a, b).sum(axis=1) + self.offset
        return low, np.maximum(a, b).sum(axis=1) + self.offset

    def _clipped(self, firsts: Sequence[int], stops: Sequence[int]) -> Box:
        box = [(0, n) for n in self.shape]
        for axis, first, stop in zip(self.ours, firsts, stops, strict=True):
            n = self.shape[axis]
            box[axis] = (min(max(first, 0), n), min(max(stop, 0), n))
        if any(stop <= start for start, stop in box):
            for axis in self.ours:
                box[axis] = (0, 0)
        return tuple(box)

    def needed(self, box: Box, interpolation: str) -> Box:
        """Return the source voxels between which the voxels of a target box are interpolated."""
        margin = _MARGIN.get(interpolation, _FAR)
        low, high = self._reach(box, 0.0)
        firsts = [math.floor(x - rounding_tolerance(x)) - margin for x in low]
        return self._clipped(
            firsts, [math.floor(x + rounding_tolerance(x)) + 2 + margin for x in high]
        )

    def inside(self, box: Box) -> Box:
        """Return the source voxels whose centres lie in a target box, its outer half voxels too.

        Those that are next to the centres of its outermost voxels are always among them.
        """
        low, high = self._reach(box, 0.5)
        near_low, near_high = self._reach(box, 0.0)
        firsts = [min(math.ceil(x - rounding_tolerance(x)), math.floor(y + rounding_tolerance(y)))
                  for x, y in zip(low, near_low, strict=True)]  # fmt: skip
        lasts = [max(math.floor(x + rounding_tolerance(x)), math.ceil(y - rounding_tolerance(y)))
                 for x, y in zip(high, near_high, strict=True)]  # fmt: skip
        return self._clipped(firsts, [n + 1 for n in lasts])


def index_map(source: Geometry, target: Geometry) -> IndexMap:
    """Return how indices of a target grid map to those of a source.

    Parameters
    ----------
    source, target : Geometry
        They may differ in frame, unit, order of world axes, and in which axes they have.

    Raises
    ------
    GeometryError
        If they have no world axis in common, or only one has a frame.
    """
    common = [name for name in target.world.axes if name in source.world.axes]
    ours, steps, start = _steps(source, common)
    theirs, wanted, first = _steps(target, common)
    if not ours or not theirs:
        raise GeometryError(
            f"map_blocks: images on different grids must have sampled axes through the same world, "
            f"got {source!r} and {target!r}"
        )
    change = world_change(sub_world(target.world, common), sub_world(source.world, common))
    inverse = np.linalg.pinv(steps)
    return IndexMap(
        source.shape, ours, theirs, inverse @ change @ wanted, inverse @ (change @ first - start)
    )


def _steps(geometry: Geometry, names: Sequence[str]) -> tuple[tuple[int, ...], Floats, Floats]:
    """Return the axes through some world axes, their step vectors as columns, and the origin."""
    rows = [geometry.world.axes.index(name) for name in names]
    steps = (geometry.direction * geometry.spacing)[rows]
    chosen = np.flatnonzero(steps.any(axis=0))
    axes = tuple([geometry.sampled_axes[k] for k in chosen])
    return axes, steps[:, chosen], geometry.origin[rows]
