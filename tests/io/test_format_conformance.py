"""Every format through one suite: in its place or refused, whole or not at all."""

from __future__ import annotations

import pytest

from spatial_duck.testing import FormatConformance

for _package in ("nibabel", "nrrd", "zarr", "dask", "tifffile", "h5py", "imageio", "hypothesis"):
    pytest.importorskip(_package, reason=f"needs {_package}")

pytestmark = pytest.mark.slow


class TestNifti(FormatConformance):
    suffix, tolerance = ".nii", 1e-3


class TestNiftiPacked(FormatConformance):
    suffix, options = ".nii.gz", {"version": 2}


class TestNrrd(FormatConformance):
    suffix = ".nrrd"


class TestNrrdInTwoFiles(FormatConformance):
    suffix, options = ".nhdr", {"compress": True}


class TestMetaImage(FormatConformance):
    suffix = ".mha"


class TestMetaImageInTwoFiles(FormatConformance):
    suffix = ".mhd"


class TestOmeZarr(FormatConformance):
    suffix = ".ome.zarr"


class TestOmeZarrKept(FormatConformance):
    suffix, options = ".zarr", {"oblique": "keep", "version": "0.4"}


class TestTiff(FormatConformance):
    suffix, options = ".tif", {"oblique": "keep"}


class TestHdf5(FormatConformance):
    suffix, keeps_attrs = ".h5", True


class TestNpy(FormatConformance):
    suffix, keeps_attrs = ".npy", True


class TestVti(FormatConformance):
    suffix = ".vti"


class TestPicture(FormatConformance):
    suffix, shape = ".png", (4, 5)


class TestDicom(FormatConformance):
    suffix, options = "", {"format": "dicom"}
    # A derived series is a series of its own.
    tolerance, fresh_attrs = 1e-4, ("SeriesInstanceUID",)
