"""Several grids in one operation: when they are one grid, and what they make together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck._config import config
from spatial_duck.errors import GeometryMismatchError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._align import broadcast, concatenate, difference, merge
from spatial_duck.testing import assert_geometry_equal, place_of, positions
from spatial_duck.testing._strategies import frames, geometries
from tests.effort import examples

NONEMPTY = geometries(min_side=1)
MM = dict.fromkeys("xyz", "mm")


def points(g: Geometry) -> np.ndarray:
    return positions(place_of(g), g.shape)


# --- equality -----------------------------------------------------------------------------


@given(geometries(), st.data())
def test_one_grid_is_recognised_in_any_frame_order_and_unit(g, data):
    frame = data.draw(frames(none=False))
    g = g.replace(frame=frame, unit={a: MM.get(a, "s") for a in g.world.axes})
    other = g
    if set("xyz") <= set(g.world.axes):
        other = other.to_frame(data.draw(frames(none=False)))
    other = other.to_unit({a: "um" if a in "xyz" else "ms" for a in g.world.axes})
    other = other.to_world(data.draw(st.permutations(g.world.axes)))
    assert difference(g, other) is None
    assert g.isclose(other, 1e-9)
    assert difference(other, g) is None
    assert_geometry_equal(broadcast("add", (g, other)), g)
    assert broadcast("add", (g, other)).world == g.world
    axis = data.draw(st.integers(0, g.ndim - 1))
    cut = data.draw(st.integers(0, g.shape[axis]))
    before = (slice(None),) * axis
    low, high = (*before, slice(None, cut)), (*before, slice(cut, None))
    assert_geometry_equal(concatenate("concatenate", (g[low], other[high]), axis), g)


@settings(max_examples=examples(200))
@given(NONEMPTY, st.data())
def test_tolerance_is_the_largest_displacement_of_a_voxel(g, data):
    """Against all voxel centres, one by one."""
    if not g.sampled_axes:
        return
    small = st.floats(-1, 1)
    size = data.draw(st.sampled_from((1e-6, 3e-4, 1e-3, 3e-3, 0.1)))
    spacing = g.spacing * [1 + size * data.draw(small) for _ in g.spacing]
    offset = [size * data.draw(small) * g.spacing.min() for _ in g.origin]
    other = Geometry(g.shape, spacing, g.origin + offset, g.direction, g.dims, world=g.world)
    apart = points(other) - points(g)
    time = np.array([a == "t" for a in g.world.axes])
    worst = 0.0
    for rows in (~time, time):
        steps = np.linalg.norm((g.direction * g.spacing)[rows], axis=0)
        scale = min([s for s in steps if s > 0], default=1.0)
        worst = max(worst, np.linalg.norm(apart[..., rows], axis=-1).max() / scale)
    for tolerance in (1e-3, worst * 1.001 + 1e-12, worst * 0.999 - 1e-12):
        if tolerance > 0 and abs(worst - tolerance) > 1e-10:
            assert (difference(g, other, tolerance) is None) == (worst < tolerance)


BASE = Geometry((4, 5, 6), (3, 1, 1), (7, 8, 9), frame="LPS", unit="mm")
SHEARED = [[1, 0, 0], [0, 1, 0.6], [0, 0, 0.8]]

DIFFERENT = [
    ({"dims": ("z", "x", "y")}, "dims: axis 1 is 'y' and 'x'"),
    ({"dims": ("c", "y", "x"), "sampled": None, "spacing": (1, 1), "direction": None},
     "dims: axis 0 is 'z' and 'c'"),
    ({"origin": (7, 8, 9.5)}, "origin: (7.0, 8.0, 9.0) and (7.0, 8.0, 9.5)"),
    ({"spacing": (3, 1.5, 1)}, "spacing of axis 1 ('y'): 1.0 and 1.5"),
    ({"direction": SHEARED}, "direction of axis 2 ('x')"),
    ({"frame": None}, "frame: 'LPS' and None"),
    ({"frame": "RAS"}, "origin"),
    ({"unit": "um"}, "origin"),
    ({"unit": None}, "unit of 'z': 'mm' and None"),
    ({"unit": {"z": "s"}}, "unit of 'z': 'mm' and 's'"),
    ({"lost": {0: "sort"}, "sampled": None, "spacing": (1, 1),
      "direction": [[0, 0], [1, 0], [0, 1]]},
     "axis 0 ('z'): sampled and plain (its positions were lost by 'sort')"),
]  # fmt: skip


@pytest.mark.parametrize("changes, reason", DIFFERENT, ids=lambda v: str(v)[:40])
def test_the_first_field_that_differs_is_named(changes, reason):
    other = BASE.replace(**changes)
    assert str(difference(BASE, other)).startswith(reason)
    with pytest.raises(GeometryMismatchError) as caught:
        broadcast("add", (BASE, other))
    message = str(caught.value)
    assert message.startswith("add: ")
    assert repr(BASE) in message
    assert repr(other) in message
    assert "resample" in message


def test_different_shapes_are_numpys_error():
    assert difference(BASE, BASE[:, :, :5]) == "shape: (4, 5, 6) and (4, 5, 5)"
    assert str(difference(BASE, BASE[0])).startswith("shape")
    plain = {"dims": ("y", "c"), "sampled": ("y",)}
    with pytest.raises(ValueError, match="could not be broadcast") as caught:
        broadcast("add", (Geometry((4, 5), **plain), Geometry((4, 6), **plain)))
    assert not isinstance(caught.value, GeometryMismatchError)


def test_grids_of_different_shapes_are_brought_onto_each_other():
    with pytest.raises(GeometryMismatchError, match=r"broadcast.*(\n.*){3}resample"):
        broadcast("add", (Geometry((4, 5)), Geometry((4, 6))))


def test_worlds_of_other_axes_differ():
    flat, plane = Geometry((4, 5)), Geometry((3, 4, 5))[1]
    assert str(difference(flat, plane)).startswith("world axes")
    # Yet they mix: the one says nothing of z.
    assert broadcast("add", (flat, plane)) == plane
    assert broadcast("add", (plane, flat)) == plane


def test_images_without_voxels_are_nowhere():
    g = Geometry((4, 5), (2, 3))
    assert difference(g[2:2], g[4:4]) is None
    assert broadcast("add", (g[2:2], g[4:4])).shape == (0, 5)


# --- broadcasting -------------------------------------------------------------------------


@given(NONEMPTY, st.data())
def test_what_a_reduction_leaves_mixes_with_the_image(g, data):
    """An axis that one lacks, or has with length 1, takes the other's geometry."""
    axes = tuple(data.draw(st.lists(st.integers(0, g.ndim - 1), unique=True)))
    for part in (g.reduce(axes, keepdims=True), g[tuple(
        slice(k := data.draw(st.integers(0, n - 1)), k + 1) if i in axes else slice(None)
        for i, n in enumerate(g.shape)
    )]):  # fmt: skip
        check_mixes(g, part)
    lead = data.draw(st.integers(0, g.ndim))
    check_mixes(g, g.reduce(tuple(range(lead))))


