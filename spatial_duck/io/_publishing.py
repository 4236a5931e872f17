"""Atomic writing, of one file or several: the target is whole or untouched.

A target ``name`` is written in a folder of its writer's own beside it::

    .name.partial-k3v9/lock      held by the writer while it lives
    .name.partial-k3v9/new/      what the format writes: `name`, and files that belong to it
    .name.partial-k3v9/before/   parts of the old target that new ones have replaced already
    .name.partial-k3v9/parts     names of such files, the new ones and those of the old target

Files that belong to the target take their names first, and never one that another image's data
have; the target takes its name last and in one step, so that what it says decides. With
``overwrite=False`` that step fails where somebody else has made the target meanwhile. A writer that
was killed leaves its folder; the next one finds its lock free and removes the folder, and the
parts that no header names.

Links are followed: what they point to is replaced. FIFOs, devices and sockets are refused.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
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
    "check_target",
    "data_name",
    "exchange",
    "leftover_parts",
    "partial_prefix",
    "publish",
    "publish_atomically",
]

#: Bytes of a target's name that the names of its partial folders hold.
_LONGEST = 180
#: Seconds that a writer waits for others that publish in the same folder.
_LONGEST_TURN = 10.0
#: Bytes of a header in which the names of data files are looked for.
_HEADER = 1 << 16
#: Suffixes of headers that name data files.
_HEADERS = (".mhd", ".nhdr")


def partial_prefix(target: Path) -> str:
    """Return how the names of a target's partial folders begin; never too long for a name."""
    name = os.fsencode(target.name)
    if len(name) <= _LONGEST:
        return f".{target.name}.partial"
    digest = hashlib.blake2b(name, digest_size=8).hexdigest()
    return f".{name[:_LONGEST].decode(errors='ignore')}-{digest}.partial"


# --- names --------------------------------------------------------------------------------


