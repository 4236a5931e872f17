"""How the voxels of a bin become one: the methods of pyramids, as a table.

A kernel takes a block whose lengths are multiples of the bin lengths and returns one value for each
bin, in the block's own type. It sums in one fixed order, so that blocks give the same bits as the
whole. Integers round half to even and never wrap.

==========  ====================================  ===================  =============================
method      value                                 where it lies        NaN
==========  ====================================  ===================  =============================
mean        mean of the bin                       centre of the bin    spreads in its bin
gaussian    smoothed over the bin and the bins    centre of the bin    spreads to bins beside it
            beside it; at the ends over the bin
nearest     the voxel nearest the centre, of two  that voxel           stays where it is
            the first
mode        the most frequent value; of equally   centre of the bin    a value like any other
            frequent ones the nearest the centre
==========  ====================================  ===================  =============================

``label`` is another name of ``mode``. Linear ramps are kept exactly by the first three; by mode
where the voxel at the centre decides (odd lengths), or the ramp is constant over each bin.

To add a method, write a kernel and add its row to `METHODS`. A kernel with a reach of one sees one
bin more on either side of its block, where there is one, and must treat the ends of what it sees as
the ends of the image: what is beyond its own block is cut off again.
"""

from __future__ import annotations

import itertools
import math
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["METHODS", "Method", "find_method", "trim"]

Bins = tuple[int, ...]


class Method(NamedTuple):
    """A row of the table of methods.

    Attributes
    ----------
    kernel : callable
        ``kernel(block, bins)`` returns one value for each bin.
    reach : int
        How many bins on either side it needs to see.
    place : callable
        ``place(length)``: where the value of a bin of so many voxels lies, in voxels from its
        first.
    """

    kernel: Callable[[Any, Bins], Any]
    reach: int
    place: Callable[[int], float]


