"""Patches for training, beside TorchIO's Queue and MONAI's datasets on the same volumes.

Volumes and labels are in uncompressed files: NIfTI for the others, an OME-Zarr store in chunks of
64³ for `sd.patches`. Each library runs in a fresh process, without workers, after a small epoch
that loads and compiles what it needs, and is left out if it is not installed. Measured are the
processor time of each pair of patches in the second epoch; the peak memory of the process; and the
bytes that the first epoch read (as Linux counts them) divided by the size of all files, for patches
that together need all of them. Finally, many patches are cut from stores, to show any memory leak.
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

import spatial_duck as sd
from benchmarks._memory import PeakMemory, own
from benchmarks._table import environment, render

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
SHAPE, SPACING, SIZE, CASES = (160, 192, 192), (2.0, 1.0, 1.0), 64, 4
KINDS = ("random", "turned", "grid")
TURN = 10.0


def make(folder: Path, cases: int, shape: tuple[int, ...]) -> None:
    """Write images and labels, in both formats."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for k in range(cases):
        values = rng.standard_normal(shape, np.float32)
        coarse = rng.integers(0, 4, [n // 16 for n in shape], np.uint8)
        label = coarse.repeat(16, 0).repeat(16, 1).repeat(16, 2)
        for name, data in (("image", values), ("label", label)):
            image = sd.SpatialArray(data, spacing=SPACING, frame="LPS", unit="mm")
            sd.write(folder / f"{name}{k}.nii", image)
            sd.write(folder / f"{name}{k}.ome.zarr", image, chunks=64, levels=1)


def cases_in(folder: Path, ending: str) -> list[tuple[Path, Path]]:
    count = len(list(folder.glob(f"image*{ending}")))
    return [(folder / f"image{k}{ending}", folder / f"label{k}{ending}") for k in range(count)]


# --- contenders: each returns an epoch of pairs of patches --------------------------------


def stored(folder: Path, kind: str, count: int) -> Callable[[], Iterator[Any]]:
    cases = cases_in(folder, ".ome.zarr")
    return lambda: iter(sd.patches(cases, SIZE, **_options(kind, count)))


def in_memory(folder: Path, kind: str, count: int) -> Callable[[], Iterator[Any]]:
    cases = [tuple([sd.read(p, lazy=False) for p in pair]) for pair in cases_in(folder, ".nii")]
    return lambda: iter(sd.patches(cases, SIZE, **_options(kind, count)))


def _options(kind: str, count: int) -> dict[str, Any]:
    if kind == "grid":
        return {"overlap": 0.0}
    return {"count": count, "augment": {"rotation": TURN, "scale": 0} if kind == "turned" else None}


def torchio(folder: Path, kind: str, count: int) -> Callable[[], Iterator[Any]]:
    import torchio as tio

    subjects = [
        tio.Subject(image=tio.ScalarImage(image), label=tio.LabelMap(label))
        for image, label in cases_in(folder, ".nii")
    ]
    if kind == "grid":
        return lambda: (p for s in subjects for p in tio.GridSampler(_loaded(s), SIZE))
    turn = tio.RandomAffine(scales=0, degrees=TURN) if kind == "turned" else None
    dataset = tio.SubjectsDataset(subjects, transform=turn)
    from torch.utils.data import DataLoader

    def epoch() -> Iterator[Any]:
        queue = tio.Queue(
            dataset, len(subjects) * count, count, tio.UniformSampler(SIZE), num_workers=0
        )
        return iter(DataLoader(queue, batch_size=None))

    return epoch


def _loaded(subject: Any) -> Any:
    subject.load()
    return subject


def monai(folder: Path, kind: str, count: int) -> Callable[[], Iterator[Any]]:
    from monai import data as md
    from monai import transforms as mt

    keys = ["image", "label"]
    files = [dict(zip(keys, map(str, pair), strict=True)) for pair in cases_in(folder, ".nii")]
    steps: list[Any] = [mt.LoadImaged(keys), mt.EnsureChannelFirstd(keys)]
    if kind == "grid":
        cached = md.CacheDataset(files, mt.Compose(steps), progress=False)
        cut = md.PatchIterd(keys, patch_size=(SIZE,) * 3)
        return lambda: (part for part, _ in md.GridPatchDataset(cached, cut, with_coordinates=True))
    steps.append(mt.RandSpatialCropSamplesd(keys, (SIZE,) * 3, count, random_size=False))
    if kind == "turned":
        steps.append(
            mt.RandAffined(keys, prob=1, rotate_range=(np.deg2rad(TURN),) * 3,
                           mode=("bilinear", "nearest"))
        )  # fmt: skip
    cached = md.CacheDataset(files, mt.Compose(steps), progress=False)
    return lambda: (part for case in cached for part in case)


WHO: dict[str, tuple[str, Callable[[Path, str, int], Callable[[], Iterator[Any]]]]] = {
    "sd.patches, stores": ("spatial_duck", stored),
    "sd.patches, in memory": ("spatial_duck", in_memory),
    "TorchIO": ("torchio", torchio),
    "MONAI, cached": ("monai", monai),
}


# --- measuring ----------------------------------------------------------------------------


def bytes_read() -> int:
    """Return how many bytes this process has asked files for."""
    line = Path("/proc/self/io").read_text("ascii").splitlines()[0]
    return int(line.split()[1])


def measure(who: str, kind: str, count: int, folder: Path) -> None:
    """Run one contender in this process and print what each patch took."""
    for _ in WHO[who][1](folder.parent / "small", kind, 2)():
        pass
    with PeakMemory() as memory:
        before = bytes_read()
        epoch = WHO[who][1](folder, kind, count)
        for _ in epoch():
            pass
        read = bytes_read() - before
        began, number = time.process_time(), 0
        for _ in epoch():
            number += 1
        seconds = time.process_time() - began
    files = folder.glob("*.ome.zarr/0/**/*" if who.endswith("stores") else "*.nii")
    size = sum(file.stat().st_size for file in files if file.is_file())
    print(json.dumps([1000 * seconds / number, memory.bytes / 1e6, read / size]))


def run(*arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_patches", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def long_run(count: int, folder: Path) -> None:
    """Cut many patches from stores, and print what is held on the way."""
    found = []
    for number, _ in enumerate(stored(folder, "random", -(-count // CASES))(), 1):
        if number in (count // 10, count // 2, count):
            found.append(own() / 1e6)
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--long", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, default=25, help="patches of each case in an epoch")
    parser.add_argument("--many", type=int, default=10_000, help="patches of the long run")
    args = parser.parse_args()
    if args.run:
        measure(args.run[0], args.run[1], args.count, Path(args.run[2]))
        return
    if args.long:
        long_run(int(args.long[0]), Path(args.long[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "whole"
        make(folder, CASES, SHAPE)
        make(Path(name) / "small", 1, (SIZE,) * 3)
        rows = []
        for kind in KINDS:
            for who, (package, _) in WHO.items():
                if not importlib.util.find_spec(package):
                    continue
                each, memory, read = run(
                    "--run", who, kind, str(folder), "--count", str(args.count)
                )
                rows.append([kind, who, f"{each:.1f}", f"{memory:.0f}", f"{read:.2f}"])
        held = run("--long", str(args.many), str(folder))
    title = f"{CASES} pairs of {SHAPE} voxels, float32 and uint8; patches of {SIZE}³"
    header = ["", "", "processor time for a pair, ms", "peak memory, MB more", "read ÷ files"]
    print(render(title, header, rows))
    print(f"held after {args.many // 10:,}, {args.many // 2:,} and {args.many:,} pairs from "
          f"stores: {', '.join(f'{h:.0f}' for h in held)} MB")  # fmt: skip
    print(environment(["numpy", "numba", "torch", "torchio", "monai", "zarr"]))


if __name__ == "__main__":
    main()
