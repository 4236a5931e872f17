"""The class of rules, their registries, and helpers to write them.

A rule gives the geometry of the results of NumPy functions. It is a function whose parameters are
those of NumPy's that it reads, by NumPy's names; it is called with the caller's arguments, except
that each image is replaced by its `Geometry` (bare arrays come as they are), and returns

- a `Geometry`: that of the array that NumPy returns,
- a tuple or list of them (None among them for a bare array): where NumPy returns several arrays,
- None: what NumPy returns is not an image and is returned as it is,
- a function that returns one of these: called with NumPy's result, and the bare data of the images,
  where the result's shape depends on what a caller's function returns. It may look at shapes and
  addresses, never at values.

It never sees data, and it raises before anything is computed or written. A length that depends on
values that are not computed yet is NaN.

Functions with the same effect share a rule: ``image`` and ``other`` stand for the first
and the second parameter, whatever NumPy calls them, and ``name`` for the function's name.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck._config import current, note_loss
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as alignment
from spatial_duck.rules._bind import AXIS_PARAMETERS, NO_VALUE, bind, parameters_of, positions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CREATES",
    "NO_VALUE",
    "REFUSED",
    "RULES",
    "UNKNOWN",
    "Kind",
    "Rule",
    "check_aligned_except",
    "common_grid",
    "elementwise",
    "elementwise_geometry",
    "existing",
    "geometries",
    "geometry_or_none",
    "index_geometry",
    "is_known",
    "loss_of_all",
    "refuse",
    "rule",
    "shape_of",
    "unplaced",
]

#: What a function does with voxels: it moves them exactly; keeps the grid; derives a new grid
#: from it; leaves axes without positions or returns no image; is refused.
Kind = Literal["moves", "keeps", "derives", "plain", "refuses"]

#: A length that depends on values.
UNKNOWN: Any = float("nan")


class Rule(NamedTuple):
    """What one function does to geometry.

    Attributes
    ----------
    kind : Kind
        The family that the function belongs to.
    geometry : callable
        The rule, called with NumPy's arguments.
    deferrable : bool
        Whether, for one image and plain arguments, it can neither fail where NumPy does not nor
        lose anything, so that it may run when the geometry is first asked for.
    out : int
        Position of the parameter `out`, or -1.
    axes : tuple of (int, str)
        Position and name of each parameter that is an axis, which may be given by name.
    adds_axes : bool
        Whether these are positions of new axes.
    source : callable
        The rule as it is written.
    """

    kind: Kind
    geometry: Callable[..., Any]
    deferrable: bool
    out: int
    axes: tuple[tuple[int, str], ...]
    adds_axes: bool
    source: Callable[..., Any]


#: The rule of each function.
RULES: dict[Any, Rule] = {}
#: Why a function is refused, and what to do instead.
REFUSED: dict[Any, str] = {}
#: The functions with ``like=``, which make a new array of the kind of an image's data.
CREATES = frozenset(
    getattr(np, name)
    for name in (
        "arange array asanyarray asarray ascontiguousarray asfortranarray empty eye frombuffer "
        "fromfile fromfunction fromiter fromstring full genfromtxt identity loadtxt ones require "
        "tri zeros"
    ).split()
)


# --- registration -------------------------------------------------------------------------


def existing(module: Any, names: str) -> list[Any]:
    """Return the functions of a module that this version of NumPy has."""
    return [getattr(module, name) for name in names.split() if hasattr(module, name)]


def rule(
    kind: Kind, *functions: Any, deferrable: bool = False, adds_axes: bool = False, reads: str = ""
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated rule for some functions; each may have one only.

    Parameters
    ----------
    kind : Kind
        What the functions do with voxels.
    *functions
        NumPy's functions.
    deferrable, adds_axes
        As of `Rule`.
    reads : str, optional
        The parameters that the rule gets in its ``*operands``, apart by spaces.
    """

    def enter(source: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            _check_new(function)
            parameters = parameters_of(function)
            positions = positions_of(parameters)
            axes = [(n, name) for name, n in positions.items() if name in AXIS_PARAMETERS]
            RULES[function] = Rule(
                kind,
                bind(function.__name__, parameters, source, reads.split()),
                deferrable,
                positions.get("out", -1),
                tuple(axes),
                adds_axes,
                source,
            )
        return source

    return enter


def elementwise(reads: str, *functions: Any, deferrable: bool = False) -> None:
    """Register functions whose result has a value for each voxel of arguments that broadcast."""
    rule("keeps", *functions, deferrable=deferrable, reads=reads)(common_grid)


def common_grid(name: str, *operands: Any) -> Geometry | None:
    """Return the grid on which all images lie, or None where there are none."""
    return elementwise_geometry(name, *operands) if geometries(*operands) else None


def refuse(reason: str, *functions: Any) -> None:
    """Register functions that refuse images.

    Parameters
    ----------
    reason : str
        Why, and what to do instead; the end of a sentence that begins with the function's name.
    *functions
        The functions.
    """
    for function in functions:
        _check_new(function)
        REFUSED[function] = reason


def _check_new(function: Any) -> None:
    if function in RULES or function in REFUSED:
        raise RuntimeError(f"{function!r} has a rule already")


# --- helpers of rules ---------------------------------------------------------------------


def geometry_or_none(image: Any) -> Geometry | None:
    """Return a geometry as it is, and None for a bare array."""
    return image if image.__class__ is Geometry else None


def shape_of(array: Any) -> tuple[int, ...]:
    """Return the shape of an argument of a rule: a geometry, an array or an array-like."""
    shape = getattr(array, "shape", None)
    if isinstance(shape, tuple):
        return shape
    if isinstance(array, list | tuple) and geometries(*array):
        return (len(array), *shape_of(array[0]))
    return np.shape(array)


def is_known(value: Any) -> bool:
    """Whether the values of an index can be looked at: NumPy's, Python's, and no image's."""
    return isinstance(value, int | slice | list | tuple | range | np.integer | np.ndarray)


def geometries(*arguments: Any) -> list[Geometry]:
    """Return the geometries among arguments, those in lists and tuples too."""
    found = []
    for argument in arguments:
        if argument.__class__ is Geometry:
            found.append(argument)
        elif isinstance(argument, (list, tuple)):
            found += geometries(*argument)
    return found


#: Types of arguments that do not contribute to the shape of a result.
_SHAPELESS_TYPES = frozenset({Geometry, type(None), int, float, bool, complex, type(NO_VALUE)})


def elementwise_geometry(function: str, *arguments: Any) -> Geometry:
    """Return the geometry of an elementwise function of several arrays, one of them an image.

    Bare arrays and scalars count by their shapes, and None is passed over.

    Raises
    ------
    GeometryMismatchError
        If two geometries are not one grid.
    """
    grids = [a for a in arguments if a.__class__ is Geometry]
    grid = grids[0] if len(grids) == 1 else alignment.broadcast(function, grids)
    if len(grids) == len(arguments):
        return grid
    shapes = [shape_of(a) for a in arguments if a.__class__ not in _SHAPELESS_TYPES]
    if not any(shapes):
        return grid
    shape = np.broadcast_shapes(grid.shape, *shapes)
    return grid if shape == grid.shape else grid.broadcast_to(shape)


def check_aligned_except(function: str, axis: int, *grids: Any) -> None:
    """Check that images lie on one grid, apart from their positions along one axis.

    Raises
    ------
    GeometryMismatchError
        If they do not.
    """
    found = [g for g in grids if g.__class__ is Geometry]
    for other in found[1:]:
        # An axis of length 1 in one of them is not compared.
        pair = (found[0].resize_axis(axis, 2), other.resize_axis(axis, 1))
        alignment.broadcast(function, pair)


def index_geometry(grid: Geometry, key: tuple[Any, ...], function: str) -> Geometry:
    """Return ``grid[key]``; axes that it loses are noted with the name of a function."""
    key = tuple([_UnknownIndex(k.shape) if isinstance(k, Geometry) else k for k in key])
    return grid.index(key, function)


class _UnknownIndex:
    """An index array with unknown values."""

    dtype = "int"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)


