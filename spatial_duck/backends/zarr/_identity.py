"""Which data a Zarr array holds: by what its store is, never by what it prints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatial_duck.backends._backend import object_identity

__all__ = ["folder_of", "identity", "may_share"]


def identity(array: Any) -> tuple[Any, ...]:
    """Return what tells the data of a Zarr array from those of any other.

    A folder is known by its path, a store on a file system of fsspec by that file system and the
    path in it; any other store, such as one in memory, is the object that it is. Two that print the
    same (two servers, two archives in memory) are two. An image that was opened is what was there
    then: what replaced it is another.
    """
    import zarr

    store, opened = array.store, ""
    if _is_image_store(store):
        store, opened = store.wrapped, repr(store.identity)
    # Of these very classes: one that derives from them may turn the bytes round.
    if type(store) is zarr.storage.LocalStore:
        known: tuple[str, ...] = ("folder", str(Path(store.root).resolve()))
    elif type(store) is zarr.storage.FsspecStore:
        known = ("fsspec", object_identity(store.fs), str(store.path))
    else:
        known = ("object", object_identity(store))
    return (*known, str(array.path), opened)


def folder_of(array: Any) -> Path | None:
    """Return the folder of an array whose chunks are files there, or None.

    A store that wraps a local one, or derives from it, may turn the bytes round: it is none.
    """
    import zarr

    store = array.store.wrapped if _is_image_store(array.store) else array.store
    return Path(store.root) / array.path if type(store) is zarr.storage.LocalStore else None


def _is_image_store(store: Any) -> bool:
    """Whether it is the store of an image that was read, which changes no bytes."""
    cls = type(store)
    return (cls.__module__, cls.__name__) == ("spatial_duck.io.ngff._store", "ImageStore")


def may_share(a: Any, b: Any) -> bool:
    """Whether two Zarr arrays may be the same data: certainly, or by what their stores print."""
    return identity(a)[:-1] == identity(b)[:-1] or str(a.store_path) == str(b.store_path)
