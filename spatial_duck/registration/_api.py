"""`register`: makes a job for an engine of the arguments, and checks its result."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from spatial_duck._progress import is_watched
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.geometry._quantity import one_length
from spatial_duck.geometry._validation import is_whole
from spatial_duck.pyramids import Pyramid
from spatial_duck.registration._engine import Engine
from spatial_duck.registration._initial_transforms import INITIAL_SHIFTS, find_start
from spatial_duck.registration._levels import check_image, common_world, level_spacings, make_levels
from spatial_duck.registration._metric import NOISE, best_nearby
from spatial_duck.registration._outcome import (
    DEFORMABLE,
    Outcome,
    Progress,
    Registration,
    RegistrationJob,
)
from spatial_duck.registration._registry import engines_for, named_engine
from spatial_duck.registration._similarity_check import (
    check_answer,
    check_contrast,
    check_convergence,
    check_overlap,
)
from spatial_duck.registration._trust import check_trust
from spatial_duck.transforms import Affine, Transform

__all__ = ["METRICS", "MODELS", "register"]

#: Transform models, and how many iterations each may take at a level.
MODELS = MappingProxyType(
    {"translation": 300, "rigid": 300, "similarity": 300, "affine": 500, "bspline": 100, "syn": 100}
)
#: Metrics, and what they are good for.
METRICS = MappingProxyType(
    {
        "mattes": "mutual information (Mattes et al. 2001): images of different kinds",
        "mean_squares": "mean squared difference: same kind, same scale of values",
        "correlation": "normalised correlation: values alike but for scale and offset",
    }
)


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
    initial: str | Transform = "auto",
    control_spacing: float | None = None,
    samples: int | None = 50_000,
    iterations: int | None = None,
    seed: int = 0,
    threads: int = 1,
    progress: bool | Progress | None = None,
    engine: str | Engine = "simpleitk",
) -> Registration:
    """Find the transform that brings one image onto another.

    Only a coarse level of the images comes into memory: voxels are binned by their mean, where the
    image lies, whatever it lies on. The transform is applied to the full image by
    ``resample(moving, fixed, transform=found)``, lazily where the image is lazy.

    Parameters
    ----------
    fixed, moving : SpatialArray or Pyramid
        Images with two or three axes, all of space; a 2-D slice of a volume may be the fixed one.
        On NumPy, Dask, Zarr or CuPy. Frames, units and orders of axes may differ, and are
        converted. Of a `Pyramid` the coarsest level is read that is fine enough.
    model : {"rigid", "translation", "similarity", "affine", "bspline", "syn"}
        What the transform may do. "bspline" gives a `DisplacementField` on the grid of the level,
        "syn" (symmetric normalisation, Avants et al. 2008; ``engine="ants"``) a `Composite` of one
        and then the affine map that it started from. Unless `initial` is a transform they first
        find an affine one.
    metric : {"mattes", "mean_squares", "correlation"}
        What is minimised; see `METRICS`.
    fixed_mask, moving_mask : SpatialArray, optional
        The metric is taken over voxels where it is not 0, and so are centres of mass. On any grid.
        The other voxels keep their values, which count in the mean of a coarse voxel that a mask
        cuts through: write NaN where values mean nothing. Voxels that are NaN never take part.
    at : float or sequence of float, optional
        Spacing of the finest level that is used, in the unit of the fixed image: one number, or
        one for each axis of the fixed image. Voxels are binned while they stay as fine. By default
        the finest for which both images fit into `memory`.
    memory : int, optional
        Bytes that both images may take at the finest level that is used, where `at` does not say.
    levels : int, optional
        How many levels are used at most, each half as fine as the next. Those with fewer than 16
        voxels along the longest axis are left out.
    initial : {"auto", "world", "geometry", "moments"} or Transform, optional
        Where to start: the images where they lie in the world; their centres, or the centres of
        mass of their values (less the lowest), on each other; or a transform from points of the
        fixed image to points of the moving one. By default that of these shifts which brings most
        mutual information together at the coarsest level, and for models that turn, the best of
        rotations all the way round where one of them is better.
    control_spacing : float, optional
        Distance between control points of a B-spline at the finest level, in the unit of the fixed
        image; by default an eighth of its longest extent. The time of an iteration grows with the
        square of their number: half the distance takes 64 times as long in 3-D.
    samples : int or None, optional
        Over how many voxels the metric is taken at each level, picked at random where there are
        more; for B-splines fewer, two or more for each coefficient. None: all.
    iterations : int, optional
        At each level, at most; by default those of `MODELS`.
    seed : int, optional
        Seed of the random voxels, 0 or more.
    threads : int, optional
        With 1 the answer is the same to the bit each time; more are faster and sum in any order.
    progress : bool or callable, optional
        True writes lines to stderr, False none; by default terminals and notebooks show them after
        two seconds, see `config`. A callable gets (level, iteration, metric). What it raises
        stops the registration.
    engine : str or Engine, optional
        What optimises: a name of `engine_names`, or an engine of your own. "ants" (extra ``ants``)
        finds the models that are matrices, and "syn", from a start that is a matrix; `progress`
        hears of its iterations when they are over. ANTs runs in a process of its own, and by mean
        squares counts values beyond the range that both images have as the ends of that range. For
        "syn" it takes all voxels, whatever `samples`, and by correlation that of neighbourhoods of
        5 voxels along each axis.

    Returns
    -------
    Registration
        A transform from points of the fixed image to points of the moving one, in the world of the
        fixed image, with ``converged`` (the search came to rest), ``trusted`` (and nothing else
        speaks against its answer), ``stop_reason``, ``metric``, and the metric of each iteration
        at each level in ``log``; ``transform`` is the bare one.

    Raises
    ------
    RegistrationError
        If the images do not overlap at the start or the end, one has nothing in it to align, the
        engine gives up, or the transform turns the image inside out.
    FrameError
        If only one of the images has a frame.

    Warns
    -----
    UserWarning
        If the search did not come to rest at an answer: ``converged`` is False; or if it did, and
        another alignment is as good: ``trusted`` is False, ``doubt`` says why.

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
    _check(
        {"model": (model, MODELS), "metric": (metric, METRICS)},
        {"levels": (levels, 1), "seed": (seed, 0), "threads": (threads, 1), "samples": (samples, 1),
         "iterations": (iterations, 1), "memory": (memory, 1)},
    )  # fmt: skip
    chosen = named_engine(engine)
    if model not in chosen.models or metric not in chosen.metrics:
        raise ValueError(
            f"engine {chosen.name!r} searches for {', '.join(chosen.models)} by "
            f"{', '.join(chosen.metrics)}, got model={model!r}, metric={metric!r}; that has "
            f"engine {' or '.join(engines_for(model, metric))}"
        )
    if not isinstance(initial, Transform) and initial not in ("auto", *INITIAL_SHIFTS):
        raise ValueError(
            f"initial must be a Transform, 'auto' or one of {', '.join(INITIAL_SHIFTS)}, got "
            f"{initial!r}"
        )
    fixed, moving = [
        image if isinstance(image, Pyramid) else as_image(image, "register", name)
        for image, name in ((fixed, "fixed"), (moving, "moving"))
    ]
    for image, name in ((fixed, "fixed"), (moving, "moving")):
        check_image(image, name)
    world = common_world(fixed, moving)
    if control_spacing is not None:
        control_spacing = one_length(control_spacing, world, "control_spacing")
        if not 0 < control_spacing < np.inf:
            raise ValueError(
                f"control_spacing must be positive and finite, got {control_spacing!r}"
            )
    chosen.ready()
    spacings = level_spacings(fixed, moving, at, memory, levels, world)
    made = make_levels(fixed, moving, fixed_mask, moving_mask, spacings, world)
    check_contrast(made[-1])
    start, others = find_start(initial, made[0], world, turns=model != "translation")
    options: dict[str, Any] = {
        "levels": made, "metric": metric, "samples": samples, "seed": int(seed),
        "threads": int(threads), "progress": _reporter(progress),
        "centre": np.asarray(made[-1].fixed.center), "mesh": _mesh(made[-1].fixed, control_spacing),
    }  # fmt: skip
    jobs = [
        RegistrationJob(**options, model=model, start=start, iterations=iterations or MODELS[model])
    ]
    first = None
    if model in DEFORMABLE and "affine" in chosen.models and not isinstance(initial, Transform):
        job = RegistrationJob(
            **options, model="affine", start=start, iterations=iterations or MODELS["affine"]
        )
        first = _run(job, chosen, began)
        jobs = [
            RegistrationJob(
                **options, model=model, start=first.transform, iterations=jobs[0].iterations
            )
        ]
    found = _run(jobs[0], chosen, began, first)
    found = check_trust(found, made[0], others, made[-1])
    if not found.converged:
        warnings.warn(
            f"registration did not converge: {found.stop_reason}. Give iterations= more, start "
            "closer with initial=, or take another metric or level; the metric went from "
            f"{found.before:.6g} to {found.metric:.6g} (the result's log has each step)",
            stacklevel=2,
        )
    elif not found.trusted:
        warnings.warn(f"the registration is not to be trusted: {found.doubt}", stacklevel=2)
    return found


