"""What NIfTI says beyond the grid: vectors, colors, slice times, gradients, pairs, flaws.

Referees are nibabel, SimpleITK, and dipy where it is installed.
"""

from __future__ import annotations

import gzip
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

nib = pytest.importorskip("nibabel", reason="needs nibabel")

TURN = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
OBLIQUE = np.eye(4)
OBLIQUE[:3, :3], OBLIQUE[:3, 3] = TURN * [2, 2, 3], [-10, 20, 30]


def save(path: Path, values: Any, affine: Any = OBLIQUE, **fields: Any) -> Path:
    """Save an image, with fields of its header as given."""
    image = nib.Nifti1Image(values, affine)
    for name, value in fields.items():
        image.header[name] = value
    nib.save(image, path)
    return path


# --- order of axes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shape", [(4, 5, 6, 7), (4, 5, 6, 1, 3), (4, 5, 6, 2, 3), (4, 5, 6, 2, 3, 4), (4, 5, 1, 7)]
)
@pytest.mark.parametrize("step", [0.0, 2.5])
def test_axes_keep_their_order(shape: tuple[int, ...], step: float, tmp_path: Path) -> None:
    values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    made = nib.Nifti1Image(values, OBLIQUE)
    made.header["pixdim"][4] = step
    nib.save(made, tmp_path / "a.nii")
    sd.write(tmp_path / "b.nii", sd.read(tmp_path / "a.nii"))
    again = nib.load(tmp_path / "b.nii")
    squeezed = shape if shape[3] > 1 or step else (*shape[:3], *shape[4:])
    assert again.shape in (shape, squeezed)
    assert np.array_equal(np.asarray(again.dataobj).reshape(shape), values)


def test_a_series_by_slow_axes_is_fourth(tmp_path: Path) -> None:
    values = np.arange(7 * 6 * 5 * 4, dtype="i2").reshape(7, 6, 5, 4)
    image = sd.SpatialArray(values, dims=("c", "z", "y", "x"), frame="LPS", unit="mm",
                            world=("x", "y", "z"))  # fmt: skip
    sd.write(tmp_path / "a.nii", image)
    assert nib.load(tmp_path / "a.nii").shape == (4, 5, 6, 7)
    assert np.array_equal(nib.load(tmp_path / "a.nii").dataobj, values.T)


# --- vectors and colors -------------------------------------------------------------------


@pytest.mark.fact(
    "components of vectors", "NIfTI", "written", "SimpleITK", says="intents 1006 and 1007"
)
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SLP", "IAR"])
def test_vectors_are_itks(frame: str, tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    values = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("f4")
    image = sd.SpatialArray(
        values, dims=("z", "y", "x", "c"), spacing=(3, 2, 1), direction=TURN, unit="mm",
        world=("x", "y", "z"), frame=frame, coords={"component": ("c", ["x", "y", "z"])},
    )  # fmt: skip
    sd.write(tmp_path / "a.nii", image)
    read = sitk.ReadImage(str(tmp_path / "a.nii"))
    assert read.GetNumberOfComponentsPerPixel() == 3
    assert nib.load(tmp_path / "a.nii").header["intent_code"] == 1007
    # The same arrow at the same place, whatever the frame: its ends as points.
    for index in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):
        start = image.index_to_physical((*index, 0))
        world = sd.World(("x", "y", "z"), "mm", frame)
        change = sd.geometry._world.frame_change(world.frame, "LPS")
        arrow = [sign * values[index][source] for source, sign in change]
        place = [sign * start[source] for source, sign in change]
        at = read.TransformPhysicalPointToIndex([float(v) for v in place])
        assert np.allclose(read[at], arrow, atol=1e-6)
    found = sd.read(tmp_path / "a.nii")
    assert list(found.coords["component"]) == ["x", "y", "z"]
    assert found.coords["component"].attrs["frame"] == "LPS"


