"""Structuring elements are round in the world, distances are the world's, SciPy is the referee."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd
from scipy.spatial.distance import cdist

import spatial_duck as sd
from spatial_duck import ndimage as nd
from spatial_duck.testing._strategies import geometries

RNG = np.random.default_rng(2)


def test_a_sphere_grows_and_shrinks_by_the_radius(blob: Any, grid_name: str) -> None:
    case = blob(grid_name)
    distance = np.sqrt((case.offset**2).sum(-1))
    sphere = sd.SpatialArray(distance <= 5.0, case.geometry)
    voxel = max(case.geometry.spacing)
    for function, radius in ((nd.binary_dilation, 7.5), (nd.binary_erosion, 2.5)):
        found = function(sphere, 2.5)
        assert found.dtype == bool
        assert found.geometry == case.geometry
        assert found.data[distance < radius - voxel].all()
        assert not found.data[distance > radius + voxel].any()


def test_opening_takes_away_what_is_thinner(world: Any) -> None:
    """A rod of 3 mm and a ball of 8 mm, on voxels of 2 × 0.5 × 1 mm: a ball of 5 mm fits in one."""
    geometry = sd.Geometry((20, 60, 40), spacing=(2.0, 0.5, 1.0), unit="mm")
    place = world.positions(geometry)
    ball = np.linalg.norm(place - [20.0, 10.0, 20.0], axis=-1) <= 8
    rod = np.linalg.norm(place[..., 1:] - [25.0, 20.0], axis=-1) <= 1.5
    image = sd.SpatialArray(ball | rod, geometry)
    found = nd.binary_opening(image, 2.5).data
    assert not found[rod & ~ball].any()
    assert found[np.linalg.norm(place - [20.0, 10.0, 20.0], axis=-1) <= 6].all()
    closed = nd.binary_closing(image, 2.5)
    assert closed.data[2:-2, 6:-6, 3:-3][image.data[2:-2, 6:-6, 3:-3]].all()


#: Ours with a ball of radius 1 on spacing 1, and SciPy's default structure.
BINARY = ["binary_erosion", "binary_dilation", "binary_opening", "binary_closing"]
CROSS = scipy_nd.generate_binary_structure(3, 1)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("border", [0, 1])
def test_binary_morphology_is_scipys(name: str, border: int) -> None:
    values = RNG.random((7, 8, 9)) > (0.9 if "dil" in name or "clos" in name else 0.3)
    image = sd.SpatialArray(values.astype(np.uint8) * 7)
    step = getattr(scipy_nd, name)
    expected = step(values, CROSS, border_value=border)
    if name in ("binary_opening", "binary_closing"):  # SciPy's have no border value
        one, two = ("erosion", "dilation") if "open" in name else ("dilation", "erosion")
        expected = getattr(scipy_nd, f"binary_{one}")(values, CROSS, border_value=border)
        expected = getattr(scipy_nd, f"binary_{two}")(expected, CROSS, border_value=border)
    found = getattr(nd, name)(image, 1.0, border_value=border)
    np.testing.assert_array_equal(found.data, expected)


GREY = ["grey_erosion", "grey_dilation", "grey_opening", "grey_closing", "white_tophat",
        "black_tophat", "morphological_gradient"]  # fmt: skip


@pytest.mark.parametrize("name", GREY)
@pytest.mark.parametrize("mode", ["reflect", "nearest", "wrap"])
def test_grey_morphology_is_scipys(name: str, mode: str) -> None:
    values = RNG.random((7, 8, 9))
    for ours, theirs in (
        ({"radius": 1.0}, {"footprint": CROSS}),
        ({"size": 3.0}, {"size": 3}),
        ({"footprint": _corner()}, {"footprint": _corner()}),
    ):
        found = getattr(nd, name)(sd.SpatialArray(values), **ours, mode=mode)
        expected = getattr(scipy_nd, name)(values, **theirs, mode=mode)
        np.testing.assert_allclose(found.data, expected, rtol=0, atol=1e-15)


def _corner() -> np.ndarray:
    """Return a footprint that is not symmetric."""
    out = np.zeros((3, 3, 3), bool)
    out[0, 1, 1] = out[1, 1, 1] = out[1, 2, 1] = True
    return out


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i8", "f4", "?"])
def test_differences_never_wrap(dtype: str) -> None:
    low, high = (0, 1) if dtype == "?" else (-100, 100)
    low = 0 if dtype[0] == "u" else low
    values = np.array([low, high, low, high, high, high, low], dtype)
    image = sd.SpatialArray(values)
    found = nd.morphological_gradient(image, 1.0).data
    assert found.max() == high - low
    assert found.min() == 0
    assert nd.white_tophat(image, 1.0).data[1] == high - low
    assert nd.white_tophat(image, 1.0, mode="constant", cval=high).data.min() == 0


# --- holes --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 13), (7, 8, 9)])
def test_fill_holes_is_scipys(shape: tuple[int, ...]) -> None:
    values = RNG.random(shape) > (0.45 if len(shape) == 2 else 0.2)
    found = nd.binary_fill_holes(sd.SpatialArray(values))
    np.testing.assert_array_equal(found.data, scipy_nd.binary_fill_holes(values))


# --- distances ----------------------------------------------------------------------------


def _by_hand(mask: np.ndarray, geometry: sd.Geometry) -> np.ndarray:
    points = geometry.index_to_physical(np.moveaxis(np.indices(mask.shape), 0, -1))
    out = np.zeros(mask.shape)
    out[mask] = cdist(points[mask], points[~mask]).min(axis=1)
    return out


@settings(max_examples=40)
@given(st.data())
def test_distances_are_those_of_the_world(data: st.DataObject) -> None:
    """Every pair of voxels, measured: oblique, sheared, flipped, in slices and on lines."""
    dims = data.draw(st.permutations("xyz"))[: data.draw(st.integers(1, 3))]
    geometry = data.draw(geometries(dims=dims, min_side=1, max_side=5, units=False))
    bits = data.draw(st.integers(0, 2**31))
    mask = np.random.default_rng(bits).random(geometry.shape) > 0.2
    mask.flat[0] = False
    image = sd.SpatialArray(mask.astype(np.int16), geometry)
    expected = _by_hand(mask, geometry)
    found = nd.distance_transform_edt(image)
    np.testing.assert_allclose(found.data, expected, rtol=1e-4)  # 0.006° count as none
    limit = float(np.median(expected[expected > 0])) if mask.any() else 1.0
    capped = nd.distance_transform_edt(image, max_distance=limit)
    np.testing.assert_allclose(capped.data, np.minimum(expected, limit), rtol=1e-4)


def test_distance_without_background() -> None:
    image = sd.SpatialArray(np.ones((3, 4)))
    assert np.isinf(nd.distance_transform_edt(image).data).all()
    assert (nd.distance_transform_edt(image, max_distance=2.5).data == 2.5).all()
    with pytest.raises(ValueError, match="max_distance must be positive"):
        nd.distance_transform_edt(image, max_distance=0)


def test_distance_of_frames() -> None:
    values = RNG.random((4, 3, 9)) > 0.3
    image = sd.SpatialArray(values, dims=("y", "t", "x"), spacing=(2.0, 9.0, 0.5))
    found = nd.distance_transform_edt(image).data
    for t in range(3):
        expected = scipy_nd.distance_transform_edt(values[:, t], sampling=(2.0, 0.5))
        np.testing.assert_allclose(found[:, t], expected)
