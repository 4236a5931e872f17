"""Registration end to end, beside SimpleITK and ANTs called directly on the full images.

All find a motion that is known, of real images where they are there, and of waves: a rigid one, or
(``bent``) a smooth deformation. Of the 2-D heads of two people nothing is known, and the masks of
the head and of its ventricles, which thresholds give, are compared by Dice. Each run is a fresh
process with one thread, and takes the images from Zarr arrays on disk: what is measured is its
processor time and the most memory that it ever held above what the imports need.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
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
#: Pairs between which there is more than a rigid motion: real images that were bent, and 2-D heads.
BENT = {"anatomy, bent": "anatomy", "lung, bent": "lung"}
HEADS = {"fixed": "CT_2D_head_fixed.mha", "moving": "CT_2D_head_moving.mha"}
#: How far points are moved by the deformation at most along each axis, and the length of its waves.
PUSH, WAVE = 5.0, 90.0
RIGID = {
    "register, at 4 mm": lambda pair: ours(pair, 4.0),
    "SimpleITK, full image": lambda pair: directly(pair),
    "ANTs, full image": lambda pair: by_ants(pair),
}
DEFORMABLE = {
    "nothing": lambda pair: sd.Affine(np.eye(1 + (n := pair_in(pair)[0].ndim)), lps(n)),
    "register, affine": lambda pair: ours(pair, None, "affine"),
    "register, bspline": lambda pair: ours(pair, None, "bspline"),
    "register, syn": lambda pair: ours(pair, None, "syn"),
    "SimpleITK, affine and B-splines": lambda pair: splines(pair),
    "ANTs, SyN": lambda pair: by_ants(pair, "SyN"),
}
WHO = RIGID | DEFORMABLE
#: What each contender needs.
PACKAGES = {"ANTs, full image": "ants", "ANTs, SyN": "ants", "register, syn": "ants"}


def lps(n: int) -> sd.World:
    return sd.World(("x", "y", "z")[:n], "mm", "LPS")


def bend(points: np.ndarray) -> np.ndarray:
    """Return where in the fixed image points of the bent one are from."""
    return points + PUSH * np.sin(2 * np.pi * np.roll(points, 1, axis=-1) / WAVE)


def truth(grid: sd.Geometry) -> sd.Affine:
    import SimpleITK as sitk

    euler = sitk.Euler3DTransform(grid.center.tolist(), 0.05, -0.08, 0.12, (5.0, -7.0, 4.0))
    return sd.from_simpleitk(euler)


def make(folder: Path, pair: str) -> None:
    """Write the fixed and the moving image, a slab at a time."""
    if pair == "heads":
        for name, file in HEADS.items():
            image = sd.read(data_folder() / "metaimage" / file)
            sd.write(folder / f"{name}.ome.zarr", image.astype("f4"))
        return
    if pair in BENT:
        fixed = sd.read(data_folder() / REAL[BENT[pair]])
        fixed = fixed.to_frame("LPS").to_world(("x", "y", "z")).to("numpy").astype("f4")
        points = fixed.index_to_physical(np.moveaxis(np.indices(fixed.shape), 0, -1))
        grid = fixed.geometry.expand_dims(3).repeat(3, 3)
        field = sd.DisplacementField(sd.SpatialArray(bend(points) - points, grid))
        moving = sd.resample(fixed, transform=field, interpolation="cubic", fill=fixed.data.min())
        sd.write(folder / "fixed.ome.zarr", fixed, oblique="keep")
        sd.write(folder / "moving.ome.zarr", moving, oblique="keep")
        return
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


def ours(folder: Path, at: float | None, model: str = "rigid") -> Any:
    import dask

    with dask.config.set(scheduler="synchronous"):
        engine = "ants" if model == "syn" else "simpleitk"
        return sd.register(*pair_in(folder), model, at=at, engine=engine)


def _simpleitk_pair(folder: Path) -> list[Any]:
    import SimpleITK as sitk

    return [
        sitk.Cast(sd.to_simpleitk(image.to("numpy")), sitk.sitkFloat32) for image in pair_in(folder)
    ]


def _simpleitk_method(sampled: float) -> Any:
    """Return SimpleITK's method with its own pyramid down to the full image."""
    import SimpleITK as sitk

    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(50)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampled, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([2, 1, 0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    return method


def _descend(method: Any) -> None:
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200)
    method.SetOptimizerScalesFromPhysicalShift()


def directly(folder: Path) -> Any:
    """Do what a user of SimpleITK writes for a rigid map."""
    import SimpleITK as sitk

    images = _simpleitk_pair(folder)
    start = sitk.CenteredTransformInitializer(
        *images, sitk.Euler3DTransform(), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    method = _simpleitk_method(0.1)
    _descend(method)
    method.SetInitialTransform(start, True)
    method.Execute(*images)
    return sd.from_simpleitk(start)


def splines(folder: Path) -> Any:
    """Do what a user of SimpleITK writes: an affine map, and B-splines after it."""
    import SimpleITK as sitk

    images = _simpleitk_pair(folder)
    n = images[0].GetDimension()
    affine = sitk.CenteredTransformInitializer(
        *images, sitk.AffineTransform(n), sitk.CenteredTransformInitializerFilter.GEOMETRY
    )
    mesh = [max(4, round(c * s / 50)) for c, s in
            zip(images[0].GetSize(), images[0].GetSpacing(), strict=True)]  # fmt: skip
    bent = sitk.BSplineTransformInitializer(images[0], mesh)
    for moved in (affine, bent):
        method = _simpleitk_method(0.2)
        if moved is affine:
            _descend(method)
        else:
            method.SetMovingInitialTransform(affine)
            method.SetOptimizerAsLBFGSB(1e-5, 100)
        method.SetInitialTransform(moved, True)
        method.Execute(*images)
    return sd.from_simpleitk(sitk.CompositeTransform([affine, bent]))


def by_ants(folder: Path, kind: str = "Rigid") -> Any:
    """Do what a user of ANTsPy writes, with its defaults."""
    import ants

    images = [sd.to_ants(image.to("numpy").astype("float32")) for image in pair_in(folder)]
    prefix = str(folder / "ants_")
    found = ants.registration(*images, kind, outprefix=prefix, random_seed=1)
    parts = [sd.Transform.read(path) for path in found["fwdtransforms"]]
    return parts[0] if len(parts) == 1 else sd.Composite(*parts[::-1])


def heads_and_ventricles(image: Any, bright: bool) -> list[Any]:
    """Return the mask of a head, and that of the ventricles in its middle."""
    from scipy import ndimage

    values = ndimage.gaussian_filter(image.data.astype("f8"), 1)
    head = ndimage.binary_fill_holes(values > 30)
    fluid = values > 205 if bright else values < 90
    labels, _ = ndimage.label(fluid[95:170, 100:160])
    sizes = np.bincount(labels.ravel())[1:]
    largest = np.isin(labels, 1 + np.argsort(sizes)[-2:])
    ventricles = np.zeros_like(head)
    ventricles[95:170, 100:160] = largest
    return [image.replace(head), image.replace(ventricles)]


def dice(found: Any, fixed: Any, moving: Any) -> list[float]:
    """Return Dice of the head and of the ventricles once those of the moving image are warped."""
    masks = heads_and_ventricles(fixed, False), heads_and_ventricles(moving, True)
    warped = [sd.resample(m, fixed, transform=found, interpolation="nearest") for m in masks[1]]
    return [float(sd.metrics.dice(*both)) for both in zip(masks[0], warped, strict=True)]


def bright_points(image: Any) -> Any:
    """Return positions of some thousand voxels of the brighter half."""
    inside = np.argwhere(image.data > np.median(image.data))
    return image.index_to_physical(inside[:: max(1, len(inside) // 5000)])


def distances(found: Any, fixed: Any) -> Any:
    """Return how far the voxels of the brighter half are led beside where they belong."""
    points = bright_points(fixed)
    # In the fixed image: where the point that was found in the bent one is from.
    back = bend(found.to_world(fixed.world)(points))
    kept = np.linalg.norm(points - fixed.center, axis=1) < 0.4 * fixed.shape[0] * fixed.spacing[0]
    return np.linalg.norm(back - points, axis=1)[kept]


def _processor_time() -> float:
    """Return the processor time of this process and of those that it waited for: ANTs has one."""
    return sum(os.times()[:4])


def measure(who: str, pair: str, folder: Path, limit: int) -> None:
    """Run one contender in this process and print what it took; the system ends it at the limit."""
    import dask.array
    import SimpleITK as sitk
    import zarr

    assert dask.array.Array, zarr.Array  # imported, so that it does not count
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    fixed = pair_in(folder)[0]
    fixed[:1].to("numpy")  # what reading loads at its first use
    before, began = peak(), _processor_time()
    try:
        found = WHO[who](folder)
    except sd.RegistrationError:
        if sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) >= limit:  # it was ANTs' process
            os.kill(os.getpid(), signal.SIGXCPU)
        raise
    child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    seconds, memory = _processor_time() - began, max(peak(), child) - before
    verdict = {True: "yes", False: "no", None: ""}[getattr(found, "trusted", None)]
    if pair == "heads":
        fixed, moving = (image.to("numpy") for image in pair_in(folder))
        print(json.dumps([seconds, memory / 1e6, *dice(found, fixed, moving), verdict]))
        return
    if pair in BENT:
        error = distances(found, fixed.to("numpy"))
    else:
        wanted = truth(fixed.geometry)
        points = bright_points(fixed.to("numpy"))
        points = points[:, [fixed.world.axes.index(axis) for axis in lps(3).axes]]
        error = np.linalg.norm(found.to_world(lps(3))(points) - wanted(points), axis=1)
    print(json.dumps([seconds, memory / 1e6, error.mean(), error.max(), verdict]))


def run(who: str, pair: str, folder: Path, limit: int) -> list[Any] | None:
    """Return what a contender took in a process of its own; None where that reached the limit."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.benchmark_registration", "--who", who,
         "--pairs", pair, "--limit", str(limit), "--", str(folder)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == -signal.SIGXCPU:
        return None
    if done.returncode:
        raise RuntimeError(done.stderr)
    return list(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--who", choices=WHO)
    pairs = ("waves", *REAL, *BENT, "heads")
    parser.add_argument("--pairs", nargs="*", choices=pairs, default=pairs)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--limit", type=int, default=300, help="processor time of a run, s")
    parser.add_argument("folder", nargs="?", type=Path)
    args = parser.parse_args()
    if args.who:
        measure(args.who, args.pairs[0], args.folder, args.limit)
        return
    rows = []
    for pair in args.pairs:
        if pair != "waves" and not data_folder().is_dir():
            continue
        there = [
            who for who in (DEFORMABLE if pair == "heads" or pair in BENT else RIGID)
            if who not in PACKAGES or importlib.util.find_spec(PACKAGES[who])
        ]  # fmt: skip
        with tempfile.TemporaryDirectory() as name:
            make(Path(name), pair)
            found: dict[str, list[list[Any] | None]] = {who: [] for who in there}
            for _ in range(args.rounds):
                for who, runs in found.items():
                    runs.append(run(who, pair, Path(name), args.limit))
                    print(pair, who, runs[-1] or "not ended", sep=", ", file=sys.stderr, flush=True)
        for who, every in found.items():
            runs = [r for r in every if r is not None]
            if not runs:
                rows.append([pair, who, f"not ended in {args.limit} s", "", "", "", ""])
                continue
            seconds, memory, first, second = np.array([r[:4] for r in runs], float).min(axis=0)
            rows.append([pair, who, f"{seconds:.1f}", f"{memory:.0f}", f"{first:.3f}",
                         f"{second:.3f}", runs[0][4]])  # fmt: skip
    header = ["image", "", "processor time, s", "peak memory, MB more", "mean error, mm",
              "largest, mm", "trusted"]  # fmt: skip
    print(render("A motion that is known, one thread, best of interleaved runs; of heads Dice of "
                 "the head and of the ventricles", header, rows))  # fmt: skip
    print(environment(["numpy", "SimpleITK", "antspyx"]))


if __name__ == "__main__":
    main()
