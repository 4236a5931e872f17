"""3D Slicer's markups, ``.mrk.json``: named points, lines, curves, planes and regions.

A file holds a list of markups, each of a type (`TYPES`) with control points and their labels, in
LPS or RAS and in mm or µm. Centers are voxel centres: a point is what `Geometry.index_to_physical`
gives. What else a markup says (``center``, ``size`` and ``orientation`` of a plane or a region,
``display``, ``measurements``, and what is said of each control point) is kept as it is written, in
the markup's own coordinate system, and is written again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError, FrameError, GeometryLossError
from spatial_duck.geometry import World
from spatial_duck.geometry._world import SPACE_AXES, canonical_unit, frame_change, unit_factor
from spatial_duck.io._publishing import publish_atomically

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["TYPES", "Markup", "read_markups", "write_markups"]

#: Types of markups that the schema has.
TYPES = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI")
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_FRAMES, _UNITS = ("LPS", "RAS"), ("mm", "um")
#: Keys of a markup, and of a control point, for which `Markup` has fields.
_OWN = frozenset(["type", "name", "coordinateSystem", "coordinateUnits", "controlPoints"])
_OWN_OF_POINT = frozenset(["label", "position"])
#: What is said in coordinates, of a markup or a control point.
_DIRECTED = frozenset(
    ["center", "normal", "orientation", "baseToNode", "objectToBase", "planeBounds", "measurements"]
)
_LONGEST = 1 << 28


@dataclass(frozen=True, eq=False)
class Markup:
    """Points with names, and what they are points of.

    Attributes
    ----------
    points : ndarray of float, shape (n, 3)
        Control points x, y, z; NaN where one was not placed.
    labels : tuple of str
        One for each point; empty texts by default.
    type : str
        ``"Fiducial"`` (single points), ``"Line"``, ``"Angle"``, ``"Curve"``, ``"ClosedCurve"``,
        ``"Plane"`` or ``"ROI"``.
    name : str
        Of the whole.
    frame : str
        Anatomical frame of the points.
    unit : str
        Their unit of length.
    attrs : dict
        Other entries of the file for the whole, in the same frame and unit.
    facts : tuple of dict
        Other entries for each point.

    Examples
    --------
    >>> tips = Markup([[1, 2, 3]], labels=["tip"], frame="LPS")
    >>> tips.points_in("RAS")
    array([[-1., -2.,  3.]])
    """

    points: NDArray[np.float64]
    labels: Sequence[str] = ()
    type: str = "Fiducial"
    name: str = ""
    frame: str = "LPS"
    unit: str = "mm"
    attrs: Mapping[str, Any] = field(default_factory=dict)
    facts: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        points = np.array(self.points, np.float64).reshape(-1, 3)
        if np.shape(self.points)[-1:] not in ((3,), (0,)):
            raise FormatError(f"points must have shape (n, 3), got {np.shape(self.points)}")
        n = len(points)
        if self.type not in TYPES:
            raise FormatError(f"type must be one of {', '.join(TYPES)}, got {self.type!r}")
        if np.isinf(points).any():
            raise FormatError("points must be finite, or NaN where they were not placed")
        for name, given in (("labels", self.labels), ("facts", self.facts)):
            if given and len(given) != n:
                raise FormatError(f"{name}: expected one for each of {n} points, got {len(given)}")
        frame_change(World(SPACE_AXES, frame=self.frame).frame or "LPS", "LPS")
        points.setflags(write=False)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", tuple(map(str, self.labels)) or ("",) * n)
        object.__setattr__(self, "facts", tuple(map(dict, self.facts)) or ({},) * n)
        object.__setattr__(self, "unit", canonical_unit(self.unit))
        object.__setattr__(self, "attrs", dict(self.attrs))

    def points_in(self, like: Any) -> NDArray[np.float64]:
        """Return the points in another frame, or as an image has its own.

        Parameters
        ----------
        like : SpatialArray, Geometry, World or str
            A frame (the unit stays), or what has a world of axes x, y and z, in any order, with a
            frame; its unit is taken over where it has one.

        Returns
        -------
        ndarray of float, shape (n, n_world)
            For `sample`, `Geometry.physical_to_index` and transforms.

        Raises
        ------
        FrameError
            If the frame is unspecified.
        GeometryLossError
            If there are other axes than x, y and z.
        GeometryError
            If a unit is no length.
        """
        if isinstance(like, str):
            return self._in_frame(World(SPACE_AXES, frame=like).frame or like)
        world: World = like if isinstance(like, World) else like.world
        if world.frame is None:
            raise FrameError(
                f"these points are in {self.frame}, and the image's frame is unspecified: say what "
                "it is with image.replace(frame=...)"
            )
        if not set(world.axes) <= set(SPACE_AXES):
            raise GeometryLossError(
                f"points have x, y and z, and the image's world has {world.axes!r}; index the "
                "other axes away"
            )
        points = self._in_frame(world.frame)[:, [SPACE_AXES.index(n) for n in world.axes]]
        for column, unit in enumerate(world.units):
            if unit not in (None, self.unit):
                points[:, column] *= unit_factor(self.unit, unit)
        return points

    def _in_frame(self, frame: str) -> NDArray[np.float64]:
        change = frame_change(self.frame, frame)
        return np.stack([sign * self.points[:, source] for source, sign in change], axis=1) + 0.0


def read_markups(path: str | os.PathLike[str]) -> list[Markup]:
    """Read a ``.mrk.json`` file of 3D Slicer.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    list of Markup
        In the file's own coordinate systems; `Markup.points_in` brings points to an image's.

    Raises
    ------
    FormatError
        If it is no such file, or holds markups of another type; the message names it.
    """
    place = Path(path)
    if place.stat().st_size > _LONGEST:
        raise FormatError(f"{place}: more than {_LONGEST:,} bytes are no markups")
    try:
        content = json.loads(place.read_bytes())
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{place}: it is not valid JSON: {error}") from error
    schema = str(content.get("@schema", "")) if isinstance(content, dict) else ""
    listed = content.get("markups") if isinstance(content, dict) else None
    if "markups-schema-v1." not in schema.lower() or not isinstance(listed, list):
        raise FormatError(
            f"{place}: expected 3D Slicer's markups (@schema …/markups-schema-v1.…), got "
            f"@schema {schema[:80]!r}"
        )
    return [_markup(f"{place}: markup {n}", each) for n, each in enumerate(listed)]


def _markup(where: str, given: Any) -> Markup:
    if not isinstance(given, dict) or given.get("type") not in TYPES:
        kind = given.get("type") if isinstance(given, dict) else given
        raise FormatError(f"{where} is of type {str(kind)[:40]!r}; {', '.join(TYPES)} are read")
    listed = given.get("controlPoints", [])
    if not isinstance(listed, list) or not all(isinstance(p, dict) for p in listed):
        raise FormatError(f"{where}: controlPoints must be a list of objects")
    frame = str(given.get("coordinateSystem", "LPS"))
    # Before names were written, RAS was 0 and LPS was 1.
    frame = {"0": "RAS", "1": "LPS"}.get(frame, frame)
    unit = given.get("coordinateUnits", "mm")
    unit = unit[0] if isinstance(unit, list) and unit else unit
    if frame not in _FRAMES or unit not in _UNITS:
        raise FormatError(
            f"{where}: expected coordinates in {' or '.join(_FRAMES)} and {' or '.join(_UNITS)}, "
            f"got {frame[:20]!r} and {str(unit)[:20]!r}"
        )
    try:
        points = [_position(p) for p in listed]
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: a position must hold 3 numbers: {error}") from error
    return Markup(
        np.array(points).reshape(-1, 3),
        [str(p.get("label", "")) for p in listed],
        str(given["type"]),
        str(given.get("name", "")),
        frame,
        str(unit),
        {k: v for k, v in given.items() if k not in _OWN},
        [{k: v for k, v in p.items() if k not in _OWN_OF_POINT} for p in listed],
    )


def _position(point: Mapping[str, Any]) -> list[float]:
    given = point.get("position")
    if given is None or point.get("positionStatus") == "undefined":
        return [np.nan] * 3
    values = [float(v) for v in given]
    if len(values) != 3 or not np.isfinite(values).all():
        raise ValueError(f"got {given!r}")
    return values


def write_markups(
    path: str | os.PathLike[str],
    markups: Markup | Sequence[Markup],
    *,
    overwrite: bool = False,
) -> None:
    """Write a ``.mrk.json`` file for 3D Slicer.

    Parameters
    ----------
    path : path
        The target, which is complete or not there at all.
    markups : Markup or sequence of Markup
        Points in another frame than LPS and RAS are written in LPS, in other units than mm and µm
        in mm.
    overwrite : bool, optional
        Replace an existing target.

    Raises
    ------
    GeometryLossError
        If a markup with directions in its ``attrs`` would have to be rotated.
    FileExistsError
        If the target exists and `overwrite` is false.

    Examples
    --------
    >>> from pathlib import Path
    >>> import tempfile
    >>> from spatial_duck import io
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "tips.mrk.json"
    ...     io.write_markups(file, io.Markup([[1, 2, 3]], labels=["tip"], frame="RAS"))
    ...     [(m.labels, m.points.tolist(), m.frame) for m in io.read_markups(file)]
    [(('tip',), [[1.0, 2.0, 3.0]], 'RAS')]
    """
    listed = [markups] if isinstance(markups, Markup) else list(markups)
    content = {"@schema": _SCHEMA, "markups": [_record(each) for each in listed]}
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    place = Path(path)
    if not place.name.lower().endswith(".json"):
        raise FormatError(f"{place.name}: markups are written as .mrk.json")
    with publish_atomically(place, overwrite=overwrite) as fresh:
        fresh.write_text(text, encoding="utf-8")


def _record(markup: Markup) -> dict[str, Any]:
    frame = markup.frame if markup.frame in _FRAMES else "LPS"
    unit = markup.unit if markup.unit in _UNITS else "mm"
    points = markup.points
    if (frame, unit) != (markup.frame, markup.unit):
        said = sorted(_DIRECTED & {*markup.attrs, *(k for f in markup.facts for k in f)})
        if said:
            raise GeometryLossError(
                f"{markup.name or markup.type}: {', '.join(said)} would be left in {markup.frame} "
                f"and {markup.unit} where the file has {frame} and {unit}; leave them out of attrs "
                "and facts"
            )
        points = markup.points_in(World(SPACE_AXES, unit, frame))
    listed = []
    for label, point, facts in zip(markup.labels, points, markup.facts, strict=True):
        placed = bool(np.isfinite(point).all())
        status = {"positionStatus": "defined" if placed else "undefined"}
        where = {"position": point.tolist() if placed else [0.0, 0.0, 0.0]}
        listed.append({"label": label, **where, **status, **facts, **({} if placed else status)})
    return {
        "type": markup.type,
        "name": markup.name,
        "coordinateSystem": frame,
        "coordinateUnits": unit,
        **{k: v for k, v in markup.attrs.items() if k not in _OWN},
        "controlPoints": listed,
    }
