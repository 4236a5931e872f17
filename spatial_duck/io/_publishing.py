"""Atomic writing of one file or several: the target is complete or unchanged.

A target ``name`` is written in a temporary folder beside it::

    .name.partial-k3v9/lock      locked while the writer runs
    .name.partial-k3v9/new/      the files that the format writes: `name`, and its parts
    .name.partial-k3v9/before/   parts of the old target that have been replaced already
    .name.partial-k3v9/parts     names of the parts, after a plus the new ones, after a minus those
                                 of the old target; separated by NUL, which no name holds

The parts, such as the data file of a header, are renamed first, and never to the name of another
image's data; the target is renamed last and in one step. With ``overwrite=False`` that step fails
if another writer has made the target meanwhile. A writer that was killed leaves its folder; the
next one finds its lock free and removes the folder, and parts that no header names.

Links are followed: their targets are replaced. FIFOs, devices and sockets raise an error.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from spatial_duck._locks import Lock
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Parts = Callable[[Path], Sequence[Path]]

__all__ = [
    "LONGEST_NAME",
    "check_target",
    "data_name",
    "exchange",
    "leftover_parts",
    "partial_prefix",
    "publish",
    "publish_atomically",
]

#: Most bytes of a target's name in the names of its temporary folders.
_MAX_NAME_BYTES = 180
#: Most bytes of a name that file systems take.
LONGEST_NAME = 255
#: Most seconds that a writer waits for others that publish in the same folder.
_MAX_WAIT = 10.0
#: Bytes of a header in which names of data files are searched.
_HEADER_BYTES = 1 << 16
#: Suffixes of headers that name data files.
_HEADER_SUFFIXES = (".mhd", ".nhdr")
#: Suffixes of files that belong to each image of their name, and how those images' suffixes begin.
_SHARED_SUFFIXES = {".bval": ".nii", ".bvec": ".nii"}


def partial_prefix(target: Path) -> str:
    """Return the beginning of the names of a target's temporary folders, of limited length."""
    name = os.fsencode(target.name)
    if len(name) <= _MAX_NAME_BYTES:
        return f".{target.name}.partial"
    import hashlib  # OpenSSL takes a while to load, and names are rarely so long

    digest = hashlib.blake2b(name, digest_size=8).hexdigest()
    return f".{name[:_MAX_NAME_BYTES].decode(errors='ignore')}-{digest}.partial"


# --- names --------------------------------------------------------------------------------


def check_target(
    path: str | os.PathLike[str], *, overwrite: bool = False, directory: bool = False
) -> Path:
    """Return the path of a target, with links followed, if it can be written to.

    Raises
    ------
    FileExistsError
        If something is there that must not be replaced.
    """
    given = Path(path)
    if not os.path.lexists(given):
        return given
    if not overwrite:
        raise FileExistsError(f"{given} is there already; replace it with overwrite=True")
    target = Path(os.path.realpath(given))
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return target
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FileExistsError(
            f"{given} is a FIFO, a device or a socket, which is not replaced; name a file"
        )
    if stat.S_ISDIR(mode) != directory:
        raise FileExistsError(f"{given} is a {'file' if directory else 'directory'}; remove it")
    return target


def data_name(path: Path, suffix: str) -> str:
    """Return a name for the data file of a header that is being written.

    Parameters
    ----------
    path : Path
        The header: the path that `Format.write` gets.
    suffix : str
        Suffix of the data file.

    Returns
    -------
    str
        The header's name with the suffix, and with a number if that name exists or another
        writer has taken it.

    Raises
    ------
    FormatError
        If a header cannot hold such a name.
    """
    stem = path.stem
    if (
        "%" in stem
        or stem.upper().startswith("LIST")
        or stem != stem.strip()
        or any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in stem)
    ):
        raise FormatError(
            f"{path.name}: a header cannot name the data file {stem + suffix!r}: a name must not "
            "begin with LIST, hold % or control characters or be other than text, or begin or end "
            "with a space. Choose another, or a format of one file"
        )
    fresh = path.parent
    if fresh.name != "new":
        return _free_name(stem, suffix, (fresh,))
    folder = fresh.parent.parent
    with _folder_lock(folder):
        # Names that other writers have taken are those of files in their folders.
        name = _free_name(stem, suffix, (folder, *folder.glob(".*.partial-*/new")))
        (fresh / name).touch()
    return name


