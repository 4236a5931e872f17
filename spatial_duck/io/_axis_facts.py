"""Coordinates of an image in files: as JSON, and warnings for those that a format cannot hold.

Formats that keep a record of ours (`spatial_duck.io._json`) hold every coordinate in it, as
``{"name": {"axis": 0, "values": [...], "type": "f8", "attrs": {"unit": "ms"}}}``; ``axis`` is None
for a fact of the whole image, times are counts of their type's unit, and complex numbers pairs.
Other formats hold those that their standard knows: `spatial_duck.io.Format.held_coords` says which,
and `warn_of_lost_coords` names the others before anything is written.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.array._coordinates import is_equal
from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.io._json import json_attrs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = [
    "AxisFact",
    "check_coords",
    "coords_by_axis",
    "coords_from_json",
    "coords_to_json",
    "same_coords",
    "warn_of_lost_coords",
]

#: Coordinates that tell the files of a DICOM series apart: no other file is one of those.
_OF_FILES = frozenset(["sop_instance_uid", "instance_number"])


class AxisFact(NamedTuple):
    """A coordinate, by the number of its axis.

    Attributes
    ----------
    axis : int or None
        Axis of the array as it is stored; None for the whole image.
    values : ndarray
        One for each index.
    attrs : mapping
        Its unit among them.
    """

    axis: int | None
    values: NDArray[Any]
    attrs: Mapping[str, Any]


def coords_by_axis(image: Any, dims: Sequence[str | None]) -> dict[str, AxisFact]:
    """Return the coordinates of an image, by the axes that it is stored with.

    Parameters
    ----------
    image : SpatialArray
        With the names of `dims`, in any order.
    dims : sequence of (str or None)
        Names of the axes as they are stored.
    """
    found = {}
    same = tuple(image.dims) == tuple(dims)
    for name, given in (image._coords or {}).items():
        axis = given.axis
        if axis is not None and not same:
            axis = list(dims).index(image.dims[axis])
        unit = {} if given.unit is None else {"unit": given.unit}
        found[name] = AxisFact(axis, given.values, {**given.attrs, **unit})
    return found


def coords_to_json(facts: Mapping[str, AxisFact]) -> dict[str, Any]:
    """Return coordinates as JSON; facts about one as a whole that JSON lacks are left out."""
    return {
        name: {
            "axis": fact.axis,
            "values": _to_lists(fact.values),
            "type": fact.values.dtype.newbyteorder("=").str[1:],
            "attrs": json_attrs(fact.attrs),
        }
        for name, fact in facts.items()
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
        For messages.
    given : mapping or None
        What `coords_to_json` made.
    geometry : Geometry or None
        Of the image, which they must fit; None where the caller looks after that.

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
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: its coordinates are not valid: {error!r}") from error
    if geometry is not None:
        check_coords(path, found, geometry)
    return found


def check_coords(path: object, coords: Mapping[str, Any], geometry: Geometry) -> None:
    """Refuse coordinates that do not fit a geometry."""
    try:
        SpatialArray(np.broadcast_to(np.uint8(0), geometry.shape), geometry, coords=coords)
    except GeometryError as error:
        raise FormatError(f"{path}: its coordinates are not valid: {error}") from error


def _array(kind: np.dtype[Any], values: Any) -> NDArray[Any]:
    if kind.kind == "c":
        pairs = np.array(values, np.float64)
        array = np.empty(pairs.shape[:-1], kind)
        # Not by 1j *, which makes NaN of what is infinite.
        array.real, array.imag = pairs[..., 0], pairs[..., 1]
        return array
    if kind.kind in "mM":
        return np.array(values, "i8").astype(kind)
    if kind.kind in "biufU":
        return np.array(values, kind)
    raise FormatError(f"the type {kind} is none of a coordinate")


# --- what a format has no place for -------------------------------------------------------


def same_coords(image: Any, back: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return those of some coordinates that a header gives back, whose axes keep their names.

    Parameters
    ----------
    image : SpatialArray
        As it is to be written.
    back : mapping of str to Coordinate
        As they are read again; rounding in a header is no change.
    names : iterable of str
        Which are looked at.
    """
    return [n for n in names if n in back and _is_same(image.coords[n], back[n])]


def _is_same(before: Any, after: Any) -> bool:
    if before.shape != after.shape or before.unit not in (None, after.unit):
        return False
    if before.dtype.kind in "iufb" and after.dtype.kind in "iufb":
        return bool(np.allclose(before.values, after.values, 1e-6, 1e-9, equal_nan=True))
    return is_equal(before.values, after.values)


def warn_of_lost_coords(path: object, name: str, image: Any, held: Collection[str]) -> None:
    """Name the coordinates of an image that a format will not hold.

    Parameters
    ----------
    path : object
        Where it is written; None where it is converted to a library's image.
    name : str
        Of the format or the library's class.
    image : SpatialArray
        To be written.
    held : collection of str
        What the format holds of its coordinates.
    """
    lost = sorted(set(image.coords) - set(held) - _OF_FILES)
    if lost:
        others = "" if path is None else ".ome.zarr, .h5, .npy, .tif and .vti hold all, and "
        warnings.warn(
            f"{'' if path is None else f'{path}: '}{name} has no place for the coordinates "
            f"{', '.join(map(repr, lost))}, which are left out; {others}"
            f"image.replace(coords={{}}) {'converts' if path is None else 'writes'} without them",
            UserWarning,
            stacklevel=3,
        )
