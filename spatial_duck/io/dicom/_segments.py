"""Segments of segmentations: numbers, names and colours.

Each frame of a DICOM segmentation is for one segment at one position, and frames that are missing
are 0, since writers leave empty ones out. So a segmentation has an axis of segments before z;
nothing is merged, and nothing is interpolated. A map of labels (LABELMAP) is one volume of segment
numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._elements import integer, is_many, to_python

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "SEGMENT_COORDS",
    "describe_segment",
    "hex_to_lab",
    "is_segmentation",
    "lab_to_hex",
    "segment_coords",
    "segments_of",
]

#: Coordinates of the axis of segments.
SEGMENT_COORDS = frozenset(
    ["segment_number", "segment_label", "channel", "color", "segment_category", "segment_type"]
)
_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_WHITE = np.array([0.950456, 1.0, 1.088754])
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
)


def is_segmentation(dataset: Any) -> bool:
    """Whether a file holds a segmentation."""
    return dataset.get("SOPClassUID") in _CLASSES or "SegmentSequence" in dataset


def segments_of(dataset: Any) -> list[Any]:
    """Return the items of SegmentSequence, by number.

    Raises
    ------
    FormatError
        If there are none, or two with one number.
    """
    items = list(dataset.get("SegmentSequence") or ())
    numbers = [integer(item, "SegmentNumber", 0) for item in items]
    if not items or len(set(numbers)) != len(numbers):
        raise FormatError(f"SegmentSequence must hold segments of different numbers, got {numbers}")
    return [item for _, item in sorted(zip(numbers, items, strict=True), key=lambda p: p[0])]


def describe_segment(item: Any) -> dict[str, Any]:
    """Return the elements of a segment's item; coded entries as (value, scheme, meaning)."""
    out: dict[str, Any] = {}
    for element in item:
        if not element.keyword or element.keyword == "RecommendedDisplayCIELabValue":
            continue
        if element.VR == "SQ":
            if element.value and "CodeValue" in element.value[0]:
                code = element.value[0]
                keys = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
                out[element.keyword] = [str(code.get(k, "")) for k in keys]
        elif element.value not in (None, ""):
            out[element.keyword] = to_python(element.value)
    colour = item.get("RecommendedDisplayCIELabValue")
    if is_many(colour) and len(colour) == 3:
        out["color"] = lab_to_hex([int(v) for v in colour])
    return out


def segment_coords(items: Sequence[Any]) -> dict[str, tuple[int, NDArray[Any], dict[str, Any]]]:
    """Return number, name and colour of each segment, as coordinates of axis 0."""
    described = [describe_segment(item) for item in items]
    numbers = np.array([d["SegmentNumber"] for d in described])
    labels = np.array([str(d.get("SegmentLabel", "")) for d in described])
    out: dict[str, tuple[int, NDArray[Any], dict[str, Any]]] = {
        "segment_number": (0, numbers, {}),
        "segment_label": (0, labels, {}),
    }
    if any("color" in d for d in described):
        out["color"] = (0, np.array([d.get("color", "") for d in described]), {})
    for name, keyword in (
        ("segment_category", "SegmentedPropertyCategoryCodeSequence"),
        ("segment_type", "SegmentedPropertyTypeCodeSequence"),
    ):
        if all(keyword in d for d in described):
            codes = np.array(["|".join(d[keyword]) for d in described])
            out[name] = (0, codes, {"form": "value|scheme|meaning"})
    return out


# --- colours ------------------------------------------------------------------------------


def lab_to_hex(lab: Sequence[int]) -> str:
    """Return RecommendedDisplayCIELabValue as six hexadecimal digits of sRGB.

    Its numbers are 16-bit fractions of L* from 0 to 100 and of a*, b* from -128 to 127 (PS3.3
    C.10.7.1.1); sRGB by IEC 61966-2-1, white D65.

    Examples
    --------
    >>> lab_to_hex(hex_to_lab("FF8000"))
    'FF8000'
    """
    lightness, a, b = np.array(lab) / 65535 * (100, 255, 255) - (0, 128, 128)
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _WHITE
    linear = np.clip(np.linalg.solve(_TO_XYZ, xyz), 0, 1)
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return "".join(f"{round(255 * float(v)):02X}" for v in np.clip(rgb, 0, 1))


def hex_to_lab(colour: str) -> list[int]:
    """Return RecommendedDisplayCIELabValue for six hexadecimal digits; see `lab_to_hex`."""
    values = np.array(list(bytes.fromhex(colour.lstrip("#"))), np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    xyz = _TO_XYZ @ linear / _WHITE
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
    parts = (lab + (0, 128, 128)) / (100, 255, 255) * 65535
    return [int(v) for v in np.clip(np.round(parts), 0, 65535)]
