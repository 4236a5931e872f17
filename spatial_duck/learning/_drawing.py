"""Voxels drawn at random, by their values or by weights, of images that may be in stores."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import GeometryError
from spatial_duck.transforms._base import world_change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import Geometry

__all__ = ["DrawnVoxels", "box_in_world", "grid_map"]

#: Voxels that are looked at together, where a chunk has no more.
_BOX_VOXELS = 1 << 22
#: How far beyond the edge of a grid a voxel may lie, in voxels: what rounding makes of its place.
_TOLERANCE = 1e-6


class DrawnVoxels:
    """Draws voxels of an image, by their values or by weight, and reads little of it at a time.

    Boxes of whole chunks are read once each to count; to draw, each is read again that voxels are
    drawn of.

    Parameters
    ----------
    image : SpatialArray
        Labels or weights.
    space : Geometry
        That of the image, without axes that are not of space.
    grid : Geometry
        Voxels are drawn that have their centres in it; in a slice, those that it cuts.
    by_value : bool
        Whether each value is drawn as often as the others; else the values are weights.
    """

    def __init__(
        self, image: SpatialArray, space: Geometry, grid: Geometry, *, by_value: bool
    ) -> None:
        if image.ndim != space.ndim:
            raise GeometryError(
                "balance and weights need an image without other axes than those of space, got "
                f"dims {image.dims!r}; index one of them"
            )
        what = "balance" if by_value else "weights"
        kind = backends.host_type(image.dtype).kind
        if kind not in "biuf":
            raise TypeError(f"{what} needs an image of real numbers, got {image.dtype}")
        self._image = image
        self._by_value = by_value
        self._to_grid = grid_map(space, grid)
        self._conditions = _conditions(space, grid)
        self._boxes = _boxes(image.shape, backends.chunks(image.data))
        if by_value:
            counted = [_count(*self._box(n)) for n in range(len(self._boxes))]
            self._values = np.unique(np.concatenate([values for values, _ in counted]))
            counts = np.zeros((len(self._values), len(counted)))
            for column, (values, numbers) in enumerate(counted):
                counts[np.searchsorted(self._values, values), column] = numbers
        else:
            counts = np.array([[_sum_weights(*self._box(n)) for n in range(len(self._boxes))]])
        if not counts.sum() > 0:
            raise ValueError(
                f"{what} needs values{'' if by_value else ' above 0'} within the first image of "
                f"the case, and got none: the image reaches over {box_in_world(space)}, and the "
                f"first over {box_in_world(grid)}"
            )
        self._ends = np.cumsum(counts, axis=1)

    def _box(self, number: int) -> tuple[Any, NDArray[np.bool_]]:
        """Return the values in a box, and which of its voxels may be drawn."""
        box = self._boxes[number]
        within = np.ones([part.stop - part.start for part in box], bool)
        for condition in self._conditions:
            condition.apply(box, within)
        if not within.any():
            return np.zeros(within.shape, backends.host_type(self._image.dtype)), within
        part = self._image[box].compute()
        return backends.to(part.data, "numpy"), within

    def indices(self, draws: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """Return a voxel's index on the grid for each generator of random numbers, as rows."""
        ends = self._ends
        chosen: dict[int, list[tuple[int, int]]] = {}
        for number, rng in enumerate(draws):
            row = int(rng.integers(len(ends)))
            at = rng.random() * ends[row, -1]
            column = int(np.searchsorted(ends[row], at, side="right"))
            # A product may be rounded up to the sum: that is the last box with something in it.
            column = min(column, int(np.searchsorted(ends[row], ends[row, -1])))
            chosen.setdefault(column, []).append((number, row))
        found = np.zeros((len(draws), len(self._image.shape)))
        for column, members in chosen.items():  # each box is read once
            box, within = self._box(column)
            flat, there = box.ravel(), within.ravel()
            inside = None if self._by_value else np.cumsum(flat * there, dtype=np.float64)
            where = {row: np.flatnonzero((flat == self._values[row]) & there)
                     for row in {row for _, row in members} if self._by_value}  # fmt: skip
            for number, row in members:
                if inside is None:
                    at = int(where[row][int(draws[number].integers(len(where[row])))])
                else:
                    share = draws[number].random() * inside[-1]
                    at = int(np.searchsorted(inside, share, side="right"))
                    at = min(at, int(np.searchsorted(inside, inside[-1])))
                found[number] = np.unravel_index(at, box.shape)
                found[number] += [part.start for part in self._boxes[column]]
        return self._to_grid(found)


