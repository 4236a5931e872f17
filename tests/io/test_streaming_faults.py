"""Writers that are stopped, that meet each other, or whose files are damaged afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from benchmarks import faults
from spatial_duck import io
from spatial_duck.errors import FormatError
from spatial_duck.io import _publishing as publishing
from spatial_duck.io.ngff import _block_plan as blockplan
from spatial_duck.io.ngff import _journal as journal

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")
da = pytest.importorskip("dask.array", reason="needs dask")

OPTIONS: dict[str, Any] = {"chunks": 16, "levels": 3, "shards": False}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: Any) -> None:
    monkeypatch.setattr(blockplan, "_BLOCK_BYTES", 1)


def volume(seed: int = 0, shape: tuple[int, ...] = (40, 50, 30)) -> sd.SpatialArray:
    values = np.random.default_rng(seed).integers(1, 999, shape).astype("i2")
    return sd.SpatialArray(values, spacing=(2, 1, 1), unit="mm")


class Stop:
    """A progress hook that interrupts at its n-th call."""

    def __init__(self, n: int) -> None:
        self.left = n

    def __call__(self, done: int, total: int) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def interrupted(path: Path, image: sd.SpatialArray, n: int = 10, **options: Any) -> None:
    with pytest.raises(KeyboardInterrupt) as caught:
        io.write(path, image, progress=Stop(n), **OPTIONS, **options)
    assert "resume=True" in caught.value.__notes__[0]


def unfinished(path: Path) -> Path:
    """Return the folder in which a write was interrupted."""
    (found,) = journal.partial_path(path).glob(f"*/{path.name}")
    return found


def wrong(found: Any) -> list[str]:
    return [what for what in found if what.startswith("wrong")]


# --- stopped writers ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs signals of POSIX")
@pytest.mark.parametrize(
    "name, count",
    [
        ("SIGKILL", 10),
        ("SIGINT", 4),
        pytest.param("SIGKILL", 200, marks=pytest.mark.long),
        pytest.param("SIGINT", 40, marks=pytest.mark.long),
    ],
)
def test_a_stopped_writer_leaves_the_old_the_new_or_a_refusal(
    name: str, count: int, tmp_path: Path
) -> None:
    found = faults.signal_runs(count, tmp_path, getattr(signal, name), seed=count)
    assert not wrong(found)
    same = ("resumed to the same bytes", "complete with the same bytes")
    assert sum(found[s] for s in same) == count
    assert found["refused"] + found["old"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs a tmpfs")
@pytest.mark.parametrize("count", [4, pytest.param(20, marks=pytest.mark.long)])
def test_a_full_disk_leaves_the_old_the_new_or_a_refusal(count: int, tmp_path: Path) -> None:
    probe = tmp_path / "probe"
    probe.mkdir()
    try:
        with faults.mounted(probe, 1 << 16):
            pass
    except OSError as error:
        pytest.skip(str(error))
    folder = tmp_path / "disks"
    folder.mkdir()
    found = faults.full_disk_runs(count, folder)
    assert not wrong(found)
    assert found["in the end the same bytes"] == count
    assert found["out of space"]


#: Where in publishing the process dies, whether names can be swapped, and what is then there.
DEATHS = {
    "before, swapping": ("noted", True, "old"),
    "after, swapping": ("swapped", True, "new"),
    "before, renaming": ("noted", False, "old"),
    "between two renames": ("old moved", False, "refused"),
    "after, renaming": ("new moved", False, "new"),
}

_DYING = """
import os, signal, sys, pathlib
from benchmarks import faults
from spatial_duck.io import _publishing as publishing
from spatial_duck.io.ngff import _block_plan as blockplan, _journal as journal
path, where, swaps = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
swap, rename, noted = publishing.exchange, pathlib.Path.rename, journal.Journal._append
def _exchange(a, b):
    if not swaps:
        return False
    assert swap(a, b)
    where == "swapped" and die()
    return True
def _rename(a, b):
    made = rename(a, b)
    where == ("old moved" if b.name == "old" else "new moved") and die()
    return made
def _append(self, record):
    noted(self, record)
    "publish" in record and where == "noted" and die()
