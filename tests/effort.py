"""How many examples property tests draw: enough while one works, all of them in long runs."""

from __future__ import annotations

__all__ = ["examples"]

#: Whether ``--long`` is given, which is known before tests are imported.
LONG = False


def examples(count: int) -> int:
    """Return how many of a costly test's examples to draw: a quarter, or all with ``--long``."""
    return count if LONG else -(-count // 4)
