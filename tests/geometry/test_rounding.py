"""Widths and places that went through 32 bits, in any unit, count as many voxels as they did."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.geometry._rounding import count_voxels
from spatial_duck.resampling._targets import aligned_grid

#: Spacings as headers have them, in nanometres, micrometres and kilometres of metres too.
SPACINGS = st.floats(0.05, 20).flatmap(
    lambda s: st.sampled_from([s * unit for unit in (1.0, 1e3, 1e6, 1e-3, 1e-6)])
)


@settings(max_examples=100, deadline=None)
@given(spacing=SPACINGS, n=st.integers(1, 4000), narrow=st.booleans())
def test_a_width_of_whole_voxels_is_so_many(spacing: float, n: int, narrow: bool) -> None:
    through = float(np.float32(spacing))
    width, step = (n * spacing, through) if narrow else (n * through, spacing)
    assert count_voxels(width / step) == n


@settings(max_examples=25, deadline=None)
@given(spacing=SPACINGS, n=st.integers(1, 3000))
def test_grids_crops_and_margins_have_as_many_voxels(spacing: float, n: int) -> None:
    image = sd.SpatialArray(np.zeros((1, n), np.int8), spacing=float(np.float32(spacing)))
    grid = image.geometry
    assert aligned_grid(grid, spacing={"x": spacing}).shape == (1, n)
    assert sd.resample(image, spacing={"x": spacing}, interpolation="nearest").shape == (1, n)
    ends = [[0.0, 0.0], [0.0, (n - 1) * spacing]]
    assert sd.crop(image, ends).shape == (1, n)
    edges = [[-0.5 * spacing, -0.5 * spacing], [0.5 * spacing, (n - 0.5) * spacing]]
    assert sd.pad_to(image, edges).shape == (1, n)
