"""Views of Zarr arrays: what they select, what they read, and what they write."""

from __future__ import annotations

import copy
import pickle
import uuid
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import spatial_duck as sd
from spatial_duck.errors import SpatialDuckError, TooLargeError
from spatial_duck.geometry import Geometry

zarr = pytest.importorskip("zarr", reason="needs zarr")
da = pytest.importorskip("dask.array", reason="needs dask")

from zarr.storage import MemoryStore  # noqa: E402

from spatial_duck.backends.zarr._view import ZarrView  # noqa: E402
from spatial_duck.testing._stores import RecordingStore  # noqa: E402
from tests.effort import examples  # noqa: E402

SHAPE, CHUNKS = (10, 11, 5), (3, 4, 2)
DATA = np.arange(np.prod(SHAPE)).reshape(SHAPE)


def fsspec_store() -> Any:
    pytest.importorskip("fsspec", reason="needs fsspec")
    return zarr.storage.FsspecStore.from_url(f"memory://{uuid.uuid4().hex}")


KINDS: dict[str, dict[str, Any]] = {
    "v2": {"zarr_format": 2},
    "v2 big-endian": {"zarr_format": 2, "dtype": ">i4"},
    "v2 Fortran": {"zarr_format": 2, "order": "F"},
    "v3": {"zarr_format": 3},
    "v3 big-endian": {"zarr_format": 3, "dtype": ">f8"},
    "v3 sharded": {"zarr_format": 3, "shards": (6, 8, 4)},
    "one chunk": {"zarr_format": 3, "chunks": SHAPE},
    "fsspec": {"zarr_format": 3, "store": fsspec_store},
}


def make(kind: str = "v3", data: np.ndarray = DATA, **options: Any) -> Any:
    options = {"dtype": data.dtype, "chunks": CHUNKS[: data.ndim], **KINDS[kind], **options}
    store = options.pop("store", MemoryStore)()
    array = zarr.create_array(store, shape=data.shape, **options)
    if data.size:
        array[...] = data
    return array


@pytest.fixture(params=KINDS)
def array(request: pytest.FixtureRequest) -> Any:
    return make(request.param)


def counted(**options: Any) -> tuple[RecordingStore, ZarrView]:
    store = RecordingStore(MemoryStore())
    array = make(store=lambda: store, **options)
    forget(store)
    return store, ZarrView(array)


def forget(store: RecordingStore) -> None:
    store.chunks_read.clear()
    store.chunks_written.clear()


# --- selection ----------------------------------------------------------------------------

BASIC = [
    np.s_[:],
    np.s_[2:8, ::-1],
    np.s_[::-3, 1, None],
    np.s_[..., -1],
    np.s_[5:2],
    np.s_[9, 10, 4],
    np.s_[1:9:4, 3:4, ::-2],
    np.s_[None, ..., None],
]
ARRAYS = [
    np.s_[[3, 1, 1]],
    np.s_[0, :, [1, 2]],
    np.s_[:, np.arange(11) % 3 == 1],
    np.s_[::-1, [7, 0], ::2],
    np.s_[[1, 2], [3, 4]],
    np.s_[:, [1, 2], [3, 4]],
    np.s_[[1, 2], :, [3, 4]],
    np.ix_([1, 2], [3, 10, 2], [0, -1]),
    DATA % 7 == 0,
    np.s_[:, DATA[0] % 7 == 0],
    np.s_[[[1, 2], [3, 3]]],
]


def read(found: Any) -> np.ndarray:
    return np.asarray(found.compute())


@pytest.mark.slow
@pytest.mark.parametrize("key", BASIC + ARRAYS, ids=lambda k: str(k)[:40])
def test_a_view_selects_what_numpy_selects(array: Any, key: Any) -> None:
    found = ZarrView(array)[key]
    data = read(found)
    np.testing.assert_array_equal(data, DATA[key], strict=False)
    assert found.shape == data.shape == DATA[key].shape
    assert found.dtype == data.dtype == array.dtype


@pytest.mark.slow
@pytest.mark.parametrize("key", BASIC + ARRAYS, ids=lambda k: str(k)[:40])
def test_assignment_writes_what_numpy_writes(array: Any, key: Any) -> None:
    expected = DATA.copy()
    value = -np.arange(DATA[key].size).reshape(DATA[key].shape)
    expected[key] = value
    ZarrView(array)[key] = value
    np.testing.assert_array_equal(array[...], expected)


