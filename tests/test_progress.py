"""Progress is shown where somebody looks, after a while, and nowhere else."""

from __future__ import annotations

import io
import sys
import threading
import types
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import _progress as progress
from spatial_duck.io import _estimate as estimate

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch, stderr: Any) -> None:
    """Let the package write to something; pytest puts its own into `sys` before each phase."""
    from spatial_duck.registration import _api as registration

    fake = types.SimpleNamespace(stderr=stderr, modules=sys.modules)
    for module in (progress, estimate, registration):
        monkeypatch.setattr(module, "sys", fake)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    found = Terminal()
    watch(monkeypatch, found)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    return found


@pytest.fixture
def image() -> sd.SpatialArray:
    return sd.SpatialArray(np.zeros((4, 5, 6), np.int16), unit="mm", frame="LPS")


@pytest.fixture(params=["tqdm", "no tqdm"])
def bars(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "tqdm":
        pytest.importorskip("tqdm", reason="needs tqdm")
    else:
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)


@pytest.mark.usefixtures("bars")
def test_a_terminal_shows_what_is_written(
    terminal: Terminal, image: sd.SpatialArray, tmp_path: Path
) -> None:
    sd.write(tmp_path / "a.nrrd", image)
    assert "writing a.nrrd" in terminal.getvalue()
    assert "100%" in terminal.getvalue()


def test_nothing_is_shown_where_nobody_looks(
    terminal: Terminal, image: sd.SpatialArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sd.config(progress=False):
        sd.write(tmp_path / "a.nrrd", image)
    sd.write(tmp_path / "b.nrrd", image, progress=False)
    other = threading.Thread(target=sd.write, args=(tmp_path / "c.nrrd", image))
    other.start()
    other.join()
    monkeypatch.setattr(progress, "_PATIENCE", 60.0)
    sd.write(tmp_path / "d.nrrd", image)  # too short
    assert terminal.getvalue() == ""
    file = io.StringIO()
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    watch(monkeypatch, file)
    sd.write(tmp_path / "e.nrrd", image)
    assert file.getvalue() == ""
    sd.write(tmp_path / "f.nrrd", image, progress=True)
    assert "writing f.nrrd" in file.getvalue()
    watch(monkeypatch, None)  # a program without a console
    sd.write(tmp_path / "g.nrrd", image)


def test_a_notebook_is_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not progress.is_watched()
    shell = types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert progress.is_watched()
    with sd.config(progress=False):
        assert not progress.is_watched()


def test_lazy_images_show_their_tasks(terminal: Terminal) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    from dask.callbacks import Callback

    lazy = sd.SpatialArray(da.ones((8, 8), chunks=2)) + 1
    for options in ({}, {"scheduler": "sync"}):
        terminal.truncate(0)
        np.testing.assert_array_equal(lazy.compute(**options), np.full((8, 8), 2.0))
        assert "computing" in terminal.getvalue()
        assert not Callback.active
    terminal.truncate(0)
    seen = []
    with Callback(posttask=lambda *a: seen.append(a[0])):  # the user's own, and no second bar
        lazy.compute()
    assert seen
    assert "computing" not in terminal.getvalue()


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.nii.gz", "a.tif", "a.ome.zarr"])
def test_an_interrupted_write_leaves_nothing_behind(
    name: str, image: sd.SpatialArray, tmp_path: Path, terminal: Terminal
) -> None:
    for library in {"a.nii.gz": ["nibabel"], "a.tif": ["tifffile"], "a.ome.zarr": ["zarr"],
                    "a.nrrd": ["nrrd"], "a.nhdr": ["nrrd"]}.get(name, []):  # fmt: skip
        pytest.importorskip(library, reason=f"needs {library}")

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sd.write(tmp_path / name, image, progress=interrupt)
    left = [p.name for p in tmp_path.iterdir()]
    # A store that can be resumed says so by its name.
    assert not [n for n in left if n == name]
    if name != "a.ome.zarr":
        assert not left
    assert terminal.getvalue() == ""


def test_large_writes_say_what_they_take(
    terminal: Terminal, image: sd.SpatialArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sd.write(tmp_path / "a.nrrd", image)
    assert "before compression" not in terminal.getvalue()
    monkeypatch.setattr(estimate, "_LARGE", 100)
    monkeypatch.setattr(estimate, "_SAMPLE", 1600)
    sd.write(tmp_path / "b.nrrd", image)
    said = terminal.getvalue()
    assert "writing 240 B of voxels, before compression;" in said
    assert "are free; at least 1 s at the speed of this disk" in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.nrrd", "b.nrrd"]
    assert [estimate._duration(s) for s in (0.1, 89, 600, 7200)] == [
        "1 s",
        "89 s",
        "10 min",
        "2.0 h",
    ]


def test_a_registration_shows_its_iterations(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spatial_duck.registration import _api as registration

    now = [0.0]
    monkeypatch.setattr(registration, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    show: Any = registration._reporter(None)
    show(0, 1, 0.5)
    assert terminal.getvalue() == ""
    now[0] = 3.0
    show(0, 2, 0.25)
    assert "level 0, iteration 2: 0.25" in terminal.getvalue()
    assert registration._reporter(False) is None
    with sd.config(progress=False):
        assert registration._reporter(None) is None
