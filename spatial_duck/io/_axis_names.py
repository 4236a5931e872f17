"""Names of axes in formats that have z, y, x and t alone.

An image may call its axes of space ``("Z", "Y", "X")``, ``("lat", "lon")`` or
``("slice", "y", "x")``: what they are is said by the types of its world, not by their names.
`standard_names` gives them the names that files have; the format keeps the image's own beside, or
refuses, and `rename_advice` says the call that gives the image those names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.io._safety import MALFORMED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spatial_duck.geometry import Geometry

__all__ = ["Renamed", "rename_advice", "restore_names", "standard_names"]

#: What axes of space are called besides, by the letter that they get, in lower case.
_KNOWN = {
    "z": ("slice", "slices", "plane", "depth", "altitude", "elevation", "height", "level", "k"),
    "y": ("row", "rows", "lat", "latitude", "northing", "j"),
    "x": ("column", "columns", "col", "cols", "lon", "long", "longitude", "easting", "i"),
}
_LETTERS = {name: letter for letter, names in _KNOWN.items() for name in (letter, *names)}


class Renamed(NamedTuple):
    """A geometry whose axes are named z, y, x and t, and what its image calls them.

    Attributes
    ----------
    geometry : Geometry
        With the new names.
    names : dict
        ``{"dims": {new: old}, "world": {new: old}, "frame": frame}``, of the names that changed;
        empty where none did. The frame is the image's: nobody said that an axis called slice is the
        anatomical z, and a world with new names of space has none.
    """

    geometry: Geometry
    names: dict[str, Any]


def standard_names(geometry: Geometry) -> Renamed:
    """Name axes of space z, y and x, and one of time t, in the array and in the world.

    Parameters
    ----------
    geometry : Geometry
        Any geometry.

    Returns
    -------
    Renamed
        Well-known names (``lat``, ``row``, ``Z``) get their letter, others those that are left, the
        slowest axis first. Axes for which no letter is left keep their names.

    Examples
    --------
    >>> from spatial_duck import Geometry
    >>> renamed = standard_names(Geometry((4, 4), dims=("lat", "lon"), sampled=("lat", "lon")))
    >>> renamed.geometry.dims, renamed.geometry.world.axes, renamed.names["dims"]
    (('y', 'x'), ('y', 'x'), {'y': 'lat', 'x': 'lon'})
    """
    g = geometry
    world = g.world
    kinds = _kinds(g)
    # Axes of the array say which is slowest; the world may be in any order.
    slow_first = [n for n in g.dims if n in world.axes]
    slow_first += [n for n in world.axes if n not in slow_first]
    of_space = [n for n in slow_first if world.type_of(n) == "space"]
    of_time = [n for n in world.axes if world.type_of(n) == "time"]
    new_world = _letters(of_space, world.axes)
    if len(of_time) == 1 and "t" not in world.axes:
        new_world[of_time[0]] = "t"
    space = [i for i, kind in enumerate(kinds) if kind == "space"]
    new_dims = _letters([g.dims[i] for i in space], g.dims, new_world)
    times = [g.dims[i] for i, kind in enumerate(kinds) if kind == "time"]
    if len(times) == 1 and "t" not in g.dims:
        new_dims[times[0]] = "t"
    if not new_world and not new_dims:
        return Renamed(g, {})
    renamed = [new_dims.get(n, n) if kinds[i] else n for i, n in enumerate(g.dims)]
    back = {"dims": new_dims, "world": new_world}
    names: dict[str, Any] = {part: {n: o for o, n in table.items()} for part, table in back.items()}
    names["frame"] = world.frame
    frame = None if set(new_world.values()) & set(SPACE_AXES) else world.frame
    return Renamed(_with_names(g, renamed, [new_world.get(n, n) for n in world.axes], frame), names)


def _kinds(g: Geometry) -> list[str | None]:
    """Return the type of the world axes that each array axis runs along; None if not of one."""
    kinds: list[str | None] = [None] * g.ndim
    for axis, column in zip(g.sampled_axes, g.direction.T, strict=True):
        found = {g.world.types[r] for r in np.flatnonzero(column)}
        kinds[axis] = found.pop() if len(found) == 1 else None
    return kinds


def _letters(
    names: Sequence[str | None],
    taken: Iterable[str | None],
    wanted: Mapping[str | None, str] | None = None,
) -> dict[Any, str]:
    """Return letters for names of space axes that are none, as long as some are left."""
    free = [letter for letter in "zyx" if letter not in set(taken)]
    found: dict[Any, str] = {}
    others = [n for n in names if n and n not in SPACE_AXES]
    for name in others:
        letter = (wanted or {}).get(name) or _LETTERS.get((name or "").lower())
        if letter in free:
            found[name] = letter
            free.remove(letter)
    rest = [n for n in others if n not in found]
    # The last letters are those of the fastest axes: a plane is y, x.
    n = min(len(rest), len(free))
    found.update(zip(rest[len(rest) - n :], free[len(free) - n :], strict=True))
    return found


def _with_names(
    g: Geometry, dims: Sequence[str | None], axes: Sequence[str], frame: str | None
) -> Geometry:
    now = g.world
    world = World(axes, now.units, frame, now.types)
    changes: dict[str, Any] = {"dims": tuple(dims), "world": world}
    if g.lost:
        new = dict(zip(now.axes, axes, strict=True))
        changes["lost"] = {new.get(str(k), k): v for k, v in g.lost.items()}
    return g.replace(**changes)


def restore_names(path: object, geometry: Geometry, names: Any) -> Geometry:
    """Return a geometry with the names that its image had when it was written.

    Parameters
    ----------
    path : object
        For messages.
    geometry : Geometry
        As it was written.
    names : mapping or None
        What `standard_names` returned.

    Raises
    ------
    FormatError
        If they are no names.
    """
    if not names:
        return geometry
    try:
        dims, axes = dict(names["dims"]), dict(names["world"])
        return _with_names(
            geometry,
            [dims.get(n, n) for n in geometry.dims],
            [axes.get(n, n) for n in geometry.world.axes],
            names["frame"],
        )
    except MALFORMED as error:
        raise FormatError(f"{path}: its names of axes are not valid: {error}") from error


def rename_advice(geometry: Geometry) -> str | None:
    """Return the call that names an image's axes of space z, y, x; None where that is no help."""
    new, names = standard_names(geometry)
    known = (*SPACE_AXES, "t")
    if not names or any(n not in known for n in new.world.axes):
        return None
    return f"image.replace(dims={new.dims!r}, world=sd.{new.world!r})"
