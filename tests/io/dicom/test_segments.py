"""DICOM segmentations: read as masks with names, written so that they refer to their series."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.io.dicom._segments import hex_to_lab, lab_to_hex
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

hd = pytest.importorskip("highdicom", reason="needs highdicom")
pydicom = pytest.importorskip("pydicom", reason="needs pydicom")


@pytest.fixture
def folder(tmp_path: Path, write_slice: Callable[..., Any]) -> Path:
    """Return a series of five slices, each 2.5 mm from the next."""
    path = tmp_path / "series"
    path.mkdir()
    for k in range(5):
        values = np.random.default_rng(k).integers(0, 100, (6, 7)).astype("i2")
        write_slice(
            path / f"{9 - k}.dcm", values, ImagePositionPatient=[1.5, -4.0, 2.5 * k],
            PatientID="X7", InstanceNumber=k + 1, SliceThickness=2.5,
        )  # fmt: skip
    return path


def masks_by_highdicom(path: Path) -> dict[int, Any]:
    """Return each segment's voxels by place, as highdicom reads them: {number: {z: mask}}."""
    seg = hd.seg.segread(path)
    out: dict[int, Any] = {}
    for groups, pixels in zip(
        seg.PerFrameFunctionalGroupsSequence, np.atleast_3d(seg.pixel_array.T).T, strict=True
    ):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = groups.PlanePositionSequence[0].ImagePositionPatient
        out.setdefault(number, {})[round(float(place[2]), 6)] = pixels
    return out


@pytest.mark.fact("segments", "DICOM", "both ways", "highdicom", says="SEG")
@pytest.mark.parametrize("omit_empty", [True, False])
@pytest.mark.parametrize("shear", [0.0, 0.3])
def test_masks_of_several_segments(
    folder: Path, omit_empty: bool, shear: float, tmp_path: Path
) -> None:
    image = sd.read(folder)
    values = np.stack([np.asarray(image) > 50, np.asarray(image) < 20])
    values[0, 2], values[1, 0] = False, True
    coords = {"segment_label": ("c", ["bright", "dark"]), "color": ("c", ["FF8000", "0000FF"])}
    g = image.geometry
    direction = g.direction.copy()
    direction[1, 0] = shear  # a gantry tilt
    direction[:, 0] /= np.linalg.norm(direction[:, 0])
    dims = ("c", *g.dims)
    g = sd.Geometry((2, *g.shape), g.spacing, g.origin, direction, dims, world=g.world)
    masks = sd.SpatialArray(values, g, coords=coords, attrs=image.attrs)
    sd.write(tmp_path / "m.dcm", masks, kind="seg", source=folder, omit_empty=omit_empty)
    back = sd.read(tmp_path / "m.dcm")
    assert np.array_equal(np.asarray(back), values)
    assert_geometry_equal(back, masks, tolerance=1e-6)
    assert list(back.coords["segment_label"]) == ["bright", "dark"]
    assert list(back.coords["color"]) == ["FF8000", "0000FF"]
    assert list(back[1:].coords["segment_number"]) == [2]
    items = hd.seg.segread(tmp_path / "m.dcm").SegmentSequence
    assert [item.SegmentLabel for item in items] == ["bright", "dark"]
    theirs = masks_by_highdicom(tmp_path / "m.dcm")
    assert (len(theirs[1]), len(theirs[2])) == ((4, 5) if omit_empty else (5, 5))
    step = masks.index_to_physical((0, 1, 0, 0))[2]
    for number, planes in theirs.items():
        for z, mask in planes.items():
            assert np.array_equal(mask, values[number - 1, round(z / step)])


def test_each_frame_refers_to_the_instance_in_its_place(folder: Path, tmp_path: Path) -> None:
    """By the image's own coordinates, whatever was cut and turned since."""
    mask = (sd.read(folder) > 50)[::-1][1:4, ::-1, 2:]
    sd.write(tmp_path / "m.dcm", mask, kind="seg", segments={1: "bright"})
    seg = hd.seg.segread(tmp_path / "m.dcm")
    places = {}
    for file in folder.iterdir():
        d = pydicom.dcmread(file)
        places[d.SOPInstanceUID] = [float(v) for v in d.ImagePositionPatient]
    assert (seg.PatientID, seg.StudyInstanceUID, seg.FrameOfReferenceUID) == (
        "X7",
        "1.2.9",
        "1.2.7",
    )
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == "1.2.8"
    assert seg.SegmentSequence[0].SegmentLabel == "bright"
    assert seg.SeriesInstanceUID != "1.2.8"
    for groups in seg.PerFrameFunctionalGroupsSequence:
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        assert places[source.ReferencedSOPInstanceUID][2] == z
    assert_geometry_equal(sd.read(tmp_path / "m.dcm")[0], mask, tolerance=1e-6)


