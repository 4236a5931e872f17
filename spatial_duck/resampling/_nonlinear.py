"""Positions that a displacement field, or a chain with one in it, bends.

Points of the output go through one step after the other: a matrix, or a field that adds to each
point the vector found there, linear between its voxels (or a B-spline of coefficients) and nothing
outside, as in ITK. Where the
points of a block still lie on straight rows the field is itself resampled onto them, which costs
nothing where the field lies on the output's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _engines as engines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.resampling._separable import Box
    from spatial_duck.transforms import BSpline, DisplacementField

    Floats = NDArray[np.float64]
    Matrix = tuple[tuple[float, ...], ...]

__all__ = ["NonlinearPart", "Step", "on_grid"]

#: Factors smaller than this are rounding errors.
_NOTHING = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A field, and the matrix that follows it.

    Attributes
    ----------
    field : DisplacementField or BSpline
        In the target's world.
    rows : tuple of int
        The coordinates that it moves, among those of the points.
    matrix, offset : ndarray of float
        ``point = matrix @ point + offset``, after the field.
    """

    field: DisplacementField | BSpline
    rows: tuple[int, ...]
    matrix: Floats
    offset: Floats


@dataclass(frozen=True, slots=True, eq=False)
class NonlinearPart:
    """How output indices become positions in the source.

    Attributes
    ----------
    matrix, offset : ndarray of float
        From output indices to the points that the first field sees.
    steps : tuple of Step
        The last one's matrix leads to source indices.
    """

    matrix: Floats
    offset: Floats
    steps: tuple[Step, ...]

    def positions(self, ranges: Box) -> Floats:
        """Return the position in the source of every voxel of a box, shape (n_sources, *box)."""
        shape = [stop - start for start, stop in ranges]
        points = _along(self.matrix, self.offset, ranges)
        if 0 in shape:
            return np.zeros((len(self.steps[-1].offset), *shape))
        for number, step in enumerate(self.steps):
            grid, rows = step.field.index_map, list(step.rows)
            if number == 0:
                straight = (grid[0] @ self.matrix[rows], grid[0] @ self.offset[rows] + grid[1])
                moved = _rows(step.field, *straight, ranges)
            else:
                index = _apply(grid[0], grid[1], points[rows])
                moved = _points(step.field, index, shape)
            for row, line in zip(rows, step.field.vectors, strict=True):
                for factor, part in zip(line, moved, strict=True):
                    if factor:
                        points[row] += factor * part
            points = _apply(step.matrix, step.offset, points)
        return points

    def bounds(
        self, _ranges: Sequence[Any], lows: Sequence[Any], highs: Sequence[Any]
    ) -> tuple[list[Any], list[Any]]:
        """Widen the bounds of straight positions by as far as the fields can move them."""
        low, high = list(lows), list(highs)
        for number, step in enumerate(self.steps):
            least, most = step.field.bound
            # What remains of the chain after this field, from its vectors to source indices.
            rest = np.eye(len(step.matrix[0]))[:, list(step.rows)]
            for later in self.steps[number:]:
                rest = later.matrix @ rest
            rest = rest @ step.field.vectors
            ends = rest[:, :, None] * np.stack([least, most], axis=-1)[None]
            low = [a + b for a, b in zip(low, ends.min(-1).sum(-1), strict=True)]
            high = [a + b for a, b in zip(high, ends.max(-1).sum(-1), strict=True)]
        return low, high

    @property
    def bent(self) -> NDArray[np.bool_]:
        """Which source axes (rows) depend on which output axes (columns) by way of a field."""
        depends = np.abs(self.matrix) > _NOTHING
        bent = np.zeros_like(depends)
        for step in self.steps:
            rows = list(step.rows)
            bent[rows] |= depends[rows].any(axis=0)
            both = np.concatenate([depends, bent], axis=1)
            both = (np.abs(step.matrix) > _NOTHING).astype(int) @ both.astype(int) > 0
            n = depends.shape[1]
            depends, bent = both[:, :n], both[:, n : 2 * n]
        return bent

    @property
    def moved(self) -> NDArray[np.bool_]:
        """Which source axes a field moves points along."""
        moved = np.zeros(len(self.offset), dtype=bool)
        for step in self.steps:
            moved[list(step.rows)] = True
            moved = (np.abs(step.matrix) > _NOTHING)[:, moved].any(axis=1)
        return moved

    def part(self, sources: Sequence[int], outs: Sequence[int]) -> NonlinearPart:
        """Return the same for some of the source axes and output axes."""
        last = self.steps[-1]
        rows = list(sources)
        last = Step(last.field, last.rows, last.matrix[rows], last.offset[rows])
        return NonlinearPart(self.matrix[:, list(outs)], self.offset, (*self.steps[:-1], last))

    @property
    def straight(self) -> tuple[Floats, Floats]:
        """Matrix and offset from output indices to source indices, the fields left out."""
        matrix, offset = self.matrix, self.offset
        for step in self.steps:
            matrix, offset = step.matrix @ matrix, step.matrix @ offset + step.offset
        return matrix, offset


