"""A stand-in for a GPU array, to test without a GPU that nothing copies data to the host.

`DeviceArray` answers NumPy's functions as CuPy's arrays do, and refuses what they refuse: to become
a NumPy array by itself, and to mix with one. Images hold it once this module is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["DeviceArray"]


class DeviceArray(NDArrayOperatorsMixin):
    """An array whose data count as being on a device.

    Parameters
    ----------
    data : array_like
        What it holds; copied, as on the way to a device.

    Attributes
    ----------
    copies : int
        How often, over all instances, data were brought to the host by `get`.

    Examples
    --------
    >>> x = DeviceArray([1.0, 2.0])
    >>> (x + x).get()
    array([2., 4.])
    >>> np.asarray(x)
    Traceback (most recent call last):
    TypeError: Implicit conversion to a NumPy array is not allowed. Please use `.get()` ...
    """

    copies = 0

    def __init__(self, data: Any) -> None:
        self._data = np.array(data)

    @classmethod
    def _holding(cls, data: Any) -> DeviceArray:
        new = object.__new__(cls)
        new._data = data
        return new

    def get(self) -> np.ndarray[Any, Any]:
        """Copy the data to the host, explicitly."""
        DeviceArray.copies += 1
        return self._data.copy()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to "
            "construct a NumPy array explicitly."
        )

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return _Namespace()

    # --- NumPy's functions ----------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if not all(_may_mix(x) for x in (*inputs, *kwargs.get("out", ()))):
            return NotImplemented
        return _call(getattr(ufunc, method), inputs, kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not all(issubclass(t, DeviceArray) for t in types):
            return NotImplemented
        return _call(func, args, kwargs)

    # --- the array's own attributes and methods -------------------------------------------

    dtype = property(lambda self: self._data.dtype)
    shape = property(lambda self: self._data.shape)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    nbytes = property(lambda self: self._data.nbytes)
    itemsize = property(lambda self: self._data.itemsize)
    strides = property(lambda self: self._data.strides)
    flags = property(lambda self: self._data.flags)
    T = property(lambda self: self._holding(self._data.T))
    mT = property(lambda self: self._holding(self._data.mT))
    real = property(lambda self: self._holding(self._data.real))
    imag = property(lambda self: self._holding(self._data.imag))
    device = "device:0"

    def __getitem__(self, key: Any) -> DeviceArray:
        return self._holding(np.asarray(self._data[_down(key)]))

    def __setitem__(self, key: Any, value: Any) -> None:
        if not _may_mix(value):
            raise TypeError(f"Unsupported type {type(value)}")
        self._data[_down(key)] = _down(value)

    def __len__(self) -> int:
        return len(self._data)

    def __iter__(self) -> Iterator[DeviceArray]:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        return bool(self._data)  # CuPy brings a single value over as well

    def __int__(self) -> int:
        return int(self._data)

    def __float__(self) -> float:
        return float(self._data)

    def __repr__(self) -> str:
        return f"DeviceArray(shape={self.shape}, dtype={self.dtype})"


def _method(name: str) -> Callable[..., Any]:
    def method(self: DeviceArray, *args: Any, **kwargs: Any) -> Any:
        return _call(getattr(self._data, name), args, kwargs)

    method.__name__ = name
    method.__doc__ = f"As `numpy.ndarray.{name}`, on the device."
    return method


for _name in (
    "all any argmax argmin argsort astype clip conj copy cumprod cumsum diagonal dot fill flatten "
    "max mean min nonzero prod ravel repeat reshape round searchsorted sort squeeze std sum "
    "swapaxes take trace transpose var view"
).split():
    setattr(DeviceArray, _name, _method(_name))


def _call(function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    out = kwargs.get("out")
    result = _up(function(*_down(args), **_down(kwargs)))
    if out is not None:
        given = out if isinstance(out, tuple) else (out,)
        return given[0] if len(given) == 1 else given
    return result


class _Namespace:
    """The array API on such arrays: NumPy's functions, which make arrays on the device."""

    __name__ = "device"

    def __getattr__(self, name: str) -> Any:
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found

        def function(*args: Any, **kwargs: Any) -> Any:
            kwargs.pop("device", None)
            if name != "asarray" and not all(map(_may_mix, _arrays(args))):
                raise TypeError(f"{name}: an array of the host and one of the device")
            return _call(found, args, kwargs)

        return function

    def __array_namespace_info__(self) -> Any:
        """Return NumPy's own ``__array_namespace_info__``."""
        return np.__array_namespace_info__()


def _arrays(value: Any) -> Iterator[Any]:
    """Yield the arrays among arguments, those in lists too."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)
    elif isinstance(value, np.ndarray):
        yield value


def _may_mix(value: Any) -> bool:
    """Whether a value may meet a device array: Python's and NumPy's scalars may."""
    return isinstance(value, DeviceArray | bool | int | float | complex | np.generic) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    )


def _down(value: Any) -> Any:
    if isinstance(value, DeviceArray):
        return value._data
    if isinstance(value, tuple | list):
        return type(value)(_down(v) for v in value)
    if isinstance(value, dict):
        return {k: _down(v) for k, v in value.items()}
    return value


def _up(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return DeviceArray._holding(np.asarray(value))
    if isinstance(value, tuple | list):
        items = [_up(v) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


# A copy of the kit in another package has no backends to enter it in.
with contextlib.suppress(ModuleNotFoundError):
    import_module("spatial_duck.testing._device_backend")
