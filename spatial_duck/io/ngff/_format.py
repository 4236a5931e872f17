"""OME-Zarr 0.1 to 0.6: reading; the options of `read` and `write`; what stands in a group.

A level is opened as a lazy view of its Zarr array; nothing is read. Arrays are ``(t, c, z, y, x)``.
``scale`` and ``translation`` give the position of voxel **centres**. Up to 0.5 the standard has no
direction; no version has an order of world axes or keeps numbers apart that a scale is made of.
These, and the exact numbers of every level, are kept beside it in the group's attributes under
``"spatial_duck"``, which other readers skip::

    "spatial_duck": {
      "version": 1,
      "world": {"axes": ["x", "y", "z"], "units": ["mm", "mm", "mm"], "frame": "RAS"},
      "levels": [{"path": "0", "dims": ["z", "y", "x"], "sampled": ["z", "y", "x"],
                  "shape": [24, 96, 128], "spacing": [2.2, 2, 2], "origin": [117.9, -35.7, -7.2],
                  "direction": [[0, 0, -1], [0.3, 0.95, 0], [0.95, -0.3, 0]]}],
      "attrs": {}
    }

``direction`` has a row for each world axis and a column for each sampled axis. It is used only as
long as it agrees with the standard's own metadata. Axes of space and time that an image calls
otherwise than z, y, x and t are written under these names, and ``"names"`` keeps the image's own:
``{"dims": {"y": "lat", "x": "lon"}, "world": {"y": "lat", "x": "lon"}, "frame": null}``. What is
called otherwise is not known to be anatomical: then the standard's axes have no orientation.

An axis that is oblique, sheared, flipped or runs along another world axis than its name's can be
said in 0.6 alone (`_describe`): writing another version raises `GeometryLossError`.
``oblique="keep"`` accepts that other readers see the image unrotated, at its spacing, while this
library reads the exact geometry back.

Every chunk carries a checksum (crc32c in format 3, gzip's in format 2) and is stored even where it
holds fill values alone, and the group says so under ``"complete"``, with the number of chunk files
of each level: reading a chunk that is missing is an error.

The image is computed once, block by block in threads (or on the workers of ``dask.distributed``),
and all levels are made on the way (`_streaming`). The group is written beside its
target and takes its name when it is complete; what an interrupted write leaves can be continued
(`spatial_duck.io.ngff._journal`). What others have put into a group that is replaced, such as
labels and tables, is kept.

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
    (0.6) Name of the coordinate system that positions are wanted in, where one other than the
    datasets' own; any that is reached by linear transformations. ``attrs["ome"]["systems"]`` lists
    them.

Options of `write`:

``version``
    "0.6", "0.5" or "0.4"; "0.5" by default, or that of the image that labels are written beside.
``label``
    The image holds labels of the image at the path, and is written into its group under this name.
``levels``, ``factors``, ``method``
    As for `spatial_duck.pyramid`.
``chunks``
    An int, by name, or one for each axis t, c, z, y, x; by default about 96 voxels along each of
    three space axes, in step with the chunks of the image.
``shards``
    The same for shards of whole chunks (0.5 and later), or False; by default small chunks of large
    images are put together in shards of about 8 MB.
``oblique``
    "refuse" or "keep".
``memory``
    Bytes that the blocks in flight may take, as an int or such as "512 MB" (the default); what the
    graph of a Dask image needs comes beside.
``threads``
    Blocks at once; by default as many as there are CPUs.
``resume``
    Continue an interrupted write of the same image with the same options; the result has the same
    bytes. Two of the blocks that were written are computed anew and compared.
"""

from __future__ import annotations

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
from spatial_duck.io._location import is_remote, location
from spatial_duck.io._source import Source
from spatial_duck.io.ngff import _checksum as seal
from spatial_duck.io.ngff import _journal as journal
from spatial_duck.io.ngff import _metadata as ngff
from spatial_duck.io.ngff._archive import open_archive
from spatial_duck.io.ngff._contents import describe_collection, list_images, only_image
from spatial_duck.io.ngff._describe import NAMESPACE
from spatial_duck.io.ngff._write import write_image, write_to_store

