"""VTK's XML image data, ``.vti``.

Parsed without a library. Arrays are ``(z, y, x)``, with a last axis ``c`` for several components.
Point data have a voxel at each point, the first one at the origin; cell data have one at the centre
of each cell, half a voxel further. VTK has no frame and no units: they are written as the field
data ``spatial_duck_frame`` and ``spatial_duck_unit``, which other software ignores, and are
unspecified where these are absent. Coordinates are JSON in ``spatial_duck_coords``, axis names
other than x, y, z and c in ``spatial_duck_names``. ``Direction`` may be oblique or sheared; VTK
before 9.3 ignores it. Legacy ``.vtk`` files have no direction and are not read.

Raw appended voxels are memory-mapped; text, base64 and zlib are read into memory.
Options of `read`: ``name`` of one of several arrays. Options of `write`: ``name``,
``compress=True`` (zlib).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._axis_names import restore_names, standard_names
from spatial_duck.io._coords import coords_by_axis, coords_from_json, coords_to_json
from spatial_duck.io._format import Format
from spatial_duck.io._json import parse_record
from spatial_duck.io._layout import Rules, check_dtype, fit_layout
from spatial_duck.io._source import Source, reporter, slabs, write_voxels

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

__all__ = ["FORMAT", "RULES"]

RULES = Rules("VTI", (), plain="last", unspecified=True, time=False)

_VTK_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4",
    "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_TYPE_NAMES = {code: name for name, code in _VTK_TYPES.items()}
_FRAME, _UNIT = "spatial_duck_frame", "spatial_duck_unit"
#: "1" where a single component is an axis of length 1.
_COMPONENTS = "spatial_duck_components"
#: JSON: coordinates, and the image's own names of axes.
_COORDS, _AXIS_NAMES = "spatial_duck_coords", "spatial_duck_names"
_FIELDS = (_FRAME, _UNIT, _COMPONENTS, _COORDS, _AXIS_NAMES)
_MAX_HEADER = 1 << 24
_MAX_STRING_BYTES = 1 << 12
#: Bytes of voxels that are compressed together.
_BLOCK_BYTES = 1 << 20
_APPENDED = re.compile(rb"<AppendedData[^>]*>")


def _parse(path: Path) -> tuple[Any, int | None]:
    """Return the XML tree without its appended data, and the byte at which these begin."""
    with path.open("rb") as file:
        text = file.read(_MAX_HEADER)
    tag = _APPENDED.search(text)
    start = None
    if tag is not None:
        underscore = text.find(b"_", tag.end())
        if underscore < 0:
            raise FormatError(f"{path}: its appended data do not begin with an underscore")
        start = underscore + 1
        text = text[: tag.end()] + b"</AppendedData></VTKFile>"
    elif path.stat().st_size > _MAX_HEADER:
        # Voxels in text may be long; the tree of them takes more again.
        text = safety.read_file(path, (safety.available_memory() or 1 << 40) // 8)
    if b"<!DOCTYPE" in text[:_MAX_HEADER] or b"<!ENTITY" in text[:_MAX_HEADER]:
        raise FormatError(f"{path}: its XML declares entities, which are not read")
    try:
        return ET.fromstring(text), start
    except (ET.ParseError, ValueError) as error:
        raise FormatError(f"{path}: its XML is not valid: {error}") from error


def _numbers(path: Path, element: Any, name: str, default: str, count: int) -> NDArray[Any]:
    """Return the numbers of an attribute."""
    text = str(element.get(name, default))
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        raise FormatError(f"{path}: {name} must hold {count} numbers, got {text[:80]!r}")
    return values


def open_source(path: str | os.PathLike[str], *, name: str | None = None) -> Source:
    """Open a ``.vti`` file; see `spatial_duck.read`."""
    file = Path(path)
    root, appended_start = _parse(file)
    grid = root.find("ImageData")
    pieces = [] if grid is None else grid.findall("Piece")
    if root.tag != "VTKFile" or grid is None or len(pieces) != 1:
        raise FormatError(f"{file}: expected a VTKFile of ImageData in one piece")
    array, is_cell_data = _choose_array(file, pieces[0], name)
    extent = _numbers(file, pieces[0], "Extent", grid.get("WholeExtent", ""), 6).reshape(3, 2)
    if (extent != np.round(extent)).any() or (extent[:, 1] < extent[:, 0]).any():
        raise FormatError(f"{file}: Extent must hold ranges of ints, got {extent.tolist()}")
    counts = (extent[:, 1] - extent[:, 0]).astype(np.int64) + 1
    first_index = extent[:, 0]
    if is_cell_data:
        first_index = first_index + np.where(counts > 1, 0.5, 0.0)
        counts = np.maximum(counts - 1, 1)
    try:
        components = int(array.get("NumberOfComponents", "1") or 1)
    except ValueError:
        components = 0
    code = _VTK_TYPES.get(array.get("type", ""))
    if code is None or components < 1:
        raise FormatError(
            f"{file}: the type must be one of {', '.join(_VTK_TYPES)}, of 1 component or more, got "
            f"{array.get('type')!r} of {array.get('NumberOfComponents')!r}"
        )
    dtype = np.dtype(_byte_order(root) + code)
    encoding = _read_encoding(file, root, appended_start)
    fields = {
        str(a.get("Name")): _read_string(file, encoding, a)
        for a in (*root.iter("DataArray"), *root.iter("Array"))
        if a.get("type") == "String" and a.get("Name") in _FIELDS
    }
    has_components = components > 1 or fields.get(_COMPONENTS) == "1"
    shape = tuple(int(n) for n in counts[::-1]) + ((components,) if has_components else ())
    try:
        geometry = _geometry(file, fields, grid, shape, first_index)
    except GeometryError as error:
        raise FormatError(f"{file}: its geometry is not valid: {error}") from error
    load = _loader(file, encoding, array, dtype, shape)
    coords, names = [
        parse_record(file, text) if (text := fields.get(field)) else None
        for field in (_COORDS, _AXIS_NAMES)
    ]
    coords = coords_from_json(file, coords, geometry)
    geometry = restore_names(file, geometry, names)
    return Source("vti", geometry, dtype, {}, load, coords=coords)


def _byte_order(root: Any) -> str:
    return ">" if root.get("byte_order") == "BigEndian" else "<"


def _choose_array(path: Path, piece: Any, name: str | None) -> tuple[Any, bool]:
    """Return the array to read, and whether it is cell data."""
    for tag in ("PointData", "CellData"):
        element = piece.find(tag)
        arrays = [] if element is None else element.findall("DataArray")
        wanted = name or (None if element is None else element.get("Scalars"))
        for array in arrays:
            if array.get("Name") == wanted or (wanted is None and len(arrays) == 1):
                return array, tag == "CellData"
    names = [str(array.get("Name"))[:40] for array in piece.iter("DataArray")][:20]
    raise FormatError(
        f"{path}: it holds no array {name!r}, but {names}" if name else
        f"{path}: it has no active scalars; choose one of its arrays, {names}, with name=..."
    )  # fmt: skip


def _geometry(
    path: Path,
    fields: dict[str, str],
    grid: Any,
    shape: tuple[int, ...],
    first_index: NDArray[Any],
) -> Geometry:
    spacing = _numbers(path, grid, "Spacing", "1 1 1", 3)
    origin = _numbers(path, grid, "Origin", "0 0 0", 3)
    direction = _numbers(path, grid, "Direction", "1 0 0 0 1 0 0 0 1", 9).reshape(3, 3)
    center = (origin + direction @ (spacing * first_index)).tolist()
    world = World(("x", "y", "z"), fields.get(_UNIT) or None, fields.get(_FRAME) or None)
    dims = ("z", "y", "x", "c")[: len(shape)]
    return Geometry(shape, spacing[::-1], center, direction[:, ::-1], dims, world=world)


class _Encoding(NamedTuple):
    """How a file stores its arrays.

    Attributes
    ----------
    header_dtype : dtype
        Type of the byte counts before each array.
    is_compressed : bool
        Whether arrays are compressed by zlib.
    appended_start : int or None
        The byte at which appended data begin.
    is_raw : bool
        Whether appended data are raw bytes; else base64.
    """

    header_dtype: np.dtype[Any]
    is_compressed: bool
    appended_start: int | None
    is_raw: bool


def _read_encoding(path: Path, root: Any, appended_start: int | None) -> _Encoding:
    compressor = root.get("compressor")
    if compressor not in (None, "", "vtkZLibDataCompressor"):
        raise FormatError(f"{path}: compression by {compressor} is not read; write it with zlib")
    code = "u8" if root.get("header_type") == "UInt64" else "u4"
    appended = root.find("AppendedData")
    is_raw = appended is not None and appended.get("encoding") == "raw"
    return _Encoding(np.dtype(_byte_order(root) + code), bool(compressor), appended_start, is_raw)


def _appended_offset(path: Path, encoding: _Encoding, array: Any) -> int:
    """Return the byte at which an appended array begins."""
    try:
        offset = int(array.get("offset", ""))
    except ValueError:
        offset = -1
    if encoding.appended_start is None or offset < 0:
        raise FormatError(f"{path}: an appended array needs an offset into appended data")
    return encoding.appended_start + offset


def _read_string(path: Path, encoding: _Encoding, array: Any) -> str:
    """Return the text of a string array; as ASCII, VTK writes the codes of its characters."""
    try:
        if array.get("format", "ascii") == "ascii":
            text = bytes([int(code) for code in (array.text or "").split()])
        else:
            text = bytes(_read_bytes(path, encoding, array, None))
        return text.split(b"\0")[0].decode("utf-8")
    except (FormatError, UnicodeDecodeError, ValueError):
        return ""


def _loader(
    path: Path, encoding: _Encoding, array: Any, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Any:
    """Check that the file can hold the voxels, and return the function that loads them."""
    array_format = array.get("format", "ascii")
    if array_format not in ("ascii", "binary", "appended"):
        raise FormatError(f"{path}: format {array_format!r} is not one of VTK's")
    n_bytes = safety.count_bytes(shape, dtype)
    is_appended = array_format == "appended"
    offset = _appended_offset(path, encoding, array) if is_appended else 0
    is_mapped = is_appended and encoding.is_raw and not encoding.is_compressed
    if is_mapped:
        _check_byte_count(path, offset, encoding.header_dtype, n_bytes)
        offset += encoding.header_dtype.itemsize
    # A number of 8 bytes may take one character of text.
    min_bytes = n_bytes // 8 if array_format == "ascii" else n_bytes
    safety.check_size(path, min_bytes, offset, "zlib" if encoding.is_compressed else None)

    def read() -> NDArray[Any]:
        safety.check_memory(path, n_bytes)
        if array_format == "ascii":
            return _parse_ascii(path, array.text or "", dtype, shape)
        data = _read_bytes(path, encoding, array, n_bytes)
        return np.frombuffer(data, dtype).reshape(shape).copy()

    def load(lazy: bool | None) -> Any:
        if is_mapped and lazy is not False:
            return safety.map_raw(path, dtype, shape, offset)
        return None if lazy else read()

    return load


def _check_byte_count(path: Path, offset: int, header_dtype: np.dtype[Any], n_bytes: int) -> None:
    """Check the byte count before a raw array."""
    size = header_dtype.itemsize
    safety.check_size(path, size, offset)
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read(size)
    declared = int(np.frombuffer(data, header_dtype)[0]) if len(data) == size else -1
    if declared != n_bytes:
        raise FormatError(
            f"{path}: expected {n_bytes:,} bytes of voxels, the array declares {declared:,}"
        )


def _parse_ascii(
    path: Path, text: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    values = text.split()
    count = math.prod(shape)
    if len(values) != count:
        raise FormatError(f"{path}: expected {count} values, got {len(values)}")
    try:
        return np.array(values).astype(dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise FormatError(f"{path}: its values are not valid: {error}") from error


def _read_bytes(
    path: Path, encoding: _Encoding, array: Any, n_bytes: int | None
) -> bytes | bytearray:
    """Return the decoded bytes of an array: `n_bytes` of them; None for those of a string."""
    limit = _MAX_STRING_BYTES if n_bytes is None else n_bytes
    if array.get("format") == "binary":
        text = re.sub(r"\s+", "", array.text or "").encode("ascii", "replace")
        data = _decode_base64(path, text, encoding, limit)
    else:
        with path.open("rb") as file:
            file.seek(_appended_offset(path, encoding, array))
            # Room for headers, and for what base64 and incompressible blocks add.
            data = file.read(2 * limit + (1 << 16))
        if not encoding.is_raw:
            text = re.sub(rb"\s+", b"", data.split(b"<")[0])
            data = _decode_base64(path, text, encoding, limit)
    return _decode_array(path, data, encoding, n_bytes)


def _decode_base64(path: Path, text: bytes, encoding: _Encoding, limit: int) -> bytes:
    """Return the bytes of a base64 array; a compressed array's header is encoded by itself."""
    size = encoding.header_dtype.itemsize
    try:
        if not encoding.is_compressed:
            return base64.b64decode(text[: -(-(size + limit) // 3) * 4] + b"==")
        start = base64.b64decode(text[: -(-size // 3) * 4])
        n_blocks = int(np.frombuffer(start[:size], encoding.header_dtype)[0])
        header_size = size * (3 + n_blocks)
        end = -(-header_size // 3) * 4
        header = base64.b64decode(text[:end])[:header_size]
        return header + base64.b64decode(text[end:] + b"==")
    except (binascii.Error, IndexError, ValueError) as error:
        raise FormatError(f"{path}: its base64 voxels are not valid: {error}") from error


def _decode_array(
    path: Path, data: bytes, encoding: _Encoding, n_bytes: int | None
) -> bytes | bytearray:
    """Check the header of an array against its bytes, and return these decompressed."""
    size, dtype = encoding.header_dtype.itemsize, encoding.header_dtype
    limit = _MAX_STRING_BYTES if n_bytes is None else n_bytes
    try:
        if not encoding.is_compressed:
            count = int(np.frombuffer(data[:size], dtype)[0])
            if count > limit or len(data) < size + count or count != (n_bytes or count):
                raise ValueError(f"expected {limit} bytes, got {count}")
            return data[size : size + count]
        n_blocks, block_size, last_size = (int(v) for v in np.frombuffer(data[: 3 * size], dtype))
        if not 0 <= n_blocks * size <= len(data) or (n_blocks - 1) * block_size > limit:
            raise ValueError(f"{n_blocks} blocks of {block_size} bytes are not {limit}")
        lengths = np.frombuffer(data[3 * size : (3 + n_blocks) * size], dtype)
        out, start = bytearray(), (3 + n_blocks) * size
        for n, length in enumerate(lengths):
            expected = last_size if n == n_blocks - 1 and last_size else block_size
            end = start + int(length)
            out += zlib.decompressobj().decompress(data[start:end], min(expected, limit))
            start = end
        if n_bytes is not None and len(out) != n_bytes:
            raise ValueError(f"expected {n_bytes} bytes, got {len(out)}")
        return out
    except (*safety.MALFORMED, zlib.error) as error:
        raise FormatError(f"{path}: its voxels are not valid: {error}") from error


# --- Writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    name: str = "values",
    compress: bool = False,
) -> None:
    """Write a ``.vti`` file; see `spatial_duck.write`."""
    image, names = _to_file_names(image)
    data, g = fit_layout(image, RULES, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"VTI cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), tuple(_TYPE_NAMES), "VTI")
    units = [u for u in g.unit if u is not None]
    if len(set(units)) > 1:
        g = g.to_unit(units[0])
    coords = coords_to_json(coords_by_axis(image, g.dims))
    fields = {
        _FRAME: g.frame,
        _UNIT: units[0] if units else None,
        _COMPONENTS: "1" if g.ndim > 3 and g.shape[3] == 1 else None,
        _COORDS: json.dumps(coords) if coords else None,
        _AXIS_NAMES: json.dumps(names) if names else None,
    }
    header = _xml_header(g, dtype, name, compress, fields)
    with path.open("wb") as file:
        file.write(header)
        if compress:
            _write_compressed(file, data, dtype, progress)
        else:
            file.write(struct.pack("<Q", safety.count_bytes(g.shape, dtype)))
            write_voxels(file.write, data, dtype, progress)
        file.write(b"\n  </AppendedData>\n</VTKFile>\n")


def _to_file_names(image: Any) -> tuple[Any, dict[str, Any]]:
    """Return an image with axes named x, y, z and c, and its own names for `restore_names`."""
    g, names = standard_names(image.geometry)
    plain = [i for i in range(g.ndim) if i not in g.sampled_axes]
    if len(plain) == 1 and not g.lost_axes and "c" not in g.dims and g.dims[plain[0]] is not None:
        names = names or {"dims": {}, "world": {}, "frame": g.frame}
        names["dims"]["c"] = g.dims[plain[0]]
        g = g.replace(dims=[*g.dims[: plain[0]], "c", *g.dims[plain[0] + 1 :]])
    return image.replace(geometry=g), names


def _xml_header(
    g: Geometry, dtype: np.dtype[Any], name: str, compress: bool, fields: Mapping[str, str | None]
) -> bytes:
    """Return the XML up to the first byte of appended data."""

    def numbers(values: Any) -> str:
        return " ".join(repr(float(v)) for v in values)

    root = ET.Element(
        "VTKFile", type="ImageData", version="1.0", byte_order="LittleEndian",
        header_type="UInt64",
    )  # fmt: skip
    if compress:
        root.set("compressor", "vtkZLibDataCompressor")
    extent = " ".join(f"0 {n - 1}" for n in g.shape[2::-1])
    grid = ET.SubElement(
        root, "ImageData", WholeExtent=extent, Origin=numbers(g.origin),
        Spacing=numbers(g.spacing[::-1]), Direction=numbers(g.direction[:, ::-1].ravel()),
    )  # fmt: skip
    field_data = ET.SubElement(grid, "FieldData")
    for field, value in fields.items():
        if value is not None:
            array = ET.SubElement(
                field_data, "Array", type="String", Name=field, NumberOfTuples="1", format="ascii"
            )
            array.text = " ".join(str(code) for code in (*value.encode(), 0))
    piece = ET.SubElement(grid, "Piece", Extent=extent)
    points = ET.SubElement(piece, "PointData", Scalars=name)
    ET.SubElement(
        points, "DataArray", type=_TYPE_NAMES[dtype.str[1:]], Name=name, format="appended",
        offset="0", NumberOfComponents=str(g.shape[3] if g.ndim > 3 else 1),
    )  # fmt: skip
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode").removesuffix("</VTKFile>")
    return (f'<?xml version="1.0"?>\n{text}  <AppendedData encoding="raw">\n   _').encode()


def _write_compressed(file: Any, data: Any, dtype: np.dtype[Any], progress: Any) -> None:
    """Write compressed blocks, and at last the header before them, with their lengths."""
    total = safety.count_bytes(data.shape, dtype)
    n_blocks = -(-total // _BLOCK_BYTES)
    report, done = reporter(progress), 0
    header_start = file.tell()
    file.write(bytes(8 * (3 + n_blocks)))
    lengths: list[int] = []
    pending = b""
    for slab in slabs(data, dtype):
        pending += slab.tobytes()
        while len(pending) >= _BLOCK_BYTES or (pending and done + len(pending) == total):
            block, pending = pending[:_BLOCK_BYTES], pending[_BLOCK_BYTES:]
            compressed = zlib.compress(block, 4)
            file.write(compressed)
            lengths.append(len(compressed))
            done += len(block)
            report(done, total)
    end = file.tell()
    file.seek(header_start)
    header = (n_blocks, _BLOCK_BYTES, total % _BLOCK_BYTES, *lengths)
    file.write(struct.pack(f"<{len(header)}Q", *header))
    file.seek(end)


class Vti(Format):
    """VTK's XML image data."""

    name, suffixes = "vti", (".vti",)

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file is of this format, by its first bytes."""
        return b"<VTKFile" in head and b"ImageData" in head

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the names of all coordinates: the field data hold any."""
        return list(image.coords)


FORMAT = Vti()
