"""Every engine of registration passes the conformance suite; the suite tells what is wrong.

The recipe in spatial_duck/registration/README.md is followed word for word: its blocks run in
`tests/test_readme.py`, and here it is another package, found by an entry point.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("SimpleITK", reason="needs SimpleITK")

from benchmarks.engines import suites
from spatial_duck import registration
from spatial_duck.registration import Engine, engine_names, named_engine
from spatial_duck.testing import EngineConformance, Status
from spatial_duck.transforms import Affine

README = Path(registration.__file__).with_name("README.md")
SUITES = {suite.__name__: suite for suite in suites()}
#: What an engine refuses, and why.
REFUSED = {
    ("simpleitk", "syn"): "it has no such model",
    ("ants", "bspline"): "its B-splines are not read",
    ("ants", "thin images"): "its filters need four voxels along each axis",
}
CHECKS = [n.removeprefix("test_") for n in dir(EngineConformance) if n.startswith("test_")]


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SUITES)
def test_engines_conform(name: str, check: str) -> None:
    finding = SUITES[name]()._finding(f"test_{check}")
    if (name, finding.name) in REFUSED:
        assert finding.status is Status.NOT_OFFERED, str(finding)
    else:
        assert finding.status is Status.RIGHT, str(finding)


class Careless(Engine):
    """Finds a shift that is wrong, writes to what it was given, and seeds NumPy."""

    name = "careless"
    models = ("translation",)
    metrics = ("mean_squares",)

    def run(self, job: Any) -> Any:
        np.random.seed(0)  # noqa: NPY002
        job.levels[0].fixed.data[0] = 0
        matrix = np.eye(len(job.centre) + 1)
        matrix[0, -1] = 0.4
        found = Affine(job.start.matrix @ matrix, job.start.world)
        return self.outcome(job, found, [self.log(job, 0, [1.0], "it is tired", True)])


def test_the_suite_tells_what_is_wrong() -> None:
    class Suite(EngineConformance):
        engine = Careless()

    found = {check: Suite()._finding(f"test_{check}") for check in (
        "motions_are_found", "log", "nothing_is_written_to", "progress", "start",
        "iterations_that_run_out")}  # fmt: skip
    assert {f.status for f in found.values()} == {Status.WRONG}
    assert "voxels off" in found["motions_are_found"].said
    assert "it writes to the arrays of the job" in found["nothing_is_written_to"].said


# --- the registry ---------------------------------------------------------------------------


def test_own_engines_are_named_engines() -> None:
    assert engine_names()[:2] == ("simpleitk", "ants")
    for name in ("simpleitk", "ants"):
        engine = named_engine(name)
        assert isinstance(engine, Engine)
        assert engine.name == name
        assert named_engine(engine) is engine


@pytest.mark.parametrize("given", ["mine", None, 3, object(), Careless])
def test_what_is_no_engine_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="engine must be one of simpleitk, ants"):
        named_engine(given)


def test_an_engine_without_run_is_abstract() -> None:
    class Idle(Engine):
        name = "idle"

    with pytest.raises(TypeError, match="abstract"):
        Idle()  # type: ignore[abstract]


# --- the recipe -----------------------------------------------------------------------------


def _recipe() -> str:
    blocks = re.findall(
        r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return next(block for block in blocks if "ENGINE = " in block)


def test_the_recipe_is_short() -> None:
    lines = _recipe().split("class SimplexEngine")[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["whole", "broken", "no engine"])
def test_another_package_brings_an_engine(tmp_path: Path, kind: str) -> None:
    pytest.importorskip("scipy", reason="needs SciPy")
    module = {"whole": _recipe(), "broken": "import nothing_of_the_name", "no engine": "ENGINE = 3"}
    (tmp_path / "simplex_duck.py").write_text(module[kind])
    info = tmp_path / "simplex_duck-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: simplex_duck\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[spatial_duck.registration]\nsimplex = simplex_duck:ENGINE\n"
    )
    code = """
import sys
import numpy as np
import spatial_duck as sd
assert "simplex_duck" not in sys.modules
y, x = np.mgrid[:32, :32]
fixed = sd.SpatialArray(np.exp(-((y - 14) ** 2 / 60 + (x - 18) ** 2 / 40)), spacing=(1, 1))
moved = fixed.replace(origin=(2.5, -1.5))
found = sd.register(fixed, moved, "translation", metric="mean_squares", initial="world",
                    engine="simplex")
assert found.engine == "simplex"
assert np.allclose(found([10.0, 10.0]), [12.5, 8.5], atol=0.05)
"""
    command = [sys.executable, "-W", "error" if kind == "whole" else "default", "-c", code]
    paths = f"{tmp_path}:{README.parent.parent.parent}"
    done = subprocess.run(command, env={"PYTHONPATH": paths}, capture_output=True, text=True)
    if kind == "whole":
        assert done.returncode == 0, done.stderr
        return
    said = {"broken": "'simplex' of simplex_duck:ENGINE cannot be loaded",
            "no engine": "must be an object of a class derived from"}  # fmt: skip
    assert said[kind] in done.stderr
    assert "engine must be one of simpleitk, ants, or an object" in done.stderr
