"""3D Slicer's segmentations, ``.seg.nrrd``: names and colors of segments, which may overlap.

The file holds labels, in several layers if segments overlap. They are read as one mask for each
segment, 0 or 1 along the axis ``c`` before z, with coordinates ``segment_label`` (the name),
``segment_number`` (the label), ``color`` (``RRGGBB``), ``segment_id`` and ``segment_tags``
(Slicer's text with status and terminology), as segmentations of DICOM are. ``labels=True`` reads
the labels, with the list of segments as ``attrs["segments"]``.

The segments that are written are the masks along an image's plain axis, or without one each integer
except 0; ``segments={1: "liver"}`` names them. Masks that overlap are written to several layers.
"""

from __future__ import annotations

import colorsys
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry
from spatial_duck.io import _safety as safety
from spatial_duck.io._format import Format
from spatial_duck.io._source import Source
from spatial_duck.io.nrrd import _format as nrrd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["FORMAT"]

_SEGMENT_KEY = re.compile(r"Segment(\d{1,9})_(\w+)$")
#: Coordinates of segments by Slicer's keys.
_COORDS = {"Name": "segment_label", "ID": "segment_id", "Tags": "segment_tags"}
_DEFAULT_TAGS = "Segmentation.Status:completed|"


def _segments(path: Path, keys: dict[str, Any]) -> list[dict[str, str]]:
    """Return the keys of each segment, by number, and remove them from `keys`."""
    found: dict[int, dict[str, str]] = {}
    for key in list(keys):
        if match := _SEGMENT_KEY.match(key):
            found.setdefault(int(match[1]), {})[match[2]] = str(keys.pop(key))
    segments = [found[n] for n in sorted(found)]
    for number, segment in enumerate(segments):
        for name, default in (("LabelValue", number + 1), ("Layer", 0)):
            text = segment.get(name, str(default))
            if not (text.strip().isdecimal() and len(text) < 20):
                raise FormatError(
                    f"{path}: {name} of segment {number} must be an int, got {text[:80]!r}"
                )
            segment[name] = text.strip()
    return segments


def open_source(path: Path, *, labels: bool = False, data_anywhere: bool = False) -> Source:
    """Open a segmentation; see `spatial_duck.read`."""
    stored = nrrd.open_source(path, data_anywhere=data_anywhere)
    keys = dict(stored.attrs.get("nrrd") or {})
    segments = _segments(path, keys)
    attrs: dict[str, Any] = {"nrrd": keys} if keys else {}
    if labels or not segments:
        listed = [
            {"name": s.get("Name", ""), "label": int(s["LabelValue"]), "layer": int(s["Layer"]),
             "color": _to_hex(s.get("Color", ""))}
            for s in segments
        ]  # fmt: skip
        attrs |= {"segments": listed} if listed else {}
        return stored._replace(format="seg.nrrd", attrs=attrs)
    plain = [i for i in range(stored.geometry.ndim) if i not in stored.geometry.sampled_axes]
    layers = stored.geometry.shape[plain[0]] if plain else 1
    if len(plain) > 1 or any(int(s["Layer"]) >= layers for s in segments):
        raise FormatError(f"{path}: its segments refer to layers that are not among its {layers}")
    g = stored.geometry.transpose((*plain, *stored.geometry.sampled_axes))
    g = g[0] if plain else g
    geometry = Geometry(
        (len(segments), *g.shape), g.spacing, g.origin, g.direction, ("c", *g.dims),
        sampled=[n for n in g.dims if n], world=g.world,
    )  # fmt: skip

    def load(lazy: bool | None) -> Any:
        if lazy:
            return None  # deferred: the file is opened again when the voxels are read
        safety.check_memory(path, safety.count_bytes(geometry.shape, np.dtype("u1")))
        whole = np.asarray(stored.load(False))
        if plain:
            whole = whole.transpose((plain[0], *stored.geometry.sampled_axes))
        masks = []
        for segment in segments:
            layer = whole[int(segment["Layer"])] if plain else whole
            masks.append((layer == int(segment["LabelValue"])).astype("u1"))
        return np.stack(masks)

    return Source(
        "seg.nrrd", geometry, np.dtype("u1"), attrs, load, coords=_segment_coords(segments),
        identity=stored.identity,
    )  # fmt: skip


