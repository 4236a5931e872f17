"""MetaImage: ``.mha`` and ``.mhd``, as ITK reads and writes them.

Own parser of the text header; no library is needed. Positions are LPS in mm, of voxel centres.
``TransformMatrix`` lists the axis vectors one after the other, so that it is the transpose of
ITK's row-major direction. ``AnatomicalOrientation`` names where axes come *from* and says nothing
that the matrix does not. Arrays are slowest first, ``(t, z, y, x, c)``, the fourth axis is time and
``ElementNumberOfChannels`` is the plain axis ``c``. Two fields of our own, that other software
ignores, say what MetaImage cannot: ``SpatialDuckTimeUnit``, and ``SpatialDuckChannels = 1`` for a
plain axis of length 1.

Names are UTF-8. Voxels in several files (``ElementDataFile = LIST``, or a pattern) are read into
memory, with ``lazy=True`` a Dask array of a block a file.

Options of `read`: ``data_anywhere=True`` allows ``ElementDataFile`` outside the header's folder.
Options of `write`: ``frame`` says what an unspecified frame is; ``compress=True`` deflates.
"""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._components import vectors_in_lps
from spatial_duck.io._data_files import RawFiles, check_count, names_of_pattern, voxel_loader
from spatial_duck.io._format import Format
from spatial_duck.io._identity import Identity
from spatial_duck.io._layout import Rules, check_dtype, fit_layout
from spatial_duck.io._publishing import data_name
from spatial_duck.io._source import Source, write_voxels

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

__all__ = ["FORMAT", "RULES"]

RULES = Rules("MetaImage", ("LPS",), unit=("mm",), time_unit=("s", "ms"), plain="last")

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4",
    "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
_NAMES = {code: name for name, code in _TYPES.items() if name not in ("MET_LONG", "MET_ULONG")}

_MAX_HEADER = 1 << 20
#: Fields that are represented by the geometry, the data type or the layout of the file.
_OWN = frozenset(
    """ObjectType NDims DimSize ElementType ElementSpacing ElementSize Offset Origin Position
    TransformMatrix Rotation Orientation CenterOfRotation ElementNumberOfChannels ElementDataFile
    BinaryData BinaryDataByteOrderMSB ElementByteOrderMSB CompressedData CompressedDataSize
    HeaderSize AnatomicalOrientation SpatialDuckTimeUnit SpatialDuckChannels""".split()
)
_AXES = ("x", "y", "z", "t")