def check_mixes(g: Geometry, part: Geometry) -> None:
    for pair in ((g, part), (part, g)):
        merged = broadcast("add", pair)
        if all(n > 1 or m == n for n, m in zip(g.shape[::-1], part.shape[::-1], strict=False)):
            assert merged.shape == g.shape
            assert merged.dims == g.dims
            size = 1e-9 * max(1.0, float(g.spacing.min(initial=1.0)))
            np.testing.assert_allclose(points(merged), points(g), rtol=0, atol=size)


@given(geometries(min_side=2, plain=False), st.data())
def test_two_parts_make_the_whole(g, data):
    """Each of two planes through the image gives the axes that the other lacks."""
    axis = data.draw(st.integers(0, g.ndim - 1))
    others = tuple(i for i in range(g.ndim) if i != axis)
    at = [data.draw(st.integers(0, n - 1)) for n in g.shape]
    plane = g[tuple(slice(k, k + 1) if i == axis else slice(None) for i, k in enumerate(at))]
    line = g[tuple(slice(k, k + 1) if i in others else slice(None) for i, k in enumerate(at))]
    for pair in ((plane, line), (line, plane)):
        merged = broadcast("multiply", pair)
        assert merged.shape == g.shape
        np.testing.assert_allclose(points(merged), points(g), rtol=0, atol=1e-8)


@given(NONEMPTY, st.data())
def test_a_shift_along_a_shared_axis_is_refused(g, data):
    if not g.sampled_axes:
        return
    axis = data.draw(st.sampled_from(g.sampled_axes))
    step = tuple(1 if i == axis else 0 for i in range(g.ndim))
    other = Geometry(
        g.shape, g.spacing, g.index_to_physical(step), g.direction, g.dims, world=g.world
    )
    with pytest.raises(GeometryMismatchError, match="origin"):
        broadcast("add", (g, other))
    free = tuple(i for i in range(g.ndim) if i != axis)
    with pytest.raises(GeometryMismatchError, match="origin"):
        broadcast("add", (g, other.reduce(free, keepdims=True)))


