"""The report of the checks of an image class, with a finding for each check.

A report is read by people (``print(report)``), by programs (``report.wrong``) and by tests
(``report.raise_if_wrong()``). What a class does not offer never counts against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LEVELS", "Finding", "Report", "Status"]

#: The levels of conformance, each built on those before it.
LEVELS = ("attributes", "indexing", "functions", "lazy", "exchange")


class Status(StrEnum):
    """Result of a check of a class."""

    RIGHT = "right"
    WRONG = "wrong"
    NOT_OFFERED = "not offered"


@dataclass(frozen=True)
class Finding:
    """Finding of one check.

    Attributes
    ----------
    name, level, wanted : str
        The check, the level that it belongs to, and what it wants.
    status : Status
        Right in all that was tried; wrong; or not offered by the class.
    said : str
        What went wrong, or how the class refuses. Of a check that came out right: how the class
        refuses some of what was tried, or nothing.
    example : str
        Where it is wrong: the smallest example that shows it, as code to paste.
    """

    name: str
    level: str
    wanted: str
    status: Status
    said: str = ""
    example: str = ""

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.status}. Wanted: {self.wanted}."]
        if self.said:
            lines.append(f"  {self.said}")
        lines += [f"    {line}" for line in self.example.splitlines()]
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    """Findings of all checks of one class.

    Attributes
    ----------
    subject : str
        Name of what was checked.
    findings : tuple of Finding
        One for each check, those of a level together.

    Examples
    --------
    >>> right = Finding("origin", "attributes", "origin comes back", Status.RIGHT)
    >>> report = Report("MyImage", (right,))
    >>> report.ok, report["origin"].status.value
    (True, 'right')
    >>> print(report)
    MyImage: 1 right, 0 wrong, 0 not offered
    <BLANKLINE>
    attributes
      right        origin
    """

    subject: str
    findings: tuple[Finding, ...]

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __getitem__(self, name: str) -> Finding:
        for finding in self.findings:
            if finding.name == name:
                return finding
        raise KeyError(f"no check is called {name!r}; there are {[f.name for f in self.findings]}")

    def of(self, status: Status | str, level: str | None = None) -> tuple[Finding, ...]:
        """Return the findings with one status, of one level or of all."""
        return tuple(f for f in self.findings if f.status == status and level in (None, f.level))

    @property
    def right(self) -> tuple[Finding, ...]:
        """Findings of checks that hold."""
        return self.of(Status.RIGHT)

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """Findings of checks that fail."""
        return self.of(Status.WRONG)

    @property
    def not_offered(self) -> tuple[Finding, ...]:
        """Findings of functions that the class does not offer."""
        return self.of(Status.NOT_OFFERED)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    def raise_if_wrong(self) -> None:
        """Raise an AssertionError that holds this report if anything is wrong."""
        if not self.ok:
            raise AssertionError(str(self))

    def summary(self) -> str:
        """Return one line: the name and how many checks have each status."""
        counts = ", ".join(f"{len(self.of(status))} {status}" for status in Status)
        return f"{self.subject}: {counts}"

    def __str__(self) -> str:
        lines = [self.summary()]
        for level in dict.fromkeys(f.level for f in self.findings):
            found = [f for f in self.findings if f.level == level]
            lines += ["", level]
            for f in found:
                lines.append(f"  {f.status:<13}{f.name}")
                if f.status is Status.WRONG:
                    lines += [f"      wanted: {f.wanted}", f"      but {f.said}", ""]
                    lines += [f"          {line}" for line in f.example.splitlines()] + [""]
                elif f.said:
                    lines[-1] = f"{lines[-1]:<46} ({f.said})"
        return "\n".join(lines)
