"""NumPy's ``.npy`` with a side-car: ``name.npy`` and ``name.npy.json``.

The side-car holds what `spatial_duck.io._json` documents, so that any image comes back exactly,
plain, unnamed and lost axes and what they carry included. Voxels are mapped; nothing is unpickled.
A ``.npy`` without a side-car has no geometry, and is refused.

The two belong together by a key, which the side-car names and the padding of the ``.npy`` header
spells, so that a side-car is never read with other voxels than its own. A ``.npy`` that another
program has written over ours has no key, and takes the geometry that is there.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io._coords import coords_by_axis, coords_from_json, coords_to_json
from spatial_duck.io._format import Format
from spatial_duck.io._json import MAX_BYTES, from_record, parse_record, to_record
from spatial_duck.io._publishing import leftover_parts
from spatial_duck.io._source import Source, write_voxels

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

__all__ = ["FORMAT"]

#: Bits of the key that a file and its side-car share.
_KEY_BITS = 64


def sidecar(path: Path) -> Path:
    """Return where the geometry of a ``.npy`` file is kept."""
    return path.with_name(path.name + ".json")


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a ``.npy`` file and its side-car; see `spatial_duck.read`."""
    file = Path(path)
    beside = sidecar(file)
    if not beside.is_file():
        raise FormatError(
            f"{file}: its geometry, {beside.name}, is not there; a bare array is read with "
            "numpy.load, and gets its geometry by SpatialArray(data, spacing=...)"
        )
    shape, fortran, dtype, offset = _header(file)
    record = _record(file, _key(file, offset))
    geometry = from_record(beside, record, shape)
    safety.check_size(file, safety.count_bytes(shape, dtype), offset)

    def load(lazy: bool | None) -> Any:
        mapped = safety.map_raw(file, dtype, shape[::-1] if fortran else shape, offset)
        mapped = mapped.transpose() if fortran else mapped
        if lazy is False:
            safety.check_memory(file, safety.count_bytes(shape, dtype))
            return np.array(mapped)
        return mapped

    attrs = record.get("attrs")
    kept = dict(attrs) if isinstance(attrs, dict) else {}
    coords = coords_from_json(beside, record.get("coords"), geometry)
    return Source("npy", geometry, dtype, kept, load, coords=coords)


def _record(file: Path, key: str | None) -> dict[str, Any]:
    """Return the record in the side-car of a file, which must be its own."""
    beside = sidecar(file)
    record = parse_record(beside, safety.read_file(beside, MAX_BYTES))
    if key is None or key == record.get("key"):
        return record
    for part in leftover_parts(file, beside.name):
        record = parse_record(part, safety.read_file(part, MAX_BYTES))
        if key == record.get("key"):
            return record
    raise FormatError(
        f"{beside} belongs to another file than {file.name}: one was copied without the other. "
        "Write the image again, or copy both"
    )


def _header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    try:
        with path.open("rb") as file:
            version = npy_format.read_magic(file)
            read = {(1, 0): npy_format.read_array_header_1_0,
                    (2, 0): npy_format.read_array_header_2_0}.get(version)  # fmt: skip
            if read is None:
                raise FormatError(f"version {version} is not read")
            shape, fortran, dtype = read(file)
            offset = file.tell()
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # NumPy evaluates the header, which raises many kinds
        raise FormatError(f"{path}: its header is not valid: {error}") from error
    if dtype.kind not in "biufc":
        raise FormatError(f"{path}: voxels must be numbers, got {dtype}")
    return tuple(int(n) for n in shape), bool(fortran), dtype, offset


def write_image(path: Path, image: Any, *, progress: Any = None) -> None:
    """Write a ``.npy`` file and its side-car; see `spatial_duck.write`."""
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "biufc":
        raise FormatError(f".npy is written of numbers, got {dtype} voxels; use image.astype(...)")
    key = secrets.token_hex(_KEY_BITS // 8)
    with path.open("wb") as file:
        file.write(_header_with_key(dtype, tuple(int(n) for n in image.shape), key))
        write_voxels(file.write, image.data, dtype, progress)
    coords = coords_to_json(coords_by_axis(image, image.dims))
    record = to_record(image.geometry, image.attrs, coords) | {"key": key}
    sidecar(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def _header_with_key(dtype: np.dtype[Any], shape: tuple[int, ...], key: str) -> bytes:
    """Return a header whose padding spells a key: spaces are 0 and tabs are 1."""
    said = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    padding = f"{int(key, 16):0{_KEY_BITS}b}".replace("0", " ").replace("1", "\t")
    text = repr(said) + " "
    text += " " * (-(10 + len(text) + _KEY_BITS + 1) % 64) + padding + "\n"
    return npy_format.magic(1, 0) + len(text).to_bytes(2, "little") + text.encode("latin-1")


def _key(path: Path, offset: int) -> str | None:
    """Return the key in the padding of a header; None in a file of another writer."""
    with path.open("rb") as file:
        file.seek(max(0, offset - _KEY_BITS - 1))
        padding = file.read(_KEY_BITS)
    if b"\t" not in padding or padding.strip(b" \t"):
        return None
    bits = padding.replace(b" ", b"0").replace(b"\t", b"1")
    return f"{int(bits, 2):0{_KEY_BITS // 4}x}"


class Npy(Format):
    """NumPy's ``.npy`` with its geometry in a side-car."""

    name, suffixes = "npy", (".npy",)

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file begins with NumPy's magic bytes."""
        return head.startswith(b"\x93NUMPY")

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the names of all coordinates: the side-car holds any."""
        return list(image.coords)

    def parts(self, path: Path) -> list[Path]:
        """Return the side-car."""
        return [sidecar(path)]


FORMAT = Npy()
