"""A lock between writers on several machines: an object in the store that one of them can create.

Object stores can create an object only if it does not exist, in one step (``If-None-Match: *`` on
S3); fsspec and obstore offer this as ``mode="create"``. The holder deletes the object to release
the lock. The object of a holder that was killed stays; the error of writers that wait for it names
it, and users remove it by hand.
"""

from __future__ import annotations

import os
import socket
import uuid
from contextlib import suppress
from typing import Any

__all__ = ["LockObject", "lock_object"]

_NAME = "spatial_duck-lock"


class LockObject:
    """A lock on an array in a store of fsspec or obstore.

    Parameters
    ----------
    store : zarr.abc.store.Store
        Store of the array.
    key : str
        Name of the object.
    """

    def __init__(self, store: Any, key: str) -> None:
        self.store, self.key = store, key
        owner = f"process {os.getpid()} on {socket.gethostname()}, {uuid.uuid4().hex}"
        self.content = owner.encode()
        self.held = False

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire the lock; return whether that was possible at once.

        Writers of whole chunks share no chunk with others, and need no lock.

        Raises
        ------
        NotImplementedError
            If the store cannot create an object only if it does not exist.
        """
        if shared:
            return True
        from spatial_duck.backends.zarr._private import run as sync

        self.held = bool(sync(self._create()))
        return self.held

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self.held:
            from spatial_duck.backends.zarr._private import run as sync

            self.held = False
            sync(self.store.delete(self.key))

    def holder(self) -> str:
        """Return who holds the lock, and the path of its object, for messages."""
        from zarr.buffer import default_buffer_prototype

        from spatial_duck.backends.zarr._private import run as sync

        stored = None
        with suppress(Exception):
            stored = sync(self.store.get(self.key, default_buffer_prototype()))
        who = stored.to_bytes()[:200].decode(errors="replace") if stored else "another writer"
        return f"{who}, by {self.key}; remove that if its writer is gone"

    async def _create(self) -> bool:
        """Create the object; return whether this lock created it."""
        from zarr.buffer import default_buffer_prototype

        try:
            if type(self.store).__name__ == "ObjectStore":
                import obstore  # type: ignore[import-not-found, unused-ignore]

                await obstore.put_async(self.store.store, self.key, self.content, mode="create")
            else:
                path = "/".join(filter(None, [self.store.path.rstrip("/"), self.key]))
                await self.store.fs._pipe_file(path, self.content, mode="create")
        except FileExistsError:
            return False
        except Exception as error:
            if type(error).__name__ in ("AlreadyExistsError", "PreconditionError"):
                return False
            if isinstance(error, OSError) and "PreconditionFailed" in repr(error):
                return False
            if isinstance(error, OSError) and "conditions you specified" in str(error):
                return False  # as S3 says it
            if isinstance(error, TypeError | ValueError | NotImplementedError):
                raise NotImplementedError(str(error)) from error
            raise
        # Servers that ignore the condition let two writers create it: the last one holds it.
        stored = await self.store.get(self.key, default_buffer_prototype())
        return stored is not None and stored.to_bytes() == self.content


def lock_object(array: Any) -> LockObject | None:
    """Return the lock of an array that other machines can access; None for other arrays."""
    store = array.store_path.store
    store = getattr(store, "wrapped", store)
    kind = type(store).__name__
    if kind == "FsspecStore":
        protocol = getattr(store.fs, "protocol", ())
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        inner = getattr(store.fs, "sync_fs", None)
        if "memory" in names or type(inner).__name__ == "MemoryFileSystem":
            return None
    elif kind != "ObjectStore" or type(store.store).__name__ == "MemoryStore":
        return None
    return LockObject(store, "/".join(filter(None, [array.store_path.path, _NAME])))
