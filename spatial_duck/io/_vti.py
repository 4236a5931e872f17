"""VTK's XML image data, ``.vti``.

Own parser; no library is needed. Arrays are ``(z, y, x)``, and ``c`` for several components. The
origin is point 0, voxels are the points; cell data lie half a voxel on. VTK has no frame and no
units: they are kept in the field data ``spatial_duck_frame`` and ``spatial_duck_unit``, which other
software skips, and are unspecified where these are absent; coordinates are JSON in
``spatial_duck_coords``, and axes' names that are not x, y, z and c in ``spatial_duck_names``.
``Direction`` holds obliqueness and shear; VTK before 9.3 does not read it. Legacy ``.vtk`` files
have no direction and are not read.

Raw appended voxels are mapped; text, base64 and zlib are read into memory.
Options of `read`: ``name`` of one of several arrays. Options of `write`: ``name``,
``compress=True`` (zlib).
"""

from __future__ import annotations

import base64
import binascii
import json
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
from spatial_duck.io._axis_facts import coords_by_axis, coords_from_json, coords_to_json
from spatial_duck.io._axis_names import restore_names, standard_names
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

_TYPES = {
    "Int8": "i1", "UInt8": "u1", "Int16": "i2", "UInt16": "u2", "Int32": "i4", "UInt32": "u4",
    "Int64": "i8", "UInt64": "u8", "Float32": "f4", "Float64": "f8",
}  # fmt: skip
_NAMES = {code: name for name, code in _TYPES.items()}
_FIELDS = ("spatial_duck_frame", "spatial_duck_unit")
#: Says of one component that it is an axis of length 1.
_PLAIN = "spatial_duck_components"
#: What axes carry, and what they are called, in JSON.
_COORDS, _AXES = "spatial_duck_coords", "spatial_duck_names"
_MAX_HEADER = 1 << 24
_APPENDED = re.compile(rb"<AppendedData[^>]*>")


def _parse(path: Path) -> tuple[Any, int | None]:
    """Return the XML tree without its appended data, and where these begin."""
    with path.open("rb") as file:
        text = file.read(_MAX_HEADER)
    found = _APPENDED.search(text)
    start = None
    if found is not None:
        mark = text.find(b"_", found.end())
        if mark < 0:
            raise FormatError(f"{path}: its appended data do not begin with an underscore")
        start = mark + 1
        text = text[: found.end()] + b"</AppendedData></VTKFile>"
    elif path.stat().st_size > _MAX_HEADER:
        text = path.read_bytes()
    if b"<!DOCTYPE" in text[:_MAX_HEADER] or b"<!ENTITY" in text[:_MAX_HEADER]:
        raise FormatError(f"{path}: its XML declares entities, which are not read")
    try:
        return ET.fromstring(text), start
    except (ET.ParseError, ValueError) as error:
        raise FormatError(f"{path}: its XML is not valid: {error}") from error


def _floats(path: Path, element: Any, name: str, default: str, count: int) -> NDArray[Any]:
    words = str(element.get(name, default)).split()
    try:
        values = np.array([float(w) for w in words])
    except ValueError:
        values = np.empty(0)
    if len(values) != count:
        raise FormatError(f"{path}: {name} must hold {count} numbers, got {' '.join(words)[:80]!r}")
    return values


def open_source(path: str | os.PathLike[str], *, name: str | None = None) -> Source:
    """Open a ``.vti`` file; see `spatial_duck.read`."""
    file = Path(path)
    root, start = _parse(file)
    grid = root.find("ImageData")
    pieces = [] if grid is None else grid.findall("Piece")
    if root.tag != "VTKFile" or grid is None or len(pieces) != 1:
        raise FormatError(f"{file}: expected a VTKFile of ImageData in one piece")
    array, cells = _choose_array(file, pieces[0], name)
    extent = _floats(file, pieces[0], "Extent", grid.get("WholeExtent", ""), 6).reshape(3, 2)
    if (extent != np.round(extent)).any() or (extent[:, 1] < extent[:, 0]).any():
        raise FormatError(f"{file}: Extent must hold ranges of ints, got {extent.tolist()}")
    counts = (extent[:, 1] - extent[:, 0]).astype(np.int64) + 1
    first = extent[:, 0]
    if cells:
        first = first + np.where(counts > 1, 0.5, 0.0)
        counts = np.maximum(counts - 1, 1)
    try:
        components = int(array.get("NumberOfComponents", "1") or 1)
    except ValueError:
        components = 0
    code = _TYPES.get(array.get("type", ""))
    if code is None or components < 1:
        raise FormatError(
            f"{file}: the type must be one of {', '.join(_TYPES)}, of 1 component or more, got "
            f"{array.get('type')!r} of {array.get('NumberOfComponents')!r}"
        )
    big = root.get("byte_order") == "BigEndian"
    dtype = np.dtype((">" if big else "<") + code)
    layout = _layout(file, root, start)
    words = {
        str(a.get("Name")): _string(file, layout, a)
        for a in (*root.iter("DataArray"), *root.iter("Array"))
        if a.get("type") == "String" and a.get("Name") in (*_FIELDS, _PLAIN, _COORDS, _AXES)
    }
    plain = components > 1 or words.get(_PLAIN) == "1"
    shape = tuple(int(n) for n in counts[::-1]) + ((components,) if plain else ())
    try:
        geometry = _geometry(file, words, grid, shape, first)
    except GeometryError as error:
        raise FormatError(f"{file}: its geometry is not valid: {error}") from error
    load = _loader(file, layout, array, dtype, shape)
    kept = {n: parse_record(file, t) if (t := words.get(n)) else None for n in (_COORDS, _AXES)}
    coords = coords_from_json(file, kept[_COORDS], geometry)
    geometry = restore_names(file, geometry, kept[_AXES])
    return Source("vti", geometry, dtype, {}, load, coords=coords)


