"""A key as NumPy reads it, split into steps that every library does alike.

Libraries differ where a key mixes integers, slices, new axes and arrays (``x[0, :, [0, 1]]`` has
another order of axes in PyTorch and Dask), where slices run backwards or past the ends, and where a
list stands for an array. `Steps` says what NumPy's key means: basic indexing by integers and slices
within bounds, then at most one index array along each axis or one for several axes together, then
a permutation of the axes, then new axes.
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
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry._keys import AdvancedKey

    Ints = NDArray[np.intp]

__all__ = ["Steps", "is_field", "open_key", "steps_of"]


class Steps(NamedTuple):
    """The steps by which a key is applied, in this order.

    Attributes
    ----------
    cut : tuple of (int or slice)
        One entry for each axis; integers are not negative, and slices lie within bounds. A slice
        that runs backwards has a stop of None where it ends with the first voxel.
    takes : tuple of (int, array)
        Axis of the array after `cut`, and one index along it: an array of int with one axis, or an
        array of the library itself, whose values are not looked at.
    points : tuple of (int, ndarray of int)
        Axes of the array after `cut` that are indexed together, and the indices, which broadcast.
        The axes of their common shape come first in the result. Empty if `takes` is not.
    order : tuple of int or None
        Permutation of the axes then.
    insert : tuple of int
        Where new axes of length 1 are inserted in the end.
    empty_axis : int or None
        The axis of the result that has no voxels, because there is a False in the key.
    """

    cut: tuple[int | slice, ...]
    takes: tuple[tuple[int, Any], ...] = ()
    points: tuple[tuple[int, Ints], ...] = ()
    order: tuple[int, ...] | None = None
    insert: tuple[int, ...] = ()
    empty_axis: int | None = None


def is_field(key: Any) -> bool:
    """Whether a key names fields of a structured type."""
    return isinstance(key, str) or (
        isinstance(key, list) and bool(key) and all(isinstance(k, str) for k in key)
    )


def steps_of(shape: tuple[int, ...], key: Any) -> Steps:
    """Return the steps of a key.

    Parameters
    ----------
    shape : tuple of int
        Shape of what is indexed; NaN for lengths that are unknown.
    key : object
        Any key that NumPy takes, with at most one array of another library.

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    TypeError
        If there are several arrays in the key and one of them is not NumPy's.

    Examples
    --------
    >>> steps_of((4, 5, 6), (0, slice(None), [0, 1])).order
    (1, 0)
    >>> steps_of((4,), slice(10, None, -2)).cut
    (slice(3, 0, -2),)
    """
    keys = key if key.__class__ is tuple else (key,)
    keys = tuple([normalize_key(k) for k in keys])
    if any(map(is_advanced, keys)):
        return _advanced_steps(shape, keys)
    cut: list[int | slice] = []
    insert: list[int] = []
    out = 0
    for k in _without_ellipsis(len(shape), keys):
        if k is None:
            insert.append(out)
        elif isinstance(k, int):
            cut.append(_from_start(k, len(cut), shape))
        else:
            cut.append(_bounded_slice(k, shape[len(cut)]))
        out += not isinstance(k, int)
    return Steps(tuple(cut), insert=tuple(insert))


def _without_ellipsis(ndim: int, keys: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the key with an entry for each axis and each new axis."""
    free = ndim - sum(map(count_axes, keys))
    if free < 0:
        raise too_many_indices(ndim, keys)
    at = ellipsis_position(keys)
    before, after = (keys, ()) if at < 0 else (keys[:at], keys[at + 1 :])
    return (*before, *[slice(None)] * free, *after)


def _from_start(k: int, axis: int, shape: tuple[int, ...]) -> int:
    """Return an integer index counted from the start of the axis, checked against its length."""
    n = shape[axis]
    if n == n and not -n <= k < n:
        raise IndexError(f"index {k} is out of bounds for axis {axis} with size {n}")
    return k + n if k < 0 and n == n else k


def _bounded_slice(k: slice, n: int) -> slice:
    """Return a slice with the same voxels whose ends lie within bounds."""
    if k.start is None and k.stop is None and k.step is None:
        return k
    if n != n:  # a length that is not known yet
        return k
    start, stop, step = k.indices(n)
    selected = range(start, stop, step)
    if not selected:
        return slice(0, 0)
    if step > 0:
        return slice(start, selected[-1] + 1, step)
    return slice(start, None if selected[-1] == 0 else selected[-1] - 1, step)


def _advanced_steps(shape: tuple[int, ...], keys: tuple[Any, ...]) -> Steps:
    advanced = parse_advanced_key(shape, keys)
    full = [k for k in advanced.basic if k is not None]
    foreign = [k for k in keys if is_advanced(k) and not isinstance(k, np.ndarray)]
    if foreign and (sum(map(is_advanced, keys)) > 1 or foreign[0].ndim != 1):
        raise TypeError(
            "a key with an array that is not NumPy's takes one such array of one axis, beside "
            "slices and integers; index in steps, or bring the arrays to NumPy first"
        )
    indices = _block_indices(shape, keys, len(advanced.shape))
    cut: list[int | slice] = [_bounded_slice(k, n) for k, n in zip(full, shape, strict=True)]
    moving = {
        a: [d for d, n in enumerate(x.shape) if n != 1] if isinstance(x, np.ndarray) else [0]
        for a, x in indices.items()
    }
    used = [d for along in moving.values() for d in along]
    separate = len(used) == len(set(used)) and all(len(m) < 2 for m in moving.values())
    steps = (
        _separate_steps(advanced, cut, indices, moving)
        if separate
        else _joint_steps(advanced, cut, indices)
    )
    flags = [bool(k) for k in keys if is_advanced(k) and not k.ndim]
    if not all(flags) and all(index.shape[-1] for index in indices.values()):
        # The last of the new axes has no voxels; until the end it is treated as of length 1.
        return steps._replace(empty_axis=advanced.position + len(advanced.shape) - 1)
    return steps


