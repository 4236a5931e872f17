"""DICOM: a file, or a folder with a series, through pydicom.

A folder is searched with its subfolders; files are recognised by their content, gzip ones included.
If it holds several series, ``series`` chooses one by SeriesInstanceUID, SeriesDescription or
SeriesNumber; the error without it lists them, and so does `series_of`. A path to a file opens that
file alone: one slice, a mosaic, the frames of a multi-frame image, a dose, a segmentation.

The slowest axis is first, ``(t or c, z, y, x, c)``; the world is x, y, z in LPS and mm. Slices are
sorted by position along the normal (`_stack`). There are leading axes if several frames share each
position (`_axes` has the rules): ``t`` if a tag gives even times, else a plain axis. Colours are
the last axis ``c``. A frame without ImagePositionPatient (X-ray, ultrasound, secondary capture) has
an unspecified frame and origin 0.

A segmentation has its segments along ``c``, before z: each is a mask, 0 where no frame is stored
(`_segments`). Fractional ones have values from 0 to 1.

Pixels are converted to the values that the header defines (`_values`): rescaled, by the modality's
table, as the colours of a palette, as floats. The type is the smallest that holds the values of all
frames. ``scaled=False`` reads the stored numbers.

Elements that vary along one axis are its coordinates, also those of functional groups and vendors'
b-values; those that all frames have in common are in ``attrs["dicom"]``, without bulk data and
elements that geometry and array represent (`_attrs_and_coords`).

Options of `read`: ``series``; ``where={"EchoNumbers": 1, ...}`` takes the frames whose elements
have these values; ``tolerance`` (mm, 0.01), ``irregular="resample"`` with ``step``, and
``duplicates="first"`` as for `_stack.stack_frames`; ``scaled``.
Options of `write`: ``frame`` gives the frame of an image that has none. With ``format="dicom"`` a
folder with one file for each slice is written, with new instance and series UIDs; patient, study
and frame of reference are those of ``attrs["dicom"]``. With ``kind="seg"`` (or ``"labelmap"``) a
segmentation of one file ``.dcm`` is written (`_write_segments`), of masks along a plain axis or of
labels; it refers to the series at the path ``source``, or to that of the image's coordinates.
``segments={1: "liver"}`` names segments, and ``omit_empty=True`` leaves empty frames out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._quantity import in_unit
from spatial_duck.io._format import Format
from spatial_duck.io._source import Source
from spatial_duck.io.dicom._files import Series, choose_series, looks_like_dicom, series_of
from spatial_duck.io.dicom._frames import Frame, frames_of
from spatial_duck.io.dicom._metadata import collect_metadata
from spatial_duck.io.dicom._pixels import slice_loader
from spatial_duck.io.dicom._segments import (
    SEGMENT_COORDS,
    describe_segment,
    is_segmentation,
    segment_coords,
    segments_of,
)
from spatial_duck.io.dicom._stack import Stack, stack_frames, stack_segments, stack_unplaced
from spatial_duck.io.dicom._values import smallest_type

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence

    from spatial_duck.io.dicom._files import Header

__all__ = ["FORMAT", "Series", "looks_like_dicom", "series_of"]

#: Elements of the conversion of stored pixels to values, no longer true after it.
_SCALING = frozenset(
    """RescaleSlope RescaleIntercept DoseGridScaling MaximumFractionalValue RealWorldValueSlope
    RealWorldValueIntercept RealWorldValueFirstValueMapped RealWorldValueLastValueMapped
    DoubleFloatRealWorldValueFirstValueMapped DoubleFloatRealWorldValueLastValueMapped""".split()
)
_PALETTE = frozenset(
    f"{colour}PaletteColorLookupTableDescriptor" for colour in ("Red", "Green", "Blue", "Alpha")
)
_PER_SEGMENT = frozenset(["ReferencedSegmentNumber", "InstanceNumber", "SOPInstanceUID"])


def open_source(
    path: str | os.PathLike[str],
    *,
    series: str | int | None = None,
    where: Mapping[str, Any] | None = None,
    tolerance: float = 0.01,
    irregular: Literal["refuse", "resample"] = "refuse",
    step: float | None = None,
    duplicates: Literal["refuse", "first"] = "refuse",
    scaled: bool = True,
) -> Source:
    """Open a DICOM file or series; see `spatial_duck.read`."""
    file_path = Path(path)
    tolerance, step = in_unit(tolerance, "mm", "tolerance"), in_unit(step, "mm", "step")
    headers = choose_series(file_path, series)
    frames = [f for h in headers for f in frames_of(h, where or {}, scaled=scaled)]
    if not frames:
        raise FormatError(f"{file_path}: no frame has {dict(where or {})}")
    first = headers[0].dataset
    is_masks = is_segmentation(first)
    try:
        if is_masks:
            stack = _stack_masks(file_path, headers, frames, tolerance)
        elif all(f.is_placed for f in frames):
            stack = stack_frames(
                file_path, frames, tolerance=tolerance, irregular=irregular, step=step,
                duplicates=duplicates,
            )  # fmt: skip
        else:
            stack = stack_unplaced(file_path, frames)
        geometry = _with_samples(stack.geometry, frames[0].shape)
    except GeometryError as error:
        raise FormatError(f"{file_path}: its geometry is not valid: {error}") from error
    try:
        dtype = smallest_type((f.stored, f.scale) for f in _used(stack))
    except FormatError as error:
        raise FormatError(f"{file_path}: {error}") from error
    if any(s.other for s in stack.slices):
        dtype = np.dtype(np.float64)
    attrs, coords = _attrs_and_coords(stack, scaled=scaled, is_masks=is_masks)
    if is_masks:
        attrs, more = _segment_metadata(first, attrs, geometry)
        coords |= more
    if len(frames[0].shape) > 2:
        attrs["PhotometricInterpretation"] = "RGB"  # pixels are decoded to RGB
    load = slice_loader(file_path, stack.slices, geometry.shape, dtype)
    return Source("dicom", geometry, dtype, {"dicom": attrs}, load, coords=coords)


def _used(stack: Stack) -> list[Frame]:
    return [f for s in stack.slices for f in (s.frame, s.other) if f is not None]


def _stack_masks(
    file_path: Path, headers: Sequence[Header], frames: list[Frame], tolerance: float
) -> Stack:
    if len(headers) > 1:
        names = ", ".join(h.path.name for h in headers[:4])
        raise FormatError(
            f"{file_path}: {len(headers)} segmentations in one series ({names}); open one file"
        )
    if not all(f.is_placed for f in frames):
        raise FormatError(
            f"{file_path}: frames of a segmentation need position, orientation and pixel spacing; "
            "tiled slides are not read: use highdicom"
        )
    items = segments_of(headers[0].dataset)
    is_labels = headers[0].dataset.get("SegmentationType") == "LABELMAP"
    numbers = [] if is_labels else [int(item.SegmentNumber) for item in items]
    return stack_segments(file_path, frames, numbers, tolerance)


def _segment_metadata(
    dataset: Any, attrs: dict[str, Any], geometry: Geometry
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return attrs and coordinates with those of SegmentSequence; in attrs for a map of labels."""
    items = segments_of(dataset)
    if geometry.ndim > 3:
        return attrs, segment_coords(items)
    return attrs | {"SegmentSequence": [describe_segment(item) for item in items]}, {}


