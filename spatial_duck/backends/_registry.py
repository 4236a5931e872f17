"""Which backend has an array, found by the name of its type's module: asking imports nothing.

Those of this package stand in `_TYPES`; others are registered, by `register` or by the entry point
``spatial_duck.backends``: its name is the backend's, and its module has ``BACKEND`` and ``KIND``.
"""

from __future__ import annotations

import datetime as dt
import numbers
import sys
import warnings
from functools import cache
from typing import Any, NamedTuple

from spatial_duck._lazy import load
from spatial_duck.backends._backend import Backend

__all__ = ["backend_named", "backend_of", "is_known", "name_of", "names", "register"]


class _Kind(NamedTuple):
    """How arrays of a library are recognised."""

    backend: str
    classes: frozenset[str]
    protocol: str  # a subclass from elsewhere that overrides it has a meaning of its own


#: The module of each backend of this package.
_MODULES = {
    "numpy": "spatial_duck.backends._numpy",
    "cupy": "spatial_duck.backends._cupy",
    "dask": "spatial_duck.backends.dask._backend",
    "zarr": "spatial_duck.backends.zarr._backend",
    "arrayapi": "spatial_duck.backends.arrayapi._backend",
}

#: By the first part of the name of a type's module.
_TYPES = {
    "numpy": _Kind("numpy", frozenset({"ndarray", "generic"}), "__array_ufunc__"),
    "dask": _Kind("dask", frozenset({"Array"}), "__array_ufunc__"),
    "cupy": _Kind("cupy", frozenset({"ndarray"}), "__array_ufunc__"),
    "spatial_duck": _Kind("zarr", frozenset({"ZarrView"}), "__array_ufunc__"),
    "torch": _Kind("arrayapi", frozenset({"Tensor"}), "__torch_function__"),
    "jaxlib": _Kind("arrayapi", frozenset({"ArrayImpl"}), "__array__"),
    "jax": _Kind("arrayapi", frozenset({"ArrayImpl", "Tracer"}), "__array__"),
    "sparse": _Kind("arrayapi", frozenset({"SparseArray"}), "__array_ufunc__"),
    "array_api_strict": _Kind("arrayapi", frozenset({"Array"}), "__array_namespace__"),
}

#: What an image does not hold as it is: its backend makes something of it first.
_ADOPTED = {("zarr", "Array"): "zarr"}

#: Scalars that mix with any array, as far as NumPy knows what to do with them.
_SCALARS = (numbers.Number, str, bytes, dt.date, dt.timedelta)

_loaded: dict[str, Backend] = {}
_registered: dict[type, str] = {}
_known: dict[type, str | None] = {}


def root_of(cls: type) -> str:
    """Return the name of the package that a class comes from."""
    return cls.__module__.partition(".")[0]


def name_of(cls: type) -> str | None:
    """Return the name of the backend that has arrays of a type, or None for a foreign one."""
    try:
        return _known[cls]
    except KeyError:
        _known[cls] = found = _look_up(cls)
        return found


def _look_up(cls: type) -> str | None:
    if issubclass(cls, _SCALARS):
        return "numpy"
    found = _registered_name(cls)
    if found is not None:
        return found
    for base in cls.__mro__:
        kind = _TYPES.get(root_of(base))
        if kind is not None and base.__name__ in kind.classes:
            mine = getattr(cls, kind.protocol, None) == getattr(base, kind.protocol, None)
            return kind.backend if mine or root_of(cls) == root_of(base) else None
    if root_of(cls) in sys.stdlib_module_names:
        return None
    _load_entry_points()
    return _registered_name(cls)


def _registered_name(cls: type) -> str | None:
    return next((_registered[base] for base in cls.__mro__ if base in _registered), None)


@cache
def _load_entry_points() -> None:
    """Register the backends of other packages; one that cannot be imported is named."""
    from importlib.metadata import entry_points

    for point in entry_points(group="spatial_duck.backends"):
        try:
            module = point.load()
            register(module.KIND, module.BACKEND)
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            warnings.warn(
                f"the backend {point.name!r} ({point.value}) cannot be used: {error!r}; its "
                "entry point must name a module that has BACKEND and KIND",
                UserWarning,
                stacklevel=2,
            )


def adopter_of(cls: type) -> Backend | None:
    """Return the backend that makes an array of its own of objects of a type, or None."""
    name = _ADOPTED.get((root_of(cls), cls.__name__)) or name_of(cls)
    return None if name is None else backend_named(name)


def is_known(cls: type) -> bool:
    """Whether objects of a type may be held by an image, or mixed with one.

    Arrays of the backends, NumPy's scalars and Python's. Not types that stand above images, such
    as `xarray.DataArray`, nor arrays with units.

    Examples
    --------
    >>> import numpy as np
    >>> is_known(np.ndarray), is_known(float), is_known(dict)
    (True, True, False)
    """
    return name_of(cls) is not None


def backend_of(data: Any) -> Backend:
    """Return the backend of an array or scalar.

    Raises
    ------
    TypeError
        If none handles its type.
    """
    name = name_of(data.__class__)
    if name is None:
        raise not_an_array(data)
    return _loaded.get(name) or backend_named(name)


def backend_named(name: str) -> Backend:
    """Return a backend by its name, imported.

    Raises
    ------
    KeyError
        If there is none.
    ImportError
        If what it needs is not installed; the message names the extra.
    """
    if name not in _loaded:
        if name in _MODULES:
            _loaded[name] = load(_MODULES[name]).BACKEND
        else:
            _load_entry_points()
    return _loaded[name]


def names() -> tuple[str, ...]:
    """Return the names of all backends, those of other packages included."""
    _load_entry_points()
    return tuple(dict.fromkeys([*_MODULES, *_registered.values()]))


def register(kind: type, backend: Backend) -> None:
    """Register a backend for the arrays of a class and its subclasses.

    Parameters
    ----------
    kind : type
        The class.
    backend : Backend
        What is done with its arrays. Of several backends with one name the last counts.

    Raises
    ------
    TypeError
        If `kind` is no class, or `backend` no `Backend`.
    ValueError
        If the name is that of a backend of this package.
    """
    if not isinstance(kind, type):
        raise TypeError(f"kind must be a class of arrays, got {kind!r}")
    if not isinstance(backend, Backend):
        raise TypeError(
            "backend must be an instance of a class that derives from "
            f"spatial_duck.backends.Backend, got {backend!r}"
        )
    if backend.name in _MODULES:
        raise ValueError(f"the name {backend.name!r} is taken: give the backend one of its own")
    _loaded[backend.name] = backend
    _registered[kind] = backend.name
    _known.clear()  # what was looked up before may be a subclass


def not_an_array(data: Any) -> TypeError:
    """Return the error for what no image can hold, to be raised."""
    cls = type(data)
    name = f"{cls.__module__}.{cls.__qualname__}"
    hint = {
        "str": "to read a file, use spatial_duck.read(path)",
        "PosixPath": "to read a file, use spatial_duck.read(path)",
        "DataArray": "use spatial_duck.from_xarray(array), or its .data",
    }.get(cls.__name__, "use spatial_duck.asarray(object) for images of other libraries")
    return TypeError(
        "data must be an array of NumPy, Dask, Zarr, CuPy, PyTorch, JAX, sparse or "
        f"array_api_strict, of a registered backend, or nested lists of numbers, got {name}; {hint}"
    )
