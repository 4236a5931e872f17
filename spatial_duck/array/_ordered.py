"""ITK's order-explicit names: ``spacing_zyx``, ``origin_xyz``, as attributes and as keys.

They give the order of the numbers, whichever axis a library lists first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry import Geometry

__all__ = ["KEY", "ordered_field"]

#: A key of ITK's dict protocol: a field and an order.
KEY = re.compile(r"(spacing|origin|direction|size)_(xyz|zyx|xy|yx)")


def ordered_field(geometry: Geometry, field: str, order: str) -> NDArray[Any]:
    """Return a field with its space axes, which must be named, in an explicit order.

    Raises
    ------
    GeometryError
        If there are no axes of the names.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> ordered_field(Geometry((4, 5), spacing=(2, 0.5)), "spacing", "xy")
    array([0.5, 2. ])
    """
    names, axes = geometry.dims, geometry.world.axes
    columns = [names[i] for i in geometry.sampled_axes]
    missing = [a for a in order if a not in (axes if field == "origin" else columns)]
    if missing:
        raise GeometryError(
            f"{field}_{order} needs axes named {', '.join(order)}, got dims {names!r} and world "
            f"axes {axes!r}"
        )
    if field == "size":
        return np.array([geometry.shape[names.index(a)] for a in order])
    rows = [axes.index(a) for a in order if a in axes]
    if field == "origin":
        return geometry.origin[rows]
    picked = [columns.index(a) for a in order]
    if field == "spacing":
        return geometry.spacing[picked]
    return geometry.direction[np.ix_(rows, picked)]
