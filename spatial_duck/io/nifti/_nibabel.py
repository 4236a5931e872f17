"""Formats other than NIfTI that nibabel reads: MGH, Analyze, PAR/REC, AFNI, ….

FreeSurfer's ``.mgh`` is memory-mapped, and ``.mgz`` verified while it is decompressed; the voxels
of others are read by nibabel. Arrays are indexed ``(x, y, z, t, c)``, positions are RAS.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._gzip import MAGIC
from spatial_duck.io._identity import Identity
from spatial_duck.io._source import Source

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["FORMAT", "affine_geometry"]

_SUFFIXES = (".mgh", ".mgz", ".mgh.gz", ".hdr", ".img", ".img.gz", ".par", ".rec", ".head", ".brik",
             ".brik.gz")  # fmt: skip
_MGH = (".mgh", ".mgz", ".mgh.gz")
#: Bytes before the voxels of an MGH file.
_MGH_OFFSET = 284


def affine_geometry(shape: tuple[int, ...], affine: NDArray[Any], header: Any = None) -> Geometry:
    """Return the geometry of a nibabel image that has no NIfTI header.

    Parameters
    ----------
    shape : tuple of int
        Shape of the image.
    affine : ndarray of shape (4, 4)
        Matrix from indices to RAS in mm.
    header : object, optional
        Header of the image; with an MGH header's repetition time the fourth axis is time.
    """
    keys = header.keys() if hasattr(header, "keys") else ()
    step = float(header["tr"]) if "tr" in keys else 0.0
    if len(shape) == 4 and step > 0:
        matrix = np.eye(5)
        matrix[:3, :3], matrix[:3, 4], matrix[3, 3] = affine[:3, :3], affine[:3, 3], step
        world = World(("x", "y", "z", "t"), {**dict.fromkeys("xyz", "mm"), "t": "ms"}, "RAS")
        return Geometry.from_affine(shape, matrix, ("x", "y", "z", "t"), world=world)
    dims = ("x", "y", "z", "c", None, None, None)[: len(shape)]
    return Geometry.from_affine(shape, affine, dims, world=World(("x", "y", "z"), "mm", "RAS"))


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open an image with nibabel; see `spatial_duck.read`."""
    nibabel = require("nibabel", "Reading MGH, Analyze, PAR/REC and AFNI")
    file_path = Path(path)
    is_mgh = file_path.name.lower().endswith(_MGH)
    safety.check_beside(file_path)
    try:
        image = None if is_mgh else nibabel.load(file_path)
        identity = Identity()
        if image is not None:
            # The files are known by now, and read again once their state is noted.
            holders = image.file_map.values()
            identity = Identity.of([Path(h.filename) for h in holders if h.filename])
            image = nibabel.load(file_path)
        header = _mgh_header(file_path) if image is None else image.header
        shape = tuple(int(n) for n in header.get_data_shape())
        affine = header.get_affine() if image is None else image.affine
        geometry = affine_geometry(shape, np.asarray(affine, np.float64), header)
        stored = np.dtype(header.get_data_dtype())
    except (MemoryError, RecursionError):
        raise
    except GeometryError as error:
        raise FormatError(f"{file_path}: its geometry is not valid: {error}") from error
    except Exception as error:  # nibabel raises many kinds for a file that is not valid
        raise FormatError(f"{file_path}: nibabel cannot read it: {error}") from error
    if stored.kind not in "biufc":
        raise FormatError(f"{file_path}: voxels must be numbers, got {stored}")
    load = (
        _mgh_loader(file_path, header, shape, stored)
        if image is None
        else _nibabel_loader(file_path, image, shape, stored)
    )
    attrs = {"nibabel": {"descrip": text}} if (text := _description(header)) else {}
    return Source("nibabel", geometry, load.dtype, attrs, load, identity=identity)


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        return "gzip" if file.read(2) == MAGIC else None