@pytest.mark.slow
@pytest.mark.parametrize("key", BASIC + ARRAYS, ids=lambda k: str(k)[:40])
def test_assignment_reaches_through_a_turned_view(array: Any, key: Any) -> None:
    expected = DATA.copy()
    ZarrView(array)[::-1].transpose()[::-1].T[key] = -1
    expected[::-1].transpose()[::-1].T[key] = -1
    np.testing.assert_array_equal(array[...], expected)


MOVES = [
    np.transpose,
    lambda a: np.transpose(a, (1, 2, 0)),
    np.flip,
    lambda a: np.flip(a, (0, -1)),
    np.flipud,
    np.fliplr,
    *[lambda a, k=k: np.rot90(a, k, (2, 0)) for k in range(4)],
    lambda a: np.moveaxis(a, 0, -1),
    lambda a: np.moveaxis(a, (0, -1), (1, 0)),
    lambda a: np.rollaxis(a, 2),
    lambda a: np.swapaxes(a, 0, 2),
    lambda a: np.expand_dims(a, (0, -1)),
    lambda a: np.squeeze(a[3:4]),
    lambda a: np.squeeze(np.expand_dims(a, 1), 1),
    lambda a: np.atleast_1d(a[0, 0, 0]),
    lambda a: np.atleast_2d(a[0, 0]),
    lambda a: np.atleast_3d(a[0]),
    lambda a: np.split(a, [2, 5])[1],
    lambda a: np.array_split(a, 3, axis=1)[2],
    lambda a: np.dsplit(a, 5)[4],
    lambda a: a.T,
    lambda a: a.mT,
    lambda a: list(a)[3],
]


@pytest.mark.slow
@pytest.mark.parametrize("move", MOVES)
def test_moves_are_views_and_read_nothing(move: Any) -> None:
    store, view = counted()
    moved = move(view)
    assert isinstance(moved, ZarrView)
    assert moved.shape == move(DATA).shape
    repr(moved), moved.chunks, moved.nbytes, moved.to_dask(), moved + 1, len(moved)
    assert store.chunks_read == []
    np.testing.assert_array_equal(read(moved), move(DATA))


@pytest.mark.slow
@settings(max_examples=examples(60), deadline=None)
@given(data=st.data())
def test_chains_of_moves_agree_with_numpy_and_with_the_geometry(data: st.DataObject) -> None:
    # Where the geometry says that a voxel lies is where its own numbers say that it lay.
    shape = data.draw(npst.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=6))
    numbers = np.arange(np.prod(shape)).reshape(shape)
    chunks = tuple(data.draw(st.integers(1, 7)) for _ in shape)
    view: Any = ZarrView(make(data=numbers, chunks=chunks))
    direction = [[0.8, -0.6, 0.1], [0.6, 0.8, 0.2], [0.0, 0.0, 1.0]]
    direction = np.asarray(direction) / np.linalg.norm(direction, axis=0)
    start = Geometry(shape, (2.0, 0.5, 3.0), (1.0, -7.0, 30.0), direction)
    geometry, expected = start, numbers
    for _ in range(data.draw(st.integers(1, 4))):
        if data.draw(st.booleans()):
            order = data.draw(st.permutations(range(expected.ndim)))
            view, expected = view.transpose(order), expected.transpose(order)
            geometry = geometry.transpose(order)
            continue
        key = data.draw(npst.basic_indices(expected.shape, max_dims=4, allow_newaxis=True))
        view, expected, geometry = view[key], np.asarray(expected[key]), geometry[key]
    found = view.compute()
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(view.to_dask().compute(), expected)
    assert view.shape == geometry.shape
    if found.size:
        here = np.moveaxis(np.indices(found.shape), 0, -1).reshape(found.size, found.ndim)
        there = np.stack(np.unravel_index(found.ravel(), shape), axis=-1)
        np.testing.assert_allclose(
            geometry.index_to_physical(here), start.index_to_physical(there), atol=1e-9
        )


@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (4, 0), ()])
def test_axes_of_length_none_and_one(shape: tuple[int, ...]) -> None:
    data = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    view = ZarrView(make(data=data, chunks=tuple(max(n, 1) for n in shape)))
    for found, expected in [
        (view, data),
        (view.T, data.T),
        (np.flip(view), np.flip(data)),
        (view[None], data[None]),
        (view[..., None][..., 1:], data[..., None][..., 1:]),
    ]:
        np.testing.assert_array_equal(read(found), expected, strict=True)
        np.testing.assert_array_equal(read(found.to_dask()), expected, strict=True)
    view[...] = 7
    assert (view.compute() == 7).all()


