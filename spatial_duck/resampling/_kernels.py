"""The compiled loops of `_numba_engine` that work along one axis, or only move values.

Arrays are flat. An offset names the element at index 0, and strides are in elements: `P`, `Q` and
`X` are lengths of loops, `p`, `q` and `x` their strides in the source, and `D`, `E` and `xd` those
in the destination; `ns` and `nd` are the strides along the axis that is interpolated. What the
values are is said in `_numpy_engine`.
"""
# mypy: allow-untyped-defs, allow-untyped-calls

from __future__ import annotations

import numpy as np

from spatial_duck.resampling._compiling import kept, put

__all__ = ["gather", "lerp_inner", "lerp_outer", "prefilter", "taps_inner", "taps_outer"]

#: Lines that the prefilter works on together: as many as make whole cache lines.
_LINES = 16


@kept
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


@kept
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


@kept
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


@kept
def taps_outer(src, so, dst, do, P, p, D, Q, q, E, ns, X, x, xd, index, weight, nd, acc):
    """Along an axis that is not the inner one: P × axis × Q × X; `acc` is a tile of sums."""
    M, W = weight.shape
    tile = len(acc)
    for ip in range(P):
        for m in range(M):
            for iq in range(Q):
                for x0 in range(0, X, tile):
                    n = min(X - x0, tile)
                    s0 = so + ip * p + iq * q + x0 * x
                    d0 = do + ip * D + m * nd + iq * E + x0 * xd
                    for i in range(n):
                        acc[i] = 0
                    for k in range(W):
                        w = weight[m, k]
                        if w == 0:
                            continue
                        a0 = s0 + index[m, k] * ns
                        if x == 1:
                            a = src[a0 : a0 + n]
                            for i in range(n):
                                acc[i] += w * a[i]
                        else:
                            for i in range(n):
                                acc[i] += w * src[a0 + i * x]
                    if xd == 1:
                        d = dst[d0 : d0 + n]
                        for i in range(n):
                            put(d, i, acc[i])
                    else:
                        for i in range(n):
                            put(dst, d0 + i * xd, acc[i])


@kept
def taps_inner(src, so, dst, do, P, p, D, Q, q, E, ns, index, weight, nd):
    """Along the inner axis: P × Q × axis."""
    M, W = weight.shape
    for ip in range(P):
        for iq in range(Q):
            a0 = so + ip * p + iq * q
            d0 = do + ip * D + iq * E
            for m in range(M):
                v = weight.dtype.type(0) * src[a0 + index[m, 0] * ns]
                for k in range(W):
                    w = weight[m, k]
                    if w != 0:
                        v += w * src[a0 + index[m, k] * ns]
                put(dst, d0 + m * nd, v)


@kept
def prefilter(src, so, dst, do, P, p, D, X, x, xd, n, ns, nd, poles, starts):
    """B-spline coefficients along an axis of length n: P × axis × X; see `_numpy_engine`."""
    c = np.empty((n, _LINES), np.float64)
    for ip in range(P):
        for x0 in range(0, X, _LINES):
            wide = min(X - x0, _LINES)
            a0, d0 = so + ip * p + x0 * x, do + ip * D + x0 * xd
            if ns == 1:
                for i in range(wide):
                    for m in range(n):
                        c[m, i] = src[a0 + m + i * x]
            else:
                for m in range(n):
                    for i in range(wide):
                        c[m, i] = src[a0 + m * ns + i * x]
            for pole in range(len(poles)):
                z = poles[pole]
                gain = (1 - z) * (1 - 1 / z)
                first = np.zeros(_LINES)
                for m in range(len(starts[pole])):
                    f = starts[pole, m]
                    if f == 0:
                        break
                    for i in range(_LINES):
                        first[i] += f * c[m, i]
                for i in range(_LINES):
                    c[0, i] = first[i] * gain
                for m in range(1, n):
                    for i in range(_LINES):
                        c[m, i] = gain * c[m, i] + z * c[m - 1, i]
                for i in range(_LINES):
                    c[n - 1, i] = (z / (z * z - 1)) * (c[n - 1, i] + z * c[n - 2, i])
                for m in range(n - 2, -1, -1):
                    for i in range(_LINES):
                        c[m, i] = z * (c[m + 1, i] - c[m, i])
            if nd == 1:
                for i in range(wide):
                    for m in range(n):
                        dst[d0 + m + i * xd] = c[m, i]
            else:
                for m in range(n):
                    for i in range(wide):
                        dst[d0 + m * nd + i * xd] = c[m, i]
