"""Files that are longer than they may be, or unpack to more: refused before memory is taken."""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = sd.SpatialArray(
    np.arange(24, dtype="i2").reshape(2, 3, 4), spacing=(3, 2, 1), frame="LPS", unit="mm"
)


#: An image, and its files that are read whole: metadata, texts and chunks.
_READ_WHOLE = [
    ("a.npy", "a.npy.json", {}),
    ("a.nrrd", "a.nrrd", {}),
    ("a.vti", "a.vti", {}),
    ("a.ome.zarr", "zarr.json", {}),
    ("a.ome.zarr", "0/zarr.json", {}),
    ("a.ome.zarr", "0/c/0/0/0", {"shards": False}),
    ("a.ome.zarr", ".zattrs", {"version": "0.4"}),
    ("a.ome.zarr", ".zgroup", {"version": "0.4"}),
    ("a.ome.zarr", "0/.zarray", {"version": "0.4"}),
    ("a.ome.zarr", "0/0/0/0", {"version": "0.4"}),
]


@pytest.mark.skipif(os.name == "nt", reason="a long file takes room on the disk there")
@pytest.mark.parametrize("name, part, options", _READ_WHOLE)
def test_files_that_are_read_whole_are_measured_first(
    name: str, part: str, options: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / name
    try:
        sd.write(path, IMAGE, **options, **({"levels": 1} if name.endswith("zarr") else {}))
    except ImportError as error:
        pytest.skip(str(error))
    long = tmp_path / part if name.endswith("npy") else path / part if path.is_dir() else path
    if name == "a.nrrd":
        long.write_bytes(long.read_bytes().replace(b"encoding: raw", b"encoding: ascii"))
    if name == "a.vti":
        content = long.read_bytes()
        long.write_bytes(content[: content.index(b"<AppendedData")])
    # Its end is a hole: it takes no room, and to read it would take all memory.
    os.truncate(long, 1 << 40)
    with pytest.raises(sd.FormatError, match="bytes"):
        np.asarray(sd.read(path))


@pytest.mark.parametrize("codec", ["bz2", "gzip", "lzma", "zlib", "zstd"])
def test_chunks_of_each_codec_stop_at_their_length(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numcodecs = pytest.importorskip("numcodecs", reason="needs numcodecs")
    pytest.importorskip("zarr", reason="needs zarr")
    path = tmp_path / "a.ome.zarr"
    sd.write(path, IMAGE, version="0.4", levels=1)
    metadata = json.loads((path / "0/.zarray").read_text())
    used = numcodecs.get_codec({"id": codec})
    metadata["compressor"] = used.get_config()
    (path / "0/.zarray").write_text(json.dumps(metadata))
    chunk = path / "0/0/0/0"
    values = np.zeros(metadata["chunks"], metadata["dtype"])
    values[tuple(map(slice, IMAGE.shape))] = IMAGE.data
    chunk.write_bytes(used.encode(values))
    assert np.array_equal(np.asarray(sd.read(path)), IMAGE.data)
    chunk.write_bytes(used.encode(values)[:-3])
    with pytest.raises(sd.FormatError):
        np.asarray(sd.read(path))
    # NumCodecs has no limit: what it decodes is the whole.
    monkeypatch.setattr(type(used), "decode", lambda *_: pytest.fail("decoded without a limit"))
    chunk.write_bytes(used.encode(bytes(1 << 16)))
    with pytest.raises(sd.FormatError, match="its bytes become"):
        np.asarray(sd.read(path))


def test_a_compressed_entry_of_a_zip_file_fits_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    sd.write(tmp_path / "a.ozx", IMAGE, levels=1)
    with (
        zipfile.ZipFile(tmp_path / "a.ozx") as old,
        zipfile.ZipFile(tmp_path / "b.ozx", "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, bytes(1 << 24) if "/c/" in name else old.read(name))
    monkeypatch.setattr("spatial_duck.io._safety.available_memory", lambda: 1 << 25)
    assert sd.read(tmp_path / "a.ozx").shape == IMAGE.shape
    with pytest.raises(sd.UnsafeInputError, match="bytes of memory"):
        sd.read(tmp_path / "b.ozx")


def test_a_deflated_dicom_stops_at_half_of_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
    image = sd.SpatialArray(np.zeros((1, 256, 256), "u2"), spacing=(1,) * 3, frame="LPS", unit="mm")
    sd.write(tmp_path / "a", image, format="dicom")
    path = next((tmp_path / "a").iterdir())
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path)
    assert path.stat().st_size < 1 << 14
    assert np.array_equal(np.asarray(sd.read(path)), image.data)
    monkeypatch.setattr("spatial_duck.io._safety.available_memory", lambda: 1 << 17)
    with pytest.raises(sd.UnsafeInputError, match="unpacks to more than half"):
        sd.read(path)
    # Blocks that unpack to nothing come first: more of them than are read at a time.
    meta = 144 + pydicom.filereader.read_file_meta_info(path).FileMetaInformationGroupLength
    packed = path.read_bytes()
    path.write_bytes(packed[:meta] + b"\0\0\0\xff\xff" * (1 << 15) + packed[meta:])
    with pytest.raises(sd.UnsafeInputError, match="unpacks to more than half"):
        sd.read(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mhd", "a.seg.nrrd", "a.vti"])
def test_numbers_of_thousands_of_digits_are_refused_in_our_words(name: str, tmp_path: Path) -> None:
    """Python refuses to convert them (a ValueError), wherever a format takes one for a number."""
    values = np.arange(48, dtype="u1").reshape(2, 3, 4, 2)
    image: sd.SpatialArray = IMAGE.astype("u1") % 3
    if name in ("a.nrrd", "a.nhdr"):
        weights = {
            "b_value": ("c", [0.0, 9.0], {"unit": "s/mm^2"}),
            "gradient_direction": ("c", np.eye(3)[:2], {"frame": "RAS"}),
        }
        image = sd.SpatialArray(
            values, dims=("x", "y", "z", "c"), frame="RAS", unit="mm", coords=weights
        )
    try:
        sd.write(tmp_path / name, image)
    except ImportError as error:
        pytest.skip(str(error))
    head = (tmp_path / name).read_bytes()
    head = head.replace(b"data file: a.raw", b"data file: LIST 3\na.raw")
    head = head.replace(b"ElementDataFile = a.raw", b"ElementDataFile = LIST 2\na.raw")
    tried = 0
    for found in re.finditer(rb"\d+", head[: head.find(b"\0") if b"\0" in head else None]):
        (tmp_path / name).write_bytes(head[: found.start()] + b"9" * 5000 + head[found.end() :])
        with contextlib.suppress(sd.SpatialDuckError), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            np.asarray(sd.read(tmp_path / name))
        tried += 1
    assert tried > 8
