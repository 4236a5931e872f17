"""The command line: right results, exit codes, one-line errors, and help that is true."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.cli import COMMANDS, _table, main
from spatial_duck.pyramids import METHODS
from spatial_duck.resampling import INTERPOLATIONS
from spatial_duck.testing import assert_geometry_equal
from spatial_duck.testing._report import LEVELS
from tests.test_public_api import in_fresh_process

if TYPE_CHECKING:
    from collections.abc import Callable

for needed in ("nibabel", "nrrd", "zarr"):
    pytest.importorskip(needed, reason=f"needs {needed}")

OBLIQUE = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]


@pytest.fixture
def image() -> sd.SpatialArray:
    data = np.random.default_rng(0).integers(0, 100, (6, 8, 10)).astype(np.int16)
    return sd.SpatialArray(data, spacing=(3, 2, 1), origin=(-10, 20, 30), frame="RAS", unit="mm")


@pytest.fixture
def file(image: sd.SpatialArray, tmp_path: Path) -> Path:
    path = tmp_path / "a.nrrd"
    sd.write(path, image)
    return path


def test_choices_are_those_of_the_modules() -> None:
    """The table repeats them, so that the line loads no more than its command needs."""
    assert _table._INTERPOLATIONS == INTERPOLATIONS
    assert tuple(METHODS) == _table._METHODS
    assert _table._LEVELS == LEVELS


def test_info_loads_what_it_needs(image: sd.SpatialArray, tmp_path: Path) -> None:
    sd.write(tmp_path / "a.nii", image)
    code = f"""
