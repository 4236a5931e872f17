"""How far numbers of voxels may be off where lengths came through the 32 bits of a header."""

from __future__ import annotations

import math

__all__ = ["slack", "voxels_over"]

#: Arithmetic in 64 bits, in voxels.
_NEAR = 1e-6
#: What a number may lose in 32 bits, twice over, as a part of it.
_SINGLE = 2.0**-22


def slack(count: float) -> float:
    """Return by how much a position or a width of some voxels may be off by rounding alone."""
    return _NEAR + abs(count) * _SINGLE


def voxels_over(count: float) -> int:
    """Return how many whole voxels cover a width of `count`; one that is whole but for rounding is.

    Examples
    --------
    >>> voxels_over(12.8 / 0.10000000149011612), voxels_over(127.9), voxels_over(0.1 * 3 / 0.1)
    (128, 128, 3)
    """
    return math.ceil(count - slack(count))
