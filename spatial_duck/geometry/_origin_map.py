"""The map of a grid over the axes of the grid that it was made from, on any anchor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spatial_duck.geometry._map import Axis, IndexMap

if TYPE_CHECKING:
    from spatial_duck.geometry._grid import Grid

__all__ = ["index_map_of"]


def index_map_of(grid: Grid, base: Grid) -> IndexMap:
    """Return the map of a grid over the axes of another that some function made it of.

    Each axis of `base`, which is its own anchor, lies along a world axis of its own. The offset has
    an entry for each of them, and those that can no longer be followed are unknown.
    """
    anchor, own = grid._anchor, grid._map
    if anchor is base._anchor:
        return own
    names = {name: axis for axis, name in enumerate(base.world.axes)}
    row_of = {names[name]: r for r, name in enumerate(anchor.world.axes) if name in names}
    offset = [int(2 * anchor.origin[row_of[a]]) if a in row_of else 0 for a in range(len(names))]
    known = {a for a, r in row_of.items() if (2 * anchor.origin[r]).is_integer()}
    moves: dict[int, tuple[int, int]] = {}  # of a source: the axis that it is, and steps along it
    for k, (spacing, column, _) in enumerate(anchor.sources):
        if spacing is None:
            continue
        rows = [(a, column[r]) for a, r in row_of.items() if column[r]]
        for a, c in rows:
            step = c * spacing
            if len(rows) > 1 or not step.is_integer() or a in [axis for axis, _ in moves.values()]:
                known.discard(a)
            moves[k] = (a, int(step))
            offset[a] += int(step) * own.offset[k]
    axes = []
    for axis in own.axes:
        steps = [(moves[k][0], moves[k][1] * step) for k, step in axis.steps if k in moves]
        uneven = [p._replace(source=moves[p.source][0]) for p in axis.uneven if p.source in moves]
        axes.append(Axis(axis.name, tuple(steps), tuple(uneven)))
    unknown = tuple([(a, "") for a in range(len(names)) if a not in known])
    return IndexMap(own.shape, tuple(axes), tuple(offset), unknown)
