"""Private names of zarr, each in one function with a fallback.

`tests/test_private_names.py` fails when a public name replaces one. Needs zarr.
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

    Subclasses override `get`, `set` and other documented methods of zarr, and `rewrap` if their
    constructor takes more than the store.

    Attributes
    ----------
    wrapped : zarr.abc.store.Store
        The store that is wrapped.
    closed : bool
        Whether it was closed, so that nothing is read any more.
    """

    #: Newer versions of zarr bypass `get` if the wrapped store supports synchronous reads.
    _supports_sync_io = False

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self.wrapped = store
        self.closed = False

    def close(self) -> None:
        """Close the store, and the one that it wraps."""
        self.closed = True
        super().close()

    def rewrap(self, store: Any) -> Self:
        """Return the same store around another one."""
        return type(self)(store)

    def with_read_only(self, read_only: bool = False) -> Self:
        """Return a view of the store that is, or is not, read-only."""
        return self.rewrap(self.wrapped.with_read_only(read_only))

    def _with_store(self, store: Any) -> Self:  # called by zarr where a store is entered
        return self.rewrap(store)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine of a store on the event loop of zarr, to which stores of URLs are bound.

    Without zarr's function for it, run it on a new event loop.
    """
    try:
        from zarr.core.sync import sync
    except ImportError:
        return asyncio.run(work)
    return sync(work)
