"""The grid of an image, and what an index makes of it.

A grid is a shape, one `Axis` for each array axis, and the world position of the voxel at index 0.
Nothing here touches data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from spatial_duck._config import note_loss
from spatial_duck.geometry._axes import (
    PLAIN,
    Axis,
    Vector,
    shifted,
    step_axis,
    strided,
    unique_names,
)
from spatial_duck.geometry._keys import (
    consumed,
    ellipsis_position,
    is_array,
    plain_key,
    too_many,
    walk,
)

if TYPE_CHECKING:
    from spatial_duck.geometry._keys import Walk
    from spatial_duck.geometry._world import World

__all__ = ["Indexed"]


class Indexed:
    """Shape, axes and origin, and what an index makes of them.

    This is the base of `Grid`, which adds the other movements. Instances are immutable.
    """

    __slots__ = ("__weakref__", "_axes", "_origin", "_shape", "_world")

    _shape: tuple[int, ...]
    _axes: tuple[Axis, ...]
    _origin: Vector
    _world: World

    def _with(self, shape: tuple[int, ...], axes: tuple[Axis, ...], origin: Vector) -> Self:
        """Make a grid in the same world."""
        new = object.__new__(self.__class__)
        new._shape = shape
        new._axes = axes
        new._origin = origin
        new._world = self._world
        return new

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels along each array axis."""
        return self._shape

    @property
    def ndim(self) -> int:
        """Number of array axes."""
        return len(self._shape)

    @property
    def world(self) -> World:
        """The world coordinates: names, units and frame."""
        return self._world

    # --- indexing -------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Self:
        """Return the geometry of ``array[key]``.

        Parameters
        ----------
        key : int, slice, None, Ellipsis, array of int or bool, or a tuple of these
            Any key that NumPy takes. Arrays of int that walk the grid in even steps (and masks of
            one axis that select such a walk) keep its geometry exactly; other arrays make the
            axes that they index plain.

        Raises
        ------
        IndexError
            If the key does not fit the shape.
        """
        keys = key if key.__class__ is tuple else (key,)
        shape, old = self._shape, self._axes
        origin = self._origin
        ndim = len(shape)
        out_shape: list[int] = []
        out_axes: list[Axis] = []
        lost: str | None = None  # by what, where the axis that an int takes away has no positions
        i = 0
        for k in keys:
            cls = k.__class__
            if cls is slice:
                if i >= ndim:
                    raise too_many(ndim, keys)
                axis = old[i]
                if k.start is None and k.stop is None and k.step is None:
                    out_shape.append(shape[i])
                else:
                    start, stop, step = k.indices(shape[i])
                    out_shape.append(len(range(start, stop, step)))
                    spacing = axis[1]
                    if spacing is not None:
                        column = axis[2]
                        if start:
                            length = spacing * start
                            pairs = zip(origin, column, strict=True)  # type: ignore[arg-type]
                            origin = tuple([o + length * c for o, c in pairs])
                        if step != 1:
                            axis = strided(axis, step)
                out_axes.append(axis)
                i += 1
            elif cls is int:
                if i >= ndim:
                    raise too_many(ndim, keys)
                n = shape[i]
                if k < 0:
                    k += n
                if not 0 <= k < n:
                    raise IndexError(f"index {k} is out of bounds for axis {i} with size {n}")
                axis = old[i]
                if k and axis[1] is not None:
                    origin = shifted(origin, axis, k)
                lost = lost or axis[3]
                i += 1
            elif k is None:
                out_shape.append(1)
                out_axes.append(PLAIN)
            elif k is Ellipsis:
                rest = keys[ellipsis_position(keys) + 1 :]
                end = ndim - sum(consumed(r) for r in rest)
                if end < i:
                    raise too_many(ndim, keys)
                out_shape += shape[i:end]
                out_axes += old[i:end]
                i = end
            else:
                return self._index_general(keys)
        if i < ndim:
            out_shape += shape[i:]
            out_axes += old[i:]
        result = self._with(tuple(out_shape), tuple(out_axes), origin)
        return result if lost is None else result._astray(lost)

    def _astray(self, function: str) -> Self:
        """Make all axes plain: along an axis that went away, nobody knows where this lies."""
        lost, origin = [], self._origin
        for n, axis in zip(self._shape, self._axes, strict=True):
            if axis.spacing is None:
                lost.append(axis)
            else:
                origin = shifted(origin, axis, (n - 1) / 2)
                lost.append(Axis(axis.name, None, None, function))
        return self._with(self._shape, tuple(lost), origin)

    def _index_general(self, keys: tuple[Any, ...], function: str = "indexing") -> Self:
        """Index with NumPy integers, arrays and masks among the keys, as part of a function."""
        keys = tuple([plain_key(k) for k in keys])
        if not any(map(is_array, keys)):
            return self[keys]
        walked = walk(self._shape, keys)
        kept = self[walked.basic]
        taken = {a: self._axes[a] for a in walked.taken}
        # For each new axis, the function that lost the positions along it, if any.
        lost_along = [self._lost_along(walked, d, function) for d in range(len(walked.block))]
        origin = kept._origin
        for a, old in taken.items():
            if old.spacing is None:
                continue
            if a not in walked.even:
                note_loss(function, a, old.name)
                origin = shifted(origin, old, (self._shape[a] - 1) / 2)
                continue
            middle = 0.0
            for step, n, lost in zip(walked.steps[a], walked.block, lost_along, strict=True):
                if lost and step and n > 1:
                    note_loss(function, a, old.name)
                    middle += step * (n - 1) / 2
            origin = shifted(origin, old, walked.starts[a] + middle)
        new_axes = [self._new_axis(walked, d, lost) for d, lost in enumerate(lost_along)]
        # The taken axes stand in `basic` as full slices: find them again in the result.
        held, i = [], 0
        for n, k in enumerate(walked.basic):
            if k is not None:
                if i in taken:
                    held.append(n)
                i += 1
        shape = [n for i, n in enumerate(kept._shape) if i not in held]
        axes = [a for i, a in enumerate(kept._axes) if i not in held]
        shape[walked.place : walked.place] = walked.block
        axes[walked.place : walked.place] = new_axes
        result = self._with(tuple(shape), unique_names(axes), origin)
        gone = [
            old.lost for a, old in taken.items() if a in walked.even and not any(walked.steps[a])
        ]
        lost = next((function for function in gone if function), None)
        return result if lost is None else result._astray(lost)

    def _lost_along(self, walked: Walk, d: int, function: str) -> str | None:
        """Return the function that loses the positions along axis `d` of an advanced index."""
        irregular = [self._axes[a] for a in walked.varying if walked.varying[a][d]]
        if any(axis.spacing is not None for axis in irregular):
            return function
        moving = [self._axes[a] for a in walked.taken if a in walked.even and walked.steps[a][d]]
        return next((axis.lost for axis in (*irregular, *moving) if axis.lost), None)

    def _new_axis(self, walked: Walk, d: int, lost: str | None) -> Axis:
        """Make the axis `d` of an advanced index: possibly along a diagonal."""
        irregular = [a for a in walked.varying if walked.varying[a][d]]
        moving = [a for a in walked.taken if a in walked.even and walked.steps[a][d]]
        name = None
        if len(irregular) + len(moving) == 1:
            # The axis is still the one that moves along it, unless it was cut into several.
            a = (irregular or moving)[0]
            name = self._axes[a].name if not irregular or sum(walked.varying[a]) == 1 else None
        if lost:
            return Axis(name, None, None, lost)
        sampled = [a for a in moving if self._axes[a].spacing is not None]
        if len(sampled) == 1:
            return strided(self._axes[sampled[0]], walked.steps[sampled[0]][d])._replace(name=name)
        step = [0.0] * len(self._origin)
        for a in sampled:
            far = shifted(self._origin, self._axes[a], walked.steps[a][d])
            step = [s + f - o for s, f, o in zip(step, far, self._origin, strict=True)]
        return step_axis(name, tuple(step))
