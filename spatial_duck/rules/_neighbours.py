"""Functions that combine neighbouring voxels: the new grid lies between or beyond the old one's."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._moves import flatten
from spatial_duck.rules._rule import UNKNOWN, rule, shape_of

__all__: list[str] = []


@rule("derives", np.diff, deferrable=True)
def _diff(a: Any, n: Any, axis: Any, prepend: Any = None, append: Any = None) -> Geometry | None:
    if not isinstance(a, Geometry):
        return None
    i = normalize_axis(axis, a.ndim)
    if n == 0:
        return a
    parts = [_border_shape(p, a, i) for p in (prepend, a, append) if p is not None]
    return (a if len(parts) == 1 else alignment.concatenate("diff", parts, i)).diff(n, i)


def _border_shape(value: Any, a: Geometry, axis: int) -> Any:
    """Return the geometry or shape of what is prepended or appended; a scalar is one plane."""
    if isinstance(value, Geometry):
        return value
    shape = shape_of(value)
    return shape if shape else (*a.shape[:axis], 1, *a.shape[axis + 1 :])


@rule("derives", np.ediff1d)
def _ediff1d(ary: Any, to_end: Any, to_begin: Any) -> Geometry | None:
    if not isinstance(ary, Geometry):
        return None
    grid = flatten(ary, "ediff1d").diff(1, 0)
    before, after = (0 if v is None else int(np.prod(shape_of(v))) for v in (to_begin, to_end))
    return grid.pad(((before, after),))


@rule("derives", np.convolve, np.correlate)
def _convolve(name: str, a: Any, v: Any, mode: Any) -> Geometry:
    """Return the geometry of a 1-D convolution: each value lies at the centre of its kernel."""
    if isinstance(a, Geometry) and isinstance(v, Geometry):
        return a.lose(0, name, shape=(UNKNOWN,))
    swapped = shape_of(v)[0] > shape_of(a)[0]
    image, kernel = (a, v) if isinstance(a, Geometry) else (v, a)
    n, m = image.shape[0], shape_of(kernel)[0]
    short, long = min(n, m), max(n, m)
    mode = {0: "valid", 1: "same", 2: "full"}.get(mode, mode)
    # Of the full result, value k lies half the kernel before voxel k.
    first = {"full": 0, "same": short - 1 - short // 2, "valid": short - 1}[mode]
    count = {"full": n + m - 1, "same": long, "valid": long - short + 1}[mode]
    if name == "correlate" and swapped:  # NumPy swaps the two and turns the result round
        first = n + m - 1 - count - first
    if name == "correlate" and image is v:
        # The second argument slides backwards.
        image = image.flip(0)
    return image.shift(0, 2 * first - (m - 1), count)
