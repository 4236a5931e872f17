"""ITK images (the package ``itk``), to and from, and ITK's filters on `SpatialArray` images.

Arrays are indexed ``(t, z, y, x, c)``; positions are LPS in mm, and ITK's own direction matrix is
in x, y, z order on both sides. ``image["direction"]`` of ITK's Python, which is flipped on both
axes, is not used.

A filter of ITK takes a `SpatialArray` as a bare array, with spacing 1 and no direction, and returns
an array. `spatial_duck.itk` and `through_itk` pass ITK images to the filter, and return its results
as `SpatialArray`::

    smooth = through_itk(itk.smoothing_recursive_gaussian_image_filter, image, sigma=2.0)  # 2 mm
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import unwrap
from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.array._coordinates import COMPONENT
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.interop._filters import FilterLibrary, run_filter
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._components import vectors_in_lps
from spatial_duck.io._layout import Rules, check_dtype, fit_layout

__all__ = ["LIBRARY", "from_itk", "through_itk", "to_itk"]

_RULES = Rules("ITK", ("LPS",), unit=("mm",), time_unit=("s",), plain="last")
_DTYPES = ("u1", "i2", "u2", "i4", "u4", "u8", "f4", "f8", "c8", "c16")
_NAMES = ("x", "y", "z", "t")


def _itk() -> Any:
    return require("itk", "Converting ITK images")


class _Buffer:
    """The memory of an ITK image, which it keeps alive."""

    def __init__(self, image: Any) -> None:
        self.image = image
        self.__array_interface__ = np.asarray(_itk().array_view_from_image(image)
                                              ).__array_interface__  # fmt: skip


@from_library("an itk.Image", "GetImageDimension")
def from_itk(image: Any) -> SpatialArray:
    """Return an ITK image as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    image : itk.Image or itk.VectorImage
        An image of 2 to 4 dimensions. Complex voxels, which ITK's Python cannot view, are copied.

    Returns
    -------
    SpatialArray
        Dims ``(t, z, y, x, c)``, without those that are missing; frame LPS, space in mm.

    Raises
    ------
    FormatError
        If it has another number of dimensions, or voxels that NumPy has no type for.
    """
    n = int(image.GetImageDimension())
    if n > len(_NAMES):
        raise FormatError(
            f"expected an ITK image of 2 to {len(_NAMES)} dimensions, got {n}; extract "
            f"{len(_NAMES)} of them first"
        )
    itk = _itk()
    image.Update() if hasattr(image, "Update") else None
    start = [int(v) for v in image.GetBufferedRegion().GetIndex()]
    # The buffer of a cropped image begins at its region, and the origin belongs to index 0.
    origin = list(image.TransformIndexToPhysicalPoint(start))
    data = _voxels(itk, image)
    dims = (*reversed(_NAMES[:n]), *(["c"] if data.ndim > n else []))
    world = World(_NAMES[:n], {a: None if a == "t" else "mm" for a in _NAMES[:n]}, "LPS")
    matrix = np.asarray(itk.array_from_matrix(image.GetDirection()), np.float64)
    spacing = [float(v) for v in image.GetSpacing()]
    return SpatialArray(
        data, Geometry(data.shape, spacing[::-1], origin, matrix[:, ::-1], dims, world=world)
    )


def _voxels(itk: Any, image: Any) -> Any:
    """Return the voxels of an ITK image, as a view where ITK's Python can make one."""
    if itk.template(image)[1][0] in (itk.complex[itk.F], itk.complex[itk.D]):
        parts = [
            f.New(image) for f in (itk.ComplexToRealImageFilter, itk.ComplexToImaginaryImageFilter)
        ]
        for part in parts:
            part.Update()
        real, imag = [itk.array_view_from_image(part.GetOutput()) for part in parts]
        out = np.empty(real.shape, np.result_type(real.dtype, np.complex64))
        out.real, out.imag = real, imag
        return out
    try:
        return np.asarray(_Buffer(image))
    except RuntimeError as error:
        raise FormatError(
            f"ITK's Python cannot view the voxels of an {type(image).__name__}: cast it to a type "
            "that NumPy has, with itk.cast_image_filter(image, ttype=...), first"
        ) from error


def _complex_image(itk: Any, array: Any) -> Any:
    """Return an ITK image of complex voxels, composed of two real images as ITK's Python needs."""
    value = itk.F if array.dtype == np.complex64 else itk.D
    real, complex_ = [itk.Image[v, array.ndim] for v in (value, itk.complex[value])]
    parts = [itk.image_from_array(part.copy(), ttype=real) for part in (array.real, array.imag)]
    both = itk.ComposeImageFilter[real, complex_].New(*parts)
    both.Update()
    out = both.GetOutput()
    out.DisconnectPipeline()
    return out


