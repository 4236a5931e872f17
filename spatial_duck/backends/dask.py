"""Dask arrays: NumPy's functions as far as Dask has them, and never by computing.

Where Dask lacks a function, its own answer to NumPy is to compute everything and go on in memory.
Here that is a TypeError, so that nothing larger than memory is ever computed by surprise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends import Backend, backend_of, device
from spatial_duck.backends.pieces import PIECES
from spatial_duck.errors import missing_extra
from spatial_duck.keys import consumed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["BACKEND", "call", "call_ufunc", "from_reader", "index"]

try:
    import dask.array as da
except ImportError as error:
    raise missing_extra("dask", "dask", "Work on chunks") from error


def from_reader(reader: Any, aligned: tuple[tuple[int, ...], ...], chunks: Any = None) -> Any:
    """Make a Dask array whose blocks a reader reads.

    Parameters
    ----------
    reader : BlockReader
        Has shape and dtype; ``reader[slices]`` is an ndarray.
    aligned : tuple of tuple of int
        The block sizes that suit the reader.
    chunks : optional
        Others, as Dask takes them.
    """
    if chunks is None:
        chunks = aligned
    elif isinstance(chunks, dict):
        chunks = tuple(
            [chunks.get(i, chunks.get(i - reader.ndim, c)) for i, c in enumerate(aligned)]
        )
    chunks = da.core.normalize_chunks(
        chunks, reader.shape, dtype=reader.dtype, previous_chunks=aligned
    )
    return da.from_array(
        reader,
        chunks=chunks,
        lock=False,
        asarray=True,
        fancy=False,
        meta=np.empty((0,) * reader.ndim, reader.dtype),
    )


def _diff(a: Any, n: int = 1, axis: int = -1, **ends: Any) -> Any:
    """Subtract neighbours; Dask's own function would compute what is put before or after."""
    pieces = {k: v for k, v in ends.items() if isinstance(v, da.Array) and v.ndim}
    if not pieces:
        return da.diff(a, n, axis, **ends)
    rest = {k: v for k, v in ends.items() if k not in pieces}
    if rest:
        raise TypeError("Dask has no diff with prepend and append of two kinds of array")
    parts = [pieces.get("prepend"), a, pieces.get("append")]
    return da.diff(da.concatenate([p for p in parts if p is not None], axis), n, axis)


#: What Dask lacks and can do all the same.
_ADDED: dict[Any, Callable[..., Any]] = {
    **PIECES,
    np.diff: _diff,
    np.copy: lambda a, order="K", subok=False: a.copy(),  # noqa: ARG005
}

#: Reductions by ufuncs that Dask knows by another name.
_REDUCTIONS: dict[np.ufunc, str] = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_and: "all",
    np.logical_or: "any",
}
_ACCUMULATIONS: dict[np.ufunc, str] = {np.add: "cumsum", np.multiply: "cumprod"}


