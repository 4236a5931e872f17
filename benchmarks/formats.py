"""The table of each format's conformance suite: ``python -m benchmarks.formats``.

The formats, and how each is written, are the classes of ``tests/io/test_format_conformance.py``.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from spatial_duck.testing import FormatConformance, Status

if TYPE_CHECKING:
    from collections.abc import Iterator

_TESTS = Path(__file__).resolve().parent.parent / "tests" / "io" / "test_format_conformance.py"
_SHOWN = {Status.RIGHT: "✓", Status.WRONG: "✗", Status.NOT_OFFERED: "–"}


def suites() -> Iterator[type[FormatConformance]]:
    """Yield the suites of all formats."""
    spec = importlib.util.spec_from_file_location("format_suites", _TESTS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for value in vars(module).values():
        if isinstance(value, type) and issubclass(value, FormatConformance):
            if value is not FormatConformance:
                yield value


def main() -> None:
    """Print the table."""
    for n, suite in enumerate(suites()):
        report = suite.report()
        if n == 0:
            print("| written as |", " | ".join(f.name for f in report), "|")
            print("| --- |", " | ".join("---" for _ in report), "|")
        options = ", ".join(f"{k}={v!r}" for k, v in suite.options.items())
        name = f"`{suite.suffix or 'a folder'}`" + (f" {options}" if options else "")
        print(f"| {name} |", " | ".join(_SHOWN[f.status] for f in report), "|", flush=True)
        for finding in report.wrong:
            print(finding)


if __name__ == "__main__":
    main()
