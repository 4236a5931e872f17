"""OME-Zarr 0.4 (Zarr format 2) and 0.5 (Zarr format 3), through zarr-python.

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

Levels are made by mean, each a Zarr array whose translation has (s_n - s_0) / 2 added. Chunks carry
checksums (crc32c in format 3, gzip's in format 2). The group is written beside its target and
renamed, so that the target is complete or not there.

Options of `read`: ``multiscale`` (which of several, by number), ``exact=False`` (the standard's
metadata alone). Options of `write`: ``version`` ("0.5" or "0.4"), ``chunks`` (int, by name, or one
for each axis t, c, z, y, x), ``levels``, ``factors`` and ``method`` as for `spatial_duck.pyramid`,
``oblique`` ("refuse" or "keep").
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, GeometryLossError, missing_extra
from spatial_duck.io import ngff, safety
from spatial_duck.io.source import Source, reporter
from spatial_duck.multiscale import METHODS, level_factors, shrunk_geometry

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from spatial_duck.geometry import Geometry
    from spatial_duck.io.source import Progress

    Chunks = int | Mapping[str, int] | Sequence[int]

__all__ = ["open_source", "write_image"]

#: Voxels of a chunk along space axes, by how many space axes there are.
_CHUNK = {1: 1 << 20, 2: 1024, 3: 96}
#: Bytes of a region that is copied at once, at least one chunk.
_REGION_BYTES = 1 << 26
_SMALLEST = 64


def _zarr(what: str) -> Any:
    try:
        import zarr
    except ImportError:
        raise missing_extra("zarr", "zarr", what) from None
    return zarr


def open_source(
    path: str | os.PathLike[str],
    *,
    level: int = 0,
    multiscale: int = 0,
    exact: bool = True,
) -> Source:
    """Open an OME-Zarr group; see `spatial_duck.read`."""
    zarr = _zarr("Reading OME-Zarr")
    from spatial_duck.backends.zarr import ZarrView

    try:
        group = zarr.open_group(str(path), mode="r")
        attributes = dict(group.attrs)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # each store raises its own
        raise FormatError(f"{path}: it cannot be opened as a Zarr group: {error}") from error
    scales = ngff.multiscales(path, attributes)
    if not 0 <= multiscale < len(scales):
        raise FormatError(f"{path}: it has {len(scales)} multiscales, {multiscale} was asked for")
    chosen = scales[multiscale]
    count = len(chosen.datasets)
    if not -count <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    dataset = chosen.datasets[level]
    try:
        array = group[dataset.path]
        shape = tuple(array.shape)
    except Exception as error:  # a missing array, or metadata that are not valid
        raise FormatError(f"{path}: its level {dataset.path!r} is not valid: {error}") from error
    try:
        geometry = ngff.standard_geometry(path, chosen, dataset, shape)
        if exact and multiscale == 0:
            own = attributes.get(ngff.NAMESPACE)
            geometry = ngff.exact_geometry(path, own, dataset.path, geometry)
    except GeometryError as error:
        raise FormatError(f"{path}: its geometry is not valid: {error}") from error

    def load(lazy: bool | None) -> Any:
        view = ZarrView(array)
        if lazy is False:
            safety.check_memory(path, safety.count_bytes(shape, np.dtype(array.dtype)))
            return np.asarray(view)
        return view

    attrs = ngff.kept_attrs(attributes, chosen)
    return Source("ome-zarr", geometry, np.dtype(array.dtype), attrs, load, count)


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    overwrite: bool = False,
    progress: bool | Progress | None = None,
    version: Literal["0.5", "0.4"] = "0.5",
    chunks: Chunks | None = None,
    levels: int | None = None,
    factors: int | Mapping[str, int] = 2,
    method: str = "mean",
    oblique: Literal["refuse", "keep"] = "refuse",
) -> None:
    """Write an OME-Zarr group with its pyramid; see `spatial_duck.write`."""
    zarr = _zarr("Writing OME-Zarr")
    if version not in ("0.4", "0.5"):
        raise FormatError(f"version must be '0.5' or '0.4', got {version!r}")
    if oblique not in ("refuse", "keep"):
        raise ValueError(f"oblique must be 'refuse' or 'keep', got {oblique!r}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    fitted = ngff.arranged(image)
    lost = ngff.what_is_lost(fitted.geometry)
    if lost and oblique == "refuse":
        raise GeometryLossError(
            f"OME-Zarr {version} holds a scale and a translation along axes of their own names, "
            f"and would lose {lost}. Accept that other readers see the image unrotated, with the "
            "exact geometry kept for this library, by oblique='keep'; or bring the image onto such "
            "a grid first with reorient(...) or resample(...)"
        )
    geometries, bins = _levels(fitted.geometry, levels, factors)
    dtype = np.dtype(fitted.data.dtype).newbyteorder("=")
    if dtype.kind not in "biufc":
        raise FormatError(f"OME-Zarr holds numbers, got {dtype} voxels; use image.astype(...)")
    attributes = ngff.attributes(image, geometries, version, method, name=path.name)
    total = sum(safety.count_bytes(g.shape, dtype) for g in geometries)
    report, done = reporter(progress), 0
    with safety.published(path, overwrite=overwrite, directory=True) as fresh:
        group = zarr.create_group(
            str(fresh), zarr_format=2 if version == "0.4" else 3, attributes=attributes
        )
        finer: Any = fitted.data
        for n, g in enumerate(geometries):
            array = _create(group, str(n), g, dtype, _chunks(g, chunks), version)
            for size in _copied(finer, array, bins[n], method):
                done += size
                report(done, total)
            finer = array


def _levels(
    geometry: Geometry, levels: int | None, factors: Any
) -> tuple[list[Geometry], list[tuple[int, ...]]]:
    """Return the geometry of each level and its factors against the one before."""
    geometries, bins = [geometry], [(1,) * geometry.ndim]
    while levels is None or len(geometries) < levels:
        g = geometries[-1]
        space = [n for n, name in zip(g.shape, g.dims, strict=True) if name in ("x", "y", "z")]
        step = level_factors(g, factors)
        if (levels is None and max(space, default=0) <= _SMALLEST) or max(step, default=1) == 1:
            break
        bins.append(step)
        geometries.append(shrunk_geometry(g, step))
    return geometries, bins


def _chunks(g: Geometry, chunks: Any) -> tuple[int, ...]:
    space = [name in ("x", "y", "z") for name in g.dims]
    if isinstance(chunks, Sequence):
        wanted = list(chunks)
    elif isinstance(chunks, Mapping):
        wanted = [chunks.get(name, 0) for name in g.dims]
    else:
        wanted = [int(chunks) if chunks and s else 0 for s in space]
    if len(wanted) != g.ndim or any(c != int(c) or c < 0 for c in wanted):
        raise FormatError(f"chunks must hold a positive int for each of {g.dims!r}, got {chunks!r}")
    default = _CHUNK.get(sum(space), 96)
    return tuple(
        max(1, min(n, int(c) or (default if s else 1)))
        for n, c, s in zip(g.shape, wanted, space, strict=True)
    )


def _create(
    group: Any, name: str, g: Geometry, dtype: Any, chunks: tuple[int, ...], version: str
) -> Any:
    common = {"shape": g.shape, "dtype": dtype, "chunks": chunks, "fill_value": 0}
    if version == "0.4":
        import numcodecs

        return group.create_array(
            name,
            # What every reader of format 2 knows, with a checksum (CRC-32).
            compressors=numcodecs.GZip(level=1),
            chunk_key_encoding={"name": "v2", "separator": "/"},
            **common,
        )
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return group.create_array(
        name,
        compressors=(ZstdCodec(level=3), Crc32cCodec()),
        dimension_names=list(ngff.axis_names(g)),
        **common,
    )


def _copied(source: Any, target: Any, bins: tuple[int, ...], method: str) -> Iterator[int]:
    """Copy an array into a Zarr array, binned, region by region; yield the bytes of each."""
    kernel = METHODS[method].kernel
    if hasattr(source, "dask"):
        # One chunk of the graph computed for several regions would be computed several times.
        source = source.rechunk(tuple(_whole_chunks(source.chunks, target.chunks)))
    for region in _regions(target):
        box = tuple(
            slice(s.start * f, s.stop * f) for s, f in zip(region, bins, strict=True)
        )
        block = np.asarray(source[box])
        target[region] = kernel(block, bins) if max(bins, default=1) > 1 else block
        yield target.dtype.itemsize * math.prod(s.stop - s.start for s in region)


def _whole_chunks(chunks: Any, wanted: tuple[int, ...]) -> Iterator[Any]:
    for have, chunk in zip(chunks, wanted, strict=True):
        yield have if all(n % chunk == 0 for n in have[:-1]) else chunk


def _regions(array: Any) -> Iterator[tuple[slice, ...]]:
    """Yield boxes of whole chunks that together cover a Zarr array."""
    budget = max(1, _REGION_BYTES // max(1, array.dtype.itemsize * math.prod(array.chunks)))
    steps = []
    # The last axes first, so that a region is long along the axis that lies together in memory.
    for n, chunk in zip(reversed(array.shape), reversed(array.chunks), strict=True):
        count = min(budget, max(1, -(-n // chunk)))
        budget //= count
        steps.append(count * chunk)
    ranges = [range(0, n, step) for n, step in zip(array.shape, reversed(steps), strict=True)]
    for starts in itertools.product(*ranges):
        yield tuple(
            slice(start, min(start + step, n))
            for start, step, n in zip(starts, reversed(steps), array.shape, strict=True)
        )
