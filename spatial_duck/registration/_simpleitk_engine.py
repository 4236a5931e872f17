"""The engine of registration that is taken by default: SimpleITK's registration framework.

Levels are made by us (bins whose values lie where the geometry says) and given to SimpleITK one
after the other. What makes answers exact to a small part of a voxel (measured on real images, each
against leaving it out):

- gradients of the images as they are interpolated: SimpleITK's default, those of the image smoothed
  by its coarsest spacing, are of another function than the metric;
- voxels of the fixed image that are jittered a little, and both images smoothed by half a voxel:
  grids that lie on each other would draw the answer to whole voxels;
- cubic interpolation at the end: at the finest level the search goes on from where it has come by
  linear interpolation, which takes a fifth of the time;
- coordinates in which the image has its centre at 0 and radius 1, so that a radian moves voxels
  as far as a unit of length does, which regular steps take for granted. They begin at a voxel, or
  at a part of one where the search goes on from another, and end at 1/10000 voxel; at 1/100 where
  another goes on;
- a look around at the end: where a small step away is better, or steps crept along a valley of the
  metric until they were used up, the search goes on along conjugate directions (Powell's method).

For B-splines ITK's metrics take the derivative of each voxel by all coefficients, of which all but
64 for each axis are 0: the time of an iteration grows with voxels times coefficients. So the
first level has few control points, each further one twice as many along each axis, and begins with
what was found; and the voxels are as many as that product allows, but two for each coefficient.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager, suppress
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
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry
    from spatial_duck.registration._outcome import RegistrationJob

    Floats = NDArray[np.float64]

__all__ = ["ENGINE", "SimpleITKEngine"]

#: Standard deviation of the smoothing, in voxels of the coarser image.
_SMOOTHING = 0.5
#: Steps of a search begin with this part of a voxel: at the coarsest level, at others, and where
#: cubic interpolation goes on from linear one.
_FIRST, _FIRST_OF_FINER, _FIRST_OF_CUBIC = 1.0, 0.25, 0.05
#: A search ends when its steps are shorter than this part of a voxel: the last, and others.
_SHORTEST, _SHORTEST_BEFORE = 1e-4, 1e-2
#: Voxels are picked at random where there are more than so many times the samples: other levels are
#: searched by the same voxels as the look around takes.
_FEW = 2
#: How often the search goes on from where a look around the answer found better.
_AGAIN = 2
#: For B-splines: the product of samples and coefficients that an iteration may take, and the least
#: number of samples for each coefficient all the same.
_PRODUCT, _PER_COEFFICIENT = 1 << 23, 2
#: A search for B-splines ends when an iteration gains less than this, of images that are scaled to
#: deviation 1. Correlation is 1 at most, and mean squares end near 0.
_LEAST_GAINS = {"mattes": 3e-3, "correlation": 3e-4, "mean_squares": 3e-5}
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
        with _threads(sitk, job.threads):
            return self._run(sitk, job)

    def _run(self, sitk: Any, job: RegistrationJob) -> Outcome:
        unit = _unit(job)
        model = _model(sitk, job, unit)
        searches = [_Search(sitk, job, number, unit) for number in range(len(job.levels))]
        log = []
        for search in searches:
            if job.model == "bspline":
                model = _refined(sitk, model, _mesh(job, search.number))
            log.append(search.optimise(model))
        finest = searches[-1]
        before, after = finest.value(_model(sitk, job, unit)), finest.value(model)
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
            grid, length = found.geometry, 1 / float(unit.matrix[0, 0])
            found = BSpline(
                length * found.coefficients,
                grid.replace(spacing=length * grid.spacing, origin=unit.inverse()(grid.origin)),
            ).field(job.levels[-1].fixed.geometry.pad(1))
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


_guard = threading.Lock()
#: Threads of the registrations that run now, and of the process before the first of them.
_running: list[int] = []
_before = 1


@contextmanager
def _threads(sitk: Any, count: int) -> Iterator[None]:
    """Let ITK take so many threads.

    Parts of its mutual information take as many as the process may, whatever the method's number
    is, and sum in another order each time. Of registrations at the same time the least counts.
    """
    global _before
    process = sitk.ProcessObject
    with _guard:
        if not _running:
            _before = process.GetGlobalDefaultNumberOfThreads()
        _running.append(count)
        process.SetGlobalDefaultNumberOfThreads(min(_running))
    try:
        yield
    finally:
        with _guard:
            _running.remove(count)
            process.SetGlobalDefaultNumberOfThreads(min(_running, default=_before))


def _unit(job: RegistrationJob) -> Affine:
    """Return the map to coordinates in which the fixed image has radius 1, about its centre.

    All parameters of a B-spline are lengths, and the first step of its search is 1 long: there the
    unit is so long that this step moves each coefficient by half a voxel.
    """
    world, level = job.start.world, job.levels[-1]
    n = len(world.axes)
    if job.model == "bspline":
        coefficients = n * math.prod([m + 3 for m in job.mesh])
        length = 0.5 * voxel_size(level) * math.sqrt(coefficients)
    else:
        length = float(np.sqrt((np.diff(level.fixed.bounds, axis=0) ** 2).sum() / 12))
    matrix = np.eye(n + 1)
    matrix[:n, :n] /= length
    matrix[:n, n] = -job.centre / length
    return Affine(matrix, world)


def _unit_image(data: Any, geometry: Geometry, unit: Affine) -> Any:
    """Return SimpleITK's image in the coordinates of `_unit`."""
    image = image_to_itk(data, geometry)
    image.SetSpacing([float(unit.matrix[0, 0]) * step for step in image.GetSpacing()])
    image.SetOrigin(unit(image.GetOrigin()).tolist())
    return image


