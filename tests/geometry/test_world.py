"""Worlds: names, units and frames."""

from __future__ import annotations

import pickle
from itertools import permutations

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry._world import (
    LENGTHS,
    TIMES,
    World,
    canonical_unit,
    check_frame,
    frame_change,
    unit_factor,
)
from spatial_duck.testing._strategies import FRAMES, frames


def test_there_are_48_frames():
    assert len(set(FRAMES)) == 48
    assert [check_frame(code.lower()) for code in FRAMES] == list(FRAMES)


@pytest.mark.parametrize(
    "code", ["", "LP", "LPSS", "LRS", "XYZ", "LLS", 3, b"LPS", ("L", "P", "S")]
)
def test_other_codes_are_refused(code):
    with pytest.raises(FrameError, match="three letters"):
        check_frame(code)


@given(frames(none=False), frames(none=False), frames(none=False))
def test_frame_changes_compose(a, b, c):
    def apply(change, point):
        return [sign * point[source] for source, sign in change]

    point = [1.0, 20.0, 300.0]
    there = apply(frame_change(a, b), point)
    assert apply(frame_change(b, a), there) == point
    assert apply(frame_change(b, c), there) == apply(frame_change(a, c), point)


@pytest.mark.parametrize("code", FRAMES)
def test_frame_change_is_nibabels(code):
    # nibabel: the array axes of an identity image in the frame run towards `code`.
    start, end = nib.orientations.axcodes2ornt(tuple("RAS")), nib.orientations.axcodes2ornt(code)
    transform = nib.orientations.ornt_transform(start, end)
    for old, (new, sign) in enumerate(transform):
        assert frame_change("RAS", code)[int(new)] == (old, int(sign))


@pytest.mark.parametrize(
    "given_, units",
    [
        (None, (None, None, None)),
        ("mm", (None, "mm", "mm")),
        ("millimetres", (None, "mm", "mm")),
        ({"t": "seconds", "x": "µm"}, ("s", None, "um")),
        (("ms", None, "micrometer"), ("ms", None, "um")),
    ],
)
def test_units(given_, units):
    world = World(("t", "y", "x"), given_)
    assert world.units == units
    assert pickle.loads(pickle.dumps(world)) == world
    assert hash(World(["t", "y", "x"], units)) == hash(world)


@pytest.mark.parametrize(
    "args, error, words",
    [
        ((("x", "x"),), GeometryError, "different"),
        ((("x", ""),), GeometryError, "non-empty"),
        ((("x", None),), GeometryError, "names"),
        ((("x",), {"y": "mm"}), GeometryError, "'y'"),
        ((("x",), ("mm", "mm")), GeometryError, "one unit"),
        ((("x",), 3), GeometryError, "one unit"),
        ((("x",), ""), GeometryError, "unit"),
        ((("x",), (3,)), GeometryError, "unit"),
        ((("x",), None, "XYZ"), FrameError, "XYZ"),
    ],
)
def test_bad_worlds_are_refused(args, error, words):
    with pytest.raises(error, match=words):
        World(*args)


def test_immutable():
    with pytest.raises(AttributeError):
        World(("x",)).frame = "LPS"


@pytest.mark.parametrize("table", [LENGTHS, TIMES], ids=["lengths", "times"])
def test_unit_factors_are_exact_where_they_can_be(table):
    for old, new in permutations(table, 2):
        factor = unit_factor(old, new)
        assert factor == pytest.approx(table[old] / table[new], rel=1e-12)
        # Powers of ten come out as the nearest float, so that conversions of round numbers are.
        exponent = np.log10(factor)
        if abs(exponent - round(exponent)) < 1e-12:
            assert factor == float(f"1e{round(exponent)}")


@pytest.mark.parametrize(
    "pair", [("mm", "s"), (None, "mm"), ("mm", None), ("ppm", "mm"), ("mm", "parsec")], ids=str
)
def test_units_that_have_no_factor_are_refused(pair):
    with pytest.raises(GeometryError, match="cannot convert"):
        unit_factor(*pair)
    assert unit_factor("ppm", "ppm") == unit_factor(None, None) == 1.0


@given(st.sampled_from(sorted({*LENGTHS, *TIMES})))
def test_names_of_units_are_stable(unit):
    assert canonical_unit(unit) == unit


def test_space_axes_by_name():
    assert World(("t", "z", "x")).space == (2, 1)
