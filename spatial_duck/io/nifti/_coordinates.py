"""Coordinates from a NIfTI header, and back.

=====================  ==========================================================================
header                 coordinate
=====================  ==========================================================================
intent 1007 (vector)   ``component`` x, y, z in LPS, as ITK and ANTs write it, if there are two or
                       three of a signed type and ``intent_name`` is not "channels"
intent 1006            ``component`` x, y, z in RAS
intent 1005            ``component`` xx, xy, yy, xz, yz, zz: the lower triangle, row by row
2003, 2004, RGB types  ``channel`` red, green, blue (and alpha)
other kinds of axes    ``channel`` 0, 1, … with the code as attribute ``intent_code``
slice_code, _start,    ``slice_time`` in the header's unit of time along the slice axis of
_end, _duration        ``dim_info``; NaN for slices without one
dim_info               ``frequency_encoding``, ``phase_encoding``, ``slice_encoding``: 0, 1, …
                       along the axis of that kind
=====================  ==========================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io._coords import color_names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = [
    "AXIS_INTENTS",
    "DISPLACEMENT",
    "SYMMETRIC",
    "VECTOR",
    "VectorAxis",
    "header_coords",
    "set_axis_fields",
    "vector_axis",
]

MATRIX, SYMMETRIC, DISPLACEMENT, VECTOR = 1004, 1005, 1006, 1007
RGB, RGBA = 2003, 2004
#: Intents that describe the indices of an axis; the others describe the values.
AXIS_INTENTS = frozenset([MATRIX, SYMMETRIC, DISPLACEMENT, VECTOR, 1008, 1009, 1010, RGB, RGBA])
#: Value of ``intent_name`` for vectors that are not directions.
_CHANNELS_NAME = "channels"
_TIME_UNITS = {8: "s", 16: "ms", 24: "us"}
_ENCODING_COORDS = ("frequency_encoding", "phase_encoding", "slice_encoding")


def _tensor_components(count: int) -> list[str] | None:
    """Return the names of the components of a symmetric matrix; None for other counts."""
    n = {3: 2, 6: 3}.get(count, 0)
    return [SPACE_AXES[j] + SPACE_AXES[i] for i in range(n) for j in range(i + 1)] or None


# --- reading ------------------------------------------------------------------------------


def header_coords(
    header: Any, geometry: Geometry, removed_axis: int | None, dtype: np.dtype[Any], colors: int = 0
) -> dict[str, Any]:
    """Return the coordinates in a header.

    Parameters
    ----------
    header : nibabel.Nifti1Header or Nifti2Header
        The header.
    geometry : Geometry
        Geometry of the image.
    removed_axis : int or None
        Axis of the file that the image does not have.
    dtype : dtype
        Type of the voxels in the file.
    colors : int, optional
        Number of channels of RGB voxels, the image's last axis.
    """
    coords: dict[str, Any] = {}
    if colors:
        coords["channel"] = (geometry.ndim - 1, color_names(colors))
    elif int(header["intent_code"]) in AXIS_INTENTS:
        count = len(header.get_data_shape())
        axis = min(4, count - 1) - (removed_axis is not None)
        if count >= 4:
            coords |= _intent_coords(header, geometry, axis, dtype)
    return coords | _encoding_coords(header, geometry)


def _intent_coords(
    header: Any, geometry: Geometry, axis: int, dtype: np.dtype[Any]
) -> dict[str, Any]:
    code, count = int(header["intent_code"]), geometry.shape[axis]
    unit = next((u for u in geometry.unit if u), None)
    named = {DISPLACEMENT: "RAS", VECTOR: "LPS"}
    directions = dtype.kind in "if" and count in (2, 3) and count <= len(geometry.world.axes)
    if code == VECTOR and header["intent_name"].item() == _CHANNELS_NAME.encode():
        return {}
    if code in named and directions and geometry.frame is not None:
        attrs = {"frame": named[code], "intent_code": code} | ({"unit": unit} if unit else {})
        return {"component": (axis, list(SPACE_AXES[:count]), attrs)}
    names = _tensor_components(count)
    if code == SYMMETRIC and names and dtype.kind in "if":
        return {"component": (axis, names, {"intent_code": code})}
    if code in (RGB, RGBA) and count == code - 2000:
        return {"channel": (axis, color_names(count), {"intent_code": code})}
    return {"channel": (axis, list(range(count)), {"intent_code": code})}


def _encoding_coords(header: Any, geometry: Geometry) -> dict[str, Any]:
    coords: dict[str, Any] = {}
    kinds = dict(zip(_ENCODING_COORDS, header.get_dim_info(), strict=True))
    shape = [n for n, name in zip(geometry.shape, geometry.dims, strict=True) if name in SPACE_AXES]
    for name, axis in kinds.items():
        if axis is not None and axis < len(shape):
            coords[name] = (axis, np.arange(shape[axis]))
    axis, duration = kinds["slice_encoding"], float(header["slice_duration"])
    if axis is None or axis >= len(shape) or not duration > 0 or not np.isfinite(duration):
        return coords
    unit = _TIME_UNITS.get(int(header["xyzt_units"]) & 56)
    times = _slice_times(header, shape[axis], duration)
    if times is not None:
        coords["slice_time"] = (axis, times, {"unit": unit} if unit else {})
    return coords


def _slice_times(header: Any, count: int, duration: float) -> NDArray[np.float64] | None:
    """Return the time of each slice, NaN for slices without one; None if there are no times."""
    first, last = int(header["slice_start"]), int(header["slice_end"])
    last = last or count - 1
    order = _acquisition_order(int(header["slice_code"]), last - first + 1)
    if order is None or not 0 <= first <= last < count:
        return None
    times = np.full(count, np.nan)
    times[first + order] = np.arange(len(order)) * duration
    return times


def _acquisition_order(code: int, n: int) -> NDArray[np.intp] | None:
    """Return the indices of n slices in the order in which they were acquired.

    The standard's codes are 1, 2 for sequential up and down; 3, 4 for alternating up and down; 5, 6
    for alternating from the second slice.
    """
    up = np.arange(max(n, 0))
    orders = {
        1: up,
        2: up[::-1],
        3: np.r_[up[::2], up[1::2]],
        4: np.r_[up[::-1][::2], up[::-1][1::2]],
        5: np.r_[up[1::2], up[::2]],
        6: np.r_[up[::-1][1::2], up[::-1][::2]],
    }
    return orders.get(code)


# --- writing ------------------------------------------------------------------------------


class VectorAxis(NamedTuple):
    """The axis of an image that is the fifth of NIfTI, or inside its voxels.

    Attributes
    ----------
    axis : int
        The array axis.
    intent : int
        Intent code of what it holds.
    name : str
        ``intent_name``.
    order : tuple of int or None
        NIfTI's order of the components, if it differs.
    colors : bool
        Whether the voxels are of an RGB type.
    """

    axis: int
    intent: int
    name: str = ""
    order: tuple[int, ...] | None = None
    colors: bool = False


def vector_axis(image: Any) -> VectorAxis | None:
    """Return the axis of an image that holds vectors rather than a series of volumes.

    That is an axis with components or colors; one with an axis intent; or a plain axis after x, the
    last axis of space, which holds the samples of a pixel.
    """
    coords, dims = image.coords, image.dims
    for name in ("component", "channel"):
        found = coords.get(name)
        if found is None or not found.dims:
            continue
        axis = dims.index(found.dims[0])
        labels = [str(v) for v in found.values.tolist()] if found.ndim == 1 else []
        intent = int(found.attrs.get("intent_code", 0))
        if name == "component":
            found_axis = _component_axis(labels, intent)
            if found_axis is not None:
                return found_axis._replace(axis=axis)
        elif labels in (color_names(3), color_names(4)):
            is_rgb = np.dtype(image.dtype) == np.uint8
            return VectorAxis(axis, 0 if is_rgb else 2000 + len(labels), colors=is_rgb)
        elif intent in AXIS_INTENTS and intent not in (MATRIX, SYMMETRIC, 1010, RGB, RGBA):
            return VectorAxis(axis, intent)
    space = [i for i, name in enumerate(dims) if name in SPACE_AXES]
    plain = set(range(image.ndim)) - set(image.geometry.sampled_axes)
    if space and dims[max(space)] == "x" and max(space) + 1 in plain:
        return VectorAxis(max(space) + 1, VECTOR, _CHANNELS_NAME)
    return None


def _component_axis(labels: list[str], intent: int) -> VectorAxis | None:
    """Return the intent and the order of components in NIfTI; None if it has none for them."""
    for names, code in (
        (list(SPACE_AXES), intent if intent == DISPLACEMENT else VECTOR),
        (list(SPACE_AXES[:2]), intent if intent == DISPLACEMENT else VECTOR),
        (_tensor_components(6) or [], SYMMETRIC),
        (_tensor_components(3) or [], SYMMETRIC),
    ):
        if sorted(labels) == sorted(names):
            order = tuple(labels.index(n) for n in names)
            return VectorAxis(-1, code, "", order if labels != names else None)
    return None


def set_axis_fields(header: Any, dims: tuple[str | None, ...], coords: Mapping[str, Any]) -> None:
    """Set slice times and encodings in a header, as far as it can hold them.

    Parameters
    ----------
    header : nibabel.Nifti1Header or Nifti2Header
        With its shape and units.
    dims : tuple
        Names of the file's axes.
    coords : mapping of str to Coordinate
        Coordinates of the image.
    """
    along = {
        name: dims.index(coords[name].dims[0])
        for name in (*_ENCODING_COORDS, "slice_time")
        if name in coords and coords[name].dims and coords[name].dims[0] in dims[:3]
    }
    times = coords["slice_time"] if "slice_time" in along else None
    if times is not None and times.unit == _TIME_UNITS.get(int(header["xyzt_units"]) & 56):
        if _set_slice_times(header, np.asarray(times.values, np.float64)):
            along["slice_encoding"] = along["slice_time"]
    header.set_dim_info(*[along.get(name) for name in _ENCODING_COORDS])


def _set_slice_times(header: Any, times: NDArray[np.float64]) -> bool:
    """Set times that follow one of the standard's orders; return whether they do."""
    known = np.flatnonzero(np.isfinite(times))
    if len(known) < 2 or known[-1] - known[0] + 1 != len(known):
        return False
    part = times[known]
    duration = float(np.sort(part)[1] - np.sort(part)[0])
    for code in range(1, 7):
        order = _acquisition_order(code, len(part))
        expected = np.empty(len(part))
        expected[order] = np.arange(len(part)) * duration
        if np.allclose(part, expected, rtol=0, atol=1e-5 * duration):
            header["slice_code"], header["slice_duration"] = code, duration
            header["slice_start"], header["slice_end"] = known[0], known[-1]
            return True
    return False
