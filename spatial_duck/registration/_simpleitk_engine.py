"""The engine of registration that is taken by default: SimpleITK's registration framework.

Levels are made by us (bins whose values lie where the geometry says) and given to SimpleITK one
after the other. What makes answers exact to a small part of a voxel (measured on real images, each
against leaving it out):

- gradients of the images as they are interpolated: SimpleITK's default, those of the image smoothed
  by its coarsest spacing, are of another function than the metric;
- voxels of the fixed image that are jittered a little, and both images smoothed by half a voxel:
  grids that lie on each other would draw the answer to whole voxels;
- cubic interpolation at the finest level;
- coordinates in which the image has its centre at 0 and radius 1, so that a radian moves voxels
  as far as a unit of length does, which regular steps take for granted. They end at 1/10000 voxel;
- a look around at the end: where a small step away is better, or steps crept along a valley of the
  metric until they were used up, the search goes on along conjugate directions (Powell's method).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.io._itk_transforms import (
    image_to_itk,
    simpleitk,
    transform_from_itk,
    transform_to_itk,
)
from spatial_duck.registration._common import (
    compose,
    engine_error,
    intensity_scale,
)
from spatial_duck.registration._engine import Engine
from spatial_duck.registration._metric import NEARBY, histogram_bins, voxel_size
from spatial_duck.registration._outcome import LevelLog, Outcome
from spatial_duck.registration._similarity_check import MIN_DIFFERENCE
from spatial_duck.transforms import Affine, BSpline, Composite

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry
    from spatial_duck.registration._outcome import RegistrationJob

    Floats = NDArray[np.float64]

__all__ = ["ENGINE", "SimpleITKEngine"]

#: Standard deviation of the smoothing, in voxels of the coarser image.
_SMOOTHING = 0.5
#: A search ends when its steps are shorter than this part of a voxel.
_SHORTEST = 1e-4
#: How often the search goes on from where a look around the answer found better.
_AGAIN = 2
#: Larger levels are interpolated linearly.
_CUBIC = 1 << 22

_METRICS: dict[str, Callable[[Any, int], None]] = {
    "mattes": lambda method, bins: method.SetMetricAsMattesMutualInformation(bins),
    "mean_squares": lambda method, _: method.SetMetricAsMeanSquares(),
    "correlation": lambda method, _: method.SetMetricAsCorrelation(),
}

#: Names of SimpleITK's classes over two and over three axes.
_CLASSES = {
    "translation": ("TranslationTransform", "TranslationTransform"),
    "rigid": ("Euler2DTransform", "Euler3DTransform"),
    "similarity": ("Similarity2DTransform", "Similarity3DTransform"),
    "affine": ("AffineTransform", "AffineTransform"),
}


class SimpleITKEngine(Engine):
    """All models, by SimpleITK."""

    name = "simpleitk"
    models = (*Engine.models, "bspline")

    def ready(self) -> None:
        """Raise an ImportError if SimpleITK is not installed."""
        simpleitk("Registration")

    def run(self, job: RegistrationJob) -> Outcome:
        """Optimise.

        Raises
        ------
        RegistrationError
            If SimpleITK gives up, with its reason.
        """
        sitk = simpleitk("Registration")
        unit = _unit(job)
        model = _model(sitk, job)
        searches = [_Search(sitk, job, number, unit) for number in range(len(job.levels))]
        log = [search.optimise(model) for search in searches]
        finest = searches[-1]
        before, after = finest.value(_model(sitk, job)), finest.value(model)
        better = None
        if job.model != "bspline":
            for _ in range(_AGAIN):
                better, there = finest.best_nearby(model)
                if (
                    better >= after - 0.5 * MIN_DIFFERENCE * abs(before - after)
                    and log[-1].converged
                ):
                    break
                if better < after:
                    model.SetParameters(there)
                log.append(finest.optimise(model, polish=True))
                after = finest.value(model)
            else:
                better, _ = finest.best_nearby(model)
        found = transform_from_itk(model, job.start.world)
        if isinstance(found, BSpline):
            # Beyond the last voxels too, so that every voxel of the full image lies on the field.
            found = found.field(job.levels[-1].fixed.geometry.pad(1))
        elif isinstance(found, Affine):
            back = np.linalg.inv(unit.matrix)
            matrix = back @ found.matrix @ unit.matrix
            matrix[-1] = found.matrix[-1]
            found = Affine(matrix, found.world)
        scale = finest.intensity_scale.metric
        return Outcome(
            compose(found, job.start), tuple(log), scale * before, scale * after,
            None if better is None else scale * better,
        )  # fmt: skip


ENGINE = SimpleITKEngine()


def _unit(job: RegistrationJob) -> Affine:
    """Return the map to coordinates in which the fixed image has radius 1, about its centre."""
    world = job.start.world
    n = len(world.axes)
    matrix = np.eye(n + 1)
    if job.model != "bspline":  # all of its parameters are lengths
        radius = float(np.sqrt((np.diff(job.levels[-1].fixed.bounds, axis=0) ** 2).sum() / 12))
        matrix[:n, :n] /= radius
        matrix[:n, n] = -job.centre / radius
    return Affine(matrix, world)


def _model(sitk: Any, job: RegistrationJob) -> Any:
    """Return the model's transform, which moves nothing yet, about a centre of 0."""
    n = len(job.start.world.axes)
    if job.model == "bspline":
        domain = job.levels[-1].fixed.geometry.pad(1)
        image = image_to_itk(np.zeros(domain.shape, np.uint8), domain)
        return sitk.BSplineTransformInitializer(image, job.mesh[::-1], 3)
    name = _CLASSES[job.model][n - 2]
    made = getattr(sitk, name)
    return made(n) if name in ("TranslationTransform", "AffineTransform") else made()


