"""Transforms of ANTs, elastix, FSL, FreeSurfer and AFNI, and X5.

==================  ==============================================================================
ANTs                affine ``.mat`` (MATLAB 4), warps ``.nii``, ``.nii.gz``, ``.nrrd``, ``.mha``:
                    vectors in LPS, as ITK has them
elastix             ``TransformParameters.N.txt``: translation, Euler, similarity, affine and
                    B-splines, with the initial transforms that they name beside them
FSL                 FLIRT's ``.mat``, a text of 4 by 4 numbers; needs ``reference`` and ``moving``
FreeSurfer          ``.lta``, through nitransforms
AFNI                ``.aff12.1D``, through nitransforms; oblique images need ``reference``
X5                  ``.x5``: matrices and dense fields, through nitransforms
==================  ==============================================================================

All of them map points of the fixed image to points of the moving one, in x, y, z and mm.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._components import components_in_frame
from spatial_duck.transforms import Affine, Composite, DisplacementField

if TYPE_CHECKING:
    from pathlib import Path

    from spatial_duck.transforms import Transform

__all__ = [
    "FIELD_SUFFIXES",
    "ants_parts",
    "elastix_parts",
    "read_field",
    "read_flirt",
    "read_with_nitransforms",
]

#: Images that hold a field of vectors.
FIELD_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_XYZ = ("x", "y", "z")
_MAX_PARAMETER_FILE = 1 << 26
#: The name of a transform in ITK's files, and its ``Parameters`` and ``FixedParameters``.
ItkPart = tuple[str, dict[str, Any]]


# --- ANTs ---------------------------------------------------------------------------------


def ants_parts(path: Path) -> dict[str, ItkPart]:
    """Return the transform of ANTs' MATLAB 4 file as the parts of an ITK transform file."""
    scipy_io = require("scipy.io", "Reading ANTs' .mat")
    try:
        variables = scipy_io.loadmat(path)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # SciPy raises errors of many types for a file that is not valid
        raise FormatError(f"{path}: it is not a MATLAB file: {error}") from error
    names = [name for name in variables if not name.startswith("__") and name != "fixed"]
    if len(names) != 1 or "fixed" not in variables:
        raise FormatError(
            f"{path}: ANTs' .mat holds one transform and 'fixed', got {list(variables)}"
        )
    parameters = {
        "Parameters": np.asarray(variables[names[0]], np.float64).ravel(),
        "FixedParameters": np.asarray(variables["fixed"], np.float64).ravel(),
    }
    return {"0": (names[0], parameters)}


def read_field(path: Path) -> DisplacementField:
    """Return a displacement field that is stored as an image, such as a warp of ANTs.

    Raises
    ------
    FormatError
        If the image does not hold a vector for each voxel, or follows another convention.
    """
    from spatial_duck.io._api import read

    image = read(path, lazy=False)
    intent = (image.attrs.get("nifti") or {}).get("intent_code")
    if intent in range(2006, 2017):
        raise FormatError(
            f"{path}: it is a warp of FSL (intent {intent}), whose vectors need both images; "
            "convert it with FSL's convertwarp or nitransforms"
        )
    if "component" in image.coords:
        image = components_in_frame(image, "LPS")
    if "z" in image.dims and image.sizes["z"] == 1 and image.shape[-1] == 2:
        image = image.isel(z=0).to_world(("x", "y"))  # NIfTI has no 2-D world
    world = [n for n in image.world.axes if n in _XYZ]
    g = image.geometry.to_world(world) if world != list(image.world.axes) else image.geometry
    g = g.to_frame("LPS") if g.frame not in (None, "LPS") else g
    if g.frame is None:
        raise FormatError(f"{path}: its frame is unspecified; a warp lies in LPS or RAS")
    try:
        return DisplacementField(SpatialArray(image.data, g))
    except (GeometryError, TypeError) as error:
        raise FormatError(f"{path}: it is not a displacement field: {error}") from error


# --- elastix ------------------------------------------------------------------------------

_ELASTIX_LINE = re.compile(r"^\((?P<name>\w+)\s+(?P<values>.*)\)$")
#: ITK's transforms with the same parameters, by name and number of dimensions.
_ELASTIX_LINEAR: dict[tuple[str, int], str] = {
    ("TranslationTransform", 2): "TranslationTransform_double_2_2",
    ("TranslationTransform", 3): "TranslationTransform_double_3_3",
    ("EulerTransform", 2): "Euler2DTransform_double_2_2",
    ("EulerTransform", 3): "Euler3DTransform_double_3_3",
    ("SimilarityTransform", 2): "Similarity2DTransform_double_2_2",
    ("SimilarityTransform", 3): "Similarity3DTransform_double_3_3",
    ("AffineTransform", 2): "AffineTransform_double_2_2",
    ("AffineTransform", 3): "AffineTransform_double_3_3",
}
_NO_INITIAL = "NoInitialTransform"
#: Spellings of elastix's versions.
_INITIAL_FIELDS = ("InitialTransformParametersFileName", "InitialTransformParameterFileName")
_B_SPLINES = ("BSplineTransform", "RecursiveBSplineTransform")


