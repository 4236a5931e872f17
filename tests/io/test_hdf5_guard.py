"""HDF5 files that would keep libhdf5 busy for ever, or read other files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._hdf5_guard import open_guarded

if TYPE_CHECKING:
    from pathlib import Path

h5py = pytest.importorskip("h5py", reason="needs h5py")

IMAGE = sd.SpatialArray(np.arange(24.0).reshape(2, 3, 4), spacing=(3, 2, 1), frame="LPS", unit="mm")


def foreign(path: Path) -> Path:
    """Write an image as others would: its attributes are strings of any length, in a heap."""
    with h5py.File(path, "w") as file:
        data = file.create_dataset("volume", data=IMAGE.data)
        data.attrs["dims"] = list(IMAGE.dims)
        data.attrs["sampled"] = [0, 1, 2]
        data.attrs["spacing"], data.attrs["origin"] = IMAGE.spacing, IMAGE.origin
        data.attrs["direction"] = IMAGE.direction
        data.attrs["world_axes"] = list(IMAGE.world.axes)
        data.attrs["world_units"] = ["mm"] * 3
        data.attrs["frame"] = "LPS"
    return path


def test_attributes_that_others_write_are_read(tmp_path: Path) -> None:
    image = io.read(foreign(tmp_path / "a.h5"))
    assert image.geometry.isclose(IMAGE.geometry)
    assert np.array_equal(np.asarray(image), IMAGE.data)


# 2**64 - 16 wraps round with the object's head of 16 bytes: libhdf5 never comes to the end.
@pytest.mark.parametrize("size", [2**64 - 16, 2**64 - 1, 1 << 40, 5000])
@pytest.mark.parametrize("number", [0, 3])
def test_an_object_that_leaves_its_heap_is_refused(size: int, number: int, tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"GCOL") + 16
    for _ in range(number):
        (length,) = struct.unpack_from("<Q", raw, at + 8)
        at += 16 + -(-length // 8) * 8
    struct.pack_into("<Q", raw, at + 8, size)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="heap"):
        io.read(path)


# libhdf5 goes on by the size of free space, which holds its own head: by none, it stays.
@pytest.mark.parametrize("size", [0, 8])
def test_free_space_of_no_size_is_refused(size: int, tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5")
    raw = bytearray(path.read_bytes())
    at = raw.index(b"GCOL") + 16
    struct.pack_into("<H", raw, at, 0)
    struct.pack_into("<Q", raw, at + 8, size)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="heap"):
        io.read(path)


def test_a_heap_that_leaves_its_file_is_refused(tmp_path: Path) -> None:
    path = foreign(tmp_path / "a.h5")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<Q", raw, raw.index(b"GCOL") + 8, 1 << 50)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match="heap declares"):
        io.read(path)


def test_a_text_in_the_voxels_is_no_heap(tmp_path: Path) -> None:
    text = np.frombuffer(b"GCOL and not a heap at all......" * 4, "u1").reshape(8, 16)
    io.write(tmp_path / "a.h5", sd.SpatialArray(text.copy()), compress=True)
    assert np.array_equal(np.asarray(io.read(tmp_path / "a.h5")), text)
    with open_guarded(tmp_path / "a.h5") as file:
        assert np.array_equal(file["image"][()], text)


@pytest.mark.parametrize("kind", ["external", "virtual"])
def test_voxels_in_other_files_are_refused(kind: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    path = foreign(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        attributes = dict(file["volume"].attrs)
        del file["volume"]
        if kind == "external":
            secret.write_bytes(bytes(192))
            data = file.create_dataset("volume", (2, 3, 4), "f8", external=[(str(secret), 0, 192)])
        else:
            with h5py.File(secret, "w") as other:
                other["data"] = IMAGE.data
            layout = h5py.VirtualLayout((2, 3, 4), "f8")
            layout[...] = h5py.VirtualSource(str(secret), "data", (2, 3, 4))
            data = file.create_virtual_dataset("volume", layout)
        data.attrs.update(attributes)
    with pytest.raises(UnsafeInputError, match="secret"):
        io.read(path)
