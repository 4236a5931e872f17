"""To a network and back: what comes back lies where it was, bit for bit where grids coincide."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.blocks._api import with_plain
from spatial_duck.geometry import Geometry
from spatial_duck.learning._intensity import RULES, Intensity, find_intensity
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_geometry_equal, assert_lazy
from tests.effort import examples

C, S = np.cos(0.3), np.sin(0.3)
GRID = Geometry(
    (11, 18, 23), (2.5, 1, 0.7), (-10, 5, 0), [[C, -S, 0], [S, C, 0], [0, 0, -1]], frame="LPS",
    unit="mm",
)  # fmt: skip


def values(shape=GRID.shape, dtype="f8", seed=0):
    return (np.random.default_rng(seed).normal(size=shape) * 100).astype(dtype)


def lazily(image, chunks=5):
    da = pytest.importorskip("dask.array", reason="needs dask")
    return image.replace(da.from_array(image.data, chunks=chunks))


def _spaces():
    """Geometries of three space axes, in any place, frame, unit and order."""
    dims = st.permutations(("z", "y", "x")) | st.permutations(("z", "y", "x", "c"))
    return dims.flatmap(
        lambda d: strategies.geometries(dims=d, min_side=1, max_side=9, time=False, embedded=False)
    )


def _oriented(geometry):
    return geometry if geometry.frame is not None else geometry.replace(frame="RAS")


def _orientations():
    lines = st.permutations(("LR", "PA", "SI"))
    return st.tuples(lines, *[st.integers(0, 1)] * 3).map(
        lambda t: "".join(line[i] for line, i in zip(t[0], t[1:], strict=True))
    )


# --- there and back -----------------------------------------------------------------------


@pytest.mark.slow
@given(
    _spaces().map(_oriented), _orientations(), st.none() | st.integers(1, 14),
    st.none() | st.integers(1, 6),
)  # fmt: skip
@settings(max_examples=examples(80))
def test_labels_come_back_bit_for_bit_where_grids_coincide(geometry, orientation, shape, multiple):
    rng = np.random.default_rng(0)
    labels = sd.SpatialArray(rng.integers(-9, 9, geometry.shape).astype("i2"), geometry)
    there, record = sd.conform(
        labels, orientation=orientation, shape=shape, multiple_of=multiple, dtype=None,
        interpolation="nearest", fill=-99,
    )  # fmt: skip
    assert there.orientation == orientation
    assert there.dtype == "i2"
    sides = [there.shape[a] for a in there.geometry.sampled_axes]
    if shape is not None and multiple is None:
        assert sides == [shape] * 3
    assert all(n % (multiple or 1) == 0 for n in sides)
    back = sd.restore(there, record, fill=-99)
    assert_geometry_equal(back, labels)
    assert back.dtype == "i2"
    cut = shape is not None and min(sides) < max(geometry.shape)
    same = back.data == labels.data
    assert same.all() if not cut else (same | (back.data == -99)).all()


@pytest.mark.slow
@given(
    _spaces().map(_oriented), _orientations(),
    st.lists(st.floats(0.4, 2.0), min_size=3, max_size=3), st.booleans(),
)  # fmt: skip
@settings(max_examples=examples(60))
def test_labels_come_back_within_half_a_voxel(geometry, orientation, factors, lazy):
    """A network that says where it is: what it says comes back to where that is."""
    image = sd.SpatialArray(values(geometry.shape), geometry)
    image = lazily(image) if lazy else image
    spacing = np.sort(geometry.spacing)[1] * np.array(factors)
    there, record = sd.conform(image, spacing=spacing, orientation=orientation)
    grid = there.geometry.reduce(
        tuple(a for a in range(there.ndim) if a not in there.geometry.sampled_axes)
    )
    numbers = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    back = sd.restore(numbers, record, interpolation="nearest", fill=-1)
    original = image.geometry.reduce(
        tuple(a for a in range(image.ndim) if a not in image.geometry.sampled_axes)
    )
    assert_geometry_equal(back, original)
    index = np.moveaxis(np.indices(original.shape), 0, -1)
    known = back.data >= 0
    assert known.all()
    said = np.stack(np.unravel_index(back.data, grid.shape), -1)
    away = np.abs(grid.physical_to_index(original.index_to_physical(index)) - said)
    assert away.max() <= 0.5 + 1e-6


@pytest.mark.slow
@given(_spaces().map(_oriented), _orientations(), st.floats(0.3, 3.0))
def test_points_map_exactly(geometry, orientation, spacing):
    image = sd.SpatialArray(np.zeros(geometry.shape), geometry)
    _, record = sd.conform(image, spacing=spacing, orientation=orientation, frame="RAS", shape=7)
    index = np.random.default_rng(0).uniform(-5, 20, (20, 3))
    scale = max(20 * spacing, np.abs(record.to_original(index)).max())
    np.testing.assert_allclose(
        record.to_conformed(record.to_original(index)), index, atol=1e-9 * scale
    )
    here, there = record.grid, record.original
    bare = [g.reduce(tuple(a for a in range(g.ndim) if a not in g.sampled_axes))
            for g in (here, there)]  # fmt: skip
    points = bare[1].to_frame("RAS").index_to_physical(record.to_original(index))
    np.testing.assert_allclose(points, bare[0].index_to_physical(index), rtol=1e-9, atol=1e-7)


def test_records_are_pickled():
    _, record = sd.conform(sd.SpatialArray(values(), GRID), spacing=1, intensity="zscore")
    again = pickle.loads(pickle.dumps(record))
    assert again == record


@pytest.mark.parametrize(
    "options, shape, spacing",
    [
        ({}, (11, 18, 23), (2.5, 1, 0.7)),
        ({"spacing": 1}, (28, 18, 17), (1, 1, 1)),
        ({"spacing": (None, None, 1.4)}, (11, 18, 12), (2.5, 1, 1.4)),
        ({"shape": 16}, (16, 16, 16), (2.5, 1, 0.7)),
        ({"multiple_of": 8}, (16, 24, 24), (2.5, 1, 0.7)),
        ({"shape": (32, None, 5), "multiple_of": {"y": 4}}, (32, 20, 5), (2.5, 1, 0.7)),
        ({"spacing": "fit", "shape": (22, 9, 23)}, (22, 9, 23), (1.25, 2, 0.7)),
        ({"orientation": "RAS"}, (23, 18, 11), (0.7, 1, 2.5)),
        ({"orientation": "RAS", "spacing": (1, 2, 5)}, (17, 9, 6), (1, 2, 5)),
    ],
)
def test_grids_wanted(options, shape, spacing):
    image = sd.SpatialArray(values(), GRID)
    there, record = sd.conform(image, **options)
    assert there.shape == shape
    np.testing.assert_allclose(there.spacing, spacing)
    assert record.grid == there.geometry
    assert record.original == GRID
    shift = np.abs(GRID.physical_to_index(there.geometry.center) * 2 - np.array(GRID.shape) + 1)
    assert (shift <= 2 * 0.5 * max(np.max(spacing) / 0.7, 1) + 1e-9).all()
    expected = sd.resample(image.astype("f4"), there.geometry)
    np.testing.assert_allclose(there.data, expected.data, atol=1e-4)  # 32-bit floats


def test_cut_images_keep_their_voxels():
    image = sd.SpatialArray(values(dtype="f4"), GRID)
    there, _ = sd.conform(image, shape=(5, 8, 9))
    np.testing.assert_array_equal(there.data, image.data[3:8, 5:13, 7:16])
    assert np.shares_memory(there.data, image.data)


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"spacing": "fit"}, ValueError, "together with shape"),
        ({"shape": 0}, sd.GeometryError, "ints of 1 or more"),
        ({"intensity": "best"}, ValueError, "zscore, minmax, percentile, ct-window"),
        ({"orientation": "XYZ"}, sd.FrameError, "orientation must"),
    ],
)
def test_what_cannot_be_wanted(options, error, message):
    with pytest.raises(error, match=message):
        sd.conform(sd.SpatialArray(values(), GRID), **options)


@pytest.mark.slow
def test_nothing_is_computed_on_the_way():
    image = lazily(sd.SpatialArray(values(), GRID))
    with assert_lazy():
        there, record = sd.conform(image, spacing=1.1, orientation="RAS", intensity="percentile")
        back = sd.restore(there > 0.5, record)
        vectors = sd.restore(np.stack([there] * 3).replace(dims=("c", *there.dims)), record,
                             "vector", components="voxels")  # fmt: skip
        image_back = sd.restore(there, record, "image")
    for result in (back, vectors, image_back):
        assert result.shape[-3:] == GRID.shape
        result.compute(scheduler="synchronous")


# --- kinds of answers ---------------------------------------------------------------------


def test_probabilities_are_linear_and_keep_their_channels():
    image = sd.SpatialArray(values(), GRID)
    _, record = sd.conform(image, spacing=1.0, orientation="RAS")
    # Probabilities that are linear in the world come back as they were, inside.
    points = record.grid.index_to_physical(np.moveaxis(np.indices(record.grid.shape), 0, -1))
    ramp = lambda p: np.stack([p @ [0.01, 0.02, 0.03], 1 - p @ [0.01, 0.02, 0.03]])  # noqa: E731
    back = sd.restore(ramp(points), record, "probability")
    assert back.dims == ("c", "z", "y", "x")
    expected = ramp(GRID.index_to_physical(np.moveaxis(np.indices(GRID.shape), 0, -1)))
    inside = (slice(None), *[slice(2, -2)] * 3)
    np.testing.assert_allclose(back.data[inside], expected[inside], atol=1e-9)
    np.testing.assert_allclose(back.data.sum(axis=0), 1, atol=1e-9)


def test_answers_on_other_grids_are_placed_by_their_geometry():
    image = sd.SpatialArray(values(), GRID)
    there, record = sd.conform(image, multiple_of=8)
    half = sd.pyramid(there, 2, factors=(2, 2, 2))[1]
    back = sd.restore(half, record, "probability")
    np.testing.assert_array_equal(back.data, sd.resample(half, GRID).data)


@pytest.mark.slow
@pytest.mark.parametrize("components", ["world", "axes", "voxels"])
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SRP"])
@pytest.mark.parametrize("axis", [0, 1, 3])
@pytest.mark.parametrize("lazy", [False, True])
def test_vectors_point_to_the_same_place(components, frame, axis, lazy):
    """A field that points from each voxel to one landmark does so after it came back."""
    image = sd.SpatialArray(values(), GRID)
    _, record = sd.conform(image, orientation="RAS", spacing=(1, 2, 3), frame=frame)
    landmark = GRID.index_to_physical((5.2, 9.1, 11.7))
    fields = []
    for grid in (record.grid, GRID):
        target = Geometry((1, 1, 1), origin=landmark, frame="LPS", unit="mm").to_frame(grid.frame)
        points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
        vectors = target.origin - points
        if components != "world":
            steps = grid.direction * (grid.spacing if components == "voxels" else 1)
            vectors = vectors @ np.linalg.inv(steps).T
        dims = list(grid.dims)
        dims.insert(axis, "c")
        geometry = with_plain(grid, {"c": 3}).transpose([dims_index(d, grid) for d in dims])
        fields.append(sd.SpatialArray(np.moveaxis(vectors, -1, axis), geometry))
    field, expected = fields
    back = sd.restore(lazily(field) if lazy else field, record, "vector", components=components)
    assert back.dims[axis] == "c"
    inside = [slice(2, -2)] * 3
    inside.insert(axis, slice(None))
    np.testing.assert_allclose(
        np.asarray(back)[tuple(inside)], expected.data[tuple(inside)], atol=1e-9
    )


def dims_index(name, grid):
    return 0 if name == "c" else 1 + grid.dims.index(name)


def test_intensities_come_back():
    image = sd.SpatialArray(values(), GRID)
    for rule in ("zscore", "minmax", ("percentile", 0, 100), ("ct-window", 0, 5000)):
        there, record = sd.conform(image, intensity=rule, multiple_of=4, dtype="f8")
        back = sd.restore(there, record, "image")
        np.testing.assert_allclose(back.data, image.data, atol=1e-9)


@pytest.mark.parametrize(
    "given, options, message",
    [
        (np.zeros((3, 4, 5)), {}, "last axes have the shape"),
        (np.zeros(3), {}, "last axes have the shape"),
        (np.zeros(GRID.shape), {"kind": "music"}, "kind must be one of"),
        (np.zeros((2, *GRID.shape)), {"kind": "vector"}, "3 components"),
        (np.zeros(GRID.shape), {"kind": "vector"}, "vector_axis must be a plain axis"),
        (np.zeros((3, *GRID.shape)), {"kind": "vector", "components": "x"}, "components must be"),
    ],
)
def test_answers_that_do_not_fit_are_refused(given, options, message):
    _, record = sd.conform(sd.SpatialArray(values(), GRID))
    with pytest.raises(ValueError, match=message):
        sd.restore(given, record, **options)


# --- intensities --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", ">f8"])
@pytest.mark.parametrize("lazy", [False, True])
def test_named_rules(dtype, lazy):
    data = np.random.default_rng(0).uniform(0, 200, (20, 30)).astype(dtype)
    image = sd.SpatialArray(data)
    image = lazily(image, 7) if lazy else image
    data = data.astype("f8")
    low, high = np.percentile(data, (0.5, 99.5))
    expected = {
        "zscore": (data - data.mean()) / data.std(),
        "minmax": (data - data.min()) / (data.max() - data.min()),
        "percentile": ((data - low) / (high - low)).clip(0, 1),
        "ct-window": ((data + 160) / 400).clip(0, 1),
    }
    assert set(expected) == set(RULES)
    for rule, wanted in expected.items():
        found = find_intensity(image, rule).apply(image.astype("f8"))
        np.testing.assert_allclose(np.asarray(found), wanted, atol=1e-6, err_msg=rule)
        there, _ = sd.conform(image, intensity=rule)
        assert there.dtype == "f4"
        np.testing.assert_allclose(np.asarray(there), wanted, atol=1e-5, err_msg=rule)


@pytest.mark.parametrize("rule", RULES)
def test_rules_leave_nan_alone_and_constants_finite(rule):
    data = values((6, 7))
    data[2, 3] = np.nan
    found = find_intensity(sd.SpatialArray(data), rule).apply(data)
    assert np.isnan(found).sum() == 1
    there, _ = sd.conform(sd.SpatialArray(np.full((4, 4), 3)), intensity=rule)
    assert np.isfinite(there.data).all()


def test_what_is_filled_in_does_not_count():
    image = sd.SpatialArray(values() + 1000, GRID)
    there, record = sd.conform(image, shape=64, intensity="zscore", dtype="f8")
    low = (np.array(there.shape) - GRID.shape) // 2
    part = there.data[tuple(slice(a, a + n) for a, n in zip(low, GRID.shape, strict=True))]
    assert part.mean() == pytest.approx(0, abs=1e-9)
    assert part.std() == pytest.approx(1)
    assert isinstance(record.intensity, Intensity)


@pytest.mark.parametrize("rule", [("percentile", 99, 1), ("ct-window", 0, 0), ("percentile", -1)])
def test_rules_with_wrong_numbers(rule):
    with pytest.raises(ValueError, match="intensity: "):
        find_intensity(sd.SpatialArray(np.zeros(3)), rule)


# --- PyTorch ------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs torch")


def test_tensors_share_memory(torch):
    image = sd.SpatialArray(values(dtype="f4"), GRID)
    there, record = sd.conform(image, dtype="f4")
    assert np.shares_memory(there.data, image.data)
    seen = []

    def look(block):
        tensor = torch.from_dlpack(block)
        seen.append(tensor.data_ptr() - image.data.ctypes.data)
        return block

    sd.map_blocks(look, image, blocks={"z": 4})
    assert seen == [0, 4 * 18 * 23 * 4, 8 * 18 * 23 * 4]
    tensor = torch.from_dlpack(there)
    back = sd.restore(tensor, record)
    assert np.shares_memory(back.data, image.data)
    np.testing.assert_array_equal(back.data, image.data)


def _module(torch, channels, classes):
    torch.manual_seed(0)
    return torch.nn.Conv3d(channels, classes, 3, padding=1).eval()


@pytest.mark.parametrize("dims", [("z", "y", "x"), ("c", "z", "y", "x"), ("z", "y", "c", "x")])
@pytest.mark.parametrize("backend", ["numpy", "dask"])
def test_modules_run_in_windows(torch, dims, backend):
    """A convolution with an overlap as wide as it sees equals that of the whole."""
    shape = {"z": 20, "y": 24, "x": 22, "c": 2}
    image = sd.SpatialArray(values(tuple(shape[d] for d in dims), "f4") / 100, dims=dims)
    channels = 2 if "c" in dims else 1
    module = _module(torch, channels, 3)
    whole = np.moveaxis(image.data, dims.index("c"), 0) if "c" in dims else image.data[None]
    with torch.inference_mode():
        expected = module(torch.from_numpy(whole.copy())[None])[0].numpy()
    given = image if backend == "numpy" else lazily(image, 9)
    found = sd.sliding_window(module, given, window=12, overlap=0.5, blend=None, plain={"c": 3})
    assert found.dims == ("c", "z", "y", "x")
    np.testing.assert_allclose(np.asarray(found.compute()), expected, atol=1e-5)


def test_modules_may_keep_the_channels_where_they_are(torch):
    image = sd.SpatialArray(values((9, 9, 2, 9), "f4"), dims=("z", "y", "c", "x"))
    found = sd.sliding_window(_module(torch, 2, 2), image, window=16)
    assert (found.shape, found.dims) == (image.shape, image.dims)
    one = sd.sliding_window(_module(torch, 2, 1), image, window=16, plain={})
    assert (one.shape, one.dims) == ((9, 9, 9), ("z", "y", "x"))
    with pytest.raises(sd.BlockError, match=r"give plain=\{'c': 5\}"):
        sd.sliding_window(_module(torch, 2, 5), image, window=16, plain={})


def test_modules_take_any_memory_layout_and_type(torch):
    data = values((10, 9, 8), ">i2")
    module = _module(torch, 1, 1)
    image = sd.SpatialArray(data)
    plain = sd.sliding_window(module, sd.SpatialArray(data.astype("f4")), window=16)
    for turned in (image, image[::-1].T):
        found = sd.sliding_window(module, turned, window=16)
        assert found.geometry == turned.geometry
        assert found.dtype == "f4"
    np.testing.assert_allclose(sd.sliding_window(module, image, window=16).data, plain.data)
    short = sd.sliding_window(module.bfloat16(), image, window=16)  # NumPy has no such type
    assert short.dtype == "f4"
    np.testing.assert_allclose(short.data, plain.data, rtol=0.02, atol=2)


# --- augmentation -------------------------------------------------------------------------


@given(_spaces().map(_oriented), st.integers(0, 2**32))
@settings(max_examples=examples(30))
def test_random_affines_are_physical_and_repeatable(geometry, seed):
    turn = sd.random_affine(geometry, seed, rotation=40, scale=0, flip=("x",))
    assert turn == sd.random_affine(geometry, seed, rotation=40, scale=0, flip=("x",))
    assert turn != sd.random_affine(geometry, seed + 1, rotation=40, scale=0, flip=("x",))
    matrix = turn.matrix[:-1, :-1]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    center = geometry.center
    np.testing.assert_allclose(turn(center), center, rtol=1e-9, atol=1e-6)


def test_bounds_of_random_affines():
    identity = sd.random_affine(GRID, 3, rotation=0, scale=0)
    np.testing.assert_allclose(identity.matrix, np.eye(4), atol=1e-12)
    rng = np.random.default_rng(0)
    for _ in range(50):
        found = sd.random_affine(GRID, rng, rotation=0, scale=0.5, translation=(0, 3, 0))
        scale = np.diag(found.matrix)[:3]
        assert ((scale >= 1 / 1.5 - 1e-9) & (scale <= 1.5 + 1e-9)).all()
        shift = found(GRID.center) - GRID.center
        assert (np.abs(shift) <= [1e-9, 3, 1e-9]).all()
        angle = sd.random_affine(GRID, rng, rotation=(5, 0, 0), scale=0).matrix[:3, :3]
        assert np.trace(angle) >= 1 + 2 * np.cos(np.deg2rad(5)) - 1e-9
    for options in (
        {"rotation": -1}, {"rotation": "10 mm"}, {"rotation": None}, {"scale": (1, 2)},
        {"scale": "10 mm"}, {"flip": ["t"]}, {"shear": np.nan},
    ):  # fmt: skip
        with pytest.raises(sd.GeometryError, match="got"):
            sd.random_affine(GRID, 0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
def test_images_and_labels_move_together(lazy):
    """The labels are those of the image's values, on another grid, before and after."""
    points = GRID.index_to_physical(np.moveaxis(np.indices(GRID.shape), 0, -1))
    image = sd.SpatialArray((points - GRID.center) @ [1.0, 0.5, -0.7], GRID)
    grid = sd.resample(image, spacing=0.5).geometry
    fine = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
    labels = sd.SpatialArray(((fine - GRID.center) @ [1.0, 0.5, -0.7] > 1).astype("u1"), grid)
    given = (lazily(image), lazily(labels)) if lazy else (image, labels)
    moved, label = sd.augment(*given, seed=7, rotation=30, scale=0.2, fill=np.nan)
    assert (moved.geometry, label.geometry) == (image.geometry, labels.geometry)
    again = sd.sample(moved.compute(), fine[5:-5, 5:-5, 5:-5])
    part = np.asarray(label)[5:-5, 5:-5, 5:-5]
    sure = np.abs(again - 1) > 1.0  # a millimetre or more from the border; not NaN
    assert sure.sum() > 1000
    np.testing.assert_array_equal(part[sure], again[sure] > 1)
    assert {0, 1} == set(part[sure].tolist())