def _model(sitk: Any, job: RegistrationJob, unit: Affine) -> Any:
    """Return the model's transform, which moves nothing yet, about a centre of 0."""
    n = len(job.start.world.axes)
    if job.model == "bspline":
        domain = job.levels[-1].fixed.geometry.pad(1)
        image = _unit_image(np.zeros(domain.shape, np.uint8), domain, unit)
        return sitk.BSplineTransformInitializer(image, _mesh(job, 0)[::-1], 3)
    name = _CLASSES[job.model][n - 2]
    made = getattr(sitk, name)
    return made(n) if name in ("TranslationTransform", "AffineTransform") else made()


def _mesh(job: RegistrationJob, number: int) -> tuple[int, ...]:
    """Return the number of control intervals along each array axis at a level."""
    part = 2 ** (len(job.levels) - 1 - number)
    return tuple([math.ceil(m / part) for m in job.mesh])


def _refined(sitk: Any, model: Any, new: tuple[int, ...]) -> Any:
    """Return the B-spline of so many control intervals that is nearest to another one.

    Both cover the same box, so that the nearest one is found along each axis for itself; it is the
    same function where there are twice as many control intervals.
    """
    old = model.GetTransformDomainMeshSize()[::-1]
    if new == old:
        return model
    n = len(new)
    values = np.reshape(model.GetParameters(), (n, *[m + 3 for m in old]))
    for axis, (m, k) in enumerate(zip(old, new, strict=True), 1):
        places = np.linspace(0, 1, 4 * max(m, k) + 1)
        change = np.linalg.lstsq(_splines(k, places), _splines(m, places), rcond=None)[0]
        values = np.moveaxis(np.tensordot(change, values, (1, axis)), 0, axis)
    out = sitk.BSplineTransform(n, 3)
    out.SetTransformDomainOrigin(model.GetTransformDomainOrigin())
    out.SetTransformDomainPhysicalDimensions(model.GetTransformDomainPhysicalDimensions())
    out.SetTransformDomainDirection(model.GetTransformDomainDirection())
    out.SetTransformDomainMeshSize(new[::-1])
    out.SetParameters(values.ravel().tolist())
    return out


def _splines(intervals: int, places: Floats) -> Floats:
    """Return all cubic B-splines over so many intervals of [0, 1] at places, a column for each."""
    t = np.abs(places[:, None] * intervals - np.arange(-1, intervals + 2))
    return np.where(t < 1, 2 / 3 - t**2 + t**3 / 2, np.maximum(2 - t, 0) ** 3 / 6)


