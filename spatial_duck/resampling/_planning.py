"""Plans made of geometries: which source voxels an output voxel asks for.

Noise far below what could move a value is taken out of the numbers, so that a grid that is the
same but for rounding errors makes no arithmetic.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._config import current
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.resampling._coupled import SNAP, CoupledAxes
from spatial_duck.resampling._interpolations import blur, kinds
from spatial_duck.resampling._nonlinear import NonlinearPart, Step
from spatial_duck.resampling._plan import Plan
from spatial_duck.resampling._separable import SeparableAxis
from spatial_duck.transforms import Affine, Transform
from spatial_duck.transforms._base import sub_world, world_change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["make_plan"]


def make_plan(
    source: Geometry,
    target: Geometry,
    transform: Transform | None = None,
    interpolation: str = "linear",
    *,
    edge: bool = False,
    antialias: bool = False,
) -> Plan:
    """Return the plan that fills the grid of `target` from an image on the grid of `source`.

    The world axes that both have take part. Source axes that run along others, and plain ones,
    are carried along where they are; target axes that run along others are left out. The target's
    axes take the places of the source's, the last of them that of the last.

    Parameters
    ----------
    source, target : Geometry
        Where the voxels are, and where they are wanted. They may differ in frame, unit and order
        of world axes.
    transform : Transform, optional
        Maps points of the output to points of the input.
    interpolation : str
        One of `INTERPOLATIONS`.
    edge : bool
        Whether the outermost values of the source go on for ever.
    antialias : bool
        Whether to smooth along axes where the output has fewer voxels than the source.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost; the error names the function that lost them.
    GeometryError
        If the source has positions along fewer directions than the target asks for.
    """
    common = [name for name in target.world.axes if name in source.world.axes]
    if not common:
        raise GeometryError(_nothing_in_common(source, target))
    _check_lost(source, common, "the image")
    _check_lost(target, common, "the target")
    ours, _ = _split(source, common, "the image")
    theirs, _ = _split(target, common, "the target")
    if not ours:
        raise GeometryError(
            f"resample needs a sampled axis along {common!r}, and the image has none: {source!r}"
        )
    matrix, offset, nonlinear = _index_map(source, ours, target, theirs, common, transform)
    if nonlinear is None:
        matrix, offset = _snap_to_whole(matrix, offset, [target.shape[t] for t in theirs])
    places = _places(source.ndim, ours, len(theirs))
    outs = [places.index(("new", k)) for k in range(len(theirs))]
    found = _lines(source, ours, matrix, offset, outs, antialias)
    apart = _separate_axes(found, matrix, nonlinear, interpolation)
    rest = [s for s in range(len(ours)) if s not in apart]
    lines = [line for s in apart if (line := found[s]) is not None]
    coupled = None
    if rest:
        coupled = _coupled_axes(
            source, ours, matrix, offset, outs, rest, nonlinear, interpolation, antialias
        )
    for out, (which, axis) in enumerate(places):
        if which == "old":
            lines.append(SeparableAxis(axis, out, 1.0, 0.0, source.shape[axis]))
    lines.sort(key=lambda line: -1 if line.out is None else line.out)
    geometry = _result(source, target, theirs, common, places)
    return Plan(source.shape, geometry, tuple(lines), coupled, interpolation, edge)


def _nothing_in_common(source: Geometry, target: Geometry) -> str:
    """Return why two geometries without a common world axis do not go together, and what to do."""
    for geometry, whose in ((source, "the image"), (target, "the target")):
        if not geometry.world.axes and not geometry.lost:
            return (
                f"resample: {whose} has no sampled axis, and so no world axis in common with "
                f"anything: its dims are {geometry.dims!r}. Axes named 'x', 'y', 'z' or 't' are "
                "sampled, and those named in SpatialArray(..., sampled=...); rename the axes of an "
                "xarray.DataArray before it is converted, as in rename(lat='y', lon='x')"
            )
    return (
        f"resample: the image lies in {source.world.axes!r} and the target in "
        f"{target.world.axes!r}; they have no world axis in common"
    )


def _check_lost(geometry: Geometry, common: Sequence[str], whose: str) -> None:
    for i, function in geometry.lost_axes.items():
        name = geometry.dims[i]
        if name is None or name in common:
            raise GeometryLossError(
                f"resample needs the positions along axis {i} ({name!r}) of {whose}, which "
                f"{function!r} lost; resample before {function!r}"
            )


def _split(geometry: Geometry, common: Sequence[str], whose: str) -> tuple[list[int], list[int]]:
    """Return the array axes that run along the common world axes, and the other sampled ones."""
    rows = [geometry.world.axes.index(name) for name in common]
    inside: list[int] = []
    outside: list[int] = []
    for axis, column in zip(geometry.sampled_axes, geometry.direction.T, strict=True):
        parts = {bool(w in rows) for w in np.flatnonzero(column)}
        if len(parts) > 1:
            raise GeometryError(
                f"resample: axis {axis} ({geometry.dims[axis]!r}) of {whose} runs obliquely "
                f"through {geometry.world.axes!r}, of which only {tuple(common)!r} are common to "
                "the image and the target; give both the same world axes"
            )
        (inside if True in parts else outside).append(axis)
    return inside, outside


def _steps(geometry: Geometry, axes: Sequence[int], common: Sequence[str]) -> tuple[Floats, Floats]:
    """Return step vectors (as columns) and origin in the common world axes."""
    rows = [geometry.world.axes.index(name) for name in common]
    columns = [geometry.sampled_axes.index(axis) for axis in axes]
    steps = (geometry.direction * geometry.spacing)[np.ix_(rows, columns)]
    return steps, geometry.origin[rows]


def _index_map(
    source: Geometry,
    ours: Sequence[int],
    target: Geometry,
    theirs: Sequence[int],
    common: Sequence[str],
    transform: Transform | None,
) -> tuple[Floats, Floats, NonlinearPart | None]:
    """Return matrix and offset from target indices to source indices, and what bends them."""
    here, there = sub_world(target.world, common), sub_world(source.world, common)
    try:
        change = world_change(here, there)
    except FrameError as error:
        raise FrameError(f"resample, target and image: {error}") from None
    except GeometryError as error:
        raise GeometryError(f"resample, target and image: {error}") from None
    steps, origin = _steps(source, ours, common)
    wanted, start = _steps(target, theirs, common)
    parts = _parts(transform, here)
    while parts and isinstance(parts[0], Affine):
        moved = parts.pop(0).matrix
        wanted, start = moved[:-1, :-1] @ wanted, moved[:-1, :-1] @ start + moved[:-1, -1]
    if np.linalg.matrix_rank(steps / np.linalg.norm(steps, axis=0), tol=1e-6) < len(ours):
        raise GeometryError(
            f"resample: the sampled axes {tuple(ours)} of the image are not independent, so that a "
            "point has no single index; index one axis of each pair with an integer first"
        )
    inverse = np.linalg.pinv(steps)
    nonlinear = None
    if parts:
        nonlinear = _nonlinear_part(parts, here, wanted, start, inverse @ change, -inverse @ origin)
        return *nonlinear.straight, nonlinear
    wanted, start = change @ wanted, change @ start
    _check_plane(steps, inverse, wanted, start - origin, [target.shape[t] for t in theirs])
    return inverse @ wanted, inverse @ (start - origin), None


def _parts(transform: Transform | None, world: World) -> list[Any]:
    """Return the simple maps that a transform consists of, for points of a world."""
    if transform is None:
        return []
    if not isinstance(transform, Transform):
        raise TypeError(
            "transform must be an Affine, a DisplacementField, a BSpline or a Composite, got "
            f"{type(transform).__name__}; a matrix becomes one by Affine(matrix, image.world)"
        )
    try:
        return list(transform.to_world(world).parts)
    except FrameError as error:
        raise FrameError(
            f"resample, transform and target: {error}. That of a transform is in its world, as in "
            "Affine(matrix, image.world)"
        ) from None


def _nonlinear_part(
    parts: Sequence[Any], here: World, wanted: Floats, start: Floats, last: Floats, end: Floats
) -> NonlinearPart:
    """Return a chain of maps that begins with a field."""
    steps: list[Step] = []
    unit, zero = np.eye(len(here.axes)), np.zeros(len(here.axes))
    for part in parts:
        if isinstance(part, Affine):
            step, moved = steps.pop(), part.matrix
            steps.append(
                replace(step, matrix=moved[:-1, :-1] @ step.matrix,
                        offset=moved[:-1, :-1] @ step.offset + moved[:-1, -1])
            )  # fmt: skip
        else:
            rows = tuple([here.axes.index(name) for name in part.axes])
            steps.append(Step(part, rows, unit, zero))
    step = steps.pop()
    steps.append(replace(step, matrix=last @ step.matrix, offset=last @ step.offset + end))
    return NonlinearPart(wanted, start, tuple(steps))


def _check_plane(
    steps: Floats, inverse: Floats, wanted: Floats, start: Floats, shape: Sequence[int]
) -> None:
    """Refuse a target that leaves the line or plane in which the source lies."""
    rest = np.eye(len(start)) - steps @ inverse
    spans = wanted * [max(n - 1, 0) for n in shape]
    apart = np.abs(rest @ start) + np.abs(rest @ spans).sum(axis=1)
    limit = current().tolerance * float(min(np.linalg.norm(steps, axis=0)))
    if np.linalg.norm(apart) > limit:
        raise GeometryError(
            f"resample: the image has positions along {steps.shape[1]} of {steps.shape[0]} world "
            f"axes, and the target lies up to {np.linalg.norm(apart):.6g} off it, where the image "
            "says nothing; give the image a thickness: one more sampled axis of length 1"
        )


def _snap_to_whole(matrix: Floats, offset: Floats, shape: Sequence[int]) -> tuple[Floats, Floats]:
    """Remove rounding errors: steps and offsets that are whole numbers but for them become so."""
    counts = np.maximum(np.array(shape, dtype=np.float64), 1.0)
    whole = np.rint(matrix)
    matrix = np.where(np.abs(matrix - whole) * counts < SNAP, whole, matrix) + 0.0
    whole = np.rint(offset)
    near = np.where(np.abs(offset - whole) < SNAP, whole, offset)
    return matrix, near + 0.0


def _lines(
    source: Geometry,
    ours: Sequence[int],
    matrix: Floats,
    offset: Floats,
    outs: Sequence[int],
    antialias: bool,
) -> list[SeparableAxis | None]:
    """Return a line for each source axis that stands alone, None for the others."""
    used = matrix != 0
    lines: list[SeparableAxis | None] = []
    for s, axis in enumerate(ours):
        columns = np.flatnonzero(used[s])
        start, n = float(offset[s]), source.shape[axis]
        if len(columns) == 0:
            lines.append(SeparableAxis(axis, None, 0.0, start, n))
        elif len(columns) == 1 and used[:, columns[0]].sum() == 1:
            scale = float(matrix[s, columns[0]])
            sigma = blur(abs(scale)) if antialias else 0.0
            lines.append(SeparableAxis(axis, outs[int(columns[0])], scale, start, n, sigma))
        else:
            lines.append(None)
    return lines


def _separate_axes(
    lines: Sequence[SeparableAxis | None],
    matrix: Floats,
    nonlinear: NonlinearPart | None,
    interpolation: str,
) -> list[int]:
    """Return which of the source's sampled axes are worked on one by one."""
    apart = [s for s, line in enumerate(lines) if line is not None]
    if interpolation == "label":
        # Neighbours vote together, not axis by axis.
        return [s for s in apart if (found := lines[s]) is not None and found.exact]
    if nonlinear is None:
        return apart
    bent, moved = nonlinear.bent, nonlinear.moved
    together = {s for s in range(len(lines)) if s not in apart or moved[s]}
    columns = bent[sorted(together)].any(axis=0) | (matrix[sorted(together)] != 0).any(axis=0)
    return [s for s in apart if s not in together and not (matrix[s] != 0)[columns].any()]


