"""Lazy images of files, which raise if the file has changed since it was opened.

A file is identified by its device, inode, size and times, which are noted before its header is read
and compared whenever voxels were read; a file that was replaced or changed raises an error. Among
the times is that of the last change to the inode, which no program can set; it tells of nothing
where permissions, owner or links have changed. A memory map is checked once, when it is made: it
keeps the file that it was made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike, NDArray

    from spatial_duck.io._format import Format

__all__ = ["Identity", "deferred_array", "guarded_blocks"]


class _State(NamedTuple):
    """State of a file: what its content has to do with, and what changes its inode alone."""

    content: tuple[int, int, int, int]
    changed: int
    access: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: Path) -> _State | None:
        try:
            s = path.stat()
        except OSError:
            return None
        content = s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns
        # On Windows the time is that of creation.
        return cls(content, s.st_ctime_ns, (s.st_mode, s.st_uid, s.st_gid, s.st_nlink))

    def has_content_of(self, other: _State | None) -> bool:
        """Whether a file has the content that it had in another state."""
        if other is None or self.content != other.content:
            return False
        return self.changed == other.changed or self.access != other.access


def _is_same(before: _State | None, now: _State | None) -> bool:
    return now is None if before is None else before.has_content_of(now)


class Identity(NamedTuple):
    """Files that were opened, and their state then.

    Attributes
    ----------
    paths : tuple of Path
        The files; or a folder, which changes with the names in it.
    states : tuple of (State or None)
        Device, inode, size, times and access of each; None for one that is missing.
    """

    paths: tuple[Path, ...]
    states: tuple[_State | None, ...]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Identity:
        """Return the present identity of files."""
        return cls(tuple(paths), tuple(_State.of(p) for p in paths))

    def joined(self, other: Identity | None) -> Identity:
        """Return the identity of the files of both."""
        if other is None:
            return self
        return Identity(self.paths + other.paths, self.states + other.states)

    def is_current(self) -> bool:
        """Whether the files are those that were opened."""
        return all(map(_is_same, self.states, map(_State.of, self.paths)))

    def check(self) -> None:
        """Check that the files are those that were opened.

        Raises
        ------
        FormatError
            If one was replaced, changed or removed.
        """
        for path, before in zip(self.paths, self.states, strict=True):
            if not _is_same(before, _State.of(path)):
                raise FormatError(
                    f"{path} was replaced or changed since it was opened, and the image that was "
                    "opened cannot be read any more; open it again"
                )


class _ReadAgain(NamedTuple):
    """Opens a file again and reads its voxels; can be pickled."""

    format: str
    path: Any
    options: dict[str, Any]
    identity: Identity

    def __call__(self) -> NDArray[Any]:
        from spatial_duck.io._registry import find_format
        from spatial_duck.io._source import Source

        self.identity.check()
        opened = find_format(self.format).open(self.path, **self.options)
        voxels = np.asarray(opened.load(False) if isinstance(opened, Source) else opened)
        self.identity.check()
        return voxels


def deferred_array(
    format: Format,
    path: Path,
    options: Mapping[str, Any],
    identity: Identity,
    shape: tuple[int, ...],
    dtype: DTypeLike,
) -> Any:
    """Return a Dask array of one block, which opens the file again when it is computed."""
    dask = require("dask", "Reading with lazy=True")
    require("dask.array", "Reading with lazy=True")
    read_again = _ReadAgain(format.name, path, dict(options), identity)
    return dask.array.from_delayed(dask.delayed(read_again)(), shape, dtype)


class _CheckedBlock(NamedTuple):
    """Returns a block if the files are still those that were opened; can be pickled."""

    identity: Identity

    def __call__(self, block: Any) -> Any:
        self.identity.check()
        return block


def guarded_blocks(data: Any, identity: Identity) -> Any:
    """Return a Dask array whose blocks raise if the files have changed."""
    return data.map_blocks(
        _CheckedBlock(identity), dtype=data.dtype, meta=backends.empty_block(data)
    )
