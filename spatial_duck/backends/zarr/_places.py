"""Which elements of a Zarr array a view holds, axis by axis, and how its chunks cut them.

The map of a view over its source is an `IndexMap`, as of a geometry over its anchor. A map can be
kept as a view if each axis of the source appears in it at most once, along one axis of the view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._map import to_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry._map import IndexMap

    Ints = NDArray[np.intp]

__all__ = ["Place", "chunk_sizes", "fixed_of", "is_view", "places_of"]


class Place(NamedTuple):
    """Where one axis of a view lies in the source array.

    Attributes
    ----------
    source : int or None
        Axis of the source array; None for an axis along which all elements are the same.
    offset, step : int
        Position `i` of the axis is position ``offset + step * i`` of the source axis.
    index : ndarray of int, shape (n,), or None
        Or position ``index[i]``, where an array selected them.
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


def places_of(grid: IndexMap) -> list[Place]:
    """Return where each axis of a view lies."""
    found = []
    for _, steps, uneven in grid.axes:
        if uneven:
            source, _, positions = uneven[0]
            halves = grid.offset[source] + to_array(positions)  # type: ignore[index, arg-type]
            found.append(Place(source, index=(halves // 2).astype(np.intp)))
        elif steps:
            ((source, step),) = steps
            found.append(Place(source, grid.offset[source] // 2, step))
        else:
            found.append(Place(None))
    return found


def fixed_of(grid: IndexMap) -> list[tuple[int, int]]:
    """Return the axes of the source that the view has no axis of, and the position along each."""
    gone = {p.source for p in places_of(grid)}
    return [(k, halves // 2) for k, halves in enumerate(grid.offset) if k not in gone]


def chunk_sizes(place: Place, n: int, edges: Any) -> tuple[int, ...]:
    """Cut an axis of a view where the chunks of the source end.

    Parameters
    ----------
    place : Place
        Where the axis lies.
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
    >>> chunk_sizes(Place(0, 9, -1), 10, 4)
    (2, 4, 4)
    >>> chunk_sizes(Place(0, 1, 3), 4, 5)
    (2, 1, 1)
    """
    if place.source is None or n == 0:
        return (n,)
    regular = isinstance(edges, int)
    if place.index is not None:
        at = place.positions(n)
        chunk = at // edges if regular else np.searchsorted(edges, at, side="right")
        cuts = np.flatnonzero(np.diff(chunk)) + 1
        if len(cuts) >= 2 * len(np.unique(chunk)):
            # The order jumps between chunks: take whole blocks, each of which reads several.
            size = edges if regular else int(np.diff(edges).max())
            cuts = np.arange(size, n, size)
    else:
        step = abs(place.step)
        last = place.offset + place.step * (n - 1)
        first = min(place.offset, last)
        stop = first + step * (n - 1) + 1
        if regular:
            inner = np.arange((first // edges + 1) * edges, stop, edges)
        else:
            inner = edges[(edges > first) & (edges < stop)]
        cuts = np.unique(-((first - inner) // step))
        if place.step < 0:
            cuts = n - cuts[::-1]
    return tuple(np.diff([0, *cuts.tolist(), n]).tolist())