def _choose_array(path: Path, piece: Any, name: str | None) -> tuple[Any, bool]:
    for tag in ("PointData", "CellData"):
        place = piece.find(tag)
        arrays = [] if place is None else place.findall("DataArray")
        wanted = name or (place.get("Scalars") if place is not None else None)
        for array in arrays:
            if array.get("Name") == wanted or (wanted is None and len(arrays) == 1):
                return array, tag == "CellData"
    raise FormatError(
        f"{path}: it holds no array {name!r}" if name else
        f"{path}: it holds no active scalars; name an array with name="
    )  # fmt: skip


def _geometry(
    path: Path,
    words: dict[str, str],
    grid: Any,
    shape: tuple[int, ...],
    first: NDArray[Any],
) -> Geometry:
    spacing = _floats(path, grid, "Spacing", "1 1 1", 3)
    origin = _floats(path, grid, "Origin", "0 0 0", 3)
    matrix = _floats(path, grid, "Direction", "1 0 0 0 1 0 0 0 1", 9).reshape(3, 3)
    frame, unit = (words.get(field) or None for field in _FIELDS)
    dims = ("z", "y", "x", *(["c"] if len(shape) > 3 else []))
    return Geometry(
        shape, spacing[::-1], (origin + matrix @ (spacing * first)).tolist(), matrix[:, ::-1], dims,
        world=World(("x", "y", "z"), unit, frame),
    )  # fmt: skip


class _Layout(NamedTuple):
    """How a file holds its arrays: type of their headers, compression, place of appended data."""

    head: np.dtype[Any]
    packed: bool
    start: int | None
    raw: bool


def _layout(path: Path, root: Any, start: int | None) -> _Layout:
    compressor = root.get("compressor")
    if compressor not in (None, "", "vtkZLibDataCompressor"):
        raise FormatError(f"{path}: compression by {compressor} is not read; write it with zlib")
    code = "u8" if root.get("header_type") == "UInt64" else "u4"
    head = np.dtype((">" if root.get("byte_order") == "BigEndian" else "<") + code)
    appended = root.find("AppendedData")
    raw = appended is not None and appended.get("encoding") == "raw"
    return _Layout(head, bool(compressor), start, raw)


def _place(path: Path, layout: _Layout, array: Any) -> int:
    """Return where an appended array begins."""
    try:
        offset = int(array.get("offset", ""))
    except ValueError:
        offset = -1
    if layout.start is None or offset < 0:
        raise FormatError(f"{path}: an appended array needs an offset into appended data")
    return layout.start + offset


def _string(path: Path, layout: _Layout, array: Any) -> str:
    """Return the word of a string array; in text, VTK lists its characters' codes."""
    try:
        if array.get("format", "ascii") == "ascii":
            codes = bytes([int(w) for w in (array.text or "").split()])
        else:
            codes = bytes(_content(path, layout, array, None))
        return codes.split(b"\0")[0].decode("utf-8")
    except (FormatError, UnicodeDecodeError, ValueError):
        return ""


