"""nibabel images, to and from.

Arrays are indexed ``(x, y, z, t, c)``; nibabel's affines are RAS. Time, units and vectors of NIfTI
headers are read as `spatial_duck.io.nifti._format` documents.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io.nifti import _format as nifti
from spatial_duck.io.nifti._coordinates import header_coords
from spatial_duck.io.nifti._nibabel import affine_geometry

__all__ = ["from_nibabel", "to_nibabel"]


@from_library("an image of nibabel with an affine", "dataobj")
def from_nibabel(image: Any) -> SpatialArray:
    """Return a nibabel image as a `SpatialArray`, without copying.

    Parameters
    ----------
    image : nibabel.spatialimages.SpatialImage
        Any image: NIfTI, MGH, MINC, Analyze or another.

    Returns
    -------
    SpatialArray
        Dims ``(x, y, z, t, c)``, without those that are missing. Data in memory are shared, an
        uncompressed file is memory-mapped, a compressed one is read. The frame is RAS, or
        unspecified where a NIfTI header has neither sform nor qform.
    """
    data = image.dataobj
    if not backends.is_known(type(data)):
        data = np.asanyarray(data)
    if isinstance(data, np.memmap):
        data = np.asarray(data)
    header = image.header
    if "sform_code" not in (header.keys() if hasattr(header, "keys") else ()):
        return SpatialArray(data, affine_geometry(data.shape, image.affine, header))
    affine = image.affine
    has_forms = int(header["sform_code"]) or int(header["qform_code"])
    if affine is None or (not has_forms and np.array_equal(affine, header.get_base_affine())):
        geometry = nifti.header_geometry(header)
    else:
        geometry = nifti.header_geometry(header, affine=np.asarray(affine, np.float64))
    geometry, axis = nifti.drop_filler_axis(header, geometry)
    if axis is not None:
        data = data.squeeze(axis)
    colors = len(data.dtype.names or ())
    if colors:
        geometry = nifti.add_channel_axis(geometry, colors)
        data = np.ascontiguousarray(data)[..., None].view(data.dtype[0])
    coords = header_coords(header, geometry, axis, data.dtype, colors)
    attrs = nifti.header_attrs(header)
    return SpatialArray(data, geometry, attrs={"nifti": attrs} if attrs else {}, coords=coords)


@names_lost_coords("nibabel's image", from_nibabel)
def to_nibabel(
    image: SpatialArray, *, version: int = 1, frame: str | None = None, mapped: bool = False
) -> Any:
    """Return an image as a nibabel NIfTI image that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        Any image; lazy data are computed. bool is copied to uint8 and float16 to float32.
    version : {1, 2}, optional
        Version of NIfTI.
    frame : str, optional
        The frame, if the image has none.
    mapped : bool, optional
        Whether voxels that are memory-mapped from a file stay so. By default they are read, since
        saving the image to that same file with nibabel would truncate it under its own voxels and
        crash the process.

    Returns
    -------
    nibabel.Nifti1Image or nibabel.Nifti2Image

    Raises
    ------
    GeometryLossError, FrameError, FormatError
        If NIfTI cannot hold it.
    """
    image = as_image(image, "to_nibabel", on_host=True)
    header, data, affine, _ = nifti.make_header(image, version=version, frame=frame)
    import nibabel

    kind = nibabel.Nifti2Image if version == 2 else nibabel.Nifti1Image
    dtype = np.dtype(header.get_data_dtype())
    array = np.asarray(data)
    if backends.is_mapped(array) and not mapped:
        array = np.array(array)
    if dtype.names:
        array = np.ascontiguousarray(array).view(dtype)[..., 0]
    elif array.dtype.newbyteorder("=") != dtype.newbyteorder("="):
        array = array.astype(dtype)
    array = array.transpose().reshape(header.get_data_shape(), order="F")
    out = kind(array, affine, header, dtype=dtype)
    if affine is not None:
        out.header["sform_code"], out.header["qform_code"] = (
            header["sform_code"], header["qform_code"],
        )  # fmt: skip
    return out
