"""The log of public files that were read and compared, `tests/io/REFEREES.md`."""

from __future__ import annotations

from benchmarks import strangers


def test_the_log_of_public_files_has_nothing_wrong() -> None:
    lines = strangers.LOG.read_text("utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    counts = [list(map(int, row[1:6])) for row in rows if len(row) > 5 and row[1].isdecimal()]
    assert len(counts) > 30
    assert not sum(row[strangers.OUTCOMES.index("wrong")] for row in counts)
    for (where, start), why in strangers.EXPLAINED.items():
        assert f"| `{where}` {start} | {why} |" in lines
