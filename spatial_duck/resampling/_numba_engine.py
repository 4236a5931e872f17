"""The arithmetic of resampling in Numba: single-threaded, and without the interpreter's lock.

The functions are those of `_numpy_engine`, which says what they do; `_kernels`, `_kernels_points`
and `_kernels_wide` have the loops. These get every array as a flat one, an offset and strides, so
that one compiled variant for each type serves all layouts (read-only, negative strides, any order
of axes), and so that a row is known to be contiguous where it is. What is compiled is kept on disk.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _kernels as kernels
from spatial_duck.resampling import _kernels_points as kernels_points
from spatial_duck.resampling import _kernels_wide as kernels_wide
from spatial_duck.resampling import _numpy_engine as numpy_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["affine", "gather", "lerp", "points", "prefilter", "supports", "taps"]

#: Elements of a row that are worked on together, so that they stay in a cache.
_TILE = 2048


def supports(dtype: np.dtype[Any]) -> bool:
    """Whether this engine can work on a type, in native byte order."""
    return dtype.kind in "biu" or dtype.char in "fdFD"


# --- flat arrays --------------------------------------------------------------------------


_Dims = list[tuple[int, int, int]]


def _merged(dims: _Dims) -> _Dims:
    """Join neighbouring axes (length, source stride, output stride) that are one in memory."""
    out: _Dims = []
    for n, s, d in dims:
        if n == 1:
            continue
        if out and out[-1][1] == n * s and out[-1][2] == n * d:
            out[-1] = (out[-1][0] * n, s, d)
        else:
            out.append((n, s, d))
    return out


def _padded(dims: _Dims, count: int) -> tuple[list[tuple[int, int]], _Dims]:
    """Split axes into offsets to loop over here, and exactly `count` for the kernel."""
    here, rest = dims[: max(len(dims) - count, 0)], dims[max(len(dims) - count, 0) :]
    offsets = [
        (sum([i * s for i, (_, s, _) in zip(index, here, strict=True)]),
         sum([i * d for i, (_, _, d) in zip(index, here, strict=True)]))
        for index in itertools.product(*[range(n) for n, _, _ in here])
    ]  # fmt: skip
    return offsets, [(1, 0, 0)] * (count - len(rest)) + rest


# --- what the executors call --------------------------------------------------------------


def lerp(
    source: NDArray[Any], axis: int, low: Ints, high: Ints, fraction: NDArray[Any],
    out: NDArray[Any],
) -> None:  # fmt: skip
    """Interpolate linearly along one axis."""
    _along(kernels.lerp_inner, kernels.lerp_outer, source, axis, out, (low, high, fraction))


def taps(
    source: NDArray[Any], axis: int, index: Ints, weight: NDArray[Any], out: NDArray[Any]
) -> None:
    """Weigh several neighbours along one axis."""
    sums = np.empty(_TILE, np.result_type(source, weight))
    _along(kernels.taps_inner, kernels.taps_outer, source, axis, out, (index, weight),
           (sums,))  # fmt: skip


def _along(
    inside: Any, outside: Any, source: NDArray[Any], axis: int, out: NDArray[Any],
    tables: tuple[NDArray[Any], ...], scratch: tuple[NDArray[Any], ...] = (),
) -> None:  # fmt: skip
    """Run a loop along one axis: one kernel for the inner axis, one for all others."""
    if out.size == 0:
        return
    source = numpy_engine.usable(source)
    src, so, ss = numpy_engine.flat(source)
    dst, do, ds = numpy_engine.flat(out)
    dims = list(zip(out.shape, ss, ds, strict=True))
    before, after = _merged(dims[:axis]), _merged(dims[axis + 1 :])
    if not after:
        offsets, ((P, p, D), (Q, q, E)) = _padded(before, 2)
        for a, b in offsets:
            inside(src, so + a, dst, do + b, P, p, D, Q, q, E, ss[axis], *tables, ds[axis])
        return
    X, x, xd = after[-1]
    # The axes around are loops of their own: the kernel has one before the axis and one after.
    outer, ((P, p, D),) = _padded(before, 1)
    inner, ((Q, q, E),) = _padded(after[:-1], 1)
    for (a, b), (c, d) in itertools.product(outer, inner):
        outside(src, so + a + c, dst, do + b + d, P, p, D, Q, q, E, ss[axis], X, x, xd, *tables,
                ds[axis], *scratch)  # fmt: skip


def prefilter(source: NDArray[Any], axis: int, poles: Sequence[float], out: NDArray[Any]) -> None:
    """Make B-spline coefficients along one axis."""
    n = source.shape[axis]
    if out.size == 0:
        return
    if n == 1:
        out[...] = source
        return
    if source.dtype.kind == "c":
        prefilter(source.real, axis, poles, out.real)
        prefilter(source.imag, axis, poles, out.imag)
        return
    source = numpy_engine.usable(source)
    src, so, ss = numpy_engine.flat(source)
    dst, do, ds = numpy_engine.flat(out)
    found = [numpy_engine.first_powers(z, n) for z in poles]
    starts = np.zeros((len(poles), max(map(len, found))))
    for line, powers in zip(starts, found, strict=True):
        line[: len(powers)] = powers
    dims = list(zip(out.shape, ss, ds, strict=True))
    around = sorted(_merged(dims[:axis]) + _merged(dims[axis + 1 :]), key=lambda dim: -abs(dim[1]))
    offsets, ((P, p, D), (X, x, xd)) = _padded(around, 2)
    for a, b in offsets:
        kernels.prefilter(src, so + a, dst, do + b, P, p, D, X, x, xd, n, ss[axis], ds[axis],
                               np.array(poles), starts)  # fmt: skip


_BITS = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}


def _bits(view: NDArray[Any]) -> NDArray[Any]:
    """Return the view with its elements as bare bits, which one compiled kernel can move."""
    if view.itemsize not in _BITS:
        return view
    bits: Any = _BITS[view.itemsize]
    moved: NDArray[Any] = view.view(bits)
    return moved


def gather(source: NDArray[Any], indices: Sequence[Ints], out: NDArray[Any]) -> None:
    """Gather values at indices along every axis."""
    if out.size == 0:
        return
    source = numpy_engine.usable(source)
    src, so, ss = numpy_engine.flat(_bits(source))
    dst, do, ds = numpy_engine.flat(_bits(out))
    tables = [i * s for i, s in zip(indices, ss, strict=True)]
    axes = [a for a in range(out.ndim) if out.shape[a] > 1]
    so += sum([int(tables[a][0]) for a in range(out.ndim) if a not in axes])
    run = (1, 0, 0)
    if axes and (np.diff(indices[axes[-1]]) == 1).all():
        last = axes.pop()
        so += int(tables[last][0])
        run = (out.shape[last], ss[last], ds[last])
    here, rest = axes[:-3], axes[-3:]
    move: Any = kernels.gather
    chosen = [np.zeros(1, np.intp)] * (3 - len(rest)) + [tables[a] for a in rest]
    steps = [0] * (3 - len(rest)) + [ds[a] for a in rest]
    for index in itertools.product(*[range(out.shape[a]) for a in here]):
        s = so + sum([int(tables[a][i]) for a, i in zip(here, index, strict=True)])
        d = do + sum([i * ds[a] for a, i in zip(here, index, strict=True)])
        move(src, s, dst, d, *chosen, *steps, *run)


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
    """Interpolate along rows of points that run straight through the source."""
    k = len(slope)
    if k > 3:
        numpy_engine.affine(source, first, lengths, rows, slope, start, out, fill, how, edge)
        return
    if out.size == 0:
        return
    batch, lead = source.ndim - k, 3 - k
    kind = _kind(how, source.dtype, k)
    source, out, value = _operands(source, out, fill, how)
    slopes = (0.0,) * lead + tuple([float(s) for s in slope])
    order = _tiles(out.shape[batch:-1])
    base = np.zeros((len(rows), 3))
    base[:, lead:] = rows[order]
    far = np.inf if edge else 0.0
    for src, grid, dst, at, dx in _batches(source, first, lengths, out, batch, lead):
        kernels_points.rows(kind, src, grid, dst, at[order], dx, base, slopes, start,
                            start + out.shape[-1], value, far)  # fmt: skip


def _kind(how: str, dtype: np.dtype[Any], k: int, reach: Sequence[float] = ()) -> Any:
    """Return an interpolation along k axes as the kernels take it."""
    if how == "linear":
        one = np.ones(1, np.float32 if dtype.char in "fF" else np.float64)
        return kernels_points.Linear(one) if k == 3 else kernels_points.Plane(one)
    if how == "label":
        return kernels_wide.Label((1.0,) * (3 - k) + tuple([float(r) for r in reach]))
    return _KINDS[how]


_KINDS: dict[str, Any] = {
    "nearest": kernels_points.Nearest(0), "cubic": kernels_wide.Cubic(4),
    "quintic": kernels_wide.Quintic(6), "lanczos": kernels_wide.Lanczos(10),
}  # fmt: skip


@lru_cache(maxsize=64)
def _tiles(shape: tuple[int, ...], edge: int = 8) -> Ints:
    """Return an order of rows in which neighbours in both directions come soon after each other."""
    count = math.prod(shape)
    if len(shape) < 2 or count < 4 * edge * edge:
        return np.arange(count)
    index = np.arange(count).reshape(-1, *shape[-2:])
    parts = [
        part
        for i in range(0, shape[-2], edge)
        for j in range(0, shape[-1], edge)
        for part in [index[:, i : i + edge, j : j + edge].reshape(len(index), -1)]
    ]
    return np.ascontiguousarray(np.concatenate(parts, axis=1).ravel())


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
    """Interpolate at any points."""
    k = len(positions)
    if k > 3:
        numpy_engine.points(source, first, lengths, positions, out, fill, how, edge, reach)
        return
    if out.size == 0:
        return
    batch, lead = source.ndim - k, 3 - k
    kind = _kind(how, source.dtype, k, reach)
    source, out, value = _operands(source, out, fill, how)
    if out.ndim == batch:
        out = out[..., None]
    nowhere = np.zeros(1)
    where = (nowhere,) * lead + tuple([np.ascontiguousarray(p).reshape(-1) for p in positions])
    steps = (0,) * lead + (1,) * k
    far = np.inf if edge else 0.0
    for src, grid, dst, at, dx in _batches(source, first, lengths, out, batch, lead):
        kernels_points.points(kind, src, grid, dst, at, dx, where, steps, out.shape[-1], value, far)


def _operands(
    source: NDArray[Any], out: NDArray[Any], fill: Any, how: str
) -> tuple[NDArray[Any], NDArray[Any], Any]:
    """Return source, output and fill as the kernels take them."""
    value = np.asarray(fill, dtype=out.dtype).reshape(1)
    source = numpy_engine.usable(source)
    if how == "nearest":
        source, out, value = _bits(source), _bits(out), _bits(value)
    return source, out, value[0]


def _batches(
    source: NDArray[Any], first: Sequence[int], lengths: Sequence[int], out: NDArray[Any],
    batch: int, lead: int,
) -> Iterator[tuple[Any, ...]]:  # fmt: skip
    """Yield the arguments of the kernels, for each index of the axes that are not resampled."""
    src, so, ss = numpy_engine.flat(source)
    dst, do, ds = numpy_engine.flat(out)
    at = _offsets(out.shape[batch:-1], ds[batch:-1])
    here = [0] * lead + list(ss[batch:]) + [1] * lead + [int(n) for n in lengths]
    so -= sum([int(f) * s for f, s in zip(first, ss[batch:], strict=True)])
    for a, b in _shifts(out.shape[:batch], ss[:batch], ds[:batch]):
        yield src, (so + a, *here), dst, at + (do + b), ds[-1]


def _offsets(shape: Sequence[int], strides: Sequence[int]) -> Ints:
    """Return the offset of every index of a shape, in C order."""
    total = np.zeros((1,) * len(shape), dtype=np.intp)
    for i, (n, s) in enumerate(zip(shape, strides, strict=True)):
        total = total + (np.arange(n) * s).reshape(-1, *[1] * (len(shape) - 1 - i))
    return np.ascontiguousarray(total.ravel())


def _shifts(
    shape: Sequence[int], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Return the offsets of every index of a shape in two arrays."""
    yield from zip(_offsets(shape, first).tolist(), _offsets(shape, second).tolist(), strict=True)
