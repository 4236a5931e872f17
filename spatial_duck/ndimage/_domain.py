"""The axes that a filter works along, and how lengths in the world become voxels on them.

Everything that depends on geometry is decided here, from the matrix whose columns are the steps
from voxel to voxel: its Gram matrix is the metric of the grid, and holds for anisotropic, oblique
and sheared directions alike, and for slices that live in more dimensions than they have axes.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.array._nodata import warn_of_nodata
from spatial_duck.errors import GeometryError, GeometryLossError
from spatial_duck.geometry._points import axis_units, space_axes
from spatial_duck.geometry._quantity import is_sequence, lengths_along
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]

__all__ = [
    "Domain",
    "ball_footprint",
    "box_footprint",
    "check_space_alone",
    "embed",
    "find_domain",
    "footprint_of",
    "groups",
    "halo_of",
    "per_axis",
]

Axes = str | int | Sequence[str | int] | None
PerAxis = float | Sequence[float] | Mapping[str, float]

#: Axes whose cosine is below this count as orthogonal: headers hold few digits.
_MAX_COSINE = 1e-4
#: A voxel counts as inside a radius or half size that it exceeds by less than this fraction.
_RELATIVE_TOLERANCE = 1e-6


class Domain(NamedTuple):
    """Some axes of an image, and the steps along them.

    Attributes
    ----------
    axes : tuple of int
        Array axes, in array order.
    names : tuple of (str or None)
        Names of the axes.
    rows : tuple of int
        The world axes that they move along.
    spacing : ndarray of float, shape (n,)
        Length of a step along each.
    steps : ndarray of float, shape (len(rows), n)
        The step along each axis, as columns.
    metric : ndarray of float, shape (n, n)
        ``d @ metric @ d`` is the squared length of the index vector ``d``. Axes that are within
        0.006° of a right angle count as orthogonal, and have exactly 0 here.
    inverse : ndarray of float, shape (n, n)
        Inverse of the metric as it is, for derivatives.
    units : tuple of (str or None)
        Unit of the spacing along each.
    """

    axes: tuple[int, ...]
    names: tuple[str | None, ...]
    rows: tuple[int, ...]
    spacing: Floats
    steps: Floats
    metric: Floats
    inverse: Floats
    units: tuple[str | None, ...]

    @property
    def orthogonal(self) -> bool:
        """Whether the axes are at right angles."""
        return bool((self.metric == np.diag(np.diag(self.metric))).all())


def find_domain(image: SpatialArray | Geometry, axes: Axes, what: str) -> Domain:
    """Return the axes that an operation works along.

    Parameters
    ----------
    image : SpatialArray or Geometry
        The image.
    axes : str, int, sequence of these, or None
        By name or number; all space axes by default.
    what : str
        The operation, for messages.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.
    GeometryError
        If an axis is not sampled, or the axes have no common unit of length, or are not
        independent.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> found = find_domain(Geometry((2, 3, 9, 9), (2, 1, 1), dims="czyx"), None, "a filter")
    >>> found.axes, found.spacing
    ((1, 2, 3), array([2., 1., 1.]))
    """
    warn_of_nodata(image, what, stacklevel=4)
    geometry: Geometry = getattr(image, "geometry", image)  # type: ignore[arg-type]
    chosen = _space_axes(geometry, what) if axes is None else _axis_positions(geometry, axes, what)
    for axis in chosen:
        if axis in geometry.lost:
            raise _loss_error(geometry, axis, what)
    plain = [geometry.dims[axis] or axis for axis in chosen if axis not in geometry.sampled_axes]
    if plain:
        raise GeometryError(
            f"{what}: the axes {plain!r} are plain, a length in the world means nothing along "
            f"them; sampled are {[geometry.dims[i] or i for i in geometry.sampled_axes]!r}"
        )
    columns = geometry.direction[:, [geometry.sampled_axes.index(axis) for axis in chosen]]
    spacing = geometry.spacing[[geometry.sampled_axes.index(axis) for axis in chosen]]
    space = [r for r, name in enumerate(geometry.world.axes) if name in SPACE_AXES]
    used = np.flatnonzero(columns.any(axis=1)).tolist()
    rows = sorted({*used, *(space if set(used) & set(space) else ())})
    _check_units(geometry, [r for r in rows if r in space and r in used], what)
    lengths = np.sqrt((columns**2).sum(axis=0))
    # Unit columns have rounding errors; the spacing as it was given has none.
    spacing = np.where(abs(lengths - 1) < 1e-6, spacing, spacing * lengths)
    columns = columns[rows] / lengths
    cosines = columns.T @ columns
    np.fill_diagonal(cosines, 1.0)
    exact = cosines.copy()
    cosines[abs(cosines) < _MAX_COSINE] = 0.0
    if len(chosen) and np.linalg.cond(cosines) > 1e6:
        raise GeometryError(
            f"{what}: the axes {[geometry.dims[i] or i for i in chosen]!r} are not independent in "
            "the world, as a window axis and the axis that it slides on; choose with axes="
        )
    metric = cosines * spacing * spacing[:, None]
    inverse = np.linalg.inv(exact) / spacing / spacing[:, None]
    names = tuple([geometry.dims[axis] for axis in chosen])
    units = axis_units(geometry)
    units = tuple([units[geometry.sampled_axes.index(axis)] for axis in chosen])
    return Domain(
        tuple(chosen), names, tuple(rows), spacing, columns * spacing, metric, inverse, units
    )


def check_space_alone(image: SpatialArray, domain: Domain, what: str) -> None:
    """Refuse an image that has other axes than those of a domain, which is all of its space.

    Raises
    ------
    GeometryError
        If it has; they are named.
    """
    others = [name or axis for axis, name in enumerate(image.dims) if axis not in domain.axes]
    if others:
        raise GeometryError(
            f"{what} measures in space, and the axes {others!r} are not space axes: index them "
            "with an integer first, such as image[0] for a first axis t, frame by frame"
        )


def _space_axes(geometry: Geometry, what: str) -> list[int]:
    for axis in geometry.lost_axes:
        raise _loss_error(geometry, axis, what)
    found = space_axes(geometry)
    if not found:
        raise GeometryError(
            f"{what} works along space axes, and the image has none: its dims are "
            f"{geometry.dims!r}; choose sampled axes with axes="
        )
    return found


def _axis_positions(geometry: Geometry, axes: Any, what: str) -> list[int]:
    given = [axes] if isinstance(axes, str | Integral) else list(axes)
    found = []
    for axis in given:
        if isinstance(axis, str):
            if axis not in geometry.dims:
                raise GeometryError(f"{what}: axes: {axis!r} is not among dims {geometry.dims!r}")
            found.append(geometry.dims.index(axis))
        else:
            number = operator.index(axis)
            if not -geometry.ndim <= number < geometry.ndim:
                raise np.exceptions.AxisError(number, geometry.ndim)
            found.append(number % geometry.ndim)
    if not found or len(set(found)) != len(found):
        raise GeometryError(f"{what}: axes must be different axes, one at least, got {axes!r}")
    return sorted(found)


def _loss_error(geometry: Geometry, axis: int, what: str) -> GeometryLossError:
    function = geometry.lost[axis]
    return GeometryLossError(
        f"{what} needs the positions along axis {axis} ({geometry.dims[axis]!r}), which "
        f"{function!r} lost; do it before {function!r}, or choose other axes with axes="
    )


def _check_units(geometry: Geometry, rows: Sequence[int], what: str) -> None:
    units = [geometry.unit[r] for r in rows]
    if len(set(units)) > 1:
        raise GeometryError(
            f"{what}: one length cannot be in several units, and the world axes "
            f"{[geometry.world.axes[r] for r in rows]!r} are in {units!r}; bring them to one with "
            "image.replace(geometry=image.geometry.to_unit('mm'))"
        )


def per_axis(value: PerAxis, domain: Domain, field: str) -> Floats:
    """Return one length for each axis of a domain.

    Parameters
    ----------
    value : float, sequence of float, or mapping of str to float
        For all axes, for each in array order, or by name (0 for the others).
    domain : Domain
        The axes.
    field : str
        What it is called.

    Raises
    ------
    GeometryError
        If it does not fit the axes, is negative, or differs along axes that are not orthogonal.
    """
    value = lengths_along(value, domain.names, domain.units, field)
    if isinstance(value, Mapping):
        unknown = [name for name in value if name not in domain.names]
        if unknown:
            raise GeometryError(f"{field}: {unknown!r} are not among the axes {domain.names!r}")
        values = np.array([value.get(n, 0.0) if n else 0.0 for n in domain.names], float)
    else:
        values = np.array(value, dtype=np.float64)
        if values.ndim == 0:
            values = np.full(len(domain.axes), values)
    if values.shape != (len(domain.axes),):
        raise GeometryError(
            f"{field} must be one number, or one for each of the axes {domain.names!r}, got "
            f"{value!r}"
        )
    if not (np.isfinite(values).all() and (values >= 0).all()):
        raise GeometryError(f"{field} must hold finite lengths of 0 or more, got {value!r}")
    for group in groups(domain):
        if len(set(values[group].tolist())) > 1:
            names = [domain.names[i] for i in group]
            raise GeometryError(
                f"{field} differs along the axes {names!r}, which are not at right angles, so that "
                f"the shape it means is not known: give one number, or resample onto an orthogonal "
                f"grid first; got {value!r}"
            )
    return values


def groups(domain: Domain) -> list[list[int]]:
    """Return the positions in a domain's axes in groups that are orthogonal to each other."""
    found: list[list[int]] = []
    for i, row in enumerate(domain.metric):
        joined = [g for g in found if any(row[j] for j in g)]
        rest = [g for g in found if g not in joined]
        found = [*rest, sorted([*(j for g in joined for j in g), i])]
    return sorted(found)


