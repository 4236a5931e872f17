"""Who holds the data of an image: one class for each kind of array, and what is asked of it.

README.md beside this has the recipe to add one.
"""

from __future__ import annotations

from spatial_duck.backends._backend import Backend, StoredBackend
from spatial_duck.backends._operations import (
    adopt,
    as_numpy,
    assign,
    astype,
    call,
    chunked,
    chunks,
    compute,
    copy,
    device,
    empty_block,
    host_type,
    identity,
    index,
    is_dask,
    is_lazy,
    is_on_host,
    is_stored,
    itemsize,
    keeps_scalars,
    library,
    namespace,
    persist,
    read,
    to,
    to_device,
)
from spatial_duck.backends._registry import backend_of, is_known, register

__all__ = [
    "Backend",
    "StoredBackend",
    "adopt",
    "as_numpy",
    "assign",
    "astype",
    "backend_of",
    "call",
    "chunked",
    "chunks",
    "compute",
    "copy",
    "device",
    "empty_block",
    "host_type",
    "identity",
    "index",
    "is_dask",
    "is_known",
    "is_lazy",
    "is_on_host",
    "is_stored",
    "itemsize",
    "keeps_scalars",
    "library",
    "namespace",
    "persist",
    "read",
    "register",
    "to",
    "to_device",
]