publishing.exchange, pathlib.Path.rename, journal.Journal._append = _exchange, _rename, _append
faults.write(path, 2, overwrite=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs names that can be swapped")
@pytest.mark.parametrize("again", ["resumed", "anew"])
@pytest.mark.parametrize("name", list(DEATHS))
def test_a_writer_that_dies_while_it_publishes(name: str, again: str, tmp_path: Path) -> None:
    where, swaps, wanted = DEATHS[name]
    path = tmp_path / "a.ome.zarr"
    faults.write(path, 1)
    reference = tmp_path / "reference" / "a.ome.zarr"
    reference.parent.mkdir()
    faults.write(reference, 2)
    done = subprocess.run([sys.executable, "-c", _DYING, str(path), where, str(swaps)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert faults.state(path, 1, 2) == wanted
    faults.write(path, 2, overwrite=True, resume=again == "resumed")
    assert faults.trees_differ(path, reference) is None
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_what_two_renames_moved_comes_back_where_the_second_fails(
    tmp_path: Path, monkeypatch: Any
) -> None:
    path = tmp_path / "a.ome.zarr"
    io.write(path, volume(1), **OPTIONS)
    monkeypatch.setattr(publishing, "exchange", lambda a, b: False)
    rename = type(path).rename

    def fails(self: Path, target: Path) -> Path:
        if self.name == "a.ome.zarr" and self.parent.parent.name.endswith(".partial"):
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(type(path), "rename", fails)
    with pytest.raises(OSError, match="no"):
        io.write(path, volume(2), overwrite=True, **OPTIONS)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(volume(1)))


# --- resuming -----------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("method", ["mean", "gaussian", "mode"])
def test_a_resumed_write_computes_the_rest_and_has_the_same_bytes(
    method: str, version: str, tmp_path: Path
) -> None:
    options = {"version": version, "method": method}
    source = np.asarray(volume())
    asked: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        place = block_info[None]["array-location"]
        asked.append(tuple(map(tuple, place)))
        return source[tuple(slice(*p) for p in place)]

    chunks = ((16, 16, 8), (16, 16, 16, 2), (16, 14))
    image = volume().replace(data=da.map_blocks(block, chunks=chunks, dtype="i2"))
    whole, path = tmp_path / "whole" / "a.zarr", tmp_path / "a.zarr"
    whole.parent.mkdir()
    io.write(whole, image, **OPTIONS, **options)
    for n in (5, 9, 3):
        interrupted(path, image, n, resume=True, **options)
        with pytest.raises(FormatError, match="resume=True"):
            io.read(path)
        with pytest.raises(FormatError, match="resume=True"):
            io.read(path, format="ome-zarr")
    # Blocks as small as they were, whatever memory there is now.
    done = len(journal.Journal(journal.partial_path(path), path).done)
    assert done >= 14
    asked.clear()
    io.write(path, image, resume=True, **{**OPTIONS, **options, "memory": "1 GB"})
    assert faults.trees_differ(path, whole) is None
    assert len(asked) <= 24 - min(done, 24) + 2 * 8
    assert not journal.partial_path(path).exists()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        io.write(path, image, resume=True, **OPTIONS, **options)


OTHERS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "geometry": (lambda v: v.replace(origin=(9, 9, 9)), {}, r"geometry\.levels\[0\]\.origin"),
    "dtype": (lambda v: v.astype("i4"), {}, "dtype"),
    "shape": (lambda v: v[1:], {}, r"geometry\.levels\[0\]\.shape was \[40, 50, 30\]"),
    "voxels": (lambda v: v + 1, {}, "other voxels"),
    "chunks": (lambda v: v, {"chunks": 8}, r"chunks\[0\] was \[16, 16, 16\]"),
    "method": (lambda v: v, {"method": "mode"}, "was 'mean' and is 'mode' now"),
    "version": (lambda v: v, {"version": "0.4"}, r"version was '0\.5'"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(OTHERS))
def test_another_image_is_refused_to_resume(name: str, tmp_path: Path) -> None:
    change, options, message = OTHERS[name]
    path = tmp_path / "a.zarr"
    interrupted(path, volume())
    with pytest.raises(FormatError, match=message):
        io.write(path, change(volume()), resume=True, **{**OPTIONS, **options})
    # It is still there to be continued by its own image; or starts again without it.
    io.write(path, volume(), resume=True, **OPTIONS)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(volume()))
    interrupted(path, volume(), overwrite=True)
    io.write(path, change(volume()), overwrite=True, **{**OPTIONS, **options})
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(change(volume())))


@pytest.mark.slow
def test_a_journal_that_was_cut_off_costs_a_block(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    whole = tmp_path / "whole" / "a.zarr"
    whole.parent.mkdir()
    io.write(whole, volume(), **OPTIONS)
    for cut in (1, 5, 30, 10_000):
        interrupted(path, volume())
        notes = journal.partial_path(path) / "journal"
        notes.write_bytes(notes.read_bytes()[:-cut])
        # Half a chunk, as the store leaves it.
        (unfinished(path) / "0" / "c.0123.partial").write_bytes(b"half")
        io.write(path, volume(), resume=True, **OPTIONS)
        assert faults.trees_differ(path, whole) is None
        shutil.rmtree(path)


def test_chunks_that_vanish_meanwhile_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    interrupted(path, volume(), 24)
    said = journal.describe_unfinished(path)
    assert said
    assert journal.describe_unfinished(unfinished(path)) == said
    chunks = [p for p in (unfinished(path) / "1").rglob("*") if p.is_file()]
    others = [p for p in chunks if p.name != "zarr.json"]
    if not others:
        chunks = (unfinished(path) / "0").rglob("*")
        others = sorted(p for p in chunks if p.is_file() and p.name != "zarr.json")
    min(others, key=lambda p: p.stat().st_size).unlink()
    with pytest.raises(FormatError, match=r"missing|chunk files"):
        io.write(path, volume(), resume=True, **OPTIONS)
    assert not path.exists()


def test_a_failure_in_the_image_keeps_what_was_written(tmp_path: Path) -> None:
    fails = [True]

    def block(values: np.ndarray, block_id: Any = None) -> np.ndarray:
        if fails[0] and block_id == (2, 2, 1):
            raise RuntimeError("the network is down")
        return values

    data = da.from_array(np.asarray(volume()), chunks=16).map_blocks(block)
    image = volume().replace(data=data)
    path = tmp_path / "a.zarr"
    with pytest.raises(RuntimeError, match="network"):
        io.write(path, image, **OPTIONS)
    assert not path.exists()
    fails[0] = False
    io.write(path, image, resume=True, **OPTIONS)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(volume()))


