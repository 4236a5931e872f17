"""Geometry: construction, points, worlds; every movement refereed by arrays of coordinates."""

from __future__ import annotations

import copy
import pickle
import re
from itertools import product
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.errors import (
    FrameError,
    GeometryError,
    GeometryLossError,
)
from spatial_duck.geometry import Geometry, World
from spatial_duck.testing import assert_geometry_equal, place_of, positions
from spatial_duck.testing._strategies import FRAMES, frames, geometries


def grid_points(g: Geometry) -> np.ndarray:
    return positions(place_of(g), g.shape)


# --- construction -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape, dims", [((), ()), ((3,), ("x",)), ((3, 4), ("y", "x")), ((2, 3, 4), ("z", "y", "x"))]
)
def test_defaults(shape, dims):
    g = Geometry(shape)
    assert g.dims == dims
    assert g.world == World(dims)
    assert g.sampled_axes == tuple(range(len(shape)))
    np.testing.assert_array_equal(g.spacing, np.ones(len(shape)))
    np.testing.assert_array_equal(g.origin, np.zeros(len(shape)))
    np.testing.assert_array_equal(g.direction, np.eye(len(shape)))


def test_numbers_come_back_exactly():
    direction = [[0.6, 0.0, -0.8], [0.0, -1.0, 0.0], [0.8, 0.0, 0.6]]
    g = Geometry((2, 3, 4), (0.3, 0.1, 0.7), (0.1, -0.2, 1e17), direction)
    assert g.spacing.tolist() == [0.3, 0.1, 0.7]
    assert g.origin.tolist() == [0.1, -0.2, 1e17]
    assert g.direction.tolist() == direction
    # A header's direction with few digits is kept as it is, too.
    rough = [[0.7071, -0.7071], [0.7071, 0.7071]]
    assert Geometry((2, 2), direction=rough).direction.tolist() == rough


def test_time_and_named_axes_are_sampled_and_others_plain():
    g = Geometry((5, 2, 3, 4), (0.1, 2, 7), dims=("t", "c", "q", "x"), sampled="q")
    assert g.sampled_axes == (0, 2, 3)
    assert g.world.axes == ("t", "q", "x")
    assert g[::2].spacing.tolist() == [0.2, 2, 7]


def test_one_number_is_the_spacing_of_all_axes():
    assert Geometry((2, 3), spacing=2).spacing.tolist() == [2, 2]
    assert Geometry((2, 3), spacing=np.float32(0.5)).spacing.tolist() == [0.5, 0.5]


def test_world_of_a_slice_in_more_dimensions():
    g = Geometry((3, 4), origin=(5, 0, 0))
    assert g.world.axes == ("z", "y", "x")
    assert g.direction.tolist() == [[0, 0], [1, 0], [0, 1]]
    assert_geometry_equal(g, Geometry((9, 3, 4))[5])


