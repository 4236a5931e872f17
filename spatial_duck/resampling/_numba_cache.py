"""Cache on disk of compiled kernels, by private names of Numba.

Its own cache of a function knows that function's file alone, and would keep kernels whose parts in
other files have changed; so that without the private names that are used here nothing is kept, and
each process compiles again. `tests/test_private_names.py` fails when that is so.
"""
# mypy: allow-untyped-calls, disable-error-code="misc"

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

try:
    from numba.core.caching import FunctionCache, IndexDataCacheFile
except ImportError:
    FunctionCache, IndexDataCacheFile = object, None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["keep"]


class _Kept(FunctionCache):
    """A cache that is invalid when any stamp changes, and whose errors are ignored."""

    def __init__(self, function: Callable[..., Any], stamps: Sequence[Any]) -> None:
        super().__init__(function)
        self._cache_file = IndexDataCacheFile(self._cache_path, self._impl.filename_base, stamps)

    @contextlib.contextmanager
    def _guard_against_spurious_io_errors(self) -> Iterator[None]:
        with contextlib.suppress(OSError):
            yield


def keep(compiled: Any, function: Callable[..., Any], stamps: Sequence[Any]) -> Any:
    """Return a compiled function whose machine code is kept on disk, where that can be.

    Parameters
    ----------
    compiled : numba dispatcher
        Not called yet.
    function : callable
        What was compiled.
    stamps : sequence
        What the code depends on: when it changes, what was kept is void.
    """
    # RuntimeError: no folder that can be written. The others: names that Numba no longer has.
    with contextlib.suppress(RuntimeError, AttributeError, TypeError):
        cache = _Kept(function, stamps)
        if hasattr(compiled, "_cache"):
            compiled._cache = cache
    return compiled
