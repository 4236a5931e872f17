"""Pyramids: every level's values are those of its own places."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import GeometryError
from spatial_duck.pyramids import Pyramid, level_factors, pyramid, shrink, shrunk_geometry
from spatial_duck.pyramids._binning import METHODS
from spatial_duck.testing import _strategies as strategies


def ramp_over(geometry: sd.Geometry, weights: Any) -> np.ndarray:
    index = np.moveaxis(np.indices(geometry.shape), 0, -1).astype(float)
    return geometry.index_to_physical(index) @ np.asarray(weights)[: len(geometry.origin)]


#: Methods whose values follow a ramp whatever the length of the bins.
SMOOTH = ("mean", "gaussian", "nearest")


@pytest.mark.parametrize("method", SMOOTH)
@given(
    geometry=strategies.geometries(min_side=1, max_side=9),
    factors=st.lists(st.integers(1, 4), min_size=5, max_size=5),
)
def test_a_ramp_agrees_with_every_level(
    method: str, geometry: sd.Geometry, factors: list[int]
) -> None:
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    image = sd.SpatialArray(ramp_over(geometry, weights), geometry)
    steps = [
        f if axis in geometry.sampled_axes else 1
        for axis, f in zip(range(geometry.ndim), factors, strict=False)
    ]
    for level in pyramid(image, levels=3, factors=steps, method=method):
        expected = ramp_over(level.geometry, weights)
        scale = max(1.0, abs(expected).max(initial=0))
        assert np.allclose(np.asarray(level), expected, rtol=0, atol=1e-9 * scale)


@given(
    geometry=strategies.geometries(min_side=1, max_side=9),
    factors=st.lists(st.sampled_from([1, 3]), min_size=5, max_size=5),
)
def test_the_mode_of_odd_bins_follows_a_ramp(geometry: sd.Geometry, factors: list[int]) -> None:
    # Every value is there once, so that the voxel at the centre decides.
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    image = sd.SpatialArray(ramp_over(geometry, weights), geometry)
    steps = [
        f if axis in geometry.sampled_axes else 1
        for axis, f in zip(range(geometry.ndim), factors, strict=False)
    ]
    index = np.arange(image.size, dtype=float).reshape(image.shape)
    chosen = np.asarray(shrink(image.replace(data=index), steps, "mode")).astype(int)
    level = shrunk_geometry(geometry, level_factors(geometry, steps), "mode")
    values = np.asarray(image).ravel()[chosen.ravel()].reshape(level.shape)
    expected = ramp_over(level, weights)
    scale = max(1.0, abs(expected).max(initial=0))
    assert np.allclose(values, expected, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
@pytest.mark.parametrize("method", list(METHODS))
def test_labels_that_are_constant_over_bins_lie_where_the_bins_do(method: str, factor: int) -> None:
    # One label for each bin, as a ramp over the bins' centres; 13 and 11 leave odd ends.
    image = sd.SpatialArray(np.zeros((13, 11), "i4"), spacing=(2, 0.5), origin=(3, -1))
    bins = np.indices(image.shape) // factor
    labelled = image.replace(data=(3 * bins[0] + 100 * bins[1]).astype("i4"))
    level = shrink(labelled, factor, method)
    if method in ("mode", "label", "nearest", "mean"):
        there = np.indices(level.shape)
        assert np.array_equal(np.asarray(level), 3 * there[0] + 100 * there[1])
    place = METHODS[method].place(factor)
    assert np.allclose(level.origin, image.index_to_physical((place, place)), atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr2", "zarr3"], indirect=True)
def test_backends_agree_to_the_bit(backend: Any, no_compute: Any, method: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(-100, 100, (3, 17, 22, 31)).astype("i2")
    values[:, :9] //= 50
    image = sd.SpatialArray(backend.make(values), spacing=(1, 3, 1, 1), dims=("t", "z", "y", "x"))
    whole = sd.SpatialArray(values, image.geometry)
    for steps in ({"z": 2, "y": 3, "x": 4}, {"z": 3, "t": 2}, 2):
        expected = shrink(whole, steps, method)
        with no_compute():
            result = shrink(image, steps, method)
        assert np.array_equal(backend.to_numpy(result.data), np.asarray(expected))
        assert result.geometry == expected.geometry
        assert result.dtype == np.int16


def reference(values: np.ndarray, factor: int, method: str) -> np.ndarray:
    """One bin at a time, in Python."""
    shape = tuple(n // factor for n in values.shape)
    out = np.empty(shape, values.dtype)
    for index in np.ndindex(shape):
        cut = values[tuple(slice(i * factor, (i + 1) * factor) for i in index)]
        if method == "mean":
            total, n = sum(int(v) for v in cut.ravel()), cut.size
            low, rest = divmod(total, n)
            out[index] = low + (2 * rest > n or (2 * rest == n and low % 2 == 1))
        else:
            at = np.moveaxis(np.indices(cut.shape), 0, -1).reshape(-1, cut.ndim)
            order = np.argsort(((at - (factor - 1) / 2) ** 2).sum(-1), kind="stable")
            flat = cut.ravel()[order].tolist()
            out[index] = max(flat, key=lambda v: (flat.count(v), -flat.index(v)))
    return out


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "u8", "i8", ">i4"])
@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("method", ["mean", "mode"])
def test_integers_as_one_bin_at_a_time(method: str, factor: int, dtype: str) -> None:
    limits = np.iinfo(dtype)
    rng = np.random.default_rng(4)
    ends = np.array([limits.min, limits.min + 1, limits.max - 1, limits.max], dtype)
    for values in (
        rng.choice(ends, (7, 6, 9)),
        rng.integers(limits.min, limits.max, (7, 6, 9), dtype.lstrip(">"), endpoint=True),
        rng.integers(0, 3, (7, 6, 9)).astype(dtype),
    ):
        result = np.asarray(shrink(sd.SpatialArray(values.astype(dtype)), factor, method))
        assert np.array_equal(result, reference(values, factor, method))
        assert result.dtype == np.dtype(dtype)


@pytest.mark.parametrize("method", ["gaussian", "mean"])
@pytest.mark.parametrize("dtype", ["?", "u1", "i1", "i8", "u8", "f2", "f4", "c8"])
def test_constants_stay_at_the_ends_of_every_type(method: str, dtype: str) -> None:
    kind = np.dtype(dtype).kind
    ends = (0, 1) if kind == "b" else (-2, 3) if kind in "fc" else ()
    if not ends:
        ends = (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for value in ends:
        result = np.asarray(shrink(sd.SpatialArray(np.full((9, 8), value, dtype)), 2, method))
        close = np.dtype(dtype).itemsize == 8 and method == "gaussian" and kind in "iu"
        wanted = np.full((4, 4), value, dtype)
        # The weights are float64, which do not hold every integer of 64 bits.
        assert (
            np.allclose(result.astype(float), wanted.astype(float))
            if close
            else (np.array_equal(result, wanted))
        )
        assert result.dtype == np.dtype(dtype)


def test_the_gaussian_is_scipys_between_the_ends() -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs scipy")
    values = np.random.default_rng(2).random((40, 44))
    for factor in (3, 5):
        sigma = np.sqrt((factor**2 - 1) / (8 * np.log(2)))
        reach = factor + (factor - 1) // 2
        smooth = ndimage.gaussian_filter(values, sigma, radius=reach)
        expected = smooth[factor // 2 :: factor, factor // 2 :: factor]
        result = np.asarray(shrink(sd.SpatialArray(values), factor, "gaussian"))
        inner = tuple(slice(1, n - 1) for n in result.shape)
        assert np.allclose(
            result[inner], expected[: result.shape[0], : result.shape[1]][inner], atol=1e-12
        )


NAN = {"mean": 1, "gaussian": 3, "nearest": 0, "mode": 0}


@pytest.mark.parametrize("method", list(NAN))
def test_nan_spreads_no_further_than_said(method: str) -> None:
    values = np.ones((24, 1))
    values[9] = np.nan
    result = np.asarray(shrink(sd.SpatialArray(values), {"y": 2}, method))
    assert int(np.isnan(result).sum()) == NAN[method]
    labels = sd.SpatialArray(np.full((4, 4), np.nan))
    assert np.isnan(np.asarray(shrink(labels, 2, method))).all()


def test_anisotropic_images_are_made_isotropic_first() -> None:
    def spacings(unit: Any = None) -> list[tuple[float, ...]]:
        image = sd.SpatialArray(np.zeros((64, 512, 640), "u1"), spacing=(5, 1, 0.5), unit=unit)
        return [tuple(level.spacing.tolist()) for level in pyramid(image, levels=6)]

    wanted = [(5, 1, 0.5), (5, 1, 1), (5, 2, 2), (5, 4, 4), (10, 8, 8), (20, 16, 16)]
    assert spacings() == wanted
    assert spacings("mm") == wanted
    # An axis of one voxel cannot be halved, and does not hold the others up.
    g = sd.Geometry((1, 64, 64), spacing=(0.1, 1, 1))
    assert level_factors(g) == (1, 2, 2)
    mixed = sd.Geometry((64, 64), spacing=(1, 1000), world=sd.World(("y", "x"), ("mm", "um")))
    assert level_factors(mixed) == (2, 2)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("backend", ["dask", "zarr3"], indirect=True)
def test_a_pyramid_of_lazy_images_computes_nothing(
    backend: Any, method: str, no_compute: Any
) -> None:
    image = sd.SpatialArray(backend.make(np.ones((65, 33), "f4")))
    with no_compute():
        levels = pyramid(image, levels=4, method=method)
    assert [level.shape for level in levels] == [(65, 33), (32, 16), (16, 8), (8, 4)]
    for level in levels:
        assert np.allclose(backend.to_numpy(level.data), 1)


def test_integers_round_half_to_even_and_never_wrap() -> None:
    values = np.array([250, 251, 252, 253, 255, 255], "u1")
    assert np.asarray(shrink(sd.SpatialArray(values))).tolist() == [250, 252, 255]
    assert np.asarray(shrink(sd.SpatialArray(np.array([1, 2, 3, 4], "i8")))).tolist() == [2, 4]
    flags = sd.SpatialArray(np.array([True, True, True, False, False, False]))
    assert np.asarray(shrink(flags, 3)).tolist() == [True, False]


def test_simpleitk_bins_alike() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    values = np.random.default_rng(1).random((9, 11, 14))
    image = sd.SpatialArray(values, spacing=(3, 2, 1), origin=(7, 8, 9), frame="LPS", unit="mm")
    other = sitk.GetImageFromArray(values)
    other.SetSpacing((1, 2, 3))
    other.SetOrigin((9, 8, 7))
    other = sitk.BinShrink(other, [4, 3, 2])
    ours = shrink(image, (2, 3, 4))
    assert np.allclose(np.asarray(ours), sitk.GetArrayFromImage(other), atol=1e-12)
    assert np.allclose(ours.origin[::-1], other.GetOrigin(), atol=1e-12)
    assert np.allclose(ours.spacing[::-1], other.GetSpacing(), atol=1e-12)


def test_levels_by_default_and_at_a_spacing() -> None:
    image = sd.SpatialArray(np.zeros((1, 130, 300), "u1"), spacing=(5, 1, 0.5))
    levels = pyramid(image)
    shapes = [(1, 130, 300), (1, 130, 150), (1, 65, 75), (1, 32, 37)]
    assert [level.shape for level in levels] == shapes
    every = [level.shape for level in pyramid(image, factors=2)]
    assert every == [(1, 130, 300), (1, 65, 150), (1, 32, 75), (1, 16, 37)]
    assert levels[0] is image
    assert levels.at(1).shape == (1, 130, 300)
    assert levels.at((5, 2, 2)).shape == (1, 65, 75)
    assert levels.at((5, 1, 1)).shape == (1, 130, 150)
    assert levels.at((50, 50, 50)) is levels[-1]
    assert isinstance(levels[1:], Pyramid)
    assert len(levels[1:]) == 3
    assert "4 levels" in repr(levels)


def test_bad_arguments_are_named() -> None:
    image = sd.SpatialArray(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="mean"):
        pyramid(image, method="mode of transport")
    for levels in (0, -1, 1.5):
        with pytest.raises(ValueError, match="levels must be 1 or more"):
            pyramid(image, levels)
    with pytest.raises(GeometryError, match="'q'"):
        shrink(image, {"q": 2})
    with pytest.raises(GeometryError, match="at least 1"):
        shrink(image, 0)
    with pytest.raises(GeometryError, match="at least 1"):
        level_factors(image.geometry, (2,))
    with pytest.raises(ValueError, match="one level"):
        Pyramid(())
    # An image is a sequence too: of its slices.
    with pytest.raises(TypeError, match=r"pyramid\(image\) makes it"):
        Pyramid(image)  # type: ignore[arg-type]


# --- from coarse to fine --------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_what_was_made_of_a_coarse_level_comes_to_the_fine_grid(kind: str) -> None:
    """A ramp is itself again, but for the half voxels at the ends."""
    image = sd.SpatialArray(np.zeros((32, 40)), spacing=(1.0, 0.8), origin=(3, -7), unit="mm")
    ramp = image.index_to_physical(np.moveaxis(np.indices(image.shape), 0, -1)) @ [1.0, -2.0]
    image = image.replace(ramp)
    if kind == "dask":
        pytest.importorskip("dask.array", reason="needs dask")
        image = image.chunk(11)
    levels = pyramid(image, 3)
    back = levels.upsample_to(levels[2])
    assert back.geometry == image.geometry
    assert (getattr(back.data, "chunks", None) is not None) == (kind == "dask")
    np.testing.assert_allclose(np.asarray(back.data)[2:-2, 2:-2], ramp[2:-2, 2:-2], atol=1e-9)
    assert np.isfinite(np.asarray(levels.upsample_to(levels[2], 1).data)).all()


@pytest.mark.parametrize(
    "size, voxels, spacing", [(8, 4, 2.0), (8, 8, 1.0), (3.9, 2, 1.0), (100, 4, 4.0), (0.1, 4, 0.5)]
)
def test_functions_get_the_level_that_fits_a_feature(
    size: float, voxels: float, spacing: float
) -> None:
    levels = pyramid(sd.SpatialArray(np.ones((64, 128)), spacing=0.5), 4)
    seen: list[float] = []

    def look(level: sd.SpatialArray) -> sd.SpatialArray:
        seen.append(float(level.spacing[0]))
        return level > 0

    found = levels.apply(look, size, voxels=voxels)
    assert seen == [spacing]
    assert found.geometry == levels[0].geometry
    assert found.dtype == bool
    assert found.data.all()
    assert levels.apply(look, size, voxels=voxels, to=None).spacing[0] == spacing
    with pytest.raises(GeometryError, match="size"):
        levels.apply(look, 0)


@pytest.mark.parametrize("names", [("Z", "Y", "X"), ("depth", "row", "col")])
def test_space_is_what_a_world_says_and_not_a_name(names: tuple[str, ...]) -> None:
    image = sd.SpatialArray(np.zeros((32, 64, 65)), dims=names, sampled=names, spacing=1.0)
    shapes = [(32, 64, 65), (16, 32, 32), (8, 16, 16)]
    assert [level.shape for level in pyramid(image, 3, factors=2)] == shapes
    assert [level.shape for level in pyramid(image, 3)] == shapes
    anisotropic = image.replace(spacing=(4, 1, 1))
    assert [level.shape for level in pyramid(anisotropic)] == [(32, 64, 65), (32, 32, 32)]
    assert pyramid(image)[-1].shape == (16, 32, 32)
    assert pyramid(image, 2).at(2.5).shape == (16, 32, 32)


def test_time_is_never_binned_by_default() -> None:
    movie = sd.SpatialArray(np.zeros((64, 8, 64, 64), "u1"), dims=("t", "c", "y", "x"), spacing=1.0)
    for factors in (None, 2, 3):
        assert {level.shape[:2] for level in pyramid(movie, 3, factors=factors)} == {(64, 8)}


@pytest.mark.parametrize("dtype", ["u1", "i2", "u4", "i8", "?", "f4"])
@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr3"], indirect=True)
def test_labels_are_binned_by_mode(backend: Any, dtype: str) -> None:
    values = (np.arange(15 * 14).reshape(15, 14) // 3 * 7 % 120).astype(dtype)
    image = sd.SpatialArray(backend.make(values), attrs={"ome": {"image-label": {}}})
    for made, wanted in (
        (pyramid(image, 3), "mode" if dtype != "f4" else "mean"),
        (pyramid(image, 3, method="mean"), "mean"),
    ):
        reference = pyramid(sd.SpatialArray(values), 3, method=wanted)
        for level, other in zip(made, reference, strict=True):
            assert np.array_equal(backend.to_numpy(level.data), np.asarray(other))


@pytest.mark.parametrize("method", list(METHODS))
def test_coordinates_stay_with_axes_that_are_not_binned(method: str) -> None:
    image = sd.SpatialArray(
        np.zeros((3, 8, 8)), dims=("c", "y", "x"), spacing=1.0,
        coords={"channel": ("c", ["a", "b", "c"]), "row": ("y", np.arange(8)), "stain": "HE"},
    )  # fmt: skip
    level = pyramid(image, 2, method=method)[1]
    assert list(level.coords["channel"]) == ["a", "b", "c"]
    assert level.coords["stain"].item() == "HE"
    if method == "nearest":
        assert list(level.coords["row"]) == [0, 2, 4, 6]
    else:
        assert "row" not in level.coords


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol(protocol: int) -> None:
    made = pyramid(sd.SpatialArray(np.arange(16.0).reshape(4, 4), spacing=0.5), 2, factors=2)
    again = pickle.loads(pickle.dumps(made, protocol=protocol))
    assert type(again) is Pyramid
    for level, wanted in zip(again, made, strict=True):
        assert level.geometry == wanted.geometry
        assert np.array_equal(np.asarray(level), np.asarray(wanted))
