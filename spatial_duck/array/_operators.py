"""The operators of ndarray, for every kind of operand.

An operand is one of an image's own kind, an array of some backend or a number; a list, a tuple, or
another sequence or buffer of bare numbers, which becomes an array; or an object with
operators of its own (an array with units, an `xarray.DataArray`), which then decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import _carry as carry
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array import _fast as fast
from spatial_duck.array._indexing import check_writable
from spatial_duck.array._state import ImageState
from spatial_duck.rules import _ufuncs as ufuncs

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.array._typing import Same

__all__ = ["binary", "in_place", "unary"]

_COMPARISONS: dict[Any, bool] = {np.equal: False, np.not_equal: True}
#: Operators that mean something else for `numpy.matrix` than for arrays.
_OTHER_FOR_MATRICES = frozenset({np.multiply, np.power})
#: Attributes of images of other libraries.
_IMAGE_ATTRIBUTES = ("spacing", "affine", "GetSpacing", "geometry")


def binary(function: Callable[[Any, Any], Any], ufunc: np.ufunc) -> tuple[Same, Same]:
    """Return the method of an operator, and that of its reflected form."""

    def forward(self: ImageState, other: Any) -> Any:
        return _operate(function, ufunc, self, other, False)

    def reflected(self: ImageState, other: Any) -> Any:
        return _operate(function, ufunc, self, other, True)

    if ufunc.signature is None and ufunc.nout == 1:
        return fast.operator_method(function, ufunc, forward), reflected
    return forward, reflected


def unary(ufunc: np.ufunc) -> Same:
    """Return the method that is a ufunc of one array."""

    def method(self: Any) -> Any:
        return _keep_image(self, dispatch.array_ufunc(self, ufunc, "__call__", (self,), {}))

    method.__doc__ = f"Same as ``numpy.{ufunc.__name__}`` of the image."
    return method


def in_place(function: Callable[[Any, Any], Any], ufunc: np.ufunc) -> Any:
    """Return the method of an operator that writes into the image."""

    def method(self: Any, other: Any) -> Any:
        value = _operand(ufunc, other)
        if value is NotImplemented:
            return value
        if isinstance(value, ImageState):
            check_writable(f"in-place {ufunc.__name__}", self.geometry, value.geometry)
            carry.check_written(self, (), value)
            value = value._data
        if backends.has_operators(self._data):
            data = function(self._data, value)
        else:
            data = backends.call(ufunc, (self._data, value), {})
        if data is self._data:
            return self
        # The backend made a new array, as Dask does: images that share the old one must not change.
        if tuple(data.shape) != self.geometry.shape:
            raise ValueError(
                f"non-broadcastable output operand with shape {self.geometry.shape} doesn't "
                f"match the broadcast shape {tuple(data.shape)}"
            )
        return self._wrap(data, self._geometry, self._attrs, self._coords)

    return method


def _operate(
    function: Callable[[Any, Any], Any], ufunc: np.ufunc, image: ImageState, other: Any, back: bool
) -> Any:
    """Return ``function(image, other)``, or ``function(other, image)``, for any operand."""
    operand = _operand(ufunc, other)
    if operand is NotImplemented:
        return operand
    operands = (operand, image) if back else (image, operand)
    if ufunc in _COMPARISONS:
        return _keep_image(image, _compare(function, ufunc, operands, image))
    return _keep_image(image, dispatch.array_ufunc(image, ufunc, "__call__", operands, {}))


def _compare(
    function: Callable[[Any, Any], Any], ufunc: np.ufunc, operands: Any, image: ImageState
) -> Any:
    """Return ``==`` or ``!=``; operands that cannot be compared, as number and text, differ."""
    images: list[ImageState] = []
    grids, data = dispatch.split_images(operands, images)
    geometry = ufuncs.METHODS["__call__"](ufunc, grids, {})
    if all(isinstance(d, np.ndarray) or not hasattr(d, "__array_namespace__") for d in data) and (
        isinstance(image._data, np.ndarray)
    ):
        result = function(*data)
    elif any(isinstance(d, str | bytes) for d in data) and "U" not in str(image._data.dtype):
        result = backends.call(np.full_like, (image._data, _COMPARISONS[ufunc]), {"dtype": bool})
    else:
        result = fast.run(ufunc, data, {})
    coords = carry.elementwise(images, result.shape)
    return dispatch.wrap_result(result, geometry, images, coords=coords)


def _operand(ufunc: np.ufunc, other: Any) -> Any:
    """Return an operand as an image, array or number, or NotImplemented where it decides itself.

    Raises
    ------
    TypeError
        If it has a geometry of its own, or is a matrix where matrices have their own meaning.
    """
    cls = other.__class__
    if isinstance(other, ImageState | list | tuple) or other is None:
        return other
    if backends.is_known(cls):
        if isinstance(other, np.matrix):
            if ufunc in _OTHER_FOR_MATRICES:
                raise TypeError(
                    f"{ufunc.__name__} of an image and an np.matrix: as an operator it would be a "
                    "matrix product; use image @ matrix, or numpy.asarray(matrix)"
                )
            return np.asarray(other)
        return other
    protocol = getattr(cls, "__array_ufunc__", False)
    if (
        protocol is not False
        or getattr(cls, "__array_priority__", 0) > ImageState.__array_priority__
    ):
        return NotImplemented
    if any(hasattr(other, name) for name in _IMAGE_ATTRIBUTES):
        raise TypeError(
            f"{ufunc.__name__} of an image and a {cls.__module__}.{cls.__qualname__}, which has a "
            "place of its own: spatial_duck.asarray(operand) takes it with its place, "
            "numpy.asarray(operand) without"
        )
    if (
        isinstance(other, range | memoryview | bytearray)
        or hasattr(cls, "__array__")
        or (hasattr(other, "__array_interface__"))
    ):
        return _array_of(other)
    # NumPy compares with anything, voxel by voxel.
    return np.array(other, dtype=object) if ufunc in _COMPARISONS else NotImplemented


def _array_of(other: Any) -> Any:
    """Return an array-like as an array; lazy arrays of known libraries stay lazy."""
    try:
        return backends.adopt(other)
    except TypeError:
        return np.asarray(other)


def _keep_image(image: ImageState, result: Any) -> Any:
    """Return the result of an operator on a 0-d image as an image, not as NumPy's scalar."""
    if isinstance(result, ImageState) or result is NotImplemented or image._data.ndim:
        return result
    if isinstance(result, tuple):
        return tuple([_keep_image(image, r) for r in result])
    return image._with_data(result)
