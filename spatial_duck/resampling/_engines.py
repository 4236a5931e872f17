"""Which engine works on an array of NumPy: a module with the functions of `_numpy_engine`.

Numba takes half a second to load, and seconds for what it has to compile. Images that NumPy does in
that time are done by it, where both give the same values to the bit.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
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
_NANOSECONDS = {"gather": 4.0, "lerp": 6.0, "nearest": 16.0, "linear": 30.0}
#: The longest work, in nanoseconds, that NumPy does before Numba is loaded, and half of all of it:
#: about as long as that takes; two and a half times as much where kernels are to be compiled first.
PATIENCE = 4e8
_spent = 0.0


def _is_quick(cost: float, count: int, total: int) -> bool:
    """Whether NumPy is done before Numba would be loaded."""
    global _spent
    if _is_loaded():
        return False
    patience = PATIENCE if _is_compiled() else 2.5 * PATIENCE
    if cost * max(total, count) > patience or _spent > patience:
        return False
    _spent += cost * count
    return True


@lru_cache(maxsize=1)
def _is_compiled() -> bool:
    """Whether Numba kept kernels of ours where it looks first."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    folders = Path(chosen).glob("*") if chosen else [Path(__file__).parent / "__pycache__"]
    return any(next(folder.glob("_kernels*.nbi"), None) for folder in folders)
