"""Rasters of rasterio and rioxarray, to and from.

Arrays are indexed ``(band, y, x)``, positions are those of the coordinate reference system (CRS) in
x, y. A raster's transform gives the **corner** of a pixel, ``xy(0, 0) = T @ (0.5, 0.5)``; here the
origin is the centre. The CRS is kept as WKT in ``attrs["crs"]``, with ``nodata``; it is no frame
of anatomy, which is unspecified.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io._layout import Rules, fitted

__all__ = [
    "from_rasterio",
    "from_rioxarray",
    "is_rioxarray",
    "to_rasterio",
    "to_rioxarray",
]

_RULES = Rules("rasterio", (), plain="first", plain_names=None, unspecified=True, time=False)
_HALF = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])


def _geometry(shape: tuple[int, ...], transform: Any, unit: str | None, band: bool) -> Geometry:
    """Return the geometry of an affine transform of corners, by column and row."""
    corner = np.array(transform, np.float64).ravel()[:6].reshape(2, 3)
    center = np.vstack([corner, [0, 0, 1]]) @ _HALF
    # Rows first, then columns.
    matrix = center[:, [1, 0, 2]]
    dims = (*(["band"] if band else []), "y", "x")
    return Geometry.from_affine(shape, matrix, dims, world=World(("x", "y"), unit))


def _corner_transform(g: Geometry) -> list[float]:
    center = g.affine[:, [1, 0, 2]]
    corner = center @ np.linalg.inv(_HALF)
    return [float(v) for v in corner[:2].ravel()]


def _unit(crs: Any) -> str | None:
    if not crs:
        return None
    name = "degree" if crs.is_geographic else str(crs.linear_units)
    return {"metre": "m", "meter": "m", "unknown": None, "": None}.get(name, name)


def from_rasterio(dataset: Any, *, lazy: bool | None = None) -> SpatialArray:
    """Return an open rasterio dataset as a `SpatialArray`.

    Parameters
    ----------
    dataset : rasterio.DatasetReader
        Open for reading. What its ground control points or RPCs say is not used.
    lazy : bool, optional
        True: a Dask array of the file's blocks, which opens the file again when it is computed.

    Returns
    -------
    SpatialArray
        Dims ``(band, y, x)``; ``attrs`` holds ``crs``, ``nodata`` and ``tags``.
    """
    shape = (dataset.count, dataset.height, dataset.width)
    geometry = _geometry(shape, dataset.transform, _unit(dataset.crs), band=True)
    attrs: dict[str, Any] = {}
    if dataset.crs:
        attrs["crs"] = dataset.crs.to_wkt()
    if dataset.nodata is not None:
        attrs["nodata"] = dataset.nodata
    tags = dict(dataset.tags())
    if tags:
        attrs["tags"] = tags
    return SpatialArray(_blocks(dataset) if lazy else dataset.read(), geometry, attrs=attrs)


def _blocks(dataset: Any) -> Any:
    import dask.array

    rows, columns = dataset.block_shapes[0]
    name, dtype = dataset.name, np.dtype(dataset.dtypes[0])

    def read(block_info: Any = None) -> Any:
        import rasterio
        from rasterio.windows import Window

        (b0, b1), (r0, r1), (c0, c1) = block_info[None]["array-location"]
        with rasterio.open(name) as file:
            bands = list(range(b0 + 1, b1 + 1))
            return file.read(bands, window=Window(c0, r0, c1 - c0, r1 - r0))

    def cut(n: int, size: int) -> tuple[int, ...]:
        return tuple(min(size, n - i) for i in range(0, n, size))

    # Strips of one row would make a block of each: put some together.
    rows = rows * max(1, 256 // rows)
    chunks = ((1,) * dataset.count, cut(dataset.height, rows), cut(dataset.width, columns))
    return dask.array.map_blocks(read, chunks=chunks, dtype=dtype, meta=np.empty((0, 0, 0), dtype))


def to_rasterio(image: SpatialArray) -> tuple[Any, dict[str, Any]]:
    """Return an image as what rasterio writes: an array and a profile.

    Parameters
    ----------
    image : SpatialArray
        With two space axes and world axes x, y, and one plain axis at most.

    Returns
    -------
    array : array
        ``(band, y, x)``, a view of the image's data.
    profile : dict
        For ``rasterio.open(path, "w", **profile)``.

    Raises
    ------
    GeometryLossError
        If there is a time axis or a third world axis.
    """
    Affine = require("rasterio", "Converting rasters").Affine
    data, g = _flat(image)
    array = data if g.ndim == 3 else data[None]
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": array.shape[0],
        "height": array.shape[1],
        "width": array.shape[2],
        "dtype": np.dtype(array.dtype).name,
        "transform": Affine(*_corner_transform(g)),
    }
    profile |= {k: image.attrs[k] for k in ("crs", "nodata") if k in image.attrs}
    return array, profile


def _flat(image: SpatialArray) -> tuple[Any, Geometry]:
    extra = [n for n in image.world.axes if n not in ("x", "y")]
    if extra:
        raise GeometryLossError(
            f"a raster lies in x and y, and would lose the world axes {extra!r}; take a slice "
            "along them and give it a geometry of its own with SpatialArray(image.data, ...)"
        )
    data, g = fitted(image, _RULES, minimum=2)
    if 0 in g.shape:
        raise FormatError(f"a raster cannot be without pixels, got shape {g.shape}")
    return data, g


def is_rioxarray(array: Any) -> bool:
    """Tell whether a DataArray has a CRS or transform as rioxarray keeps it."""
    return "spatial_ref" in array.coords


def from_rioxarray(array: Any) -> SpatialArray:
    """Return a DataArray of rioxarray as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    array : xarray.DataArray
        With dims ``y`` and ``x``, and a coordinate ``spatial_ref``; a rotated raster has its
        transform there.

    Returns
    -------
    SpatialArray
        ``attrs["crs"]`` is the CRS as WKT.
    """
    from spatial_duck.interop._xarray import from_xarray

    reference = dict(array.coords["spatial_ref"].attrs)
    crs = reference.get("crs_wkt") or reference.get("spatial_ref")
    text = reference.get("GeoTransform")
    bare = array.drop_vars([n for n in array.coords if n not in array.dims])
    attrs = dict(array.attrs) | ({"crs": crs} if crs else {})
    if "x" in array.coords or text is None or array.dims[-2:] != ("y", "x"):
        image = from_xarray(bare)
        g = image.geometry
        order = [n for n in ("x", "y", *g.world.axes) if n in g.world.axes]
        return image.replace(geometry=g.to_world(list(dict.fromkeys(order))), attrs=attrs)
    c, a, b, f, d, e = (float(v) for v in str(text).split())
    plane = _geometry(tuple(array.shape[-2:]), (a, b, c, d, e, f), None, band=False)
    dims = [str(n) for n in array.dims]
    geometry = Geometry(
        array.shape, plane.spacing, plane.origin, plane.direction, dims, world=plane.world
    )
    return SpatialArray(array.data, geometry, attrs=attrs)


def to_rioxarray(image: SpatialArray, *, name: str | None = None) -> Any:
    """Return an image as a DataArray as rioxarray has it, which shares its memory.

    Parameters
    ----------
    image : SpatialArray
        With two space axes and world axes x, y, and one plain axis at most.
    name : str, optional
        Of the DataArray.

    Returns
    -------
    xarray.DataArray
        Dims ``(band, y, x)`` or ``(y, x)``. A rotated or sheared one has no coordinates, and its
        transform in ``spatial_ref``.
    """
    require("rioxarray", "Converting rasters")
    xarray = require("xarray", "Converting rasters", "libraries")
    Affine = require("rasterio", "Converting rasters").Affine
    data, g = _flat(image)
    transform = _corner_transform(g)
    if not (transform[0] or transform[4]):
        raise GeometryLossError(
            "rioxarray loses a transform that swaps x and y; transpose the image first, so that "
            "its axes run along their own names"
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
    out = out.rio.write_transform(Affine(*transform), inplace=True)
    return out.rio.write_crs(image.attrs["crs"], inplace=True) if "crs" in image.attrs else out
