"""Maps between points of physical space.

A `Transform` maps points of the output (fixed) image to points of the input (moving) image, as in
ITK: this is the direction in which resampling asks for values. Every transform knows the world
that its numbers are meant in, so that one made for RAS coordinates is converted, not misread, when
it meets an LPS image.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.world import World

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from spatial_duck.registration.job import RegistrationReport

    Floats = NDArray[np.float64]

__all__ = ["Affine", "Transform", "sub_world", "world_change"]

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
    report : RegistrationReport or None
        How it was found, where `register` made it. It is not kept by what is made of the transform.
    """

    world: World
    report: RegistrationReport | None = None

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
        values = np.asarray(points, dtype=np.float64)
        n = len(self.world.axes)
        if values.ndim == 0 or values.shape[-1] != n:
            raise GeometryError(
                f"points must have one entry for each of the world axes {self.world.axes!r} in "
                f"their last dimension, got shape {values.shape}"
            )
        mapped: Floats = values @ self._matrix[:n, :n].T + self._matrix[:n, n]
        return mapped

    def inverse(self) -> Affine:
        """Return the inverse map, in closed form."""
        inverse = np.linalg.inv(self._matrix)
        inverse[-1] = self._matrix[-1]
        return Affine(inverse, self.world)

    def to_world(self, world: World) -> Affine:
        """Return the same map for points in another world."""
        missing = [name for name in self.world.axes if name not in world.axes]
        if missing:
            raise GeometryError(
                f"world: the transform moves points along {self.world.axes!r}, and the world "
                f"{world.axes!r} lacks {missing!r}"
            )
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
