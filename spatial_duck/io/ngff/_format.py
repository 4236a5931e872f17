"""OME-Zarr 0.1 to 0.6: reading; the options of `read` and `write`; the attributes of a group.

A level is opened as a lazy view of its Zarr array; nothing is read. Arrays are ``(t, c, z, y, x)``.
``scale`` and ``translation`` give the position of voxel **centres**. Up to 0.5 the standard has no
direction, and no version has an order of world axes. These, and the exact numbers of every level,
are stored beside it in the group's attributes under ``"spatial_duck"``, which other readers
ignore::

    "spatial_duck": {
      "version": 1,
      "world": {"axes": ["x", "y", "z"], "units": ["mm", "mm", "mm"], "frame": "RAS"},
      "levels": [{"path": "0", "dims": ["z", "y", "x"], "sampled": ["z", "y", "x"],
                  "shape": [24, 96, 128], "spacing": [2.2, 2, 2], "origin": [117.9, -35.7, -7.2],
                  "direction": [[0, 0, -1], [0.3, 0.95, 0], [0.95, -0.3, 0]]}],
      "attrs": {}
    }

``direction`` has a row for each world axis and a column for each sampled axis. It is used only as
long as it agrees with the standard's own metadata. Axes of space and time whose names are not z, y,
x and t are written under these names, and ``"names"`` keeps the image's own:
``{"dims": {"y": "lat", "x": "lon"}, "world": {"y": "lat", "x": "lon"}, "frame": null}``. Axes with
such names are not known to be anatomical: then the standard's axes have no orientation.

Only 0.6 can express an axis that is oblique, sheared, flipped or runs along another world axis than
that of its name (`_describe`): writing another version raises `GeometryLossError`.
``oblique="keep"`` accepts that other readers see the image unrotated, at its spacing, while this
library reads the exact geometry back.

Every chunk has a checksum (crc32c in format 3, gzip's in format 2) and is stored even if all its
voxels have the fill value. The group notes that under ``"complete"``, with the number of chunk
files of each level: reading a chunk that is missing is an error.

The image is computed once, block by block in threads (or on the workers of ``dask.distributed``),
and all levels are written in that pass (`_streaming`). The group is written beside its target and
renamed to it when it is complete; an interrupted write can be resumed
(`spatial_duck.io.ngff._journal`). Other entries of a group that is replaced, such as labels and
tables, are kept.

Options of `read`:

``image``
    Path of an image inside a group: ``"labels/cells"``, ``"B/7/0"`` of a plate. Reading a group of
    several images without it names them; `spatial_duck.io.list_images` lists them.
``multiscale``
    Which of several, by number or name.
``exact``
    False: the standard's metadata alone.
``missing``
    "fill": missing chunks hold fill values.
``system``
    (0.6) Name of the coordinate system of the geometry, by default that of the datasets; any that
    linear transformations lead to. ``attrs["ome"]["systems"]`` lists them.

Options of `write`:

``version``
    "0.6", "0.5" or "0.4"; "0.5" by default, or that of the image to which labels are added.
``label``
    Name under which an image of labels is added to the group of the image at the path.
``levels``, ``factors``, ``method``
    As for `spatial_duck.pyramid`.
``chunks``
    An int, by name, or one for each axis t, c, z, y, x; by default about 96 voxels along each of
    three space axes, a multiple or divisor of the chunks of the image.
``shards``
    The same for shards of whole chunks (0.5 and later), or False; by default small chunks of large
    images are stored in shards of about 8 MB.
``oblique``
    "refuse" or "keep".
``memory``
    Most bytes of the blocks that are processed at once, as an int or such as "512 MB" (the
    default); memory that the graph of a Dask image needs is not included.
``threads``
    Blocks that are processed at once; by default as many as there are CPUs.
``resume``
    Resume an interrupted write of the same image with the same options; the result has the same
    bytes. Two of the blocks that were written are computed again and compared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import (
    FormatError,
    GeometryError,
    SpatialDuckError,
    UnsafeInputError,
)
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._location import is_remote, parse_location
from spatial_duck.io._source import Source
from spatial_duck.io.ngff import _checksum as checksums
from spatial_duck.io.ngff import _journal as journal
from spatial_duck.io.ngff import _metadata as ngff
from spatial_duck.io.ngff._archive import MAX_METADATA_BYTES, METADATA, open_archive
from spatial_duck.io.ngff._contents import describe_collection, list_images, only_image
from spatial_duck.io.ngff._describe import NAMESPACE
from spatial_duck.io.ngff._write import write_image, write_to_store

__all__ = [
    "FORMAT",
    "check_inside",
    "open_group",
    "open_source",
    "read_matrix",
    "zarr_module",
]

#: Most numbers in the matrix of a transformation.
_MAX_MATRIX_SIZE = 1024


def zarr_module(what: str) -> Any:
    """Return the package zarr; raise an ImportError that says what needs it if it is missing."""
    return require("zarr", what)


def open_group(
    path: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Open a Zarr group, possibly in a zip file, for reading; return it and its attributes.

    Parameters
    ----------
    path : path, str or store
        As `spatial_duck.read` takes it.
    storage_options : mapping, optional
        Options for a URL, as fsspec takes them.

    Raises
    ------
    FormatError
        If there is no valid group.
    """
    zarr_module("Reading OME-Zarr")
    from spatial_duck.io.ngff import _store as stores

    try:
        if not is_remote(path):
            _check_documents(path)
        if not is_remote(path) and path.is_file():
            group = open_archive(path)
        else:
            group = stores.open_group(path, storage_options)
        return group, dict(group.attrs)
    except (ImportError, MemoryError, SpatialDuckError):
        raise
    except RecursionError as error:
        raise FormatError(f"{path}: its metadata are nested too deeply") from error
    except Exception as error:  # stores raise exceptions of their own
        raise FormatError(f"{path}: it cannot be opened as a Zarr group: {error}") from error


