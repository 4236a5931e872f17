"""Every function of two and more images: other grids are refused, and nothing is written."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from spatial_duck import GeometryMismatchError, SpatialArray
from tests.rules.calls import OVERRIDABLE, build, bytes_of, find, geometry_of, images
from tests.rules.recipes import RECIPES, Im, Recipe

#: Functions whose images need not lie on one grid, and why.
NOT_COMPARED = {
    **dict.fromkeys(
        ("isin", "in1d", "searchsorted", "union1d", "setdiff1d", "setxor1d", "intersect1d"),
        "compares values, wherever they are",
    ),
    **dict.fromkeys(("convolve", "correlate", "kron", "linalg.outer"), "the second is a kernel"),
    **dict.fromkeys(("meshgrid", "ix_", "atleast_1d"), "each result comes from one image"),
    **dict.fromkeys(("asarray", "array"), "like= tells the kind of array only"),
    **dict.fromkeys(
        ("may_share_memory", "shares_memory", "common_type", "result_type"),
        "asks about memory or types",
    ),
}
#: Off all axes by a part of a voxel.
AWAY = np.array([0.2, 0.9, -0.6, 0.4])


def several(recipe: Recipe) -> bool:
    found = images((recipe.args, recipe.kwargs))
    name = recipe.name
    return len(found) > 1 and name not in NOT_COMPARED and find(name) in OVERRIDABLE


MIXED = [pytest.param(r, id=r.label) for r in RECIPES if several(r)]


def call(recipe: Recipe, of: Any) -> tuple[Any, Any]:
    args, kwargs = build(recipe.args, of), build(recipe.kwargs, of)
    before = bytes_of((args, kwargs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return find(recipe.name)(*args, **kwargs), None
        finally:
            assert bytes_of((args, kwargs)) == before or of is None, "something was written"


@pytest.mark.parametrize("recipe", MIXED)
def test_images_on_other_grids_are_refused_and_nothing_is_written(recipe: Recipe) -> None:
    if recipe.label == "array_equal-1":
        pytest.skip("arrays of two shapes are not equal, wherever they are")
    count = len(images((recipe.args, recipe.kwargs)))
    for moved in range(count):
        number = iter(range(count))

        def of(im: Im, moved: int = moved, number: Any = number) -> SpatialArray:
            geometry = geometry_of(im)
            if next(number) == moved:
                geometry = geometry.replace(origin=geometry.origin + AWAY)
            return SpatialArray(im.data.copy(), geometry)

        with pytest.raises(GeometryMismatchError, match="differ first in"):
            call(recipe, of)


@pytest.mark.parametrize("recipe", MIXED)
def test_another_frame_unit_and_order_of_one_grid_are_recognised(recipe: Recipe) -> None:
    def twisted(im: Im) -> SpatialArray:
        geometry = geometry_of(im)
        if next(number):
            geometry = geometry.to_frame("RAS").to_unit("um").to_world(("x", "t", "z", "y"))
        return SpatialArray(im.data.copy(), geometry)

    number = iter(range(9))
    args, kwargs = build(recipe.args, twisted), build(recipe.kwargs, twisted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        find(recipe.name)(*args, **kwargs)


def image(*shape: int, origin: Any = None, value: float = 0.0) -> SpatialArray:
    return SpatialArray(np.full(shape, value), spacing=(2.0, 1.0)[-len(shape) :], origin=origin)


def test_out_on_another_grid_is_refused_before_anything_is_written() -> None:
    a = image(3, 4, value=1.0)
    lines = {
        "sum": lambda out: np.sum(a, axis=0, out=out),
        "sum, by position": lambda out: np.sum(a, 0, None, out),
        "median": lambda out: np.median(a, axis=0, out=out),
        "take": lambda out: np.take(a, 1, axis=0, out=out),
        "dot": lambda out: np.dot(np.ones(3), a, out=out),
        "mean": lambda out: a.mean(axis=0, out=out),
    }
    for name, call in lines.items():
        elsewhere = image(4, origin=[7.0])
        elsewhere = SpatialArray(elsewhere.data, a.geometry[0].replace(origin=(100.0, 100.0)))
        with pytest.raises(GeometryMismatchError, match="out="):
            call(elsewhere)
        assert (elsewhere.data == 0).all(), name
        bare = np.zeros(4)
        assert call(bare) is bare, name
        assert bare.any(), name


def test_out_alone_may_be_an_image() -> None:
    out = image(4)
    assert np.sum(np.ones((3, 4)), axis=0, out=out) is out
    np.testing.assert_array_equal(out.data, 3.0)
    assert np.clip(np.ones(4), 0, 0.5, out=out) is out
    assert np.take(np.arange(4.0), [3, 2, 1, 0], out=out) is out
    np.testing.assert_array_equal(out.data, [3.0, 2.0, 1.0, 0.0])


def test_arrays_without_geometry_mix_freely() -> None:
    a = image(3, 4)
    for other in (np.ones((3, 4)), np.ones(4), 2.0, np.ones((3, 1)), np.ones((1, 1, 1))[0]):
        assert np.add(a, other).geometry == a.geometry
        assert np.where(np.asarray(other) > 0, a, other).geometry == a.geometry


def test_an_array_that_lies_nowhere_mixes_with_every_image() -> None:
    a = image(3, 4, origin=(5.0, 6.0)).replace(frame="LPS", world=("y", "x"))
    nowhere = np.ones((3, 4), like=a)
    assert (a + nowhere).geometry == a.geometry
    assert (nowhere + a).geometry == a.geometry


def test_histograms_of_two_images_can_be_compared() -> None:
    bins = [0.0, 1.0, 2.0]
    a, b = np.histogram(image(3, 4), bins)[0], np.histogram(image(5, 2, origin=(9.0, 9.0)), bins)[0]
    assert (a - b).tolist() == [2, 0]
