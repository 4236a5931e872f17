"""Check an image class of your own, and fix what is wrong with it.

Run it with ``python examples/09_check_your_own_image_class.py``. Of two classes, the first copies
its attributes unchanged to every result, as many do; the second updates a `Geometry`. The checks
find the difference, and show it on the smallest image for which it occurs. In a test suite, the
same is ``class TestMine(spatial_duck.testing.Conformance)`` with the factory in it; on the command
line, ``spatial-duck check mypackage.images:make``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import spatial_duck as sd
from spatial_duck.testing import Report, check


class Stale(np.ndarray):
    """An array with three attributes, which it copies unchanged to every result."""

    def __array_finalize__(self, other: Any) -> None:
        for name in ("spacing", "origin", "direction"):
            setattr(self, name, getattr(other, name, None))


def make_stale(data: Any, spacing: Any, origin: Any, direction: Any) -> Stale:
    image = np.asarray(data).view(Stale)
    image.spacing, image.origin, image.direction = spacing, origin, direction
    return image


class Moving:
    """A class that can be indexed and converted to an array, with a `Geometry` that follows."""

    def __init__(self, values: np.ndarray, geometry: sd.Geometry) -> None:
        self.values, self.geometry, self.shape = values, geometry, values.shape

    spacing = property(lambda self: self.geometry.spacing)
    origin = property(lambda self: self.geometry.origin)
    direction = property(lambda self: self.geometry.direction)

    def __getitem__(self, key: Any) -> Moving:
        return Moving(self.values[key], self.geometry[key])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.array(self.values, dtype=dtype, copy=copy)


def make_moving(data: Any, spacing: Any, origin: Any, direction: Any) -> Moving:
    data = np.asarray(data)
    return Moving(data, sd.Geometry(data.shape, spacing, origin, direction))


def table(reports: list[Report]) -> str:
    lines = [f"{'':<22}{'right':>8}{'wrong':>8}{'not offered':>14}"]
    lines += [
        f"{r.subject:<22}{len(r.right):>8}{len(r.wrong):>8}{len(r.not_offered):>14}"
        for r in reports
    ]
    return "\n".join(lines)


def main() -> None:
    levels = ("attributes", "indexing")
    stale = check(make_stale, levels=levels, name="Stale")
    print("The smallest failing example of attributes that are copied unchanged:\n")
    print(stale["x[::-1]"])

    moving = check(make_moving, levels=levels, name="Moving")
    print("\nBoth classes:\n")
    print(table([stale, moving]))
    assert moving.ok, moving


if __name__ == "__main__":
    main()