def _find(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return what runs a NumPy function lazily on Dask arrays, or None."""
    if func in _ADDED:
        return _ADDED[func]
    handled: dict[Any, Any] = getattr(da.core, "_HANDLED_FUNCTIONS", {})
    if func in handled:
        return func
    module: Any = da
    for part in func.__module__.split(".")[1:]:
        module = getattr(module, part, None)
    found = getattr(module, func.__name__, None)
    return func if found is not None and found is not func else None


_found: dict[Any, Callable[..., Any] | None] = {}


def call(func: Any, args: Any, kwargs: Any) -> Any:
    """Run a NumPy function, ufunc or ufunc method lazily.

    Raises
    ------
    TypeError
        If Dask does not have it.
    """
    owner = getattr(func, "__self__", None)
    if isinstance(func, np.ufunc):
        return call_ufunc(func, "__call__", args, kwargs)
    if isinstance(owner, np.ufunc):
        return call_ufunc(owner, func.__name__, args, kwargs)
    try:
        run = _found[func]
    except KeyError:
        run = _found[func] = _find(func)
    if run is None:
        raise TypeError(
            f"Dask has no {func.__module__}.{func.__name__}, and it would have to compute the "
            "array: call .compute() first, or use map_blocks"
        )
    if kwargs.get("out") is None and _without_voxels(args):
        # Dask pads, repeats and windows wrongly what is empty. There is nothing to compute: NumPy
        # answers, on arrays that are as empty.
        return _lazy(func(*_emptied(args), **_emptied(kwargs)))
    return run(*args, **kwargs)


def _without_voxels(args: Any) -> bool:
    """Tell whether there are Dask arrays among the arguments, and all of them are empty."""
    found = False
    for a in args:
        if isinstance(a, da.Array):
            if 0 not in a.shape or np.isnan(a.shape).any():
                return False
            found = True
        elif isinstance(a, tuple | list) and any(isinstance(x, da.Array) for x in a):
            if not _without_voxels(a):
                return False
            found = True
    return found


def _emptied(value: Any) -> Any:
    """Replace Dask arrays without voxels by arrays of their kind in memory."""
    if isinstance(value, da.Array):
        return np.empty_like(value._meta, shape=value.shape)
    if isinstance(value, tuple | list):
        return type(value)(_emptied(v) for v in value)
    if isinstance(value, dict):
        return {k: _emptied(v) for k, v in value.items()}
    return value


def _lazy(value: Any) -> Any:
    """Make Dask arrays of the arrays in a result."""
    if isinstance(value, tuple | list):
        items = [_lazy(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, np.generic):
        value = np.asarray(value)
    return da.from_array(value, chunks=_auto(value)) if hasattr(value, "shape") else value


def _auto(data: Any) -> Any:
    """Return what lets Dask choose the chunks; an empty array is one, which Dask cannot divide."""
    return -1 if 0 in data.shape else "auto"


def call_ufunc(ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
    """Run a ufunc, or one of its methods, lazily."""
    table = {"reduce": _REDUCTIONS, "accumulate": _ACCUMULATIONS}.get(method)
    if table is None:
        return getattr(ufunc, method)(*args, **kwargs)
    extra = {k for k, v in kwargs.items() if k in ("initial", "where") and v is not np._NoValue}
    if ufunc not in table or extra:
        raise TypeError(
            f"Dask has no {ufunc.__name__}.{method}"
            + (f" with {', '.join(sorted(extra))}" if extra else "")
            + ", and it would have to compute the array: call .compute() first"
        )
    array, *rest = args
    names = ("axis", "dtype", "out", "keepdims")
    options = {**dict(zip(names, rest, strict=False)), **kwargs}
    options.setdefault("axis", 0)
    out = options.pop("out", None)
    if isinstance(out, tuple):
        out = out[0]
    if method == "accumulate":
        options.pop("keepdims", None)
    if ufunc in (np.logical_and, np.logical_or, np.maximum, np.minimum):
        dtype = options.pop("dtype", None)
        if dtype is not None:
            array = array.astype(dtype)
    return getattr(da, table[ufunc])(array, out=out, **options)


def index(data: Any, key: Any) -> Any:
    """Return ``data[key]``, also where a slice runs backwards from before the first voxel.

    Dask starts such a slice at the end: ``arange(3)[-4::-1]`` is everything, and nothing in NumPy.
    """
    keys = key if isinstance(key, tuple) else (key,)
    if not any(isinstance(k, slice) and (k.step or 1) < 0 and (k.start or 0) < 0 for k in keys):
        return data[key]
    axis, out = 0, []
    for n, k in enumerate(keys):
        if k is Ellipsis:
            axis = data.ndim - sum(map(consumed, keys[n + 1 :]))
        elif isinstance(k, slice) and (k.start or 0) < -data.shape[axis]:
            k = slice(0, 0) if (k.step or 1) < 0 else k
        axis += consumed(k)
        out.append(k)
    return data[tuple(out)]


def _take(data: Any, chunks: Any = None) -> Any:
    found = backend_of(data).name
    if found == "dask":
        return data if chunks is None else data.rechunk(chunks)
    if found == "zarr":
        return data.to_dask(None if isinstance(chunks, str) and chunks == "auto" else chunks)
    if found == "cupy":
        return da.from_array(data, chunks=chunks or _auto(data), asarray=False)
    if found != "numpy":
        raise TypeError(
            f"Dask does not hold arrays of {type(data).__module__}: use .to('numpy') first"
        )
    return da.from_array(data, chunks=chunks or _auto(data))


def _compute(data: Any, **options: Any) -> Any:
    return data.compute(**options)


def _to_numpy(data: Any) -> Any:
    found = data.compute()
    return backend_of(found).to_numpy(found)


BACKEND = Backend(
    name="dask",
    lazy=True,
    call=call,
    compute=_compute,
    to_numpy=_to_numpy,
    take=_take,
    device=lambda data: device(data._meta),
)
