"""Files: `read`, `write`, `info` and `sniff`.

Each format is one module with two functions::

    open_source(path, **options) -> Source
    write_image(path, image, *, overwrite, progress, **options)

and one row in `FORMATS`. To add a format, write the module and add its row; a module is imported
when a file of its format comes. Errors are `FormatError` for a file that does not hold what its
format says, `UnsafeInputError` for one that asks for something unsafe, and `GeometryLossError`,
before anything is written, for an image that the format cannot hold.

==========  =======================  ==========================  ================================
format      suffixes                 dims that are read          voxels
==========  =======================  ==========================  ================================
nifti       .nii .nii.gz             x, y, z, t, c (as nibabel)  .nii mapped; .nii.gz in memory
nrrd        .nrrd .nhdr              t, z, y, x                  raw mapped; others in memory
metaimage   .mha .mhd                t, z, y, x, c (as ITK)      raw mapped; compressed in memory
ome-zarr    .ome.zarr .zarr          t, c, z, y, x               a lazy view of the Zarr array
dicom       .dcm, a folder           t, c, z, y, x, c            in memory; lazy=True by slice
tiff        .tif .tiff               t, c, z, y, x               mapped, or a lazy view of tiles
minc        .mnc (read)              the file's, as z, y, x      in memory
hdf5        .h5 .hdf5                any                         contiguous mapped; lazy=True
npy         .npy with .npy.json      any                         mapped
vti         .vti                     z, y, x, c                  raw mapped; others in memory
picture     .png (others read)       y, x, c                     in memory
==========  =======================  ==========================  ================================
"""

from __future__ import annotations

from spatial_duck.io._api import FORMATS, Format, Info, info, read, sniff, write

__all__ = ["FORMATS", "Format", "Info", "info", "read", "sniff", "write"]
