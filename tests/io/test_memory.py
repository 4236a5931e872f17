"""Memory is what the machine and the container leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
