"""The scoreboard: known defects of other libraries are found, and nothing is wrong in ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import scoreboard
from spatial_duck.testing import Status
from spatial_duck.testing._checks import CHECKS
from spatial_duck.testing._conformance import run_check

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = {row.name: row for row in CHECKS}
ENTRIES = {entry.title: entry for entry in scoreboard.ENTRIES}

#: Defects that were found by hand, and that the checks must find by themselves.
KNOWN = [
    *(("monai MetaTensor", name) for name in ("x[1:]", "x[::2]", "np.flip", "np.transpose")),
    ("ants.ANTsImage", "x[::2]"),
    ("SimpleITK.Image", "x[1]"),
    ("SimpleITK.Image", "spacing nan"),
    ("nibabel.Nifti1Image", "x[::-1]"),
    *(("xarray.DataArray", name) for name in ("np.pad", "np.rot90", "single voxel")),
]
#: And what the same libraries do right.
RIGHT = [
    *(("SimpleITK.Image", name) for name in ("origin", "x[1:]", "x[::-1]", "np.flip", "np.pad")),
    *(("nibabel.Nifti1Image", name) for name in ("direction", "x[1:]", "x[::2]")),
    *(("xarray.DataArray", name) for name in ("x[1:]", "x[::-1]", "np.flip", "np.sqrt")),
    *(("highdicom.Volume", name) for name in ("x[1:]", "x[::-1]", "x[1]", "np.flip", "np.pad")),
    ("itk.Image", "np.flip"),
]


def _status(title: str, name: str, max_examples: int = 20) -> Status:
    entry = ENTRIES[title]
    if package := scoreboard.missing(entry):
        pytest.skip(f"needs {package}")
    with scoreboard.quiet():
        return run_check(ROWS[name], entry.subject(), max_examples).status


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the other libraries', on import
@pytest.mark.parametrize("title, name", KNOWN)
def test_a_known_defect_is_found(title: str, name: str) -> None:
    assert _status(title, name) is Status.WRONG


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title, name", RIGHT)
def test_what_is_right_is_called_right(title: str, name: str) -> None:
    assert _status(title, name) is Status.RIGHT


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title", [e.title for e in scoreboard.ENTRIES if e.ours])
def test_nothing_is_wrong_with_ours(title: str) -> None:
    """On NumPy the checks run one by one elsewhere; here a few examples on each backend."""
    names = [row.name for row in CHECKS if row.level in ("indexing", "functions", "exchange")]
    statuses = {name: _status(title, name, max_examples=2) for name in names}
    assert not [name for name, status in statuses.items() if status is Status.WRONG]
    assert sum(status is Status.RIGHT for status in statuses.values()) > len(names) - 6


def test_a_library_that_is_not_installed_is_listed_so() -> None:
    class Absent(scoreboard.Entry):
        title, packages = "Absent.Image", ("no_such_package_here",)

    assert scoreboard.row(Absent)[:2] == ["Absent.Image", "no_such_package_here is not installed"]


def test_the_readme_holds_the_table_and_its_command() -> None:
    readme = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    assert "python -m benchmarks.scoreboard" in readme
    assert "| " + " | ".join(scoreboard.HEADER) + " |" in readme
    for entry in scoreboard.ENTRIES:
        (line,) = [x for x in readme.split("\n") if x.startswith(f"| {entry.title} |")]
        assert not entry.ours or line.endswith("| nothing |")
