"""Points are where things are in the world; SciPy is the referee on plain grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck import ndimage as nd
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._strategies import geometries

RNG = np.random.default_rng(4)


def test_the_center_of_a_blob_is_where_it_is(blob: Any, grid_name: str, world: Any) -> None:
    case = blob(grid_name)
    np.testing.assert_allclose(nd.center_of_mass(case.image), world.CENTER, atol=0.02)
    best = nd.maximum_position(case.image)
    assert np.linalg.norm(best - world.CENTER) == pytest.approx(
        np.linalg.norm(case.offset, axis=-1).min()
    )


@settings(max_examples=30)
@given(st.data())
def test_points_on_any_grid(data: st.DataObject) -> None:
    """Weighted means and extremes, told from the positions of all voxels."""
    dims = data.draw(st.permutations("xyz"))[: data.draw(st.integers(1, 3))]
    geometry = data.draw(geometries(dims=dims, min_side=1, max_side=5, units=False))
    values = np.random.default_rng(data.draw(st.integers(0, 999))).random(geometry.shape)
    place = geometry.index_to_physical(np.moveaxis(np.indices(geometry.shape), 0, -1))
    points = place.reshape(-1, place.shape[-1])
    image = sd.SpatialArray(values, geometry)
    mean = np.average(points, axis=0, weights=values.ravel())
    np.testing.assert_allclose(nd.center_of_mass(image), mean, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(nd.maximum_position(image), points[values.argmax()], atol=1e-9)
    np.testing.assert_allclose(nd.minimum_position(image), points[values.argmin()], atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
def test_labels_and_index(lazy: bool) -> None:
    values = RNG.integers(0, 50, (6, 7, 8))
    marks = RNG.integers(0, 4, (6, 7, 8))
    image, labels = sd.SpatialArray(values), sd.SpatialArray(marks)
    if lazy:
        pytest.importorskip("dask", reason="needs dask")
        image, labels = image.chunk((4, 3, 5)), labels.chunk((3, 7, 2))
    for mark in (labels, labels.data):
        for index in (None, 2, [3, 1], [2, 9]):
            with assert_lazy():
                center = nd.center_of_mass(image, mark, index)
                low, high, where_low, where_high = nd.extrema(image, mark, index)
            if index == [2, 9]:  # there is no 9
                assert np.isnan(np.asarray(center)[1]).all()
                assert np.isnan(np.asarray(high)[1])
                assert np.isnan(np.asarray(where_low)[1]).all()
                continue
            expected = scipy_nd.center_of_mass(values, marks, index)
            np.testing.assert_allclose(np.asarray(center), expected, rtol=1e-12)
            lowest, highest, _, _ = scipy_nd.extrema(values, marks, index)
            np.testing.assert_array_equal(np.asarray(low), lowest)
            np.testing.assert_array_equal(np.asarray(high), highest)
            for points, wanted in ((where_low, lowest), (where_high, highest)):
                for point, value, number in zip(
                    np.atleast_2d(np.asarray(points)), np.atleast_1d(wanted),
                    np.atleast_1d([None] if index is None else index), strict=True,
                ):  # fmt: skip
                    at = tuple(point.astype(int))
                    assert values[at] == value
                    assert marks[at] == number if number is not None else marks[at]


def test_of_equal_values_the_first_counts_in_chunks_too() -> None:
    pytest.importorskip("dask", reason="needs dask")
    values = RNG.integers(0, 3, (7, 8))
    image = sd.SpatialArray(values)
    first = np.unravel_index(values.argmax(), values.shape)
    np.testing.assert_array_equal(nd.maximum_position(image), first)
    np.testing.assert_array_equal(nd.maximum_position(image.chunk((3, 3))).compute(), first)


def test_each_time_and_channel_has_its_points() -> None:
    values = RNG.random((2, 5, 3, 6))
    image = sd.SpatialArray(
        values, dims=("t", "y", "c", "x"), spacing=(10.0, 2.0, 0.5), origin=(100.0, 0.0, 0.0)
    )
    expected = np.array(
        [[[100 + 10 * t, *(np.array(scipy_nd.center_of_mass(values[t, :, c])) * [2.0, 0.5])]
          for c in range(3)] for t in range(2)]
    )  # fmt: skip
    np.testing.assert_allclose(nd.center_of_mass(image), expected)
    pytest.importorskip("dask", reason="needs dask")
    lazy = nd.center_of_mass(image.chunk((1, 3, 2, 4)))
    assert lazy.shape == (2, 3, 3)
    np.testing.assert_allclose(lazy.compute(), expected)


def test_nan_and_unsigned_and_bool() -> None:
    values = np.array([np.nan, 3.0, 1.0, 9.0, np.nan])
    image = sd.SpatialArray(values, spacing=2.0)
    assert nd.maximum_position(image) == [6.0]
    assert nd.minimum_position(image) == [4.0]
    assert np.isnan(nd.center_of_mass(image)).all()
    assert np.isnan(nd.maximum_position(sd.SpatialArray(values[:1]))).all()
    assert nd.minimum_position(sd.SpatialArray(np.array([3, 200, 7], np.uint8))) == [0.0]
    assert nd.maximum_position(sd.SpatialArray(np.array([False, True]))) == [1.0]


def test_labels_must_lie_on_the_grid() -> None:
    image = sd.SpatialArray(np.ones((3, 4)), spacing=2.0)
    elsewhere = sd.SpatialArray(np.ones((3, 4), int), spacing=2.0, origin=(0.5, 0))
    with pytest.raises(sd.GeometryMismatchError, match="origin"):
        nd.center_of_mass(image, elsewhere)
    with pytest.raises(ValueError, match=r"expected labels of shape \(3, 4\), got \(4, 3\)"):
        nd.center_of_mass(image, np.ones((4, 3)))
    with pytest.raises(TypeError, match="no labels are given"):
        nd.center_of_mass(image, index=2)


# --- labels -------------------------------------------------------------------------------


@pytest.mark.parametrize("connected", [1, 2, 3])
def test_label_is_scipys(connected: int) -> None:
    values = RNG.random((8, 9, 10)) > 0.6
    structure = scipy_nd.generate_binary_structure(3, connected)
    labels, count = nd.label(sd.SpatialArray(values, spacing=(3.0, 1.0, 1.0)), structure)
    expected, number = scipy_nd.label(values, structure)
    np.testing.assert_array_equal(labels.data, expected)
    assert count == number
    assert labels.dtype == np.int32
    with pytest.raises(ValueError, match="symmetric and of shape"):
        nd.label(sd.SpatialArray(values), np.eye(2))


def test_objects_are_cut_out_where_they_lie(blob: Any, grid_name: str, world: Any) -> None:
    case = blob(grid_name)
    marks = (np.sqrt((case.offset**2).sum(-1)) < 4).astype(">i2") * 3
    labels = case.image.replace(data=marks)
    first, second, found = nd.find_objects(labels, case.image)
    assert first is None
    assert second is None
    assert found.dtype == case.image.dtype
    # Each voxel that was cut out is where it was.
    whole = {tuple(p): v for p, v in zip(np.round(world.positions(case.geometry), 6).reshape(-1, 3),
                                         case.image.data.ravel(), strict=True)}  # fmt: skip
    cut = np.round(world.positions(found.geometry), 6).reshape(-1, 3)
    assert [whole[tuple(p)] for p in cut] == found.data.ravel().tolist()
    assert np.shares_memory(found.data, case.image.data)
    (own,) = nd.find_objects(labels.replace(data=marks // 3))
    assert own.shape == found.shape
