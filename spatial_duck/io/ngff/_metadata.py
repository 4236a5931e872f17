"""The metadata of OME-Zarr (NGFF 0.4 and 0.5) and what stands beside it, to and from `Geometry`.

`spatial_duck.io.ngff._format` documents the attributes; this module knows no arrays and no stores.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES, World, canonical_unit
from spatial_duck.io._layout import Fitted, Rules, column_kinds, fitted
from spatial_duck.io.ngff._systems import Loader, by_axis, columns, read_systems

__all__ = [
    "NAMESPACE",
    "Dataset",
    "Multiscale",
    "arranged",
    "attributes",
    "axes_of",
    "axis_names",
    "exact_geometry",
    "kept_attrs",
    "moving",
    "multiscales",
    "standard_geometry",
    "what_is_lost",
    "world_of",
]

NAMESPACE = "spatial_duck"
_VERSION = 1

RULES = Rules(
    "OME-Zarr", (), plain="first", max_plain=1, plain_names=None, unspecified=True, named=True,
    moment=True,
)  # fmt: skip

#: Units as the standard spells them.
_SPELLED = {
    "m": "meter", "km": "kilometer", "dm": "decimeter", "cm": "centimeter", "mm": "millimeter",
    "um": "micrometer", "nm": "nanometer", "pm": "picometer", "in": "inch", "ft": "foot",
    "s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond", "min": "minute",
    "h": "hour", "d": "day",
}  # fmt: skip


#: Anatomical orientations (RFC-4), by the letter that an axis runs to.
_LETTERS = {
    "right-to-left": "L", "left-to-right": "R", "anterior-to-posterior": "P",
    "posterior-to-anterior": "A", "inferior-to-superior": "S", "superior-to-inferior": "I",
}  # fmt: skip


class Dataset(NamedTuple):
    """One level: its path and the homogeneous matrix of its and the group's transformations."""

    path: str
    matrix: Any


class Multiscale(NamedTuple):
    """One entry of ``multiscales``.

    Attributes
    ----------
    version : str
        Of the standard.
    axes : tuple of mappings
        Of the arrays.
    datasets : tuple of Dataset
        The levels, the finest first.
    fields : mapping
        What it says besides geometry.
    world : tuple of mappings
        Axes of the coordinate system that the matrices lead to.
    """

    version: str
    axes: tuple[Mapping[str, Any], ...]
    datasets: tuple[Dataset, ...]
    fields: Mapping[str, Any]
    world: tuple[Mapping[str, Any], ...]


# --- reading ------------------------------------------------------------------------------


def multiscales(
    path: object, attributes: Mapping[str, Any], system: str | None, load: Loader
) -> list[Multiscale]:
    """Return the entries of a group's ``multiscales``, checked.

    Parameters
    ----------
    path : object
        For messages.
    attributes : mapping
        Of the group.
    system : str or None
        Coordinate system that positions are wanted in (0.6); None for that of the datasets.
    load : callable
        Reads a matrix that lies in an array of its own.

    Raises
    ------
    FormatError
        If there are none, or they do not hold what the standard says.
    """
    ome = attributes.get("ome", attributes)
    entries = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if isinstance(ome, Mapping) and entries is None and "scene" in ome:
        raise FormatError(f"{path}: it is a scene of several images; open one of them by its path")
    if not isinstance(entries, Sequence) or not entries:
        raise FormatError(
            f"{path}: the Zarr group has no 'multiscales' attribute, so that it is no OME-Zarr "
            "image; open an array of it with zarr and SpatialArray(array, ...)"
        )
    version = str(ome.get("version", ""))
    return [_multiscale(path, entry, version, system, load) for entry in entries]


def _multiscale(
    path: object, entry: Any, version: str, system: str | None, load: Loader
) -> Multiscale:
    try:
        version = str(entry.get("version", version))
        if "coordinateSystems" in entry and version.startswith("0.6"):
            found = _with_systems(entry, version, system, load)
        elif version not in ("", "0.4", "0.5"):
            raise FormatError(f"OME-Zarr version {version!r} is not read; 0.4, 0.5 and 0.6 are")
        elif system is not None:
            raise FormatError(f"OME-Zarr {version} has no coordinate systems; leave system= out")
        else:
            found = _with_axes(entry, version)
        if not all(isinstance(a, Mapping) for a in (*found.axes, *found.world)):
            raise FormatError(f"axes must be objects, got {found.axes!r}")
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        told = error if isinstance(error, FormatError) else f"not valid: {error!r}"
        raise FormatError(f"{path}: its 'multiscales': {told}") from error
    if not found.datasets:
        raise FormatError(f"{path}: its 'multiscales' list no datasets")
    return found


def _with_axes(entry: Any, version: str) -> Multiscale:
    """Read an entry of 0.4 or 0.5."""
    axes = tuple(entry["axes"])
    n = len(axes)
    outer = _transform(entry.get("coordinateTransformations"), n)
    datasets = [
        Dataset(str(item["path"]), outer @ _transform(item.get("coordinateTransformations"), n))
        for item in entry["datasets"]
    ]
    return Multiscale(version, axes, tuple(datasets), _fields(entry), axes)


