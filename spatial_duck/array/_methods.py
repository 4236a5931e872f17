"""The operators and methods of ndarray, for `SpatialArray`.

Each method is NumPy's function of the same name: the table below says which.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import backends
from spatial_duck.array._dispatch import Dispatching

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import DTypeLike

__all__ = ["ArrayMethods"]

_NUMBERS = frozenset({int, float, complex, bool})
_SCALARS = frozenset({np.float64, np.float32, np.int64, np.int32,
                      np.uint8, np.int16, np.uint16, np.bool_})  # fmt: skip
_new = object.__new__


def _binary(function: Callable[[Any, Any], Any], ufunc: np.ufunc) -> tuple[Any, Any]:
    """Make an operator and its reflected form."""

    def forward(self: Dispatching, other: Any) -> Any:
        cls = self.__class__
        # Two images that share a geometry, and scalars, need no look at the geometry at all.
        if other.__class__ is cls:
            if (
                self._geometry is not other._geometry
                or self._attrs is not None
                or other._attrs is not None
            ):
                result = self.__array_ufunc__(ufunc, "__call__", self, other)
                return _kept_image(self, result)
            data = function(self._data, other._data)
        elif other.__class__ in _NUMBERS or (
            other.__class__ in _SCALARS and self._data.__class__ is np.ndarray
        ):
            data = function(self._data, other)
        else:
            return _kept_image(self, self.__array_ufunc__(ufunc, "__call__", self, other))
        new = _new(cls)
        new._data = data
        new._geometry = self._geometry
        attrs = self._attrs
        new._attrs = attrs.copy() if attrs else None
        return new

    def reflected(self: Dispatching, other: Any) -> Any:
        return _kept_image(self, self.__array_ufunc__(ufunc, "__call__", other, self))

    return forward, reflected


def _kept_image(image: Dispatching, result: Any) -> Any:
    """Make an image of what an operator gave for a 0-d one; NumPy's functions give scalars."""
    if result.__class__ is image.__class__ or result is NotImplemented or image._data.ndim:
        return result
    attrs = image._attrs
    return image._wrap(result, image._geometry, attrs.copy() if attrs else None)


def _in_place(function: Callable[[Any, Any], Any], ufunc: np.ufunc) -> Any:
    def method(self: Any, other: Any) -> Any:
        value = other
        if isinstance(other, Dispatching):
            target = self.geometry
            _check_fits(ufunc.__name__, target, other)
            value = other._data
        elif not _known(other):
            return NotImplemented
        data = function(self._data, value)
        if data is self._data:
            return self
        # The backend made a new array, as Dask does: what shares the old one must not change.
        if tuple(data.shape) != self.geometry.shape:
            raise ValueError(
                f"non-broadcastable output operand with shape {self.geometry.shape} doesn't "
                f"match the broadcast shape {tuple(data.shape)}"
            )
        return self._wrap(data, self._geometry, self._attrs)

    return method


def _check_fits(name: str, target: Any, other: Dispatching) -> None:
    from spatial_duck.geometry import _align as mixing

    merged = mixing.broadcast(f"in-place {name}", (target, other.geometry))
    if merged.shape != target.shape:
        raise ValueError(
            f"non-broadcastable output operand with shape {target.shape} doesn't match the "
            f"broadcast shape {merged.shape}"
        )


def _known(other: Any) -> bool:
    return backends.is_known(other.__class__) or isinstance(other, list | tuple)


def _unary(ufunc: np.ufunc) -> Any:
    def method(self: Any) -> Any:
        return _kept_image(self, self.__array_ufunc__(ufunc, "__call__", self))

    method.__doc__ = f"Same as ``numpy.{ufunc.__name__}`` of the image."
    return method


def _scalar(convert: Callable[[Any], Any]) -> Any:
    def method(self: Any) -> Any:
        _check_known(self._data)
        return convert(self._data)

    return method


def _with(data: Any, method: str) -> Any:
    """Return a method that hands out values, of the data themselves or of a copy on the host."""
    found = getattr(data, method, None)
    return getattr(backends.backend_of(data).to_numpy(data), method) if found is None else found


def _check_known(data: Any) -> None:
    """Refuse to look at a value that would have to be computed, as the array API asks."""
    if data.__class__ is not np.ndarray and backends.is_lazy(data):
        raise TypeError("the value of a lazy image is not known yet: call .compute() first")


