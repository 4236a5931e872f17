"""Safe opening of HDF5 files: raises for files that would keep libhdf5 in an endless loop.

Strings and arrays of variable length lie in global heaps. libhdf5 steps through the objects of a
heap by the sizes that they declare: a size near 2**64 overflows its pointer, and a size of 0 leaves
the pointer where it is, so that the loop never ends, and no signal interrupts it. h5py reads
through a `GuardedFile`, which checks each heap that is read and raises where an object is larger
than its heap, or smaller than its own header.

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

__all__ = [
    "HDF5_SIGNATURE",
    "GuardedFile",
    "check_length",
    "check_readable",
    "h5py_module",
    "open_guarded",
]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP_SIGNATURE = b"GCOL\x01\0\0\0"


def h5py_module(what: str = "Reading and writing HDF5") -> Any:
    """Return the module h5py; raise an ImportError that names its extra where it is missing."""
    return require("h5py", what)


class GuardedFile(io.FileIO):
    """A file whose global heaps are checked as they are read.

    Raises
    ------
    FormatError
        If a heap is not valid.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset; one that no file can have is refused."""
        if offset >= 1 << 63:
            raise FormatError(f"an address of {offset:,} bytes lies outside the file")
        return super().seek(offset, whence)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer, as `io.FileIO`; heaps in it are checked first."""
        position = self.tell()
        count = super().readinto(buffer)
        if count:
            # A signature may begin in bytes that were read before.
            start = max(position - len(_HEAP_SIGNATURE) + 1, 0)
            self.seek(start)
            data = self.read(position + count - start)
            found = data.find(_HEAP_SIGNATURE)
            while found >= 0:
                self._check_heap(start + found)
                found = data.find(_HEAP_SIGNATURE, found + 1)
            self.seek(position + count)
        return count or 0

    def _check_heap(self, start: int) -> None:
        """Check the sizes of the objects of the heap that begins at a byte of the file."""
        self.seek(start + len(_HEAP_SIGNATURE))
        size = int.from_bytes(self.read(8), "little")
        available = self.seek(0, io.SEEK_END) - start
        if not 16 <= size <= available:
            raise FormatError(
                f"a heap declares {size:,} bytes, and the file holds {available:,} from its start"
            )
        self.seek(start)
        heap = self.read(size)
        offset = 16
        while offset + 16 <= size:
            index = int.from_bytes(heap[offset : offset + 2], "little")
            declared = int.from_bytes(heap[offset + 8 : offset + 16], "little")
            # Object 0 is the free space, whose size counts its own header.
            length = declared if index == 0 else 16 + -(-declared // 8) * 8
            if not 16 <= length <= size - offset:
                raise FormatError(
                    f"an object of a heap declares {declared:,} bytes, and the heap has "
                    f"{size - offset:,} left"
                )
            offset += length


@contextmanager
def open_guarded(path: Path, what: str = "Reading HDF5") -> Iterator[Any]:
    """Open a file with h5py for reading, through a `GuardedFile`."""
    h5py = h5py_module(what)
    with GuardedFile(path) as raw, h5py.File(raw, "r") as file:
        yield file


def check_length(path: Path, dataset: Any) -> None:
    """Refuse a string that declares more bytes than its file has: libhdf5 allocates them first.

    The first four bytes of a string of variable length are its length. Strings in attributes cannot
    be checked in this way; they may allocate up to the 4 GiB that four bytes can declare.

    Parameters
    ----------
    path : Path
        The file.
    dataset : h5py.Dataset
        A dataset of one string of variable length.

    Raises
    ------
    FormatError
        If it is another dataset, or the string is longer than the file.
    """
    offset = dataset.id.get_offset()
    if dataset.dtype.kind != "O" or dataset.shape != (1,) or offset is None:
        raise FormatError(f"{path}: {dataset.name} must be one string, got {dataset!r}")
    with path.open("rb") as file:
        file.seek(offset)
        length = int.from_bytes(file.read(4), "little")
        if length > file.seek(0, io.SEEK_END):
            raise FormatError(
                f"{path}: {dataset.name} declares a string of {length:,} bytes, longer than the "
                "file; it is truncated or was damaged"
            )


def check_readable(path: Path, what: str) -> None:
    """Read all groups and attributes of a file guarded, before another library reads it unguarded.

    Raises
    ------
    FormatError
        If the file is not valid.
    """
    try:
        with open_guarded(path, what) as file:

            def visit(_: str, item: Any) -> None:
                dict(item.attrs)

            dict(file.attrs)
            file.visititems(visit)
    except (*MALFORMED, OSError, RuntimeError) as error:
        raise FormatError(f"{path}: it is not a valid HDF5 file: {error}") from error
