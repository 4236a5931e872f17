"""VTK's image data, as VTK's own class or PyVista's, to and from.

Points run x fastest, so that an array ``(z, y, x)`` in C order has VTK's memory layout. The origin
is point 0 and the direction matrix has the axes as columns, in x, y, z order. VTK has no frame and
no units: they are stored as the field data ``spatial_duck_frame`` and ``spatial_duck_unit``, and
unspecified where these are absent.

Cell data lie between the points: an image with one voxel less along each axis, half a voxel
further.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._layout import Rules, fit_layout

__all__ = ["from_pyvista", "to_pyvista"]

_RULES = Rules("VTK image data", (), plain="last", unspecified=True, time=False)
_FIELDS = ("spatial_duck_frame", "spatial_duck_unit")


def _pyvista() -> Any:
    return require("pyvista", "Converting VTK's image data")


@from_library("a pyvista.ImageData or a vtkImageData", "GetExtent", "GetPointData")
def from_pyvista(grid: Any, *, name: str | None = None) -> SpatialArray:
    """Return VTK's image data as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    grid : pyvista.ImageData or vtkImageData
        A grid with point or cell data.
    name : str, optional
        Name of the array; by default the active scalars, or the only array that there is.

    Returns
    -------
    SpatialArray
        Dims ``(z, y, x)`` and ``c`` for several components; world x, y, z.

    Raises
    ------
    FormatError
        If there is no such array.
    """
    if not hasattr(grid, "active_scalars_name"):
        grid = _pyvista().wrap(grid)
    data, is_cell_data = _choose_array(grid, name)
    matrix = np.asarray(grid.direction_matrix, np.float64)
    spacing = np.asarray(grid.spacing, np.float64)
    extent = np.array(grid.GetExtent(), np.float64).reshape(3, 2)
    counts = (extent[:, 1] - extent[:, 0]).astype(int) + 1
    first_index = extent[:, 0]
    if is_cell_data:
        # Along an axis of a single point, cells lie at that point.
        first_index = first_index + np.where(counts > 1, 0.5, 0.0)
        counts = np.maximum(counts - 1, 1)
    origin = np.asarray(grid.origin, np.float64) + matrix @ (spacing * first_index)
    shape = tuple(int(n) for n in counts[::-1]) + data.shape[1:]
    dims = ("z", "y", "x", *(["c"] if data.ndim > 1 else []))
    frame, unit = [str(grid.field_data[f][0]) if f in grid.field_data else None for f in _FIELDS]
    world = World(("x", "y", "z"), unit or None, frame or None)
    geometry = Geometry(shape, spacing[::-1], origin, matrix[:, ::-1], dims, world=world)
    return SpatialArray(np.asarray(data).reshape(shape), geometry)


def _choose_array(grid: Any, name: str | None) -> tuple[Any, bool]:
    """Return the array to convert, and whether it is cell data."""
    for is_cell_data, arrays in ((False, grid.point_data), (True, grid.cell_data)):
        names = list(arrays.keys())
        active = arrays.active_scalars_name
        wanted = name or (active if active in names else names[0] if len(names) == 1 else None)
        if wanted in names:
            return arrays[wanted], is_cell_data
    names = [*grid.point_data.keys(), *grid.cell_data.keys()]
    raise FormatError(
        f"the image data hold no array {name!r}, but {names}" if name else
        f"the image data have no active scalars; choose one of the arrays {names} with name=..."
    )  # fmt: skip


@names_lost_coords("PyVista's ImageData", from_pyvista)
def to_pyvista(image: SpatialArray, *, name: str = "values") -> Any:
    """Return an image as PyVista's image data that share its memory.

    Parameters
    ----------
    image : SpatialArray
        An image of up to three space axes and one plain axis. Data that are not in memory in C
        order are copied.
    name : str, optional
        Name of the point data.

    Returns
    -------
    pyvista.ImageData
        A subclass of `vtkImageData`, which VTK's filters take.

    Raises
    ------
    GeometryLossError
        If there is a time axis.
    """
    image = as_image(image, "to_pyvista", on_host=True)
    pyvista = _pyvista()
    data, g = fit_layout(image, _RULES, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"VTK cannot hold an image without voxels, got shape {g.shape}")
    array = np.ascontiguousarray(np.asarray(data))
    if array.dtype.kind not in "biuf" or array.dtype.str[1:] == "f2":
        raise FormatError(f"VTK has no type for {array.dtype} voxels; use image.astype(...) first")
    units = [u for u in g.unit if u is not None]
    if len(set(units)) > 1:
        g = g.to_unit(units[0])
    grid = pyvista.ImageData(dimensions=g.shape[2::-1], spacing=g.spacing[::-1], origin=g.origin)
    grid.direction_matrix = np.ascontiguousarray(g.direction[:, ::-1])
    grid.point_data[name] = array.reshape(-1, *array.shape[3:])
    grid.point_data.active_scalars_name = name
    for field, value in zip(_FIELDS, (g.frame, units[0] if units else None), strict=True):
        if value is not None:
            grid.field_data[field] = [value]
    return grid
