"""Division of a pyramid into blocks, so that it can be written in one pass and within memory.

A block consists of whole chunks, so that each is written once; of whole bins, so that it can be
binned by itself; and of whole blocks of the level below (the next finer one). With a method whose
kernel extends beyond a bin, the blocks of a level are independent of those of others. This module
handles shapes alone, no arrays.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.pyramids._binning import find_method

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    Shape = tuple[int, ...]
    Box = tuple[slice, ...]

__all__ = ["BlockPlan", "make_block_plan"]

#: Bytes of a block if the memory allows; a block has at least one chunk.
_BLOCK_BYTES = 1 << 23
#: The same of a lazy image with smaller chunks.
_LAZY_BYTES = 1 << 20
#: Memory to process a block, in blocks: as computed, copied, binned, compressed.
_BLOCKS_IN_FLIGHT = 4
#: The same for a kernel that extends beyond a bin, in regions that are read: as stored, as read,
#: and smoothed a slab at a time.
_REGIONS_IN_FLIGHT = 3
#: Memory for binned blocks that are not yet joined to a block of the next level, in blocks.
_BLOCKS_TO_JOIN = 2


class BlockPlan(NamedTuple):
    """The blocks of each level of a pyramid.

    Attributes
    ----------
    shapes : tuple of shapes
        Shapes of the levels, the finest first.
    bins : tuple of shapes
        For each level, lengths of its bins in voxels of the level below.
    blocks : tuple of shapes
        For each level, lengths of its blocks; the last ones along an axis may be shorter.
    """

    shapes: tuple[Shape, ...]
    bins: tuple[Shape, ...]
    blocks: tuple[Shape, ...]

    def counts(self, level: int) -> Shape:
        """Return the number of blocks of a level along each axis."""
        pairs = zip(self.shapes[level], self.blocks[level], strict=True)
        return tuple([-(-n // b) for n, b in pairs])

    def indices(self, level: int) -> Iterator[Shape]:
        """Yield the index of each block of a level."""
        return itertools.product(*[range(n) for n in self.counts(level)])

    def box(self, level: int, index: Shape) -> Box:
        """Return the box of a block in its level."""
        return tuple(
            [
                slice(i * b, min((i + 1) * b, n))
                for i, b, n in zip(index, self.blocks[level], self.shapes[level], strict=True)
            ]
        )

    def binned_box(self, level: int, index: Shape) -> Box:
        """Return the box of a block's bins in the next level; may be empty."""
        return tuple(
            [
                slice(s.start // f, min(s.stop // f, n))
                for s, f, n in zip(
                    self.box(level, index), self.bins[level + 1], self.shapes[level + 1],
                    strict=True,
                )
            ]
        )  # fmt: skip

    def blocks_below(self, level: int, index: Shape) -> list[Shape]:
        """Return the blocks of the level below that a block is made of.

        Those of the last block along an axis include blocks whose voxels fill no bin.
        """
        ranges = []
        for i, b, f, there, here, count in zip(
            index, self.blocks[level], self.bins[level], self.blocks[level - 1],
            self.counts(level), self.counts(level - 1), strict=True,
        ):  # fmt: skip
            stop = count if i == here - 1 else (i + 1) * b * f // there
            ranges.append(range(i * b * f // there, stop))
        return list(itertools.product(*ranges))

    def count_bytes(self, level: int, index: Shape, dtype: np.dtype[Any]) -> int:
        """Return the number of bytes of a block."""
        sides = [s.stop - s.start for s in self.box(level, index)]
        return int(dtype.itemsize * math.prod(sides))

    def region_below(self, level: int, box: Box, reach: int) -> tuple[Box, Box]:
        """Return the region of the level below that a box of a level is made of.

        Parameters
        ----------
        level : int
            1 or more.
        box : tuple of slice
            A box of the level.
        reach : int
            Number of bins beyond the box that the kernel covers.

        Returns
        -------
        region : tuple of slice
            In voxels of the level below.
        inner : tuple of slice
            Where the box lies in the region's bins.
        """
        there, here = [], []
        for s, f, n in zip(box, self.bins[level], self.shapes[level], strict=True):
            edge = reach if f > 1 else 0
            low, high = max(s.start - edge, 0), min(s.stop + edge, n)
            there.append(slice(low * f, high * f))
            here.append(slice(s.start - low, s.stop - low))
        return tuple(there), tuple(here)

    def memory_in_flight(self, level: int, itemsize: int, reach: int) -> int:
        """Return the bytes of memory that it takes to process a block of a level."""
        block = itemsize * math.prod(self.blocks[level])
        if not reach or not level:
            return _BLOCKS_IN_FLIGHT * block
        box, _ = self.region_below(level, self.box(level, (0,) * len(self.blocks[level])), reach)
        sides = [
            s.stop + (reach * f if s.stop < n * f else 0)
            for s, f, n in zip(box, self.bins[level], self.shapes[level], strict=True)
        ]
        return int(_REGIONS_IN_FLIGHT * (itemsize * math.prod(sides) + block))

    def count_workers(self, itemsize: int, reach: int, memory: int, threads: int) -> int:
        """Return how many blocks may be processed at once; 0 if there is no memory for one."""
        levels = range(len(self.shapes))
        waiting = (
            0 if reach else _BLOCKS_TO_JOIN * max(itemsize * math.prod(b) for b in self.blocks)
        )
        most = max(self.memory_in_flight(level, itemsize, reach) for level in levels)
        return max(0, min(threads, (memory - waiting) // max(1, most)))


def make_block_plan(
    shapes: Sequence[Shape],
    bins: Sequence[Shape],
    chunks: Sequence[Shape],
    dtype: np.dtype[Any],
    method: str,
    memory: int,
    threads: int,
    computed: int | None = None,
) -> BlockPlan:
    """Return the division of levels into blocks.

    Parameters
    ----------
    shapes, bins, chunks : sequences of shapes
        Shapes of each level. Chunks are the units of writing: shards if there are any.
    dtype : dtype
        Type of the voxels.
    method : str
        Name of a method in `spatial_duck.pyramids._binning.METHODS`.
    memory : int
        Most bytes that the blocks may take.
    threads : int
        Number of blocks to process at once if the memory allows.
    computed : int, optional
        Bytes of a chunk of a lazy image. Blocks are not larger, since chunks of one block would
        wait for each other in memory.

    Raises
    ------
    ValueError
        If there is not enough memory for one block.
    """
    size, reach = dtype.itemsize, find_method(method).reach
    whole = (tuple(shapes), tuple(bins))
    if reach:
        # The blocks of a level are independent of those of others.
        blocks = tuple(
            tuple(map(min, c, map(_at_least_one, n))) for c, n in zip(chunks, shapes, strict=True)
        )
    else:
        blocks = _blocks_of_levels(*whole, chunks, _smallest_block(shapes, bins, chunks, 0, None))
    made = BlockPlan(*whole, blocks)
    if not made.count_workers(size, reach, memory, 1):
        need = max(made.memory_in_flight(level, size, reach) for level in range(len(blocks)))
        need += 0 if reach else _BLOCKS_TO_JOIN * max(size * math.prod(b) for b in blocks)
        raise ValueError(
            f"memory must be at least {need:,} bytes for blocks of {blocks[0]}, got {memory:,}; "
            "choose smaller chunks, multiples of the factors"
        )
    # Larger blocks make fewer tasks; they grow while as many of them fit into memory.
    count = made.count_workers(size, reach, memory, threads)
    most = _BLOCK_BYTES if computed is None else min(max(computed, _LAZY_BYTES), _BLOCK_BYTES)
    while True:
        larger = _double_block(made.blocks[0], shapes[0])
        if size * math.prod(larger) > most or larger == made.blocks[0]:
            return made
        if reach:
            rest = zip(made.blocks[1:], shapes[1:], strict=True)
            grown = BlockPlan(*whole, (larger, *[_double_block(b, n) for b, n in rest]))
        else:
            grown = BlockPlan(*whole, _blocks_of_levels(*whole, chunks, larger))
        if grown.count_workers(size, reach, memory, threads) < count:
            return made
        made = grown


def _at_least_one(n: int) -> int:
    return max(n, 1)


def _double_block(block: Shape, shape: Shape) -> Shape:
    """Return a block doubled along its shortest axis that is not yet as long as the level."""
    longer = [axis for axis, n in enumerate(shape) if block[axis] < n]
    if not longer:
        return block
    axis = min(longer, key=lambda a: (block[a], -a))
    return (*block[:axis], min(2 * block[axis], shape[axis]), *block[axis + 1 :])


def _blocks_of_levels(
    shapes: Sequence[Shape], bins: Sequence[Shape], chunks: Sequence[Shape], first: Shape
) -> tuple[Shape, ...]:
    """Return the lengths of the blocks of all levels, given those of the finest."""
    blocks = [first]
    for level in range(1, len(shapes)):
        blocks.append(_smallest_block(shapes, bins, chunks, level, blocks[-1]))
    return tuple(blocks)


def _smallest_block(
    shapes: Sequence[Shape],
    bins: Sequence[Shape],
    chunks: Sequence[Shape],
    level: int,
    below: Shape | None,
) -> Shape:
    """Return the smallest block of whole chunks, whole bins and whole blocks of the level below."""
    next_bins = bins[level + 1] if level + 1 < len(bins) else (1,) * len(shapes[0])
    block = []
    for axis, (n, c, f) in enumerate(zip(shapes[level], chunks[level], next_bins, strict=True)):
        size = math.lcm(c, f)
        if below is not None:
            if below[axis] >= shapes[level - 1][axis]:
                size = n
            else:
                size *= below[axis] // math.gcd(below[axis], size * bins[level][axis])
        block.append(max(1, min(size, n)))
    return tuple(block)
