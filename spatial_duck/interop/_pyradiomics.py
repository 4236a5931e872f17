"""An image and a mask for pyradiomics, as SimpleITK images on exactly the same grid.

Two files of one grid may differ in the last digits that their formats hold, and pyradiomics raises
for such differences, unless its ``geometryTolerance`` is so large that it accepts wrong grids too.
`to_pyradiomics` checks that both grids are the same, and returns both with exactly the image's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import as_image
from spatial_duck.errors import FormatError, GeometryMismatchError
from spatial_duck.interop._simpleitk import to_simpleitk

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray

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
        Integers or bool, on the same grid, in any frame, unit and order of world axes.
    frame : str, optional
        The frame, if the images have none.
    tolerance : float, optional
        Largest displacement of a voxel, in voxels, at which the grids count as one.

    Returns
    -------
    tuple of SimpleITK.Image
        For ``featureextractor.execute(image, mask)``.

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
            f"the mask does not lie on the image's grid: {reason}; bring it there with "
            "resample(mask, to=image, interpolation='nearest')"
        )
    both = to_simpleitk(image, frame=frame)
    labels = to_simpleitk(mask.replace(geometry=image.geometry), frame=frame)
    return both, labels
