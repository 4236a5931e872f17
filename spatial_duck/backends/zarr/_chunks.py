"""Chunks of Zarr arrays in local folders, read and written at the speed of their codecs.

Zarr's pipeline takes up to three times as long as its codecs do for chunks of a megabyte
(``python -m benchmarks.benchmark_zarr``), and allocates as much memory as compressed bytes declare.
Arrays as images have them (numbers, in local folders, with the codecs of
`spatial_duck.backends.zarr._codecs`, sharded or not) are read and written here, chunk by chunk;
`read` and `write` leave all others to zarr.
"""

from __future__ import annotations

import itertools
import math
import os
import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.backends.zarr._codecs import BYTES_CODECS, Codecs, find_codecs
from spatial_duck.backends.zarr._errors import CODEC_ERRORS, check_not_replaced, chunk_error
from spatial_duck.backends.zarr._identity import folder_of
from spatial_duck.backends.zarr._write_lock import covers_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Number = tuple[int, ...]
    Selection = Sequence[int | slice]

__all__ = ["read", "read_indexed", "write"]

#: Least bytes that several threads read.
_THREADED_BYTES = 1 << 20
#: Most bytes of a chunk; zarr raises the error for longer ones.
_MAX_CHUNK_BYTES = 1 << 40
#: Entry in the index of a shard for a missing chunk.
_ABSENT = (1 << 64) - 1


