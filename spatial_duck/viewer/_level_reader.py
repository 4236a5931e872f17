"""Reading of the voxels of a level that are shown: only the chunks that hold them are read.

A NumPy array (a memory-mapped file too) is indexed directly. Of all else whole chunks are read,
each once, and kept in a `BlockCache` until it is full, so that the next plane through a chunk reads
nothing.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray

__all__ = ["BlockCache", "LevelReader"]

#: Side of the blocks that are read of arrays without chunks.
_BLOCK = 64


class BlockCache:
    """Blocks by key, up to a number of bytes; the least recently used are dropped.

    A block that several threads ask for at once is read once.

    Parameters
    ----------
    limit : int
        Most bytes that are kept.

    Examples
    --------
    >>> cache = BlockCache(100)
    >>> cache.get("a", lambda: np.zeros(10, np.uint8)).size
    10
    >>> cache.get("a", lambda: 1 / 0).size  # not made again
    10
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._blocks: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = threading.Lock()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the block of a key; `make` is called if it is not cached."""
        with self._lock:
            found = self._cached(key)
            if found is not None:
                return found
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                found = self._cached(key)
            if found is not None:
                return found
            try:
                block = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._blocks[key] = block
                self._bytes += block.nbytes
                while self._bytes > self._limit and len(self._blocks) > 1:
                    self._bytes -= self._blocks.popitem(last=False)[1].nbytes
        return block

    def _cached(self, key: Hashable) -> NDArray[Any] | None:
        found = self._blocks.get(key)
        if found is not None:
            self._blocks.move_to_end(key)
        return found


class LevelReader:
    """Reads voxels of one resolution of an image.

    Parameters
    ----------
    image : SpatialArray
        On any backend.
    axes : sequence of int
        Array axes that run through space.
    cache : BlockCache
    name : hashable
        Key by which the cache distinguishes this level from others.
    """

    def __init__(
        self, image: SpatialArray, axes: Sequence[int], cache: BlockCache, name: Hashable
    ) -> None:
        self.image = image
        self.axes = tuple(axes)
        self._cache = cache
        self._name = name
        self._edges = [_edges(image.data, axis, image.shape[axis]) for axis in self.axes]

    def take(
        self, index: Sequence[NDArray[np.intp]], fixed: Mapping[int, int] | None = None
    ) -> NDArray[Any]:
        """Return the values of voxels.

        Parameters
        ----------
        index : sequence of ndarray of int
            Indices of the voxels along each axis of space, in array-axis order, all of one length
            (1 at least) and inside the image.
        fixed : mapping of int to int, optional
            Index along each other array axis; 0 where it is not given.

        Returns
        -------
        ndarray
            One value for each voxel.
        """
        fixed = fixed or {}
        key: list[Any] = [
            slice(None) if axis in self.axes else fixed.get(axis, 0)
            for axis in range(self.image.ndim)
        ]
        if isinstance(self.image.data, np.ndarray):
            found: NDArray[Any] = np.asarray(self.image.data[tuple(key)])[tuple(index)]
            return found
        chunk = [
            np.searchsorted(e, i, side="right") - 1 for e, i in zip(self._edges, index, strict=True)
        ]
        counts = [len(e) - 1 for e in self._edges]
        number = np.ravel_multi_index(chunk, counts)
        order = np.argsort(number, kind="stable")
        numbers, first = np.unique(number[order], return_index=True)
        out: NDArray[Any] | None = None
        for flat, members in zip(numbers.tolist(), np.split(order, first[1:]), strict=True):
            at = [int(n) for n in np.unravel_index(flat, counts)]
            low = [int(e[n]) for e, n in zip(self._edges, at, strict=True)]
            for axis, e, n in zip(self.axes, self._edges, at, strict=True):
                key[axis] = slice(int(e[n]), int(e[n + 1]))
            block = self._block(tuple(key), flat)
            inside = tuple(i[members] - start for i, start in zip(index, low, strict=True))
            if out is None:
                out = np.empty(len(number), block.dtype)
            out[members] = block[inside]
        if out is None:
            raise ValueError("take needs one voxel at least")
        return out

    def _block(self, key: tuple[Any, ...], flat: int) -> NDArray[Any]:
        fixed = tuple(k for k in key if not isinstance(k, slice))
        return self._cache.get(
            (self._name, fixed, flat), lambda: np.asarray(self.image[key].to("numpy").data)
        )


def _edges(data: Any, axis: int, length: int) -> NDArray[np.intp]:
    """Return where the chunks along an axis begin, and the end."""
    chunks = backends.chunks(data)
    if chunks is not None:
        return np.concatenate([[0], np.cumsum(chunks[axis], dtype=np.intp)])
    return np.append(np.arange(0, length, _BLOCK, dtype=np.intp), np.intp(length))
