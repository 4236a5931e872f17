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

All map points of the fixed image to points of the moving one, in the world x, y, z in mm.
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
    from collections.abc import Callable
    from pathlib import Path

    from spatial_duck.transforms import Transform

__all__ = [
    "FIELD_SUFFIXES",
    "ants_parts",
    "elastix_parts",
    "read_field",
    "read_flirt",
    "read_through",
]

#: Images that hold a field of vectors.
FIELD_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_XYZ = ("x", "y", "z")
_LONGEST = 1 << 26
#: A transform as ITK names it, with its parameters and fixed ones.
Part = tuple[str, dict[str, Any]]


# --- ANTs ---------------------------------------------------------------------------------


def ants_parts(path: Path) -> dict[str, Part]:
    """Return what a MATLAB 4 file of ANTs holds, as a part of an ITK transform file."""
    scipy_io = require("scipy.io", "Reading ANTs' .mat")
    try:
        held = scipy_io.loadmat(path)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # SciPy raises many kinds for a file that is not valid
        raise FormatError(f"{path}: it is no MATLAB file: {error}") from error
    names = [name for name in held if not name.startswith("__") and name != "fixed"]
    if len(names) != 1 or "fixed" not in held:
        raise FormatError(f"{path}: ANTs' .mat holds one transform and 'fixed', got {list(held)}")
    values = {
        "Parameters": np.asarray(held[names[0]], np.float64).ravel(),
        "FixedParameters": np.asarray(held["fixed"], np.float64).ravel(),
    }
    return {"0": (names[0], values)}


def read_field(path: Path) -> DisplacementField:
    """Return a field of vectors in an image, such as ANTs' warps.

    Raises
    ------
    FormatError
        If the image holds no vector for each voxel, or vectors of another convention.
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
    world = [n for n in image.world.axes if n in _XYZ]
    g = image.geometry.to_world(world) if world != list(image.world.axes) else image.geometry
    g = g.to_frame("LPS") if g.frame not in (None, "LPS") else g
    if g.frame is None:
        raise FormatError(f"{path}: its frame is unspecified; a warp lies in LPS or RAS")
    try:
        return DisplacementField(SpatialArray(image.data, g))
    except (GeometryError, TypeError) as error:
        raise FormatError(f"{path}: it is no field of vectors: {error}") from error


# --- elastix ------------------------------------------------------------------------------

_LINE = re.compile(r"^\((?P<name>\w+)\s+(?P<values>.*)\)$")
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
_B_SPLINES = ("BSplineTransform", "RecursiveBSplineTransform")


def elastix_parts(path: Path) -> list[Part]:
    """Return the transforms that a parameter file of elastix states, the first applied first.

    Those that it starts from are looked for in the same folder, by their names alone.
    """
    found: list[Part] = []
    seen: set[Path] = set()
    place = path
    while True:
        if place in seen or len(seen) > 100:
            raise FormatError(f"{path}: its initial transforms go in a circle")
        seen.add(place)
        fields = _elastix_fields(place)
        found.append(_elastix_part(place, fields))
        names = ("InitialTransformParametersFileName", "InitialTransformParameterFileName")
        initial = next((fields[name][0] for name in names if fields.get(name)), _NO_INITIAL)
        if initial == _NO_INITIAL:
            return found[::-1]
        if (fields.get("HowToCombineTransforms") or ["Compose"])[0] != "Compose":
            raise FormatError(f"{place}: transforms that are added are not read, but composed ones")
        place = safety.confine_path(place, initial.replace("\\", "/").rpartition("/")[2])


def _elastix_fields(path: Path) -> dict[str, list[str]]:
    if path.stat().st_size > _LONGEST:
        raise FormatError(f"{path}: a parameter file of elastix is not as long")
    fields = {}
    for line in path.read_text("utf-8", "replace").splitlines():
        if match := _LINE.match(line.partition("//")[0].strip()):
            words = re.findall(r'"([^"]*)"|(\S+)', match["values"])
            fields[match["name"]] = [quoted or bare for quoted, bare in words]
    return fields


def _elastix_part(path: Path, fields: dict[str, list[str]]) -> Part:
    kind = (fields.get("Transform") or [""])[0]
    values = _numbers(path, fields, "TransformParameters")
    n = int(_numbers(path, fields, "FixedImageDimension")[0])
    if kind in _B_SPLINES:
        order = int((fields.get("BSplineTransformSplineOrder") or ["3"])[0])
        names = ("Size", "Spacing", "Origin", "Direction")
        size, spacing, origin, direction = (_numbers(path, fields, f"Grid{name}") for name in names)
        # elastix lists the matrix by its columns.
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
            "transformix writes any as a field (-def all), which is"
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
    """Return the matrix of FLIRT, which maps scaled voxels of the moving image to the fixed one's.

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
        raise FormatError(f"{path}: FSL's .mat holds 4 by 4 numbers that can be inverted")
    if reference is None or moving is None:
        raise FormatError(
            f"{path}: FSL's .mat maps voxels, and needs both images: "
            "Transform.read(path, reference=fixed, moving=moving)"
        )
    from_world = np.linalg.inv(_fsl_to_world(reference))
    to_world = _fsl_to_world(moving) @ np.linalg.inv(matrix) @ from_world
    return Affine(to_world, World(_XYZ, "mm", "RAS"))


