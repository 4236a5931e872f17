"""OME-Zarr 0.4 (Zarr format 2), 0.5 (format 3) and 0.6 (read), through zarr-python.

A level is opened as a lazy view of its Zarr array; nothing is read. Arrays are ``(t, c, z, y, x)``.
``scale`` and ``translation`` give the position of voxel **centres**. The standard has no direction,
frame or order of world axes; these, and the exact numbers of every level, are kept beside it in the
group's attributes under ``"spatial_duck"``, which other readers skip::

    "spatial_duck": {
      "version": 1,
      "world": {"axes": ["x", "y", "z"], "units": ["mm", "mm", "mm"], "frame": "RAS"},
      "levels": [{"path": "0", "dims": ["z", "y", "x"], "sampled": ["z", "y", "x"],
                  "shape": [24, 96, 128], "spacing": [2.2, 2, 2], "origin": [117.9, -35.7, -7.2],
                  "direction": [[0, 0, -1], [0.3, 0.95, 0], [0.95, -0.3, 0]]}],
      "attrs": {}
    }

``direction`` has a row for each world axis and a column for each sampled axis. It is used only as
long as its shape and spacing agree with the standard's own metadata.

An axis that is oblique, sheared, flipped or runs along another world axis than its name's cannot be
said in the standard: writing raises `GeometryLossError`. ``oblique="keep"`` accepts that other
readers see the image unrotated, at its spacing, while this library reads the exact geometry back.

Every chunk carries a checksum (crc32c in format 3, gzip's in format 2) and is stored even where it
holds fill values alone, and the group says so under ``"complete"``, with the number of chunk files
of each level: reading a chunk that is missing is an error.

The image is computed once, block by block in threads (or on the workers of ``dask.distributed``),
and all levels are made on the way (`_streaming`). The group is written beside its
target and takes its name when it is complete; what an interrupted write leaves can be continued
(`spatial_duck.io.ngff._journal`).

Options of `read`: ``multiscale`` (which of several, by number), ``exact=False`` (the standard's
metadata alone), ``missing="fill"`` (missing chunks hold fill values), ``system`` (0.6: the name of
the coordinate system that positions are wanted in, where one other than the datasets' own; any that
is reached by linear transformations). ``attrs["ome"]["systems"]`` lists them.

Options of `write`:

``version``
    "0.5" or "0.4".
``levels``, ``factors``, ``method``
    As for `spatial_duck.pyramid`.
``chunks``
    An int, by name, or one for each axis t, c, z, y, x; by default about 96 voxels along each of
    three space axes, in step with the chunks of the image.
``shards``
    The same for shards of whole chunks (0.5), or False; by default small chunks of large images
    are put together in shards of about 8 MB.
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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import (
    FormatError,
    GeometryError,
    GeometryLossError,
    UnsafeInputError,
)
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._source import Source, reporter
from spatial_duck.io.ngff import _block_plan as blockplan
from spatial_duck.io.ngff import _checksum as seal
from spatial_duck.io.ngff import _journal as journal
from spatial_duck.io.ngff import _metadata as ngff
from spatial_duck.io.ngff import _streaming as streaming
from spatial_duck.io.ngff._chunk_layout import Layout
from spatial_duck.pyramids import level_geometries

if TYPE_CHECKING:
    import os

    from spatial_duck.io._source import Progress

    Chunks = int | Mapping[str, int] | Sequence[int]

__all__ = [
    "FORMAT",
    "check_inside",
    "open_group",
    "open_to_write",
    "small_array",
    "zarr_module",
]

#: Bytes that blocks in flight may take.
_MEMORY = 512_000_000


#: Numbers that the matrix of a transformation may have.
_MATRIX = 1024


def zarr_module(what: str) -> Any:
    """Return the package zarr, or say what it is needed for."""
    return require("zarr", what)


def open_group(path: str | os.PathLike[str]) -> tuple[Any, dict[str, Any]]:
    """Open a Zarr group for reading; return its attributes too.

    Raises
    ------
    FormatError
        If it is none.
    """
    try:
        group = zarr_module("Reading OME-Zarr").open_group(str(path), mode="r")
        return group, dict(group.attrs)
    except (ImportError, MemoryError, RecursionError):
        raise
    except Exception as error:  # each store raises its own
        raise FormatError(f"{path}: it cannot be opened as a Zarr group: {error}") from error


def open_source(
    path: str | os.PathLike[str],
    *,
    level: int = 0,
    multiscale: int = 0,
    exact: bool = True,
    missing: Literal["refuse", "fill"] = "refuse",
    system: str | None = None,
) -> Source:
    """Open an OME-Zarr group; see `spatial_duck.read`."""
    zarr_module("Reading OME-Zarr")
    from spatial_duck.backends.zarr._view import ZarrView

    if missing not in ("refuse", "fill"):
        raise ValueError(f"missing must be 'refuse' or 'fill', got {missing!r}")
    left = None if "://" in str(path) or Path(path).exists() else journal.unfinished(path)
    if left:
        raise FormatError(left)
    group, attributes = open_group(path)
    scales = ngff.multiscales(path, attributes, system, lambda name: small_array(group, name))
    if not 0 <= multiscale < len(scales):
        raise FormatError(f"{path}: it has {len(scales)} multiscales, {multiscale} was asked for")
    chosen = scales[multiscale]
    count = len(chosen.datasets)
    if not -count <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    dataset = chosen.datasets[level]
    check_inside(path, dataset.path)
    try:
        array = _checked(group, dataset.path, level % count, attributes, missing)
        shape = tuple(array.shape)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    except Exception as error:  # a missing array, or metadata that are not valid
        raise FormatError(f"{path}: its level {dataset.path!r} is not valid: {error}") from error
    try:
        geometry = standard = ngff.standard_geometry(path, chosen, dataset, shape)
        if exact and multiscale == 0 and system is None:
            own = attributes.get(ngff.NAMESPACE)
            exact_one = ngff.exact_geometry(path, own, dataset.path, standard)
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
    return Source("ome-zarr", geometry, np.dtype(array.dtype), attrs, load, count)


def check_inside(path: str | os.PathLike[str], name: str) -> None:
    """Refuse a node that lies outside its group, by its name or a link, in a local store."""
    if "://" in str(path):
        return
    root = Path(path).resolve()
    if not (root / name).resolve().is_relative_to(root):
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
    """Return the array of a level, which refuses to read chunks that are missing."""
    own = attributes.get(ngff.NAMESPACE)
    complete = own.get("complete") if isinstance(own, Mapping) else None
    array = group[name]
    if not isinstance(complete, Mapping) or missing == "fill":
        return array
    counts = complete.get("chunks")
    count = counts[level] if isinstance(counts, list) and level < len(counts) else None
    if count != _count_files(array):
        raise FormatError(
            f"level {name!r} has {_count_files(array)} chunk files by its own metadata, and "
            f"{count} by what its writer noted; one of them was changed. Accept that with "
            "missing='fill'"
        )
    import zarr

    from spatial_duck.io.ngff._store import CompleteStore

    place = array.store_path
    return zarr.open_array(CompleteStore(place.store), path=place.path, mode="r")


def _count_files(array: Any) -> int:
    """Return the number of files (chunks, or shards) of a Zarr array that holds all of them."""
    return math.prod(
        -(-n // c) for n, c in zip(array.shape, array.shards or array.chunks, strict=True)
    )


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    overwrite: bool = False,
    progress: bool | Progress | None = None,
    version: Literal["0.5", "0.4"] = "0.5",
    chunks: Chunks | None = None,
    shards: Chunks | Literal[False] | None = None,
    levels: int | None = None,
    factors: int | Mapping[str, int] | None = None,
    method: str = "mean",
    oblique: Literal["refuse", "keep"] = "refuse",
    memory: int | str = _MEMORY,
    threads: int | None = None,
    resume: bool = False,
) -> None:
    """Write an OME-Zarr group with its pyramid; see `spatial_duck.write`."""
    zarr_module("Writing OME-Zarr")
    if version not in ("0.4", "0.5"):
        raise FormatError(f"version must be '0.5' or '0.4', got {version!r}")
    if oblique not in ("refuse", "keep"):
        raise ValueError(f"oblique must be 'refuse' or 'keep', got {oblique!r}")
    fitted = ngff.arranged(image)
    lost = ngff.what_is_lost(fitted.geometry)
    if lost and oblique == "refuse":
        raise GeometryLossError(
            f"OME-Zarr {version} holds a scale and a translation along axes of their own names, "
            f"and would lose {lost}. Accept that other readers see the image unrotated, with the "
            "exact geometry kept for this library, by oblique='keep'; or bring the image onto such "
            "a grid first with reorient(...) or resample(...)"
        )
    geometries, bins = level_geometries(fitted.geometry, levels, factors, method)
    dtype = np.dtype(fitted.data.dtype).newbyteorder("=")
    if dtype.kind not in "biufc":
        raise FormatError(f"OME-Zarr holds numbers, got {dtype} voxels; use image.astype(...)")
    data = fitted.data.to_dask() if hasattr(fitted.data, "to_dask") else fitted.data
    lazy = hasattr(data, "dask")
    layouts = [Layout(g, dtype, chunks, shards, version, data.chunks if lazy else None)
               for g in geometries]  # fmt: skip
    attributes = ngff.attributes(image, geometries, version, method, name=path.name)
    attributes[ngff.NAMESPACE]["complete"] = {"chunks": [x.count_files() for x in layouts]}
    fingerprint = {
        "dtype": dtype.str,
        "chunks": [x.chunks for x in layouts],
        "shards": [x.shards for x in layouts],
        "version": version,
        "geometry": {k: v for k, v in attributes[ngff.NAMESPACE].items() if k != "complete"},
        "attributes": attributes,
    }
    budget, threads = _bytes(memory), threads or _cpus()
    shapes, written = [g.shape for g in geometries], [x.written for x in layouts]
    blocks = blockplan.plan(shapes, bins, written, dtype, method, budget, threads)
    with journal.writing(path, fingerprint, overwrite=overwrite, resume=resume) as notes:
        if notes is None:
            return
        places = [notes.fresh / str(n) for n in range(len(layouts))]
        if notes.header is None:
            for layout, place in zip(layouts, places, strict=True):
                layout.create(place)
            notes.begin({"fingerprint": fingerprint, "blocks": blocks.blocks})
        # Finished blocks are known by their numbers, so the blocks stay as they were.
        blocks = blocks._replace(blocks=tuple(map(tuple, (notes.header or {})["blocks"])))
        arrays = [open_to_write(place) for place in places]
        job = streaming.Job(blocks, arrays, method, notes, None if lazy else data)
        lazy_data = data if lazy else None
        if notes.done:
            streaming.check_source(job, lazy_data, places[0])
        count = blocks.workers(dtype.itemsize, job.row.reach, budget, threads)
        # A resumed write keeps its blocks, whatever memory there is now.
        streaming.run(job, lazy_data, max(1, count), reporter(progress))
        _finished(notes.fresh, layouts, attributes, version)


def _bytes(memory: int | str) -> int:
    parse_bytes = require("dask.utils", "Writing OME-Zarr").parse_bytes
    return int(parse_bytes(memory))


def _cpus() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def open_to_write(place: Path) -> Any:
    """Return the array of a level, to be written to."""
    import zarr

    # What is missing is then known to be missing. Older versions of zarr do not take the setting
    # as an argument; the array keeps the one that it was opened with.
    with zarr.config.set({"array.write_empty_chunks": True}):
        return zarr.open_array(str(place), mode="r+")


def _finished(
    fresh: Path, layouts: Sequence[Layout], attributes: dict[str, Any], version: str
) -> None:
    """Write the group's metadata, which make it an image, once every chunk is there."""
    import zarr

    for n, layout in enumerate(layouts):
        there = sum(
            1 for p in (fresh / str(n)).rglob("*") if p.name not in _METADATA and p.is_file()
        )
        if there != layout.count_files():
            raise FormatError(
                f"{fresh}: {there} of {layout.count_files()} chunk files of level {n} are there; "
                "others were removed or added while it was written. Start again without resume=True"
            )
        seal.seal(open_to_write(fresh / str(n)), attributes)
    for name in ("zarr.json", ".zgroup", ".zattrs"):
        (fresh / name).unlink(missing_ok=True)
    group = 2 if version == "0.4" else 3
    zarr.create_group(str(fresh), zarr_format=group, attributes=attributes)


_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


class OmeZarr(Format):
    """OME-Zarr 0.4 and 0.5, and 0.6 to read."""

    name, suffixes = "ome-zarr", (".ome.zarr", ".zarr")
    folder = opens_stores = publishes = True

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by a file's first bytes, or what is in a folder."""
        return path.is_dir() and any((path / name).is_file() for name in ("zarr.json", ".zgroup"))


FORMAT = OmeZarr()
