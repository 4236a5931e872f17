"""The array API of images: one namespace for each backend.

``image.__array_namespace__()`` is the backend's own array-API namespace, with each function taking
images and giving images. What a function does to geometry is the rule of NumPy's function of the
same name. Arrays that the namespace creates have no positions: all their axes are plain, so that
they combine with any image.
"""

from __future__ import annotations

from functools import cache, wraps
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import missing_extra
from spatial_duck.array import _carry as carry
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.array._state import ImageState, adapt_shape
from spatial_duck.backends._arguments import map_leaves
from spatial_duck.geometry import Geometry
from spatial_duck.rules import _ufuncs as ufuncs
from spatial_duck.rules import find
from spatial_duck.rules._rule import unplaced

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Namespace", "namespace_of"]

#: Functions of the standard whose results are no arrays: called on bare arrays.
_BARE = frozenset({"can_cast", "finfo", "iinfo", "isdtype", "result_type"})
#: Functions that make an array from something that is not one.
_CREATION = frozenset(
    {"arange", "asarray", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros"}
)
#: Keywords of the standard that NumPy's function does not have.
_STANDARD_ONLY = {"argsort": ("descending",), "sort": ("descending",), "astype": ("device",)}


class Namespace(ModuleType):
    """The array-API namespace of images on one backend.

    Parameters
    ----------
    backend : str
        Name of the backend.
    bare : module
        The backend's own namespace.
    image_class : type
        The class of the images that it gives.
    part : {"", "linalg", "fft"}, optional
        Name of the extension that this is.
    """

    def __init__(
        self, backend: str, bare: Any, image_class: type[ImageState], part: str = ""
    ) -> None:
        name = f"spatial_duck.array._namespace[{backend}]" + (f".{part}" if part else "")
        super().__init__(name, f"Array API of images on {backend}.")
        self._backend = backend
        self._bare = bare
        self._image_class = image_class
        self._part = part

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and name not in (
            "__array_namespace_info__", "__array_api_version__",
        ):  # fmt: skip
            raise AttributeError(f"{self.__name__} has no attribute {name!r}")
        found = getattr(self._bare, name)
        if name in ("linalg", "fft") and not self._part:
            found = Namespace(self._backend, found, self._image_class, name)
        elif name in _BARE:
            found = _call_on_bare(found)
        elif callable(found) and not isinstance(found, type | np.dtype) and name[0] != "_":
            make = _creation if name in _CREATION else _function
            found = make(self, name, found)
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return [name for name in dir(self._bare) if not name.startswith("_")]

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._backend, self._image_class, self._part)


def namespace_of(image: ImageState) -> Namespace:
    """Return the namespace of images such as this one."""
    data = image._data
    image_class: Any = type(image)
    name = backends.backend_of(data).name
    return _namespace(backends.library(data) if name == "arrayapi" else name, image_class)


@cache
def _namespace(backend: str, image_class: Any) -> Namespace:
    return Namespace(backend, _bare_namespace(backend), image_class)


def _restore(backend: str, image_class: Any, part: str) -> Namespace:
    """Return the namespace of a pickle."""
    namespace = _namespace(backend, image_class)
    return getattr(namespace, part) if part else namespace


def _bare_namespace(backend: str) -> Any:
    """Return the backend's own namespace, made to follow the standard where it does not."""
    from importlib import import_module

    if backend in ("array_api_strict", "sparse"):
        return import_module(backend)
    compat = {
        "numpy": "numpy", "cupy": "cupy", "dask": "dask.array", "zarr": "dask.array",
        "torch": "torch",
    }.get(backend)  # fmt: skip
    if backend == "jax":
        return import_module("jax.numpy")
    if compat is None:
        return np  # a registered class answers NumPy's own functions
    try:
        return import_module(f"array_api_compat.{compat}")
    except ModuleNotFoundError as error:
        if error.name != "array_api_compat":
            raise
        if backend == "numpy":
            return np
        raise missing_extra("array_api_compat", f"The namespace of {backend}") from None


