"""Dispatch of NumPy's functions and ufuncs to the data, and of the results to images.

For each call a rule (see `spatial_duck.rules`) gives the geometry of the result, the backend of the
data computes the values, and both are wrapped. `_fast` has shortcuts for the most frequent calls.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import _carry as carry
from spatial_duck.array import _fast as fast
from spatial_duck.array._state import ImageState, adapt_shape
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.rules import CREATES, REFUSED, RULES, find
from spatial_duck.rules import _ufuncs as ufuncs
from spatial_duck.rules._axis_names import axis_position, has_names, names_to_positions
from spatial_duck.rules._rule import Rule, unplaced

__all__ = ["array_function", "array_ufunc", "call"]

_new = object.__new__
_CONCATENATE, _STACK = np.concatenate, np.stack


# --- functions ----------------------------------------------------------------------------


def array_function(
    self: ImageState, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
) -> Any:
    """Call a NumPy function on an image: `SpatialArray.__array_function__`."""
    cls = self.__class__
    for t in types:
        if t is not cls and not (issubclass(t, ImageState) or backends.is_known(t)):
            return NotImplemented
    if not kwargs:
        result = NotImplemented
        if func is _CONCATENATE:
            result = fast.concatenate(cls, *args)
        elif func is _STACK:
            result = fast.stack(cls, *args)
        if result is not NotImplemented:
            return result
    if func in CREATES:
        return _create(self, func, args, kwargs)
    return call(func, args, kwargs)


def call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a NumPy function on images and other arguments.

    Raises
    ------
    TypeError
        If no rule says what the function does to geometry, or images do not take part in it.
    """
    rule = RULES.get(function) or _rule_of(function)
    if rule.axes and (len(args) > 1 or kwargs) and has_names(rule, args, kwargs):
        args, kwargs = resolve_axis_names(function, args, kwargs)
    if rule.deferrable:
        result = fast.call_deferred(function, rule, args, kwargs)
        if result is not NotImplemented:
            return result
    return _call_general(function, rule, args, kwargs)


