"""DICOM headers to frames: one image plane each, from the file's own elements or functional groups.

Only headers are handled here; what belongs together is found by `spatial_duck.io.dicom._stack`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io.dicom._files import pydicom_module
from spatial_duck.io.dicom._stack import KEYS, Frame

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["frames_of", "is_many", "plain"]


def _numbers(dataset: Any, keyword: str, count: int) -> tuple[float, ...] | None:
    value = dataset.get(keyword) if dataset is not None else None
    if value is None or value == "":
        return None
    try:
        out = tuple(float(v) for v in (value if is_many(value) else (value,)))
    except (TypeError, ValueError) as error:
        raise FormatError(f"{keyword} must hold numbers, got {value!r}") from error
    if len(out) != count or not np.isfinite(out).all():
        raise FormatError(f"{keyword} must hold {count} finite numbers, got {value!r}")
    return out


def is_many(value: Any) -> bool:
    """Tell whether an element has several values."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


class _Scope:
    """Looks elements up in a frame's functional groups, the shared ones, and the file's own."""

    def __init__(self, dataset: Any, index: int | None) -> None:
        self._places: list[Any] = []
        per = dataset.get("PerFrameFunctionalGroupsSequence")
        if index is not None and per:
            self._add(per[index])
        shared = dataset.get("SharedFunctionalGroupsSequence")
        if shared:
            self._add(shared[0])
        self._places.append(dataset)

    def _add(self, groups: Any) -> None:
        for element in groups:
            if element.VR == "SQ":
                self._places.extend(element.value)

    def get(self, keyword: str) -> Any:
        """Return the value of the first place that has one, or None."""
        for place in self._places:
            value = place.get(keyword)
            if value is not None and value != "":
                return value
        return None


def plain(value: Any) -> Any:
    """Return a value of pydicom's as Python's own."""
    if is_many(value):
        return tuple(plain(v) for v in value)
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float) or type(value).__name__.startswith("DS"):
        return float(value)
    return str(value)


def _matches(scope: _Scope, where: Mapping[str, Any]) -> bool:
    for keyword, wanted in where.items():
        found = plain(scope.get(keyword))
        want = plain(wanted)
        try:
            same = np.allclose(np.float64(found), np.float64(want), 1e-6, 1e-6)
        except (TypeError, ValueError):
            same = found == want
        if not same:
            return False
    return True


def frames_of(path: Path, dataset: Any, where: Mapping[str, Any]) -> list[Frame]:
    """Return the frames of a file that `where` takes."""
    try:
        return _checked_frames(path, dataset, where)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FormatError(f"{path}: its DICOM header is not valid: {error!r}") from error


def _checked_frames(path: Path, dataset: Any, where: Mapping[str, Any]) -> list[Frame]:
    for keyword in where:
        if not pydicom_module().datadict.tag_for_keyword(keyword):
            raise FormatError(f"where: {keyword!r} is no keyword of DICOM's dictionary")
    if "Rows" not in dataset or "Columns" not in dataset:
        what = dataset.get("SOPClassUID")
        raise FormatError(f"it holds no image but {getattr(what, 'name', what)!s}")
    if "TotalPixelMatrixColumns" in dataset:
        raise FormatError("tiled whole-slide images are not read; use highdicom or wsidicom")
    if "MOSAIC" in (dataset.get("ImageType") or ()):
        raise FormatError(
            "a Siemens mosaic holds many slices in one plane, and its position is that of none; "
            "convert it to NIfTI with dcm2niix"
        )
    count = int(dataset.get("NumberOfFrames") or 1)
    many = count > 1 or "PerFrameFunctionalGroupsSequence" in dataset
    per = dataset.get("PerFrameFunctionalGroupsSequence")
    if count < 1 or (per is not None and len(per) != count):
        raise FormatError(f"NumberOfFrames is {count}, and {len(per or ())} are described")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    shape = (int(dataset.Rows), int(dataset.Columns), *([samples] if samples > 1 else []))
    if min(shape) < 1:
        raise FormatError(f"Rows, Columns and SamplesPerPixel must be positive, got {shape}")
    _check_there(path, dataset, count)
    offsets = dataset.get("GridFrameOffsetVector")
    out = []
    for index in range(count):
        scope = _Scope(dataset, index if many else None)
        if not _matches(scope, where):
            continue
        position = _numbers(scope, "ImagePositionPatient", 3)
        orientation = _numbers(scope, "ImageOrientationPatient", 6)
        if many and per is None and position and orientation:
            position = _by_offset(position, orientation, offsets, index, count)
        slope = _numbers(scope, "RescaleSlope", 1) or _numbers(scope, "DoseGridScaling", 1)
        intercept = _numbers(scope, "RescaleIntercept", 1)
        thickness = _numbers(scope, "SpacingBetweenSlices", 1)
        thickness = thickness or _numbers(scope, "SliceThickness", 1)
        out.append(
            Frame(
                path, index if many else None, shape, position, orientation,
                _pixel_spacing(scope), abs(thickness[0]) if thickness and thickness[0] else None,
                slope[0] if slope else 1.0, intercept[0] if intercept else 0.0,
                {k: plain(v) for k in KEYS if (v := scope.get(k)) is not None},
            )
        )  # fmt: skip
    return out


def _pixel_spacing(scope: _Scope) -> tuple[float, ...] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = _numbers(scope, keyword, 2)
        if spacing is not None:
            if min(spacing) <= 0:
                raise FormatError(f"{keyword} must be positive, got {spacing}")
            return spacing
    return None


def _by_offset(
    position: tuple[float, ...],
    orientation: tuple[float, ...],
    offsets: Any,
    index: int,
    count: int,
) -> tuple[float, ...] | None:
    """Return the position of a dose's frame, which is given by its distance from the first."""
    if offsets is None or len(offsets) != count:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    shift = float(offsets[index])
    if float(offsets[0]):
        # Then they are coordinates along z, of an axial dose (PS3.3 C.8.8.3.2).
        if abs(normal[2]) < 1 - 1e-6:
            return None
        shift = (shift - float(offsets[0])) * normal[2]
    return tuple((np.array(position) + normal * shift).tolist())


def _check_there(path: Path, dataset: Any, count: int) -> None:
    """Refuse a file that is too short for the pixels that its header declares."""
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    samples = int(dataset.get("SamplesPerPixel") or 1)
    pixels = count * samples * int(dataset.Rows) * int(dataset.Columns)
    needed = -(-pixels * int(dataset.get("BitsAllocated") or 16) // 8)
    packed = syntax is not None and (
        syntax.is_private or not syntax.is_transfer_syntax
        or syntax.is_compressed or syntax.is_deflated
    )  # fmt: skip
    half = "422" in str(dataset.get("PhotometricInterpretation"))
    if packed:
        safety.check_size(path, count)  # each frame has a byte at least
        safety.check_memory(path, needed)
    else:
        safety.check_size(path, needed * 2 // 3 if half else needed)
