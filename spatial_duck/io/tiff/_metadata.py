"""Metadata of a TIFF series in common terms, and the geometry that follows from them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import LENGTHS, SPACE_AXES, TIMES, World, canonical_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TiffMetadata",
    "convert_unit",
    "finite_number",
    "metadata_coords",
    "positive_number",
    "standard_geometry",
]

_LETTERS = {"T": "t", "Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c"}


class TiffMetadata(NamedTuple):
    """Metadata of a series, whatever the dialect of the file.

    Attributes
    ----------
    name : str
        Name of the dialect: ``"ome"``, ``"imagej"``, ``"tiff"``, ….
    steps : dict of str to (float, str or None)
        Spacing and unit by the name of an axis; negative if positions decrease.
    origin : dict of str to float
        Position of the first voxel, in the unit of the step.
    coords : dict of str to tuple
        Coordinates: (axis name, values[, attributes]). One named like its axis holds the positions
        along an axis that is not evenly spaced.
    attrs : dict
        Other metadata.
    record : str or None
        The exact geometry as this library stores it.
    """

    name: str
    steps: dict[str, tuple[float, str | None]] = {}  # noqa: RUF012 - never changed
    origin: dict[str, float] = {}  # noqa: RUF012
    coords: dict[str, Any] = {}  # noqa: RUF012
    attrs: dict[str, Any] = {}  # noqa: RUF012
    record: str | None = None


def finite_number(value: Any) -> float | None:
    """Return a value as a float, or None if it is not a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def positive_number(value: Any) -> float | None:
    """Return a value as a float, or None if it is not a finite number above 0."""
    number = finite_number(value)
    return number if number is not None and number > 0 else None


def convert_unit(value: float, unit: str | None, wanted: str | None) -> float | None:
    """Return a length or time in another unit, or None if the units are not of one kind."""
    source, target = (canonical_unit(u) if u else None for u in (unit, wanted))
    if source == target:
        return value
    if source is None or target is None:
        return None
    for table in (LENGTHS, TIMES):
        if source in table and target in table:
            return value * table[source] / table[target]
    return None


def standard_geometry(axes: str, shape: tuple[int, ...], found: TiffMetadata) -> Geometry:
    """Return the geometry in the metadata of a series.

    Parameters
    ----------
    axes : str
        Letters of the axes, as tifffile returns them.
    shape : tuple of int
        Lengths of the axes.
    found : TiffMetadata
        The metadata.
    """
    dims: list[str | None] = []
    for letter in axes:
        name = _LETTERS.get(letter)
        dims.append(None if name in dims else name)
    # An axis with a coordinate of its own name becomes plain when the image is made.
    sampled = [n for n in dims if n in (*SPACE_AXES, "t")]
    size = [found.steps.get(n, (1.0, None)) for n in sampled]
    return Geometry(
        shape,
        [abs(s) for s, _ in size],
        [found.origin.get(n, 0.0) for n in sampled],
        np.diag([1.0 if s > 0 else -1.0 for s, _ in size]),
        dims,
        sampled=sampled,
        world=World([str(n) for n in sampled], [unit for _, unit in size]),
    )


def metadata_coords(found: TiffMetadata, dims: tuple[str | None, ...]) -> Mapping[str, Any]:
    """Return the coordinates along the image's axes, and positions along axes that it lacks."""
    coords = {name: value for name, value in found.coords.items() if value[0] in dims}
    for name, position in found.origin.items():
        if name not in dims and name in SPACE_AXES:
            unit = found.steps.get(name, (1.0, None))[1]
            coords[f"position_{name}"] = ((), position, {"unit": unit} if unit else {})
    return coords
