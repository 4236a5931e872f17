"""The arithmetic of resampling in Numba: single-threaded, and without the interpreter's lock.

The functions are those of `numpy_engine`, which says what they do; `kernels` has the loops. These
get every array as a flat one with an offset and strides, so that one compiled variant for each
type serves all layouts (read-only, negative strides, any order of axes), and so that a row is known
to be contiguous where it is. What is compiled is kept on disk.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import kernels, numpy_engine

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["affine", "gather", "lerp", "supports"]


def supports(dtype: np.dtype[Any]) -> bool:
    """Tell whether this engine can work on a type, in native byte order."""
    return (dtype.kind in "biuf" and dtype.itemsize in (1, 2, 4, 8)) or dtype.char in "FD"


# --- flat arrays --------------------------------------------------------------------------


class _Span:
    """The memory that a strided view spans, as one flat writeable array.

    Kernels never write into a source; that it says it is writeable spares a compiled variant.
    """

    __slots__ = ("__array_interface__", "owner")

    def __init__(self, view: NDArray[Any], address: int, count: int, typestr: str) -> None:
        self.owner = view
        self.__array_interface__ = {
            "data": (address, False), "shape": (count,), "typestr": typestr, "version": 3,
        }  # fmt: skip


def _flat(view: NDArray[Any]) -> tuple[NDArray[Any], int, tuple[int, ...]]:
    """Return the memory of a view as a flat array, with offset and strides in elements."""
    size = view.itemsize
    strides = tuple([s // size for s in view.strides])
    low = sum([(n - 1) * s for n, s in zip(view.shape, strides, strict=True) if s < 0])
    high = sum([(n - 1) * s for n, s in zip(view.shape, strides, strict=True) if s > 0])
    address = view.__array_interface__["data"][0] + low * size
    return np.asarray(_Span(view, address, high - low + 1, view.dtype.str)), -low, strides


def _usable(view: NDArray[Any]) -> NDArray[Any]:
    """Return the view itself, or a copy where its elements do not lie at whole strides."""
    aligned = view.flags.aligned and all(s % view.itemsize == 0 for s in view.strides)
    return view if aligned and view.dtype.isnative else view.astype(view.dtype.newbyteorder("="))


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
    if out.size == 0:
        return
    source = _usable(source)
    src, so, ss = _flat(source)
    dst, do, ds = _flat(out)
    dims = list(zip(out.shape, ss, ds, strict=True))
    before, after = _merged(dims[:axis]), _merged(dims[axis + 1 :])
    if not after:
        offsets, ((P, p, D), (Q, q, E)) = _padded(before, 2)
        for a, b in offsets:
            kernels.lerp_inner(src, so + a, dst, do + b, P, p, D, Q, q, E, ss[axis],
                        low, high, fraction, ds[axis])  # fmt: skip
        return
    X, x, xd = after[-1]
    # The axes around are loops of their own: the kernel has one before the axis and one after.
    outer, ((P, p, D),) = _padded(before, 1)
    inner, ((Q, q, E),) = _padded(after[:-1], 1)
    for (a, b), (c, d) in itertools.product(outer, inner):
        kernels.lerp_outer(src, so + a + c, dst, do + b + d, P, p, D, Q, q, E, ss[axis],
                    X, x, xd, low, high, fraction, ds[axis])  # fmt: skip


_BITS = {1: np.dtype("u1"), 2: np.dtype("u2"), 4: np.dtype("u4"), 8: np.dtype("u8")}


def _bits(view: NDArray[Any]) -> NDArray[Any]:
    """Return the view with its elements as bare bits, which one compiled kernel can move."""
    if view.itemsize not in _BITS:
        return view
    bits: Any = _BITS[view.itemsize]
    moved: NDArray[Any] = view.view(bits)
    return moved


def gather(source: NDArray[Any], indices: Sequence[Ints], out: NDArray[Any]) -> None:
    """Take values at indices along every axis."""
    if out.size == 0:
        return
    source = _usable(source)
    src, so, ss = _flat(_bits(source))
    dst, do, ds = _flat(_bits(out))
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
    order: int,
    edge: bool,
) -> None:
    """Interpolate along rows of points that run straight through the source."""
    k = len(slope)
    if k > 3:
        numpy_engine.affine(source, first, lengths, rows, slope, start, out, fill, order, edge)
        return
    if out.size == 0:
        return
    value = np.asarray(fill, dtype=out.dtype).reshape(1)
    source = _usable(source)
    if order == 0:
        source, out, value = _bits(source), _bits(out), _bits(value)
    src, so, ss = _flat(source)
    dst, do, ds = _flat(out)
    batch = source.ndim - k
    at = _offsets(out.shape[batch:-1], ds[batch:-1])
    width = 2 if order == 1 and k <= 2 else 3
    lead = width - k
    t = [0] * lead + list(ss[batch:])
    n = [1] * lead + list(lengths)
    slopes = [0.0] * lead + [float(s) for s in slope]
    if lead:
        rows = np.concatenate([np.zeros((len(rows), lead)), rows], axis=1)
    so -= sum([f * s for f, s in zip(first, ss[batch:], strict=True)])
    loops: tuple[Any, Any] = (kernels.linear2, kernels.linear3)
    kernel: Any = loops[width - 2] if order == 1 else kernels.nearest3
    far = np.inf if edge else 0.0
    stop = start + out.shape[-1]
    for a, b in _shifts(out.shape[:batch], ss[:batch], ds[:batch]):
        kernel(src, so + a, *t, *n, dst, at + (do + b), ds[-1], rows, *slopes,
               start, stop, value[0], far)  # fmt: skip


def _offsets(shape: Sequence[int], strides: Sequence[int]) -> Ints:
    """Return the offset of every index of a shape, in C order."""
    total = np.zeros((1,) * len(shape), dtype=np.intp)
    for i, (n, s) in enumerate(zip(shape, strides, strict=True)):
        total = total + (np.arange(n) * s).reshape(-1, *[1] * (len(shape) - 1 - i))
    return np.ascontiguousarray(total.ravel())


def _shifts(
    shape: Sequence[int], first: Sequence[int], second: Sequence[int]
) -> Iterator[tuple[int, int]]:
    """Give the offsets of every index of a shape in two arrays."""
    yield from zip(_offsets(shape, first).tolist(), _offsets(shape, second).tolist(), strict=True)
