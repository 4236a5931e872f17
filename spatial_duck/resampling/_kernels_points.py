"""The compiled loops of `_numba_engine` that interpolate at points, nearest and linear.

Two drivers give positions to a tile, a few hundred at a time: `rows` those on straight rows, whose
part inside the source is worked out ahead, and `points` any others. A tile is a loop over such
positions, in buffers that are made once for all tiles; the type of `kind`, their first parameter,
chooses it from a table, to which `_kernels_wide` adds. What a kernel gets:

- `kind`: the interpolation, with what it needs to know.
- `src`, `dst`: flat arrays.
- `grid`: offset of index 0 in the source; strides and lengths of its three axes.
- `at`, `dx`: where each row begins in the destination, and the stride along it.
- `fill`, `far`: value outside; 0, or infinity where the outermost values go on for ever.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"
# ruff: noqa: ARG001  tiles are called alike

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from spatial_duck.resampling._compiling import kept, lift, part_exact, put

__all__ = ["KINDS", "TILE", "Linear", "Nearest", "Plane", "points", "rows"]

#: Positions of a tile. Arrays for several numbers of each hold these one tile after the other: the
#: compiler then sees that they do not overlap, without which it does not work on many at once.
TILE = 256
#: Stands for the place of a point whose neighbours are not all inside.
_APART = np.uint64(2**64 - 1)


class Nearest(NamedTuple):
    """The value of the nearest voxel."""

    bits: int


class Linear(NamedTuple):
    """Linear along three axes; `one` is an array of the type of the arithmetic."""

    one: Any


class Plane(NamedTuple):
    """Linear along the last two axes, the first one being of one voxel."""

    one: Any


#: By type of `kind`: a function that makes buffers, and the tile.
KINDS: dict[type, tuple[Any, Any]] = {}

_OPTIONS = {"nogil": True, "error_model": "numpy"}


def buffers(kind, src):
    """Make what a tile works in."""


def tile(kind, src, grid, dst, d, dx, p, n, scratch):
    """Write values at n positions to dst[d + k * dx]."""


@overload(buffers, jit_options=_OPTIONS)
def _buffers_overload(kind, src):
    return KINDS[kind.instance_class][0]


@overload(tile, jit_options=_OPTIONS)
def _tile_overload(kind, src, grid, dst, d, dx, p, n, scratch):
    return KINDS[kind.instance_class][1]


# --- drivers ----------------------------------------------------------------------------------


@part_exact
def inside(base, slope, low, high, start, stop):
    """Return the part of start..stop where low <= base + slope * i < high."""
    if slope == 0.0:
        if low <= base < high:
            return start, stop
        return start, start
    if slope > 0.0:
        first, last = (low - base) / slope, (high - base) / slope
    else:
        first, last = (high - base) / slope, (low - base) / slope
    i = np.int64(max(np.float64(start), min(np.float64(stop), np.floor(first) - 1.0)))
    j = np.int64(max(np.float64(start), min(np.float64(stop), np.ceil(last) + 2.0)))
    while i < j and not (low <= base + slope * i < high):
        i += 1
    while j > i and not (low <= base + slope * (j - 1) < high):
        j -= 1
    return i, j


@part_exact
def meet(first, second):
    """Return where two ranges overlap; an empty range at the first one's start if nowhere."""
    low, high = max(first[0], second[0]), min(first[1], second[1])
    if high < low:
        return first[0], first[0]
    return low, high


@kept
def rows(kind, src, grid, dst, at, dx, base, slope, start, stop, fill, far):
    """Rows of points: the position is base[r] + slope * i for i in start..stop."""
    s0, s1, s2 = slope
    n0, n1, n2 = grid[4:]
    p = np.empty(3 * TILE)
    scratch = buffers(kind, src)
    for r in range(len(at)):
        x0, x1, x2 = base[r, 0], base[r, 1], base[r, 2]
        i, j = meet(
            meet(inside(x0, s0, -0.5 - far, n0 - 0.5 + far, start, stop),
                 inside(x1, s1, -0.5 - far, n1 - 0.5 + far, start, stop)),
            inside(x2, s2, -0.5 - far, n2 - 0.5 + far, start, stop),
        )  # fmt: skip
        d = at[r] - start * dx
        for c in range(start, i):
            dst[d + c * dx] = fill
        for c in range(j, stop):
            dst[d + c * dx] = fill
        for c in range(i, j, TILE):
            n = min(TILE, j - c)
            for e in range(n):
                p[e] = x0 + s0 * (c + e)
                p[TILE + e] = x1 + s1 * (c + e)
                p[2 * TILE + e] = x2 + s2 * (c + e)
            if far > 0:
                clamp(p, n, n0, n1, n2)
            tile(kind, src, grid, dst, d + c * dx, dx, p, n, scratch)


