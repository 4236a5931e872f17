"""Writes into stores are whole or not there, are continued, and replace an image in one step."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

zarr = pytest.importorskip("zarr", reason="needs zarr")
da = pytest.importorskip("dask.array", reason="needs dask")
fsspec = pytest.importorskip("fsspec", reason="needs fsspec")

OPTIONS: dict[str, Any] = {"chunks": 4, "shards": False, "levels": 2, "memory": 3000}
SHAPE = (8, 12, 12)


def image(value: int = 0, dtype: str = "u2") -> sd.SpatialArray:
    data = np.random.default_rng(value).integers(1, 200, SHAPE).astype(dtype)
    return sd.SpatialArray(data, spacing=(3, 2, 1), origin=(1, 2, 3), unit="um")


def _memory_url() -> Any:
    return "memory://stores/a.ome.zarr"


def _store() -> Any:
    return zarr.storage.MemoryStore()


def _obstore() -> Any:
    return pytest.importorskip("obstore.store", reason="needs obstore").MemoryStore()


def _icechunk() -> Any:
    icechunk = pytest.importorskip("icechunk", reason="needs icechunk")
    repository = icechunk.Repository.create(icechunk.in_memory_storage())
    return repository.writable_session("main").store


def _universal() -> Any:
    upath = pytest.importorskip("upath", reason="needs universal_pathlib")
    return upath.UPath("memory://stores/universal.ome.zarr")


PLACES = [
    _memory_url,
    _store,
    *[pytest.param(make, marks=pytest.mark.library) for make in (_obstore, _icechunk, _universal)],
]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__.strip("_"))
def place(request: pytest.FixtureRequest) -> Iterator[Any]:
    yield request.param()
    memory = fsspec.filesystem("memory")
    if memory.exists("/stores"):
        memory.rm("/stores", recursive=True)


class Stop(Exception):
    pass


def stopped(value: int, after: int) -> sd.SpatialArray:
    """Make a lazy image whose blocks can be computed so many times."""
    left = [after]
    guard = threading.Lock()

    def block(values: Any) -> Any:
        with guard:
            left[0] -= 1
            if left[0] < 0:
                raise Stop
        return values

    lazy = da.from_array(np.asarray(image(value)), chunks=4)
    return image().replace(lazy.map_blocks(block, dtype="u2", meta=np.empty((0,) * 3, "u2")))


def lazy(value: int) -> sd.SpatialArray:
    return stopped(value, 10**6)


def content(place: Any) -> dict[str, bytes]:
    """Return every document of a group, whatever its levels are called."""
    from zarr.buffer import default_buffer_prototype

    from spatial_duck.backends.zarr._private import run as sync
    from spatial_duck.io.ngff import _store as stores

    path = stores.store_path(place)

    async def read() -> dict[str, bytes]:
        keys = [key async for key in path.store.list_prefix(f"{path.path}/" if path.path else "")]
        return {k: (await path.store.get(k, default_buffer_prototype())).to_bytes() for k in keys}

    return sync(read())


def skip_formats_unknown_to(place: Any, *versions: str) -> None:
    if "icechunk" in type(place).__module__ and "0.4" in versions:
        pytest.skip("icechunk holds Zarr of format 3 alone")


def check(place: Any, value: int) -> None:
    back = io.read(place)
    assert np.array_equal(np.asarray(back), np.asarray(image(value)))
    assert_geometry_equal(back, image())
    assert np.array_equal(
        np.asarray(io.read(place, level=1)), np.asarray(sd.pyramid(image(value), 2)[1])
    )
    assert not [key for key in content(place) if "unfinished" in key]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_interrupted_write_is_continued(place: Any, version: str) -> None:
    skip_formats_unknown_to(place, version)
    options = {**OPTIONS, "version": version}
    with pytest.raises(Stop):
        io.write(place, stopped(1, 9), **options)
    with pytest.raises(FormatError, match="resume=True"):
        io.read(place)
    with pytest.raises(FormatError, match=r"other options.*chunks"):
        io.write(place, lazy(1), **{**options, "chunks": 6}, resume=True)
    with pytest.raises(FormatError, match="other voxels"):
        io.write(place, lazy(2), **options, resume=True)
    computed: list[int] = []
    io.write(place, lazy(1), **options, resume=True, progress=lambda done, _: computed.append(done))
    assert computed[0] > 0
    check(place, 1)
    quiet = zarr.storage.MemoryStore()
    io.write(quiet, lazy(1), **options)
    found = sorted(v for k, v in content(place).items() if "/c/" in k)
    assert found == sorted(v for k, v in content(quiet).items() if "/c/" in k)


@pytest.mark.slow
@pytest.mark.parametrize("versions", [("0.5", "0.5"), ("0.4", "0.5"), ("0.5", "0.4")])
def test_an_image_is_replaced_in_one_step(place: Any, versions: tuple[str, str]) -> None:
    skip_formats_unknown_to(place, *versions)
    old, new = ({**OPTIONS, "version": version} for version in versions)
    io.write(place, image(1), **old)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        io.write(place, image(2), **new)
    with pytest.raises(Stop):
        io.write(place, stopped(2, 9), **new, overwrite=True)
    assert np.array_equal(np.asarray(io.read(place)), np.asarray(image(1)))
    opened = io.read(place)
    io.write(place, lazy(2), **new, overwrite=True, resume=True)
    check(place, 2)
    with pytest.raises(FormatError, match="replaced or changed"):
        np.asarray(opened)
    # Nothing of the old one, nor of what was interrupted, is left.
    quiet = zarr.storage.MemoryStore()
    io.write(quiet, lazy(2), **new)
    assert len(content(place)) == len(content(quiet))
    io.write(place, image(3), **new, overwrite=True)
    check(place, 3)


def test_a_write_that_did_not_begin_leaves_nothing(place: Any) -> None:
    empty = content(place)
    with pytest.raises(Stop):
        io.write(place, stopped(1, 0), **OPTIONS)
    left = content(place)
    assert not [key for key in set(left) - set(empty) if "icechunk" not in type(place).__module__]
    io.write(place, image(1), **OPTIONS)
    check(place, 1)


def test_labels_lie_beside_an_image(place: Any) -> None:
    io.write(place, image(1), **OPTIONS)
    io.write(place, image(4), **OPTIONS, label="cells")
    io.write(place, image(5), **OPTIONS, label="nuclei")
    assert np.array_equal(np.asarray(io.read(place, image="labels/cells")), np.asarray(image(4)))
    io.write(place, image(2), **OPTIONS, overwrite=True)
    check(place, 2)
    found = io.read(place, image="labels/nuclei")
    assert np.array_equal(np.asarray(found), np.asarray(image(5)))
    with pytest.raises(FormatError, match=r"labels.*beside its image, in Zarr format 3"):
        io.write(place, image(3), **OPTIONS, version="0.4", overwrite=True)


def test_of_two_writers_one_is_refused() -> None:
    place = zarr.storage.MemoryStore()

    def other(done: int, of: int) -> None:
        if not began:
            began.append(1)
            io.write(place, lazy(2), **OPTIONS)

    began: list[int] = []
    with pytest.raises(FormatError, match="another writer"):
        io.write(place, lazy(1), **OPTIONS, progress=other)
    check(place, 2)


def test_a_store_that_others_replaced_is_told(place: Any) -> None:
    io.write(place, image(1), **OPTIONS)
    opened = io.read(place)
    name = opened.data.__dask_tokenize__()
    assert np.array_equal(np.asarray(opened[0]), np.asarray(image(1)[0]))
    array = opened.data.array
    values = np.asarray(image(6))
    attributes = dict(array.attrs)
    new = zarr.create_array(
        _root(place), name=array.store_path.path, shape=SHAPE, chunks=(4, 4, 4), dtype="u2",
        overwrite=True, attributes=attributes,
    )  # fmt: skip
    new[...] = values
    opened.data.array.store_path.store.identity._next_check = 0.0
    for part in (opened, opened[0], opened[[0, 3]], opened + 1):
        opened.data.array.store_path.store.identity._next_check = 0.0
        with pytest.raises(FormatError, match="replaced or changed"):
            np.asarray(part)
    # What is opened now is another image to Dask, which keeps what it computed.
    assert io.read(place).data.__dask_tokenize__() != name


def _root(place: Any) -> Any:
    from spatial_duck.io.ngff import _store as stores

    return stores.store_path(place).store


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_connections_of_its_own() -> None:
    from spatial_duck.backends.zarr import _fork

    io.write("memory://stores/a.ome.zarr", image(1), **OPTIONS)
    array = io.read("memory://stores/a.ome.zarr").data.array
    assert _fork.reopen_after_fork(array) is array
    found: list[Any] = []

    def elsewhere(monkey: pytest.MonkeyPatch) -> None:
        monkey.setattr(_fork, "_first_pid", -1)
        again = _fork.reopen_after_fork(array)
        found.append(again is not array and _fork.reopen_after_fork(array) is again)
        found.append(np.array_equal(again[...], np.asarray(image(1))))

    with pytest.MonkeyPatch.context() as monkey:
        elsewhere(monkey)
    assert found == [True, True]
    fsspec.filesystem("memory").rm("/stores", recursive=True)


def test_a_zip_store_is_filled_once(tmp_path: Any) -> None:
    store = zarr.storage.ZipStore(tmp_path / "a.zip", mode="w")
    with pytest.raises(FormatError, match="resume="):
        io.write(store, image(1), **OPTIONS, resume=True)
    io.write(store, image(1), **OPTIONS)
    store.close()
    back = io.read(zarr.storage.ZipStore(tmp_path / "a.zip", mode="r"))
    assert np.array_equal(np.asarray(back), np.asarray(image(1)))


def test_a_store_opened_for_reading_is_not_written_to() -> None:
    store = zarr.storage.MemoryStore(read_only=True)
    with pytest.raises(FormatError, match="open for reading only"):
        io.write(store, image(1))
