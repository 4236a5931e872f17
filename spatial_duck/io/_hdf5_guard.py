"""Safe opening of HDF5 files: raises for what would make libhdf5 loop, crash or read other files.

Strings and arrays of variable length lie in global heaps. libhdf5 steps through the objects of a
heap by the sizes that they declare: a size near 2**64 overflows its pointer, and a size of 0 leaves
the pointer where it is, so that the loop never ends, and no signal interrupts it. h5py reads
through a `GuardedFile`, which checks each heap that is read and raises where an object is larger
than its heap, or smaller than its own header.

The layout is that of the HDF5 File Format Specification 3.0, III.E, "Disk Format: Level 1E".

A file may also take its content from others: by links, by external storage, and by virtual
datasets, whose sources may be external or virtual themselves. libhdf5 follows all of them to any
file of the machine, reads fill values where a source is missing, and ends the process where a
dataset is its own source. Files that have any of these are refused. libhdf5 also unpacks a chunk
whatever it becomes: `check_chunks` unpacks those that could become much in small pieces before.
"""

from __future__ import annotations

import io
import math
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._safety import HIGHEST_RATIO, MALFORMED, available_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "HDF5_SIGNATURE",
    "GuardedFile",
    "check_chunks",
    "check_length",
    "check_readable",
    "h5py_module",
    "open_guarded",
]

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_HEAP_SIGNATURE = b"GCOL\x01\0\0\0"
#: libhdf5's number of the filter that compresses with zlib.
_DEFLATE = 1
#: Bytes that another filter (a checksum) may add to a chunk before it is compressed.
_FILTER_BYTES = 64


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
    """Open a file with h5py for reading, through a `GuardedFile`.

    Raises
    ------
    FormatError
        If a heap is not valid.
    UnsafeInputError
        If it takes content from other files.
    """
    h5py = h5py_module(what)
    with GuardedFile(path) as raw, h5py.File(raw, "r") as file:
        _check_self_contained(h5py, path, file)
        yield file


def _check_self_contained(h5py: Any, path: Path, file: Any) -> None:
    """Refuse a file with links to other files, or with voxels in them."""

    # h5py passes no errors on from these functions; what they return ends the visit.
    def others_of_link(name: str, link: Any) -> tuple[str, list[str]] | None:
        return (name, [link.filename]) if isinstance(link, h5py.ExternalLink) else None

    def others_of_item(name: str, item: Any) -> tuple[str, list[str]] | None:
        if not isinstance(item, h5py.Dataset):
            return None
        if item.is_virtual:
            return name, [source.file_name for source in item.virtual_sources()]
        return (name, [str(other) for other, *_ in item.external]) if item.external else None

    found = file.visititems_links(others_of_link) or file.visititems(others_of_item)
    if found:
        name, others = found
        raise UnsafeInputError(
            f"{path}: {name!r} in it is virtual or lies in other files "
            f"({', '.join(sorted(set(others))[:5])}), which are not followed; open it with h5py if "
            "you trust it, and wrap it: SpatialArray(dask.array.from_array(dataset), ...)"
        )


def check_chunks(path: Path, dataset: Any, key: Any = None) -> None:
    """Refuse chunks that would unpack to more than a chunk, and to much of the memory.

    Parameters
    ----------
    path : Path
        The file.
    dataset : h5py.Dataset
        A dataset of it.
    key : tuple, optional
        The part that is to be read, by slices and ints; all by default.

    Raises
    ------
    FormatError
        If there are any.
    """
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(n)[0] for n in range(properties.get_nfilters())]
    if _DEFLATE not in filters:
        return
    if filters.count(_DEFLATE) > 1:
        raise FormatError(f"{path}: {dataset.name} is compressed twice, which is not read")
    memory = available_memory()
    if memory is None or 0 in dataset.shape:
        return
    keys = [slice(k, k + 1) if isinstance(k, int) else k for k in key or ()]
    box = None
    if len(keys) == dataset.ndim and all(isinstance(k, slice) for k in keys):
        box = tuple(slice(*k.indices(n)[:2]) for k, n in zip(keys, dataset.shape, strict=True))
    most = math.prod(dataset.chunks) * dataset.dtype.itemsize + _FILTER_BYTES
    for part in dataset.iter_chunks(box):
        corner = tuple(s.start // n * n for s, n in zip(part, dataset.chunks, strict=True))
        chunk = dataset.id.get_chunk_info_by_coord(corner)
        is_compressed = not chunk.filter_mask >> filters.index(_DEFLATE) & 1
        if not (is_compressed and chunk.size * HIGHEST_RATIO["zlib"] > memory // 4):
            continue
        inflate, length = zlib.decompressobj(), 0
        data = dataset.id.read_direct_chunk(corner)[1]
        while data and length <= most:
            length += len(inflate.decompress(data, 1 << 20))
            data = inflate.unconsumed_tail
        if length > most:
            raise UnsafeInputError(
                f"{path}: a chunk of {dataset.name} unpacks to more than the {most:,} bytes that "
                "it may have; it was damaged, or made to exhaust the memory"
            )


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
                if hasattr(item, "chunks"):
                    check_chunks(path, item)

            dict(file.attrs)
            file.visititems(visit)
    except FormatError:
        raise
    except (*MALFORMED, OSError, RuntimeError) as error:
        raise FormatError(f"{path}: it is not a valid HDF5 file: {error}") from error
