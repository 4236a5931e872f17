"""3D Slicer's segmentations, with slicerio as the referee."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.testing import assert_geometry_equal

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("nrrd", reason="needs pynrrd")

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
NAMES = ["liver", "tumour", "Gefäß"]
COLORS = ["FF0000", "00FF00", "102030"]


def masks(overlap: bool, dtype: str = "u1", frame: str = "LPS") -> sd.SpatialArray:
    values = np.zeros((3, 4, 5, 6), dtype)
    values[0, 1:3, 1:4], values[1, 3, 2:, 3], values[2, 0, 0, 0] = 1, 1, 1
    if overlap:
        values[1, 1:, 2:, 3] = 1
    return sd.SpatialArray(
        values, dims=("c", "z", "y", "x"), spacing=(2.5, 0.7, 0.3), origin=(-10, 20, 7.5),
        direction=TURN, world=sd.World(("x", "y", "z"), "mm", frame),
        coords={"segment_label": ("c", NAMES), "color": ("c", COLORS)},
    )  # fmt: skip


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "?", "i2"])
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SLP"])
def test_masks_come_back(overlap: bool, dtype: str, frame: str, tmp_path: Path) -> None:
    image = masks(overlap, dtype, frame)
    sd.write(tmp_path / "a.seg.nrrd", image)
    for lazy in (None, True, False):
        found = sd.read(tmp_path / "a.seg.nrrd", lazy=lazy)
        assert np.array_equal(np.asarray(found), np.asarray(image) != 0)
        assert found.dims == image.dims
        assert list(found.coords["segment_label"]) == NAMES
        assert list(found.coords["color"]) == COLORS
        assert_geometry_equal(found, image, tolerance=1e-9)
    assert hasattr(sd.read(tmp_path / "a.seg.nrrd", lazy=True).data, "dask")
    stored = sd.read(tmp_path / "a.seg.nrrd", labels=True)
    assert stored.ndim == (4 if overlap else 3)
    assert [s["name"] for s in stored.attrs["segments"]] == NAMES
    # What moves keeps its name.
    part = found[1:, ::-1]
    sd.write(tmp_path / "b.seg.nrrd", part)
    again = sd.read(tmp_path / "b.seg.nrrd")
    assert list(again.coords["segment_label"]) == NAMES[1:]
    assert np.array_equal(np.asarray(again), np.asarray(part))


@pytest.mark.fact("segments", "NRRD", "written", "slicerio", says="`.seg.nrrd`")
@pytest.mark.parametrize("overlap", [False, True])
def test_slicerio_reads_what_is_written(overlap: bool, tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio", reason="needs slicerio")
    image = masks(overlap)
    sd.write(tmp_path / "a.seg.nrrd", image)
    read = slicerio.read_segmentation(str(tmp_path / "a.seg.nrrd"))
    # slicerio reads ASCII alone.
    assert [s["name"] for s in read["segments"]] == [*NAMES[:2], "Gef"]
    assert np.allclose(read["segments"][0]["color"], [1, 0, 0])
    for k, segment in enumerate(read["segments"]):
        voxels = read["voxels"][segment["layer"]] if overlap else read["voxels"]
        mask = np.asarray(voxels == segment["labelValue"]).transpose()
        assert np.array_equal(mask, np.asarray(image)[k])
        at = np.argwhere(np.asarray(image)[k])[:, ::-1]
        ends = np.stack([at.min(0), at.max(0)], axis=1).ravel()
        assert segment["extent"] == ends.tolist()
    index = np.array([[0, 0, 0], [1, 2, 3], [5, 4, 3]])
    points = index @ np.array(read["ijkToLPS"])[:3, :3].T + np.array(read["ijkToLPS"])[:3, 3]
    assert np.allclose(points, image[0].index_to_physical(index[:, ::-1]))


@pytest.mark.fact("segments", "NRRD", "read", "slicerio")
@pytest.mark.parametrize("layers", [1, 2])
def test_what_slicerio_writes_is_read(layers: int, tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio", reason="needs slicerio")
    voxels = np.zeros((6, 5, 4), "u1")
    voxels[1:3], voxels[4] = 1, 2
    segmentation: dict[str, Any] = {
        "voxels": voxels, "ijkToLPS": np.diag([0.5, 0.7, 2, 1.0]), "encoding": "gzip",
        "segments": [
            {"id": "a", "labelValue": 1, "layer": 0, "name": "ribs", "color": [0.2, 0.4, 0.6]},
            {"id": "b", "labelValue": 2, "layer": 0, "name": "spine", "color": [1, 1, 0]},
        ],
    }  # fmt: skip
    if layers == 2:
        other = np.zeros_like(voxels)
        other[2:4] = 1
        segmentation["voxels"] = np.stack([voxels, other])
        segmentation["segments"].append(
            {"id": "c", "labelValue": 1, "layer": 1, "name": "cord", "color": [0, 0, 1]}
        )
    slicerio.write_segmentation(str(tmp_path / "a.seg.nrrd"), segmentation)
    image = sd.read(tmp_path / "a.seg.nrrd")
    assert image.dims == ("c", "z", "y", "x")
    assert list(image.coords["segment_label"]) == ["ribs", "spine", "cord"][: layers + 1]
    assert image.coords["color"][0] == "336699"
    assert np.array_equal(np.asarray(image)[0], (voxels == 1).transpose())
    assert image.spacing.tolist() == [2, 0.7, 0.5]
    if layers == 2:
        assert np.array_equal(np.asarray(image)[2], other.transpose())


def test_labels_are_segments(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), "i4")
    values[1], values[2] = 7, 300
    image = sd.SpatialArray(values, spacing=2.0, unit="mm", frame="LPS", world=("x", "y", "z"))
    sd.write(tmp_path / "a.seg.nrrd", image, segments={7: "liver"})
    found = sd.read(tmp_path / "a.seg.nrrd")
    assert list(found.coords["segment_label"]) == ["liver", "Segment_300"]
    assert list(found.coords["segment_number"]) == [7, 300]
    assert np.array_equal(np.asarray(found)[1], values == 300)


@pytest.mark.parametrize(
    "values, word", [(np.zeros((3, 4, 5)), "integer labels"), (np.full((3, 4, 5), -1), "negative")]
)
def test_what_is_no_segmentation_is_refused(values: np.ndarray, word: str, tmp_path: Path) -> None:
    image = sd.SpatialArray(values, unit="mm", frame="LPS", world=("x", "y", "z"))
    with pytest.raises(FormatError, match=word):
        sd.write(tmp_path / "a.seg.nrrd", image)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype, factor", [("u1", 2), ("i2", -1), ("i4", 1000)])
def test_masks_of_other_values_are_refused(dtype: str, factor: int, tmp_path: Path) -> None:
    """They became 1 before."""
    sd.write(tmp_path / "a.seg.nrrd", masks(overlap=True))
    stored = (tmp_path / "a.seg.nrrd").read_bytes()
    image = masks(overlap=True, dtype=dtype) * factor
    with pytest.raises(FormatError, match=f"0 and 1, got {factor} in mask 0.*image != 0"):
        sd.write(tmp_path / "a.seg.nrrd", image, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == ["a.seg.nrrd"]
    assert (tmp_path / "a.seg.nrrd").read_bytes() == stored
