"""Files that ask for something unsafe, and targets that are complete or not there."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.io import _safety as safety

if TYPE_CHECKING:
    from pathlib import Path

for _package in ("nibabel", "nrrd", "zarr"):
    pytest.importorskip(_package, reason=f"needs {_package}")

NAMES = ("a.nii", "a.nii.gz", "a.nrrd", "a.mha", "a.ome.zarr", "a.mhd", "b.nhdr")


def image() -> sd.SpatialArray:
    rng = np.random.default_rng(3)
    return sd.SpatialArray(rng.random((6, 7, 8)), frame="LPS", unit="mm")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_replaced_unasked_and_the_old_stays_on_failure(
    name: str, tmp_path: Path
) -> None:
    io.write(tmp_path / name, image())
    with pytest.raises(FileExistsError, match="overwrite=True"):
        io.write(tmp_path / name, image() * 0)
    before = np.asarray(io.read(tmp_path / name, lazy=False)).copy()

    def there() -> list[str]:
        # What was written of a store stays for resume=True.
        left = f"{name}.partial"
        return sorted(
            p.name for p in tmp_path.iterdir()
            if not ("zarr" in name and p.name.startswith(".") and p.name.endswith(left))
        )  # fmt: skip

    names = there()

    def fail(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        io.write(tmp_path / name, image() * 0, overwrite=True, progress=fail)
    assert np.array_equal(np.asarray(io.read(tmp_path / name)), before)
    assert there() == names
    with pytest.raises(KeyboardInterrupt):
        io.write(tmp_path / ("b" + name), image(), progress=fail)
    assert there() == names
    io.write(tmp_path / name, image() * 0, overwrite=True)
    assert not np.asarray(io.read(tmp_path / name)).any()


def test_a_mapped_file_can_be_overwritten_by_its_own_image(tmp_path: Path) -> None:
    for name in NAMES:
        io.write(tmp_path / name, image())
        mapped = io.read(tmp_path / name)
        expected = np.asarray(mapped)[::-1].copy()
        frameless = mapped[::-1] if "zarr" not in name else mapped
        if "zarr" in name:
            expected = expected[::-1]
        io.write(tmp_path / name, frameless, overwrite=True)
        assert np.array_equal(np.asarray(io.read(tmp_path / name)), expected)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr"])
@pytest.mark.parametrize("way", ["dots", "absolute", "link"])
def test_data_files_elsewhere_are_refused(name: str, way: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    io.write(inside / name, image())
    secret = tmp_path / "a.raw"
    (inside / "a.raw").rename(secret)
    target = {"dots": "../a.raw", "absolute": str(secret), "link": "a.raw"}[way]
    if way == "link":
        (inside / "a.raw").symlink_to(secret)
    text = (inside / name).read_bytes()
    (inside / name).write_bytes(text.replace(b"a.raw", target.encode()))
    with pytest.raises(UnsafeInputError, match="data_anywhere=True"):
        io.read(inside / name)
    there = io.read(inside / name, data_anywhere=True)
    assert np.array_equal(np.asarray(there), np.asarray(image()))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "b.nrrd", "a.mha", "b.mha"])
def test_cut_files_are_format_errors(name: str, tmp_path: Path) -> None:
    options = {"compress": True} if name[0] == "b" else {}
    io.write(tmp_path / name, image(), **options)
    content = (tmp_path / name).read_bytes()
    for n in (0, 1, 100, len(content) // 2, len(content) - 1):
        (tmp_path / name).write_bytes(content[:n])
        with pytest.raises(FormatError):
            io.read(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nii.gz", "b.nrrd", "b.mha"])
def test_a_wrong_checksum_is_found(name: str, tmp_path: Path) -> None:
    io.write(tmp_path / name, image(), **({"compress": True} if name[0] == "b" else {}))
    content = bytearray((tmp_path / name).read_bytes())
    content[-7 if name != "b.mha" else -2] ^= 1
    (tmp_path / name).write_bytes(bytes(content))
    with pytest.raises(FormatError):
        io.read(tmp_path / name)


HUGE: list[tuple[str, bytes, bytes]] = [
    ("a.nrrd", b"sizes: 8 7 6", b"sizes: 800000 700000 600000"),
    ("b.nrrd", b"sizes: 8 7 6", b"sizes: 800000 700000 600000"),
    ("a.mha", b"DimSize = 8 7 6", b"DimSize = 800000 700000 600000"),
    ("b.mha", b"DimSize = 8 7 6", b"DimSize = 800000 700000 600000"),
]


@pytest.mark.parametrize("name,old,new", HUGE, ids=[h[0] for h in HUGE])
def test_declared_sizes_are_checked_before_allocation(
    name: str, old: bytes, new: bytes, tmp_path: Path
) -> None:
    io.write(tmp_path / name, image(), **({"compress": True} if name[0] == "b" else {}))
    content = (tmp_path / name).read_bytes()
    assert old in content
    (tmp_path / name).write_bytes(content.replace(old, new))
    with pytest.raises(FormatError, match="declares"):
        io.read(tmp_path / name)


def test_a_nifti_header_that_declares_too_much(tmp_path: Path) -> None:
    io.write(tmp_path / "a.nii", image())
    content = bytearray((tmp_path / "a.nii").read_bytes())
    content[42:48] = np.array([30000] * 3, "<i2").tobytes()
    (tmp_path / "a.nii").write_bytes(bytes(content))
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(content)))
    for name in ("a.nii", "a.nii.gz"):
        with pytest.raises(FormatError, match="declares"):
            io.read(tmp_path / name)


def test_memory_is_asked_for_first(monkeypatch: Any, tmp_path: Path) -> None:
    io.write(tmp_path / "a.nii.gz", image())
    monkeypatch.setattr(safety, "available_memory", lambda: 100)
    with pytest.raises(UnsafeInputError, match="100 bytes"):
        io.read(tmp_path / "a.nii.gz")
    assert io.info(tmp_path / "a.nii.gz").geometry.shape == (8, 7, 6)


BAD_GEOMETRY: list[tuple[str, bytes, bytes]] = [
    ("a.nrrd", b"space origin: (0.0,", b"space origin: (nan,"),
    ("a.nrrd", b"(1.0,0.0,0.0)", b"(0.0,0.0,0.0)"),
    ("a.nrrd", b"space: left-posterior-superior", b"space: left-posterior-sideways"),
    ("a.mha", b"Offset = 0.0", b"Offset = inf"),
    ("a.mha", b"ElementSpacing = 1.0", b"ElementSpacing = 0.0"),
    ("a.mha", b"ElementSpacing = 1.0", b"ElementSpacing = -1.0"),
    ("a.mha", b"TransformMatrix = 1.0", b"TransformMatrix = 0.0"),
    ("a.mha", b"NDims = 3", b"NDims = three"),
    ("a.mha", b"MET_DOUBLE", b"MET_OTHER"),
]


@pytest.mark.parametrize("name,old,new", BAD_GEOMETRY, ids=lambda v: str(v)[:30])
def test_bad_geometry_is_a_format_error(name: str, old: bytes, new: bytes, tmp_path: Path) -> None:
    io.write(tmp_path / name, image())
    content = (tmp_path / name).read_bytes()
    assert old in content
    (tmp_path / name).write_bytes(content.replace(old, new, 1))
    with pytest.raises(FormatError):
        io.read(tmp_path / name)


def test_formats_are_known_by_content(tmp_path: Path) -> None:
    for name in NAMES:
        io.write(tmp_path / name, image())
    names = {name: io.sniff(tmp_path / name) for name in NAMES}
    assert list(names.values()) == [
        "nifti", "nifti", "nrrd", "metaimage", "ome-zarr", "metaimage", "nrrd"
    ]  # fmt: skip
    (tmp_path / "a.nii.gz").rename(tmp_path / "wrong.mha")
    assert io.read(tmp_path / "wrong.mha").dims == ("x", "y", "z")
    (tmp_path / "a.txt").write_text("hello")
    assert io.sniff(tmp_path / "a.txt") is None
    with pytest.raises(FormatError, match="nifti"):
        io.read(tmp_path / "a.txt")
    with pytest.raises(FormatError, match="suffix"):
        io.write(tmp_path / "b.txt", image())
    with pytest.raises(FileNotFoundError):
        io.read(tmp_path / "absent.nii")


def test_header_fields_survive(tmp_path: Path) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        ("a.nii", {"nifti": {"descrip": "a test", "intent_code": 3, "cal_max": 7.0,
                             "sform_code": 4, "extensions": [(6, b"comment")]}}),
        ("a.nrrd", {"nrrd": {"content": "brain", "my key": "value: 1"}}),
        ("a.mha", {"metaimage": {"Comment": "hello", "Modality": "MET_MOD_CT"}}),
    ]  # fmt: skip
    for name, attrs in cases:
        io.write(tmp_path / name, image().replace(attrs=attrs))
        back = io.read(tmp_path / name)
        key = next(iter(attrs))
        kept = back.attrs[key]
        for field, value in attrs[key].items():
            if field == "extensions":
                assert [(c, b.rstrip(b"\0")) for c, b in kept[field]] == value
            else:
                assert kept[field] == value


@pytest.mark.parametrize("spoil", ["checksum", "end"])
def test_a_nifti_that_is_damaged_before_its_voxels_is_refused(spoil: str, tmp_path: Path) -> None:
    pytest.importorskip("nibabel")
    path = tmp_path / "a.nii"
    sd.write(path, sd.SpatialArray(np.ones((4, 5, 6), "u1"), unit="mm", frame="RAS"))
    content = bytearray(path.read_bytes())
    content[108:112] = np.float32(1 << 20).tobytes()  # vox_offset
    noise = np.random.default_rng(0).bytes(1 << 19)
    packed = bytearray(gzip.compress(bytes(content[:352]) + noise))
    if spoil == "checksum":
        packed[-8] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(packed)
    with pytest.raises(sd.FormatError, match="CRC" if spoil == "checksum" else "truncated"):
        sd.read(tmp_path / "a.nii.gz", lazy=False)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("device", ["FIFO", "/dev/zero", "folder"])
@pytest.mark.parametrize("name", ["0/c/0/0/0", "0/zarr.json", "zarr.json"])
@pytest.mark.parametrize("shards", [None, 8])
def test_devices_in_a_store_are_refused(
    name: str, device: str, shards: int | None, tmp_path: Path
) -> None:
    """An archive that is unpacked may hold any kind of file, and zarr opens what it finds."""
    path = tmp_path / "a.zarr"
    io.write(path, image(), chunks=4, shards=shards, levels=1)
    (path / name).unlink()
    if device == "FIFO":
        os.mkfifo(path / name)
    elif device == "folder":
        (path / name).mkdir()
    else:
        (path / name).symlink_to(device)
    for read in (
        lambda: np.asarray(io.read(path, format="ome-zarr")),
        lambda: np.asarray(io.read(path, format="ome-zarr").to("dask")),
        lambda: np.asarray(io.read(path, format="ome-zarr", missing="fill")[::2, [1, 0]]),
        lambda: io.read(path, format="ome-zarr", lazy=False),
    ):
        with pytest.raises((FormatError, IsADirectoryError)):
            read()


def test_names_of_levels_that_are_no_text(tmp_path: Path) -> None:
    io.write(tmp_path / "a.zarr", image())
    file = tmp_path / "a.zarr" / "zarr.json"
    found = json.loads(file.read_text())
    del found["attributes"]["spatial_duck"]
    for name in ("\ud800", "\udcff/0", "a" * 5000):
        found["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = name
        file.write_text(json.dumps(found))
        with pytest.raises(FormatError, match="level"):
            io.read(tmp_path / "a.zarr")
