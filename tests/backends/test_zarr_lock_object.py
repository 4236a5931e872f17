"""Writers of parts of chunks on stores that other machines reach take turns, or are refused."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError

zarr = pytest.importorskip("zarr", reason="needs zarr")
memory = pytest.importorskip("fsspec.implementations.memory", reason="needs fsspec")


class Bucket(memory.MemoryFileSystem):
    """A file system in memory that others are taken to reach, as a bucket is."""

    protocol = "bucket"
    store: dict[str, Any] = {}  # noqa: RUF012 (shared, as fsspec has it)
    pseudo_dirs = [""]  # noqa: RUF012
    cachable = False


class NoConditions(Bucket):
    """A file system that makes documents whether there is one or not."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create":
            raise NotImplementedError("exclusive writes")
        super().pipe_file(path, value, **kwargs)


def opened(kind: type, name: str) -> Any:
    from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

    fs = AsyncFileSystemWrapper(kind(), asynchronous=True)
    store = zarr.storage.FsspecStore(fs, path=f"/{name}")
    return zarr.create_array(store, shape=(8, 8), chunks=(8, 8), dtype="u2", overwrite=True)


def test_parts_of_chunks_take_turns() -> None:
    images = [sd.SpatialArray(opened(Bucket, "turns"), spacing=1.0)]
    again = zarr.open_array(images[0].data.array.store_path, mode="r+")
    images.append(sd.SpatialArray(again, spacing=1.0))
    start = threading.Barrier(4)

    def put(n: int) -> None:
        start.wait()
        images[n % 2][2 * n : 2 * n + 2] = n + 1

    threads = [threading.Thread(target=put, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array_equal(np.asarray(images[0])[:, 0], np.repeat([1, 2, 3, 4], 2))
    assert not [key for key in Bucket.store if "lock" in key]


def test_a_writer_that_waits_in_vain_is_told_of_the_lock() -> None:
    image = sd.SpatialArray(opened(Bucket, "held"), spacing=1.0)
    Bucket().pipe_file("/held/spatial_duck-lock", b"process 7 on elsewhere")
    with (
        sd.config(max_wait_seconds=0.01),
        pytest.raises(BlockingIOError, match=r"process 7 on elsewhere, by spatial_duck-lock"),
    ):
        image[0] = 3
    image[...] = 5  # whole chunks do not ask
    assert np.unique(np.asarray(image)).tolist() == [5]


def test_a_store_without_turns_refuses_parts_of_chunks() -> None:
    image = sd.SpatialArray(opened(NoConditions, "none"), spacing=1.0)
    with pytest.raises(FormatError, match="cannot be locked for writing a part of a chunk"):
        image[0] = 3
    image[...] = 5
    assert np.unique(np.asarray(image)).tolist() == [5]