__all__ = [
    "FORMAT",
    "check_inside",
    "open_group",
    "open_source",
    "small_array",
    "zarr_module",
]

#: Numbers that the matrix of a transformation may have.
_MATRIX = 1024


def zarr_module(what: str) -> Any:
    """Return the package zarr, or say what it is needed for."""
    return require("zarr", what)


def open_group(
    path: Any, storage_options: Mapping[str, Any] | None = None
) -> tuple[Any, dict[str, Any]]:
    """Open a Zarr group, or one in a zip file, for reading; return its attributes too.

    Parameters
    ----------
    path : path, str or store
        As `spatial_duck.read` takes it.
    storage_options : mapping, optional
        How to reach a URL, as fsspec takes it.

    Raises
    ------
    FormatError
        If it is none.
    """
    zarr_module("Reading OME-Zarr")
    from spatial_duck.io.ngff import _store as stores

    try:
        if not is_remote(path) and path.is_file():
            group = open_archive(path)
        else:
            group = stores.open_group(path, storage_options)
        return group, dict(group.attrs)
    except (ImportError, MemoryError, SpatialDuckError):
        raise
    except RecursionError as error:
        raise FormatError(f"{path}: its metadata are nested too deeply") from error
    except Exception as error:  # each store raises its own
        raise FormatError(f"{path}: it cannot be opened as a Zarr group: {error}") from error


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
        How to reach a URL.

    Returns
    -------
    tuple of (str, zarr.Group, dict)
        What to call it in messages, the group, and its attributes.

    Raises
    ------
    FormatError
        If it is no image; where images are inside, they are named.
    """
    group, attributes = open_group(path, storage_options)
    if is_remote(path) and not attributes:
        from spatial_duck.io.ngff._store_journal import unfinished_in

        left = unfinished_in(group.store_path)
        if left is not None:
            raise FormatError(left)
    name = image
    if name is None and not ngff.ome_of(attributes).get("multiscales"):
        name = only_image(group)
    if name in (None, "."):
        told = None if ngff.ome_of(attributes).get("multiscales") else describe_collection(group)
        if told is not None:
            raise FormatError(f"{path}: {told}")
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
    place = location(path)
    left = None if is_remote(place) or place.exists() else journal.unfinished(place)
    if left:
        raise FormatError(left)
    path, group, attributes = open_image_group(place, image, storage_options)

    def load_matrix(name: str) -> Any:
        return small_array(group, name)

    scales = ngff.multiscales(path, attributes, system, load_matrix)
    chosen = scales[_which(path, scales, multiscale)]
    count = len(chosen.datasets)
    if not -count <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    dataset = chosen.datasets[level]
    check_inside(place, dataset.path if image in (None, ".") else f"{image}/{dataset.path}")
    try:
        array = _checked(group, dataset.path, level % count, attributes, missing)
        shape = tuple(array.shape)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except Exception as error:  # a missing array, or metadata that are not valid
        raise FormatError(f"{path}: its level {dataset.path!r} is not valid: {error}") from error
    try:
        geometry = standard = ngff.standard_geometry(path, chosen, dataset, shape)
        if exact and chosen is scales[0] and system is None:
            own = attributes.get(NAMESPACE)
            exact_one = ngff.exact_geometry(path, own, dataset.path, standard, chosen, load_matrix)
            if exact_one is not standard:  # else a warning has been given
                seal.check(path, array, attributes)
            geometry = standard if exact_one is None else exact_one
    except GeometryError as error:
        raise FormatError(f"{path}: its geometry is not valid: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: its metadata are not valid: {error!r}") from error

    def load(lazy: bool | None) -> Any:
        view = ZarrView(array)
        if lazy is False:
            safety.check_memory(path, safety.count_bytes(shape, np.dtype(array.dtype)))
            return np.asarray(view)
        return view

    attrs = ngff.kept_attrs(attributes, chosen)
    coords = ngff.kept_coords(path, attributes, chosen, geometry)
    return Source("ome-zarr", geometry, np.dtype(array.dtype), attrs, load, count, coords)


def _which(path: object, scales: Sequence[ngff.Multiscale], wanted: int | str) -> int:
    """Return the number of one of several multiscales, given its number or name."""
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
    """Refuse a node that lies outside its group, by its name or a link, in a local store.

    Raises
    ------
    UnsafeInputError
        If it lies elsewhere.
    FormatError
        If nothing can be called so.
    """
    if "\0" in name:
        raise FormatError(f"{path}: its level {name!r} is not a valid path")
    if is_remote(path) or path.is_file():
        inside = not PurePosixPath(name).is_absolute() and ".." not in PurePosixPath(name).parts
    else:
        root = path.resolve()
        inside = (root / name).resolve().is_relative_to(root)
    if not inside:
        raise UnsafeInputError(
            f"{path}: its level {name!r} lies in another folder; a level must be inside its group. "
            "Open that folder as an image of its own if you trust it"
        )


def small_array(group: Any, name: str) -> Any:
    """Read the matrix of a transformation."""
    try:
        array = group[name]
        if array.size > _MATRIX:
            raise FormatError(f"the matrix {name!r} has {array.size} numbers")
        return array[...]
    except FormatError:
        raise
    except Exception as error:  # a missing array, or one that is not valid
        raise FormatError(f"the matrix {name!r} cannot be read: {error}") from error


def _checked(group: Any, name: str, level: int, attributes: Mapping[str, Any], missing: str) -> Any:
    """Return the array of a level, which is read as long as it is that which was opened.

    Chunks that are missing of a store that its writer noted to be complete are refused.
    """
    import zarr

    from spatial_duck.io.ngff._stamp import stamp_of
    from spatial_duck.io.ngff._store import ImageStore

    array = group[name]
    place = array.store_path
    identity = stamp_of(place.store, place.path, array.metadata.zarr_format)
    own = attributes.get(NAMESPACE)
    said = own.get("complete") if isinstance(own, Mapping) else None
    complete = isinstance(said, Mapping) and missing != "fill"
    if isinstance(said, Mapping) and complete:
        counts = said.get("chunks")
        count = counts[level] if isinstance(counts, list) and level < len(counts) else None
        if count != _count_files(array):
            raise FormatError(
                f"level {name!r} has {_count_files(array)} chunk files by its own metadata, and "
                f"{count} by what its writer noted; one of them was changed. Accept that with "
                "missing='fill'"
            )
    store = ImageStore(place.store, complete=complete, identity=identity)
    zarr_format = array.metadata.zarr_format
    return zarr.open_array(store, path=place.path, mode="r", zarr_format=zarr_format)


def _count_files(array: Any) -> int:
    """Return the number of files (chunks, or shards) of a Zarr array that holds all of them."""
    return math.prod(
        -(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True)
    )


class OmeZarr(Format):
    """OME-Zarr 0.1 to 0.6; 0.4, 0.5 and 0.6 are written."""

    name, suffixes = "ome-zarr", (".ome.zarr", ".zarr")
    folder = opens_stores = publishes = True

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def write_store(self, place: Any, image: Any, **options: Any) -> None:
        """Write into a store: block by block where what is there can be replaced."""
        zarr_module("Writing OME-Zarr")
        from spatial_duck.io.ngff._store import takes_away, write_by_folder

        if takes_away(place):
            write_to_store(place, image, **options)
        else:
            write_by_folder(write_image, place, image, **options)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by a file's first bytes, or what is in a folder."""
        return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return all: what the standard lacks stands beside it."""
        return list(image.coords)


FORMAT = OmeZarr()
