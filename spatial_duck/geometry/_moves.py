"""The bare grid of an image, and where each movement of its voxels takes it.

Indexing is in `_indexing`; here is what NumPy's functions need besides. Nothing here
touches data.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from spatial_duck._config import note_loss
from spatial_duck.geometry._axes import (
    PLAIN,
    Axis,
    normalize_axes,
    normalize_axis,
    shifted,
    step_axis,
    strided,
    unique_names,
)
from spatial_duck.geometry._indexing import Indexed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


class Grid(Indexed):
    """Shape, axes and origin, and what movements of voxels make of them.

    This is the base of `Geometry`, which adds construction from what users give, the attributes,
    points and frames.
    """

    __slots__ = ()

    # --- movements ------------------------------------------------------------------------

    def flip(self, axis: Any = None) -> Self:
        """Return the geometry of ``np.flip(array, axis)``."""
        axes, origin = list(self._axes), self._origin
        for i in normalize_axes(axis, len(axes)):
            if axes[i].spacing is not None:
                origin = shifted(origin, axes[i], self._shape[i] - 1)
                axes[i] = strided(axes[i], -1)
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


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if hasattr(value, "__len__") else (value,)
