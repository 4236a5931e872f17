"""Views of Zarr arrays as the data of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.backends._backend import StoredBackend
from spatial_duck.backends.zarr._errors import store_name
from spatial_duck.backends.zarr._identity import array_identity
from spatial_duck.backends.zarr._moves import MOVES
from spatial_duck.backends.zarr._view import ZarrView
from spatial_duck.backends.zarr._write import assign, ufunc_into

__all__ = ["BACKEND"]


class _Zarr(StoredBackend):
    """Views of Zarr arrays."""

    name = "zarr"
    has_operators = True
    kinds = (ZarrView,)

    def adopt(self, data: Any) -> Any:
        return data if isinstance(data, ZarrView) else ZarrView(data)

    def close(self, data: Any) -> str | None:
        from spatial_duck.backends.zarr._private import ForwardingStore

        store = data.array.store
        if not isinstance(store, ForwardingStore):  # others are whose opened them
            return None
        store.close()
        return store_name(store)

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func in MOVES:
            return MOVES[func](*args, **kwargs)
        out = kwargs.get("out")
        outs = out if isinstance(out, tuple) else (out,)
        if any(isinstance(x, ZarrView) for x in outs):
            owner = getattr(func, "__self__", None)
            if isinstance(func, np.ufunc):
                return ufunc_into(func, "__call__", args, {**kwargs, "out": outs})
            if isinstance(owner, np.ufunc):
                return ufunc_into(owner, func.__name__, args, {**kwargs, "out": outs})
        return super().call(func, args, kwargs)

    def read(self, data: Any, key: Any) -> Any:
        return data.block(key)

    def compute(self, data: Any, **options: Any) -> Any:
        return data.compute()

    def index(self, data: Any, key: Any) -> Any:
        return data[key]

    def assign(self, data: Any, key: Any, value: Any) -> None:
        assign(data, key, value)

    def chunks(self, data: Any) -> Any:
        return data.chunks

    def identity(self, data: Any) -> Any:
        return (
            array_identity(data.array),
            str(data.array.metadata),
            data.index_map,
        )


BACKEND = _Zarr()
