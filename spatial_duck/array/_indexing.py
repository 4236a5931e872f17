"""Read and write images by any key that NumPy takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.array import _carry as carry
from spatial_duck.array._callers import reads_orthogonally
from spatial_duck.array._ordered import KEY, ordered_field
from spatial_duck.array._state import ImageState, adapt_shape, copy_attrs
from spatial_duck.backends._keys import is_field
from spatial_duck.geometry import _align as alignment
from spatial_duck.geometry._keys import count_axes

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = ["assign", "select"]


def select(image: ImageState, key: Any) -> Any:
    """Return ``image[key]``."""
    if isinstance(key, str) and (ordered := _ordered_field_of(image, key)):
        return ordered_field(image.geometry, *ordered)
    bare = key if is_field(key) else _bare_key(image, key)
    if backends.is_dask(image._data) and _has_several_arrays(bare) and reads_orthogonally():
        raise NotImplementedError("arrays for several axes: one after the other is another key")
    geometry = image.geometry if is_field(key) else image.geometry[_place_key(key, bare)]
    data = backends.index(image._data, bare)
    if getattr(data, "ndim", 0) == 0 and not backends.keeps_scalars(data):
        return data
    coords = image._coords
    if coords is not None and not is_field(key):
        coords = carry.index_coords(coords, image._data.shape, bare)
    return image._wrap(data, adapt_shape(geometry, data), copy_attrs(image._attrs), coords)


def assign(image: ImageState, key: Any, value: Any) -> None:
    """Do ``image[key] = value``."""
    if isinstance(key, str) and (ordered := _ordered_field_of(image, key)):
        raise IndexError(
            f"{key!r} cannot be set, as others may share the geometry: make another image with "
            f"image.replace({ordered[0]}=...)"
        )
    bare = key if is_field(key) else _bare_key(image, key)
    if isinstance(value, ImageState):
        target = image.geometry if is_field(key) else image.geometry[bare]
        check_writable("assignment", target, value.geometry)
        carry.check_written(image, bare, value)
        value = value._data
    backends.assign(image._data, bare, value)


def check_writable(function: str, target: Geometry, source: Geometry) -> None:
    """Check that an image that is written lies on the grid of the voxels that it replaces.

    Raises
    ------
    GeometryMismatchError
        If it lies elsewhere.
    ValueError
        If it does not broadcast to their shape.
    """
    merged = alignment.broadcast(function, (target, source))
    if merged.shape != target.shape:
        raise ValueError(
            f"{function}: could not broadcast input array from shape {source.shape} into shape "
            f"{target.shape}"
        )


def _has_several_arrays(key: Any) -> bool:
    return isinstance(key, tuple) and sum([hasattr(k, "ndim") and k.ndim > 0 for k in key]) > 1


def _ordered_field_of(image: ImageState, key: str) -> tuple[str, str] | None:
    """Return field and order of ITK's keys, or None; fields of structured data come first."""
    found = KEY.fullmatch(key)
    if found is None or key in (getattr(image._data.dtype, "names", None) or ()):
        return None
    return found[1], found[2]


def _bare_key(image: ImageState, key: Any) -> Any:
    """Return a key of arrays in place of images and sequences."""
    if key.__class__ is not tuple:
        return _bare_part(image, (key,), 0)
    return tuple([_bare_part(image, key, n) for n in range(len(key))])


def _bare_part(image: ImageState, keys: tuple[Any, ...], n: int) -> Any:
    part = keys[n]
    if isinstance(part, ImageState):
        if part.geometry.ndim and "bool" in str(part._data.dtype):
            _check_mask(image.geometry, keys, n, part.geometry)
        return part._data
    if isinstance(part, range | memoryview):  # sequences that NumPy takes as arrays
        index = np.asarray(part)
        return index if index.size else index.astype(np.intp)
    return part


class _DataIndex(NamedTuple):
    """An index array that is an image, without its values."""

    dtype: Any
    shape: tuple[int, ...]
    ndim: int


def _place_key(key: Any, bare: Any) -> Any:
    """Return the key for the geometry, in which the values of images are unknown.

    The positions of a result must not depend on the values of an index that is itself data: Dask
    indexes like this to find the largest of the maxima of chunks.
    """
    if bare.__class__ is not tuple:
        return _place_key((key,), (bare,))[0] if isinstance(key, ImageState) else bare
    return tuple([
        _DataIndex(b.dtype, tuple(b.shape), b.ndim)
        if isinstance(k, ImageState) and b.ndim and "int" in str(b.dtype) else b
        for k, b in zip(key, bare, strict=True)
    ])  # fmt: skip


def _check_mask(ours: Geometry, keys: tuple[Any, ...], n: int, mask: Geometry) -> None:
    """Raise where a mask does not lie on the grid of the voxels that it selects from."""
    before, after = ([count_axes(k) for k in part] for part in (keys[:n], keys[n:]))
    start = ours.ndim - sum(after) if any(k is Ellipsis for k in keys[:n]) else sum(before)
    covered = range(start, start + mask.ndim)
    if ours.shape[start : covered.stop] == mask.shape:
        # The axes that the mask does not cover are free, as in broadcasting.
        free = tuple([i for i in range(ours.ndim) if i not in covered])
        alignment.broadcast("indexing with a mask", (ours, mask.expand_dims(free)))
