"""Metadata of ImageJ's TIFF, of plain resolution tags, and of microscopes in tags of their own."""

from __future__ import annotations

import json
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry._world import canonical_unit
from spatial_duck.io._json import KEY
from spatial_duck.io.tiff._metadata import TiffMetadata, finite_number, positive_number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["DIALECTS", "IMAGEJ_OWN", "UNREAD_DIALECTS", "imagej_metadata", "plain_metadata"]

#: Keys of ImageJ's metadata for geometry and axes.
IMAGEJ_OWN = frozenset(
    """ImageJ images channels slices frames hyperstack spacing unit finterval fps xunit yunit zunit
    tunit axes xorigin yorigin zorigin Labels Ranges LUTs min max mode loop""".split()
)
#: Dialects, as tifffile calls them, whose metadata are not read, with their names.
UNREAD_DIALECTS = {
    "scanimage": "ScanImage", "nih": "NIH Image", "philips": "Philips", "tvips": "TVIPS",
    "pilatus": "Pilatus", "nuvu": "Nuvu", "mediacy": "Media Cybernetics", "eer": "EER",
}  # fmt: skip

Steps = dict[str, tuple[float, str | None]]


def _steps(unit: str, factor: float = 1.0, **sizes: Any) -> Steps:
    """Return the sizes that are positive numbers as steps."""
    found = {name: positive_number(value) for name, value in sizes.items()}
    return {n: (v * factor, unit) for n, v in found.items() if v is not None}


# --- resolution tags ----------------------------------------------------------------------

#: Lengths by the value of ResolutionUnit; 4 and 5 are newer than the standard.
_RESOLUTION = {2: (25.4, "mm"), 3: (10.0, "mm"), 4: (1.0, "mm"), 5: (1.0, "um")}


def _per_pixel(page: Any, name: str) -> float | None:
    """Return the size of a pixel: the reciprocal of a resolution tag."""
    tag = page.tags.get(name)
    if tag is None:
        return None
    top, bottom = (*np.atleast_1d(tag.value).tolist(), 1)[:2]
    value = positive_number(top / bottom) if bottom else None
    return 1 / value if value else None


def _resolution_steps(page: Any) -> Steps:
    tag = page.tags.get("ResolutionUnit")
    size, unit = _RESOLUTION.get(int(tag.value) if tag is not None else 2, (None, None))
    found = {n: _per_pixel(page, t) for n, t in (("x", "XResolution"), ("y", "YResolution"))}
    if size is None:
        return {}
    return {n: (size * v, unit) for n, v in found.items() if v is not None and v < 1e6}


def plain_metadata(page: Any) -> TiffMetadata:
    """Return the metadata in the standard's tags."""
    text = str(page.description or "")
    attrs = {"description": text} if text and not text.startswith("{") else {}
    return TiffMetadata("tiff", _resolution_steps(page), attrs=attrs)


# --- ImageJ -------------------------------------------------------------------------------

_IMAGEJ_UNITS = {"\\u00B5m": "um", "micron": "um", "pixel": None, "pixels": None, "inch": "in"}


def _imagej_unit(text: Any) -> str | None:
    return _IMAGEJ_UNITS.get(str(text), str(text)) if text else None


