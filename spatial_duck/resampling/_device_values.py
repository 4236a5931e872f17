"""Values between voxels, for arrays of any library that follows the array API.

Everything is a function of its arguments: no array is written to, nothing depends on a value of one
and nothing comes to the host. So it works on CuPy, PyTorch, JAX (traced as well) and strict arrays
alike, and gradients go through it. Values are those of `_numpy_engine`, which says what they are,
but for the last bits of a sum.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.backends import host_type, namespace
from spatial_duck.resampling._interpolations import gaussian, kinds, lookup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.resampling._separable import Table

__all__ = ["Place", "along", "kept", "place_of", "prefilter", "smooth", "values_at"]


class Place(NamedTuple):
    """Where arrays are made: a library, a device, and the widest types that these have.

    Attributes
    ----------
    xp : module
        The array-API namespace.
    device : object
        The library's own.
    real, complex, index : dtype
        Types of 64 bits (a complex one of 128) where the library has them.
    """

    xp: Any
    device: Any
    real: Any
    complex: Any
    index: Any

    def put(self, values: Any, dtype: Any = None) -> Any:
        """Return a copy of NumPy's array or of a number."""
        return self.xp.asarray(np.array(values, order="C"), dtype=dtype, device=self.device)

    def named(self, dtype: np.dtype[Any]) -> Any:
        """Return the library's type of NumPy's name."""
        return getattr(self.xp, dtype.name)

    def full(self, shape: Sequence[int], fill: Any, dtype: Any) -> Any:
        """Return an array of one value."""
        value = fill.item() if hasattr(fill, "item") else fill
        return self.xp.full(tuple(shape), value, dtype=dtype, device=self.device)


def place_of(data: Any) -> Place:
    """Return where an array is.

    Raises
    ------
    TypeError
        If its library does not follow the array API, or its arrays are not dense.
    """
    try:
        xp = namespace(data)
    except TypeError:
        xp = None
    if xp is None or xp.__name__.partition(".")[0] == "sparse":
        raise TypeError(
            "resample works on NumPy, CuPy, Dask and Zarr arrays and on dense ones of the array "
            f"API, got {type(data).__name__}; bring the image to one with image.to(...)"
        )
    import array_api_compat

    there = xp.__array_namespace_info__().dtypes()
    return Place(
        xp, array_api_compat.device(data),
        there.get("float64", there["float32"]), there.get("complex128", there["complex64"]),
        there.get("int64", there["int32"]),
    )  # fmt: skip


def _working(place: Place, value: Any) -> Any:
    """Return an array in the type that its values are interpolated in; see `blocks.work_type`."""
    char = host_type(value.dtype).char
    kind = {"e": place.xp.float32, "f": place.xp.float32, "F": place.xp.complex64,
            "D": place.complex}.get(char, place.real)  # fmt: skip
    return place.xp.astype(value, kind, copy=False)


def _real(place: Place, value: Any) -> Any:
    """Return the type of the weights of working values."""
    return place.xp.float32 if host_type(value.dtype).char in "fF" else place.real


def kept(place: Place, value: Any, dtype: Any) -> Any:
    """Return values in another type; integers are rounded, halves to even, and saturate."""
    xp = place.xp
    if value.dtype == dtype:
        return value
    if host_type(dtype).kind not in "iu" or host_type(value.dtype).kind != "f":
        return xp.astype(value, dtype)
    info = xp.iinfo(dtype)
    least, most = int(info.min), int(info.max)
    rounded = xp.round(value)
    low, high = rounded <= float(least), rounded >= float(most)
    found = xp.astype(xp.where(low | high, 0.0 * xp.ones_like(rounded), rounded), dtype)
    found = xp.where(high, place.full((), most, dtype), found)
    return xp.where(low, place.full((), least, dtype), found)


# --- along one axis -----------------------------------------------------------------------


def _beside(values: Any, axis: int, ndim: int, xp: Any) -> Any:
    """Return a line of values that broadcasts along one axis."""
    return xp.reshape(values, tuple([-1 if a == axis else 1 for a in range(ndim)]))


