"""MONAI's `MetaTensor`, to and from.

Tensors are ``(c, x, y, z)`` with a RAS affine for x, y, z (LPS if ``meta["space"]`` is LPS). The
image wraps the tensor itself, so that nothing is copied and data on a GPU stay there.

MONAI does not update the affine when a tensor is sliced, flipped or permuted by indexing or by
PyTorch's functions: convert it first, and slice the image.
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
from spatial_duck.interop._torchio import as_tensor
from spatial_duck.io._layout import Rules, fit_layout, in_order

__all__ = ["from_monai", "to_monai"]

_RULES = Rules("MONAI", ("RAS",), unit=("mm",), plain="first", time=False)


@from_library("a monai.data.MetaTensor", "meta", "affine")
def from_monai(tensor: Any, *, channel: bool | None = None) -> SpatialArray:
    """Return a `MetaTensor` as a `SpatialArray` that holds its tensor.

    Parameters
    ----------
    tensor : monai.data.MetaTensor
        A tensor of 1 to 3 space axes, with or without a channel axis before them. Split batches
        first (``monai.data.decollate_batch``).
    channel : bool, optional
        Whether the first axis is the channel. By default from ``meta["original_channel_dim"]`` or
        ``meta["spatial_shape"]``, and true for four axes.

    Returns
    -------
    SpatialArray
        Dims ``(c, x, y, z)``, without those that are missing; world x, y, z in mm. Other entries of
        the tensor's ``meta`` are in ``attrs["monai"]``.

    Raises
    ------
    FormatError
        If it is unknown whether three axes are a volume or a 2-D image with channels.
    """
    meta = dict(tensor.meta)
    shape = tuple(tensor.shape)
    if channel is None:
        channel = _has_channel(meta, shape)
    n = len(shape) - channel
    if not 1 <= n <= 3:
        raise FormatError(f"a MetaTensor has 1 to 3 space axes, got shape {shape}")
    affine = np.asarray(tensor.affine.detach().cpu(), np.float64)
    size = affine.shape[0] - 1
    if size not in (2, 3) or n > size:
        raise FormatError(f"the affine of {n} space axes must be 3×3 or 4×4, got {affine.shape}")
    frame = str(getattr(meta.get("space"), "value", meta.get("space", "RAS")))
    world = World(("x", "y", "z")[:size], "mm", frame)
    columns = (*range(n), size)
    dims = (*(["c"] if channel else []), *("x", "y", "z")[:n])
    geometry = Geometry.from_affine(shape, affine[:, columns], dims, world=world)
    kept = {k: v for k, v in meta.items() if k not in ("affine", "space", "spatial_shape")}
    return SpatialArray(tensor.as_tensor(), geometry, attrs={"monai": kept} if kept else {})


def _has_channel(meta: dict[str, Any], shape: tuple[int, ...]) -> bool:
    if len(shape) == 4:
        return True
    known = meta.get("spatial_shape")
    if known is not None and len(known) in (len(shape), len(shape) - 1):
        return len(known) == len(shape) - 1
    if str(meta.get("original_channel_dim")) == "no_channel" and len(shape) == 3:
        return False
    raise FormatError(
        f"it is unknown whether the first axis of a MetaTensor of shape {shape} is the channel: "
        "state it with from_monai(tensor, channel=True) or channel=False"
    )


@names_lost_coords("MONAI's MetaTensor", from_monai)
def to_monai(image: SpatialArray, *, frame: str | None = None) -> Any:
    """Return an image as a `MetaTensor` that shares its memory where its strides allow.

    Parameters
    ----------
    image : SpatialArray
        An image of up to three space axes and one plain axis. A 2-D image becomes a volume of one
        slice at its position; without a plain axis, a channel axis of length 1 is added in front.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    monai.data.MetaTensor
        ``(c, x, y, z)`` with a RAS affine.

    Raises
    ------
    GeometryLossError, FrameError
        If it has a time axis, or no frame.
    """
    image = as_image(image, "to_monai")
    MetaTensor = require("monai.data", "Converting MONAI's MetaTensor").MetaTensor
    import torch

    data, g = in_order(fit_layout(image, _RULES, frame=frame, minimum=3), "ptxyz")
    tensor = as_tensor(data)
    if g.ndim == 3:
        tensor = tensor[None]
    meta = dict(image.attrs.get("monai") or {}) | {
        "space": "RAS",
        "spatial_shape": list(tensor.shape[1:]),
    }
    return MetaTensor(tensor, affine=torch.from_numpy(g.affine.copy()), meta=meta)
