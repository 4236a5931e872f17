"""The compiled loops of `numba_engine`.

Arrays are flat. An offset names the element at index 0, and strides are in elements: `P`, `Q` and
`X` are lengths of loops, `p`, `q` and `x` their strides in the source, and `D`, `E` and `xd` those
in the destination; `ns` and `nd` are the strides along the axis that is interpolated. What the
values are is said in `numpy_engine`.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"
# ruff: noqa: ARG001

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.extending import overload

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "clamped",
    "fused",
    "gather",
    "inline",
    "inside",
    "jit",
    "lerp_inner",
    "lerp_outer",
    "linear2",
    "linear3",
    "linear_at",
    "meet",
    "nearest3",
    "put",
]

F = TypeVar("F", bound="Callable[..., Any]")


def jit(function: F) -> F:
    """Compile a kernel; it is kept on disk and releases the interpreter lock."""
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
    return compiled


def fused(function: F) -> F:
    """Compile a loop whose products and sums may be rounded together."""
    compiled: F = numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(
        function
    )
    return compiled


def inline(function: F) -> F:
    """Compile a part of kernels into them."""
    compiled: F = numba.njit(inline="always", nogil=True, error_model="numpy")(function)
    return compiled


def put(out: Any, i: Any, value: Any) -> None:
    """Write a value, rounded and saturated where `out` holds integers."""


@overload(put, inline="always")
def _put_overload(out: Any, i: Any, value: Any) -> Any:
    if isinstance(out.dtype, types.Integer):
        top, bottom = out.dtype.maxval, out.dtype.minval
        high, low = float(top), float(bottom)
        kind = np.dtype(out.dtype.name).type

        if out.dtype.bitwidth <= 32:

            def put_small(out: Any, i: Any, value: Any) -> None:
                # Added to 1.5 · 2**52 a number has no digits left behind the point.
                r = np.int64((value + 6755399441055744.0) - 6755399441055744.0)
                out[i] = kind(min(max(r, bottom), top))

            return put_small

        def put_whole(out: Any, i: Any, value: Any) -> None:
            r = np.rint(value)
            if r >= high:
                out[i] = kind(top)
            elif r <= low:
                out[i] = kind(bottom)
            else:
                out[i] = kind(r)

        return put_whole

    def put_same(out: Any, i: Any, value: Any) -> None:
        out[i] = value

    return put_same


@jit
def lerp_outer(src, so, dst, do, P, p, D, Q, q, E, ns, X, x, xd, low, high, frac, nd):
    """Along an axis that is not the inner one: P × axis × Q × X, strides p, ns, q, x."""
    one = frac.dtype.type(1)
    for ip in range(P):
        for m in range(len(low)):
            f = frac[m]
            for iq in range(Q):
                a0 = so + ip * p + low[m] * ns + iq * q
                b0 = so + ip * p + high[m] * ns + iq * q
                d0 = do + ip * D + m * nd + iq * E
                if x == 1 and xd == 1:
                    a = src[a0 : a0 + X]
                    d = dst[d0 : d0 + X]
                    if f == 0:
                        for i in range(X):
                            put(d, i, a[i] * one)
                    else:
                        b = src[b0 : b0 + X]
                        for i in range(X):
                            v = a[i] * one
                            put(d, i, v + f * (b[i] * one - v))
                elif f == 0:
                    for i in range(X):
                        put(dst, d0 + i * xd, src[a0 + i * x] * one)
                else:
                    for i in range(X):
                        v = src[a0 + i * x] * one
                        put(dst, d0 + i * xd, v + f * (src[b0 + i * x] * one - v))


@jit
def lerp_inner(src, so, dst, do, P, p, D, Q, q, E, ns, low, high, frac, nd):
    """Along the inner axis: P × Q × axis."""
    one = frac.dtype.type(1)
    M = len(low)
    for ip in range(P):
        for iq in range(Q):
            a0 = so + ip * p + iq * q
            d0 = do + ip * D + iq * E
            for m in range(M):
                v = src[a0 + low[m] * ns] * one
                f = frac[m]
                w = v + f * (src[a0 + high[m] * ns] * one - v)
                if f == 0:
                    w = v
                put(dst, d0 + m * nd, w)


@jit
def gather(src, so, dst, do, i0, i1, i2, d0, d1, d2, X, x, xd):
    """Three tables of source offsets, and X neighbours that are taken together."""
    for a in range(len(i0)):
        for b in range(len(i1)):
            s = so + i0[a] + i1[b]
            d = do + a * d0 + b * d1
            if X == 1:
                for c in range(len(i2)):
                    dst[d + c * d2] = src[s + i2[c]]
            else:
                for c in range(len(i2)):
                    for i in range(X):
                        dst[d + c * d2 + i * xd] = src[s + i2[c] + i * x]


@inline
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


@inline
def meet(a, b, c, d):
    """Return where two ranges overlap; an empty range at the first one's start if nowhere."""
    first, last = max(a, c), min(b, d)
    if last < first:
        return a, a
    return first, last


