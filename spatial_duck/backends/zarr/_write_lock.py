"""Locks for concurrent writers of one Zarr array: a write to a part of a chunk is exclusive.

A chunk is written as a whole. A write to a part of one reads the rest first, and would overwrite
what another process has written there meanwhile. So such a write locks the array's folder
exclusively; writes of whole chunks share the lock and run side by side. The operating system
releases a lock when its process ends. A writer waits up to ``config(max_wait_seconds=...)`` for the
lock, then it is refused before it has written anything. A write of many blocks holds one lock for
all of them.

For arrays in local folders the lock is between the processes of one machine, if the file system
supports locks; for arrays in memory, between the threads of this process; for arrays on stores of
fsspec and obstore, between all machines, by an object that only one writer can create
(`spatial_duck.backends.zarr._lock_object`): there writers of whole chunks do not lock, and parts of
chunks are refused on a store that cannot create objects conditionally. Other programs do not know
of these locks.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial_duck._config import current
from spatial_duck._locks import Lock
from spatial_duck.backends.zarr._identity import array_identity
from spatial_duck.backends.zarr._lock_object import LockObject, lock_object
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["covers_chunks", "write_lock"]


def covers_chunks(selection: Sequence[Any], shape: Sequence[int], chunks: Sequence[int]) -> bool:
    """Whether a selection consists of whole chunks (the last one up to the array's end).

    Examples
    --------
    >>> covers_chunks((slice(4, 10, 1),), (10,), (4,))
    True
    >>> covers_chunks((slice(4, 7, 1),), (10,), (4,))
    False
    """
    for selected, n, c in zip(selection, shape, chunks, strict=True):
        if isinstance(selected, slice):
            is_whole = selected.step in (None, 1) and selected.start % c == 0
            if not (is_whole and (selected.stop % c == 0 or selected.stop == n)) and c > 1:
                return False
        elif c > 1 and n > 1:
            return False
    return True


def _folder(array: Any) -> Path | None:
    """Return the local folder of an array, which unlike its files is never replaced; or None."""
    root = getattr(array.store_path.store, "root", None)
    if root is None or os.name == "nt":  # Windows locks no folders
        return None
    folder = Path(root) / array.store_path.path
    return folder if folder.is_dir() else None


@contextmanager
def write_lock(array: Any, selection: Sequence[Any]) -> Iterator[None]:
    """Lock an array for writing a selection: shared for whole chunks, else exclusively.

    Parameters
    ----------
    array : zarr.Array
        Array that is written to.
    selection : sequence of int, slice or ndarray
        One for each axis.

    Raises
    ------
    BlockingIOError
        If other writers hold the lock longer than ``config(max_wait_seconds=...)``.
    """
    try:
        chunks = array.shards or array.chunks
    except NotImplementedError:  # chunks of different sizes
        chunks = array.shape
    shared = covers_chunks(selection, array.shape, chunks)
    folder = _folder(array)
    locks: list[Lock | _ThreadLock | LockObject]
    locks = [_thread_lock(array_identity(array)) if folder is None else Lock(folder)]
    remote = lock_object(array)
    if remote is not None:  # after the lock of this process, so that one thread waits at a time
        locks.append(remote)
    try:
        for lock in locks:
            _acquire(lock, shared, array.store_path)
        yield
    finally:
        for lock in reversed(locks):
            lock.release()


def _acquire(lock: Lock | _ThreadLock | LockObject, shared: bool, store_path: Any) -> None:
    """Wait for a lock."""
    max_wait = current().max_wait_seconds
    end = time.monotonic() + max_wait
    pause = 0.002
    while True:
        try:
            if lock.acquire(shared=shared):
                return
        except NotImplementedError as error:
            raise FormatError(
                f"{store_path}: this store cannot be locked for writing a part of a chunk "
                f"({error}). Write whole chunks (image.data.chunks): read them, change them and "
                "write them back"
            ) from error
        except OSError:  # a file system without locks
            if isinstance(lock, LockObject):
                raise
            return
        if time.monotonic() >= end:
            who = f" ({lock.holder()})" if isinstance(lock, LockObject) else ""
            raise BlockingIOError(
                f"{store_path}: others write to it{who}, and this write shares chunks with them; "
                f"it waited {max_wait:g} s and was not begun. Write whole chunks "
                "(image.data.chunks), one after the other, or wait longer: "
                "sd.config(max_wait_seconds=...)"
            )
        time.sleep(pause)
        if isinstance(lock, LockObject):  # each attempt costs a request
            pause = min(2 * pause, 0.5)


# --- Stores in memory ---------------------------------------------------------------------


class _Holders:
    """Threads that hold the lock of an array: several that share it, or an exclusive one."""

    def __init__(self) -> None:
        self.guard, self.shared, self.exclusive = threading.Lock(), 0, False


_holders: weakref.WeakValueDictionary[Any, _Holders] = weakref.WeakValueDictionary()
_holders_guard = threading.Lock()


class _ThreadLock:
    """A lock between the threads of this process."""

    def __init__(self, holders: _Holders) -> None:
        self.holders, self.held = holders, ""

    def acquire(self, *, shared: bool = False) -> bool:
        """Acquire the lock; return whether that was possible at once."""
        with self.holders.guard:
            if self.holders.exclusive or (self.holders.shared and not shared):
                return False
            self.holders.shared += shared
            self.holders.exclusive = not shared
        self.held = "shared" if shared else "exclusive"
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        with self.holders.guard:
            if self.held == "shared":
                self.holders.shared -= 1
            elif self.held:
                self.holders.exclusive = False
        self.held = ""


def _thread_lock(name: tuple[Any, ...]) -> _ThreadLock:
    with _holders_guard:
        holders = _holders.get(name)
        if holders is None:
            _holders[name] = holders = _Holders()
        return _ThreadLock(holders)
