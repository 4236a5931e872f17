"""A Zarr store that records which chunks are read and written. Needs zarr."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck.backends.zarr._private import ForwardingStore

if TYPE_CHECKING:
    from typing import Self

__all__ = ["RecordingStore"]

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")


class RecordingStore(ForwardingStore):
    """Wraps a store; `chunks_read` and `chunks_written` hold the keys in order.

    Keys of metadata do not count.

    Examples
    --------
    >>> import zarr
    >>> store = RecordingStore(zarr.storage.MemoryStore())
    >>> array = zarr.create_array(store, shape=(4, 4), chunks=(2, 2), dtype="i2", fill_value=7)
    >>> array[:2, :2] = 1
    >>> _ = array[:, 0]
    >>> store.chunks_written, store.chunks_read[-2:]
    (['c/0/0'], ['c/0/0', 'c/1/0'])
    """

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.chunks_read: list[str] = []
        self.chunks_written: list[str] = []

    def rewrap(self, store: Any) -> Self:
        """Return the same store around another one."""
        new = type(self)(store)
        # A read-only view of a store writes into the same records.
        new.chunks_read, new.chunks_written = self.chunks_read, self.chunks_written
        return new

    async def get(self, key: str, *args: Any, **kwargs: Any) -> Any:
        """Read one key, noting it."""
        if not key.endswith(_METADATA):
            self.chunks_read.append(key)
        return await super().get(key, *args, **kwargs)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        """Read parts of several keys, noting them."""
        key_ranges = list(key_ranges)
        self.chunks_read += [k for k, _ in key_ranges if not k.endswith(_METADATA)]
        return await super().get_partial_values(prototype, key_ranges)

    async def get_ranges(self, key: str, byte_ranges: Any, **kwargs: Any) -> Any:
        """Read parts of one key, noting it."""
        self.chunks_read.append(key)
        async for group in super().get_ranges(key, byte_ranges, **kwargs):
            yield group

    async def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        """Write one key, noting it."""
        if not key.endswith(_METADATA):
            self.chunks_written.append(key)
        await super().set(key, value, *args, **kwargs)
