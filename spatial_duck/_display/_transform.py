"""Transforms as HTML: what they are in a table, and what they do to a grid of lines, as SVG.

Lines through the middle of what a transform is about are drawn where it takes them: the grid of a
field or spline, the surroundings of the centre of a matrix. Vectors that are not in memory are not
read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck._display._describe import summary_rows
from spatial_duck._display._drawing import Outline, card, drawing
from spatial_duck.geometry import Geometry
from spatial_duck.transforms._affine import Affine
from spatial_duck.transforms._bspline import BSpline
from spatial_duck.transforms._displacement import DisplacementField

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.transforms._base import Transform

    Floats = NDArray[np.float64]

__all__ = ["html", "picture", "rows"]

#: Parts of a composite that are listed, and voxels of the grid drawn for a matrix.
_MAX_PARTS, _VOXELS = 12, 9


def html(transform: Transform) -> str:
    """Return a transform as a fragment of HTML."""
    world = transform.world
    frame = f", {world.frame}" if world.frame else ""
    units = ", ".join(dict.fromkeys(unit for unit in world.units if unit))
    words = f"of points {', '.join(world.axes)}{frame}" + (f" in {units}" if units else "")
    return card(type(transform).__name__, words, rows(transform), picture(transform))


def rows(transform: Transform) -> list[tuple[str, str]]:
    """Return the properties of a transform, as headings and values."""
    if isinstance(transform, Affine):
        return _affine_rows(transform)
    if isinstance(transform, DisplacementField):
        found = [("grid", " × ".join(map(str, transform.image.shape))), *_bounds(transform)]
        return found + summary_rows(transform.image.geometry)[1:]
    if isinstance(transform, BSpline):
        grid = " × ".join(map(str, transform.geometry.shape))
        found = [("coefficients", f"{grid}, splines of order {transform.order}")]
        return found + _bounds(transform) + summary_rows(transform.geometry)[1:]
    parts = _parts(transform)
    found = [(f"{n + 1}", _one_line(part)) for n, part in enumerate(parts[:_MAX_PARTS])]
    return found + ([("…", f"{len(parts) - _MAX_PARTS} more")] if len(parts) > _MAX_PARTS else [])


def _parts(transform: Transform) -> tuple[Transform, ...]:
    try:
        return transform.parts
    except TypeError:  # what `resample` takes only after it is brought to a grid
        return (transform,)


def _one_line(part: Transform) -> str:
    said = ", ".join(f"{name} {' '.join(value.split())}" for name, value in rows(part)[:2])
    return f"{type(part).__name__}: {said}"


def _affine_rows(transform: Affine) -> list[tuple[str, str]]:
    axes, matrix = transform.world.axes, transform.matrix
    linear, offset = matrix[:-1, :-1], matrix[:-1, -1]
    found = [
        ("translation", _vector(axes, offset)),
        ("matrix", "\n".join(f"{a}: {_numbers(row)}" for a, row in zip(axes, linear, strict=True))),
    ]
    scales = np.linalg.svd(linear, compute_uv=False)
    if np.allclose(scales, scales[0], rtol=1e-6) and len(axes) in (2, 3):
        turned = linear / scales[0]
        mirrored = bool(np.linalg.det(turned) < 0)
        trace = float(np.trace(turned)) * (-1 if mirrored and len(axes) == 3 else 1)
        cosine = (trace - 1) / 2 if len(axes) == 3 else trace / 2
        angle = math.degrees(math.acos(min(max(cosine, -1), 1)))
        if not mirrored:
            found.append(("rotation", f"{angle:.4g}°"))
        if abs(scales[0] - 1) > 1e-6:
            found.append(("scale", f"{scales[0]:.6g}"))
    else:
        found.append(("scales", _numbers(scales)))
    found.append(("volume", f"× {abs(np.linalg.det(linear)):.6g}"))
    return found


def _bounds(transform: DisplacementField | BSpline) -> list[tuple[str, str]]:
    if isinstance(transform, DisplacementField) and not isinstance(transform.data, np.ndarray):
        return [("vectors", "not read yet")]
    least, most = transform.bound
    longest = np.abs(transform.vectors) @ np.maximum(-least, most)
    return [("moves up to", _vector(transform.axes, longest))]


def _vector(axes: tuple[str, ...], values: Floats) -> str:
    return ", ".join(f"{a} {v:.4g}" for a, v in zip(axes, np.round(values, 9) + 0.0, strict=True))


def _numbers(values: Floats) -> str:
    return ", ".join(f"{v:.5g}" for v in np.round(values, 9) + 0.0)


# --- the drawing --------------------------------------------------------------------------


def picture(transform: Transform) -> str:
    """Return lines of a grid where a transform takes them, and the outline of where they were."""
    for part in _parts(transform):
        if isinstance(part, DisplacementField) and not isinstance(part.data, np.ndarray):
            return drawing([Outline(part.image.geometry)])
    domain = _domain(transform)
    if domain is None:
        return ""
    return drawing([Outline(domain, "before")], transform)


def _domain(transform: Transform) -> Geometry | None:
    """Return a grid to draw lines of."""
    world = transform.world
    for part in _parts(transform):
        if isinstance(part, DisplacementField) and part.image.world == world:
            axes = part.image.geometry.sampled_axes
            key = tuple([slice(None) if a in axes else 0 for a in range(part.image.ndim)])
            return part.image.geometry[key]
        if isinstance(part, BSpline) and part.world == world:
            return part.geometry
    n = len(world.axes)
    ends = transform(np.concatenate([np.zeros((1, n)), np.eye(n)]))
    linear, offset = (ends[1:] - ends[0]).T, ends[0]
    # About the point that moves least, wide enough for the movement to be seen.
    centre = np.linalg.lstsq(np.eye(n) - linear, offset, rcond=1e-6)[0]
    side = max(float(np.abs(transform(centre) - centre).max()) * 3, 1.0)
    if not np.isfinite(centre).all() or not math.isfinite(side):
        return None
    step = side / (_VOXELS - 1)
    names = list(world.axes)
    return Geometry((_VOXELS,) * n, step, centre - side / 2, dims=names, sampled=names, world=world)