def _check(named: dict[str, tuple[str, Any]], numbers: dict[str, tuple[float | None, int]]) -> None:
    for name, (value, known) in named.items():
        if value not in known:
            raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    for name, (number, least) in numbers.items():
        if number is not None and not is_whole(number, least):
            raise ValueError(f"{name} must be a whole number of {least} or more, got {number!r}")


def _run(
    job: RegistrationJob, engine: Engine, began: float, first: Registration | None = None
) -> Registration:
    """Run a job, and refuse a result that cannot be right.

    `first` is the registration before it, which counts in the log and in `converged`.
    """
    finest = job.levels[-1]
    check_overlap(job.start, finest, "at the start")
    outcome = engine.run(job)
    if not isinstance(outcome, Outcome) or not outcome.log:
        raise TypeError(
            f"engine {engine.name!r} must return an Outcome with a log of each level, got "
            f"{outcome!r}"
        )
    overlap = check_overlap(outcome.transform, finest, "at the end")
    check_answer(job, outcome)
    better, noise = outcome.better, 0.0
    if better is None and isinstance(outcome.transform, Affine):
        better, noise = best_nearby(job, outcome.transform), NOISE[job.metric]
    converged, reason = check_convergence(job, outcome, better, noise)
    log, before = outcome.log, outcome.before
    if first is not None:
        log, before = (*first.log, *log), first.before
        if not first.converged:
            converged, reason = False, f"{first.model} before it: {first.stop_reason}; {reason}"
    return Registration(
        transform=outcome.transform, converged=converged, stop_reason=reason,
        metric=outcome.after, before=before, log=log, overlap=overlap,
        seconds=time.perf_counter() - began, model=job.model, metric_name=job.metric,
        engine=engine.name,
    )  # fmt: skip


def _mesh(image: SpatialArray, spacing: float | None) -> tuple[int, ...]:
    extents = (np.array(image.shape) + 1) * image.spacing
    step = max(extents.tolist()) / 8 if spacing is None else spacing
    return tuple([max(1, round(extent / step)) for extent in extents.tolist()])


def _reporter(progress: bool | Progress | None) -> Progress | None:
    if progress is False or (progress is None and not is_watched()):
        return None
    if callable(progress):
        return progress
    begin = time.monotonic() + (0 if progress else 2)

    def show(level: int, iteration: int, metric: float) -> None:
        if time.monotonic() < begin:
            return
        end = "\r" if sys.stderr.isatty() else "\n"
        if sys.stderr.isatty() or iteration % 50 == 1:
            sys.stderr.write(f"level {level}, iteration {iteration}: {metric:.6g}   {end}")

    return show
