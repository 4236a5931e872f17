"""The interface and its kit stand alone: copied into another package, with NumPy and Hypothesis."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import spatial_duck as sd

PACKAGE = Path(sd.__file__).resolve().parent

CODE = """
import sys
for name in ("spatial_duck", "dask", "zarr", "scipy"):
    sys.modules[name] = None  # cannot be imported
from other.vendored.interface import SpatialImage
from other.vendored.testing import check
import numpy as np

class Image:
    def __init__(self, data, spacing, origin, direction):
        self.data, self.spacing, self.origin, self.direction = data, spacing, origin, direction
    shape = property(lambda self: self.data.shape)
    ndim = property(lambda self: self.data.ndim)
    def __array__(self, dtype=None, copy=None):
        return np.array(self.data, dtype)
    def __getitem__(self, key):  # forgets that it has moved
        return Image(self.data[key], self.spacing, self.origin, self.direction)

assert isinstance(Image(np.zeros((2, 2)), (1, 1), (0, 0), np.eye(2)), SpatialImage)
report = check(Image, ndims=(2,))
assert report.wrong and not report.ok
"""


@pytest.mark.slow
def test_they_need_numpy_and_hypothesis_alone(tmp_path: Path) -> None:
    target = tmp_path / "other" / "vendored"
    shutil.copytree(
        PACKAGE / "testing", target / "testing", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(PACKAGE / "interface.py", target)
    for folder in (target, target.parent):
        (folder / "__init__.py").touch()
    for path in target.rglob("*.py"):
        text = path.read_text("utf-8").replace("spatial_duck", "other.vendored")
        path.write_text(text, "utf-8")
    (tmp_path / "run.py").write_text(CODE, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "run.py"], cwd=tmp_path, capture_output=True, text=True
    )
    assert not done.returncode, done.stderr[-2000:]
