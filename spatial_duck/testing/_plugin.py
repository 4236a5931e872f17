"""The pytest plugin: a subclass of `Conformance` or `FormatConformance` becomes many tests.

It is loaded with every pytest run where this package is installed, so it imports nothing until a
test asks for ``spatial_check`` or ``format_check``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["pytest_generate_tests"]


def pytest_generate_tests(metafunc: Any) -> None:
    """Make one test of each check."""
    if {"spatial_check", "format_check"} & {*metafunc.fixturenames}:
        from spatial_duck._optional import require

        require("hypothesis", "spatial_duck.testing")
    if "spatial_check" in metafunc.fixturenames:
        from spatial_duck.testing._checks import CHECKS

        ids = [f"{row.level}: {row.name}" for row in CHECKS]
        metafunc.parametrize("spatial_check", CHECKS, ids=ids)
    if "format_check" in metafunc.fixturenames:
        from spatial_duck.testing._format_checks import FORMAT_CHECKS

        ids = [f"{row.level}: {row.name}" for row in FORMAT_CHECKS]
        metafunc.parametrize("format_check", FORMAT_CHECKS, ids=ids)
