"""Files that we write lie where each format's own library says; files that it writes, too.

The header of NIfTI-1 holds 32-bit numbers: there the referee reads what was rounded, and the
comparison is with what we read back from the same header, exactly.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io

if TYPE_CHECKING:
    from collections.abc import Callable

nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
nrrd = pytest.importorskip("nrrd", reason="needs pynrrd")
sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
zarr = pytest.importorskip("zarr", reason="needs zarr")

SHAPE = (5, 6, 7)


def direction(kind: str) -> np.ndarray:
    """A direction for dims z, y, x and world x, y, z."""
    aligned = np.eye(3)[:, ::-1]
    turn = np.linalg.qr(np.array([[1, 2, 0.3], [0.5, -1, 2], [0.1, 0.4, 1.0]]))[0]
    shear = np.array([[1, 0.2, 0.1], [0, 1, -0.3], [0, 0, 1]])
    matrix = {
        "aligned": aligned,
        "flipped": aligned * [-1, 1, -1],
        "oblique": turn,
        "sheared": turn @ shear,
    }[kind]
    return matrix / np.hypot.reduce(matrix, axis=0)


KINDS = ("aligned", "flipped", "oblique", "sheared")


def volume(kind: str, frame: str = "LPS") -> sd.SpatialArray:
    return sd.SpatialArray(
        np.arange(np.prod(SHAPE), dtype=np.int32).reshape(SHAPE), spacing=(2.5, 0.7, 0.3),
        origin=(-100.1, 20.3, 7.77), direction=direction(kind),
        world=sd.World(("x", "y", "z"), "mm", frame),
    )  # fmt: skip


def some_indices(shape: tuple[int, ...], n: int = 50) -> np.ndarray:
    """Random voxels, the corners among them."""
    rng = np.random.default_rng(7)
    corners = [np.array(shape) - 1, [0] * len(shape)]
    return np.vstack([rng.integers(0, shape, (n, len(shape))), *corners])


def by_nibabel(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels (z, y, x), and LPS points of some of them, as nibabel has them."""
    image = nibabel.load(path)
    index = some_indices(image.shape[:3])
    points = nibabel.affines.apply_affine(image.affine, index) * [-1, -1, 1]
    return np.asarray(image.dataobj), index, points


