"""The functions of NumPy that turn a view of a Zarr array into another, and read nothing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends._pieces import PIECES
from spatial_duck.geometry import _moves as moves
from spatial_duck.geometry._numbering import normalize_axes

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.backends.zarr._view import ZarrView
    from spatial_duck.geometry._map import IndexMap

__all__ = ["MOVES"]


def _move(function: Callable[..., IndexMap], first: str) -> Callable[..., ZarrView]:
    """Make a function of views, whose first parameter has a name, of one of maps."""

    def move(*args: Any, **kwargs: Any) -> ZarrView:
        view: ZarrView = args[0] if args else kwargs.pop(first)
        return view._with(function(view.index_map, *args[1:], **kwargs))

    return move


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
    np.transpose: _move(moves.transpose, "a"),
    np.swapaxes: _move(moves.swapaxes, "a"),
    np.squeeze: _move(moves.squeeze, "a"),
    np.expand_dims: _move(moves.expand_dims, "a"),
    np.moveaxis: _move(moves.moveaxis, "a"),
    np.flip: _move(moves.flip, "m"),
    np.rot90: _move(moves.rot90, "m"),
    np.matrix_transpose: lambda x, /: x.mT,
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: _size,
    np.iscomplexobj: lambda x: x.dtype.kind == "c",
    np.isrealobj: lambda x: x.dtype.kind != "c",
    np.atleast_1d: _at_least(1),
    np.atleast_2d: _at_least(2),
    np.atleast_3d: _at_least(3),
    np.flipud: _flipper(0),
    np.fliplr: _flipper(1),
}

# NumPy makes it of transposition alone, and it runs as it is.
MOVES[np.rollaxis] = np.rollaxis.__wrapped__  # type: ignore[attr-defined]
