"""Maps that add to each point the vector that an image has there."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import spatial_duck
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import World
from spatial_duck.transforms._base import (
    Transform,
    as_box,
    as_points,
    check_axes,
    matrix_bounds,
    sub_world,
    world_change,
)

__all__ = ["DisplacementField"]

Floats = NDArray[np.float64]


class DisplacementField(Transform):
    """A map that adds to each point the vector that an image has there.

    Between the voxels of the field vectors are linear; points further than half a voxel from its
    outermost voxel centres stay where they are, as in ITK.

    Parameters
    ----------
    image : SpatialArray
        With one plain axis, whose entries are the vectors' components: one for each axis of the
        image's world, in that order, in its units, or as its coordinate ``component`` says. It
        must be as long as the world has axes, and the image must have as many sampled axes. On a
        NumPy array, or a Dask or Zarr one, which is read where and when vectors are needed.
    bound : float or array_like of float, shape (n_world,), optional
        No component is larger than this. It says how far around a block of the output voxels of
        the input are needed; found from the vectors where these are in memory, and needed where
        a lazy image is resampled by a lazy field.

    Raises
    ------
    GeometryError
        If the image is not such a one.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> vectors = sd.SpatialArray(np.full((1, 4), 2.0), dims=("c", "x"), spacing=0.5)
    >>> DisplacementField(vectors)([[1.0], [9.0]])
    array([[3.],
           [9.]])
    """

    #: How `resample` makes vectors between voxels, and how many outermost voxels have none.
    interpolation, margin = "linear", 0.0
    #: Largest distance between a point and what a numeric inverse and the field make of it.
    error: float = 0.0

    def __init__(self, image: spatial_duck.SpatialArray, bound: ArrayLike | None = None) -> None:
        geometry = image.geometry
        world = geometry.world
        n = len(world.axes)
        plain = [a for a in range(geometry.ndim) if a not in geometry.sampled_axes]
        if len(plain) != 1 or geometry.shape[plain[0]] != n or len(geometry.sampled_axes) != n:
            raise GeometryError(
                f"a displacement field over the world axes {world.axes!r} needs {n} sampled axes "
                f"and one plain axis of length {n}, one vector component for each world axis; got "
                f"{geometry!r}"
            )
        from spatial_duck import backends
        from spatial_duck.array._vectors import along_world

        image = along_world(image)
        if backends.host_type(image.dtype).kind not in "fiu":
            raise TypeError(f"a displacement field must hold real numbers, got {image.dtype}")
        name = geometry.dims[plain[0]]
        if name is not None and "component" not in image.coords:
            # What its values are along is now said: files and frames take it from the image.
            image = image.replace(coords={**image.coords, "component": (name, list(world.axes))})
        self.image = image
        self.world = world
        self._axes = world.axes
        self._component = plain[0]
        steps = np.linalg.inv(geometry.direction * geometry.spacing)
        self._index_map: tuple[Floats, Floats] = (steps, -steps @ geometry.origin)
        self._vectors: Floats = np.eye(n)
        self._bound = None if bound is None else np.broadcast_to(np.abs(bound), n).astype(float)
        if self._bound is not None and not np.isfinite(self._bound).all():
            raise GeometryError(f"bound must be finite, got {bound!r}")

    @property
    def axes(self) -> tuple[str, ...]:
        """The world axes along which points are moved."""
        return self._axes

    @property
    def index_map(self) -> tuple[Floats, Floats]:
        """Matrix and offset from a point's coordinates along `axes` to an index of the field."""
        return self._index_map

    @property
    def vectors(self) -> Floats:
        """Matrix from the components in the image to those along `axes`."""
        return self._vectors

    @cached_property
    def data(self) -> Any:
        """The vectors, component first; lazy where the image is."""
        order = [self._component, *[a for a in range(self.image.ndim) if a != self._component]]
        moved = np.transpose(self.image, order).data
        if isinstance(moved, np.ndarray) and moved.dtype.kind != "f":
            moved = moved.astype(np.float64)
        return moved

    @cached_property
    def bound(self) -> tuple[Floats, Floats]:
        """The lowest and the highest that each component in the image may be, 0 between them."""
        if self._bound is not None:
            return -self._bound, self._bound
        from spatial_duck import backends

        if backends.is_lazy(self.data):
            raise GeometryError(
                "a displacement field that is not in memory needs bound=, the largest "
                "displacement along each world axis, to say which voxels a block needs; or load "
                "it with image.compute()"
            )
        if not isinstance(self.data, np.ndarray):
            # Two numbers for each component, which a device gives when asked for them.
            front: Any = np.moveaxis
            parts = list(front(self.image, self._component, 0))
            ends = [(float(np.min(part)), float(np.max(part))) for part in parts]
            least, most = np.minimum(np.array(ends), 0)[:, 0], np.maximum(np.array(ends), 0)[:, 1]
        else:
            # One component after the other, which is 20 times faster than along all other axes.
            least = np.array([part.min(initial=0) for part in self.data])
            most = np.array([part.max(initial=0) for part in self.data])
        if not (np.isfinite(least).all() and np.isfinite(most).all()):
            raise GeometryError("a displacement field must be finite")
        return least.astype(np.float64), most.astype(np.float64)

    def part(self, index: Floats) -> tuple[NDArray[Any], tuple[tuple[int, int], ...]]:
        """Return the vectors around positions, and the box of voxels that these are.

        Parameters
        ----------
        index : ndarray of float, shape (n_world, ...)
            Positions in the field.
        """
        from spatial_duck import backends

        data = self.data
        lengths = data.shape[1:]
        if not backends.is_lazy(data):
            if not isinstance(data, np.ndarray):
                raise TypeError(
                    f"the displacement field is on {type(data).__name__} and the points are on "
                    "NumPy's arrays; bring both to one with image.to(...)"
                )
            return data, tuple([(0, n) for n in lengths])
        box = []
        for line, n in zip(index, lengths, strict=True):
            low = math.floor(np.clip(line.min(initial=np.inf), 0, n - 1))
            high = math.floor(np.clip(line.max(initial=-np.inf), 0, n - 1)) + 2
            box.append((low, max(min(high, n), low + 1)))
        found = data[(slice(None), *[slice(*bounds) for bounds in box])]
        if backends.is_dask(found):  # already inside a task, or asked for here and now
            found = found.compute(scheduler="synchronous")
        values = np.asarray(found)
        kind = values.dtype if values.dtype.kind == "f" else np.float64
        return values.astype(kind, copy=False), tuple(box)

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        moved = as_points(points, self.world).copy()
        rows = [self.world.axes.index(name) for name in self._axes]
        matrix, offset = self._index_map
        index = np.moveaxis(moved[..., rows] @ matrix.T + offset, -1, 0)
        data, box = self.part(index)
        lengths = self.data.shape[1:]
        inside = np.ones(index.shape[1:], dtype=bool)
        total: Any = 0.0
        low, fraction = [], []
        for line, n, (first, _) in zip(index, lengths, box, strict=True):
            inside &= (line >= -0.5) & (line < n - 0.5)
            clamped = np.clip(line, 0, n - 1)
            floor = np.floor(clamped)
            fraction.append(clamped - floor)
            low.append((floor.astype(np.intp), n, first))
        for corner in itertools.product((0, 1), repeat=len(lengths)):
            key = [np.minimum(at + c, n - 1) - first for (at, n, first), c in
                   zip(low, corner, strict=True)]  # fmt: skip
            key = [np.where(inside, k, 0) for k in key]
            weight = np.prod([f if c else 1 - f for f, c in zip(fraction, corner, strict=True)], 0)
            total = total + weight * data[(slice(None), *key)]
        vectors = np.moveaxis(np.tensordot(self._vectors, total * inside, 1), 0, -1)
        moved[..., rows] += vectors
        return moved

    @property
    def parts(self) -> tuple[Transform, ...]:
        """The map itself."""
        return (self,)

    def inverse(self) -> DisplacementField:
        """Return the inverse map as a field on the same grid, found numerically.

        Its ``error`` says how far a point that goes there and back misses itself at most.

        Raises
        ------
        GeometryError
            If the field folds space.
        """
        from spatial_duck.transforms._inverse import invert_field

        return invert_field(self)

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        low, high = as_box(bounds, self.world)
        rows = [self.world.axes.index(name) for name in self._axes]
        least, most = matrix_bounds(self._vectors, *self.bound)
        # Points off the grid stay where they are.
        low[rows] += np.minimum(least, 0)
        high[rows] += np.maximum(most, 0)
        return np.stack([low, high])

    def to_world(self, world: World) -> DisplacementField:
        """Return the same map for points in another world."""
        check_axes(self._axes, world)
        here = sub_world(self.world, self._axes)
        change = world_change(here, sub_world(world, self._axes))
        found = DisplacementField(self.image, self._bound)
        found.world, found._axes = world, self._axes
        matrix, offset = self._index_map
        found._index_map = matrix @ np.linalg.inv(change), offset
        found._vectors = change @ self._vectors
        found.error = self.error * float(np.linalg.norm(change, 2))
        found.__dict__["data"] = self.data
        if self._bound is None and isinstance(self.data, np.ndarray):
            found.__dict__["bound"] = self.bound  # worked out once, for all worlds
        return found

    def __dask_tokenize__(self) -> Any:
        from dask.base import normalize_token

        matrix, offset = self._index_map
        bound = None if self._bound is None else self._bound.tolist()
        return normalize_token(
            (type(self), self.image, matrix.tolist(), offset.tolist(), self._vectors.tolist(),
             self.world, bound)
        )  # fmt: skip

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore_field, (self.image, self._bound, self.world)

    def __repr__(self) -> str:
        return f"DisplacementField({self.image.geometry!r})"


def _restore_field(image: spatial_duck.SpatialArray, bound: Any, world: World) -> DisplacementField:
    """Return the field of a pickle."""
    field = DisplacementField(image, bound)
    return field if field.world == world else field.to_world(world)
