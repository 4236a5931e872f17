"""Recipes on arrays of every layout, on axes of length 0 and 1, and random arguments."""

from __future__ import annotations

import string
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatial_duck import Geometry, SpatialArray
from spatial_duck.array import _dispatch as dispatch
from spatial_duck.errors import SpatialDuckError
from spatial_duck.rules import find as find_rule
from spatial_duck.testing._oracles import place_of, positions
from tests.rules.calls import OVERRIDABLE, assert_same, build, find, geometry_of, images
from tests.rules.recipes import RECIPES, Im, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

KNOWN = [r for r in RECIPES if find(r.name) in OVERRIDABLE and "empty" not in r.name]


def swapped(a: np.ndarray) -> np.ndarray:
    return a.astype(a.dtype.newbyteorder())


def backwards(a: np.ndarray) -> np.ndarray:
    turned = (slice(None, None, -1),) * a.ndim
    return a[turned].copy()[turned]


def strided(a: np.ndarray) -> np.ndarray:
    holder = np.zeros((*a.shape[:-1], a.shape[-1] * 3), a.dtype)[..., 1::3]
    holder[...] = a
    return holder


def read_only(a: np.ndarray) -> np.ndarray:
    a = a.copy()
    a.setflags(write=False)
    return a


LAYOUTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "big-endian": swapped,
    "backwards": backwards,
    "strided": strided,
    "Fortran": np.asfortranarray,
    "read-only": read_only,
}


def attempt(call: Callable[[], Any]) -> Any:
    """Return a result, or the error; one of our own family is never to be expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return call()
        except SpatialDuckError:
            raise
        except Exception as error:
            return error


def outcome(recipe: Recipe, of: Any) -> Any:
    """Call a recipe."""
    args, kwargs = build(recipe.args, of), build(recipe.kwargs, of)
    return attempt(lambda: find(recipe.name)(*args, **kwargs))


#: Of empty arrays NumPy gives whatever memory held.
NO_VALUES = ("fft", "unpackbits", "polyfit")


def compare(recipe: Recipe, data_of: Callable[[Im], Any], geometry: Callable[[Im], Any]) -> Any:
    bare = outcome(recipe, data_of)
    ours = outcome(recipe, lambda im: SpatialArray(data_of(im), geometry(im)))
    if isinstance(bare, Exception):
        assert isinstance(ours, Exception), f"NumPy: {bare!r}"
        return None
    assert not isinstance(ours, Exception), repr(ours)
    empty = any(not data_of(im).size for im in images((recipe.args, recipe.kwargs)))
    if empty and recipe.name.startswith(NO_VALUES):
        assert ours.shape == bare.shape
    elif recipe.place != "asked elsewhere":
        assert_same(bare, ours)
    for image in images(list(ours) if isinstance(ours, tuple) else ours):
        assert image.geometry.shape == image.data.shape
    return ours


@pytest.mark.slow
@pytest.mark.parametrize("recipe", [pytest.param(r, id=r.label) for r in KNOWN])
def test_every_layout(recipe: Recipe) -> None:
    for layout, change in LAYOUTS.items():

        def data_of(im: Im, change: Any = change) -> Any:
            return change(im.data)

        try:
            compare(recipe, data_of, geometry_of)
        except Exception as error:
            error.add_note(f"of {layout} arrays")
            raise


ALONE = [r for r in KNOWN if len(images((r.args, r.kwargs))) == 1]


#: NumPy takes axes of length 0 and 4 for one, and reads beyond the data; images refuse it.
BROKEN = {("einsum-3", 0)}


@pytest.mark.slow
@pytest.mark.parametrize("short", [0, 1])
@pytest.mark.parametrize("recipe", [pytest.param(r, id=r.label) for r in ALONE])
def test_short_axes(recipe: Recipe, short: int) -> None:
    if (recipe.label, short) in BROKEN:
        pytest.skip("NumPy's own result is wrong here")
    (image,) = images((recipe.args, recipe.kwargs))
    for axis in range(image.data.ndim):
        where = (slice(None),) * axis + (slice(0, short),)

        def data_of(im: Im, where: Any = where) -> Any:
            return im.data[where].copy()

        def geometry(im: Im, where: Any = where) -> Any:
            return geometry_of(im)[where]

        compare(recipe, data_of, geometry)


# --- arguments drawn at random ------------------------------------------------------------

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple)
DIMS = ("t", "z", "y", "x")


def numbered(shape: tuple[int, ...]) -> SpatialArray:
    """Make an image of voxel numbers from 1, oblique in the world."""
    data = np.arange(1.0, 1 + np.prod(shape)).reshape(shape)
    im = Im(data, (0,) * len(shape), "".join(DIMS[-len(shape) :]))
    return SpatialArray(data, geometry_of(im))


def agree(function: Any, image: SpatialArray, *args: Any, **kwargs: Any) -> Any:
    """Call a function on an image and on its data; compare; return the image's result."""
    bare, ours = (attempt(lambda a=a: function(a, *args, **kwargs)) for a in (image.data, image))
    if isinstance(bare, Exception):
        assert isinstance(ours, Exception), f"NumPy: {bare!r}"
        return None
    assert not isinstance(ours, Exception), repr(ours)
    assert_same(bare, ours)
    for result in images(list(ours) if isinstance(ours, tuple) else ours):
        assert result.geometry.shape == result.data.shape
    return ours


