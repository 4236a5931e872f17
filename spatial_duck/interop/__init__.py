"""Images of other libraries: `from_…`, `to_…` and `asarray`.

Each library is one module with ``from_NAME`` and ``to_NAME``, imported on first use, and one row
in `LIBRARIES`, by which `asarray` recognises its images without importing it. To add a
library, write the module and add its row.
"""

from __future__ import annotations

from typing import Any

from spatial_duck.array._asarray import (
    LIBRARIES,
    Library,
    SpatialImage,
    asarray,
    function_named,
    library_of,
)

__all__ = [
    "LIBRARIES",
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
    return function_named(name)
