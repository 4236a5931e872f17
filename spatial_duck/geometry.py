"""Where an image lies in the physical world: `Geometry`.

For the vector ``i`` of (fractional) indices along the sampled axes::

    world = origin + direction @ (spacing * i)

A geometry has a shape, so that it can be used without an array: ``geometry[10:, ::-1]`` is the
geometry of ``array[10:, ::-1]``. It is immutable and knows no arrays but NumPy's small ones.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck import mixing
from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.grid import Axis, Grid
from spatial_duck.validation import (
    MAX_CONDITION,
    check_dims,
    check_direction,
    check_origin,
    check_shape,
    check_spacing,
    check_world,
    condition,
    count_world,
    default_columns,
    find_sampled,
    numbers,
)
from spatial_duck.world import SPACE_AXES, World, check_frame, frame_change, unit_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Units = str | Mapping[str, str | None] | Sequence[str | None]

__all__ = ["Geometry"]


class Geometry(Grid):
    """Shape of an image and its place in the world.

    Parameters
    ----------
    shape : sequence of int
        Number of voxels along each array axis.
    spacing : float or sequence of float, optional
        Positive distance between neighbouring voxel centres, one for each sampled axis, in
        array-axis order. One number stands for all. Default 1.
    origin : sequence of float, optional
        World position of the centre of the voxel at index 0, in world-axis order. Default 0.
    direction : array_like of float, shape (n_world, n_sampled), optional
        One unit column for each sampled axis (array-axis order), one row for each world axis.
        By default each sampled axis runs along the world axis of its name.
    dims : sequence of (str or None), optional
        Name of each array axis. Default ``("x",)``, ``("y", "x")`` or ``("z", "y", "x")``.
    sampled : sequence of (str or int), optional
        Sampled axes besides those named x, y, z and t, by name or as array axes.
    world : World or sequence of str, optional
        The world axes. By default the sampled dims, in array order.
    frame : str, optional
        Which way the anatomical x, y, z point: ``"LPS"``, ``"RAS"`` or another such code.
    unit : str, mapping or sequence, optional
        Unit of the space axes, or of each world axis.
    lost : mapping of int to str, optional
        Axes that are plain because a function lost their positions, and that function.

    Attributes
    ----------
    shape, spacing, origin, direction, affine, dims, world, frame, unit, sampled_axes, lost
        As above. The arrays are read-only.

    Raises
    ------
    GeometryError
        If a value is not valid; the message names the field, the value and what is wanted.

    Examples
    --------
    >>> g = Geometry((10, 20, 30), spacing=(2.5, 0.5, 0.5), origin=(-100, 0, 0))
    >>> g.index_to_physical((1, 0, 2))
    array([-97.5,   0. ,   1. ])
    >>> g[1:, ::-1].origin
    array([-97.5,   9.5,   0. ])
    """

    __slots__ = ()

    def __init__(
        self,
        shape: Sequence[int],
        spacing: ArrayLike | None = None,
        origin: ArrayLike | None = None,
        direction: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        *,
        sampled: Sequence[str | int] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
        lost: Mapping[int, str] | None = None,
    ) -> None:
        self._shape = check_shape(shape)
        names = check_dims(dims, len(self._shape))
        lost = dict(lost or {})
        which = find_sampled(names, sampled, lost)
        directions = None if direction is None else numbers("direction", direction, 2)
        self._world = check_world(
            world, frame, unit, [names[i] for i in which], count_world(origin, directions)
        )
        spacings = check_spacing(spacing, [names[i] for i in which])
        columns = check_direction(directions, [names[i] for i in which], self._world)
        self._origin = check_origin(origin, self._world)
        axes = [Axis(name, None, None, lost.get(i)) for i, name in enumerate(names)]
        for i, s, column in zip(which, spacings, columns, strict=True):
            axes[i] = Axis(names[i], s, column)
        self._axes = tuple(axes)

    @classmethod
    def from_affine(
        cls,
        shape: Sequence[int],
        affine: ArrayLike,
        dims: Sequence[str | None] | None = None,
        *,
        sampled: Sequence[str | int] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
    ) -> Self:
        """Make a geometry from a homogeneous matrix.

        Parameters
        ----------
        shape : sequence of int
            Number of voxels along each array axis.
        affine : array_like of float, shape (n_world + 1, n_sampled + 1)
            Maps indices along the sampled axes, in array-axis order and followed by 1, to world
            coordinates followed by 1.
        dims, sampled, world, frame, unit
            As for `Geometry`.

        Returns
        -------
        Geometry
            Spacing and direction are lengths and unit vectors of the matrix's columns.

        Examples
        --------
        >>> Geometry.from_affine((4, 4), [[0, -2, 6], [3, 0, 0], [0, 0, 1]]).spacing
        array([3., 2.])
        """
        matrix = numbers("affine", affine, 2)
        rows, columns = matrix.shape
        if rows < 2 or columns < 1 or not np.array_equal(matrix[-1], [0.0] * (columns - 1) + [1.0]):
            raise GeometryError(
                "affine must have a last row of zeros and a one, and a column for each sampled "
                f"axis before the last, got shape {matrix.shape} and last row "
                f"{matrix[-1].tolist() if rows else []}"
            )
        spacing = np.sqrt((matrix[:-1, :-1] ** 2).sum(axis=0))
        if (spacing == 0).any():
            raise GeometryError(
                f"affine has a column of zeros: {matrix.tolist()}; each sampled axis must move "
                "through the world"
            )
        return cls(
            shape,
            spacing.tolist(),
            matrix[:-1, -1].tolist(),
            matrix[:-1, :-1] / spacing,
            dims,
            sampled=sampled,
            world=world,
            frame=frame,
            unit=unit,
        )

    @classmethod
    def from_corner(
        cls,
        shape: Sequence[int],
        spacing: ArrayLike | None = None,
        corner: ArrayLike | None = None,
        direction: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        *,
        sampled: Sequence[str | int] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
    ) -> Self:
        """Make a geometry from the position of its corner instead of its first voxel's centre.

        Parameters
        ----------
        shape, spacing
            As for `Geometry`.
        corner : sequence of float, optional
            World position of the outer corner of the voxel at index 0, half a voxel before its
            centre along each sampled axis.
        direction, dims, sampled, world, frame, unit
            As for `Geometry`.

        Examples
        --------
        >>> Geometry.from_corner((4, 4), spacing=2, corner=(0, 10)).origin
        array([ 1., 11.])
        """
        made = cls(
            shape, spacing, corner, direction, dims,
            sampled=sampled, world=world, frame=frame, unit=unit,
        )  # fmt: skip
        center = made._at([0.5] * len(made.sampled_axes))
        return made._with(made._shape, made._axes, center)

    # --- attributes -----------------------------------------------------------------------

    @property
    def dims(self) -> tuple[str | None, ...]:
        """Name of each array axis."""
        return tuple([a.name for a in self._axes])

    @property
    def sampled_axes(self) -> tuple[int, ...]:
        """The array axes that move through the world, as ints."""
        return tuple([i for i, a in enumerate(self._axes) if a.spacing is not None])

    @property
    def spacing(self) -> Floats:
        """Distance between voxel centres along each sampled axis, shape (n_sampled,)."""
        return _frozen([a.spacing for a in self._axes if a.spacing is not None])

    @property
    def origin(self) -> Floats:
        """World position of the centre of the voxel at index 0, shape (n_world,)."""
        return _frozen(self._origin)

    @property
    def direction(self) -> Floats:
        """Unit vector of each sampled axis, as columns, shape (n_world, n_sampled)."""
        columns = [a.column for a in self._axes if a.column is not None]
        return _frozen(np.array(columns, float).reshape(len(columns), len(self._origin)).T.copy())

    @property
    def affine(self) -> Floats:
        """Homogeneous matrix from sampled indices to world, shape (n_world + 1, n_sampled + 1)."""
        direction = self.direction
        matrix = np.zeros((direction.shape[0] + 1, direction.shape[1] + 1))
        matrix[:-1, :-1] = direction * self.spacing
        matrix[:-1, -1] = self._origin
        matrix[-1, -1] = 1.0
        return _frozen(matrix)

    @property
    def frame(self) -> str | None:
        """Which way the anatomical x, y and z point, or None for unspecified."""
        return self._world.frame

    @property
    def unit(self) -> tuple[str | None, ...]:
        """Unit of each world axis."""
        return self._world.units

    @property
    def lost(self) -> dict[int, str]:
        """The axes whose positions were lost, and the function that lost them."""
        return {i: a.lost for i, a in enumerate(self._axes) if a.lost is not None}

    @property
    def corner(self) -> Floats:
        """World position of the outer corner of the voxel at index 0, shape (n_world,)."""
        self._require_positions("corner")
        return _frozen(self._at([-0.5] * len(self.sampled_axes)))

    @property
    def center(self) -> Floats:
        """World position of the centre of the grid, shape (n_world,)."""
        return _frozen(self._at([(self._shape[i] - 1) / 2 for i in self.sampled_axes]))

    @property
    def bounds(self) -> Floats:
        """Box in the world that holds all voxels, to their outer edges, shape (2, n_world).

        The first row holds the lowest coordinates and the second the highest.
        """
        self._require_positions("bounds")
        low, high = list(self._origin), list(self._origin)
        for n, axis in zip(self._shape, self._axes, strict=True):
            if axis.spacing is not None and axis.column is not None:
                for w, c in enumerate(axis.column):
                    first, last = axis.spacing * c * -0.5, axis.spacing * c * (n - 0.5)
                    low[w] += min(first, last)
                    high[w] += max(first, last)
        return _frozen([low, high])

    @property
    def orientation(self) -> str:
        """Anatomical direction that each space axis of the array runs to, in array-axis order.

        ``"SPL"`` is the orientation of an axial LPS volume with dims z, y, x. Oblique axes count
        as the nearest anatomical ones.

        Raises
        ------
        FrameError
            If the frame is unspecified.
        """
        frame = self._world.frame
        if frame is None:
            raise FrameError(
                "orientation needs a frame, and this geometry has none: say which way x, y and z "
                "point with replace(frame='LPS') or another code"
            )
        letters = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}
        towards = dict(zip(SPACE_AXES, frame, strict=True))
        code = ""
        for _, name, sign in self._nearest():
            code += towards[name] if sign > 0 else letters[towards[name]]
        return code

    def _nearest(self) -> list[tuple[int, str, int]]:
        """Return (array axis, nearest world space axis, sign) for each space axis of the array."""
        rows = [(r, n) for r, n in enumerate(self._world.axes) if n in SPACE_AXES]
        space = [
            (i, a.column)
            for i, a in enumerate(self._axes)
            if a.column is not None and any(a.column[r] for r, _ in rows)
        ]
        if len(space) > len(rows):
            raise GeometryError(
                f"orientation: {len(space)} array axes run through {len(rows)} world space axes"
            )
        best = max(
            permutations(rows, len(space)),
            key=lambda p: sum(abs(column[r]) for (r, _), (_, column) in zip(p, space, strict=True)),
        )
        return [
            (i, name, 1 if column[r] >= 0 else -1)
            for (r, name), (i, column) in zip(best, space, strict=True)
        ]

    # --- points ---------------------------------------------------------------------------

    def index_to_physical(self, index: ArrayLike) -> Floats:
        """Return the world positions of (fractional) array indices.

        Parameters
        ----------
        index : array_like of float, shape (..., ndim)
            One entry for each array axis; those of plain axes are ignored.

        Returns
        -------
        ndarray of float, shape (..., n_world)

        Raises
        ------
        GeometryLossError
            If the positions along an axis were lost.
        """
        self._require_positions("index_to_physical")
        indices = np.asarray(index, dtype=np.float64)
        if indices.ndim == 0 or indices.shape[-1] != len(self._shape):
            raise GeometryError(
                f"index must have one entry for each of the {len(self._shape)} array axes "
                f"{self.dims!r} in its last dimension, got shape {indices.shape}"
            )
        steps = self.direction * self.spacing
        result: Floats = indices[..., list(self.sampled_axes)] @ steps.T + self._origin
        return result

    def physical_to_index(self, point: ArrayLike) -> Floats:
        """Return the fractional array indices of world positions.

        Parameters
        ----------
        point : array_like of float, shape (..., n_world)
            World positions, in world-axis order and unit.

        Returns
        -------
        ndarray of float, shape (..., ndim)
            0 on plain axes. Where the image has fewer sampled axes than the world has axes, the
            point is projected onto it orthogonally.

        Raises
        ------
        GeometryLossError
            If the positions along an axis were lost.
        GeometryError
            If two axes run through the world along one line, as a window axis does with the axis
            that it slides along.
        """
        self._require_positions("physical_to_index")
        points = np.asarray(point, dtype=np.float64)
        if points.ndim == 0 or points.shape[-1] != len(self._origin):
            raise GeometryError(
                f"point must have one entry for each of the world axes {self._world.axes!r} in "
                f"its last dimension, got shape {points.shape}"
            )
        direction, spacing = self.direction, self.spacing
        if condition(direction) > MAX_CONDITION:
            raise GeometryError(
                f"physical_to_index: the sampled axes {self.sampled_axes} are not independent, "
                "so that a point has no single index; index one axis of each pair away first"
            )
        inverse = np.linalg.pinv(direction) / spacing[:, None]
        out = np.zeros((*points.shape[:-1], len(self._shape)))
        out[..., list(self.sampled_axes)] = (points - self._origin) @ inverse.T
        return out

    def _require_positions(self, what: str) -> None:
        for i, axis in enumerate(self._axes):
            if axis.lost:
                raise GeometryLossError(
                    f"{what} needs the positions along axis {i} ({axis.name!r}), which "
                    f"{axis.lost!r} lost; do it before {axis.lost!r}"
                )

    def _at(self, index: Sequence[float]) -> tuple[float, ...]:
        """World position of an index along the sampled axes."""
        point = list(self._origin)
        sampled = [a for a in self._axes if a.spacing is not None]
        for axis, i in zip(sampled, index, strict=True):
            assert axis.spacing is not None
            length = axis.spacing * i
            point = [p + length * c for p, c in zip(point, axis.column or (), strict=True)]
        return tuple(point)

    # --- other worlds ---------------------------------------------------------------------

    def replace(self, **changes: Any) -> Self:
        """Return a geometry with some of the constructor's parameters changed.

        Parameters
        ----------
        **changes
            Any of `shape`, `spacing`, `origin`, `direction`, `dims`, `sampled`, `world`, `frame`,
            `unit`. What is not given stays. A new frame or unit renames; `to_frame` and `to_unit`
            convert.

        Examples
        --------
        >>> Geometry((4, 4)).replace(spacing=(2, 1), unit="mm").spacing
        array([2., 1.])
        """
        known = {"shape", "spacing", "origin", "direction", "dims", "sampled", "world", "frame",
                 "unit", "lost"}  # fmt: skip
        if not changes.keys() <= known:
            raise TypeError(
                f"replace: unknown fields {sorted(changes.keys() - known)}; known are "
                f"{sorted(known)}"
            )
        world = changes.get("world", self._world)
        if not isinstance(world, World):
            kept = dict(zip(self._world.axes, self._world.units, strict=True))
            world = World(world, {a: kept.get(a) for a in world}, self._world.frame)
        fields: dict[str, Any] = {"shape": self._shape, "dims": self.dims, **changes}
        if len(tuple(fields["dims"])) == len(self._shape):
            # The axes stay the axes that they are, whatever they are called.
            fields = {
                "spacing": self.spacing.tolist(),
                "direction": self.direction,
                "sampled": self.sampled_axes,
                "lost": self.lost,
            } | fields
        if len(world.axes) == len(self._origin):
            fields = {"origin": self._origin} | fields
        new = World(world.axes, changes.get("unit", world.units), changes.get("frame", world.frame))
        return type(self)(**fields | {"world": new, "frame": None, "unit": None})

    def to_frame(self, frame: str) -> Self:
        """Return the same place in the coordinates of another anatomical frame.

        Parameters
        ----------
        frame : str
            Frame code, such as ``"RAS"``.

        Raises
        ------
        FrameError
            If the present frame is unspecified, or the change needs an axis that the world lacks.

        Examples
        --------
        >>> Geometry((2, 2, 2), origin=(1, 2, 3), frame="LPS").to_frame("RAS").origin
        array([ 1., -2., -3.])
        """
        new = check_frame(frame)
        old = self._world.frame
        if new is None or old is None:
            raise FrameError(
                f"to_frame: cannot convert from {old!r} to {frame!r}; say what the coordinates "
                "are now with replace(frame=...)"
            )
        if new == old:
            return self
        axes = self._world.axes
        rows: list[tuple[int, int]] = [(i, 1) for i in range(len(axes))]
        units = list(self._world.units)
        for name, (source, sign) in zip(SPACE_AXES, frame_change(old, new), strict=True):
            if name not in axes and SPACE_AXES[source] not in axes:
                continue
            if name not in axes or SPACE_AXES[source] not in axes:
                raise FrameError(
                    f"to_frame: {old} to {new} takes {name!r} from {SPACE_AXES[source]!r}, and "
                    f"the world has only {axes!r}"
                )
            row = axes.index(SPACE_AXES[source])
            rows[axes.index(name)] = (row, sign)
            units[axes.index(name)] = self._world.units[row]
        return self._rewritten(World(axes, units, new), [(row, float(sign)) for row, sign in rows])

    def to_unit(self, unit: str | Mapping[str, str | None]) -> Self:
        """Return the same place in other units.

        Parameters
        ----------
        unit : str or mapping of str to str
            Unit of the space axes, or of each world axis that is to change.

        Examples
        --------
        >>> Geometry((2, 2), spacing=0.5, unit="mm").to_unit("um").spacing
        array([500., 500.])
        """
        axes = self._world.axes
        wanted = (
            {name: unit for name in axes if name in SPACE_AXES} if isinstance(unit, str) else unit
        )
        new = World(
            axes,
            {n: wanted.get(n, u) for n, u in zip(axes, self._world.units, strict=True)},
            self._world.frame,
        )
        factors = [
            unit_factor(old, now) if name in wanted else 1.0
            for name, old, now in zip(axes, self._world.units, new.units, strict=True)
        ]
        return self._rewritten(new, list(enumerate(factors)))

    def to_world(self, axes: Sequence[str]) -> Self:
        """Return the same place with the world axes in another order.

        Parameters
        ----------
        axes : sequence of str
            All names of the world axes, in the order wanted.

        Examples
        --------
        >>> Geometry((2, 2), origin=(1, 2)).to_world(("x", "y")).origin
        array([2., 1.])
        """
        now = self._world
        order = tuple(axes)
        if sorted(order) != sorted(now.axes):
            raise GeometryError(
                f"to_world: expected the names {now.axes!r} in any order, got {order!r}"
            )
        rows = [now.axes.index(name) for name in order]
        world = World(order, [now.units[r] for r in rows], now.frame)
        return self._rewritten(world, [(r, 1.0) for r in rows])

    def _rewritten(self, world: World, rows: Sequence[tuple[int, float]]) -> Self:
        """Rewrite origin and steps: each new row is an old one times a factor."""
        axes = []
        for axis in self._axes:
            spacing, old = axis.spacing, axis.column
            if spacing is not None and old is not None:
                factors = {abs(f) for r, f in rows if old[r]}
                if len(factors) == 1:  # the axis keeps its line: no rounding of its column
                    factor = factors.pop()
                    column = tuple([old[r] * f / factor + 0.0 for r, f in rows])
                    axis = axis._replace(spacing=spacing * factor, column=column)
                else:
                    step = [spacing * old[r] * f for r, f in rows]
                    length = math.hypot(*step)
                    axis = axis._replace(spacing=length, column=tuple([s / length for s in step]))
            axes.append(axis)
        new = self._with(
            self._shape, tuple(axes), tuple([self._origin[r] * f + 0.0 for r, f in rows])
        )
        new._world = world
        return new

    # --- several --------------------------------------------------------------------------

    def isclose(self, other: Geometry, tolerance: float | None = None) -> bool:
        """Tell whether two geometries are the same grid.

        Parameters
        ----------
        other : Geometry
            The other; it may be in another frame, world order or unit.
        tolerance : float, optional
            Largest displacement of a voxel centre, in voxels (`config` has the default, 1e-3).

        Returns
        -------
        bool
            False too where they cannot be compared, as with other shapes or units.
        """
        return mixing.same_grid(self, other, tolerance)

    def difference(self, other: Geometry, tolerance: float | None = None) -> str | None:
        """Return the first field in which two geometries differ, in words, or None."""
        return mixing.difference(self, other, tolerance)

    def concatenate(self, *others: Geometry, axis: int = 0) -> Geometry:
        """Return the geometry of images joined along an axis.

        Raises
        ------
        GeometryMismatchError
            If, along a sampled axis, a piece does not begin where the one before it ended.
        """
        return mixing.concatenate("concatenate", (self, *others), axis)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        return (self._shape, self._axes, self._origin, self._world) == (
            other._shape, other._axes, other._origin, other._world,
        )  # fmt: skip

    def __hash__(self) -> int:
        return hash((self._shape, self._axes, self._origin, self._world))

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._shape, tuple(map(tuple, self._axes)), self._origin, self._world)

    def __repr__(self) -> str:
        parts = [f"shape={self._shape}"]
        parts.append(f"spacing={_short([a.spacing for a in self._axes if a.spacing is not None])}")
        parts.append(f"origin={_short(self._origin)}")
        columns = [a.column for a in self._axes if a.column is not None]
        rows = [list(row) for row in zip(*columns, strict=True)] if columns else []
        names = [a.name for a in self._axes if a.spacing is not None]
        if columns != default_columns(names, self._world.axes):
            parts.append(f"direction=[{', '.join(_short(r) for r in rows)}]")
        parts.append(f"dims={self.dims!r}")
        parts.append(f"world={self._world!r}")
        if self.lost:
            parts.append(f"lost={self.lost!r}")
        return f"Geometry({', '.join(parts)})"


def _restore(
    shape: tuple[int, ...], axes: tuple[Any, ...], origin: tuple[float, ...], world: World
) -> Geometry:
    """Rebuild a pickled geometry, to the bit."""
    new = object.__new__(Geometry)
    new._shape, new._origin, new._world = shape, origin, world
    new._axes = tuple([Axis(*a) for a in axes])
    return new


def _frozen(values: Any) -> Floats:
    array: Floats = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array


def _short(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.10g}" for v in values) + ("," if len(values) == 1 else "") + ")"
