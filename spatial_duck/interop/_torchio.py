"""torchio's images, to and from.

Tensors always have the four axes ``(c, x, y, z)``, with a RAS affine in mm, which may be sheared. A
2-D image has a last axis of length 1.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._layout import Rules, fit_layout, in_order

__all__ = ["as_tensor", "from_torchio", "to_torchio"]

_RULES = Rules("torchio", ("RAS",), unit=("mm",), plain="first", time=False)


def as_tensor(data: Any) -> Any:
    """Return an array as a PyTorch tensor that shares its memory where possible.

    Parameters
    ----------
    data : array
        An array, or a tensor, which is returned as it is. Arrays with negative strides, swapped
        bytes or read-only memory, which PyTorch does not support, are copied.
    """
    import torch

    if isinstance(data, torch.Tensor):
        return data
    array = np.asarray(data)
    native = array.dtype.newbyteorder("=")
    if any(s < 0 for s in array.strides) or not array.flags.writeable or array.dtype != native:
        array = np.array(array, dtype=native)
    try:
        return torch.from_numpy(array)
    except TypeError as error:
        raise FormatError(
            f"PyTorch has no type for {array.dtype} voxels; use image.astype(...) first"
        ) from error


@from_library("a torchio.Image", "data", "affine")
def from_torchio(image: Any) -> SpatialArray:
    """Return a torchio image as a `SpatialArray` that holds its tensor.

    Parameters
    ----------
    image : torchio.Image
        A ScalarImage or LabelMap; one that was not loaded yet is loaded.

    Returns
    -------
    SpatialArray
        Dims ``(c, x, y, z)``, frame RAS, unit mm.
    """
    tensor = image.data
    world = World(("x", "y", "z"), "mm", "RAS")
    affine = np.asarray(image.affine, np.float64)
    geometry = Geometry.from_affine(tuple(tensor.shape), affine, ("c", "x", "y", "z"), world=world)
    return SpatialArray(tensor, geometry)


@names_lost_coords("torchio's Image", from_torchio)
def to_torchio(
    image: SpatialArray, *, kind: Literal["scalar", "label"] = "scalar", frame: str | None = None
) -> Any:
    """Return an image as a torchio image that shares its memory where its strides allow.

    Parameters
    ----------
    image : SpatialArray
        An image of up to three space axes and one plain axis.
    kind : {"scalar", "label"}, optional
        ScalarImage or LabelMap, for which torchio chooses the interpolation.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    torchio.ScalarImage or torchio.LabelMap

    Raises
    ------
    GeometryLossError, FrameError
        If it has a time axis, or no frame.
    """
    image = as_image(image, "to_torchio")
    torchio = require("torchio", "Converting torchio images")
    if kind not in ("scalar", "label"):
        raise ValueError(f"kind must be 'scalar' or 'label', got {kind!r}")
    data, g = in_order(fit_layout(image, _RULES, frame=frame, minimum=3), "ptxyz")
    tensor = as_tensor(data)
    if g.ndim == 3:
        tensor = tensor[None]
    cls = torchio.ScalarImage if kind == "scalar" else torchio.LabelMap
    return cls(tensor=tensor, affine=g.affine.copy())
