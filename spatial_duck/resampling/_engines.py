"""Which engine works on an array of NumPy: a module with the functions of `_numpy_engine`.

Numba takes half a second to load, and seconds for what it has to compile. Small images are done by
NumPy before that, where both give the same values to the bit.
"""

from __future__ import annotations

import sys
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


def _is_loaded() -> bool:
    return f"{__package__}._numba_engine" in sys.modules


def on_host(data: Any) -> bool:
    """Whether an array, or its chunks, are NumPy's; others are resampled by `_device`."""
    return isinstance(data, np.ndarray)


def engine_for(*arrays: NDArray[Any], work: str = "", total: int = 0) -> Any:
    """Return the engine that works on the types of arrays of NumPy, of the result too.

    Parameters
    ----------
    *arrays : ndarray
        The last one has as many values as there are to compute.
    work : str, optional
        What both engines do to the bit, of `_NANOSECONDS`.
    total : int, optional
        Values of the whole work, of which this is a part.
    """
    if work and _is_quick(_NANOSECONDS[work], arrays[-1].size, total):
        return numpy_engine
    compiled = _compiled()
    if compiled is not None and all(compiled.supports(data.dtype) for data in arrays):
        return compiled
    return numpy_engine


#: How long NumPy takes for a value.
_NANOSECONDS = {"gather": 4.0, "lerp": 12.0, "nearest": 45.0, "linear": 165.0}
#: The longest work, in nanoseconds, that NumPy does before Numba is loaded, and half of all of it.
PATIENCE = 2e8
_spent = 0.0


def _is_quick(cost: float, count: int, total: int) -> bool:
    """Whether NumPy is done before Numba would be loaded."""
    global _spent
    if _is_loaded():
        return False
    if cost * max(total, count) > PATIENCE or _spent > PATIENCE:
        return False
    _spent += cost * count
    return True
