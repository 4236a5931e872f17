"""Estimate the time and space of a large write before it begins."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial_duck import backends
from spatial_duck._display._describe import size
from spatial_duck._progress import is_watched

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray

__all__ = ["announce_large_write", "estimate"]

#: Writes of more bytes are announced; bytes that are written to measure the speed of the disk.
_LARGE, _SAMPLE = 10e9, 32_000_000


def announce_large_write(location: Any, image: SpatialArray) -> None:
    """Print the size and time of a write of more than 10 GB, in a terminal or notebook."""
    count = image.size * backends.host_type(image.dtype).itemsize
    if count > _LARGE and is_watched():
        folder = location.parent if isinstance(location, Path) else None
        sys.stderr.write(estimate(count, folder) + "\n")
        sys.stderr.flush()


def estimate(count: float, folder: Path | None) -> str:
    """Return text on the size and time of a write.

    Parameters
    ----------
    count : float
        Bytes of the voxels.
    folder : Path or None
        Folder of the target; None for a store, whose speed and free space are not known.

    Examples
    --------
    >>> estimate(25e9, None)
    'spatial_duck: writing 25 GB of voxels, before compression'
    """
    text = f"spatial_duck: writing {size(count)} of voxels, before compression"
    if folder is None:
        return text
    with contextlib.suppress(OSError):
        text += f"; {size(shutil.disk_usage(folder).free)} are free"
        seconds = count / _speed(folder)
        text += f"; at least {_duration(seconds)} at the speed of this disk"
    return text


def _speed(folder: Path) -> float:
    """Return the bytes that the disk writes in a second, measured with a temporary file."""
    block = os.urandom(_SAMPLE // 16)
    began = time.monotonic()
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(16):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return _SAMPLE / max(time.monotonic() - began, 1e-6)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
