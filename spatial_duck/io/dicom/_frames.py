"""Frames of DICOM files: one image plane each, from the file's elements or functional groups.

Only headers are read here; `spatial_duck.io.dicom._stack` sorts the frames into an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io import _safety as safety
from spatial_duck.io._identity import Identity
from spatial_duck.io.dicom._elements import (
    Elements,
    dimension_pointers,
    integer,
    is_many,
    numbers,
    shared_elements,
    tag_name,
    to_python,
)
from spatial_duck.io.dicom._files import Header, pydicom_module
from spatial_duck.io.dicom._values import UNSCALED, PixelFormat, Scale, frame_scale, pixel_format
from spatial_duck.io.dicom._vendors import is_mosaic, mosaic_tiles, private_elements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Frame", "frames_of"]

#: Vectors of nuclear medicine that FrameIncrementPointer may name, with one entry for each frame.
_VECTORS = frozenset(
    """EnergyWindowVector DetectorVector PhaseVector RotationVector RRIntervalVector
    TimeSlotVector SliceVector AngularViewVector TimeSliceVector""".split()
)


class Frame(NamedTuple):
    """One image plane, as its header describes it.

    Attributes
    ----------
    path : Path
        The file.
    number : int or None
        Number of the frame in a multi-frame file, from 0.
    tile : tuple of int or None
        Row and column at which it begins in the plane, if that holds several slices.
    shape : tuple of int
        Rows, columns, and samples if there are several.
    position, orientation, spacing : tuple of float, or None
        ImagePositionPatient, ImageOrientationPatient, PixelSpacing.
    thickness : float or None
        Distance between slices, or else thickness of one.
    stored : PixelFormat
        How the file stores pixels.
    scale : Scale
        Conversion of stored numbers to values.
    elements : mapping
        Elements of the file and of the frame, by keyword.
    identity : Identity, optional
        State of the file before the header was read; it must be the same after pixels are read.
    """

    path: Path
    number: int | None
    tile: tuple[int, int] | None
    shape: tuple[int, ...]
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    thickness: float | None
    stored: PixelFormat
    scale: Scale
    elements: Mapping[str, Any]
    identity: Identity = Identity()

    @property
    def name(self) -> str:
        """The name of the frame for messages."""
        return self.path.name + ("" if self.number is None else f" (frame {self.number + 1})")

    @property
    def is_placed(self) -> bool:
        """Whether its header has position, orientation and spacing."""
        return bool(self.position and self.orientation and self.spacing)


def frames_of(header: Header, where: Mapping[str, Any], *, scaled: bool) -> list[Frame]:
    """Return the frames of a file that `where` selects.

    Raises
    ------
    FormatError
        If the header is not valid, or of a kind that is not read.
    """
    try:
        return _frames(header, where, scaled)
    except FormatError as error:
        raise FormatError(f"{header.path}: {error}") from error
    except safety.MALFORMED as error:
        raise FormatError(f"{header.path}: its DICOM header is not valid: {error!r}") from error


def _frames(header: Header, where: Mapping[str, Any], scaled: bool) -> list[Frame]:
    dataset = header.dataset
    for keyword in where:
        if not pydicom_module().datadict.tag_for_keyword(keyword):
            raise FormatError(f"where: {keyword!r} is no keyword of DICOM's dictionary")
    _check_kind(dataset)
    count = integer(dataset, "NumberOfFrames", 1)
    per = dataset.get("PerFrameFunctionalGroupsSequence")
    many = count > 1 or per is not None
    if count < 1 or (per is not None and len(per) != count):
        raise FormatError(f"NumberOfFrames is {count}, and {len(per or ())} are described")
    stored = pixel_format(header, scaled=scaled)
    size = integer(dataset, "Rows", 0), integer(dataset, "Columns", 0)
    if min(*size, stored.samples) < 1:
        raise FormatError(f"Rows, Columns and SamplesPerPixel must be positive, got {size}")
    _check_size(header, count)
    shared = shared_elements(dataset)
    if "DimensionIndexSequence" in dataset:
        shared["DimensionPointers"] = dimension_pointers(dataset)
    for keyword, value in private_elements(dataset).items():
        shared.setdefault(keyword, value)
    if is_mosaic(dataset) and not many:
        return _mosaic_frames(header, shared, where, stored, scaled)
    positions = None if per is not None or not many else _frame_positions(dataset, shared, count)
    shape = (*size, *([stored.samples] if stored.samples > 1 else []))
    vectors = _frame_vectors(dataset, count) if per is None and many else {}
    out = []
    for index in range(count):
        elements = Elements(dataset, shared, index if many else None)
        elements.values.update({k: values[index] for k, values in vectors.items()})
        if positions is not None:
            elements.values["ImagePositionPatient"] = positions[index]
        if _is_selected(elements, where):
            out.append(_frame(header, elements, index if many else None, shape, stored, scaled))
    return out


def _check_kind(dataset: Any) -> None:
    if "Rows" not in dataset or "Columns" not in dataset:
        what = dataset.get("SOPClassUID")
        raise FormatError(f"it holds no image but {getattr(what, 'name', what)!s}")
    if "TotalPixelMatrixColumns" in dataset:
        raise FormatError("tiled whole-slide images are not read; use highdicom or wsidicom")


def _frame(
    header: Header, elements: Elements, number: int | None, shape: tuple[int, ...],
    stored: PixelFormat, scaled: bool,
) -> Frame:  # fmt: skip
    thickness = numbers(elements, "SpacingBetweenSlices", 1)
    if not (thickness and thickness[0]):
        thickness = numbers(elements, "SliceThickness", 1)
    position, orientation = _plane(header.dataset, elements)
    return Frame(
        header.path, number, None, shape, position, orientation,
        _pixel_spacing(elements, placed=position is not None),
        abs(thickness[0]) if thickness and thickness[0] else None,
        stored, frame_scale(header.dataset, elements) if scaled else UNSCALED, elements.values,
        header.identity,
    )  # fmt: skip


def _mosaic_frames(
    header: Header,
    shared: dict[str, Any],
    where: Mapping[str, Any],
    stored: PixelFormat,
    scaled: bool,
) -> list[Frame]:
    elements = Elements(header.dataset, shared, None)
    if not _is_selected(elements, where):
        return []
    whole = _frame(header, elements, None, (0, 0), stored, scaled)
    size, tiles = mosaic_tiles(header.dataset)
    return [
        whole._replace(tile=(tile.row, tile.column), shape=size, position=tile.position)
        for tile in tiles
    ]


def _is_selected(elements: Elements, where: Mapping[str, Any]) -> bool:
    for keyword, wanted in where.items():
        found = elements.get(keyword)
        want = to_python(wanted)
        try:
            same = np.allclose(np.float64(found), np.float64(want), 1e-6, 1e-6)
        except (TypeError, ValueError):
            same = found == want
        if not same:
            return False
    return True


# --- positions ----------------------------------------------------------------------------


def _plane(
    dataset: Any, elements: Elements
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """Return position and orientation of a frame; of reconstructed slices those of the detector."""
    found = [numbers(elements, "ImagePositionPatient", 3),
             numbers(elements, "ImageOrientationPatient", 6)]  # fmt: skip
    if None in found and (detector := _detector(dataset)) is not None:
        found[0] = found[0] or numbers(detector, "ImagePositionPatient", 3)
        found[1] = found[1] or numbers(detector, "ImageOrientationPatient", 6)
    return found[0], found[1]


def _detector(dataset: Any) -> Any:
    """Return the detector's item for slices that were reconstructed (PS3.3 C.8.4.15), or None."""
    detectors = dataset.get("DetectorInformationSequence")
    kind = str(to_python(dataset.get("ImageType") or ()))
    return detectors[0] if detectors and len(detectors) == 1 and "RECON" in kind else None


