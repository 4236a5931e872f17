"""highdicom's `Volume`, to and from.

Arrays are indexed (slice, row, column), with channels last; the affine is LPS in mm. highdicom does
not support shear. The descriptor of a channel axis becomes a coordinate of that axis:
``RGBColorChannel`` and a descriptor "channel" become ``channel``, keywords of DICOM become their
names in snake_case (``segment_number``, ``echo_time``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io._coords import coords_by_axis, warn_of_lost_coords
from spatial_duck.io._layout import Rules, fit_layout
from spatial_duck.io.dicom._elements import coordinate_name, keyword_of
from spatial_duck.io.dicom._segments import segment_coords

if TYPE_CHECKING:
    from spatial_duck.io._coords import AxisCoord

__all__ = ["from_highdicom", "to_highdicom"]

_COLORS = {"R": "red", "G": "green", "B": "blue"}
#: Name of the descriptor of channels without a coordinate.
_UNKNOWN = "c"
#: Coordinates that become the descriptor before others.
_PREFERRED = ("segment_number", "channel", "segment_label")
_RULES = Rules("highdicom", ("LPS",), unit=("mm",), plain="last", time=False)


@from_library("a highdicom.Volume", "array", "coordinate_system")
def from_highdicom(volume: Any, *, segments: Sequence[Any] | None = None) -> SpatialArray:
    """Return a highdicom `Volume` as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    volume : highdicom.Volume
        A volume in the coordinates of a patient, or of a slide, which have no anatomical frame.
    segments : sequence of pydicom.Dataset, optional
        The ``SegmentSequence`` of the segmentation that the volume was made of, with the names and
        colors of its segments.

    Returns
    -------
    SpatialArray
        Dims ``(z, y, x)``, and ``c`` and unnamed ones for channels, whose descriptors are
        coordinates; with `segments` also ``segment_label``, ``color``, ``segment_category`` and
        ``segment_type``. The frame of reference is in ``attrs["highdicom"]``.

    Raises
    ------
    FormatError
        If the volume has a segment that `segments` do not describe.
    """
    array = volume.array
    patient = getattr(volume.coordinate_system, "value", str(volume.coordinate_system)) == "PATIENT"
    world = World(("x", "y", "z"), "mm", "LPS" if patient else None)
    dims = ("z", "y", "x", "c", *[None] * array.ndim)[: array.ndim]
    geometry = Geometry.from_affine(array.shape, np.asarray(volume.affine), dims, world=world)
    kept: dict[str, Any] = {}
    if volume.frame_of_reference_uid is not None:
        kept["frame_of_reference_uid"] = str(volume.frame_of_reference_uid)
    coords: dict[str, Any] = {}
    for axis, descriptor in enumerate(volume.channel_descriptors or (), 3):
        values = list(volume.get_channel_values(descriptor))
        if descriptor.keyword == "SegmentNumber" and segments is not None:
            coords |= _segment_coords(values, segments, axis)
        elif descriptor.keyword != _UNKNOWN:
            name, values = _coordinate(descriptor.keyword, values)
            coords[name] = (axis, values)
    attrs = {"highdicom": kept} if kept else {}
    return SpatialArray(array, geometry, coords=coords, attrs=attrs)


def _coordinate(keyword: str, values: list[Any]) -> tuple[str, list[Any]]:
    """Return the name and the values of the coordinate for a channel descriptor."""
    if keyword == "RGBColorChannel":
        return "channel", [_COLORS[str(v.value)] for v in values]
    plain = [v.value if isinstance(v, Enum) else v for v in values]
    known = all(isinstance(v, int | float | str) for v in plain)
    return coordinate_name(keyword), plain if known else list(map(str, plain))


def _segment_coords(numbers: list[Any], segments: Sequence[Any], axis: int) -> dict[str, Any]:
    """Return the coordinates of the segments with some numbers, from a SegmentSequence."""
    items = {int(item.SegmentNumber): item for item in segments}
    missing = [int(n) for n in numbers if int(n) not in items]
    if missing:
        raise FormatError(
            f"segments must describe those of the volume, {[int(n) for n in numbers]}, and lack "
            f"{missing}: give the SegmentSequence of the segmentation that it was made of"
        )
    found = segment_coords([items[int(n)] for n in numbers])
    return {name: (axis, values, attrs) for name, (_, values, attrs) in found.items()}


def to_highdicom(image: SpatialArray, *, frame: str | None = None) -> Any:
    """Return an image as a highdicom `Volume` that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        An image of up to three orthogonal space axes and one plain axis.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    highdicom.Volume
        A volume in the patient's coordinates. Its channels are described by a coordinate of the
        plain axis with unique values: ``segment_number``, ``channel``, ``segment_label`` or another
        that is named after a keyword of DICOM; without one, by numbers from 1.

    Raises
    ------
    GeometryLossError
        If the axes are not orthogonal, or there is a time axis.

    Warns
    -----
    UserWarning
        If the image has other coordinates than that of the channels, which are lost.
    """
    image = as_image(image, "to_highdicom", on_host=True)
    highdicom = require("highdicom", "Converting highdicom's Volume")
    data, g = fit_layout(image, _RULES, frame=frame, minimum=3)
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
    channels, held = None, ""
    if g.ndim > 3:
        channels, held = _channels(highdicom, coords_by_axis(image, g.dims), g.shape[3])
    if image.coords:
        warn_of_lost_coords(None, "highdicom's Volume", image, [held])
    uid = kept.get("frame_of_reference_uid", kept.get("FrameOfReferenceUID"))
    return highdicom.Volume(
        np.asarray(data), g.affine.copy(), coordinate_system="PATIENT",
        frame_of_reference_uid=uid, channels=channels,
    )  # fmt: skip


def _channels(
    highdicom: Any, coords: Mapping[str, AxisCoord], count: int
) -> tuple[dict[Any, list[Any]], str]:
    """Return the descriptor of the channel axis with its values, and the name of its coordinate."""
    channel_coords = {
        name: coord.values.tolist()
        for name, coord in coords.items()
        if coord.axis == 3 and coord.values.ndim == 1
    }
    if channel_coords.get("channel") == list(_COLORS.values()):
        from highdicom.volume import RGB_COLOR_CHANNEL_DESCRIPTOR

        return {RGB_COLOR_CHANNEL_DESCRIPTOR: list(_COLORS)}, "channel"
    for name in (*_PREFERRED, *[n for n in channel_coords if n not in _PREFERRED]):
        values = channel_coords.get(name)
        # highdicom selects channels by their values, which must be unique.
        if values is None or len(set(values)) < count:
            continue
        keyword = keyword_of(name)
        if keyword is not None:
            descriptor = highdicom.ChannelDescriptor(keyword)
        elif name in _PREFERRED:
            descriptor = highdicom.ChannelDescriptor(name, is_custom=True, value_type=str)
        else:
            continue
        kind = descriptor.value_type
        if kind in (int, float, str) and all(kind(v) == v for v in values):
            return {descriptor: [kind(v) for v in values]}, name
    own = highdicom.ChannelDescriptor(_UNKNOWN, is_custom=True, value_type=int)
    return {own: list(range(1, count + 1))}, ""
