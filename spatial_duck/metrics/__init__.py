"""Agreement of segmentations, with distances in world units.

`_overlap` counts voxels, `_surface` measures between surfaces. Each takes two images on one grid,
masks or labels, in memory or lazy, on any grid: anisotropic, oblique, sheared, slices in space.
"""

from __future__ import annotations

from spatial_duck.metrics._overlap import dice, jaccard, volume_similarity
from spatial_duck.metrics._surface import (
    average_surface_distance,
    hausdorff,
    surface_dice,
    surface_distances,
)

__all__ = [
    "average_surface_distance",
    "dice",
    "hausdorff",
    "jaccard",
    "surface_dice",
    "surface_distances",
    "volume_similarity",
]
