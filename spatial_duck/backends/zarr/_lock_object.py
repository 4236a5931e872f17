"""A lock between writers on several machines: a document in the store that one of them can make.

Object stores make a document only if there is none, in one step (``If-None-Match: *`` on S3);
fsspec and obstore offer it as ``mode="create"``. The lock is taken away by its holder. What a
holder that was killed leaves is named in the error of those who wait in vain, and is removed by
hand.
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
    key : str
        Name of the document.
    """

    def __init__(self, store: Any, key: str) -> None:
        self.store, self.key = store, key
        self.said = f"process {os.getpid()} on {socket.gethostname()}, {uuid.uuid4().hex}".encode()
        self.held = False

    def take(self, *, shared: bool = False) -> bool:
        """Acquire the lock; return whether that was possible at once.

        Writers of whole chunks share chunks with nobody, and do not ask.

        Raises
        ------
        NotImplementedError
            If the store cannot make a document only where there is none.
        """
        if shared:
            return True
        from spatial_duck.backends.zarr._private import run as sync

        self.held = bool(sync(self._make()))
        return self.held

    def free(self) -> None:
        """Free the lock, if it is held."""
        if self.held:
            from spatial_duck.backends.zarr._private import run as sync

            self.held = False
            sync(self.store.delete(self.key))

    def holder(self) -> str:
        """Return who holds the lock, and the path of its object, for messages."""
        from zarr.buffer import default_buffer_prototype

        from spatial_duck.backends.zarr._private import run as sync

        found = None
        with suppress(Exception):
            found = sync(self.store.get(self.key, default_buffer_prototype()))
        who = found.to_bytes()[:200].decode(errors="replace") if found else "another writer"
        return f"{who}, by {self.key}; remove that if its writer is gone"

    async def _make(self) -> bool:
        from zarr.buffer import default_buffer_prototype

        try:
            if type(self.store).__name__ == "ObjectStore":
                import obstore  # type: ignore[import-not-found, unused-ignore]

                await obstore.put_async(self.store.store, self.key, self.said, mode="create")
            else:
                path = "/".join(filter(None, [self.store.path.rstrip("/"), self.key]))
                await self.store.fs._pipe_file(path, self.said, mode="create")
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
        # Servers that do not know the condition let two writers make it: the last one has it.
        found = await self.store.get(self.key, default_buffer_prototype())
        return found is not None and found.to_bytes() == self.said


def lock_object(array: Any) -> LockObject | None:
    """Return the lock of an array that other machines can reach; None for one that they cannot."""
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
