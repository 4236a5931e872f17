"""Readers of Zarr chunks in one run: this package's, zarr's pipelines, zarrs and TensorStore.

``python -m benchmarks.chunk_readers`` prints three tables. Two have the milliseconds of a read, and
those of processor time in brackets, which depend less on other work, for whole volumes, slices and
resampling, in shards or not, from a local folder and over HTTP (a server on loopback). The third
has the result of reading a chunk of 256 KiB that decodes to 256 MiB. Chunks have 32 × 64 × 64
voxels of 2 bytes; the volume is 128 × 256 × 256. Readers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import functools
import gzip
import http.server
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from benchmarks._memory import peak
from benchmarks._table import environment
from spatial_duck.backends import adopt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTS: dict[str, Any] = {
    "whole": np.s_[:, :, :],
    "one plane across chunks": np.s_[:, :, 100:101],
    "one plane": np.s_[40:41],
    "a box of 60³": np.s_[30:90, 50:110, 70:130],
}
CHUNKS = (32, 64, 64)
REPEATS = 3
#: Decoded bytes of a chunk that exceeds its declared size.
BOMB = 1 << 28


def volume() -> Any:
    """Return a smooth volume with noise, as scanners give."""
    ramps = [np.arange(n) * s for n, s in ((128, 3.0), (256, 0.5), (256, 0.25))]
    smooth = np.add.outer(np.add.outer(ramps[0], ramps[1]), ramps[2])
    return (smooth + np.random.default_rng(0).normal(0, 3, smooth.shape)).astype("i2")


def written(folder: Path, data: Any) -> dict[str, Path]:
    """Write the volume with each codec, and once in shards."""
    import zarr
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    kinds: dict[str, tuple[Any, Any]] = {
        "zstd": (ZstdCodec(level=3), None),
        "blosc lz4": (BloscCodec(cname="lz4"), None),
        "gzip": (GzipCodec(level=1), None),
        "zstd in shards": (ZstdCodec(level=3), (128, 128, 128)),
    }
    for name, (codec, shards) in kinds.items():
        made = zarr.create_array(
            folder / name, shape=data.shape, chunks=CHUNKS, shards=shards, dtype=data.dtype,
            compressors=[codec],
        )  # fmt: skip
        made[...] = data
    return {name: folder / name for name in kinds}


class Array:
    """What a reader opens: a function of a key, with the shape and type that Dask asks for."""

    def __init__(self, read: Callable[[Any], Any], like: Any) -> None:
        self.read, self.shape, self.dtype, self.ndim = read, like.shape, like.dtype, len(like.shape)

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self.read(key))

    def image(self) -> sd.SpatialArray:
        """Return the array as the data of an image, lazily."""
        import dask.array as da

        return sd.SpatialArray(da.from_array(self, chunks=CHUNKS), spacing=(2, 1, 1))


class Own(Array):
    """By this package."""

    def image(self) -> sd.SpatialArray:
        return sd.SpatialArray(self.view, spacing=(2, 1, 1))


def _own(place: str) -> Array:
    import zarr

    array = zarr.open_array(place, mode="r")
    view = adopt(array)
    made = Own(lambda key: view[key].compute(), array)
    made.view = array
    return made


def _by_pipeline(path: str, place: str) -> Array:
    import zarr

    with zarr.config.set({"codec_pipeline.path": path}):
        array = zarr.open_array(place, mode="r")
        array[:1, :1, :1]  # some pipelines are made by the first read
    return Array(lambda key: array[key], array)


def _tensorstore(place: str) -> Array:
    import tensorstore as ts

    kvstore = (
        {"driver": "http", "base_url": place + "/"} if "://" in place
        else {"driver": "file", "path": place}
    )  # fmt: skip
    # Not from its own cache, nor from what it knows of a server's files.
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    store = ts.open({"driver": "zarr3", "kvstore": kvstore}, context=context).result()
    like = np.broadcast_to(np.zeros((), store.dtype.numpy_dtype), store.shape)
    return Array(lambda key: store[key].read().result(), like)


def readers() -> dict[str, Callable[[str], Array]]:
    """Return how each reader opens a folder or URL, of those that are installed."""
    from zarr.core import codec_pipeline

    out: dict[str, Callable[[str], Array]] = {"this package": _own}
    base = "zarr.core.codec_pipeline."
    out["zarr"] = functools.partial(_by_pipeline, base + "BatchedCodecPipeline")
    if hasattr(codec_pipeline, "FusedCodecPipeline"):
        out["zarr, fused"] = functools.partial(_by_pipeline, base + "FusedCodecPipeline")
    if find_spec("zarrs"):
        out["zarrs"] = functools.partial(_by_pipeline, "zarrs.ZarrsCodecPipeline")
    if find_spec("tensorstore"):
        out["TensorStore"] = _tensorstore
    return out


# --- over HTTP ------------------------------------------------------------------------------


class _Handler(http.server.SimpleHTTPRequestHandler):
    """Serves files, and parts of them."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, status = path.read_bytes(), 200
        size = len(data)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if asked is not None:
            first, last = asked.groups()
            start = int(first) if first else size - int(last)
            end = min(int(last) + 1, size) if first and last else size
            data, status = data[start:end], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
        self.end_headers()
        self.wfile.write(data)


