"""elastix as an engine of registration, through itk-elastix.

One run over elastix's own smoothing pyramid of the finest level, halved as often as there are
levels. Regular steps are taken, and for a B-spline those of a quasi-Newton method, rather than
elastix's stochastic ones: they stop by themselves, which says whether the search came to rest. Its
messages stay out of the console; the metric of each iteration is read from what it writes, so that
`progress` hears of it when the search is over. With `samples` the metric is taken at random points
between the voxels: elastix's random voxels are the same ones whatever the seed (itk-elastix 0.25).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.bspline import BSpline
from spatial_duck.errors import RegistrationError, missing_extra
from spatial_duck.geometry import Geometry
from spatial_duck.registration.common import (
    check_job,
    curved,
    given_up,
    numbers,
    outcome,
    reported,
)
from spatial_duck.registration.job import LevelLog
from spatial_duck.registration.measure import histogram_bins

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.registration.common import Numbers, Side
    from spatial_duck.registration.job import Job, Outcome

    Floats = NDArray[np.float64]

__all__ = ["ready", "run"]

#: elastix's names.
_TRANSFORMS = {
    "translation": "TranslationTransform",
    "rigid": "EulerTransform",
    "similarity": "SimilarityTransform",
    "affine": "AffineTransform",
    "bspline": "BSplineTransform",
}
_METRICS = {
    "mattes": "AdvancedMattesMutualInformation",
    "mean_squares": "AdvancedMeanSquares",
    "correlation": "AdvancedNormalizedCorrelation",
}
#: Longest and shortest steps, in voxels of the finest level.
_STEPS = ("1", "1e-4")


def ready() -> None:
    """Raise an ImportError if itk-elastix is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _itk()


def run(job: Job) -> Outcome:
    """Optimise.

    Raises
    ------
    RegistrationError
        If elastix gives up, with its reason, or cannot take the images or the start.
    """
    check_job(job, "elastix")
    given = numbers(job)
    # ITK's modules load on use, and their types are deprecated: as an error that ends the process.
    with warnings.catch_warnings(), TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        method = _method(_itk(), job, given, folder)
        try:
            method.Update()
        except RuntimeError as error:
            raise given_up("elastix", str(error)) from error
        log = reported(job, _log(job, given, Path(folder)))
        if job.model == "bspline":
            return curved(job, given, _spline(method, given), log)
        transform = method.GetCombinationTransform()

    def moved(points: Floats) -> Floats:
        return np.array([list(transform.TransformPoint(p)) for p in points.tolist()])

    return outcome(job, given, moved, log)


def _spline(method: Any, given: Numbers) -> BSpline:
    """Return the B-spline that was found, in the engine's coordinates.

    elastix has all coefficients along x first, then those along y and z, on a grid whose size,
    place and axes are x first.
    """
    found = method.GetTransformParameterObject().GetParameterMap(0)

    def numbers_of(name: str) -> Floats:
        return np.array([float(word) for word in found[name]])

    size = numbers_of("GridSize").astype(int)[::-1].tolist()
    world = given.unit.world
    direction = numbers_of("GridDirection").reshape(len(size), -1).T  # column by column
    if any(numbers_of("GridIndex")):
        raise RegistrationError("registration failed: elastix's grid does not begin at 0")
    names = [f"i{axis}" for axis in range(len(size))]
    grid = Geometry(
        size, numbers_of("GridSpacing")[::-1].tolist(), numbers_of("GridOrigin").tolist(),
        direction[:, ::-1], names, sampled=names, world=world,
    )  # fmt: skip
    return BSpline(numbers_of("TransformParameters").reshape(len(size), *size), grid)


def _itk() -> Any:
    try:
        import itk

        _ = itk.ElastixRegistrationMethod
    except (ImportError, AttributeError):
        raise missing_extra("itk-elastix", "elastix", "Registration by elastix") from None
    return itk


def _image(itk: Any, data: NDArray[Any], side: Side) -> Any:
    image = itk.image_from_array(data)
    image.SetSpacing(side.spacing[::-1].tolist())
    image.SetOrigin(side.origin.tolist())
    image.SetDirection(itk.matrix_from_array(np.ascontiguousarray(side.direction[:, ::-1])))
    return image


