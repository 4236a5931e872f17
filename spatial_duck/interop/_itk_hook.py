"""`hook_itk`: ITK's own functions take and return `SpatialArray` images while it is on.

The class of the module ``itk`` is replaced, once and permanently, by one whose attributes depend on
a context variable. While that is off, as in all threads and tasks that did not switch it on, they
are ITK's own; a function that was looked up while it was on checks it at each call.
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
    """Make ``itk.<filter>(image)`` take `SpatialArray` images and return them with their geometry.

    It is on from the call on, in this thread and task alone; as a context manager it restores the
    previous state at the end. Bare arrays and ITK's own images are handled by ITK as before. Names
    that were imported from ``itk`` before the call are not changed.

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
    """Return a class of modules whose functions take `SpatialArray` while the variable is set."""

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
        token = _on.set(False)  # ITK's own functions call each other through the same module
        try:
            return run_filter(LIBRARY, function, args, kwargs)
        finally:
            _on.reset(token)

    return run
