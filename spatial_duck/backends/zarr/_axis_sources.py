"""The elements of a Zarr array that a view holds, axis by axis, and the view's chunks.

The map of a view over its source array is an `IndexMap`, like that of a geometry over its anchor. A
map is a view if each axis of the source appears in it at most once, along one axis of the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._map import to_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry._map import IndexMap

    Ints = NDArray[np.intp]

__all__ = ["AxisSource", "axis_sources", "chunk_sizes", "fixed_positions", "is_view"]


class AxisSource(NamedTuple):
    """Positions of one axis of a view along an axis of the source array.

    Attributes
    ----------
    source : int or None
        Axis of the source array; None for an axis along which all elements are the same.
    offset, step : int
        Position `i` of the axis is position ``offset + step * i`` of the source axis.
    index : ndarray of int, shape (n,), or None
        Position `i` is position ``index[i]`` instead, where an array selected them.
    """

    source: int | None
    offset: int = 0
    step: int = 1
    index: Any = None

    def positions(self, n: int) -> Ints:
        """Return the positions on the source axis of the `n` elements."""
        if self.index is not None:
            return self.index  # type: ignore[no-any-return]
        return self.offset + self.step * np.arange(n, dtype=np.intp)


def is_view(grid: IndexMap) -> bool:
    """Whether each axis of the source appears at most once in a map, along one axis of it."""
    seen: set[int | None] = set()
    for _, steps, uneven in grid[1]:
        if len(steps) + len(uneven) > 1:
            return False
        for source, _ in steps:
            if source in seen:
                return False
            seen.add(source)
        for part in uneven:
            if part.positions is None or part.source in seen:
                return False
            seen.add(part.source)
    return True


def axis_sources(grid: IndexMap) -> list[AxisSource]:
    """Return the source of each axis of a view."""
    sources = []
    for _, steps, uneven in grid.axes:
        if uneven:
            source, _, positions = uneven[0]
            halves = grid.offset[source] + to_array(positions)  # type: ignore[index, arg-type]
            sources.append(AxisSource(source, index=(halves // 2).astype(np.intp)))
        elif steps:
            ((source, step),) = steps
            sources.append(AxisSource(source, grid.offset[source] // 2, step))
        else:
            sources.append(AxisSource(None))
    return sources


def fixed_positions(grid: IndexMap) -> list[tuple[int, int]]:
    """Return the source axes that were indexed with an integer, and the position along each."""
    kept = {axis.source for axis in axis_sources(grid)}
    return [(k, halves // 2) for k, halves in enumerate(grid.offset) if k not in kept]


def chunk_sizes(axis: AxisSource, n: int, edges: Any) -> tuple[int, ...]:
    """Cut an axis of a view where the chunks of the source end.

    Parameters
    ----------
    axis : AxisSource
        Source of the axis.
    n : int
        Length of the axis.
    edges : int or ndarray of int
        Length of the source's chunks along the source axis, or where each of them begins,
        followed by where the last ends.

    Returns
    -------
    tuple of int
        Sizes that sum to `n`; each block lies in one chunk of the source.

    Examples
    --------
    >>> chunk_sizes(AxisSource(0, 9, -1), 10, 4)
    (2, 4, 4)
    >>> chunk_sizes(AxisSource(0, 1, 3), 4, 5)
    (2, 1, 1)
    """
    if axis.source is None or n == 0:
        return (n,)
    regular = isinstance(edges, int)
    if axis.index is not None:
        positions = axis.positions(n)
        chunk = positions // edges if regular else np.searchsorted(edges, positions, side="right")
        cuts = np.flatnonzero(np.diff(chunk)) + 1
        if len(cuts) >= 2 * len(np.unique(chunk)):
            # The order jumps between chunks: use blocks of the chunks' size, each reads several.
            size = edges if regular else int(np.diff(edges).max())
            cuts = np.arange(size, n, size)
    else:
        step = abs(axis.step)
        last = axis.offset + axis.step * (n - 1)
        first = min(axis.offset, last)
        stop = first + step * (n - 1) + 1
        if regular:
            inner = np.arange((first // edges + 1) * edges, stop, edges)
        else:
            inner = edges[(edges > first) & (edges < stop)]
        cuts = np.unique(-((first - inner) // step))
        if axis.step < 0:
            cuts = n - cuts[::-1]
    return tuple(np.diff([0, *cuts.tolist(), n]).tolist())
