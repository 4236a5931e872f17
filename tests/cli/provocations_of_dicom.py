"""Messages of DICOM's reader and writer, provoked; see `provocations`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd
from tests.cli.provocations import provocation, volume

if TYPE_CHECKING:
    from pathlib import Path


def _series(folder: Path, name: str = "d", kind: str = "u2", **changes: Any) -> list[Path]:
    sd.write(folder / name, volume(kind, **changes), format="dicom")
    return sorted((folder / name).iterdir())


def _change(path: Path, **elements: Any) -> None:
    import pydicom

    d = pydicom.dcmread(path)
    for keyword, value in elements.items():
        if value is None:
            d.pop(keyword, None)
        elif keyword.endswith("LookupTableDescriptor"):  # its type depends on other elements
            d.add_new(keyword, "US", value)
        else:
            setattr(d, keyword, value)
    d.save_as(path)


@provocation
def two_series(folder: Path) -> str:
    _series(folder / "", "d")
    sd.write(folder / "d" / "other", volume("u2"), format="dicom")
    return "info {0}/d"


@provocation
def mixed_orientations(folder: Path) -> str:
    _change(_series(folder)[0], ImageOrientationPatient=[0, 1, 0, 0, 0, 1])
    return "info {0}/d"


@provocation
def uneven_slices(folder: Path) -> str:
    _change(_series(folder)[2], ImagePositionPatient=[3, 4, 9.9])
    return "info {0}/d"


@provocation
def rounded_slices(folder: Path) -> str:
    for k, path in enumerate(_series(folder)):
        _change(path, ImagePositionPatient=[3, 4, 5 + 2 * k + 0.04 * (k % 2)])
    return "info {0}/d"


@provocation
def slices_beside_the_line(folder: Path) -> str:
    for k, path in enumerate(_series(folder)):
        _change(path, ImagePositionPatient=[3 + 3 * (k % 2), 4, 5 + 2 * k])
    return "info {0}/d --irregular resample"


@provocation
def duplicate_slices(folder: Path) -> str:
    _change(_series(folder)[1], ImagePositionPatient=[3, 4, 5])
    return "info {0}/d"


@provocation
def slices_without_a_place(folder: Path) -> str:
    _change(_series(folder)[1], ImagePositionPatient=None)
    return "info {0}/d"


@provocation
def a_palette_that_is_not_there(folder: Path) -> str:
    for path in _series(folder):
        _change(path, PhotometricInterpretation="PALETTE COLOR")
    return "info {0}/d"


@provocation
def a_palette_of_two_numbers(folder: Path) -> str:
    for path in _series(folder):
        _change(path, PhotometricInterpretation="PALETTE COLOR",
                RedPaletteColorLookupTableDescriptor=[1, 0])  # fmt: skip
    return "info {0}/d"


@provocation
def a_slope_of_0(folder: Path) -> str:
    for path in _series(folder):
        _change(path, RescaleSlope=0, RescaleIntercept=0)
    return "info {0}/d"


@provocation
def several_mappings(folder: Path) -> str:
    import pydicom

    item = pydicom.Dataset()
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 1.0, 0.0
    shared = pydicom.Dataset()
    shared.RealWorldValueMappingSequence = pydicom.Sequence([item, item])
    for path in _series(folder):
        _change(path, SharedFunctionalGroupsSequence=pydicom.Sequence([shared]),
                SOPClassUID="1.2.840.10008.5.1.4.1.1.30", RescaleSlope=None,
                RescaleIntercept=None)  # fmt: skip
    return "info {0}/d"


@provocation
def a_series_in_one_file(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume("u2"))
    return "convert {0}/a.nrrd {0}/a.dcm"


@provocation
def a_source_of_no_segmentation(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume("u2"))
    return "convert {0}/a.nrrd {0}/a --output-format dicom --option source=x"


@provocation
def labels_that_are_not_numbered(folder: Path) -> str:
    sd.write(folder / "a.nrrd", volume("u2") * 1000)
    _series(folder)
    return "convert {0}/a.nrrd {0}/a.dcm --option kind=seg --option source={0}/d"


@provocation
def masks_as_a_map_of_labels(folder: Path) -> str:
    masks = np.ones((2, 6, 8, 10), "u1")
    g = volume().geometry
    image = sd.SpatialArray(
        masks, dims=("c", "z", "y", "x"), spacing=g.spacing, origin=g.origin, world=g.world,
        direction=g.direction,
    )  # fmt: skip
    sd.write(folder / "a.h5", image)
    _series(folder)
    return "convert {0}/a.h5 {0}/a.dcm --option kind=labelmap --option source={0}/d"


@provocation
def a_segmentation_of_nothing(folder: Path) -> str:
    sd.write(folder / "a.nrrd", (volume("u1") > 40).astype("u1"))
    return "convert {0}/a.nrrd {0}/a.dcm --option kind=seg"