def imagej_metadata(path: Path, meta: Mapping[str, Any], page: Any, axes: str,
                    shape: Sequence[int]) -> TiffMetadata:  # fmt: skip
    """Return ImageJ's metadata: sizes, units of each axis, origins in pixels, labels, ranges.

    ImageJ's position of a pixel is (pixel - origin) * size.
    """
    unit = _imagej_unit(meta.get("unit"))
    units = {n: _imagej_unit(meta[f"{n}unit"]) if meta.get(f"{n}unit") else unit for n in "xyz"}
    steps: Steps = {}
    if unit is not None or meta.get("spacing") is not None:
        for name, tag in (("x", "XResolution"), ("y", "YResolution")):
            value = _per_pixel(page, tag)
            if value is not None:
                steps[name] = (value, units[name])
        depth = finite_number(meta.get("spacing"))
        if depth:
            # ImageJ uses the absolute value.
            steps["z"] = (abs(depth), units["z"])
    origin = {}
    for name in "xyz":
        pixels = finite_number(meta.get(f"{name}origin"))
        if pixels and (name in steps or unit is None):
            origin[name] = -pixels * steps.get(name, (1.0, None))[0]
    interval = positive_number(meta.get("finterval"))
    if interval is None and (rate := positive_number(meta.get("fps"))):
        interval = 1 / rate
    if interval is not None:
        steps["t"] = (interval, canonical_unit(meta.get("tunit") or "s"))
    record = meta.get(KEY)
    attrs = {k: v for k, v in meta.items() if k not in IMAGEJ_OWN and k != KEY}
    return TiffMetadata(
        "imagej", steps, origin, _imagej_coords(path, meta, axes, shape), attrs,
        json.dumps(record) if isinstance(record, dict) else record,
    )  # fmt: skip


def _imagej_coords(
    path: Path, meta: Mapping[str, Any], axes: str, shape: Sequence[int]
) -> dict[str, Any]:
    coords: dict[str, Any] = {}
    sizes = dict(zip(axes, shape, strict=True))
    planes = {a: n for a, n in sizes.items() if a in "TZC" and n > 1}
    labels = [str(v) for v in meta.get("Labels") or ()]
    if labels and math.prod(planes.values()) == len(labels):
        grid = np.array(labels).reshape(tuple(planes.values()))
        along = [a for i, a in enumerate(planes) if (grid != grid.take([0], i)).any()]
        if len(along) <= 1:
            letter = along[0] if along else next(iter(planes), "")
            if letter:
                values = np.moveaxis(grid, list(planes).index(letter), 0)
                values = values.reshape(len(values), -1)[:, 0]
                name = "channel" if letter == "C" else "label"
                coords[name] = (letter.lower(), values.tolist())
        else:
            warnings.warn(
                f"{path}: its {len(labels)} labels differ along more than one axis, and are not "
                "read",
                UserWarning,
                stacklevel=7,
            )
    ranges = np.array([finite_number(v) for v in meta.get("Ranges") or ()], object)
    channels = sizes.get("C", 0)
    if channels and len(ranges) == 2 * channels and None not in ranges:
        coords["display_window"] = ("c", ranges.astype(float).reshape(-1, 2))
    colors = [_ramp_color(table) for table in meta.get("LUTs") or ()]
    if channels and len(colors) == channels and any(colors):
        coords["channel_color"] = ("c", colors)
    return coords


def _ramp_color(table: Any) -> str:
    """Return the color ``RRGGBB`` at the end of a linear ramp from black; empty for others."""
    values = np.asarray(table)
    if values.shape != (3, 256):
        return ""
    top = values[:, -1].astype(int)
    ramp = np.arange(256) * top[:, None] / 255
    even = np.abs(values - ramp).max() <= 1
    return "".join(f"{v:02X}" for v in top) if even else ""


# --- microscopes --------------------------------------------------------------------------


def _lsm(file: Any, _page: Any) -> TiffMetadata:
    meta = dict(file.lsm_metadata or {})
    steps = _steps("um", 1e6, **{n: meta.get(f"VoxelSize{n.upper()}") for n in "xyz"})
    steps |= _steps("s", t=meta.get("TimeIntervall"))
    origin = {
        n: 1e6 * float(meta.get(f"Origin{n.upper()}") or 0.0)
        for n in "xyz" if n in steps and meta.get(f"Origin{n.upper()}")
    }  # fmt: skip
    names = (meta.get("ChannelColors") or {}).get("ColorNames") or []
    coords = {"channel": ("c", [str(n) for n in names])} if names else {}
    return TiffMetadata("lsm", steps, origin, coords)


