"""Who holds the data of an image: one module or folder for each kind of array.

A backend is found by the name of its type's module, so that asking about an array imports
nothing. To add one: write a module here with a `Backend` called ``BACKEND``, and lines in
`_registry`. Arrays that follow the array API need only the line in its ``_TYPES``.
"""

from __future__ import annotations

from spatial_duck.backends._registry import (
    Backend,
    adopt,
    as_numpy,
    assign,
    astype,
    backend_of,
    call,
    chunked,
    compute,
    device,
    host_type,
    index,
    is_known,
    is_lazy,
    itemsize,
    keeps_scalars,
    persist,
    register,
    to,
    to_device,
)

__all__ = [
    "Backend",
    "adopt",
    "as_numpy",
    "assign",
    "astype",
    "backend_of",
    "call",
    "chunked",
    "compute",
    "device",
    "host_type",
    "index",
    "is_known",
    "is_lazy",
    "itemsize",
    "keeps_scalars",
    "persist",
    "register",
    "to",
    "to_device",
]
