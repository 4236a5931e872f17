"""Conversion of an image to the axis order, world and number of dimensions of a format or library.

Most formats do not name axes: the first three are x, y, z. `fit_layout` therefore permutes the axes
of an image by their names, adds axes of length 1 for those that a slice lacks in its world, and one
of time to an image at one time, converts frame and unit, and raises if information would be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck._config import current
from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError, FrameError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import LENGTHS, SPACE_AXES, TIMES, World
from spatial_duck.io._axis_names import rename_advice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = [
    "Fitted",
    "Rules",
    "add_space_axes",
    "add_time_axis",
    "check_dtype",
    "check_precision",
    "column_kinds",
    "fit_layout",
    "in_order",
    "xyz_world",
]

#: Rank of an axis in the order slowest first.
_SLOW_FIRST = {"t": 1, "z": 2, "y": 3, "x": 4}


class Rules(NamedTuple):
    """Capabilities of a format or library.

    Attributes
    ----------
    name : str
        Name in messages.
    frames : tuple of str
        Frames that it has; an image in another one is converted to the first.
    unit : tuple of str
        Units of length that it has; others are converted to the first. Empty: any.
    time_unit : tuple of str
        Units of time that it has, likewise.
    plain : {"first", "after time", "last", "keep"}
        Position of plain axes in the order slowest first: before all others, between time and
        space, after all others, or first or last by the side of the space axes that they are on.
    max_plain : int
        Most plain axes.
    plain_names : tuple of (str or None), optional
        Names that plain axes may have; None for any.
    unspecified : bool
        Whether it can hold an image whose frame is unspecified.
    named : bool
        Whether it names its world axes; otherwise one that has y has x too, and z has both.
    time : bool
        Whether it has a time axis.
    moment : bool
        Whether it holds the time of an image without a time axis; otherwise that gets one.
    """

    name: str
    frames: tuple[str, ...]
    unit: tuple[str, ...] = ()
    time_unit: tuple[str, ...] = ()
    plain: Literal["first", "after time", "last", "keep"] = "last"
    max_plain: int = 1
    plain_names: tuple[str | None, ...] | None = ("c", None)
    unspecified: bool = False
    named: bool = False
    time: bool = True
    moment: bool = False


class Fitted(NamedTuple):
    """An image in the layout of a format: ``np.transpose(np.expand_dims(data, added), order)``.

    Attributes
    ----------
    data : array
        Data on their backend; nothing was computed.
    geometry : Geometry
        Geometry of the data: dims slowest first, world x, y, z and then t.
    """

    data: Any
    geometry: Geometry


def column_kinds(geometry: Geometry) -> list[Literal["space", "time", "other", "plain"]]:
    """Return the kind of world axes that each array axis runs along."""
    kinds: list[Literal["space", "time", "other", "plain"]] = ["plain"] * geometry.ndim
    names = geometry.world.axes
    for axis, column in zip(geometry.sampled_axes, geometry.direction.T, strict=True):
        through = {names[r] for r in np.flatnonzero(column)}
        if through <= set(SPACE_AXES):
            kinds[axis] = "space"
        else:
            kinds[axis] = "time" if through == {"t"} else "other"
    return kinds


def add_space_axes(geometry: Geometry, minimum: int = 0) -> Geometry:
    """Return a geometry with axes of length 1 added for space axes of the world that it lacks.

    Parameters
    ----------
    geometry : Geometry
        Its space axes are named x, y and z.
    minimum : int, optional
        Least number of space axes; the world gets axes if it has fewer.

    Returns
    -------
    Geometry
        Every voxel keeps its place. The new axes are orthogonal to those that are there, and have
        spacing 1.

    Examples
    --------
    >>> plane = Geometry((4, 4, 4), origin=(7, 0, 0))[0]
    >>> add_space_axes(plane).shape, add_space_axes(plane).origin
    ((4, 4, 1), array([7., 0., 0.]))
    """
    g = geometry
    have = [n for n in SPACE_AXES if n in g.world.axes]
    if len(have) < minimum:
        new = [n for n in SPACE_AXES if n not in have][: minimum - len(have)]
        for name in new:
            if name in g.lost:
                raise GeometryLossError(
                    f"the position along {name!r} was lost by {g.lost[name]!r}, and the format "
                    "needs it: set it with "
                    f"image.replace(world={(*g.world.axes, name)!r}, origin=...)"
                )
        unit = next((u for n, u in zip(g.world.axes, g.unit, strict=True) if n in have), None)
        world = World((*g.world.axes, *new), (*g.unit, *[unit] * len(new)), g.frame)
        g = g.replace(
            world=world,
            origin=[*g.origin, *[0.0] * len(new)],
            direction=np.vstack([g.direction, np.zeros((len(new), len(g.sampled_axes)))]),
        )
    kinds = column_kinds(g)
    named = [g.dims[i] for i, kind in enumerate(kinds) if kind == "space"]
    missing = [n for n in SPACE_AXES if n in g.world.axes and n not in named]
    rows = [g.world.axes.index(n) for n in SPACE_AXES if n in g.world.axes]
    missing = missing[: len(rows) - len(named)]
    if not missing:
        return g
    basis = [column[rows] for column in g.direction.T if column[rows].any()]
    columns = []
    for name in missing:
        column = np.zeros((len(g.world.axes), 1))
        column[rows, 0] = _complement(basis, rows.index(g.world.axes.index(name)), len(rows))
        basis.append(column[rows, 0])
        columns.append(column)
    return _with_axes(g, missing, np.hstack(columns))


def add_time_axis(geometry: Geometry) -> Geometry:
    """Return the geometry of an image at one time with an axis of time of length 1 at the end."""
    column = np.array([[1.0 if name == "t" else 0.0] for name in geometry.world.axes])
    return _with_axes(geometry, ["t"], column)


def _with_axes(g: Geometry, names: Sequence[str], columns: Floats) -> Geometry:
    """Return a geometry with trailing axes of length 1 and spacing 1 added."""
    sampled = [g.dims[i] for i in g.sampled_axes]
    return Geometry(
        (*g.shape, *[1] * len(names)),
        [*g.spacing, *[1.0] * len(names)],
        g.origin,
        np.hstack([g.direction, columns]),
        (*g.dims, *names),
        sampled=[n for n in (*sampled, *names) if n],
        world=g.world,
        lost=g.lost,
    )


def _complement(basis: Sequence[Floats], preferred: int, size: int) -> Floats:
    """Return a unit vector orthogonal to `basis`, near one of the coordinate axes."""
    if not basis:
        return np.asarray(np.eye(size)[preferred])
    ortho, _ = np.linalg.qr(np.array(basis).T)
    rest = np.eye(size) - ortho @ ortho.T
    lengths = np.linalg.norm(rest, axis=0)
    lengths[preferred] *= 1 + 1e-9
    best: Floats = rest[:, int(np.argmax(lengths))]
    best = best / np.linalg.norm(best)
    best[abs(best) < 1e-15] = 0.0
    return np.asarray(best / np.linalg.norm(best))


def xyz_world(geometry: Geometry, rules: Rules, frame: str | None = None) -> Geometry:
    """Return a geometry with world axes x, y, z, t and a frame and units that `rules` allow.

    Parameters
    ----------
    geometry : Geometry
        The geometry.
    rules : Rules
        Capabilities of the format.
    frame : str, optional
        The frame, if the geometry has none.

    Raises
    ------
    FrameError
        If the frame is unspecified and the format cannot hold that.
    GeometryLossError
        If there are other world axes than x, y, z and t.
    """
    g = geometry
    others = [n for n in g.world.axes if n not in (*SPACE_AXES, "t")]
    if others:
        call = rename_advice(g)
        raise GeometryLossError(
            f"{rules.name} cannot store the world axes {others!r}; "
            + (
                f"name them as it does: {call}"
                if call
                else "index those axes with an integer, or make them plain by naming the space "
                "axes alone in a new SpatialArray"
            )
        )
    if g.frame is None and frame is not None:
        g = g.replace(frame=frame)
    if g.frame is None and not rules.unspecified:
        raise FrameError(
            f"{rules.name} holds {rules.frames[0]} coordinates, and the image's frame is "
            f"unspecified: give it with frame={rules.frames[0]!r} (or another code), or "
            "image.replace(frame=...)"
        )
    if g.frame is not None and rules.frames and g.frame not in rules.frames:
        g = g.to_frame(rules.frames[0])
    units = dict(zip(g.world.axes, g.unit, strict=True))
    change: dict[str, str] = {}
    for name, unit in units.items():
        allowed, table = (rules.time_unit, TIMES) if name == "t" else (rules.unit, LENGTHS)
        if unit is None or not allowed or unit in allowed:
            continue
        if unit not in table:
            raise GeometryLossError(
                f"{rules.name} has no unit {unit!r} (of {name!r}); it has {', '.join(allowed)}; "
                "rename it with image.replace(unit=...)"
            )
        change[name] = allowed[0]
    if change:
        g = g.to_unit(change)
    return _order_world(g)


def _order_world(g: Geometry) -> Geometry:
    """Return a geometry with its world axes in the order x, y, z, t."""
    return g.to_world([n for n in (*SPACE_AXES, "t") if n in g.world.axes])


def fit_layout(
    image: Any,
    rules: Rules,
    *,
    frame: str | None = None,
    minimum: int = 0,
    minimum_with_more: int = 0,
) -> Fitted:
    """Return an image's data and geometry in the axis order and world of a format.

    Parameters
    ----------
    image : SpatialArray
        The image.
    rules : Rules
        Capabilities of the format.
    frame : str, optional
        The frame, if the image has none.
    minimum, minimum_with_more : int, optional
        Least number of space axes, in any case and if there is a time or plain axis too.

    Returns
    -------
    Fitted
        Dims slowest first: t, z, y, x with the plain axes in the position of the rules.

    Raises
    ------
    GeometryLossError
        If an axis lost its positions, its name is not allowed, or there are too many axes.
    """
    g: Geometry = image.geometry
    for axis, function in g.lost_axes.items():
        raise GeometryLossError(
            f"{rules.name}: the positions along axis {axis} ({g.dims[axis]!r}) were lost by "
            f"{function!r}; write an image from before it, or give the data a geometry of their "
            "own with SpatialArray(image.data, ...)"
        )
    kinds = column_kinds(g)
    for name, kind in zip(g.dims, kinds, strict=True):
        if (kind == "space" and name not in SPACE_AXES) or (kind == "time" and name != "t"):
            raise GeometryLossError(
                f"{rules.name} cannot name the {kind} axis {name!r} of {g.dims!r}; name space axes "
                f"x, y and z and the time axis t: {rename_advice(g) or 'image.replace(dims=...)'}"
            )
    if not rules.time and "time" in kinds:
        raise GeometryLossError(
            f"{rules.name} has no time axis; take the time points one by one, or make the axis a "
            "plain one by a SpatialArray(image.data, ...) of its own"
        )
    at_one_time = "t" in g.world.axes and "time" not in kinds
    if at_one_time and not rules.time:
        row = g.world.axes.index("t")
        space = tuple([n for n in g.world.axes if n != "t"])
        raise GeometryLossError(
            f"{rules.name} has no time, and would lose that the image lies at t = "
            f"{g.origin[row]:g} {g.unit[row] or ''}".rstrip()
            + f"; leave the time out with image.replace(geometry=image.geometry.to_world({space}))"
        )
    plain = [i for i, kind in enumerate(kinds) if kind == "plain"]
    allowed = rules.plain_names
    bad = [g.dims[i] for i in plain if allowed is not None and g.dims[i] not in allowed]
    if bad or len(plain) > rules.max_plain:
        what = f"the plain axes {bad!r}" if bad else f"{len(plain)} plain axes"
        raise GeometryLossError(
            f"{rules.name} cannot hold {what} of {g.dims!r}; it has {rules.max_plain} at most"
            + (f", named {allowed[0]!r}" if allowed else "")
            + ": rename with image.replace(dims=...), or write the parts one by one"
        )
    g = xyz_world(g, rules, frame)
    gets_time = at_one_time and not rules.moment
    more = gets_time or any(kind != "space" for kind in kinds)
    if more:
        minimum = max(minimum, minimum_with_more)
    if not rules.named:
        minimum = max([minimum, *[1 + SPACE_AXES.index(n) for n in g.world.axes if n != "t"]])
    g = _order_world(add_space_axes(g, minimum))
    if gets_time:
        g = add_time_axis(g)
    added = tuple(range(image.ndim, g.ndim))
    order = _order(g, image.ndim, plain, rules.plain)
    data = (
        np.expand_dims(image, added).transpose(order).data
        if (added or order != tuple(range(g.ndim)))
        else image.data
    )
    return Fitted(data, g.transpose(order))


def in_order(fit: Fitted, names: str) -> Fitted:
    """Return a fitted image with its axes in another order, a view.

    Parameters
    ----------
    fit : Fitted
        What `fit_layout` returned.
    names : str
        Letters of axes in the order wanted: x, y, z and t, and p for the plain axes.
    """
    g = fit.geometry
    kinds = column_kinds(g)

    def rank(i: int) -> int:
        return names.index("p" if kinds[i] == "plain" else str(g.dims[i]))

    order = tuple(sorted(range(g.ndim), key=rank))
    if order == tuple(range(g.ndim)):
        return fit
    return Fitted(SpatialArray(fit.data, g).transpose(order).data, g.transpose(order))


def _order(g: Geometry, given: int, plain: Sequence[int], where: str) -> tuple[int, ...]:
    """Sort the axes slowest first; those from number `given` on were added by `add_space_axes`."""
    last = max((i for i in range(given) if g.dims[i] in SPACE_AXES and i not in plain), default=-1)

    def rank(i: int) -> float:
        if i not in plain:
            return _SLOW_FIRST.get(g.dims[i] or "", 0)
        if where == "after time":
            return 1.5
        return 5 if where == "last" or (where == "keep" and i > last) else 0.5

    return tuple(sorted(range(g.ndim), key=rank))


def check_precision(geometry: Geometry, stored: Geometry, name: str, advice: str) -> None:
    """Refuse a header that moves voxels by more than the tolerance, for want of digits.

    Parameters
    ----------
    geometry : Geometry
        What was to be stored.
    stored : Geometry
        What the header holds.
    name : str
        The format.
    advice : str
        A call that solves the problem, for the message.

    Raises
    ------
    GeometryLossError
        If a voxel centre is displaced by more than ``config().tolerance`` voxels.
    """
    reason = geometry.difference(stored, current().tolerance)
    if reason is not None:
        raise GeometryLossError(
            f"{name} would move voxels by more than {current().tolerance:g} of a voxel, since its "
            f"header holds fewer digits ({reason}); {advice}"
        )


def check_dtype(dtype: np.dtype[Any], known: Sequence[str], name: str) -> np.dtype[Any]:
    """Return the dtype in which a format holds values of `dtype` without changing any.

    Raises
    ------
    FormatError
        If it has none.
    """
    code = dtype.str[1:]
    for candidate in (code, {"b1": "u1", "f2": "f4"}.get(code, code)):
        if candidate in known:
            return np.dtype("<" + candidate)
    raise FormatError(
        f"{name} has no type for {dtype} voxels; it holds {', '.join(known)}: use "
        "image.astype(...) first"
    )
