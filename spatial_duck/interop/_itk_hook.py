"""`hook_itk`: ITK's own functions take and return `SpatialArray` images while it is switched on.

The module ``itk`` gets, once and permanently, a class that looks up its attributes by a context
variable. While that is off, as in all threads and tasks that have not switched it on, they are
ITK's own; a function from a hooked ``itk`` looks at the variable each time it is called.
"""

from __future__ import annotations

import functools
import inspect
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from spatial_duck._optional import require
from spatial_duck.interop._filters import run_filter
from spatial_duck.interop._itk import LIBRARY

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hook_itk"]

_on: ContextVar[bool] = ContextVar("spatial_duck_hook_itk", default=False)


class hook_itk:
    """Make ``itk.<filter>(image)`` take images of ours and give images in their place.

    It is in force from the call on, in this thread and task alone; as a context manager it puts
    back what was before. Bare arrays and ITK's own images are treated as ITK treats them. Names
    that were imported from ``itk`` before are ITK's own.

    Parameters
    ----------
    on : bool, optional
        False switches it off.

    Examples
    --------
    ::

        with sd.hook_itk():
            smooth = itk.median_image_filter(image, radius=1)
    """

    def __init__(self, on: bool = True) -> None:
        itk = require("itk", "Filtering with ITK")
        if not getattr(type(itk), "_takes_images", False):
            itk.__class__ = _hook_class(type(itk))
        self._before = _on.get()
        _on.set(bool(on))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _on.set(self._before)


def _hook_class(cls: Any) -> Any:
    """Return a class of modules whose functions take images of ours while the variable is set."""

    def look_up(self: Any, name: str) -> Any:
        value = cls.__getattribute__(self, name)
        return _switch_function(value) if _on.get() and inspect.isfunction(value) else value

    members = {"__getattribute__": look_up, "_takes_images": True, "__module__": cls.__module__}
    return type(cls)(cls.__name__, (cls,), members)


@functools.cache
def _switch_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of ITK that takes `SpatialArray` images while the variable is set."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not _on.get():
            return function(*args, **kwargs)
        token = _on.set(False)  # ITK's own functions look each other up in the same module
        try:
            return run_filter(LIBRARY, function, args, kwargs)
        finally:
            _on.reset(token)

    return run
