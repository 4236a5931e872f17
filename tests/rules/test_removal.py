"""An axis without positions goes the same way whatever function takes it: as an integer index does.

Only the world axes that it ran along leave with it, and the others keep their places.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray
from spatial_duck.rules import RULES, find

find(np.sum)  # loads the families

#: What is given beside the array, until a function takes it.
BESIDE: tuple[tuple[Any, ...], ...] = ((), (50,), (0,), (0.5,), (1,))
#: Functions that do not name the axis that they take away.
BY_HAND: dict[str, Any] = {
    "index": lambda x: x[0],
    "squeeze": lambda x: np.squeeze(x[:1], 0),
    "reshape": lambda x: x[:1].reshape(x.shape[1:]),
    "einsum": lambda x: np.einsum("zyx->yx", x),
    "tensordot": lambda x: np.tensordot(np.ones(3), x, 1),
    "unstack": lambda x: np.moveaxis(x, 0, 0)[2],
    "add.reduce": lambda x: np.add.reduce(x, axis=0),
    "maximum.reduce": lambda x: np.maximum.reduce(x, axis=0),
    "method": lambda x: x.mean("z"),
    "apply_over_axes": lambda x: np.apply_over_axes(np.sum, x, 0)[0],
    "apply_along_axis": lambda x: np.apply_along_axis(np.sum, 0, x),
}


def _image() -> SpatialArray:
    """Return turned slices whose places along z are lost."""
    image = SpatialArray(
        np.arange(1.0, 61.0).reshape(3, 4, 5),
        spacing=(2.0, 0.5, 0.75),
        origin=(7.0, 4.0, 9.0),
        direction=[[1, 0, 0], [0, 0.6, -0.8], [0, 0.8, 0.6]],
    )
    lost = np.fft.ifft(np.fft.fft(image, axis=0), axis=0).real
    assert lost.geometry.lost.keys() == {0}
    return lost


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def _taking_an_axis() -> list[Any]:
    """Return all functions with a rule and a parameter `axis`."""
    found = [f for f, rule in RULES.items() if any(name == "axis" for _, name in rule.axes)]
    return sorted(found, key=_name)


def _without_axis(function: Any, image: SpatialArray) -> Any:
    """Return an image without its first axis, as the function makes it, or None."""
    for beside in BESIDE:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = function(image, *beside, axis=0)
        except Exception:  # it wants other arguments, or another kind of array
            continue
        many = list(result) if isinstance(result, tuple | list) else [result]
        planes = [r for r in many if isinstance(r, SpatialArray) and r.shape == image.shape[1:]]
        if planes:
            return planes
    return None


def _check(result: SpatialArray) -> None:
    expected = _image()[0].geometry
    found = result.geometry
    assert set(expected.lost) == set(found.lost) == {"z"}
    assert found.world == expected.world
    assert found.dims == expected.dims
    for field in ("spacing", "origin", "direction"):
        np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), field)


@pytest.mark.parametrize("function", _taking_an_axis(), ids=_name)
def test_functions_that_take_an_axis_away_do_as_an_index(function: Any) -> None:
    planes = _without_axis(function, _image())
    for plane in planes or ():
        _check(plane)


def test_many_functions_take_an_axis_away() -> None:
    taking = [f.__name__ for f in _taking_an_axis() if _without_axis(f, _image())]
    assert {"sum", "mean", "median", "percentile", "argmax", "take", "norm", "average"} <= {*taking}
    assert len(taking) >= 30


@pytest.mark.parametrize("name", BY_HAND)
def test_whatever_else_takes_it_does_as_an_index(name: str) -> None:
    _check(BY_HAND[name](_image()))
