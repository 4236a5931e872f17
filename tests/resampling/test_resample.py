"""Values of `resample` against referees, on grids of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError, TooLargeError
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import make_plan, resample
from spatial_duck.testing import _strategies as strategies
from spatial_duck.transforms import Affine
from tests.resampling import reference

FLOATS = ("float32", "float64", ">f4")
INTEGERS = ("uint8", "int16", "uint16", "int32", ">i2", "int64")
seeds = st.integers(0, 2**32 - 1)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    if np.dtype(dtype).kind in "iu":
        top = min(np.iinfo(dtype).max, 2**20)
        low = max(np.iinfo(dtype).min, -(2**20))
        return rng.integers(low, top, shape, endpoint=True).astype(dtype)
    return rng.normal(size=shape).astype(dtype)


@st.composite
def _itk_grids(draw: st.DrawFn) -> tuple[Geometry, Geometry]:
    """Two overlapping 3-D grids: oblique, sheared, flipped or plain."""
    rng = np.random.default_rng(draw(seeds))
    grids = []
    aligned = draw(st.booleans())
    for _ in range(2):
        shape = tuple(draw(st.integers(1, 9)) for _ in range(3))
        direction = draw(strategies.directions(3, 3, oblique=not aligned, sheared=not aligned))
        spacing = rng.uniform(0.5, 2.5, 3)
        half = (np.array(shape) - 1) / 2
        origin = rng.uniform(-1, 1, 3) - direction @ (spacing * half)
        grids.append(reference.itk_geometry(shape, spacing, origin, direction))
    return grids[0], grids[1]


INTERPOLATIONS = st.sampled_from(("nearest", "linear"))


@pytest.mark.slow
@given(_itk_grids(), st.sampled_from(FLOATS + INTEGERS), INTERPOLATIONS, seeds)
@settings(max_examples=150)
def test_agrees_with_simpleitk(grids, dtype, interpolation, seed):
    pytest.importorskip("SimpleITK", reason="needs SimpleITK as referee")
    source, target = grids
    data = _noise(np.random.default_rng(seed), source.shape, dtype)
    fill = 7
    result = resample(sd.SpatialArray(data, source), target, interpolation=interpolation, fill=fill)
    # In 64-bit floats the referee neither rounds nor truncates.
    expected = reference.by_itk(data.astype(np.float64), source, target, interpolation, fill)
    assert result.geometry == target
    assert result.dtype == np.dtype(dtype).newbyteorder("=")
    scale = max(float(np.ptp(data.astype(np.float64))), 1.0)
    if np.dtype(dtype).kind in "iu":
        # Rounded to the nearest, so never further from the unrounded value than a half.
        assert np.abs(result.data - expected).max() <= 0.5 + 1e-6 * scale
        surely = np.abs(expected - np.floor(expected) - 0.5) > 1e-6 * scale
        assert (result.data == np.rint(expected))[surely].all()
    else:
        # A voxel on the border between in and out, or between two voxels, may fall to either.
        _, margin = reference.by_points(data.astype(float), source, target, interpolation, fill)
        assert np.abs(result.data - expected)[margin > 1e-9].max(initial=0) <= 1e-6 * scale


@given(
    strategies.geometries(min_side=1, max_side=4),
    st.data(),
    st.sampled_from(("nearest", "linear")),
    seeds,
)
@settings(max_examples=120)
def test_agrees_with_points_looked_up_one_by_one(source, data, interpolation, seed):
    """Any dims, worlds, plain axes and embeddings; the target moves within the source's reach."""
    rng = np.random.default_rng(seed)
    if not source.sampled_axes:
        return
    # The same place in another frame, unit and order; then another grid within its reach.
    target = source.to_world(data.draw(st.permutations(source.world.axes)))
    if source.frame is not None and set("xyz") <= set(source.world.axes):
        target = target.to_frame(data.draw(strategies.frames(none=False)))
    scale = rng.uniform(0.4, 1.7, len(source.sampled_axes))
    shift = rng.uniform(-1, 1, len(source.sampled_axes))
    moved = target.origin + target.direction @ (target.spacing * shift)
    shape = [int(rng.integers(1, 6)) if a in source.sampled_axes else n
             for a, n in enumerate(source.shape)]  # fmt: skip
    target = target.replace(shape=shape, spacing=target.spacing * scale, origin=moved)
    values = rng.normal(size=source.shape)
    result = resample(sd.SpatialArray(values, source), target, interpolation=interpolation, fill=5)
    expected, margin = reference.by_points(values, source, result.geometry, interpolation, 5)
    clear = margin > 1e-7
    assert result.geometry.isclose(target, 1e-9)
    np.testing.assert_allclose(result.data[clear], expected[clear], atol=1e-6)


