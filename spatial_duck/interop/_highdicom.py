"""highdicom's `Volume`, to and from.

Arrays are indexed (slice, row, column) and channels after them; the affine is LPS in mm. highdicom
holds no shear.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io._layout import Rules, fitted

__all__ = ["from_highdicom", "to_highdicom"]

_RULES = Rules("highdicom", ("LPS",), unit=("mm",), plain="last", time=False)


@from_library("a highdicom.Volume", "array", "coordinate_system")
def from_highdicom(volume: Any) -> SpatialArray:
    """Return a highdicom `Volume` as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    volume : highdicom.Volume
        In the patient's coordinates, or a slide's, which have no anatomical frame.

    Returns
    -------
    SpatialArray
        Dims ``(z, y, x)`` and, for channels, ``c`` and unnamed ones. The frame of reference and the
        channels' descriptors are in ``attrs["highdicom"]``.
    """
    array = volume.array
    patient = getattr(volume.coordinate_system, "value", str(volume.coordinate_system)) == "PATIENT"
    world = World(("x", "y", "z"), "mm", "LPS" if patient else None)
    dims = ("z", "y", "x", "c", *[None] * array.ndim)[: array.ndim]
    geometry = Geometry.from_affine(array.shape, np.asarray(volume.affine), dims, world=world)
    kept: dict[str, Any] = {}
    if volume.frame_of_reference_uid is not None:
        kept["frame_of_reference_uid"] = str(volume.frame_of_reference_uid)
    if volume.channel_descriptors:
        kept["channels"] = {
            d.keyword: list(volume.get_channel_values(d)) for d in volume.channel_descriptors
        }
    return SpatialArray(array, geometry, attrs={"highdicom": kept} if kept else {})


def to_highdicom(image: SpatialArray, *, frame: str | None = None) -> Any:
    """Return an image as a highdicom `Volume` that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        With up to three space axes, orthogonal ones, and one plain axis.
    frame : str, optional
        What the frame is where the image does not say.

    Returns
    -------
    highdicom.Volume
        In the patient's coordinates. The channels of ``attrs["highdicom"]`` are used where they
        fit, else they are numbers from 1.

    Raises
    ------
    GeometryLossError
        If the axes are not orthogonal, or there is a time axis.
    """
    image = as_image(image, "to_highdicom")
    highdicom = require("highdicom", "Converting highdicom's Volume")
    data, g = fitted(image, _RULES, frame=frame, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"highdicom cannot hold an image without voxels, got shape {g.shape}")
    gram = np.asarray(g.direction.T @ g.direction)
    if not np.allclose(gram, np.eye(3), 0, 1e-4):
        raise GeometryLossError(
            "highdicom's Volume has orthogonal axes, and would lose the shear of these (cosines "
            f"{', '.join(f'{v:.4g}' for v in gram[np.triu_indices(3, 1)])}); resample(...) onto an "
            "orthogonal grid first"
        )
    kept = dict(image.attrs.get("highdicom") or image.attrs.get("dicom") or {})
    channels: dict[Any, Any] | None = None
    if g.ndim > 3:
        given = kept.get("channels") or {}
        channels = given if [len(v) for v in given.values()] == [g.shape[3]] else None
        if channels is None:
            own = highdicom.ChannelDescriptor("c", is_custom=True, value_type=int)
            channels = {own: list(range(1, g.shape[3] + 1))}
    uid = kept.get("frame_of_reference_uid", kept.get("FrameOfReferenceUID"))
    return highdicom.Volume(
        np.asarray(data), g.affine.copy(), coordinate_system="PATIENT",
        frame_of_reference_uid=uid, channels=channels,
    )  # fmt: skip