@kept
def points(kind, src, grid, dst, at, dx, where, steps, count, fill, far):
    """Rows of `count` points each, whose positions follow each other in three arrays.

    A step of 0 says that an axis has one position for all.
    """
    q0, q1, q2 = where
    m0, m1, m2 = steps
    n0, n1, n2 = grid[4:]
    p = np.empty(3 * TILE)
    scratch = buffers(kind, src)
    for r in range(len(at)):
        for c in range(0, count, TILE):
            n = min(TILE, count - c)
            g = r * count + c
            d = at[r] + c * dx
            for e in range(n):
                p[e] = q0[(g + e) * m0]
                p[TILE + e] = q1[(g + e) * m1]
                p[2 * TILE + e] = q2[(g + e) * m2]
            if far > 0:
                clamp(p, n, n0, n1, n2)
            # One tile after the other of those that lie inside without a gap.
            a = 0
            while a < n:
                b = a
                while b < n and (
                    -0.5 <= p[b] < n0 - 0.5 and -0.5 <= p[TILE + b] < n1 - 0.5
                    and -0.5 <= p[2 * TILE + b] < n2 - 0.5
                ):  # fmt: skip
                    b += 1
                if a > 0:
                    for e in range(b - a):
                        p[e] = p[a + e]
                        p[TILE + e] = p[TILE + a + e]
                        p[2 * TILE + e] = p[2 * TILE + a + e]
                if b > a:
                    tile(kind, src, grid, dst, d + a * dx, dx, p, b - a, scratch)
                if b < n:
                    dst[d + b * dx] = fill
                a = b + 1


@part_exact
def clamp(p, n, n0, n1, n2):
    """Clamp positions to the outermost voxels."""
    for e in range(n):
        p[e] = min(max(p[e], 0.0), n0 - 1.0)
        p[TILE + e] = min(max(p[TILE + e], 0.0), n1 - 1.0)
        p[2 * TILE + e] = min(max(p[2 * TILE + e], 0.0), n2 - 1.0)


# --- nearest ----------------------------------------------------------------------------------


def _places(kind, src):
    return np.empty(TILE, np.int64)


def _nearest(kind, src, grid, dst, d, dx, p, n, scratch):
    so, t0, t1, t2, n0, n1, n2 = grid
    for k in range(n):
        l0 = min(max(np.int64(np.floor(p[k] + 0.5)), 0), n0 - 1)
        l1 = min(max(np.int64(np.floor(p[TILE + k] + 0.5)), 0), n1 - 1)
        l2 = min(max(np.int64(np.floor(p[2 * TILE + k] + 0.5)), 0), n2 - 1)
        scratch[k] = so + l0 * t0 + l1 * t1 + l2 * t2
    for k in range(n):
        dst[d + k * dx] = src[np.uint64(scratch[k])]


# --- linear -----------------------------------------------------------------------------------


def _places_and_fractions(kind, src):
    real = kind.one.dtype
    return np.empty(TILE, np.uint64), np.empty(3 * TILE, real)


@part_exact
def _clamped(x, n):
    """Return lower and higher neighbour and fraction of a position, clamped to 0..n-1."""
    if x <= 0.0:
        return 0, 0, 0.0
    if x >= n - 1:
        return n - 1, n - 1, 0.0
    low = np.int64(x)
    f = x - low
    return low, low + (1 if f > 0 else 0), f


