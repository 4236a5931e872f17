"""ngff-zarr's `NgffImage` and `Multiscales`, to and from.

An NgffImage has a Dask array, dims among t, z, y, x and c, and a scale and translation of voxel
centres for each. It has no direction. A frame is stored as anatomical orientations (RFC-4) of the
three space axes. Names and colors of channels are coordinates; in Multiscales, which have
``omero``, their display windows too.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from inspect import unwrap
from typing import Any, Literal

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import from_library
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.interop._spatial_image import LONG_UNITS, aligned, scale_and_translation
from spatial_duck.io._coords import coords_by_axis
from spatial_duck.io.ngff._channels import from_omero, to_omero
from spatial_duck.pyramids import Pyramid

__all__ = ["from_ngff_image", "from_ngff_multiscales", "to_ngff_image", "to_ngff_multiscales"]

_ORIENTATIONS = {
    "L": "right-to-left", "R": "left-to-right", "P": "anterior-to-posterior",
    "A": "posterior-to-anterior", "S": "inferior-to-superior", "I": "superior-to-inferior",
}  # fmt: skip
_LETTERS = {name: letter for letter, name in _ORIENTATIONS.items()}


@from_library("an ngff_zarr.NgffImage", "dims", "scale")
def from_ngff_image(image: Any) -> SpatialArray:
    """Return an `NgffImage` as a `SpatialArray` that holds its Dask array.

    Parameters
    ----------
    image : ngff_zarr.NgffImage
        Any image.

    Returns
    -------
    SpatialArray
        With the image's dims; the frame is that of its anatomical orientations, or unspecified.
    """
    dims = tuple(str(d) for d in image.dims)
    sampled = [d for d in dims if d in (*SPACE_AXES, "t")]
    scale = np.array([float(image.scale.get(n, 1.0)) for n in sampled])
    units = dict(image.axes_units or {})
    orientations = getattr(image, "axes_orientations", None) or {}
    frame = ""
    for n in SPACE_AXES:
        value = getattr(orientations.get(n), "value", None)
        frame += _LETTERS.get(str(getattr(value, "value", value)), "")
    geometry = Geometry(
        tuple(image.data.shape), abs(scale).tolist(),
        [float(image.translation.get(n, 0.0)) for n in sampled],
        np.diag(np.where(scale < 0, -1.0, 1.0)), dims,
        world=World(sampled, {n: units.get(n) or None for n in sampled},
                    frame if len(frame) == 3 else None),
    )  # fmt: skip
    return SpatialArray(image.data, geometry, coords=_named_channels(image, dims))


def _named_channels(image: Any, dims: tuple[str, ...]) -> dict[str, Any]:
    """Return names and colors of channels, which newer versions of ngff-zarr have."""
    channels = {
        "channel": getattr(image, "channel_names", None),
        "channel_color": getattr(image, "channel_colors", None),
    }
    count = image.data.shape[dims.index("c")] if "c" in dims else 0
    return {
        name: ("c", [str(v or "") for v in values])
        for name, values in channels.items()
        if values and len(values) == count
    }


@from_library("an ngff_zarr.Multiscales", "images", "metadata")
def from_ngff_multiscales(multiscales: Any) -> Pyramid:
    """Return ngff-zarr's `Multiscales` as a `Pyramid` that holds their Dask arrays.

    Parameters
    ----------
    multiscales : ngff_zarr.Multiscales
        Any Multiscales.
    """
    levels = [from_ngff_image(image) for image in multiscales.images]
    omero = getattr(multiscales.metadata, "omero", None)
    if omero is None:
        return Pyramid(levels)
    axis = levels[0].dims.index("c") if "c" in levels[0].dims else None
    count = 1 if axis is None else levels[0].shape[axis]
    coords = from_omero("ngff-zarr", asdict(omero), axis, count)
    return Pyramid([level.replace(coords={**level.coords, **coords}) for level in levels])


@names_lost_coords("ngff-zarr's NgffImage", from_ngff_image)
def to_ngff_image(
    image: SpatialArray, *, name: str = "image", oblique: Literal["refuse", "drop"] = "refuse"
) -> Any:
    """Return an image as an `NgffImage`.

    Parameters
    ----------
    image : SpatialArray
        An image of axes named t, z, y, x, and one plain axis. Data that are no Dask array are
        wrapped in one.
    name : str, optional
        Name of the image.
    oblique : {"refuse", "drop"}, optional
        Refuse an oblique direction, or drop it and the position along missing space axes.

    Returns
    -------
    ngff_zarr.NgffImage
        An image for ``ngff_zarr.to_multiscales`` and ``to_ngff_zarr``.

    Raises
    ------
    GeometryLossError
        If the image is not aligned with its world axes.
    """
    image = as_image(image, "to_ngff_image")
    da = require("dask.array", "Converting ngff-zarr's images")
    ngff_zarr = require("ngff_zarr", "Converting ngff-zarr's images")
    fit = aligned(image, "ngff-zarr", oblique, ("drop",))
    g = fit.geometry
    scale, translation = scale_and_translation(g)
    if 0 in g.shape:
        raise FormatError(f"ngff-zarr cannot hold an image without voxels, got shape {g.shape}")
    data = fit.data
    data = backends.dask_form(data) if backends.is_lazy(data) else da.from_array(data)
    units = {n: LONG_UNITS.get(u or "", u) for n, u in zip(g.world.axes, g.unit, strict=True)
             if u is not None and n in scale}  # fmt: skip
    orientations = None
    if g.frame is not None and set(SPACE_AXES) <= set(g.dims):
        values = {v.value: v for v in ngff_zarr.AnatomicalOrientationValues}
        orientations = {
            n: ngff_zarr.AnatomicalOrientation(value=values[_ORIENTATIONS[letter]])
            for n, letter in zip(SPACE_AXES, g.frame, strict=True)
        }
    out = ngff_zarr.NgffImage(
        data, tuple(g.dims), scale, translation, name=name, axes_units=units or None,
        axes_orientations=orientations,
    )  # fmt: skip
    names = {field.name for field in fields(out)}  # older versions have no fields for channels
    for name, field in (("channel", "channel_names"), ("channel_color", "channel_colors")):
        coordinate = fit.coords.get(name)
        if field in names and coordinate is not None and coordinate.dims == ("c",):
            setattr(out, field, list(coordinate))
    return out


@names_lost_coords("ngff-zarr's Multiscales", from_ngff_multiscales)
def to_ngff_multiscales(
    pyramid: Pyramid, *, name: str = "image", oblique: Literal["refuse", "drop"] = "refuse"
) -> Any:
    """Return a pyramid as ngff-zarr's `Multiscales`, with the levels that it has.

    Parameters
    ----------
    pyramid : Pyramid
        A pyramid, whose levels are not computed.
    name : str, optional
        Name of the image.
    oblique : {"refuse", "drop"}, optional
        As for `to_ngff_image`.

    Returns
    -------
    ngff_zarr.Multiscales
        Levels with a scale and translation each, for ``ngff_zarr.to_ngff_zarr``.

    Raises
    ------
    GeometryLossError
        If the levels are not aligned with their world axes.
    """
    images = [
        unwrap(to_ngff_image)(level, name=name, oblique=oblique) for level in Pyramid(pyramid)
    ]
    import ngff_zarr
    from ngff_zarr.v04.zarr_metadata import Axis, Dataset, Metadata, Scale, Translation

    first = images[0]
    units, orientations = first.axes_units or {}, first.axes_orientations or {}
    axes = [
        Axis(n, "time" if n == "t" else "space" if n in SPACE_AXES else "channel", units.get(n),
             orientations.get(n))
        for n in first.dims
    ]  # fmt: skip
    datasets = [
        Dataset(
            f"scale{number}/{name}",
            [
                Scale([float(image.scale.get(n, 1)) for n in image.dims]),
                Translation([float(image.translation.get(n, 0)) for n in image.dims]),
            ],
        )
        for number, image in enumerate(images)
    ]
    # The class has another name in newer versions.
    cls = getattr(ngff_zarr, "NgffMultiscales", None) or ngff_zarr.Multiscales
    return cls(images, Metadata(axes, datasets, None, _omero(pyramid[0], first.dims), name=name))


def _omero(image: SpatialArray, dims: tuple[str, ...]) -> Any:
    from ngff_zarr.v04.zarr_metadata import Omero, OmeroChannel, OmeroWindow

    plain = [a for a in range(image.ndim) if a not in image.geometry.sampled_axes]
    axis = dims.index("c") if "c" in dims else None
    count = image.shape[plain[0]] if plain else 1
    names = ["c" if a in plain else name for a, name in enumerate(image.dims)]
    coords = {
        name: c._replace(axis=None if c.axis is None else dims.index(names[c.axis] or "c"))
        for name, c in coords_by_axis(image, image.dims).items()
    }
    omero, _ = to_omero(coords, axis, count, image.dtype)
    if omero is None:
        return None
    return Omero(
        [
            OmeroChannel(c["color"], OmeroWindow(**c["window"]), c.get("label"))
            for c in omero["channels"]
        ]
    )
