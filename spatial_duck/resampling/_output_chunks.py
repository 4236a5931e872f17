"""The chunks of the output: the source's, or parts of them so that few of these have to be kept."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import TooLargeError
from spatial_duck.resampling._chunk_tasks import PIECE, ResampleTasks, edges_of
from spatial_duck.resampling._reading_order import (
    EXACT,
    ReadingOrder,
    halve,
    in_layers,
    layer_bytes,
    reading_order,
)

if TYPE_CHECKING:
    from spatial_duck.resampling._chunk_tasks import Chunks
    from spatial_duck.resampling._coupled import CoupledAxes
    from spatial_duck.resampling._plan import Plan
    from spatial_duck.resampling._reading_order import Layers

__all__ = ["filter_chunks", "output_chunks"]

#: Bytes of an output chunk, at most.
_LARGEST = 1 << 25
#: Output chunks, at most: planning these takes minutes, and tens of gigabytes.
_MOST = 20_000_000


def output_chunks(
    plan: Plan, chunks: Chunks, itemsize: int, kept: float = math.inf
) -> tuple[Chunks, ReadingOrder | None]:
    """Choose the chunks of the output: the source's, in the output's voxels.

    Axes that are carried along keep their chunks. No chunk is larger than 32 MiB, unless axes that
    are carried along make it so. Where axes mix, thin chunks become cubes; and chunks of the output
    are parts of such chunks where each chunk of a source on disk can then be read once while no
    more than `kept` bytes are (see `reading_order`). TooLargeError is raised for more than can be
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
        halve(whole)

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
    kind, sources = np.dtype(f"V{itemsize}"), edges_of(chunks)
    found: tuple[Chunks, ResampleTasks, Layers | None] | None = None
    while True:
        candidate = made(whole)
        work = ResampleTasks(plan, edges_of(candidate), sources, kind, None)
        mixed = {o: whole[o] for o in plan.coupled.outs}
        voxels = math.prod(mixed.values())
        layers = None
        if math.prod(map(len, candidate)) > EXACT:
            needed = min(layer_bytes(work, itemsize).values())
        else:
            _, needed, _ = layers = in_layers(work, itemsize)
        if found is None or needed <= kept or voxels >= PIECE ** len(mixed):
            found = candidate, work, layers
        if needed <= kept or voxels < 2 * _FEWEST:
            # What does not fit comes in bands; more chunks than pieces then help little.
            return found[0], reading_order(found[1], itemsize, kept, found[2])
        halve(mixed)
        whole.update(mixed)


def filter_chunks(plan: Plan, chunks: Chunks, itemsize: int) -> Chunks:
    """Choose the chunks in which the source is filtered: its own, or several together if thin.

    Each is filtered with `Plan.halo` voxels around it. Along an axis of which a chunk is at most
    half as long as that, several become one of twice its length: of planes nearly all that is
    filtered would lie around them. None is larger than 32 MiB, unless the source's are.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling.
    chunks : Chunks
        The source's.
    itemsize : int
        Bytes of a filtered voxel.
    """
    longest = [max(c, default=1) for c in chunks]
    sizes = dict(enumerate(longest))
    for axis, halo in enumerate(plan.halo):
        if 0 < 2 * longest[axis] <= halo:
            together = -(-2 * halo // longest[axis]) * longest[axis]
            sizes[axis] = min(together, plan.source_shape[axis])
    if list(sizes.values()) == longest:
        return chunks
    least = [max(2 * halo, 1) for halo in plan.halo]
    while itemsize * math.prod(sizes.values()) > _LARGEST:
        spare = {
            axis: size / least[axis] for axis, size in sizes.items() if size >= 2 * least[axis]
        }
        if not spare:
            break
        axis = max(spare, key=lambda axis: spare[axis])
        sizes[axis] = -(-sizes[axis] // 2)
    return tuple([
        given if size == old else tuple([min(size, n - i) for i in range(0, n, size)])
        for size, old, given, n in zip(
            sizes.values(), longest, chunks, plan.source_shape, strict=True
        )
    ])  # fmt: skip


#: The fewest voxels of a chunk that is made smaller so that less has to be kept.
_FEWEST = 1 << 17
#: Chunks whose longest edge is so many times their shortest are thin: much else lies in the box
#: around one that is turned.
_THIN = 8


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
