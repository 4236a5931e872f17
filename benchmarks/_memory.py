"""How much memory this process holds, in bytes."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["peak", "resident"]


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def resident() -> int:
    """Return how much is in memory now (Linux)."""
    return _status("VmRSS")


def peak() -> int:
    """Return the most that was in memory at any time.

    Not by `resource.getrusage` where there is another way: its figure begins with the peak of the
    process that started this one.
    """
    if sys.platform == "linux":
        return _status("VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
