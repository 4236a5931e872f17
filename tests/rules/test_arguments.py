"""Arguments of a function mean the same on every backend, or are refused in our words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        lambda a: np.ravel(a, order="C"),
        lambda a: np.ravel(a, "C"),
        lambda a: np.take(a, [1], axis=0, mode="raise"),
        lambda a: np.take(a, [1], 0, None, "raise"),
        lambda a: np.sum(a, 0, None, None, True),
        lambda a: np.mean(a, 1, None, None, True),
        lambda a: np.max(a, 0, None, True),
        lambda a: np.std(a, 0, None, None, 1),
        lambda a: np.cumsum(a, 1, None),
        lambda a: np.flip(a, None),
        lambda a: np.pad(a, {0: (1, 2)}),
        lambda a: np.pad(a, {-1: 1}, constant_values=5),
        lambda a: np.concatenate([a[:1], a[1:]], 0, dtype=None),
        lambda a: np.select([a > 3, a > 1], [a, 2 * a], 0) - np.select([a > 1], [a]),
        lambda a: np.split(a, [-1, 0, 6])[2],
        lambda a: np.median(a, 0, None, False, True),
        lambda a: np.clip(a, 1, 3, None),
        lambda a: np.round(a, 1, None),
    ],
)
def test_arguments_mean_the_same_on_every_backend(backend: Any, call: Any) -> None:
    """By position, by name, at their defaults: whatever the order of a library's own parameters."""
    values = np.arange(12.0).reshape(4, 3)
    image = SpatialArray(backend.make(values), spacing=(2.0, 0.5))
    try:
        found = call(image)
    except TypeError as error:
        said = str(error)
        if "unexpected keyword" in said or "positional argument" in said:
            raise
        return  # refused in our words
    assert found.geometry.isclose(call(SpatialArray(values, spacing=(2.0, 0.5))).geometry)
    np.testing.assert_allclose(backend.to_numpy(found.compute().data), call(values))