@pytest.mark.fact("components of vectors", "NIfTI", "read", "SimpleITK")
def test_itks_vectors_are_components(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    values = np.random.default_rng(0).normal(size=(4, 5, 6, 3)).astype("f4")
    sitk.WriteImage(sitk.GetImageFromArray(values, isVector=True), str(tmp_path / "a.nii"))
    image = sd.read(tmp_path / "a.nii")
    assert image.dims == ("x", "y", "z", "c")
    assert np.array_equal(np.asarray(image), values.transpose(2, 1, 0, 3))
    assert image.coords["component"].attrs["frame"] == "LPS"
    sd.write(tmp_path / "b.nii", image)
    again = sitk.ReadImage(str(tmp_path / "b.nii"))
    assert np.array_equal(sitk.GetArrayFromImage(again), values)
    # One component is a volume, and no vector.
    with pytest.warns(UserWarning, match="cannot store the coordinates 'component'"):
        sd.write(tmp_path / "c.nii", image[..., 1])
    assert nib.load(tmp_path / "c.nii").header["intent_code"] == 0


@pytest.mark.fact("components of vectors", "NIfTI", "both ways", "nibabel")
def test_displacements_stay_ras(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 5, 6, 1, 3)).astype("f4")
    image = sd.read(save(tmp_path / "a.nii", values, intent_code=1006))
    assert image.coords["component"].attrs["frame"] == "RAS"
    sd.write(tmp_path / "b.nii", image)
    again = nib.load(tmp_path / "b.nii")
    assert (int(again.header["intent_code"]), again.shape) == (1006, values.shape)
    assert np.array_equal(again.dataobj, values)


@pytest.mark.fact("symmetric tensors", "NIfTI", "both ways", "nibabel", says="intent 1005")
def test_symmetric_matrices(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(4, 5, 6, 1, 6)).astype("f4")
    image = sd.read(save(tmp_path / "a.nii", values, intent_code=1005, intent_p1=3))
    assert list(image.coords["component"]) == ["xx", "xy", "yy", "xz", "yz", "zz"]
    # Another order is written in the header's.
    turned = image[..., [5, 4, 3, 2, 1, 0]]
    sd.write(tmp_path / "b.nii", turned)
    again = nib.load(tmp_path / "b.nii")
    assert (int(again.header["intent_code"]), float(again.header["intent_p1"])) == (1005, 3)
    assert np.array_equal(again.dataobj, values)


@pytest.mark.fact("colors of samples", "NIfTI", "both ways", "nibabel", says="RGB24 and RGBA32")
@pytest.mark.parametrize("count", [3, 4])
def test_rgb_comes_back_as_rgb(count: int, tmp_path: Path) -> None:
    dtype = np.dtype([(n, "u1") for n in "RGBA"[:count]])
    values = np.random.default_rng(0).integers(0, 255, (4, 5, 6, count), dtype="u1")
    nib.save(nib.Nifti1Image(values.view(dtype)[..., 0], OBLIQUE), tmp_path / "a.nii")
    image = sd.read(tmp_path / "a.nii")
    assert np.array_equal(np.asarray(image), values)
    assert list(image.coords["channel"]) == ["red", "green", "blue", "alpha"][:count]
    for again in (
        image,
        image.transpose(3, 2, 0, 1),
        sd.from_nibabel(sd.to_nibabel(image)),
    ):
        sd.write(tmp_path / "b.nii", again, overwrite=True)
        read = nib.load(tmp_path / "b.nii")
        assert read.get_data_dtype() == dtype
        assert np.array_equal(np.asarray(read.dataobj), values.view(dtype)[..., 0])
    # Without one of its colors it is no RGB.
    with pytest.warns(UserWarning, match="cannot store the coordinates 'channel'"):
        sd.write(tmp_path / "c.nii", image[..., :2])
    assert nib.load(tmp_path / "c.nii").get_data_dtype() == np.uint8


# --- slices -------------------------------------------------------------------------------


@pytest.mark.fact("slice times", "NIfTI", "both ways", "nibabel", says="slice code")
@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("count, ends", [(30, (0, 29)), (7, (0, 6)), (9, (2, 7)), (6, (0, 5))])
def test_slice_times(code: int, count: int, ends: tuple[int, int], tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 4, count), "i2"), np.eye(4))
    h = image.header
    h.set_dim_info(0, 1, 2)
    h["slice_code"], h["slice_duration"] = code, 0.1
    h["slice_start"], h["slice_end"] = ends
    h.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "a.nii")
    wanted = [
        np.nan if t is None else t for t in nib.load(tmp_path / "a.nii").header.get_slice_times()
    ]
    found = sd.read(tmp_path / "a.nii")
    assert np.allclose(found.coords["slice_time"], wanted, equal_nan=True)
    assert found.coords["slice_time"].unit == "s"
    sd.write(tmp_path / "b.nii", found)
    h = nib.load(tmp_path / "b.nii").header
    again = [np.nan if t is None else t for t in h.get_slice_times()]
    assert np.allclose(again, wanted, equal_nan=True)
    assert h.get_dim_info() == (0, 1, 2)
    # Turned around, each slice keeps its time, and the file says so by another code.
    sd.write(tmp_path / "c.nii", found[:, :, ::-1])
    h = nib.load(tmp_path / "c.nii").header
    again = [np.nan if t is None else t for t in h.get_slice_times()]
    assert np.allclose(again, wanted[::-1], equal_nan=True)


