"""The chunks of the output, the parts of the source's that are kept, and their order.

A chunk on disk is to be read once while few bytes of chunks are kept. That depends on how large the
output's chunks are, in which order they come, and on how soon parts of a large chunk are let go.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import TooLargeError
from spatial_duck.resampling._chunk_reader import parts_to_chunks
from spatial_duck.resampling._chunk_tasks import ResampleTasks, chunks_needed, divided, edges_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._chunk_tasks import Chunks, Order
    from spatial_duck.resampling._coupled import CoupledAxes
    from spatial_duck.resampling._plan import Plan

__all__ = ["best_order", "output_chunks", "part_edges"]

#: Bytes of an output chunk, at most.
_LARGEST = 1 << 25
#: Output chunks, at most: planning these takes minutes, and tens of gigabytes.
_MOST = 20_000_000


def output_chunks(
    plan: Plan, chunks: Chunks, itemsize: int, kept: float = math.inf
) -> tuple[Chunks, Order | None]:
    """Choose the chunks of the output: the source's, in the output's voxels.

    Axes that are carried along keep their chunks. No chunk is larger than 32 MiB, unless axes that
    are carried along make it so. Where axes mix, thin chunks become cubes; and chunks of the output
    are parts of such chunks where each chunk of a source on disk can then be read once while no
    more than `kept` bytes are (see `best_order`). TooLargeError is raised for more than can be
    planned. Returned with the order of the chunks, if one was looked for.
    """
    out: list[tuple[int, ...] | None] = [None] * len(plan.shape)
    sizes: dict[int, float] = {}
    for line in plan.separable:
        if line.out is None:
            continue
        if line.exact and line.scale == 1 and line.offset == 0:
            if plan.shape[line.out] == line.length:
                out[line.out] = chunks[line.source]
                continue
        sizes[line.out] = max(chunks[line.source], default=1) / abs(line.scale)
    if plan.coupled is not None:
        sizes.update(_coupled_sizes(plan.coupled, chunks))
    for o in plan.repeated:
        sizes[o] = plan.shape[o]
    whole = {o: max(min(round(size), plan.shape[o]), 1) for o, size in sizes.items()}
    rest = itemsize * math.prod([max(c, default=1) for c in out if c is not None])
    while math.prod(whole.values()) * rest > _LARGEST and max(whole.values(), default=1) > 1:
        _halve(whole)

    def made(whole: dict[int, int]) -> Chunks:
        found = list(out)
        for o, size in whole.items():
            n = plan.shape[o]
            if 0 < n % size < size // 4:  # no slivers at the end: the same number of even chunks
                size = -(-n // -(-n // size))
            found[o] = tuple([min(size, n - i) for i in range(0, n, size)]) or (0,)
        return tuple([c if c is not None else (0,) for c in found])

    count = math.prod([-(-plan.shape[o] // size) for o, size in whole.items()])
    count *= math.prod([len(c) for c in out if c is not None])
    if count > _MOST:
        raise TooLargeError(
            f"resample: a result of shape {plan.shape} would have {count:,} chunks, more than the "
            f"{_MOST:,} that can be planned; is the spacing in the unit of the image's world?"
        )
    if plan.coupled is None or itemsize * math.prod(plan.source_shape) <= kept:
        return made(whole), None
    tried: list[tuple[float, Chunks, Order | None]] = []
    kind, sources = np.dtype(f"V{itemsize}"), edges_of(chunks)
    while True:
        candidate = made(whole)
        order: Order | None = None
        work = ResampleTasks(plan, edges_of(candidate), sources, kind, None)
        if is_many := math.prod(map(len, candidate)) > ORDERED:
            needed = min(_fronts(work, itemsize).values())
        else:
            order, needed = best_order(work, itemsize)
        if needed <= kept:
            return candidate, order
        tried.append((needed, candidate, order))
        mixed = {o: whole[o] for o in plan.coupled.outs}
        if math.prod(mixed.values()) < 2 * _FEWEST:
            # What does not fit is read more than once: more chunks then help little.
            return (tried[0] if is_many else min(tried, key=lambda one: one[0]))[1:]
        _halve(mixed)
        whole.update(mixed)


#: The fewest voxels of a chunk that is made smaller so that less has to be kept.
_FEWEST = 1 << 17
#: Chunks whose longest edge is so many times their shortest are thin: much else lies in the box
#: around one that is turned.
_THIN = 8


def _halve(sizes: dict[int, int]) -> None:
    longest = max(sizes, key=lambda o: sizes[o])
    sizes[longest] = -(-sizes[longest] // 2)


def _coupled_sizes(coupled: CoupledAxes, chunks: Chunks) -> dict[int, float]:
    """Return lengths of the output's chunks along the axes that depend on several of the source's.

    Each is that of the source's chunks along the axis that it runs along most.
    """
    edges = [max(max(chunks[s], default=1), 1) for s in coupled.sources]
    columns = np.abs(np.array(coupled.matrix)).T
    steps = np.linalg.norm(columns, axis=1)
    if max(edges) > _THIN * min(edges):
        mean = math.prod(edges) ** (1 / len(edges))
        edges = [2 ** int(math.log2(mean))] * len(edges)
    picks: Any = [tuple(columns.argmax(axis=1).tolist())]
    if len(columns) <= len(edges):
        picks = itertools.permutations(range(len(edges)), len(columns))
    share = columns / np.where(steps, steps, 1)[:, None]
    best = max(picks, key=lambda pick: sum([share[o, s] for o, s in enumerate(pick)]))
    return {
        o: edges[s] / (step or 1.0)
        for o, s, step in zip(coupled.outs, best, steps.tolist(), strict=True)
    }


#: Chunks of the output, at most, for which it is worked out what their order keeps in memory.
ORDERED = 20_000


def best_order(work: ResampleTasks, itemsize: int) -> tuple[Order, float]:
    """Return an order of the output's chunks, and the bytes of the source that it needs at once.

    What needs the same chunks of the source comes together: layer after layer of these, along the
    axes with which the fewest bytes are in use at once. Of many chunks that is estimated.
    """
    edges = work.sources
    parts = part_edges(work.plan, edges, itemsize)
    shape = [len(e) - 1 for e in work.outs]
    indices = list(itertools.product(*map(range, shape)))
    is_many = len(indices) > ORDERED
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
    if is_many or work.plan.coupled is None:
        fronts = _fronts(work, itemsize)
        order = sorted(range(len(last)), key=lambda axis: fronts.get(axis, -1.0))
        ranks = np.lexsort(last[order[::-1]])
        return [indices[i] for i in ranks.tolist()], min(fronts.values(), default=0.0)
    sizes: Any = itemsize
    for p in parts:
        sizes = np.multiply.outer(sizes, np.diff(p))
    mixed = work.plan.coupled.sources
    rest = [axis for axis in range(len(last)) if axis not in mixed]
    best: tuple[float, Any] = (math.inf, None)
    for leading in mixed:  # the others matter little
        axes = [leading, *[axis for axis in mixed if axis != leading]]
        ranks = np.lexsort(last[[*rest, *axes][::-1]])
        place = np.empty_like(ranks)
        place[ranks] = np.arange(len(ranks))
        turns = np.argsort(place[number], kind="stable")
        turns = turns[hit[turns]]
        boxes = zip(first[:, turns].T.tolist(), stop[:, turns].T.tolist(), strict=True)
        keys = [tuple(map(slice, *box)) for box in boxes]
        begin, end = np.full(sizes.shape, len(keys)), np.full(sizes.shape, -1)
        for turn, key in enumerate(keys):
            end[key] = turn
        for turn in reversed(range(len(keys))):
            begin[keys[turn]] = turn
        for axis, (e, p, owner) in enumerate(zip(edges, parts, owners, strict=True)):
            begin = np.minimum.reduceat(begin, p.searchsorted(e[:-1]), axis=axis)
            begin = begin.take(owner, axis=axis)
        used = end >= 0
        change = np.bincount(begin[used], sizes[used], len(keys) + 1)
        change -= np.bincount(end[used] + 1, sizes[used], len(keys) + 1)
        most = max(change.cumsum().tolist())
        if most < best[0]:
            best = most, ranks
    return [indices[i] for i in best[1].tolist()], best[0]


def _fronts(work: ResampleTasks, itemsize: int) -> dict[int, float]:
    """Return the bytes of the source that are in use at once, for each axis to move along it.

    Those are layers of chunks: as many as the box of an output chunk can reach into. Axes that are
    carried along are done one chunk after the other.
    """
    reach = work.reach()
    whole = {s.source for s in work.plan.separable if s.exact}
    longest = [int(np.diff(e).max(initial=1)) for e in work.sources]
    n = [c if i in whole else int(work.sources[i][-1]) for i, c in enumerate(longest)]
    found = {}
    for axis in range(len(n)):
        if axis in whole:
            continue
        thick = max(longest[axis], 1)
        count = math.ceil((reach[axis] + 2) / thick) + 1
        found[axis] = itemsize * math.prod(n) / max(n[axis], 1) * min(thick * count, n[axis])
    return found


#: Bytes of a part that is kept by itself, and of a chunk that has such parts.
_PART, _DIVIDED = 1 << 19, 1 << 21
#: Parts of a source, at most: an array has a number for each.
_MOST_PARTS = 1 << 22


def part_edges(
    plan: Plan, edges: Sequence[NDArray[np.intp]], itemsize: int
) -> tuple[NDArray[np.intp], ...]:
    """Return where the parts begin in which chunks of the source are kept."""
    sizes = {axis: int(np.diff(e).max(initial=1)) for axis, e in enumerate(edges)}
    if plan.coupled is not None and itemsize * math.prod(sizes.values()) > _DIVIDED:
        while itemsize * math.prod(sizes.values()) > _PART:
            _halve(sizes)
    found = [divided(e, sizes[axis]) for axis, e in enumerate(edges)]
    return tuple(edges if math.prod([len(e) for e in found]) > _MOST_PARTS else found)
