"""Helpers of engines: scaled values, and coordinates for engines other than SimpleITK.

Such an engine gets both images in coordinates in which the fixed image has its centre at 0 and
voxels of about 1, so that its limits do not depend on units or positions. The initial transform is
applied to the moving image's grid: the engine begins with the identity, and its result, a transform
of the same model, is composed with the initial one.

Engines report metrics over voxels of their own choice; the metric before and after is measured
here, over the same voxels each time (`spatial_duck.registration._metric`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import RegistrationError
from spatial_duck.geometry import Geometry
from spatial_duck.registration._metric import Measure
from spatial_duck.registration._outcome import Outcome
from spatial_duck.transforms import Affine, Composite, DisplacementField

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spatial_duck.registration._outcome import Level, LevelLog, RegistrationJob
    from spatial_duck.transforms import Transform

    Floats = NDArray[np.float64]

__all__ = [
    "EngineImage",
    "EngineInput",
    "IntensityScale",
    "check_job",
    "compose",
    "engine_error",
    "engine_input",
    "field_outcome",
    "intensity_scale",
    "make_outcome",
    "outcome",
    "report_log",
]


@dataclass(frozen=True, slots=True)
class IntensityScale:
    """Scaling of values to mean 0 and deviation 1, as limits of optimisers are absolute.

    Attributes
    ----------
    mean, deviation : float
        Mean and standard deviation of the voxels of the fixed image that take part.
    metric : float
        Factor from the metric of scaled images to that of the originals.
    n_voxels : int
        Number of these voxels.
    """

    mean: float
    deviation: float
    metric: float
    n_voxels: int

    def scaled(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values less the mean, over the standard deviation."""
        out: NDArray[np.float32] = (data - self.mean) / self.deviation
        return out


def intensity_scale(level: Level, metric: str) -> IntensityScale:
    """Return the scaling of the values of a level."""
    values = level.fixed.data
    if level.fixed_mask is not None:
        values = values[level.fixed_mask.data.astype(bool)]
    deviation = float(values.std(dtype=np.float64)) or 1.0
    squared = deviation**2 if metric == "mean_squares" else 1.0
    return IntensityScale(float(values.mean(dtype=np.float64)), deviation, squared, values.size)


def compose(first: Transform, then: Transform) -> Transform:
    """Return the composition of two transforms, as one Affine where possible."""
    if isinstance(first, Affine) and isinstance(then, Affine):
        return Affine(then.matrix @ first.matrix, then.world)
    if isinstance(then, Affine) and np.array_equal(then.matrix, np.eye(len(then.matrix))):
        return first
    return Composite(first, then)


@dataclass(frozen=True, slots=True, eq=False)
class EngineImage:
    """An image in the engine's coordinates.

    Attributes
    ----------
    data : ndarray of float32
        Values less the mean of the fixed image, over its standard deviation.
    mask : ndarray of uint8 or None
        1 where voxels take part.
    spacing, direction, origin : ndarray
        In array order, the direction's rows in the order of the world's axes.
    """

    data: NDArray[np.float32]
    mask: NDArray[np.uint8] | None
    spacing: Floats
    origin: Floats
    direction: Floats


@dataclass(frozen=True, slots=True, eq=False)
class EngineInput:
    """Both images of the finest level in the engine's coordinates, and the map to these.

    Attributes
    ----------
    fixed, moving : EngineImage
        The images.
    unit : Affine
        Transform from the world to the engine's coordinates.
    scale : float
        Factor from the engine's metric to that of the images.
    n_voxels : int
        Number of voxels of the fixed image that take part.
    """

    fixed: EngineImage
    moving: EngineImage
    unit: Affine
    scale: float
    n_voxels: int


def check_job(job: RegistrationJob, engine: str, least: int = 4) -> None:
    """Refuse images that are too thin for an engine's filters, and unsupported initial transforms.

    Raises
    ------
    RegistrationError
        If an image is too thin, or the initial transform is not an Affine.
    """
    level = job.levels[-1]
    thick = start = "use engine='simpleitk'"
    if job.model == "syn":  # nobody else has it
        thick, start = "take more slices, or a finer level with at=", "give an Affine as initial="
    for name, image in (("fixed", level.fixed), ("moving", level.moving)):
        if min(image.shape) < least:
            raise RegistrationError(
                f"{name}: {engine} takes {least} voxels or more along each axis, got "
                f"{image.shape} at the finest level; {thick}"
            )
    if not isinstance(job.start, Affine):
        raise RegistrationError(
            f"initial: {engine} starts from an Affine, got {job.start!r}; {start}"
        )


