"""Data and where they lie, held together, and indexing of both: `Holder`.

What moves the geometry and can neither fail nor lose anything waits until the geometry is first
asked for: a slice costs little more than that of the bare array.
"""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import SpatialDuckError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as mixing
from spatial_duck.geometry._keys import consumed
from spatial_duck.rules._rule import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Deferred = tuple[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any], int]

__all__ = ["Holder", "copied", "fitted"]

_new = object.__new__

#: Parts of a key that is plain indexing and cannot change later.
_BASIC_KEYS = frozenset({int, slice, type(None), EllipsisType})
#: So many moves wait at most before the first of them is worked out.
_MAX_DEFERRED = 32


class Holder:
    """Data, their geometry and free metadata: what `SpatialArray` is made of."""

    __slots__ = ("__weakref__", "_attrs", "_data", "_geometry")

    _data: Any
    _geometry: Geometry | Deferred
    _attrs: dict[str, Any] | None

    @classmethod
    def _wrap(
        cls, data: Any, geometry: Geometry | Deferred, attrs: dict[str, Any] | None = None
    ) -> Self:
        """Make an image without checks; `attrs` becomes its own."""
        self = _new(cls)
        self._data = data
        self._geometry = geometry
        self._attrs = attrs
        return self

    @property
    def data(self) -> Any:
        """The backing array."""
        return self._data

    @property
    def geometry(self) -> Geometry:
        """Shape and place of the image in the world."""
        geometry = self._geometry
        if geometry.__class__ is not tuple:
            return geometry  # type: ignore[return-value]
        return self._settle()

    def _settle(self) -> Geometry:
        """Work out the moves that wait, from the oldest on."""
        waiting: list[Deferred] = []
        geometry: Any = self._geometry
        while geometry.__class__ is tuple:
            waiting.append(geometry)
            geometry = geometry[1]
        for move, _, arguments, keywords, _ in reversed(waiting):
            geometry = move(geometry, *arguments, **keywords)
        self._geometry = geometry = fitted(geometry, self._data)
        return geometry  # type: ignore[no-any-return]

    def _defer(
        self, move: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Deferred:
        """Note a move of this image's geometry, for later."""
        geometry = self._geometry
        depth = 1
        if geometry.__class__ is tuple:
            depth = geometry[4] + 1
            if depth > _MAX_DEFERRED:
                geometry, depth = self._settle(), 1
        return (move, geometry, arguments, keywords, depth)

    # --- indexing -------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """Return the voxels that a NumPy key selects, each in its place.

        Basic keys move the geometry exactly. Index arrays that walk the grid in even steps do so
        too; axes indexed in another way become plain (see `Geometry.lost`). A mask that is an
        image must lie on this image's grid.
        """
        if key.__class__ is tuple:
            for k in key:
                if k.__class__ not in _BASIC_KEYS:
                    return self._index_general(key)
        elif key.__class__ not in _BASIC_KEYS:
            return self._index_general(key)
        data = self._data
        data = data[key] if data.__class__ is np.ndarray else backends.index(data, key)
        if data.ndim == 0 and not backends.keeps_scalars(data):
            return data
        new = _new(self.__class__)
        new._data = data
        geometry = self._geometry
        if geometry.__class__ is tuple:
            new._geometry = self._defer(Geometry.__getitem__, (key,), {})
        else:
            new._geometry = (Geometry.__getitem__, geometry, (key,), {}, 1)
        attrs = self._attrs
        new._attrs = attrs.copy() if attrs else None
        return new

    def _index_general(self, key: Any) -> Any:
        if _is_field(key):
            return self._with_data(self._data[key], self.geometry)
        bare = self._bare_key(key)
        data = backends.index(self._data, bare)
        if getattr(data, "ndim", 0) == 0 and not backends.keeps_scalars(data):
            return data
        attrs = self._attrs
        geometry = fitted(self.geometry[bare], data)
        return self._wrap(data, geometry, attrs.copy() if attrs else None)

    def _bare_key(self, key: Any) -> Any:
        """Take the images out of a key; a mask must lie on the grid that it selects from."""
        keys = key if key.__class__ is tuple else (key,)
        bare = []
        for k in keys:
            if isinstance(k, Holder):
                if k.geometry.ndim and "bool" in str(k._data.dtype):
                    self._check_mask(keys, k)
                bare.append(k._data)
            else:
                bare.append(k)
        return tuple(bare) if key.__class__ is tuple else bare[0]

    def _check_mask(self, keys: tuple[Any, ...], mask: Holder) -> None:
        """Refuse a mask that lies elsewhere than the voxels that it selects from."""
        ours, theirs = self.geometry, mask.geometry
        n = next(n for n, k in enumerate(keys) if k is mask)
        before, after = ([consumed(k) for k in part] for part in (keys[:n], keys[n:]))
        start = ours.ndim - sum(after) if any(k is Ellipsis for k in keys[:n]) else sum(before)
        covered = range(start, start + theirs.ndim)
        if ours.shape[start : covered.stop] == theirs.shape:
            # The axes that the mask does not cover are as free as in broadcasting.
            free = tuple([i for i in range(ours.ndim) if i not in covered])
            mixing.broadcast("indexing with a mask", (ours, theirs.expand_dims(free)))

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write voxels into the backing array.

        An image that is written must lie on the grid of the voxels that it replaces.
        """
        field = _is_field(key)
        bare = key if field else self._bare_key(key)
        if isinstance(value, Holder):
            target = self.geometry if field else self.geometry[bare]
            merged = mixing.broadcast("assignment", (target, value.geometry))
            if merged.shape != target.shape:
                raise ValueError(
                    f"could not broadcast input array from shape {value.geometry.shape} into "
                    f"shape {target.shape}"
                )
            value = value._data
        backends.assign(self._data, bare, value)

    def _with_data(self, data: Any, geometry: Geometry) -> Any:
        """Make an image of this one's kind; a 0-d result stays what the backend gave."""
        if getattr(data, "ndim", 0) == 0:
            return data
        attrs = self._attrs
        return self._wrap(data, fitted(geometry, data), attrs.copy() if attrs else None)


def _is_field(key: Any) -> bool:
    return isinstance(key, str) or (
        isinstance(key, list) and bool(key) and all(isinstance(k, str) for k in key)
    )


def copied(attrs: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return attrs that another image may have as its own."""
    return attrs.copy() if attrs else None


def fitted(geometry: Geometry, data: Any) -> Geometry:
    """Check a rule against the backend's result: a wrong geometry must never come out."""
    shape = shape_of(data)
    if geometry.shape == shape:
        return geometry
    known = all(n == n for n in (*shape, *geometry.shape))
    if len(shape) != geometry.ndim or known:
        raise SpatialDuckError(
            f"internal error: the rule gave shape {geometry.shape} and the backend {shape}; "
            "please report it, and use image.data meanwhile"
        )
    # Lengths that only computing would tell: NaN, as Dask gives them.
    return geometry._with(shape, geometry._axes, geometry._origin)
