"""The parts of `benchmark_resample` that need processes of their own: stores, planning, starting.

Peak memory is the highest resident size during the work over that before it, after a first small
resampling, so that libraries and kernels are loaded. Every store has chunks of 64, and zstd unless
it is written by `spatial_duck.write`, which has Blosc's LZ4.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks._memory import resident
from benchmarks._rivals import THREADS
from benchmarks._table import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHUNK = 64
_C, _S = np.cos(0.3), np.sin(0.3)
_TURN = np.array([[_C, -_S, 0], [_S, _C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, _C, -_S], [0, _S, _C]]


def _about(shape: Sequence[int]) -> np.ndarray:
    """Return the offset of a rotation about the middle."""
    middle = np.array(shape) / 2
    found: np.ndarray = middle - _TURN @ middle
    return found


# --- in processes of their own ------------------------------------------------------------


def _ours(source: Any) -> Any:
    import spatial_duck as sd

    target = sd.Geometry(source.shape, 1.0, _about(source.shape), _TURN)
    return sd.resample(sd.SpatialArray(source), target)


def _dask_image(source: Any) -> Any:
    import dask.array as da
    from dask_image.ndinterp import affine_transform

    return affine_transform(
        source if isinstance(source, da.Array) else da.from_zarr(source), _TURN,
        offset=_about(source.shape), order=1, output_chunks=(CHUNK,) * 3,
    )  # fmt: skip


def _copy(source: Any) -> Any:
    import dask.array as da

    return da.from_zarr(source)


def _simpleitk(source: Any) -> np.ndarray:
    import SimpleITK as sitk

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    image = sitk.GetImageFromArray(source[...])
    move = sitk.AffineTransform(3)
    move.SetMatrix(_TURN[::-1, ::-1].ravel().tolist())
    move.SetTranslation(_about(source.shape)[::-1].tolist())
    found: np.ndarray = sitk.GetArrayFromImage(sitk.Resample(image, move))
    return found


STORES: dict[str, Callable[[Any], Any]] = {
    "spatial_duck": _ours, "spatial_duck, sd.write": _ours, "plain Dask copy": _copy,
    "dask-image": _dask_image, "SimpleITK, in memory": _simpleitk,
}  # fmt: skip


class _Peak:
    """The highest resident size over that at the start, and the time since then."""

    def __enter__(self) -> _Peak:
        self.most, self._idle, self._done = 0, resident(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        self._begin = time.perf_counter(), time.process_time()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.most = max(self.most, resident() - self._idle)

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._begin[0]
        self.cpu = time.process_time() - self._begin[1]
        self._done.set()
        self._thread.join()


def _store(name: str, path: str, out: str) -> dict[str, float]:
    """Do one of `STORES` and write the result, as its user would."""
    import dask
    import dask.array as da
    import zarr

    import spatial_duck as sd

    dask.config.set(scheduler="threads", num_workers=THREADS)
    STORES[name](zarr.create_array({}, shape=(9, 9, 9), dtype="u2"))  # loads and compiles
    source = zarr.open_array(path, mode="r")
    if name.startswith("spatial_duck"):
        np.asarray(_ours(da.from_array(np.zeros((9, 9, 9), "u2"))))
    with _Peak() as peak:
        found = STORES[name](source)
        if name == "spatial_duck, sd.write":  # another codec, checksums, and all or nothing
            sd.write(out, found, format="ome-zarr", levels=1, chunks=CHUNK, oblique="keep")
        else:
            target = zarr.create_array(out, shape=found.shape, chunks=(CHUNK,) * 3, dtype="u2")
            if name == "spatial_duck":
                da.store(found.data, sd.SpatialArray(target).data, lock=False)
            elif isinstance(found, np.ndarray):
                target[...] = found
            else:
                da.store(found.rechunk((CHUNK,) * 3), target, lock=False)
    return {"seconds": peak.wall, "cpu": peak.cpu, "peak": peak.most / 1e6}


#: Chunks of a source, and of its shards.
LAYOUTS: dict[str, tuple[Any, Any]] = {
    "64×256×256": ((64, 256, 256), None), "1×2048×2048": ((1, 2048, 2048), None),
    "64³": ((64,) * 3, None), "32³ in shards of 128³": ((32,) * 3, (128,) * 3),
}  # fmt: skip
#: What is done with each.
WAYS = ("copy", "limit", "to_zarr", "sd.write", "dask-image")


def _layout(name: str, path: str, out: str) -> dict[str, float]:
    """Copy a store, or turn it, and count how often its voxels are read."""
    import dask
    import zarr

    from spatial_duck.resampling import _engines
    from spatial_duck.resampling._chunk_reader import ChunkReader

    dask.config.set(scheduler="threads", num_workers=THREADS)
    _engines.PATIENCE = -1  # Numba from the first voxel on
    source = zarr.open_array(path, mode="r")
    if name == "limit":
        return _limit(source)
    small = zarr.create_array({}, shape=(200,) * 3, chunks=(64,) * 3, dtype=source.dtype)
    small[...] = 1
    _turned(name, small, f"{out}.small")  # loads and compiles
    read = [0]
    find = ChunkReader._read

    def counted(reader: Any, number: Any) -> Any:
        values = find(reader, number)
        read[0] += values.nbytes
        return values

    ChunkReader._read = counted  # type: ignore[method-assign]
    with _Peak() as peak:
        _turned(name, source, out)
    return {"seconds": peak.wall, "cpu": peak.cpu, "peak": peak.most / 1e6,
            "reads": read[0] / source.nbytes}  # fmt: skip


def _turned(name: str, source: Any, out: str) -> None:
    """Write a copy of a store, or what it is when turned, in one of the ways."""
    import zarr

    import spatial_duck as sd

    if name == "copy":
        target = zarr.create_array(
            out, shape=source.shape, chunks=source.chunks, shards=source.shards,
            dtype=source.dtype, filters=source.filters,
        )  # fmt: skip
        deep = (source.shards or source.chunks)[0]
        for i in range(0, source.shape[0], deep):
            target[i : i + deep] = source[i : i + deep]
    elif name == "sd.write":
        sd.write(out, _ours(source), format="ome-zarr", levels=1, chunks=CHUNK, oblique="keep")
    elif name == "dask-image":
        _dask_image(source).to_zarr(out)
    else:
        _ours(source).data.to_zarr(out)


def _limit(source: Any) -> dict[str, float]:
    """Time codecs on the chunks of the source and of the result, and the kernel in memory."""
    import zarr

    from spatial_duck.backends.zarr._chunks import _find_files

    data = source[...]
    _ours(np.ones((200,) * 3, source.dtype))
    grid = [range(-(-n // c)) for n, c in zip(source.shape, source.chunks, strict=True)]
    begin, cpu = time.perf_counter(), time.process_time()
    files = _find_files(source)
    for number in itertools.product(*grid):
        files.load(number)
    turned = np.asarray(_ours(data))
    cpu = time.process_time() - cpu
    target = zarr.create_array({}, shape=turned.shape, chunks=(CHUNK,) * 3, dtype=turned.dtype)
    encoder = target.compressors[0]._zstd_codec
    starts = itertools.product(*[range(0, n, CHUNK) for n in turned.shape])
    pieces = [turned[tuple([slice(i, i + CHUNK) for i in start])].copy() for start in starts]
    middle = time.process_time()
    for piece in pieces:
        encoder.encode(piece)
    cpu += time.process_time() - middle
    return {"seconds": time.perf_counter() - begin, "cpu": cpu, "peak": 0, "reads": 1}


def layouts(
    shape: tuple[int, ...], only: Sequence[str], types: Sequence[str], orders: Sequence[str],
    ways: Sequence[str],
) -> None:  # fmt: skip
    """Print the table of chunk layouts."""
    import shutil

    rows = []
    with tempfile.TemporaryDirectory() as place:
        for label, kind, order in itertools.product(LAYOUTS, types, orders):
            if only and not any(part in label for part in only):
                continue
            chunks, shards = LAYOUTS[label]
            source, out = Path(place) / f"{len(rows)}.zarr", Path(place) / "out.zarr"
            make_volume(source, shape, chunks, shards, kind, order)
            copy = None
            for name in ways:
                found = _child("layout", name, str(source), f"{out}.{len(rows)}")
                shutil.rmtree(f"{out}.{len(rows)}", ignore_errors=True)
                row = f"{label}, {kind}, {order}: {name}"
                if isinstance(found, str):
                    rows.append([row, "not run:", found, "", "", ""])
                    continue
                copy = copy or found
                counted = name in ("to_zarr", "sd.write")
                rows.append([row, f"{found['seconds']:.1f}", f"{found['cpu']:.1f}",
                             f"{found['cpu'] / copy['cpu']:.2f}",
                             f"{found['peak']:.0f}" if name != "limit" else "",
                             f"{found['reads']:.2f}" if counted else ""])  # fmt: skip
            shutil.rmtree(source)
    title = f"{'×'.join(map(str, shape))}, Zarr to Zarr, rotation about two axes, linear"
    print(render(title, ["", "s", "CPU s", "× CPU", "peak MB", "each voxel read"], rows))


def _plan(name: str, count: int) -> dict[str, float]:
    """Plan the rotation of a volume of count³ chunks."""
    import dask.array as da

    small = da.zeros((128,) * 3, chunks=CHUNK, dtype="u2")
    STORES[name](small)
    source = da.zeros((count * CHUNK,) * 3, chunks=CHUNK, dtype="u2")
    with _Peak() as peak:
        found = STORES[name](source)
    return {
        "chunks": float(np.prod(found.numblocks)), "seconds": peak.wall, "cpu": peak.cpu,
        "peak": max(peak.most, 1) / 1e6,
    }  # fmt: skip


def _mean(name: str, count: int) -> dict[str, float]:
    """Compute the mean of an image of count³ chunks of 4³ voxels, or of its Dask array."""
    import dask
    import dask.array as da

    import spatial_duck as sd

    dask.config.set(scheduler="threads", num_workers=THREADS)
    source = da.ones((4 * count,) * 3, chunks=4, dtype="u2")
    image: Any = sd.SpatialArray(source) if name == "spatial_duck" else source
    np.mean(image[:8, :8, :8]).compute()
    with _Peak() as planning:
        mean = np.mean(image)
    with _Peak() as computing:
        float(mean.compute())
    return {
        "chunks": float(count**3), "seconds": planning.wall, "cpu": planning.cpu,
        "peak": max(planning.most, 1) / 1e6, "computed": computing.cpu,
    }  # fmt: skip


def _start(kind: str) -> dict[str, float]:
    """Time the first resampling of a process."""
    import spatial_duck as sd

    begin, cpu = time.perf_counter(), time.process_time()
    import numba  # noqa: F401

    middle, cpu_middle = time.perf_counter(), time.process_time()
    image = sd.SpatialArray(np.ones((40, 40, 40), kind))
    sd.resample(image, spacing=0.8)
    sd.resample(image, sd.Geometry(image.shape, 1.0, _about(image.shape), _TURN))
    return {
        "numba": middle - begin, "numba cpu": cpu_middle - cpu,
        "first": time.perf_counter() - middle, "first cpu": time.process_time() - cpu_middle,
    }  # fmt: skip


# --- tables -------------------------------------------------------------------------------


def _child(*arguments: str, **environment: str) -> dict[str, float] | str:
    """Run a function of this module in a new process; return what it measured, or why not."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks._resample_store", *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no message"])[-1]
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def make_volume(
    path: Path, shape: tuple[int, ...], chunks: tuple[int, ...] = (CHUNK,) * 3,
    shards: tuple[int, ...] | None = None, kind: str = "u2", order: str = "C",
) -> None:  # fmt: skip
    """Write something smooth with noise, a slab of chunks at a time."""
    import zarr

    turned = [zarr.codecs.TransposeCodec(order=(2, 1, 0))] if order == "F" else "auto"
    volume = zarr.create_array(str(path), shape=shape, chunks=chunks, shards=shards, dtype=kind,
                               filters=turned)  # fmt: skip
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[: shape[1], : shape[2]]
    step = (shards or (CHUNK,))[0]
    for start in range(0, shape[0], step):
        depth = np.arange(start, min(start + step, shape[0]))[:, None, None]
        smooth = 2000 + 900 * np.sin(depth / 40) * np.cos(rows / 60) * np.sin(columns / 50)
        values = smooth + rng.integers(0, 64, smooth.shape)
        volume[start : start + step] = (values % 256 if kind == "u1" else values).astype(kind)


