"""Which data a Zarr array holds: by what its store is, never by what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatial_duck.backends._backend import object_identity

__all__ = ["identity", "may_share"]


def identity(array: Any) -> tuple[Any, ...]:
    """Return what tells the data of a Zarr array from those of any other.

    A folder is known by its path, a store on a file system of fsspec by that file system and the
    path in it; any other store, such as one in memory, is the object that it is. Two that print the
    same (two servers, two archives in memory) are two.
    """
    store = array.store_path.store
    if _is(store, "spatial_duck.io.ngff._store", "ImageStore"):
        store = store.wrapped
    if _is(store, "zarr.storage._local", "LocalStore"):
        known: tuple[str, ...] = ("folder", str(Path(store.root).resolve()))
    elif _is(store, "zarr.storage._fsspec", "FsspecStore"):
        known = ("fsspec", object_identity(store.fs), str(store.path))
    else:
        known = ("object", object_identity(store))
    return (*known, str(array.store_path.path))


def _is(store: Any, module: str, name: str) -> bool:
    """Whether a store is of this very class: one that derives from it may turn the bytes round."""
    return type(store).__module__ == module and type(store).__name__ == name


def may_share(a: Any, b: Any) -> bool:
    """Whether two Zarr arrays may be the same data: certainly, or by what their stores print."""
    return identity(a) == identity(b) or str(a.store_path) == str(b.store_path)