def _free_name(stem: str, suffix: str, folders: Sequence[Path]) -> str:
    number, name = 1, _shortened(stem, suffix)
    while any(os.path.lexists(folder / name) for folder in folders):
        number += 1
        name = _shortened(stem, f"-{number}{suffix}")
    return name


def _shortened(stem: str, ending: str) -> str:
    """Return a name that file systems take, of a stem that is cut if it has to be."""
    left = LONGEST_NAME - len(os.fsencode(ending))
    return os.fsencode(stem)[:left].decode(errors="ignore") + ending


# --- steps of the file system ---------------------------------------------------------------


def _renameat2(a: Path, b: Path, flags: int) -> bool | None:
    """Rename with flags; return None if the system or the file system does not support it."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    here = -100  # AT_FDCWD
    if function(here, os.fsencode(a), here, os.fsencode(b), flags) == 0:
        return True
    return False if ctypes.get_errno() == errno.EEXIST else None


def exchange(a: Path, b: Path) -> bool:
    """Exchange two names in one step; return False if the system does not support it."""
    return bool(_renameat2(a, b, 2))  # RENAME_EXCHANGE


def rename_new(fresh: Path, target: Path) -> None:
    """Rename a file or folder to a name that does not exist, in one step.

    Raises
    ------
    FileExistsError
        If the name exists; nothing is changed.
    """
    done = _renameat2(fresh, target, 1)  # RENAME_NOREPLACE
    if done is None and not fresh.is_dir():
        done = _link_new(fresh, target)
    if done is None:
        done = not os.path.lexists(target)
        if done:
            fresh.rename(target)
    if not done:
        raise _taken_error(target)


def _link_new(fresh: Path, target: Path) -> bool | None:
    """Rename a file by a hard link; return False if the name exists, None if there are no links."""
    try:
        os.link(fresh, target)
    except FileExistsError:
        return False
    except OSError:
        return None
    fresh.unlink()
    return True


def _taken_error(target: Path) -> FileExistsError:
    return FileExistsError(
        f"{target} was made by another writer meanwhile, and is kept; replace it with "
        "overwrite=True"
    )


def publish(fresh: Path, target: Path, old: Path, *, overwrite: bool) -> None:
    """Rename a file or folder to its target, in one step if the system supports it.

    Parameters
    ----------
    fresh, target : Path
        Paths on one file system.
    old : Path
        New path of a folder that is replaced, if the two cannot be exchanged; it is not removed.
    overwrite : bool
        Whether an existing target may be replaced.

    Raises
    ------
    FileExistsError
        If the target exists and must not be replaced.
    """
    if not (overwrite and target.exists()):
        try:
            rename_new(fresh, target)
        except FileExistsError:
            if not overwrite:
                raise
        else:
            return
    keep_access(fresh, target.stat())
    if not target.is_dir():
        fresh.replace(target)
    elif not exchange(fresh, target):
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            old.rename(target)
            raise


def keep_access(fresh: Path, old: os.stat_result) -> None:
    """Give a file or folder the owner and mode of the one that it replaces, as far as allowed."""
    if hasattr(os, "chown"):
        for owner in (old.st_uid, -1):  # root alone may give files away; a group its members
            with suppress(OSError):
                os.chown(fresh, owner, old.st_gid)
                break
    with suppress(OSError):
        fresh.chmod(stat.S_IMODE(old.st_mode))


def _sync(path: Path) -> None:
    with suppress(OSError):
        file = os.open(path, os.O_RDONLY)
        try:
            os.fsync(file)
        finally:
            os.close(file)


# --- publishing -----------------------------------------------------------------------------


def _no_parts(_: Path) -> Sequence[Path]:
    return ()


@contextmanager
def publish_atomically(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    directory: bool = False,
    parts: Parts = _no_parts,
) -> Iterator[Path]:
    """Yield a new path to write to, and publish it when the block ends without an error.

    Parameters
    ----------
    path : path
        The target.
    overwrite : bool, optional
        Replace an existing target, when the new one is complete.
    directory : bool, optional
        The target is a directory.
    parts : callable, optional
        ``parts(target)`` returns the other files of a target.

    Yields
    ------
    Path
        A path with the target's name, in a temporary folder. Other files in that folder are
        published with it, under their names.

    Raises
    ------
    FileExistsError
        If the target exists and `overwrite` is false.
    """
    target = check_target(path, overwrite=overwrite, directory=directory)
    folder = lock = None
    try:
        with _folder_lock(target.parent) as held:
            # Then a folder whose own lock is free is that of a writer that ended.
            if held:
                _remove_leftovers(target, parts)
            folder = Path(tempfile.mkdtemp(prefix=f"{partial_prefix(target)}-", dir=target.parent))
            lock = Lock(folder / "lock", create=True)
            with suppress(OSError):  # a file system without locks
                lock.acquire()
        left = [p for p in _known_parts(target, parts) if os.path.lexists(p)]
        if left and not overwrite:
            raise FileExistsError(f"{left[0]} is there already; replace it with overwrite=True")
        new = folder / "new"
        new.mkdir()
        # The name keeps its suffix, by which libraries choose a format.
        fresh = new / Path(path).name
        yield fresh
        _publish(folder, fresh, target, overwrite, parts)
    finally:
        try:
            # Where parts are still listed, the next writer has to remove them.
            if folder is not None and not (folder / "parts").exists():
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            if lock is not None:
                lock.release()


@contextmanager
def _folder_lock(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, so that its writers publish in turn; yield whether it is held."""
    lock = Lock(folder)
    end = time.monotonic() + _MAX_WAIT
    held = False
    try:
        with suppress(OSError):  # a file system without locks
            while not (held := lock.acquire()) and time.monotonic() < end:
                time.sleep(0.002)
        yield held
    finally:
        lock.release()


