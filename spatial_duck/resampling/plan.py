"""What a resampling has to do, worked out from geometries alone.

A `Plan` says, for each axis of the source, where along it an output voxel asks for its value:

* a `Line` where that depends on one output axis at most: ``x = scale * i + offset``. With whole
  numbers it is a slice and needs no arithmetic; axes that are carried along are such lines;
* a `Mixed` part for the axes that depend on several output axes: ``x = matrix @ i + offset``.

Positions within 2**-32 of a voxel of a voxel's centre or edge are put there, so that the rounding
errors of a geometry do not decide on which side of a tie a voxel falls. Positions depend on the
output voxel's own index alone, never on the block that it is computed in. That is why a result
computed in blocks equals one computed whole, to the bit. A plan knows no arrays but NumPy's small
ones, and no data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.config import current
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.transforms import Affine, Transform, sub_world, world_change
from spatial_duck.world import World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

__all__ = ["INTERPOLATIONS", "Box", "Line", "Mixed", "Plan", "Table", "make_plan"]

Box = tuple[tuple[int, int], ...]

INTERPOLATIONS = ("nearest", "linear")

#: A position this close to a multiple of half a voxel, in half voxels, is there.
_GRAIN = 2.0**-31
#: What moves no voxel of the grid by more than this many voxels counts as rounding error.
_SNAP = 1e-7


def _settled(x: NDArray[Any]) -> Floats:
    """Put positions that lie on the centre or edge of a voxel, but for rounding errors, there."""
    halves = np.rint(x * 2.0)
    settled: Floats = np.where(np.abs(x * 2.0 - halves) < _GRAIN, halves * 0.5, x)
    return settled


class Table(NamedTuple):
    """Where the output voxels of a range along one axis take their values.

    Attributes
    ----------
    start, stop : int
        The part of the range that lies inside the source.
    low, high : ndarray of int, shape (stop - start,)
        The two source voxels between which each lies.
    fraction : ndarray of float or None
        How far from the lower to the higher; None where all of them are 0.
    """

    start: int
    stop: int
    low: Ints
    high: Ints
    fraction: Floats | None

    @property
    def bounds(self) -> tuple[int, int]:
        """First source voxel that is needed, and the one after the last."""
        return int(min(self.low[0], self.low[-1])), int(max(self.high[0], self.high[-1])) + 1

    @property
    def step(self) -> int | None:
        """Step between source voxels where they make a slice, or None."""
        if self.fraction is not None:
            return None
        if len(self.low) == 1:
            return 1
        steps = np.diff(self.low)
        return int(steps[0]) if steps[0] != 0 and (steps == steps[0]).all() else None


@dataclass(frozen=True, slots=True)
class Line:
    """A source axis along which the position depends on one output axis, or on none.

    Attributes
    ----------
    source : int
        The source axis.
    out : int or None
        The output axis; None where the position is the same for all of the output.
    scale, offset : float
        ``position = scale * output_index + offset``.
    length : int
        Number of source voxels along the axis.
    """

    source: int
    out: int | None
    scale: float
    offset: float
    length: int

    @property
    def exact(self) -> bool:
        """Whether every position is a source voxel's centre."""
        return self.scale == round(self.scale) and self.offset == round(self.offset)

    def table(self, start: int, stop: int, order: int, edge: bool) -> Table:
        """Return where the output voxels from `start` to `stop` take their values.

        Parameters
        ----------
        start, stop : int
            Range of output indices.
        order : int
            0 for nearest, 1 for linear.
        edge : bool
            Whether the outermost values go on for ever.
        """
        x = _settled(np.arange(start, stop) * self.scale + self.offset)
        if not edge:
            inside = np.flatnonzero((x >= -0.5) & (x < self.length - 0.5))
            first, last = (inside[0], inside[-1] + 1) if len(inside) else (0, 0)
            x = x[first:last]
            start, stop = start + int(first), start + int(last)
        if self.length == 0:
            x, stop = x[:0], start
        top = self.length - 1
        if order == 0:
            low = np.clip(np.floor(x + 0.5), 0, top).astype(np.intp)
            return Table(start, stop, low, low, None)
        x = np.clip(x, 0.0, top)
        floor = np.floor(x)
        fraction = x - floor
        low = floor.astype(np.intp)
        if not fraction.any():
            return Table(start, stop, low, low, None)
        return Table(start, stop, low, low + (fraction > 0), fraction)


