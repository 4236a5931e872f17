"""Corners of rules that no recipe reaches: what a mutated rule would do there."""

from __future__ import annotations

import numpy as np
import pytest

import spatial_duck as sd

IMAGE = sd.SpatialArray(np.arange(24.0).reshape(2, 3, 4), spacing=(3, 2, 1), origin=(5, 6, 7))


@pytest.mark.parametrize("k", [-2, 0, 3])
def test_diag_and_diagflat_beside_the_diagonal(k: int) -> None:
    for function, x in ((np.diagflat, IMAGE), (np.diag, IMAGE[0, 0])):
        found = function(x, k)
        np.testing.assert_array_equal(found.data, function(x.data, k))
        assert found.geometry.shape == found.shape
        assert found.geometry.sampled_axes == ()


@pytest.mark.parametrize("axes", [(-1, -1, -1), (0, -1, 0), (0, -1, -1)])
def test_cross_of_two_and_three_components(axes: tuple[int, int, int]) -> None:
    a, b, c = axes
    rng = np.random.default_rng(0)
    vectors = sd.SpatialArray(rng.random((4, 5, 3)), dims=("y", "x", "v"), spacing=(2, 3))
    flat = vectors[..., :2]
    x, y = np.moveaxis(vectors, -1, a), np.moveaxis(vectors, -1, b)
    found = np.cross(x, y, axisa=a, axisb=b, axisc=c)
    np.testing.assert_array_equal(found.data, np.cross(x.data, y.data, axisa=a, axisb=b, axisc=c))
    back = np.moveaxis(found, c, -1)
    assert back.geometry.spacing.tolist() == [2, 3]
    assert back.geometry.sampled_axes == (0, 1)
    if np.lib.NumpyVersion(np.__version__) < "2.5.0":  # which takes vectors of three alone
        with pytest.warns(DeprecationWarning, match="2-dimensional"):
            mixed = np.cross(flat, vectors)
        assert mixed.geometry.spacing.tolist() == [2, 3]


def test_unique_gives_the_inverse_its_grid() -> None:
    for index in (False, True):
        found = np.unique(IMAGE, return_index=index, return_inverse=True)
        inverse = found[1 + index]
        assert inverse.shape == IMAGE.shape
        assert inverse.geometry.spacing.tolist() == [3, 2, 1]
        assert found[0].geometry.sampled_axes == ()


def test_histogramdd_of_one_line() -> None:
    line = sd.SpatialArray(np.arange(6.0), spacing=2)
    counts, edges = np.histogramdd(line, bins=3)
    expected, _ = np.histogramdd(line.data, bins=3)
    np.testing.assert_array_equal(counts, expected)
    assert len(edges) == 1


def test_records_take_the_last_axis() -> None:
    recfunctions = pytest.importorskip("numpy.lib.recfunctions", reason="a part of NumPy")
    vectors = sd.SpatialArray(
        np.arange(24.0).reshape(2, 3, 4), dims=("y", "x", "v"), spacing=(2, 3)
    )
    found = recfunctions.unstructured_to_structured(vectors)
    assert found.shape == (2, 3)
    assert found.dims == ("y", "x")
    assert found.geometry.spacing.tolist() == [2, 3]


def test_tensorsolve_with_axes() -> None:
    rng = np.random.default_rng(0)
    a = rng.random((4, 3, 6, 8))  # axis 1 goes to the end
    b = rng.random((4, 6))
    assert a.size == b.size**2
    image = sd.SpatialArray(b, spacing=(2, 3))
    found = np.linalg.tensorsolve(a, image, axes=(1,))
    expected = np.linalg.tensorsolve(a, b, axes=(1,))
    np.testing.assert_array_equal(found.data, expected)
    assert found.geometry.shape == found.shape == expected.shape
    assert found.geometry.sampled_axes == ()


def test_a_function_has_one_rule() -> None:
    from spatial_duck.rules._rule import rule

    with pytest.raises(RuntimeError, match="has a rule already"):
        rule("plain", np.sum)(lambda a: a)