def resolve_axis_names(function: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
    """Return a function's arguments with positions in place of names of axes.

    The names are those of the first image among the arguments.
    """
    rule = None if isinstance(function, np.ufunc) else RULES.get(function) or find(function)
    if rule is None or not has_names(rule, args, kwargs):
        return args, kwargs
    images: list[ImageState] = []
    split_images((args, tuple(kwargs.values())), images)
    if not images:
        return args, kwargs
    dims = images[0].geometry.dims
    if function in (np.tensordot, np.linalg.tensordot) and any(
        i.geometry.dims != dims for i in images
    ):
        raise GeometryError(
            "tensordot: axes by name need images with the same dims, got "
            f"{' and '.join([repr(i.geometry.dims) for i in images])}; give their positions"
        )
    return names_to_positions(function.__name__, rule, args, kwargs, dims)


def _rule_of(function: Callable[..., Any]) -> Rule:
    rule = find(function)
    if rule is None:
        name = getattr(function, "__name__", repr(function))
        reason = REFUSED.get(function)
        raise TypeError(
            f"numpy.{name} {reason}"
            if reason
            else f"spatial_duck has no rule for numpy.{name}, so that it cannot say where its "
            "result would lie; call it on image.data"
        )
    return rule


def _call_general(
    function: Callable[..., Any], rule: Rule, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    images: list[ImageState] = []
    geometry_args, data_args = split_images(args, images)
    if kwargs or 0 <= rule.out < len(args):
        geometry_kwargs, data_kwargs = split_keywords(kwargs, images)
        geometry = rule.geometry(*geometry_args, **geometry_kwargs)
        out = args[rule.out] if 0 <= rule.out < len(args) else kwargs.get("out")
        if out.__class__ is tuple and len(out) == 1:
            out = out[0]
        if out is not None:
            _check_out(getattr(function, "__name__", "function"), geometry, out)
    else:
        geometry, data_kwargs, out = rule.geometry(*geometry_args), kwargs, None
    coords = carry.function_coords(function, rule, args, kwargs, images)
    if coords is not None and out is not None:
        carry.check_out(coords, out)
    result = fast.run(function, data_args, data_kwargs)
    return wrap_result(result, geometry, images, coords=coords) if out is None else out


def _create(image: ImageState, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a function that has an image as its ``like=``."""
    images: list[ImageState] = []
    grids, data = split_images(args, images)
    geometry_kwargs, data_kwargs = split_keywords(kwargs, images)
    rule = _rule_of(function)
    geometry = rule.geometry(*grids, **geometry_kwargs)
    coords = carry.function_coords(function, rule, args, kwargs, images)
    result = fast.run(function, data, {**data_kwargs, "like": image._data})
    if not getattr(result, "ndim", 0):
        return result
    if geometry is None:
        return image._wrap(result, unplaced(result.shape))
    return wrap_result(result, geometry, images, coords=coords)


# --- ufuncs -------------------------------------------------------------------------------


def array_ufunc(
    image: ImageState, ufunc: np.ufunc, method: str, inputs: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Do the work of `SpatialArray.__array_ufunc__`."""
    if method == "__call__" and not kwargs and ufunc.nout == 1 and ufunc.signature is None:
        result = fast.call_elementwise(image.__class__, ufunc, inputs)
        if result is not NotImplemented:
            return result
    if method == "reduceat":  # NumPy passes indices given by name among the inputs as well
        kwargs.pop("indices", None)
    if kwargs and ("axis" in kwargs or "axes" in kwargs):
        _name_ufunc_axes(image, ufunc, kwargs)
    outs = kwargs.get("out", ())
    for x in (*inputs, *outs, kwargs.get("where", True)):
        if not (x is None or isinstance(x, ImageState | list | tuple)) and not (
            backends.is_known(x.__class__)
        ):
            return NotImplemented
    images: list[ImageState] = []
    grids, data = split_images(inputs, images)
    geometry_kwargs, data_kwargs = split_keywords(kwargs, images)
    rule = ufuncs.METHODS[method] if ufunc.signature is None else ufuncs.GENERALIZED[method]
    geometry = rule(ufunc, grids, geometry_kwargs)
    if outs:
        _check_out(ufunc.__name__, geometry, outs)
    coords = carry.ufunc_coords(ufunc, method, inputs, kwargs, images)
    if coords is not None and outs:
        carry.check_out(coords, outs)
    function = ufunc if method == "__call__" else getattr(ufunc, method)
    result = fast.run(function, data, data_kwargs)
    if outs and ufunc.nout == 1:
        return outs[0]
    return wrap_result(result, geometry, images, outs or None, None if outs else coords)


def _name_ufunc_axes(image: ImageState, ufunc: np.ufunc, kwargs: dict[str, Any]) -> None:
    """Return a ufunc's keywords with positions in place of names of axes."""

    def position(value: Any) -> Any:
        if isinstance(value, str):
            return axis_position(ufunc.__name__, value, image.geometry.dims)
        return type(value)(map(position, value)) if isinstance(value, list | tuple) else value

    for name in ("axis", "axes"):
        if name in kwargs:
            kwargs[name] = position(kwargs[name])


# --- unwrapping and wrapping --------------------------------------------------------------


def split_images(args: Any, images: list[ImageState]) -> tuple[Any, Any]:
    """Return arguments with geometries, and with bare arrays, in place of images.

    Images inside lists and tuples are replaced too, and all of them are added to `images`.
    """
    grids: list[Any] = []
    data: list[Any] = []
    for a in args:
        if isinstance(a, ImageState):
            images.append(a)
            g = a._geometry
            grids.append(a._resolve_geometry() if g.__class__ is tuple else g)
            data.append(a._data)
        elif a.__class__ is list or a.__class__ is tuple:
            g, d = split_images(a, images)
            grids.append(g)
            data.append(d)
        else:
            grids.append(a)
            data.append(a)
    if args.__class__ is list:
        return grids, data
    return tuple(grids), tuple(data)


def split_keywords(
    kwargs: dict[str, Any], images: list[ImageState]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return keywords with geometries, and with bare arrays, in place of images."""
    if not kwargs:
        return kwargs, kwargs
    grids, data = split_images(tuple(kwargs.values()), images)
    return dict(zip(kwargs, grids, strict=True)), dict(zip(kwargs, data, strict=True))


def wrap_result(
    result: Any, geometry: Any, images: list[ImageState], out: Any = None, coords: Any = None
) -> Any:
    """Return a backend's result with its arrays as images, by the geometry that the rule gave.

    Attrs are those of the images among the arguments, and coordinates go where `coords` says (see
    `spatial_duck.array._carry`). `out` has for each result an array that it was written to or None.
    """
    if geometry is None or not images:
        return result
    if coords is not None:
        if coords.__class__ is FunctionType:
            coords = coords(result, *[i._data for i in images])
        return carry.attach(wrap_result(result, geometry, images, out), coords)
    cls = images[0].__class__
    shape = getattr(result, "shape", None)
    if geometry.__class__ is Geometry and geometry.shape == shape:
        if not shape:
            return result
        new = _new(cls)
        new._data = result
        new._geometry = geometry
        new._attrs = common_attrs(images) if images[0]._attrs else None
        new._coords = None
        return new
    if geometry.__class__ is FunctionType:
        return wrap_result(result, geometry(result, *[i._data for i in images]), images, out)
    if isinstance(result, (list, tuple)):
        outs = out if isinstance(out, tuple) else (None,) * len(result)
        many = geometry if isinstance(geometry, list | tuple) else [geometry] * len(result)
        wrapped = [
            o if o is not None else wrap_result(r, g, images)
            for r, g, o in zip(result, many, outs, strict=True)
        ]
        if isinstance(result, list):
            return wrapped
        make = getattr(type(result), "_make", type(result))
        return make(wrapped)
    if getattr(result, "ndim", 0) == 0:
        return result
    return cls._wrap(result, adapt_shape(geometry, result), common_attrs(images))


def _check_out(function: str, geometry: Any, out: Any) -> None:
    """Raise where an image in ``out=`` lies on another grid, before anything is written."""
    outs = out if isinstance(out, tuple) else (out,)
    many = geometry if isinstance(geometry, list | tuple) else [geometry] * len(outs)
    for o, g in zip(outs, many, strict=True):
        if isinstance(o, ImageState) and g is not None:
            merged = alignment.broadcast(f"{function} (out=)", (g, o.geometry))
            if merged.shape != o.geometry.shape:
                raise ValueError(
                    f"{function}: out has shape {o.geometry.shape}, and the result has shape "
                    f"{merged.shape}"
                )


def common_attrs(images: list[ImageState]) -> dict[str, Any] | None:
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
        kept = {k: v for k, v in kept.items() if k in other and _is_equal(v, other[k])}
    return kept or None


def _is_equal(a: Any, b: Any) -> bool:
    if a is b:
        return True
    try:
        return bool(np.all(a == b))
    except Exception:
        return False