def _rotated(angle: float = 0.3) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, c, -s], [0, s, c]]


OBLIQUE = Geometry((7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), _rotated())
TARGETS = {
    "shift": Geometry((8, 9, 9), (2, 1, 1), (-2, 3, 1)),
    "scaled": Geometry((11, 9, 20), (1.3, 1.5, 0.4), (-1, 0.2, 0.1)),
    "turned": Geometry((10, 9, 12), (0.7, 1, 2), (0.3, 1, 9.2), [[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "one slice": Geometry((11, 9, 20), (1.3, 1.5, 0.4), (-1, 0.2, 0.1))[4],
    "oblique": OBLIQUE,
    "oblique slice": OBLIQUE[3],
    "oblique line": OBLIQUE[3, :, 4],
    "turned in plane": Geometry(
        (7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    ),
}
SOURCE = Geometry((6, 9, 11), (2, 1, 1))


@pytest.mark.parametrize("dims", ["zyx", "czyx", "zyxc", "zcyx", "tzyxc"])
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_plain_axes_anywhere(dims, name, interpolation):
    """Each plane along the axes that are carried along is resampled as if it were alone."""
    target, lengths = TARGETS[name], {"c": 3, "t": 2, "z": 6, "y": 9, "x": 11}
    spacing = {"z": 2.0, "y": 1.0, "x": 1.0, "t": 0.5}
    shape = [lengths[d] for d in dims]
    geometry = Geometry(shape, [spacing[d] for d in dims if d != "c"], dims=tuple(dims))
    data = np.random.default_rng(3).normal(size=shape)
    result = resample(sd.SpatialArray(data, geometry), target, interpolation=interpolation)
    carried = [i for i, d in enumerate(dims) if d in "ct"]
    alone = np.moveaxis(data, carried, range(len(carried)))
    kept = [i for i, d in enumerate(result.dims) if d in ("c", "t")]
    together = np.moveaxis(result.data, kept, range(len(kept)))
    for index in np.ndindex(*alone.shape[: len(carried)]):
        one = resample(sd.SpatialArray(alone[index], SOURCE), target, interpolation=interpolation)
        np.testing.assert_array_equal(together[index], one.data)
    if "t" in dims:
        assert result.spacing[result.dims.index("t")] == 0.5
        assert result.world.axes == ("t", *target.world.axes)


@pytest.mark.parametrize("name", TARGETS)
def test_ramp(name):
    """A linear field keeps its value at every physical point inside the outermost centres."""
    weights = np.array([0.3, -1.2, 2.1])
    index = np.stack(np.meshgrid(*map(np.arange, SOURCE.shape), indexing="ij"), -1)
    data = SOURCE.index_to_physical(index) @ weights
    result = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], fill=np.nan)
    grid = np.stack(np.meshgrid(*map(np.arange, result.shape), indexing="ij"), -1)
    points = result.geometry.index_to_physical(grid)
    position = SOURCE.physical_to_index(points)
    inner = ((position >= 0) & (position <= np.array(SOURCE.shape) - 1)).all(-1)
    assert inner.any()
    np.testing.assert_allclose(result.data[inner], (points @ weights)[inner], atol=1e-6)


# --- what kind of work ---------------------------------------------------------------------


KINDS = {
    "shift": ("shift", {}),
    "scaled": ("axes", {}),
    "turned": ("axes", {}),
    "one slice": ("axes", {}),
    "oblique": ("affine", {}),
    "oblique slice": ("affine", {}),
    "turned in plane": ("affine", {}),
}


@pytest.mark.parametrize("name", KINDS)
def test_kind(name):
    assert make_plan(SOURCE, TARGETS[name]).kind == KINDS[name][0]


@pytest.mark.parametrize(
    "key",
    [
        np.s_[:, :, :],
        np.s_[1:5, 2:, :-3],
        np.s_[::-1, :, ::-2],
        np.s_[::2, 1::3, 4:5],
    ],
)
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_slices_are_views(key, interpolation):
    data = np.random.default_rng(0).normal(size=SOURCE.shape)
    image = sd.SpatialArray(data, SOURCE)
    for target in (SOURCE[key], SOURCE[key].transpose((2, 0, 1))):
        result = resample(image, target, interpolation=interpolation)
        assert np.shares_memory(result.data, data)
        assert result.geometry == target
        expected = data[key] if target.dims == SOURCE.dims else data[key].transpose(2, 0, 1)
        np.testing.assert_array_equal(result.data, expected)


@given(strategies.geometries(min_side=1, max_side=4, plain=False), st.data())
@settings(max_examples=60)
def test_moved_voxels_come_back_exactly(geometry, data):
    """Whatever slicing, flipping and transposing did, resampling back does no arithmetic."""
    numbers = np.arange(float(np.prod(geometry.shape, dtype=int))).reshape(geometry.shape)
    image = sd.SpatialArray(numbers, geometry)
    order = data.draw(st.permutations(range(geometry.ndim)))
    flips = tuple(slice(None, None, data.draw(st.sampled_from((1, -1)))) for _ in order)
    moved = np.transpose(image[flips], order)
    for interpolation in ("nearest", "linear"):
        back = resample(moved, geometry, interpolation=interpolation)
        np.testing.assert_array_equal(back.data, numbers)
        assert back.geometry.isclose(geometry, 1e-9)


# --- the grid wanted -----------------------------------------------------------------------


GRIDS = [
    # spacing, shape, then the result's shape, spacing and origin
    ({"spacing": 1.0}, (12, 9, 11), (1, 1, 1), (-0.5, 0, 0)),
    ({"spacing": (None, 2, None)}, (6, 5, 11), (2, 2, 1), (0, 0, 0)),
    ({"spacing": {"x": 0.5}}, (6, 9, 22), (2, 1, 0.5), (0, 0, -0.25)),
    ({"spacing": 5.0}, (3, 2, 3), (5, 5, 5), (0, 1.5, 0)),
    ({"shape": (3, 9, 22)}, (3, 9, 22), (4, 1, 0.5), (1, 0, -0.25)),
    ({"shape": {"z": 24}}, (24, 9, 11), (0.5, 1, 1), (-0.75, 0, 0)),
    ({"spacing": 1.0, "shape": (4, 9, 11)}, (4, 9, 11), (1, 1, 1), (3.5, 0, 0)),
]


@pytest.mark.parametrize("wanted, shape, spacing, origin", GRIDS)
def test_grid_from_spacing_or_shape(wanted, shape, spacing, origin):
    image = sd.SpatialArray(np.ones(SOURCE.shape), SOURCE)
    result = resample(image, **wanted)
    assert result.shape == shape
    np.testing.assert_array_equal(result.spacing, spacing)
    np.testing.assert_allclose(result.origin, origin, atol=1e-12)
    np.testing.assert_allclose(result.geometry.center, SOURCE.center)
    # No part of the image is lost, and no voxel lies outside it.
    assert (result.data == 1).all()
    if "shape" not in wanted:
        assert (result.geometry.bounds[0] <= SOURCE.bounds[0] + 1e-9).all()
        assert (result.geometry.bounds[1] >= SOURCE.bounds[1] - 1e-9).all()


def test_spacing_means_space():
    """One number is for space; time keeps its own unless it is named."""
    image = sd.SpatialArray(np.ones((4, 6, 8)), spacing=(3, 2, 2), dims=("t", "y", "x"))
    assert resample(image, spacing=1).shape == (4, 12, 16)
    assert resample(image, spacing={"t": 1.5}).shape == (8, 6, 8)


def test_time_is_resampled_like_space():
    image = sd.SpatialArray(np.array([0.0, 10.0, 20.0, 30.0]), spacing=2.0, dims=("t",))
    target = Geometry((3,), 1.0, (0.5,), dims=("t",))
    np.testing.assert_allclose(resample(image, target).data, [2.5, 7.5, 12.5])


def test_other_target_axes_are_left_out():
    target = Geometry((5, 4, 3, 2), (9, 1, 1), dims=("t", "c", "y", "x"))
    image = sd.SpatialArray(np.ones((6, 7)), dims=("y", "x"))
    result = resample(image, target)
    assert (result.dims, result.shape, result.world.axes) == (("y", "x"), (3, 2), ("y", "x"))


class _Duck:
    shape, spacing, origin, direction = (4, 5), (0.5, 1.0), (1.0, 1.0), np.eye(2)


@pytest.mark.parametrize("kind", ["geometry", "image", "duck"])
def test_what_to_may_be(kind):
    geometry = Geometry(_Duck.shape, _Duck.spacing, _Duck.origin)
    image = sd.SpatialArray(np.zeros((4, 5)), geometry)
    to = {"geometry": geometry, "image": image, "duck": _Duck()}
    image = sd.SpatialArray(np.random.default_rng(0).normal(size=(6, 7)), attrs={"a": 1})
    result = resample(image, to[kind])
    assert result.geometry == geometry
    assert result.attrs == {"a": 1}
    np.testing.assert_array_equal(result.data, resample(image, geometry).data)


# --- transforms ----------------------------------------------------------------------------


def test_transform_maps_output_to_input():
    """A transform moves the question: the result at p is the image at transform(p)."""
    data = np.random.default_rng(1).normal(size=(6, 7, 8))
    image = sd.SpatialArray(data, frame="LPS")
    matrix = np.eye(4)
    matrix[:3, :3] = _rotated(0.2)
    matrix[:3, 3] = 0.4, -0.3, 1.2
    transform = Affine(matrix, sd.World(("z", "y", "x"), frame="LPS"))
    result = resample(image, image, transform=transform, fill=np.nan)
    points = image.geometry.index_to_physical(np.argwhere(np.ones(data.shape)))
    expected = sd.sample(image, transform(points)).reshape(data.shape)
    np.testing.assert_allclose(result.data, expected, atol=1e-9)


@pytest.mark.parametrize("dims", [("z", "y", "x"), ("c", "y", "x"), ("x", "t", "y")])
def test_a_transform_alone_stays_on_the_grid(dims):
    image = sd.SpatialArray(np.arange(60.0).reshape(3, 4, 5), dims=dims, spacing={"x": 2.0})
    matrix = np.eye(len(image.world.axes) + 1)
    matrix[image.world.axes.index("x"), -1] = 2.0
    moved = sd.resample(image, transform=sd.Affine(matrix, image.world))
    assert moved.geometry == image.geometry
    at = image.dims.index("x")
    wanted = np.take(image.data, range(1, image.shape[at]), at)
    np.testing.assert_array_equal(np.delete(moved.data, -1, at), wanted)
    assert not np.take(moved.data, -1, at).any()


def test_transform_in_another_world():
    """A transform of RAS millimetres moves an LPS image of micrometres to the same place."""
    data = np.random.default_rng(1).normal(size=(6, 7, 8))
    image = sd.SpatialArray(data, spacing=1000.0, world=sd.World(("z", "y", "x"), "um", "LPS"))
    shift = np.eye(4)
    shift[:3, 3] = 1, 2, 0  # x to the right, y to the front
    moved = resample(image, image, transform=Affine(shift, sd.World(("x", "y", "z"), "mm", "RAS")))
    expected = np.zeros_like(data)
    expected[:, 2:, 1:] = data[:, :-2, :-1]
    np.testing.assert_array_equal(moved.data, expected)


def test_agrees_with_a_simpleitk_transform():
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK as referee")
    rng = np.random.default_rng(5)
    source = reference.itk_geometry((9, 10, 11), (1.2, 1, 0.8), (1, 2, 3), _rotated(0.4))
    target = reference.itk_geometry((8, 12, 7), (1, 1.3, 1), (2, 1, 4), _rotated(-0.2))
    data = rng.normal(size=source.shape)
    itk = sitk.AffineTransform(3)
    itk.SetMatrix((np.eye(3) + rng.normal(size=(3, 3)) / 9).ravel().tolist())
    itk.SetTranslation([0.5, -1.0, 0.25])
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(itk.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = itk.GetTranslation()
    ours = resample(
        sd.SpatialArray(data, source), target, transform=Affine(matrix, source.world), fill=-1
    )
    grid = reference.to_itk(np.zeros(target.shape), target)
    theirs = sitk.Resample(reference.to_itk(data, source), grid, itk, sitk.sitkLinear, -1.0)
    np.testing.assert_allclose(ours.data, sitk.GetArrayFromImage(theirs), atol=1e-6)


# --- values at the edge, and types ----------------------------------------------------------


@pytest.mark.parametrize(
    "position, nearest, linear",
    [
        (-0.51, -9, -9), (-0.5, 10, 10), (-0.2, 10, 10), (0.5, 20, 15), (0.4, 10, 14),
        (1.5, 30, 25), (2.49, 30, 30), (2.5, -9, -9),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "int16"])
def test_half_voxel_rule(position, nearest, linear, dtype):
    """As ITK: -0.5 is inside, n - 0.5 is not; ties go to the higher voxel."""
    image = sd.SpatialArray(np.array([10, 20, 30], dtype))
    target = Geometry((1,), 1.0, (position,))
    for name, value in (("nearest", nearest), ("linear", linear)):
        assert resample(image, target, interpolation=name, fill=-9).data[0] == value


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_edge_continues_the_outermost_values(angle):
    c, s = np.cos(angle), np.sin(angle)
    target = Geometry((9, 9), 1.0, (-3, -4), [[c, -s], [s, c]])
    image = sd.SpatialArray(np.random.default_rng(0).normal(size=(3, 4)))
    far = sd.SpatialArray(np.pad(image.data, 20, mode="edge"), origin=(-20, -20))
    for name in ("nearest", "linear"):
        result = resample(image, target, interpolation=name, fill="edge")
        np.testing.assert_allclose(
            result.data, resample(far, target, interpolation=name).data, atol=1e-12
        )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [f"{sign}int{n}" for sign in ("", "u") for n in (8, 16, 32, 64)])
@pytest.mark.parametrize("angle", [0.0, 0.3])
def test_integers_saturate(dtype, angle):
    """Extreme values stay what they are: nothing wraps, whatever the arithmetic."""
    info = np.iinfo(dtype)
    c, s = np.cos(angle), np.sin(angle)
    target = Geometry((5, 5), 0.6, (0.1, 0.9), [[c, -s], [s, c]])
    for value in (info.min, info.max):
        image = sd.SpatialArray(np.full((6, 6), value, dtype))
        assert set(resample(image, target, fill=value).data.ravel().tolist()) == {value}


@pytest.mark.parametrize("dtype", ["int16", "uint8"])
def test_integers_round_half_to_even(dtype):
    image = sd.SpatialArray(np.array([0, 1, 2, 3, 4], dtype))
    halves = resample(image, Geometry((4,), 1.0, (0.5,)))
    assert halves.data.tolist() == [0, 2, 2, 4]


OTHERS = [
    ("bool", "nearest"), ("complex64", "linear"), ("complex128", "linear"), ("float16", "linear"),
    ("float16", "nearest"), ("longdouble", "linear"), ("datetime64[s]", "nearest"),
    (">c8", "linear"), (">u4", "nearest"), ("complex128", "nearest"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("dtype, interpolation", OTHERS)
@pytest.mark.parametrize("name", ["scaled", "oblique", "turned in plane", "turned"])
def test_other_types(dtype, interpolation, name):
    numbers = np.random.default_rng(2).integers(0, 2, SOURCE.shape)
    if np.dtype(dtype).kind == "c":
        numbers = numbers + 1j * numbers[::-1]
    data = numbers.astype(dtype)
    fill = np.datetime64(0, "s") if np.dtype(dtype).kind == "M" else 0
    result = resample(
        sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation, fill=fill
    )
    assert result.dtype == np.dtype(dtype).newbyteorder("=")

    def plain(part: np.ndarray) -> np.ndarray:
        image = sd.SpatialArray(part.astype(float), SOURCE)
        return resample(image, TARGETS[name], interpolation=interpolation).data

    expected = plain(numbers.real)
    if np.dtype(dtype).kind == "c":
        expected = expected + 1j * plain(numbers.imag)
        np.testing.assert_allclose(result.data, expected, atol=1e-6)
    else:
        np.testing.assert_allclose(result.data.astype(float), expected, atol=1e-3)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1, ::-1])[::-1, ::-1, ::-1],
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 2)[::2, :, ::3],
    "unaligned": lambda a: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1).reshape(a.shape),
    "in a record": lambda a: np.array([(x, 1) for x in a.ravel()], [("a", a.dtype), ("b", "u1")])[
        "a"
    ].reshape(a.shape),
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "broadcast": lambda a: np.broadcast_to(a[:1], a.shape),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["shift", "scaled", "turned", "oblique", "turned in plane"])
@pytest.mark.parametrize("interpolation", ["nearest", "linear"])
def test_layouts(layout, name, interpolation):
    """How the voxels lie in memory does not matter; a read-only source stays untouched."""
    data = LAYOUTS[layout](np.random.default_rng(2).normal(size=SOURCE.shape).astype("f4"))
    before = data.copy()
    data.flags.writeable = False
    result = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation)
    clean = np.ascontiguousarray(before).astype("f4")
    expected = resample(sd.SpatialArray(clean, SOURCE), TARGETS[name], interpolation=interpolation)
    np.testing.assert_array_equal(result.data, expected.data)
    np.testing.assert_array_equal(data, before)


