"""The Zarr store of an image that was opened: what is read of it is of that image, and all there.

Needs zarr.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from spatial_duck.io._deferred import Identity

__all__ = ["ImageStore", "local_files"]

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class ImageStore(WrapperStore[Any]):
    """Wraps a store, and refuses what would be read wrongly.

    Parameters
    ----------
    store : zarr.abc.store.Store
        What is wrapped.
    complete : bool, optional
        Whether every chunk is there: reading one that is not raises `FormatError`.
    identity : Identity, optional
        The files that were opened, where they are local: reading after one was replaced raises
        `FormatError`.

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

    #: Newer versions of zarr would go past `get` where the wrapped store can answer at once.
    _supports_sync_io = False

    def __init__(
        self, store: Any, *, complete: bool = False, identity: Identity | None = None
    ) -> None:
        super().__init__(store)
        self.complete, self.identity = complete, identity

    def _with_store(self, store: Any) -> ImageStore:
        return type(self)(store, complete=self.complete, identity=self.identity)

    @property
    def wrapped(self) -> Any:
        """The store that is wrapped."""
        return self._store

    @property
    def root(self) -> Any:
        """The directory of the store that is wrapped; None where it is no directory."""
        return getattr(self._store, "root", None)

    def check(self) -> None:
        """Refuse a store that was replaced since it was opened; called after each read.

        Raises
        ------
        FormatError
            If it was.
        """
        if self.identity is not None:
            self.identity.check()

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Read one key."""
        value = await super().get(key, *args, **kwargs)
        self.check()
        if value is None and self.complete and not key.endswith(_METADATA):
            raise FormatError(
                f"{self._store}: the chunk {key!r} is missing, of a store that was complete when "
                "it was written. Restore it from a copy, or accept fill values in its place with "
                "read(..., missing='fill')"
            )
        return value

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        """Read parts of several keys."""
        values = await super().get_partial_values(prototype, key_ranges)
        self.check()
        return values

    async def get_ranges(self, key: str, byte_ranges: Any, **kwargs: Any) -> AsyncIterator[Any]:
        """Read parts of one key."""
        async for group in super().get_ranges(key, byte_ranges, **kwargs):
            self.check()
            yield group


def local_files(store: Any, path: str) -> list[Path]:
    """Return the files by which a node of a local store is known; none for another store."""
    root = getattr(store, "root", None)
    if root is None:
        return []
    folder = Path(root) / path
    return [folder / name for name in ("zarr.json", ".zarray") if (folder / name).is_file()]
