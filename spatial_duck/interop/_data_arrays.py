"""The geometry of a DataArray: written as and read from coordinates and one scalar coordinate.

The scalar coordinate ``spatial_geometry`` has attributes that NetCDF and Zarr can hold:
``spacing``, ``origin``, ``direction`` (row by row) and ``frame``, and as JSON ``world_axes``,
``world_units``, ``world_types`` and ``sampled``, the names of the sampled axes. Each of these has a
coordinate: along an axis that runs along one world axis, positions in the world; along another,
distances from ``origin`` (with the attribute ``distance``), so that what xarray made of the array
still knows where it lies: world = origin + direction @ coordinates. Its value depends on the
attributes, so that xarray drops it where arrays of different places are put together.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._validation import SAMPLED_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = [
    "PLACE",
    "axis_of",
    "coords_of",
    "from_coordinates",
    "place_attrs",
    "place_coords",
    "plain_attrs",
    "read_attrs",
]

#: The scalar coordinate whose attributes hold the geometry.
PLACE = "spatial_geometry"
_FIELDS = (
    "spacing", "origin", "direction", "world_axes", "world_units", "world_types", "frame", "sampled"
)  # fmt: skip
_AS_JSON = ("world_axes", "world_units", "world_types", "sampled")
#: Attribute of the scalar coordinate: the names of attributes of the array that hold JSON.
_ENCODED = "json_attrs"
#: Coordinates may deviate so much from even steps, in steps.
_EVEN = 1e-4


def axis_of(column: NDArray[Any]) -> int | None:
    """Return the world axis that a column runs along, or None."""
    along = np.flatnonzero(column)
    return int(along[0]) if len(along) == 1 else None


def place_attrs(g: Geometry, dims: Sequence[str]) -> dict[str, Any]:
    """Return a geometry as attributes of types that NetCDF can hold."""
    found = {
        "spacing": g.spacing.tolist(),
        "origin": g.origin.tolist(),
        "direction": g.direction.ravel().tolist(),
        "world_axes": json.dumps(list(g.world.axes)),
        "world_units": json.dumps(list(g.world.units)),
        "world_types": json.dumps(list(g.world.types)),
        "sampled": json.dumps([dims[i] for i in g.sampled_axes]),
    }
    return found | ({} if g.frame is None else {"frame": g.frame})


def place_coords(
    g: Geometry, dims: Sequence[str], encoded: Sequence[str] = ()
) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Return the coordinates of a geometry, as xarray takes them.

    Parameters
    ----------
    g : Geometry
        Any.
    dims : sequence of str
        Names of its axes in xarray.
    encoded : sequence of str, optional
        Names of the array's attributes that hold JSON.
    """
    coords: dict[str, tuple[Any, Any, dict[str, Any]]] = {}
    for axis, spacing, column in zip(g.sampled_axes, g.spacing, g.direction.T, strict=True):
        along = axis_of(column)
        index = np.arange(g.shape[axis])
        attrs: dict[str, Any] = {}
        if along is None:
            values = spacing * index
            attrs["distance"] = "along the axis, from the origin of " + PLACE
        else:
            values = g.origin[along] + spacing * column[along] * index
            if (unit := g.unit[along]) is not None:
                attrs["units"] = unit
        coords[dims[axis]] = (dims[axis], values, attrs)
    if g.world.axes or g.frame is not None or encoded:
        attrs = place_attrs(g, dims) | ({_ENCODED: json.dumps(list(encoded))} if encoded else {})
        value = np.int32(zlib.crc32(json.dumps(attrs).encode()) >> 1)  # NetCDF 3 has 32 bits
        coords[PLACE] = ((), value, attrs)
    return coords


def plain_attrs(attrs: Mapping[Any, Any]) -> tuple[dict[Any, Any], list[str]]:
    """Return attributes as NetCDF can hold them, and the names of those that became JSON."""
    out, encoded = dict(attrs), []
    for name, value in attrs.items():
        if value is None or (isinstance(value, bool | dict | list | tuple) and not _is_flat(value)):
            try:
                out[name] = json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                continue  # xarray says by name what it cannot write
            encoded.append(str(name))
    return out, encoded


