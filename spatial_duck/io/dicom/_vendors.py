"""Private elements of scanner vendors: diffusion weighting, and mosaics.

Private elements are found by the name of their creator, never by their tag alone.
"""

from __future__ import annotations

import math
import struct
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np

from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._elements import numbers, to_python

__all__ = ["Tile", "is_mosaic", "mosaic_tiles", "private_elements"]

#: Group, element and creator of each vendor's b-value.
_B_VALUES = (
    (0x0019, 0x0C, "SIEMENS MR HEADER"),
    (0x2001, 0x03, "Philips Imaging DD 001"),
    (0x0043, 0x39, "GEMS_PARM_01"),
    (0x0065, 0x09, "Image Private Header"),
)
#: Gradient direction along the patient's axes: elements of one creator, joined.
_DIRECTIONS = (
    (0x0019, (0x0E,), "SIEMENS MR HEADER"),
    (0x2005, (0xB0, 0xB1, 0xB2), "Philips MR Imaging DD 001"),
)
#: Philips' elements by which volumes at one position differ, with the keyword for each. Labels and
#: controls of arterial spin labelling have a standard keyword only in enhanced files.
_VOLUMES = (
    ("ASLContext", 0x2005, 0x29, "Philips MR Imaging DD 005"),
    ("PhaseNumber", 0x2001, 0x08, "Philips Imaging DD 001"),
)
#: Group, element and creator of United Imaging's sequence of the slices of a mosaic.
_VOLUME_FRAMES = (0x0065, 0x51, "Image Private Header")
#: Most fields of a CSA header that are read; real ones have about a hundred.
_MAX_FIELDS = 1024
#: General Electric adds multiples of this to b-values.
_GE_FLAG = 100_000


class Tile(NamedTuple):
    """One slice of a mosaic.

    Attributes
    ----------
    row, column : int
        Position of its first pixel in the plane.
    position : tuple of float
        Position of the centre of its first pixel, in LPS and mm.
    """

    row: int
    column: int
    position: tuple[float, ...]


def _private_blocks(dataset: Any) -> dict[tuple[int, str], int]:
    """Return the first element of each block of private elements, by group and creator."""
    groups = {0x0029, 0x0065, 0x2005, *[row[0] for row in (*_B_VALUES, *_DIRECTIONS)]}
    out = {}
    for tag in dataset.keys():  # noqa: SIM118 (iterating a data set converts its elements)
        if tag.group in groups and 0x10 <= tag.element <= 0xFF:
            with suppress(Exception):  # pydicom raises many kinds for a value that is not valid
                out[tag.group, str(dataset[tag].value).strip()] = tag.element << 8
    return out


def _private_value(
    dataset: Any, blocks: dict[tuple[int, str], int], group: int, element: int, creator: str
) -> Any:
    """Return the value of a private element as a Python value, or None."""
    block = blocks.get((group, creator))
    if block is None:
        return None
    try:
        return to_python(dataset[group, block + element].value)
    except Exception:  # missing or invalid: pydicom raises many kinds
        return None