def _frame_positions(
    dataset: Any, shared: dict[str, Any], count: int
) -> list[tuple[float, ...]] | None:
    """Return the positions of the frames of a file with one position, by offsets from it."""
    position, orientation = _plane(dataset, Elements(dataset, shared, None))
    if position is None or orientation is None:
        return None
    normal = np.cross(orientation[:3], orientation[3:])
    offsets = _offsets(dataset, normal, count)
    if offsets is None:
        return None
    return [tuple((np.array(position) + normal * shift).tolist()) for shift in offsets]


def _offsets(dataset: Any, normal: Any, count: int) -> list[float] | None:
    """Return the distance of each frame from the first along the normal."""
    given = dataset.get("GridFrameOffsetVector")
    if given is not None:
        offsets = numbers(dataset, "GridFrameOffsetVector", count) or (0.0,) * count
        if not offsets[0]:
            return list(offsets)
        # If the first is not 0, they are coordinates along z of an axial dose (PS3.3 C.8.8.3.2).
        if abs(normal[2]) < 1 - 1e-6:
            raise FormatError(
                "GridFrameOffsetVector holds coordinates along z, and the planes are not axial"
            )
        return [(v - offsets[0]) * float(normal[2]) for v in offsets]
    slices = _frame_vectors(dataset, count).get("SliceVector")
    pointed = _increments(dataset)
    if slices is None and pointed and "SliceVector" not in pointed:
        return [0.0] * count  # frames of a film: one position at several times
    step = numbers(dataset, "SpacingBetweenSlices", 1)
    if step is None or not step[0]:
        return [0.0] * count
    # The sign says on which side of the first slice the others lie (PS3.3 C.8.4.15).
    return [step[0] * (k if slices is None else slices[k] - slices[0]) for k in range(count)]


