"""Functions that join images along an axis, and split them."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck import mixing
from spatial_duck.geometry import Geometry
from spatial_duck.grid import normalize_axis
from spatial_duck.rules._rule import geometries, rule, shape_of

__all__: list[str] = []


def joined(function: str, arrays: Any, axis: int) -> Geometry:
    """Return the geometry of arrays joined along an axis that they have."""
    pieces = [a if a.__class__ is Geometry else shape_of(a) for a in arrays]
    first = geometries(*pieces)[0]
    return mixing.concatenate(function, pieces, normalize_axis(axis, first.ndim))


@rule("moves", np.concatenate)
def _concatenate(
    arrays: Any, /, axis: Any = 0, out: Any = None, *, dtype: Any = None, casting: Any = None
) -> Geometry:
    if axis is None:
        raise NotImplementedError
    return joined("concatenate", arrays, axis)
