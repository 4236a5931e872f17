"""An image and a mask for pyradiomics, as SimpleITK images on exactly the same grid.

Two files of one grid may differ in the last digits that their formats store. pyradiomics raises for
such differences, unless its ``geometryTolerance`` is so large that it accepts wrong grids too.
`to_pyradiomics` checks that both grids are the same, and returns both with exactly the image's.
"""

from __future__ import annotations

from inspect import unwrap
from typing import Any

import numpy as np

from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import FormatError, GeometryMismatchError
from spatial_duck.interop._simpleitk import to_simpleitk

__all__ = ["to_pyradiomics"]


def to_pyradiomics(
    image: SpatialArray,
    mask: SpatialArray,
    *,
    frame: str | None = None,
    tolerance: float | None = None,
) -> tuple[Any, Any]:
    """Return an image and its mask as SimpleITK images on one exact grid.

    Parameters
    ----------
    image : SpatialArray
        The image.
    mask : SpatialArray
        A mask of integers or bool on the same grid, in any frame, unit and order of world axes.
    frame : str, optional
        The frame, if the images have none.
    tolerance : float, optional
        Largest displacement of a voxel between equal grids, in voxels.

    Returns
    -------
    tuple of SimpleITK.Image
        Image and mask for ``featureextractor.execute(image, mask)``.

    Raises
    ------
    GeometryMismatchError
        If they do not lie on one grid; resample the mask with ``interpolation="nearest"`` first.
    """
    image = as_image(image, "to_pyradiomics")
    if np.dtype(mask.dtype).kind not in "biu":
        raise FormatError(f"a mask holds integers, got {mask.dtype}; use mask.astype('u1')")
    if mask.dims != image.dims and set(map(str, mask.dims)) == set(map(str, image.dims)):
        mask = mask.transpose([mask.dims.index(d) for d in image.dims])
    reason = image.geometry.difference(mask.geometry, tolerance)
    if reason is not None:
        raise GeometryMismatchError(
            f"the mask does not lie on the image's grid: {reason}; use "
            "resample(mask, to=image, interpolation='nearest') first"
        )
    mask = mask.replace(geometry=image.geometry)
    convert = unwrap(to_simpleitk)  # features ask for no coordinates
    return convert(image, frame=frame), convert(mask, frame=frame)
