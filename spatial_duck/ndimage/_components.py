"""Connected parts of arrays in chunks: chunks are labelled with a halo of one voxel, then joined.

A voxel of the halo belongs to a neighbouring chunk; its two labels name one part. All such pairs,
which are as few as the faces of the chunks are small, go through a union-find in one task, and its
table turns the labels of each chunk into those of the whole. Each chunk is labelled twice, once for
its faces and once for the result, and read twice, so that the volume is never in memory at once.
The parts are numbered in the order of their first voxels, as SciPy numbers them in memory.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.backends import chunk_values, empty_block
from spatial_duck.ndimage._running import engine_of, on_host

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["chunked_holes", "chunked_label", "full_structure"]


#: Summaries that one task gathers.
_GROUP = 8


class _Summary(NamedTuple):
    """What the union-find needs to know of a chunk.

    Attributes
    ----------
    first : ndarray of int64
        For each label of the chunk, the number of its first own voxel in the whole array; -1 for
        labels of the halo alone.
    touches : ndarray of bool
        Whether the label touches an end of the array.
    halo, own : dict of offset to ndarray of int
        Labels in the halo towards a neighbour; labels along the face that lies in a neighbour's
        halo.
    """

    first: NDArray[np.int64]
    touches: NDArray[np.bool_]
    halo: dict[tuple[int, ...], NDArray[Any]]
    own: dict[tuple[int, ...], NDArray[Any]]


class _Chunk(NamedTuple):
    """Where a chunk with its halo lies: starts, and how much halo there is before and after."""

    shape: tuple[int, ...]
    start: tuple[int, ...]
    before: tuple[int, ...]
    after: tuple[int, ...]

    def inner(self, block: Any) -> Any:
        """Cut the halo off."""
        return block[tuple([slice(b, n - a) for b, a, n in self._ends(block)])]

    def halo(self, block: Any, offset: tuple[int, ...]) -> Any:
        """Return the part of the halo that lies at a neighbour."""
        key = []
        for o, (before, after, n) in zip(offset, self._ends(block), strict=True):
            cuts = {-1: (0, before), 0: (before, n - after), 1: (n - after, n)}
            key.append(slice(*cuts[o]))
        return block[tuple(key)]

    def _ends(self, block: Any) -> list[tuple[int, int, int]]:
        return list(zip(self.before, self.after, block.shape, strict=True))


def _face(block: Any, offset: tuple[int, ...]) -> Any:
    """Return the outermost voxels of a block on the side of a neighbour."""
    cut = {0: slice(None), 1: slice(-1, None), -1: slice(0, 1)}
    return block[tuple([cut[o] for o in offset])]


def _local(block: Any, structure: Any, invert: bool) -> Any:
    """Label a chunk with its halo."""
    engine = engine_of(block)
    mask = (block == 0) if invert else (block != 0)
    return engine.nd.label(mask, structure)[0]


def _summary(
    block: Any, structure: Any, invert: bool, chunk: _Chunk, offsets: Any, ends: Sequence[int]
) -> _Summary:
    labels = _local(block, structure, invert)
    own = chunk.inner(labels)
    count = int(labels.max(initial=0))
    first = np.full(count + 1, -1, np.int64)
    found, position = np.unique(own, return_index=True)
    index = np.unravel_index(position, own.shape)
    first[found] = np.ravel_multi_index(
        tuple([i + s for i, s in zip(index, chunk.start, strict=True)]), chunk.shape
    )
    touches = np.zeros(count + 1, bool)
    for axis in ends:
        if chunk.start[axis] == 0:
            touches[np.unique(own.take(0, axis))] = True
        if chunk.start[axis] + own.shape[axis] == chunk.shape[axis]:
            touches[np.unique(own.take(-1, axis))] = True
    return _Summary(
        first[1:],
        touches[1:],
        {o: chunk.halo(labels, o).copy() for o in offsets},
        {o: _face(own, tuple([-k for k in o])).copy() for o in offsets},
    )


def _pairs(summaries: Sequence[_Summary], blocks: tuple[int, ...]) -> Iterator[Any]:
    """Yield, for each two neighbours, the pairs of labels that name one part."""
    for number, here in enumerate(summaries):
        place = np.unravel_index(number, blocks)
        for offset, halo in here.halo.items():
            neighbour = [int(p) + o for p, o in zip(place, offset, strict=True)]
            if any(not 0 <= n < m for n, m in zip(neighbour, blocks, strict=True)):
                continue
            other = int(np.ravel_multi_index(neighbour, blocks))
            both = np.stack([halo.ravel(), summaries[other].own[offset].ravel()])
            both = np.unique(both[:, (both != 0).all(axis=0)], axis=1)
            yield number, other, both.T.tolist()


def _roots(summaries: Sequence[_Summary], blocks: tuple[int, ...], starts: Any) -> Any:
    """Return for each label of each chunk, counted on, the lowest that names the same part."""
    parent = list(range(int(starts[-1])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for here, there, pairs in _pairs(summaries, blocks):
        for a, b in pairs:
            one, two = root(int(starts[here]) + a - 1), root(int(starts[there]) + b - 1)
            parent[max(one, two)] = min(one, two)
    return np.array([root(i) for i in range(len(parent))], dtype=np.int64)


def _gathered(parts: Sequence[Any]) -> list[_Summary]:
    """Put summaries, and lists of them, into one list."""
    return [s for part in parts for s in (part if isinstance(part, list) else [part])]


def _joined(parts: Sequence[Any], blocks: tuple[int, ...], holes: bool) -> Any:
    """Join the labels of all chunks: a table for each chunk, and how many parts there are.

    The tables tell for each label of a chunk, from 0 on, its number in the whole; or, for `holes`,
    whether its part touches no end of the array.
    """
    summaries = _gathered(parts)
    starts = np.cumsum([0, *[len(s.first) for s in summaries]])
    roots = _roots(summaries, blocks, starts)
    size, count = int(starts[-1]), np.int64(0)
    if holes:
        touches = np.zeros(size, bool)
        np.logical_or.at(touches, roots, np.concatenate([s.touches for s in summaries]))
        table: Any = ~touches[roots]
    else:
        first = np.concatenate([s.first for s in summaries])
        known = first >= 0  # labels of a halo alone have no voxel here
        lowest = np.full(size, np.iinfo(np.int64).max)
        np.minimum.at(lowest, roots[known], first[known])
        order = np.unique(lowest[roots[known]])
        count = np.int64(len(order))
        table = np.zeros(size, np.int32)
        table[known] = np.searchsorted(order, lowest[roots[known]]) + 1
    zero = np.zeros(1, table.dtype)
    return [np.concatenate([zero, table[a:b]]) for a, b in pairwise(starts)], count


def _relabelled(
    block: Any,
    tables: Any,
    structure: Any,
    invert: bool,
    places: Sequence[_Chunk],
    blocks: tuple[int, ...],
    block_info: Any = None,
) -> Any:
    number = int(np.ravel_multi_index(block_info[0]["chunk-location"], blocks))
    labels = places[number].inner(_local(block, structure, invert))
    found = tables[number][labels]
    return found | (places[number].inner(block) != 0) if invert else found


def _run(data: Any, structure: Any, ends: Sequence[int], *, holes: bool) -> tuple[Any, Any]:
    import dask
    import dask.array as da
    from dask.graph_manipulation import bind

    dtype = np.dtype(bool if holes else np.int32)
    on_host(data, "labelling by chunks")
    meta = empty_block(data, dtype=dtype)
    if 0 in data.shape:
        return da.zeros_like(data, dtype=dtype), da.zeros((), dtype=np.int64)
    # A halo only along the axes on which voxels are joined.
    joins = [n > 1 for n in structure.shape]
    structure = full_structure(structure)
    depth = {i: int(j and len(data.chunks[i]) > 1) for i, j in enumerate(joins)}
    padded = da.overlap.overlap(data, depth, "none") if any(depth.values()) else data
    chunks, blocks = data.chunks, data.numblocks
    edges = [np.cumsum([0, *c]).tolist() for c in chunks]
    places = [
        _Chunk(
            data.shape,
            tuple([edges[axis][i] for axis, i in enumerate(index)]),
            tuple([depth[axis] * (i > 0) for axis, i in enumerate(index)]),
            tuple([depth[axis] * (i < blocks[axis] - 1) for axis, i in enumerate(index)]),
        )
        for index in product(*[range(n) for n in blocks])
    ]
    steps = [(-1, 0, 1) if depth[axis] else (0,) for axis in range(data.ndim)]
    offsets = [o for o in product(*steps) if o > (0,) * data.ndim]
    summarise = dask.delayed(_summary, pure=True)
    summaries = [
        summarise(block, structure, holes, place, offsets, ends)
        for block, place in zip(chunk_values(padded), places, strict=True)
    ]
    # In groups: of one task with all as its arguments, Dask's order would read far ahead.
    gather = dask.delayed(_gathered, pure=True)
    while len(summaries) > _GROUP:
        groups = range(0, len(summaries), _GROUP)
        summaries = [gather(summaries[i : i + _GROUP]) for i in groups]
    joined = dask.delayed(_joined, pure=True)(summaries, blocks, holes)
    # Read again for the result, when all is joined: shared blocks would wait in memory for that.
    again = bind(padded, joined)
    labels = da.map_blocks(
        partial(_relabelled, structure=structure, invert=holes, places=places, blocks=blocks),
        again, joined[0], dtype=dtype, chunks=chunks, meta=meta,
    )  # fmt: skip
    return labels, da.from_delayed(joined[1], shape=(), dtype=np.int64)


def chunked_label(data: Any, structure: NDArray[Any]) -> tuple[Any, Any]:
    """Label a Dask array.

    Parameters
    ----------
    data : dask.array.Array
        What is not zero belongs to parts.
    structure : ndarray of bool
        Which neighbours are joined, one axis of length 1 or 3 for each of the array's.

    Returns
    -------
    labels : dask.array.Array of int32
    count : dask.array.Array of int64, 0-d
    """
    return _run(data, structure, (), holes=False)


def chunked_holes(data: Any, structure: NDArray[Any], ends: Sequence[int]) -> Any:
    """Fill the parts of the background that do not touch the array's ends along some axes.

    Parameters
    ----------
    data : dask.array.Array
        What is not zero belongs to objects.
    structure : ndarray of bool
        As for `chunked_label`.
    ends : sequence of int
        The axes whose ends lead outside.
    """
    return _run(data, structure, ends, holes=True)[0]


def full_structure(structure: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a structure of length 3 along all axes, that joins nothing along the short ones.

    Parameters
    ----------
    structure : ndarray of bool
        With an axis of length 1 or 3 for each of the array's.
    """
    full = np.zeros((3,) * structure.ndim, bool)
    full[tuple([slice(None) if n == 3 else slice(1, 2) for n in structure.shape])] = structure
    return full
