"""ITK's filters, which take and give images in their place: ``spatial_duck.itk.<filter>(image)``.

Every function of the installed package ``itk`` is here under its own name, with its own
documentation, parameters and completion. An image goes in with its geometry, and what comes out
lies where ITK says, in the frame, unit and axis order of the first image::

    from spatial_duck import itk

    smooth = itk.smoothing_recursive_gaussian_image_filter(image, sigma=2.0)  # 2 mm
    lazy = itk.median_image_filter(dask_image, radius=1, halo=1, halo_unit="voxel")

Axes of time and channels are run frame by frame. ``halo`` runs a filter block by block, lazily
where the image is lazy; without it a lazy image is computed, up to ``config(max_read_bytes=...)``.
`hook_itk` makes ``itk.<filter>`` itself do the same.
"""

from __future__ import annotations

import inspect
from typing import Any

from spatial_duck._optional import require
from spatial_duck.interop._filters import proxy
from spatial_duck.interop._itk import LIBRARY

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    function = getattr(require("itk", "Filtering with ITK"), name, None)
    if not inspect.isfunction(function):
        raise AttributeError(
            f"spatial_duck.itk holds the functions of itk, and {name!r} is none; what else is in "
            "itk is found there, and takes the images of spatial_duck.to_itk(image)"
        )
    made = globals()[name] = proxy(LIBRARY, function)
    return made


def __dir__() -> list[str]:
    # Whether a name is a function is known when its module is loaded, and ITK has hundreds.
    return sorted([n for n in dir(require("itk", "Filtering with ITK")) if n.endswith("_filter")])
