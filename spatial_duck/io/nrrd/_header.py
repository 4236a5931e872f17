"""Geometries from NRRD headers and back; this module reads no voxels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES, World

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = [
    "CODES",
    "WRITTEN",
    "Header",
    "header_bytes",
    "header_fields",
    "header_geometry",
    "parse_header",
]

_TYPES = {
    "i1": "signed char|int8|int8_t",
    "u1": "uchar|unsigned char|uint8|uint8_t",
    "i2": "short|short int|signed short|signed short int|int16|int16_t",
    "u2": "ushort|unsigned short|unsigned short int|uint16|uint16_t",
    "i4": "int|signed int|int32|int32_t",
    "u4": "uint|unsigned int|uint32|uint32_t",
    "i8": "longlong|long long|long long int|signed long long|signed long long int|int64|int64_t",
    "u8": "ulonglong|unsigned long long|unsigned long long int|uint64|uint64_t",
    "f4": "float",
    "f8": "double",
}
CODES = {name: code for code, names in _TYPES.items() for name in names.split("|")}
WRITTEN = {
    "i1": "int8", "u1": "uint8", "i2": "int16", "u2": "uint16", "i4": "int32", "u4": "uint32",
    "i8": "int64", "u8": "uint64", "f4": "float", "f8": "double",
}  # fmt: skip

_FRAMES = {
    "right-anterior-superior": "RAS",
    "left-anterior-superior": "LAS",
    "left-posterior-superior": "LPS",
}
_SPACES: dict[str, tuple[str | None, int]] = {
    "scanner-xyz": (None, 3), "3d-right-handed": (None, 3), "3d-left-handed": (None, 3),
    "scanner-xyz-time": (None, 4), "3d-right-handed-time": (None, 4),
    "3d-left-handed-time": (None, 4),
}  # fmt: skip
for _name, _code in _FRAMES.items():
    _SPACES |= {_name: (_code, 3), _code.lower(): (_code, 3)}
    _SPACES |= {_name + "-time": (_code, 4), _code.lower() + "t": (_code, 4)}

#: Fields that are represented by the geometry, the data type or the layout of the file.
_INTERPRETED_FIELDS = frozenset(
    [
        "type", "dimension", "sizes", "space", "space dimension", "space directions",
        "space origin", "space units", "spacings", "axis mins", "axis maxs", "axismins",
        "axismaxs", "labels", "kinds", "units", "centerings", "centers", "encoding", "endian",
        "data file", "datafile", "byte skip", "byteskip", "line skip", "lineskip", "block size",
        "blocksize", "thicknesses", "spatial_duck_frame",
    ]
)  # fmt: skip
#: Kinds of axes that are sampled even without a spacing.
_SAMPLED_KINDS = frozenset(["domain", "space", "time", "none", "???", ""])
_FRAME_KEY = "spatial_duck_frame"
_MAX_LINE = 1 << 20
#: Fields of vectors, which may contain blanks.
_VECTORS = ("space directions", "space origin", "measurement frame")
_VECTOR = re.compile(r"\(([^()]*)\)")
_UNESCAPED = re.compile(r"\\[n\\]")


class Header(NamedTuple):
    """A parsed NRRD header.

    Attributes
    ----------
    fields : dict
        The format's fields, as pynrrd parses them.
    others : dict
        Fields that are not represented by geometry or layout, and the file's own keys and values.
    file_names : list of str
        File names after ``data file: LIST``.
    end : int
        Length of the header in bytes, with the empty line after it.
    """

    fields: dict[str, Any]
    others: dict[str, Any]
    file_names: list[str]
    end: int


def parse_header(path: Path) -> Header:
    """Read a header.

    pynrrd parses the fields. Lines are split here, because it raises errors for file names of a
    list, colons in keys and blanks inside vectors, all of which are valid.

    Raises
    ------
    FormatError
        If it is not valid.
    """
    nrrd = require("nrrd", "Reading NRRD")
    fields: list[str] = []
    keys: dict[str, str] = {}
    file_names: list[str] = []
    with path.open("rb") as file:
        fields.append(_read_line(path, file))
        while text := _read_line(path, file):
            if text.startswith("#"):
                continue
            key, is_key, value = text.partition(":=")
            if is_key and ": " not in key:
                keys[key] = _UNESCAPED.sub(lambda m: "\n" if m[0] == r"\n" else "\\", value)
                continue
            name, _, value = text.partition(":")
            if name in _VECTORS:
                value = _VECTOR.sub(lambda m: f" ({''.join(m[1].split())}) ", value)
            fields.append(f"{name}: {value.strip()}")
            if name in ("data file", "datafile") and value.split()[:1] == ["LIST"]:
                while text := _read_line(path, file):
                    file_names.append(text)
                break
        end = file.tell()
    try:
        parsed = dict(nrrd.read_header(fields))
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # pynrrd raises many kinds for a header that is not valid
        raise FormatError(f"{path}: its NRRD header is not valid: {error}") from error
    if _FRAME_KEY in keys:
        parsed[_FRAME_KEY] = keys.pop(_FRAME_KEY)
    return Header(
        parsed,
        {k: v for k, v in parsed.items() if k not in _INTERPRETED_FIELDS} | keys,
        file_names,
        end,
    )


def _read_line(path: Path, file: Any) -> str:
    """Return the next line of a header; empty at its end."""
    raw: bytes = file.readline(_MAX_LINE)
    if len(raw) == _MAX_LINE or file.tell() > 16 * _MAX_LINE:
        raise FormatError(f"{path}: its NRRD header has no end; a header ends with an empty line")
    return raw.decode("utf-8", "surrogateescape").rstrip("\r\n")


def _per_axis(path: Path, header: dict[str, Any], field: str, n: int) -> list[Any] | None:
    """Return the entries of a field that has one for each axis; None if it is missing."""
    value = header.get(field)
    if value is None:
        return None
    values = list(value)
    if len(values) != n:
        raise FormatError(f"{path}: {field!r} must hold {n} entries, got {len(values)}")
    return values


def header_geometry(path: Path, header: dict[str, Any], sizes: list[int]) -> Geometry:
    """Return the geometry in a header's fields, slowest axis first.

    Parameters
    ----------
    path : Path
        Named in messages.
    header : dict
        NRRD's fields.
    sizes : list of int
        Lengths of the axes, fastest first.
    """
    n = len(sizes)
    space = header.get("space")
    if space is None and "space dimension" not in header:
        return _geometry_without_space(path, header, sizes)
    if space is not None:
        if str(space).lower() not in _SPACES:
            raise FormatError(f"{path}: space {str(space)[:80]!r} is not one of {list(_SPACES)}")
        frame, count = _SPACES[str(space).lower()]
    else:
        frame, count = header.get(_FRAME_KEY), int(header["space dimension"])
    if not 1 <= count <= 4:
        raise FormatError(f"{path}: the space must have 1 to 4 dimensions, got {count}")
    world_axes = (*SPACE_AXES[: min(count, 3)], *(["t"] if count == 4 else []))
    units = _per_axis(path, header, "space units", count) or [None] * count
    vectors = np.full((n, count), np.nan)
    if header.get("space directions") is not None:
        rows = list(header["space directions"])
        if len(rows) != n:
            raise FormatError(f"{path}: 'space directions' must hold {n} vectors, got {len(rows)}")
        for i, row in enumerate(rows):
            if row is not None:
                vectors[i] = np.asarray(row, np.float64)
    origin = np.asarray(header.get("space origin", np.zeros(count)), np.float64)
    sampled = [i for i in range(n) if not np.isnan(vectors[i]).all()]
    temporal = [i for i in sampled if count == 4 and vectors[i, 3] and not vectors[i, :3].any()]
    dims = _axis_names(header, n, [i for i in sampled if i not in temporal], temporal)
    steps = vectors[sampled[::-1]].T
    matrix = np.zeros((count + 1, len(sampled) + 1))
    matrix[:-1, :-1], matrix[:-1, -1], matrix[-1, -1] = steps, origin, 1
    named = [_unit_or_none(u) for u in units]
    if frame is not None and not any(named[:3]):
        named[:3] = ["mm"] * len(named[:3])
    world = World(world_axes, named, frame)
    if not sampled:
        return Geometry(sizes[::-1], origin=origin.tolist(), dims=dims[::-1],
                        direction=np.zeros((count, 0)), world=world)  # fmt: skip
    return Geometry.from_affine(sizes[::-1], matrix, dims[::-1], world=world)


def _geometry_without_space(path: Path, header: dict[str, Any], sizes: list[int]) -> Geometry:
    """Return the geometry of a file without a space: spacing and minimum of each axis."""
    n = len(sizes)
    kinds = [str(k).lower() for k in _per_axis(path, header, "kinds", n) or [""] * n]
    steps = [float(v) for v in _per_axis(path, header, "spacings", n) or [np.nan] * n]
    lows, highs = (
        [float(v) for v in _per_axis(path, header, f"axis {end}", n) or [np.nan] * n]
        for end in ("mins", "maxs")
    )
    centers = [str(c).lower() for c in _per_axis(path, header, "centerings", n) or [""] * n]
    units = [_unit_or_none(u) for u in _per_axis(path, header, "units", n) or [None] * n]
    sampled = [i for i in range(n) if kinds[i] in _SAMPLED_KINDS or not np.isnan(steps[i])]
    temporal = [i for i in sampled if kinds[i] == "time"][:1]
    spatial = [i for i in sampled if i not in temporal][:3]
    sampled = sorted((*spatial, *temporal))
    dims = _axis_names(header, n, spatial, temporal)
    origin, spacing = [0.0] * n, [1.0] * n
    for i in sampled:
        cell = centers[i] == "cell"
        if not np.isnan(steps[i]):
            spacing[i] = steps[i]
        elif not np.isnan(lows[i] + highs[i]):
            spacing[i] = (highs[i] - lows[i]) / max(sizes[i] if cell else sizes[i] - 1, 1)
        if not np.isnan(lows[i]):
            origin[i] = lows[i] + spacing[i] / 2 * cell
    order = sorted(sampled, key=lambda i: ("x", "y", "z", "t").index(dims[i] or "x"))
    names = [dims[i] for i in order]
    frame = header.get(_FRAME_KEY)
    sign = [1.0 if spacing[i] > 0 else -1.0 for i in order]
    direction = np.array(
        [[s if order[r] == i else 0.0 for i in reversed(sampled)] for r, s in enumerate(sign)]
    ).reshape(len(order), len(sampled))
    return Geometry(
        sizes[::-1], [abs(spacing[i]) for i in reversed(sampled)], [origin[i] for i in order],
        direction, dims[::-1],
        world=World([str(m) for m in names], [units[i] for i in order], frame),
    )  # fmt: skip


def _unit_or_none(unit: Any) -> str | None:
    text = str(unit or "").strip()
    return None if text in ("", "???", "none") else text


def _axis_names(
    header: dict[str, Any], n: int, spatial: list[int], temporal: list[int]
) -> list[str | None]:
    """Return the names of the axes, in the file's order."""
    labels: list[str | None] = [None] * n
    given = header.get("labels")
    if given is not None and len(given) == n:
        labels = [str(label) or None for label in given]
    dims: list[str | None] = [None] * n
    named = [labels[i] for i in spatial]
    if not (set(named) <= set(SPACE_AXES) and len(set(named)) == len(named)):
        if len(spatial) > 3:
            raise FormatError(f"{len(spatial)} axes run through a space of three dimensions")
        named = list(SPACE_AXES[: len(spatial)])
    for i, name in zip(spatial, named, strict=True):
        dims[i] = name
    for i in temporal[:1]:
        dims[i] = "t"
    for i in range(n):
        if i not in spatial and i not in temporal:
            name = labels[i] if given is not None else "c"
            dims[i] = None if name in dims or name in (*SPACE_AXES, "t") else name
    return dims