# --- what is read -------------------------------------------------------------------------


def chunk_keys(*grids: Any) -> set[str]:
    return {
        "c/" + "/".join(map(str, at)) for at in np.stack(np.meshgrid(*grids), -1).reshape(-1, 3)
    }


READS = [
    (np.s_[0, 0, 0], [[0], [0], [0]]),
    (np.s_[3:6, 4:8, 2:4], [[1], [1], [1]]),
    (np.s_[::-1, 10, ::-1], [[0, 1, 2, 3], [2], [0, 1, 2]]),
    (np.s_[2:4, ::-1, 0], [[0, 1], [0, 1, 2], [0]]),
    (np.s_[::9, ::10, 0], [[0, 3], [0, 2], [0]]),
    (np.s_[[9, 0], 0, 0], [[0, 3], [0], [0]]),
    (np.s_[5:5], [[], [], []]),
]


@pytest.mark.parametrize(
    "how", [np.asarray, lambda v: v.compute(), lambda v: v.to_dask().compute()]
)
@pytest.mark.parametrize("key, grids", READS, ids=str)
def test_a_read_touches_only_the_chunks_that_intersect(key: Any, grids: Any, how: Any) -> None:
    store, view = counted()
    how(view[key])
    assert set(store.chunks_read) == chunk_keys(*grids)
    assert len(store.chunks_read) == len(set(store.chunks_read))


def test_each_block_of_a_dask_array_reads_one_chunk_whatever_the_turn() -> None:
    store, view = counted()
    lazy = view[::-1, 1:, ::2].T.to_dask()
    assert lazy.numblocks == (3, 3, 4)
    for at in np.ndindex(*lazy.numblocks):
        forget(store)
        lazy.blocks[at].compute()
        assert len(store.chunks_read) == 1
    forget(store)
    view[::-1].block(np.s_[0:1, 0:1, 0:1])
    assert store.chunks_read == ["c/3/0/0"]


def test_blocks_of_a_sharded_array_lie_on_its_shards() -> None:
    store, view = counted(kind="v3 sharded")
    assert view.chunks == ((6, 4), (8, 3), (4, 1))
    view.to_dask().blocks[1, 1, 1].compute()
    assert set(store.chunks_read) == {"c/1/1/1"}


def test_slicing_a_dask_array_of_a_view_reads_less() -> None:
    store, view = counted()
    (view + 1)[0, 0, 0].compute()
    assert set(store.chunks_read) == {"c/0/0/0"}


def test_assignment_touches_only_the_chunks_that_intersect() -> None:
    store, view = counted()
    view[::-1][:1, :4, :2] = 5
    assert set(store.chunks_written) == {"c/3/0/0"}


def test_indexing_by_arrays_reads_nothing_before_it_must() -> None:
    store, view = counted()
    for key in ARRAYS:
        view[key], view[::-1][key]
    assert store.chunks_read == []


# --- functions ----------------------------------------------------------------------------

FUNCTIONS = [
    lambda a: a + 1,
    lambda a: 1 - a,
    lambda a: a * np.arange(5),
    lambda a: np.arange(5) * a,
    lambda a: -a,
    lambda a: a > 100,
    lambda a: np.sin(a),
    lambda a: np.sum(a),
    lambda a: np.mean(a, axis=1),
    lambda a: np.max(a, axis=(0, 2), keepdims=True),
    lambda a: np.concatenate([a, a[::-1]], axis=1),
    lambda a: np.stack([a, np.ones(SHAPE)]),
    lambda a: np.where(a > 3, a, 0),
    lambda a: np.add.reduce(a, axis=1),
    lambda a: np.add.accumulate(a),
    lambda a: np.maximum.reduce(a),
    lambda a: np.copy(a),
    lambda a: np.broadcast_to(a, (2, *SHAPE)),
    lambda a: np.tensordot(a, a, axes=([0, 1, 2], [0, 1, 2])),
    lambda a: a.astype("f4"),
    lambda a: a.reshape(-1),
]


