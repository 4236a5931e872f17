"""Movements of voxels: each does to the geometry what NumPy does to an array of coordinates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatial_duck._config import config
from spatial_duck.errors import GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.testing import Place, place_of, positions, voxel_numbers
from spatial_duck.testing._oracles import displacement
from spatial_duck.testing._strategies import geometries, keys
from tests.effort import examples

window_view = np.lib.stride_tricks.sliding_window_view
NONEMPTY = geometries(min_side=1)


def points(g: Geometry) -> np.ndarray:
    return positions(place_of(g), g.shape)


def check_moved(g: Geometry, moved: Geometry, function) -> None:
    """Compare with what `function` makes of each world coordinate of g's voxels."""
    assert moved.shape == function(np.zeros(g.shape)).shape
    if not g.world.axes:  # nothing lies anywhere; the shape is all that there is
        return
    expected = np.stack([function(c) for c in np.moveaxis(points(g), -1, 0)], -1)
    found = points(moved)
    size = max(abs(points(g)).max(initial=1.0), abs(g.origin).max(initial=1.0))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12 * size)


# --- indexing -----------------------------------------------------------------------------


@pytest.mark.slow
@settings(max_examples=examples(400))
@given(geometries(), st.data())
def test_basic_keys_select_what_numpy_selects(g, data):
    key = data.draw(keys(g.shape))
    moved = g[key]
    assert moved.shape == voxel_numbers(g.shape)[key].shape
    check_moved(g, moved, lambda c: c[key])
    # A plain axis is told apart by its name.
    kept = [d for d in moved.dims if d is not None]
    assert set(kept) <= set(g.dims)
    assert not moved.lost


def check_partly_lost(g: Geometry, moved: Geometry, numbers: np.ndarray) -> None:
    """Axes that are not lost keep their steps; the others are plain and say why."""
    place = place_of(moved)
    lost = tuple(moved.lost)
    assert not set(lost) & set(place.axes)
    before = points(g).reshape(voxel_numbers(g.shape).size, len(g.origin))[numbers.reshape(-1)]
    before = before.reshape(*numbers.shape, len(g.origin))
    size = 1e-11 * (1 + abs(points(g)).max(initial=0))
    for axis in range(moved.ndim):
        if axis in lost or numbers.shape[axis] < 2:
            continue
        step = np.zeros(len(g.origin))
        if axis in place.axes:
            i = place.axes.index(axis)
            step = place.spacing[i] * place.direction[:, i]
        found = np.diff(before, axis=axis)
        np.testing.assert_allclose(found, np.broadcast_to(step, found.shape), rtol=0, atol=size)
    if not lost and numbers.size:
        distance, report = displacement(place_of(g), g.shape, place, numbers)
        assert distance < 1e-9, report
    if numbers.size and moved.world.axes:
        # The position that stands for lost ones lies inside the image.
        inside = positions(place, moved.shape)
        low, high = points(g).min(tuple(range(g.ndim))), points(g).max(tuple(range(g.ndim)))
        assert (inside >= low - size).all()
        assert (inside <= high + size).all()


@pytest.mark.slow
@settings(max_examples=examples(600))
@given(geometries(max_side=4), st.data())
def test_any_key_selects_what_numpy_selects(g, data):
    key = data.draw(keys(g.shape, advanced=True))
    numbers = voxel_numbers(g.shape)
    try:
        numbers = numbers[key]
    except IndexError:
        with pytest.raises(IndexError):
            g[key]
        return
    moved = g[key]
    assert moved.shape == numbers.shape
    check_partly_lost(g, moved, numbers)
    names = [d for d in moved.dims if d is not None]
    assert len(set(names)) == len(names)