# --- two writers --------------------------------------------------------------------------

_SECOND = """
import sys, numpy, spatial_duck as sd
from spatial_duck import io
try:
    io.write(sys.argv[1], sd.SpatialArray(numpy.ones((4, 4))), overwrite=True)
except BlockingIOError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_second_writer_is_refused_before_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    said: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        if not said:
            for where in ("here", "there"):
                if where == "here":
                    with pytest.raises(BlockingIOError, match="nothing was written") as caught:
                        io.write(path, volume(1), overwrite=True, resume=True)
                    said.append(str(caught.value))
                else:
                    command = [sys.executable, "-c", _SECOND, str(path)]
                    ran = subprocess.run(command, capture_output=True, text=True, check=True)
                    said.append(ran.stdout)

    io.write(path, volume(), progress=meanwhile, **OPTIONS)
    assert len(said) == 2
    assert all(f"process {os.getpid()} on " in text and "a.zarr" in text for text in said)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(volume()))


# --- damaged stores -----------------------------------------------------------------------


def chunk_files(path: Path) -> list[Path]:
    files = [p for p in (path / "0").rglob("*") if p.is_file()]
    return sorted(p for p in files if not p.name.startswith((".z", "zarr")))


@pytest.mark.parametrize("version, shards", [("0.4", False), ("0.5", False), ("0.5", 32)])
def test_a_missing_chunk_is_refused_and_not_filled(
    version: str, shards: Any, tmp_path: Path
) -> None:
    path = tmp_path / "a.zarr"
    options = {**OPTIONS, "version": version, "shards": shards}
    # Blocks of fill values are stored as well.
    image = volume() * 0
    io.write(path, image, **options)
    assert not np.asarray(io.read(path)).any()
    files = chunk_files(path)
    assert len(files) == (24 if not shards else 4)
    files[-1].unlink()
    lazy = io.read(path)
    assert not np.asarray(lazy[:16, :16, :16]).any()
    for take in (np.asarray, lambda v: v[-1, -1, -1].compute(), lambda v: v.chunk().compute()):
        with pytest.raises(FormatError, match="is missing"):
            take(lazy)
    assert not np.asarray(io.read(path, missing="fill")).any()
    with pytest.raises(ValueError, match="missing must be"):
        io.read(path, missing="ignore")


@pytest.mark.parametrize("version, shards", [("0.4", False), ("0.5", False), ("0.5", 32)])
def test_every_flipped_bit_of_a_chunk_is_found(version: str, shards: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    io.write(path, volume(), **{**OPTIONS, "version": version, "shards": shards})
    file = chunk_files(path)[0]
    content = file.read_bytes()
    rng = np.random.default_rng(0)
    for at in [0, len(content) - 1, *rng.integers(0, len(content), 20)]:
        broken = bytearray(content)
        broken[at] ^= 1 << int(rng.integers(8))
        file.write_bytes(bytes(broken))
        with pytest.raises((OSError, ValueError, RuntimeError, MemoryError, zlib.error)):
            np.asarray(io.read(path))
    file.write_bytes(content)
    assert np.array_equal(np.asarray(io.read(path)), np.asarray(volume()))


def test_array_metadata_that_disagree_with_the_record_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    io.write(path, volume(), **OPTIONS)
    name = path / "0" / "zarr.json"
    content = json.loads(name.read_text())
    content["shape"] = [140, 50, 30]
    name.write_text(json.dumps(content))
    with pytest.raises(FormatError, match="the metadata were changed"):
        io.read(path)


def test_lazy_names_of_a_store_are_the_same_each_time(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    io.write(path, volume(), **OPTIONS)
    assert io.read(path).chunk().data.name == io.read(path).chunk().data.name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_same_voxels_have_the_same_bytes_at_any_time(
    version: str, tmp_path: Path, monkeypatch: Any
) -> None:
    for n, now in enumerate((1.0, 2.0e9)):
        monkeypatch.setattr("time.time", lambda now=now: now)
        (tmp_path / str(n)).mkdir()
        io.write(tmp_path / str(n) / "a.zarr", volume(), version=version, **OPTIONS)
    assert faults.trees_differ(tmp_path / "0" / "a.zarr", tmp_path / "1" / "a.zarr") is None
