"""Transform files: ITK's ``.tfm`` and ``.txt`` (text), ``.h5`` and ``.hdf5`` (HDF5).

SimpleITK reads and writes them, in LPS and mm, as every ITK file is. Composites are flattened. A
file is written complete or not at all. Files of other software are read by
`spatial_duck.io._other_transforms`; OME-Zarr's, ``.json`` and ``.zarr``, are read and written by
`spatial_duck.io.ngff._transform_store`.
"""

from __future__ import annotations

import math
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io import _other_transforms as others
from spatial_duck.io import _simpleitk_transforms as simpleitk_transforms
from spatial_duck.io._hdf5_guard import (
    HDF5_SIGNATURE,
    check_chunks,
    check_length,
    h5py_module,
    open_guarded,
)
from spatial_duck.io._publishing import publish_atomically
from spatial_duck.io._safety import MALFORMED, check_is_no_device, check_memory, check_size
from spatial_duck.io.ngff import _transform_store as transform_store
from spatial_duck.transforms import Composite

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from spatial_duck.transforms import Transform

__all__ = ["SUFFIXES", "read_transform", "write_transform"]

#: Suffixes of ITK's files, and the bytes that these begin with.
SUFFIXES = {
    ".tfm": b"#Insight Transform File",
    ".txt": b"#Insight Transform File",
    ".h5": HDF5_SIGNATURE,
    ".hdf5": HDF5_SIGNATURE,
}
#: Suffixes of OME-Zarr 0.6.
_OME_ZARR = (".json", ".zarr")
#: Bytes of memory that a byte of a text file may take until its transform is made.
_TEXT_MEMORY = 8
#: The first byte of a text of numbers.
_NUMBERS = tuple(bytes([c]) for c in b"0123456789+-.")
#: Suffixes of files that nitransforms reads, and its names for their formats.
_NITRANSFORMS = {".lta": "fs", ".1d": "afni", ".x5": "X5"}

#: Numbers of parameters and of fixed parameters in n dimensions, which ITK does not check.
_PARAMETER_COUNTS: dict[str, Callable[[int], tuple[int, set[int]]]] = {
    "Affine": lambda n: (n * n + n, {n}),
    "ComposeScaleSkewVersor3D": lambda _: (12, {3}),
    "Composite": lambda _: (0, {0}),
    "Euler2D": lambda _: (3, {2}),
    "Euler3D": lambda _: (6, {3, 4}),
    "FixedCenterOfRotationAffine": lambda n: (n * n + n, {n}),
    "Identity": lambda _: (0, {0}),
    "MatrixOffsetTransformBase": lambda n: (n * n + n, {n}),
    "QuaternionRigid": lambda _: (7, {3}),
    "Rigid2D": lambda _: (3, {2}),
    "Rigid3D": lambda _: (12, {3}),
    "Scale": lambda n: (n, {n}),
    "ScaleLogarithmic": lambda n: (n, {n}),
    "ScaleSkewVersor3D": lambda _: (15, {3}),
    "ScaleVersor3D": lambda _: (9, {3}),
    "Similarity2D": lambda _: (4, {2}),
    "Similarity3D": lambda _: (7, {3}),
    "Translation": lambda n: (n, {0}),
    "Versor": lambda _: (3, {3}),
    "VersorRigid3D": lambda _: (6, {3}),
}
_KIND = re.compile(r"(?P<name>\w+?)(?:Transform)?_(?:double|float)_(?P<n>[23])_(?P=n)")

#: A transform that SimpleITK has no class for, and the one with the same parameters.
_WITHOUT_CLASS = ("MatrixOffsetTransformBase", "AffineTransform")
#: Transforms with a vector at each point of a grid, whose size begins the fixed parameters.
_GRID_TRANSFORMS = ("Displacement", "BSpline")


def _simpleitk() -> Any:
    return require("SimpleITK", "ITK transform files", "register")


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            f"{path}: transform files end in {', '.join([*SUFFIXES, *_OME_ZARR])}, got "
            f"{suffix or 'no suffix'!r}"
        )
    return suffix