def test_elastic_transforms_are_bounded_smooth_and_repeatable():
    wave = sd.random_elastic(GRID, 3, displacement=(1.0, 0.0, 2.0), control=25)
    points = np.random.default_rng(0).uniform(*GRID.bounds, (500, 3))
    moved = wave(points) - points
    assert (np.abs(moved) <= np.array([1.0, 0.0, 2.0]) + 1e-9).all()
    assert np.abs(moved[:, 0]).max() > 0.1
    np.testing.assert_array_equal(
        moved, sd.random_elastic(GRID, 3, displacement=(1, 0, 2), control=25)(points) - points
    )
    other = sd.random_elastic(GRID, 4, displacement=(1, 0, 2), control=25)(points) - points
    assert (moved[:, 0] != other[:, 0]).any()
    # Nothing folds: points in a row stay in their order, and there is an inverse.
    line = np.linspace(*GRID.bounds, 400)
    assert ((np.diff(wave(line), axis=0) @ (line[-1] - line[0])) > 0).all()
    assert wave.inverse().error < 0.5
    for options, match in (
        ({"displacement": 3, "control": 10}, "fold"),
        ({"displacement": 1, "control": 0}, "control"),
        ({"displacement": -1, "control": 9}, "displacement"),
    ):  # fmt: skip
        with pytest.raises(sd.GeometryError, match=match):
            sd.random_elastic(GRID, 0, **options)


