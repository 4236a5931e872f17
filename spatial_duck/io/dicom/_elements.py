"""Elements of DICOM headers as Python values, from wherever each kind of image has them.

An element that cannot be converted is left out; an error names it only if the reader needs it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from spatial_duck.errors import FormatError

__all__ = [
    "Elements",
    "coordinate_name",
    "coordinate_unit",
    "dimension_pointers",
    "integer",
    "is_many",
    "keyword_of",
    "numbers",
    "shared_elements",
    "tag_name",
    "to_python",
]  # fmt: skip

#: Value representations that are not read.
_BULK = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN", "SQ", "AT"])
#: Longest text that is read as a value.
_MAX_LENGTH = 1 << 14
#: Names of coordinates that have a term in the field.
_TERMS = {"DiffusionBValue": "b_value", "DiffusionGradientOrientation": "gradient_direction"}
#: Units of coordinates for which the standard defines one.
_UNITS = {
    "ActualFrameDuration": "ms",
    "DiffusionBValue": "s/mm^2",
    "EchoTime": "ms",
    "EffectiveEchoTime": "ms",
    "ExposureTime": "ms",
    "FlipAngle": "deg",
    "FrameAcquisitionDuration": "ms",
    "FrameReferenceTime": "ms",
    "FrameTime": "ms",
    "InversionTime": "ms",
    "KVP": "kV",
    "NominalCardiacTriggerDelayTime": "ms",
    "RepetitionTime": "ms",
    "SliceThickness": "mm",
    "TablePosition": "mm",
    "TemporalPositionTimeOffset": "s",
    "TemporalResolution": "ms",
    "TriggerTime": "ms",
}
#: Sequences inside functional groups whose elements are read as the frame's too.
_NESTED = ("DiffusionGradientDirectionSequence", "MRVelocityEncodingSequence")


def is_many(value: Any) -> bool:
    """Whether an element has several values."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def to_python(value: Any) -> Any:
    """Return a value of pydicom as a Python value; several as a tuple.

    Examples
    --------
    >>> to_python([1, 2.5, "MR"])
    (1, 2.5, 'MR')
    """
    if is_many(value):
        return tuple(to_python(v) for v in value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) or type(value).__name__.startswith("DS"):
        return float(value)
    return str(value)


def tag_name(tag: Any) -> str:
    """Return the name of an element for messages: its keyword and its tag."""
    from pydicom.datadict import keyword_for_tag

    number = f"({tag.group:04X},{tag.element:04X})"
    return f"{keyword_for_tag(tag)} {number}".strip()


def coordinate_name(keyword: str) -> str:
    """Return the name of the coordinate for a keyword: the field's term, or snake_case.

    Examples
    --------
    >>> [coordinate_name(k) for k in ("EchoTime", "DiffusionBValue", "SOPInstanceUID")]
    ['echo_time', 'b_value', 'sop_instance_uid']
    """
    if keyword in _TERMS:
        return _TERMS[keyword]
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", keyword)
    return split.lower()


def coordinate_unit(keyword: str) -> str | None:
    """Return the unit that the standard defines for a keyword, or None."""
    return _UNITS.get(keyword)


def keyword_of(name: str) -> str | None:
    """Return the keyword of a coordinate's name, or None."""
    from pydicom.datadict import DicomDictionary

    if not _KEYWORDS:
        _KEYWORDS.update({coordinate_name(row[4]): row[4] for row in DicomDictionary.values()})
    return _KEYWORDS.get(name)


_KEYWORDS: dict[str, str] = {}


def _element_values(dataset: Any) -> Iterator[tuple[str, Any]]:
    """Yield keyword and value of each element that is read; invalid ones are left out."""
    for tag in dataset.keys():  # noqa: SIM118 (iterating a data set converts its elements)
        if tag.is_private:
            continue
        try:
            element = dataset[tag]
        except Exception:  # pydicom raises many kinds
            continue
        if not element.keyword or element.VR in _BULK:
            continue
        value = element.value
        if value is not None and value != "" and len(str(value)) <= _MAX_LENGTH:
            yield element.keyword, to_python(value)


class Elements:
    """Elements of one frame: of its functional groups, the shared ones, and the file.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The file's header.
    shared : mapping
        Elements of the file and its shared groups, by keyword; see `shared_elements`.
    index : int or None
        Number of the frame, if there are several.
    """

    def __init__(self, dataset: Any, shared: Mapping[str, Any], index: int | None) -> None:
        self._dataset, self.values = dataset, dict(shared)
        per = dataset.get("PerFrameFunctionalGroupsSequence")
        if index is not None and per:
            self.values.update(_group_elements(per[index]))

    def get(self, keyword: str) -> Any:
        """Return a value as a Python value, or None."""
        return self.values.get(keyword)


def shared_elements(dataset: Any) -> dict[str, Any]:
    """Return the elements of a file and of its shared functional groups, by keyword."""
    out = dict(_element_values(dataset))
    shared = dataset.get("SharedFunctionalGroupsSequence")
    if shared:
        out.update(_group_elements(shared[0]))
    return out


def _group_elements(groups: Any) -> dict[str, Any]:
    """Return the elements in the functional groups of a frame, by keyword.

    Coded entries and sequences with several items are left out: their keywords have a meaning only
    within their item.
    """
    out: dict[str, Any] = {}
    for element in groups:
        if element.VR != "SQ" or not element.keyword or len(element.value or ()) != 1:
            continue
        item = element.value[0]
        if "CodeValue" in item or element.keyword.startswith(("Referenced", "Derivation")):
            continue
        for keyword, value in _element_values(item):
            out.setdefault(keyword, value)
        for name in _NESTED:
            if item.get(name):
                out.update(_element_values(item.get(name)[0]))
    return out


def numbers(elements: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    """Return the finite numbers of an element, or None if it is missing.

    Raises
    ------
    FormatError
        If they are not `count` finite numbers.
    """
    value = elements.get(keyword)
    if value is None or value == "":
        return None
    try:
        out = tuple(float(v) for v in (value if is_many(value) else (value,)))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{keyword} must hold numbers, got {value!r}") from error
    if len(out) != count or not np.isfinite(out).all():
        raise FormatError(f"{keyword} must hold {count} finite numbers, got {value!r}")
    return out


def integer(elements: Any, keyword: str, default: int) -> int:
    """Return the integer of an element, or a default if it is missing."""
    value = elements.get(keyword)
    if value is None or value == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise FormatError(f"{keyword} must hold an integer, got {value!r}") from error


def dimension_pointers(dataset: Any) -> tuple[str, ...]:
    """Return the elements that DimensionIndexValues refer to, by keyword or tag."""
    from pydicom.tag import Tag

    out = []
    for item in dataset.get("DimensionIndexSequence") or ():
        pointer = item.get("DimensionIndexPointer")
        name = tag_name(Tag(pointer)) if pointer is not None else ""
        out.append(name.split()[0] if name else "DimensionIndexValues")
    return tuple(out)
