"""The bare grid of an image, and where each movement of its voxels takes it.

A grid is a shape, one `Axis` for each array axis, and the world position of the voxel at index 0.
Everything is held in tuples of Python numbers: with two to four axes these are several times
faster than arrays, and a grid is made for every slice of every image. Nothing here touches data.
"""

from __future__ import annotations

import operator
from math import hypot
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from spatial_duck.config import note_loss
from spatial_duck.keys import consumed, ellipsis_position, is_array, plain_key, too_many, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from spatial_duck.keys import Walk
    from spatial_duck.world import World

__all__ = [
    "PLAIN",
    "Axis",
    "Grid",
    "normalize_axes",
    "normalize_axis",
    "shifted",
    "step_axis",
    "unique_names",
]

Vector = tuple[float, ...]


class Axis(NamedTuple):
    """One array axis.

    Attributes
    ----------
    name : str or None
        Its name in ``dims``.
    spacing : float or None
        Distance between neighbouring voxel centres; None for a plain axis.
    column : tuple of float or None
        Unit vector along the axis, in world-axis order; None for a plain axis.
    lost : str or None
        For a plain axis that once was sampled: the function that lost its positions.
    """

    name: str | None = None
    spacing: float | None = None
    column: Vector | None = None
    lost: str | None = None


PLAIN = Axis()
_new_tuple = tuple.__new__


def _axis(name: str | None, spacing: float, column: Vector) -> Axis:
    # Twice as fast as Axis(...), which goes through a Python-level __new__.
    return _new_tuple(Axis, (name, spacing, column, None))


def shifted(origin: Vector, axis: Axis, steps: float) -> Vector:
    """Return `origin` moved by a (fractional) number of voxels along a sampled axis."""
    assert axis.spacing is not None
    assert axis.column is not None
    length = axis.spacing * steps
    return tuple([o + length * c for o, c in zip(origin, axis.column, strict=True)])


def step_axis(name: str | None, step: Vector) -> Axis:
    """Make the axis along which one index step moves by the vector `step`; plain if that is 0."""
    length = hypot(*step)
    if length == 0.0:
        return Axis(name)
    return _axis(name, length, tuple([s / length for s in step]))


def normalize_axis(axis: Any, ndim: int) -> int:
    """Return an axis as an int from 0 to ``ndim - 1``."""
    index = operator.index(axis)
    if not -ndim <= index < ndim:
        raise np.exceptions.AxisError(index, ndim)
    return index % ndim


