"""Which files are DICOM, and what is said of those that are not, or not quite."""

from __future__ import annotations

import gzip
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._files import looks_like_dicom

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")


def write_bare(path: Path, d: Any, *, implicit: bool, little: bool) -> None:
    """Write a data set without preamble and file meta information."""
    del d.file_meta
    if not little:
        d.PixelData = np.frombuffer(d.PixelData, "<i2").astype(">i2").tobytes()
    d.save_as(path, implicit_vr=implicit, little_endian=little)


@pytest.mark.parametrize("implicit, little", [(True, True), (False, True), (False, False)])
@pytest.mark.parametrize("first", ["SpecificCharacterSet", "ImageType", "SOPClassUID"])
@pytest.mark.parametrize("format", [None, "dicom"])
def test_files_without_preamble(
    implicit: bool, little: bool, first: str, format: str | None, tmp_path: Path,
    make_dataset: Callable[..., Any],
) -> None:  # fmt: skip
    pixels = np.arange(256, 268, dtype="i2").reshape(3, 4)
    values = {"SpecificCharacterSet": "ISO_IR 100", "ImageType": ["ORIGINAL", "PRIMARY"]}
    elements = {first: values[first]} if first in values else {}
    write_bare(tmp_path / "a", make_dataset(pixels, **elements), implicit=implicit, little=little)
    for lazy in (True, False):
        image = sd.read(tmp_path / "a", format=format, lazy=lazy)
        assert np.array_equal(np.asarray(image)[0], pixels)


@given(
    element=st.integers(0, 0x2FFF), explicit=st.booleans(), little=st.booleans(),
    group=st.sampled_from([2, 8]), length=st.integers(0, 200), data=st.binary(min_size=200),
)  # fmt: skip
def test_any_first_element_is_recognised(
    element: int, explicit: bool, little: bool, group: int, length: int, data: bytes
) -> None:
    from pathlib import Path

    order = "little" if little or not explicit else "big"
    head = group.to_bytes(2, order) + element.to_bytes(2, order)  # type: ignore[arg-type]
    if explicit:
        head += b"CS" + length.to_bytes(2, order)  # type: ignore[arg-type]
    else:
        head += (2 * length).to_bytes(4, "little")
    assert looks_like_dicom(Path("a"), head + data)


@pytest.mark.parametrize("whole", [True, False])
def test_gzip(whole: bool, tmp_path: Path, write_slice: Callable[..., Any], pixels: Any) -> None:
    (tmp_path / "in").mkdir()
    for k in range(3):
        write_slice(tmp_path / "in" / f"{k}.dcm", pixels + k, 3.0 * k)
        path = tmp_path / "in" / f"{k}.dcm"
        packed = gzip.compress(path.read_bytes())
        (tmp_path / "in" / f"{k}.dcm.gz").write_bytes(packed if whole else packed[:-40])
        path.unlink()
    if not whole:
        with pytest.raises(FormatError, match=r"dcm\.gz: it cannot be unpacked"):
            sd.read(tmp_path / "in" / "1.dcm.gz", format="dicom")
        return
    for lazy in (True, False):
        image = sd.read(tmp_path / "in", lazy=lazy)
        assert np.asarray(image)[:, 0, 0].tolist() == [0, 1, 2]
    assert np.asarray(sd.read(tmp_path / "in" / "2.dcm.gz")).min() == 2


