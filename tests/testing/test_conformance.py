"""The checks of image classes: right classes pass, each planted defect is found and shown small."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.cli import main
from spatial_duck.testing import Conformance, Report, Status, check
from spatial_duck.testing._checks import CHECKS
from spatial_duck.testing._conformance import run_check
from spatial_duck.testing._report import LEVELS
from spatial_duck.testing._subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent.parent
ROWS = {row.name: row for row in CHECKS}


def make(data: Any, spacing: Any, origin: Any, direction: Any) -> sd.SpatialArray:
    return sd.SpatialArray(data, spacing=spacing, origin=origin, direction=direction)


class Ours(Conformance):
    factory = staticmethod(make)
    max_examples = 10


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_our_own_class_is_right(name: str) -> None:
    if ROWS[name].level == "lazy" and name.startswith("Dask"):
        pytest.importorskip("dask", reason="needs dask")
    finding = run_check(ROWS[name], Ours.subject(), Ours.max_examples)
    assert finding.status is Status.RIGHT, str(finding)


def _place(x: Any) -> Any:
    return x.spacing, x.origin, x.direction


def _moved(image: sd.SpatialArray) -> sd.SpatialArray:
    return image.replace(origin=image.origin + 0.5)


#: What is done wrong, and the check that must find it.
DEFECTS: dict[str, dict[str, Callable[..., Any]]] = {
    "np.flip": {"flip": lambda x, axis: np.flip(x, axis).replace(direction=x.direction)},
    "np.transpose": {"transpose": lambda x, axes: make(np.transpose(x.data, axes), *_place(x))},
    "np.pad": {"pad": lambda x, w, **k: np.pad(x, w, **k).replace(origin=x.origin)},
    "np.sqrt": {"sqrt": lambda x: _moved(np.sqrt(x))},
    "np.clip": {"clip": lambda x, low, high: x},
    "np.max": {"max": lambda x, axis: _moved(np.max(x, axis))},
    "np.concatenate, gap": {
        "concatenate": lambda pieces, axis: make(
            np.concatenate([p.data for p in pieces], axis), *_place(pieces[0])
        )
    },
    "np.stack": {"stack": lambda pieces, axis: np.stack([np.asarray(p) for p in pieces], axis)},
    "np.ravel": {
        "ravel": lambda x: sd.SpatialArray(
            np.ravel(x.data), spacing=[x.spacing[-1]], origin=[0.0], dims=("x",)
        )
    },
    "x[1:]": {"index": lambda x, key: x[key].replace(origin=x.origin)},
    "x[::2]": {"index": lambda x, key: x},
    "x[::-1]": {"index": lambda x, key: x[key].replace(direction=x.direction)},
    "index and point": {"index_to_physical": lambda x, i: x.index_to_physical(i) + 0.1},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DEFECTS)
def test_a_planted_defect_is_found_and_its_example_shows_it(name: str) -> None:
    functions = DEFECTS[name]
    finding = run_check(ROWS[name], Subject(make, functions=functions))
    assert finding.status is Status.WRONG, str(finding)
    assert finding.said
    # The example is code to paste, on a small image with the plainest directions.
    session: dict[str, Any] = {"factory": make, "functions": functions}
    code = finding.example if name != "index and point" else "\n".join(
        finding.example.split("\n")[:-1]
    )  # fmt: skip
    exec(compile(code, name, "exec"), session)
    assert max(session["x"].shape) <= 4
    assert (session["x"].direction == np.eye(session["x"].ndim)).all()
    with pytest.raises(AssertionError, match="0 right, 1 wrong"):
        Report("mine", (finding,)).raise_if_wrong()


@pytest.mark.slow
@pytest.mark.parametrize("value", ["nan", "inf", "0"])
def test_nonsense_that_is_taken_is_wrong(value: str) -> None:
    class Taker:
        def __init__(self, data: Any, spacing: Any, origin: Any, direction: Any) -> None:
            self.data, self.spacing, self.origin, self.direction = data, spacing, origin, direction

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.asarray(self.data, dtype)

    report = check(Taker, levels=["attributes"], max_examples=5)
    assert report[f"spacing {value}"].status is Status.WRONG
    assert report["origin"].status is Status.RIGHT
    assert report["index and point"].status is Status.NOT_OFFERED


class OnlyAttributes:
    """Has the three attributes and its array, and nothing more."""

    def __init__(self, data: Any, spacing: Any, origin: Any, direction: Any) -> None:
        sd.Geometry(data.shape, spacing, origin, direction)  # refuses nonsense
        self.values, self.spacing = np.asarray(data), spacing
        self.origin, self.direction = origin, direction

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.array(self.values, dtype, copy=copy)


@pytest.mark.slow
def test_a_class_that_implements_a_part_has_nothing_wrong() -> None:
    report = check(OnlyAttributes, max_examples=5)
    assert report.ok, str(report)
    assert len(report.right) > 8
    assert {f.level for f in report.not_offered} == set(LEVELS)


def test_other_names_and_axis_aligned_classes() -> None:
    class Theirs:
        def __init__(self, data: Any, step: Any, start: Any) -> None:
            self.array, self.step, self.start = data, np.asarray(step), np.asarray(start)

    def factory(data: Any, spacing: Any, origin: Any, direction: Any) -> Theirs:
        assert (direction == np.eye(data.ndim)).all()
        return Theirs(np.asarray(data), spacing, origin)

    report = check(
        factory,
        lambda image: (image.step, image.start, np.eye(len(image.step))),
        values_of=lambda image: image.array,
        oblique=False,
        flipped=False,
        levels=["attributes"],
        max_examples=10,
    )
    assert [f.name for f in report.right][:5] == [
        "spacing", "origin", "direction", "single voxel", "values"
    ]  # fmt: skip


def test_dask_data_that_are_computed_early_are_found() -> None:
    pytest.importorskip("dask", reason="needs dask")
    early = {"flip": lambda x, axis: make(np.flip(np.asarray(x), axis), *_place(x))}
    report = check(make, functions=early, levels=["lazy"], max_examples=5)
    assert report["Dask, np.flip"].status is Status.WRONG
    assert "computed" in report["Dask, np.flip"].said
    assert report["Dask, x[1:]"].status is Status.RIGHT


@pytest.mark.slow
def test_a_report_is_the_same_each_time() -> None:
    functions = DEFECTS["np.pad"]
    first, second = (
        check(make, functions=functions, levels=["functions"], max_examples=5) for _ in range(2)
    )
    assert isinstance(first, Report)
    assert str(first) == str(second)


def test_levels_are_checked() -> None:
    with pytest.raises(ValueError, match="levels are"):
        check(make, levels=["attribute"])


# --- pytest and the command line ------------------------------------------------------------

SUITE = """
import numpy as np
import spatial_duck as sd
from spatial_duck.testing import Conformance

