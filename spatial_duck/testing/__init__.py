"""Tests for images that know where they are: strategies, oracles and assertions.

Public code that the project's own tests use and other image classes can be run through. Needs NumPy
and, for `strategies`, Hypothesis; `stores` needs zarr.
"""

from __future__ import annotations

from spatial_duck.testing.assertions import (
    assert_geometry_equal,
    assert_lazy,
    assert_no_host_copy,
    assert_same_place,
)
from spatial_duck.testing.device import DeviceArray
from spatial_duck.testing.oracles import NO_VOXEL, Place, place_of, positions, voxel_numbers

__all__ = [
    "NO_VOXEL",
    "DeviceArray",
    "Place",
    "assert_geometry_equal",
    "assert_lazy",
    "assert_no_host_copy",
    "assert_same_place",
    "place_of",
    "positions",
    "voxel_numbers",
]
