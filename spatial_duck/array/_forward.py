"""Functions of the package as methods of images, so that chains read forwards.

``image.resample(spacing=1).crop(bounds)`` is ``sd.crop(sd.resample(image, spacing=1), bounds)``.
The modules of the table are above this package and imported on first use.
"""

from __future__ import annotations

import inspect
from functools import cache, wraps
from types import MethodType
from typing import Any

from spatial_duck._lazy import load

__all__ = ["METHODS", "Forward"]

#: The module of each function, which takes the image first (`write`: after the path).
METHODS = {
    "augment": "learning",
    "conform": "learning",
    "crop": "resampling._physical",
    "pad_to": "resampling._physical",
    "plot": "viewer",
    "pyramid": "pyramids",
    "reorient": "resampling._physical",
    "resample": "resampling",
    "sample": "resampling._physical",
    "show": "viewer",
    "write": "io",
}


class Forward:
    """A method that is a function of the package, with its signature and documentation."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.__doc__ = f"Same as ``spatial_duck.{name}`` of this image."

    def __get__(self, image: Any, owner: type | None = None) -> Any:
        if image is None:
            return self
        function = getattr(load(f"spatial_duck.{METHODS[self.name]}"), self.name)
        return MethodType(_path_first(function) if self.name == "write" else function, image)


@cache
def _path_first(function: Any) -> Any:
    """Return a function of (image, path) from one of (path, image)."""

    @wraps(function)
    def write(image: Any, path: Any, **options: Any) -> Any:
        return function(path, image, **options)

    signature = inspect.signature(function)
    path, image, *others = signature.parameters.values()
    write.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[image, path, *others]
    )
    return write
