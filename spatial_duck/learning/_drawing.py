"""Voxels drawn at random, by their values or by weights, of images that may be in stores."""

from __future__ import annotations

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

#: Voxels that are looked at together.
_SLAB = 1 << 22


class DrawnVoxels:
    """Draws voxels of an image, by their values or by weight, and reads little of it at a time.

    The image is read once, slab by slab, to count; to draw, each slab is read again that voxels are
    drawn of.
    """

    def __init__(self, image: SpatialArray, *, by_value: bool) -> None:
        if image.ndim != len(image.geometry.sampled_axes):
            raise GeometryError(
                "balance and weights need an image without other axes than those of space, got "
                f"dims {image.dims!r}; index one of them"
            )
        self._image = image
        self._by_value = by_value
        row = max(math.prod(image.shape[1:]), 1)
        self._step = max(_SLAB // row, 1)
        self._starts = range(0, image.shape[0], self._step)
        slabs = [self._slab(start) for start in self._starts]
        if by_value:
            counted = [np.unique(slab, return_counts=True) for slab in slabs]
            self._values = np.unique(np.concatenate([values for values, _ in counted]))
            self._counts = np.zeros((len(self._values), len(slabs)))
            for column, (values, counts) in enumerate(counted):
                self._counts[np.searchsorted(self._values, values), column] = counts
        else:
            if any((slab < 0).any() for slab in slabs):
                raise ValueError("weights must be 0 or more, got negative ones")
            self._counts = np.array([[float(slab.sum()) for slab in slabs]])
        if not self._counts.sum() > 0:
            raise ValueError("weights must not all be 0")

    def _slab(self, start: int) -> Any:
        part = self._image[start : start + self._step].compute()
        return backends.to(part.data, "numpy")

    @property
    def geometry(self) -> Geometry:
        """Where the voxels lie."""
        return self._image.geometry

    def indices(self, draws: Sequence[np.random.Generator]) -> NDArray[np.float64]:
        """Return a voxel's index for each generator of random numbers, as rows."""
        ends = np.cumsum(self._counts, axis=1)
        chosen: dict[int, list[tuple[int, int]]] = {}
        for number, rng in enumerate(draws):
            row = int(rng.integers(len(ends)))
            at = rng.random() * ends[row, -1]
            column = min(int(np.searchsorted(ends[row], at, side="right")), ends.shape[1] - 1)
            chosen.setdefault(column, []).append((number, row))
        found = np.zeros((len(draws), len(self._image.shape)))
        for column, members in chosen.items():  # each slab is read once
            slab = self._slab(self._starts[column])
            flat = slab.ravel()
            inside = None if self._by_value else np.cumsum(flat, dtype=np.float64)
            where = {row: np.flatnonzero(flat == self._values[row])
                     for row in {row for _, row in members} if self._by_value}  # fmt: skip
            for number, row in members:
                if inside is None:
                    at = int(where[row][int(draws[number].integers(len(where[row])))])
                else:
                    share = draws[number].random() * inside[-1]
                    at = min(int(np.searchsorted(inside, share, side="right")), flat.size - 1)
                found[number] = np.unravel_index(at, slab.shape)
                found[number, 0] += self._starts[column]
        return found