def _publish(folder: Path, fresh: Path, target: Path, overwrite: bool, parts: Parts) -> None:
    others = sorted(p for p in fresh.parent.iterdir() if p != fresh)
    for file in [p for p in (fresh, *others) if p.is_file()]:
        _sync(file)
    if not (others or (overwrite and _known_parts(target, parts))):
        _publish_one(fresh, target, overwrite, folder / "old")
        return
    with _folder_lock(target.parent):
        _publish_several(folder, fresh, others, target, overwrite, parts)


def _publish_one(fresh: Path, target: Path, overwrite: bool, old: Path) -> None:
    publish(fresh, target, old, overwrite=overwrite)
    _sync(target.parent)


def _publish_several(
    folder: Path, fresh: Path, others: list[Path], target: Path, overwrite: bool, parts: Parts
) -> None:
    if not overwrite and os.path.lexists(target):
        raise _taken_error(target)
    old = list(_known_parts(target, parts)) if overwrite else []
    lines = [b"+" + os.fsencode(p.name) for p in others] + [b"-" + os.fsencode(p.name) for p in old]
    (folder / "parts").write_bytes(b"\0".join(lines))
    if overwrite and target.exists():
        # A part is as private as its target.
        for file in others:
            keep_access(file, target.stat())
    kept = None
    try:
        for file in others:
            destination = target.with_name(file.name)
            # An existing file is replaced only if it is a part of the old target.
            if destination in old:
                _keep_copy(destination, folder / "before")
                file.replace(destination)
            else:
                rename_new(file, destination)
        _publish_one(fresh, target, overwrite, folder / "old")
        # Files that belong to any image of the target's name would seem to be the new one's.
        kept = {target.with_name(file.name) for file in others}
    finally:
        _tidy(folder, target, parts, kept)