@pytest.mark.slow
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions_promote_to_dask_and_read_nothing(function: Any) -> None:
    store, view = counted()
    found = function(view)
    assert isinstance(found, da.Array)
    assert store.chunks_read == []
    np.testing.assert_array_equal(found.compute(), function(DATA), strict=True)


def test_arithmetic_stays_on_the_chunk_grid() -> None:
    view = ZarrView(make())[::-1].T
    assert (view * 2 + 1).chunks == view.chunks
    assert (view.to_dask() + view).chunks == view.chunks


def test_a_function_that_dask_lacks_is_refused_and_never_computed() -> None:
    store, view = counted()
    with pytest.raises(TypeError, match="compute"):
        np.trim_zeros(view)
    with pytest.raises(TypeError, match="compute"):
        np.subtract.reduce(view)
    assert store.chunks_read == []


class Above:
    """A type that stands above arrays, as xarray's do."""

    __array_ufunc__ = None

    def __radd__(self, other: object) -> str:
        return "above"

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> str:
        return "above"


def test_a_type_above_decides() -> None:
    view = ZarrView(make())
    assert view + Above() == "above"
    assert np.concatenate([view, Above()]) == "above"


def test_it_is_not_taken_for_a_dask_collection() -> None:
    import dask

    view = ZarrView(make())
    assert not hasattr(view, "__dask_graph__")
    assert not dask.is_dask_collection(view)
    (same,) = dask.compute(view)
    assert same is view


def test_tokens_follow_place_and_view() -> None:
    from dask.base import tokenize

    array = make("fsspec")
    view = ZarrView(array)
    again = ZarrView(zarr.open_array(array.store, mode="r+"))
    assert tokenize(view[::-1]) == tokenize(again[::-1]) != tokenize(view)
    assert view.to_dask().name == again.to_dask().name != view.T.to_dask().name
    assert tokenize(ZarrView(make())) != tokenize(ZarrView(make()))
    one = make()
    assert tokenize(ZarrView(one)) == tokenize(ZarrView(one))


@pytest.mark.parametrize("chunks", [2, (5, 11, 1), {0: 10}, "auto", -1])
def test_other_chunks_can_be_asked_for(chunks: Any) -> None:
    lazy = ZarrView(make())[::-1].to_dask(chunks)
    np.testing.assert_array_equal(lazy.compute(), DATA[::-1])


# --- in memory ----------------------------------------------------------------------------


def test_asarray_refuses_above_the_limit_and_says_how_to_go_on() -> None:
    store, view = counted()
    with sd.config(max_read_bytes=1000):
        with pytest.raises(TooLargeError, match=r"compute\(\).*max_read_bytes") as caught:
            np.asarray(view)
        assert isinstance(caught.value, SpatialDuckError)
        assert isinstance(caught.value, MemoryError)
        assert store.chunks_read == []
        np.testing.assert_array_equal(np.asarray(view[0]), DATA[0])
        np.testing.assert_array_equal(view.compute(), DATA)


def test_asarray_follows_dtype_and_copy() -> None:
    view = ZarrView(make("v2 big-endian"))
    assert np.asarray(view).dtype == np.dtype(">i4")
    assert np.asarray(view, "f4").dtype == np.float32
    with pytest.raises(ValueError, match="must be read"):
        np.asarray(view, copy=False)


def test_scalars() -> None:
    view = ZarrView(make())
    assert isinstance(view[1, 2, 3], ZarrView)
    assert int(view[1, 2, 3]) == float(view[1, 2, 3]) == DATA[1, 2, 3]
    assert [10][int(view[0, 0, 0])] == 10
    with pytest.raises((ValueError, TypeError)):
        bool(view)
    with pytest.raises(TypeError, match="unsized"):
        len(view[0, 0, 0])


@pytest.mark.parametrize("kind", ["v2", "v3", "v3 sharded"])
def test_pickle_and_copy_keep_the_view(kind: str, tmp_path: Any) -> None:
    array = make(kind, store=lambda: zarr.storage.LocalStore(tmp_path))
    view = ZarrView(array)[::-1, 1, [3, 0]]
    for other in [
        pickle.loads(pickle.dumps(view)),
        pickle.loads(pickle.dumps(view, protocol=5)),
        copy.copy(view),
        copy.deepcopy(view),
    ]:
        assert isinstance(other, ZarrView)
        np.testing.assert_array_equal(other.compute(), DATA[::-1, 1, [3, 0]])


