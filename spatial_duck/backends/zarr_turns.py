"""Several writers of one Zarr array on disk: those that share chunks take turns.

A chunk is written as a whole. A write that covers only a part of one reads the rest first, and
would put back what another process has written there meanwhile. So such a write has the array for
itself, by a lock on its metadata file that the system frees when its process ends; writes of whole
chunks go side by side. A writer whose turn does not come is refused before it has written.

Locks are of one machine's processes, for arrays in local folders. Other programs do not ask.
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

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["covers_chunks", "turn"]

#: Seconds that a writer waits for its turn.
PATIENCE = 10.0


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


def _metadata(array: Any) -> Path | None:
    """Return the metadata file of an array in a local folder."""
    root = getattr(array.store_path.store, "root", None)
    if fcntl is None or root is None:
        return None
    folder = Path(root) / array.store_path.path
    return next((f for f in (folder / "zarr.json", folder / ".zarray") if f.is_file()), None)


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
    path = _metadata(array)
    if path is None:
        yield
        return
    try:
        chunks = array.shards or array.chunks
    except NotImplementedError:  # chunks of different sizes
        chunks = array.shape
    whole = covers_chunks(selection, array.shape, chunks)
    file = os.open(path, os.O_RDONLY)
    try:
        _wait(file, fcntl.LOCK_SH if whole else fcntl.LOCK_EX, path.parent)
        yield
    finally:
        os.close(file)  # which frees the lock


def _wait(file: int, kind: int, folder: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                raise BlockingIOError(
                    f"{folder}: others write to it, and this write shares chunks with them; it was "
                    "not begun. Write whole chunks (image.data.chunks), or one after the other"
                ) from None
            time.sleep(0.002)
        else:
            return
