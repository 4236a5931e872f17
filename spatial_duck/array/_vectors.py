"""Images of vectors: an axis whose coordinate `component` names axes of the world.

Functions move that coordinate like any other. The direction of a component changes only with the
world: `to_frame` changes geometry and components together, by signs and names. Images whose
components are along other axes, in other frames or in other units cannot be combined.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array._coordinates import COMPONENT, Held
from spatial_duck.errors import FrameError, GeometryError, GeometryMismatchError
from spatial_duck.geometry._world import SPACE_AXES, check_frame, frame_change, unit_factor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spatial_duck.array._state import ImageState
    from spatial_duck.geometry import Geometry

__all__ = [
    "along_world",
    "check_mixing",
    "complete_component",
    "components",
    "to_frame",
    "to_unit",
    "to_world",
]

Coords = dict[str, Held] | None


def components(label: str, axes: Iterable[str]) -> tuple[str, ...]:
    """Return the world axes that the label of a component names; empty if it names none.

    Examples
    --------
    >>> components("x", "xyz"), components("xy", "xyz"), components("DAPI", "xyz")
    (('x',), ('x', 'y'), ())
    """
    known = {*axes, *SPACE_AXES}
    if label in known:
        return (label,)
    return (label[0], label[1]) if len(label) == 2 and set(label) <= known else ()


def complete_component(coords: Coords, geometry: Geometry) -> Coords:
    """Return coordinates in which `component` has a frame and unit, by default the image's own.

    Raises
    ------
    GeometryError
        If its axis is sampled, or its labels name no world axes.
    """
    h = (coords or {}).get(COMPONENT)
    if coords is None or h is None:
        return coords
    if h.axis in geometry.sampled_axes:
        raise GeometryError(
            f"coords['component'] must lie along a plain axis, got axis {h.axis} "
            f"({geometry.dims[h.axis or 0]!r}), which is sampled"
        )
    labels = h.values.reshape(-1).tolist()
    wrong = [n for n in labels if not (isinstance(n, str) and components(n, geometry.world.axes))]
    if wrong:
        raise GeometryError(
            f"coords['component'] must name world axes, as 'x', or 'xy' for a tensor, among "
            f"{geometry.world.axes!r}, got {wrong!r}; what is no vector has another name"
        )
    frame = check_frame(h.attrs.get("frame", geometry.frame), "the frame of coords['component']")
    unit = _space_unit(geometry) if h.unit is None else h.unit
    attrs = {**h.attrs, **({} if frame is None else {"frame": frame})}
    return {**coords, COMPONENT: h._replace(unit=unit, attrs=attrs)}


def _space_unit(geometry: Geometry) -> str | None:
    """Return the unit of space, where all its axes have one."""
    world = geometry.world
    units = {world.units[r] for r in world.space}
    return units.pop() if len(units) == 1 else None


def update_component(coords: Coords, old: Geometry, new: Geometry) -> Coords:
    """Return coordinates for a geometry that was given another frame or unit by name.

    Where the frame or unit of `component` was the image's, it changes too; nothing is converted.
    """
    h = (coords or {}).get(COMPONENT)
    if coords is None or h is None:
        return coords
    if h.attrs.get("frame") == old.frame != new.frame:
        attrs = {k: v for k, v in h.attrs.items() if k != "frame"}
        h = h._replace(attrs=attrs if new.frame is None else {**attrs, "frame": new.frame})
    if h.unit == _space_unit(old):
        h = h._replace(unit=_space_unit(new))
    return {**coords, COMPONENT: h}


# --- other worlds -------------------------------------------------------------------------


def to_frame(image: ImageState, frame: str) -> Any:
    """Return an image in the coordinates of another anatomical frame, components included."""
    geometry = image.geometry.to_frame(frame)
    turned = image if geometry.frame is None else _rotate_components(image, geometry.frame)
    return _with_geometry(turned, geometry)


def _rotate_components(image: Any, frame: str) -> Any:
    """Return an image with its components, if any, in another frame; the geometry stays."""
    h = (image._coords or {}).get(COMPONENT)
    if h is None or h.attrs.get("frame") == frame:
        return image
    old = h.attrs.get("frame")
    if old is None:
        raise FrameError(
            f"to_frame: the components of the image have no frame, so that they cannot be turned "
            f"to {frame!r}; say it with coords={{'component': (axis, labels, {{'frame': ...}})}}"
        )
    sources = enumerate(frame_change(old, frame))
    axes = {SPACE_AXES[s]: (SPACE_AXES[k], sign) for k, (s, sign) in sources}
    labels, signs = [], []
    for label in h.values.reshape(-1).tolist():
        parts = [axes.get(a, (a, 1)) for a in components(label, image.world.axes)]
        names = [name for name, _ in parts]
        # A symmetric tensor's component has two names: the one in use is kept.
        other = label[::-1] not in h.values and label == "".join(sorted(label))
        labels.append("".join(sorted(names) if other else names))
        signs.append(int(np.prod([sign for _, sign in parts])))
    values = np.array(labels, h.values.dtype).reshape(h.values.shape)
    values.flags.writeable = False
    h = h._replace(values=values, attrs={**h.attrs, "frame": frame})
    out = image._with_data(
        image._data if min(signs, default=1) > 0 else _change_signs(image, h, signs)
    )
    out._coords = {**image._coords, COMPONENT: h}
    return out


def _change_signs(image: ImageState, h: Held, signs: Sequence[int]) -> Any:
    """Return the data with some components negated, in their own type; lazy where they are."""
    data = image._data
    dtype = backends.host_type(data.dtype)
    if dtype.kind not in "ifc":
        raise GeometryError(
            f"to_frame: components of type {dtype} cannot change their sign; convert them first "
            "with image.astype to a signed type"
        )
    if h.axis is None:
        return backends.call(np.negative, (data,), {})
    shape = [len(signs) if a == h.axis else 1 for a in range(len(data.shape))]
    factors = np.array(signs).astype(dtype).reshape(shape)
    return backends.call(np.multiply, (data, factors), {})


def to_unit(image: ImageState, unit: str | Mapping[str, str | None]) -> Any:
    """Return an image in other units; components keep the one that they say they are in."""
    return _with_geometry(image, image.geometry.to_unit(unit))


def to_world(image: ImageState, axes: Sequence[str]) -> Any:
    """Return an image with its world axes in another order, or fewer; see `Geometry.to_world`."""
    geometry = image.geometry.to_world(axes)
    h = (image._coords or {}).get(COMPONENT)
    if h is not None:
        before, after = image.geometry.world.axes, geometry.world.axes
        gone = {a for n in h.values.reshape(-1).tolist() for a in components(n, before)
                if a in before and a not in after}  # fmt: skip
        if gone:
            raise GeometryError(
                f"to_world: the image has vector components along {sorted(gone)!r}, which "
                f"therefore cannot be left out, got {tuple(axes)!r}; select components first"
            )
    return _with_geometry(image, geometry)


def _with_geometry(image: Any, geometry: Geometry) -> Any:
    """Return the image with an equivalent geometry in another world."""
    same = image._with_data(image._data)
    same._geometry = geometry
    return same


def along_world(image: Any) -> Any:
    """Return an image whose components, if named, are along the axes of its world.

    They are converted to the world's frame, order and unit; the geometry stays.

    Raises
    ------
    GeometryError
        If they are not one for each axis of the world, or in a unit that is not its own kind.
    """
    h = (image._coords or {}).get(COMPONENT)
    if h is None or h.axis is None:
        return image
    geometry = image.geometry
    world = geometry.world
    turned = image if world.frame is None else _rotate_components(image, world.frame)
    labels = turned._coords[COMPONENT].values.tolist()
    if sorted(labels) != sorted(world.axes):
        raise GeometryError(
            f"the image has the components {labels!r}, and one along each of the world's axes "
            f"{world.axes!r} is needed"
        )
    if tuple(labels) != world.axes:
        order = [labels.index(a) for a in world.axes]
        turned = turned[(slice(None),) * h.axis + (order,)]
    unit = _space_unit(geometry)
    factor = 1.0 if h.unit is None or h.unit == unit else unit_factor(h.unit, unit)
    return turned if factor == 1.0 else turned * factor


# --- combining images ---------------------------------------------------------------------


def check_mixing(function: str, images: Sequence[ImageState]) -> None:
    """Check that the components of images in one operation are in one frame and unit.

    Raises
    ------
    GeometryMismatchError
        If they are not.
    """
    tags = [(image, h) for image in images if (h := (image._coords or {}).get(COMPONENT))]
    for (_, a), (_, b) in pairwise(tags):
        frames, units = [h.attrs.get("frame") for h in (a, b)], [h.unit for h in (a, b)]
        if frames[0] != frames[1] or units[0] != units[1]:
            what, differ = ("frame", frames) if frames[0] != frames[1] else ("unit", units)
            raise GeometryMismatchError(
                f"{function}: the vector components of the images differ in their {what}: "
                f"{differ[0]!r} and {differ[1]!r}; bring one to the other with "
                + ("image.to_frame(...)" if what == "frame" else "a factor, and say its unit")
            )
