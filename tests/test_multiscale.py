"""Pyramids: every level's values are those of its own places."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import GeometryError
from spatial_duck.multiscale import Pyramid, level_factors, pyramid, shrink
from spatial_duck.testing import strategies


def ramp_over(geometry: sd.Geometry, weights: Any) -> np.ndarray:
    index = np.moveaxis(np.indices(geometry.shape), 0, -1).astype(float)
    return geometry.index_to_physical(index) @ np.asarray(weights)[: len(geometry.origin)]


@given(geometry=strategies.geometries(min_side=1, max_side=9), factor=st.integers(1, 4))
def test_a_ramp_agrees_with_every_level(geometry: sd.Geometry, factor: int) -> None:
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    image = sd.SpatialArray(ramp_over(geometry, weights), geometry)
    for level in pyramid(image, levels=3, factors=factor):
        expected = ramp_over(level.geometry, weights)
        assert np.allclose(np.asarray(level), expected, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr2", "zarr3"], indirect=True)
def test_backends_agree_to_the_bit(backend: Any, no_compute: Any) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-100, 100, (3, 17, 22, 31)).astype("i2")
    image = sd.SpatialArray(backend.make(values), spacing=(1, 3, 1, 1), dims=("t", "z", "y", "x"))
    expected = shrink(sd.SpatialArray(values, image.geometry), {"z": 2, "y": 3, "x": 4})
    with no_compute():
        result = shrink(image, {"z": 2, "y": 3, "x": 4})
    assert np.array_equal(backend.to_numpy(result.data), np.asarray(expected))
    assert result.geometry == expected.geometry
    assert result.dtype == np.int16


def test_integers_round_half_to_even_and_never_wrap() -> None:
    values = np.array([250, 251, 252, 253, 255, 255], "u1")
    assert np.asarray(shrink(sd.SpatialArray(values))).tolist() == [250, 252, 255]
    assert np.asarray(shrink(sd.SpatialArray(np.array([1, 2, 3, 4], "i8")))).tolist() == [2, 4]
    flags = sd.SpatialArray(np.array([True, True, True, False, False, False]))
    assert np.asarray(shrink(flags, 3)).tolist() == [True, False]


def test_simpleitk_bins_alike() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    values = np.random.default_rng(1).random((9, 11, 14))
    image = sd.SpatialArray(values, spacing=(3, 2, 1), origin=(7, 8, 9), frame="LPS", unit="mm")
    other = sitk.GetImageFromArray(values)
    other.SetSpacing((1, 2, 3))
    other.SetOrigin((9, 8, 7))
    other = sitk.BinShrink(other, [4, 3, 2])
    ours = shrink(image, (2, 3, 4))
    assert np.allclose(np.asarray(ours), sitk.GetArrayFromImage(other), atol=1e-12)
    assert np.allclose(ours.origin[::-1], other.GetOrigin(), atol=1e-12)
    assert np.allclose(ours.spacing[::-1], other.GetSpacing(), atol=1e-12)


def test_levels_by_default_and_at_a_spacing() -> None:
    image = sd.SpatialArray(np.zeros((1, 130, 300), "u1"), spacing=(5, 1, 0.5))
    levels = pyramid(image)
    shapes = [(1, 130, 300), (1, 65, 150), (1, 32, 75), (1, 16, 37)]
    assert [level.shape for level in levels] == shapes
    assert levels[0] is image
    assert levels.at(1).shape == (1, 130, 300)
    assert levels.at((5, 2, 2)).shape == (1, 65, 150)
    assert levels.at((50, 50, 50)) is levels[-1]
    assert isinstance(levels[1:], Pyramid)
    assert len(levels[1:]) == 3
    assert "4 levels" in repr(levels)


def test_bad_arguments_are_named() -> None:
    image = sd.SpatialArray(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="mean"):
        pyramid(image, method="mode of transport")
    with pytest.raises(GeometryError, match="'q'"):
        shrink(image, {"q": 2})
    with pytest.raises(GeometryError, match="at least 1"):
        shrink(image, 0)
    with pytest.raises(GeometryError, match="at least 1"):
        level_factors(image.geometry, (2,))
    with pytest.raises(ValueError, match="one level"):
        Pyramid(())