def _serve(folder: str) -> None:
    """Serve a folder on loopback, and print the port."""
    handler = functools.partial(_Handler, directory=folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    print(server.server_port, flush=True)
    server.serve_forever()


@contextmanager
def _served(folder: Path) -> Iterator[str]:
    """Serve a folder by another process: a reader may hold the interpreter while it waits."""
    command = [sys.executable, "-m", "benchmarks.chunk_readers", "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.terminate()


# --- what is measured -------------------------------------------------------------------------


def _measured(work: Callable[[], Any], wanted: Any) -> str:
    """Return the least milliseconds of some rounds, by the clock and of the processor."""
    np.testing.assert_allclose(work(), wanted, atol=1e-3)
    walls, works = [], []
    for _ in range(REPEATS):
        wall, spent = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        works.append(time.process_time() - spent)
    return f"{1e3 * min(walls):.1f} ({1e3 * min(works):.1f})"


def _rows(
    places: dict[str, str], data: Any, parts: dict[str, Any], resampled: bool
) -> Iterator[list[str]]:
    wanted = sd.SpatialArray(data, spacing=(2, 1, 1))
    coarse = np.asarray(sd.resample(wanted, spacing=1.5))

    for codec, place in places.items():
        opened: dict[str, Any] = {}
        for name, open_ in readers().items():
            try:
                opened[name] = open_(place)
            except Exception as error:  # a reader that cannot is shown so
                print(f"{name}: {error}", file=sys.stderr)
                opened[name] = None

        def cells(work: Callable[[Array], Any], right: Any, opened: Any = opened) -> list[str]:
            return ["–" if a is None else _measured(lambda a=a: work(a), right)
                    for a in opened.values()]  # fmt: skip

        for part, key in parts.items():
            yield [f"{codec}, {part}", *cells(lambda a, key=key: a[key], data[key])]
        if resampled:
            work = lambda a: np.asarray(sd.resample(a.image(), spacing=1.5))  # noqa: E731
            yield [f"{codec}, resampled", *cells(work, coarse)]


def _bomb(folder: Path) -> dict[str, Path]:
    """Write arrays of one chunk whose file decodes to far more than its declared size."""
    import numcodecs
    import zarr

    made = {}
    zeros = bytes(BOMB)
    codecs: dict[str, tuple[Any, bytes]] = {
        "zstd": (zarr.codecs.ZstdCodec(), bytes(numcodecs.Zstd().encode(zeros))),
        "blosc": (zarr.codecs.BloscCodec(cname="lz4"), bytes(numcodecs.Blosc("lz4").encode(zeros))),
        "gzip": (zarr.codecs.GzipCodec(), gzip.compress(zeros, 1)),
    }
    for name, (codec, data) in codecs.items():
        place = folder / f"bomb {name}"
        array = zarr.create_array(
            place, shape=CHUNKS, chunks=CHUNKS, dtype="i2", compressors=[codec]
        )
        array[...] = 1
        (place / "c/0/0/0").write_bytes(data)
        made[name] = place
    return made


def _swallow(reader: str, place: str) -> str:
    """Read such a chunk, and return the result and the memory used, as text."""
    with tempfile.TemporaryDirectory() as folder:  # what a first read needs anyway is not counted
        import zarr

        small = zarr.create_array(
            folder, shape=CHUNKS, chunks=CHUNKS, dtype="i2",
            compressors=list(zarr.open_array(place, mode="r").compressors), overwrite=True,
        )  # fmt: skip
        small[...] = 1
        readers()[reader](folder)[:, :, :]
    before = peak()
    try:
        found = readers()[reader](place)[:, :, :]
        said = "read as zeros" if not found.any() else "read"
    except Exception:
        said = "refused"
    return f"{said}, {(peak() - before) / (1 << 20):.0f} MB"


def _printed(rows: Iterator[list[str]], title: str) -> None:
    print(f"\n| {title} | " + " | ".join(readers()) + " |")
    print("| --- |" + " --- |" * len(readers()))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def main() -> None:
    """Print the tables."""
    data = volume()
    print(environment(["zarr", "numcodecs", "zarrs", "tensorstore"]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        places = {codec: str(path) for codec, path in written(folder, data).items()}
        _printed(_rows(places, data, PARTS, True), "a local folder")
        with _served(folder) as url:
            remote = {codec: f"{url}/{Path(places[codec]).name.replace(' ', '%20')}"
                      for codec in ("zstd", "zstd in shards")}  # fmt: skip
            some = {part: PARTS[part] for part in ("whole", "one plane")}
            _printed(_rows(remote, data, some, True), "over HTTP")
        _printed(_swallowed(_bomb(folder)), "a chunk larger than declared")


def _swallowed(bombs: dict[str, Path]) -> Iterator[list[str]]:
    for codec, place in bombs.items():
        row = [codec]
        for reader in readers():
            command = [sys.executable, "-m", "benchmarks.chunk_readers", "--swallow", reader, place]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            row.append(done.stdout.strip() or f"ends the process ({done.returncode})")
        yield row


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--swallow", nargs=2)
    parser.add_argument("--serve")
    given = parser.parse_args()
    if given.serve:
        _serve(given.serve)
    elif given.swallow:
        print(_swallow(*given.swallow))
    else:
        main()