def elastix_parts(path: Path) -> list[ItkPart]:
    """Return the transforms of an elastix parameter file, the one that is applied first first.

    Initial transforms are read from the folder of the file; the folders of their paths are ignored.
    """
    parts: list[ItkPart] = []
    visited: set[Path] = set()
    current = path
    while True:
        if current in visited or len(visited) > 100:
            raise FormatError(f"{path}: its initial transforms refer to each other in a circle")
        visited.add(current)
        fields = _elastix_fields(current)
        parts.append(_elastix_part(current, fields))
        initial = next((fields[n][0] for n in _INITIAL_FIELDS if fields.get(n)), _NO_INITIAL)
        if initial == _NO_INITIAL:
            return parts[::-1]
        if (fields.get("HowToCombineTransforms") or ["Compose"])[0] != "Compose":
            raise FormatError(
                f"{current}: HowToCombineTransforms must be 'Compose'; added transforms are not "
                "read"
            )
        current = safety.confine_path(current, initial.replace("\\", "/").rpartition("/")[2])


def _elastix_fields(path: Path) -> dict[str, list[str]]:
    """Return the values of each parameter, as texts."""
    if path.stat().st_size > _MAX_PARAMETER_FILE:
        raise FormatError(
            f"{path}: a parameter file of elastix has at most {_MAX_PARAMETER_FILE:,} bytes, got "
            f"{path.stat().st_size:,}"
        )
    fields = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        if match := _ELASTIX_LINE.match(line.partition("//")[0].strip()):
            values = re.findall(r'"([^"]*)"|(\S+)', match["values"])
            fields[match["name"]] = [quoted or bare for quoted, bare in values]
    return fields


def _elastix_part(path: Path, fields: dict[str, list[str]]) -> ItkPart:
    """Return the transform of one parameter file."""
    kind = (fields.get("Transform") or [""])[0]
    values = _numbers(path, fields, "TransformParameters")
    n = int(_numbers(path, fields, "FixedImageDimension")[0])
    if kind in _B_SPLINES:
        order = int((fields.get("BSplineTransformSplineOrder") or ["3"])[0])
        names = ("Size", "Spacing", "Origin", "Direction")
        size, spacing, origin, direction = (_numbers(path, fields, f"Grid{name}") for name in names)
        # elastix writes the matrix column by column.
        rows = direction.reshape(n, n).T.ravel() if direction.size == n * n else direction
        fixed = np.concatenate([size, origin, spacing, rows])
        suffix = "" if order == 3 else f"_{order}"
        return f"BSplineTransform_double_{n}_{n}{suffix}", {
            "Parameters": values, "FixedParameters": fixed,
        }  # fmt: skip
    name = _ELASTIX_LINEAR.get((kind, n))
    if name is None:
        raise FormatError(
            f"{path}: elastix's {kind or 'nameless transform'} in {n} dimensions is not read; "
            "write it as a displacement field with transformix -def all, and read that"
        )
    fixed = np.zeros(0)
    if kind != "TranslationTransform":
        fixed = _numbers(path, fields, "CenterOfRotationPoint")
    if name.startswith("Euler3D"):
        zyx = (fields.get("ComputeZYX") or ["false"])[0].lower() == "true"
        fixed = np.append(fixed, float(zyx))
    return name, {"Parameters": values, "FixedParameters": fixed}


def _numbers(path: Path, fields: dict[str, list[str]], name: str) -> Any:
    try:
        values = np.array([float(word) for word in fields[name]])
    except (KeyError, ValueError) as error:
        raise FormatError(
            f"{path}: elastix's {name} must be numbers, got {fields.get(name)}"
        ) from error
    if not np.isfinite(values).all() or not values.size:
        raise FormatError(f"{path}: elastix's {name} must be finite numbers")
    return values


# --- FSL ----------------------------------------------------------------------------------


