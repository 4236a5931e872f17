"""The anchor grid under a map of integers, and the world positions that follow from both.

Spacing, origin and direction are worked out in one fixed order of summation, so that two ways to
one map give the same numbers to the bit. Everything is held in tuples of Python numbers: with two
to four axes these are several times faster than arrays.
"""

from __future__ import annotations

from functools import lru_cache
from math import hypot
from typing import TYPE_CHECKING, NamedTuple

from spatial_duck.geometry._map import Axis, IndexMap, UnevenSteps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spatial_duck.geometry._world import World

__all__ = [
    "Anchor",
    "PlacedAxis",
    "Source",
    "Vector",
    "forget",
    "forget_rows",
    "make_anchor",
    "place_axes",
    "place_origin",
    "rewrite_anchor",
    "used_sources",
]

Vector = tuple[float, ...]


class Source(NamedTuple):
    """One axis of an anchor.

    Attributes
    ----------
    spacing : float or None
        Length of one step; None for an axis that does not move through the world.
    column : tuple of float
        Unit vector along it, in world-axis order. Shorter than 1 where world axes are lost.
    lost : str or None
        The function by which world axes that it ran along were lost.
    """

    spacing: float | None
    column: Vector = ()
    lost: str | None = None


class Anchor(NamedTuple):
    """A grid, its world, and the world axes that were lost.

    Attributes
    ----------
    sources : tuple of Source
        Axes of the anchor.
    origin : tuple of float
        World position of offset 0.
    world : World
        The world coordinates.
    lost : tuple of (str, str)
        Names of world axes with unknown positions, and the functions that lost these.
    """

    sources: tuple[Source, ...]
    origin: Vector
    world: World
    lost: tuple[tuple[str, str], ...] = ()


class PlacedAxis(NamedTuple):
    """One array axis in the world.

    Attributes
    ----------
    name : str or None
        Name of the axis in ``dims``.
    spacing : float or None
        Distance between neighbouring voxel centres; None for a plain axis.
    column : tuple of float or None
        Unit vector along the axis, in world-axis order; None for a plain axis.
    lost : str or None
        For a plain axis that once was sampled: the function that lost its positions.
    """

    name: str | None = None
    spacing: float | None = None
    column: Vector | None = None
    lost: str | None = None


_new_tuple = tuple.__new__


def place_origin(anchor: Anchor, grid: IndexMap) -> Vector:
    """Return the world position of the element at index 0."""
    sources, start, _, _ = anchor
    _, axes, offset, _ = grid
    for axis in axes:
        if axis[2] and axis[1]:
            offset = _centred_offset(anchor, grid)
    origin = list(start)
    k = 0
    for halves in offset:
        if halves:
            spacing, column, _ = sources[k]
            if spacing is not None:
                length = spacing * (halves / 2)
                row = 0
                for c in column:
                    if c:
                        origin[row] += length * c
                    row += 1  # noqa: SIM113
        k += 1  # noqa: SIM113
    return tuple(origin)


def _centred_offset(anchor: Anchor, grid: IndexMap) -> tuple[int, ...]:
    """Return the offset at the centre of axes that lost positions by uneven steps."""
    offset = list(grid.offset)
    for axis, n in zip(grid.axes, grid.shape, strict=True):
        if axis.uneven and axis.steps and _place_axis(anchor, axis).lost is not None:
            for source, step in axis.steps:
                offset[source] += step * (n - 1)
    return tuple(offset)


def place_axes(anchor: Anchor, grid: IndexMap) -> tuple[PlacedAxis, ...]:
    """Return how each array axis moves through the world."""
    return tuple([_place_axis(anchor, axis) for axis in grid.axes])


def _place_axis(anchor: Anchor, axis: Axis) -> PlacedAxis:
    name, steps, uneven = axis
    sources = anchor[0]
    for source, function, _ in uneven:
        if source is None or sources[source][0] is not None:
            return PlacedAxis(name, None, None, function)
    if len(steps) == 1:
        ((source, step),) = steps
        spacing, column, lost = sources[source]
        if spacing is None or lost is not None:
            return PlacedAxis(name, None, None, lost)
        if step < 0:
            # 0.0 - c, because -c would turn 0.0 into -0.0.
            column = tuple([0.0 - c for c in column])
            step = -step
        # Twice as fast as PlacedAxis(...), which goes through a Python-level __new__.
        return _new_tuple(PlacedAxis, (name, spacing * step, column, None))
    vector = [0.0] * len(anchor.origin)
    for source, step in steps:
        spacing, column, lost = sources[source]
        if spacing is None:
            continue
        if lost is not None:
            return PlacedAxis(name, None, None, lost)
        vector = [v + spacing * step * c for v, c in zip(vector, column, strict=True)]
    length = hypot(*vector)
    if length == 0.0:
        return PlacedAxis(name)
    return PlacedAxis(name, length, tuple([v / length for v in vector]))


