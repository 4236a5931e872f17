"""TIFF, OME-TIFF and ImageJ's TIFF, through tifffile.

A series is opened lazily as a view of tifffile's Zarr store; nothing is read. Dims go by the file's
axes, T, Z, Y, X as ``t, z, y, x``, C or S (samples) as ``c``, others without a name.

===========  =====================================================================================
OME-TIFF     ``PhysicalSizeX``, …, ``TimeIncrement`` with their units (µm and s where none is
             given); positions and times of planes; channels as coordinates (`._ome`); of a
             file that belongs to others by their companion (`._companion`)
ImageJ       resolution tags, ``spacing``, ``finterval``, units of each axis, origins, labels,
             ranges and colors (`._dialects`)
microscopes  LSM, SVS, FEI, Zeiss SEM, Olympus SIS, MetaMorph, Micro-Manager, FluoView: their own
             sizes; others are refused by name (`._dialects`)
GeoTIFF      through rasterio (`spatial_duck.io._raster`), or refused
plain        resolution tags in inches, cm, mm or µm; one that only scales pixels against each
             other is not used
===========  =====================================================================================

What has no such entry has spacing 1 and no unit. TIFF has no direction and no frame. The exact
geometry is kept beside it (`spatial_duck.io._json`), in OME-TIFF as a MapAnnotation and in ImageJ's
as a key, both ``spatial_duck``, and used as long as it fits shape, spacing and place. An image that
is oblique, flipped or a slice in 3-D is refused, or with ``oblique="keep"`` written although other
software sees it unrotated.

Options of `read`: ``series`` (number, 0), ``exact=False`` (the standard's metadata alone),
``plain=True`` (pixels and the tags of TIFF itself alone), and ``level`` of a pyramid. Options of
`write`: ``kind`` ("ome", the default, or "imagej"), ``oblique``, ``compress=True`` (zlib), ``tile``
(side of tiles in pixels).
"""

from __future__ import annotations

import logging
import math
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import missing_extra
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.io import _safety as safety
from spatial_duck.io._axis_facts import coords_from_json
from spatial_duck.io._format import Format
from spatial_duck.io._json import from_record, parse_record
from spatial_duck.io._raster import open_raster
from spatial_duck.io._source import Source
from spatial_duck.io.tiff._companion import check_series_is_here, open_tiff
from spatial_duck.io.tiff._described import (
    Described,
    converted,
    coords_of,
    standard_geometry,
)
from spatial_duck.io.tiff._dialects import (
    DIALECTS,
    UNREAD,
    imagej_metadata,
    plain_metadata,
    refuse_unread,
)
from spatial_duck.io.tiff._ome import check_ome, ome_metadata, parsed_xml
from spatial_duck.io.tiff._write import RULES, tifffile_module, write_image

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterator, Mapping

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["FORMAT", "RULES"]


