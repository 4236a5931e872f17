"""3D Slicer's volume nodes: conversion to and from the array and matrix of its Python functions.

A volume node has a NumPy array indexed (K, J, I), without geometry, and a 4×4 matrix from (I, J, K)
to RAS in mm. These functions convert both; they import nothing of Slicer and have not been tested
inside it. There, an image becomes a node with ::

    array, matrix = sd.to_slicer(image)
    node = slicer.util.addVolumeFromArray(array, ijkToRAS=matrix)

and a node becomes an image with ::

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    matrix = slicer.util.arrayFromVTKMatrix(matrix)
    image = sd.from_slicer(slicer.util.arrayFromVolume(node), matrix)

``GetIJKToRASMatrix`` does not include the transform of a parent node: harden it first. Slicer also
reads NRRD, NIfTI and MetaImage files, sheared ones included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._layout import Rules, fit_layout

__all__ = ["from_slicer", "to_slicer"]

_RULES = Rules("3D Slicer", ("RAS",), unit=("mm",), plain="last", time=False)


@names_lost_coords("Slicer's array", None)
def to_slicer(image: SpatialArray, *, frame: str | None = None) -> tuple[Any, Any]:
    """Return an image as the array and matrix of a volume node.

    Parameters
    ----------
    image : SpatialArray
        An image of up to three space axes and one plain axis.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    array : ndarray
        Voxels indexed (K, J, I), components last; shares the image's memory.
    matrix : ndarray of float, shape (4, 4)
        Matrix from (I, J, K) to RAS in mm.

    Raises
    ------
    GeometryLossError, FrameError
        If there is a time axis, or no frame.

    Examples
    --------
    >>> image = SpatialArray(np.zeros((2, 3, 4)), spacing=(3, 2, 1), frame="LPS")
    >>> to_slicer(image)[1].diagonal()
    array([-1., -2.,  3.,  1.])
    """
    image = as_image(image, "to_slicer", on_host=True)
    data, g = fit_layout(image, _RULES, frame=frame, minimum=3)
    matrix = g.affine[:, [2, 1, 0, 3]] + 0.0
    return np.asarray(data), matrix


def from_slicer(array: Any, matrix: Any) -> SpatialArray:
    """Return the array and matrix of a volume node as a `SpatialArray`.

    Parameters
    ----------
    array : ndarray
        Voxels indexed (K, J, I), components last.
    matrix : array_like of float, shape (4, 4)
        Matrix from (I, J, K) to RAS in mm.

    Returns
    -------
    SpatialArray
        Dims ``(z, y, x)``, and ``c`` for components; shares the array's memory.
    """
    values, affine = np.asarray(array), np.asarray(matrix, np.float64)
    if values.ndim not in (3, 4) or affine.shape != (4, 4):
        raise FormatError(
            f"expected an array of 3 or 4 axes and a 4×4 matrix, got shapes {values.shape} and "
            f"{affine.shape}"
        )
    dims = ("z", "y", "x", "c")[: values.ndim]
    world = World(("x", "y", "z"), "mm", "RAS")
    geometry = Geometry.from_affine(values.shape, affine[:, [2, 1, 0, 3]], dims, world=world)
    return SpatialArray(values, geometry)
