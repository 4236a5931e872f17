"""Grids that hold a ball of the world, of all kinds of direction, and fields known in the world."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

pytest.importorskip("scipy", reason="needs scipy")


def turn(*angles: float) -> np.ndarray:
    """Return a rotation in as many dimensions as there are pairs of axes."""
    n = {1: 2, 3: 3}[len(angles)]
    matrix = np.eye(n)
    pairs = [(i, j) for i in range(n) for j in range(i + 1, n)]
    for (i, j), angle in zip(pairs, angles, strict=True):
        step = np.eye(n)
        step[i, i] = step[j, j] = math.cos(angle)
        step[i, j], step[j, i] = -math.sin(angle), math.sin(angle)
        matrix = step @ matrix
    return matrix


def sheared(matrix: np.ndarray, amount: float) -> np.ndarray:
    """Lean the last axis towards the one before it."""
    out = matrix.copy()
    out[:, -1] += amount * out[:, -2]
    return out / np.linalg.norm(out, axis=0)


OBLIQUE = turn(0.3, -0.5, 1.1)
#: Direction (columns in array order) and spacing.
GRIDS: dict[str, tuple[Any, Any]] = {
    "isotropic": (np.eye(3), (1.0, 1.0, 1.0)),
    "anisotropic": (np.eye(3), (1.4, 0.7, 1.0)),
    "flipped": (np.eye(3)[:, [2, 0, 1]] * [1, -1, -1], (1.3, 0.8, 1.0)),
    "oblique": (OBLIQUE, (1.4, 0.7, 1.0)),
    "gantry tilt": (sheared(np.eye(3), 0.4), (1.0, 0.8, 1.2)),
    "sheared": (sheared(OBLIQUE, -0.4) @ np.diag([1, -1, 1]), (1.2, 0.9, 1.1)),
    "2-D in 3-D": (OBLIQUE[:, :2], (0.8, 1.2)),
    "2-D sheared in 3-D": (sheared(OBLIQUE[:, :2], 0.5), (0.8, 1.1)),
    "line in 3-D": (OBLIQUE[:, 1:2], (0.9,)),
}


def grid_around(direction: Any, spacing: Any, radius: float, center: Any) -> sd.Geometry:
    """Return a grid with a voxel near a point, whose faces are `radius` away from it."""
    direction = np.asarray(direction, float)
    steps = direction * np.asarray(spacing, float)
    reach = np.ceil(radius * np.sqrt(np.diag(np.linalg.inv(steps.T @ steps)))).astype(int)
    shape = 2 * reach + 1
    shift = steps @ (np.arange(1, len(reach) + 1) * 0.13)  # the centre is between voxels
    origin = np.asarray(center) + shift - steps @ reach
    dims = ("z", "y", "x")[-len(reach) :]
    return sd.Geometry(
        shape, spacing, origin, direction, dims, world=("x", "y", "z"), frame="LPS", unit="mm"
    )


def positions(geometry: sd.Geometry) -> np.ndarray:
    """Return the world position of each voxel, shape (*shape, n_world)."""
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)
    return geometry.index_to_physical(index)


CENTER = np.array([12.0, -30.0, 7.0])


@pytest.fixture(params=GRIDS)
def grid_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Blob:
    """A Gaussian of the world on a grid, and what filters must make of it."""

    def __init__(self, name: str, width: float, radius: float) -> None:
        direction, spacing = GRIDS[name]
        self.geometry = grid_around(direction, spacing, radius, CENTER)
        # A slice need not go through the centre of what it cuts; here it does.
        self.offset = positions(self.geometry) - CENTER
        self.n = len(spacing)
        self.width = width
        self.image = sd.SpatialArray(self.smoothed(0.0), self.geometry, attrs={"kept": 1})
        depth = np.sqrt((self.offset**2).sum(-1))
        self.inside = depth < radius / 2

    def smoothed(self, sigma: float) -> np.ndarray:
        square = self.width**2 + sigma**2
        height = (self.width**2 / square) ** (self.n / 2)
        return height * np.exp(-(self.offset**2).sum(-1) / 2 / square)

    def gradient(self, sigma: float) -> np.ndarray:
        square = self.width**2 + sigma**2
        return np.moveaxis(-self.offset / square * self.smoothed(sigma)[..., None], -1, 0)

    def laplacian(self, sigma: float) -> np.ndarray:
        square = self.width**2 + sigma**2
        return ((self.offset**2).sum(-1) / square**2 - self.n / square) * self.smoothed(sigma)


@pytest.fixture(scope="session")
def blob() -> Any:
    """``blob(name, width, radius)``: the Gaussian on one of the grids."""
    made: dict[Any, Blob] = {}

    def make(name: str, width: float = 2.5, radius: float = 10.0) -> Blob:
        key = (name, width, radius)
        if key not in made:
            made[key] = Blob(*key)
        return made[key]

    return make


@pytest.fixture(scope="session")
def world() -> Any:
    """The helpers of this module."""
    import types

    return types.SimpleNamespace(
        grid_around=grid_around, positions=positions, GRIDS=GRIDS, CENTER=CENTER, turn=turn,
        sheared=sheared,
    )  # fmt: skip
