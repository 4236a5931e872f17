"""Write an image as a DICOM series: a folder with one file for each slice.

The files hold patient, study and frame of reference of ``attrs["dicom"]``, new UIDs for series and
instances, as the standard requires of derived images, and an ImagePositionPatient for each slice,
so that a shear between slices is kept. Rows and columns must be orthogonal, as always in DICOM.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry._world import LENGTHS, TIMES
from spatial_duck.io._layout import Rules, check_dtype, check_precision, fit_layout
from spatial_duck.io._source import reporter
from spatial_duck.io.dicom._elements import coordinate_unit, keyword_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["RULES", "check_plane", "common_elements", "slice_elements", "write_series"]

RULES = Rules("DICOM", ("LPS",), unit=("mm",), plain="last", time=False)

_DTYPES = ("u1", "i2", "u2")
#: The storage class of each modality whose single-frame images have a position.
_CLASSES = {
    "CT": "1.2.840.10008.5.1.4.1.1.2",
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "PT": "1.2.840.10008.5.1.4.1.1.128",
}
_SECONDARY = "1.2.840.10008.5.1.4.1.1.7"
#: Elements that the new series has of its own, or that are no longer true.
_NOT_COPIED = frozenset(
    """SOPClassUID SOPInstanceUID SeriesInstanceUID ImageType RescaleSlope RescaleIntercept
    RescaleType WindowCenter WindowWidth PixelPaddingValue PhotometricInterpretation
    SpecificCharacterSet ImagePositionPatient ImageOrientationPatient PixelSpacing
    SliceLocation InstanceNumber Rows Columns NumberOfFrames BitsAllocated BitsStored HighBit
    PixelRepresentation SamplesPerPixel PlanarConfiguration SmallestImagePixelValue
    LargestImagePixelValue SpacingBetweenSlices DoseGridScaling PresentationLUTShape""".split()
)
#: Elements that every image must have, empty if they are not known.
_REQUIRED = (
    "PatientName", "PatientID", "StudyDate", "StudyTime", "StudyID", "PatientBirthDate",
    "PatientSex", "AccessionNumber", "ReferringPhysicianName", "PositionReferenceIndicator",
)  # fmt: skip


def write_series(path: Path, image: Any, *, progress: Any, frame: str | None) -> None:
    """Write a folder of DICOM files.

    Raises
    ------
    GeometryLossError
        If there is a time axis, or rows and columns are not orthogonal.
    """
    pydicom = require("pydicom", "Writing DICOM")
    if path.suffix.lower() == ".dcm":
        raise FormatError(
            f"{path}: a series is written as a folder with one file for each slice; name a folder, "
            "with format='dicom'"
        )
    data, g = fit_layout(image, RULES, frame=frame, minimum=3)
    if 0 in g.shape:
        raise FormatError(f"DICOM cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), _DTYPES, RULES.name)
    samples = g.shape[3] if g.ndim > 3 else 1
    if g.ndim > 3 and (samples != 3 or dtype.itemsize > 1):
        raise FormatError(
            f"DICOM holds the plain axis of three uint8 colours, got {samples} of {dtype}; write "
            "its parts one by one"
        )
    check_plane(g)
    texts = [_decimal(pydicom, value) for value in g.spacing]
    cosines = [_decimal(pydicom, v) for v in (*g.direction[:, 2], *g.direction[:, 1])]
    report, done = reporter(progress), 0
    attrs = dict(image.attrs.get("dicom") or {})
    common = _series_dataset(pydicom, attrs, dtype, samples)
    common.Rows, common.Columns = g.shape[1], g.shape[2]
    common.PixelSpacing, common.SpacingBetweenSlices = texts[1:], texts[0]
    if "SliceThickness" not in common:
        common.SliceThickness = texts[0]
    common.ImageOrientationPatient = cosines
    positions = [
        [_decimal(pydicom, v) for v in g.origin + g.direction[:, 0] * (g.spacing[0] * k)]
        for k in range(g.shape[0])
    ]
    _check_digits(g, texts, cosines, positions)
    path.mkdir()
    columns = slice_elements(image, g.shape[0])
    for k in range(g.shape[0]):
        plane = np.ascontiguousarray(np.asarray(data[k]), dtype=dtype)
        own = {keyword: values[k] for keyword, values in columns.values()}
        _write_slice(pydicom, path, common, own, plane, positions[k], k)
        done += plane.nbytes
        report(done, plane.nbytes * g.shape[0])


def check_plane(g: Geometry) -> None:
    """Check that rows and columns, the last two sampled axes, are orthogonal."""
    down, across = g.direction[:, 1], g.direction[:, 2]
    if abs(down @ across) > 1e-4:
        raise GeometryLossError(
            f"DICOM has orthogonal rows and columns, and these have a cosine of "
            f"{down @ across:.4g}; resample(...) onto an orthogonal grid first"
        )


def _decimal(pydicom: Any, value: float) -> Any:
    """Return a decimal string of at most 16 characters, as DICOM requires."""
    return pydicom.valuerep.DSfloat(float(value), auto_format=True)


def _check_digits(
    g: Geometry, spacing: Sequence[Any], cosines: Sequence[Any], positions: Sequence[Any]
) -> None:
    written = np.array([[float(str(v)) for v in row] for row in positions])
    steps = (
        np.diff(written, axis=0).mean(axis=0)
        if len(written) > 1
        else (g.direction[:, 0] * g.spacing[0])
    )
    length = float(np.linalg.norm(steps))
    cosine = np.array([float(str(v)) for v in cosines]).reshape(2, 3)
    stored = g.replace(
        origin=written[0].tolist(),
        spacing=[length, float(str(spacing[1])), float(str(spacing[2]))],
        direction=np.column_stack([steps / length, cosine[1], cosine[0]]),
    )
    check_precision(g, stored, "DICOM", "bring it into another unit or nearer to 0")


def common_elements(pydicom: Any, attrs: dict[str, Any]) -> Any:
    """Return a dataset of patient, study and other elements of an image made from a series.

    Parameters
    ----------
    pydicom : module
        The package.
    attrs : dict
        ``attrs["dicom"]`` of the image: elements by keyword.
    """
    dataset = pydicom.Dataset()
    for keyword, value in attrs.items():
        _set_element(pydicom, dataset, keyword, value)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID"):
        if keyword not in dataset:
            setattr(dataset, keyword, pydicom.uid.generate_uid())
    for keyword in _REQUIRED:
        if keyword not in dataset:
            setattr(dataset, keyword, "")
    dataset.Modality = attrs.get("Modality") or "OT"
    return dataset


def _set_element(pydicom: Any, dataset: Any, keyword: str | None, value: Any) -> None:
    """Set an element, unless the new series has its own or it cannot hold the value."""
    if keyword is None or keyword in _NOT_COPIED or not pydicom.datadict.tag_for_keyword(keyword):
        return
    try:
        setattr(dataset, keyword, value)
    except (TypeError, ValueError):
        return


def _series_dataset(pydicom: Any, attrs: dict[str, Any], dtype: np.dtype[Any], samples: int) -> Any:
    """Return a dataset with the elements that all slices have in common."""
    dataset = common_elements(pydicom, attrs)
    dataset.SOPClassUID = _CLASSES.get(attrs.get("Modality", ""), _SECONDARY)
    dataset.SeriesInstanceUID = pydicom.uid.generate_uid()
    if dataset.SOPClassUID == _SECONDARY:
        dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", *list(attrs.get("ImageType") or [])[2:]]
    dataset.SamplesPerPixel = samples
    if samples > 1:
        dataset.PhotometricInterpretation, dataset.PlanarConfiguration = "RGB", 0
    else:
        _set_grey(dataset, attrs)
    bits = 8 * dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(dtype.kind == "i")
    if samples == 1:
        dataset.RescaleIntercept, dataset.RescaleSlope = 0, 1
        if dataset.SOPClassUID == _CLASSES["CT"]:
            dataset.RescaleType = attrs.get("RescaleType", "HU")
    return dataset


def _set_grey(dataset: Any, attrs: dict[str, Any]) -> None:
    """Set which end of the values is black, as in the series that the image was read from."""
    is_negative = attrs.get("PhotometricInterpretation") == "MONOCHROME1"
    dataset.PhotometricInterpretation = "MONOCHROME1" if is_negative else "MONOCHROME2"
    if is_negative:
        dataset.PresentationLUTShape = "INVERSE"


def slice_elements(image: Any, count: int) -> dict[str, tuple[str, list[Any]]]:
    """Return the elements of slices that an image's coordinates are written to.

    Parameters
    ----------
    image : SpatialArray
        Its coordinates along ``z`` and of the whole image are written.
    count : int
        Number of slices.

    Returns
    -------
    dict
        By the coordinate's name: keyword, and the value of each slice; None if it has none.
    """
    out: dict[str, tuple[str, list[Any]]] = {}
    for name, found in image.coords.items():
        keyword = keyword_of(name)
        values = None if keyword is None else _in_standard_units(keyword, found)
        if (
            keyword is None
            or keyword in _NOT_COPIED
            or values is None
            or found.dims not in ((), ("z",))
        ):
            continue
        column = values.tolist() if found.dims else [values.tolist()] * count
        if len(column) == count:
            out[name] = keyword, [_element_value(v) for v in column]
    return out


def _in_standard_units(keyword: str, found: Any) -> NDArray[Any] | None:
    """Return values in the standard's unit and frame; None if they cannot be converted."""
    unit = coordinate_unit(keyword)
    values: NDArray[Any] = found.values
    if values.dtype.kind not in "iufU" or found.attrs.get("frame", "LPS") != "LPS":
        return None
    if unit is None or found.unit in (None, unit):
        return values
    for table in (LENGTHS, TIMES):
        if unit in table and found.unit in table:
            return values * (table[found.unit] / table[unit])
    return None


def _element_value(value: Any) -> Any:
    parts = value if isinstance(value, list) else [value]
    if any(p == "" or p != p for p in parts):
        return None
    return value.split("\\") if isinstance(value, str) else value


def _write_slice(
    pydicom: Any,
    folder: Path,
    common: Any,
    own: dict[str, Any],
    plane: Any,
    position: Any,
    number: int,
) -> None:
    dataset = pydicom.Dataset()
    dataset.update(common)
    for keyword, value in own.items():
        if value is not None:
            _set_element(pydicom, dataset, keyword, value)
    dataset.SOPInstanceUID = pydicom.uid.generate_uid()
    dataset.InstanceNumber = number + 1
    dataset.ImagePositionPatient = position
    raw = plane.tobytes()
    dataset.add_new("PixelData", "OW" if plane.itemsize > 1 else "OB", raw + b"\0" * (len(raw) % 2))
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.file_meta = meta
    name = folder / f"{number + 1:05d}.dcm"
    pydicom.dcmwrite(name, dataset, enforce_file_format=True)
