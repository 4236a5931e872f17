"""Statistics by label are SciPy's, lazily too, and keep their digits far from zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck.testing import assert_lazy

if TYPE_CHECKING:
    from tests.conftest import BackendCase

NAMES = ["sum_labels", "mean", "variance", "standard_deviation", "minimum", "maximum"]


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


def test_labels_that_are_not_there() -> None:
    image, labels = sd.SpatialArray(np.ones((3, 4))), np.zeros((3, 4), int)
    found: dict[str, Any] = {n: getattr(sd.ndimage, n)(image, labels, [7])[0] for n in NAMES}
    assert found["sum_labels"] == 0
    assert np.isnan([found["mean"], found["variance"], found["standard_deviation"]]).all()
    assert (found["minimum"], found["maximum"]) == (np.inf, -np.inf)


def test_frames_are_measured_each() -> None:
    image = sd.SpatialArray(np.arange(24.0).reshape(2, 3, 4), dims=("t", "y", "x"))
    assert sd.ndimage.sum_labels(image).tolist() == [66.0, 210.0]
