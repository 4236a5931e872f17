"""The metadata of an OME-Zarr image, 0.1 to 0.6, read as `Geometry`.

`spatial_duck.io.ngff._format` documents the attributes; this module uses no arrays and no stores.

Versions up to 0.3 have no transformations: their finest level is read with a spacing of 1, without
a unit, and other levels have no geometry. Development versions ("0.5-dev", "0.6.dev4") are read as
the final ones.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES, World
from spatial_duck.io._axis_names import restore_names
from spatial_duck.io._coords import check_coords, coords_from_json
from spatial_duck.io._safety import MALFORMED, check_axis_count
from spatial_duck.io.ngff._axes import Axes, axes_by_name, sampled_axes, world_of_axes
from spatial_duck.io.ngff._channels import from_omero
from spatial_duck.io.ngff._describe import (
    NAMESPACE,
    NAMESPACE_VERSION,
    WORLD,
    channel_axis,
    describe_loss,
    translation,
    translation_in_grid,
    world_matrix,
)
from spatial_duck.io.ngff._systems import (
    Loader,
    Systems,
    per_axis_matrix,
    read_systems,
    spacing_direction_origin,
)

__all__ = [
    "Dataset",
    "Multiscale",
    "exact_geometry",
    "multiscales",
    "ome_of",
    "read_attrs",
    "read_coords",
    "standard_geometry",
]

#: The newest version that is read, as (major, minor), and those without transformations.
_NEWEST, _WITHOUT_TRANSFORMS = (0, 6), (0, 3)


class Dataset(NamedTuple):
    """One level: its path, and the homogeneous matrix of its and the group's transformations.

    The matrix is None if there are no transformations.
    """

    path: str
    matrix: Any


class Multiscale(NamedTuple):
    """One entry of ``multiscales``.

    Attributes
    ----------
    version : tuple of int
        Version of the standard, major and minor.
    axes : tuple of mappings
        Axes of the arrays.
    datasets : tuple of Dataset
        The levels, the finest first.
    fields : mapping
        Other metadata of the image.
    world : tuple of mappings
        Axes of the coordinate system that the matrices lead to.
    systems : Systems or None
        All coordinate systems (0.6).
    """

    version: tuple[int, int]
    axes: Axes
    datasets: tuple[Dataset, ...]
    fields: Mapping[str, Any]
    world: Axes
    systems: Systems | None = None


# --- reading ------------------------------------------------------------------------------


def multiscales(
    path: object, attributes: Mapping[str, Any], system: str | None, load: Loader
) -> list[Multiscale]:
    """Return the entries of a group's ``multiscales``, checked.

    Parameters
    ----------
    path : object
        Named in messages.
    attributes : mapping
        Attributes of the group.
    system : str or None
        Coordinate system of the geometry (0.6); None for that of the datasets.
    load : callable
        Reads a matrix that is stored in an array of its own.

    Raises
    ------
    FormatError
        If there are none, or they are not valid.
    """
    ome = ome_of(attributes)
    entries = ome.get("multiscales")
    if not isinstance(entries, Sequence) or not entries:
        raise FormatError(
            f"{path}: the Zarr group has no 'multiscales' attribute, so that it is no OME-Zarr "
            "image; open an array of it with zarr and SpatialArray(array, ...)"
        )
    version = str(ome.get("version", ""))
    return [_multiscale(path, entry, version, system, load) for entry in entries]


def ome_of(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a group's attributes that is OME-Zarr's: since 0.5 that under "ome"."""
    ome = attributes.get("ome", attributes)
    return ome if isinstance(ome, Mapping) else {}


def _multiscale(
    path: object, entry: Any, version: str, system: str | None, load: Loader
) -> Multiscale:
    try:
        text = str(entry.get("version", version))
        numbers = _version(text)
        if "coordinateSystems" in entry:
            found = _with_systems(entry, numbers, system, load)
        elif system is not None:
            raise FormatError(f"OME-Zarr {text} has no coordinate systems; leave system= out")
        else:
            found = _with_axes(entry, numbers)
        if not all(isinstance(a, Mapping) for a in (*found.axes, *found.world)):
            raise FormatError(f"axes must be objects, got {found.axes!r}")
    except MALFORMED as error:
        reason = error if isinstance(error, FormatError) else f"not valid: {error!r}"
        raise FormatError(f"{path}: its 'multiscales': {reason}") from error
    if not found.datasets:
        raise FormatError(f"{path}: its 'multiscales' list no datasets")
    return found


