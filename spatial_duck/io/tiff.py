"""TIFF, OME-TIFF and ImageJ's TIFF, through tifffile.

A series is opened lazily as a view of tifffile's Zarr store; nothing is read. Dims go by the file's
axes, T, Z, Y, X as ``t, z, y, x``, C or S (samples) as ``c``, others without a name. Spacing is

- of OME-TIFF: ``PhysicalSizeX``, …, and ``TimeIncrement``, with their units (µm and s where none
  is given);
- of ImageJ: the resolution tags, ``spacing``, ``finterval`` and ``unit``;
- else: the resolution tags in inches or centimetres, as mm. One that only scales pixels against
  each other is not used.

What has no such entry has spacing 1 and no unit. TIFF has no direction, frame or position of the
first voxel. The exact geometry is kept beside it (`spatial_duck.io.record`), in OME-TIFF as a
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
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, GeometryLossError, missing_extra
from spatial_duck.geometry import Geometry
from spatial_duck.io import safety
from spatial_duck.io.layout import Fitted, Rules, fitted, in_order
from spatial_duck.io.record import KEY, from_record, parsed, to_record
from spatial_duck.io.source import Source, reporter, slabs
from spatial_duck.io.upright import upright
from spatial_duck.world import SPACE_AXES, World, canonical_unit

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

__all__ = ["RULES", "open_source", "write_image"]

RULES = Rules("TIFF", (), plain="first", plain_names=None, unspecified=True, named=True)
_LETTERS = {"T": "t", "Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c"}
#: Types that tifffile writes in each kind.
_DTYPES = {
    "ome": ("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8", "c8", "c16"),
    "imagej": ("u1", "u2", "f4"),
}
_MAX_XML = 1 << 26


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError:
        raise missing_extra("tifffile", "io", "Reading and writing TIFF") from None
    return tifffile


def open_source(
    path: str | os.PathLike[str],
    *,
    series: int = 0,
    level: int = 0,
    exact: bool = True,
) -> Source:
    """Open a series of a TIFF file; see `spatial_duck.read`."""
    place = Path(path)
    tifffile = _tifffile()
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

        from spatial_duck.backends.zarr import ZarrView

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
            raise missing_extra("zarr", "zarr", "Reading TIFF with lazy=True") from None

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
        attrs, name = {k: v for k, v in meta.items() if k not in _IMAGEJ_OWN}, "imagej"
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

_IMAGEJ_OWN = frozenset(
    """ImageJ images channels slices frames hyperstack spacing unit finterval xunit yunit zunit axes
    xorigin yorigin zorigin""".split()
)
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


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    overwrite: bool = False,
    progress: Any = None,
    kind: Literal["ome", "imagej"] = "ome",
    oblique: Literal["refuse", "keep"] = "refuse",
    compress: bool = False,
    tile: int | None = None,
) -> None:
    """Write a TIFF file; see `spatial_duck.write`."""
    tifffile = _tifffile()
    if kind not in _DTYPES:
        raise ValueError(f"kind must be 'ome' or 'imagej', got {kind!r}")
    fit = in_order(fitted(image, RULES, minimum=2), "tzpyx" if kind == "imagej" else "tpzyx")
    g = fit.geometry
    upright(g, "TIFF", oblique)
    if g.dims[-2:] != ("y", "x"):
        raise GeometryLossError(
            f"TIFF's planes lie in y and x, and the image has dims {image.dims!r}; "
            "rename them with image.replace(dims=...)"
        )
    own = image.world.axes
    g = g.to_world([*own, *[n for n in g.world.axes if n not in own]])
    if 0 in g.shape:
        raise FormatError(f"TIFF cannot hold an image without voxels, got shape {g.shape}")
    dtype = np.dtype(fit.data.dtype).newbyteorder("=")
    code = {"b1": "u1", "f2": "f4"}.get(dtype.str[1:], dtype.str[1:])
    if code not in _DTYPES[kind]:
        raise FormatError(
            f"{'ImageJ' if kind == 'imagej' else 'OME'}-TIFF has no type for {dtype} voxels; it "
            f"holds {', '.join(_DTYPES[kind])}: use image.astype(...) first"
        )
    dtype = np.dtype(code)
    letters = "".join(_letter(name) for name in g.dims)
    record = json.dumps(to_record(g, image.attrs))
    make = _ome_metadata if kind == "ome" else _imagej_metadata
    metadata, options = make(g, letters, record, image.attrs.get(kind) or {})
    if compress:
        options |= {"compression": "zlib", "rowsperstrip": g.shape[-2]}
    if tile:
        options["tile"] = (max(16, -(-tile // 16) * 16),) * 2
        options.pop("rowsperstrip", None)
    report, done = reporter(progress), 0
    total = safety.count_bytes(g.shape, dtype)

    def planes() -> Iterator[NDArray[Any]]:
        nonlocal done
        for plane in _planes(fit, dtype):
            yield from _tiles(plane, options["tile"][0]) if tile else [plane]
            done += plane.nbytes
            report(done, total)

    with safety.published(path, overwrite=overwrite) as fresh:
        big = total > (1 << 32) - (1 << 25)
        if big and kind == "imagej":
            raise FormatError("ImageJ's TIFF holds 4 GiB at most; use kind='ome'")
        with (
            tifffile.TiffWriter(
                fresh, bigtiff=big, ome=kind == "ome", imagej=kind == "imagej"
            ) as writer,
            warnings.catch_warnings(),
        ):
            # tifffile warns of units that are not OME's own; they are kept in the record.
            warnings.simplefilter("ignore", UserWarning)
            writer.write(
                planes(), shape=g.shape, dtype=dtype, photometric="minisblack",
                metadata=metadata, **options,
            )  # fmt: skip


def _letter(name: str | None) -> str:
    return {"t": "T", "z": "Z", "y": "Y", "x": "X"}.get(name or "", "C")


def _planes(fit: Fitted, dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the planes of an image one by one, put together from slabs of any size."""
    rows, columns = fit.geometry.shape[-2:]
    waiting: list[NDArray[Any]] = []
    count, size = 0, rows * columns
    for slab in slabs(fit.data, dtype):
        flat = slab.reshape(-1)
        while flat.size:
            part = flat[: size - count]
            flat = flat[part.size :]
            waiting.append(part)
            count += part.size
            if count == size:
                whole = waiting[0] if len(waiting) == 1 else np.concatenate(waiting)
                yield whole.reshape(rows, columns)
                waiting, count = [], 0


