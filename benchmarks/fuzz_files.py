"""Read mutated files: each must raise an error of this package, or be read, without a crash.

    python -m benchmarks.fuzz_files [--text 20000] [--binary 5000] [--format nrrd ...]
    python -m benchmarks.fuzz_files --structured 20000

A small image is written in each format. Copies of it are changed: bytes set at random, parts cut
out, doubled or swapped, words in text replaced by others of the file or by odd numbers. Of text
formats the header alone is changed, of binary ones half of the changes hit the header. With
``--structured`` fields, lists, links and nesting are changed instead (`benchmarks._structures`),
also by what other valid files of the format have there. Forked processes with a limit of 2 GiB of
address space read them, every second one lazily, with 5 s for each file. Whatever is not an error
of ours or an image within its declared size is printed with its number, by which ``--only`` repeats
it. Memory counts: reading may take 64 MB beside four times the declared voxels and 16 times the
file.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import spatial_duck as sd
from benchmarks import _structures as change
from benchmarks._memory import peak
from spatial_duck import io

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks._structures import Mutator

    Make = Callable[[Path, int], tuple[Path, Path]]

LIMIT = 2 << 30
SECONDS = 5
#: Seconds after which code in C, which does not see an alarm, is ended from outside.
HUNG = 10
#: Bytes that reading may take beside the voxels.
SPARE = 64 << 20
#: Files that one process reads, so that what libraries keep does not add up.
BATCH = 500


class Seed(NamedTuple):
    """How a file that is mutated is made, and read."""

    text: bool
    make: Make  # folder, which image -> (the file that is changed, what is read)
    head: int | bytes = 400  # bytes of its header, or where it ends
    read: str = "image"
    mutate: Mutator | None = None  # by its structure


def _image(flat: bool = False, which: int = 0) -> sd.SpatialArray:
    """Return the image that is written, or one of two others whose fields are mixed into it."""
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    if flat:
        values = np.arange(120 * 20, dtype=("u2", "u1", "u2")[which]).reshape(120, 20)
        # PNG holds whole numbers of pixels in a metre.
        return sd.SpatialArray(values, spacing=(0.5, 0.25 * 2**which), unit="mm")
    values = np.arange(5 * 24 * 20, dtype=("u2", "f4", "i2")[which]).reshape(5, 24, 20)
    image = sd.SpatialArray(values, spacing=(3, 2, 1), direction=turn, unit="mm", frame="LPS")
    return [image, image[::-1, 3:9, ::2], image.to_unit("um")[:4, :7]][which]


def _written(name: str, changed: str | None = None, *, flat: bool = False, **options: Any) -> Make:
    def make(folder: Path, which: int) -> tuple[Path, Path]:
        io.write(folder / name, _image(flat, which), **options)
        return folder / (changed or name), folder / name

    return make


def _dicom(folder: Path, which: int) -> tuple[Path, Path]:
    io.write(folder / "a.d", _image()[:3] + np.uint16(which), format="dicom")
    return sorted((folder / "a.d").iterdir())[1], folder / "a.d"


def _shipped(package: str, *places: str) -> Make:
    """Take small files of a package's own."""

    def make(folder: Path, which: int) -> tuple[Path, Path]:
        place = places[which % len(places)]
        found = find_spec(package)
        assert found is not None
        assert found.origin is not None
        name = folder / Path(place).name
        shutil.copy(Path(found.origin).parent / place, name)
        return name, name

    return make


def _picture(name: str) -> Make:
    def make(folder: Path, which: int) -> tuple[Path, Path]:
        import imageio.v3 as iio

        values = np.arange(64 * 48 * 3, dtype="u1").reshape(64, 48, 3)
        iio.imwrite(folder / name, values)
        return folder / name, folder / name

    return make


def _geotiff(folder: Path, which: int) -> tuple[Path, Path]:
    import rasterio

    profile = {"driver": "GTiff", "count": 2, "height": 48, "width": 40, "dtype": "uint16",
               "crs": "EPSG:32633", "transform": rasterio.Affine(10 + which, 2, 5e5, 1, -10, 4.6e6),
               "tiled": True, "blockxsize": 16, "blockysize": 16,
               "compress": "deflate"}  # fmt: skip
    with rasterio.open(folder / "g.tif", "w", **profile) as file:
        file.write(np.arange(2 * 48 * 40, dtype="u2").reshape(2, 48, 40))
    return folder / "g.tif", folder / "g.tif"


