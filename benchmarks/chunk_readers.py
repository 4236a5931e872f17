"""The chunk reader of this package beside zarr's pipeline, zarrs and TensorStore, in one run.

``python -m benchmarks.chunk_readers`` prints for each codec and part of a volume how many
milliseconds a read takes, and of the processor's in brackets, which other work does not change.
Chunks of 32 × 64 × 64 voxels of 2 bytes; the volume is 128 × 256 × 256, in a local folder.
"""

from __future__ import annotations

import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.backends import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: dict[str, Any] = {
    "whole": np.s_[:, :, :],
    "one plane across chunks": np.s_[:, :, 100:101],
    "one plane": np.s_[40:41],
    "a box of 60³": np.s_[30:90, 50:110, 70:130],
}
REPEATS = 5


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
            folder / name, shape=data.shape, chunks=(32, 64, 64), shards=shards, dtype=data.dtype,
            compressors=[codec],
        )  # fmt: skip
        made[...] = data
    return {name: folder / name for name in kinds}


def _own(path: Path) -> Callable[[Any], Any]:
    import zarr

    view = adopt(zarr.open_array(path, mode="r"))
    return lambda key: view[key].compute()


def _zarr(path: Path) -> Callable[[Any], Any]:
    import zarr

    array = zarr.open_array(path, mode="r")
    return lambda key: array[key]


def _zarrs(path: Path) -> Callable[[Any], Any]:
    import zarr

    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        array = zarr.open_array(path, mode="r")
    return lambda key: array[key]


def _tensorstore(path: Path) -> Callable[[Any], Any]:
    import tensorstore as ts

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    store = ts.open(spec).result()
    return lambda key: store[key].read().result()


def _measured(read: Callable[[Any], Any], key: Any, wanted: Any) -> str:
    assert np.array_equal(read(key), wanted)
    walls, works = [], []
    for _ in range(REPEATS):
        wall, work = time.perf_counter(), time.process_time()
        read(key)
        walls.append(time.perf_counter() - wall)
        works.append(time.process_time() - work)
    return f"{1e3 * min(walls):.1f} ({1e3 * min(works):.1f})"


def table() -> str:
    """Return the table in Markdown."""
    readers = {"this package": _own, "zarr": _zarr}
    if find_spec("zarrs"):
        readers["zarrs"] = _zarrs
    if find_spec("tensorstore"):
        readers["TensorStore"] = _tensorstore
    data = volume()
    lines = ["| | " + " | ".join(readers) + " |", "| --- |" + " --- |" * len(readers)]
    with tempfile.TemporaryDirectory() as folder:
        for codec, path in written(Path(folder), data).items():
            opened = {name: open_(path) for name, open_ in readers.items()}
            for part, key in PARTS.items():
                cells = [_measured(read, key, data[key]) for read in opened.values()]
                lines.append(f"| {codec}, {part} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
