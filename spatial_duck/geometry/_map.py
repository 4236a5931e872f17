"""Maps of integers from the indices of an array to positions along the axes of an anchor.

An `IndexMap` says for each index of an array at which position along each axis of an anchor its
element lies. Positions are counted in half steps of the anchor, so that slices, flips, windows,
diagonals, means and differences stay exact however many of them follow each other. A geometry has
such a map over its anchor grid, and a lazy view of an array on disk one over its source array;
`index` applies a key to either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._keys import (
    count_axes,
    ellipsis_position,
    is_advanced,
    normalize_key,
    parse_advanced_key,
    too_many_indices,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

__all__ = [
    "NEW_AXIS",
    "Axis",
    "IndexMap",
    "UnevenSteps",
    "identity",
    "index",
    "merged_steps",
    "remove_axis",
    "to_array",
    "unique_names",
]


class UnevenSteps(NamedTuple):
    """How an array axis moves along an anchor axis by steps that are not all equal.

    Attributes
    ----------
    source : int or None
        The anchor axis; None if it is unknown.
    function : str
        The function that made the positions uneven, or lost them.
    positions : bytes or None
        Position of each element relative to the map's offset, in half steps, as little-endian
        int64; None if unknown.
    """

    source: int | None
    function: str
    positions: bytes | None = None


class Axis(NamedTuple):
    """How one array axis moves along the axes of the anchor.

    Attributes
    ----------
    name : str or None
        Name of the axis in ``dims``.
    steps : tuple of (int, int)
        Pairs of an anchor axis and the signed number of its steps that one index moves, by rising
        anchor axis; none of them 0. Empty for an axis that is new.
    uneven : tuple of UnevenSteps
        How it moves along the anchor axes along which its steps are not all equal.
    """

    name: str | None = None
    steps: tuple[tuple[int, int], ...] = ()
    uneven: tuple[UnevenSteps, ...] = ()


class IndexMap(NamedTuple):
    """Shape of an array, and where its elements lie on an anchor.

    Attributes
    ----------
    shape : tuple of int
        Shape of the array; NaN stands for a length that is not known without computing.
    axes : tuple of Axis
        One for each array axis.
    offset : tuple of int
        Position of the element at index 0, in half steps along each anchor axis.
    unknown : tuple of (int, str)
        Anchor axes along which the position is unknown, since an axis with lost positions was
        removed, and the function that lost them.
    """

    shape: tuple[int, ...]
    axes: tuple[Axis, ...]
    offset: tuple[int, ...]
    unknown: tuple[tuple[int, str], ...] = ()


NEW_AXIS = Axis()
_new_tuple = tuple.__new__


def identity(shape: tuple[int, ...]) -> IndexMap:
    """Return the map of an anchor onto itself."""
    axes = tuple([Axis(None, ((i, 1),)) for i in range(len(shape))])
    return IndexMap(shape, axes, (0,) * len(shape))


def to_array(positions: bytes) -> Ints:
    """Return the positions of `UnevenSteps` as an array."""
    return np.frombuffer(positions, "<i8")


def _to_bytes(positions: Any) -> bytes:
    return np.ascontiguousarray(positions, "<i8").tobytes()


def merged_steps(steps: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return one step for each anchor axis, the sum of those given, in the order of the axes."""
    total: dict[int, int] = {}
    for source, step in steps:
        total[source] = total.get(source, 0) + step
    return tuple([(source, total[source]) for source in sorted(total) if total[source]])


def unique_names(axes: Iterable[Axis]) -> tuple[Axis, ...]:
    """Return the axes without names that an earlier one has already."""
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
    """Remove an axis of length `n` from a map. No axis is removed in any other way.

    What stays is its index `at`, or (None) the centre of its extent; `offset` and `unknown` are
    those of the map, and are changed in place.
    """
    for source, step in axis[1]:
        offset[source] += step * (n - 1) if at is None else 2 * step * at
    for part in axis[2]:
        taken = 0 if at is None and n == 1 else at
        if part.source is None:
            continue
        if part.positions and taken is not None:
            offset[part.source] += int(to_array(part.positions)[taken])
        else:
            unknown.append((part.source, part.function))


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
    if len(keys) > len(shape) and sum(map(count_axes, keys)) > len(shape):
        raise too_many_indices(len(shape), keys)
    out_shape, out_axes, moved = [*shape], [*axes], [*offset]
    left: list[tuple[int, str]] = []
    i = j = 0  # the axis that the next part of the key indexes, and where it is in the result
    for k in keys:
        cls = k.__class__
        if cls is slice:
            if k.step is not None or k.start is not None or k.stop is not None:
                start, stop, step = k.indices(shape[i])
                out_shape[j] = len(range(start, stop, step))
                name, steps, uneven = axes[i]
                if start:
                    for source, size in steps:
                        moved[source] += 2 * size * start
                if step != 1 or uneven:
                    if len(steps) == 1:
                        ((source, size),) = steps
                        steps = ((source, size * step),)
                    else:
                        steps = tuple([(source, size * step) for source, size in steps])
                    axis = (name, steps, uneven and _take_uneven(uneven, k))
                    out_axes[j] = _new_tuple(Axis, axis)
            i += 1
            j += 1
        elif cls is int:
            n = shape[i]
            at = k + n if k < 0 else k
            if not 0 <= at < n:
                raise IndexError(f"index {k} is out of bounds for axis {i} with size {n}")
            _, steps, uneven = axes[i]
            if uneven:
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
            end = len(shape) - sum([count_axes(r) for r in rest])
            i, j = end, j + end - i
        else:
            return _index_arrays(grid, keys, function)
    unknown = (*unknown, *left) if left else unknown
    return _new_tuple(IndexMap, (tuple(out_shape), tuple(out_axes), tuple(moved), unknown))


