"""What Dask has no public name for; each is here once, with what would be used instead.

`tests/backends/test_private_names.py` tells when a public way has come.
"""

from __future__ import annotations

from typing import Any

import dask.array as da

# Tasks of hand-made graphs; Dask's documented graphs are still dicts of tuples, whose tasks cannot
# hold containers as values.
from dask._task_spec import DataNode, List, Task, TaskRef

__all__ = ["DataNode", "List", "Task", "TaskRef", "implementation_of", "meta_of"]


def meta_of(data: Any) -> Any:
    """Return the array without voxels that says what the blocks of a Dask array are.

    Dask documents ``meta=`` as a parameter of its functions, and has no public attribute for it.
    """
    return data._meta


def implementation_of(func: Any) -> Any:
    """Return what Dask runs for a NumPy function, or None.

    The table is that of its ``__array_function__``, which itself falls back to computing.
    """
    return getattr(da.core, "_HANDLED_FUNCTIONS", {}).get(func)
