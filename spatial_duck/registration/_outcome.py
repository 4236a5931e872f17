"""The job of an engine of registration, its outcome, and the `Registration` that users get.

Images of a job are float32 NumPy arrays without plain axes, in one world: the space axes of the
fixed image, in its frame and unit. An engine minimises; `_trust` and `_similarity_check` decide
whether its result is plausible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck._display._drawing import card, chart
from spatial_duck._display._transform import picture
from spatial_duck._display._transform import rows as transform_rows
from spatial_duck.geometry import World
from spatial_duck.transforms import Transform

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray


__all__ = ["DEFORMABLE", "Level", "LevelLog", "Outcome", "Registration", "RegistrationJob"]

#: Called with (level, iteration, metric), the coarsest level first.
Progress = Callable[[int, int, float], None]

Floats = NDArray[np.float64]

#: The models that are not matrices.
DEFORMABLE = ("bspline", "syn")


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
class RegistrationJob:
    """Input of an engine.

    Attributes
    ----------
    levels : tuple of Level
        The coarsest first.
    model, metric : str
        One of `MODELS` and one of `METRICS`.
    start : Transform
        Initial transform: points are mapped by the model's transform and then by this one.
    centre : ndarray of float, shape (n_world,)
        Centre of rotations.
    mesh : tuple of int
        Number of control intervals of a B-spline along each array axis of the finest level.
    samples : int or None
        Number of random voxels that the metric is taken over at each level; None: all.
    seed, iterations, threads : int
        Iterations are for each level. With one thread the answer is the same to the bit each time.
    progress : callable, optional
        Called with (level, iteration, metric). What it raises ends the search.
    """

    levels: tuple[Level, ...]
    model: str
    metric: str
    start: Transform
    centre: Floats
    mesh: tuple[int, ...]
    samples: int | None
    seed: int
    iterations: int
    threads: int
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class LevelLog:
    """Log of one level.

    Attributes
    ----------
    model : str
        Model that was optimised: a B-spline begins with an affine transform.
    spacing : tuple of float
        Spacing of the fixed image at this level.
    shape : tuple of int
        Shape of the fixed image at this level.
    metric : tuple of float
        One value for each iteration; smaller is better.
    stop_reason : str
        Why the engine stopped, in its own words.
    converged : bool
        False where it stopped because the iterations were used up.
    """

    model: str
    spacing: tuple[float, ...]
    shape: tuple[int, ...]
    metric: tuple[float, ...]
    stop_reason: str
    converged: bool

    def __str__(self) -> str:
        """Return a line."""
        size = " × ".join([str(n) for n in self.shape])
        spacing = " × ".join([f"{s:.4g}" for s in self.spacing])
        end = f"{self.metric[-1]:.6g}" if self.metric else "nothing"
        rest = "converged" if self.converged else "not converged"
        return f"{self.model}, {size} at {spacing}: {len(self.metric)} iterations to {end}, {rest}"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Result of an engine.

    Attributes
    ----------
    transform : Transform
        From points of the fixed image to points of the moving one, the start included.
    log : tuple of LevelLog
        The coarsest level first.
    before, after : float
        The metric at the finest level, over the same voxels, with the start and with the answer.
    better : float or None
        The best metric near the result, over the same voxels: a converged result is better than all
        around it. None if the engine did not measure it.
    """

    transform: Transform
    log: tuple[LevelLog, ...]
    before: float
    after: float
    better: float | None = None


@dataclass(eq=False)
class Registration(Transform):
    """Result of `register`: a transform with a log of how it was found.

    It maps points of the fixed image to points of the moving one and goes wherever a transform
    goes: ``resample(moving, fixed, transform=found)``, ``found.write("found.h5")``.

    Parameters
    ----------
    transform : Transform
        The bare transform, in the world of the fixed image.
    converged : bool
        Whether the search converged at the finest level: no small step improves the metric, and it
        is better than at the start.
    stop_reason : str
        Why the search ended, in the engine's words, and the reasons against the result.
    metric, before : float
        The metric at the finest level with the transform, and with the one to start from. Smaller
        is better; mutual information and correlation are negative.
    log : tuple of LevelLog
        The metric of each iteration at each level, the coarsest first.
    overlap : float
        The part of the fixed image's voxels that the transform maps into the moving image.
    seconds : float
        Time taken, reading included.
    model, metric_name, engine : str
        The arguments of `register`.
    doubt : str, optional
        Reasons not to trust the result, although the search may have converged; empty if there are
        none. See `trusted`.
    """

    transform: Transform
    converged: bool
    stop_reason: str
    metric: float
    before: float
    log: tuple[LevelLog, ...]
    overlap: float
    seconds: float
    model: str
    metric_name: str
    engine: str
    doubt: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the search converged and there are no other reasons against its result.

        An optimiser finds the optimum next to its start, which need not be the right one. So the
        result is compared with other alignments that were tried before it began, at all rotations:
        it is not trusted if one of them is as good, or if it maps little of the fixed image into
        the moving one. Nor is a displacement field that folds space, or maps neighbourhoods beside
        similar ones.
        """
        return self.converged and not self.doubt

    def __post_init__(self) -> None:
        self.world = self.transform.world

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The simple maps that points go through, the first one first."""
        return self.transform.parts

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        return self.transform(points)

    def inverse(self) -> Transform:
        """Return the map in the other direction, where there is one."""
        return self.transform.inverse()

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        return self.transform.map_bounds(bounds)

    def to_world(self, world: World) -> Transform:
        """Return the same map for points in another world."""
        return self.transform.to_world(world)

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        return normalize_token((type(self), self.transform))

    def _repr_html_(self) -> str:
        rows = [
            ("metric", f"{self.before:.6g} → {self.metric:.6g}, {self.metric_name}"),
            ("overlap", f"{self.overlap:.0%} of the fixed image"),
            ("converged", f"{'yes' if self.converged else 'NO'}: {self.stop_reason}"),
            (
                "trusted",
                "yes" if self.trusted else "NO" + (f": {self.doubt}" if self.doubt else ""),
            ),
            *[(f"level {n + 1}", str(level)) for n, level in enumerate(self.log)],
            *transform_rows(self.transform),
        ]
        metrics = chart([level.metric for level in self.log], "metric, level by level")
        words = f"{self.model} by {self.engine}, {self.seconds:.1f} s"
        return card(type(self).__name__, words, rows, metrics + picture(self.transform))

    def __repr__(self) -> str:
        head = (
            f"Registration({self.model}, {self.metric_name} by {self.engine}: {self.before:.6g} to "
            f"{self.metric:.6g}, overlap {self.overlap:.0%}, {self.seconds:.1f} s, "
            f"{'' if self.converged else 'NOT '}converged: {self.stop_reason}"
            f"{'; not trusted: ' + self.doubt if self.doubt else ''})"
        )
        return "\n".join([head, *[f"  {level}" for level in self.log]])
