"""Grids of one lattice, on oblique, sheared and flipped grids: voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from spatial_duck import Affine, Geometry
from spatial_duck.errors import GeometryError, GeometryMismatchError
from tests.effort import examples

ENDS = st.integers(0, 9)


@st.composite
def lattices(draw):
    """Return an oblique, possibly sheared grid of two or three axes."""
    n = draw(st.integers(2, 3))
    numbers = st.floats(-1, 1).map(lambda v: round(v, 3))
    matrix = np.eye(n) + 0.4 * np.array([[draw(numbers) for _ in range(n)] for _ in range(n)])
    matrix *= [draw(st.sampled_from([-1, 1])) for _ in range(n)]
    assume(np.linalg.cond(matrix) < 20)
    length = np.linalg.norm(matrix, axis=0)
    return Geometry(
        [draw(st.integers(1, 10)) for _ in range(n)],
        spacing=[draw(st.sampled_from([0.3, 1.0, 2.5])) for _ in range(n)],
        origin=[draw(st.integers(-50, 50)) / 7 for _ in range(n)],
        direction=matrix / length,
        frame="LPS",
    )


@st.composite
def parts(draw, grid):
    """Return a piece of a grid's lattice: cut, coarser, flipped, beyond its ends."""
    grown = grid.pad([(draw(st.integers(0, 5)), draw(st.integers(0, 5))) for _ in grid.shape])
    key = tuple([slice(None, None, draw(st.sampled_from([1, 2, 3, -1, -2]))) for _ in grid.shape])
    part = grown[tuple([slice(draw(st.integers(0, 3)), None) for _ in grid.shape])][key]
    if draw(st.booleans()):
        part = part.to_frame("RAS")
    return part.transpose() if draw(st.booleans()) else part


def points(grid: Geometry) -> np.ndarray:
    """Return the place of each voxel, in LPS, one a row."""
    g = grid.to_frame("LPS").to_world([n for n in "zyx" if n in grid.world.axes])
    return g.index_to_physical(np.moveaxis(np.indices(g.shape), 0, -1)).reshape(-1, g.ndim)


