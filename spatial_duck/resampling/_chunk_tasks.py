"""The tasks of a resampling in chunks: which boxes they read, and what they make of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling._device_values import place_of
from spatial_duck.resampling._prefilter import prepare, wider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

    Chunks = tuple[tuple[int, ...], ...]
    Order = list[tuple[int, ...]]
    Edges = tuple[NDArray[np.intp], ...]

__all__ = ["PIECE", "Filter", "ResampleTasks", "chunks_needed", "divided", "edges_of", "uses"]

#: Edge of a piece of an output chunk, in voxels.
PIECE = 64
#: Chunks of the output whose boxes are worked out at a time.
_AT_ONCE = 1 << 13


def edges_of(chunks: Chunks) -> tuple[NDArray[np.intp], ...]:
    """Return where the chunks along each axis begin, and where the last one ends."""
    return tuple([np.cumsum([0, *c]) for c in chunks])


def divided(edges: NDArray[np.intp], size: int) -> NDArray[np.intp]:
    """Return edges with as many between them that nothing is longer than a size.

    Examples
    --------
    >>> divided(np.array([0, 7, 10]), 4)
    array([ 0,  4,  7, 10])
    """
    starts = [range(a, b, size) for a, b in itertools.pairwise(edges.tolist())]
    return np.array([*itertools.chain(*starts), *edges[-1:].tolist()])


@dataclass(frozen=True, slots=True, eq=False)
class ResampleTasks:
    """Resampling of all chunks by a plan.

    Attributes
    ----------
    plan : Plan
        The plan of the resampling.
    outs, sources : tuple of ndarray of int
        Where the chunks begin along each axis of the output and of the source.
    dtype : numpy.dtype
        That of the output.
    fill : scalar
        Value outside.
    like : array or None
        A chunk without voxels, where chunks are not NumPy's.
    """

    plan: Plan
    outs: tuple[NDArray[np.intp], ...]
    sources: tuple[NDArray[np.intp], ...]
    dtype: np.dtype[Any]
    fill: Any
    like: Any = None

    def box(self, out_box: Box) -> Box | None:
        """Return the box of the source that a box of the output needs."""
        return self.plan.input_box(out_box)

    def boxes(self) -> Iterator[tuple[tuple[int, ...], list[tuple[Any, Any]], Any]]:
        """Return `box` for all chunks, some at a time: how many along each axis, then as arrays."""
        plan, n = self.plan, len(self.outs)

        def along(values: Any, axis: int) -> Any:
            return np.asarray(values).reshape([-1 if a == axis else 1 for a in range(n)])

        ranges = [(along(e[:-1], o), along(e[1:], o)) for o, e in enumerate(self.outs)]
        found: list[Any] = [None] * len(plan.source_shape)
        met: Any = np.array(True).reshape((1,) * n)
        for line in plan.separable:
            parts = [(0, 1)]
            if line.out is not None:
                parts = list(itertools.pairwise(self.outs[line.out].tolist()))
            tables = [line.table(*part, plan.interpolation, plan.edge) for part in parts]
            needs = [t.bounds if t.stop > t.start else (0, 0) for t in tables]
            first, stop = (along([b[i] for b in needs], line.out or 0) for i in (0, 1))
            found[line.source] = first, stop
            met = np.logical_and(met, stop > first)

        for part, shape in self._slabs():

            def cut(values: Any, part: slice = part) -> Any:
                return values if n == 0 or len(values) == 1 else values[part]

            bounds: list[Any] = [None if b is None else (cut(b[0]), cut(b[1])) for b in found]
            hit = cut(met)
            if plan.coupled is not None:
                here = [(cut(ranges[o][0]), cut(ranges[o][1])) for o in plan.coupled.outs]
                boxes, inside = plan.coupled.bounds(here, plan.edge)
                hit = np.logical_and(hit, inside)
                for source, box in zip(plan.coupled.sources, boxes, strict=True):
                    bounds[source] = box
            yield shape, bounds, hit

    def _slabs(self) -> Iterator[tuple[slice, tuple[int, ...]]]:
        """Return chunks along the first axis, so many that arrays are neither small nor large."""
        sizes = [len(e) - 1 for e in self.outs] or [1]
        rest = sizes[1:] if self.outs else []
        step = max(1, _AT_ONCE // max(math.prod(rest), 1))
        for start in range(0, sizes[0], step):
            part = slice(start, min(start + step, sizes[0]))
            yield part, (part.stop - part.start, *rest) if self.outs else ()

    @property
    def mixed(self) -> tuple[int, ...]:
        """The axes of the output that are mixed."""
        return self.plan.coupled.outs if self.plan.coupled is not None else ()

    def reach(self) -> list[float]:
        """Return how long the box of a chunk is along each axis of the source that is mixed."""
        found = [0.0] * len(self.sources)
        coupled = self.plan.coupled
        if coupled is not None:
            sizes = [int(np.diff(self.outs[o]).max(initial=1)) for o in coupled.outs]
            for source, row in zip(coupled.sources, coupled.matrix, strict=True):
                found[source] = sum([abs(m) * n for m, n in zip(row, sizes, strict=True)])
        return found

    def pieces(self) -> tuple[NDArray[np.intp], ...]:
        """Return where the pieces begin in which a chunk of the output is computed.

        What a piece reads of the source, put together, is to fit into the processor's cache.
        """
        found = list(self.outs)
        if self.plan.coupled is not None and self.like is None:
            for o in self.plan.coupled.outs:
                found[o] = divided(found[o], PIECE)
        return tuple(found)

    def make(self, source: Any, box: Box, out_box: Box) -> Any:
        """Compute a block."""
        if not engines.on_host(source):
            dtype = place_of(source).named(self.dtype)
            return device.block(self.plan, source, box, out_box, self.fill, dtype)
        out = np.empty([b - a for a, b in out_box], self.dtype)
        memory.fill_in(self.plan, source, box, out, self.fill, threads=1, out_box=out_box)
        return out


class Filter(ResampleTasks):
    """Filtering of the source, each chunk by itself."""

    __slots__ = ()

    @property
    def mixed(self) -> tuple[int, ...]:
        """The axes that are mixed afterwards."""
        return self.plan.coupled.sources if self.plan.coupled is not None else ()

    def reach(self) -> list[float]:
        """Return how long the box of a chunk is along each axis."""
        sizes = [int(np.diff(e).max(initial=1)) for e in self.outs]
        return [n + 2.0 * halo for n, halo in zip(sizes, self.plan.halo, strict=True)]

    def pieces(self) -> tuple[NDArray[np.intp], ...]:
        """Return where the chunks begin: each is filtered whole."""
        return self.outs

    def box(self, out_box: Box) -> Box | None:
        """Return a chunk with as much around it as the filters look at."""
        return wider(self.plan, out_box)

    def boxes(self) -> Iterator[tuple[tuple[int, ...], list[tuple[Any, Any]], Any]]:
        """Return `box` for all chunks, some at a time: how many along each axis, then as arrays."""
        for part, sizes in self._slabs():
            edges = (self.outs[0][part.start : part.stop + 1], *self.outs[1:])
            found = []
            for axis, (e, halo, n) in enumerate(
                zip(edges, self.plan.halo, self.plan.source_shape, strict=True)
            ):
                shape = [-1 if a == axis else 1 for a in range(len(edges))]
                first, stop = np.maximum(e[:-1] - halo, 0), np.minimum(e[1:] + halo, n)
                found.append((first.reshape(shape), stop.reshape(shape)))
            yield sizes, found, True

    def make(self, source: Any, box: Box, out_box: Box) -> Any:
        """Filter a block."""
        inner = [slice(a - f, b - f) for (a, b), (f, _) in zip(out_box, box, strict=True)]
        if not engines.on_host(source):
            return device.prepare(self.plan, source)[tuple(inner)]
        found = prepare(self.plan, source)[tuple(inner)]
        return found.copy() if found.size < source.size else found


def chunks_needed(
    work: ResampleTasks,
) -> Iterator[tuple[NDArray[np.bool], list[tuple[NDArray[Any], NDArray[Any]]]]]:
    """Return the chunks of the source that the output's need, some of these at a time, in order.

    Gives which need any, and along each axis of the source the first and after the last of them.
    """
    for shape, bounds, met in work.boxes():
        spans = [
            (np.broadcast_to(e.searchsorted(first, "right") - 1, shape).ravel(),
             np.broadcast_to(e.searchsorted(stop, "left"), shape).ravel())
            for e, (first, stop) in zip(work.sources, bounds, strict=True)
        ]  # fmt: skip
        yield np.broadcast_to(met, shape).ravel(), spans


def uses(work: ResampleTasks) -> NDArray[np.intp]:
    """Return how many chunks of the output need each chunk of the source.

    Each adds one to a box of chunks, which is noted at the box's corners and summed up at last.
    """
    counts = np.zeros([len(e) for e in work.sources], np.intp)
    for hit, spans in chunks_needed(work):
        for corner in itertools.product((0, 1), repeat=len(spans)):
            at = tuple([span[end][hit] for span, end in zip(spans, corner, strict=True)])
            np.add.at(counts, at, (-1) ** sum(corner))
    for axis in range(counts.ndim):
        counts.cumsum(axis, out=counts)
    return counts[(slice(-1),) * counts.ndim]
