"""Transforms on grids: displacement fields, and how much they enlarge space."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryError

TURNED = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
WORLD = ("x", "y", "z")


def grid(direction: Any = None, shape: tuple[int, ...] = (9, 10, 11)) -> sd.Geometry:
    turn = np.eye(3)[:, ::-1] if direction is None else np.asarray(direction)
    return sd.Geometry(
        shape, spacing=(2.0, 1.5, 1.0), origin=(3, -4, 5), direction=turn, world=WORLD,
        frame="LPS", unit="mm",
    )  # fmt: skip


def wave(where: sd.Geometry) -> sd.DisplacementField:
    """Make a smooth field that is zero at no edge."""
    points = where.index_to_physical(np.moveaxis(np.indices(where.shape), 0, -1))
    vectors = 0.4 * np.sin(points[..., [1, 2, 0]] / 4 + points / 3) + 0.2
    geometry = sd.Geometry(
        vectors.shape, where.spacing, where.origin, where.direction, dims=(*where.dims, "c"),
        sampled=where.dims, world=where.world,
    )  # fmt: skip
    return sd.DisplacementField(sd.SpatialArray(vectors, geometry))


def turn() -> sd.Affine:
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(TURNED) * 1.1
    matrix[:3, 3] = (1, 2, 3)
    return sd.Affine(matrix, grid().world)


@pytest.mark.parametrize("direction", [None, TURNED])
def test_a_field_moves_points_as_its_transform_does(direction: Any) -> None:
    where = grid(direction)
    whole = sd.Composite(turn(), wave(grid()))
    field = whole.to_field(where)
    points = where.index_to_physical(np.random.default_rng(0).integers(0, 9, (50, 3)))
    assert np.allclose(field(points), whole(points), atol=1e-12)
    lazy = whole.to_field(where, chunks=4)
    assert lazy.image.chunks[:3] == ((4, 4, 1), (4, 4, 2), (4, 4, 3))
    assert np.array_equal(np.asarray(lazy.image), np.asarray(field.image))
    image = sd.SpatialArray(np.random.default_rng(1).random(where.shape), where)
    once, twice = (sd.resample(image, where, transform=t) for t in (whole, field))
    assert np.allclose(np.asarray(once), np.asarray(twice), atol=1e-9)


def test_a_field_of_an_inverse_goes_back() -> None:
    where = grid()
    field = wave(where)
    back = sd.Composite(field.inverse(), turn(), turn().inverse()).to_field(where)
    points = where.index_to_physical(np.random.default_rng(0).integers(2, 7, (50, 3)))
    assert np.allclose(field(back(points)), points, atol=5e-3)
    # What one map enlarges, the other makes smaller by as much.
    there = np.asarray(back.jacobian_determinant(where))[2:-2, 2:-2, 2:-2]
    inner = where[2:-2, 2:-2, 2:-2]
    places = back(inner.index_to_physical(np.moveaxis(np.indices(inner.shape), 0, -1)))
    forth = sd.sample(field.jacobian_determinant(where), places)
    assert np.allclose(np.asarray(forth) * there, 1, atol=0.02)


def test_the_determinant_of_affine_maps_is_their_matrix() -> None:
    found = sd.Composite(turn(), turn()).jacobian_determinant(grid())
    assert np.allclose(np.asarray(found), 1.1**6, rtol=1e-12)
    inverse = turn().inverse().jacobian_determinant(grid(TURNED))
    assert np.allclose(np.asarray(inverse), 1.1**-3, rtol=1e-12)


@pytest.mark.parametrize("direction", [None, TURNED])
def test_the_determinant_of_a_linear_field_is_its_matrix(direction: Any) -> None:
    where = grid(direction)
    found = turn().to_field(where).jacobian_determinant(where)
    assert np.allclose(np.asarray(found), 1.1**3, rtol=1e-9)
    assert found.geometry == where
    lazy = wave(where).jacobian_determinant(where, chunks=(3, 10, 5))
    assert lazy.chunks == ((3, 3, 3), (10,), (5, 5, 1))
    assert np.array_equal(np.asarray(lazy), np.asarray(wave(where).jacobian_determinant(where)))


def test_the_determinant_is_simpleitks() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    where = grid()
    field = wave(where)
    image = sitk.GetImageFromArray(np.asarray(field.image), isVector=True)
    image.SetSpacing(where.spacing[::-1].tolist())
    image.SetOrigin(where.origin.tolist())
    judge = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    ours = np.asarray(field.jacobian_determinant(where))
    inner = (slice(1, -1),) * 3  # ITK halves differences at the edges
    assert np.allclose(ours[inner], judge[inner], atol=1e-6)
    assert np.ptp(ours[inner]) > 0.1


def test_a_grid_must_fill_its_world() -> None:
    with pytest.raises(GeometryError, match="an axis for each of the world axes"):
        turn().to_field(grid()[0])
    image = sd.SpatialArray(np.zeros((2, 3, 4, 5)), dims=("c", "z", "y", "x"), world=grid().world)
    assert turn().to_field(image).image.shape == (3, 4, 5, 3)
    thin = grid(shape=(1, 2, 1))
    found = np.asarray(turn().to_field(thin).jacobian_determinant(thin))
    assert np.isfinite(found).all()
