"""ANTsPy images, to and from.

Arrays are indexed ``(x, y, z, t)``, with components last; positions are LPS in mm. ANTsPy has the
types uint8, uint32 and float32, to which ``ants.from_numpy`` converts others silently; here, types
whose values would change are refused.
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
from spatial_duck.io._layout import Rules, fit_layout, in_order

__all__ = ["from_ants", "to_ants"]

_RULES = Rules("ANTsPy", ("LPS",), unit=("mm",), time_unit=("s",), plain="last")
#: ANTsPy's type for each type, in which no value changes.
_TYPES = {"u1": "u1", "b1": "u1", "u4": "u4", "i1": "f4", "i2": "f4", "u2": "f4", "f2": "f4",
         "f4": "f4"}  # fmt: skip


class _Buffer:
    """The memory of an ANTsPy image, which it keeps alive."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.__array_interface__ = image.view().__array_interface__


@from_library("an ants.ANTsImage", "dimension")
def from_ants(image: Any) -> SpatialArray:
    """Return an ANTsPy image as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    image : ants.ANTsImage
        An image of 2 to 4 dimensions.

    Returns
    -------
    SpatialArray
        Dims ``(x, y, z, t, c)``, without those that are missing; frame LPS, space in mm.
    """
    n = int(image.dimension)
    names = ("x", "y", "z", "t")[:n]
    data = np.asarray(_Buffer(image))
    if image.has_components:
        data = np.moveaxis(data, 0, -1)
    dims = (*names, *(["c"] if data.ndim > n else []))
    world = World(names, {a: None if a == "t" else "mm" for a in names}, "LPS")
    geometry = Geometry(
        data.shape, image.spacing, image.origin, np.asarray(image.direction, np.float64), dims,
        world=world,
    )  # fmt: skip
    return SpatialArray(data, geometry)


@names_lost_coords("ANTsPy's image", from_ants)
def to_ants(image: SpatialArray, *, frame: str | None = None) -> Any:
    """Return an image as an ANTsPy image; ANTsPy copies the data.

    Parameters
    ----------
    image : SpatialArray
        An image of 2 or 3 space axes, at most one time axis and one plain axis. Integers of up to
        16 bits and float16 become float32, which changes no value.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    ants.ANTsImage

    Raises
    ------
    GeometryLossError, FrameError
        If ANTsPy cannot hold the geometry.
    FormatError
        If ANTsPy has no type for the values.
    """
    image = as_image(image, "to_ants", on_host=True)
    ants = require("ants", "Converting ANTsPy images")
    fit = fit_layout(image, _RULES, frame=frame, minimum=3 if "t" in image.world.axes else 2)
    if 0 in fit.geometry.shape:
        raise FormatError(
            f"ANTsPy cannot hold an image without voxels, got shape {fit.geometry.shape}"
        )
    code = np.dtype(fit.data.dtype).str[1:]
    if code not in _TYPES:
        raise FormatError(
            f"ANTsPy has no type for {np.dtype(fit.data.dtype)} voxels; its types are uint8, "
            "uint32 and float32: use image.astype('f4') where that is precise enough"
        )
    data, g = in_order(fit, "xyztp")
    n = len(g.sampled_axes)
    values = np.asarray(data, dtype=_TYPES[code])
    shape = values.shape[:n]
    # ANTsPy turns such an image around, so that it is cropped from one that is twice as wide.
    is_column = shape[-1] > 1 == max(shape[:-1])
    if is_column and (n > 3 or g.ndim > n):
        raise FormatError(
            f"ANTsPy cannot hold one voxel along all axes but the last, got shape {shape}"
        )
    made = ants.from_numpy(
        np.concatenate([values, values]) if is_column else values,
        origin=g.origin.tolist(), spacing=g.spacing.tolist(), direction=g.direction.copy(),
        has_components=g.ndim > n,
    )  # fmt: skip
    return ants.crop_indices(made, [0] * n, list(shape)) if is_column else made