class TestOurs(Conformance):
    max_examples = 3

    @staticmethod
    def factory(data, spacing, origin, direction):
        return sd.SpatialArray(data, spacing=spacing, origin=origin, direction=direction)

class TestBroken(TestOurs):
    functions = {"flip": lambda x, axis: x}
"""


def _run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    }
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd, env=environ, capture_output=True, text=True, timeout=170, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_the_plugin_makes_a_test_of_each_check(tmp_path: Path) -> None:
    (tmp_path / "test_theirs.py").write_text(SUITE, encoding="utf-8")
    installed = {e.value for e in metadata.entry_points(group="pytest11")}
    plugin = "spatial_duck.testing._plugin"
    load = [] if plugin in installed else ["-p", plugin]
    ran = _run(
        *["-m", "pytest", "-q", "-W", "error", *load, "-p", "no:cacheprovider", "-k",
          "functions or exchange"],
        cwd=tmp_path,
    )  # fmt: skip
    assert "1 failed" in ran.stdout, ran.stdout + ran.stderr
    assert "test_theirs.py::TestBroken::test_conformance[functions: np.flip]" in ran.stdout
    assert "x = factory(numbers, " in ran.stdout
    assert "def test_conformance" not in ran.stdout  # no traceback through this package


def test_the_plugin_imports_nothing_early() -> None:
    code = (
        "import sys, spatial_duck; before = set(sys.modules)\n"
        "import spatial_duck.testing._plugin\n"
        "new = set(sys.modules) - before\n"
        "print(sorted(m for m in new if m.partition('.')[0] not in sys.stdlib_module_names))"
    )
    ran = _run("-c", code, cwd=ROOT)
    assert ran.stdout.strip() == "['spatial_duck.testing', 'spatial_duck.testing._plugin']"


def test_the_entry_point_is_the_plugin() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert (
        '[project.entry-points.pytest11]\nspatial_duck = "spatial_duck.testing._plugin"' in project
    )


@pytest.mark.slow
def test_the_command_reports_and_exits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    (tmp_path / "their_images.py").write_text(SUITE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    level = ["--level", "attributes"]
    assert main(["check", "their_images:TestOurs", *level]) == 0
    assert "TestOurs: 14 right, 0 wrong" in capsys.readouterr().out
    assert main(["check", "their_images:TestBroken", "--level", "functions"]) == 1
    said = capsys.readouterr()
    assert "wrong        np.flip" in said.out
    assert "y = functions['flip'](x, 0)" in said.out
    assert "checks are wrong" in said.err


@pytest.mark.parametrize(
    "name, message",
    [
        ("their", "write PACKAGE.MODULE:NAME"),
        ("no_such_module_here:make", "no module"),
        ("json:no_such_name", "has no function or class"),
    ],
)
def test_the_command_says_what_is_missing(name: str, message: str, capsys: Any) -> None:
    assert main(["check", name]) == 2
    assert message in capsys.readouterr().err


class WithoutDirection:
    """Runs along the world's axes, and says nothing of it."""

    def __init__(self, data: Any, spacing: Any, origin: Any) -> None:
        assert np.all(np.isfinite(spacing))
        assert np.all(np.asarray(spacing) > 0)
        self.data, self.spacing, self.origin = np.asarray(data), tuple(spacing), tuple(origin)

    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    dtype = property(lambda self: self.data.dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.data, dtype)


def test_a_class_without_a_direction_runs_along_the_world() -> None:
    def make(data: Any, spacing: Any, origin: Any, direction: Any) -> WithoutDirection:
        return WithoutDirection(data, spacing, origin)

    report = check(make, oblique=False, sheared=False, flipped=False, levels=("attributes",))
    assert not report.wrong
    assert "no geometry can be read" not in str(report)
    image = sd.asarray(WithoutDirection(np.zeros((2, 3)), (2, 1), (5, 6)))
    assert image.index_to_physical([1, 2]).tolist() == [7, 8]