@pytest.mark.parametrize("wrong", [["ball"], "ball", {"1": "ball"}, {1: {"name": "ball"}}, {1: 5}])
def test_segments_are_named_by_their_numbers(wrong: Any, folder: Path, tmp_path: Path) -> None:
    mask = sd.read(folder) > 50
    with pytest.raises(TypeError, match=r"such as \{1: 'liver'\}, got"):
        sd.write(tmp_path / "m.dcm", mask, kind="seg", segments=wrong)
    assert not (tmp_path / "m.dcm").exists()
    sd.write(tmp_path / "m.dcm", mask, kind="seg", segments={np.int64(1): "ball"})
    assert list(sd.read(tmp_path / "m.dcm").coords["segment_label"]) == ["ball"]


@pytest.mark.parametrize("kind", ["seg", "labelmap"])
@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8"])
def test_labels(kind: str, dtype: str, folder: Path, tmp_path: Path) -> None:
    labels = (sd.read(folder) // 34).astype(dtype)
    sd.write(tmp_path / "l.dcm", labels, kind=kind, segments={2: "middle"})
    back = sd.read(tmp_path / "l.dcm")
    if kind == "labelmap":
        assert_geometry_equal(back, labels, tolerance=1e-6)
        assert np.array_equal(np.asarray(back), np.asarray(labels))
        described = {d["SegmentNumber"]: d for d in back.attrs["dicom"]["SegmentSequence"]}
        assert described[2]["SegmentLabel"] == "middle"
    else:
        whole = sum(n * np.asarray(back)[n - 1].astype(int) for n in (1, 2))
        assert np.array_equal(whole, np.asarray(labels))
        assert list(back.coords["segment_label"]) == ["segment 1", "middle"]
    theirs = hd.seg.segread(tmp_path / "l.dcm").get_volume(combine_segments=True).array
    assert np.array_equal(theirs, np.asarray(labels)) or np.array_equal(
        theirs[::-1], np.asarray(labels)
    )


def test_fractions_come_back_exactly(folder: Path, tmp_path: Path) -> None:
    image = sd.read(folder)
    parts = sd.SpatialArray(
        np.random.default_rng(0).integers(0, 256, image.shape).astype("f4") / np.float32(255),
        image.geometry,
    )
    sd.write(tmp_path / "f.dcm", parts, kind="seg", source=folder)
    back = sd.read(tmp_path / "f.dcm")
    assert np.array_equal(np.asarray(back)[0], np.asarray(parts))
    stored = sd.read(tmp_path / "f.dcm", scaled=False)
    assert np.array_equal(np.asarray(stored)[0], np.round(np.asarray(parts) * 255))


def test_lazy_masks(folder: Path, tmp_path: Path) -> None:
    mask = sd.read(folder) > 50
    mask[2] = False
    sd.write(tmp_path / "m.dcm", mask, kind="seg", omit_empty=True)
    lazy = sd.read(tmp_path / "m.dcm", lazy=True)
    assert lazy.data.numblocks[:2] == (1, 5)
    assert np.array_equal(np.asarray(lazy)[0], np.asarray(mask))


def test_what_is_no_segmentation_is_refused(folder: Path, tmp_path: Path) -> None:
    image = sd.read(folder)
    mask = image > 50
    bare = sd.SpatialArray(np.asarray(mask), mask.geometry)
    skewed = np.eye(3)
    skewed[:, 2] = [0, 0.6, 0.8]
    cases: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (FormatError, "source=", bare, {}),
        (FormatError, r"multiples of 1/255", image.astype("f4") / 7, {}),
        (FormatError, "integers from 0", image.astype("i2") - 60, {}),
        (FormatError, "kind='labelmap'", image.astype("i4") * 1000, {}),
        (GeometryLossError, "orthogonal", mask.replace(direction=skewed), {}),
        (TypeError, "kind='seg'", image, {"kind": "image", "source": folder}),
        (ValueError, "kind must be", image, {"kind": "mask"}),
    ]
    for error, words, given_image, options in cases:
        with pytest.raises(error, match=words):
            sd.write(tmp_path / "x.dcm", given_image, **({"kind": "seg"} | options))
    with pytest.raises(FormatError, match="one file"):
        sd.write(tmp_path / "x", mask, format="dicom", kind="seg")
    assert {p.name for p in tmp_path.iterdir()} == {"series"}


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_colours_survive_cielab(rgb: tuple[int, int, int]) -> None:
    digits = "".join(f"{v:02X}" for v in rgb)
    assert lab_to_hex(hex_to_lab(digits)) == digits
