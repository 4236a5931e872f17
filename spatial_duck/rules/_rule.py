"""What a rule is, and the tables that rules stand in.

A rule says what one NumPy function does to geometry. It is a function with NumPy's own parameters;
it is called with the caller's arguments, except that each image is replaced by its `Geometry`
(bare arrays come as they are), and returns

- a `Geometry`: that of the array that NumPy returns,
- a tuple or list of them (None among them for a bare array): where NumPy returns several arrays,
- None: what NumPy returns is no image and is handed on as it is.

It never sees data, and it raises before anything is computed or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from spatial_duck import mixing
from spatial_duck.geometry import Geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["REFUSED", "RULES", "Kind", "Rule", "geometries", "refuse", "rule", "shape_of", "together"]

#: What a function does with voxels: it moves them exactly; keeps the grid; derives a new grid
#: from it; leaves axes without positions or returns no image; is refused.
Kind = Literal["moves", "keeps", "derives", "plain", "refuses"]


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
    """

    kind: Kind
    geometry: Callable[..., Any]
    deferrable: bool = False


#: The rule of each function.
RULES: dict[Any, Rule] = {}
#: Why a function is refused, and what to do instead.
REFUSED: dict[Any, str] = {}


def rule(
    kind: Kind, *functions: Any, deferrable: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Enter the decorated rule for some functions; each may have one only."""

    def enter(geometry: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            if function in RULES or function in REFUSED:
                raise RuntimeError(f"{function!r} has a rule already")
            RULES[function] = Rule(kind, geometry, deferrable)
        return geometry

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


def shape_of(array: Any) -> tuple[int, ...]:
    """Return the shape of an argument of a rule: a geometry, a bare array or what becomes one."""
    shape = getattr(array, "shape", None)
    return tuple(shape) if isinstance(shape, tuple) else np.shape(array)


def geometries(*arguments: Any) -> list[Geometry]:
    """Return the geometries among arguments, those in lists and tuples too."""
    found = []
    for argument in arguments:
        if isinstance(argument, Geometry):
            found.append(argument)
        elif isinstance(argument, list | tuple):
            found += geometries(*argument)
    return found


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
        shapes = [shape_of(a) for a in arguments if a is not None and a.__class__ is not Geometry]
        if not any(shapes):
            return grid
        shape = np.broadcast_shapes(grid.shape, *shapes)
    return grid if shape == grid.shape else grid.broadcast_to(shape)
