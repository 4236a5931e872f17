"""Chunks of Zarr arrays in local folders, read and written at the speed of their codecs.

Zarr's pipeline takes up to three times as long as its codecs do for chunks of a megabyte
(``python -m benchmarks.benchmark_zarr``), and allocates whatever compressed bytes say that they
become. What is common to images (numbers, in local folders, with the codecs of
`spatial_duck.backends.zarr._codecs`, in shards or not) is read and written here, chunk by chunk;
`read` and `write` hand everything else to zarr.
"""

from __future__ import annotations

import itertools
import math
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.backends.zarr._codecs import STAGES, Chain, chain_of
from spatial_duck.backends.zarr._errors import CODEC_ERRORS, broken_chunk, check_opened
from spatial_duck.backends.zarr._identity import folder_of
from spatial_duck.backends.zarr._write_lock import covers_chunks

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Number = tuple[int, ...]
    Ask = Sequence[int | slice]

__all__ = ["read", "read_indexed", "write"]

#: Bytes of chunks from which on several threads read.
_SHARED = 1 << 20
#: Bytes of a chunk that can be one; zarr says what is wrong with others.
_LARGEST = 1 << 40
#: An inner chunk of a shard that is not there.
_ABSENT = (1 << 64) - 1


class _Files(NamedTuple):
    """Where the chunks of an array lie, and how."""

    array: Any
    folder: Path
    chain: Chain
    #: Chunks of a shard along each axis; None where each chunk is a file.
    shards: tuple[int, ...] | None

    def path(self, number: Number) -> Path:
        """Return the file of a chunk, or of a shard."""
        return self.folder / str(self.array.metadata.encode_chunk_key(number))

    def load(self, number: Number) -> NDArray[Any] | None:
        """Return the values of a chunk, beyond the array's end too; None if it is not there."""
        if self.shards is None:
            try:
                data = self.path(number).read_bytes()
            except FileNotFoundError:
                return None
            return self.chain.decode(data)
        outer = tuple([i // n for i, n in zip(number, self.shards, strict=True)])
        inner = [i % n for i, n in zip(number, self.shards, strict=True)]
        try:
            with self.path(outer).open("rb") as file:
                at, size = self.entries(file)[
                    int(np.ravel_multi_index(inner, self.shards))
                ].tolist()
                if at == size == _ABSENT:
                    return None
                if at + size > os.fstat(file.fileno()).st_size:
                    raise ValueError("its shard's index points behind the end of the file")
                file.seek(at)
                data = file.read(size)
        except FileNotFoundError:
            return None
        return self.chain.decode(data)

    def entries(self, file: Any) -> NDArray[np.uint64]:
        """Return where each chunk of a shard begins, and its length."""
        count = math.prod(self.shards or ())
        if os.fstat(file.fileno()).st_size < 16 * count + 4:
            raise ValueError("its shard ends before its index")
        file.seek(-16 * count - 4, os.SEEK_END)
        plain = _CHECKED.decode(file.read(), 16 * count)
        return np.frombuffer(plain, "<u8").reshape(-1, 2)

    def store(self, number: Number, values: NDArray[Any]) -> None:
        """Write a chunk, or a shard, whose part within the array is given."""
        unit = [c * n for c, n in zip(self.chain.shape, self.shards or self._ones, strict=True)]
        if list(values.shape) != unit:
            fill = self.array.fill_value
            whole = np.full(unit, 0 if fill is None else fill, values.dtype)
            whole[tuple(map(slice, values.shape))] = values
            values = whole
        if self.shards is None:
            data = self.chain.encode(values)
        else:
            pieces, index, at = [], [], 0
            for place in itertools.product(*map(range, self.shards)):
                box = [slice(i * c, (i + 1) * c)
                       for i, c in zip(place, self.chain.shape, strict=True)]  # fmt: skip
                piece = self.chain.encode(values[tuple(box)])
                pieces.append(piece)
                index.append((at, len(piece)))
                at += len(piece)
            data = b"".join([*pieces, _CHECKED.encode(np.array(index, "<u8"))])
        path = self.path(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}.partial")
        try:
            fresh.write_bytes(data)
            fresh.replace(path)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    @property
    def _ones(self) -> tuple[int, ...]:
        return (1,) * len(self.chain.shape)


#: What guards the index of a shard.
_CHECKED: Any = STAGES["crc32c"](None)
_INDEX = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


def _files(array: Any) -> _Files | None:
    """Return where the chunks of an array lie, or None where zarr has to deal with them."""
    dtype, folder = np.dtype(array.dtype), folder_of(array)
    if folder is None or dtype.kind not in "biufc" or not array.ndim:
        return None
    metadata, shards = array.metadata, None
    if metadata.zarr_format == 2:
        chain = _chain_2(metadata, dtype)
    else:
        codecs = [codec.to_dict() for codec in metadata.codecs]
        shape = tuple(metadata.chunk_grid.to_dict()["configuration"].get("chunk_shape", ()))
        if len(shape) != array.ndim:
            return None  # chunks of different sizes
        if len(codecs) == 1 and codecs[0]["name"] == "sharding_indexed":
            given = codecs[0]["configuration"]
            if _CHECKED is None or given.get("index_location", "end") != "end":
                return None
            if [dict(c) for c in given["index_codecs"]] != _INDEX:
                return None
            inner = tuple(given["chunk_shape"])
            shards = tuple([n // c for n, c in zip(shape, inner, strict=True)])
            codecs, shape = given["codecs"], inner
        chain = chain_of(codecs, shape, dtype)
    if chain is None or not 0 < chain.nbytes <= _LARGEST:
        return None
    return _Files(array, folder, chain, shards)


def _chain_2(metadata: Any, dtype: np.dtype[Any]) -> Chain | None:
    """Return the codecs of an array of format 2, if all of them are known."""
    stages: tuple[Any, ...] = ()
    if metadata.compressor is not None:
        stage = STAGES.get(metadata.compressor.codec_id, lambda _: None)(metadata.compressor)
        stages = (stage,)
    if metadata.filters or None in stages:
        return None
    axes = range(len(metadata.chunks))
    order = tuple(axes if metadata.order == "C" else reversed(axes))
    return Chain(tuple(metadata.chunks), dtype, order, stages)


# --- reading ------------------------------------------------------------------------------


class _Part(NamedTuple):
    """The part of a chunk that belongs to a selection, along one axis."""

    number: int
    inside: int | slice
    outside: slice | None


def _parts(ask: int | slice, chunk: int) -> list[_Part]:
    """Return the chunks along an axis that a selection meets.

    Examples
    --------
    >>> [tuple(part) for part in _parts(slice(1, 9, 3), 4)]
    [(0, slice(1, 4, 3), slice(0, 1, None)), (1, slice(0, 4, 3), slice(1, 3, None))]
    """
    if not isinstance(ask, slice):
        return [_Part(ask // chunk, ask % chunk, None)]
    found, at = [], 0
    start, step = ask.start, ask.step or 1
    while start < ask.stop:
        number = start // chunk
        first, end = number * chunk, min(ask.stop, (number + 1) * chunk)
        count = len(range(start, end, step))
        inside = slice(start - first, end - first, step)
        found.append(_Part(number, inside, slice(at, at + count)))
        at, start = at + count, start + count * step
    return found


def read(array: Any, ask: Ask) -> NDArray[Any]:
    """Return ``array[ask]``.

    Parameters
    ----------
    array : zarr.Array
    ask : sequence of int or slice
        For each axis, within the array; slices have a start, a stop and a rising step.

    Raises
    ------
    FormatError
        If a chunk is damaged, or would become longer than a chunk is; it is named.
    """
    files = _files(array)
    values = np.asarray(array[tuple(ask)]) if files is None else _read_files(files, ask)
    check_opened(array)
    return values


def read_indexed(array: Any, ask: Sequence[Any]) -> NDArray[Any]:
    """Return ``array.oindex[ask]``, where arrays of integers are in a selection."""
    values = np.asarray(array.oindex[tuple(ask)])
    check_opened(array)
    return values


def _read_files(files: _Files, ask: Ask) -> NDArray[Any]:
    parts = [_parts(a, c) for a, c in zip(ask, files.chain.shape, strict=True)]
    chosen = list(itertools.product(*parts))
    if len(chosen) == 1:
        found = _piece(files, ask, chosen[0])
        # Neither a small view of a large chunk, nor of bytes that cannot be written to.
        whole = found.flags.writeable and found.size == math.prod(files.chain.shape)
        return found if whole else found.copy()
    out = np.empty(
        [p[-1].outside.stop for p in parts if p[-1].outside is not None], files.array.dtype
    )
    task = partial(_fill, files, ask, out)
    threads = min(len(chosen), os.cpu_count() or 1)
    if threads == 1 or out.nbytes < _SHARED:
        for each in chosen:
            task(each)
    else:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(task, chosen):
                pass
    return out


def _fill(files: _Files, ask: Ask, out: NDArray[Any], chosen: tuple[_Part, ...]) -> None:
    out[tuple([p.outside for p in chosen if p.outside is not None])] = _piece(files, ask, chosen)


def _piece(files: _Files, ask: Ask, chosen: tuple[_Part, ...]) -> NDArray[Any]:
    """Return what belongs to a selection of one chunk."""
    number = tuple([p.number for p in chosen])
    try:
        values = files.load(number)
    except CODEC_ERRORS as error:
        key = number
        if files.shards is not None:
            key = tuple([i // n for i, n in zip(number, files.shards, strict=True)])
        raise broken_chunk(files.array, key, error) from error
    if values is None:  # zarr knows what that means
        there = [a if p.outside is None else _cut(a, p.outside)
                 for a, p in zip(ask, chosen, strict=True)]  # fmt: skip
        return np.asarray(files.array[tuple(there)])
    return np.asarray(values[tuple([p.inside for p in chosen])], files.array.dtype)


def _cut(ask: Any, outside: slice) -> slice:
    step = ask.step or 1
    return slice(ask.start + outside.start * step, ask.start + (outside.stop - 1) * step + 1, step)


# --- writing ------------------------------------------------------------------------------


def write(array: Any, box: Sequence[slice], values: NDArray[Any]) -> None:
    """Do ``array[box] = values``.

    Parameters
    ----------
    array : zarr.Array
        Open for writing.
    box : sequence of slice
        With a start and a stop, in steps of 1.
    values : ndarray
        Values of the box's shape and the array's type.
    """
    files = None if array.read_only else _files(array)
    if files is None or not covers_chunks(box, array.shape, array.shards or array.chunks):
        array[tuple(box)] = values
        return
    unit = array.shards or array.chunks
    numbers = [range(s.start // c, -(-s.stop // c)) for s, c in zip(box, unit, strict=True)]
    # Older versions of zarr do not tell.
    keep = getattr(getattr(array, "config", None), "write_empty_chunks", False)
    for number in itertools.product(*numbers):
        there = [slice(max(i * c, s.start), min((i + 1) * c, s.stop))
                 for i, c, s in zip(number, unit, box, strict=True)]  # fmt: skip
        piece = values[tuple([slice(t.start - s.start, t.stop - s.start)
                              for t, s in zip(there, box, strict=True)])]  # fmt: skip
        if keep or not _is_fill(piece, array.fill_value):
            files.store(number, piece)
        else:  # zarr leaves such chunks out, or removes them
            array[tuple(there)] = piece


def _is_fill(values: NDArray[Any], fill: Any) -> bool:
    def same(part: Any) -> Any:
        return (part == fill) | ((part != part) & (fill != fill))

    # One voxel tells of most chunks that they are not.
    return bool(same(values[(0,) * values.ndim]) and np.all(same(values)))