@inline
def clamped(x, n):
    """Return lower and higher neighbour and fraction of a position, clamped to 0..n-1."""
    if x <= 0.0:
        return 0, 0, 0.0
    if x >= n - 1:
        return n - 1, n - 1, 0.0
    low = np.int64(x)
    f = x - low
    return low, low + (1 if f > 0 else 0), f


@fused
def linear_at(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, unit):
    """Return the value at one point, near the ends too; neighbours without weight have no part."""
    one, real = unit[0], unit.dtype.type
    l0, h0, g0 = clamped(y0, n0)
    l1, h1, g1 = clamped(y1, n1)
    l2, h2, g2 = clamped(y2, n2)
    f0, f1, f2 = real(g0), real(g1), real(g2)
    p, e = so + l2 * t2, (h2 - l2) * t2
    q = p + l0 * t0 + l1 * t1
    a = src[q] * one
    a = a + f2 * (src[q + e] * one - a)
    q = p + l0 * t0 + h1 * t1
    b = src[q] * one
    b = b + f2 * (src[q + e] * one - b)
    a = a + f1 * (b - a)
    q = p + h0 * t0 + l1 * t1
    b = src[q] * one
    b = b + f2 * (src[q + e] * one - b)
    q = p + h0 * t0 + h1 * t1
    g = src[q] * one
    g = g + f2 * (src[q + e] * one - g)
    b = b + f1 * (g - b)
    return a + f0 * (b - a)


@fused
def linear3(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, rows, s0, s1, s2, start, stop, fill, far,
            unit):  # fmt: skip
    """Rows of points through three axes; `at` holds where each row begins in dst.

    `unit` holds a 1 of the type of the arithmetic.
    """
    one, real = unit[0], unit.dtype.type
    z0, z1, z2 = np.uint64(t0), np.uint64(t1), np.uint64(t2)
    for r in range(len(at)):
        x0, x1, x2 = rows[r, 0], rows[r, 1], rows[r, 2]
        i, j = inside(x0, s0, -0.5 - far, n0 - 0.5 + far, start, stop)
        k, m = inside(x1, s1, -0.5 - far, n1 - 0.5 + far, start, stop)
        i, j = meet(i, j, k, m)
        k, m = inside(x2, s2, -0.5 - far, n2 - 0.5 + far, start, stop)
        i, j = meet(i, j, k, m)
        u, v = inside(x0, s0, 0.0, n0 - 1.0, i, j)
        k, m = inside(x1, s1, 0.0, n1 - 1.0, i, j)
        u, v = meet(u, v, k, m)
        k, m = inside(x2, s2, 0.0, n2 - 1.0, i, j)
        u, v = meet(u, v, k, m)
        d = at[r] - start * dx
        for c in range(start, i):
            dst[d + c * dx] = fill
        for c in range(j, stop):
            dst[d + c * dx] = fill
        for half in range(2):
            for c in range(i if half == 0 else v, u if half == 0 else j):
                y0, y1, y2 = x0 + s0 * c, x1 + s1 * c, x2 + s2 * c
                put(dst, d + c * dx,
                    linear_at(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, unit))  # fmt: skip
        for c in range(u, v):
            y0 = x0 + s0 * c
            y1 = x1 + s1 * c
            y2 = x2 + s2 * c
            l0, l1, l2 = np.int64(y0), np.int64(y1), np.int64(y2)
            f0, f1, f2 = real(y0 - l0), real(y1 - l1), real(y2 - l2)
            q = np.uint64(so + l0 * t0 + l1 * t1 + l2 * t2)
            a = src[q] * one
            a = a + f2 * (src[q + z2] * one - a)
            b = src[q + z1] * one
            b = b + f2 * (src[q + z1 + z2] * one - b)
            a = a + f1 * (b - a)
            b = src[q + z0] * one
            b = b + f2 * (src[q + z0 + z2] * one - b)
            g = src[q + z0 + z1] * one
            g = g + f2 * (src[q + z0 + z1 + z2] * one - g)
            b = b + f1 * (g - b)
            value = a + f0 * (b - a)
            if value != value:  # a NaN, maybe of a neighbour without weight
                value = linear_at(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, unit)
            put(dst, d + c * dx, value)


