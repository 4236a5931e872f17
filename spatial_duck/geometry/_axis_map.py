"""Where the axes of a result come from: any rule run on a grid of indices.

What an axis carries besides positions moves as its voxels do. Instead of a second set of rules,
run the one that there is on an `index_grid`, whose world coordinates are the indices of an array,
and read off with `axis_sources` which index of which axis each index of the result stands for::

    sources, fixed = axis_sources(rule(index_grid(shape, dims)))

Of several images each is asked for by itself: give the rule the index grid in place of the one, and
bare arrays of the right shape (``np.broadcast_to(np.empty(()), shape)``) in place of the others.
A function that moves voxels in a way that is no map (roll, sort) leaves the grid as it is: what
moves along it there is for the caller to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._geometry import Geometry
from spatial_duck.geometry._map import to_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.intp]

__all__ = ["AxisSource", "axis_sources", "index_grid"]


class AxisSource(NamedTuple):
    """Which indices of an axis of the operand an axis of the result stands for.

    Attributes
    ----------
    axis : int
        The operand's axis.
    start, step : float
        Index `i` stands for ``start + step * i``, which may lie outside the operand (padding) or
        between its indices (differences, thick voxels).
    index : ndarray of float or None
        The positions themselves, where they are not evenly spaced.
    """

    axis: int
    start: float
    step: float
    index: Any = None

    def indices(self, n: int) -> Ints | None:
        """Return the operand's index for each of the result's n; None if between two of them.

        Indices below 0 or beyond the operand stand for voxels that it does not have. Where the
        operand's voxels were cut into thinner ones, each stands for the one that it is a part of.
        """
        at = self.start + self.step * np.arange(n) if self.index is None else self.index
        nearest = np.rint(at)
        if (abs(at - nearest) == 0.5).any() or (abs(self.step) > 1 and (at != nearest).any()):
            return None
        return nearest.astype(np.intp)


class AxisSources(NamedTuple):
    """Where a result comes from.

    Attributes
    ----------
    axes : tuple of (AxisSource or None)
        For each axis of the result; None for one that is new, runs through several axes of the
        operand, or has lost its positions.
    fixed : dict of int to float
        For each axis of the operand that no axis of the result runs along, and of which the place
        is known: the index at which the result lies.
    """

    axes: tuple[AxisSource | None, ...]
    fixed: dict[int, float]


def index_grid(shape: Sequence[int], dims: Sequence[str | None] | None = None) -> Geometry:
    """Return a grid whose world coordinates are its indices, each along a world axis of its own.

    Parameters
    ----------
    shape : sequence of int
        Shape of the operand.
    dims : sequence of (str or None), optional
        Its names.
    """
    n = len(shape)
    return Geometry(
        shape,
        dims=(None,) * n if dims is None else dims,
        direction=np.eye(n),
        sampled=range(n),
        world=tuple([f"index {i}" for i in range(n)]),
    )


def axis_sources(result: Geometry) -> AxisSources:
    """Read off where the axes of a result come from that a rule made of an `index_grid`.

    Examples
    --------
    >>> axes, fixed = axis_sources(index_grid((4, 5, 6))[1, ::-2, [3, 0, 1]])
    >>> axes[0].axis, axes[0].indices(3).tolist(), axes[1].indices(3).tolist(), fixed
    (1, [4, 2, 0], [3, 0, 1], {0: 1.0})
    """
    axes = tuple([_source(result, i) for i in range(result.ndim)])
    along: set[int] = set()
    for i, axis in enumerate(result._axes):
        column = axis.column or result._along().get(i, ())
        along |= {_operand_axis(result, r) for r, c in enumerate(column) if c}
    fixed = {
        _operand_axis(result, r): at
        for r, at in enumerate(result._origin)
        if _operand_axis(result, r) not in along
    }
    return AxisSources(axes, fixed)


def _source(result: Geometry, i: int) -> AxisSource | None:
    placed, axis = result._axes[i], result._map.axes[i]
    if placed.spacing is not None and placed.column is not None:
        rows = [r for r, c in enumerate(placed.column) if c]
        if len(rows) != 1:
            return None
        step = placed.spacing * placed.column[rows[0]]
        return AxisSource(_operand_axis(result, rows[0]), result._origin[rows[0]], step)
    if len(axis.paths) != 1 or axis.steps:
        return None
    source, _, positions = axis.paths[0]
    if source is None or positions is None:
        return None
    spacing, column, _ = result._anchor.sources[source]
    rows = [r for r, c in enumerate(column) if c]
    if spacing is None or len(rows) != 1:
        return None
    step = spacing * column[rows[0]]
    index = result._origin[rows[0]] + step * to_array(positions) / 2
    return AxisSource(_operand_axis(result, rows[0]), 0.0, 0.0, index)


def _operand_axis(result: Geometry, row: int) -> int:
    return int(result._world.axes[row].removeprefix("index "))
