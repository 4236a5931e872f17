"""Helpers of engines: scaled values, and coordinates for engines other than SimpleITK.

Such an engine gets both images in coordinates in which the fixed image has its centre at 0 and
voxels of about 1, so that neither units nor where the scanner stood matter to its limits. The start
is part of where the moving image lies there: the engine begins with no motion at all, and its
answer, a map of the same model, is put before the start.

They report metrics over voxels of their own choice; those before and after are measured, over the
same voxels each time (`spatial_duck.registration._metric`).
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
    "Contrast",
    "Numbers",
    "Side",
    "check_job",
    "contrast",
    "field_outcome",
    "given_up",
    "joined",
    "judged",
    "numbers",
    "outcome",
    "reported",
]


@dataclass(frozen=True, slots=True)
class Contrast:
    """How the values of a level are brought to one scale: limits of optimisers are absolute.

    Attributes
    ----------
    mean, deviation : float
        Mean and standard deviation of the voxels of the fixed image that take part.
    metric : float
        What the metric of scaled images is to be multiplied by.
    inside : int
        Number of these voxels.
    """

    mean: float
    deviation: float
    metric: float
    inside: int

    def scaled(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values less the mean, over the standard deviation."""
        found: NDArray[np.float32] = (data - self.mean) / self.deviation
        return found


def contrast(level: Level, metric: str) -> Contrast:
    """Return how the values of a level are scaled."""
    values = level.fixed.data
    if level.fixed_mask is not None:
        values = values[level.fixed_mask.data.astype(bool)]
    deviation = float(values.std(dtype=np.float64)) or 1.0
    squared = deviation**2 if metric == "mean_squares" else 1.0
    return Contrast(float(values.mean(dtype=np.float64)), deviation, squared, values.size)


def joined(first: Transform, then: Transform) -> Transform:
    """Return one map for two, the simplest."""
    if isinstance(first, Affine) and isinstance(then, Affine):
        return Affine(then.matrix @ first.matrix, then.world)
    if isinstance(then, Affine) and np.array_equal(then.matrix, np.eye(len(then.matrix))):
        return first
    return Composite(first, then)


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """An image as a library takes it.

    Attributes
    ----------
    data : ndarray of float32
        Less the mean of the fixed image, over its standard deviation.
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
class Numbers:
    """Both images of the finest level, and the way back.

    Attributes
    ----------
    fixed, moving : Side
        In the engine's coordinates.
    unit : Affine
        From the world to these.
    scale : float
        What the engine's metric is to be multiplied by.
    inside : int
        Number of voxels of the fixed image that take part.
    """

    fixed: Side
    moving: Side
    unit: Affine
    scale: float
    inside: int


def check_job(job: RegistrationJob, engine: str, least: int = 4) -> None:
    """Refuse images that are too thin for an engine's filters, and starts that it cannot take.

    Raises
    ------
    RegistrationError
        If they are, or the start is not an Affine.
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


def given_up(engine: str, said: str, where: str = "") -> RegistrationError:
    """Return the error for an engine that gave up, with the last line of what it said."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reason = lines[-1] if lines else "no reason given"
    return RegistrationError(
        f"registration failed{where}: {engine} says {reason!r}; start closer with initial=, or "
        "take a coarser level with at="
    )


def reported(job: RegistrationJob, log: tuple[LevelLog, ...]) -> tuple[LevelLog, ...]:
    """Report all iterations to the user's `progress`, once the search is over."""
    if job.progress is not None:
        for number, level in enumerate(log):
            for iteration, value in enumerate(level.metric):
                job.progress(number, iteration + 1, value)
    return log


def numbers(job: RegistrationJob) -> Numbers:
    """Return what an engine is given; the job's start must be an Affine."""
    level, world = job.levels[-1], job.start.world
    n = len(world.axes)
    matrix = np.eye(n + 1)
    matrix[:n, :n] /= min(level.fixed.spacing.tolist())
    matrix[:n, n] = -matrix[:n, :n] @ job.centre
    unit = Affine(matrix, world)
    scaling = contrast(level, job.metric)
    back = joined(job.start.inverse(), unit)
    assert isinstance(back, Affine)
    sides = [
        _side(image, mask, way, scaling)
        for image, mask, way in (
            (level.fixed, level.fixed_mask, unit), (level.moving, level.moving_mask, back)
        )
    ]  # fmt: skip
    return Numbers(sides[0], sides[1], unit, scaling.metric, scaling.inside)


def _side(image: SpatialArray, mask: SpatialArray | None, way: Affine, scaling: Contrast) -> Side:
    g = image.geometry
    columns = way.matrix[:-1, :-1] @ (g.direction * g.spacing)
    spacing = np.sqrt((columns**2).sum(axis=0))
    return Side(
        np.ascontiguousarray(scaling.scaled(image.data), dtype=np.float32),
        None if mask is None else np.ascontiguousarray(mask.data, dtype=np.uint8),
        spacing, way(g.origin), columns / spacing,
    )  # fmt: skip


def outcome(
    job: RegistrationJob,
    given: Numbers,
    map_points: Callable[[Floats], Floats],
    log: tuple[LevelLog, ...],
) -> Outcome:
    """Return what was found.

    Parameters
    ----------
    job : RegistrationJob
        That was run.
    given : Numbers
        What the engine was given.
    map_points : callable
        The engine's answer, an affine map of points of shape (n, n_world) in its coordinates.
    log : tuple of LevelLog
        The coarsest level first.
    """
    n = len(job.centre)
    corners = map_points(np.vstack([np.zeros(n), np.eye(n)]))
    matrix = np.eye(n + 1)
    matrix[:n, :n], matrix[:n, n] = (corners[1:] - corners[0]).T, corners[0]
    unit = given.unit.matrix
    found = Affine(np.linalg.solve(unit, matrix @ unit), job.start.world)
    return judged(job, found, log)


def field_outcome(
    job: RegistrationJob, given: Numbers, vectors: NDArray[Any], log: tuple[LevelLog, ...]
) -> Outcome:
    """Return what was found, where the engine's answer is a displacement at each fixed voxel.

    Parameters
    ----------
    job, given, log
        As for `outcome`.
    vectors : ndarray of float, shape (*shape, n_world)
        On the finest level of the fixed image, in the engine's coordinates.
    """
    geometry = job.levels[-1].fixed.geometry
    length = given.unit.matrix[0, 0]  # the engine's coordinates differ by a shift and this scale
    name = next(d for d in ("component", "vector") if d not in geometry.dims)
    grid = Geometry(
        (*geometry.shape, len(job.centre)), geometry.spacing, geometry.origin, geometry.direction,
        dims=(*geometry.dims, name), sampled=range(geometry.ndim), world=geometry.world,
    )  # fmt: skip
    field = DisplacementField(SpatialArray(np.asarray(vectors / length, np.float32), grid))
    return judged(job, field, log)


def judged(job: RegistrationJob, found: Transform, log: tuple[LevelLog, ...]) -> Outcome:
    """Return a map that goes before the start, with the metric before and after."""
    whole = joined(found, job.start)
    measure = Measure(job.levels[-1], job.metric)
    return Outcome(whole, log, measure(job.start), measure(whole))
