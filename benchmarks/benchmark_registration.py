"""Registration end to end, beside SimpleITK and ANTs called directly on the full images.

All find a rigid motion that is known, of real images where they are there, and of waves. Each
run is a fresh process with one thread, and takes the images from Zarr arrays on disk: what is
measured is its processor time and the most memory that it ever held above what the imports need.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import spatial_duck as sd
from benchmarks._memory import peak
from benchmarks._table import environment, render

ROOT = Path(__file__).resolve().parent.parent
SIDE = 192
#: Files of real images, which are moved as a whole: their voxels stay what they are.
REAL = {
    "brain": "nrrd/brain1_image.nrrd",
    "lung": "metaimage/3DCT_lung_result.mha",
    "anatomy": "nifti/someones_anatomy.nii.gz",
}
WHO = {
    "register, at 4 mm": lambda pair: ours(pair, 4.0),
    "SimpleITK, full image": lambda pair: directly(pair),
    "ANTs, full image": lambda pair: by_ants(pair),
}
#: What each contender needs.
PACKAGES = {"ANTs, full image": "ants"}


def truth(grid: sd.Geometry) -> sd.Affine:
    import SimpleITK as sitk

    euler = sitk.Euler3DTransform(grid.center.tolist(), 0.05, -0.08, 0.12, (5.0, -7.0, 4.0))
    return sd.from_simpleitk(euler)


def make(folder: Path, pair: str) -> None:
    """Write the fixed and the moving image, a slab at a time."""
    if pair in REAL:
        fixed = sd.read(data_folder() / REAL[pair])
        fixed = fixed.to_frame("LPS") if fixed.frame else fixed
        motion = truth(fixed.geometry)
        turned = motion.matrix[:3, :3] @ fixed.direction
        moving = fixed.replace(origin=motion(fixed.origin).tolist(), direction=turned)[1:, 2:, 3:]
        sd.write(folder / "fixed.ome.zarr", fixed, oblique="keep")
        sd.write(folder / "moving.ome.zarr", moving, oblique="keep")
        return
    world = sd.World("xyz", "mm", "LPS")
    grid = sd.Geometry((SIDE,) * 3, (1.0,) * 3, (-90.0, -90.0, -90.0), world=world)
    rng = np.random.default_rng(0)
    waves, phases = rng.normal(0, 0.09, (12, 3)), rng.uniform(0, 7, 12)
    for name, back in (("fixed", None), ("moving", truth(grid).inverse())):
        values = np.empty(grid.shape, np.float32)
        for z in range(SIDE):
            index = np.moveaxis(np.indices((1, SIDE, SIDE)), 0, -1) + [z, 0, 0]
            points = grid.index_to_physical(index)
            points = (points if back is None else back(points)) - grid.center
            plane = np.full(points.shape[:-1], 300.0)
            for wave, phase in zip(waves, phases, strict=True):
                plane += 40 * np.cos(points @ wave + phase)
            values[z] = (plane * np.exp(-(((points / 75) ** 2).sum(-1) ** 2)))[0]
        sd.write(folder / f"{name}.ome.zarr", sd.SpatialArray(values, grid))


def data_folder() -> Path:
    return Path(os.environ.get("SPATIAL_DUCK_DATA", ROOT.parent / "shared" / "data"))


def pair_in(folder: Path) -> list[Any]:
    return [sd.read(folder / f"{name}.ome.zarr") for name in ("fixed", "moving")]


def ours(folder: Path, at: float) -> Any:
    import dask

    with dask.config.set(scheduler="synchronous"):
        return sd.register(*pair_in(folder), "rigid", at=at)


def directly(folder: Path) -> Any:
    """Do what a user of SimpleITK writes: its own pyramid down to the full image."""
    import SimpleITK as sitk

    images = [
        sitk.Cast(sd.to_simpleitk(image.to("numpy")), sitk.sitkFloat32) for image in pair_in(folder)
    ]
    start = sitk.CenteredTransformInitializer(
        *images, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, True)
    method.Execute(*images)
    return sd.from_simpleitk(start)


def by_ants(folder: Path) -> Any:
    """Do what a user of ANTsPy writes: a rigid registration, with its defaults."""
    import ants

    images = [sd.to_ants(image.to("numpy").astype("float32")) for image in pair_in(folder)]
    prefix = str(folder / "ants_")
    found = ants.registration(*images, "Rigid", outprefix=prefix, random_seed=1)
    return sd.Transform.read(found["fwdtransforms"][0])


def measure(who: str, folder: Path) -> None:
    """Run one contender in this process and print what it took."""
    import dask.array
    import SimpleITK as sitk
    import zarr

    assert dask.array.Array, zarr.Array  # imported, so that it does not count
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed = pair_in(folder)[0]
    fixed[:1].to("numpy")  # what reading loads at its first use
    before, began = peak(), time.process_time()
    found = WHO[who](folder)
    seconds, memory = time.process_time() - began, peak() - before
    wanted = truth(fixed.geometry)
    values = fixed.to("numpy").data
    inside = np.argwhere(values > np.median(values))
    points = fixed.index_to_physical(inside[:: max(1, len(inside) // 5000)])
    lps = sd.World(("x", "y", "z"), "mm", "LPS")
    points = points[:, [fixed.world.axes.index(axis) for axis in lps.axes]]
    error = np.linalg.norm(found.to_world(lps)(points) - wanted(points), axis=1)
    print(json.dumps([seconds, memory / 1e6, error.mean(), error.max()]))


def run(who: str, folder: Path) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.benchmark_registration", "--who", who, str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", choices=WHO)
    parser.add_argument("--pairs", nargs="*", choices=("waves", *REAL), default=["waves", *REAL])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("folder", nargs="?", type=Path)
    args = parser.parse_args()
    if args.who:
        measure(args.who, args.folder)
        return
    rows = []
    there = {who: run for who, run in WHO.items()
             if who not in PACKAGES or importlib.util.find_spec(PACKAGES[who])}  # fmt: skip
    for pair in args.pairs:
        if pair in REAL and not data_folder().is_dir():
            continue
        with tempfile.TemporaryDirectory() as name:
            make(Path(name), pair)
            found: dict[str, list[list[float]]] = {who: [] for who in there}
            for _ in range(args.rounds):
                for who, runs in found.items():
                    runs.append(run(who, Path(name)))
        for who, runs in found.items():
            seconds, memory, mean, most = np.array(runs).min(axis=0)
            rows.append(
                [pair, who, f"{seconds:.1f}", f"{memory:.0f}", f"{mean:.3f}", f"{most:.3f}"]
            )
    header = ["image", "", "processor time, s", "peak memory, MB more", "mean error, mm",
              "largest, mm"]  # fmt: skip
    print(
        render("A rigid motion that is known, one thread, best of interleaved runs", header, rows)
    )
    print(environment(["numpy", "SimpleITK", "antspyx"]))


if __name__ == "__main__":
    main()