def _transform(name: str) -> Make:
    def make(folder: Path, which: int) -> tuple[Path, Path]:
        import SimpleITK as sitk

        field = sitk.Image([4, 3, 2], sitk.sitkVectorFloat64, 3)
        turn = sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6))
        spline = sitk.BSplineTransformInitializer(sitk.Image([4, 3, 2], sitk.sitkUInt8), [2, 2, 2])
        parts = [turn, sitk.DisplacementFieldTransform(field), spline]
        sitk.WriteTransform(sitk.CompositeTransform(parts[: 3 - which]), str(folder / name))
        return folder / name, folder / name

    return make


_DICOM = "data/test_files"
SEEDS = {
    "nrrd": Seed(True, _written("a.nrrd"), b"\n\n", mutate=change.mutate_lines),
    "nhdr": Seed(True, _written("a.nhdr"), 4000, mutate=change.mutate_lines),
    "metaimage": Seed(True, _written("a.mha"), b"LOCAL\n", mutate=change.mutate_lines),
    "mhd": Seed(True, _written("a.mhd"), 4000, mutate=change.mutate_lines),
    "npy-side-car": Seed(True, _written("a.npy", "a.npy.json"), 4000, mutate=change.mutate_json),
    "vti": Seed(True, _written("a.vti"), b"<AppendedData", mutate=change.mutate_xml),
    "ome-zarr-0.5": Seed(
        True,
        _written("a.zarr", "a.zarr/zarr.json", oblique="keep"),
        9000,
        mutate=change.mutate_json,
    ),
    "ome-zarr-0.4": Seed(
        True,
        _written("a.zarr", "a.zarr/.zattrs", oblique="keep", version="0.4"),
        9000,
        mutate=change.mutate_json,
    ),
    "ome-zarr-0.6": Seed(
        True,
        _written("a.zarr", "a.zarr/zarr.json", version="0.6"),
        9000,
        mutate=change.mutate_json,
    ),
    "zarr-array": Seed(
        True,
        _written("a.zarr", "a.zarr/0/zarr.json", oblique="keep"),
        4000,
        mutate=change.mutate_json,
    ),
    "zarray": Seed(
        True,
        _written("a.zarr", "a.zarr/0/.zarray", oblique="keep", version="0.4"),
        4000,
        mutate=change.mutate_json,
    ),
    "ozx": Seed(False, _written("a.ozx", oblique="keep"), mutate=change.mutate_zip),
    "tfm": Seed(True, _transform("a.tfm"), 4000, "transform", change.mutate_lines),
    "nifti": Seed(False, _written("a.nii"), 352, mutate=change.mutate_nifti),
    "nifti-gz": Seed(False, _written("a.nii.gz")),
    "nrrd-gz": Seed(False, _written("a.nrrd", compress=True), b"\n\n"),
    "metaimage-zlib": Seed(False, _written("a.mha", compress=True), b"LOCAL\n"),
    "dicom": Seed(False, _dicom, 1800, mutate=change.mutate_dicom),
    "dicom-multiframe": Seed(
        False,
        _shipped("pydicom", f"{_DICOM}/rtdose_1frame.dcm", f"{_DICOM}/liver_1frame.dcm"),
        2000,
        mutate=change.mutate_dicom,
    ),
    "dicom-rle": Seed(
        False,
        _shipped("pydicom", f"{_DICOM}/SC_rgb_rle.dcm", f"{_DICOM}/SC_rgb_small_odd.dcm"),
        1500,
        mutate=change.mutate_dicom,
    ),
    "tiff": Seed(False, _written("a.tif", oblique="keep"), mutate=change.mutate_tiff),
    "tiff-tiles": Seed(
        False,
        _written("b.tif", oblique="keep", tile=16, compress=True),
        600,
        mutate=change.mutate_tiff,
    ),
    "geotiff": Seed(False, _geotiff, 600, mutate=change.mutate_tiff),
    "minc-1": Seed(False, _shipped("nibabel", "tests/data/tiny.mnc"), 3000),
    "minc-2": Seed(
        False, _shipped("nibabel", "tests/data/small.mnc"), 6000, mutate=change.mutate_hdf5
    ),
    "hdf5": Seed(False, _written("a.h5"), 3000, mutate=change.mutate_hdf5),
    "hdf5-chunks": Seed(False, _written("a.h5", compress=True), 6000, mutate=change.mutate_hdf5),
    "npy": Seed(False, _written("a.npy"), 128, mutate=change.mutate_npy),
    "vti-zlib": Seed(False, _written("a.vti", compress=True), 1000),
    "zarr-chunk": Seed(
        False, _written("a.zarr", "a.zarr/0/c/0/0/0", oblique="keep", shards=False), 64
    ),
    "zarr-shard": Seed(
        False,
        _written("a.zarr", "a.zarr/0/c/0/0/0", oblique="keep", chunks=8, shards=24, levels=1),
        64,
        mutate=change.mutate_shard,
    ),
    "zarr-2-chunk": Seed(
        False, _written("a.zarr", "a.zarr/0/0/0/0", oblique="keep", version="0.4"), 64
    ),
    "png": Seed(False, _written("a.png", flat=True, oblique="drop"), 100),
    "jpeg": Seed(False, _picture("a.jpg"), 700),
    "gif": Seed(False, _picture("a.gif"), 900),
    "bmp": Seed(False, _picture("a.bmp"), 60),
    "transform-h5": Seed(False, _transform("a.h5"), 4000, "transform", change.mutate_hdf5),
}

