"""How often fields that are right are doubted, and how often those that are wrong are not.

Pairs are drawn at random: the deformation, its amplitude and its length, noise, contrasts,
structures that one image alone has, and how much of it is cut away.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from tests.registration.test_fields import Given, bump, field_of, waves

if TYPE_CHECKING:
    from collections.abc import Callable

LOOKS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda v: v,
    lambda v: -v,
    lambda v: 3 * v + 7,
    lambda v: np.sqrt(np.abs(v)),
)


def smooth(rng: Any, n: int, amplitude: float, length: float) -> Any:
    """Return a smooth displacement as a function of the place."""
    vectors = rng.normal(0, 1, (n, 4, n))
    vectors *= 2 * np.pi / length / np.linalg.norm(vectors, axis=-1, keepdims=True)
    phases = rng.uniform(0, 7, (n, 4))
    scale = amplitude / np.sqrt(2 * n)

    def at(points: np.ndarray) -> np.ndarray:
        parts = [np.sin(points @ v.T + p).sum(-1) for v, p in zip(vectors, phases, strict=True)]
        return scale * np.stack(parts, -1)

    return at


class Pair:
    """Two images, and the deformation between them."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.n = n = 2 + seed % 2
        self.spacing = float(n - 1)
        length = float(rng.choice([24, 40, 70]))
        motion = smooth(rng, n, min(float(rng.choice([1, 2, 4])), length / 14), length)
        left = smooth(rng, n, 0.35 * self.spacing, 40.0)  # what a good search leaves
        self.right = lambda points: points + motion(points) + left(points)
        self.push = rng.normal(size=n)
        self.push *= rng.uniform(2.5, 4.5) * self.spacing / np.linalg.norm(self.push)
        self.center, self.width = rng.uniform(-12, 12, n), rng.uniform(9, 14)
        shape = [int(64 / self.spacing)] * n
        self.grid = sd.Geometry(
            shape, [self.spacing] * n, [-32.0 + self.spacing / 2] * n,
            world=sd.World("xyz"[:n], "mm"),
        )  # fmt: skip
        points = self.grid.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
        values, others = waves(seed, n), waves(seed + 1000, n)
        noise, foreign = rng.choice([0.01, 0.15, 0.4]), rng.choice([0, 0, 0.2, 0.4])
        look = LOOKS[rng.integers(len(LOOKS))]
        here, there = values(points + motion(points)), look(values(points))
        there = there + foreign * there.std() * others(points) / others(points).std()
        self.fixed, self.moving = [
            sd.SpatialArray((v + noise * v.std() * rng.normal(size=shape)).astype("f4"), self.grid)
            for v in (here, there)
        ]
        if rng.random() < 0.3:
            self.moving = self.moving[int(0.3 * shape[0]) :]

    def trusts(self, move: Any) -> bool:
        """Whether a search that ends with a field is trusted."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = sd.register(self.fixed, self.moving, "bspline", initial="world", levels=1,
                                engine=Given(field_of(self.grid, move)))  # fmt: skip
        return not found.doubt


@pytest.mark.slow
def test_how_often_the_verdict_is_wrong() -> None:
    pairs = [Pair(seed) for seed in range(16)]
    alarms = [seed for seed, pair in enumerate(pairs) if not pair.trusts(pair.right)]
    shifted = [
        seed for seed, pair in enumerate(pairs)
        if pair.trusts(lambda p, pair=pair: pair.right(p) + pair.push)
    ]  # fmt: skip
    bent = [
        seed for seed, pair in enumerate(pairs)
        if pair.trusts(
            lambda p, pair=pair: pair.right(p) + bump(p, pair.push, pair.center, pair.width)
        )
    ]  # fmt: skip
    assert len(alarms) <= 1, alarms
    assert not shifted
    assert len(bent) <= 4, bent


@pytest.mark.parametrize("n", [2, 3])
def test_a_field_between_images_of_noise_is_not_trusted(n: int) -> None:
    rng = np.random.default_rng(n)
    grid = sd.Geometry([20] * n, [2.0] * n, [0.0] * n, world=sd.World("xyz"[:n], "mm"))
    fixed, moving = [
        sd.SpatialArray(rng.normal(size=grid.shape).astype("f4"), grid) for _ in range(2)
    ]
    field = field_of(grid, lambda p: p + smooth(rng, n, 2.0, 30.0)(p))
    with pytest.warns(UserWarning, match="did not converge|little in common"):
        found = sd.register(fixed, moving, "bspline", initial="world", levels=1,
                            engine=Given(field))  # fmt: skip
    assert "little in common" in found.doubt
    assert not found.trusted
