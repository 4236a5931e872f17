"""Arrays in the host's memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.backends._backend import Backend
from spatial_duck.backends._maps import mapped_file
from spatial_duck.backends._registry import backend_of

__all__ = ["BACKEND"]


class _NumPy(Backend):
    """NumPy's arrays, and scalars."""

    name = "numpy"
    has_operators = True
    precedence = 0

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        return data

    def to_numpy(self, data: Any) -> Any:
        return np.asanyarray(data)

    def take(self, data: Any, **options: Any) -> Any:
        if options:
            raise TypeError(f"to('numpy') takes no {', '.join(options)}")
        return backend_of(data).to_numpy(data)

    def device(self, data: Any) -> Any:
        return "cpu"

    def copy(self, data: Any, **options: Any) -> Any:
        return data.copy(**options)

    def close(self, data: Any) -> str | None:
        return mapped_file(data)

    def to_dask(self, data: Any, chunks: Any = "auto") -> Any:
        from spatial_duck.backends.dask import _calls

        return _calls.from_memory(data, chunks)


BACKEND = _NumPy()