@dataclass(frozen=True, slots=True)
class Mixed:
    """Source axes along which the position depends on several output axes.

    Attributes
    ----------
    sources, outs : tuple of int
        Source axes and output axes, each in array order.
    matrix : tuple of tuple of float
        A row for each source axis, a column for each output axis.
    offset : tuple of float
        Position for output index 0.
    lengths : tuple of int
        Number of source voxels along each source axis.
    """

    sources: tuple[int, ...]
    outs: tuple[int, ...]
    matrix: tuple[tuple[float, ...], ...]
    offset: tuple[float, ...]
    lengths: tuple[int, ...]

    def rows(self, ranges: Box) -> Floats:
        """Return the position at inner index 0 for each row of output voxels.

        Parameters
        ----------
        ranges : Box
            Range of indices along each of `outs`. The last is that of the inner axis.

        Returns
        -------
        ndarray of float, shape (n_rows, n_sources)
        """
        outer = [np.arange(*r, dtype=np.float64) for r in ranges[:-1]]
        shape = tuple([len(o) for o in outer])
        rows = np.empty((*shape, len(self.sources)))
        for s, (line, start) in enumerate(zip(self.matrix, self.offset, strict=True)):
            position = np.full(shape, start)
            for j, indices in enumerate(outer):
                position += (line[j] * indices).reshape(-1, *[1] * (len(outer) - 1 - j))
            rows[..., s] = _settled(position)
        return rows.reshape(-1, len(self.sources))

    @property
    def slope(self) -> tuple[float, ...]:
        """How far one step along the inner output axis moves along each source axis."""
        return tuple([line[-1] for line in self.matrix])

    def bounds(self, ranges: Box, edge: bool) -> Box | None:
        """Return the range of source voxels that a box of output voxels needs, or None."""
        box = []
        for line, start, n in zip(self.matrix, self.offset, self.lengths, strict=True):
            low = high = start
            for a, (first, stop) in zip(line, ranges, strict=True):
                ends = (a * first, a * (stop - 1))
                low += min(ends)
                high += max(ends)
            if n == 0 or not (edge or (high > -0.5 - _SNAP and low < n - 0.5 + _SNAP)):
                return None
            first = min(max(math.floor(low - _SNAP), 0), n - 1)
            last = min(max(math.floor(high + _SNAP) + 1, 0), n - 1)
            box.append((first, last + 1))
        return tuple(box)


