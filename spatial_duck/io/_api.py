"""Files: `read`, `write`, `info` and `sniff`.

Each format is one module with two functions::

    open_source(path, **options) -> Source
    write_image(path, image, *, overwrite, progress, **options)

and one row in `FORMATS`. To add a format, write the module and add its row; a module is imported
when a file of its format comes. Errors are `FormatError` for a file that does not hold what its
format says, `UnsafeInputError` for one that asks for something unsafe, and `GeometryLossError`,
before anything is written, for an image that the format cannot hold.

==========  =======================  ==========================  ================================
format      suffixes                 dims that are read          voxels
==========  =======================  ==========================  ================================
nifti       .nii .nii.gz             x, y, z, t, c (as nibabel)  .nii mapped; .nii.gz in memory
nrrd        .nrrd .nhdr              t, z, y, x                  raw mapped; others in memory
metaimage   .mha .mhd                t, z, y, x, c (as ITK)      raw mapped; compressed in memory
ome-zarr    .ome.zarr .zarr          t, c, z, y, x               a lazy view of the Zarr array
dicom       .dcm, a folder           t, c, z, y, x, c            in memory; lazy=True by slice
tiff        .tif .tiff               t, c, z, y, x               mapped, or a lazy view of tiles
minc        .mnc (read)              the file's, as z, y, x      in memory
hdf5        .h5 .hdf5                any                         contiguous mapped; lazy=True
npy         .npy with .npy.json      any                         mapped
vti         .vti                     z, y, x, c                  raw mapped; others in memory
picture     .png (others read)       y, x, c                     in memory
==========  =======================  ==========================  ================================
"""

from __future__ import annotations

import gzip
import inspect
import os
import zlib
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError
from spatial_duck.io.ngff import _journal as journal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from spatial_duck.geometry import Geometry
    from spatial_duck.io._source import Progress, Source

__all__ = ["FORMATS", "Format", "Info", "info", "read", "sniff", "write"]


class Format(NamedTuple):
    """A row of the table of formats.

    Attributes
    ----------
    name : str
        What `read` and `write` call it.
    suffixes : tuple of str
        Ends of file names; the longest that fits any format decides when writing.
    module : str
        Module with ``open_source`` and ``write_image``.
    matches : callable
        ``matches(path, head)`` tells from a file's first bytes (of what a gzip file holds, where
        it is one) or a directory's entries whether it is of this format.
    """

    name: str
    suffixes: tuple[str, ...]
    module: str
    matches: Callable[[Path, bytes], bool]