@fused
def linear2(src, so, t1, t2, n1, n2, dst, at, dx, rows, s1, s2, start, stop, fill, far, unit):
    """Rows of points through two axes."""
    one, real = unit[0], unit.dtype.type
    z1, z2 = np.uint64(t1), np.uint64(t2)
    for r in range(len(at)):
        x1, x2 = rows[r, 0], rows[r, 1]
        i, j = inside(x1, s1, -0.5 - far, n1 - 0.5 + far, start, stop)
        k, m = inside(x2, s2, -0.5 - far, n2 - 0.5 + far, start, stop)
        i, j = meet(i, j, k, m)
        u, v = inside(x1, s1, 0.0, n1 - 1.0, i, j)
        k, m = inside(x2, s2, 0.0, n2 - 1.0, i, j)
        u, v = meet(u, v, k, m)
        d = at[r] - start * dx
        for c in range(start, i):
            dst[d + c * dx] = fill
        for c in range(j, stop):
            dst[d + c * dx] = fill
        for half in range(2):
            for c in range(i if half == 0 else v, u if half == 0 else j):
                y1, y2 = x1 + s1 * c, x2 + s2 * c
                put(dst, d + c * dx,
                    linear_at(src, so, 0, t1, t2, 1, n1, n2, 0.0, y1, y2, unit))  # fmt: skip
        for c in range(u, v):
            y1 = x1 + s1 * c
            y2 = x2 + s2 * c
            l1, l2 = np.int64(y1), np.int64(y2)
            f1, f2 = real(y1 - l1), real(y2 - l2)
            q = np.uint64(so + l1 * t1 + l2 * t2)
            a = src[q] * one
            a = a + f2 * (src[q + z2] * one - a)
            b = src[q + z1] * one
            b = b + f2 * (src[q + z1 + z2] * one - b)
            value = a + f1 * (b - a)
            if value != value:
                value = linear_at(src, so, 0, t1, t2, 1, n1, n2, 0.0, y1, y2, unit)
            put(dst, d + c * dx, value)


@jit
def nearest3(
    src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, rows, s0, s1, s2, start, stop, fill, far,
):  # fmt: skip
    """Rows of points through three axes, each the value of the nearest voxel."""
    for r in range(len(at)):
        x0, x1, x2 = rows[r, 0], rows[r, 1], rows[r, 2]
        i, j = inside(x0, s0, -0.5 - far, n0 - 0.5 + far, start, stop)
        k, m = inside(x1, s1, -0.5 - far, n1 - 0.5 + far, start, stop)
        i, j = meet(i, j, k, m)
        k, m = inside(x2, s2, -0.5 - far, n2 - 0.5 + far, start, stop)
        i, j = meet(i, j, k, m)
        d = at[r] - start * dx
        for c in range(start, i):
            dst[d + c * dx] = fill
        for c in range(j, stop):
            dst[d + c * dx] = fill
        if far == 0:  # positions from -0.5 on: what is cut off is what floor takes away
            q = np.uint64(so)
            for c in range(i, j):
                l0 = min(np.int64(x0 + s0 * c + 0.5), n0 - 1)
                l1 = min(np.int64(x1 + s1 * c + 0.5), n1 - 1)
                l2 = min(np.int64(x2 + s2 * c + 0.5), n2 - 1)
                dst[d + c * dx] = src[q + np.uint64(l0 * t0 + l1 * t1 + l2 * t2)]
            continue
        for c in range(i, j):
            l0 = min(max(np.int64(np.floor(x0 + s0 * c + 0.5)), 0), n0 - 1)
            l1 = min(max(np.int64(np.floor(x1 + s1 * c + 0.5)), 0), n1 - 1)
            l2 = min(max(np.int64(np.floor(x2 + s2 * c + 0.5)), 0), n2 - 1)
            dst[d + c * dx] = src[so + l0 * t0 + l1 * t1 + l2 * t2]
