"""Functions whose result has a value for each voxel: the grid is kept."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import rule, together

__all__: list[str] = []


@rule("keeps", np.nan_to_num, deferrable=True)
def _nan_to_num(
    x: Geometry, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Geometry:
    return together("nan_to_num", x, nan, posinf, neginf)
