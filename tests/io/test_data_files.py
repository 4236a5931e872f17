"""Voxels in several files: NRRD's and MetaImage's lists and patterns, as SimpleITK reads them."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, UnsafeInputError

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (6, 5, 4)
VOXELS = np.arange(np.prod(SHAPE), dtype="<i2").reshape(SHAPE)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nsizes: 4 5 6\nspace: left-posterior-superior\n"
    "space directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (5,6,7)\nendian: little\n"
)
META = (
    "ObjectType = Image\nNDims = 3\nDimSize = 4 5 6\nElementSpacing = 1 1 2\nOffset = 5 6 7\n"
    "ElementType = MET_SHORT\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
)


def pieces(folder: Path, count: int, pack: Any = bytes, name: str = "s%d.raw") -> list[str]:
    """Write the voxels in so many files, and return their names."""
    names = [name % k for k in range(count)]
    for part, one in zip(np.array_split(VOXELS.ravel(), count), names, strict=True):
        (folder / one).write_bytes(pack(part.tobytes()))
    return names


def check(path: Path, voxels: Any = VOXELS) -> None:
    for lazy in (None, False, True):
        image = sd.read(path, lazy=lazy)
        assert np.array_equal(np.asarray(image), voxels), lazy
        assert image.spacing.tolist() == [2, 1, 1]
        assert image.origin.tolist() == [5, 6, 7]
        if lazy:
            assert hasattr(image.data, "dask") or not image.data.flags.owndata


@pytest.mark.parametrize("count, dimension", [(6, ""), (6, " 2"), (3, " 3"), (1, " 3"), (30, " 1")])
def test_nrrd_in_several_files(count: int, dimension: str, tmp_path: Path) -> None:
    pytest.importorskip("nrrd", reason="needs pynrrd")
    names = pieces(tmp_path, count)
    text = NRRD + f"encoding: raw\ndata file: LIST{dimension}\n" + "\n".join(names) + "\n"
    (tmp_path / "a.nhdr").write_text(text)
    check(tmp_path / "a.nhdr")
    text = NRRD + f"encoding: raw\ndata file: s%d.raw 0 {count - 1} 1{dimension}\n"
    (tmp_path / "b.nhdr").write_text(text)
    check(tmp_path / "b.nhdr")


def test_nrrd_files_packed_one_by_one(tmp_path: Path) -> None:
    pytest.importorskip("nrrd", reason="needs pynrrd")
    names = pieces(tmp_path, 6, lambda b: gzip.compress(b"12345" + b))
    listed = "\n".join(names)
    text = NRRD + f"encoding: gzip\nbyte skip: 5\ndata file: LIST\n{listed}\n"
    (tmp_path / "a.nhdr").write_text(text)
    check(tmp_path / "a.nhdr")
    (tmp_path / "b.nhdr").write_text(text.replace("byte skip: 5", "byte skip: -1"))
    check(tmp_path / "b.nhdr")


@pytest.mark.parametrize("count, dimension", [(6, ""), (6, " 2"), (6, " 0"), (30, " 1")])
def test_metaimage_in_several_files(count: int, dimension: str, tmp_path: Path) -> None:
    names = pieces(tmp_path, count)
    text = META + f"ElementDataFile = LIST{dimension}\n" + "\n".join(names) + "\n"
    (tmp_path / "a.mhd").write_text(text)
    check(tmp_path / "a.mhd")
    (tmp_path / "b.mhd").write_text(META + f"ElementDataFile = s%d.raw 0 {count - 1} 1{dimension}")
    check(tmp_path / "b.mhd")


@pytest.mark.parametrize("suffix", ["nhdr", "mhd"])
def test_simpleitk_reads_the_same_list(suffix: str, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    if suffix == "nhdr":
        pytest.importorskip("nrrd", reason="needs pynrrd")
    listed = "\n".join(pieces(tmp_path, 6)) + "\n"
    head = {
        "nhdr": NRRD + "encoding: raw\ndata file: LIST\n",
        "mhd": META + "ElementDataFile = LIST\n",
    }
    path = tmp_path / f"a.{suffix}"
    path.write_text(head[suffix] + listed)
    read = sitk.ReadImage(str(path))
    image = sd.read(path)
    assert np.array_equal(sitk.GetArrayFromImage(read), np.asarray(image))
    assert np.allclose(read.GetOrigin(), image.origin)
    assert np.allclose(read.GetSpacing(), image.spacing[::-1])


def test_metaimage_packed_pieces(tmp_path: Path) -> None:
    listed = "\n".join(pieces(tmp_path, 6, zlib.compress))
    (tmp_path / "a.mhd").write_text(
        META + "CompressedData = True\nElementDataFile = LIST\n" + listed
    )
    check(tmp_path / "a.mhd")


@pytest.mark.parametrize(
    "ending, word",
    [
        ("LIST\ns0.raw\n", "need 6 data files, got 1"),
        ("LIST 7\n" + "s0.raw\n" * 6, "1 to 3 axes"),
        ("LIST 3\n" + "s0.raw\n" * 4, "a divisor of 6"),
        ("LIST two\n" + "s0.raw\n" * 6, "must be an int"),
        ("s%d%d.raw 0 5 1", "one %d"),
        ("s%s.raw 0 5 1", "one %d"),
        ("s%d.raw 0 5 0", "in steps"),
        ("s%d.raw 0 99999999999 1", "at most"),
        ("s%d.raw 5 0 1", "from first to last"),
        ("LIST\n" + "../s.raw\n" * 6, "outside"),
        ("LIST\n" + "s0.raw\n" * 5 + "gone.raw\n", "not there"),
    ],
)
def test_wrong_lists_are_refused(ending: str, word: str, tmp_path: Path) -> None:
    pytest.importorskip("nrrd", reason="needs pynrrd")
    folder = tmp_path / "in"
    folder.mkdir()
    pieces(folder, 6)
    (tmp_path / "s.raw").write_bytes(bytes(40))
    (folder / "a.nhdr").write_text(NRRD + f"encoding: raw\ndata file: {ending}")
    with pytest.raises((FormatError, UnsafeInputError), match=word):
        sd.read(folder / "a.nhdr")


def test_a_short_piece_is_told(tmp_path: Path) -> None:
    names = pieces(tmp_path, 6)
    (tmp_path / names[3]).write_bytes(bytes(39))
    (tmp_path / "a.mhd").write_text(META + "ElementDataFile = LIST\n" + "\n".join(names))
    with pytest.raises(FormatError, match="truncated"):
        sd.read(tmp_path / "a.mhd")


def test_voxels_at_the_end_of_what_is_unpacked(tmp_path: Path) -> None:
    nrrd = pytest.importorskip("nrrd", reason="needs pynrrd")
    head = NRRD + "encoding: gzip\nbyte skip: -1\n\n"
    (tmp_path / "a.nrrd").write_bytes(head.encode() + gzip.compress(b"a head" + VOXELS.tobytes()))
    assert np.array_equal(nrrd.read(str(tmp_path / "a.nrrd"), index_order="C")[0], VOXELS)
    check(tmp_path / "a.nrrd")
    for body, word in ((VOXELS.tobytes()[1:], "ends after"), (bytes(1 << 22), "stand before")):
        (tmp_path / "b.nrrd").write_bytes(head.encode() + gzip.compress(body))
        with pytest.raises((FormatError, UnsafeInputError), match=word):
            np.asarray(sd.read(tmp_path / "b.nrrd"))


def test_legal_headers_that_pynrrd_refuses(tmp_path: Path) -> None:
    """Blanks inside vectors and none between them, colons in values, text beyond ASCII."""
    pytest.importorskip("nrrd", reason="needs pynrrd")
    text = NRRD.replace("(1,0,0) (0,1,0) (0,0,2)", "( 1, 0 ,0 )(0,1, 0)  (0,0,2)")
    text += 'encoding: raw\n# Größe\nwhen:=12:30\nöl:=a\\nb\\\\n\nmy key:="mine"\n\n'
    (tmp_path / "a.nrrd").write_bytes(text.encode() + VOXELS.tobytes())
    check(tmp_path / "a.nrrd")
    image = sd.read(tmp_path / "a.nrrd")
    kept = {"when": "12:30", "öl": "a\nb\\n", "my key": '"mine"'}
    assert image.attrs["nrrd"] == kept
    sd.write(tmp_path / "b.nrrd", image)
    assert sd.read(tmp_path / "b.nrrd").attrs["nrrd"] == kept


def test_missing_byte_order_is_not_guessed(tmp_path: Path) -> None:
    pytest.importorskip("nrrd", reason="needs pynrrd")
    text = NRRD.replace("endian: little\n", "") + "encoding: raw\n\n"
    (tmp_path / "a.nrrd").write_bytes(text.encode() + VOXELS.tobytes())
    with pytest.raises(FormatError, match="endian must be"):
        sd.read(tmp_path / "a.nrrd")


def test_metaimage_names_are_utf8(tmp_path: Path) -> None:
    (tmp_path / "größe_体.raw").write_bytes(VOXELS.tobytes())
    text = META + "Comment = Größe\nElementDataFile = größe_体.raw\n"
    (tmp_path / "a.mhd").write_bytes(text.encode())
    check(tmp_path / "a.mhd")
    image = sd.read(tmp_path / "a.mhd")
    sd.write(tmp_path / "体.mhd", image)
    assert "体.raw" in (tmp_path / "体.mhd").read_text("utf-8")
    assert sd.read(tmp_path / "体.mhd").attrs == image.attrs == {"metaimage": {"Comment": "Größe"}}
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    assert np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "体.mhd"))), VOXELS)