def _take_uneven(uneven: tuple[UnevenSteps, ...], which: Any) -> tuple[UnevenSteps, ...]:
    """Return the uneven steps of the elements of an axis that the key `which` selects."""
    return tuple(
        [
            part
            if part.positions is None
            else part._replace(positions=_to_bytes(to_array(part.positions)[which]))
            for part in uneven
        ]
    )


def _index_arrays(grid: IndexMap, keys: tuple[Any, ...], function: str) -> IndexMap:
    """Return the map of ``array[keys]`` with NumPy integers, arrays and masks among the keys."""
    keys = tuple([normalize_key(k) for k in keys])
    if not any(map(is_advanced, keys)):
        return index(grid, keys, function)
    advanced = parse_advanced_key(grid.shape, keys)
    kept = index(grid, advanced.basic)
    offset, unknown = list(kept.offset), list(kept.unknown)
    new = [_NewAxis() for _ in advanced.shape]
    for a in advanced.indexed:
        axis, n = grid.axes[a], grid.shape[a]
        if a not in advanced.linear:
            _add_uneven(axis, n, advanced.indices[a], advanced.varying[a], new, offset, function)
            continue
        start, slopes = advanced.linear[a]
        along = [d for d, slope in enumerate(slopes) if slope]
        if not along:
            remove_axis(axis, n, start, offset, unknown)
        for d in along:
            new[d].names.append(axis.name)
            new[d].steps += [(source, size * slopes[d]) for source, size in axis.steps]
            elements = start + slopes[d] * np.arange(advanced.shape[d]) if len(along) == 1 else None
            new[d].add_uneven(axis.uneven, elements)
        if along:
            for source, size in axis.steps:
                offset[source] += 2 * size * start
    replaced = _result_axes(advanced.basic, advanced.indexed)
    shape = [n for i, n in enumerate(kept.shape) if i not in replaced]
    axes = [a for i, a in enumerate(kept.axes) if i not in replaced]
    shape[advanced.position : advanced.position] = advanced.shape
    axes[advanced.position : advanced.position] = [axis.to_axis() for axis in new]
    return IndexMap(tuple(shape), unique_names(axes), tuple(offset), tuple(unknown))


class _NewAxis:
    """Collects how one of the axes that index arrays make moves along the anchor."""

    def __init__(self) -> None:
        self.names: list[str | None] = []
        self.steps: list[tuple[int, int]] = []
        self.uneven: list[UnevenSteps] = []

    def add_uneven(self, uneven: tuple[UnevenSteps, ...], elements: Any) -> None:
        """Add the uneven steps of an axis of which some elements (None: unknown) are taken."""
        for part in uneven:
            if part.positions is None or elements is None:
                self.uneven.append(part._replace(positions=None))
            else:
                positions = _to_bytes(to_array(part.positions)[elements])
                self.uneven.append(part._replace(positions=positions))

    def to_axis(self) -> Axis:
        # A single axis of the source that moves along it keeps its name.
        name = self.names[0] if len(self.names) == 1 else None
        return Axis(name, merged_steps(self.steps), tuple(self.uneven))


def _add_uneven(
    axis: Axis,
    n: int,
    indices: Ints | None,
    varying: tuple[bool, ...],
    new: list[_NewAxis],
    offset: list[int],
    function: str,
) -> None:
    """Add an axis to the new ones along which its index varies; the offset goes to its centre."""
    along = [d for d, varies in enumerate(varying) if varies]
    known = indices is not None and len(along) == 1
    for d in along:
        # An axis that is spread over several is none of them.
        new[d].names.append(axis.name if len(along) == 1 else None)
        new[d].add_uneven(axis.uneven, indices.ravel() if known and indices is not None else None)
    for source, step in axis.steps:
        offset[source] += step * (n - 1)
        positions = None
        if known and indices is not None:
            positions = _to_bytes(step * (2 * indices.ravel().astype(np.int64) - (n - 1)))
        for d in along:
            new[d].uneven.append(UnevenSteps(source, function, positions))


def _result_axes(basic: tuple[slice | None, ...], indexed: tuple[int, ...]) -> list[int]:
    """Return where the axes that index arrays replace are in the result of the basic part."""
    full = [n for n, k in enumerate(basic) if k is not None]
    return [full[axis] for axis in indexed]