def _mgh_header(path: Path) -> Any:
    """Return the header of an MGH file; repetition and echo times follow the voxels."""
    MGHHeader = require("nibabel", "Reading MGH").freesurfer.mghformat.MGHHeader
    whole = MGHHeader.template_dtype
    first = whole.fields["tr"][1]  # the fields from here on follow the voxels
    packed = _compression(path)
    with safety.open_stream(path, 0, packed) as stream:
        head = safety.read_up_to(stream, _MGH_OFFSET)
        found = MGHHeader(head[:first])
        needed = safety.count_bytes(found.get_data_shape(), np.dtype(found.get_data_dtype()))
        safety.check_size(path, needed, 0 if packed else _MGH_OFFSET, packed)
        if len(found.get_data_shape()) < 4:
            return found
        if packed is None:
            stream.seek(needed, 1)
        while packed and needed > 0 and (piece := stream.read(min(needed, 1 << 20))):
            needed -= len(piece)
        return MGHHeader(head[:first] + safety.read_up_to(stream, whole.itemsize - first))


def _description(header: Any) -> str:
    keys = header.keys() if hasattr(header, "keys") else ()
    return bytes(header["descrip"]).rstrip(b"\0").decode("latin-1") if "descrip" in keys else ""


class _VoxelLoader:
    """Reads or maps voxels, whose data type is known before."""

    def __init__(
        self, shape: tuple[int, ...], dtype: np.dtype[Any], read: Callable[[], Any],
        map_file: Callable[[], Any] | None = None,
    ) -> None:  # fmt: skip
        self.shape, self.dtype, self._read, self._map = shape, dtype, read, map_file

    def __call__(self, lazy: bool | None) -> Any:
        if lazy is not False and self._map is not None:
            return self._map()
        return None if lazy else self._read()


def _mgh_loader(
    path: Path, header: Any, shape: tuple[int, ...], stored: np.dtype[Any]
) -> _VoxelLoader:
    """Return the loader of an MGH file, whose voxels are big-endian, x fastest."""
    big = stored.newbyteorder(">")
    packed = _compression(path)
    needed = safety.count_bytes(shape, big)
    safety.check_size(path, needed, 0 if packed else _MGH_OFFSET, packed)
    file_shape = tuple(header["dims"].tolist())[::-1]

    def in_order(raw: NDArray[Any]) -> NDArray[Any]:
        return raw.transpose().reshape(shape, order="F")

    def read() -> NDArray[Any]:
        with safety.open_stream(path, 0, packed) as stream:
            return in_order(safety.read_stream(stream, path, big, file_shape, _MGH_OFFSET))

    def mapped() -> NDArray[Any]:
        return in_order(safety.map_raw(path, big, file_shape, _MGH_OFFSET))

    return _VoxelLoader(shape, big, read, None if packed else mapped)


def _nibabel_loader(
    path: Path, image: Any, shape: tuple[int, ...], stored: np.dtype[Any]
) -> _VoxelLoader:
    """Return the loader of any other file; scaled voxels are float64."""
    one = tuple(slice(0, 1) for _ in shape)
    try:
        dtype = np.asanyarray(image.dataobj[one]).dtype
    except Exception as error:  # as above
        raise FormatError(f"{path}: its voxels cannot be read: {error}") from error
    files = {Path(holder.filename) for holder in image.file_map.values() if holder.filename}
    there = sum(file.stat().st_size for file in files if file.is_file())
    if safety.count_bytes(shape, stored) > 1032 * there:
        raise FormatError(f"{path}: it declares shape {shape}, more than its files can hold")

    def read() -> NDArray[Any]:
        safety.check_memory(path, safety.count_bytes(shape, dtype))
        try:
            return np.asarray(image.dataobj)
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # as above
            raise FormatError(f"{path}: its voxels cannot be read: {error}") from error

    return _VoxelLoader(shape, dtype, read)


class Nibabel(Format):
    """Images that nibabel reads."""

    name, suffixes = "nibabel", _SUFFIXES

    open = staticmethod(open_source)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file has a suffix of these formats."""
        return bool(head) and path.name.lower().endswith(_SUFFIXES)


FORMAT = Nibabel()
