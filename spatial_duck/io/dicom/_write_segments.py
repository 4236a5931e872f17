"""Write masks or labels as a DICOM segmentation that refers to the series it was made from.

The file is written by highdicom. Every frame has its own position, so that a shear between slices
is kept, and refers to the instance of the series at the same position. Booleans and integers are a
BINARY segmentation (or a LABELMAP); multiples of 1/255, such as read from one, a FRACTIONAL one.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io._layout import Rules, fit_layout
from spatial_duck.io._source import reporter
from spatial_duck.io.dicom._files import choose_series
from spatial_duck.io.dicom._write import check_plane, common_elements

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["write_segmentation"]

RULES = Rules(
    "a DICOM segmentation", ("LPS",), unit=("mm",), plain="first", plain_names=None, time=False
)
_MAX_FRACTION = 255
_TISSUE = ("85756007", "SCT", "Tissue")
#: Largest numbers of segments: they have 16 bits, and those of BINARY ones have no gaps.
_MAX_BINARY, _MAX_LABEL = 1024, 65535


def write_segmentation(
    path: Path,
    image: Any,
    *,
    progress: Any,
    frame: str | None,
    source: str | PathLike[str] | None,
    segments: Mapping[int, str] | None,
    labelmap: bool,
    omit_empty: bool,
) -> None:
    """Write a segmentation; see `spatial_duck.io.dicom._format`.

    Raises
    ------
    FormatError
        If the values are not a segmentation, or the series that it refers to is not known.
    GeometryLossError
        If rows and columns are not orthogonal.
    """
    _check_names(segments)
    hd = require("highdicom", "Writing DICOM segmentations")
    if path.suffix.lower() != ".dcm":
        raise FormatError(f"{path.name}: a segmentation is one file; name it {path.name}.dcm")
    data, g = fit_layout(image, RULES, frame=frame, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"DICOM cannot hold an image without voxels, got shape {g.shape}")
    check_plane(g)
    pixels, kind, numbers = _pixels(np.asarray(data), labelmap)
    plane = g if g.ndim == 3 else g[0]
    sources = _series_headers(source) if source is not None else _image_headers(image, plane)
    described = _segment_descriptions(hd, image, numbers, segments, has_axis=g.ndim > 3)
    positions = plane.index_to_physical([(k, 0, 0) for k in range(plane.shape[0])])
    report = reporter(progress)
    uid = hd.UID
    made = hd.seg.Segmentation(
        sources, pixels, kind, described, uid(), 1, uid(), 1, "spatial_duck", "spatial_duck", "0",
        "0", max_fractional_value=_MAX_FRACTION, omit_empty_frames=omit_empty,
        pixel_measures=hd.PixelMeasuresSequence(
            plane.spacing[1:].tolist(), float(plane.spacing[0]), float(plane.spacing[0])
        ),
        plane_orientation=hd.PlaneOrientationSequence(
            "PATIENT", [*plane.direction[:, 2].tolist(), *plane.direction[:, 1].tolist()]
        ),
        plane_positions=[hd.PlanePositionSequence("PATIENT", p.tolist()) for p in positions],
    )  # fmt: skip
    made.save_as(path)
    report(pixels.nbytes, pixels.nbytes)


def _pixels(values: NDArray[Any], labelmap: bool) -> tuple[NDArray[Any], str, list[int]]:
    """Return pixels as highdicom takes them, the kind of segmentation, and the segments' numbers.

    The segments of several masks are along the last axis.
    """
    has_axis = values.ndim > 3
    if has_axis:
        values = np.moveaxis(values, 0, -1)
    numbers = list(range(1, values.shape[3] + 1)) if has_axis else [1]
    if values.dtype.kind == "f":
        low, high = float(np.min(values)), float(np.max(values))
        parts = values.astype(np.float64) * _MAX_FRACTION
        if low < 0 or high > 1 or not np.allclose(parts, np.round(parts), 0, 1e-3):
            raise FormatError(
                f"a FRACTIONAL segmentation holds multiples of 1/{_MAX_FRACTION} from 0 to 1, and "
                f"these values ({low:g} to {high:g}) are not; make a mask (image > 0.5), or round: "
                f"np.round(image * {_MAX_FRACTION}) / {_MAX_FRACTION}"
            )
        return np.round(parts) / _MAX_FRACTION, "FRACTIONAL", numbers
    if values.dtype.kind not in "biu":
        raise FormatError(f"a segmentation holds booleans, labels or fractions, got {values.dtype}")
    least, most = int(values.min()), int(values.max())
    if least < 0 or (has_axis and most > 1):
        raise FormatError(
            "masks of several segments hold 0 and 1, and labels are integers from 0 on; got "
            f"{least} to {most}"
        )
    if has_axis:
        if labelmap:
            raise FormatError("a map of labels has no axis of segments; write kind='seg'")
        return values.astype(np.uint8), "BINARY", numbers
    limit = _MAX_LABEL if labelmap else _MAX_BINARY
    if most > limit:
        raise FormatError(
            f"a segmentation numbers its segments from 1 to {limit}, and there is a label {most}"
            + ("" if labelmap else "; a map of labels has up to 65535: kind='labelmap'")
        )
    labels = values.astype(np.uint8 if most < 256 else np.uint16)
    if labelmap:
        return labels, "LABELMAP", [int(v) for v in np.unique(labels) if v] or [1]
    return labels, "BINARY", list(range(1, max(most, 1) + 1))


# --- segments -----------------------------------------------------------------------------


def _check_names(segments: Any) -> None:
    """Check that segments are named by their numbers."""
    pairs = segments.items() if isinstance(segments, Mapping) else [(segments, None)]
    if segments is not None and not all(
        isinstance(number, Integral) and isinstance(name, str) for number, name in pairs
    ):
        raise TypeError(
            "segments must map the numbers of segments to their names, such as {1: 'liver'}, got "
            f"{segments!r}"
        )


def _segment_descriptions(
    hd: Any, image: Any, numbers: Sequence[int], names: Mapping[int, str] | None, *, has_axis: bool
) -> list[Any]:
    """Return a description of each segment, from `names`, the image's coordinates, or its attrs."""
    from spatial_duck.io.dicom._segments import hex_to_lab

    coords = getattr(image, "coords", {})
    columns: dict[str, Sequence[Any]] = {}
    if has_axis:
        columns = {k: list(coords[k]) for k in coords if len(coords[k].values.shape) == 1}
    attrs = (image.attrs.get("dicom") or {}).get("SegmentSequence") or ()
    by_number = {int(d["SegmentNumber"]): d for d in attrs}
    out = []
    for k, number in enumerate(numbers):
        known = by_number.get(number, {}) if not has_axis else {}
        label = (names or {}).get(number) or _first_value(columns, ("segment_label", "channel"), k)
        colour = _first_value(columns, ("color",), k) or known.get("color")
        out.append(
            hd.seg.SegmentDescription(
                number,
                str(label or known.get("SegmentLabel") or f"segment {number}"),
                _code(hd, _first_value(columns, ("segment_category",), k)
                      or known.get("SegmentedPropertyCategoryCodeSequence")),
                _code(hd, _first_value(columns, ("segment_type",), k)
                      or known.get("SegmentedPropertyTypeCodeSequence")),
                "MANUAL",
                display_color=hd.color.CIELabColor(*_lab(hex_to_lab(colour))) if colour else None,
            )
        )  # fmt: skip
    return out


