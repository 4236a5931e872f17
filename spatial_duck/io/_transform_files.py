"""Transform files: ITK's ``.tfm`` and ``.txt`` (text), ``.h5`` and ``.hdf5`` (HDF5).

Read and written by SimpleITK; those of other software are read (`._other_transforms`). Composites
are flattened; numbers are LPS in mm, as in every file of ITK's. A file is written complete or not
at all. Those of OME-Zarr, ``.json`` and ``.zarr``, are handed to
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
from spatial_duck.io._hdf5_guard import check_length, h5py_module, open_guarded
from spatial_duck.io._publishing import publish_atomically
from spatial_duck.io._safety import MALFORMED, check_memory, check_size
from spatial_duck.io.ngff import _transform_store as transform_store
from spatial_duck.transforms import Composite

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from spatial_duck.transforms import Transform

__all__ = ["SUFFIXES", "read_transform", "write_transform"]

#: Ends of file names, and the bytes that files begin with.
SUFFIXES = {
    ".tfm": b"#Insight Transform File",
    ".txt": b"#Insight Transform File",
    ".h5": b"\x89HDF\r\n\x1a\n",
    ".hdf5": b"\x89HDF\r\n\x1a\n",
}
#: Those of OME-Zarr 0.6.
_OME_ZARR = (".json", ".zarr")
#: How a text of numbers begins.
_NUMBERS = tuple(bytes([c]) for c in b"0123456789+-.")
#: Those that nitransforms reads, with its names for their formats.
_THROUGH = {".lta": "fs", ".1d": "afni", ".x5": "X5"}


#: Numbers of parameters and of fixed parameters in n dimensions, which ITK does not check.
_COUNTS: dict[str, Callable[[int], tuple[int, set[int]]]] = {
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

#: A kind that SimpleITK has no class for, and one of the same numbers.
_WITHOUT_CLASS = ("MatrixOffsetTransformBase", "AffineTransform")
#: Kinds whose fixed parameters begin with the size of a grid, one vector a point.
_GRIDDED = ("Displacement", "BSpline")


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
        A file of ITK's, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``, one of OME-Zarr's,
        ending in ``.json`` or ``.zarr``, or one of `spatial_duck.io._other_transforms`.
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
        If the file does not hold a transform that is known.
    """
    place, name = Path(path), Path(path).name.lower()
    if place.suffix.lower() in _OME_ZARR:
        return transform_store.read_transform(place)
    for end, kind in _THROUGH.items():
        if name.endswith(end):
            return others.read_through(place, kind, reference, moving)
    if name.endswith(others.FIELD_SUFFIXES):
        return others.read_field(place)
    if name.endswith(".mat"):
        if _begins(place, _NUMBERS):
            return others.read_flirt(place, reference, moving)
        return _made(place, others.ants_parts(place))
    start = SUFFIXES[_suffix(place)]
    if name.endswith(".txt") and _begins(place, (b"(", b"//")):
        made = [_made(place, {"0": part}) for part in others.elastix_parts(place)]
        return made[0] if len(made) == 1 else Composite(*made)
    with place.open("rb") as file:
        head = file.read(len(start))
    if head != start:
        raise FormatError(
            f"{place}: a transform file of this suffix begins with {start!r}, got {head!r}"
        )
    if start.startswith(b"#"):
        _check_text(place)
        return _through_itk(place, lambda sitk: _read_text(sitk, place))
    parts = _check_hdf5(place)
    return _through_itk(place, lambda sitk: _read_again(sitk, parts))


def _begins(path: Path, starts: tuple[bytes, ...]) -> bool:
    """Whether a file begins so, blanks and empty lines left out."""
    with path.open("rb") as file:
        return file.read(256).lstrip().startswith(starts)


