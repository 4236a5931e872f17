"""Promise 4: mixing is checked, on every backend and by every way to mix."""

from __future__ import annotations

import numpy as np
import pytest

from spatial_duck import Geometry, GeometryMismatchError, SpatialArray
from spatial_duck.testing import assert_geometry_equal, assert_lazy

GEOMETRY = Geometry((3, 4, 5), (2, 0.5, 1), (10, 20, 30), frame="LPS", unit="mm")
AWAY = GEOMETRY.replace(origin=(10, 20, 31))
VALUES = np.arange(60.0).reshape(3, 4, 5)
BACKENDS = pytest.mark.parametrize("backend", ["numpy", "dask", "zarr2", "zarr3"], indirect=True)


def add_in_place(a, b):
    a += b
    return a


def assign(a, b):
    a[...] = b
    return a


#: Every way in which two images meet.
WAYS = {
    "operator": lambda a, b: a + b,
    "reflected": lambda a, b: b * a,
    "comparison": lambda a, b: a < b,
    "ufunc": np.hypot,
    "where": lambda a, b: np.where(a > 3, a, b),
    "condition": lambda a, b: np.where(b > 3, a, 0),
    "clip": lambda a, b: np.clip(a, b, None),
    "maximum": np.maximum,
    "power": lambda a, b: a**b,
    "matmul of planes": lambda a, b: np.stack([a[0], b[0]]),
    "stack": lambda a, b: np.stack([a, b]),
    "mask": lambda a, b: a[b > 3],
    "concatenate": lambda a, b: np.concatenate([a, b]),
    "part": lambda a, b: a - b[:1],
    "plane": lambda a, b: a[1] - b[1],
    "isclose": np.isclose,
    "array_equal": np.array_equal,
}
IN_PLACE = {"in place": add_in_place, "assignment": assign}


@BACKENDS
@pytest.mark.parametrize("way", [*WAYS, *IN_PLACE])
def test_images_on_other_grids_are_refused(backend, way):
    if way in IN_PLACE and not backend.lazy:
        VALUES_BEFORE = VALUES.copy()
    a = SpatialArray(backend.make(VALUES.copy()), GEOMETRY)
    b = SpatialArray(backend.make(VALUES.copy()), AWAY)
    with pytest.raises(GeometryMismatchError) as caught, assert_lazy():
        (WAYS | IN_PLACE)[way](a, b)
    assert "origin" in str(caught.value)
    assert "resample" in str(caught.value) or "bare array" in str(caught.value)
    if way in IN_PLACE and not backend.lazy:
        np.testing.assert_array_equal(a.data, VALUES_BEFORE)


def test_slices_of_a_volume_are_joined_as_the_refusal_to_stack_them_says():
    image = SpatialArray(VALUES, GEOMETRY)
    with pytest.raises(GeometryMismatchError, match=r"image\[i:i\+1\] are joined by concatenate"):
        np.stack([image[i] for i in range(len(image))])
    joined = np.concatenate([image[i : i + 1] for i in range(len(image))])
    assert_geometry_equal(joined, image)
    np.testing.assert_array_equal(joined.data, VALUES)


@pytest.mark.parametrize("way", ["operator", "where", "clip", "isclose", "stack", "part", "mask"])
def test_one_grid_in_other_words_is_recognised(way):
    other = GEOMETRY.to_frame("RAS").to_unit("um").to_world(("x", "y", "z"))
    a, b = SpatialArray(VALUES, GEOMETRY), SpatialArray(VALUES, other)
    result = WAYS[way](a, b)
    expected = WAYS[way](a, a)
    np.testing.assert_array_equal(result.data, expected.data)
    assert result.geometry == expected.geometry
    assert_geometry_equal(WAYS[way](b, a), expected) if way != "mask" else None


@BACKENDS
def test_bare_arrays_mix_freely(backend):
    x = SpatialArray(backend.make(VALUES), GEOMETRY)
    for result in (x + 1, 1 + x, x + VALUES, VALUES + x, x * VALUES[0], x - VALUES[:, :1], x**2.5):
        assert isinstance(result, SpatialArray)
        assert result.geometry == GEOMETRY
    for wider in (x + np.ones((2, 3, 4, 5)), np.ones((2, 3, 4, 5)) + x):
        assert wider.dims == (None, "z", "y", "x")
        assert wider.spacing.tolist() == GEOMETRY.spacing.tolist()


@BACKENDS
def test_what_a_reduction_leaves_mixes_with_its_image(backend):
    x = SpatialArray(backend.make(VALUES), GEOMETRY)
    for part in (x.mean(0), x.mean(0, keepdims=True), x.max((0, 1)), x.sum(2, keepdims=True), x[1],
                 x[:, 2:3], x[..., :1, :1]):  # fmt: skip
        for result in (x - part, part - x):
            assert result.geometry.isclose(GEOMETRY, 1e-9)
            assert result.dims == GEOMETRY.dims


def test_a_mask_made_of_a_reduction_selects():
    x = SpatialArray(VALUES, GEOMETRY)
    bright = x.sum(axis=2) > 200
    np.testing.assert_array_equal(x[bright].data, VALUES[VALUES.sum(2) > 200])
    bright = x.max(axis=(1, 2)) > 20
    assert_geometry_equal(x[bright], x[1:])
    with pytest.raises(GeometryMismatchError):
        x[SpatialArray(VALUES, AWAY.replace(origin=(10, 21, 30))).sum(axis=2) > 200]


def test_axes_of_different_names_never_mix():
    a = SpatialArray(np.ones((4, 4)), dims=("y", "x"))
    for b in (a.T, SpatialArray(np.ones((4, 4)), dims=("c", "x"))):
        with pytest.raises(GeometryMismatchError, match="dims"):
            a + b
    assert (a + a.data.T).dims == ("y", "x")


def test_an_unnamed_axis_takes_the_others():
    x = SpatialArray(VALUES, GEOMETRY)
    stacked = np.stack([x[1], x[1], x[1]])
    assert stacked.dims == (None, "y", "x")
    assert (x + stacked).dims == (stacked + x).dims == ("z", "y", "x")
    assert_geometry_equal(stacked + x, x)


def test_attrs_on_which_all_agree_stay():
    a = SpatialArray(VALUES, GEOMETRY, attrs={"patient": 1, "series": 2})
    b = SpatialArray(VALUES, GEOMETRY, attrs={"patient": 1, "series": 3})
    assert (a + b).attrs == {"patient": 1}
    assert np.flip(a).attrs == a.attrs
    (a + 1).attrs["new"] = 1
    assert "new" not in a.attrs


@pytest.mark.parametrize(
    "before, after", [((slice(None),), ()), ((...,), ()), ((0,), ()), ((), (0,)), ((), (...,))]
)
def test_a_mask_beside_other_keys_must_lie_on_the_grid(before, after):
    """Wherever a mask stands among the keys, it is held against the axes that it covers."""
    image = SpatialArray(np.arange(24.0).reshape(2, 3, 4), spacing=(3, 2, 1))
    mask = (image.max(2) if after else image.max(0)) > 3
    assert image[(*before, mask, *after)].size
    with pytest.raises(GeometryMismatchError, match="mask"):
        image[(*before, mask[::-1], *after)]