def _version(text: str) -> tuple[int, int]:
    """Return a version as (major, minor), without a suffix of development.

    Examples
    --------
    >>> _version("0.6.dev4"), _version("0.5-dev"), _version("")
    ((0, 6), (0, 5), (0, 4))
    """
    found = re.match(r"(\d{1,3})\.(\d{1,3})(?!\d)", text or "0.4")
    numbers = (int(found[1]), int(found[2])) if found else (0, 0)
    if not (0, 1) <= numbers <= _NEWEST:
        raise FormatError(f"OME-Zarr version {text!r} is not read; 0.1 to 0.6 are")
    return numbers


def _with_axes(entry: Any, version: tuple[int, int]) -> Multiscale:
    """Read an entry of 0.1 to 0.5."""
    axes = _axes(entry.get("axes"), version)
    check_axis_count(axes)
    n = len(axes)
    outer = _transform(entry.get("coordinateTransformations"), n)
    datasets = []
    for item in entry["datasets"]:
        inner = _transform(item.get("coordinateTransformations"), n)
        if inner is not None and outer is not None:
            inner = outer @ inner
        datasets.append(Dataset(str(item["path"]), inner))
    if datasets and datasets[0].matrix is None and version <= _WITHOUT_TRANSFORMS:
        datasets[0] = datasets[0]._replace(matrix=np.eye(n + 1))
    return Multiscale(version, axes, tuple(datasets), _fields(entry), axes)


def _axes(found: Any, version: tuple[int, int]) -> Axes:
    """Return the axes of an entry: objects since 0.4, names in 0.3, all five before."""
    if found is None and version < (0, 3):
        return axes_by_name()
    if isinstance(found, Sequence) and all(isinstance(a, str) for a in found):
        return axes_by_name(found)
    if found is None:
        raise FormatError("it has no 'axes'")
    return tuple(found)


def _with_systems(
    entry: Any, version: tuple[int, int], system: str | None, load: Loader
) -> Multiscale:
    """Read an entry of 0.6."""
    found = read_systems(entry, load)
    name = found.intrinsic if system is None else system
    further = found.matrix_to(name, load)
    datasets = [Dataset(place, further @ matrix) for place, matrix in found.datasets]
    fields = {**_fields(entry), "systems": {"read": name, "others": sorted(found.axes)}}
    axes = found.axes[found.intrinsic]
    return Multiscale(version, axes, tuple(datasets), fields, found.axes[name], found)


def _fields(entry: Any) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k in ("name", "type", "metadata")}


def _transform(items: Any, n: int) -> Any:
    """Return the homogeneous matrix of scales and translations; None if there are none."""
    if not items:
        return None
    total = np.eye(n + 1)
    for item in items:
        if item["type"] not in ("identity", "scale", "translation"):
            raise FormatError(f"the transformation {item!r} is no scale or translation")
        total = per_axis_matrix(item["type"], item, n) @ total
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
    if dataset.matrix is None:
        raise FormatError(
            f"{path}: its level {dataset.path!r} has no coordinateTransformations, so that neither "
            "its spacing nor its origin is known; open the array with zarr and give them: "
            f"SpatialArray(zarr.open_array(...)[{dataset.path!r}], spacing=...)"
        )
    if multiscale.version <= _WITHOUT_TRANSFORMS:
        _warn_without_spacing(path, multiscale)
    sampled = sampled_axes(axes)
    names = [str(a.get("name", "")) or None for a in axes]
    # A plain axis must not have a name that would make it sampled.
    for i, name in enumerate(names):
        if i not in sampled and name in (*SPACE_AXES, "t"):
            names[i] = None
    rows = sampled_axes(multiscale.world)
    still = [i for i in range(len(axes)) if i not in sampled]
    if dataset.matrix[np.ix_(rows, still)].any():
        raise FormatError(f"{path}: a transformation moves channels through space")
    spacing, direction, origin = spacing_direction_origin(dataset.matrix, rows, sampled)
    return Geometry(
        shape,
        spacing.tolist(),
        origin.tolist(),
        direction,
        names,
        sampled=sampled,
        world=world_of_axes([multiscale.world[i] for i in rows]),
    )


