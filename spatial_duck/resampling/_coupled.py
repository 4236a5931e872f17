"""Source axes along which the position depends on several output axes, or bends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling._separable import Box, snap_positions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._nonlinear import NonlinearPart

    Floats = NDArray[np.float64]

__all__ = ["SNAP", "Box", "CoupledAxes", "spans"]

#: What moves no voxel of the grid by more than this many voxels counts as rounding error.
SNAP = 1e-7


def spans(
    matrix: Sequence[Sequence[float]], offset: Sequence[float], ranges: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """Return the lowest and highest position along each row over boxes of indices.

    Parameters
    ----------
    matrix, offset
        ``position = matrix @ index + offset``.
    ranges : sequence of (first, stop)
        Along each axis; numbers, or arrays of them that broadcast.
    """
    lows, highs = [], []
    for line, start in zip(matrix, offset, strict=True):
        low: Any = start
        high: Any = start
        for a, (first, stop) in zip(line, ranges, strict=True):
            ends = (a * first, a * (stop - 1))
            low = low + (ends[0] if a >= 0 else ends[1])
            high = high + (ends[1] if a >= 0 else ends[0])
        lows.append(low)
        highs.append(high)
    return lows, highs


def _within(values: Any, low: float, high: float) -> Any:
    """Return ``numpy.clip`` of values, in a tenth of its time for a single one."""
    return np.minimum(np.maximum(values, low), high)


@dataclass(frozen=True, slots=True)
class CoupledAxes:
    """Source axes along which the position depends on several output axes.

    Attributes
    ----------
    sources, outs : tuple of int
        Source axes and output axes, each in array order.
    matrix : tuple of tuple of float
        A row for each source axis, a column for each output axis.
    offset : tuple of float
        Position for output index 0.
    lengths : tuple of int
        Number of source voxels along each source axis.
    reach : tuple of float
        How far the weights reach to either side along each source axis, in voxels.
    sigma : tuple of float
        Standard deviation of the smoothing along each source axis, in voxels.
    nonlinear : NonlinearPart or None
        What makes positions leave the straight line.
    """

    sources: tuple[int, ...]
    outs: tuple[int, ...]
    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    lengths: tuple[int, ...]
    reach: tuple[float, ...]
    sigma: tuple[float, ...]
    nonlinear: NonlinearPart | None = None

    def rows(self, ranges: Box) -> Floats:
        """Return the position at inner index 0 for each row of output voxels.

        Parameters
        ----------
        ranges : Box
            Range of indices along each of `outs`. The last is that of the inner axis.

        Returns
        -------
        ndarray of float, shape (n_rows, n_sources)
        """
        outer = [np.arange(*r, dtype=np.float64) for r in ranges[:-1]]
        shape = tuple([len(o) for o in outer])
        rows = np.empty((*shape, len(self.sources)))
        for s, (line, start) in enumerate(zip(self.matrix, self.offset, strict=True)):
            position = np.full(shape, start)
            for j, indices in enumerate(outer):
                position += (line[j] * indices).reshape(-1, *[1] * (len(outer) - 1 - j))
            rows[..., s] = snap_positions(position)
        return rows.reshape(-1, len(self.sources))

    @property
    def slope(self) -> tuple[float, ...]:
        """How far one step along the inner output axis moves along each source axis."""
        return tuple([line[-1] if line else 0.0 for line in self.matrix])

    def positions(self, ranges: Box) -> Floats:
        """Return the position of every voxel of a box, shape (n_sources, *box).

        Parameters
        ----------
        ranges : Box
            Range of indices along each of `outs`.
        """
        if self.nonlinear is not None:
            return self.nonlinear.positions(ranges)
        shape = [stop - start for start, stop in ranges]
        inner = np.arange(*ranges[-1], dtype=np.float64) if ranges else np.zeros(1)
        rows = self.rows(ranges) if ranges else np.array([self.offset])
        found = rows.T[:, :, None] + np.multiply.outer(self.slope, inner)[:, None, :]
        return found.reshape(len(self.sources), *shape)

    def bounds(self, ranges: Sequence[Any], edge: bool) -> tuple[list[tuple[Any, Any]], Any]:
        """Return the range of source voxels that boxes of output voxels need.

        Parameters
        ----------
        ranges : sequence of (first, stop)
            Along each of `outs`: numbers, or arrays of them that broadcast.
        edge : bool
            Whether the outermost values go on for ever.

        Returns
        -------
        tuple of (list of (first, stop), met)
            `met` says whether any voxel of the box can lie inside the source.
        """
        lows, highs = spans(self.matrix, self.offset, ranges)
        if self.nonlinear is not None:
            lows, highs = self.nonlinear.bounds(ranges, lows, highs)
        met: Any = True
        box = []
        for low, high, n, reach in zip(lows, highs, self.lengths, self.reach, strict=True):
            if n == 0:
                met = False
            elif not edge:
                met = np.logical_and(met, (high > -0.5 - SNAP) & (low < n - 0.5 + SNAP))
            # From the outermost voxels on everything is said by those within reach of them.
            inside = _within(low, -0.5, n - 0.5), _within(high, -0.5, n - 0.5)
            wide = math.ceil(reach)
            first = np.floor(inside[0] - SNAP) - wide + 1
            stop = np.floor(inside[1] + SNAP) + wide + 1
            if wide > 1:  # what is beyond an end may stand for what lies before it
                first, stop = np.minimum(first, 2 * n - 1 - stop), np.maximum(stop, 1 - first)
            box.append((_within(first, 0, n - 1), _within(stop, 1, n)))
        return box, met