def _offsets(reach: Sequence[int]) -> Floats:
    """Return the index offsets of a box, shape (*sides, n)."""
    lines = [np.arange(-r, r + 1, dtype=np.float64) for r in reach]
    return np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)


def _reach(lengths: Floats, limit: ArrayLike = np.inf) -> list[int]:
    counts = np.minimum(np.floor(lengths * (1 + _RELATIVE_TOLERANCE) + 1e-12), limit)
    return [int(n) for n in counts]


def ball_footprint(domain: Domain, radius: PerAxis) -> NDArray[np.bool_]:
    """Return which voxels have their centres within a ball around a voxel's centre.

    Parameters
    ----------
    domain : Domain
        The axes.
    radius : float, sequence or mapping
        In world units; for orthogonal axes also one for each: an ellipsoid along the axes, flat
        where a radius is 0.

    Returns
    -------
    ndarray of bool, one axis for each of the domain's

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> ball_footprint(find_domain(Geometry((9, 9), spacing=(2, 1)), None, "it"), 2).astype(int)
    array([[0, 0, 1, 0, 0],
           [1, 1, 1, 1, 1],
           [0, 0, 1, 0, 0]])
    """
    radii = per_axis(radius, domain, "radius")
    scale = np.where(radii > 0, radii, 1.0)
    metric = domain.metric / scale / scale[:, None]
    reach = _reach(radii * np.sqrt(np.diag(domain.inverse)))
    offsets = _offsets(reach)
    squares = np.einsum("...i,ij,...j->...", offsets, metric, offsets)
    inside: NDArray[np.bool_] = squares <= (1 + _RELATIVE_TOLERANCE) ** 2
    return inside


