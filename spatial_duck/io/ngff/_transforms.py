"""OME-Zarr 0.6 (RFC-5): transforms as transformations between two coordinate systems.

A document is a ``scene`` without images: the systems "fixed" and "moving", with the axes of the
transform's world, and one transformation that maps points of the first to points of the second::

    {"version": "0.6",
     "scene": {"coordinateSystems": [{"name": "fixed", "axes": [...]}, {"name": "moving", ...}],
               "coordinateTransformations": [{"type": "affine", "affine": [...],
                                              "input": {"name": "fixed"},
                                              "output": {"name": "moving"}}]}}

A matrix is written as the simplest transformation that makes it: identity, translation, scale,
rotation, a scale or a rotation before a translation, or affine; the numbers are those of the
matrix. The parts of a composite are a sequence, in the order in which they are applied to points.

The systems' axes are in the order t, z, y, x, as those of images.

A displacement field is an image of its own. The standard positions it by a scale and a translation
along the axes of the system, so that the array is permuted and flipped until its axes run along
those of the world; an oblique grid is stored in coordinates of its own, between an affine map to
them and one back. Frames are the anatomical orientations of axes (RFC-4).

This module reads no stores and no files: `spatial_duck.io.ngff._transform_store` does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError, GeometryLossError
from spatial_duck.geometry import Geometry, World
from spatial_duck.io.ngff._axes import axes_of_world, sampled_axes, world_of_axes
from spatial_duck.io.ngff._describe import affine_steps
from spatial_duck.io.ngff._systems import Loader, matrix_of
from spatial_duck.transforms import Affine, BSpline, Composite, DisplacementField, Transform
from spatial_duck.transforms._base import sub_world, world_change
from spatial_duck.transforms._bspline import geometry_in_world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Axes = Sequence[Mapping[str, Any]]
    Item = Mapping[str, Any]

__all__ = ["VERSION", "Field", "Surroundings", "field_attributes", "make_document", "read_document"]

VERSION = "0.6"
#: Folder of the fields in a group, as in the standard.
_FOLDER = "coordinateTransformations"
_FIXED, _MOVING = "fixed", "moving"
#: Greatest depth of nested transformations.
_MAX_DEPTH = 16
#: Order of the axes; those of other names come first.
_AXIS_ORDER = "tzyx"


class Field(NamedTuple):
    """Vectors on a grid whose axes run along those of a world.

    Attributes
    ----------
    vectors : ndarray, shape (n, *lengths)
        One component for each axis, in their order.
    spacing, origin : sequence of float
        Distance between vectors, and position of the first, along each axis.
    axes : sequence of mapping
        Axes of the coordinate system.
    """

    vectors: NDArray[Any]
    spacing: Sequence[float]
    origin: Sequence[float]
    axes: Axes


class Surroundings(NamedTuple):
    """Functions that read what a document refers to, by its path.

    Attributes
    ----------
    load : callable
        Returns the numbers of a Zarr array.
    field : callable
        Returns a displacement field as a SpatialArray in memory, its one plain axis anywhere.
    systems : callable
        Returns the axes of each coordinate system of an image, by its name.
    """

    load: Loader
    field: Callable[[str], SpatialArray]
    systems: Callable[[str], Mapping[str, Axes]]


# --- writing ------------------------------------------------------------------------------


def make_document(
    transform: Transform, frame: str | None = None
) -> tuple[dict[str, Any], dict[str, Field]]:
    """Return the document of a transform, and the fields that it refers to, by their paths.

    Parameters
    ----------
    transform : Transform
        Over two or three axes of space, and perhaps time. Lazy fields are read into memory.
    frame : str, optional
        The frame, if the transform's world has none.

    Raises
    ------
    GeometryLossError
        If the standard cannot hold it.
    """
    world = transform.world
    time = [name for name in world.axes if name == "t"]
    if not 2 <= len(world.axes) - len(time) <= 3:
        raise GeometryLossError(
            f"OME-Zarr's coordinate systems have two or three axes of space, got {world.axes!r}"
        )
    transform = transform.to_world(sub_world(world, sorted(world.axes, key=_AXIS_ORDER.find)))
    splines = isinstance(transform, BSpline)
    if not splines and isinstance(transform, Composite):
        splines = any(isinstance(part, BSpline) for part in transform.transforms)
    if splines:
        raise GeometryLossError(
            f"OME-Zarr {VERSION} holds matrices, displacement fields and sequences of these, and "
            "no B-spline: give transform.field(geometry), with a geometry that covers the output"
        )
    parts = transform.parts
    world = transform.world
    axes = axes_of_world(World(world.axes, world.units, world.frame or frame))
    items: list[dict[str, Any]] = []
    fields: dict[str, Field] = {}
    for part in parts:
        if isinstance(part, Affine):
            items += affine_steps(part.matrix)
        elif isinstance(part, DisplacementField):
            path = f"{_FOLDER}/field{len(fields)}"
            to_world, fields[path] = _field(part, axes)
            item = {"type": "displacements", "path": path, "interpolation": "linear"}
            items += [item] if to_world is None else [
                *affine_steps(np.linalg.inv(to_world)), item, *affine_steps(to_world)
            ]  # fmt: skip
    whole = items[0] if len(items) == 1 else {"type": "sequence", "transformations": items}
    ends = {"input": {"name": _FIXED}, "output": {"name": _MOVING}}
    scene = {
        "coordinateSystems": [{"name": name, "axes": axes} for name in (_FIXED, _MOVING)],
        "coordinateTransformations": [whole | ends],
    }
    return {"version": VERSION, "scene": scene}, fields


def _field(field: DisplacementField, axes: Axes) -> tuple[Floats | None, Field]:
    """Return the matrix from a stored field's coordinates to the world's, and the stored field.

    The matrix is None if the coordinates are the world's.
    """
    world = field.world
    if sorted(field.axes) != sorted(world.axes) or "t" in world.axes:
        raise GeometryLossError(
            f"OME-Zarr's displacement fields move points along all axes of a system, all of space; "
            f"this one moves {field.axes!r} of {world.axes!r}: bring it to a world of these alone "
            "with to_world(...)"
        )
    vectors = np.asarray(field.data)
    rotation = field.vectors[[field.axes.index(name) for name in world.axes]]
    if not np.array_equal(rotation, np.eye(len(rotation))):
        vectors = np.tensordot(rotation, vectors, 1)
    g = geometry_in_world(field.image.geometry, world)
    direction, spacing, origin = g.direction, g.spacing, np.array(g.origin)
    runs = direction != 0
    if not ((runs.sum(0) == 1).all() and (runs.sum(1) == 1).all()):
        back = np.linalg.inv(direction)
        to_world = np.eye(len(rotation) + 1)
        to_world[:-1, :-1], to_world[:-1, -1] = direction, origin
        still = [0.0] * len(rotation)
        return to_world, Field(np.tensordot(back, vectors, 1), spacing.tolist(), still, axes)
    order = np.argmax(runs, axis=1)
    vectors = vectors.transpose(0, *(1 + order))
    spacing = spacing[order]
    for row, axis in enumerate(order.tolist()):
        if direction[row, axis] < 0:
            vectors = np.flip(vectors, 1 + row)
            origin[row] -= (vectors.shape[1 + row] - 1) * spacing[row]
    return None, Field(vectors, spacing.tolist(), origin.tolist(), axes)


def field_attributes(field: Field, name: str, array: str) -> dict[str, Any]:
    """Return the attributes of the group of a field, whose array has the components first."""
    component = "c" if all(axis["name"] != "c" for axis in field.axes) else "component"
    system = {
        "name": "physical",
        "axes": [{"name": component, "type": "displacement", "discrete": True}, *field.axes],
    }
    placed = {
        "type": "sequence",
        "input": {"path": array},
        "output": {"name": "physical"},
        "transformations": [
            {"type": "scale", "scale": [1.0, *field.spacing]},
            {"type": "translation", "translation": [0.0, *field.origin]},
        ],
    }
    entry = {
        "name": name,
        "coordinateSystems": [system],
        "datasets": [{"path": array, "coordinateTransformations": [placed]}],
    }
    return {"ome": {"version": VERSION, "multiscales": [entry]}}


# --- reading ------------------------------------------------------------------------------


def read_document(ome: Any, surroundings: Surroundings, frame: str | None = None) -> Transform:
    """Return the transform of a document.

    Parameters
    ----------
    ome : mapping
        A scene, or its ``coordinateSystems`` and ``coordinateTransformations`` alone, as in the
        standard's examples.
    surroundings : Surroundings
        Functions that read what it refers to.
    frame : str, optional
        The frame, if the axes have no orientations.

    Returns
    -------
    Transform
        From points of the input system to points of the output system, in the world of the input
        system: its axes of space and time.

    Raises
    ------
    FormatError, AttributeError, KeyError, TypeError, ValueError
        If it is not valid, or no transform of this package.
    """
    if "multiscales" in ome:
        raise FormatError("it is an image; sd.read opens it, with system= the system wanted")
    scene = ome.get("scene", ome)
    items: Sequence[Item] = scene.get("coordinateTransformations") or ()
    if len(items) != 1:
        raise FormatError(f"expected one transformation, got {len(items)}")
    item = items[0]
    own = {str(s["name"]): tuple(s["axes"]) for s in scene.get("coordinateSystems") or ()}
    start, end = [_axes(item.get(side), own, surroundings) for side in ("input", "output")]
    return _combine(_steps(item, len(start), surroundings), start, end, frame)


def _axes(reference: Any, own: Mapping[str, Axes], surroundings: Surroundings) -> Axes:
    """Return the axes of the coordinate system at an end of a transformation."""
    entry = reference if isinstance(reference, Mapping) else {"name": reference}
    name, path = entry.get("name"), entry.get("path")
    known = own if path in (None, "", ".") else surroundings.systems(str(path))
    if name not in known:
        raise FormatError(
            f"the coordinate system {reference!r} is not described; there are {sorted(known)}"
        )
    return known[str(name)]


def _steps(
    item: Item, n: int, surroundings: Surroundings, depth: int = 0
) -> list[Floats | SpatialArray]:
    """Return the matrices and fields that are applied to points of `n` coordinates in turn."""
    kind = str(item["type"])
    if depth > _MAX_DEPTH:
        raise FormatError(f"transformations are nested more than {_MAX_DEPTH} deep")
    if kind == "bijection":
        return _steps(item["forward"], n, surroundings, depth + 1)
    if kind == "displacements":
        way = item.get("interpolation") or "linear"
        if way != "linear":
            warnings.warn(
                f"the displacement field {item['path']!r} is to be interpolated by {way!r}; here "
                "it is interpolated linearly",
                UserWarning,
                stacklevel=2,
            )
        return [surroundings.field(str(item["path"]))]
    if kind != "sequence":
        matrix = matrix_of(item, n, surroundings.load)
        if matrix.shape != (n + 1, n + 1):
            raise FormatError(f"{kind} makes {len(matrix) - 1} numbers of {n}")
        return [matrix]
    found: list[Floats | SpatialArray] = []
    if not item["transformations"]:
        raise FormatError("a sequence holds no transformation")
    for part in item["transformations"]:
        last = found[-1] if found else None
        steps = _steps(part, n, surroundings, depth + 1)
        if part["type"] == "translation" and isinstance(last, np.ndarray) and not last[:n, n].any():
            found[-1] = steps[0] @ last  # exact: parts of one matrix become one again
        else:
            found += steps
    return found


def _combine(
    steps: list[Floats | SpatialArray], start: Axes, end: Axes, frame: str | None
) -> Transform:
    kept, n = sampled_axes(start), len(start)
    worlds = [world_of_axes([a[i] for i in sampled_axes(a)]) for a in (start, end)]
    world, there = [World(w.axes, w.units, w.frame or frame) for w in worlds]
    if not kept or len(end) != n:
        raise FormatError(f"a transform needs axes of space at both ends, got {start!r}, {end!r}")
    others = [i for i in range(n) if i not in kept]
    made: list[Transform] = []
    for step in steps:
        if isinstance(step, SpatialArray):
            made.append(_field_in_world(step, world, others))
            continue
        square = step[:n]
        if square[np.ix_(kept, others)].any() or not np.array_equal(
            square[others], np.eye(n, n + 1)[others]
        ):
            raise FormatError(f"a transformation changes {[start[i].get('name') for i in others]}")
        rows = [*kept, n]
        made.append(Affine(step[np.ix_(rows, rows)], world))
    if there != world:
        change = np.eye(len(kept) + 1)
        change[:-1, :-1] = world_change(there, world)
        made.append(Affine(change, world))
        if len(made) > 1 and isinstance(made[-2], Affine):
            made[-2:] = [Affine(change @ made[-2].matrix, world)]
    return made[0] if len(made) == 1 else Composite(*made)


def _field_in_world(image: SpatialArray, world: World, others: Sequence[int]) -> DisplacementField:
    """Return a field in the world of its coordinate system."""
    g = image.geometry
    if others or len(g.sampled_axes) != len(world.axes):
        raise FormatError(
            f"a displacement field over {g.world.axes!r} does not fit a system of {world.axes!r}, "
            "of which it must have each axis"
        )
    same = sorted(g.world.axes) == sorted(world.axes)
    units = [(a, b) for a, b in zip(g.world.units, world.units, strict=True) if a and b]
    if (same and g.world.axes != world.axes) or any(a != b for a, b in units):
        raise FormatError(
            f"a displacement field lies in {g.world!r}, and its system is {world!r}: it must have "
            "the same axes in the same order and units"
        )
    if not np.isfinite(image.data).all():
        raise FormatError("a displacement field must be finite")
    (plain,) = [a for a in range(g.ndim) if a not in g.sampled_axes]
    vectors = np.moveaxis(image.data, plain, 0)
    full = Geometry(
        vectors.shape, g.spacing.tolist(), g.origin.tolist(), g.direction, (None, *world.axes),
        sampled=range(1, g.ndim), world=world,
    )  # fmt: skip
    return DisplacementField(SpatialArray(vectors, full))
