"""Filters of ITK and SimpleITK on images of ours, against the libraries' own images."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, GeometryMismatchError, TooLargeError

pytestmark = pytest.mark.library

TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
LIBRARIES = ("itk", "sitk")


def module(name: str) -> Any:
    pytest.importorskip({"itk": "itk", "sitk": "SimpleITK"}[name], reason=f"needs {name}")
    return getattr(sd, name)


def made(shape: tuple[int, ...] = (6, 7, 8), **more: Any) -> sd.SpatialArray:
    values = np.random.default_rng(0).random(shape, "f4") * 100
    how: dict[str, Any] = {"spacing": (2.5, 0.75, 0.5), "origin": (-10, 5, 3), "frame": "LPS",
                           "unit": "mm", "direction": TURN} | more  # fmt: skip
    return sd.SpatialArray(values, **how)


def series(axis: int = 0) -> sd.SpatialArray:
    """Return two time points of a volume, with the time axis anywhere."""
    direction = np.eye(4)
    direction[1:, 1:] = TURN
    image = made(
        (2, 6, 7, 8), dims=("t", "z", "y", "x"), spacing=(3, 2.5, 0.75, 0.5),
        origin=(7, -10, 5, 3), direction=direction, unit={"t": "s", **dict.fromkeys("zyx", "mm")},
    )  # fmt: skip
    return np.moveaxis(image, 0, axis)


def median(name: str, image: Any, **more: Any) -> Any:
    if name == "itk":
        return module(name).median_image_filter(image, radius=1, **more)
    return module(name).Median(image, [1, 1, 1], **more)


def shrink(name: str, image: Any, factors: list[int]) -> Any:
    if name == "itk":
        return module(name).bin_shrink_image_filter(image, shrink_factors=factors)
    return module(name).BinShrink(image, factors)


def expected_median(values: Any) -> Any:
    ndimage = pytest.importorskip("scipy.ndimage", reason="needs scipy")
    return ndimage.median_filter(values, 3, mode="nearest")


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("frame", ["LPS", "RAS", None])
def test_values_and_place(name: str, frame: str | None) -> None:
    image = made(frame=frame).replace(attrs={"subject": "M01"})[:, ::-1].transpose(1, 0, 2)
    before = np.array(image)
    found = median(name, image)
    assert isinstance(found, sd.SpatialArray)
    assert found.geometry == image.geometry
    assert found.attrs == image.attrs
    assert np.array_equal(np.asarray(found), expected_median(before))
    assert np.array_equal(np.asarray(image), before)  # ITK shares memory, and writes to none


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("axis", range(4))
def test_frame_by_frame_along_time(name: str, axis: int) -> None:
    image = series(axis)
    found = median(name, image)
    assert found.geometry == image.geometry
    for k in range(2):
        part = np.take(np.asarray(image), k, axis)
        assert np.array_equal(np.take(np.asarray(found), k, axis), expected_median(part))
    small = shrink(name, image, [2, 1, 3])
    for k in range(2):
        key = tuple([k if i == axis else slice(None) for i in range(4)])
        alone = shrink(name, _in_space(image[key]), [2, 1, 3])
        assert np.array_equal(np.asarray(small[key]), np.asarray(alone))
        assert _in_space(small[key]).geometry.isclose(alone.geometry, tolerance=1e-6)
        where = dict(zip(small.world.axes, small[key].index_to_physical([0] * 3), strict=True))
        assert where["t"] == pytest.approx(7 + 3 * k)


def _in_space(image: sd.SpatialArray) -> sd.SpatialArray:
    return image.to_world(tuple([n for n in image.world.axes if n != "t"]))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_slice_in_space_stays_a_slice(name: str) -> None:
    image = made()[2]
    found = median(name, image)
    assert found.dims == ("y", "x")
    assert found.geometry == image.geometry


def test_an_axis_that_a_filter_adds_is_kept() -> None:
    found = module("sitk").JoinSeries(made())
    assert found.dims == ("t", "z", "y", "x")
    assert found.shape == (1, 6, 7, 8)


@pytest.mark.parametrize("name", LIBRARIES)
def test_channels_run_one_by_one_and_keep_their_names(name: str) -> None:
    image = made((2, 6, 7, 8), dims=("c", "z", "y", "x"), coords={"channel": ("c", ["a", "b"])})
    found = median(name, image)
    assert found.geometry == image.geometry
    assert list(found.coords["channel"]) == ["a", "b"]
    assert np.array_equal(np.asarray(found[1]), expected_median(np.asarray(image)[1]))


@pytest.mark.parametrize("frame", ["LPS", "RAS"])
@pytest.mark.parametrize("labels", ["xyz", "zyx"])
def test_filters_of_vectors_get_them_together(frame: str, labels: str) -> None:
    field = made(
        (6, 7, 8, 3), dims=("z", "y", "x", "c"), coords={"component": ("c", list("xyz"))}
    ).to_frame(frame)
    order = ["xyz".index(n) for n in labels]
    found = module("sitk").DisplacementFieldJacobianDeterminant(field[..., order])
    native = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    wanted = native.DisplacementFieldJacobianDeterminant(sd.to_simpleitk(field.to_frame("LPS")))
    assert found.dims == ("z", "y", "x")
    assert np.allclose(np.asarray(found), native.GetArrayFromImage(wanted), atol=1e-4)
    turned = module("sitk").InvertDisplacementField(field[..., order])
    assert turned.geometry == field.geometry
    assert list(turned.coords["component"]) == list(labels)
    wanted = native.InvertDisplacementField(sd.to_simpleitk(field.to_frame("LPS")))
    mine = turned[..., [labels.index(n) for n in "xyz"]].to_frame("LPS")
    assert np.allclose(np.asarray(mine), native.GetArrayFromImage(wanted), atol=1e-4)


def test_maps_of_label_objects_stay_the_librarys() -> None:
    labels = made().astype("u1") > 50
    native = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    objects = module("sitk").BinaryImageToLabelMap(labels.astype("u1"), inputForegroundValue=1)
    assert isinstance(objects, native.Image)
    with pytest.raises(FormatError, match="LabelMapToLabel"):
        sd.from_simpleitk(objects)
    assert module("sitk").LabelMapMask(objects, made(), 1).geometry == made().geometry


def test_filters_that_hand_on_what_they_get_give_memory_of_their_own() -> None:
    image = made()
    for name in ("hausdorff_distance_image_filter", "similarity_index_image_filter"):
        found = getattr(module("itk"), name)(image, image[:, ::-1].replace(geometry=image.geometry))
        assert np.array_equal(np.asarray(found), np.asarray(image))
        assert not np.may_share_memory(np.asarray(found), np.asarray(image))


@pytest.mark.parametrize("axis", range(4))
def test_filters_that_make_vectors_run_frame_by_frame(axis: int) -> None:
    image = series(axis)
    found = module("itk").gradient_image_filter(image)
    assert found.dims == (*image.dims, "c")
    assert found.shape == (*image.shape, 3)
    assert found[..., 0].geometry == image.geometry
    for k in range(2):
        alone = module("itk").gradient_image_filter(_in_space(image.isel(t=k)))
        assert np.array_equal(np.asarray(found.isel(t=k)), np.asarray(alone))


@pytest.mark.parametrize("dims", ["tzyxc", "ctzyx", "zyxtc"])
def test_filters_of_vectors_run_at_each_time(dims: str) -> None:
    field = np.stack(
        [series(), series() + 1, series()[..., ::-1].replace(geometry=series().geometry)]
    )
    field = sd.SpatialArray(
        np.moveaxis(np.asarray(field), 0, -1), dims=tuple("tzyxc"), spacing=series().spacing,
        origin=series().origin, direction=series().direction, frame="LPS",
        unit={"t": "s", **dict.fromkeys("zyx", "mm")},
        coords={"component": ("c", list("xyz"))},
    ).transpose(*dims)  # fmt: skip
    size = module("sitk").VectorMagnitude(field)
    assert set(size.dims) == set("tzyx")
    assert size.geometry == field.isel(c=0).geometry
    expected = np.linalg.norm(np.asarray(field), axis=dims.index("c"))
    assert np.allclose(np.asarray(size), expected, rtol=1e-5)
    turned = module("sitk").InvertDisplacementField(field)
    assert turned.geometry == field.geometry
    assert list(turned.coords["component"]) == list("xyz")
    alone = module("sitk").InvertDisplacementField(field.isel(t=1))
    assert np.allclose(np.asarray(turned.isel(t=1)), np.asarray(alone), atol=1e-5)


@pytest.mark.parametrize("shape", [(6, 7, 8), (7, 8), (2, 6, 7, 8)])
@pytest.mark.parametrize("dtype", ["c8", "c16"])
def test_complex_voxels_go_through_itk(shape: tuple[int, ...], dtype: str) -> None:
    proxies, n = module("itk"), len(shape)
    image = made(shape, dims=tuple("tzyx"[-n:]), spacing=(9, 2.5, 0.75, 0.5)[-n:],
                 origin=(0, -10, 5, 3)[-n:], direction=None, frame=None if n < 3 else "LPS",
                 unit=None)  # fmt: skip
    image = (image + 1j * image[..., ::-1].data).astype(dtype)
    back = sd.from_itk(sd.to_itk(image.replace(frame="LPS") if n < 3 else image))
    assert back.dtype == dtype
    assert np.array_equal(np.asarray(back), np.asarray(image))
    assert np.array_equal(back.spacing, image.spacing)
    found = proxies.complex_to_imaginary_image_filter(image)
    assert found.geometry == image.geometry
    assert np.array_equal(np.asarray(found), np.asarray(image).imag)


def test_a_fourier_transform_of_itk_comes_back_complex() -> None:
    image = made()[1:, 1:]  # ITK transforms sizes of small prime factors alone
    found = module("itk").forward_fft_image_filter(image)
    assert found.dtype == np.complex64
    assert found.geometry == image.geometry
    values = np.asarray(image, "f8")
    assert np.allclose(np.asarray(found), np.fft.fftn(values), atol=1e-2)
    again = module("itk").inverse_fft_image_filter(found)
    assert np.allclose(np.asarray(again), values, atol=1e-3)


def test_voxels_that_numpy_has_no_type_for_are_refused_in_words() -> None:
    itk = pytest.importorskip("itk", reason="needs itk")
    native = itk.Image[itk.Offset[2], 2].New()
    native.SetRegions([2, 2])
    native.Allocate()
    with pytest.raises(FormatError, match="cast"):
        sd.from_itk(native)


@pytest.mark.parametrize("name", LIBRARIES)
def test_images_that_are_apart_are_refused_in_words(name: str) -> None:
    add = module(name).add_image_filter if name == "itk" else module(name).Add
    image = made()
    with pytest.raises(GeometryMismatchError, match="on one grid"):
        add(image, image.replace(origin=(0, 0, 0)))
    close = image.replace(origin=np.asarray(image.origin) + 1e-4)  # within the tolerance
    assert np.allclose(np.asarray(add(image, close)), 2 * np.asarray(image))


@pytest.mark.parametrize("name", LIBRARIES)
def test_lazy_images_stay_lazy_with_a_halo(name: str) -> None:
    pytest.importorskip("dask", reason="needs dask")
    image = made((9, 8, 7))
    lazy = image.chunk(4)
    found = median(name, lazy, halo=1, halo_unit="voxel")
    assert hasattr(found.data, "dask")
    assert found.geometry == image.geometry
    assert np.array_equal(np.asarray(found.compute()), expected_median(np.asarray(image)))


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_type_of_a_lazy_result_is_the_filters(name: str) -> None:
    pytest.importorskip("dask", reason="needs dask")
    function = getattr(
        module(name), {"itk": "otsu_threshold_image_filter", "sitk": "OtsuThreshold"}[name]
    )
    image = made((9, 8, 7))
    lazy = function(image.chunk(4), halo=9, halo_unit="voxel")
    assert lazy.dtype == function(image).dtype != image.dtype
    assert np.array_equal(np.asarray(lazy.compute()), np.asarray(function(image)))


@pytest.mark.parametrize("name", LIBRARIES)
def test_large_lazy_images_are_not_computed_unasked(name: str) -> None:
    pytest.importorskip("dask", reason="needs dask")
    lazy = made((9, 8, 7)).chunk(4)
    with sd.config(max_read_bytes=1000), pytest.raises(TooLargeError, match="halo="):
        median(name, lazy)


@pytest.mark.parametrize("name", LIBRARIES)
def test_names_and_documentation_are_the_librarys(name: str) -> None:
    proxies = module(name)
    assert len(dir(proxies)) > 200
    function = proxies.median_image_filter if name == "itk" else proxies.Median
    assert function.__name__ in ("median_image_filter", "Median")
    assert "edian" in function.__doc__
    with pytest.raises(AttributeError, match="holds the functions of"):
        _ = proxies.no_such_filter


def test_the_hook_is_of_one_thread_alone() -> None:
    itk = pytest.importorskip("itk", reason="needs itk")
    image, kinds = made(), {}

    def elsewhere() -> None:
        kinds["elsewhere"] = type(itk.median_image_filter(image, radius=1))

    own = itk.median_image_filter
    with sd.hook_itk():
        kept = itk.median_image_filter
        assert itk.median_image_filter(image, radius=1).geometry == image.geometry
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        with sd.hook_itk(False):
            assert not isinstance(kept(image, radius=1), sd.SpatialArray)
        bare = itk.median_image_filter(np.asarray(image), radius=1)
    assert not issubclass(kinds["elsewhere"], sd.SpatialArray)
    assert not isinstance(bare, sd.SpatialArray)
    assert itk.median_image_filter is own
    assert not isinstance(kept(image, radius=1), sd.SpatialArray)


@pytest.mark.parametrize("frame", [None, "RAS"])
def test_any_array_with_an_affine_is_an_image(frame: str | None) -> None:
    class Array:
        affine = np.array([[0, 3.0, 0, 10], [2, 0, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
        shape = (3, 4, 5, 2)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.arange(120.0).reshape(self.shape)

    array = Array()
    if frame:
        array.frame = frame  # type: ignore[attr-defined]
    image = sd.asarray(array)
    assert image.dims == ("x", "y", "z", None)
    assert image.frame == frame
    assert image.index_to_physical([1, 2, 3, 1]).tolist() == [16, 22, 42]


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 2])
def test_every_filter_gives_what_it_gives_natively(count: int) -> None:
    """Voxels and place are those of SimpleITK's own image, and the input is not written to."""
    proxies = module("sitk")
    native = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    images = [made((8, 9, 10)) for _ in range(count)]
    before = [np.array(image) for image in images]
    equal, wrong = [], []
    for label in dir(proxies):
        if "Noise" in label:
            continue  # random
        try:
            there = [sd.to_simpleitk(image) for image in images]
            wanted = sd.from_simpleitk(getattr(native, label)(*there))
        except Exception:
            continue  # it needs other arguments, types or numbers of images
        if not isinstance(wanted, sd.SpatialArray):
            continue  # a transform
        found = getattr(proxies, label)(*images)
        if not all(np.array_equal(i, b) for i, b in zip(images, before, strict=True)):
            wrong.append(f"{label} wrote to its input")
            images = [made((8, 9, 10)) for _ in range(count)]
        elif not np.allclose(np.asarray(found), np.asarray(wanted), rtol=1e-5, equal_nan=True):
            wrong.append(f"{label}: other voxels")
        elif not found.to_world(wanted.world.axes).geometry.isclose(wanted.geometry):
            wrong.append(f"{label}: another place")
        else:
            equal.append(label)
    assert not wrong
    assert len(equal) > (20 if count == 2 else 60)