@pytest.mark.parametrize("name", ["shift", "scaled", "turned"])
def test_nan_stays_in_its_kernel(name):
    """A voxel is NaN only if a NaN has a weight in it."""
    data = np.zeros(SOURCE.shape)
    data[3, 4, 5] = np.nan
    weight = resample(sd.SpatialArray(np.isnan(data).astype(float), SOURCE), TARGETS[name])
    result = resample(sd.SpatialArray(data, SOURCE), TARGETS[name])
    np.testing.assert_array_equal(np.isnan(result.data), weight.data > 0)


@pytest.mark.parametrize("shape", [(0, 3, 4), (3, 0, 4), (3, 4, 0)])
@pytest.mark.parametrize("name", ["shift", "scaled", "oblique", "one slice"])
def test_empty_image(shape, name):
    image = sd.SpatialArray(np.zeros(shape))
    result = resample(image, TARGETS[name], fill=3)
    assert result.shape == TARGETS[name].shape
    assert (result.data == 3).all()


@pytest.mark.parametrize("name", ["shift", "scaled", "oblique"])
def test_empty_target(name):
    image = sd.SpatialArray(np.ones((3, 4, 5)))
    assert resample(image, TARGETS[name][:, 3:3]).shape[1] == 0


@pytest.mark.parametrize("name", TARGETS)
def test_far_away(name):
    far = SOURCE.replace(origin=(1e4, 1e4, 1e4))
    result = resample(sd.SpatialArray(np.ones(SOURCE.shape), far), TARGETS[name], fill=-2)
    assert (result.data == -2).all()