NAN, INF = float("nan"), float("inf")
BAD = [
    # what is given, the field that the message names, and words that it must hold
    ({"spacing": (1, NAN)}, "spacing", ["finite", "nan"]),
    ({"spacing": (1, INF)}, "spacing", ["finite", "inf"]),
    ({"spacing": (1, 0)}, "spacing", ["positive", "(1, 0)"]),
    ({"spacing": (1, -2)}, "spacing", ["positive", "-2", "direction"]),
    ({"spacing": (1, 2, 3)}, "spacing", ["2 numbers", "'y', 'x'", "(1, 2, 3)"]),
    ({"spacing": "abc"}, "spacing", ["numbers", "abc"]),
    ({"spacing": (1, 1j)}, "spacing", ["real", "1j"]),
    ({"spacing": ((1, 2), (3, 4))}, "spacing", ["sequence", "3, 4"]),
    ({"spacing": 0}, "spacing", ["positive"]),
    ({"origin": (0, NAN)}, "origin", ["finite"]),
    ({"origin": (0, -INF)}, "origin", ["finite"]),
    ({"origin": (1,)}, "origin", ["2 numbers", "(1,)"]),
    ({"origin": 3.0}, "origin", ["sequence", "3.0"]),
    ({"origin": (0, 0, 0, 0, 0)}, "world", ["5 rows", "world="]),
    ({"direction": [[1, 0], [0, NAN]]}, "direction", ["finite"]),
    ({"direction": [[1, 1], [0, 0]]}, "direction", ["singular", "independent"]),
    ({"direction": [[1, 0], [0, 0]]}, "direction", ["unit"]),
    ({"direction": [[2, 0], [0, 1]]}, "direction", ["unit", "from_affine"]),
    ({"direction": [[1, 1 - 1e-15], [0, 1e-9]]}, "direction", ["singular"]),
    ({"direction": [1, 0]}, "direction", ["matrix"]),
    ({"direction": [[1, 0]]}, "direction", ["(2, 2)", "(1, 2)"]),
    ({"direction": [[1, 0, 0], [0, 1, 0]]}, "direction", ["(2, 2)", "(2, 3)"]),
    ({"dims": ("x", "x")}, "dims", ["unique"]),
    ({"dims": ("x",)}, "dims", ["2 names"]),
    ({"dims": ("x", 3)}, "dims", ["names"]),
    ({"dims": ("x", "")}, "dims", ["names"]),
    ({"sampled": ("c",)}, "sampled", ["'c'"]),
    ({"frame": "XYZ"}, "frame", ["LPS", "'XYZ'"]),
    ({"frame": "LRS"}, "frame", ["'LRS'"]),
    ({"frame": 7}, "frame", ["7"]),
    ({"unit": ("mm", "mm", "mm")}, "unit", ["one unit for each"]),
    ({"unit": {"z": "mm"}}, "unit", ["'z'"]),
    ({"unit": 5}, "unit", ["5"]),
    ({"world": ("y", "y")}, "world", ["different"]),
    ({"world": World(("y", "x"), frame="LPS"), "frame": "RAS"}, "frame", ["contradicts"]),
    ({"world": World(("y", "x"), "mm"), "unit": "um"}, "unit", ["contradicts"]),
    ({"world": ("a", "b")}, "direction", ["must be given", "'a'"]),
    ({"dims": ("t", "x"), "direction": [[0.6, 0.8], [0.8, -0.6]]}, "direction", ["mixes", "'t'"]),
    ({"lost": {5: "f"}}, "lost", ["0 to 1"]),
    ({"shape": (2, -1)}, "shape", ["0 or more"]),
    ({"shape": (2, 1.5)}, "shape", ["0 or more"]),
    ({"shape": 4}, "shape", ["sequence"]),
    ({"shape": (2, 3, 4, 5)}, "dims", ["dims=("]),
]


@pytest.mark.parametrize("given_, field, words", BAD, ids=lambda v: str(v)[:60])
def test_bad_input_is_refused_by_name(given_, field, words):
    with pytest.raises(GeometryError) as caught:
        Geometry(**{"shape": (3, 4), **given_})
    message = str(caught.value)
    assert message.startswith(field), message
    for word in words:
        assert word in message


def test_unknown_frame_is_a_frame_error():
    with pytest.raises(FrameError):
        Geometry((2, 2), frame="ABC")


AFFINE = [[0, -2, 6.0], [3, 0, 0.5], [0, 0, 1]]


def test_from_affine():
    g = Geometry.from_affine((4, 5), AFFINE, frame="LPS", unit="mm")
    np.testing.assert_array_equal(g.affine, AFFINE)
    assert g.spacing.tolist() == [3, 2]
    assert g.origin.tolist() == [6, 0.5]


@pytest.mark.parametrize(
    "matrix, words",
    [
        ([[1, 0, 0], [0, 1, 0], [0, 0, 2]], "last row"),
        ([[1, 0, 0], [0, 0, 0], [0, 0, 1]], "column of zeros"),
        ([[1, 0, 0], [0, NAN, 0], [0, 0, 1]], "finite"),
        ([1, 2, 3], "matrix"),
        ([[1, 2, 0], [2, 4, 0], [0, 0, 1]], "singular"),
    ],
)
def test_from_affine_refuses(matrix, words):
    with pytest.raises(GeometryError, match=words):
        Geometry.from_affine((4, 5), matrix)


@given(geometries(plain=False))
def test_from_affine_inverts_affine(g):
    again = Geometry.from_affine(g.shape, g.affine, g.dims, world=g.world)
    np.testing.assert_allclose(again.affine, g.affine, rtol=0, atol=1e-12 * abs(g.affine).max())
    assert_geometry_equal(again, g)


@given(geometries())
def test_from_corner_inverts_corner(g):
    again = Geometry.from_corner(g.shape, g.spacing, g.corner, g.direction, g.dims, world=g.world)
    assert_geometry_equal(again, g)


# --- values, not references ---------------------------------------------------------------


