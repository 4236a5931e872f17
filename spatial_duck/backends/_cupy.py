"""Arrays on an NVIDIA GPU, through CuPy, which dispatches NumPy's functions itself.

Data move between host and device only in `to_numpy` and `take`, by CuPy's own explicit calls.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from spatial_duck._optional import require
from spatial_duck.backends._backend import Backend
from spatial_duck.backends._registry import backend_of

__all__ = ["BACKEND"]

cupy = require("cupy", "Work on the GPU")


class _CuPy(Backend):
    """CuPy's arrays."""

    name = "cupy"
    has_operators = True
    precedence = 20

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        return data

    def to_numpy(self, data: Any) -> Any:
        return cupy.asnumpy(data)

    def take(self, data: Any, device: Any = None, **options: Any) -> Any:
        """Copy to the device; a Dask array gets blocks on the device and stays lazy."""
        if options:
            raise TypeError(f"to('cupy') takes no {', '.join(options)}")
        found = backend_of(data)
        if found.name == "dask":
            meta = cupy.empty((0,) * data.ndim, data.dtype)
            return data.map_blocks(cupy.asarray, dtype=data.dtype, meta=meta)
        if found.name != "cupy":
            data = found.to_numpy(data)
        with nullcontext() if device is None else cupy.cuda.Device(device):
            return cupy.asarray(data)

    def device(self, data: Any) -> Any:
        return data.device

    def copy(self, data: Any, **options: Any) -> Any:
        return data.copy(**options)


BACKEND = _CuPy()