def _is_flat(value: Any) -> bool:
    kinds = {type(v) for v in value} if isinstance(value, list | tuple) else {dict}
    return len(value) > 0 and (kinds <= {int, float}) if not isinstance(value, bool) else False


def read_attrs(array: Any) -> dict[Any, Any]:
    """Return the attributes of a DataArray, those that hold JSON decoded."""
    attrs = dict(array.attrs)
    if PLACE in array.coords:
        for name in json.loads(array.coords[PLACE].attrs.get(_ENCODED, "[]")):
            if isinstance(attrs.get(name), str):
                attrs[name] = json.loads(attrs[name])
    return attrs


def from_coordinates(array: Any, more: Sequence[str] = ()) -> SpatialArray:
    """Return a DataArray as an image, with the geometry of its coordinates and attributes.

    Parameters
    ----------
    array : xarray.DataArray
        The array.
    more : sequence of str, optional
        Axes that are sampled besides those of the usual names.

    Raises
    ------
    GeometryLossError
        If they do not determine the geometry completely.
    GeometryError
        If the coordinates of a sampled axis are not evenly spaced.
    """
    attrs = read_attrs(array)
    given = {name: attrs.pop(name) for name in _FIELDS if name in attrs}
    if PLACE in array.coords:
        own = array.coords[PLACE].attrs
        given = {k: json.loads(v) if k in _AS_JSON else v for k, v in own.items() if k in _FIELDS}
    _refuse_distances(array, given)
    names = [str(name) for name in array.dims]
    known = {*SAMPLED_NAMES, *(given.get("sampled") or ()), *more}
    sampled = [n for n in names if n in known]
    dims = [None if n.startswith("dim_") and n not in sampled else n for n in names]
    if "direction" in given:
        sampled = [n for n in sampled if n in given["sampled"]]
        _refuse_half(array, given)
    starts, spacings, signs = _coordinates(array, sampled, given)
    if "direction" in given:
        geometry = _by_attributes(array, dims, sampled, given, starts, spacings, signs)
    else:
        units = {n: array[n].attrs.get("units") or None for n in sampled if n in array.coords}
        geometry = Geometry(
            array.shape, spacings, starts, np.diag(signs), dims, sampled=sampled,
            world=World(sampled, units, given.get("frame")),
        )  # fmt: skip
    held = coords_of(array, sampled, given.get("sampled") or ())
    return SpatialArray(array.data, geometry, coords=held, attrs=attrs)


def _refuse_distances(array: Any, given: Mapping[str, Any]) -> None:
    """Check that no axis has distances without a direction."""
    lone = [n for n in array.coords if "distance" in array.coords[n].attrs]
    if lone and "direction" not in given:
        raise GeometryLossError(
            f"the coordinates {lone!r} are distances along oblique axes, and the coordinate "
            f"{PLACE!r}, which says where these run, is gone: xarray drops it where arrays of "
            "different places are put together. Resample one onto the other's grid first"
        )


def _refuse_half(array: Any, given: Mapping[str, Any]) -> None:
    """Refuse an array of which an axis was taken, or a coordinate, that its place needs."""
    for name in given["sampled"]:
        if name not in array.coords and 0 not in array.shape:
            raise GeometryLossError(
                f"the coordinate {name!r} is gone, and with it where the array lies along that "
                "axis: keep it, or drop the coordinate "
                f"{PLACE!r} too and give the place anew with SpatialArray(array.data, ...)"
            )


