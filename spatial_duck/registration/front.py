"""`register`: what the user says, turned into a job for an engine, and its answer judged."""

from __future__ import annotations

import time
import warnings
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.registration.job import Job, RegistrationReport
from spatial_duck.registration.levels import check_image, common_world, level_spacings, make_levels
from spatial_duck.transforms import Affine, Transform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.multiscale import Pyramid
    from spatial_duck.registration.job import Level, Outcome, Progress
    from spatial_duck.world import World

    Floats = NDArray[np.float64]

__all__ = ["ENGINES", "METRICS", "MODELS", "register"]

#: Transform models, and how many iterations each may take at a level.
MODELS = MappingProxyType(
    {"translation": 300, "rigid": 300, "similarity": 300, "affine": 300, "bspline": 100}
)
#: Metrics, and what they are good for.
METRICS = MappingProxyType(
    {
        "mattes": "mutual information (Mattes et al. 2001): images of different kinds",
        "mean_squares": "mean squared difference: same kind, same scale of values",
        "correlation": "normalised correlation: values alike but for scale and offset",
    }
)
#: Engines, and the modules that have their ``run``.
ENGINES = MappingProxyType({"simpleitk": "spatial_duck.registration.simpleitk_engine"})

_STARTS = ("geometry", "moments", "world")
#: An answer with less of the fixed image on the moving one is none.
_LEAST_OVERLAP = 0.01
#: Of this many voxels the overlap is found.
_PROBES = 20000


