"""Boxes of an array on disk, put together of its chunks; those that are needed again are kept.

A chunk is needed by all output chunks around it. As tasks of a graph, decoded chunks stay in memory
until the last of these is done, which with a rotation is nearly the whole volume. A `ChunkReader`
keeps a fixed number of bytes instead (``config(max_kept_bytes=...)``): what nothing needs any more
goes first, then what was used longest ago, which is read again when its turn comes. Of a large
chunk parts are kept and go by themselves. A reader lives as long as one computation: the next one
reads what is on disk then.
"""

from __future__ import annotations

import itertools
import sys
from collections import Counter, OrderedDict, deque
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

    Number = tuple[int, ...]

__all__ = ["ChunkReader", "Cuts", "assemble", "cache_limit", "chunks_meeting", "parts_to_chunks"]

Cuts = tuple[tuple[int, int], ...]


def parts_to_chunks(
    edges: Sequence[NDArray[np.intp]], parts: Sequence[NDArray[np.intp]]
) -> list[NDArray[np.intp]]:
    """Return for each axis the chunk that each part of a chunk lies in."""
    return [e.searchsorted(p[:-1], "right") - 1 for e, p in zip(edges, parts, strict=True)]


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
    kept = itertools.product(*[[slice(*ends) for ends in c] for c in cuts])
    parts = [piece[key] for piece, key in zip(pieces, kept, strict=True)]
    if len(parts) == 1:
        return parts[0]
    if not on_host(parts[0]):
        return device.concatenate_blocks(parts, [len(c) for c in cuts])
    # In the pieces' own order of axes, which may be Fortran's.
    order = sorted(range(len(box)), key=lambda axis: -abs(parts[0].strides[axis]))
    sizes = [box[axis][1] - box[axis][0] for axis in order]
    out = np.empty(sizes, pieces[0].dtype).transpose(np.argsort(order))
    starts = [[0, *itertools.accumulate([b - a for a, b in c])] for c in cuts]
    places = itertools.product(*[list(map(slice, s, s[1:])) for s in starts])
    for part, place in zip(parts, places, strict=True):
        out[place] = part
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