def _increments(dataset: Any) -> list[str]:
    """Return the keywords of the elements that vary from frame to frame of a file."""
    pointer = dataset.get("FrameIncrementPointer")
    if pointer is None:
        return []
    return [tag_name(tag).split()[0] for tag in (pointer if is_many(pointer) else [pointer])]


def _frame_vectors(dataset: Any, count: int) -> dict[str, Sequence[Any]]:
    """Return the values of elements with one entry for each frame, by keyword."""
    out: dict[str, Sequence[Any]] = {}
    for keyword in _increments(dataset):
        value = dataset.get(keyword)
        if keyword in _VECTORS and is_many(value) and len(value) == count:
            out[keyword] = [to_python(v) for v in value]
        elif keyword == "FrameTime" and (step := numbers(dataset, keyword, 1)):
            out[keyword] = [step[0] * k for k in range(count)]
        elif keyword == "FrameTimeVector" and is_many(value) and len(value) == count:
            steps = [0.0, *[float(v) for v in value[1:]]]
            out["FrameTime"] = np.cumsum(steps).tolist()
    return out


def _pixel_spacing(elements: Elements, *, placed: bool) -> tuple[float, ...] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        spacing = numbers(elements, keyword, 2)
        if spacing is None or (spacing == (0.0, 0.0) and not placed):
            continue  # zeros of a radiograph mean unknown
        if min(spacing) <= 0:
            raise FormatError(f"{keyword} must be positive, got {spacing}")
        return spacing
    return None


def _check_size(header: Header, count: int) -> None:
    """Check that a file is long enough for the pixels that its header declares."""
    dataset, path = header.dataset, header.path
    if header.pixels is None:
        raise FormatError("it ends before its pixels: there is no PixelData")
    syntax = getattr(getattr(dataset, "file_meta", None), "TransferSyntaxUID", None)
    samples = integer(dataset, "SamplesPerPixel", 1)
    pixels = count * samples * int(dataset.Rows) * int(dataset.Columns)
    needed = -(-pixels * integer(dataset, "BitsAllocated", 16) // 8)
    packed = syntax is not None and (
        syntax.is_private or not syntax.is_transfer_syntax
        or syntax.is_compressed or syntax.is_deflated
    )  # fmt: skip
    half = "422" in str(dataset.get("PhotometricInterpretation"))
    if packed:
        needed_here = count  # at least one byte for each frame
        safety.check_memory(path, needed)
    else:
        needed_here = needed * 2 // 3 if half else needed
    if needed_here > header.size:
        raise FormatError(
            f"the header declares {needed_here:,} bytes of pixels, and the file holds "
            f"{max(header.size, 0):,} there; it is truncated or its header is wrong"
        )
