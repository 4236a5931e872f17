"""Writing OME-TIFF and ImageJ's TIFF, page by page or tile by tile; see `_format`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.io import _safety as safety
from spatial_duck.io._axis_aligned import require_axis_aligned
from spatial_duck.io._axis_names import standard_names
from spatial_duck.io._coords import coords_by_axis, coords_to_json
from spatial_duck.io._json import to_record
from spatial_duck.io._layout import Fitted, Rules, check_dtype, fit_layout, in_order
from spatial_duck.io._option_values import check_tile
from spatial_duck.io._raster import write_raster
from spatial_duck.io._source import reporter, slabs
from spatial_duck.io.tiff._tags import WrittenAxes, imagej_tags, ome_tags

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


__all__ = ["RULES", "default_kind", "tifffile_module", "write_image"]

RULES = Rules(
    "TIFF", (), plain="first", plain_names=None, unspecified=True, named=True, moment=True
)
#: Data types of each kind of TIFF.
_DTYPES = {
    "ome": ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16"),
    "imagej": ("u1", "u2", "f4"),
}


def tifffile_module() -> Any:
    """Return tifffile; raise an ImportError that names the extra if it is missing."""
    return require("tifffile", "Reading and writing TIFF")


def default_kind(image: Any) -> Literal["ome", "geotiff"]:
    """Return the kind of TIFF of an image: a GeoTIFF if it has a coordinate reference system."""
    return "geotiff" if "crs" in image.attrs else "ome"


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    kind: Literal["ome", "imagej", "geotiff"] | None = None,
    oblique: Literal["refuse", "keep"] = "refuse",
    compress: bool = False,
    tile: int | None = None,
) -> None:
    """Write a TIFF file; see `spatial_duck.write`."""
    kind = kind or default_kind(image)
    if kind == "geotiff":
        write_raster(path, image, progress=progress, compress=compress, tile=tile)
        return
    tifffile = tifffile_module()
    if kind not in _DTYPES:
        raise ValueError(f"kind must be 'ome', 'imagej' or 'geotiff', got {kind!r}")
    renamed, names = standard_names(image.geometry)
    image = image.replace(geometry=renamed)
    fit = in_order(fit_layout(image, RULES, minimum=2), "tzpyx" if kind == "imagej" else "tpzyx")
    g = fit.geometry
    require_axis_aligned(g, "TIFF", oblique)
    if g.dims[-2:] != ("y", "x"):
        raise GeometryLossError(
            f"TIFF's planes run along y and x, and the image has dims {image.dims!r}; "
            "rename them with image.replace(dims=...)"
        )
    own = image.world.axes
    g = g.to_world([*own, *[n for n in g.world.axes if n not in own]])
    if 0 in g.shape:
        raise FormatError(f"TIFF cannot hold an image without voxels, got shape {g.shape}")
    name = f"{'ImageJ' if kind == 'imagej' else 'OME'}-TIFF"
    dtype = check_dtype(np.dtype(fit.data.dtype), _DTYPES[kind], name).newbyteorder("=")
    letters = "".join(_letter(name) for name in g.dims)
    coords = coords_to_json(coords_by_axis(image, g.dims))
    record = {**to_record(g, image.attrs, coords), **({"names": names} if names else {})}
    make = ome_tags if kind == "ome" else imagej_tags
    axes = WrittenAxes(g, letters, image.coords, image.attrs.get(kind) or {})
    metadata, options = make(axes, json.dumps(record))
    if compress:
        options |= {"compression": "zlib", "rowsperstrip": g.shape[-2]}
    if tile is not None:
        options["tile"] = (check_tile(tile),) * 2
        options.pop("rowsperstrip", None)
    report, done = reporter(progress), 0
    total = safety.count_bytes(g.shape, dtype)

    def planes() -> Iterator[NDArray[Any]]:
        nonlocal done
        for plane in _planes(fit, dtype):
            yield from _tiles(plane, options["tile"][0]) if tile is not None else [plane]
            done += plane.nbytes
            report(done, total)

    big = total > (1 << 32) - (1 << 25)
    if big and kind == "imagej":
        raise FormatError("ImageJ's TIFF holds 4 GiB at most; use kind='ome'")
    with tifffile.TiffWriter(
        path, bigtiff=big, ome=kind == "ome", imagej=kind == "imagej"
    ) as writer:
        writer.write(
            planes(), shape=g.shape, dtype=dtype, photometric="minisblack",
            metadata=metadata, **options,
        )  # fmt: skip


def _letter(name: str | None) -> str:
    return {"t": "T", "z": "Z", "y": "Y", "x": "X"}.get(name or "", "C")


def _planes(fit: Fitted, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the planes of an image one by one, joined from slabs of any size."""
    rows, columns = fit.geometry.shape[-2:]
    parts: list[NDArray[Any]] = []
    count, size = 0, rows * columns
    for slab in slabs(fit.data, dtype):
        flat = slab.reshape(-1)
        while flat.size:
            part = flat[: size - count]
            flat = flat[part.size :]
            parts.append(part)
            count += part.size
            if count == size:
                whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
                yield whole.reshape(rows, columns)
                parts, count = [], 0


def _tiles(plane: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Yield the tiles of a plane, padded with 0 at its ends."""
    for row in range(0, plane.shape[0], size):
        for column in range(0, plane.shape[1], size):
            part = plane[row : row + size, column : column + size]
            if part.shape != (size, size):
                part = np.pad(part, [(0, size - n) for n in part.shape])
            yield np.ascontiguousarray(part)
