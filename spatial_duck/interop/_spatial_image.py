"""spatial-image and multiscale-spatial-image, to and from.

The first is an xarray DataArray with dims among t, z, y, x and c and a coordinate for each axis,
the second a DataTree of such arrays in ``/scale0/…``, ``/scale1/…``. Neither has a direction or a
frame. The frame is stored in the attribute ``frame``. An image that is oblique, flipped or a slice
in 3-D is refused; with ``oblique="keep"`` its exact geometry is stored in attributes, as
`spatial_duck.interop._data_arrays` documents, while other software sees it unrotated.
"""

from __future__ import annotations

from inspect import unwrap
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.interop._xarray import from_xarray
from spatial_duck.interop._xarray import to_xarray as _to_xarray
from spatial_duck.io._axis_aligned import require_axis_aligned
from spatial_duck.io._coords import coords_by_axis
from spatial_duck.io._layout import Rules, column_kinds, fit_layout
from spatial_duck.io.ngff._describe import describe_loss
from spatial_duck.pyramids import Pyramid

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry

__all__ = [
    "aligned",
    "from_multiscale_spatial_image",
    "from_spatial_image",
    "to_multiscale_spatial_image",
    "to_spatial_image",
]

_NAMES = ("t", "z", "y", "x")
#: Units by the long names that spatial-image and ngff-zarr check for.
LONG_UNITS = {
    "m": "meter", "km": "kilometer", "dm": "decimeter", "cm": "centimeter", "mm": "millimeter",
    "um": "micrometer", "nm": "nanometer", "pm": "picometer", "angstrom": "angstrom",
    "in": "inch", "ft": "foot", "s": "second", "ms": "millisecond", "us": "microsecond",
    "ns": "nanosecond", "min": "minute", "h": "hour", "d": "day",
}  # fmt: skip


def aligned(
    image: SpatialArray,
    name: str,
    oblique: str,
    options: tuple[str, ...],
    *,
    last: bool = False,
) -> SpatialArray:
    """Return an image in the axis order of libraries without a direction, or refuse it.

    Parameters
    ----------
    image : SpatialArray
        Any image.
    name : str
        Name of the library, for messages.
    oblique : str
        What to do with an oblique direction: ``"refuse"``, or one of `options`.
    options : tuple of str
        Values of `oblique` that accept the loss.
    last : bool, optional
        Whether a last axis of channels stays last; else it is moved between time and space.

    Returns
    -------
    SpatialArray
        Dims in the order time, channel, space.
    """
    keeps = last and image.ndim > 0 and image.ndim - 1 not in image.geometry.sampled_axes
    rules = Rules(name, (), plain="last" if keeps else "after time", max_plain=1, plain_names=None,
                  unspecified=True, named=True)  # fmt: skip
    data, g = fit_layout(image, rules)
    require_axis_aligned(g, name, oblique, options)
    names = [n or "c" for n in g.dims]
    plain = [i for i, kind in enumerate(column_kinds(g)) if kind == "plain"]
    for i in plain:
        if names[i] != "c":
            raise GeometryLossError(
                f"{name} cannot name the plain axis {names[i]!r}; call it 'c' with "
                "image.replace(dims=...)"
            )
    coords = {
        coord_name: (() if axis is None else axis, values, dict(attrs))
        for coord_name, (axis, values, attrs) in coords_by_axis(image, g.dims).items()
    }
    if names != list(g.dims):
        g = g.replace(dims=names)
    return SpatialArray(data, g, coords=coords, attrs=image.attrs)


def scale_and_translation(g: Geometry) -> tuple[dict[str, float], dict[str, float]]:
    """Return the spacing of each sampled axis, and the origin along the world axis of its name."""
    names = [str(g.dims[i]) for i in g.sampled_axes]
    scale = dict(zip(names, map(float, g.spacing), strict=True))
    origin = dict(zip(g.world.axes, map(float, g.origin), strict=True))
    return scale, {n: origin.get(n, 0.0) for n in names}


