"""Functions that make arrays from shapes, tables of numbers or a caller's function.

With ``like=image`` they make an array of the kind of the image's data. It has no positions, so that
it combines with any image; an image that is converted keeps its geometry.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import as_tuple
from spatial_duck.rules._rule import (
    UNKNOWN,
    elementwise_geometry,
    existing,
    geometries,
    geometry_or_none,
    rule,
    shape_of,
    unplaced,
)

__all__: list[str] = []


@rule(
    "plain",
    *existing(np, "zeros ones empty full eye identity tri arange frombuffer fromfile fromiter"),
    *existing(np, "fromstring fromfunction loadtxt genfromtxt"),
)
def _new_array() -> None:
    """Return None, since a new array has no positions."""


@rule("plain", np.array)
def _array(object: Any, ndmin: Any = 0) -> Geometry | None:
    grid = geometry_or_none(object)
    if grid is None or grid.ndim >= ndmin:
        return grid
    return grid[(None,) * (ndmin - grid.ndim) + (...,)]


@rule("plain", np.asarray, np.asanyarray, np.require)
def _asarray(a: Any) -> Geometry | None:
    return geometry_or_none(a)


@rule("plain", np.ascontiguousarray, np.asfortranarray)
def _ascontiguousarray(a: Any) -> Geometry | None:
    grid = geometry_or_none(a)
    return grid if grid is None or grid.ndim else grid[None]


# --- new arrays like another --------------------------------------------------------------


@rule("keeps", np.zeros_like, np.ones_like, np.empty_like, np.full_like, deferrable=True)
def _like(name: str, image: Any, shape: Any = None, fill_value: Any = None) -> Geometry | None:
    grid = geometry_or_none(image)
    if grid is None:
        return None
    if shape is not None:
        shape = as_tuple(shape)
        grid = grid if shape == grid.shape else unplaced(shape)
    return elementwise_geometry(name, grid, fill_value) if geometries(fill_value) else grid


# --- between images -----------------------------------------------------------------------


@rule("derives", np.linspace, np.geomspace, np.logspace, adds_axes=True)
def _interval(
    name: str, start: Any, stop: Any, num: Any, axis: Any, base: Any = 10.0, retstep: Any = False
) -> Any:
    """Return the geometry of values from one image to another along a new axis."""
    grid = elementwise_geometry(name, start, stop, base)
    new = grid.expand_dims(axis).resize_axis(axis, operator.index(num))
    return (new, grid) if retstep else new


# --- axes of a grid -----------------------------------------------------------------------


@rule("derives", np.meshgrid)
def _meshgrid(xi: Any, sparse: Any, indexing: Any) -> list[Geometry]:
    order = list(range(len(xi)))
    if indexing == "xy" and len(xi) > 1:
        order[:2] = 1, 0
    lengths = [1] * len(xi)
    for n, x in enumerate(xi):
        lengths[order[n]] = int(np.prod(shape_of(x)))
    return [_open_mesh(x, order[n], lengths, sparse, "meshgrid") for n, x in enumerate(xi)]


def _open_mesh(x: Any, place: int, lengths: list[int], sparse: bool, function: str) -> Geometry:
    if not isinstance(x, Geometry):
        own = [n if k == place else 1 for k, n in enumerate(lengths)]
        return unplaced(own if sparse else lengths)
    line = x if x.ndim == 1 else x.reshape((lengths[place],), function)
    grid = line[(None,) * place + (slice(None),) + (None,) * (len(lengths) - place - 1)]
    return grid if sparse else grid.broadcast_to(lengths)


@rule("plain", np.ix_)
def _ix_(args: Any) -> list[Geometry]:
    found: list[Geometry] = []
    for n, a in enumerate(args):
        # Indices, not voxels: how many there are depends on the values of a mask.
        line = a.lose(0, "ix_", shape=(UNKNOWN,)) if geometry_or_none(a) else unplaced((UNKNOWN,))
        found.append(line[(None,) * n + (slice(None),) + (None,) * (len(args) - n - 1)])
    return found


@rule("derives", np.vander)
def _vander(x: Geometry, N: Any) -> Geometry:
    count = x.shape[0] if N is None else operator.index(N)
    return x[:, None].resize_axis(1, count)