def along(place: Place, value: Any, axis: int, table: Table, first: int) -> Any:
    """Interpolate along one axis by a table.

    Parameters
    ----------
    place, value
        Where and what.
    axis : int
        The axis.
    table : Table
        With weights, a fraction, or neither: then the nearest voxels are taken.
    first : int
        Index of the first voxel that is at hand.
    """
    xp = place.xp
    if table.taps is not None and table.weights is not None:
        return _weighed(place, _working(place, value), axis, table.taps - first, table.weights)
    low = xp.take(value, place.put(table.low - first, place.index), axis=axis)
    if table.fraction is None:
        return low
    low = _working(place, low)
    high = _working(place, xp.take(value, place.put(table.high - first, place.index), axis=axis))
    f = _beside(place.put(table.fraction, _real(place, low)), axis, low.ndim, xp)
    return xp.where(f == 0, low, low + f * (high - low))


def _weighed(place: Place, value: Any, axis: int, taps: Any, weights: Any) -> Any:
    """Return a sum of neighbours along one axis; what weighs 0 has no part in it."""
    xp = place.xp
    total: Any = None
    for k in range(weights.shape[1]):
        w = _beside(place.put(weights[:, k], _real(place, value)), axis, value.ndim, xp)
        part = w * xp.take(value, place.put(taps[:, k], place.index), axis=axis)
        part = xp.where(w == 0, xp.zeros_like(part), part)
        total = part if total is None else total + part
    return total


def smooth(place: Place, value: Any, axis: int, sigma: float, mirror: bool) -> Any:
    """Smooth along one axis by a Gaussian."""
    weight = gaussian(sigma)
    n, radius = value.shape[axis], len(weight) // 2
    taps = lookup(np.arange(n)[:, None] + np.arange(-radius, radius + 1), n, mirror)
    return _weighed(place, value, axis, taps, np.broadcast_to(weight, taps.shape))


#: What is left of a value where a recursive filter may forget it.
_FORGOTTEN = 1e-17


def prefilter(place: Place, value: Any, axis: int, poles: Sequence[float]) -> Any:
    """Make B-spline coefficients along one axis, of values mirrored about their ends.

    Each recursive filter ``y[i] = x[i] + z y[i - 1]`` is a sum of the last ``2**s`` terms, made in
    `s` steps: ``y[i] += z**(2**k) y[i - 2**k]``.
    """
    xp, n = place.xp, value.shape[axis]
    if n == 1:
        return value
    for z in poles:
        steps = math.ceil(math.log2(math.log(_FORGOTTEN) / math.log(-z)))
        pad = (1 << steps) - 1
        where = lookup(np.arange(-pad, n + pad), n, mirror=True)
        c = xp.take(value, place.put(where, place.index), axis=axis) * ((1 - z) * (1 - 1 / z))
        for k in range(steps):
            c = _shifted_sum(c, axis, 1 << k, z ** (1 << k), forward=True)
        for k in range(steps):
            c = _shifted_sum(c, axis, 1 << k, z ** (1 << k), forward=False)
        value = c * -z
    return value


def _shifted_sum(c: Any, axis: int, by: int, factor: float, forward: bool) -> Any:
    """Return ``c[i] + factor * c[i - by]`` (or ``i + by``), where both are there."""
    n = c.shape[axis]
    around = (slice(None),) * axis
    after = c[(*around, slice(by, n), ...)]
    before = c[(*around, slice(0, n - by), ...)]
    return after + factor * before if forward else before + factor * after


# --- at points ----------------------------------------------------------------------------


class _Grid(NamedTuple):
    """The voxels at hand: flat, the axes that are carried along before them."""

    place: Place
    flat: Any
    firsts: Sequence[int]
    sizes: Sequence[int]

    def at(self, index: Sequence[Any], shape: Sequence[int]) -> Any:
        """Return the voxels at indices (arrays that broadcast to a shape) along each axis."""
        xp = self.place.xp
        total: Any = None
        for one, first, n in zip(index, self.firsts, self.sizes, strict=True):
            here = xp.clip(one - first, 0, n - 1)
            total = here if total is None else total * n + here
        total = xp.reshape(xp.broadcast_to(total, tuple(shape)), (-1,))
        found = xp.take(self.flat, total, axis=-1)
        return xp.reshape(found, (*self.flat.shape[:-1], *shape))