def _segment_coords(segments: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    coords: dict[str, Any] = {
        "segment_number": (0, [int(s["LabelValue"]) for s in segments]),
        "segment_label": (0, [s.get("Name", "") for s in segments]),
    }
    for key, name in _COORDS.items():
        if name not in coords and any(key in s for s in segments):
            coords[name] = (0, [s.get(key, "") for s in segments])
    colors = [_to_hex(s.get("Color", "")) for s in segments]
    if any(colors):
        coords["color"] = (0, colors)
    return coords


def _to_hex(color: str) -> str:
    """Return three numbers from 0 to 1 as ``RRGGBB``; empty for anything else."""
    try:
        values = [float(v) for v in color.split()]
    except ValueError:
        return ""
    if len(values) != 3 or not all(0 <= v <= 1 for v in values):
        return ""
    return "".join(f"{round(255 * v):02X}" for v in values)


# --- writing ------------------------------------------------------------------------------


def write_image(
    path: Path,
    image: Any,
    *,
    progress: Any = None,
    frame: str | None = None,
    segments: Mapping[int, str] | None = None,
    compress: bool = True,
) -> None:
    """Write a segmentation; see `spatial_duck.write`."""
    kind = np.dtype(image.dtype).kind
    if kind not in "biu":
        raise FormatError(
            f"{path.name}: segments are masks or integer labels, got {image.dtype}; use "
            "image > threshold, or image.astype(...)"
        )
    g = image.geometry
    plain = [i for i in range(g.ndim) if i not in g.sampled_axes]
    if len(plain) > 1 or "t" in g.dims:
        raise FormatError(
            f"{path.name}: a segmentation has x, y and z and one axis of segments, got {g.dims!r}; "
            "write its parts one by one"
        )
    if plain:
        masks = image.transpose((plain[0], *g.sampled_axes))
        grid, labels = _pack_layers(masks)
    else:
        grid, labels = image, [(int(v), 0) for v in np.unique(np.asarray(image.data)) if v]
    if min((label for label, _ in labels), default=1) < 0:
        raise FormatError(f"{path.name}: labels must be 0 or more; replace the negative ones first")
    keys = _header_keys(image, grid, labels, segments or {})
    kept = {k: v for k, v in (image.attrs.get("nrrd") or {}).items() if not _SEGMENT_KEY.match(k)}
    written = SpatialArray(grid.data, grid.geometry, attrs={"nrrd": kept | keys})
    # Slicer's own files say domain, and slicerio asks for it.
    nrrd.write_nrrd(path, written, progress, frame=frame, compress=compress, sampled_kind="domain")


def _pack_layers(masks: Any) -> tuple[Any, list[tuple[int, int]]]:
    """Return masks packed into as few layers as possible, with label and layer of each mask."""
    count = masks.shape[0]
    found = masks.coords.get("segment_number")
    numbers = [] if found is None or len(found) != count else [int(v) for v in found.values]
    if len(set(numbers)) != count or min(numbers, default=0) < 1:
        numbers = list(range(1, count + 1))
    dtype = np.min_scalar_type(max(numbers, default=1))
    layers: list[NDArray[Any]] = []
    placed = []
    for number, k in zip(numbers, range(count), strict=True):
        values = np.asarray(masks.data[k])
        mask = values != 0
        if values.dtype != bool and (values[mask] != 1).any():
            raise FormatError(
                f"masks are bool or hold 0 and 1, got {values[mask & (values != 1)][0]} in mask "
                f"{k}; write image != 0, or one label image without an axis of segments, as "
                "read(..., labels=True) opens them"
            )
        free = next((i for i, layer in enumerate(layers) if not layer[mask].any()), len(layers))
        if free == len(layers):
            layers.append(np.zeros(masks.shape[1:], dtype))
        layers[free][mask] = number
        placed.append((number, free))
    g = masks.geometry[0]
    if len(layers) <= 1:
        return SpatialArray(layers[0] if layers else np.zeros(g.shape, dtype), g), placed
    # Slicer stores the axis of layers as the fastest.
    dims = (*g.dims, "c")
    geometry = Geometry((*g.shape, len(layers)), g.spacing, g.origin, g.direction, dims,
                        sampled=[n for n in g.dims if n], world=g.world)  # fmt: skip
    return SpatialArray(np.stack(layers, axis=-1), geometry), placed


def _header_keys(
    image: Any, grid: Any, labels: Sequence[tuple[int, int]], names: Mapping[int, str]
) -> dict[str, str]:
    """Return Slicer's keys of all segments."""
    coords = image.coords
    values = np.asarray(grid.data)
    space = [i for i, name in enumerate(grid.dims) if name in ("x", "y", "z")]
    keys: dict[str, str] = {}
    for n, (label, layer) in enumerate(labels):

        def text(name: str, default: str, n: int = n) -> str:
            found = coords.get(name)
            there = found is not None and found.ndim == 1 and len(found) == len(labels)
            return str(found.values[n]) or default if there else default

        color = text("color", "")
        prefix = f"Segment{n}_"
        name = names.get(label) or text("segment_label", f"Segment_{label}")
        mask = (values[..., layer] if values.ndim > len(space) else values) == label
        keys |= {
            f"{prefix}ID": text("segment_id", f"Segment_{n + 1}"),
            f"{prefix}Name": name,
            f"{prefix}NameAutoGenerated": "0",
            f"{prefix}Color": _slicer_color(color, n),
            f"{prefix}ColorAutoGenerated": "0" if color else "1",
            f"{prefix}LabelValue": str(label),
            f"{prefix}Layer": str(layer),
            f"{prefix}Extent": _extent(mask),
            f"{prefix}Tags": text("segment_tags", _DEFAULT_TAGS),
        }
    return keys | {
        "Segmentation_ContainedRepresentationNames": "Binary labelmap|",
        "Segmentation_MasterRepresentation": "Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }


def _slicer_color(text: str, number: int) -> str:
    """Return a color as Slicer writes it; by default a hue that differs from its neighbours'."""
    if re.fullmatch("#?[0-9A-Fa-f]{6}", text):
        values = [v / 255 for v in bytes.fromhex(text.lstrip("#"))]
    else:
        values = list(colorsys.hsv_to_rgb(number * 0.618 % 1, 0.6, 0.9))
    return " ".join(f"{v:.6g}" for v in values)


def _extent(mask: NDArray[np.bool_]) -> str:
    """Return first and last index with a voxel along each axis, fastest first; 0 -1 for none."""
    ends = []
    for axis in reversed(range(mask.ndim)):
        at = np.flatnonzero(mask.any(tuple(i for i in range(mask.ndim) if i != axis)))
        ends += [int(at[0]), int(at[-1])] if at.size else [0, -1]
    return " ".join(map(str, ends))


class SlicerSegmentation(Format):
    """3D Slicer's segmentations."""

    name, suffixes = "seg.nrrd", (".seg.nrrd",)

    open = staticmethod(open_source)
    write = staticmethod(write_image)

    def matches(self, path: Path, head: bytes) -> bool:
        """Whether a file has the suffix of segmentations and begins as an NRRD header."""
        return path.name.lower().endswith(self.suffixes) and head.startswith(b"NRRD000")

    def held_coords(self, image: Any, **options: Any) -> Collection[str]:  # noqa: ARG002
        """Return the coordinates of segments that Slicer's keys can hold."""
        return [
            name
            for name, found in image.coords.items()
            if name in ("segment_number", "segment_label", "color", *_COORDS.values())
            and found.dims and found.dims[0] not in image.world.axes
        ]  # fmt: skip


FORMAT = SlicerSegmentation()
