"""Several writers of one Zarr array on disk: those that share chunks take turns.

A chunk is written as a whole. A write that covers only a part of one reads the rest first, and
would put back what another process has written there meanwhile. So such a write has the array for
itself, by a lock on its folder that the system frees when its process ends; writes of whole chunks
go side by side. Waiting loses nothing, and turns are short: only a writer whose turn has not come
after ``config(max_wait_seconds=...)`` is refused, before it has written anything. A write of many
blocks has one turn for all of them.

Locks are of one machine's processes, for arrays in local folders of file systems that have them; of
the threads of this process, for arrays in memory; and of all machines, for arrays on stores of
fsspec and obstore, by a document that only one can make
(`spatial_duck.backends.zarr._lock_object`): there writers of whole chunks do not ask, and a store
that cannot do it refuses parts of chunks. Other programs do not ask.
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
from spatial_duck.backends.zarr._identity import identity
from spatial_duck.backends.zarr._lock_object import LockObject, lock_object
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["covers_chunks", "turn"]


def covers_chunks(selection: Sequence[Any], shape: Sequence[int], chunks: Sequence[int]) -> bool:
    """Whether a selection is of whole chunks (the last one up to the array's end).

    Parameters
    ----------
    selection : sequence of int, slice or ndarray
        One for each axis; slices with a start, stop and step.
    shape, chunks : sequence of int

    Examples
    --------
    >>> covers_chunks((slice(4, 10, 1),), (10,), (4,))
    True
    >>> covers_chunks((slice(4, 7, 1),), (10,), (4,))
    False
    """
    for chosen, n, c in zip(selection, shape, chunks, strict=True):
        if isinstance(chosen, slice):
            whole = chosen.step in (None, 1) and chosen.start % c == 0
            if not (whole and (chosen.stop % c == 0 or chosen.stop == n)) and c > 1:
                return False
        elif c > 1 and n > 1:
            return False
    return True


def _folder(array: Any) -> Path | None:
    """Return where an array lies, if locally. Unlike its files, a folder is never replaced."""
    root = getattr(array.store_path.store, "root", None)
    if root is None or os.name == "nt":  # Windows locks no folders
        return None
    folder = Path(root) / array.store_path.path
    return folder if folder.is_dir() else None


@contextmanager
def turn(array: Any, selection: Sequence[Any]) -> Iterator[None]:
    """Hold the right to write a selection of an array.

    Parameters
    ----------
    array : zarr.Array
    selection : sequence of int, slice or ndarray
        One for each axis.

    Raises
    ------
    BlockingIOError
        If others write to the array for as long as this waits.
    """
    try:
        chunks = array.shards or array.chunks
    except NotImplementedError:  # chunks of different sizes
        chunks = array.shape
    shared = covers_chunks(selection, array.shape, chunks)
    folder = _folder(array)
    locks: list[Lock | _ThreadLock | LockObject]
    locks = [_thread_lock(identity(array)) if folder is None else Lock(folder)]
    others = lock_object(array)
    if others is not None:  # asked for by one thread of this process at a time
        locks.append(others)
    try:
        for lock in locks:
            _wait(lock, shared, array.store_path)
        yield
    finally:
        for lock in reversed(locks):
            lock.free()


def _wait(lock: Lock | _ThreadLock | LockObject, shared: bool, place: Any) -> None:
    longest = current().max_wait_seconds
    end = time.monotonic() + longest
    pause = 0.002
    while True:
        try:
            if lock.take(shared=shared):
                return
        except NotImplementedError as error:
            raise FormatError(
                f"{place}: writers of parts of chunks cannot take turns in such a store "
                f"({error}). Write whole chunks (image.data.chunks), such as a block of them that "
                "was read, changed and is written back"
            ) from error
        except OSError:  # a file system without locks
            if isinstance(lock, LockObject):
                raise
            return
        if time.monotonic() >= end:
            who = f" ({lock.holder()})" if isinstance(lock, LockObject) else ""
            raise BlockingIOError(
                f"{place}: others write to it{who}, and this write shares chunks with them; it "
                f"waited {longest:g} s and was not begun. Write whole chunks (image.data.chunks), "
                "one after the other, or wait longer: sd.config(max_wait_seconds=...)"
            )
        time.sleep(pause)
        if isinstance(lock, LockObject):  # each look costs a request
            pause = min(2 * pause, 0.5)


# --- stores that are no folders -----------------------------------------------------------


class _Holders:
    """How many threads hold an array: some that write whole chunks, or one that writes parts."""

    def __init__(self) -> None:
        self.guard, self.shared, self.alone = threading.Lock(), 0, False


_holders: weakref.WeakValueDictionary[Any, _Holders] = weakref.WeakValueDictionary()
_guard = threading.Lock()


class _ThreadLock:
    """A lock between the threads of this process."""

    def __init__(self, holders: _Holders) -> None:
        self.holders, self.held = holders, ""

    def take(self, *, shared: bool = False) -> bool:
        """Acquire the lock; return whether that was possible at once."""
        with self.holders.guard:
            if self.holders.alone or (self.holders.shared and not shared):
                return False
            self.holders.shared += shared
            self.holders.alone = not shared
        self.held = "shared" if shared else "alone"
        return True

    def free(self) -> None:
        """Free the lock, if it is held."""
        with self.holders.guard:
            if self.held == "shared":
                self.holders.shared -= 1
            elif self.held:
                self.holders.alone = False
        self.held = ""


def _thread_lock(name: tuple[Any, ...]) -> _ThreadLock:
    with _guard:
        holders = _holders.get(name)
        if holders is None:
            _holders[name] = holders = _Holders()
        return _ThreadLock(holders)