def assert_kept(image: SpatialArray, result: Any) -> None:
    """Assert that voxels lie where they lay, along the axes that are not lost."""
    if not isinstance(result, SpatialArray) or result.lost:
        return  # what is lost is told by the recipes
    table = positions(place_of(image), image.shape).reshape(-1, 4)
    numbers = result.data.astype(int)
    kept = numbers > 0
    there = positions(place_of(result), result.shape)[kept]
    np.testing.assert_allclose(there, table[numbers[kept] - 1], atol=1e-9)


def axes_of(shape: tuple[int, ...]) -> st.SearchStrategy[int]:
    return st.integers(-len(shape), len(shape) - 1)


@pytest.mark.slow
@given(st.data(), SHAPES)
def test_taking_and_deleting(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    axis = data.draw(st.none() | axes_of(shape))
    n = image.size if axis is None else shape[axis]
    where = st.integers(-n, n - 1)
    index = data.draw(
        where
        | st.lists(where, max_size=5)
        | st.lists(st.lists(where, min_size=2, max_size=2), min_size=1, max_size=2)
    )
    cut = data.draw(st.slices(n))
    results = [agree(np.take, image, index, axis=axis), agree(np.delete, image, cut, axis=axis)]
    if np.ndim(index) < 2:
        results.append(agree(np.delete, image, index, axis=axis))
    for result in results if axis is not None or len(shape) == 1 else []:
        assert_kept(image, result)


@pytest.mark.slow
@given(st.data(), SHAPES)
def test_inserting_and_padding(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    axis = data.draw(st.none() | axes_of(shape))
    n = image.size if axis is None else shape[axis]
    where = data.draw(st.integers(-n, n) | st.lists(st.integers(-n, n), min_size=1, max_size=3))
    assert_kept(image, agree(np.insert, image, where, -1.0, axis=axis))
    if axis is None:
        assert_kept(image, agree(np.insert, image, where, [-1.0], axis=axis))
    widths = data.draw(
        st.integers(0, 2)
        | st.lists(
            st.tuples(st.integers(0, 2), st.integers(0, 2)),
            min_size=len(shape),
            max_size=len(shape),
        )
    )
    assert_kept(image, agree(np.pad, image, widths, constant_values=-1.0))


@given(st.data(), SHAPES)
def test_diagonals(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    offset = data.draw(st.integers(-4, 4))
    axes = data.draw(st.tuples(axes_of(shape), axes_of(shape)))
    assert_kept(image, agree(np.diagonal, image, offset, *axes))
    agree(np.trace, image, offset, *axes)
    assert_kept(image, agree(np.trim_zeros, SpatialArray(image.data * (image.data > 2),
                                                         image.geometry)))  # fmt: skip


@pytest.mark.slow
@given(st.data(), SHAPES)
def test_shapes(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    new = data.draw(st.permutations(shape)) + data.draw(st.sampled_from([[], [1]]))
    order = data.draw(st.sampled_from("CFA"))
    assert_kept(image, agree(np.reshape, image, tuple(new), order))
    agree(np.reshape, image, (-1, data.draw(st.sampled_from(shape))), order)
    agree(np.resize, image, tuple(data.draw(st.lists(st.integers(0, 4), max_size=3))))
    agree(np.tile, image, tuple(data.draw(st.lists(st.integers(0, 3), max_size=5))))
    agree(np.repeat, image, data.draw(st.integers(0, 3)), axis=data.draw(axes_of(shape)))
    assert_kept(
        image, agree(np.rollaxis, image, data.draw(axes_of(shape)), data.draw(st.integers(-4, 4)))
    )


@given(st.data(), SHAPES)
def test_reductions(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    axes = data.draw(
        st.none() | axes_of(shape) | st.lists(axes_of(shape), max_size=3, unique=True).map(tuple)
    )
    keepdims = data.draw(st.booleans())
    for function in (np.sum, np.nanmax, np.std, np.median, np.ptp, np.count_nonzero):
        result = agree(function, image, axis=axes, keepdims=keepdims)
        if isinstance(result, SpatialArray):
            assert result.geometry == image.geometry.reduce(axes, keepdims)
    q = data.draw(st.sampled_from([50, [50], [10, 90], [[10], [90]]]))
    agree(np.percentile, image, q, axis=axes, keepdims=keepdims)
    agree(np.linalg.norm, image, axis=axes, keepdims=keepdims)
    agree(np.cumsum, image, axis=axes)
    agree(np.diff, image, n=data.draw(st.integers(0, 4)), axis=data.draw(axes_of(shape)))


@given(st.data(), SHAPES)
def test_fourier(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    name = data.draw(st.sampled_from(["fftn", "ifftn", "rfftn", "irfftn", "fft2", "rfft2"]))
    axes = data.draw(st.lists(axes_of(shape), min_size=1, max_size=3))
    sizes = data.draw(
        st.none() | st.lists(st.integers(1, 5), min_size=len(axes), max_size=len(axes))
    )
    agree(getattr(np.fft, name), image, sizes, axes)
    one = data.draw(st.sampled_from(["fft", "rfft", "irfft", "hfft", "ihfft"]))
    agree(getattr(np.fft, one), image, data.draw(st.none() | st.integers(1, 6)), axes[0])


@given(st.data())
def test_einsum(data: st.DataObject) -> None:
    lengths = dict(zip(string.ascii_lowercase, [2, 3, 4, 2, 3], strict=False))
    letters = st.sampled_from("abcde")
    first = "".join(data.draw(st.lists(letters, min_size=1, max_size=4)))
    second = "".join(data.draw(st.lists(letters, max_size=3)))
    output = "".join(data.draw(st.permutations(sorted({*first, *second}))))
    output = output[: data.draw(st.integers(0, len(output)))]
    image = numbered(tuple(lengths[x] for x in first))
    other = np.ones(tuple(lengths[x] for x in second))

    def call(array: Any) -> Any:
        return np.einsum(f"{first},{second}->{output}", array, other)

    result = agree(call, image)
    if isinstance(result, SpatialArray):
        for n, letter in enumerate(output):
            if first.count(letter) == 1:
                axis = result.geometry._axes[n]
                assert axis == image.geometry._axes[first.index(letter)]


@pytest.mark.slow
@given(st.data())
def test_products(data: st.DataObject) -> None:
    loops = data.draw(st.lists(st.sampled_from([1, 2]), max_size=2))
    n, k, m = (data.draw(st.integers(1, 3)) for _ in range(3))
    image = numbered((*loops, n, k))
    agree(np.matmul, image, np.ones((k, m)))
    agree(np.matmul, image, np.ones(k))
    agree(np.matmul, image, np.ones((2, 1, k, m)))
    agree(lambda a: np.matmul(np.ones((m, n)), a), image)
    agree(lambda a: np.matmul(np.ones(n), a), image)
    agree(np.dot, image, np.ones((2, k, m)))
    agree(np.inner, image, np.ones((m, k)))
    agree(np.tensordot, image, np.ones((k, m)), axes=1)
    agree(np.tensordot, image, np.ones((k, m, n)), axes=([-1, -2], [0, 2]))
    agree(np.kron, image, np.ones((2, 3)))
    agree(np.outer, image, np.ones(2))
    agree(np.multiply.outer, image, np.ones((2, 1)))
    agree(np.matvec, image, np.ones(k))
    agree(np.vecmat, image, np.ones((k, m)))
    agree(np.vecdot, image, np.ones(k))


@given(st.data(), SHAPES)
def test_splitting_and_joining_again(data: st.DataObject, shape: tuple[int, ...]) -> None:
    image = numbered(shape)
    axis = data.draw(axes_of(shape))
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[axis]), max_size=3)))
    for sections in (cuts, data.draw(st.integers(1, 4))):
        parts = agree(np.array_split, image, sections, axis=axis)
        for part in parts:
            assert_kept(image, part)
        whole = np.concatenate(parts, axis=axis)
        assert isinstance(whole.geometry, Geometry)
        assert whole.geometry.isclose(image.geometry)


def test_rules_never_see_data() -> None:
    """A rule gets geometries in place of images, wherever they stand."""
    seen: list[Any] = []
    rule = find_rule(np.where)
    assert rule is not None
    image = numbered((2, 3))

    def spy(*args: Any, **kwargs: Any) -> Any:
        seen.extend(args)
        return rule.geometry(*args, **kwargs)

    dispatch._call_general(np.where, rule._replace(geometry=spy), (image, image, 0), {})
    assert [type(a) for a in seen] == [Geometry, Geometry, int]
