"""The table of transforms of other software: each kind within a thousandth of a millimetre."""

from __future__ import annotations

import pytest

transforms = pytest.importorskip("benchmarks.transforms_of_others", reason="needs the benchmarks")
for needed in ("nitransforms", "SimpleITK", "scipy", "nibabel"):
    pytest.importorskip(needed, reason=f"needs {needed}")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", transforms.KINDS)
def test_points_are_the_other_librarys(kind: str) -> None:
    assert transforms.worst(kind) < 1e-3


def test_the_table_has_every_kind() -> None:
    text = transforms.README.read_text("utf-8")
    for kind, (referee, _) in transforms.KINDS.items():
        assert f"| {kind} | {referee} |" in text
