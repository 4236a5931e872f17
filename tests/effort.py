"""How many examples property tests draw: enough while one works, all of them in long runs."""

from __future__ import annotations

import hypothesis

__all__ = ["examples", "set_up"]

#: One of so many of a costly test's examples is drawn.
_one_of = 4


def examples(count: int) -> int:
    """Return how many of a costly test's examples to draw.

    All in long runs, a quarter by default, and a sixteenth in the fast lane. It is known before
    tests are imported.
    """
    return -(-count // _one_of)


def set_up(long: bool, fast: bool) -> None:
    """Draw more or fewer examples than by default: in long runs, or in the fast lane."""
    global _one_of
    _one_of = 1 if long else 16 if fast else 4
    if fast and not long:
        default = hypothesis.settings.get_profile("default")
        hypothesis.settings.register_profile("fast", default, max_examples=10)
        hypothesis.settings.load_profile("fast")
