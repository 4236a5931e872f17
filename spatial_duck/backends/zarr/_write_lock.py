"""Several writers of one Zarr array on disk: those that share chunks take turns.

A chunk is written as a whole. A write that covers only a part of one reads the rest first, and
would put back what another process has written there meanwhile. So such a write has the array for
itself, by a lock on its folder that the system frees when its process ends; writes of whole chunks
go side by side. Waiting loses nothing, and turns are short: only a writer whose turn has not come
after ``config(max_wait_seconds=...)`` is refused, before it has written anything. A write of many
blocks has one turn for all of them.

Locks are of one machine's processes, for arrays in local folders of file systems that have them.
Other programs do not ask.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

try:
    import fcntl
except ImportError:  # not on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

from spatial_duck._config import current

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
    if fcntl is None or root is None:
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
    folder = _folder(array)
    if folder is None:
        yield
        return
    try:
        chunks = array.shards or array.chunks
    except NotImplementedError:  # chunks of different sizes
        chunks = array.shape
    whole = covers_chunks(selection, array.shape, chunks)
    file = os.open(folder, os.O_RDONLY)
    try:
        _wait(file, fcntl.LOCK_SH if whole else fcntl.LOCK_EX, folder)
        yield
    finally:
        os.close(file)  # which frees the lock


def _wait(file: int, kind: int, folder: Path) -> None:
    longest = current().max_wait_seconds
    end = time.monotonic() + longest
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise BlockingIOError(
                    f"{folder}: others write to it, and this write shares chunks with them; it "
                    f"waited {longest:g} s and was not begun. Write whole chunks "
                    "(image.data.chunks), one after the other, or wait longer: "
                    "sd.config(max_wait_seconds=...)"
                ) from None
            time.sleep(0.002)
        except OSError:  # a file system without locks
            return
        else:
            return
