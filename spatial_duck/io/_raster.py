"""Geometry, coordinates of bands and pixels of an open rasterio dataset.

Arrays are indexed ``(band, y, x)``. A raster's transform gives the **corner** of a pixel,
``xy(0, 0) = T @ (0.5, 0.5)``; here the origin is the centre. The coordinate reference system (CRS)
is WKT in ``attrs["crs"]``; the anatomical frame is unspecified.

Metadata in which bands differ are coordinates along ``band``: ``band`` (their numbers),
``description``, ``color_interpretation``, ``unit``, ``scale_factor`` and ``add_offset``,
``no_data``. A value for no data that all bands have in common is ``attrs["nodata"]``.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryLossError, UnsafeInputError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io import _safety as safety
from spatial_duck.io._identity import Identity
from spatial_duck.io._layout import Rules, check_dtype, fit_layout
from spatial_duck.io._option_values import check_tile
from spatial_duck.io._source import Source, reporter, slab_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray

__all__ = [
    "SIDECARS",
    "corner_transform",
    "fit_raster",
    "held_by_bands",
    "open_raster",
    "raster_geometry",
    "raster_profile",
    "raster_source",
    "write_raster",
]

_RULES = Rules("rasterio", (), plain="first", plain_names=None, unspecified=True, time=False)
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16")
#: Coordinates along the axis of bands, by what rasterio calls them.
_OF_BANDS = {
    "description": "descriptions",
    "unit": "units",
    "scale_factor": "scales",
    "add_offset": "offsets",
}

#: Suffixes of the files beside a raster that GDAL reads as parts of it: metadata, overviews, mask.
SIDECARS = (".aux.xml", ".ovr", ".msk")
_TIFF_HEADS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def raster_geometry(
    shape: tuple[int, ...], transform: Any, unit: str | None, band: bool
) -> Geometry:
    """Return the geometry of an affine transform of corners, by column and row.

    Parameters
    ----------
    shape : tuple of int
        ``(band, y, x)`` or ``(y, x)``.
    transform : affine.Affine or six numbers
        Transform of the corners of pixels.
    unit : str or None
        Unit of both axes of the world.
    band : bool
        Whether the first axis is one of bands.
    """
    corner = np.array(transform, np.float64).ravel()[:6].reshape(2, 3)
    center = np.vstack([corner, [0, 0, 1]]) @ _HALF
    # Rows first, then columns.
    matrix = center[:, [1, 0, 2]]
    dims = (*(["band"] if band else []), "y", "x")
    return Geometry.from_affine(shape, matrix, dims, world=World(("x", "y"), unit))


def corner_transform(g: Geometry) -> list[float]:
    """Return the six numbers of a geometry's transform of corners."""
    center = g.affine[:, [1, 0, 2]]
    corner = center @ np.linalg.inv(_HALF)
    return [float(v) for v in corner[:2].ravel()]


def _unit(crs: Any) -> str | None:
    if not crs:
        return None
    name = "degree" if crs.is_geographic else str(crs.linear_units)
    return {"metre": "m", "meter": "m", "unknown": None, "": None}.get(name, name)


def open_raster(path: Path, series: int = 0, level: int = 0) -> Source:
    """Open a raster file with rasterio.

    Parameters
    ----------
    path : Path
        The file.
    series : int, optional
        Subdataset, counted from 0.
    level : int, optional
        Overview, 0 the pixels themselves.
    """
    # A bare name might be read as a driver's: "GTIFF_DIR:1:a.tif".
    name = str(path.absolute())
    _check_beside(Path(name))
    with _opened(name, 0) as file:
        _check_self_contained(path, file)
        if not (series or level):
            return raster_source(file)
        parts = [name, *file.subdatasets]
    if not 0 <= series < len(parts):
        raise FormatError(f"{path}: series must be 0 to {len(parts) - 1}, got {series}")
    if series:
        if not re.fullmatch(rf"GTIFF_DIR:\d+:{re.escape(name)}", parts[series]):
            raise _elsewhere_error(path, "series", parts[series])
        with _opened(parts[series], 0) as file:
            _check_self_contained(path, file)
    with _opened(parts[series], level) as file:
        return raster_source(file, level)


def _check_beside(path: Path) -> None:
    """Refuse files beside a raster that GDAL would open as what they are not, or wait for.

    Overviews and masks are opened by their content: a VRT may name any file and any URL.
    """
    safety.check_beside(path)
    for suffix in SIDECARS[1:]:
        other = path.with_name(path.name + suffix)
        if other.is_file():
            with other.open("rb") as file:
                if file.read(4) not in _TIFF_HEADS:
                    raise FormatError(f"{other}: it must be a TIFF file, as {path.name} is")


