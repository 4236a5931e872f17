"""Functions on bare arrays of any backend: each calls the array's `Backend`.

Nothing here computes a Dask array, reads from disk or copies from a GPU unless its name says so:
`compute`, `to` and `as_numpy` are for users who ask.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_duck.backends._arguments import host_type, leaves
from spatial_duck.backends._registry import (
    _SCALARS,
    adopter_of,
    backend_named,
    backend_of,
    name_of,
    names,
    not_an_array,
)
from spatial_duck.errors import SpatialDuckError

__all__ = [
    "adopt",
    "as_numpy",
    "assign",
    "astype",
    "call",
    "check_computed",
    "chunk_values",
    "chunked",
    "chunks",
    "compute",
    "copy",
    "dask_form",
    "device",
    "empty_block",
    "has_namespace",
    "has_operators",
    "host_form",
    "identity",
    "index",
    "is_dask",
    "is_lazy",
    "is_on_host",
    "is_stored",
    "itemsize",
    "keeps_scalars",
    "library",
    "namespace",
    "persist",
    "read",
    "refuse_masked",
    "to",
    "to_device",
]


# --- what an image holds, and what runs a function -----------------------------------------


def adopt(data: Any) -> Any:
    """Return the array that an image holds for the data that a user gave.

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
    if isinstance(data, str | bytes):
        raise not_an_array(data)
    if isinstance(data, (list, tuple, memoryview, bytearray, np.generic, *_SCALARS)):
        return np.asarray(data)
    if isinstance(data, np.matrix):
        return np.asarray(data)
    found = adopter_of(cls)
    if found is None:
        raise not_an_array(data)
    return found.adopt(data)


