"""Boxes of an array on disk, put together of its chunks; those that are needed again are kept.

A chunk is needed by all output chunks around it. As tasks of a graph, decoded chunks stay in memory
until the last of these is done, which with a rotation is nearly the whole volume. A `ChunkReader`
keeps a fixed number of bytes instead (``config(max_kept_bytes=...)``): what nothing needs any more
goes first, then what was used longest ago, which is read again when its turn comes. A reader lives
as long as one computation: the next one reads what is on disk then.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, OrderedDict
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._config import current
from spatial_duck.resampling import _device as device
from spatial_duck.resampling._engines import on_host

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box

__all__ = ["ChunkReader", "Cuts", "assemble", "cache_limit", "chunks_meeting"]

Cuts = tuple[tuple[int, int], ...]


def chunks_meeting(edges: NDArray[np.intp], start: int, stop: int) -> tuple[range, Cuts]:
    """Return the chunks that meet a range, and the part (from, to) of each that lies in it.

    Examples
    --------
    >>> chunks_meeting(np.array([0, 4, 8, 12]), 3, 6)
    (range(0, 2), ((3, 4), (0, 2)))
    """
    first = int(edges.searchsorted(start, "right")) - 1
    last = int(edges.searchsorted(stop, "left"))
    return range(first, last), tuple(
        [
            (max(start - int(edges[i]), 0), min(stop, int(edges[i + 1])) - int(edges[i]))
            for i in range(first, last)
        ]
    )


def assemble(pieces: Sequence[Any], box: Box, cuts: Sequence[Cuts]) -> Any:
    """Assemble a box from chunks: a view where it lies in one.

    Parameters
    ----------
    pieces : sequence of array
        The chunks, in C order.
    box : Box
        What they make.
    cuts : sequence of Cuts
        For each axis the part of each chunk that lies in the box.
    """
    numbers = itertools.product(*[range(len(c)) for c in cuts])
    parts = [
        piece[tuple([slice(*c[i]) for c, i in zip(cuts, number, strict=True)])]
        for piece, number in zip(pieces, numbers, strict=True)
    ]
    if len(parts) == 1:
        return parts[0]
    if not on_host(parts[0]):
        return device.concatenate_blocks(parts, [len(c) for c in cuts])
    out = np.empty([stop - start for start, stop in box], pieces[0].dtype)
    starts = [[0, *itertools.accumulate([b - a for a, b in c])] for c in cuts]
    places = itertools.product(*[itertools.pairwise(s) for s in starts])
    for part, place in zip(parts, places, strict=True):
        out[tuple([slice(*bounds) for bounds in place])] = part
    return out


#: What a worker of Dask may keep of the memory that it is allowed to take, for all its tasks.
_SHARE = 0.25


def cache_limit(kept: float) -> float:
    """Return how many bytes of chunks to keep here: less on a worker of Dask with little memory."""
    distributed = sys.modules.get("distributed")
    if distributed is None:
        return kept
    try:
        limit = distributed.get_worker().memory_manager.memory_limit
    except ValueError:  # not on a worker
        return kept
    return min(kept, _SHARE * limit) if limit else kept


class ChunkReader:
    """Reads boxes of an array on disk.

    Parameters
    ----------
    data : array
        What `numpy.asarray` reads slices of.
    edges : sequence of ndarray of int
        Where the chunks begin along each axis, and where the last one ends.
    kept : float, optional
        Bytes of decoded chunks to keep; what the settings say by default.
    uses : callable, optional
        Returns how often each chunk is needed in all, an array of one entry for each. It is asked
        when there is more than may be kept; too high a number costs memory, too low a one reading.
    dtype : numpy.dtype, optional
        What chunks are converted to once they are read; by default they are not.
    """

    def __init__(
        self,
        data: Any,
        edges: Sequence[NDArray[np.intp]],
        kept: float | None = None,
        uses: Callable[[], NDArray[np.intp]] | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        self._data, self._edges, self._uses = data, tuple(edges), uses
        self._dtype = dtype
        self._kept = current().max_kept_bytes if kept is None else kept
        self._chunks: OrderedDict[tuple[int, ...], Future[NDArray[Any]]] = OrderedDict()
        self._size = 0
        self._lock = Lock()
        #: How often each chunk was used, until it is known how often it will be.
        self._used: Counter[tuple[int, ...]] = Counter()
        self._left: NDArray[np.intp] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkReader, (self._data, self._edges, self._kept, self._uses, self._dtype)

    def box(self, box: Box) -> NDArray[Any]:
        """Return the voxels of a box."""
        met = [chunks_meeting(e, *bounds) for e, bounds in zip(self._edges, box, strict=True)]
        pieces = [self._chunk(number) for number in itertools.product(*[m[0] for m in met])]
        found: NDArray[Any] = assemble(pieces, box, [m[1] for m in met])
        return found

    def _chunk(self, number: tuple[int, ...]) -> NDArray[Any]:
        """Return one chunk, read once even where several threads ask for it."""
        with self._lock:
            self._note_use(number)
            known = self._chunks.get(number)
            if known is None:
                mine: Future[NDArray[Any]] = Future()
                self._chunks[number] = mine
            elif self._is_over(number) and known.done():
                self._drop(number)
            else:
                self._chunks.move_to_end(number)
        if known is not None:
            return known.result()
        try:
            values = self._read(number)
        except BaseException as error:
            with self._lock:
                self._chunks.pop(number, None)
            mine.set_exception(error)
            raise
        with self._lock:
            # At once, so that what is done is counted: another thread may drop it right after.
            mine.set_result(values)
            self._size += values.nbytes
            if self._is_over(number):
                self._drop(number)
            elif self._size > self._kept:
                self._make_room()
        return values

    def _read(self, number: tuple[int, ...]) -> NDArray[Any]:
        bounds = [slice(int(e[i]), int(e[i + 1])) for e, i in
                  zip(self._edges, number, strict=True)]  # fmt: skip
        values: NDArray[Any] = backends.read(self._data, tuple(bounds))
        return values if self._dtype is None else values.astype(self._dtype, copy=False)

    def _note_use(self, number: tuple[int, ...]) -> None:
        if self._left is not None:
            self._left[number] -= 1
        elif self._uses is not None:
            self._used[number] += 1

    def _is_over(self, number: tuple[int, ...]) -> bool:
        """Whether nothing will need a chunk any more."""
        return self._left is not None and self._left[number] <= 0

    def _make_room(self) -> None:
        if self._uses is not None and self._left is None:
            self._left = self._uses()
            for number, times in self._used.items():
                self._left[number] -= times
            self._used.clear()
            for number in [n for n, f in self._chunks.items() if f.done() and self._is_over(n)]:
                self._drop(number)
        while self._size > self._kept:
            oldest = next(n for n, f in self._chunks.items() if f.done())
            if oldest == next(reversed(self._chunks)):
                break  # what was read last stays
            self._drop(oldest)

    def _drop(self, number: tuple[int, ...]) -> None:
        self._size -= self._chunks.pop(number).result().nbytes
