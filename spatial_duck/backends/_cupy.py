"""Arrays on an NVIDIA GPU, through CuPy, which dispatches NumPy's functions itself.

Data move between host and device only in `BACKEND.to_numpy` and `BACKEND.take`, by CuPy's own
explicit calls.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

from spatial_duck._optional import require
from spatial_duck.backends import Backend, backend_of

__all__ = ["BACKEND"]

cupy = require("cupy", "Work on the GPU")


def _call(func: Any, args: Any, kwargs: Any) -> Any:
    return func(*args, **kwargs)


def _same(data: Any, **_: Any) -> Any:
    """Return the data, which are in memory already."""
    return data


def _take(data: Any, device: Any = None) -> Any:
    """Copy to the device; a Dask array gets blocks on the device and stays lazy."""
    found = backend_of(data).name
    if found == "dask":
        return data.map_blocks(cupy.asarray, dtype=data.dtype, meta=cupy.empty((0,) * data.ndim))
    if found != "cupy":
        data = backend_of(data).to_numpy(data)
    with nullcontext() if device is None else cupy.cuda.Device(device):
        return cupy.asarray(data)


BACKEND = Backend(
    name="cupy",
    lazy=False,
    call=_call,
    compute=_same,
    to_numpy=cupy.asnumpy,
    take=_take,
    device=lambda data: data.device,
)
