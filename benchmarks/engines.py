"""The table of engines in spatial_duck/registration/README.md, made from their conformance suites.

``python -m benchmarks.engines`` runs every suite whose library is installed, and writes the table.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from benchmarks._table import write_findings
from spatial_duck import registration
from spatial_duck.testing import EngineConformance

README = Path(registration.__file__).with_name("README.md")
#: The package that each engine of this package needs.
NEEDED = {"simpleitk": "SimpleITK", "ants": "ants"}


def suites() -> list[type[EngineConformance]]:
    """Return the suites of all engines whose libraries are installed."""
    made = []
    for name, package in NEEDED.items():
        if find_spec(package) is not None:
            engine = registration.named_engine(name)
            made.append(type(name, (EngineConformance,), {"engine": engine}))
    return made


if __name__ == "__main__":
    write_findings(README, [suite.report() for suite in suites()])
