"""nnU-Net's resampling, beside nnU-Net's own.

Each library runs in a fresh process on an array that is mapped from a file, after a small call that
loads and compiles what it needs. Measured are its processor time, and its peak memory above its
start, without the mapped file (on Linux). ``--classes``, ``--side`` and ``--type`` choose the
logits, ``--what`` and ``--who`` the cases. nnU-Net is left out if it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._memory import PeakMemory
from benchmarks._table import environment, render

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
OLD, NEW = (96, 192, 192), (144, 264, 264)
ONE = (1.0, 1.0, 1.0)
CASES = ("cubic", "linear", "labels", "logits")


# --- what is resampled --------------------------------------------------------------------


def make(path: Path, what: str, classes: int, side: int, kind: str) -> None:
    """Write the array of a case, a class at a time."""
    rng = np.random.default_rng(0)
    if what == "labels":
        noise = rng.normal(size=(8, *[n // 16 for n in OLD]))
        coarse = noise.argmax(0).astype(np.int8)
        np.save(path, coarse.repeat(16, 0).repeat(16, 1).repeat(16, 2)[None])
        return
    shape = (classes, side, side, side) if what == "logits" else (1, *OLD)
    dtype = kind if what == "logits" else "float32"
    out = np.lib.format.open_memmap(path, "w+", dtype, shape)
    for part in out:
        part[...] = rng.standard_normal(shape[1:], np.float32)
    out.flush()


def ours(what: str, data: Any) -> Callable[[], Any]:
    from spatial_duck import learning

    if what == "logits":
        return lambda: learning.resample_logits_to_labels(data, new_shape(what, data), ONE, ONE)
    return lambda: learning.resample_data_or_seg_to_shape(
        data, new_shape(what, data), ONE, ONE, *options(what)
    )


def nnunet(what: str, data: Any) -> Callable[[], Any]:
    from nnunetv2.preprocessing.resampling import default_resampling as theirs

    def work() -> Any:
        found = theirs.resample_data_or_seg_to_shape(
            data, new_shape(what, data), ONE, ONE, *options(what)
        )
        return found.argmax(0) if what == "logits" else found

    return work


def new_shape(what: str, data: Any) -> tuple[int, ...]:
    old = data.shape[1:]
    if what == "logits":
        return tuple([n * 4 // 3 for n in old])
    return tuple([n * b // a for n, a, b in zip(old, OLD, NEW, strict=True)])


def options(what: str) -> tuple[bool, int]:
    return what == "labels", 3 if what == "cubic" else 1


WHO = {"spatial_duck": ours, "nnunetv2": nnunet}


# --- measuring ----------------------------------------------------------------------------


def measure(who: str, what: str, path: str) -> None:
    """Run one contender in this process and print what it took."""
    data = np.load(path, mmap_mode="r")
    WHO[who](what, data[:2, :16, :16, :16])()
    work = WHO[who](what, data)
    with PeakMemory() as memory:
        began = time.process_time()
        work()
        seconds = time.process_time() - began
    print(json.dumps([seconds, memory.bytes]))


def run(who: str, what: str, path: Path) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_learning", "--run", who, what,
         str(path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, metavar=("WHO", "WHAT", "PATH"), help=argparse.SUPPRESS)
    parser.add_argument("--who", choices=WHO, nargs="*", default=list(WHO))
    parser.add_argument("--what", choices=CASES, nargs="*", default=list(CASES))
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--type", choices=("float16", "float32"), default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.run:
        measure(*args.run)
        return
    there = [who for who in args.who if importlib.util.find_spec(who)]
    rows = []
    for what in args.what:
        found: dict[str, list[tuple[float, float]]] = {who: [] for who in there}
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "given.npy"
            make(path, what, args.classes, args.side, args.type)
            for _ in range(args.rounds):
                for who, runs in found.items():
                    runs.append(run(who, what, path))
        best = {who: np.array(runs).min(axis=0) for who, runs in found.items()}
        for who, (seconds, memory) in best.items():
            ratio = best[who] / best[there[0]]
            rows.append(
                [what, who, f"{seconds:.2f}", f"{ratio[0]:.1f}", f"{memory / 1e6:.0f}",
                 f"{ratio[1]:.1f}"]
            )  # fmt: skip
    title = (
        f"{OLD} to {NEW} voxels; logits ({args.type}) of {args.classes} classes of {args.side}³ to "
        "4/3 of that along each axis, linear, and the largest taken"
    )
    header = ["", "", "processor time, s", "× first", "peak memory, MB more", "× first"]
    print(render(title, header, rows))
    print(environment(["numpy", "numba", "scipy", "scikit-image", "nnunetv2"]))


if __name__ == "__main__":
    main()
