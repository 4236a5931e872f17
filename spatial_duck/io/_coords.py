"""Coordinates of an image in files: as JSON, and warnings for those that a format cannot hold.

Formats that store the library's record (`spatial_duck.io._json`) hold every coordinate in it, as
``{"name": {"axis": 0, "values": [...], "type": "f8", "attrs": {"unit": "ms"}}}``; ``axis`` is None
for a coordinate of the whole image, times are counts of their type's unit, and complex numbers are
pairs. Other formats hold those that their standard has: `spatial_duck.io.Format.held_coords`
returns them, and `warn_of_lost_coords` names the others before anything is written.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.array._coordinates import is_equal
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.io._json import json_attrs
from spatial_duck.io._safety import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = [
    "AxisCoord",
    "check_coords",
    "color_names",
    "coords_by_axis",
    "coords_from_json",
    "coords_to_json",
    "same_coords",
    "warn_of_lost_coords",
]

#: Coordinates that identify the files of a DICOM series, which do not apply to other files.
_OF_FILES = frozenset(["sop_instance_uid", "instance_number"])


def color_names(count: int) -> list[str]:
    """Return the names of the three or four channels of a color."""
    return ["red", "green", "blue", "alpha"][:count]


class AxisCoord(NamedTuple):
    """A coordinate, by the number of its axis.

    Attributes
    ----------
    axis : int or None
        Axis of the stored array; None for the whole image.
    values : ndarray
        One value for each index.
    attrs : mapping
        Attributes, the unit among them.
    """

    axis: int | None
    values: NDArray[Any]
    attrs: Mapping[str, Any]


def coords_by_axis(image: Any, dims: Sequence[str | None]) -> dict[str, AxisCoord]:
    """Return the coordinates of an image, with the numbers of its axes when it is stored.

    Parameters
    ----------
    image : SpatialArray
        An image with the axes `dims`, in any order.
    dims : sequence of (str or None)
        Names of the axes in the order of the stored array.
    """
    found = {}
    same = tuple(image.dims) == tuple(dims)
    for name, given in (image._coords or {}).items():
        axis = given.axis
        if axis is not None and not same:
            axis = list(dims).index(image.dims[axis])
        unit = {} if given.unit is None else {"unit": given.unit}
        found[name] = AxisCoord(axis, given.values, {**given.attrs, **unit})
    return found


def coords_to_json(coords: Mapping[str, AxisCoord]) -> dict[str, Any]:
    """Return coordinates as JSON; attributes that JSON cannot hold are left out."""
    return {
        name: {
            "axis": coord.axis,
            "values": _to_lists(coord.values),
            "type": coord.values.dtype.newbyteorder("=").str[1:],
            "attrs": json_attrs(coord.attrs),
        }
        for name, coord in coords.items()
    }


def _to_lists(values: NDArray[Any]) -> Any:
    kind = values.dtype.kind
    if kind == "c":
        return _to_lists(np.stack([values.real, values.imag], axis=-1))
    if kind in "mM":
        return values.astype("i8").tolist()
    if kind == "f" and not np.isfinite(values).all():
        listed = values.astype(object)
        listed[~np.isfinite(values)] = values[~np.isfinite(values)].astype(str)
        return listed.tolist()
    return values.tolist()


def coords_from_json(path: object, given: Any, geometry: Geometry | None) -> dict[str, Any]:
    """Return coordinates as `SpatialArray` takes them.

    Parameters
    ----------
    path : object
        Named in messages.
    given : mapping or None
        The result of `coords_to_json`.
    geometry : Geometry or None
        Geometry of the image, which they must fit; None if the caller checks that.

    Raises
    ------
    FormatError
        If they are not valid.
    """
    found: dict[str, Any] = {}
    try:
        for name, entry in dict(given or {}).items():
            axis = entry["axis"]
            values = _array(np.dtype(str(entry["type"])), entry["values"])
            found[str(name)] = (() if axis is None else int(axis), values, dict(entry["attrs"]))
    except MALFORMED as error:
        raise FormatError(f"{path}: its coordinates are not valid: {error!r}") from error
    if geometry is not None:
        check_coords(path, found, geometry)
    return found


def check_coords(path: object, coords: Mapping[str, Any], geometry: Geometry) -> None:
    """Check that coordinates fit a geometry."""
    try:
        SpatialArray(np.broadcast_to(np.uint8(0), geometry.shape), geometry, coords=coords)
    except GeometryError as error:
        raise FormatError(f"{path}: its coordinates are not valid: {error}") from error


def _array(kind: np.dtype[Any], values: Any) -> NDArray[Any]:
    if kind.kind == "c":
        pairs = np.array(values, np.float64)
        array = np.empty(pairs.shape[:-1], kind)
        # Not by multiplication with 1j, which makes NaN of infinite parts.
        array.real, array.imag = pairs[..., 0], pairs[..., 1]
        return array
    if kind.kind in "mM":
        return np.array(values, "i8").astype(kind)
    if kind.kind in "biufU":
        return np.array(values, kind)
    raise FormatError(f"a coordinate cannot have the type {kind}")


# --- coordinates that a format cannot hold ------------------------------------------------


def same_coords(image: Any, back: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the names of the coordinates that came back unchanged.

    Parameters
    ----------
    image : SpatialArray
        The image that is written.
    back : mapping of str to Coordinate
        Its coordinates as they are read or converted back; they may differ by rounding.
    names : iterable of str
        Names of the coordinates to compare.
    """
    return [n for n in names if n in back and _is_same(image.coords[n], back[n])]


def _is_same(before: Any, after: Any) -> bool:
    if before.shape != after.shape or before.unit not in (None, after.unit):
        return False
    if before.dtype.kind in "iufb" and after.dtype.kind in "iufb":
        return bool(np.allclose(before.values, after.values, 1e-6, 1e-9, equal_nan=True))
    return is_equal(before.values, after.values)


def warn_of_lost_coords(path: object, name: str, image: Any, held: Collection[str]) -> None:
    """Warn about the coordinates of an image that a format cannot hold.

    Parameters
    ----------
    path : object
        The target; None if the image is converted to that of a library.
    name : str
        Name of the format or the library's class.
    image : SpatialArray
        The image.
    held : collection of str
        Names of the coordinates that the format holds.
    """
    lost = sorted(set(image.coords) - set(held) - _OF_FILES)
    if lost:
        others = "" if path is None else ".ome.zarr, .h5, .npy, .tif and .vti hold all, and "
        warnings.warn(
            f"{'' if path is None else f'{path}: '}{name} cannot store the coordinates "
            f"{', '.join(map(repr, lost))}, which are left out; {others}"
            f"image.replace(coords={{}}) {'converts' if path is None else 'writes'} without them",
            UserWarning,
            stacklevel=3,
        )
