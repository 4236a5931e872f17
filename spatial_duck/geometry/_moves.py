"""Maps after NumPy's functions that move, add or remove voxels and axes.

Each function takes an `IndexMap` and gives that of the result; `Geometry` has a method of the same
name for each. Nothing here touches data or knows where the anchor lies.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any

from spatial_duck.geometry._map import (
    NEW_AXIS,
    Axis,
    IndexMap,
    UnevenSteps,
    index,
    merged_steps,
    remove_axis,
)
from spatial_duck.geometry._numbering import (
    as_tuple,
    normalize_axes,
    normalize_axis,
    pad_widths,
    swapped_axes,
)

__all__ = [
    "broadcast_to",
    "diagonal",
    "diff",
    "expand_dims",
    "flip",
    "lose",
    "mark_lost",
    "moveaxis",
    "pad",
    "reduce",
    "rename",
    "reshape",
    "resize_axis",
    "rot90",
    "shift",
    "squeeze",
    "swapaxes",
    "take_axes",
    "transpose",
    "unplace",
    "window",
    "with_shape",
]


_new_tuple = tuple.__new__
_ALL, _BACK = slice(None), slice(None, None, -1)

# --- turning ------------------------------------------------------------------------------


def flip(grid: IndexMap, axis: Any = None) -> IndexMap:
    """Return the geometry of ``np.flip(array, axis)``."""
    flipped = normalize_axes(axis, len(grid[0]))
    return index(grid, tuple([_BACK if i in flipped else _ALL for i in range(len(grid[0]))]))


def transpose(grid: IndexMap, axes: Sequence[int] | None = None) -> IndexMap:
    """Return the geometry of ``np.transpose(array, axes)``; None reverses the axes."""
    shape, old, offset, unknown = grid
    if axes is None:
        return _new_tuple(IndexMap, (shape[::-1], old[::-1], offset, unknown))
    order = normalize_axes(tuple(axes), len(old))
    if len(order) != len(old):
        raise ValueError("axes don't match array")
    turned = (tuple([shape[i] for i in order]), tuple([old[i] for i in order]), offset, unknown)
    return _new_tuple(IndexMap, turned)


def moveaxis(grid: IndexMap, source: Any, destination: Any) -> IndexMap:
    """Return the geometry of ``np.moveaxis(array, source, destination)``."""
    ndim = len(grid.shape)
    src, dst = normalize_axes(source, ndim), normalize_axes(destination, ndim)
    if len(src) != len(dst):
        raise ValueError(
            "`source` and `destination` arguments must have the same number of elements"
        )
    order = [i for i in range(ndim) if i not in src]
    for d, s in sorted(zip(dst, src, strict=True)):
        order.insert(d, s)
    return transpose(grid, order)


def swapaxes(grid: IndexMap, axis1: int, axis2: int) -> IndexMap:
    """Return the geometry of ``np.swapaxes(array, axis1, axis2)``."""
    return transpose(grid, swapped_axes(axis1, axis2, len(grid.shape)))


def rot90(grid: IndexMap, k: int = 1, axes: Sequence[int] = (0, 1)) -> IndexMap:
    """Return the geometry of ``np.rot90(array, k, axes)``."""
    first, second = normalize_axes(axes, len(grid.shape))
    turned = swapaxes(grid, first, second) if k % 2 else grid
    return flip(turned, ((), (first,), (first, second), (second,))[k % 4])


# --- more and fewer voxels ----------------------------------------------------------------


def shift(grid: IndexMap, axis: int, halves: int, size: int) -> IndexMap:
    """Return the map of `size` elements whose first lies some half voxels after the old first.

    Along an axis of uneven positions the new ones are unknown, unless nothing moves.
    """
    shape, axes, offset, unknown = grid
    old = axes[axis]
    if halves:
        moved = list(offset)
        for source, step in old[1]:
            moved[source] += step * halves
        offset = tuple(moved)
    if old[2] and (halves or size != shape[axis]):
        axes = _replace_axis(axes, axis, Axis(old.name, old.steps, _forget_positions(old.uneven)))
    shape = (*shape[:axis], size, *shape[axis + 1 :])
    return _new_tuple(IndexMap, (shape, axes, offset, unknown))


def pad(grid: IndexMap, pad_width: Any) -> IndexMap:
    """Return the geometry of ``np.pad(array, pad_width)``, whatever the padded values are.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    pad_width : int, (before, after), one such pair for each axis, or dict of them by axis
        Voxels added before and after, as `numpy.pad` takes them. May be negative, which crops.
    """
    for i, (before, after) in enumerate(pad_widths(pad_width, len(grid.shape))):
        if before or after:
            grid = shift(grid, i, -2 * before, grid.shape[i] + before + after)
    return grid


def resize_axis(grid: IndexMap, axis: int, size: int) -> IndexMap:
    """Return the geometry with another number of voxels along an axis, from the same start."""
    return shift(grid, normalize_axis(axis, len(grid.shape)), 0, size)


def with_shape(grid: IndexMap, shape: Sequence[int]) -> IndexMap:
    """Return the geometry with other numbers of voxels along its axes, from the same start."""
    old, axes, offset, unknown = grid
    new = tuple(shape)
    for i, (n, m) in enumerate(zip(old, new, strict=True)):
        name, steps, uneven = axes[i]
        if uneven and n != m and (unsure := _forget_positions(uneven)) is not uneven:
            axes = _replace_axis(axes, i, Axis(name, steps, unsure))
    return _new_tuple(IndexMap, (new, axes, offset, unknown))


def diff(grid: IndexMap, n: int = 1, axis: int = -1) -> IndexMap:
    """Return the geometry of ``np.diff(array, n, axis)``: between the voxels it subtracts."""
    i = normalize_axis(axis, len(grid.shape))
    return shift(grid, i, n, max(grid.shape[i] - n, 0))


def window(grid: IndexMap, window_shape: Any, axis: Any = None) -> IndexMap:
    """Return the geometry of ``sliding_window_view(array, window_shape, axis)``.

    The window axes come last, without a name, and are sampled with the step of the axis that they
    slide along: the point of ``[outer, inner]`` is the place of the voxel that is there.
    """
    sizes = as_tuple(window_shape)
    ndim = len(grid.shape)
    along = (
        tuple(range(ndim))
        if axis is None
        else tuple([normalize_axis(a, ndim) for a in as_tuple(axis)])
    )
    if len(sizes) != len(along):
        raise ValueError(
            f"Must provide matching length window_shape and axis; got {len(sizes)} "
            f"window_shape elements and {len(along)} axes elements."
        )
    inner = []
    for i, size in zip(along, sizes, strict=True):
        if size < 0:
            raise ValueError("`window_shape` cannot contain negative values")
        if grid.shape[i] < size:
            raise ValueError("window shape cannot be larger than input array shape")
        old = grid.axes[i]
        inner.append(Axis(None, old.steps, _forget_positions(old.uneven)))
        grid = shift(grid, i, 0, grid.shape[i] - (size - 1))
    return grid._replace(
        shape=(*grid.shape, *[int(size) for size in sizes]), axes=(*grid.axes, *inner)
    )


def diagonal(grid: IndexMap, offset: int = 0, axis1: int = 0, axis2: int = 1) -> IndexMap:
    """Return the geometry of ``np.diagonal(array, offset, axis1, axis2)``.

    The diagonal comes last, has no name and runs through both axes.
    """
    i, j = normalize_axes((axis1, axis2), len(grid.shape))
    k = operator.index(offset)
    down, right = max(-k, 0), max(k, 0)
    count = max(min(grid.shape[i] - down, grid.shape[j] - right), 0)
    key = [_ALL] * len(grid.shape)
    key[i], key[j] = slice(down, down + count), slice(right, right + count)
    shape, axes, place, unknown = index(grid, tuple(key))
    first, second = axes[i], axes[j]
    last = Axis(None, merged_steps(first.steps + second.steps), first.uneven + second.uneven)
    others = [a for a in range(len(shape)) if a not in (i, j)]
    return IndexMap(
        (*[shape[a] for a in others], count), (*[axes[a] for a in others], last), place, unknown
    )


# --- axes added and removed ---------------------------------------------------------------


def reduce(grid: IndexMap, axis: Any = None, keepdims: bool = False) -> IndexMap:
    """Return the geometry of a reduction such as ``array.sum(axis, keepdims=keepdims)``.

    The origin moves to the centre of the extent that is reduced. With `keepdims` a single voxel as
    thick as that extent stays.
    """
    shape, axes, _, _ = grid
    reduced = normalize_axes(axis, len(shape))
    if not keepdims:
        return _remove_axes(grid, reduced, None)
    offset, thick = list(grid.offset), list(axes)
    for i in reduced:
        name, steps, uneven = axes[i]
        for source, step in steps:
            offset[source] += step * (shape[i] - 1)
        steps = tuple([(source, step * max(shape[i], 1)) for source, step in steps])
        thick[i] = Axis(name, steps, uneven if shape[i] == 1 else _forget_positions(uneven))
    ones = tuple([1 if i in reduced else n for i, n in enumerate(shape)])
    return IndexMap(ones, tuple(thick), tuple(offset), grid.unknown)


def squeeze(grid: IndexMap, axis: Any = None) -> IndexMap:
    """Return the geometry of ``np.squeeze(array, axis)``."""
    if axis is None:
        axis = tuple([i for i, n in enumerate(grid.shape) if n == 1])
    gone = normalize_axes(axis, len(grid.shape))
    if any(grid.shape[i] != 1 for i in gone):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return _remove_axes(grid, gone, 0)


def _remove_axes(grid: IndexMap, gone: Sequence[int], at: int | None) -> IndexMap:
    """Return the map without some axes, at one index or (None) the centre of each."""
    shape, axes = grid.shape, grid.axes
    offset, unknown = list(grid[2]), list(grid[3])
    for i in gone:
        remove_axis(axes[i], shape[i], at, offset, unknown)
    stay = [i for i in range(len(shape)) if i not in gone]
    left = (tuple([shape[i] for i in stay]), tuple([axes[i] for i in stay]))
    return _new_tuple(IndexMap, (*left, tuple(offset), tuple(unknown)))


def expand_dims(grid: IndexMap, axis: Any) -> IndexMap:
    """Return the geometry of ``np.expand_dims(array, axis)``: the new axes are plain."""
    count = 1 if axis.__class__ is int or not hasattr(axis, "__len__") else len(axis)
    added = normalize_axes(axis, len(grid.shape) + count)
    shape, axes = list(grid.shape), list(grid.axes)
    for i in sorted(added):
        shape.insert(i, 1)
        axes.insert(i, NEW_AXIS)
    return _new_tuple(IndexMap, (tuple(shape), tuple(axes), grid[2], grid[3]))


def broadcast_to(grid: IndexMap, shape: Sequence[int]) -> IndexMap:
    """Return the geometry of ``np.broadcast_to(array, shape)``.

    New axes are plain, and so is an axis of length 1 that is stretched: all its voxels lie in one
    place.
    """
    out = tuple([n if n != n else operator.index(n) for n in as_tuple(shape)])
    extra = len(out) - len(grid.shape)
    pairs = list(zip(grid.shape, out[max(extra, 0) :], strict=False))
    # An unknown length (NaN) is assumed to be the one asked for.
    if extra < 0 or any(n not in (1, m) and n == n and m == m for n, m in pairs):
        raise ValueError(f"shape {grid.shape} cannot be broadcast to {out}")
    axes, offset = list(grid.axes), list(grid.offset)
    for i, ((n, m), axis) in enumerate(zip(pairs, grid.axes, strict=True)):
        if n == m or n != 1:
            continue
        left: list[tuple[int, str]] = []
        remove_axis(axis, 1, 0, offset, left)
        # An unknown position stays unknown after broadcasting.
        axes[i] = Axis(
            None, (), tuple([p for p in _forget_positions(axis.uneven) if _is_left(p, left)])
        )
    new = (NEW_AXIS,) * extra
    return IndexMap(out, new + tuple(axes), tuple(offset), grid.unknown)


def _is_left(part: UnevenSteps, left: list[tuple[int, str]]) -> bool:
    return part.source is None or (part.source, part.function) in left


def rename(grid: IndexMap, axis: int, name: str | None) -> IndexMap:
    """Return the geometry with another name for an axis."""
    i = normalize_axis(axis, len(grid.shape))
    return grid._replace(axes=_replace_axis(grid.axes, i, grid.axes[i]._replace(name=name)))


# --- losing positions ---------------------------------------------------------------------


def lose(
    grid: IndexMap, axis: Any, function: str, *, shape: Sequence[int] | None = None
) -> IndexMap:
    """Return the geometry with plain axes that note which function lost their positions.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    axis : int, sequence of int or None
        The axes; None for all.
    function : str
        Name of the function, for `lost` and for the errors of operations that need the positions.
    shape : sequence of int, optional
        The shape of the result, with as many axes, where the function changes it.

    Returns
    -------
    Geometry
        The origin is moved to the centre of the extent along the axes that are lost.
    """
    old, had, offsets, unknown = grid
    axes, offset = [*had], [*offsets]
    for i in normalize_axes(axis, len(axes)):
        name, steps, _ = axes[i]
        for source, step in steps:
            offset[source] += step * (old[i] - 1)
        axes[i] = _new_tuple(Axis, (name, (), _lost_steps((axes[i],), function)))
    out = old if shape is None else tuple(shape)
    return _new_tuple(IndexMap, (out, tuple(axes), tuple(offset), unknown))


def unplace(grid: IndexMap, axis: Any) -> IndexMap:
    """Return the geometry with axes that are plain: all their elements lie where the first does."""
    gone = normalize_axes(axis, len(grid.shape))
    axes = [Axis(a.name) if i in gone else a for i, a in enumerate(grid.axes)]
    return grid._replace(axes=tuple(axes))


def mark_lost(grid: IndexMap, axis: int, function: str) -> IndexMap:
    """Return the geometry with an axis that ran through another image's world, and lost it."""
    i = normalize_axis(axis, len(grid.shape))
    return grid._replace(
        axes=_replace_axis(
            grid.axes, i, Axis(grid.axes[i].name, (), (UnevenSteps(None, function),))
        )
    )


