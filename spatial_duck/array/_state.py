"""The state of an image: data, geometry, coordinates and free metadata.

A move of the geometry that can neither fail nor lose anything may be deferred: it is noted, and
resolved when the geometry is first asked for, so that a slice costs little more than that of the
bare array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Self

from spatial_duck.array._coordinates import Coordinates, Held
from spatial_duck.errors import SpatialDuckError
from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import shape_of

__all__ = ["ImageState", "adapt_shape", "copy_attrs"]

#: A function of a geometry, that geometry (or what is deferred itself), further arguments and
#: keywords (or one argument and None), and how many moves are deferred one behind the other.
Deferred = tuple[Callable[..., Any], Any, Any, dict[str, Any] | None, int]

_new = object.__new__

#: Most moves that are deferred before they are resolved.
_MAX_DEFERRED = 32


class ImageState:
    """The state of `SpatialArray`, and the root of its mixins."""

    __slots__ = ("__weakref__", "_attrs", "_closed", "_coords", "_data", "_geometry", "_opened")

    #: Above ndarray and Dask arrays, below xarray.
    __array_priority__: ClassVar[float] = 60.0

    _data: Any
    _closed: tuple[str, Any]  # file that was closed, and an array of its shape: no `_data` then
    _geometry: Geometry | Deferred
    _attrs: dict[str, Any] | None
    _coords: dict[str, Held] | None  # never changed: images share it
    _opened: tuple[Any, ...]  # of what `read` returned: images of single files that it reads from

    @classmethod
    def _wrap(
        cls,
        data: Any,
        geometry: Geometry | Deferred,
        attrs: dict[str, Any] | None = None,
        coords: dict[str, Held] | None = None,
    ) -> Self:
        """Make an image without checks; `attrs` becomes its own."""
        self = _new(cls)
        self._data = data
        self._geometry = geometry
        self._attrs = attrs
        self._coords = coords
        return self

    def _with_data(self, data: Any) -> Self:
        """Return an image of other values for the same voxels, with a copy of the attrs."""
        return self._wrap(data, self._geometry, copy_attrs(self._attrs), self._coords)

    @property
    def data(self) -> Any:
        """The backing array."""
        return self._data

    @property
    def geometry(self) -> Geometry:
        """Shape of the image and its position in the world."""
        geometry = self._geometry
        if geometry.__class__ is not tuple:
            return geometry  # type: ignore[return-value]
        return self._resolve_geometry()

    @property
    def coords(self) -> Coordinates:
        """Coordinates by name, such as channel names and times of the indices of an axis."""
        return Coordinates(self._coords, self.geometry.dims)

    def _resolve_geometry(self) -> Geometry:
        """Apply the deferred moves, from the oldest on."""
        geometry: Any = _apply_moves(self._geometry)  # type: ignore[arg-type]
        if geometry.shape != getattr(self._data, "shape", None):
            geometry = adapt_shape(geometry, self._data)
            if geometry.__class__ is tuple:
                geometry = _apply_moves(geometry)
        self._geometry = geometry
        return geometry  # type: ignore[no-any-return]

    def _defer(
        self, move: Callable[..., Any], arguments: Any, keywords: dict[str, Any] | None
    ) -> Deferred:
        """Return a deferred move of this image's geometry."""
        geometry = self._geometry
        depth = 1
        if geometry.__class__ is tuple:
            depth = geometry[4] + 1
            if depth > _MAX_DEFERRED:
                geometry, depth = self._resolve_geometry(), 1
        return (move, geometry, arguments, keywords, depth)


def _apply_moves(deferred: Deferred) -> Geometry:
    """Return the geometry that deferred moves give."""
    move, geometry, arguments, keywords, _ = deferred
    if geometry.__class__ is tuple:
        geometry = _apply_moves(geometry)
    moved: Geometry = (
        move(geometry, arguments) if keywords is None else move(geometry, *arguments, **keywords)
    )
    return moved


def copy_attrs(attrs: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return attrs that another image may have as its own."""
    return attrs.copy() if attrs else None


def adapt_shape(geometry: Geometry, data: Any) -> Geometry | Deferred:
    """Check the shape that a rule gave against that of the backend's result.

    Raises rather than return a wrong geometry. Unknown lengths, NaN as in Dask, are taken from the
    data, when the geometry is asked for.
    """
    shape = shape_of(data)
    if geometry.shape == shape:
        return geometry
    if len(shape) != geometry.ndim or all([n == n for n in (*shape, *geometry.shape)]):
        raise SpatialDuckError(
            f"internal error: the rule gave shape {geometry.shape} and the backend {shape}; "
            "please report it, and use image.data meanwhile"
        )
    return (Geometry.with_shape, geometry, shape, None, 1)
