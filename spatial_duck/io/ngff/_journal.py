"""Writing a folder safely: one writer, a journal of finished blocks, publication when complete.

A directory ``name`` is written beside its target::

    .name.partial/lock          locked while the writer runs; contains its process and host
    .name.partial/journal       JSON lines: a header, then each finished block
    .name.partial/WRITER/name   the directory; the header has the name of its writer, so that tasks
                                of a write that was given up never write into that of another

It is renamed to the target when it is complete, in one step: with ``renameat2(RENAME_EXCHANGE)`` if
a target is replaced. If the file system does not support that there are two renames, and the next
writer repairs what a process leaves that is killed between them. So at any moment the target is the
old version, the new one, or missing; `describe_unfinished` then says how to resume.

A line is appended to the journal after its block has been written. A truncated line is skipped, so
that its block is written again.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import threading
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial_duck._locks import Lock
from spatial_duck.errors import FormatError
from spatial_duck.io._publishing import check_target, partial_prefix, publish

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "Journal",
    "compare_fingerprints",
    "describe_unfinished",
    "journaled_write",
    "partial_path",
]

_FORMAT = 2
_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")
#: Held while the file is opened, so that several threads open it once.
_opening = threading.Lock()


def partial_path(target: Path) -> Path:
    """Return the directory in which a target is written until it is complete."""
    return target.with_name(partial_prefix(target))


def describe_unfinished(path: str | os.PathLike[str]) -> str | None:
    """Return a message on an interrupted write of a target and how to resume it, or None."""
    target = Path(path)
    # The target, or the directory that is renamed to it.
    for place in (target, target.parent.parent.parent / target.name):
        folder = partial_path(place)
        with suppress(OSError):
            if (folder / "journal").is_file():
                return (
                    f"{place} is not complete: writing it was interrupted, or is still going on, "
                    f"in {folder}. Continue with write(..., resume=True) and the same image and "
                    "options; or start again without it, or remove that directory"
                )
    return None


class Journal:
    """The finished blocks of a write; any thread or process may add to it.

    Parameters
    ----------
    folder : Path
        Directory in which the target is written.
    target : Path
        The path that it is renamed to.

    Attributes
    ----------
    writer : str
        Identifies the writer.
    header : dict or None
        Description of the image that is written; None for a new journal.
    done : set of tuple of int
        The finished blocks that were there when it was opened, and those that were added since.
    """

    def __init__(self, folder: Path, target: Path) -> None:
        self.path, self.name = folder / "journal", target.name
        self.writer = uuid.uuid4().hex
        self.header: dict[str, Any] | None = None
        self.published: tuple[int, int] | None = None
        self._file: int | None = None
        self._offset = 0
        self.done: set[tuple[int, ...]] = self.read_new()
        if self._offset < (self.path.stat().st_size if self.path.exists() else 0):
            self._write(b"\n")  # ends a truncated line

    @property
    def fresh(self) -> Path:
        """The group while it is written."""
        return self.path.parent / self.writer / self.name

    def read_new(self) -> set[tuple[int, ...]]:
        """Return the blocks that any process has added since this was last called."""
        found = set()
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return set()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        for line in whole.splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # truncated when the process was killed or the disk was full
            if isinstance(record, list):
                found.add(tuple(record))
            elif isinstance(record, dict) and record.get("format") == _FORMAT:
                self.header, self.writer = record, str(record["writer"])
            elif isinstance(record, dict) and "publish" in record:
                self.published = tuple(record["publish"])
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None, "done": set()}

    def _append(self, record: Any) -> None:
        self._write(json.dumps(record).encode() + b"\n")

    def _write(self, line: bytes) -> None:
        with _opening:
            if self._file is None:
                self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        # One call, so that lines of several writers do not mix. On a full disk it may be partial.
        if os.write(self._file, line) < len(line):
            raise OSError(errno.ENOSPC, f"{os.strerror(errno.ENOSPC)}: {self.path}")

    def begin(self, header: Mapping[str, Any]) -> None:
        """Write the header, before the first block."""
        self.header = {"format": _FORMAT, "writer": self.writer, **header}
        self.path.touch()
        self._append(self.header)

    def check_current(self) -> None:
        """Raise if the write was given up: tasks on the workers of Dask may still run then."""
        first = b""
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            first = file.readline()
        if self.writer.encode() not in first:
            raise FormatError(f"the write into {self.fresh} was given up; nothing more is written")

    def add(self, *block: int) -> None:
        """Add a block that has been written."""
        self._append(block)
        self.done.add(block)

    # --- the group that is written; `StoreJournal` has the same methods for stores ---------

    def level(self, number: int) -> Path:
        """Return the path of a level."""
        return self.fresh / str(number)

    def chunk_files(self, number: int) -> set[str]:
        """Return the names of a level's chunk files."""
        folder = self.level(number)
        files = [p for p in folder.rglob("*") if p.name not in _METADATA and p.is_file()]
        return {p.relative_to(folder).as_posix() for p in files}

    def size_of(self, number: int, key: str) -> int:
        """Return the number of bytes of a chunk of a level."""
        return (self.level(number) / key).stat().st_size

    def find_done(self, blocks: Any, arrays: Any) -> None:
        """Do nothing: the finished blocks are in the journal."""

    def with_level_names(self, attributes: dict[str, Any]) -> dict[str, Any]:
        """Return attributes with the names of the levels, which in a folder are their numbers."""
        return attributes

    def finish(self, attributes: dict[str, Any], zarr_format: int) -> None:
        """Write the group's metadata, which make it an image, after all chunks."""
        import zarr

        for name in ("zarr.json", ".zgroup", ".zattrs"):
            (self.fresh / name).unlink(missing_ok=True)
        zarr.create_group(self.fresh, zarr_format=zarr_format, attributes=attributes)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


