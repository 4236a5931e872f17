"""3D Slicer's markups, ``.mrk.json``: named points, lines, curves, planes and regions.

A file holds a list of markups, each of a type (`TYPES`) with control points and their labels, in
LPS or RAS and in mm or µm. Positions are those of `Geometry.index_to_physical`. All other entries
of a markup (``center``, ``size`` and ``orientation`` of a plane or a region, ``display``,
``measurements``) and of its control points are kept unchanged in ``attrs`` and ``point_attrs``, in
the markup's own coordinate system, and written again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_duck.errors import FormatError, FrameError, GeometryLossError
from spatial_duck.geometry import World
from spatial_duck.geometry._world import SPACE_AXES, canonical_unit, frame_change, unit_factor
from spatial_duck.io._publishing import publish_atomically
from spatial_duck.io._safety import check_is_no_device

__all__ = ["TYPES", "Markup", "read_markups", "write_markups"]

#: Types of markups that the schema has.
TYPES = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI")
_SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
_FRAMES, _UNITS = ("LPS", "RAS"), ("mm", "um")
#: Keys of a markup and of a control point that are fields of `Markup`.
_MARKUP_KEYS = frozenset(["type", "name", "coordinateSystem", "coordinateUnits", "controlPoints"])
_POINT_KEYS = frozenset(["label", "position"])
#: Keys of a markup or a control point whose values depend on the coordinate system.
_SPATIAL_KEYS = frozenset(
    ["center", "normal", "orientation", "baseToNode", "objectToBase", "planeBounds", "measurements"]
)
_MAX_BYTES = 1 << 28


@dataclass(frozen=True, eq=False)
class Markup:
    """A markup of 3D Slicer: labelled points of a line, a curve, a plane, a region or single ones.

    Attributes
    ----------
    points : ndarray of float, shape (n, 3)
        Control points x, y, z; NaN where one was not placed.
    labels : tuple of str
        One for each point, empty by default.
    type : str
        ``"Fiducial"`` (single points), ``"Line"``, ``"Angle"``, ``"Curve"``, ``"ClosedCurve"``,
        ``"Plane"`` or ``"ROI"``.
    name : str
        Name of the markup.
    frame : str
        Anatomical frame of the points.
    unit : str
        Unit of length of the points.
    attrs : dict
        Other entries of the markup, in the same frame and unit.
    point_attrs : tuple of dict
        Other entries of each control point, in the same frame and unit.

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
    point_attrs: Sequence[Mapping[str, Any]] = ()

    def __post_init__(self) -> None:
        points = np.array(self.points, np.float64).reshape(-1, 3)
        if np.shape(self.points)[-1:] not in ((3,), (0,)):
            raise FormatError(f"points must have shape (n, 3), got {np.shape(self.points)}")
        n = len(points)
        if self.type not in TYPES:
            raise FormatError(f"type must be one of {', '.join(TYPES)}, got {self.type!r}")
        if np.isinf(points).any():
            raise FormatError("points must be finite, or NaN where they were not placed")
        for name in ("labels", "point_attrs"):
            values = getattr(self, name)
            if values and len(values) != n:
                raise FormatError(f"{name}: expected one for each of {n} points, got {len(values)}")
        frame_change(World(SPACE_AXES, frame=self.frame).frame or "LPS", "LPS")
        points.setflags(write=False)
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "labels", tuple(map(str, self.labels)) or ("",) * n)
        object.__setattr__(self, "point_attrs", tuple(map(dict, self.point_attrs)) or ({},) * n)
        object.__setattr__(self, "unit", canonical_unit(self.unit))
        object.__setattr__(self, "attrs", dict(self.attrs))

    def points_in(self, like: Any) -> NDArray[np.float64]:
        """Return the points in another frame, or in the world of an image.

        Parameters
        ----------
        like : SpatialArray, Geometry, World or str
            A frame, in which the points keep their unit; or an image, geometry or world with a
            frame and the axes x, y and z in any order, in whose units (if any) they are returned.

        Returns
        -------
        ndarray of float, shape (n, n_world)
            Points as `sample`, `Geometry.physical_to_index` and transforms take them.

        Raises
        ------
        FrameError
            If the frame is unspecified.
        GeometryLossError
            If the world has other axes than x, y and z.
        GeometryError
            If a unit is not one of length.
        """
        if isinstance(like, str):
            return self._points_in_frame(World(SPACE_AXES, frame=like).frame or like)
        world: World = like if isinstance(like, World) else like.world
        if world.frame is None:
            raise FrameError(
                f"these points are in {self.frame}, and the image's frame is unspecified: state it "
                "with image.replace(frame=...)"
            )
        if not set(world.axes) <= set(SPACE_AXES):
            raise GeometryLossError(
                f"points have x, y and z, and the image's world has {world.axes!r}; index its "
                "other axes with an integer first"
            )
        points = self._points_in_frame(world.frame)[:, [SPACE_AXES.index(n) for n in world.axes]]
        for column, unit in enumerate(world.units):
            if unit not in (None, self.unit):
                points[:, column] *= unit_factor(self.unit, unit)
        return points

    def _points_in_frame(self, frame: str) -> NDArray[np.float64]:
        change = frame_change(self.frame, frame)
        columns = [sign * self.points[:, source] for source, sign in change]
        return np.stack(columns, axis=1) + 0.0  # no negative zeros


