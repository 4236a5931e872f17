"""Resampling of arrays that stay where they are: on a GPU, or in a library of the array API.

The executor of everything in memory but NumPy's arrays. It has no engine to write into an array,
but makes new ones throughout (see `_device_values`). Of a plan's numbers only the tables of lines,
one entry for each voxel along an axis, and matrices go to the device; positions of voxels are
worked out there.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.backends import host_type
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling._device_values import (
    along,
    kept,
    place_of,
    prefilter,
    smooth,
    values_at,
)
from spatial_duck.resampling._interpolations import kinds
from spatial_duck.resampling._nonlinear import on_grid
from spatial_duck.resampling._prefilter import prepared_type, wider
from spatial_duck.resampling._separable import GRAIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.resampling._coupled import Box, CoupledAxes
    from spatial_duck.resampling._device_values import Place
    from spatial_duck.resampling._nonlinear import NonlinearPart
    from spatial_duck.resampling._plan import Plan
    from spatial_duck.resampling._prefilter import Filters

__all__ = ["all_true", "block", "concatenate_blocks", "execute", "filtered", "outside", "prepare"]

#: Points that are worked on together: the positions of these take some 100 MB.
_POINTS = 1 << 21


def execute(plan: Plan, data: Any, fill: Any) -> Any:
    """Resample an array where it is.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    data : array
        The source, of CuPy or of a library that follows the array API.
    fill : scalar
        Value of voxels outside it.

    Returns
    -------
    array
        An array of the same library, type and device; a view where slices make the result.
    """
    found = memory.view(plan, data)
    if found is not None:
        return found
    whole: Box = tuple([(0, n) for n in plan.shape])
    box: Box = tuple([(0, n) for n in data.shape])
    dtype = data.dtype
    if plan.filters:
        if _nonlinear_part(plan) is None:  # the bounds of fields would have to come to the host
            needed = plan.input_box(whole)
            if needed is None:
                return outside(place_of(data), plan.shape, dtype, fill)
            box = wider(plan, needed)
            data = backends.index(data, tuple([slice(*bounds) for bounds in box]))
        data = prepare(plan, data)
    return block(plan, data, box, whole, fill, dtype)


def outside(place: Place, shape: Sequence[int], dtype: Any, fill: Any) -> Any:
    """Return an array that lies outside the source."""
    return place.full(shape, fill, dtype)


def all_true(data: Any) -> Any:
    """Return an array of bool like another one, that takes no memory."""
    place = place_of(data)
    return place.xp.broadcast_to(place.full((), True, place.xp.bool), data.shape)


def concatenate_blocks(pieces: Sequence[Any], counts: Sequence[int]) -> Any:
    """Join pieces that lie side by side, in C order, so many along each axis."""
    parts = list(pieces)
    xp = place_of(parts[0]).xp
    for axis in reversed(range(len(counts))):
        n = counts[axis]
        parts = [
            parts[i] if n == 1 else xp.concat(parts[i : i + n], axis=axis)
            for i in range(0, len(parts), n)
        ]
    return parts[0]


def _nonlinear_part(plan: Plan) -> NonlinearPart | None:
    return None if plan.coupled is None else plan.coupled.nonlinear


# --- filters ------------------------------------------------------------------------------


def prepare(plan: Plan, data: Any) -> Any:
    """Run a plan's filters over a box of the source, as `prepare.prepare` does in memory."""
    return filtered(data, plan.filters, plan.interpolation)


def filtered(data: Any, filters: Filters, interpolation: str) -> Any:
    """Run filters over an array, as `prepare.filtered` does in memory."""
    place = place_of(data)
    xp = place.xp
    wanted = prepared_type(host_type(data.dtype))
    wide = place.complex if wanted.kind == "c" else place.real
    value = xp.astype(data, wide)
    bad = None
    if host_type(data.dtype).kind in "fc":
        bad = ~xp.isfinite(value)
        value = _replace_nonfinite(place, value, bad, list(filters)[-1])
    for axis, (poles, sigma) in filters.items():
        if poles:
            value = _coefficients(place, value, axis, poles)
        if sigma:
            value = smooth(place, value, axis, sigma, bool(kinds[interpolation].poles))
    if bad is not None:
        value = xp.where(bad, xp.astype(data, value.dtype), value)
    return xp.astype(value, place.named(wanted) if wanted.itemsize < 8 else wide, copy=False)


