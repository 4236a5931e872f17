"""NumPy's functions and ufuncs that the array API lacks, made of those that it has.

Those of shapes, types and comparisons are here; reductions and what works along an axis have
modules of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck.backends.arrayapi._tools import (
    all_false,
    flatten,
    implements,
    is_floating,
    is_library_array,
    to_array,
    to_complex,
    to_dtype,
    to_floating,
)
from spatial_duck.geometry._numbering import (
    as_tuple,
    at_least,
    normalize_axes,
    pad_widths,
    swapped_axes,
)
from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["UFUNCS", "created"]

#: Ufuncs that the standard does not have, of those that it has.
UFUNCS: dict[str, Callable[..., Any]] = {
    "deg2rad": lambda xp, x: to_floating(xp, x) * (np.pi / 180),
    "radians": lambda xp, x: to_floating(xp, x) * (np.pi / 180),
    "rad2deg": lambda xp, x: to_floating(xp, x) * (180 / np.pi),
    "degrees": lambda xp, x: to_floating(xp, x) * (180 / np.pi),
    "exp2": lambda xp, x: xp.pow(2.0, to_floating(xp, x)),
    "rint": lambda xp, x: xp.round(x),
    "fmax": lambda xp, x, y: xp.where(xp.isnan(x), y, xp.where(xp.isnan(y), x, xp.maximum(x, y))),
    "fmin": lambda xp, x, y: xp.where(xp.isnan(x), y, xp.where(xp.isnan(y), x, xp.minimum(x, y))),
    "float_power": lambda xp, x, y: xp.pow(xp.astype(x, xp.float64), y),
    "divmod": lambda xp, x, y: (xp.floor_divide(x, y), xp.remainder(x, y)),
    "modf": lambda xp, x: (x - xp.trunc(x), xp.trunc(x)),
}


def created(xp: Any, func: Any, args: Any, kwargs: Any) -> Any:
    """Call a function with ``like=``: NumPy makes the array, and the library takes it."""
    kwargs = dict(kwargs)
    place = array_api_compat.device(kwargs.pop("like"))
    if args and is_library_array(args[0]):
        if func in (np.asarray, np.asanyarray) and not kwargs and len(args) == 1:
            return args[0]
        raise TypeError(f"numpy.{func.__name__} on {xp.__name__} takes lists and arrays of NumPy")
    made = np.ascontiguousarray(func(*args, **kwargs))
    # The memory of a buffer may be read-only, which PyTorch does not know.
    return xp.asarray(made if made.flags.writeable else made.copy(), device=place)


# --- axes and shapes ----------------------------------------------------------------------


@implements(np.transpose)
def _transpose(xp: Any, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else normalize_axes(tuple(axes), a.ndim)
    return xp.permute_dims(a, tuple(order))


@implements(np.swapaxes)
def _swapaxes(xp: Any, a: Any, axis1: int, axis2: int) -> Any:
    return xp.permute_dims(a, swapped_axes(axis1, axis2, a.ndim))


@implements(np.rot90)
def _rot90(xp: Any, m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = normalize_axes(tuple(axes), m.ndim)
    turned = _swapaxes(xp, m, first, second) if k % 2 else m
    flipped = {0: (), 1: (first,), 2: (first, second), 3: (second,)}[k % 4]
    return xp.flip(turned, axis=flipped) if flipped else turned


@implements(np.flipud)
def _flipud(xp: Any, m: Any) -> Any:
    return xp.flip(m, axis=0)


@implements(np.fliplr)
def _fliplr(xp: Any, m: Any) -> Any:
    return xp.flip(m, axis=1)


@implements(np.squeeze)
def _squeeze(xp: Any, a: Any, axis: Any = None) -> Any:
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axis
    return xp.squeeze(a, axis=normalize_axes(axes, a.ndim))


@implements(np.expand_dims)
def _expand_dims(xp: Any, a: Any, axis: Any) -> Any:
    axes = as_tuple(axis)
    for i in sorted(normalize_axes(axes, a.ndim + len(axes))):
        a = xp.expand_dims(a, axis=i)
    return a


@implements(np.reshape)
def _reshape(xp: Any, a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    if order not in ("C", "A"):
        raise TypeError(f"reshape on {xp.__name__} takes order 'C' alone, got {order!r}")
    return xp.reshape(a, shape, copy=copy)


@implements(np.ravel)
def _ravel(xp: Any, a: Any, order: str = "C") -> Any:
    return _reshape(xp, a, (-1,), order)


def _to_arrays(xp: Any, pieces: Any) -> list[Any]:
    """Return what is joined, lists among them, as arrays on the device of the first array."""
    like = next(filter(is_library_array, pieces))
    # Numbers in lists have NumPy's type, not the library's default, which may be shorter.
    return [p if is_library_array(p) else to_array(xp, np.asarray(p), like) for p in pieces]


@implements(np.concatenate)
def _concatenate(xp: Any, arrays: Any, /, axis: Any = 0) -> Any:
    return xp.concat(_to_arrays(xp, arrays), axis=axis)


@implements(np.stack)
def _stack(xp: Any, arrays: Any, axis: Any = 0) -> Any:
    return xp.stack(_to_arrays(xp, arrays), axis=axis)


def _joined(least: int, axis: int) -> Callable[..., Any]:
    def join(xp: Any, tup: Any) -> Any:
        arrays = [at_least(a, least) for a in _to_arrays(xp, tup)]
        return xp.concat(arrays, axis=0 if arrays[0].ndim == 1 else axis)

    return join


implements(np.hstack)(_joined(1, 1))
implements(np.vstack)(_joined(2, 0))
implements(np.dstack)(_joined(3, 2))


@implements(np.column_stack)
def _column_stack(xp: Any, tup: Any) -> Any:
    arrays = _to_arrays(xp, tup)
    return xp.concat([xp.reshape(a, (-1, 1)) if a.ndim == 1 else a for a in arrays], axis=1)


#: Ways of `numpy.pad` that repeat voxels of the array.
_REPEATING = frozenset({"edge", "reflect", "symmetric", "wrap"})


@implements(np.pad)
def _pad(xp: Any, array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if not (mode == "constant" or mode in _REPEATING):
        raise TypeError(f"pad on {xp.__name__} has no mode {mode!r}")
    values = np.broadcast_to(options.pop("constant_values", 0), (array.ndim, 2))
    place = array_api_compat.device(array)
    for axis, (before, after) in enumerate(pad_widths(pad_width, array.ndim)):
        if mode == "constant":
            parts = []
            for n, value in ((before, values[axis, 0]), (after, values[axis, 1])):
                shape = tuple([n if i == axis else m for i, m in enumerate(array.shape)])
                parts.append(xp.full(shape, value.item(), dtype=array.dtype, device=place))
            array = xp.concat([parts[0], array, parts[1]], axis=axis)
        elif before or after:
            index = np.pad(np.arange(array.shape[axis]), (before, after), mode, **options)
            array = xp.take(array, xp.asarray(index, device=place), axis=axis)
    return array


# --- types and numbers --------------------------------------------------------------------


@implements(np.astype)
def _astype(xp: Any, x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:
    return xp.astype(x, to_dtype(xp, dtype), copy=copy, device=device)


@implements(np.copy)
def _copy(xp: Any, a: Any, **_: Any) -> Any:
    return xp.asarray(a, copy=True)


@implements(np.result_type)
def _result_type(xp: Any, *arrays_and_dtypes: Any) -> Any:
    return xp.result_type(*[to_dtype(xp, a) if isinstance(a, type | str | np.dtype) else a
                            for a in arrays_and_dtypes])  # fmt: skip


@implements(np.round, np.around)
def _round(xp: Any, a: Any, decimals: int = 0, out: Any = None) -> Any:
    if out is not None:
        raise TypeError(f"round on {xp.__name__} takes no out")
    if not decimals or not is_floating(xp, a):
        return xp.round(a)
    scale = 10.0 ** abs(decimals)
    return xp.round(a * scale) / scale if decimals > 0 else xp.round(a / scale) * scale


@implements(np.fix)
def _fix(xp: Any, x: Any) -> Any:
    return xp.trunc(x)


@implements(np.clip)
def _clip(xp: Any, a: Any, a_min: Any = None, a_max: Any = None, **kwargs: Any) -> Any:
    kwargs = {k: v for k, v in kwargs.items() if v is not None and v is not NO_VALUE}
    low = kwargs.pop("min", a_min)
    high = kwargs.pop("max", a_max)
    if kwargs:
        raise TypeError(f"clip on {xp.__name__} does not take {sorted(kwargs)}")
    low, high = (None if v is NO_VALUE else v for v in (low, high))
    return xp.clip(a, low, high)


@implements(np.angle)
def _angle(xp: Any, z: Any, deg: bool = False) -> Any:
    return xp.atan2(xp.imag(z), xp.real(z)) * (180 / np.pi if deg else 1)


@implements(np.iscomplex)
def _iscomplex(xp: Any, x: Any) -> Any:
    return xp.imag(x) != 0 if xp.isdtype(x.dtype, "complex floating") else all_false(xp, x)


@implements(np.isreal)
def _isreal(xp: Any, x: Any) -> Any:
    return xp.logical_not(_iscomplex(xp, x))


@implements(np.isposinf)
def _isposinf(xp: Any, x: Any) -> Any:
    return x == np.inf if is_floating(xp, x) else all_false(xp, x)


@implements(np.isneginf)
def _isneginf(xp: Any, x: Any) -> Any:
    return x == -np.inf if is_floating(xp, x) else all_false(xp, x)


@implements(np.nan_to_num)
def _nan_to_num(
    xp: Any, x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    if not copy:
        raise TypeError(f"nan_to_num on {xp.__name__} takes copy=True alone")
    if xp.isdtype(x.dtype, "complex floating"):
        raise TypeError(
            f"numpy.nan_to_num on {xp.__name__} does not take this type: use .to('numpy')"
        )
    if not is_floating(xp, x):
        return x
    info = xp.finfo(x.dtype)
    for found, value in [
        (xp.isnan(x), nan),
        (x == np.inf, info.max if posinf is None else posinf),
        (x == -np.inf, info.min if neginf is None else neginf),
    ]:
        x = xp.where(found, xp.asarray(float(value), dtype=x.dtype), x)
    return x


@implements(np.sinc)
def _sinc(xp: Any, x: Any) -> Any:
    x = to_floating(xp, x) * np.pi
    safe = xp.where(x == 0, xp.ones_like(x), x)
    return xp.where(x == 0, xp.ones_like(x), xp.sin(safe) / safe)


@implements(np.polyval)
def _polyval(xp: Any, p: Any, x: Any) -> Any:
    found = xp.zeros_like(x)
    for i in range(len(p)):
        found = found * x + p[i]
    return found


# --- choices and comparisons --------------------------------------------------------------


@implements(np.where)
def _where(xp: Any, condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return xp.nonzero(condition)
    if not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        x = xp.asarray(x)
    return xp.where(condition, x, y)


@implements(np.select)
def _select(xp: Any, condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    like = next(filter(is_library_array, [*choicelist, *condlist]))
    choices = [to_array(xp, c, like) for c in [*choicelist, default]]
    kind = xp.result_type(*[c for c in choicelist if hasattr(c, "dtype")] or choices)
    found = xp.astype(choices[-1], kind)
    for where, choice in list(zip(condlist, choices, strict=False))[::-1]:
        found = xp.where(where, xp.astype(choice, kind), found)
    return found


@implements(np.isclose)
def _isclose(
    xp: Any, a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    a, b = (to_floating(xp, xp.asarray(x)) for x in (a, b))
    near = (xp.abs(a - b) <= atol + rtol * xp.abs(b)) & xp.isfinite(b) | (a == b)
    return near | (xp.isnan(a) & xp.isnan(b)) if equal_nan else near


@implements(np.allclose)
def _allclose(xp: Any, a: Any, b: Any, *args: Any, **kwargs: Any) -> bool:
    return bool(xp.all(_isclose(xp, a, b, *args, **kwargs)))


@implements(np.array_equal)
def _array_equal(xp: Any, a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    if tuple(a1.shape) != tuple(a2.shape):
        return False
    same = a1 == a2
    return bool(xp.all(same | ((a1 != a1) & (a2 != a2)) if equal_nan else same))


@implements(np.array_equiv)
def _array_equiv(xp: Any, a1: Any, a2: Any) -> bool:
    try:
        np.broadcast_shapes(tuple(a1.shape), tuple(a2.shape))
    except ValueError:
        return False
    return bool(xp.all(a1 == a2))


# --- indices, and in place ----------------------------------------------------------------


@implements(np.argwhere)
def _argwhere(xp: Any, a: Any) -> Any:
    return xp.stack(xp.nonzero(a), axis=1)


@implements(np.flatnonzero)
def _flatnonzero(xp: Any, a: Any) -> Any:
    return xp.nonzero(flatten(xp, a))[0]


def _host_indices(func: Any) -> Callable[..., Any]:
    def indices(xp: Any, arr: Any, *args: Any, **options: Any) -> Any:
        found = func(np.broadcast_to(0, arr.shape), *args, **options)
        return tuple([to_array(xp, np.ascontiguousarray(i), arr) for i in found])

    return indices


for _func in (np.diag_indices_from, np.tril_indices_from, np.triu_indices_from):
    implements(_func)(_host_indices(_func))


@implements(np.copyto)
def _copyto(xp: Any, dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    src = to_array(xp, src, dst)
    if casting != "unsafe" and not xp.can_cast(src, dst.dtype) and not is_floating(xp, dst):
        raise TypeError(f"Cannot cast {src.dtype} to {dst.dtype} according to {casting!r}")
    src = xp.broadcast_to(xp.astype(src, dst.dtype), dst.shape)
    dst[...] = src if where is True else xp.where(where, src, dst)


@implements(np.putmask)
def _putmask(xp: Any, a: Any, /, mask: Any, values: Any) -> None:
    if np.prod(np.shape(values)) != 1 and np.shape(values) != tuple(a.shape):
        raise TypeError(f"putmask on {xp.__name__} takes one value, or values of the array's shape")
    values = xp.reshape(to_array(xp, values, a), np.shape(values) or (1,) * a.ndim)
    _copyto(xp, a, values, "unsafe", mask)


# --- Fourier transforms -------------------------------------------------------------------


def _transformed(name: str) -> Callable[..., Any]:
    def transform(xp: Any, a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
        run = getattr(xp.fft, name)
        return run(to_complex(xp, a), s=s, axes=axes, norm=norm or "backward")

    return transform


implements(np.fft.fft2)(_transformed("fftn"))
implements(np.fft.ifft2)(_transformed("ifftn"))
