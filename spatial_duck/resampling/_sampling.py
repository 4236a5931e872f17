"""Values at points: of arrays in memory, on a device, and in chunks.

An array in chunks is read where points lie: those that lie in one chunk make one task, which reads
the box around them, so that a chunk that no point is near is never touched.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.backends import chunk_values
from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling._blocks import work_type
from spatial_duck.resampling._device_values import place_of, values_at
from spatial_duck.resampling._interpolations import kinds
from spatial_duck.resampling._prefilter import filtered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box

    Floats = NDArray[np.float64]

__all__ = ["values_at_points", "zeros"]


def values_at_points(data: Any, index: Floats, how: str) -> Any:
    """Return values at points, in the type of the arithmetic.

    Parameters
    ----------
    data : array
        The axes that are sampled, then those that are carried along.
    index : ndarray of float, shape (k, n)
        Positions along the first k axes, all of them inside; one or more.
    how : str
        The interpolation.

    Returns
    -------
    array, shape (n, *axes carried along)
        Of the backend's kind; for data in chunks a Dask array.
    """
    lengths = data.shape[: len(index)]
    if backends.is_lazy(data):
        return _lazy(data, index, how)
    box = _box(index, lengths, how)
    part = backends.index(data, tuple([slice(*bounds) for bounds in box]))
    return _values(part, index, how, [a for a, _ in box], lengths)


def zeros(data: Any, shape: tuple[int, ...], how: str) -> Any:
    """Return zeros of the kind and type that values have."""
    dtype = _type(backends.host_type(data.dtype), how)
    if engines.on_host(data):
        return np.zeros(shape, dtype)
    if not backends.is_lazy(data):
        place = place_of(data)
        wide = {"float64": place.real, "complex128": place.complex}
        return place.full(shape, 0, wide.get(dtype.name) or place.named(dtype))
    import dask.array as da

    return da.zeros(shape, dtype=dtype)


def _type(dtype: np.dtype[Any], how: str) -> np.dtype[Any]:
    """Return the type of values."""
    return dtype.newbyteorder("=") if how in ("nearest", "label") else work_type(dtype)


def _box(index: Floats, lengths: Sequence[int], how: str) -> Box:
    """Return the voxels that matter for points: all that are near enough."""
    wide = max(kinds[how].taps // 2, 1) + kinds[how].halo
    box = []
    for line, n in zip(index, lengths, strict=True):
        low, high = math.floor(line.min()) - wide + 1, math.floor(line.max()) + wide + 1
        # What is beyond an end is mirrored there, and stands for what lies before it.
        low, high = min(low, 2 * n - 1 - high), max(high, 1 - low)
        box.append((min(max(low, 0), n - 1), max(min(high, n), 1)))
    return tuple(box)


def _values(part: Any, index: Any, how: str, firsts: Sequence[int], lengths: Sequence[int]) -> Any:
    """Return the values at points, of the part of the data around them."""
    k = len(lengths)
    poles = kinds[how].poles
    filters = dict.fromkeys(range(k), (poles, 0.0)) if poles else {}
    order = (*range(k, part.ndim), *range(k))
    if not engines.on_host(part):
        place = place_of(part)
        source = device.filtered(part, filters, how) if filters else part
        source = place.xp.permute_dims(source, order)
        points = [place.put(line, place.real) for line in index]
        found, _ = values_at(place, source, firsts, lengths, points, index.shape[1:], how, False,
                             [1.0] * k)  # fmt: skip
        return place.xp.moveaxis(found, -1, 0)
    if part.dtype.char == "e" and how not in ("nearest", "label"):
        part = part.astype(np.float32)
    source = filtered(part, filters, how, k - 1) if filters else part
    source = source.transpose(order)
    out = np.empty((index.shape[1], *part.shape[k:]), _type(part.dtype, how))
    work = how if how in ("nearest", "linear") else ""
    engines.engine_for(source, out, work=work).points(
        source, firsts, lengths, index, np.moveaxis(out, 0, -1), 0, how, False, [1.0] * k
    )
    return out


def _lazy(data: Any, index: Floats, how: str) -> Any:
    """Return the values as a Dask array: a task for the points of each chunk."""
    da = require("dask.array", "Values of an array in chunks")
    delayed = require("dask.delayed", "Values of an array in chunks").delayed
    array = backends.dask_form(data)
    k, lengths = len(index), array.shape[: len(index)]
    numbers = np.zeros(index.shape[1], dtype=np.intp)
    for line, chunks, n in zip(index, array.chunks, lengths, strict=False):
        edges = np.cumsum(chunks)
        nearest = np.clip(np.floor(line + 0.5), 0, n - 1)
        numbers = numbers * len(chunks) + np.searchsorted(edges, nearest, side="right")
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    run = delayed(_values, pure=True)
    dtype = _type(array.dtype, how)
    pieces = []
    for group in np.split(order, starts[1:]):
        here = index[:, group]
        box = _box(here, lengths, how)
        part = array[tuple([slice(*bounds) for bounds in box])].rechunk(-1)
        (block,) = chunk_values(part)
        found = run(block, here, how, [a for a, _ in box], lengths)
        shape = (len(group), *array.shape[k:])
        meta = None if backends.is_on_host(array) else backends.empty_block(array)
        pieces.append(da.from_delayed(found, shape, dtype=dtype, meta=meta))
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    concatenate_blocks = da.concatenate(pieces) if len(pieces) > 1 else pieces[0]
    return concatenate_blocks if (back == np.arange(len(back))).all() else concatenate_blocks[back]
