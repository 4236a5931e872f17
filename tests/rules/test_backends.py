"""Each recipe on each backend: right, or refused as the bare backend refuses it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.rules.calls import OVERRIDABLE, find
from tests.rules.coverage import BACKENDS, outcome, table, versions
from tests.rules.recipes import RECIPES

KNOWN = [r for r in RECIPES if find(r.name) in OVERRIDABLE]
#: JAX compiles each function anew.
LONG = ("jax",)
#: Zarr goes the way of Dask for most functions: one call of each is enough.
CASES = [
    pytest.param(r.label, b, id=f"{r.label}-{b}", marks=pytest.mark.long if b in LONG else ())
    for r in KNOWN
    for b in BACKENDS
    if b != "numpy" and find_spec(b) and (b != "zarr" or r.label.endswith("-0"))
]


@pytest.mark.slow
@pytest.mark.parametrize("label, backend", CASES)
def test_right_or_refused_as_bare(label: str, backend: str) -> None:
    outcome(label, backend)


@pytest.mark.parametrize("backend", [b for b in BACKENDS if not find_spec(b)])
def test_backends_that_are_not_installed(backend: str) -> None:
    pytest.skip(f"needs {backend}")


def test_the_readme_shows_this_table(request: pytest.FixtureRequest) -> None:
    readme = (Path(__file__).parents[2] / "spatial_duck" / "rules" / "README.md").read_text(
        encoding="utf-8"
    )
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| family \|.*?(?=\n\n)", readme, re.M | re.S)[0].split("\n")
    ]
    del shown[1]
    header = shown[0]
    there = tuple(
        [
            b for b in header[2:]
            if find_spec(b) and versions((b,)) in readme
            and (b not in LONG or request.config.getoption("--long"))
        ]
    )  # fmt: skip
    if "numpy" not in there:
        pytest.skip("made with another version of NumPy")
    columns = [0, 1, *[header.index(b) for b in there]]
    assert [[row[i] for i in columns] for row in shown] == table(there)
