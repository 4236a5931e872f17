"""Numbers of voxels changed over the same extent, a slab of one channel at a time.

The definition is nnU-Net's; see `_nnunet`. No array of the size of the source or of the output is
made beside those that the caller has: what is held are the rows of a slab, those of the source
that it needs, and for splines what their coefficients depend on around these.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.resampling._interpolations import kinds
from spatial_duck.resampling._memory import fill_in, workers
from spatial_duck.resampling._planning import make_plan
from spatial_duck.resampling._prefilter import prepare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan
    from spatial_duck.resampling._separable import Table

    Limits = tuple[NDArray[Any], NDArray[Any]]

__all__ = ["INTERPOLATIONS", "Slab", "Steps", "channel", "cut_slabs", "labels", "limits"]

#: The interpolation of each order.
INTERPOLATIONS = {0: "nearest", 1: "linear", 3: "cubic", 5: "quintic"}
#: Voxels of edge padding before spline interpolation, as in SciPy.
_SPLINE_PADDING = 12
#: Output voxels of a slab, where it need not be larger.
_SLAB_VOXELS = 1 << 20


class Steps(NamedTuple):
    """How an array is resampled: orders of interpolation, and the axis resampled separately."""

    order: int
    order_apart: int
    apart: int | None

    @property
    def has_splines(self) -> bool:
        """Whether values are clipped to the range of those that splines go through."""
        return self.order > 1


class Slab(NamedTuple):
    """A part along the first axis.

    Attributes
    ----------
    rows : slice
        Rows of the output.
    source : slice
        What they depend on.
    length : int
        Length of the whole source along the axis.
    """

    rows: slice
    source: slice
    length: int


def cut_slabs(
    old: Sequence[int], new: Sequence[int], steps: Steps, chunk: int = 1
) -> Iterator[Slab]:
    """Yield the slabs of an output, each with what it needs of the source.

    Parameters
    ----------
    old, new : sequence of int, shape (3,)
        Lengths of the source and of the output.
    steps : Steps
        How it is resampled.
    chunk : int, optional
        Rows of the source that are read at once in any case.
    """
    first = steps.order_apart if steps.apart == 0 else steps.order
    kind = kinds[INTERPOLATIONS[first]]
    reach = kind.halo + kind.taps // 2
    ratio = old[0] / new[0]
    # Slabs overlap by what they need on both sides, and by the chunks that this lies in.
    least = max(math.ceil(6 * reach / ratio), math.ceil(2 * chunk / ratio))
    rows = max(_SLAB_VOXELS // max(math.prod(new[1:]), 1), least, 1)
    for start in range(0, new[0], rows):
        stop = min(start + rows, new[0])
        low = math.floor(ratio * (start + 0.5) - 0.5) - reach
        high = math.ceil(ratio * (stop - 0.5) - 0.5) + reach + 1
        yield Slab(slice(start, stop), slice(max(low, 0), min(high, old[0])), old[0])


def limits(read: Callable[[slice], Any], length: int, rows: int, steps: Steps) -> Limits | None:
    """Return the least and largest value that splines go through: of a channel, or of each plane.

    Parameters
    ----------
    read : callable
        Returns a range of rows of the channel.
    length, rows : int
        How many there are, and how many are looked at together.
    steps : Steps
        How it is resampled; without splines there are no limits.
    """
    if not steps.has_splines:
        return None
    axes = tuple([a for a in range(3) if a != steps.apart])
    found = []
    for start in range(0, length, rows):
        part = read(slice(start, min(start + rows, length)))
        found.append((part.min(axes, keepdims=True), part.max(axes, keepdims=True)))
    low, high = [np.concatenate(side) for side in zip(*found, strict=True)]
    if steps.apart == 0:
        return low, high
    return low.min(0, keepdims=True), high.max(0, keepdims=True)


# --- values -------------------------------------------------------------------------------


def channel(
    values: NDArray[Any], shape: Sequence[int], steps: Steps, slab: Slab, bounds: Limits | None
) -> NDArray[Any]:
    """Return a slab of one channel resampled to a shape.

    Parameters
    ----------
    values : ndarray
        The rows that the slab needs.
    shape : sequence of int, shape (3,)
        Shape of the whole output.
    steps : Steps
        How it is resampled.
    slab : Slab
        Which part.
    bounds : pair of ndarray or None
        What `limits` gives for the channel.

    Returns
    -------
    ndarray
        Of float32 where the values are no wider floats, else of float64.
    """
    kind = np.float32 if values.dtype.kind == "f" and values.dtype.itemsize <= 4 else np.float64
    values = values.astype(kind, copy=False)
    apart = steps.apart
    if apart is None:
        return _resize(values, shape, steps.order, None, slab, bounds)
    if bounds is not None and apart == 0:
        bounds = bounds[0][slab.source], bounds[1][slab.source]
    if steps.order_apart == 0:
        planes, back = _planes_needed(shape, slab, values, apart)
        values = values.take(planes, apart)
        bounds = None if bounds is None else (bounds[0].take(planes, apart),
                                              bounds[1].take(planes, apart))  # fmt: skip
    plane = [n if a != apart else values.shape[a] for a, n in enumerate(shape)]
    values = _resize(values, plane, steps.order, apart, slab if apart else None, bounds)
    if steps.order_apart == 0:
        return values.take(back, apart)
    return _resize_apart(values, shape, steps, slab)


def _resize_apart(
    values: NDArray[Any], shape: Sequence[int], steps: Steps, slab: Slab
) -> NDArray[Any]:
    """Resample along the axis that is resampled separately."""
    apart = steps.apart
    others = tuple([a for a in range(3) if a != apart])
    along = [n if a == apart else values.shape[a] for a, n in enumerate(shape)]
    return _resize(values, along, steps.order_apart, others, slab if apart == 0 else None)


def _planes_needed(
    shape: Sequence[int], slab: Slab, values: Any, axis: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the planes that voxels of the output are nearest to, and which of them each has."""
    rows, start, length = slice(0, shape[axis]), 0, values.shape[axis]
    if axis == 0:
        rows, start, length = slab.rows, slab.source.start, slab.length
    position = length / shape[axis] * (np.arange(rows.start, rows.stop) + 0.5) - 0.5
    nearest = np.floor(np.clip(position, 0, length - 1) + 0.5).astype(np.intp)
    return np.unique(nearest - start, return_inverse=True)