def take_axes(
    grid: IndexMap,
    shape: Sequence[int],
    sources: Iterable[int | tuple[int, ...] | None],
    function: str,
) -> IndexMap:
    """Return the geometry of a result whose axes are some of these axes, or new ones.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    shape : sequence of int
        Shape of the result.
    sources : iterable of (int, tuple of int or None)
        For each axis of the result, the axis of this grid that it is, whole and in order; or the
        axes whose positions it lost; None stands for all that no other axis of the result is.
    function : str
        The function that builds it.

    Returns
    -------
    Geometry
        The origin is moved to the centre of the extent along the axes that do not survive.
    """
    length, had, offsets, unknowns = grid
    wanted = tuple(sources)
    offset, unknown = [*offsets], [*unknowns]
    dropped = tuple([i for i in range(len(had)) if i not in wanted])
    axes: list[Axis] = []
    lost: dict[tuple[int, ...], Axis] = {}
    for group in wanted:
        if isinstance(group, int):
            axes.append(had[group])
            continue
        mixed = dropped if group is None else group
        if mixed not in lost:
            uneven = _lost_steps([had[i] for i in mixed], function)
            lost[mixed] = _new_tuple(Axis, (None, (), uneven))
        axes.append(lost[mixed])
    stay = [i for mixed in lost for i in mixed]
    for i in dropped:
        if i in stay:
            for source, step in had[i][1]:
                offset[source] += step * (length[i] - 1)
        else:
            remove_axis(had[i], length[i], None, offset, unknown)
    return _new_tuple(IndexMap, (tuple(shape), tuple(axes), tuple(offset), tuple(unknown)))


