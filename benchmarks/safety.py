"""Read damaged and hostile files: flipped bits, bombs, traversal, giant shapes, pickled objects.

    python -m benchmarks.safety [--flips 10000] [--rounds 20]

Every line counts the results. *refused*: an error of this package that names the file; *warned*:
read, with a warning; *the same*: the change had no meaning, such as a space between two numbers.
Any other result is *wrong*, is printed with the change, and makes the command fail.
Mutated headers are in `benchmarks.fuzz_files`, interrupted writers in `benchmarks.faults`.
"""

from __future__ import annotations

import argparse
import bz2
import json
import math
import multiprocessing
import random
import struct
import sys
import tempfile
import warnings
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from benchmarks._memory import peak
from benchmarks._table import render
from spatial_duck import io

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["BOMBS", "GIANTS", "OBJECTS", "TRAVERSALS", "flips", "outcome", "two_writers"]

Tried = tuple[str, str]  # the result, and what was changed


def image(dtype: str = "u2") -> sd.SpatialArray:
    """Return the image that is written and then damaged."""
    values = np.random.default_rng(0).integers(1, 60_000, (12, 14, 16)).astype(dtype)
    return sd.SpatialArray(
        values,
        spacing=(2.5, 0.75, 0.75),
        origin=(-7.25, 12, 30.5),
        frame="LPS",
        unit="mm",
        attrs={"note": "hello"},
    )


def load(path: Path, lazy: bool = False) -> list[sd.SpatialArray]:
    """Read all levels of a file into memory."""
    return [sd.read(path, level=n, lazy=lazy) for n in range(io.info(path).levels)]


def same(a: list[sd.SpatialArray], b: list[sd.SpatialArray]) -> bool:
    """Whether two images are the same to the bit, in voxels, geometry and attributes."""
    return len(a) == len(b) and all(
        x.dtype == y.dtype
        and np.array_equal(x.data, y.data)
        and x.dims == y.dims
        and x.world == y.world
        and all(np.array_equal(getattr(x, k), getattr(y, k)) for k in ("spacing", "origin"))
        and np.array_equal(x.direction, y.direction)
        and x.attrs == y.attrs
        for x, y in zip(a, b, strict=True)
    )


