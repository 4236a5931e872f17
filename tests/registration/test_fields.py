"""A field that is smooth and wrong is not trusted, and one that is right is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.registration import Engine
from spatial_duck.transforms import DisplacementField


def waves(seed: int, n: int) -> Any:
    """Return a body with structure everywhere, as a function of the place."""
    rng = np.random.default_rng(seed)
    vectors, phases = rng.normal(0, 0.25, (12, n)), rng.uniform(0, 7, 12)

    def at(points: np.ndarray) -> np.ndarray:
        found = 6 + np.cos(points @ vectors.T + phases).sum(axis=-1)
        return found / (1 + np.exp(10 * (np.linalg.norm(points / 27, axis=-1) - 1)))

    return at


def bump(points: np.ndarray, push: Any, center: Any, width: float) -> np.ndarray:
    """Return a smooth displacement in one part of the image, as long as `push` at most."""
    near = np.exp(-(((points - center) / width) ** 2).sum(-1))
    return near[..., None] * np.asarray(push, float)


def bent(points: np.ndarray) -> np.ndarray:
    """Return where a smooth deformation of 2 mm leads points."""
    return points + 2 * np.sin(np.roll(points, 1, axis=-1) / 14)


class Given(Engine):
    """Says that it found what it was given."""

    name = "given"
    models = ("bspline",)

    def __init__(self, field: DisplacementField) -> None:
        self.field = field

    def run(self, job: Any) -> Any:
        measure = self.measure(job)
        logs = [self.log(job, k, [measure(self.field)], "it is", True)
                for k in range(len(job.levels))]  # fmt: skip
        return self.outcome(job, self.field, logs)


def field_of(grid: sd.Geometry, move: Any) -> DisplacementField:
    n = grid.ndim
    points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
    return DisplacementField(
        sd.SpatialArray(move(points) - points, grid.expand_dims(n).repeat(n, n))
    )


#: Seed, axes, spacing, brightness of the moving image, push in mm, its centre and width.
CASES: dict[str, tuple[int, int, Any, Any, Any, Any, float]] = {
    "one corner": (1, 3, 2.0, None, (6, 0, 0), (10, 10, 10), 9),
    "the middle": (2, 3, 2.0, None, (0, 7, 0), (0, 0, 0), 12),
    "obliquely": (3, 3, 2.0, None, (5, 5, -4), (-8, 6, 4), 12),
    "brightness inverted": (4, 3, 2.0, lambda v: 20 - v, (0, -6, 0), (6, -6, 0), 12),
    "brightness scaled": (5, 3, 2.0, lambda v: 3 * v + 7, (0, 0, 7), (0, 8, 8), 10),
    "another modality": (6, 3, 2.0, lambda v: np.sqrt(np.abs(v)), (7, 0, 0), (0, -8, 8), 11),
    "thick slices": (7, 3, (2.0, 2.0, 3.0), None, (6, 5, 0), (5, 5, 5), 12),
    "in the plane": (8, 2, 1.0, None, (5, 0), (8, 8), 10),
    "in the plane, inverted": (9, 2, 1.0, lambda v: -v, (0, 4.5), (-5, 5), 11),
    "everywhere a little": (10, 2, 1.0, None, (3, 3), (0, 0), 40),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_smooth_wrong_field_is_not_trusted(name: str) -> None:
    seed, n, spacing, look, push, center, width = CASES[name]
    spacings = np.broadcast_to(spacing, n)
    shape = np.rint(64 / spacings).astype(int).tolist()
    world = sd.World("xyz"[:n], "mm")
    grid = sd.Geometry(shape, spacings.tolist(), [-32.0] * n, world=world)
    points = grid.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    values = waves(seed, n)
    noise = np.random.default_rng(0).normal(0, 0.02, (2, *shape))
    fixed = sd.SpatialArray((values(bent(points)) + noise[0]).astype("f4"), grid)
    seen = values(points) if look is None else look(values(points))
    moving = sd.SpatialArray((seen + noise[1]).astype("f4"), grid)

    def wrong(points: np.ndarray) -> np.ndarray:
        return bent(points) + bump(points, push, center, width)

    right, astray = [
        sd.register(fixed, moving, "bspline", initial="world",
                    engine=Given(field_of(grid, move)))
        for move in (bent, wrong)
        if not warnings.simplefilter("ignore", UserWarning)
    ]  # fmt: skip
    assert right.trusted, right.doubt
    assert "more alike" in astray.doubt
    assert not astray.trusted
