"""Check an engine of registration: it finds motions that are known, and touches nothing else.

A subclass of `EngineConformance` in a test file is one test for each thing that `register` asks of
an engine; `EngineConformance.report` runs the same outside pytest.
"""

from __future__ import annotations

import itertools
import os
import random
import warnings
from typing import TYPE_CHECKING, Any, ClassVar
from unittest import SkipTest

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import RegistrationError
from spatial_duck.geometry import Geometry
from spatial_duck.registration import METRICS, MODELS, Engine, Outcome, Registration, register
from spatial_duck.registration._outcome import DEFORMABLE
from spatial_duck.testing._suite import Suite
from spatial_duck.transforms import Affine, DisplacementField, Transform

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spatial_duck.registration import RegistrationJob

    Floats = NDArray[np.float64]

__all__ = ["EngineConformance"]

#: Turns of the phantom, by the model that is needed to undo them.
_TURNS = {"translation": (0.0, 0.0, 0.0), "rigid": (0.06, 0.04, -0.1)}


class _Watched(Engine):
    """An engine that keeps what it was given and what it found."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.runs: list[tuple[RegistrationJob, Outcome]] = []
        self.written: list[str] = []
        self.told: list[str] = []

    name = property(lambda self: self.engine.name)
    models = property(lambda self: self.engine.models)
    metrics = property(lambda self: self.engine.metrics)

    def ready(self) -> None:
        self.engine.ready()

    def run(self, job: RegistrationJob) -> Outcome:
        before = [a.copy() for a in _arrays(job)]
        outcome = self.engine.run(job)
        if any(not np.array_equal(a, b) for a, b in zip(before, _arrays(job), strict=True)):
            self.written.append(job.model)
        self.runs.append((job, outcome))
        return outcome


def _arrays(job: RegistrationJob) -> list[Any]:
    images = [(x.fixed, x.moving, x.fixed_mask, x.moving_mask) for x in job.levels]
    return [image.data for level in images for image in level if image is not None]


class EngineConformance(Suite):
    """Base of test classes for an engine of registration: each method is a test.

    Subclass it in a test file, give it the engine, and name the subclass ``Test...``. Models and
    metrics that the engine does not say that it has are not asked for.

    Attributes
    ----------
    engine : Engine
        What is checked.
    tolerance : float
        The largest error that is allowed, in voxels of the finest level, by mean squares.
    metric_tolerance : float
        The same by the other metrics, whose optimum lies less exactly on a phantom.

    Examples
    --------
    >>> from spatial_duck.testing import EngineConformance
    >>> class TestFoo(EngineConformance):
    ...     engine = FooEngine()  # doctest: +SKIP
    """

    level = "engine"
    engine: ClassVar[Engine]
    tolerance: ClassVar[float] = 0.1
    metric_tolerance: ClassVar[float] = 0.5

    # --- what is registered -------------------------------------------------------------------

    def _phantom(self, ndim: int = 3, n: int = 16) -> SpatialArray:
        """Return waves in all directions that fade from the middle of a box of 48 mm, oblique."""
        rng = np.random.default_rng(5)
        axes, spacing = ("z", "y", "x")[3 - ndim :], 48 / n
        direction = _turn((0.5, -0.4, 0.8))[:ndim, :ndim] if ndim == 3 else np.eye(2)
        grid = Geometry(
            (n,) * ndim, (spacing,) * ndim, (3.0, -20.0, 40.0)[:ndim], direction, axes, unit="mm",
            frame="LPS" if ndim == 3 else None,
        )  # fmt: skip
        at = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
        values = np.full(grid.shape, 300.0)
        waves = rng.normal(0, 0.2, (30, 3))[:, :ndim]
        for wave, phase in zip(waves, rng.uniform(0, 7, 30), strict=True):
            values += 30 * np.cos(at @ wave + phase)
        values *= np.exp(-(((at / [15.0, 18.0, 20.0][:ndim]) ** 2).sum(-1) ** 2))
        return SpatialArray(values.astype(np.float32), grid)

    def _truth(self, image: SpatialArray, model: str) -> Affine:
        """Return a motion that needs a model, about the centre of an image."""
        n = image.ndim
        turn = _turn(_TURNS.get(model, _TURNS["rigid"]))
        turn = turn if n == 3 else turn[:2, :2] / np.sqrt(abs(np.linalg.det(turn[:2, :2])))
        if n == 2:
            angle = 0.1 if model != "translation" else 0.0
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if model == "similarity":
            turn = 1.06 * turn
        elif model == "affine":
            turn = turn @ (np.eye(n) + 0.05 * np.eye(n, k=1))
        matrix, centre = np.eye(n + 1), np.asarray(image.center)
        matrix[:n, :n] = turn
        matrix[:n, n] = centre + [2.2, -1.7, 3.1][:n] - turn @ centre
        return Affine(matrix, image.world)

    def _moved(self, image: SpatialArray, motion: Affine) -> SpatialArray:
        """Return the voxels where the motion brings them: what is at p is then at motion(p)."""
        n = image.ndim
        steps = motion.matrix[:n, :n] @ (image.direction * image.spacing)
        lengths = np.sqrt((steps**2).sum(axis=0))
        return image.replace(
            origin=motion(image.origin).tolist(), spacing=lengths.tolist(),
            direction=steps / lengths,
        )  # fmt: skip

    def _error(self, found: Transform, truth: Transform, image: SpatialArray) -> float:
        """Return the largest distance over the brightest voxels, in voxels."""
        index = np.argwhere(np.asarray(image.data) > np.median(image.data))
        points = image.index_to_physical(index[::7])
        apart = np.linalg.norm(found(points) - truth(points), axis=1)
        return float(max(apart.tolist()) / min(image.spacing.tolist()))

    def _register(
        self, fixed: SpatialArray, moving: SpatialArray, model: str = "", **options: Any
    ) -> tuple[Registration, _Watched]:
        watched = _Watched(self.engine)
        given = {"levels": 1, "metric": self._metric(), "initial": "world", **options}
        # What it warns about is one of the things that are checked, whatever the filters say.
        with warnings.catch_warnings(record=True) as told:  # noqa: TID251
            warnings.simplefilter("always")  # noqa: TID251
            found = register(fixed, moving, model or self._model(), engine=watched, **given)
        watched.told += [str(warning.message) for warning in told]
        return found, watched

    def _metric(self) -> str:
        return next(m for m in ("mean_squares", *METRICS) if m in self.engine.metrics)

    def _model(self) -> str:
        return next(m for m in ("rigid", *MODELS) if m in self.engine.models)

    def _matrices(self) -> Iterator[str]:
        return (m for m in self.engine.models if m not in DEFORMABLE)

    def _most(self, metric: str) -> float:
        return self.tolerance if metric == "mean_squares" else self.metric_tolerance

    # --- what it says of itself ---------------------------------------------------------------

    def test_describes_itself(self) -> None:
        """It has a name, and models and metrics that `register` knows."""
        engine = self.engine
        assert isinstance(engine, Engine)
        assert engine.name
        assert engine.models
        assert set(engine.models) <= set(MODELS), f"models {engine.models}"
        assert engine.metrics
        assert set(engine.metrics) <= set(METRICS), f"metrics {engine.metrics}"
        engine.ready()

    def test_what_it_has_not_is_refused(self) -> None:
        """A model or metric that it has not is a ValueError that names those that it has."""
        image = self._phantom(n=8)
        absent = [{"model": m} for m in MODELS if m not in self.engine.models]
        absent += [{"metric": m} for m in METRICS if m not in self.engine.metrics]
        if not absent:
            raise SkipTest("it has all of them")
        for options in absent:
            given: Any = {"model": self._model(), "metric": self._metric(), **options}
            try:
                register(image, image, engine=self.engine, **given)
            except ValueError as error:
                said = str(error)
            else:
                raise AssertionError(f"{options} is not refused")
            assert self.engine.models[0] in said

    # --- what it finds ------------------------------------------------------------------------

    def test_motions_are_found(self) -> None:
        """Motions of an oblique volume are found by each model."""
        fixed = self._phantom()
        for model in self._matrices():
            truth = self._truth(fixed, model)
            moving = self._moved(fixed, truth)[1:, 2:, 1:]
            found, watched = self._register(fixed, moving, model)
            error = self._error(found, truth, fixed)
            assert error < self._most(self._metric()), f"{model}: {error:.3g} voxels off"
            assert found.converged, f"{model}: {found.stop_reason}"
            assert found.metric < found.before
            assert isinstance(watched.runs[-1][1].transform, Affine)

    def test_metrics(self) -> None:
        """Each metric finds a shift."""
        fixed = self._phantom()
        truth = self._truth(fixed, "translation")
        model = "translation" if "translation" in self.engine.models else self._model()
        for metric in self.engine.metrics:
            moving = self._moved(fixed, truth)
            found, _ = self._register(fixed, moving, model, metric=metric)
            error = self._error(found, truth, fixed)
            assert error < self._most(metric), f"{metric}: {error:.3g} voxels off"

    def test_flat_images(self) -> None:
        """Images with two axes are registered, or refused with a RegistrationError."""
        fixed = self._phantom(2, 48)
        truth = self._truth(fixed, self._model())
        try:
            found, _ = self._register(fixed, self._moved(fixed, truth))
        except RegistrationError as error:
            raise SkipTest(str(error)) from error
        assert self._error(found, truth, fixed) < self._most(self._metric())

    def test_start(self) -> None:
        """A motion that is too large to be found is found from a start near it."""
        fixed = self._phantom()
        far = _motion(fixed, (0.4, 0.3, -0.5), (60.0, 0.0, 0.0))
        near = _motion(fixed, (0.4, 0.3, -0.5), (58.5, 1.0, 0.5))
        found, _ = self._register(fixed, self._moved(fixed, far), initial=near)
        assert self._error(found, far, fixed) < self._most(self._metric())

    def test_frames_and_units(self) -> None:
        """Images in other frames, units and orders of axes are brought together all the same."""
        fixed = self._phantom()
        truth = self._truth(fixed, self._model())
        moving = self._moved(fixed, truth)
        there = moving.geometry.to_frame("RAS").to_unit("um").to_world("yxz")
        moving = np.flip(SpatialArray(moving.data, there).transpose((2, 0, 1)), 1)
        found, _ = self._register(fixed, moving)
        assert found.world == fixed.world
        assert self._error(found, truth, fixed) < self._most(self._metric())

    def test_masks(self) -> None:
        """Voxels outside the mask of either image do not influence the answer."""
        fixed = self._phantom()
        truth = self._truth(fixed, "translation")
        moving = self._moved(fixed, truth)
        layer = np.indices(moving.shape)[0]
        spoilt = moving.replace(np.where(layer < 4, np.float32(900), moving.data))
        mask = moving.replace(layer >= 5)
        found, _ = self._register(fixed, spoilt, moving_mask=mask)
        back, _ = self._register(spoilt, fixed, fixed_mask=mask)
        assert self._error(found, truth, fixed) < self._most(self._metric())
        assert self._error(back, truth.inverse(), moving) < self._most(self._metric())

    def test_bspline(self) -> None:
        """A B-spline is a displacement field that brings the images closer."""
        self._check_deformable("bspline")

    def test_syn(self) -> None:
        """Symmetric normalisation is a displacement field that brings the images closer."""
        self._check_deformable("syn")

    def _check_deformable(self, model: str) -> None:
        if model not in self.engine.models:
            raise SkipTest("it has no such model")
        fixed = self._phantom()
        motion = self._truth(fixed, "affine")
        moving = self._moved(fixed, motion)
        found, _ = self._register(
            fixed, moving, model, initial=Affine.identity(fixed.world), control_spacing=24
        )
        assert isinstance(found.parts[0], DisplacementField)
        assert found.metric < 0.5 * found.before

    # --- what it says ---------------------------------------------------------------------------

    def test_log(self) -> None:
        """The log has each level, the coarsest first, with the metric of each iteration."""
        fixed = self._phantom(n=32)[12:20]
        moving = self._moved(fixed, self._truth(fixed, "translation"))
        found, watched = self._register(fixed, moving, levels=2)
        job, outcome = watched.runs[0]
        assert len(job.levels) == 2
        sizes = [log.shape for log in outcome.log]
        assert list(dict.fromkeys(sizes)) == [level.fixed.shape for level in job.levels]
        for log in outcome.log:
            assert log.metric, f"no iteration of the level of shape {log.shape} is told"
            assert np.isfinite(log.metric).all()
            assert log.stop_reason
        assert outcome.log == found.log

    def test_iterations_that_run_out(self) -> None:
        """A search that is cut short says so."""
        fixed = self._phantom()
        moving = self._moved(fixed, self._truth(fixed, self._model()))
        found, watched = self._register(fixed, moving, iterations=2)
        assert not watched.runs[-1][1].log[-1].converged
        assert not found.converged
        assert any("did not converge" in said for said in watched.told)

    def test_progress(self) -> None:
        """`progress` hears of each iteration of each level, and what it raises ends the search."""
        fixed = self._phantom()
        moving = self._moved(fixed, self._truth(fixed, self._model()))
        seen: list[tuple[int, int, float]] = []
        found, _ = self._register(fixed, moving, progress=lambda *told: seen.append(told))
        metrics = list(itertools.chain.from_iterable(log.metric for log in found.log))
        assert [value for *_, value in seen] == metrics

        class Stop(Exception):
            pass

        def stop(*_: Any) -> None:
            raise Stop

        try:
            self._register(fixed, moving, progress=stop)
        except Stop:
            return
        raise AssertionError("what progress raises does not end the search")

    def test_same_bits_for_the_same_seed(self) -> None:
        """With one thread and one seed the answer is the same each time."""
        fixed = self._phantom()
        moving = self._moved(fixed, self._truth(fixed, self._model()))
        one, same = [
            self._register(fixed, moving, seed=3, samples=2000)[0](fixed.bounds) for _ in range(2)
        ]
        np.testing.assert_array_equal(one, same)

    # --- what it leaves alone -------------------------------------------------------------------

    def test_nothing_is_written_to(self) -> None:
        """Images, and the settings and random numbers of the process, stay as they are."""
        fixed = self._phantom()
        moving = self._moved(fixed, self._truth(fixed, self._model()))
        before = _process()
        _, watched = self._register(fixed, moving)
        assert not watched.written, "it writes to the arrays of the job"
        for name, value in _process().items():
            assert value == before[name], f"it changes {name}"

    def test_thin_images(self) -> None:
        """A slice onto a volume is registered, or refused with a RegistrationError."""
        image = self._phantom()
        try:
            found, _ = self._register(image[8], image)
        except RegistrationError as error:
            raise SkipTest(str(error)) from error
        still = Affine.identity(image.world)
        assert self._error(found, still, image[8]) < 10 * self._most(self._metric())


def _turn(angles: tuple[float, ...]) -> Floats:
    """Return a rotation about z, y and x in turn."""
    out = np.eye(3)
    for angle, (a, b) in zip(angles, ((0, 1), (0, 2), (1, 2)), strict=True):
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        out = step @ out
    return out


def _motion(image: SpatialArray, angles: tuple[float, ...], by: tuple[float, ...]) -> Affine:
    matrix, centre = np.eye(4), np.asarray(image.center)
    matrix[:3, :3] = _turn(angles)
    matrix[:3, 3] = centre + by - matrix[:3, :3] @ centre
    return Affine(matrix, image.world)


def _process() -> dict[str, Any]:
    """Return the settings of the process that an engine could change."""
    state: Any = np.random.get_state()  # noqa: NPY002  (what an engine may have seeded)
    return {
        "the working folder": os.getcwd(),  # noqa: PTH109
        "the environment": dict(os.environ),
        "Python's random numbers": random.getstate(),
        "NumPy's random numbers": (state[1].tobytes(), state[2]),
        "NumPy's handling of errors": np.geterr(),
    }
