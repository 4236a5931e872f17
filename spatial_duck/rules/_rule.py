"""What a rule is, and the tables that rules stand in.

A rule says what one NumPy function does to geometry. It is a function with NumPy's own parameters;
it is called with the caller's arguments, except that each image is replaced by its `Geometry`
(bare arrays come as they are), and returns

- a `Geometry`: that of the array that NumPy returns,
- a tuple or list of them (None among them for a bare array): where NumPy returns several arrays,
- None: what NumPy returns is no image and is handed on as it is,
- a function that returns one of these: called with NumPy's result, and the bare data of the images,
  where the result's shape depends on what a caller's function returns. It may look at shapes and
  addresses, never at values.

It never sees data, and it raises before anything is computed or written. A length that only
computing can tell is NaN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck._config import note_loss
from spatial_duck.geometry import Geometry
from spatial_duck.geometry import _align as mixing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "CREATES",
    "NO",
    "REFUSED",
    "RULES",
    "UNKNOWN",
    "Kind",
    "Rule",
    "across",
    "each",
    "geometries",
    "indexed",
    "named",
    "only",
    "refuse",
    "rule",
    "shape_of",
    "together",
    "unplaced",
    "values",
]

#: What a function does with voxels: it moves them exactly; keeps the grid; derives a new grid
#: from it; leaves axes without positions or returns no image; is refused.
Kind = Literal["moves", "keeps", "derives", "plain", "refuses"]

#: A length that only computing can tell.
UNKNOWN: Any = float("nan")
#: NumPy's default of parameters that may be left out.
NO: Any = np._NoValue


#: The geometry of a number that lies in no world.
NOWHERE = Geometry(())


class Rule(NamedTuple):
    """What one function does to geometry.

    Attributes
    ----------
    kind : Kind
        The family that the function belongs to.
    geometry : callable
        The rule itself.
    deferrable : bool
        Whether, for one image and plain arguments, it can neither fail where NumPy does not nor
        lose anything, so that it may run when the geometry is first asked for.
    out : int
        Position of the parameter `out`, or -1.
    """

    kind: Kind
    geometry: Callable[..., Any]
    deferrable: bool = False
    out: int = -1


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


def named(module: Any, *names: str) -> list[Any]:
    """Return the functions of a module that this version of NumPy has."""
    return [getattr(module, name) for name in names if hasattr(module, name)]


def rule(
    kind: Kind, *functions: Any, deferrable: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated rule for some functions; each may have one only."""

    def enter(geometry: Callable[..., Any]) -> Callable[..., Any]:
        code = geometry.__code__
        positional = code.co_varnames[: code.co_argcount]
        out = positional.index("out") if "out" in positional else -1
        for function in functions:
            if function in RULES or function in REFUSED:
                raise RuntimeError(f"{function!r} has a rule already")
            RULES[function] = Rule(kind, geometry, deferrable, out)
        return geometry

    return enter


def each(
    kind: Kind, *functions: Any, deferrable: bool = False
) -> Callable[[Callable[[str], Callable[..., Any]]], Callable[..., Any]]:
    """Enter rules that differ in the function's name alone; the decorated makes one for a name."""

    def enter(make: Callable[[str], Callable[..., Any]]) -> Callable[..., Any]:
        for function in functions:
            rule(kind, function, deferrable=deferrable)(make(function.__name__))
        return make

    return enter


def refuse(reason: str, *functions: Any) -> None:
    """Enter functions that images do not take part in.

    Parameters
    ----------
    reason : str
        Why, and what to do instead; the end of a sentence that begins with the function's name.
    *functions
        The functions.
    """
    for function in functions:
        if function in RULES or function in REFUSED:
            raise RuntimeError(f"{function!r} has a rule already")
        REFUSED[function] = reason


def only(a: Any) -> Geometry | None:
    """Return a geometry, or None for a bare array, whose results are bare as well."""
    return a if a.__class__ is Geometry else None


