"""NRRD: ``.nrrd`` and ``.nhdr``; headers are parsed by pynrrd.

The slowest axis is first, ``(t, z, y, x)``; plain axes are where the file has them. ``space`` is
the frame (LPS, RAS, LAS; others are converted to LPS), ``space directions`` are the axis vectors,
shear included, and ``none`` makes a plain axis. ``...-time`` spaces have a fourth, time coordinate.
Without ``space`` the frame is unspecified. If the frame is known and there are no ``space units``,
lengths are in mm, as for other programs. Axes have the names in ``labels`` if these are x, y and z,
else x, y, z in the file's order. Positions are of voxel centres; ``axis mins`` of ``cell``
centering, which are corners, are converted to centres.

Raw voxels are memory-mapped; gzip, bzip2, hex and text are read into memory, and so are voxels in
several files (``data file: LIST`` or a pattern), with ``lazy=True`` one block for each file.
Options of `read`: ``data_anywhere=True`` allows ``data file`` outside the header's folder.
Options of `write`: ``compress=True`` writes gzip. The key ``spatial_duck_frame`` holds the frame of
worlds of fewer than three axes, for which NRRD has none.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, SpatialDuckError
from spatial_duck.io import _safety as safety
from spatial_duck.io._components import components_in_frame
from spatial_duck.io._data_files import RawFiles, check_count, names_of_pattern, voxel_loader
from spatial_duck.io._format import Format
from spatial_duck.io._identity import Identity
from spatial_duck.io._layout import Rules, check_dtype, fit_layout
from spatial_duck.io._publishing import data_name
from spatial_duck.io._source import Source, write_voxels
from spatial_duck.io.nrrd._header import (
    CODES,
    WRITTEN,
    Header,
    header_bytes,
    header_fields,
    header_geometry,
    parse_header,
)
from spatial_duck.io.nrrd._kinds import (
    axis_kinds,
    gradient_fields,
    header_coords,
    written_coords,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

__all__ = ["FORMAT", "RULES"]

RULES = Rules(
    "NRRD", ("LPS", "RAS", "LAS"), plain="keep", max_plain=12, plain_names=None, unspecified=True,
    moment=True,
)  # fmt: skip

_ENCODINGS = {"raw": None, "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = ("ascii", "text", "txt", "hex")
#: Most bytes that one number in text, and what separates it from the next, may take.
_MAX_TEXT = 64


def open_source(path: str | os.PathLike[str], *, data_anywhere: bool = False) -> Source:
    """Open an NRRD file; see `spatial_duck.read`."""
    file = Path(path)
    header = parse_header(file)
    fields = header.fields
    kind = str(fields.get("type", "")).lower()
    if kind not in CODES:
        raise FormatError(f"{file}: type must be a number type of NRRD, got {kind[:80]!r}")
    dtype = _stored_type(file, fields, CODES[kind])
    sizes = [int(n) for n in np.atleast_1d(fields.get("sizes", []))]
    if not sizes or len(sizes) != fields.get("dimension") or min(sizes) < 1:
        raise FormatError(
            f"{file}: sizes must hold a positive int for each dimension, got {sizes} for "
            f"dimension {fields.get('dimension')}"
        )
    shape = tuple(reversed(sizes))
    try:
        geometry = header_geometry(file, fields, sizes)
    except (GeometryError, TypeError, ValueError) as error:
        raise FormatError(f"{file}: its geometry is not valid: {error}") from error
    names = _data_files(file, header)
    found = [safety.confine_path(file, name, anywhere=data_anywhere) for name in names]
    identity = Identity.of(found)
    load = _make_loader(file, header, dtype, shape, found)
    others = dict(header.others)
    coords = header_coords(fields, others, geometry)
    attrs = {"nrrd": others} if others else {}
    return Source("nrrd", geometry, dtype, attrs, load, coords=coords, identity=identity)


def _stored_type(path: Path, fields: dict[str, Any], code: str) -> np.dtype[Any]:
    endian = str(fields.get("endian", "")).lower()
    in_text = str(fields.get("encoding", "")).lower() in ("ascii", "text", "txt")
    if code.endswith("1") or in_text:
        return np.dtype("<" + code)
    if endian not in ("big", "little"):
        raise FormatError(f"{path}: endian must be 'big' or 'little', got {endian[:80]!r}")
    return np.dtype((">" if endian == "big" else "<") + code)


def _make_loader(
    path: Path, header: Header, dtype: np.dtype[Any], shape: tuple[int, ...], files: list[Path]
) -> Callable[[bool | None], Any]:
    """Return the function that reads the voxels, after checking where they are."""
    fields = header.fields
    found = files or [path]
    encoding = str(fields.get("encoding", "")).lower()
    if encoding not in _ENCODINGS and encoding not in _TEXT:
        raise FormatError(f"{path}: encoding {encoding[:80]!r} is not one of NRRD's")
    compression = _ENCODINGS.get(encoding)
    lines = int(fields.get("line skip", fields.get("lineskip", 0)))
    skip = int(fields.get("byte skip", fields.get("byteskip", 0)))
    if lines < 0 or skip < -1 or (skip == -1 and encoding in _TEXT):
        raise FormatError(f"{path}: line skip {lines} and byte skip {skip} are not valid")
    offsets = [_skip_lines(data, 0 if files else header.end, lines) for data in found]
    if encoding in _TEXT:
        if len(found) > 1:
            raise FormatError(
                f"{path}: voxels in {encoding} are read from one file, not from {len(found)}; "
                "convert it with unu or pynrrd"
            )
        return lambda _lazy: _read_text_voxels(found[0], offsets[0] + skip, encoding, dtype, shape)
    if compression is None:
        offsets = [-1 if skip == -1 else offset + skip for offset in offsets]
        skip = 0
    return voxel_loader(RawFiles(tuple(found), dtype, shape, tuple(offsets), compression, skip))


def _data_files(path: Path, header: Header) -> list[str]:
    """Return the names of the files that hold the voxels; none if they follow the header."""
    text = str(header.fields.get("data file", header.fields.get("datafile", "")))
    words = text.split()
    if not words:
        return []
    if words[0] == "LIST":
        names, dimension = header.file_names, words[1] if words[1:] else None
    elif "%" in text and len(words) > 1:
        names, numbered = names_of_pattern(path, words)
        dimension = None if numbered is None else str(numbered)
    else:
        return [text]
    if dimension is not None and not (dimension.isdecimal() and len(dimension) < 3):
        raise FormatError(f"{path}: the data file's dimension must be an int, got {dimension!r}")
    sizes = [int(n) for n in header.fields["sizes"]]
    check_count(path, sizes, len(names), None if dimension is None else int(dimension))
    return names


def _skip_lines(path: Path, offset: int, lines: int) -> int:
    """Return the position after some lines of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(lines):
            if not file.readline():
                raise FormatError(f"{path}: the file has fewer lines than its line skip {lines}")
        return file.tell()


