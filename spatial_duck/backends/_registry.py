"""What holds the data of an image: one module for each kind of array, imported on first use.

A backend is found by the name of its type's module, so that asking about an array imports
nothing. To add one: write a module here with a `Backend` called ``BACKEND``, and a line in
`_TYPES`. Arrays that follow the array API need only the line.

Nothing here computes a Dask array, reads from disk or copies from a GPU unless its name says so:
`compute`, `to` and `as_numpy` are for users who ask.
"""

from __future__ import annotations

import datetime as dt
import numbers
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Backend",
    "adopt",
    "as_numpy",
    "assign",
    "astype",
    "backend_of",
    "call",
    "chunked",
    "compute",
    "device",
    "host_type",
    "index",
    "is_known",
    "is_lazy",
    "itemsize",
    "keeps_scalars",
    "persist",
    "register",
    "to",
    "to_device",
]


class Backend(NamedTuple):
    """What a backend does beyond being an array.

    Attributes
    ----------
    name : str
        As in ``image.to(name)``.
    lazy : bool
        Whether its arrays may be larger than memory.
    call : callable
        ``call(func, args, kwargs)``: run a NumPy function or ufunc on its arrays.
    compute : callable
        ``compute(data, **options)``: the data in memory, on the device where they belong.
    to_numpy : callable
        ``to_numpy(data)``: the data in the host's memory.
    take : callable
        ``take(data, **options)``: any backend's array as one of this backend.
    device : callable
        ``device(data)``: as the array API names it.
    """

    name: str
    lazy: bool
    call: Callable[..., Any]
    compute: Callable[..., Any]
    to_numpy: Callable[..., Any]
    take: Callable[..., Any]
    device: Callable[..., Any]


class _Kind(NamedTuple):
    """How arrays of a library are recognised."""

    module: str  # of this package
    classes: frozenset[str]
    protocol: str  # a subclass from elsewhere that overrides it has a meaning of its own


#: The module of each backend of ours.
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

#: Scalars that mix with any array, as far as NumPy knows what to do with them.
_SCALARS = (numbers.Number, str, bytes, dt.date, dt.timedelta)

#: Of several backends in one call, the first of these runs it.
_ORDER = ("zarr", "dask", "cupy", "arrayapi", "numpy")

_known: dict[type, str | None] = {}


def _root(cls: type) -> str:
    return cls.__module__.partition(".")[0]


def _module_of(cls: type) -> str | None:
    """Return the module of this package that handles a type, or None for a foreign one."""
    try:
        return _known[cls]
    except KeyError:
        _known[cls] = found = _look_up(cls)
        return found


def _look_up(cls: type) -> str | None:
    if issubclass(cls, _SCALARS):
        return "numpy"
    for base in cls.__mro__:
        kind = _TYPES.get(_root(base))
        if kind is not None and base.__name__ in kind.classes:
            mine = getattr(cls, kind.protocol, None) == getattr(base, kind.protocol, None)
            return kind.module if mine or _root(cls) == _root(base) else None
    return None


def is_known(cls: type) -> bool:
    """Tell whether objects of a type may be held by an image, or mixed with one.

    Arrays of the backends, NumPy's scalars and Python's. Not types that stand above images, such
    as `xarray.DataArray`, nor arrays with units.

    Examples
    --------
    >>> is_known(np.ndarray), is_known(float), is_known(dict)
    (True, True, False)
    """
    return _module_of(cls) is not None


def backend_of(data: Any) -> Backend:
    """Return the backend of an array or scalar.

    Raises
    ------
    TypeError
        If none handles its type.
    """
    module = _module_of(type(data))
    if module is None:
        raise _not_an_array(data)
    return _load(module)


_loaded: dict[str, Backend] = {}


def _load(module: str) -> Backend:
    found = _loaded.get(module)
    if found is None:
        found = _loaded[module] = import_module(_MODULES[module]).BACKEND
    return found


