"""Each message that advises an option is provoked in Python and on the line.

It must name what that front has.

The messages are collected from the source: one that nothing here provokes fails, unless it stands
in `NOT_PROVOKED` with a reason.
"""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import spatial_duck as sd
from spatial_duck.cli import COMMANDS, main
from spatial_duck.cli._api import _parser, _warn
from spatial_duck.cli._reading import read_options, write_options
from spatial_duck.io._registry import formats
from tests.cli import provocations_of_dicom  # noqa: F401 (it fills the table)
from tests.cli.provocations import PROVOCATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator

for needed in ("nibabel", "nrrd", "zarr", "SimpleITK", "pydicom", "highdicom", "tifffile", "h5py"):
    pytest.importorskip(needed, reason=f"needs {needed}")

OPTIONS = {n for row in formats() for verb in ("read", "write") for n in row.options(verb)}
OPTIONS |= {"level", "format", "overwrite", "axis_order", "dims", "lazy"}
_NAMED = re.compile(r"(?<![\w&?.-])([a-z_]+)=(?!=)")


class Said(NamedTuple):
    """What both fronts said of one provocation."""

    python: str
    line: str
    words: list[str]


def _in_python(words: list[str]) -> None:
    args = _parser().parse_args(words)
    if words[0] == "info":
        sd.io.info(args.files[0], **read_options(args, args.files[0]))
        return
    image = sd.read(args.input, **read_options(args, args.input, args.output))
    options = write_options(args, args.output)
    if args.frame:
        options["frame"] = args.frame
    sd.write(args.output, image, overwrite=args.overwrite, **options)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Said]:
    """Provoke each message once in Python and once on the line."""
    import contextlib
    import io

    out = {}
    for name, make in PROVOCATIONS.items():
        folder = tmp_path_factory.mktemp(name)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            words = shlex.split(make(folder).format(folder))
            warned.clear()
            python = []
            try:
                _in_python(words)
            except (sd.SpatialDuckError, FileExistsError, TypeError, ValueError) as error:
                python = [str(error)]
            python += [str(w.message) for w in warned if w.category is UserWarning]
            heard = io.StringIO()
            warned.clear()
            with contextlib.redirect_stderr(heard), contextlib.redirect_stdout(io.StringIO()):
                main(words)
                for w in warned:
                    if w.category is UserWarning:
                        _warn(w.message)  # as `script` has them shown
        out[name] = Said("\n".join(python), heard.getvalue(), words)
    return out


@pytest.mark.parametrize("name", PROVOCATIONS)
def test_both_fronts_name_what_they_have(name: str, said: dict[str, Said]) -> None:
    python, line, words = said[name]
    assert python, "nothing was refused in Python"
    assert line.startswith("spatial-duck: "), line
    for text in (python, line):
        assert "Error(" not in text, "an error of ours stands in another as its repr"
        assert ".partial-" not in text, "the path is not the one that was asked for"
    bare = re.sub(r"[\w.]+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)", "", python)
    assert _NAMED.search(python) or "(" in python, f"no advice in {python!r}"
    unknown = set(_NAMED.findall(bare)) - OPTIONS
    assert not unknown, f"{unknown} in {python!r}"
    command = next(c for c in COMMANDS if c.name == words[0])
    has = {flag for flags, _ in command.arguments for flag in flags}
    named = set(re.findall(r"(?<!\w)--[a-z][a-z-]*", line))
    assert named <= has, f"{words[0]} has no {named - has}: {line!r}"
    told = set(re.findall(r"--option (\w+)=", line))
    assert told <= OPTIONS
    # Nothing is left in Python's words but calls, which say so.
    rest = re.sub(r"--(option|where) \w+=\S*", "", line)
    rest = re.sub(r"[\w.]+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\S* \(in Python\)", "", rest)
    left = [w for w in _NAMED.findall(rest) if w in OPTIONS]
    assert not left, f"{left} in {line!r}"


#: Messages that are not provoked here, by words of theirs, and why.
NOT_PROVOKED = {
    "got a Pyramid": "a pyramid is no file: Python alone",
    "these points are in": "markups: Python alone",
    "was made by another writer meanwhile": "two writers, tests/io/test_publishing.py",
    "SimpleITK's transforms are in LPS": "transforms, tests/io/test_transform_files.py",
    "masks are not interpolated": "tests/io/dicom/test_grid.py",
    "BitsStored says": "codecs that decode more bits, tests/io/dicom/test_values.py",
    "no type holds the 64-bit integers": "two series of 64-bit integers",
    "the interrupted write is of another image": "tests/io/test_streaming_faults.py",
    "is still going on. Continue": "a store that is written by URL, tests/io/test_store_writing.py",
    "was of an image with other voxels": "tests/io/test_streaming_faults.py",
    "has had no workers for": "a cluster, tests/io/test_streaming.py",
    "it is an image; sd.read opens it": "Transform.read of an image: Python alone",
    "are there; others were removed": "a store that is changed while it is written",
    "it has series=": "two files of one image, tests/io/test_tiff_facts.py",
    "it is a GeoTIFF": "a machine without rasterio",
    "none of its": "OME-XML that fits several images, tests/io/test_tiff_facts.py",
    "holds 4 GiB at most": "more than 4 GiB",
    "say how to reach a URL": "storage options: Python alone",
    "opens all levels and has no level=": "read_pyramid: Python alone",
    "masks are bool or hold 0 and 1": "tests/io/test_slicer_segmentation.py",
}


def _messages() -> Iterator[tuple[str, str]]:
    """Yield modules and patterns of the texts that name options of readers and writers."""
    for path in sorted(Path(sd.__file__).parent.joinpath("io").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        inside = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)
            for part in node.values
        }  # fmt: skip
        documents = {
            id(node.value) for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }  # fmt: skip
        for node in ast.walk(tree):
            if id(node) in inside | documents:
                continue
            if isinstance(node, ast.JoinedStr):
                parts = [v.value if isinstance(v, ast.Constant) else None for v in node.values]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts = [node.value]
            else:
                continue
            text = "".join("?" if p is None else str(p) for p in parts)
            if set(_NAMED.findall(text)) & (OPTIONS - {"lazy"}) and "<?xml" not in text:
                pattern = "".join(".*" if p is None else re.escape(str(p)) for p in parts)
                yield path.name, pattern


def test_every_advice_is_provoked(said: dict[str, Said]) -> None:
    heard = [s.python for s in said.values()]
    left = []
    for module, pattern in _messages():
        if any(re.search(pattern, text, re.DOTALL) for text in heard):
            continue
        if not any(words in pattern.replace("\\", "") for words in NOT_PROVOKED):
            left.append(f"{module}: {pattern}")
    assert not left, "\n".join(left)
