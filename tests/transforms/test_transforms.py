"""Transforms map points, and keep their meaning in other worlds."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.array import SpatialArray
from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.testing import _strategies as strategies
from spatial_duck.transforms import Affine, Composite, DisplacementField
from spatial_duck.transforms._base import world_change

seeds = st.integers(0, 2**32 - 1)


def _affine(seed: int, world: World) -> Affine:
    rng = np.random.default_rng(seed)
    n = len(world.axes)
    matrix = np.eye(n + 1)
    matrix[:n] = np.eye(n, n + 1) + rng.uniform(-0.3, 0.3, (n, n + 1))
    return Affine(matrix, world)


@given(strategies.worlds("xyz"), seeds)
def test_inverse(world, seed):
    transform = _affine(seed, world)
    points = np.random.default_rng(seed).normal(size=(5, 2, 3))
    np.testing.assert_allclose(transform.inverse()(transform(points)), points, atol=1e-9)


@given(seeds, st.permutations("xyz"), strategies.frames(none=False), st.sampled_from(("mm", "um")))
def test_same_map_in_another_world(seed, axes, frame, unit):
    """Points brought to the other world, mapped there and brought back end where they should."""
    here, there = World("xyz", "mm", "LPS"), World(axes, unit, frame)
    transform = _affine(seed, here)
    points = np.random.default_rng(seed).normal(size=(4, 3))
    change = world_change(here, there)
    np.testing.assert_allclose(
        transform.to_world(there)(points @ change.T), transform(points) @ change.T,
        rtol=1e-9, atol=1e-9 * abs(change).max(),
    )  # fmt: skip


VOLUMES = strategies.geometries(ndim=3, plain=False, time=False, embedded=False)


@given(VOLUMES, st.permutations("xyz"))
def test_world_change_is_that_of_geometries(geometry, axes):
    if sorted(geometry.world.axes) != list("xyz"):
        return
    moved = geometry.to_world(axes)
    np.testing.assert_allclose(
        world_change(geometry.world, moved.world) @ geometry.origin, moved.origin
    )


def test_further_axes_stay_as_they_are():
    shift = Affine([[1, 0, 5], [0, 1, 7], [0, 0, 1]], ("y", "x"))
    wide = shift.to_world(World(("t", "x", "y")))
    np.testing.assert_array_equal(wide([1.0, 2.0, 3.0]), [1, 9, 8])


REFUSED = [
    (np.eye(3)[:2], None, "square"),
    (np.diag([1, np.nan, 1]), None, "finite"),
    (np.diag([1, 1, 2]), None, "last row"),
    (np.diag([1, 0, 1]), None, "singular"),
    (np.eye(3), ("x", "y", "z"), "4 rows"),
    (np.eye(6), None, "world must be given"),
    (3.0, None, "square"),
]


@pytest.mark.parametrize("matrix, world, message", REFUSED)
def test_refused(matrix, world, message):
    with pytest.raises(GeometryError, match=message):
        Affine(matrix, world)


def test_worlds_that_do_not_fit():
    transform = Affine.identity(World("xyz", frame="RAS"))
    with pytest.raises(FrameError):
        transform.to_world(World("xyz"))
    with pytest.raises(GeometryError, match="lacks"):
        transform.to_world(World("xy", frame="RAS"))
    with pytest.raises(GeometryError, match="points"):
        transform([1.0, 2.0])


def test_copies_and_equality():
    transform = _affine(3, World("xyz", "mm", "RAS"))
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        assert other == transform
        assert hash(other) == hash(transform)
    assert transform != transform.inverse()
    assert not transform.matrix.flags.writeable
    assert Geometry((2, 2, 2)) != transform


# --- displacement fields --------------------------------------------------------------------


def _field(size: float = 2.5, spacing: float = 1.5, world: World | None = None):
    """A smooth field of waves on a grid that is turned and sheared."""
    n = round(36 / spacing)
    direction = np.array([[0.8, -0.6, 0.1], [0.6, 0.8, 0.0], [0.0, 0.0, np.sqrt(0.99)]])
    direction /= np.sqrt((direction**2).sum(axis=0))
    grid = Geometry(
        (n, n, n), (spacing,) * 3, (3.0, -4.0, 5.0), direction,
        world=world or World("xyz", "mm", "LPS"),
    )  # fmt: skip
    at = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
    vectors = size * np.sin(at / 9)[..., [1, 2, 0]]
    return DisplacementField(SpatialArray(vectors, grid.expand_dims(3).repeat(3, 3))), grid


def _inside(grid, count=1000, part=0.5):
    index = np.array(grid.shape) * (
        0.5 + part * np.random.default_rng(0).uniform(-0.5, 0.5, (count, 3))
    )
    return grid.index_to_physical(index)


@pytest.mark.parametrize("world", [World("xyz", "mm", "LPS"), World("zxy", "um", "RAS")])
def test_numeric_inverse_of_a_field_keeps_its_word(world):
    field, grid = _field()
    field, points = field.to_world(world), _inside(grid) @ world_change(grid.world, world).T
    inverse = field.inverse()
    assert 0 < inverse.error < 0.1 * (1000 if world.units[0] == "um" else 1)
    for there, back in ((inverse, field), (field, inverse)):
        missed = np.linalg.norm(back(there(points)) - points, axis=1).max()
        assert missed <= 1.3 * inverse.error


@pytest.mark.slow
def test_numeric_inverse_is_linear_between_its_voxels():
    """Away from the border, half the voxel makes a quarter of the error."""
    missed = []
    for spacing in (1.5, 0.75):
        field, grid = _field(spacing=spacing)
        points = _inside(grid)
        missed.append(np.linalg.norm(field(field.inverse()(points)) - points, axis=1).max())
    assert missed[1] < 0.4 * missed[0]


def test_numeric_inverse_is_exact_at_voxels_and_that_of_itk():
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    from spatial_duck.io._simpleitk_transforms import from_simpleitk, to_simpleitk

    field, grid = _field()
    inverse = field.inverse()
    index = np.moveaxis(np.indices(grid.shape), 0, -1)[4:-4, 4:-4, 4:-4].reshape(-1, 3)
    points = grid.index_to_physical(index)
    np.testing.assert_allclose(field(inverse(points)), points, atol=1e-5)
    theirs = sitk.IterativeInverseDisplacementField(
        to_simpleitk(field).GetDisplacementField(), numberOfIterations=50
    )
    peer = from_simpleitk(
        sitk.DisplacementFieldTransform(sitk.Cast(theirs, sitk.sitkVectorFloat64))
    )
    # ITK's points miss themselves; ours lie no further from them than that allows.
    missed = np.linalg.norm(field(peer(points)) - points, axis=1)
    apart = np.linalg.norm(peer(points) - inverse(points), axis=1)
    assert (apart <= 1.5 * missed + 1e-4).all()
    assert np.median(missed) < 0.05


@pytest.mark.slow
def test_a_field_that_folds_space_has_no_inverse():
    with pytest.raises(GeometryError, match="folds space"):
        _field(size=20.0)[0].inverse()


def test_inverse_of_a_composite():
    field, grid = _field()
    turn = _affine(3, grid.world)
    both = Composite(field, turn)
    points = _inside(grid)
    missed = np.linalg.norm(both.inverse()(both(points)) - points, axis=1).max()
    assert missed <= 1.3 * field.inverse().error


@given(seeds)
def test_boxes_hold_the_images_of_their_points(seed):
    """The smallest box for an affine map; one that holds all for the others."""
    from spatial_duck.transforms import BSpline

    rng = np.random.default_rng(seed)
    field, grid = FIELD
    affine = _affine(seed, grid.world)
    spline = BSpline(rng.normal(0, 3, (3, *grid.shape)), grid)
    box = np.sort(rng.uniform(-40, 60, (2, 3)), axis=0)
    points = rng.uniform(*box, (200, 3))
    corners = np.stack(np.meshgrid(*box.T), -1).reshape(-1, 3)
    for transform in (affine, field, spline, Composite(field, affine, spline)):
        low, high = transform.map_bounds(box)
        images = transform(np.concatenate([points, corners]))
        assert (images >= low - 1e-9).all()
        assert (images <= high + 1e-9).all()
    exact = affine(corners)
    np.testing.assert_allclose(affine.map_bounds(box), [exact.min(0), exact.max(0)])
    with pytest.raises(GeometryError, match="bounds"):
        affine.map_bounds(box[::-1])


FIELD = _field()
