"""Every backend passes the conformance suite; the suite tells what is wrong with one that does not.

The recipe in spatial_duck/backends/README.md is followed word for word, by call and as another
package would, by an entry point.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.backends import NumPy, suites
from spatial_duck import backends
from spatial_duck.testing import BackendConformance, Status

README = Path(backends.__file__).with_name("README.md")
SUITES = {suite.__name__: suite for suite in suites()}
#: What a backend refuses, and why.
REFUSED = {
    ("Zarr2", "to and back"): "a store is written to by a function that is told where",
    ("Zarr3", "to and back"): "a store is written to by a function that is told where",
    ("HDF5", "to and back"): "a store is written to by a function that is told where",
    ("HDF5", "assignment"): "the backend of the example reads alone",
    ("HDF5", "pickle"): "open files of h5py are not pickled",
    ("TensorStore", "to and back"): "a store is written to by a function that is told where",
    ("TensorStore", "assignment"): "the backend of the example reads alone",
    ("TensorStore", "pickle"): "a store in memory is not pickled",
    ("Device", "assignment"): "a GPU's arrays take no values from the host",
    ("Device", "write"): "nothing is copied from a GPU unasked",
    ("jax", "assignment"): "JAX's arrays cannot be written",
    ("jax", "copies share nothing"): "JAX's arrays cannot be written",
    ("sparse", "assignment"): "sparse's arrays cannot be written",
    ("sparse", "copies share nothing"): "sparse's arrays cannot be written",
    ("sparse", "resample"): "interpolation makes what is sparse dense",
}
CHECKS = [name.removeprefix("test_") for name in dir(BackendConformance) if "test_" in name]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")  # JAX without 64 bits
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", SUITES)
def test_backends_conform(name: str, check: str) -> None:
    finding = SUITES[name]()._finding(f"test_{check}")
    refused = (name, check.replace("_", " ")) in REFUSED
    wanted = Status.NOT_OFFERED if refused else Status.RIGHT
    assert finding.status is wanted, str(finding)


def test_the_suite_tells_what_is_wrong() -> None:
    class Swapping(type(NumPy.backend)):  # type: ignore[misc]
        """Its keys are Dask's, whose arrays beside integers come last."""

        def index(self, data: Any, key: Any) -> Any:
            found = data[key]
            arrays = isinstance(key, tuple) and any(isinstance(k, list) for k in key)
            return np.swapaxes(found, 0, -1) if arrays and found.ndim == 2 else found

        def compute(self, data: Any, **options: Any) -> Any:
            return data.astype(np.float32)

    broken = Swapping()

    class Wrong(BackendConformance):
        backend = broken

        def make(self, array: Any) -> Any:
            return array.view(_Mine)

    backends.register(_Mine, broken_named(broken))
    report = Wrong.report()
    wrong = {finding.name for finding in report.wrong}
    assert {"values come back", "array keys"} <= wrong
    assert "array keys: wrong. Wanted: Lists" in str(report["array keys"])
    assert not report.ok


class _Mine(np.ndarray):
    pass


def broken_named(backend: Any) -> Any:
    backend.name = "swapping"
    return backend


# --- the recipe -----------------------------------------------------------------------------


def _recipe() -> str:
    text = README.read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[0]


def test_the_recipe_is_short() -> None:
    lines = _recipe().split("class CrateBackend")[1].splitlines()
    assert len([line for line in lines if line.strip()]) <= 40


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_another_package_brings_a_backend(tmp_path: Path, broken: bool) -> None:
    module = "def nothing(): pass\n" if broken else _recipe().replace("register\n", "register\n", 1)
    (tmp_path / "crates.py").write_text(module)
    info = tmp_path / "crates-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: crates\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[spatial_duck.backends]\ncrate = crates\n")
    code = """
import sys, warnings
import numpy as np
import spatial_duck as sd
assert "crates" not in sys.modules
image = sd.SpatialArray(np.arange(12.0).reshape(3, 4), spacing=(2, 1)).to("crate")
flipped = np.flip(image, 0) + 1
assert type(flipped.data).__name__ == "Crate", type(flipped.data)
assert flipped.origin.tolist() == [4, 0]
from crates import BACKEND
from spatial_duck.testing import BackendConformance
class Suite(BackendConformance):
    backend = BACKEND
Suite.report().raise_if_wrong()
assert not Suite.report().not_offered
"""
    command = [sys.executable, "-W", "error" if not broken else "default", "-c", code]
    paths = f"{tmp_path}:{README.parent.parent.parent}"
    done = subprocess.run(command, env={"PYTHONPATH": paths}, capture_output=True, text=True)
    if broken:
        assert "backend 'crate' (crates) cannot be used" in done.stderr
        assert "backend must be one of" in done.stderr
    else:
        assert done.returncode == 0, done.stderr


# --- the registry ---------------------------------------------------------------------------


def test_what_is_registered_is_checked() -> None:
    with pytest.raises(TypeError, match="derives from"):
        backends.register(_Mine, "numpy")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="class of arrays"):
        backends.register(_Mine(3), NumPy.backend)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is taken"):
        backends.register(_Mine, NumPy.backend)
    with pytest.raises(TypeError, match="abstract"):
        backends.Backend()  # type: ignore[abstract]
