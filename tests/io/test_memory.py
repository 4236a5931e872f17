"""Memory is what the machine and the container leave."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.io import _memory as memory

if TYPE_CHECKING:
    from pathlib import Path


def test_memory_is_known_here() -> None:
    there = memory.available_memory()
    assert there is None or there > 1 << 20


def test_limits_of_control_groups(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "cgroup"
    inner = root / "slurm" / "job"
    inner.mkdir(parents=True)
    own.write_text("0::/slurm/job\n")
    assert memory._of_groups(root, own) == []
    for folder, limit, used in ((inner, "max", "100"), (inner.parent, "5000", "1000")):
        (folder / "memory.max").write_text(limit + "\n")
        (folder / "memory.current").write_text(used + "\n")
    assert memory._of_groups(root, own) == [4000]
    (inner / "memory.max").write_text("300\n")
    (inner / "memory.stat").write_text("anon 60\ninactive_file 40\n")
    assert memory._of_groups(root, own) == [240, 4000]
    # Version 1, and a group that lies elsewhere in the container.
    first = root / "memory"
    first.mkdir()
    (first / "memory.limit_in_bytes").write_text("900")
    (first / "memory.usage_in_bytes").write_text("1000")
    own.write_text("5:cpu,cpuacct:/a\n4:memory:/docker/abc\n")
    assert memory._of_groups(root, own) == [0]
    assert memory._of_groups(root, tmp_path / "nothing") == []


#: Reads a small image and a large one, with 200 MB of addresses left.
_LIMITED = """
import resource, sys
import numpy as np
import spatial_duck as sd

np.asarray(sd.read(sys.argv[1], lazy=False))
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200_000_000,) * 2)
try:
    sd.read(sys.argv[2], lazy=False)
except sd.UnsafeInputError as error:
    print(error)
try:
    sd.read(sys.argv[2])
except OSError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit addresses")
def test_limits_of_the_process(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="needs nibabel")
    for name, count in (("small", 3), ("large", 300)):
        values = np.zeros((count, 1000, 1000), "u1")
        sd.write(tmp_path / f"{name}.nii", sd.SpatialArray(values, spacing=1.0, frame="LPS"))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _LIMITED,
         str(tmp_path / "small.nii"), str(tmp_path / "large.nii")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    refused, mapped = done.stdout.splitlines()
    assert "300,000,000 bytes of voxels" in refused
    assert "lazy=False" in mapped


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are not limited here")
def test_a_process_without_descriptors_says_what_holds_them(tmp_path: Path) -> None:
    pytest.importorskip("nibabel", reason="needs nibabel")
    sd.write(tmp_path / "a.nii", sd.SpatialArray(np.zeros((2, 2, 2), "u1"), frame="LPS"))
    code = (
        "import resource, sys; import spatial_duck as sd\n"
        "sd.read(sys.argv[1]); resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))\n"
        "try: held = [sd.read(sys.argv[1]) for _ in range(60)]\n"
        "except OSError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "a.nii")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "with read(...)" in done.stdout