@pytest.mark.slow
@pytest.mark.parametrize("lazy", [False, True])
def test_images_and_labels_move_together_when_bent(lazy):
    points = GRID.index_to_physical(np.moveaxis(np.indices(GRID.shape), 0, -1))
    image = sd.SpatialArray((points - GRID.center) @ [1.0, 0.5, -0.7], GRID)
    label = sd.SpatialArray((image.data > 1).astype("u1"), GRID)
    given = (lazily(image), lazily(label)) if lazy else (image, label)
    elastic = {"displacement": 2, "control": 30}
    moved, cut = sd.augment(*given, seed=7, rotation=5, scale=0.1, fill=np.nan, elastic=elastic)
    plain, _ = sd.augment(*given, seed=7, rotation=5, scale=0.1, fill=np.nan)
    moved, cut = np.asarray(moved.compute()), np.asarray(cut.compute())
    sure = np.abs(moved - 1) > 2.0
    assert sure.sum() > 0.2 * moved.size
    np.testing.assert_array_equal(cut[sure], moved[sure] > 1)
    assert np.nanmax(np.abs(moved - np.asarray(plain.compute()))) > 0.1


def _slices() -> list[sd.SpatialArray]:
    volume = sd.SpatialArray(np.ones((6, 16, 18), "f4"), spacing=(3, 1, 1.0), frame="LPS")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    oblique = volume.replace(direction=turn)
    return [volume[3], volume[:, 8], volume[3, ::-1], oblique[2], oblique[:, :, 7], oblique[2, 5]]


@pytest.mark.slow
@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize("elastic", [None, {"displacement": 0.5, "control": 12}])
def test_a_slice_of_a_volume_is_moved_in_its_own_plane(
    number: int, elastic: dict[str, float] | None
) -> None:
    image = _slices()[number]
    g = image.geometry
    options = {"rotation": 25, "scale": 0.2, "shear": 0.1, "translation": 2.0}
    turn = sd.random_affine(g, 3, **options)
    points = g.index_to_physical(np.random.default_rng(0).uniform(0, 5, (20, image.ndim)))
    moved = turn(points)
    back = g.index_to_physical(g.physical_to_index(moved))
    np.testing.assert_allclose(back, moved, atol=1e-9)
    assert np.abs(moved - points).max() > 0.1
    (result,) = sd.augment(image, seed=3, elastic=elastic, rotation=10, scale=0.05)
    assert result.geometry == g
    assert float(result.data[tuple(n // 2 for n in image.shape)]) > 0.99
