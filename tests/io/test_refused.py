"""Headers with one thing wrong, one by one: refused in our errors, which name the file.

`benchmarks.fuzz_files` changes headers at random; here each check has the file that it is for.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.io import _publishing as publishing
from spatial_duck.io._publishing import publish_atomically

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = np.arange(60, dtype="u2").reshape(3, 4, 5)
IMAGE = sd.SpatialArray(VALUES, spacing=(3, 2, 1), origin=(1, 2, 3), frame="LPS", unit="mm")

#: Which file, what its header says, what it is made to say, and a word of the error.
SPOILT: list[tuple[str, bytes, bytes, str]] = [
    ("a.nrrd", b"encoding: raw", b"encoding: lzma", "encoding 'lzma'"),
    ("a.nrrd", b"encoding: raw", b"encoding: hex", "not valid"),
    ("a.nrrd", b"encoding: raw", b"encoding: ascii", ""),
    ("a.nrrd", b"encoding: raw", b"encoding: raw\nline skip: 999", "lines"),
    ("a.nrrd", b"encoding: raw", b"encoding: raw\nline skip: -1", "line skip"),
    ("a.nrrd", b"encoding: raw", b"encoding: raw\nbyte skip: -7", "byte skip"),
    ("a.nrrd", b"encoding: raw", b"encoding: raw\nbyte skip: 9", ""),
    ("a.nrrd", b"type: uint16", b"type: block", ""),
    ("a.nrrd", b"type: uint16", b"type: uint17", ""),
    ("a.nrrd", b"sizes: 5 4 3", b"sizes: 5 4", ""),
    ("a.nrrd", b"sizes: 5 4 3", b"sizes: 5 4 x", ""),
    ("a.nrrd", b"dimension: 3", b"dimension: 99", ""),
    ("a.nrrd", b"(3.0,2.0,1.0)", b"(3.0,2.0)", ""),
    ("a.nrrd", b"(0.0,0.0,3.0)", b"(0.0,2.0,0.0)", ""),
    ("a.nrrd", b"left-posterior-superior", b"up-and-away", ""),
    ("a.nhdr", b"data file: a.raw", b"data file: LIST", "got 0"),
    ("a.nhdr", b"data file: a.raw", b"data file: a%03d.raw 1 3 1", "not there"),
    ("a.nhdr", b"data file: a.raw", b"data file: b.raw", "not there"),
    ("a.nhdr", b"data file: a.raw", b"data file: a\0b.raw", ""),
    ("a.mha", b"NDims = 3", b"NDims = 5", "NDims"),
    ("a.mha", b"NDims = 3", b"NDims", ""),
    ("a.mha", b"DimSize = 5 4 3", b"DimSize = 5 0 3", "DimSize"),
    ("a.mha", b"DimSize = 5 4 3", b"DimSize = 5 4.5 3", "DimSize"),
    ("a.mha", b"DimSize = 5 4 3", b"DimSize = 5 4", "DimSize"),
    ("a.mha", b"Offset = 3.0 2.0 1.0", b"Offset = 3.0 b 1.0", "Offset"),
    ("a.mha", b"BinaryData = True", b"BinaryData = False", "text"),
    ("a.mha", b"MET_USHORT", b"MET_STRING", ""),
    ("a.mhd", b"ElementDataFile = a.raw", b"ElementDataFile = LIST", "got 0"),
    ("a.mhd", b"ElementDataFile = a.raw", b"ElementDataFile = a%d.raw 1 3 1", "not there"),
    ("a.mhd", b"ElementDataFile = a.raw", b"ElementDataFile = b.raw", "not there"),
    ("a.vti", b"<ImageData", b"<ImageDatum", ""),
    ("a.vti", b'<Piece Extent="0 4 0 3 0 2">', b'<Piece Extent="0 4 0 3 0 1">', ""),
    ("a.vti", b'<Piece Extent="0 4 0 3 0 2">', b'<Piece Extent="0 4 0 3.5 0 2">', ""),
    ("a.vti", b'Spacing="1.0 2.0 3.0"', b'Spacing="1.0 2.0"', "Spacing"),
    ("a.vti", b'Spacing="1.0 2.0 3.0"', b'Spacing="1.0 2.0 c"', "Spacing"),
    ("a.vti", b'offset="0"', b'offset="-1"', "offset"),
    ("a.vti", b'offset="0"', b'offset="z"', "offset"),
    ("a.vti", b'format="appended"', b'format="parallel"', "format"),
    ("a.vti", b'format="appended"', b'format="ascii"', ""),
    ("a.vti", b'format="appended"', b'format="binary"', ""),
    ("a.vti", b'type="UInt16"', b'type="String"', ""),
    ("a.vti", b'NumberOfComponents="1"', b'NumberOfComponents="q"', ""),
    ("a.vti", b'NumberOfComponents="1"', b'NumberOfComponents="7"', ""),
    ("a.vti", b"   _", b"   -", "underscore"),
    ("b.vti", b"_\x01\x00\x00", b"_\xff\x00\x00", ""),
    ("a.npy", b"NUMPY\x01", b"NUMPY\x09", ""),
    ("a.npy", b"(3, 4, 5)", b"(3, 4, -5", ""),
    ("a.npy", b"'<u2'", b"'|O' ", ""),
    ("a.npy.json", b"{", b"[", ""),
    ("a.npy.json", b"spacing", b"spicing", ""),
    ("a.nii", b"n+1\0", b"ni1\0", ""),
    ("a.nii", b"\x03\x00\x05\x00\x04\x00\x03\x00", b"\x09\x00\x05\x00\x04\x00\x03\x00", ""),
    ("a.nii", b"\0\0\xb0C", b"\0\0\xc0\x7f", "vox_offset"),
]


@pytest.mark.parametrize(
    "name, old, new, word", SPOILT, ids=[f"{n}-{name}-{new!r}" for n, (name, _, new, _) in
                                         enumerate(SPOILT)]
)  # fmt: skip
def test_one_wrong_thing_is_refused(
    name: str, old: bytes, new: bytes, word: str, tmp_path: Path
) -> None:
    image = name.removesuffix(".json")
    if image.endswith(".nii"):
        pytest.importorskip("nibabel", reason="needs nibabel")
    if "nrrd" in image or "nhdr" in image:
        pytest.importorskip("nrrd", reason="needs pynrrd")
    options: dict[str, Any] = {"compress": True} if image == "b.vti" else {}
    sd.write(tmp_path / image, IMAGE, **options)
    path = tmp_path / name
    content = path.read_bytes()
    assert old in content, content
    path.write_bytes(content.replace(old, new, 1))
    with pytest.raises(sd.FormatError) as told:
        np.asarray(sd.read(tmp_path / image).data)
    assert "a." in str(told.value) or "b." in str(told.value), "the error must name the file"
    assert word in str(told.value)


@pytest.mark.parametrize("encoding", ["ascii", "text", "txt", "hex"])
@pytest.mark.parametrize("dtype", ["<u2", "<f4", "i1"])
def test_nrrd_in_text_is_read(encoding: str, dtype: str, tmp_path: Path) -> None:
    pytest.importorskip("nrrd", reason="needs pynrrd")
    path = tmp_path / "a.nrrd"
    values = (VALUES - 7).astype(dtype) if dtype != "<u2" else VALUES
    sd.write(path, IMAGE.replace(data=values))
    written = sd.read(path)
    head, _, _ = path.read_bytes().partition(b"\n\n")
    voxels = values.tobytes().hex() if encoding == "hex" else " ".join(map(str, values.ravel()))
    head = head.replace(b"encoding: raw", f"encoding: {encoding}".encode())
    path.write_bytes(head + b"\n\n" + voxels.encode() + b"\n")
    found = sd.read(path)
    np.testing.assert_array_equal(found.data, values)
    assert found.geometry == written.geometry
    path.write_bytes(head + b"\n\n" + voxels.encode()[: -len(voxels) // 2])
    with pytest.raises(sd.FormatError):
        np.asarray(sd.read(path).data)


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha", "a.npy", "a.vti", "a.tif", "a.h5",
                                  "a.ome.zarr", "a.png"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["M8[s]", "m8[s]", "U3", "S3", "O", "T", "V3", "u1, u1, u1"])
def test_only_numbers_are_written(name: str, dtype: str, tmp_path: Path) -> None:
    with pytest.raises(sd.SpatialDuckError):
        sd.write(tmp_path / name, IMAGE.replace(data=np.zeros(IMAGE.shape, dtype)))
    assert not list(tmp_path.iterdir()), "something was left behind"


def test_words_that_are_not_among_the_choices(tmp_path: Path) -> None:
    plane = sd.SpatialArray(np.zeros((4, 5), "u1"))
    for name, options in {
        "a.nii": {"version": 3},
        "a.tif": {"kind": "other"},
        "a.ome.zarr": {"version": "0.3"},
        "a.png": {"oblique": "perhaps"},
        "a.nrrd": {"format": "nothing"},
    }.items():
        with pytest.raises(ValueError, match=r"must be|is not"):
            sd.write(tmp_path / name, plane if name == "a.png" else IMAGE, **options)
        assert not list(tmp_path.iterdir())
    sd.write(tmp_path / "a.npy", IMAGE)
    with pytest.raises(FileExistsError):
        sd.write(tmp_path / "a.npy", IMAGE)
    (tmp_path / "a.npy").unlink()
    with pytest.raises(FileExistsError, match="json"):
        sd.write(tmp_path / "a.npy", IMAGE)


def test_a_level_or_series_that_is_not_there(tmp_path: Path) -> None:
    for name, options in {
        "a.ome.zarr": ({"level": 7}, {"multiscale": 3}),
        "a.tif": ({"level": 7}, {"series": 3}),
    }.items():
        try:
            sd.write(tmp_path / name, IMAGE)
        except ImportError as error:
            pytest.skip(str(error))
        for option in options:
            with pytest.raises(sd.FormatError, match="asked for"):
                sd.read(tmp_path / name, **option)


# --- MINC and transforms ------------------------------------------------------------------


@pytest.mark.parametrize("old, new", [(b"xspace", b"qspace"), (b"yspace", b"xspace"),
                                      (b"image", b"imago"), (b"CDF", b"CDE"),
                                      (None, None)])  # fmt: skip
def test_spoilt_minc_is_refused(old: bytes | None, new: bytes | None, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    pytest.importorskip("scipy", reason="MINC 1 needs scipy")
    source = Path(nibabel.__file__).parent / "tests" / "data" / "tiny.mnc"
    if not source.exists():
        pytest.skip("nibabel's wheel has no MINC file")
    content = source.read_bytes()
    content = content[:700] if old is None or new is None else content.replace(old, new)
    (tmp_path / "a.mnc").write_bytes(content)
    with pytest.raises(sd.FormatError, match=r"a\.mnc"):
        np.asarray(sd.read(tmp_path / "a.mnc", format="minc").data)


_AFFINE = """#Insight Transform File V1.0
#Transform 0
Transform: AffineTransform_double_3_3
Parameters: 1 0 0 0 1 0 0 0 1 5 6 7
FixedParameters: 0 0 0
"""


@pytest.mark.parametrize(
    "old, new",
    [
        ("Parameters: 1 0", "Parameters: 0"),
        ("Parameters: 1 0", "Parameters: x 0"),
        ("Parameters: 1 0", "Parameters: nan 0"),
        ("Parameters: 1 0 0", "Parameters: 0 0 0"),
        ("FixedParameters: 0 0 0\n", "FixedParameters: 0 0 0\nFixedParameters: 0 0 0\n"),
        ("FixedParameters: 0 0 0\n", "FixedParameters: 0 0\n"),
        ("FixedParameters: 0 0 0\n", ""),
        ("Transform: Affine", "Transform: Warped"),
        ("_3_3", "_3_2"),
        ("#Transform 0", "words"),
        ("#Insight", "#Outsight"),
    ],
)
def test_spoilt_transforms_are_refused(old: str, new: str, tmp_path: Path) -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    from spatial_duck.io._transform_files import read_transform

    path = tmp_path / "a.tfm"
    path.write_text(_AFFINE)
    assert read_transform(path)([0.0, 0, 0]).tolist() == [5, 6, 7]
    assert old in _AFFINE
    path.write_text(_AFFINE.replace(old, new, 1))
    with pytest.raises(sd.SpatialDuckError):
        read_transform(path)


# --- what is there already ----------------------------------------------------------------


def _flip_chunk(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"0/c/0/0/0") + 60] ^= 255
    path.write_bytes(raw)


def _declare_many_chunks(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    with h5py.File(path, "r+") as file:
        name = next(name for name, item in file.items() if isinstance(item, h5py.Dataset))
        kept = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, (2**40, 2**20, 4), "f4", chunks=(64, 64, 4)).attrs.update(kept)


def _thousands_of_axes(path: Path) -> None:
    name = path / "zarr.json"
    content = json.loads(name.read_text())
    entry = content["attributes"]["ome"]["multiscales"][0]
    for holder in entry.get("coordinateSystems", [entry]):
        holder["axes"] *= 40_000  # whose matrix would take 115 GB
    name.write_text(json.dumps(content))


def _thousands_of_dims(path: Path) -> None:
    name = path.with_name(path.name + ".json")
    content = json.loads(name.read_text())
    content["dims"] *= 40_000
    name.write_text(json.dumps(content))


def _link_in_a_circle(path: Path) -> None:
    h5py = pytest.importorskip("h5py", reason="needs h5py")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    shutil.copy(Path(nibabel.__file__).parent / "tests/data/small.mnc", path)
    with h5py.File(path, "r+") as file:
        group = file["minc-2.0/image/0"]
        del group["image-max"]
        group["image-max"] = h5py.SoftLink("/minc-2.0/image/0/image-max")


def _number_beyond_float(path: Path) -> None:
    text = (path / "zarr.json").read_text()
    assert '"spacing"' in text
    changed = re.sub(r'("spacing":\s*\[\s*)[\d.]+', r"\g<1>1" + "0" * 400, text)
    (path / "zarr.json").write_text(changed)


def _long_strips(path: Path) -> None:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["StripByteCounts"]
    raw = bytearray(path.read_bytes())
    raw[tag.valueoffset : tag.valueoffset + 4] = b"\xff\xff\xff\x7f"
    path.write_bytes(raw)


def _wide_planes(path: Path) -> None:
    raw = path.read_bytes()
    assert b'SizeX="5"' in raw
    at = raw.index(b'SizeX="5"')
    text = raw[at:].replace(b'SizeX="5" SizeY="4"', b'SizeX="999999999"  ', 1)
    path.write_bytes(raw[:at] + text)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize(
    "name, damage",
    [
        ("a.ozx", _flip_chunk),
        ("a.h5", _declare_many_chunks),
        ("a.mnc", _link_in_a_circle),
        ("b.ome.zarr", _thousands_of_axes),
        ("c.ome.zarr", _thousands_of_axes),
        ("a.npy", _thousands_of_dims),
        ("a.ome.zarr", _number_beyond_float),
        ("a.tif", _long_strips),
        ("a.ome.tif", _wide_planes),
    ],
)
def test_damage_behind_a_valid_header_is_refused(
    name: str, damage: Callable[[Path], None], lazy: bool, tmp_path: Path
) -> None:
    """What archives, other libraries and Python's own numbers raise is an error of ours."""
    for package in "zarr", "h5py", "tifffile":
        pytest.importorskip(package, reason=f"needs {package}")
    path = tmp_path / name
    options: dict[str, Any] = {"a.tif": {"compress": True}, "a.ome.tif": {"compress": True},
                               "c.ome.zarr": {"version": "0.6"}}.get(name, {})  # fmt: skip
    if not name.endswith(".mnc"):  # which is not written
        sd.write(path, IMAGE, **options)
    damage(path)
    with pytest.raises(sd.SpatialDuckError, match=re.escape(name)):
        np.asarray(sd.read(path, lazy=lazy))


def test_a_folder_is_replaced_whole_or_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "series"
    target.mkdir()
    (target / "old").write_text("old")
    with pytest.raises(FileExistsError, match="overwrite"), publish_atomically(target):
        pass
    with (
        pytest.raises(FileExistsError, match="is a directory"),
        publish_atomically(target, overwrite=True),
    ):
        pass
    monkeypatch.setattr(publishing, "exchange", lambda *_: False)
    rename = Path.rename

    def fail(self: Path, other: Any) -> Any:
        if self.name == "series" and self.parent != tmp_path:
            raise OSError("no")
        return rename(self, other)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with (
            pytest.raises(OSError, match="no"),
            publish_atomically(target, overwrite=True, directory=True) as fresh,
        ):
            fresh.mkdir()
    assert [p.name for p in target.iterdir()] == ["old"]
    with publish_atomically(target, overwrite=True, directory=True) as fresh:
        fresh.mkdir()
        (fresh / "new").write_text("new")
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["series"]


def test_a_target_without_suffix_may_be_a_dicom_folder(tmp_path: Path) -> None:
    with pytest.raises(sd.FormatError, match=r"name format= \(format='dicom' writes a folder"):
        sd.write(tmp_path / "series", IMAGE)
