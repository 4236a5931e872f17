"""Transforms of other software, point by point beside nitransforms and SimpleITK.

    python -m benchmarks.transforms_of_others

Each file is written by the other library with 20 random transforms between oblique images, and maps
1,000 points; the table in ``benchmarks/README.md`` gets the worst distance.
"""

from __future__ import annotations

import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from spatial_duck.errors import SpatialDuckError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "README", "main", "worst"]

README = Path(__file__).with_name("README.md")
RAS = sd.World(("x", "y", "z"), "mm", "RAS")
LPS = sd.World(("x", "y", "z"), "mm", "LPS")
COUNT = 20
SHAPES = (21, 22, 23), (17, 24, 20)
FLIP = np.diag([-1.0, -1, 1, 1])


class Setting:
    """Random images and a random affine, and a folder to write to."""

    def __init__(self, folder: Path, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.folder, self.rng = folder, rng
        self.affines = [self._placed(), self._placed()]
        matrix = np.eye(4)
        matrix[:3, :3] += 0.1 * rng.normal(size=(3, 3))
        matrix[:3, 3] = rng.normal(size=3) * 5
        self.matrix = matrix
        index = rng.uniform(2, 15, (1000, 3))
        self.points = index @ self.affines[0][:3, :3].T + self.affines[0][:3, 3]

    def _placed(self) -> np.ndarray:
        affine = np.eye(4)
        turn, upper = np.linalg.qr(np.eye(3) + 0.2 * self.rng.normal(size=(3, 3)))
        # Oblique by some 10 degrees; AFNI looks for the axes that are nearest.
        affine[:3, :3] = turn * np.sign(np.diag(upper)) * self.rng.uniform(0.5, 3, 3)
        affine[:3, 3] = self.rng.normal(size=3) * 30
        return affine

    def nibabel(self, number: int) -> Any:
        """Return an empty image of nibabel: 0 the fixed one, 1 the moving one."""
        import nibabel

        return nibabel.Nifti1Image(np.zeros(SHAPES[number], "u1"), self.affines[number])

    def ours(self, number: int) -> sd.SpatialArray:
        """Return the same as a SpatialArray."""
        g = sd.Geometry.from_affine(SHAPES[number], self.affines[number], ("x", "y", "z"),
                                    world=RAS)  # fmt: skip
        return sd.SpatialArray(np.zeros(SHAPES[number], "u1"), g)


def _linear(name: str, fmt: str, *, images: bool = False) -> Callable[[Setting], Any]:
    """Write and map by nitransforms' affine."""

    def run(s: Setting) -> Any:
        from nitransforms.linear import Affine

        made = Affine(s.matrix, reference=s.nibabel(0))
        made.to_filename(s.folder / name, fmt=fmt, moving=s.nibabel(1))
        given = {"reference": s.ours(0), "moving": s.ours(1)} if images else {}
        found = sd.Transform.read(s.folder / name, **given).to_world(RAS)
        return found(s.points), made.map(s.points)

    return run


def _vectors(s: Setting) -> np.ndarray:
    return s.rng.normal(size=(*SHAPES[0], 3)).astype("f4")


def _on_grid(s: Setting) -> np.ndarray:
    """Return positions of voxels: between them nitransforms' fields are cubic, ITK's linear."""
    index = s.rng.integers(0, SHAPES[0], (1000, 3))
    points: np.ndarray = index @ s.affines[0][:3, :3].T + s.affines[0][:3, 3]
    return points


def _ants_warp(s: Setting) -> Any:
    """Write vectors as ANTs does, LPS with intent 1007, and map by nitransforms."""
    import nibabel
    from nitransforms.io.itk import ITKDisplacementsField
    from nitransforms.nonlinear import DenseFieldTransform

    path = s.folder / "1Warp.nii.gz"
    image = nibabel.Nifti1Image(_vectors(s)[:, :, :, None, :], s.affines[0])
    image.header.set_intent(1007)
    image.to_filename(path)
    made = DenseFieldTransform(ITKDisplacementsField.from_filename(path))
    points = _on_grid(s)
    return sd.Transform.read(path).to_world(RAS)(points), made.map(points)


def _x5_field(s: Setting) -> Any:
    import nibabel
    from nitransforms.io import x5
    from nitransforms.nonlinear import DenseFieldTransform

    made = DenseFieldTransform(nibabel.Nifti1Image(_vectors(s), s.affines[0]))
    x5.to_filename(s.folder / "field.x5", [made.to_x5()])
    points = _on_grid(s)
    return sd.Transform.read(s.folder / "field.x5").to_world(RAS)(points), made.map(points)


def _ants_matrix(s: Setting) -> Any:
    """Write ANTs' MATLAB file by SciPy, and map by SimpleITK."""
    import SimpleITK as sitk
    from scipy import io as scipy_io

    values = {"AffineTransform_double_3_3": np.r_[s.matrix[:3, :3].ravel(), s.matrix[:3, 3]],
              "fixed": s.rng.normal(size=3)}  # fmt: skip
    path = s.folder / "0GenericAffine.mat"
    scipy_io.savemat(path, {k: v[:, None] for k, v in values.items()}, format="4")
    theirs = sitk.ReadTransform(str(path))
    points = s.points * [-1, -1, 1]
    return sd.Transform.read(path).to_world(LPS)(points), [theirs.TransformPoint(p) for p in points]


def _elastix(kind: str) -> Callable[[Setting], Any]:
    """Write elastix' text, and map by SimpleITK's transform of the same parameters."""

    def run(s: Setting) -> Any:
        import SimpleITK as sitk

        center = s.rng.normal(size=3)
        if kind == "EulerTransform":
            values = [*s.rng.normal(size=3) * 0.2, *s.matrix[:3, 3]]
            theirs: Any = sitk.Euler3DTransform(center.tolist(), *values[:3], values[3:])
        else:
            values = [*s.matrix[:3, :3].ravel(), *s.matrix[:3, 3]]
            theirs = sitk.AffineTransform(values[:9], values[9:], center.tolist())
        words = " ".join(repr(float(v)) for v in values)
        place = " ".join(repr(float(v)) for v in center)
        path = s.folder / "TransformParameters.0.txt"
        path.write_text(
            f'(Transform "{kind}")\n(NumberOfParameters {len(values)})\n'
            f'(TransformParameters {words})\n(CenterOfRotationPoint {place})\n'
            '(InitialTransformParametersFileName "NoInitialTransform")\n'
            '(HowToCombineTransforms "Compose")\n(FixedImageDimension 3)\n'
        )  # fmt: skip
        points = s.points * [-1, -1, 1]
        return sd.Transform.read(path).to_world(LPS)(points), [
            theirs.TransformPoint(p) for p in points
        ]

    return run


#: File, library beside, and what writes, reads and maps it.
KINDS: dict[str, tuple[str, Callable[[Setting], Any]]] = {
    "ITK `.tfm`": ("nitransforms", _linear("a.tfm", "itk")),
    "ANTs `0GenericAffine.mat`": ("SimpleITK", _ants_matrix),
    "ANTs `1Warp.nii.gz`, at voxels": ("nitransforms", _ants_warp),
    "elastix Euler": ("SimpleITK", _elastix("EulerTransform")),
    "elastix affine": ("SimpleITK", _elastix("AffineTransform")),
    "FSL FLIRT `.mat`": ("nitransforms", _linear("a.mat", "fsl", images=True)),
    "FreeSurfer `.lta`": ("nitransforms", _linear("a.lta", "fs")),
    "AFNI `.aff12.1D`, with both images": (
        "nitransforms", _linear("a.aff12.1D", "afni", images=True)),
    "X5 matrix": ("nitransforms", _linear("a.x5", "X5")),
    "X5 field, at voxels": ("nitransforms", _x5_field),
}  # fmt: skip


def worst(kind: str) -> float:
    """Return the worst distance of a kind, in mm."""
    most = 0.0
    for seed in range(COUNT):
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = KINDS[kind][1](Setting(Path(folder), seed))
            most = max(most, float(np.linalg.norm(np.asarray(ours) - theirs, axis=1).max()))
    return most


def main() -> int:
    """Write the table."""
    lines = ["| file | beside | worst of 20,000 points, mm |", "| --- | --- | --- |"]
    failed = 0
    for kind, (referee, _) in KINDS.items():
        try:
            far = worst(kind)
            text = f"{far:.1g}"
            failed += far > 1e-3
        except SpatialDuckError as error:
            text, failed = f"refused: {error}", failed + 1
        lines.append(f"| {kind} | {referee} | {text} |")
        print(lines[-1], flush=True)
    begin, end = "<!-- transforms -->\n", "<!-- end of transforms -->"
    table = begin + "\n".join(lines) + "\n" + end
    text = README.read_text("utf-8")
    README.write_text(re.sub(f"{begin}.*?{end}", lambda _: table, text, flags=re.DOTALL), "utf-8")
    return failed


if __name__ == "__main__":
    sys.exit(main())