def _check_documents(node: Path) -> None:
    """Refuse a node whose metadata are a FIFO or a device, or too long: zarr reads all of them."""
    for name in METADATA:
        document = node / name
        safety.check_is_no_device(document)
        try:
            size = document.stat().st_size
        except OSError:  # not there, or of a name that no file can have
            continue
        if size > MAX_METADATA_BYTES:
            raise FormatError(
                f"{document}: metadata have {MAX_METADATA_BYTES:,} bytes at most, got {size:,}"
            )


def open_image_group(
    path: Any, image: str | None, storage_options: Mapping[str, Any] | None = None
) -> tuple[str, Any, dict[str, Any]]:
    """Open the group of an image, which may be inside another.

    Parameters
    ----------
    path : path or str
        A group.
    image : str or None
        Path of the image inside it.
    storage_options : mapping, optional
        Options for a URL, as fsspec takes them.

    Returns
    -------
    tuple of (str, zarr.Group, dict)
        Name of the image for messages, the group, and its attributes.

    Raises
    ------
    FormatError
        If the group is not an image; the message names the images inside.
    """
    group, attributes = open_group(path, storage_options)
    if is_remote(path) and not attributes:
        from spatial_duck.io.ngff._store_journal import describe_unfinished

        interrupted = describe_unfinished(group.store_path)
        if interrupted is not None:
            raise FormatError(interrupted)
    name = image
    if name is None and not ngff.ome_of(attributes).get("multiscales"):
        name = only_image(group)
    if name in (None, "."):
        is_image = bool(ngff.ome_of(attributes).get("multiscales"))
        collection = None if is_image else describe_collection(group)
        if collection is not None:
            raise FormatError(f"{path}: {collection}")
        return str(path), group, attributes
    check_inside(path, name)
    try:
        inside = group[name]
        attributes = dict(inside.attrs)
        inside.group_keys  # noqa: B018 (an array has none)
    except Exception as error:
        known = ", ".join(map(repr, islice(list_images(group), 10)))
        raise FormatError(
            f"{path}: there is no image {name!r} inside; there are {known or 'none'}"
        ) from error
    return f"{path}/{name}", inside, attributes


