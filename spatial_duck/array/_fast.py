"""Shortcuts for the most frequent calls: slices, elementwise functions, joining, moves.

Each function here does a whole operation for simple arguments, or returns NotImplemented; the
general path (`_dispatch`, `_indexing`) gives the same result for these and all other arguments. A
property test runs both paths and compares them.
"""

from __future__ import annotations

from functools import wraps
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array._state import ImageState
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.rules import Rule

__all__ = ["call_deferred", "call_elementwise", "concatenate", "operator_method", "select", "stack"]

_new = object.__new__
_NDARRAY = np.ndarray
_CONCATENATE = np.concatenate
_STACK = np.stack
_INDEX = Geometry.__getitem__

#: Parts of a key that is plain indexing and cannot change later.
_BASIC_KEYS = frozenset({int, slice, type(None), EllipsisType})
#: Arguments of these types can neither change later nor hold an image.
_CONSTANTS = frozenset({int, float, bool, complex, str, type(None), slice, EllipsisType, type})
#: Arguments of these types are in memory.
_IN_MEMORY = frozenset({*_CONSTANTS, np.ndarray})
#: Python's numbers.
_NUMBERS = frozenset({int, float, complex, bool})
#: Operands of these types have no place: beside them an image keeps its own.
_PLAIN_OPERANDS = frozenset(
    {np.ndarray, int, float, bool, complex, np.float64, np.float32, np.int64, np.bool_}
)
_SCALARS = frozenset(
    {np.float64, np.float32, np.int64, np.int32, np.uint8, np.int16, np.uint16, np.bool_}
)


# --- slices -------------------------------------------------------------------------------


def select(image: ImageState, key: Any) -> Any:
    """Return ``image[key]`` for a key of integers, slices, None and Ellipsis."""
    if key.__class__ is tuple:
        for k in key:
            if k.__class__ not in _BASIC_KEYS:
                return NotImplemented
    elif key.__class__ not in _BASIC_KEYS:
        return NotImplemented
    if image._coords is not None:
        return NotImplemented
    data = image._data
    data = data[key] if data.__class__ is _NDARRAY else backends.index(data, key)
    if data.ndim == 0 and not backends.keeps_scalars(data):
        return data
    new = _new(image.__class__)
    new._data = data
    geometry = image._geometry
    if geometry.__class__ is tuple:
        new._geometry = image._defer(_INDEX, key, None)
    else:
        new._geometry = (_INDEX, geometry, key, None, 1)
    attrs = image._attrs
    new._attrs = attrs.copy() if attrs else None
    new._coords = None
    return new


# --- elementwise --------------------------------------------------------------------------


def operator_method(
    function: Callable[[Any, Any], Any],
    ufunc: np.ufunc,
    general: Callable[[ImageState, Any], Any],
) -> Callable[[ImageState, Any], Any]:
    """Return the method of an operator: two images or an image and a scalar, else in general."""

    @wraps(general)
    def method(self: ImageState, other: Any) -> Any:
        cls = self.__class__
        data = self._data
        geometry = self._geometry
        attrs = self._attrs
        if other.__class__ is cls:
            its = other._data
            if (
                attrs is not None
                or other._attrs is not None
                or self._coords is not other._coords
                or data.__class__ is not its.__class__
            ):
                return general(self, other)
            if geometry is not other._geometry:
                merged = _on_one_grid(ufunc, self, other)
                if merged is None:
                    return general(self, other)
                geometry = merged
            elif data.__class__ is not _NDARRAY and not backends.has_operators(data):
                return general(self, other)
            data = function(data, its)
        elif other.__class__ in _NUMBERS:  # which take the type of any array
            if data.__class__ is not _NDARRAY and not backends.has_operators(data):
                return general(self, other)
            data = function(data, other)
        elif other.__class__ in _SCALARS and data.__class__ is _NDARRAY:
            data = function(data, other)
        else:
            return general(self, other)
        new = _new(cls)
        new._data = data
        new._geometry = geometry
        new._attrs = attrs.copy() if attrs else None
        new._coords = self._coords
        return new

    return method


def _on_one_grid(ufunc: np.ufunc, first: ImageState, second: ImageState) -> Geometry | None:
    """Return the geometry of two images in memory; None to take the general path."""
    if first._data.__class__ is not _NDARRAY:
        return None
    if first._coords is not None and first._data.shape != second._data.shape:
        return None
    geometry: Any = first._geometry
    if geometry.__class__ is tuple:
        geometry = first._resolve_geometry()
    its: Any = second._geometry
    if its.__class__ is tuple:
        its = second._resolve_geometry()
    return alignment.merge(ufunc.__name__, geometry, its)  # type: ignore[no-any-return]


