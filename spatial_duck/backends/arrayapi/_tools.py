"""Table of NumPy's functions on array-API arrays, and helpers for implementing them.

Each function takes the namespace first and then the parameters of NumPy's function, some of which
are ignored. Only single numbers are copied to the host, such as the limits of a histogram.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FUNCTIONS",
    "all_false",
    "flatten",
    "implements",
    "is_floating",
    "is_library_array",
    "reduction_options",
    "slice_keys",
    "to_array",
    "to_complex",
    "to_dtype",
    "to_floating",
    "without_nan",
]

#: Implementation of each NumPy function.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}


def implements(*functions: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the implementation of some of NumPy's; None is skipped."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        FUNCTIONS.update(dict.fromkeys([f for f in functions if f is not None], function))
        return function

    return register


def to_dtype(xp: Any, dtype: Any) -> Any:
    """Return the namespace's type by NumPy's name for it."""
    try:
        return getattr(xp, np.dtype(dtype).name)
    except TypeError:
        return dtype


def to_floating(xp: Any, x: Any) -> Any:
    """Convert integers to the library's default floating type, as NumPy does."""
    if not hasattr(x, "dtype") or not xp.isdtype(x.dtype, ("bool", "integral")):
        return x
    return xp.astype(x, xp.asarray(1.0).dtype)


def to_complex(xp: Any, x: Any) -> Any:
    """Convert real arrays to the complex type of their precision."""
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    return xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)


def is_library_array(value: Any) -> bool:
    """Whether a value is an array of the library."""
    return hasattr(value, "dtype") and not isinstance(value, np.ndarray | np.generic)


def to_array(xp: Any, value: Any, like: Any, dtype: Any = None) -> Any:
    """Return an array on the device of another."""
    if is_library_array(value):
        return value if dtype is None else xp.astype(value, dtype)
    return xp.asarray(value, dtype=dtype, device=array_api_compat.device(like))


def flatten(xp: Any, a: Any) -> Any:
    """Return all voxels along one axis."""
    return xp.reshape(a, (-1,))


def is_floating(xp: Any, a: Any) -> bool:
    """Whether values are real or complex numbers of finite precision."""
    return bool(xp.isdtype(a.dtype, ("real floating", "complex floating")))


def all_false(xp: Any, x: Any) -> Any:
    """Return False for each voxel."""
    return xp.zeros_like(x, dtype=xp.bool)


def without_nan(xp: Any, a: Any, value: float) -> Any:
    """Return values with NaN replaced by a number."""
    if not is_floating(xp, a):
        return a
    return xp.where(xp.isnan(a), to_array(xp, value, a, a.dtype), a)


def reduction_options(axis: Any, keepdims: Any) -> dict[str, Any]:
    """Return the keywords of a reduction; `keepdims` may be NumPy's default, no value."""
    return {"axis": axis, "keepdims": keepdims is not NO_VALUE and bool(keepdims)}


def slice_keys(ndim: int, axis: int, *cuts: Any) -> list[tuple[Any, ...]]:
    """Return keys that cut along one axis."""
    return [tuple([cut if i == axis else slice(None) for i in range(ndim)]) for cut in cuts]
