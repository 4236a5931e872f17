"""Patches lie where they say, whatever is asked for, and are the same for everybody who asks."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import GeometryError
from spatial_duck.learning._drawing import _boxes

OBLIQUE = np.linalg.qr(np.array([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]))[0]
SLOPE = np.array([1.0, -2.0, 0.5])


def ramp(shape: Any, **given: Any) -> sd.SpatialArray:
    """Return an image whose values are a linear function of the place in the world, in mm."""
    grid = sd.Geometry(shape, **({"unit": "mm", "frame": "LPS", "direction": OBLIQUE} | given))
    points = grid.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    return sd.SpatialArray(points @ SLOPE, grid)


def expected(part: sd.SpatialArray) -> np.ndarray:
    """Return the values that a patch of a ramp must have, by its own place."""
    grid = part.geometry
    points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
    transform = part.attrs.get("transform")
    return (points if transform is None else transform(points)) @ SLOPE


CASE = (ramp((20, 24, 28), spacing=(2, 1, 1)), ramp((30, 15, 40), spacing=(1.5, 2, 0.7)))


@given(
    size=st.sampled_from([5, (3, 8, 6), {"z": 4, "y": 5, "x": 6}, "6 mm", ("8 mm", 5, "0.5 cm")]),
    spacing=st.sampled_from([None, 1.0, (1.0, 2.0, 0.5)]),
    orientation=st.sampled_from([None, "RAS", "SAL"]),
    augment=st.sampled_from(
        [None, {"rotation": 20, "scale": 0.1},
         {"rotation": 5, "elastic": {"displacement": 0.5, "control": 8}}]
    ),
    seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=25)
def test_values_are_those_of_the_place(
    size: Any, spacing: Any, orientation: Any, augment: Any, seed: int
) -> None:
    if isinstance(size, tuple) and "8 mm" in size:
        size = tuple(f"{s} mm" if isinstance(s, int) else s for s in size)
    cut = sd.patches(
        [CASE], size, spacing=spacing, orientation=orientation, augment=augment, seed=seed,
        labels=(), fill=np.nan,
    )  # fmt: skip
    first, second = cut[0]
    assert first.geometry.isclose(second.geometry)
    if orientation is not None:
        assert first.orientation == orientation
    for part, source in zip((first, second), CASE, strict=True):
        values = np.asarray(part)
        inner = sd.Geometry(
            [n - 1 for n in source.shape], source.spacing, source.index_to_physical([0.5] * 3),
            source.direction, frame="LPS", unit="mm",
        )  # fmt: skip
        grid = part.geometry
        points = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
        transform = part.attrs.get("transform")
        index = inner.physical_to_index(points if transform is None else transform(points))
        inside = ((index >= -0.5) & (index <= np.array(inner.shape) - 0.5)).all(-1)
        np.testing.assert_allclose(values[inside], expected(part)[inside], atol=1e-6)


def test_without_a_change_a_patch_is_a_slice() -> None:
    image = CASE[0]
    for part in sd.patches([image], (4, 5, 6), count=5):
        index = np.rint(image.physical_to_index(part.origin)).astype(int)
        key = tuple(slice(i, i + n) for i, n in zip(index, part.shape, strict=True))
        np.testing.assert_array_equal(part.data, image.data[key])
        assert part.geometry.isclose(image[key].geometry)


@given(st.integers(1, 30), st.integers(1, 12), st.floats(0, 0.9))
def test_a_cover_leaves_nothing_out(n: int, size: int, overlap: float) -> None:
    image = sd.SpatialArray(np.arange(n, dtype=float), spacing=0.5)
    cut = sd.patches([image], size, overlap=overlap, fill=-1)
    seen = np.concatenate([part.data for part in cut])
    assert set(seen.tolist()) - {-1} == set(range(n))
    starts = sorted(float(p.origin[0]) * 2 for p in cut)
    if len(starts) > 1:
        assert max(np.diff(starts)) <= max(size * (1 - overlap), 1) + 1


@pytest.mark.slow
def test_patches_follow_from_the_seed_alone() -> None:
    options: Any = {"count": 6, "seed": 3, "augment": {"rotation": 10}}
    cut = sd.patches([CASE, CASE], 6, **options)
    again = pickle.loads(pickle.dumps(cut))
    for i in (11, 0, 5):  # in any order, in any process
        for one, other in zip(cut[i], again[i], strict=True):
            assert one.geometry == other.geometry
            np.testing.assert_array_equal(one.data, other.data)
    walked = sorted((p[0].attrs["case"], p[0].origin.tolist()) for p in cut)
    assert walked == sorted((p[0].attrs["case"], p[0].origin.tolist()) for p in cut[:])
    other = cut.at_epoch(1)
    assert not other[0][0].geometry.isclose(cut[0][0].geometry)
    assert cut.at_epoch(0)[0][0].geometry == cut[0][0].geometry


def test_neighbours_follow_each_other() -> None:
    image = sd.SpatialArray(np.zeros((64, 64, 64), np.uint8))
    cut = sd.patches([image], 8, count=60)
    walked = np.array([p.origin for p in cut])
    plain = np.array([p.origin for p in cut[:]])
    ways = [np.abs(np.diff(points, axis=0)).sum() for points in (walked, plain)]
    assert ways[0] < 0.6 * ways[1]


@pytest.mark.parametrize("lazy", [False, True])
def test_each_value_is_drawn_as_often(lazy: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr("spatial_duck.learning._drawing._BOX_VOXELS", 700)
    values = np.zeros((20, 24, 28), np.uint8)
    values[2, 3, 4], values[-1, -1, -1] = 3, 9
    labels = CASE[0].replace(data=values)
    if lazy:
        pytest.importorskip("dask", reason="needs dask")
        labels = labels.chunk(7)
    case = {"image": CASE[0], "seg": labels.to_unit("um")}
    cut = sd.patches([case], 3, count=60, balance="seg", labels=["seg"])
    found = [np.asarray(p["seg"]) for p in cut]
    counts = [sum(bool((f == v).any()) for f in found) for v in (3, 9)]
    assert all(10 <= n <= 30 for n in counts)
    assert all(f.shape == (3, 3, 3) and set(np.unique(f)) <= {0, 3, 9} for f in found)


def test_weights_say_where() -> None:
    weight = np.zeros((20, 24, 28), np.float32)
    weight[5, 6, 7], weight[15, 16, 17] = 1, 3
    case = (CASE[0], CASE[0].replace(data=weight))
    cut = sd.patches([case], 3, count=80, weights=1, labels=())
    sums = [float(np.asarray(p[1]).sum()) for p in cut]
    assert set(sums) == {1.0, 3.0}
    assert 45 < sums.count(3.0) < 75


@given(
    start=st.tuples(*[st.integers(-60, 60)] * 3), spacing=st.sampled_from([1.0, (2.0, 1.5, 0.7)]),
    turned=st.booleans(), plane=st.booleans(), which=st.sampled_from(["balance", "weights"]),
    seed=st.integers(0, 9),
)  # fmt: skip
@settings(max_examples=15)
def test_voxels_are_drawn_in_the_first_image_alone(
    start: Any, spacing: Any, turned: bool, plane: bool, which: Any, seed: int
) -> None:
    first = CASE[0][7] if plane else CASE[0]
    values = np.random.default_rng(seed).integers(0, 4, (25, 22, 24))
    direction = {} if turned else {"direction": OBLIQUE}
    origin = first.center + OBLIQUE @ (np.array(start) / 3 + 0.1234)  # no centre on an edge
    grid = sd.Geometry(values.shape, spacing, origin, unit="mm", frame="LPS", **direction)
    labels = sd.SpatialArray(values, grid).to_frame("RAS").to_unit("um")
    centers = grid.index_to_physical(np.moveaxis(np.indices(values.shape), 0, -1))
    index = first.physical_to_index(centers)
    there = ((index > -0.5) & (index < np.array(first.shape) - 0.5)).all(-1)
    if plane:  # which cuts a voxel
        cut_at = grid.physical_to_index(first.index_to_physical(index))
        there &= (abs(cut_at - np.moveaxis(np.indices(values.shape), 0, -1)) < 0.5).all(-1)
    chosen = {v for v in np.unique(values[there]).tolist() if v or which == "balance"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spatial_duck.learning._drawing._BOX_VOXELS", 2000)
        if not chosen:
            with pytest.raises((GeometryError, ValueError), match=r"shares no|within the first"):
                sd.patches([(first, labels)], 1, **{which: 1})[0]
            return
        cut = [p[0] for p in sd.patches([(first, labels)], 1, count=20, **{which: 1})]
    for part in cut:
        # A patch of one voxel is the one in which the centre of a drawn voxel lies.
        at = part.physical_to_index(centers[there & (values > 0 if which == "weights" else True)])
        assert (abs(at) < 0.5 + 1e-6).all(-1).any()


@pytest.mark.parametrize("move", [{"origin": (500, 0, 0)}, {"shape": (0, 5, 5)}])
def test_images_of_a_case_that_lie_apart_are_refused(move: Any) -> None:
    shape = move.pop("shape", (9, 9, 9))
    labels = sd.SpatialArray(np.ones(shape, bool), **{"unit": "mm", "frame": "LPS", **move})
    image = ramp((20, 24, 28), origin=(2, 2, 2), direction=np.eye(3), spacing=0.5)
    for case in ((image, labels), (labels, image), {"image": image, "seg": labels}):
        with pytest.raises(GeometryError, match=r"shares no place .* right|with voxels, and got"):
            sd.patches([case], 4)[0]


@given(
    shape=st.lists(st.integers(0, 20), min_size=1, max_size=3), size=st.integers(1, 7),
    most=st.sampled_from([1, 30, 200, 1 << 22]), chunked=st.booleans(),
)  # fmt: skip
def test_boxes_are_whole_chunks_and_make_the_array(
    shape: list[int], size: int, most: int, chunked: bool
) -> None:
    chunks = tuple([(size,) * (n // size) + ((n % size,) if n % size else ()) for n in shape])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spatial_duck.learning._drawing._BOX_VOXELS", most)
        boxes = _boxes(shape, chunks if chunked else None)
    seen = np.zeros(shape, int)
    for box in boxes:
        seen[box] += 1
        whole = size ** len(shape) if chunked else 1
        assert seen[box].size <= max(most, whole)
        for part, n in zip(box, shape, strict=True):
            assert not chunked or part.start % size == 0
            assert not chunked or part.stop % size == 0 or part.stop == n
    assert (seen == 1).all()


@pytest.mark.parametrize("which", ["balance", "weights"])
def test_chunks_are_read_once_to_count_and_once_to_draw(which: str, monkeypatch: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("dask", reason="needs dask")
    from spatial_duck.testing._stores import RecordingStore

    monkeypatch.setattr("spatial_duck.learning._drawing._BOX_VOXELS", 4096)
    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(64, 40, 48), chunks=(16, 16, 16), dtype="u1")
    array[...] = 1
    array[40:, :10, :9] = 2
    store.chunks_read.clear()
    cut: Any = sd.patches([sd.SpatialArray(array)], 8, count=3, **{which: 0})
    cut._start(0, 0)
    assert 36 < len(store.chunks_read) <= 36 + 3


def test_values_that_are_not_numbers_are_drawn_by_nobody() -> None:
    values = np.full((20, 24, 28), np.nan, np.float32)
    values[3, 4, 5], values[10, 11, 12] = 1, 2
    labels = CASE[0].replace(data=values)
    cut = sd.patches([(CASE[0], labels)], 3, count=20, balance=1)
    assert all(np.isfinite(p[1].data).any() for p in cut)
    for bad in (np.nan, np.inf, -1):
        wrong = labels.replace(data=np.where(values == 1, bad, 1))
        with pytest.raises(ValueError, match=f"finite numbers of 0 or more, got {bad}"):
            sd.patches([(CASE[0], wrong)], 3, weights=1)[0]
    for kind in ("f2", "u1", ">f4", "?"):  # the sum of which does not fit in them
        many = CASE[0].replace(data=np.ones(CASE[0].shape, kind))
        cut = sd.patches([(CASE[0], many)], 1, count=30, weights=1, labels=())
        assert len({tuple(p[0].origin.tolist()) for p in cut}) > 25


def test_labels_are_named_as_a_whole() -> None:
    labels = CASE[1].replace(data=np.random.default_rng(0).choice([0, 2, 7], CASE[1].shape))
    case = {"label": CASE[1], "labels": labels}  # the one is a part of the other
    for given_ in ("labels", ["labels"]):
        (part,) = sd.patches([case], 6, labels=given_, augment={"rotation": 45})
        assert set(np.unique(part["labels"].data)) <= {0, 2, 7}
        (plain,) = sd.patches([case], 6, labels=(), augment={"rotation": 45})
        np.testing.assert_array_equal(part["label"].data, plain["label"].data)


@pytest.mark.parametrize("kind", ["u1", "i2", ">i4", "?", "f4"])
def test_integers_in_a_mapping_are_said_to_be_labels_or_not(kind: str) -> None:
    values = np.random.default_rng(0).choice([0, 40], CASE[1].shape)
    case = {"image": CASE[0], "seg": CASE[1].replace(data=values.astype(kind))}

    def found(**given: Any) -> set[Any]:
        return set(np.unique(sd.patches([case], 9, spacing=0.9, **given)[0]["seg"].data).tolist())

    ends = {0, 1} if kind == "?" else {0, 40}
    if kind in "?f4":
        assert (found() <= ends) == (kind == "?")
    else:
        with pytest.raises(ValueError, match=r"labels=\['seg'\], or labels=\[\] where none are"):
            found()
    assert (found(labels=[]) <= ends) == (kind == "?")
    assert found(labels=["seg"]) <= ends
    assert found(balance="seg") <= ends
    tuples = sd.patches([tuple(case.values())], 9, spacing=0.9)[0][1]
    assert set(np.unique(tuples.data).tolist()) <= ends


def test_labels_are_never_mixed() -> None:
    labels = CASE[1].replace(data=np.random.default_rng(0).choice([0, 2, 7], CASE[1].shape))
    cut = sd.patches([(CASE[0], labels)], 6, count=4, augment={"rotation": 45})
    assert all(set(np.unique(p[1].data)) <= {0, 2, 7} for p in cut)


def test_stores_are_read_around_a_patch_alone() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    pytest.importorskip("dask", reason="needs dask")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(64, 64, 64), chunks=(8, 8, 8), dtype="u1")
    array[...] = 1
    image = sd.SpatialArray(array, spacing=(2, 1, 1), direction=OBLIQUE)
    cut = sd.patches([image], (4, 8, 8), count=3, augment={"rotation": 10, "scale": 0})
    for i in range(3):
        store.chunks_read.clear()
        part = cut[i]
        index = image.physical_to_index(
            part.attrs["transform"](part.index_to_physical(np.argwhere(np.ones(part.shape))))
        )
        needed = {tuple(row) for row in (np.floor(index).astype(int) // 8).tolist()}
        assert 0 < len(store.chunks_read) <= 3 * len(needed)  # of 512


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_chunks_of_dask_are_made_once_for_the_patches_of_a_case(interpolation: str) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    made: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        made.append(block_info[None]["chunk-location"])
        return values[tuple(slice(*ends) for ends in block_info[None]["array-location"])]

    values = CASE[0].data.astype("f4")
    lazy = da.map_blocks(block, chunks=((10, 10), (24,), (13, 15)), dtype="f4", meta=values[:0])
    options: Any = {"spacing": 1.0, "augment": {"rotation": 9}, "count": 12}
    options["interpolation"] = interpolation
    found = list(sd.patches([CASE[0].replace(data=lazy)], 5, **options))
    assert len(made) <= 4
    expected = sd.patches([CASE[0].replace(data=values)], 5, **options)
    places = {tuple(p.origin.tolist()): p for p in expected}
    for part in found:
        other = places[tuple(part.origin.tolist())]
        np.testing.assert_allclose(part.data, other.data, rtol=0, atol=1e-4)


def test_files_are_opened_by_each_process(tmp_path: Any) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "case.ome.zarr"
    sd.write(path, CASE[0], version="0.6")
    cut = sd.patches([path], "8 mm", spacing=1.0, count=2)
    assert b"case.ome.zarr" in pickle.dumps(cut)
    for part in cut:
        assert isinstance(part.data, np.ndarray)
        assert part.shape == (8, 8, 8)


def test_slices_time_and_channels() -> None:
    movie = sd.SpatialArray(np.zeros((3, 2, 10, 12)), dims=("t", "c", "y", "x"), spacing=(5, 1, 1))
    assert [p.shape for p in sd.patches([movie], 4, count=2)] == [(3, 2, 4, 4)] * 2
    plane = CASE[0][:, 3]
    (part,) = sd.patches([plane], 5)
    np.testing.assert_allclose(part.data, expected(part), atol=1e-9)
    (large,) = sd.patches([plane], 40, fill=-1)
    assert large.shape == (40, 40)
    assert (np.asarray(large) != -1).sum() == plane.size


def test_flips_may_come_from_an_iterator() -> None:
    flips = [
        [part[0].data for part in sd.patches([CASE], 6, count=8, augment={"flip": flip})]
        for flip in (["x", "z"], iter(["x", "z"]), "xz")
    ]
    assert not np.array_equal(flips[0], [p[0].data for p in sd.patches([CASE], 6, count=8)])
    np.testing.assert_array_equal(flips[1], flips[0])
    np.testing.assert_array_equal(flips[2], flips[0])


def test_an_epoch_is_asked_for_and_never_set() -> None:
    cut = sd.patches([CASE], 4, count=3)
    first = cut[0]
    with pytest.raises(AttributeError):
        cut.epoch = 1  # type: ignore[misc]
    later = cut.at_epoch(np.int64(1))
    assert (cut.epoch, later.epoch) == (0, 1)
    assert first[0].geometry != later[0][0].geometry
    with pytest.raises(TypeError):
        cut[1.5]
    assert cut[np.int64(1)][0].geometry == cut[1][0].geometry


#: Sizes that are no number of voxels, and counts that are no whole numbers.
NO_SIZES = (0, -1, 2.5, np.nan, np.inf, True)
NO_COUNTS = (2.5, np.nan, np.inf, "two", "2", None, [1])


@pytest.mark.parametrize(
    "error, wrong",
    [
        (TypeError, lambda: sd.patches(CASE[0], 4)),
        (ValueError, lambda: sd.patches([CASE], 4, count=0)),
        (ValueError, lambda: sd.patches([CASE], 4, overlap=1)),
        (ValueError, lambda: sd.patches([CASE], 4, overlap=0, balance=1)),
        (ValueError, lambda: sd.patches([CASE], 4, overlap=(0.5, 0.5, 0.5))),
        (ValueError, lambda: sd.patches([CASE, ()], 4)),
        (ValueError, lambda: sd.patches([CASE], 4, seed=-1)),
        (ValueError, lambda: sd.patches([CASE], 4, seed=None)),
        (ValueError, lambda: sd.patches([{"image": CASE[0]}], 4, labels=["lable"])),
        (ValueError, lambda: sd.patches([CASE], 4, labels=[0, 2])),
        (ValueError, lambda: sd.patches([CASE], 4, augment={"rotate": 5})),
        (ValueError, lambda: sd.patches([CASE], 4, augment={"elastic": {"size": 5}})),
        (TypeError, lambda: sd.patches([CASE], 4, augment="rotation")),
        (ValueError, lambda: sd.patches([CASE], 4, balance="seg")[0]),
        (ValueError, lambda: sd.patches([CASE], 4, weights=1)[0]),
        (GeometryError, lambda: sd.patches([CASE], "0.1 mm")[0]),
        (GeometryError, lambda: sd.patches([CASE], 2.5)[0]),
        (IndexError, lambda: sd.patches([CASE], 4)[1]),
        *[(ValueError, lambda n=n: sd.patches([CASE], 4, count=n)) for n in NO_COUNTS],
        *[(ValueError, lambda n=n: sd.patches([CASE], 4).at_epoch(n)) for n in (-1, *NO_COUNTS)],
        *[(GeometryError, lambda n=n: sd.patches([CASE], (4, 4, n))[0]) for n in NO_SIZES],
        *[(ValueError, lambda o=o: sd.patches([CASE], 4, overlap=o)) for o in (np.nan, "50%")],
        *[
            (TypeError, lambda e=e: sd.patches([CASE], 4, augment={"elastic": e}))
            for e in (True, ["displacement"], {"displacement": 1})
        ],
    ],
)
def test_what_cannot_be_is_refused(error: type[Exception], wrong: Any) -> None:
    with pytest.raises(error, match=r"got|has no image|no case has|must not|contradict|there are"):
        wrong()


@pytest.mark.library
@pytest.mark.filterwarnings("ignore:os.fork")  # JAX's, if another test has imported it
def test_workers_of_torch_share_the_patches() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")

    class Stream(torch.utils.data.IterableDataset):  # type: ignore[misc]
        def __init__(self, cut: Any) -> None:
            self.cut = cut

        def __iter__(self) -> Any:
            return iter(self.cut)

    cut = sd.patches([CASE[0], CASE[0]], 4, count=5)
    expected_places = sorted(p.origin.tolist() for p in cut)
    for workers in (0, 1, 2):
        loader = torch.utils.data.DataLoader(
            Stream(cut), batch_size=None, num_workers=workers, multiprocessing_context=
            "fork" if workers else None,
        )  # fmt: skip
        assert sorted(p.origin.tolist() for p in loader) == expected_places
    whole = torch.utils.data.DataLoader(cut, batch_size=None, num_workers=2)
    assert [p.origin.tolist() for p in whole] == [p.origin.tolist() for p in cut[:]]


@pytest.mark.library
def test_tensors_are_cut_and_moved_as_arrays_are() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    image, mask = CASE[0].astype("f4"), CASE[0] > 3
    tensors = [x.replace(data=torch.from_numpy(x.data)) for x in (image, mask)]
    options: Any = {"spacing": 1.0, "augment": {"rotation": 9}, "count": 2}
    for found, expected in zip(
        sd.patches([tuple(tensors)], 5, balance=1, **options),
        sd.patches([(image, mask)], 5, balance=1, **options), strict=True,
    ):  # fmt: skip
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(np.asarray(one), np.asarray(other), atol=1e-5)
    moved, labels = sd.augment(*tensors, seed=1)
    wanted, marks = sd.augment(image, mask, seed=1)
    np.testing.assert_allclose(np.asarray(moved), wanted.data, atol=1e-4)
    np.testing.assert_array_equal(np.asarray(labels), marks.data)
    for rule in ("zscore", "minmax", ("ct-window", 0, 10)):
        there, record = sd.conform(tensors[0], spacing=1.5, intensity=rule)
        same, _ = sd.conform(image, spacing=1.5, intensity=rule)
        assert isinstance(there.data, torch.Tensor)
        np.testing.assert_allclose(np.asarray(there), same.data, atol=1e-4)
        assert isinstance(sd.restore(there > 0, record).data, torch.Tensor)
