"""A map of integers from an array to the anchor that its elements lie on, and indexing of it.

An `IndexMap` says for each index of an array at which place of an anchor's axes its element lies.
Places are counted in half steps of the anchor, so that slices, flips, windows, diagonals, means
and differences stay exact however many of them follow each other. Geometries use such maps over
their anchor grid, and lazy views of arrays on disk over their source array: both by `index`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._keys import (
    consumed,
    ellipsis_position,
    is_array,
    plain_key,
    too_many,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = [
    "NEW_AXIS",
    "Axis",
    "IndexMap",
    "Path",
    "identity",
    "index",
    "merged_steps",
    "remove_axis",
    "to_array",
    "unique_names",
]


class Path(NamedTuple):
    """How an axis moves along an anchor axis where it does not do so in even steps.

    Attributes
    ----------
    source : int or None
        The anchor axis; None where nobody knows.
    function : str
        The function that made the positions uneven, or lost them.
    positions : bytes or None
        Distance of each element from the map's offset in half steps, as little-endian int64;
        None if unknown.
    """

    source: int | None
    function: str
    positions: bytes | None = None


class Axis(NamedTuple):
    """How one array axis moves along the axes of the anchor.

    Attributes
    ----------
    name : str or None
        Its name in ``dims``.
    steps : tuple of (int, int)
        Pairs of an anchor axis and the signed number of its steps that one index moves, by rising
        anchor axis; none of them 0. Empty for an axis that is new.
    paths : tuple of Path
        Where it moves unevenly.
    """

    name: str | None = None
    steps: tuple[tuple[int, int], ...] = ()
    paths: tuple[Path, ...] = ()


class IndexMap(NamedTuple):
    """Shape of an array, and where its elements lie on an anchor.

    Attributes
    ----------
    shape : tuple of int
        The array's; NaN stands for a length that only computing would tell.
    axes : tuple of Axis
        One for each array axis.
    offset : tuple of int
        Place of the element at index 0, in half steps along each anchor axis.
    unknown : tuple of (int, str)
        Anchor axes along which nobody knows the place, as an axis with lost positions has left,
        and the function that lost them.
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    offset: tuple[int, ...]
    unknown: tuple[tuple[int, str], ...] = ()


NEW_AXIS = Axis()
_new_tuple = tuple.__new__


def identity(shape: Iterable[int], names: Iterable[str | None] | None = None) -> IndexMap:
    """Return the map of an anchor onto itself."""
    shape = tuple(shape)
    names = (None,) * len(shape) if names is None else names
    axes = tuple([Axis(name, ((i, 1),)) for i, name in enumerate(names)])
    return IndexMap(shape, axes, (0,) * len(shape))


def to_array(positions: bytes) -> Ints:
    """Return the positions of a path as an array."""
    return np.frombuffer(positions, "<i8")


def _to_bytes(positions: Any) -> bytes:
    return np.ascontiguousarray(positions, "<i8").tobytes()


