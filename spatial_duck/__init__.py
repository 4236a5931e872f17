"""Arrays that know where they are: a duck array with origin, spacing and direction.

`SpatialArray` holds any array (NumPy, Dask, Zarr, CuPy) and its `Geometry`. NumPy functions go to
the array's own backend, and the geometry is rewritten so that every voxel keeps its place in the
physical world. Each name loads when it is first used, and an image needs nothing beyond NumPy and
the standard library.

Examples
--------
>>> import numpy as np
>>> import spatial_duck as sd
>>> image = sd.SpatialArray(np.zeros((4, 6)), spacing=(2.0, 0.5), origin=(10.0, 20.0))
>>> part = image[1:, ::-1]
>>> part.origin
array([12. , 22.5])
>>> np.flip(part, axis=1).spacing
array([2. , 0.5])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spatial_duck import errors
from spatial_duck._config import config
from spatial_duck.errors import (
    BlockError,
    FormatError,
    FrameError,
    GeometryError,
    GeometryLossError,
    GeometryMismatchError,
    RegistrationError,
    SpatialDuckError,
    TooLargeError,
    UnsafeInputError,
)

if TYPE_CHECKING:
    from spatial_duck import (
        backends,
        interface,
        interop,
        io,
        itk,
        learning,
        measure,
        metrics,
        ndimage,
        segmentation,
        sitk,
        testing,
        viewer,
    )
    from spatial_duck.array import SpatialArray
    from spatial_duck.blocks import map_blocks, reduce_blocks, sliding_window
    from spatial_duck.geometry import Geometry, World
    from spatial_duck.interface import SpatialImage
    from spatial_duck.interop import (
        asarray,
        from_ants,
        from_highdicom,
        from_itk,
        from_monai,
        from_multiscale_spatial_image,
        from_napari,
        from_ngff_image,
        from_ngff_multiscales,
        from_nibabel,
        from_pyvista,
        from_rasterio,
        from_rioxarray,
        from_simpleitk,
        from_slicer,
        from_spatial_image,
        from_torchio,
        from_xarray,
        hook_itk,
        through_itk,
        to_ants,
        to_highdicom,
        to_itk,
        to_monai,
        to_multiscale_spatial_image,
        to_napari,
        to_ngff_image,
        to_ngff_multiscales,
        to_nibabel,
        to_pyradiomics,
        to_pyvista,
        to_rasterio,
        to_rioxarray,
        to_simpleitk,
        to_slicer,
        to_spatial_image,
        to_torchio,
        to_xarray,
    )
    from spatial_duck.io import read, read_pyramid, write
    from spatial_duck.learning import (
        Conformed,
        augment,
        conform,
        patches,
        random_affine,
        random_elastic,
        restore,
    )
    from spatial_duck.pyramids import Pyramid, pyramid
    from spatial_duck.registration import Registration, register, register_landmarks
    from spatial_duck.resampling import crop, pad_to, reorient, resample, sample
    from spatial_duck.transforms import Affine, Composite, DisplacementField, Transform
    from spatial_duck.viewer import plot, show

__version__ = "0.1.0"

__all__ = [
    "Affine",
    "BlockError",
    "Composite",
    "Conformed",
    "DisplacementField",
    "FormatError",
    "FrameError",
    "Geometry",
    "GeometryError",
    "GeometryLossError",
    "GeometryMismatchError",
    "Pyramid",
    "Registration",
    "RegistrationError",
    "SpatialArray",
    "SpatialDuckError",
    "SpatialImage",
    "TooLargeError",
    "Transform",
    "UnsafeInputError",
    "World",
    "asarray",
    "augment",
    "backends",
    "config",
    "conform",
    "crop",
    "errors",
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
    "interface",
    "interop",
    "io",
    "itk",
    "learning",
    "map_blocks",
    "measure",
    "metrics",
    "ndimage",
    "pad_to",
    "patches",
    "plot",
    "pyramid",
    "random_affine",
    "random_elastic",
    "read",
    "read_pyramid",
    "reduce_blocks",
    "register",
    "register_landmarks",
    "reorient",
    "resample",
    "restore",
    "sample",
    "segmentation",
    "show",
    "sitk",
    "sliding_window",
    "testing",
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
    "viewer",
    "write",
]

#: What loads on first use: the public name, and the module that holds it (or is it).
_LAZY = {
    "SpatialArray": "array",
    "Geometry": "geometry",
    "World": "geometry",
    "backends": "backends",
    "testing": "testing",
    "interface": "interface",
    "ndimage": "ndimage",
    "learning": "learning",
    "measure": "measure",
    "interop": "interop",
    "io": "io",
    "viewer": "viewer",
    "plot": "viewer",
    "show": "viewer",
    "metrics": "metrics",
    "segmentation": "segmentation",
    "register": "registration",
    "register_landmarks": "registration",
    "Registration": "registration",
    "resample": "resampling",
    "reorient": "resampling",
    "crop": "resampling",
    "pad_to": "resampling",
    "sample": "resampling",
    "pyramid": "pyramids",
    "Pyramid": "pyramids",
    "map_blocks": "blocks",
    "reduce_blocks": "blocks",
    "sliding_window": "blocks",
    "conform": "learning",
    "patches": "learning",
    "restore": "learning",
    "Conformed": "learning",
    "augment": "learning",
    "random_affine": "learning",
    "random_elastic": "learning",
    "Affine": "transforms",
    "Composite": "transforms",
    "DisplacementField": "transforms",
    "Transform": "transforms",
    "read": "io",
    "read_pyramid": "io",
    "write": "io",
    "SpatialImage": "interface",
    "asarray": "interop",
    "itk": "itk",
    "sitk": "sitk",
    "hook_itk": "interop",
    "to_torchio": "interop",
    "to_spatial_image": "interop",
    "to_slicer": "interop",
    "to_rioxarray": "interop",
    "to_rasterio": "interop",
    "to_pyvista": "interop",
    "to_pyradiomics": "interop",
    "to_ngff_image": "interop",
    "to_ngff_multiscales": "interop",
    "to_napari": "interop",
    "to_multiscale_spatial_image": "interop",
    "to_monai": "interop",
    "to_itk": "interop",
    "to_highdicom": "interop",
    "to_ants": "interop",
    "through_itk": "interop",
    "from_torchio": "interop",
    "from_spatial_image": "interop",
    "from_slicer": "interop",
    "from_rioxarray": "interop",
    "from_rasterio": "interop",
    "from_pyvista": "interop",
    "from_ngff_multiscales": "interop",
    "from_ngff_image": "interop",
    "from_napari": "interop",
    "from_multiscale_spatial_image": "interop",
    "from_monai": "interop",
    "from_itk": "interop",
    "from_highdicom": "interop",
    "from_ants": "interop",
    "from_nibabel": "interop",
    "to_nibabel": "interop",
    "from_simpleitk": "interop",
    "to_simpleitk": "interop",
    "from_xarray": "interop",
    "to_xarray": "interop",
}


def __getattr__(name: str) -> Any:
    module = _LAZY.get(name)
    if module is None:
        from spatial_duck._advice import instead_of

        raise AttributeError(
            f"module 'spatial_duck' has no attribute {name!r}" + instead_of(name, __all__)
        )
    from spatial_duck._lazy import load

    loaded = load(f"spatial_duck.{module}")
    value = loaded if name == module else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
