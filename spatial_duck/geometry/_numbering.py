"""Axes, widths and cuts, as NumPy reads them."""

from __future__ import annotations

import operator
from itertools import pairwise
from typing import Any

import numpy as np

__all__ = [
    "as_tuple",
    "at_least",
    "normalize_axes",
    "normalize_axis",
    "pad_widths",
    "split_slices",
    "swapped_axes",
]


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


def at_least(a: Any, ndim: int) -> Any:
    """Return an array, a geometry or a shape with the axes that ``np.atleast_1d`` to ``3d`` add."""
    given = len(a) if isinstance(a, tuple) else a.ndim
    after = int(ndim == 3 and 0 < given < 3)
    before = max(ndim - given - after, 0)
    if isinstance(a, tuple):
        return (1,) * before + a + (1,) * after
    return a[(None,) * before + (...,) + (None,) * after] if before or after else a


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Return a sequence as a tuple, and anything else as a tuple of one."""
    return tuple(value) if hasattr(value, "__len__") else (value,)


def pad_widths(widths: Any, ndim: int) -> list[tuple[int, int]]:
    """Return the numbers of voxels that `numpy.pad` adds before and after each axis."""
    if not isinstance(widths, dict):
        pairs = np.broadcast_to(np.asarray(widths), (ndim, 2)).tolist()
        return [(int(before), int(after)) for before, after in pairs]
    found = [(0, 0)] * ndim
    for axis, width in widths.items():
        before, after = np.broadcast_to(np.asarray(width), 2).tolist()
        found[normalize_axis(axis, ndim)] = (int(before), int(after))
    return found


def split_slices(sections: Any, n: int, *, equal: bool) -> list[slice]:
    """Return the slices of an axis of length `n` that `numpy.split` or (not equal) array_split cut.

    They lie within the axis, as strict libraries want them.
    """
    if hasattr(sections, "__len__") and np.ndim(sections):
        cuts = [operator.index(c) for c in sections]
    else:
        count = operator.index(sections)
        if count <= 0:
            raise ValueError("number sections must be larger than 0.")
        if equal and n % count:
            raise ValueError("array split does not result in an equal division")
        each, extra = divmod(n, count)
        cuts = [i * each + min(i, extra) for i in range(1, count)]
    ends = [slice(a, b).indices(n)[:2] for a, b in pairwise([0, *cuts, None])]
    return [slice(a, max(a, b)) for a, b in ends]
