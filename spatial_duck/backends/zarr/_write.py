"""Writing through views of Zarr arrays.

Values are checked (shape, type, overlap with the target) before the first chunk is written.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck._config import current
from spatial_duck.backends._keys import open_key
from spatial_duck.backends._operations import call, is_dask
from spatial_duck.backends.zarr import _chunks as zarr_chunks
from spatial_duck.backends.zarr._axis_sources import axis_sources, fixed_positions, is_view
from spatial_duck.backends.zarr._identity import may_share_data
from spatial_duck.backends.zarr._view import ZarrView
from spatial_duck.backends.zarr._write_lock import write_lock
from spatial_duck.geometry._map import index

__all__ = ["assign", "ufunc_into"]


def assign(view: ZarrView, key: Any, value: Any) -> None:
    """Do ``view[key] = value`` on disk.

    Raises
    ------
    ValueError
        If the store is read-only, or the value does not broadcast to the selection.
    IndexError
        If the key does not fit.
    """
    if view.read_only:
        raise ValueError(
            f"assignment destination is read-only: {view.array.store_path} was opened for "
            "reading; open it with mode='r+' to write"
        )
    view = view.here()
    keys = key if key.__class__ is tuple else (key,)
    keys = tuple([_compute_key(k) for k in keys])
    index_map = index(view.index_map, keys)
    if is_view(index_map):
        _write(view._with(index_map), value)
    else:
        _assign_points(view, open_key(view.shape, keys), value)


def _compute_key(key: Any) -> Any:
    """Compute a lazy mask or index, which may depend on the data that are about to be written."""
    if isinstance(key, ZarrView):
        return np.asarray(key)
    if is_dask(key):
        return np.asarray(key.compute())
    return key


def _write(view: ZarrView, value: Any) -> None:
    if is_dask(value):
        if value.nbytes > current().max_read_bytes:
            _stream(view, value)
            return
        value = value.compute()
    elif isinstance(value, ZarrView) and not may_share_data(value.array, view.array):
        if value.nbytes > current().max_read_bytes:
            _stream(view, value.to_dask())
            return
    _write_locked(view, _convert_value(value, view.dtype, view.shape))


def _convert_value(value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Any:
    """Convert a value to a type and shape by NumPy's rules of assignment."""
    value = value if hasattr(value, "dtype") else np.asarray(value, _value_dtype(value))
    if value.dtype != dtype or not isinstance(value, np.ndarray):
        filled = np.empty(np.shape(value), dtype)
        filled[...] = value
        value = filled
    squeezed = _drop_leading_axes(value, len(shape))
    if squeezed.shape == shape:
        return squeezed
    try:
        return np.broadcast_to(squeezed, shape)
    except ValueError:
        raise ValueError(
            f"could not broadcast input array from shape {value.shape} into shape {shape}"
        ) from None


def _value_dtype(value: Any) -> Any:
    # Python's integers stay objects, so that NumPy checks that they fit the target's type.
    return object if isinstance(value, int) and not isinstance(value, bool) else None


def _drop_leading_axes(value: Any, ndim: int) -> Any:
    """Drop leading axes of length 1 that the target lacks, as assignment does."""
    extra = value.ndim - ndim
    if extra > 0 and value.shape[:extra] == (1,) * extra:
        return value.reshape(value.shape[extra:])
    return value


def _write_locked(view: ZarrView, value: Any) -> None:
    """Lock the view and write an array of its shape and type."""
    if value.size:
        with write_lock(view.array, view._selection()[0]):
            _write_unlocked(view, value)


def _write_unlocked(view: ZarrView, value: Any) -> None:
    """Write an array to a view that the caller has locked."""
    selection, flips = view._selection()
    # Where several elements of the view are one in the store, the last value is written.
    key = tuple([-1 if f is None else f for f in flips])
    _write_selection(view.array, selection, value[key].transpose(np.argsort(view._order())))


def _write_selection(array: Any, selection: tuple[Any, ...], value: Any) -> None:
    if all(isinstance(a, slice) and a.step == 1 for a in selection):
        zarr_chunks.write(array, selection, value)
        return
    if not any(isinstance(a, np.ndarray) for a in selection):
        array[selection] = value[()]
        return
    # Where an index repeats, the last value is written; in zarr it is undefined which one.
    unique, axis = list(selection), 0
    for n, a in enumerate(selection):
        if isinstance(a, np.ndarray):
            unique[n], last = np.unique(a[::-1], return_index=True)
            value = value.take(len(a) - 1 - last, axis=axis)
        axis += not isinstance(a, int)
    if array.shards is None:
        array.oindex[tuple(unique)] = value
    else:  # zarr 3.1 writes orthogonal selections of sharded arrays wrongly
        open_grid = np.ix_(*[_as_index(a) for a in unique])
        points = [c.ravel() for c in np.broadcast_arrays(*open_grid)]
        array.vindex[tuple(points)] = value.ravel()


