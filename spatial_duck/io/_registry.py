"""The registry of formats: those of this package, and of others by entry point.

To add one to this package, write its module, with an object of its class as ``FORMAT``, and add the
module to `_MODULES`. A module is imported when its format may be wanted.
"""

from __future__ import annotations

import os
import stat
from functools import cache
from typing import TYPE_CHECKING

from spatial_duck._lazy import load
from spatial_duck._plugins import plugins
from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._gzip import MAGIC, head_of_content

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["find_format", "format_of", "format_to_write", "formats", "names"]

#: In the order in which they are asked about content: HDF5 is what MINC 2 lies in, so it is later.
_MODULES = {
    "nifti": "spatial_duck.io.nifti._format",
    "seg.nrrd": "spatial_duck.io.nrrd._segmentation",
    "nrrd": "spatial_duck.io.nrrd._format",
    "metaimage": "spatial_duck.io._metaimage",
    "ome-zarr": "spatial_duck.io.ngff._format",
    "ome-zarr-zip": "spatial_duck.io.ngff._zip",
    "dicom": "spatial_duck.io.dicom._format",
    "tiff": "spatial_duck.io.tiff._format",
    "minc": "spatial_duck.io._minc",
    "hdf5": "spatial_duck.io._hdf5",
    "npy": "spatial_duck.io._npy",
    "vti": "spatial_duck.io._vti",
    "picture": "spatial_duck.io._pictures",
    "nibabel": "spatial_duck.io.nifti._nibabel",
}
_GROUP = "spatial_duck.formats"
#: Bytes from the start of a file by which its format is recognised.
_HEAD = 4096


@cache
def _own(name: str) -> Format:
    found: Format = load(_MODULES[name]).FORMAT
    return found


def _others() -> tuple[Format, ...]:
    """Return the formats of other packages."""
    return plugins(_GROUP, Format, "format")


def formats() -> Iterator[Format]:
    """Yield all formats, in the order in which they are asked: those of others first."""
    yield from _others()
    for name in _MODULES:
        yield _own(name)


def names() -> list[str]:
    """Return the names of all formats."""
    return [f.name for f in _others()] + list(_MODULES)


def find_format(name: str) -> Format:
    """Return a format by its name.

    Raises
    ------
    FormatError
        If there is none of the name.
    """
    for other in _others():
        if other.name == name:
            return other
    if name not in _MODULES:
        raise FormatError(f"format must be one of {', '.join(names())}, got {name!r}")
    return _own(name)


def format_of(path: Path) -> Format | None:
    """Return the format of a file or folder by its content, or None.

    Raises
    ------
    FileNotFoundError
        If there is none.
    FormatError
        If it is neither a file nor a folder.
    """
    head = b""
    if not stat.S_ISDIR(path.stat().st_mode):
        head = _head(path)
    return next((f for f in formats() if f.matches(path, head)), None)


def _head(path: Path) -> bytes:
    # Opening a FIFO would block without this flag, if one replaces the file meanwhile.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(file, "rb") as opened:
        safety.check_is_no_device(path, file)
        head = opened.read(_HEAD)
        if head[:2] != MAGIC:
            return head
        # Twice as many bytes, since data that do not compress become slightly larger.
        return head_of_content(head + opened.read(_HEAD), _HEAD)


def format_to_write(path: Path) -> Format:
    """Return the format that the suffix of a target names; the longest that fits.

    Raises
    ------
    FormatError
        If there is none.
    """
    name = path.name.lower()
    fits = [(len(s), f) for f in formats() for s in f.suffixes if name.endswith(s)]
    if fits:
        longest = max(length for length, _ in fits)
        return next(f for length, f in fits if length == longest)
    known = ", ".join(s for f in formats() for s in f.suffixes)
    advice = "" if path.suffix else " (format='dicom' writes a folder with a file for each slice)"
    raise FormatError(f"{path}: its suffix is none of {known}; rename it, or name format={advice}")