def _first_value(columns: Mapping[str, Sequence[Any]], names: Sequence[str], k: int) -> Any:
    return next((columns[n][k] for n in names if n in columns and k < len(columns[n])), None)


def _lab(stored: Sequence[int]) -> tuple[float, float, float]:
    lightness, a, b = (v / 65535 for v in stored)
    return lightness * 100, a * 255 - 128, b * 255 - 128


def _code(hd: Any, code: Any) -> Any:
    parts = code.split("|") if isinstance(code, str) else code
    if not parts or len(parts) != 3 or not all(parts):
        parts = _TISSUE
    return hd.sr.CodedConcept(parts[0], parts[1], parts[2])


# --- the series that it refers to ---------------------------------------------------------


def _series_headers(source: str | PathLike[str]) -> list[Any]:
    datasets = [header.dataset for header in choose_series(Path(source), None)]
    for dataset in datasets:
        if "FrameOfReferenceUID" not in dataset:
            raise FormatError(f"{source}: a segmentation needs its FrameOfReferenceUID")
        for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "StudyDate",
                        "StudyTime", "StudyID", "AccessionNumber"):  # fmt: skip
            if keyword not in dataset:
                setattr(dataset, keyword, "")
        if "SliceThickness" not in dataset:
            dataset.SliceThickness = None
    return datasets


def _image_headers(image: Any, plane: Geometry) -> list[Any]:
    """Return headers of the slices that an image was read from, by its coordinates and attrs."""
    coords = getattr(image, "coords", {})
    attrs = dict(image.attrs.get("dicom") or {})
    found = coords.get("sop_instance_uid")
    uids = [] if found is None else np.atleast_1d(found.values).tolist()
    wanted = [k for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID") if k not in attrs]
    if len(set(uids)) != plane.shape[0] or wanted or "SegmentSequence" in attrs:
        raise FormatError(
            "a segmentation refers to the series that it was made from, and this image does not "
            "have the instances of one; name its folder or file with source="
        )
    pydicom = require("pydicom", "Writing DICOM")
    common = common_elements(pydicom, attrs)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPClassUID"):
        setattr(common, keyword, attrs[keyword])
    common.ImageOrientationPatient = [
        *plane.direction[:, 2].tolist(),
        *plane.direction[:, 1].tolist(),
    ]
    common.PixelSpacing = plane.spacing[1:].tolist()
    common.SliceThickness = float(plane.spacing[0])
    common.Rows, common.Columns = plane.shape[1:3]
    common.SamplesPerPixel, common.BitsAllocated, common.PixelRepresentation = 1, 16, 0
    out = []
    for k, uid in enumerate(uids):
        dataset = pydicom.Dataset()
        dataset.update(common)
        dataset.SOPInstanceUID, dataset.InstanceNumber = uid, k + 1
        dataset.ImagePositionPatient = plane.index_to_physical((k, 0, 0)).tolist()
        out.append(dataset)
    return out
