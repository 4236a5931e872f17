"""What an image says of its geometry, as attributes of its own: `GeometryAttributes`.

Each of these is the geometry's, under the same name, so that code written for the duck interface
(see `spatial_duck.interface`) need not know that there is a geometry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array._state import ImageState
from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from spatial_duck.geometry import World

    Floats = NDArray[np.float64]

__all__ = ["GeometryAttributes"]

#: Names that people try, from habit or from other libraries, and what does that here.
_ELSEWHERE = {
    **{
        name: f"use spatial_duck.{name}(image, ...)"
        for name in ("conform", "crop", "pad_to", "pyramid", "register", "reorient")
    },
    **{name: f"use spatial_duck.{name}(image, ...)" for name in ("resample", "sample")},
    **dict.fromkeys(("write", "save", "to_filename"), "use spatial_duck.write(path, image)"),
    **dict.fromkeys(("values", "numpy", "get_fdata", "to_numpy"), "use numpy.asarray(image)"),
    **dict.fromkeys(("load", "get"), "use image.compute()"),
    **dict.fromkeys(("voxel_size", "pixdim", "GetSpacing", "zooms"), "use image.spacing"),
    **dict.fromkeys(("GetOrigin", "translation"), "use image.origin"),
    **dict.fromkeys(("GetDirection", "orientation_matrix"), "use image.direction"),
    **dict.fromkeys(("header", "meta", "metadata"), "use image.attrs"),
    **dict.fromkeys(
        ("tofile", "dump", "dumps"), "use spatial_duck.write(path, image), or image.data"
    ),
    **dict.fromkeys(
        ("base", "ctypes", "getfield", "setfield", "setflags"), "use image.data, the bare array"
    ),
    "resize": "an image cannot change its shape in place: use numpy.resize(image, shape)",
    "isel": "index by position, image[3, 10:20]; image.dims has the names of the axes",
    "sel": "use spatial_duck.crop(image, {'z': (lowest, highest)}) or sample(image, points)",
    "units": "use image.unit",
    "filter": "spatial_duck.ndimage has filters",
}


class GeometryAttributes(ImageState):
    """The geometry's fields and points, and ITK's order-explicit names."""

    __slots__ = ()

    if not TYPE_CHECKING:  # where unknown attributes stay unknown

        def __getattr__(self, name: str) -> Any:
            """Say where to find what an image does not have; nothing is handed on to the data."""
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

    def index_to_physical(self, index: ArrayLike) -> Floats:
        """Return the world positions of array indices; see `Geometry.index_to_physical`."""
        return self.geometry.index_to_physical(index)

    def physical_to_index(self, point: ArrayLike) -> Floats:
        """Return the array indices of world positions; see `Geometry.physical_to_index`."""
        return self.geometry.physical_to_index(point)

    def _ordered(self, field: str, order: str) -> Floats:
        """Return a field with its space axes in an explicit order."""
        geometry = self.geometry
        names, axes = geometry.dims, geometry.world.axes
        columns = [names[i] for i in geometry.sampled_axes]
        missing = [a for a in order if a not in (axes if field == "origin" else columns)]
        if missing:
            raise GeometryError(
                f"{field}_{order} needs axes named {', '.join(order)}, got dims {names!r} and "
                f"world axes {axes!r}"
            )
        rows = [axes.index(a) for a in order if a in axes]
        if field == "origin":
            return geometry.origin[rows]
        picked = [columns.index(a) for a in order]
        return (
            geometry.spacing[picked]
            if field == "spacing"
            else (geometry.direction[np.ix_(rows, picked)])
        )

    @property
    def origin_xyz(self) -> Floats:
        """The origin in the order x, y, z, as ITK's order-explicit names have it."""
        return self._ordered("origin", "xyz")

    @property
    def origin_zyx(self) -> Floats:
        """The origin in the order z, y, x."""
        return self._ordered("origin", "zyx")

    @property
    def spacing_xyz(self) -> Floats:
        """The spacing in the order x, y, z."""
        return self._ordered("spacing", "xyz")

    @property
    def spacing_zyx(self) -> Floats:
        """The spacing in the order z, y, x."""
        return self._ordered("spacing", "zyx")

    @property
    def direction_xyz(self) -> Floats:
        """The direction with rows and columns in the order x, y, z."""
        return self._ordered("direction", "xyz")

    @property
    def direction_zyx(self) -> Floats:
        """The direction with rows and columns in the order z, y, x."""
        return self._ordered("direction", "zyx")