@given(geometries())
def test_equal_hashable_and_picklable(g):
    kwargs = {"dims": g.dims, "world": g.world}
    twin = Geometry(g.shape, g.spacing, g.origin, g.direction, **kwargs)
    for other in (twin, pickle.loads(pickle.dumps(g)), copy.copy(g), copy.deepcopy(g)):
        assert other == g
        assert hash(other) == hash(g)
        assert repr(other) == repr(g)
    assert g != 3
    if g.origin.size:
        assert g != Geometry(g.shape, g.spacing, g.origin + 1, g.direction, **kwargs)
    assert g != g.expand_dims(0)


def test_every_protocol_pickles_lost_and_unnamed_axes():
    g = Geometry((4, 5, 6), frame="LPS").window(2, 1).lose(0, "shuffle")
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(g, protocol))
        assert again == g
        assert again.lost == {0: "shuffle"}


def test_immutable():
    g = Geometry((3, 4), frame="LPS")
    for name in ("spacing", "origin", "direction", "affine", "corner", "center", "bounds"):
        array = getattr(g, name)
        assert array.dtype == np.float64
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(AttributeError):
            setattr(g, name, 0)
    with pytest.raises(AttributeError):
        g.anything = 1
    with pytest.raises(AttributeError):
        g.world.frame = "RAS"
    g.lost[0] = "not kept"
    assert g.lost == {}


@given(geometries())
def test_repr_names_what_is_there(g):
    text = repr(g)
    assert text.startswith("Geometry(shape=(")
    assert repr(g.world) in text


# --- points -------------------------------------------------------------------------------


@given(geometries(), st.data())
def test_points_by_the_definition(g, data):
    index = np.array(
        data.draw(st.lists(st.floats(-5, 5), min_size=3 * g.ndim, max_size=3 * g.ndim))
    ).reshape(3, g.ndim)
    sampled = index[:, list(g.sampled_axes)]
    expected = [g.origin + g.direction @ (g.spacing * i) for i in sampled]
    points = g.index_to_physical(index)
    np.testing.assert_allclose(
        points, expected, rtol=0, atol=1e-11 * (1 + abs(points).max(initial=0))
    )
    back = g.physical_to_index(points)
    wanted = np.zeros_like(index)
    wanted[:, list(g.sampled_axes)] = sampled
    scale = abs(points).max(initial=1) / g.spacing.min(initial=1)
    np.testing.assert_allclose(back, wanted, rtol=0, atol=1e-12 * (100 + scale))


def test_points_keep_leading_dimensions():
    g = Geometry((4, 5), spacing=(2, 3))
    assert g.index_to_physical((1, 1)).tolist() == [2, 3]
    assert g.index_to_physical(np.zeros((7, 0, 2))).shape == (7, 0, 2)
    assert g.physical_to_index(np.zeros((2, 3, 2))).shape == (2, 3, 2)


def test_a_point_beside_a_slice_is_projected_onto_it():
    g = Geometry((9, 9, 9), (2, 1, 1))[4]
    np.testing.assert_allclose(g.physical_to_index((100.0, 3, 5)), (3, 5))


@pytest.mark.parametrize("index", [5, (1, 2, 3), np.zeros((2, 3))])
def test_wrong_index_length_is_refused(index):
    g = Geometry((4, 5))
    with pytest.raises(GeometryError, match="2 array axes"):
        g.index_to_physical(index)
    with pytest.raises(GeometryError, match="world axes"):
        g.physical_to_index(index)


def test_points_need_positions_and_independent_axes():
    lost = Geometry((4, 5)).lose(1, "sort")
    for call in (lambda g: g.index_to_physical((0, 0)), lambda g: g.physical_to_index((0, 0))):
        with pytest.raises(GeometryLossError, match="'sort'"):
            call(lost)
    for name in ("bounds", "corner"):
        with pytest.raises(GeometryLossError, match="'sort'"):
            getattr(lost, name)
    window = Geometry((4, 5)).window(2, 0)
    with pytest.raises(GeometryError, match="independent"):
        window.physical_to_index((0, 0))


