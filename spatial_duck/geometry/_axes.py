"""One array axis of an image, and where the axes and the origin are after a step along one.

Everything is held in tuples of Python numbers: with two to four axes these are several times
faster than arrays, and a grid is made for every slice of every image.
"""

from __future__ import annotations

import operator
from math import hypot
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "PLAIN",
    "Axis",
    "Vector",
    "normalize_axes",
    "normalize_axis",
    "shifted",
    "step_axis",
    "strided",
    "unique_names",
]

Vector = tuple[float, ...]


class Axis(NamedTuple):
    """One array axis.

    Attributes
    ----------
    name : str or None
        Its name in ``dims``.
    spacing : float or None
        Distance between neighbouring voxel centres; None for a plain axis.
    column : tuple of float or None
        Unit vector along the axis, in world-axis order; None for a plain axis.
    lost : str or None
        For a plain axis that once was sampled: the function that lost its positions.
    """

    name: str | None = None
    spacing: float | None = None
    column: Vector | None = None
    lost: str | None = None


PLAIN = Axis()
_new_tuple = tuple.__new__


def _axis(name: str | None, spacing: float, column: Vector) -> Axis:
    # Twice as fast as Axis(...), which goes through a Python-level __new__.
    return _new_tuple(Axis, (name, spacing, column, None))


def shifted(origin: Vector, axis: Axis, steps: float) -> Vector:
    """Return `origin` moved by a (fractional) number of voxels along a sampled axis."""
    assert axis.spacing is not None
    assert axis.column is not None
    length = axis.spacing * steps
    return tuple([o + length * c for o, c in zip(origin, axis.column, strict=True)])


def step_axis(name: str | None, step: Vector) -> Axis:
    """Make the axis along which one index step moves by the vector `step`; plain if that is 0."""
    length = hypot(*step)
    if length == 0.0:
        return Axis(name)
    return _axis(name, length, tuple([s / length for s in step]))


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return an axis as an int from 0 to ``ndim - 1``."""
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(index, ndim)
    return index % ndim


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return one axis, several, or None for all, as a tuple of different ints."""
    if axis is None:
        return tuple(range(ndim))
    if axis.__class__ is int or not hasattr(axis, "__len__"):
        return (normalize_axis(axis, ndim),)
    axes = tuple([normalize_axis(a, ndim) for a in axis])
    if len(set(axes)) != len(axes):
        raise ValueError("repeated axis")
    return axes


def strided(axis: Axis, step: int) -> Axis:
    """Return a sampled axis walked in steps of `step` voxels."""
    if step == 1:
        return axis
    assert axis.spacing is not None
    assert axis.column is not None
    if step < 0:
        # 0.0 - c, because -c would turn 0.0 into -0.0.
        return _axis(axis.name, axis.spacing * -step, tuple([0.0 - c for c in axis.column]))
    return _axis(axis.name, axis.spacing * step, axis.column)


def unique_names(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Drop a name that an earlier axis has already."""
    seen: set[str] = set()
    out = []
    for axis in axes:
        if axis.name is not None and axis.name in seen:
            axis = axis._replace(name=None)
        elif axis.name is not None:
            seen.add(axis.name)
        out.append(axis)
    return tuple(out)
