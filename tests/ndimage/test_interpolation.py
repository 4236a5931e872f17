"""Zoom, shift, rotate: what they say of the world, whatever the grid."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck import ndimage as nd

RNG = np.random.default_rng(5)


def test_zoom_keeps_extent_and_place(blob: Any, grid_name: str, world: Any) -> None:
    case = blob(grid_name)
    found = nd.zoom(case.image, 1.6)
    assert found.shape == tuple(round(n * 1.6) for n in case.geometry.shape)
    np.testing.assert_allclose(found.bounds, case.geometry.bounds, atol=1e-9)
    offset = world.positions(found.geometry) - world.CENTER
    expected = np.exp(-(offset**2).sum(-1) / 2 / case.width**2)
    near = (offset**2).sum(-1) < 25
    assert abs(found.data - expected)[near].max() < 0.06


def test_zoom_is_scipys_with_grid_mode() -> None:
    values = RNG.random((8, 10))
    for factor in (2.0, (0.5, 3.0), {"x": 2.0}):
        theirs = (1.0, 2.0) if isinstance(factor, dict) else factor
        expected = scipy_nd.zoom(values, theirs, order=1, grid_mode=True, mode="nearest")
        found = nd.zoom(sd.SpatialArray(values, spacing=(2.0, 0.7)), factor)
        np.testing.assert_allclose(found.data, expected, atol=1e-12)
    with pytest.raises(sd.GeometryError, match="zoom must hold positive"):
        nd.zoom(sd.SpatialArray(values), 0)


@pytest.mark.parametrize("name", ["oblique", "sheared"])
def test_shift_and_rotation_move_the_center(name: str, blob: Any, world: Any) -> None:
    case = blob(name)
    moved = nd.shift(case.image, (1.0, -2.0, 0.5))
    assert moved.geometry == case.geometry
    np.testing.assert_allclose(nd.center_of_mass(moved) - world.CENTER, (1.0, -2.0, 0.5), atol=0.05)
    pivot = world.CENTER - [3.0, 0.0, 0.0]
    turned = nd.rotate(case.image, 90.0, ("x", "y"), center=pivot)
    np.testing.assert_allclose(nd.center_of_mass(turned), pivot + [0.0, 3.0, 0.0], atol=0.05)


def test_rotation_about_the_middle_by_right_angles_is_exact() -> None:
    image = sd.SpatialArray(RNG.random((5, 5)), spacing=2.0, origin=(7.0, -3.0))
    found = nd.rotate(image, 90.0, ("y", "x"))
    np.testing.assert_allclose(found.data, np.rot90(image.data), atol=1e-9)


def test_what_is_meant_must_be_clear() -> None:
    image = sd.SpatialArray(np.zeros((3, 4)))
    with pytest.raises(sd.GeometryError, match="a number for each of the world axes"):
        nd.shift(image, 1.0)
    with pytest.raises(sd.GeometryError, match="plane must name two space axes"):
        nd.rotate(image, 10, ("x", "z"))
    with pytest.raises(TypeError, match="Affine"):
        nd.affine_transform(image, np.eye(2))  # type: ignore[arg-type]
    with pytest.raises(sd.GeometryError, match="to_unit"):
        nd.rotate(image.replace(unit={"y": "mm", "x": "um"}), 10)
