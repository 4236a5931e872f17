"""Find which function of xarray or Dask calls, where the same call has two meanings.

xarray treats every Dask collection as a Dask array, and passes images to functions of Dask that do
not know them. These read a key in another way, or take the bare array and drop the geometry, and no
argument shows. Therefore the calling function is inspected, in this module alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from spatial_duck._config import current, note_bare

if TYPE_CHECKING:
    from types import FrameType

__all__ = [
    "announce_bare",
    "asks_for_chunks",
    "loses_place",
    "reads_orthogonally",
    "wants_dask_array",
]

#: Functions of Dask that xarray calls with images, and that would return bare arrays.
_PLACE_LOSING_CALLERS = {
    "apply_gufunc": "apply_ufunc(dask='parallelized')",
    "blockwise": "blockwise",
    "unify_chunks": "unify_chunks",
}


def _function_within(module: str, depth: int) -> str | None:
    """Return the name of the nearest calling function of a module, or None."""
    frame: FrameType | None = sys._getframe(3)
    for _ in range(depth):
        if frame is None:
            return None
        if frame.f_globals.get("__name__") == module:
            return frame.f_code.co_name
        frame = frame.f_back
    return None


def loses_place() -> str | None:
    """Return the function of xarray that takes the bare array and would drop the geometry."""
    return _PLACE_LOSING_CALLERS.get(_function_within("xarray.namedarray.daskmanager", 8) or "")


def wants_dask_array() -> bool:
    """Whether the caller is Dask's `sliding_window_view`, which takes Dask's arrays alone."""
    return _function_within("dask.array.overlap", 1) == "sliding_window_view"


def reads_orthogonally() -> bool:
    """Whether xarray is the caller, with a key whose arrays index one axis each.

    It tries NumPy's way first, and goes axis by axis where that is not implemented.
    """
    return _function_within("xarray.core.indexing", 4) == "_oindex_get"


def asks_for_chunks() -> str | None:
    """Return "" where xarray asks any array for chunks, "save" where it asks to save; else None."""
    if _function_within("xarray.namedarray.core", 1) != "chunks":
        return None
    frame: FrameType | None = sys._getframe(2)
    for _ in range(6):
        if frame is not None and frame.f_globals.get("__name__", "").startswith("xarray.backends."):
            return "save"
        frame = frame.f_back if frame is not None else None
    return ""


def announce_bare() -> None:
    """Do what ``config(on_bare=...)`` says of the caller's caller, which takes a bare array."""
    if current().on_bare == "keep":
        return
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and _package_of(frame) in ("numpy", "array_api_compat"):
        frame = frame.f_back  # NumPy's own frames are skipped
    library = None if frame is None else _package_of(frame)
    note_bare(None if library == "spatial_duck" else library)


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]