@names_lost_coords("ITK's Image", from_itk, vectors=True)
def to_itk(image: SpatialArray, *, frame: str | None = None) -> Any:
    """Return an image as an ITK image that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        An image of 2 or 3 space axes, at most one time axis and one plain axis. A slice in 3-D
        becomes a volume of one slice. Data in another memory layout than ITK's, and complex ones,
        are copied; bool becomes uint8 and float16 float32.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    itk.Image or itk.VectorImage
        A VectorImage if there is a plain axis; if that has a coordinate ``component`` with one
        component along each axis, an Image of ``itk.Vector``, as filters of displacement fields
        take it.

    Raises
    ------
    GeometryLossError, FrameError, FormatError
        If ITK's Python wrapping cannot hold it.
    """
    image = vectors_in_lps(as_image(image, "to_itk", on_host=True), frame)
    itk = _itk()
    data, g = fit_layout(image, _RULES, frame=frame, minimum=3 if "t" in image.world.axes else 2)
    if 0 in g.shape:
        raise FormatError(f"ITK cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), _DTYPES, "ITK")
    n = len(g.sampled_axes)
    array = np.ascontiguousarray(np.asarray(data), dtype=dtype)
    try:
        if g.ndim > n:
            is_field = COMPONENT in image.coords and array.shape[-1] == n and dtype.kind == "f"
            ttype = (_field_type if is_field else _vector_type)(itk, dtype, n)
            out = itk.image_view_from_array(array, ttype=ttype)
        elif dtype.kind == "c":
            out = _complex_image(itk, array)
        else:
            out = itk.image_view_from_array(array)
    except (AttributeError, KeyError, RuntimeError, TypeError) as error:
        raise FormatError(
            f"this installation of ITK wraps no image of {n} dimensions of {dtype} with "
            f"{g.ndim - n} plain axes: use image.astype('f4') first, or to_simpleitk"
        ) from error
    # ITK transposes an array with a single axis longer than 1, which is F-contiguous too.
    out.SetRegions([g.shape[a] for a in reversed(g.sampled_axes)])
    out.SetSpacing(g.spacing[::-1].tolist())
    out.SetOrigin(g.origin.tolist())
    out.SetDirection(itk.matrix_from_array(np.ascontiguousarray(g.direction[:, ::-1])))
    return out


def _vector_type(itk: Any, dtype: np.dtype[Any], n: int) -> Any:
    """Return the type of vector images; by default, ITK would choose RGB for three bytes."""
    names = {"u1": itk.UC, "i2": itk.SS, "u2": itk.US, "f4": itk.F, "f8": itk.D}
    return itk.VectorImage[names[dtype.str[1:]], n]


def _field_type(itk: Any, dtype: np.dtype[Any], n: int) -> Any:
    """Return the type of images of vectors with a component along each axis."""
    return itk.Image[itk.Vector[{"f4": itk.F, "f8": itk.D}[dtype.str[1:]], n], n]


def _is_native(value: Any) -> bool:
    # Label maps have regions, but no voxels.
    return hasattr(value, "GetLargestPossibleRegion") and hasattr(value, "GetBufferPointer")


LIBRARY = FilterLibrary("itk", unwrap(to_itk), from_itk, _is_native)


def through_itk(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of ITK on `SpatialArray` images, and return its results as such.

    `spatial_duck.itk` has ITK's own filters in this form; this is for all other functions.

    Parameters
    ----------
    function : callable
        A function of ITK's Python such as ``itk.median_image_filter``, or any that takes and
        returns ITK images.
    *args, **kwargs
        Its arguments. Each `SpatialArray` among them becomes an ITK image, with its geometry.
        ``halo`` and ``halo_unit`` run it block by block, as `spatial_duck.map_blocks` does: lazily
        where the image is lazy.

    Returns
    -------
    object
        The function's result, with `SpatialArray` in place of ITK images, in the frame, unit and
        order of world axes of the first image, and with its attrs.

    Raises
    ------
    TooLargeError
        If a lazy image is larger than ``config(max_read_bytes=...)``, and there is no ``halo``.
    GeometryMismatchError
        If the function needs images on one grid, and they are not.
    """
    return run_filter(LIBRARY, function, args, kwargs)
