"""The identity of files: whether they are those that were opened.

A file is identified by its device, inode, size and times, which are noted before its header is read
and compared whenever voxels were read; a file that was replaced or changed raises an error. Among
the times is that of the last change to the inode, which no program can set; it tells of nothing
where permissions, owner or links have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from spatial_duck.errors import FormatError

__all__ = ["Identity"]


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

    paths: tuple[Path, ...] = ()
    states: tuple[_State | None, ...] = ()

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Identity:
        """Return the present identity of files.

        Parameters
        ----------
        paths : sequence of Path
            The files. One that is missing is no error: it must be missing then, too.
        """
        return cls(tuple(paths), tuple(_State.of(p) for p in paths))

    def joined(self, other: Identity) -> Identity:
        """Return the identity of the files of both."""
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
