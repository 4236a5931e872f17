"""The runs of `benchmarks.safety`, shortened: nothing comes through unsaid, nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from benchmarks import safety
from spatial_duck import _locks, io
from spatial_duck.backends.zarr import _write_lock as zarr_locks
from spatial_duck.io import _safety as checks
from spatial_duck.io.ngff import _checksum as checksums

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

for _package in ("h5py", "imageio", "nibabel", "numcodecs", "zarr"):
    pytest.importorskip(_package, reason=f"needs {_package}")


@pytest.mark.slow
@pytest.mark.parametrize("kind", safety.FLIPPED)
def test_no_flipped_bit_goes_unsaid(kind: str) -> None:
    found = [*safety.flips(kind, 40, seed=1)]
    assert not [row for row in found if row[0].startswith("wrong")]
    assert sum(what == "refused" for what, _ in found) > 30


@pytest.mark.long
@pytest.mark.parametrize("kind", safety.FLIPPED)
def test_no_flipped_bit_goes_unsaid_in_a_long_run(kind: str) -> None:
    assert not [row for row in safety.flips(kind, 3000, seed=2) if row[0].startswith("wrong")]


def test_every_changed_word_of_the_attributes_is_told(tmp_path: Path) -> None:
    """Single bits of the metadata alone, where whole words may be lost: all of one byte in 29."""
    path = tmp_path / "a.ome.zarr"
    sd.write(path, safety.image(), levels=1, chunks=16, shards=False)
    reference = safety.load(path)
    file = path / "zarr.json"
    old = file.read_bytes()
    for byte in range(0, len(old), 29):
        new = bytearray(old)
        new[byte] ^= 4
        file.write_bytes(new)
        assert not safety.outcome(path, reference).startswith("wrong"), old[byte - 9 : byte + 9]


def test_what_another_program_changes_is_told_and_read(tmp_path: Path) -> None:
    import zarr

    path = tmp_path / "a.ome.zarr"
    image = safety.image()
    sd.write(path, image, levels=1)
    zarr.open_group(str(path), mode="r+").attrs["viewer"] = {"colour": "red"}
    with pytest.warns(UserWarning, match="are not those that were written with it"):
        assert sd.read(path).geometry == image.geometry


def test_stores_without_seals_are_read(tmp_path: Path) -> None:
    import zarr

    path = tmp_path / "a.ome.zarr"
    sd.write(path, safety.image(), levels=1)
    group = zarr.open_group(str(path), mode="r+")
    del group["0"].attrs["spatial_duck"]
    group.attrs["viewer"] = "red"
    assert sd.read(path).geometry == safety.image().geometry
    assert len(checksums.checksum({})) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", safety.BOMBS)
def test_bombs_stop_at_the_declared_size(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(safety, "_BOMB", 1 << 27)
    monkeypatch.setattr(safety, "BOMBS", {name: safety.BOMBS[name]})
    ((_, (found, _), grown),) = safety.bombs()
    assert found == "refused"
    assert grown < 60e6


@pytest.mark.parametrize(
    "makers", [safety.TRAVERSALS, safety.GIANTS, safety.OBJECTS], ids=["paths", "giants", "objects"]
)
def test_files_that_ask_for_too_much_are_refused(
    makers: dict[str, Callable[[Path], Path]],
) -> None:
    assert {found for found, _ in safety.tried(makers)} == {"refused"}


# --- writers ------------------------------------------------------------------------------

needs_locks = pytest.mark.skipif(_locks.fcntl is None, reason="files are not locked here")


@pytest.mark.slow
@needs_locks
@pytest.mark.parametrize("aligned", [True, False])
def test_two_writers_lose_nothing(aligned: bool) -> None:
    assert {found for found, _ in safety.two_writers(aligned, 2)} == {"complete"}


WHOLE, PART = (slice(0, 4, 1),) * 2, (slice(0, 3, 1),) * 2


@pytest.fixture(params=["folder", "memory"])
def volume(request: pytest.FixtureRequest, tmp_path: Path) -> sd.SpatialArray:
    """An image of 8 by 8 zeros on a store, in chunks of 4 by 4."""
    import zarr

    store = tmp_path / "a" if request.param == "folder" else zarr.storage.MemoryStore()
    return sd.SpatialArray(
        zarr.create_array(store, shape=(8, 8), chunks=(4, 4), dtype="u1", fill_value=0)
    )


_FORKED = """
import os, sys, threading, zarr
import spatial_duck as sd
from spatial_duck.backends.zarr._write_lock import write_lock