def box_footprint(domain: Domain, size: PerAxis) -> NDArray[np.bool_]:
    """Return which voxels have their centres within a box around a voxel's centre: all of a block.

    The box runs along the array's axes, and `size` is its whole width: a box of 3 mm on voxels of
    1 mm has 3 voxels, one of 4 mm has 5.

    Parameters
    ----------
    domain : Domain
        The axes.
    size : float, sequence or mapping
        In world units, for all axes or for each.
    """
    if domain.orthogonal or not is_sequence(size):
        sizes = per_axis(size, domain, "size")
    else:  # along the axes one by one, a box is known on any grid
        square = np.diag(np.diag(domain.metric))
        sizes = per_axis(size, domain._replace(metric=square), "size")
    return np.ones([2 * n + 1 for n in _reach(sizes / 2 / domain.spacing)], bool)


def footprint_of(
    domain: Domain, size: PerAxis | None, radius: PerAxis | None, footprint: ArrayLike | None
) -> NDArray[np.bool_]:
    """Return the footprint given by size, radius or array, centred and of odd sides."""
    given = [size is not None, radius is not None, footprint is not None]
    if sum(given) != 1:
        raise TypeError(
            "give one of size= (a box, its width in world units), radius= (a ball) or footprint= "
            f"(voxels); got {sum(given)} of them"
        )
    if size is not None:
        return box_footprint(domain, size)
    if radius is not None:
        return ball_footprint(domain, radius)
    found = np.array(footprint, dtype=bool)
    if found.ndim != len(domain.axes) or any(n % 2 == 0 for n in found.shape) or not found.any():
        raise ValueError(
            f"footprint must have one axis for each of {domain.names!r}, sides of odd length and "
            f"one voxel at least, got shape {found.shape}"
        )
    return found


def halo_of(domain: Domain, distance: float, ndim: int) -> list[int]:
    """Return how many voxels a distance reaches along each axis of an image."""
    halo = [0] * ndim
    for axis, per_voxel in zip(domain.axes, np.sqrt(np.diag(domain.inverse)), strict=True):
        halo[axis] = math.ceil(distance * per_voxel)
    return halo


def embed(weights: NDArray[Any], domain: Domain, ndim: int) -> NDArray[Any]:
    """Return weights along a domain's axes with an axis of length 1 for each other axis."""
    shape = [1] * ndim
    for axis, n in zip(domain.axes, weights.shape, strict=True):
        shape[axis] = n
    return weights.reshape(shape)


def kernel_reach(weights: NDArray[Any]) -> tuple[int, ...]:
    """Return how far a centred kernel reaches along each axis, in voxels."""
    return tuple([math.floor(n / 2) for n in weights.shape])