def _is_nifti(_: Path, head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in (
        b"n+2\0\r\n\x1a\n",
        b"ni2\0\r\n\x1a\n",
    )


def _is_nrrd(_: Path, head: bytes) -> bool:
    return head.startswith(b"NRRD000")


def _is_metaimage(path: Path, head: bytes) -> bool:
    text = head[:512].replace(b" ", b"")
    return text.startswith((b"ObjectType=Image", b"NDims=")) or (
        b"NDims=" in text and path.suffix.lower() in (".mha", ".mhd")
    )


def _is_zarr(path: Path, _: bytes) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


def _is_dicom(path: Path, head: bytes) -> bool:
    from spatial_duck.io.dicom._format import looks_like_dicom

    return looks_like_dicom(path, head)


def _is_tiff(_: Path, head: bytes) -> bool:
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _is_minc(path: Path, head: bytes) -> bool:
    from spatial_duck.io._minc import looks_like_minc

    return looks_like_minc(path, head)


def _is_hdf5(_: Path, head: bytes) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n")


def _is_npy(_: Path, head: bytes) -> bool:
    return head.startswith(b"\x93NUMPY")


def _is_vti(_: Path, head: bytes) -> bool:
    return b"<VTKFile" in head and b"ImageData" in head


def _is_picture(_: Path, head: bytes) -> bool:
    from spatial_duck.io._pictures import looks_like_picture

    return looks_like_picture(head)


FORMATS: tuple[Format, ...] = (
    Format("nifti", (".nii", ".nii.gz"), "spatial_duck.io.nifti._format", _is_nifti),
    Format("nrrd", (".nrrd", ".nhdr"), "spatial_duck.io.nrrd._format", _is_nrrd),
    Format("metaimage", (".mha", ".mhd"), "spatial_duck.io._metaimage", _is_metaimage),
    Format("ome-zarr", (".ome.zarr", ".zarr"), "spatial_duck.io.ngff._format", _is_zarr),
    Format("dicom", (".dcm",), "spatial_duck.io.dicom._format", _is_dicom),
    Format("tiff", (".tif", ".tiff"), "spatial_duck.io.tiff._format", _is_tiff),
    Format("minc", (".mnc",), "spatial_duck.io._minc", _is_minc),
    Format("hdf5", (".h5", ".hdf5"), "spatial_duck.io._hdf5", _is_hdf5),
    Format("npy", (".npy",), "spatial_duck.io._npy", _is_npy),
    Format("vti", (".vti",), "spatial_duck.io._vti", _is_vti),
    Format("picture", (".png",), "spatial_duck.io._pictures", _is_picture),
)

_BY_NAME = {row.name: row for row in FORMATS}


class Info(NamedTuple):
    """What a file says about its image, without its voxels.

    Attributes
    ----------
    format : str
        Name of the format.
    geometry : Geometry
        Of the image at the level asked for.
    dtype : dtype
        Of the voxels as `read` gives them.
    attrs : dict
        Header fields that have no place in the geometry.
    levels : int
        Number of resolutions in the file.
    """

    format: str
    geometry: Geometry
    dtype: np.dtype[Any]
    attrs: dict[str, Any]
    levels: int


def sniff(path: str | os.PathLike[str]) -> str | None:
    """Return the name of a file's format, from its content, or None.

    Parameters
    ----------
    path : path
        A file or directory.

    Raises
    ------
    FileNotFoundError
        If there is none.
    """
    place = Path(path)
    head = b""
    if not place.is_dir():
        with place.open("rb") as file:
            head = file.read(2048)
        if head[:2] == b"\x1f\x8b":
            try:
                with gzip.open(place) as unpacked:
                    head = unpacked.read(2048)
            except (OSError, EOFError, zlib.error):
                head = b""
    return next((row.name for row in FORMATS if row.matches(place, head)), None)


def _row_to_read(path: str | os.PathLike[str], format: str | None) -> Format:
    if format is not None:
        return _named(format)
    if "://" in str(path):
        return _BY_NAME["ome-zarr"]
    try:
        name = sniff(path)
    except FileNotFoundError:
        left = journal.unfinished(path)
        if left is None:
            raise
        raise FormatError(left) from None
    if name is None:
        raise FormatError(
            f"{path}: its content is of none of the formats that are read: {', '.join(_BY_NAME)}; "
            "name one with format= if you know better"
        )
    return _BY_NAME[name]


def _named(format: str) -> Format:
    if format not in _BY_NAME:
        raise FormatError(f"format must be one of {', '.join(_BY_NAME)}, got {format!r}")
    return _BY_NAME[format]


def _row_to_write(path: str | os.PathLike[str], format: str | None) -> Format:
    if format is not None:
        return _named(format)
    name = Path(path).name.lower()
    for row in FORMATS:
        if name.endswith(row.suffixes):
            return row
    known = ", ".join(suffix for row in FORMATS for suffix in row.suffixes)
    raise FormatError(f"{path}: its suffix is none of {known}; rename it, or name format=")


def _opened(
    path: str | os.PathLike[str], format: str | None, level: int | None, options: dict[str, Any]
) -> Source:
    row = _row_to_read(path, format)
    if level is not None:
        leveled = row.name in ("ome-zarr", "tiff")
        if not leveled and level != 0:
            raise FormatError(f"{path}: {row.name} has one level only, level={level} was asked for")
        if leveled:
            options["level"] = level
    open_source = import_module(row.module).open_source
    _check_options("read", row.name, open_source, options)
    source: Source = open_source(path, **options)
    return source


def _check_options(
    verb: str, format: str, function: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Refuse options that a format does not have, and say which it has."""
    parameters = inspect.signature(function).parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    own = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    own = [name for name in own if name not in ("overwrite", "progress")]
    for name in options:
        if name not in own:
            near = get_close_matches(name, own, 1)
            guess = f"; did you mean {near[0]}=?" if near else "."
            listed = ", ".join(f"{o}=" for o in own) or "none"
            raise TypeError(f"{verb}: {format} has no option {name}={guess} It has {listed}")


def read(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    level: int | None = None,
    dims: Sequence[str | None] | None = None,
    lazy: bool | None = None,
    **options: Any,
) -> SpatialArray:
    """Open an image.

    Parameters
    ----------
    path : path or str
        A file, or the directory (or URL) of a Zarr group.
    format : str, optional
        Name of the format, where the content should not decide.
    level : int, optional
        Resolution to open, 0 the finest.
    dims : sequence of str, optional
        Axis order wanted, by names; a view. By default the order of the format's own library.
    lazy : bool, optional
        True: a Dask array or view that reads nothing before it is asked. False: in memory. By
        default lazy where that costs nothing (raw files are mapped, Zarr is viewed).
    **options
        The format's own, documented at its module: ``form`` and ``scaled`` (nifti), ``multiscale``
        and ``system`` (ome-zarr), ``data_anywhere`` (nrrd, metaimage), ``series``, ``where``,
        ``irregular``, … (dicom), ``series`` (tiff), ``dataset`` (hdf5), ``name`` (vti).

    Returns
    -------
    SpatialArray
        Its ``attrs`` hold header fields under the format's name, and give them back on writing.

    Raises
    ------
    FormatError
        If the file does not hold what its format says.
    UnsafeInputError
        If it declares more than there is, or data elsewhere.
    """
    source = _opened(path, format, level, options)
    image = SpatialArray(source.load(lazy), source.geometry, attrs=source.attrs)
    return image if dims is None else _in_order(image, dims)


def _in_order(image: SpatialArray, dims: Sequence[str | None]) -> SpatialArray:
    if sorted(map(str, dims)) != sorted(map(str, image.dims)):
        raise FormatError(f"dims: the image has {image.dims!r}, and {tuple(dims)!r} were asked for")
    moved: SpatialArray = image.transpose([image.dims.index(name) for name in dims])
    return moved


def info(
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    level: int | None = None,
    **options: Any,
) -> Info:
    """Return what a file says about its image, without reading voxels.

    Parameters
    ----------
    path, format, level, **options
        As for `read`.

    Returns
    -------
    Info
    """
    source = _opened(path, format, level, options)
    return Info(source.format, source.geometry, source.dtype, source.attrs, source.levels)


def write(
    path: str | os.PathLike[str],
    image: SpatialArray,
    *,
    format: str | None = None,
    overwrite: bool = False,
    progress: bool | Progress | None = None,
    **options: Any,
) -> None:
    """Write an image; the target is complete or not there at all.

    Parameters
    ----------
    path : path
        The target; its suffix tells the format.
    image : SpatialArray
        The image, in memory, Dask or Zarr; what is not in memory is written some at a time.
    format : str, optional
        Name of the format, where the suffix should not decide.
    overwrite : bool, optional
        Replace a target that is there, once the new one is complete.
    progress : bool or callable, optional
        True shows a line on stderr; a callable gets (bytes done, bytes in all).
    **options
        The format's own, documented at its module: ``frame`` says what an unspecified frame is
        (nifti, metaimage); ``version`` (nifti, ome-zarr); ``compress`` (nrrd, metaimage);
        ``chunks``, ``levels``, ``method``, ``oblique``, ``memory`` and ``resume`` (ome-zarr).

    Raises
    ------
    GeometryLossError
        If the format cannot hold the geometry; nothing is written. The message says what would be
        lost and which option accepts it.
    FileExistsError
        If the target is there and `overwrite` is false.
    FileNotFoundError
        If the folder that it should lie in is not there.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"write(path, image) takes the path first, got {type(path).__name__}")
    row = _row_to_write(path, format)
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{path} cannot be written: there is no folder {str(folder)!r}; create it first"
        )
    if not isinstance(image, SpatialArray):
        from spatial_duck.array import asarray
        from spatial_duck.pyramids import Pyramid

        if isinstance(image, Pyramid):
            raise TypeError(
                "write takes one image, got a Pyramid: write(path, pyramid[0], "
                f"levels={len(image)}) makes its levels again, in OME-Zarr"
            )

        image = asarray(image)
    write_image = import_module(row.module).write_image
    _check_options("write", row.name, write_image, options)
    write_image(Path(path), image, overwrite=overwrite, progress=progress, **options)
