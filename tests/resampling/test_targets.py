"""Grids to resample onto: they cover the image, run along the world, and are no larger."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.resampling._targets import aligned_grid

CODES = ["".join(c) for p in permutations(["LR", "PA", "SI"]) for c in product(*p)]


@st.composite
def oblique(draw: Any) -> Geometry:
    matrix = np.linalg.qr(np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=(3, 3)))[0]
    matrix[:, 0] += draw(st.sampled_from([0.0, 0.3])) * matrix[:, 1]  # sheared
    matrix /= np.linalg.norm(matrix, axis=0)
    number = st.floats(0.25, 4)
    return Geometry(
        tuple(draw(st.lists(st.integers(1, 9), min_size=3, max_size=3))),
        draw(st.lists(number, min_size=3, max_size=3)),
        draw(st.lists(st.floats(-50, 50), min_size=3, max_size=3)),
        matrix,
        frame=draw(st.sampled_from(["LPS", "RAS", "SPL"])),
    )


@given(oblique(), st.sampled_from([None, 0.5, 2.0]), st.sampled_from([None, *CODES]))
def test_the_grid_covers_the_image_and_is_the_smallest(
    geometry: Geometry, spacing: float | None, code: str | None
) -> None:
    grid = aligned_grid(geometry, spacing, code)
    step = spacing or geometry.spacing.min()
    assert grid.spacing.tolist() == [step] * 3
    assert grid.orientation == (code or geometry.orientation)
    assert sorted(np.abs(grid.direction).ravel()) == [0] * 6 + [1] * 3
    assert grid.world == geometry.world
    excess = np.abs(geometry.bounds - grid.bounds)
    assert ((geometry.bounds[0] >= grid.bounds[0] - 1e-5) & (excess[0] < step)).all()
    assert ((geometry.bounds[1] <= grid.bounds[1] + 1e-5) & (excess[1] < step)).all()
    np.testing.assert_allclose(excess[0], excess[1], atol=1e-9)  # centred


def test_an_image_that_is_aligned_keeps_its_grid() -> None:
    geometry = Geometry((4, 5, 6), (2, 2, 2), (1, 2, 3), frame="LPS").flip(1)
    assert aligned_grid(geometry).isclose(geometry, 1e-9)


def test_other_axes_stay() -> None:
    geometry = Geometry((3, 2, 4, 5), (2.5, 0.5, 0.5), dims=("t", "c", "y", "x"), unit="um")
    grid = aligned_grid(geometry, {"y": 1.0})
    assert grid.dims == geometry.dims
    assert grid.shape == (3, 2, 2, 5)
    assert grid.spacing.tolist() == [2.5, 1, 0.5]
    assert grid[:, 0].world == geometry.world


@pytest.mark.parametrize(
    "geometry, arguments, error, said",
    [
        (Geometry((4, 4, 4)), {"orientation": "RAS"}, FrameError, "frame"),
        (Geometry((4, 4, 4), frame="LPS"), {"orientation": "RAX"}, FrameError, "orientation must"),
        (Geometry((4, 4, 4), frame="LPS")[2], {}, GeometryError, "axis for each"),
        (Geometry((4, 0, 4)), {}, GeometryError, "voxel"),
        (Geometry((4, 4)), {"spacing": 0}, GeometryError, "positive"),
        (Geometry((4, 4)), {"spacing": float("nan")}, GeometryError, "positive"),
    ],
)
def test_what_has_no_such_grid(geometry: Any, arguments: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        aligned_grid(geometry, **arguments)