@pytest.mark.slow
@given(NONEMPTY, st.data())
def test_even_walks_keep_their_geometry(g, data):
    axis = data.draw(st.integers(0, g.ndim - 1))
    n = g.shape[axis]
    start, step = data.draw(st.integers(0, n - 1)), data.draw(st.sampled_from((-2, -1, 1, 2)))
    walk = np.arange(start, n if step > 0 else -1, step)
    before = (slice(None),) * axis
    sliced = g[(*before, slice(start, None, step))]
    mask = np.zeros(n, bool)
    mask[walk] = True
    for index in (walk, walk.tolist(), walk - n, walk.astype(np.int8)):
        got = g[(*before, index)]
        assert got.shape == sliced.shape
        np.testing.assert_allclose(points(got), points(sliced), rtol=0, atol=1e-9)
        assert got.dims == sliced.dims
        assert not got.lost
    up = g[(*before, mask)]
    assert not up.lost
    check_moved(g, up, lambda c: c[(*before, mask)])


IRREGULAR = [
    # key, dims of the result, axes of the result that are lost, origin
    ([0, 1, 3], ("y", "x"), {0}, (15, 0)),
    ([0, 0, 3], ("y", "x"), {0}, (15, 0)),
    (np.array([[0, 1], [3, 2]]), (None, None, "x"), {0, 1}, (15, 0)),
    (np.array([True, True, False, True]), ("y", "x"), {0}, (15, 0)),
    ((slice(1, None), [0, 1, 4]), ("y", "x"), {1}, (10, 2)),
    (([0, 1, 3], [0, 4, 1]), (None,), {0}, (15, 2)),
    (([0, 1, 3], 1), ("y",), {0}, (15, 1)),
    (([0, 1, 3], [1, 2, 3]), (None,), {0}, (15, 2)),
]


@pytest.mark.parametrize("key, dims, lost, origin", IRREGULAR, ids=str)
def test_irregular_keys_lose_their_axes_and_say_so(key, dims, lost, origin):
    g = Geometry((4, 5), (10, 1))
    got = g[key]
    assert got.lost == dict.fromkeys(lost, "indexing")
    assert got.origin.tolist() == list(origin)
    assert got.ndim == len(dims)
    # Where an axis was made of several, or became several, a name would mislead; it may be gone.
    assert all(found in (wanted, None) for found, wanted in zip(got.dims, dims, strict=True))
    with config(on_loss="raise"), pytest.raises(GeometryLossError, match="indexing"):
        g[key]
    with config(on_loss="warn"), pytest.warns(UserWarning, match="indexing"):
        g[key]


def test_a_diagonal_walk_over_a_lost_axis_is_lost():
    g = Geometry((4, 4), (10, 1)).lose(0, "sort")
    assert g[[0, 1, 2], [0, 1, 2]].lost == {0: "sort"}


def test_plain_axes_are_shuffled_without_loss():
    g = Geometry((3, 4), dims=("c", "x"), spacing=2)
    assert g[[0, 2, 1]] == g
    walk = g[[0, 2, 1, 0], [0, 1, 2, 3]]
    assert not walk.lost
    assert walk.spacing.tolist() == [2]


BAD_KEYS = [
    (4, IndexError), (-5, IndexError), ((0, 0, 0), IndexError), ((0, 0, ...), None),
    ((..., 0, ...), IndexError), (1.5, IndexError), ("x", IndexError), ([0.5], IndexError),
    ([4], IndexError), ([-5], IndexError), (np.zeros(3, bool), IndexError),
    (([0, 1], [0, 1, 2]), IndexError), (slice(0, 1, 0), ValueError), (slice(0.5), TypeError),
    ((slice(None),) * 3, IndexError), (np.float64(1), IndexError), (True, None), (False, None),
    ([], None), (np.array(2), None), ((None, [True, False, True, False], 0), None),
    (np.array("a"), IndexError), ({}, IndexError), (object(), IndexError),
]  # fmt: skip


@pytest.mark.parametrize("key, error", BAD_KEYS)
def test_keys_are_refused_as_numpy_refuses_them(key, error):
    g, x = Geometry((4, 5)), np.zeros((4, 5))
    if error is None:
        assert g[key].shape == x[key].shape
        return
    with pytest.raises(error):
        x[key]
    with pytest.raises(error):
        g[key]


