"""Abstract classes of backends: `Backend`, and `StoredBackend` for data in a store.

Five methods are a backend's own; the others have defaults that hold for arrays with NumPy's
``shape``, ``dtype``, ``astype`` and basic indexing. README.md beside this has the recipe for one
more, and `spatial_duck.testing.BackendConformance` its tests.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_duck._optional import require
from spatial_duck.backends._arguments import map_leaves

__all__ = ["Backend", "StoredBackend", "even_chunks", "object_identity"]

Chunks = tuple[tuple[int, ...], ...]


class Backend(ABC):
    """Operations on the arrays of one library.

    Attributes
    ----------
    name : str
        As in ``image.to(name)``.
    lazy : bool
        Whether its arrays may be larger than memory.
    precedence : int
        Of several backends in one call, the highest runs it: NumPy 0, array API 10, CuPy 20,
        others 25, Dask 30, stores 40.
    keeps_scalars : bool
        Whether a single voxel stays an image, because the library has arrays and no scalars.
    has_operators : bool
        Whether ``+``, ``==`` and the others of its arrays do what `call` does with the ufuncs.

    See Also
    --------
    spatial_duck.testing.BackendConformance : the tests that every backend passes.
    """

    name: str
    lazy: bool = False
    precedence: int = 25
    keeps_scalars: bool = False
    has_operators: bool = False

    # --- each backend's own ---------------------------------------------------------------

    @abstractmethod
    def call(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a NumPy function, ufunc or ufunc method on arrays of this backend.

        Raises
        ------
        TypeError
            If it cannot be run. Data are never computed or copied to the host instead.
        """

    @abstractmethod
    def compute(self, data: Any, **options: Any) -> Any:
        """Return the data in memory, on the device where they belong."""

    @abstractmethod
    def to_numpy(self, data: Any) -> NDArray[Any]:
        """Return the data in the host's memory."""

    @abstractmethod
    def take(self, data: Any, **options: Any) -> Any:
        """Return any backend's array as one of this backend."""

    @abstractmethod
    def device(self, data: Any) -> Any:
        """Return the device that holds the data, as the array API names it."""

    # --- what an array is -----------------------------------------------------------------

    def adopt(self, data: Any) -> Any:
        """Return the array that an image holds for one that a user gave."""
        return data

    def itemsize(self, data: Any) -> int:
        """Return the bytes of one value."""
        return int(data.dtype.itemsize)

    def chunks(self, data: Any) -> Chunks | None:
        """Return the sizes of the blocks to read or compute along each axis, or None."""
        return None

    def empty_block(self, data: Any) -> Any:
        """Return an array without voxels of the kind, type and axes of a computed block."""
        return self.index(data, (slice(0, 0),) * data.ndim)

    def identity(self, data: Any) -> Any:
        """Return a value that identifies these data, of which Dask makes a name.

        Two arrays may share it only if their values are the same, whatever their names are. By
        default Dask looks at the values of arrays in memory.
        """
        return data

    def namespace(self, data: Any) -> Any:
        """Return the array-API namespace of the array.

        Raises
        ------
        TypeError
            If its library has none.
        """
        compat = require("array_api_compat", "The array API of this array")
        return compat.array_namespace(data)

    # --- parts and types ------------------------------------------------------------------

    def index(self, data: Any, key: Any) -> Any:
        """Return ``data[key]`` as NumPy reads the key."""
        return data[key]

    def assign(self, data: Any, key: Any, value: Any) -> None:
        """Do ``data[key] = value`` as NumPy reads the key."""
        data[key] = value

    def astype(self, data: Any, dtype: Any, **options: Any) -> Any:
        """Return the data with another type of value."""
        return data.astype(dtype, **options)

    def copy(self, data: Any, **options: Any) -> Any:
        """Return a copy that shares nothing with the data."""
        return self.call(np.copy, (data,), options)

    def read(self, data: Any, key: tuple[slice, ...]) -> NDArray[Any]:
        """Return a box of the data in the host's memory, of a lazy array that box alone."""
        return self.to_numpy(self.index(data, key))

    # --- where the data are ---------------------------------------------------------------

    def close(self, data: Any) -> str | None:
        """Close what `read` opened for the data and return its name; None if that is nothing."""
        return None

    def to_device(self, data: Any, device: Any, stream: Any = None) -> Any:
        """Return the data on another device of this backend."""
        move = getattr(data, "to_device", None)
        if move is not None:
            return move(device, stream=stream)
        here = self.device(data)
        if device == here:
            return data
        raise ValueError(
            f"device: {self.name} data are on {here!r} and cannot move to {device!r}; use "
            "image.to(backend) to change the backend"
        )

    def persist(self, data: Any, **options: Any) -> Any:
        """Return the data with a lazy graph computed and held by the workers."""
        return data

    def to_dask(self, data: Any, chunks: Any = "auto") -> Any:
        """Return the data as a lazy Dask array, without reading or copying them."""
        if not hasattr(type(data), "__array_function__"):
            raise TypeError(
                f"Dask does not hold arrays of {type(data).__module__}: use .to('numpy') first"
            )
        da = require("dask.array", "Work on chunks")
        whole = -1 if 0 in data.shape else chunks
        return da.from_array(data, chunks=whole, asarray=False)


