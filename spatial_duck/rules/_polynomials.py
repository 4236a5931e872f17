"""Functions of `numpy.polynomial` that NumPy lets an array override."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.polynomial import polynomial

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import (
    elementwise_geometry,
    existing,
    geometries,
    rule,
    shape_of,
    unplaced,
)

__all__: list[str] = []


@rule("keeps", *existing(polynomial, "polyval2d"))
def _polyval2d(x: Any, y: Any, c: Any) -> Geometry:
    return _evaluate("polyval2d", [x, y], c)


@rule("keeps", *existing(polynomial, "polyvalnd"))
def _polyvalnd(pts: Any, c: Any) -> Geometry:
    parts = [pts[i] for i in range(pts.shape[0])] if isinstance(pts, Geometry) else list(pts)
    return _evaluate("polyvalnd", parts, c)


def _evaluate(function: str, points: list[Any], c: Any) -> Geometry:
    """Return the geometry of values at points; axes of several polynomials come first."""
    if geometries(*points):
        grid = elementwise_geometry(function, *points)
    else:
        grid = unplaced(np.broadcast_shapes(*map(shape_of, points)))
    extra = shape_of(c)[len(points) :]
    if not extra:
        return grid
    return grid.expand_dims(tuple(range(len(extra)))).with_shape((*extra, *grid.shape))


@rule("derives", *existing(polynomial, "polygrid2d"))
def _polygrid2d(x: Any, y: Any, c: Any) -> Geometry:
    n, m = len(shape_of(x)), len(shape_of(y))
    shape = (*shape_of(c)[2:], *shape_of(x), *shape_of(y))
    lead = len(shape) - n - m
    if isinstance(x, Geometry):
        return x[(None,) * lead + (...,) + (None,) * m].broadcast_to(shape)
    if isinstance(y, Geometry):
        return y[(None,) * (lead + n) + (...,)].broadcast_to(shape)
    return unplaced(shape)
