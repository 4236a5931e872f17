"""Every function with a rule: its data are the backend's, and its results lie where they must."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray
from spatial_duck.rules import find as find_rule
from spatial_duck.testing._oracles import place_of, positions
from tests.rules.calls import (
    OVERRIDABLE,
    assert_same,
    build,
    bytes_of,
    find,
    geometry_of,
    images,
    stated,
    wrap,
)
from tests.rules.recipes import RECIPES, Im, Recipe

KNOWN = [pytest.param(r, id=r.label) for r in RECIPES if find(r.name) in OVERRIDABLE]


def call(recipe: Recipe, of: Any) -> tuple[Any, Any]:
    """Call a recipe; return its result and its arguments, as they are afterwards."""
    args, kwargs = build(recipe.args, of), build(recipe.kwargs, of)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # in1d, trapz, fix
        warnings.simplefilter("ignore", RuntimeWarning)  # all-NaN slices
        return find(recipe.name)(*args, **kwargs), (args, kwargs)


@pytest.mark.slow
@pytest.mark.parametrize("recipe", KNOWN)
def test_data_are_those_of_the_bare_call(recipe: Recipe) -> None:
    bare, bare_arguments = call(recipe, lambda im: im.data.copy())
    ours, our_arguments = call(recipe, wrap)
    if "empty" in recipe.name:  # nobody says what is in them
        assert ours.dtype == bare.dtype
        assert ours.shape == bare.shape
    elif recipe.place == "asked elsewhere":
        np.testing.assert_array_equal(ours, bare)
    else:
        assert_same(bare, ours)
    assert bytes_of(our_arguments) == bytes_of(bare_arguments), "written in place"


@pytest.mark.slow
@pytest.mark.parametrize("recipe", KNOWN)
def test_results_lie_where_the_recipe_says(recipe: Recipe) -> None:
    rule = find_rule(find(recipe.name))
    if rule is not None and rule.kind == "moves" and recipe.place == "same":
        _assert_voxels_kept_their_places(recipe)
        return
    result, _ = call(recipe, wrap)
    _each_lies(recipe, recipe.place, result)


def _each_lies(recipe: Recipe, place: Any, result: Any) -> None:
    if isinstance(result, list | tuple):
        places = place if isinstance(place, list) else [place] * len(result)
        for word, one in zip(places, result, strict=True):
            _each_lies(recipe, word, one)
    else:
        stated(recipe, place, result)


def _assert_voxels_kept_their_places(recipe: Recipe) -> None:
    """Fill all images with voxel numbers of one count; look each survivor's place up."""
    points = [np.zeros((1, 4))]

    def numbered(im: Im) -> SpatialArray:
        image = SpatialArray(im.data.copy(), geometry_of(im))
        if im.data.dtype.kind != "b":
            first = sum(map(len, points))
            points.append(positions(place_of(image), image.shape).reshape(-1, 4))
            numbers = np.arange(first, first + im.data.size).reshape(im.data.shape)
            image.data[...] = numbers * (im.data != 0)
        return image

    result, _ = call(recipe, numbered)
    table = np.concatenate(points)
    found = images(list(result) if isinstance(result, tuple) else [result])
    assert found
    for image in found:
        numbers = image.data.astype(int)
        kept = numbers > 0
        assert not image.lost
        there = positions(place_of(image), image.shape)[kept]
        np.testing.assert_allclose(there, table[numbers[kept]], atol=1e-9)