@pytest.mark.parametrize("name, content", [("3.dcm", b""), ("3.dcm", b"<html>"), ("3.IMA", b"x")])
def test_a_skipped_slice_is_named(
    name: str, content: bytes, tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k in range(3):
        write_slice(tmp_path / f"{k}.dcm", pixels, 3.0 * k)
    (tmp_path / name).write_bytes(content)
    (tmp_path / "README.txt").write_text("notes")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    with pytest.warns(UserWarning, match=name) as said:
        assert len(sd.read(tmp_path)) == 3
    assert not any("README" in str(w.message) or "DS_Store" in str(w.message) for w in said)


def test_a_skipped_slice_is_named_by_its_number(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k in range(3):
        write_slice(tmp_path / f"IM{k:04d}", pixels, 3.0 * k)
    (tmp_path / "IM0003").touch()
    with pytest.warns(UserWarning, match=r"IM0003 \(empty\)"):
        sd.read(tmp_path)


@pytest.mark.parametrize("lazy", [True, False])
def test_a_truncated_slice_is_named_when_it_is_opened(
    lazy: bool, tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k in range(3):
        write_slice(tmp_path / f"{k}.dcm", pixels, 3.0 * k)
    whole = (tmp_path / "1.dcm").read_bytes()
    (tmp_path / "1.dcm").write_bytes(whole[:-2])
    with pytest.raises(FormatError, match=r"1\.dcm.*truncated"):
        sd.read(tmp_path, lazy=lazy)
    (tmp_path / "1.dcm").write_bytes(whole[: whole.index(b"\xe0\x7f\x10\0")])
    with pytest.raises(FormatError, match=r"1\.dcm.*no PixelData"):
        sd.read(tmp_path, lazy=lazy)


def test_flaws_are_named_where_they_matter_and_passed_over_where_not(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    write_slice(tmp_path / "a.dcm", pixels, NumberOfFrames="14", AcquisitionMatrix=[0, 64, 64, 0])
    raw = (tmp_path / "a.dcm").read_bytes()
    at = raw.index(b"\x28\0\x08\0IS")
    (tmp_path / "b.dcm").write_bytes(raw[: at + 8] + b"1A" + raw[at + 10 :])
    with pytest.raises(FormatError, match=r"NumberOfFrames \(0028,0008\)"):
        sd.read(tmp_path / "b.dcm")
    at = raw.index(b"\x18\0\x10\x13US")
    raw = raw[: at + 6] + b"\x05\0" + raw[at + 8 : at + 13] + raw[at + 16 :]
    raw = raw.replace(b"\x28\0\x08\0IS\x02\x0014", b"\x28\0\x08\0IS\x02\x001 ")
    (tmp_path / "c.dcm").write_bytes(raw)
    assert np.array_equal(np.asarray(sd.read(tmp_path / "c.dcm"))[0], pixels)


def test_a_uid_chooses_before_a_description(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k in range(2):
        elements = {"SeriesInstanceUID": f"1.2.{k}", "SeriesDescription": f"1.2.{1 - k}"}
        write_slice(tmp_path / f"{k}.dcm", pixels + k, **elements)
    assert np.asarray(sd.read(tmp_path, series="1.2.1")).min() == 1


@pytest.mark.parametrize("name", ["siemens_dwi_0.dcm.gz", "siemens_dwi_1000.dcm.gz"])
@pytest.mark.filterwarnings("ignore:The DICOM readers are highly experimental:UserWarning")
def test_mosaics_are_nibabels(name: str, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    from pathlib import Path

    from nibabel.nicom.dicomwrappers import wrapper_from_file

    path = Path(nibabel.__file__).parent / "nicom" / "tests" / "data" / name
    if not path.exists():
        pytest.skip(f"this nibabel ships no {name}")
    with gzip.open(path) as packed, (tmp_path / "a.dcm").open("wb") as file:
        shutil.copyfileobj(packed, file)
    theirs = wrapper_from_file(tmp_path / "a.dcm")
    for source in (path, tmp_path / "a.dcm"):
        image = sd.read(source)
        values = theirs.get_data()
        index = np.random.default_rng(0).integers(0, values.shape, (200, 3))
        points = index @ theirs.affine[:3, :3].T + theirs.affine[:3, 3]
        ours = image.physical_to_index(points)
        assert abs(ours - np.round(ours)).max() < 1e-4
        found = np.asarray(image)[tuple(np.round(ours).astype(int).T)]
        assert np.array_equal(found, values[tuple(index.T)])
    b = image.attrs["dicom"]["DiffusionBValue"]
    assert b == int(name.split("_")[2].split(".")[0])


def test_a_mosaic_with_a_listed_place_for_each_slice(
    tmp_path: Path, write_slice: Callable[..., Any]
) -> None:
    """United Imaging's VFRAME: tiles by row, ceil(sqrt(n)) in each, at positions of their own."""
    import pydicom

    tiles = np.arange(5 * 4 * 6, dtype="u2").reshape(5, 4, 6)
    plane = np.zeros((2 * 4, 3 * 6), "u2")
    for k, tile in enumerate(tiles):
        row, column = divmod(k, 3)
        plane[row * 4 :, column * 6 :][:4, :6] = tile
    positions = [[1.0, 2.0 + 0.1 * k, 5.0 * k] for k in range(5)]
    d = write_slice(
        tmp_path / "a.dcm", plane, ImagePositionPatient=None,
        ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"],
    )  # fmt: skip
    with pytest.raises(FormatError, match="VFRAME"):
        sd.read(tmp_path / "a.dcm")
    items = []
    for position in positions:
        items.append(pydicom.Dataset())
        items[-1].ImagePositionPatient = position
    block = d.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x51, "SQ", pydicom.Sequence(items))
    block.add_new(0x09, "FD", 929.75)
    d.save_as(tmp_path / "b.dcm", enforce_file_format=True)
    image = sd.read(tmp_path / "b.dcm")
    np.testing.assert_array_equal(image.data, tiles)
    found = [image.index_to_physical((k, 0, 0)) for k in range(5)]
    np.testing.assert_allclose(found, positions, atol=1e-9)
    assert image.attrs["dicom"]["DiffusionBValue"] == 929.75


def test_what_cannot_be_decoded_names_its_transfer_syntax(
    tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    import pydicom

    d = write_slice(tmp_path / "a.dcm", pixels)
    d.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    d.PixelData = pydicom.encaps.encapsulate([bytes(d.PixelData)])
    d.save_as(tmp_path / "a.dcm")
    raw = (tmp_path / "a.dcm").read_bytes()
    # Deflated frames, which came into the standard after pydicom's list of syntaxes.
    raw = raw.replace(b"1.2.840.10008.1.2.4.90", b"1.2.840.10008.1.2.8.1\0")
    (tmp_path / "b.dcm").write_bytes(raw)
    with pytest.raises(FormatError, match=r"b\.dcm.*1\.2\.840\.10008\.1\.2\.8\.1"):
        np.asarray(sd.read(tmp_path / "b.dcm"))


@pytest.mark.parametrize("kind", ["1.2.840.10008.5.1.4.1.1.66", "1.3.46.670589.11.0.0.12.2"])
def test_raw_data_in_a_series_are_no_slice(
    kind: str, tmp_path: Path, write_slice: Callable[..., Any], pixels: Any
) -> None:
    for k in range(3):
        d = write_slice(tmp_path / f"{k}.dcm", pixels + k, 3.0 * k)
    del d.PixelData
    d.SOPInstanceUID = "1.2.3.9"
    d.save_as(tmp_path / "raw.dcm")
    with pytest.raises(FormatError, match=r"raw\.dcm.*no PixelData"):  # an image that was cut
        sd.read(tmp_path)
    d.SOPClassUID = kind
    d.file_meta.MediaStorageSOPClassUID = kind
    d.save_as(tmp_path / "raw.dcm")
    assert len(sd.read(tmp_path)) == 3
