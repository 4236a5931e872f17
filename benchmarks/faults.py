"""What is left of an OME-Zarr when its writer is killed, interrupted, or out of disk space, and of
a resampling whose workers are killed.

Each run writes an image to a new path or over an older image, stops the writer, and opens the
target. It must be the old image, the new one, or be refused with a message that says how to go on;
anything else is counted as wrong. Then the write is resumed, and the result compared byte by byte
with one that was never stopped.

With workers of Dask, a resampling is computed and then written while one of three workers is killed
each time: the voxels and files must be those of a quiet run to the bit, or the error must be clear
and the write resume to the same bytes.

    python -m benchmarks.faults [--kills 200] [--interrupts 40] [--full 20] [--workers 10]
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["full_disk_runs", "mounted", "signal_runs", "trees_differ", "worker_runs"]

#: Seconds that a process may take to start on a loaded machine.
_PATIENCE = 300

SHAPE = (60, 90, 75)
OPTIONS: dict[str, Any] = {"chunks": 16, "memory": 100_000, "shards": False}


def image(seed: int) -> Any:
    """Make the image of a seed: the same in every process."""
    import spatial_duck as sd

    values = np.random.default_rng(seed).integers(1, 60_000, SHAPE, dtype="u2")
    return sd.SpatialArray(values, spacing=(2, 1, 1), origin=(5, 6, 7), unit="mm")


def write(path: Path, seed: int, started: Any = None, **options: Any) -> None:
    """Write an image; runs in a process of its own."""
    from spatial_duck import io

    made = image(seed)
    if started is not None:
        # A process begun in the background of a shell without job control ignores it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        started.set()
    with contextlib.suppress(KeyboardInterrupt):
        io.write(path, made, **OPTIONS, **options)


def state(path: Path, old: int | None, new: int) -> str:
    """Say what is there: "old", "new", "refused" or "wrong: …"."""
    from spatial_duck import io
    from spatial_duck.errors import FormatError
    from spatial_duck.pyramids import pyramid

    try:
        count = io.info(path).levels
        levels = [np.asarray(io.read(path, level=n)) for n in range(count)]
    except FormatError as error:
        return "refused" if "resume=True" in str(error) else f"wrong: {error}"
    except FileNotFoundError as error:
        # Stopped before its first block was begun: as if it had never been called.
        nothing = old is None and not any(path.parent.glob(f".{path.name}*/journal"))
        return "nothing" if nothing else f"wrong: {error}"
    except Exception as error:  # all of these would be failures
        return f"wrong: {type(error).__name__}: {error}"
    for name, seed in (("new", new), ("old", old)):
        if seed is not None:
            expected = [np.asarray(level) for level in pyramid(image(seed))]
            if len(expected) == count and all(map(np.array_equal, levels, expected)):
                return name
    return "wrong: voxels of neither image"


def trees_differ(a: Path, b: Path) -> str | None:
    """Return what differs between two directories, by names and bytes."""

    def content(root: Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}

    left, right = content(a), content(b)
    odd = [k for k in {*left, *right} if left.get(k) != right.get(k)]
    return f"{len(odd)} files, among them {min(odd)}" if odd else None


def _context() -> Any:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["dask.array", "dask.threaded", "spatial_duck.io.ngff._format", "zarr"]
    )
    return context


def _reference(folder: Path, seed: int) -> tuple[Path, float]:
    """Write an image undisturbed in a process like those that are stopped; return its time."""
    path = folder / "reference" / "a.ome.zarr"
    path.parent.mkdir(parents=True)
    context = _context()
    times = []
    for n in range(3):
        started = context.Event()
        child = context.Process(
            target=write, args=(path, seed, started), kwargs={"overwrite": n > 0}
        )
        child.start()
        started.wait()
        begin = time.perf_counter()
        child.join()
        times.append(time.perf_counter() - begin)
    return path, min(times)


def signal_runs(count: int, folder: Path, number: signal.Signals, seed: int = 0) -> Counter[str]:
    """Stop a writer by a signal at random times; every second one overwrites.

    Parameters
    ----------
    count : int
        Number of runs.
    folder : Path
        An empty directory.
    number : Signals
        SIGKILL or SIGINT.
    seed : int, optional
        Of the times.

    Returns
    -------
    Counter
        How often the target was what, and how often resuming gave the same bytes.
    """
    found: Counter[str] = Counter()
    rng = random.Random(seed)
    context = _context()
    reference, duration = _reference(folder, 2)
    older = folder / "older" / "a.ome.zarr"
    older.parent.mkdir()
    write(older, 1)
    for n in range(count):
        overwrite = n % 2 == 1
        place = folder / str(n)
        path = place / "a.ome.zarr"
        place.mkdir()
        if overwrite:
            shutil.copytree(older, path)
        options = {"overwrite": overwrite, "resume": True}
        # Some are stopped again while they resume.
        for _ in range(1 + (rng.random() < 0.3)):
            started = context.Event()
            child = context.Process(target=write, args=(path, 2, started), kwargs=options)
            child.start()
            if not started.wait(_PATIENCE):
                raise TimeoutError(f"run {n}: the writer's process did not start")
            time.sleep(rng.uniform(0, 1.1 * duration))
            # One that has ended may have left its number to another process.
            with contextlib.suppress(ProcessLookupError):
                if child.is_alive():
                    os.kill(child.pid, number)
            child.join()
            what = state(path, 1 if overwrite else None, 2)
            found[what] += 1
            if what == "new":
                break
        if what != "new":
            write(path, 2, overwrite=overwrite, resume=True)
        odd = trees_differ(path, reference)
        found["resumed to the same bytes" if odd is None else f"wrong: {odd}"] += what != "new"
        found["complete with the same bytes" if odd is None else f"wrong: {odd}"] += what == "new"
        shutil.rmtree(place)
        print(f"  run {n + 1} of {count}", end="\r", file=sys.stderr, flush=True)
    return +found


@contextlib.contextmanager
def mounted(folder: Path, size: int) -> Any:
    """Mount a small file system in memory at a folder.

    Raises
    ------
    OSError
        If this process may not.
    """
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise OSError(f"mounting a tmpfs is not allowed here: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def full_disk_runs(count: int, folder: Path) -> Counter[str]:
    """Write onto disks of growing sizes, up to more than enough; every second one overwrites."""
    found: Counter[str] = Counter()
    reference, _ = _reference(folder, 2)
    older = folder / "older" / "a.ome.zarr"
    older.parent.mkdir()
    write(older, 1)
    # A tmpfs counts whole pages, and directories take some too.
    need = sum(-(-p.stat().st_size // 4096) * 4096 for p in reference.rglob("*") if p.is_file())
    for n in range(count):
        overwrite = n % 2 == 1
        disk = folder / "disk"
        disk.mkdir(exist_ok=True)
        size = int(need * (1.1 * (n + 0.5) / count + overwrite)) + 65_536 * overwrite
        with mounted(disk, size):
            path = disk / "a.ome.zarr"
            if overwrite:
                shutil.copytree(older, path)
            try:
                write(path, 2, overwrite=overwrite)
                found["there was room"] += 1
            except OSError as error:
                found["out of space" if error.errno == 28 else f"wrong: {error!r}"] += 1
            what = state(path, 1 if overwrite else None, 2)
            found[what] += 1
            if what != "new":
                more = f"remount,size={4 * need + size}"
                subprocess.run(["mount", "-o", more, str(disk)], check=True)
                write(path, 2, overwrite=overwrite, resume=True)
            odd = trees_differ(path, reference)
            found["in the end the same bytes" if odd is None else f"wrong: {odd}"] += 1
    return found


@contextlib.contextmanager
def _killing(pid: int, seconds: float) -> Any:
    """Kill a process so many seconds from now; in the end wait until that has been done."""

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.start()
    try:
        yield
    finally:
        timer.join()


def worker_runs(count: int, folder: Path, seed: int = 0) -> Counter[str]:
    """Kill workers of Dask while they compute a resampling, and again while they write it.

    Parameters
    ----------
    count : int
        Number of runs, each on a cluster of its own of three processes.
    folder : Path
        An empty directory.
    seed : int, optional
        Of the times, and of who is killed.

    Returns
    -------
    Counter
        How often the voxels and the files were those of a quiet run, and what was said otherwise.
    """
    from distributed import Client, KilledWorker, LocalCluster

    import spatial_duck as sd
    from spatial_duck import io
    from spatial_duck.errors import SpatialDuckError

    found: Counter[str] = Counter()
    rng = random.Random(seed)
    write(folder / "source.ome.zarr", 1)
    source = io.read(folder / "source.ome.zarr")
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    grid = source.geometry.replace(direction=turned, spacing=(1.5, 0.9, 1.1), origin=(5, 20, 0))
    options = {**OPTIONS, "oblique": "keep"}
    calm: dict[str, Any] = {
        "processes": True,
        "threads_per_worker": 1,
        "dashboard_address": None,
        "memory_limit": 0,
    }
    ways = {how: sd.resample(source, grid, interpolation=how) for how in ("linear", "nearest",
                                                                         "cubic")}  # fmt: skip
    quiet: dict[str, Any] = {}
    for how, lazy in ways.items():
        io.write(folder / f"{how}.ome.zarr", lazy, **options)
        quiet[how] = lazy.compute(scheduler="threads").data
    for n in range(count):
        how = list(ways)[n % len(ways)]
        lazy, expected = ways[how], quiet[how]
        reference, path = folder / f"{how}.ome.zarr", folder / f"{n}.ome.zarr"
        with LocalCluster(n_workers=3, **calm) as cluster, Client(cluster) as client:
            client.compute(lazy.data).result(timeout=_PATIENCE)  # now each worker has loaded all
            begin = time.perf_counter()
            client.compute(lazy.data).result(timeout=_PATIENCE)
            duration = time.perf_counter() - begin
            pids = [w.pid for w in cluster.workers.values() if w.pid]
            for what in ("computed", "written"):
                victim = pids.pop(rng.randrange(len(pids)))
                try:
                    with _killing(victim, rng.uniform(0, duration)):
                        if what == "computed":
                            values = client.compute(lazy.data).result(timeout=_PATIENCE)
                            odd = None if np.array_equal(values, expected) else "voxels"
                        else:
                            io.write(path, lazy, **options)
                            odd = trees_differ(path, reference)
                    found[f"{what}: the same bits" if odd is None else f"wrong: {odd}"] += 1
                except (KilledWorker, SpatialDuckError, OSError) as error:
                    found[f"{what}: {type(error).__name__}"] += 1
                    if what == "written":
                        io.write(path, lazy, resume=True, **options)
                        odd = trees_differ(path, reference)
                        found["resumed to the same bytes" if odd is None else f"wrong: {odd}"] += 1
                print(f"  run {n + 1} of {count}: {dict(found)}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 200), ("interrupts", 40), ("full", 20), ("workers", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    runs = {
        f"{given.kills} runs stopped by SIGKILL": lambda folder: signal_runs(
            given.kills, folder, signal.SIGKILL
        ),
        f"{given.interrupts} runs stopped by KeyboardInterrupt": lambda folder: signal_runs(
            given.interrupts, folder, signal.SIGINT
        ),
        f"{given.full} disks": lambda folder: full_disk_runs(given.full, folder),
        f"{given.workers} runs with workers of Dask killed": lambda folder: worker_runs(
            given.workers, folder
        ),
    }
    for title, run in runs.items():
        if title.startswith("0 "):
            continue
        print(title, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            begin = time.perf_counter()
            try:
                found = run(Path(folder))
            except OSError as error:
                print(f"  not run: {error!r}", flush=True)
                continue
            for what, number in sorted(found.items()):
                print(f"  {number:5d}  {what}")
            print(f"  {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    main()
