"""Measures of objects in world units: a table of regions, and surfaces with vertices in the world.

Moments are summed as whole numbers of voxels and brought to the world at the end, so that the table
of a chunked image is that of the image in memory, on anisotropic, oblique and sheared grids.

Examples
--------
The volume of each object in millilitres, which are cubic centimetres:

>>> import numpy as np
>>> import spatial_duck as sd
>>> labels = sd.SpatialArray(np.zeros((20, 20, 20), int), spacing=2.0, unit="mm")
>>> labels[5:15, 5:15, 5:15] = 1
>>> sd.measure.regionprops(labels.to_unit("cm"))["volume"]
array([8.])
"""

from __future__ import annotations

from typing import Any

from spatial_duck.measure._api import Surface, marching_cubes, regionprops, surface_area
from spatial_duck.measure._table import RegionTable

__all__ = ["RegionTable", "Surface", "marching_cubes", "regionprops", "surface_area"]


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"module 'spatial_duck.measure' has no {name!r}: regionprops(labels) has the volume, place "
        "and shape of each object, and regionprops(labels, image) its mean intensity"
    )
