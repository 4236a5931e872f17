"""HDF5 files that would keep libhdf5 busy for ever, end the process, or read other files."""

from __future__ import annotations

import shutil
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io._hdf5_guard import open_guarded
from spatial_duck.io._transform_files import read_transform

if TYPE_CHECKING:
    from collections.abc import Callable

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


# --- content in other files, and chunks that unpack to more than they may --------------------


def _external(file: h5py.File, name: str, like: h5py.Dataset, secret: Path) -> h5py.Dataset:
    secret.write_bytes(bytes(like.nbytes))
    return file.create_dataset(
        name, like.shape, like.dtype, external=[(str(secret), 0, like.nbytes)]
    )


def _link(file: h5py.File, name: str, like: h5py.Dataset, secret: Path) -> h5py.Dataset:
    with h5py.File(secret, "w") as other:
        other["data"] = np.zeros(like.shape, like.dtype)
    file[name] = h5py.ExternalLink(str(secret), "data")
    return file[name]


def _virtual(source: str, within: str) -> Callable[..., h5py.Dataset]:
    def make(file: h5py.File, name: str, like: h5py.Dataset, secret: Path) -> h5py.Dataset:
        if source in _ELSEWHERE:
            _ELSEWHERE[source](file, "source", like, secret)
        layout = h5py.VirtualLayout(like.shape, like.dtype)
        layout[...] = h5py.VirtualSource(
            within or str(secret), name if source == "itself" else "source", like.shape
        )
        return file.create_virtual_dataset(name, layout)

    return make


#: Makes the voxels of a dataset come from elsewhere, from nowhere or from themselves.
_ELSEWHERE: dict[str, Callable[..., h5py.Dataset]] = {
    "external": _external,
    "link": _link,
    "virtual": _virtual("nothing", ""),
}
_ELSEWHERE |= {
    f"virtual of {source}": _virtual(source, ".")
    for source in ("external", "link", "nothing", "itself")
}


def _minc(path: Path) -> Path:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    source = Path(nibabel.__file__).parent / "tests" / "data" / "small.mnc"
    if not source.exists():
        pytest.skip("nibabel's wheel has no MINC file")
    return Path(shutil.copy(source, path))


def _transform(path: Path) -> Path:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    sitk.WriteTransform(sitk.AffineTransform(3), str(path))
    return path


#: A file of each kind that lies in HDF5, the dataset of its numbers, and what reads it.
_FILES = {
    "a.h5": (foreign, "volume", io.read),
    "a.mnc": (_minc, "minc-2.0/image/0/image", io.read),
    "t.h5": (_transform, "TransformGroup/0/TransformParameters", read_transform),
}


def _replaced(folder: Path, name: str, make: Callable[..., h5py.Dataset]) -> Path:
    """Return a file whose dataset of numbers is replaced by another, with its attributes."""
    write, dataset, _ = _FILES[name]
    path = write(folder / name)
    with h5py.File(path, "a") as file:
        old = file.pop(dataset)
        attributes = dict(old.attrs)
        new = make(file, dataset, old, folder / "secret")
        if new.file == file:
            new.attrs.update({k: v for k, v in attributes.items() if k != "DIMENSION_LIST"})
    return path


@pytest.mark.parametrize("kind", _ELSEWHERE)
@pytest.mark.parametrize("name", _FILES)
def test_numbers_in_other_files_are_refused(name: str, kind: str, tmp_path: Path) -> None:
    path = _replaced(tmp_path, name, _ELSEWHERE[kind])
    with pytest.raises(UnsafeInputError, match="other files"):
        _FILES[name][2](path)


def _bomb(file: h5py.File, name: str, like: h5py.Dataset, _: Path) -> h5py.Dataset:
    """Make a dataset of one chunk, which unpacks to 64 MB."""
    data = file.create_dataset(
        name, like.shape, like.dtype, chunks=like.shape, compression="gzip", shuffle=True
    )
    data.id.write_direct_chunk((0,) * like.ndim, zlib.compress(bytes(1 << 26)))
    return data


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("name", _FILES)
def test_chunks_that_unpack_to_more_are_refused(
    name: str, lazy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spatial_duck.io._hdf5_guard.available_memory", lambda: 1 << 27)
    path = _replaced(tmp_path, name, _bomb)
    read = _FILES[name][2]
    with pytest.raises(UnsafeInputError, match="unpacks to more"):
        np.asarray(read(path, lazy=lazy)) if read is io.read else read(path)


def test_large_chunks_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatial_duck.io._hdf5_guard.available_memory", lambda: 1 << 10)
    values = np.arange(20**3).reshape((20,) * 3)
    io.write(tmp_path / "a.h5", sd.SpatialArray(values), compress=True, chunks=8)
    image = io.read(tmp_path / "a.h5", lazy=True)
    assert np.array_equal(np.asarray(image), values)
    assert np.array_equal(np.asarray(image[3:18:2, 5, ::-3]), values[3:18:2, 5, ::-3])