@lru_cache(maxsize=256)
def _shared_world(world: World) -> World:
    """Return one object for equal worlds, so that identity is enough to compare them."""
    return world


def make_anchor(
    shape: tuple[int, ...],
    axes: Sequence[PlacedAxis],
    origin: Vector,
    world: World,
    lost: Mapping[str, str] | None = None,
    *,
    along: Mapping[int, Vector] | None = None,
) -> tuple[Anchor, IndexMap]:
    """Return the anchor of a grid given by numbers, and the map that is its identity.

    `lost` names world axes with unknown positions, and `along` gives, for axes whose
    positions are lost, the world axes that they ran along, as a column.
    """
    sources, out = [], []
    for i, axis in enumerate(axes):
        if axis.spacing is not None and axis.column is not None:
            sources.append(Source(axis.spacing, axis.column))
            out.append(Axis(axis.name, ((i, 1),)))
        elif axis.lost is not None:
            column = (along or {}).get(i, ())
            sources.append(Source(1.0, column or (0.0,) * len(origin)))
            out.append(Axis(axis.name, (), (UnevenSteps(i if any(column) else None, axis.lost),)))
        else:
            sources.append(Source(None))
            out.append(Axis(axis.name, ((i, 1),)))
    anchor = Anchor(tuple(sources), origin, _shared_world(world), tuple((lost or {}).items()))
    return anchor, IndexMap(shape, tuple(out), (0,) * len(sources))


def forget(anchor: Anchor, grid: IndexMap) -> tuple[Anchor, IndexMap]:
    """Return anchor and map without world axes along which removed axes leave the position unknown.

    No more is lost than necessary. Only the world axes that the lost axis ran along
    leave the world; axes that have a component there have no positions any longer.
    """
    rows: dict[str, str] = {}
    for source, function in grid.unknown:
        for name, c in zip(anchor.world.axes, anchor.sources[source].column, strict=False):
            if c:
                rows.setdefault(name, function)
    return forget_rows(anchor, rows), grid._replace(unknown=())


def forget_rows(anchor: Anchor, rows: Mapping[str, str]) -> Anchor:
    """Return the anchor without world axes, by name, that a function lost."""
    world = anchor.world
    gone = {r: rows[name] for r, name in enumerate(world.axes) if name in rows}
    if not gone:
        return anchor
    kept = [r for r in range(len(world.axes)) if r not in gone]
    sources = []
    for spacing, column, lost in anchor.sources:
        if spacing is None:
            sources.append(Source(None))
            continue
        lost = lost or next((gone[r] for r in gone if column[r]), None)
        sources.append(Source(spacing, tuple([column[r] for r in kept]), lost))
    names = dict(anchor.lost) | {world.axes[r]: function for r, function in gone.items()}
    return Anchor(
        tuple(sources),
        tuple([anchor.origin[r] for r in kept]),
        world.take(kept),
        tuple(names.items()),
    )


def rewrite_anchor(anchor: Anchor, world: World, rows: Sequence[tuple[int, float]]) -> Anchor:
    """Return the anchor in another world: each new row is an old one times a factor."""
    sources = []
    for source in anchor.sources:
        spacing, old, lost = source
        if spacing is None or not any(old):
            sources.append(source._replace(column=(0.0,) * len(rows) if spacing else ()))
            continue
        factors = {abs(f) for r, f in rows if old[r]}
        if len(factors) <= 1:  # the axis keeps its line: no rounding of its column
            factor = factors.pop() if factors else 1.0
            column = tuple([old[r] * f / factor + 0.0 for r, f in rows])
            sources.append(Source(spacing * factor, column, lost))
        else:
            step = [spacing * old[r] * f for r, f in rows]
            length = hypot(*step)
            sources.append(Source(length, tuple([s / length for s in step]), lost))
    origin = tuple([anchor.origin[r] * f + 0.0 for r, f in rows])
    kept = tuple([(name, function) for name, function in anchor.lost if name not in world.axes])
    return Anchor(tuple(sources), origin, world, kept)


def used_sources(axes: Iterable[Axis]) -> set[int]:
    """Return the anchor axes that some array axes move along."""
    found = {source for axis in axes for source, _ in axis.steps}
    return found | {p.source for axis in axes for p in axis.uneven if p.source is not None}
