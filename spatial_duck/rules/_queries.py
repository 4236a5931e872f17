"""Functions that return facts about arrays, and functions that refuse images.

Results that are not arrays (a bool, a shape, a type, a text) are returned as NumPy gives them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.rules._rule import elementwise_geometry, existing, geometry_or_none, refuse, rule

__all__: list[str] = []


@rule(
    "plain",
    *existing(np, "shape ndim size iscomplexobj isrealobj common_type result_type can_cast"),
    *existing(np, "min_scalar_type may_share_memory shares_memory einsum_path"),
    *existing(np, "array_str array_repr array2string"),
)
def _answer() -> None:
    """Return None, since NumPy's result is not an array."""


@rule("plain", np.array_equal, np.array_equiv, np.allclose)
def _compare_grids(name: str, image: Any, other: Any) -> None:
    """Check that images of compatible shapes lie on one grid; others are simply not equal."""
    if geometry_or_none(image) is None or geometry_or_none(other) is None:
        return
    if image.shape != other.shape:
        if name == "array_equal":
            return
        try:
            np.broadcast_shapes(image.shape, other.shape)
        except ValueError:
            return
    elementwise_geometry(name, image, other)


# --- files --------------------------------------------------------------------------------

refuse(
    "would lose the geometry: use spatial_duck.write(path, image), or save image.data",
    np.save,
    np.savez,
    np.savez_compressed,
    np.savetxt,
)