import sys
from spatial_duck.cli import main
assert main(["info", {str(tmp_path / "a.nii")!r}]) == 0
heavy = "nibabel hashlib spatial_duck.resampling spatial_duck.pyramids spatial_duck.testing"
assert not set(heavy.split()) & set(sys.modules), sys.modules
"""
    in_fresh_process(code, tmp_path)


def test_info_shows_geometry_without_reading(file: Path, capsys: Any, monkeypatch: Any) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("info reads voxels")

    monkeypatch.setattr("spatial_duck.io.read", refuse)
    assert main(["info", str(file), str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count("nrrd\n") >= 2
    for line in (
        "voxels     6 × 8 × 10, int16",
        "dims       z, y, x",
        "spacing    z 3, y 2, x 1 mm",
        "frame      RAS, axes run to SAR",
    ):
        assert line in out


def test_info_of_a_pyramid(image: sd.SpatialArray, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "a.ome.zarr"
    sd.write(path, image, levels=2)
    assert main(["info", str(path), "--level", "1"]) == 0
    out = capsys.readouterr().out
    assert "levels     2" in out
    # The finest axis first, until the voxels are alike.
    assert "spacing    z 3, y 2, x 2 mm" in out


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".ome.zarr"])
def test_convert_keeps_voxels_and_places(
    file: Path, image: sd.SpatialArray, suffix: str, tmp_path: Path
) -> None:
    out = tmp_path / f"out{suffix}"
    assert main(["convert", str(file), str(out)]) == 0
    again = sd.read(out)
    again = np.transpose(again, [again.dims.index(name) for name in ("z", "y", "x")])
    np.testing.assert_array_equal(np.asarray(again), image.data)
    assert_geometry_equal(again, image, tolerance=1e-5)


@pytest.mark.slow
def test_resample_to_a_spacing(file: Path, image: sd.SpatialArray, tmp_path: Path) -> None:
    for spacing, expected in {
        "2": (2, 2, 2),
        "z=1.5": (1.5, 2, 1),
        "2 1 1": (2, 1, 1),
        "x=2 z=2": (2, 2, 2),
    }.items():
        out = tmp_path / "out.nrrd"
        words = ["resample", str(file), str(out), "--overwrite", "--spacing", *spacing.split()]
        assert main(words) == 0
        found = sd.read(out)
        np.testing.assert_allclose(found.spacing, expected)
        again = sd.resample(image, spacing=expected)
        np.testing.assert_array_equal(np.asarray(found), again.data)
        assert_geometry_equal(found, again, tolerance=1e-6)


@pytest.mark.slow
def test_resample_smooths_and_continues_the_edge_when_asked(
    file: Path, image: sd.SpatialArray, tmp_path: Path
) -> None:
    other, out = tmp_path / "other.nrrd", tmp_path / "out.nrrd"
    beyond = sd.resample(sd.pad_to(image, shape=[n + 6 for n in image.shape]), spacing=3)
    sd.write(other, beyond)
    for words, options in {
        "--antialias": {"antialias": True},
        "--edge": {"fill": "edge"},
        "--fill 7": {"fill": 7},
        "--edge --antialias --interpolation cubic": {
            "fill": "edge", "antialias": True, "interpolation": "cubic",
        },
    }.items():  # fmt: skip
        command = ["resample", str(file), str(out), "--overwrite", "--like", str(other)]
        assert main([*command, *words.split()]) == 0
        expected = sd.resample(image, beyond, **options)
        np.testing.assert_allclose(np.asarray(sd.read(out)), expected.data, atol=1e-5)


def test_resample_like_another(file: Path, image: sd.SpatialArray, tmp_path: Path) -> None:
    other, out = tmp_path / "other.nrrd", tmp_path / "out.nrrd"
    sd.write(other, image[1:, ::2].replace(image.data[1:, ::2] * 0))
    words = ["resample", str(file), str(out), "--like", str(other), "--interpolation", "nearest"]
    assert main(words) == 0
    np.testing.assert_array_equal(np.asarray(sd.read(out)), image.data[1:, ::2])


def test_resample_to_an_orientation(file: Path, image: sd.SpatialArray, tmp_path: Path) -> None:
    out = tmp_path / "out.nrrd"
    assert main(["resample", str(file), str(out), "--orientation", "IPL"]) == 0
    found = sd.read(out)
    assert found.orientation[::-1] == "IPL"  # the file's own order: its fastest axis first
    turned = sd.reorient(image, "IPL")
    np.testing.assert_array_equal(np.asarray(found).T, turned.data)
    assert sd.reorient(found, like=turned).geometry.isclose(turned.geometry)


@pytest.mark.slow
def test_resample_onto_the_worlds_axes(image: sd.SpatialArray, tmp_path: Path) -> None:
    path, out = tmp_path / "oblique.nrrd", tmp_path / "out.nrrd"
    oblique = image.replace(direction=OBLIQUE)
    sd.write(path, oblique)
    words = ["resample", str(path), str(out), "--align", "--spacing", "1", "--orientation", "SAR"]
    assert main(words) == 0
    found = sd.read(out)
    assert found.orientation[::-1] == "SAR"  # the file's own order
    np.testing.assert_allclose(found.spacing, 1)
    assert set(np.abs(found.direction).ravel().round(9)) == {0, 1}
    low, high = oblique.bounds
    grid = found.geometry.to_world(image.world.axes)
    np.testing.assert_array_less(grid.bounds[0], low + 1e-6)
    np.testing.assert_array_less(high - 1e-6, grid.bounds[1])
    np.testing.assert_array_less(np.ptp(grid.bounds, axis=0) - (high - low), 1)


@pytest.mark.slow
def test_view_draws_a_picture(file: Path, tmp_path: Path, capsys: Any) -> None:
    matplotlib = pytest.importorskip("matplotlib.image", reason="needs matplotlib")
    out = tmp_path / "picture.png"
    words = ["view", str(file), "--out", str(out), "--overlay", str(file), "--dpi", "50"]
    assert main([*words, "--limits", "0", "100"]) == 0
    assert matplotlib.imread(out).shape[1] == 600
    assert "wrote" in capsys.readouterr().out


def test_view_of_a_real_image(data_file: Callable[[str], Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    out = tmp_path / "picture.png"
    source = data_file("nifti/example4d.nii.gz")
    assert main(["view", str(source), "--out", str(out), "--dpi", "50"]) == 0
    assert out.stat().st_size > 10_000


# --- pyramid ------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "--method label", "--factors 3", "--factors z=1 x=2"])
def test_pyramid_writes_levels(
    words: str, file: Path, image: sd.SpatialArray, tmp_path: Path, capsys: Any
) -> None:
    out = tmp_path / "out.ome.zarr"
    assert main(["pyramid", str(file), str(out), "--levels", "2", *words.split()]) == 0
    assert capsys.readouterr().out == f"wrote {out}: 2 levels\n"
    options: dict[str, Any] = {
        "--method label": {"method": "label"},
        "--factors 3": {"factors": 3},
        "--factors z=1 x=2": {"factors": {"x": 2}},
    }.get(words, {})
    for level, expected in enumerate(sd.pyramid(image, 2, **options)):
        found = sd.read(out, level=level)
        np.testing.assert_array_equal(np.asarray(found), expected.data)
        assert_geometry_equal(found, expected, tolerance=1e-6)


@pytest.mark.parametrize("oblique", [False, True])
def test_pyramid_gives_a_group_new_levels(
    oblique: bool, image: sd.SpatialArray, tmp_path: Path
) -> None:
    path = tmp_path / "a.ome.zarr"
    before = image.replace(direction=OBLIQUE) if oblique else image
    sd.write(path, before, levels=1, oblique="keep")
    assert main(["pyramid", str(path), "--levels", "3"]) == 0
    found = [sd.read(path, level=level) for level in range(3)]
    np.testing.assert_array_equal(np.asarray(found[0]), image.data)
    assert_geometry_equal(found[0], before, tolerance=1e-9)
    assert_geometry_equal(found[2], sd.pyramid(before, 3)[2], tolerance=1e-6)


def test_pyramid_replaces_nothing_that_it_would_lose(
    image: sd.SpatialArray, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "a.ome.zarr"
    sd.write(path, image, levels=1)
    (path / "labels").mkdir()
    (path / "labels" / "precious").write_text("voxels")
    assert main(["pyramid", str(path)]) == 2
    assert "labels" in capsys.readouterr().err
    assert (path / "labels" / "precious").read_text() == "voxels"


# --- view --interactive -------------------------------------------------------------------


@pytest.mark.slow
def test_interactive_serves_until_it_is_interrupted(file: Path) -> None:
    command = [sys.executable, "-m", "spatial_duck.cli", "view", str(file), "--interactive"]
    running = subprocess.Popen(
        [*command, "--no-browser", "--overlay", str(file)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert running.stdout
        url = running.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", url)
        with urllib.request.urlopen(f"{url}scene.json", timeout=90) as answer:
            names = [layer["name"] for layer in json.load(answer)["layers"]]
        assert names == ["a.nrrd", "a.nrrd"]
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=90) == 0
    finally:
        running.kill()
        running.communicate()


def test_interactive_opens_a_browser(file: Path, monkeypatch: Any, capsys: Any) -> None:
    """By a page that only this user can read: other users read command lines."""
    opened: list[tuple[str, int, str]] = []

    def look(address: str) -> None:
        page = Path(urllib.request.url2pathname(address.removeprefix("file://")))
        opened.append((address, page.parent.stat().st_mode & 0o777, page.read_text()))

    monkeypatch.setattr("webbrowser.open", look)
    monkeypatch.setattr("spatial_duck.viewer.Server.wait", lambda self: None)
    assert main(["view", str(file), "--interactive", "--title", "t", "--limits", "0", "9"]) == 0
    url = capsys.readouterr().out.split()[0]
    ((address, mode, page),) = opened
    assert "127.0.0.1" not in address
    assert mode == 0o700
    assert f'content="0; url={url}"' in page


# --- errors and help ----------------------------------------------------------------------

#: Command lines that fail: {file} is an image, {out} a path that is not there.
FAILING = {
    "no file": ("info nothing.nii", 1, "nothing.nii: No such file or directory"),
    "no image": ("info {text}", 1, "none of the formats"),
    "no such suffix": ("convert {file} {out}.jpg", 1, "suffix"),
    "there already": ("convert {file} {file}", 1, "replace it with --overwrite"),
    "no folder": ("convert {file} {out}/a.nii", 1, "error: {out}/a.nii cannot be written"),
    "oblique": ("convert {oblique} {out}.ome.zarr", 1, "by --keep-oblique;"),
    "bad orientation": ("resample {file} {out}.nrrd --orientation XYZ", 1, "orientation must"),
    "bad spacing": ("resample {file} {out}.nrrd --spacing 0", 1, "positive"),
    "no spacing": ("resample {file} {out}.nrrd --spacing one", 2, "--spacing takes"),
    "two of three": ("resample {file} {out}.nrrd --spacing 1 2", 2, "--spacing takes"),
    "unknown axis": ("resample {file} {out}.nrrd --spacing q=1", 2, "--spacing takes"),
    "nowhere": ("resample {file} {out}.nrrd", 2, "say where to"),
    "both": ("resample {file} {out}.nrrd --like {file} --spacing 1", 2, "excludes"),
    "no command": ("", 2, "COMMAND"),
    "unknown command": ("fly", 2, "invalid choice"),
    "unknown option": ("info {file} --fast", 2, "--fast"),
    "two ways to view": ("view {file} --interactive --out {out}.png", 2, "--out"),
    "no planes to view": ("view {line} --interactive", 1, "two or three axes"),
    "no such level": ("view {file} --interactive --level 3", 1, "level"),
    "no target": ("pyramid {file}", 2, "no OME-Zarr"),
    "bad option": ("info {file} --option form", 2, "KEY=VALUE"),
    "no such option": ("convert {file} {out}.nrrd --option colour=1", 1, "no option colour"),
    "bad level": ("info {file} --level fine", 2, "whole number"),
    "bad factors": ("pyramid {file} {out}.ome.zarr --factors 1.5", 2, "--factors takes"),
    "unknown factors": ("pyramid {file} {out}.ome.zarr --factors q=2", 1, "'q'"),
    "oblique levels": ("pyramid {oblique} {out}.ome.zarr", 1, "by --keep-oblique;"),
    "no images to check": ("check builtins:len --level indexing", 1, "nothing could be checked"),
    "bad choice": ("resample {file} {out}.nrrd --spacing 1 --interpolation magic", 2, "magic"),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", FAILING)
def test_errors_are_one_line_with_the_right_code(
    case: str, file: Path, image: sd.SpatialArray, tmp_path: Path, capsys: Any
) -> None:
    line, code, said = FAILING[case]
    (tmp_path / "text.txt").write_text("hello")
    sd.write(tmp_path / "oblique.nrrd", image.replace(direction=OBLIQUE))
    sd.write(tmp_path / "line.npy", sd.SpatialArray(np.zeros(3)))
    paths = {
        "line": tmp_path / "line.npy",
        "file": file,
        "out": tmp_path / "out",
        "text": tmp_path / "text.txt",
        "oblique": tmp_path / "oblique.nrrd",
    }
    assert main(shlex.split(line.format(**paths))) == code
    found = capsys.readouterr()
    assert "Traceback" not in found.err
    last = found.err.strip().split("\n")[-1]
    assert last.startswith("spatial-duck")
    assert "error: " in last
    assert said.format(**paths) in last
    assert not [p for p in tmp_path.iterdir() if p.name.startswith("out")]


def test_debug_shows_where(capsys: Any) -> None:
    assert main(["info", "nothing.nii", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_interrupting(monkeypatch: Any, file: Path, capsys: Any) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("spatial_duck.io.info", interrupt)
    assert main(["info", str(file)]) == 130
    assert capsys.readouterr().err == "spatial-duck: interrupted\n"


def test_warnings_are_one_line(monkeypatch: Any, file: Path, capsys: Any) -> None:
    import warnings

    from spatial_duck import io
    from spatial_duck.cli import script

    plain = io.info

    def warn(*args: Any, **kwargs: Any) -> Any:
        warnings.warn("two\nlines", UserWarning, stacklevel=1)
        return plain(*args, **kwargs)

    monkeypatch.setattr("spatial_duck.io.info", warn)
    monkeypatch.setattr("sys.argv", ["spatial-duck", "info", str(file)])
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with pytest.raises(SystemExit) as stop:
            script()
    assert stop.value.code == 0
    assert capsys.readouterr().err == "spatial-duck: warning: two lines\n"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_help_shows_every_option_and_examples(command: Any, capsys: Any) -> None:
    assert main([command.name, "--help"]) == 0
    out = capsys.readouterr().out
    for names, options in command.arguments:
        assert (names[0] if names[0].startswith("-") else options.get("metavar", names[0])) in out
    for example in command.examples:
        assert example in out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_examples_in_help_are_valid_usage(command: Any, capsys: Any) -> None:
    from spatial_duck.cli._api import _parser

    assert len(command.examples) >= 3
    for example in command.examples:
        program, *words = shlex.split(example)
        assert program == "spatial-duck"
        assert _parser().parse_args(words).run is command.run


def test_help_and_version(capsys: Any) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(command.name in out and command.summary in out for command in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"spatial-duck {sd.__version__}\n"


def test_progress_is_told_to_a_bar_and_silent_without(
    file: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    pytest.importorskip("tqdm", reason="needs tqdm")
    import io
    import types

    import tqdm.auto

    from spatial_duck import _progress as progress

    seen: list[tuple[float, float]] = []

    class Bar(tqdm.auto.tqdm):  # type: ignore[type-arg]
        def close(self) -> None:
            seen.append((self.n, self.total))
            super().close()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    assert main(["convert", str(file), str(tmp_path / "out.mha")]) == 0
    assert capsys.readouterr().err == ""  # where nobody looks
    shown = Terminal()
    monkeypatch.setattr(tqdm.auto, "tqdm", Bar)
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    fake = types.SimpleNamespace(stderr=shown, modules=sys.modules)
    monkeypatch.setattr(progress, "sys", fake)
    assert main(["convert", str(file), str(tmp_path / "out.nii")]) == 0
    assert seen[0][0] == seen[0][1] > 0
    assert "writing out.nii" in shown.getvalue()
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert main(["convert", str(file), str(tmp_path / "out.nrrd")]) == 0
    assert "writing out.nrrd: 100%" in shown.getvalue()


def test_the_module_runs_as_a_program(file: Path) -> None:
    command = [sys.executable, "-m", "spatial_duck.cli", "info", "nothing.nii"]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 1
    assert found.stderr == (
        "spatial-duck: error: nothing.nii: No such file or directory "
        f"(the working folder is {str(Path.cwd())!r})\n"
    )


def test_python_runs_the_package_as_the_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "spatial_duck", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"spatial-duck {sd.__version__}\n")


def test_info_as_json(file: Path, image: sd.SpatialArray, capsys: Any) -> None:
    assert main(["info", "--json", str(file), str(file)]) == 0
    one, two = json.loads(capsys.readouterr().out)
    assert one == two
    assert (one["path"], one["shape"]) == (str(file), list(image.shape))
    assert sorted(one["spacing"]) == sorted(image.spacing.tolist())


def test_names_of_files_do_not_drive_the_terminal(tmp_path: Path, capsys: Any) -> None:
    assert main(["info", str(tmp_path / "a\x1b]0;t\x07.nrrd")]) == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", capsys.readouterr().err)
