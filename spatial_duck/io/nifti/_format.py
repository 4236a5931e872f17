"""NIfTI-1 and NIfTI-2, ``.nii`` and ``.nii.gz``, through nibabel's headers but for plain ones.

Positions are RAS, of voxel centres. Arrays are indexed ``(x, y, z, t, c)`` as nibabel's are.

Which affine
    The sform if its code is not 0, else the qform if its code is not 0, as in nibabel; with a
    warning if both are set and disagree by more than 1e-2 voxel. ``form="sform"`` or ``"qform"``
    chooses one, without a warning. With both codes 0 it is the standard's method 1: spacing alone,
    and the frame is unspecified.
Units
    ``xyzt_units``; an unknown unit of space is mm if the frame is known, as for other programs; an
    unknown unit of time stays unspecified.
Time
    The fourth axis is ``t`` with spacing ``pixdim[4]`` and origin ``toffset``, or ``f`` if its unit
    is Hz, ppm or rad/s. If ``pixdim[4]`` is 0 it is the plain axis ``c``.
Vectors
    The fifth axis is the plain axis ``c``; a fourth of length 1 before it is removed if its
    ``pixdim`` is 0, or if the intent is 1007 (vector) and time has no unit. RGB voxels become a
    last axis ``c``.
Scale
    Slope and intercept are applied, as in nibabel: integers with a slope are read as float64.
    ``scaled=False`` reads the stored integers, with slope and intercept in ``attrs["nifti"]``,
    which writing uses again.
Dimensions
    ``dim[0] = 2`` with a trivial third row of the affine is a 2-D world. A slice in 3-D is written
    with the axes that it lacks, of length 1.
Writing
    The sform holds the geometry, shear included; the qform too if it can. NIfTI-1 holds 32-bit
    floats; a geometry that they would displace by more than the tolerance raises
    `GeometryLossError`, and ``version=2`` holds 64 bits. bool is written as uint8 and float16 as
    float32, which change no value. ``frame`` gives the frame of an image that has none.
"""

from __future__ import annotations

import bz2
import gzip
import io
import struct
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import (
    FormatError,
    SpatialDuckError,
)
from spatial_duck.io import _safety as safety
from spatial_duck.io._coords import same_coords
from spatial_duck.io._format import Format
from spatial_duck.io._gzip import MAGIC
from spatial_duck.io._identity import Identity
from spatial_duck.io._source import Source, write_voxels
from spatial_duck.io.nifti._coordinates import header_coords
from spatial_duck.io.nifti._gradients import gradient_coords, gradient_texts, sidecars
from spatial_duck.io.nifti._header import (
    RULES,
    add_channel_axis,
    drop_filler_axis,
    header_attrs,
    header_geometry,
    make_header,
    nibabel_module,
)
from spatial_duck.io.nifti._plain_header import plain_header

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = [
    "FORMAT",
    "RULES",
    "add_channel_axis",
    "drop_filler_axis",
    "header_attrs",
    "header_geometry",
    "make_header",
]


#: Compressions, by the first bytes of a file.
_COMPRESSIONS = {MAGIC: "gzip", b"BZh": "bzip2", b"\x28\xb5\x2f\xfd": "zstd"}
#: Most bytes of a header with its extensions.
_MAX_EXTENSIONS = 1 << 26


class _Files(NamedTuple):
    """The file of the header and that of the voxels; they differ for a pair."""

    header: Path
    voxels: Path


def _header_and_voxels(path: Path) -> _Files:
    """Return the files of an image, given its file or either of a pair."""
    name, suffix = path.name.lower(), path.suffix
    packed = suffix if suffix.lower() in (".gz", ".bz2", ".zst") else ""
    bare = path.with_suffix("") if packed else path
    if not name.removesuffix(packed.lower()).endswith((".hdr", ".img")):
        return _Files(path, path)
    upper = bare.suffix.isupper()
    pair = [
        bare.with_suffix(end.upper() if upper else end).with_name(
            bare.stem + (end.upper() if upper else end) + packed
        )
        for end in (".hdr", ".img")
    ]
    return _Files(*pair)


