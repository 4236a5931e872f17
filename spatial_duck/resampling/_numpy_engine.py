"""The arithmetic of resampling in NumPy, and SciPy if it is there, without Numba.

An engine is a module with the functions of this one. Each writes into `out`, which may be any
strided view; where `out` holds integers the values are rounded to the nearest, halves to even, and
stop at the ends of the type. Nearest and linear values are the same to the bit in the engines of
the CPU; others agree but for the last bit of a sum of products. A neighbour whose weight is 0 has
no part in a value, not even where it is NaN.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling._interpolations import kinds, lookup, weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = [
    "affine", "flat", "gather", "lerp", "points", "prefilter", "supports", "taps", "usable",
]  # fmt: skip

#: Points that are worked on together, so that their coordinates fit in a cache.
_BATCH = 1 << 13
#: Values that are worked on together.
_SLAB = 1 << 18


def supports(dtype: np.dtype[Any]) -> bool:
    """Whether this engine can work on a type."""
    return dtype.kind in "biufcmM"


class _Span:
    """The memory that a strided view spans, as one flat writeable array.

    No engine writes into a source; that it says it is writeable spares a compiled variant.
    """

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, view: NDArray[Any], address: int, count: int, typestr: str) -> None:
        self.owner = view
        self.__array_interface__ = {
            "data": (address, False), "shape": (count,), "typestr": typestr, "version": 3,
        }  # fmt: skip


def flat(view: NDArray[Any]) -> tuple[NDArray[Any], int, tuple[int, ...]]:
    """Return the memory of a view as a flat array, with offset and strides in elements."""
    size = view.itemsize
    strides = tuple([s // size for s in view.strides])
    low = sum([(n - 1) * s for n, s in zip(view.shape, strides, strict=True) if s < 0])
    high = sum([(n - 1) * s for n, s in zip(view.shape, strides, strict=True) if s > 0])
    address = view.__array_interface__["data"][0] + low * size
    return np.asarray(_Span(view, address, high - low + 1, view.dtype.str)), -low, strides


def usable(view: NDArray[Any]) -> NDArray[Any]:
    """Return the view itself, or a copy where its elements do not lie at whole strides."""
    aligned = view.flags.aligned and all(s % view.itemsize == 0 for s in view.strides)
    return view if aligned and view.dtype.isnative else view.astype(view.dtype.newbyteorder("="))


def store(out: NDArray[Any], values: NDArray[Any]) -> None:
    """Write floating values into an array of any type; integers are rounded and saturate."""
    if out.dtype.kind not in "iu":
        out[...] = values
        return
    info = np.iinfo(out.dtype)
    rounded = np.rint(values)
    if out.dtype.itemsize <= 4 and rounded.dtype == np.float64:  # which holds both ends
        np.copyto(out, np.clip(rounded, info.min, info.max, out=rounded), casting="unsafe")
        return
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
    exact: Any = (*[slice(None)] * axis, np.flatnonzero(fraction == 0))
    for part in _slabs(out.shape, axis):
        a = _lift(np.take(source[part], low, axis=axis), one)
        b = _lift(np.take(source[part], high, axis=axis), one)
        with np.errstate(invalid="ignore"):
            b -= a
            b *= f
            b += a
        b[exact] = a[exact]
        store(out[part], b)


def _lift(values: NDArray[Any], one: Any) -> NDArray[Any]:
    """Return values in the type of the arithmetic, that of `one` or its complex numbers."""
    return values if values.dtype == one.dtype else values * one


def _slabs(shape: Sequence[int], axis: int) -> Iterator[tuple[slice, ...]]:
    """Cut a shape along its longest axis, other than one, so that little is in memory at once."""
    size = math.prod(shape)
    longest = max(range(len(shape)), key=lambda i: -1 if i == axis else shape[i])
    if longest == axis or size <= _SLAB:
        yield (slice(None),) * len(shape)
        return
    each = max(_SLAB * shape[longest] // size, 1)
    for i in range(0, shape[longest], each):
        yield (*[slice(None)] * longest, slice(i, i + each))


def gather(source: NDArray[Any], indices: Sequence[Ints], out: NDArray[Any]) -> None:
    """Gather values at indices along every axis: ``out[i, j] = source[indices[0][i], ...[j]]``."""
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
    how: str,
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
    how : str
        The interpolation.
    edge : bool
        Whether the outermost values go on for ever.
    """
    k = len(slope)
    source = usable(source)
    batch = source.ndim - k
    count = out.shape[-1]
    steps = np.arange(start, start + count, dtype=np.float64)
    shape = (*out.shape[:batch], len(rows), count)
    # glibc takes what is smaller than the largest array that was freed, of those up to 32 MiB, from
    # memory that it keeps. Fresh pages for each part took as long as all the rest.
    np.empty(min(out.nbytes, 1 << 24), np.uint8)
    block = out.reshape(shape)  # a view where there can be one
    each = max(_BATCH // max(count, 1), 1)
    for r in range(0, len(rows), each):
        part = rows[r : r + each]
        x = np.stack([part[:, s, None] + slope[s] * steps for s in range(k)])
        points(source, first, lengths, x, block[..., r : r + each, :], fill, how, edge, ())
    if not np.may_share_memory(block, out):
        out[...] = block.reshape(out.shape)


def points(
    source: NDArray[Any],
    first: Sequence[int],
    lengths: Sequence[int],
    positions: Floats,
    out: NDArray[Any],
    fill: Any,
    how: str,
    edge: bool,
    reach: Sequence[float],
) -> None:
    """Interpolate at any points.

    Parameters
    ----------
    source, first, lengths, fill, how, edge
        As for `affine`.
    positions : ndarray of float, shape (n_axes, *outer)
        Where the points lie.
    out : ndarray, shape (*batch, *outer)
        Where the values go.
    reach : sequence of float
        For labels: how far the weights reach along each axis.
    """
    source = usable(source)
    inside = np.ones(positions.shape[1:], dtype=bool)
    if not edge:
        for p, n in zip(positions, lengths, strict=True):
            inside &= (p >= -0.5) & (p < n - 0.5)
    everywhere = bool(inside.all())
    x = [p.ravel() if everywhere else p[inside] for p in positions]
    if how == "nearest":
        values = _nearest(source, x, first, lengths)
    elif how == "linear":
        values = _linear(source, x, first, lengths)
    elif how == "label":
        values = _majority(source, x, first, lengths, reach)
    else:
        way = _splines if kinds[how].poles else _tapped
        values = way(source, x, first, lengths, how, edge)
    if everywhere:
        kept, values = out, values.reshape(out.shape)
    else:
        out[...] = fill
        kept = np.empty(values.shape, dtype=out.dtype)
    store(kept, values) if how not in ("nearest", "label") else np.copyto(kept, values)
    if not everywhere:
        out[..., inside] = kept


def _nearest(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int]
) -> NDArray[Any]:
    index = [
        np.clip(np.floor(p + 0.5), 0, n - 1).astype(np.intp) - f
        for p, f, n in zip(x, first, lengths, strict=True)
    ]
    return _near(source, [(i,) for i in index])[0]