def _svs(_file: Any, page: Any) -> TiffMetadata:
    from tifffile import tifffile

    meta = dict(tifffile.svs_description_metadata(page.description))
    steps = _steps("um", x=meta.get("MPP"), y=meta.get("MPP"))
    return TiffMetadata("svs", steps, attrs={k: v for k, v in meta.items() if k != "MPP"})


def _fei(file: Any, _page: Any) -> TiffMetadata:
    meta = dict(file.fei_metadata or {})
    scan = dict(meta.get("Scan") or meta.get("EScan") or {})
    return TiffMetadata(
        "fei", _steps("um", 1e6, x=scan.get("PixelWidth"), y=scan.get("PixelHeight"))
    )


def _sem(file: Any, _page: Any) -> TiffMetadata:
    meta = dict(file.sem_metadata or {})
    size = meta.get("ap_image_pixel_size") or meta.get("ap_pixel_size") or ("", None, "")
    unit = {"µm": "um", "nm": "nm", "mm": "mm", "pm": "pm", "m": "m"}.get(str(size[-1]))
    found = _steps(unit, x=size[1], y=size[1]) if unit else {}
    return TiffMetadata("sem", found)


def _sis(file: Any, _page: Any) -> TiffMetadata:
    meta = dict(file.sis_metadata or {})
    return TiffMetadata(
        "sis", _steps("um", 1e6, x=meta.get("pixelsizex"), y=meta.get("pixelsizey"))
    )


def _stk(file: Any, _page: Any) -> TiffMetadata:
    meta = dict(file.stk_metadata or {})
    unit = canonical_unit(str(meta.get("CalibrationUnits") or "") or None)
    steps: Steps = {}
    for name in ("x", "y"):
        size = positive_number(meta.get(f"{name.upper()}Calibration"))
        if size is not None and meta.get("SpatialCalibration", 1):
            steps[name] = (size, unit)
    depth = np.atleast_1d(meta.get("ZDistance", []))
    if len(depth) and (depth == depth[0]).all() and depth[0] > 0:
        steps["z"] = (float(depth[0]), unit)
    return TiffMetadata("stk", steps)


def _micromanager(file: Any, page: Any) -> TiffMetadata:
    summary = dict((file.micromanager_metadata or {}).get("Summary") or {})
    size = summary.get("PixelSize_um") or (page.tags.get(51123) and 0)
    steps = _steps("um", x=size, y=size, z=summary.get("z-step_um"))
    steps |= _steps("ms", t=summary.get("Interval_ms"))
    names = summary.get("ChNames") or []
    coords = {"channel": ("c", [str(n) for n in names])} if names else {}
    return TiffMetadata("micromanager", steps, {}, coords)


def _fluoview(file: Any, _page: Any) -> TiffMetadata:
    steps: Steps = {}
    for name, _size, _origin, step, unit in (file.fluoview_metadata or {}).get("Dimensions", ()):
        axis, value = str(name).strip().lower(), positive_number(step)
        if axis in ("x", "y", "z", "t") and value is not None:
            steps[axis] = (value, canonical_unit(str(unit).strip() or None))
    return TiffMetadata("fluoview", steps)


#: Readers by tifffile's name of a dialect; each takes the file and the first page.
DIALECTS: dict[str, Callable[[Any, Any], TiffMetadata]] = {
    "lsm": _lsm,
    "svs": _svs,
    "fei": _fei,
    "sem": _sem,
    "sis": _sis,
    "stk": _stk,
    "micromanager": _micromanager,
    "fluoview": _fluoview,
}


def refuse_unread(path: Path, dialect: str) -> None:
    """Raise the error for a dialect whose metadata are not read."""
    raise FormatError(
        f"{path}: it is a TIFF of {UNREAD_DIALECTS[dialect]}, whose own metadata are not read; "
        "read its pixels and resolution tags alone with plain=True"
    )
