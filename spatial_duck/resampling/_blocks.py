"""One block of output voxels from one block of the source: what every executor ends in.

A block is cut out of the source by slices where these do, then interpolated along one axis after
the other, then along those that depend on several output axes. Values between the steps are
floating (see `work_type`), and are rounded once, at the end.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _numpy_engine as numpy_engine
from spatial_duck.resampling._interpolations import INTERPOLATIONS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box, CoupledAxes
    from spatial_duck.resampling._plan import Plan
    from spatial_duck.resampling._separable import Table

__all__ = ["block", "check_fill", "choose", "work_type"]

#: Types of the arithmetic, for those that are not worked on in 64-bit floats.
_WORK = {"e": "f", "f": "f", "F": "F", "D": "D", "g": "g", "G": "G"}


def work_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that values of a type are interpolated in.

    Examples
    --------
    >>> [str(work_type(np.dtype(t))) for t in ("float32", "int16", "complex64")]
    ['float32', 'float64', 'complex64']
    """
    return np.dtype(_WORK.get(dtype.char, "d"))


def choose(interpolation: str | None, dtype: np.dtype[Any]) -> str:
    """Return the interpolation that the user gave, or that a type is interpolated by otherwise.

    Raises
    ------
    ValueError
        If there is none of the name.
    TypeError
        If values of the type cannot be interpolated so.
    """
    if interpolation is None:
        interpolation = "nearest" if dtype.kind == "b" else "linear"
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {INTERPOLATIONS}, got {interpolation!r}")
    picks = interpolation in ("nearest", "label")  # values that are there, and no others
    if dtype.kind in "iufc" and not (dtype.kind == "c" and interpolation == "label"):
        return interpolation
    if picks and numpy_engine.supports(dtype) and dtype.kind != "c":
        return interpolation
    if dtype.names is not None:
        advice = f"take one of its fields first, such as image[{dtype.names[0]!r}]"
    elif dtype.kind in "bmM":
        advice = "use interpolation='nearest' or 'label'"
    else:
        advice = "it needs an array of numbers"
    raise TypeError(f"resample cannot make {interpolation!r} values of type {dtype}; {advice}")


def check_fill(fill: Any, dtype: np.dtype[Any]) -> Any:
    """Return the value outside as a scalar of a type, or say why the type cannot hold it."""
    try:
        given = np.asarray(fill)
        same = given.ndim == 0 and (dtype.kind == "c" or given.dtype.kind != "c")
        with np.errstate(invalid="ignore", over="ignore"):
            value = given.astype(dtype.newbyteorder("=")) if same else given
        same = same and (dtype.kind not in "biu" or bool(value == given))
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError(
            f"fill must be 'edge' or one number that {dtype} can hold, got {fill!r}; "
            "image.astype(...) gives the image a type that holds it"
        )
    return value[()]


def block(
    plan: Plan, source: NDArray[Any], box: Box, out_box: Box, out: NDArray[Any], fill: Any
) -> None:
    """Compute a block of the output.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    source : array
        The voxels of the source in `box`, filtered by `prepare` where the plan has filters.
    box : Box
        At least `plan.input_box` of `out_box`.
    out_box : Box
        The block, in indices of the whole output.
    out : ndarray
        Where the values go: the shape of `out_box`, the type of the source, native byte order.
    fill : scalar
        Value of voxels outside the source.
    """
    tables = plan.tables(out_box)
    if plan.input_box(out_box, tables) is None:
        out[...] = fill
        return
    valid = [slice(None)] * out.ndim
    for line, table in zip(plan.separable, tables, strict=True):
        if line.out is not None:
            first = out_box[line.out][0]
            valid[line.out] = slice(table.start - first, table.stop - first)
    _fill_around(out, valid, fill)
    inner = out[tuple(valid)]
    once = tuple([slice(0, 1) if o in plan.repeated else slice(None) for o in range(out.ndim)])
    _interpolate(plan, source, box, out_box, tables, inner[once], fill)
    if plan.repeated:
        inner[...] = inner[once]


def _fill_around(out: NDArray[Any], valid: Sequence[slice], fill: Any) -> None:
    """Fill what lies outside a box of `out`."""
    inside: list[slice] = []
    for axis, part in enumerate(valid):
        if part != slice(None) and (part.start, part.stop) != (0, out.shape[axis]):
            out[(*inside, slice(None, part.start))] = fill
            out[(*inside, slice(part.stop, None))] = fill
        inside.append(part)


