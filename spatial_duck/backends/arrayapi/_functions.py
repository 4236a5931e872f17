"""NumPy's functions and ufuncs that the array API lacks, made of those that it has.

Each takes the namespace first, and then what NumPy's function takes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck.backends._pieces import pad_widths
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis
from spatial_duck.rules._bind import NO_VALUE

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["COMPOSED", "UFUNCS", "arrays_of", "to_complex", "to_dtype", "to_floating"]


def to_dtype(xp: Any, dtype: Any) -> Any:
    """Return the namespace's type by NumPy's name for it."""
    try:
        return getattr(xp, np.dtype(dtype).name)
    except TypeError:
        return dtype


def to_floating(xp: Any, x: Any) -> Any:
    """Convert integers to the library's default floating type, as NumPy does."""
    if not hasattr(x, "dtype") or not xp.isdtype(x.dtype, ("bool", "integral")):
        return x
    return xp.astype(x, xp.asarray(1.0).dtype)


def to_complex(xp: Any, x: Any) -> Any:
    """Convert real arrays to the complex type of their precision."""
    if xp.isdtype(x.dtype, "complex floating"):
        return x
    return xp.astype(x, xp.complex64 if x.dtype == xp.float32 else xp.complex128)


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


# --- functions made of others -------------------------------------------------------------


def _transpose(xp: Any, a: Any, axes: Any = None) -> Any:
    order = range(a.ndim)[::-1] if axes is None else normalize_axes(tuple(axes), a.ndim)
    return xp.permute_dims(a, tuple(order))


def _swapaxes(xp: Any, a: Any, axis1: int, axis2: int) -> Any:
    order = list(range(a.ndim))
    i, j = normalize_axis(axis1, a.ndim), normalize_axis(axis2, a.ndim)
    order[i], order[j] = j, i
    return xp.permute_dims(a, tuple(order))


def _rot90(xp: Any, m: Any, k: int = 1, axes: Any = (0, 1)) -> Any:
    first, second = normalize_axes(tuple(axes), m.ndim)
    turned = _swapaxes(xp, m, first, second) if k % 2 else m
    flipped = {0: (), 1: (first,), 2: (first, second), 3: (second,)}[k % 4]
    return xp.flip(turned, axis=flipped) if flipped else turned


def _squeeze(xp: Any, a: Any, axis: Any = None) -> Any:
    axes = [i for i, n in enumerate(a.shape) if n == 1] if axis is None else axis
    return xp.squeeze(a, axis=normalize_axes(axes, a.ndim))


def _expand_dims(xp: Any, a: Any, axis: Any) -> Any:
    axes = tuple(axis) if isinstance(axis, tuple | list) else (axis,)
    for i in sorted(normalize_axes(axes, a.ndim + len(axes))):
        a = xp.expand_dims(a, axis=i)
    return a


def _reshape(xp: Any, a: Any, /, shape: Any, order: str = "C", *, copy: Any = None) -> Any:
    if order not in ("C", "A"):
        raise TypeError(f"reshape on {xp.__name__} takes order 'C' alone, got {order!r}")
    return xp.reshape(a, shape if isinstance(shape, tuple | list) else (shape,), copy=copy)


def _clip(xp: Any, a: Any, a_min: Any = None, a_max: Any = None, **kwargs: Any) -> Any:
    kwargs = {k: v for k, v in kwargs.items() if v is not None and v is not NO_VALUE}
    low = kwargs.pop("min", a_min)
    high = kwargs.pop("max", a_max)
    if kwargs:
        raise TypeError(f"clip on {xp.__name__} does not take {sorted(kwargs)}")
    low, high = (None if v is NO_VALUE else v for v in (low, high))
    return xp.clip(a, low, high)


