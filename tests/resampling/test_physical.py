"""`reorient`, `crop`, `pad_to` and `sample`: voxels keep their places, and are the right ones."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError, GeometryMismatchError
from spatial_duck.geometry import Geometry
from spatial_duck.resampling._interpolations import INTERPOLATIONS
from spatial_duck.resampling._physical import crop, pad_to, reorient, sample
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_lazy

CODES = ["".join(code) for lines in permutations(("LR", "PA", "SI")) for code in product(*lines)]


def _numbers(geometry: Geometry) -> sd.SpatialArray:
    numbers = np.arange(np.prod(geometry.shape, dtype=int)).reshape(geometry.shape)
    return sd.SpatialArray(numbers, geometry)


def _places(image: sd.SpatialArray) -> dict[int, np.ndarray]:
    """World position of each voxel number."""
    index = np.stack(np.meshgrid(*map(np.arange, image.shape), indexing="ij"), -1)
    points = image.geometry.index_to_physical(index.reshape(-1, image.ndim))
    return dict(zip(np.asarray(image.data).ravel().tolist(), points, strict=True))


volumes = strategies.geometries(ndim=3, min_side=1, plain=False, time=False, embedded=False)


# --- reorient ------------------------------------------------------------------------------


@pytest.mark.slow
@given(volumes, st.sampled_from(CODES), st.sampled_from(CODES))
def test_reorient(geometry, frame, code):
    geometry = geometry.replace(frame=frame)
    image = _numbers(geometry)
    turned = reorient(image, code)
    assert turned.geometry.orientation == code
    assert np.shares_memory(turned.data, image.data)
    before, after = _places(image), _places(turned)
    assert before.keys() == after.keys()
    for number, place in before.items():
        np.testing.assert_allclose(after[number], place, atol=1e-9)
    assert reorient(turned, like=image).geometry.isclose(geometry, 1e-9)


@pytest.mark.parametrize("dims", ["czyx", "zcyx", "tzyxc"])
def test_reorient_leaves_other_axes_where_they_are(dims):
    shape = {"c": 2, "t": 3, "z": 4, "y": 5, "x": 6}
    image = sd.SpatialArray(np.zeros([shape[d] for d in dims]), dims=tuple(dims), frame="LPS")
    turned = reorient(image, "ras")
    assert "".join(turned.dims) == dims.translate(str.maketrans("zyx", "xyz"))


def test_reorient_of_a_slice():
    image = _numbers(Geometry((3, 4, 5), frame="LPS"))[1]
    assert image.geometry.orientation == "PL"
    assert reorient(image, "RP").geometry.orientation == "RP"


@pytest.mark.parametrize("code", ["RA", "RASX", "XYZ", "RAL", "", 3, "RRS"])
def test_reorient_refuses(code):
    with pytest.raises(FrameError, match="orientation"):
        reorient(_numbers(Geometry((3, 4, 5), frame="LPS")), code)


def test_reorient_needs_a_frame():
    with pytest.raises(FrameError, match="frame"):
        reorient(_numbers(Geometry((3, 4, 5))), "RAS")


# --- crop ----------------------------------------------------------------------------------


@given(volumes, st.integers(0, 2**32 - 1))
def test_crop_keeps_all_centres_inside(geometry, seed):
    rng = np.random.default_rng(seed)
    image = _numbers(geometry)
    ends = geometry.bounds[0] + rng.uniform(0, 1, (2, 3)) * np.ptp(geometry.bounds, axis=0)
    bounds = np.sort(ends, axis=0)
    places = _places(image)
    inside = {n for n, p in places.items() if ((p >= bounds[0]) & (p <= bounds[1])).all()}
    try:
        part = crop(image, bounds)
    except GeometryError:
        assert not inside
        return
    kept = _places(part)
    assert inside <= kept.keys()
    for number, place in kept.items():
        np.testing.assert_allclose(place, places[number], atol=1e-9)
    if (np.count_nonzero(geometry.direction, axis=0) == 1).all():
        assert kept.keys() == inside
    assert np.shares_memory(part.data, image.data)


def test_crop_bounds():
    image = sd.SpatialArray(np.arange(20).reshape(4, 5), spacing=(2, 0.5), origin=(10, 0))
    assert crop(image, image.bounds).shape == (4, 5)
    assert crop(image, [[12, -np.inf], [14, np.inf]]).data.tolist() == image.data[1:3].tolist()
    assert crop(image, [[12, 0.5], [14, 1.5]]).shape == (2, 3)
    assert crop(image, [[-np.inf] * 2, [np.inf] * 2]).shape == (4, 5)


def test_crop_of_infinite_bounds_on_an_oblique_grid():
    c, s = np.cos(0.4), np.sin(0.4)
    image = _numbers(Geometry((6, 7), direction=[[c, -s], [s, c]]))
    part = crop(image, [[-np.inf, 2.0], [np.inf, np.inf]])
    inside = {n for n, p in _places(image).items() if p[1] >= 2}
    assert inside <= _places(part).keys()


@pytest.mark.slow
@given(volumes, st.integers(0, 2**32 - 1), st.sets(st.sampled_from("xyz")))
def test_bounds_by_name_are_infinite_along_the_rest(geometry, seed, names):
    """For `crop` and `pad_to`, in worlds whose axes have any order."""
    image, axes = _numbers(geometry), geometry.world.axes
    low, high = geometry.bounds
    rng = np.random.default_rng(seed)
    middle = low + rng.uniform(0.2, 0.8, len(axes)) * (high - low)
    ranges = {name: (middle[i], high[i] + 1) for i, name in enumerate(axes) if name in names}
    corners = np.array([ranges.get(name, (-np.inf, np.inf)) for name in axes]).T
    assert pad_to(image, ranges).geometry == pad_to(image, corners).geometry
    assert _cropped(image, ranges) == _cropped(image, corners)


def _cropped(image, bounds):
    """Return where the part lies, or why there is none."""
    try:
        return crop(image, bounds).geometry
    except GeometryError as error:
        return str(error)


@pytest.mark.parametrize("noise", [0.0, 1e-17, -4e-12])
def test_an_infinite_bound_bounds_nothing_where_axes_are_aligned_but_for_rounding(noise):
    """As headers of 32 bits leave directions: the other bounds count."""
    direction = [[1, noise, 0], [-noise, 1, noise], [0, 0, -1]]
    image = _numbers(Geometry((6, 7, 8), (2, 1, 0.5), (10, 20, 30), direction))
    assert crop(image, {"z": (13, 17)}).shape == (2, 7, 8)
    assert crop(image, {"x": (27.9, 29), "y": (-np.inf, 22)}).shape == (6, 3, 3)
    assert pad_to(image, {"z": (5, 30)}).shape == (13, 7, 8)
    assert pad_to(image, {"z": (-np.inf, 30), "y": (-np.inf, 30)}).shape == (11, 11, 8)


@given(volumes, st.integers(0, 2**32 - 1))
def test_crop_by_one_bound_is_that_of_a_box_around_the_image(geometry, seed):
    """On oblique grids too, where a half space alone would reach over the whole grid."""
    image = _numbers(geometry)
    low, high = geometry.bounds
    axis = int(np.random.default_rng(seed).integers(3))
    middle = float((low[axis] + high[axis]) / 2)
    ends, box = [-np.inf, np.inf], geometry.bounds.copy()
    name = geometry.world.axes[axis]
    for k in (0, 1):
        bounds, around = ends.copy(), box.copy()
        bounds[k] = around[k, axis] = middle
        assert _cropped(image, {name: tuple(bounds)}) == _cropped(image, around)


BAD_BOUNDS = [
    [[0, 0, 0]], [[0, 0], [1, 1]], [[0, 0, np.nan], [1, 1, 1]], [[2, 0, 0], [1, 1, 1]],
    [[100] * 3, [101] * 3], [[0.2] * 3, [0.8] * 3], [[-9] * 3, [-8] * 3],
    [[0, 0, 0], [1, 1]], 5, "all", None, {"q": (0, 1)}, {"z": 1}, {"z": (0, 1, 2)}, {"z": (1, 0)},
    _numbers(Geometry((3, 4, 5))),
]  # fmt: skip


@pytest.mark.parametrize("bounds", BAD_BOUNDS)
def test_crop_refuses(bounds):
    with pytest.raises(GeometryError, match="bounds"):
        crop(_numbers(Geometry((3, 4, 5))), bounds)


def test_lost_positions_are_named():
    lost = sd.SpatialArray(np.zeros((4, 6))).reshape(3, 8)
    for call in (lambda: crop(lost, [[0, 0], [1, 1]]), lambda: pad_to(lost, [[0, 0], [1, 1]]),
                 lambda: sample(lost, [0, 0])):  # fmt: skip
        with pytest.raises(GeometryLossError, match="reshape"):
            call()


def test_crop_of_a_store_reads_nothing():
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(20, 30), chunks=(10, 10), dtype="f4")
    array[...] = 1
    image = sd.SpatialArray(array, frame="LPS", world=sd.World(("z", "y", "x"), frame="LPS"),
                            direction=[[0, 0], [1, 0], [0, 1]], origin=(0, 0, 0))  # fmt: skip
    with assert_lazy(store):
        part = crop(reorient(image, "RA"), [[-1, 0, 12], [1, 5, 18]])
    assert part.shape == (7, 6)
    np.asarray(part)
    assert set(store.chunks_read) == {"c/0/1"}


# --- pad_to --------------------------------------------------------------------------------


@pytest.mark.slow
@given(volumes, st.integers(0, 2**32 - 1))
def test_pad_to_covers(geometry, seed):
    rng = np.random.default_rng(seed)
    image = _numbers(geometry)
    margin = rng.uniform(-1, 2, (2, 3)) * [[-1], [1]] * geometry.spacing.min()
    bounds = np.sort(geometry.bounds + margin, axis=0)
    corners = np.array(list(product(*bounds.T)))
    assume(abs(geometry.physical_to_index(corners)).max() < 40)
    padded = pad_to(image, bounds, fill=-1)
    index = padded.geometry.physical_to_index(corners)
    assert (index >= -0.5 - 1e-5).all()
    assert (index <= np.array(padded.shape) - 0.5 + 1e-5).all()
    places, before = _places(padded), _places(image)
    for number, place in before.items():
        np.testing.assert_allclose(places[number], place, atol=1e-9)
    assert (np.asarray(padded.data) == -1).sum() == padded.size - image.size


def test_pad_to_shape():
    image = sd.SpatialArray(np.ones((2, 3, 4)), dims=("c", "y", "x"))
    assert pad_to(image, shape=(6, 4)).shape == (2, 6, 4)
    np.testing.assert_array_equal(pad_to(image, shape={"y": 6}).origin, [-1, 0])
    assert pad_to(image, shape=(1, 1)) is image
    assert pad_to(image, shape=5).shape == (2, 5, 5)
    assert pad_to(image, shape=(None, 7)).shape == (2, 3, 7)
    assert pad_to(image, [[-np.inf, 0], [np.inf, 1]]) is image


def test_pad_to_refuses():
    image = sd.SpatialArray(np.ones((3, 4)))
    with pytest.raises(TypeError, match="either"):
        pad_to(image)
    with pytest.raises(GeometryError, match="shape"):
        pad_to(image, shape=(3,))
    for shape in ((3.5, 4), -1, (3, -4)):
        with pytest.raises(GeometryError, match="shape must hold ints"):
            pad_to(image, shape=shape)
    with pytest.raises(GeometryError, match="'q'"):
        pad_to(image, shape={"q": 3})


@pytest.mark.slow
@given(volumes)
def test_crop_undoes_pad(geometry):
    assume((np.count_nonzero(geometry.direction, axis=0) == 1).all())
    image = _numbers(geometry)
    wide = pad_to(image, geometry.bounds + np.array([[-2], [2]]) * geometry.spacing.min())
    back = crop(wide, geometry.bounds)
    np.testing.assert_array_equal(back.data, image.data)


# --- sample --------------------------------------------------------------------------------


@pytest.mark.slow
@given(strategies.geometries(min_side=1), st.integers(0, 2**32 - 1))
def test_sample_at_centres_is_the_voxels(geometry, seed):
    assume(geometry.sampled_axes)
    data = np.random.default_rng(seed).normal(size=geometry.shape)
    image = sd.SpatialArray(data, geometry)
    plain = [a for a in range(geometry.ndim) if a not in geometry.sampled_axes]
    shape = [1 if a in plain else n for a, n in enumerate(geometry.shape)]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    points = geometry.index_to_physical(np.squeeze(index, tuple(plain)))
    expected = np.moveaxis(data, plain, range(-len(plain), 0)) if plain else data
    for interpolation in ("linear", "nearest"):
        values = sample(image, points, interpolation=interpolation)
        np.testing.assert_allclose(values, expected, atol=1e-6)


def test_sample_agrees_with_scipy():
    map_coordinates = pytest.importorskip("scipy.ndimage", reason="referee").map_coordinates
    rng = np.random.default_rng(0)
    c, s = np.cos(0.3), np.sin(0.3)
    geometry = Geometry((8, 9), (2, 0.7), (1, -2), [[c, -s], [s, c]])
    data = rng.normal(size=geometry.shape)
    index = rng.uniform(-1.5, 10, (7, 30, 2))
    inside = ((index >= -0.5) & (index < np.array(geometry.shape) - 0.5)).all(-1)
    values = sample(sd.SpatialArray(data, geometry), geometry.index_to_physical(index))
    expected = map_coordinates(data, np.moveaxis(index, -1, 0), order=1, mode="nearest")
    assert inside.any()
    assert not inside.all()
    np.testing.assert_allclose(values[inside], expected[inside], atol=1e-12)
    assert np.isnan(values[~inside]).all()


TYPES = [
    # dtype, interpolation, fill, type of the result
    ("int16", "linear", np.nan, "float64"),
    ("float32", "linear", np.nan, "float32"),
    ("uint8", "nearest", 0, "uint8"),
    ("uint8", "nearest", np.nan, "float32"),
    ("complex64", "linear", np.nan, "complex64"),
]


@pytest.mark.slow
@pytest.mark.parametrize("dtype, interpolation, fill, kind", TYPES)
def test_sample_types(dtype, interpolation, fill, kind):
    """The type of the result depends on what is asked, not on where the points lie."""
    image = sd.SpatialArray(np.arange(5).astype(dtype))
    for points in ([[1.0]], [[99.0]], [[1.0], [99.0]]):
        values = sample(image, points, interpolation=interpolation, fill=fill)
        assert values.dtype == kind


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", INTERPOLATIONS)
@pytest.mark.parametrize("dims", ["yx", "cyx"])
@pytest.mark.parametrize("where", [(1.0, 2.0), (1.0, 99.0)])
@pytest.mark.parametrize("dtype", ["uint8", "float64"])
def test_sample_at_one_point_is_that_of_a_list(interpolation, dims, where, dtype):
    data = np.random.default_rng(0).integers(0, 9, (2, 6, 8)[-len(dims) :]).astype(dtype)
    image = sd.SpatialArray(data, dims=tuple(dims))
    for fill in (np.nan, 0):
        one = sample(image, where, interpolation=interpolation, fill=fill)
        several = sample(image, [where], interpolation=interpolation, fill=fill)
        assert one.shape == several.shape[1:]
        assert one.dtype == several.dtype
        np.testing.assert_array_equal(one, several[0])


@pytest.mark.parametrize("kind", ["dask", "zarr"])
@pytest.mark.parametrize("interpolation", ["linear", "nearest", "cubic", "lanczos", "label"])
def test_sample_is_lazy(kind, interpolation):
    module = pytest.importorskip({"dask": "dask.array", "zarr": "zarr"}[kind], reason="a backend")
    data = np.random.default_rng(0).normal(size=(2, 8, 9))
    geometry = Geometry(data.shape, dims=("c", "y", "x"))
    made = module.from_array(data, chunks=3) if kind == "dask" else module.array(data, chunks=3)
    points = np.random.default_rng(1).uniform(-1, 9, (6, 4, 2))
    with assert_lazy():
        values = sample(sd.SpatialArray(made, geometry), points, interpolation=interpolation)
    expected = sample(sd.SpatialArray(data, geometry), points, interpolation=interpolation)
    assert values.shape == (6, 4, 2)
    if interpolation in ("linear", "nearest", "label"):
        np.testing.assert_array_equal(values.compute(), expected)
    else:
        np.testing.assert_allclose(values.compute(), expected, rtol=0, atol=1e-6)


def test_sample_reads_the_chunks_near_the_points():
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("dask.array", reason="needs dask")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(100, 100), chunks=(10, 10), dtype="f4")
    array[...] = np.random.default_rng(0).normal(size=array.shape)
    image = sd.SpatialArray(array)
    points = [[5.0, 5.0], [95.0, 55.0], [5.2, 4.0], [900.0, 5.0], [20.0, 70.0]]
    with assert_lazy(store):
        values = sample(image, points)
    values.compute()
    # The last point lies near the corner of four chunks.
    near = {"c/0/0", "c/9/5", "c/2/7"}
    assert near <= set(store.chunks_read) <= near | {"c/1/6", "c/1/7", "c/2/6"}


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "quintic", "lanczos"])
@pytest.mark.parametrize("dims", ["zyx", "czyx", "zyxc"])
def test_sample_at_a_grid_is_resample(interpolation, dims):
    """Points of a grid have the values that resampling to it gives, the fill included."""
    shape = [{"c": 2, "z": 6, "y": 8, "x": 9}[d] for d in dims]
    data = np.random.default_rng(3).normal(size=shape)
    image = sd.SpatialArray(data, dims=tuple(dims))
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ [[c, -s, 0], [s, c, 0], [0, 0, 1]]
    grid = Geometry((7, 6, 5), (1.1, 1.2, 1.3), (-1, 1, 2), turn)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    values = sample(image, grid.index_to_physical(index), interpolation=interpolation, fill=5)
    expected = sd.resample(image, grid, interpolation=interpolation, fill=5).data
    if "c" in dims:
        expected = np.moveaxis(expected, dims.index("c"), -1)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["device", "array_api_strict", "torch", "jax"])
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic", "label"])
def test_sample_where_the_data_are(library, interpolation):
    from spatial_duck.testing import DeviceArray, assert_no_host_copy

    if library != "device":
        pytest.importorskip(library, reason=f"needs {library}")
    data = np.random.default_rng(3).integers(0, 9, (2, 6, 8)).astype("f4")
    image = sd.SpatialArray(data, dims=("c", "y", "x"))
    points = np.random.default_rng(4).uniform(-1, 8, (5, 4, 2))
    expected = sample(image, points, interpolation=interpolation)
    there = image.replace(data=DeviceArray(data)) if library == "device" else image.to(library)
    with assert_no_host_copy():
        found = sample(there, points, interpolation=interpolation)
    assert type(found) is type(there.data)
    found = found.get() if library == "device" else np.asarray(found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 if library == "jax" else 1e-5)


def test_sample_refuses():
    image = sd.SpatialArray(np.zeros((3, 4, 5)))
    with pytest.raises(GeometryError, match="point"):
        sample(image, [1.0, 2.0])
    with pytest.raises(GeometryError, match="off it"):
        sample(image[1], [2.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="interpolation"):
        sample(image, [0, 0, 0], interpolation="magic")
    with pytest.raises(TypeError, match="nearest"):
        sample(image.astype(bool), [0, 0, 0], interpolation="linear")


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SAR", "IPR", "ASL"])
def test_reorient_names_axes_after_the_world_axes_that_they_run_nearest_to(
    orientation: str,
) -> None:
    turn = np.array([[0, 0.1, 1], [1, 0, 0], [0, 1, -0.1]])  # coronal, a little oblique
    turn /= np.linalg.norm(turn, axis=0)
    image = sd.SpatialArray(
        np.arange(60).reshape(3, 4, 5), direction=turn, frame="LPS", world=("x", "y", "z")
    )
    turned = reorient(image, orientation)
    lines = {"L": "x", "R": "x", "P": "y", "A": "y", "S": "z", "I": "z"}
    assert turned.dims == tuple(lines[letter] for letter in orientation)
    assert turned.orientation == orientation
    back = reorient(turned, like=image)
    assert (back.dims, back.orientation) == (image.dims, image.orientation)
    assert back.geometry.isclose(image.geometry)
    assert np.array_equal(back.data, image.data)
    with pytest.raises(GeometryMismatchError, match=r"names of their axes.*like=other"):
        image + image.replace(dims=("x", "y", "z"))


def test_reorient_takes_one_of_two() -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4)), frame="LPS")
    for options in ({}, {"orientation": "RAS", "like": image}):
        with pytest.raises(TypeError, match="either"):
            reorient(image, **options)  # type: ignore[arg-type]
