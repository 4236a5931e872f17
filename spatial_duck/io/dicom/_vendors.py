"""What makers of scanners say in private elements: diffusion weighting, and Siemens' mosaics.

Private elements are found by their creator's name, never by their number alone.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from spatial_duck._optional import require
from spatial_duck.errors import FormatError
from spatial_duck.io.dicom._elements import numbers, plain

__all__ = ["Tile", "diffusion_facts", "is_mosaic", "mosaic_tiles"]

#: b-value: group, element and creator of each maker.
_B_VALUES = (
    (0x0019, 0x0C, "SIEMENS MR HEADER"),
    (0x2001, 0x03, "Philips Imaging DD 001"),
    (0x0043, 0x39, "GEMS_PARM_01"),
)
#: Gradient direction along the patient's axes: elements of one creator, joined.
_DIRECTIONS = (
    (0x0019, (0x0E,), "SIEMENS MR HEADER"),
    (0x2005, (0xB0, 0xB1, 0xB2), "Philips MR Imaging DD 001"),
)
#: General Electric adds multiples of this to b-values as flags.
_GE_FLAG = 100_000


class Tile(NamedTuple):
    """One slice of a mosaic.

    Attributes
    ----------
    row, column : int
        Where it begins in the plane.
    position : tuple of float
        Centre of its first pixel, in LPS and mm.
    """

    row: int
    column: int
    position: tuple[float, ...]


def _private(dataset: Any, group: int, element: int, creator: str) -> Any:
    """Return a private element's value as Python's own, or None."""
    try:
        return plain(dataset.get_private_item(group, element, creator).value)
    except Exception:  # not there, or not valid
        return None


def _floats(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,)
    try:
        out = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        return ()
    return out if all(math.isfinite(v) for v in out) else ()


def diffusion_facts(dataset: Any) -> dict[str, Any]:
    """Return DiffusionBValue and DiffusionGradientOrientation of private elements, by keyword.

    Directions are along the patient's axes, as the standard has them; those that General Electric
    gives along the image's own are left out.
    """
    out: dict[str, Any] = {}
    for group, element, creator in _B_VALUES:
        found = _floats(_private(dataset, group, element, creator))
        if found:
            value = found[0] % _GE_FLAG if creator.startswith("GEMS") else found[0]
            out["DiffusionBValue"] = value
            break
    for group, elements, creator in _DIRECTIONS:
        parts = [_floats(_private(dataset, group, e, creator)) for e in elements]
        joined = tuple(v for part in parts for v in part)
        if len(joined) == 3:
            out["DiffusionGradientOrientation"] = joined
            break
    return out


def is_mosaic(dataset: Any) -> bool:
    """Whether a file holds the slices of a volume side by side in one plane."""
    kind = dataset.get("ImageType")
    return kind is not None and "MOSAIC" in list(kind)


def mosaic_tiles(dataset: Any) -> tuple[tuple[int, int], list[Tile]]:
    """Return the size of the slices of a Siemens mosaic, and the slices.

    The header's position is that of the plane with all slices, had it been measured: the first
    slice's lies half of the difference of both sizes further (nibabel, "Siemens mosaic format").
    Slices follow each other along the normal of the private header, which may be the reverse of
    the plane's.

    Raises
    ------
    FormatError
        If the private header is not there.
    """
    csareader = require("nibabel.nicom.csareader", "Reading Siemens mosaics")
    try:
        csa = csareader.get_csa_header(dataset, "image")
        count = None if csa is None else csareader.get_n_mosaic(csa)
        normal = None if csa is None else csareader.get_slice_normal(csa)
    except Exception as error:  # nibabel raises many kinds for bytes that are not valid
        raise FormatError(f"the private header of its mosaic is not valid: {error}") from error
    if not count or normal is None:
        raise FormatError(
            "a Siemens mosaic holds many slices in one plane, and the private header (0029,1010) "
            "that says where they lie is not there; convert it to NIfTI with dcm2niix"
        )
    position = numbers(dataset, "ImagePositionPatient", 3)
    cosines = numbers(dataset, "ImageOrientationPatient", 6)
    spacing = numbers(dataset, "PixelSpacing", 2)
    step = numbers(dataset, "SpacingBetweenSlices", 1) or numbers(dataset, "SliceThickness", 1)
    if position is None or cosines is None or spacing is None or step is None:
        raise FormatError("a mosaic needs position, orientation, pixel spacing and slice spacing")
    across = math.ceil(math.sqrt(count))
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows % across or columns % across:
        raise FormatError(f"a mosaic of {count} slices has {rows} rows and {columns} columns")
    size = rows // across, columns // across
    right, down = np.array(cosines).reshape(2, 3)
    first = (
        np.array(position)
        + right * spacing[1] * (columns - size[1]) / 2
        + down * spacing[0] * (rows - size[0]) / 2
    )
    along = np.cross(right, down)
    along *= math.copysign(abs(step[0]), float(along @ np.asarray(normal)))
    tiles = [
        Tile(k // across * size[0], k % across * size[1], tuple((first + along * k).tolist()))
        for k in range(count)
    ]
    return size, tiles
