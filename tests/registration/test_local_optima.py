"""An optimum next to the start is not taken for the answer: it is found, or it is not trusted.

Images are formulas of the place in the world, so that the moving one lies on a grid of its own and
nothing is resampled to make it.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable

pytest.importorskip("SimpleITK", reason="needs SimpleITK")

Field = "Callable[[np.ndarray], np.ndarray]"


def blobs(seed: int, n: int) -> Callable[[np.ndarray], np.ndarray]:
    """Return a body with organs of different sizes and brightness, without any symmetry."""
    rng = np.random.default_rng(seed)
    centers = rng.uniform(-16, 16, (7, n))
    widths, heights = rng.uniform(3, 7, 7), rng.uniform(0.3, 1.0, 7)
    body = np.array([24.0, 19.0, 21.0])[:n]

    def at(points: np.ndarray) -> np.ndarray:
        found = 0.4 / (1 + np.exp(8 * (np.linalg.norm(points / body, axis=-1) - 1)))
        for center, width, height in zip(centers, widths, heights, strict=True):
            found = found + height * np.exp(-(((points - center) / width) ** 2).sum(-1))
        return found

    return at


def ellipse(points: np.ndarray) -> np.ndarray:
    """Return an object that half a turn leaves as it is."""
    return 1 / (1 + np.exp(8 * (np.linalg.norm(points / [22, 12], axis=-1) - 1)))


def bricks(points: np.ndarray) -> np.ndarray:
    """Return a pattern that repeats itself every 12 mm, within a square."""
    wave = np.cos(2 * np.pi * points / 12).prod(axis=-1)
    return (1 + wave) * (np.abs(points) < 21).all(axis=-1)


def turned(axis: Any, degrees: float) -> np.ndarray:
    """Return a rotation about an axis in space, or in the plane where there is none."""
    angle = math.radians(degrees)
    if axis is None:
        c, s = math.cos(angle), math.sin(angle)
        return np.array([[c, -s], [s, c]])
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def inverted(values: np.ndarray) -> np.ndarray:
    return 3 - 2 * values


def other_modality(values: np.ndarray) -> np.ndarray:
    """Return brightness that neither rises nor falls with that of the first image."""
    return np.sin(4 * values) + 0.3 * values


def image_of(
    field: Any, grid: sd.Geometry, motion: sd.Affine | None, look: Any = None
) -> sd.SpatialArray:
    points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
    values = field(points if motion is None else motion.inverse()(points))
    values = values if look is None else look(values)
    noise = np.random.default_rng(1).normal(0, 0.01, grid.shape)
    return sd.SpatialArray((values + noise).astype(np.float32), grid)


def grid_of(n: int, spacing: Any = 1.0, center: Any = 0.0, flips: Any = 1, extent: Any = 64):
    spacing = np.broadcast_to(np.asarray(spacing, float), n)
    shape = np.rint(np.broadcast_to(extent, n) / spacing).astype(int)
    direction = np.diag(np.broadcast_to(flips, n).astype(float))
    origin = center - direction @ (spacing * (shape - 1) / 2)
    world = sd.World("xyz"[:n], "mm")
    return sd.Geometry(shape.tolist(), spacing.tolist(), origin.tolist(), direction, world=world)


#: Name: field, axis of the rotation, degrees, brightness of the moving image, its grid's options.
CASES: dict[str, tuple[Any, Any, float, Any, dict[str, Any]]] = {
    "90 degrees in the plane": (blobs(1, 2), None, 90, None, {}),
    "120 degrees, brightness inverted": (blobs(2, 2), None, 120, inverted, {}),
    "175 degrees, anisotropic voxels": (blobs(3, 2), None, 175, None, {"spacing": (1, 2)}),
    "120 degrees, partial overlap": (blobs(4, 2), None, 120, None, {"extent": (64, 40)}),
    "60 degrees about an odd axis": (blobs(5, 3), (1, 2, 3), 60, None, {"spacing": 2}),
    "75 degrees, flipped axes": (
        blobs(6, 3), (-2, 1, 0.5), 75, None, {"spacing": 2, "flips": (-1, 1, -1)},
    ),
    "90 degrees, two modalities": (blobs(7, 3), (1, 1, 0), 90, other_modality, {"spacing": 2}),
    "100 degrees, thick slices": (blobs(8, 3), (3, -1, 2), 100, None, {"spacing": (2, 2, 4)}),
    "an object that half a turn leaves as it is": (ellipse, None, 120, None, {}),
    "a pattern that repeats itself": (bricks, None, 90, None, {}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_found_or_not_trusted(name: str) -> None:
    field, axis, degrees, look, options = CASES[name]
    n = 2 if axis is None else 3
    spacing = options.get("spacing", 1.0)
    fixed = image_of(field, grid_of(n, np.min(spacing)), None)
    world = fixed.world
    matrix = np.eye(n + 1)
    matrix[:n, :n], matrix[:n, n] = turned(axis, degrees), [5.0, -7.0, 4.0][:n]
    truth = sd.Affine(matrix, world)
    moving = image_of(field, grid_of(n, **{"center": matrix[:n, n], **options}), truth, look)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of what is not trusted
        found = sd.register(fixed, moving, "rigid")
    inside = np.argwhere(fixed.data > np.median(fixed.data))
    points = fixed.index_to_physical(inside[:: max(1, len(inside) // 2000)])
    error = float(np.linalg.norm(found(points) - truth(points), axis=1).max())
    assert error < np.max(spacing) or not found.trusted, f"{error:.1f} mm, and trusted"
