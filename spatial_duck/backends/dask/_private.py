"""Private names of Dask, each in one function with a fallback.

`tests/test_private_names.py` fails when a public name replaces one, and tests the fallbacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DataNode", "List", "Task", "TaskRef", "implementation_of", "meta_of"]


class _TaskRef:
    """Placeholder of another task's result."""

    def __init__(self, key: Any) -> None:
        self.key = key


class _List:
    """A list of arguments, some of which are other tasks' results."""

    def __init__(self, *items: Any) -> None:
        self.items = items


class _Call:
    """A function with those of its arguments that are values; it is called with the others.

    The tasks of Dask's documented graphs are tuples, which take containers and values that look
    like keys for something else: here they see the function and keys alone.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.function, self.args = function, args

    def __call__(self, *results: Any) -> Any:
        left = list(results)

        def filled(arg: Any) -> Any:
            if isinstance(arg, _List):
                return [filled(item) for item in arg.items]
            return left.pop(0) if isinstance(arg, _TaskRef) else arg

        return self.function(*map(filled, self.args))


def _task(_key: Any, function: Callable[..., Any], *args: Any) -> tuple[Any, ...]:
    def keys(arg: Any) -> list[Any]:
        if isinstance(arg, _List):
            return [key for item in arg.items for key in keys(item)]
        return [arg.key] if isinstance(arg, _TaskRef) else []

    return _Call(function, args), *[key for arg in args for key in keys(arg)]


def _data_node(_key: Any, value: Any) -> tuple[Any, ...]:
    return (_Call(lambda x: x, (value,)),)


try:  # tasks of hand-made graphs
    from dask._task_spec import DataNode, List, Task, TaskRef
except ImportError:
    DataNode, List, Task, TaskRef = _data_node, _List, _task, _TaskRef


def meta_of(data: Any) -> Any:
    """Return the array without voxels that says what the blocks of a Dask array are.

    Dask documents ``meta=`` as a parameter of its functions, and has no public attribute for it:
    without one, blocks are taken for NumPy's.
    """
    found = getattr(data, "_meta", None)
    return np.empty((0,) * data.ndim, data.dtype) if found is None else found


def implementation_of(func: Any) -> Any:
    """Return what Dask runs for a NumPy function under another name, or None.

    The table is that of its ``__array_function__``, which itself falls back to computing. Without
    it, `_calls` finds Dask's public function of the same name, as it does for most.
    """
    return getattr(da.core, "_HANDLED_FUNCTIONS", {}).get(func)