# --- refusals ------------------------------------------------------------------------------


IMAGE = sd.SpatialArray(np.zeros((3, 4, 5)))
WINDOWS = np.lib.stride_tricks.sliding_window_view(IMAGE, 2, 0)
PLANE = sd.SpatialArray(np.zeros((3, 4, 5)))[1]
REFUSED = [
    (IMAGE, {}, TypeError, "to=, spacing= or shape="),
    (IMAGE, {"to": 3}, TypeError, r"to must be .* int has no shape, .* spacing=\.\.\."),
    (IMAGE, {"to": (1, 2, 1.5)}, TypeError, r"tuple has no shape, .* spacing=\.\.\."),
    (IMAGE, {"to": "b.nii"}, TypeError, r"to must be .* asarray\("),
    (IMAGE, {"spacing": 0}, GeometryError, "spacing must be positive"),
    (IMAGE, {"spacing": np.nan}, GeometryError, "spacing must be positive"),
    (IMAGE, {"shape": (3, 4)}, GeometryError, "shape must have an entry"),
    (IMAGE, {"shape": (3, 0, 4)}, GeometryError, "shape must hold ints of 1 or more"),
    (IMAGE, {"spacing": {"q": 1}}, GeometryError, "'q'"),
    (IMAGE, {"spacing": 1, "interpolation": "magic"}, ValueError, "interpolation must be"),
    (IMAGE.astype("int16"), {"spacing": 2, "fill": np.nan}, ValueError, "fill must be"),
    (IMAGE.astype("uint8"), {"spacing": 2, "fill": -1}, ValueError, "fill must be"),
    (IMAGE.astype("uint8"), {"spacing": 2, "fill": 0.5}, ValueError, r"fill must be .*astype\("),
    (IMAGE, {"spacing": 2, "fill": 1j}, ValueError, "fill must be"),
    (IMAGE, {"spacing": 2, "fill": [1, 2]}, ValueError, "fill must be"),
    (IMAGE.astype(bool), {"spacing": 2, "interpolation": "cubic"}, TypeError, "nearest"),
    (np.zeros((3, 4)), {"spacing": 2}, TypeError, "SpatialArray"),
    (IMAGE, {"spacing": 1e-9}, TooLargeError, "in the unit of the image's world"),
    (IMAGE, {"to": Geometry((1 << 40, 4, 1 << 40))}, TooLargeError, "larger than any array"),
    (IMAGE, {"to": Geometry((2,), dims=("t",))}, GeometryError, "no world axis in common"),
    (sd.SpatialArray([[0.0]], dims=("lat", "lon")), {"spacing": 1}, GeometryError, "'lat', 'lon'"),
    (IMAGE, {"to": Geometry((2, 2, 2), frame="LPS")}, FrameError, "frame"),
    (IMAGE, {"to": Geometry((2, 2, 2), unit="mm")}, GeometryError, "unit"),
    (IMAGE, {"to": IMAGE, "transform": np.eye(4)}, TypeError, r"Affine\(matrix, image\.world\)"),
    (
        IMAGE.replace(frame="LPS"),
        {"spacing": 1, "transform": sd.Affine(np.eye(4), ("z", "y", "x"))},
        FrameError,
        r"transform and target: .* Affine\(matrix, image\.world\)",
    ),
    (PLANE, {"to": IMAGE}, GeometryError, "thickness"),
    (np.sort(IMAGE, axis=0)[[0, 2, 1]], {"to": IMAGE}, GeometryLossError, "index"),
    (WINDOWS, {"to": IMAGE}, GeometryError, "independent"),
]


