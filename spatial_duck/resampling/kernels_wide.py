"""The compiled loops of `numba_engine` that look at many neighbours, or at points of any kind.

Arrays and letters are those of `kernels`. Loops that look at a fixed number of neighbours are made
by a function, once for each number, so that the innermost one is unrolled.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"

from __future__ import annotations

import math

import numpy as np

from spatial_duck.resampling.kernels import clamped, fused, inline, inside, jit, meet, put

__all__ = [
    "points",
    "points_label",
    "points_linear",
    "points_nearest",
    "prefilter",
    "rows",
    "taps_inner",
    "taps_outer",
]

#: Lines that the prefilter works on together: as many as make whole cache lines.
_LINES = 16


@jit
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


@jit
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


@jit
def prefilter(src, so, dst, do, P, p, D, X, x, xd, n, ns, nd, poles, starts):
    """B-spline coefficients along an axis of length n: P × axis × X; see `numpy_engine`."""
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


# --- many neighbours ------------------------------------------------------------------------

_SIXTH = 1.0 / 6.0


@fused
def _cubic(f, w):
    g = 1.0 - f
    w[0] = g * g * g * _SIXTH
    w[1] = (4 - 6 * f * f + 3 * f * f * f) * _SIXTH
    w[2] = (4 - 6 * g * g + 3 * g * g * g) * _SIXTH
    w[3] = f * f * f * _SIXTH


@fused
def _quintic(f, w):
    g = 1.0 - f
    f2, g2 = f * f, g * g
    w[0] = g2 * g2 * g / 120
    w[5] = f2 * f2 * f / 120
    t, u = 1 + f, 1 + g
    w[1] = 17 / 40 + t * (5 / 8 + t * (-7 / 4 + t * (5 / 4 + t * (-3 / 8 + t / 24))))
    w[4] = 17 / 40 + u * (5 / 8 + u * (-7 / 4 + u * (5 / 4 + u * (-3 / 8 + u / 24))))
    w[2] = 11 / 20 + f2 * (-1 / 2 + f2 * (1 / 4 - f / 12))
    w[3] = 11 / 20 + g2 * (-1 / 2 + g2 * (1 / 4 - g / 12))


@fused
def _lanczos(f, w):
    if f == 0:
        for k in range(10):
            w[k] = 0.0
        w[4] = 1.0
    else:
        total = 0.0
        sine = math.sin(math.pi * f)
        for k in range(10):
            t = f - (k - 4)
            # sin(π (f - k)) is that of f but for its sign.
            w[k] = (sine if k % 2 == 0 else -sine) * math.sin(math.pi * t / 5) / (t * t)
            total += w[k]
        for k in range(10):
            w[k] /= total


@inline
def _four(f):
    g = 1.0 - f
    return (
        g * g * g * _SIXTH,
        (4 - 6 * f * f + 3 * f * f * f) * _SIXTH,
        (4 - 6 * g * g + 3 * g * g * g) * _SIXTH,
        f * f * f * _SIXTH,
    )


@inline
def _cube(src, q, z0, z1, f0, f1, f2):
    """Return the cubic value in 4 × 4 × 4 neighbours, the last four of them side by side."""
    zero = src.dtype.type(0) * 1.0
    a, b, c, d = zero, zero, zero, zero
    w1 = _four(f1)
    for w in _four(f0):
        p = q
        for v in w1:
            # Four sums, so that none has to wait for the other.
            e = w * v
            a += e * src[p]
            b += e * src[p + np.uint64(1)]
            c += e * src[p + np.uint64(2)]
            d += e * src[p + np.uint64(3)]
            p += z1
        q += z0
    k0, k1, k2, k3 = _four(f2)
    return a * k0 + b * k1 + c * k2 + d * k3


@inline
def _six(f):
    g = 1.0 - f
    f2, g2, t, u = f * f, g * g, 1.0 + f, 2.0 - f
    return (
        g2 * g2 * g * (1 / 120),
        17 / 40 + t * (5 / 8 + t * (-7 / 4 + t * (5 / 4 + t * (-3 / 8 + t * (1 / 24))))),
        11 / 20 + f2 * (-1 / 2 + f2 * (1 / 4 - f * (1 / 12))),
        11 / 20 + g2 * (-1 / 2 + g2 * (1 / 4 - g * (1 / 12))),
        17 / 40 + u * (5 / 8 + u * (-7 / 4 + u * (5 / 4 + u * (-3 / 8 + u * (1 / 24))))),
        f2 * f2 * f * (1 / 120),
    )


@inline
def _cube6(src, q, z0, z1, f0, f1, f2):
    """Return the quintic value in 6 × 6 × 6 neighbours, the last six of them side by side."""
    zero = src.dtype.type(0) * 1.0
    a, b, c, d, g, h = zero, zero, zero, zero, zero, zero
    w1 = _six(f1)
    for w in _six(f0):
        p = q
        for v in w1:
            e = w * v
            a += e * src[p]
            b += e * src[p + np.uint64(1)]
            c += e * src[p + np.uint64(2)]
            d += e * src[p + np.uint64(3)]
            g += e * src[p + np.uint64(4)]
            h += e * src[p + np.uint64(5)]
            p += z1
        q += z0
    k0, k1, k2, k3, k4, k5 = _six(f2)
    return a * k0 + b * k1 + c * k2 + d * k3 + g * k4 + h * k5


@inline
def _none(src, q, z0, z1, f0, f1, f2):  # noqa: ARG001  the parameters of its kind
    """Stand for what there is no fast loop for."""
    return src.dtype.type(0) * 1.0


def _make(taps, weigh, mirror, cube, lowest):
    """Make the loops over rows and over points for a number of neighbours."""
    half = taps // 2

    @fused
    def axis(x, n, t, w, at):
        """Set the weights and the source offsets of the neighbours along one axis."""
        floor = np.floor(x)
        weigh(x - floor, w)
        low = np.int64(floor) - half + 1
        if low >= 0 and low + taps <= n:
            for k in range(taps):
                at[k] = (low + k) * t
        else:
            for k in range(taps):
                i = low + k
                if mirror:
                    i = abs(i) % (2 * (n - 1))
                    at[k] = min(i, 2 * (n - 1) - i) * t
                else:
                    at[k] = min(max(i, 0), n - 1) * t

    @fused
    def value(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, w0, w1, w2, i0, i1, i2):
        # Along an axis of one voxel all neighbours are that one.
        A, B, C = taps if n0 > 1 else 1, taps if n1 > 1 else 1, taps if n2 > 1 else 1
        if A > 1:
            axis(y0, n0, t0, w0, i0)
        if B > 1:
            axis(y1, n1, t1, w1, i1)
        if C > 1:
            axis(y2, n2, t2, w2, i2)
        zero = src.dtype.type(0) * 1.0
        straight = t2 == 1 and C > 1 and i2[taps - 1] - i2[0] == taps - 1
        straight = straight and w2[taps - 1] != 0 and w2[0] != 0
        acc = zero
        for a in range(A):
            if w0[a] == 0:
                continue
            part = zero
            for b in range(B):
                if w1[b] == 0:
                    continue
                p = so + i0[a] + i1[b]
                v = zero
                if straight:
                    q = np.uint64(p + i2[0])
                    for e in range(taps):
                        v += src[q + np.uint64(e)] * w2[e]
                else:
                    for e in range(C):
                        if w2[e] != 0:
                            v += src[p + i2[e]] * w2[e]
                part += w1[b] * v
            acc += w0[a] * part
        return acc

    @fused
    def rows(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, base, s0, s1, s2, start, stop, fill,
             far):  # fmt: skip
        w0, w1, w2 = np.ones(taps), np.ones(taps), np.ones(taps)
        i0, i1, i2 = np.zeros(taps, np.int64), np.zeros(taps, np.int64), np.zeros(taps, np.int64)
        for r in range(len(at)):
            x0, x1, x2 = base[r, 0], base[r, 1], base[r, 2]
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
            for c in range(i, j):
                y0, y1, y2 = x0 + s0 * c, x1 + s1 * c, x2 + s2 * c
                if far > 0:
                    y0 = min(max(y0, 0.0), n0 - 1.0)
                    y1 = min(max(y1, 0.0), n1 - 1.0)
                    y2 = min(max(y2, 0.0), n2 - 1.0)
                l0, l1, l2 = np.floor(y0), np.floor(y1), np.floor(y2)
                if (
                    t2 == 1 and l0 >= lowest and l1 >= lowest and l2 >= lowest
                    and l0 < n0 - half and l1 < n1 - half and l2 < n2 - half
                    and l0 != y0 and l1 != y1 and l2 != y2
                ):  # fmt: skip
                    q = np.uint64(
                        so
                        + (np.int64(l0) - lowest) * t0
                        + (np.int64(l1) - lowest) * t1
                        + np.int64(l2)
                        - lowest
                    )
                    put(dst, d + c * dx, cube(src, q, np.uint64(t0), np.uint64(t1), y0 - l0,
                                              y1 - l1, y2 - l2))  # fmt: skip
                    continue
                found = value(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, w0, w1, w2, i0, i1, i2)
                put(dst, d + c * dx, found)

    @fused
    def points(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, p0, p1, p2, m0, m1, m2, count, fill,
               far):  # fmt: skip
        w0, w1, w2 = np.ones(taps), np.ones(taps), np.ones(taps)
        i0, i1, i2 = np.zeros(taps, np.int64), np.zeros(taps, np.int64), np.zeros(taps, np.int64)
        for r in range(len(at)):
            for c in range(count):
                g = r * count + c
                y0, y1, y2 = p0[g * m0], p1[g * m1], p2[g * m2]
                if far == 0 and not (
                    -0.5 <= y0 < n0 - 0.5 and -0.5 <= y1 < n1 - 0.5 and -0.5 <= y2 < n2 - 0.5
                ):
                    dst[at[r] + c * dx] = fill
                    continue
                if far > 0:
                    y0 = min(max(y0, 0.0), n0 - 1.0)
                    y1 = min(max(y1, 0.0), n1 - 1.0)
                    y2 = min(max(y2, 0.0), n2 - 1.0)
                found = value(src, so, t0, t1, t2, n0, n1, n2, y0, y1, y2, w0, w1, w2, i0, i1, i2)
                put(dst, at[r] + c * dx, found)

    return rows, points


_LOOPS = {
    "cubic": _make(4, _cubic, True, _cube, 1),
    "quintic": _make(6, _quintic, True, _cube6, 2),
    "lanczos": _make(10, _lanczos, False, _none, 1 << 62),
}
#: Loops over straight rows, and over any points, by interpolation.
rows = {name: loops[0] for name, loops in _LOOPS.items()}
points = {name: loops[1] for name, loops in _LOOPS.items()}


# --- any points -----------------------------------------------------------------------------


@jit
def points_linear(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, p0, p1, p2, m0, m1, m2, count,
                  fill, far):  # fmt: skip
    """Rows of points, each with a position of its own."""
    for r in range(len(at)):
        for c in range(count):
            g = r * count + c
            y0, y1, y2 = p0[g * m0], p1[g * m1], p2[g * m2]
            if far == 0 and not (
                -0.5 <= y0 < n0 - 0.5 and -0.5 <= y1 < n1 - 0.5 and -0.5 <= y2 < n2 - 0.5
            ):
                dst[at[r] + c * dx] = fill
                continue
            l0, h0, f0 = clamped(y0, n0)
            l1, h1, f1 = clamped(y1, n1)
            l2, h2, f2 = clamped(y2, n2)
            p, e = so + l2 * t2, (h2 - l2) * t2
            q = p + l0 * t0 + l1 * t1
            a = src[q] * 1.0
            a = a + f2 * (src[q + e] * 1.0 - a)
            q = p + l0 * t0 + h1 * t1
            b = src[q] * 1.0
            b = b + f2 * (src[q + e] * 1.0 - b)
            a = a + f1 * (b - a)
            q = p + h0 * t0 + l1 * t1
            b = src[q] * 1.0
            b = b + f2 * (src[q + e] * 1.0 - b)
            q = p + h0 * t0 + h1 * t1
            v = src[q] * 1.0
            v = v + f2 * (src[q + e] * 1.0 - v)
            b = b + f1 * (v - b)
            put(dst, at[r] + c * dx, a + f0 * (b - a))


@jit
def points_nearest(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, p0, p1, p2, m0, m1, m2, count,
                   fill, far):  # fmt: skip
    """Rows of points, each the value of the nearest voxel."""
    for r in range(len(at)):
        for c in range(count):
            g = r * count + c
            y0, y1, y2 = p0[g * m0], p1[g * m1], p2[g * m2]
            if far == 0 and not (
                -0.5 <= y0 < n0 - 0.5 and -0.5 <= y1 < n1 - 0.5 and -0.5 <= y2 < n2 - 0.5
            ):
                dst[at[r] + c * dx] = fill
                continue
            l0 = min(max(np.int64(np.floor(y0 + 0.5)), 0), n0 - 1)
            l1 = min(max(np.int64(np.floor(y1 + 0.5)), 0), n1 - 1)
            l2 = min(max(np.int64(np.floor(y2 + 0.5)), 0), n2 - 1)
            dst[at[r] + c * dx] = src[so + l0 * t0 + l1 * t1 + l2 * t2]


@inline
def _triangle(y, n, r, w, at, t):
    """Set weights that fall to 0 at r, and source offsets; return how many are not 0."""
    y = min(max(y, 0.0), n - 1.0)
    low = np.int64(np.ceil(y - r))
    count = 0
    for i in range(low, np.int64(np.floor(y + r)) + 1):
        v = 1 - abs(y - i) / r
        if v > 0:
            w[count] = v
            at[count] = min(max(i, 0), n - 1) * t
            count += 1
    return count


@jit
def points_label(src, so, t0, t1, t2, n0, n1, n2, dst, at, dx, p0, p1, p2, m0, m1, m2, count,
                 fill, far, r0, r1, r2):  # fmt: skip
    """Rows of points, each the value that has most of the weight around it."""
    k0, k1, k2 = 2 * np.int64(r0) + 3, 2 * np.int64(r1) + 3, 2 * np.int64(r2) + 3
    w0, w1, w2 = np.empty(k0), np.empty(k1), np.empty(k2)
    i0, i1, i2 = np.empty(k0, np.int64), np.empty(k1, np.int64), np.empty(k2, np.int64)
    labels, shares = np.empty(k0 * k1 * k2, src.dtype), np.empty(k0 * k1 * k2)
    for r in range(len(at)):
        for c in range(count):
            g = r * count + c
            y0, y1, y2 = p0[g * m0], p1[g * m1], p2[g * m2]
            if far == 0 and not (
                -0.5 <= y0 < n0 - 0.5 and -0.5 <= y1 < n1 - 0.5 and -0.5 <= y2 < n2 - 0.5
            ):
                dst[at[r] + c * dx] = fill
                continue
            a = _triangle(y0, n0, r0, w0, i0, t0)
            b = _triangle(y1, n1, r1, w1, i1, t1)
            e = _triangle(y2, n2, r2, w2, i2, t2)
            known = 0
            for i in range(a):
                for j in range(b):
                    for k in range(e):
                        label = src[so + i0[i] + i1[j] + i2[k]]
                        share = w0[i] * w1[j] * w2[k]
                        at_label = 0
                        while at_label < known and labels[at_label] != label:
                            at_label += 1
                        if at_label == known:
                            labels[known], shares[known] = label, 0.0
                            known += 1
                        shares[at_label] += share
            best = 0
            for i in range(1, known):
                gap = shares[i] - shares[best]
                near = 1e-12 * shares[best] + 1e-15
                if gap > near or (gap > -near and labels[i] < labels[best]):
                    best = i
            dst[at[r] + c * dx] = labels[best]