def _made(path: Path, parts: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Transform:
    """Return the transform of parts of an ITK file, which are checked first."""
    for kind, held in parts.values():
        _check_declared(path, kind, held)
    return _through_itk(path, lambda sitk: _read_again(sitk, parts))


def _through_itk(path: Path, read: Callable[[Any], Any]) -> Transform:
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

    ITK reads numbers up to the first that is none and allocates what the fixed parameters declare
    before it looks at the parameters; what comes of that may end the process.
    """
    kind, found = "", dict[str, list[str]]()
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            name, colon, rest = (part.strip() for part in line.partition(":"))
            if not name or name.startswith("#"):
                continue
            if name == "Transform" and colon:
                _check_declared(path, kind, found)
                kind, found = rest, {}
            elif name in ("Parameters", "FixedParameters") and kind:
                if name in found:
                    raise FormatError(f"{path}: {name} of {kind} are there twice")
                found[name] = rest.split()
                _check_numbers(path, name, found[name])
            else:
                raise FormatError(f"{path}: expected a line of an ITK transform, got {line[:80]!r}")
    _check_declared(path, kind, found)


def _check_numbers(path: Path, name: str, words: list[str]) -> None:
    try:
        finite = bool(np.isfinite(np.array(words, np.float64)).all())
    except ValueError:
        finite = False
    if not finite:
        raise FormatError(f"{path}: {name} must be finite numbers, got {' '.join(words)[:80]!r}")


def _read_text(sitk: Any, path: Path) -> Any:
    """Let ITK read a text file, with a kind that SimpleITK has a class for."""
    text = path.read_text("ascii", "replace")
    if _WITHOUT_CLASS[0] not in text:
        return sitk.ReadTransform(str(path))
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "transform.tfm"
        clean.write_text(text.replace(*_WITHOUT_CLASS), "ascii", "replace")
        return sitk.ReadTransform(str(clean))


def _read_again(sitk: Any, parts: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Any:
    """Return what ITK reads of a file that h5py has read and written again.

    ITK does not check types, lengths and heaps, and its libhdf5 may not terminate for a file that
    h5py's refuses or reads.
    """
    h5py = h5py_module()
    with tempfile.TemporaryDirectory() as folder:
        clean = Path(folder) / "transform.h5"
        with h5py.File(clean, "w") as file:
            for number, (kind, held) in parts.items():
                group = file.create_group(f"TransformGroup/{number}")
                kind = kind.replace(*_WITHOUT_CLASS)
                group.create_dataset("TransformType", data=[kind], dtype=h5py.string_dtype("ascii"))
                for name, values in held.items():
                    group[f"Transform{name}"] = values
        return sitk.ReadTransform(str(clean))


def _check_hdf5(path: Path) -> dict[str, tuple[str, dict[str, NDArray[Any]]]]:
    """Return the kind and the numbers of each transform of a file, by its number there."""
    parts = {}
    try:
        with open_guarded(path, "Reading a transform from HDF5") as file:
            for number, group in file["TransformGroup"].items():
                check_length(path, group["TransformType"])
                kind = group["TransformType"].asstr()[0]
                read = {}
                for name in ("FixedParameters", "Parameters"):
                    # Older files of ITK's spell it without an s.
                    spelled = [p + name for p in ("Transform", "Tranform") if p + name in group]
                    if not spelled:
                        continue
                    held = group[spelled[0]]
                    if held.ndim != 1 or held.dtype.kind != "f":
                        raise FormatError(f"{path}: {name} must be a list of numbers, got {held!r}")
                    # At least a file's own bytes, but for those that are compressed.
                    check_size(path, held.nbytes, compression="gzip")
                    check_memory(path, held.nbytes)
                    read[name] = held[()]
                _check_declared(path, kind, read)
                parts[number] = kind, read
    except (*MALFORMED, OSError, RuntimeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: HDF5 cannot read it: {error}") from error
    return parts


def _check_declared(path: Path, kind: str, found: Mapping[str, Any]) -> None:
    """Refuse numbers that are too few for the kind, or for the grid that they declare."""
    if not kind:
        return
    match = _KIND.fullmatch(kind) if kind.isascii() else None
    name, n = (match["name"], int(match["n"])) if match else ("", 0)
    count, fixed = len(found.get("Parameters", ())), found.get("FixedParameters", ())
    if name in _COUNTS:
        wanted, fixes = _COUNTS[name](n)
        if count != wanted or len(fixed) not in fixes:
            raise FormatError(
                f"{path}: {kind} has {wanted} parameters and {max(fixes)} fixed ones, got {count} "
                f"and {len(fixed)}"
            )
        return
    if not name.startswith(_GRIDDED):
        raise FormatError(
            f"{path}: ITK cannot read a transform from it that is known here: {kind!r}; known are "
            f"{', '.join(_COUNTS)}, {', '.join(_GRIDDED)}"
        )
    sizes = [float(word) for word in fixed[:n]]
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
        # ITK may not come to an end with a matrix that cannot be inverted.
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
        Over x and y, or x, y and z. For ITK it is brought to LPS and mm, in OME-Zarr it keeps its
        world. Composites are flattened, and fields read into memory.
    frame : str, optional
        The frame, if the transform has none.
    overwrite : bool, optional
        Replace a file that is there, once the new one is complete.

    Raises
    ------
    FrameError, GeometryLossError
        If the file cannot hold it.
    FileExistsError
        If the file is there and `overwrite` is false.
    """
    place = Path(path)
    if place.suffix.lower() in _OME_ZARR:
        transform_store.write_transform(place, transform, frame=frame, overwrite=overwrite)
        return
    _suffix(place)
    sitk = _simpleitk()
    made = simpleitk_transforms.to_simpleitk(transform, frame=frame)
    with publish_atomically(place, overwrite=overwrite) as fresh:
        try:
            sitk.WriteTransform(made, str(fresh))
        except RuntimeError as error:
            raise FormatError(f"{place}: ITK cannot write it: {error}") from error
