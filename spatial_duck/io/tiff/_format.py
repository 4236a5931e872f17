"""TIFF, OME-TIFF and ImageJ's TIFF, through tifffile.

A series is opened lazily as a view of tifffile's Zarr store; nothing is read. The file's axes T, Z,
Y, X are ``t, z, y, x``, C or S (samples) is ``c``, others have no name.

===========  =====================================================================================
OME-TIFF     ``PhysicalSizeX``, …, ``TimeIncrement`` with their units (µm and s by default);
             positions and times of planes; channels as coordinates (`._ome`); OME-XML in a
             companion file (`._companion`)
ImageJ       resolution tags, ``spacing``, ``finterval``, units of each axis, origins, labels,
             ranges and colors (`._dialects`)
microscopes  LSM, SVS, FEI, Zeiss SEM, Olympus SIS, MetaMorph, Micro-Manager, FluoView: their own
             sizes; other known ones are refused (`._dialects`)
GeoTIFF      through rasterio (`spatial_duck.io._raster`), or refused
plain        resolution tags in inches, cm, mm or µm; a ratio of pixel sizes without a unit is
             ignored
===========  =====================================================================================

Axes without such an entry have spacing 1 and no unit. TIFF has no direction and no frame. The exact
geometry is stored too (`spatial_duck.io._json`), in OME-TIFF as a MapAnnotation and in ImageJ's
as a key, both ``spatial_duck``, and used if it agrees with shape, spacing and origin. An image that
is oblique, flipped or a slice in 3-D is refused; with ``oblique="keep"`` it is written, and other
software sees it unrotated.

Options of `read`: ``series`` (number, 0), ``exact=False`` (the standard's metadata alone),
``plain=True`` (pixels and the standard tags of TIFF alone), and ``level`` of a pyramid. Options of
`write`: ``kind`` ("ome", "imagej", or "geotiff" through rasterio; by default GeoTIFF if there is
``attrs["crs"]``, else OME-TIFF), ``oblique``, ``compress=True`` (zlib), ``tile`` (side of tiles in
pixels).
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
from spatial_duck.io._axis_names import restore_names
from spatial_duck.io._coords import color_names, coords_from_json
from spatial_duck.io._format import Format
from spatial_duck.io._identity import Identity
from spatial_duck.io._json import from_record, parse_record
from spatial_duck.io._raster import SIDECARS, held_by_bands, open_raster
from spatial_duck.io._source import Source
from spatial_duck.io.tiff._companion import check_series_in_file, open_tiff
from spatial_duck.io.tiff._dialects import (
    DIALECTS,
    UNREAD_DIALECTS,
    imagej_metadata,
    plain_metadata,
    refuse_unread,
)
from spatial_duck.io.tiff._metadata import (
    TiffMetadata,
    convert_unit,
    metadata_coords,
    standard_geometry,
)
from spatial_duck.io.tiff._ome import check_ome, ome_metadata, parse_xml
from spatial_duck.io.tiff._write import RULES, default_kind, tifffile_module, write_image

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["FORMAT", "RULES"]

#: What TIFF's PhotometricInterpretation says of red, green and blue.
_RGB = 2


def open_source(
    path: str | os.PathLike[str],
    *,
    series: int = 0,
    level: int = 0,
    exact: bool = True,
    plain: bool = False,
) -> Source:
    """Open a series of a TIFF file; see `spatial_duck.read`."""
    file_path = Path(path)
    tifffile_module()
    if not plain and _is_geotiff(file_path):
        return _open_geotiff(file_path, series, level)
    try:
        # Errors are logged from the opening on.
        with _logged_errors() as errors, _opened(file_path, plain) as (file, identity):
            _check_ome_files(file_path, file, series, plain)
            chosen, whole, count = _select_level(file_path, file, series, level)
            axes, shape = str(chosen.axes), tuple(int(n) for n in chosen.shape)
            dtype = np.dtype(chosen.dtype)
            others = {p.parent for p in chosen.pages if p} - {file}
            identity = identity.joined(Identity.of([Path(o.filehandle.path) for o in others]))
            # Pages in another file cannot be mapped in this one.
            contiguous = None if others else chosen.dataoffset
            if contiguous is not None:
                dtype = dtype.newbyteorder(file.byteorder)
            found = _read_metadata(file_path, file, whole, series, plain)
            geometry, attrs, coords = _geometry_and_coords(
                file_path, found, axes, shape, exact and level == 0
            )
            if axes.endswith("S") and chosen.keyframe.photometric == _RGB and shape[-1] in (3, 4):
                coords.setdefault("channel", (geometry.ndim - 1, color_names(shape[-1])))
            if level:
                geometry = _level_geometry(geometry, tuple(int(n) for n in whole.shape), shape)
            offset = None if contiguous is None else int(contiguous)
            needed, pages = safety.count_bytes(shape, dtype), len(chosen.pages)
            page = chosen.keyframe
            _check_segments(file_path, [page])
            listed, declared = len(page.dataoffsets), math.prod(page.chunked)
            if listed < declared:
                raise FormatError(f"{file_path}: it lists {listed} tiles or strips of {declared}")
        if errors:
            # Otherwise a file with damaged metadata would be read without its geometry.
            raise FormatError(f"{file_path}: it is not a valid TIFF file: {errors[0]}")
    except (MemoryError, RecursionError):
        raise
    except GeometryError as error:
        raise FormatError(f"{file_path}: its geometry is not valid: {error}") from error
    except (FormatError, Warning):
        raise
    except Exception as error:  # tifffile raises many kinds for a file that is not valid
        raise FormatError(f"{file_path}: it is not a valid TIFF file: {error}") from error
    if dtype.kind not in "biufc":
        raise FormatError(f"{file_path}: voxels must be numbers, got {dtype}")
    # Missing tiles are valid, and read as 0, so that the size of the file limits raw voxels alone.
    safety.check_size(file_path, pages if offset is None else needed, offset or 0)

    def read() -> NDArray[Any]:
        safety.check_memory(file_path, needed)
        try:
            with _opened(file_path, plain) as (file, _):
                chosen = _select_level(file_path, file, series, level)[0]
                _check_segments(file_path, chosen.pages)
                values = chosen.asarray()
        except (MemoryError, RecursionError):
            raise
        except Exception as error:  # as above, and exceptions of codecs
            raise FormatError(f"{file_path}: its voxels cannot be read: {error}") from error
        if np.size(values) != math.prod(shape):
            raise FormatError(f"{file_path}: expected shape {shape}, got {np.shape(values)}")
        return np.asarray(values).reshape(shape)

    def view() -> Any:
        import zarr

        from spatial_duck.backends.zarr._view import ZarrView
        from spatial_duck.io.ngff._store import ImageStore
        from spatial_duck.io.tiff._store import open_store

        inner = open_store(str(file_path.absolute()), series, level, plain)
        store = ImageStore(inner, identity=identity, owned=True)
        array = zarr.open_array(store, mode="r")
        if array.size != math.prod(shape):
            raise FormatError(f"{file_path}: expected shape {shape}, got {array.shape}")
        return ZarrView(array)

    def loaded(lazy: bool | None) -> Any:
        if lazy is False or 0 in shape:
            return read()
        if offset is not None:
            return safety.map_raw(file_path, dtype, shape, offset)
        try:
            return view()
        except ImportError:
            if lazy is None:
                return read()
            raise missing_extra("zarr", "Reading TIFF with lazy=True") from None

    def load(lazy: bool | None) -> Any:
        return _restore_axes(loaded(lazy), geometry.shape)

    return Source("tiff", geometry, dtype, attrs, load, count, coords, identity)


@contextmanager
def _opened(path: Path, plain: bool) -> Iterator[tuple[Any, Identity]]:
    """Open a file as `open_tiff` does, and close it at the end of the block."""
    file, identity = open_tiff(path, plain)
    with file:
        yield file, identity


def _open_geotiff(path: Path, series: int, level: int) -> Source:
    """Open a GeoTIFF with rasterio; raise a FormatError if rasterio is missing."""
    try:
        return open_raster(path, series, level)
    except ImportError as error:
        raise FormatError(
            f"{path}: it is a GeoTIFF: {missing_extra('rasterio', 'its place')}, or read its "
            "pixels alone with plain=True"
        ) from error


def _check_segments(path: Path, pages: Iterable[Any]) -> None:
    """Refuse tiles and strips that declare more bytes than there are, before room is made."""
    for page in filter(None, pages):
        there = page.parent.filehandle.size
        if max(page.databytecounts, default=0) > there:
            raise FormatError(
                f"{path}: page {page.index} declares a tile or strip of "
                f"{max(page.databytecounts):,} bytes in a file of {there:,}"
            )


def _check_ome_files(path: Path, file: Any, series: int, plain: bool) -> None:
    """Check OME-XML, and the files that it names, before tifffile makes pages of it."""
    if file.is_ome and file.ome_metadata:
        root = parse_xml(path, str(file.ome_metadata))
        if not plain:

            def page_size(number: int) -> int:
                try:
                    page = file.pages[number]
                except IndexError:
                    page = file.pages.first
                return int(page.imagewidth * page.imagelength)

            check_ome(path, root, page_size)
            if "BinaryOnly" in str(file.pages.first.description):
                check_series_in_file(path, root, series)


def _is_geotiff(path: Path) -> bool:
    """Whether a file is a GeoTIFF and not an OME-TIFF."""
    try:
        with tifffile_module().TiffFile(path) as file:
            return bool(file.is_geotiff and not file.is_ome)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # tifffile raises many kinds; the caller opens it again and reports the error
        return False


@contextmanager
def _logged_errors() -> Iterator[list[str]]:
    """Collect the errors that tifffile logs without raising them."""
    found: list[str] = []

    class Collector(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger = logging.getLogger("tifffile")
    handler = Collector(logging.ERROR)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def _select_level(path: Path, file: Any, series: int, level: int) -> tuple[Any, Any, int]:
    """Return a level of a series, its finest one, and the number of levels."""
    found = file.series
    if not 0 <= series < len(found):
        raise FormatError(f"{path}: it has {len(found)} series, {series} was asked for")
    count = len(found[series].levels)
    if not 0 <= level < count:
        raise FormatError(f"{path}: it has {count} levels, level {level} was asked for")
    return found[series].levels[level], found[series], count


def _read_metadata(path: Path, file: Any, chosen: Any, series: int, plain: bool) -> TiffMetadata:
    """Return the metadata of a series, by the dialect of the file."""
    page, axes = chosen.keyframe, str(chosen.axes)
    shape = tuple(int(n) for n in chosen.shape)
    flags = set(file.flags)
    if plain:
        return plain_metadata(page)
    if chosen.kind == "ome":
        root = parse_xml(path, str(file.ome_metadata))
        return ome_metadata(path, root, series, shape, axes)
    for name, read in DIALECTS.items():
        if name in flags and not (file.is_imagej and name == "micromanager"):
            return read(file, page)
    for name in UNREAD_DIALECTS:
        if name in flags:
            refuse_unread(path, name)
    if file.is_imagej and file.imagej_metadata:
        return imagej_metadata(path, dict(file.imagej_metadata), page, axes, shape)
    return plain_metadata(page)


def _geometry_and_coords(
    path: Path, found: TiffMetadata, axes: str, shape: tuple[int, ...], exact: bool
) -> tuple[Geometry, dict[str, Any], dict[str, Any]]:
    """Return geometry, attrs and coordinates of a series; those of its record if it has one.

    If the metadata and the record differ in a coordinate, the metadata were changed later.
    """
    geometry = standard = standard_geometry(axes, shape, found)
    attrs: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    if found.record and exact:
        record = parse_record(path, str(found.record))
        geometry = _exact_geometry(path, record, standard, found.origin)
        attrs = dict(record.get("attrs") or {})
        if geometry is not standard:
            coords = coords_from_json(path, record.get("coords"), geometry)
    if found.attrs:
        attrs[found.name] = found.attrs
    stated = dict(metadata_coords(found, geometry.dims))
    for name in set(stated) & set(coords):
        if _agree(stated[name], coords[name]):
            del stated[name]
    if geometry is not standard:
        stated = {n: (geometry.dims.index(s[0]) if isinstance(s[0], str) else s[0], *s[1:])
                  for n, s in stated.items()}  # fmt: skip
        geometry = restore_names(path, geometry, record.get("names"))
    return geometry, attrs, coords | stated


def _agree(stated: Any, recorded: Any) -> bool:
    """Whether a coordinate of the metadata, (axis, values, …), agrees with that of the record."""
    a, b = (np.asarray(each[1]) for each in (stated, recorded))
    units = [dict(each[2]).get("unit") if each[2:] else None for each in (stated, recorded)]
    if a.shape != b.shape:
        return False
    if a.dtype.kind in "iufb" and b.dtype.kind in "iufb":
        scale = convert_unit(1.0, units[1], units[0]) if None not in units else 1.0
        return scale is not None and np.allclose(a, b * scale, 1e-6, 0, equal_nan=True)
    return [str(v).upper() for v in a.ravel()] == [str(v).upper() for v in b.ravel()]


def _exact_geometry(
    path: Path, record: Mapping[str, Any], standard: Geometry, origin: Mapping[str, float]
) -> Geometry:
    """Return the geometry of the record if it agrees with the metadata, else the standard's."""
    shape = tuple(int(n) for n in record.get("shape") or ())
    exact = from_record(path, record, shape)
    units = dict(zip(standard.world.axes, standard.unit, strict=True))
    steps = dict(zip(standard.world.axes, standard.spacing, strict=True))
    same = _squeezed_shape(exact.shape) == _squeezed_shape(standard.shape)
    for i, s, column in zip(exact.sampled_axes, exact.spacing, exact.direction.T, strict=True):
        name = exact.dims[i]
        along = {exact.unit[int(r)] for r in np.flatnonzero(column)}
        # Sizes without a unit are not in the metadata, or in pixels.
        if name in steps and units[name] is not None and units[name] in along:
            same &= bool(abs(steps[name] - s) <= 1e-4 * s)
    places = dict(zip(exact.world.axes, exact.origin, strict=True))
    for name in set(origin) & set(places) & set(steps):
        if units[name] in (None, exact.unit[exact.world.axes.index(name)]):
            near = 1e-3 * steps[name] + 1e-6 * abs(places[name])
            same &= bool(abs(origin[name] - places[name]) <= near)
    if not same:
        warnings.warn(
            f"{path}: the exact geometry that is stored in it no longer fits the spacing or origin "
            "of its metadata, which are used",
            UserWarning,
            stacklevel=6,
        )
        return standard
    return exact


