"""Arrays of stores on the network in forked processes, such as those of a data loader.

A connection, and the event loop that it belongs to, serves the process that made it: a child that
was forked from it waits forever, or fails. There an array is opened anew, once.
"""

from __future__ import annotations

import os
import pickle
import weakref
from typing import Any

__all__ = ["of_this_process"]

#: Process in which the modules of this package were loaded; a forked child has another number.
_first = os.getpid()
#: In a child: arrays that were opened anew, by the addresses of those of its parent.
_anew: dict[int, Any] = {}
_known = _first


def of_this_process(array: Any) -> Any:
    """Return a Zarr array that this process can read.

    Parameters
    ----------
    array : zarr.Array
        Perhaps opened before a fork.
    """
    global _known
    here = os.getpid()
    if here == _first:
        return array
    if here != _known:
        _anew.clear()
        _known = here
    store = array.store_path.store
    store = getattr(store, "wrapped", store)
    # Others have no connections, or cannot be opened anew, such as one in memory.
    if type(store).__name__ != "FsspecStore":
        return array
    if id(array) not in _anew:
        _anew[id(array)] = pickle.loads(pickle.dumps(array))
        weakref.finalize(array, _anew.pop, id(array), None)
    return _anew[id(array)]
