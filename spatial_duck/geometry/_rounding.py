"""Tolerances for positions and widths in voxels that were stored in 32 bits."""

from __future__ import annotations

import math

__all__ = ["count_voxels", "rounding_tolerance"]

#: Tolerance for arithmetic in 64 bits, in voxels.
_DOUBLE_TOLERANCE = 1e-6
#: Relative tolerance for numbers stored in 32 bits: twice their rounding error.
_SINGLE_TOLERANCE = 2.0**-22


def rounding_tolerance(count: float) -> float:
    """Return by how much a position or a width of some voxels may be off by rounding alone."""
    return _DOUBLE_TOLERANCE + abs(count) * _SINGLE_TOLERANCE


def count_voxels(count: float) -> int:
    """Return how many whole voxels cover a width of `count`; one that is whole but for rounding is.

    Examples
    --------
    >>> count_voxels(12.8 / 0.10000000149011612), count_voxels(127.9), count_voxels(0.1 * 3 / 0.1)
    (128, 128, 3)
    """
    return math.ceil(count - rounding_tolerance(count))
