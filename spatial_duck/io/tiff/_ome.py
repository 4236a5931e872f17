"""OME-XML: the Image element of a series, its sizes, positions, times and channels.

The Image element of a series is found by its pixels in the file, not by its number. The position of
a plane is that of its first pixel's centre; without a unit it is in that of the pixel size. Times
are those of the planes (``DeltaT``) if they are given: if they are even within a twentieth of their
step, the axis ``t`` is sampled; otherwise it is plain, and the times are its coordinate.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree import ElementTree as ET

import numpy as np

from spatial_duck.errors import FormatError, UnsafeInputError
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io import _safety as safety
from spatial_duck.io._json import KEY
from spatial_duck.io.tiff._metadata import (
    TiffMetadata,
    convert_unit,
    finite_number,
    positive_number,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["MAX_XML", "check_ome", "children", "color_text", "ome_metadata", "parse_xml"]

#: Most characters of XML that are read.
MAX_XML = 1 << 26
#: Least bytes that a page takes in a file.
_MIN_PAGE_BYTES = 8
#: Part of a step by which times may deviate from an even axis, since cameras are not exact.
_TIME_TOLERANCE = 0.05
#: Attributes of Channel that are coordinates, with their names, types and units.
_CHANNEL = {
    "Name": ("channel", str, None),
    "Color": ("channel_color", int, None),
    "EmissionWavelength": ("emission_wavelength", float, "nm"),
    "ExcitationWavelength": ("excitation_wavelength", float, "nm"),
    "Fluor": ("fluorophore", str, None),
}


def parse_xml(path: Path, text: str) -> Any:
    """Return the root of OME-XML.

    Raises
    ------
    FormatError
        If it is too long, declares entities or is not valid.
    """
    if len(text) > MAX_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FormatError(f"{path}: its OME-XML is too long or declares entities")
    try:
        return ET.fromstring(text)
    except ET.ParseError as error:
        raise FormatError(f"{path}: its OME-XML is not valid: {error}") from error


def check_ome(path: Path, root: Any, page_size: Callable[[int], int]) -> None:
    """Check the sizes and the files that OME-XML declares, before tifffile makes pages of them.

    Parameters
    ----------
    path : Path
        The file.
    root : element
        Root element of the OME-XML.
    page_size : callable
        Given the number of a page, returns how many samples it holds.

    Raises
    ------
    FormatError
        If a file is missing.
    UnsafeInputError
        If a file is in another folder, or there are more pages than the files can hold.
    """
    names = {uuid.get("FileName") for uuid in children(root, "UUID") if uuid.get("FileName")} - {
        path.name
    }
    there = path.stat().st_size + sum(
        safety.confine_path(path, name).stat().st_size for name in sorted(names)
    )
    for pixels in children(root, "Pixels"):
        planes = math.prod(_whole_number(path, pixels, f"Size{letter}") for letter in "ZCT")
        plane = math.prod(_whole_number(path, pixels, f"Size{letter}") for letter in "YX")
        stored = children(pixels, "TiffData")
        first = next((_whole_number(path, s, "IFD", 0) for s in stored if s.get("IFD")), 0)
        # tifffile makes a list of as many pages as these say, whether they are there or not.
        declared = [planes, planes * plane // max(page_size(first), 1)]
        for name in "IFD", "PlaneCount", "NumPlanes", "FirstZ", "FirstC", "FirstT":
            declared += [_whole_number(path, s, name, 0) for s in stored if s.get(name)]
        planes = max(declared)
        if planes > there // _MIN_PAGE_BYTES:
            raise UnsafeInputError(
                f"{path}: its OME-XML declares {planes:,} planes, more than {there:,} bytes of "
                "files can hold; its sizes are wrong"
            )


def _whole_number(path: Path, element: Any, name: str, least: int = 1) -> int:
    text = str(element.get(name, least))
    if not (text.isascii() and text.isdecimal() and int(text[:20]) >= least):
        raise FormatError(
            f"{path}: {name} in OME-XML must be an int of {least} or more, got {text[:80]!r}"
        )
    return int(text[:20])


def ome_metadata(
    path: Path, root: Any, series: int, shape: Sequence[int], axes: str
) -> TiffMetadata:
    """Return the metadata of a series in OME-XML.

    Parameters
    ----------
    path : Path
        Named in messages.
    root : Element
        Root of the XML.
    series : int
        Number of the series in the file.
    shape, axes : sequence of int, str
        Shape of the series, and letters of its axes.

    Raises
    ------
    FormatError
        If no Image element can be assigned to the series.
    """
    image, pixels = _find_image(path, root, series, dict(zip(axes, shape, strict=True)))
    steps = _pixel_sizes(pixels)
    planes = _planes(pixels)
    origin, heights = _positions(path, planes, steps)
    counts = {letter: int(pixels.get(f"Size{letter}", 1)) for letter in "ZCT"}
    times = _times(path, planes, steps, counts["T"])
    coords = _channels(pixels) | times.coords
    if sorted(heights) == list(range(counts["Z"])):
        unit = steps["z"][1] if "z" in steps else None
        coords["position_z"] = ("z", [heights[n] for n in sorted(heights)], {"unit": unit})
    if times.step is not None:
        steps["t"] = times.step
        origin["t"] = times.start
    attrs = {"Name": image.get("Name")} if image.get("Name") else {}
    return TiffMetadata("ome", steps, origin, coords, attrs, _stored_record(root))


def children(element: Any, name: str) -> list[Any]:
    """Return all descendants of a name, in any namespace."""
    return [
        e for e in element.iter() if isinstance(e.tag, str) and e.tag.rpartition("}")[2] == name
    ]


def _find_image(path: Path, root: Any, series: int, sizes: dict[str, int]) -> tuple[Any, Any]:
    """Return the Image element of a series, and its Pixels."""
    pairs = [(e, p) for e in children(root, "Image") for p in children(e, "Pixels")[:1]]
    stored = [(e, p) for e, p in pairs if children(p, "TiffData")]
    if len(stored) > series and _has_sizes(stored[series][1], sizes):
        return stored[series]
    alike = [(e, p) for e, p in stored if _has_sizes(p, sizes)]
    if len(alike) == 1:
        return alike[0]
    raise FormatError(
        f"{path}: none of its {len(pairs)} OME images can be assigned to series {series}; read its "
        "pixels alone with plain=True"
    )


def _has_sizes(pixels: Any, sizes: dict[str, int]) -> bool:
    """Whether Pixels have the sizes of a series; axes of length 1 may be left out."""
    return all(
        int(pixels.get(f"Size{letter}", 1)) == sizes.get(letter, 1)
        for letter in "XYZT"
        if pixels.get(f"Size{letter}", "1").isdecimal()
    )


# --- sizes and positions ------------------------------------------------------------------


def _pixel_sizes(pixels: Any) -> dict[str, tuple[float, str | None]]:
    steps: dict[str, tuple[float, str | None]] = {}
    for name in SPACE_AXES:
        value = positive_number(pixels.get(f"PhysicalSize{name.upper()}"))
        if value is not None:
            unit = pixels.get(f"PhysicalSize{name.upper()}Unit", "um")
            # "pixel" and "reference frame" are not lengths.
            steps[name] = (value, None if unit in ("pixel", "reference frame") else unit)
    value = positive_number(pixels.get("TimeIncrement"))
    if value is not None:
        steps["t"] = (value, pixels.get("TimeIncrementUnit", "s"))
    return steps


def _planes(pixels: Any) -> list[dict[str, Any]]:
    """Return the attributes of the planes, with their numbers as ints."""
    found = []
    for plane in children(pixels, "Plane"):
        numbers = [str(plane.get(f"The{letter}", "0")) for letter in "ZCT"]
        if all(n.isdecimal() for n in numbers):
            found.append(dict(plane.attrib) | dict(zip("ZCT", map(int, numbers), strict=True)))
    return found


def _positions(
    path: Path, planes: list[dict[str, Any]], steps: dict[str, tuple[float, str | None]]
) -> tuple[dict[str, float], dict[int, float]]:
    """Return the position of the first voxel and the z of planes that are not even.

    The step in z is set if they are.
    """
    origin: dict[str, float] = {}
    uneven: dict[int, float] = {}
    for name in SPACE_AXES:
        field = f"Position{name.upper()}"
        values: dict[int, float] = {}
        problems = set()
        for plane in planes:
            value = finite_number(plane.get(field))
            if value is None:
                continue
            position = _position_in_unit(value, plane.get(field + "Unit"), steps.get(name))
            if position is None:
                unit = plane.get(field + "Unit")
                problems.add(f"in {unit!r}, unlike its pixel size, and is not read")
                continue
            where = plane["Z"] if name == "z" else 0
            if not math.isclose(values.setdefault(where, position), position, abs_tol=1e-9):
                problems.add("not the same; that of the first is used")
        for text in sorted(problems):
            warnings.warn(f"{path}: the {field} of its planes is {text}", stacklevel=8)
        if 0 in values:
            origin[name] = values[0]
        if name == "z" and len(set(values.values())) > 1 and not _set_depth(values, steps):
            uneven = values
            size = steps["z"][0] if "z" in steps else "none"
            warnings.warn(
                f"{path}: the PositionZ of its planes are not in steps of its PhysicalSizeZ "
                f"({size}); the latter is used, from the first plane, and they are "
                "coords['position_z']",
                UserWarning,
                stacklevel=8,
            )
    return origin, uneven


def _position_in_unit(
    value: float, own: str | None, step: tuple[float, str | None] | None
) -> float | None:
    """Return a position in the unit of the pixel size, or None if it cannot be converted."""
    size, unit = step or (1.0, None)
    if own == "pixel":
        return value if unit is None else value * size
    if own is None or (step is None and not value):
        return value
    return convert_unit(value, own, unit)


def _set_depth(values: dict[int, float], steps: dict[str, tuple[float, str | None]]) -> bool:
    """Set the sign of the size in z by the z of planes, or the size if it has none.

    Returns whether they agree.
    """
    numbers, positions = np.array(list(values)), np.array(list(values.values()))
    size, unit = steps.get("z", (None, None))
    found = float((positions[-1] - positions[0]) / (numbers[-1] - numbers[0]))
    even = bool(found) and np.allclose(
        positions, positions[0] + (numbers - numbers[0]) * found, rtol=0, atol=1e-2 * abs(found)
    )
    agrees = size is None or abs(abs(found) - size) <= 1e-2 * size
    if even and agrees:
        steps["z"] = (found if size is None else math.copysign(size, found), unit)
    return bool(even and agrees)


# --- times --------------------------------------------------------------------------------


class _Times(NamedTuple):
    """Step and unit of time, the time of the first plane, and coordinates of uneven times."""

    step: tuple[float, str | None] | None
    start: float
    coords: dict[str, Any]


def _times(
    path: Path,
    planes: list[dict[str, Any]],
    steps: dict[str, tuple[float, str | None]],
    count: int,
) -> _Times:
    """Return step and start of time, from the earliest plane of each time point."""
    step = steps.get("t")
    unit = step[1] if step else next(
        (p["DeltaTUnit"] for p in planes if "DeltaTUnit" in p), "s"
    )  # fmt: skip
    first: dict[int, float] = {}
    for plane in planes:
        value = finite_number(plane.get("DeltaT"))
        time = None if value is None else convert_unit(value, plane.get("DeltaTUnit", "s"), unit)
        if time is not None:
            first[plane["T"]] = min(first.get(plane["T"], math.inf), time)
    if sorted(first) != list(range(count)) or (count == 1 and step is None and not first.get(0)):
        return _Times(step, 0.0, {})
    times = np.array([first[n] for n in range(count)])
    if count == 1:
        return _Times(step or (1.0, unit), float(times[0]), {})
    mean = float(times[-1] - times[0]) / (count - 1)
    even = (
        mean > 0
        and np.abs(times - times[0] - np.arange(count) * mean).max() <= _TIME_TOLERANCE * mean
    )
    if even and step is not None and abs(step[0] - mean) <= _TIME_TOLERANCE * mean:
        return _Times(step, float(times[0]), _uneven_times(times, step[0], unit))
    if even:
        if step is not None:
            _warn_times(path, f"in steps of {mean:g}, not of its TimeIncrement {step[0]:g}; the "
                        "planes' are used")  # fmt: skip
        return _Times((mean, unit), float(times[0]), _uneven_times(times, mean, unit))
    _warn_times(path, "not evenly spaced: axis t is plain, and they are coords['t']")
    return _Times(None, 0.0, {"t": ("t", times, {"unit": unit})})


def _uneven_times(times: NDArray[np.float64], step: float, unit: str | None) -> dict[str, Any]:
    """Return the planes' own times as a coordinate, if they are not exactly even."""
    off = np.abs(times - times[0] - np.arange(len(times)) * step).max()
    return {"delta_t": ("t", times, {"unit": unit})} if off > 1e-6 * step else {}


