"""NumPy's indexing rules, without an array.

Used for the geometry of ``image[key]`` and for lazy views of Zarr arrays, so that both read a key
in the same way.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Walk", "consumed", "ellipsis_position", "is_array", "plain_key", "too_many", "walk"]


class Walk(NamedTuple):
    """The part of a key that is made of index arrays and masks, and of the integers beside them.

    Attributes
    ----------
    basic : tuple of (slice or None)
        The rest of the key, with a full slice for each axis in `taken`.
    taken : tuple of int
        The axes that the arrays index.
    place : int
        Where, among the axes of the result that come from `basic`, the new axes go.
    block : tuple of int
        Shape of the new axes.
    indices : dict of int to (ndarray of int or None)
        For each taken axis, the index along it; None where only computing would tell.
    lines : dict of int to (int, tuple of int)
        For each taken axis along which the index is a linear function all over the block: its
        value at the first element, and how it changes along each axis of the block.
    varying : dict of int to tuple of bool
        For each other axis, along which axes of the block its index changes, or may.
    """

    basic: tuple[slice | None, ...]
    taken: tuple[int, ...]
    place: int
    block: tuple[int, ...]
    indices: dict[int, Any]
    lines: dict[int, tuple[int, tuple[int, ...]]]
    varying: dict[int, tuple[bool, ...]]


def ellipsis_position(keys: tuple[Any, ...]) -> int:
    """Return the position of the Ellipsis, or -1; ``==`` on the arrays among the keys never runs.

    Raises
    ------
    IndexError
        If there is more than one.
    """
    found = [n for n, k in enumerate(keys) if k is Ellipsis]
    if len(found) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    return found[0] if found else -1


def is_array(key: Any) -> bool:
    """Whether a key that `plain_key` returned is an index array or a mask."""
    return not (key is None or key is Ellipsis or isinstance(key, slice | int))


def _is_mask(key: Any) -> bool:
    return "bool" in str(getattr(key, "dtype", ""))


def plain_key(key: Any) -> Any:
    """Return a key with sequences as arrays and integer-likes as int."""
    if key is None or key is Ellipsis or isinstance(key, slice):
        return key
    if isinstance(key, bool | np.bool_):
        return np.asarray(key)
    if not hasattr(key, "ndim") and (hasattr(key, "__len__") or hasattr(key, "__array__")):
        array = np.asarray(key)
        key = array.astype(np.intp) if array.size == 0 and array.dtype == np.float64 else array
    if getattr(key, "ndim", 0) == 0 and not _is_mask(key):
        try:
            return operator.index(key)
        except TypeError:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) and "
                f"integer or boolean arrays are valid indices, got {key!r}"
            ) from None
    if not (_is_mask(key) or "int" in str(key.dtype)):
        raise IndexError(
            f"arrays used as indices must be of integer (or boolean) type, not {key.dtype}"
        )
    return key


def consumed(key: Any) -> int:
    """Return how many array axes a key uses up."""
    if key is None or key is Ellipsis:
        return 0
    if isinstance(key, slice | int) and not isinstance(key, bool):
        return 1
    key = plain_key(key)
    return int(key.ndim) if _is_mask(key) else 1


def too_many(ndim: int, keys: tuple[Any, ...]) -> IndexError:
    """Return the error for a key with more indices than the array has axes."""
    return IndexError(
        f"too many indices for array: array is {ndim}-dimensional, "
        f"but {sum(consumed(k) for k in keys)} were indexed"
    )


def walk(shape: tuple[int, ...], keys: tuple[Any, ...]) -> Walk:
    """Take a key with index arrays apart.

    Parameters
    ----------
    shape : tuple of int
        Shape of what is indexed.
    keys : tuple
        What `plain_key` gave for each part of the key; at least one is an array.

    Returns
    -------
    Walk

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    """
    ndim = len(shape)
    free = ndim - sum(map(consumed, keys))
    if free < 0:
        raise too_many(ndim, keys)
    position = ellipsis_position(keys)
    parted = (
        position >= 0 and not free
    )  # an Ellipsis for no axis separates the arrays around it too
    if position < 0:
        position, keys = len(keys), (*keys, Ellipsis)
    keys = (*keys[:position], *[slice(None)] * free, *keys[position + 1 :])

    # Integers beside arrays count as arrays: they take part in deciding where the new axes go.
    basic: list[slice | None] = []
    places: list[int] = []
    indices: dict[int, Any] = {}  # axis: ints as a NumPy array, or None where they are unknown
    shapes: list[tuple[int, ...]] = []
    place = axis = 0
    for n, key in enumerate(keys):
        if key is None or isinstance(key, slice):
            basic.append(key)
            axis += key is not None
            continue
        if not places:
            place = len(basic)
        places.append(n + (parted and n >= position))
        for index in _indices(shape, axis, key, shapes):
            indices[axis] = index
            basic.append(slice(None))
            axis += 1
    if places[-1] - places[0] != len(places) - 1:
        place = 0
    block = _broadcast(shapes)
    single = len(indices) == 1 and len(block) == 1
    lines, varying = {}, {}
    for a, index in indices.items():
        if index is None:
            varying[a] = (True,) * len(block)
            continue
        start, slopes, fits = _line(index, len(block), single)
        if fits:
            lines[a] = (start, slopes)
        else:
            lead = (False,) * (len(block) - index.ndim)
            varying[a] = lead + tuple([n > 1 for n in index.shape])
    return Walk(tuple(basic), tuple(indices), place, block, indices, lines, varying)


def _indices(
    shape: tuple[int, ...], axis: int, key: Any, shapes: list[tuple[int, ...]]
) -> list[Any]:
    """Return the index along each axis that an advanced key takes; None where it is unknown."""
    if isinstance(key, int):
        n = shape[axis]
        if not -n <= key < n:
            raise IndexError(f"index {key} is out of bounds for axis {axis} with size {n}")
        shapes.append(())
        return [np.asarray(key % n)]
    if _is_mask(key):
        here = shape[axis : axis + key.ndim]
        if tuple(key.shape) != here and key.size:  # NumPy lets empty masks pass
            raise IndexError(
                f"boolean index has shape {tuple(key.shape)}, but the axes that it indexes have "
                f"shape {here}"
            )
        if not isinstance(key, np.ndarray):
            # Looking at the values would compute them or copy them to the host.
            shapes.append((float("nan"),))  # type: ignore[arg-type]
            return [None] * key.ndim
        if key.ndim == 0:
            shapes.append((int(key),))
            return []
        found = key.nonzero()
        shapes.append(found[0].shape)
        return list(found) if key.ndim == 1 else [None] * key.ndim
    shapes.append(tuple(key.shape))
    if not isinstance(key, np.ndarray):
        return [None]
    n = shape[axis]
    if key.size and (key.min() < -n or key.max() >= n):
        raise IndexError(f"an index is out of bounds for axis {axis} with size {n}")
    return [np.where(key < 0, key + n, key)]


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    known = [s for s in shapes if s == s and all(n == n for n in s)]
    try:
        block = np.broadcast_shapes(*known)
    except ValueError:
        raise IndexError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes "
            + " ".join(map(str, known))
        ) from None
    for s in shapes:
        if s not in known and len(block) <= 1:
            block = s
    return block


def _line(
    index: np.ndarray[Any, Any], ndim: int, single: bool
) -> tuple[int, tuple[int, ...], bool]:
    """Fit ``index[i] == start + slopes @ i``; return start, slopes and whether it holds."""
    slopes = [0] * ndim
    offset = ndim - index.ndim
    if not index.size:
        # Without indices there is no slope; a single empty axis counts as one of step 1.
        return 0, (1,) if single else tuple(slopes), True
    start = int(index.flat[0])
    expected: Any = np.asarray(start)
    for d, n in enumerate(index.shape):
        if n > 1:
            second = (0,) * d + (1,) + (0,) * (index.ndim - d - 1)
            slopes[offset + d] = int(index[second]) - start
        elif single:
            slopes[offset + d] = 1
        expected = np.add.outer(expected, slopes[offset + d] * np.arange(n))
    return start, tuple(slopes), bool(np.array_equal(expected, index))