def _parse(path: Path) -> tuple[dict[str, str], list[str], int]:
    """Return the header's fields, the files that it lists, and the offset at which it ends."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "ElementDataFile" not in fields:
            line = file.readline(_MAX_HEADER)
            if not line or file.tell() > _MAX_HEADER:
                raise FormatError(f"{path}: the MetaImage header has no ElementDataFile")
            key, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
            if equals:
                fields[key.strip()] = value.strip()
            elif line.strip():
                raise FormatError(
                    f"{path}: expected 'key = value' in the MetaImage header, got {line[:80]!r}"
                )
        listed = []
        if fields["ElementDataFile"].split()[:1] == ["LIST"]:
            listed = file.read(_MAX_HEADER).decode("utf-8", "surrogateescape").split("\n")
        return fields, [line.strip() for line in listed if line.strip()], file.tell()


def _first(fields: dict[str, str], *names: str) -> str | None:
    return next((fields[name] for name in names if name in fields), None)


def _numbers(path: Path, fields: dict[str, str], count: int, *names: str) -> list[float] | None:
    text = _first(fields, *names)
    if text is None:
        return None
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count:
        raise FormatError(f"{path}: {names[0]} must hold {count} numbers, got {text[:80]!r}")
    return values


def _integer(path: Path, fields: dict[str, str], name: str, default: int, low: int = 0) -> int:
    text = fields.get(name, str(default))
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if value < low:
        raise FormatError(f"{path}: {name} must be an int of at least {low}, got {text[:80]!r}")
    return value


def _flag(fields: dict[str, str], *names: str) -> bool:
    return (_first(fields, *names) or "").lower() in ("true", "1")


def open_source(path: str | os.PathLike[str], *, data_anywhere: bool = False) -> Source:
    """Open a MetaImage file; see `spatial_duck.read`."""
    header = Path(path)
    fields, listed, end = _parse(header)
    ndim = _integer(header, fields, "NDims", 3, 1)
    if ndim > len(_AXES):
        raise FormatError(f"{header}: NDims must be 1 to 4, got {ndim}")
    sizes = _numbers(header, fields, ndim, "DimSize")
    if sizes is None or any(n < 1 or not n.is_integer() for n in sizes):
        raise FormatError(f"{header}: DimSize must hold positive ints, got {sizes}")
    channels = _integer(header, fields, "ElementNumberOfChannels", 1, 1)
    kind = fields.get("ElementType", "").removesuffix("_ARRAY")
    if kind not in _TYPES:
        raise FormatError(
            f"{header}: ElementType must be one of {', '.join(_TYPES)}, got {kind[:80]!r}"
        )
    big = _flag(fields, "BinaryDataByteOrderMSB", "ElementByteOrderMSB")
    dtype = np.dtype((">" if big else "<") + _TYPES[kind])
    plain = channels > 1 or "SpatialDuckChannels" in fields
    shape = tuple(int(n) for n in reversed(sizes)) + ((channels,) if plain else ())
    try:
        geometry = _geometry(header, fields, shape, ndim)
    except GeometryError as error:
        raise FormatError(f"{header}: its geometry is not valid: {error}") from error
    names = _data_files(header, fields["ElementDataFile"], listed, [int(n) for n in sizes])
    paths = [safety.confine_path(header, name, anywhere=data_anywhere) for name in names]
    identity = Identity.of(paths)
    load = _loader(header, fields, paths, end, dtype, shape)
    attrs = {k: v for k, v in fields.items() if k not in _OWN}
    return Source(
        "metaimage", geometry, dtype, {"metaimage": attrs} if attrs else {}, load, identity=identity
    )


def _geometry(path: Path, fields: dict[str, str], shape: tuple[int, ...], ndim: int) -> Geometry:
    spacing = _numbers(path, fields, ndim, "ElementSpacing", "ElementSize") or [1.0] * ndim
    origin = _numbers(path, fields, ndim, "Offset", "Origin", "Position")
    rows = _numbers(path, fields, ndim**2, "TransformMatrix", "Rotation", "Orientation")
    # Each row of the header is one axis's vector: the transpose has the axes as columns.
    matrix = np.eye(ndim) if rows is None else np.array(rows).reshape(ndim, ndim).T
    dims: tuple[str, ...] = tuple(reversed(_AXES[:ndim]))
    if len(shape) > ndim:
        dims += ("c",)
    time = fields.get("SpatialDuckTimeUnit")
    world = World(_AXES[:ndim], {n: time if n == "t" else "mm" for n in _AXES[:ndim]}, "LPS")
    norms = np.linalg.norm(matrix, axis=0)
    if not (abs(norms - 1) < 1e-3).all():
        raise FormatError(f"{path}: TransformMatrix must have rows of length 1, got {rows}")
    return Geometry(shape, spacing[::-1], origin, matrix[:, ::-1], dims, world=world)


def _data_files(header: Path, text: str, listed: list[str], sizes: list[int]) -> list[str]:
    """Return the names of the files that hold the voxels; none where they follow the header."""
    words = text.split()
    if text.upper() == "LOCAL":
        return []
    if words[:1] == ["LIST"]:
        names, dimension = listed, _int_or_none(words[1]) if words[1:] else None
    elif "%" in text and len(words) > 1:
        names, dimension = names_of_pattern(header, words)
    else:
        return [text]
    # MetaIO reads one slice from each file if the dimension is out of range.
    in_range = dimension is not None and 0 < dimension <= len(sizes)
    check_count(header, sizes, len(names), dimension if in_range else None)
    return names


def _int_or_none(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 3 else None


def _loader(
    header: Path,
    fields: dict[str, str],
    paths: list[Path],
    end: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
) -> Callable[[bool | None], Any]:
    """Check where the voxels are, and return the function that reads them."""
    if fields.get("BinaryData", "True").lower() == "false":
        raise FormatError(f"{header}: voxels in text are not read; convert it with SimpleITK")
    compression = "zlib" if _flag(fields, "CompressedData") else None
    skip = _integer(header, fields, "HeaderSize", 0, -1)
    if skip == -1 and compression:
        raise FormatError(f"{header}: HeaderSize -1 needs voxels that are not compressed")
    # -1: the voxels are the last bytes of the file.
    offset = skip if skip == -1 else skip + (0 if paths else end)
    found = tuple(paths or [header])
    return voxel_loader(RawFiles(found, dtype, shape, (offset,) * len(found), compression))


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    frame: str | None = None,
    compress: bool = False,
) -> None:
    """Write a MetaImage file; see `spatial_duck.write`."""
    image = vectors_in_lps(image, frame)
    # The fourth axis is time: with fewer space axes it would take the place of one.
    data, g = fit_layout(image, RULES, frame=frame, minimum=3 if "t" in image.world.axes else 1)
    dtype = check_dtype(np.dtype(data.dtype), tuple(_NAMES), RULES.name)
    if 0 in g.shape:
        raise FormatError(f"MetaImage cannot hold an image without voxels, got shape {g.shape}")
    separate = path.suffix.lower() == ".mhd"
    raw_name = data_name(path, ".zraw" if compress else ".raw") if separate else "LOCAL"

    def header(size: int) -> bytes:
        kept = {k: str(v) for k, v in (image.attrs.get("metaimage") or {}).items()}
        fields = _header(g, dtype, kept, size if compress else None)
        fields["ElementDataFile"] = raw_name
        text = "".join(f"{k} = {v}\n" for k, v in fields.items())
        return text.encode("utf-8", "surrogateescape")

    body = path.with_name(raw_name if separate else ".voxels")
    with body.open("wb") as file:
        size = _write_body(file, data, dtype, compress, progress)
    with path.open("wb") as file:
        file.write(header(size))
        if not separate:
            with body.open("rb") as voxels:
                shutil.copyfileobj(voxels, file, 1 << 24)
            body.unlink()


def _write_body(file: Any, data: Any, dtype: np.dtype[Any], compress: bool, progress: Any) -> int:
    if compress:
        deflate = zlib.compressobj(6)
        write_voxels(lambda b: file.write(deflate.compress(b)), data, dtype, progress)
        file.write(deflate.flush())
    else:
        write_voxels(file.write, data, dtype, progress)
    return int(file.tell())


def _header(
    g: Geometry, dtype: np.dtype[Any], kept: dict[str, str], size: int | None
) -> dict[str, str]:
    n = len(g.sampled_axes)

    def words(values: Any) -> str:
        return " ".join(repr(float(v)) for v in values)

    channels = g.shape[-1] if g.ndim > n else 1
    fields = {
        "ObjectType": "Image",
        "NDims": str(n),
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False" if size is None else "True",
    }
    if size is not None:
        fields["CompressedDataSize"] = str(size)
    fields |= {
        "TransformMatrix": words(g.direction[:, ::-1].T.ravel()),
        "Offset": words(g.origin),
        "CenterOfRotation": words([0] * n),
        "ElementSpacing": words(g.spacing[::-1]),
        "DimSize": " ".join(str(m) for m in g.shape[:n][::-1]),
    }
    fields |= {k: v for k, v in kept.items() if "\n" not in v and k not in _OWN}
    if "t" in g.dims and (unit := g.unit[g.world.axes.index("t")]) is not None:
        fields["SpatialDuckTimeUnit"] = unit
    if channels > 1:
        fields["ElementNumberOfChannels"] = str(channels)
    elif g.ndim > n:
        fields["SpatialDuckChannels"] = "1"
    fields["ElementType"] = _NAMES[dtype.str[1:]]
    return fields


class MetaImage(Format):
    """MetaImage, in one file or with its voxels in another."""

    name, suffixes = "metaimage", (".mha", ".mhd")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file is of this format, by its first bytes."""
        text = head[:512].replace(b" ", b"")
        return text.startswith((b"ObjectType=Image", b"NDims=")) or (
            b"NDims=" in text and path.suffix.lower() in (".mha", ".mhd")
        )

    def parts(self, path: Path) -> list[Path]:
        """Return the data file that a header names."""
        name = _parse(path)[0]["ElementDataFile"]
        return [] if name.upper() == "LOCAL" else [safety.confine_path(path, name)]


FORMAT = MetaImage()