def open_source(
    path: str | os.PathLike[str],
    *,
    series: int = 0,
    level: int = 0,
    exact: bool = True,
    plain: bool = False,
) -> Source:
    """Open a series of a TIFF file; see `spatial_duck.read`."""
    place = Path(path)
    tifffile_module()
    if not plain and _is_raster(place):
        return _raster(place, series, level)
    try:
        with _complaints() as complaints, open_tiff(place, plain) as file:
            _check_dialect(place, file, series, plain)
            chosen, whole, count = _level(place, file, series, level)
            axes, shape = str(chosen.axes), tuple(int(n) for n in chosen.shape)
            dtype = np.dtype(chosen.dtype)
            # Pages may be of another file, which is not mapped in this one.
            contiguous = chosen.dataoffset
            if contiguous is not None and any(p.parent is not file for p in chosen.pages if p):
                contiguous = None
            if contiguous is not None:
                dtype = dtype.newbyteorder(file.byteorder)
            found = _described(place, file, whole, series, plain)
            geometry, attrs, coords = _facts(place, found, axes, shape, exact and level == 0)
            if level:
                geometry = _coarser(geometry, tuple(int(n) for n in whole.shape), shape)
            offset = None if contiguous is None else int(contiguous)
            needed, pages = safety.count_bytes(shape, dtype), len(chosen.pages)
            page = chosen.keyframe
            listed, declared = len(page.dataoffsets), math.prod(page.chunked)
            if listed < declared:
                raise FormatError(f"{place}: it lists {listed} tiles or strips of {declared}")
        if complaints:
            # Else a file that lost its metadata would be read without its geometry.
            raise FormatError(f"{place}: it is not a valid TIFF file: {complaints[0]}")
    except (MemoryError, RecursionError):
        raise
    except GeometryError as error:
        raise FormatError(f"{place}: its geometry is not valid: {error}") from error
    except (FormatError, Warning):
        raise
    except Exception as error:  # tifffile raises many kinds for a file that is not valid
        raise FormatError(f"{place}: it is not a valid TIFF file: {error}") from error
    if dtype.kind not in "biufc":
        raise FormatError(f"{place}: voxels must be numbers, got {dtype}")
    # Missing tiles are allowed, and read as 0: then what counts is whether memory can hold them.
    safety.check_size(place, pages if offset is None else needed, offset or 0)

    def read() -> NDArray[Any]:
        safety.check_memory(place, needed)
        try:
            with open_tiff(place, plain) as file:
                values = _level(place, file, series, level)[0].asarray()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # as above, and each codec's own
            raise FormatError(f"{place}: its voxels cannot be read: {error}") from error
        if np.size(values) != math.prod(shape):
            raise FormatError(f"{place}: expected shape {shape}, got {np.shape(values)}")
        return np.asarray(values).reshape(shape)

    def view() -> Any:
        import zarr

        from spatial_duck.backends.zarr._view import ZarrView
        from spatial_duck.io.tiff._store import open_store

        store = open_store(str(place.absolute()), series, level, plain)
        return ZarrView(zarr.open_array(store, mode="r"))

    def loaded(lazy: bool | None) -> Any:
        if lazy is False or 0 in shape:
            return read()
        if offset is not None:
            return safety.map_raw(place, dtype, shape, offset)
        try:
            return view()
        except ImportError:
            if lazy is None:
                return read()
            raise missing_extra("zarr", "Reading TIFF with lazy=True") from None

    def load(lazy: bool | None) -> Any:
        return _expanded(loaded(lazy), geometry.shape)

    return Source("tiff", geometry, dtype, attrs, load, count, coords)


def _raster(path: Path, series: int, level: int) -> Source:
    """Open a GeoTIFF with rasterio, or say that it is one."""
    try:
        return open_raster(path, series, level)
    except ImportError as error:
        raise FormatError(
            f"{path}: it is a GeoTIFF, georeferenced by tags that rasterio reads; install rasterio "
            "(pip install 'spatial_duck[interop]'), or read its pixels alone with plain=True"
        ) from error


def _check_dialect(path: Path, file: Any, series: int, plain: bool) -> None:
    """Refuse, before tifffile makes pages of it, what is not read as it is meant."""
    if file.is_ome and file.ome_metadata:
        root = parsed_xml(path, str(file.ome_metadata))
        if not plain:
            check_ome(path, root)
            if "BinaryOnly" in str(file.pages.first.description):
                check_series_is_here(path, root, series)


def _is_raster(path: Path) -> bool:
    """Whether a file is a GeoTIFF, of those that are no OME-TIFF."""
    try:
        with tifffile_module().TiffFile(path) as file:
            return bool(file.is_geotiff and not file.is_ome)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # tifffile raises many kinds; it is opened again, and then said to be damaged
        return False


