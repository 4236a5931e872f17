"""Metadata of an image for OME-Zarr 0.4, 0.5 and 0.6, with the library's own beside them.

Up to 0.5 the standard has a scale and a translation along the world axes of the same names. 0.6
(RFC-5) has coordinate systems: if a scale and a translation are not enough for an image, they map
its levels to a system "grid", which has the image's axes and its origin at voxel 0, and a rotation
or an affine map leads from there to the system "world".

`spatial_duck.io.ngff._format` documents the attributes; this module uses no arrays and no stores.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryLossError
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io._coords import coords_by_axis, coords_to_json
from spatial_duck.io._json import is_json
from spatial_duck.io._layout import Fitted, Rules, fit_layout
from spatial_duck.io.ngff._axes import array_axes, axes_of_world
from spatial_duck.io.ngff._channels import to_omero

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = [
    "GRID",
    "NAMESPACE",
    "NAMESPACE_VERSION",
    "VERSIONS",
    "WORLD",
    "affine_steps",
    "as_single_step",
    "channel_axis",
    "describe_loss",
    "in_ngff_order",
    "make_attributes",
    "translation",
    "translation_in_grid",
    "world_matrix",
]

NAMESPACE, NAMESPACE_VERSION = "spatial_duck", 1
#: Versions that are written, with the Zarr format of each.
VERSIONS = {"0.4": 2, "0.5": 3, "0.6": 3}
#: Names of coordinate systems (0.6).
GRID, WORLD = "grid", "world"
#: Tolerance within which a matrix is a rotation.
_ROUNDING = 1e-12

_RULES = Rules(
    "OME-Zarr", (), plain="after time", plain_names=None, unspecified=True, named=True, moment=True
)


# --- the image as the standard has it -------------------------------------------------------


def in_ngff_order(image: Any, version: str) -> Fitted:
    """Return an image with its axes in the order ``(t, c, z, y, x)``, in its own world.

    With 0.6 it gets an axis of length 1 for each world axis along which it has no array axis.

    Raises
    ------
    GeometryLossError
        If it has other or more axes than the standard.
    """
    world = image.geometry.world
    rules, minimum = _RULES, 2
    if version == "0.6":
        minimum = max(2, sum(name in SPACE_AXES for name in world.axes))
        rules = _RULES._replace(moment=False)
    out = fit_layout(image, rules, minimum=minimum)
    g = out.geometry
    n_space = sum(name in SPACE_AXES and i in g.sampled_axes for i, name in enumerate(g.dims))
    if not 2 <= n_space <= 3 or not 2 <= g.ndim <= 5:
        raise GeometryLossError(
            f"OME-Zarr holds 2 or 3 space axes, and at most one time and one channel axis; the "
            f"image has dims {image.dims!r}; add an axis (image[None]) or index one with an integer"
        )
    order = [*world.axes, *[n for n in g.world.axes if n not in world.axes]]
    return Fitted(out.data, g.to_world(order))


def describe_loss(geometry: Geometry) -> str:
    """Return text on what a scale and a translation would lose of a geometry; empty if nothing."""
    lost = []
    names = [geometry.dims[i] for i in geometry.sampled_axes]
    for name, column in zip(names, geometry.direction.T, strict=True):
        along = [geometry.world.axes[r] for r in np.flatnonzero(column)]
        if len(along) > 1:
            lost.append(f"the oblique direction of axis {name!r} ({_numbers(column)})")
        elif along != [name]:
            lost.append(f"that axis {name!r} runs along the world's {along[0]!r}")
        elif column.min() < 0:
            lost.append(f"that axis {name!r} runs backwards")
    extra = [n for n in geometry.world.axes if n not in names]
    if extra:
        lost.append(f"the position along the world axes {extra!r}")
    return ", ".join(lost)


def _numbers(column: Any) -> str:
    return ", ".join(f"{v:.6g}" for v in column)


# --- positions of levels --------------------------------------------------------------------


def translation(geometry: Geometry, first: Geometry) -> list[float]:
    """Return the translation of a level for 0.4 and 0.5, given the finest level.

    It is the origin along the world axis of each axis's name. If an axis is oblique it is that of
    the finest level, plus the distance between both along that axis, so that other readers, which
    see the image unrotated, see the levels on top of each other.
    """
    steps = first.physical_to_index(geometry.origin)
    out = []
    for axis, spacing, column in zip(
        first.sampled_axes, first.spacing, first.direction.T, strict=True
    ):
        name = first.dims[axis]
        row = first.world.axes.index(name) if name in first.world.axes else None
        if row is not None and column[row] == 1:
            out.append(float(geometry.origin[row]))
        else:
            start = first.origin[row] if row is not None else 0.0
            out.append(float(start + steps[axis] * spacing))
    return out


def translation_in_grid(geometry: Geometry, first: Geometry) -> list[float]:
    """Return the translation of a level in the system "grid"."""
    steps = first.physical_to_index(geometry.origin)
    sampled = list(first.sampled_axes)
    return [float(v) for v in steps[sampled] * first.spacing]


def _in_array_order(geometry: Geometry, numbers: Any, plain: float) -> list[float]:
    """Return a number for each array axis, given those of the sampled ones."""
    out = [plain] * geometry.ndim
    for axis, value in zip(geometry.sampled_axes, numbers, strict=True):
        out[axis] = float(value)
    return out


def world_axis_order(geometry: Geometry) -> list[int | None]:
    """Return the order of the world's axes in the standard: one for each sampled array axis.

    The standard requires time first and space last, so a world axis has the position of an array
    axis of its type, and those of space are in the order z, y, x. Plain axes have None.
    """
    names = geometry.world.axes
    space = sorted((n for n in names if n in SPACE_AXES), key="zyx".index)
    out: list[int | None] = []
    for axis, name in enumerate(geometry.dims):
        if axis not in geometry.sampled_axes:
            out.append(None)
        else:
            out.append(names.index("t" if name == "t" else space.pop(0)))
    return out


def world_matrix(geometry: Geometry) -> Floats:
    """Return the homogeneous matrix from the system "grid" to the system "world".

    Parameters
    ----------
    geometry : Geometry
        Geometry of the finest level, with as many sampled axes as world axes.
    """
    n = geometry.ndim
    matrix = np.eye(n + 1)
    columns = dict(zip(geometry.sampled_axes, geometry.direction.T, strict=True))
    for row, world in enumerate(world_axis_order(geometry)):
        if world is None:
            continue
        matrix[row, row] = 0.0
        for column, direction in columns.items():
            matrix[row, column] = direction[world]
        matrix[row, n] = geometry.origin[world]
    return matrix


def affine_steps(matrix: Floats) -> list[dict[str, Any]]:
    """Return the simplest transformations (0.6) that make a homogeneous matrix.

    Examples
    --------
    >>> affine_steps(np.array([[2.0, 0.0, 1.0], [0.0, 3.0, 0.0], [0.0, 0.0, 1.0]]))
    [{'type': 'scale', 'scale': [2.0, 3.0]}, {'type': 'translation', 'translation': [1.0, 0.0]}]
    """
    linear, offset = matrix[:-1, :-1], matrix[:-1, -1]
    diagonal = np.diag(linear)
    after = [{"type": "translation", "translation": offset.tolist()}] if offset.any() else []
    if np.array_equal(linear, np.eye(len(linear))):
        return after or [{"type": "identity"}]
    if np.array_equal(linear, np.diag(diagonal)) and (diagonal > 0).all():
        return [{"type": "scale", "scale": diagonal.tolist()}, *after]
    square = linear @ linear.T
    if np.allclose(square, np.eye(len(linear)), 0, _ROUNDING) and np.linalg.det(linear) > 0:
        return [{"type": "rotation", "rotation": linear.tolist()}, *after]
    return [{"type": "affine", "affine": matrix[:-1].tolist()}]


def as_single_step(steps: Sequence[Mapping[str, Any]], start: Any, end: Any) -> dict[str, Any]:
    """Return transformations as a single one from a coordinate system to another."""
    whole = steps[0] if len(steps) == 1 else {"type": "sequence", "transformations": list(steps)}
    return {**whole, "input": start, "output": end}


# --- attributes -----------------------------------------------------------------------------


def make_attributes(
    image: Any, geometries: Sequence[Geometry], version: str, method: str, name: str
) -> dict[str, Any]:
    """Return a group's attributes.

    Parameters
    ----------
    image : SpatialArray
        Its coordinates, attrs and type are described; its voxels are not read.
    geometries : sequence of Geometry
        Geometry of each level, with axes as `in_ngff_order` returns them.
    version : str
        Version of OME-Zarr.
    method : str
        Method by which the levels were made.
    name : str
        Name of the image if its attrs have none.
    """
    given = image.attrs.get("ome")
    kept = dict(given) if isinstance(given, Mapping) else {}
    fields = {key: kept[key] for key in ("name", "metadata") if key in kept}
    entry = {"name": name, **fields, "type": method}
    entry |= (_with_systems if version == "0.6" else _with_axes)(geometries)
    ome: dict[str, Any] = {"multiscales": [entry]}
    labels = kept.get("image-label")
    if isinstance(labels, Mapping):
        # The caller adds the source if the labels are written beside their image.
        rest = {k: v for k, v in labels.items() if k not in ("source", "version")}
        ome["image-label"] = {**rest, "version": version}
    if version == "0.4":
        entry["version"] = version
    own = _own_attributes(image.attrs, geometries)
    _add_coordinates(ome, own, image, geometries[0], kept)
    out = ome if version == "0.4" else {"ome": {"version": version, **ome}}
    return {**out, NAMESPACE: own}


def _add_coordinates(
    ome: dict[str, Any], own: dict[str, Any], image: Any, first: Geometry, kept: Mapping[str, Any]
) -> None:
    """Add an image's coordinates: of channels as ``omero``, others to the library's attributes."""
    coords = coords_by_axis(image, first.dims)
    axis = channel_axis(first)
    count = 1 if axis is None else first.shape[axis]
    omero, names = to_omero(coords, axis, count, image.dtype)
    if omero is not None:
        ome["omero"] = omero
        own["omero"] = names
    rest = {name: coord for name, coord in coords.items() if name not in names}
    if rest:
        own["coords"] = coords_to_json(rest)
    omero_attrs = kept.get("omero")
    has_channels = isinstance(omero_attrs, Mapping) and omero_attrs.get("channels")
    if has_channels and "channel" not in coords:
        warnings.warn(
            "attrs['ome']['omero']['channels'] is not written, as attrs do not follow the "
            "channels: give names, colors and windows as coordinates of the channel axis, such as "
            "coords={'channel': ('c', ['DAPI', 'GFP'])}",
            UserWarning,
            stacklevel=6,
        )


def channel_axis(geometry: Geometry) -> int | None:
    """Return the channel axis of an image in the standard's order: its plain axis, or None."""
    return next((i for i in range(geometry.ndim) if i not in geometry.sampled_axes), None)