def stores(quick: bool, scales: Sequence[int]) -> None:
    """Print the table of stores."""
    import shutil

    rows = []
    with tempfile.TemporaryDirectory() as place:
        for scale in scales:
            shape = (128, 192, 192) if quick else (512, 768, 768)
            shape = (shape[0] * scale, *shape[1:])
            source, out = Path(place) / "source.zarr", Path(place) / "out.zarr"
            make_volume(source, shape)
            first = None
            for name in STORES:
                if scale > 1 and name.startswith(("dask-image", "SimpleITK")):
                    continue
                found = _child("store", name, str(source), str(out))
                shutil.rmtree(out, ignore_errors=True)
                label = f"{'×'.join(map(str, shape))}: {name}"
                if isinstance(found, str):
                    rows.append([label, "not run:", found, "", "", ""])
                    continue
                first = first or found
                ratios = [f"{found[key] / first[key]:.2f}" for key in ("seconds", "cpu")]
                rows.append([label, f"{found['seconds']:.1f}", f"{found['cpu']:.1f}", *ratios,
                             f"{found['peak']:.0f}"])  # fmt: skip
            shutil.rmtree(source)
    title = f"uint16, Zarr to Zarr, rotation about two axes, linear, {os.cpu_count()} CPUs"
    print(render(title, ["", "s", "CPU s", "×", "× CPU", "peak MB"], rows))


