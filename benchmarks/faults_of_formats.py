"""What is left at a target when its writer is killed, interrupted or out of disk space, or when the
worker that computes what it writes is killed, format by format.

``python -m benchmarks.faults_of_formats [--kills 20] [--interrupts 4] [--full 3] [--workers 3]``
prints a table.
Each run writes a small image to a fresh place or over an older one (every second run) in a forked
process, which is stopped at a random moment. The target must then be the older image, the new one,
or nothing, where nothing had been; anything else is wrong. Then it is written again by the next
writer, which must leave what a quiet write leaves: the same names, and the new image. Of the two
workers of Dask that compute a lazy image, one is killed while it is written, and begins anew.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.faults import mounted

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TARGETS", "full_runs", "stopped_runs", "table", "worker_runs"]

#: Name of a target, and the options of its writer.
TARGETS: dict[str, dict[str, Any]] = {
    "a.nii": {}, "a.nii.gz": {}, "a.nrrd": {}, "a.nhdr": {}, "a.mha": {}, "a.mhd": {}, "a.tif": {},
    "a.ome.tif": {}, "a.npy": {}, "a.h5": {}, "a.vti": {}, "series": {
        "format": "dicom"}, "a.ome.zarr": {"chunks": 16, "shards": False}, "a.ozx": {},
}  # fmt: skip
SHAPE = (24, 64, 60)


def image(seed: int) -> Any:
    import spatial_duck as sd

    values = np.random.default_rng(seed).integers(1, 200, SHAPE, dtype="u2")
    return sd.SpatialArray(
        values, spacing=(2, 1, 1), origin=(5, 6, 7), unit="mm", world=("x", "y", "z"),
        direction=[[0, 0, 1], [0, 1, 0], [1, 0, 0]], frame="LPS",
    )  # fmt: skip


def _slowly(block: Any) -> Any:
    time.sleep(0.02)
    return block


def lazy_image(seed: int) -> Any:
    """Return the image of a seed in blocks that take a while to compute."""
    import dask.array as da

    made = image(seed)
    data = da.from_array(made.data, chunks=(6, 16, 20)).map_blocks(_slowly, dtype=made.dtype)
    return type(made)(data, made.geometry)


def _write(
    path: Path, seed: int, overwrite: bool, options: dict[str, Any], lazy: bool = False
) -> None:
    from spatial_duck import io

    given = dict(options)
    if path.name.endswith((".ome.zarr", ".ozx")):
        given |= {"levels": 1, "oblique": "keep"}
    io.write(path, lazy_image(seed) if lazy else image(seed), overwrite=overwrite, **given)


def _state(path: Path, old: int | None) -> str:
    """Say what is there: "old", "new", "nothing", "refused" or "wrong: …"."""
    from spatial_duck import io
    from spatial_duck.errors import FormatError

    if not path.exists() and old is None:
        return "nothing"
    try:
        back = io.read(path)
        found = np.asarray(back if back.shape == SHAPE else back.transpose("z", "y", "x"))
    except FormatError as error:
        return "refused" if "resume=True" in str(error) else f"wrong: {error}"
    except Exception as error:  # all of these would be failures
        return f"wrong: {type(error).__name__}: {error}"
    for name, seed in (("new", 2), ("old", old)):
        if seed is not None and np.array_equal(found, image(seed).data):
            return name
    return "wrong: voxels of neither image"


def _names(folder: Path) -> list[str]:
    """Return the names in a folder, those of data files without what makes them unique."""
    return sorted("data" if p.suffix in (".raw", ".zraw") else p.name for p in folder.iterdir())


def _place(folder: Path, n: int, older: Path) -> tuple[Path, bool]:
    """Make the folder of the nth run; return it, and whether an older image is in it."""
    place = folder / str(n)
    overwrite = n % 2 == 1
    if overwrite:
        shutil.copytree(older, place)
    else:
        place.mkdir()
    return place, overwrite


def _afterwards(place: Path, name: str, wanted: list[str]) -> tuple[str, str]:
    """Say what the next writer has left in the folder of a run, and remove it."""
    new = _state(place / name, None) == "new"
    left = _names(place)
    shutil.rmtree(place)
    return (
        "then new" if new else "wrong: written again",
        "nothing left over" if left == wanted else f"wrong: left {left}",
    )


def _child(path: Path, overwrite: bool, options: dict[str, Any]) -> int:
    """Write in a forked process; return its number."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _write(path, 2, overwrite, options)
        code = 0
    except BaseException:  # noqa: S110, RUF100 (an interrupt, which the parent sent)
        pass
    finally:
        os._exit(code)


def stopped_runs(
    name: str, count: int, folder: Path, number: signal.Signals, seed: int = 0
) -> Counter[str]:
    """Stop writers of a format by a signal at random moments.

    Parameters
    ----------
    name : str
        Of `TARGETS`.
    count : int
        Number of runs.
    folder : Path
        An empty directory.
    number : Signals
        SIGKILL or SIGINT.
    seed : int, optional
        Of the moments.

    Returns
    -------
    Counter
        How often the target was what, and what the next writer left.
    """
    options, rng = TARGETS[name], random.Random(seed)
    found: Counter[str] = Counter()
    quiet, older = folder / "quiet", folder / "older"
    for place, n in ((quiet, 2), (older, 1)):
        place.mkdir()
        _write(place / name, n, False, options)
    begin = time.perf_counter()
    os.waitpid(_child(quiet / name, True, options), 0)
    duration = time.perf_counter() - begin
    for n in range(count):
        place, overwrite = _place(folder, n, older)
        pid = _child(place / name, overwrite, options)
        time.sleep(rng.uniform(0, 1.1 * duration))
        os.kill(pid, number)  # not waited for yet, so that the number is its own
        os.waitpid(pid, 0)
        found[_state(place / name, 1 if overwrite else None)] += 1
        _write(place / name, 2, True, options)
        found.update(_afterwards(place, name, _names(quiet)))
    return found