def _where(xp: Any, condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return xp.nonzero(condition)
    if not hasattr(x, "dtype") and not hasattr(y, "dtype"):
        x = xp.asarray(x)
    return xp.where(condition, x, y)


def _flat(xp: Any, a: Any) -> Any:
    return xp.reshape(a, (-1,))


def _median(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    axes = normalize_axes(axis, a.ndim)
    order = tuple([i for i in range(a.ndim) if i not in axes])
    kept = tuple([a.shape[i] for i in order])
    count = math.prod([a.shape[i] for i in axes])
    a = xp.sort(
        xp.reshape(xp.permute_dims(to_floating(xp, a), (*order, *axes)), (*kept, count)), axis=-1
    )
    n = a.shape[-1]
    middle = xp.mean(a[..., (n - 1) // 2 : n // 2 + 1], axis=-1)
    nothing = xp.full_like(middle, float("nan"))
    middle = xp.where(xp.any(xp.isnan(a), axis=-1), nothing, middle)
    shape = tuple([1 if i in axes else m for i, m in enumerate(_full(kept, axes))])
    return xp.reshape(middle, shape) if keepdims is True else middle


def _full(kept: tuple[int, ...], axes: tuple[int, ...]) -> list[int]:
    """Return the shape that has ones at some axes and the given lengths elsewhere."""
    lengths = iter(kept)
    return [1 if i in axes else next(lengths) for i in range(len(kept) + len(axes))]


def _without_nan(xp: Any, a: Any, value: float) -> Any:
    if not xp.isdtype(a.dtype, ("real floating", "complex floating")):
        return a
    return xp.where(xp.isnan(a), xp.asarray(value, dtype=a.dtype), a)


def _nanmean(xp: Any, a: Any, axis: Any = None, *, keepdims: Any = False) -> Any:
    over = {"axis": axis, "keepdims": keepdims is True}
    a = to_floating(xp, a)
    known = xp.astype(xp.logical_not(xp.isnan(a)), a.dtype)
    return xp.sum(_without_nan(xp, a, 0), **over) / xp.sum(known, **over)


def _nan_to_num(
    xp: Any, x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    if not copy:
        raise TypeError(f"nan_to_num on {xp.__name__} takes copy=True alone")
    if not xp.isdtype(x.dtype, "real floating"):
        return x if not xp.isdtype(x.dtype, "complex floating") else _refuse(xp, "nan_to_num")
    info = xp.finfo(x.dtype)
    for found, value in [
        (xp.isnan(x), nan),
        (x == float("inf"), info.max if posinf is None else posinf),
        (x == float("-inf"), info.min if neginf is None else neginf),
    ]:
        x = xp.where(found, xp.asarray(float(value), dtype=x.dtype), x)
    return x


def _refuse(xp: Any, name: str) -> Any:
    raise TypeError(f"numpy.{name} on {xp.__name__} does not take this type: use .to('numpy')")


def _at_least(n: int) -> Callable[..., Any]:
    def at_least(xp: Any, *arrays: Any) -> Any:
        made = []
        for a in arrays:
            missing = max(n - a.ndim, 0)
            after = 1 if n == 3 and missing in (1, 2) else 0  # NumPy puts one axis last
            before = (1,) * (missing - after)
            made.append(xp.reshape(a, before + tuple(a.shape) + (1,) * after) if missing else a)
        return made[0] if len(made) == 1 else tuple(made)

    return at_least


def _joined(n: int, axis: int) -> Callable[..., Any]:
    def join(xp: Any, tup: Any) -> Any:
        arrays = [_at_least(n)(xp, a) for a in tup]
        return xp.concat(arrays, axis=0 if arrays[0].ndim == 1 else axis)

    return join


#: Ways of `numpy.pad` that repeat voxels of the array.
_REPEATING = frozenset({"edge", "reflect", "symmetric", "wrap"})


def _pad(xp: Any, array: Any, pad_width: Any, mode: Any = "constant", **options: Any) -> Any:
    if not (mode == "constant" or mode in _REPEATING):
        raise TypeError(f"pad on {xp.__name__} has no mode {mode!r}")
    widths = np.broadcast_to(pad_widths(pad_width, array.ndim), (array.ndim, 2))
    values = np.broadcast_to(options.pop("constant_values", 0), (array.ndim, 2))
    for axis, (before, after) in enumerate(widths.tolist()):
        if mode == "constant":
            parts = []
            for n, value in ((before, values[axis, 0]), (after, values[axis, 1])):
                shape = tuple([n if i == axis else m for i, m in enumerate(array.shape)])
                place = array_api_compat.device(array)
                parts.append(xp.full(shape, value.item(), dtype=array.dtype, device=place))
            array = xp.concat([parts[0], array, parts[1]], axis=axis)
        elif before or after:
            index = np.pad(np.arange(array.shape[axis]), (before, after), mode, **options)
            place = array_api_compat.device(array)
            array = xp.take(array, xp.asarray(index, device=place), axis=axis)
    return array


def _isclose(
    xp: Any, a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    a, b = (to_floating(xp, xp.asarray(x)) for x in (a, b))
    near = (xp.abs(a - b) <= atol + rtol * xp.abs(b)) & xp.isfinite(b) | (a == b)
    return near | (xp.isnan(a) & xp.isnan(b)) if equal_nan else near


def _diagonal(xp: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    return xp.linalg.diagonal(xp.moveaxis(a, (axis1, axis2), (-2, -1)), offset=offset)


def _trace(
    xp: Any, a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None
) -> Any:
    moved = xp.moveaxis(a, (axis1, axis2), (-2, -1))
    return xp.linalg.trace(
        moved, offset=offset, dtype=None if dtype is None else to_dtype(xp, dtype)
    )


def arrays_of(xp: Any, *values: Any) -> list[Any]:
    """Make arrays of numbers, as NumPy's products do; arrays stay."""
    return [x if hasattr(x, "shape") and np.ndim(x) else xp.asarray(x) for x in values]


def _dot(xp: Any, a: Any, b: Any) -> Any:
    a, b = arrays_of(xp, a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (max(b.ndim - 2, 0),)))


def _inner(xp: Any, a: Any, b: Any) -> Any:
    a, b = arrays_of(xp, a, b)
    if a.ndim == 0 or b.ndim == 0:
        return a * b
    return xp.tensordot(a, b, axes=((a.ndim - 1,), (b.ndim - 1,)))


def _outer(xp: Any, a: Any, b: Any) -> Any:
    a, b = [_flat(xp, x) for x in arrays_of(xp, a, b)]
    return a[:, None] * b[None, :]


def _qr(xp: Any, a: Any, mode: str = "reduced") -> Any:
    if mode not in ("reduced", "complete", "r"):
        raise TypeError(f"numpy.linalg.qr on {xp.__name__} has no mode {mode!r}")
    found = xp.linalg.qr(to_floating(xp, a), mode="reduced" if mode == "r" else mode)
    return found[1] if mode == "r" else found


def _unique(xp: Any, ar: Any, **options: Any) -> Any:
    if any(v for k, v in options.items() if k not in ("equal_nan", "sorted")):
        raise TypeError(f"unique on {xp.__name__}: use numpy.unique_counts, unique_inverse or _all")
    return xp.sort(xp.unique_values(ar))


def _array_equal(xp: Any, a1: Any, a2: Any, equal_nan: bool = False) -> bool:
    if tuple(a1.shape) != tuple(a2.shape):
        return False
    same = a1 == a2
    return bool(xp.all(same | ((a1 != a1) & (a2 != a2)) if equal_nan else same))


COMPOSED: dict[Any, Callable[..., Any]] = {
    np.median: _median,
    np.nanmean: _nanmean,
    np.nansum: lambda xp, a, axis=None, *, keepdims=False: xp.sum(
        _without_nan(xp, a, 0), axis=axis, keepdims=keepdims is True
    ),
    np.nanprod: lambda xp, a, axis=None, *, keepdims=False: xp.prod(
        _without_nan(xp, a, 1), axis=axis, keepdims=keepdims is True
    ),
    np.nan_to_num: _nan_to_num,
    np.atleast_1d: _at_least(1),
    np.atleast_2d: _at_least(2),
    np.atleast_3d: _at_least(3),
    np.hstack: _joined(1, 1),
    np.vstack: _joined(2, 0),
    np.dstack: _joined(3, 2),
    np.concatenate: lambda xp, arrays, /, axis=0: xp.concat(arrays, axis=axis),
    np.pad: _pad,
    np.isclose: _isclose,
    np.allclose: lambda xp, a, b, *args, **kwargs: bool(
        xp.all(_isclose(xp, a, b, *args, **kwargs))
    ),
    np.array_equal: _array_equal,
    np.diagonal: _diagonal,
    np.trace: _trace,
    np.dot: _dot,
    np.inner: _inner,
    np.outer: _outer,
    np.linalg.qr: _qr,
    np.unique: _unique,
    np.argwhere: lambda xp, a: xp.stack(xp.nonzero(a), axis=1),
    np.flatnonzero: lambda xp, a: xp.nonzero(_flat(xp, a))[0],
    np.angle: lambda xp, z, deg=False: (
        xp.atan2(xp.imag(z), xp.real(z)) * (180 / np.pi if deg else 1)
    ),
    np.fft.fft2: lambda xp, a, s=None, axes=(-2, -1), norm=None: xp.fft.fftn(
        to_complex(xp, a), s=s, axes=axes, norm=norm or "backward"
    ),
    np.fft.ifft2: lambda xp, a, s=None, axes=(-2, -1), norm=None: xp.fft.ifftn(
        to_complex(xp, a), s=s, axes=axes, norm=norm or "backward"
    ),
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.rot90: _rot90,
    np.squeeze: _squeeze,
    np.expand_dims: _expand_dims,
    np.reshape: _reshape,
    np.clip: _clip,
    np.where: _where,
    np.ravel: lambda xp, a, order="C": _reshape(xp, a, (-1,), order),
    np.flipud: lambda xp, m: xp.flip(m, axis=0),
    np.fliplr: lambda xp, m: xp.flip(m, axis=1),
    np.copy: lambda xp, a, **_: xp.asarray(a, copy=True),
    np.ptp: lambda xp, a, axis=None, keepdims=False: (
        xp.max(a, axis=axis, keepdims=keepdims) - xp.min(a, axis=axis, keepdims=keepdims)
    ),
    np.shape: lambda _, a: tuple(a.shape),
    np.ndim: lambda _, a: a.ndim,
    np.size: lambda _, a, axis=None: int(
        np.prod([a.shape[i] for i in normalize_axes(axis, a.ndim)], dtype=int)
    ),
    np.iscomplexobj: lambda xp, x: xp.isdtype(x.dtype, "complex floating"),
    np.isrealobj: lambda xp, x: not xp.isdtype(x.dtype, "complex floating"),
}


if hasattr(np, "astype"):  # NumPy 2.1
    COMPOSED[np.astype] = lambda xp, x, dtype, /, *, copy=True, device=None: xp.astype(
        x, to_dtype(xp, dtype), copy=copy, device=device
    )
