"""Connected components of chunked arrays: chunks are labelled with a halo, then joined.

A voxel of the halo (one voxel wide) belongs to a neighbouring chunk too, so its labels in the two
chunks name one component, here called a part. One task joins all such pairs by a union-find and
makes a table for each chunk from its labels to those of the whole array. Each chunk is read and
labelled twice, once for its faces and once for the result, so that the volume is never in memory at
once. Parts are numbered in the order of their first voxels, as SciPy numbers them, or some of them
are selected, for example by size.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck.backends import chunk_values, empty_block
from spatial_duck.ndimage._running import Engine, engine_of, require_host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    #: Which voxels are joined: those not zero, those that are zero, or those of equal value.
    Joined = Literal["objects", "background", "values"]

__all__ = ["Parts", "chunked_holes", "chunked_label", "full_structure", "select_parts"]


#: How many summaries one task puts together.
_GROUP_SIZE = 8
#: Stands for the first voxel of a label that is in the halo alone.
_NO_VOXEL = np.iinfo(np.int64).max


class Parts(NamedTuple):
    """Properties of connected parts, one entry for each part.

    Attributes
    ----------
    first : ndarray of int64
        Number of the first voxel in C order of the whole array.
    sizes : ndarray of int64
        Number of voxels.
    values : ndarray
        The value of its voxels; meaningless where voxels of different values are joined.
    touches : ndarray of bool
        Whether the part touches the first or last index along one of the axes asked for.
    """

    first: NDArray[np.int64]
    sizes: NDArray[np.int64]
    values: NDArray[Any]
    touches: NDArray[np.bool_]


class _Summary(NamedTuple):
    """Connected parts of a chunk, as the union-find over chunks needs them.

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
    """The shape of the array, the start of a chunk, and its halo before and after."""

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


def _label_chunk(block: Any, structure: Any, joined: Joined) -> Any:
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


def _summarise(
    block: Any, structure: Any, joined: Joined, chunk: _Chunk, offsets: Any, ends: Sequence[int]
) -> _Summary:
    labels = _label_chunk(block, structure, joined)
    own = chunk.inner(labels)
    return _Summary(
        _describe_parts(labels, own, block, chunk.shape, chunk.start, ends),
        {o: chunk.halo(labels, o).copy() for o in offsets},
        {o: _face(own, tuple([-k for k in o])).copy() for o in offsets},
    )


def _describe_parts(
    labels: Any, own: Any, block: Any, shape: Sequence[int], start: Sequence[int],
    ends: Sequence[int],
) -> Parts:  # fmt: skip
    """Return the parts with labels 1, 2, … in a chunk; ``own`` is without the halo."""
    count = int(labels.max(initial=0))
    first = np.full(count + 1, _NO_VOXEL)
    found, position = np.unique(own, return_index=True)
    index = np.unravel_index(position, own.shape)
    first[found] = np.ravel_multi_index(
        tuple([i + s for i, s in zip(index, start, strict=True)]), tuple(shape)
    )
    values = np.zeros(count + 1, block.dtype)
    # Labels of the halo alone have a value too, by which they are joined with a neighbour's.
    everywhere = found
    if own is not labels:
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


def _touching_labels(
    summaries: Sequence[_Summary], blocks: tuple[int, ...], joined: Joined
) -> Iterator[Any]:
    """Yield for each two neighbouring chunks the pairs of labels that name one part."""
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
    """Return for each label of all chunks, in one count, the lowest that names the same part."""
    parent = list(range(int(starts[-1])))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for here, there, pairs in _touching_labels(summaries, blocks, joined):
        for a, b in pairs:
            one, two = root(int(starts[here]) + a - 1), root(int(starts[there]) + b - 1)
            parent[max(one, two)] = min(one, two)
    return np.array([root(i) for i in range(len(parent))], dtype=np.int64)


def _flatten(parts: Sequence[Any]) -> list[_Summary]:
    """Return summaries, and lists of them, as one list."""
    return [s for part in parts for s in (part if isinstance(part, list) else [part])]


