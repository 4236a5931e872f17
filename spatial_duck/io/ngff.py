"""The metadata of OME-Zarr (NGFF 0.4 and 0.5) and what stands beside it, to and from `Geometry`.

`spatial_duck.io.omezarr` documents the attributes; this module knows no arrays and no stores.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.io.layout import Fitted, Rules, column_kinds, fitted
from spatial_duck.world import SPACE_AXES, World, canonical_unit

__all__ = [
    "NAMESPACE",
    "Dataset",
    "Multiscale",
    "arranged",
    "attributes",
    "axis_names",
    "exact_geometry",
    "kept_attrs",
    "multiscales",
    "standard_geometry",
    "what_is_lost",
]

NAMESPACE = "spatial_duck"
_VERSION = 1

RULES = Rules(
    "OME-Zarr", (), plain="first", max_plain=1, plain_names=None, unspecified=True, named=True
)

#: Units as the standard spells them.
_SPELLED = {
    "m": "meter", "km": "kilometer", "dm": "decimeter", "cm": "centimeter", "mm": "millimeter",
    "um": "micrometer", "nm": "nanometer", "pm": "picometer", "in": "inch", "ft": "foot",
    "s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond", "min": "minute",
    "h": "hour", "d": "day",
}  # fmt: skip


class Dataset(NamedTuple):
    """One level: its path and the products of its and the group's transformations."""

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


class Multiscale(NamedTuple):
    """One entry of ``multiscales``."""

    version: str
    axes: tuple[Mapping[str, Any], ...]
    datasets: tuple[Dataset, ...]
    fields: Mapping[str, Any]


# --- reading ------------------------------------------------------------------------------


def multiscales(path: object, attributes: Mapping[str, Any]) -> list[Multiscale]:
    """Return the entries of a group's ``multiscales``, checked.

    Raises
    ------
    FormatError
        If there are none, or they do not hold what the standard says.
    """
    ome = attributes.get("ome", attributes)
    entries = ome.get("multiscales") if isinstance(ome, Mapping) else None
    if not isinstance(entries, Sequence) or not entries:
        raise FormatError(
            f"{path}: the Zarr group has no 'multiscales' attribute, so that it is no OME-Zarr "
            "image; open an array of it with zarr and SpatialArray(array, ...)"
        )
    return [_multiscale(path, entry, str(ome.get("version", ""))) for entry in entries]


def _multiscale(path: object, entry: Any, version: str) -> Multiscale:
    try:
        version = str(entry.get("version", version))
        axes = entry["axes"]
        if version not in ("", "0.4", "0.5") or not all(isinstance(a, Mapping) for a in axes):
            raise FormatError(f"{path}: OME-Zarr version {version!r} is not read; 0.4 and 0.5 are")
        n = len(axes)
        outer = _transform(path, entry.get("coordinateTransformations"), n)
        datasets = []
        for item in entry["datasets"]:
            scale, shift = _transform(path, item.get("coordinateTransformations"), n)
            datasets.append(
                Dataset(
                    str(item["path"]),
                    tuple((scale * outer[0]).tolist()),
                    tuple((shift * outer[0] + outer[1]).tolist()),
                )
            )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path}: its 'multiscales' are not valid: {error!r}") from error
    if not datasets:
        raise FormatError(f"{path}: its 'multiscales' list no datasets")
    fields = {k: v for k, v in entry.items() if k in ("name", "type", "metadata")}
    return Multiscale(version, tuple(axes), tuple(datasets), fields)


def _transform(path: object, items: Any, n: int) -> tuple[Any, Any]:
    scale, shift = np.ones(n), np.zeros(n)
    for item in items or ():
        kind = item["type"]
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or kind not in item:
            raise FormatError(f"{path}: the transformation {item!r} is no scale or translation")
        values = np.asarray(item[kind], np.float64)
        if values.shape != (n,):
            raise FormatError(f"{path}: {kind} must hold {n} numbers, got {item[kind]!r}")
        if kind == "scale":
            scale, shift = scale * values, shift * values
        else:
            shift = shift + values
    return scale, shift


def standard_geometry(
    path: object, multiscale: Multiscale, dataset: Dataset, shape: tuple[int, ...]
) -> Geometry:
    """Return the geometry of a level by the standard's metadata."""
    axes = multiscale.axes
    if len(shape) != len(axes):
        raise FormatError(
            f"{path}: {len(axes)} axes are listed, and level {dataset.path!r} has shape {shape}"
        )
    names = [str(a.get("name", "")) or None for a in axes]
    kinds = [str(a.get("type", "")).lower() for a in axes]
    moving = [
        i
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
        if kind in ("space", "time") or (not kind and name in (*SPACE_AXES, "t"))
    ]
    # A plain axis may not have a name that would make it sampled.
    for i, name in enumerate(names):
        if i not in moving and name in (*SPACE_AXES, "t"):
            names[i] = None
    sampled = [str(names[i]) for i in moving]
    units = [canonical_unit(axes[i].get("unit") or None) for i in moving]
    scale = np.array([dataset.scale[i] for i in moving])
    return Geometry(
        shape,
        abs(scale).tolist(),
        [dataset.translation[i] for i in moving],
        np.diag(np.where(scale < 0, -1.0, 1.0)),
        names,
        sampled=sampled,
        world=World(sampled, units),
    )


def exact_geometry(path: object, own: Any, level: str, standard: Geometry) -> Geometry:
    """Return the geometry that this library kept, where it still fits the standard's metadata."""
    if not isinstance(own, Mapping) or own.get("version") != _VERSION:
        return standard
    try:
        entry = next((e for e in own["levels"] if e["path"] == level), None)
        if entry is None:
            return standard
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