def reshape(
    grid: IndexMap, shape: Sequence[int], function: str = "reshape", order: str = "C"
) -> IndexMap:
    """Return the geometry of ``array.reshape(shape)``.

    An axis that stands alone before and after, with the same length, keeps its geometry; axes of
    length 1 come and go; all others are lost.

    Parameters
    ----------
    grid : Geometry
        The geometry.
    shape : sequence of int
        The new shape, without -1.
    function : str, optional
        Name under which lost axes are noted.
    order : {"C", "F"}, optional
        Which axis runs fastest.
    """
    if order == "F":
        return transpose(reshape(transpose(grid), tuple(shape)[::-1], function))
    new, old = tuple(shape), grid.shape
    #: For each new axis: the old one that it is, or those that it mixes; none for a new one.
    sources: list[int | tuple[int, ...]] = [()] * len(new)
    i = j = 0
    while i < len(old) or j < len(new):
        if i < len(old) and j < len(new) and old[i] == new[j]:
            sources[j] = i
            i, j = i + 1, j + 1
        elif j < len(new) and new[j] == 1:
            j += 1
        elif i < len(old) and old[i] == 1:
            i += 1
        elif i < len(old) and j < len(new):
            i, j = _group_axes(old, new, i, j, sources)
        else:  # lengths of 0 beside others
            mixed = tuple([k for k in range(len(old)) if k not in sources])
            sources = [mixed if source == () and n != 1 else source
                       for source, n in zip(sources, new, strict=True)]  # fmt: skip
            break
    return take_axes(grid, new, sources, function)


