"""Functions of `numpy.polynomial` that NumPy lets an array override."""

from __future__ import annotations

import operator
from typing import Any

from numpy.polynomial import polynomial

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import geometries, named, rule, shape_of, together, unplaced

__all__: list[str] = []


@rule("keeps", *named(polynomial, "polyval2d"))
def _polyval2d(x: Any, y: Any, c: Any) -> Geometry:
    extra = shape_of(c)[2:]
    grid = (
        together("polyval2d", x, y)
        if geometries(x, y)
        else unplaced(np_broadcast(shape_of(x), shape_of(y)))
    )
    return grid.expand_dims(tuple(range(len(extra)))).broadcast_to((*extra, *grid.shape))


def np_broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape that shapes make together."""
    import numpy as np

    return np.broadcast_shapes(*shapes)


@rule("derives", *named(polynomial, "polygrid2d"))
def _polygrid2d(x: Any, y: Any, c: Any) -> Geometry:
    n, m = len(shape_of(x)), len(shape_of(y))
    shape = (*shape_of(c)[2:], *shape_of(x), *shape_of(y))
    lead = len(shape) - n - m
    if isinstance(x, Geometry):
        return x[(None,) * lead + (...,) + (None,) * m].broadcast_to(shape)
    if isinstance(y, Geometry):
        return y[(None,) * (lead + n) + (...,)].broadcast_to(shape)
    return unplaced(shape)


@rule("keeps", *named(polynomial, "polyvalnd"))
def _polyvalnd(pts: Any, c: Any) -> Geometry:
    parts = [pts[i] for i in range(pts.shape[0])] if isinstance(pts, Geometry) else list(pts)
    grid = (
        together("polyvalnd", *parts)
        if geometries(*parts)
        else unplaced(np_broadcast(*map(shape_of, parts)))
    )
    extra = shape_of(c)[operator.index(len(parts)) :]
    return grid.expand_dims(tuple(range(len(extra)))).broadcast_to((*extra, *grid.shape))