# --- movements ----------------------------------------------------------------------------


@given(geometries(), st.data())
def test_flip(g, data):
    axes = tuple(data.draw(st.lists(st.integers(0, g.ndim - 1), unique=True)))
    axis = data.draw(st.sampled_from((None, axes, *axes)))
    check_moved(g, g.flip(axis), lambda c: np.flip(c, axis))


@given(geometries(), st.data())
def test_flip_is_a_slice_and_its_own_inverse(g, data):
    axis = data.draw(st.integers(0, g.ndim - 1))
    assert g.flip(axis) == g[(*[slice(None)] * axis, slice(None, None, -1))]
    twice = g.flip(axis).flip(axis)
    np.testing.assert_allclose(points(twice), points(g), rtol=0, atol=1e-9)
    assert twice.dims == g.dims


@pytest.mark.slow
@given(geometries(), st.data())
def test_permutations(g, data):
    order = data.draw(st.none() | st.permutations(range(g.ndim)))
    check_moved(g, g.transpose(order), lambda c: np.transpose(c, order))
    one, two = data.draw(st.tuples(*[st.integers(-g.ndim, g.ndim - 1)] * 2))
    check_moved(g, g.swapaxes(one, two), lambda c: np.swapaxes(c, one, two))
    check_moved(g, g.moveaxis(one, two), lambda c: np.moveaxis(c, one, two))
    count = data.draw(st.integers(0, g.ndim))
    source = data.draw(st.permutations(range(g.ndim)))[:count]
    target = data.draw(st.permutations(range(g.ndim)))[:count]
    check_moved(g, g.moveaxis(source, target), lambda c: np.moveaxis(c, source, target))


@given(geometries(), st.data())
def test_rot90(g, data):
    if g.ndim < 2:
        return
    one, two = data.draw(st.permutations(range(-g.ndim, 0)))[:2]
    k = data.draw(st.integers(-5, 5))
    check_moved(g, g.rot90(k, (one, two)), lambda c: np.rot90(c, k, (one, two)))


@pytest.mark.parametrize(
    "width",
    [0, 2, (1, 2), ((1, 2),), ((1,), (2,)), ((1, 2), (3, 0)), {0: (1, 2)}, {-1: 3},
     np.array([[1, 2], [0, 1]]), [[1], [2]]],
    ids=str,
)  # fmt: skip
def test_pad_reads_widths_as_numpy_does(width):
    g = Geometry((3, 4), (2, 0.5), (1, -1), [[0.6, 0.8], [-0.8, 0.6]])
    if isinstance(width, dict) and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip("this NumPy pads by no mapping")
    moved = g.pad(width)
    numbers = np.pad(voxel_numbers(g.shape), width, constant_values=-1)
    assert moved.shape == numbers.shape
    distance, report = displacement(place_of(g), g.shape, place_of(moved), numbers)
    assert distance < 1e-12, report


@given(geometries(), st.data())
def test_pad(g, data):
    width = [(data.draw(st.integers(0, 3)), data.draw(st.integers(0, 3))) for _ in g.shape]
    numbers = np.pad(voxel_numbers(g.shape), width, constant_values=-1)
    moved = g.pad(width)
    assert moved.shape == numbers.shape
    distance, report = displacement(place_of(g), g.shape, place_of(moved), numbers)
    assert distance < 1e-9, report
    assert moved.pad([(-a, -b) for a, b in width]).shape == g.shape


@pytest.mark.slow
@given(NONEMPTY, st.data())
def test_repeat_fills_the_same_extent(g, data):
    axis = data.draw(st.integers(0, g.ndim - 1))
    k = data.draw(st.integers(1, 5))
    moved = g.repeat(k, axis)
    assert moved.shape[axis] == g.shape[axis] * k
    np.testing.assert_allclose(moved.bounds, g.bounds, rtol=1e-12, atol=1e-9)
    # The thinner voxels of each voxel have their centre of mass where it was.
    groups = points(moved).reshape(*g.shape[: axis + 1], k, *g.shape[axis + 1 :], len(g.world.axes))
    np.testing.assert_allclose(groups.mean(axis + 1), points(g), rtol=0, atol=1e-9)
    assert g.repeat(0, axis).shape[axis] == 0


