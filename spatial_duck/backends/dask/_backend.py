"""Dask arrays as the data of images."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.backends._backend import Backend
from spatial_duck.backends._registry import backend_of
from spatial_duck.backends.dask import _calls
from spatial_duck.backends.dask._private import meta_of
from spatial_duck.errors import SpatialDuckError

__all__ = ["BACKEND"]


class _Dask(Backend):
    """Dask arrays, of NumPy's or CuPy's blocks."""

    name = "dask"
    lazy = True
    precedence = 30

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return _calls.call(func, args, kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        """Compute the data, and hold what comes against what the Dask array declares.

        Raises
        ------
        SpatialDuckError
            If the blocks have another shape or type than the Dask array says.
        """
        found = data.compute(**options)
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
        return data.copy(**options)

    def persist(self, data: Any, **options: Any) -> Any:
        return data.persist(**options)

    def to_dask(self, data: Any, chunks: Any = None) -> Any:
        return data if chunks is None else data.rechunk(chunks)


def check_computed(found: Any, shape: Any, dtype: Any) -> None:
    """Hold what was computed against what was declared.

    Raises
    ------
    SpatialDuckError
        If they differ; the byte order does not count, nor a length that was not known.
    """
    known = len(shape) == np.ndim(found) and all(
        n != n or n == m for n, m in zip(shape, np.shape(found), strict=True)
    )
    if not known:
        raise SpatialDuckError(
            f"the Dask array declares shape {tuple(shape)}, and its blocks make "
            f"{tuple(np.shape(found))}; tell Dask the true one, by chunks= or drop_axis= of the "
            "map_blocks, from_delayed or from_map that made it"
        )
    native = found.dtype.newbyteorder("=") if hasattr(found.dtype, "newbyteorder") else found.dtype
    if native != dtype.newbyteorder("="):
        raise SpatialDuckError(
            f"the Dask array declares dtype {dtype}, and its blocks are {found.dtype}; tell Dask "
            "the true one, by dtype= or meta= of the function that made it, or end that function "
            f"with .astype({str(dtype)!r})"
        )


BACKEND = _Dask()