def _warn_without_spacing(path: object, multiscale: Multiscale) -> None:
    version = ".".join(map(str, multiscale.version))
    warnings.warn(
        f"{path}: OME-Zarr {version} has no voxel size: spacing is 1, without a unit. Set it with "
        "image.replace(spacing=..., unit=...)",
        UserWarning,
        stacklevel=5,
    )


def exact_geometry(
    path: object, own: Any, level: str, standard: Geometry, multiscale: Multiscale, load: Loader
) -> Geometry | None:
    """Return the geometry in the library's own attributes, if it agrees with the standard's.

    If it does not, return the standard's geometry, with a warning; None if none is stored.
    """
    if not isinstance(own, Mapping) or own.get("version") != NAMESPACE_VERSION:
        return None
    try:
        entry = next((e for e in own["levels"] if e["path"] == level), None)
        if entry is None:
            return None
        exact, first = (_geometry_from_json(own["world"], e) for e in (entry, own["levels"][0]))
    except MALFORMED as error:
        raise FormatError(
            f"{path}: its {NAMESPACE!r} attributes are not valid: {error}; read the standard's "
            "metadata alone with exact=False"
        ) from error
    if _agree(exact, first, standard, multiscale, load):
        return restore_names(path, exact, own.get("names"))
    warnings.warn(
        f"{path}: the exact geometry in its {NAMESPACE!r} attributes no longer fits the "
        "transformations of the standard's metadata, which are used",
        UserWarning,
        stacklevel=5,
    )
    return standard


def _agree(
    exact: Geometry, first: Geometry, standard: Geometry, multiscale: Multiscale, load: Loader
) -> bool:
    """Whether an exact geometry agrees with the standard's metadata."""
    if exact.shape != standard.shape or exact.sampled_axes != standard.sampled_axes:
        return False
    if not np.allclose(exact.spacing, standard.spacing, 1e-9, 0):
        return False
    limit = 1e-9 * float(max(exact.spacing, default=1))
    systems = multiscale.systems
    if systems is None or not describe_loss(first):
        return np.allclose(translation(exact, first), standard.origin, 1e-9, limit)
    if not np.allclose(translation_in_grid(exact, first), standard.origin, 1e-9, limit):
        return False
    try:
        found, wanted = systems.matrix_to(WORLD, load), world_matrix(first)
    except (FormatError, GeometryError):
        return False
    return found.shape == wanted.shape and np.allclose(found, wanted, 1e-9, limit)


def _geometry_from_json(world: Any, entry: Any) -> Geometry:
    return Geometry(
        entry["shape"], entry["spacing"], entry["origin"],
        np.array(entry["direction"], float).reshape(len(entry["origin"]), -1),
        entry["dims"], sampled=entry["sampled"],
        world=World(world["axes"], world["units"], world["frame"]),
    )  # fmt: skip


def read_attrs(attributes: Mapping[str, Any], multiscale: Multiscale) -> dict[str, Any]:
    """Return a group's metadata besides geometry, as an image's attrs."""
    own = attributes.get(NAMESPACE)
    kept = own.get("attrs") if isinstance(own, Mapping) else None
    attrs: dict[str, Any] = dict(kept) if isinstance(kept, Mapping) else {}
    fields = dict(multiscale.fields)
    labels = ome_of(attributes).get("image-label")
    if isinstance(labels, Mapping):
        fields["image-label"] = dict(labels)
    if fields:
        attrs["ome"] = fields
    return attrs


def read_coords(
    path: object, attributes: Mapping[str, Any], multiscale: Multiscale, geometry: Geometry
) -> dict[str, Any]:
    """Return a group's metadata of axes, as an image's coords, with axes by number."""
    types = [str(a.get("type", "")).lower() for a in multiscale.axes]
    axis = types.index("channel") if "channel" in types else channel_axis(geometry)
    count = 1 if axis is None else geometry.shape[axis]
    found = from_omero(path, ome_of(attributes).get("omero"), axis, count)
    own = attributes.get(NAMESPACE)
    if not isinstance(own, Mapping):
        return found
    known = own.get("omero")
    if isinstance(known, list):  # others are defaults that the standard requires
        found = {name: value for name, value in found.items() if name in known}
    found |= coords_from_json(path, own.get("coords"), None)
    check_coords(path, found, geometry)
    return found
