"""Convert a folder of DICOM files to a chunked OME-Zarr pyramid, with every slice in position.

Run it with ``python examples/05_dicom_to_ome_zarr.py [FOLDER [PICTURE.png]]``; it needs the extras
``io`` and ``zarr``. Without a folder it uses a CT with a tilted gantry from ``SPATIAL_DUCK_DATA``
if that is set, otherwise a phantom that it writes.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pydicom

import spatial_duck as sd


def folder_of_slices(made: str) -> Path:
    if len(sys.argv) > 1:
        return Path(sys.argv[1])
    real = Path(os.environ.get("SPATIAL_DUCK_DATA", ""), "dicom", "ct_gantry_tilt")
    return real if real.is_dir() else phantom(Path(made) / "ct")


def phantom(folder: Path) -> Path:
    """Write a hollow ball of bone as the slices of a CT whose gantry is tilted by 14°."""
    shape, spacing = (12, 128, 128), np.array([5.0, 1.0, 1.0])
    direction = np.array([[0, 0, 1], [0, 0.970296, 0], [1, -0.241922, 0]])
    grid = sd.Geometry(shape, spacing, direction=direction, world=("x", "y", "z"), frame="LPS",
                       unit="mm")  # fmt: skip
    points = grid.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    radius = np.linalg.norm(points - grid.center, axis=-1)
    values = np.select([radius < 20, radius < 26], [40, 1000], -1000).astype("i2")
    sd.write(folder, sd.SpatialArray(values, grid, attrs={"dicom": {"Modality": "CT"}}),
             format="dicom")  # fmt: skip
    return folder


def convert(folder: Path, target: Path) -> None:
    scan = sd.read(folder, lazy=True)  # a block for each slice, none read yet
    print(f"{scan}\n")

    # OME-Zarr 0.5 cannot hold an oblique direction. Other readers will see the image unrotated,
    # with its spacing; this library reads the exact geometry back.
    sd.write(target, scan, chunks={"z": 4, "y": 128, "x": 128}, levels=3, oblique="keep")
    print("level  voxels           chunks        spacing in mm")
    for level in range(sd.io.info(target).levels):
        view = sd.read(target, level=level)
        voxels = "×".join(map(str, view.shape))
        chunks = "×".join(str(c[0]) for c in view.data.chunks)
        print(f"{level:5}  {voxels:15}  {chunks:12}  {np.round(view.spacing, 4)}")

    whole = sd.read(target)  # a view: nothing is read
    print("\nslice                    ImagePositionPatient         off by")
    worst = 0.0
    for file in sorted(folder.rglob("*")):
        if file.is_dir() or sd.io.sniff(file) != "dicom":
            continue
        position = np.array(pydicom.dcmread(file).ImagePositionPatient, float)
        index = np.round(whole.physical_to_index(position))
        off = float(np.linalg.norm(whole.index_to_physical(index) - position))
        worst = max(worst, off)
        print(f"{file.name:24} {position!s:28} {off:.1e} mm")
    same = np.array_equal(whole.compute().data, scan.compute().data)
    print(f"values are those of the DICOM files: {same}")
    print(f"largest difference is below 0.01 mm: {worst < 0.01}")
    if len(sys.argv) > 2:
        whole.plot().savefig(sys.argv[2])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        convert(folder_of_slices(name), Path(name) / "scan.ome.zarr")


if __name__ == "__main__":
    main()
