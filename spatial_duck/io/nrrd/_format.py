"""NRRD: ``.nrrd`` and ``.nhdr``, through pynrrd's header.

Arrays are slowest first, ``(t, z, y, x)``, with plain axes where the file has them. ``space`` is
the frame (LPS, RAS, LAS; others are converted to LPS), ``space directions`` are the axis vectors,
shear included, and ``none`` makes a plain axis. ``...-time`` spaces have a fourth, time coordinate.
Without ``space`` the frame is unspecified. Where the frame is known and ``space units`` are not
there, lengths are mm, as every program reads them. Names are those in ``labels`` where these are
x, y and z, else x, y, z in the file's order. Positions are of voxel centres; ``axis mins`` of
``cell`` centering are corners, and become centres.

Raw voxels are mapped; gzip, bzip2, hex and text are read into memory.
Options of `read`: ``data_anywhere=True`` allows ``data file`` outside the header's folder.
Options of `write`: ``compress=True`` writes gzip. A key of our own, ``spatial_duck_frame``, holds
the frame of worlds of fewer than three axes, for which NRRD has none.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.io import _safety as safety
from spatial_duck.io._layout import Rules, checked_dtype, fitted
from spatial_duck.io._source import Source, delayed_array, write_voxels
from spatial_duck.io.nrrd._header import (
    CODES,
    OWN,
    WRITTEN,
    header_bytes,
    header_fields,
    header_geometry,
    parse_header,
)

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

__all__ = ["RULES", "open_source", "write_image"]

RULES = Rules(
    "NRRD", ("LPS", "RAS", "LAS"), plain="keep", max_plain=12, plain_names=None, unspecified=True,
    moment=True,
)  # fmt: skip

_ENCODINGS = {"raw": None, "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}
_TEXT = ("ascii", "text", "txt", "hex")


def open_source(path: str | os.PathLike[str], *, data_anywhere: bool = False) -> Source:
    """Open an NRRD file; see `spatial_duck.read`."""
    file = Path(path)
    header, end = parse_header(file)
    kind = str(header.get("type", "")).lower()
    if kind not in CODES:
        raise FormatError(f"{file}: type must be a number type of NRRD, got {kind[:80]!r}")
    endian = ">" if str(header.get("endian", "little")).lower() == "big" else "<"
    dtype = np.dtype(endian + CODES[kind])
    sizes = [int(n) for n in np.atleast_1d(header.get("sizes", []))]
    if not sizes or len(sizes) != header.get("dimension") or min(sizes) < 1:
        raise FormatError(
            f"{file}: sizes must hold a positive int for each dimension, got {sizes} for "
            f"dimension {header.get('dimension')}"
        )
    shape = tuple(reversed(sizes))
    try:
        geometry = header_geometry(file, header, sizes)
    except (GeometryError, TypeError, ValueError) as error:
        raise FormatError(f"{file}: its geometry is not valid: {error}") from error
    load = _loader(file, header, end, dtype, shape, data_anywhere)
    attrs = {k: v for k, v in header.items() if k not in OWN}
    return Source("nrrd", geometry, dtype, {"nrrd": attrs} if attrs else {}, load)


def _loader(
    path: Path,
    header: dict[str, Any],
    end: int,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    anywhere: bool,
) -> Any:
    """Check where the voxels are, and return the function that reads them."""
    name = header.get("data file", header.get("datafile"))
    if name is not None and (str(name).upper().startswith("LIST") or "%" in str(name)):
        raise FormatError(
            f"{path}: voxels in several files (data file: {str(name)[:80]}) are not read; "
            "convert it to one file with unu or pynrrd"
        )
    data = path if name is None else safety.confined(path, str(name), anywhere=anywhere)
    encoding = str(header.get("encoding", "")).lower()
    if encoding not in _ENCODINGS and encoding not in _TEXT:
        raise FormatError(f"{path}: encoding {encoding[:80]!r} is not one of NRRD's")
    compression = _ENCODINGS.get(encoding)
    needed = safety.count_bytes(shape, dtype)
    lines = int(header.get("line skip", header.get("lineskip", 0)))
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise FormatError(f"{path}: line skip {lines} and byte skip {skip} are not valid")
    offset = _after_lines(data, end if name is None else 0, lines)
    if encoding in _TEXT:
        return lambda _lazy: _in_text(data, offset + skip, encoding, dtype, shape)
    if compression is None:
        offset = data.stat().st_size - needed if skip == -1 else offset + skip
        skip = 0
    safety.check_size(data, needed, offset, compression)

    def read() -> NDArray[Any]:
        with safety.open_stream(data, offset, compression) as stream:
            if skip:
                stream.read(skip)
            return safety.read_stream(stream, data, dtype, shape)

    def load(lazy: bool | None) -> Any:
        if compression is None and lazy is not False:
            return safety.map_raw(data, dtype, shape, offset)
        return delayed_array(read, shape, dtype) if lazy else read()

    return load


def _after_lines(path: Path, offset: int, lines: int) -> int:
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(lines):
            if not file.readline():
                raise FormatError(f"{path}: line skip {lines} is more than the file has lines")
        return file.tell()


def _in_text(
    path: Path, offset: int, encoding: str, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    count = safety.count_bytes(shape, np.dtype("u1"))
    # A number in text takes two characters at least, and two digits make a byte in hex.
    safety.check_size(path, 2 * count - 1, offset)
    with path.open("rb") as file:
        file.seek(offset)
        text = file.read()
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
    overwrite: bool = False,
    progress: Any = None,
    frame: str | None = None,
    compress: bool = False,
) -> None:
    """Write an NRRD file; see `spatial_duck.write`."""
    # NRRD's fourth coordinate is time: with fewer space axes it would take the place of one.
    data, g = fitted(image, RULES, frame=frame, minimum=3 if "t" in image.dims else 0)
    if 0 in g.shape or g.ndim == 0:
        raise FormatError(f"NRRD cannot hold an image without voxels or axes, got shape {g.shape}")
    dtype = checked_dtype(np.dtype(data.dtype), tuple(WRITTEN), RULES.name)
    separate = path.suffix.lower() == ".nhdr"
    raw_name = path.stem + (".raw.gz" if compress else ".raw")
    if separate and not overwrite and (path.parent / raw_name).exists():
        raise FileExistsError(f"{path.parent / raw_name} is there already; use overwrite=True")
    fields = header_fields(g, dtype) | {"encoding": "gzip" if compress else "raw"}
    if separate:
        fields["data file"] = raw_name
    head = header_bytes(g, fields, dict(image.attrs.get("nrrd") or {}))
    with safety.published(path, overwrite=overwrite) as fresh:
        body = fresh.with_name(fresh.name + ".voxels") if separate else fresh
        if separate:
            fresh.write_bytes(head)
        with body.open("wb") as raw:
            if not separate:
                raw.write(head)
            if compress:
                with gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed:
                    write_voxels(packed.write, data, dtype, progress)
            else:
                write_voxels(raw.write, data, dtype, progress)
        if separate:
            body.replace(path.parent / raw_name)