def _coefficients(place: Place, value: Any, axis: int, poles: tuple[float, ...]) -> Any:
    fast = _fast(place)
    found = fast.prefilter(value, axis, poles) if fast is not None else None
    return prefilter(place, value, axis, poles) if found is None else found


def _replace_nonfinite(place: Place, value: Any, bad: Any, axis: int) -> Any:
    """Replace values that are not finite by the nearest finite one along an axis, or 0."""
    xp, n = place.xp, value.shape[axis]
    index = xp.reshape(
        xp.arange(n, dtype=place.index, device=place.device),
        tuple([-1 if a == axis else 1 for a in range(value.ndim)]),
    )
    before = _running_maximum(xp, xp.where(bad, xp.full_like(index, -1), index), axis, n)
    turned = xp.flip(xp.where(bad, xp.full_like(index, -n), -index), axis=axis)
    after = -xp.flip(_running_maximum(xp, turned, axis, n), axis=axis)
    nearer = (before < 0) | ((after < n) & (after - index < index - before))
    nearest = xp.clip(xp.where(nearer, after, before), 0, n - 1)
    found = xp.take_along_axis(value, nearest, axis=axis)
    return xp.where(xp.isfinite(found), found, xp.zeros_like(found))


def _running_maximum(xp: Any, value: Any, axis: int, n: int) -> Any:
    """Return the largest value so far along an axis, in steps of doubled length."""
    around, by = (slice(None),) * axis, 1
    while by < n:
        head = value[(*around, slice(0, by), ...)]
        rest = xp.maximum(
            value[(*around, slice(by, n), ...)], value[(*around, slice(0, n - by), ...)]
        )
        value, by = xp.concat([head, rest], axis=axis), 2 * by
    return value


# --- a block ------------------------------------------------------------------------------


def _fast(place: Place) -> Any:
    """Return the module of kernels for a library, or None."""
    if "cupy" not in place.xp.__name__:
        return None
    from spatial_duck.resampling import _cuda as cuda

    return cuda


def block(plan: Plan, source: Any, box: Box, out_box: Box, fill: Any, dtype: Any) -> Any:
    """Return a block of the output.

    Parameters
    ----------
    plan, source, box, out_box, fill
        As for `blocks.block`.
    dtype : dtype
        That of the output, as the library has it.
    """
    place = place_of(source)
    shape = [stop - start for start, stop in out_box]
    if 0 in shape or (_nonlinear_part(plan) is None and plan.input_box(out_box) is None):
        return outside(place, shape, dtype, fill)
    tables = plan.tables(out_box)
    if any(table.start == table.stop for table in tables):
        return outside(place, shape, dtype, fill)
    xp, coupled = place.xp, plan.coupled
    value = _lines(plan, place, source, box, tables, dtype if coupled is None else None)
    # From here on the axes are those of the lines, then the coupled ones.
    order = [line.source for line in plan.separable] + list(coupled.sources if coupled else ())
    value = xp.permute_dims(value, tuple(order))
    here = [n for n, line in zip(value.shape, plan.separable, strict=False) if line.out is not None]
    value = xp.reshape(value, (*here, *value.shape[len(plan.separable) :]))
    value = (
        kept(place, value, dtype)
        if coupled is None
        else _mix(plan, place, coupled, value, box, out_box, fill, dtype)
    )
    return _fill_around(plan, place, value, out_box, tables, fill)