def check_target(
    path: str | os.PathLike[str], *, overwrite: bool = False, directory: bool = False
) -> Path:
    """Return where a target lies, with links followed, or refuse to write there.

    Raises
    ------
    FileExistsError
        If there is something that is not to be replaced.
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
        The header, as `Format.write` got it.
    suffix : str
        Of the data file.

    Returns
    -------
    str
        The header's own name with the suffix, or with a number where that name is taken.

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
        or any(c < " " or c == "\x7f" for c in stem)
    ):
        raise FormatError(
            f"{path.name}: a header cannot name the data file {stem + suffix!r}: a name must not "
            "begin with LIST, hold % or control characters, or begin or end with a space. Choose "
            "another, or a format of one file"
        )
    fresh = path.parent
    folder = fresh.parent.parent if fresh.name == "new" else fresh
    number, name = 1, stem + suffix
    while os.path.lexists(folder / name) or os.path.lexists(fresh / name):
        number += 1
        name = f"{stem}-{number}{suffix}"
    return name


# --- steps of the file system ---------------------------------------------------------------


def _renameat2(a: Path, b: Path, flags: int) -> bool | None:
    """Rename with flags; None where the system or the file system cannot."""
    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    here = -100  # AT_FDCWD
    if function(here, os.fsencode(a), here, os.fsencode(b), flags) == 0:
        return True
    return False if ctypes.get_errno() == errno.EEXIST else None


def exchange(a: Path, b: Path) -> bool:
    """Swap two names in one step; false where the system or the file system cannot."""
    return bool(_renameat2(a, b, 2))  # RENAME_EXCHANGE


def rename_new(fresh: Path, target: Path) -> None:
    """Give a file or folder a name that nothing has, in one step.

    Raises
    ------
    FileExistsError
        If something has it; it stays as it is.
    """
    try:
        if not fresh.is_dir():
            os.link(fresh, target)
            fresh.unlink()
            return
    except FileExistsError:
        raise _taken_error(target) from None
    except OSError:
        pass  # a file system without hard links
    done = _renameat2(fresh, target, 1)  # RENAME_NOREPLACE
    if done is None:
        done = not os.path.lexists(target)
        if done:
            fresh.rename(target)
    if not done:
        raise _taken_error(target)


def _taken_error(target: Path) -> FileExistsError:
    return FileExistsError(
        f"{target} was made by another writer meanwhile, and is kept; replace it with "
        "overwrite=True"
    )


def publish(fresh: Path, target: Path, old: Path, *, overwrite: bool) -> None:
    """Give a file or folder the name of its target, in one step where the system has one.

    Parameters
    ----------
    fresh, target : Path
        On one file system.
    old : Path
        Where a folder that is replaced goes, if the two cannot be swapped; it stays there.
    overwrite : bool
        Whether it may take the place of what is there.

    Raises
    ------
    FileExistsError
        If something is there that may not be replaced.
    """
    if not (overwrite and target.exists()):
        try:
            rename_new(fresh, target)
        except FileExistsError:
            if not overwrite:
                raise
        else:
            return
    if not target.is_dir():
        with suppress(OSError):
            fresh.chmod(stat.S_IMODE(target.stat().st_mode))
        fresh.replace(target)
    elif not exchange(fresh, target):
        target.rename(old)
        try:
            fresh.rename(target)
        except OSError:
            old.rename(target)
            raise


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
    """Give a fresh path to write to, and publish what was written when all went well.

    Parameters
    ----------
    path : path
        The target.
    overwrite : bool, optional
        Replace a target that is there. It stays as it is until the new one is complete.
    directory : bool, optional
        The target is a directory.
    parts : callable, optional
        ``parts(target)``: the other files that a target consists of.

    Yields
    ------
    Path
        Of the target's name, in a folder of its own. Other files in that folder are published with
        it, under the names that they have.

    Raises
    ------
    FileExistsError
        If the target is there and `overwrite` is false.
    """
    target = check_target(path, overwrite=overwrite, directory=directory)
    with _turn(target.parent) as held:
        # A folder without a holder, seen in a turn, is of a writer that has ended.
        if held:
            _remove_leftovers(target, parts)
        folder = Path(tempfile.mkdtemp(prefix=f"{partial_prefix(target)}-", dir=target.parent))
        lock = Lock(folder / "lock", create=True)
        with suppress(OSError):  # a file system without locks
            lock.take()
    try:
        left = [p for p in _known_parts(target, parts) if os.path.lexists(p)]
        if left and not overwrite:
            raise FileExistsError(f"{left[0]} is there already; replace it with overwrite=True")
        new = folder / "new"
        new.mkdir()
        # The name keeps its suffix, so that libraries that look at names find their format.
        fresh = new / Path(path).name
        yield fresh
        _publish(folder, fresh, target, overwrite, parts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        lock.free()


@contextmanager
def _turn(folder: Path) -> Iterator[bool]:
    """Let the writers of a folder go one after the other; false where that could not be had."""
    lock = Lock(folder)
    end = time.monotonic() + _LONGEST_TURN
    held = False
    try:
        with suppress(OSError):  # a file system without locks
            while not (held := lock.take()) and time.monotonic() < end:
                time.sleep(0.002)
        yield held
    finally:
        lock.free()


def _publish(folder: Path, fresh: Path, target: Path, overwrite: bool, parts: Parts) -> None:
    others = sorted(p for p in fresh.parent.iterdir() if p != fresh)
    for file in [p for p in (fresh, *others) if p.is_file()]:
        _sync(file)
    if not others:
        _publish_one(fresh, target, overwrite, folder / "old")
        return
    with _turn(target.parent):
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
    concerned = dict.fromkeys([p.name for p in (*others, *old)])
    (folder / "parts").write_text("\n".join(concerned), encoding="utf-8")
    for file in others:
        place = target.with_name(file.name)
        # A part is replaced only where it is this target's own, by its name.
        if place in old:
            _keep(place, folder / "before")
            file.replace(place)
        else:
            rename_new(file, place)
    try:
        _publish_one(fresh, target, overwrite, folder / "old")
    except OSError:
        _remove_parts([target.with_name(p.name) for p in others], target, parts)
        raise
    _remove_parts(old, target, parts)


def _keep(part: Path, folder: Path) -> None:
    """Keep a part that is being replaced until its target is, too."""
    if part.is_file():
        folder.mkdir(exist_ok=True)
        shutil.copy2(part, folder / part.name)


def leftover_parts(path: Path, name: str) -> list[Path]:
    """Return what a killed writer kept of a part that it had replaced before its target.

    Parameters
    ----------
    path : Path
        The target, which is the old one still.
    name : str
        Of the part.
    """
    prefix = partial_prefix(path) + "-"
    return [
        folder / "before" / name
        for folder in path.parent.iterdir()
        if folder.name.startswith(prefix) and (folder / "before" / name).is_file()
    ]


def _known_parts(target: Path, parts: Parts) -> Sequence[Path]:
    """Return the parts of what is there; those of a header that cannot be read are not known."""
    try:
        return [Path(p) for p in parts(target)]
    except (OSError, ValueError):
        return ()


def _remove_parts(files: Sequence[Path], target: Path, parts: Parts) -> None:
    """Remove data files that no header names any more."""
    kept = set(_known_parts(target, parts)) if target.exists() else set()
    for file in files:
        if file not in kept and not _is_named(file):
            with suppress(OSError):
                file.unlink()


def _is_named(file: Path) -> bool:
    """Whether a header beside a data file names it."""
    name = os.fsencode(file.name)
    for header in file.parent.iterdir():
        if header.suffix.lower() in _HEADERS:
            with suppress(OSError), header.open("rb") as opened:
                if name in opened.read(_HEADER):
                    return True
    return False


def _remove_leftovers(target: Path, parts: Parts) -> None:
    """Remove what writers of a target left that have ended: their locks are free."""
    prefix = partial_prefix(target) + "-"
    try:
        left = [p for p in target.parent.iterdir() if p.name.startswith(prefix)]
    except OSError:
        return
    for folder in left:
        with suppress(OSError):
            lock = Lock(folder / "lock", create=True)
            try:
                if lock.take():
                    _remove_leftover(folder, target, parts)
            finally:
                lock.free()


def _remove_leftover(folder: Path, target: Path, parts: Parts) -> None:
    listed = folder / "parts"
    if listed.is_file():
        names = listed.read_text(encoding="utf-8").splitlines()
        _remove_parts([target.with_name(Path(n).name) for n in names], target, parts)
    shutil.rmtree(folder, ignore_errors=True)
