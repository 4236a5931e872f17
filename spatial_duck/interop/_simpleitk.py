"""SimpleITK images, to and from; transforms by `spatial_duck.io._simpleitk_transforms`.

SimpleITK's API is in x, y, z order, its NumPy views in z, y, x; positions are LPS in mm. Vector
images have the plain axis ``c`` last; the fourth axis is time ``t``.
"""

from __future__ import annotations

from inspect import unwrap
from typing import Any

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry, World
from spatial_duck.interop._filters import FilterLibrary
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._components import vectors_in_lps
from spatial_duck.io._layout import Rules, check_dtype, fit_layout
from spatial_duck.transforms import Transform

__all__ = ["LIBRARY", "from_simpleitk", "to_simpleitk"]

_RULES = Rules("SimpleITK", ("LPS",), unit=("mm",), time_unit=("s", "ms"), plain="last")
_DTYPES = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "c8", "c16")
_TIME_UNIT = "SpatialDuckTimeUnit"


def _simpleitk() -> Any:
    return require("SimpleITK", "Converting SimpleITK images")


class _Buffer:
    """The memory of a SimpleITK image, which it keeps alive."""

    def __init__(self, image: Any) -> None:
        sitk = _simpleitk()
        # The view comes first, since SimpleITK copies shared voxels when a view is taken; then a
        # shallow copy, which keeps the memory alive and makes SimpleITK copy before it next writes
        # to the image, so that the view never changes.
        self.view = sitk.GetArrayViewFromImage(image)
        self.image = sitk.Image(image)
        self.__array_interface__ = self.view.__array_interface__


@from_library("a SimpleITK.Image or SimpleITK.Transform", "GetDimension")
def from_simpleitk(image: Any) -> Any:
    """Return a SimpleITK image as a `SpatialArray`, without copying, or a transform.

    Parameters
    ----------
    image : SimpleITK.Image or SimpleITK.Transform
        An image of 2 to 4 dimensions.

    Returns
    -------
    SpatialArray or Transform
        Dims ``(t, z, y, x, c)``, without those that are missing; frame LPS, unit mm. The data are
        read-only and share the image's memory; SimpleITK copies them before it writes to the image.
        Metadata are in ``attrs["simpleitk"]``.

    Raises
    ------
    FormatError
        If it has more dimensions, or is a label map.
    """
    if isinstance(image, _simpleitk().Transform):
        from spatial_duck.io import _simpleitk_transforms as simpleitk_transforms

        return simpleitk_transforms.from_simpleitk(image)
    if _is_label_map(image):
        raise FormatError(
            "the SimpleITK image is a label map, which holds objects and no voxels: convert it "
            "first, with SimpleITK.LabelMapToLabel(image)"
        )
    n = image.GetDimension()
    if n > 4:
        raise FormatError(
            f"expected a SimpleITK image of 2 to 4 dimensions, got {n}; extract 4 of them first"
        )
    names = ("x", "y", "z", "t")[:n]
    meta = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    time = meta.pop(_TIME_UNIT, None)
    data = np.asarray(_Buffer(image))
    data.flags.writeable = False
    dims = (*reversed(names), *(["c"] if data.ndim > n else []))
    geometry = Geometry(
        data.shape,
        image.GetSpacing()[::-1],
        image.GetOrigin(),
        np.array(image.GetDirection()).reshape(n, n)[:, ::-1],
        dims,
        world=World(names, {name: time if name == "t" else "mm" for name in names}, "LPS"),
    )
    return SpatialArray(data, geometry, attrs={"simpleitk": meta} if meta else {})


@names_lost_coords("SimpleITK's Image", from_simpleitk, vectors=True)
def to_simpleitk(image: SpatialArray | Transform, *, frame: str | None = None) -> Any:
    """Return an image as a SimpleITK image, or a transform as a SimpleITK transform.

    Parameters
    ----------
    image : SpatialArray or Transform
        A transform, or an image of 2 or 3 space axes, at most one time axis and one plain axis,
        whose data SimpleITK copies. A slice in 3-D becomes a volume of one slice. bool becomes
        uint8 and float16 float32, which changes no value. Components of vectors become those
        along x, y, z in LPS.
    frame : str, optional
        The frame, if the image has none.

    Returns
    -------
    SimpleITK.Image or SimpleITK.Transform
        A vector image where there is a plain axis.

    Raises
    ------
    GeometryLossError, FrameError
        If SimpleITK cannot hold the geometry.
    """
    if isinstance(image, Transform):
        from spatial_duck.io import _simpleitk_transforms as simpleitk_transforms

        return simpleitk_transforms.to_simpleitk(image, frame=frame)
    image = as_image(image, "to_simpleitk", on_host=True)
    image = vectors_in_lps(image, frame)
    sitk = _simpleitk()
    data, g = fit_layout(image, _RULES, frame=frame, minimum=3 if "t" in image.world.axes else 2)
    if 0 in g.shape:
        raise FormatError(f"SimpleITK cannot hold an image without voxels, got shape {g.shape}")
    dtype = check_dtype(np.dtype(data.dtype), _DTYPES, "SimpleITK")
    n = len(g.sampled_axes)
    # Without isVector, SimpleITK takes a 4-D array for a 3-D vector image.
    out = sitk.GetImageFromArray(
        np.ascontiguousarray(np.asarray(data), dtype=dtype), isVector=g.ndim > n
    )
    out.SetSpacing(g.spacing[::-1].tolist())
    out.SetOrigin(g.origin.tolist())
    out.SetDirection(g.direction[:, ::-1].ravel().tolist())
    for key, value in (image.attrs.get("simpleitk") or {}).items():
        out.SetMetaData(key, str(value))
    if "t" in g.dims and (unit := g.unit[g.world.axes.index("t")]) is not None:
        out.SetMetaData(_TIME_UNIT, unit)
    return out


def _is_native(value: Any) -> bool:
    return isinstance(value, _simpleitk().Image) and not _is_label_map(value)


def _is_label_map(image: Any) -> bool:
    """Whether an image is a label map, which has objects and no voxels."""
    return str(image.GetPixelIDTypeAsString()).startswith("label of")


LIBRARY = FilterLibrary("SimpleITK", unwrap(to_simpleitk), from_simpleitk, _is_native)
