"""ITK's transform files: ``.tfm`` and ``.txt`` (text), ``.h5`` and ``.hdf5`` (HDF5).

Read and written by SimpleITK. Composites are flattened; numbers are LPS in mm, as in every file of
ITK's. A file is written complete or not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FormatError, missing_extra
from spatial_duck.interop import simpleitk_transforms
from spatial_duck.io.safety import published

if TYPE_CHECKING:
    import os

    from spatial_duck.transforms import Transform

__all__ = ["SUFFIXES", "read_transform", "write_transform"]

#: Ends of file names, and the bytes that files begin with.
SUFFIXES = {
    ".tfm": b"#Insight Transform File",
    ".txt": b"#Insight Transform File",
    ".h5": b"\x89HDF\r\n\x1a\n",
    ".hdf5": b"\x89HDF\r\n\x1a\n",
}


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError:
        raise missing_extra("SimpleITK", "register", "ITK transform files") from None
    return SimpleITK


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise FormatError(
            f"{path}: transform files end in {', '.join(SUFFIXES)}, got {suffix or 'no suffix'!r}"
        )
    return suffix


def read_transform(path: str | os.PathLike[str]) -> Transform:
    """Read a transform.

    Parameters
    ----------
    path : path
        A file of ITK's, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``.

    Returns
    -------
    Transform
        In the world x, y, z, LPS, mm; fields are in memory. Several transforms in one file are
        a composite.

    Raises
    ------
    FormatError
        If the file does not hold a transform that is known.
    """
    place = Path(path)
    start = SUFFIXES[_suffix(place)]
    with place.open("rb") as file:
        head = file.read(len(start))
    if head != start:
        raise FormatError(
            f"{place}: a transform file of this suffix begins with {start!r}, got {head!r}"
        )
    if start.startswith(b"#"):
        _check_counts(place)
    sitk = _simpleitk()
    try:
        found = sitk.ReadTransform(str(place))
        return simpleitk_transforms.from_simpleitk(found)
    except (RuntimeError, MemoryError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise FormatError(
            f"{place}: ITK cannot read a transform from it: {lines[-1] if lines else error!r}"
        ) from error


def _check_counts(path: Path) -> None:
    """Refuse a text file that declares a larger field than it has numbers for.

    ITK allocates what the fixed parameters declare before it looks at the parameters.
    """
    kind, count = "", 0
    with path.open(encoding="ascii", errors="replace") as file:
        for line in file:
            name, _, rest = line.partition(":")
            if name == "Transform":
                kind = rest.strip()
            elif name == "Parameters":
                count = len(rest.split())
            elif name == "FixedParameters" and kind.startswith(("Displacement", "BSpline")):
                _check_declared(path, kind, rest.split(), count)


def _check_declared(path: Path, kind: str, fixed: list[str], count: int) -> None:
    n = int(kind.rpartition("_")[2]) if kind.rpartition("_")[2].isdigit() else 0
    try:
        sizes = [float(word) for word in fixed[:n]]
    except ValueError:
        sizes = []
    total = float(n)
    for size in sizes:
        total *= size
    if len(sizes) != n or total != count:
        raise FormatError(
            f"{path}: {kind} declares a grid of {fixed[:n]!r} and has {count} parameters; it is "
            "truncated or its header is wrong"
        )


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
        The target, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``.
    transform : Transform
        Over x and y, or x, y and z. Brought to LPS and mm; composites are flattened, and fields
        read into memory.
    frame : str, optional
        What the frame is where the transform does not say.
    overwrite : bool, optional
        Replace a file that is there, once the new one is complete.

    Raises
    ------
    FrameError, GeometryLossError
        If ITK cannot hold it.
    FileExistsError
        If the file is there and `overwrite` is false.
    """
    place = Path(path)
    _suffix(place)
    sitk = _simpleitk()
    made = simpleitk_transforms.to_simpleitk(transform, frame=frame)
    with published(place, overwrite=overwrite) as fresh:
        try:
            sitk.WriteTransform(made, str(fresh))
        except RuntimeError as error:
            raise FormatError(f"{place}: ITK cannot write it: {error}") from error