def _warn_times(path: Path, what: str) -> None:
    warnings.warn(f"{path}: the times (DeltaT) of its planes are {what}", UserWarning, stacklevel=9)


# --- channels and annotations -------------------------------------------------------------


def _channels(pixels: Any) -> dict[str, Any]:
    """Return the coordinates of channels, with one value for each index along c."""
    channels = children(pixels, "Channel")
    samples = [int(str(c.get("SamplesPerPixel", 1))) for c in channels]
    if not channels or sum(samples) != int(pixels.get("SizeC", 0)) or set(samples) != {1}:
        return {}
    coords: dict[str, Any] = {}
    for field, (name, kind, unit) in _CHANNEL.items():
        given = [c.get(field) for c in channels]
        if not any(given):
            continue
        if kind is float:
            own = next((c.get(field + "Unit") for c in channels if c.get(field + "Unit")), unit)
            values: list[Any] = [
                v if (v := finite_number(g)) is not None else math.nan for g in given
            ]
            coords[name] = ("c", values, {"unit": own})
        elif kind is int:
            coords[name] = ("c", [color_text(g) for g in given])
        else:
            coords[name] = ("c", [g or "" for g in given])
    return coords


def color_text(value: Any) -> str:
    """Return a color of OME, a signed number of red, green, blue, alpha, as ``RRGGBB``.

    Examples
    --------
    >>> color_text("-16776961"), color_text("16711935"), color_text(None)
    ('FF0000', '00FF00', '')
    """
    try:
        return f"{int(value) >> 8 & 0xFFFFFF:06X}"
    except (TypeError, ValueError):
        return ""


def _stored_record(root: Any) -> str | None:
    """Return the exact geometry in the library's annotation, if there is one."""
    for note in children(root, "MapAnnotation"):
        if note.get("Namespace") == KEY:
            for entry in children(note, "M"):
                if entry.get("K") == "geometry":
                    return str(entry.text)
    return None
