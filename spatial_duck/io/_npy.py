"""NumPy's ``.npy`` with a side-car: ``name.npy`` and ``name.npy.json``.

The side-car holds what `spatial_duck.io._json` documents, so that any image comes back exactly,
plain, unnamed and lost axes included. Voxels are mapped; nothing is unpickled. A ``.npy`` without a
side-car has no geometry, and is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io._json import from_record, parsed, to_record
from spatial_duck.io._source import Source, write_voxels

if TYPE_CHECKING:
    import os

__all__ = ["open_source", "write_image"]


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
    record = parsed(beside, beside.read_bytes()[: 1 << 25])
    shape, fortran, dtype, offset = _header(file)
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
    return Source("npy", geometry, dtype, dict(attrs) if isinstance(attrs, dict) else {}, load)


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


def write_image(path: Path, image: Any, *, overwrite: bool = False, progress: Any = None) -> None:
    """Write a ``.npy`` file and its side-car; see `spatial_duck.write`."""
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "biufc":
        raise FormatError(f".npy is written of numbers, got {dtype} voxels; use image.astype(...)")
    beside = sidecar(path)
    if beside.exists() and not overwrite:
        raise FileExistsError(f"{beside} is there already; replace it with overwrite=True")
    header = {"descr": npy_format.dtype_to_descr(dtype), "fortran_order": False,
              "shape": tuple(int(n) for n in image.shape)}  # fmt: skip
    with safety.published(path, overwrite=overwrite) as fresh:
        with fresh.open("wb") as file:
            npy_format.write_array_header_1_0(file, header)
            write_voxels(file.write, image.data, dtype, progress)
        text = json.dumps(to_record(image.geometry, image.attrs), indent=1)
        waiting = fresh.with_name(beside.name)
        waiting.write_text(text + "\n", encoding="utf-8")
        waiting.replace(beside)