def trim(block: Any, bins: Bins) -> Any:
    """Return a block without the voxels at its far ends that do not fill a bin."""
    return block[tuple([slice(0, n // f * f) for n, f in zip(block.shape, bins, strict=True)])]


def _axis_key(axis: int, start: int, stop: int | None = None, step: int = 1) -> tuple[Any, ...]:
    return (*[slice(None)] * axis, slice(start, stop, step))


# --- mean ---------------------------------------------------------------------------------


def _sums(block: Any, bins: Bins, dtype: Any) -> Any:
    """Sum bins, the outermost axis first, which adds contiguous memory."""
    for axis, f in enumerate(bins):
        if f > 1:
            parts = [block[_axis_key(axis, k, None, f)] for k in range(f)]
            block = np.add(parts[0], parts[1], dtype=dtype)
            for part in parts[2:]:
                np.add(block, part, out=block)
    return block


def _divide_to_even(total: Any, n: int) -> Any:
    """Divide integers, rounding halves to even; works in place."""
    if n & (n - 1) == 0:
        k = n.bit_length() - 1
        odd = total >> k
        odd &= 1
        odd += n // 2 - 1
        total += odd
        total >>= k
        return total
    quotient, rest = np.divmod(total, n)
    twice = 2 * rest
    quotient += (twice > n) | ((twice == n) & ((quotient & 1) == 1))
    return quotient


def _mean(block: Any, bins: Bins) -> Any:
    n = math.prod(bins)
    if n == 1:
        return block
    dtype = block.dtype
    if dtype.kind == "b":
        return 2 * _sums(block, bins, np.int64) > n
    if dtype.kind in "fc":
        with np.errstate(invalid="ignore", over="ignore"):
            return (_sums(block, bins, np.result_type(dtype, np.float64)) / n).astype(dtype)
    if dtype.itemsize < 8:
        small = dtype.itemsize <= 2 and n < 1 << 14
        return _divide_to_even(_sums(block, bins, np.int32 if small else np.int64), n).astype(dtype)
    # Sums of 64 bits could wrap: quotients and remainders of the voxels are summed separately.
    wide = dtype.newbyteorder("=")
    quotient, rest = np.divmod(block, wide.type(n))
    rest = _sums(rest, bins, wide)
    more, rest = np.divmod(rest, wide.type(n))
    total = _sums(quotient, bins, wide) + more
    twice = 2 * rest
    up = (twice > n) | ((twice == n) & ((total & wide.type(1)) == 1))
    return (total + up.astype(wide)).astype(dtype)


# --- gaussian -----------------------------------------------------------------------------


def _weights(taps: int, f: int) -> Any:
    """Weights of voxels about the centre of a bin of f voxels.

    Their width makes a voxel as wide at half its height as the bin is long: the standard deviation
    is sqrt((f² - 1) / (8 log 2)) voxels (Cardoso et al., Scale factor point spread function
    matching, MICCAI 2015). Three bins reach out to 3.3 of it or more.
    """
    at = np.arange(taps) - (taps - 1) / 2
    weights = np.exp(-(at**2) * (4 * math.log(2) / (f * f - 1)))
    return weights / weights.sum()


def _weighted_sums(x: Any, axis: int, f: int, weights: Any, n: int) -> Any:
    """Return n weighted sums at steps of f voxels; symmetric voxels are added first."""
    taps = len(weights)
    stop = (n - 1) * f + 1
    out = None
    for t in range((taps + 1) // 2):
        part = x[_axis_key(axis, t, t + stop, f)]
        if t != taps - 1 - t:
            part = part + x[_axis_key(axis, taps - 1 - t, taps - 1 - t + stop, f)]
        part = part * weights[t]
        out = part if out is None else np.add(out, part, out=out)
    return out


def _smooth_axis(x: Any, axis: int, f: int) -> Any:
    n = x.shape[axis] // f
    own = _weights(f, f)
    if n < 3:
        return _weighted_sums(x, axis, f, own, n)
    middle = _weighted_sums(x, axis, f, _weights(3 * f, f), n - 2)
    first = _weighted_sums(x[_axis_key(axis, 0, f)], axis, f, own, 1)
    last = _weighted_sums(x[_axis_key(axis, (n - 1) * f, n * f)], axis, f, own, 1)
    return np.concatenate([first, middle, last], axis=axis)


def _gaussian(block: Any, bins: Bins) -> Any:
    if math.prod(bins) == 1 or 0 in block.shape:
        return block
    dtype = block.dtype
    x = block.astype(np.result_type(dtype, np.float64))
    with np.errstate(invalid="ignore", over="ignore"):
        for axis, f in enumerate(bins):
            if f > 1:
                x = _smooth_axis(x, axis, f)
    if dtype.kind == "b":
        return x > 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        # The largest float64 that fits: 2**63 - 1 is none.
        high = min(float(limits.max), math.nextafter(float(limits.max + 1), 0))
        return np.clip(x.round(), float(limits.min), high).astype(dtype)
    return x.astype(dtype)


# --- nearest and mode ---------------------------------------------------------------------


def _first_centre(f: int) -> int:
    return (f - 1) // 2


def _nearest(block: Any, bins: Bins) -> Any:
    return block[tuple([slice(_first_centre(f), None, f) for f in bins])]


def _is_equal(a: Any, b: Any) -> Any:
    equal = a == b
    return equal | ((a != a) & (b != b)) if a.dtype.kind in "fc" else equal


def _mode(block: Any, bins: Bins) -> Any:
    n = math.prod(bins)
    if n == 1:
        return block
    offsets = sorted(
        itertools.product(*[range(f) for f in bins]),
        key=lambda o: sum((k - (f - 1) / 2) ** 2 for k, f in zip(o, bins, strict=True)),
    )
    parts = [block[tuple([slice(k, None, f) for k, f in zip(o, bins, strict=True)])]
             for o in offsets]  # fmt: skip
    out = parts[0].copy()
    mixed = np.zeros(out.shape, bool)
    for part in parts[1:]:
        mixed |= ~_is_equal(part, out)
    if not mixed.any():
        return out
    # Few bins of a label image hold more than one label: only those are counted.
    values = np.stack([part[mixed] for part in parts])
    best, most = values[0].copy(), _is_equal(values, values[0]).sum(axis=0)
    for i in range(1, n):
        # A value that comes up here for the first time cannot be more frequent than what is left.
        if most.min() >= n - i:
            break
        count = _is_equal(values, values[i]).sum(axis=0)
        best = np.where(count > most, values[i], best)
        most = np.maximum(most, count)
    out[mixed] = best
    return out


def _centre(f: int) -> float:
    return (f - 1) / 2


_MODE = Method(_mode, 0, _centre)

#: How the values of a bin become one.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "mean": Method(_mean, 0, _centre),
        "gaussian": Method(_gaussian, 1, _centre),
        "nearest": Method(_nearest, 0, _first_centre),
        "mode": _MODE,
        "label": _MODE,
    }
)


def find_method(name: str) -> Method:
    """Return the row of `METHODS` with a name.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    if name not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {name!r}")
    return METHODS[name]
