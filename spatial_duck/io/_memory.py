"""The memory available to a new array, in the machine and in its container."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

__all__ = ["available_memory"]

_CGROUPS = Path("/sys/fs/cgroup")


def available_memory() -> int | None:
    """Return the bytes of memory that a new array could take, or None where that is unknown.

    The least of what the machine has left and of what control groups (containers, batch systems)
    and the process's own limit (``ulimit -v``) leave to this process.
    """
    known = [n for n in (_of_machine(), _of_process(), *_of_groups()) if n is not None]
    return min(known, default=None)


def _of_machine() -> int | None:
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as file:
            for line in file:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    if os.name == "nt":
        return _of_windows()
    try:
        return int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return None


def _of_process() -> int | None:
    """Return what the limit of this process's address space leaves; None if there is none."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return None
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return max(limit - pages * resource.getpagesize(), 0)
    except (AttributeError, ImportError, OSError, ValueError):  # other systems
        return None


class _Status(ctypes.Structure):
    """The structure that GlobalMemoryStatusEx fills."""

    _fields_ = [
        ("length", ctypes.c_ulong),
        ("load", ctypes.c_ulong),
        *[(name, ctypes.c_ulonglong) for name in (
            "total", "available", "total_file", "available_file", "total_virtual",
            "available_virtual", "available_extended",
        )],
    ]  # fmt: skip


def _of_windows() -> int | None:
    status = _Status(length=ctypes.sizeof(_Status))
    try:
        ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined, unused-ignore]
    except (AttributeError, OSError):
        return None
    return int(status.available) or None


def _of_groups(root: Path = _CGROUPS, own: Path = Path("/proc/self/cgroup")) -> list[int]:
    """Return the free memory of each control group with a limit, its parents' too."""
    try:
        lines = own.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if kinds == "":  # version 2
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # Within a container its own group is often mounted as the root.
        folder = base / path.lstrip("/")
        while True:
            left = _left(folder, *names)
            if left is not None:
                found.append(left)
            if folder == base or base not in folder.parents:
                break
            folder = folder.parent
    return found


def _left(folder: Path, limit: str, usage: str, reclaimable: str) -> int | None:
    try:
        most = int((folder / limit).read_text())  # "max" is no number
        used = int((folder / usage).read_text())
    except (OSError, ValueError):
        return None
    try:
        rows = (folder / "memory.stat").read_text().splitlines()
        used -= sum(int(v) for k, v in (row.split() for row in rows) if k == reclaimable)
    except (OSError, ValueError):
        pass
    return max(most - max(used, 0), 0)