def engine_error(engine: str, said: str, where: str = "") -> RegistrationError:
    """Return the error for an engine that failed, with the last line of its output."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else "no reason given"
    return RegistrationError(
        f"registration failed{where}: {engine} says {reason!r}; start closer with initial=, or "
        "take a coarser level with at="
    )


def report_log(job: RegistrationJob, log: tuple[LevelLog, ...]) -> tuple[LevelLog, ...]:
    """Report all iterations to the user's `progress`, once the search is over."""
    if job.progress is not None:
        for number, level in enumerate(log):
            for iteration, value in enumerate(level.metric):
                job.progress(number, iteration + 1, value)
    return log


def engine_input(job: RegistrationJob) -> EngineInput:
    """Return the images of a job for an engine; the job's start must be an Affine."""
    level, world = job.levels[-1], job.start.world
    n = len(world.axes)
    matrix = np.eye(n + 1)
    matrix[:n, :n] /= min(level.fixed.spacing.tolist())
    matrix[:n, n] = -matrix[:n, :n] @ job.centre
    unit = Affine(matrix, world)
    scaling = intensity_scale(level, job.metric)
    back = compose(job.start.inverse(), unit)
    assert isinstance(back, Affine)
    sides = [
        _engine_image(image, mask, way, scaling)
        for image, mask, way in (
            (level.fixed, level.fixed_mask, unit), (level.moving, level.moving_mask, back)
        )
    ]  # fmt: skip
    return EngineInput(sides[0], sides[1], unit, scaling.metric, scaling.n_voxels)


def _engine_image(
    image: SpatialArray, mask: SpatialArray | None, to_engine: Affine, scaling: IntensityScale
) -> EngineImage:
    g = image.geometry
    columns = to_engine.matrix[:-1, :-1] @ (g.direction * g.spacing)
    spacing = np.sqrt((columns**2).sum(axis=0))
    return EngineImage(
        np.ascontiguousarray(scaling.scaled(image.data), dtype=np.float32),
        None if mask is None else np.ascontiguousarray(mask.data, dtype=np.uint8),
        spacing, to_engine(g.origin), columns / spacing,
    )  # fmt: skip


def outcome(
    job: RegistrationJob,
    given: EngineInput,
    map_points: Callable[[Floats], Floats],
    log: tuple[LevelLog, ...],
) -> Outcome:
    """Return the outcome of an engine whose result is an affine map of points.

    Parameters
    ----------
    job : RegistrationJob
        That was run.
    given : EngineInput
        What the engine was given.
    map_points : callable
        The engine's result, an affine map of points of shape (n, n_world) in its coordinates.
    log : tuple of LevelLog
        The coarsest level first.
    """
    n = len(job.centre)
    corners = map_points(np.vstack([np.zeros(n), np.eye(n)]))
    matrix = np.eye(n + 1)
    matrix[:n, :n], matrix[:n, n] = (corners[1:] - corners[0]).T, corners[0]
    unit = given.unit.matrix
    found = Affine(np.linalg.solve(unit, matrix @ unit), job.start.world)
    return make_outcome(job, found, log)


def field_outcome(
    job: RegistrationJob, given: EngineInput, vectors: NDArray[Any], log: tuple[LevelLog, ...]
) -> Outcome:
    """Return the outcome of an engine whose result is a displacement at each fixed voxel.

    Parameters
    ----------
    job, given, log
        As for `outcome`.
    vectors : ndarray of float, shape (*shape, n_world)
        Displacements on the finest level of the fixed image, in the engine's coordinates.
    """
    geometry = job.levels[-1].fixed.geometry
    length = given.unit.matrix[0, 0]  # the engine's coordinates differ by a shift and this scale
    name = next(d for d in ("component", "vector") if d not in geometry.dims)
    grid = Geometry(
        (*geometry.shape, len(job.centre)), geometry.spacing, geometry.origin, geometry.direction,
        dims=(*geometry.dims, name), sampled=range(geometry.ndim), world=geometry.world,
    )  # fmt: skip
    field = DisplacementField(SpatialArray(np.asarray(vectors / length, np.float32), grid))
    return make_outcome(job, field, log)


def make_outcome(job: RegistrationJob, found: Transform, log: tuple[LevelLog, ...]) -> Outcome:
    """Return the outcome of a transform before the start, with the metric before and after."""
    whole = compose(found, job.start)
    measure = Measure(job.levels[-1], job.metric)
    return Outcome(whole, log, measure(job.start), measure(whole))
