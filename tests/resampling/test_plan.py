"""Plans: what is worked out before any data are touched."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.geometry import Geometry
from spatial_duck.resampling import make_plan
from spatial_duck.testing import _strategies as strategies

SOURCE = Geometry((6, 9, 11), (2, 1, 1))


@given(strategies.geometries(min_side=1), st.data())
def test_same_grid_in_any_world_is_a_shift(geometry, data):
    """Frames, units and world order make no arithmetic."""
    if not geometry.sampled_axes:
        return
    same = geometry.to_world(data.draw(st.permutations(geometry.world.axes)))
    if geometry.frame is not None and set("xyz") <= set(geometry.world.axes):
        same = same.to_frame(data.draw(strategies.frames(none=False)))
    unit = dict(zip(same.world.axes, same.world.units, strict=True)).get("x")
    if unit is not None:
        same = same.to_unit("um")
    plan = make_plan(geometry, same)
    assert plan.kind == "shift"
    assert plan.geometry.isclose(geometry)
    whole = tuple((0, n) for n in geometry.shape)
    assert plan.input_box(whole) == whole


VOLUMES = strategies.geometries(
    ndim=3, min_side=1, max_side=6, plain=False, time=False, embedded=False
)


@given(VOLUMES)
def test_input_box_holds_every_neighbour(target):
    """No voxel of a block asks for anything outside the block's input box."""
    source = Geometry((6, 6, 6), world=target.world, dims=target.dims).replace(
        origin=target.center - 2.5
    )
    plan = make_plan(source, target)
    box = plan.input_box(tuple((0, n) for n in target.shape))
    index = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)
    position = source.physical_to_index(target.index_to_physical(index)).reshape(-1, 3)
    inside = position[((position >= -0.5 + 1e-6) & (position < 5.5 - 1e-6)).all(axis=1)]
    if not len(inside):
        return
    assert box is not None
    low = np.floor(np.clip(inside, 0, 5) + 1e-6).min(axis=0)
    high = np.ceil(np.clip(inside, 0, 5) - 1e-6).max(axis=0)
    assert (np.array(box)[:, 0] <= low).all()
    assert (np.array(box)[:, 1] > high).all()


@pytest.mark.parametrize("noise", [1e-12, 1e-10])
def test_rounding_errors_of_a_geometry_change_nothing(noise):
    """Noise far below what could move a value neither turns axes nor breaks ties."""
    clean = Geometry((3, 4, 5), (4, 2, 2), (1, 0.5, 0.5))
    noisy = Geometry.from_affine(
        (3, 4, 5), clean.affine + noise * np.vstack([np.ones((3, 4)), np.zeros((1, 4))]),
    )  # fmt: skip
    plans = [make_plan(SOURCE, g, interpolation="nearest") for g in (clean, noisy)]
    assert plans[0].kind == plans[1].kind == "axes"
    box = tuple((0, n) for n in clean.shape)
    for a, b in zip(plans[0].tables(box), plans[1].tables(box), strict=True):
        np.testing.assert_array_equal(a.low, b.low)
        assert (a.start, a.stop) == (b.start, b.stop)


def test_numbers_of_the_target_come_back_exactly():
    target = Geometry((3, 4, 5), (0.3, 0.1, 0.7), (0.1, 0.2, 0.3), frame=None)
    plan = make_plan(SOURCE, target)
    assert plan.geometry == target
    assert plan.geometry.spacing.tolist() == [0.3, 0.1, 0.7]


def test_is_immutable_and_pickles():
    plan = make_plan(SOURCE, Geometry((3, 4, 5), 0.7))
    assert pickle.loads(pickle.dumps(plan)) == plan
    with pytest.raises(AttributeError):
        plan.edge = True