@given(NONEMPTY, st.data())
def test_reduce_moves_to_the_centre_of_the_extent(g, data):
    axes = tuple(data.draw(st.lists(st.integers(0, g.ndim - 1), unique=True)))
    axis = data.draw(st.sampled_from((None, axes, *axes)))
    check_moved(g, g.reduce(axis), lambda c: c.mean(axis))
    check_moved(g, g.reduce(axis, True), lambda c: c.mean(axis, keepdims=True))
    np.testing.assert_allclose(g.reduce(axis, True).bounds, g.bounds, rtol=1e-12, atol=1e-9)
    assert g.reduce(axis, True).dims == g.dims


@given(NONEMPTY, st.data())
def test_diff_lies_between_the_voxels(g, data):
    axis = data.draw(st.integers(-g.ndim, g.ndim - 1))
    n = data.draw(st.integers(0, 3))
    moved = g.diff(n, axis)
    assert moved.shape == np.diff(np.zeros(g.shape), n, axis).shape

    def between(c):
        for _ in range(n):
            low, high = np.moveaxis(c, axis, 0)[:-1], np.moveaxis(c, axis, 0)[1:]
            c = np.moveaxis((low + high) / 2, 0, axis)
        return c

    check_moved(g, moved, between)


@given(geometries(min_side=1, max_side=4), st.data())
def test_window_places_every_voxel(g, data):
    axes = data.draw(st.lists(st.integers(0, g.ndim - 1), min_size=1, max_size=2))
    sizes = []
    left = list(g.shape)
    for a in axes:
        sizes.append(data.draw(st.integers(1, left[a])))
        left[a] -= sizes[-1] - 1
    moved = g.window(tuple(sizes), tuple(axes))
    check_moved(g, moved, lambda c: window_view(c, tuple(sizes), tuple(axes)))
    assert moved.dims == (*g.dims, *[None] * len(axes))
    if len(axes) == 1:
        assert g.window(sizes[0], axes[0]) == moved


@pytest.mark.parametrize(
    "sizes, axis", [(5, 0), ((2, 2), 0), ((2, 2, 2), None), ((5, 2), None), (-1, 0)]
)
def test_window_refuses_as_numpy_does(sizes, axis):
    for function in (Geometry((4, 5)).window, lambda *a: window_view(np.zeros((4, 5)), *a)):
        with pytest.raises(ValueError, match=r"window|match"):
            function(sizes, axis)


@given(geometries(), st.data())
def test_expand_dims_and_squeeze(g, data):
    count = data.draw(st.integers(1, 2))
    axes = data.draw(
        st.lists(st.integers(0, g.ndim + count - 1), min_size=count, max_size=count, unique=True)
    )
    wide = g.expand_dims(tuple(axes))
    check_moved(g, wide, lambda c: np.expand_dims(c, tuple(axes)))
    assert all(wide.dims[a] is None for a in axes)
    assert wide.squeeze(tuple(axes)) == g
    check_moved(g, g.squeeze(), np.squeeze)


def test_squeeze_refuses_an_axis_that_is_not_of_length_1():
    with pytest.raises(ValueError, match="not equal to one"):
        Geometry((2, 1)).squeeze(0)


@given(geometries(), st.data())
def test_broadcast_to(g, data):
    lead = tuple(data.draw(st.lists(st.integers(0, 3), max_size=2)))
    stretched = tuple(data.draw(st.sampled_from((1, 3))) if n == 1 else n for n in g.shape)
    moved = g.broadcast_to((*lead, *stretched))
    check_moved(g, moved, lambda c: np.broadcast_to(c, (*lead, *stretched)))


