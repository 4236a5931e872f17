"""Images of other libraries: `from_…`, `to_…` and `asarray`.

Each library is one module with ``from_NAME`` and ``to_NAME``, imported on first use, and one row
in `LIBRARIES`, by which `asarray` recognises its images without importing it. To add a
library, write the module and add its row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck.array._asarray import (
    LIBRARIES,
    Library,
    SpatialImage,
    asarray,
    find_function,
    library_of,
)

if TYPE_CHECKING:
    from spatial_duck.interop._ants import from_ants, to_ants
    from spatial_duck.interop._highdicom import from_highdicom, to_highdicom
    from spatial_duck.interop._imageio_plugin import ImageioPlugin
    from spatial_duck.interop._itk import from_itk, through_itk, to_itk
    from spatial_duck.interop._monai import from_monai, to_monai
    from spatial_duck.interop._napari import from_napari, to_napari
    from spatial_duck.interop._ngff_zarr import (
        from_ngff_image,
        from_ngff_multiscales,
        to_ngff_image,
        to_ngff_multiscales,
    )
    from spatial_duck.interop._nibabel import from_nibabel, to_nibabel
    from spatial_duck.interop._pyradiomics import to_pyradiomics
    from spatial_duck.interop._pyvista import from_pyvista, to_pyvista
    from spatial_duck.interop._rasterio import (
        from_rasterio,
        from_rioxarray,
        to_rasterio,
        to_rioxarray,
    )
    from spatial_duck.interop._simpleitk import from_simpleitk, to_simpleitk
    from spatial_duck.interop._slicer import from_slicer, to_slicer
    from spatial_duck.interop._spatial_image import (
        from_multiscale_spatial_image,
        from_spatial_image,
        to_multiscale_spatial_image,
        to_spatial_image,
    )
    from spatial_duck.interop._torchio import from_torchio, to_torchio
    from spatial_duck.interop._viewers import view
    from spatial_duck.interop._xarray import from_xarray, to_xarray

__all__ = [
    "LIBRARIES",
    "ImageioPlugin",
    "Library",
    "SpatialImage",
    "asarray",
    "from_ants",
    "from_highdicom",
    "from_itk",
    "from_monai",
    "from_multiscale_spatial_image",
    "from_napari",
    "from_ngff_image",
    "from_ngff_multiscales",
    "from_nibabel",
    "from_pyvista",
    "from_rasterio",
    "from_rioxarray",
    "from_simpleitk",
    "from_slicer",
    "from_spatial_image",
    "from_torchio",
    "from_xarray",
    "hook_itk",
    "library_of",
    "through_itk",
    "to_ants",
    "to_highdicom",
    "to_itk",
    "to_monai",
    "to_multiscale_spatial_image",
    "to_napari",
    "to_ngff_image",
    "to_ngff_multiscales",
    "to_nibabel",
    "to_pyradiomics",
    "to_pyvista",
    "to_rasterio",
    "to_rioxarray",
    "to_simpleitk",
    "to_slicer",
    "to_spatial_image",
    "to_torchio",
    "to_xarray",
    "view",
]


def __getattr__(name: str) -> Any:
    return find_function(name)
