"""How NumPy's functions and ufuncs reach the data and come back as images.

For each call one thing happens: a rule (see `spatial_duck.rules`) works out the geometry of the
result, the backend that owns the data computes it, and the two are put together. Rules that can
neither fail nor lose anything run only when the geometry is first asked for.
"""

from __future__ import annotations

from types import EllipsisType, FunctionType
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spatial_duck import backends
from spatial_duck.array._holder import Holder, fitted
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as mixing
from spatial_duck.rules import CREATES, REFUSED, RULES, find
from spatial_duck.rules import _ufuncs as ufuncs
from spatial_duck.rules._rule import Rule, unplaced

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Dispatching"]

_new = object.__new__
_CONCATENATE = np.concatenate
_NDARRAY = np.ndarray

#: Arguments of these types can neither change later nor hold an image.
_CONSTANTS = frozenset({int, float, bool, complex, str, type(None), slice, EllipsisType, type})
#: Arguments of these types are in memory.
_IN_MEMORY = frozenset({*_CONSTANTS, np.ndarray})
#: Operands of these types have no place: beside them an image keeps its own.
_PLAIN_OPERANDS = frozenset(
    {np.ndarray, int, float, bool, complex, np.float64, np.float32, np.int64, np.bool_}
)


class Dispatching(Holder):
    """NumPy's protocols on data and geometry: the engine of `SpatialArray`."""

    __slots__ = ()

    #: Above ndarray and Dask arrays, below xarray.
    __array_priority__: ClassVar[float] = 60.0

    # --- functions ------------------------------------------------------------------------

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        for t in types:
            if t is not self.__class__ and not (issubclass(t, Dispatching) or backends.is_known(t)):
                return NotImplemented
        if func is _CONCATENATE and not kwargs:
            joined = self._join(*args)
            if joined is not None:
                return joined
        if func in CREATES:
            return self._create(func, args, kwargs)
        return self._call(func, args, kwargs)

    def _join(self, images: Any, axis: Any = 0) -> Any:
        """Concatenate pieces of one image again; None where that needs a closer look.

        Rule, checks and wrapping in one go: pieces of one image lie where the same arithmetic
        puts them, so that comparing for equality does. Whatever differs goes the general way.
        """
        if images.__class__ is not list or axis.__class__ is not int or not images:
            return None
        cls = self.__class__
        bare = []
        first: Any = None
        grid: Any
        total = 0
        for image in images:
            if image.__class__ is not cls or image._attrs or image._data.__class__ is not _NDARRAY:
                return None
            grid = image._geometry
            if grid.__class__ is tuple:
                grid = image._settle()
            if first is None:
                first, axes, shape = grid, grid._axes, grid._shape
                if not 0 <= axis < len(axes) or axes[axis][1] is None:
                    return None
                _, spacing, column, _ = axes[axis]
            else:
                length = spacing * total
                origin = tuple([o + length * c for o, c in zip(first._origin, column)])  # noqa: B905
                if (
                    grid._origin != origin
                    or grid._shape != shape
                    or grid._axes != axes
                    or grid._world != first._world
                ):
                    return None
            total += shape[axis]
            bare.append(image._data)
        new = _new(cls)
        new._data = data = _CONCATENATE(bare, axis)
        new._geometry = first._with(data.shape, axes, first._origin)
        new._attrs = None
        return new

    def _create(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> Any:
        """Call a function that has this image as its ``like=``."""
        images: list[Dispatching] = []
        grids, data = _apart(args, images)
        grid_kwargs, data_kwargs = _apart_mapping(kwargs, images)
        rule = RULES.get(func) or find(func)
        assert rule is not None
        geometry = rule.geometry(*grids, **grid_kwargs)
        result = _run(func, data, {**data_kwargs, "like": self._data})
        if not getattr(result, "ndim", 0):
            return result
        if geometry is None:
            return self._wrap(result, unplaced(result.shape))
        return self._dress(result, geometry, images)

    @classmethod
    def _call(cls, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a NumPy function on images and other arguments."""
        rule = RULES.get(func) or find(func)
        if rule is None:
            name = getattr(func, "__name__", repr(func))
            reason = REFUSED.get(func)
            raise TypeError(
                f"numpy.{name} {reason}"
                if reason
                else f"spatial_duck has no rule for numpy.{name}, so that it cannot say where its "
                "result would lie; call it on image.data"
            )
        if rule.deferrable and isinstance(args[0] if args else None, Dispatching):
            image = args[0]
            rest = args[1:]
            for value in rest:
                if value.__class__ not in _CONSTANTS and not _is_constant(value):
                    break
            else:
                for value in kwargs.values():
                    if value.__class__ not in _CONSTANTS and not _is_constant(value):
                        break
                else:
                    data = _run(func, (image._data, *rest), kwargs)
                    if getattr(data, "ndim", 0) == 0:
                        return data
                    return cls._wrap(
                        data,
                        image._defer(rule.geometry, rest, kwargs),
                        image._attrs.copy() if image._attrs else None,
                    )
        return cls._call_general(func, rule, args, kwargs)

    @classmethod
    def _call_general(
        cls, func: Callable[..., Any], rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        images: list[Dispatching] = []
        geometry_args, data_args = _apart(args, images)
        if kwargs or 0 <= rule.out < len(args):
            geometry_kwargs, data_kwargs = _apart_mapping(kwargs, images)
            geometry = rule.geometry(*geometry_args, **geometry_kwargs)
            out = args[rule.out] if 0 <= rule.out < len(args) else kwargs.get("out")
            if out.__class__ is tuple and len(out) == 1:
                out = out[0]
            if out is not None:
                check_out(getattr(func, "__name__", "function"), geometry, out)
            result = _run(func, data_args, data_kwargs)
            return cls._dress(result, geometry, images) if out is None else out
        geometry = rule.geometry(*geometry_args)
        result = _run(func, data_args, kwargs)
        return cls._dress(result, geometry, images)

    @classmethod
    def _dress(cls, result: Any, geometry: Any, images: list[Dispatching], out: Any = None) -> Any:
        """Put geometries on the arrays of a result."""
        if geometry.__class__ is Geometry and geometry._shape == getattr(result, "shape", None):
            if not geometry._shape:
                return result
            new = _new(cls)
            new._data = result
            new._geometry = geometry
            new._attrs = common_attrs(images)
            return new
        if geometry is None:
            return result
        if geometry.__class__ is FunctionType:
            return cls._dress(result, geometry(result, *[i._data for i in images]), images, out)
        if isinstance(result, list | tuple):
            outs = out if isinstance(out, tuple) else (None,) * len(result)
            many = geometry if isinstance(geometry, list | tuple) else [geometry] * len(result)
            dressed = [
                o if o is not None else cls._dress(r, g, images)
                for r, g, o in zip(result, many, outs, strict=True)
            ]
            if isinstance(result, list):
                return dressed
            make = getattr(type(result), "_make", type(result))
            return make(dressed)
        if getattr(result, "ndim", 0) == 0:
            return result
        return cls._wrap(result, fitted(geometry, result), common_attrs(images))

    # --- ufuncs ---------------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method == "__call__" and not kwargs and ufunc.nout == 1 and ufunc.signature is None:
            result = self._elementwise(ufunc, inputs)
            if result is not None:
                return result
        if method == "reduceat":  # NumPy hands on indices given by name among the inputs as well
            kwargs.pop("indices", None)
        outs = kwargs.get("out", ())
        for x in (*inputs, *outs, kwargs.get("where", True)):
            if not (x is None or isinstance(x, Dispatching | list | tuple)) and not (
                backends.is_known(x.__class__)
            ):
                return NotImplemented
        images: list[Dispatching] = []
        grids, data = _apart(inputs, images)
        grid_kwargs, data_kwargs = _apart_mapping(kwargs, images)
        rule = ufuncs.METHODS[method] if ufunc.signature is None else ufuncs.GENERALIZED[method]
        geometry = rule(ufunc, grids, grid_kwargs)
        if outs:
            check_out(ufunc.__name__, geometry, outs)
        call = ufunc if method == "__call__" else getattr(ufunc, method)
        result = _run(call, data, data_kwargs)
        if outs and ufunc.nout == 1:
            return outs[0]
        return self._dress(result, geometry, images, outs or None)

    def _elementwise(self, ufunc: np.ufunc, inputs: tuple[Any, ...]) -> Any:
        """Call a ufunc of one result on one or two inputs; None where that needs a closer look."""
        cls = self.__class__
        first = inputs[0]
        if len(inputs) == 1:
            image, data = first, _run(ufunc, (first._data,), {})
            geometry = image._geometry
            attrs = image._attrs and image._attrs.copy()
        elif len(inputs) == 2:
            second = inputs[1]
            if first.__class__ is cls and second.__class__ is cls:
                geometry = first._geometry
                if geometry is not second._geometry:
                    geometry = mixing.broadcast(ufunc.__name__, (first.geometry, second.geometry))
                data = _run(ufunc, (first._data, second._data), {})
                attrs = common_attrs([first, second])
                if geometry.__class__ is not tuple:
                    geometry = fitted(geometry, data)
            else:
                image, other = (first, second) if first.__class__ is cls else (second, first)
                if other.__class__ not in _PLAIN_OPERANDS:
                    return None
                operands = (image._data, other) if image is first else (other, image._data)
                data = _run(ufunc, operands, {})
                geometry = image._geometry
                attrs = image._attrs and image._attrs.copy()
                if data.shape != image._data.shape:
                    return None
        else:
            return None
        if getattr(data, "ndim", 0) == 0:
            return data
        return cls._wrap(data, geometry, attrs)


def _is_constant(value: Any) -> bool:
    """Tell whether an argument can neither change later nor hold an image."""
    if value.__class__ is tuple:
        return all([v.__class__ in _CONSTANTS or _is_constant(v) for v in value])
    return isinstance(value, type | np.dtype | np.generic) or value is np._NoValue


def _run(func: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a function on bare arrays: NumPy's in memory, others as their backend does it.

    NumPy finds the way to most backends by itself. They decide all the same, because some would
    compute or copy for a function that they do not have.
    """
    if _in_memory(args) and (not kwargs or _in_memory(kwargs.values())):
        return func(*args, **kwargs)
    return backends.call(func, args, kwargs)


def _in_memory(values: Any) -> bool:
    """Tell whether arguments are NumPy's arrays and constants, at the first look."""
    for value in values:
        cls = value.__class__
        if cls in _IN_MEMORY:
            continue
        if (cls is list or cls is tuple) and _in_memory(value):
            continue
        if not _is_constant(value):
            return False
    return True


def _apart(args: Any, images: list[Dispatching]) -> tuple[Any, Any]:
    """Return the arguments with geometries, and with bare arrays, in place of images."""
    grids: list[Any] = []
    data: list[Any] = []
    for a in args:
        if isinstance(a, Dispatching):
            images.append(a)
            grids.append(a.geometry)
            data.append(a._data)
        elif a.__class__ is list or a.__class__ is tuple:
            g, d = _apart(a, images)
            grids.append(g)
            data.append(d)
        else:
            grids.append(a)
            data.append(a)
    if args.__class__ is list:
        return grids, data
    return tuple(grids), tuple(data)


def _apart_mapping(
    kwargs: dict[str, Any], images: list[Dispatching]
) -> tuple[dict[str, Any], dict[str, Any]]:
    if not kwargs:
        return kwargs, kwargs
    grids, data = _apart(tuple(kwargs.values()), images)
    return dict(zip(kwargs, grids, strict=True)), dict(zip(kwargs, data, strict=True))


def check_out(function: str, geometry: Any, out: Any) -> None:
    """Refuse to write a result into an image on another grid, before anything is written."""
    outs = out if isinstance(out, tuple) else (out,)
    many = geometry if isinstance(geometry, list | tuple) else [geometry] * len(outs)
    for o, g in zip(outs, many, strict=True):
        if isinstance(o, Dispatching) and g is not None:
            merged = mixing.broadcast(f"{function} (out=)", (g, o.geometry))
            if merged.shape != o.geometry.shape:
                raise ValueError(
                    f"{function}: out has shape {o.geometry.shape}, and the result has shape "
                    f"{merged.shape}"
                )


def common_attrs(images: list[Dispatching]) -> dict[str, Any] | None:
    """Return the attrs of one image, or of several the entries on which all agree."""
    first = images[0]._attrs
    if not first:
        return None
    kept = first.copy()
    for image in images[1:]:
        other = image._attrs
        if other is first:
            continue
        if not other:
            return None
        kept = {k: v for k, v in kept.items() if k in other and _equal(v, other[k])}
    return kept or None


def _equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool(np.all(a == b))
    except Exception:
        return False
