"""The order in which Dask begins tasks that all depend on one.

A graph has no way to say it, and results that overlap are kept until all that need them are done:
in an order of Dask's own choice, which runs along the columns of a volume, that is a part of the
volume. But Dask goes for the result with the most paths to what it depends on. So tasks are put
into groups, and each group waits for tasks without a result, through which it has twice as many
paths as the next. Doubling outweighs that results inside an image have more neighbours than those
at its border, and holds for what is computed from the results in turn, be that blocks that overlap,
reductions or chunks that are cut anew.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Number = tuple[int, ...]

__all__ = ["MOST_GROUPS", "in_turns", "layers"]

#: Groups, at most: Dask counts paths, in integers of that many bits.
MOST_GROUPS = 128


def layers(counts: Sequence[int]) -> tuple[list[Number], int]:
    """Return the numbers of all blocks, layer after layer across the longest axis.

    Parameters
    ----------
    counts : sequence of int
        Numbers of the blocks along each axis.

    Returns
    -------
    numbers : list of tuple of int
        One layer after the other.
    groups : int
        How many layers there are.

    Examples
    --------
    >>> layers((2, 3))
    ([(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)], 3)
    """
    numbers = list(itertools.product(*map(range, counts)))
    if not counts:
        return numbers, 1
    longest = max(range(len(counts)), key=counts.__getitem__)
    return sorted(numbers, key=lambda number: number[longest]), counts[longest]


def in_turns(
    name: str, first: Any, ordered: Sequence[Number], groups: int, tasks: dict[Any, Any]
) -> Iterator[tuple[Number, tuple[Any, ...]]]:
    """Yield the numbers of the blocks, and further arguments of their tasks.

    Parameters
    ----------
    name : str
        What the keys of tasks begin with that are added.
    first : TaskRef
        The one task that all depend on.
    ordered : sequence of tuple of int
        The numbers, in the order in which to begin.
    groups : int
        Between how many of them the order matters; `MOST_GROUPS` are made at most.
    tasks : dict
        Where the tasks without a result are added.
    """
    from spatial_duck.backends.dask._private import Task, TaskRef

    size = max(-(-len(ordered) // max(min(groups, MOST_GROUPS), 1)), 1)
    before: tuple[Any, ...] = (first,)
    for turn, start in enumerate(reversed(range(0, len(ordered), size))):
        if turn:
            keys = [(f"{name}-turn", turn, i) for i in range(2)]
            tasks.update({key: Task(key, _wait, *before) for key in keys})
            before = tuple([TaskRef(key) for key in keys])
        for number in ordered[start : start + size]:
            yield number, before


def _wait(*_: Any) -> None:
    """Stand between two groups."""
