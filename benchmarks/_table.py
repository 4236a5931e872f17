"""Timing side by side in one run, and the tables that show it.

The cases of one row are timed in interleaved rounds, so that a busy moment of the machine does
not fall on one of them alone.
"""

from __future__ import annotations

import platform
import random
import re
import sys
import time
from importlib import metadata
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from spatial_duck.testing import Report

__all__ = ["Timing", "environment", "measure", "render", "write_findings"]


class Timing(NamedTuple):
    """Seconds per call: the best round and the median round."""

    best: float
    median: float


def measure(
    cases: Mapping[str, Callable[[], object]], *, seconds: float = 0.004, rounds: int = 25
) -> dict[str, Timing]:
    """Time several functions in interleaved rounds.

    Parameters
    ----------
    cases : mapping of str to callable
        The functions by name; each is called once first, which is not timed.
    seconds : float, optional
        Length of one round of one case: short calls are repeated to fill it.
    rounds : int, optional
        Number of rounds.
    """
    numbers = {name: _number(function, seconds) for name, function in cases.items()}
    taken: dict[str, list[float]] = {name: [] for name in cases}
    order = list(cases)
    for _ in range(rounds):
        random.shuffle(order)
        for name in order:
            taken[name].append(_run(cases[name], numbers[name]) / numbers[name])
    return {name: Timing(min(t), sorted(t)[len(t) // 2]) for name, t in taken.items()}


def _run(function: Callable[[], object], number: int) -> float:
    start = time.perf_counter()
    for _ in range(number):
        function()
    return time.perf_counter() - start


def _number(function: Callable[[], object], seconds: float) -> int:
    function()
    number = 1
    while (taken := _run(function, number)) < seconds / 4:
        number *= 4
    return max(1, round(number * seconds / taken))


def render(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as text: the first column to the left, the others to the right."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    out = [title]
    for line in lines:
        first = line[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        out.append("  ".join([first, *rest]))
    out.insert(2, "  ".join("-" * width for width in widths))
    return "\n".join(out)


def environment(packages: Iterable[str]) -> str:
    """Return one line with the versions of Python and of those packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            found.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def write_findings(readme: Path, reports: Sequence[Report]) -> None:
    """Write the findings of conformance suites into a README, between the marks of its table.

    A row for each check and a column for each suite; what is wrong goes to stderr.
    """
    head = ["", *[r.subject for r in reports]]
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    marks = {"right": "yes", "not offered": "refused", "wrong": "WRONG"}
    for finding in reports[0]:
        cells = [marks[report[finding.name].status.value] for report in reports]
        lines.append("| " + " | ".join([finding.name, *cells]) + " |")
    for report in reports:
        for finding in report.wrong:
            print(f"{report.subject}, {finding}", file=sys.stderr)
    begin, end = "<!-- table -->\n", "<!-- end of table -->"
    table = begin + "\n".join(lines) + "\n" + end
    text = readme.read_text("utf-8")
    readme.write_text(re.sub(f"{begin}.*?{end}", lambda _: table, text, flags=re.DOTALL), "utf-8")
