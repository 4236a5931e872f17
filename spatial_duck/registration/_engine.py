"""Engines of registration: classes with one method that optimise a transform.

A package adds one by deriving from `Engine`, and gives an object of its class to
``register(..., engine=...)`` or names it as an entry point, whose engines `register` finds by name;
``spatial_duck.testing.EngineConformance`` tests it::

    [project.entry-points."spatial_duck.registration"]
    foo = "foo_duck:ENGINE"
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from spatial_duck.registration._metric import Measure
from spatial_duck.registration._outcome import LevelLog, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spatial_duck.registration._outcome import RegistrationJob
    from spatial_duck.transforms import Transform

__all__ = ["Engine"]


class Engine(ABC):
    """Abstract class of optimisers that search for the transform between two images.

    A class defines `name` and `run`, and `models` and `metrics` if these are not the defaults.
    `register` does the rest: it reads the images at several resolutions, in one world, as float32
    without NaN, finds an initial transform, and checks whether the result is plausible, by the same
    rules for every engine.

    Attributes
    ----------
    name : str
        Name of the engine for `register`.
    models : tuple of str
        Models of `MODELS` that it can optimise.
    metrics : tuple of str
        Metrics of `METRICS` that it can minimise.

    Examples
    --------
    An engine that returns the initial transform:

    >>> class Still(Engine):
    ...     name = "still"
    ...
    ...     def run(self, job):
    ...         log = [self.log(job, n, [self.measure(job, n)(job.start)], "it stays", True)
    ...                for n in range(len(job.levels))]
    ...         return self.outcome(job, job.start, log)
    >>> Still().models
    ('translation', 'rigid', 'similarity', 'affine')
    """

    name: ClassVar[str]
    models: ClassVar[tuple[str, ...]] = ("translation", "rigid", "similarity", "affine")
    metrics: ClassVar[tuple[str, ...]] = ("mattes", "mean_squares", "correlation")

    def ready(self) -> None:  # noqa: B027  (what needs no package has nothing to say)
        """Raise an ImportError if what the engine needs is not installed; nothing is read yet."""

    @abstractmethod
    def run(self, job: RegistrationJob) -> Outcome:
        """Search, over the job's levels from the coarsest to the finest.

        Do not write to the job's arrays, nor change settings of the process, its random numbers
        included: another registration may run in another thread.

        Raises
        ------
        RegistrationError
            If the engine fails, with its reason, or does not support the images or the start.
        """

    # --- Helpers for engines -----------------------------------------------------------

    def measure(self, job: RegistrationJob, number: int = -1) -> Callable[[Transform], float]:
        """Return the job's metric at a level as a function of a transform; smaller is better.

        Parameters
        ----------
        job : RegistrationJob
            The job.
        number : int, optional
            Number of the level; the finest by default.

        Returns
        -------
        callable
            Takes a transform from points of the fixed image to points of the moving one, over the
            same voxels each time; infinite where nothing overlaps.
        """
        return Measure(job.levels[number], job.metric)

    def log(
        self,
        job: RegistrationJob,
        number: int,
        values: Sequence[float],
        reason: str,
        converged: bool,
    ) -> LevelLog:
        """Return the log of a level: the metric of each iteration, and why the search ended.

        Parameters
        ----------
        job : RegistrationJob
            The job.
        number : int
            Number of the level.
        values : sequence of float
            The metric of each iteration.
        reason : str
            Why the search ended, in the engine's words.
        converged : bool
            False if the search ended because iterations were used up.
        """
        image = job.levels[number].fixed
        return LevelLog(
            job.model, tuple(image.spacing.tolist()), image.shape, tuple(values), reason, converged
        )

    def outcome(
        self, job: RegistrationJob, transform: Transform, log: Sequence[LevelLog]
    ) -> Outcome:
        """Return the outcome of a transform, with the metric before and after.

        Parameters
        ----------
        job : RegistrationJob
            The job.
        transform : Transform
            From points of the fixed image to points of the moving one, the start included.
        log : sequence of LevelLog
            The coarsest level first.
        """
        measure = self.measure(job)
        return Outcome(transform, tuple(log), measure(job.start), measure(transform))
