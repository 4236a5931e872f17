"""Functions that reduce axes: the axis leaves, the origin moves to the centre of its extent."""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import rule

__all__: list[str] = []

_NO = np._NoValue  # type: ignore[attr-defined]


@rule("derives", np.sum, deferrable=True)
def _sum(
    a: Geometry,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = _NO,
    initial: Any = _NO,
    where: Any = _NO,
) -> Geometry:
    return a.reduce(axis, keepdims is not _NO and bool(keepdims))