@names_lost_coords("spatial-image's array", from_xarray)
def to_spatial_image(
    image: SpatialArray,
    *,
    name: str = "image",
    oblique: Literal["refuse", "keep"] = "refuse",
) -> Any:
    """Return an image as a spatial-image DataArray that shares its memory.

    Parameters
    ----------
    image : SpatialArray
        An image of axes named t, z, y, x, and one plain axis.
    name : str, optional
        Name of the DataArray.
    oblique : {"refuse", "keep"}, optional
        Refuse an oblique direction, or keep it in attributes that other software ignores.

    Returns
    -------
    xarray.DataArray

    Raises
    ------
    GeometryLossError
        If the image is not aligned with its world axes.
    """
    image = as_image(image, "to_spatial_image")
    spatial_image = require("spatial_image", "Converting spatial-image")
    fit = aligned(image, "spatial-image", oblique, ("keep",), last=True)
    g = fit.geometry
    if 0 in g.shape:
        raise FormatError(f"spatial-image holds no image without voxels, got shape {g.shape}")
    scale, start = scale_and_translation(g)
    units = {
        n: LONG_UNITS.get(u, u)
        for n, u in zip(g.world.axes, g.unit, strict=True)
        if u is not None and n in scale
    }
    times = None
    if "t" in scale:
        times = start["t"] + scale["t"] * np.arange(g.shape[g.dims.index("t")])
    space = [n for n in scale if n != "t"]
    channels = fit.coords.get("channel")
    names = list(channels) if channels is not None and channels.dims == ("c",) else None
    try:
        out = spatial_image.to_spatial_image(
            fit.data, dims=g.dims, scale={n: scale[n] for n in space},
            translation={n: start[n] for n in space}, name=name, axis_units=units, t_coords=times,
            c_coords=names,
        )  # fmt: skip
    except ValueError as error:
        raise GeometryLossError(
            f"spatial-image does not support the dims {g.dims!r} ({error}); add an axis "
            "(image[None]) or index one with an integer"
        ) from error
    out.attrs.update(image.attrs)
    if oblique == "keep" and describe_loss(g):
        exact = _to_xarray(fit, wrap=False)
        out.attrs.update({k: v for k, v in exact.attrs.items() if k not in image.attrs})
        out = out.assign_coords(exact.coords)
    elif g.frame is not None:
        out.attrs["frame"] = g.frame
    # The coordinate of an axis of length 1 does not show its spacing.
    out.attrs.setdefault("spacing", [float(v) for v in g.spacing])
    out.attrs.setdefault("sampled", [str(g.dims[i]) for i in g.sampled_axes])
    return out


@from_library("a spatial_image (an xarray.DataArray)", "variable")
def from_spatial_image(array: Any) -> SpatialArray:
    """Return a spatial-image DataArray as a `SpatialArray` that shares its memory.

    Parameters
    ----------
    array : xarray.DataArray
        As `spatial_duck.from_xarray` takes it.
    """
    return from_xarray(array)


@from_library("a MultiscaleSpatialImage (an xarray.DataTree)", "children")
def from_multiscale_spatial_image(tree: Any) -> Pyramid:
    """Return a multiscale-spatial-image as a `Pyramid` that shares its memory.

    Parameters
    ----------
    tree : xarray.DataTree
        A tree with an array in each of ``scale0``, ``scale1`` and so on.

    Raises
    ------
    FormatError
        If a group does not hold one image, or there is no such group.
    """
    levels: list[SpatialArray] = []
    while f"scale{len(levels)}" in tree.children:
        group = tree.children[f"scale{len(levels)}"]
        arrays = [a for a in group.data_vars.values() if a.ndim > 1]
        if len(arrays) != 1:
            raise FormatError(
                f"scale{len(levels)} must hold one image, got {[str(n) for n in group.data_vars]}"
            )
        levels.append(from_xarray(arrays[0]))
    if not levels:
        raise FormatError(
            f"a multiscale-spatial-image has groups scale0, scale1, …, got {list(tree.children)}"
        )
    return Pyramid(levels)


@names_lost_coords("multiscale-spatial-image's tree", from_multiscale_spatial_image)
def to_multiscale_spatial_image(
    pyramid: Pyramid, *, name: str = "image", oblique: Literal["refuse", "keep"] = "refuse"
) -> Any:
    """Return a pyramid as a multiscale-spatial-image DataTree that shares its memory.

    Parameters
    ----------
    pyramid : Pyramid
        A pyramid of levels that `to_spatial_image` supports.
    name : str, optional
        Name of the arrays.
    oblique : {"refuse", "keep"}, optional
        As for `to_spatial_image`.

    Returns
    -------
    xarray.DataTree
    """
    import xarray

    groups = {}
    for n, level in enumerate(Pyramid(pyramid)):
        array = unwrap(to_spatial_image)(level, name=name, oblique=oblique)
        groups[f"/scale{n}"] = array.to_dataset(name=name)
    return xarray.DataTree.from_dict(groups)
