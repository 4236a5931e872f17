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
from spatial_duck._progress import is_watched
from spatial_duck.geometry._describe import size

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray

__all__ = ["estimate", "say_what_comes"]

#: Writes of more bytes than this are announced; bytes that are written to see how fast the disk is.
_LARGE, _SAMPLE = 10e9, 32_000_000


def say_what_comes(place: Any, image: SpatialArray) -> None:
    """Say on stderr what a write of more than 10 GB takes, where somebody looks."""
    count = image.size * backends.host_type(image.dtype).itemsize
    if count > _LARGE and is_watched():
        folder = place.parent if isinstance(place, Path) else None
        sys.stderr.write(estimate(count, folder) + "\n")
        sys.stderr.flush()


def estimate(count: float, folder: Path | None) -> str:
    """Return words for the size and time of a write.

    Parameters
    ----------
    count : float
        Bytes of the voxels.
    folder : Path or None
        Where they are written to; None for a store elsewhere, whose speed and room are not known.

    Examples
    --------
    >>> estimate(25e9, None)
    'spatial_duck: writing 25 GB of voxels, before compression'
    """
    words = f"spatial_duck: writing {size(count)} of voxels, before compression"
    if folder is None:
        return words
    with contextlib.suppress(OSError):
        words += f"; {size(shutil.disk_usage(folder).free)} are free"
        seconds = count / _speed(folder)
        words += f"; at least {_duration(seconds)} at the speed of this disk"
    return words


def _speed(folder: Path) -> float:
    """Return bytes that the disk takes in a second, by a file that is gone again."""
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