@dataclass(frozen=True, slots=True)
class Plan:
    """How an output grid is filled from a source.

    Attributes
    ----------
    source_shape : tuple of int
        Shape of the source.
    geometry : Geometry
        Geometry of the output.
    lines : tuple of Line
        In the order in which they are worked on.
    mixed : Mixed or None
        The part with axes that depend on several output axes.
    interpolation : str
        One of `INTERPOLATIONS`.
    edge : bool
        Whether the outermost values of the source go on for ever.
    """

    source_shape: tuple[int, ...]
    geometry: Geometry
    lines: tuple[Line, ...]
    mixed: Mixed | None
    interpolation: str
    edge: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return self.geometry.shape

    @property
    def order(self) -> int:
        """Degree of the interpolation."""
        return INTERPOLATIONS.index(self.interpolation)

    @property
    def kind(self) -> str:
        """What it takes: ``"shift"``, ``"axes"`` or ``"affine"``."""
        if self.mixed is not None:
            return "affine"
        return "shift" if all(line.exact for line in self.lines) else "axes"

    @property
    def repeated(self) -> tuple[int, ...]:
        """Output axes along which the values do not change."""
        used = {line.out for line in self.lines} | set(self.mixed.outs if self.mixed else ())
        return tuple([o for o in range(len(self.shape)) if o not in used])

    def tables(self, out_box: Box) -> list[Table]:
        """Return the table of each line for a box of output voxels."""
        return [
            line.table(*(out_box[line.out] if line.out is not None else (0, 1)),
                       self.order, self.edge)
            for line in self.lines
        ]  # fmt: skip

    def input_box(self, out_box: Box) -> Box | None:
        """Return the box of source voxels that a box of output voxels needs.

        Parameters
        ----------
        out_box : Box
            First index and the one after the last, along each output axis.

        Returns
        -------
        Box or None
            None where the whole box lies outside the source.
        """
        box = [(0, 0)] * len(self.source_shape)
        if any(stop <= start for start, stop in out_box):
            return None
        for line, table in zip(self.lines, self.tables(out_box), strict=True):
            if table.start == table.stop:
                return None
            box[line.source] = table.bounds
        if self.mixed is not None:
            found = self.mixed.bounds(tuple([out_box[o] for o in self.mixed.outs]), self.edge)
            if found is None:
                return None
            for source, bounds in zip(self.mixed.sources, found, strict=True):
                box[source] = bounds
        return tuple(box)


# --- making one ---------------------------------------------------------------------------


def make_plan(
    source: Geometry,
    target: Geometry,
    transform: Transform | None = None,
    interpolation: str = "linear",
    *,
    edge: bool = False,
) -> Plan:
    """Work out how the grid of `target` is filled from an image on the grid of `source`.

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

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost; the error names the function that lost them.
    GeometryError
        If the source has positions along fewer directions than the target asks for.
    """
    common = [name for name in target.world.axes if name in source.world.axes]
    if not common:
        raise GeometryError(
            f"resample: the image lies in {source.world.axes!r} and the target in "
            f"{target.world.axes!r}; they have no world axis in common"
        )
    _check_lost(source, common, "the image")
    _check_lost(target, common, "the target")
    ours, carried = _split(source, common, "the image")
    theirs, _ = _split(target, common, "the target")
    if not ours:
        raise GeometryError(
            f"resample needs a sampled axis along {common!r}, and the image has none: {source!r}"
        )
    matrix, offset = _index_map(source, ours, target, theirs, common, transform)
    shape = [target.shape[t] for t in theirs]
    matrix, offset = _snapped(matrix, offset, shape)
    places = _places(source.ndim, ours, len(theirs))
    lines, mixed = _parts(source, ours, matrix, offset, [places.index(("new", k)) for k in
                                                         range(len(theirs))])  # fmt: skip
    for out, (which, axis) in enumerate(places):
        if which == "old":
            lines.append(Line(axis, out, 1.0, 0.0, source.shape[axis]))
    lines.sort(key=lambda line: -1 if line.out is None else line.out)
    geometry = _result(source, carried, target, theirs, common, places)
    return Plan(source.shape, geometry, tuple(lines), mixed, interpolation, edge)


def _check_lost(geometry: Geometry, common: Sequence[str], whose: str) -> None:
    for i, function in geometry.lost.items():
        name = geometry.dims[i]
        if name is None or name in common:
            raise GeometryLossError(
                f"resample needs the positions along axis {i} ({name!r}) of {whose}, which "
                f"{function!r} lost; resample before {function!r}"
            )


