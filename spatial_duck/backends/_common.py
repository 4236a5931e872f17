"""NumPy's functions by slices, shapes and types alone, for any backend."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends._arguments import host_type
from spatial_duck.geometry._numbering import (
    at_least,
    normalize_axes,
    normalize_axis,
    split_slices,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMMON"]


def _array_split(
    ary: Any, indices_or_sections: Any, axis: int = 0, *, equal: bool = False
) -> list[Any]:
    i = normalize_axis(axis, ary.ndim)
    cuts = split_slices(indices_or_sections, ary.shape[i], equal=equal)
    return [ary[(slice(None),) * i + (cut, ...)] for cut in cuts]


def _split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    return _array_split(ary, indices_or_sections, axis, equal=True)


def _splitter(name: str, axis: int) -> Callable[..., list[Any]]:
    def split(ary: Any, indices_or_sections: Any) -> list[Any]:
        least = {"hsplit": 1, "vsplit": 2, "dsplit": 3}[name]
        if ary.ndim < least:
            raise ValueError(f"{name} only works on arrays of {least} or more dimensions")
        return _split(ary, indices_or_sections, min(axis, ary.ndim - 1))

    return split


def _unstack(x: Any, /, *, axis: int = 0) -> tuple[Any, ...]:
    if not x.ndim:
        raise ValueError("Input array must be at least 1-d.")
    before = (slice(None),) * normalize_axis(axis, x.ndim)
    return tuple([x[(*before, i, ...)] for i in range(x.shape[axis])])


def _at_least(ndim: int) -> Callable[..., Any]:
    def run(*arys: Any) -> Any:
        arrays = [a if hasattr(a, "ndim") else np.asanyarray(a) for a in arys]
        found = tuple([at_least(a, ndim) for a in arrays])
        return found[0] if len(found) == 1 else found

    return run


def _size(a: Any, axis: Any = None) -> int:
    return math.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)])


#: Implementation of NumPy functions for any array.
COMMON: dict[Any, Callable[..., Any]] = {
    np.split: _split,
    np.array_split: _array_split,
    np.vsplit: _splitter("vsplit", 0),
    np.hsplit: _splitter("hsplit", 1),
    np.dsplit: _splitter("dsplit", 2),
    np.atleast_1d: _at_least(1),
    np.atleast_2d: _at_least(2),
    np.atleast_3d: _at_least(3),
    np.shape: lambda a: tuple(a.shape),
    np.ndim: lambda a: a.ndim,
    np.size: _size,
    np.iscomplexobj: lambda x: host_type(x.dtype).kind == "c",
    np.isrealobj: lambda x: host_type(x.dtype).kind != "c",
    np.unstack: _unstack,
}
