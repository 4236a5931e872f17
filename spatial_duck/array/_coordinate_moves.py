"""Move coordinates with their axes, merge them, crop them to a block, keep them on a new grid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array._coordinates import COMPONENT, Held, is_equal
from spatial_duck.errors import GeometryMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.array._coordinates import Moves
    from spatial_duck.geometry import Geometry

__all__ = [
    "common_attrs",
    "crop_coords",
    "keep_off_grid_coords",
    "merge_coords",
    "move_coords",
    "take_values",
]

#: The missing value by kind of type; other kinds have none.
_MISSING: dict[str, Any] = {"f": np.nan, "c": np.nan, "m": "NaT", "M": "NaT", "U": ""}


def take_values(values: NDArray[Any], index: Any) -> NDArray[Any] | None:
    """Return the values at an index, with the missing value of their type where it is out of range.

    They are read-only; None where something is missing and the type has nothing to say so.

    Examples
    --------
    >>> take_values(np.array(["DAPI", "GFP"]), np.array([-1, 1, 0])).tolist()
    ['', 'GFP', 'DAPI']
    >>> take_values(np.array([1, 2]), np.array([0, 2])) is None
    True
    """
    if isinstance(index, slice):
        return values[index]
    index = np.asarray(index)
    missing = (index < 0) | (index >= len(values))
    if not missing.any():
        found = np.asarray(values[index])
    elif values.dtype.kind in _MISSING:
        found = np.full(index.shape + values.shape[1:], _MISSING[values.dtype.kind], values.dtype)
        found[~missing] = values[index[~missing]]
    else:
        return None
    found.flags.writeable = False
    return found


def move_coords(coords: dict[str, Held] | None, moves: Moves) -> dict[str, Held] | None:
    """Return coordinates moved with the axes of an image, without those of lost axes."""
    if coords is None:
        return None
    out = {}
    for name, h in coords.items():
        if h.axis is None:
            out[name] = h
        elif (move := moves.get(h.axis)) is not None:
            axis, index = move
            values = h.values if index is None else take_values(h.values, index)
            if values is not None:
                out[name] = Held(axis, values, h.unit, h.attrs)
    return out or None


def merge_coords(many: list[dict[str, Held] | None]) -> dict[str, Held] | None:
    """Return the coordinates of an elementwise result, of those of each image with its axes.

    Those on which all images that have them agree. A value of a whole image does not conflict with
    values along an axis.

    Raises
    ------
    GeometryMismatchError
        If components of vectors differ.
    """
    first = many[0]
    if all(m is first for m in many):
        return first
    out: dict[str, Held] = {}
    for name in dict.fromkeys(name for one in many if one for name in one):
        found = [one[name] for one in many if one and name in one]
        along = [h for h in found if h.axis is not None] or found
        if all(_is_same(along[0], h) for h in along[1:]):
            out[name] = along[0]._replace(attrs=common_attrs(along))
        elif name == COMPONENT and along[0].axis is not None:
            labels = [h.values.tolist() for h in along]
            raise GeometryMismatchError(
                "the images hold vectors with other components along an axis: "
                f"{' and '.join(map(repr, labels))}; bring them into one order by indexing, or "
                "take image.data where they mean nothing"
            )
    return out or None


def _is_same(a: Held, b: Held) -> bool:
    """Whether two coordinates are equal and along the same axis."""
    return a.axis == b.axis and a.unit == b.unit and is_equal(a.values, b.values)


def common_attrs(many: list[Held]) -> dict[str, Any]:
    """Return the attrs on which all of some coordinates agree."""
    first = many[0].attrs
    if all(h.attrs is first for h in many):
        return first
    return {k: v for k, v in first.items() if all(k in h.attrs and h.attrs[k] == v for h in many)}


def keep_off_grid_coords(
    coords: dict[str, Held] | None, old: Geometry, new: Geometry
) -> dict[str, Held] | None:
    """Return the coordinates of axes that a physical operation leaves as they are.

    Plain axes keep their order among themselves, and sampled ones are found by their names: they
    keep theirs, such as those of time, only where their positions are the same.
    """
    if coords is None or old is new:
        return coords
    plain, now = ([a for a in range(g.ndim) if a not in g.sampled_axes] for g in (old, new))
    same = [old.shape[a] for a in plain] == [new.shape[a] for a in now]
    axes = dict(zip(plain, now, strict=True)) if same else {}
    for a in old.sampled_axes:
        name = old.dims[a]
        b = new.dims.index(name) if name is not None and name in new.dims else None
        if b in new.sampled_axes and _along(old, a) == _along(new, b):
            axes[a] = b
    return {
        name: h if h.axis is None else h._replace(axis=axes[h.axis])
        for name, h in coords.items()
        if h.axis is None or h.axis in axes
    } or None


def _along(geometry: Geometry, axis: int) -> Any:
    """Return where the indices of a sampled axis lie along the world axes that it runs along."""
    column = geometry.sampled_axes.index(axis)
    steps = (geometry.direction[:, column] * geometry.spacing[column]).tolist()
    parts = zip(geometry.world.axes, steps, geometry.origin.tolist(), strict=True)
    return geometry.shape[axis], [part for part in parts if part[1]]


def crop_coords(coords: dict[str, Held] | None, key: Sequence[slice]) -> dict[str, Held] | None:
    """Return the coordinates of a block, from a slice for each axis."""
    return coords and {
        n: h if h.axis is None else h._replace(values=h.values[key[h.axis]])
        for n, h in coords.items()
    }