@cache
def _unplaced_voxel(ndim: int, function: str = "") -> Geometry:
    """Return the geometry of one voxel without positions, lost by a function if one is given."""
    lost = dict.fromkeys(range(ndim), function) if function else None
    return Geometry((1,) * ndim, dims=(None,) * ndim, lost=lost)


def unplaced(shape: Sequence[int]) -> Geometry:
    """Return the geometry of an array without positions: axes are plain and have no names."""
    return _unplaced(tuple(shape))


@lru_cache(maxsize=256)
def _unplaced(shape: tuple[int, ...]) -> Geometry:
    return _unplaced_voxel(len(shape)).with_shape(shape)


@lru_cache(maxsize=256)
def _all_lost(function: str, shape: tuple[int, ...]) -> Geometry:
    return _unplaced_voxel(len(shape), function).with_shape(shape)


def loss_of_all(function: str, source: Geometry, *shapes: tuple[int, ...]) -> Any:
    """Return the geometry of each result that holds values of an image without their positions.

    It is in no world, and all its axes are plain, lost by the function.
    """
    if current().on_loss != "keep":
        for i in source.sampled_axes:
            note_loss(function, i, source.dims[i])
    made = [_all_lost(function, shape) for shape in shapes]
    return made[0] if len(made) == 1 else tuple(made)
