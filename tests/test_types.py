"""What a type checker says of a user's script: the types that a reader expects, and no Any."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: An expression, and the name of its type.
EXPECTED = {
    "image": "SpatialArray",
    "image + 1": "SpatialArray",
    "1 - image": "SpatialArray",
    "-image": "SpatialArray",
    "image > 3": "SpatialArray",
    "image[1:]": "SpatialArray",
    "image.T": "SpatialArray",
    "image.mean(axis=0)": "SpatialArray",
    "image.max('z', keepdims=True)": "SpatialArray",
    "image.astype('f4')": "SpatialArray",
    "image.clip(0, 1)": "SpatialArray",
    "image.replace(spacing=2)": "SpatialArray",
    "image.isel(z=0)": "SpatialArray",
    "image.sel(z=0.0)": "SpatialArray",
    "image.to_frame('RAS')": "SpatialArray",
    "image.resample(spacing=1)": "SpatialArray",
    "image.crop({'x': (0, 1)})": "SpatialArray",
    "image.compute()": "SpatialArray",
    "image.geometry": "Geometry",
    "image.geometry[1:]": "Geometry",
    "image.spacing": "ndarray",
    "image.coords": "Coordinates",
    "sd.resample(image, spacing=1)": "SpatialArray",
    "sd.reorient(image, 'RAS')": "SpatialArray",
    "sd.crop(image, {'x': (0, 1)})": "SpatialArray",
    "sd.read('p')": "SpatialArray",
    "sd.from_nibabel(object())": "SpatialArray",
    "sd.from_xarray(object())": "SpatialArray",
    "sd.asarray(object())": "SpatialArray",
    "sd.pyramid(image)": "Pyramid",
    "sd.pyramid(image)[0]": "SpatialArray",
    "sd.register(image, image)": "Registration",
    "sd.read('p', scaled=False, series=1)": "SpatialArray",
    "sd.read_pyramid('p', storage_options={})": "Pyramid",
    "image.reorient('RAS')": "SpatialArray",
    "image.pyramid(2)[0]": "SpatialArray",
    "image.compute(num_workers=2)": "SpatialArray",
    "image.astype('f4', casting='safe')": "SpatialArray",
    "image.replace(frame='LPS', coords={})": "SpatialArray",
    "image.geometry.replace(frame='LPS')": "Geometry",
}

#: Keywords that are not there: what completion does not show is refused before the script runs.
MISSPELT = (
    "sd.read('p', scaeld=False)",
    "sd.read_pyramid('p', systen='a')",
    "sd.write('p', image, comprss=True)",
    "image.write('p', comprss=True)",
    "image.resample(spacign=1)",
    "image.replace(spacign=1)",
    "image.geometry.replace(spacign=1)",
    "image.geometry.world.replace(unit='mm')",
    "image.compute(num_worker=2)",
    "image.astype('f4', castign='safe')",
    "image.clip(0, 1, dtyp='f4')",
    "sd.augment(image, seed=1, rotatoin=3)",
    "sd.Geometry.from_affine((2, 2), [[1]], frme='LPS')",
)


def _script(folder: Path) -> Path:
    """Write a user's script that asks for the type of each expression, a line each."""
    script = folder / "script.py"
    lines = ["import numpy as np", "import spatial_duck as sd"]
    lines += ["image = sd.SpatialArray(np.zeros((4, 5, 6)))"]
    lines += [f"reveal_type({expression})" for expression in EXPECTED]
    lines += MISSPELT
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return script


def _misspelt_lines() -> list[int]:
    first = 4 + len(EXPECTED)
    return [*range(first, first + len(MISSPELT))]


def _check(found: list[str], said: str) -> None:
    """Hold the revealed types, in order, against those that are expected."""
    assert len(found) == len(EXPECTED), said
    seen = dict(zip(EXPECTED, found, strict=True))
    wrong = {e: seen[e] for e, name in EXPECTED.items() if name not in re.split(r"[\W]+", seen[e])}
    assert not wrong


@pytest.mark.slow
def test_mypy_sees_the_types_that_a_reader_expects(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    script = _script(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--ignore-missing-imports",
         "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
    )  # fmt: skip
    found = re.findall(r'script.py:\d+: note: Revealed type is "([^"]+)"', done.stdout)
    _check(found, done.stdout + done.stderr)
    refused = re.findall(r'script.py:(\d+): error: Unexpected keyword argument "', done.stdout)
    assert [int(line) for line in refused] == _misspelt_lines(), done.stdout


@pytest.mark.slow
def test_pyright_sees_the_types_that_a_reader_expects(tmp_path: Path) -> None:
    """By basedpyright, whose package brings what it runs on and downloads nothing."""
    pytest.importorskip("basedpyright", reason="needs basedpyright")
    _script(tmp_path)
    settings = {"extraPaths": [str(ROOT)], "include": ["script.py"], "typeCheckingMode": "basic"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable,
         "--project", str(tmp_path)],
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
    )  # fmt: skip
    told = json.loads(done.stdout)["generalDiagnostics"]
    refused = [note for note in told if note["severity"] == "error"]
    assert all(re.search("No parameter named|No overloads", note["message"]) for note in refused), (
        refused
    )
    assert [note["range"]["start"]["line"] + 1 for note in refused] == _misspelt_lines(), refused
    types = [re.fullmatch(r'Type of "(.*)" is "(.*)"', n["message"], re.DOTALL) for n in told]
    found = [match.group(2) for match in types if match]
    _check(found, done.stdout + done.stderr)
    assert not [kind for kind in found if re.search(r"\b(Any|Unknown)\b", kind.split("[")[0])]
