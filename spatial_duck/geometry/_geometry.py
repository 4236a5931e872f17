"""Where an image lies in the physical world: `Geometry`.

For the vector ``i`` of (fractional) indices along the sampled axes::

    world = origin + direction @ (spacing * i)

A geometry has a shape, so that it can be used without an array: ``geometry[10:, ::-1]`` is the
geometry of ``array[10:, ::-1]``. It is immutable and knows no arrays but NumPy's small ones.

The class holds an anchor grid and a map of integers over it (see `_map`); what it does is in free
functions beside it, each of which is a method here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, Unpack

from numpy.typing import ArrayLike, NDArray

from spatial_duck._config import current
from spatial_duck._signatures import show_keywords
from spatial_duck.geometry import _algebra as algebra
from spatial_duck.geometry import _align as align
from spatial_duck.geometry import _compare as compare
from spatial_duck.geometry import _convert as convert
from spatial_duck.geometry import _moves as moves
from spatial_duck.geometry import _points as points
from spatial_duck.geometry._construction import (
    GeometryChanges,
    Lengths,
    Units,
    anchor_of,
    changed_fields,
    check_columns,
    fields_of_affine,
)
from spatial_duck.geometry._grid import Grid
from spatial_duck.geometry._map import IndexMap, index
from spatial_duck.geometry._points import read_only
from spatial_duck.geometry._validation import refuse_setting
from spatial_duck.geometry._world import World

__all__ = ["Geometry"]

Floats = NDArray[Any]

P = ParamSpec("P")


def _move(
    function: Callable[Concatenate[IndexMap, P], IndexMap],
) -> Callable[Concatenate[Geometry, P], Geometry]:
    """Return a method that applies a function of maps."""

    @wraps(function)
    def method(self: Geometry, /, *args: P.args, **kwargs: P.kwargs) -> Geometry:
        return self._with_map(function(self._map, *args, **kwargs))

    return method


def _loss(
    function: Callable[Concatenate[IndexMap, P], IndexMap],
) -> Callable[Concatenate[Geometry, P], Geometry]:
    """Return a method that applies a function of maps that may lose positions."""

    @wraps(function)
    def method(self: Geometry, /, *args: P.args, **kwargs: P.kwargs) -> Geometry:
        return self._with_lossy_map(function(self._map, *args, **kwargs))

    return method


class Geometry(Grid):
    """Shape of an image and its position in the world.

    Parameters
    ----------
    shape : sequence of int
        Number of voxels along each array axis.
    spacing : float, sequence of float or mapping, optional
        Positive distance between neighbouring voxel centres, one for each sampled axis, in
        array-axis order, or by the axis's name. One number stands for all. Default 1. Numbers
        with a unit (pint, astropy, unyt, ``"2 um"``) are converted, or set the unit.
    origin : sequence of float or mapping, optional
        World position of the centre of the voxel at index 0, in world-axis order, or by the world
        axis's name. Default 0.
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
    lost : mapping of (int or str) to str, optional
        Array axes that are plain because a function lost their positions, and world axes along
        which the position is unknown, with the name of that function.
    affine : array_like of float, shape (n_world + 1, n_sampled + 1), optional
        Instead of spacing, origin and direction: see `from_affine`.

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
        spacing: Lengths | None = None,
        origin: Lengths | None = None,
        direction: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        *,
        sampled: Sequence[str | int] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
        lost: Mapping[Any, str] | None = None,
        affine: ArrayLike | None = None,
    ) -> None:
        if affine is not None:
            spacing, origin, direction = fields_of_affine(affine, spacing, origin, direction)
            check_columns(direction, shape, dims, sampled, lost)
        self._anchor, self._map = anchor_of(
            shape, spacing, origin, direction, dims, sampled, world, frame, unit, lost
        )
        self._kept_axes = self._kept_origin = None

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
        lost: Mapping[Any, str] | None = None,
    ) -> Self:
        """Make a geometry from a homogeneous matrix.

        Parameters
        ----------
        shape : sequence of int
            Number of voxels along each array axis.
        affine : array_like of float, shape (n_world + 1, n_sampled + 1)
            Maps indices along the sampled axes, in array-axis order and followed by 1, to world
            coordinates followed by 1. Spacing and direction are lengths and unit vectors of its
            columns.
        dims, sampled, world, frame, unit, lost
            As for `Geometry`.

        Examples
        --------
        >>> Geometry.from_affine((4, 4), [[0, -2, 6], [3, 0, 0], [0, 0, 1]]).spacing
        array([3., 2.])
        """
        return cls(
            shape, dims=dims, affine=affine, sampled=sampled, world=world, frame=frame, unit=unit,
            lost=lost,
        )  # fmt: skip

    @classmethod
    def from_corner(
        cls,
        shape: Sequence[int],
        spacing: Lengths | None = None,
        corner: Lengths | None = None,
        direction: ArrayLike | None = None,
        dims: Sequence[str | None] | None = None,
        *,
        sampled: Sequence[str | int] | None = None,
        world: World | Sequence[str] | None = None,
        frame: str | None = None,
        unit: Units | None = None,
        lost: Mapping[Any, str] | None = None,
    ) -> Self:
        """Make a geometry from the position of its corner instead of its first voxel's centre.

        Parameters
        ----------
        shape, spacing
            As for `Geometry`.
        corner : sequence of float, optional
            World position of the outer corner of the voxel at index 0, half a voxel before its
            centre along each sampled axis.
        direction, dims, sampled, world, frame, unit, lost
            As for `Geometry`.

        Examples
        --------
        >>> Geometry.from_corner((4, 4), spacing=2, corner=(0, 10)).origin
        array([ 1., 11.])
        """
        made = cls(
            shape, spacing, corner, direction, dims, sampled=sampled, world=world, frame=frame,
            unit=unit, lost=lost,
        )  # fmt: skip
        return made.replace(origin=points.place_of(made, [0.5] * made.ndim))

    @show_keywords(GeometryChanges)
    def replace(self, **changes: Unpack[GeometryChanges]) -> Self:
        """Return a geometry with some of the constructor's parameters changed.

        Parameters
        ----------
        shape, spacing, origin, direction, affine, dims, sampled : optional
            As the constructor has them. What is not given stays.
        world, frame, unit, lost : optional
            Likewise. A new frame or unit renames; `to_frame` and `to_unit` convert.

        Examples
        --------
        >>> Geometry((4, 4)).replace(spacing=(2, 1), unit="mm").spacing
        array([2., 1.])
        """
        fields, along = changed_fields(self, dict(changes))
        new = type(self)(**fields)
        if along and new.lost:
            return new._from_axes(
                new.shape, new._axes, new._origin, new.world, dict(new._anchor.lost), along
            )
        return new

    # --- attributes -----------------------------------------------------------------------

    def _repr_html_(self) -> str:
        from spatial_duck._display import _drawing

        return _drawing.html(self)

    @property
    def spacing(self) -> Floats:
        """Distance between voxel centres along each sampled axis, shape (n_sampled,)."""
        return points.spacing_of(self)

    @property
    def origin(self) -> Floats:
        """World position of the centre of the voxel at index 0, shape (n_world,)."""
        kept = self._kept_origin
        return read_only(self._origin if kept is None else kept)

    @property
    def direction(self) -> Floats:
        """Unit vector of each sampled axis, as columns, shape (n_world, n_sampled)."""
        return points.direction_of(self)

    @property
    def affine(self) -> Floats:
        """Homogeneous matrix from sampled indices to world, shape (n_world + 1, n_sampled + 1)."""
        return points.affine_of(self)

    @property
    def corner(self) -> Floats:
        """World position of the outer corner of the voxel at index 0, shape (n_world,)."""
        return points.corner_of(self)

    @property
    def center(self) -> Floats:
        """World position of the centre of the grid, shape (n_world,)."""
        return points.center_of(self)

    @property
    def bounds(self) -> Floats:
        """Lowest and highest coordinates of the voxels to their outer edges, shape (2, n_world)."""
        return points.bounds_of(self)

    @property
    def orientation(self) -> str:
        """Anatomical direction that each space axis of the array runs to, such as ``"SPL"``."""
        return points.orientation_of(self)

    # --- points ---------------------------------------------------------------------------

    index_to_physical = points.index_to_physical
    physical_to_index = points.physical_to_index
    require_positions = points.require_positions

    # --- movements of voxels ----------------------------------------------------------------

    def __getitem__(self, key: Any) -> Self:
        """Return the geometry of ``array[key]``.

        Parameters
        ----------
        key : int, slice, None, Ellipsis, array of int or bool, or a tuple of these
            Any key that NumPy takes. Arrays of int that walk the grid in even steps (and masks of
            one axis that select such a walk) keep its geometry exactly; other arrays make the
            axes that they index plain. An integer index of such an axis has a position again.

        Raises
        ------
        IndexError
            If the key does not fit the shape.
        """
        new = index(self._map, key)
        if new[3] or current()[1] != "keep":
            return self._with_lossy_map(new)
        # What `_with_map` does, for the most frequent call of all.
        made = object.__new__(self.__class__)
        made._anchor = self._anchor
        made._map = new
        made._kept_axes = made._kept_origin = None
        return made

    index = _loss(index)
    flip = _move(moves.flip)
    transpose = _move(moves.transpose)
    moveaxis = _move(moves.moveaxis)
    swapaxes = _move(moves.swapaxes)
    rot90 = _move(moves.rot90)
    pad = _move(moves.pad)
    shift = _move(moves.shift)
    resize_axis = _move(moves.resize_axis)
    with_shape = _move(moves.with_shape)
    diff = _move(moves.diff)
    window = _move(moves.window)
    diagonal = _loss(moves.diagonal)
    reduce = _move(moves.reduce)
    squeeze = _move(moves.squeeze)
    expand_dims = _move(moves.expand_dims)
    broadcast_to = _move(moves.broadcast_to)
    rename = _move(moves.rename)
    lose = _loss(moves.lose)
    mark_lost = _move(moves.mark_lost)
    unplace = _move(moves.unplace)
    take_axes = _loss(moves.take_axes)
    reshape = _loss(moves.reshape)
    repeat = convert.repeat

    # --- other worlds ---------------------------------------------------------------------

    to_frame = convert.to_frame
    to_unit = convert.to_unit
    to_world = convert.to_world

    # --- grids of one lattice -------------------------------------------------------------

    overlap = algebra.overlap
    __and__ = algebra.intersection
    __or__ = algebra.hull
    enclosing = algebra.enclosing
    snap_to = algebra.snap_to
    zoom_out = algebra.zoom_out
    zoom_to = algebra.zoom_to
    pad_to_multiple = algebra.pad_to_multiple
    transformed = algebra.transformed

    # --- several --------------------------------------------------------------------------

    isclose = compare.is_same_grid
    difference = compare.difference

    def concatenate(self, *others: Geometry, axis: int = 0) -> Geometry:
        """Return the geometry of images joined along an axis.

        Raises
        ------
        GeometryMismatchError
            If, along a sampled axis, a piece does not begin where the one before it ended.
        """
        return align.concatenate("concatenate", (self, *others), axis)


refuse_setting(
    Geometry, ("shape", "spacing", "origin", "direction", "dims", "world", "frame", "unit", "lost")
)
