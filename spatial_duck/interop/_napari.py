"""napari's layer data, to and from: a tuple ``(data, arguments, kind)``.

napari's readers, writers and ``viewer.add_layer(Layer.create(*layer))`` take such tuples::

    data, arguments, kind = to_napari(image)
    viewer.add_image(data, **arguments)

The layer's world axes have the names and the order of the array's axes, so that images with the
same dims overlap correctly, whatever their grids. Plain axes run from 0 in steps of 1. The affine
contains direction, shear and origin. napari is not imported.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from spatial_duck.array import SpatialArray, as_image
from spatial_duck.array._asarray import type_error
from spatial_duck.errors import FormatError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._validation import SAMPLED_NAMES
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.interop._lost_coords import names_lost_coords
from spatial_duck.io._layout import add_space_axes, add_time_axis, column_kinds

__all__ = ["from_napari", "to_napari"]

_KEY = "spatial_duck"
#: Units by the names of pint, which napari uses.
_UNITS = {None: "pixel", "angstrom": "angstrom", "in": "inch", "ft": "foot", "um": "um"}


@names_lost_coords("napari's layer", None)
def to_napari(
    image: SpatialArray, *, name: str | None = None, kind: Literal["image", "labels"] = "image"
) -> tuple[Any, dict[str, Any], str]:
    """Return an image as napari's layer data; nothing is copied or computed.

    Parameters
    ----------
    image : SpatialArray
        An image with any axes. A slice in 3-D gets the missing axis, of length 1, in front.
    name : str, optional
        Name of the layer.
    kind : {"image", "labels"}, optional
        Kind of the layer.

    Returns
    -------
    data : array
        Array of the image's backend.
    arguments : dict
        ``affine``, ``axis_labels``, ``units``, ``metadata`` and ``name``, for ``add_image`` or
        ``add_labels``.
    kind : str
        As given.

    Raises
    ------
    GeometryLossError
        If the positions along an axis were lost, or a sampled axis does not have the name of a
        world axis.
    """
    image = as_image(image, "to_napari")
    if kind not in ("image", "labels"):
        raise ValueError(f"kind must be 'image' or 'labels', got {kind!r}")
    g = image.geometry
    for axis, function in g.lost_axes.items():
        raise GeometryLossError(
            f"napari: the positions along axis {axis} ({g.dims[axis]!r}) were lost by {function!r}"
        )
    full = add_space_axes(g)
    if "t" in g.world.axes and "time" not in column_kinds(g):
        full = add_time_axis(full)
    added = full.ndim - g.ndim
    order = (*range(g.ndim, full.ndim), *range(g.ndim))
    g = full.transpose(order)
    data: Any = np.expand_dims(image, tuple(range(added))).data if added else image.data
    names = [g.dims[i] for i in g.sampled_axes]
    if set(names) != set(g.world.axes):
        raise GeometryLossError(
            f"napari names world axes after the array's, and the sampled axes {names!r} are not "
            f"named like the world's {g.world.axes!r}; rename them with image.replace(dims=...)"
        )
    g = g.to_world([str(n) for n in names])
    affine = np.eye(g.ndim + 1)
    rows = list(g.sampled_axes)
    affine[np.ix_([*rows, g.ndim], [*rows, g.ndim])] = g.affine
    units = dict(zip(g.world.axes, g.unit, strict=True))
    labels = [label or f"axis {i - g.ndim}" for i, label in enumerate(g.dims)]
    arguments: dict[str, Any] = {
        "affine": affine,
        "axis_labels": tuple(labels),
        "units": tuple(_unit(units.get(str(n))) for n in g.dims),
        "metadata": {_KEY: {"dims": g.dims, "frame": g.frame, "units": units,
                            "sampled": names, "attrs": dict(image.attrs)}},
    }  # fmt: skip
    if name is not None:
        arguments["name"] = name
    return data, arguments, kind


def _unit(unit: str | None) -> str:
    return _UNITS.get(unit, unit or "pixel")


def from_napari(layer: Any) -> SpatialArray:
    """Return napari's layer data, or a layer, as a `SpatialArray`.

    Parameters
    ----------
    layer : tuple or napari.layers.Layer
        ``(data, arguments, kind)``, or an image or labels layer. Its affine is combined with
        ``scale``, ``translate``, ``rotate`` and ``shear`` of a layer, or with ``scale`` and
        ``translate`` of a tuple.

    Returns
    -------
    SpatialArray
        Dims of ``axis_labels`` where they are names, else ``(z, y, x)``.
    """
    if isinstance(layer, tuple):
        data = layer[0]
        arguments = dict(layer[1]) if len(layer) > 1 else {}
        matrix = _matrix(arguments, data.ndim)
        if "rotate" in arguments or "shear" in arguments:
            raise FormatError(
                "a layer tuple with rotate or shear is not supported: make a napari layer of it "
                "first, napari.layers.Layer.create(*layer)"
            )
        labels, units = arguments.get("axis_labels"), arguments.get("units")
        metadata = arguments.get("metadata") or {}
    else:
        if not hasattr(layer, "data_to_world"):
            raise type_error("from_napari", "a layer of napari or a tuple of its data", layer)
        data, metadata = layer.data, dict(layer.metadata)
        corner = np.zeros(data.ndim)
        start = np.asarray(layer.data_to_world(corner), np.float64)
        matrix = np.eye(data.ndim + 1)
        for i, unit_vector in enumerate(np.eye(data.ndim)):
            matrix[:-1, i] = np.asarray(layer.data_to_world(unit_vector), np.float64) - start
        matrix[:-1, -1] = start
        labels, units = layer.axis_labels, layer.units
    own = metadata.get(_KEY) or {}
    dims: tuple[str | None, ...] = tuple(own.get("dims") or ())
    if len(dims) != data.ndim:
        dims = _dims(labels, data.ndim)
    sampled = own.get("sampled") or [n for n in dims if n in SAMPLED_NAMES]
    rows = [i for i, n in enumerate(dims) if n in sampled]
    names = [str(dims[i]) for i in rows]
    plain = [i for i in range(data.ndim) if i not in rows]
    if matrix[np.ix_(rows, plain)].any() or matrix[np.ix_(plain, rows)].any():
        raise GeometryError(f"the affine mixes plain axes with others: {matrix.tolist()}")
    kept = own.get("units") or {}
    given = dict(zip(range(data.ndim), units or (), strict=False))
    found = {n: kept.get(n, _unit_back(given.get(i))) for n, i in zip(names, rows, strict=True)}
    if not rows:
        return SpatialArray(data, dims=dims, world=World(()), attrs=own.get("attrs"))
    keep = [*rows, data.ndim]
    space = [n for n in names if n in SPACE_AXES]
    geometry = Geometry.from_affine(
        data.shape, matrix[np.ix_(keep, keep)], dims, sampled=names,
        world=World(names, found, own.get("frame") if space else None),
    )  # fmt: skip
    return SpatialArray(data, geometry, attrs=own.get("attrs"))


def _unit_back(unit: Any) -> str | None:
    text = str(unit) if unit is not None else ""
    return None if text in ("", "pixel", "pixels") else text


def _dims(labels: Any, ndim: int) -> tuple[str | None, ...]:
    names = tuple(str(label) for label in labels or ())
    if len(names) == ndim and any(n in SAMPLED_NAMES for n in names):
        return tuple(n if n.isidentifier() else None for n in names)
    return (*[None] * (ndim - 3), *("z", "y", "x")[max(3 - ndim, 0) :])


def _matrix(arguments: dict[str, Any], ndim: int) -> Any:
    matrix = np.eye(ndim + 1)
    matrix[:-1, :-1] = np.diag(np.broadcast_to(arguments.get("scale") or 1.0, ndim))
    matrix[:-1, -1] = np.broadcast_to(
        0.0 if arguments.get("translate") is None else arguments["translate"], ndim
    )
    affine = arguments.get("affine")
    return matrix if affine is None else np.asarray(affine, np.float64) @ matrix