def register(kind: type, backend: Backend) -> None:
    """Let images hold arrays of a class that answers NumPy's functions itself.

    Parameters
    ----------
    kind : type
        The class.
    backend : Backend
        What it does; its name must be its own.
    """
    _loaded[backend.name] = backend
    _known[kind] = backend.name


def _not_an_array(data: Any) -> TypeError:
    cls = type(data)
    name = f"{cls.__module__}.{cls.__qualname__}"
    hint = {
        "str": "to read a file, use spatial_duck.read(path)",
        "PosixPath": "to read a file, use spatial_duck.read(path)",
        "Dataset": "give spatial_duck dask.array.from_array(dataset) or dataset[...]",
        "DataArray": "use spatial_duck.from_xarray(array), or its .data",
    }.get(cls.__name__, "use spatial_duck.asarray(object) for images of other libraries")
    return TypeError(
        "data must be an array of NumPy, Dask, Zarr, CuPy, PyTorch, JAX, sparse or "
        f"array_api_strict, or nested lists of numbers, got {name}; {hint}"
    )


def adopt(data: Any) -> Any:
    """Return what an image holds for the data that a user gave.

    Parameters
    ----------
    data : array or nested sequence of numbers
        An array of any backend comes back unchanged, except that a `zarr.Array` comes back as a
        lazy `ZarrView` and an `np.matrix` as an ordinary array.

    Raises
    ------
    TypeError
        If it is not an array.

    Examples
    --------
    >>> adopt([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    cls = data.__class__
    if cls is np.ndarray:
        return data
    if _root(cls) == "zarr" and cls.__name__ == "Array":
        from spatial_duck.backends.zarr._backend import ZarrView

        return ZarrView(data)
    if isinstance(data, str | bytes):
        raise _not_an_array(data)
    if isinstance(data, (list, tuple, memoryview, bytearray, np.generic, *_SCALARS)):
        return np.asarray(data)
    if isinstance(data, np.matrix):
        return np.asarray(data)
    if _module_of(cls) is None:
        raise _not_an_array(data)
    return data


def call(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run a NumPy function, ufunc or ufunc method on bare arrays of any backend.

    Raises
    ------
    TypeError
        If the backend cannot run it. It is never run on computed or copied data instead.
    """
    found = {_module_of(type(a)) for a in _leaves((args, kwargs))}
    module = next((name for name in _ORDER if name in found), "numpy")
    return _load(module).call(func, args, kwargs)


#: Libraries that lack negative steps, or take them wrongly.
_OWN_INDEX = frozenset({"arrayapi", "dask"})


def index(data: Any, key: Any) -> Any:
    """Return ``data[key]`` as NumPy reads the key, where the library reads it otherwise too."""
    module = _module_of(data.__class__)
    if module not in _OWN_INDEX:
        return data[key]
    return import_module(_MODULES[module]).index(data, key)


def assign(data: Any, key: Any, value: Any) -> None:
    """Do ``data[key] = value``."""
    if _module_of(data.__class__) == "arrayapi":
        import_module(_MODULES["arrayapi"]).assign(data, key, value)
    else:
        data[key] = value


def astype(data: Any, dtype: Any, **options: Any) -> Any:
    """Return the data with another type of value."""
    if hasattr(data, "astype"):
        return data.astype(dtype, **options)
    return import_module(_MODULES["arrayapi"]).astype(data, dtype, **options)


def itemsize(data: Any) -> int:
    """Return the bytes of one value."""
    found = getattr(data.dtype, "itemsize", None)
    return int(import_module(_MODULES["arrayapi"]).itemsize(data) if found is None else found)


def host_type(dtype: Any) -> np.dtype[Any]:
    """Return NumPy's type for that of any library; half precision for bfloat16.

    Examples
    --------
    >>> host_type(np.dtype("int16"))
    dtype('int16')
    """
    if isinstance(dtype, np.dtype) and dtype.kind != "V":
        return dtype
    if isinstance(dtype, type):  # NumPy's and CuPy's namespaces have classes
        return np.dtype(dtype)
    name = str(dtype).rpartition(".")[2]
    return np.dtype("float16" if name == "bfloat16" else name)