def _read_text_voxels(
    path: Path, offset: int, encoding: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    count = safety.count_bytes(shape, np.dtype("u1"))
    # A number in text takes at least two characters, and a byte in hex is two digits.
    safety.check_size(path, 2 * count - 1, offset)
    text = safety.read_file(path, offset + _MAX_TEXT * (count + 1))[offset:]
    try:
        if encoding == "hex":
            values = np.frombuffer(bytes.fromhex(text.decode("ascii")), dtype)
        else:
            values = np.array(text.replace(b",", b" ").split()).astype(dtype)
    except (ValueError, OverflowError) as error:
        raise FormatError(f"{path}: its voxels in {encoding} are not valid: {error}") from error
    if values.size != count:
        raise FormatError(f"{path}: expected {count} voxels in {encoding}, got {values.size}")
    return values.reshape(shape).copy()


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    frame: str | None = None,
    compress: bool = False,
) -> None:
    """Write an NRRD file; see `spatial_duck.write`."""
    write_nrrd(path, image, progress, frame=frame, compress=compress)


def write_nrrd(
    path: Path,
    image: Any,
    progress: Any,
    *,
    frame: str | None,
    compress: bool,
    sampled_kind: str = "space",
) -> None:
    """Write an NRRD file whose axes of space have the kind `sampled_kind`."""
    image = _convert_components(image, frame)
    # Time is NRRD's fourth coordinate, so that an image with time needs three space axes.
    data, g = fit_layout(image, RULES, frame=frame, minimum=3 if "t" in image.dims else 0)
    if 0 in g.shape or g.ndim == 0:
        raise FormatError(f"NRRD cannot hold an image without voxels or axes, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), tuple(WRITTEN), RULES.name)
    separate = path.suffix.lower() == ".nhdr"
    kinds = axis_kinds(g, image.coords)
    fields = header_fields(g, dtype, kinds, sampled_kind) | {
        "encoding": "gzip" if compress else "raw"
    }
    if separate:
        fields["data file"] = data_name(path, ".raw.gz" if compress else ".raw")
    keys = dict(image.attrs.get("nrrd") or {}) | gradient_fields(g, image.coords)
    head = header_bytes(g, fields, keys)
    if separate:
        path.write_bytes(head)
    with (path.with_name(fields["data file"]) if separate else path).open("wb") as raw:
        if not separate:
            raw.write(head)
        if compress:
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                write_voxels(packed.write, data, dtype, progress)
        else:
            write_voxels(raw.write, data, dtype, progress)


def _convert_components(image: Any, frame: str | None) -> Any:
    """Return an image with its vectors in the frame of the file."""
    wanted = image.frame or frame
    if wanted is None or "component" not in image.coords:
        return image
    return components_in_frame(image, wanted if wanted in RULES.frames else "LPS")


class Nrrd(Format):
    """NRRD, in one file or with its voxels in another."""

    name, suffixes = "nrrd", (".nrrd", ".nhdr")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file begins as an NRRD header."""
        return head.startswith(b"NRRD000")

    def held_coords(
        self,
        image: Any,
        *,
        frame: str | None = None,
        **options: Any,  # noqa: ARG002
    ) -> Collection[str]:
        """Return the coordinates that kinds of axes and keys of a diffusion series can hold."""
        try:
            converted = _convert_components(image, frame)
            g = fit_layout(
                converted, RULES, frame=frame, minimum=3 if "t" in image.dims else 0
            ).geometry
        except SpatialDuckError:  # `write` raises it
            return list(image.coords)
        return written_coords(g, converted.coords)

    def parts(self, path: Path) -> list[Path]:
        """Return the data file that a ``.nhdr`` names, if there is exactly one."""
        if path.suffix.lower() != ".nhdr":
            return []
        names = _data_files(path, parse_header(path))
        return [safety.confine_path(path, names[0])] if len(names) == 1 else []


FORMAT = Nrrd()
