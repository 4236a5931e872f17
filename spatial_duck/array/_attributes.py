"""The attributes of the geometry on images, and selection by name: `GeometryAttributes`.

Each attribute is the geometry's, under the same name, so that code written for the duck interface
(see `spatial_duck.interface`) need not know that there is a geometry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck import backends
from spatial_duck.array import _selection as selection
from spatial_duck.array import _vectors as vectors
from spatial_duck.array._forward import Forward
from spatial_duck.array._ordered import ordered_field
from spatial_duck.array._state import ImageState
from spatial_duck.geometry import World

__all__ = ["GeometryAttributes"]

Floats = NDArray[np.float64]

#: Names from other libraries, and what to use instead.
_ELSEWHERE = {
    "register": "use spatial_duck.register(fixed, moving)",
    **dict.fromkeys(("save", "to_filename"), "use image.write(path)"),
    **dict.fromkeys(("values", "numpy", "get_fdata", "to_numpy"), "use numpy.asarray(image)"),
    **dict.fromkeys(("load", "get"), "use image.compute()"),
    **dict.fromkeys(("voxel_size", "pixdim", "GetSpacing", "zooms"), "use image.spacing"),
    **dict.fromkeys(("GetOrigin", "translation"), "use image.origin"),
    **dict.fromkeys(("GetDirection", "orientation_matrix"), "use image.direction"),
    **dict.fromkeys(("header", "meta", "metadata"), "use image.attrs"),
    **dict.fromkeys(("tofile", "dump", "dumps"), "use image.write(path), or image.data"),
    **dict.fromkeys(
        ("base", "ctypes", "getfield", "setfield", "setflags"), "use image.data, the bare array"
    ),
    "resize": "an image cannot change its shape in place: use numpy.resize(image, shape)",
    "units": "use image.unit",
    "filter": "spatial_duck.ndimage has filters",
}


def _in_order(field: str, order: str) -> Any:
    """Return the property of a field in an order, as ITK's order-explicit names have it."""

    def value(self: GeometryAttributes) -> Floats:
        return ordered_field(self.geometry, field, order)

    rows = ", rows and columns alike" if field == "direction" else ""
    doc = f"The {field} of the image in the order {', '.join(order)}{rows}, by ITK's name for it."
    return property(value, doc=doc)


