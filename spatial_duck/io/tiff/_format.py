"""TIFF, OME-TIFF and ImageJ's TIFF, through tifffile.

A series is opened lazily as a view of tifffile's Zarr store; nothing is read. Dims go by the file's
axes, T, Z, Y, X as ``t, z, y, x``, C or S (samples) as ``c``, others without a name. Spacing is

- of OME-TIFF: ``PhysicalSizeX``, …, and ``TimeIncrement``, with their units (µm and s where none
  is given);
- of ImageJ: the resolution tags, ``spacing``, ``finterval`` and ``unit``;
- else: the resolution tags in inches or centimetres, as mm. One that only scales pixels against
  each other is not used.

What has no such entry has spacing 1 and no unit. TIFF has no direction, frame or position of the
first voxel. The exact geometry is kept beside it (`spatial_duck.io._json`), in OME-TIFF as a
MapAnnotation and in ImageJ's as a key, both ``spatial_duck``, and used as long as it fits shape and
spacing. An image that is oblique, flipped or a slice in 3-D is refused, or with ``oblique="keep"``
written although other software sees it unrotated. Georeferenced TIFF is read through rasterio.

Options of `read`: ``series`` (number, 0), ``exact=False`` (the standard's metadata alone), and
``level`` of a pyramid. Options of `write`: ``kind`` ("ome", the default, or "imagej"),
``oblique``, ``compress=True`` (zlib), ``tile`` (side of tiles in pixels).
"""

from __future__ import annotations

import json
import logging
import math
import warnings
import weakref
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import numpy as np

from spatial_duck._optional import missing_extra
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES, World, canonical_unit
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._json import KEY, from_record, parsed
from spatial_duck.io._source import Source
from spatial_duck.io.tiff._write import IMAGEJ_OWN, RULES, tifffile_module, write_image

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["FORMAT", "RULES"]

_LETTERS = {"T": "t", "Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c"}
_MAX_XML = 1 << 26


def open_source(
    path: str | os.PathLike[str],
    *,
    series: int = 0,
    level: int = 0,
    exact: bool = True,
) -> Source:
    """Open a series of a TIFF file; see `spatial_duck.read`."""
    place = Path(path)
    tifffile = tifffile_module()
    try:
        with _complaints() as complaints, tifffile.TiffFile(place) as file:
            chosen, whole, count = _level(place, file, series, level)
            axes, shape = str(chosen.axes), tuple(int(n) for n in chosen.shape)
            dtype = np.dtype(chosen.dtype)
            if chosen.dataoffset is not None:
                dtype = dtype.newbyteorder(file.byteorder)
            geometry, attrs = _described(place, file, series, axes, shape, exact and level == 0)
            if level:
                geometry = _coarser(geometry, tuple(int(n) for n in whole.shape), shape)
            offset = None if chosen.dataoffset is None else int(chosen.dataoffset)
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
    except FormatError:
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
            with tifffile.TiffFile(place) as file:
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

        file = tifffile.TiffFile(place)
        store = _level(place, file, series, level)[1].aszarr(level=level)
        # The file stays open as long as its store is used.
        weakref.finalize(store, file.close)
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

    return Source("tiff", geometry, dtype, attrs, load, count)


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


def _described(
    path: Path, file: Any, series: int, axes: str, shape: tuple[int, ...], exact: bool
) -> tuple[Geometry, dict[str, Any]]:
    """Return the geometry of a series, and what else its metadata say."""
    page = file.series[series].keyframe
    steps: dict[str, tuple[float, str | None]] = {}
    attrs: dict[str, Any] = {}
    own: str | None = None
    if file.is_ome and file.ome_metadata:
        steps, attrs, own = _ome(path, str(file.ome_metadata), series)
        name = "ome"
    elif file.is_imagej and file.imagej_metadata:
        meta = dict(file.imagej_metadata)
        own = meta.pop(KEY, None)
        own = json.dumps(own) if isinstance(own, dict) else own
        steps = _imagej(meta, page)
        attrs, name = {k: v for k, v in meta.items() if k not in IMAGEJ_OWN}, "imagej"
    else:
        steps, name = _resolution(page), "tiff"
        description = str(page.description or "")
        if description and not description.startswith("{"):
            attrs = {"description": description}
    standard = _standard(axes, shape, steps)
    geometry = standard
    kept: dict[str, Any] = {}
    if own and exact:
        record = parsed(path, str(own))
        geometry = _fitting(path, record, standard)
        kept = dict(record.get("attrs") or {})
    return geometry, kept | ({name: attrs} if attrs else {})