@given(geometries(min_side=1))
def test_bounds_corner_and_center_hold_all_voxels(g):
    ends = [(-0.5, n - 0.5) if i in g.sampled_axes else (0,) for i, n in enumerate(g.shape)]
    corners = g.index_to_physical(np.array(list(product(*ends))).reshape(-1, g.ndim))
    scale = 1e-12 * (1 + abs(corners).max(initial=0))
    np.testing.assert_allclose(g.bounds, [corners.min(0), corners.max(0)], rtol=0, atol=scale)
    np.testing.assert_allclose(g.corner, corners[0], rtol=0, atol=scale)
    np.testing.assert_allclose(g.center, corners.mean(0), rtol=0, atol=scale * 10)
    if g.world.axes:
        points = grid_points(g).reshape(-1, len(g.origin))
        assert (points >= g.bounds[0] - scale).all()
        assert (points <= g.bounds[1] + scale).all()


# --- frames, units, world orders ----------------------------------------------------------


@pytest.mark.parametrize("code", FRAMES)
def test_every_frame_is_reached_and_left(code):
    g = Geometry((2, 3, 4), (1, 2, 3), (10, 20, 30), frame="LPS", unit="mm")
    there = g.to_frame(code)
    assert there.frame == code
    assert there.to_frame("LPS") == g
    assert there.orientation == g.orientation == "SPL"
    # Anatomy decides: the step of each array axis, told in letters, is the same in every frame.
    opposite = dict(zip("LRPASI", "RLAPIS", strict=True))
    for column, letter in zip(there.direction.T, "SPL", strict=True):
        row = int(np.argmax(abs(column)))
        towards = code["xyz".index(there.world.axes[row])]
        assert (towards if column[row] > 0 else opposite[towards]) == letter


@given(geometries(), frames(none=False), frames(none=False))
def test_frames_round_trip(g, a, b):
    if not set("xyz") <= set(g.world.axes):
        g = Geometry(
            (2, 3), (1.5, 0.3), (1, 2, 3), [[0, 0.8], [1, 0], [0, 0.6]], world=("z", "y", "x")
        )
    g = g.replace(frame=a)
    there = g.to_frame(b)
    assert there.to_frame(a) == g
    assert_geometry_equal(there, g)


@given(geometries(ndim=3, dims=("x", "y", "z"), world_orders=False), frames(none=False))
def test_orientation_is_nibabels(g, frame):
    g = g.replace(frame=frame)
    # nibabel knows RAS worlds with axes in the order x, y, z.
    affine = g.to_frame("RAS").to_world(("x", "y", "z")).affine
    strength = np.sort(abs(affine[:3, :3] / g.spacing), axis=0)
    if (strength[2] - strength[1] > 0.25).all() and len(set(
        abs(affine[:3, :3] / g.spacing).argmax(axis=0))
    ) == 3:  # fmt: skip
        assert g.orientation == "".join(nib.aff2axcodes(affine))


def test_orientation_needs_a_frame():
    with pytest.raises(FrameError, match="replace"):
        _ = Geometry((2, 2)).orientation
    with pytest.raises(FrameError, match="replace"):
        Geometry((2, 2)).to_frame("RAS")
    with pytest.raises(GeometryError, match="orientation"):
        _ = Geometry((4, 5, 6), frame="LPS").window(2, 0).orientation


def test_orientation_of_a_slice_and_of_a_series():
    g = Geometry((5, 2, 3, 4), dims=("t", "z", "y", "x"), frame="RAS")
    assert g.orientation == "SAR"
    assert g[0, :, ::-1, 2].orientation == "SP"


def test_a_frame_that_needs_a_missing_axis_is_refused():
    g = Geometry((2, 2), frame="LPS")
    assert g.to_frame("RAS").origin.tolist() == [0, 0]
    with pytest.raises(FrameError, match="the world has only"):
        g.to_frame("SPL")


@given(geometries(units=False), st.permutations(("mm", "um", "m")))
def test_units_round_trip(g, units):
    g = g.replace(unit={a: "mm" for a in g.world.axes if a != "t"})
    if set(g.world.axes) == {"t"}:
        with pytest.raises(GeometryError, match="there is none among"):
            g.to_unit(units[0])
        return
    there = g.to_unit(units[0]).to_unit(units[1])
    factor = {"mm": 1.0, "um": 1e3, "m": 1e-3}[units[1]]
    space = [a != "t" for a in g.world.axes]
    np.testing.assert_allclose(
        there.origin, np.where(space, g.origin * factor, g.origin), rtol=1e-14, atol=1e-300
    )
    assert_geometry_equal(there, g)


