"""The base of suites whose methods are checks: each is a test, and a finding of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest import SkipTest

from spatial_duck.testing._report import Finding, Report, Status

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Suite"]


class Suite:
    """Base of suites whose methods named ``test_...`` are checks; a docstring says what is wanted.

    A check raises `unittest.SkipTest` where what it is about is not offered.
    """

    level = ""

    @classmethod
    def report(cls) -> Report:
        """Run all tests outside pytest."""
        self = cls()
        names = [name for name in dir(cls) if name.startswith("test_")]
        return Report(cls.__name__, tuple([self._finding(name) for name in names]))

    def _finding(self, name: str) -> Finding:
        method: Callable[[], None] = getattr(self, name)
        wanted = (method.__doc__ or "").strip().rstrip(".")
        title = name.removeprefix("test_").replace("_", " ")
        try:
            method()
        except SkipTest as refusal:
            return Finding(title, self.level, wanted, Status.NOT_OFFERED, str(refusal))
        except Exception as error:  # whatever is raised is what is wrong
            said = f"{type(error).__name__}: {error}"
            return Finding(title, self.level, wanted, Status.WRONG, said)
        return Finding(title, self.level, wanted, Status.RIGHT)
