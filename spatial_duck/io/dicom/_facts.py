"""What headers say besides pixels and places: coordinates of axes, and attrs of the whole.

An element on which all frames agree is an entry of ``attrs["dicom"]``, by its keyword. One that
varies along one axis alone is a coordinate of that axis, by its name in snake_case (or the field's
term, such as ``b_value``). One that varies along several axes at once has no place and is left out.
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

__all__ = ["IDENTITY", "OWN", "collect_facts", "values_of"]

#: Elements that geometry, array or file stand for.
OWN = frozenset(
    """ImagePositionPatient ImageOrientationPatient PixelSpacing SliceLocation Rows Columns
    NumberOfFrames BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel
    PlanarConfiguration SmallestImagePixelValue LargestImagePixelValue SpacingBetweenSlices
    GridFrameOffsetVector PixelDataProviderURL FrameIncrementPointer PixelPaddingRangeLimit
    DimensionIndexValues DimensionPointers InStackPositionNumber SliceVector NumberOfSlices
    FrameTimeVector TimeSlotVector TimeSliceVector PhaseVector RRIntervalVector EnergyWindowVector
    DetectorVector RotationVector AngularViewVector""".split()
)
#: Elements that tell one frame from all others, and are coordinates even of a single one.
IDENTITY = frozenset(["SOPInstanceUID", "InstanceNumber"])
#: Elements of the header that attrs would hold twice.
_UNSHARED = frozenset(["SOPInstanceUID", "InstanceNumber"])
_LONGEST_VECTOR = 16

Coords = dict[str, tuple[int, "NDArray[Any]", dict[str, Any]]]


def collect_facts(
    frames: Sequence[Frame | None],
    shape: tuple[int, ...],
    axes: Sequence[Axis] = (),
    without: frozenset[str] = frozenset(),
) -> tuple[dict[str, Any], Coords]:
    """Return attrs and coordinates of frames on a grid.

    Parameters
    ----------
    frames : sequence of (Frame or None)
        Along the axes before rows and columns, the last the fastest; None where nothing is stored.
    shape : tuple of int
        Lengths of those axes.
    axes : sequence of Axis, optional
        What the first of them go by.
    without : set of str, optional
        Keywords that no longer hold, such as those of values that were applied.

    Returns
    -------
    attrs : dict
        By keyword.
    coords : dict
        By name: number of the axis, values, and attrs (with the unit).
    """
    there = [f for f in frames if f is not None]
    keywords = dict.fromkeys(k for f in there for k in f.facts)
    attrs: dict[str, Any] = {}
    coords: Coords = {}
    for keyword in keywords:
        if keyword in OWN or keyword in without:
            continue
        values = [None if f is None else f.facts.get(keyword) for f in frames]
        if keyword not in IDENTITY and _agree([f.facts.get(keyword) for f in there]):
            attrs[keyword] = _listed(there[0].facts[keyword])
            continue
        found = _along(values, [f is not None for f in frames], shape, keyword in IDENTITY)
        array = None if found is None else values_of(found[1])
        if found is not None and array is not None:
            coords[coordinate_name(keyword)] = (found[0], array, _unit(keyword))
    for number, axis in enumerate(axes):
        array = values_of(axis.values)
        if array is not None:
            about = _unit(axis.keyword) | {"sorted_by": axis.how}
            coords[coordinate_name(axis.keyword)] = (number, array, about)
    return attrs, coords


def _unit(keyword: str) -> dict[str, Any]:
    """Return the unit of a keyword's values, and the frame of directions."""
    unit = coordinate_unit(keyword)
    frame = {"frame": "LPS"} if keyword == "DiffusionGradientOrientation" else {}
    return frame if unit is None else frame | {"unit": unit}


def _agree(values: Sequence[Any]) -> bool:
    first = values[0]
    return first is not None and all(v is first or v == first for v in values[1:])


def _along(
    values: Sequence[Any], there: Sequence[bool], shape: tuple[int, ...], single: bool
) -> tuple[int, list[Any]] | None:
    """Return the axis along which alone values vary, and the values along it."""
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


def values_of(values: Sequence[Any]) -> NDArray[Any] | None:
    r"""Return values as an array of numbers, vectors or strings; None where they are no such ones.

    What is missing is NaN, or an empty string.

    Examples
    --------
    >>> values_of([None, (0.0, 1.0)])
    array([[nan, nan],
           [ 0.,  1.]])
    >>> print(*values_of([("ORIGINAL", "PRIMARY")]))
    ORIGINAL\PRIMARY
    """
    there = [v for v in values if v is not None]
    if not there:
        return None
    if any(isinstance(p, str) for v in there for p in (v if isinstance(v, tuple) else (v,))):
        return np.array(["" if v is None else _joined(v) for v in values], dtype=str)
    sizes = {len(v) if isinstance(v, tuple) else 0 for v in there}
    if len(sizes) != 1 or max(sizes) > _LONGEST_VECTOR:
        return None
    size = sizes.pop()
    missing = (np.nan,) * size if size else np.nan
    array = np.array([missing if v is None else v for v in values])
    return array if array.dtype.kind in "if" else None


def _joined(value: Any) -> str:
    return "\\".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