def values_at(
    place: Place,
    source: Any,
    firsts: Sequence[int],
    lengths: Sequence[int],
    positions: Sequence[Any],
    shape: Sequence[int],
    how: str,
    edge: bool,
    reach: Sequence[float] = (),
) -> tuple[Any, Any]:
    """Return the values at points, in the type of the arithmetic, and which points lie inside.

    Parameters
    ----------
    place : Place
        Where the arrays are.
    source : array, shape (*batch, *box)
        The part of the source at hand; one axis of the box for each of `positions`.
    firsts, lengths : sequence of int
        Where that part begins in the source, and the source's shape, along those axes.
    positions : sequence of array
        Where the points lie along each axis; arrays that broadcast to `shape`.
    shape : sequence of int
        Shape of the points.
    how, edge, reach
        As for `numpy_engine.points`.

    Returns
    -------
    tuple of (array of shape (*batch, *shape), array of bool that broadcasts to shape, or None)
    """
    xp = place.xp
    inside: Any = None
    if not edge:
        for p, n in zip(positions, lengths, strict=True):
            here = (p >= -0.5) & (p < n - 0.5)
            inside = here if inside is None else inside & here
    sizes = source.shape[source.ndim - len(lengths) :]
    batch = source.shape[: source.ndim - len(lengths)]
    if 0 in sizes:
        return place.full((*batch, *shape), 0, source.dtype), xp.zeros_like(inside)
    if how not in ("nearest", "label"):
        source = _working(place, source)
    grid = _Grid(place, xp.reshape(source, (*batch, math.prod(sizes))), firsts, sizes)
    # Splines and Lanczos look beyond the outermost voxel centres, up to the edge.
    beyond = 0.0 if edge or kinds[how].taps <= 2 else 0.5
    x = [xp.clip(p, -beyond, n - 1 + beyond) for p, n in zip(positions, lengths, strict=True)]
    if how == "nearest":
        nearest = [xp.astype(xp.floor(p + 0.5), place.index) for p in x]
        return grid.at(nearest, shape), inside
    if how == "linear":
        return _linear(grid, x, shape), inside
    if how == "label":
        return _majority(grid, x, lengths, reach, shape), inside
    return _tapped(grid, x, lengths, how, shape), inside


def _linear(grid: _Grid, x: Sequence[Any], shape: Sequence[int]) -> Any:
    """Interpolate along the last axis first, and along the first one last."""
    place = grid.place
    xp = place.xp
    floors = [xp.floor(p) for p in x]
    low = [xp.astype(f, place.index) for f in floors]
    high = [i + xp.astype(p > f, place.index) for i, p, f in zip(low, x, floors, strict=True)]
    real = _real(place, grid.flat)
    fraction = [xp.astype(p - f, real) for p, f in zip(x, floors, strict=True)]

    def blend(chosen: tuple[Any, ...]) -> Any:
        axis = len(chosen)
        if axis == len(x):
            return grid.at(chosen, shape)
        a, b = blend((*chosen, low[axis])), blend((*chosen, high[axis]))
        return a + fraction[axis] * (b - a)

    return blend(())


def _tapped(
    grid: _Grid, x: Sequence[Any], lengths: Sequence[int], how: str, shape: Sequence[int]
) -> Any:
    """Weigh all neighbours."""
    place = grid.place
    xp, real = place.xp, _real(place, grid.flat)
    kind = kinds[how]
    half = kind.taps // 2
    index, weight = [], []
    for p, n in zip(x, lengths, strict=True):
        floor = xp.floor(p)
        near = xp.astype(floor, place.index)
        index.append([_looked_up(xp, near + (k + 1 - half), n, bool(kind.poles))
                      for k in range(kind.taps)])  # fmt: skip
        weight.append([xp.astype(w, real) for w in _weights(xp, how, p - floor)])

    def blend(chosen: tuple[Any, ...]) -> Any:
        axis = len(chosen)
        if axis == len(x):
            return grid.at(chosen, shape)
        total: Any = None
        for i, w in zip(index[axis], weight[axis], strict=True):
            nothing = w == 0
            part = w * blend((*chosen, xp.where(nothing, index[axis][half - 1], i)))
            part = xp.where(nothing, xp.zeros_like(part), part)
            total = part if total is None else total + part
        return total

    return blend(())


