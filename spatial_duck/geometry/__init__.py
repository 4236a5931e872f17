"""Where voxels are: `Geometry` and `World`.

`_geometry` holds the class; `_axes`, `_indexing` and `_moves` say what moving voxels does to axes,
`_points` maps between indices and points, `_align` compares and joins the grids of several images,
`_keys` reads NumPy's index keys, `_world` holds names, units and anatomical frames, and
`_validation` checks what users give. Nothing here knows arrays but NumPy's small ones.
"""

from __future__ import annotations

from spatial_duck.geometry._geometry import Geometry
from spatial_duck.geometry._world import World

__all__ = ["Geometry", "World"]
