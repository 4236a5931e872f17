"""Mutated files: each is refused with an error of ours, or read; none crashes or hangs.

    python -m benchmarks.fuzz_files [--count 1000] [--format nrrd ...] [--seed 0]

A small image is written in each format. Copies of it are changed: bytes set at random, parts cut
out, doubled or swapped, numbers in text replaced by odd ones; half of the changes hit the header.
Subprocesses with a limit of 2 GiB of address space read them, with 5 s for each file. Whatever is
not an error of ours or an image within its declared size is printed with its number, by which
``--only`` repeats it.
"""

from __future__ import annotations

import argparse
import faulthandler
import resource
import signal
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import spatial_duck as sd
from spatial_duck import io

LIMIT = 2 << 30
SECONDS = 5


class Seed(NamedTuple):
    """How the file that is mutated is made."""

    name: str
    options: dict[str, Any]
    head: int  # bytes of its header, of which half of the mutations are


SEEDS = {
    "nifti": Seed("a.nii", {}, 352),
    "nifti-gz": Seed("a.nii.gz", {}, 400),
    "nrrd": Seed("a.nrrd", {}, 500),
    "nrrd-gz": Seed("a.nrrd", {"compress": True}, 500),
    "metaimage": Seed("a.mha", {}, 500),
    "metaimage-zlib": Seed("a.mha", {"compress": True}, 500),
    "dicom": Seed("a.d", {"format": "dicom"}, 1800),
    "tiff": Seed("a.tif", {"oblique": "keep"}, 400),
    "tiff-tiles": Seed("b.tif", {"oblique": "keep", "tile": 16, "compress": True}, 600),
    "hdf5": Seed("a.h5", {}, 3000),
    "npy": Seed("a.npy", {}, 128),
    "npy-side-car": Seed("a.npy", {}, 2000),
    "vti": Seed("a.vti", {}, 1000),
    "vti-zlib": Seed("a.vti", {"compress": True}, 1000),
    "png": Seed("a.png", {"oblique": "drop"}, 100),
}

_NUMBERS = [b"0", b"-1", b"nan", b"inf", b"1e308", b"4294967296", b"99999999999999999999", b"",
            b"x", b"1e-320", b"65535", b"2147483647"]  # fmt: skip


def make(kind: str, folder: Path) -> Path:
    """Write the file of a format that is mutated, and return the path of what is."""
    seed = SEEDS[kind]
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    flat = kind == "png"
    image = sd.SpatialArray(
        np.arange(5 * 24 * 20, dtype="u2").reshape((120, 20) if flat else (5, 24, 20)),
        spacing=(0.5, 0.25) if flat else (3, 2, 1), direction=None if flat else turn, unit="mm",
        frame="LPS" if not flat else None,
    )  # fmt: skip
    io.write(folder / seed.name, image, **seed.options)
    place = folder / seed.name
    if kind == "npy-side-car":
        return folder / "a.npy.json"
    return sorted(place.iterdir())[1] if place.is_dir() else place


def mutated(raw: bytes, head: int, number: int) -> bytes:
    """Return a changed copy; the number says how."""
    rng = np.random.default_rng(number)
    data = bytearray(raw)
    for _ in range(int(rng.integers(1, 4))):
        end = min(head, len(data)) if rng.random() < 0.5 else len(data)
        if not end:
            break
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
    return bytes(data)


def _read(path: Path) -> str:
    """Read a file as a user would, and say what came of it."""
    try:
        # Its format is given: else most would be no file of it at all.
        found = io.info(path)
        image = io.read(path, lazy=False)
        np.asarray(image)
        image.geometry.index_to_physical(np.zeros(image.ndim))
    except (sd.SpatialDuckError, FileNotFoundError):
        return "refused"
    if (image.shape, image.dtype) != (found.geometry.shape, found.dtype):
        return f"WRONG {image.shape} {image.dtype} where info says {found.geometry.shape}"
    return "read"


def work(kind: str, first: int, last: int) -> None:
    """Read mutations in this process, printing the number of each before it and what came after."""
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))

    def late(*_: Any) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = make(kind, folder)
        raw, seed = path.read_bytes(), SEEDS[kind]
        for number in range(first, last):
            print(number, end=" ", flush=True)
            path.write_bytes(mutated(raw, seed.head, number))
            signal.alarm(SECONDS)
            # Code in C does not see the alarm.
            faulthandler.dump_traceback_later(2 * SECONDS, exit=True)
            try:
                told = _read(folder / seed.name)
            except BaseException as error:  # all of them are what is looked for
                told = f"WRONG {type(error).__name__}: {str(error)[:200]}".replace("\n", " ")
            signal.alarm(0)
            faulthandler.cancel_dump_traceback_later()
            print(told, flush=True)


def run(kind: str, first: int, last: int) -> tuple[dict[str, int], list[str]]:
    """Read mutations in subprocesses; one that ends early is followed by another."""
    counts = {"read": 0, "refused": 0}
    wrong = []
    while first < last:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.fuzz_files", "--work", kind, str(first), str(last)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        lines = done.stdout.splitlines()
        for line in lines:
            number, _, told = line.partition(" ")
            if told in counts:
                counts[told] += 1
            elif told:
                wrong.append(f"{kind} {number}: {told}")
        reached = [int(line.partition(" ")[0]) for line in lines if line[:1].isdigit()]
        at = reached[-1] if reached else first
        if done.returncode or not reached:
            wrong.append(f"{kind} {at}: the process ended with {done.returncode}: "
                         f"{done.stderr[-300:]}")  # fmt: skip
        first = at + 1
    return counts, wrong


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", nargs="*", default=list(SEEDS), choices=list(SEEDS))
    parser.add_argument("--only", type=int, help="one number")
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        work(given.work[0], int(given.work[1]), int(given.work[2]))
        return
    first = given.seed if given.only is None else given.only
    last = first + (given.count if given.only is None else 1)
    failed = False
    print(f"{'format':16}{'read':>8}{'refused':>10}{'wrong':>8}")
    for kind in given.format:
        counts, wrong = run(kind, first, last)
        print(f"{kind:16}{counts['read']:8}{counts['refused']:10}{len(wrong):8}", flush=True)
        for line in wrong[:20]:
            print("   ", line)
        failed |= bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()
