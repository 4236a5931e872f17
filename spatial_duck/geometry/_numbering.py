"""Numbers of array axes, as NumPy reads them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["as_tuple", "missing_axes", "normalize_axes", "normalize_axis", "swapped_axes"]


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


def swapped_axes(axis1: Any, axis2: Any, ndim: int) -> tuple[int, ...]:
    """Return the order of the axes after two of them were exchanged."""
    i, j = normalize_axis(axis1, ndim), normalize_axis(axis2, ndim)
    order = list(range(ndim))
    order[i], order[j] = j, i
    return tuple(order)


def missing_axes(ndim: int, least: int) -> tuple[int, int]:
    """Return how many axes ``np.atleast_1d`` to ``3d`` add in front and behind."""
    after = int(least == 3 and 0 < ndim < 3)
    return max(least - ndim - after, 0), after


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a sequence as a tuple, and anything else as a tuple of one."""
    return tuple(value) if hasattr(value, "__len__") else (value,)
