"""Maps between points of physical space.

A `Transform` maps points of the output (fixed) image to points of the input (moving) image, as in
ITK: this is the direction in which resampling asks for values. Every transform knows the world
that its numbers are meant in, so that one made for RAS coordinates is converted, not misread, when
it meets an LPS image.
"""

from __future__ import annotations

import itertools
import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import backends
from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.world import World

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from spatial_duck.array import SpatialArray

    Floats = NDArray[np.float64]

__all__ = [
    "Affine",
    "Composite",
    "DisplacementField",
    "Transform",
    "sub_world",
    "world_change",
]

#: A matrix with a larger condition number has no inverse that one could use.
_MAX_CONDITION = 1e12


def sub_world(world: World, axes: Sequence[str]) -> World:
    """Return a world with only some of its axes, in the order given."""
    return World(axes, [world.units[world.axes.index(name)] for name in axes], world.frame)


def world_change(old: World, new: World) -> Floats:
    """Return the matrix that brings coordinates from one world to another.

    Parameters
    ----------
    old, new : World
        Worlds with the same axes, in any order.

    Returns
    -------
    ndarray of float, shape (n, n)
        ``new_point = matrix @ old_point``: order of axes, units and frame.

    Raises
    ------
    FrameError
        If only one of the two has a frame.
    GeometryError
        If the axes are not the same, or a unit cannot be converted.

    Examples
    --------
    >>> world_change(World(("x", "y"), "mm"), World(("y", "x"), "um"))
    array([[   0., 1000.],
           [1000.,    0.]])
    """
    if old == new:
        return np.eye(len(old.axes))
    if sorted(old.axes) != sorted(new.axes):
        raise GeometryError(f"world: expected the axes {new.axes!r} in any order, got {old.axes!r}")
    if (old.frame is None) != (new.frame is None):
        raise FrameError(
            f"frame: {old.frame!r} and {new.frame!r}; say what both are with replace(frame=...)"
        )
    unit = Geometry((1,) * len(old.axes), dims=old.axes, sampled=old.axes, world=old)
    if new.frame is not None:
        unit = unit.to_frame(new.frame)
    wanted = dict(zip(new.axes, new.units, strict=True))
    now = dict(zip(unit.world.axes, unit.world.units, strict=True))
    unit = unit.to_unit({n: u for n, u in wanted.items() if u != now[n]})
    matrix: Floats = unit.to_world(new.axes).affine[:-1, :-1]
    return matrix


class Transform(ABC):
    """A map of points of the output (fixed) image to points of the input (moving) image.

    Attributes
    ----------
    world : World
        The coordinates of the points that come and go.
    """

    world: World

    @abstractmethod
    def __call__(self, points: ArrayLike) -> Floats:
        """Map points.

        Parameters
        ----------
        points : array_like of float, shape (..., n_world)
            In the transform's world.

        Returns
        -------
        ndarray of float, shape (..., n_world)
        """

    @abstractmethod
    def inverse(self) -> Transform:
        """Return the map in the other direction."""

    @abstractmethod
    def to_world(self, world: World) -> Transform:
        """Return the same map for points in another world.

        Parameters
        ----------
        world : World
            Its axes may be in another order, frame or unit, and may be more than the transform's:
            further axes are left as they are.
        """

    @abstractmethod
    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box.

        Parameters
        ----------
        bounds : array_like of float, shape (2, n_world)
            Lowest and highest coordinates in the transform's world, as `Geometry.bounds` has them.

        Returns
        -------
        ndarray of float, shape (2, n_world)
            The smallest such box for an affine map, and one that may be larger for others.
        """

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Transform:
        """Read a transform from a file of ITK's: ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``.

        Returns
        -------
        Transform
            In the world x, y, z, LPS, mm, in which such files are written.

        Raises
        ------
        FormatError
            If the file does not hold a transform that is known.
        """
        from spatial_duck.io.transform_files import read_transform

        return read_transform(path)

    def write(
        self, path: str | os.PathLike[str], *, frame: str | None = None, overwrite: bool = False
    ) -> None:
        """Write the transform as a file of ITK's; composites are flattened.

        Parameters
        ----------
        path : path
            The target, ending in ``.tfm``, ``.txt``, ``.h5`` or ``.hdf5``.
        frame : str, optional
            What the frame is where the transform does not say.
        overwrite : bool, optional
            Replace a file that is there.

        Raises
        ------
        FrameError, GeometryLossError
            If ITK cannot hold it.
        """
        from spatial_duck.io.transform_files import write_transform

        write_transform(path, self, frame=frame, overwrite=overwrite)

    @property
    def parts(self) -> tuple[Affine | DisplacementField, ...]:
        """The simple maps that points go through, the first one first."""
        raise TypeError(
            f"transform must be an Affine, a DisplacementField or a Composite of these, got "
            f"{type(self).__name__}"
        )


def _points_in(points: ArrayLike, world: World) -> Floats:
    """Return points as numbers, one entry for each axis of a world in the last dimension."""
    values = np.asarray(points, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] != len(world.axes):
        raise GeometryError(
            f"points must have one entry for each of the world axes {world.axes!r} in "
            f"their last dimension, got shape {values.shape}"
        )
    return values


def _box_in(bounds: ArrayLike, world: World) -> tuple[Floats, Floats]:
    """Return the lowest and the highest coordinates of a box, copied."""
    values = np.array(_points_in(bounds, world))
    if values.shape != (2, len(world.axes)) or not (values[0] <= values[1]).all():
        raise GeometryError(
            f"bounds must hold the lowest and the highest coordinates along the world axes "
            f"{world.axes!r}, got {bounds!r}"
        )
    return values[0], values[1]


def _through(matrix: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the ends of what a matrix makes of vectors whose entries lie between others."""
    ends = np.stack([matrix * low, matrix * high])
    return ends.min(axis=0).sum(axis=1), ends.max(axis=0).sum(axis=1)