def _loader(
    path: Path, layout: _Layout, array: Any, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> Any:
    """Check where the voxels are, and return the function that reads them."""
    form = array.get("format", "ascii")
    if form not in ("ascii", "binary", "appended"):
        raise FormatError(f"{path}: format {form!r} is not one of VTK's")
    needed = safety.count_bytes(shape, dtype)
    where = _place(path, layout, array) if form == "appended" else 0
    mapped = form == "appended" and layout.raw and not layout.packed
    if mapped:
        _check_count(path, where, layout.head, needed)
        where += layout.head.itemsize
    # A number of 8 bytes may take one character of text.
    least = needed // 8 if form == "ascii" else needed
    safety.check_size(path, least, where, "zlib" if layout.packed else None)

    def read() -> NDArray[Any]:
        safety.check_memory(path, needed)
        if form == "ascii":
            return _ascii(path, array.text or "", dtype, shape)
        return np.frombuffer(_content(path, layout, array, needed), dtype).reshape(shape).copy()

    def load(lazy: bool | None) -> Any:
        if mapped and lazy is not False:
            return safety.map_raw(path, dtype, shape, where)
        return None if lazy else read()

    return load


def _check_count(path: Path, where: int, head: np.dtype[Any], needed: int) -> None:
    safety.check_size(path, head.itemsize, where)
    with path.open("rb") as file:
        file.seek(where)
        data = file.read(head.itemsize)
    found = int(np.frombuffer(data, head)[0]) if len(data) == head.itemsize else -1
    if found != needed:
        raise FormatError(f"{path}: expected {needed:,} bytes of voxels, the array has {found:,}")


def _ascii(path: Path, text: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    words = text.split()
    count = safety.count_bytes(shape, np.dtype("u1"))
    if len(words) != count:
        raise FormatError(f"{path}: expected {count} values, got {len(words)}")
    try:
        return np.array(words).astype(dtype).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise FormatError(f"{path}: its values are not valid: {error}") from error


#: Bytes that a string array may have.
_WORD = 1 << 12


def _content(path: Path, layout: _Layout, array: Any, needed: int | None) -> bytes | bytearray:
    """Return the bytes of a binary array, of `needed` bytes or, where None, of a few."""
    form = array.get("format")
    limit = _WORD if needed is None else needed
    if form == "binary":
        text = re.sub(r"\s+", "", array.text or "").encode("ascii", "replace")
        data = _from_base64(path, text, layout, limit)
    else:
        with path.open("rb") as file:
            file.seek(_place(path, layout, array))
            # Headers, and what base64 and incompressible blocks add.
            data = file.read(2 * limit + (1 << 16))
        if not layout.raw:
            data = _from_base64(path, re.sub(rb"\s+", b"", data.split(b"<")[0]), layout, limit)
    return _unpack(path, data, layout, needed)


def _from_base64(path: Path, text: bytes, layout: _Layout, limit: int) -> bytes:
    """Return the bytes of a base64 array: its header is encoded apart where it is compressed."""
    size = layout.head.itemsize
    try:
        if not layout.packed:
            return base64.b64decode(text[: -(-(size + limit) // 3) * 4] + b"==")
        first = base64.b64decode(text[: -(-size // 3) * 4])
        count = int(np.frombuffer(first[:size], layout.head)[0])
        cut = -(-size * (3 + count) // 3) * 4
        return base64.b64decode(text[:cut])[: size * (3 + count)] + base64.b64decode(
            text[cut:] + b"=="
        )
    except (binascii.Error, IndexError, ValueError) as error:
        raise FormatError(f"{path}: its base64 voxels are not valid: {error}") from error


def _unpack(path: Path, data: bytes, layout: _Layout, needed: int | None) -> bytes | bytearray:
    """Check an array's header against its bytes, and decompress these."""
    size, head = layout.head.itemsize, layout.head
    limit = _WORD if needed is None else needed
    try:
        if not layout.packed:
            count = int(np.frombuffer(data[:size], head)[0])
            if count > limit or len(data) < size + count or count != (needed or count):
                raise ValueError(f"expected {limit} bytes, got {count}")
            return data[size : size + count]
        blocks, block, last = (int(v) for v in np.frombuffer(data[: 3 * size], head))
        if not 0 <= blocks * size <= len(data) or (blocks - 1) * block > limit:
            raise ValueError(f"{blocks} blocks of {block} bytes are not {limit}")
        lengths = np.frombuffer(data[3 * size : (3 + blocks) * size], head)
        out, at = bytearray(), (3 + blocks) * size
        for n, length in enumerate(lengths):
            full = last if n == blocks - 1 and last else block
            part = zlib.decompressobj().decompress(data[at : at + int(length)], min(full, limit))
            out += part
            at += int(length)
        if needed is not None and len(out) != needed:
            raise ValueError(f"expected {needed} bytes, got {len(out)}")
        return out
    except (*safety.MALFORMED, zlib.error) as error:
        raise FormatError(f"{path}: its voxels are not valid: {error}") from error


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    name: str = "values",
    compress: bool = False,
) -> None:
    """Write a ``.vti`` file; see `spatial_duck.write`."""
    image, names = _with_file_names(image)
    data, g = fit_layout(image, RULES, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"VTI cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), tuple(_NAMES), "VTI")
    units = [u for u in g.unit if u is not None]
    if len(set(units)) > 1:
        g = g.to_unit(units[0])
    facts = coords_to_json(coords_by_axis(image, g.dims))
    words = {_FIELDS[0]: g.frame, _FIELDS[1]: units[0] if units else None}
    words |= {_PLAIN: "1" if g.ndim > 3 and g.shape[3] == 1 else None}
    words |= {_COORDS: json.dumps(facts) if facts else None}
    words |= {_AXES: json.dumps(names) if names else None}
    head = _head(g, dtype, name, compress, words)
    with path.open("wb") as file:
        file.write(head)
        if compress:
            _write_blocks(file, data, dtype, progress)
        else:
            file.write(struct.pack("<Q", safety.count_bytes(g.shape, dtype)))
            write_voxels(file.write, data, dtype, progress)
        file.write(b"\n  </AppendedData>\n</VTKFile>\n")


def _with_file_names(image: Any) -> tuple[Any, dict[str, Any]]:
    """Return an image with axes named x, y, z and c, and what it calls them."""
    g, names = standard_names(image.geometry)
    plain = [i for i in range(g.ndim) if i not in g.sampled_axes]
    if len(plain) == 1 and not g.lost_axes and "c" not in g.dims and g.dims[plain[0]] is not None:
        names = names or {"dims": {}, "world": {}, "frame": g.frame}
        names["dims"]["c"] = g.dims[plain[0]]
        g = g.replace(dims=[*g.dims[: plain[0]], "c", *g.dims[plain[0] + 1 :]])
    return image.replace(geometry=g), names


def _head(
    g: Geometry, dtype: np.dtype[Any], name: str, compress: bool, texts: Mapping[str, str | None]
) -> bytes:
    def words(values: Any) -> str:
        return " ".join(repr(float(v)) for v in values)

    root = ET.Element(
        "VTKFile", type="ImageData", version="1.0", byte_order="LittleEndian",
        header_type="UInt64",
    )  # fmt: skip
    if compress:
        root.set("compressor", "vtkZLibDataCompressor")
    extent = " ".join(f"0 {n - 1}" for n in g.shape[2::-1])
    grid = ET.SubElement(
        root, "ImageData", WholeExtent=extent, Origin=words(g.origin),
        Spacing=words(g.spacing[::-1]), Direction=words(g.direction[:, ::-1].ravel()),
    )  # fmt: skip
    fields = ET.SubElement(grid, "FieldData")
    for field, word in texts.items():
        if word is not None:
            array = ET.SubElement(
                fields, "Array", type="String", Name=field, NumberOfTuples="1", format="ascii"
            )
            array.text = " ".join(str(code) for code in (*word.encode(), 0))
    piece = ET.SubElement(grid, "Piece", Extent=extent)
    points = ET.SubElement(piece, "PointData", Scalars=name)
    ET.SubElement(
        points, "DataArray", type=_NAMES[dtype.str[1:]], Name=name, format="appended", offset="0",
        NumberOfComponents=str(g.shape[3] if g.ndim > 3 else 1),
    )  # fmt: skip
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode").removesuffix("</VTKFile>")
    return (f'<?xml version="1.0"?>\n{text}  <AppendedData encoding="raw">\n   _').encode()


def _write_blocks(file: Any, data: Any, dtype: np.dtype[Any], progress: Any) -> None:
    """Write compressed blocks, and then their lengths before them."""
    size = 1 << 20
    total = safety.count_bytes(data.shape, dtype)
    count = -(-total // size)
    report, done = reporter(progress), 0
    table = file.tell()
    file.write(bytes(8 * (3 + count)))
    lengths: list[int] = []
    waiting = b""
    for slab in slabs(data, dtype):
        waiting += slab.tobytes()
        while len(waiting) >= size or (waiting and done + len(waiting) == total):
            block, waiting = waiting[:size], waiting[size:]
            packed = zlib.compress(block, 4)
            file.write(packed)
            lengths.append(len(packed))
            done += len(block)
            report(done, total)
    end = file.tell()
    file.seek(table)
    file.write(struct.pack(f"<{3 + count}Q", count, size, total % size, *lengths))
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
        """Return all: the field data hold any."""
        return list(image.coords)


FORMAT = Vti()