def coords_of(
    array: Any,
    sampled: Sequence[str] = tuple(SAMPLED_NAMES),
    left: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the coordinates of a DataArray that an image can hold, apart from those of places.

    Parameters
    ----------
    array : xarray.DataArray
        Any.
    sampled, left : sequence of str
        Names of the axes whose coordinates are places, and of those that an integer took.
    """
    out: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for name, c in array.coords.items():
        place = name in array.dims and name in sampled and (name != "t" or _has_even_times(array))
        place = place or name == PLACE or (not c.ndim and name in left)
        if c.ndim > 1 or place or c.chunks is not None:
            continue
        values = np.asarray(c.values)
        if values.dtype.kind == "O" and not all(isinstance(v, str) for v in values.flat):
            continue
        attrs = dict(c.attrs)
        axis = array.dims.index(c.dims[0]) if c.ndim else ()
        if "part_of" in attrs:
            whole, k = attrs.pop("part_of"), attrs.pop("part")
            parts.setdefault(whole, {})[k] = (axis, values, attrs)
        else:
            out[str(name)] = (axis, values, attrs)
    for name, found in parts.items():
        axis, _, attrs = found[min(found)]
        out[name] = (axis, np.stack([found[k][1] for k in sorted(found)], axis=-1), attrs)
    return out


def _has_even_times(array: Any) -> bool:
    """Whether the coordinate of time has numbers in even steps, or is not there."""
    if "t" not in array.coords or array.coords["t"].ndim != 1:
        return True
    values = np.asarray(array.coords["t"].values)
    if values.dtype.kind not in "iuf":
        return False
    steps = np.diff(values.astype(np.float64))
    return not len(steps) or bool(np.ptp(steps) <= 2 * _EVEN * abs(steps.mean()) > 0)


def _by_attributes(
    array: Any,
    dims: list[str | None],
    sampled: list[str],
    given: dict[str, Any],
    starts: list[float],
    spacings: list[float],
    signs: list[float],
) -> Geometry:
    """Return the geometry that the attributes give to axes and the coordinates to voxels."""
    axes = given["world_axes"]
    world = World(axes, given["world_units"], given.get("frame"), given.get("world_types"))
    names = list(given["sampled"])
    columns = np.asarray(given["direction"], np.float64).reshape(len(axes), len(names))
    origin = np.array(given["origin"], np.float64, ndmin=1)
    out = np.empty((len(axes), len(sampled)))
    at = {n: float(array.coords[n]) for n in names if n not in sampled and n in array.coords}
    at |= dict(zip(sampled, starts, strict=True))  # axes that an integer took keep a coordinate
    for name, start in at.items():
        column = columns[:, names.index(name)]
        along = axis_of(column)
        if along is None:
            origin = origin + column * start
        else:
            origin[along] = start
    for i, (name, sign) in enumerate(zip(sampled, signs, strict=True)):
        column = columns[:, names.index(name)]
        out[:, i] = column * sign if axis_of(column) is None else abs(column) * sign
    return Geometry(
        array.shape, spacings, origin.tolist(), out, dims, sampled=sampled, world=world
    )  # fmt: skip


def _coordinates(
    array: Any, sampled: list[str], given: dict[str, Any]
) -> tuple[list[float], list[float], list[float]]:
    """Return start, spacing and sign of each sampled axis's coordinate."""
    starts, spacings, signs = [], [], []
    steps = np.atleast_1d(given.get("spacing", ())).tolist()  # NetCDF makes one number of one
    known = dict(zip(given.get("sampled") or (), steps, strict=False))
    for name in sampled:
        if name not in array.coords or (name == "t" and not _has_even_times(array)):
            starts.append(0.0)
            spacings.append(known.get(name, 1.0))
            signs.append(1.0)
            continue
        values = np.asarray(array.coords[name].values)
        if values.dtype.kind not in "iuf" or values.ndim != 1:
            raise GeometryError(
                f"the coordinate {name!r} must hold numbers, got {values.dtype}; drop it or "
                "convert it first"
            )
        values = values.astype(np.float64)
        n = len(values)
        starts.append(float(values[0]) if n else 0.0)
        step = (values[-1] - values[0]) / (n - 1) if n > 1 else known.get(name, 1.0)
        if n > 1 and not (
            abs(values - (values[0] + step * np.arange(n))).max() <= _EVEN * abs(step) > 0
        ):
            raise GeometryError(
                f"the coordinate {name!r} is not evenly spaced: {values[:5]}...; resample it onto "
                "even steps with xarray's interp, or drop it to make the axis start at 0"
            )
        # The step that was written down is exact; the mean of the coordinates' is rounded.
        exact = known.get(name)
        close = exact is not None and abs(abs(step) - exact) <= _EVEN * exact
        spacings.append(exact if close and exact is not None else abs(float(step)))
        signs.append(-1.0 if step < 0 else 1.0)
    return starts, spacings, signs
