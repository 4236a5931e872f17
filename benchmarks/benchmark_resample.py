"""Resampling against SimpleITK, in one run.

``python benchmarks/benchmark_resample.py`` prints a table of ratios; asv runs the classes.
"""

from __future__ import annotations

import os
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from spatial_duck.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable

THREADS = 2
_C, _S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, _C, -_S], [0, _S, _C]]


def grid(shape: Any, spacing: Any, origin: Any = (0, 0, 0), direction: Any = None) -> Geometry:
    """Return a z, y, x grid in ITK's world."""
    direction = np.eye(3)[::-1] if direction is None else direction[::-1]
    return Geometry(shape, spacing, origin, direction, world=("x", "y", "z"))


SOURCE = grid((128, 256, 256), (2.5, 1, 1))
WORK = {
    # name: target, interpolation, how many times faster than SimpleITK it is to be
    "2.5/1/1 to 1 mm, linear": (None, "linear", 10),
    "2.5/1/1 to 1 mm, nearest": (None, "nearest", None),
    "rotation and scale, nearest": (
        grid((256, 256, 256), (1.2, 1.1, 1.1), (-70, 20, -10), TURN), "nearest", 2),
    "rotation and scale, linear": (
        grid((256, 256, 256), (1.2, 1.1, 1.1), (-70, 20, -10), TURN), "linear", 3),
    "in-plane rotation, linear": (
        grid((128, 256, 256), (2.5, 1, 1), (40, -40, 0), [[1, 0, 0], [0, _C, -_S], [0, _S, _C]]
             @ np.eye(3)), "linear", None),
    "all axes scaled, linear": (grid((300, 200, 330), (1, 1.2, 0.8)), "linear", None),
}  # fmt: skip


def volume() -> np.ndarray:
    """Return smooth noise of the size that all work starts from."""
    rng = np.random.default_rng(0)
    return rng.normal(size=SOURCE.shape).astype(np.float32)


def itk_task(data: np.ndarray, source: Geometry, target: Geometry, interpolation: str) -> Any:
    """Return a function that does the same with SimpleITK."""
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    image = sitk.GetImageFromArray(data)
    image.SetSpacing(source.spacing[::-1].tolist())
    image.SetOrigin(source.origin.tolist())
    image.SetDirection(source.direction[:, ::-1].ravel().tolist())
    task = sitk.ResampleImageFilter()
    task.SetSize(target.shape[::-1])
    task.SetOutputSpacing(target.spacing[::-1].tolist())
    task.SetOutputOrigin(target.origin.tolist())
    task.SetOutputDirection(target.direction[:, ::-1].ravel().tolist())
    codes = {"nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear}
    task.SetInterpolator(codes[interpolation])
    task.SetNumberOfThreads(THREADS)
    return lambda: task.Execute(image)


class Resample:
    """asv suite: seconds for each kind of work."""

    params = (list(WORK), ["spatial_duck", "SimpleITK"])
    param_names = ("work", "by")
    number, repeat, warmup_time = 1, 5, 0.5

    def setup(self, work: str, by: str) -> None:
        data = volume()
        target, interpolation, _ = WORK[work]
        image = sd.SpatialArray(data, SOURCE)
        if target is None:
            target = sd.resample(image, spacing=1).geometry
        if by == "SimpleITK":
            self.run: Callable[[], Any] = itk_task(data, SOURCE, target, interpolation)
        else:
            self.run = lambda: sd.resample(image, target, interpolation=interpolation)
        self.run()

    def time_resample(self, work: str, by: str) -> None:
        self.run()


def _seconds(run: Callable[[], Any], times: int = 7) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def main() -> None:
    """Print the table."""
    import SimpleITK as sitk

    data = volume()
    image = sd.SpatialArray(data, SOURCE)
    print(f"128×256×256 float32, {os.cpu_count()} CPUs, median of 7 runs after a first one")
    print(f"{'work':32}{'ours, s':>9}{'SimpleITK, s':>14}{'ratio':>8}{'wanted':>8}  difference")
    for name, (target, interpolation, wanted) in WORK.items():
        if target is None:
            target = sd.resample(image, spacing=1).geometry
        itk = itk_task(data, SOURCE, target, interpolation)
        ours = sd.resample(image, target, interpolation=interpolation)
        apart = np.abs(sitk.GetArrayFromImage(itk()) - ours.data).max() / np.ptp(data)
        del ours

        def run(target: Geometry = target, interpolation: str = interpolation) -> Any:
            return sd.resample(image, target, interpolation=interpolation)

        a, b = _seconds(run), _seconds(itk)
        print(f"{name:32}{a:9.4f}{b:14.4f}{b / a:8.1f}{wanted or '':>8}  {apart:.1e}")


if __name__ == "__main__":
    main()