def outcome(path: Path, reference: list[sd.SpatialArray] | None = None) -> str:
    """Return the result of reading a file, in one word, or "wrong: …"."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = load(path)
        except sd.SpatialDuckError as error:
            return "refused" if path.name.split(".")[0] in str(error) else "wrong: unnamed"
        except Exception as error:
            return f"wrong: {type(error).__name__}"
    if reference is not None and same(found, reference):
        return "the same"
    return "warned" if caught else "wrong: silent"


# --- flipped bits -------------------------------------------------------------------------

#: What is written, with which options, and where the bytes without a checksum end.
FLIPPED: dict[str, tuple[str, dict[str, Any]]] = {
    "OME-Zarr 0.5": ("a.ome.zarr", {"version": "0.5", "levels": 2, "chunks": 8, "shards": False}),
    "OME-Zarr 0.5, shards": ("a.ome.zarr", {"version": "0.5", "levels": 2, "chunks": 8,
                                            "shards": 16}),
    "OME-Zarr 0.4": ("a.ome.zarr", {"version": "0.4", "levels": 2, "chunks": 8}),
    "NIfTI, gzip": ("a.nii.gz", {}),
    "NRRD, gzip (its voxels)": ("a.nrrd", {"compress": True}),
    "MetaImage, zlib (its voxels)": ("a.mha", {"compress": True}),
}  # fmt: skip


def flips(kind: str, count: int, seed: int = 0) -> Iterator[Tried]:
    """Flip one bit at a time anywhere in a store or file, and read it."""
    name, options = FLIPPED[kind]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        sd.write(path, image(), **options)
        reference = load(path)
        rng = random.Random(seed)
        files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
        sizes = [p.stat().st_size for p in files]
        for _ in range(count):
            file = rng.choices(files, sizes)[0]
            old = file.read_bytes()
            start = _unchecked(old) if kind.endswith("(its voxels)") else 0
            bit = rng.randrange(8 * start, 8 * len(old))
            new = bytearray(old)
            new[bit // 8] ^= 1 << (bit % 8)
            file.write_bytes(new)
            near = bytes(old[max(0, bit // 8 - 20) : bit // 8 + 20])
            yield outcome(path, reference), f"{file.relative_to(folder)} bit {bit}: {near!r}"
            file.write_bytes(old)


def _unchecked(content: bytes) -> int:
    """Return where the compressed voxels begin, after a text header that has no checksum."""
    for mark in (b"ElementDataFile = LOCAL\n", b"\n\n"):
        if mark in content:
            return content.index(mark) + len(mark)
    raise AssertionError


# --- bombs --------------------------------------------------------------------------------

#: Bytes of zeros that a bomb grows to.
_BOMB = 1 << 30


def _zeros(compressor: Any) -> bytes:
    block = bytes(1 << 20)
    return b"".join(compressor.compress(block) for _ in range(_BOMB >> 20)) + compressor.flush()


def _spoilt(folder: Path, name: str, compressed: bytes, options: dict[str, Any]) -> Path:
    """Write an image and replace its voxels by other compressed data."""
    path = folder / name
    sd.write(path, image(), **options)
    content = path.read_bytes()
    text = content[: _unchecked(content)]
    if name.endswith(".mha"):
        lines = [
            f"CompressedDataSize = {len(compressed)}".encode()
            if line.startswith(b"CompressedDataSize")
            else line
            for line in text.split(b"\n")
        ]
        text = b"\n".join(lines)
    path.write_bytes(text + compressed)
    return path


def _nifti_bomb(folder: Path) -> Path:
    path = folder / "a.nii"
    sd.write(path, image())
    content = path.read_bytes()
    packed = zlib.compressobj(9, wbits=31)
    head = packed.compress(content)
    (folder / "a.nii.gz").write_bytes(head + _zeros(packed))
    path.unlink()
    return folder / "a.nii.gz"


def _bzip2_bomb(folder: Path) -> Path:
    path = _spoilt(folder, "a.nrrd", _zeros(bz2.BZ2Compressor()), {"compress": True})
    content = path.read_bytes()
    path.write_bytes(content.replace(b"encoding: gzip", b"encoding: bzip2", 1))
    return path


def _zarr_bomb(folder: Path, name: str, shards: bool = False) -> Path:
    import google_crc32c
    import numcodecs
    from zarr import codecs

    path = folder / "a.ome.zarr"
    sd.write(path, image(), levels=1, chunks=8, shards=16 if shards else False)
    place = path / "0"
    codec, bomb = {
        "blosc": lambda: (codecs.BloscCodec(typesize=2), numcodecs.Blosc().encode(bytes(_BOMB))),
        "gzip": lambda: (codecs.GzipCodec(), _zeros(zlib.compressobj(9, wbits=31))),
        "zstd": lambda: (codecs.ZstdCodec(), numcodecs.Zstd(level=1).encode(bytes(_BOMB))),
    }[name]()
    chain = [codecs.BytesCodec().to_dict(), codec.to_dict()]
    meta = json.loads((place / "zarr.json").read_text())
    if shards:
        given = meta["codecs"][0]["configuration"]
        given["codecs"] = chain
        # Every chunk of the shard is the same bytes.
        count = math.prod(16 // n for n in given["chunk_shape"])
        index = struct.pack("<QQ", 0, len(bomb)) * count
        bomb += index + google_crc32c.value(index).to_bytes(4, "little")
    else:
        meta["codecs"] = chain
    (place / "zarr.json").write_text(json.dumps(meta))
    next(p for p in place.rglob("*") if p.is_file() and p.name != "zarr.json").write_bytes(bomb)
    return path


def _png_bomb(folder: Path) -> Path:
    def part(kind: bytes, body: bytes) -> bytes:
        code = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", code)

    header = struct.pack(">IIBBBBB", 30_000, 36_000, 8, 0, 0, 0, 0)
    path = folder / "a.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header)
        + part(b"IDAT", _zeros(zlib.compressobj(9))) + part(b"IEND", b"")
    )  # fmt: skip
    return path


#: Files that decompress to 1 GB instead of 5 kB.
BOMBS: dict[str, Callable[[Path], Path]] = {
    "NIfTI, gzip": _nifti_bomb,
    "NRRD, gzip": lambda f: _spoilt(
        f, "a.nrrd", _zeros(zlib.compressobj(9, wbits=31)), {"compress": True}
    ),
    "NRRD, bzip2": _bzip2_bomb,
    "MetaImage, zlib": lambda f: _spoilt(
        f, "a.mha", _zeros(zlib.compressobj(9)), {"compress": True}
    ),
    "PNG": _png_bomb,
    "OME-Zarr, Blosc chunk": lambda f: _zarr_bomb(f, "blosc"),
    "OME-Zarr, gzip chunk": lambda f: _zarr_bomb(f, "gzip"),
    "OME-Zarr, zstd chunk": lambda f: _zarr_bomb(f, "zstd"),
    "OME-Zarr, zstd in a shard": lambda f: _zarr_bomb(f, "zstd", shards=True),
}


def _explode(path: str, answer: Any) -> None:
    load_first(path)
    before = peak()
    found = outcome(Path(path))
    answer.send((found, peak() - before))


def load_first(path: str) -> None:
    """Load the libraries that reading such a file needs, so that their memory does not count."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / Path(path).name
        small = image("u1")
        if other.suffix == ".png":
            small = small[0].replace(data=small.data[0], frame=None, unit=None)
        try:
            sd.write(other, small)
            load(other)
        except sd.SpatialDuckError:
            pass


