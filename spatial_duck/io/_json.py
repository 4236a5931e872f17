"""A geometry as JSON, for formats that hold text or attributes beside the voxels.

::

    {
      "version": 1,
      "shape": [24, 96, 128],
      "dims": ["z", "y", "x"],
      "sampled": [0, 1, 2],
      "spacing": [2.2, 2.0, 2.0],
      "origin": [117.9, -35.7, -7.2],
      "direction": [[0, 0, -1], [0.3, 0.95, 0], [0.95, -0.3, 0]],
      "world": {"axes": ["x", "y", "z"], "units": ["mm", "mm", "mm"], "frame": "RAS"},
      "lost": {},
      "attrs": {},
      "coords": {}
    }

``sampled`` are array axes; ``spacing`` and the columns of ``direction`` are in their order,
``origin`` and the rows of ``direction`` in that of the world's axes: world = origin + direction @
(spacing * index), the centre of a voxel. ``lost`` maps array axes to the functions that lost their
positions, and `spatial_duck.io._coords` describes ``coords``. The world has ``"types"`` if they
do not follow from the names of its axes.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io._safety import MALFORMED, check_axis_count

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEY", "MAX_BYTES", "from_record", "is_json", "json_attrs", "parse_record", "to_record"]

#: Key of a record among other attributes.
KEY = "spatial_duck"
_VERSION = 1
#: Most bytes of a record.
MAX_BYTES = 1 << 24


def to_record(
    geometry: Geometry,
    attrs: Mapping[Any, Any] | None = None,
    coords: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a geometry as JSON values, which hold it exactly.

    Parameters
    ----------
    geometry : Geometry
        Any geometry.
    attrs : mapping, optional
        Free metadata; what JSON cannot hold exactly is left out.
    coords : mapping, optional
        Coordinates, as `spatial_duck.io._coords.coords_to_json` makes them.
    """
    g = geometry
    world = {"axes": list(g.world.axes), "units": list(g.unit), "frame": g.frame}
    if g.world.types != World(g.world.axes).types:
        world["types"] = list(g.world.types)
    return {
        "version": _VERSION,
        "shape": list(g.shape),
        "dims": list(g.dims),
        "sampled": list(g.sampled_axes),
        "spacing": g.spacing.tolist(),
        "origin": g.origin.tolist(),
        "direction": g.direction.tolist(),
        "world": world,
        "lost": {str(axis): function for axis, function in g.lost.items()},
        "attrs": json_attrs(attrs or {}),
        "coords": dict(coords or {}),
    }


def json_attrs(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the entries that come back from JSON unchanged."""
    return {k: v for k, v in attrs.items() if isinstance(k, str) and is_json(v)}


def is_json(value: Any) -> bool:
    """Whether a value comes back from JSON unchanged."""
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (RecursionError, TypeError, ValueError):
        return False


def parse_record(path: object, text: str | bytes) -> dict[str, Any]:
    """Return the record in a text.

    Raises
    ------
    FormatError
        If it is not a JSON object.
    """
    if len(text) > MAX_BYTES:
        raise FormatError(
            f"{path}: its geometry takes {len(text):,} bytes, more than {MAX_BYTES:,}"
        )
    try:
        record = json.loads(text)
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{path}: its geometry is not valid JSON: {error}") from error
    if not isinstance(record, dict):
        raise FormatError(f"{path}: its geometry must be a JSON object, got {str(record)[:80]}")
    return record


def from_record(path: object, record: Mapping[str, Any], shape: tuple[int, ...]) -> Geometry:
    """Return the geometry of a record.

    Parameters
    ----------
    path : object
        Named in messages.
    record : mapping
        What `to_record` made.
    shape : tuple of int
        Shape of the voxels; the record must agree.

    Raises
    ------
    FormatError
        If it is not valid.
    """
    if record.get("version") != _VERSION:
        raise FormatError(
            f"{path}: its geometry has version {record.get('version')!r}, {_VERSION} is read"
        )
    try:
        geometry = _geometry(record)
    except GeometryError as error:
        raise FormatError(f"{path}: its geometry is not valid: {error}") from error
    except MALFORMED as error:
        raise FormatError(f"{path}: its geometry is not valid: {error!r}") from error
    if geometry.shape != shape:
        raise FormatError(
            f"{path}: its geometry is that of shape {geometry.shape}, and the voxels have {shape}"
        )
    return geometry


def _geometry(record: Mapping[str, Any]) -> Geometry:
    """Return the geometry of a valid record."""
    given = record["world"]
    check_axis_count(record["dims"], record["sampled"], record["origin"], given["axes"])
    world = World(given["axes"], given["units"], given["frame"], given.get("types"))
    dims = [None if n is None else str(n) for n in record["dims"]]
    sampled = [int(i) for i in record["sampled"]]
    spacing = dict(zip(sampled, map(float, record["spacing"]), strict=True))
    origin = [float(v) for v in record["origin"]]
    columns = np.array(record["direction"], np.float64).reshape(len(origin), len(sampled))
    # Axes of these names are sampled, unless a coordinate holds their positions.
    bare = [i for i, n in enumerate(dims) if n in (*SPACE_AXES, "t") and i not in sampled]
    every = sorted([*sampled, *bare])
    direction = np.zeros((len(origin) + len(bare), len(every)))
    direction[: len(origin), [every.index(i) for i in sampled]] = columns
    direction[range(len(origin), len(direction)), [every.index(i) for i in bare]] = 1
    geometry = Geometry(
        [int(n) for n in record["shape"]],
        [spacing.get(i, 1.0) for i in every],
        [*origin, *[0.0] * len(bare)],
        direction,
        dims,
        sampled=every,
        world=World(
            (*world.axes, *[f"along axis {i}" for i in bare]),
            (*[world.units[n] for n in range(len(world.axes))], *[None] * len(bare)),
            world.frame,
            (*world.types, *["space"] * len(bare)),
        ) if bare else world,
        lost={int(k): str(v) for k, v in (record.get("lost") or {}).items()},
    )  # fmt: skip
    return geometry.unplace(bare).to_world(world.axes) if bare else geometry