def _lines(
    plan: Plan, place: Place, source: Any, box: Box, tables: Sequence[Any], dtype: Any
) -> Any:
    """Cut out and interpolate along the axes that stand alone; the type is that of what follows."""
    key: list[Any] = [slice(None)] * source.ndim
    passes = []
    for line, table in zip(plan.separable, tables, strict=True):
        first, step = box[line.source][0], table.step
        if step is None:
            passes.append((line, table, first))
            continue
        begin, end = int(table.low[0]) - first, int(table.low[-1]) - first + (1 if step > 0 else -1)
        key[line.source] = slice(begin, None if end < 0 else end, step)
    value = backends.index(source, tuple(key))
    # Where voxels become fewer first, so that the passes after have less to do.
    passes.sort(key=lambda one: -abs(one[0].scale))
    fast = _fast(place)
    if fast is not None and passes:
        tabled = [(line.source, table, first) for line, table, first in passes]
        found = fast.lines(value, tabled, dtype)
        if found is not None:
            return found
    for line, table, first in passes:
        value = along(place, value, line.source, table, first)
    return value


def _fill_around(
    plan: Plan, place: Place, value: Any, out_box: Box, tables: Sequence[Any], fill: Any
) -> Any:
    """Order the axes, repeat along those without a source, and surround with the fill value."""
    xp = place.xp
    outs = [line.out for line in plan.separable if line.out is not None]
    outs += [*(plan.coupled.outs if plan.coupled else ()), *plan.repeated]
    value = xp.reshape(value, (*value.shape, *[1] * len(plan.repeated)))
    value = xp.permute_dims(value, tuple(np.argsort(outs).tolist()))
    if plan.repeated:
        shape = [b - a if o in plan.repeated else value.shape[o]
                 for o, (a, b) in enumerate(out_box)]  # fmt: skip
        value = xp.broadcast_to(value, tuple(shape))
    for line, table in zip(plan.separable, tables, strict=True):
        if line.out is None:
            continue
        start, stop = out_box[line.out]
        parts = [value]
        for at, count in ((0, table.start - start), (2, stop - table.stop)):
            if count:
                shape = [count if o == line.out else n for o, n in enumerate(value.shape)]
                parts.insert(at, outside(place, shape, value.dtype, fill))
        if len(parts) > 1:
            value = xp.concat(parts, axis=line.out)
    return value


# --- axes that depend on several output axes ----------------------------------------------


