"""Arrays that are views of a file that is mapped into memory, and what says that one was closed.

A map goes with the last array that views it: only then does the system let go of the file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.errors import FormatError

__all__ = ["FileMap", "closed_error", "is_mapped", "mapped_file"]


class FileMap(np.memmap):
    """A file that `spatial_duck.read` mapped; arrays of it are its views."""


def closed_error(name: Any) -> FormatError:
    """Return the error for voxels of a file that was closed, to be raised."""
    return FormatError(
        f"{name} was closed, by close() or at the end of `with read(...)`, and its voxels cannot "
        "be read any more: compute what is needed before that, or open it again"
    )


def is_mapped(data: Any) -> bool:
    """Whether an array is a view of a memory-mapped file."""
    return _base(data, np.memmap) is not None


def mapped_file(data: Any) -> str | None:
    """Return the name of the file of the `FileMap` that an array views, or None."""
    found = _base(data, FileMap)
    return None if found is None else str(found.filename)


def _base(data: Any, kind: type) -> Any:
    while data is not None and not isinstance(data, kind):
        data = getattr(data, "base", None)
    return data
