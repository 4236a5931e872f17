"""SimpleITK's filters on `SpatialArray` images: ``spatial_duck.sitk.<Filter>(image)``.

Every function of the installed package ``SimpleITK`` is available under its own name, with its own
documentation, parameters and completion. The filter gets the image with its geometry, and the
result lies where SimpleITK puts it, in the frame, unit and axis order of the first image::

    from spatial_duck import sitk

    smooth = sitk.SmoothingRecursiveGaussian(image, 2.0)  # 2 mm
    mask = sitk.OtsuThreshold(image, 0, 1)

Parameters are SimpleITK's: sizes, radii and indices are in the order x, y, z. A filter runs
separately at each index along axes of time and channels. ``halo`` runs it block by block, lazily
where the image is lazy; without it a lazy image is computed, up to ``config(max_read_bytes=...)``.
"""

from __future__ import annotations

import inspect
from typing import Any

from spatial_duck._optional import require
from spatial_duck.interop._filters import wrap_function
from spatial_duck.interop._simpleitk import LIBRARY

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    function = getattr(require("SimpleITK", "Filtering with SimpleITK"), name, None)
    if not inspect.isfunction(function):
        raise AttributeError(
            f"spatial_duck.sitk holds the functions of SimpleITK, and {name!r} is not one of them: "
            "use SimpleITK itself, with spatial_duck.to_simpleitk(image)"
        )
    wrapped = globals()[name] = wrap_function(LIBRARY, function)
    return wrapped


def __dir__() -> list[str]:
    sitk = require("SimpleITK", "Filtering with SimpleITK")
    names = set(dir(sitk))
    filters = [n for n in names if names & {f"{n}ImageFilter", f"{n}Filter"}]
    return sorted([n for n in filters if inspect.isfunction(getattr(sitk, n))])
