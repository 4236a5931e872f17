"""Error messages for chunks that cannot be decoded: which one, of which array, what to do."""

from __future__ import annotations

import gzip
import itertools
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends._maps import closed_error
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "CODEC_ERRORS",
    "check_not_closed",
    "check_not_replaced",
    "chunk_error",
    "decode_error",
    "store_name",
]

#: What codecs and archives raise for bytes that are not valid: a wrong checksum, an early end.
CODEC_ERRORS = (
    ValueError, RuntimeError, EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile
)  # fmt: skip


def decode_error(array: Any, selection: Sequence[Any], error: Exception) -> FormatError:
    """Return the error for a read that failed in a codec, with the name of the first bad chunk.

    Parameters
    ----------
    array : zarr.Array
        Array that was read.
    selection : sequence of int, slice or ndarray of int
        The selection, one entry for each axis.
    error : Exception
        Error of the codec.
    """
    check_not_replaced(array, now=True)
    return chunk_error(array, next(_bad_chunks(array, selection), None), error)


def chunk_error(array: Any, number: tuple[int, ...] | None, error: Exception) -> FormatError:
    """Return the error for a chunk or a shard that cannot be decoded; its number may be unknown."""
    check_not_replaced(array, now=True)
    which = "a chunk" if number is None else f"chunk {array.metadata.encode_chunk_key(number)!r}"
    return FormatError(
        f"{array.store_path}: {which} cannot be decoded, its bytes are not those that were "
        f"written ({type(error).__name__}: {error}); restore that file from a copy, or write the "
        "image again; parts of it that do not need this chunk can still be read"
    )


def check_not_closed(array: Any) -> None:
    """Refuse to read from a store that was closed."""
    if getattr(array.store, "closed", False):
        raise closed_error(store_name(array.store))


def store_name(store: Any) -> str:
    """Return the directory of a store, or its own name."""
    return str(getattr(store, "root", None) or store)


def check_not_replaced(array: Any, **options: Any) -> None:
    """Refuse values of an image that was replaced since it was opened."""
    check = getattr(array.store, "check", None)
    if check is not None:
        check(**options)


def _bad_chunks(array: Any, selection: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of chunks in a selection that cannot be read one by one."""
    stored = getattr(array, "shards", None) or array.chunks
    numbers = [
        _chunk_numbers(a, n, c) for a, n, c in zip(selection, array.shape, stored, strict=True)
    ]
    for number in itertools.product(*numbers):
        try:
            array[tuple([slice(i * c, (i + 1) * c) for i, c in zip(number, stored, strict=True)])]
        except (*CODEC_ERRORS, OverflowError):  # OverflowError: a size that no array can have
            yield number


def _chunk_numbers(selection: Any, length: int, chunk: int) -> Sequence[int]:
    """Return the numbers of the chunks along an axis that a selection meets."""
    if not isinstance(selection, slice):
        found: list[int] = np.unique(np.atleast_1d(selection) // chunk).tolist()
        return found
    # By arithmetic alone: a length that a decode_error file declares may be more than memory holds.
    indices = range(*selection.indices(length))
    if not indices:
        return ()
    if abs(indices.step) > chunk:
        return sorted({i // chunk for i in indices})
    ends = sorted((indices[0], indices[-1]))
    return range(ends[0] // chunk, ends[1] // chunk + 1)
