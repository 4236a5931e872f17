"""Locks between processes, on files and folders, that the system frees when their holder ends.

A process that is forked while a lock is held shares the lock's file and would keep the lock for as
long as it lives, whatever its parent does. A lock is therefore freed by name, not by closing its
file alone, and a forked child closes the files of all locks at once.

Locks are of one machine's processes, where the file system has them; others do not ask.
"""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Lock"]

_held: weakref.WeakSet[Lock] = weakref.WeakSet()
_guard = threading.Lock()


class Lock:
    """A lock on an existing file or folder.

    Parameters
    ----------
    path : Path
        File or folder to lock.
    create : bool, optional
        Create the file if it does not exist.

    Attributes
    ----------
    file : int or None
        The descriptor; None once released, and in a forked child.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        flags = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
        self.file: int | None = os.open(path, flags, 0o666)
        with _guard:
            _held.add(self)

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire the lock; return whether that was possible at once.

        Raises
        ------
        OSError
            If the file system has no locks.
        """
        if self.file is None:
            return False
        try:
            if fcntl is not None:
                fcntl.flock(self.file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
            else:
                import msvcrt

                msvcrt.locking(self.file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        except (BlockingIOError, PermissionError):
            return False
        return True

    def release(self) -> None:
        """Release the lock and close its file."""
        with _guard:
            file, self.file = self.file, None
            _held.discard(self)
        if file is not None:
            _free(file)

    def __del__(self) -> None:
        # Of a holder that was interrupted before it could release it.
        file = getattr(self, "file", None)
        if file is not None:
            _free(file)


def _free(file: int) -> None:
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
    os.close(file)


def _close_in_child() -> None:
    """Close the parent's locks without releasing them, in a child that was just forked."""
    global _guard
    _guard = threading.Lock()  # another thread of the parent may have held it
    for lock in list(_held):
        file, lock.file = lock.file, None
        if file is not None:
            with suppress(OSError):
                os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
