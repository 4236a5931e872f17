"""The abstract class of all transforms, and conversions between the worlds of their points.

The kinds of transforms are in modules of their own; this is what they share.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import spatial_duck
from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._quantity import in_unit

if TYPE_CHECKING:
    from collections.abc import Sequence


__all__ = [
    "Transform",
    "as_box",
    "as_points",
    "check_axes",
    "matrix_bounds",
    "sub_world",
    "world_change",
]

Floats = NDArray[np.float64]


def sub_world(world: World, axes: Sequence[str]) -> World:
    """Return a world with only some of its axes, in the order given."""
    return world.take([world.axes.index(name) for name in axes])


def world_change(old: World, new: World) -> Floats:
    """Return the matrix that brings coordinates from one world to another.

    Parameters
    ----------
    old, new : World
        Worlds with the same axes, in any order.

    Returns
    -------
    ndarray of float, shape (n, n)
        ``new_point = matrix @ old_point``: order of axes, units and frame.

    Raises
    ------
    FrameError
        If only one of the two has a frame.
    GeometryError
        If the axes are not the same, or a unit cannot be converted.

    Examples
    --------
    >>> world_change(World(("x", "y"), "mm"), World(("y", "x"), "um"))
    array([[   0., 1000.],
           [1000.,    0.]])
    """
    if old == new:
        return np.eye(len(old.axes))
    if sorted(old.axes) != sorted(new.axes):
        raise GeometryError(f"world: expected the axes {new.axes!r} in any order, got {old.axes!r}")
    if (old.frame is None) != (new.frame is None):
        raise FrameError(
            f"frame: {old.frame!r} and {new.frame!r}; say what both are with replace(frame=...)"
        )
    unit = Geometry((1,) * len(old.axes), dims=old.axes, sampled=old.axes, world=old)
    if new.frame is not None:
        unit = unit.to_frame(new.frame)
    wanted = dict(zip(new.axes, new.units, strict=True))
    now = dict(zip(unit.world.axes, unit.world.units, strict=True))
    unit = unit.to_unit({n: u for n, u in wanted.items() if u != now[n]})
    matrix: Floats = unit.to_world(new.axes).affine[:-1, :-1]
    return matrix


class Transform(ABC):
    """A map of points of the output (fixed) image to points of the input (moving) image.

    Attributes
    ----------
    world : World
        The coordinates of the points, before and after.
    """

    world: World

    @abstractmethod
    def __call__(self, points: ArrayLike) -> Floats:
        """Map points.

        Parameters
        ----------
        points : array_like of float, shape (..., n_world)
            In the transform's world.

        Returns
        -------
        ndarray of float, shape (..., n_world)
        """

    @abstractmethod
    def inverse(self) -> Transform:
        """Return the map in the other direction."""

    @abstractmethod
    def to_world(self, world: World) -> Transform:
        """Return the same map for points in another world.

        Parameters
        ----------
        world : World
            Its axes may be in another order, frame or unit, and may be more than the transform's:
            further axes are left as they are.
        """

    @abstractmethod
    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box.

        Parameters
        ----------
        bounds : array_like of float, shape (2, n_world)
            Lowest and highest coordinates in the transform's world, as `Geometry.bounds` has them.

        Returns
        -------
        ndarray of float, shape (2, n_world)
            The smallest such box for an affine map, and one that may be larger for others.
        """

    def to_field(self, grid: Any, *, chunks: Any = None) -> spatial_duck.DisplacementField:
        """Return the map as a displacement field on a grid.

        Between the grid's voxels it is linear, and beyond them it moves nothing, so that a field
        is what a grid can hold of a composite, a B-spline or an inverse.

        Parameters
        ----------
        grid : Geometry or SpatialArray
            With an axis for each world axis; plain axes are left out.
        chunks : optional
            As for Dask: the vectors are then computed where and when they are needed.

        Returns
        -------
        DisplacementField
            In the grid's world, with vectors of type float64 along a last axis.

        Raises
        ------
        GeometryError
            If the grid has other axes than its world.

        Examples
        --------
        >>> import spatial_duck as sd
        >>> grid = sd.Geometry((3,), spacing=2.0)
        >>> twice = sd.Affine([[2.0, 0.0], [0.0, 1.0]], grid.world)
        >>> np.asarray(twice.to_field(grid).image).ravel()
        array([0., 2., 4.])
        """
        from spatial_duck.transforms._grids import field_on

        return field_on(self, grid, chunks)

    def jacobian_determinant(self, grid: Any, *, chunks: Any = None) -> spatial_duck.SpatialArray:
        """Return the determinant of the map's derivative at each voxel of a grid.

        By how much the map enlarges a volume there: 1 where it keeps it, below 0 where it folds
        space. Of an affine map it is that of its matrix; of others it is found from the differences
        between each voxel's neighbours in the grid, as ITK does, along the grid's own axes.

        Parameters
        ----------
        grid : Geometry or SpatialArray
            With an axis for each world axis; plain axes are left out.
        chunks : optional
            As for Dask: the values are then computed where and when they are needed.

        Returns
        -------
        SpatialArray
            An image of type float64.

        Raises
        ------
        GeometryError
            If the grid has other axes than its world.

        Examples
        --------
        >>> import spatial_duck as sd
        >>> grid = sd.Geometry((3,), spacing=2.0)
        >>> twice = sd.Affine([[2.0, 0.0], [0.0, 1.0]], grid.world)
        >>> np.asarray(twice.jacobian_determinant(grid))
        array([2., 2., 2.])
        """
        from spatial_duck.transforms._grids import determinant_on

        return determinant_on(self, grid, chunks)

    @staticmethod
    def read(
        path: str | os.PathLike[str],
        *,
        reference: Any = None,
        moving: Any = None,
    ) -> Transform:
        """Read a transform from a file of ITK's, OME-Zarr 0.6, or other software.

        Parameters
        ----------
        path : path
            ITK's end in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``; OME-Zarr's in ``.json``, or in
            ``.zarr`` where they are groups, which may hold displacement fields. Of others: ANTs'
            ``.mat`` and warps (``.nii.gz`` and other images), elastix's ``.txt``, FSL's ``.mat``,
            and with nitransforms FreeSurfer's ``.lta``, AFNI's ``.aff12.1D`` and ``.x5``.
        reference, moving : SpatialArray or Geometry, optional
            The fixed and the moving image, which FSL's and some of AFNI's are about.

        Returns
        -------
        Transform
            In the world x, y, z, LPS, mm from an ITK file, in which these are written; in the world
            of the input coordinate system from an OME-Zarr; in x, y, z, mm from other files.

        Raises
        ------
        FormatError
            If the file does not hold a transform that is known.
        """
        from spatial_duck.io._transform_files import read_transform

        return read_transform(path, reference=reference, moving=moving)

    def write(
        self, path: str | os.PathLike[str], *, frame: str | None = None, overwrite: bool = False
    ) -> None:
        """Write the transform as a file of ITK's or of OME-Zarr 0.6; composites are flattened.

        Parameters
        ----------
        path : path
            The target: ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5`` (ITK); ``.json``, or ``.zarr`` for
            a group that holds displacement fields too (OME-Zarr).
        frame : str, optional
            The frame, if the transform has none.
        overwrite : bool, optional
            Replace a file that is there.

        Raises
        ------
        FrameError, GeometryLossError
            If the file cannot hold it.
        """
        from spatial_duck.io._transform_files import write_transform

        write_transform(path, self, frame=frame, overwrite=overwrite)

    def _repr_html_(self) -> str:
        from spatial_duck._display import _transform

        return _transform.html(self)

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The simple maps that points go through, the first one first."""
        raise TypeError(
            f"transform must be an Affine, a DisplacementField, a BSpline or a Composite, got "
            f"{type(self).__name__}"
        )


def as_points(points: ArrayLike, world: World) -> Floats:
    """Return points as numbers, one entry for each axis of a world in the last dimension."""
    values = np.asarray(in_unit(points, world.units, "points"), dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != len(world.axes):
        raise GeometryError(
            f"points must have one entry for each of the world axes {world.axes!r} in "
            f"their last dimension, got shape {values.shape}"
        )
    return values


def as_box(bounds: ArrayLike, world: World) -> tuple[Floats, Floats]:
    """Return the lowest and the highest coordinates of a box, copied."""
    values = np.array(as_points(bounds, world))
    if values.shape != (2, len(world.axes)) or not (values[0] <= values[1]).all():
        raise GeometryError(
            f"bounds must hold the lowest and the highest coordinates along the world axes "
            f"{world.axes!r}, got {bounds!r}"
        )
    return values[0], values[1]


def matrix_bounds(matrix: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the lowest and highest entries of ``matrix @ v`` for all ``low <= v <= high``."""
    ends = np.stack([matrix * low, matrix * high])
    return ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)


def check_axes(axes: Sequence[str], world: World) -> None:
    """Refuse a world that lacks axes along which a transform moves points."""
    missing = [name for name in axes if name not in world.axes]
    if missing:
        raise GeometryError(
            f"world: the transform moves points along {tuple(axes)!r}, and the world "
            f"{world.axes!r} lacks {missing!r}"
        )
