"""What the metadata of a TIFF say of its axes, and the geometry that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import LENGTHS, SPACE_AXES, TIMES, World, canonical_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Described", "converted", "coords_of", "standard_geometry"]

_LETTERS = {"T": "t", "Z": "z", "Y": "y", "X": "x", "C": "c", "S": "c"}


class Described(NamedTuple):
    """What metadata say of a series.

    Attributes
    ----------
    name : str
        Of the dialect: ``"ome"``, ``"imagej"``, ``"tiff"``, ….
    steps : dict of str to (float, str or None)
        Spacing and unit by the name of an axis; negative where positions go down.
    origin : dict of str to float
        Position of the first voxel, in the unit of the step.
    coords : dict of str to tuple
        Facts about indices: (axis name, values[, facts]). One named like its axis says where the
        indices lie that are not evenly spaced.
    attrs : dict
        What else there is.
    record : str or None
        The geometry that was kept by us.
    """

    name: str
    steps: dict[str, tuple[float, str | None]] = {}  # noqa: RUF012 - never changed
    origin: dict[str, float] = {}  # noqa: RUF012
    coords: dict[str, Any] = {}  # noqa: RUF012
    attrs: dict[str, Any] = {}  # noqa: RUF012
    record: str | None = None


def converted(value: float, unit: str | None, wanted: str | None) -> float | None:
    """Return a length or time in another unit, or None where it has none of a kind."""
    source, target = (canonical_unit(u) if u else None for u in (unit, wanted))
    if source == target:
        return value
    if source is None or target is None:
        return None
    for table in (LENGTHS, TIMES):
        if source in table and target in table:
            return value * table[source] / table[target]
    return None


def standard_geometry(axes: str, shape: tuple[int, ...], found: Described) -> Geometry:
    """Return the geometry that metadata state.

    Parameters
    ----------
    axes : str
        Letters of the axes, as tifffile has them.
    shape : tuple of int
        Lengths of the axes.
    found : Described
        What the metadata say.
    """
    dims: list[str | None] = []
    for letter in axes:
        name = _LETTERS.get(letter)
        dims.append(None if name in dims else name)
    # An axis whose coordinate says where it lies is made plain by the image that gets it.
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


def coords_of(found: Described, dims: tuple[str | None, ...]) -> Mapping[str, Any]:
    """Return the coordinates whose axis the image has, and the place along axes that it has not."""
    coords = {name: value for name, value in found.coords.items() if value[0] in dims}
    for name, place in found.origin.items():
        if name not in dims and name in SPACE_AXES:
            unit = found.steps.get(name, (1.0, None))[1]
            coords[f"position_{name}"] = ((), place, {"unit": unit} if unit else {})
    return coords
