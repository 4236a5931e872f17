"""Functions of NumPy on views of Zarr arrays that return another view and read nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends._common import COMMON
from spatial_duck.geometry import _moves as moves

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.backends.zarr._view import ZarrView
    from spatial_duck.geometry._map import IndexMap

__all__ = ["MOVES"]


def _move(function: Callable[..., IndexMap], first: str) -> Callable[..., ZarrView]:
    """Return a function of views made from one of index maps; `first` names its first parameter."""

    def move(*args: Any, **kwargs: Any) -> ZarrView:
        view: ZarrView = args[0] if args else kwargs.pop(first)
        return view._with(function(view.index_map, *args[1:], **kwargs))

    return move


def _flipper(axis: int) -> Callable[..., ZarrView]:
    def flip(m: ZarrView) -> ZarrView:
        if m.ndim <= axis:
            raise ValueError(f"Input must be >= {axis + 1}-d.")
        view: ZarrView = m[(slice(None),) * axis + (slice(None, None, -1),)]
        return view

    return flip


#: Implementation for views of each NumPy function.
MOVES: dict[Any, Callable[..., Any]] = {
    **COMMON,
    np.transpose: _move(moves.transpose, "a"),
    np.swapaxes: _move(moves.swapaxes, "a"),
    np.squeeze: _move(moves.squeeze, "a"),
    np.expand_dims: _move(moves.expand_dims, "a"),
    np.moveaxis: _move(moves.moveaxis, "a"),
    np.flip: _move(moves.flip, "m"),
    np.rot90: _move(moves.rot90, "m"),
    np.matrix_transpose: lambda x, /: x.mT,
    np.flipud: _flipper(0),
    np.fliplr: _flipper(1),
}

# NumPy implements it by `transpose` alone, so that it runs on views.
MOVES[np.rollaxis] = np.rollaxis.__wrapped__  # type: ignore[attr-defined]
