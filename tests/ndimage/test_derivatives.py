"""Derivatives are those of the field in the world: analytic blobs and ramps on all grids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck import ndimage as nd
from spatial_duck.ndimage._kernels import gaussian_weights
from spatial_duck.testing._strategies import geometries

RNG = np.random.default_rng(1)


def test_gradient_points_the_right_way_in_the_world(blob: Any, grid_name: str) -> None:
    case = blob(grid_name, 4.0, 14.0)
    scale = abs(case.gradient(0.0)).max()
    for sigma, rough in ((None, 0.06), (1.5, 0.02)):
        found = nd.gradient(case.image, sigma)
        assert found.shape == (3, *case.geometry.shape)
        assert found.dims == (None, *case.geometry.dims)
        assert found[0].geometry == case.geometry
        assert found.attrs == {"kept": 1}
        error = abs(found.data - case.gradient(sigma or 0.0))[:, case.inside].max()
        assert error < rough * scale


def test_magnitude_and_laplacian(blob: Any, grid_name: str) -> None:
    case = blob(grid_name, 4.0, 14.0)
    sigma = 1.5
    length = np.sqrt((case.gradient(sigma) ** 2).sum(0))
    bent = case.laplacian(sigma)
    for found, expected, rough in (
        (nd.gaussian_gradient_magnitude(case.image, sigma), length, 0.02),
        (nd.gradient_magnitude(case.image, sigma), length, 0.02),
        (nd.gaussian_laplace(case.image, sigma, truncate=6.0), bent, 0.02),
        (nd.laplace(case.image), case.laplacian(0.0), 0.06),
        (nd.gradient_magnitude(case.image), np.sqrt((case.gradient(0.0) ** 2).sum(0)), 0.06),
    ):
        assert found.geometry == case.geometry
        error = abs(found.data - expected)[case.inside].max()
        assert error < rough * abs(expected).max()


@settings(max_examples=25)
@given(st.data())
def test_ramps_have_their_slope_on_any_grid(data: st.DataObject) -> None:
    """A field that is linear in the world: its gradient everywhere, to the ends."""
    geometry = data.draw(geometries(min_side=2, max_side=5, units=False, time=True))
    space = [i for i, n in enumerate(geometry.world.axes) if n in "xyz"]
    if not any(geometry.direction[space].any(axis=0)):
        return
    slope = np.zeros(len(geometry.world.axes))
    slope[space] = [data.draw(st.floats(-3, 3)) for _ in space]
    index = np.moveaxis(np.indices(geometry.shape), 0, -1)
    image = sd.SpatialArray((geometry.index_to_physical(index) - geometry.origin) @ slope, geometry)
    columns = geometry.direction[space]
    columns = columns[:, columns.any(axis=0)]
    within = columns @ np.linalg.pinv(columns) @ slope[space]  # a slice shows what is in its plane
    found = nd.gradient(image).data
    expected = np.broadcast_to(within.reshape(-1, *[1] * geometry.ndim), found.shape)
    np.testing.assert_allclose(found, expected, atol=1e-6 * max(abs(slope).max(), 1))
    np.testing.assert_allclose(
        nd.gradient_magnitude(image).data,
        np.linalg.norm(within),
        atol=1e-6 * max(abs(slope).max(), 1),
    )


@pytest.mark.parametrize("spacing", [0.2, 1.0, 5.0, 20.0])
@pytest.mark.parametrize("sigma", [0.0, 0.5, 2.0])
def test_slope_and_curvature_are_exact_on_any_spacing(spacing: float, sigma: float) -> None:
    """SciPy's derivative of a Gaussian narrower than a voxel has almost no slope."""
    x = np.arange(121) * spacing
    middle = slice(50, 71)
    ramp, bowl = sd.SpatialArray(3 * x, spacing=spacing), sd.SpatialArray(x**2, spacing=spacing)
    first = nd.gaussian_filter(ramp, sigma, 1).data[middle]
    second = nd.gaussian_filter(bowl, sigma, 2).data[middle]
    np.testing.assert_allclose(first, 3.0, rtol=1e-9)
    np.testing.assert_allclose(second, 2.0, rtol=1e-7)
    cube = sd.SpatialArray(((x - x[60]) / spacing) ** 3, spacing=spacing)
    third = nd.gaussian_filter(cube, sigma, 3).data[middle] * spacing**3
    np.testing.assert_allclose(third, 6.0, rtol=1e-6)


@pytest.mark.parametrize("order", [0, 1, 2, (1, 0), (0, 2), (1, 1)])
def test_scipys_derivatives_but_for_what_it_cuts_off(order: Any) -> None:
    values = RNG.random((30, 31))
    ours = nd.gaussian_filter(sd.SpatialArray(values), 2.0, order, truncate=8.0).data
    theirs = scipy_nd.gaussian_filter(values, 2.0, order, truncate=8.0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-7)