def register(
    fixed: SpatialArray | Pyramid,
    moving: SpatialArray | Pyramid,
    model: str = "rigid",
    *,
    metric: str = "mattes",
    fixed_mask: SpatialArray | None = None,
    moving_mask: SpatialArray | None = None,
    at: float | Sequence[float] | None = None,
    memory: int = 1 << 28,
    levels: int = 3,
    initial: str | Transform = "geometry",
    control_spacing: float | None = None,
    samples: int | None = 200_000,
    iterations: int | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: bool | Progress | None = None,
    engine: str = "simpleitk",
) -> Transform:
    """Find the transform that brings one image onto another.

    Only a coarse level of the images comes into memory: voxels are binned by their mean, where the
    image lies, whatever it lies on. The transform is applied to the full image by
    ``resample(moving, fixed, transform=transform)``, lazily where the image is lazy.

    Parameters
    ----------
    fixed, moving : SpatialArray or Pyramid
        Images with two or three axes, all of space; a 2-D slice of a volume may be the fixed one.
        On NumPy, Dask, Zarr or CuPy. Frames, units and orders of axes may differ, and are
        converted. Of a `Pyramid` the coarsest level is read that is fine enough.
    model : {"rigid", "translation", "similarity", "affine", "bspline"}
        What the transform may do. "bspline" gives a `DisplacementField` on the grid of the level;
        unless `initial` is a transform it first finds an affine one.
    metric : {"mattes", "mean_squares", "correlation"}
        What is minimised; see `METRICS`.
    fixed_mask, moving_mask : SpatialArray, optional
        Voxels where it is not 0 take part. On any grid. Voxels that are NaN never take part.
    at : float or sequence of float, optional
        Spacing of the finest level that is used, in the unit of the fixed image: one number, or
        one for each axis of the fixed image. Voxels are binned while they stay as fine. By default
        the finest for which both images fit into `memory`.
    memory : int, optional
        Bytes that both images may take at the finest level that is used, where `at` does not say.
    levels : int, optional
        How many levels are used at most, each half as fine as the next. Those with fewer than 16
        voxels along the longest axis are left out.
    initial : {"geometry", "moments", "world"} or Transform, optional
        Where to start: the centres of the images, or the centres of mass of their values (less the
        lowest), on each other; the images where they lie in the world; or a transform from points
        of the fixed image to points of the moving one.
    control_spacing : float, optional
        Distance between control points of a B-spline, in the unit of the fixed image; by default an
        eighth of its longest extent.
    samples : int or None, optional
        Over how many voxels, picked at random, the metric is taken at each level. None: all.
    iterations : int, optional
        At each level, at most; by default 300, and 100 for "bspline".
    seed : int, optional
        Of the random voxels, 0 or more.
    threads : int, optional
        With 1 the answer is the same to the bit each time; more are faster and sum in any order.
    progress : bool or callable, optional
        True writes a line for each level to stderr; a callable gets (level, iteration, metric).
        What it raises stops the registration.
    engine : {"simpleitk"}, optional
        What optimises.

    Returns
    -------
    Transform
        From points of the fixed image to points of the moving one, in the world of the fixed
        image. Its ``report`` (`RegistrationReport`) has the metric of each iteration at each
        level, and whether the search came to rest; copies of the transform leave it behind.

    Raises
    ------
    RegistrationError
        If the images do not overlap at the start or the end, one has nothing in it to align, the
        engine gives up, or the metric got worse.
    FrameError
        If only one of the images has a frame.

    Warns
    -----
    UserWarning
        If the iterations were used up at the finest level: ``report.converged`` is False.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> y, x = np.mgrid[:64, :64]
    >>> blob = np.exp(-((y - 30) ** 2 / 90 + (x - 34) ** 2 / 60))
    >>> fixed = sd.SpatialArray(blob, spacing=(1, 1), unit="mm")
    >>> moved = fixed.replace(origin=(2.5, -1.5))
    >>> shift = sd.register(fixed, moved, "translation", metric="mean_squares", initial="world")
    >>> shift([10.0, 10.0]).round(2)
    array([12.5,  8.5])
    """
    began = time.perf_counter()
    for name, value, known in (
        ("model", model, MODELS), ("metric", metric, METRICS), ("engine", engine, ENGINES)
    ):  # fmt: skip
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    for name, number, least in (
        ("levels", levels, 1), ("seed", seed, 0), ("threads", threads, 1),
        ("samples", samples, 1), ("iterations", iterations, 1), ("memory", memory, 1),
    ):  # fmt: skip
        if number is not None and (number != int(number) or number < least):
            raise ValueError(f"{name} must be a whole number of {least} or more, got {number!r}")
    if not isinstance(initial, Transform) and initial not in _STARTS:
        raise ValueError(f"initial must be a Transform or one of {_STARTS}, got {initial!r}")
    if control_spacing is not None and not 0 < control_spacing < np.inf:
        raise ValueError(f"control_spacing must be positive and finite, got {control_spacing!r}")
    for image, name in ((fixed, "fixed"), (moving, "moving")):
        check_image(image, name)
    world = common_world(fixed, moving)
    spacings = level_spacings(fixed, moving, at, memory, levels, world)
    made = make_levels(fixed, moving, fixed_mask, moving_mask, spacings, world)
    start = _start(initial, made[-1], world)
    stages: list[RegistrationReport] = []
    options: dict[str, Any] = {
        "levels": made, "metric": metric, "samples": samples, "seed": int(seed),
        "threads": int(threads), "progress": _reporter(progress),
        "centre": _centre(made[-1].fixed), "mesh": _mesh(made[-1].fixed, control_spacing),
    }  # fmt: skip
    if model == "bspline" and not isinstance(initial, Transform):
        job = Job(**options, model="affine", start=start, iterations=MODELS["affine"])
        start, report = _run(job, engine, began)
        stages.append(report)
        began = time.perf_counter()
    job = Job(**options, model=model, start=start, iterations=iterations or MODELS[model])
    transform, report = _run(job, engine, began, tuple(stages))
    transform.report = report
    if not report.converged:
        warnings.warn(
            f"registration used up its {job.iterations} iterations before it came to rest; give "
            "iterations= more, or start closer with initial=. The metric went from "
            f"{report.before:.6g} to {report.after:.6g} (transform.report has the log)",
            stacklevel=2,
        )
    return transform


def _run(
    job: Job, engine: str, began: float, stages: tuple[RegistrationReport, ...] = ()
) -> tuple[Transform, RegistrationReport]:
    """Run a job, and refuse an answer that is none."""
    finest = job.levels[-1]
    _check_contrast(finest)
    _check_overlap(job.start, finest, "at the start")
    outcome: Outcome = import_module(ENGINES[engine]).run(job)
    overlap = _check_overlap(outcome.transform, finest, "at the end")
    if not np.isfinite(outcome.after):
        raise RegistrationError(f"registration failed: the metric is {outcome.after} at the end")
    if outcome.after > outcome.before and _largest_move(job, outcome.transform) > 0.1:
        raise RegistrationError(
            f"registration failed: the metric got worse, from {outcome.before:.6g} to "
            f"{outcome.after:.6g}; start closer with initial=, or take another metric or level"
        )
    if isinstance(outcome.transform, Affine):
        if np.linalg.det(outcome.transform.matrix[:-1, :-1]) * np.linalg.det(_linear(job)) <= 0:
            raise RegistrationError("registration failed: the transform turns the image inside out")
    report = RegistrationReport(
        job.model, job.metric, engine, outcome.levels, outcome.before, outcome.after, overlap,
        time.perf_counter() - began, stages,
    )  # fmt: skip
    return outcome.transform, report


