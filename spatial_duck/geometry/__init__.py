"""Where voxels are: `Geometry` and `World`.

A geometry is an anchor grid and a map of integers over it. From bottom to top: `_keys` reads
NumPy's index keys; `_map` holds the map and indexes it, `_moves` does the rest of what NumPy does;
`_world` holds names, units and anatomical frames, `_quantity` reads numbers with units, and
`_validation` and `_construction` check parameters; `_anchor` places a map in the world; `_grid` is
the frozen state; `_points`, `_convert`, `_compare` and `_align` are free functions of it, and
`_geometry` the class that has them as methods. Nothing here knows arrays but NumPy's small ones.
"""

from __future__ import annotations

from spatial_duck.geometry._geometry import Geometry
from spatial_duck.geometry._world import World

__all__ = ["Geometry", "World"]
