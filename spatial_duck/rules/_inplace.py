"""Functions that write into an argument: grids are checked before anything is written."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.rules._rule import (
    check_aligned_except,
    elementwise_geometry,
    geometries,
    rule,
    shape_of,
)

__all__: list[str] = []


def _check_fits(function: str, target: Any, *sources: Any) -> None:
    """Check that sources lie on the target's grid and broadcast to its shape."""
    if target.__class__ is not Geometry and not geometries(*sources):
        return
    merged = elementwise_geometry(function, target, *sources)
    if merged is not target and merged.shape != shape_of(target):
        raise ValueError(
            f"{function}: could not broadcast input array from shape {merged.shape} into shape "
            f"{shape_of(target)}"
        )


@rule("keeps", np.copyto)
def _copyto(dst: Any, src: Any, where: Any = True) -> None:
    sources = (src,) if where is True else (src, where)
    _check_fits("copyto", dst, *sources)


@rule("keeps", np.putmask)
def _putmask(a: Any, mask: Any, values: Any) -> None:
    # Values of another shape are repeated in the order of the voxels: a table, not a grid.
    _check_fits("putmask", a, mask, values if shape_of(values) == shape_of(a) else None)


@rule("keeps", np.place)
def _place(arr: Any, mask: Any, vals: Any) -> None:
    if shape_of(mask) == shape_of(arr):
        _check_fits("place", arr, mask)


@rule("keeps", np.put)
def _put(a: Any, v: Any) -> None:
    if isinstance(a, Geometry) and isinstance(v, Geometry) and v.shape == a.shape:
        elementwise_geometry("put", a, v)


@rule("keeps", np.put_along_axis)
def _put_along_axis(arr: Any, indices: Any, values: Any, axis: Any) -> None:
    if axis is None:
        return
    n = len(shape_of(arr))
    found = [g for g in (arr, indices, values) if isinstance(g, Geometry) and g.ndim == n]
    check_aligned_except("put_along_axis", axis % n, *found)


@rule("keeps", np.fill_diagonal)
def _fill_diagonal(a: Any, val: Any) -> None:
    if isinstance(a, Geometry) and isinstance(val, Geometry) and val.shape == a.shape:
        alignment.broadcast("fill_diagonal", (a, val))