def header_fields(
    g: Geometry, dtype: np.dtype[Any], kinds: Mapping[int, str], sampled_kind: str = "space"
) -> dict[str, str]:
    """Return the fields of an image's header.

    Parameters
    ----------
    g : Geometry
        Geometry of the image, slowest axis first.
    dtype : dtype
        Type of the voxels that are written.
    kinds : mapping of int to str
        Kinds of plain axes; others are lists.
    sampled_kind : {"space", "domain"}, optional
        Kind of axes of space.
    """
    axes = list(reversed(range(g.ndim)))
    vectors = dict(zip(g.sampled_axes, (g.direction * g.spacing).T, strict=True))

    def vector(values: Any) -> str:
        return "(" + ",".join(repr(float(v)) for v in values) + ")"

    def quoted(values: Any) -> str:
        return " ".join('"' + str(v or "").replace('"', "'") + '"' for v in values)

    def kind(i: int) -> str:
        if i not in vectors:
            return kinds.get(i, "list")
        return "time" if g.dims[i] == "t" else sampled_kind

    fields = {"type": WRITTEN[dtype.str[1:]], "dimension": str(g.ndim)}
    names = {code: name for name, code in _FRAMES.items()}
    if g.frame is not None and len(g.world.axes) >= 3:
        fields["space"] = names[g.frame] + ("-time" if "t" in g.world.axes else "")
    elif "t" in g.world.axes:
        fields["space"] = "scanner-xyz-time"
    elif g.world.axes:
        fields["space dimension"] = str(len(g.world.axes))
    fields["sizes"] = " ".join(str(g.shape[i]) for i in axes)
    if g.world.axes:
        fields["space directions"] = " ".join(
            vector(vectors[i]) if i in vectors else "none" for i in axes
        )
    fields["kinds"] = " ".join(kind(i) for i in axes)
    fields["labels"] = quoted(g.dims[i] for i in axes)
    if any(g.unit):
        fields["space units"] = quoted(g.unit)
    if g.world.axes:
        fields["space origin"] = vector(g.origin)
    if dtype.itemsize > 1:
        fields["endian"] = "little"
    return fields


def header_bytes(g: Geometry, fields: dict[str, str], others: dict[str, Any]) -> bytes:
    """Return a header with its fields and keys, and the empty line after it."""
    known = ("content", "old min", "old max", "sample units", "measurement frame", "min", "max")
    lines = ["NRRD0005", *[f"{k}: {v}" for k, v in fields.items()]]
    pairs = []
    for key, value in others.items():
        if key in _INTERPRETED_FIELDS or "\n" in key:
            continue
        if key == "measurement frame":
            value = " ".join(
                "(" + ",".join(repr(float(v)) for v in row) + ")" for row in np.asarray(value)
            )
        if key in known:
            lines.append(f"{key}: {value}".replace("\n", " "))
        else:
            text = str(value).replace("\\", "\\\\").replace("\n", "\\n")
            pairs.append(f"{key}:={text}")
    if g.frame is not None and "space" not in fields:
        pairs.append(f"{_FRAME_KEY}:={g.frame}")
    # Voxels follow the empty line; if they are in another file, its name is the last field.
    lines.sort(key=lambda line: line.startswith("data file:"))
    return ("\n".join([lines[0], *lines[1:], *pairs]) + "\n\n").encode("utf-8", "surrogateescape")
