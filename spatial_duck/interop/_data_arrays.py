"""The geometry of a DataArray, as coordinates of its axes and one scalar coordinate.

Each sampled axis has a coordinate: positions along the world axis that it runs along, or for an
oblique axis distances from ``origin`` (marked by the attribute ``distance``). The attributes of the
scalar coordinate ``spatial_geometry`` hold what these cannot: ``spacing``, ``origin``,
``direction`` (row by row) and ``frame``, and as JSON ``world_axes``, ``world_units``,
``world_types`` and ``sampled``, the names of the sampled axes. NetCDF and Zarr can store them, and
the geometry of an array that xarray sliced follows: world = origin + direction @ coordinates. The
value of the scalar coordinate is a checksum of its attributes, so that xarray drops it where it
combines arrays with different geometries.
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
    "GEOMETRY_COORD",
    "coords_to_xarray",
    "decode_attrs",
    "encode_attrs",
    "geometry_attrs",
    "geometry_coords",
    "image_coords",
    "image_from_coords",
    "world_axis_of",
]

#: The scalar coordinate whose attributes hold the geometry.
GEOMETRY_COORD = "spatial_geometry"
_FIELDS = (
    "spacing", "origin", "direction", "world_axes", "world_units", "world_types", "frame", "sampled"
)  # fmt: skip
_JSON_FIELDS = ("world_axes", "world_units", "world_types", "sampled")
#: Attribute of the scalar coordinate: names of the array's attributes that were encoded as JSON.
_JSON_ATTRS = "json_attrs"
#: How far coordinates may deviate from even steps, in steps.
_STEP_TOLERANCE = 1e-4


def world_axis_of(column: NDArray[Any]) -> int | None:
    """Return the world axis that a column of a direction runs along; None if it is oblique."""
    rows = np.flatnonzero(column)
    return int(rows[0]) if len(rows) == 1 else None


def geometry_attrs(g: Geometry, dims: Sequence[str]) -> dict[str, Any]:
    """Return a geometry as attributes of types that NetCDF can hold."""
    attrs = {
        "spacing": g.spacing.tolist(),
        "origin": g.origin.tolist(),
        "direction": g.direction.ravel().tolist(),
        "world_axes": json.dumps(list(g.world.axes)),
        "world_units": json.dumps(list(g.world.units)),
        "world_types": json.dumps(list(g.world.types)),
        "sampled": json.dumps([dims[i] for i in g.sampled_axes]),
    }
    return attrs | ({} if g.frame is None else {"frame": g.frame})


def geometry_coords(
    g: Geometry, dims: Sequence[str], encoded: Sequence[str] = ()
) -> dict[str, tuple[Any, Any, dict[str, Any]]]:
    """Return a geometry as coordinates in the form that xarray takes: (dims, values, attrs).

    Parameters
    ----------
    g : Geometry
        Any geometry; plain axes get no coordinate.
    dims : sequence of str
        Names of its axes in xarray.
    encoded : sequence of str, optional
        Names of the array's attributes that are encoded as JSON.
    """
    coords: dict[str, tuple[Any, Any, dict[str, Any]]] = {}
    for axis, spacing, column in zip(g.sampled_axes, g.spacing, g.direction.T, strict=True):
        along = world_axis_of(column)
        index = np.arange(g.shape[axis])
        attrs: dict[str, Any] = {}
        if along is None:
            values = spacing * index
            attrs["distance"] = "along the axis, from the origin of " + GEOMETRY_COORD
        else:
            values = g.origin[along] + spacing * column[along] * index
            if (unit := g.unit[along]) is not None:
                attrs["units"] = unit
        coords[dims[axis]] = (dims[axis], values, attrs)
    if g.world.axes or g.frame is not None or encoded:
        attrs = geometry_attrs(g, dims) | (
            {_JSON_ATTRS: json.dumps(list(encoded))} if encoded else {}
        )
        value = np.int32(zlib.crc32(json.dumps(attrs).encode()) >> 1)  # NetCDF 3 has int32 at most
        coords[GEOMETRY_COORD] = ((), value, attrs)
    return coords


def encode_attrs(attrs: Mapping[Any, Any]) -> tuple[dict[Any, Any], list[str]]:
    """Return attributes as NetCDF can hold them, and the names of those encoded as JSON."""
    out, encoded = dict(attrs), []
    for name, value in attrs.items():
        is_structured = value is None or isinstance(value, bool | dict | list | tuple)
        if is_structured and not _is_list_of_numbers(value):
            try:
                out[name] = json.dumps(value, allow_nan=False)
            except (TypeError, ValueError):
                continue  # left as it is: xarray names what it cannot write
            encoded.append(str(name))
    return out, encoded


def _is_list_of_numbers(value: Any) -> bool:
    if not isinstance(value, list | tuple) or not value:
        return False
    return {type(v) for v in value} <= {int, float}


def decode_attrs(array: Any) -> dict[Any, Any]:
    """Return the attributes of a DataArray, with those that were encoded as JSON decoded."""
    attrs = dict(array.attrs)
    if GEOMETRY_COORD in array.coords:
        for name in json.loads(array.coords[GEOMETRY_COORD].attrs.get(_JSON_ATTRS, "[]")):
            if isinstance(attrs.get(name), str):
                attrs[name] = json.loads(attrs[name])
    return attrs


def image_from_coords(array: Any, more_sampled: Sequence[str] = ()) -> SpatialArray:
    """Return a DataArray as an image, with the geometry of its coordinates and attributes.

    Parameters
    ----------
    array : xarray.DataArray
        The array.
    more_sampled : sequence of str, optional
        Names of sampled axes in addition to x, y, z and t.

    Raises
    ------
    GeometryLossError
        If the coordinates do not determine the geometry completely.
    GeometryError
        If the coordinates of a sampled axis are not evenly spaced.
    """
    attrs = decode_attrs(array)
    fields = {name: attrs.pop(name) for name in _FIELDS if name in attrs}
    if GEOMETRY_COORD in array.coords:
        stored = array.coords[GEOMETRY_COORD].attrs
        fields = {
            name: json.loads(value) if name in _JSON_FIELDS else value
            for name, value in stored.items()
            if name in _FIELDS
        }
    _check_distances(array, fields)
    names = [str(name) for name in array.dims]
    known = {*SAMPLED_NAMES, *(fields.get("sampled") or ()), *more_sampled}
    sampled = [n for n in names if n in known]
    dims = [None if n.startswith("dim_") and n not in sampled else n for n in names]
    if "direction" in fields:
        sampled = [n for n in sampled if n in fields["sampled"]]
        _check_no_axis_dropped(array, fields)
    starts, spacings, signs = _axis_steps(array, sampled, fields)
    if "direction" in fields:
        geometry = _geometry_from_attrs(array, dims, sampled, fields, starts, spacings, signs)
    else:
        units = {n: array[n].attrs.get("units") or None for n in sampled if n in array.coords}
        geometry = Geometry(
            array.shape, spacings, starts, np.diag(signs), dims, sampled=sampled,
            world=World(sampled, units, fields.get("frame")),
        )  # fmt: skip
    coords = image_coords(array, sampled, fields.get("sampled") or ())
    return SpatialArray(array.data, geometry, coords=coords, attrs=attrs)


def _check_distances(array: Any, fields: Mapping[str, Any]) -> None:
    """Check that no axis has distances without a direction."""
    oblique = [n for n in array.coords if "distance" in array.coords[n].attrs]
    if oblique and "direction" not in fields:
        raise GeometryLossError(
            f"the coordinates {oblique!r} are distances along oblique axes, and the coordinate "
            f"{GEOMETRY_COORD!r} with their direction is gone: xarray drops it where it combines "
            "arrays with different geometries. Resample one onto the other's grid first"
        )


def _check_no_axis_dropped(array: Any, fields: Mapping[str, Any]) -> None:
    """Check that each sampled axis of the geometry still has its coordinate."""
    for name in fields["sampled"]:
        if name not in array.coords and 0 not in array.shape:
            raise GeometryLossError(
                f"the coordinate {name!r} is gone, so that the array's position along that axis is "
                f"unknown: keep it, or drop {GEOMETRY_COORD!r} too and state the geometry with "
                "SpatialArray(array.data, ...)"
            )


def image_coords(
    array: Any,
    sampled: Sequence[str] = tuple(SAMPLED_NAMES),
    indexed: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the coordinates of a DataArray that an image can hold and a geometry cannot.

    Parameters
    ----------
    array : xarray.DataArray
        Any DataArray.
    sampled : sequence of str
        Names of the sampled axes, whose coordinates are part of the geometry.
    indexed : sequence of str
        Names of sampled axes of which an integer index left a scalar coordinate.
    """
    out: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for name, c in array.coords.items():
        is_axis = name in array.dims and name in sampled and (name != "t" or _is_time_even(array))
        is_geometry = is_axis or name == GEOMETRY_COORD or (not c.ndim and name in indexed)
        if is_geometry or c.ndim > 1 or c.chunks is not None:
            continue
        values = np.asarray(c.values)
        if values.dtype.kind == "O" and not all(isinstance(v, str) for v in values.flat):
            continue
        attrs = dict(c.attrs)
        axis = array.dims.index(c.dims[0]) if c.ndim else ()
        if "part_of" in attrs:  # one component of a coordinate of vectors
            vectors, k = attrs.pop("part_of"), attrs.pop("part")
            parts.setdefault(vectors, {})[k] = (axis, values, attrs)
        else:
            out[str(name)] = (axis, values, attrs)
    for name, part in parts.items():
        axis, _, attrs = part[min(part)]
        out[name] = (axis, np.stack([part[k][1] for k in sorted(part)], axis=-1), attrs)
    return out