def test_a_plain_unnamed_axis_takes_the_others():
    stacked = Geometry((5, 6), (1, 2)).expand_dims(0).broadcast_to((4, 5, 6))
    volume = Geometry((4, 5, 6), (3, 1, 2), (7, 0, 0))
    for pair in ((stacked, volume), (volume, stacked)):
        merged = broadcast("add", pair)
        assert merged.dims == volume.dims
        assert_geometry_equal(merged, volume)
    channels = Geometry((4, 5, 6), dims=("c", "y", "x"))
    unnamed = Geometry((4, 5, 6), dims=(None, "y", "x"))
    for pair in ((channels, unnamed), (unnamed, channels)):
        assert broadcast("add", pair).dims == ("c", "y", "x")


NEVER = [
    (("c", "y", "x"), ("z", "y", "x"), "dims: axis 0"),
    (("y", "x"), ("x", "y"), "dims: axis 0"),
    (("c", "x"), ("t", "x"), "dims: axis 0"),
]


@pytest.mark.parametrize("one, two, reason", NEVER)
def test_axes_of_different_names_never_mix(one, two, reason):
    shape = (4,) * len(one)
    for sizes in (shape, (1, *shape[1:])):
        a, b = Geometry(shape, dims=one), Geometry(sizes, dims=two)
        for pair in ((a, b), (b, a)):
            with pytest.raises(GeometryMismatchError, match=reason):
                broadcast("add", pair)


def test_a_lost_axis_does_not_become_sampled_again():
    g = Geometry((4, 5))
    lost = g.lose(0, "sort")
    with pytest.raises(GeometryMismatchError, match="lost by 'sort'"):
        broadcast("add", (g, lost))
    assert broadcast("add", (lost, lost.replace(unit=None))).lost == {0: "sort"}
    plain = Geometry((4, 5), dims=("c", "x"))
    shuffled = Geometry((4, 5), dims=("c", "x"), lost={0: "sort"})
    assert broadcast("add", (plain, shuffled)).lost == {0: "sort"}
    assert broadcast("add", (shuffled, plain)).lost == {0: "sort"}


def test_worlds_are_joined():
    """A time series of one plane, times a volume at one time: each has what the other lacks."""
    world = World(("t", "z", "y", "x"))
    series = Geometry((7, 1, 4, 5), (0.5, 1, 1, 1), (3, 20, 0, 0), dims="tzyx", world=world)
    volume = Geometry((6, 4, 5), (2, 1, 1), (10, 0, 0))
    for pair in ((series, volume), (volume, series)):
        merged = broadcast("multiply", pair)
        assert merged.shape == (7, 6, 4, 5)
        assert merged.world.axes == ("t", "z", "y", "x")
        assert merged.spacing.tolist() == [0.5, 2, 1, 1]
        assert merged.origin.tolist() == [3, 10, 0, 0]


def test_order_of_images_does_not_decide_the_world():
    flat = Geometry((4, 5), frame="LPS").to_frame("RAS")
    plane = Geometry((3, 4, 5), frame="LPS")[1]
    for pair in ((flat, plane), (plane, flat)):
        assert broadcast("add", pair).world == plane.world


def test_a_frame_is_for_space():
    time = Geometry((4,), dims=("t",))
    volume = Geometry((4, 2, 2), dims=("t", "y", "x"), frame="LPS")
    merged = broadcast("add", (time.expand_dims((1, 2)), volume))
    assert merged == volume


def test_lengths_that_only_computing_tells():
    nan = float("nan")
    a = Geometry((nan, 5), dims=("y", "x"), lost={0: "indexing"})
    b = Geometry((float("nan"), 5), dims=("y", "x"), lost={0: "indexing"}, origin=(0.0,))
    assert difference(a, b) is None
    assert broadcast("add", (a, b)).lost == {0: "indexing"}


# --- concatenation ------------------------------------------------------------------------


@given(geometries(), st.data())
def test_adjacent_pieces_make_the_whole(g, data):
    axis = data.draw(st.integers(0, g.ndim - 1))
    n = g.shape[axis]
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=3)))
    before = (slice(None),) * axis
    pieces = [g[(*before, slice(a, b))] for a, b in zip([0, *cuts], [*cuts, n], strict=True)]
    # Bare arrays stand where they are put.
    given_ = [p.shape if data.draw(st.booleans()) else p for p in pieces]
    if not any(isinstance(p, Geometry) and p.shape[axis] for p in given_):
        given_ = pieces
    whole = concatenate("concatenate", given_, axis)
    assert whole.shape == g.shape
    assert whole.dims == g.dims
    np.testing.assert_allclose(points(whole), points(g), rtol=0, atol=1e-9)