def full_runs(name: str, count: int, folder: Path) -> Counter[str]:
    """Write a format onto disks of growing sizes; every second run overwrites."""
    options = TARGETS[name]
    found: Counter[str] = Counter()
    quiet = folder / "quiet"
    quiet.mkdir()
    _write(quiet / name, 1, False, options)
    need = sum(-(-p.stat().st_size // 4096) * 4096 for p in quiet.rglob("*") if p.is_file())
    disk = folder / "disk"
    disk.mkdir()
    for n in range(count):
        overwrite = n % 2 == 1
        size = int(need * (1.1 * (n + 0.5) / count + overwrite)) + 131_072 * overwrite + 8192
        with mounted(disk, size):
            if overwrite:
                shutil.copytree(quiet, disk, dirs_exist_ok=True)
            os.waitpid(_child(disk / name, overwrite, options), 0)
            found[_state(disk / name, 1 if overwrite else None)] += 1
    return found


def worker_runs(name: str, count: int, folder: Path, seed: int = 0) -> Counter[str]:
    """Kill one of two workers of Dask while what they compute is written in a format."""
    from distributed import Client, KilledWorker, LocalCluster

    from spatial_duck.errors import SpatialDuckError

    options, rng = TARGETS[name], random.Random(seed)
    found: Counter[str] = Counter()
    older = folder / "older"
    older.mkdir()
    _write(older / name, 1, False, options)
    duration = 0.0
    for n in range(count + 1):  # once quietly, to see how long it takes
        place, overwrite = _place(folder, n, older)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None,
                memory_limit=0, local_directory=str(folder), silence_logs="CRITICAL",
            ) as cluster,
            Client(cluster),
        ):  # fmt: skip
            victim = rng.choice([worker.pid for worker in cluster.workers.values()])
            begin = time.perf_counter()
            if n == 0:
                _write(place / name, 2, overwrite, options, lazy=True)
                duration = time.perf_counter() - begin
                continue
            timer = threading.Timer(rng.uniform(0, duration), os.kill, (victim, signal.SIGKILL))
            timer.start()
            try:
                _write(place / name, 2, overwrite, options, lazy=True)
            except (KilledWorker, SpatialDuckError, OSError):
                found[_state(place / name, 1 if overwrite else None)] += 1
            else:
                new = _state(place / name, None)
                found[new if new == "new" else f"wrong: {new}, and no error"] += 1
            timer.join()
            _write(place / name, 2, True, options, lazy=True)
        found.update(_afterwards(place, name, _names(folder / "0")))
    return found


def table(
    kills: int, interrupts: int, full: int, workers: int, targets: Sequence[str] = tuple(TARGETS)
) -> str:
    """Return the table in Markdown."""
    columns = {
        "old": "older image", "new": "new image", "nothing": "nothing yet",
        "refused": "refused, says how to resume", "wrong": "wrong",
        "then new": "then the new image", "nothing left over": "nothing left over",
    }  # fmt: skip
    heads = " | ".join(columns.values())
    lines = [f"| target | fault | runs | {heads} |", "| --- |" + " --- |" * 9]
    wrong: list[str] = []
    for name in targets:
        for fault, count in (
            ("SIGKILL", kills), ("SIGINT", interrupts), ("disk full", full),
            ("worker killed", workers),
        ):  # fmt: skip
            if not count:
                continue
            with tempfile.TemporaryDirectory() as folder:
                try:
                    if fault == "disk full":
                        found = full_runs(name, count, Path(folder))
                    elif fault == "worker killed":
                        found = worker_runs(name, count, Path(folder))
                    else:
                        number = signal.Signals[fault]
                        found = stopped_runs(name, count, Path(folder), number)
                except OSError as error:
                    if fault != "disk full":
                        raise
                    wrong.append(f"{name}, {fault}: not run: {error}")
                    continue
            bad = {k: v for k, v in found.items() if k.startswith("wrong")}
            wrong += [f"{name}, {fault}: {v} × {k}" for k, v in bad.items()]
            cells: list[Any] = [sum(bad.values()) if c == "wrong" else found[c] for c in columns]
            if fault == "disk full":  # nothing is written there afterwards
                cells[-2:] = "–", "–"
            lines.append(f"| {name} | {fault} | {count} | {' | '.join(map(str, cells))} |")
            print(lines[-1], flush=True)
    return "\n".join([*lines, "", *wrong])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 20), ("interrupts", 4), ("full", 3), ("workers", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    given = parser.parse_args()
    print("\n" + table(given.kills, given.interrupts, given.full, given.workers, given.targets))


if __name__ == "__main__":
    main()