def _interpolate(
    plan: Plan, source: NDArray[Any], box: Box, out_box: Box, tables: list[Table],
    out: NDArray[Any], fill: Any,
) -> None:  # fmt: skip
    """Compute the part of a block in which every line lies inside the source."""
    coupled = plan.coupled
    key: list[Any] = [slice(None)] * source.ndim
    rest: dict[int, tuple[Table, int]] = {}
    for line, table in zip(plan.separable, tables, strict=True):
        first = box[line.source][0]
        step = table.step
        if step is None:
            # Only what this line needs: the passes along other axes would work on all of it.
            low, high = table.bounds
            key[line.source] = slice(low - first, high - first)
            rest[line.source] = table, low
            continue
        begin, end = int(table.low[0]) - first, int(table.low[-1]) - first + (1 if step > 0 else -1)
        key[line.source] = slice(begin, None if end < 0 else end, step)
    # From here on the axes are those of the lines, then the coupled ones.
    order = [line.source for line in plan.separable] + list(coupled.sources if coupled else ())
    view = source[tuple(key)].transpose(order)
    outs = [line.out for line in plan.separable if line.out is not None]
    outs += list(coupled.outs if coupled else ())
    index: tuple[Any, ...] = (..., *[0] * len(plan.repeated))
    kept = out.transpose([*outs, *plan.repeated])[index]
    target = kept[(None,) * sum(line.out is None for line in plan.separable)]
    passes = [(i, *rest[line.source]) for i, line in enumerate(plan.separable)
              if line.source in rest]  # fmt: skip
    # Where voxels become fewer first, so that the passes after have less to do.
    passes.sort(key=lambda one: -abs(plan.separable[one[0]].scale))
    total = math.prod(plan.shape)
    if plan.interpolation in ("nearest", "label"):
        view = _take(view, passes, None if coupled is None else view.dtype, target, total)
    else:
        view = _weigh(view, passes, coupled is None, target, total)
    if coupled is not None:
        _mix(plan, coupled, view, box, out_box, target, fill)


def _mix(
    plan: Plan, coupled: CoupledAxes, view: Any, box: Box, out_box: Box, target: Any, fill: Any
) -> None:
    """Interpolate along the axes that depend on several output axes."""
    ranges = tuple([out_box[o] for o in coupled.outs])
    firsts = [box[s][0] for s in coupled.sources]
    if view.dtype.char == "e" and plan.interpolation not in ("nearest", "label"):
        view = view.astype(np.float32)
    direct = target.dtype.char != "e" or view.dtype.char == "e"
    result = target if direct else np.empty(target.shape, np.float32)
    how, edge = plan.interpolation, plan.edge
    work = how if how in ("nearest", "linear") else ""
    engine = engines.engine_for(view, result, work=work, total=math.prod(plan.shape))
    if coupled.nonlinear is None and ranges and how != "label":
        engine.affine(view, firsts, coupled.lengths, coupled.rows(ranges), coupled.slope,
                      ranges[-1][0], result, fill, how, edge)  # fmt: skip
    else:
        _mix_points(engine, coupled, view, firsts, ranges, result, fill, how, edge)
    if not direct:
        target[...] = result


#: Points whose positions are worked out together, so that these fit in a cache.
_POINTS = 1 << 15


def _mix_points(
    engine: Any, coupled: CoupledAxes, view: Any, firsts: Sequence[int], ranges: Box, result: Any,
    fill: Any, how: str, edge: bool,
) -> None:  # fmt: skip
    """Interpolate at points whose positions are worked out one by one, a few rows at a time."""
    sizes = [stop - start for start, stop in ranges]
    inner = math.prod(sizes[1:])
    each = max(_POINTS // max(inner, 1), 1)
    batch = result.ndim - len(sizes)
    for i in range(0, sizes[0] if sizes else 1, each):
        part, here = ranges, result
        if sizes:
            start = ranges[0][0] + i
            part = ((start, min(start + each, ranges[0][1])), *ranges[1:])
            here = result[(slice(None),) * batch + (slice(i, i + each),)]
        engine.points(view, firsts, coupled.lengths, coupled.positions(part), here, fill, how, edge,
                      coupled.reach)  # fmt: skip


def _take(
    view: NDArray[Any], passes: Sequence[tuple[int, Table, int]], between: Any,
    target: NDArray[Any], total: int,
) -> NDArray[Any]:  # fmt: skip
    """Select the nearest voxels; return a view, or write to the target if this is the last step."""
    indices = [np.arange(n) for n in view.shape]
    for axis, table, first in passes:
        indices[axis] = table.low - first
    if between is not None:
        if not passes:
            return view
        target = np.empty([len(i) for i in indices], view.dtype.newbyteorder("="))
    if passes:
        engine = engines.engine_for(view, target, work="gather", total=total)
        engine.gather(view, indices, target)
    else:
        target[...] = view
    return target


def _weigh(
    view: NDArray[Any], passes: Sequence[tuple[int, Table, int]], final: bool,
    target: NDArray[Any], total: int,
) -> NDArray[Any]:  # fmt: skip
    """Interpolate along one axis after the other; the last pass writes to the target."""
    work = work_type(view.dtype)
    real = np.dtype(work.char.lower())
    if passes and view.dtype.char == "e":
        view = view.astype(np.float32)
    for number, (axis, table, first) in enumerate(passes):
        last = final and number == len(passes) - 1 and target.dtype.char != "e"
        shape = [*view.shape[:axis], len(table.low), *view.shape[axis + 1 :]]
        result = target if last else np.empty(shape, work)
        if table.taps is not None and table.weights is not None:
            engine = engines.engine_for(view, result)
            engine.taps(view, axis, table.taps - first, table.weights.astype(real), result)
        else:
            engine = engines.engine_for(view, result, work="lerp", total=total)
            fraction = np.zeros(len(table.low)) if table.fraction is None else table.fraction
            engine.lerp(
                view, axis, table.low - first, table.high - first, fraction.astype(real), result
            )
        view = result
    if final and view is not target:
        target[...] = view
    return view
