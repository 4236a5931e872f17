"""B-spline transforms: `BSpline`, the free-form deformation that ITK has.

A point is moved by ``sum_k B(u - k) c_k``, where u is its position on the grid of coefficients and
B the tensor product of B-splines (Rueckert et al., Nonrigid registration using free-form
deformations, IEEE TMI 1999). Points whose support reaches beyond that grid stay where they are, as
in ITK.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.transforms._base import Transform, sub_world, world_change
from spatial_duck.transforms._displacement import DisplacementField

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from spatial_duck.geometry import World

    Floats = NDArray[np.float64]

__all__ = ["BSpline", "geometry_in_world"]

#: Points that are mapped at once: what they need in memory is about 1 kB each.
_BATCH = 1 << 16


def geometry_in_world(geometry: Geometry, world: World) -> Geometry:
    """Return the same grid in another world with the same axes: their order, units and frame."""
    if geometry.world.frame is not None and world.frame is not None:
        geometry = geometry.to_frame(world.frame)
    now = dict(zip(geometry.world.axes, geometry.world.units, strict=True))
    wanted = dict(zip(world.axes, world.units, strict=True))
    geometry = geometry.to_unit({a: u for a, u in wanted.items() if u != now[a]})
    return geometry.to_world(world.axes)


class BSpline(Transform):
    """A map that adds to each point a smooth vector, made of B-splines.

    Parameters
    ----------
    coefficients : array_like of float, shape ``(n_world, *shape)``
        One vector component for each world axis, in that order, in its unit.
    geometry : Geometry
        The grid of coefficients, with as many sampled axes as the world has axes and no others.
    order : {1, 2, 3}, optional
        Order of the splines.

    Raises
    ------
    GeometryError
        If the grid is not such a one, or the numbers are not finite.

    Notes
    -----
    It maps points exactly, and `resample` evaluates it so at each voxel; of order 2 it takes the
    `DisplacementField` that `field` makes of it.
    """

    def __init__(self, coefficients: ArrayLike, geometry: Geometry, order: int = 3) -> None:
        values = np.array(coefficients, dtype=np.float64)
        n = len(geometry.world.axes)
        if len(geometry.sampled_axes) != n or geometry.ndim != n:
            raise GeometryError(
                f"geometry must have one sampled axis for each of the world axes "
                f"{geometry.world.axes!r} and no others, got {geometry!r}"
            )
        if values.shape != (n, *geometry.shape):
            raise GeometryError(
                f"coefficients must have the shape {(n, *geometry.shape)}, got {values.shape}"
            )
        if order not in (1, 2, 3):
            raise GeometryError(f"order must be 1, 2 or 3, got {order!r}")
        if not np.isfinite(values).all():
            raise GeometryError("coefficients must be finite")
        values.setflags(write=False)
        self.world = geometry.world
        self.coefficients = values
        self.geometry = geometry
        self.order = order

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The map itself."""
        if self.order == 2:
            raise TypeError(
                "a BSpline of order 2 is resampled through its displacement field on a grid: give "
                "transform.field(geometry), with a geometry that covers the output"
            )
        return (self,)

    # What `resample` asks of maps that add a vector to each point, as of a `DisplacementField`:
    # a cubic spline of coefficients that are not filtered first is this one.

    @property
    def axes(self) -> tuple[str, ...]:
        """The world axes along which points are moved."""
        return self.world.axes

    @property
    def index_map(self) -> tuple[Floats, Floats]:
        """Matrix and offset from a point to an index of the grid of coefficients."""
        steps = np.linalg.inv(self.geometry.direction * self.geometry.spacing)
        return steps, -steps @ self.geometry.origin

    @property
    def vectors(self) -> Floats:
        """Matrix from the components of the coefficients to those along `axes`."""
        return np.eye(len(self.world.axes))

    @property
    def data(self) -> Floats:
        """The coefficients, component first."""
        return self.coefficients

    @property
    def interpolation(self) -> str:
        """How vectors are made of the coefficients."""
        return "linear" if self.order == 1 else "cubic"

    @property
    def margin(self) -> float:
        """How many outermost voxels of the grid have no vectors: their support reaches beyond."""
        return 0.5 * (self.order - 1)

    @property
    def bound(self) -> tuple[Floats, Floats]:
        """The lowest and the highest that each component may be: those of the coefficients."""
        flat = self.coefficients.reshape(len(self.coefficients), -1)
        return np.minimum(flat.min(1), 0), np.maximum(flat.max(1), 0)

    def part(self, index: Floats) -> tuple[Floats, tuple[tuple[int, int], ...]]:
        """Return the coefficients around positions: all of them, and their box."""
        del index
        return self.coefficients, tuple([(0, n) for n in self.geometry.shape])

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        values = np.array(points, dtype=np.float64)
        n = len(self.world.axes)
        if values.ndim == 0 or values.shape[-1] != n:
            raise GeometryError(
                f"points must have one entry for each of the world axes {self.world.axes!r} in "
                f"their last dimension, got shape {values.shape}"
            )
        flat = values.reshape(-1, n)
        for start in range(0, len(flat), _BATCH):
            part = flat[start : start + _BATCH]
            part += self._vectors(part)
        return flat.reshape(values.shape)

    def _vectors(self, points: Floats) -> Floats:
        steps = np.linalg.inv(self.geometry.direction * self.geometry.spacing)
        index = (points - self.geometry.origin) @ steps.T
        first = np.floor(index - (self.order - 1) / 2).astype(np.intp)
        inside = np.ones(len(points), dtype=bool)
        weights, at = [], []
        for axis, length in enumerate(self.geometry.shape):
            x = index[:, axis]
            # ITK: the support of a point must lie on the grid; at its very end the last counts.
            inside &= (x >= 0.5 * (self.order - 1)) & (x <= length - 1 - 0.5 * (self.order - 1))
            low = np.clip(first[:, axis], 0, length - 1 - self.order)
            at.append(low)
            weights.append(_basis(x - low, self.order))
        total = np.zeros_like(points)
        for corner in itertools.product(range(self.order + 1), repeat=len(at)):
            weight = np.prod([w[c] for w, c in zip(weights, corner, strict=True)], axis=0)
            key: tuple[Any, ...] = tuple([low + c for low, c in zip(at, corner, strict=True)])
            total += weight[:, None] * self.coefficients[(slice(None), *key)].T
        total[~inside] = 0.0
        return total

    def field(self, geometry: Geometry) -> DisplacementField:
        """Return the displacement field at the voxels of a grid, linear between them.

        Parameters
        ----------
        geometry : Geometry
            With one sampled axis for each axis of the transform's world. Its plain axes are left
            out.

        Returns
        -------
        DisplacementField
            In memory, in the world of the geometry. With voxels of size h it differs from the
            spline by ``h**2 / 8`` of its second derivatives at most.
        """
        from spatial_duck.array import SpatialArray

        there = self.to_world(sub_world(geometry.world, geometry.world.axes))
        shape = [geometry.shape[a] for a in geometry.sampled_axes]
        grid = Geometry(
            shape, geometry.spacing.tolist(), geometry.origin.tolist(), geometry.direction,
            [geometry.dims[a] for a in geometry.sampled_axes],
            sampled=[str(geometry.dims[a]) for a in geometry.sampled_axes], world=geometry.world,
        )  # fmt: skip
        data = np.empty((len(grid.world.axes), *shape))
        rows = np.indices(shape[1:]).reshape(len(shape) - 1, -1).T
        for plane in range(shape[0]):
            index = np.column_stack([np.full(len(rows), plane), rows])
            points = grid.index_to_physical(index)
            data[:, plane] = (there(points) - points).T.reshape(-1, *shape[1:])
        full = grid.expand_dims(0).repeat(len(data), 0)
        return DisplacementField(SpatialArray(data, full))

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        low, high = np.asarray(bounds, dtype=np.float64)
        least, most = self.bound
        return np.stack([low + least, high + most])

    def inverse(self) -> Transform:
        """Raise: a spline has no inverse in closed form."""
        raise GeometryError(
            "a B-spline has no inverse in closed form; take that of field(geometry)"
        )

    def to_world(self, world: World) -> BSpline:
        """Return the same map for points in another world with the same axes."""
        change = world_change(self.world, world)
        geometry = geometry_in_world(self.geometry, world)
        return BSpline(np.tensordot(change, self.coefficients, 1), geometry, self.order)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BSpline):
            return NotImplemented
        return (
            self.geometry == other.geometry
            and self.order == other.order
            and np.array_equal(self.coefficients, other.coefficients)
        )

    def __hash__(self) -> int:
        return hash((self.coefficients.tobytes(), self.order))

    def __reduce__(self) -> tuple[Any, ...]:
        return BSpline, (np.array(self.coefficients), self.geometry, self.order)

    def __repr__(self) -> str:
        return f"BSpline(order {self.order}, {self.geometry!r})"


def _basis(x: Floats, order: int) -> Sequence[Floats]:
    """Return the weights of order + 1 knots in a row, at distances x, x - 1, … from them."""
    if order == 1:
        return [1 - x, x]
    if order == 2:
        t = x - 1
        return [0.5 * (0.5 - t) ** 2, 0.75 - t**2, 0.5 * (0.5 + t) ** 2]
    t = x - 1
    return [
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    ]