def _as_index(selected: Any) -> Any:
    if isinstance(selected, slice):
        return np.arange(selected.start, selected.stop, selected.step)
    return np.atleast_1d(selected)


def _stream(view: ZarrView, value: Any) -> None:
    """Write a Dask array block by block, in blocks that share no chunks of the store."""
    import dask.array as da

    value = da.broadcast_to(_drop_leading_axes(value, view.ndim), view.shape).rechunk(view.chunks)
    if value.size:
        with write_lock(view.array, view._selection()[0]):
            da.store(value, _StoreTarget(view), lock=False)


class _StoreTarget:
    """Target of `dask.array.store`."""

    def __init__(self, view: ZarrView) -> None:
        self.view = view
        self.shape = view.shape
        self.dtype = view.dtype

    def __setitem__(self, key: Any, value: Any) -> None:
        part = self.view[key]
        _write_unlocked(part, _convert_value(value, part.dtype, part.shape))


def _assign_points(view: ZarrView, indices: tuple[Any, ...], value: Any) -> None:
    """Write to single elements, which the arrays along the axes select together."""
    shape = np.broadcast_shapes(*[i.shape for i in indices])
    value = _convert_value(
        value.compute() if is_dask(value) or isinstance(value, ZarrView) else value,
        view.dtype,
        shape,
    )
    coordinates: list[Any] = [None] * view.array.ndim
    for source, position in fixed_positions(view.index_map):
        coordinates[source] = np.asarray(position)
    sources = axis_sources(view.index_map)
    for axis, n, index_along in zip(sources, view.shape, indices, strict=True):
        if axis.source is not None:
            coordinates[axis.source] = axis.positions(n)[index_along]
    flat = [c.ravel() for c in np.broadcast_arrays(*coordinates, np.empty(shape, "?"))[:-1]]
    if not flat or not flat[0].size:
        return
    # Where an element repeats, the last value is written.
    number = np.ravel_multi_index(tuple(flat), view.array.shape)
    _, last = np.unique(number[::-1], return_index=True)
    last = len(number) - 1 - last
    with write_lock(view.array, flat):
        view.array.vindex[tuple([c[last] for c in flat])] = value.ravel()[last]


def ufunc_into(ufunc: np.ufunc, method: str, inputs: Any, kwargs: Any) -> Any:
    """Run a ufunc whose ``out=`` holds views, block by block.

    Raises
    ------
    TypeError
        If the result's type cannot be cast to the output's.
    ValueError
        If an output is read-only or of the wrong shape.
    TooLargeError
        If an input overlaps an output other than element by element, and is too large for memory.
    """
    if method == "at":
        raise TypeError(f"{ufunc.__name__}.at does not reach arrays on disk: assign to a slice")
    kwargs = dict(kwargs)
    outs = kwargs.pop("out")
    where = kwargs.pop("where", True)
    casting = kwargs.get("casting", "same_kind")
    run = ufunc if method == "__call__" else getattr(ufunc, method)
    views = [x for x in (*inputs, where) if isinstance(x, ZarrView)]
    results = call(run, tuple([_to_dask(x) for x in inputs]), kwargs)
    results = results if isinstance(results, tuple) else (results,)
    pairs = [(o, r) for o, r in zip(outs, results, strict=True) if o is not None]
    for out, result in pairs:
        _check_output(ufunc, out, result, casting)
    written = []
    for out, result in pairs:
        if where is not True:
            result = call(np.where, (_to_dask(where), result, _to_dask(out)), {})
        clash = isinstance(out, ZarrView) and any(
            may_share_data(v.array, out.array) and not _is_same_view(v, out) for v in views
        )
        if clash or len(pairs) > 1:
            out._check_size(f"{ufunc.__name__} with overlapping out= would hold")
            result = result.compute()
        written.append((out, result))
    for out, result in written:
        if isinstance(out, ZarrView) and is_dask(result):
            _stream(out, result)
        else:
            out[...] = result
    final = tuple([r if o is None else o for o, r in zip(outs, results, strict=True)])
    return final if len(final) > 1 else final[0]


def _to_dask(x: Any) -> Any:
    return x.to_dask() if isinstance(x, ZarrView) else x


def _is_same_view(a: ZarrView, b: ZarrView) -> bool:
    return bool(a.__dask_tokenize__() == b.__dask_tokenize__())


def _check_output(ufunc: np.ufunc, out: Any, result: Any, casting: Any) -> None:
    if isinstance(out, ZarrView) and out.read_only:
        raise ValueError(f"output array is read-only: {out.array.store_path}")
    if not np.can_cast(result.dtype, out.dtype, casting=casting):
        raise TypeError(
            f"Cannot cast ufunc {ufunc.__name__!r} output from {result.dtype!r} to "
            f"{out.dtype!r} with casting rule {casting!r}"
        )
    if np.broadcast_shapes(result.shape, out.shape) != out.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {out.shape} doesn't match the "
            f"broadcast shape {result.shape}"
        )