def coords_to_xarray(image: SpatialArray, dims: Sequence[str]) -> dict[str, Any]:
    """Return the coordinates of an image as xarray takes them."""
    out: dict[str, Any] = {}
    for name, c in image.coords.items():
        axis = image._coords[name].axis if image._coords else None
        c_dims = () if axis is None else (dims[axis],)
        attrs = dict(c.attrs) | ({} if c.unit is None else {"units": c.unit})
        if c.ndim == len(c_dims):
            out[name] = (c_dims, c.values, attrs)
            continue
        for k in range(c.shape[-1]):  # coordinates in xarray have no axes but their array's
            out[f"{name}_{k}"] = (c_dims, c.values[..., k], {**attrs, "part_of": name, "part": k})
    return out


def _is_time_even(array: Any) -> bool:
    """Whether the coordinate of time has numbers in even steps, or there is none."""
    if "t" not in array.coords or array.coords["t"].ndim != 1:
        return True
    values = np.asarray(array.coords["t"].values)
    if values.dtype.kind not in "iuf":
        return False
    steps = np.diff(values.astype(np.float64))
    return not len(steps) or bool(np.ptp(steps) <= 2 * _STEP_TOLERANCE * abs(steps.mean()) > 0)


def _geometry_from_attrs(
    array: Any,
    dims: list[str | None],
    sampled: list[str],
    fields: dict[str, Any],
    starts: list[float],
    spacings: list[float],
    signs: list[float],
) -> Geometry:
    """Return the geometry of stored attributes, at the positions of the array's coordinates.

    Parameters
    ----------
    array : xarray.DataArray
        The array.
    dims, sampled : list
        Names of its axes, None for those without one; names of the sampled ones.
    fields : dict
        Attributes of the scalar coordinate, for the axes that the array had when it was made.
    starts, spacings, signs : list of float
        Result of `_axis_steps`.
    """
    axes = fields["world_axes"]
    world = World(axes, fields["world_units"], fields.get("frame"), fields.get("world_types"))
    names = list(fields["sampled"])
    columns = np.asarray(fields["direction"], np.float64).reshape(len(axes), len(names))
    origin = np.array(fields["origin"], np.float64, ndmin=1)
    direction = np.empty((len(axes), len(sampled)))
    # An axis that an integer index removed keeps a scalar coordinate.
    position = {n: float(array.coords[n]) for n in names if n not in sampled and n in array.coords}
    position |= dict(zip(sampled, starts, strict=True))
    for name, start in position.items():
        column = columns[:, names.index(name)]
        row = world_axis_of(column)
        if row is None:
            origin = origin + column * start
        else:
            origin[row] = start
    for i, (name, sign) in enumerate(zip(sampled, signs, strict=True)):
        column = columns[:, names.index(name)]
        direction[:, i] = sign * (column if world_axis_of(column) is None else abs(column))
    return Geometry(
        array.shape, spacings, origin.tolist(), direction, dims, sampled=sampled, world=world
    )


def _axis_steps(
    array: Any, sampled: list[str], fields: dict[str, Any]
) -> tuple[list[float], list[float], list[float]]:
    """Return the start, the spacing and the sign of each sampled axis's coordinate."""
    starts, spacings, signs = [], [], []
    steps = np.atleast_1d(fields.get("spacing", ())).tolist()  # NetCDF stores [1.0] as 1.0
    known = dict(zip(fields.get("sampled") or (), steps, strict=False))
    for name in sampled:
        if name not in array.coords or (name == "t" and not _is_time_even(array)):
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
            abs(values - (values[0] + step * np.arange(n))).max() <= _STEP_TOLERANCE * abs(step) > 0
        ):
            raise GeometryError(
                f"the coordinate {name!r} is not evenly spaced: {values[:5]}...; resample it onto "
                "even steps with xarray's interp, or drop it to make the axis start at 0"
            )
        # The stored spacing is exact, the mean step of the coordinates is rounded.
        exact = known.get(name)
        close = exact is not None and abs(abs(step) - exact) <= _STEP_TOLERANCE * exact
        spacings.append(exact if close and exact is not None else abs(float(step)))
        signs.append(-1.0 if step < 0 else 1.0)
    return starts, spacings, signs
