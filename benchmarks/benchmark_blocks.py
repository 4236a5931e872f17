"""What `map_blocks` costs for each block, beside Dask's `map_overlap`.

The function does nothing, so that what is timed is the machinery: planning, making the tasks (which
both put off until they are asked for), cutting blocks with their halos out of chunks, trimming.
Both give the same values, and ours hands over images that know where they are.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from benchmarks._table import Timing, environment, measure, render

if TYPE_CHECKING:
    from collections.abc import Callable

#: Side of a cube of float32, side of its chunks, and halo in voxels.
CASES = {
    "64³ in 16³, halo 2": (64, 16, 2),
    "128³ in 32³, halo 4": (128, 32, 4),
    "256³ in 64³, halo 8": (256, 64, 8),
}


def identity(block: Any) -> Any:
    return block


def subjects(side: int, chunk: int, halo: int) -> dict[str, Callable[[], Any]]:
    """Return functions that plan the same work with both."""
    import dask.array as da

    data = np.random.default_rng(0).random((side,) * 3, dtype=np.float32)
    array = da.from_array(data, chunks=chunk)
    image = sd.SpatialArray(array, spacing=(2.0, 0.5, 0.5))

    def ours() -> Any:
        return sd.map_blocks(identity, image, halo=halo, halo_unit="voxel").data

    def peer() -> Any:
        return da.map_overlap(
            identity, array, depth=halo, boundary="none", dtype=array.dtype, meta=array._meta
        )

    return {"map_blocks": ours, "map_overlap": peer}


class BlocksSuite:
    params = (list(CASES), ["map_blocks", "map_overlap"])
    param_names = ("case", "who")

    def setup(self, case: str, who: str) -> None:
        self.plan = subjects(*CASES[case])[who]
        self.planned = self.plan()

    def time_plan(self, case: str, who: str) -> None:
        self.plan()

    def time_graph(self, case: str, who: str) -> None:
        dict(self.plan().dask)

    def time_compute(self, case: str, who: str) -> None:
        self.planned.compute(scheduler="synchronous")

    def track_tasks(self, case: str, who: str) -> int:
        return len(self.planned.dask)


def compare(case: str) -> tuple[int, dict[str, int], list[dict[str, Timing]]]:
    """Return the number of blocks, tasks of both, and timings: plan, plan and tasks, compute."""
    side, chunk, halo = CASES[case]
    plans = subjects(side, chunk, halo)
    planned = {name: plan() for name, plan in plans.items()}
    ours, peer = [array.compute(scheduler="synchronous") for array in planned.values()]
    np.testing.assert_array_equal(ours, peer)
    works = [
        plans,
        {n: lambda plan=plan: dict(plan().dask) for n, plan in plans.items()},
        {n: lambda a=a: a.compute(scheduler="synchronous") for n, a in planned.items()},
    ]
    timings = [measure(work, seconds=0.05, rounds=5) for work in works]
    tasks = {name: len(array.dask) for name, array in planned.items()}
    return (side // chunk) ** 3, tasks, timings


def main() -> None:
    warnings.simplefilter("ignore")
    rows = []
    for case in CASES:
        blocks, tasks, timings = compare(case)
        rows += [
            [
                f"{case}, {name}",
                str(blocks),
                str(tasks[name]),
                *[f"{1e6 * timing[name].best / blocks:.0f}" for timing in timings],
            ]
            for name in tasks
        ]
    header = ["", "blocks", "tasks", "plan, µs/block", "and tasks", "compute"]
    print(render("A function that does nothing, best of interleaved rounds", header, rows))
    print(environment(["numpy", "dask"]))


if __name__ == "__main__":
    main()
