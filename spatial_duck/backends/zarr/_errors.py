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

__all__ = ["CODEC_ERRORS", "broken", "broken_chunk", "check_opened", "refuse_closed"]

#: What codecs and archives raise for bytes that are not valid: a wrong checksum, an early end.
CODEC_ERRORS = (
    ValueError, RuntimeError, EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile
)  # fmt: skip


def broken(array: Any, ask: Sequence[Any], error: Exception) -> FormatError:
    """Return the error for a read that a codec refused, with the name of the first bad chunk.

    Parameters
    ----------
    array : zarr.Array
        What was read.
    ask : sequence of int, slice or ndarray of int
        The selection, one entry for each axis.
    error : Exception
        What the codec said.
    """
    check_opened(array, now=True)
    return broken_chunk(array, next(_bad_chunks(array, ask), None), error)


def broken_chunk(array: Any, number: tuple[int, ...] | None, error: Exception) -> FormatError:
    """Return the error for a chunk or a shard that a codec refused, given its number if known."""
    check_opened(array, now=True)
    which = "a chunk" if number is None else f"chunk {array.metadata.encode_chunk_key(number)!r}"
    return FormatError(
        f"{array.store_path}: {which} cannot be decoded, its bytes are not those that were "
        f"written ({type(error).__name__}: {error}); bring that file back from a copy, or write "
        "the image again; parts of it that do not need this chunk can still be read"
    )


def refuse_closed(array: Any) -> None:
    """Refuse to read what was closed."""
    if getattr(array.store, "closed", False):
        raise closed_error(array.store)


def check_opened(array: Any, **how: Any) -> None:
    """Refuse what was read of an image that was replaced since it was opened."""
    check = getattr(array.store, "check", None)
    if check is not None:
        check(**how)


def _bad_chunks(array: Any, ask: Sequence[Any]) -> Iterator[tuple[int, ...]]:
    """Yield the numbers of chunks in a selection that cannot be read one by one."""
    stored = getattr(array, "shards", None) or array.chunks
    numbers = [_numbers(a, n, c) for a, n, c in zip(ask, array.shape, stored, strict=True)]
    for number in itertools.product(*numbers):
        try:
            array[tuple([slice(i * c, (i + 1) * c) for i, c in zip(number, stored, strict=True)])]
        except (*CODEC_ERRORS, OverflowError):  # the latter for sizes that no array can have
            yield number


def _numbers(ask: Any, length: int, chunk: int) -> Sequence[int]:
    """Return the numbers of the chunks along an axis that a selection meets."""
    if not isinstance(ask, slice):
        found: list[int] = np.unique(np.atleast_1d(ask) // chunk).tolist()
        return found
    # By arithmetic alone: a length that a broken file declares may be more than memory holds.
    indices = range(*ask.indices(length))
    if not indices:
        return ()
    if abs(indices.step) > chunk:
        return sorted({i // chunk for i in indices})
    ends = sorted((indices[0], indices[-1]))
    return range(ends[0] // chunk, ends[1] // chunk + 1)