def test_units_of_one_axis():
    g = Geometry((5, 4), (2, 3), (1, 1), dims=("t", "x"), unit={"t": "s", "x": "mm"})
    there = g.to_unit({"t": "ms"})
    assert there.spacing.tolist() == [2000, 3]
    assert there.origin.tolist() == [1000, 1]
    assert there.unit == ("ms", "mm")
    with pytest.raises(GeometryError, match="cannot convert"):
        g.to_unit({"t": "mm"})
    with pytest.raises(GeometryError, match="cannot convert"):
        Geometry((4,)).to_unit("mm")


@given(geometries(), st.data())
def test_world_orders_round_trip(g, data):
    order = data.draw(st.permutations(g.world.axes))
    there = g.to_world(order)
    assert there.world.axes == tuple(order)
    assert dict(zip(order, there.origin, strict=True)) == dict(
        zip(g.world.axes, g.origin, strict=True)
    )
    assert there.to_world(g.world.axes) == g
    assert_geometry_equal(there, g)


@given(geometries(), st.data())
def test_world_axes_along_which_nothing_runs_can_be_left_out(g, data):
    """Points keep their other coordinates; what an axis runs along is refused by name."""
    kept = data.draw(st.permutations(g.world.axes).map(lambda names: names[: len(names) // 2 + 1]))
    moving = [n for n, row in zip(g.world.axes, g.direction, strict=True) if row.any()]
    left = [n for n in g.world.axes if n in moving and n not in kept]
    if left:
        with pytest.raises(GeometryError, match=re.escape(f"run along {left!r}")):
            g.to_world(kept)
        return
    there = g.to_world(kept)
    assert there.world.axes == tuple(kept)
    assert (there.shape, there.dims) == (g.shape, g.dims)
    index = np.ones((1, g.ndim))
    rows = [g.world.axes.index(name) for name in kept]
    expected = g.index_to_physical(index)[:, rows]
    np.testing.assert_allclose(there.index_to_physical(index), expected, rtol=1e-12)


@pytest.mark.parametrize("names", [("x",), ("y", "q"), ("y", "x", "x"), ()])
def test_world_axes_are_named_and_kept_where_the_array_runs(names):
    with pytest.raises(GeometryError, match="to_world"):
        Geometry((2, 2)).to_world(names)


# --- replace ------------------------------------------------------------------------------


@given(geometries())
def test_replace_nothing_changes_nothing(g):
    assert g.replace() == g


@pytest.mark.parametrize(
    "changes",
    [
        {"spacing": (5, 6)},
        {"origin": (1, 2, 3)},
        {"frame": "RAS"},
        {"frame": None},
        {"unit": "um"},
        {"shape": (9, 9, 2)},
        {"dims": ("r", "q", "c")},
    ],
)
def test_replace_changes_one_field(changes):
    g = Geometry(
        (3, 4, 2), (1, 2), (7, 8, 9), [[0, 0], [1, 0], [0, -1]],
        ("y", "x", "c"), world=("z", "y", "x"), frame="LPS", unit="mm",
    )  # fmt: skip
    new = g.replace(**changes)
    fields = ("shape", "spacing", "origin", "direction", "dims", "frame", "unit", "sampled_axes")
    for field in fields:
        value = changes.get(field, getattr(g, field))
        if field == "unit" and "unit" in changes:
            value = ("um",) * 3
        np.testing.assert_array_equal(getattr(new, field), value, err_msg=field)


def test_replace_keeps_unnamed_and_lost_axes():
    window = Geometry((6, 5), (2, 3), frame="LPS").window(2, 0)
    assert window.replace() == window
    assert window.replace(spacing=(1, 2, 3)).spacing.tolist() == [1, 2, 3]
    lost = Geometry((6, 5), (2, 3)).lose(0, "sort")
    assert lost.replace(unit="mm").lost == {0: "sort"}
    assert lost.replace(shape=(7, 5)).lost == {0: "sort"}


def test_replace_world_keeps_units_of_axes_that_stay():
    g = Geometry((3, 4), unit="mm", frame="LPS")
    assert g.replace(world=("y", "x")).unit == ("mm", "mm")


def test_replace_refuses_unknown_fields():
    with pytest.raises(TypeError, match="no option spacings=; did you mean spacing="):
        Geometry((2, 2)).replace(spacings=3)


def test_a_place_in_space_and_time_needs_no_names() -> None:
    """Four numbers of origin are of t, z, y and x, whichever of them the array samples."""
    assert Geometry((2, 2), origin=(1, 2, 3, 4)).world.axes == ("t", "z", "y", "x")
    with_time = Geometry((2, 2), dims=("t", "x"), origin=(1, 2, 3, 4))
    assert with_time.world.axes == ("t", "z", "y", "x")


def test_an_affine_without_sampled_axes() -> None:
    g = Geometry.from_affine((3,), [[5.0], [1.0]], dims=("c",), world=("x",))
    assert g.origin.tolist() == [5]
    assert g.sampled_axes == ()


def test_repr_says_every_number() -> None:
    g = Geometry((2, 3), spacing=(0.5, 4), origin=(6, 7), frame="LPS", unit="mm")
    text = repr(g)
    for part in ("shape=(2, 3)", "spacing=(0.5, 4)", "origin=(6, 7)", "dims=('y', 'x')", "'LPS'"):
        assert part in text


@pytest.mark.parametrize(
    "options, shown",
    [
        ({"shape": (4, 5)}, ""),
        ({"shape": (3, 4, 5), "dims": ("c", "y", "x")}, ""),
        ({"shape": (3,), "dims": ("c",), "world": ("x",)}, ""),
        ({"shape": (4, 5), "direction": [[0, -1], [1, 0]]}, "direction=[(0, -1), (1, 0)]"),
        ({"shape": (4, 5), "direction": [[0.8, -0.6], [0.6, 0.8]]},
         "direction=[(0.8, -0.6), (0.6, 0.8)]"),
    ],
)  # fmt: skip
def test_repr_says_a_direction_that_is_not_the_default(options: Any, shown: str) -> None:
    text = repr(Geometry(**options))
    assert ("direction" in text) == bool(shown)
    assert shown in text


def test_each_axis_runs_through_space_or_along_one_other_world_axis() -> None:
    shown = {"dims": ("t", "u", "v"), "sampled": ("u", "v"), "world": ("t", "u", "v")}
    assert Geometry((4, 5, 6), **shown).sampled_axes == (0, 1, 2)
    with pytest.raises(GeometryError, match="'t' mixes"):
        Geometry((4, 5, 6), direction=[[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]], **shown)


def test_no_zero_has_a_sign() -> None:
    turned = Geometry((4, 5, 6), frame="LPS").to_frame("RAS")
    assert not np.signbit(turned.origin).any()
    assert not np.signbit(turned.direction[turned.direction == 0]).any()


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 2, 2)])
def test_reshaping_between_empty_shapes(shape: tuple[int, ...]) -> None:
    g = Geometry((0,), spacing=(2,))
    assert g.reshape(shape).shape == shape
    back = g.reshape(shape).reshape((0,))
    assert back.shape == (0,)
    assert back.spacing.tolist() in ([2], [])


