"""Voxels drawn at random, by their values or by weights, of images that may be in stores."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import Geometry

__all__ = ["DrawnVoxels"]

#: Voxels that are looked at together, where a chunk has no more.
_BOX_VOXELS = 1 << 22


class DrawnVoxels:
    """Draws voxels of an image, by their values or by weight, and reads little of it at a time.

    Boxes of whole chunks are read once each to count; to draw, each is read again that voxels are
    drawn of.
    """

    def __init__(self, image: SpatialArray, *, by_value: bool) -> None:
        if image.ndim != len(image.geometry.sampled_axes):
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
        self._boxes = _boxes(image.shape, backends.chunks(image.data))
        if by_value:
            counted = [_count(self._box(n)) for n in range(len(self._boxes))]
            self._values = np.unique(np.concatenate([values for values, _ in counted]))
            counts = np.zeros((len(self._values), len(counted)))
            for column, (values, numbers) in enumerate(counted):
                counts[np.searchsorted(self._values, values), column] = numbers
        else:
            counts = np.array([[_sum_weights(self._box(n)) for n in range(len(self._boxes))]])
        if not counts.sum() > 0:
            raise ValueError(
                f"{what}: the image has no values" if by_value else "weights must not all be 0"
            )
        self._ends = np.cumsum(counts, axis=1)

    def _box(self, number: int) -> Any:
        part = self._image[self._boxes[number]].compute()
        return backends.to(part.data, "numpy")

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie."""
        return self._image.geometry

    def indices(self, draws: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """Return a voxel's index for each generator of random numbers, as rows."""
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
            box = self._box(column)
            flat = box.ravel()
            inside = None if self._by_value else np.cumsum(flat, dtype=np.float64)
            where = {row: np.flatnonzero(flat == self._values[row])
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
        return found


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


def _count(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the values that there are, without NaN, and how many voxels have each."""
    return np.unique(values[values == values], return_counts=True)


def _sum_weights(weights: NDArray[Any]) -> float:
    """Return the sum of weights.

    Raises
    ------
    ValueError
        If one is negative or not finite.
    """
    wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
    if wrong.size:
        raise ValueError(f"weights must be finite numbers of 0 or more, got {wrong[0]}")
    return float(weights.sum(dtype=np.float64))
