"""Filters do in the world what their names say: analytic fields on all grids, SciPy on some."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck import ndimage as nd
from spatial_duck.testing._strategies import directions

RNG = np.random.default_rng(0)


# --- the world ----------------------------------------------------------------------------


def test_gaussian_is_isotropic_in_the_world(blob: Any, grid_name: str) -> None:
    case = blob(grid_name)
    for sigma in (1.0, 1.7):
        found = nd.gaussian_filter(case.image, sigma, truncate=6.0)
        assert found.geometry == case.geometry
        assert found.attrs == {"kept": 1}
        error = abs(found.data - case.smoothed(sigma))[case.inside].max()
        assert error < (3e-3 if sigma < 1.4 else 1e-3), error


@pytest.mark.parametrize("spacing", [0.5, 1.0, 2.0, 4.0, 8.0])
def test_gaussian_narrower_than_a_voxel_has_its_variance(spacing: float) -> None:
    """Slices of 4 mm smoothed by 1 mm: a sampled Gaussian would do nothing."""
    n = 2 * int(40 / spacing) + 1
    image = sd.SpatialArray(np.zeros(n), spacing=spacing, origin=[-(n // 2) * spacing])
    image[n // 2] = 1.0
    found = nd.gaussian_filter(image, 1.0, truncate=6.0).data
    x = image.geometry.index_to_physical(np.arange(n)[:, None])[:, 0]
    assert found.sum() == pytest.approx(1)
    assert (found * x**2).sum() == pytest.approx(1.0, rel=1e-3)
    assert found.min() >= 0


@settings(max_examples=15)
@given(st.data())
def test_gaussian_on_any_direction(data: st.DataObject) -> None:
    """The blob again, on directions that nobody chose: its second moments grow by sigma squared."""
    n = data.draw(st.integers(1, 3))
    direction = data.draw(directions(3, n))
    spacing = [data.draw(st.floats(0.6, 1.8)) for _ in range(n)]
    steps = direction * spacing
    metric = steps.T @ steps
    sigma = 1.5
    reach = np.ceil(6.5 * sigma * np.sqrt(np.diag(np.linalg.inv(metric)))).astype(int) + 2
    if np.prod(2 * reach + 1) > 40_000:
        reach = np.minimum(reach, 16)
        sigma = 0.8
    point = np.zeros(2 * reach + 1)
    point[tuple(reach)] = 1.0
    dims = ("z", "y", "x")[:n]
    image = sd.SpatialArray(
        point, spacing=spacing, direction=direction, dims=dims, world=("z", "y", "x")
    )
    found = nd.gaussian_filter(image, sigma, mode="constant").data
    index = np.moveaxis(np.indices(point.shape), 0, -1) - reach
    moved = index @ steps.T
    assert found.sum() == pytest.approx(1, abs=1e-3)
    moved, weights = moved.reshape(-1, 3), found.ravel()
    moments = (moved * weights[:, None]).T @ moved
    plane = steps @ np.linalg.pinv(steps)  # a slice is smoothed in its plane
    np.testing.assert_allclose(moments, sigma**2 * plane, atol=0.03 * sigma**2)


def test_widths_per_axis_by_order_or_name() -> None:
    image = sd.SpatialArray(RNG.random((20, 30)), spacing=(2.0, 0.5))
    expected = scipy_nd.gaussian_filter(image.data, (1.5, 4.0))
    for sigma in ((3.0, 2.0), {"y": 3.0, "x": 2.0}):
        np.testing.assert_allclose(nd.gaussian_filter(image, sigma).data, expected, atol=1e-12)
    one = scipy_nd.gaussian_filter1d(image.data, 4.0, 1)
    for options in ({"sigma": {"x": 2.0}}, {"sigma": 2.0, "axes": "x"}, {"sigma": 2.0, "axes": 1},
                    {"sigma": 2.0, "axes": [-1]}):  # fmt: skip
        np.testing.assert_allclose(nd.gaussian_filter(image, **options).data, one, atol=1e-12)
    assert np.array_equal(nd.gaussian_filter(image, 0.0).data, image.data)


@pytest.mark.parametrize("width", [0.4, 1.0, 3.0, 3.7, 4.0, 6.2])
def test_uniform_filter_is_exactly_as_wide_as_it_says(width: float) -> None:
    """Linear and quadratic fields have known means over a box: the square grows by width² / 12."""
    image = sd.SpatialArray(np.arange(60.0) * 0.7, spacing=0.7)
    middle = slice(20, 40)
    np.testing.assert_allclose(nd.uniform_filter(image, width).data[middle], image.data[middle])
    kernel = nd.uniform_filter(sd.SpatialArray(np.eye(1, 61, 30)[0], spacing=0.7), width).data
    assert kernel.sum() == pytest.approx(1)
    np.testing.assert_array_equal(kernel, kernel[::-1])
    full = kernel.max()
    assert full == pytest.approx(min(0.7 / width, 1.0))


def test_balls_are_round_in_the_world(blob: Any, grid_name: str, world: Any) -> None:
    geometry = blob(grid_name).geometry
    direction, spacing = world.GRIDS[grid_name]
    steps = np.asarray(direction) * spacing
    for radius in (0.3, 2.0, 3.1):
        found = nd.ball(geometry, radius)
        index = np.argwhere(found) - np.array(found.shape) // 2
        assert np.linalg.norm(index @ steps.T, axis=1).max() <= radius * (1 + 1e-5)
        # Nothing that belongs to it lies outside its box.
        wide = np.moveaxis(np.indices((17,) * found.ndim), 0, -1) - 8
        inside = np.linalg.norm(wide @ steps.T, axis=-1) <= radius * (1 + 1e-6)
        assert inside.sum() == found.sum()


def test_rank_filters_reach_as_far_as_the_radius(blob: Any, grid_name: str, world: Any) -> None:
    case = blob(grid_name)
    place = world.positions(case.geometry)
    middle = tuple(n // 2 for n in case.geometry.shape)
    point = np.zeros(case.geometry.shape)
    point[middle] = 1
    found = nd.maximum_filter(case.image.replace(data=point), radius=2.5).data
    distance = np.linalg.norm(place - place[middle], axis=-1)
    clear = abs(distance - 2.5) > 1e-4
    np.testing.assert_array_equal(found[clear] > 0, (distance <= 2.5)[clear])


# --- SciPy --------------------------------------------------------------------------------

#: Ours on spacing 1, and SciPy's.
SAME: dict[str, tuple[Any, Any]] = {
    "gaussian": (lambda x, m: nd.gaussian_filter(x, 1.2, mode=m),
                 lambda x, m: scipy_nd.gaussian_filter(x, 1.2, mode=m)),
    "uniform": (lambda x, m: nd.uniform_filter(x, 3, mode=m),
                lambda x, m: scipy_nd.uniform_filter(x, 3, mode=m)),
    "median": (lambda x, m: nd.median_filter(x, 3, mode=m),
               lambda x, m: scipy_nd.median_filter(x, 3, mode=m)),
    "median ball": (lambda x, m: nd.median_filter(x, radius=1, mode=m),
                    lambda x, m: scipy_nd.median_filter(x, mode=m,
                    footprint=scipy_nd.generate_binary_structure(x.ndim, 1))),
    "percentile": (lambda x, m: nd.percentile_filter(x, 30, 5, mode=m),
                   lambda x, m: scipy_nd.percentile_filter(x, 30, 5, mode=m)),
    "rank": (lambda x, m: nd.rank_filter(x, -2, 3, mode=m),
             lambda x, m: scipy_nd.rank_filter(x, -2, 3, mode=m)),
    "maximum": (lambda x, m: nd.maximum_filter(x, 3, mode=m, cval=0.2),
                lambda x, m: scipy_nd.maximum_filter(x, 3, mode=m, cval=0.2)),
    "minimum": (lambda x, m: nd.minimum_filter(x, footprint=np.eye(3), mode=m),
                lambda x, m: scipy_nd.minimum_filter(x, footprint=np.eye(3), mode=m)),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["reflect", "constant", "nearest", "mirror", "wrap"])
@pytest.mark.parametrize("name", SAME)
def test_scipy_on_a_plain_grid(name: str, mode: str) -> None:
    ours, theirs = SAME[name]
    values = RNG.random((9, 7))
    np.testing.assert_allclose(
        ours(sd.SpatialArray(values), mode).data, theirs(values, mode), rtol=0, atol=1e-13
    )


def test_unknown_mode() -> None:
    with pytest.raises(ValueError, match="mode must be one of reflect"):
        nd.gaussian_filter(sd.SpatialArray(np.zeros(4)), 1, mode="edge")


# --- types and values ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i4", "u8", "f2", ">f4", "f8", "c8", "?"])
def test_types(dtype: str) -> None:
    values = (RNG.random((8, 9)) * 200).astype(dtype)
    image = sd.SpatialArray(values, spacing=(2.0, 1.0))
    found = nd.gaussian_filter(image, 1.5)
    across = nd.gaussian_filter(sd.SpatialArray(np.eye(1, 9, 4)[0], spacing=2.0), 1.5).data
    expected = scipy_nd.gaussian_filter1d(values.astype("c16" if dtype == "c8" else "f8"), 1.5, 1)
    expected = scipy_nd.correlate1d(expected, across, 0)
    if np.dtype(dtype).kind in "iu":
        assert found.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(found.data, np.rint(expected))
    else:
        assert found.dtype == {"?": "f8"}.get(dtype, np.dtype(dtype).newbyteorder("="))
        rough = {"f2": 1e-3, ">f4": 1e-5, "c8": 1e-5}.get(dtype, 1e-12)
        np.testing.assert_allclose(found.data, expected, rtol=rough)
    if dtype != "c8":
        median = nd.median_filter(image, 3.0)
        assert median.dtype == np.dtype(dtype).newbyteorder("=")
        assert np.isin(median.data, values).all()


def test_integers_never_wrap() -> None:
    bright = sd.SpatialArray(np.full((5, 5), 255, np.uint8))
    assert (nd.gaussian_filter(bright, 1.0).data == 255).all()
    wide = sd.SpatialArray(np.full(5, np.iinfo(np.int64).max))
    assert (nd.gaussian_filter(wide, 1.0).data > 2**62).all()


@pytest.mark.parametrize(
    "function",
    [
        lambda x: nd.gaussian_filter(x, 0.8, truncate=2.0),
        lambda x: nd.uniform_filter(x, 4.0),
        lambda x: nd.median_filter(x, radius=2.0),
        lambda x: nd.maximum_filter(x, radius=2.0),
        lambda x: nd.percentile_filter(x, 20, size=4.0),
        lambda x: nd.grey_erosion(x, 2.0),
    ],
)
def test_nan_reaches_its_neighbourhood_and_no_further(function: Any) -> None:
    values = RNG.random((15, 15)).astype("f4")
    whole = function(sd.SpatialArray(values)).data
    values[7, 7] = np.nan
    found = function(sd.SpatialArray(values)).data
    hurt = np.argwhere(np.isnan(found)) - 7
    assert abs(hurt).max() == 2
    far = ~np.isnan(found)
    np.testing.assert_array_equal(found[far], whole[far])


@pytest.mark.parametrize("shape", [(0, 5, 6), (1, 8, 9), (7, 1, 1), (1, 1, 1)])
def test_short_and_empty_axes(shape: tuple[int, ...]) -> None:
    image = sd.SpatialArray(np.ones(shape), spacing=(3.0, 1.0, 0.5))
    for found in (
        nd.gaussian_filter(image, 2.0),
        nd.median_filter(image, radius=3.0),
        nd.uniform_filter(image, 4.0),
        nd.grey_opening(image, 2.0),
    ):
        assert found.geometry == image.geometry
        np.testing.assert_allclose(found.data, 1.0)


def test_read_only_and_strided_data_are_left_alone() -> None:
    base = RNG.random((20, 30))
    base.setflags(write=False)
    image = sd.SpatialArray(base, spacing=(1.0, 0.5))[::-2, 3::3].T
    before = image.data.copy()
    found = nd.gaussian_filter(image, 1.5)
    again = nd.gaussian_filter(image.replace(data=np.ascontiguousarray(image.data)), 1.5)
    np.testing.assert_array_equal(found.data, again.data)
    np.testing.assert_array_equal(image.data, before)


# --- axes ---------------------------------------------------------------------------------


def test_time_and_channels_are_left_alone_wherever_they_are() -> None:
    values = RNG.random((3, 8, 2, 9))
    image = sd.SpatialArray(values, dims=("t", "y", "c", "x"), spacing=(5.0, 2.0, 1.0))
    for function in (
        lambda x: nd.gaussian_filter(x, 2.0),
        lambda x: nd.median_filter(x, radius=2.0),
        lambda x: nd.laplace(x),
        lambda x: nd.sobel(x, "x"),
        lambda x: nd.binary_erosion(x > 0.2, 1.0),
        lambda x: nd.binary_fill_holes(x > 0.5),
        lambda x: nd.distance_transform_edt(x > 0.3),
        lambda x: nd.gradient_magnitude(x),
    ):
        found = function(image)
        assert found.geometry == image.geometry
        for t in range(3):
            for c in range(2):
                frame = function(image[t, :, c])
                np.testing.assert_array_equal(found.data[t, :, c], frame.data)
    smooth = nd.gaussian_filter(image, 5.0, axes="t")
    np.testing.assert_allclose(smooth.data, scipy_nd.gaussian_filter1d(values, 1.0, 0))
    both = nd.gaussian_filter(image, {"t": 5.0, "x": 1.0}, axes=("x", "t"))
    np.testing.assert_allclose(both.data, scipy_nd.gaussian_filter(values, (1.0, 0, 0, 1.0)))


REFUSED: dict[str, tuple[Any, Any, str]] = {
    "a channel": (
        lambda: nd.gaussian_filter(_image(), 1, axes="c"),
        sd.GeometryError,
        "'c'.*plain",
    ),
    "no such axis": (
        lambda: nd.gaussian_filter(_image(), 1, axes="q"),
        sd.GeometryError,
        "'q' is not",
    ),
    "an axis twice": (
        lambda: nd.gaussian_filter(_image(), 1, axes=("x", -1)),
        sd.GeometryError,
        "different",
    ),
    "number out of range": (
        lambda: nd.gaussian_filter(_image(), 1, axes=9),
        np.exceptions.AxisError,
        "9",
    ),
    "too many sigmas": (
        lambda: nd.gaussian_filter(_image(), (1, 2, 3)),
        sd.GeometryError,
        "sigma must be",
    ),
    "unknown name": (
        lambda: nd.gaussian_filter(_image(), {"z": 1}),
        sd.GeometryError,
        "'z'.*not among",
    ),
    "negative": (lambda: nd.gaussian_filter(_image(), -1), sd.GeometryError, "0 or more"),
    "infinite": (lambda: nd.median_filter(_image(), radius=np.inf), sd.GeometryError, "finite"),
    "no neighbourhood": (lambda: nd.median_filter(_image()), TypeError, "got 0"),
    "two": (lambda: nd.median_filter(_image(), 3, radius=3), TypeError, "got 2"),
    "even footprint": (
        lambda: nd.median_filter(_image(), footprint=np.ones((2, 3))),
        ValueError,
        "odd",
    ),
    "no image": (lambda: nd.gaussian_filter(np.zeros(3), 1), TypeError, "needs an image"),
    "strings": (
        lambda: nd.gaussian_filter(sd.SpatialArray(np.array(["a"])), 1),
        TypeError,
        "type <U1",
    ),
    "complex ranks": (lambda: nd.median_filter(sd.SpatialArray([1j]), 1), TypeError, "complex128"),
    "order": (lambda: nd.gaussian_filter(_image(), 1, order=(1, 2, 3)), ValueError, "order must"),
    "truncate": (lambda: nd.gaussian_filter(_image(), 1, truncate=0), ValueError, "truncate"),
    "lost": (
        lambda: nd.gaussian_filter(_image().reshape(2, 20), 1),
        sd.GeometryLossError,
        "reshape",
    ),
    "no space": (lambda: nd.gaussian_filter(_image()[:, 0, 0], 1), sd.GeometryError, "has none"),
    "units": (
        lambda: nd.gaussian_filter(_image().replace(unit={"y": "mm", "x": "um"}), 1),
        sd.GeometryError,
        "several units",
    ),
    "windows": (
        lambda: nd.gaussian_filter(np.lib.stride_tricks.sliding_window_view(_image()[0], 2, 0), 1),
        sd.GeometryError,
        "independent",
    ),
    "sheared, two widths": (
        lambda: nd.gaussian_filter(_sheared(), (1, 2)),
        sd.GeometryError,
        "right angles",
    ),
    "sheared, far too wide": (
        lambda: nd.gaussian_filter(_sheared(), 100.0),
        sd.GeometryError,
        "dense kernel.*resample",
    ),
    "sheared ellipsoid": (lambda: nd.ball(_sheared(), (1, 2)), sd.GeometryError, "right angles"),
}


def _image() -> sd.SpatialArray:
    return sd.SpatialArray(np.zeros((2, 4, 5)), dims=("c", "y", "x"), spacing=(2.0, 1.0))


def _sheared() -> sd.SpatialArray:
    return sd.SpatialArray(np.zeros((4, 5)), direction=[[1, 0.6], [0, 0.8]])


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meant_is_refused(name: str) -> None:
    call, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_other_backends_are_refused_by_name() -> None:
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    with pytest.raises(TypeError, match=r"use image.to\('numpy'\)"):
        nd.gaussian_filter(sd.SpatialArray(strict.zeros((3, 3))), 1)


def test_axes_that_kept_their_place_can_be_chosen_after_a_loss() -> None:
    image = sd.SpatialArray(RNG.random((4, 6, 8)), spacing=(1.0, 1.0, 0.5)).reshape(24, 8)
    found = nd.gaussian_filter(image, 1.0, axes="x")
    np.testing.assert_allclose(found.data, scipy_nd.gaussian_filter1d(image.data, 2.0, 1))


def test_names_that_are_elsewhere_say_where() -> None:
    with pytest.raises(AttributeError, match=r"spatial_duck\.sample"):
        nd.map_coordinates  # noqa: B018
    with pytest.raises(AttributeError, match=r"works on image\.data, in voxels"):
        nd.fourier_gaussian  # noqa: B018


def test_a_misspelt_name_is_told_the_right_one() -> None:
    with pytest.raises(AttributeError, match="did you mean 'gaussian_filter'"):
        nd.gausian_filter  # noqa: B018


@pytest.mark.parametrize("name", nd._ELSEWHERE)
def test_the_table_of_other_names_holds_scipys(name: str) -> None:
    assert hasattr(scipy_nd, name)
    assert name not in nd.__all__
