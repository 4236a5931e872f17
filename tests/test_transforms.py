"""Transforms map points, and keep their meaning in other worlds."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.testing import strategies
from spatial_duck.transforms import Affine, world_change
from spatial_duck.world import World

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