def _with_systems(entry: Any, version: str, system: str | None, load: Loader) -> Multiscale:
    """Read an entry of 0.6."""
    found = read_systems(entry, load)
    name = found.intrinsic if system is None else system
    further = found.matrix_to(name, load)
    datasets = [Dataset(place, further @ matrix) for place, matrix in found.datasets]
    fields = {**_fields(entry), "systems": {"read": name, "others": sorted(found.axes)}}
    axes = found.axes[found.intrinsic]
    return Multiscale(version, axes, tuple(datasets), fields, found.axes[name])


def _fields(entry: Any) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k in ("name", "type", "metadata")}


def _transform(items: Any, n: int) -> Any:
    """Return the homogeneous matrix of a list of scales and translations."""
    total = np.eye(n + 1)
    for item in items or ():
        if item["type"] not in ("identity", "scale", "translation"):
            raise FormatError(f"the transformation {item!r} is no scale or translation")
        total = by_axis(item["type"], item, n) @ total
    return total


def standard_geometry(
    path: object, multiscale: Multiscale, dataset: Dataset, shape: tuple[int, ...]
) -> Geometry:
    """Return the geometry of a level by the standard's metadata."""
    axes = multiscale.axes
    if len(shape) != len(axes):
        raise FormatError(
            f"{path}: {len(axes)} axes are listed, and level {dataset.path!r} has shape {shape}"
        )
    sampled = moving(axes)
    names = [str(a.get("name", "")) or None for a in axes]
    # A plain axis may not have a name that would make it sampled.
    for i, name in enumerate(names):
        if i not in sampled and name in (*SPACE_AXES, "t"):
            names[i] = None
    rows = moving(multiscale.world)
    still = [i for i in range(len(axes)) if i not in sampled]
    if dataset.matrix[np.ix_(rows, still)].any():
        raise FormatError(f"{path}: a transformation moves channels through space")
    spacing, direction, origin = columns(dataset.matrix, rows, sampled)
    return Geometry(
        shape,
        spacing.tolist(),
        origin.tolist(),
        direction,
        names,
        sampled=sampled,
        world=world_of([multiscale.world[i] for i in rows]),
    )