def open_source(
    path: Any,
    *,
    level: int = 0,
    image: str | None = None,
    multiscale: int | str = 0,
    exact: bool = True,
    missing: Literal["refuse", "fill"] = "refuse",
    system: str | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Source:
    """Open an OME-Zarr group; see `spatial_duck.read`."""
    zarr_module("Reading OME-Zarr")
    from spatial_duck.backends.zarr._view import ZarrView

    if missing not in ("refuse", "fill"):
        raise ValueError(f"missing must be 'refuse' or 'fill', got {missing!r}")
    location = parse_location(path)
    is_there = is_remote(location) or location.exists()
    interrupted = None if is_there else journal.describe_unfinished(location)
    if interrupted:
        raise FormatError(interrupted)
    path, group, attributes = open_image_group(location, image, storage_options)

    def load_matrix(name: str) -> Any:
        return read_matrix(group, name)

    scales = ngff.multiscales(path, attributes, system, load_matrix)
    chosen = scales[_multiscale_number(path, scales, multiscale)]
    count = len(chosen.datasets)
    if not -count <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    dataset = chosen.datasets[level]
    check_inside(location, dataset.path if image in (None, ".") else f"{image}/{dataset.path}")
    try:
        owned = not is_remote(location)
        array = _open_level(group, dataset.path, level % count, attributes, missing, owned)
        shape = tuple(array.shape)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except Exception as error:  # a missing array, or metadata that are not valid
        raise FormatError(f"{path}: its level {dataset.path!r} is not valid: {error}") from error
    # What was read of the group must be of the image whose array has been identified since.
    # As text, in which a number that is NaN equals itself.
    if json.dumps(open_group(group, storage_options)[1]) != json.dumps(attributes):
        raise FormatError(f"{path} was replaced or changed while it was opened; open it again")
    try:
        geometry = standard = ngff.standard_geometry(path, chosen, dataset, shape)
        if exact and chosen is scales[0] and system is None:
            own = attributes.get(NAMESPACE)
            stored = ngff.exact_geometry(path, own, dataset.path, standard, chosen, load_matrix)
            if stored is not standard:  # otherwise `exact_geometry` has warned already
                checksums.check_checksum(path, array, attributes)
            geometry = standard if stored is None else stored
    except FormatError:
        raise
    except GeometryError as error:
        raise FormatError(f"{path}: its geometry is not valid: {error}") from error
    except safety.MALFORMED as error:
        raise FormatError(f"{path}: its metadata are not valid: {error!r}") from error

    def load(lazy: bool | None) -> Any:
        view = ZarrView(array)
        if lazy is False:
            safety.check_memory(path, safety.count_bytes(shape, np.dtype(array.dtype)))
            return np.asarray(view)
        return view

    attrs = ngff.read_attrs(attributes, chosen)
    coords = ngff.read_coords(path, attributes, chosen, geometry)
    return Source("ome-zarr", geometry, np.dtype(array.dtype), attrs, load, count, coords)


def _multiscale_number(path: object, scales: Sequence[ngff.Multiscale], wanted: int | str) -> int:
    """Return the number of a multiscale that is given by number or name."""
    names = [str(scale.fields.get("name", "")) for scale in scales]
    if isinstance(wanted, str):
        if names.count(wanted) != 1:
            raise FormatError(
                f"{path}: multiscale={wanted!r} is the name of {names.count(wanted)} of its "
                f"multiscales, which are called {names}"
            )
        return names.index(wanted)
    if not 0 <= wanted < len(scales):
        raise FormatError(
            f"{path}: it has {len(scales)} multiscales, {names}; {wanted} was asked for"
        )
    return wanted


def check_inside(path: Any, name: str) -> None:
    """Check that a node lies inside its group; in a local store links are followed.

    Raises
    ------
    UnsafeInputError
        If it lies outside.
    FormatError
        If the name is not a valid path.
    """
    if "\0" in name:
        raise FormatError(f"{path}: its level {name!r} is not a valid path")
    if is_remote(path) or path.is_file():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    else:
        try:
            root = path.resolve()
            node = (root / name).resolve()
            inside = node.is_relative_to(root)
        except (OSError, ValueError) as error:
            raise FormatError(f"{path}: its level {name!r} is not a valid path") from error
        if inside:
            _check_documents(node)
    if not inside:
        raise UnsafeInputError(
            f"{path}: its level {name!r} lies in another folder; a level must be inside its group. "
            "Open that folder as an image of its own if you trust it"
        )


def read_matrix(group: Any, name: str) -> Any:
    """Read the matrix of a transformation."""
    try:
        array = group[name]
        if array.size > _MAX_MATRIX_SIZE:
            raise FormatError(f"the matrix {name!r} has {array.size} numbers")
        return array[...]
    except FormatError:
        raise
    except Exception as error:  # a missing array, or one that is not valid
        raise FormatError(f"the matrix {name!r} cannot be read: {error}") from error


def _open_level(
    group: Any, name: str, level: int, attributes: Mapping[str, Any], missing: str, owned: bool
) -> Any:
    """Return the array of a level; reading it raises if it was replaced since.

    If its writer noted that all chunks are there, reading one that is missing raises too.
    """
    import zarr

    from spatial_duck.io.ngff._stamp import stamp_of
    from spatial_duck.io.ngff._store import ImageStore

    array = group[name]
    location = array.store_path
    identity = stamp_of(location.store, location.path, array.metadata.zarr_format)
    own = attributes.get(NAMESPACE)
    noted = own.get("complete") if isinstance(own, Mapping) else None
    complete = isinstance(noted, Mapping) and missing != "fill"
    if isinstance(noted, Mapping) and complete:
        counts = noted.get("chunks")
        count = counts[level] if isinstance(counts, list) and level < len(counts) else None
        if count != _count_files(array):
            raise FormatError(
                f"level {name!r} has {_count_files(array)} chunk files by its own metadata, and "
                f"{count} by what its writer noted in the group: the metadata were changed. Read "
                "it all the same with missing='fill'"
            )
    store = ImageStore(location.store, complete=complete, identity=identity, owned=owned)
    zarr_format = array.metadata.zarr_format
    return zarr.open_array(store, path=location.path, mode="r", zarr_format=zarr_format)


def _count_files(array: Any) -> int:
    """Return the number of files (chunks or shards) of a complete Zarr array."""
    return math.prod(
        -(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True)
    )


class OmeZarr(Format):
    """OME-Zarr 0.1 to 0.6; 0.4, 0.5 and 0.6 are written."""

    name, suffixes = "ome-zarr", (".ome.zarr", ".zarr")
    folder = opens_stores = publishes = True

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def write_store(self, location: Any, image: Any, **options: Any) -> None:
        """Write into a store: block by block if keys of the store can be deleted."""
        zarr_module("Writing OME-Zarr")
        from spatial_duck.io.ngff._store import can_replace, write_by_folder

        if can_replace(location):
            write_to_store(location, image, **options)
        else:
            write_by_folder(write_image, location, image, **options)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Whether a path is a folder that holds a Zarr group."""
        return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return all: those that the standard lacks are stored beside it."""
        return list(image.coords)


FORMAT = OmeZarr()
