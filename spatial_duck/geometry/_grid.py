"""The state of a geometry: an anchor grid, a map of integers over it, and the numbers of both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from spatial_duck._config import current, note_loss
from spatial_duck.geometry._anchor import (
    Anchor,
    PlacedAxis,
    Vector,
    forget,
    make_anchor,
    place_axes,
    place_origin,
)
from spatial_duck.geometry._map import IndexMap
from spatial_duck.geometry._validation import default_columns
from spatial_duck.geometry._world import World

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


__all__ = ["Grid"]

_new = object.__new__


class Grid:
    """Frozen state of a `Geometry`: everything else is a free function of it.

    The anchor and the map are what it is; origin and axes in the world follow from them, are
    worked out when first asked for, and kept. Equality and hash are of the numbers.
    """

    __slots__ = ("__weakref__", "_anchor", "_kept_axes", "_kept_origin", "_map")

    _anchor: Anchor
    _map: IndexMap
    _kept_axes: tuple[PlacedAxis, ...] | None
    _kept_origin: Vector | None

    def _with_map(self, grid: IndexMap, anchor: Anchor | None = None) -> Self:
        """Return a grid with another map, on the same anchor by default."""
        if anchor is None:
            anchor = self._anchor
        if grid[3]:
            anchor, grid = forget(anchor, grid)
        new = _new(self.__class__)
        new._anchor = anchor
        new._map = grid
        new._kept_axes = None
        new._kept_origin = None
        return new

    def _with_lossy_map(self, grid: IndexMap) -> Self:
        """Return a grid with another map; warn or raise for lost positions as `config` says."""
        if current().on_loss != "keep":
            old = {part for axis in self._map.axes for part in axis.uneven}
            for part in dict.fromkeys([part for axis in grid.axes for part in axis.uneven]):
                if part in old:
                    continue
                for i, axis in enumerate(self._map.axes):
                    steps = [source for source, _ in axis.steps]
                    if part.source in steps and self._axes[i].spacing is not None:
                        note_loss(part.function, i, axis.name)
        return self._with_map(grid)

    def _from_axes(
        self,
        shape: tuple[int, ...],
        axes: Sequence[PlacedAxis],
        origin: Vector,
        world: World,
        lost: Mapping[str, str] | None = None,
        along: Mapping[int, Vector] | None = None,
    ) -> Self:
        """Return a grid on an anchor of its own, from its numbers."""
        anchor, grid = make_anchor(shape, axes, origin, world, lost, along=along)
        return self._with_map(grid, anchor)

    # --- numbers --------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each array axis."""
        return self._map[0]

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return len(self._map[0])

    @property
    def world(self) -> World:
        """The world coordinates: names, units and frame."""
        return self._anchor[2]

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Name of each array axis."""
        return tuple([a[0] for a in self._map[1]])

    @property
    def sampled_axes(self) -> tuple[int, ...]:
        """The array axes that move through the world, as ints."""
        return tuple([i for i, a in enumerate(self._axes) if a.spacing is not None])

    @property
    def frame(self) -> str | None:
        """Which way the anatomical x, y and z point, or None for unspecified."""
        return self.world.frame

    @property
    def unit(self) -> tuple[str | None, ...]:
        """Unit of each world axis."""
        return self.world.units

    @property
    def lost(self) -> dict[Any, str]:
        """Functions that lost positions, by the number of the array axis or name of the world's."""
        return {**self.lost_axes, **dict(self._anchor.lost)}

    @property
    def lost_axes(self) -> dict[int, str]:
        """The array axes whose positions were lost, and the function that lost them."""
        return {i: a.lost for i, a in enumerate(self._axes) if a.lost is not None}

    @property
    def _origin(self) -> Vector:
        kept = self._kept_origin
        if kept is None:
            kept = self._kept_origin = place_origin(self._anchor, self._map)
        return kept

    @property
    def _axes(self) -> tuple[PlacedAxis, ...]:
        kept = self._kept_axes
        if kept is None:
            kept = self._kept_axes = place_axes(self._anchor, self._map)
        return kept

    def _along(self) -> dict[int, Vector]:
        """Return the world axes that each axis without positions ran along, as a column."""
        sources = self._anchor.sources
        found: dict[int, Vector] = {}
        for i, (axis, placed) in enumerate(zip(self._map.axes, self._axes, strict=True)):
            if placed.lost is None:
                continue
            columns = [sources[source].column for source, _ in axis.steps]
            columns += [sources[p.source].column for p in axis.uneven if p.source is not None]
            columns = [column for column in columns if column]
            if columns:
                found[i] = tuple([sum(map(abs, row)) for row in zip(*columns, strict=True)])
        return found

    def _numbers(self) -> tuple[Any, ...]:
        return (self._map[0], self._axes, self._origin, self._anchor[2], self._anchor[3])

    # --- as a value -----------------------------------------------------------------------

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Grid):
            return NotImplemented
        if self._anchor is other._anchor and self._map == other._map:
            return True
        return self._numbers() == other._numbers()

    def __hash__(self) -> int:
        return hash(self._numbers())

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (type(self), self._anchor, self._map)

    def __dask_tokenize__(self) -> tuple[Any, ...]:
        axes = tuple([tuple(axis) for axis in self._axes])
        world = self.world
        return (
            type(self).__name__, self.shape, axes, self._origin,
            (world.axes, world.units, world.frame), self._anchor.lost,
        )  # fmt: skip

    def __repr__(self) -> str:
        axes, world = self._axes, self.world
        parts = [f"shape={self.shape}"]
        parts.append(f"spacing={_short([a.spacing for a in axes if a.spacing is not None])}")
        parts.append(f"origin={_short(self._origin)}")
        columns = [a.column for a in axes if a.column is not None]
        rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
        names = [a.name for a in axes if a.spacing is not None]
        if columns != default_columns(names, world.axes):
            parts.append(f"direction=[{', '.join(_short(r) for r in rows)}]")
        parts.append(f"dims={tuple([a.name for a in axes])!r}")
        parts.append(f"world={world!r}")
        if self.lost:
            parts.append(f"lost={self.lost!r}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _restore(cls: type[Grid], anchor: Anchor, grid: IndexMap) -> Grid:
    """Rebuild a pickled geometry, to the bit."""
    new = _new(cls)
    new._anchor, new._map = anchor, grid
    new._kept_axes = new._kept_origin = None
    return new


def _short(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.10g}" for v in values) + ("," if len(values) == 1 else "") + ")"