@pytest.mark.fact("frequency, phase, slice", "NIfTI", "both ways", "nibabel", says="`dim_info`")
def test_encodings_move_with_their_axes(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.zeros((4, 5, 6), "i2"), np.eye(4))
    image.header.set_dim_info(1, 0, 2)
    nib.save(image, tmp_path / "a.nii")
    found = sd.read(tmp_path / "a.nii")
    sd.write(tmp_path / "b.nii", found.transpose(2, 0, 1)[1:])
    assert nib.load(tmp_path / "b.nii").header.get_dim_info() == (1, 0, 2)
    with pytest.warns(UserWarning, match="'frequency_encoding'"):
        sd.write(tmp_path / "c.nii", found[:, 2])
    assert nib.load(tmp_path / "c.nii").header.get_dim_info()[0] is None


# --- gradients ----------------------------------------------------------------------------


def diffusion(folder: Path, affine: Any, by_rows: bool = True) -> tuple[Path, Any, Any]:
    """A series of seven volumes with b-values and directions as FSL has them."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(7, 3))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    vectors[0] = 0
    values = np.array([0, 1000, 1000, 2000, 700.5, 5, 3000])
    path = save(folder / "dwi.nii.gz", rng.normal(size=(4, 5, 6, 7)).astype("f4"), affine)
    np.savetxt(folder / "dwi.bval", values[None])
    np.savetxt(folder / "dwi.bvec", vectors.T if by_rows else vectors)
    return path, values, vectors


AFFINES = [
    np.diag([2, 2, 2, 1.0]),
    np.diag([-2, 2, 2, 1.0]),
    OBLIQUE,
    OBLIQUE @ np.diag([1, -1, 1, 1]),
]


@pytest.mark.fact("b-values and gradients", "NIfTI", "read", "nibabel", says="`.bval` and `.bvec`")
@pytest.mark.parametrize("affine", AFFINES, ids=["RAS", "LAS", "oblique", "flipped"])
@pytest.mark.parametrize("by_rows", [True, False])
def test_gradients_beside_a_file(affine: Any, by_rows: bool, tmp_path: Path) -> None:
    path, values, vectors = diffusion(tmp_path, affine, by_rows)
    image = sd.read(path)
    assert np.allclose(image.coords["b_value"], values)
    assert image.coords["b_value"].unit == "s/mm^2"
    # FSL: along the axes of the voxels, x turned where the affine's determinant is positive.
    turn = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    sign = [-1 if np.linalg.det(turn) > 0 else 1, 1, 1]
    assert np.allclose(image.coords["gradient_direction"].values, vectors * sign @ turn.T)
    # However the axes are turned, the files say the same directions in the world.
    for moved in (
        image,
        image[::-1],
        image[..., ::-1, :],
        image.transpose(1, 2, 0, 3),
    ):
        folder = tmp_path / "out"
        folder.mkdir(exist_ok=True)
        sd.write(folder / "b.nii.gz", moved, overwrite=True)
        again = sd.read(folder / "b.nii.gz")
        assert np.allclose(again.coords["gradient_direction"].values,
                           image.coords["gradient_direction"].values, atol=1e-6)  # fmt: skip
    sd.write(folder / "c.nii.gz", image[..., 2:5])
    assert np.allclose(np.loadtxt(folder / "c.bval"), values[2:5])
    assert np.allclose(np.loadtxt(folder / "c.bvec"), vectors.T[:, 2:5], atol=1e-6)


@pytest.mark.fact("b-values and gradients", "NIfTI", "written", "dipy")
@pytest.mark.parametrize("affine", AFFINES[:3], ids=["RAS", "LAS", "oblique"])
def test_dipy_reads_what_is_written(affine: Any, tmp_path: Path) -> None:
    gradients = pytest.importorskip("dipy.io.gradients", reason="needs dipy")
    path, values, vectors = diffusion(tmp_path, affine)
    sd.write(tmp_path / "b.nii.gz", sd.read(path))
    b, directions = gradients.read_bvals_bvecs(str(tmp_path / "b.bval"), str(tmp_path / "b.bvec"))
    assert np.allclose(b, values)
    assert np.allclose(directions, vectors, atol=1e-6)


def test_files_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path, _, _ = diffusion(tmp_path, OBLIQUE)
    (tmp_path / "dwi.bval").write_text("0 1000\n")
    (tmp_path / "dwi.bvec").write_text("0 a\n")
    with pytest.warns(UserWarning, match="do not fit the image") as told:
        image = sd.read(path)
    assert {"b_value", "gradient_direction"}.isdisjoint(image.coords)
    assert [Path(str(w.message).split(":")[0]).name for w in told] == ["dwi.bvec", "dwi.bval"]


def test_a_mean_has_no_gradients(tmp_path: Path) -> None:
    path, _, _ = diffusion(tmp_path, OBLIQUE)
    sd.write(tmp_path / "mean.nii.gz", sd.read(path).mean(-1))
    assert not (tmp_path / "mean.bval").exists()


# --- files with flaws ---------------------------------------------------------------------


def voxels(image: sd.SpatialArray) -> Any:
    return np.asarray(image)


@pytest.mark.parametrize("behind", [b"no gzip at all", b"\x1f", b"\x1f\x8b broken"])
def test_bytes_behind_gzip(behind: bytes, tmp_path: Path) -> None:
    values = np.arange(120, dtype="i2").reshape(4, 5, 6)
    content = save(tmp_path / "a.nii", values).read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(content) + behind)
    if behind.startswith(b"\x1f\x8b"):
        with pytest.raises(FormatError, match="CRC"):
            sd.read(tmp_path / "a.nii.gz")
        return
    with pytest.warns(UserWarning, match="other bytes follow its gzip data"):
        image = sd.read(tmp_path / "a.nii.gz")
    assert np.array_equal(voxels(image), values)


@given(cuts=st.lists(st.integers(0, 3000), max_size=3), padding=st.integers(0, 70_000))
def test_gzip_in_members_and_padded(
    cuts: list[int], padding: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("gzip")
    values = np.random.default_rng(0).integers(0, 9, (9, 10, 12)).astype("i2")
    content = save(folder / "a.nii", values).read_bytes()
    edges = [0, *sorted(cuts), len(content)]
    parts = [content[a:b] for a, b in pairwise(edges)]
    packed = b"".join(map(gzip.compress, parts)) + bytes(padding)
    (folder / "a.nii.gz").write_bytes(packed)
    assert np.array_equal(voxels(sd.read(folder / "a.nii.gz")), values)


def test_an_sform_without_directions(tmp_path: Path) -> None:
    values = np.zeros((4, 5, 6), "i2")
    header, path = nib.Nifti1Header(), tmp_path / "a.nii"
    header.set_data_shape(values.shape)
    header.set_data_dtype("i2")
    header.set_qform(OBLIQUE, 1)
    header["sform_code"], header["vox_offset"], header["magic"] = 1, 352, b"n+1"
    path.write_bytes(header.binaryblock + bytes(4) + values.tobytes())
    with pytest.warns(UserWarning, match="form='qform'"):
        found = sd.read(path)
    assert np.allclose(found.geometry.affine, OBLIQUE, atol=1e-4)
    sd.read(path, form="qform")
    with pytest.raises(FormatError):
        sd.read(path, form="sform")


@pytest.mark.parametrize("kind, offset", [("1", 0), ("1", 348), ("2", 352), ("2", 540)])
def test_voxels_do_not_begin_in_the_header(kind: str, offset: int, tmp_path: Path) -> None:
    header = {"1": nib.Nifti1Header, "2": nib.Nifti2Header}[kind]()
    header.set_data_shape((4, 5, 6))
    header["magic"], header["vox_offset"] = header.single_magic, offset
    (tmp_path / "a.nii").write_bytes(header.binaryblock + bytes(4 + 4 * 120))
    with pytest.raises(FormatError, match=r"NIfTI header is not valid|vox_offset"):
        sd.read(tmp_path / "a.nii")


def test_cifti_is_named(tmp_path: Path) -> None:
    axes = (nib.cifti2.ScalarAxis(["a"]),
            nib.cifti2.BrainModelAxis.from_mask(np.ones(5, bool), name="cortex_left"))  # fmt: skip
    nib.save(nib.Cifti2Image(np.zeros((1, 5), "f4"), axes), tmp_path / "a.dscalar.nii")
    with pytest.raises(FormatError, match="CIFTI-2"):
        sd.read(tmp_path / "a.dscalar.nii")


# --- other files of nibabel ---------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.hdr", "a.img", "a.nii.bz2", "a.nii.zst"])
def test_other_containers(name: str, tmp_path: Path) -> None:
    if name.endswith(".zst"):
        pytest.importorskip("backports.zstd", reason="needs backports.zstd")
    values = np.arange(120, dtype="i2").reshape(4, 5, 6)
    if name.startswith("a.nii"):
        nib.save(nib.Nifti1Image(values, OBLIQUE), tmp_path / name)
    else:
        nib.save(nib.Nifti1Pair(values, OBLIQUE), tmp_path / "a.img")
    image = sd.read(tmp_path / name)
    assert np.array_equal(voxels(image), values)
    assert np.allclose(image.geometry.affine, OBLIQUE, atol=1e-4)
    if name.startswith("a.nii"):
        sd.write(tmp_path / ("b" + name[1:]), image)
        again = nib.load(tmp_path / ("b" + name[1:]))
        assert np.array_equal(again.dataobj, values)


@pytest.mark.parametrize("suffix", [".mgh", ".mgz"])
@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 6, 3)])
def test_freesurfers_volumes(suffix: str, shape: Sequence[int], tmp_path: Path) -> None:
    values = np.arange(np.prod(shape), dtype="f4").reshape(shape)
    made = nib.MGHImage(values, OBLIQUE.astype("f4"))
    if len(shape) == 4:
        made.header["tr"] = 2500
    nib.save(made, tmp_path / f"a{suffix}")
    for lazy in (None, True, False):
        image = sd.read(tmp_path / f"a{suffix}", lazy=lazy)
        assert np.array_equal(voxels(image), values)
        index = np.array([[0, 0, 0], [3, 4, 5]])
        full = np.pad(index, [(0, 0), (0, len(shape) - 3)])
        points = nib.affines.apply_affine(made.affine, index)
        assert np.allclose(image.index_to_physical(full)[:, :3], points, atol=1e-4)
    if len(shape) == 4:
        assert (image.dims[3], image.spacing[3], image.unit[3]) == ("t", 2500, "ms")
        assert sd.from_nibabel(made).geometry.isclose(image.geometry)
    if suffix == ".mgz":
        packed = bytearray((tmp_path / "a.mgz").read_bytes())
        packed[-5] ^= 1
        (tmp_path / "b.mgz").write_bytes(packed)
        with pytest.raises(FormatError):
            voxels(sd.read(tmp_path / "b.mgz", lazy=False))


def test_analyze_through_nibabel(tmp_path: Path) -> None:
    values = np.arange(120, dtype="i2").reshape(4, 5, 6)
    nib.save(nib.Spm99AnalyzeImage(values, np.diag([-2, 2, 2, 1.0])), tmp_path / "a.img")
    for name in ("a.img", "a.hdr"):
        image = sd.read(tmp_path / name)
        assert np.array_equal(voxels(image), values)
        assert np.allclose(image.geometry.affine, nib.load(tmp_path / "a.img").affine)


@pytest.mark.parametrize("frame", ["LPS", "RAS"])
def test_displacement_fields_move_points_as_before(tmp_path: Path, frame: str) -> None:
    """By our reader and by SimpleITK's, whatever frame the field was made in."""
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    world = sd.World(("x", "y", "z"), "mm", frame)
    vectors = np.random.default_rng(0).normal(size=(6, 7, 8, 3))
    image = sd.SpatialArray(vectors, dims=("x", "y", "z", "c"), spacing=(1.5, 1, 2), world=world)
    field = sd.DisplacementField(image)
    assert list(field.image.coords["component"]) == ["x", "y", "z"]
    sd.write(tmp_path / "f.nii.gz", field.image)
    lps = sd.World(("x", "y", "z"), "mm", "LPS")
    points = (
        field.to_world(lps)
        .image.to_frame("LPS")
        .geometry.index_to_physical(np.array([[2, 3, 3, 0], [1, 2, 4, 0]]))
    )
    wanted = field.to_world(lps)(points)
    back = sd.DisplacementField(sd.read(tmp_path / "f.nii.gz")).to_world(lps)
    np.testing.assert_allclose(back(points), wanted, atol=1e-5)
    read = sitk.ReadImage(str(tmp_path / "f.nii.gz"))
    assert (read.GetDimension(), read.GetNumberOfComponentsPerPixel()) == (3, 3)
    theirs = sitk.DisplacementFieldTransform(sitk.Cast(read, sitk.sitkVectorFloat64))
    found = [theirs.TransformPoint(p) for p in points.tolist()]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_mean_over_time_keeps_its_time_or_is_a_volume(tmp_path: Path) -> None:
    bold = sd.SpatialArray(
        np.zeros((3, 4, 5, 2), np.float32), dims=("x", "y", "z", "t"), frame="RAS"
    )
    mean = bold.mean("t")
    sd.write(tmp_path / "timed.nii", mean)
    sd.write(tmp_path / "volume.nii", mean.to_world(["x", "y", "z"]))
    assert nib.load(tmp_path / "timed.nii").shape == (3, 4, 5, 1)
    assert nib.load(tmp_path / "volume.nii").shape == (3, 4, 5)
