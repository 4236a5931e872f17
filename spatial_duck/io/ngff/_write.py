"""Writing OME-Zarr: an image with its pyramid, labels beside an image, one zip file.

`spatial_duck.io.ngff._format` documents the options.
"""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.io._axis_names import standard_names
from spatial_duck.io._source import reporter
from spatial_duck.io.ngff import _block_plan as blockplan
from spatial_duck.io.ngff import _checksum as checksums
from spatial_duck.io.ngff import _journal as journal
from spatial_duck.io.ngff import _metadata as ngff
from spatial_duck.io.ngff import _streaming as streaming
from spatial_duck.io.ngff._chunk_layout import ChunkLayout
from spatial_duck.io.ngff._describe import (
    NAMESPACE,
    VERSIONS,
    describe_loss,
    in_ngff_order,
    make_attributes,
)
from spatial_duck.io.ngff._labels import add_source, check_label, copy_other_entries, register_label
from spatial_duck.pyramids import default_method, level_geometries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from spatial_duck.geometry import Geometry
    from spatial_duck.io._source import Progress

    Chunks = int | Mapping[str, int] | Sequence[int]

__all__ = ["open_to_write", "write_image", "write_to_store"]

#: Most bytes of blocks that are processed at once, by default.
_MEMORY = 512_000_000


class _WritePlan(NamedTuple):
    """Layout, attributes and blocks of a group, known before the first block is computed."""

    data: Any
    lazy: bool
    layouts: list[ChunkLayout]
    attributes: dict[str, Any]
    blocks: blockplan.BlockPlan
    method: str
    version: str

    def fingerprint(self) -> dict[str, Any]:
        """Return the values in which an interrupted write and its resumption must agree."""
        own = self.attributes[NAMESPACE]
        return {
            "dtype": self.layouts[0].dtype.str,
            "chunks": [x.chunks for x in self.layouts],
            "shards": [x.shards for x in self.layouts],
            "version": self.version,
            "geometry": {k: v for k, v in own.items() if k != "complete"},
            "attributes": self.attributes,
        }


def write_image(
    path: Any,
    image: Any,
    name: str | None = None,
    *,
    overwrite: bool = False,
    progress: bool | Progress | None = None,
    version: str | None = None,
    label: str | None = None,
    chunks: Chunks | None = None,
    shards: Chunks | bool | None = None,
    levels: int | None = None,
    factors: int | Mapping[str, int] | None = None,
    method: str | None = None,
    oblique: Literal["refuse", "keep"] = "refuse",
    memory: int | str = _MEMORY,
    threads: int | None = None,
    resume: bool = False,
) -> None:
    """Write an OME-Zarr group with its pyramid, at a path or a zarr.storage.StorePath.

    See `spatial_duck.write`. `name` is the name of the image if its attrs have none; by default the
    last part of the path.
    """
    zarr = require("zarr", "Writing OME-Zarr")
    if version is not None and version not in VERSIONS:
        known = ", ".join(map(repr, VERSIONS))
        raise FormatError(f"version must be one of {known}, got {version!r}")
    if oblique not in ("refuse", "keep"):
        raise ValueError(f"oblique must be 'refuse' or 'keep', got {oblique!r}")
    target, written = path, version or "0.5"
    if label is not None:
        check_label(label, image.dtype)
        target, written = path / "labels" / label, _version_beside(zarr, path, version)
        method = method or "mode"
        if method not in ("mode", "label", "nearest"):
            raise ValueError(
                f"labels must keep their values: method must be 'mode' or 'nearest', got {method!r}"
            )
    budget, threads = _parse_bytes(memory), threads or _count_cpus()

    renamed, names = standard_names(image.geometry)
    image = image.replace(geometry=renamed)
    method = method or default_method(image)
    geometries, bins, data = _levels(image, written, levels, factors, method, oblique)
    plan = _make_plan(
        image, data, geometries, names, bins, label or name or path.name, written, method,
        (chunks, shards), label, budget, threads,
    )  # fmt: skip
    with _labels_folder(path / "labels") if label else nullcontext():
        _write_group(target, plan, overwrite, resume, progress, budget, threads)
        if label:
            register_label(path / "labels", label, written)


