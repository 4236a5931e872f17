"""The arithmetic of resampling in plain NumPy, for where Numba is not installed.

An engine is a module with the functions of this one. Each writes into `out`, which may be any
strided view; where `out` holds integers the values are rounded to the nearest, halves to even, and
stop at the ends of the type. The engines agree to the bit: they do the same operations on the same
numbers in the same order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["affine", "gather", "lerp", "supports"]

#: Points that are worked on together, so that their coordinates fit in a cache.
_BATCH = 1 << 16


def supports(dtype: np.dtype[Any]) -> bool:
    """Tell whether this engine can work on a type."""
    return dtype.kind in "biufcmM"


def store(out: NDArray[Any], values: NDArray[Any]) -> None:
    """Write floating values into an array of any type; integers are rounded and saturate."""
    if out.dtype.kind not in "iu":
        out[...] = values
        return
    info = np.iinfo(out.dtype)
    rounded = np.rint(values)
    high = rounded >= float(info.max)
    low = rounded <= float(info.min)
    out[...] = np.where(high | low, 0.0, rounded).astype(out.dtype)
    out[high] = info.max
    out[low] = info.min


def lerp(
    source: NDArray[Any], axis: int, low: Ints, high: Ints, fraction: NDArray[Any],
    out: NDArray[Any],
) -> None:  # fmt: skip
    """Interpolate linearly along one axis.

    Parameters
    ----------
    source : ndarray
        Real or complex values.
    axis : int
        The axis; all others are as long in `out`.
    low, high : ndarray of int, shape (out.shape[axis],)
        Neighbours along the axis, as indices into `source`.
    fraction : ndarray of float, shape (out.shape[axis],)
        How far from `low` to `high`; its type is that of the arithmetic.
    out : ndarray
        Where the values go.
    """
    shape = [-1 if i == axis else 1 for i in range(source.ndim)]
    f = fraction.reshape(shape)
    one = fraction.dtype.type(1)
    a = np.take(source, low, axis=axis) * one
    b = np.take(source, high, axis=axis) * one
    with np.errstate(invalid="ignore"):
        store(out, np.where(f == 0, a, a + f * (b - a)))


def gather(source: NDArray[Any], indices: Sequence[Ints], out: NDArray[Any]) -> None:
    """Take values at indices along every axis: ``out[i, j] = source[indices[0][i], ...[j]]``."""
    out[...] = source[np.ix_(*indices)]


def affine(
    source: NDArray[Any],
    first: Sequence[int],
    lengths: Sequence[int],
    rows: Floats,
    slope: Sequence[float],
    start: int,
    out: NDArray[Any],
    fill: Any,
    order: int,
    edge: bool,
) -> None:
    """Interpolate along rows of points that run straight through the source.

    Parameters
    ----------
    source : ndarray, shape (*batch, *box)
        The part of the source that is at hand; its last ``len(slope)`` axes are interpolated.
    first : sequence of int
        Index of that part's first voxel in the whole source.
    lengths : sequence of int
        Shape of the whole source, along those axes.
    rows : ndarray of float, shape (n_rows, n_axes)
        Position of each row at index 0.
    slope : sequence of float
        Step along each axis: position is ``rows[r] + slope * (start + i)``.
    start : int
        Index of the first point of a row.
    out : ndarray, shape (*batch, *outer, n_points)
        Where the values go; `outer` has one entry for each row, in C order.
    fill : scalar
        Value of points that lie outside.
    order : int
        0 for nearest, 1 for linear.
    edge : bool
        Whether the outermost values go on for ever.
    """
    k = len(slope)
    batch = source.ndim - k
    count = out.shape[-1]
    outer = out.shape[batch:-1]
    steps = np.arange(start, start + count, dtype=np.float64)
    for r0 in range(0, len(rows), max(_BATCH // max(count, 1), 1)):
        part = rows[r0 : r0 + max(_BATCH // max(count, 1), 1)]
        x = [part[:, s, None] + slope[s] * steps for s in range(k)]
        inside = np.ones(x[0].shape, dtype=bool)
        if not edge:
            for p, n in zip(x, lengths, strict=True):
                inside &= (p >= -0.5) & (p < n - 0.5)
        x = [np.where(inside, p, 0.0) for p in x]
        blend = _nearest if order == 0 else _linear
        values = blend(source, [p[inside] for p in x], first, lengths)
        here: tuple[Any, ...] = ()
        if outer:
            here = np.unravel_index(np.arange(r0, r0 + len(part)), outer)
        block = np.full((*source.shape[:batch], *inside.shape), fill, dtype=out.dtype)
        kept = np.empty(values.shape, dtype=out.dtype)
        store(kept, values)
        block[..., inside] = kept
        if outer:
            out[(..., *here, slice(None))] = block
        else:
            out[...] = block[..., 0, :]


def _nearest(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int]
) -> NDArray[Any]:
    index: list[Any] = [
        np.clip(np.floor(p + 0.5), 0, n - 1).astype(np.intp) - f
        for p, f, n in zip(x, first, lengths, strict=True)
    ]
    values: NDArray[Any] = source[(..., *index)]
    return values


def _linear(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int]
) -> NDArray[Any]:
    low, high, fraction = [], [], []
    for p, f, n in zip(x, first, lengths, strict=True):
        clamped = np.clip(p, 0.0, n - 1)
        floor = np.floor(clamped)
        index = floor.astype(np.intp)
        low.append(index - f)
        high.append(index + (clamped > floor) - f)
        fraction.append(clamped - floor)
    return _blend(source, low, high, fraction, ())


def _blend(
    source: NDArray[Any], low: list[Ints], high: list[Ints], fraction: list[Floats],
    chosen: tuple[Any, ...],
) -> NDArray[Any]:  # fmt: skip
    """Interpolate along the last axis first, and along the first one last."""
    axis = len(chosen)
    if axis == len(low):
        values: NDArray[Any] = source[(..., *chosen)] * np.float64(1)
        return values
    a = _blend(source, low, high, fraction, (*chosen, low[axis]))
    b = _blend(source, low, high, fraction, (*chosen, high[axis]))
    with np.errstate(invalid="ignore"):
        between: NDArray[Any] = a + fraction[axis] * (b - a)
    return between