@contextmanager
def _complaints() -> Iterator[list[str]]:
    """Gather what tifffile logs as errors, and goes on after."""
    found: list[str] = []

    class Gathering(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    handler = Gathering(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def _level(path: Path, file: Any, series: int, level: int) -> tuple[Any, Any, int]:
    """Return a level of a series, its finest one, and the number of levels."""
    found = file.series
    if not 0 <= series < len(found):
        raise FormatError(f"{path}: it has {len(found)} series, {series} was asked for")
    count = len(found[series].levels)
    if not 0 <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    return found[series].levels[level], found[series], count


def _described(path: Path, file: Any, chosen: Any, series: int, plain: bool) -> Described:
    """Return what the metadata of a series say, by the dialect of the file."""
    page, axes = chosen.keyframe, str(chosen.axes)
    shape = tuple(int(n) for n in chosen.shape)
    flags = set(file.flags)
    if plain:
        return plain_metadata(page)
    if chosen.kind == "ome":
        root = parsed_xml(path, str(file.ome_metadata))
        return ome_metadata(path, root, series, shape, axes)
    for name, read in DIALECTS.items():
        if name in flags and not (file.is_imagej and name == "micromanager"):
            return read(file, page)
    for name in UNREAD:
        if name in flags:
            refuse_unread(path, name)
    if file.is_imagej and file.imagej_metadata:
        return imagej_metadata(path, dict(file.imagej_metadata), page, axes, shape)
    return plain_metadata(page)


def _facts(
    path: Path, found: Described, axes: str, shape: tuple[int, ...], exact: bool
) -> tuple[Geometry, dict[str, Any], dict[str, Any]]:
    """Return geometry, attrs and coordinates of a series, exactly where they were kept.

    A coordinate that the metadata state otherwise than it was kept has been changed since.
    """
    geometry = standard = standard_geometry(axes, shape, found)
    kept: dict[str, Any] = {}
    carried: dict[str, Any] = {}
    if found.record and exact:
        record = parse_record(path, str(found.record))
        geometry = _fitting(path, record, standard, found.origin)
        kept = dict(record.get("attrs") or {})
        if geometry is not standard:
            carried = coords_from_json(path, record.get("coords"), geometry)
    stated = dict(coords_of(found, geometry.dims))
    for name in set(stated) & set(carried):
        if _agree(stated[name], carried[name]):
            del stated[name]
    return geometry, kept | ({found.name: found.attrs} if found.attrs else {}), carried | stated


def _agree(stated: Any, kept: Any) -> bool:
    """Whether metadata state a coordinate that was kept, as far as they can: (axis, values, …)."""
    a, b = (np.asarray(each[1]) for each in (stated, kept))
    units = [dict(each[2]).get("unit") if each[2:] else None for each in (stated, kept)]
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "iufb" and b.dtype.kind in "iufb":
        scale = converted(1.0, units[1], units[0]) if None not in units else 1.0
        return scale is not None and np.allclose(a, b * scale, 1e-6, 0, equal_nan=True)
    return [str(v).upper() for v in a.ravel()] == [str(v).upper() for v in b.ravel()]


def _fitting(
    path: Path, record: Mapping[str, Any], standard: Geometry, origin: Mapping[str, float]
) -> Geometry:
    """Return the exact geometry that was kept, where it fits the sizes and places stated."""
    kept = tuple(int(n) for n in record.get("shape") or ())
    exact = from_record(path, record, kept)
    units = dict(zip(standard.world.axes, standard.unit, strict=True))
    steps = dict(zip(standard.world.axes, standard.spacing, strict=True))
    same = _squeezed(exact.shape) == _squeezed(standard.shape)
    for i, s, column in zip(exact.sampled_axes, exact.spacing, exact.direction.T, strict=True):
        name = exact.dims[i]
        along = {exact.unit[int(r)] for r in np.flatnonzero(column)}
        # What has no unit could not be said, or was said in pixels.
        if name in steps and units[name] is not None and units[name] in along:
            same &= bool(abs(steps[name] - s) <= 1e-4 * s)
    places = dict(zip(exact.world.axes, exact.origin, strict=True))
    for name in set(origin) & set(places) & set(steps):
        if units[name] in (None, exact.unit[exact.world.axes.index(name)]):
            near = 1e-3 * steps[name] + 1e-6 * abs(places[name])
            same &= bool(abs(origin[name] - places[name]) <= near)
    if not same:
        warnings.warn(
            f"{path}: the exact geometry that is kept in it no longer fits the spacing or place "
            "of its metadata, which are used",
            UserWarning,
            stacklevel=6,
        )
        return standard
    return exact


def _squeezed(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n != 1]


def _expanded(data: Any, wanted: tuple[int, ...]) -> Any:
    """Add the axes of length 1 that tifffile leaves out, as views."""
    shape = tuple(int(n) for n in data.shape)
    if wanted == shape:
        return data
    bare = data[tuple(0 if n == 1 else slice(None) for n in shape)]
    return bare[tuple(None if n == 1 else slice(None) for n in wanted)]


def _coarser(g: Geometry, whole: tuple[int, ...], shape: tuple[int, ...]) -> Geometry:
    """Return the geometry of a level of a pyramid, whose voxels cover what the finest ones do."""
    factors = [n / m if m else 1.0 for n, m in zip(whole, shape, strict=True)]
    steps = [float(s) * factors[i] for i, s in zip(g.sampled_axes, g.spacing, strict=True)]
    shift = np.array([(factors[i] - 1) / 2 for i in g.sampled_axes])
    origin = g.origin + g.direction @ (g.spacing * shift)
    return g.replace(shape=shape, spacing=steps, origin=origin.tolist())


class Tiff(Format):
    """TIFF, OME-TIFF and ImageJ's TIFF."""

    name, suffixes = "tiff", (".tif", ".tiff")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by a file's first bytes, or what is in a folder."""
        return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return all: the record holds any."""
        return list(image.coords)


FORMAT = Tiff()