def merged_steps(steps: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Add steps along the same anchor axis, in the order of the anchor's axes."""
    total: dict[int, int] = {}
    for source, step in steps:
        total[source] = total.get(source, 0) + step
    return tuple([(source, total[source]) for source in sorted(total) if total[source]])


def unique_names(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Drop a name that an earlier axis has already."""
    seen: set[str] = set()
    out = []
    for axis in axes:
        if axis.name is not None and axis.name in seen:
            axis = axis._replace(name=None)
        elif axis.name is not None:
            seen.add(axis.name)
        out.append(axis)
    return tuple(out)


def remove_axis(
    axis: Axis, n: int, at: int | None, offset: list[int], unknown: list[tuple[int, str]]
) -> None:
    """Take an axis of length n away: the one place where axes leave.

    Parameters
    ----------
    axis : Axis
        The axis.
    n : int
        Its length.
    at : int or None
        The index that stays; None for the centre of its extent.
    offset, unknown : list
        Those of the map, which are changed.
    """
    for source, step in axis[1]:
        offset[source] += step * (n - 1) if at is None else 2 * step * at
    for path in axis[2]:
        taken = 0 if at is None and n == 1 else at
        if path.source is None:
            continue
        if path.positions and taken is not None:
            offset[path.source] += int(to_array(path.positions)[taken])
        else:
            unknown.append((path.source, path.function))


# --- indexing -----------------------------------------------------------------------------


def index(grid: IndexMap, key: Any, function: str = "indexing") -> IndexMap:
    """Return the map of ``array[key]``.

    Parameters
    ----------
    grid : IndexMap
        The map of the array.
    key : int, slice, None, Ellipsis, array of int or bool, or a tuple of these
        Any key that NumPy takes.
    function : str, optional
        Name under which positions that become uneven are noted.

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    """
    keys = key if key.__class__ is tuple else (key,)
    shape, axes, offset, unknown = grid
    if len(keys) > len(shape) and sum(map(consumed, keys)) > len(shape):
        raise too_many(len(shape), keys)
    out_shape, out_axes, moved = [*shape], [*axes], [*offset]
    left: list[tuple[int, str]] = []
    i = j = 0  # the axis that the next part of the key is for, before and after
    for k in keys:
        cls = k.__class__
        if cls is slice:
            if k.step is not None or k.start is not None or k.stop is not None:
                start, stop, step = k.indices(shape[i])
                out_shape[j] = len(range(start, stop, step))
                name, steps, paths = axes[i]
                if start:
                    for source, size in steps:
                        moved[source] += 2 * size * start
                if step != 1 or paths:
                    if len(steps) == 1:
                        ((source, size),) = steps
                        steps = ((source, size * step),)
                    else:
                        steps = tuple([(source, size * step) for source, size in steps])
                    axis = (name, steps, paths and _taken_paths(paths, k))
                    out_axes[j] = _new_tuple(Axis, axis)
            i += 1
            j += 1
        elif cls is int:
            n = shape[i]
            at = k + n if k < 0 else k
            if not 0 <= at < n:
                raise IndexError(f"index {k} is out of bounds for axis {i} with size {n}")
            _, steps, paths = axes[i]
            if paths:
                remove_axis(axes[i], n, at, moved, left)
            elif at:
                for source, size in steps:
                    moved[source] += 2 * size * at
            del out_shape[j], out_axes[j]
            i += 1
        elif k is None:
            out_shape.insert(j, 1)
            out_axes.insert(j, NEW_AXIS)
            j += 1
        elif k is Ellipsis:
            rest = keys[ellipsis_position(keys) + 1 :]
            end = len(shape) - sum([consumed(r) for r in rest])
            i, j = end, j + end - i
        else:
            return _index_arrays(grid, keys, function)
    unknown = (*unknown, *left) if left else unknown
    return _new_tuple(IndexMap, (tuple(out_shape), tuple(out_axes), tuple(moved), unknown))


def _taken_paths(paths: tuple[Path, ...], which: Any) -> tuple[Path, ...]:
    """Return the paths of some elements of an axis: `which` indexes positions."""
    return tuple(
        [
            path
            if path.positions is None
            else path._replace(positions=_to_bytes(to_array(path.positions)[which]))
            for path in paths
        ]
    )


def _index_arrays(grid: IndexMap, keys: tuple[Any, ...], function: str) -> IndexMap:
    """Index with NumPy integers, arrays and masks among the keys."""
    keys = tuple([plain_key(k) for k in keys])
    if not any(map(is_array, keys)):
        return index(grid, keys, function)
    walked = walk(grid.shape, keys)
    kept = index(grid, walked.basic)
    offset, unknown = list(kept.offset), list(kept.unknown)
    block = [_BlockAxis() for _ in walked.block]
    for a in walked.taken:
        axis, n = grid.axes[a], grid.shape[a]
        if a not in walked.lines:
            _walk_unevenly(axis, n, walked.indices[a], walked.varying[a], block, offset, function)
            continue
        start, slopes = walked.lines[a]
        along = [d for d, slope in enumerate(slopes) if slope]
        if not along:
            remove_axis(axis, n, start, offset, unknown)
        for d in along:
            block[d].names.append(axis.name)
            block[d].steps += [(source, size * slopes[d]) for source, size in axis.steps]
            elements = start + slopes[d] * np.arange(walked.block[d]) if len(along) == 1 else None
            block[d].add_paths(axis.paths, elements)
        if along:
            for source, size in axis.steps:
                offset[source] += 2 * size * start
    held = _held(walked.basic, walked.taken)
    shape = [n for i, n in enumerate(kept.shape) if i not in held]
    axes = [a for i, a in enumerate(kept.axes) if i not in held]
    shape[walked.place : walked.place] = walked.block
    axes[walked.place : walked.place] = [b.axis() for b in block]
    return IndexMap(tuple(shape), unique_names(axes), tuple(offset), tuple(unknown))


class _BlockAxis:
    """What moves along one of the axes that index arrays make."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.steps: list[tuple[int, int]] = []
        self.paths: list[Path] = []

    def add_paths(self, paths: tuple[Path, ...], elements: Any) -> None:
        """Add the paths of an axis of which some elements are taken; None where unknown."""
        for path in paths:
            if path.positions is None or elements is None:
                self.paths.append(path._replace(positions=None))
            else:
                positions = _to_bytes(to_array(path.positions)[elements])
                self.paths.append(path._replace(positions=positions))

    def axis(self) -> Axis:
        # The axis is still the one that moves along it, unless several do.
        name = self.names[0] if len(self.names) == 1 else None
        return Axis(name, merged_steps(self.steps), tuple(self.paths))


def _walk_unevenly(
    axis: Axis,
    n: int,
    indices: Ints | None,
    varying: tuple[bool, ...],
    block: list[_BlockAxis],
    offset: list[int],
    function: str,
) -> None:
    """Let an axis be walked in an order of no even step; the offset goes to its centre."""
    along = [d for d, varies in enumerate(varying) if varies]
    known = indices is not None and len(along) == 1
    for d in along:
        # Cut along several axes, it is none of them.
        block[d].names.append(axis.name if len(along) == 1 else None)
        block[d].add_paths(axis.paths, indices.ravel() if known and indices is not None else None)
    for source, step in axis.steps:
        offset[source] += step * (n - 1)
        positions = None
        if known and indices is not None:
            positions = _to_bytes(step * (2 * indices.ravel().astype(np.int64) - (n - 1)))
        for d in along:
            block[d].paths.append(Path(source, function, positions))


def _held(basic: tuple[slice | None, ...], taken: tuple[int, ...]) -> list[int]:
    """Return the axes of the basic part's result that index arrays take."""
    held, i = [], 0
    for n, k in enumerate(basic):
        if k is not None:
            if i in taken:
                held.append(n)
            i += 1
    return held