@given(geometries(min_side=2), st.data())
def test_pieces_that_leave_a_gap_are_refused(g, data):
    if not g.sampled_axes:
        return
    axis = data.draw(st.sampled_from(g.sampled_axes))
    before = (slice(None),) * axis
    low, high = g[(*before, slice(0, 1))], g[(*before, slice(1, 2))]
    assert_geometry_equal(concatenate("append", (low, high), axis), g[(*before, slice(0, 2))])
    for pieces in ((high, low), (low, low), (low, g.shape, high)):
        with pytest.raises(GeometryMismatchError, match=r"append: along axis .* must begin where"):
            concatenate("append", pieces, axis)


def test_other_axes_must_agree():
    g = Geometry((4, 6), (2, 1))
    with pytest.raises(GeometryMismatchError, match="begin where"):
        concatenate("concatenate", (g[:2], g[2:, ::-1]), 0)
    with pytest.raises(GeometryMismatchError, match="shape"):
        concatenate("concatenate", (g[:2], g[2:, 1:]), 0)
    with pytest.raises(GeometryMismatchError, match="dims"):
        concatenate("concatenate", (g[:2], g[2:].replace(dims=("y", "z"))), 0)


def test_empty_pieces_are_nowhere():
    g = Geometry((4, 6), (2, 1))
    for pieces in ((g[3:3], g), (g, g[1:1]), (g[4:4], g[:1], g[2:2], g[1:]), ((0, 6), g)):
        assert_geometry_equal(concatenate("concatenate", pieces, 0), g)
    with pytest.raises(GeometryMismatchError, match="dims"):
        concatenate("concatenate", (g[3:3], g.replace(dims=("y", "z"))), 0)
    with pytest.raises(GeometryMismatchError):
        concatenate("concatenate", (g[3:3], g[:2], g[:2]), 0)


def test_along_a_plain_axis_pieces_lie_in_one_place():
    g = Geometry((2, 4, 6), dims=("c", "y", "x"))
    assert concatenate("concatenate", (g, g), 0).shape == (4, 4, 6)
    with pytest.raises(GeometryMismatchError, match="origin"):
        concatenate("concatenate", (g, g.replace(origin=(1, 0))), 0)


def test_a_lost_axis_stays_lost():
    g = Geometry((2, 4, 6), dims=("c", "y", "x"))
    lost = g.lose(1, "sort")
    assert concatenate("concatenate", (lost, lost), 1).lost == {1: "sort"}
    with pytest.raises(GeometryMismatchError, match="lost by 'sort'"):
        concatenate("concatenate", (g, lost), 1)


def test_tolerance_of_config_holds():
    g = Geometry((4, 6), (2, 1))
    near = g.replace(origin=(0.01, 0))
    with pytest.raises(GeometryMismatchError):
        broadcast("add", (g, near))
    with pytest.raises(GeometryMismatchError):
        concatenate("concatenate", (g[:2], near[2:]), 0)
    with config(tolerance=0.02):
        assert broadcast("add", (g, near)) == g
        assert concatenate("concatenate", (g[:2], near[2:]), 0) == g


def test_images_at_two_times_are_told_how_to_meet():
    series = Geometry((3, 4, 5), dims=("t", "y", "x"))
    with pytest.raises(GeometryMismatchError, match=r"along 't'.*to_world\(\('y', 'x'\)\)"):
        broadcast("subtract", (series[1], series[0]))
    one, other = [g.to_world(("y", "x")) for g in (series[1], series[0])]
    assert broadcast("subtract", (one, other)) == one
    with pytest.raises(GeometryMismatchError) as caught:
        broadcast("subtract", (series[:, 1:], series[:, :-1]))
    assert "extends along" not in str(caught.value)


def test_shapes_that_do_not_broadcast_are_told_with_their_dims() -> None:
    zyx = Geometry((2, 3, 4))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) \(4, 3, 2\), dims .*'z'.*'x'"):
        merge("add", zyx, Geometry((4, 3, 2), dims=("x", "y", "z")))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\) \(2, 3, 5\)\n"):
        merge("add", zyx, Geometry((2, 3, 5)))