def _linear(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int]
) -> NDArray[Any]:
    kind = np.float32 if source.dtype.char in "fF" else np.float64
    index: list[tuple[Ints, Ints]] = []
    fraction: list[Any] = []
    for p, f, n in zip(x, first, lengths, strict=True):
        clamped = np.clip(p, 0.0, n - 1)
        floor = np.floor(clamped)
        low = floor.astype(np.intp) - f
        index.append((low, low + (clamped > floor)))
        fraction.append((clamped - floor).astype(kind))
    near = [_lift(values, kind(1)) for values in _near(source, index)]
    with np.errstate(invalid="ignore"):
        # Along the last axis first, and along the first one last.
        for between in reversed(fraction):
            for low, high in zip(near[::2], near[1::2], strict=True):
                high -= low
                high *= between
                high += low
            near = near[1::2]
    return near[0]


def _near(source: NDArray[Any], index: Sequence[tuple[Ints, ...]]) -> list[NDArray[Any]]:
    """Return the values at all combinations of indices along the last axes, as new arrays."""
    if source.ndim > len(index):
        keys: Any = itertools.product([...], *index)
        return [source[key] for key in keys]
    # Twice as fast as index arrays for each axis.
    memory, start, strides = flat(source)
    places: list[Any] = [start]
    for along, step in zip(index, strides, strict=True):
        offsets = [i * step for i in along]
        places = [place + offset for place in places for offset in offsets]
    return [memory.take(place) for place in places]


def _neighbours(x: Floats, n: int, first: int, how: str, edge: bool) -> tuple[Ints, Floats]:
    """Return the voxels around positions along one axis, and their weights."""
    x = np.clip(x, 0.0, n - 1) if edge else x
    floor = np.floor(x)
    weight = weights(how, x - floor)
    index = floor.astype(np.intp)[:, None] + np.arange(weight.shape[1]) + 1 - kinds[how].taps // 2
    return lookup(index, n, bool(kinds[how].poles)) - first, weight


