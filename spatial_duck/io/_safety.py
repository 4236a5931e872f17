"""Checks for safe reading: sizes before allocation, confined paths, bounded decompression.

Independent of the format. Readers call `check_size` before they allocate, `confine_path` before
they open a file that a header names, and `read_stream` to decompress no further than was declared.
Atomic writing is in `spatial_duck.io._publishing`.
"""

from __future__ import annotations

import bz2
import errno
import io
import math
import os
import stat
import sys
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._gzip import GzipMembers
from spatial_duck.io._memory import available_memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "HIGHEST_RATIO",
    "MALFORMED",
    "BoundedFile",
    "ZlibFile",
    "available_memory",
    "check_axis_count",
    "check_beside",
    "check_chunk_count",
    "check_is_no_device",
    "check_memory",
    "check_size",
    "confine_path",
    "count_bytes",
    "map_raw",
    "open_stream",
    "read_file",
    "read_stream",
    "read_up_to",
    "zstd_module",
]

#: What using a parsed header raises if a value has the wrong type or size: texts for numbers,
#: numbers beyond float64, lists too short, keys missing.
MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

#: Most axes of a NumPy array.
_MAX_AXES = 64

#: The highest ratio that each compressor can reach.
HIGHEST_RATIO = {"gzip": 1032, "zlib": 1032, "bzip2": 50_000_000, "zstd": 50_000_000}

#: Bytes that may follow the declared data (padding) before a file counts as malformed.
_TRAILING = 1 << 20


def count_bytes(shape: Sequence[int], dtype: np.dtype[Any]) -> int:
    """Return the number of bytes of an array, as an int that cannot overflow."""
    total = dtype.itemsize
    for n in shape:
        if n < 0:
            raise FormatError(f"shape must hold lengths of 0 or more, got {tuple(shape)}")
        total *= int(n)
    return total


def check_is_no_device(path: Path, opened: int | None = None) -> None:
    """Refuse a FIFO, a device or a socket: opening one, or reading it, may never end.

    Each function that takes a path calls it before the file is opened. What is not there is left
    to the opening.

    Parameters
    ----------
    path : Path
        The file, or a folder.
    opened : int, optional
        A descriptor of the file, if it is open.

    Raises
    ------
    FormatError
        If it is one.
    """
    try:
        mode = os.stat(path if opened is None else opened).st_mode  # noqa: PTH116
    except OSError:
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(
            f"{path} is a FIFO, a device or a socket, which is not read; copy what it holds into a "
            "file"
        )


def check_beside(path: Path) -> None:
    """Refuse FIFOs and devices beside a file whose names begin as its own, up to the first dot.

    Libraries look for such files, and open them as parts of it.

    Raises
    ------
    FormatError
        If there is one.
    """
    start = path.name.partition(".")[0]
    with os.scandir(path.parent) as entries:
        for entry in entries:
            if entry.name.startswith(start):
                check_is_no_device(path.with_name(entry.name))


def check_axis_count(*lists: Sequence[object]) -> None:
    """Refuse lists with an entry for each axis that are longer than an array can have axes.

    Matrices are made of them, which take the square of their length.

    Raises
    ------
    FormatError
        If one is.
    """
    count = max(map(len, lists))
    if count > _MAX_AXES:
        raise FormatError(f"it declares {count:,} axes, and an array has {_MAX_AXES} at most")


