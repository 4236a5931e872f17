"""Progress of long work, shown by itself in terminals and notebooks, after two seconds.

With tqdm where that is installed, else by a line on stderr. ``config(progress=False)`` turns it
off; where nobody looks (stderr is a file, a test, a worker's thread) nothing is shown.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spatial_duck._config import current

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Report = Callable[[int, int], None]

__all__ = ["in_notebook", "is_watched", "progress_bar"]

#: Seconds before anything is shown, and between two changes of it.
_PATIENCE, _INTERVAL = 2.0, 0.1


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, which shows what a cell returns."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and hasattr(shell, "kernel")


def is_watched() -> bool:
    """Whether somebody may see progress: a terminal or notebook, from its own thread."""
    if not current().progress or threading.current_thread() is not threading.main_thread():
        return False
    return bool(sys.stderr and sys.stderr.isatty()) or in_notebook()


@contextmanager
def progress_bar(
    what: str, wanted: bool | Report | None = None, unit: str = "B"
) -> Iterator[Report]:
    """Yield a function to call with what is done and all there is to do.

    Parameters
    ----------
    what : str
        Written before the bar.
    wanted : bool or callable, optional
        True shows it at once, False never, None after two seconds where somebody looks. A function
        is called instead.
    unit : str, optional
        Unit of the numbers.

    Yields
    ------
    callable
        With (done, total). The bar is gone when the block ends, however it ends.
    """
    if callable(wanted):
        yield wanted
        return
    if wanted is False or (wanted is None and not is_watched()):
        yield _silent
        return
    shown = _Bar(what, unit, 0 if wanted else _PATIENCE)
    try:
        yield shown.report
    finally:
        shown.close()


def _silent(done: int, total: int, /) -> None:
    pass


class _Bar:
    """A bar of tqdm, or a line, that appears when the work takes long."""

    def __init__(self, what: str, unit: str, patience: float) -> None:
        self._what, self._unit = what, unit
        self._next = time.monotonic() + patience
        self._bar: Any = None
        self._line = False

    def report(self, done: int, total: int, /) -> None:
        """Show what is done."""
        now = time.monotonic()
        if now < self._next and not (done >= total and self._shown()):
            return
        self._next = now + _INTERVAL
        if self._bar is None and not self._line:
            self._begin()
        if self._bar is not None:
            self._bar.total = total
            self._bar.update(done - self._bar.n)
        else:
            sys.stderr.write(f"\r{self._what}: {100 * done // max(total, 1):3d}% of {total:,}")
            sys.stderr.write(f" {'bytes' if self._unit == 'B' else self._unit}")
            sys.stderr.flush()

    def _shown(self) -> bool:
        return self._bar is not None or self._line

    def _begin(self) -> None:
        try:
            # Of plain text where the notebook cannot draw widgets, without a warning about it.
            from tqdm.auto import tqdm
        except ImportError:
            self._line = True
            return
        self._bar = tqdm(
            desc=self._what, unit=self._unit, unit_scale=self._unit == "B", leave=False,
            mininterval=0, file=None if in_notebook() else sys.stderr,
        )  # fmt: skip

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._line:
            sys.stderr.write("\n")