def _coupled_axes(
    source: Geometry,
    ours: Sequence[int],
    matrix: Floats,
    offset: Floats,
    outs: Sequence[int],
    rest: Sequence[int],
    nonlinear: NonlinearPart | None,
    interpolation: str,
    antialias: bool,
) -> CoupledAxes:
    """Return the part of the axes that depend on several output axes."""
    used = (matrix[rest] != 0).any(axis=0)
    if nonlinear is not None:
        used |= nonlinear.bent[rest].any(axis=0)
    columns = np.flatnonzero(used)
    ratios = (
        np.linalg.norm(matrix[np.ix_(rest, columns)], axis=1) if antialias else [1.0] * len(rest)
    )
    label = interpolation == "label"
    taps = kinds[interpolation].taps
    return CoupledAxes(
        tuple([ours[s] for s in rest]),
        tuple([outs[int(t)] for t in columns]),
        tuple([tuple([float(matrix[s, t]) for t in columns]) for s in rest]),
        tuple([float(offset[s]) for s in rest]),
        tuple([source.shape[ours[s]] for s in rest]),
        tuple([max(float(r), 1.0) if label else max(taps / 2, 1.0) for r in ratios]),
        tuple([0.0 if label else blur(float(r)) for r in ratios]),
        None if nonlinear is None else nonlinear.part(rest, columns.tolist()),
    )


