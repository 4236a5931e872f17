"""CUDA kernels for what CuPy's arrays are most often asked: matrices, and tables along axes.

`kernels.cu` has the source. Not run on a GPU yet: the tests compile it with ``nvcc`` for a GPU, and
as plain C++ for the CPU, where its values are compared with those of `_numpy_engine`. Each function
here returns None for what it has no kernel for, and `device` then does without.
"""

from __future__ import annotations

import ctypes
import math
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling._interpolations import kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.resampling._coupled import Box, CoupledAxes
    from spatial_duck.resampling._separable import Table

__all__ = ["affine", "defines", "lines", "prefilter", "source_code"]

#: NumPy's types by what C calls them.
_TYPES = {
    "i1": "signed char", "u1": "unsigned char", "i2": "short", "u2": "unsigned short",
    "i4": "int", "u4": "unsigned int", "i8": "long long", "u8": "unsigned long long",
    "f4": "float", "f8": "double",
}  # fmt: skip
_THREADS = 256


def source_code() -> str:
    """Return the kernels' source."""
    return files(__package__).joinpath("kernels.cu").read_text()


def _c_name(dtype: np.dtype[Any]) -> str | None:
    return _TYPES.get(f"{dtype.kind}{dtype.itemsize}")


def defines(source: np.dtype[Any], out: np.dtype[Any], work: np.dtype[Any], taps: int) -> Any:
    """Return the names to define for a variant, as compilers take them; None where there is none.

    Examples
    --------
    >>> f4 = np.dtype("f4")
    >>> defines(f4, f4, f4, 2)
    ('-DSOURCE=float', '-DOUTPUT=float', '-DWORK=float', '-DTAPS=2', '-DINTEGER=0')
    """
    names = [_c_name(d) for d in (source, out, work)]
    if None in names:
        return None
    found = [f"-D{k}={n}" for k, n in zip(("SOURCE", "OUTPUT", "WORK"), names, strict=True)]
    found += [f"-DTAPS={taps}", f"-DINTEGER={int(out.kind in 'iu')}"]
    if out.kind in "iu":
        info = np.iinfo(out)
        end = "ULL" if out.kind == "u" else "LL"
        # The lowest 64-bit integer cannot be written as one literal.
        least = f"({info.min + 1}LL-1)" if info.min else "0ULL"
        found += [f"-DOMIN={least}", f"-DOMAX={info.max}{end}"]
    return tuple(found)


class _Affine(ctypes.Structure):
    """`Affine` of the source."""

    _fields_ = (
        ("matrix", ctypes.c_double * 9), ("offset", ctypes.c_double * 3),
        ("begin", ctypes.c_longlong * 3), ("shape", ctypes.c_longlong * 3),
        ("first", ctypes.c_int * 3), ("box", ctypes.c_int * 3), ("length", ctypes.c_int * 3),
        ("batch", ctypes.c_longlong), ("edge", ctypes.c_int),
    )  # fmt: skip


class _Tables(ctypes.Structure):
    """`Tables` of the source."""

    _fields_ = (
        ("around", ctypes.c_longlong * 4), ("from", ctypes.c_int * 3), ("to", ctypes.c_int * 3),
        ("taps", ctypes.c_int * 3),
    )  # fmt: skip


def _module() -> Any:
    import cupy

    return cupy


@cache
def _compiled(options: tuple[str, ...], _device: int) -> Any:
    """Return the compiled variant; one for each device that it is loaded on."""
    # Without fused products positions are those of the CPU, to the bit.
    return _module().RawModule(code=source_code(), options=("-std=c++17", "-fmad=false", *options))


