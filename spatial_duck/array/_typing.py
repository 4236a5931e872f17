"""Types of methods that are made from functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Reduction", "Same"]

_Image = TypeVar("_Image")
_Image_co = TypeVar("_Image_co", covariant=True)


class Same(Protocol):
    """A method that gives an image of the same class."""

    def __get__(self, image: _Image, owner: Any = None) -> Callable[..., _Image]: ...


class _Reduce(Protocol[_Image_co]):
    @overload
    def __call__(self, axis: None = None, *args: Any, **options: Any) -> Any: ...
    @overload
    def __call__(self, axis: Any, *args: Any, **options: Any) -> _Image_co: ...


class Reduction(Protocol):
    """A method that gives an image where axes are named to it, and a number of all."""

    def __get__(self, image: _Image, owner: Any = None) -> _Reduce[_Image]: ...
