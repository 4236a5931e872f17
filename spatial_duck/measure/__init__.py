"""Measures of objects in world units: a table of regions, and surfaces with vertices in the world.

Moments are summed as whole numbers of voxels and brought to the world at the end, so that the table
of a chunked image is that of the image in memory, on anisotropic, oblique and sheared grids.
"""

from __future__ import annotations

from spatial_duck.measure._api import Surface, marching_cubes, regionprops, surface_area
from spatial_duck.measure._table import RegionTable

__all__ = ["RegionTable", "Surface", "marching_cubes", "regionprops", "surface_area"]