@pytest.mark.parametrize("image, asked, error, message", REFUSED)
def test_refused(image, asked, error, message):
    with pytest.raises(error, match=message):
        resample(image, **asked)


def test_lost_positions_name_the_function():
    lost = sd.SpatialArray(np.zeros((4, 6))).reshape(3, 8)
    with pytest.raises(GeometryLossError, match="reshape"):
        resample(lost, Geometry((3, 8)))


@given(
    n=st.integers(1, 400),
    spacing=st.floats(0.01, 100),
    factor=st.sampled_from([1, 2, 3, 5]),
    narrow=st.sampled_from(["image", "asked", "both"]),
)
def test_spacings_through_32_bits_are_the_same_spacings(n, spacing, factor, narrow):
    """A header of 32 bits neither adds a voxel nor takes one away."""
    single = float(np.float32(spacing))
    image = sd.SpatialArray(
        np.zeros(n * factor, "u1"), spacing=single if narrow != "asked" else spacing
    )
    wanted = float(np.float32(spacing * factor)) if narrow != "image" else spacing * factor
    assert resample(image, spacing=wanted).shape == (n,)


def test_a_shape_alone_says_nothing_for_an_empty_image() -> None:
    image = sd.SpatialArray(np.zeros((0, 5)))
    with pytest.raises(GeometryError, match=r"the image is empty, of shape \(0, 5\)"):
        resample(image, shape=(3, 3))
    assert resample(image, shape=(3, 3), spacing=(1, 2), fill=7).shape == (3, 3)
