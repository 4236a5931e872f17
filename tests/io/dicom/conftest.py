"""DICOM files as scanners make them, written element by element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")

MR = "1.2.840.10008.5.1.4.1.1.4"


def _dataset(pixels: Any, **elements: Any) -> Any:
    """Return an image on the plane z = 0 with pixels of 1 mm; elements of None are left out."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    d = Dataset()
    d.file_meta = FileMetaDataset()
    d.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    d.SOPClassUID, d.SOPInstanceUID, d.Modality = MR, generate_uid(), "MR"
    d.StudyInstanceUID, d.SeriesInstanceUID, d.FrameOfReferenceUID = "1.2.9", "1.2.8", "1.2.7"
    d.SamplesPerPixel, d.PhotometricInterpretation = 1, "MONOCHROME2"
    d.Rows, d.Columns = pixels.shape[-2:]
    d.ImagePositionPatient, d.PixelSpacing = [0, 0, 0], [1, 1]
    d.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    if pixels.ndim > 2:
        d.NumberOfFrames = len(pixels)
    d.BitsAllocated = 8 * pixels.itemsize
    if pixels.dtype.kind == "f":
        keyword = {4: "FloatPixelData", 8: "DoubleFloatPixelData"}[pixels.itemsize]
        setattr(d, keyword, pixels.tobytes())
    else:
        d.BitsStored, d.PixelRepresentation = d.BitsAllocated, int(pixels.dtype.kind == "i")
        d.HighBit = d.BitsStored - 1
        d.PixelData = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    for keyword, value in elements.items():
        setattr(d, keyword, value)
        if value is None:
            delattr(d, keyword)
    return d


def _item(**elements: Any) -> Any:
    out = pydicom.dataset.Dataset()
    for keyword, value in elements.items():
        setattr(out, keyword, value)
    return out


@pytest.fixture
def write_slice() -> Callable[..., Any]:
    """Return a function that writes one slice at a height, and returns its data set."""

    def write(path: Path, pixels: Any, z: float = 0.0, **elements: Any) -> Any:
        d = _dataset(pixels, **({"ImagePositionPatient": [0, 0, z]} | elements))
        d.save_as(path, enforce_file_format=True)
        return d

    return write


@pytest.fixture
def write_enhanced() -> Callable[..., None]:
    """Return a function that writes a file of many frames, each a height and its groups."""

    def write(
        path: Path, pixels: Any, frames: Sequence[tuple[float, dict[str, dict[str, Any]]]],
        shared: dict[str, dict[str, Any]] | None = None, **elements: Any,
    ) -> None:  # fmt: skip
        groups = [
            _item(
                PlanePositionSequence=[_item(ImagePositionPatient=[0, 0, z])],
                **{name: [_item(**values)] for name, values in own.items()},
            )
            for z, own in frames
        ]
        common = _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[_item(PixelSpacing=[1, 1], SpacingBetweenSlices=3)],
            **{name: [_item(**values)] for name, values in (shared or {}).items()},
        )
        gone = dict.fromkeys(("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
        d = _dataset(
            pixels, PerFrameFunctionalGroupsSequence=groups,
            SharedFunctionalGroupsSequence=[common],
            **({"SOPClassUID": MR + ".1"} | gone | elements),
        )  # fmt: skip
        d.save_as(path, enforce_file_format=True)

    return write


@pytest.fixture
def make_item() -> Callable[..., Any]:
    """Return a function that makes an item of a sequence."""
    return _item


@pytest.fixture
def make_dataset() -> Callable[..., Any]:
    """Return a function that makes the data set of an image."""
    return _dataset


@pytest.fixture
def pixels() -> Any:
    return np.arange(12, dtype="i2").reshape(3, 4)
