"""One pass over the image for all levels: what is computed, what is held, what is written."""

from __future__ import annotations

import threading
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.io.ngff import _block_plan as blockplan
from spatial_duck.io.ngff import _streaming as streaming
from spatial_duck.pyramids import pyramid
from spatial_duck.pyramids._binning import METHODS

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")
da = pytest.importorskip("dask.array", reason="needs dask")


class Counting:
    """An array that counts which of its voxels are read, and by how many threads at once."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.reads = values, np.zeros(values.shape, int)
        self.shape, self.dtype, self.ndim = values.shape, values.dtype, values.ndim
        self._lock = threading.Lock()

    def __getitem__(self, key: Any) -> np.ndarray:
        with self._lock:
            self.reads[key] += 1
        return self.values[key].copy()


def counted(shape: tuple[int, ...], chunks: Any) -> tuple[Counting, sd.SpatialArray]:
    values = np.random.default_rng(0).integers(0, 60_000, shape).astype("u2")
    source = Counting(values)
    data = da.from_array(source, chunks=chunks, asarray=False, fancy=False)
    return source, sd.SpatialArray(data, spacing=(1.5, 1, 1), origin=(3, 4, 5), unit="mm")


def check_levels(path: Path, image: sd.SpatialArray, **options: Any) -> None:
    """Compare what is in a store with the pyramid made in memory."""
    expected = pyramid(image.replace(data=np.asarray(image)), **options)
    assert io.info(path).levels == len(expected)
    for n, level in enumerate(expected):
        found = io.read(path, level=n)
        assert found.geometry.isclose(level.geometry, tolerance=1e-9)
        assert np.array_equal(np.asarray(found), np.asarray(level), equal_nan=True)


#: Source chunks against chunks of 16: the same, multiples, parts, and out of step.
CHUNKS = {"same": 16, "larger": 32, "smaller": 8, "planes": (1, 45, 40), "odd": (13, 17, 29)}


@pytest.mark.slow
@pytest.mark.parametrize("batch", [streaming._BLOCKS_PER_GRAPH, 10], ids=["one batch", "batches"])
@pytest.mark.parametrize("name", list(CHUNKS))
@pytest.mark.parametrize("method", ["mean", "gaussian", "nearest", "mode"])
def test_each_voxel_is_computed_once(
    method: str, name: str, batch: int, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(streaming, "_BLOCKS_PER_GRAPH", batch)
    monkeypatch.setattr(blockplan, "_BLOCK_BYTES", 1)  # blocks as small as they can be
    source, image = counted((33, 45, 40), CHUNKS[name])
    options = {"levels": 4, "factors": 2, "method": method}
    io.write(tmp_path / "a.ome.zarr", image, chunks=16, shards=False, **options)
    counts = np.unique(source.reads)
    if batch == 10 and name not in ("same", "smaller"):
        # Chunks that lie across the border of two batches are computed for each of them.
        assert 1 <= counts.min() <= counts.max() <= 8
    else:
        assert counts.tolist() == [1]
    check_levels(tmp_path / "a.ome.zarr", image, **options)


def test_each_chunk_of_a_store_is_read_once(tmp_path: Path) -> None:
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=(40, 64, 50), chunks=(8, 24, 16), dtype="i4")
    array[...] = np.random.default_rng(0).integers(-9, 9, array.shape)
    image = sd.SpatialArray(array)[:, ::-1]
    store.chunks_read.clear()
    options = {"levels": 3, "oblique": "keep"}
    io.write(tmp_path / "a.ome.zarr", image, chunks=32, **options)
    assert set(Counter(store.chunks_read).values()) == {1}
    assert len(store.chunks_read) == 5 * 3 * 4
    check_levels(tmp_path / "a.ome.zarr", image, levels=3)


@pytest.mark.slow
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_blocks_put_levels_together_as_in_memory(
    data: st.DataObject, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        streaming, "_BLOCKS_PER_GRAPH", data.draw(st.sampled_from([3, 4096]), "batch")
    )
    monkeypatch.setattr(
        blockplan, "_BLOCK_BYTES", data.draw(st.sampled_from([1, 1 << 9, 1 << 23]), "block")
    )
    ndim = data.draw(st.integers(2, 4))
    sides = st.integers(1, {2: 23, 3: 15, 4: 7}[ndim])
    shape = tuple(data.draw(st.lists(sides, min_size=ndim, max_size=ndim), "shape"))
    chunks = tuple(data.draw(st.lists(st.integers(2, 9), min_size=ndim, max_size=ndim), "chunks"))
    factors = tuple(data.draw(st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim), "factors"))
    method = data.draw(st.sampled_from(list(METHODS)), "method")
    version = data.draw(st.sampled_from(["0.4", "0.5"]), "version")
    shards = data.draw(st.sampled_from([False, (10,) * ndim]) if version == "0.5" else st.none())
    dtype = data.draw(st.sampled_from(["u1", "i2", ">f4", "?", "c8"]), "dtype")
    values = np.random.default_rng(1).integers(0, 2 if dtype == "?" else 90, shape).astype(dtype)
    dims = ("t", "z", "y", "x")[-ndim:]
    lazy = data.draw(st.booleans(), "lazy")
    array = da.from_array(values, chunks=tuple(n // 2 + 1 for n in shape)) if lazy else values
    image = sd.SpatialArray(array, dims=dims)
    steps = dict(zip(dims, factors, strict=True))
    io.write(
        tmp_path / "a.ome.zarr", image, chunks=chunks, shards=shards, factors=steps, levels=4,
        method=method, version=version, overwrite=True, threads=2,
    )  # fmt: skip
    check_levels(tmp_path / "a.ome.zarr", image, levels=4, factors=steps, method=method)


# --- memory -------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_memory_follows_the_budget_and_not_the_volume(method: str, tmp_path: Path) -> None:
    def block(block_info: Any = None) -> np.ndarray:
        at = block_info[None]["chunk-location"]
        return np.random.default_rng(at).integers(0, 99, (32,) * 3).astype("u2")

    budget = 8 << 20
    peaks = []
    for n in (4, 12):
        data = da.map_blocks(block, chunks=((32,) * n, (32,) * 4, (32,) * 4), dtype="u2")
        image = sd.SpatialArray(data)
        tracemalloc.start()
        try:
            io.write(tmp_path / f"{n}.ome.zarr", image, chunks=32, memory=budget, method=method)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    # The tasks themselves take some kB for each block.
    assert max(peaks) < budget
    assert budget < 3 * 2 * 128 * 128 * 32 * 4  # which is less than the volume
    assert peaks[1] < peaks[0] + (2 << 20)


def test_blocks_at_once_are_as_many_as_fit(tmp_path: Path) -> None:
    running, most, lock = [0], [0], threading.Lock()

    def block(values: np.ndarray) -> np.ndarray:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.002)
        with lock:
            running[0] -= 1
        return values

    data = da.zeros((64, 64, 64), chunks=16, dtype="u2").map_blocks(block)
    size = 2 * 16**3
    for budget, threads, wanted in ((6 * size, 4, 1), (14 * size, 4, 3), (1 << 30, 4, 4)):
        most[0] = 0
        io.write(
            tmp_path / "a.ome.zarr", sd.SpatialArray(data), chunks=16, memory=budget,
            threads=threads, overwrite=True, levels=2,
        )  # fmt: skip
        assert most[0] <= wanted
    with pytest.raises(ValueError, match="memory must be at least 49,152 bytes"):
        io.write(tmp_path / "b.ome.zarr", sd.SpatialArray(data), chunks=16, memory=5 * size)
    assert not (tmp_path / "b.ome.zarr").exists()


def test_progress_counts_every_byte_once(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    main = threading.current_thread()

    def progress(done: int, total: int) -> None:
        assert threading.current_thread() is main
        calls.append((done, total))

    for method in ("mean", "gaussian"):
        calls.clear()
        image = sd.SpatialArray(np.zeros((40, 40), "u2"))
        io.write(tmp_path / f"{method}.zarr", image, chunks=16, levels=3, method=method,
                 progress=progress)  # fmt: skip
        total = 2 * (40 * 40 + 20 * 20 + 10 * 10)
        assert calls[-1] == (total, total)
        assert [c[0] for c in calls] == sorted({c[0] for c in calls})


# --- layout -------------------------------------------------------------------------------


@pytest.mark.slow
def test_small_chunks_go_into_shards(tmp_path: Path) -> None:
    image = sd.SpatialArray(np.random.default_rng(0).integers(0, 9, (96, 96, 96)).astype("u1"))
    io.write(tmp_path / "a.zarr", image, chunks=8)
    array = zarr.open_group(tmp_path / "a.zarr", mode="r")["0"]
    assert array.chunks == (8, 8, 8)
    assert all(s % 8 == 0 and s >= 96 for s in array.shards)
    files = [p for p in (tmp_path / "a.zarr" / "0").rglob("*") if p.is_file()]
    assert len(files) == 2
    check_levels(tmp_path / "a.zarr", image)
    io.write(tmp_path / "b.zarr", image, chunks=16, shards={"z": 32, "y": 40})
    array = zarr.open_group(tmp_path / "b.zarr", mode="r")["0"]
    assert (array.chunks, array.shards) == ((16, 16, 16), (32, 48, 16))
    check_levels(tmp_path / "b.zarr", image)
    with pytest.raises(ValueError, match=r"0\.4 has no shards"):
        io.write(tmp_path / "c.zarr", image, version="0.4", shards=32)


@pytest.mark.parametrize("chunks, wanted", [(64, 128), (128, 128), (512, 128), (97, 97)])
def test_default_chunks_are_in_step_with_the_source(
    chunks: int, wanted: int, tmp_path: Path
) -> None:
    data = da.zeros((4, 600, 600), chunks=(1, chunks, chunks), dtype="u1")
    io.write(tmp_path / "a.zarr", sd.SpatialArray(data), levels=1)
    assert zarr.open_group(tmp_path / "a.zarr", mode="r")["0"].chunks == (4, wanted, wanted)


# --- other schedulers ---------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # of distributed's own
@pytest.mark.parametrize("method", ["mean", "gaussian"])
def test_workers_of_distributed_write_the_same_bytes(method: str, tmp_path: Path) -> None:
    from benchmarks.faults import trees_differ

    distributed = pytest.importorskip("distributed", reason="needs distributed")
    _, image = counted((40, 50, 60), 16)
    options = {"chunks": 16, "levels": 3, "method": method}
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    io.write(tmp_path / "a" / "x.zarr", image, **options)
    values = np.asarray(image)
    lazy = image.replace(data=da.from_array(values, chunks=16))
    calls: list[tuple[int, int]] = []
    with distributed.Client(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ):
        io.write(tmp_path / "b" / "x.zarr", lazy, progress=lambda *c: calls.append(c), **options)
    assert trees_differ(tmp_path / "a" / "x.zarr", tmp_path / "b" / "x.zarr") is None
    assert calls[-1][0] == calls[-1][1]


@pytest.mark.parametrize("again", [True, False])
def test_tasks_of_a_write_that_was_given_up_write_nothing(
    tmp_path: Path, monkeypatch: Any, again: bool
) -> None:
    distributed = pytest.importorskip("distributed", reason="needs distributed")
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    write = streaming.write

    def late(array: Any, box: Any, block: Any) -> None:
        is_late = block.flat[0] == 1 and all(s.start for s in box)
        if is_late:
            begun.set()
            assert go_on.wait(60)
        write(array, box, block)
        if is_late:
            ended.set()

    def stop(done: int, total: int) -> None:
        if done < total and begun.wait(60):
            raise KeyboardInterrupt

    def release(done: int = 1, total: int = 1) -> None:
        if done == total:  # all is written, and not published yet
            go_on.set()
            ended.wait(5)

    monkeypatch.setattr(streaming, "write", late)
    monkeypatch.setattr(blockplan, "_BLOCK_BYTES", 1)
    first, second = np.ones((32, 32, 32), "u1"), np.full((32, 32, 32), 2, "u1")
    lazy = sd.SpatialArray(da.from_array(first, chunks=16))
    path, options = tmp_path / "x.zarr", {"chunks": 16, "levels": 1}
    with distributed.Client(
        n_workers=1,
        threads_per_worker=2,
        processes=False,
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ):
        with pytest.raises(KeyboardInterrupt):
            io.write(path, lazy, progress=stop, **options)
        if again:
            io.write(path, sd.SpatialArray(second), progress=release, **options)
            np.testing.assert_array_equal(io.read(path), second)
            assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]
        else:
            release()
            assert not path.exists()
            io.write(path, sd.SpatialArray(second), **options)
            assert [p.name for p in tmp_path.iterdir()] == ["x.zarr"]


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_client_without_workers_is_told_and_the_write_resumed(tmp_path: Path) -> None:
    from benchmarks.faults import trees_differ

    distributed = pytest.importorskip("distributed", reason="needs distributed")
    _, image = counted((20, 30, 40), 16)
    lazy = image.replace(data=da.from_array(np.asarray(image), chunks=16))
    options: dict[str, Any] = {"chunks": 16, "levels": 2}
    for folder in "ab":
        (tmp_path / folder).mkdir()
    there, path = tmp_path / "a" / "x.zarr", tmp_path / "b" / "x.zarr"
    io.write(there, image, **options)
    with (
        distributed.LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=False,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        distributed.Client(cluster),
    ):
        with (
            sd.config(max_idle_seconds=0.2),
            pytest.raises(TimeoutError, match=r"no workers for 0.2 s.*resume=True"),
        ):
            io.write(path, lazy, **options)
        assert not (path / "zarr.json").exists(), "nothing is there that could be taken for it"
        cluster.scale(1)  # a worker that comes in time is waited for
        io.write(path, lazy, resume=True, **options)
    assert trees_differ(there, path) is None