def common(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if not len(a) or not len(b):
        return np.zeros(len(a), bool)
    return (abs(a[:, None] - b[None]).max(axis=2) < 1e-6).any(axis=1)


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_overlap_selects_the_voxels_that_coincide(data):
    g = data.draw(lattices())
    h = data.draw(parts(g))
    try:
        both = g & h
    except GeometryMismatchError:
        # Coarser grids of two offsets have no voxel in common, wherever they are continued.
        assert not common(points(g), points(h)).any()
        return
    wanted = points(g)[common(points(g), points(h))]
    assert len(points(both)) == len(wanted)
    np.testing.assert_allclose(points(both), wanted, atol=1e-9)
    assert both == g[g.overlap(h)]
    assert all(s.step is None or s.step > 1 for s in g.overlap(h))


@settings(max_examples=examples(150), deadline=None)
@given(st.data())
def test_the_hull_is_the_smallest_grid_that_holds_both(data):
    g = data.draw(lattices())
    h = data.draw(parts(g))
    assume(0 not in h.shape)
    try:
        hull = g | h
    except GeometryMismatchError:
        return
    assert common(points(g), points(hull)).all()
    index = hull.physical_to_index(points(h)) if h.frame == "LPS" else None
    if index is not None and h.world == g.world:
        assert (index > -1e-6).all()
        assert (index < np.array(hull.shape) - 1 + 1e-6).all()
    together = g.physical_to_index(np.vstack([points(g), points(h)]))
    low, high = np.rint(together.min(axis=0)), np.rint(together.max(axis=0))
    assert hull.shape == tuple((high - low + 1).astype(int))


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_enclosing_covers_a_box_and_no_more(data):
    g = data.draw(lattices())
    n = len(g.origin)
    low = np.array([data.draw(st.floats(-20, 20)) for _ in range(n)])
    size = np.array([data.draw(st.floats(0, 20)) for _ in range(n)])
    made = g.enclosing([low, low + size])
    corners = np.array(np.meshgrid(*np.transpose([low, low + size]))).reshape(n, -1).T
    index = made.physical_to_index(corners)
    assert (index >= -0.5 - 2e-3).all()
    assert (index <= np.array(made.shape) - 0.5 + 2e-3).all()
    # Without any of its outer planes it would not cover the box, or cover a plane of no thickness.
    assert (index.min(axis=0) < 0.5 + 2e-3).all()
    assert (index.max(axis=0) > np.array(made.shape) - 1.5 - 2e-3).all()
    assert not g.snap_to(made).difference(g)


@settings(max_examples=examples(100), deadline=None)
@given(st.data())
def test_snap_to_moves_less_than_half_a_voxel_onto_the_lattice(data):
    g = data.draw(lattices())
    offset = [data.draw(st.floats(-30, 30)) for _ in g.shape]
    moved = g.replace(origin=g.index_to_physical(offset))
    snapped = moved.snap_to(g)
    index = g.physical_to_index(snapped.origin)
    np.testing.assert_allclose(index, np.rint(index), atol=1e-9)
    assert (abs(index - offset) <= 0.5 + 1e-9).all()
    assert snapped.shape == moved.shape
    assert snapped.isclose(moved.snap_to(g))
    np.testing.assert_array_equal(snapped.spacing, moved.spacing)
    assert (snapped | g).shape  # they lie on one lattice now


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_zooms_keep_the_outer_corners(data):
    g = data.draw(lattices())
    shape = tuple([data.draw(st.integers(1, 20)) for _ in g.shape])
    ends = np.array([n - 0.5 for n in g.shape])
    for made in (g.zoom_to(shape), g.zoom_out(data.draw(st.sampled_from([1, 2, 1.5, 3])))):
        np.testing.assert_allclose(made.corner, g.corner, atol=1e-9)
        np.testing.assert_allclose(
            made.index_to_physical(np.array(made.shape) - 0.5), g.index_to_physical(ends), atol=1e-9
        )
    assert g.zoom_to(shape).shape == shape
    padded = g.pad_to_multiple(4)
    assert all(n % 4 == 0 for n in padded.shape)
    assert padded[tuple(map(slice, g.shape))] == g


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_transform_times_a_grid_maps_its_points(data):
    g = data.draw(lattices())
    n = len(g.origin)
    matrix = np.eye(n + 1)
    matrix[:n] += np.array([[data.draw(st.floats(-0.3, 0.3)) for _ in range(n + 1)]] * n)
    assume(np.linalg.cond(matrix[:n, :n]) < 50)
    affine = Affine(matrix, g.world)
    index = np.array([data.draw(ENDS) for _ in g.shape])
    np.testing.assert_allclose(
        (affine * g).index_to_physical(index), affine(g.index_to_physical(index)), atol=1e-9
    )


def test_grids_of_other_lattices_are_refused():
    g = Geometry((5, 5), spacing=2.0)
    for other in (
        g.replace(origin=(1, 0.5)),
        g.replace(spacing=(2, 2.03)),
        g.replace(direction=[[0.6, -0.8], [0.8, 0.6]]),
        Geometry((5,), spacing=2.0),
        g.to_unit("mm") if g.unit[0] else g.replace(dims=("y", "z"), world=("y", "z")),
    ):
        for operation in (lambda o: g & o, lambda o: g | o):
            with pytest.raises(GeometryMismatchError, match="lattice"):
                operation(other)
    with pytest.raises(GeometryError, match="plain"):
        Geometry((3, 4), dims=("c", "x")).zoom_to((2, 4))


def test_apart_is_empty_and_plain_axes_stay():
    g = Geometry((3, 6, 6), dims=("c", "y", "x"), spacing=1.0)
    apart = g.replace(origin=(100, 0))
    assert (g & apart).shape == (3, 0, 0)
    assert (g & g[:, 2:, ::-1]) == g[:, 2:]
    assert (g | apart).shape == (3, 106, 6)
    with pytest.raises(GeometryMismatchError, match="axes"):
        g & g[:2]