def _check_self_contained(path: Path, dataset: Any) -> None:
    """Refuse a raster with parts in another folder than its own, or its link's."""
    named = dataset.tags(ns="OVERVIEWS").get("OVERVIEW_FILE")
    if named is not None:
        raise _elsewhere_error(path, "overviews", named)
    dataset.overviews(1)  # GDAL looks for them now, and lists their files with the others
    folders = {path.resolve().parent, path.parent.resolve()}
    for name in dataset.files:
        if not any(Path(name).resolve().is_relative_to(folder) for folder in folders):
            raise _elsewhere_error(path, "parts", name)


def _elsewhere_error(path: Path, what: str, name: str) -> UnsafeInputError:
    return UnsafeInputError(
        f"{path}: its {what} lie in another file, {name!r}, which is not followed; if you trust "
        "it, open it with rasterio: from_rasterio(rasterio.open(...))"
    )


@contextmanager
def _opened(path: str, level: int) -> Iterator[Any]:
    """Open a dataset or an overview; what rasterio raises meanwhile becomes a `FormatError`."""
    rasterio = require("rasterio", "Reading georeferenced rasters")
    options = {"overview_level": level - 1} if level else {}
    try:
        with rasterio.open(path, **options) as file:
            yield file
    except (MemoryError, RecursionError, FormatError):
        raise
    except Exception as error:  # GDAL's own errors are of no public class
        said = error.__cause__ or error
        raise FormatError(f"{path}: rasterio cannot read it: {said}") from error


def raster_source(dataset: Any, level: int = 0) -> Source:
    """Return the source of an open dataset.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Open for reading. Ground control points and RPCs are ignored.
    level : int, optional
        Overview that was opened.

    Returns
    -------
    Source
        Lazy, a Dask array of the file's blocks that opens the file again for each.
    """
    shape = (dataset.count, dataset.height, dataset.width)
    geometry = raster_geometry(shape, dataset.transform, _unit(dataset.crs), band=True)
    dtype = np.result_type(*dataset.dtypes)
    files = {Path(file) for file in dataset.files if Path(file).is_file()}
    # Overviews beside it that are not there yet would be read in place of its own.
    files |= {file.with_name(file.name + ".ovr") for file in files}
    identity = Identity.of(sorted(files))
    reader = _Reader(dataset.name, level, dtype)
    block = tuple(dataset.block_shapes[0])

    def load(lazy: bool | None) -> Any:
        if lazy:
            return _blocks(reader, shape, block)
        safety.check_memory(dataset.name, safety.count_bytes(shape, dtype))
        return reader.read(list(range(1, shape[0] + 1)))

    levels = 1 + len(dataset.overviews(1)) if not level else level + 1
    attrs, coords = _attrs(dataset), _coords(dataset)
    return Source("tiff", geometry, dtype, attrs, load, levels, coords, identity)


class _Reader:
    """Reads windows of a dataset, which it opens again each time; it can be pickled."""

    def __init__(self, name: str, level: int, dtype: np.dtype[Any]) -> None:
        self.name, self.level, self.dtype = name, level, dtype

    def read(self, bands: list[int], window: Any = None) -> NDArray[Any]:
        with _opened(self.name, self.level) as file:
            return np.asarray(file.read(bands, window=window, out_dtype=self.dtype))

    def block(self, block_info: Any = None) -> NDArray[Any]:
        windows = require("rasterio.windows", "Reading georeferenced rasters")
        (b0, b1), (r0, r1), (c0, c1) = block_info[None]["array-location"]
        window = windows.Window(c0, r0, c1 - c0, r1 - r0)
        return self.read(list(range(b0 + 1, b1 + 1)), window)


