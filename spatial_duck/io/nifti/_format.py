"""NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``, through nibabel's headers.

Positions are RAS, of voxel centres. Arrays are indexed ``(x, y, z, t, c)`` as nibabel's are.

Which affine
    The sform where its code is not 0, else the qform where its code is not 0, as in nibabel; a
    warning is given where both are set and disagree by more than 1e-3 voxel. ``form="sform"`` or
    ``"qform"`` chooses, without a warning. With both codes 0 the standard's method 1 holds:
    spacing alone, and the frame is unspecified.
Units
    ``xyzt_units``; an unknown unit of space is mm where the frame is known (every program reads it
    so), an unknown unit of time stays unspecified.
Time
    The fourth axis is ``t`` with spacing ``pixdim[4]`` and origin ``toffset``, or ``f`` where its
    unit is Hz, ppm or rad/s. Where ``pixdim[4]`` is 0 it is the plain axis ``c``.
Vectors
    The fifth axis is the plain axis ``c``; a fourth of length 1 before it is left out where its
    ``pixdim`` is 0, or where the intent is 1007 (vector) and time has no unit. RGB voxels become a
    last axis ``c``.
Scale
    Slope and intercept belong to the data: integers with a slope are read as float64 with it
    applied, as nibabel does. ``scaled=False`` reads what is stored and keeps slope and intercept
    in ``attrs["nifti"]``, from where writing takes them again.
Dimensions
    ``dim[0] = 2`` with a trivial third row of the affine is a 2-D world. A slice that lives in 3-D
    is written with the axes that it lacks, of length 1.
Writing
    The sform holds the geometry, shear included; the qform too where it can. NIfTI-1 holds 32-bit
    floats; a geometry that they would displace by more than the tolerance raises
    `GeometryLossError`, and ``version=2`` holds 64 bits. bool becomes uint8 and float16 float32,
    which change no value. ``frame`` says what an unspecified frame is.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import (
    FormatError,
)
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._source import Source, delayed_array, write_voxels
from spatial_duck.io.nifti._header import (
    RULES,
    header_geometry,
    kept_attrs,
    make_header,
    nibabel_module,
    with_channels,
    without_filler,
)

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = [
    "FORMAT",
    "RULES",
    "header_geometry",
    "kept_attrs",
    "make_header",
    "without_filler",
]


def _read_header(path: Path) -> tuple[Any, str | None]:
    """Return nibabel's header, extensions included, and the compression."""
    nib = nibabel_module()
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(12)
            kind = (
                nib.Nifti2Header
                if 540 in struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])
                else nib.Nifti1Header
            )
            file.seek(0)
            header = kind.from_fileobj(file, check=True)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # nibabel raises a dozen kinds for a header that is not valid
        raise FormatError(f"{path}: its NIfTI header is not valid: {error}") from error
    if not bytes(header["magic"]).startswith(b"n+"):
        raise FormatError(
            f"{path}: a NIfTI pair (.hdr and .img) is not read; convert it with nibabel to .nii"
        )
    return header, "gzip" if packed else None


def open_source(
    path: str | os.PathLike[str],
    *,
    form: Literal["sform", "qform"] | None = None,
    scaled: bool = True,
) -> Source:
    """Open a NIfTI file; see `spatial_duck.read`."""
    file = Path(path)
    header, compression = _read_header(file)
    geometry = header_geometry(header, form, file)
    stored = np.dtype(header.get_data_dtype())
    if not np.isfinite(header["vox_offset"]):
        raise FormatError(f"{file}: vox_offset must be a number, got {header['vox_offset']!r}")
    offset = int(header["vox_offset"])
    slope, inter = _scaling(header, file)
    needed = safety.count_bytes(geometry.shape, stored)
    safety.check_size(file, needed, 0 if compression else offset, compression)

    rgb = stored.names is not None
    part = np.dtype(stored[0].str) if rgb else stored
    is_scaled = scaled and not rgb and (slope, inter) != (1.0, 0.0)
    dtype = np.dtype(np.complex128 if stored.kind == "c" else np.float64) if is_scaled else part
    attrs = kept_attrs(header)
    if not scaled and (slope, inter) != (1.0, 0.0):
        attrs |= {"scl_slope": slope, "scl_inter": inter}

    geometry, left_out = without_filler(header, geometry)
    if rgb:
        geometry = with_channels(geometry, len(stored.names or ()))

    def finish(raw: Any) -> Any:
        """Turn voxels in file order, slowest axis first, into the array that is given."""
        array = raw.transpose(tuple(reversed(range(raw.ndim))))
        if left_out is not None:
            array = array.squeeze(left_out)
        if rgb:
            array = array[..., None].view(part) if isinstance(array, np.ndarray) else array
        # The formula of the standard, in double precision as nibabel computes it.
        return array * slope + inter if is_scaled else array

    file_shape = tuple(int(n) for n in header.get_data_shape())[::-1]

    def read_whole() -> NDArray[Any]:
        with safety.open_stream(file, 0, compression) as stream:
            raw = safety.read_stream(stream, file, stored, file_shape, offset)
        out: NDArray[Any] = finish(raw)
        return out

    def load(lazy: bool | None) -> Any:
        if compression is None and lazy is not False:
            raw = safety.map_raw(file, stored, file_shape, offset)
            if not is_scaled:
                return finish(raw)
            if lazy:
                return _chunked(raw, finish)
        if lazy:
            return delayed_array(read_whole, geometry.shape, dtype)
        if is_scaled:
            safety.check_memory(file, safety.count_bytes(geometry.shape, dtype))
        return read_whole()

    return Source("nifti", geometry, dtype, {"nifti": attrs} if attrs else {}, load)


def _chunked(raw: NDArray[Any], finish: Any) -> Any:
    da = require("dask.array", "Reading with lazy=True")
    return finish(da.from_array(raw))


def _scaling(header: Any, path: Path) -> tuple[float, float]:
    try:
        slope, inter = header.get_slope_inter()
    except Exception as error:  # a slope without a valid intercept
        raise FormatError(f"{path}: scl_slope and scl_inter are not valid: {error}") from error
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    version: Literal[1, 2] = 1,
    frame: str | None = None,
) -> None:
    """Write a NIfTI file; see `spatial_duck.write`."""
    header, data, _ = make_header(image, version=version, frame=frame)
    dtype = np.dtype(header.get_data_dtype())
    packed = path.name.lower().endswith(".gz")
    with path.open("wb") as raw:
        file: Any = (
            gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0)
            if packed
            else raw
        )
        try:
            header.write_to(file)
            file.write(b"\0" * (int(header["vox_offset"]) - file.tell()))
            write_voxels(file.write, data, dtype, progress)
        finally:
            file.close()


class Nifti(Format):
    """NIfTI-1 and NIfTI-2."""

    name, suffixes = "nifti", (".nii", ".nii.gz")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by a file's first bytes, or what is in a folder."""
        return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in (
            b"n+2\0\r\n\x1a\n",
            b"ni2\0\r\n\x1a\n",
        )


FORMAT = Nifti()
