"""Memory of this process, in bytes."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["PeakMemory", "own", "peak", "resident", "worker_peak"]

_SECONDS = 0.002


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) << 10
    raise RuntimeError(f"/proc/self/status has no {field}")


def resident() -> int:
    """Return how much is in memory now (Linux)."""
    return _status("VmRSS")


def own() -> int:
    """Return how much of that no file stands behind (Linux)."""
    return _status("RssAnon")


def peak() -> int:
    """Return the most that was in memory at any time.

    Not by `resource.getrusage` where there is another way: its figure begins with the peak of the
    process that started this one.
    """
    if sys.platform == "linux":
        return _status("VmHWM")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def worker_peak(dask_worker: Any) -> float:
    """Return the peak memory of a worker of Dask in bytes, which it records twice a second."""
    return float(max(dask_worker.monitor.quantities["memory"]))


class PeakMemory:
    """A context that looks every two milliseconds at what the process has of its own (Linux).

    Attributes
    ----------
    bytes : int
        The most that it had above what it had at the beginning.
    """

    def __enter__(self) -> PeakMemory:
        self.bytes = 0
        self._before = own()
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(_SECONDS):
            self.bytes = max(self.bytes, own() - self._before)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self._over.set()
        self._watcher.join()
        self.bytes = max(self.bytes, own() - self._before)