def _linear(job: Job) -> Floats:
    n = len(job.start.world.axes)
    return job.start.matrix[:n, :n] if isinstance(job.start, Affine) else np.eye(n)


def _start(initial: str | Transform, level: Level, world: World) -> Transform:
    n = len(world.axes)
    if isinstance(initial, Transform):
        moved = initial.to_world(world)
        _ = moved.parts  # raises where the answer could not be applied
        return moved
    matrix = np.eye(n + 1)
    if initial == "geometry":
        matrix[:n, n] = level.moving.center - level.fixed.center
    elif initial == "moments":
        matrix[:n, n] = _mass(level.moving, level.moving_mask, "moving") - _mass(
            level.fixed, level.fixed_mask, "fixed"
        )
    return Affine(matrix, world)


def _mass(image: SpatialArray, mask: SpatialArray | None, name: str) -> Floats:
    """Return the world position of the centre of mass of the values, less the lowest."""
    values = image.data.astype(np.float64)
    inside = np.ones(values.shape, bool) if mask is None else mask.data.astype(bool)
    weights = np.where(inside, values - values[inside].min(initial=np.inf), 0.0)
    total = weights.sum()
    if not total > 0:
        raise RegistrationError(f"{name}: a constant image has no centre of mass")
    index = [
        weights.sum(axis=tuple(a for a in range(weights.ndim) if a != axis)) @ np.arange(n) / total
        for axis, n in enumerate(weights.shape)
    ]
    return np.asarray(image.geometry.index_to_physical(index), dtype=np.float64)


def _centre(image: SpatialArray) -> Floats:
    return np.asarray(image.center, dtype=np.float64)


def _mesh(image: SpatialArray, spacing: float | None) -> tuple[int, ...]:
    extents = (np.array(image.shape) + 1) * image.spacing
    step = extents.max() / 8 if spacing is None else spacing
    return tuple([max(1, round(extent / step)) for extent in extents.tolist()])


def _check_contrast(level: Level) -> None:
    for name, image, mask in (
        ("fixed", level.fixed, level.fixed_mask), ("moving", level.moving, level.moving_mask)
    ):  # fmt: skip
        values = image.data if mask is None else image.data[mask.data.astype(bool)]
        if values.size == 0:
            raise RegistrationError(f"{name}: the mask leaves no voxel that is a number")
        if values.min() == values.max():
            raise RegistrationError(
                f"{name}: all voxels that take part have the value {values.min():g}; there is "
                "nothing to align"
            )


def _probes(level: Level) -> Floats:
    """Return world positions of some voxels of the fixed image that take part."""
    fixed, mask = level.fixed, level.fixed_mask
    numbers = np.arange(fixed.size) if mask is None else np.flatnonzero(mask.data)
    numbers = numbers[:: max(1, len(numbers) // _PROBES)]
    index = np.column_stack(np.unravel_index(numbers, fixed.shape))
    return np.asarray(fixed.geometry.index_to_physical(index), dtype=np.float64)


def _check_overlap(transform: Transform, level: Level, when: str) -> float:
    """Return the part of the fixed image that a transform leads into the moving one."""
    index = level.moving.geometry.physical_to_index(transform(_probes(level)))
    inside = ((index >= -0.5) & (index < np.array(level.moving.shape) - 0.5)).all(axis=1)
    found = float(inside.mean())
    if found < _LEAST_OVERLAP:
        raise RegistrationError(
            f"the images do not overlap {when}: {found:.1%} of the fixed image's voxels fall into "
            f"the moving image. Fixed lies in {level.fixed.bounds.tolist()}, moving in "
            f"{level.moving.bounds.tolist()} of {transform.world!r}; give initial='geometry', "
            "'moments' or a transform that brings them together"
        )
    return found


def _largest_move(job: Job, transform: Transform) -> float:
    """Return how far the answer is from the start, in voxels of the finest level."""
    points = _probes(job.levels[-1])
    moved = np.abs(transform(points) - job.start(points)).max()
    return float(moved / job.levels[-1].fixed.spacing.min())


def _reporter(progress: bool | Progress | None) -> Progress | None:
    if progress is None or progress is False:
        return None
    if progress is not True:
        return progress
    import sys

    def show(level: int, iteration: int, metric: float) -> None:
        end = "\r" if sys.stderr.isatty() else "\n"
        if sys.stderr.isatty() or iteration % 50 == 1:
            sys.stderr.write(f"level {level}, iteration {iteration}: {metric:.6g}   {end}")

    return show
