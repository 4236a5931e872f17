"""Metadata of headers: coordinates of axes, and attrs of the whole image.

An element that all frames have in common is an entry of ``attrs["dicom"]``, by its keyword. One
that varies along a single axis is a coordinate of that axis, by its name in snake_case (or the
field's term, such as ``b_value``). One that varies along several axes is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.io.dicom._elements import coordinate_name, coordinate_unit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.io.dicom._axes import Axis
    from spatial_duck.io.dicom._frames import Frame

__all__ = ["IDENTIFIERS", "REPRESENTED", "collect_metadata", "to_array"]

#: Elements that are represented by the geometry, the array or the file.
REPRESENTED = frozenset(
    """ImagePositionPatient ImageOrientationPatient PixelSpacing SliceLocation Rows Columns
    NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel
    PlanarConfiguration SmallestImagePixelValue LargestImagePixelValue SpacingBetweenSlices
    GridFrameOffsetVector PixelDataProviderURL FrameIncrementPointer PixelPaddingRangeLimit
    DimensionIndexValues DimensionPointers InStackPositionNumber SliceVector NumberOfSlices
    FrameTimeVector TimeSlotVector TimeSliceVector PhaseVector RRIntervalVector EnergyWindowVector
    DetectorVector RotationVector AngularViewVector""".split()
)
#: Elements that identify a frame, and are coordinates even of a single one.
IDENTIFIERS = frozenset(["SOPInstanceUID", "InstanceNumber"])
_LONGEST_VECTOR = 16

Coords = dict[str, tuple[int, "NDArray[Any]", dict[str, Any]]]


def collect_metadata(
    frames: Sequence[Frame | None],
    shape: tuple[int, ...],
    axes: Sequence[Axis] = (),
    without: frozenset[str] = frozenset(),
) -> tuple[dict[str, Any], Coords]:
    """Return attrs and coordinates of frames on a grid.

    Parameters
    ----------
    frames : sequence of (Frame or None)
        Frames along the axes before rows and columns, the last the fastest; None if none is stored.
    shape : tuple of int
        Lengths of those axes.
    axes : sequence of Axis, optional
        The first of those axes.
    without : set of str, optional
        Keywords that are no longer true, such as that of a slope that has been applied.

    Returns
    -------
    attrs : dict
        Elements of the whole image, by keyword.
    coords : dict
        Coordinates by name: number of the axis, values, and attrs (with the unit).
    """
    there = [f for f in frames if f is not None]
    keywords = dict.fromkeys(k for f in there for k in f.elements)
    attrs: dict[str, Any] = {}
    coords: Coords = {}
    for keyword in keywords:
        if keyword in REPRESENTED or keyword in without:
            continue
        values = [None if f is None else f.elements.get(keyword) for f in frames]
        if keyword not in IDENTIFIERS and _are_equal([f.elements.get(keyword) for f in there]):
            attrs[keyword] = _as_list(there[0].elements[keyword])
            continue
        found = _vary_along(values, [f is not None for f in frames], shape, keyword in IDENTIFIERS)
        array = None if found is None else to_array(found[1])
        if found is not None and array is not None:
            coords[coordinate_name(keyword)] = (found[0], array, _unit(keyword))
    for number, axis in enumerate(axes):
        array = to_array(axis.values)
        if array is not None:
            about = _unit(axis.keyword) | {"sorted_by": axis.rule}
            coords[coordinate_name(axis.keyword)] = (number, array, about)
    return attrs, coords


def _unit(keyword: str) -> dict[str, Any]:
    """Return attrs of a coordinate: the unit of its values, and the frame of directions."""
    unit = coordinate_unit(keyword)
    frame = {"frame": "LPS"} if keyword == "DiffusionGradientOrientation" else {}
    return frame if unit is None else frame | {"unit": unit}


def _are_equal(values: Sequence[Any]) -> bool:
    first = values[0]
    return first is not None and all(v is first or v == first for v in values[1:])


def _vary_along(
    values: Sequence[Any], there: Sequence[bool], shape: tuple[int, ...], single: bool
) -> tuple[int, list[Any]] | None:
    """Return the only axis along which values vary, and the values along it; None if several."""
    ids: dict[Any, int] = {}
    numbered = np.array([ids.setdefault(v, len(ids)) for v in values]).reshape(shape)
    known = np.array(there).reshape(shape)
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1 and not (single and axis == len(shape) - 1):
            continue
        rows = np.moveaxis(numbered, axis, 0).reshape(shape[axis], -1)
        mask = np.moveaxis(known, axis, 0).reshape(shape[axis], -1)
        if not mask.any(axis=1).all():
            continue
        first = rows[np.arange(len(rows)), mask.argmax(axis=1)]
        if ((rows == first[:, None]) | ~mask).all():
            back = list(ids)
            return axis, [back[i] for i in first]
    return None


def to_array(values: Sequence[Any]) -> NDArray[Any] | None:
    r"""Return values as an array of numbers, vectors or strings; None for other values.

    Missing values are NaN, or an empty string.

    Examples
    --------
    >>> to_array([None, (0.0, 1.0)])
    array([[nan, nan],
           [ 0.,  1.]])
    >>> print(*to_array([("ORIGINAL", "PRIMARY")]))
    ORIGINAL\PRIMARY
    """
    there = [v for v in values if v is not None]
    if not there:
        return None
    if any(isinstance(p, str) for v in there for p in (v if isinstance(v, tuple) else (v,))):
        return np.array(["" if v is None else _join_text(v) for v in values], dtype=str)
    sizes = {len(v) if isinstance(v, tuple) else 0 for v in there}
    if len(sizes) != 1 or max(sizes) > _LONGEST_VECTOR:
        return None
    size = sizes.pop()
    missing = (np.nan,) * size if size else np.nan
    array = np.array([missing if v is None else v for v in values])
    return array if array.dtype.kind in "if" else None


def _join_text(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
