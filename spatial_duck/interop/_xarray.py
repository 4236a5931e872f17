"""xarray DataArrays, to and from.

By default a DataArray holds the `SpatialArray`, whose geometry follows xarray's operations. With
``wrap=False`` it holds the bare array; with ``index=True`` too, and an xarray index holds the
geometry. In all three cases it has the coordinates of `spatial_duck.interop._data_arrays`, so that
the geometry is saved by ``to_netcdf`` and ``to_zarr``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import GeometryError
from spatial_duck.interop import _rasterio as rasterio
from spatial_duck.interop._data_arrays import (
    GEOMETRY_COORD,
    coords_to_xarray,
    decode_attrs,
    encode_attrs,
    geometry_coords,
    image_coords,
    image_from_coords,
)

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
        An image on any backend; nothing is computed.
    wrap : bool, optional
        Whether the DataArray holds the `SpatialArray` itself; else the bare array.
    index : bool, optional
        Hold the bare array, and the geometry in an xarray index: it stays correct, oblique ones
        included, through ``isel``, slices, flips, transpose and arithmetic; ``sel`` selects by
        position; and arrays on different grids are not aligned.
    name : str, optional
        Name of the DataArray.

    Returns
    -------
    xarray.DataArray
        An axis without a name is called ``dim_0``, by its number, as in xarray. The image's
        coordinates become coordinates; those of vectors become one for each component. Attributes
        that NetCDF cannot hold are encoded as JSON.

    Notes
    -----
    Save a lazy image as ``to_xarray(image, index=True)``: xarray stores chunk by chunk only Dask's
    own arrays.
    """
    image = as_image(image, "to_xarray")
    xarray = _xarray()
    g = image.geometry
    dims = [name or f"dim_{i}" for i, name in enumerate(g.dims)]
    attrs, encoded = encode_attrs(image.attrs)
    data = image if wrap and not index else image.data
    if not index:
        coords = geometry_coords(g, dims, encoded) | coords_to_xarray(image, dims)
        return xarray.DataArray(data, coords, dims, name=name, attrs=attrs)
    from spatial_duck.interop._xarray_index import index_coords

    coords = index_coords(g, dims, encoded)
    out = xarray.DataArray(data, coords, dims, name=name, attrs=attrs)
    return out.assign_coords(coords_to_xarray(image, dims))


@from_library("an xarray.DataArray", "variable")
def from_xarray(array: Any, *, sampled: Sequence[str] | None = None) -> SpatialArray:
    """Return a DataArray as a `SpatialArray`, without copying.

    Parameters
    ----------
    array : xarray.DataArray
        A DataArray that holds a `SpatialArray`, that has the index or the coordinates of
        `to_xarray` (also after saving and opening it), or that has evenly spaced coordinates.
    sampled : sequence of str, optional
        Names of more sampled axes, which have coordinates: ``("lat", "lon")``.

    Returns
    -------
    SpatialArray
        Axes named x, y, z or t are sampled, and those that the coordinate ``spatial_geometry``
        names; their coordinates, where they have them, give the spacing, and ``units`` the unit.
        Others, such as ``lat`` and ``lon``, are plain unless `sampled` names them. A ``t`` of dates
        or of uneven steps is a coordinate along a plain axis. Other coordinates of one axis or of
        none are kept if they hold numbers, times or strings.

    Raises
    ------
    GeometryLossError
        If the coordinates do not determine the geometry completely.
    GeometryError
        If the coordinates of a sampled axis are not evenly spaced, or `sampled` names a missing
        axis, or is given for an array with a geometry of its own.
    """
    _xarray()
    wrapped = array.variable._data
    if sampled is not None:
        _check_sampled(array, wrapped, sampled)
    if isinstance(wrapped, SpatialArray):
        dims = [name if name and not str(name).startswith("dim_") else None for name in array.dims]
        image = wrapped if wrapped.dims == tuple(dims) else wrapped.replace(dims=dims)
        coords = {**image.coords, **image_coords(array)}
        return image.replace(attrs=decode_attrs(array), coords=coords)
    if rasterio.is_rioxarray(array):
        return rasterio.from_rioxarray(array)
    if GEOMETRY_COORD in array.xindexes:
        index = array.xindexes[GEOMETRY_COORD]
        if hasattr(index, "geometry_for"):
            dims = [str(name) for name in array.dims]
            coords = image_coords(array, index.dims, tuple(index.scalars))
            geometry = index.geometry_for(dims, array.shape)
            return SpatialArray(array.data, geometry, coords=coords, attrs=decode_attrs(array))
    return image_from_coords(array, sampled or ())


def _check_sampled(array: Any, wrapped: Any, sampled: Sequence[str]) -> None:
    missing = [name for name in sampled if name not in array.dims]
    if isinstance(sampled, str) or missing:
        raise GeometryError(
            f"sampled must hold names of {tuple(map(str, array.dims))}, got {sampled!r}"
        )
    has_geometry = isinstance(wrapped, SpatialArray) or GEOMETRY_COORD in array.coords
    if has_geometry or rasterio.is_rioxarray(array):
        raise GeometryError(
            "the array has a geometry of its own, which names its sampled axes; leave sampled= out"
        )