def test_broadcast_to_refuses_what_numpy_refuses_and_keeps_the_loss():
    g = Geometry((1, 4))
    for shape in ((4,), (2, 3), (4, 1)):
        with pytest.raises(ValueError, match="broadcast"):
            g.broadcast_to(shape)
    assert g.lose(0, "sort").broadcast_to((3, 4)).lost == {0: "sort"}


@pytest.mark.slow
@settings(max_examples=200)
@given(geometries(max_side=4), st.data())
def test_reshape_keeps_the_axes_that_stand_alone(g, data):
    """Split, merge and drop axes; those that are left alone keep their geometry."""
    new: list[int] = []
    i = 0
    while i < g.ndim:
        kind = data.draw(st.sampled_from(("keep", "keep", "merge", "split", "one")))
        n = g.shape[i]
        if kind == "merge" and i + 1 < g.ndim:
            new.append(n * g.shape[i + 1])
            i += 1
        elif kind == "split" and n == 4:
            new += [2, 2]
        elif kind == "one":
            new += [1, n]
        else:
            new.append(n)
        i += 1
    order = data.draw(st.sampled_from("CF"))
    numbers = voxel_numbers(g.shape).reshape(new, order=order)
    moved = g.reshape(new, order=order)
    assert moved.shape == numbers.shape
    check_partly_lost(g, moved, numbers)
    assert set(moved.lost.values()) <= {"reshape"}


@pytest.mark.parametrize(
    "old, new, dims, lost",
    [
        ((2, 3, 4), (2, 3, 4), ("z", "y", "x"), ()),
        ((2, 3, 4), (2, 1, 3, 4), ("z", None, "y", "x"), ()),
        ((2, 1, 4), (2, 4), ("z", "x"), ()),
        ((2, 3, 4), (2, 12), ("z", None), (1,)),
        ((2, 3, 4), (6, 4), (None, "x"), (0,)),
        ((2, 3, 4), (24,), (None,), (0,)),
        ((2, 3, 4), (2, 3, 2, 2), ("z", "y", None, None), (2, 3)),
        ((4, 1, 1), (1, 4), (None, "z"), ()),
        ((1, 1, 1), (), (), ()),
        ((0, 3, 4), (0, 12), ("z", None), (1,)),
        ((2, 0, 4), (0, 5), (None, None), (0, 1)),
        ((1, 4, 1), (4,), ("y",), ()),
    ],
)
def test_reshape_by_example(old, new, dims, lost):
    moved = Geometry(old).reshape(new)
    assert moved.shape == new
    assert moved.dims == dims
    assert tuple(moved.lost) == lost


@given(geometries(), st.data())
def test_lose(g, data):
    axes = data.draw(st.lists(st.integers(0, g.ndim - 1), unique=True))
    moved = g.lose(tuple(axes), "sort")
    assert moved.lost == dict.fromkeys(sorted(set(axes) & set(g.sampled_axes)), "sort")
    assert set(moved.sampled_axes) == set(g.sampled_axes) - set(axes)
    assert moved.dims == g.dims
    if 0 not in g.shape:
        np.testing.assert_allclose(moved.center, g.center, rtol=1e-12, atol=1e-9)


def test_a_loss_is_not_forgotten():
    g = Geometry((4, 5, 6)).lose(1, "sort")
    for moved in (
        g[1:, ::-1], g.flip(), g.transpose(), g.pad(2), g.repeat(2, 1), g.reduce(0),
        g.expand_dims(0), g.window(2, 0), g.diff(1, 1), g.resize_axis(1, 3),
        g.reduce(1, keepdims=True), g.reshape((4, 30)), g[:, [0, 1, 3]], g.to_unit({}),
    ):  # fmt: skip
        assert set(moved.lost.values()) <= {"sort", "reshape"}
        assert moved.lost
    assert Geometry((4, 5)).lose(0, "sort").take_axes((5, 4), (1, None), "f").lost == {1: "sort"}