def _unplaced_image(data: Any, image_class: type[ImageState]) -> ImageState:
    """Return an image without positions."""
    return image_class._wrap(data, unplaced(data.shape))


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _unwrap(value: Any) -> Any:
    """Return arguments with bare arrays in place of images; those on a store as Dask arrays."""
    return map_leaves(
        lambda v: backends.dask_form(v.data) if isinstance(v, ImageState) else v, value
    )


def _call_on_bare(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return function(*_unwrap(args), **kwargs)

    return call


def _creation(namespace: Namespace, _: str, function: Callable[..., Any]) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        made = function(*_unwrap(args), **kwargs)
        if args and isinstance(args[0], ImageState):
            return args[0]._with_data(made)
        return _unplaced_image(made, namespace._image_class)

    return call


def _numpy_function(part: str, name: str) -> Any:
    """Return NumPy's function of a name in the standard, or None."""
    return getattr(getattr(np, part) if part else np, name, None) or getattr(np, name, None)


def _geometry_and_coords(
    namespace: Namespace, name: str, args: Any, kwargs: dict[str, Any], images: list[Any]
) -> tuple[Any, Any]:
    """Return the geometry and coordinates of a result, by the rule of NumPy's function."""
    function = _numpy_function(namespace._part, name)
    grids, _ = dispatch.split_images(args, images)
    grid_kwargs, _ = dispatch.split_keywords(kwargs, images)
    if not images:
        return None, None
    if isinstance(function, np.ufunc):
        table = ufuncs.METHODS if function.signature is None else ufuncs.GENERALIZED
        geometry = table["__call__"](function, grids, grid_kwargs)
        return geometry, carry.ufunc_coords(function, "__call__", args, kwargs, images)
    rule = find(function)
    if rule is None:
        raise TypeError(
            f"spatial_duck has no rule for {namespace.__name__}.{name}, so that it cannot say "
            "where its result would lie; call the backend's own on image.data"
        )
    known = {k: v for k, v in kwargs.items() if k not in _STANDARD_ONLY.get(name, ())}
    geometry = rule.geometry(*grids, **grid_kwargs)
    return geometry, carry.function_coords(function, rule, args, known, images)


def _function(namespace: Namespace, name: str, function: Callable[..., Any]) -> Any:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if "ddof" in kwargs and name in ("std", "var"):  # as xarray says it
            kwargs["correction"] = kwargs.pop("ddof")
        images: list[Any] = []
        args, kwargs = dispatch.resolve_axis_names(
            _numpy_function(namespace._part, name), args, kwargs
        )
        geometry, coords = _geometry_and_coords(namespace, name, args, kwargs, images)
        result = function(*_unwrap(args), **_unwrap(kwargs))
        if callable(geometry) and not isinstance(geometry, Geometry):
            geometry = geometry(result, *[_unwrap(i) for i in images])
        if callable(coords):
            coords = coords(result, *[_unwrap(i) for i in images])
        wrapped = _wrap_arrays(result, geometry, images, namespace._image_class)
        return carry.attach(wrapped, coords)

    return call


def _wrap_arrays(
    result: Any, geometry: Any, images: list[Any], image_class: type[ImageState]
) -> Any:
    """Return a result with its arrays as images, 0-d ones too."""
    if isinstance(result, list | tuple):
        many = geometry if isinstance(geometry, list | tuple) else [geometry] * len(result)
        pairs = zip(result, many, strict=True)
        wrapped = [_wrap_arrays(r, g, images, image_class) for r, g in pairs]
        return getattr(type(result), "_make", type(result))(wrapped)
    if not _is_array(result):
        return result
    if not isinstance(geometry, Geometry):
        return _unplaced_image(result, image_class)
    attrs = dispatch.common_attrs(images)
    return image_class._wrap(result, adapt_shape(geometry, result), attrs)