def _join_labels(
    parts: Sequence[Any],
    blocks: tuple[int, ...],
    joined: Joined,
    choose: Callable[[Parts], NDArray[Any]],
) -> Any:
    """Return a table for each chunk, and the number of parts.

    The tables hold for each label of a chunk, from 0 on, what ``choose`` gives for its part.
    """
    summaries = _flatten(parts)
    starts = np.cumsum([0, *[len(s.parts.first) for s in summaries]])
    roots = _roots(summaries, blocks, starts, joined)
    one, inverse = np.unique(roots, return_inverse=True)
    first, sizes, values, touches = [
        np.concatenate([s.parts[k] for s in summaries]) for k in range(len(Parts._fields))
    ]
    whole = Parts(
        np.full(len(one), _NO_VOXEL), np.zeros(len(one), np.int64), values[one],
        np.zeros(len(one), bool),
    )  # fmt: skip
    np.minimum.at(whole.first, inverse, first)
    np.add.at(whole.sizes, inverse, sizes)
    np.logical_or.at(whole.touches, inverse, touches)
    chosen = choose(whole)
    table, zero = chosen[inverse], np.zeros(1, chosen.dtype)
    count = np.int64((whole.first != _NO_VOXEL).sum())
    return [np.concatenate([zero, table[a:b]]) for a, b in pairwise(starts)], count


def _number_parts(parts: Parts) -> NDArray[np.int32]:
    """Return the numbers 1, 2, … of parts, in the order of their first voxels."""
    rank = np.empty(len(parts.first), np.int32)
    rank[np.argsort(parts.first)] = np.arange(1, len(rank) + 1)
    return rank


def _is_enclosed(parts: Parts) -> NDArray[np.bool_]:
    return ~parts.touches


def _final_labels(
    block: Any,
    tables: Any,
    structure: Any,
    joined: Joined,
    places: Sequence[_Chunk],
    blocks: tuple[int, ...],
    block_info: Any = None,
) -> Any:
    number = int(np.ravel_multi_index(block_info[0]["chunk-location"], blocks))
    labels = places[number].inner(_label_chunk(block, structure, joined))
    found = tables[number][labels]
    if joined == "objects":
        return found
    inner = places[number].inner(block)
    return found | (inner != 0) if joined == "background" else np.where(found, inner, 0)


def _label_chunks(
    data: Any, structure: Any, ends: Sequence[int], dtype: Any, joined: Joined,
    choose: Callable[[Parts], NDArray[Any]],
) -> tuple[Any, Any]:  # fmt: skip
    import dask
    import dask.array as da
    from dask.graph_manipulation import bind

    dtype = np.dtype(dtype)
    require_host(data, "labelling by chunks")
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
    summarise = dask.delayed(_summarise, pure=True)
    summaries = [
        summarise(block, structure, joined, place, offsets, ends)
        for block, place in zip(chunk_values(padded), places, strict=True)
    ]
    # In groups: with one task that takes all, Dask would read chunks far ahead of it.
    gather = dask.delayed(_flatten, pure=True)
    while len(summaries) > _GROUP_SIZE:
        groups = range(0, len(summaries), _GROUP_SIZE)
        summaries = [gather(summaries[i : i + _GROUP_SIZE]) for i in groups]
    tables = dask.delayed(_join_labels, pure=True)(summaries, blocks, joined, choose)
    # Read again for the result: blocks used for both would stay in memory until all are joined.
    again = bind(padded, tables)
    labels = da.map_blocks(
        partial(_final_labels, structure=structure, joined=joined, places=places, blocks=blocks),
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
    return _label_chunks(data, structure, (), np.int32, "objects", _number_parts)


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
    return _label_chunks(data, structure, ends, bool, "background", _is_enclosed)[0]


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
        return _label_chunks(data, structure, (), native, "values", choose)[0]
    require_host(data, "selecting parts")
    if 0 in data.shape:
        return data.copy()
    labels = _label_chunk(data, full_structure(structure), "values")
    start = (0,) * data.ndim
    kept = choose(_describe_parts(labels, labels, data, data.shape, start, ()))
    return np.where(np.concatenate([[False], kept])[labels], data, data.dtype.type(0))


def full_structure(structure: NDArray[Any]) -> NDArray[np.bool_]:
    """Return a structure of length 3 along all axes; axes of length 1 join nothing.

    Parameters
    ----------
    structure : ndarray of bool
        With an axis of length 1 or 3 for each of the array's.
    """
    full = np.zeros((3,) * structure.ndim, bool)
    full[tuple([slice(None) if n == 3 else slice(1, 2) for n in structure.shape])] = structure
    return full