def _compression(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(4)
    return next((kind for magic, kind in _COMPRESSIONS.items() if head.startswith(magic)), None)


def _read_header(path: Path) -> Any:
    """Return a plain header, or nibabel's, extensions included."""
    try:
        with safety.open_stream(path, 0, _compression(path)) as stream:
            head = safety.read_up_to(stream, 544)
            plain = plain_header(head)
            if plain is not None:
                return plain
            nib = nibabel_module()
            is_second = 540 in struct.unpack("<i", head[:4]) + struct.unpack(">i", head[:4])
            kind = nib.Nifti2Header if is_second else nib.Nifti1Header
            probe = kind(head[: kind.template_dtype.itemsize], check=False)
            offset = float(probe["vox_offset"])
            if np.isfinite(offset) and len(head) < offset < _MAX_EXTENSIONS:
                head += safety.read_up_to(stream, int(offset) - len(head))
        return kind.from_fileobj(io.BytesIO(head), check=True)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # nibabel raises many kinds for a header that is not valid
        if isinstance(error, ImportError):
            raise
        raise FormatError(f"{path}: its NIfTI header is not valid: {error}") from error


def _refuse_cifti(header: Any, path: Path) -> None:
    """Raise an error for a CIFTI-2 file, a matrix over brain models."""
    if 3000 <= int(header["intent_code"]) <= 3099:
        raise FormatError(
            f"{path}: it is a CIFTI-2 file (intent {int(header['intent_code'])}), a matrix over "
            "vertices and voxels that its XML names, and not an image of a volume; open it with "
            "nibabel.load"
        )


def _header_coords(header: Any, geometry: Geometry) -> tuple[dict[str, Any], Geometry, int | None]:
    """Return a header's coordinates, the geometry of the image, and the axis that is removed."""
    stored = np.dtype(header.get_data_dtype())
    geometry, removed_axis = drop_filler_axis(header, geometry)
    colors = len(stored.names or ())
    if colors:
        geometry = add_channel_axis(geometry, colors)
    return header_coords(header, geometry, removed_axis, stored, colors), geometry, removed_axis


def open_source(
    path: str | os.PathLike[str],
    *,
    form: Literal["sform", "qform"] | None = None,
    scaled: bool = True,
) -> Source:
    """Open a NIfTI file; see `spatial_duck.read`."""
    files = _header_and_voxels(Path(path))
    identity = Identity.of(files)
    if not files.header.is_file():
        raise FormatError(f"{path}: a NIfTI pair needs its header, {files.header}")
    header = _read_header(files.header)
    is_single = bytes(header["magic"]).startswith(b"n+")
    file = files.header if is_single else files.voxels
    if not is_single and (file == files.header or not file.is_file()):
        raise FormatError(
            f"{path}: its header is that of a NIfTI pair (.hdr and .img), and there are no voxels "
            "in a file beside it"
        )
    compression = _compression(file)
    _refuse_cifti(header, file)
    geometry = header_geometry(header, form, file)
    stored = np.dtype(header.get_data_dtype())
    if not np.isfinite(header["vox_offset"]):
        raise FormatError(f"{file}: vox_offset must be a number, got {header['vox_offset']!r}")
    offset = int(header["vox_offset"])
    if offset < (header.single_vox_offset if is_single else 0):
        raise FormatError(
            f"{file}: vox_offset must be {header.single_vox_offset} or more in a single file, got "
            f"{offset}: voxels do not begin in the header"
        )
    slope, inter = _scaling(header, file) if scaled else (1.0, 0.0)
    needed = safety.count_bytes(geometry.shape, stored)
    safety.check_size(file, needed, 0 if compression else offset, compression)

    rgb = stored.names is not None
    part = np.dtype(stored[0].str) if rgb else stored
    is_scaled = scaled and not rgb and (slope, inter) != (1.0, 0.0)
    dtype = np.dtype(np.complex128 if stored.kind == "c" else np.float64) if is_scaled else part
    attrs = header_attrs(header)
    if not scaled:
        attrs |= _stored_scaling(header)

    coords, geometry, removed_axis = _header_coords(header, geometry)
    coords |= gradient_coords(files.header, geometry)

    def to_image_order(raw: Any) -> Any:
        """Return voxels in file order, slowest axis first, as the array of the image."""
        array = raw.transpose(tuple(reversed(range(raw.ndim))))
        if removed_axis is not None:
            array = array.squeeze(removed_axis)
        if rgb:
            array = array[..., None].view(part) if isinstance(array, np.ndarray) else array
        # The standard's formula, in double precision as in nibabel.
        return array * slope + inter if is_scaled else array

    file_shape = tuple(int(n) for n in header.get_data_shape())[::-1]

    def read_whole() -> NDArray[Any]:
        with safety.open_stream(file, 0, compression) as stream:
            raw = safety.read_stream(stream, file, stored, file_shape, offset)
        out: NDArray[Any] = to_image_order(raw)
        return out

    def load(lazy: bool | None) -> Any:
        if compression is None and lazy is not False:
            raw = safety.map_raw(file, stored, file_shape, offset)
            if not is_scaled:
                return to_image_order(raw)
            if lazy:
                require("dask.array", "Reading with lazy=True")
                return to_image_order(backends.chunked(raw, "auto"))
        if lazy:
            return None
        if is_scaled:
            safety.check_memory(file, safety.count_bytes(geometry.shape, dtype))
        return read_whole()

    attrs = {"nifti": attrs} if attrs else {}
    return Source("nifti", geometry, dtype, attrs, load, coords=coords, identity=identity)


def _stored_scaling(header: Any) -> dict[str, float]:
    """Return slope and intercept as attrs, which writing uses again; empty if they are trivial."""
    slope, inter = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0 or (slope, inter) == (1.0, 0.0):
        return {}
    return {"scl_slope": slope} | ({"scl_inter": inter} if np.isfinite(inter) else {})


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
    header, data, _, geometry = make_header(image, version=version, frame=frame)
    dtype = np.dtype(data.dtype if header.get_data_dtype().names else header.get_data_dtype())
    with path.open("wb") as raw, _compressor(path, raw) as file:
        header.write_to(file)
        file.write(b"\0" * (int(header["vox_offset"]) - file.tell()))
        write_voxels(file.write, data, dtype, progress)
    for file, text in zip(sidecars(path), gradient_texts(geometry, image.coords), strict=True):
        if text is not None:
            file.write_text(text, encoding="ascii")


def _compressor(path: Path, raw: Any) -> Any:
    """Return a stream that compresses into a file, by the suffix of its name."""
    name = path.name.lower()
    if name.endswith(".gz"):
        return gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0)
    if name.endswith(".bz2"):
        return bz2.BZ2File(raw, "wb")
    return safety.zstd_module().ZstdFile(raw, "wb") if name.endswith(".zst") else nullcontext(raw)


