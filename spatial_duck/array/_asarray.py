"""Any image as a `SpatialArray`: `asarray`, and the table of libraries whose images it knows.

Each library is one module of `spatial_duck.interop` with ``from_NAME`` and ``to_NAME``, imported on
first use, and one row in `LIBRARIES`, by which its images are recognised without importing it.
"""

from __future__ import annotations

import os
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np

from spatial_duck import backends
from spatial_duck._lazy import load
from spatial_duck.array._array import SpatialArray
from spatial_duck.geometry import Geometry, World
from spatial_duck.interface import SpatialImage

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

__all__ = [
    "LIBRARIES",
    "Library",
    "SpatialImage",
    "as_image",
    "asarray",
    "find_function",
    "from_library",
    "is_image",
    "library_of",
    "type_error",
]


class Library(NamedTuple):
    """A row of the table of libraries.

    Attributes
    ----------
    name : str
        Ends the names of its two functions.
    types : tuple of str
        Image classes of the library as ``"package:Class"``; subclasses count.
    module : str
        Module with ``from_NAME`` and ``to_NAME``.
    """

    name: str
    types: tuple[str, ...]
    module: str


_INTEROP = "spatial_duck.interop._"

LIBRARIES: tuple[Library, ...] = (
    Library("simpleitk", ("SimpleITK:Image",), _INTEROP + "simpleitk"),
    Library(
        "itk", ("itk:itkImageBase2", "itk:itkImageBase3", "itk:itkImageBase4"), _INTEROP + "itk"
    ),
    Library("nibabel", ("nibabel:SpatialImage",), _INTEROP + "nibabel"),
    Library("xarray", ("xarray:DataArray",), _INTEROP + "xarray"),
    Library("spatial_image", (), _INTEROP + "spatial_image"),
    Library("multiscale_spatial_image", ("xarray:DataTree",), _INTEROP + "spatial_image"),
    Library("ngff_image", ("ngff_zarr:NgffImage",), _INTEROP + "ngff_zarr"),
    Library(
        "ngff_multiscales",
        ("ngff_zarr:NgffMultiscales", "ngff_zarr:Multiscales"),
        _INTEROP + "ngff_zarr",
    ),
    Library("monai", ("monai:MetaTensor",), _INTEROP + "monai"),
    Library("torchio", ("torchio:Image",), _INTEROP + "torchio"),
    Library("highdicom", ("highdicom:Volume",), _INTEROP + "highdicom"),
    Library("ants", ("ants:ANTsImage",), _INTEROP + "ants"),
    Library("pyvista", ("pyvista:ImageData", "vtkmodules:vtkImageData"), _INTEROP + "pyvista"),
    Library("napari", ("napari:Image", "napari:Labels"), _INTEROP + "napari"),
    Library("slicer", (), _INTEROP + "slicer"),
    Library("rasterio", ("rasterio:DatasetReaderBase",), _INTEROP + "rasterio"),
    Library("rioxarray", (), _INTEROP + "rasterio"),
)

_FUNCTIONS = {f"{way}_{row.name}": row.module for row in LIBRARIES for way in ("from", "to")} | {
    "ImageioPlugin": _INTEROP + "imageio_plugin",
    "hook_itk": _INTEROP + "itk_hook",
    "through_itk": _INTEROP + "itk",
    "to_pyradiomics": _INTEROP + "pyradiomics",
    "view": _INTEROP + "viewers",
}