def _tidy(folder: Path, target: Path, parts: Parts, kept: set[Path] | None = None) -> None:
    """Remove the parts that are not the target's, whether it is the old one or the new one by now.

    Parameters
    ----------
    folder : Path
        The temporary folder.
    target : Path
        The target.
    parts : callable
        ``parts(target)`` returns the other files of a target.
    kept : set of Path, optional
        The parts of the target; by default those that `parts` returns.
    """
    before, new, listed = folder / "before", folder / "new", folder / "parts"
    waiting = [p for p in new.iterdir() if not _is_linked(p, target.parent)] if new.is_dir() else []
    if waiting and before.is_dir():  # the target is renamed last
        for copy in before.iterdir():
            copy.replace(target.with_name(copy.name))
    superfluous = "+" if waiting else "-"
    lines = map(os.fsdecode, listed.read_bytes().split(b"\0"))
    # What has the name of a part that waits is another image's.
    names = {line[1:] for line in lines if line[:1] == superfluous} - {p.name for p in waiting}
    # Else the next writer removes them.
    if _remove_parts([target.with_name(Path(n).name) for n in names], target, parts, kept):
        listed.unlink()


def _keep_copy(part: Path, folder: Path) -> None:
    """Copy a part that is being replaced, until its target is replaced too."""
    if part.is_file():
        folder.mkdir(exist_ok=True)
        shutil.copy2(part, folder / part.name)


def leftover_parts(path: Path, name: str) -> list[Path]:
    """Return the copies of a part that a killed writer had replaced before its target.

    Parameters
    ----------
    path : Path
        The target, which is still the old one.
    name : str
        Name of the part.
    """
    prefix = partial_prefix(path) + "-"
    return [
        folder / "before" / name
        for folder in path.parent.iterdir()
        if folder.name.startswith(prefix) and (folder / "before" / name).is_file()
    ]


def _known_parts(target: Path, parts: Parts) -> Sequence[Path]:
    """Return the parts of a target; none for a header that cannot be read."""
    try:
        return [Path(p) for p in parts(target)]
    except (OSError, ValueError):
        return ()


def _remove_parts(
    files: Sequence[Path], target: Path, parts: Parts, kept: set[Path] | None
) -> bool:
    """Remove data files that no other image has; return whether none of them is left.

    None is removed if it is not known what the target needs.
    """
    try:
        if kept is None:
            kept = {Path(p) for p in parts(target)} if target.exists() else set()
        for file in files:
            if file not in kept and not _is_used(file, target):
                file.unlink(missing_ok=True)
    except (OSError, ValueError):
        return False
    return True


def _is_used(file: Path, target: Path) -> bool:
    """Whether another image beside a data file has it; one that cannot be read may."""
    name, shared = os.fsencode(file.name), _SHARED_SUFFIXES.get(file.suffix)
    for other in file.parent.iterdir():
        if other != target and shared and other.name.startswith(file.stem + shared):
            return True
        if other.suffix.lower() in _HEADER_SUFFIXES and other.is_file():
            with other.open("rb") as opened:
                if name in opened.read(_HEADER_BYTES):
                    return True
    return False


def _remove_leftovers(target: Path, parts: Parts) -> None:
    """Remove the folders of writers that have ended: their locks are free."""
    prefix = partial_prefix(target) + "-"
    try:
        left = [p for p in target.parent.iterdir() if p.name.startswith(prefix)]
    except OSError:
        return
    for folder in left:
        with suppress(OSError):
            lock = Lock(folder / "lock", create=True)
            try:
                if lock.acquire():
                    _remove_leftover(folder, target, parts)
            finally:
                lock.release()


def _is_linked(file: Path, folder: Path) -> bool:
    """Whether a file has its final name in a folder already, beside the one that is to go."""
    place = folder / file.name
    return place.exists() and file.samefile(place)


def _remove_leftover(folder: Path, target: Path, parts: Parts) -> None:
    if (folder / "parts").is_file():
        _tidy(folder, target, parts)
    shutil.rmtree(folder, ignore_errors=True)
