"""Connected parts of arrays in chunks: chunks are labelled with a halo of one voxel, then joined.

A voxel of the halo belongs to a neighbouring chunk; its two labels name one part. All such pairs,
which are as few as the faces of the chunks are small, go through a union-find in one task, and its
table turns the labels of each chunk into those of the whole. Each chunk is labelled twice, once for
its faces and once for the result, and read twice, so that the volume is never in memory at once.
The parts are numbered in the order of their first voxels, as SciPy numbers them in memory; or, by
how large they are, some of them are kept.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.backends import chunk_values, empty_block
from spatial_duck.ndimage._running import Engine, engine_of, on_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    #: What is joined: all that is not zero, all that is zero, or what has one value.
    Joined = Literal["objects", "background", "values"]

__all__ = ["Parts", "chunked_holes", "chunked_label", "full_structure", "select_parts"]


#: Summaries that one task gathers.
_GROUP = 8
#: First voxel of a part that has none of its own.
_NOWHERE = np.iinfo(np.int64).max


class Parts(NamedTuple):
    """What is known of parts, an entry each.

    Attributes
    ----------
    first : ndarray of int64
        Number of the first voxel in C order of the whole array.
    sizes : ndarray of int64
        Number of voxels.
    values : ndarray
        The value of its voxels; of no meaning where different ones are joined.
    touches : ndarray of bool
        Whether the part touches an end of the array.
    """

    first: NDArray[np.int64]
    sizes: NDArray[np.int64]
    values: NDArray[Any]
    touches: NDArray[np.bool_]


class _Summary(NamedTuple):
    """What the union-find needs to know of a chunk.

    Attributes
    ----------
    parts : Parts
        The chunk's own voxels of each of its labels; those of the halo alone have none.
    halo, own : dict of offset to ndarray of int
        Labels in the halo towards a neighbour; labels along the face that lies in a neighbour's
        halo.
    """

    parts: Parts
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


def _local(block: Any, structure: Any, joined: Joined) -> Any:
    """Label a chunk with its halo."""
    engine = engine_of(block)
    if joined == "values" and block.dtype.kind != "b":
        return _labels_by_value(engine, block, structure)
    mask = (block == 0) if joined == "background" else (block != 0)
    return engine.nd.label(mask, structure)[0]


def _labels_by_value(engine: Engine, block: Any, structure: Any) -> Any:
    """Label the parts of each value that is not zero, within the box that it lies in."""
    xp = engine.xp
    values, dense = xp.unique(block, return_inverse=True)
    dense = (dense.reshape(block.shape) + 1).astype(np.int32)
    labels, count = xp.zeros(block.shape, np.int32), 0
    for number, (value, box) in enumerate(
        zip(values.tolist(), engine.nd.find_objects(dense), strict=True), 1
    ):
        if value == 0:
            continue
        found, n = engine.nd.label(dense[box] == number, structure)
        labels[box] += xp.where(found > 0, found + count, 0).astype(np.int32)
        count += int(n)
    return labels


def _summary(
    block: Any, structure: Any, joined: Joined, chunk: _Chunk, offsets: Any, ends: Sequence[int]
) -> _Summary:
    labels = _local(block, structure, joined)
    own = chunk.inner(labels)
    return _Summary(
        _parts(labels, own, block, chunk.shape, chunk.start, ends),
        {o: chunk.halo(labels, o).copy() for o in offsets},
        {o: _face(own, tuple([-k for k in o])).copy() for o in offsets},
    )


def _parts(
    labels: Any, own: Any, block: Any, shape: Sequence[int], start: Sequence[int],
    ends: Sequence[int],
) -> Parts:  # fmt: skip
    """Return what the labels 1, 2, … of a chunk are; ``own`` is without the halo."""
    count = int(labels.max(initial=0))
    first = np.full(count + 1, _NOWHERE)
    found, position = np.unique(own, return_index=True)
    index = np.unravel_index(position, own.shape)
    first[found] = np.ravel_multi_index(
        tuple([i + s for i, s in zip(index, start, strict=True)]), tuple(shape)
    )
    values = np.zeros(count + 1, block.dtype)
    # Labels of the halo alone have a value too, by which they are joined with a neighbour's.
    everywhere, position = np.unique(labels, return_index=True)
    values[everywhere] = block.ravel()[position]
    touches = np.zeros(count + 1, bool)
    for axis in ends:
        if start[axis] == 0:
            touches[np.unique(own.take(0, axis))] = True
        if start[axis] + own.shape[axis] == shape[axis]:
            touches[np.unique(own.take(-1, axis))] = True
    sizes = np.bincount(own.ravel(), minlength=count + 1)
    return Parts(first[1:], sizes[1:], values[1:], touches[1:])


def _pairs(summaries: Sequence[_Summary], blocks: tuple[int, ...], joined: Joined) -> Iterator[Any]:
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
            if joined == "values":
                one, two = here.parts.values, summaries[other].parts.values
                both = both[:, one[both[0] - 1] == two[both[1] - 1]]
            yield number, other, both.T.tolist()


def _roots(
    summaries: Sequence[_Summary], blocks: tuple[int, ...], starts: Any, joined: Joined
) -> Any:
    """Return for each label of each chunk, counted on, the lowest that names the same part."""
    parent = list(range(int(starts[-1])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for here, there, pairs in _pairs(summaries, blocks, joined):
        for a, b in pairs:
            one, two = root(int(starts[here]) + a - 1), root(int(starts[there]) + b - 1)
            parent[max(one, two)] = min(one, two)
    return np.array([root(i) for i in range(len(parent))], dtype=np.int64)


def _gathered(parts: Sequence[Any]) -> list[_Summary]:
    """Put summaries, and lists of them, into one list."""
    return [s for part in parts for s in (part if isinstance(part, list) else [part])]


def _tables(
    parts: Sequence[Any],
    blocks: tuple[int, ...],
    joined: Joined,
    choose: Callable[[Parts], NDArray[Any]],
) -> Any:
    """Join the labels of all chunks: a table for each chunk, and how many parts there are.

    The tables tell for each label of a chunk, from 0 on, what was chosen for its part.
    """
    summaries = _gathered(parts)
    starts = np.cumsum([0, *[len(s.parts.first) for s in summaries]])
    roots = _roots(summaries, blocks, starts, joined)
    one, inverse = np.unique(roots, return_inverse=True)
    first, sizes, values, touches = [
        np.concatenate([s.parts[k] for s in summaries]) for k in range(len(Parts._fields))
    ]
    whole = Parts(
        np.full(len(one), _NOWHERE), np.zeros(len(one), np.int64), values[one],
        np.zeros(len(one), bool),
    )  # fmt: skip
    np.minimum.at(whole.first, inverse, first)
    np.add.at(whole.sizes, inverse, sizes)
    np.logical_or.at(whole.touches, inverse, touches)
    chosen = choose(whole)
    table, zero = chosen[inverse], np.zeros(1, chosen.dtype)
    count = np.int64((whole.first != _NOWHERE).sum())
    return [np.concatenate([zero, table[a:b]]) for a, b in pairwise(starts)], count


def _numbers(parts: Parts) -> NDArray[np.int32]:
    """Return numbers in the order of the first voxels."""
    rank = np.empty(len(parts.first), np.int32)
    rank[np.argsort(parts.first)] = np.arange(1, len(rank) + 1)
    return rank


def _enclosed(parts: Parts) -> NDArray[np.bool_]:
    return ~parts.touches


def _result(
    block: Any,
    tables: Any,
    structure: Any,
    joined: Joined,
    places: Sequence[_Chunk],
    blocks: tuple[int, ...],
    block_info: Any = None,
) -> Any:
    number = int(np.ravel_multi_index(block_info[0]["chunk-location"], blocks))
    labels = places[number].inner(_local(block, structure, joined))
    found = tables[number][labels]
    if joined == "objects":
        return found
    inner = places[number].inner(block)
    return found | (inner != 0) if joined == "background" else np.where(found, inner, 0)


def _run(
    data: Any, structure: Any, ends: Sequence[int], dtype: Any, joined: Joined,
    choose: Callable[[Parts], NDArray[Any]],
) -> tuple[Any, Any]:  # fmt: skip
    import dask
    import dask.array as da
    from dask.graph_manipulation import bind

    dtype = np.dtype(dtype)
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
        summarise(block, structure, joined, place, offsets, ends)
        for block, place in zip(chunk_values(padded), places, strict=True)
    ]
    # In groups: of one task with all as its arguments, Dask's order would read far ahead.
    gather = dask.delayed(_gathered, pure=True)
    while len(summaries) > _GROUP:
        groups = range(0, len(summaries), _GROUP)
        summaries = [gather(summaries[i : i + _GROUP]) for i in groups]
    tables = dask.delayed(_tables, pure=True)(summaries, blocks, joined, choose)
    # Read again for the result, when all is joined: shared blocks would wait in memory for that.
    again = bind(padded, tables)
    labels = da.map_blocks(
        partial(_result, structure=structure, joined=joined, places=places, blocks=blocks),
        again, tables[0], dtype=dtype, chunks=chunks, meta=meta,
    )  # fmt: skip
    return labels, da.from_delayed(tables[1], shape=(), dtype=np.int64)


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
    return _run(data, structure, (), np.int32, "objects", _numbers)


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
    return _run(data, structure, ends, bool, "background", _enclosed)[0]


def select_parts(
    data: Any, structure: NDArray[Any], choose: Callable[[Parts], NDArray[np.bool_]]
) -> Any:
    """Keep some of the connected parts of equal value, and set the others to zero.

    Parameters
    ----------
    data : ndarray or dask.array.Array
        Labels, or a mask; what is zero is no part.
    structure : ndarray of bool
        As for `chunked_label`.
    choose : callable
        Tells which of the `Parts` are kept.

    Returns
    -------
    ndarray or dask.array.Array
        Of the same type.
    """
    if backends.is_dask(data):
        native = np.dtype(data.dtype).newbyteorder("=")
        return _run(data, structure, (), native, "values", choose)[0]
    on_host(data, "selecting parts")
    if 0 in data.shape:
        return data.copy()
    labels = _local(data, full_structure(structure), "values")
    start = (0,) * data.ndim
    kept = choose(_parts(labels, labels, data, data.shape, start, ()))
    return np.where(np.concatenate([[False], kept])[labels], data, data.dtype.type(0))


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
