"""Resampling beside the libraries that do the same, in one run.

``python -m benchmarks.benchmark_resample`` prints its tables: volumes in memory, with accuracy; a
Zarr store of 512×768×768 uint16 turned into another, and such of other chunks and types; planning,
compiling and starting. ``--part memory store layouts start`` chooses some, ``--only`` and
``--against`` kinds of work and contenders in memory; ``--types``, ``--orders``, ``--shape``,
``--layouts`` and ``--ways`` those of the layouts; ``--quick`` makes volumes smaller, ``--scales 1
4`` says how often the store's volume is repeated. Stores lie in ``TMPDIR``. ``--beside FOLDER``
prints instead what the volumes in memory take this checkout and another one, in processes that take
turns. asv runs the class.

In memory every contender works in this process with two threads, in interleaved rounds; seconds
and CPU seconds are the best of them. ``×`` is how many times longer than ours the contender takes,
on the clock and on the CPUs, which other work on the machine disturbs less. Accuracy is the largest
difference away from the ends (1 voxel, for splines and Lanczos 12): from SimpleITK in float64, as a
part of the range of the noise (nearest: the share of voxels that differ); and from the analytic
value on a linear and on a quadratic field in float64 whose values span 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks._rivals import RIVALS, NotDone, index_matrix
from benchmarks._table import environment, render
from spatial_duck.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds before times count: small volumes are NumPy's until the kernels are worth their loading.
_WARM_UP = 3.0

_C, _S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, _C, -_S], [0, _S, _C]]


def grid(shape: Any, spacing: Any, origin: Any = (0, 0, 0), direction: Any = None) -> Geometry:
    """Return a z, y, x grid in ITK's world."""
    direction = np.eye(3)[::-1] if direction is None else direction[::-1]
    return Geometry(shape, spacing, origin, direction, world=("x", "y", "z"))


class Work(NamedTuple):
    """A source, a target, and how many times faster than SimpleITK it is to be done."""

    source: Geometry
    target: Geometry
    how: str
    wanted: float | None = None
    bent: bool = False


