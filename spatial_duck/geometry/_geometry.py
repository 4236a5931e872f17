"""Where an image lies in the physical world: `Geometry`.

For the vector ``i`` of (fractional) indices along the sampled axes::

    world = origin + direction @ (spacing * i)

A geometry has a shape, so that it can be used without an array: ``geometry[10:, ::-1]`` is the
geometry of ``array[10:, ::-1]``. It is immutable and knows no arrays but NumPy's small ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck.errors import FrameError, GeometryError
from spatial_duck.geometry import _align as mixing
from spatial_duck.geometry._moves import Axis
from spatial_duck.geometry._points import Located
from spatial_duck.geometry._validation import (
    check_dims,
    check_direction,
    check_origin,
    check_shape,
    check_spacing,
    check_world,
    count_world,
    default_columns,
    find_sampled,
    numbers,
    refuse_setting,
)
from spatial_duck.geometry._world import SPACE_AXES, World, check_frame, frame_change, unit_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Units = str | Mapping[str, str | None] | Sequence[str | None]

__all__ = ["Geometry"]


class Geometry(Located):
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
        """Return the same place with the world axes in another order, or with fewer.

        Parameters
        ----------
        axes : sequence of str
            Names of world axes, in the order wanted. The position along those that are left out
            is given up: no axis of the array may run along them. So an image at one time becomes
            one without time.

        Raises
        ------
        GeometryError
            If a name is not among the world axes, or an axis of the array runs along one that is
            left out.

        Examples
        --------
        >>> Geometry((2, 2), origin=(1, 2)).to_world(("x", "y")).origin
        array([2., 1.])
        >>> series = Geometry((5, 2, 2), dims=("t", "y", "x"))
        >>> series[3].world.axes, series[3].to_world(("y", "x")).world.axes
        (('t', 'y', 'x'), ('y', 'x'))
        """
        now = self._world
        order = tuple(axes)
        left = [r for r, name in enumerate(now.axes) if name not in order]
        if len(order) + len(left) != len(now.axes) or not set(order) <= set(now.axes):
            raise GeometryError(
                f"to_world: expected names among {now.axes!r}, in any order, got {order!r}"
            )
        moving = [now.axes[r] for r in left if any(a.column and a.column[r] for a in self._axes)]
        if moving:
            raise GeometryError(
                f"to_world: axes of the array run along {moving!r}, which therefore cannot be left "
                f"out, got {order!r}"
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


def _short(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{v:.10g}" for v in values) + ("," if len(values) == 1 else "") + ")"


refuse_setting(
    Geometry, ("shape", "spacing", "origin", "direction", "dims", "world", "frame", "unit", "lost")
)