def shape_of(array: Any) -> tuple[int, ...]:
    """Return the shape of an argument of a rule: a geometry, a bare array or what becomes one."""
    shape = getattr(array, "shape", None)
    if isinstance(shape, tuple):
        return shape
    if isinstance(array, list | tuple) and geometries(*array):
        return (len(array), *shape_of(array[0]))
    return np.shape(array)


def geometries(*arguments: Any) -> list[Geometry]:
    """Return the geometries among arguments, those in lists and tuples too."""
    found = []
    for argument in arguments:
        if isinstance(argument, Geometry):
            found.append(argument)
        elif isinstance(argument, list | tuple):
            found += geometries(*argument)
    return found


#: Arguments that do not take part in the shape of a result.
_WITHOUT_SHAPE = frozenset({Geometry, type(None), int, float, bool, complex})


def together(function: str, *arguments: Any, shape: Sequence[int] | None = None) -> Geometry:
    """Return the geometry of an elementwise function of several arrays.

    Parameters
    ----------
    function : str
        Its name, for errors.
    *arguments
        Geometries, bare arrays and scalars; None is passed over. At least one is a geometry.
    shape : sequence of int, optional
        Shape of the result, where it is known.

    Raises
    ------
    GeometryMismatchError
        If two geometries are not one grid.
    """
    grids = [a for a in arguments if a.__class__ is Geometry]
    grid = grids[0] if len(grids) == 1 else mixing.broadcast(function, grids)
    if shape is None:
        shapes = [shape_of(a) for a in arguments if a.__class__ not in _WITHOUT_SHAPE]
        if not any(shapes):
            return grid
        shape = np.broadcast_shapes(grid.shape, *shapes)
    return grid if shape == grid.shape else grid.broadcast_to(shape)


def indexed(grid: Geometry, key: tuple[Any, ...], function: str) -> Geometry:
    """Return ``grid[key]`` as part of a function, whose name stands with the axes it loses."""
    key = tuple([_unseen(k) for k in key])
    return grid.index(key, function)


class _Unseen:
    """An index array whose values are not to be looked at."""

    dtype = "int"

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self.ndim = shape, len(shape)


def _unseen(key: Any) -> Any:
    return _Unseen(key.shape) if isinstance(key, Geometry) else key


def across(function: str, axis: int, *grids: Any) -> None:
    """Check that images lie on one grid, but for what lies along one axis.

    Raises
    ------
    GeometryMismatchError
        If they do not.
    """
    found = [g for g in grids if g.__class__ is Geometry]
    for other in found[1:]:
        # A length of 1 against another leaves the axis out of the comparison.
        mixing.broadcast(function, (found[0].resize_axis(axis, 2), other.resize_axis(axis, 1)))


def unplaced(shape: Sequence[int]) -> Geometry:
    """Return the geometry of an array that lies nowhere: its axes are plain and have no names."""
    shape = tuple(shape)
    return Geometry(shape, dims=(None,) * len(shape))


def values(function: str, source: Geometry, *shapes: Sequence[int], axes: Any = None) -> Any:
    """Return the geometry of results that hold values of an image and no longer its voxels.

    Parameters
    ----------
    function : str
        Its name, for `Geometry.lost`.
    source : Geometry
        The image.
    *shapes : sequence of int
        Shape of each result.
    axes : sequence of int, optional
        The axes of the image that are lost; all by default.

    Returns
    -------
    Geometry or tuple of Geometry
        In no world; all axes are plain, lost by the function.
    """
    for i in range(source.ndim) if axes is None else axes:
        if i in source.sampled_axes:
            note_loss(function, i, source.dims[i])
    made = tuple([
        Geometry(s, dims=(None,) * len(s), lost=dict.fromkeys(range(len(s)), function))
        for s in map(tuple, shapes)
    ])  # fmt: skip
    return made[0] if len(made) == 1 else made
