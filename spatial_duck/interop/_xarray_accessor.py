"""``array.spatial``: geometry of DataArrays, and functions that need it.

The accessor is registered in xarray when an image or DataArray is first converted, or the engine is
first used, so that ``import spatial_duck`` needs no xarray.
"""

from __future__ import annotations

from typing import Any

import xarray

from spatial_duck.array import SpatialArray
from spatial_duck.interop._xarray import from_xarray, to_xarray

__all__ = ["SpatialAccessor"]


class SpatialAccessor:
    """Geometry of a DataArray, and functions that change it.

    Results hold a `SpatialArray` if the array does, and otherwise bare voxels with an index.

    Parameters
    ----------
    array : xarray.DataArray
        As `spatial_duck.from_xarray` takes it.

    Attributes
    ----------
    image : SpatialArray
        The array as an image.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.image: SpatialArray = from_xarray(array)

    @property
    def geometry(self) -> Any:
        """The `spatial_duck.Geometry`."""
        return self.image.geometry

    @property
    def spacing(self) -> Any:
        """Distance between voxel centres along each sampled axis."""
        return self.image.spacing

    @property
    def origin(self) -> Any:
        """World position of the centre of the first voxel."""
        return self.image.origin

    @property
    def direction(self) -> Any:
        """Unit vectors of the sampled axes, as columns."""
        return self.image.direction

    def resample(self, to: Any = None, **options: Any) -> Any:
        """Return the array on another grid: see `spatial_duck.resample`.

        Parameters
        ----------
        to : DataArray, SpatialArray or Geometry, optional
            An image on the grid that is wanted, or its geometry.
        **options
            Options of `spatial_duck.resample`.
        """
        to = from_xarray(to) if isinstance(to, xarray.DataArray) else to
        return self._like(self.image.resample(to, **options))

    def reorient(self, orientation: Any = None, **options: Any) -> Any:
        """Return a view with the nearest anatomical orientation: see `spatial_duck.reorient`.

        Parameters
        ----------
        orientation : str, optional
            Orientation of the axes, such as ``"RAS"``.
        **options
            Options of `spatial_duck.reorient`.
        """
        given = () if orientation is None else (orientation,)
        return self._like(self.image.reorient(*given, **options))

    def crop(self, bounds: Any, **options: Any) -> Any:
        """Return the voxels within bounds in the world: see `spatial_duck.crop`.

        Parameters
        ----------
        bounds : array_like
            The lowest and the highest corner, in world coordinates.
        **options
            Options of `spatial_duck.crop`.
        """
        return self._like(self.image.crop(bounds, **options))

    def plot(self, *args: Any, **options: Any) -> Any:
        """Plot planes in the world: see `spatial_duck.plot`.

        Parameters
        ----------
        *args, **options
            Arguments and options of `spatial_duck.plot`.
        """
        return self.image.plot(*args, **options)

    def _like(self, image: SpatialArray) -> Any:
        is_wrapped = isinstance(self._array.variable._data, SpatialArray)
        return to_xarray(image, index=not is_wrapped, name=self._array.name)


# Another package may have registered an accessor of the name.
if not hasattr(xarray.DataArray, "spatial"):
    xarray.register_dataarray_accessor("spatial")(SpatialAccessor)
