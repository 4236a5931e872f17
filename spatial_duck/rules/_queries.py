"""Functions that ask about arrays, and those that images do not take part in.

Answers that are no arrays (a bool, a shape, a type, a text) are NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.rules._rule import existing, only, refuse, rule, together

__all__: list[str] = []


@rule(
    "plain",
    *existing(np, "shape ndim size iscomplexobj isrealobj common_type result_type can_cast"),
    *existing(np, "min_scalar_type may_share_memory shares_memory einsum_path"),
    *existing(np, "array_str array_repr array2string"),
)
def _answer() -> None:
    """Return what NumPy answers, which is no array."""


@rule("plain", np.array_equal, np.array_equiv, np.allclose)
def _compared(name: str, image: Any, other: Any) -> None:
    """Check the grids of images that are compared; other shapes are simply not equal."""
    if only(image) is None or only(other) is None:
        return
    if image.shape != other.shape:
        if name == "array_equal":
            return
        try:
            np.broadcast_shapes(image.shape, other.shape)
        except ValueError:
            return
    together(name, image, other)


# --- files --------------------------------------------------------------------------------

refuse(
    "would drop the place of the image: use spatial_duck.write(path, image), or save image.data",
    np.save,
    np.savez,
    np.savez_compressed,
    np.savetxt,
)
