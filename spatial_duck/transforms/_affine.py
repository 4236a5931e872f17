"""Affine transforms and composites of several transforms.

A `Transform` maps points of the output (fixed) image to points of the input (moving) image, as in
ITK: this is the direction in which resampling asks for values. Every transform knows the world
that its numbers are meant in, so that one made for RAS coordinates is converted, not misread, when
it meets an LPS image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry, World
from spatial_duck.transforms._base import (
    Transform,
    as_box,
    as_points,
    check_axes,
    matrix_bounds,
    sub_world,
    world_change,
)

__all__ = ["Affine", "Composite"]

Floats = NDArray[np.float64]

#: A matrix with a larger condition number counts as singular.
_MAX_CONDITION = 1e12


class Affine(Transform):
    """An affine map.

    Parameters
    ----------
    matrix : array_like of float, shape (n_world + 1, n_world + 1)
        Homogeneous: maps points of the output, followed by 1, to points of the input.
    world : World or sequence of str, optional
        The coordinates that the numbers are meant in; ``("x", "y", "z")`` or as many of these as
        the matrix has rows by default, without a frame.

    Raises
    ------
    GeometryError
        If the matrix is not square, finite, homogeneous and regular, or does not fit the world.

    Examples
    --------
    >>> shift = Affine([[1, 0, 5], [0, 1, 0], [0, 0, 1]], ("y", "x"))
    >>> shift([[1.0, 2.0]])
    array([[6., 2.]])
    >>> shift.inverse()([[6.0, 2.0]])
    array([[1., 2.]])
    """

    def __init__(self, matrix: ArrayLike, world: World | Sequence[str] | None = None) -> None:
        values = np.array(matrix, dtype=np.float64)
        rows = values.shape[0] if values.ndim else 0
        if values.ndim != 2 or values.shape != (rows, rows) or rows < 2:
            raise GeometryError(
                f"matrix must be square, with a row for each world axis and one more, got shape "
                f"{values.shape}"
            )
        if not np.isfinite(values).all():
            raise GeometryError(f"matrix must be finite, got {values.tolist()}")
        if not np.array_equal(values[-1], [0.0] * (rows - 1) + [1.0]):
            raise GeometryError(
                f"matrix must have a last row of zeros and a one, got {values[-1].tolist()}"
            )
        if np.linalg.cond(values[:-1, :-1]) > _MAX_CONDITION:
            raise GeometryError(f"matrix is singular: {values.tolist()}")
        if world is None:
            if rows > 4:
                raise GeometryError(f"world must be given for a matrix of shape {values.shape}")
            world = ("x", "y", "z")[: rows - 1]
        self.world = world if isinstance(world, World) else World(world)
        if len(self.world.axes) != rows - 1:
            raise GeometryError(
                f"matrix must have {len(self.world.axes) + 1} rows for the world axes "
                f"{self.world.axes!r}, got shape {values.shape}"
            )
        values.setflags(write=False)
        self._matrix = values

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The map itself."""
        return (self,)

    @property
    def matrix(self) -> Floats:
        """The homogeneous matrix, read-only, shape (n_world + 1, n_world + 1)."""
        return self._matrix

    @classmethod
    def identity(cls, world: World | Sequence[str]) -> Self:
        """Return the map that leaves every point where it is."""
        n = len(world.axes if isinstance(world, World) else tuple(world))
        return cls(np.eye(n + 1), world)

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        values = as_points(points, self.world)
        n = len(self.world.axes)
        mapped: Floats = values @ self._matrix[:n, :n].T + self._matrix[:n, n]
        return mapped

    def inverse(self) -> Affine:
        """Return the inverse map, in closed form."""
        inverse = np.linalg.inv(self._matrix)
        inverse[-1] = self._matrix[-1]
        return Affine(inverse, self.world)

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return the smallest box that holds the images of all points of a box."""
        n = len(self.world.axes)
        ends = matrix_bounds(self._matrix[:n, :n], *as_box(bounds, self.world))
        return np.stack(ends) + self._matrix[:n, n]

    def to_world(self, world: World) -> Affine:
        """Return the same map for points in another world."""
        check_axes(self.world.axes, world)
        change = np.eye(len(self.world.axes) + 1)
        change[:-1, :-1] = world_change(self.world, sub_world(world, self.world.axes))
        inside = change @ self._matrix @ np.linalg.inv(change)
        rows = [*[world.axes.index(name) for name in self.world.axes], len(world.axes)]
        matrix = np.eye(len(world.axes) + 1)
        matrix[np.ix_(rows, rows)] = inside
        matrix[-1] = [0.0] * len(world.axes) + [1.0]
        return Affine(matrix, world)

    def __mul__(self, geometry: Geometry) -> Geometry:
        """Return the geometry whose points are those of another, mapped.

        ``(T * g).index_to_physical(i) == T(g.index_to_physical(i))``. The geometry's world has
        the transform's axes; it may have more, and another frame, order or unit.
        """
        if not isinstance(geometry, Geometry):
            return NotImplemented
        return geometry.transformed(self.to_world(geometry.world).matrix)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Affine):
            return NotImplemented
        return self.world == other.world and np.array_equal(self._matrix, other._matrix)

    def __hash__(self) -> int:
        return hash((self._matrix.tobytes(), self.world))

    def __reduce__(self) -> tuple[Any, ...]:
        return Affine, (np.array(self._matrix), self.world)

    def __repr__(self) -> str:
        return f"Affine({self._matrix.tolist()}, {self.world!r})"


class Composite(Transform):
    """Several maps, one after the other.

    Parameters
    ----------
    *transforms : Transform
        Points go through the first one first: ``Composite(a, b)(p)`` is ``b(a(p))``. Their worlds
        may differ in frame, unit and order of axes; the composite's is the one with most axes, the
        first of these.

    Examples
    --------
    >>> double = Affine([[2, 0], [0, 1]], ("x",))
    >>> shift = Affine([[1, 5], [0, 1]], ("x",))
    >>> Composite(double, shift)([[1.0]])
    array([[7.]])
    """

    def __init__(self, *transforms: Transform) -> None:
        if not transforms:
            raise TypeError("Composite needs at least one transform")
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise TypeError(f"Composite takes transforms, got {type(transform).__name__}")
        self.world = max([t.world for t in transforms], key=lambda world: len(world.axes))
        self.transforms = tuple([t.to_world(self.world) for t in transforms])

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The simple maps that points go through, the first one first."""
        return tuple([part for t in self.transforms for part in t.parts])

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        values = as_points(points, self.world)
        for transform in self.transforms:
            values = transform(values)
        return values

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        found = np.stack(as_box(bounds, self.world))
        for transform in self.transforms:
            found = transform.map_bounds(found)
        return found

    def inverse(self) -> Composite:
        """Return the inverse map; displacement fields in it are inverted numerically."""
        return Composite(*[t.inverse() for t in reversed(self.transforms)])

    def to_world(self, world: World) -> Composite:
        """Return the same map for points in another world."""
        return Composite(*[t.to_world(world) for t in self.transforms])

    def __repr__(self) -> str:
        return f"Composite({', '.join([repr(t) for t in self.transforms])})"
