"""ITK's filters on `SpatialArray` images: ``spatial_duck.itk.<filter>(image)``.

Every function of the installed package ``itk`` is available under its own name, with its own
documentation, parameters and completion. The filter gets the image with its geometry, and the
result lies where ITK puts it, in the frame, unit and axis order of the first image::

    from spatial_duck import itk

    smooth = itk.smoothing_recursive_gaussian_image_filter(image, sigma=2.0)  # 2 mm
    lazy = itk.median_image_filter(dask_image, radius=1, halo=1, halo_unit="voxel")

A filter runs separately at each index along axes of time and channels. ``halo`` runs it block by
block, lazily where the image is lazy; without it a lazy image is computed, up to
``config(max_read_bytes=...)``. `hook_itk` makes ``itk.<filter>`` itself do the same.
"""

from __future__ import annotations

import inspect
from typing import Any

from spatial_duck._optional import require
from spatial_duck.interop._filters import wrap_function
from spatial_duck.interop._itk import LIBRARY

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    function = getattr(require("itk", "Filtering with ITK"), name, None)
    if not inspect.isfunction(function):
        raise AttributeError(
            f"spatial_duck.itk holds the functions of itk, and {name!r} is not one of them: "
            "use itk itself, with spatial_duck.to_itk(image)"
        )
    wrapped = globals()[name] = wrap_function(LIBRARY, function)
    return wrapped


def __dir__() -> list[str]:
    # Telling functions from classes would load ITK's hundreds of modules.
    return sorted([n for n in dir(require("itk", "Filtering with ITK")) if n.endswith("_filter")])
