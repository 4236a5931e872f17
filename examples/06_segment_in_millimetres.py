"""Segment a scan with scikit-image in millimetres, and resample the mask to the DICOM slices.

Run it with ``python examples/06_segment_in_millimetres.py [FOLDER [PICTURE.png]]``; it needs the
extras ``io`` and ``resample``, and scikit-image. Without a folder it writes one: an MR of a
head from ``SPATIAL_DUCK_DATA`` if that is set, otherwise a phantom.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pydicom
from skimage import filters, measure, morphology

import spatial_duck as sd
from spatial_duck import measure as physical


def folder_of_slices(made: str) -> Path:
    """Return the folder of DICOM slices of the command line, or one that is written here."""
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    real = Path(os.environ.get("SPATIAL_DUCK_DATA", ""), "nrrd", "brain1_image.nrrd")
    head = sd.read(real) if real.is_file() else phantom()
    sd.write(Path(made) / "scan", head.replace(attrs={"dicom": {"Modality": "MR"}}), format="dicom")
    return Path(made) / "scan"


def phantom() -> sd.SpatialArray:
    """Return a bright ball on noise, in slices that are shifted as by a tilted gantry."""
    shape, spacing = (16, 128, 128), np.array([5.0, 1.0, 1.0])
    direction = np.array([[0, 0, 1], [0, 0.970296, 0], [1, -0.241922, 0]])
    grid = sd.Geometry(shape, spacing, direction=direction, world=("x", "y", "z"), frame="LPS",
                       unit="mm")  # fmt: skip
    points = grid.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    inside = np.linalg.norm(points - grid.center, axis=-1) < 26
    noise = np.random.default_rng(0).normal(100, 30, shape)
    return sd.SpatialArray((noise + 900 * inside).clip(0).astype("i2"), grid)


def segment(image: sd.SpatialArray) -> sd.SpatialArray:
    """Find the head: smooth by 1 mm, take Otsu's threshold, keep the largest component."""
    # scikit-image takes arrays, and lengths in voxels: divide by the spacing.
    smooth = filters.gaussian(np.asarray(image), sigma=1.0 / image.spacing, preserve_range=True)
    bright = smooth > filters.threshold_otsu(smooth)
    labels = measure.label(morphology.opening(bright, morphology.ball(2)))
    sizes = np.bincount(labels.ravel())
    return image.replace(data=labels == 1 + np.argmax(sizes[1:]))


def main() -> None:
    # scikit-image 0.26 unpacks its tables in a way that NumPy 2.5 warns of.
    warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
    with tempfile.TemporaryDirectory() as folder:
        scan = sd.read(folder_of_slices(folder), lazy=False)
    print(scan)
    print()

    # Resample to voxels of 2 mm along the patient's axes, which cover the scan.
    low, high = scan.bounds  # x, y, z in mm
    shape = np.ceil((high - low) / 2).astype(int)[::-1]
    grid = sd.Geometry(shape, spacing=(2, 2, 2), origin=low + 1, world=scan.world)
    even = sd.resample(scan, to=grid)
    mask = segment(even)
    print(f"segmented on {'×'.join(map(str, even.shape))} voxels of 2 mm")

    # Resample the mask to the slices of the scanner.
    back = sd.resample(mask, to=scan, interpolation="nearest").astype("u1")
    assert back.geometry == scan.geometry

    print("\n                 volume in mm³  centroid x, y, z (LPS, mm)")
    table = physical.regionprops(back)
    where = np.round(table["centroid"][0], 1)
    print(f"in DICOM's frame {table['volume'][0]:13.0f}  {where}")
    fine = physical.regionprops(mask.astype("u1"))
    print(f"where segmented  {fine['volume'][0]:13.0f}  {np.round(fine['centroid'][0], 1)}")

    with tempfile.TemporaryDirectory() as folder:
        sd.write(Path(folder) / "mask", back.replace(attrs=scan.attrs), format="dicom")
        again = sd.read(Path(folder) / "mask")
        print("\nslice      ImagePositionPatient of the mask  off the scan's slice by")
        worst = 0.0
        files = sorted((Path(folder) / "mask").iterdir())
        for number, file in enumerate(files):
            header = pydicom.dcmread(file)
            position = np.array(header.ImagePositionPatient, float)
            off = float(np.linalg.norm(position - scan.index_to_physical((number, 0, 0))))
            worst = max(worst, off)
            if number in (0, len(files) - 1):
                print(f"{file.name}  {np.round(position, 3)!s:32}  {off:.1e} mm")
        assert np.array_equal(again.data, back.data)
        assert header.FrameOfReferenceUID == scan.attrs["dicom"]["FrameOfReferenceUID"]
    print(f"the mask lies on the scan's slices, in its frame of reference: {worst < 0.01}")
    if len(sys.argv) > 2:
        scan.plot(overlay=back).savefig(sys.argv[2])


if __name__ == "__main__":
    main()
