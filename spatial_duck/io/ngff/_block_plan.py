"""How a pyramid is cut into blocks, so that it can be written in one pass and within memory.

A block is made of whole chunks, so that it is written once; of whole bins, so that it can be binned
by itself; and of whole blocks of the level below. A method that looks beyond a bin's edge binds no
level to another. This knows shapes alone, no arrays.
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

__all__ = ["BlockPlan", "plan"]

#: Bytes of a block where the memory allows, at least one chunk.
_BLOCK_BYTES = 1 << 23
#: Memory that a block in flight takes, in blocks: as computed, as copied, binned, compressed.
_IN_FLIGHT = 4
#: The same where a method looks further: for each region that is read, as it was stored, as it is
#: read, and smoothed a slab at a time.
_REGION_IN_FLIGHT = 3
#: Memory for the blocks that wait to be put together, in blocks.
_WAITING = 2


class BlockPlan(NamedTuple):
    """How each level is cut into blocks.

    Attributes
    ----------
    shapes : tuple of shapes
        Of the levels, the finest first.
    bins : tuple of shapes
        Bin length of each level against the one before.
    blocks : tuple of shapes
        Block of each level; the last ones along an axis may be shorter.
    """

    shapes: tuple[Shape, ...]
    bins: tuple[Shape, ...]
    blocks: tuple[Shape, ...]

    def counts(self, level: int) -> Shape:
        """Return the number of blocks of a level along each axis."""
        pairs = zip(self.shapes[level], self.blocks[level], strict=True)
        return tuple([-(-n // b) for n, b in pairs])

    def indices(self, level: int) -> Iterator[Shape]:
        """Yield the blocks of a level."""
        return itertools.product(*[range(n) for n in self.counts(level)])

    def box(self, level: int, index: Shape) -> Box:
        """Return where a block lies."""
        return tuple(
            [
                slice(i * b, min((i + 1) * b, n))
                for i, b, n in zip(index, self.blocks[level], self.shapes[level], strict=True)
            ]
        )

    def binned_box(self, level: int, index: Shape) -> Box:
        """Return where a block's bins lie on the next level; may be empty."""
        return tuple(
            [
                slice(s.start // f, min(s.stop // f, n))
                for s, f, n in zip(
                    self.box(level, index), self.bins[level + 1], self.shapes[level + 1],
                    strict=True,
                )
            ]
        )  # fmt: skip

    def below(self, level: int, index: Shape) -> list[Shape]:
        """Return the blocks of the level below that a block is made of.

        The last ones along an axis come with those beyond them, whose voxels fill no bin.
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
        """Return the bytes of a block."""
        sides = [s.stop - s.start for s in self.box(level, index)]
        return int(dtype.itemsize * math.prod(sides))

    def region(self, level: int, box: Box, reach: int) -> tuple[Box, Box]:
        """Return what a part of a level is made of on the level below, and where it lies in that.

        Parameters
        ----------
        level : int
            1 or more.
        box : tuple of slice
            The part.
        reach : int
            Bins beside it that are seen.
        """
        there, here = [], []
        for s, f, n in zip(box, self.bins[level], self.shapes[level], strict=True):
            edge = reach if f > 1 else 0
            low, high = max(s.start - edge, 0), min(s.stop + edge, n)
            there.append(slice(low * f, high * f))
            here.append(slice(s.start - low, s.stop - low))
        return tuple(there), tuple(here)

    def in_flight(self, level: int, itemsize: int, reach: int) -> int:
        """Return the bytes of memory that a block of a level takes while it is worked on."""
        block = itemsize * math.prod(self.blocks[level])
        if not reach or not level:
            return _IN_FLIGHT * block
        box, _ = self.region(level, self.box(level, (0,) * len(self.blocks[level])), reach)
        sides = [
            s.stop + (reach * f if s.stop < n * f else 0)
            for s, f, n in zip(box, self.bins[level], self.shapes[level], strict=True)
        ]
        return int(_REGION_IN_FLIGHT * (itemsize * math.prod(sides) + block))

    def workers(self, itemsize: int, reach: int, memory: int, threads: int) -> int:
        """Return how many blocks may be in flight; 0 where there is no memory for one."""
        levels = range(len(self.shapes))
        waiting = 0 if reach else _WAITING * max(itemsize * math.prod(b) for b in self.blocks)
        most = max(self.in_flight(level, itemsize, reach) for level in levels)
        return max(0, min(threads, (memory - waiting) // max(1, most)))


def plan(
    shapes: Sequence[Shape],
    bins: Sequence[Shape],
    chunks: Sequence[Shape],
    dtype: np.dtype[Any],
    method: str,
    memory: int,
    threads: int,
) -> BlockPlan:
    """Cut levels into blocks.

    Parameters
    ----------
    shapes, bins, chunks : sequences of shapes
        Of each level. Chunks are what is written at once: shards where there are some.
    dtype : dtype
        Of the voxels.
    method : str
        Row of `spatial_duck.pyramids._binning.METHODS`.
    memory : int
        Bytes that the blocks may take.
    threads : int
        How many are wanted in flight.

    Raises
    ------
    ValueError
        If the memory does not do for one block.
    """
    size, reach = dtype.itemsize, find_method(method).reach
    whole = (tuple(shapes), tuple(bins))
    if reach:
        # No level is put together from blocks of another.
        blocks = tuple(
            tuple(map(min, c, map(_at_least_one, n))) for c, n in zip(chunks, shapes, strict=True)
        )
    else:
        blocks = _stacked(*whole, chunks, _aligned(shapes, bins, chunks, 0, None))
    made = BlockPlan(*whole, blocks)
    if not made.workers(size, reach, memory, 1):
        need = made.in_flight(max(range(len(blocks)), key=lambda n: made.in_flight(n, size, reach)),
                              size, reach)  # fmt: skip
        need += 0 if reach else _WAITING * max(size * math.prod(b) for b in blocks)
        raise ValueError(
            f"memory must be at least {need:,} bytes for blocks of {blocks[0]}, got {memory:,}; "
            "choose smaller chunks, multiples of the factors"
        )
    # Larger blocks take fewer tasks, as long as as many of them fit in memory.
    count = made.workers(size, reach, memory, threads)
    while True:
        larger = _doubled(made.blocks[0], shapes[0])
        if size * math.prod(larger) > _BLOCK_BYTES or larger == made.blocks[0]:
            return made
        if reach:
            rest = zip(made.blocks[1:], shapes[1:], strict=True)
            grown = BlockPlan(*whole, (larger, *[_doubled(b, n) for b, n in rest]))
        else:
            grown = BlockPlan(*whole, _stacked(*whole, chunks, larger))
        if grown.workers(size, reach, memory, threads) < count:
            return made
        made = grown


def _at_least_one(n: int) -> int:
    return max(n, 1)


def _doubled(block: Shape, shape: Shape) -> Shape:
    """Double a block along the shortest axis along which there is more."""
    longer = [axis for axis, n in enumerate(shape) if block[axis] < n]
    if not longer:
        return block
    axis = min(longer, key=lambda a: (block[a], -a))
    return (*block[:axis], min(2 * block[axis], shape[axis]), *block[axis + 1 :])


def _stacked(
    shapes: Sequence[Shape], bins: Sequence[Shape], chunks: Sequence[Shape], first: Shape
) -> tuple[Shape, ...]:
    """Return the blocks of all levels, given that of the finest."""
    blocks = [first]
    for level in range(1, len(shapes)):
        blocks.append(_aligned(shapes, bins, chunks, level, blocks[-1]))
    return tuple(blocks)


def _aligned(
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
