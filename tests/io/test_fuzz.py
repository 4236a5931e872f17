"""Mutated files: refused with an error of ours or read, without a crash, a hang or much memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

for _package in ("nibabel", "nrrd", "zarr", "h5py", "tifffile", "pydicom", "imageio", "SimpleITK"):
    pytest.importorskip(_package, reason=f"needs {_package}")
pytest.importorskip("resource", reason="needs limits of memory, as POSIX has")
if not Path("/proc/self/clear_refs").exists():
    pytest.skip("needs Linux's /proc to measure memory", allow_module_level=True)

QUICK = ("nrrd", "metaimage", "npy-side-car", "vti", "tfm", "nifti", "hdf5", "tiff", "zarr-chunk")


def fuzzed(*arguments: str, timeout: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fuzz_files", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_some_mutations_of_common_formats() -> None:
    told = fuzzed("--text", "60", "--binary", "30", "--format", *QUICK, timeout=500)
    rows = [line.split() for line in told.splitlines()[1:]]
    assert [row[0] for row in rows] == list(QUICK)
    for row in rows:
        count, read, refused, wrong = map(int, row[1:5])
        assert (read + refused, wrong) == (count, 0)
        assert refused > 0


@pytest.mark.slow
def test_some_changes_of_structure() -> None:
    names = ("nrrd", "mhd", "vti", "ome-zarr-0.6", "ozx", "nifti", "tiff", "hdf5", "zarr-shard")
    told = fuzzed("--structured", "30", "--format", *names, timeout=500)
    rows = [line.split() for line in told.splitlines()[1:]]
    assert [row[0] for row in rows] == list(names)
    for row in rows:
        count, read, refused, wrong = map(int, row[1:5])
        assert (read + refused, wrong) == (count, 0)
        assert refused > 0


def test_what_is_wrong_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that raises what is not ours, or takes memory, is found."""
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks import fuzz_files
    finally:
        sys.path.remove(str(ROOT))
    raw = b"NRRD0004\ntype: uint8\nsizes: 4 5\n\n" + bytes(20)
    changed = {fuzz_files.mutated(raw, 30, n, text=True) for n in range(200)}
    assert len(changed) > 150
    assert fuzz_files.mutated(raw, 30, 7, text=True) == fuzz_files.mutated(raw, 30, 7, text=True)

    def broken(path: Path) -> None:
        raise KeyError(path)

    monkeypatch.setattr(fuzz_files.io, "info", broken)
    with pytest.raises(KeyError):
        fuzz_files._read(Path("a.nrrd"), "image")


@pytest.mark.long
def test_many_mutations_of_all_formats() -> None:
    fuzzed("--text", "2000", "--binary", "1000", timeout=7200)
    fuzzed("--structured", "1000", timeout=7200)
