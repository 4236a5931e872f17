"""Images with a motion that is known, and how far an answer is from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.geometry import Geometry, World
from spatial_duck.transforms import Affine, DisplacementField

if TYPE_CHECKING:
    from spatial_duck.registration import Registration

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")


def rigid(
    centre: Any, world: World, turn: Any = (0.05, -0.08, 0.12), by: Any = (5, -7, 4)
) -> Affine:
    euler = sitk.Euler3DTransform(np.asarray(centre).tolist(), *map(float, turn), by)
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(euler.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = euler.TransformPoint((0.0, 0.0, 0.0))
    return Affine(matrix, world)


def moved_image(image: sd.SpatialArray, motion: Affine) -> sd.SpatialArray:
    """The same voxels where the motion brings them: what is at p is then at motion(p)."""
    g, m = image.geometry, motion.matrix[:-1, :-1]
    steps = m @ (g.direction * g.spacing)
    lengths = np.sqrt((steps**2).sum(axis=0))
    return image.replace(
        origin=motion(g.origin).tolist(), spacing=lengths.tolist(), direction=steps / lengths
    )


def phantom(n: int = 32, frame: str | None = "LPS") -> sd.SpatialArray:
    """Waves in all directions that fade away from the middle of a box of 64 mm; z, y, x."""
    rng = np.random.default_rng(5)
    grid = Geometry((n, n, n), (64 / n,) * 3, (3.0, -20.0, 40.0), unit="mm", frame=frame)
    at = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
    values = np.full(grid.shape, 300.0)
    for wave, phase in zip(rng.normal(0, 0.17, (30, 3)), rng.uniform(0, 7, 30), strict=True):
        values += 30 * np.cos(at @ wave + phase)
    values *= np.exp(-(((at / [20, 24, 27]) ** 2).sum(-1) ** 2))
    return sd.SpatialArray(values.astype(np.float32), grid)


def error_of(found: Any, truth: Any, image: sd.SpatialArray) -> float:
    """The largest distance over the brightest half of the voxels and the corners of the image."""
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in image.shape])).reshape(image.ndim, -1).T
    inside = np.argwhere(image.data > np.median(image.data))
    index = np.concatenate([corners, inside[:: max(1, len(inside) // 2000)]])
    points = image.index_to_physical(index)
    return float(np.linalg.norm(found(points) - truth(points), axis=1).max())


MODELS = {
    "translation": np.eye(3),
    "rigid": rigid((0, 0, 0), World("xyz", "mm"), (0.06, 0.04, -0.1)).matrix[:3, :3],
    "similarity": 1.06 * rigid((0, 0, 0), World("xyz", "mm"), (0.06, 0.04, -0.1)).matrix[:3, :3],
    "affine": np.array([[1.05, 0.06, 0.0], [-0.03, 0.96, 0.04], [0.02, 0.0, 1.03]]),
}


def rippled() -> tuple[sd.SpatialArray, sd.SpatialArray, DisplacementField]:
    """An image, the same one warped, and the field that leads to it."""
    fixed = phantom()
    ripple = Geometry((9, 9, 9), (9, 9, 9), fixed.origin - 4, unit="mm", frame="LPS")
    at = ripple.index_to_physical(np.moveaxis(np.indices(ripple.shape), 0, -1))
    vectors = 2.5 * np.sin((at - fixed.center) / 16)[..., [1, 2, 0]]
    field = DisplacementField(
        sd.SpatialArray(vectors, ripple.expand_dims(3).repeat(3, 3))
    )  # fmt: skip
    # moving(field(p)) = fixed(p): the moving image is made by a warp back, found numerically.
    points = fixed.geometry.index_to_physical(np.moveaxis(np.indices(fixed.shape), 0, -1))
    back = points.copy()
    for _ in range(30):
        back = points - (field(back) - back)
    return fixed, fixed.replace(sampled(fixed, back)), field


def check_bspline(engine: str) -> Registration:
    fixed, moving, field = rippled()
    found = sd.register(fixed, moving, "bspline", metric="mean_squares", at=2, levels=2,
                        control_spacing=16, initial=Affine.identity(fixed.world),
                        engine=engine)  # fmt: skip
    assert isinstance(found.transform, DisplacementField)
    assert found.metric < 0.05 * found.before
    points = fixed.geometry.index_to_physical(np.argwhere(fixed.data > 60))
    assert np.linalg.norm(found(points) - field(points), axis=1).mean() < 0.5
    return found


def sampled(image: sd.SpatialArray, points: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(image.physical_to_index(points), -1, 0)
    return map_coordinates(image.data, index, order=3, mode="nearest").astype(np.float32)
