"""nnU-Net's resampling, beside nnU-Net's own.

Each contender runs in a fresh process: what is measured is its processor time, the second of two
runs, and the most memory that it ever held above what it began with. ``--classes`` and ``--side``
choose the size of the logits. nnU-Net is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._memory import peak
from benchmarks._table import environment, render

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
OLD, NEW = (96, 192, 192), (144, 264, 264)
ONE = (1.0, 1.0, 1.0)


def intensities() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, *OLD)).astype(np.float32)


def organs(count: int = 8) -> np.ndarray:
    """Return labels in blobs, made coarse and enlarged."""
    noise = np.random.default_rng(1).normal(size=(count, *[n // 16 for n in OLD]))
    coarse = noise.argmax(0).astype(np.int8)
    return coarse.repeat(16, 0).repeat(16, 1).repeat(16, 2)[None]


def logits(classes: int, side: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return rng.normal(size=(classes, side, side, side)).astype(np.float32)


def ours(what: str, classes: int, side: int) -> Callable[[], Any]:
    from spatial_duck import learning

    if what == "logits":
        data, new = logits(classes, side), (side * 4 // 3,) * 3
        return lambda: learning.resample_logits_to_labels(data, new, ONE, ONE)
    data, options = _given(what)
    return lambda: learning.resample_data_or_seg_to_shape(data, NEW, ONE, ONE, *options)


def nnunet(what: str, classes: int, side: int) -> Callable[[], Any]:
    from nnunetv2.preprocessing.resampling import default_resampling as theirs

    if what == "logits":
        data, new = logits(classes, side), (side * 4 // 3,) * 3
        return lambda: theirs.resample_data_or_seg_to_shape(data, new, ONE, ONE, False, 1).argmax(0)
    data, options = _given(what)
    return lambda: theirs.resample_data_or_seg_to_shape(data, NEW, ONE, ONE, *options)


def _given(what: str) -> tuple[np.ndarray, tuple[bool, int]]:
    if what == "labels":
        return organs(), (True, 1)
    return intensities(), (False, 3 if what == "cubic" else 1)


WHO = {"spatial_duck": ours, "nnunetv2": nnunet}


def measure(who: str, what: str, classes: int, side: int) -> None:
    """Run one contender in this process and print what it took."""
    work = WHO[who](what, classes, side)
    before = peak()
    work()
    memory = peak() - before
    began = time.process_time()
    work()
    print(json.dumps([time.process_time() - began, memory]))


def run(who: str, what: str, classes: int, side: int) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_learning", "--who", who,
         "--what", what, "--classes", str(classes), "--side", str(side)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return seconds, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", choices=WHO)
    parser.add_argument("--what", default="cubic")
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if args.who:
        measure(args.who, args.what, args.classes, args.side)
        return
    there = [who for who in WHO if importlib.util.find_spec(who)]
    rows = []
    for what in ("cubic", "linear", "labels", "logits"):
        found: dict[str, list[tuple[float, float]]] = {who: [] for who in there}
        for _ in range(args.rounds):
            for who, runs in found.items():
                runs.append(run(who, what, args.classes, args.side))
        best = {who: np.array(runs).min(axis=0) for who, runs in found.items()}
        for who, (seconds, memory) in best.items():
            ratio = best[who] / best["spatial_duck"]
            rows.append(
                [what, who, f"{seconds:.2f}", f"{ratio[0]:.1f}", f"{memory / 1e6:.0f}",
                 f"{ratio[1]:.1f}"]
            )  # fmt: skip
    title = (
        f"{OLD} to {NEW} voxels; logits of {args.classes} classes of {args.side}³ to 4/3 of that "
        "along each axis"
    )
    header = ["", "", "processor time, s", "× ours", "peak memory, MB more", "× ours"]
    print(render(title, header, rows))
    print(environment(["numpy", "numba", "scipy", "scikit-image", "nnunetv2"]))


if __name__ == "__main__":
    main()