def _split(geometry: Geometry, common: Sequence[str], whose: str) -> tuple[list[int], list[int]]:
    """Tell the array axes that run along the common world axes from the other sampled ones."""
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
) -> tuple[Floats, Floats]:
    """Return matrix and offset from target indices to source indices."""
    here, there = sub_world(target.world, common), sub_world(source.world, common)
    try:
        change = world_change(here, there)
    except FrameError as error:
        raise FrameError(f"resample, target and image: {error}") from None
    except GeometryError as error:
        raise GeometryError(f"resample, target and image: {error}") from None
    steps, origin = _steps(source, ours, common)
    wanted, start = _steps(target, theirs, common)
    if transform is not None:
        if not isinstance(transform, Affine):
            raise TypeError(f"transform must be an Affine, got {type(transform).__name__}")
        moved = transform.to_world(here).matrix
        wanted = moved[:-1, :-1] @ wanted
        start = moved[:-1, :-1] @ start + moved[:-1, -1]
    wanted, start = change @ wanted, change @ start
    if np.linalg.matrix_rank(steps / np.linalg.norm(steps, axis=0), tol=1e-6) < len(ours):
        raise GeometryError(
            f"resample: the sampled axes {tuple(ours)} of the image are not independent, so that a "
            "point has no single index; index one axis of each pair away first"
        )
    inverse = np.linalg.pinv(steps)
    _check_plane(steps, inverse, wanted, start - origin, [target.shape[t] for t in theirs])
    return inverse @ wanted, inverse @ (start - origin)


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


def _snapped(matrix: Floats, offset: Floats, shape: Sequence[int]) -> tuple[Floats, Floats]:
    """Remove rounding errors: steps and offsets that are whole numbers but for them become so."""
    counts = np.maximum(np.array(shape, dtype=np.float64), 1.0)
    whole = np.rint(matrix)
    matrix = np.where(np.abs(matrix - whole) * counts < _SNAP, whole, matrix) + 0.0
    whole = np.rint(offset)
    near = np.where(np.abs(offset - whole) < _SNAP, whole, offset)
    return matrix, near + 0.0


def _parts(
    source: Geometry,
    ours: Sequence[int],
    matrix: Floats,
    offset: Floats,
    outs: Sequence[int],
) -> tuple[list[Line], Mixed | None]:
    """Tell the axes that stand alone from those that depend on several."""
    used = matrix != 0
    lines, rest = [], []
    for s, axis in enumerate(ours):
        columns = np.flatnonzero(used[s])
        if len(columns) == 0:
            lines.append(Line(axis, None, 0.0, float(offset[s]), source.shape[axis]))
        elif len(columns) == 1 and used[:, columns[0]].sum() == 1:
            t = int(columns[0])
            lines.append(
                Line(axis, outs[t], float(matrix[s, t]), float(offset[s]), source.shape[axis])
            )
        else:
            rest.append(s)
    if not rest:
        return lines, None
    columns = np.flatnonzero(used[rest].any(axis=0))
    return lines, Mixed(
        tuple([ours[s] for s in rest]),
        tuple([outs[int(t)] for t in columns]),
        tuple([tuple([float(matrix[s, t]) for t in columns]) for s in rest]),
        tuple([float(offset[s]) for s in rest]),
        tuple([source.shape[ours[s]] for s in rest]),
    )


def _places(ndim: int, ours: Sequence[int], n_new: int) -> list[tuple[str, int]]:
    """Say what each output axis is: an old one that is carried along, or a new one."""
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
    carried: Sequence[int],
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
    origin = (
        *[source._origin[r] for r in from_source],
        *[target._origin[r] for r in from_target],
    )
    shape, axes = [], []
    for which, number in places:
        if which == "new":
            axis = target._axes[theirs[number]]
            assert axis.column is not None
            shape.append(target.shape[theirs[number]])
            column = (*[0.0] * len(extra), *[axis.column[r] for r in from_target])
            axes.append(axis._replace(column=column))
        else:
            axis = source._axes[number]
            shape.append(source.shape[number])
            if number in carried:
                assert axis.column is not None
                column = (*[axis.column[r] for r in from_source], *[0.0] * len(common))
                axis = axis._replace(column=column)
            axes.append(axis)
    names = [axis.name for axis in axes]
    axes = [
        axis._replace(name=None) if which == "old" and names.count(axis.name) > 1 else axis
        for axis, (which, _) in zip(axes, places, strict=True)
    ]
    return Geometry((), origin=origin, world=world)._with(tuple(shape), tuple(axes), origin)