class GeometryAttributes(ImageState):
    """The geometry's fields and points, and ITK's order-explicit names."""

    __slots__ = ()

    if not TYPE_CHECKING:  # attributes that must stay unknown

        def __getattr__(self, name: str) -> Any:
            """Raise an AttributeError that suggests another name; the data are not asked."""
            if name == "_data" and hasattr(self, "_closed"):
                raise backends.closed_error(self._closed[0])
            if hasattr(type(self), name):  # a property that raised: what it says
                return object.__getattribute__(self, name)
            hint = _ELSEWHERE.get(name)
            if hint:  # without the object Python adds no guess of its own
                raise AttributeError(f"{type(self).__name__!r} has no {name!r}: {hint}", name=name)
            message = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(message, name=name, obj=self)

    @property
    def spacing(self) -> Floats:
        """Distance between voxel centres along each sampled axis, in array-axis order."""
        return self.geometry.spacing

    @property
    def origin(self) -> Floats:
        """World position of the centre of the voxel at index 0, in world-axis order."""
        return self.geometry.origin

    @property
    def direction(self) -> Floats:
        """Unit vector of each sampled axis, as columns, shape (n_world, n_sampled)."""
        return self.geometry.direction

    @property
    def affine(self) -> Floats:
        """Homogeneous matrix from sampled indices to world, shape (n_world + 1, n_sampled + 1)."""
        return self.geometry.affine

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Name of each array axis."""
        return self.geometry.dims

    @property
    def world(self) -> World:
        """The world coordinates: names, units and frame."""
        return self.geometry.world

    @property
    def frame(self) -> str | None:
        """Which way the anatomical x, y and z point, or None for unspecified."""
        return self.geometry.frame

    @property
    def unit(self) -> tuple[str | None, ...]:
        """Unit of each world axis."""
        return self.geometry.unit

    @property
    def bounds(self) -> Floats:
        """Box in the world that holds all voxels, to their outer edges, shape (2, n_world)."""
        return self.geometry.bounds

    @property
    def corner(self) -> Floats:
        """World position of the outer corner of the voxel at index 0."""
        return self.geometry.corner

    @property
    def center(self) -> Floats:
        """World position of the centre of the grid."""
        return self.geometry.center

    @property
    def orientation(self) -> str:
        """Anatomical direction that each space axis runs to, such as ``"SPL"``."""
        return self.geometry.orientation

    @property
    def lost(self) -> dict[int, str]:
        """The axes whose positions were lost, and the function that lost them."""
        return self.geometry.lost

    @property
    def sizes(self) -> dict[str, int]:
        """Length of each axis that has a name, by that name."""
        geometry = self.geometry
        pairs = zip(geometry.dims, geometry.shape, strict=True)
        return {name: n for name, n in pairs if name is not None}

    # --- selection, and other worlds ------------------------------------------------------

    def isel(self, indexers: Mapping[str, Any] | None = None, **by_name: Any) -> Self:
        """Return the voxels at indices along axes by name.

        Parameters
        ----------
        indexers : mapping of str to index, optional
            As `by_name`, for names that are no words of Python.
        **by_name
            For each axis an int, a slice, or an array of int or bool; arrays along several axes
            select along each by itself.

        Examples
        --------
        >>> import numpy as np, spatial_duck as sd
        >>> image = sd.SpatialArray(np.zeros((4, 5, 6)), spacing=2)
        >>> image.isel(z=3, x=slice(None, None, 2)).shape
        (5, 3)
        """
        found: Self = selection.isel(self, {**(indexers or {}), **by_name})
        return found

    def sel(self, labels: Mapping[str, Any] | None = None, **by_name: Any) -> Self:
        """Return the voxels at values of coordinates, or at positions along axes of the world.

        Parameters
        ----------
        labels : mapping of str to value, optional
            As `by_name`, for names that are no words of Python.
        **by_name
            For each coordinate a value, a list of values, or a slice from one to another, both
            included; where several indices have the value, all of them are selected. For each
            axis of the world, along which exactly one array axis must run, a place, of which the
            nearest voxel is taken, several, or a slice of the voxels between two.

        Raises
        ------
        GeometryError
            If there is no such coordinate, value or place, or the image is oblique to the axis.

        Examples
        --------
        >>> import numpy as np, spatial_duck as sd
        >>> image = sd.SpatialArray(
        ...     np.arange(8).reshape(2, 4), dims=("c", "x"), spacing=0.5,
        ...     coords={"channel": ("c", ["DAPI", "GFP"])},
        ... )
        >>> image.sel(channel="GFP", x=slice(0.4, 1.0)).data
        array([5, 6])
        """
        found: Self = selection.sel(self, {**(labels or {}), **by_name})
        return found

    def to_frame(self, frame: str) -> Self:
        """Return the image in the coordinates of another anatomical frame; see `Geometry.to_frame`.

        Vectors turn with it (see `spatial_duck.array`): signs of components change by one
        multiplication, lazy where the image is, and other data are not touched.

        Examples
        --------
        >>> import numpy as np, spatial_duck as sd
        >>> image = sd.SpatialArray(np.zeros((2, 2, 2)), origin=(1, 2, 3), frame="LPS")
        >>> image.to_frame("RAS").origin
        array([ 1., -2., -3.])
        """
        return vectors.to_frame(self, frame)  # type: ignore[no-any-return]

    def to_unit(self, unit: str | Mapping[str, str | None]) -> Self:
        """Return the image in other units; see `Geometry.to_unit`. No value is scaled."""
        return vectors.to_unit(self, unit)  # type: ignore[no-any-return]

    def to_world(self, axes: Sequence[str]) -> Self:
        """Return the image with its world axes in another order, or fewer."""
        return vectors.to_world(self, axes)  # type: ignore[no-any-return]

    if not TYPE_CHECKING:  # whose types `SpatialArray` declares
        augment = Forward()
        conform = Forward()
        crop = Forward()
        pad_to = Forward()
        plot = Forward()
        pyramid = Forward()
        reorient = Forward()
        resample = Forward()
        sample = Forward()
        show = Forward()
        write = Forward()

    def index_to_physical(self, index: ArrayLike) -> Floats:
        """Return the world positions of array indices; see `Geometry.index_to_physical`."""
        return self.geometry.index_to_physical(index)

    def physical_to_index(self, point: ArrayLike) -> Floats:
        """Return the array indices of world positions; see `Geometry.physical_to_index`."""
        return self.geometry.physical_to_index(point)

    origin_xyz: Floats = _in_order("origin", "xyz")
    origin_zyx: Floats = _in_order("origin", "zyx")
    spacing_xyz: Floats = _in_order("spacing", "xyz")
    spacing_zyx: Floats = _in_order("spacing", "zyx")
    direction_xyz: Floats = _in_order("direction", "xyz")
    direction_zyx: Floats = _in_order("direction", "zyx")
    size_xyz: Floats = _in_order("size", "xyz")
    size_zyx: Floats = _in_order("size", "zyx")
