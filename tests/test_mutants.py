"""The mutator: each kind of change is made, once, and words are left alone."""

from __future__ import annotations

import ast
import os
import subprocess
import sys

import pytest

from benchmarks import mutants

SOURCE = """
def f(a: int = 1, b=2.5) -> int:
    assert a != 7
    if a < b and not a:
        g(a)
        raise ValueError(f"{a + 1} is bad")
    return -a + b
"""


def test_each_change_is_made_alone() -> None:
    found = set()
    for line, what, number, change in mutants.sites(ast.parse(SOURCE)):
        tree = ast.parse(SOURCE)
        before = ast.unparse(tree)
        change(list(ast.walk(tree))[number])
        after = ast.unparse(ast.fix_missing_locations(tree))
        assert sum(x != y for x, y in zip(before.split("\n"), after.split("\n"), strict=True)) == 1
        assert line
        found.add(what)
    assert found == {
        "1 -> 2", "2.5 -> 3.5", "Lt -> LtE", "And -> Or", "drop not", "negate if", "drop call",
        "drop minus", "Add -> Sub", "return None",
    }  # fmt: skip


@pytest.mark.parametrize("name", mutants.GROUPS)
def test_groups_name_what_is_there(name: str) -> None:
    group = mutants.GROUPS[name]
    assert len(mutants.mutants(group)) > 20
    assert all((mutants.ROOT / "tests" / f"{test}.py").is_file() for test in group.tests)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="mutants are tried in forks")
def test_a_mutant_is_killed_and_the_package_as_it_is_lives() -> None:
    """In a process of its own, which has not imported the package."""
    code = (
        "from benchmarks import mutants as m\n"
        "axes = m.mutants(m.Group(('axes',), ()))\n"
        "worst = next(x for x in axes if x.what == 'return None')\n"
        "print(m.survives(None, ['test_keys']), m.survives(worst, ['test_keys', 'test_grid']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=mutants.ROOT
    )
    assert done.stdout.split() == ["True", "False"], done.stderr