def _standard(
    axes: str, shape: tuple[int, ...], steps: Mapping[str, tuple[float, str | None]]
) -> Geometry:
    dims: list[str | None] = []
    for letter in axes:
        name = _LETTERS.get(letter)
        dims.append(None if name in dims else name)
    sampled = [n for n in dims if n in (*SPACE_AXES, "t")]
    size = [steps.get(n, (1.0, None)) for n in sampled]
    world = World([str(n) for n in sampled], [unit for _, unit in size])
    return Geometry(shape, [s for s, _ in size], dims=dims, world=world)


def _fitting(path: Path, record: Mapping[str, Any], standard: Geometry) -> Geometry:
    """Return the exact geometry that was kept, where it still fits."""
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
    if not same:
        warnings.warn(
            f"{path}: the exact geometry that is kept in it no longer fits the spacing of its "
            "metadata, which is used",
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


# --- OME ----------------------------------------------------------------------------------


def _ome(
    path: Path, text: str, series: int
) -> tuple[dict[str, tuple[float, str | None]], dict[str, Any], str | None]:
    """Return spacing, attrs and the record of one image of OME-XML."""
    if len(text) > _MAX_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{path}: its OME-XML is too long or declares entities")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise FormatError(f"{path}: its OME-XML is not valid: {error}") from error
    images = _children(root, "Image")
    if not images:
        return {}, {}, None
    image = images[min(series, len(images) - 1)]
    (pixels,) = _children(image, "Pixels")[:1] or [image]
    steps: dict[str, tuple[float, str | None]] = {}
    for name in SPACE_AXES:
        value = _positive(pixels.get(f"PhysicalSize{name.upper()}"))
        if value is not None:
            unit = pixels.get(f"PhysicalSize{name.upper()}Unit", "um")
            # Pixels and a "reference frame" are no lengths.
            steps[name] = (value, None if unit in ("pixel", "reference frame") else unit)
    value = _positive(pixels.get("TimeIncrement"))
    if value is not None:
        steps["t"] = (value, pixels.get("TimeIncrementUnit", "s"))
    attrs: dict[str, Any] = {}
    if image.get("Name"):
        attrs["Name"] = image.get("Name")
    channels = [
        {k: v for k, v in c.attrib.items() if k not in ("ID", "SamplesPerPixel")}
        for c in _children(pixels, "Channel")
    ]
    if any(channels):
        attrs["Channel"] = channels
    return steps, attrs, _annotation(root)


def _children(element: Any, name: str) -> list[Any]:
    return [e for e in element.iter() if e.tag.rpartition("}")[2] == name]


def _annotation(root: Any) -> str | None:
    for note in _children(root, "MapAnnotation"):
        if note.get("Namespace") == KEY:
            for entry in _children(note, "M"):
                if entry.get("K") == "geometry":
                    return str(entry.text)
    return None


def _positive(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if value > 0 and math.isfinite(value) else None


# --- ImageJ and plain TIFF ----------------------------------------------------------------

_IMAGEJ_UNITS = {"\\u00B5m": "um", "micron": "um", "pixel": None, "pixels": None, "inch": "in"}


def _imagej(meta: Mapping[str, Any], page: Any) -> dict[str, tuple[float, str | None]]:
    unit = meta.get("unit")
    unit = _IMAGEJ_UNITS.get(str(unit), str(unit)) if unit else None
    steps: dict[str, tuple[float, str | None]] = {}
    if unit is not None or meta.get("spacing") is not None:
        for name, tag in (("x", "XResolution"), ("y", "YResolution")):
            value = _ratio(page, tag)
            if value is not None:
                steps[name] = (1 / value, unit)
        depth = _positive(meta.get("spacing"))
        if depth is not None:
            steps["z"] = (depth, unit)
    interval = _positive(meta.get("finterval"))
    if interval is not None:
        steps["t"] = (interval, canonical_unit(meta.get("tunit") or "s"))
    return steps


def _ratio(page: Any, name: str) -> float | None:
    tag = page.tags.get(name)
    if tag is None:
        return None
    top, bottom = (*np.atleast_1d(tag.value).tolist(), 1)[:2]
    return _positive(top / bottom) if bottom else None


def _resolution(page: Any) -> dict[str, tuple[float, str | None]]:
    tag = page.tags.get("ResolutionUnit")
    size = {2: 25.4, 3: 10.0}.get(int(tag.value) if tag is not None else 2)
    values = {n: _ratio(page, t) for n, t in (("x", "XResolution"), ("y", "YResolution"))}
    if size is None:
        return {}
    return {n: (size / v, "mm") for n, v in values.items() if v is not None and v > 1e-6}


class Tiff(Format):
    """TIFF, OME-TIFF and ImageJ's TIFF."""

    name, suffixes = "tiff", (".tif", ".tiff")

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:  # noqa: ARG002
        """Tell by a file's first bytes, or what is in a folder."""
        return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


FORMAT = Tiff()