def _along(matrix: Floats, offset: Floats, ranges: Box) -> Floats:
    """Return matrix @ index + offset for every index of a box, shape (n_rows, *box)."""
    points = np.empty((len(offset), *[stop - start for start, stop in ranges]))
    for row, start in enumerate(offset):
        points[row] = start
        for axis, bounds in enumerate(ranges):
            if matrix[row, axis]:
                steps = matrix[row, axis] * np.arange(*bounds)
                points[row] += steps.reshape(-1, *[1] * (len(ranges) - 1 - axis))
    return points


def _apply(matrix: Floats, offset: Floats, points: Floats) -> Floats:
    """Return matrix @ point + offset for points of shape (n, ...)."""
    out = np.empty((len(offset), *points.shape[1:]))
    for row, start in enumerate(offset):
        here = out[row, ...]
        used = [(f, part) for f, part in zip(matrix[row], points, strict=True) if f]
        if not used:
            here[...] = start
            continue
        np.multiply(used[0][1], used[0][0], out=here)
        for factor, part in used[1:]:
            here += factor * part
        if start:
            here += start
    return out


def on_grid(matrix: Floats, offset: Floats) -> bool:
    """Whether indices become indices of a field moved by whole numbers."""
    same = matrix.shape[0] == matrix.shape[1] and np.abs(matrix - np.eye(len(offset))).max() < 1e-9
    return bool(same and np.abs(offset - np.rint(offset)).max() < 1e-7)


def _rows(
    field: DisplacementField | BSpline, matrix: Floats, offset: Floats, ranges: Box
) -> NDArray[Any]:
    """Return the vectors of a field at straight rows of points, component first."""
    data = field.data
    lengths = data.shape[1:]
    if field.interpolation == "linear" and on_grid(matrix, offset):
        start = np.rint(offset)
        inside = [(int(a + s), int(b + s)) for (a, b), s in zip(ranges, start, strict=True)]
        if all(a >= 0 and b <= n for (a, b), n in zip(inside, lengths, strict=True)):
            return np.asarray(data[(slice(None), *[slice(a, b) for a, b in inside])])
    index = _along(matrix, offset, ranges)
    return _points(field, index, [b - a for a, b in ranges])


def _points(
    field: DisplacementField | BSpline, index: Floats, shape: Sequence[int]
) -> NDArray[Any]:
    """Return the vectors of a field at any points, component first; nothing outside."""
    data, box = field.part(index)
    out = np.empty((data.shape[0], *shape), data.dtype.newbyteorder("="))
    how, lengths = field.interpolation, field.data.shape[1:]
    engines.engine_for(data, out, work=how if how == "linear" else "").points(
        data, [a for a, _ in box], lengths, index, out, 0, how, False, ()
    )
    if field.margin:
        inside = np.ones(tuple(shape), dtype=bool)
        for line, n in zip(index, lengths, strict=True):
            inside &= (line >= field.margin) & (line <= n - 1 - field.margin)
        out[:, ~inside] = 0
    return out