def bombs() -> Iterator[tuple[str, Tried, int]]:
    """Read each bomb in a process of its own; yield the result and the bytes of memory used."""
    context = multiprocessing.get_context("spawn")
    for name, make in BOMBS.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder))
            here, there = context.Pipe()
            process = context.Process(target=_explode, args=(str(path), there))
            process.start()
            there.close()
            try:
                found, grown = here.recv()
            except EOFError:
                found, grown = "wrong: died", 0
            process.join()
        yield name, (found, name), grown


# --- paths that lead elsewhere ------------------------------------------------------------

_NAMES = ("../secret.raw", "inner/../../secret.raw", "{absolute}", "link.raw", "linked/secret.raw",
          "./../secret.raw", "..//secret.raw")  # fmt: skip


def _header_elsewhere(name: str, way: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        inside = folder / "inside"
        (inside / "inner").mkdir(parents=True)
        path = inside / name
        sd.write(path, image())
        raw = inside / "a.raw"
        secret = folder / "secret.raw"
        raw.rename(secret)
        (inside / "link.raw").symlink_to(secret)
        (inside / "linked").symlink_to(folder)
        target = way.format(absolute=secret)
        path.write_bytes(path.read_bytes().replace(b"a.raw", target.encode(), 1))
        return path

    return make


def _zarr_elsewhere(way: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        secret = folder / "secret.ome.zarr"
        path = folder / "a.ome.zarr"
        for each in (secret, path):
            sd.write(each, image(), levels=1, shards=False)
        (path / "link").symlink_to(secret / "0")
        target = way.format(absolute=secret / "0")
        meta = json.loads((path / "zarr.json").read_text())
        meta["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = target
        meta["attributes"]["spatial_duck"]["levels"][0]["path"] = target
        (path / "zarr.json").write_text(json.dumps(meta))
        return path

    return make


TRAVERSALS: dict[str, Callable[[Path], Path]] = {
    **{f"{name}: {way}": _header_elsewhere(name, way)
       for name in ("a.mhd", "a.nhdr") for way in _NAMES},
    **{f"OME-Zarr: {way}": _zarr_elsewhere(way)
       for way in ("../secret.ome.zarr/0", "{absolute}", "0/../../secret.ome.zarr/0", "link")},
}  # fmt: skip


# --- giants -------------------------------------------------------------------------------


def _replaced(name: str, old: bytes, new: bytes, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / name
        sd.write(path, image(), **options)
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))
        return path

    return make


def _nifti_giant(version: int, size: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "a.nii"
        sd.write(path, image(), version=version)
        content = bytearray(path.read_bytes())
        at, kind = (42, "<i2") if version == 1 else (24, "<i8")
        width = np.dtype(kind).itemsize * 3
        content[at : at + width] = np.array([size] * 3, kind).tobytes()
        path.write_bytes(bytes(content))
        return path

    return make


def _zarr_giant(size: int) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / "a.ome.zarr"
        sd.write(path, image(), levels=1, chunks=8, shards=False)
        place = path / "0" / "zarr.json"
        meta = json.loads(place.read_text())
        meta["shape"] = [size] * 3
        place.write_text(json.dumps(meta))
        return path

    return make


def _npy_giant(shape: str) -> Callable[[Path], Path]:
    return _replaced("a.npy", b"(12, 14, 16)}" + b" " * (len(shape) - 12), f"{shape}}}".encode())


_SIZES = (10**6, 2**31, 2**40, 2**62, 2**63, 2**64)
GIANTS: dict[str, Callable[[Path], Path]] = {
    **{f"NRRD {n}": _replaced("a.nrrd", b"sizes: 16 14 12", f"sizes: {n} {n} {n}".encode())
       for n in _SIZES},
    **{f"NRRD, gzip {n}": _replaced("a.nrrd", b"sizes: 16 14 12", f"sizes: {n} {n} {n}".encode(),
                                    compress=True) for n in _SIZES},
    **{f"MetaImage {n}": _replaced("a.mha", b"DimSize = 16 14 12",
                                   f"DimSize = {n} {n} {n}".encode()) for n in _SIZES},
    "NIfTI 1": _nifti_giant(1, 32767),
    "NIfTI 1, negative": _nifti_giant(1, -5),
    **{f"NIfTI 2 {n}": _nifti_giant(2, n) for n in (10**6, 2**31, 2**40, 2**62, -1)},
    **{f"OME-Zarr {n}": _zarr_giant(n) for n in (*_SIZES, -1, 0)},
    **{f"npy {n}": _npy_giant(f"({n}, {n}, {n})") for n in (10**6, 2**31, 2**62)},
}  # fmt: skip


# --- objects ------------------------------------------------------------------------------


class _Trap:
    """Leaves a file behind if it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def _npy_objects(folder: Path) -> Path:
    path = folder / "a.npy"
    np.save(path, np.array([[_Trap(folder / "sprung")]], object), allow_pickle=True)
    return path


def _zarr_objects(folder: Path) -> Path:
    path = folder / "a.ome.zarr"
    sd.write(path, image(), levels=1, version="0.4", chunks=16)
    place = path / "0" / ".zarray"
    meta = json.loads(place.read_text())
    import pickle

    meta |= {"dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}], "compressor": None,
             "fill_value": None}  # fmt: skip
    place.write_text(json.dumps(meta))
    for chunk in (path / "0").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith("."):
            chunk.write_bytes(pickle.dumps([_Trap(folder / "sprung")]))
    return path


def _hdf5_objects(folder: Path) -> Path:
    import h5py

    path = folder / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("data", data=np.array(["a", "b"], object), dtype=h5py.string_dtype())
    return path


OBJECTS: dict[str, Callable[[Path], Path]] = {
    "npy": _npy_objects,
    "OME-Zarr 0.4, pickle filter": _zarr_objects,
    "HDF5, strings": _hdf5_objects,
}


def tried(makers: dict[str, Callable[[Path], Path]]) -> Iterator[Tried]:
    """Make each file and read it; the secret of another folder must not be read."""
    for name, make in makers.items():
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            try:
                path = make(folder)
            except sd.SpatialDuckError as error:
                raise AssertionError(f"{name}: {error}") from error
            found = outcome(path)
            if (folder / "sprung").exists():
                found = "wrong: it ran"
            elif found != "refused":
                found = f"wrong: {found}"
            yield found, name


# --- two writers --------------------------------------------------------------------------


def _fill(path: str, who: int, aligned: bool, start: Any) -> None:
    import zarr

    volume = sd.SpatialArray(zarr.open_array(path, mode="r+"))
    start.wait()
    for at in range(who * 4, 32, 8) if aligned else range(who, 32, 2):
        part = volume[at : at + 4] if aligned else volume[at]
        part[...] = np.full(part.shape, who + 1, "u2")


def two_writers(aligned: bool, rounds: int) -> Iterator[Tried]:
    """Let two processes write one array: every other chunk each, or every other plane of a chunk.

    All that either has written must be there at the end; a writer may be refused before it writes.
    """
    import zarr

    context = multiprocessing.get_context("fork")
    for n in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/a.zarr"
            made = {"shape": (32, 64, 64), "chunks": (4, 32, 32), "dtype": "u2", "fill_value": 0}
            zarr.create_array(path, **made)
            start = context.Barrier(2)
            both = [context.Process(target=_fill, args=(path, w, aligned, start)) for w in (0, 1)]
            for process in both:
                process.start()
            for process in both:
                process.join()
            values = zarr.open_array(path, mode="r")[:]
            turns = (np.arange(32) // 4 if aligned else np.arange(32)) % 2 + 1
            done = (values == turns[:, None, None]).all()
            failed = sum(process.exitcode != 0 for process in both)
        if done:
            yield "complete", f"round {n}"
        else:
            yield ("refused" if failed else "wrong: lost"), f"round {n}"


# --- the table ----------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--flips", type=int, default=10_000, help="of bits, over all kinds")
    parser.add_argument("--rounds", type=int, default=20, help="of two writers")
    args = parser.parse_args()
    kinds = [k for k in FLIPPED if "Zarr" in k]
    rows: list[list[str]] = []
    wrong: list[str] = []

    def note(what: str, results: Iterator[Tried], more: str = "") -> None:
        counts: Counter[str] = Counter()
        for found, change in results:
            counts[found.split(":")[0]] += 1
            if found.startswith("wrong"):
                wrong.append(f"{what}: {found}: {change}")
        words = ", ".join(f"{k} {n:,}" for k, n in sorted(counts.items()))
        rows.append([what, f"{counts.total():,}", words + more])
        print(*rows[-1], sep="  ", file=sys.stderr, flush=True)

    for kind in FLIPPED:
        among = len(kinds) if kind in kinds else len(FLIPPED) - len(kinds)
        note(f"flipped bits, {kind}", flips(kind, -(-args.flips // among)))
    for name, result, grown in bombs():
        note(f"bomb of 1 GB, {name}", iter([result]), f"; {max(grown, 0) / 1e6:.0f} MB")
        if grown > 200e6:
            wrong.append(f"bomb, {name}: {grown} bytes")
    note("data files and levels elsewhere", tried(TRAVERSALS))
    note("giant and overflowing shapes", tried(GIANTS))
    note("pickles, objects, strings", tried(OBJECTS))
    note("two writers, aligned", two_writers(True, args.rounds))
    note("two writers, not aligned", two_writers(False, args.rounds))
    print(render("Safety", ["what", "tried", "came of it"], rows))
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
