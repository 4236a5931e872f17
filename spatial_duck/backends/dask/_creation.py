"""New Dask arrays: NumPy's functions with ``like=`` that Dask lacks, and lines between two arrays.

What is read from a file or buffer is in memory when these return, as NumPy reads it.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from spatial_duck.backends.dask._along_axis import FUNCTIONS, implements, refuse_lazy, sample_block

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FUNCTIONS"]


@implements("eye")
def _eye(N: Any, M: Any = None, k: int = 0, dtype: Any = float, *_: Any, **__: Any) -> Any:
    # Dask's own is wrong where it is not square.
    rows, columns = da.arange(N), da.arange(N if M is None else M)
    return (columns - rows[:, None] == k).astype(dtype)


@implements("identity")
def _identity(n: Any, dtype: Any = None) -> Any:
    return _eye(n, dtype=dtype or float)


@implements("ascontiguousarray", "asfortranarray", "require")
def _arranged(a: Any, dtype: Any = None, requirements: Any = None) -> Any:  # noqa: ARG001
    """Make a Dask array; how its blocks will lie in memory is theirs."""
    return da.asarray(a if dtype is None else np.asarray(a, dtype))


@implements("fromfunction")
def _fromfunction(function: Any, shape: Any, *, dtype: Any = float, **options: Any) -> Any:
    grid = da.indices(tuple(shape), dtype=dtype, chunks="auto")
    return function(*[grid[i] for i in range(len(shape))], **options)


def _in_memory(func: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        return da.from_array(func(*args, **kwargs))

    return run


for _func in (np.frombuffer, np.fromfile, np.fromiter, np.fromstring, np.genfromtxt, np.loadtxt):
    FUNCTIONS[_func] = _in_memory(_func)


def _spaced(func: Any) -> Callable[..., Any]:
    """Make linspace or one of its kind, between two arrays."""

    def run(start: Any, stop: Any, num: int = 50, *args: Any, **options: Any) -> Any:
        refuse_lazy(func, {"num": num, **options})
        options |= dict(zip(_NAMES[func], args, strict=False))
        axis, retstep = options.pop("axis", 0), options.pop("retstep", False)
        start, stop = da.broadcast_arrays(da.asarray(start), da.asarray(stop))
        block = functools.partial(func, num=num, **options)
        axes = tuple(range(1, start.ndim + 1))
        line = da.blockwise(
            block, (0, *axes), start, axes, stop, axes, new_axes={0: num},
            dtype=block(sample_block(start), sample_block(stop)).dtype,
        )  # fmt: skip
        line = da.moveaxis(line, 0, axis)
        if not retstep:
            return line
        parts = num - 1 if options.get("endpoint", True) else num
        return line, (stop * 1.0 - start * 1.0) / parts if parts > 0 else da.full_like(line, np.nan)

    return run


#: What may follow the number of points by position.
_NAMES: dict[Any, tuple[str, ...]] = {
    np.linspace: ("endpoint", "retstep", "dtype", "axis"),
    np.logspace: ("endpoint", "base", "dtype", "axis"),
    np.geomspace: ("endpoint", "dtype", "axis"),
}
for _func in _NAMES:
    FUNCTIONS[_func] = _spaced(_func)
