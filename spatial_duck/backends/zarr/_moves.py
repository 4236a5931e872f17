"""The functions of NumPy that turn a view of a Zarr array into another, and read nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends._pieces import PIECES
from spatial_duck.geometry._numbering import normalize_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spatial_duck.backends.zarr._view import ZarrView

__all__ = ["MOVES"]


def _expand_dims(a: ZarrView, axis: Any) -> ZarrView:
    axes = axis if isinstance(axis, tuple | list) else (axis,)
    added = normalize_axes(tuple(axes), a.ndim + len(axes))
    key = [None if i in added else slice(None) for i in range(a.ndim + len(axes))]
    view: ZarrView = a[tuple(key)]
    return view


#: The key that brings an array of so many axes to at least 1, 2 or 3.
_PADDING: dict[int, tuple[Any, ...]] = {
    1: ((None,),),
    2: ((None, None), (None,)),
    3: ((None, None, None), (None, ..., None), (..., None)),
}


def _at_least(ndim: int) -> Callable[..., Any]:
    def pad(a: Any) -> Any:
        if not hasattr(a, "index_map"):
            a = np.asanyarray(a)
        return a if a.ndim >= ndim else a[_PADDING[ndim][a.ndim]]

    def at_least(*arys: Any) -> Any:
        return pad(arys[0]) if len(arys) == 1 else tuple([pad(a) for a in arys])

    return at_least


def _moveaxis(a: ZarrView, source: Any, destination: Any) -> ZarrView:
    from_axes, to_axes = normalize_axes(source, a.ndim), normalize_axes(destination, a.ndim)
    if len(from_axes) != len(to_axes):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [i for i in range(a.ndim) if i not in from_axes]
    for to, axis in sorted(zip(to_axes, from_axes, strict=True)):
        order.insert(to, axis)
    return a.transpose(order)


def _rot90(m: ZarrView, k: int = 1, axes: Sequence[int] = (0, 1)) -> ZarrView:
    first, second = normalize_axes(tuple(axes), m.ndim)
    turned = m.swapaxes(first, second) if k % 2 else m
    flipped = {0: (), 1: (first,), 2: (first, second), 3: (second,)}[k % 4]
    return turned[tuple([slice(None, None, -1 if i in flipped else None) for i in range(m.ndim)])]  # type: ignore[no-any-return]


def _flipper(axis: int) -> Callable[..., ZarrView]:
    def flip(m: ZarrView) -> ZarrView:
        if m.ndim <= axis:
            raise ValueError(f"Input must be >= {axis + 1}-d.")
        view: ZarrView = m[(slice(None),) * axis + (slice(None, None, -1),)]
        return view

    return flip


def _size(a: ZarrView, axis: Any = None) -> int:
    return math.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)])


#: NumPy function: what does it to a view.
MOVES: dict[Any, Callable[..., Any]] = {
    **PIECES,
    np.transpose: lambda a, axes=None: a.transpose(axes),
    np.swapaxes: lambda a, axis1, axis2: a.swapaxes(axis1, axis2),
    np.squeeze: lambda a, axis=None: a.squeeze(axis),
    np.matrix_transpose: lambda x, /: x.mT,
    np.expand_dims: _expand_dims,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: _size,
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.atleast_1d: _at_least(1),
    np.atleast_2d: _at_least(2),
    np.atleast_3d: _at_least(3),
    np.moveaxis: _moveaxis,
    np.rot90: _rot90,
    np.flipud: _flipper(0),
    np.fliplr: _flipper(1),
}

#: Functions that NumPy makes of indexing and transposition alone, and that run as they are.
_COMPOSED: tuple[Any, ...] = (np.flip, np.rollaxis)
MOVES |= {f: f.__wrapped__ for f in _COMPOSED}