def call_elementwise(cls: type[ImageState], ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
    """Call a ufunc of one result on one image in memory, and at most one other operand."""
    if len(inputs) == 1:
        image = inputs[0]
        if image.__class__ is not cls or image._data.__class__ is not _NDARRAY:
            return NotImplemented
        geometry = image._geometry
        data = ufunc(image._data)
    elif len(inputs) == 2:
        first, second = inputs
        if first.__class__ is cls and second.__class__ is cls:
            if (
                first._data.__class__ is not _NDARRAY
                or second._data.__class__ is not _NDARRAY
                or first._attrs
                or second._attrs
                or first._coords is not second._coords
            ):
                return NotImplemented
            image = first
            geometry = first._geometry
            if geometry is not second._geometry:
                merged = _on_one_grid(ufunc, first, second)
                if merged is None:
                    return NotImplemented
                geometry = merged
            data = ufunc(first._data, second._data)
        else:
            image, other = (first, second) if first.__class__ is cls else (second, first)
            if other.__class__ not in _PLAIN_OPERANDS or image._data.__class__ is not _NDARRAY:
                return NotImplemented
            if other.__class__ is _NDARRAY and other.shape != image._data.shape:
                return NotImplemented
            geometry = image._geometry
            data = ufunc(image._data, other) if image is first else ufunc(other, image._data)
    else:
        return NotImplemented
    if not getattr(data, "shape", ()):
        return data
    new = _new(cls)
    new._data = data
    new._geometry = geometry
    attrs = image._attrs
    new._attrs = attrs.copy() if attrs else None
    new._coords = image._coords
    return new


# --- joining ------------------------------------------------------------------------------


def concatenate(cls: type[ImageState], images: Any, axis: Any = 0) -> Any:
    """Join images in memory along an axis that they have."""
    if images.__class__ is not list or axis.__class__ is not int or axis < 0:
        return NotImplemented
    grids: list[Any] = []
    bare = []
    for image in images:
        if image.__class__ is not cls or image._attrs or image._coords is not None:
            return NotImplemented
        data = image._data
        if data.__class__ is not _NDARRAY or data.ndim <= axis:
            return NotImplemented
        geometry = image._geometry
        grids.append(image._resolve_geometry() if geometry.__class__ is tuple else geometry)
        bare.append(data)
    if not grids or not alignment.is_contiguous(grids, axis):
        return NotImplemented
    new = _new(cls)
    new._data = data = _CONCATENATE(bare, axis)
    new._geometry = (Geometry.resize_axis, grids[0], (axis, data.shape[axis]), {}, 1)
    new._attrs = new._coords = None
    return new


def stack(cls: type[ImageState], images: Any, axis: Any = 0) -> Any:
    """Stack images in memory that share a geometry along a new first axis."""
    if images.__class__ is not list or axis.__class__ is not int or axis != 0 or not images:
        return NotImplemented
    first = images[0]
    bare = []
    for image in images:
        if (
            image.__class__ is not cls
            or image._attrs
            or image._coords is not None
            or image._data.__class__ is not _NDARRAY
        ):
            return NotImplemented
        if image._geometry is not first._geometry and image.geometry != first.geometry:
            return NotImplemented
        bare.append(image._data)
    new = _new(cls)
    new._data = data = _STACK(bare)
    new._geometry = first._defer(_stack_geometry, (data.shape[0],), {})
    new._attrs = new._coords = None
    return new


def _stack_geometry(geometry: Geometry, count: int) -> Geometry:
    return geometry.expand_dims(0).resize_axis(0, count)


# --- moves and reductions of one image ----------------------------------------------------


def call_deferred(function: Callable[..., Any], rule: Rule, args: Any, kwargs: Any) -> Any:
    """Call a function whose rule cannot fail on one image and constants; the rule is deferred."""
    image = args[0] if args else None
    if not isinstance(image, ImageState) or image._coords is not None:
        return NotImplemented
    rest = args[1:]
    for value in rest:
        if value.__class__ not in _CONSTANTS and not _is_constant(value):
            return NotImplemented
    for value in kwargs.values():
        if value.__class__ not in _CONSTANTS and not _is_constant(value):
            return NotImplemented
    data = image._data
    if data.__class__ is _NDARRAY:  # constants are in memory
        data = function(data, *rest, **kwargs)
    else:
        data = backends.call(function, (data, *rest), kwargs)
    if getattr(data, "ndim", 0) == 0:
        return data
    new = _new(image.__class__)
    new._data = data
    new._geometry = image._defer(rule.geometry, rest, kwargs)
    attrs = image._attrs
    new._attrs = attrs.copy() if attrs else None
    new._coords = None
    return new


def run(function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function on bare arrays: NumPy's in memory, others as their backend does it.

    NumPy finds the way to most backends by itself. They decide all the same, because some would
    compute or copy for a function that they do not have.
    """
    if _is_in_memory(args) and (not kwargs or _is_in_memory(kwargs.values())):
        return function(*args, **kwargs)
    return backends.call(function, args, kwargs)


def _is_in_memory(values: Any) -> bool:
    """Whether arguments are NumPy arrays and constants, by their types alone."""
    for value in values:
        cls = value.__class__
        if cls in _IN_MEMORY:
            continue
        if (cls is list or cls is tuple) and _is_in_memory(value):
            continue
        if not _is_constant(value):
            return False
    return True


def _is_constant(value: Any) -> bool:
    """Whether an argument can neither change later nor hold an image."""
    if value.__class__ is tuple:
        return all([v.__class__ in _CONSTANTS or _is_constant(v) for v in value])
    return isinstance(value, type | np.dtype | np.generic) or value is NO_VALUE
