"""SimpleITK's filters, which take and give images in their place: ``spatial_duck.sitk.<Filter>``.

Every function of the installed package ``SimpleITK`` is here under its own name, with its own
documentation, parameters and completion. An image goes in with its geometry, and what comes out
lies where SimpleITK says, in the frame, unit and axis order of the first image::

    from spatial_duck import sitk

    smooth = sitk.SmoothingRecursiveGaussian(image, 2.0)  # 2 mm
    mask = sitk.OtsuThreshold(image, 0, 1)

Parameters are SimpleITK's: sizes, radii and indices are in the order x, y, z. Axes of time and
channels are run frame by frame. ``halo`` runs a filter block by block, lazily where the image is
lazy; without it a lazy image is computed, up to ``config(max_read_bytes=...)``.
"""

from __future__ import annotations

import inspect
from typing import Any

from spatial_duck._optional import require
from spatial_duck.interop._filters import proxy
from spatial_duck.interop._simpleitk import LIBRARY

__all__: list[str] = []


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    function = getattr(require("SimpleITK", "Filtering with SimpleITK"), name, None)
    if not inspect.isfunction(function):
        raise AttributeError(
            f"spatial_duck.sitk holds the functions of SimpleITK, and {name!r} is none; what else "
            "is in SimpleITK is found there, and takes the images of "
            "spatial_duck.to_simpleitk(image)"
        )
    made = globals()[name] = proxy(LIBRARY, function)
    return made


def __dir__() -> list[str]:
    sitk = require("SimpleITK", "Filtering with SimpleITK")
    names = set(dir(sitk))
    filters = [n for n in names if names & {f"{n}ImageFilter", f"{n}Filter"}]
    return sorted([n for n in filters if inspect.isfunction(getattr(sitk, n))])