def _group_axes(
    old: tuple[int, ...],
    new: tuple[int, ...],
    i: int,
    j: int,
    sources: list[int | tuple[int, ...]],
) -> tuple[int, int]:
    """Return the ends of the shortest groups of old and new axes with equal numbers of voxels."""
    first, start = i, j
    left, right = old[i], new[j]
    i, j = i + 1, j + 1
    while left != right and (i < len(old) or j < len(new)):
        if (left < right and i < len(old)) or j >= len(new):
            left *= old[i]
            i += 1
        else:
            right *= new[j]
            j += 1
    for k in range(start, j):
        sources[k] = tuple(range(first, i))
    return i, j


def _lost_steps(axes: Iterable[Axis], function: str) -> tuple[UnevenSteps, ...]:
    """Return uneven steps of unknown positions along all anchor axes that some axes move along."""
    found: list[UnevenSteps] = []
    for _, steps, uneven in axes:
        if uneven:
            found += _forget_positions(uneven)
        for source, _ in steps:
            found.append(_new_tuple(UnevenSteps, (source, function, None)))
    return tuple(found)


def _forget_positions(uneven: tuple[UnevenSteps, ...]) -> tuple[UnevenSteps, ...]:
    """Return the uneven steps with unknown positions."""
    for part in uneven:
        if part[2] is not None:
            return tuple([p._replace(positions=None) for p in uneven])
    return uneven


def _replace_axis(axes: tuple[Axis, ...], i: int, new: Axis) -> tuple[Axis, ...]:
    return (*axes[:i], new, *axes[i + 1 :])