def call(func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Run a NumPy function, ufunc or ufunc method on bare arrays of any backend.

    Raises
    ------
    TypeError
        If the backend cannot run it. It is never run on computed or copied data instead.
    """
    found = {name_of(type(a)) for a in leaves((args, kwargs))} - {None, "numpy"}
    if not found:
        return func(*args, **kwargs)
    runs = [backend_named(name) for name in found if name is not None]
    backend = runs[0] if len(runs) == 1 else max(runs, key=lambda b: (b.precedence, b.name))
    return backend.call(func, args, kwargs)


# --- what an array is ----------------------------------------------------------------------


def is_lazy(data: Any) -> bool:
    """Whether the data may be larger than memory: Dask arrays, and arrays in stores."""
    return backend_of(data).lazy


def is_dask(data: Any) -> bool:
    """Whether the data are a Dask array."""
    return name_of(data.__class__) == "dask"


def is_stored(data: Any) -> bool:
    """Whether the data lie in a store: `read` gives a box of them in any thread or process."""
    name = name_of(data.__class__)
    return name not in (None, "numpy", "dask") and backend_of(data).lazy


def is_on_host(data: Any) -> bool:
    """Whether the data, or the blocks of a lazy array, are NumPy's."""
    if isinstance(data, np.ndarray):
        return True
    return is_lazy(data) and isinstance(empty_block(data), np.ndarray)


def library(data: Any) -> str:
    """Return the name of the library whose arrays the data are, or the blocks of a Dask array.

    Examples
    --------
    >>> library(np.zeros(3))
    'numpy'
    """
    found = empty_block(data) if is_dask(data) else data
    name = name_of(found.__class__)
    if name != "arrayapi":
        return str(name)
    return type(found).__module__.partition(".")[0].removesuffix("lib")


def keeps_scalars(data: Any) -> bool:
    """Whether a voxel of an image stays one: where the library has arrays and no scalars.

    Those of the array API do not mix with images when they stand on the left.
    """
    return backend_of(data).keeps_scalars


def has_operators(data: Any) -> bool:
    """Whether the operators of the array do what NumPy's functions of it do."""
    return backend_of(data).has_operators


def itemsize(data: Any) -> int:
    """Return the bytes of one value."""
    return backend_of(data).itemsize(data)


def chunks(data: Any) -> tuple[tuple[int, ...], ...] | None:
    """Return the sizes of the blocks along each axis by which the data are read, or None."""
    return backend_of(data).chunks(data)


def chunk_values(data: Any) -> list[Any]:
    """Return the chunks of a Dask array, in C order, as `dask.delayed.Delayed` values.

    They have the array's own graph: an optimised one has other tasks under the same names, and
    cannot stand beside the array itself in one result.
    """
    values: list[Any] = data.to_delayed(optimize_graph=False).ravel().tolist()
    return values


def empty_block(data: Any, dtype: Any = None) -> Any:
    """Return an array without voxels of the kind that the data, or their blocks, are.

    Parameters
    ----------
    data : array
        An array of any backend.
    dtype : dtype, optional
        Type, if not that of the data.
    """
    found = backend_of(data).empty_block(data)
    return found if dtype is None else np.empty_like(found, dtype=dtype)


def identity(data: Any) -> Any:
    """Return a value that identifies the data, of which Dask makes a name."""
    return backend_of(data).identity(data)


def namespace(data: Any) -> Any:
    """Return the array-API namespace of an array; TypeError where its library has none."""
    return backend_of(data).namespace(data)


def has_namespace(data: Any) -> bool:
    """Whether the data are of a library other than NumPy that follows the array API."""
    if isinstance(data, np.ndarray):
        return False
    try:
        namespace(data)
    except (TypeError, ImportError):
        return False
    return True


def device(data: Any) -> Any:
    """Return the device that holds the data, as the array API names it."""
    return backend_of(data).device(data)


# --- parts and types -----------------------------------------------------------------------


def index(data: Any, key: Any) -> Any:
    """Return ``data[key]`` as NumPy reads the key, where the library reads it otherwise too."""
    if data.__class__ is np.ndarray:
        return data[key]
    return backend_of(data).index(data, key)


def assign(data: Any, key: Any, value: Any) -> None:
    """Do ``data[key] = value`` as NumPy reads the key."""
    if data.__class__ is np.ndarray:
        data[key] = value
    else:
        backend_of(data).assign(data, key, value)


def read(data: Any, key: tuple[slice, ...]) -> NDArray[Any]:
    """Return a box of the data in the host's memory; of what is in a store, that box alone."""
    return backend_of(data).read(data, key)


def astype(data: Any, dtype: Any, **options: Any) -> Any:
    """Return the data with another type of value."""
    return backend_of(data).astype(data, dtype, **options)


def copy(data: Any, **options: Any) -> Any:
    """Return a copy that shares nothing with the data."""
    return backend_of(data).copy(data, **options)


# --- where data go when asked ----------------------------------------------------------------


def compute(data: Any, **options: Any) -> Any:
    """Return the data in memory: Dask computed, stores read, others as they are."""
    return backend_of(data).compute(data, **options)


def check_computed(data: Any, shape: Any, dtype: Any) -> None:
    """Hold what a lazy array was computed to against the shape and type that it declared.

    Raises
    ------
    SpatialDuckError
        If they differ; lengths that are NaN were not known, and the byte order does not count.
    """
    if name_of(data.__class__) is None:
        raise SpatialDuckError(
            f"the blocks of the Dask array are {type(data).__name__}, not arrays: return the bare "
            "array, image.data, from the function that makes them"
        )
    found = tuple(np.shape(data))
    known = zip(shape, found, strict=False)
    if len(shape) != len(found) or not all(n != n or n == m for n, m in known):
        raise SpatialDuckError(
            f"the Dask array declares shape {tuple(shape)}, and its blocks make {found}; tell Dask "
            "the true one, by chunks= or drop_axis= of the map_blocks, from_delayed or from_map "
            "that made it"
        )
    if host_type(data.dtype).newbyteorder("=") != host_type(dtype).newbyteorder("="):
        raise SpatialDuckError(
            f"the Dask array declares dtype {dtype}, and its blocks are {data.dtype}; tell Dask "
            "the true one, by dtype= or meta= of the function that made it, or end that function "
            f"with .astype({str(dtype)!r})"
        )


def dask_form(data: Any) -> Any:
    """Return lazy data as a Dask array, on the chunks that they have; others as they are."""
    return chunked(data, None) if is_lazy(data) else data


def persist(data: Any, **options: Any) -> Any:
    """Return Dask data with their graph computed and held by the workers; others as they are."""
    return backend_of(data).persist(data, **options)


def chunked(data: Any, chunks: Any = "auto") -> Any:
    """Return the data as a Dask array; those of a store on its chunks."""
    return backend_of(data).to_dask(data, chunks)


def as_numpy(data: Any, dtype: Any = None, copy: bool | None = None) -> Any:
    """Return ``np.asarray(data)``: refused where the backend refuses it."""
    if is_dask(data):  # by the one way that looks at what comes
        if copy is False:
            raise ValueError("copy=False: a Dask array must be computed to be an array in memory")
        data = compute(data)
    try:
        return np.array(data, dtype=dtype, copy=copy)
    except TypeError as error:
        if "bfloat16" in str(getattr(data, "dtype", "")):
            raise TypeError(
                "NumPy has no bfloat16: use image.to('numpy'), whose float32 holds all its values"
            ) from error
        raise


def host_form(data: Any, what: str) -> Any:
    """Return the data as NumPy's where that copies nothing from a device; lazy data as they are.

    Parameters
    ----------
    data : array
        An array of any backend.
    what : str
        What needs them, as the subject of a sentence.

    Raises
    ------
    TypeError
        If the data, or the blocks of a Dask array, are on a device other than the host.
    """
    if isinstance(data, np.ndarray):
        return data
    place = device(data)
    if "cpu" not in str(place).lower():
        raise TypeError(
            f"{what} works in the host's memory, and copies nothing there unasked from {place}: "
            "use image.to('numpy'), or map_blocks(cupy.asnumpy) on a Dask array of such blocks"
        )
    return data if is_lazy(data) else backend_of(data).to_numpy(data)


def refuse_masked(data: Any, what: str) -> None:
    """Refuse data of which some values are masked, where only the values would be taken.

    Parameters
    ----------
    data : array
        An array of any backend. Blocks of a Dask array are not computed to look for masks.
    what : str
        What takes the values, as the subject of a sentence.

    Raises
    ------
    TypeError
        If it is a masked array of NumPy with masked values, or a Dask array of masked ones.
    """
    ma = sys.modules.get("numpy.ma")
    if data.__class__ is np.ndarray or ma is None:
        return
    lazy = is_dask(data)
    if ma.is_masked(data) or (lazy and isinstance(empty_block(data), ma.MaskedArray)):
        fill = (
            "image.data.map_blocks(numpy.ma.filled, value)" if lazy else "image.data.filled(value)"
        )
        raise TypeError(
            f"{what} would take masked values for values: give them some first, such as NaN, with "
            f"image.replace({fill})"
        )


def to_device(data: Any, device: Any, stream: Any = None) -> Any:
    """Return the data on another device of their backend."""
    return backend_of(data).to_device(data, device, stream)


#: Libraries of the array API, and how `to` recognises them.
_LIBRARIES = ("torch", "jax", "sparse", "array_api_strict")


def to(data: Any, backend: str, **options: Any) -> Any:
    """Return the data as an array of another backend.

    Parameters
    ----------
    data : array
        An array of any backend.
    backend : {"numpy", "dask", "cupy", "torch", "jax", "sparse", "array_api_strict"}
        Where to bring it, or the name of a registered backend. Dask data are computed, stores read
        and GPU data copied where that needs it: asking is consent.
    **options
        ``chunks=`` for ``"dask"``; ``device=`` for those with devices.

    Raises
    ------
    ValueError
        If there is no such backend, or it is one that data are written to.
    TypeError
        If values are masked, and the library has no masks.
    """
    if backend in _LIBRARIES or backend == "cupy":
        refuse_masked(data, f"to({backend!r})")
    if backend in _LIBRARIES:
        return backend_named("arrayapi").take(data, library=backend, **options)
    places = ("numpy", "dask", "cupy", *_LIBRARIES)
    if backend not in places:
        others = tuple([n for n in names() if n not in (*places, "zarr", "arrayapi")])
        if backend not in others:
            more = "; to put data in a Zarr store, use spatial_duck.write"
            raise ValueError(
                f"backend must be one of {', '.join(places + others)}, got {backend!r}"
                f"{more if backend == 'zarr' else ''}"
            )
    return backend_named(backend).take(data, **options)
