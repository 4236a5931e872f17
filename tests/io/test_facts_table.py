"""The table of facts in the README of the formats is what the tests' marks say."""

from __future__ import annotations

import pytest

from benchmarks import facts

SHOWN = list(facts.shown())


def test_the_table_is_up_to_date() -> None:
    _, found, _ = facts.written(facts.README.read_text(encoding="utf-8"))
    assert found == facts.table(), "run python -m benchmarks.facts"


@pytest.mark.parametrize("shown", SHOWN, ids=[f"{s.format}-{s.fact}-{s.test}" for s in SHOWN])
def test_marks_have_a_cell_and_a_referee(shown: facts.Shown) -> None:
    assert shown.fact in facts.COORDINATES
    assert shown.format in facts.FORMATS
    assert shown.direction in facts.DIRECTIONS
    path = facts.ROOT / shown.test.partition("::")[0]
    near = [path, path.parent / "conftest.py"]
    text = "".join(p.read_text(encoding="utf-8") for p in near if p.exists()).lower()
    # The other library is imported there, or written with.
    assert all(name.lower() in text for name in shown.referee.split(", ")), shown