def moving(axes: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return which axes are space or time."""
    kinds = [str(a.get("type", "")).lower() for a in axes]
    return [
        i
        for i, (a, kind) in enumerate(zip(axes, kinds, strict=True))
        if kind in ("space", "time") or (not kind and a.get("name") in (*SPACE_AXES, "t"))
    ]


def world_of(axes: Sequence[Mapping[str, Any]]) -> World:
    """Return the world whose coordinates are the axes of a coordinate system."""
    units = [canonical_unit(a.get("unit") or None) for a in axes]
    return World([str(a["name"]) for a in axes], units, _frame(axes))


def axes_of(world: World) -> list[dict[str, Any]]:
    """Return a world's coordinates as the axes of a coordinate system (0.6), with orientations."""
    values = {letter: value for value, letter in _LETTERS.items()}
    axes = []
    for name, unit in zip(world.axes, world.units, strict=True):
        axis: dict[str, Any] = {"name": name, "type": "time" if name == "t" else "space"}
        if unit is not None:
            axis["unit"] = _SPELLED.get(unit, unit)
        if world.frame is not None and name in SPACE_AXES:
            value = values[world.frame[SPACE_AXES.index(name)]]
            axis["orientation"] = {"type": "anatomical", "value": value}
        axes.append(axis)
    return axes


def _frame(axes: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the frame that the anatomical orientations (RFC-4) of x, y and z say."""
    said = {a.get("name"): a.get("orientation") for a in axes}
    letters = ""
    for name in SPACE_AXES:
        orientation = said.get(name)
        value = orientation.get("value") if isinstance(orientation, Mapping) else None
        letters += _LETTERS.get(str(value), "")
    return letters if len(letters) == 3 else None


def exact_geometry(path: object, own: Any, level: str, standard: Geometry) -> Geometry | None:
    """Return the geometry that this library kept, where it still fits the standard's metadata.

    Where it does not, the standard's, with a warning; None where nothing was kept for this level.
    """
    if not isinstance(own, Mapping) or own.get("version") != _VERSION:
        return None
    try:
        entry = next((e for e in own["levels"] if e["path"] == level), None)
        if entry is None:
            return None
        exact, first = (_own_geometry(own["world"], e) for e in (entry, own["levels"][0]))
    except (AttributeError, GeometryError, KeyError, TypeError, ValueError) as error:
        raise FormatError(
            f"{path}: its {NAMESPACE!r} attributes are not valid: {error}; read the standard's "
            "metadata alone with exact=False"
        ) from error
    fits = exact.shape == standard.shape and exact.sampled_axes == standard.sampled_axes
    if fits:
        limit = 1e-9 * float(max(exact.spacing, default=1))
        fits = np.allclose(exact.spacing, standard.spacing, 1e-9, 0)
        fits = fits and np.allclose(_translation(exact, first), standard.origin, 1e-9, limit)
    if not fits:
        warnings.warn(
            f"{path}: the exact geometry in its {NAMESPACE!r} attributes no longer fits the "
            "scale and translation of the standard's metadata, which are used",
            UserWarning,
            stacklevel=5,
        )
        return standard
    return exact


def _own_geometry(world: Any, entry: Any) -> Geometry:
    return Geometry(
        entry["shape"], entry["spacing"], entry["origin"],
        np.array(entry["direction"], float).reshape(len(entry["origin"]), -1),
        entry["dims"], sampled=entry["sampled"],
        world=World(world["axes"], world["units"], world["frame"]),
    )  # fmt: skip


def kept_attrs(attributes: Mapping[str, Any], multiscale: Multiscale) -> dict[str, Any]:
    """Return what the group says besides geometry, as an image's attrs."""
    own = attributes.get(NAMESPACE)
    kept = own.get("attrs") if isinstance(own, Mapping) else None
    attrs: dict[str, Any] = dict(kept) if isinstance(kept, Mapping) else {}
    ome = attributes.get("ome", attributes)
    fields = dict(multiscale.fields)
    if "omero" in ome:
        fields["omero"] = ome["omero"]
    if fields:
        attrs["ome"] = fields
    return attrs


# --- writing ------------------------------------------------------------------------------


def arranged(image: Any) -> Fitted:
    """Return an image as ``(t, c, z, y, x)``, in its own world.

    Raises
    ------
    GeometryLossError
        If it has other or more axes than the standard.
    """
    world = image.geometry.world
    out = fitted(image, RULES, minimum=2)
    g = out.geometry
    kinds = column_kinds(g)
    n_space = kinds.count("space")
    if not 2 <= n_space <= 3 or not 2 <= g.ndim <= 5:
        raise GeometryLossError(
            f"OME-Zarr holds 2 or 3 space axes, and at most one time and one channel axis; the "
            f"image has dims {image.dims!r}; add an axis (image[None]) or index one away"
        )
    order = [*world.axes, *[n for n in g.world.axes if n not in world.axes]]
    return Fitted(out.data, g.to_world(order))


def axis_names(geometry: Geometry) -> tuple[str, ...]:
    """Return a name for each array axis; a plain one without a name is called c."""
    return tuple(name or ("c" if "c" not in geometry.dims else "channel") for name in geometry.dims)


def what_is_lost(geometry: Geometry) -> str:
    """Say what a scale and a translation would lose of a geometry; empty where nothing is."""
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


def _translation(geometry: Geometry, first: Geometry) -> list[float]:
    """Return the translation of a level, given the finest.

    The origin along each axis's namesake. Where the axes are oblique, that of the finest level, and
    from there the step that the level makes along each axis as if it were unrotated, so that other
    readers see the levels on top of each other.
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


def attributes(
    image: Any, geometries: Sequence[Geometry], version: str, method: str, name: str
) -> dict[str, Any]:
    """Return a group's attributes for an image and the geometry of each level."""
    first = geometries[0]
    kinds = column_kinds(first)
    units = dict(zip(first.world.axes, first.unit, strict=True))
    axes = []
    for label, kind in zip(axis_names(first), kinds, strict=True):
        axis: dict[str, Any] = {"name": label, "type": "channel" if kind == "plain" else kind}
        unit = units.get(label) if kind != "plain" else None
        if unit is not None:
            axis["unit"] = _SPELLED.get(unit, unit)
        axes.append(axis)
    kept = dict(image.attrs.get("ome") or {})
    omero = kept.pop("omero", None)
    kept.pop("systems", None)
    entry: dict[str, Any] = {"name": name, **kept}
    entry |= {"axes": axes, "type": method, "datasets": []}
    for n, g in enumerate(geometries):
        scale, shift = [1.0] * g.ndim, [0.0] * g.ndim
        for i, s, p in zip(g.sampled_axes, g.spacing, _translation(g, first), strict=True):
            scale[i], shift[i] = float(s), p
        transforms = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": shift},
        ]
        entry["datasets"].append({"path": str(n), "coordinateTransformations": transforms})
    ome: dict[str, Any] = {"multiscales": [entry]}
    if omero is not None:
        ome["omero"] = omero
    if version == "0.4":
        entry["version"] = version
        out = ome
    else:
        out = {"ome": {"version": version, **ome}}
    out[NAMESPACE] = _own(image, geometries)
    return out


def _own(image: Any, geometries: Sequence[Geometry]) -> dict[str, Any]:
    world = geometries[0].world
    return {
        "version": _VERSION,
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
        "attrs": {k: v for k, v in image.attrs.items() if k != "ome" and _is_json(v)},
    }


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False