def write_to_store(
    place: Any,
    image: Any,
    *,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Write an OME-Zarr group into a store; see `spatial_duck.write`.

    Chunks are written in place, and the group's own metadata, which make it an image, last.
    """
    require("zarr", "Writing OME-Zarr")
    from spatial_duck.io.ngff._store import store_path

    target = store_path(place, storage_options)
    name = str(place).rstrip("/").rpartition("/")[2] if isinstance(place, str) else "image"
    write_image(target, image, name, **options)


@contextmanager
def _labels_folder(place: Any) -> Iterator[None]:
    """Create the folder of an image's labels, and remove it again if it stays empty."""
    if not isinstance(place, Path):
        yield
        return
    place.mkdir(exist_ok=True)
    try:
        yield
    finally:
        if not any(place.iterdir()):
            place.rmdir()


def _version_beside(zarr: Any, path: Any, version: str | None) -> str:
    """Return the version in which labels of the image in a group are written."""
    try:
        group = zarr.open_group(path, mode="r")
        attributes = dict(group.attrs)
        found = ngff.multiscales(path, attributes, None, lambda name: group[name][...])[0].version
    except Exception as error:
        raise FormatError(
            f"{path}: there is no OME-Zarr image to which labels could be added: {error}"
        ) from error
    own = ".".join(map(str, found))
    if own not in VERSIONS:
        known = ", ".join(VERSIONS)
        raise FormatError(f"{path}: it is of version {own}; labels are written beside {known}")
    if version is not None and VERSIONS[version] != VERSIONS[own]:
        raise FormatError(
            f"{path}: it is of version {own}, and its labels must be of the same Zarr format, got "
            f"version={version!r}; leave version= out"
        )
    return version or own


def _levels(
    image: Any, version: str, levels: int | None, factors: Any, method: str, oblique: str
) -> tuple[list[Geometry], list[tuple[int, ...]], Any]:
    """Return the geometry of each level, its bins, and the voxels of the finest level."""
    fitted = in_ngff_order(image, version)
    lost = describe_loss(fitted.geometry)
    if lost and oblique == "refuse" and version != "0.6":
        raise GeometryLossError(
            f"OME-Zarr {version} holds a scale and a translation along the world axes of the same "
            f"names, and would lose {lost}. Write version='0.6', which holds that; or accept that "
            "other readers see the image unrotated, with the exact geometry kept for this library, "
            "by oblique='keep'; or bring the image onto such a grid first with reorient(...) or "
            "resample(...)"
        )
    return *level_geometries(fitted.geometry, levels, factors, method), fitted.data


def _make_plan(
    image: Any,
    data: Any,
    geometries: list[Geometry],
    names: Mapping[str, Any],
    bins: list[tuple[int, ...]],
    name: str,
    version: str,
    method: str,
    lengths: tuple[Any, Any],
    label: str | None,
    budget: int,
    threads: int,
) -> _WritePlan:
    dtype = np.dtype(data.dtype)
    if dtype.kind not in "biufc" or dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise FormatError(
            f"OME-Zarr holds numbers of up to 64 bits, or two of them, got {dtype} voxels; use "
            "image.astype(...)"
        )
    dtype = dtype.newbyteorder("=")
    data = backends.dask_form(data)
    lazy = backends.is_dask(data)
    layouts = [ChunkLayout(g, dtype, *lengths, version, data.chunks if lazy else None)
               for g in geometries]  # fmt: skip
    attributes = make_attributes(image, geometries, version, method, name)
    if names:
        attributes[NAMESPACE]["names"] = names
    attributes[NAMESPACE]["complete"] = {"chunks": [x.count_files() for x in layouts]}
    if label is not None:
        add_source(attributes, version)
    shapes, written = [g.shape for g in geometries], [x.written for x in layouts]
    computed = dtype.itemsize * math.prod(data.chunksize) if lazy else None
    blocks = blockplan.make_block_plan(
        shapes, bins, written, dtype, method, budget, threads, computed
    )
    return _WritePlan(data, lazy, layouts, attributes, blocks, method, version)


def _write_group(
    path: Any,
    plan: _WritePlan,
    overwrite: bool,
    resume: bool,
    progress: bool | Progress | None,
    budget: int,
    threads: int,
) -> None:
    """Write a group, in a folder or another store, and publish it when it is complete."""
    fingerprint = plan.fingerprint()
    zarr_format = VERSIONS[plan.version]
    with _open_journal(path, fingerprint, zarr_format, overwrite, resume) as notes:
        if notes is None:
            return
        places = [notes.level(n) for n in range(len(plan.layouts))]
        is_resumed = notes.header is not None
        if not is_resumed:
            for layout, place in zip(plan.layouts, places, strict=True):
                layout.create(place)
            notes.begin({"fingerprint": fingerprint, "blocks": plan.blocks.blocks})
        # Finished blocks are known by their index, so a resumed write has the same blocks.
        blocks = plan.blocks._replace(blocks=tuple(map(tuple, (notes.header or {})["blocks"])))
        arrays = [open_to_write(place) for place in places]
        if is_resumed:
            notes.find_done(blocks, arrays)
        source, lazy_data = (None, plan.data) if plan.lazy else (plan.data, None)
        job = streaming.WriteJob(blocks, arrays, plan.method, notes, source)
        if notes.done:
            streaming.check_source(job, lazy_data)
        count = blocks.count_workers(plan.layouts[0].dtype.itemsize, job.row.reach, budget, threads)
        # The blocks of a resumed write may be too large for the memory given now: one at a time.
        streaming.write_blocks(job, lazy_data, max(1, count), reporter(progress))
        for n, layout in enumerate(plan.layouts):
            there, wanted = len(notes.chunk_files(n)), layout.count_files()
            if there != wanted:
                raise FormatError(
                    f"{path}: {there} of {wanted} chunk files of level {n} are there; others were "
                    "removed or added while it was written. Start again without resume=True"
                )
        attributes = notes.with_level_names(plan.attributes)
        for place in places:
            checksums.note_checksum(open_to_write(place), attributes)
        notes.finish(attributes, zarr_format)
        if isinstance(path, Path):
            copy_other_entries(path, notes.fresh, plan.version)


def _open_journal(
    path: Any, fingerprint: Mapping[str, Any], zarr_format: int, overwrite: bool, resume: bool
) -> AbstractContextManager[Any]:
    if isinstance(path, Path):
        return journal.journaled_write(path, fingerprint, overwrite=overwrite, resume=resume)
    from spatial_duck.io.ngff import _store_journal

    return _store_journal.journaled_write(
        path, fingerprint, zarr_format, overwrite=overwrite, resume=resume
    )


def _parse_bytes(memory: int | str) -> int:
    parse_bytes = require("dask.utils", "Writing OME-Zarr").parse_bytes
    return int(parse_bytes(memory))


def _count_cpus() -> int:
    from dask.system import CPU_COUNT

    return int(CPU_COUNT)


def open_to_write(place: Any) -> Any:
    """Return the array of a level, open for writing."""
    import zarr

    # Empty chunks are written too, so that a chunk that is not there is known to be missing.
    return zarr.open_array(place, mode="r+").with_config({"write_empty_chunks": True})