def read_transform(
    path: str | os.PathLike[str], *, reference: Any = None, moving: Any = None
) -> Transform:
    """Read a transform.

    Parameters
    ----------
    path : path
        A file of ITK, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``; of OME-Zarr, ending in
        ``.json`` or ``.zarr``; or of ANTs, elastix, FSL, FreeSurfer, AFNI or X5.
    reference, moving : SpatialArray or Geometry, optional
        The fixed and the moving image, where a format maps voxels (FSL) or forgets that images are
        oblique (AFNI).

    Returns
    -------
    Transform
        In the world x, y, z, LPS or RAS, mm, or in that of an OME-Zarr's input system; fields are
        in memory. Several transforms in one file are a composite.

    Raises
    ------
    FormatError
        If the file does not hold a transform that can be read.
    """
    file_path = Path(path)
    check_is_no_device(file_path)
    name = file_path.name.lower()
    if file_path.suffix.lower() in _OME_ZARR:
        return transform_store.read_transform(file_path)
    for suffix, kind in _NITRANSFORMS.items():
        if name.endswith(suffix):
            return others.read_with_nitransforms(file_path, kind, reference, moving)
    if name.endswith(others.FIELD_SUFFIXES):
        return others.read_field(file_path)
    if name.endswith(".mat"):
        if _starts_with(file_path, _NUMBERS):
            return others.read_flirt(file_path, reference, moving)
        return _from_parts(file_path, others.ants_parts(file_path))
    expected = SUFFIXES[_suffix(file_path)]
    if name.endswith(".txt") and _starts_with(file_path, (b"(", b"//")):
        steps = [_from_parts(file_path, {"0": part}) for part in others.elastix_parts(file_path)]
        return steps[0] if len(steps) == 1 else Composite(*steps)
    with file_path.open("rb") as file:
        start = file.read(len(expected))
    if start != expected:
        raise FormatError(
            f"{file_path}: a transform file of this suffix begins with {expected!r}, got {start!r}"
        )
    if expected == HDF5_SIGNATURE:
        parts = _read_hdf5_parts(file_path)
        return _read_with_simpleitk(file_path, lambda sitk: _rewrite_and_read(sitk, parts))
    _check_text(file_path)
    return _read_with_simpleitk(file_path, lambda sitk: _read_text(sitk, file_path))


def _starts_with(path: Path, starts: tuple[bytes, ...]) -> bool:
    """Whether a file begins with one of some bytes, after blanks and empty lines."""
    with path.open("rb") as file:
        return file.read(256).lstrip().startswith(starts)