def _geometry_xyz(image: Any) -> Geometry:
    """Return a geometry with the axes x, y, z in RAS and mm, as NIfTI has it."""
    from spatial_duck.io._layout import fit_layout
    from spatial_duck.io.nifti._header import RULES

    g = getattr(image, "geometry", image)
    grid = SpatialArray(np.broadcast_to(np.uint8(0), g.shape), g)
    fit = fit_layout(grid, RULES, minimum=3).geometry
    places = [fit.dims.index(name) for name in _XYZ]
    first = tuple(slice(None) if i in places else 0 for i in range(fit.ndim))
    fit = fit[first]
    return fit.transpose([fit.dims.index(name) for name in _XYZ]).to_world(_XYZ)


def _fsl_to_world(image: Any) -> Any:
    """Return the matrix from FSL's scaled voxels to RAS."""
    g = _geometry_xyz(image)
    scaled = np.diag([*(1 / g.spacing), 1.0])
    if np.linalg.det(g.direction) > 0:
        turn = np.diag([-1.0, 1, 1, 1])
        turn[0, 3] = g.shape[0] - 1
        scaled = turn @ scaled
    return g.affine @ scaled


# --- through nitransforms -----------------------------------------------------------------


def read_through(path: Path, kind: str, reference: Any, moving: Any) -> Transform:
    """Return a transform that nitransforms reads.

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
    read: Callable[[], Transform] = (
        (lambda: _x5(path)) if kind == "X5" else (lambda: _linear(path, kind, reference, moving))
    )
    try:
        return read()
    except (FormatError, MemoryError, RecursionError):
        raise
    except Exception as error:  # nitransforms raises many kinds for a file that is not valid
        raise FormatError(f"{path}: nitransforms cannot read it: {error!r}") from error


def _linear(path: Path, kind: str, reference: Any, moving: Any) -> Affine:
    linear = require("nitransforms.linear", f"Reading {path.name}")
    images = [None if image is None else _nibabel(image) for image in (reference, moving)]
    found = linear.load(path, fmt=kind, reference=images[0], moving=images[1])
    matrix = np.asarray(found.matrix, np.float64)
    if matrix.shape != (4, 4):
        raise FormatError(f"{path}: it holds {len(matrix)} transforms, one is read; split it first")
    return Affine(matrix, World(_XYZ, "mm", "RAS"))


def _nibabel(image: Any) -> Any:
    nibabel = require("nibabel", "Reading transforms")
    g = _geometry_xyz(image)
    return nibabel.Nifti1Image(np.broadcast_to(np.uint8(0), g.shape), g.affine)


def _x5(path: Path) -> Transform:
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
            raise FormatError(f"{path}: X5's {node.type} {node.representation or ''} is not read")
    if not parts:
        raise FormatError(f"{path}: it holds no transform")
    # The first of the list is applied last.
    return parts[0] if len(parts) == 1 else Composite(*parts[::-1])
