"""Arrays that are views of a file that is mapped into memory, and what closes with it.

A map goes when the last array that views it goes: only then does the system let the file be
deleted (Windows), or its descriptor go. `Holder` is what closing an image takes the views from.
"""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np

from spatial_duck.errors import FormatError

__all__ = ["FileMap", "Holder", "MappedBlocks", "closed_error", "file_map", "is_mapped", "release"]


class FileMap(np.memmap):
    """A file that `spatial_duck.read` mapped; arrays of it are its views."""


class Holder:
    """Owner of an array that may view a mapped file: an image, or blocks in a Dask graph."""

    __slots__ = ("__weakref__", "_closed", "_data")

    _data: Any
    _closed: str  # the file's name, once it is closed: `_data` is unset then

    def _let_go(self, name: str) -> None:
        """Hold the array no more, because the file of that name is closed."""
        self._closed = name
        del self._data


class MappedBlocks(Holder):
    """A mapped array in a Dask graph, indexed block by block until the file is closed."""

    __slots__ = ("dtype", "ndim", "shape")

    def __init__(self, data: Any) -> None:
        self._data = data
        self.shape, self.ndim, self.dtype = data.shape, data.ndim, data.dtype

    def __getitem__(self, key: Any) -> Any:
        if hasattr(self, "_closed"):
            raise closed_error(self._closed)
        return self._data[key]

    def __dask_tokenize__(self) -> Any:
        from dask.tokenize import normalize_token

        return normalize_token(self[...])


def closed_error(name: Any) -> FormatError:
    """Return the error for voxels of a file that was closed, to be raised."""
    return FormatError(
        f"{name} was closed, by close() or at the end of `with read(...)`, and the voxels of its "
        "images cannot be read any more: compute what is needed before that, or open it again"
    )


def is_mapped(data: Any) -> bool:
    """Whether an array is a view of a memory-mapped file."""
    return _base(data, np.memmap) is not None


def file_map(data: Any) -> Any:
    """Return a weak reference to the `FileMap` that an array views, or None."""
    found = _base(data, FileMap)
    return None if found is None else weakref.ref(found)


def _base(data: Any, kind: type) -> Any:
    while data is not None and not isinstance(data, kind):
        data = getattr(data, "base", None)
    return data


def release(mapped: Any, holder: Holder) -> None:
    """Remove the views of a map, found by `file_map`, from its owner and all others."""
    name = str(mapped().filename)
    holder._let_go(name)
    # Slices of an image are not known to it: looked for only where there are any.
    for found in gc.get_objects() if mapped() is not None else ():
        if (
            issubclass(type(found), Holder)
            and not hasattr(found, "_closed")
            and file_map(found._data) is mapped
        ):
            found._let_go(name)
