"""B-spline transforms are evaluated at each voxel, in memory and in chunks, as SimpleITK does."""

from __future__ import annotations

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import resample
from spatial_duck.transforms import Affine, BSpline, Composite

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")

TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]


def _spline(order: int = 3) -> BSpline:
    shape, spacing = np.array([7, 8, 9]), np.array([9.0, 8.0, 7.0])
    origin = _image().center - TURN @ (spacing * (shape - 1) / 2)
    grid = Geometry(shape.tolist(), spacing.tolist(), origin.tolist(), TURN)
    return BSpline(np.random.default_rng(0).normal(0, 1.5, (3, *grid.shape)), grid, order)


def _image() -> sd.SpatialArray:
    data = np.random.default_rng(1).normal(size=(20, 24, 28))
    return sd.SpatialArray(data, spacing=(2.0, 1.5, 1.0), origin=(1.0, -2.0, 3.0))


def _wanted(image: sd.SpatialArray, transform: sd.Transform, grid: Geometry) -> np.ndarray:
    """Linear values at the points that the transform gives, by its own map of points."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), -1)
    points = transform(grid.index_to_physical(index.reshape(-1, 3)))
    return sd.sample(image, points, fill=0).reshape(grid.shape)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("chained", [False, True])
def test_splines_are_evaluated_at_each_voxel(order: int, chained: bool) -> None:
    image = _image()
    grid = Geometry((15, 17, 13), (2.3, 1.9, 2.1), (0.0, -1.0, 2.0))
    transform: sd.Transform = _spline(order)
    if chained:
        matrix = np.eye(4)
        matrix[:3, :3] = TURN @ np.diag([1.0, 1.1, 0.9])
        matrix[:3, 3] = image.center - matrix[:3, :3] @ image.center
        transform = Composite(Affine(matrix, image.world), transform, transform)
    result = resample(image, grid, transform=transform).data
    np.testing.assert_allclose(result, _wanted(image, transform, grid), atol=1e-9)
    assert np.abs(result - resample(image, grid).data).max() > 0.1
    lazy = resample(image.chunk((7, 11, 9)), grid, transform=transform)
    np.testing.assert_array_equal(lazy.compute().data, result)


def test_splines_are_simpleitks() -> None:
    """And so is where they have no vectors, at the border of the grid of coefficients."""
    image = _image().replace(frame="LPS", unit="mm")
    given = _spline()
    grid = Geometry(given.geometry.shape, given.geometry.spacing, given.geometry.origin,
                    given.geometry.direction, dims=("z", "y", "x"), world=image.world)  # fmt: skip
    spline = BSpline(given.coefficients, grid)
    target = Geometry((30, 40, 40), (2.5, 2.0, 1.8), (-20.0, -20.0, -20.0), world=image.world)
    result = resample(image, target, transform=spline).data
    reference = sd.to_simpleitk(image)
    like = sd.to_simpleitk(sd.SpatialArray(np.zeros(target.shape, "u1"), target))
    theirs = sitk.Resample(reference, like, sd.to_simpleitk(spline), sitk.sitkLinear, 0.0)
    np.testing.assert_allclose(result, sitk.GetArrayFromImage(theirs), atol=1e-6)


def test_quadratic_splines_say_how_to_go_on() -> None:
    with pytest.raises(TypeError, match=r"order 2 .* transform.field\(geometry\)"):
        resample(_image(), transform=_spline(2), spacing=2)
    field = _spline(2).field(_image().geometry)
    assert resample(_image(), _image(), transform=field).shape == _image().shape
