"""A Zarr store that holds to more: every chunk is there.

Needs zarr.
"""

from __future__ import annotations

from typing import Any

from zarr.storage import WrapperStore

from spatial_duck.errors import FormatError

__all__ = ["CompleteStore"]

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class CompleteStore(WrapperStore[Any]):
    """Wraps a store; reading a chunk that is not there raises `FormatError`.

    Examples
    --------
    >>> import zarr
    >>> store = zarr.storage.MemoryStore()
    >>> array = zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i2", fill_value=7)
    >>> array[:2] = 1
    >>> zarr.open_array(CompleteStore(store), mode="r")[:]
    Traceback (most recent call last):
        ...
    spatial_duck.errors.FormatError: ...chunk 'c/1' is missing...
    """

    #: Newer versions of zarr would go past `get` where the wrapped store can answer at once.
    _supports_sync_io = False

    @property
    def wrapped(self) -> Any:
        """The store that is wrapped."""
        return self._store

    @property
    def root(self) -> Any:
        """The directory of the store that is wrapped; None where it is no directory."""
        return getattr(self._store, "root", None)

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Read one key."""
        value = await super().get(key, *args, **kwargs)
        if value is None and not key.endswith(_METADATA):
            raise FormatError(
                f"{self._store}: the chunk {key!r} is missing, of a store that was complete when "
                "it was written. Restore it from a copy, or accept fill values in its place with "
                "read(..., missing='fill')"
            )
        return value
