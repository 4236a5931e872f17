"""Conversion of the components of vectors and tensors to the frame of a format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array._coordinates import COMPONENT
from spatial_duck.errors import FormatError
from spatial_duck.geometry._world import SPACE_AXES, frame_change

if TYPE_CHECKING:
    from spatial_duck.array import SpatialArray

__all__ = ["components_in_frame", "vectors_in_lps"]


def vectors_in_lps(image: SpatialArray, frame: str | None = None) -> SpatialArray:
    """Return an image with its vectors, if it has any, as ITK takes them: along x, y, z in LPS.

    Parameters
    ----------
    image : SpatialArray
        An image with or without a coordinate ``component``.
    frame : str, optional
        The frame, if the image has none.
    """
    if COMPONENT not in image.coords:
        return image
    if image.frame or frame:
        image = components_in_frame(image if image.frame else image.replace(frame=frame), "LPS")
    found = image.coords[COMPONENT]
    labels = [str(label) for label in found]
    if labels == [*SPACE_AXES] or {*labels} != {*SPACE_AXES}:
        return image
    axis = image.dims.index(found.dims[0])
    turned: SpatialArray = image[
        (*[slice(None)] * axis, [labels.index(name) for name in SPACE_AXES])
    ]
    return turned


def components_in_frame(image: Any, frame: str) -> Any:
    """Return an image with its components converted to another frame; its geometry is unchanged.

    Parameters
    ----------
    image : SpatialArray
        Its coordinate ``component`` names world axes, or pairs of them, of the frame in its attrs,
        by default the image's.
    frame : str
        The new frame.

    Returns
    -------
    SpatialArray
        Lazy if the image is. Signs are changed by one multiplication in the data's type; components
        that are exchanged are indexed in the new order.

    Raises
    ------
    FormatError
        If a sign changes and the type is unsigned, or a component that is needed is missing.
    """
    found = image.coords["component"]
    own = found.attrs.get("frame", image.frame)
    if own is None or own == frame:
        return image
    labels = [str(v) for v in found.values.tolist()]
    change = dict(zip(SPACE_AXES, frame_change(str(own), frame), strict=True))
    order, signs = [], []
    for label in labels:
        sources = [SPACE_AXES[change[letter][0]] for letter in label]
        known = [s for s in ("".join(sources), "".join(sources[::-1])) if s in labels]
        if not known:
            raise FormatError(
                f"components {labels} in {own} cannot be converted to {frame}, which needs "
                f"{''.join(sources)!r} too"
            )
        order.append(labels.index(known[0]))
        signs.append(int(np.prod([change[letter][1] for letter in label])))
    axis = image.dims.index(found.dims[0])
    if order != list(range(len(order))):
        image = image[tuple(order if i == axis else slice(None) for i in range(image.ndim))]
    if -1 in signs:
        if image.dtype.kind not in "ifc":
            raise FormatError(
                f"components of type {image.dtype} cannot be converted from {own} to {frame}, "
                "where signs change; use image.astype(...) with a signed type first"
            )
        shape = [len(signs) if i == axis else 1 for i in range(image.ndim)]
        image = image * np.array(signs, image.dtype).reshape(shape)
    attrs = dict(found.attrs) | {"frame": frame} | ({"unit": found.unit} if found.unit else {})
    return image.replace(coords={**image.coords, "component": (axis, labels, attrs)})
