"""Dask arrays: keys (`index`), and NumPy's functions as far as Dask has them; never by computing.

Where Dask lacks a function, its own answer to NumPy is to compute everything and go on in memory.
Here that is a TypeError, so that nothing larger than memory is ever computed by surprise.

A limit: with Dask's array expressions on, ``x + image`` (and ``- * / // **``) of a bare `x` gives a
bare array. Those operators of theirs take the image's `to_dask_array` without asking it first; the
data are right. ``image + x`` and ``np.add(x, image)`` are images.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from spatial_duck.backends._arguments import adapt_arguments, map_leaves, with_tuples
from spatial_duck.backends._keys import Steps, is_field, steps_of
from spatial_duck.backends.dask._along_axis import along
from spatial_duck.backends.dask._functions import FUNCTIONS, REASONS
from spatial_duck.backends.dask._private import implementation_of, meta_of
from spatial_duck.errors import TooLargeError
from spatial_duck.geometry._numbering import pad_widths
from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_BLOCKS", "assign", "call", "call_ufunc", "from_memory", "from_reader", "index"]

#: So many blocks a graph may have. Each takes about a kilobyte and some microseconds.
MOST_BLOCKS = 10**8


def from_reader(reader: Any, aligned: tuple[tuple[int, ...], ...], chunks: Any = None) -> Any:
    """Make a Dask array whose blocks a reader reads: ``reader[slices]`` is an ndarray.

    The blocks have the sizes `aligned`, which suit the reader, or `chunks`, as Dask takes them.
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
    blocks = math.prod([len(c) for c in chunks])
    if blocks > MOST_BLOCKS:
        raise TooLargeError(
            f"{blocks:,} chunks of shape {tuple(c[0] for c in chunks)} are more than a graph can "
            f"hold ({MOST_BLOCKS:,}): slice the image first, or give .chunk() larger ones"
        )
    return da.from_array(
        reader,
        chunks=chunks,
        lock=False,
        asarray=True,
        fancy=False,
        meta=np.empty((0,) * reader.ndim, reader.dtype),
    )


def from_memory(data: Any, chunks: Any = "auto") -> Any:
    """Make a Dask array of an array in memory."""
    return da.from_array(data, chunks=_auto(data) if chunks is None or 0 in data.shape else chunks)


#: Reductions by ufuncs that Dask knows by another name.
_REDUCTIONS: dict[np.ufunc, str] = {
    np.add: "sum",
    np.multiply: "prod",
    np.maximum: "max",
    np.minimum: "min",
    np.logical_and: "all",
    np.logical_or: "any",
}
#: Ufuncs without an identity that may be reduced in any order.
_ASSOCIATIVE = frozenset({np.fmax, np.fmin, np.hypot, np.lcm, np.gcd, np.logaddexp})
_ACCUMULATIONS: dict[np.ufunc, str] = {np.add: "cumsum", np.multiply: "cumprod"}


#: The functions of those reductions.
_REDUCERS = {getattr(np, name): ufunc for ufunc, name in _REDUCTIONS.items()}


