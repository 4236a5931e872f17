"""Whether two Zarr arrays hold the same data, by their stores."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spatial_duck.backends._backend import object_identity

__all__ = ["array_identity", "folder_of", "may_share_data"]


def array_identity(array: Any) -> tuple[Any, ...]:
    """Return a tuple that identifies the data of a Zarr array.

    A local folder is identified by its path, a store of fsspec by its file system and the path in
    it, any other store, such as one in memory, by the store object. The repr of a store is not
    used: two servers or two archives in memory may have the same. An image that replaces one that
    was opened is another.
    """
    import zarr

    store, opened = array.store, ""
    if _is_image_store(store):
        store, opened = store.wrapped, repr(store.identity)
    # Exactly these classes: a subclass may change the bytes.
    if type(store) is zarr.storage.LocalStore:
        known: tuple[str, ...] = ("folder", str(Path(store.root).resolve()))
    elif type(store) is zarr.storage.FsspecStore:
        known = ("fsspec", object_identity(store.fs), str(store.path))
    else:
        known = ("object", object_identity(store))
    return (*known, str(array.path), opened)


def folder_of(array: Any) -> Path | None:
    """Return the local folder of an array whose chunks are files; None for other stores.

    None for stores that wrap or derive from a local one, too: they may change the bytes.
    """
    import zarr

    store = array.store.wrapped if _is_image_store(array.store) else array.store
    return Path(store.root) / array.path if type(store) is zarr.storage.LocalStore else None


def _is_image_store(store: Any) -> bool:
    """Whether a store is that of an image that was read, which does not change bytes."""
    cls = type(store)
    return (cls.__module__, cls.__name__) == ("spatial_duck.io.ngff._store", "ImageStore")


def may_share_data(a: Any, b: Any) -> bool:
    """Whether two Zarr arrays hold the same data, or may do so as their stores have one repr."""
    return array_identity(a)[:-1] == array_identity(b)[:-1] or str(a.store_path) == str(
        b.store_path
    )
