"""Dask arrays as the data of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.backends._backend import Backend
from spatial_duck.backends._operations import check_computed
from spatial_duck.backends._registry import backend_of, name_of
from spatial_duck.backends.dask import _calls
from spatial_duck.backends.dask._private import meta_of
from spatial_duck.backends.dask._progress import with_progress

__all__ = ["BACKEND"]


class _Dask(Backend):
    """Dask arrays, of NumPy's or CuPy's blocks."""

    name = "dask"
    has_operators = True
    lazy = True
    precedence = 30

    def adopt(self, data: Any) -> Any:
        """Return the array, unless its blocks are no arrays of a backend.

        Raises
        ------
        TypeError
            If they are images, or arrays with units, which belong above an image.
        """
        block = meta_of(data)
        if name_of(type(block)) is None:
            raise TypeError(
                f"the blocks of the Dask array are {type(block).__name__}, not arrays: let the "
                "function that makes them return the bare array, such as image.data"
            )
        return data

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return _calls.call(func, args, kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        """Compute the data, and hold what comes against what the Dask array declares.

        Raises
        ------
        SpatialDuckError
            If the blocks have another shape or type than the Dask array says.
        """
        found = with_progress(data.compute, options)
        check_computed(found, data.shape, data.dtype)
        return found

    def to_numpy(self, data: Any) -> Any:
        found = self.compute(data)
        return backend_of(found).to_numpy(found)

    def take(self, data: Any, **options: Any) -> Any:
        more = options.keys() - {"chunks"}
        if more:
            raise TypeError(f"to('dask') takes chunks=, got {', '.join(sorted(more))}")
        return backend_of(data).to_dask(data, options.get("chunks"))

    def device(self, data: Any) -> Any:
        block = meta_of(data)
        return backend_of(block).device(block)

    def chunks(self, data: Any) -> Any:
        return data.chunks

    def empty_block(self, data: Any) -> Any:
        return meta_of(data)

    def index(self, data: Any, key: Any) -> Any:
        return _calls.index(data, key)

    def assign(self, data: Any, key: Any, value: Any) -> None:
        _calls.assign(data, key, value)

    def copy(self, data: Any, **options: Any) -> Any:
        return _calls.call(np.copy, (data,), options) if options else data.copy()

    def persist(self, data: Any, **options: Any) -> Any:
        return data.persist(**options)

    def to_dask(self, data: Any, chunks: Any = None) -> Any:
        return data if chunks is None else data.rechunk(chunks)


BACKEND = _Dask()
