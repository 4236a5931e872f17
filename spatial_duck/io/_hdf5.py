"""HDF5: a dataset with its geometry in attributes, through h5py.

The dataset (``image`` unless named otherwise) has these attributes, so that any software can read
and write them; world = origin + direction @ (spacing * index), of voxel centres:

==============  ==========================  ===================================================
attribute       type                        meaning
==============  ==========================  ===================================================
``dims``        strings, one an array axis  names of the axes, empty for none
``sampled``     ints                        the array axes that move through the world
``spacing``     floats, one a sampled axis  distance of voxel centres
``origin``      floats, one a world axis    centre of the first voxel
``direction``   floats (world, sampled)     unit vectors of the sampled axes, as columns
``world_axes``  strings                     names of the world axes
``world_units`` strings                     their units, empty for unspecified
``world_types`` strings                     space, time or other; absent where names say that
``frame``       string                      such as LPS; empty for unspecified
``lost``        string                      JSON: array axis to the function that lost its positions
``attrs``       string                      JSON: free metadata
``coords``      string                      JSON: coordinates, as `coords_to_json` writes them
==============  ==========================  ===================================================

Contiguous datasets are mapped; others are read, or with ``lazy=True`` a Dask array of their chunks.
Options of `read`: ``dataset``, the path of one of several. Options of `write`: ``dataset``;
``chunks`` (as for OME-Zarr, or True for h5py's choice) and ``compress=True`` (gzip, with
checksums).
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io._coords import coords_by_axis, coords_from_json, coords_to_json
from spatial_duck.io._format import Format
from spatial_duck.io._hdf5_guard import (
    HDF5_SIGNATURE,
    check_chunks,
    h5py_module,
    open_guarded,
)
from spatial_duck.io._json import from_record, parse_record, to_record
from spatial_duck.io._option_values import axis_lengths
from spatial_duck.io._source import Source, reporter, slab_keys, slabs
from spatial_duck.io.ngff._chunk_layout import default_chunks

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["FORMAT", "FileArray"]

_REQUIRED = ("dims", "sampled", "spacing", "origin", "direction", "world_axes")
#: Attributes that hold JSON.
_JSON_ATTRS = ("lost", "attrs", "coords")
#: Longest text that is stored in an attribute itself; the object header has 64 KiB.
_MAX_INLINE_BYTES = 60_000


class FileArray:
    """A dataset of a file, opened for each read, so that it can be pickled and used by threads."""

    def __init__(self, path: Path, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.path, self.name, self.shape, self.dtype = path, name, shape, dtype
        self.ndim = len(shape)

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""
        try:
            with h5py_module().File(self.path, "r") as file:
                check_chunks(self.path, file[self.name], key)
                return file[self.name][key]
        except FormatError:
            raise
        except (*safety.MALFORMED, OSError, RuntimeError) as error:
            raise FormatError(f"{self.path}: its voxels cannot be read: {error}") from error


def open_source(path: str | os.PathLike[str], *, dataset: str | None = None) -> Source:
    """Open a dataset of an HDF5 file; see `spatial_duck.read`."""
    file_path = Path(path)
    h5py = h5py_module()
    try:
        with open_guarded(file_path) as file:
            image = _find_dataset(h5py, file_path, file, dataset)
            record = _read_attributes(file_path, image)
            shape, dtype = tuple(int(n) for n in image.shape), np.dtype(image.dtype)
            offset, chunks, name = image.id.get_offset(), image.chunks, str(image.name)
            stored_bytes = int(image.id.get_storage_size())
            is_contiguous = not (image.compression or chunks) and offset is not None
    except (*safety.MALFORMED, OSError, RuntimeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{file_path}: it is not a valid HDF5 file: {error}") from error
    if dtype.kind not in "biufc":
        raise FormatError(f"{file_path}: voxels must be numbers, got {dtype}")
    geometry = from_record(file_path, record, shape)
    n_bytes = safety.count_bytes(shape, dtype)

    def load(lazy: bool | None) -> Any:
        if lazy is not False and is_contiguous and stored_bytes == n_bytes:
            return safety.map_raw(file_path, dtype, shape, offset)
        array = FileArray(file_path, name, shape, dtype)
        if lazy:
            da = require("dask.array", "Reading with lazy=True")
            safety.check_chunk_count(file_path, shape, chunks or shape)
            return da.from_array(array, chunks=chunks or "auto", meta=np.empty(0, dtype))
        safety.check_memory(file_path, n_bytes)
        return np.asarray(array[()])

    attrs = record.get("attrs")
    attrs = dict(attrs) if isinstance(attrs, dict) else {}
    coords = coords_from_json(file_path, record.get("coords"), geometry)
    return Source("hdf5", geometry, dtype, attrs, load, coords=coords)


def _check_name(path: Path, name: Any) -> None:
    parts = (
        name.removeprefix("/").split("/") if isinstance(name, str) and "\0" not in name else [""]
    )
    if any(part in ("", ".") for part in parts):
        raise FormatError(
            f"{path.name}: dataset must be the name of a dataset, such as 'image' or 'scan/ct', "
            f"got {name!r}"
        )


def _find_dataset(h5py: Any, path: Path, file: Any, name: str | None) -> Any:
    if name is not None:
        _check_name(path, name)
        if not isinstance(file.get(name), h5py.Dataset):
            raise FormatError(f"{path}: there is no dataset {name!r}")
        return file[name]
    names: list[str] = []

    def visit(item_name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and all(a in item.attrs for a in _REQUIRED):
            names.append(item_name)

    file.visititems(visit)
    if len(names) != 1:
        what = (
            f"several images: {', '.join(names)}"
            if names
            else f"no dataset with the attributes {', '.join(_REQUIRED)}"
        )
        raise FormatError(f"{path}: it holds {what}; name one with dataset=...")
    return file[names[0]]


def _read_attributes(path: Path, dataset: Any) -> dict[str, Any]:
    """Return the attributes as a record of `spatial_duck.io._json`."""
    attrs = dataset.attrs
    missing = [name for name in _REQUIRED if name not in attrs]
    if missing:
        raise FormatError(f"{path}: the dataset has no attributes {', '.join(missing)}")

    def strings(name: str, n: int) -> list[str | None]:
        values = [_text(v) for v in np.atleast_1d(attrs[name])]
        if len(values) != n:
            raise FormatError(f"{path}: the attribute {name!r} must hold {n} strings, got {values}")
        return [value or None for value in values]

    n_world = len(np.atleast_1d(attrs["world_axes"]))
    has_units, has_types = "world_units" in attrs, "world_types" in attrs
    return {
        "version": 1,
        "shape": list(dataset.shape),
        "dims": strings("dims", len(dataset.shape)),
        "sampled": np.atleast_1d(attrs["sampled"]).tolist(),
        "spacing": np.atleast_1d(attrs["spacing"]).tolist(),
        "origin": np.atleast_1d(attrs["origin"]).tolist(),
        "direction": np.asarray(attrs["direction"], np.float64),
        "world": {
            "axes": strings("world_axes", n_world),
            "units": strings("world_units", n_world) if has_units else [None] * n_world,
            "frame": strings("frame", 1)[0] if "frame" in attrs else None,
            "types": strings("world_types", n_world) if has_types else None,
        },
        **{n: parse_record(path, _text(attrs[n])) if n in attrs else {} for n in _JSON_ATTRS},
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    dataset: str = "image",
    chunks: bool | int | Mapping[str, int] | Sequence[int] | None = None,
    compress: bool = False,
) -> None:
    """Write an HDF5 file; see `spatial_duck.write`."""
    dtype = np.dtype(image.dtype)
    if dtype.kind not in "biufc":
        raise FormatError(f"HDF5 is written of numbers, got {dtype} voxels; use image.astype(...)")
    if dtype.kind == "c":  # h5py loses the byte order of long complex types
        dtype = dtype.newbyteorder("=")
    coords = coords_to_json(coords_by_axis(image, image.dims))
    record = to_record(image.geometry, image.attrs, coords)
    shape = tuple(int(n) for n in image.shape)
    _check_name(path, dataset)
    options: dict[str, Any] = {}
    if chunks is not None and not isinstance(chunks, bool):
        chunks = axis_lengths("chunks", chunks, image.geometry, default_chunks(image.geometry))
    if (chunks or compress) and shape and 0 not in shape:
        options["chunks"] = chunks or True
    if compress and "chunks" in options:
        options |= {"compression": "gzip", "compression_opts": 4, "fletcher32": True}
    report, done = reporter(progress), 0
    with _created(path) as file:
        target = file.create_dataset(dataset, shape, dtype, **options)
        _set_attributes(target, record)
        data = image.data
        keys = slab_keys(tuple(data.shape), dtype, backends.chunks(data))
        for key, slab in zip(keys, slabs(data, dtype), strict=True):
            target[key] = slab
            done += slab.nbytes
            report(done, dtype.itemsize * int(np.prod(shape, dtype=object)))


@contextmanager
def _created(path: Path) -> Iterator[Any]:
    """Create a file, and close it: what is then left to write may not fit on the disk."""
    file = h5py_module().File(path, "w")
    try:
        yield file
    finally:
        try:
            file.close()
        except RuntimeError as error:
            raise OSError(f"{path}: HDF5 cannot write it: {error}") from error


def _set_attributes(target: Any, record: dict[str, Any]) -> None:
    world = record["world"]
    target.attrs["dims"] = _fixed_strings(record["dims"])
    target.attrs["sampled"] = np.array(record["sampled"], np.int64)
    for name in ("spacing", "origin"):
        target.attrs[name] = np.array(record[name], np.float64)
    direction = np.array(record["direction"], np.float64)
    target.attrs["direction"] = direction.reshape(len(world["axes"]), len(record["sampled"]))
    target.attrs["world_axes"] = _fixed_strings(world["axes"])
    target.attrs["world_units"] = _fixed_strings(world["units"])
    if "types" in world:
        target.attrs["world_types"] = _fixed_strings(world["types"])
    target.attrs["frame"] = np.bytes_(world["frame"] or "")
    for name in _JSON_ATTRS:
        if record[name]:
            text = json.dumps(record[name])
            target.attrs[name] = text if len(text) > _MAX_INLINE_BYTES else np.bytes_(text)


def _fixed_strings(values: Any) -> Any:
    """Return strings of fixed length, which are stored without a heap.

    Strings of variable length lie in a global heap of the file, and a broken heap keeps libhdf5 in
    an endless loop; see `spatial_duck.io._hdf5_guard`.
    """
    return np.array([str(v or "").encode() for v in values], dtype="S")


class Hdf5(Format):
    """A dataset of an HDF5 file."""

    name, suffixes = "hdf5", (".h5", ".hdf5")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a file is of this format, by its first bytes."""
        return head.startswith(HDF5_SIGNATURE)

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the names of all coordinates: the attribute ``coords`` holds any."""
        return list(image.coords)


FORMAT = Hdf5()