# --- one writer ---------------------------------------------------------------------------


def _lock(folder: Path) -> Lock:
    """Create the folder and take its lock, which the system releases when this process ends."""
    while True:
        folder.mkdir(exist_ok=True)
        path = folder / "lock"
        try:
            lock = Lock(path, create=True)
        except FileNotFoundError:
            continue  # another writer has just finished and removed the folder
        try:
            taken = lock.acquire()
        except OSError:
            lock.release()
            raise
        if not taken:
            holder = path.read_text(errors="replace")[:200].strip() or "another process"
            lock.release()
            raise BlockingIOError(
                errno.EAGAIN,
                f"{holder} is writing {folder.name[1:].removesuffix('.partial')} at this moment; "
                "nothing was written. Wait until it is done, or write to another name",
            )
        with suppress(FileNotFoundError):
            if lock.file is not None and os.path.samestat(os.fstat(lock.file), path.stat()):
                # The content is for messages alone; a full disk may have no room for it.
                with suppress(OSError):
                    path.write_text(f"process {os.getpid()} on {socket.gethostname()}")
                return lock
        lock.release()  # the folder has been removed


# --- publication --------------------------------------------------------------------------


def _publish(journal: Journal, target: Path, overwrite: bool) -> None:
    fresh, old = journal.fresh, journal.path.with_name("old")
    stat = fresh.stat()
    # If this process is killed right after the exchange, the next one knows by this which is which.
    journal._append({"publish": [stat.st_dev, stat.st_ino]})
    publish(fresh, target, old, overwrite=overwrite)


def _finish_publishing(folder: Path, target: Path) -> bool:
    """Repair the target if publication was interrupted; return whether it had been published."""
    if not target.exists() and (folder / "old").exists():
        (folder / "old").rename(target)
    journal = Journal(folder, target)
    journal.close()
    if journal.published is None or not target.exists():
        return False
    stat = target.stat()
    return journal.published == (stat.st_dev, stat.st_ino)


@contextmanager
def journaled_write(
    path: str | os.PathLike[str],
    fingerprint: Mapping[str, Any],
    *,
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Journal | None]:
    """Open a journal and publish its ``fresh`` as the target when the block ends without an error.

    On an error nothing is published; the finished blocks, if any, are kept for ``resume=True``.

    Parameters
    ----------
    path : path
        The target, a directory.
    fingerprint : mapping
        Description of the image and the options, as JSON; a write is resumed only with the same.
    overwrite : bool, optional
        Replace an existing target.
    resume : bool, optional
        Resume an interrupted write.

    Yields
    ------
    Journal or None
        None if the interrupted write had been published already.

    Raises
    ------
    BlockingIOError
        If another process is writing it.
    FileExistsError
        If the target exists and `overwrite` is false.
    FormatError
        If the interrupted write has another fingerprint.
    """
    target = Path(os.path.realpath(path)) if overwrite else Path(path)
    folder = partial_path(target)
    if not folder.exists():
        check_target(path, overwrite=overwrite, directory=True)
    lock = _lock(folder)
    keep = resume or (folder / "journal").exists()
    journal = None
    try:
        published = _finish_publishing(folder, target)
        keep = keep and not published
        if published and resume:
            yield None
            return
        check_target(path, overwrite=overwrite, directory=True)
        journal = _open_journal(folder, target, fingerprint, resume and not published)
        keep = True
        yield journal
        _publish(journal, target, overwrite)
        keep = False
    except BaseException as error:
        if journal is not None:
            keep = bool(journal.done)
        if keep and journal is not None:
            error.add_note(str(describe_unfinished(target)))
        raise
    finally:
        if journal is not None:
            journal.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def _open_journal(
    folder: Path, target: Path, fingerprint: Mapping[str, Any], resume: bool
) -> Journal:
    journal = Journal(folder, target)
    if resume and journal.header is not None:
        try:
            compare_fingerprints(
                f"{target} in {folder}", journal.header["fingerprint"], fingerprint
            )
        except FormatError:
            journal.close()
            raise
        # Chunks that were being written when the process was killed.
        for rest in journal.fresh.rglob("*.partial"):
            rest.unlink()
        return journal
    journal.close()
    for entry in folder.iterdir():
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != "lock":
            entry.unlink()
    return Journal(folder, target)


def compare_fingerprints(place: str, before: Any, fingerprint: Mapping[str, Any]) -> None:
    """Check that an interrupted write is resumed with the same image and options.

    Raises
    ------
    FormatError
        If it is not; the message names what differs.
    """
    now = json.loads(json.dumps(fingerprint))
    if before != now:
        raise FormatError(
            f"{place}: the interrupted write is of another image or with other options: "
            f"{_differences(before, now)}. Continue with those, or start again without resume=True"
        )


def _differences(before: Any, now: Any, most: int = 3) -> str:
    """Return text on where two JSON objects differ.

    Examples
    --------
    >>> _differences({"a": {"b": 1, "c": [1, 2]}}, {"a": {"b": 2, "c": [1, 2]}})
    'a.b was 1 and is 2 now'
    """
    a, b = dict(_leaves(before)), dict(_leaves(now))
    which = [k for k in {**a, **b} if a.get(k) != b.get(k)]
    found = [f"{k} was {a.get(k)!r} and is {b.get(k)!r} now" for k in which[:most]]
    return "; ".join(found) + (f"; and {len(which) - most} more" if len(which) > most else "")


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and value of each number, string and list of numbers in a JSON object."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(v, dict | list) for v in value):
        for n, item in enumerate(value):
            yield from _leaves(item, f"{path}[{n}]")
    else:
        yield path, value