def _function(func: Callable[..., Any]) -> Any:
    """Make the method that is a NumPy function."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._call(func, (self, *args), kwargs)

    name = func.__name__
    method.__name__ = name
    method.__qualname__ = f"SpatialArray.{name}"
    method.__doc__ = f"Same as ``numpy.{name}`` of the image; takes its further parameters."
    return method


class ArrayMethods(Dispatching):
    """Operators and methods; see the module."""

    __slots__ = ()

    # --- attributes of the data -----------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each array axis."""
        return tuple(self._data.shape)

    @property
    def dtype(self) -> Any:
        """Type of the values, as the backend names it."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return int(self._data.ndim)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self._data.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return backends.itemsize(self._data)

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one voxel to the next along each axis, for data in memory."""
        return self._data.strides  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """Memory layout of data in memory."""
        return self._data.flags

    @property
    def T(self) -> Any:
        """The image with its axes reversed."""
        return self._call(np.transpose, (self,), {})

    @property
    def mT(self) -> Any:
        """The image with its last two axes swapped."""
        if self.ndim < 2:
            raise ValueError(f"mT needs 2 dimensions or more, got {self.ndim}")
        return self._call(np.swapaxes, (self, -1, -2), {})

    @property
    def real(self) -> Any:
        """The real part of each voxel."""
        return self._call(np.real, (self,), {})

    @property
    def imag(self) -> Any:
        """The imaginary part of each voxel."""
        return self._call(np.imag, (self,), {})

    @property
    def flat(self) -> Any:
        """Iterator over the bare values."""
        return self._data.flat

    def __len__(self) -> int:
        if not self._data.shape:
            raise TypeError("len() of unsized object")
        return self._data.shape[0]  # type: ignore[no-any-return]

    # --- methods that are no function of NumPy, or have other parameters ---------------------

    def astype(self, dtype: DTypeLike, **options: Any) -> Self:
        """Return the image with another type of value.

        Parameters
        ----------
        dtype : data type
            The type.
        **options
            As the backend's ``astype`` takes them.
        """
        data = backends.astype(self._data, dtype, **options)
        if data is self._data:
            return self
        return self._wrap(data, self._geometry, self._attrs and self._attrs.copy())

    def copy(self, **options: Any) -> Self:
        """Return an image with a copy of the data."""
        data = self._data
        data = (
            data.copy(**options) if hasattr(data, "copy") else backends.call(np.copy, (data,), {})
        )
        return self._wrap(data, self._geometry, self._attrs and self._attrs.copy())

    def view(self, dtype: DTypeLike) -> Self:
        """Return the image with its bytes read as another type of the same size."""
        if np.dtype(dtype).itemsize != self.itemsize:
            raise ValueError(
                f"view: {np.dtype(dtype)} has another item size than {self.dtype}, which would "
                "move voxels; view image.data instead"
            )
        return self._wrap(
            self._data.view(dtype), self._geometry, self._attrs and self._attrs.copy()
        )

    def reshape(self, *shape: Any, **options: Any) -> Any:
        """Return the image in another shape; see `Geometry.reshape` for what keeps its place."""
        new = shape[0] if len(shape) == 1 else shape
        return self._call(np.reshape, (self, new), options)

    def transpose(self, *axes: Any) -> Any:
        """Return the image with its axes in another order, by default reversed."""
        order = axes[0] if len(axes) == 1 and not hasattr(axes[0], "__index__") else axes
        return self._call(np.transpose, (self, order or None), {})

    def flatten(self, order: str = "C") -> Any:
        """Return a copy of the image in one dimension, which loses all positions."""
        return self._call(np.ravel, (self.copy(), order), {})

    def item(self, *args: Any) -> Any:
        """Return one value as a Python scalar."""
        return _with(self._data, "item")(*args)

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        return _with(self._data, "tolist")()

    def tobytes(self, order: Any = "C") -> bytes:
        """Return the bytes of the values."""
        return _with(self._data, "tobytes")(order)  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        """Set all voxels to one value."""
        self[...] = value

    def sort(self, axis: int = -1, **options: Any) -> None:
        """Sort the values along an axis in place; the grid stays."""
        self._data.sort(axis, **options)

    def partition(self, kth: Any, axis: int = -1, **options: Any) -> None:
        """Partition the values along an axis in place; the grid stays."""
        self._data.partition(kth, axis, **options)

    def byteswap(self, inplace: bool = False) -> Self:
        """Swap the bytes of each value."""
        data = self._data.byteswap(inplace)
        return (
            self
            if inplace
            else self._wrap(data, self._geometry, self._attrs and self._attrs.copy())
        )

    __add__, __radd__ = _binary(operator.add, np.add)
    __sub__, __rsub__ = _binary(operator.sub, np.subtract)
    __mul__, __rmul__ = _binary(operator.mul, np.multiply)
    __truediv__, __rtruediv__ = _binary(operator.truediv, np.true_divide)
    __floordiv__, __rfloordiv__ = _binary(operator.floordiv, np.floor_divide)
    __mod__, __rmod__ = _binary(operator.mod, np.remainder)
    __pow__, __rpow__ = _binary(operator.pow, np.power)
    __and__, __rand__ = _binary(operator.and_, np.bitwise_and)
    __or__, __ror__ = _binary(operator.or_, np.bitwise_or)
    __xor__, __rxor__ = _binary(operator.xor, np.bitwise_xor)
    __lshift__, __rlshift__ = _binary(operator.lshift, np.left_shift)
    __rshift__, __rrshift__ = _binary(operator.rshift, np.right_shift)
    __lt__, _ = _binary(operator.lt, np.less)
    __le__, _ = _binary(operator.le, np.less_equal)
    __gt__, _ = _binary(operator.gt, np.greater)
    __ge__, _ = _binary(operator.ge, np.greater_equal)
    __eq__, _ = _binary(operator.eq, np.equal)
    __ne__, _ = _binary(operator.ne, np.not_equal)
    del _

    __iadd__ = _in_place(operator.iadd, np.add)
    __isub__ = _in_place(operator.isub, np.subtract)
    __imul__ = _in_place(operator.imul, np.multiply)
    __itruediv__ = _in_place(operator.itruediv, np.true_divide)
    __ifloordiv__ = _in_place(operator.ifloordiv, np.floor_divide)
    __imod__ = _in_place(operator.imod, np.remainder)
    __ipow__ = _in_place(operator.ipow, np.power)
    __iand__ = _in_place(operator.iand, np.bitwise_and)
    __ior__ = _in_place(operator.ior, np.bitwise_or)
    __ixor__ = _in_place(operator.ixor, np.bitwise_xor)
    __ilshift__ = _in_place(operator.ilshift, np.left_shift)
    __irshift__ = _in_place(operator.irshift, np.right_shift)

    __neg__ = _unary(np.negative)
    __pos__ = _unary(np.positive)
    __abs__ = _unary(np.absolute)
    __invert__ = _unary(np.invert)

    def __matmul__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.matmul, "__call__", self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.matmul, "__call__", other, self)

    def __divmod__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.divmod, "__call__", self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return self.__array_ufunc__(np.divmod, "__call__", other, self)

    __bool__ = _scalar(bool)
    __int__ = _scalar(int)
    __float__ = _scalar(float)
    __complex__ = _scalar(complex)
    __index__ = _scalar(operator.index)

    def __contains__(self, value: Any) -> bool:
        _check_known(self._data)
        return bool(np.any(self == value))

    # --- methods that are a function of NumPy -----------------------------------------------

    all = _function(np.all)
    any = _function(np.any)
    argmax = _function(np.argmax)
    argmin = _function(np.argmin)
    argpartition = _function(np.argpartition)
    argsort = _function(np.argsort)
    choose = _function(np.choose)
    clip = _function(np.clip)
    compress = _function(np.compress)
    cumprod = _function(np.cumprod)
    cumsum = _function(np.cumsum)
    diagonal = _function(np.diagonal)
    dot = _function(np.dot)
    max = _function(np.max)
    mean = _function(np.mean)
    min = _function(np.min)
    nonzero = _function(np.nonzero)
    prod = _function(np.prod)
    put = _function(np.put)
    ravel = _function(np.ravel)
    repeat = _function(np.repeat)
    round = _function(np.round)
    searchsorted = _function(np.searchsorted)
    squeeze = _function(np.squeeze)
    std = _function(np.std)
    sum = _function(np.sum)
    swapaxes = _function(np.swapaxes)
    take = _function(np.take)
    trace = _function(np.trace)
    var = _function(np.var)
    conj = conjugate = _unary(np.conjugate)