#: Ours on spacing 1, and what SciPy's is divided by.
SAME: dict[str, tuple[Any, Any, Any]] = {
    "laplace": (nd.laplace, scipy_nd.laplace, 1),
    "sobel": (lambda x, mode: nd.sobel(x, 0, mode=mode),
              lambda x, mode: scipy_nd.sobel(x, 0, mode=mode), 2 * 16),
    "sobel last": (lambda x, mode: nd.sobel(x, mode=mode),
                   lambda x, mode: scipy_nd.sobel(x, mode=mode), 2 * 16),
    "prewitt": (lambda x, mode: nd.prewitt(x, "y", mode=mode),
                lambda x, mode: scipy_nd.prewitt(x, 1, mode=mode), 2 * 9),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["reflect", "constant", "nearest", "mirror", "wrap"])
@pytest.mark.parametrize("name", SAME)
def test_scipy_on_a_plain_grid(name: str, mode: str) -> None:
    ours, theirs, factor = SAME[name]
    values = RNG.random((6, 7, 8))
    found = ours(sd.SpatialArray(values), mode=mode)
    np.testing.assert_allclose(found.data, theirs(values, mode=mode) / factor, atol=1e-13)


def test_magnitudes_are_scipys_on_a_plain_grid() -> None:
    values = RNG.random((12, 13))
    image = sd.SpatialArray(values)
    for ours, theirs in (
        (nd.gaussian_gradient_magnitude, scipy_nd.gaussian_gradient_magnitude),
        (nd.gaussian_laplace, scipy_nd.gaussian_laplace),
    ):
        expected = theirs(values, 2.0, truncate=8.0)
        found = ours(image, 2.0, truncate=8.0).data
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-7)


def test_operators_differentiate_along_an_axis_of_the_array() -> None:
    geometry = sd.Geometry((5, 6), spacing=(2.0, 0.5), direction=[[0.6, 0.8], [0.8, -0.6]])
    index = np.moveaxis(np.indices((5, 6)), 0, -1)
    slope = np.array([3.0, -1.0])
    image = sd.SpatialArray(geometry.index_to_physical(index) @ slope, geometry)
    for operator in (nd.sobel, nd.prewitt):
        for k, name in enumerate("yx"):
            found = operator(image, name).data[1:-1, 1:-1]
            np.testing.assert_allclose(found, slope @ geometry.direction[:, k])
    with pytest.raises(ValueError, match="axis 'y' is not among"):
        nd.sobel(image, "y", axes="x")


def test_integers_differentiate_as_floats() -> None:
    values = np.array([0, 10, 5, 255], np.uint8)
    image = sd.SpatialArray(values, spacing=2.0)
    assert nd.gradient(image).dtype == np.float64
    np.testing.assert_allclose(nd.gradient(image).data[0], np.gradient(values.astype(float), 2.0))
    assert nd.laplace(image).data[1] == (5 - 2 * 10 + 0) / 4
    assert nd.gradient(image.astype("f4")).dtype == np.float32
    assert nd.gradient_magnitude(image.astype("c8")).dtype == np.float32


def test_one_voxel_is_constant_along_its_axis() -> None:
    image = sd.SpatialArray(np.arange(5.0)[None, :], spacing=(4.0, 0.5))
    np.testing.assert_array_equal(nd.gradient(image).data[:, 0], [[0.0] * 5, [2.0] * 5])


@settings(max_examples=30)
@given(st.integers(1, 2), st.floats(0.05, 5), st.floats(0.05, 5), st.floats(-0.6, 0.6), st.data())
def test_weights_differentiate_polynomials_exactly(
    n: int, a: float, b: float, shear: float, data: st.DataObject
) -> None:
    orders = [data.draw(st.integers(0, 2)) for _ in range(n)]
    lengths = np.array([a, b])[:n]
    cosines = np.array([[1.0, shear], [shear, 1.0]])[:n, :n]
    weights = gaussian_weights(np.linalg.inv(cosines * lengths * lengths[:, None]), orders, 4.0)
    index = np.moveaxis(np.indices(weights.shape), 0, -1) - np.array(weights.shape) // 2
    degree = sum(orders)
    for power in np.ndindex(*[degree + 1] * n):
        if sum(power) <= degree:
            wanted = np.prod([np.prod(np.arange(1, p + 1)) for p in power])
            wanted = wanted if power == tuple(orders) else 0.0
            terms = weights * (index ** np.array(power)).prod(axis=-1)
            assert terms.sum() == pytest.approx(wanted, abs=1e-8 * max(abs(terms).sum(), 1))
