"""Integers over an anchor: there and back is equal, and no chain drifts."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck import Geometry, World, config
from spatial_duck.errors import GeometryError, GeometryLossError
from spatial_duck.geometry._align import broadcast, concatenate
from tests.effort import examples

G = Geometry((40, 30, 20), spacing=(0.1, 0.3, 0.7), origin=(0.1, 0.2, 0.3))
TURNED = G.replace(direction=[[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])


@settings(max_examples=examples(200), deadline=None)
@given(st.data())
def test_ways_to_one_grid_are_equal_to_the_bit(data):
    g = data.draw(st.sampled_from([G, TURNED]))
    cut = tuple([slice(data.draw(st.integers(0, 5)), data.draw(st.integers(8, 20))) for _ in "zyx"])
    order = data.draw(st.permutations(range(3)))
    back = np.argsort(order)
    assert g[::-1][::-1] == g
    assert g.flip(order[0]).flip(order[0]) == g
    assert g.transpose(order).transpose(back) == g
    assert g[cut].transpose(order) == g.transpose(order)[tuple([cut[i] for i in order])]
    assert g.flip(0)[cut] == g[(slice(40 - cut[0].stop, 40 - cut[0].start), *cut[1:])].flip(0)
    assert g.pad(7)[(slice(7, -7),) * 3] == g
    assert g.diff(2, 0) == g[1:-1]
    assert g.rot90(1).rot90(3) == g
    assert g.window(3, 1)[:, 4, ..., 2].shape == g[:, 6].shape
    assert g.window(3, 1)[:, 4, ..., 2] == g[:, 6]
    assert g.reduce(0) == g[::-1].reduce(0)
    assert g[:39].reduce(0) == g[19]
    assert g[1:39].reduce(0, keepdims=True).reduce(0) == g.reduce(0)
    assert g.diagonal(0, 0, 1)[..., 3] == g[3, 3]
    assert hash(g[::-1][::-1]) == hash(g)
    assert pickle.loads(pickle.dumps(g[3:])) == g[3:]


def test_a_million_slices_drift_by_nothing():
    g = Geometry((2_000_000,), spacing=0.1, origin=(0.3,))
    h = g
    for _ in range(100_000):
        h = h[10:]
    assert h == g[1_000_000:]
    h = G
    for _ in range(1000):
        h = h[::-1].transpose((2, 0, 1)).pad(1)[1:-1, 1:-1, 1:-1].transpose((1, 2, 0))
    assert h == G


@pytest.mark.parametrize("world", ["frame", "unit", "order"])
def test_changes_of_the_world_go_there_and_back(world):
    g = TURNED.replace(frame="LPS", unit="mm")[::2, 3:]
    there = {
        "frame": lambda x: x.to_frame("RAS").to_frame("LPS"),
        "unit": lambda x: x.to_unit("m").to_unit("mm"),
        "order": lambda x: x.to_world(("x", "y", "z")).to_world(("z", "y", "x")),
    }[world]
    assert there(g).isclose(g, tolerance=1e-12)
    assert there(g)[::-1][::-1] == there(g)


def test_pieces_and_planes_are_known_by_their_integers():
    pieces = [TURNED[i : i + 3] for i in range(0, 40, 3)]
    assert concatenate("f", pieces, 0) == TURNED
    assert broadcast("f", (TURNED, TURNED[7])) == TURNED
    assert broadcast("f", (TURNED.reduce(1, keepdims=True), TURNED)) == TURNED
    assert broadcast("f", (TURNED[:, :1], TURNED[:1])) == TURNED


def test_a_hundred_axes_are_compared_at_once():
    names = [f"a{i}" for i in range(60)]
    g = Geometry((2,) * 60, [1.0] * 60, dims=names, sampled=names)
    assert g.isclose(g.replace(origin=[1e-9] * 60))
    assert g.isclose(g.replace(spacing=[1 + 1e-9] * 60))
    assert not g.isclose(g.replace(spacing=[1 + 1e-3] * 60))
    assert not g.isclose(g.replace(origin=[1e-3] * 60))


# --- losses -------------------------------------------------------------------------------

BOLD = Geometry((10, 4, 5, 6), (2, 1, 1, 1), (100, 0, 0, 0), dims=("t", "z", "y", "x"), unit="mm")

#: Functions that take the first axis away.
REMOVE = [
    lambda g: g.reduce(0),
    lambda g: g[:1].squeeze(0),
    lambda g: g[:1].reduce(0),
    lambda g: g[:1].reshape(g.shape[1:]),
    lambda g: g[:1].broadcast_to((3, *g.shape[1:]))[1],
    lambda g: g.reduce(0, keepdims=True)[0],
    lambda g: g.take_axes(g.shape[1:], (1, 2, 3), "einsum"),
    lambda g: g.flip(0)[0],
    lambda g: g.window(2, 0).reduce(-1)[0],
    lambda g: g[np.array([0]), ...][0],
    lambda g: g[0, :, :, np.arange(6)].transpose((1, 2, 0)),
]


@pytest.mark.parametrize("remove", REMOVE)
@pytest.mark.parametrize("lose", ["index", "sort", "mask"])
def test_a_loss_takes_the_world_axes_that_it_ran_along_and_no_more(remove, lose):
    scrubbed = {
        "index": lambda: BOLD[[0, 1, 3]],
        "sort": lambda: BOLD.lose(0, "indexing"),
        "mask": lambda: BOLD[np.arange(10) % 3 != 1],
    }[lose]()
    assert scrubbed.lost == {0: "indexing"}
    out = remove(scrubbed)
    places = out.to_world(("z", "y", "x"))
    assert places.shape == BOLD.shape[1:]
    np.testing.assert_array_equal(places.origin, BOLD.origin[1:])
    assert places.lost in ({}, {"t": "indexing"})
    if "t" in out.world.axes:  # known again: the place of a single time point
        assert out.lost == {}
        assert out.origin[0] in BOLD[:, 0, 0, 0].index_to_physical(np.arange(10)[:, None])
    else:
        assert out.lost == {"t": "indexing"}


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.data())
def test_an_integer_index_of_uneven_positions_finds_its_place(chosen, data):
    got = BOLD[chosen]
    k = data.draw(st.integers(0, len(chosen) - 1))
    assert got[k].isclose(BOLD[chosen[k]], 1e-12)
    assert got[::-1][len(chosen) - 1 - k].isclose(BOLD[chosen[k]], 1e-12)
    assert got[k:][0].isclose(BOLD[chosen[k]], 1e-12)
    assert got[[k]][0].isclose(BOLD[chosen[k]], 1e-12)


def test_a_mean_over_chosen_oblique_planes_claims_nothing():
    mean = TURNED[[0, 1, 3]].reduce(0)
    assert mean.lost == {0: "indexing", "z": "indexing", "y": "indexing"}
    assert mean.world.axes == ("x",)
    assert mean.sampled_axes == (1,)
    with pytest.raises(GeometryLossError, match="indexing"):
        mean.index_to_physical((0, 0))
    assert mean.replace(unit="mm").lost == mean.lost
    # Along the axis that lost its component, its own loss follows when it leaves, and no more.
    assert mean.reduce(0).lost == {"z": "indexing", "y": "indexing"}


def test_a_loss_stays_a_loss_beside_an_image_that_has_a_place():
    mean = BOLD[[0, 1, 3]].reduce(0)
    assert broadcast("f", (mean, BOLD[2])).lost == {"t": "indexing"}
    assert broadcast("f", (BOLD[2], mean)).lost == {"t": "indexing"}
    # Over all times, the result lies at each of them.
    assert broadcast("f", (BOLD, mean)) == BOLD
    assert broadcast("f", (BOLD[[0, 1, 3]], BOLD[[0, 1, 4]]))[0].lost == {"t": "indexing"}
    assert broadcast("f", (BOLD[[0, 1, 3]], BOLD[[0, 1, 3]]))[0].isclose(BOLD[0])


def test_reshape_loses_group_by_group():
    g = BOLD.reshape((10, 20, 6))
    assert g.lost == {1: "reshape"}
    assert g.reduce(1).lost == {"z": "reshape", "y": "reshape"}
    assert g.reduce(1).world.axes == ("t", "x")


def test_losses_are_told_once():
    with config(on_loss="raise"):
        with pytest.raises(GeometryLossError, match="'sort'"):
            BOLD.lose(0, "sort")
        BOLD[:, 0]
    scrubbed = BOLD[[0, 1, 3]]
    with config(on_loss="raise"):
        assert scrubbed[1:].reduce(0).lost == {"t": "indexing"}


# --- worlds -------------------------------------------------------------------------------


def test_units_go_by_type():
    world = World(("time", "Z", "lat", "lon"), "um", types={"time": "time"})
    assert world.units == (None, "um", "um", "um")
    assert World(("t", "z"), "s").units == ("s", None)
    g = Geometry((2, 3, 4), dims=("Z", "lat", "lon"), sampled=("Z", "lat", "lon"), unit="mm")
    assert g.unit == ("mm",) * 3
    assert g.to_unit("um").spacing.tolist() == [1000.0] * 3
    with pytest.raises(GeometryError, match="time"):
        World(("z", "y"), "s")
    with pytest.raises(GeometryError, match="frame"):
        World(("Z", "Y"), frame="LPS")
    with pytest.raises(GeometryError, match="types"):
        World(("z",), types=("lenght",))


def test_names_that_are_not_space_say_so():
    for given_ in ({"spacing": 2.0}, {"spacing": (1, 1)}, {"direction": np.eye(2)}):
        with pytest.raises(GeometryError, match="sampled="):
            Geometry((3, 4), dims=("Y", "X"), **given_)
    assert Geometry((3, 4), dims=("Y", "X")).sampled_axes == ()
