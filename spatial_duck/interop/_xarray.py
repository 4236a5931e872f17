"""xarray DataArrays, to and from.

By default the image itself lies inside the DataArray, and goes through xarray's operations with its
geometry. Beside it, a coordinate for each sampled axis that runs along one world axis holds that
world coordinate of each voxel.

With ``wrap=False`` the bare array lies inside, and what a coordinate cannot say is kept in
attributes: ``spacing``, ``origin`` and ``direction`` as lists in this library's order,
``world_axes``, ``world_units`` and ``frame``. The coordinate of an axis that is not along one world
axis then holds distances along it from ``origin``, so that a slice of the DataArray still knows
where it lies: world = origin + direction @ coordinates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._validation import SAMPLED_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["from_xarray", "to_xarray"]

_FIELDS = ("spacing", "origin", "direction", "world_axes", "world_units", "frame", "sampled")
#: Coordinates may deviate so much from even steps, in steps.
_EVEN = 1e-4


def _xarray() -> Any:
    return require("xarray", "Converting xarray DataArrays")


def _axis_of(column: NDArray[Any]) -> int | None:
    """Return the world axis that a column runs along, or None."""
    along = np.flatnonzero(column)
    return int(along[0]) if len(along) == 1 else None


def to_xarray(image: SpatialArray, *, wrap: bool = True, name: str | None = None) -> Any:
    """Return an image as a DataArray that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        On any backend; nothing is computed.
    wrap : bool, optional
        Keep the `SpatialArray` inside, or the bare array with attributes.
    name : str, optional
        Of the DataArray.

    Returns
    -------
    xarray.DataArray
        An axis without a name is called ``dim_0``, by its number, as in xarray. The image's
        coordinates are its coordinates; of vectors, each component is one.
    """
    image = as_image(image, "to_xarray")
    g = image.geometry
    dims = [name or f"dim_{i}" for i, name in enumerate(g.dims)]
    coords: dict[str, Any] = {}
    steps = zip(g.sampled_axes, g.spacing, g.direction.T, strict=True)
    for axis, spacing, column in steps:
        along = _axis_of(column)
        index = np.arange(g.shape[axis])
        attrs = {}
        if along is None:
            if wrap:
                continue
            values = spacing * index
        else:
            values = g.origin[along] + spacing * column[along] * index
            if (unit := g.unit[along]) is not None:
                attrs["units"] = unit
        coords[dims[axis]] = (dims[axis], values, attrs)
    coords |= _carried(image, dims)
    kept: dict[str, Any] = dict(image.attrs)
    if not wrap:
        kept |= {
            "spacing": g.spacing.tolist(),
            "origin": g.origin.tolist(),
            "direction": g.direction.tolist(),
            "world_axes": list(g.world.axes),
            "world_units": list(g.unit),
            "frame": g.frame,
            "sampled": [dims[i] for i in g.sampled_axes],
        }
    return _xarray().DataArray(image if wrap else image.data, coords, dims, name=name, attrs=kept)


@from_library("an xarray.DataArray", "variable")
def from_xarray(array: Any) -> SpatialArray:
    """Return a DataArray as a `SpatialArray`, without copying.

    Parameters
    ----------
    array : xarray.DataArray
        With an image inside, with this module's attributes, or with evenly spaced coordinates.

    Returns
    -------
    SpatialArray
        Axes named x, y, z or t are sampled, by their coordinates where they have them; so are
        those that the attribute ``sampled`` names. The unit is the coordinate's ``units``. A
        ``t`` of dates or of uneven steps stays a coordinate, and its axis is plain. So do other
        coordinates of one axis, or of none, that hold numbers, times or strings.

    Raises
    ------
    GeometryError
        If the coordinates of a sampled axis are not evenly spaced.
    """
    inside = array.variable._data
    attrs = dict(array.attrs)
    if isinstance(inside, SpatialArray):
        own = [name if name and not str(name).startswith("dim_") else None for name in array.dims]
        image = inside if inside.dims == tuple(own) else inside.replace(dims=own)
        return image.replace(attrs=attrs, coords={**image.coords, **_coords_of(array)})
    from spatial_duck.interop import _rasterio as rasterio

    if rasterio.is_rioxarray(array):
        return rasterio.from_rioxarray(array)
    given = {name: attrs.pop(name) for name in _FIELDS if name in attrs}
    data = array.data
    names = [str(name) for name in array.dims]
    sampled = [n for n in names if n in SAMPLED_NAMES or n in (given.get("sampled") or ())]
    dims = [None if n.startswith("dim_") and n not in sampled else n for n in names]
    starts, spacings, signs = _coordinates(array, sampled, given)
    if "direction" in given:
        geometry = _by_attributes(array.shape, dims, sampled, given, starts, spacings, signs)
    else:
        units = {n: array[n].attrs.get("units") or None for n in sampled if n in array.coords}
        geometry = Geometry(
            array.shape, spacings, starts, np.diag(signs), dims, sampled=sampled,
            world=World(sampled, units, given.get("frame")),
        )  # fmt: skip
    return SpatialArray(data, geometry, coords=_coords_of(array, sampled), attrs=attrs)


def _carried(image: SpatialArray, dims: Sequence[str]) -> dict[str, Any]:
    """Return the coordinates of an image as xarray takes them."""
    out: dict[str, Any] = {}
    for name, c in image.coords.items():
        axis = image._coords[name].axis if image._coords else None
        where = () if axis is None else (dims[axis],)
        attrs = dict(c.attrs) | ({} if c.unit is None else {"units": c.unit})
        if c.ndim == len(where):
            out[name] = (where, c.values, attrs)
            continue
        for k in range(c.shape[-1]):  # a coordinate of xarray has the axes of its array alone
            out[f"{name}_{k}"] = (where, c.values[..., k], {**attrs, "part_of": name, "part": k})
    return out


def _coords_of(array: Any, sampled: Sequence[str] = tuple(SAMPLED_NAMES)) -> dict[str, Any]:
    """Return the coordinates of a DataArray that an image can hold, apart from those of places."""
    out: dict[str, Any] = {}
    parts: dict[str, dict[int, Any]] = {}
    for name, c in array.coords.items():
        place = name in array.dims and name in sampled and (name != "t" or _has_even_times(array))
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
    shape: tuple[int, ...],
    dims: list[str | None],
    sampled: list[str],
    given: dict[str, Any],
    starts: list[float],
    spacings: list[float],
    signs: list[float],
) -> Geometry:
    """Return the geometry that the attributes give to axes and the coordinates to voxels."""
    world = World(given["world_axes"], given["world_units"], given["frame"])
    order = [list(given["sampled"]).index(name) for name in sampled]
    columns = np.asarray(given["direction"], np.float64).reshape(len(world.axes), len(order))
    origin = np.asarray(given["origin"], np.float64)
    out = np.empty((len(world.axes), len(sampled)))
    for i, (k, start, sign) in enumerate(zip(order, starts, signs, strict=True)):
        column = columns[:, k]
        along = _axis_of(column)
        if along is None:
            origin = origin + column * start
            out[:, i] = column * sign
        else:
            origin[along] = start
            out[:, i] = abs(column) * sign
    return Geometry(shape, spacings, origin.tolist(), out, dims, sampled=sampled, world=world)


def _coordinates(
    array: Any, sampled: list[str], given: dict[str, Any]
) -> tuple[list[float], list[float], list[float]]:
    """Return start, spacing and sign of each sampled axis's coordinate."""
    starts, spacings, signs = [], [], []
    known = dict(zip(given.get("sampled") or (), given.get("spacing") or (), strict=False))
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