def _check_axes(axes: Sequence[str], world: World) -> None:
    missing = [name for name in axes if name not in world.axes]
    if missing:
        raise GeometryError(
            f"world: the transform moves points along {tuple(axes)!r}, and the world "
            f"{world.axes!r} lacks {missing!r}"
        )


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
    def parts(self) -> tuple[Affine | DisplacementField, ...]:
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
        values = _points_in(points, self.world)
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
        ends = _through(self._matrix[:n, :n], *_box_in(bounds, self.world))
        return np.stack(ends) + self._matrix[:n, n]

    def to_world(self, world: World) -> Affine:
        """Return the same map for points in another world."""
        _check_axes(self.world.axes, world)
        change = np.eye(len(self.world.axes) + 1)
        change[:-1, :-1] = world_change(self.world, sub_world(world, self.world.axes))
        inside = change @ self._matrix @ np.linalg.inv(change)
        rows = [*[world.axes.index(name) for name in self.world.axes], len(world.axes)]
        matrix = np.eye(len(world.axes) + 1)
        matrix[np.ix_(rows, rows)] = inside
        matrix[-1] = [0.0] * len(world.axes) + [1.0]
        return Affine(matrix, world)

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


class DisplacementField(Transform):
    """A map that adds to each point the vector that an image has there.

    Between the voxels of the field vectors are linear; points further than half a voxel from its
    outermost voxel centres stay where they are, as in ITK.

    Parameters
    ----------
    image : SpatialArray
        With one plain axis, whose entries are the vectors' components: one for each axis of the
        image's world, in that order, in its units. It must be as long as the world has axes, and
        the image must have as many sampled axes. On a NumPy array, or a Dask or Zarr one, which is
        read where and when vectors are needed.
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

    #: How far a point misses itself that goes through a numeric inverse and back, in world units.
    error: float = 0.0

    def __init__(self, image: SpatialArray, bound: ArrayLike | None = None) -> None:
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
        if backends.host_type(image.dtype).kind not in "fiu":
            raise TypeError(f"a displacement field must hold real numbers, got {image.dtype}")
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
        if hasattr(found, "dask"):  # already inside a task, or asked for here and now
            found = found.compute(scheduler="synchronous")
        values = np.asarray(found)
        kind = values.dtype if values.dtype.kind == "f" else np.float64
        return values.astype(kind, copy=False), tuple(box)

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        moved = _points_in(points, self.world).copy()
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
    def parts(self) -> tuple[Affine | DisplacementField, ...]:
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
        from spatial_duck.inverse import invert_field

        return invert_field(self)

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        low, high = _box_in(bounds, self.world)
        rows = [self.world.axes.index(name) for name in self._axes]
        least, most = _through(self._vectors, *self.bound)
        # Points off the grid stay where they are.
        low[rows] += np.minimum(least, 0)
        high[rows] += np.maximum(most, 0)
        return np.stack([low, high])

    def to_world(self, world: World) -> DisplacementField:
        """Return the same map for points in another world."""
        _check_axes(self._axes, world)
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
        return _field_again, (self.image, self._bound, self.world)

    def __repr__(self) -> str:
        return f"DisplacementField({self.image.geometry!r})"


def _field_again(image: SpatialArray, bound: Any, world: World) -> DisplacementField:
    field = DisplacementField(image, bound)
    return field if field.world == world else field.to_world(world)


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
    def parts(self) -> tuple[Affine | DisplacementField, ...]:
        """The simple maps that points go through, the first one first."""
        return tuple([part for t in self.transforms for part in t.parts])

    def __call__(self, points: ArrayLike) -> Floats:
        """Map points, shape (..., n_world)."""
        values = _points_in(points, self.world)
        for transform in self.transforms:
            values = transform(values)
        return values

    def map_bounds(self, bounds: ArrayLike) -> Floats:
        """Return a box that holds the images of all points of a box."""
        found = np.stack(_box_in(bounds, self.world))
        for transform in self.transforms:
            found = transform.map_bounds(found)
        return found

    def inverse(self) -> Composite:
        """Return the inverse map, of which the parts of displacement fields are numeric."""
        return Composite(*[t.inverse() for t in reversed(self.transforms)])

    def to_world(self, world: World) -> Composite:
        """Return the same map for points in another world."""
        return Composite(*[t.to_world(world) for t in self.transforms])

    def __repr__(self) -> str:
        return f"Composite({', '.join([repr(t) for t in self.transforms])})"