def _looked_up(xp: Any, index: Any, n: int, mirror: bool) -> Any:
    """Return the voxel that stands at each index, as `weights.lookup` does."""
    if not mirror:
        return xp.clip(index, 0, n - 1)
    if n == 1:
        return xp.zeros_like(index)
    inside = xp.remainder(xp.abs(index), 2 * (n - 1))
    return xp.minimum(inside, 2 * (n - 1) - inside)


def _weights(xp: Any, how: str, f: Any) -> list[Any]:
    """Return the weight of each neighbour, as `weights.weights` does."""
    taps = kinds[how].taps
    steps = range(1 - taps // 2, taps // 2 + 1)
    if how == "lanczos":
        a = taps // 2
        # sin(pi (f - k)) is that of f but for its sign; so a centre has exact zeros around it.
        sine = xp.sin(math.pi * f)
        raw = []
        for k in steps:
            t = f - k
            safe = xp.where(t == 0, xp.ones_like(t), t)
            wave = (-1.0) ** k * a * sine * xp.sin(math.pi * safe / a) / (math.pi * safe) ** 2
            raw.append(xp.where(t == 0, xp.ones_like(t), wave))
        total = sum(raw[1:], raw[0])
        return [w / total for w in raw]
    found = []
    for k in steps:
        t = xp.abs(f - k)
        if how == "cubic":
            far = xp.clip(2 - t, 0.0, 2.0) ** 3 / 6
            found.append(xp.where(t < 1, (4 - 6 * t**2 + 3 * t**3) / 6, far))
            continue
        near = 11 / 20 - t**2 / 2 + t**4 / 4 - t**5 / 12
        middle = 17 / 40 + 5 * t / 8 - 7 * t**2 / 4 + 5 * t**3 / 4 - 3 * t**4 / 8 + t**5 / 24
        far = xp.clip(3 - t, 0.0, 3.0) ** 5 / 120
        found.append(xp.where(t < 1, near, xp.where(t < 2, middle, far)))
    return found


def _majority(
    grid: _Grid, x: Sequence[Any], lengths: Sequence[int], reach: Sequence[float],
    shape: Sequence[int],
) -> Any:  # fmt: skip
    """Return the label that has most of the weight around each point; of several, the smallest."""
    place = grid.place
    xp = place.xp
    spans = []
    for p, n, r in zip(x, lengths, reach, strict=True):
        wide = math.ceil(r)
        near = xp.astype(xp.floor(p), place.index)
        steps = range(1 - wide, wide + 1)
        spans.append([
            (xp.clip(near + k, 0, n - 1),
             xp.clip(1 - xp.abs(p - xp.astype(near + k, place.real)) / r, 0.0, 1.0))
            for k in steps
        ])  # fmt: skip
    values, shares = [], []
    for chosen in itertools.product(*spans):
        share = math.prod([w for _, w in chosen[1:]], start=chosen[0][1])
        values.append(grid.at([i for i, _ in chosen], shape))
        shares.append(xp.broadcast_to(share, values[-1].shape))
    label, share = xp.stack(values), xp.stack(shares)
    keys = xp.astype(label, xp.uint8) if host_type(label.dtype).kind == "b" else label
    order = xp.argsort(keys, axis=0, stable=True)
    label = xp.take_along_axis(label, order, axis=0)
    share = xp.take_along_axis(share, order, axis=0)
    best, total = label[0, ...], share[0, ...]
    most = xp.zeros_like(total)
    for k in range(label.shape[0]):
        if k:
            same = label[k, ...] == label[k - 1, ...]
            total = share[k, ...] + xp.where(same, total, xp.zeros_like(total))
        wins = total > most * (1 + 1e-12) + 1e-15
        best, most = xp.where(wins, label[k, ...], best), xp.where(wins, total, most)
    return best