_NUMBERS = [b"0", b"-1", b"nan", b"inf", b"1e308", b"4294967296", b"99999999999999999999", b"",
            b"x", b"1e-320", b"65535", b"2147483647", b"null", b"[]", b"{}", b'""', b"1.5",
            b"9" * 5000, b"[" * 3000]  # fmt: skip
_WORD = re.compile(rb"[\w.+-]+")


def mutated(raw: bytes, head: int, number: int, *, text: bool) -> bytes:
    """Return a changed copy; the number says how."""
    rng = np.random.default_rng(number)
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        end = min(head, len(data)) if text or rng.random() < 0.5 else len(data)
        if not end:
            break
        # Most changes of a text are of whole words, so that it is still one.
        change = _reworded if text and rng.random() < 0.7 else _rewritten
        change(data, end, rng)
    return bytes(data)


def _rewritten(data: bytearray, end: int, rng: np.random.Generator) -> None:
    at = int(rng.integers(end))
    size = int(rng.integers(1, 9))
    way = int(rng.integers(7))
    if way == 0:
        data[at] = int(rng.integers(256))
    elif way == 1:
        data[at : at + size] = rng.bytes(size)
    elif way == 2:
        data[at : at + size] = (b"\0" if rng.random() < 0.5 else b"\xff") * size
    elif way == 3:
        del data[at : at + int(rng.integers(1, 200))]
    elif way == 4:
        data[at:at] = data[at : at + int(rng.integers(1, 200))]
    elif way == 5:
        digits = [i for i in range(at, min(end, at + 200)) if chr(data[i]).isdigit()]
        if digits:
            data[digits[0] : digits[0] + 1] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    else:
        del data[at if rng.random() < 0.3 else max(at, len(data) - size) :]


def _reworded(data: bytearray, end: int, rng: np.random.Generator) -> None:
    """Replace, double or remove a word or a line."""
    words = [m.span() for m in _WORD.finditer(data, 0, end)]
    if not words:
        return
    (a, b), (c, d) = (words[int(rng.integers(len(words)))] for _ in range(2))
    way = int(rng.integers(6))
    if way < 2:
        data[a:b] = _NUMBERS[int(rng.integers(len(_NUMBERS)))]
    elif way == 2:
        data[a:b] = data[c:d]
    elif way == 3:
        data[a:a] = data[a:b] + b" "
    else:
        start = data.rfind(b"\n", 0, a) + 1
        stop = data.find(b"\n", a, end) + 1 or end
        data[start : stop if way == 4 else start] = b"" if way == 4 else data[start:stop]