array = zarr.create_array(sys.argv[1], shape=(8, 8), chunks=(4, 4), dtype="u1", fill_value=0)
image, held, go = sd.SpatialArray(array), threading.Event(), threading.Event()

def hold():
    with write_lock(array, (slice(0, 3, 1),) * 2):
        held.set()
        go.wait()

thread = threading.Thread(target=hold)
thread.start()
held.wait()
ready, child_says = os.pipe()
child = os.fork()
if child == 0:
    os.write(child_says, b"x")
    threading.Event().wait(60)
    os._exit(0)
os.read(ready, 1)
try:
    with sd.config(max_wait_seconds=0):
        try:
            image[0, :3] = 1
            sys.exit("the lock was lost by the fork")
        except BlockingIOError:
            pass
        go.set()
        thread.join()
        image[0, :3] = 1
finally:
    go.set()
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


@pytest.mark.slow
@needs_locks
@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_holds_no_turn(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKED, str(tmp_path / "a")],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def _stream(volume: sd.SpatialArray) -> None:
    """Write across chunks, more than is held in memory."""
    da = pytest.importorskip("dask.array", reason="needs dask")
    with sd.config(max_read_bytes=4):
        volume[1:, 1:] = da.ones((7, 7), "u1", chunks=3)


_PARTIAL_WRITES: dict[str, Callable[[sd.SpatialArray], None]] = {
    "box": lambda v: v.__setitem__((0, slice(3)), 1),
    "points": lambda v: v.__setitem__(([0, 1], [2, 5]), 1),
    "mask": lambda v: v.__setitem__(np.eye(8, dtype=bool), 1),
    "rows": lambda v: v.__setitem__([0, 7], 1),
    "ufunc": lambda v: np.add(v[1:], 1, out=v[1:]),
    "blocks": _stream,
}


@needs_locks
@pytest.mark.parametrize("write", _PARTIAL_WRITES.values(), ids=_PARTIAL_WRITES)
def test_a_writer_that_gets_no_lock_has_written_nothing(
    volume: sd.SpatialArray, write: Callable[[sd.SpatialArray], None]
) -> None:
    array = volume.data.array
    with sd.config(max_wait_seconds=0):
        for other in (WHOLE, PART):
            with (
                zarr_locks.write_lock(array, other),
                pytest.raises(BlockingIOError, match=r"not begun.*max_wait_seconds"),
            ):
                write(volume)
            assert not array[...].any()
        write(volume)  # and the lock is released; a writer never waits for itself
    assert array[...].any()


@needs_locks
def test_whole_chunks_are_written_side_by_side_and_wait_for_parts(volume: sd.SpatialArray) -> None:
    array = volume.data.array
    with sd.config(max_wait_seconds=0):
        with zarr_locks.write_lock(array, WHOLE):
            volume[4:] = 1
        with (
            zarr_locks.write_lock(array, PART),
            pytest.raises(BlockingIOError, match="shares chunks"),
        ):
            volume[:4] = 1
    assert not array[:4].any()
    assert array[4:].all()


@needs_locks
def test_a_lock_holds_while_the_metadata_are_replaced(volume: sd.SpatialArray) -> None:
    array = volume.data.array
    with zarr_locks.write_lock(array, PART), sd.config(max_wait_seconds=0):
        array.update_attributes({"a": 1})
        with pytest.raises(BlockingIOError):
            volume[0, :3] = 1


@needs_locks
def test_a_writer_waits_for_the_lock(volume: sd.SpatialArray) -> None:
    def hold() -> None:
        with zarr_locks.write_lock(volume.data.array, PART):
            held.set()
            time.sleep(0.1)
            volume.data.array[0, 7] = 9

    held = threading.Event()
    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with sd.config(max_wait_seconds=60):
        volume[0, :3] = 1
    other.join()
    assert volume.data.array[0].tolist() == [1, 1, 1, 0, 0, 0, 0, 9]