# --- in place -----------------------------------------------------------------------------

REFUSED = [
    (np.s_[:], np.ones((3, 3)), ValueError, "broadcast"),
    (np.s_[0], np.ones((2, 11, 5)), ValueError, "broadcast"),
    (np.s_[:], 2**70, OverflowError, "too large|too big"),
    (np.s_[:], "x", ValueError, "invalid literal"),
    (np.s_[99], 1, IndexError, "out of bounds"),
    (DATA > 3, np.ones(7), ValueError, "broadcast"),
]


@pytest.mark.parametrize("key, value, error, message", REFUSED)
def test_on_error_nothing_is_written(key: Any, value: Any, error: Any, message: str) -> None:
    store, view = counted()
    with pytest.raises(error, match=message):
        view[::-1][key] = value
    assert store.chunks_written == []


def test_read_only_stays_read_only() -> None:
    array = make("fsspec")
    view = ZarrView(zarr.open_array(array.store, mode="r"))
    with pytest.raises(ValueError, match="read-only"):
        view[...] = 1
    with pytest.raises(ValueError, match="read-only"):
        view += 1
    np.testing.assert_array_equal(array[...], DATA)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [None, 100_000, 10])
@pytest.mark.parametrize("turn", [np.s_[:], np.s_[::-1, 1:9, ::2]], ids=str)
def test_values_of_every_kind_are_written(limit: int | None, turn: Any) -> None:
    new = -DATA[turn]
    other = ZarrView(make("v2", data=-DATA))[turn]
    for value in [new, new.tolist(), da.from_array(new, chunks=2), other, new[None]]:
        array = make()
        expected = DATA.copy()
        expected[turn] = new
        with sd.config(max_read_bytes=limit):
            ZarrView(array)[turn] = value
        np.testing.assert_array_equal(array[...], expected)


@pytest.mark.slow
def test_operators_in_place_write_to_the_store() -> None:
    array, expected = make(), DATA.copy()
    view = ZarrView(array)
    same = view[::-1]
    same += 1
    expected += 1
    same *= np.arange(5)
    expected[::-1] *= np.arange(5)
    np.add(view, 3, out=view, where=DATA % 2 == 0)
    np.add(expected, 3, out=expected, where=DATA % 2 == 0)
    view += view[::-1]  # reads what it writes, elsewhere
    expected += expected[::-1]
    view[view > 500] = 0
    expected[expected > 500] = 0
    np.testing.assert_array_equal(array[...], expected)


def test_out_is_checked_before_anything_is_written() -> None:
    store, view = counted()
    with pytest.raises(TypeError, match="Cannot cast"):
        view += 0.5
    with pytest.raises(ValueError, match="broadcast"):
        np.add(view, np.ones((4, *SHAPE), int), out=view)
    with sd.config(max_read_bytes=100), pytest.raises(TooLargeError):
        view += view[::-1]
    assert store.chunks_written == []


def test_values_that_repeat_a_place_leave_the_last() -> None:
    array, expected = make(), DATA.copy()
    index, value = [3, 1, 3, 3, 1], np.arange(5)[:, None, None]
    ZarrView(array)[index] = value
    expected[index] = value
    rows, columns = [2, 2, 5], [1, 1, 7]
    ZarrView(array)[rows, columns] = np.arange(3)[:, None]
    expected[rows, columns] = np.arange(3)[:, None]
    np.testing.assert_array_equal(array[...], expected)


@pytest.mark.slow
@settings(max_examples=examples(40), deadline=None)
@given(data=st.data())
def test_assignment_through_chains_of_views(data: st.DataObject) -> None:
    shape = data.draw(npst.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    numbers = np.arange(np.prod(shape)).reshape(shape)
    array = make(data=numbers, chunks=tuple(data.draw(st.integers(1, 6)) for _ in shape))
    expected = numbers.copy()
    view, target = ZarrView(array), expected
    for _ in range(data.draw(st.integers(0, 2))):
        key = data.draw(npst.basic_indices(target.shape, max_dims=4, allow_newaxis=True))
        if not isinstance(target[key], np.ndarray):
            continue
        view, target = view[key].T, target[key].T
    key = data.draw(npst.basic_indices(target.shape))
    value = data.draw(st.sampled_from([-1, -np.ones(np.shape(target[key]), int)]))
    view[key] = value
    target[key] = value
    np.testing.assert_array_equal(array[...], expected)
