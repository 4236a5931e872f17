"""What a type checker says of a user's script: the types that a reader expects, and no Any."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

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
}


@pytest.mark.slow
def test_mypy_sees_the_types_that_a_reader_expects(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="needs mypy")
    script = tmp_path / "script.py"
    lines = ["import numpy as np", "import spatial_duck as sd"]
    lines += ["image = sd.SpatialArray(np.zeros((4, 5, 6)))"]
    lines += [f"reveal_type({expression})" for expression in EXPECTED]
    script.write_text("\n".join(lines) + "\n", encoding="utf-8")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH120, PTH100
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", os.devnull, "--ignore-missing-imports",
         "--follow-imports=silent", "--cache-dir", str(tmp_path / "cache"), str(script)],
        capture_output=True, text=True, timeout=600, cwd=tmp_path,
        env={**os.environ, "MYPYPATH": root},
    )  # fmt: skip
    found = re.findall(r'script.py:(\d+): note: Revealed type is "([^"]+)"', done.stdout)
    assert len(found) == len(EXPECTED), done.stdout + done.stderr
    seen = {e: kind for e, (_, kind) in zip(EXPECTED, found, strict=True)}
    wrong = {e: seen[e] for e, name in EXPECTED.items() if name not in re.split(r"[\W]+", seen[e])}
    assert not wrong