def keeps_scalars(data: Any) -> bool:
    """Tell whether a voxel of an image stays one: where the library has arrays and no scalars.

    Those of the array API do not mix with images when they stand on the left.
    """
    return _module_of(data.__class__) == "arrayapi"


def _leaves(value: Any) -> Iterator[Any]:
    """Yield the arguments, those inside lists, tuples and dicts too."""
    if value.__class__ in (list, tuple):
        for v in value:
            yield from _leaves(v)
    elif value.__class__ is dict:
        yield from _leaves(list(value.values()))
    else:
        yield value


def compute(data: Any, **options: Any) -> Any:
    """Return the data in memory: Dask computed, Zarr read, others as they are."""
    return backend_of(data).compute(data, **options)


def persist(data: Any, **options: Any) -> Any:
    """Return Dask data with their graph computed and held by the workers; others as they are."""
    return data.persist(**options) if backend_of(data).name == "dask" else data


def chunked(data: Any, chunks: Any = "auto") -> Any:
    """Return the data as a Dask array; those of Zarr on the chunks of their store."""
    return _load("dask").take(data, chunks=chunks)


def as_numpy(data: Any, dtype: Any = None, copy: bool | None = None) -> Any:
    """Return ``np.asarray(data)``: refused where the backend refuses it."""
    if _module_of(type(data)) == "dask":  # with its expressions NumPy makes an object of the array
        if copy is False:
            raise ValueError("copy=False: a Dask array must be computed to be an array in memory")
        data = data.compute()
    return np.array(data, dtype=dtype, copy=copy)


def device(data: Any) -> Any:
    """Return the device that holds the data, as the array API names it."""
    return backend_of(data).device(data)


def to_device(data: Any, device: Any, stream: Any = None) -> Any:
    """Return the data on another device of their backend."""
    if hasattr(data, "to_device"):
        return data.to_device(device, stream=stream)
    if hasattr(data, "to"):  # PyTorch
        return data.to(device)
    if device == backend_of(data).device(data):
        return data
    raise ValueError(
        f"device: {backend_of(data).name} data are on {backend_of(data).device(data)!r} and cannot "
        f"move to {device!r}; use image.to(backend) to change the backend"
    )


def is_lazy(data: Any) -> bool:
    """Tell whether the data may be larger than memory: Dask arrays and views of Zarr arrays."""
    return backend_of(data).lazy


#: The names of `to`, the module, and what the module's `take` is told.
_TARGETS: dict[str, tuple[str, dict[str, Any]]] = {
    "numpy": ("numpy", {}),
    "dask": ("dask", {}),
    "cupy": ("cupy", {}),
    "torch": ("arrayapi", {"library": "torch"}),
    "jax": ("arrayapi", {"library": "jax"}),
    "sparse": ("arrayapi", {"library": "sparse"}),
    "array_api_strict": ("arrayapi", {"library": "array_api_strict"}),
}


def to(data: Any, backend: str, **options: Any) -> Any:
    """Return the data as an array of another backend.

    Parameters
    ----------
    data : array
        Of any backend.
    backend : {"numpy", "dask", "cupy", "torch", "jax", "sparse", "array_api_strict"}
        Where to bring it. Dask data are computed, Zarr data read and GPU data copied where that
        needs it: asking is consent.
    **options
        ``chunks=`` for ``"dask"``; ``device=`` for those with devices.

    Raises
    ------
    ValueError
        If there is no such backend, or it is one that data are written to.
    """
    if backend not in _TARGETS:
        more = "; to put data in a Zarr store, use spatial_duck.write" if backend == "zarr" else ""
        raise ValueError(f"backend must be one of {', '.join(_TARGETS)}, got {backend!r}{more}")
    module, fixed = _TARGETS[backend]
    return _load(module).take(data, **fixed, **options)