class Nifti(Format):
    """NIfTI-1 and NIfTI-2."""

    name, suffixes = "nifti", (".nii", ".nii.gz", ".nii.bz2", ".nii.zst")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a header has NIfTI's magic; of a pair, that of the other file is read."""
        name = path.name.lower()
        if name.endswith((".nii.bz2", ".nii.zst")):
            return bool(head)
        if name.endswith((".img", ".img.gz")):
            header = _header_and_voxels(path).header
            if not header.is_file():
                return False
            with safety.open_stream(header, 0, _compression(header)) as stream:
                head = safety.read_up_to(stream, 544)
        return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in (
            b"n+2\0\r\n\x1a\n",
            b"ni2\0\r\n\x1a\n",
        )

    def held_coords(
        self,
        image: Any,
        *,
        version: Literal[1, 2] = 1,
        frame: str | None = None,
        **options: Any,  # noqa: ARG002
    ) -> Collection[str]:
        """Return the coordinates that the header, ``.bval`` and ``.bvec`` can hold."""
        try:
            parts = make_header(image, version=version, frame=frame)
        except SpatialDuckError:  # `write` raises it
            return list(image.coords)
        texts = gradient_texts(parts.geometry, image.coords)
        beside = zip(("b_value", "gradient_direction"), texts, strict=True)
        coords, g, _ = _header_coords(parts.header, header_geometry(parts.header))
        back = SpatialArray(np.broadcast_to(np.uint8(0), g.shape), g, coords=coords).coords
        labels = [sorted(map(str, each.get("component", ()))) for each in (image.coords, back)]
        axes = ("frequency_encoding", "phase_encoding", "slice_encoding")
        return [
            *[name for name, text in beside if text is not None],
            *same_coords(image, back, set(image.coords) & set(back)),
            # Encodings are held whatever their indices, and components in any order.
            *[name for name in axes if name in back],
            *(["component"] if labels[0] and labels[0] == labels[1] else []),
        ]

    def parts(self, path: Path) -> Sequence[Path]:
        """Return the b-values and directions beside a file."""
        return [file for file in sidecars(path) if file.is_file()]


FORMAT = Nifti()