def _tapped(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int],
    how: str, edge: bool,
) -> NDArray[Any]:  # fmt: skip
    """Weigh all neighbours."""
    found = [_neighbours(p, n, f, how, edge) for p, f, n in zip(x, first, lengths, strict=True)]

    def blend(chosen: tuple[Any, ...]) -> Any:
        if len(chosen) == len(found):
            return source[(..., *chosen)] * np.float64(1)
        index, weight = found[len(chosen)]
        total: Any = 0.0
        with np.errstate(invalid="ignore"):
            for k in range(weight.shape[1]):
                w = weight[:, k]
                used = np.where(w == 0, index[:, weight.shape[1] // 2 - 1], index[:, k])
                value = blend((*chosen, used))
                total = total + np.where(w == 0, 0.0, w * value)
        return total

    values: NDArray[Any] = blend(())
    return values


def _splines(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int],
    how: str, edge: bool,
) -> NDArray[Any]:  # fmt: skip
    """Evaluate B-splines of given coefficients, by SciPy where it is installed."""
    try:
        from scipy.ndimage import map_coordinates
    except ImportError:
        return _tapped(source, x, first, lengths, how, edge)
    places = np.stack([(np.clip(p, 0.0, n - 1) if edge else p) - f
                       for p, f, n in zip(x, first, lengths, strict=True)])  # fmt: skip
    batch = source.shape[: source.ndim - len(x)]
    values = np.empty((*batch, places.shape[1]), np.result_type(source.dtype, np.float64))
    # The box ends where the source does, or beyond all neighbours: its ends are mirrors, or unseen.
    for number in np.ndindex(*batch):
        map_coordinates(source[number], places, values[number], kinds[how].taps - 1, "mirror",
                        prefilter=False)  # fmt: skip
    return values


def _majority(
    source: NDArray[Any], x: list[Floats], first: Sequence[int], lengths: Sequence[int],
    reach: Sequence[float],
) -> NDArray[Any]:  # fmt: skip
    """Return the label that has most of the weight around each point; of several, the smallest."""
    spans = []
    for p, n, f, r in zip(x, lengths, first, reach, strict=True):
        p = np.clip(p, 0.0, n - 1)
        index = np.floor(p).astype(np.intp)[:, None] + np.arange(1 - int(np.ceil(r)),
                                                                  int(np.ceil(r)) + 1)  # fmt: skip
        weight = np.maximum(1 - np.abs(p[:, None] - index) / r, 0)
        spans.append((lookup(index, n, False) - f, weight))
    batch = source.shape[: source.ndim - len(x)]
    values, shares = [], []
    for at in np.ndindex(*[w.shape[1] for _, w in spans]):
        share = np.prod([w[:, k] for (_, w), k in zip(spans, at, strict=True)], axis=0)
        key: Any = (..., *[i[:, k] for (i, _), k in zip(spans, at, strict=True)])
        values.append(source[key])
        shares.append(np.broadcast_to(share, (*batch, len(share))))
    order = np.argsort(values, axis=0, kind="stable")
    label = np.take_along_axis(np.array(values), order, 0)
    share = np.take_along_axis(np.array(shares), order, 0)
    best: NDArray[Any] = label[0].copy()
    most, total = np.full(label[0].shape, -1.0), np.zeros(label[0].shape)
    for k in range(len(label)):
        same = label[k] == label[k - 1] if k else np.ones(label[0].shape, dtype=bool)
        total = np.where(same, total, 0.0) + share[k]
        wins = total > most * (1 + 1e-12) + 1e-15
        best, most = np.where(wins, label[k], best), np.where(wins, total, most)
    return best


def taps(
    source: NDArray[Any], axis: int, index: Ints, weight: NDArray[Any], out: NDArray[Any]
) -> None:
    """Weigh several neighbours along one axis.

    Parameters
    ----------
    source : ndarray
        Real or complex values.
    axis : int
        The axis; all others are as long in `out`.
    index : ndarray of int, shape (out.shape[axis], n)
        The neighbours of each voxel along the axis, as indices into `source`.
    weight : ndarray of float, shape (out.shape[axis], n)
        Their weights; its type is that of the arithmetic.
    out : ndarray
        Where the values go.
    """
    shape = [-1 if i == axis else 1 for i in range(source.ndim)]
    total: Any = weight.dtype.type(0)
    with np.errstate(invalid="ignore", over="ignore"):
        for k in range(weight.shape[1]):
            w = weight[:, k].reshape(shape)
            total = total + np.where(w == 0, 0, w * np.take(source, index[:, k], axis=axis))
    store(out, total)


def prefilter(source: NDArray[Any], axis: int, poles: Sequence[float], out: NDArray[Any]) -> None:
    """Make B-spline coefficients along one axis, of values mirrored about their ends.

    Parameters
    ----------
    source : ndarray
        Finite values.
    axis : int
        The axis.
    poles : sequence of float
        Poles of the filter.
    out : ndarray
        Where the coefficients go, of a floating type; may be the source.
    """
    c = np.moveaxis(source, axis, 0) * np.float64(1)
    n = len(c)
    if n > 1:
        for z in poles:
            c *= (1 - z) * (1 - 1 / z)
            powers = first_powers(z, n)
            c[0] = np.tensordot(powers, c[: len(powers)], 1)
            for i in range(1, n):
                c[i] += z * c[i - 1]
            c[-1] = (z / (z * z - 1)) * (c[-1] + z * c[-2])
            for i in range(n - 2, -1, -1):
                c[i] = z * (c[i + 1] - c[i])
    np.moveaxis(out, axis, 0)[...] = c


def first_powers(z: float, n: int) -> Floats:
    """Return the weights whose sum with a mirrored line starts the causal filter."""
    horizon = int(np.ceil(np.log(1e-17) / np.log(-z)))
    if horizon < n:
        return z ** np.arange(horizon, dtype=np.float64)
    powers = z ** np.arange(n, dtype=np.float64)
    powers[1:-1] += z ** (2 * n - 2 - np.arange(1, n - 1, dtype=np.float64))
    return powers / (1 - z ** (2 * n - 2))