def _with_axes(geometries: Sequence[Geometry]) -> dict[str, Any]:
    """Return axes and levels of 0.4 and 0.5."""
    first = geometries[0]
    datasets = []
    for n, g in enumerate(geometries):
        steps = [
            {"type": "scale", "scale": _in_array_order(g, g.spacing, 1.0)},
            {"type": "translation",
             "translation": _in_array_order(g, translation(g, first), 0.0)},
        ]  # fmt: skip
        datasets.append({"path": str(n), "coordinateTransformations": steps})
    axes = array_axes(first, in_world=not describe_loss(first))
    return {"axes": axes, "datasets": datasets}


def _with_systems(geometries: Sequence[Geometry]) -> dict[str, Any]:
    """Return coordinate systems, levels and further transformations of 0.6."""
    first = geometries[0]
    aligned = not describe_loss(first)
    name = WORLD if aligned else GRID
    datasets = []
    for n, g in enumerate(geometries):
        moved = translation(g, first) if aligned else translation_in_grid(g, first)
        steps: list[dict[str, Any]] = [
            {"type": "scale", "scale": _in_array_order(g, g.spacing, 1.0)}
        ]
        if any(moved):
            shift = _in_array_order(g, moved, 0.0)
            steps.append({"type": "translation", "translation": shift})
        whole = as_single_step(steps, {"path": str(n)}, {"name": name})
        datasets.append({"path": str(n), "coordinateTransformations": [whole]})
    systems = [{"name": name, "axes": array_axes(first, in_world=aligned)}]
    found: dict[str, Any] = {"coordinateSystems": systems, "datasets": datasets}
    if not aligned:
        axes = array_axes(first, in_world=False)
        of_world = axes_of_world(first.world)
        for axis, row in enumerate(world_axis_order(first)):
            if row is not None:
                axes[axis] = of_world[row]
        systems.append({"name": WORLD, "axes": axes})
        steps = affine_steps(world_matrix(first))
        found["coordinateTransformations"] = [
            as_single_step(steps, {"name": GRID}, {"name": WORLD})
        ]
    return found


def _own_attributes(attrs: Mapping[str, Any], geometries: Sequence[Geometry]) -> dict[str, Any]:
    world = geometries[0].world
    return {
        "version": NAMESPACE_VERSION,
        "world": {"axes": list(world.axes), "units": list(world.units), "frame": world.frame},
        "levels": [
            {
                "path": str(n),
                "dims": list(g.dims),
                "sampled": [g.dims[i] for i in g.sampled_axes],
                "shape": list(g.shape),
                "spacing": g.spacing.tolist(),
                "origin": g.origin.tolist(),
                "direction": g.direction.tolist(),
            }
            for n, g in enumerate(geometries)
        ],
        "attrs": {k: v for k, v in attrs.items() if k != "ome" and is_json(v)},
    }