class _Search:
    """SimpleITK's framework with the images of one level."""

    def __init__(self, sitk: Any, job: RegistrationJob, number: int, unit: Affine) -> None:
        self.sitk, self.job, self.number, self.unit = sitk, job, number, unit
        self.level = level = job.levels[number]
        self.voxel = float(unit.matrix[0, 0]) * voxel_size(level)
        self.cubic = (
            job.model != "bspline"
            and number == len(job.levels) - 1
            and level.moving.size <= _CUBIC
            and min(level.moving.shape) >= 4
        )
        self.start = transform_to_itk(Composite(unit.inverse(), job.start, unit))
        self.intensity_scale = intensity_scale(level, job.metric)
        self.pair = tuple(
            [
                self._smooth(_unit_image(self.intensity_scale.scaled(i.data), i.geometry, unit))
                for i in (level.fixed, level.moving)
            ]
        )

    def _smooth(self, image: Any) -> Any:
        for axis, n in enumerate(image.GetSize()):
            if n >= 4:  # the recursive filter needs as many
                image = self.sitk.RecursiveGaussian(image, _SMOOTHING * self.voxel, direction=axis)
        return self.sitk.Cast(image, self.sitk.sitkFloat32)

    def _samples(self, model: Any) -> int | None:
        """Return over how many voxels the metric is taken; None: all."""
        most, inside = self.job.samples, self.intensity_scale.n_voxels
        if most is None or most >= inside:
            return None
        if self.job.model != "bspline":
            return most if _FEW * most < inside else None
        coefficients = int(model.GetNumberOfParameters())
        return min(most, max(_PRODUCT // coefficients, _PER_COEFFICIENT * coefficients))

    def _method(self, model: Any, cubic: bool) -> Any:
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
                give(_unit_image(mask.data, mask.geometry, self.unit))
        # SimpleITK takes a seed of 0 for the time of day. "Regular" with all voxels jitters each.
        samples = self._samples(model)
        if samples is not None:
            method.SetMetricSamplingStrategy(method.RANDOM)
            method.SetMetricSamplingPercentage(samples / inside, job.seed + 1)
        else:
            method.SetMetricSamplingStrategy(method.REGULAR)
            method.SetMetricSamplingPercentage(1.0, job.seed + 1)
        method.MetricUseFixedImageGradientFilterOff()
        method.MetricUseMovingImageGradientFilterOff()
        method.SetInterpolator(sitk.sitkBSpline if cubic else sitk.sitkLinear)
        method.SetMovingInitialTransform(self.start)
        return method

    def _give_optimiser(self, method: Any, model: Any, iterations: int, stage: str) -> None:
        if self.job.model == "bspline":
            method.SetOptimizerAsLBFGSB(
                gradientConvergenceTolerance=1e-5,
                numberOfIterations=iterations,
                maximumNumberOfFunctionEvaluations=20 * iterations,
                costFunctionConvergenceFactor=_LEAST_GAINS[self.job.metric] / np.finfo(float).eps,
            )
        elif stage == "polish":
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
            first = _FIRST_OF_FINER if self.number > 0 else _FIRST
            if stage == "cubic":
                first = _FIRST_OF_CUBIC
            is_finest = self.number == len(self.job.levels) - 1
            is_last = is_finest and (stage == "cubic" or not self.cubic)
            method.SetOptimizerScalesFromPhysicalShift()
            method.SetOptimizerAsRegularStepGradientDescent(
                learningRate=first * self.voxel,
                minStep=(_SHORTEST if is_last else _SHORTEST_BEFORE) * self.voxel,
                numberOfIterations=iterations,
                relaxationFactor=0.5,
                gradientMagnitudeTolerance=1e-12,
            )

    def optimise(self, model: Any, *, polish: bool = False) -> LevelLog:
        """Search from where the model's transform is, and leave it at the answer."""
        job = self.job
        values: list[float] = []
        failed: list[BaseException] = []
        last = -1
        scale = self.intensity_scale.metric

        def note() -> None:
            nonlocal last
            iteration = method.GetOptimizerIteration()
            if job.model == "bspline" and iteration == last:
                return  # L-BFGS-B tells of each evaluation too
            last = iteration
            values.append(scale * method.GetMetricValue())
            if job.progress is not None and not failed:
                try:
                    job.progress(self.number, len(values), values[-1])
                except BaseException as error:  # raised again once SimpleITK has stopped
                    failed.append(error)
                    method.StopRegistration()

        stages = ["polish"] if polish else ["linear", "cubic"] if self.cubic else ["linear"]
        for stage in stages:
            if len(values) >= job.iterations:
                break
            method = self._method(model, self.cubic and stage != "linear")
            self._give_optimiser(method, model, job.iterations - len(values), stage)
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
        """Return the metric with a transform, over the same voxels each time.

        ``MetricEvaluate`` takes all voxels, whatever is set. Where the search takes fewer, so does
        a search of one iteration, which evaluates where it begins.
        """
        method = self._method(model, self.cubic)
        method.SetInitialTransform(self.sitk.Transform(model), True)
        try:
            if self._samples(model) is None:
                return float(method.MetricEvaluate(*self.pair))
            method.SetOptimizerAsRegularStepGradientDescent(
                learningRate=self.voxel, minStep=0.0, numberOfIterations=1
            )
            method.Execute(*self.pair)
        except RuntimeError as error:
            raise self._gave_up(error) from error
        return float(method.GetMetricValue())

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
