"""What it costs to plan on a Zarr array, from a megabyte to a petabyte, and to read its chunks.

The arrays that are planned on are virtual: metadata alone, no chunk is ever stored. Dask and NumPy,
where such an array can be had at all, are timed beside. Chunks lie in a local folder; zarr itself
is timed beside.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from benchmarks._table import Timing, environment, measure, render
from spatial_duck.backends import adopt

if TYPE_CHECKING:
    from collections.abc import Callable

#: Length of the sides of a cube of bytes, by its size.
SIDES = {"1e6 B": 100, "1e9 B": 1_000, "1e12 B": 10_000, "1e15 B": 100_000}
CHUNK = 128
#: Composition of two views, in seconds.
LIMIT = 5e-6
#: Dask makes a task for each chunk at once: beyond this many there is nothing to time.
MOST_TASKS = 10_000

BLOCK = np.s_[32:96, 32:96, 32:96]

MOVES: dict[str, Callable[[Any], Any]] = {
    "a[10:-10]": lambda a: a[10:-10],
    "a[..., ::-2]": lambda a: a[..., ::-2],
    "a[5, None, ::-1]": lambda a: a[5, None, ::-1],
    "np.flip(a)": np.flip,
    "a.transpose(2, 0, 1)": lambda a: a.transpose(2, 0, 1),
    "np.moveaxis(a, 0, -1)": lambda a: np.moveaxis(a, 0, -1),
    "a[block]": lambda a: a[BLOCK],
}
PLANS: dict[str, Callable[[Any], Any]] = {
    "image[block]": lambda image: image[BLOCK],
    "image[::-1].T[block]": lambda image: image[::-1].T[BLOCK],
    "image[block].chunk()": lambda image: image[BLOCK].chunk(),
}


def virtual(side: int) -> Any:
    """Make a cube of `side` bytes a side, without any data."""
    import zarr

    store = zarr.storage.MemoryStore()
    return zarr.create_array(store, shape=(side,) * 3, chunks=(CHUNK,) * 3, dtype="u1")


def subjects(side: int) -> dict[str, Any]:
    """Return what is timed: the view, and its peers as far as they can be made."""
    import dask.array as da

    array = virtual(side)
    made: dict[str, Any] = {"view": adopt(array)}
    if (side / CHUNK) ** 3 < MOST_TASKS:
        made["Dask"] = da.from_zarr(array)
        made["NumPy"] = np.broadcast_to(np.zeros((), "u1"), array.shape)
    return made


class ZarrSuite:
    params = (list(SIDES), list(MOVES))
    param_names = ("size", "move")

    def setup(self, size: str, move: str) -> None:
        self.view = adopt(virtual(SIDES[size]))
        self.move = MOVES[move]

    def time_move(self, size: str, move: str) -> None:
        self.move(self.view)


class PlanSuite:
    params = (list(SIDES), list(PLANS))
    param_names = ("size", "plan")

    def setup(self, size: str, plan: str) -> None:
        self.image = sd.SpatialArray(virtual(SIDES[size]), spacing=(2.0, 0.5, 0.5))
        self.plan = PLANS[plan]

    def time_plan(self, size: str, plan: str) -> None:
        self.plan(self.image)


def chained(view: Any, length: int = 1_000) -> Any:
    """Compose many slices."""
    for _ in range(length):
        view = view[1:, ::-1]
    return view


def moves() -> dict[str, dict[str, Timing]]:
    """Time each move on views of all sizes, and on Dask and NumPy arrays of 1e9 bytes."""
    views = {size: subjects(side)["view"] for size, side in SIDES.items()}
    peers = {k: v for k, v in subjects(SIDES["1e9 B"]).items() if k != "view"}
    return {
        name: measure({k: lambda f=move, a=a: f(a) for k, a in (views | peers).items()})
        for name, move in MOVES.items()
    }


def plans() -> dict[str, dict[str, Timing]]:
    """Time each plan on images of all sizes."""
    images = {
        size: sd.SpatialArray(virtual(side), spacing=(2.0, 0.5, 0.5))
        for size, side in SIDES.items()
    }
    return {
        name: measure({k: lambda f=plan, a=a: f(a) for k, a in images.items()})
        for name, plan in PLANS.items()
    }


def stored(folder: Path, layout: str) -> Any:
    """Make an array of 2 x 2 x 2 chunks, or shards of 8 smaller ones, of 1.8 MB each on disk."""
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    edge, codec, sharded = 96, layout.split(",")[0], "shards" in layout
    ours = (BloscCodec(cname="lz4", shuffle="bitshuffle"), Crc32cCodec())
    array = zarr.create_array(
        folder / layout, shape=(2 * edge,) * 3, dtype="u2",
        chunks=(edge // (1 + sharded),) * 3, shards=(edge,) * 3 if sharded else None,
        compressors="auto" if codec == "zstd" else ours,
    )  # fmt: skip
    z, y, x = np.ogrid[:edge, :edge, :edge]
    noise = np.random.default_rng(0).integers(0, 64, (edge,) * 3)
    block = 2000 + 900 * np.sin(z / 40) * np.cos(y / 60) * np.sin(x / 50) + noise
    array[...] = np.tile(block.astype("u2"), (2, 2, 2))
    return array


LAYOUTS = ("zstd", "Blosc LZ4", "Blosc LZ4, shards")


def chunks() -> dict[str, dict[str, Timing]]:
    """Time reading and writing a chunk, or a shard, through a view and by zarr itself."""
    place, found = np.s_[96:192, :96, 96:192], {}
    with tempfile.TemporaryDirectory() as folder:
        for layout in LAYOUTS:
            array = stored(Path(folder), layout)
            view, block = adopt(array), array[place]
            found[f"read, {layout}"] = measure(
                {"ours": lambda v=view: np.asarray(v[place]), "zarr": lambda a=array: a[place]}
            )
            found[f"write, {layout}"] = measure(
                {"ours": lambda v=view, b=block: v.__setitem__(place, b),
                 "zarr": lambda a=array, b=block: a.__setitem__(place, b)}
            )  # fmt: skip
    return found


class ChunkSuite:
    params = (list(LAYOUTS), ["ours", "zarr"])
    param_names = ("layout", "by")

    def setup(self, layout: str, by: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        array = stored(Path(self.folder.name), layout)
        self.array = adopt(array) if by == "ours" else array
        self.block = array[:96, :96, :96]

    def teardown(self, layout: str, by: str) -> None:
        self.folder.cleanup()

    def time_read(self, layout: str, by: str) -> None:
        np.asarray(self.array[:96, :96, :96])

    def time_write(self, layout: str, by: str) -> None:
        self.array[:96, :96, :96] = self.block


def main() -> None:
    warnings.simplefilter("ignore")
    limit = f"{1e6 * LIMIT:.1f}"
    header = ["", *SIDES, "Dask, 1e9 B", "NumPy, 1e9 B", "wanted"]
    rows = [
        [name, *[f"{1e6 * t.best:.2f}" for t in times.values()], limit]
        for name, times in moves().items()
    ]
    print(render("Composing views of a Zarr array, best of interleaved rounds in µs", header, rows))
    print()
    rows = [
        [name, *[f"{1e6 * t.best:.1f}" for t in times.values()]] for name, times in plans().items()
    ]
    print(render("Planning on Zarr-backed images, in µs", ["", *SIDES], rows))
    print()
    view = adopt(virtual(100_000))
    long = measure({"chain": lambda: chained(view)}, seconds=0.01, rounds=5)
    print(f"1,000 slices one after the other: {1e3 * long['chain'].best:.2f} µs each")
    print()
    rows = [
        [name, *[f"{1e3 * t.best:.2f}" for t in times.values()],
         f"{times['zarr'].best / times['ours'].best:.1f}"]
        for name, times in chunks().items()
    ]  # fmt: skip
    print(render("A chunk of 1.8 MB, in ms", ["", "ours", "zarr", "×"], rows))
    print(environment(["numpy", "zarr", "dask"]))


if __name__ == "__main__":
    main()
