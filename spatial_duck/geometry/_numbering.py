"""Numbers of array axes, as NumPy reads them."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

__all__ = ["as_tuple", "normalize_axes", "normalize_axis"]


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


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a sequence as a tuple, and anything else as a tuple of one."""
    return tuple(value) if hasattr(value, "__len__") else (value,)
