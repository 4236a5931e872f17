"""Images at several resolutions with exact geometry: `pyramid` and `Pyramid`.

To add a method, add a row to the table in `_binning`.
"""

from __future__ import annotations

from spatial_duck.pyramids._api import (
    METHODS,
    Pyramid,
    default_method,
    pyramid,
    shrink,
)
from spatial_duck.pyramids._levels import level_factors, level_geometries, shrunk_geometry

__all__ = [
    "METHODS",
    "Pyramid",
    "default_method",
    "level_factors",
    "level_geometries",
    "pyramid",
    "shrink",
    "shrunk_geometry",
]