def normalize_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Return one axis, several, or None for all, as a tuple of different ints."""
    if axis is None:
        return tuple(range(ndim))
    if axis.__class__ is int or not hasattr(axis, "__len__"):
        return (normalize_axis(axis, ndim),)
    axes = tuple([normalize_axis(a, ndim) for a in axis])
    if len(set(axes)) != len(axes):
        raise ValueError("repeated axis")
    return axes


class Grid:
    """Shape, axes and origin, and what movements of voxels make of them.

    This is the base of `Geometry`, which adds construction from what users give, the attributes,
    points and frames. Instances are immutable.
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
                            axis = _strided(axis, step)
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
            return _strided(self._axes[sampled[0]], walked.steps[sampled[0]][d])._replace(name=name)
        step = [0.0] * len(self._origin)
        for a in sampled:
            far = shifted(self._origin, self._axes[a], walked.steps[a][d])
            step = [s + f - o for s, f, o in zip(step, far, self._origin, strict=True)]
        return step_axis(name, tuple(step))

    # --- movements ------------------------------------------------------------------------

    def flip(self, axis: Any = None) -> Self:
        """Return the geometry of ``np.flip(array, axis)``."""
        axes, origin = list(self._axes), self._origin
        for i in normalize_axes(axis, len(axes)):
            if axes[i].spacing is not None:
                origin = shifted(origin, axes[i], self._shape[i] - 1)
                axes[i] = _strided(axes[i], -1)
        return self._with(self._shape, tuple(axes), origin)

    def transpose(self, axes: Sequence[int] | None = None) -> Self:
        """Return the geometry of ``np.transpose(array, axes)``; None reverses the axes."""
        shape, old = self._shape, self._axes
        if axes is None:
            return self._with(shape[::-1], old[::-1], self._origin)
        order = normalize_axes(tuple(axes), len(old))
        if len(order) != len(old):
            raise ValueError("axes don't match array")
        return self._with(
            tuple([shape[i] for i in order]), tuple([old[i] for i in order]), self._origin
        )

    def moveaxis(self, source: Any, destination: Any) -> Self:
        """Return the geometry of ``np.moveaxis(array, source, destination)``."""
        ndim = len(self._shape)
        src, dst = normalize_axes(source, ndim), normalize_axes(destination, ndim)
        if len(src) != len(dst):
            raise ValueError("`source` and `destination` must have the same number of elements")
        order = [i for i in range(ndim) if i not in src]
        for d, s in sorted(zip(dst, src, strict=True)):
            order.insert(d, s)
        return self.transpose(order)

    def swapaxes(self, axis1: int, axis2: int) -> Self:
        """Return the geometry of ``np.swapaxes(array, axis1, axis2)``."""
        order = list(range(len(self._shape)))
        i, j = normalize_axis(axis1, len(order)), normalize_axis(axis2, len(order))
        order[i], order[j] = j, i
        return self.transpose(order)

    def rot90(self, k: int = 1, axes: Sequence[int] = (0, 1)) -> Self:
        """Return the geometry of ``np.rot90(array, k, axes)``."""
        first, second = normalize_axes(axes, len(self._shape))
        match k % 4:
            case 0:
                return self
            case 1:
                return self.flip(second).swapaxes(first, second)
            case 2:
                return self.flip((first, second))
            case _:
                return self.swapaxes(first, second).flip(second)

    def pad(self, pad_width: Any) -> Self:
        """Return the geometry of ``np.pad(array, pad_width)``, whatever the padded values are.

        Parameters
        ----------
        pad_width : int, (before, after), one such pair for each axis, or dict of them by axis
            Voxels added before and after, as `numpy.pad` takes them. May be negative, which crops.
        """
        ndim = len(self._shape)
        if isinstance(pad_width, dict):
            widths = [(0, 0)] * ndim
            for a, width in pad_width.items():
                before, after = np.broadcast_to(np.asarray(width), 2).tolist()
                widths[normalize_axis(a, ndim)] = (before, after)
        else:
            pairs = np.broadcast_to(np.asarray(pad_width), (ndim, 2)).tolist()
            widths = [(int(before), int(after)) for before, after in pairs]
        origin = self._origin
        for axis, (before, _) in zip(self._axes, widths, strict=True):
            if before and axis.spacing is not None:
                origin = shifted(origin, axis, -before)
        shape = tuple([n + b + a for n, (b, a) in zip(self._shape, widths, strict=True)])
        return self._with(shape, self._axes, origin)

    def repeat(self, repeats: int, axis: int) -> Self:
        """Return the geometry of ``np.repeat(array, repeats, axis)`` for one number of repeats.

        Each voxel is cut into `repeats` thinner ones, which fill the same extent.
        """
        i = normalize_axis(axis, len(self._shape))
        shape = (*self._shape[:i], self._shape[i] * repeats, *self._shape[i + 1 :])
        old = self._axes[i]
        if old.spacing is None or repeats < 1:
            return self._with(shape, self._axes, self._origin)
        new = old._replace(spacing=old.spacing / repeats)
        axes = (*self._axes[:i], new, *self._axes[i + 1 :])
        return self._with(shape, axes, shifted(self._origin, new, -(repeats - 1) / 2))

    def reduce(self, axis: Any = None, keepdims: bool = False) -> Self:
        """Return the geometry of a reduction such as ``array.sum(axis, keepdims=keepdims)``.

        The origin moves to the centre of the extent that is reduced. With `keepdims` a single
        voxel as thick as that extent stays.
        """
        shape, axes, origin = self._shape, self._axes, self._origin
        if axis.__class__ is int and not keepdims:  # the common case
            i = normalize_axis(axis, len(shape))
            old = axes[i]
            if old[1] is not None and shape[i] != 1:
                origin = shifted(origin, old, (shape[i] - 1) / 2)
            return self._with(shape[:i] + shape[i + 1 :], axes[:i] + axes[i + 1 :], origin)
        reduced = normalize_axes(axis, len(shape))
        out_axes = list(axes)
        for i in reduced:
            old = axes[i]
            if old.spacing is not None:
                origin = shifted(origin, old, (shape[i] - 1) / 2)
                out_axes[i] = old._replace(spacing=old.spacing * max(shape[i], 1))
        if keepdims:
            ones = tuple([1 if i in reduced else n for i, n in enumerate(shape)])
            return self._with(ones, tuple(out_axes), origin)
        stay = [i for i in range(len(shape)) if i not in reduced]
        return self._with(tuple([shape[i] for i in stay]), tuple([axes[i] for i in stay]), origin)

    def expand_dims(self, axis: Any) -> Self:
        """Return the geometry of ``np.expand_dims(array, axis)``: the new axes are plain."""
        count = 1 if axis.__class__ is int or not hasattr(axis, "__len__") else len(axis)
        added = normalize_axes(axis, len(self._shape) + count)
        shape, axes = list(self._shape), list(self._axes)
        for i in sorted(added):
            shape.insert(i, 1)
            axes.insert(i, PLAIN)
        return self._with(tuple(shape), tuple(axes), self._origin)

    def squeeze(self, axis: Any = None) -> Self:
        """Return the geometry of ``np.squeeze(array, axis)``."""
        if axis is None:
            axis = tuple([i for i, n in enumerate(self._shape) if n == 1])
        gone = normalize_axes(axis, len(self._shape))
        if any(self._shape[i] != 1 for i in gone):
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
        stay = [i for i in range(len(self._shape)) if i not in gone]
        return self._with(
            tuple([self._shape[i] for i in stay]),
            tuple([self._axes[i] for i in stay]),
            self._origin,
        )

    def diff(self, n: int = 1, axis: int = -1) -> Self:
        """Return the geometry of ``np.diff(array, n, axis)``: between the voxels it subtracts."""
        i = normalize_axis(axis, len(self._shape))
        count = max(self._shape[i] - n, 0)
        shape = (*self._shape[:i], count, *self._shape[i + 1 :])
        old = self._axes[i]
        origin = self._origin if old.spacing is None else shifted(self._origin, old, n / 2)
        return self._with(shape, self._axes, origin)

    def window(self, window_shape: Any, axis: Any = None) -> Self:
        """Return the geometry of ``sliding_window_view(array, window_shape, axis)``.

        The window axes come last, without a name, and are sampled with the step of the axis that
        they slide along: the point of ``[outer, inner]`` is the place of the voxel that is there.
        """
        sizes = (window_shape,) if not hasattr(window_shape, "__len__") else tuple(window_shape)
        along = (
            tuple(range(len(self._shape)))
            if axis is None
            else tuple([normalize_axis(a, len(self._shape)) for a in _as_tuple(axis)])
        )
        if len(sizes) != len(along):
            raise ValueError(
                f"Must provide matching length window_shape and axis; got {len(sizes)} "
                f"window_shape elements and {len(along)} axes elements."
            )
        shape = list(self._shape)
        for i, size in zip(along, sizes, strict=True):
            if size < 0:
                raise ValueError("`window_shape` cannot contain negative values")
            if shape[i] < size:
                raise ValueError("window shape cannot be larger than input array shape")
            shape[i] -= size - 1
        inner = tuple([self._axes[i]._replace(name=None) for i in along])
        return self._with((*shape, *map(int, sizes)), self._axes + inner, self._origin)

    def resize_axis(self, axis: int, size: int) -> Self:
        """Return the geometry with another number of voxels along an axis, from the same start."""
        i = normalize_axis(axis, len(self._shape))
        shape = (*self._shape[:i], size, *self._shape[i + 1 :])
        return self._with(shape, self._axes, self._origin)

    def broadcast_to(self, shape: Sequence[int]) -> Self:
        """Return the geometry of ``np.broadcast_to(array, shape)``.

        New axes are plain, and so is an axis of length 1 that is stretched: all its voxels lie in
        one place.
        """
        out = tuple([operator.index(n) for n in _as_tuple(shape)])
        extra = len(out) - len(self._shape)
        if extra < 0 or any(n not in (1, m) for n, m in zip(self._shape, out[extra:], strict=True)):
            raise ValueError(f"shape {self._shape} cannot be broadcast to {out}")
        axes = [
            axis if n == m else Axis(None, None, None, axis.lost)
            for n, m, axis in zip(self._shape, out[extra:], self._axes, strict=True)
        ]
        return self._with(out, (PLAIN,) * extra + tuple(axes), self._origin)

    # --- losing positions -----------------------------------------------------------------

    def lose(self, axis: Any, function: str, *, shape: Sequence[int] | None = None) -> Self:
        """Make axes plain, noting which function lost their positions.

        Parameters
        ----------
        axis : int, sequence of int or None
            The axes; None for all.
        function : str
            Its name, for `lost` and for the errors of operations that need the positions.
        shape : sequence of int, optional
            The shape of the result, with as many axes, where the function changes it.

        Returns
        -------
        Geometry
            The origin is moved to the centre of the extent along the axes that are lost.
        """
        axes, origin = list(self._axes), self._origin
        for i in normalize_axes(axis, len(axes)):
            old = axes[i]
            if old.spacing is not None:
                note_loss(function, i, old.name)
                origin = shifted(origin, old, (self._shape[i] - 1) / 2)
                axes[i] = Axis(old.name, None, None, function)
        return self._with(self._shape if shape is None else tuple(shape), tuple(axes), origin)

    def take_axes(self, shape: Sequence[int], sources: Iterable[int | None], function: str) -> Self:
        """Build the geometry of a result whose axes are some of these axes, or new ones.

        Parameters
        ----------
        shape : sequence of int
            Shape of the result.
        sources : iterable of (int or None)
            For each axis of the result, the axis of this grid that it is, whole and in order, or
            None for an axis whose positions are lost.
        function : str
            The function that builds it.

        Returns
        -------
        Geometry
            The origin is moved to the centre of the extent along the axes that do not survive.
        """
        sources = tuple(sources)
        kept = {i for i in sources if i is not None}
        origin, lost = self._origin, None
        for i, axis in enumerate(self._axes):
            if i in kept:
                continue
            if axis.spacing is not None:
                origin = shifted(origin, axis, (self._shape[i] - 1) / 2)
                if None in sources:
                    note_loss(function, i, axis.name)
                    lost = function
            elif axis.lost:
                lost = lost or axis.lost
        new = Axis(None, None, None, lost)
        axes = tuple([new if i is None else self._axes[i] for i in sources])
        return self._with(tuple(shape), axes, origin)

    def reshape(self, shape: Sequence[int], function: str = "reshape", order: str = "C") -> Self:
        """Return the geometry of ``array.reshape(shape)``.

        An axis that stands alone before and after, with the same length, keeps its geometry;
        axes of length 1 come and go; all others are lost.

        Parameters
        ----------
        shape : sequence of int
            The new shape, without -1.
        function : str, optional
            Name under which lost axes are noted.
        order : {"C", "F"}, optional
            Which axis runs fastest.
        """
        if order == "F":
            back = self.transpose().reshape(tuple(shape)[::-1], function)
            return back.transpose()
        new, old = tuple(shape), self._shape
        sources: list[int | None] = [None] * len(new)
        fresh: set[int] = set()  # axes of length 1 that are new, not lost
        i = j = 0
        while i < len(old) or j < len(new):
            if i < len(old) and j < len(new) and old[i] == new[j]:
                sources[j] = i
                i, j = i + 1, j + 1
                continue
            if j < len(new) and new[j] == 1:
                fresh.add(j)
                j += 1
                continue
            if i < len(old) and old[i] == 1:
                i += 1
                continue
            if i >= len(old) or j >= len(new):
                break
            # Take axes on both sides until the two groups hold as many voxels.
            left, right = old[i], new[j]
            i, j = i + 1, j + 1
            while left != right and (i < len(old) or j < len(new)):
                if (left < right and i < len(old)) or j >= len(new):
                    left *= old[i]
                    i += 1
                else:
                    right *= new[j]
                    j += 1
        result = self.take_axes(new, sources, function)
        if not fresh:
            return result
        axes = tuple([PLAIN if j in fresh else a for j, a in enumerate(result._axes)])
        return self._with(result._shape, axes, result._origin)


def _strided(axis: Axis, step: int) -> Axis:
    """Return a sampled axis walked in steps of `step` voxels; a plain one as it is."""
    if axis.spacing is None or step == 1:
        return axis
    assert axis.column is not None
    if step < 0:
        # 0.0 - c, because -c would turn 0.0 into -0.0.
        return _axis(axis.name, axis.spacing * -step, tuple([0.0 - c for c in axis.column]))
    return _axis(axis.name, axis.spacing * step, axis.column)


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if hasattr(value, "__len__") else (value,)


def unique_names(axes: Sequence[Axis]) -> tuple[Axis, ...]:
    """Drop a name that an earlier axis has already."""
    seen: set[str] = set()
    out = []
    for axis in axes:
        if axis.name is not None and axis.name in seen:
            axis = axis._replace(name=None)
        elif axis.name is not None:
            seen.add(axis.name)
        out.append(axis)
    return tuple(out)