def _attrs_and_coords(
    stack: Stack, *, scaled: bool, is_masks: bool
) -> tuple[dict[str, Any], dict[str, Any]]:
    without = frozenset[str]()
    if scaled:
        without |= _SCALING | _PALETTE
    if is_masks:
        without |= _PER_SEGMENT
    shape = stack.geometry.shape[:-2]
    if any(s.other for s in stack.slices):
        # Slices between two frames have no elements of their own: z has no coordinates.
        firsts = [s.frame for s in stack.slices[:: shape[-1]]]
        return collect_metadata(firsts, shape[:-1], stack.axes, without)
    return collect_metadata([s.frame for s in stack.slices], shape, stack.axes, without)


def _with_samples(g: Geometry, shape: tuple[int, ...]) -> Geometry:
    if len(shape) < 3:
        return g
    name = None if "c" in g.dims else "c"
    return Geometry(
        (*g.shape, shape[2]), g.spacing, g.origin, g.direction, (*g.dims, name), world=g.world
    )


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    frame: str | None = None,
    kind: Literal["image", "seg", "labelmap"] = "image",
    source: str | os.PathLike[str] | None = None,
    segments: Mapping[int, str] | None = None,
    omit_empty: bool = False,
) -> None:
    """Write a DICOM series or a segmentation; see `spatial_duck.write`."""
    if kind not in ("image", "seg", "labelmap"):
        raise ValueError(f"kind must be 'image', 'seg' or 'labelmap', got {kind!r}")
    if kind == "image":
        for name, value in (("source", source), ("segments", segments)):
            if value is not None:
                raise TypeError(f"{name}= is for segmentations; write one with kind='seg'")
        from spatial_duck.io.dicom._write import write_series

        write_series(path, image, progress=progress, frame=frame)
        return
    from spatial_duck.io.dicom._write_segments import write_segmentation

    write_segmentation(
        path, image, progress=progress, frame=frame, source=source, segments=segments,
        labelmap=kind == "labelmap", omit_empty=omit_empty,
    )  # fmt: skip


class Dicom(Format):
    """DICOM files and series."""

    name, suffixes = "dicom", (".dcm",)

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file begins as DICOM, or a folder holds such files."""
        return looks_like_dicom(path, head)

    def held_coords(self, image: Any, *, kind: str = "image", **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the coordinates that elements of slices, or of segments, can hold."""
        if kind != "image":
            # Coordinates of slices and of the whole are in the series that it refers to.
            return [n for n, c in image.coords.items()
                    if n in SEGMENT_COORDS or not set(c.dims) - set(image.world.axes)]  # fmt: skip
        from spatial_duck.io.dicom._write import slice_elements

        return list(slice_elements(image, image.sizes.get("z", 1)))

    def writes_folder(self, path: Path) -> bool:
        """Whether a series is written, which is a folder; a segmentation is a file, ``.dcm``."""
        return path.suffix.lower() != ".dcm"


FORMAT = Dicom()