def read_flirt(path: Path, reference: Any, moving: Any) -> Affine:
    """Return a transform of FLIRT.

    Its matrix maps scaled voxels of the moving image (indices times spacing, x reversed where the
    determinant of the direction is positive) to those of the fixed one.

    Parameters
    ----------
    path : Path
        A text of 4 by 4 numbers.
    reference, moving : SpatialArray or Geometry
        The two images.
    """
    try:
        matrix = np.loadtxt(path, max_rows=5)
    except (UnicodeDecodeError, ValueError) as error:
        raise FormatError(f"{path}: it is neither ANTs' nor FSL's .mat: {error}") from error
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all() or not np.linalg.det(matrix):
        raise FormatError(
            f"{path}: FSL's .mat must hold an invertible matrix of 4 by 4 numbers, got shape "
            f"{matrix.shape}"
        )
    if reference is None or moving is None:
        raise FormatError(
            f"{path}: FSL's .mat maps voxels, and needs both images: "
            "Transform.read(path, reference=fixed, moving=moving)"
        )
    fixed_to_fsl = np.linalg.inv(_scaled_voxels_to_world(reference))
    fixed_to_moving = _scaled_voxels_to_world(moving) @ np.linalg.inv(matrix) @ fixed_to_fsl
    return Affine(fixed_to_moving, World(_XYZ, "mm", "RAS"))


def _nifti_geometry(image: Any) -> Geometry:
    """Return the geometry of an image with the axes x, y, z in RAS and mm, as NIfTI has it."""
    from spatial_duck.io._layout import fit_layout
    from spatial_duck.io.nifti._header import RULES

    g = getattr(image, "geometry", image)
    grid = SpatialArray(np.broadcast_to(np.uint8(0), g.shape), g)
    g = fit_layout(grid, RULES, minimum=3).geometry
    g = g[tuple([slice(None) if name in _XYZ else 0 for name in g.dims])]
    return g.transpose([g.dims.index(name) for name in _XYZ]).to_world(_XYZ)


def _scaled_voxels_to_world(image: Any) -> Any:
    """Return the matrix from FSL's scaled voxels to RAS."""
    g = _nifti_geometry(image)
    to_index = np.diag([*(1 / g.spacing), 1.0])
    if np.linalg.det(g.direction) > 0:
        flip_x = np.diag([-1.0, 1, 1, 1])
        flip_x[0, 3] = g.shape[0] - 1
        to_index = flip_x @ to_index
    return g.affine @ to_index


# --- nitransforms -------------------------------------------------------------------------


def read_with_nitransforms(path: Path, kind: str, reference: Any, moving: Any) -> Transform:
    """Return a transform in a format that nitransforms reads.

    Parameters
    ----------
    path : Path
        The file.
    kind : {"fs", "afni", "X5"}
        What nitransforms calls its format.
    reference, moving : SpatialArray, Geometry or None
        The two images, where the format needs them.
    """
    require("nitransforms", f"Reading {path.name}")
    try:
        return _read_x5(path) if kind == "X5" else _read_linear(path, kind, reference, moving)
    except (FormatError, MemoryError, RecursionError):
        raise
    except Exception as error:  # nitransforms raises errors of many types for an invalid file
        raise FormatError(f"{path}: nitransforms cannot read it: {error!r}") from error


def _read_linear(path: Path, kind: str, reference: Any, moving: Any) -> Affine:
    linear = require("nitransforms.linear", f"Reading {path.name}")
    fixed, other = (None if i is None else _to_nibabel(i) for i in (reference, moving))
    transforms = linear.load(path, fmt=kind, reference=fixed, moving=other)
    matrix = np.asarray(transforms.matrix, np.float64)
    if matrix.shape != (4, 4):
        raise FormatError(
            f"{path}: expected one transform, got {len(matrix)}; split the file, one in each"
        )
    return Affine(matrix, World(_XYZ, "mm", "RAS"))


def _to_nibabel(image: Any) -> Any:
    """Return an image of zeros for nibabel, which has the geometry alone."""
    nibabel = require("nibabel", "Reading transforms")
    g = _nifti_geometry(image)
    return nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), g.shape), g.affine)


def _read_x5(path: Path) -> Transform:
    x5 = require("nitransforms.io.x5", f"Reading {path.name}")
    world = World(_XYZ, "mm", "RAS")
    parts: list[Transform] = []
    for node in x5.from_filename(path):
        values = np.asarray(node.transform, np.float64)
        if node.type == "linear" and values.shape == (4, 4):
            parts.append(Affine(values, world))
        elif node.type == "nonlinear" and node.representation == "displacements" and node.domain:
            g = Geometry.from_affine(
                values.shape, np.asarray(node.domain.mapping), ("x", "y", "z", "c"), world=world
            )
            parts.append(DisplacementField(SpatialArray(values, g)))
        else:
            raise FormatError(
                f"{path}: expected linear transforms and displacement fields, got X5's "
                f"{node.type} {node.representation or ''}"
            )
    if not parts:
        raise FormatError(f"{path}: it holds no transform")
    # The first transform of the file is applied last.
    return parts[0] if len(parts) == 1 else Composite(*parts[::-1])
