"""The command line takes what Python's readers and writers take, and advises in its own words."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.cli import COMMANDS, main
from spatial_duck.cli._reading import put_into_words_of_line
from tests.cli.provocations import (
    a_missing_chunk,
    an_interrupted_write,
    data_elsewhere,
    there_already,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

for needed in ("nibabel", "nrrd", "zarr", "SimpleITK"):
    pytest.importorskip(needed, reason=f"needs {needed}")

#: Keywords in messages that are not advice to whom reads or writes an image.
_ELSEWHERE = {"lazy", "source", "image", "reference", "moving", "encoding", "levels", "system"}


def _messages() -> Iterator[tuple[str, str]]:
    """Yield the texts in modules that read and write, with what is put into them as 0."""
    for path in sorted(Path(sd.__file__).parent.joinpath("io").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if not isinstance(node, ast.Raise):
                continue
            for part in ast.walk(node):
                if isinstance(part, ast.JoinedStr):
                    values = [v.value if isinstance(v, ast.Constant) else "0" for v in part.values]
                    yield path.name, "".join(map(str, values))


@pytest.mark.slow
def test_every_advice_is_put_into_words_of_the_line() -> None:
    left = []
    for name, text in _messages():
        said = put_into_words_of_line(text)
        bare = re.sub(r"--(option|where) \w+=\S*", "", said)
        bare = re.sub(r"\S+\([^()]*(\([^()]*\)[^()]*)*\) \(in Python\)", "", bare)
        left += [
            f"{name}: {word}= in {said!r}"
            for word in re.findall(r"(?<![\w&?.-])([a-z_]+)=(?!=)", bare)
            if word not in _ELSEWHERE
        ]
    assert not left, "\n".join(left)


def image(kind: str = "u1") -> sd.SpatialArray:
    data = np.random.default_rng(0).integers(0, 90, (6, 8, 10)).astype(kind)
    return sd.SpatialArray(
        data, spacing=(2, 1, 1), origin=(3, 4, 5), world=("x", "y", "z"), frame="LPS", unit="mm",
        direction=[[0, 0, 1], [0, 1, 0], [1, 0, 0]],
    )  # fmt: skip


#: What fails, what Python's message says, and what the line's does.
ADVICE = {
    "there already": (there_already, "overwrite=True", "--overwrite"),
    "a chunk is missing": (a_missing_chunk, "missing='fill'", "--option missing=fill"),
    "interrupted": (an_interrupted_write, "resume=True", "--option resume=True"),
    "data elsewhere": (data_elsewhere, "data_anywhere=True", "--option data_anywhere=True"),
}


def _in_python(words: list[str]) -> None:
    if words[0] == "info":
        sd.io.info(words[1])
    else:
        sd.write(words[2], sd.read(words[1]))


@pytest.mark.parametrize("case", ADVICE)
def test_both_fronts_advise_in_their_own_words(case: str, tmp_path: Path, capsys: Any) -> None:
    make, python, line = ADVICE[case]
    words = shlex.split(make(tmp_path).format(tmp_path))
    with pytest.raises((sd.SpatialDuckError, FileExistsError)) as caught:
        _in_python(words)
    assert python in str(caught.value)
    assert main(words) == 1
    said = capsys.readouterr().err
    assert line in said
    assert python not in said.replace(line, "")


def test_options_reach_the_reader_and_the_writer(tmp_path: Path) -> None:
    sd.write(tmp_path / "a.ome.zarr", image(), levels=1, chunks=4, shards=False)
    (tmp_path / "a.ome.zarr/0/c/0/0/0").unlink()
    line = (
        f"convert {tmp_path}/a.ome.zarr {tmp_path}/b.ome.zarr "
        "--option missing=fill --option chunks=3 --option shards=False"
    )
    assert main(shlex.split(line)) == 0
    assert sd.read(tmp_path / "b.ome.zarr").data.array.chunks == (3, 3, 3)


# --- examples -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make small images of the names that the examples have."""
    place = tmp_path_factory.mktemp("examples")
    small = image("i2")
    for name in ("brain.nii.gz", "mr.nii.gz", "ct.nii.gz", "oblique.nii.gz"):
        sd.write(place / name, small)
    for name in ("brain.nrrd", "labels.nrrd", "tumour.nrrd", "a.nrrd", "b.nrrd"):
        sd.write(place / name, image("u1"))
    sd.write(place / "volume.mha", small)
    sd.write(place / "volume.ome.zarr", image("i2"), oblique="keep", levels=3, factors=2)
    for name in ("b.tif", "t0.tif", "t1.tif"):
        plain = sd.SpatialArray(image("u1").data, spacing=(2, 1, 1), unit="mm")
        sd.write(place / name, plain)
    move = sd.Affine([[1, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], small.world)
    move.write(place / "ct_to_mr.h5")
    (place / "mypackage").mkdir()
    (place / "mypackage/__init__.py").write_text("")
    (place / "mypackage/images.py").write_text(
        "import spatial_duck as sd\n\n"
        "def make(data, spacing, origin, direction):\n"
        "    return sd.SpatialArray(data, spacing=spacing, origin=origin, direction=direction)\n"
    )
    return place


#: Why an example is not run here.
NOT_RUN = {
    "spatial-duck demo": "test_demo runs it",
    "spatial-duck check": "test_cli runs it, and the modules are the reader's own",
    "spatial-duck convert FOLDER": "a DICOM series: tests of DICOM read them",
    "spatial-duck register": "takes seconds each: tests of registration run them",
}
EXAMPLES = [line for command in COMMANDS for line in command.examples]


@pytest.mark.slow
@pytest.mark.parametrize("line", EXAMPLES)
def test_examples_in_help_do_what_they_say(
    line: str, folder: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    for start, why in NOT_RUN.items():
        if line.startswith(start):
            pytest.skip(why)
    import shutil

    here = tmp_path / "here"
    shutil.copytree(folder, here)
    monkeypatch.chdir(here)
    if "view" in line and "--out" not in line:
        monkeypatch.setattr("spatial_duck.viewer.Server.wait", lambda self: None)
        monkeypatch.setattr("webbrowser.open", lambda address: True)
    words = shlex.split(line)[1:]
    target = words[2] if words[0] in ("convert", "resample", "pyramid") and len(words) > 2 else ""
    if target and not target.startswith("-") and (here / target).exists():
        (shutil.rmtree if (here / target).is_dir() else Path.unlink)(here / target)
    if ".ome.zarr" in target:
        words.append("--keep-oblique")
    assert main(words) == 0, capsys.readouterr().err
    if target and not target.startswith("-"):
        assert sd.read(here / target).ndim == 3