def find_function(name: str) -> Any:
    """Return a function by name, from the module of its library, which is imported."""
    if name in _FUNCTIONS:
        return getattr(load(_FUNCTIONS[name]), name)
    raise AttributeError(f"module 'spatial_duck.interop' has no attribute {name!r}")


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
        A `SpatialArray` (returned as it is), an image of a library in `LIBRARIES` (of several
        resolutions the finest), any array with ``spacing`` and ``origin``, and ``direction`` where
        that is not the identity (`SpatialImage`), or any with an ``affine`` alone: (n + 1) ×
        (n + 1) numbers that take the first n indices of the array to x, y, z (and t).

    Raises
    ------
    TypeError
        If it is none of these.
    """
    if isinstance(obj, SpatialArray):
        return obj
    row = library_of(obj)
    if row is not None:
        image: Any = find_function(f"from_{row.name}")(obj)
        # Of several resolutions, take the finest.
        finest: SpatialArray = image if isinstance(image, SpatialArray) else image[0]
        return finest
    if _has_duck_interface(obj):
        return _from_duck(obj)
    if _has_affine(obj):
        return _from_affine(obj)
    known = ", ".join(kind.replace(":", ".") for row in LIBRARIES for kind in row.types)
    raise TypeError(
        f"asarray takes {known}, or an array with spacing and origin (and direction), or with "
        f"an affine; got {type(obj).__name__}. A bare array gets its geometry by "
        "SpatialArray(data, spacing=...)"
    )


def is_image(obj: Any) -> bool:
    """Whether an object is an image as `asarray` takes them, and says where it lies."""
    return (
        isinstance(obj, SpatialArray)
        or library_of(obj) is not None
        or _has_duck_interface(obj)
        or _has_affine(obj)
    )


def as_image(
    obj: Any,
    function: str,
    argument: str = "image",
    *,
    keeps_mask: bool = False,
    on_host: bool = False,
) -> SpatialArray:
    """Return the image that a public function was given, or raise for other objects.

    Every public function that takes an image passes it through here first.

    Parameters
    ----------
    obj : object
        What the user gave: an image as `asarray` takes them.
    function : str
        The function, for the message.
    argument : str, optional
        What the argument is called there.
    keeps_mask : bool, optional
        Whether the function keeps the mask of a masked array, as those do that move voxels alone.
    on_host : bool, optional
        Whether the function works in the host's memory: other libraries' arrays that are there
        become NumPy's, and those of a device are refused.

    Raises
    ------
    TypeError
        If it is no image, or one with masked values; the message says what to do.

    Examples
    --------
    >>> as_image([1, 2], "crop")
    Traceback (most recent call last):
    TypeError: crop needs an image as its image, got list; SpatialArray(data, spacing=..., ...
    """
    found = None
    if isinstance(obj, SpatialArray):
        if not keeps_mask:
            backends.refuse_masked(obj.data, function)
        found = obj
    elif is_image(obj):
        found = asarray(obj)
    if found is not None:
        data = backends.host_form(found.data, function) if on_host else found.data
        return found if data is found.data else found._with_data(data)
    kind = type(obj).__name__
    if isinstance(obj, str | bytes | os.PathLike):
        hint = "read(path) opens a file"
    elif kind == "Pyramid":
        hint = "pyramid[0] is its finest level"
    elif isinstance(obj, Geometry):
        hint = "a geometry has no voxels: SpatialArray(data, geometry) is an image"
    elif backends.is_known(type(obj)) or hasattr(obj, "__array__") or isinstance(obj, list | tuple):
        hint = "SpatialArray(data, spacing=..., origin=...) gives an array a geometry"
    else:
        hint = "asarray(...) lists what is one"
    raise TypeError(f"{function} needs an image as its {argument}, got {kind}; {hint}")


def from_library(wanted: str, *attributes: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of ``from_…`` functions that raises for images of other libraries.

    Parameters
    ----------
    wanted : str
        Words for what the function takes.
    *attributes : str
        What it reads of an image; whatever has all of them is taken for one, so that the library
        need not be imported.

    Examples
    --------
    >>> @from_library("a SimpleITK.Image", "GetSpacing")
    ... def from_simpleitk(image): ...
    >>> from_simpleitk("brain.nii.gz")
    Traceback (most recent call last):
    TypeError: from_simpleitk takes a SimpleITK.Image, got str; read(path) opens a file
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def checked(*args: P.args, **kwargs: P.kwargs) -> R:
            obj = args[0] if args else next(iter(kwargs.values()), None)
            if isinstance(obj, SpatialArray) or not all(hasattr(obj, name) for name in attributes):
                raise type_error(function.__name__, wanted, obj)
            return function(*args, **kwargs)

        return checked

    return decorate


def type_error(function: str, wanted: str, obj: object) -> TypeError:
    """Return the error of a ``from_…`` function for an object that it cannot convert."""
    return TypeError(f"{function} takes {wanted}, got {type(obj).__name__}; {_how_to_take(obj)}")


def _how_to_take(obj: object) -> str:
    """Return advice on how to convert an object of another kind to a `SpatialArray`."""
    if isinstance(obj, SpatialArray):
        return "it is a SpatialArray already"
    if isinstance(obj, str | bytes | os.PathLike):
        return "read(path) opens a file"
    row = library_of(obj)
    if row is not None:
        return f"from_{row.name} takes this one, and asarray any of them"
    if backends.is_known(type(obj)):
        return "SpatialArray(data, spacing=..., origin=...) gives an array a geometry"
    return "asarray takes the images of all libraries"


def _has_duck_interface(obj: Any) -> bool:
    """Whether an object has the duck interface, and voxels (a geometry has none)."""
    if isinstance(obj, Geometry) or not hasattr(obj, "__array__"):
        return False
    sizes = []
    for name in ("spacing", "origin"):
        place = getattr(obj, name, None)
        if place is None or callable(place) or np.ndim(place) != 1:
            return False
        sizes.append(np.size(place))
    # One without a direction runs along the world's axes, and so has as many of them.
    return hasattr(obj, "direction") or sizes[0] == sizes[1]


def _has_affine(obj: Any) -> bool:
    """Whether an object is an array with an affine of 2 to 4 axes, of which it has as many."""
    if isinstance(obj, Geometry) or type(obj).__module__.partition(".")[0] == "rasterio":
        return False
    shape = tuple(getattr(getattr(obj, "affine", None), "shape", ()))
    n = shape[0] - 1 if len(shape) == 2 and shape[0] == shape[1] else 0
    return 1 <= n <= 4 and n <= len(getattr(obj, "shape", ()))


def _from_affine(obj: Any) -> SpatialArray:
    """Return an image from an array whose first axes an affine maps to x, y, z and t."""
    affine = np.asarray(obj.affine, np.float64)
    n = len(affine) - 1
    data = _bare_array(obj)
    axes = ("x", "y", "z", "t")[:n]
    frame = getattr(obj, "frame", None)
    geometry = Geometry.from_affine(
        data.shape, affine, dims=axes + (None,) * (data.ndim - n),
        world=World(axes, frame=frame if isinstance(frame, str) else None),
    )  # fmt: skip
    return SpatialArray(data, geometry)


def _bare_array(obj: Any) -> Any:
    """Return the array that an object is or holds."""
    data = getattr(obj, "data", obj)
    unknown = data is obj and not backends.is_known(type(obj))  # known by its __array__ alone
    if isinstance(data, memoryview) or not hasattr(data, "shape") or unknown:
        return np.asarray(obj)
    return data


def _from_duck(obj: Any) -> SpatialArray:
    """Return an image from an object with the duck interface."""
    fields = {
        name: value
        for name in ("dims", "frame", "unit", "world")
        if (value := getattr(obj, name, None)) is not None and not callable(value)
    }
    return SpatialArray(
        _bare_array(obj), spacing=obj.spacing, origin=obj.origin,
        direction=getattr(obj, "direction", None), **fields,
    )  # fmt: skip
