"""In which order the chunks of an output come, and which parts of the source's are kept meanwhile.

A chunk on disk is to be read once while few bytes of chunks are kept. So what needs the same chunks
of the source comes together: layer after layer of these. Of a large chunk parts are kept, and let
go, by themselves. Where the parts of a layer that are needed at once are too many, the output is
divided into bands, which come one after the other, each in layers of its own: only what two bands
share is read twice.
"""

from __future__ import annotations

import itertools
import math
import warnings
from bisect import bisect_right
from dataclasses import dataclass, replace
from operator import add
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling._chunk_reader import parts_to_chunks
from spatial_duck.resampling._chunk_tasks import PIECE, chunks_needed, divided, uses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._chunk_tasks import Edges, Order, ResampleTasks
    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

    Layers = tuple[Order, float, int]

__all__ = [
    "EXACT", "Bands", "ReadingOrder", "halve", "in_layers", "layer_bytes", "part_edges",
    "reading_order",
]  # fmt: skip

#: Chunks of the output, at most, for which it is worked out what their order keeps in memory.
EXACT = 20_000


@dataclass(frozen=True, slots=True)
class Bands:
    """Boxes of the output's chunks that come one after the other.

    Attributes
    ----------
    starts : tuple of tuple of int
        For each axis the chunk with which each band begins, and at last the number of chunks.
    """

    starts: tuple[tuple[int, ...], ...]

    @classmethod
    def one(cls, work: ResampleTasks) -> Bands:
        """Return one band of all chunks."""
        return cls(tuple([(0, len(e) - 1) for e in work.outs]))

    def divided(self, axis: int, count: int) -> Bands:
        """Return bands of which there are so many along an axis, or one for each chunk.

        Examples
        --------
        >>> Bands(((0, 3), (0, 8))).divided(1, 3).starts
        ((0, 3), (0, 2, 5, 8))
        """
        starts = list(self.starts)
        n = starts[axis][-1]
        count = max(min(count, n), 1)
        starts[axis] = tuple([i * n // count for i in range(count + 1)])
        return Bands(tuple(starts))

    def number(self, index: Sequence[int]) -> int:
        """Return in which band a chunk lies.

        Examples
        --------
        >>> Bands(((0, 3), (0, 2, 5, 8))).number((2, 5))
        2
        """
        found = 0
        for i, starts in zip(index, self.starts, strict=True):
            found = found * (len(starts) - 1) + bisect_right(starts, i) - 1
        return found

    def work(self, work: ResampleTasks, number: int) -> ResampleTasks:
        """Return the tasks of one band alone."""
        outs = [e[a : b + 1] for e, (a, b) in zip(work.outs, self.box(number), strict=True)]
        return replace(work, outs=tuple(outs))

    def box(self, number: int) -> Box:
        """Return the chunks of a band: the first and the one after the last along each axis."""
        found = []
        for starts in reversed(self.starts):
            number, i = divmod(number, len(starts) - 1)
            found.append((starts[i], starts[i + 1]))
        return tuple(reversed(found))

    def __len__(self) -> int:
        return math.prod([len(starts) - 1 for starts in self.starts])


@dataclass(frozen=True, slots=True)
class ReadingOrder:
    """An order of the output's chunks.

    Attributes
    ----------
    chunks : list of tuple of int
        The chunks, in that order.
    bands : Bands
        Which of them come together.
    """

    chunks: Order
    bands: Bands


def reading_order(
    work: ResampleTasks, itemsize: int, kept: float, layers: Layers | None = None
) -> ReadingOrder:
    """Return an order of the output's chunks in which little of the source is read again.

    Parameters
    ----------
    work : ResampleTasks
        The chunks.
    itemsize : int
        Bytes of a voxel of the source.
    kept : float
        Bytes of the source that may be kept.
    layers : Layers, optional
        What `in_layers` returns for them, where that is known.
    """
    bands = Bands.one(work)
    order, needed, _ = layers or in_layers(work, itemsize)
    if needed <= kept or work.plan.coupled is None:
        return ReadingOrder(order, bands)
    whole, least = _bytes_read(work, itemsize), max(kept, 1)
    found = ReadingOrder(order, bands)
    read, best, at_once = whole, whole * (needed / least) ** 2, needed
    is_many = math.prod([len(e) - 1 for e in work.outs]) > 5 * EXACT
    while at_once > kept:
        divided = _divided(work, itemsize, least, bands, at_once / least)
        if divided is None:
            break
        bands, leading, at_once = divided
        if is_many:
            at_once /= _FILLED
            if at_once > kept:
                continue
        order, sizes, most = _of_bands(work, itemsize, bands, leading if is_many else None)
        at_once = at_once if is_many else most
        # What does not fit is read again and again: that is taken only where nothing fits.
        cost = sizes * (at_once / least) ** 2 if at_once > kept else 0.0
        if cost < best:
            read, best, found = sizes, cost, ReadingOrder(order, bands)
    if read > _OFTEN * whole:
        shape = tuple([int(np.diff(e).max(initial=1)) for e in work.sources])
        warnings.warn(
            f"resample: each chunk of the source, of shape {shape}, is read about "
            f"{read / whole:.0f} times, so that no more than {kept / 1e6:.0f} MB are kept. With "
            f"sd.config(max_kept_bytes={needed:.1e}) each is read once; a source in smaller or "
            "more even chunks needs less",
            UserWarning,
            stacklevel=2,
        )
    return found


def _divided(
    work: ResampleTasks, itemsize: int, kept: float, bands: Bands, excess: float
) -> tuple[Bands, int, float] | None:
    """Divide bands along the axis where that leads to the least reading.

    One in the middle is looked at. Returned too are the axis of the source along which its layers
    come and the bytes that it needs at once; None if bands cannot be divided.
    """
    counts = [len(e) - 1 for e in work.outs]
    best: tuple[float, Any] = (math.inf, None)
    # Half as many bytes take about twice as many bands, along one axis or several.
    times = min(max(math.sqrt(excess), 1.5), 8)
    for axis in work.mixed:
        tried = bands.divided(axis, math.ceil((len(bands.starts[axis]) - 1) * times))
        middle = tried.work(work, tried.number([n // 2 for n in counts]))
        if tried == bands or math.prod([len(e) - 1 for e in middle.outs]) < _FEWEST:
            continue
        _, most, leading = in_layers(middle, itemsize)
        read = len(tried) * _bytes_read(middle, itemsize) * max(most / kept, 1)
        if read < best[0]:
            best = read, (tried, leading, most)
    found: tuple[Bands, int, float] | None = best[1]
    return found


def _of_bands(
    work: ResampleTasks, itemsize: int, bands: Bands, leading: int | None
) -> tuple[Order, float, float]:
    """Return the order of all chunks, band after band, the bytes that are read, and those at once.

    With an axis for the layers to come along, the bytes at once are not looked for.
    """
    found: Order = []
    needed, read = 0.0, 0.0
    for number in range(len(bands)):
        starts = [first for first, _ in bands.box(number)]
        band = bands.work(work, number)
        chunks, most, _ = in_layers(band, itemsize, leading)
        found += [tuple(map(add, starts, index)) for index in chunks]
        needed, read = max(needed, most), read + _bytes_read(band, itemsize)
    return found, read, needed


#: How often a chunk is read before that is worth a word.
_OFTEN = 4
#: How much of what may be kept a band in the middle fills, where the others are not looked at.
_FILLED = 0.75
#: The fewest chunks of a band.
_FEWEST = 2


def _bytes_read(work: ResampleTasks, itemsize: int) -> float:
    """Return the size of all chunks of the source that any chunk of the output needs."""
    sizes: Any = itemsize
    for edges in work.sources:
        sizes = np.multiply.outer(sizes, np.diff(edges))
    return float(np.sum(sizes, where=uses(work) > 0))


def in_layers(work: ResampleTasks, itemsize: int, leading: int | None = None) -> Layers:
    """Order all chunks so that what needs the same layer of the source comes together.

    Parameters
    ----------
    work : ResampleTasks
        The chunks.
    itemsize : int
        Bytes of a voxel of the source.
    leading : int, optional
        The axis of the source along which the layers come; by default that with which the fewest
        bytes are in use at once.

    Returns
    -------
    order : list of tuple of int
        The chunks.
    needed : float
        Bytes of the source that are in use at once: estimated for more than `EXACT` chunks, and 0
        with an axis that is given.
    leading : int
        The axis.
    """
    edges = work.sources
    parts = part_edges(work.plan, edges, itemsize)
    shape = [len(e) - 1 for e in work.outs]
    indices = list(itertools.product(*map(range, shape)))
    is_many = len(indices) > EXACT
    pieces = replace(work, outs=work.outs if is_many else work.pieces(), sources=parts)
    needed = list(chunks_needed(pieces))
    hit = np.concatenate([hit for hit, _ in needed])
    first, stop = (
        np.concatenate([np.stack([span[end] for span in spans]) for _, spans in needed], axis=1)
        for end in (0, 1)
    )
    number = np.ravel_multi_index(np.ix_(*parts_to_chunks(work.outs, pieces.outs)), shape).ravel()
    owners = parts_to_chunks(edges, parts)
    last = np.full((len(parts), len(indices)), -1)
    for axis, owner in enumerate(owners):
        np.maximum.at(last[axis], number[hit], owner[stop[axis, hit] - 1])
    coupled = work.plan.coupled
    if leading is None and (is_many or coupled is None):
        lengths = [
            int(p[stop[axis, hit].max(initial=0)] - p[first[axis, hit].min(initial=len(p) - 1)])
            for axis, p in enumerate(parts)
        ]
        found = layer_bytes(work, itemsize, lengths)
        leading = min(found, key=lambda axis: found[axis], default=0)
        order = sorted(range(len(last)), key=lambda axis: found.get(axis, -1.0))
        ranks = np.lexsort(last[order[::-1]])
        return [indices[i] for i in ranks.tolist()], min(found.values(), default=0.0), leading
    assert coupled is not None
    mixed = coupled.sources
    rest = [axis for axis in range(len(last)) if axis not in mixed]

    def ranked(leading: int) -> Any:  # the others matter little
        axes = [*rest, leading, *[axis for axis in mixed if axis != leading]]
        return np.lexsort(last[axes[::-1]])

    if leading is not None:
        return [indices[i] for i in ranked(leading).tolist()], 0.0, leading
    sizes: Any = itemsize
    for p in parts:
        sizes = np.multiply.outer(sizes, np.diff(p))
    best: tuple[float, Any, int] = (math.inf, None, 0)
    for axis in mixed:
        ranks = ranked(axis)
        place = np.empty_like(ranks)
        place[ranks] = np.arange(len(ranks))
        turns = np.argsort(place[number], kind="stable")
        turns = turns[hit[turns]]
        boxes = zip(first[:, turns].T.tolist(), stop[:, turns].T.tolist(), strict=True)
        most = _most_at_once([tuple(map(slice, *box)) for box in boxes], sizes, edges, parts)
        if most < best[0]:
            best = most, ranks, axis
    return [indices[i] for i in best[1].tolist()], best[0], best[2]


def _most_at_once(
    boxes: Sequence[tuple[slice, ...]], sizes: NDArray[Any], edges: Edges, parts: Edges
) -> float:
    """Return the bytes of parts that are in use at once, when boxes of them are read in turn.

    A part is there from when its chunk is first read until it is used for the last time.
    """
    begin, end = np.full(sizes.shape, len(boxes)), np.full(sizes.shape, -1)
    for turn, box in enumerate(boxes):
        end[box] = turn
    for turn in reversed(range(len(boxes))):
        begin[boxes[turn]] = turn
    for axis, (e, p) in enumerate(zip(edges, parts, strict=True)):
        begin = np.minimum.reduceat(begin, p.searchsorted(e[:-1]), axis=axis)
        begin = begin.take(e.searchsorted(p[:-1], "right") - 1, axis=axis)
    used = end >= 0
    change: Any = np.bincount(begin[used], sizes[used], len(boxes) + 1)
    change -= np.bincount(end[used] + 1, sizes[used], len(boxes) + 1)
    return float(max(change.cumsum().tolist()))


def layer_bytes(
    work: ResampleTasks, itemsize: int, lengths: Sequence[int] | None = None
) -> dict[int, float]:
    """Return the bytes of the source that are in use at once, for each axis to move along it.

    Those are layers of chunks: as many as the box of an output chunk can reach into. Axes that are
    carried along are done one chunk after the other.

    Parameters
    ----------
    work : ResampleTasks
        The chunks.
    itemsize : int
        Bytes of a voxel of the source.
    lengths : sequence of int, optional
        How much of the source is needed along each axis, in voxels; by default all of it.
    """
    reach = work.reach()
    whole = {s.source for s in work.plan.separable if s.exact}
    longest = [int(np.diff(e).max(initial=1)) for e in work.sources]
    lengths = [int(e[-1]) for e in work.sources] if lengths is None else lengths
    n = [c if i in whole else lengths[i] for i, c in enumerate(longest)]
    found = {}
    for axis in range(len(n)):
        if axis in whole:
            continue
        thick = max(longest[axis], 1)
        count = math.ceil((reach[axis] + 2) / thick) + 1
        found[axis] = itemsize * math.prod(n) / max(n[axis], 1) * min(thick * count, n[axis])
    return found


#: Bytes of a part that is kept by itself, at most, and of a chunk that has such parts.
_PART, _DIVIDED = 1 << 19, 1 << 21
#: Parts of a source, at most: an array has a number for each.
_MOST_PARTS = 1 << 22


def part_edges(plan: Plan, edges: Edges, itemsize: int) -> Edges:
    """Return where the parts begin in which chunks of the source are kept.

    No longer than two pieces of the output: a part stays until the last of it was needed.
    """
    sizes = {axis: int(np.diff(e).max(initial=1)) for axis, e in enumerate(edges)}
    if plan.coupled is not None and itemsize * math.prod(sizes.values()) > _DIVIDED:
        while itemsize * math.prod(sizes.values()) > _PART or max(sizes.values()) > 2 * PIECE:
            halve(sizes)
    found = [divided(e, sizes[axis]) for axis, e in enumerate(edges)]
    return tuple(edges if math.prod([len(e) for e in found]) > _MOST_PARTS else found)


def halve(sizes: dict[int, int]) -> None:
    """Halve the longest of some lengths."""
    longest = max(sizes, key=lambda o: sizes[o])
    sizes[longest] = -(-sizes[longest] // 2)
