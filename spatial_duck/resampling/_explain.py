"""Plans in words: what a resampling does and reads."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends import host_type, is_lazy, itemsize
from spatial_duck.resampling._interpolations import kinds
from spatial_duck.resampling._memory import view
from spatial_duck.resampling._prefilter import prepared_type, wider

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray
    from spatial_duck.resampling._coupled import CoupledAxes
    from spatial_duck.resampling._plan import Plan
    from spatial_duck.resampling._separable import SeparableAxis

__all__ = ["describe"]


def describe(plan: Plan, image: SpatialArray) -> str:
    """Return a text that says what is read and computed.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    image : SpatialArray
        The source.
    """
    source = image.geometry
    lines = [
        (
            f"resample {_named(source)} to {_named(plan.geometry)}, {plan.interpolation}, "
            f"{'edge values' if plan.edge else 'fill'} outside: {_kind(plan)}"
        )
    ]
    box = plan.input_box(tuple([(0, n) for n in plan.shape]))
    if box is None:
        return "\n".join([*lines, "reads nothing: the output lies outside the image"])
    read = wider(plan, box)
    share = math.prod([b - a for a, b in read]) / max(math.prod(plan.source_shape), 1)
    voxels = ", ".join([f"{a}:{b}" for a, b in read])
    size = math.prod([b - a for a, b in read]) * itemsize(image.data)
    lines.append(f"reads [{voxels}], {share:.0%} of the image, {_bytes(size)}")
    for axis, (poles, sigma) in plan.filters.items():
        done = [f"B-spline prefilter, {len(poles)} pole(s)"] if poles else []
        done += [f"Gaussian, sigma {sigma:.3g} voxels"] if sigma else []
        kind = prepared_type(host_type(image.dtype))
        lines.append(f"filters source axis {_axis(source.dims, axis)}: {', '.join(done)}; {kind}")
    lines += [_line(plan, line, source.dims) for line in plan.separable if _line(plan, line, ())]
    if plan.coupled is not None:
        lines.append(_coupled_axes(plan, plan.coupled, source.dims))
    if is_lazy(image.data):
        lines.append("lazy: computed chunk by chunk, each from the voxels that it needs")
    elif view(plan, np.broadcast_to(np.zeros((), bool), plan.source_shape)) is not None:
        lines.append("returns a view of the data")
    total = math.prod(plan.shape) * itemsize(image.data)
    lines.append(f"makes {'×'.join(map(str, plan.shape))} voxels of {image.dtype}, {_bytes(total)}")
    return "\n".join(lines)


def _kind(plan: Plan) -> str:
    return {
        "shift": "no arithmetic",
        "axes": "one axis after the other",
        "affine": "a matrix",
        "displacement": "a displacement field",
    }[plan.kind]


def _named(geometry: Any) -> str:
    axes = zip(geometry.dims, geometry.shape, strict=True)
    return "(" + ", ".join([f"{name or '-'}: {n}" for name, n in axes]) + ")"


def _axis(dims: Any, axis: int) -> str:
    return f"{axis} ({dims[axis]!r})" if dims else str(axis)


def _line(plan: Plan, line: SeparableAxis, dims: Any) -> str:
    if line.exact and line.scale == 1 and line.offset == 0:
        return ""
    move = f"{line.scale:.6g} · i + {line.offset:.6g}"
    smooth = f", smoothed by sigma {line.sigma:.3g} voxels" if line.sigma else ""
    how = "slice" if line.exact else f"{kinds[plan.interpolation].taps} neighbours"
    return f"along source axis {_axis(dims, line.source)}: at {move}: {how}{smooth}"


def _coupled_axes(plan: Plan, coupled: CoupledAxes, dims: Any) -> str:
    names = ", ".join([_axis(dims, axis) for axis in coupled.sources])
    count = math.prod([2 * math.ceil(r) if plan.interpolation == "label"
                       else kinds[plan.interpolation].taps for r in coupled.reach])  # fmt: skip
    text = f"along source axes {names} together: {count} neighbours"
    if coupled.nonlinear is not None:
        text += f", at points moved by {len(coupled.nonlinear.steps)} displacement field(s)"
    return text


def _bytes(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"
