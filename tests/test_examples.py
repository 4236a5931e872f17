"""Each example runs, as a program, and ends with something to see."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

#: SWIG's modules (ITK) warn on import, and end the process where that is an error.
SWIG = "ignore:builtin type:DeprecationWarning"
ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

#: What an example needs besides NumPy, and a line that it must print.
EXPECTED = {
    "01_wrap_an_array": ((), "GeometryMismatchError: subtract"),
    "02_wrap_a_gpu_array": (("array_api_strict",), "largest difference from NumPy"),
    "03_larger_than_memory": (("zarr", "dask"), "TooLargeError: np.asarray would read"),
    "04_accept_duck_arrays": ((), "still where it was: True"),
    "05_dicom_to_ome_zarr": (("pydicom", "zarr", "dask"), "difference is below 0.01 mm: True"),
    "06_segment_in_millimetres": (
        ("pydicom", "skimage", "numba"),
        "the mask lies on the scan's slices, in its frame of reference: True",
    ),
    "07_register_and_apply_out_of_core": (
        ("SimpleITK", "zarr", "dask", "numba"),
        "SimpleITK applies transform.h5 to the same voxels: True",
    ),
    "fmri_to_xarray_and_back": (("nibabel", "xarray"), "description                      True"),
    "radiomics_features": (("radiomics", "numba", "nrrd"), "the same: True"),
    "09_check_your_own_image_class": (("hypothesis",), "Moving                      21       0"),
    "13_add_a_file_format": (("hypothesis", "dask"), "Checks: 13 right, 0 wrong, 1 not offered"),
    "10_itk_filters_on_lazy_volumes": (("SimpleITK", "dask"), "blocks equal the whole: True"),
    "11_xarray_index": (("xarray", "zarr", "dask"), "opened with its geometry: True"),
    "12_napari_and_friends": (("imageio", "pandas"), "units: mm^3 mm"),
    "08_to_a_network_and_back": (
        ("torch", "zarr", "dask", "numba", "resource", "pydicom", "scipy"),
        "cap of 80 MB kept",
    ),
    "peers": ((), "| `np.pad(x, 2)` | kept |"),
}

#: Where Hypothesis and PyTorch keep what they found, out of the way.
STORAGE = Path(tempfile.gettempdir()) / "spatial_duck_hypothesis"


@lru_cache
def output(path: Path) -> str:
    """Run an example once, in an empty folder that it must leave empty, and return what it says."""
    # Warnings are errors, except where other libraries are put to the test.
    strict = [] if path.stem == "peers" else ["-W", "error", "-W", SWIG]
    with tempfile.TemporaryDirectory() as folder:
        environ = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "PYTHONIOENCODING": "utf-8",
            "TMPDIR": folder,
            "HYPOTHESIS_STORAGE_DIRECTORY": str(STORAGE),
            "TORCHINDUCTOR_CACHE_DIR": str(STORAGE / "torch"),
            "SPATIAL_DUCK_DATA": os.environ.get("SPATIAL_DUCK_DATA", str(DATA)),
        }
        found = subprocess.run(
            [sys.executable, *strict, str(path)],
            cwd=folder, env=environ, capture_output=True, text=True, encoding="utf-8",
            timeout=400, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stderr
        assert not list(Path(folder).iterdir()), "the example leaves files behind"
    return found.stdout


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.stem)
def test_example_runs(path: Path) -> None:
    packages, line = EXPECTED[path.stem]
    for package in packages:
        pytest.importorskip(package, reason=f"needs {package}")
    assert line in output(path)


@pytest.mark.slow
def test_large_volumes_are_not_read_to_move_them() -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("dask", reason="needs dask")
    chunks = {
        line.split("  ")[0]: int(line.split()[-1])
        for line in output(ROOT / "examples" / "03_larger_than_memory.py").split("\n")
        if line[-1:].isdigit()
    }
    assert [n for name, n in chunks.items() if name.startswith(("flip", "plan"))] == [0, 0]
    assert [n for name, n in chunks.items() if name.startswith("crop")] == [1]
    assert all(n < 30 for n in chunks.values())


@pytest.mark.slow
def test_registering_and_applying_take_less_memory_than_a_volume() -> None:
    for package in ("SimpleITK", "zarr", "dask", "numba"):
        pytest.importorskip(package, reason=f"needs {package}")
    said = output(ROOT / "examples" / "07_register_and_apply_out_of_core.py")
    (volume,) = re.findall(r"each volume has (\d+) MB", said)
    peaks = re.findall(r"peak memory ([\d.]+) MB to (\w+), cap of (\d+) MB kept", said)
    assert [what for _, what, _ in peaks] == ["register", "apply"]
    assert all(float(peak) < int(cap) < int(volume) / 2 for peak, _, cap in peaks)


def test_every_example_is_expected_here() -> None:
    assert {path.stem for path in EXAMPLES} == set(EXPECTED)