def _launch(options: tuple[str, ...], name: str, count: int, arguments: tuple[Any, ...]) -> None:
    """Run a kernel over so many voxels."""
    kernel = _compiled(options, _module().cuda.runtime.getDevice()).get_function(name)
    kernel((min(-(-count // _THREADS), 1 << 30),), (_THREADS,), arguments)


def _sent(structure: ctypes.Structure) -> Any:
    """Return a structure as an array of bytes on the device."""
    return _module().asarray(np.frombuffer(bytes(structure), np.uint8))


def _work(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype("f4" if dtype.char == "f" else "f8")


def prefilter(value: Any, axis: int, poles: Sequence[float]) -> Any:
    """Make B-spline coefficients along one axis, by CuPy's own recursive filter."""
    if value.dtype.kind != "f":
        return None
    from cupyx.scipy.ndimage import spline_filter1d

    order = {1: 3, 2: 5}[len(poles)]
    return spline_filter1d(value, order, axis, output=value.dtype, mode="mirror")


def affine(
    coupled: CoupledAxes, value: Any, firsts: Sequence[int], ranges: Box, how: str, edge: bool,
    fill: Any, dtype: np.dtype[Any],
) -> Any:  # fmt: skip
    """Interpolate along the axes that a matrix mixes.

    Parameters
    ----------
    coupled : CoupledAxes
        The plan's coupled axes.
    value : array, shape (*batch, *box)
        The part of the source at hand.
    firsts : sequence of int
        Where it begins, along the coupled axes.
    ranges : Box
        Ranges of the output, along ``coupled.outs``.
    how, edge, fill
        As for `numpy_engine.affine`.
    dtype : numpy.dtype
        That of the output.

    Returns
    -------
    array, shape (*batch, *ranges), or None
    """
    k, m, dtype = len(coupled.sources), len(ranges), np.dtype(dtype)
    if (
        coupled.nonlinear is not None
        or how == "label"
        or not 1 <= m <= 3
        or k > 3
        or 0 in value.shape
    ):
        return None
    if dtype.kind == "c" and value.dtype.kind == "c" and dtype.itemsize in (8, 16):
        real = np.dtype(f"f{dtype.itemsize // 2}")
        parts = [affine(coupled, part, firsts, ranges, how, edge, ends, real) for part, ends in
                 ((value.real, fill.real), (value.imag, fill.imag))]  # fmt: skip
        return parts[0] + 1j * parts[1]
    xp = _module()
    source, out_type = value, dtype
    if how == "nearest" and dtype.kind != "f":  # the bits alone count
        out_type = np.dtype(f"u{dtype.itemsize}")
        source = xp.ascontiguousarray(value).view(out_type)
    options = defines(source.dtype, out_type, _work(value.dtype), kinds[how].taps)
    if options is None:
        return None
    shape = [b - a for a, b in ranges]
    batch = value.shape[: value.ndim - k]
    out = xp.empty((*batch, *shape), out_type)
    matrix = np.zeros((3, 3))
    matrix[3 - k :, 3 - m :] = np.array(coupled.matrix).reshape(k, m)
    given = _Affine(
        (ctypes.c_double * 9)(*matrix.ravel().tolist()),
        (ctypes.c_double * 3)(*[0.0] * (3 - k), *coupled.offset),
        (ctypes.c_longlong * 3)(*[0] * (3 - m), *[a for a, _ in ranges]),
        (ctypes.c_longlong * 3)(*[1] * (3 - m), *shape),
        (ctypes.c_int * 3)(*[0] * (3 - k), *firsts),
        (ctypes.c_int * 3)(*[1] * (3 - k), *value.shape[value.ndim - k :]),
        (ctypes.c_int * 3)(*[1] * (3 - k), *coupled.lengths),
        math.prod(batch), int(edge),
    )  # fmt: skip
    outside = xp.asarray(np.array([fill], dtype).view(out_type))
    arguments = (xp.ascontiguousarray(source), out, outside, _sent(given))
    _launch(options, "affine", math.prod(shape), arguments)
    return out.view(dtype)


def lines(value: Any, passes: Sequence[tuple[int, Table, int]], dtype: Any) -> Any:
    """Interpolate along several axes, each by a table.

    Parameters
    ----------
    value : array
        The source.
    passes : sequence of (axis, table, first voxel at hand)
        In the order in which they are best worked on one by one.
    dtype : numpy.dtype or None
        That of the output where nothing follows; else the type of the arithmetic is kept.

    Returns
    -------
    array or None
    """
    if value.dtype.kind == "c" or all(t.fraction is None and t.taps is None for _, t, _ in passes):
        return None
    work = _work(value.dtype)
    dtype = work if dtype is None else np.dtype(dtype)
    names = [_c_name(d) for d in (value.dtype, dtype)]
    if None in names or 0 in value.shape:
        return None
    found = [(axis, *_neighbours(table, first, work)) for axis, table, first in passes]
    # Two neighbours along each of three axes are read faster at once; more of them are not.
    together = 3 if max(index.shape[1] for _, index, _ in found) <= 2 else 1
    for i in range(0, len(found), together):
        last = i + together >= len(found)
        value = _tabled(value, found[i : i + together], work, dtype if last else work)
    return value


def _neighbours(table: Table, first: int, work: np.dtype[Any]) -> tuple[Any, Any]:
    """Return a table as indices and weights, each of shape (voxels, neighbours)."""
    if table.taps is not None and table.weights is not None:
        index, weight = table.taps, table.weights
    elif table.fraction is not None:
        index = np.stack([table.low, table.high], axis=1)
        weight = np.stack([1 - table.fraction, table.fraction], axis=1)
    else:
        index, weight = table.low[:, None], np.ones((len(table.low), 1))
    return (index - first).astype(np.int32), weight.astype(work)


def _tabled(
    value: Any, group: Sequence[tuple[int, Any, Any]], work: np.dtype[Any], dtype: np.dtype[Any]
) -> Any:
    """Weigh neighbours along up to three axes."""
    xp = _module()
    group = sorted(group, key=lambda one: one[0])
    shape = list(value.shape)
    # Axes that lack before the first are of length 1, each with itself as its neighbour.
    alone = np.zeros((1, 1), np.int32), np.ones((1, 1), work)
    entries = [*[alone] * (3 - len(group)), *[(index, weight) for _, index, weight in group]]
    axes = [axis for axis, _, _ in group]
    starts = [0, *[axis + 1 for axis in axes]]
    ends = [*axes, value.ndim]
    around = [math.prod(shape[a:b]) for a, b in zip(starts, ends, strict=True)]
    given = _Tables(
        (ctypes.c_longlong * 4)(*[1] * (3 - len(group)), *around),
        (ctypes.c_int * 3)(*[1] * (3 - len(group)), *[shape[a] for a in axes]),
        (ctypes.c_int * 3)(*[len(index) for index, _ in entries]),
        (ctypes.c_int * 3)(*[index.shape[1] for index, _ in entries]),
    )
    for axis, index, _ in group:
        shape[axis] = len(index)
    out = xp.empty(shape, dtype)
    sent = [xp.asarray(np.ascontiguousarray(a)) for entry in entries for a in entry]
    options = defines(value.dtype, dtype, work, 2)
    arguments = (xp.ascontiguousarray(value), out, _sent(given), *sent)
    _launch(options, "tables", out.size, arguments)
    return out
