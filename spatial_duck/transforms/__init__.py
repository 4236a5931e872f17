"""Maps between points of physical space.

Each kind of transform is a module with one subclass of `Transform` (`_base`).
"""

from __future__ import annotations

from spatial_duck.transforms._affine import Affine, Composite
from spatial_duck.transforms._base import Transform
from spatial_duck.transforms._bspline import BSpline
from spatial_duck.transforms._displacement import DisplacementField

__all__ = ["Affine", "BSpline", "Composite", "DisplacementField", "Transform"]
