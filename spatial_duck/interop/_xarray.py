"""xarray DataArrays, to and from.

By default the image itself lies inside the DataArray, and goes through xarray's operations with
its geometry. With ``wrap=False`` the bare array lies inside; with ``index=True`` too, and an xarray
index keeps the place. Beside it, in all three, lie the coordinates of
`spatial_duck.interop._data_arrays`, so that what is saved by ``to_netcdf`` or ``to_zarr`` comes
back in its place.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import GeometryError
from spatial_duck.interop import _rasterio as rasterio
from spatial_duck.interop._data_arrays import (
    PLACE,
    coords_of,
    from_coordinates,
    place_coords,
    plain_attrs,
    read_attrs,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["from_xarray", "to_xarray"]


def _xarray() -> Any:
    xarray = require("xarray", "Converting xarray DataArrays")
    import_module("spatial_duck.interop._xarray_accessor")  # registers .spatial
    return xarray


def to_xarray(
    image: SpatialArray, *, wrap: bool = True, index: bool = False, name: str | None = None
) -> Any:
    """Return an image as a DataArray that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        On any backend; nothing is computed.
    wrap : bool, optional
        Keep the `SpatialArray` inside, or the bare array with coordinates.
    index : bool, optional
        The bare array, whose coordinates are one xarray index: it keeps an oblique place through
        ``isel``, slices, flips, transpose and arithmetic, selects by place with ``sel``, and
        refuses to align arrays on other grids.
    name : str, optional
        Of the DataArray.

    Returns
    -------
    xarray.DataArray
        An axis without a name is called ``dim_0``, by its number, as in xarray. The image's
        coordinates are its coordinates; of vectors, each component is one. Attributes that NetCDF
        cannot hold are JSON text.

    Notes
    -----
    An image that is lazy is saved as ``to_xarray(image, index=True)``: xarray has Dask store no
    other class than Dask's own arrays.
    """
    image = as_image(image, "to_xarray")
    xarray = _xarray()
    g = image.geometry
    dims = [name or f"dim_{i}" for i, name in enumerate(g.dims)]
    attrs, encoded = plain_attrs(image.attrs)
    data = image if wrap and not index else image.data
    if not index:
        coords = place_coords(g, dims, encoded) | _carried(image, dims)
        return xarray.DataArray(data, coords, dims, name=name, attrs=attrs)
    from spatial_duck.interop._xarray_index import grid_coordinates

    coords = grid_coordinates(g, dims, encoded)
    out = xarray.DataArray(data, coords, dims, name=name, attrs=attrs)
    return out.assign_coords(_carried(image, dims))


@from_library("an xarray.DataArray", "variable")
def from_xarray(array: Any, *, sampled: Sequence[str] | None = None) -> SpatialArray:
    """Return a DataArray as a `SpatialArray`, without copying.

    Parameters
    ----------
    array : xarray.DataArray
        With an image inside, with this package's index or coordinates, as it is or as it was saved
        and opened again, or with evenly spaced coordinates.
    sampled : sequence of str, optional
        Axes under other names that are sampled too, by their coordinates: ``("lat", "lon")``.

    Returns
    -------
    SpatialArray
        Axes named x, y, z or t are sampled, by their coordinates where they have them; so are
        those that the coordinate ``spatial_geometry`` names. Others, such as ``lat`` and ``lon``,
        stay plain unless `sampled` names them. The unit is the coordinate's
        ``units``. A ``t`` of dates or of uneven steps stays a coordinate, and its axis is plain. So
        do other coordinates of one axis, or of none, that hold numbers, times or strings.

    Raises
    ------
    GeometryLossError
        If the coordinates do not determine the geometry completely.
    GeometryError
        If the coordinates of a sampled axis are not evenly spaced, or `sampled` names an axis that
        is not there, or of an array that says itself which are.
    """
    _xarray()
    inside = array.variable._data
    if sampled is not None:
        _check_sampled(array, inside, sampled)
    if isinstance(inside, SpatialArray):
        own = [name if name and not str(name).startswith("dim_") else None for name in array.dims]
        image = inside if inside.dims == tuple(own) else inside.replace(dims=own)
        coords = {**image.coords, **coords_of(array)}
        return image.replace(attrs=read_attrs(array), coords=coords)
    if rasterio.is_rioxarray(array):
        return rasterio.from_rioxarray(array)
    if PLACE in array.xindexes:
        index = array.xindexes[PLACE]
        if hasattr(index, "geometry_of"):
            dims = [str(name) for name in array.dims]
            coords = coords_of(array, index.dims, tuple(index.left))
            geometry = index.geometry_of(dims, array.shape)
            return SpatialArray(array.data, geometry, coords=coords, attrs=read_attrs(array))
    return from_coordinates(array, sampled or ())


def _check_sampled(array: Any, inside: Any, sampled: Sequence[str]) -> None:
    missing = [name for name in sampled if name not in array.dims]
    if isinstance(sampled, str) or missing:
        raise GeometryError(
            f"sampled must hold names of {tuple(map(str, array.dims))}, got {sampled!r}"
        )
    if isinstance(inside, SpatialArray) or PLACE in array.coords or rasterio.is_rioxarray(array):
        raise GeometryError(
            "the array says itself where it lies, and which of its axes are sampled; leave "
            "sampled= out"
        )


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