def _tiles(plane: NDArray[Any], size: int) -> Iterator[NDArray[Any]]:
    """Yield the tiles of a plane, filled up with 0 at its ends."""
    for row in range(0, plane.shape[0], size):
        for column in range(0, plane.shape[1], size):
            part = plane[row : row + size, column : column + size]
            if part.shape != (size, size):
                part = np.pad(part, [(0, size - n) for n in part.shape])
            yield np.ascontiguousarray(part)


def _sizes(g: Geometry) -> dict[str, tuple[float, str | None]]:
    """Return spacing and unit of each sampled axis."""
    out = {}
    for i, s, column in zip(g.sampled_axes, g.spacing, g.direction.T, strict=True):
        units = {g.unit[int(r)] for r in np.flatnonzero(column)}
        out[str(g.dims[i])] = (float(s), units.pop() if len(units) == 1 else None)
    return out


#: How OME-XML and ImageJ spell units.
_OME_UNITS = {"um": "µm", "angstrom": "Å", "us": "µs", "in": "in"}


def _ome_metadata(
    g: Geometry, letters: str, record: str, kept: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    metadata: dict[str, Any] = {"axes": letters}
    for name, (size, unit) in _sizes(g).items():
        field = "TimeIncrement" if name == "t" else f"PhysicalSize{name.upper()}"
        metadata[field] = size
        # Without its unit a length would be read as µm, and a time as s.
        metadata[field + "Unit"] = (
            _OME_UNITS.get(unit, unit) if unit else ("s" if name == "t" else "pixel")
        )
        if name == "t" and unit is None:
            del metadata[field], metadata[field + "Unit"]
    if kept.get("Name"):
        metadata["Name"] = str(kept["Name"])
    channels = kept.get("Channel")
    count = g.shape[letters.index("C")] if "C" in letters else 1
    if isinstance(channels, list) and len(channels) == count:
        fields = {k for c in channels if isinstance(c, dict) for k in c}
        metadata["Channel"] = {
            field: [str(c.get(field, "")) for c in channels] for field in sorted(fields)
            if all(field in c for c in channels)
        }  # fmt: skip
    metadata["MapAnnotation"] = {"Namespace": KEY, "geometry": record}
    return metadata, {}


def _imagej_metadata(
    g: Geometry, letters: str, record: str, kept: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    sizes = _sizes(g)
    metadata: dict[str, Any] = {"axes": letters, KEY: record}
    units = {unit for name, (_, unit) in sizes.items() if name != "t"}
    if len(units) > 1:
        raise FormatError(f"ImageJ's TIFF has one unit for all lengths, got {units}; use to_unit")
    unit = next(iter(units), None)
    metadata["unit"] = {None: "pixel", "um": "micron", "in": "inch"}.get(unit, unit)
    if "z" in sizes:
        metadata["spacing"] = sizes["z"][0]
    if "t" in sizes and sizes["t"][1] is not None:
        factor = g.to_unit({"t": "s"}) if sizes["t"][1] != "s" else g
        metadata["finterval"] = _sizes(factor)["t"][0]
    metadata |= {
        k: v for k, v in kept.items()
        if k not in _IMAGEJ_OWN and isinstance(v, str | int | float) and k not in metadata
        and k not in ("mode", "loop")
    }  # fmt: skip
    resolution = (1 / sizes["x"][0], 1 / sizes["y"][0])
    return metadata, {"resolution": resolution, "resolutionunit": "NONE"}
