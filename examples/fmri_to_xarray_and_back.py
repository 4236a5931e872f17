"""A 4-D fMRI from NIfTI to xarray, processed there by dimension names, and back without loss.

Run it with ``python examples/fmri_to_xarray_and_back.py [PICTURE.png]``; it needs nibabel and
xarray. The image is oblique, which xarray's coordinates cannot express. It uses a file from
nibabel's own tests.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nibabel
import numpy as np
import xarray as xr

import spatial_duck as sd

FILE = Path(nibabel.__file__).parent / "tests" / "data" / "example4d.nii.gz"


def main() -> None:
    scan = sd.read(FILE)
    print(scan, "\n")

    # The image itself is the data of the DataArray: xarray's dimensions, this library's geometry.
    array = sd.to_xarray(scan)
    mean = array.mean("t")
    change = (array - mean) / mean.where(mean > 0)
    later = array.isel(t=slice(1, None), z=slice(4, 20, 2))
    print("dims        ", array.dims)
    typical = float(abs(change).where(mean > 200).median())
    print(f"typical change over time: {100 * typical:.1f} %")

    part = sd.from_xarray(later)
    print("\nAfter isel() by xarray, each remaining voxel has its position:")
    print("                 in the file          in the part")
    index = np.array([64, 48, 12, 1])
    world = scan.index_to_physical(index)
    inside = part.physical_to_index(world)
    print(f"voxel            {index!s:20} {np.round(inside, 9)}")
    print(f"value            {np.asarray(scan)[tuple(index)]!s:20} "
          f"{np.asarray(part)[tuple(np.round(inside).astype(int))]}")  # fmt: skip
    print(f"world            {np.round(world, 3)}")

    # Or a NumPy array with the geometry in attributes, to write netCDF and Zarr by xarray.
    plain = sd.to_xarray(scan, wrap=False)
    assert isinstance(plain, xr.DataArray)
    assert isinstance(plain.data, np.ndarray)

    with tempfile.TemporaryDirectory() as folder:
        sd.write(Path(folder) / "back.nii.gz", sd.from_xarray(plain))
        first, second = nibabel.load(FILE), nibabel.load(Path(folder) / "back.nii.gz")
        print("\nback in NIfTI, read by nibabel   same")
        for name, one, other in (
            ("values", first.get_fdata(), second.get_fdata()),
            ("affine (mm)", first.affine, second.affine),
            ("zooms (mm, s)", first.header.get_zooms(), second.header.get_zooms()),
            ("description", first.header["descrip"], second.header["descrip"]),
        ):
            same = np.array_equal(one, other) or np.allclose(one, other, 0, 1e-5)
            print(f"{name:32} {same}")
            assert same
    if len(sys.argv) > 1:
        sd.from_xarray(mean).plot().savefig(sys.argv[1])


if __name__ == "__main__":
    main()