def _from_parts(path: Path, parts: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Transform:
    """Check the parts of a transform as ITK's HDF5 files have them, and return the transform."""
    for kind, parameters in parts.values():
        _check_parameters(path, kind, parameters)
    return _read_with_simpleitk(path, lambda sitk: _rewrite_and_read(sitk, parts))


def _read_with_simpleitk(path: Path, read: Callable[[Any], Any]) -> Transform:
    """Return the transform that a function of SimpleITK reads."""
    sitk = _simpleitk()
    try:
        return simpleitk_transforms.from_simpleitk(read(sitk))
    except (RuntimeError, MemoryError, UnicodeDecodeError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise FormatError(
            f"{path}: ITK cannot read a transform from it: {lines[-1] if lines else error!r}"
        ) from error


def _check_text(path: Path) -> None:
    """Refuse a text file whose lines are not what ITK writes.

    ITK stops reading numbers at the first text that is not one, and allocates what the fixed
    parameters declare before it reads the parameters, which may crash the process.
    """
    kind, parameters = "", dict[str, list[str]]()
    check_memory(path, _TEXT_MEMORY * path.stat().st_size)
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            name, colon, value = (part.strip() for part in line.partition(":"))
            if not name or name.startswith("#"):
                continue
            if name == "Transform" and colon:
                _check_parameters(path, kind, parameters)
                kind, parameters = value, {}
            elif name in ("Parameters", "FixedParameters") and kind:
                if name in parameters:
                    raise FormatError(f"{path}: {kind} has two lines of {name}")
                parameters[name] = value.split()
                _check_numbers(path, name, parameters[name])
            else:
                raise FormatError(f"{path}: expected a line of an ITK transform, got {line[:80]!r}")
    _check_parameters(path, kind, parameters)


def _check_numbers(path: Path, name: str, values: list[str]) -> None:
    try:
        is_finite = bool(np.isfinite(np.array(values, np.float64)).all())
    except ValueError:
        is_finite = False
    if not is_finite:
        raise FormatError(f"{path}: {name} must be finite numbers, got {' '.join(values)[:80]!r}")


def _read_text(sitk: Any, path: Path) -> Any:
    """Read a text file with SimpleITK, after replacing a class that it lacks."""
    text = path.read_text("ascii", "replace")
    if _WITHOUT_CLASS[0] not in text:
        return sitk.ReadTransform(str(path))
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "transform.tfm"
        clean.write_text(text.replace(*_WITHOUT_CLASS), "ascii", "replace")
        return sitk.ReadTransform(str(clean))


def _rewrite_and_read(sitk: Any, parts: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Any:
    """Write parts that were read and checked to a clean file, and return what SimpleITK reads.

    ITK does not check types, lengths and heaps, and its libhdf5 may never return for a file that
    h5py's libhdf5 refuses or reads.
    """
    h5py = h5py_module()
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "transform.h5"
        with h5py.File(clean, "w") as file:
            for number, (kind, parameters) in parts.items():
                group = file.create_group(f"TransformGroup/{number}")
                kind = kind.replace(*_WITHOUT_CLASS)
                group.create_dataset("TransformType", data=[kind], dtype=h5py.string_dtype("ascii"))
                for name, values in parameters.items():
                    group[f"Transform{name}"] = values
        return sitk.ReadTransform(str(clean))


def _read_hdf5_parts(path: Path) -> dict[str, tuple[str, dict[str, NDArray[Any]]]]:
    """Return the kind and the parameters of each transform of a file, by its number there."""
    parts = {}
    try:
        with open_guarded(path, "Reading a transform from HDF5") as file:
            for number, group in file["TransformGroup"].items():
                check_length(path, group["TransformType"])
                kind = group["TransformType"].asstr()[0]
                parameters = {}
                for name in ("FixedParameters", "Parameters"):
                    # Older versions of ITK misspell the prefix.
                    spelled = [p + name for p in ("Transform", "Tranform") if p + name in group]
                    if not spelled:
                        continue
                    dataset = group[spelled[0]]
                    if dataset.ndim != 1 or dataset.dtype.kind != "f":
                        raise FormatError(
                            f"{path}: {name} must be a list of floats, got {dataset!r}"
                        )
                    # As datasets may be compressed, the file may be smaller.
                    check_size(path, dataset.nbytes, compression="gzip")
                    check_memory(path, dataset.nbytes)
                    check_chunks(path, dataset)
                    parameters[name] = dataset[()]
                _check_parameters(path, kind, parameters)
                parts[number] = kind, parameters
    except FormatError:
        raise
    except (*MALFORMED, OSError, RuntimeError) as error:
        raise FormatError(f"{path}: HDF5 cannot read it: {error}") from error
    return parts


def _check_parameters(path: Path, kind: str, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that are too few for the kind, or for the grid that they declare."""
    if not kind:
        return
    match = _KIND.fullmatch(kind) if kind.isascii() else None
    name, n = (match["name"], int(match["n"])) if match else ("", 0)
    count, fixed = len(parameters.get("Parameters", ())), parameters.get("FixedParameters", ())
    if name in _PARAMETER_COUNTS:
        expected, expected_fixed = _PARAMETER_COUNTS[name](n)
        if count != expected or len(fixed) not in expected_fixed:
            raise FormatError(
                f"{path}: {kind} has {expected} parameters and {max(expected_fixed)} fixed ones, "
                f"got {count} and {len(fixed)}"
            )
        return
    if not name.startswith(_GRID_TRANSFORMS):
        raise FormatError(
            f"{path}: ITK cannot read the transform {kind!r}; expected one of "
            f"{', '.join(_PARAMETER_COUNTS)}, {', '.join(_GRID_TRANSFORMS)}"
        )
    sizes = [float(value) for value in fixed[:n]]
    if (
        len(fixed) != n * (n + 3)
        or any(size % 1 for size in sizes)
        or n * math.prod(sizes) != count
        or not count
    ):
        raise FormatError(
            f"{path}: {kind} declares a grid of {sizes!r} and has {count} parameters; it is "
            "truncated or its header is wrong"
        )
    origin, spacing = fixed[n : 2 * n], fixed[2 * n : 3 * n]
    try:
        # ITK may never return with a matrix that cannot be inverted.
        Geometry(
            [int(size) for size in sizes], [float(v) for v in spacing], [float(v) for v in origin],
            np.array(fixed[3 * n :], np.float64).reshape(n, n), SPACE_AXES[:n],
            world=SPACE_AXES[:n],
        )  # fmt: skip
    except GeometryError as error:
        raise FormatError(f"{path}: the grid of {kind} is not valid: {error}") from error


def write_transform(
    path: str | os.PathLike[str],
    transform: Transform,
    *,
    frame: str | None = None,
    overwrite: bool = False,
) -> None:
    """Write a transform.

    Parameters
    ----------
    path : path
        The target, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5`` (ITK), or in ``.json`` or
        ``.zarr`` (OME-Zarr).
    transform : Transform
        Over x and y, or x, y and z. For ITK it is converted to LPS and mm, in OME-Zarr it keeps its
        world. Composites are flattened, and fields read into memory.
    frame : str, optional
        The frame, if the transform has none.
    overwrite : bool, optional
        Replace an existing target, once the new file is complete.

    Raises
    ------
    FrameError, GeometryLossError
        If the file cannot hold it.
    FileExistsError
        If the target exists and `overwrite` is false.
    """
    target = Path(path)
    if target.suffix.lower() in _OME_ZARR:
        transform_store.write_transform(target, transform, frame=frame, overwrite=overwrite)
        return
    _suffix(target)
    sitk = _simpleitk()
    native = simpleitk_transforms.to_simpleitk(transform, frame=frame)
    with publish_atomically(target, overwrite=overwrite) as fresh:
        try:
            sitk.WriteTransform(native, str(fresh))
        except RuntimeError as error:
            raise FormatError(f"{target}: ITK cannot write it: {error}") from error
