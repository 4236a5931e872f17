"""Resample a virtual volume of 10 TB, of which 20 GB are touched, on four workers of Dask.

    python -m benchmarks.virtual_volume [--terabytes 10] [--gigabytes 20] [--workers 4]
                                        [--limit 1GB] [--kill]

Each voxel of the volume holds a linear function of its place in the world, made chunk by chunk, so
linear interpolation must return that function on the turned grid. The workers are processes on this
machine, each held to its limit; Dask kills one that takes more than 95 % of it. With ``--kill`` one
of them is killed after 20 seconds, and Dask starts it again. A voxel that differs makes the
command fail.
"""

from __future__ import annotations

import argparse
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
import warnings
from typing import Any

import numpy as np

import spatial_duck as sd
from benchmarks._memory import peak, resident, worker_peak
from benchmarks._table import render

__all__ = ["largest_task", "region", "volume"]

_CHUNK = 192
_SPACING = np.array([2.0, 1.0, 1.0])
#: What a voxel holds: this times its world coordinates, which are micrometres here.
_SLOPES = np.array([0.5, 0.25, 0.125])
_TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


def _ramp(
    block_id: Any = None, shape: Any = None, origin: Any = None, direction: Any = None
) -> Any:
    """Return a block of a grid: the linear function at its voxels."""
    ends = [(k * _CHUNK, min((k + 1) * _CHUNK, n)) for k, n in zip(block_id, shape, strict=True)]
    indices = np.ogrid[tuple([slice(*pair) for pair in ends])]
    steps = _SLOPES @ (direction * _SPACING)
    values = _SLOPES @ origin + sum(i * step for i, step in zip(indices, steps, strict=True))
    return np.asarray(values, "f4")


def ramp_on(geometry: sd.Geometry) -> Any:
    """Return the linear function on a grid, as a Dask array that is made chunk by chunk."""
    import dask.array as da

    chunks = da.core.normalize_chunks(_CHUNK, geometry.shape)
    return da.map_blocks(
        _ramp, chunks=chunks, dtype="f4", meta=np.empty((0,) * 3, "f4"),
        shape=geometry.shape, origin=np.asarray(geometry.origin),
        direction=np.asarray(geometry.direction),
    )  # fmt: skip


def volume(size: float) -> sd.SpatialArray:
    """Return a lazy cube of so many bytes."""
    side = round((size / 4) ** (1 / 3))
    geometry = sd.Geometry(shape=(side,) * 3, spacing=_SPACING, unit="um")
    return sd.SpatialArray(ramp_on(geometry), geometry)


def turned(image: sd.SpatialArray) -> sd.SpatialArray:
    """Return the image on a grid of its shape that is turned by 37 degrees about its centre."""
    centre = np.asarray(image.geometry.center)
    half = _TURN @ (_SPACING * (np.asarray(image.shape) - 1) / 2)
    return sd.resample(image, image.geometry.replace(direction=_TURN, origin=centre - half))


def region(image: sd.SpatialArray, size: float) -> sd.SpatialArray:
    """Return a block of so many bytes at the centre, in whole chunks, twice as wide as high."""
    side = (size / 4 / 4) ** (1 / 3)
    shape = [max(1, round(side * n / _CHUNK)) * _CHUNK for n in (1, 2, 2)]
    starts = [(n - m) // 2 // _CHUNK * _CHUNK for n, m in zip(image.shape, shape, strict=True)]
    return image[tuple([slice(a, min(a + m, n))
                        for a, m, n in zip(starts, shape, image.shape, strict=True)])]  # fmt: skip


def largest_task(arrays: list[Any]) -> int:
    """Return the bytes of the largest task of Dask arrays as they go to a worker."""
    import dask

    graphs = [dict(array.__dask_graph__()) for array in dask.optimize(*arrays)]
    return max(len(pickle.dumps(task)) for graph in graphs for task in graph.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--terabytes", type=float, default=10)
    parser.add_argument("--gigabytes", type=float, default=20)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--limit", default="1GB", help="memory of each worker")
    parser.add_argument("--kill", action="store_true", help="kill one of the workers")
    args = parser.parse_args()
    import dask.array as da
    from distributed import Client, LocalCluster

    warnings.simplefilter("ignore")
    turned(volume(1e6))  # loads what is needed
    libraries = resident()
    image = volume(args.terabytes * 1e12)
    source = resident()
    begin = time.perf_counter()
    whole = turned(image)
    planned = time.perf_counter() - begin
    plan = resident()
    part = region(whole, args.gigabytes * 1e9)
    error = da.max(abs(part.data - ramp_on(part.geometry)))
    mean = np.mean(part)
    begin = time.perf_counter()
    largest = largest_task([error, mean])
    optimized = time.perf_counter() - begin
    rows = [
        ["volume", f"{image.nbytes / 1e12:.1f} TB in {image.data.npartitions:,} chunks"],
        ["touched", f"{part.nbytes / 1e9:.1f} GB in {part.data.npartitions:,} blocks"],
        ["Dask's graph of the volume itself", f"{(source - libraries) / 1e6:.0f} MB"],
        ["plan of the whole", f"{planned:.1f} s, {(plan - source) / 1e6:.0f} MB"],
        ["the part's graph, culled and fused", f"{optimized:.1f} s"],
        ["largest task", f"{largest:,} bytes"],
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        LocalCluster(
            n_workers=args.workers, threads_per_worker=1, processes=True, memory_limit=args.limit,
            dashboard_address=None, local_directory=folder, silence_logs="CRITICAL",
        ) as cluster,
        Client(cluster) as client,
    ):  # fmt: skip
        first = {worker.pid for worker in cluster.workers.values()}
        begin = time.perf_counter()
        futures = client.compute([error, mean])
        if args.kill:
            victim = cluster.workers[0].pid
            timer = threading.Timer(20, os.kill, (victim, signal.SIGKILL))
            timer.start()
        worst, average = client.gather(futures)
        if args.kill:
            timer.cancel()
        seconds = time.perf_counter() - begin
        peaks = client.run(worker_peak).values()
        restarted = len({worker.pid for worker in cluster.workers.values()} - first)
    centre = np.asarray(part.geometry.center)
    expected = float(_SLOPES @ np.asarray(centre))
    rows += [
        ["computed", f"{seconds:.0f} s"],
        ["most that a worker held", f"{max(peaks) / 1e6:.0f} MB"],
        ["most that the client held", f"{peak() / 1e6:.0f} MB, its libraries included"],
        ["workers restarted", str(restarted)],
        ["largest error", f"{worst:.3g} of values to {expected:.0f}"],
    ]
    print(render(f"{args.workers} workers of {args.limit}", ["what", "measured"], rows))
    # Single precision holds values of this size to 1e-7 of them.
    wrong = worst > 4e-7 * abs(expected) or abs(average - expected) > 1e-6 * abs(expected)
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main())
