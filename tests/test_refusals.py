"""What cannot be: refused when it is made, in errors that say what it should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.transforms import BSpline, Composite

if TYPE_CHECKING:
    from collections.abc import Callable

IMAGE = sd.SpatialArray(np.arange(12.0).reshape(3, 4), spacing=(3, 2))
GRID = IMAGE.geometry
FIELD = sd.SpatialArray(np.zeros((3, 4, 2)), spacing=(3, 2), dims=("y", "x", "v"))
CUBE = sd.Geometry((4, 4, 4))

#: What is tried, the error, and what it must say.
CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a geometry and a spacing": (
        lambda: sd.SpatialArray(np.zeros((3, 4)), GRID, spacing=2), sd.GeometryError, "spacing"),
    "a geometry that is none": (
        lambda: sd.SpatialArray(np.zeros(3), geometry=(3,)), sd.GeometryError, "a Geometry"),
    "a geometry of another shape": (
        lambda: sd.SpatialArray(np.zeros((4, 3)), GRID), sd.GeometryError, "(4, 3)"),
    "an image as data": (lambda: IMAGE.replace(IMAGE), TypeError, "image.data"),
    "replace: a geometry and more": (
        lambda: IMAGE.replace(geometry=GRID, unit="mm"), sd.GeometryError, "unit"),
    "view of another size": (lambda: IMAGE.view("f4"), ValueError, "item size"),
    "in place, too large": (
        lambda: IMAGE[:1].copy().__iadd__(np.ones((3, 4))), ValueError, "broadcast"),
    "a complex field": (
        lambda: sd.DisplacementField(FIELD.astype("c8")), TypeError, "real numbers"),
    "a field without vectors": (lambda: sd.DisplacementField(IMAGE), sd.GeometryError, "plain"),
    "a bound that is not finite": (
        lambda: sd.DisplacementField(FIELD, bound=np.nan), sd.GeometryError, "finite"),
    "a field that is not finite": (
        lambda: sd.DisplacementField(FIELD + np.nan).bound, sd.GeometryError, "finite"),
    "a lazy field without a bound": (
        lambda: sd.DisplacementField(FIELD.chunk(2)).bound, sd.GeometryError, "bound="),
    "coefficients of another shape": (
        lambda: BSpline(np.zeros((3, 4, 4)), CUBE), sd.GeometryError, "shape"),
    "coefficients that are not finite": (
        lambda: BSpline(np.full((3, 4, 4, 4), np.inf), CUBE), sd.GeometryError, "finite"),
    "a B-spline of order 5": (
        lambda: BSpline(np.zeros((3, 4, 4, 4)), CUBE, 5), sd.GeometryError, "order"),
    "a B-spline over a plane in space": (
        lambda: BSpline(np.zeros((3, 4, 4)), CUBE[0]), sd.GeometryError, "sampled axis"),
    "points of two coordinates": (
        lambda: BSpline(np.zeros((3, 4, 4, 4)), CUBE)([1.0, 2.0]), sd.GeometryError, "points"),
    "a composite of nothing": (lambda: Composite(), TypeError, "at least one"),
    "a composite of a matrix": (lambda: Composite(np.eye(3)), TypeError, "takes transforms"),
    "blocks by a word": (
        lambda: sd.map_blocks(lambda a, b: a, IMAGE, IMAGE.replace(spacing=(2, 2)),
                              interpolation="magic"), ValueError, "interpolation"),
    "blocks of a list": (lambda: sd.map_blocks(np.abs, [1, 2]), TypeError, ""),
    "blocks of two types": (
        lambda: sd.map_blocks(_two_types, IMAGE, blocks=2), TypeError, "one type"),
    "intensities that are complex": (
        lambda: sd.measure.regionprops((IMAGE > 3).astype(int), IMAGE.astype("c8")),
        TypeError, "real numbers"),
    "random_affine of no space": (
        lambda: sd.random_affine(sd.Geometry((5,), dims=("t",)), seed=1), sd.GeometryError,
        "space"),
    "a plot of words": (
        lambda: IMAGE.replace(data=np.full((3, 4), "a")).plot(), TypeError, "numbers"),
}  # fmt: skip


def _two_types(block: sd.SpatialArray) -> Any:
    return block.data.astype("i4" if block.origin[0] else "f4")


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_is_refused(name: str) -> None:
    if "lazy" in name:
        pytest.importorskip("dask", reason="needs dask")
    if "plot" in name:
        pytest.importorskip("matplotlib", reason="needs matplotlib")
    call, kind, word = CASES[name]
    with pytest.raises(kind) as told:
        call()
    assert word in str(told.value)


def test_an_integer_field_moves_as_a_real_one() -> None:
    numbers = np.arange(24).reshape(3, 4, 2) % 3
    whole = sd.DisplacementField(FIELD.replace(data=numbers))
    real = sd.DisplacementField(FIELD.replace(data=numbers.astype(float)))
    points = [[0.0, 0], [2.5, 3.1]]
    np.testing.assert_allclose(whole(points), real(points))


def test_transforms_say_what_they_are_and_are_equal_where_they_do_the_same() -> None:
    one = BSpline(np.zeros((3, 4, 4, 4)), CUBE)
    other = BSpline(np.zeros((3, 4, 4, 4)), CUBE)
    assert one == other
    assert hash(one) == hash(other)
    assert one != BSpline(np.ones((3, 4, 4, 4)), CUBE)
    assert one != 3
    affine = sd.Affine.identity(GRID.world)
    for transform, word in (
        (one, "BSpline(order 3"),
        (affine, "Affine([["),
        (Composite(affine, affine), "Composite(Affine([["),
        (sd.DisplacementField(FIELD), "DisplacementField(Geometry("),
    ):
        assert repr(transform).startswith(word)


def test_methods_of_arrays_on_images() -> None:
    image = IMAGE.replace(data=IMAGE.data[:, ::-1].copy())
    assert image.flags is image.data.flags or image.flags.c_contiguous
    image.sort()
    np.testing.assert_array_equal(image.data, IMAGE.data)
    image.partition(1)
    image.fill(4)
    assert (image.data == 4).all()
    assert image.byteswap().data.tolist() == image.data.byteswap().tolist()
    assert image.byteswap(inplace=True) is image
    assert IMAGE.view("i8").data.tolist() == IMAGE.data.view("i8").tolist()
    assert IMAGE.view("i8").geometry == GRID
    assert np.array(IMAGE, dtype="f4", copy=True).dtype == "f4"
    assert divmod(IMAGE, 5)[0].geometry == divmod(5.0, IMAGE + 1)[1].geometry == GRID
    turned = sd.SpatialArray(
        np.zeros((2, 3, 4)), direction=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    )
    np.testing.assert_array_equal(turned.direction_xyz, turned.direction[::-1, ::-1])
    np.testing.assert_array_equal(turned.direction_zyx, turned.direction)


def test_chunks_are_counted_and_taken() -> None:
    pytest.importorskip("dask", reason="needs dask")
    lazy = IMAGE.chunk(2)
    blocks = lazy.blocks
    assert blocks.size == len(blocks.ravel()) == 4
    assert blocks.ravel()[-1].geometry == lazy[2:, 2:].geometry
    assert blocks[..., 1].geometry == lazy[:, 2:].geometry


#: What takes a whole number of 1 or more.
WHOLE: dict[str, Callable[[Any], Any]] = {
    "keep_largest": lambda n: sd.segmentation.keep_largest(IMAGE > 5, n),
    "patches": lambda n: sd.patches([IMAGE], 2, count=n),
    "map_blocks": lambda n: sd.map_blocks(lambda block: block, IMAGE, threads=n),
    "sliding_window": lambda n: sd.sliding_window(abs, IMAGE, window=2, dtype="f8", threads=n),
    "plain axes": lambda n: sd.map_blocks(lambda b: b.data[None][[0] * 2], IMAGE, plain={"c": n}),
    "resample": lambda n: sd.resample(IMAGE, shape=(3, n)),
    "pyramid": lambda n: sd.pyramid(IMAGE, levels=n),
    "order": lambda n: sd.ndimage.gaussian_filter(IMAGE, 3.0, order=n),
    "nnU-Net": lambda n: sd.learning.resample_data_or_seg_to_shape(
        np.zeros((1, 2, 3, 4)), (2, 3, n), (1, 1, 1), (1, 1, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers_come_in_any_type_and_nothing_else_does(name: str) -> None:
    for right in (2, 2.0, np.int64(2), np.uint8(2), np.float32(2)):
        WHOLE[name](right)
    for wrong in (2.5, np.nan, np.inf, -1, "two", [2, 2, 2], iter([2])):
        with pytest.raises((ValueError, TypeError)) as found:
            WHOLE[name](wrong)
        assert "got" in str(found.value), found.value


@pytest.mark.parametrize("wrong", [None, 1.0, (1, 1), ("a", 1, 1), (1, 1, np.nan), (0, 1, 1)])
def test_spacings_of_nnunet_are_three_numbers(wrong: Any) -> None:
    data = np.zeros((1, 2, 3, 4))
    for given in ((wrong, (1, 1, 1)), ((1, 1, 1), wrong)):
        with pytest.raises(ValueError, match="three positive numbers, got"):
            sd.learning.resample_data_or_seg_to_shape(data, (2, 2, 2), *given)
        with pytest.raises(ValueError, match="three positive numbers, got"):
            sd.learning.resample_data_or_seg_to_spacing(data, *given)
    for nothing in (data[0], data[:, :0]):
        with pytest.raises(ValueError, match=r"shape \(c, x, y, z\)"):
            sd.learning.resample_data_or_seg_to_spacing(nothing, (1, 1, 1), (2, 2, 2))


def test_axes_by_a_number_of_numpy() -> None:
    one = sd.ndimage.gaussian_filter(IMAGE, 2.0, axes=1)
    assert np.array_equal(sd.ndimage.gaussian_filter(IMAGE, 2.0, axes=np.int64(1)), one)