def _separate_steps(
    advanced: AdvancedKey, cut: list[Any], indices: dict[int, Any], moving: Any
) -> Steps:
    """Return the steps for arrays each of which varies along a new axis of its own."""
    for a, index in indices.items():
        if not moving[a]:  # the same as an integer
            cut[a] = int(index.ravel()[0])
    left = [a for a in range(len(cut)) if not isinstance(cut[a], int)]
    takes = tuple([
        (left.index(a), index if index.ndim == 1 else index.ravel())
        for a, index in indices.items() if moving[a]
    ])  # fmt: skip
    block: list[int | None] = [None] * len(advanced.shape)
    for a in indices:
        if moving[a]:
            block[moving[a][0]] = left.index(a)
    rest = [left.index(a) for a in left if a not in advanced.indexed]
    return _make_steps(advanced, tuple(cut), takes, (), rest, block)


def _joint_steps(advanced: AdvancedKey, cut: list[Any], indices: dict[int, Any]) -> Steps:
    """Return the steps for arrays that index several axes together."""
    n = len(advanced.shape)
    rest = list(range(n, n + len(cut) - len(advanced.indexed)))
    points = tuple(indices.items())
    return _make_steps(advanced, tuple(cut), (), points, rest, list(range(n)))


def _make_steps(
    advanced: AdvancedKey,
    cut: Any,
    takes: Any,
    points: Any,
    rest: list[int],
    block: list[int | None],
) -> Steps:
    """Return steps that put the new axes (`block`) and the inserted ones where NumPy has them."""
    taken = set(advanced.indexed)
    layout: list[int | None] = []
    axis, others = 0, iter(rest)
    for k in advanced.basic:
        if k is None:
            layout.append(None)
            continue
        if axis not in taken:
            layout.append(next(others))
        axis += 1
    layout[advanced.position : advanced.position] = block
    order = tuple([a for a in layout if a is not None])
    insert = tuple([n for n, a in enumerate(layout) if a is None])
    return Steps(cut, takes, points, None if order == tuple(sorted(order)) else order, insert)


def _block_indices(shape: tuple[int, ...], keys: tuple[Any, ...], ndim: int) -> dict[int, Any]:
    """Return the index along each axis that arrays and the ints beside them take, none negative.

    Of keys that `normalize_key` gave. NumPy's arrays get `ndim` axes, as many as are new in the
    result; an array of another library stays as it is.
    """
    found: dict[int, Any] = {}
    axis = 0
    for k in _without_ellipsis(len(shape), keys):
        if isinstance(k, slice):
            axis += 1
        elif k is not None and not isinstance(k, int | np.ndarray):
            found[axis] = k
            axis += 1
        elif k is not None:
            array = np.asarray(k)
            parts: Sequence[Any] = (array,)
            if array.dtype == bool:
                parts = array.nonzero() if array.ndim else ()
            for part in parts:
                part = np.where(part < 0, part + shape[axis], part).astype(np.intp)
                found[axis] = part.reshape((1,) * (ndim - part.ndim) + part.shape)
                axis += 1
    return found


def open_key(shape: tuple[int, ...], key: Any) -> tuple[Ints, ...]:
    """Return an index array for each axis which together select what a key selects.

    They broadcast to the shape of ``array[key]``, each with its values along its own axes, as
    those that `numpy.ix_` returns do. All libraries read such a key alike.

    Examples
    --------
    >>> [index.shape for index in open_key((4, 5, 6), (0, slice(None), [0, 1]))]
    [(1, 1), (1, 5), (2, 1)]
    """
    steps = steps_of(shape, key)
    if any(not isinstance(k, np.ndarray) for _, k in steps.takes):
        raise TypeError("a key with an array that is not NumPy's cannot be written through")
    left = [a for a, k in enumerate(steps.cut) if not isinstance(k, int)]
    lines = {left.index(a): np.arange(shape[a], dtype=np.intp)[steps.cut[a]] for a in left}
    for j, index in steps.takes:
        lines[j] = lines[j][index]
    joint = dict(steps.points)
    n = max([index.ndim for index in joint.values()], default=0)
    axes = {j: n + i for i, j in enumerate(j for j in range(len(left)) if j not in joint)}
    order = steps.order or tuple(range(n + len(axes)))
    places = [p for p in range(len(order) + len(steps.insert)) if p not in steps.insert]
    final = {axis: places[order.index(axis)] for axis in range(len(order))}
    ndim = len(places) + len(steps.insert)

    def spread(values: Ints, along: list[int]) -> Ints:
        sizes = dict(zip(along, values.shape, strict=True))
        moved = values.transpose(np.argsort(along)) if along else values
        return moved.reshape([sizes.get(p, 1) for p in range(ndim)])

    out = []
    for a, k in enumerate(steps.cut):
        if isinstance(k, int):
            out.append(np.full((1,) * ndim, k, np.intp))
        elif (j := left.index(a)) in joint:
            out.append(spread(lines[j][joint[j]], [final[d] for d in range(n)]))
        else:
            out.append(spread(lines[j], [final[axes[j]]]))
    if steps.empty_axis is not None and out:
        out[0] = out[0][(slice(None),) * steps.empty_axis + (slice(0, 0),)]
    return tuple(out)