@needs_locks
def test_file_systems_without_locks_are_written_to(
    volume: sd.SpatialArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(file: int, kind: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(_locks.fcntl, "flock", refuse)
    volume[0, :3] = 1
    assert volume.data.array[0, :3].all()


@pytest.mark.parametrize(
    "selection, whole",
    [
        ((slice(0, 10, 1), slice(0, 7, 1)), True),
        ((slice(4, 8, 1), slice(3, 6, 1)), True),
        ((slice(8, 10, 1), slice(6, 7, 1)), True),
        ((slice(4, 9, 1), slice(0, 7, 1)), False),
        ((slice(3, 8, 1), slice(0, 7, 1)), False),
        ((slice(0, 8, 2), slice(0, 7, 1)), False),
        ((0, slice(0, 7, 1)), False),
        ((np.array([0, 1, 2, 3]), slice(0, 7, 1)), False),
    ],
)
def test_whole_chunks(selection: Any, whole: bool) -> None:
    assert zarr_locks.covers_chunks(selection, (10, 7), (4, 3)) is whole


def test_axes_of_one_chunk_or_of_chunks_of_one_are_always_whole() -> None:
    assert zarr_locks.covers_chunks((3, slice(0, 7, 1)), (10, 7), (1, 7))
    assert zarr_locks.covers_chunks((slice(0, 9, 3), 0), (10, 1), (1, 4))


# --- read-only ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha", "a.npy", "a.ome.zarr", "a.vti"])
def test_what_was_read_is_read_only_on_disk(name: str, tmp_path: Path) -> None:
    """Writing into an image that was read never reaches its file."""
    path = tmp_path / name
    sd.write(path, safety.image(), **({"shards": False} if "zarr" in name else {}))
    files = [p for p in ([path] if path.is_file() else path.rglob("*")) if p.is_file()]
    before = [p.read_bytes() for p in files]
    for p in files:
        p.chmod(0o444)
    found = io.read(path)
    with contextlib.suppress(ValueError, TypeError):  # read-only, or a copy in memory
        found[...] = 0
    assert [p.read_bytes() for p in files] == before


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere"
)
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(PermissionError):
            sd.write(tmp_path / "a.nrrd", safety.image())
    finally:
        tmp_path.chmod(0o755)


# --- what the checks allow, to the byte ---------------------------------------------------


def test_a_name_that_leads_out_is_refused_unless_it_is_asked_for(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "a.raw").touch()
    header = inside / "a.mhd"
    for name in ("../a.raw", str(tmp_path / "a.raw")):
        with pytest.raises(sd.UnsafeInputError):
            checks.confine_path(header, name)
        assert checks.confine_path(header, name, anywhere=True).name == "a.raw"
    (inside / "a.raw").touch()
    assert checks.confine_path(header, "a.raw") == (inside / "a.raw").resolve()


def test_limits_are_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count, dtype = checks.count_bytes, np.dtype("u2")
    assert count((0, 5), dtype) == 0
    assert count((3, 5), dtype) == 30
    with pytest.raises(sd.FormatError, match="0 or more"):
        count((3, -1), dtype)
    monkeypatch.setattr(checks, "available_memory", lambda: 100)
    checks.check_memory("a", 100)
    with pytest.raises(sd.UnsafeInputError):
        checks.check_memory("a", 101)
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(10))
    checks.check_size(path, 10)
    checks.check_size(path, 8, 2)
    for needed, offset in ((11, 0), (9, 2), (1, -1)):
        with pytest.raises(sd.FormatError):
            checks.check_size(path, needed, offset)
    most = 10 * checks.HIGHEST_RATIO["gzip"]
    checks.check_size(path, most, compression="gzip")
    with pytest.raises(sd.UnsafeInputError):
        checks.check_size(path, most + 1, compression="gzip")
    with pytest.raises(sd.UnsafeInputError):
        checks.check_size(path, 1, 20, compression="gzip")