def grid_map(space: Geometry, grid: Geometry) -> Callable[[Any], NDArray[np.float64]]:
    """Return the function that takes indices on one grid to those on another."""
    change = world_change(space.world, grid.world)
    return lambda index: grid.physical_to_index(space.index_to_physical(index) @ change.T)


def box_in_world(grid: Geometry) -> str:
    """Return where a grid lies, as text."""
    rows = zip(grid.world.axes, grid.bounds.T.tolist(), grid.world.units, strict=True)
    return ", ".join([f"{n} {a:g} to {b:g}{f' {unit}' * bool(unit)}" for n, (a, b), unit in rows])


class _Condition(NamedTuple):
    """A linear function of a voxel's index, and the range in which its value must lie."""

    factors: NDArray[np.float64]
    offset: float
    low: float
    high: float

    def apply(self, box: Sequence[slice], within: NDArray[np.bool_]) -> None:
        """Take the voxels of a box out of `within` that do not fulfil it."""
        if 0 in within.shape:
            return
        lines = [f * np.arange(p.start, p.stop) for f, p in zip(self.factors, box, strict=True)]
        low, high = self.low - _TOLERANCE, self.high + _TOLERANCE
        least = self.offset + sum([float(line.min()) for line in lines])
        most = self.offset + sum([float(line.max()) for line in lines])
        if low <= least and most <= high:
            return
        values: Any = self.offset
        for axis, line in enumerate(lines):
            values = values + line.reshape([-1 if a == axis else 1 for a in range(len(lines))])
        within &= (values >= low) & (values <= high)


def _conditions(space: Geometry, grid: Geometry) -> list[_Condition]:
    """Return what the voxels of an image fulfil that lie in a grid."""
    to_grid = grid_map(space, grid)
    found = _linear(to_grid, space.ndim, [(-0.5, n - 0.5) for n in grid.shape])
    if grid.ndim < len(grid.world.axes):  # a slice, which may pass a voxel by
        back = grid_map(grid, space)
        off = [(-0.5, 0.5)] * space.ndim
        found += _linear(lambda index: back(to_grid(index)) - index, space.ndim, off)
    return found


def _linear(
    function: Callable[[Any], Any], ndim: int, ranges: Sequence[tuple[float, float]]
) -> list[_Condition]:
    """Return the conditions that each value of a linear function of the index is in its range."""
    offsets = function(np.zeros(ndim))
    rows = (function(np.eye(ndim)) - offsets).T
    return [
        _Condition(row, offset, low, high)
        for row, offset, (low, high) in zip(rows, offsets.tolist(), ranges, strict=True)
    ]


def _boxes(shape: Sequence[int], chunks: Sequence[Sequence[int]] | None) -> list[tuple[slice, ...]]:
    """Return boxes of whole chunks that make an array, in C order.

    Neighbouring chunks are put together, along the last axis first, up to `_BOX_VOXELS`.
    """
    chunks = [(1,) * n for n in shape] if chunks is None else chunks
    lengths = [max(sizes, default=0) for sizes in chunks]
    ends: list[list[int]] = [[]] * len(shape)
    for axis in reversed(range(len(shape))):
        others = math.prod(lengths[:axis] + lengths[axis + 1 :])
        most = max(_BOX_VOXELS // max(others, 1), 1)
        found = [0]
        stop = 0
        for size in chunks[axis]:
            if stop > found[-1] and stop + size - found[-1] > most:
                found.append(stop)
            stop += size
        ends[axis] = [*found, stop]
        lengths[axis] = max(np.diff(ends[axis]).tolist())
    return list(itertools.product(*[
        [slice(a, b) for a, b in itertools.pairwise(line)] for line in ends
    ]))  # fmt: skip


def _count(
    values: NDArray[Any], within: NDArray[np.bool_]
) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values that there are, without NaN, and how many voxels have each."""
    return np.unique(values[(values == values) & within], return_counts=True)


def _sum_weights(weights: NDArray[Any], within: NDArray[np.bool_]) -> float:
    """Return the sum of weights.

    Raises
    ------
    ValueError
        If one is negative or not finite.
    """
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if wrong.size:
        raise ValueError(f"weights must be finite numbers of 0 or more, got {wrong[0]}")
    return float(weights.sum(dtype=np.float64, where=within))
