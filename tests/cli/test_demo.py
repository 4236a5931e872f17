"""The demo: the main job on a real image, with its checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from pathlib import Path

for needed in ("nibabel", "SimpleITK", "zarr", "matplotlib"):
    pytest.importorskip(needed, reason=f"needs {needed}")

from spatial_duck.cli import _demo as demo  # noqa: E402
from spatial_duck.cli import main  # noqa: E402


@pytest.fixture(scope="module")
def report(tmp_path_factory: Any) -> Any:
    lines: list[str] = []
    return demo.run(tmp_path_factory.mktemp("demo"), lines.append), lines


@pytest.mark.slow
def test_nothing_is_read_before_voxels_are_needed(report: Any) -> None:
    steps = {step.what: step for step in report[0].steps}
    reading = [what for what, step in steps.items() if step.read]
    assert reading == ["resample onto it, chunk by chunk, with a pyramid"]
    assert steps["write it as a chunked OME-Zarr"].written > 100_000
    assert sum(step.seconds for step in steps.values()) < 120


@pytest.mark.slow
def test_no_chunk_is_read_many_times(report: Any) -> None:
    steps = {step.what: step for step in report[0].steps}
    written = steps["write it as a chunked OME-Zarr"].written
    assert steps["resample onto it, chunk by chunk, with a pyramid"].read < 8 * written


def test_the_referees_agree(report: Any) -> None:
    checks = report[0].checks
    assert len(checks) == 5
    for name, value in checks.items():
        limit = next(v for unit, v in demo._MAX_ERROR.items() if name.endswith(unit))
        assert 0 <= value <= limit, name


def test_the_results_are_there(report: Any) -> None:
    folder = report[0].folder
    result = sd.read(folder / "isotropic.ome.zarr")
    assert result.orientation == "SAR"
    assert result.frame == "RAS"
    assert result.spacing.tolist()[1:] == [2, 2, 2]
    assert np.asarray(result).max() > 0
    assert sd.read(folder / "isotropic.ome.zarr", level=2).spacing.tolist()[1:] == [8, 8, 8]
    assert (folder / "before-after.png").stat().st_size > 50_000


def test_the_report_is_short_and_complete(report: Any) -> None:
    text = "\n".join(report[1])
    assert len(text.split("\n")) < 30
    assert max(map(len, text.split("\n"))) < 120
    for step in report[0].steps:
        assert step.what in text
    assert "peak memory" in text


def test_a_check_that_fails_is_an_error(report: Any) -> None:
    wrong = report[0]._replace(checks={"place (mm)": 0.5})
    with pytest.raises(RuntimeError, match=r"place \(mm\)"):
        demo._print_report(wrong, lambda line: None)
    with pytest.raises(RuntimeError, match=r"place \(mm\)"):
        demo._print_report(
            report[0]._replace(checks={"place (mm)": float("nan")}), lambda line: None
        )


@pytest.mark.slow
def test_a_second_run_replaces_the_first(report: Any, capsys: Any) -> None:
    folder: Path = report[0].folder
    assert main(["demo", "--out", str(folder)]) == 0
    assert "largest difference" in capsys.readouterr().out


def test_a_missing_package_is_named(monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "SimpleITK", None)
    assert main(["demo", "--out", str(tmp_path / "out")]) == 1
    assert "spatial-duck[cli]" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
