"""What goes to an engine of registration, and what comes back.

Images of a job are float32 NumPy arrays without plain axes, in one world: the space axes of the
fixed image, in its frame and unit. An engine minimises; whether the answer is to be believed is
judged by the front.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.transforms import Transform

    #: Called with (level, iteration, metric), the coarsest level first.
    Progress = Callable[[int, int, float], None]

__all__ = ["Job", "Level", "LevelReport", "Outcome", "RegistrationReport"]


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Both images at one resolution.

    Attributes
    ----------
    fixed, moving : SpatialArray
        float32, in memory.
    fixed_mask, moving_mask : SpatialArray or None
        uint8 on the grids of the images: 1 where voxels take part. None: everywhere.
    """

    fixed: SpatialArray
    moving: SpatialArray
    fixed_mask: SpatialArray | None
    moving_mask: SpatialArray | None


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Something to optimise.

    Attributes
    ----------
    levels : tuple of Level
        The coarsest first.
    model, metric : str
        Of the tables in the front.
    start : Transform
        Where to start: points go through the model's transform and then through this one.
    centre : ndarray of float, shape (n_world,)
        What a rotation turns about.
    mesh : tuple of int
        Number of control intervals of a B-spline along each array axis, at the finest level.
    samples : int or None
        Number of random voxels that the metric is taken over at each level; None: all.
    seed, iterations, threads : int
        Iterations are for each level. With one thread the answer is the same to the bit each time.
    progress : callable, optional
        Called with (level, iteration, metric).
    """

    levels: tuple[Level, ...]
    model: str
    metric: str
    start: Transform
    centre: NDArray[np.float64]
    mesh: tuple[int, ...]
    samples: int | None
    seed: int
    iterations: int
    threads: int
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class LevelReport:
    """How one level went.

    Attributes
    ----------
    spacing : tuple of float
        Of the fixed image at this level.
    shape : tuple of int
        Of the fixed image at this level.
    metric : tuple of float
        One value for each iteration; smaller is better.
    stop : str
        Why the engine stopped, in its own words.
    converged : bool
        False where it stopped because the iterations were used up.
    """

    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    metric: tuple[float, ...]
    stop: str
    converged: bool


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What an engine found.

    Attributes
    ----------
    transform : Transform
        From points of the fixed image to points of the moving one, the start included.
    levels : tuple of LevelReport
        The coarsest first.
    before, after : float
        The metric at the finest level, over the same samples, with the start and with the answer.
    """

    transform: Transform
    levels: tuple[LevelReport, ...]
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class RegistrationReport:
    """How a registration went: the ``report`` of the transform that `register` returns.

    Attributes
    ----------
    model, metric, engine : str
        What was asked for.
    levels : tuple of LevelReport
        The coarsest first, with the metric of each iteration. A B-spline that began with an
        affine transform has the levels of that in `stages`.
    before, after : float
        The metric at the finest level with the initial transform and with the one found; smaller
        is better (mutual information and correlation are negative).
    overlap : float
        The part of the fixed image's voxels that the transform leads into the moving image.
    seconds : float
        Time taken, reading included.
    stages : tuple of RegistrationReport
        What went before.
    """

    model: str
    metric: str
    engine: str
    levels: tuple[LevelReport, ...]
    before: float
    after: float
    overlap: float
    seconds: float
    stages: tuple[RegistrationReport, ...] = field(default=())

    @property
    def converged(self) -> bool:
        """Whether the finest level, and that of every stage before, came to rest."""
        return self.levels[-1].converged and all([s.converged for s in self.stages])

    def __str__(self) -> str:
        """Return a line for each level."""
        lines = [str(stage) for stage in self.stages]
        lines.append(
            f"{self.model}, {self.metric} by {self.engine}: {self.before:.6g} to {self.after:.6g}, "
            f"overlap {self.overlap:.0%}, {self.seconds:.1f} s"
        )
        for level in self.levels:
            size = " × ".join([str(n) for n in level.shape])
            spacing = " × ".join([f"{s:.4g}" for s in level.spacing])
            end = f"{level.metric[-1]:.6g}" if level.metric else "nothing"
            rest = "converged" if level.converged else "not converged"
            lines += [f"  {size} at {spacing}: {len(level.metric)} iterations to {end}, {rest}"]
        return "\n".join(lines)
