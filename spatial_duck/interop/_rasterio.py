"""Rasters of rasterio and rioxarray, to and from.

Arrays are indexed ``(band, y, x)``; the world is x, y in the coordinate reference system (CRS). See
`spatial_duck.io._raster`.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library, type_error
from spatial_duck.errors import GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.interop._data_arrays import coords_to_xarray, image_coords, image_from_coords
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._raster import (
    corner_transform,
    fit_raster,
    raster_geometry,
    raster_profile,
    raster_source,
)

__all__ = [
    "from_rasterio",
    "from_rioxarray",
    "is_rioxarray",
    "to_rasterio",
    "to_rioxarray",
]


def from_rasterio(
    dataset: Any, *, lazy: bool | None = None, masked: bool = False, scaled: bool = False
) -> SpatialArray:
    """Return an open rasterio dataset as a `SpatialArray`.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        A dataset open for reading. Ground control points and RPCs are ignored.
    lazy : bool, optional
        True: a Dask array of the file's blocks, which opens the file again when it is computed.
    masked : bool, optional
        Replace the no-data value of each band by NaN; the type becomes a floating one that holds
        all values.
    scaled : bool, optional
        Apply each band's scale and offset, in float64.

    Returns
    -------
    SpatialArray
        Dims ``(band, y, x)``; ``attrs`` has ``crs``, ``nodata`` and ``tags``, and coordinates along
        ``band`` have what differs between bands.
    """
    if isinstance(dataset, str | PathLike):
        raise TypeError(
            f"from_rasterio takes an open dataset, got a path: read({str(dataset)!r}), or "
            f"from_rasterio(rasterio.open({str(dataset)!r}))"
        )
    if not hasattr(dataset, "transform") or not hasattr(dataset, "count"):
        raise type_error("from_rasterio", "an open rasterio dataset", dataset)
    source = raster_source(dataset)
    image = SpatialArray(
        source.load(lazy), source.geometry, attrs=source.attrs, coords=source.coords
    )
    if masked:
        image = _masked(image, dataset)
    return _scaled(image) if scaled else image


def _masked(image: SpatialArray, dataset: Any) -> SpatialArray:
    """Replace no-data values by NaN, and remove the attributes that name them."""
    values = [np.nan if v is None else float(v) for v in dataset.nodatavals]
    dtype = np.result_type(image.dtype, np.float32)
    no_data = np.array(values).reshape(-1, 1, 1)
    data = image.data
    masked = np.where(data == no_data, dtype.type(np.nan), data.astype(dtype))
    attrs = {k: v for k, v in image.attrs.items() if k != "nodata"}
    coords = {k: v for k, v in image.coords.items() if k != "no_data"}
    return SpatialArray(masked, image.geometry, attrs=attrs, coords=coords)


def _scaled(image: SpatialArray) -> SpatialArray:
    """Apply scale and offset of each band."""
    if "scale_factor" not in image.coords:
        return image
    scale, offset = (
        np.asarray(image.coords[name].values, np.float64).reshape(-1, 1, 1)
        for name in ("scale_factor", "add_offset")
    )
    applied = ("scale_factor", "add_offset", "no_data")
    coords = {k: v for k, v in image.coords.items() if k not in applied}
    attrs = {k: v for k, v in image.attrs.items() if k != "nodata"}
    return SpatialArray(image.data * scale + offset, image.geometry, attrs=attrs, coords=coords)


@names_lost_coords("rasterio's profile", lambda out: _numbered_bands(out[0]))
def to_rasterio(image: SpatialArray) -> tuple[Any, dict[str, Any]]:
    """Return an image as an array and a profile, for writing with rasterio.

    Parameters
    ----------
    image : SpatialArray
        An image of two space axes, world axes x and y, and at most one plain axis.

    Returns
    -------
    array : array
        ``(band, y, x)``, a view of the image's data.
    profile : dict
        Profile for ``rasterio.open(path, "w", **profile)``.

    Raises
    ------
    GeometryLossError
        If there is a time axis or a third world axis.
    """
    image = as_image(image, "to_rasterio")
    require("rasterio", "Converting rasters")
    return raster_profile(image)


def _numbered_bands(array: Any) -> SpatialArray:
    """Return an array of bands as rasterio reads it: their numbers are all that is known."""
    bands = {"band": ("band", np.arange(1, len(array) + 1))}
    return SpatialArray(array, dims=("band", "y", "x"), coords=bands)


def is_rioxarray(array: Any) -> bool:
    """Whether a DataArray has a CRS or transform as rioxarray stores it."""
    return "spatial_ref" in array.coords


@from_library("an xarray.DataArray of rioxarray", "coords", "drop_vars")
def from_rioxarray(array: Any) -> SpatialArray:
    """Return a DataArray of rioxarray as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    array : xarray.DataArray
        An array with dims ``y`` and ``x`` and a coordinate ``spatial_ref``, which holds the
        transform of a rotated raster.

    Returns
    -------
    SpatialArray
        ``attrs["crs"]`` is the CRS as WKT.
    """
    reference = dict(array.coords["spatial_ref"].attrs)
    crs = reference.get("crs_wkt") or reference.get("spatial_ref")
    text = reference.get("GeoTransform")
    bare = array.drop_vars("spatial_ref")
    attrs = dict(array.attrs) | ({"crs": crs} if crs else {})
    if "_FillValue" in attrs:  # what rioxarray's own functions make of nodata
        attrs["nodata"] = attrs.pop("_FillValue")
    if "x" in array.coords or text is None or array.dims[-2:] != ("y", "x"):
        image = image_from_coords(bare)
        g = image.geometry
        order = [n for n in ("x", "y", *g.world.axes) if n in g.world.axes]
        return image.replace(geometry=g.to_world(list(dict.fromkeys(order))), attrs=attrs)
    c, a, b, f, d, e = (float(v) for v in str(text).split())
    plane = raster_geometry(tuple(array.shape[-2:]), (a, b, c, d, e, f), None, band=False)
    dims = [str(n) for n in array.dims]
    geometry = Geometry(
        array.shape, plane.spacing, plane.origin, plane.direction, dims, world=plane.world
    )
    return SpatialArray(array.data, geometry, attrs=attrs, coords=image_coords(bare))


@names_lost_coords("rioxarray's array", from_rioxarray)
def to_rioxarray(image: SpatialArray, *, name: str | None = None) -> Any:
    """Return an image as a DataArray for rioxarray, which shares its memory.

    Parameters
    ----------
    image : SpatialArray
        An image of two space axes, world axes x and y, and at most one plain axis.
    name : str, optional
        Name of the DataArray.

    Returns
    -------
    xarray.DataArray
        Dims ``(band, y, x)`` or ``(y, x)``. A rotated or sheared one has no coordinates, and its
        transform in ``spatial_ref``.
    """
    image = as_image(image, "to_rioxarray")
    require("rioxarray", "Converting rasters")
    xarray = require("xarray", "Converting rasters", "libraries")
    Affine = require("rasterio", "Converting rasters").Affine
    data, g = fit_raster(image)
    transform = corner_transform(g)
    if not (transform[0] or transform[4]):
        raise GeometryLossError(
            "rioxarray loses a transform that swaps x and y; transpose the image first, so that "
            "the axis x runs along x and y along y"
        )
    dims = (*(["band"] if g.ndim == 3 else []), "y", "x")
    coords: dict[str, Any] = {}
    if not (transform[1] or transform[3]):
        for n, axis in (("y", g.ndim - 2), ("x", g.ndim - 1)):
            row, column = g.world.axes.index(n), g.sampled_axes.index(axis)
            step = g.spacing[column] * g.direction[row, column]
            coords[n] = (n, g.origin[row] + step * np.arange(g.shape[axis]))
    kept = {k: v for k, v in image.attrs.items() if k != "crs"}
    out = xarray.DataArray(data, coords, dims, name=name, attrs=kept)
    own = image.geometry
    names = ["band"] * own.ndim
    for axis, column in zip(own.sampled_axes, own.direction.T, strict=True):
        names[axis] = own.world.axes[int(np.argmax(np.abs(column)))]
    out = out.assign_coords(coords_to_xarray(image, names))
    out = out.rio.write_transform(Affine(*transform), inplace=True)
    return out.rio.write_crs(image.attrs["crs"], inplace=True) if "crs" in image.attrs else out
