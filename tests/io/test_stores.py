"""Stores of all kinds are written, read and checked as folders are."""

from __future__ import annotations

import asyncio
import functools
import http.server
import threading
import zipfile
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")
pytest.importorskip("dask", reason="needs dask")
fsspec = pytest.importorskip("fsspec", reason="needs fsspec")


def image(value: int = 0) -> sd.SpatialArray:
    data = (np.arange(7 * 9 * 11).reshape(7, 9, 11) + value).astype("u2")
    return sd.SpatialArray(data, spacing=(3, 2, 1), origin=(1, 2, 3), unit="um")


def _memory_url(_: Path) -> Any:
    return "memory://bucket/a.ome.zarr"


def _store(_: Path) -> Any:
    return zarr.storage.MemoryStore()


def _group(_: Path) -> Any:
    return zarr.open_group(zarr.storage.MemoryStore(), mode="w").create_group("inside")


def _map(_: Path) -> Any:
    return fsspec.get_mapper("memory://bucket/map.ome.zarr")


def _file_system(folder: Path) -> Any:
    return zarr.storage.FsspecStore.from_url(
        f"local://{folder}/b.ome.zarr", storage_options={"auto_mkdir": True}
    )


def _obstore(_: Path) -> Any:
    return pytest.importorskip("obstore.store", reason="needs obstore").MemoryStore()


def _icechunk(_: Path) -> Any:
    icechunk = pytest.importorskip("icechunk", reason="needs icechunk")
    repository = icechunk.Repository.create(icechunk.in_memory_storage())
    return repository.writable_session("main").store


def _universal(_: Path) -> Any:
    upath = pytest.importorskip("upath", reason="needs universal_pathlib")
    return upath.UPath("memory://bucket/universal.ome.zarr")


PLACES = [_memory_url, _store, _group, _map, _file_system, _obstore, _icechunk, _universal]


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__.strip("_"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    yield request.param(tmp_path)
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_any_store_is_written_and_read(place: Any, version: str) -> None:
    io.write(place, image(), version=version, levels=2)
    back = io.read(place)
    assert np.array_equal(np.asarray(back), np.asarray(image()))
    assert_geometry_equal(back, image())
    assert io.info(place).levels == 2
    assert io.read(place, level=1).shape == (4, 5, 6) or io.read(place, level=1).ndim == 3
    with pytest.raises(FileExistsError, match="overwrite=True"):
        io.write(place, image(1))
    io.write(place, image(1), overwrite=True, levels=1)
    back = io.read(place)
    assert np.array_equal(np.asarray(back), np.asarray(image(1)))
    assert io.info(place).levels == 1
    # Of the lazy view, too, and in another thread with an event loop of its own.
    part = asyncio.run(_in_a_loop(lambda: np.asarray(back[2:4, ::-1])))
    assert np.array_equal(part, np.asarray(image(1))[2:4, ::-1])


async def _in_a_loop(call: Callable[[], Any]) -> Any:
    return call()


def test_a_chunk_that_is_missing_is_told() -> None:
    store = zarr.storage.MemoryStore()
    io.write(store, image(), chunks=4, levels=1)
    keys = [key for key in store._store_dict if "/c/" in key]
    del store._store_dict[keys[3]]
    with pytest.raises(FormatError, match="is missing"):
        np.asarray(io.read(store))
    assert np.asarray(io.read(store, missing="fill")).shape == (7, 9, 11)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="needs aiohttp")
    handler = functools.partial(_Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of aiohttp's sessions, which fsspec keeps
def test_over_http_only_what_is_asked_for_is_read(served: str, tmp_path: Path) -> None:
    io.write(tmp_path / "a.ome.zarr", image(), chunks=4, levels=1)
    _Quiet.asked.clear()
    back = io.read(f"{served}/a.ome.zarr")
    assert not [path for path in _Quiet.asked if "/c/" in path]
    assert np.array_equal(np.asarray(back[0, :4, :4]), np.asarray(image())[0, :4, :4])
    assert len([path for path in _Quiet.asked if "/c/" in path]) == 1
    assert np.array_equal(np.asarray(back), np.asarray(image()))
    (tmp_path / "a.ome.zarr/0/c/1/1/1").unlink()
    with pytest.raises(FormatError, match="is missing"):
        np.asarray(io.read(f"{served}/a.ome.zarr"))
    with pytest.raises((FormatError, FileNotFoundError)):
        io.read(f"{served}/nothing.ome.zarr")


def test_files_are_not_written_to_stores() -> None:
    for url in ("memory://bucket/a.nii", "memory://bucket/a.tif"):
        with pytest.raises(FormatError, match="written to paths"):
            io.write(url, image().astype("u1"))
    with pytest.raises(FormatError, match="suffix"):
        io.write("memory://bucket/a", image())


@pytest.mark.parametrize(
    "target", [BytesIO(), StringIO(), memoryview(b"abc"), bytearray(3), b"abc"], ids=type
)
def test_nothing_is_written_to_open_files_and_bytes(target: Any) -> None:
    with pytest.raises(TypeError, match=r"a path, a URL or a Zarr store was expected, got \w+;"):
        io.write(target, image())


def test_an_array_is_no_image(tmp_path: Path) -> None:
    io.write(tmp_path / "a.ome.zarr", image())
    for what in (tmp_path / "a.ome.zarr/0", zarr.open_array(tmp_path / "a.ome.zarr/0")):
        with pytest.raises(FormatError, match=r"array, and an image is the group"):
            io.read(what)


def _write_own(path: Path, value: int) -> None:
    io.write(path, image(value), chunks=4, overwrite=True)


def _write_by_zarr(path: Path, value: int) -> None:
    """Write an image as other software does, in the place of what is there."""
    group = zarr.open_group(path, mode="w")
    array = group.create_array("0", shape=(7, 9, 11), chunks=(4, 4, 4), dtype="u2")
    array[...] = np.asarray(image(value))
    axes = [{"name": n, "type": "space"} for n in "zyx"]
    scale = {"type": "scale", "scale": [3.0, 2.0, 1.0]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    group.attrs["ome"] = {
        "version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}],
    }  # fmt: skip


@pytest.mark.parametrize("write", [_write_own, _write_by_zarr])
def test_a_store_that_was_replaced_is_told(
    write: Callable[[Path, int], None], tmp_path: Path
) -> None:
    path = tmp_path / "a.ome.zarr"
    write(path, 0)
    opened = io.read(path)
    assert np.array_equal(np.asarray(opened[0]), np.asarray(image()[0]))
    write(path, 5)
    for part in (opened, opened[0], opened[::2], opened[[0, 3]], opened + 1):
        with pytest.raises(FormatError, match="replaced or changed"):
            np.asarray(part)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(image(5)))


def test_a_packed_store_is_read_by_url(tmp_path: Path) -> None:
    io.write(tmp_path / "a.ozx", image())
    with zipfile.ZipFile(tmp_path / "a.ozx") as packed:
        assert packed.testzip() is None
    back = io.read(f"zip://::{tmp_path}/a.ozx")
    assert np.array_equal(np.asarray(back), np.asarray(image()))
