"""Volumes larger than the memory of a worker: what is written is right, to the voxel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks import worker_memory

if TYPE_CHECKING:
    from pathlib import Path

for _package in ("distributed", "numba", "zarr"):
    pytest.importorskip(_package, reason=f"needs {_package}")

# What distributed itself leaves behind when a cluster closes, or a worker is restarted.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.mark.long
def test_a_worker_of_400_mb_finishes_volumes_twice_as_large(tmp_path: Path) -> None:
    found = list(worker_memory.runs(400_000_000, 2, tmp_path))
    assert len(found) == len(worker_memory.CASES)
    assert {run.outcome for run in found} == {"right"}
    assert not any(run.restarted for run in found), "it came near its limit"


def test_the_volume_is_as_large_as_it_is_asked_for() -> None:
    image = worker_memory.volume(3, 4_000_000)
    assert abs(image.nbytes - 12_000_000) < 2 * 800 * 1000
    plane = image.data[1].compute()
    assert plane[2, 5] == (7 + 31 * 2 + 3 * 5) % 60_000