class StoredBackend(Backend):
    """A backend whose arrays are read from a store: box by box, in any thread or process.

    Its own are `read`, and where there is more to tell than the defaults do `chunks`, `identity`
    and `assign`; NumPy's functions and keys give Dask arrays whose blocks lie on the chunks of the
    store.

    Attributes
    ----------
    kinds : tuple of type
        The classes of its arrays.
    """

    kinds: tuple[type, ...]
    lazy: bool = True
    precedence: int = 40

    def call(self, func: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a NumPy function on Dask arrays of the data."""
        from spatial_duck.backends.dask import _calls

        return _calls.call(func, *map_leaves(self._promoted, (args, kwargs)))

    def compute(self, data: Any, **options: Any) -> NDArray[Any]:
        """Read all data into memory."""
        return self.read(data, (slice(None),) * data.ndim)

    def to_numpy(self, data: Any) -> NDArray[Any]:
        """Read all data into memory."""
        return self.compute(data)

    @abstractmethod
    def read(self, data: Any, key: tuple[slice, ...]) -> NDArray[Any]:
        """Read a box of the data."""

    def take(self, data: Any, **options: Any) -> Any:
        """Refuse: writing to a store needs a path."""
        raise TypeError(f"to put data in a store of {self.name}, use spatial_duck.write")

    def device(self, data: Any) -> Any:
        """Return where data are once read: the host."""
        return "cpu"

    def empty_block(self, data: Any) -> NDArray[Any]:
        """Return a NumPy array without voxels."""
        return np.empty((0,) * data.ndim, data.dtype)

    def identity(self, data: Any) -> Any:
        """Return a name that this object has alone, for as long as it lives."""
        return object_identity(data)

    def index(self, data: Any, key: Any) -> Any:
        """Return part of a Dask array of the data."""
        from spatial_duck.backends.dask import _calls

        return _calls.index(self.to_dask(data), key)

    def astype(self, data: Any, dtype: Any, **options: Any) -> Any:
        """Return a Dask array of another type."""
        return self.to_dask(data).astype(dtype, **options)

    def copy(self, data: Any, **options: Any) -> Any:
        """Return a Dask array: writing to it does not reach the store."""
        return self.call(np.copy, (data,), options) if options else self.to_dask(data)

    def to_dask(self, data: Any, chunks: Any = "auto") -> Any:
        """Return a Dask array whose blocks lie on the chunks of the store."""
        from spatial_duck.backends.dask import _calls

        aligned = self.chunks(data)
        if aligned is None:
            aligned = tuple([(n,) for n in data.shape])
        by_store = chunks is None or (isinstance(chunks, str) and chunks == "auto")
        return _calls.from_reader(_Reader(self, data), aligned, None if by_store else chunks)

    def _promoted(self, value: Any) -> Any:
        """Return an array of this backend as a Dask array, and others as they are."""
        return self.to_dask(value) if isinstance(value, self.kinds) else value


class _Reader:
    """Stored data in a Dask graph: indexing reads the selected part."""

    def __init__(self, backend: StoredBackend, data: Any) -> None:
        self._backend, self._data = backend, data
        self.shape, self.ndim = tuple(data.shape), data.ndim
        self.dtype = np.dtype(data.dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        return self._backend.read(self._data, key)

    def __dask_tokenize__(self) -> Any:
        return (self._backend.name, self._backend.identity(self._data))


def even_chunks(shape: Sequence[int], lengths: Sequence[int] | None) -> Chunks:
    """Return the sizes of the blocks along each axis where all but the last are alike.

    Parameters
    ----------
    shape : sequence of int
        Shape of the array.
    lengths : sequence of int or None
        Lengths of a block; None for one block.

    Examples
    --------
    >>> even_chunks((5, 4), (2, 4))
    ((2, 2, 1), (4,))
    """
    whole = shape if lengths is None else lengths
    return tuple(
        [
            (c,) * (n // c) + ((n % c,) if n % c else ()) if n and c else (n,)
            for n, c in zip(shape, whole, strict=True)
        ]
    )


#: Objects by a name that no other object will ever have.
_named: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()
#: Threads that ask for one object at one time get one name.
_naming = threading.Lock()


def object_identity(data: Any) -> str:
    """Return a name that an object has alone, in all processes and at all times.

    An address does not serve: another object may have it later. One that cannot be referred to
    weakly has another name each time, which costs computing what is known, and is never wrong.
    """
    with _naming:
        for tag, known in list(_named.items()):
            if known is data:
                return tag
        tag = os.urandom(16).hex()
        with suppress(TypeError):  # no weak references
            _named[tag] = data
        return tag
