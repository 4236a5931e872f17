"""Types of methods that are made from functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypedDict, TypeVar, overload

from spatial_duck.geometry._construction import GeometryChanges

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import DTypeLike

    from spatial_duck.geometry import Geometry

__all__ = ["ComputeOptions", "ImageChanges", "Reduction", "Same", "UfuncOptions"]

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


class ImageChanges(GeometryChanges, total=False):
    """Keywords of `SpatialArray.replace` besides the data."""

    geometry: Geometry | None
    coords: Mapping[str, Any] | None
    attrs: Mapping[Any, Any] | None


class ComputeOptions(TypedDict, total=False):
    """Keywords of `dask.compute` and its schedulers; the last six are `distributed`'s."""

    scheduler: Any
    optimize_graph: bool
    traverse: bool
    num_workers: int
    chunksize: int
    pool: Any
    workers: str | Sequence[str]
    allow_other_workers: bool
    resources: Mapping[str, Any]
    retries: int
    priority: int
    fifo_timeout: str | float


class UfuncOptions(TypedDict, total=False):
    """Keywords of NumPy's ufuncs."""

    where: Any
    casting: Literal["no", "equiv", "safe", "same_kind", "unsafe"]
    order: Literal["K", "C", "F", "A"]
    dtype: DTypeLike | None
    subok: bool
    signature: Any