def _blocks(reader: _Reader, shape: tuple[int, ...], block: tuple[int, ...]) -> Any:
    da = require("dask.array", "Reading with lazy=True")
    # Strips of one row would make a block of each: put some together.
    rows = block[0] * max(1, 256 // block[0])
    safety.check_chunk_count(reader.name, shape, (1, rows, block[1]))

    def cut(n: int, size: int) -> Iterator[int]:
        return (min(size, n - i) for i in range(0, n, size))

    chunks = ((1,) * shape[0], tuple(cut(shape[1], rows)), tuple(cut(shape[2], block[1])))
    empty = np.empty((0, 0, 0), reader.dtype)
    return da.map_blocks(reader.block, chunks=chunks, dtype=reader.dtype, meta=empty)


def _attrs(dataset: Any) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    if dataset.crs:
        attrs["crs"] = dataset.crs.to_wkt()
    values = {repr(v) for v in dataset.nodatavals}
    if len(values) == 1 and dataset.nodata is not None:
        attrs["nodata"] = dataset.nodata
    tags = dict(dataset.tags())
    if tags:
        attrs["tags"] = tags
    return attrs


def _coords(dataset: Any) -> dict[str, Any]:
    coords: dict[str, Any] = {"band": ("band", list(dataset.indexes))}
    if any(dataset.descriptions):
        coords["description"] = ("band", [text or "" for text in dataset.descriptions])
    if any(dataset.units):
        coords["unit"] = ("band", [text or "" for text in dataset.units])
    names = [color.name for color in dataset.colorinterp]
    if set(names) - {"gray", "undefined"}:
        coords["color_interpretation"] = ("band", names)
    if set(dataset.scales) != {1.0} or set(dataset.offsets) != {0.0}:
        coords["scale_factor"] = ("band", list(dataset.scales))
        coords["add_offset"] = ("band", list(dataset.offsets))
    if len({repr(v) for v in dataset.nodatavals}) > 1:
        values = [np.nan if v is None else float(v) for v in dataset.nodatavals]
        coords["no_data"] = ("band", values)
    return coords


# --- writing ------------------------------------------------------------------------------


def fit_raster(image: SpatialArray) -> tuple[Any, Geometry]:
    """Return the data and geometry of an image in the axis order of a raster."""
    extra = [n for n in image.world.axes if n not in ("x", "y")]
    if extra:
        raise GeometryLossError(
            f"a raster has the world axes x and y, and would lose {extra!r}; take a slice along "
            "them and give it a new geometry with SpatialArray(image.data, ...)"
        )
    data, g = fit_layout(image, _RULES, minimum=2)
    if 0 in g.shape:
        raise FormatError(f"a raster cannot be without pixels, got shape {g.shape}")
    return data, g


def raster_profile(image: SpatialArray) -> tuple[Any, dict[str, Any]]:
    """Return an image as an array ``(band, y, x)`` and rasterio's profile to write it."""
    import rasterio

    data, g = fit_raster(image)
    array = data if g.ndim == 3 else data[None]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": array.shape[0],
        "height": array.shape[1],
        "width": array.shape[2],
        "dtype": np.dtype(array.dtype).name,
        "transform": rasterio.Affine(*corner_transform(g)),
    }
    profile |= {k: image.attrs[k] for k in ("crs", "nodata") if k in image.attrs}
    return array, profile


def held_by_bands(image: SpatialArray) -> list[str]:
    """Return the coordinates of an image that a GeoTIFF holds."""
    bands = {n: c for n, c in image.coords.items() if c.ndim == 1 and c.dims != ("y",)}
    held = [n for n in _OF_BANDS if n in bands]
    if "band" in bands and list(bands["band"]) == [*range(1, len(bands["band"]) + 1)]:
        held.append("band")
    return held


def write_raster(
    path: Path,
    image: SpatialArray,
    *,
    progress: Any = None,
    compress: bool = False,
    tile: int | None = None,
) -> None:
    """Write a GeoTIFF file; see `spatial_duck.write`."""
    rasterio = require("rasterio", "Writing GeoTIFF")
    array, profile = raster_profile(image)
    dtype = check_dtype(np.dtype(array.dtype), _DTYPES, "GeoTIFF").newbyteorder("=")
    profile |= {"dtype": dtype.name, "BIGTIFF": "IF_SAFER"}
    if compress:
        profile["compress"] = "deflate"
    if tile is not None:
        side = check_tile(tile)
        profile |= {"tiled": True, "blockxsize": side, "blockysize": side}
    report, done, total = reporter(progress), 0, safety.count_bytes(array.shape, dtype)
    try:
        with rasterio.open(path, "w", **profile) as file:
            for name in held_by_bands(image):
                if name in _OF_BANDS:
                    setattr(file, _OF_BANDS[name], list(image.coords[name]))
            file.update_tags(**{k: str(v) for k, v in (image.attrs.get("tags") or {}).items()})
            for key in slab_keys(array.shape, dtype, backends.chunks(array)):
                whole = (*key, *[slice(None)] * (3 - len(key)))
                box = [
                    slice(k, k + 1) if isinstance(k, int) else slice(*k.indices(n)[:2])
                    for k, n in zip(whole, array.shape, strict=True)
                ]
                part = backends.to(backends.index(array, tuple(box)), "numpy")
                window = rasterio.windows.Window.from_slices(*box[1:])
                bands = [*range(box[0].start + 1, box[0].stop + 1)]
                file.write(np.ascontiguousarray(part, dtype=dtype), bands, window=window)
                done += part.nbytes
                report(done, total)
    except rasterio.errors.RasterioError as error:
        raise FormatError(f"{path.name}: rasterio cannot write it: {error}") from error