def _squeezed_shape(shape: tuple[int, ...]) -> list[int]:
    return [n for n in shape if n != 1]


def _restore_axes(data: Any, wanted: tuple[int, ...]) -> Any:
    """Return data with the axes of length 1 that tifffile leaves out, as a view."""
    shape = tuple(int(n) for n in data.shape)
    if wanted == shape:
        return data
    bare = data[tuple(0 if n == 1 else slice(None) for n in shape)]
    return bare[tuple(None if n == 1 else slice(None) for n in wanted)]


def _level_geometry(g: Geometry, whole: tuple[int, ...], shape: tuple[int, ...]) -> Geometry:
    """Return the geometry of a level of a pyramid, which covers the same extent as the finest."""
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
        """Whether a file begins as a TIFF or BigTIFF."""
        return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:
        """Return all, as the JSON record holds any; of a GeoTIFF those of its bands."""
        kind = options.get("kind") or default_kind(image)
        return held_by_bands(image) if kind == "geotiff" else list(image.coords)

    def parts(self, path: Path) -> list[Path]:
        """Return the overviews, mask and metadata that GDAL's programs put beside a file."""
        beside = [path.with_name(path.name + suffix) for suffix in SIDECARS]
        return [file for file in beside if file.is_file()]


FORMAT = Tiff()