@part_exact
def _linear_at(src, grid, y0, y1, y2, one):
    """Return the value at one point, near the ends too; neighbours without weight have no part."""
    so, t0, t1, t2, n0, n1, n2 = grid
    real = one.dtype.type
    l0, h0, g0 = _clamped(y0, n0)
    l1, h1, g1 = _clamped(y1, n1)
    l2, h2, g2 = _clamped(y2, n2)
    f0, f1, f2 = real(g0), real(g1), real(g2)
    p, e = so + l2 * t2, (h2 - l2) * t2
    q = p + l0 * t0 + l1 * t1
    a = lift(src[q], one)
    a = a + f2 * (lift(src[q + e], one) - a)
    q = p + l0 * t0 + h1 * t1
    b = lift(src[q], one)
    b = b + f2 * (lift(src[q + e], one) - b)
    a = a + f1 * (b - a)
    q = p + h0 * t0 + l1 * t1
    b = lift(src[q], one)
    b = b + f2 * (lift(src[q + e], one) - b)
    q = p + h0 * t0 + h1 * t1
    g = lift(src[q], one)
    g = g + f2 * (lift(src[q + e], one) - g)
    b = b + f1 * (g - b)
    return a + f0 * (b - a)


def _linear(kind, src, grid, dst, d, dx, p, n, scratch):
    so, t0, t1, t2, n0, n1, n2 = grid
    place, f = scratch
    one = kind.one
    real = one.dtype.type
    z0, z1, z2 = np.uint64(t0), np.uint64(t1), np.uint64(t2)
    # Where to look, for many points at once; then what is there, point by point.
    for k in range(n):
        y0, y1, y2 = p[k], p[TILE + k], p[2 * TILE + k]
        l0, l1, l2 = np.int64(y0), np.int64(y1), np.int64(y2)
        f[k] = real(y0 - l0)
        f[TILE + k] = real(y1 - l1)
        f[2 * TILE + k] = real(y2 - l2)
        within = (y0 >= 0) & (y1 >= 0) & (y2 >= 0) & (l0 < n0 - 1) & (l1 < n1 - 1) & (l2 < n2 - 1)
        place[k] = np.uint64(so + l0 * t0 + l1 * t1 + l2 * t2) if within else _APART
    for k in range(n):
        q = place[k]
        if q != _APART:
            f0, f1, f2 = f[k], f[TILE + k], f[2 * TILE + k]
            u = lift(src[q], one)
            u = u + f2 * (lift(src[q + z2], one) - u)
            v = lift(src[q + z1], one)
            v = v + f2 * (lift(src[q + z1 + z2], one) - v)
            u = u + f1 * (v - u)
            v = lift(src[q + z0], one)
            v = v + f2 * (lift(src[q + z0 + z2], one) - v)
            w = lift(src[q + z0 + z1], one)
            w = w + f2 * (lift(src[q + z0 + z1 + z2], one) - w)
            v = v + f1 * (w - v)
            u = u + f0 * (v - u)
            if u == u:  # else a NaN, maybe of a neighbour without weight
                put(dst, d + k * dx, u)
                continue
        put(dst, d + k * dx, _linear_at(src, grid, p[k], p[TILE + k], p[2 * TILE + k], one))


def _plane(kind, src, grid, dst, d, dx, p, n, scratch):
    """Linear along the last two axes, the first one being of one voxel."""
    so, _, t1, t2, _, n1, n2 = grid
    place, f = scratch
    one = kind.one
    real = one.dtype.type
    z1, z2 = np.uint64(t1), np.uint64(t2)
    for k in range(n):
        y1, y2 = p[TILE + k], p[2 * TILE + k]
        l1, l2 = np.int64(y1), np.int64(y2)
        f[k] = real(y1 - l1)
        f[TILE + k] = real(y2 - l2)
        within = (y1 >= 0) & (y2 >= 0) & (l1 < n1 - 1) & (l2 < n2 - 1)
        place[k] = np.uint64(so + l1 * t1 + l2 * t2) if within else _APART
    for k in range(n):
        q = place[k]
        if q != _APART:
            f1, f2 = f[k], f[TILE + k]
            u = lift(src[q], one)
            u = u + f2 * (lift(src[q + z2], one) - u)
            v = lift(src[q + z1], one)
            v = v + f2 * (lift(src[q + z1 + z2], one) - v)
            u = u + f1 * (v - u)
            if u == u:
                put(dst, d + k * dx, u)
                continue
        put(dst, d + k * dx, _linear_at(src, grid, p[k], p[TILE + k], p[2 * TILE + k], one))


KINDS.update({
    Nearest: (_places, _nearest), Linear: (_places_and_fractions, _linear),
    Plane: (_places_and_fractions, _plane),
})  # fmt: skip
