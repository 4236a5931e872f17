"""Modules of this package that are imported when they are first needed, from any thread."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["load"]

#: Seconds for which an import by another thread is waited for.
_MAX_WAIT = 10.0
#: How often an import is tried again when no other thread is seen at one: it may just have ended.
_RETRIES = 3


def load(name: str) -> ModuleType:
    """Return a module of this package; it is imported if it has not been yet.

    Python locks a module before its parent. Where one thread imports a package, and another one a
    module inside, each waits for the other, and Python ends that by handing out a module that is
    half made: an import fails which succeeds when the other thread has finished.
    """
    end, left = time.monotonic() + _MAX_WAIT, _RETRIES
    while True:
        try:
            return import_module(name)
        except (AttributeError, ImportError, KeyError, RuntimeError):
            left -= not _is_importing()
            if left < 0 or time.monotonic() > end:
                raise
            time.sleep(0.002)


def _is_importing() -> bool:
    """Whether any thread is importing a module of this package at the moment."""
    return any(
        name.startswith("spatial_duck.") and getattr(module.__spec__, "_initializing", False)
        for name, module in list(sys.modules.items())
        if module is not None
    )
