"""Every format through one suite: in its place or refused, whole or not at all."""

from __future__ import annotations

from pathlib import Path

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


class TestOmeZarrZip(FormatConformance):
    suffix = ".ozx"


#: Formats that write and have no row, and why.
_NO_ROW = {"seg.nrrd": "takes masks alone; its own tests are in test_slicer_segmentation.py"}


def test_every_format_that_writes_has_a_row() -> None:
    from spatial_duck.io._format import Format
    from spatial_duck.io._registry import format_to_write, formats

    rows = {c for c in FormatConformance.__subclasses__() if c.__module__ == __name__}
    tried = {
        str(row.options["format"]) if "format" in row.options
        else format_to_write(Path("x" + row.suffix)).name
        for row in rows
    }  # fmt: skip
    written = {f.name for f in formats() if type(f).write is not Format.write}
    assert written - tried == _NO_ROW.keys()