def _mix(
    plan: Plan, place: Place, coupled: CoupledAxes, value: Any, box: Box, out_box: Box, fill: Any,
    dtype: Any,
) -> Any:  # fmt: skip
    """Interpolate at points; those outside get the fill."""
    ranges = tuple([out_box[o] for o in coupled.outs])
    firsts = [box[s][0] for s in coupled.sources]
    sizes = [stop - start for start, stop in ranges]
    batch = value.ndim - len(coupled.sources)
    fast = _fast(place)
    if fast is not None:
        found = fast.affine(
            coupled, value, firsts, ranges, plan.interpolation, plan.edge, fill, dtype
        )
        if found is not None:
            return found
    each = max(_POINTS // max(math.prod(sizes[1:]) * math.prod(value.shape[:batch]), 1), 1)
    parts = []
    for start in range(*(ranges[0] if ranges else (0, 1)), each):
        part = ranges
        if ranges:
            part = ((start, min(start + each, ranges[0][1])), *ranges[1:])
        found, inside = values_at(
            place, value, firsts, coupled.lengths, positions(place, coupled, part),
            [b - a for a, b in part], plan.interpolation, plan.edge, coupled.reach,
        )  # fmt: skip
        found = kept(place, found, dtype)
        if inside is not None:
            found = place.xp.where(inside, found, place.full((), fill, dtype))
        parts.append(found)
    return parts[0] if len(parts) == 1 else place.xp.concat(parts, axis=batch)


def positions(place: Place, coupled: CoupledAxes, ranges: Box) -> list[Any]:
    """Return the position of every voxel of a box along each source axis.

    Each is an array that broadcasts to the box; to the bit what `CoupledAxes.positions` has, where
    the library has 64 bits.
    """
    if coupled.nonlinear is not None:
        return _nonlinear_positions(place, coupled.nonlinear, ranges)
    found = []
    for line, start in zip(coupled.matrix, coupled.offset, strict=True):
        outer = _straight(place, line[:-1], start, ranges[:-1], len(ranges))
        outer = _snap_positions(place.xp, outer) if ranges else outer
        found.append(outer + _steps(place, line, ranges) if ranges and line[-1] else outer)
    return found


def _steps(place: Place, line: Sequence[float], ranges: Box) -> Any:
    """Return how far steps along the last axis move."""
    inner = place.xp.arange(*ranges[-1], dtype=place.real, device=place.device)
    return float(line[-1]) * inner


def _straight(place: Place, line: Sequence[float], start: float, ranges: Box, ndim: int) -> Any:
    """Return start + line @ index for the indices of a box that may lack the last axes."""
    total = place.full((1,) * ndim, float(start), place.real)
    for axis, (factor, bounds) in enumerate(zip(line, ranges, strict=True)):
        if factor:
            steps = place.xp.arange(*bounds, dtype=place.real, device=place.device)
            shape = tuple([-1 if a == axis else 1 for a in range(ndim)])
            total = total + place.xp.reshape(float(factor) * steps, shape)
    return total


def _snap_positions(xp: Any, x: Any) -> Any:
    """Round positions at a centre or an edge of a voxel to it, as `snap_positions` does."""
    halves = xp.round(x * 2.0)
    return xp.where(xp.abs(x * 2.0 - halves) < GRAIN, halves * 0.5, x)


def _nonlinear_positions(place: Place, nonlinear: NonlinearPart, ranges: Box) -> list[Any]:
    """Return positions that fields nonlinear, as `NonlinearPart.positions` does."""
    n = len(ranges)
    points = [_straight(place, line, start, ranges, n) for line, start in
              zip(nonlinear.matrix.tolist(), nonlinear.offset.tolist(), strict=True)]  # fmt: skip
    shape = tuple([b - a for a, b in ranges])
    for number, step in enumerate(nonlinear.steps):
        rows = list(step.rows)
        matrix, offset = step.field.index_map
        if number == 0:  # on straight rows, whose positions are known better
            offset = matrix @ nonlinear.offset[rows] + offset
            matrix = matrix @ nonlinear.matrix[rows]
            if step.field.interpolation == "linear" and on_grid(matrix, offset):
                matrix, offset = np.eye(n), np.rint(offset)
            index = [_straight(place, line, start, ranges, n) for line, start in
                     zip(matrix.tolist(), offset.tolist(), strict=True)]  # fmt: skip
        else:
            index = _applied(matrix, offset, [points[r] for r in rows])
        data = _vectors(place, step.field)
        lengths = data.shape[1:]
        moved, inside = values_at(place, data, [0] * len(lengths), lengths, index, shape,
                                  step.field.interpolation, False)  # fmt: skip
        for line, n in zip(index, lengths, strict=True) if step.field.margin else ():
            inside = inside & (line >= step.field.margin) & (line <= n - 1 - step.field.margin)
        moved = place.xp.where(inside, moved, place.xp.zeros_like(moved))
        moved = place.xp.astype(moved, place.real)
        for row, factors in zip(rows, step.field.vectors.tolist(), strict=True):
            for component, factor in enumerate(factors):
                if factor:
                    points[row] = points[row] + factor * moved[component, ...]
        points = _applied(step.matrix, step.offset, points)
    return points


def _applied(matrix: Any, offset: Any, points: Sequence[Any]) -> list[Any]:
    """Return matrix @ point + offset."""
    found = []
    for line, start in zip(matrix.tolist(), offset.tolist(), strict=True):
        total = 0.0 * points[0]
        for factor, part in zip(line, points, strict=True):
            if factor:
                total = total + factor * part
        found.append(total + start)
    return found


def _vectors(place: Place, field: Any) -> Any:
    """Return the vectors of a field, component first, where the image is."""
    data = field.data
    if isinstance(data, np.ndarray):
        return place.put(data)
    if backends.is_lazy(data):
        raise TypeError(
            "the displacement field is lazy and the image is not, and its vectors would have to "
            "be read to the host; load it with image.compute() and bring it to the image's device "
            "with image.to(...)"
        )
    return data