def read_markups(path: str | os.PathLike[str]) -> list[Markup]:
    """Read a ``.mrk.json`` file of 3D Slicer.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    list of Markup
        In the coordinate systems of the file; `Markup.points_in` converts points to an image's.

    Raises
    ------
    FormatError
        If the file is not valid, or holds markups of another type, which the message names.
    """
    file_path = Path(path)
    check_is_no_device(file_path)
    if (size := file_path.stat().st_size) > _MAX_BYTES:
        raise FormatError(
            f"{file_path}: a file of markups has at most {_MAX_BYTES:,} bytes, got {size:,}"
        )
    try:
        content = json.loads(file_path.read_bytes())
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{file_path}: it is not valid JSON: {error}") from error
    schema = str(content.get("@schema", "")) if isinstance(content, dict) else ""
    markups = content.get("markups") if isinstance(content, dict) else None
    if "markups-schema-v1." not in schema.lower() or not isinstance(markups, list):
        raise FormatError(
            f"{file_path}: expected 3D Slicer's markups (@schema …/markups-schema-v1.…), got "
            f"@schema {schema[:80]!r}"
        )
    return [_from_json(f"{file_path}: markup {n}", entry) for n, entry in enumerate(markups)]


def _from_json(where: str, entry: Any) -> Markup:
    """Return a markup; `where` names the file and the markup in messages."""
    if not isinstance(entry, dict) or entry.get("type") not in TYPES:
        kind = entry.get("type") if isinstance(entry, dict) else entry
        raise FormatError(f"{where} is of type {str(kind)[:40]!r}; {', '.join(TYPES)} are read")
    points = entry.get("controlPoints", [])
    if not isinstance(points, list) or not all(isinstance(p, dict) for p in points):
        raise FormatError(f"{where}: controlPoints must be a list of objects")
    frame = str(entry.get("coordinateSystem", "LPS"))
    # The first versions of Slicer wrote RAS as 0 and LPS as 1.
    frame = {"0": "RAS", "1": "LPS"}.get(frame, frame)
    unit = entry.get("coordinateUnits", "mm")
    unit = unit[0] if isinstance(unit, list) and unit else unit
    if frame not in _FRAMES or unit not in _UNITS:
        raise FormatError(
            f"{where}: expected coordinates in {' or '.join(_FRAMES)} and {' or '.join(_UNITS)}, "
            f"got {frame[:20]!r} and {str(unit)[:20]!r}"
        )
    try:
        positions = [_position(p) for p in points]
    except (TypeError, ValueError) as error:
        raise FormatError(f"{where}: a position must hold 3 numbers: {error}") from error
    return Markup(
        np.array(positions).reshape(-1, 3),
        [str(p.get("label", "")) for p in points],
        str(entry["type"]),
        str(entry.get("name", "")),
        frame,
        str(unit),
        {k: v for k, v in entry.items() if k not in _MARKUP_KEYS},
        [{k: v for k, v in p.items() if k not in _POINT_KEYS} for p in points],
    )


def _position(point: Mapping[str, Any]) -> list[float]:
    """Return the position of a control point, NaN where it was not placed."""
    position = point.get("position")
    if position is None or point.get("positionStatus") == "undefined":
        return [np.nan] * 3
    values = [float(v) for v in position]
    if len(values) != 3 or not np.isfinite(values).all():
        raise ValueError(f"got {position!r}")
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
        The target, ending in ``.json``; it is written complete or not at all.
    markups : Markup or sequence of Markup
        Points in a frame other than LPS and RAS are written in LPS, in units other than mm and µm
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
    listed = [markups] if isinstance(markups, Markup) else markups
    content = {"@schema": _SCHEMA, "markups": [_to_json(markup) for markup in listed]}
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    target = Path(path)
    if not target.name.lower().endswith(".json"):
        raise FormatError(f"{target.name}: markups are written as .mrk.json")
    with publish_atomically(target, overwrite=overwrite) as fresh:
        fresh.write_text(text, encoding="utf-8")


def _to_json(markup: Markup) -> dict[str, Any]:
    frame = markup.frame if markup.frame in _FRAMES else "LPS"
    unit = markup.unit if markup.unit in _UNITS else "mm"
    points = markup.points
    if (frame, unit) != (markup.frame, markup.unit):
        keys = {*markup.attrs}.union(*markup.point_attrs)
        if unconverted := sorted(_SPATIAL_KEYS & keys):
            raise GeometryLossError(
                f"{markup.name or markup.type}: {', '.join(unconverted)} would be left in "
                f"{markup.frame} and {markup.unit} where the file has {frame} and {unit}; remove "
                "them from attrs and point_attrs"
            )
        points = markup.points_in(World(SPACE_AXES, unit, frame))
    entries = []
    for label, point, attrs in zip(markup.labels, points, markup.point_attrs, strict=True):
        if np.isfinite(point).all():
            entry = {"position": point.tolist(), "positionStatus": "defined", **attrs}
        else:
            entry = {"position": [0.0] * 3, **attrs, "positionStatus": "undefined"}
        entries.append({"label": label, **entry})
    return {
        "type": markup.type,
        "name": markup.name,
        "coordinateSystem": frame,
        "coordinateUnits": unit,
        **{k: v for k, v in markup.attrs.items() if k not in _MARKUP_KEYS},
        "controlPoints": entries,
    }
