"""Tiles of `_kernels_points` that look at many neighbours: B-splines, Lanczos, labels.

Loops that look at a fixed number of neighbours are made by a function, once for each number, so
that the innermost one is unrolled.
"""
# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="assignment"
# ruff: noqa: ARG001  tiles are called alike

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from spatial_duck.resampling._compiling import part, put
from spatial_duck.resampling._kernels_points import KINDS, TILE

__all__ = ["Cubic", "Label", "Lanczos", "Quintic"]

_SIXTH = 1.0 / 6.0


class Cubic(NamedTuple):
    """B-spline of degree 3, over coefficients."""

    taps: int


class Quintic(NamedTuple):
    """B-spline of degree 5, over coefficients."""

    taps: int


class Lanczos(NamedTuple):
    """Sines cut off after five voxels."""

    taps: int


class Label(NamedTuple):
    """The value that has most of the weight; `reach` is how far weights reach along each axis."""

    reach: tuple[float, ...]


# --- weights ----------------------------------------------------------------------------------


@part
def _four(f):
    g = 1.0 - f
    return (
        g * g * g * _SIXTH,
        (4 - 6 * f * f + 3 * f * f * f) * _SIXTH,
        (4 - 6 * g * g + 3 * g * g * g) * _SIXTH,
        f * f * f * _SIXTH,
    )


@part
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


@part
def _cubic(f, w):
    w[0], w[1], w[2], w[3] = _four(f)


@part
def _quintic(f, w):
    w[0], w[1], w[2], w[3], w[4], w[5] = _six(f)


@part
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


# --- values where all neighbours are inside -----------------------------------------------------


@part
def _cube4(src, q, z0, z1, f0, f1, f2):
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


@part
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


@part
def _none(src, q, z0, z1, f0, f1, f2):
    """Stand for what there is no fast loop for."""
    return src.dtype.type(0) * 1.0


def _make(taps, weigh, mirror, cube):
    """Make the scratch and the tile for a number of neighbours.

    `cube` gives the value where they are all inside, or is None.
    """
    half = taps // 2
    fast = cube is not None
    inner = cube if fast else _none

    def buffers(kind, src):
        w0, w1, w2 = np.ones(taps), np.ones(taps), np.ones(taps)
        i0, i1, i2 = np.zeros(taps, np.int64), np.zeros(taps, np.int64), np.zeros(taps, np.int64)
        return w0, w1, w2, i0, i1, i2

    @part
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

    @part
    def value(src, grid, y0, y1, y2, scratch):
        so, t0, t1, t2, n0, n1, n2 = grid
        w0, w1, w2, i0, i1, i2 = scratch
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
            line = zero
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
                line += w1[b] * v
            acc += w0[a] * line
        return acc

    def tile(kind, src, grid, dst, d, dx, p, n, scratch):
        so, t0, t1, t2, n0, n1, n2 = grid
        z0, z1 = np.uint64(t0), np.uint64(t1)
        low = half - 1
        for k in range(n):
            y0, y1, y2 = p[k], p[TILE + k], p[2 * TILE + k]
            l0, l1, l2 = np.floor(y0), np.floor(y1), np.floor(y2)
            if (
                fast and t2 == 1 and l0 >= low and l1 >= low and l2 >= low
                and l0 < n0 - half and l1 < n1 - half and l2 < n2 - half
                and l0 != y0 and l1 != y1 and l2 != y2
            ):  # fmt: skip
                q = np.uint64(
                    so + (np.int64(l0) - low) * t0 + (np.int64(l1) - low) * t1 + np.int64(l2) - low
                )
                put(dst, d + k * dx, inner(src, q, z0, z1, y0 - l0, y1 - l1, y2 - l2))
            else:
                put(dst, d + k * dx, value(src, grid, y0, y1, y2, scratch))

    return buffers, tile


# --- labels -----------------------------------------------------------------------------------


def _shares(kind, src):
    r0, r1, r2 = kind.reach
    k0, k1, k2 = 2 * np.int64(r0) + 3, 2 * np.int64(r1) + 3, 2 * np.int64(r2) + 3
    w0, w1, w2 = np.empty(k0), np.empty(k1), np.empty(k2)
    i0, i1, i2 = np.empty(k0, np.int64), np.empty(k1, np.int64), np.empty(k2, np.int64)
    labels, shares = np.empty(k0 * k1 * k2, src.dtype), np.empty(k0 * k1 * k2)
    return w0, w1, w2, i0, i1, i2, labels, shares


@part
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


def _label(kind, src, grid, dst, d, dx, p, n, scratch):
    """Set each point to the value with the most weight around it."""
    so, t0, t1, t2, n0, n1, n2 = grid
    w0, w1, w2, i0, i1, i2, labels, shares = scratch
    r0, r1, r2 = kind.reach
    for c in range(n):
        count0 = _triangle(p[c], n0, r0, w0, i0, t0)
        count1 = _triangle(p[TILE + c], n1, r1, w1, i1, t1)
        count2 = _triangle(p[2 * TILE + c], n2, r2, w2, i2, t2)
        known = 0
        for i in range(count0):
            for j in range(count1):
                for k in range(count2):
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
        dst[d + c * dx] = labels[best]


KINDS.update({
    Cubic: _make(4, _cubic, True, _cube4), Quintic: _make(6, _quintic, True, _cube6),
    Lanczos: _make(10, _lanczos, False, None), Label: (_shares, _label),
})  # fmt: skip