def by_nrrd(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    data, header = nrrd.read(str(path))
    sign = {"left-posterior-superior": (1, 1, 1), "right-anterior-superior": (-1, -1, 1)}
    index = some_indices(data.shape)
    points = index @ header["space directions"] + header["space origin"]
    return data, index, points * sign[header["space"]]


def by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = sitk.ReadImage(str(path))
    index = some_indices(image.GetSize())
    points = [image.TransformIndexToPhysicalPoint([int(i) for i in row]) for row in index]
    return sitk.GetArrayFromImage(image).transpose(), index, np.array(points)


REFEREES: list[tuple[str, dict[str, Any], Callable[[Path], Any], tuple[str, ...]]] = [
    ("a.nii", {}, by_nibabel, KINDS),
    ("a.nii.gz", {}, by_nibabel, KINDS),
    ("b.nii", {"version": 2}, by_nibabel, KINDS),
    ("a.nrrd", {}, by_nrrd, KINDS),
    ("a.nrrd", {"compress": True}, by_nrrd, KINDS),
    ("a.nhdr", {}, by_nrrd, KINDS),
    ("a.mha", {}, by_simpleitk, KINDS),
    ("a.mha", {"compress": True}, by_simpleitk, KINDS),
    ("a.mhd", {}, by_simpleitk, KINDS),
    # SimpleITK reads these formats too; shear is where it and the formats part.
    ("a.nii", {}, by_simpleitk, KINDS[:3]),
    ("a.nrrd", {}, by_simpleitk, KINDS[:3]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, options, referee, kind",
    [(n, o, r, k) for n, o, r, kinds in REFEREES for k in kinds],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SLP"])
def test_referee_reads_what_we_write(
    name: str, options: dict[str, Any], referee: Any, kind: str, frame: str, tmp_path: Path
) -> None:
    image = volume(kind, frame)
    io.write(tmp_path / name, image, **options)
    data, index, points = referee(tmp_path / name)
    assert np.array_equal(data, np.asarray(image).transpose())
    nifti1 = name.endswith((".nii", ".nii.gz")) and "version" not in options
    # 32 bits of a coordinate near 100 mm: 4e-6 mm, 2e-5 of the smallest voxel; and ITK goes
    # through a quaternion of 32 bits.
    limit = 0.3 * (2e-4 if nifti1 else 1e-6)
    ours = image.geometry.to_frame("LPS").to_world(("x", "y", "z"))
    assert abs(ours.index_to_physical(index[:, ::-1]) - points).max() < limit
    back = io.read(tmp_path / name).geometry.to_frame("LPS").to_world(("x", "y", "z"))
    if "x" in (back.dims[0],):
        index = index[:, ::-1]
    exact = 1e-9 if referee is not by_simpleitk or not nifti1 else limit
    assert abs(back.index_to_physical(index[:, ::-1]) - points).max() < exact


def written_by_simpleitk(path: Path, kind: str) -> None:
    image = sitk.GetImageFromArray(np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE))
    image.SetSpacing((0.3, 0.7, 2.5))
    image.SetOrigin((-100.1, 20.3, 7.77))
    image.SetDirection(direction(kind)[:, ::-1].ravel().tolist())
    sitk.WriteImage(image, str(path))


def written_by_nibabel(path: Path, kind: str) -> None:
    affine = np.eye(4)
    affine[:3, :3] = direction(kind) * (2.5, 0.7, 0.3)
    affine[:3, 3] = -100.1, 20.3, 7.77
    nibabel.save(nibabel.Nifti1Image(np.arange(210, dtype=np.int16).reshape(5, 6, 7), affine), path)


def written_by_nrrd(path: Path, kind: str) -> None:
    header = {
        "space": "right-anterior-superior",
        "space directions": (direction(kind) * (2.5, 0.7, 0.3)).T,
        "space origin": (-100.1, 20.3, 7.77),
    }
    with warnings.catch_warnings():  # pynrrd asks for the time in a way that Python deprecates
        warnings.simplefilter("ignore", DeprecationWarning)
        nrrd.write(str(path), np.arange(210, dtype=np.uint8).reshape(5, 6, 7), header)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name, writer, referee",
    [
        ("a.nii", written_by_nibabel, by_nibabel),
        ("a.nii.gz", written_by_nibabel, by_nibabel),
        ("a.nrrd", written_by_nrrd, by_nrrd),
        ("a.mha", written_by_simpleitk, by_simpleitk),
        ("a.mhd", written_by_simpleitk, by_simpleitk),
    ],
)
def test_we_read_what_referee_writes(
    name: str, writer: Any, referee: Any, kind: str, tmp_path: Path
) -> None:
    writer(tmp_path / name, kind)
    image = io.read(tmp_path / name)
    data, index, points = referee(tmp_path / name)
    if image.dims[0] == "z":
        data, index = data.transpose(), index[:, ::-1]
    assert np.array_equal(np.asarray(image), data)
    ours = image.geometry.to_frame("LPS").to_world(("x", "y", "z"))
    assert abs(ours.index_to_physical(index) - points).max() < 1e-6 * 0.3


@pytest.mark.fact("units", "NIfTI", "both ways", "nibabel", says="`xyzt_units`")
def test_nifti_time_and_units(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((2, 3, 4, 5), np.float32), np.diag([2, 2, 3, 1]))
    image.header.set_zooms((2, 2, 3, 1500))
    image.header.set_xyzt_units("micron", "msec")
    image.header["toffset"] = 250
    nibabel.save(image, tmp_path / "a.nii")
    ours = io.read(tmp_path / "a.nii")
    assert ours.dims == ("x", "y", "z", "t")
    assert ours.unit == ("um", "um", "um", "ms")
    assert (ours.spacing[3], ours.origin[3]) == (1500, 250)
    io.write(tmp_path / "b.nii", ours[..., ::2])
    header = nibabel.load(tmp_path / "b.nii").header
    assert header.get_zooms()[3] == 3000
    assert header.get_xyzt_units() == ("micron", "msec")


@pytest.mark.fact(
    "scales and offsets", "NIfTI", "both ways", "nibabel", says="`scl_slope`, applied"
)
def test_nifti_scale_belongs_to_the_data(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(0.5, -3)
    nibabel.save(image, tmp_path / "a.nii")
    nibabel.save(image, tmp_path / "a.nii.gz")
    for name in ("a.nii", "a.nii.gz"):
        expected = np.asarray(nibabel.load(tmp_path / name).dataobj)
        for lazy in (None, True, False):
            ours = io.read(tmp_path / name, lazy=lazy)
            assert ours.dtype == expected.dtype
            assert np.array_equal(np.asarray(ours), expected)
        raw = io.read(tmp_path / name, scaled=False)
        assert raw.dtype == np.int16
        io.write(tmp_path / "b.nii", raw, overwrite=True)
        assert np.array_equal(np.asarray(nibabel.load(tmp_path / "b.nii").dataobj), expected)


def test_nifti_forms(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.diag([2, 2, 2, 1]))
    image.set_sform(np.diag([2, 2, 2, 1]), 4)
    image.set_qform(np.diag([2, 2, 3, 1]), 1)
    nibabel.save(image, tmp_path / "a.nii")
    with pytest.warns(UserWarning, match="disagree"):
        assert io.read(tmp_path / "a.nii").spacing[2] == 2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert io.read(tmp_path / "a.nii", form="qform").spacing[2] == 3
        assert io.read(tmp_path / "a.nii", form="sform").spacing[2] == 2
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    image.to_filename(tmp_path / "b.nii")
    unplaced = io.read(tmp_path / "b.nii")
    if nibabel.load(tmp_path / "b.nii").header["sform_code"] == 0:
        assert unplaced.frame is None


def test_nifti_vectors_and_colours(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).random((3, 4, 5, 2)).astype(np.float32)
    sitk.WriteImage(sitk.GetImageFromArray(vectors, isVector=True), str(tmp_path / "v.nii"))
    ours = io.read(tmp_path / "v.nii", dims=("z", "y", "x", "c"))
    assert np.array_equal(np.asarray(ours), vectors)
    colour = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    values = np.arange(24 * 3, dtype="u1").reshape(2, 3, 4, 3)
    packed = values.view(colour)[..., 0]
    nibabel.save(nibabel.Nifti1Image(packed, np.eye(4)), tmp_path / "rgb.nii")
    nibabel.save(nibabel.Nifti1Image(packed, np.eye(4)), tmp_path / "rgb.nii.gz")
    for name in ("rgb.nii", "rgb.nii.gz"):
        ours = io.read(tmp_path / name)
        assert ours.dims == ("x", "y", "z", "c")
        assert np.array_equal(np.asarray(ours), values)


def test_metaimage_vectors_and_time(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((2, 3, 4, 5, 2)).astype(np.float32)
    image = sitk.GetImageFromArray(values, isVector=True)
    image.SetSpacing((1, 2, 3, 40))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    ours = io.read(tmp_path / "a.mha")
    assert ours.dims == ("t", "z", "y", "x", "c")
    assert ours.spacing.tolist() == [40, 3, 2, 1]
    assert np.array_equal(np.asarray(ours), values)
    io.write(tmp_path / "b.mha", ours)
    back = sitk.ReadImage(str(tmp_path / "b.mha"))
    assert np.array_equal(sitk.GetArrayFromImage(back), values)
    assert back.GetSpacing() == (1, 2, 3, 40)


@pytest.mark.parametrize("folder", ["nifti", "nrrd", "metaimage"])
def test_real_files(folder: str, data_dir: Path) -> None:
    referee = {"nifti": by_nibabel, "nrrd": by_nrrd, "metaimage": by_simpleitk}[folder]
    files = sorted((data_dir / folder).iterdir())
    assert files
    for path in files:
        image = io.read(path)
        data, index, points = referee(path)
        assert data.dtype.newbyteorder("=") == image.dtype.newbyteorder("=")
        if image.dims[0] == "z" or image.dims[:2] == ("y", "x"):
            data, index = data.transpose(), index[:, ::-1]
        assert np.array_equal(np.asarray(image), data)
        index = np.pad(index, [(0, 0), (0, image.ndim - index.shape[1])])
        space = [n for n in ("x", "y", "z") if n in image.world.axes]
        ours = image.geometry.to_frame("LPS")
        rows = [ours.world.axes.index(n) for n in space]
        found = ours.index_to_physical(index)[:, rows]
        assert abs(found - points[:, : len(space)]).max() < 1e-6 * image.spacing.min()


def test_files_of_nibabels_wheel() -> None:
    files = sorted((Path(nibabel.__file__).parent / "tests" / "data").glob("*.nii*"))
    if not files:
        pytest.skip("this nibabel ships no images")
    read = 0
    for path in files:
        if path.name.endswith("dconn.nii"):  # CIFTI: matrices, not images
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            image = io.read(path)
        theirs = nibabel.load(path)
        assert np.array_equal(np.asarray(image), np.asarray(theirs.dataobj), equal_nan=True)
        if image.frame is not None:
            index = some_indices(image.shape)
            expected = nibabel.affines.apply_affine(theirs.affine, index[:, :3])
            found = image.index_to_physical(index)[:, :3]
            assert abs(found - expected).max() < 1e-6 * image.spacing.min()
        read += 1
    assert read >= 3
