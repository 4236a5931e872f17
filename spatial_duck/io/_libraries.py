"""Which library reads a file that no format here does, by its name or first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["library_for"]

#: Ends of names, what the files are, and what opens them.
_BY_SUFFIX: tuple[tuple[tuple[str, ...], str, str], ...] = (
    ((".czi",), "Zeiss CZI", "pylibCZIrw or bioio-czi, then from_xarray"),
    ((".nd2",), "Nikon ND2", "nd2.ND2File(path).to_xarray(), then from_xarray"),
    ((".lif", ".lof"), "Leica LIF", "liffile or readlif"),
    ((".oib", ".oif"), "Olympus OIF", "oiffile"),
    ((".vsi", ".mrxs", ".bif"), "a whole slide", "openslide or bioio-bioformats"),
    ((".ims",), "Imaris", "imaris_ims_file_reader"),
    ((".dv", ".mrc", ".map", ".ccp4"), "MRC", "mrcfile"),
    ((".gii", ".surf.gii"), "a GIFTI surface", "nibabel.load"),
    ((".trk", ".tck", ".trx"), "a tractogram", "nibabel.streamlines.load"),
    ((".pial", ".white", ".inflated", ".annot"), "a FreeSurfer surface", "nibabel.freesurfer"),
    ((".v",), "ECAT", "nibabel.load, then from_nibabel"),
    ((".fdf", ".2dseq", ".fid"), "Varian or Bruker", "brkraw"),
    ((".gipl", ".vtk"), "an image of ITK", "itk.imread, then from_itk"),
    ((".vtu", ".vtp", ".vtr", ".stl", ".ply", ".obj"), "a mesh", "pyvista.read"),
    ((".nc", ".nc4", ".cdf", ".grib", ".grb2"), "a NetCDF or GRIB file",
     "xarray.open_dataset, then from_xarray"),
    ((".jp2", ".j2k", ".vrt", ".asc", ".dem", ".ecw", ".sid"), "a raster",
     "rasterio.open, then from_rasterio"),
    ((".mat",), "a MATLAB file", "scipy.io.loadmat, then SpatialArray(array, spacing=...)"),
    ((".npz",), "a NumPy archive", "numpy.load, then SpatialArray(array, spacing=...)"),
    ((".pt", ".pth"), "a PyTorch file", "torch.load(weights_only=True)"),
    ((".zip", ".tar", ".tgz", ".7z"), "an archive", "unpacking it first"),
    ((".mp4", ".avi", ".mov"), "a film", "imageio or PyAV"),
)  # fmt: skip
#: First bytes, what the files are, and what opens them.
_BY_HEAD: tuple[tuple[bytes, str, str], ...] = (
    (b"ZISRAWFILE", "Zeiss CZI", "pylibCZIrw or bioio-czi"),
    (b"\xda\xce\xbe\n", "Nikon ND2", "nd2"),
    (b"CDF", "a NetCDF file", "xarray.open_dataset, then from_xarray"),
    (b"\x00\x00\x00\x0cjP", "JPEG 2000", "rasterio or glymur"),
    (b"MATLAB", "a MATLAB file", "scipy.io.loadmat"),
    (b"# vtk DataFile", "legacy VTK", "pyvista.read, then from_pyvista"),
    (b"PK\x03\x04", "an archive", "unpacking it first"),
    (b"TRACK", "a tractogram", "nibabel.streamlines.load"),
    (b"mrtrix", "MRtrix", "mrconvert to .nii"),
)


def library_for(path: Path) -> str | None:
    """Return a clause on the format of a file and the library that opens it, or None.

    Parameters
    ----------
    path : Path
        The file; of a folder, its name alone is looked at.
    """
    name, head = path.name.lower(), b""
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(64)
    for start, what, library in _BY_HEAD:
        if head.startswith(start):
            return f"it seems to be {what}: open it with {library}"
    for ends, what, library in _BY_SUFFIX:
        if name.endswith(ends):
            return f"it seems to be {what}: open it with {library}"
    return None
