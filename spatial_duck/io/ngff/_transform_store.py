"""Transforms in OME-Zarr 0.6: ``.json`` files, and ``.zarr`` groups with displacement fields.

Both contain the same document (`spatial_duck.io.ngff._transforms`) under ``"ome"``: a JSON file at
its top level, a group in its attributes. A field is an image of its own in the group; a JSON file
cannot hold one. Beside the document are the order of the world's axes, the frame, which the axes of
the systems do not always determine, and a checksum::

    {"ome": {"version": "0.6", "scene": {...}},
     "spatial_duck": {"axes": ["x", "y", "z"], "frame": "LPS", "crc32": "8f1c2a30"}}

Files and groups are written complete or not at all, and chunks have checksums. Documents of other
programs are read if they are scenes, or coordinate systems and transformations alone; a scene of
images is read if the group has the images that it refers to.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from spatial_duck.errors import FormatError, GeometryError, GeometryLossError
from spatial_duck.geometry import Geometry
from spatial_duck.io._publishing import publish_atomically
from spatial_duck.io._safety import MALFORMED
from spatial_duck.io.ngff import _checksum as checksums
from spatial_duck.io.ngff import _format as omezarr
from spatial_duck.io.ngff import _transforms as ngff_transforms
from spatial_duck.io.ngff._chunk_layout import ChunkLayout
from spatial_duck.io.ngff._describe import NAMESPACE
from spatial_duck.io.ngff._write import open_to_write
from spatial_duck.transforms._base import sub_world

if TYPE_CHECKING:
    from pathlib import Path

    from spatial_duck.array import SpatialArray
    from spatial_duck.io.ngff._transforms import Axes, Field
    from spatial_duck.transforms import Transform

__all__ = ["read_transform", "write_transform"]

#: Most bytes of a document.
_MAX_BYTES = 1 << 24
#: Name of the array in the group of a field.
_ARRAY = "0"


def read_transform(path: Path) -> Transform:
    """Read a transform from a JSON file or a Zarr group.

    Raises
    ------
    FormatError
        If it is not exactly one transformation that can be read.
    ImportError
        If zarr is missing, and the path is that of a group.
    """
    if path.suffix.lower() == ".json":
        document, place = _json(path), _no_surroundings()
    else:
        document, place = _group(path)
    try:
        # A group's zarr.json, its attributes, or a document alone.
        document = document.get("attributes", document)
        own = document.get(NAMESPACE)
        ome = document.get("ome", document)
        kept = own if isinstance(own, Mapping) else {}
        _check_checksum(path, ome, kept.get("crc32"))
        found = ngff_transforms.read_document(ome, place, kept.get("frame"))
        axes = kept.get("axes", found.world.axes)
        same = sorted(axes) == sorted(found.world.axes)
        return found.to_world(sub_world(found.world, axes)) if same else found
    except FormatError as error:
        reason = str(error).removeprefix(f"{path}: ")
        raise type(error)(f"{path}: {reason}") from error
    except GeometryError as error:
        raise FormatError(f"{path}: it is not a valid transformation: {error}") from error
    except MALFORMED as error:
        raise FormatError(f"{path}: it is not a valid transformation: {error!r}") from error
    except RecursionError:
        raise FormatError(f"{path}: its transformations are nested too deep") from None


def write_transform(
    path: Path, transform: Transform, *, frame: str | None = None, overwrite: bool = False
) -> None:
    """Write a transform as a JSON file or a Zarr group.

    Raises
    ------
    GeometryLossError
        If OME-Zarr, or a JSON file, cannot hold it.
    FileExistsError
        If the target exists and `overwrite` is false.
    ImportError
        If zarr is missing, and the path is that of a group.
    """
    alone = path.suffix.lower() == ".json"
    if not alone:
        omezarr.zarr_module("Writing a transform to Zarr")
    ome, fields = ngff_transforms.make_document(transform, frame)
    world = transform.world
    own = {
        "axes": list(world.axes),
        "frame": world.frame or frame,
        "crc32": checksums.checksum(ome),
    }
    document = {"ome": ome, NAMESPACE: own}
    if alone and fields:
        raise GeometryLossError(
            f"{path}: a displacement field needs a Zarr array, which a JSON file cannot hold; "
            "write to a path that ends in .zarr, or to a format of ITK, such as .h5"
        )
    if alone:
        text = json.dumps(document, indent=2, allow_nan=False)
        with publish_atomically(path, overwrite=overwrite) as fresh:
            fresh.write_text(text + "\n", encoding="utf-8")
        return
    with publish_atomically(path, overwrite=overwrite, directory=True) as fresh:
        _write_group(fresh, document, fields)


def _check_checksum(path: Path, ome: Any, noted: Any) -> None:
    if noted is not None and noted != checksums.checksum(ome):
        warnings.warn(
            f"{path}: its numbers are not those that were written: another program changed them, "
            "or they are damaged; compare them with a copy",
            UserWarning,
            stacklevel=5,
        )


# --- JSON files ---------------------------------------------------------------------------


def _json(path: Path) -> Any:
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise FormatError(
            f"{path}: {size:,} bytes of JSON are too many for a transform; at most "
            f"{_MAX_BYTES:,} are read"
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (RecursionError, ValueError) as error:
        raise FormatError(f"{path}: it is not JSON: {error}") from error
    if not isinstance(found, Mapping):
        raise FormatError(f"{path}: expected a JSON object, got {type(found).__name__}")
    return found


def _no_surroundings() -> ngff_transforms.Surroundings:
    def nothing(name: str) -> Any:
        raise FormatError(
            f"it refers to {name!r}, which lies beside it in a Zarr group; read the group"
        )

    return ngff_transforms.Surroundings(nothing, nothing, nothing)


# --- groups -------------------------------------------------------------------------------


def _group(path: Path) -> tuple[Any, ngff_transforms.Surroundings]:
    """Return the attributes of a group, and functions that read its arrays and images."""
    omezarr.zarr_module("Reading a transform from Zarr")
    group, attributes = omezarr.open_group(path)

    def inside(name: str) -> Path:
        omezarr.check_inside(path, name)
        return path / name

    def load(name: str) -> Any:
        inside(name)
        return omezarr.read_matrix(group, name)

    def systems(name: str) -> dict[str, Axes]:
        inside(name)
        try:
            entries = dict(group[name].attrs)["ome"]["multiscales"]
            return {str(s["name"]): tuple(s["axes"]) for s in entries[0]["coordinateSystems"]}
        except Exception as error:  # a missing group, or attributes that are not valid
            raise FormatError(f"{name!r} is no image of OME-Zarr 0.6: {error!r}") from error

    return attributes, ngff_transforms.Surroundings(
        load, lambda name: _read_field(inside(name)), systems
    )


def _read_field(path: Path) -> SpatialArray:
    """Read a field at its finest level."""
    import zarr

    from spatial_duck.array import SpatialArray

    source = omezarr.open_source(path)
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    checksums.check_checksum(
        path, zarr.open_array(str(path / _first_level(attributes)), mode="r"), attributes
    )
    (entry, *_) = attributes["ome"]["multiscales"]
    systems = entry.get("coordinateSystems") or ()
    kinds = [a.get("type") for s in systems[:1] for a in s["axes"]]
    if kinds.count("displacement") != 1:
        raise FormatError(f"{path}: a field has one axis of type 'displacement', got {kinds}")
    geometry = source.geometry
    component = kinds.index("displacement")
    if component in geometry.sampled_axes or len(geometry.sampled_axes) != geometry.ndim - 1:
        raise FormatError(f"{path}: a field has axes of space and one of components, got {kinds}")
    return SpatialArray(source.load(False), geometry)


def _first_level(attributes: Any) -> str:
    return str(attributes["ome"]["multiscales"][0]["datasets"][0]["path"])


def _write_group(fresh: Path, document: Any, fields: Mapping[str, Field]) -> None:
    import zarr

    zarr.create_group(fresh, zarr_format=3, attributes=document)
    for folder in {PurePosixPath(path).parent for path in fields}:
        zarr.create_group(str(fresh / folder), zarr_format=3)
    for path, field in fields.items():
        geometry = Geometry(
            field.vectors.shape, field.spacing, field.origin, None,
            (None, *[str(axis["name"]) for axis in field.axes]),
            sampled=range(1, field.vectors.ndim), world=[str(a["name"]) for a in field.axes],
        )  # fmt: skip
        layout = ChunkLayout(
            geometry, field.vectors.dtype, None, None, ngff_transforms.VERSION, None
        )
        attributes = ngff_transforms.field_attributes(field, PurePosixPath(path).name, _ARRAY)
        attributes[NAMESPACE] = {"complete": {"chunks": [layout.count_files()]}}
        zarr.create_group(str(fresh / path), zarr_format=3, attributes=attributes)
        place = fresh / path / _ARRAY
        layout.create(place)
        array = open_to_write(place)
        array[...] = field.vectors
        checksums.note_checksum(array, attributes)
