"""Zarr stores of all kinds: opening groups, reading images, copying folders into stores.

`ImageStore` is the store of an image that was opened: reading it raises if the image was replaced,
or if a chunk is missing. A store is a folder, a URL (through fsspec), a store or group of zarr, a
store of obstore, a map of fsspec or a path of universal_pathlib. Needs zarr.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.buffer import default_buffer_prototype

from spatial_duck.backends.zarr import _private
from spatial_duck.errors import FormatError
from spatial_duck.io._identity import Identity
from spatial_duck.io._location import is_remote
from spatial_duck.io._safety import check_is_no_device
from spatial_duck.io.ngff._archive import METADATA
from spatial_duck.io.ngff._stamp import NodeStamp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from typing import Self

__all__ = [
    "ImageStore", "can_replace", "fill_store", "open_group", "store_path", "write_by_folder",
]  # fmt: skip


class ImageStore(_private.ForwardingStore):
    """Wraps a store; reading a missing chunk, or another image than was opened, raises.

    Parameters
    ----------
    store : zarr.abc.store.Store
        The store that is wrapped.
    complete : bool, optional
        Whether every chunk is there: reading one that is not raises `FormatError`.
    identity : Identity or NodeStamp, optional
        Identity of the image: reading after it was replaced raises `FormatError`.
    owned : bool, optional
        Whether the store was opened for the image, and is closed with it.

    Examples
    --------
    >>> import zarr
    >>> store = zarr.storage.MemoryStore()
    >>> array = zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i2", fill_value=7)
    >>> array[:2] = 1
    >>> zarr.open_array(ImageStore(store, complete=True), mode="r")[:]
    Traceback (most recent call last):
        ...
    spatial_duck.errors.FormatError: ...chunk 'c/1' is missing...
    """

    def __init__(
        self,
        store: Any,
        *,
        complete: bool = False,
        identity: Identity | NodeStamp | None = None,
        owned: bool = False,
    ) -> None:
        super().__init__(store)
        self.complete, self.identity, self.owned = complete, identity, owned

    def rewrap(self, store: Any) -> Self:
        """Return an image store with the same settings that wraps another store."""
        return type(self)(store, complete=self.complete, identity=self.identity, owned=self.owned)

    def close(self) -> None:
        """Close the store, and the wrapped one if it was opened for this image."""
        if self.owned:
            super().close()
        self.closed = True

    @property
    def root(self) -> Any:
        """The directory of the wrapped store; None if it is not in a directory."""
        return getattr(self.wrapped, "root", None)

    def check(self, *, now: bool = False) -> None:
        """Check that the image was not replaced since it was opened; called after each read.

        Parameters
        ----------
        now : bool, optional
            Check even if the last check was a moment ago.

        Raises
        ------
        FormatError
            If it was replaced.
        """
        if isinstance(self.identity, NodeStamp):
            self.identity.check(now=now)
        else:
            self._check_files()

    def _check_files(self) -> None:
        """Check within a read, if that costs no request."""
        if isinstance(self.identity, Identity):
            self.identity.check()

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Read one key."""
        if self.root is not None:
            check_is_no_device(Path(self.root) / key)
        try:
            value = await super().get(key, *args, **kwargs)
        except Exception:  # some stores raise if a node was removed
            if isinstance(self.identity, NodeStamp):
                await self.identity.recheck()
            raise
        self._check_files()
        if value is None and self.complete and not key.endswith(METADATA):
            if isinstance(self.identity, NodeStamp):
                await self.identity.recheck()
            raise FormatError(
                f"{self.wrapped}: the chunk {key!r} is missing, in a store that was complete when "
                "it was written. Restore it from a copy, or read fill values in its place with "
                "read(..., missing='fill')"
            )
        return value

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        """Read parts of several keys."""
        values = await super().get_partial_values(prototype, key_ranges)
        self._check_files()
        return values

    async def get_ranges(self, key: str, byte_ranges: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Read parts of one key."""
        async for group in super().get_ranges(key, byte_ranges, **kwargs):
            self._check_files()
            yield group


# --- opening ------------------------------------------------------------------------------


def _open_arguments(location: Any, storage_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the arguments with which zarr opens a place."""
    import zarr

    if type(location).__module__.partition(".")[0] == "obstore":
        return {"store": zarr.storage.ObjectStore(location)}
    if isinstance(location, zarr.Group):  # its attributes may be out of date
        return {"store": location.store_path.store, "path": location.store_path.path}
    # A path of universal_pathlib, which need not be one of pathlib.
    kept = getattr(location, "storage_options", None)
    if kept is not None and getattr(location, "protocol", None):
        return {"store": str(location), "storage_options": {**kept, **(storage_options or {})}}
    if storage_options:
        return {"store": location, "storage_options": dict(storage_options)}
    return {"store": location}


def open_group(location: Any, storage_options: Mapping[str, Any] | None = None) -> Any:
    """Open a Zarr group for reading.

    Parameters
    ----------
    location : Path, str or store
        Where it is.
    storage_options : mapping, optional
        Options for a URL, as fsspec takes them.

    Raises
    ------
    FormatError
        If it is an array.
    """
    import zarr

    if isinstance(location, zarr.Array):
        raise _array_error(location.store_path)
    given = _open_arguments(location, storage_options)
    try:
        if is_remote(location):
            # To look for each format costs requests; most stores are in the newer one.
            with suppress(FileNotFoundError):
                return zarr.open_group(**given, mode="r", zarr_format=3)
        return zarr.open_group(**given, mode="r")
    except (zarr.errors.ContainsArrayError, zarr.errors.NodeTypeValidationError) as error:
        raise _array_error(location) from error


def _array_error(location: Any) -> FormatError:
    return FormatError(
        f"{location}: it is a Zarr array, and an image is the group that holds it: open the folder "
        "above, with level= if it has several, or wrap the array, SpatialArray(zarr.open_array("
        "...), spacing=...)"
    )


def store_path(location: Any, storage_options: Mapping[str, Any] | None = None) -> Any:
    """Return a path, store or group as a writable zarr.storage.StorePath; nothing is created.

    Raises
    ------
    FormatError
        If the store is read-only.
    """
    from zarr.storage import FsspecStore, MemoryStore, StorePath

    given = _open_arguments(location, storage_options)
    store, path = given["store"], given.get("path", "")
    if isinstance(store, StorePath):
        store, path = store.store, store.path
    if isinstance(store, str):
        store = FsspecStore.from_url(store, storage_options=given.get("storage_options"))
    elif isinstance(store, dict):
        store = MemoryStore(store)
    elif not hasattr(store, "supports_writes"):
        store = FsspecStore.from_mapper(store)
    if store.read_only or not store.supports_writes:
        raise FormatError(f"{location}: it is open for reading only; open it for writing")
    return StorePath(store, path)


# --- writing ------------------------------------------------------------------------------


def write_by_folder(
    write: Callable[..., None],
    location: Any,
    image: Any,
    *,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write an image into a temporary folder, and copy that into a store.

    Parameters
    ----------
    write : callable
        Writes the format to a path.
    location : str or store
        The target.
    image : SpatialArray
        The image.
    overwrite : bool, optional
        Whether an image that is there may be replaced.
    storage_options : mapping, optional
        Options for a URL, as fsspec takes them.
    **options
        Options of `write`.

    Raises
    ------
    FormatError
        If an option needs a local folder.
    """
    refused = [name for name in ("resume", "label") if options.get(name)]
    if refused:
        raise FormatError(
            f"{location}: {refused[0]}= does not work in this kind of store; write to a folder, or "
            "leave it out"
        )
    name = str(location).rstrip("/").rpartition("/")[2] if isinstance(location, str) else "image"
    with tempfile.TemporaryDirectory(prefix="spatial_duck-") as folder:
        fresh = Path(folder) / name
        write(fresh, image, overwrite=False, **options)
        fill_store(fresh, location, storage_options, overwrite=overwrite)


def fill_store(
    folder: Path, location: Any, storage_options: Mapping[str, Any] | None, *, overwrite: bool
) -> None:
    """Copy a group in a folder into a store; its own metadata, which make it an image, last.

    Parameters
    ----------
    folder : Path
        The group.
    location : str or store
        The target.
    storage_options : mapping, optional
        Options for a URL, as fsspec takes them.
    overwrite : bool
        Whether an image that is there may be replaced. It is deleted first: stores cannot rename in
        one step.

    Raises
    ------
    FileExistsError
        If the target exists and `overwrite` is false.
    """
    import zarr

    target = store_path(location, storage_options)
    if _holds_node(target):
        if not overwrite:
            raise FileExistsError(f"{location} is there already; replace it with overwrite=True")
        if not can_replace(location):
            raise FormatError(
                f"{location}: nothing in such a store can be replaced; write a new one"
            )
        zarr.open_group(target, mode="w")  # deletes the old image
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    last = [p for p in files if p.parent == folder]
    _private.run(_copy([p for p in files if p.parent != folder], folder, target))
    _private.run(_copy(last, folder, target))


def _holds_node(target: Any) -> bool:
    """Whether there is an array, or a group that is not empty."""
    import zarr

    try:
        # By its store, which zarr then opens if it is not open yet.
        found = zarr.open(target.store, path=target.path, mode="r+")
    except FileNotFoundError:
        return False
    # A new store of icechunk has an empty group.
    return isinstance(found, zarr.Array) or bool(dict(found.attrs)) or any(True for _ in found)


#: Files that are copied at once.
_MAX_COPIES = 16


async def _copy(files: list[Path], folder: Path, target: Any) -> None:
    slots = asyncio.Semaphore(_MAX_COPIES)

    async def copy(file: Path) -> None:
        async with slots:
            key = "/".join([*filter(None, [target.path]), *file.relative_to(folder).parts])
            data = default_buffer_prototype().buffer.from_bytes(file.read_bytes())
            await target.store.set(key, data)

    await asyncio.gather(*map(copy, files))


def can_replace(location: Any) -> bool:
    """Whether keys of a store can be deleted: not in a zip file that is being written."""
    store = getattr(location, "store", location)
    return bool(getattr(store, "supports_deletes", True))
