"""The grids of a pyramid's levels: how long bins are, and where the bins lie.

A voxel of a level stands for a whole bin of voxels of the level before it, and lies at that bin's
centre: for bins of n voxels the origin moves by (n - 1) / 2 of the old spacing along the axis, so
that a linear ramp sampled at a level's physical coordinates agrees with the level's values. With
``method="nearest"`` it lies at the voxel that was taken. Voxels at the far end that do not fill a
bin are left out, as in ITK's BinShrink: a value of fewer voxels would lie elsewhere than the grid
says. This knows geometries alone, no arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._validation import is_whole
from spatial_duck.geometry._world import LENGTHS
from spatial_duck.pyramids._binning import find_method

if TYPE_CHECKING:
    from spatial_duck.geometry import Geometry


__all__ = ["level_factors", "level_geometries", "shrunk_geometry", "space_axes"]

Factors = int | Mapping[str, int] | Sequence[int] | None

#: A pyramid ends where the longest space axis has at most this many voxels.
_SMALLEST_LEVEL = 64
#: Axes whose spacing is within this of the finest are binned together with it.
_SIMILAR_SPACING = 2**0.5 * (1 + 1e-6)


def level_factors(geometry: Geometry, factors: Factors = None) -> tuple[int, ...]:
    """Return the bin length along each array axis for one step down.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the level that is shrunk.
    factors : int, mapping of str to int, or sequence of int, optional
        One number for all axes of space, whatever their names; a number for each axis by name; or
        one for each array axis. Axes that are shorter than their factor are kept. By default 2
        along the space axis with the finest spacing and those within a factor of sqrt(2) of it, so
        that an anisotropic image is made isotropic first.

    Returns
    -------
    tuple of int

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> level_factors(Geometry((3, 1, 64, 65), dims=("t", "z", "y", "x")))
    (1, 1, 2, 2)
    >>> level_factors(Geometry((40, 512, 512), spacing=(5, 0.7, 0.7)))
    (1, 2, 2)
    """
    if factors is None:
        return _isotropic_factors(geometry)
    space = space_axes(geometry)
    if isinstance(factors, Mapping):
        unknown = [name for name in factors if name not in geometry.dims]
        if unknown:
            raise GeometryError(f"factors: {unknown!r} are not among dims {geometry.dims!r}")
        wanted = [factors.get(name, 1) if name else 1 for name in geometry.dims]
    elif isinstance(factors, Sequence):
        wanted = list(factors)
    else:
        wanted = [factors if axis in space else 1 for axis in range(geometry.ndim)]
    if len(wanted) != geometry.ndim or not all(_is_bin(f) for f in wanted):
        raise GeometryError(
            f"factors must hold an int of at least 1 for each of the axes {geometry.dims!r}, "
            f"got {factors!r}"
        )
    return tuple(int(f) if n >= f else 1 for n, f in zip(geometry.shape, wanted, strict=True))


def _is_bin(factor: object) -> bool:
    whole = isinstance(factor, Real) and not isinstance(factor, bool) and factor == factor // 1
    return whole and factor >= 1  # type: ignore[operator]


def _isotropic_factors(geometry: Geometry) -> tuple[int, ...]:
    """Return 2 for the space axes that are finest and can still be halved, 1 for the others."""
    space = {axis: rows for axis, rows in space_axes(geometry).items() if geometry.shape[axis] > 1}
    units = {axis: {geometry.unit[r] for r in rows} for axis, rows in space.items()}
    # Spacings of different units are compared as lengths, where each of them is one.
    known = all(len(u) == 1 and u <= set(LENGTHS) for u in units.values())
    sizes = {}
    for axis, spacing in zip(geometry.sampled_axes, geometry.spacing, strict=True):
        if axis in space:
            sizes[axis] = float(spacing) * (LENGTHS[str(*units[axis])] if known else 1.0)
    limit = min(sizes.values(), default=0.0) * _SIMILAR_SPACING
    return tuple(2 if sizes.get(axis, np.inf) <= limit else 1 for axis in range(geometry.ndim))


def space_axes(geometry: Geometry) -> dict[int, list[int]]:
    """Return the array axes that move through space, and the world axes that each runs along.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> space_axes(Geometry((3, 1, 64, 65), dims=("t", "z", "y", "x")))
    {1: [1], 2: [2], 3: [3]}
    """
    found = {}
    for axis, column in zip(geometry.sampled_axes, geometry.direction.T, strict=True):
        rows = np.flatnonzero(column).tolist()
        if all(geometry.world.types[r] == "space" for r in rows):
            found[axis] = rows
    return found


def shrunk_geometry(geometry: Geometry, factors: Sequence[int], method: str = "mean") -> Geometry:
    """Return the geometry of bins of voxels.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the image.
    factors : sequence of int
        Bin length along each array axis.
    method : str, optional
        How the values of a bin become one, which says where it lies.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> shrunk_geometry(Geometry((9,), spacing=2), (4,))
    Geometry(shape=(2,), spacing=(8,), origin=(3,), dims=('x',), world=World(axes=('x',), \
units=(None,), frame=None))
    """
    place = find_method(method).place
    steps = np.array([factors[i] for i in geometry.sampled_axes], float)
    moved = np.array([place(factors[i]) for i in geometry.sampled_axes], float)
    shift = geometry.direction @ (geometry.spacing * moved)
    return geometry.replace(
        shape=tuple(n // f for n, f in zip(geometry.shape, factors, strict=True)),
        spacing=(geometry.spacing * steps).tolist(),
        origin=(geometry.origin + shift).tolist(),
    )


def level_geometries(
    geometry: Geometry, levels: int | None = None, factors: Factors = None, method: str = "mean"
) -> tuple[list[Geometry], list[tuple[int, ...]]]:
    """Return the geometry of each level of a pyramid, and its bins in the level before it.

    Parameters
    ----------
    geometry : Geometry
        Geometry of the finest level.
    levels, factors, method : optional
        As for `pyramid`.

    Returns
    -------
    geometries : list of Geometry
    bins : list of tuple of int
        Bin length along each array axis; ones for the finest level.
    """
    find_method(method)
    if levels is not None and not is_whole(levels, 1):
        raise ValueError(f"levels must be 1 or more, with the image itself, got {levels!r}")
    geometries, bins = [geometry], [(1,) * geometry.ndim]
    while levels is None or len(geometries) < levels:
        g = geometries[-1]
        step = level_factors(g, factors)
        if (levels is None and _longest_space_axis(g) <= _SMALLEST_LEVEL) or max(
            step, default=1
        ) == 1:
            break
        bins.append(step)
        geometries.append(shrunk_geometry(g, step, method))
    return geometries, bins


def _longest_space_axis(geometry: Geometry) -> int:
    return max((geometry.shape[axis] for axis in space_axes(geometry)), default=0)