class _ChunkFiles(NamedTuple):
    """The files of an array's chunks."""

    array: Any
    folder: Path
    codecs: Codecs
    #: Chunks of a shard along each axis; None where each chunk is a file.
    shards: tuple[int, ...] | None

    def path(self, number: Number) -> Path:
        """Return the file of a chunk, or of a shard."""
        return self.folder / str(self.array.metadata.encode_chunk_key(number))

    def load(self, number: Number) -> NDArray[Any] | None:
        """Return the values of a whole chunk, past the array's end too; None if it is missing."""
        if self.shards is None:
            try:
                with _open_file(self.path(number)) as file:
                    data = self.read(file, os.fstat(file.fileno()).st_size)
            except FileNotFoundError:
                return None
            return self.codecs.decode(data)
        shard = tuple([i // n for i, n in zip(number, self.shards, strict=True)])
        inner = [i % n for i, n in zip(number, self.shards, strict=True)]
        entry = int(np.ravel_multi_index(inner, self.shards))
        try:
            with _open_file(self.path(shard)) as file:
                start, size = self.read_index(file)[entry].tolist()
                if start == size == _ABSENT:
                    return None
                if start + size > os.fstat(file.fileno()).st_size:
                    raise ValueError("its shard's index points behind the end of the file")
                file.seek(start)
                data = self.read(file, size)
        except FileNotFoundError:
            return None
        return self.codecs.decode(data)

    def read(self, file: Any, size: int) -> bytes:
        """Return that many bytes of a file, if a chunk can have them."""
        if size > self.codecs.most_bytes:
            raise ValueError(
                f"it has {size:,} bytes, where a chunk has {self.codecs.nbytes:,} uncompressed"
            )
        data: bytes = file.read(size)
        return data

    def read_index(self, file: Any) -> NDArray[np.uint64]:
        """Return the start and the length of each chunk of a shard."""
        count = math.prod(self.shards or ())
        if os.fstat(file.fileno()).st_size < 16 * count + 4:
            raise ValueError("its shard ends before its index")
        file.seek(-16 * count - 4, os.SEEK_END)
        index = _CRC32C.decode(file.read(), 16 * count)
        return np.frombuffer(index, "<u8").reshape(-1, 2)

    def write(self, number: Number, values: NDArray[Any]) -> None:
        """Write a chunk, or a shard, of which the part within the array is given."""
        shape = list(self.array.shards or self.array.chunks)
        if list(values.shape) != shape:
            fill = self.array.fill_value
            whole = np.full(shape, 0 if fill is None else fill, values.dtype)
            whole[tuple(map(slice, values.shape))] = values
            values = whole
        if self.shards is None:
            data = self.codecs.encode(values)
        else:
            chunks, index, start = [], [], 0
            for inner in itertools.product(*map(range, self.shards)):
                box = [slice(i * c, (i + 1) * c)
                       for i, c in zip(inner, self.codecs.shape, strict=True)]  # fmt: skip
                chunk = self.codecs.encode(values[tuple(box)])
                chunks.append(chunk)
                index.append((start, len(chunk)))
                start += len(chunk)
            data = b"".join([*chunks, _CRC32C.encode(np.array(index, "<u8"))])
        path = self.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise


def _open_file(path: Path) -> Any:
    """Open a chunk's file for reading.

    Raises
    ------
    ValueError
        If it is a FIFO, a device or a folder: opening a FIFO would wait for ever, and reading a
        device may never end.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    file = os.open(path, flags)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise ValueError("it is a folder, a FIFO or a device, and no file")
    return os.fdopen(file, "rb")


#: Codec of the index of a shard; None without google_crc32c.
_CRC32C: Any = BYTES_CODECS["crc32c"](None)
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def _find_files(array: Any) -> _ChunkFiles | None:
    """Return the files of an array's chunks, or None where zarr has to read and write them."""
    dtype, folder = np.dtype(array.dtype), folder_of(array)
    if folder is None or dtype.kind not in "biufc" or not array.ndim:
        return None
    metadata, shards = array.metadata, None
    if metadata.zarr_format == 2:
        codecs = _codecs_of_format_2(metadata, dtype)
    else:
        listed = [codec.to_dict() for codec in metadata.codecs]
        shape = tuple(metadata.chunk_grid.to_dict()["configuration"].get("chunk_shape", ()))
        if len(shape) != array.ndim:
            return None  # chunks of different sizes
        if len(listed) == 1 and listed[0]["name"] == "sharding_indexed":
            config = listed[0]["configuration"]
            if _CRC32C is None or config.get("index_location", "end") != "end":
                return None
            if [dict(c) for c in config["index_codecs"]] != _INDEX_CODECS:
                return None
            inner = tuple(config["chunk_shape"])
            shards = tuple([n // c for n, c in zip(shape, inner, strict=True)])
            listed, shape = config["codecs"], inner
        codecs = find_codecs(listed, shape, dtype)
    if codecs is None or not 0 < codecs.nbytes <= _MAX_CHUNK_BYTES:
        return None
    return _ChunkFiles(array, folder, codecs, shards)


def _codecs_of_format_2(metadata: Any, dtype: np.dtype[Any]) -> Codecs | None:
    """Return the codecs of an array of Zarr format 2, or None where one is not supported."""
    bytes_codecs: tuple[Any, ...] = ()
    if (compressor := metadata.compressor) is not None:
        bytes_codecs = (BYTES_CODECS.get(compressor.codec_id, lambda _: None)(compressor),)
    if metadata.filters or None in bytes_codecs:
        return None
    axes = range(len(metadata.chunks))
    order = tuple(axes if metadata.order == "C" else reversed(axes))
    return Codecs(tuple(metadata.chunks), dtype, order, bytes_codecs)


# --- Reading ------------------------------------------------------------------------------


class _ChunkPart(NamedTuple):
    """The part of a chunk that belongs to a selection, along one axis.

    Attributes
    ----------
    number : int
        Number of the chunk.
    inside : int or slice
        The part in the chunk.
    outside : slice or None
        The part in the result; None where the selection is an integer.
    """

    number: int
    inside: int | slice
    outside: slice | None


def _chunk_parts(selection: int | slice, chunk: int) -> list[_ChunkPart]:
    """Return the chunks along an axis that a selection meets.

    Examples
    --------
    >>> [tuple(part) for part in _chunk_parts(slice(1, 9, 3), 4)]
    [(0, slice(1, 4, 3), slice(0, 1, None)), (1, slice(0, 4, 3), slice(1, 3, None))]
    """
    if not isinstance(selection, slice):
        return [_ChunkPart(selection // chunk, selection % chunk, None)]
    parts, done = [], 0
    start, step = selection.start, selection.step or 1
    while start < selection.stop:
        number = start // chunk
        first, end = number * chunk, min(selection.stop, (number + 1) * chunk)
        count = len(range(start, end, step))
        inside = slice(start - first, end - first, step)
        parts.append(_ChunkPart(number, inside, slice(done, done + count)))
        done, start = done + count, start + count * step
    return parts


def read(array: Any, selection: Selection) -> NDArray[Any]:
    """Return ``array[selection]``.

    Parameters
    ----------
    array : zarr.Array
        Array to read.
    selection : sequence of int or slice
        For each axis, within the array; slices have a start, a stop and a positive step.

    Raises
    ------
    FormatError
        If a chunk is damaged, or decodes to more bytes than a chunk has; the message names it.
    """
    files = _find_files(array)
    values = np.asarray(array[tuple(selection)]) if files is None else _read_files(files, selection)
    check_not_replaced(array)
    return values


def read_indexed(array: Any, selection: Sequence[Any]) -> NDArray[Any]:
    """Return ``array.oindex[selection]``, for a selection with arrays of integers."""
    values = np.asarray(array.oindex[tuple(selection)])
    check_not_replaced(array)
    return values


def _read_files(files: _ChunkFiles, selection: Selection) -> NDArray[Any]:
    parts = [_chunk_parts(a, c) for a, c in zip(selection, files.codecs.shape, strict=True)]
    chunks = list(itertools.product(*parts))
    if len(chunks) == 1:
        values = _read_part(files, selection, chunks[0])
        # No small view that keeps a large chunk in memory, and none that is read-only.
        is_whole = values.size == math.prod(files.codecs.shape)
        return values if is_whole and values.flags.writeable else values.copy()
    out = np.empty(
        [p[-1].outside.stop for p in parts if p[-1].outside is not None], files.array.dtype
    )
    task = partial(_read_into, files, selection, out)
    threads = min(len(chunks), os.cpu_count() or 1)
    if threads == 1 or out.nbytes < _THREADED_BYTES:
        for chunk in chunks:
            task(chunk)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(task, chunks):
                pass
    return out


def _read_into(
    files: _ChunkFiles, selection: Selection, out: NDArray[Any], chunk: tuple[_ChunkPart, ...]
) -> None:
    outside = tuple([p.outside for p in chunk if p.outside is not None])
    out[outside] = _read_part(files, selection, chunk)


def _read_part(
    files: _ChunkFiles, selection: Selection, chunk: tuple[_ChunkPart, ...]
) -> NDArray[Any]:
    """Return the part of one chunk that belongs to a selection."""
    number = tuple([p.number for p in chunk])
    try:
        values = files.load(number)
    except CODEC_ERRORS as error:
        stored = number
        if files.shards is not None:
            stored = tuple([i // n for i, n in zip(number, files.shards, strict=True)])
        raise chunk_error(files.array, stored, error) from error
    if values is None:  # zarr decides between the fill value and an error
        part = [s if p.outside is None else _subselection(s, p.outside)
                for s, p in zip(selection, chunk, strict=True)]  # fmt: skip
        return np.asarray(files.array[tuple(part)])
    return np.asarray(values[tuple([p.inside for p in chunk])], files.array.dtype)


def _subselection(selection: Any, outside: slice) -> slice:
    start, step = selection.start, selection.step or 1
    return slice(start + outside.start * step, start + (outside.stop - 1) * step + 1, step)


# --- Writing ------------------------------------------------------------------------------


def write(array: Any, box: Sequence[slice], values: NDArray[Any]) -> None:
    """Do ``array[box] = values``.

    Parameters
    ----------
    array : zarr.Array
        Array that is open for writing.
    box : sequence of slice
        With a start and a stop, in steps of 1.
    values : ndarray
        Values of the box's shape and the array's type.
    """
    files = None if array.read_only else _find_files(array)
    chunks = array.shards or array.chunks
    if files is None or not covers_chunks(box, array.shape, chunks):
        array[tuple(box)] = values
        return
    numbers = [range(s.start // c, -(-s.stop // c)) for s, c in zip(box, chunks, strict=True)]
    # Versions of zarr without the setting leave empty chunks out.
    keep_empty = getattr(getattr(array, "config", None), "write_empty_chunks", False)
    for number in itertools.product(*numbers):
        target = [slice(max(i * c, s.start), min((i + 1) * c, s.stop))
                  for i, c, s in zip(number, chunks, box, strict=True)]  # fmt: skip
        part = values[tuple([slice(t.start - s.start, t.stop - s.start)
                             for t, s in zip(target, box, strict=True)])]  # fmt: skip
        if keep_empty or not _is_fill(part, array.fill_value):
            files.write(number, part)
        else:  # zarr leaves such chunks out, or removes them
            array[tuple(target)] = part


def _is_fill(values: NDArray[Any], fill: Any) -> bool:
    """Whether all values are the fill value."""

    def is_equal(part: Any) -> Any:
        return (part == fill) | ((part != part) & (fill != fill))

    # The first voxel decides for most chunks.
    return bool(is_equal(values[(0,) * values.ndim]) and np.all(is_equal(values)))