def _places(ndim: int, ours: Sequence[int], n_new: int) -> list[tuple[str, int]]:
    """Return the source of each output axis: an axis that is carried along, or a new one."""
    surplus = len(ours) - n_new
    if n_new == 0:
        return [("old", i) for i in range(ndim) if i not in ours]
    slots = ours[max(surplus, 0) :]
    places: list[tuple[str, int]] = []
    for i in range(ndim):
        if i in slots:
            if i == slots[0]:
                places += [("new", k) for k in range(max(-surplus, 0))]
            places.append(("new", max(-surplus, 0) + slots.index(i)))
        elif i not in ours:
            places.append(("old", i))
    return places


def _result(
    source: Geometry,
    target: Geometry,
    theirs: Sequence[int],
    common: Sequence[str],
    places: Sequence[tuple[str, int]],
) -> Geometry:
    """Return the output's geometry: the target's numbers, and those of the axes carried along."""
    extra = [name for name in source.world.axes if name not in common]
    units = [source.world.units[source.world.axes.index(name)] for name in extra]
    units += [target.world.units[target.world.axes.index(name)] for name in common]
    world = World((*extra, *common), units, target.world.frame)
    from_source = [source.world.axes.index(name) for name in extra]
    from_target = [target.world.axes.index(name) for name in common]
    origin = (*source.origin[from_source], *target.origin[from_target])
    shape, names, spacing, columns, sampled = [], [], [], [], []
    lost: dict[int | str, str] = {n: f for n, f in source.lost.items() if isinstance(n, str)}
    for i, (which, number) in enumerate(places):
        grid, axis = (target, theirs[number]) if which == "new" else (source, number)
        shape.append(grid.shape[axis])
        names.append(grid.dims[axis])
        if axis in grid.lost:
            lost[i] = grid.lost[axis]
        if axis not in grid.sampled_axes:
            continue
        k = grid.sampled_axes.index(axis)
        sampled.append(i)
        spacing.append(grid.spacing[k])
        if which == "new":
            columns.append([*[0.0] * len(extra), *grid.direction[from_target, k]])
        else:
            columns.append([*grid.direction[from_source, k], *[0.0] * len(common)])
    dims = [
        None if which == "old" and names.count(name) > 1 else name
        for name, (which, _) in zip(names, places, strict=True)
    ]
    direction = np.array(columns, dtype=float).reshape(len(columns), len(world.axes)).T
    return Geometry(
        shape, spacing, origin, direction, dims, sampled=sampled, world=world, lost=lost
    )