def test_a_plane_of_an_axis_that_lost_its_place_is_unknown_along_that_axis_alone() -> None:
    g = Geometry((4, 5, 6), spacing=(3, 2, 1), origin=(7, 8, 9)).lose(0, "sort")
    plane = g[1]
    assert plane.shape == (5, 6)
    assert plane.lost == {"z": "sort"}
    assert plane == Geometry((5, 6), spacing=(2, 1), origin=(8, 9), lost={"z": "sort"})


def test_units_of_axes_that_are_not_there_are_refused() -> None:
    for thing in (Geometry((2, 2)), Geometry((2, 2), unit="mm")):
        with pytest.raises(GeometryError, match="'s' stands for the axes of time, and there is no"):
            thing.to_unit("s")
    moving = Geometry((3, 2, 2), dims=("t", "y", "x"), unit={"t": "s", "y": "mm", "x": "mm"})
    assert moving.to_unit("ms").unit == ("ms", "mm", "mm")
    assert moving.to_unit("um").unit == ("s", "um", "um")


@pytest.mark.parametrize("sampled", ["ab", ("a", "b"), ["a", 1]])
def test_sampled_takes_letters_as_dims_does(sampled) -> None:
    assert Geometry((2, 2), dims="ab", sampled=sampled).sampled_axes == (0, 1)
    assert Geometry((2, 2), dims=("ab", "c"), sampled="ab").sampled_axes == (0,)


@pytest.mark.parametrize("shape, size", [((3, 4, 5), 3), ((3, 4, 5), 5), ((3, 4), 4), ((3, 4), 2)])
def test_an_affine_of_other_axes_is_told_by_its_shape(shape, size) -> None:
    match = f"affine must have a column for each .* {len(shape) + 1}\\), got \\({size}, {size}\\)"
    with pytest.raises(GeometryError, match=match):
        Geometry.from_affine(shape, np.eye(size))