#: Boxes of another band until one is taken to be done of which others do a part.
_LATEST = 32


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
        Takes the number of a band, and returns how often that needs each part, an array of one
        entry for each. It is asked when there is more than may be kept; too high a number costs
        memory, too low a one reading.
    dtype : numpy.dtype, optional
        What chunks are converted to once they are read; by default they are not.
    parts : sequence of ndarray of int, optional
        Where the parts begin that are kept or dropped, with all `edges` among them; by default
        those are whole chunks.
    """

    def __init__(
        self,
        data: Any,
        edges: Sequence[NDArray[np.intp]],
        kept: float | None = None,
        uses: Callable[[int], NDArray[np.intp]] | None = None,
        dtype: np.dtype[Any] | None = None,
        parts: Sequence[NDArray[np.intp]] | None = None,
    ) -> None:
        self._data, self._edges, self._uses = data, tuple(edges), uses
        self._dtype = dtype
        self._parts = self._edges if parts is None else tuple(parts)
        #: For each axis the chunk that a part lies in, and the first part of each chunk.
        self._owners = [o.tolist() for o in parts_to_chunks(self._edges, self._parts)]
        self._firsts = [
            p.searchsorted(e).tolist() for e, p in zip(self._edges, self._parts, strict=True)
        ]
        self._kept = current().max_kept_bytes if kept is None else kept
        self._pieces: OrderedDict[Number, NDArray[Any]] = OrderedDict()
        self._reading: dict[Number, Future[NDArray[Any]]] = {}
        self._size = 0
        self._lock = Lock()
        #: The band whose needs say what is kept, and the bands of the latest boxes.
        self._band = 0
        self._latest: deque[int] = deque(maxlen=_LATEST)
        #: For each band how often each part was used, until it is known how often it will be.
        self._used: dict[int, Counter[Number]] = {}
        #: From then on how often it will be, and the sum of that.
        self._left: dict[int, NDArray[np.intp]] = {}
        self._rest: dict[int, int] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return ChunkReader, (
            self._data, self._edges, self._kept, self._uses, self._dtype, self._parts
        )  # fmt: skip

    def box(self, box: Box, band: int = 0) -> NDArray[Any]:
        """Return the voxels of a box.

        Parameters
        ----------
        box : Box
            The first index along each axis, and the one after the last.
        band : int, optional
            Number of the band of which it is a part. What a band does not need any more goes when
            there is no room, even if a later one needs it.
        """
        met = [chunks_meeting(e, *bounds) for e, bounds in zip(self._parts, box, strict=True)]
        with self._lock:
            self._begin(band)
        # Along each axis the chunks, and which parts of each.
        spans = [
            [(o, range(max(f[o], span.start), min(f[o + 1], span.stop)))
             for o in range(owners[span.start], owners[span.stop - 1] + 1)]
            for (span, _), owners, f in zip(met, self._owners, self._firsts, strict=True)
        ]  # fmt: skip
        found: dict[Number, NDArray[Any]] = {}
        for chunk in itertools.product(*spans):
            owner, parts = tuple([o for o, _ in chunk]), [span for _, span in chunk]
            found.update(self._parts_of(owner, parts, band))
        numbers = itertools.product(*[span for span, _ in met])
        voxels: NDArray[Any] = assemble([found[n] for n in numbers], box, [m[1] for m in met])
        return voxels

    def _parts_of(
        self, owner: Number, spans: Sequence[range], band: int
    ) -> dict[Number, NDArray[Any]]:
        """Return parts of a chunk, which is read once even where several threads ask for it."""
        numbers = list(itertools.product(*spans))
        mine = False
        with self._lock:
            found = self._take(numbers, tuple([slice(s.start, s.stop) for s in spans]), band)
            if len(found) == len(numbers):
                return found
            reading = self._reading.get(owner)
            if reading is None:
                reading = self._reading[owner] = Future()
                mine = True
        if mine:
            try:
                self._read_chunk(owner)
            except BaseException as error:
                with self._lock:
                    self._reading.pop(owner, None)
                reading.set_exception(error)
                raise
        values = reading.result()
        for number in numbers:
            if number not in found:
                part = values[self._place(number, owner)]
                # A copy, since a view of a part would keep all of the chunk.
                found[number] = part if part.size == values.size else part.copy("K")
        return found

    def _take(
        self, numbers: Sequence[Number], key: tuple[slice, ...], band: int
    ) -> dict[Number, NDArray[Any]]:
        """Return which parts are here of a box of them, and note the use of all."""
        if band in self._left:
            self._left[band][key] -= 1
            self._rest[band] -= len(numbers)
        elif self._uses is not None:
            self._used.setdefault(band, Counter()).update(numbers)
        left = self._left.get(self._band)
        is_over = [False] * len(numbers) if left is None else (left[key] <= 0).ravel().tolist()
        found = {}
        for number, over in zip(numbers, is_over, strict=True):
            piece = self._pieces.get(number)
            if piece is not None:
                found[number] = piece
                if over:
                    self._drop(number)
                else:
                    self._pieces.move_to_end(number)
        return found

    def _begin(self, band: int) -> None:
        """Note the band of a box.

        Tasks of the next band may begin before the last of one: what this one needs is kept until
        all of it is done, or, where others do a part of it, for as long as any comes.
        """
        self._latest.append(band)
        if band != self._band:
            self._count()
        current = min([b for b in self._latest if self._rest.get(b) != 0], default=band)
        if current != self._band:
            for done in [b for b in self._left if b < current]:
                del self._left[done]
            self._band = current

    def _place(self, number: Number, owner: Number) -> tuple[slice, ...]:
        """Return where a part lies in its chunk."""
        return tuple([
            slice(int(p[i] - e[o]), int(p[i + 1] - e[o]))
            for e, p, o, i in zip(self._edges, self._parts, owner, number, strict=True)
        ])  # fmt: skip

    def _read_chunk(self, owner: Number) -> None:
        """Read a chunk, and keep the parts of it that will be needed again."""
        values = self._read(owner)
        numbers = self._numbers(owner)
        with self._lock:
            left = [n for n in numbers if n not in self._pieces and not self._is_over(n)]
        # Copies, since a view of one would keep all of the chunk.
        cut = {n: values[self._place(n, owner)].copy("K") for n in left} if len(numbers) > 1 else (
            dict.fromkeys(left, values))  # fmt: skip
        with self._lock:
            for number, piece in cut.items():
                if not self._is_over(number):  # another thread may have been the last
                    self._pieces[number] = piece
                    self._size += piece.nbytes
            if self._size > self._kept:
                self._make_room(owner)
            self._reading.pop(owner).set_result(values)

    def _read(self, number: Number) -> NDArray[Any]:
        bounds = [slice(int(e[i]), int(e[i + 1])) for e, i in
                  zip(self._edges, number, strict=True)]  # fmt: skip
        values: NDArray[Any] = backends.read(self._data, tuple(bounds))
        return values if self._dtype is None else values.astype(self._dtype, copy=False)

    def _is_over(self, number: Number) -> bool:
        """Whether nothing in this band will need a part any more."""
        left = self._left.get(self._band)
        return left is not None and bool(left[number] <= 0)

    def _count(self) -> None:
        """Count what this band still needs, unless that is known, and drop all else."""
        if self._uses is None or self._band in self._left:
            return
        left = self._left[self._band] = self._uses(self._band)
        for number, times in self._used.pop(self._band, Counter()).items():
            left[number] -= times
        self._rest[self._band] = int(left.sum())
        for number in [n for n in self._pieces if self._is_over(n)]:
            self._drop(number)

    def _make_room(self, latest: Number) -> None:
        """Drop what nothing needs, then what was used longest ago, but not what was read last."""
        self._count()
        # What is read again is a chunk, so that all of its parts go together.
        while self._size > self._kept and self._pieces:
            owner = tuple(
                [o[i] for o, i in zip(self._owners, next(iter(self._pieces)), strict=True)]
            )
            if owner == latest:
                break
            for number in self._numbers(owner):
                if number in self._pieces:
                    self._drop(number)

    def _numbers(self, owner: Number) -> list[Number]:
        """Return the parts of a chunk."""
        firsts = zip(self._firsts, owner, strict=True)
        return list(itertools.product(*[range(f[o], f[o + 1]) for f, o in firsts]))

    def _drop(self, number: Number) -> None:
        self._size -= self._pieces.pop(number).nbytes