def _read(path: Path, what: str, *, lazy: bool = False) -> tuple[str, int]:
    """Read a file as a user would; return the result and the bytes of its voxels."""
    try:
        if what == "transform":
            point = np.zeros(3)
            sd.Transform.read(path)(point)
            return "read", 0
        found = io.info(path)
        image = io.read(path, lazy=lazy)
        # A lazy image may declare more than anybody holds: one voxel of it must be had.
        np.asarray(image if image.nbytes < LIMIT else image[(0,) * image.ndim])
        image.geometry.index_to_physical(np.zeros(image.ndim))
    except sd.SpatialDuckError:
        return "refused", 0
    if (image.shape, image.dtype) != (found.geometry.shape, found.dtype):
        told = f"WRONG {image.shape} {image.dtype} where info says {found.geometry.shape}"
        return told, image.nbytes
    return "read", image.nbytes


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _work(kind: str, folder: Path, first: int, last: int, out: int, *, structured: bool) -> None:
    """Read mutations in this process, writing the number of each and then what came of it."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    warnings.simplefilter("ignore")
    seed = SEEDS[kind]
    donors = []
    for which in 1, 2:
        other = folder / str(which)
        other.mkdir()
        donors.append(seed.make(other, which)[0].read_bytes())
    path, target = seed.make(folder, 0)
    raw = path.read_bytes()
    head = seed.head if isinstance(seed.head, int) else raw.index(seed.head) + len(seed.head)
    importlib.import_module("dask.array")
    for lazy in False, True:
        _read(target, seed.read, lazy=lazy)  # what it imports is no memory of a mutation's
    for number in range(first, last):
        os.write(out, f"{number} ".encode())
        if structured:
            assert seed.mutate is not None
            changed = seed.mutate(raw, donors, np.random.default_rng(number))
        else:
            changed = mutated(raw, head, number, text=seed.text)
        path.write_bytes(changed)
        _forget_peak()
        before = peak()
        signal.alarm(SECONDS)
        try:
            told, size = _read(target, seed.read, lazy=number % 2 == 1)
        except BaseException as error:  # all of them are what is looked for
            where = traceback.extract_tb(error.__traceback__)[-1]
            told = f"WRONG {type(error).__name__}: {str(error)[:200]} ({where.name})"
            size = 0
        signal.alarm(0)
        taken = peak() - before
        if taken > SPARE + 4 * size + 16 * len(changed) and not told.startswith("WRONG"):
            told = f"WRONG {told}, {taken >> 20} MB for {size} bytes of voxels"
        os.write(out, told.replace("\n", " ").encode(errors="replace") + b"\n")


def _forked(kind: str, first: int, last: int, structured: bool) -> tuple[list[str], int]:
    """Read mutations in a forked process; return its lines and its exit status."""
    reading, writing = os.pipe()
    with tempfile.TemporaryDirectory() as name:
        child = os.fork()
        if not child:
            status = 1
            try:
                os.close(reading)
                with contextlib.redirect_stderr(None), Path(os.devnull).open("wb") as nothing:
                    os.dup2(nothing.fileno(), 2)
                    _work(kind, Path(name), first, last, writing, structured=structured)
                status = 0
            finally:
                os._exit(status)
        os.close(writing)
        told = b""
        while True:
            if not select.select([reading], [], [], HUNG + 50 * (not told))[0]:
                os.kill(child, signal.SIGKILL)
            piece = os.read(reading, 1 << 16)
            if not piece:
                break
            told += piece
        os.close(reading)
        return told.decode(errors="replace").splitlines(), os.waitpid(child, 0)[1]


def run(
    kind: str, first: int, last: int, *, structured: bool = False
) -> tuple[dict[str, int], list[str]]:
    """Read mutations in processes of their own; one that ends early is followed by another."""
    counts = {"read": 0, "refused": 0}
    wrong = []
    while first < last:
        lines, status = _forked(kind, first, min(last, first + BATCH), structured)
        if not lines:
            raise SystemExit(f"{kind}: nothing was read; the unchanged file must be readable")
        at = first - 1
        for line in lines:
            word, _, told = line.partition(" ")
            at = int(word)
            if told in counts:
                counts[told] += 1
            elif told:
                wrong.append(f"{kind} {at}: {told}")
        if status:
            code = os.waitstatus_to_exitcode(status)
            how = "hung in C and was ended" if code == -signal.SIGKILL else f"ended with {code}"
            wrong.append(f"{kind} {at}: the process {how}")
            at = max(at, first)
        first = at + 1
    return counts, wrong


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=int, default=1000, help="mutations of each text format")
    parser.add_argument("--binary", type=int, default=1000, help="of each binary format")
    parser.add_argument(
        "--structured", type=int, default=0, help="changes by structure of each format that has one"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--only", type=int, help="one number")
    given = parser.parse_args()
    if given.structured:
        given.format = [kind for kind in given.format if SEEDS[kind].mutate is not None]
    if "geotiff" in given.format and find_spec("rasterio") is None:
        given.format.remove("geotiff")
        print("geotiff is not run: it needs rasterio")
    failed = False
    print(f"{'format':18}{'files':>8}{'read':>8}{'refused':>10}{'wrong':>8}{'seconds':>9}")
    for kind in given.format:
        begun = time.monotonic()
        first = given.seed if given.only is None else given.only
        count = given.structured or (given.text if SEEDS[kind].text else given.binary)
        count = count if given.only is None else 1
        counts, wrong = run(kind, first, first + count, structured=bool(given.structured))
        print(f"{kind:18}{count:8}{counts['read']:8}{counts['refused']:10}{len(wrong):8}"
              f"{time.monotonic() - begun:9.0f}", flush=True)  # fmt: skip
        for line in wrong[:20]:
            print("   ", line)
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
