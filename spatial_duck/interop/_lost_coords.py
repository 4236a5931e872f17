"""Coordinates that another library's image has no place for: named when an image is converted.

The converters of this package are asked, so that nothing is written down twice: what `from_…`
gives back of what `to_…` gave is held, and `warn_of_lost_coords` names the rest, as for files.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from spatial_duck.array._coordinates import COMPONENT
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.io._coords import same_coords, warn_of_lost_coords
from spatial_duck.pyramids import Pyramid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from spatial_duck.array import SpatialArray

__all__ = ["names_lost_coords"]

P = ParamSpec("P")
R = TypeVar("R")


def names_lost_coords(
    name: str, back: Callable[[Any], Any] | None, *, vectors: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator of ``to_…`` functions that warns about coordinates that are left out.

    Parameters
    ----------
    name : str
        What the library calls its image.
    back : callable or None
        The ``from_…`` function of what is returned; None if nothing of it is held.
    vectors : bool, optional
        Whether the library takes components to run along x, y and z without saying so.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def converted(*args: P.args, **kwargs: P.kwargs) -> R:
            out = function(*args, **kwargs)
            image: Any = args[0] if args else next(iter(kwargs.values()))
            image = image[0] if isinstance(image, Pyramid) else image
            if getattr(image, "_coords", None):
                found = {} if back is None else back(out)
                found = found[0] if isinstance(found, Pyramid) else found
                held = _held(image, getattr(found, "coords", {}))
                if vectors and {*map(str, image.coords.get(COMPONENT, ()))} == {*SPACE_AXES}:
                    held.append(COMPONENT)
                warn_of_lost_coords(None, name, image, held)
            return out

        return converted

    return decorate


def _held(image: SpatialArray, back: Mapping[str, Any]) -> list[str]:
    """Return the names of the coordinates that came back; components in any order."""
    held = same_coords(image, back, image.coords)
    labels = [sorted(map(str, each.get(COMPONENT, ()))) for each in (image.coords, back)]
    return [*held, COMPONENT] if labels[0] == labels[1] else held