def _find(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the function that runs a NumPy function lazily on Dask arrays, or None."""
    if func in FUNCTIONS:
        return FUNCTIONS[func]
    handled: Callable[..., Any] | None = implementation_of(func)
    if handled is not None:
        return handled
    module: Any = da
    for part in func.__module__.split(".")[1:]:
        module = getattr(module, part, None)
    found: Callable[..., Any] | None = getattr(module, func.__name__, None)
    return None if found is func else found


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
        raise _lacking(func)
    args, kwargs = with_tuples(func, args, kwargs)
    if func is np.pad and len(args) > 1 and isinstance(args[1], dict):
        args = (args[0], pad_widths(args[1], args[0].ndim), *args[2:])
    if kwargs.get("out") is None and _without_voxels(args):
        # Dask pads, repeats and windows wrongly what is empty. There is nothing to compute: NumPy
        # answers, on arrays that are as empty.
        args, kwargs = map_leaves(_emptied, (args, kwargs))
        return _lazy(func(*args, **kwargs))
    if func in _REDUCERS and _masked(kwargs):
        return call_ufunc(_REDUCERS[func], "reduce", args, {"axis": None, **kwargs})
    if "like" not in kwargs:
        args, kwargs = adapt_arguments("Dask", func, run, args, kwargs)
    elif func in FUNCTIONS:
        kwargs = {k: v for k, v in kwargs.items() if k != "like"}
    else:
        run = func  # NumPy takes the argument out, and hands Dask the rest
    try:
        return run(*args, **kwargs)
    except NotImplementedError as error:
        raise TypeError(
            f"Dask's {func.__name__} does not take this{f': {error}' if str(error) else ''}; call "
            ".compute() first, or use map_blocks"
        ) from error


def _lacking(func: Any) -> TypeError:
    name = f"{func.__module__}.{func.__name__}"
    reason = REASONS.get(func.__name__)
    if reason:
        return TypeError(f"Dask has no {name}, which {reason}")
    return TypeError(
        f"Dask has no {name}, and it would have to compute the array: call .compute() first, or "
        "use map_blocks"
    )


def _masked(kwargs: Any) -> bool:
    """Whether a reduction is of some voxels alone, or begins with a value."""
    given = [kwargs.get(k, NO_VALUE) for k in ("initial", "where")]
    return any(v is not NO_VALUE and v is not True and v is not None for v in given)


def _without_voxels(args: Any) -> bool:
    """Whether there are Dask arrays among the arguments, and all of them are empty."""
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
    """Return a Dask array without voxels as an array of its kind in memory."""
    is_dask = isinstance(value, da.Array)
    return np.empty_like(meta_of(value), shape=value.shape) if is_dask else value


def _lazy(value: Any) -> Any:
    """Make Dask arrays of the arrays in a result."""
    if isinstance(value, tuple | list):
        items = [_lazy(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, np.generic):
        value = np.asarray(value)
    return da.from_array(value, chunks=_auto(value)) if hasattr(value, "shape") else value


def _auto(data: Any) -> Any:
    """Return the ``chunks=`` that let Dask choose; an empty array is one chunk."""
    return -1 if 0 in data.shape else "auto"


def call_ufunc(ufunc: np.ufunc, method: str, args: Any, kwargs: Any) -> Any:
    """Run a ufunc, or one of its methods, lazily."""
    run = _METHODS.get(method)
    if run is not None:
        return run(ufunc, *args, **kwargs)
    if method == "at":
        raise TypeError(f"Dask has no {ufunc.__name__}.at, which {REASONS['put']}")
    if method == "__call__" and ufunc.signature is not None and ufunc is not np.matmul:
        return _generalized(ufunc, args, kwargs)
    try:
        return getattr(ufunc, method)(*args, **kwargs)
    except NotImplementedError as error:
        raise TypeError(f"{error}: call .compute() first, or use map_blocks") from error


def _generalized(ufunc: np.ufunc, args: Any, kwargs: Any) -> Any:
    if kwargs.keys() - {"axis", "axes", "keepdims"}:
        raise TypeError(f"numpy.{ufunc.__name__} on Dask takes no {', '.join(kwargs)}")
    return da.apply_gufunc(ufunc, ufunc.signature, *args, allow_rechunk=True, **kwargs)


def _out(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) else out


def _reduce(
    ufunc: np.ufunc, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None,
    keepdims: bool = False, initial: Any = NO_VALUE, where: Any = True,
) -> Any:  # fmt: skip
    if where is not True:
        start = ufunc.identity if initial is NO_VALUE else initial
        if start is None:
            raise ValueError(
                f"reduction operation '{ufunc.__name__}' does not have an identity, so to use a "
                "where mask one has to specify 'initial'"
            )
        array = da.where(where, array, np.asarray(start).astype(array.dtype))
    if ufunc in (np.logical_and, np.logical_or, np.maximum, np.minimum) and dtype is not None:
        array, dtype = array.astype(dtype), None
    if ufunc.identity is None and initial is NO_VALUE:  # which Dask would find nothing for
        ufunc.reduce(np.zeros([min(n, 1) for n in array.shape], array.dtype), axis=axis)
    if ufunc in _REDUCTIONS:
        options = {"axis": axis, "keepdims": keepdims}
        if dtype is not None:
            options["dtype"] = dtype
        result = getattr(da, _REDUCTIONS[ufunc])(array, **options)
    elif ufunc.identity is None and ufunc not in _ASSOCIATIVE:
        raise TypeError(
            f"Dask has no {ufunc.__name__}.reduce, whose order counts: call .compute() first"
        )
    else:
        kind = ufunc.reduce(np.ones_like(meta_of(array), shape=(1,)), dtype=dtype).dtype
        step = partial(_reduce_block, ufunc, dtype)
        result = da.reduction(array, step, step, axis=axis, keepdims=keepdims, dtype=kind)
    if initial is not NO_VALUE and initial is not None:
        result = ufunc(result, np.asarray(initial).astype(result.dtype))
    return result if out is None else da.core.handle_out(_out(out), result)


def _reduce_block(ufunc: np.ufunc, kind: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return ufunc.reduce(x, axis=axis, dtype=kind, keepdims=keepdims)


def _accumulate(
    ufunc: np.ufunc, array: Any, axis: int = 0, dtype: Any = None, out: Any = None
) -> Any:
    if ufunc in _ACCUMULATIONS:
        run = getattr(da, _ACCUMULATIONS[ufunc])
        return run(array, axis=axis, dtype=dtype, out=_out(out))
    result = along(ufunc.accumulate, array, axis, {"dtype": dtype})
    return result if out is None else da.core.handle_out(_out(out), result)


def _reduceat(
    ufunc: np.ufunc, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None
) -> Any:
    if isinstance(indices, da.Array):
        raise TypeError(f"{ufunc.__name__}.reduceat on Dask needs indices in memory")
    result = along(ufunc.reduceat, array, axis, {"indices": indices, "dtype": dtype})
    return result if out is None else da.core.handle_out(_out(out), result)


_METHODS: dict[str, Callable[..., Any]] = {
    "reduce": _reduce, "accumulate": _accumulate, "reduceat": _reduceat,
}  # fmt: skip


def index(data: Any, key: Any) -> Any:
    """Return ``data[key]`` by NumPy's law, which Dask's own is not where arrays are in the key."""
    if isinstance(key, da.Array) and key.ndim > 1:
        return data[key]  # of a mask for all axes nobody knows how many voxels it selects
    if is_field(key):
        return data[key]
    return by_steps(data, steps_of(data.shape, key))


def by_steps(data: Any, steps: Steps) -> Any:
    """Return the part of an array that the steps of a key select."""
    out = data[steps.cut] if steps.cut else data
    for axis, along_axis in steps.takes:
        out = out[(*(slice(None),) * axis, along_axis)]
    if steps.points:
        joint: list[Any] = [slice(None)] * out.ndim
        for axis, indices in steps.points:
            joint[axis] = indices
        out = _pointwise(out, joint)
    if steps.order is not None:
        out = out.transpose(steps.order)
    if steps.insert:
        out = out[_inserting(steps.insert, out.ndim)]
    if steps.empty_axis is not None:
        out = out[(*(slice(None),) * steps.empty_axis, slice(0, 0))]
    return out


def _inserting(places: tuple[int, ...], ndim: int) -> tuple[Any, ...]:
    """Return the key that inserts new axes at some positions of the result."""
    return tuple([None if i in places else slice(None) for i in range(ndim + len(places))])


def _pointwise(data: Any, joint: list[Any]) -> Any:
    """Index several axes by arrays together; the axes of their block come first."""
    shapes = [k.shape for k in joint if isinstance(k, np.ndarray)]
    block = np.broadcast_shapes(*shapes)
    if 0 in block:  # which Dask cannot index by
        rest = [n for n, k in zip(data.shape, joint, strict=True) if not isinstance(k, np.ndarray)]
        return da.zeros_like(data, shape=(*block, *rest))
    return data.vindex[tuple(joint)]


def _assign_where(data: Any, mask: Any, value: Any) -> None:
    """Write one value where a mask of the leading axes, lazy or in memory, holds."""
    if mask.shape != data.shape[: mask.ndim]:
        raise IndexError(
            f"a mask must have the shape of the axes that it is of, {data.shape[: mask.ndim]}, "
            f"got {mask.shape}"
        )
    if np.ndim(value) > 0:
        raise TypeError(
            "Dask assigns one value where a mask holds, not an array: use np.where, or call "
            ".compute() first"
        )
    if not isinstance(value, da.Array):
        cast = np.empty((), data.dtype)
        cast[...] = value  # refused where NumPy refuses it
        value = cast
    mask = da.asarray(mask)[(..., *[None] * (data.ndim - mask.ndim))]
    data[...] = da.where(mask, value.astype(data.dtype), data)


def assign(data: Any, key: Any, value: Any) -> None:
    """Do ``data[key] = value`` where Dask reads the key as NumPy does.

    Raises
    ------
    TypeError
        If several arrays, one of several dimensions, a new axis or a bool are in the key, which
        Dask does not take; or an array beside integers, and the value is no scalar: Dask would put
        it elsewhere.
    """
    keys = key if isinstance(key, tuple) else (key,)
    if len(keys) == 1 and np.ndim(keys[0]) > 1 and getattr(keys[0], "dtype", None) == np.bool_:
        _assign_where(data, keys[0], value)
        return
    arrays = [k for k in keys if hasattr(k, "__len__") or getattr(k, "ndim", False)]
    numbers = [k for k in keys if isinstance(k, int | np.integer) and not isinstance(k, bool)]
    if (
        len(arrays) > 1
        or any(np.ndim(k) > 1 for k in arrays)
        or any(k is None or isinstance(k, bool | np.bool_) for k in keys)
        or (arrays and numbers and np.ndim(value) > 0)
    ):
        raise TypeError(
            "Dask assigns only through keys of slices and integers, of one line of indices beside "
            "slices, or of a mask: assign in steps, use np.where, or call .compute() first"
        )
    data[key] = value
