"""The engine of registration that is always there: SimpleITK's registration framework.

Levels are made by us (bins whose values lie where the geometry says) and given to SimpleITK one
after the other, so that it neither smooths nor shrinks. Linear models go down the gradient in
regular steps, scaled so that a step moves voxels by no more than its length in space; B-splines by
L-BFGS-B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.registration.itk import (
    image_to_itk,
    simpleitk,
    transform_from_itk,
    transform_to_itk,
)
from spatial_duck.registration.job import LevelReport, Outcome
from spatial_duck.transforms import Affine, Composite

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.array import SpatialArray
    from spatial_duck.registration.job import Job, Level
    from spatial_duck.transforms import Transform

__all__ = ["run"]

#: Bins of the joint histogram.
_BINS = 50
#: A search ends, too, when so many iterations change the metric by less than this part of all that
#: was gained.
_WINDOW, _LITTLE = 40, 2e-4
#: A search ends when its steps are shorter than this part of a voxel.
_SHORTEST = 1e-3

_METRICS: dict[str, Callable[[Any], None]] = {
    "mattes": lambda method: method.SetMetricAsMattesMutualInformation(_BINS),
    "mean_squares": lambda method: method.SetMetricAsMeanSquares(),
    "correlation": lambda method: method.SetMetricAsCorrelation(),
}

#: Names of SimpleITK's classes over two and over three axes.
_CLASSES = {
    "translation": ("TranslationTransform", "TranslationTransform"),
    "rigid": ("Euler2DTransform", "Euler3DTransform"),
    "similarity": ("Similarity2DTransform", "Similarity3DTransform"),
    "affine": ("AffineTransform", "AffineTransform"),
}


def run(job: Job) -> Outcome:
    """Optimise.

    Raises
    ------
    RegistrationError
        If SimpleITK gives up, with its reason.
    """
    sitk = simpleitk("Registration")
    model = _model(sitk, job)
    start = transform_to_itk(job.start)
    reports = []
    for number, level in enumerate(job.levels):
        pair = _pair(level)
        method = _method(sitk, job, level, start)
        reports.append(_optimise(sitk, job, number, method, pair, model))
    before, after = [
        _value(sitk, job, pair, start, transform) for transform in (_model(sitk, job), model)
    ]
    found = transform_from_itk(model, job.start.world)
    if job.model == "bspline":
        # Beyond the last voxels too, so that every voxel of the full image lies on the field.
        found = found.field(job.levels[-1].fixed.geometry.pad(1))  # type: ignore[attr-defined]
    return Outcome(_joined(found, job.start), tuple(reports), before, after)


def _joined(first: Transform, then: Transform) -> Transform:
    if isinstance(first, Affine) and isinstance(then, Affine):
        return Affine(then.matrix @ first.matrix, then.world)
    if isinstance(then, Affine) and np.array_equal(then.matrix, np.eye(len(then.matrix))):
        return first
    return Composite(first, then)


def _model(sitk: Any, job: Job) -> Any:
    """Return the model's transform, which moves nothing yet."""
    n = len(job.start.world.axes)
    if job.model == "bspline":
        domain = job.levels[-1].fixed.geometry.pad(1)
        image = image_to_itk(np.zeros(domain.shape, np.uint8), domain)
        return sitk.BSplineTransformInitializer(image, job.mesh[::-1], 3)
    name = _CLASSES[job.model][n - 2]
    made = getattr(sitk, name)
    transform = made(n) if name in ("TranslationTransform", "AffineTransform") else made()
    if job.model != "translation":
        transform.SetCenter(job.centre.tolist())
    return transform


def _pair(level: Level) -> tuple[Any, Any]:
    fixed, moving = level.fixed, level.moving
    return image_to_itk(fixed.data, fixed.geometry), image_to_itk(moving.data, moving.geometry)


def _method(sitk: Any, job: Job, level: Level, start: Any) -> Any:
    """Return the framework's object for a level, with everything but the model's transform."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(job.threads)
    _METRICS[job.metric](method)
    if level.fixed_mask is not None:
        method.SetMetricFixedMask(image_to_itk(level.fixed_mask.data, level.fixed_mask.geometry))
    if level.moving_mask is not None:
        method.SetMetricMovingMask(image_to_itk(level.moving_mask.data, level.moving_mask.geometry))
    inside = _count(level.fixed, level.fixed_mask)
    if job.samples is not None and job.samples < inside:
        method.SetMetricSamplingStrategy(method.RANDOM)
        # SimpleITK takes a seed of 0 for the time of day.
        method.SetMetricSamplingPercentage(job.samples / inside, job.seed + 1)
    if min(level.moving.shape) < 4:  # too short for its recursive filter
        method.MetricUseMovingImageGradientFilterOff()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetMovingInitialTransform(start)
    method.SetShrinkFactorsPerLevel([1])
    method.SetSmoothingSigmasPerLevel([0])
    if job.model == "bspline":
        method.SetOptimizerAsLBFGSB(
            gradientConvergenceTolerance=1e-5,
            numberOfIterations=job.iterations,
            maximumNumberOfFunctionEvaluations=20 * job.iterations,
            costFunctionConvergenceFactor=1e7,
        )
    else:
        step = float(min(level.fixed.spacing.min(), level.moving.spacing.min()))
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetOptimizerAsRegularStepGradientDescent(
            learningRate=step,
            minStep=_SHORTEST * step,
            numberOfIterations=job.iterations,
            relaxationFactor=0.8,
            gradientMagnitudeTolerance=1e-12,
        )
    return method


def _count(image: SpatialArray, mask: SpatialArray | None) -> int:
    return int(image.size if mask is None else np.count_nonzero(mask.data))


def _optimise(
    sitk: Any, job: Job, number: int, method: Any, pair: tuple[Any, Any], model: Any
) -> LevelReport:
    values: list[float] = []
    failed: list[BaseException] = []

    def note() -> None:
        values.append(method.GetMetricValue())
        if _at_rest(values):
            method.StopRegistration()
        if job.progress is not None and not failed:
            try:
                job.progress(number, len(values), values[-1])
            except BaseException as error:  # raised again once SimpleITK has stopped
                failed.append(error)
                method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, note)
    method.SetInitialTransform(model, True)
    try:
        method.Execute(*pair)
    except RuntimeError as error:
        if not failed:
            raise _gave_up(number, error) from error
    if failed:
        raise failed[0]
    level = job.levels[number].fixed
    return LevelReport(
        tuple(level.spacing.tolist()), level.shape, tuple(values),
        method.GetOptimizerStopConditionDescription(),
        len(values) < job.iterations or _at_rest(values),
    )  # fmt: skip


def _at_rest(values: list[float]) -> bool:
    last = values[-_WINDOW:]
    gained = max(values) - min(values)
    return len(values) > _WINDOW and max(last) - min(last) < _LITTLE * gained


def _value(sitk: Any, job: Job, pair: tuple[Any, Any], start: Any, transform: Any) -> float:
    """Return the metric at the finest level."""
    method = _method(sitk, job, job.levels[-1], start)
    method.SetInitialTransform(transform)
    try:
        return float(method.MetricEvaluate(*pair))
    except RuntimeError as error:
        raise _gave_up(len(job.levels) - 1, error) from error


def _gave_up(number: int, error: RuntimeError) -> RegistrationError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[-1] if lines else "no reason given"
    return RegistrationError(
        f"registration failed at level {number}: SimpleITK says {reason!r}; start closer with "
        "initial=, or take a coarser level with at="
    )
