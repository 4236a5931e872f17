"""Safe opening of HDF5 files: raises for files that would keep libhdf5 in an endless loop.

Strings and arrays of any length lie in global heaps. libhdf5 walks the objects of a heap by the
sizes that they declare: one near 2**64 wraps its pointer round, and free space of no size leaves it
where it is, so that it never comes to the end (and no signal ends it). `GuardedFile` is a file that
h5py reads through; it looks at each heap that passes by and raises where an object is larger than
its heap, or smaller than its own head.

The layout is that of the HDF5 File Format Specification 3.0, III.E, "Disk Format: Level 1E".
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io._safety import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["GuardedFile", "check_length", "check_readable", "h5py_module", "open_guarded"]

_MARK = b"GCOL\x01\0\0\0"


def h5py_module(what: str = "Reading and writing HDF5") -> Any:
    """Import h5py, or say which extra brings it."""
    return require("h5py", what)


class GuardedFile(io.FileIO):
    """A file whose global heaps are checked as they are read.

    Raises
    ------
    FormatError
        If a heap is not valid.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place, which a file may have."""
        if offset >= 1 << 63:
            raise FormatError(f"an address of {offset:,} bytes lies outside the file")
        return super().seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, as `io.FileIO`; heaps in it are checked first."""
        at = self.tell()
        count = super().readinto(buffer)
        if count:
            # A mark may begin in what was read before.
            start = max(at - len(_MARK) + 1, 0)
            self.seek(start)
            seen = self.read(at + count - start)
            place = seen.find(_MARK)
            while place >= 0:
                self._check(start + place)
                place = seen.find(_MARK, place + 1)
            self.seek(at + count)
        return count or 0

    def _check(self, at: int) -> None:
        """Walk the objects of the heap at a place of the file."""
        self.seek(at + len(_MARK))
        size = int.from_bytes(self.read(8), "little")
        there = self.seek(0, io.SEEK_END) - at
        if not 16 <= size <= there:
            raise FormatError(f"a heap declares {size:,} bytes, and the file holds {there:,} there")
        self.seek(at)
        heap = self.read(size)
        done = 16
        while done + 16 <= size:
            index = int.from_bytes(heap[done : done + 2], "little")
            declared = int.from_bytes(heap[done + 8 : done + 16], "little")
            # Object 0 is the space that is left; its size counts its own head.
            needed = declared if index == 0 else 16 + -(-declared // 8) * 8
            if not 16 <= needed <= size - done:
                raise FormatError(
                    f"an object of a heap declares {declared:,} bytes, and the heap has "
                    f"{size - done:,} left"
                )
            done += needed


@contextmanager
def open_guarded(path: Path, what: str = "Reading HDF5") -> Iterator[Any]:
    """Open a file with h5py, to read, through a `GuardedFile`."""
    h5py = h5py_module(what)
    with GuardedFile(path) as raw, h5py.File(raw, "r") as file:
        yield file


def check_length(path: Path, dataset: Any) -> None:
    """Refuse a text of any length that is longer than its file: libhdf5 makes room for it first.

    The first four bytes of such an element are its length. Those of attributes cannot be looked
    at in this way; they may take up to the 4 GiB that four bytes can say.

    Raises
    ------
    FormatError
        If it is longer.
    """
    at = dataset.id.get_offset()
    if dataset.dtype.kind != "O" or dataset.shape != (1,) or at is None:
        raise FormatError(f"{path}: {dataset.name} must be one text, got {dataset!r}")
    with path.open("rb") as file:
        file.seek(at)
        length = int.from_bytes(file.read(4), "little")
        if length > file.seek(0, io.SEEK_END):
            raise FormatError(f"{path}: {dataset.name} declares a text of {length:,} bytes")


def check_readable(path: Path, what: str) -> None:
    """Read all groups and attributes of a file once, before another library does.

    Raises
    ------
    FormatError
        If that fails.
    """
    try:
        with open_guarded(path, what) as file:

            def visit(_: str, item: Any) -> None:
                dict(item.attrs)

            dict(file.attrs)
            file.visititems(visit)
    except (*MALFORMED, OSError, RuntimeError) as error:
        raise FormatError(f"{path}: it is not a valid HDF5 file: {error}") from error