def starts(quick: bool) -> None:
    """Print the tables of planning and starting."""
    rows = []
    for name, count in (("spatial_duck", 40), ("spatial_duck", 100), ("dask-image", 10),
                        ("dask-image", 20)):  # fmt: skip
        if quick and count > 40:
            continue
        found = _child("plan", name, str(count))
        if isinstance(found, str):
            rows.append([f"{name}, {count}³ chunks", "not run:", found, "", ""])
            continue
        chunks = found["chunks"]
        rows.append([
            f"{name}, {count}³ chunks", f"{found['seconds']:.2f}", f"{found['cpu']:.2f}",
            f"{found['cpu'] / chunks * 1e6:.1f}", f"{found['peak'] * 1e6 / chunks:.0f}",
        ])  # fmt: skip
    header = ["", "s", "CPU s", "µs CPU a chunk", "bytes a chunk"]
    print(render("Planning a rotation of a volume that is not there, chunks of 64", header, rows))
    rows = []
    for name in ("spatial_duck", "Dask"):
        for count in (60,) if quick else (60, 100):
            found = _child("mean", name, str(count))
            cells = ["not run:", str(found), ""]
            if not isinstance(found, str):
                cells = [f"{found[key]:.1f}" for key in ("cpu", "peak", "computed")]
            rows.append([f"{name}, {count}³ chunks", *cells])
    header = ["", "planned, CPU s", "MB", "computed, CPU s"]
    print(render("The mean of an image, chunks of 4³", header, rows))
    rows = []
    with tempfile.TemporaryDirectory() as cache:
        for kind in ("f4", "u1", "i2"):
            for state in ("nothing compiled", "in a later process"):
                found = _child("start", kind, NUMBA_CACHE_DIR=cache)
                cells = ["not run:", found, "", ""] if isinstance(found, str) else [
                    f"{value:.2f}" for value in found.values()]  # fmt: skip
                rows.append([f"{np.dtype(kind)}, {state}", *cells])
    header = ["", "import numba, s", "CPU s", "then, s", "CPU s"]
    print(render("The first two linear resamplings, along the axes and turned", header, rows))


if __name__ == "__main__":
    _PARTS: dict[str, Callable[..., dict[str, float]]] = {
        "store": _store, "layout": _layout, "start": _start,
        "plan": lambda name, count: _plan(name, int(count)),
        "mean": lambda name, count: _mean(name, int(count)),
    }  # fmt: skip
    print(json.dumps(_PARTS[sys.argv[1]](*sys.argv[2:])))
