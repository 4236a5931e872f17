"""What a grid says of its place: its numbers, and the way between indices and points.

For the vector ``i`` of (fractional) indices along the sampled axes::

    world = origin + direction @ (spacing * i)

This is the base of `Geometry`.
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import FrameError, GeometryError, GeometryLossError
from spatial_duck.geometry._moves import Grid
from spatial_duck.geometry._validation import MAX_CONDITION, condition
from spatial_duck.geometry._world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Located"]


class Located(Grid):
    """Spacing, origin and direction of a grid, and points for indices."""

    __slots__ = ()

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


def _frozen(values: Any) -> Floats:
    array: Floats = np.array(values, dtype=np.float64)
    array.setflags(write=False)
    return array
