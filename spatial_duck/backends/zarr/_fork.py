"""Arrays of remote stores in forked processes, such as the workers of a data loader.

A connection and its event loop belong to the process that made them: a forked child that uses them
waits forever, or fails. So a child opens each array again, once.
"""

from __future__ import annotations

import os
import pickle
import weakref
from typing import Any

__all__ = ["reopen_after_fork"]

#: Process in which the modules of this package were loaded; a forked child has another number.
_first_pid = os.getpid()
#: In a child: arrays that were opened again, by the ids of the parent's arrays.
_reopened: dict[int, Any] = {}
_last_pid = _first_pid


def reopen_after_fork(array: Any) -> Any:
    """Return a Zarr array that this process can read.

    Parameters
    ----------
    array : zarr.Array
        An array, which may have been opened before a fork.
    """
    global _last_pid
    pid = os.getpid()
    if pid == _first_pid:
        return array
    if pid != _last_pid:
        _reopened.clear()
        _last_pid = pid
    store = array.store_path.store
    store = getattr(store, "wrapped", store)
    # Other stores have no connections, or cannot be opened again, such as one in memory.
    if type(store).__name__ != "FsspecStore":
        return array
    if id(array) not in _reopened:
        _reopened[id(array)] = pickle.loads(pickle.dumps(array))
        weakref.finalize(array, _reopened.pop, id(array), None)
    return _reopened[id(array)]