def _method(itk: Any, job: Job, given: Numbers, folder: str) -> Any:
    """Return elastix's object, ready to run."""
    fixed, moving = [_image(itk, side.data, side) for side in (given.fixed, given.moving)]
    method = itk.ElastixRegistrationMethod[type(fixed), type(moving)].New(
        FixedImage=fixed, MovingImage=moving
    )
    for side, give in (
        (given.fixed, method.SetFixedMask), (given.moving, method.SetMovingMask)
    ):  # fmt: skip
        if side.mask is not None:
            give(_image(itk, side.mask, side))
    parameters = itk.ParameterObject.New()
    parameters.AddParameterMap(_parameters(job, given))
    method.SetParameterObject(parameters)
    method.SetNumberOfThreads(job.threads)
    method.SetLogToConsole(False)
    method.SetLogToFile(True)
    method.SetLogFileName("elastix.log")
    method.SetOutputDirectory(f"{folder}/")
    return method


def _parameters(job: Job, given: Numbers) -> dict[str, list[str]]:
    n, count = len(job.centre), len(job.levels)
    factors = [str(2 ** (count - 1 - k)) for k in range(count) for _ in range(n)]
    some = job.samples is not None and job.samples < given.inside
    found = {
        "Registration": "MultiResolutionRegistration",
        "NumberOfResolutions": count,
        "FixedImagePyramid": "FixedSmoothingImagePyramid",
        "MovingImagePyramid": "MovingSmoothingImagePyramid",
        "Transform": _TRANSFORMS[job.model],
        "Metric": _METRICS[job.metric],
        "NumberOfHistogramBins": histogram_bins(given.inside),
        "FixedKernelBSplineOrder": 3,
        "Optimizer": "RegularStepGradientDescent",
        "MaximumStepLength": _STEPS[0],
        "MinimumStepLength": _STEPS[1],
        "MinimumGradientMagnitude": "1e-12",
        "MaximumNumberOfIterations": job.iterations,
        "AutomaticScalesEstimation": "true",
        "AutomaticTransformInitialization": "false",
        "HowToCombineTransforms": "Compose",
        "ImageSampler": "RandomCoordinate" if some else "Full",
        "NewSamplesEveryIteration": "false",
        "RandomSeed": job.seed + 1,
        "ErodeMask": "false",
        "Interpolator": "BSplineInterpolator",
        "Resampler": "DefaultResampler",
        "ResampleInterpolator": "FinalBSplineInterpolator",
        "WriteResultImage": "false",
        "WriteIterationInfo": "true",
    }
    out = {name: [str(value)] for name, value in found.items()}
    if some:
        out["NumberOfSpatialSamples"] = [str(job.samples)]
    if job.model == "bspline":
        level, side = job.levels[-1], given.fixed
        extents = (np.array(level.fixed.shape) + 1) * side.spacing
        out["Optimizer"] = ["QuasiNewtonLBFGS"]
        out["FinalGridSpacingInPhysicalUnits"] = [
            str(step) for step in (extents / job.mesh)[::-1].tolist()
        ]
    out["BSplineInterpolationOrder"] = ["1"] * (count - 1) + ["3"]
    out["CenterOfRotationPoint"] = ["0"] * n
    out["FixedImagePyramidSchedule"] = out["MovingImagePyramidSchedule"] = factors
    return out


def _log(job: Job, given: Numbers, folder: Path) -> tuple[LevelLog, ...]:
    said = (folder / "elastix.log").read_text(errors="replace")
    reasons = re.findall(r"Stopping condition: (.*)", said)
    out = []
    for number, level in enumerate(job.levels):
        head, *table = (folder / f"IterationInfo.0.R{number}.txt").read_text().splitlines()
        column = head.split().index("2:Metric")
        values = tuple(
            [given.scale * float(line.split()[column]) for line in table if line.strip()]
        )
        if number >= len(reasons) or not values:
            raise RegistrationError(f"registration failed: elastix ended in level {number}")
        image = level.fixed
        out.append(LevelLog(
            job.model, tuple(image.spacing.tolist()), image.shape, values,
            reasons[number].strip(), len(values) < job.iterations,
        ))  # fmt: skip
    return tuple(out)