class _Search:
    """SimpleITK's framework with the images of one level."""

    def __init__(self, sitk: Any, job: RegistrationJob, number: int, unit: Affine) -> None:
        self.sitk, self.job, self.number, self.unit = sitk, job, number, unit
        self.level = level = job.levels[number]
        self.factor = float(unit.matrix[0, 0])
        self.voxel = self.factor * voxel_size(level)
        self.start = transform_to_itk(Composite(unit.inverse(), job.start, unit))
        self.intensity_scale = intensity_scale(level, job.metric)
        self.pair = tuple(
            [
                self._smooth(self._image(self.intensity_scale.scaled(i.data), i.geometry))
                for i in (level.fixed, level.moving)
            ]
        )

    def _image(self, data: Any, geometry: Geometry) -> Any:
        image = image_to_itk(data, geometry)
        image.SetSpacing([self.factor * step for step in image.GetSpacing()])
        image.SetOrigin(self.unit(image.GetOrigin()).tolist())
        return image

    def _smooth(self, image: Any) -> Any:
        for axis, n in enumerate(image.GetSize()):
            if n >= 4:  # the recursive filter needs as many
                image = self.sitk.RecursiveGaussian(image, _SMOOTHING * self.voxel, direction=axis)
        return self.sitk.Cast(image, self.sitk.sitkFloat32)

    def _method(self) -> Any:
        """Return the framework's object, with everything but the model's transform."""
        sitk, job, level = self.sitk, self.job, self.level
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(job.threads)
        inside = self.intensity_scale.n_voxels
        _METRICS[job.metric](method, histogram_bins(inside))
        for mask, give in (
            (level.fixed_mask, method.SetMetricFixedMask),
            (level.moving_mask, method.SetMetricMovingMask),
        ):
            if mask is not None:
                give(self._image(mask.data, mask.geometry))
        # SimpleITK takes a seed of 0 for the time of day. "Regular" with all voxels jitters each.
        if job.samples is not None and job.samples < inside:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(job.samples / inside, job.seed + 1)
        else:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(1.0, job.seed + 1)
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        cubic = (
            job.model != "bspline"
            and self.number == len(job.levels) - 1
            and level.moving.size <= _CUBIC
            and min(level.moving.shape) >= 4
        )
        method.SetInterpolator(sitk.sitkBSpline if cubic else sitk.sitkLinear)
        method.SetMovingInitialTransform(self.start)
        return method

    def _give_optimiser(self, method: Any, model: Any, polish: bool) -> None:
        iterations = self.job.iterations
        if self.job.model == "bspline":
            method.SetOptimizerAsLBFGSB(
                gradientConvergenceTolerance=1e-5,
                numberOfIterations=iterations,
                maximumNumberOfFunctionEvaluations=20 * iterations,
                costFunctionConvergenceFactor=1e7,
            )
        elif polish:
            shifts = _shift_per_unit(model, self.unit(self.level.fixed.bounds))
            method.SetOptimizerScales(shifts.tolist())
            method.SetOptimizerAsPowell(
                numberOfIterations=iterations,
                maximumLineIterations=100,
                stepLength=NEARBY * self.voxel,
                stepTolerance=_SHORTEST * self.voxel,
                valueTolerance=1e-7,
            )
        else:
            method.SetOptimizerScalesFromPhysicalShift()
            method.SetOptimizerAsRegularStepGradientDescent(
                learningRate=self.voxel,
                minStep=_SHORTEST * self.voxel,
                numberOfIterations=iterations,
                relaxationFactor=0.5,
                gradientMagnitudeTolerance=1e-12,
            )

    def optimise(self, model: Any, *, polish: bool = False) -> LevelLog:
        """Search from where the model's transform is, and leave it at the answer."""
        job, method = self.job, self._method()
        self._give_optimiser(method, model, polish)
        values: list[float] = []
        failed: list[BaseException] = []
        scale = self.intensity_scale.metric

        def note() -> None:
            values.append(scale * method.GetMetricValue())
            if job.progress is not None and not failed:
                try:
                    job.progress(self.number, len(values), values[-1])
                except BaseException as error:  # raised again once SimpleITK has stopped
                    failed.append(error)
                    method.StopRegistration()

        method.AddCommand(self.sitk.sitkIterationEvent, note)
        method.SetInitialTransform(model, True)
        try:
            method.Execute(*self.pair)
        except RuntimeError as error:
            if not failed:
                raise self._gave_up(error) from error
        if failed:
            raise failed[0]
        image = self.level.fixed
        return LevelLog(
            job.model, tuple(image.spacing.tolist()), image.shape, tuple(values),
            method.GetOptimizerStopConditionDescription(), len(values) < job.iterations,
        )  # fmt: skip

    def value(self, model: Any) -> float:
        """Return the metric with a transform, over the same voxels each time."""
        method = self._method()
        method.SetInitialTransform(model)
        try:
            return float(method.MetricEvaluate(*self.pair))
        except RuntimeError as error:
            raise self._gave_up(error) from error

    def best_nearby(self, model: Any) -> tuple[float, tuple[float, ...]]:
        """Return the least metric a small step away along any parameter, and where that is."""
        here = model.GetParameters()
        shifts = _shift_per_unit(model, self.unit(self.level.fixed.bounds))
        found: list[tuple[float, tuple[float, ...]]] = []
        for number, shift in enumerate(shifts.tolist()):
            for sign in (-1, 1):
                there = list(here)
                there[number] += sign * NEARBY * self.voxel / shift
                moved = self.sitk.Transform(model)  # shares nothing once it is changed
                moved.SetParameters(there)
                with suppress(RegistrationError):  # so far away that nothing overlaps
                    found.append((self.value(moved), tuple(there)))
        return min(found, default=(np.inf, here))

    def _gave_up(self, error: RuntimeError) -> RegistrationError:
        return engine_error("SimpleITK", str(error), f" at level {self.number}")


def _shift_per_unit(model: Any, bounds: Floats) -> Floats:
    """Return how far one unit of each parameter moves the corners of a box, as a root mean square.

    Parameters
    ----------
    model : SimpleITK.Transform
        At any place.
    bounds : ndarray of float, shape (2, n_world)
        Bounds of the box.
    """
    corners = [list(c) for c in np.stack(np.meshgrid(*bounds.T), -1).reshape(-1, bounds.shape[1])]
    here, step = list(model.GetParameters()), 1e-4
    at = np.array([model.TransformPoint(c) for c in corners])
    shifts = []
    try:
        for number in range(len(here)):
            there = list(here)
            there[number] += step
            model.SetParameters(there)
            moved = np.array([model.TransformPoint(c) for c in corners]) - at
            shifts.append(np.sqrt((moved**2).sum(1).mean()) / step)
    finally:
        model.SetParameters(here)
    return np.array(shifts)
