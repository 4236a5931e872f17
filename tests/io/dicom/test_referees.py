"""Every file that pydicom ships is read as pydicom reads it, or refused in words of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import SpatialDuckError

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
FILES = sorted(p.relative_to(SHIPPED).as_posix() for p in SHIPPED.rglob("*.dcm"))
#: Files with one frame that describe three, and one whose NumberOfFrames is no number.
CONTRADICTORY = ("liver_1frame.dcm", "liver_expb_1frame.dcm", "badVR.dcm")


def pydicoms_values(path: Path) -> Any:
    """Return the values of all pixels of a file, by pydicom alone."""
    from pydicom.pixels import apply_color_lut, apply_modality_lut, pixel_array

    d = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in d.file_meta:
        implicit, little = d.original_encoding
        explicit = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        d.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else explicit
    values = pixel_array(d)
    if d.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(values, d)
    return apply_modality_lut(values * float(d.get("DoseGridScaling", 1)), d)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::pydicom", "ignore:::PIL")
@pytest.mark.parametrize("name", FILES)
def test_values_are_pydicoms(name: str) -> None:
    path = SHIPPED / name
    try:
        ours = np.asarray(sd.read(path, format="dicom"))
    except SpatialDuckError:
        d = pydicom.dcmread(path, force=True)
        if "PixelData" in d and name not in CONTRADICTORY:
            with pytest.raises(Exception):  # noqa: B017 (each decoder raises its own)
                pydicoms_values(path)
        return
    theirs = pydicoms_values(path)
    assert ours.size == theirs.size
    assert np.array_equal(ours.ravel(), theirs.ravel()) or np.array_equal(
        ours[::-1].ravel(), theirs.ravel()
    )
