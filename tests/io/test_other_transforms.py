"""Transforms of other software: SimpleITK, elastix and nitransforms are the referees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")

RNG = np.random.default_rng(5)
POINTS = RNG.uniform(0, 6, (20, 3))
LPS = sd.World(("x", "y", "z"), "mm", "LPS")
RAS = sd.World(("x", "y", "z"), "mm", "RAS")
MATRIX = np.eye(3) + 0.1 * RNG.normal(size=(3, 3))


def check(path: Path, transform: Any, **images: Any) -> None:
    """Compare with what SimpleITK has, point by point."""
    found = sd.Transform.read(path, **images).to_world(LPS)(POINTS)
    assert np.allclose(found, [transform.TransformPoint(p) for p in POINTS], atol=1e-6)


@pytest.mark.parametrize("name", ["AffineTransform", "MatrixOffsetTransformBase"])
def test_ants_matrices(name: str, tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io", reason="needs scipy")
    values = {f"{name}_double_3_3": np.r_[MATRIX.ravel(), 1, 2, 3][:, None],
              "fixed": np.array([[1.0], [2], [3]])}  # fmt: skip
    scipy_io.savemat(tmp_path / "0GenericAffine.mat", values, format="4")
    check(tmp_path / "0GenericAffine.mat", sitk.ReadTransform(str(tmp_path / "0GenericAffine.mat")))
    for wrong in ({"fixed": np.zeros((3, 1))}, {"AffineTransform_double_3_3": np.zeros((5, 1)),
                                                "fixed": np.zeros((3, 1))}):  # fmt: skip
        scipy_io.savemat(tmp_path / "wrong.mat", wrong, format="4")
        with pytest.raises(FormatError):
            sd.Transform.read(tmp_path / "wrong.mat")


@pytest.mark.parametrize("suffix", ["tfm", "h5"])
def test_the_base_of_affine_transforms(suffix: str, tmp_path: Path) -> None:
    """ANTs names a kind that SimpleITK has no class for, in text and in HDF5."""
    affine = sitk.AffineTransform(MATRIX.ravel().tolist(), (1, 2, 3), (1.5, -2, 3))
    path = tmp_path / f"a.{suffix}"
    sitk.WriteTransform(affine, str(path))
    if suffix == "tfm":
        path.write_text(path.read_text().replace("AffineTransform", "MatrixOffsetTransformBase"))
    else:
        h5py = pytest.importorskip("h5py", reason="needs h5py")
        with h5py.File(path, "r+") as file:
            for group in file["TransformGroup"].values():
                if "AffineTransform" in group["TransformType"].asstr()[0]:
                    del group["TransformType"]
                    kind = "MatrixOffsetTransformBase_double_3_3"
                    group.create_dataset(
                        "TransformType", data=[kind], dtype=h5py.string_dtype("ascii")
                    )
                for key in list(group):
                    if "Parameters" in key:
                        group.move(key, key.replace("Transform", "Tranform"))
    check(path, affine)


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_ants_warps(suffix: str, tmp_path: Path) -> None:
    vectors = RNG.normal(size=(8, 7, 9, 3))
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.SetDirection(np.linalg.qr(MATRIX)[0].ravel().tolist())
    image.SetOrigin((1.0, 2.0, -3.0))
    path = tmp_path / f"1Warp.{suffix}"
    sitk.WriteImage(image, str(path))
    read = sitk.Cast(sitk.ReadImage(str(path)), sitk.sitkVectorFloat64)
    found = sd.Transform.read(path).to_world(LPS)
    inside = np.array([read.TransformContinuousIndexToPhysicalPoint(i)
                       for i in RNG.uniform(1, 5, (20, 3))])  # fmt: skip
    wanted = sitk.DisplacementFieldTransform(read)
    assert np.allclose(found(inside), [wanted.TransformPoint(p) for p in inside], atol=1e-4)


def elastix(path: Path, kind: str, values: Any, *more: str, initial: str = "NoInitialTransform",
            n: int = 3) -> None:  # fmt: skip
    words = " ".join(repr(float(v)) for v in values)
    path.write_text("\n".join([
        "// made by a test", f'(Transform "{kind}")', f"(NumberOfParameters {len(values)})",
        f"(TransformParameters {words})", f'(InitialTransformParametersFileName "{initial}")',
        '(HowToCombineTransforms "Compose")', f"(FixedImageDimension {n})", *more, "",
    ]))  # fmt: skip


CENTER = "(CenterOfRotationPoint 1.5 -2 3)"


def test_elastix_linear(tmp_path: Path) -> None:
    path = tmp_path / "TransformParameters.0.txt"
    for zyx in ("false", "true"):
        elastix(path, "EulerTransform", [0.1, -0.2, 0.3, 1, 2, 3], CENTER, f'(ComputeZYX "{zyx}")')
        euler = sitk.Euler3DTransform((1.5, -2, 3), 0.1, -0.2, 0.3, (1, 2, 3))
        euler.SetComputeZYX(zyx == "true")
        check(path, euler)
    elastix(path, "AffineTransform", [*MATRIX.ravel(), 1, 2, 3], CENTER)
    affine = sitk.AffineTransform(MATRIX.ravel().tolist(), (1, 2, 3), (1.5, -2, 3))
    check(path, affine)
    elastix(path, "SimilarityTransform", [0.1, -0.2, 0.3, 1, 2, 3, 1.1], CENTER)
    similarity = sitk.Similarity3DTransform()
    similarity.SetCenter((1.5, -2, 3))
    similarity.SetParameters((0.1, -0.2, 0.3, 1, 2, 3, 1.1))
    check(path, similarity)


def test_elastix_b_spline_after_an_affine(tmp_path: Path) -> None:
    turn = np.linalg.qr(MATRIX)[0]
    spline = sitk.BSplineTransform(3, 3)
    fixed = [5, 6, 7, -9.0, -8, -10, 6, 5, 4, *turn.ravel()]
    spline.SetFixedParameters(fixed)
    spline.SetParameters(RNG.normal(size=3 * 5 * 6 * 7).tolist())
    elastix(tmp_path / "T.0.txt", "AffineTransform", [*MATRIX.ravel(), 1, 2, 3], CENTER)
    elastix(
        tmp_path / "T.1.txt", "BSplineTransform", spline.GetParameters(),
        "(GridSize 5 6 7)", "(GridSpacing 6 5 4)", "(GridOrigin -9 -8 -10)",
        f"(GridDirection {' '.join(map(repr, map(float, turn.T.ravel())))})",
        "(BSplineTransformSplineOrder 3)", initial="/elsewhere/out/T.0.txt",
    )  # fmt: skip
    affine = sitk.AffineTransform(MATRIX.ravel().tolist(), (1, 2, 3), (1.5, -2, 3))
    # SimpleITK applies the last of a composite first.
    check(tmp_path / "T.1.txt", sitk.CompositeTransform([spline, affine]))


@pytest.mark.parametrize(
    "change, word",
    [
        (('(Transform "Euler', '(Transform "Thin'), "ThinTransform"),
        (("TransformParameters 0.1", "TransformParameters a"), "numbers"),
        (("(TransformParameters 0.1 ", "(TransformParameters "), "6 parameters"),
        (('"NoInitialTransform"', '"gone.txt"'), "not there"),
        (('"NoInitialTransform"', '"a.txt"'), "circle"),
    ],
)
def test_wrong_elastix_files(change: tuple[str, str], word: str, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    elastix(path, "EulerTransform", [0.1, -0.2, 0.3, 1, 2, 3], CENTER)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(FormatError, match=word):
        sd.Transform.read(path)


def image_of(affine: Any, shape: tuple[int, ...]) -> sd.SpatialArray:
    g = sd.Geometry.from_affine(shape, affine, ("x", "y", "z"), world=RAS)
    return sd.SpatialArray(np.zeros(shape, "u1"), g)


def affines() -> list[Any]:
    turned = np.eye(4)
    turned[:3, :3], turned[:3, 3] = np.linalg.qr(MATRIX)[0] * [1, 2, 3], [5, -6, 7]
    return [turned, turned @ np.diag([-1, 1, 1, 1]), np.diag([2, 1.5, 1, 1])]


@pytest.mark.parametrize("fixed", range(3))
@pytest.mark.parametrize("moving", range(3))
def test_flirt_as_nitransforms_has_it(fixed: int, moving: int, tmp_path: Path) -> None:
    linear = pytest.importorskip("nitransforms.linear", reason="needs nitransforms")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = MATRIX, [3, -2, 1]
    np.savetxt(tmp_path / "a.mat", matrix)
    a, b = affines()[fixed], affines()[moving]
    images = [
        nibabel.Nifti1Image(np.zeros(s, "u1"), m) for s, m in (((5, 6, 7), a), ((8, 4, 6), b))
    ]
    wanted = linear.load(tmp_path / "a.mat", fmt="fsl", reference=images[0], moving=images[1])
    found = sd.Transform.read(
        tmp_path / "a.mat", reference=image_of(a, (5, 6, 7)), moving=image_of(b, (8, 4, 6))
    )
    assert np.allclose(found.to_world(RAS)(POINTS), wanted.map(POINTS), atol=1e-4)


def test_flirt_needs_both_images(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "a.mat", np.eye(4))
    with pytest.raises(FormatError, match=r"reference=fixed, moving=moving"):
        sd.Transform.read(tmp_path / "a.mat")


@pytest.mark.parametrize("name, kind", [("a.lta", "fs"), ("a.aff12.1D", "afni"), ("a.x5", "X5")])
def test_through_nitransforms(name: str, kind: str, tmp_path: Path) -> None:
    linear = pytest.importorskip("nitransforms.linear", reason="needs nitransforms")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = MATRIX, [3, -2, 1]
    image = nibabel.Nifti1Image(np.zeros((5, 6, 7), "u1"), np.diag([2, 1.5, 1, 1]))
    made = linear.Affine(matrix, reference=image)
    made.to_filename(tmp_path / name, fmt=kind, moving=image)
    found = sd.Transform.read(tmp_path / name)
    assert np.allclose(found.to_world(RAS)(POINTS), made.map(POINTS), atol=1e-4)


@pytest.mark.parametrize("spacing, origin", [((1.0, 1.0), (0.0, 0.0)), ((1.5, 2.0), (3.0, -7.0))])
def test_a_2d_warp_maps_points_as_in_itk(spacing: Any, origin: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = sitk.GetImageFromArray(rng.normal(size=(20, 24, 2)), isVector=True)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    sitk.WriteImage(image, str(tmp_path / "1Warp.nii.gz"))  # as ANTs does
    found = sd.Transform.read(tmp_path / "1Warp.nii.gz")
    points = np.asarray(origin) + rng.uniform(1, 18, (20, 2)) * spacing
    wanted = sitk.DisplacementFieldTransform(image)
    assert found.world.axes == ("x", "y")
    np.testing.assert_allclose(found(points), [wanted.TransformPoint(p) for p in points], atol=1e-9)
