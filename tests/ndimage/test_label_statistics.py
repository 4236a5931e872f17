"""Statistics by label are SciPy's, lazily too, and keep their digits far from zero."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck.testing import assert_lazy

if TYPE_CHECKING:
    from tests.conftest import BackendCase

NAMES = [
    "sum_labels", "mean", "variance", "standard_deviation", "minimum", "maximum", "median",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("offset", [0.0, 1e9])
def test_the_numbers_of_scipy(name: str, offset: float, backend: BackendCase) -> None:
    if backend.kind == "array_api_strict":
        pytest.skip("filters and measures work on NumPy, CuPy, Dask and Zarr arrays")
    rng = np.random.default_rng(0)
    values, labels = rng.normal(size=(8, 9)) + offset, rng.integers(0, 4, (8, 9))
    image = sd.SpatialArray(backend.make(values), spacing=2.0)
    regions = sd.SpatialArray(backend.make(labels), spacing=2.0)
    function, theirs = getattr(sd.ndimage, name), getattr(scipy_nd, name)
    exact = name in ("variance", "standard_deviation")
    for index in ([1, 2, 3], 2, None):
        if backend.lazy:
            with assert_lazy():
                found = function(image, regions, index)
        else:
            found = function(image, regions, index)
        centred = values - offset if exact else values
        wanted = theirs(centred, labels if index is not None else labels != 0,
                        1 if index is None else index)  # fmt: skip
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6 if offset else 1e-12)
    np.testing.assert_allclose(np.asarray(function(image)), theirs(centred), rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_number_is_a_scalar_as_numpys_reductions_are(name: str) -> None:
    image = sd.SpatialArray(np.arange(6.0).reshape(2, 3))
    function = getattr(sd.ndimage, name)
    assert type(function(image)) is np.float64
    assert type(function(image, image.data, 2)) is np.float64
    assert function(image, image.data, [2]).shape == (1,)
    assert all(type(n) is np.float64 for n in sd.ndimage.extrema(image)[:2])


def test_labels_that_are_not_there() -> None:
    image, labels = sd.SpatialArray(np.ones((3, 4))), np.zeros((3, 4), int)
    found: dict[str, Any] = {n: getattr(sd.ndimage, n)(image, labels, [7])[0] for n in NAMES}
    assert found["sum_labels"] == 0
    spreads = [found[n] for n in ("mean", "variance", "standard_deviation", "median")]
    assert np.isnan(spreads).all()
    assert (found["minimum"], found["maximum"]) == (np.inf, -np.inf)


def test_frames_are_measured_each() -> None:
    image = sd.SpatialArray(np.arange(24.0).reshape(2, 3, 4), dims=("t", "y", "x"))
    assert sd.ndimage.sum_labels(image).tolist() == [66.0, 210.0]


#: Where each lies, of the indices of a label's voxels in C order and their values.
POINTS: dict[str, Any] = {
    "center_of_mass": lambda index, values: (
        (index * values[:, None].astype("f8")).sum(0) / values.sum()
        if values.any()
        else [np.nan] * 3
    ),
    "minimum_position": lambda index, values: index[values.argmin()],
    "maximum_position": lambda index, values: index[values.argmax()],
}


@pytest.mark.parametrize("name", [*NAMES, *POINTS])
@given(
    kind=st.sampled_from(["f8", "f4", "i2", ">u2", "u8", "?"]), seed=st.integers(0, 99),
    voxels=st.sampled_from([1, 30, 100]), most=st.sampled_from([2, 9, 1000]),
)  # fmt: skip
@settings(max_examples=15)
def test_slabs_give_what_the_whole_gives(name: str, kind: str, seed: int, voxels: int, most: int):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, most, (5, 4, 6)).astype(kind)
    labels = rng.integers(0, 5, values.shape).astype("u1")
    image = sd.SpatialArray(values, spacing=(2.0, 1.0, 0.5))
    function = getattr(sd.ndimage, name)
    if name in POINTS:  # SciPy does not say which of several that are as low it finds
        wanted = [POINTS[name](np.argwhere(labels == k), values[labels == k]) * image.spacing
                  for k in (1, 3, 4)]  # fmt: skip
    else:
        wanted = getattr(scipy_nd, name)(values.astype("f8"), labels, [1, 3, 4])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spatial_duck.ndimage._running.SLAB_VOXELS", voxels)
        found = function(image, labels, [1, 3, 4])
        lazy = function(image.chunk((2, 3, 4)), labels, [1, 3, 4])
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.asarray(lazy), wanted, rtol=1e-9, atol=1e-9)


def test_many_labels_take_no_more_memory_than_few() -> None:
    values = np.zeros((64, 64, 64), "f4")
    labels = np.arange(64, dtype="u1")[:, None, None] + np.zeros((64, 64), "u1")
    image = sd.SpatialArray(values)
    for name in [*NAMES, *POINTS]:
        peaks = []
        for index in ([1], range(64)):
            tracemalloc.start()
            try:
                getattr(sd.ndimage, name)(image, labels, index)
                peaks.append(tracemalloc.get_traced_memory()[1])
            finally:
                tracemalloc.stop()
        assert peaks[1] < 2 * peaks[0], name


def test_what_is_no_number_has_no_median() -> None:
    image = sd.SpatialArray([[1.0, np.nan, 3.0], [2.0, 7.0, 5.0]])
    labels = np.array([[1, 1, 1], [2, 2, 2]])
    assert np.isnan(sd.ndimage.median(image, labels, [1, 2])).tolist() == [True, False]
    large = sd.SpatialArray(np.array([2**62, 2**62 + 2, 1], "i8"))
    assert sd.ndimage.median(large) == 2**62
