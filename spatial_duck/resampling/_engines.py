"""Which engine works on an array of NumPy: a module with the functions of `_numpy_engine`."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _numpy_engine as numpy_engine

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["engine_for", "on_host"]


@lru_cache(maxsize=1)
def _compiled() -> Any:
    """Return the compiled engine, or None where Numba is not installed."""
    if find_spec("numba") is None:
        return None
    from spatial_duck.resampling import _numba_engine as numba_engine

    return numba_engine


def on_host(data: Any) -> bool:
    """Tell whether an array, or a chunk of one, is NumPy's: `device` has the others."""
    return isinstance(data, np.ndarray)


def engine_for(*arrays: NDArray[Any]) -> Any:
    """Return the engine that works on the types of arrays of NumPy, of the result too."""
    compiled = _compiled()
    if compiled is not None and all(compiled.supports(data.dtype) for data in arrays):
        return compiled
    return numpy_engine
