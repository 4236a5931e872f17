"""NumPy's indexing rules, without an array.

The geometry of ``image[key]`` and lazy views of Zarr arrays both use them, so that a key means the
same to both.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "AdvancedKey",
    "count_axes",
    "ellipsis_position",
    "is_advanced",
    "normalize_key",
    "parse_advanced_key",
    "too_many_indices",
]


class AdvancedKey(NamedTuple):
    """A key with index arrays or masks ("advanced indexing"), split into its parts.

    The index arrays, the masks and the integers beside them are broadcast against each other; the
    axes of their common shape are the *new axes* of the result.

    Attributes
    ----------
    basic : tuple of (slice or None)
        The rest of the key, with a full slice for each axis in `indexed`.
    indexed : tuple of int
        The axes that the arrays index.
    position : int
        Where the new axes go among the axes of the result that come from `basic`.
    shape : tuple of int
        Shape of the new axes.
    indices : dict of int to (ndarray of int or None)
        For each indexed axis, the index along it; None where it is not known without computing.
    linear : dict of int to (int, tuple of int)
        For each indexed axis whose index is a linear function over the new axes: its value at the
        first element, and how it changes along each new axis.
    varying : dict of int to tuple of bool
        For each other indexed axis, along which new axes its index changes, or may change.
    """

    basic: tuple[slice | None, ...]
    indexed: tuple[int, ...]
    position: int
    shape: tuple[int, ...]
    indices: dict[int, Any]
    linear: dict[int, tuple[int, tuple[int, ...]]]
    varying: dict[int, tuple[bool, ...]]


def ellipsis_position(keys: tuple[Any, ...]) -> int:
    """Return the position of the Ellipsis, or -1, without comparing the arrays among the keys.

    Raises
    ------
    IndexError
        If there is more than one.
    """
    found = [n for n, k in enumerate(keys) if k is Ellipsis]
    if len(found) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    return found[0] if found else -1


def is_advanced(key: Any) -> bool:
    """Whether a part of a key, as `normalize_key` returns it, is an index array or a mask."""
    return not (key is None or key is Ellipsis or isinstance(key, slice | int))


def _is_mask(key: Any) -> bool:
    return "bool" in str(getattr(key, "dtype", ""))


def normalize_key(key: Any) -> Any:
    """Return a part of a key with sequences as arrays and integer-likes as int."""
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


def count_axes(key: Any) -> int:
    """Return how many array axes a part of a key indexes."""
    if key is None or key is Ellipsis:
        return 0
    if isinstance(key, slice | int) and not isinstance(key, bool):
        return 1
    key = normalize_key(key)
    return int(key.ndim) if _is_mask(key) else 1


def too_many_indices(ndim: int, keys: tuple[Any, ...]) -> IndexError:
    """Return the error for a key with more indices than the array has axes."""
    return IndexError(
        f"too many indices for array: array is {ndim}-dimensional, "
        f"but {sum(count_axes(k) for k in keys)} were indexed"
    )


def parse_advanced_key(shape: tuple[int, ...], keys: tuple[Any, ...]) -> AdvancedKey:
    """Split a key with index arrays, of parts that `normalize_key` gave, for an array of a shape.

    Raises
    ------
    IndexError
        If the key does not fit the shape.
    """
    ndim = len(shape)
    free = ndim - sum(map(count_axes, keys))
    if free < 0:
        raise too_many_indices(ndim, keys)
    position = ellipsis_position(keys)
    # An Ellipsis that stands for no axis still separates the arrays around it.
    is_separator = position >= 0 and not free
    if position < 0:
        position, keys = len(keys), (*keys, Ellipsis)
    keys = (*keys[:position], *[slice(None)] * free, *keys[position + 1 :])

    # Integers beside arrays count as arrays when NumPy decides where the new axes go.
    basic: list[slice | None] = []
    positions: list[int] = []  # of the arrays in the key
    indices: dict[int, Any] = {}
    shapes: list[tuple[int, ...]] = []
    first = axis = 0
    for n, key in enumerate(keys):
        if key is None or isinstance(key, slice):
            basic.append(key)
            axis += key is not None
            continue
        if not positions:
            first = len(basic)
        positions.append(n + (is_separator and n >= position))
        found, index_shape = _indices(shape, axis, key)
        shapes.append(index_shape)
        for index in found:
            indices[axis] = index
            basic.append(slice(None))
            axis += 1
    if positions[-1] - positions[0] != len(positions) - 1:
        first = 0
    new = _broadcast(shapes)
    single = len(indices) == 1 and len(new) == 1
    linear, varying = {}, {}
    for a, index in indices.items():
        if index is None:
            varying[a] = (True,) * len(new)
            continue
        start, slopes, fits = _fit_linear(index, len(new), single)
        if fits:
            linear[a] = (start, slopes)
        else:
            lead = (False,) * (len(new) - index.ndim)
            varying[a] = lead + tuple([n > 1 for n in index.shape])
    return AdvancedKey(tuple(basic), tuple(indices), first, new, indices, linear, varying)


def _indices(
    shape: tuple[int, ...], axis: int, key: Any
) -> tuple[list[NDArray[Any] | None], tuple[int, ...]]:
    """Return the index along each axis that a part of a key indexes, and their common shape.

    An index is None, and a length NaN, where it is not known without computing.
    """
    if isinstance(key, int):
        n = shape[axis]
        if not -n <= key < n:
            raise IndexError(f"index {key} is out of bounds for axis {axis} with size {n}")
        return [np.asarray(key % n)], ()
    if _is_mask(key):
        here = shape[axis : axis + key.ndim]
        if tuple(key.shape) != here and key.size:  # NumPy lets empty masks pass
            raise IndexError(
                f"boolean index has shape {tuple(key.shape)}, but the axes that it indexes have "
                f"shape {here}"
            )
        if not isinstance(key, np.ndarray):
            # Looking at the values would compute them or copy them to the host.
            return [None] * key.ndim, (float("nan"),)  # type: ignore[return-value]
        if key.ndim == 0:
            return [], (int(key),)
        found = key.nonzero()
        return list(found) if key.ndim == 1 else [None] * key.ndim, found[0].shape
    if not isinstance(key, np.ndarray):
        return [None], tuple(key.shape)
    n = shape[axis]
    if key.size and (key.min() < -n or key.max() >= n):
        raise IndexError(f"an index is out of bounds for axis {axis} with size {n}")
    return [np.where(key < 0, key + n, key)], key.shape


def _broadcast(shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the common shape of index arrays; NaN stands for an unknown length."""
    known = [s for s in shapes if s == s and all(n == n for n in s)]
    try:
        common = np.broadcast_shapes(*known)
    except ValueError:
        raise IndexError(
            "shape mismatch: indexing arrays could not be broadcast together with shapes "
            + " ".join(map(str, known))
        ) from None
    for s in shapes:
        if s not in known and len(common) <= 1:
            common = s
    return common


def _fit_linear(
    index: np.ndarray[Any, Any], ndim: int, single: bool
) -> tuple[int, tuple[int, ...], bool]:
    """Fit ``index[i] == start + slopes @ i``; return start, slopes and whether it holds."""
    slopes = [0] * ndim
    offset = ndim - index.ndim
    if not index.size:
        # Without indices there is no slope; a single empty axis counts as one with step 1.
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