def _finite_floats(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    try:
        out = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return ()
    return out if all(math.isfinite(v) for v in out) else ()


def private_elements(dataset: Any) -> dict[str, Any]:
    """Return values in private elements, by keyword.

    These are DiffusionBValue and DiffusionGradientOrientation, and of Philips' series of arterial
    spin labelling ASLContext (``"LABEL"`` or ``"CONTROL"``) and PhaseNumber, which no standard
    element is. Directions are along the patient's axes, as the standard has them; those that
    General Electric and United Imaging give along the image's own are left out.
    """
    out: dict[str, Any] = {}
    blocks = _private_blocks(dataset)
    for group, element, creator in _B_VALUES:
        found = _finite_floats(_private_value(dataset, blocks, group, element, creator))
        if found:
            value = found[0] % _GE_FLAG if creator.startswith("GEMS") else found[0]
            out["DiffusionBValue"] = value
            break
    for group, elements, creator in _DIRECTIONS:
        parts = [
            _finite_floats(_private_value(dataset, blocks, group, e, creator)) for e in elements
        ]
        joined = tuple(v for part in parts for v in part)
        if len(joined) == 3:
            out["DiffusionGradientOrientation"] = joined
            break
    context, *others = [
        _private_value(dataset, blocks, group, element, creator)
        for _, group, element, creator in _VOLUMES
    ]
    if context in ("LABEL", "CONTROL"):
        names = [name for name, *_ in _VOLUMES]
        pairs = zip(names, (context, *others), strict=True)
        out |= {name: value for name, value in pairs if value is not None}
    return out


def _csa_fields(dataset: Any) -> dict[str, tuple[float, ...]]:
    """Return the numbers of Siemens' CSA image header, by name.

    It is a list of named tags, each a list of texts, in two versions that differ in how the length
    of a text is given (nibabel, "Siemens format DICOM with CSA header").
    """
    block = _private_blocks(dataset).get((0x0029, "SIEMENS CSA HEADER"))
    raw = None if block is None else dataset.get((0x0029, block + 0x10))
    data = b"" if raw is None or not isinstance(raw.value, bytes) else raw.value
    is_second = data[:4] == b"SV10"
    at = 8 if is_second else 0
    out: dict[str, tuple[float, ...]] = {}
    try:
        (count,) = struct.unpack_from("<I", data, at)
        at += 8
        first = None
        for _ in range(min(count, _MAX_FIELDS)):
            name, items = struct.unpack_from("<64s12xi4x", data, at)
            at += 84
            first = items if first is None else first
            texts = []
            for _ in range(items):
                a, b = struct.unpack_from("<2i8x", data, at)
                at += 16
                length = b if is_second else a - first
                if length < 0:
                    return out
                texts.append(data[at : at + length])
                at += -(-length // 4) * 4
            values = _finite_floats(
                tuple(t.split(b"\0")[0].decode("latin-1") for t in texts if t.strip(b"\0 "))
            )
            out[name.split(b"\0")[0].decode("latin-1")] = values
    except struct.error:
        return out
    return out


def is_mosaic(dataset: Any) -> bool:
    """Whether a file holds the slices of a volume side by side in one plane."""
    kind = dataset.get("ImageType")
    return kind is not None and bool({"MOSAIC", "VFRAME"} & set(kind))


def mosaic_tiles(dataset: Any) -> tuple[tuple[int, int], list[Tile]]:
    """Return the size of the slices of a mosaic, and the slices.

    United Imaging gives the position of each slice. Siemens gives that of a plane of the mosaic's
    size with the first slice at its centre (nibabel, "Siemens mosaic format"). Slices are ordered
    along the normal of the private header, which may be opposite to the plane's.

    Raises
    ------
    FormatError
        If the private header is missing.
    """
    if "VFRAME" in list(dataset.ImageType):
        return _listed_tiles(dataset)
    fields = _csa_fields(dataset)
    count = int(fields.get("NumberOfImagesInMosaic", (0.0,))[0])
    normal = fields.get("SliceNormalVector", ())
    if count < 1 or len(normal) != 3:
        raise FormatError(
            "a Siemens mosaic holds many slices in one plane, and the private header (0029,xx10) "
            "of their positions is missing; convert it to NIfTI with dcm2niix"
        )
    position = numbers(dataset, "ImagePositionPatient", 3)
    cosines = numbers(dataset, "ImageOrientationPatient", 6)
    spacing = numbers(dataset, "PixelSpacing", 2)
    step = numbers(dataset, "SpacingBetweenSlices", 1) or numbers(dataset, "SliceThickness", 1)
    if position is None or cosines is None or spacing is None or step is None:
        raise FormatError("a mosaic needs position, orientation, pixel spacing and slice spacing")
    across = math.ceil(math.sqrt(count))
    size = _tile_size(dataset, count, across, across)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    right, down = np.array(cosines).reshape(2, 3)
    first = (
        np.array(position)
        + right * spacing[1] * (columns - size[1]) / 2
        + down * spacing[0] * (rows - size[0]) / 2
    )
    along = np.cross(right, down)
    along *= math.copysign(abs(step[0]), float(along @ np.asarray(normal)))
    return size, _tiles(size, across, [tuple((first + along * k).tolist()) for k in range(count)])


def _listed_tiles(dataset: Any) -> tuple[tuple[int, int], list[Tile]]:
    """Return the slices of a mosaic whose positions are in a private sequence."""
    group, element, creator = _VOLUME_FRAMES
    block = _private_blocks(dataset).get((group, creator))
    items = [] if block is None else dataset.get((group, block + element))
    positions = [numbers(item, "ImagePositionPatient", 3) for item in getattr(items, "value", [])]
    found = [p for p in positions if p is not None]
    if not found or len(found) != len(positions):
        raise FormatError(
            "it holds many slices in one plane (VFRAME), and the private sequence (0065,xx51) of "
            "their positions is missing; convert it to NIfTI with dcm2niix"
        )
    across = math.ceil(math.sqrt(len(found)))
    size = _tile_size(dataset, len(found), -(-len(found) // across), across)
    return size, _tiles(size, across, found)


def _tile_size(dataset: Any, count: int, down: int, across: int) -> tuple[int, int]:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows % down or columns % across:
        raise FormatError(f"a mosaic of {count} slices has {rows} rows and {columns} columns")
    return rows // down, columns // across


def _tiles(size: tuple[int, int], across: int, positions: list[tuple[float, ...]]) -> list[Tile]:
    return [
        Tile(k // across * size[0], k % across * size[1], position)
        for k, position in enumerate(positions)
    ]
