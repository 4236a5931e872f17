"""Source axes along which the position depends on one output axis at most.

Positions within 2**-32 of a voxel of a voxel's centre or edge are put there, so that the rounding
errors of a geometry do not decide on which side of a tie a voxel falls. Positions depend on the
output voxel's own index alone, never on the block that it is computed in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.resampling._interpolations import gaussian, kinds, lookup, weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["GRAIN", "Box", "SeparableAxis", "Table", "snap_positions"]

#: A range of indices, from and to, along each axis.
Box = tuple[tuple[int, int], ...]

#: A position this close to a multiple of half a voxel, in half voxels, is there.
GRAIN = 2.0**-31


def snap_positions(x: NDArray[Any]) -> Floats:
    """Round positions that are a rounding error off the centre or the edge of a voxel to it."""
    halves = np.rint(x * 2.0)
    found: Floats = np.where(np.abs(x * 2.0 - halves) < GRAIN, halves * 0.5, x)
    return found


class Table(NamedTuple):
    """Where the output voxels of a range along one axis take their values.

    Attributes
    ----------
    start, stop : int
        The part of the range that lies inside the source.
    low, high : ndarray of int, shape (stop - start,)
        The first and the last source voxel that each looks at.
    fraction : ndarray of float or None
        How far from the lower to the higher, where the values between two voxels are linear; None
        where all of them are 0.
    taps : ndarray of int, shape (stop - start, n), or None
        The source voxels that each looks at, where these are more than two.
    weights : ndarray of float, shape (stop - start, n), or None
        The weight of each of them.
    """

    start: int
    stop: int
    low: Ints
    high: Ints
    fraction: Floats | None = None
    taps: Ints | None = None
    weights: Floats | None = None

    @property
    def bounds(self) -> tuple[int, int]:
        """First source voxel that is needed, and the one after the last."""
        if self.taps is not None:
            return int(np.min(self.low)), int(np.max(self.high)) + 1
        ends = (int(self.low[0]), int(self.low[-1]))
        tops = (int(self.high[0]), int(self.high[-1]))
        return min(ends), max(tops) + 1

    @property
    def step(self) -> int | None:
        """Step between source voxels where they make a slice, or None."""
        if self.fraction is not None or self.taps is not None:
            return None
        if len(self.low) == 1:
            return 1
        steps = np.diff(self.low)
        return int(steps[0]) if steps[0] != 0 and (steps == steps[0]).all() else None


@dataclass(frozen=True, slots=True)
class SeparableAxis:
    """A source axis along which the position depends on one output axis, or on none.

    Attributes
    ----------
    source : int
        The source axis.
    out : int or None
        The output axis; None where the position is the same for all of the output.
    scale, offset : float
        ``position = scale * output_index + offset``.
    length : int
        Number of source voxels along the axis.
    sigma : float
        Standard deviation of the smoothing along the axis, in source voxels.
    """

    source: int
    out: int | None
    scale: float
    offset: float
    length: int
    sigma: float = 0.0

    @property
    def exact(self) -> bool:
        """Whether every value is that of a source voxel."""
        whole = self.scale == round(self.scale) and self.offset == round(self.offset)
        return whole and self.sigma == 0

    def table(self, start: int, stop: int, how: str, edge: bool) -> Table:
        """Return where the output voxels from `start` to `stop` take their values.

        Parameters
        ----------
        start, stop : int
            Range of output indices.
        how : str
            The interpolation.
        edge : bool
            Whether the outermost values go on for ever.
        """
        x = snap_positions(np.arange(start, stop) * self.scale + self.offset)
        if not edge:
            inside = np.flatnonzero((x >= -0.5) & (x < self.length - 0.5))
            first, last = (inside[0], inside[-1] + 1) if len(inside) else (0, 0)
            x = x[first:last]
            start, stop = start + int(first), start + int(last)
        if self.length == 0:
            x, stop = x[:0], start
        top = self.length - 1
        if self.exact or how == "nearest":
            low = np.clip(np.floor(x + 0.5), 0, top).astype(np.intp)
            return Table(start, stop, low, low)
        if edge or how == "linear":
            x = np.clip(x, 0.0, top)
        floor = np.floor(x)
        fraction = x - floor
        low = floor.astype(np.intp)
        if how == "linear" and self.sigma == 0:
            if not fraction.any():
                return Table(start, stop, low, low)
            return Table(start, stop, low, low + (fraction > 0), fraction)
        return self._tapped(start, stop, low, fraction, how)

    def spread(self, mirror: bool) -> tuple[Ints, Floats]:
        """Return the voxels that smoothing looks at around each voxel, and their weights."""
        weight = gaussian(self.sigma)
        reach = np.arange(len(weight)) - len(weight) // 2
        index = lookup(np.arange(self.length)[:, None] + reach, self.length, mirror)
        return index, np.broadcast_to(weight, index.shape)

    def _tapped(self, start: int, stop: int, low: Ints, fraction: Floats, how: str) -> Table:
        """Return a table with a weight for each neighbour."""
        weight = weights(how, fraction)
        first = 1 - kinds[how].taps // 2
        if self.sigma:
            # Smoothing and interpolation in one: the one's weights are spread by the other's.
            spread = gaussian(self.sigma)
            wide = np.zeros((len(low), weight.shape[1] + len(spread) - 1))
            for k in range(weight.shape[1]):
                wide[:, k : k + len(spread)] += weight[:, k, None] * spread
            weight, first = wide, first - len(spread) // 2
        index = lookup(
            low[:, None] + np.arange(first, first + weight.shape[1]), self.length,
            bool(kinds[how].poles),
        )  # fmt: skip
        counts = weight != 0
        lowest = np.where(counts, index, self.length).min(axis=1, initial=self.length)
        highest = np.where(counts, index, -1).max(axis=1, initial=-1)
        # A voxel that does not count stands for one that does, so that nobody reads it.
        index = np.where(counts, index, lowest[:, None])
        return Table(start, stop, lowest, highest, None, index, weight)
