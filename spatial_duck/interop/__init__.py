"""Images of other libraries: `from_…`, `to_…` and `asarray`.

Each library is one module with ``from_NAME`` and ``to_NAME``, imported on first use, and one row
in `LIBRARIES`, by which `asarray` recognises its images without importing it. To add a library,
write the module and add its row.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from spatial_duck import backends
from spatial_duck.array import SpatialArray

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "LIBRARIES",
    "Library",
    "SpatialImage",
    "asarray",
    "from_nibabel",
    "from_simpleitk",
    "from_xarray",
    "to_nibabel",
    "to_simpleitk",
    "to_xarray",
]


class Library(NamedTuple):
    """A row of the table of libraries.

    Attributes
    ----------
    name : str
        Ends the names of its two functions.
    types : tuple of str
        Its image classes as ``"package:Class"``; subclasses count.
    module : str
        Module with ``from_NAME`` and ``to_NAME``.
    """

    name: str
    types: tuple[str, ...]
    module: str


LIBRARIES: tuple[Library, ...] = (
    Library("simpleitk", ("SimpleITK:Image",), "spatial_duck.interop.simpleitk"),
    Library("nibabel", ("nibabel:SpatialImage",), "spatial_duck.interop.nibabel"),
    Library("xarray", ("xarray:DataArray",), "spatial_duck.interop.xarray"),
)

_FUNCTIONS = {
    f"{way}_{row.name}": row.module for row in LIBRARIES for way in ("from", "to")
}


@runtime_checkable
class SpatialImage(Protocol):
    """The duck interface: an array that says where its voxels lie.

    ``spacing`` has a number for each sampled axis in array-axis order, ``origin`` the world
    position of the centre of the voxel at index 0, ``direction`` a column for each sampled axis.
    ``dims``, ``frame`` and ``unit`` are read where they are there.
    """

    @property
    def spacing(self) -> Sequence[float]:
        """Distance between voxel centres along each sampled axis."""

    @property
    def origin(self) -> Sequence[float]:
        """World position of the first voxel's centre."""

    @property
    def direction(self) -> Any:
        """Unit vectors of the sampled axes, as columns."""


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(import_module(_FUNCTIONS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def library_of(obj: Any) -> Library | None:
    """Return the row of the library whose image an object is, without importing anything."""
    for cls in type(obj).__mro__:
        package, name = cls.__module__.partition(".")[0], cls.__name__
        for row in LIBRARIES:
            if f"{package}:{name}" in row.types:
                return row
    return None


def asarray(obj: Any) -> SpatialArray:
    """Return an image of any supported library as a `SpatialArray`, without copying its data.

    Parameters
    ----------
    obj : object
        A `SpatialArray` (returned as it is), an image of SimpleITK, nibabel or xarray, or any
        array with ``spacing``, ``origin`` and ``direction`` (`SpatialImage`).

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(obj, SpatialArray):
        return obj
    row = library_of(obj)
    if row is not None:
        image: SpatialArray = __getattr__(f"from_{row.name}")(obj)
        return image
    if isinstance(obj, SpatialImage) and not callable(obj.spacing):
        return _from_duck(obj)
    known = ", ".join(kind.replace(":", ".") for row in LIBRARIES for kind in row.types)
    raise TypeError(
        f"asarray takes {known}, or an array with spacing, origin and direction; got "
        f"{type(obj).__name__}. A bare array gets its geometry by SpatialArray(data, spacing=...)"
    )


def _from_duck(obj: Any) -> SpatialArray:
    """Wrap what has the duck interface: its array, and the fields that it has."""
    data = getattr(obj, "data", obj)
    bare = data is obj and not backends.is_known(type(obj))  # known by its __array__ alone
    if isinstance(data, memoryview) or not hasattr(data, "shape") or bare:
        import numpy as np

        data = np.asarray(obj)
    fields = {
        name: value
        for name in ("dims", "frame", "unit", "world")
        if (value := getattr(obj, name, None)) is not None and not callable(value)
    }
    return SpatialArray(
        data, spacing=obj.spacing, origin=obj.origin, direction=obj.direction, **fields
    )
