"""The order in which Dask begins tasks.

A graph has no way to say it, and results that overlap are kept until all that need them are done:
in an order of Dask's own choice, which runs along the columns of a volume, that is a part of the
volume. What stands here leads it through layers, and holds for what is computed from the results in
turn, be that blocks that overlap, reductions or chunks that are cut anew.

Dask goes for the result with the most paths to what it depends on. So tasks that all depend on one
(which reads what is stored) are put into groups, and each group waits for tasks without a result,
through which it has twice as many paths as the next (`in_turns`). Doubling outweighs that results
inside an image have more neighbours than those at its border.

Where there are many sources (the first chunks of a Dask array), it goes before for the result that
needs the fewest that were not taken yet; and one that needs none of them it leaves for the end,
though what it is made of may still have to be computed. So `LayerGates` also give each layer
sources that it alone needs, more than results within a layer differ by, and each result one.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Before = tuple[Any, ...]

    Number = tuple[int, ...]

__all__ = ["MOST_GROUPS", "LayerGates", "in_turns", "is_led", "layers"]

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
    longest = _longest(counts)
    return sorted(numbers, key=lambda number: number[longest]), counts[longest]


def _longest(counts: Sequence[int]) -> int:
    return max(range(len(counts)), key=counts.__getitem__)


def in_turns(
    name: str, first: Any, ordered: Sequence[Number], groups: int, tasks: dict[Any, Any]
) -> Iterator[tuple[Number, Before]]:
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
    size = max(-(-len(ordered) // max(min(groups, MOST_GROUPS), 1)), 1)
    starts = range(0, len(ordered), size)
    for start, before in zip(
        reversed(starts), _doubled(name, first, len(starts), tasks), strict=True
    ):
        for number in ordered[start : start + size]:
            yield number, before


def _doubled(name: str, first: Any, groups: int, tasks: dict[Any, Any]) -> Iterator[Before]:
    """Give what the tasks of each group take, those of the last group first."""
    from spatial_duck.backends.dask._private import Task, TaskRef

    before: Before = (first,)
    for turn in range(groups):
        if turn:
            keys = [(f"{name}-turn", turn, i) for i in range(2)]
            tasks.update({key: Task(key, _wait, *before) for key in keys})
            before = tuple([TaskRef(key) for key in keys])
        yield before


def is_led(array: Any) -> bool:
    """Tell whether a Dask array is made of nothing but what comes in turns already."""
    roots = [name for name, needed in array.dask.dependencies.items() if not needed]
    return all(name.startswith(("filter-", "map_blocks-", "resample-")) for name in roots)


class LayerGates:
    """What tasks over the chunks of Dask arrays take as further arguments, to come in layers.

    Parameters
    ----------
    name : str
        What the keys of tasks begin with that are added.
    counts : sequence of int
        Of the blocks along each axis.
    """

    def __init__(self, name: str, counts: Sequence[int]) -> None:
        self._name, self._axis, self._most = name, _longest(counts), 0
        self._layers = counts[self._axis]
        self._groups = min(self._layers, MOST_GROUPS)

    def gate(self, number: Number, chunks: int) -> Any:
        """Return what the task of a block takes that needs so many chunks."""
        from spatial_duck.backends.dask._private import TaskRef

        self._most = max(self._most, chunks)
        return TaskRef(
            (f"{self._name}-gate-turn", number[self._axis] * self._groups // self._layers)
        )

    def own(self, number: Number, tasks: dict[Any, Any]) -> Any:
        """Return what the task of a result takes; it is added to the tasks."""
        from spatial_duck.backends.dask._private import DataNode, TaskRef

        key = (f"{self._name}-own-turn", *number)
        tasks[key] = DataNode(key, None)
        return TaskRef(key)

    def add(self, tasks: dict[Any, Any]) -> None:
        """Add the gates to the tasks, once all blocks have asked for theirs."""
        from spatial_duck.backends.dask._private import DataNode, Task, TaskRef

        first = f"{self._name}-first-turn"
        tasks[first] = DataNode(first, None)
        befores = _doubled(self._name, TaskRef(first), self._groups, tasks)
        for group, before in zip(reversed(range(self._groups)), befores, strict=True):
            gate = (f"{self._name}-gate-turn", group)
            # Of the chunks that a result needs, and its neighbour in the layer does not.
            keys = [(*gate, i) for i in range(2 * self._most)]
            tasks.update({key: DataNode(key, None) for key in keys})
            tasks[gate] = Task(gate, _wait, *before, *[TaskRef(key) for key in keys])


def _wait(*_: Any) -> None:
    """Stand between two groups."""
