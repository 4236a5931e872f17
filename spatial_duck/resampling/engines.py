"""Which engine works on an array: a module with the functions of `numpy_engine`."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from spatial_duck.resampling import numpy_engine

__all__ = ["engine_for", "module_of"]


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """Return the compiled engine, or None where Numba is not installed."""
    if find_spec("numba") is None:
        return None
    from spatial_duck.resampling import numba_engine

    return numba_engine


def module_of(data: Any) -> Any:
    """Return the module whose functions make arrays like one: NumPy, or CuPy."""
    if type(data).__module__.partition(".")[0] != "cupy":
        return np
    import cupy

    return cupy


def engine_for(data: Any) -> Any:
    """Return the engine that works on an array.

    Raises
    ------
    TypeError
        If none does.
    """
    if not isinstance(data, np.ndarray):
        raise TypeError(
            f"resample works on NumPy, Dask and Zarr arrays so far, got {type(data).__name__}; "
            "bring the image there with image.to('numpy')"
        )
    compiled = _compiled()
    return compiled if compiled is not None and compiled.supports(data.dtype) else numpy_engine
