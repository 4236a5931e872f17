"""Work on volumes larger than the memory that a worker of Dask may take.

    python -m benchmarks.worker_memory [--limit 400MB] [--times 3]

One worker, a process of its own with two threads, computes what is written to a store: it spills,
pauses, and is killed by its nanny when it takes more than 95 % of its limit, all as Dask does by
default. Every voxel is compared with what it should be. An error is fine where it says what
happened; a voxel that differs is *wrong* and makes the command fail.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import spatial_duck as sd
from benchmarks._memory import worker_peak
from benchmarks._table import render

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES", "Run", "runs"]

_CHUNK = 128
#: Planes that are compared at once.
_SLAB = 32


class Run(NamedTuple):
    """The result of one case."""

    case: str
    outcome: str
    seconds: float
    restarted: bool
    peak: float


def _values(block_info: Any = None) -> Any:
    """Return the values of a block of the volume: a different number for each voxel."""
    z, y, x = np.ogrid[tuple([slice(*ends) for ends in block_info[None]["array-location"]])]
    return ((7 * z + 31 * y + 3 * x) % 60_000).astype("u2")


def volume(times: float, limit: int) -> sd.SpatialArray:
    """Return a lazy image of so many times the limit, which is made chunk by chunk."""
    import dask.array as da

    planes = round(times * limit / (2 * 800 * 1000))
    chunks = da.core.normalize_chunks((_CHUNK,) * 3, (planes, 800, 1000))
    data = da.map_blocks(_values, chunks=chunks, dtype="u2", meta=np.empty((0,) * 3, "u2"))
    return sd.SpatialArray(data, spacing=(2, 1, 1))


def _shifted(block: Any) -> Any:
    """Return each voxel's neighbour along the second axis, and at the edge itself."""
    data = getattr(block, "data", block)
    return np.concatenate([data[:, :1], data[:, :-1]], axis=1)


def _turned(image: sd.SpatialArray) -> sd.SpatialArray:
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    return sd.resample(image, image.geometry.replace(direction=turned))


#: What is computed of the volume, made lazily or read from a store, and written with its pyramid.
CASES = {
    "sd.write of a lazy image": lambda image: image,
    "a rotation of a store, linear": _turned,
    "map_blocks over a store, halo 4": lambda image: sd.map_blocks(_shifted, image, halo=4),
}


def _differs(found: Any, expected: Any) -> bool:
    return any(
        not np.array_equal(np.asarray(found[k : k + _SLAB]),
                           expected[k : k + _SLAB].compute(scheduler="threads"))
        for k in range(0, len(expected), _SLAB)
    )  # fmt: skip


def _expected(case: str, lazy: Any, image: sd.SpatialArray) -> Any:
    """Return what a case must give: by a formula, or as threads without a limit compute it."""
    if case.startswith("map_blocks"):
        data = image.data
        return np.concatenate([data[:, :1], data[:, :-1]], axis=1)
    return lazy.data


def runs(limit: int, times: float, folder: Path) -> Iterator[Run]:
    """Run each case on a worker of its own.

    Parameters
    ----------
    limit : int
        Bytes that the worker may take.
    times : float
        Bytes of the volume over those.
    folder : Path
        An empty directory, on a disk with room for three volumes and what the worker spills.
    """
    from distributed import Client, KilledWorker, LocalCluster

    image = volume(times, limit)
    store = folder / "source.ome.zarr"
    sd.write(store, image, levels=1, chunks=_CHUNK)
    for case, make in CASES.items():
        lazy = make(image if "lazy" in case else sd.read(store, lazy=True))
        path = folder / "a.ome.zarr"
        cluster = LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, memory_limit=limit,
            dashboard_address=None, local_directory=str(folder), silence_logs="CRITICAL",
        )  # fmt: skip
        with cluster, Client(cluster) as client:
            before = cluster.workers[0].pid
            begin = time.perf_counter()
            try:
                sd.write(path, lazy, oblique="keep", overwrite=True)
                outcome = ""
            except (KilledWorker, MemoryError, OSError, sd.SpatialDuckError) as error:
                outcome = f"refused: {type(error).__name__}"
            seconds = time.perf_counter() - begin
            (peak,) = client.run(worker_peak).values()  # of the process that ended the work
            restarted = cluster.workers[0].pid != before
        if not outcome:
            odd = _differs(sd.read(path, lazy=True).data, _expected(case, lazy, image))
            outcome = "wrong voxels" if odd else "right"
        yield Run(case, outcome, seconds, restarted, peak)


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--limit", default="400MB", help="memory of the worker")
    parser.add_argument("--times", type=float, default=3, help="size of the volume over that")
    args = parser.parse_args()
    from dask.utils import parse_bytes

    warnings.simplefilter("ignore")
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for run in runs(parse_bytes(args.limit), args.times, Path(folder)):
            failed |= run.outcome.startswith("wrong")
            rows.append([run.case, run.outcome, "yes" if run.restarted else "no",
                         f"{run.peak / 1e6:.0f} MB", f"{run.seconds:.0f} s"])  # fmt: skip
            print(*rows[-1], sep="  ", file=sys.stderr, flush=True)
    title = f"A worker of {args.limit} and a volume {args.times:g} times as large"
    print(render(title, ["what", "came of it", "restarted", "peak", "took"], rows))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
