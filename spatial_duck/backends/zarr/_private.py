"""Private names of zarr, each in one function with a fallback.

`tests/test_private_names.py` tells when a public way has come. Needs zarr.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Self

__all__ = ["ForwardingStore", "run"]


class ForwardingStore(WrapperStore[Any]):
    """Base of stores that wrap another, and see each key that is read or written.

    Subclasses change `get`, `set` and the other methods that zarr documents, and say in `renewed`
    what a read-only view of them is.

    Attributes
    ----------
    wrapped : zarr.abc.store.Store
        The store that is wrapped.
    closed : bool
        Whether it was closed, so that nothing is read any more.
    """

    #: Newer versions of zarr would go past `get` where the wrapped store can answer at once.
    #: Versions without the name ask `get` alone.
    _supports_sync_io = False

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.wrapped = store
        self.closed = False

    def close(self) -> None:
        """Close the store, and the one that it wraps."""
        self.closed = True
        super().close()

    def renewed(self, store: Any) -> Self:
        """Return the same store around another one."""
        return type(self)(store)

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a view of the store that is, or is not, read-only."""
        return self.renewed(self.wrapped.with_read_only(read_only))

    def _with_store(self, store: Any) -> Self:  # what zarr itself asks when a store is entered
        return self.renewed(store)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what a store does on the event loop of zarr, to which stores of URLs are bound.

    Without zarr's name for it, on one of its own.
    """
    try:
        from zarr.core.sync import sync
    except ImportError:
        return asyncio.run(work)
    return sync(work)