def _resize(
    values: NDArray[Any], shape: Sequence[int], order: int, plain: int | tuple[int, ...] | None,
    slab: Slab | None = None, bounds: Limits | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Return values, or a slab of them, resampled to other numbers of voxels."""
    kept = () if plain is None else (plain,) if isinstance(plain, int) else plain
    axes = [a for a in range(values.ndim) if a not in kept]
    plan, rows, first = _plan(values.shape, shape, order, axes, slab)
    if order > 1:
        ends = [(_SPLINE_PADDING,) * 2 if a in axes else (0, 0) for a in range(values.ndim)]
        if slab is not None:  # the source goes on where a slab was cut out of it
            stops = slab.source.start == 0, slab.source.stop == slab.length
            ends[0] = _SPLINE_PADDING * stops[0], _SPLINE_PADDING * stops[1]
            first += _SPLINE_PADDING * (not stops[0])
        values = np.pad(values, ends, "edge")
    box: Box = tuple([(0, n) for n in values.shape])
    box = ((first, first + len(values)), *box[1:])
    found = _run(plan, values, box, ((rows.start, rows.stop), *[(0, n) for n in shape[1:]]))
    return found if bounds is None else np.clip(found, *bounds, out=found)


def _plan(
    old: Sequence[int], new: Sequence[int], order: int, axes: Sequence[int], slab: Slab | None
) -> tuple[Plan, slice, int]:
    """Return the plan for the whole, the rows that are wanted, and the first one of the source."""
    sampled = ["xyz"[a] for a in axes]
    dims = [name if a in axes else None for a, name in enumerate("xyz")]
    rows, first, lengths = slice(0, new[0]), 0, list(old)
    if slab is not None:
        rows, first, lengths[0] = slab.rows, slab.source.start, slab.length
    source = Geometry(lengths, 1.0, dims=dims, world=sampled)
    steps = [lengths[a] / new[a] for a in axes]
    target = Geometry(
        [new[a] for a in axes], steps, [(s - 1) / 2 for s in steps], dims=sampled, world=sampled
    )
    if order > 1:
        source = source.pad([(_SPLINE_PADDING,) * 2 if a in axes else (0, 0) for a in range(3)])
    return make_plan(source, target, None, INTERPOLATIONS[order]), rows, first


def _run(plan: Plan, values: NDArray[Any], box: Box, where: Box) -> NDArray[Any]:
    """Compute a box of a plan's output from a box of its source."""
    if plan.filters:
        values = prepare(plan, values, workers())
    out = np.empty([stop - start for start, stop in where], values.dtype)
    fill_in(plan, values, box, out, 0, None, where)
    return out


# --- labels -------------------------------------------------------------------------------


def labels(values: NDArray[Any], shape: Sequence[int], steps: Steps, slab: Slab) -> NDArray[Any]:
    """Return a slab of one channel of labels resampled to a shape; see `channel`."""
    apart = steps.apart
    if apart is None:
        return _vote(values, shape, steps.order, None, slab)
    if steps.order_apart == 0:
        planes, back = _planes_needed(shape, slab, values, apart)
        values = values.take(planes, apart)
    plane = [n if a != apart else values.shape[a] for a, n in enumerate(shape)]
    values = _vote(values, plane, steps.order, apart, slab if apart else None)
    if steps.order_apart == 0:
        return values.take(back, apart)
    out = np.zeros((slab.rows.stop - slab.rows.start, *shape[1:]), values.dtype)
    for label in np.unique(values):  # later ones win, as there
        score = _resize_apart((values == label).astype(np.float64), shape, steps, slab)
        out[np.round(score) > 0.5] = label
    return out


def _vote(
    values: NDArray[Any], shape: Sequence[int], order: int, plain: int | None, slab: Slab | None
) -> NDArray[Any]:
    """Return the label of the largest indicator."""
    nearest = _resize(values, shape, 0, plain, slab)
    if order == 0:
        return nearest
    if order == 1:
        _vote_between(values, nearest, shape, plain, slab)
        return nearest
    out, best = nearest.copy(), np.zeros(nearest.shape)
    unit = np.zeros((1,) * values.ndim), np.ones((1,) * values.ndim)
    for label in np.unique(values):
        inside = (values == label).astype(np.float64)
        score = _resize(inside, shape, order, plain, slab, unit)
        out[(score > best) | ((score == best) & (nearest == label))] = label
        np.maximum(best, score, out=best)
    return out


#: Shares of labels that differ by less are the same, but for rounding.
_TIE = 1e-12


def _vote_between(
    values: NDArray[Any], nearest: NDArray[Any], shape: Sequence[int], plain: int | None,
    slab: Slab | None,
) -> None:  # fmt: skip
    """Set voxels to the label with the most linear weight, where the nearest one has not all."""
    axes = [a for a in range(values.ndim) if a != plain]
    plan, rows, first = _plan(values.shape, shape, 1, axes, slab)
    tables = plan.tables(((rows.start, rows.stop), *[(0, n) for n in shape[1:]]))
    tables = [t._replace(low=t.low - b, high=t.high - b)
              for t, b in zip(tables, (first, 0, 0), strict=True)]  # fmt: skip
    low = high = values
    for axis, table in enumerate(tables):
        low = np.minimum(low.take(table.low, axis), low.take(table.high, axis))
        high = np.maximum(high.take(table.low, axis), high.take(table.high, axis))
    points = np.nonzero(low != high)
    corners, weights = _corners(values, tables, points)
    share = _share(corners, weights, nearest[points])
    unsure = np.flatnonzero(share < 0.5 + _TIE)  # more than half is most
    points, share = tuple([p[unsure] for p in points]), share[unsure]
    corners, weights = [c[unsure] for c in corners], [w[unsure] for w in weights]
    shares = [_share(corners, weights, label) for label in corners]
    most = np.max(shares, axis=0) - _TIE
    last = high[points]
    winner = np.min(
        [np.where(s >= most, label, last) for s, label in zip(shares, corners, strict=True)], axis=0
    )
    nearest[points] = np.where(share >= most, nearest[points], winner)


def _corners(
    values: NDArray[Any], tables: Sequence[Table], points: tuple[NDArray[np.intp], ...]
) -> tuple[list[NDArray[Any]], list[NDArray[np.float64]]]:
    """Return the values around points of the output, and the linear weight of each."""
    sides = []
    for table, index in zip(tables, points, strict=True):
        low, fraction = table.low[index], table.fraction
        if fraction is None:
            sides.append([(low, np.ones(len(index)))])
        else:
            part = fraction[index]
            sides.append([(low, 1 - part), (table.high[index], part)])
    corners, weights = [], []
    for corner in itertools.product(*sides):
        corners.append(values[tuple([where for where, _ in corner])])
        weights.append(np.prod([weight for _, weight in corner], axis=0))
    return corners, weights


def _share(
    corners: Sequence[NDArray[Any]], weights: Sequence[NDArray[np.float64]], label: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the weight of the corners that have a label."""
    total = np.zeros(len(label))
    for value, weight in zip(corners, weights, strict=True):
        total += weight * (value == label)
    return total
