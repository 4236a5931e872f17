"""Corners of rules that no recipe reaches: what a mutated rule would do there."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from numpy.polynomial.polynomial import polygrid2d, polyval2d

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


# --- what no recipe asks ------------------------------------------------------------------

LINE = sd.SpatialArray(np.arange(1.0, 7.0), spacing=2, dims=("x",))
PLANE = sd.SpatialArray(np.arange(12.0).reshape(3, 4) + 1, spacing=(3, 2))
SQUARE = sd.SpatialArray(np.array([[4.0, 1, 0], [1, 5, 2], [0, 2, 6]]), spacing=(3, 2))
WHOLE = np.array([[0, 1, 2, 1], [2, 0, 1, 0], [1, 1, 0, 2]])
NUMBERS = sd.SpatialArray(WHOLE, spacing=(3, 2))
CHANNELS = sd.SpatialArray(IMAGE.data, dims=("c", "y", "x"), spacing=(2, 1))
PLAIN_LINE = sd.SpatialArray(np.arange(5.0), dims=("c",))
STEPS = sd.SpatialArray(np.array([0.0, 1, 3, 4]), spacing=2, dims=("x",))


def _out(function: Any, *args: Any, out: Any) -> Any:
    function(*args, out=out)
    return out


def _into(function: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    target = target.copy()
    function(target, *args, **kwargs)
    return target


#: Called with images, and with the arrays that they hold: the values are the same.
ODD: dict[str, Any] = {
    "resize of a line, shorter": lambda i: np.resize(i(LINE), 4),
    "resize of a line, longer": lambda i: np.resize(i(LINE), (9,)),
    "resize of planes": lambda i: np.resize(i(PLANE), (2, 4)),
    "repeat by an image": lambda i: np.repeat(i(LINE), i(NUMBERS)[0, :1], axis=0),
    "take_along_axis of an array": lambda i: np.take_along_axis(PLANE.data, i(NUMBERS), 1),
    "take_along_axis of all": lambda i: np.take_along_axis(i(PLANE), np.array([3, 1]), None),
    "take_along_axis of a line": lambda i: np.take_along_axis(LINE.data, i(NUMBERS)[0], None),
    "compress by an image": lambda i: np.compress(i(STEPS) > 0, i(PLANE), axis=1),
    "compress of an array": lambda i: np.compress(i(STEPS) > 0, PLANE.data, axis=1),
    "compress by a tuple": lambda i: np.compress((True, False, True), i(PLANE), axis=0),
    "extract of a line": lambda i: np.extract(LINE.data > 2, i(LINE)),
    "extract by an image": lambda i: np.extract(i(LINE) > 2, i(LINE)),
    "delete by an image": lambda i: np.delete(i(LINE), i(NUMBERS)[0], axis=0),
    "delete of an array": lambda i: np.delete(LINE.data, i(NUMBERS)[0]),
    "convolve of a plain line": lambda i: np.convolve(i(PLAIN_LINE), [1.0, 2.0, 1.0], "same"),
    "correlate by a longer image": lambda i: np.correlate([1.0, 2.0], i(LINE), "valid"),
    "histogram_bin_edges, weights": lambda i: np.histogram_bin_edges(
        i(PLANE), 5, weights=i(NUMBERS)),
    "histogramdd, weights": lambda i: np.histogramdd(i(PLANE)[:, :2], 3, weights=i(PLANE)[:, 0])[0],
    "unique of a plane, inverse": lambda i: np.unique(i(NUMBERS), return_inverse=True, axis=0)[1],
    "cov of two": lambda i: np.cov(i(PLANE), i(PLANE)),
    "cov, weights": lambda i: np.cov(i(PLANE), aweights=i(STEPS) + 1),
    "corrcoef of columns": lambda i: np.corrcoef(i(PLANE), i(PLANE), rowvar=False),
    "poly": lambda i: np.poly(i(LINE)),
    "roots": lambda i: np.roots(i(LINE)),
    "polyval of an array": lambda i: np.polyval(i(LINE), np.array([0.5, 2.0])),
    "polyval of an image": lambda i: np.polyval([1.0, 2.0], i(LINE)),
    "trapezoid over an image": lambda i: np.trapezoid(i(PLANE), i(PLANE), axis=1),
    "trapezoid of an array": lambda i: np.trapezoid(PLANE.data, i(STEPS), axis=1),
    "apply_over_axes that keeps": lambda i: np.apply_over_axes(np.flip, i(PLANE), [1]),
    "a ufunc of arrays into an image": lambda i: _out(
        np.add, PLANE.data, PLANE.data, out=i(PLANE).copy()),
    "put": lambda i: _into(np.put, i(PLANE), [0, 5], i(LINE)[:2]),
    "put_along_axis": lambda i: _into(np.put_along_axis, i(PLANE), WHOLE, 9.0, axis=1),
    "put_along_axis of all": lambda i: _into(np.put_along_axis, i(PLANE), np.array([2, 3]), 9.0,
                                             axis=None),
    "fill_diagonal": lambda i: _into(np.fill_diagonal, i(SQUARE), i(LINE)[:3]),
    "place": lambda i: _into(np.place, i(PLANE), WHOLE > 1, [7.0]),
    "stack of an image": lambda i: np.stack(i(CHANNELS), axis=1),
    "block": lambda i: np.block([[i(PLANE), i(PLANE)[:, :1]]]) if i is _bare else PLANE.data[
        :, [0, 1, 2, 3, 0]],
    "insert by an image": lambda i: np.insert(i(LINE), i(NUMBERS)[0], 0.0),
    "insert into an array": lambda i: np.insert(LINE.data, [0, 1], i(LINE)[:2]),
    "inner with a number": lambda i: np.inner(i(PLANE), 2.0),
    "cross of 3 and 3": lambda i: np.cross(i(PLANE)[:, :3], i(PLANE)[:, :3]),
    "gradient over an image": lambda i: np.gradient(i(PLANE), i(STEPS), axis=1),
    "gradient of an array": lambda i: np.gradient(PLANE.data, i(STEPS), axis=1),
    "choose among planes": lambda i: np.choose(WHOLE % 3, i(IMAGE)[[0, 1, 0], :, :].reshape(3, 3, 4)
                                               if i is _bare else IMAGE.data[[0, 1, 0]]),
    "isin of a list": lambda i: np.isin([1.0, 30.0], i(PLANE)),
    "ravel_multi_index": lambda i: np.ravel_multi_index(i(NUMBERS)[:2].astype(int), (3, 3)),
    "logspace, bases": lambda i: np.logspace(0.0, i(LINE), 3, base=i(LINE)),
    "linspace of an image": lambda i: np.linspace(i(LINE), 9.0, 3, axis=-1),
    "fft2, all of an axis": lambda i: np.fft.fft2(i(PLANE), s=(2, 4)),
    "fft2, all of one axis": lambda i: np.fft.fft2(i(PLANE), s=(-1, 5), axes=(0, 1)),
    "reduceat, axis by position": lambda i: np.add.reduceat(i(PLANE), [0, 2], 1),
    "split in a number of NumPy's": lambda i: np.split(i(LINE), np.array(2))[1],
    "dot of a volume": lambda i: np.dot(i(IMAGE), np.ones((4, 5))),
    "polyval2d of an image's coefficients": lambda i: polyval2d([0.5, 2], [1.0, 3], i(PLANE)),
    "polygrid2d over an image": lambda i: polygrid2d([0.5, 2], i(LINE), np.ones((2, 3))),
    "polygrid2d from an image": lambda i: polygrid2d(i(LINE), [0.5, 2], np.ones((2, 3, 2))),
    "polygrid2d of an image's coefficients": lambda i: polygrid2d([0.5], [2.0, 3], i(PLANE)),
    "apply_over_axes, sums": lambda i: np.apply_over_axes(np.sum, i(PLANE), [0]),
    "ufunc.at of a line": lambda i: _into(np.add.at, i(LINE), [0, 0, 1], 1.0),
    "einsum of pairs with a result": lambda i: np.einsum(i(PLANE), [0, 1], i(STEPS), [1], [0]),
    "einsum of pairs": lambda i: np.einsum(i(PLANE), [0, 1], i(STEPS), [1]),
    "convolve, mode by number": lambda i: np.convolve(i(LINE), [1.0, 2.0, 1.0], 2),
    "correlate, mode by number": lambda i: np.correlate(i(LINE), [1.0, 2.0, 1.0], 0),
    "qr, raw": lambda i: np.linalg.qr(i(PLANE), mode="raw")[0],
    "solve for a vector": lambda i: np.linalg.solve(i(SQUARE), LINE.data[:3]),
    "einsum of an array": lambda i: np.einsum("ij,j->i", PLANE.data, i(STEPS)),
    "matrix_rank": lambda i: np.linalg.matrix_rank(i(SQUARE)),
    "vstack of lines": lambda i: np.vstack([i(LINE).data, LINE.data]),
    "average, weights": lambda i: np.average(i(PLANE), axis=1, weights=i(STEPS) + 1),
    "split in cuts": lambda i: np.split(i(LINE), [2, 3])[1],
    "interp over an image": lambda i: np.interp(i(LINE), STEPS.data, i(STEPS).data),
}  # fmt: skip


_NEED_2_4 = ("polygrid2d over an image", "polygrid2d from an image")


def _bare(image: sd.SpatialArray) -> Any:
    return image.data


@pytest.mark.parametrize("name", ODD)
def test_odd_arguments_give_the_values_of_numpy_and_a_grid_that_fits(name: str) -> None:
    if name in _NEED_2_4 and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip("this NumPy makes a grid of its own arrays alone")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = ODD[name](_bare)
        found = ODD[name](lambda image: image)
    np.testing.assert_allclose(np.asarray(getattr(found, "data", found)), expected)
    if isinstance(found, sd.SpatialArray):
        assert found.geometry.shape == np.shape(expected)


def test_a_line_that_is_resized_begins_where_it_did() -> None:
    for n in (4, 9):
        found = np.resize(LINE, n).geometry
        assert found.spacing.tolist() == [2]
        assert found.origin.tolist() == LINE.origin.tolist()


@pytest.mark.parametrize(
    "call",
    [
        lambda other: np.take_along_axis(PLANE, other.astype(int) % 3, 1),
        lambda other: np.copyto(PLANE.copy(), other),
        lambda other: np.histogram_bin_edges(PLANE, 5, weights=other),
        lambda other: np.trapezoid(PLANE, other, axis=1),
        lambda other: np.add(PLANE, PLANE, out=other.copy()),
        lambda other: np.where(PLANE > 3, PLANE, other),
        lambda other: np.histogram(PLANE, weights=other),
        lambda other: np.put_along_axis(PLANE.copy(), WHOLE[:, :1], other[:, :1], 1),
        lambda other: np.append(PLANE, other.replace(origin=(0, 50))),
    ],
)
def test_images_of_two_places_do_not_meet_in_one_function(call: Any) -> None:
    with pytest.raises(sd.GeometryMismatchError):
        call(PLANE.replace(origin=(50, 60)))


def test_dot_keeps_the_axes_of_a_volume_that_it_does_not_add_up() -> None:
    found = np.dot(IMAGE, np.ones((4, 5))).geometry
    assert found.sampled_axes == (0, 1)
    assert found.spacing.tolist() == [3, 2]
    assert np.dot(IMAGE, np.ones(4)).geometry.spacing.tolist() == [3, 2]


def test_reduceat_loses_the_axis_that_it_adds_up() -> None:
    assert np.add.reduceat(PLANE, [0, 2], 1).geometry.sampled_axes == (0,)
    assert np.add.reduceat(PLANE, [0, 2]).geometry.sampled_axes == (1,)


def test_what_is_deleted_by_an_image_leaves_a_line_without_places() -> None:
    found = np.delete(LINE, NUMBERS[0])
    assert isinstance(found, sd.SpatialArray)
    assert found.geometry.lost == {0: "delete"}


def test_pieces_that_continue_each_other_are_joined_in_one_dimension() -> None:
    assert np.append(PLANE, PLANE.replace(origin=(9, 0))).shape == (24,)


def test_einsum_of_pairs_keeps_what_that_of_letters_does() -> None:
    found = np.einsum(PLANE, [0, 1], np.ones((4, 2)), [1, 2], [0, 2])
    assert found.geometry == np.einsum("ij,jk->ik", PLANE, np.ones((4, 2))).geometry
    assert found.geometry.spacing.tolist() == [3]


@pytest.mark.parametrize("lazy", [False, True])
def test_reduceat_takes_its_indices_by_name(lazy):
    image = sd.SpatialArray(np.arange(12.0).reshape(3, 4), spacing=(2, 3))
    if lazy:
        pytest.importorskip("dask.array", reason="needs dask")
    found = np.add.reduceat(image.chunk(2) if lazy else image, indices=[0, 2], axis=1)
    np.testing.assert_array_equal(found, np.add.reduceat(image.data, [0, 2], axis=1))
    assert found.geometry == np.add.reduceat(image, [0, 2], axis=1).geometry