def test_axis_errors_are_numpys():
    g, x = Geometry((4, 5)), np.zeros((4, 5))
    for call in (
        lambda a, m: m.flip(a, 2), lambda a, m: m.flip(a, (0, 0)),
        lambda a, m: m.transpose(a, (0, 2)),
        lambda a, m: m.transpose(a, (0,)), lambda a, m: m.transpose(a, (0, 0)),
        lambda a, m: m.swapaxes(a, 0, -3), lambda a, m: m.moveaxis(a, (0, 1), (0,)),
        lambda a, m: m.expand_dims(a, 4), lambda a, m: m.expand_dims(a, (0, 0)),
        lambda a, m: m.repeat(a, 2, 2), lambda a, m: m.diff(a, 1, 2), lambda a, m: m.squeeze(a, 3),
    ):  # fmt: skip
        with pytest.raises(ValueError) as ours:
            call(g, Geometry)
        with pytest.raises(ValueError) as numpys:
            call(x, np)
        assert isinstance(ours.value, np.exceptions.AxisError) == isinstance(
            numpys.value, np.exceptions.AxisError
        )


def test_cost_does_not_grow_with_the_length_of_a_chain():
    g = Geometry((3000, 4), (0.5, 1), frame="LPS")
    for _ in range(1000):
        g = g[1:, ::-1]
    assert isinstance(place_of(g), Place)
    assert g.origin.tolist() == [500.0, 0.0]
    assert len(g._axes) == 2


def test_diff_is_along_the_last_axis_by_default() -> None:
    g = Geometry((4, 5, 6), spacing=(3, 2, 1))
    assert g.diff().shape == (4, 5, 5)
    assert g.diff(2).origin.tolist() == [0, 0, 1]


def test_indices_that_go_together_walk_along_their_diagonal() -> None:
    g = Geometry((4, 5, 6), spacing=(3, 4, 1), origin=(10, 20, 30))
    walked = g[[0, 1, 2], [1, 2, 3]]
    assert walked.spacing.tolist() == [5, 1]
    assert walked.origin.tolist() == [10, 24, 30]
    np.testing.assert_allclose(walked.direction[:, 0], [0.6, 0.8, 0])


@pytest.mark.parametrize(
    "old, new, order, kept",
    [
        ((6, 4), (2, 3, 4), "C", {2: 3}),
        ((4, 6), (4, 3, 2), "F", {0: 2}),
        ((2, 3, 4), (6, 4), "C", {1: 5}),
    ],
)
def test_reshape_keeps_the_axes_beside_those_that_it_takes_apart(old, new, order, kept):
    g = Geometry(old, (2, 3, 5)[: len(old)])
    with config(on_loss="raise"), pytest.raises(GeometryLossError, match="reshape"):
        g.reshape(new, order=order)
    found = g.reshape(new, order=order)
    assert dict(zip(found.sampled_axes, found.spacing.tolist(), strict=True)) == kept


def test_an_axis_that_leaves_with_another_is_placed_in_the_middle_of_what_it_gave():
    """A step of two voxels along one axis, beside an irregular walk along another."""
    g = Geometry((5, 6), (2, 3), (10, 20))
    found = g[np.array([[0], [1]]), np.array([[0, 2, 1], [1, 0, 2]])]
    assert found.sampled_axes == ()
    assert found.origin.tolist() == [10 + 2 * 0.5, 20 + 3 * 2.5]


def test_windows_of_no_voxels():
    assert Geometry((4, 5)).window(0, axis=1).shape == window_view(np.zeros((4, 5)), 0, 1).shape


def test_axes_of_length_one_that_reshape_adds_are_new_and_not_lost():
    assert Geometry((6,)).reshape((2, 3, 1)).lost == {0: "reshape", 1: "reshape"}


def test_an_axis_may_be_an_integer_of_numpy():
    assert Geometry((4, 5)).expand_dims(np.int64(1)).shape == (4, 1, 5)
