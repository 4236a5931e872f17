"""The operators and methods of ndarray: `ArrayMethods`.

Most methods are NumPy's function of the same name: the table at the end says which.
"""

from __future__ import annotations

import inspect
import math
import operator
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack

import numpy as np
from numpy.typing import DTypeLike

from spatial_duck import backends
from spatial_duck._signatures import show_keywords
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array._operators import binary, in_place, unary
from spatial_duck.array._state import ImageState
from spatial_duck.array._typing import Reduction, Same, UfuncOptions
from spatial_duck.errors import FormatError
from spatial_duck.rules._axis_names import axis_position
from spatial_duck.rules._bind import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["ArrayMethods"]


def _data_or_form(image: ImageState) -> Any:
    """Return the data, or an array of the shape and type of those that were closed."""
    try:
        return image._data
    except FormatError:
        return image._closed[1]


def _scalar(convert: Callable[[Any], Any]) -> Any:
    def method(self: Any) -> Any:
        _check_known(self._data)
        return convert(self._data)

    return method


def _on_host(data: Any, method: str) -> Any:
    """Return a method that returns values, of the data or of a copy on the host."""
    found = getattr(data, method, None)
    return getattr(backends.backend_of(data).to_numpy(data), method) if found is None else found


def _unusual(usual: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Return the options that are not as usual, which is None by default."""
    return {name: value for name, value in options.items() if value != usual.get(name)}


def _method_of(data: Any, name: str) -> Any:
    """Return an attribute of the data, or raise where the backend has none."""
    found = getattr(data, name, None)
    if found is None:
        raise TypeError(
            f"{name} needs data that have it, such as NumPy's, got {type(data).__name__}: use "
            "image.compute() or image.to('numpy')"
        )
    return found


def _check_known(data: Any) -> None:
    """Raise for lazy data, whose value is unknown, as the array API requires."""
    if data.__class__ is not np.ndarray and backends.is_lazy(data):
        raise TypeError("the value of a lazy image is not known yet: call .compute() first")


def _function(func: Callable[..., Any]) -> Any:
    """Return a method that calls a NumPy function."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return dispatch.call(func, (self, *args), kwargs)

    name = func.__name__
    method.__name__ = name
    method.__qualname__ = f"SpatialArray.{name}"
    method.__doc__ = f"Same as ``numpy.{name}`` of the image; takes its further parameters."
    method.__signature__ = _of_method(signature_of(func))  # type: ignore[attr-defined]
    return method


def _of_method(signature: inspect.Signature) -> inspect.Signature:
    """Return a function's signature, whose first parameter is the image, as completion shows it."""
    _, *others = signature.parameters.values()
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    return signature.replace(parameters=[itself, *others])


class ArrayMethods(ImageState):
    """A mixin of `SpatialArray`: operators, and methods with ndarray's names."""

    __slots__ = ()

    # --- attributes of the data -----------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each array axis."""
        return tuple(_data_or_form(self).shape)

    @property
    def dtype(self) -> Any:
        """Type of the values, as the backend names it."""
        return _data_or_form(self).dtype

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return int(_data_or_form(self).ndim)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(_data_or_form(self).shape)

    @property
    def itemsize(self) -> int:
        """Bytes of one value."""
        return backends.itemsize(_data_or_form(self))

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return self.size * self.itemsize

    @property
    def strides(self) -> tuple[int, ...]:
        """Bytes from one voxel to the next along each axis, for data in memory."""
        return _method_of(self._data, "strides")  # type: ignore[no-any-return]

    @property
    def flags(self) -> Any:
        """Memory layout of data in memory."""
        return _method_of(self._data, "flags")

    @property
    def T(self) -> Self:
        """The image with its axes reversed."""
        turned: Self = dispatch.call(np.transpose, (self,), {})
        return turned

    @property
    def mT(self) -> Self:
        """The image with its last two axes swapped."""
        if self.ndim < 2:
            raise ValueError(f"mT needs 2 dimensions or more, got {self.ndim}")
        swapped: Self = dispatch.call(np.swapaxes, (self, -1, -2), {})
        return swapped

    @property
    def real(self) -> Any:
        """The real part of each voxel."""
        return dispatch.call(np.real, (self,), {})

    @property
    def imag(self) -> Any:
        """The imaginary part of each voxel."""
        return dispatch.call(np.imag, (self,), {})

    @property
    def flat(self) -> Any:
        """Iterator over the bare values."""
        return _method_of(self._data, "flat")

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    # --- methods that are no function of NumPy, or have other parameters ---------------------

    def astype(
        self,
        dtype: DTypeLike,
        order: Literal["K", "C", "F", "A"] = "K",
        casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"] = "unsafe",
        subok: bool = True,
        copy: bool = True,
    ) -> Self:
        """Return the image with another type of value.

        Parameters
        ----------
        dtype : data type
            The type.
        order, casting, subok, copy : optional
            As `numpy.ndarray.astype` has them, where the backend's ``astype`` takes them.
        """
        usual = {"order": "K", "casting": "unsafe", "subok": True, "copy": True}
        own = _unusual(usual, order=order, casting=casting, subok=subok, copy=copy)
        data = backends.astype(self._data, dtype, **own)
        return self if data is self._data else self._with_data(data)

    def copy(self, order: Any = "C") -> Self:
        """Return an image with a copy of the data.

        Parameters
        ----------
        order : {"C", "F", "A", "K"}, optional
            Memory layout, for data in memory.
        """
        data = self._data
        if isinstance(data, np.ndarray):
            return self._with_data(data.copy(order))
        options = {} if order in ("C", "K") else {"order": order}
        return self._with_data(backends.copy(data, **options))

    def view(self, dtype: DTypeLike | None = None) -> Self:
        """Return the image of the same data, its bytes read as another type of the same size."""
        if dtype is None:
            data = self._data
            return self._with_data(data.view() if isinstance(data, np.ndarray) else data)
        if isinstance(dtype, type) and not issubclass(dtype, np.generic | int | float | complex):
            raise TypeError(f"view: expected a data type, got the class {dtype!r}: use image.data")
        if np.dtype(dtype).itemsize != self.itemsize:
            raise ValueError(
                f"view: {np.dtype(dtype)} has another item size than {self.dtype}, which would "
                "move voxels; view image.data instead"
            )
        return self._with_data(_method_of(self._data, "view")(dtype))

    def reshape(
        self, *shape: Any, order: Literal["A", "C", "F"] = "C", copy: bool | None = None
    ) -> Any:
        """Return the image in another shape; see `Geometry.reshape` for what keeps its place."""
        new = shape[0] if len(shape) == 1 else shape
        own = _unusual({"order": "C"}, order=order, copy=copy)  # an older NumPy has no `copy`
        return dispatch.call(np.reshape, (self, new), own)

    def transpose(self, *axes: Any) -> Any:
        """Return the image with its axes in another order, by default reversed."""
        whole = len(axes) == 1 and (axes[0] is None or hasattr(axes[0], "__len__"))
        order = axes[0] if whole else axes
        return dispatch.call(np.transpose, (self, order or None), {})

    def flatten(self, order: str = "C") -> Any:
        """Return a copy of the image in one dimension, which loses all positions."""
        return dispatch.call(np.ravel, (self.copy("K"), order), {})

    def compress(self, condition: Any, axis: Any = None, out: Any = None) -> Any:
        """Return the parts along an axis for which a condition holds: `numpy.compress`."""
        return dispatch.call(np.compress, (condition, self, axis, out), {})

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """Write values at indices of the image in one dimension: `numpy.put`."""
        dispatch.call(np.put, (self, indices, values, mode), {})

    def item(self, *args: Any) -> Any:
        """Return one value as a Python scalar."""
        return _on_host(self._data, "item")(*args)

    def tolist(self) -> Any:
        """Return the values as nested lists."""
        return _on_host(self._data, "tolist")()

    def tobytes(self, order: Any = "C") -> bytes:
        """Return the bytes of the values."""
        return _on_host(self._data, "tobytes")(order)  # type: ignore[no-any-return]

    @show_keywords(UfuncOptions)
    def clip(
        self,
        min: Any = None,
        max: Any = None,
        out: Any = None,
        **options: Unpack[UfuncOptions],
    ) -> Self:
        """Return the image with its values limited: `numpy.clip`, of which one limit may lack."""
        return dispatch.call(np.clip, (self, min, max, out), dict(options))  # type: ignore[no-any-return]

    def fill(self, value: Any) -> None:
        """Set all voxels to one value."""
        self[...] = value  # type: ignore[index]

    def sort(
        self, axis: Any = -1, kind: Any = None, order: Any = None, *, stable: bool | None = None
    ) -> None:
        """Sort the values along an axis in place; the grid stays."""
        own = _unusual({}, kind=kind, order=order, stable=stable)
        _method_of(self._data, "sort")(self._position("sort", axis), **own)

    def partition(
        self, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
    ) -> None:
        """Partition the values along an axis in place; the grid stays."""
        axis = self._position("partition", axis)
        _method_of(self._data, "partition")(kth, axis, kind, order)

    def _position(self, function: str, axis: Any) -> Any:
        """Return the position of an axis that may be given by name."""
        return axis_position(function, axis, self.geometry.dims) if isinstance(axis, str) else axis

    def byteswap(self, inplace: bool = False) -> Self:
        """Swap the bytes of each value."""
        data = _method_of(self._data, "byteswap")(inplace)
        return self if inplace else self._with_data(data)

    # Other than most operators, these do not always give an image.
    __divmod__: Any
    __rdivmod__: Any
    __matmul__: Any
    __rmatmul__: Any
    __add__, __radd__ = binary(operator.add, np.add)
    __sub__, __rsub__ = binary(operator.sub, np.subtract)
    __mul__, __rmul__ = binary(operator.mul, np.multiply)
    __truediv__, __rtruediv__ = binary(operator.truediv, np.true_divide)
    __floordiv__, __rfloordiv__ = binary(operator.floordiv, np.floor_divide)
    __mod__, __rmod__ = binary(operator.mod, np.remainder)
    __pow__, __rpow__ = binary(operator.pow, np.power)
    __divmod__, __rdivmod__ = binary(divmod, np.divmod)
    __matmul__, __rmatmul__ = binary(operator.matmul, np.matmul)
    __and__, __rand__ = binary(operator.and_, np.bitwise_and)
    __or__, __ror__ = binary(operator.or_, np.bitwise_or)
    __xor__, __rxor__ = binary(operator.xor, np.bitwise_xor)
    __lshift__, __rlshift__ = binary(operator.lshift, np.left_shift)
    __rshift__, __rrshift__ = binary(operator.rshift, np.right_shift)
    __lt__, _ = binary(operator.lt, np.less)
    __le__, _ = binary(operator.le, np.less_equal)
    __gt__, _ = binary(operator.gt, np.greater)
    __ge__, _ = binary(operator.ge, np.greater_equal)
    __eq__, _ = binary(operator.eq, np.equal)  # type: ignore[assignment]
    __ne__, _ = binary(operator.ne, np.not_equal)  # type: ignore[assignment]
    del _

    __iadd__ = in_place(operator.iadd, np.add)
    __isub__ = in_place(operator.isub, np.subtract)
    __imul__ = in_place(operator.imul, np.multiply)
    __itruediv__ = in_place(operator.itruediv, np.true_divide)
    __ifloordiv__ = in_place(operator.ifloordiv, np.floor_divide)
    __imod__ = in_place(operator.imod, np.remainder)
    __ipow__ = in_place(operator.ipow, np.power)
    __iand__ = in_place(operator.iand, np.bitwise_and)
    __ior__ = in_place(operator.ior, np.bitwise_or)
    __ixor__ = in_place(operator.ixor, np.bitwise_xor)
    __ilshift__ = in_place(operator.ilshift, np.left_shift)
    __irshift__ = in_place(operator.irshift, np.right_shift)

    __neg__ = unary(np.negative)
    __pos__ = unary(np.positive)
    __abs__ = unary(np.absolute)
    __invert__ = unary(np.invert)

    __bool__ = _scalar(bool)
    __int__ = _scalar(int)
    __float__ = _scalar(float)
    __complex__ = _scalar(complex)
    __index__ = _scalar(operator.index)

    def __contains__(self, value: Any) -> bool:
        _check_known(self._data)
        return bool(np.any(self == value))

    # --- methods that are a function of NumPy -----------------------------------------------

    all: Reduction = _function(np.all)
    any: Reduction = _function(np.any)
    argmax: Reduction = _function(np.argmax)
    argmin: Reduction = _function(np.argmin)
    argpartition: Same = _function(np.argpartition)
    argsort: Same = _function(np.argsort)
    choose: Same = _function(np.choose)
    cumprod: Same = _function(np.cumprod)
    cumsum: Same = _function(np.cumsum)
    diagonal: Same = _function(np.diagonal)
    dot = _function(np.dot)
    max: Reduction = _function(np.max)
    mean: Reduction = _function(np.mean)
    min: Reduction = _function(np.min)
    nonzero = _function(np.nonzero)
    prod: Reduction = _function(np.prod)
    ravel: Same = _function(np.ravel)
    repeat: Same = _function(np.repeat)
    round: Same = _function(np.round)
    searchsorted = _function(np.searchsorted)
    squeeze: Same = _function(np.squeeze)
    std: Reduction = _function(np.std)
    sum: Reduction = _function(np.sum)
    swapaxes: Same = _function(np.swapaxes)
    take: Same = _function(np.take)
    trace = _function(np.trace)
    var: Reduction = _function(np.var)

    def conj(self) -> Any:
        """Return the complex conjugate; of real values the image itself, as ndarray has it."""
        data = self._data
        if not isinstance(data, np.ndarray):
            return dispatch.array_ufunc(self, np.conjugate, "__call__", (self,), {})
        conjugate = data.conj()
        return self if conjugate is data else self._with_data(conjugate)

    conjugate = conj