def _works(quick: bool) -> dict[str, Work]:
    n = 128 if quick else 256
    source = grid((n // 2, n, n), (2.5, 1, 1))
    fine = grid((5 * n // 4, n, n), (1, 1, 1))
    turned = grid((n, n, n), (1.2, 1.1, 1.1), np.array((-70, 20, -10)) * n / 256, TURN)
    small = grid((32, 96, 64), (2.5, 1, 1)), grid((80, 96, 64), (1, 1, 1))
    flat = grid((n // 2, n, n), (2.5, 1, 1), (n / 6, -n / 6, 0),
                np.array([[1, 0, 0], [0, _C, -_S], [0, _S, _C]]))  # fmt: skip
    return {
        "2.5/1/1 to 1 mm, linear": Work(source, fine, "linear", 10),
        "2.5/1/1 to 1 mm, cubic": Work(source, fine, "cubic", 15),
        "2.5/1/1 to 1 mm, Lanczos": Work(*small, "lanczos", 100),
        "rotation and scale, nearest": Work(source, turned, "nearest", 2),
        "rotation and scale, linear": Work(source, turned, "linear", 3),
        "rotation and scale, cubic": Work(source, turned, "cubic", 5),
        "in-plane rotation, linear": Work(source, flat, "linear"),
        "displacement field, linear": Work(source, fine, "linear", 2, bent=True),
    }


WORKS = _works(quick=False)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def displacements(target: Geometry) -> np.ndarray:
    """Return a smooth field of some millimetres on a grid, z, y, x, component."""
    z, y, x = np.ogrid[tuple([slice(0, 6, n * 1j) for n in target.shape])]
    parts = (
        3 * np.sin(z + y) * np.cos(x),
        2.5 * np.cos(z) * np.sin(y + x),
        2 * np.sin(z - y) + 0 * x,
    )
    return np.stack(np.broadcast_arrays(*parts), axis=-1).astype(np.float32)


# --- accuracy -----------------------------------------------------------------------------


def _world(geometry: Geometry) -> np.ndarray:
    """Return the place of every voxel, shape (3, *shape)."""
    steps = geometry.direction * geometry.spacing
    index = np.ogrid[tuple([slice(0, n) for n in geometry.shape])]
    lines = zip(steps, geometry.origin, strict=True)
    return np.stack([sum(s * i for s, i in zip(row, index, strict=True)) + o for row, o in lines])


def _fields(work: Work) -> tuple[Callable[[np.ndarray], np.ndarray], ...]:
    """Return functions of places: linear and quadratic, spanning about 1 in the source."""
    corners = np.array([work.source.origin, work.source.index_to_physical(work.source.shape)])
    middle, size = corners.mean(0), np.ptp(corners, axis=0)
    scaled = [(middle[a], size[a]) for a in range(3)]
    return (
        lambda p: sum((p[a] - m) / s for a, (m, s) in enumerate(scaled)) / 3,
        lambda p: sum((1 + a / 2) * ((p[a] - m) / s) ** 2 for a, (m, s) in enumerate(scaled)),
    )


class Truth:
    """What the values of a kind of work ought to be."""

    def __init__(self, work: Work, data: np.ndarray, moved: np.ndarray | None) -> None:
        points = _world(work.target)
        if moved is not None:
            points += np.moveaxis(moved, -1, 0)
        back = index_matrix(work.source, work.target) @ np.linalg.inv(_affine(work.target))
        margin = 12 if work.how in ("cubic", "lanczos") else 1
        self.well = np.ones(work.target.shape, dtype=bool)
        for row, n in zip(back[:3], work.source.shape, strict=True):
            index = sum(row[a] * points[a] for a in range(3)) + row[3]
            self.well &= (index >= margin) & (index <= n - 1 - margin)
        self.work, self.moved = work, moved
        self.nearest = work.how == "nearest"
        self.itk = self._run("SimpleITK", data.astype(float))[self.well]
        self.span = float(np.ptp(data))
        places = _world(work.source)
        self.fields = [
            (field(places), field(points)[self.well]) for field in _fields(work)
        ]  # fmt: skip

    def _run(self, name: str, data: np.ndarray) -> np.ndarray:
        work = self.work
        return np.array(RIVALS[name](data, work.source, work.target, work.how, self.moved)())

    def cells(self, name: str, found: np.ndarray) -> list[str]:
        off = np.abs(found[self.well] - self.itk)
        cells = [f"{(off > 0).mean():.0e}" if self.nearest else f"{off.max() / self.span:.0e}"]
        for values, expected in self.fields:
            cells.append(f"{np.abs(self._run(name, values)[self.well] - expected).max():.0e}")
        return cells


def _affine(geometry: Geometry) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.direction * geometry.spacing
    matrix[:3, 3] = geometry.origin
    return matrix


# --- in memory ----------------------------------------------------------------------------


def _rows(name: str, work: Work, rounds: int, against: list[str]) -> Iterator[list[str]]:
    """Give a line for each contender at one kind of work."""
    data = noise(work.source.shape)
    moved = displacements(work.target) if work.bent else None
    tasks, reasons = {}, {}
    for who, make in RIVALS.items():
        if who not in against:
            continue
        try:
            tasks[who] = make(data, work.source, work.target, work.how, moved)
            tasks[who]()
        except ModuleNotFoundError as error:
            reasons[who] = f"{error.name} is not installed"
        except NotDone as error:
            reasons[who] = str(error)
    best = dict.fromkeys(tasks, (np.inf, np.inf))
    for _ in range(rounds):
        for who, run in tasks.items():
            (wall, cpu), known = _best(run, 1), best[who]
            best[who] = min(wall, known[0]), min(cpu, known[1])
    truth = Truth(work, data, moved)
    first = best["spatial_duck"]
    for who in against:
        label = f"{name}: {who}" if who != "spatial_duck" else name
        if who in reasons:
            if who in ("SimpleITK", "scipy.ndimage") or "installed" in reasons[who]:
                yield [label, "not run:", reasons[who], "", "", "", "", "", ""]
            continue
        wall, cpu = best[who]
        ratios = ["", ""] if who == "spatial_duck" else [
            f"{wall / first[0]:.1f}", f"{cpu / first[1]:.1f}"]  # fmt: skip
        wanted = f"{work.wanted}" if who == "SimpleITK" and work.wanted else ""
        found = np.array(tasks[who]())
        yield [label, f"{wall:.3f}", f"{cpu:.3f}", *ratios, wanted, *truth.cells(who, found)]


def in_memory(quick: bool, rounds: int, only: str, against: list[str]) -> None:
    """Print the table of volumes in memory."""
    works = {name: work for name, work in _works(quick).items() if only in name}
    shapes = {"×".join(map(str, w.source.shape)) for w in works.values() if w.how != "lanczos"}
    small = ["×".join(map(str, w.source.shape)) for w in works.values() if w.how == "lanczos"]
    against = [who for who in RIVALS if who == "spatial_duck" or who in against]
    rows = [row for name, work in works.items() for row in _rows(name, work, rounds, against)]
    title = f"{', '.join(shapes)} float32 (Lanczos {', '.join(small)}), {os.cpu_count()} CPUs"
    header = ["", "s", "CPU s", "×", "× CPU", "wanted", "from ITK", "linear", "quadratic"]
    print(render(title, header, rows))
    print("GPU, affine linear and cubic against cupyx and torch: not run: no GPU")


def _own_times(quick: bool, rounds: int, only: str) -> dict[str, tuple[float, float]]:
    """Return the seconds and CPU seconds that each kind of work takes this checkout."""
    times = {}
    for name, work in _works(quick).items():
        if only not in name:
            continue
        moved = displacements(work.target) if work.bent else None
        run = RIVALS["spatial_duck"](
            noise(work.source.shape), work.source, work.target, work.how, moved
        )
        begin = time.perf_counter()
        while time.perf_counter() < begin + _WARM_UP:
            run()
        times[name] = _best(run, rounds)
    return times


def _best(run: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Return the least seconds and CPU seconds of some rounds."""
    seconds, cpu_seconds = [], []
    for _ in range(rounds):
        begin, cpu = time.perf_counter(), time.process_time()
        run()
        cpu_seconds.append(time.process_time() - cpu)
        seconds.append(time.perf_counter() - begin)
    return min(seconds), min(cpu_seconds)


def beside(other: Path, quick: bool, rounds: int, only: str) -> None:
    """Print what this checkout and another take, the best of three processes each."""
    here = Path(__file__).resolve().parent.parent
    options = ["--own", f"--rounds={rounds}", f"--only={only}", *["--quick"][: int(quick)]]
    best: dict[str, dict[Path, list[float]]] = {}
    for _ in range(3):
        for root in (other.resolve(), here):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", __file__, *options], cwd=root, check=True,
                env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            for name, pair in json.loads(done.stdout).items():
                known = best.setdefault(name, {})
                known[root] = list(map(min, pair, known.get(root, pair)))
    rows = []
    for name, times in best.items():
        ratio = times[here][1] / times[other.resolve()][1]
        cells = [f"{value:.3f}" for pair in times.values() for value in pair]
        rows.append([name, *cells, f"{ratio:.2f}"])
    header = ["", f"{other.name}: s", "CPU s", "this checkout: s", "CPU s", "× CPU"]
    print(render("The best of three processes each", header, rows))
    print(environment(["numpy", "numba"]))


class Resample:
    """asv suite: seconds for each kind of work."""

    params = (list(WORKS), ["spatial_duck", "SimpleITK"])
    param_names = ("work", "by")
    number, repeat, warmup_time, timeout = 1, 3, 0.5, 600

    def setup(self, name: str, by: str) -> None:
        work = WORKS[name]
        moved = displacements(work.target) if work.bent else None
        data = noise(work.source.shape)
        self.run = RIVALS[by](data, work.source, work.target, work.how, moved)
        self.run()

    def time_resample(self, name: str, by: str) -> None:
        self.run()


def main() -> None:
    """Print the tables."""
    parts = ("memory", "store", "layouts", "start")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=parts, default=parts)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="kinds of work in memory with this in the name")
    parser.add_argument("--against", nargs="+", choices=list(RIVALS), default=list(RIVALS))
    parser.add_argument("--scales", type=int, nargs="+", default=[1])
    parser.add_argument("--types", nargs="+", default=["u1", "u2", "f4"], help="of the layouts")
    parser.add_argument("--beside", type=Path, help="the folder of another checkout")
    parser.add_argument("--own", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--orders", nargs="+", choices="CF", default=["C", "F"])
    parser.add_argument("--shape", type=int, nargs=3, default=[512, 768, 768])
    parser.add_argument("--layouts", nargs="+", default=[], help="those with this in the name")
    parser.add_argument("--ways", nargs="+", help="of writing the layouts, after the copy")
    given = parser.parse_args()
    if given.own:
        print(json.dumps(_own_times(given.quick, given.rounds, given.only)))
        return
    if given.beside:
        beside(given.beside, given.quick, given.rounds, given.only)
        return
    if "memory" in given.part:
        in_memory(given.quick, given.rounds, given.only, given.against)
    if {"store", "layouts", "start"} & set(given.part):
        from benchmarks import _resample_store

        if "store" in given.part:
            _resample_store.stores(given.quick, given.scales)
        if "layouts" in given.part:
            shape = (128, 256, 256) if given.quick else tuple(given.shape)
            ways = ["copy", *given.ways] if given.ways else _resample_store.WAYS
            _resample_store.layouts(shape, given.layouts, given.types, given.orders, ways)
        if "start" in given.part:
            _resample_store.starts(given.quick)
    packages = ("numpy", "numba", "scipy", "SimpleITK", "nibabel", "torch", "torchio", "monai")
    print(environment([*packages, "dask", "dask-image", "zarr"]))


if __name__ == "__main__":
    main()