def check_chunk_count(path: object, shape: Sequence[int], chunks: Sequence[int]) -> None:
    """Check that a Dask array can have so many chunks, before their lengths are listed.

    Raises
    ------
    UnsafeInputError
        If there are more.
    """
    from spatial_duck.backends.dask._calls import MOST_BLOCKS

    count = math.prod([-(-n // max(c, 1)) for n, c in zip(shape, chunks, strict=True)])
    if count > MOST_BLOCKS:
        raise UnsafeInputError(
            f"{path}: shape {tuple(shape)} in chunks of {tuple(chunks)} makes {count:,} chunks, "
            f"more than a lazy image can have ({MOST_BLOCKS:,}); the header is wrong or the "
            "chunks are too small"
        )


def check_memory(path: object, needed: int) -> None:
    """Check that there is memory for some bytes.

    Raises
    ------
    UnsafeInputError
        If there is not enough.
    """
    there = available_memory()
    if there is not None and needed > there:
        raise UnsafeInputError(
            f"{path}: the header declares {needed:,} bytes of voxels and {there:,} bytes of memory "
            "are available; open it with lazy=True where the format can, or on a larger machine"
        )


def check_size(path: Path, needed: int, offset: int = 0, compression: str | None = None) -> None:
    """Check that a file can hold the voxels that its header declares.

    Parameters
    ----------
    path : Path
        The file that holds the voxels.
    needed : int
        Bytes of voxels, uncompressed.
    offset : int, optional
        Position of the first voxel.
    compression : {"gzip", "zlib", "bzip2", "zstd"}, optional
        How they are compressed; then the highest possible ratio is the limit.

    Raises
    ------
    FormatError
        If the file is too short.
    """
    there = path.stat().st_size - offset
    if compression is None:
        if offset < 0 or needed > there:
            raise FormatError(
                f"{path}: the header declares {needed:,} bytes of voxels from byte {offset:,}, and "
                f"the file holds {max(there, 0):,} there; it is truncated or its header is wrong"
            )
    elif needed > max(there, 0) * HIGHEST_RATIO[compression]:
        raise UnsafeInputError(
            f"{path}: the header declares {needed:,} bytes of voxels, more than {max(there, 0):,} "
            f"bytes of {compression} can hold; it is truncated or its header is wrong"
        )


def read_file(path: Path, most: int) -> bytes:
    """Return the bytes of a file of text, after its length is checked.

    A file that is mostly a hole has any length and takes no room on the disk.

    Parameters
    ----------
    path : Path
        The file.
    most : int
        The most bytes that it may have.

    Raises
    ------
    FormatError
        If it is longer, a FIFO or a device.
    """
    check_is_no_device(path)
    with path.open("rb") as file:
        if (size := os.fstat(file.fileno()).st_size) > most:
            raise FormatError(
                f"{path}: it has {size:,} bytes, and {most:,} at most are expected of it"
            )
        return file.read(most)


def confine_path(header: Path, name: str, *, anywhere: bool = False) -> Path:
    """Return the path of a data file that a header names, inside the header's own directory.

    Parameters
    ----------
    header : Path
        The header's path.
    name : str
        Name of the data file in the header.
    anywhere : bool, optional
        Allow files in other directories.

    Raises
    ------
    UnsafeInputError
        If the file is in another directory, with symbolic links resolved.
    FormatError
        If there is no such file.
    """
    folder = header.resolve().parent
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder)
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise FormatError(f"{header}: its data file {name!r} is not a valid path") from error
    if not inside and not anywhere:
        raise UnsafeInputError(
            f"{header}: its data file {name!r} lies outside the header's own directory; if you "
            "trust the header, allow it with data_anywhere=True"
        )
    if not there:
        raise FormatError(f"{header}: its data file {name!r} is not there")
    return path


def map_raw(path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], offset: int) -> NDArray[Any]:
    """Return the voxels of a raw file, memory-mapped; changes are not written to the file."""
    check_size(path, count_bytes(shape, dtype), offset)
    if 0 in shape:
        return np.zeros(shape, dtype)
    try:
        mapped = backends.FileMap(
            path, dtype=dtype, mode="c", offset=offset, shape=shape, order="C"
        )
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise
        words = (
            f"{os.strerror(error.errno)}: a file is mapped, which takes a descriptor and addresses "
            "until the image is closed. Close images that are read (`with read(...)`), read them "
            "with lazy=False, or raise the limits (ulimit -n, ulimit -v)"
        )
        raise OSError(error.errno, words, str(path)) from error
    return np.asarray(mapped)


class BoundedFile(io.BufferedReader):
    """A file that allocates no more than its length, whatever size is asked for."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._end = path.stat().st_size

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes; the buffer is no larger than the rest of the file."""
        if size is not None and size > 0:
            size = min(size, max(self._end - self.tell(), 0))
        return super().read(size)


class ZlibFile:
    """A readable stream of one zlib stream inside a file, as in MetaImage.

    Of a stream without header and checksum, as in DICOM, `wbits` is -15.
    """

    def __init__(self, file: BinaryIO, wbits: int = zlib.MAX_WBITS) -> None:
        self._file, self._inflate, self._ready = file, zlib.decompressobj(wbits), b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; empty at the end, whose checksum is then verified."""
        while not self._ready and not self._inflate.eof:
            compressed = self._inflate.unconsumed_tail or self._file.read(1 << 16)
            # With no input left, the decompressor may still hold output that the limit cut off.
            self._ready = self._inflate.decompress(compressed, 1 << 20)
            if not compressed and not self._ready and not self._inflate.eof:
                raise EOFError("the zlib stream ends early")
        out, self._ready = self._ready[:size], self._ready[size:]
        return out


def zstd_module() -> Any:
    """Return the module that reads Zstandard: Python's own from 3.14 on."""
    if sys.version_info >= (3, 14):
        return require("compression.zstd", "Reading .zst")
    return require("backports.zstd", "Reading .zst")


@contextmanager
def open_stream(path: Path, offset: int, compression: str | None) -> Iterator[Any]:
    """Open a file at an offset, and decompress from there on.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        Bytes to skip before the (compressed) data.
    compression : {"gzip", "zlib", "bzip2", "zstd"} or None
        How the data are compressed.
    """
    with path.open("rb") as file:
        file.seek(offset)
        if compression == "gzip":
            yield GzipMembers(file, path)
        elif compression == "bzip2":
            yield bz2.BZ2File(file, "rb")
        elif compression == "zstd":
            yield zstd_module().ZstdFile(file, "rb")
        else:
            yield ZlibFile(file) if compression == "zlib" else file


def read_up_to(stream: Any, size: int) -> bytes:
    """Return that many bytes of a stream, or all that there are."""
    out = b""
    while len(out) < size and (piece := stream.read(size - len(out))):
        out += piece
    return out


def read_stream(
    stream: Any, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], skip: int = 0
) -> NDArray[Any]:
    """Read the voxels of a stream into a new array, and the rest to verify its checksum.

    Parameters
    ----------
    stream
        An object with ``read(size)``.
    path : Path
        Named in messages.
    dtype, shape
        Declared type and shape, the slowest axis first.
    skip : int, optional
        Bytes before the first voxel.

    Raises
    ------
    FormatError
        If it ends early, its checksum is wrong, or far more follows than was declared.
    UnsafeInputError
        If there is no memory for it.
    """
    needed = count_bytes(shape, dtype)
    check_memory(path, needed)
    out = np.empty(shape, dtype)
    flat = memoryview(out.reshape(-1).view(np.uint8)) if needed else memoryview(b"")
    done = 0
    try:
        while skip > 0:
            piece = stream.read(min(skip, 1 << 20))
            if not piece:
                raise EOFError("it ends before its voxels begin; it is truncated")
            skip -= len(piece)
        while done < needed:
            piece = stream.read(min(needed - done, 1 << 22))
            if not piece:
                raise EOFError(f"it ends after {done:,} of {needed:,} bytes of voxels")
            flat[done : done + len(piece)] = piece
            done += len(piece)
        rest = 0
        while (piece := stream.read(1 << 16)) and rest <= _TRAILING:
            rest += len(piece)
    except (EOFError, OSError, zlib.error) as error:
        raise FormatError(f"{path}: its compressed voxels cannot be read: {error}") from error
    if rest > _TRAILING:
        raise FormatError(
            f"{path}: more than {_TRAILING:,} bytes follow the {needed:,} bytes of voxels that the "
            "header declares; its header is wrong"
        )
    return out
