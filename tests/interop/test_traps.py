"""Defects that other software was seen to have with geometry, and that are not ours.

Each test says what goes wrong elsewhere. Those that need a file or library of their own stand with
them: MINC mirrored in x and y, and gantry tilt (tests/io), stale affines of MetaTensor, strides of
ANTsPy (test_more_libraries).
"""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, GeometryError, GeometryLossError
from spatial_duck.testing import assert_geometry_equal

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
SHEAR = TURN @ np.array([[1, 0.2, 0.1], [0, 1, -0.3], [0, 0, 1]])
SHEAR = SHEAR / np.hypot.reduce(SHEAR, axis=0)


def volume(direction: Any = TURN, shape: tuple[int, ...] = (4, 5, 6)) -> sd.SpatialArray:
    return sd.SpatialArray(
        np.arange(np.prod(shape), dtype="f4").reshape(shape), spacing=(2.5, 0.75, 0.5),
        origin=(-100, 20, 7), direction=direction, world=sd.World(("x", "y", "z"), "mm", "LPS"),
    )  # fmt: skip


def series(shape: tuple[int, ...] = (3, 4, 5, 6)) -> sd.SpatialArray:
    direction = np.zeros((4, 4))
    direction[0, 0], direction[1:, 1:] = 1, TURN
    return sd.SpatialArray(
        np.arange(np.prod(shape), dtype="f4").reshape(shape), spacing=(9, 2.5, 0.75, 0.5),
        origin=(4, -100, 20, 7), direction=direction, dims=("t", "z", "y", "x"),
        world=sd.World(("t", "x", "y", "z"), {"t": "s", "x": "mm", "y": "mm", "z": "mm"}, "LPS"),
    )  # fmt: skip


def test_simpleitk_array_of_four_axes_becomes_a_vector_image() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    assert sitk.GetImageFromArray(np.zeros((3, 4, 5, 6))).GetDimension() == 3  # theirs
    other = sd.to_simpleitk(series())
    assert (other.GetDimension(), other.GetSpacing()) == (4, (0.5, 0.75, 2.5, 9))
    assert_geometry_equal(sd.asarray(other), series(), tolerance=1e-9)


def test_simpleitk_slice_keeps_only_a_part_of_the_matrix() -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    other = sd.to_simpleitk(volume())
    theirs = other[:, :, 1]
    point = other.TransformIndexToPhysicalPoint((2, 3, 1))
    assert theirs.GetDimension() == 2  # theirs: it no longer lies in the volume
    ours = sd.asarray(other)[1]
    assert np.allclose(ours.index_to_physical((3, 2)), point)
    again = sd.to_simpleitk(ours)
    assert np.allclose(again.TransformIndexToPhysicalPoint((2, 3, 0)), point)


@pytest.mark.parametrize("name", ["a.nii", "a.nrrd"])
def test_simpleitk_writes_a_shear_as_something_else(name: str, tmp_path: Any) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    pytest.importorskip({"a.nii": "nibabel", "a.nrrd": "nrrd"}[name], reason="needs its reader")
    image = volume(SHEAR)
    sitk.WriteImage(sd.to_simpleitk(image), str(tmp_path / name))
    moved = sd.asarray(sitk.ReadImage(str(tmp_path / name)))
    if name == "a.nii":
        assert not moved.geometry.isclose(image.geometry)  # theirs, without a word
    sd.write(tmp_path / ("b" + name), image)
    back = sd.read(tmp_path / ("b" + name), dims=("z", "y", "x"))
    assert_geometry_equal(back, image, tolerance=1e-3)


def test_simpleitk_takes_spacing_that_is_not_a_number() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    other = sitk.Image([4, 5, 6], sitk.sitkFloat32)
    other.SetSpacing((1.0, float("nan"), 1.0))  # theirs
    with pytest.raises(GeometryError, match="finite"):
        sd.asarray(other)


@pytest.mark.parametrize("wrap", [True, False])
def test_itk_and_xarray_lose_direction_spacing_and_thin_axes(wrap: bool) -> None:
    pytest.importorskip("xarray", reason="needs xarray")
    for image in (volume(), volume(shape=(1, 5, 1)), series(), series((3, 1, 5, 1))):
        back = sd.asarray(sd.to_xarray(image, wrap=wrap))
        assert_geometry_equal(back, image, tolerance=1e-9)
        assert back.spacing.tolist() == image.spacing.tolist()


def test_nibabel_takes_gzip_with_a_wrong_checksum(tmp_path: Any) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    sd.write(tmp_path / "a.nii.gz", volume(shape=(40, 50, 60)))
    raw = bytearray((tmp_path / "a.nii.gz").read_bytes())
    raw[-8] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(raw)
    with pytest.raises((OSError, EOFError)), gzip.open(tmp_path / "a.nii.gz") as file:
        file.read()
    assert nibabel.load(tmp_path / "a.nii.gz").get_fdata().shape == (60, 50, 40)  # theirs
    with pytest.raises(FormatError, match="CRC"):
        sd.read(tmp_path / "a.nii.gz")


def test_metaimage_matrix_is_the_transpose_of_itks(tmp_path: Any) -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    sd.write(tmp_path / "a.mha", volume())
    head = (tmp_path / "a.mha").read_bytes().split(b"ElementDataFile")[0].decode()
    (line,) = [text for text in head.splitlines() if text.startswith("TransformMatrix")]
    rows = np.array([float(v) for v in line.partition("=")[2].split()]).reshape(3, 3)
    itk = np.array(sd.to_simpleitk(volume()).GetDirection()).reshape(3, 3)
    assert np.allclose(rows, itk.T)
    assert not np.allclose(rows, itk)


@pytest.mark.parametrize("name", ["spatial_image", "ngff_image"])
def test_axis_aligned_libraries_move_an_oblique_image(name: str) -> None:
    package = {"spatial_image": "spatial_image", "ngff_image": "ngff_zarr"}[name]
    pytest.importorskip(package, reason=f"needs {package}")
    image = volume()
    with pytest.raises(GeometryLossError, match="oblique"):
        getattr(sd, f"to_{name}")(image)


def test_levels_of_others_are_half_a_voxel_off(tmp_path: Any) -> None:
    """A ramp sampled where a level says its voxels are gives the level's values."""
    pytest.importorskip("zarr", reason="needs zarr")
    ramp = np.indices((8, 12, 16)) * np.array([3.0, 2, 1]).reshape(3, 1, 1, 1)
    image = sd.SpatialArray(ramp.sum(axis=0), spacing=(3, 2, 1), frame="LPS", unit="mm")
    sd.write(tmp_path / "a.ome.zarr", image, levels=3, factors=2, chunks=8)
    for level in (1, 2):
        coarse = sd.read(tmp_path / "a.ome.zarr", level=level)
        where = coarse.index_to_physical(np.moveaxis(np.indices(coarse.shape), 0, -1))
        assert np.allclose(where.sum(axis=-1), np.asarray(coarse))
    assert coarse.origin.tolist() == [4.5, 3, 1.5]


def test_simpleitk_shrinks_to_other_places_than_it_says() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    ramp = np.indices((8, 8, 8)).sum(axis=0).astype("f4")
    image = sd.SpatialArray(ramp, frame="LPS", unit="mm")
    theirs = sd.asarray(sitk.Shrink(sd.to_simpleitk(image), [2, 2, 2]))
    ours = sd.pyramid(image, levels=2, factors=2)[1]
    for small, right in ((theirs, False), (ours, True)):
        where = small.index_to_physical(np.moveaxis(np.indices(small.shape), 0, -1))
        assert np.allclose(where.sum(axis=-1), np.asarray(small)) is right
