"""Places, labels and components through one chain, on an image that has lost an axis before.

An image of vectors is filled with its own voxel numbers; some of its times are picked out unevenly,
so that their axis has lost its positions. After any chain of operations that move voxels each
number still lies where it lay in space, and in time where that is known, and has its labels.
"""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.testing._operations import chains
from spatial_duck.testing._oracles import NO_VOXEL, false_labels, voxel_labels, voxel_numbers
from tests.effort import examples

MODEST = hypothesis.settings(
    max_examples=examples(60), suppress_health_check=list(hypothesis.HealthCheck), deadline=None
)
LONG = hypothesis.settings(MODEST, max_examples=2000)
SHAPE = (4, 2, 2, 3, 3)
PICKED = [0, 1, 3]
COMPONENTS = ["x", "y", "z"]
#: What walks along several axes at once: of what is lost along one, all others are lost as well.
MIXING = ("diagonal",)


def _image(data: Any) -> sd.SpatialArray:
    coords = {f"at {a}": (a, index) for a, index in enumerate(voxel_labels(SHAPE))}
    turn = np.array([[1, 0, 0, 0], [0, 0.6, 0.8, 0], [0, -0.8, 0.6, 0], [0, 0, 0, 1]])
    return sd.SpatialArray(
        data,
        spacing=(2.0, 2.5, 0.75, 0.5),
        origin=(10.0, -40.0, 3.0, 7.5),
        direction=turn,
        dims=("t", "z", "y", "x", "v"),
        unit={"t": "s", "z": "mm", "y": "mm", "x": "mm"},
        coords={**coords, "component": ("v", COMPONENTS)},
    )


def _places(geometry: sd.Geometry) -> np.ndarray:
    """Return the place of each voxel, shape (*shape, n_world)."""
    return geometry.index_to_physical(np.moveaxis(np.indices(geometry.shape), 0, -1))


def check(backend: Any, data: st.DataObject) -> None:
    numbers = voxel_numbers(SHAPE)
    image = _image(backend.make(numbers))
    before = _places(image.geometry).reshape(numbers.size, -1)
    result, numbers = image[PICKED], numbers[PICKED]
    assert set(result.lost) == {0}
    for operation in data.draw(chains(numbers.shape, without=MIXING)):
        hypothesis.note(operation)
        result, numbers = operation(result), operation(numbers)
    np.testing.assert_array_equal(backend.to_numpy(result.compute().data), numbers)
    left = numbers != NO_VOXEL

    labels = {int(n[3:]): (h.axis, h.values) for n, h in result._coords.items() if n[:2] == "at"}
    along, values = (
        result._coords["component"][:2] if "component" in result.coords else (None, None)
    )
    if values is not None:
        labels[4] = (along, [COMPONENTS.index(v) if v else -1 for v in np.atleast_1d(values)])
    assert false_labels(labels, numbers, SHAPE) is None

    geometry = result.geometry
    unknown = [key for key in geometry.lost if isinstance(key, int)]
    assert {"z", "y", "x"} <= set(geometry.world.axes)
    assert ("t" in geometry.world.axes) != ("t" in geometry.lost)
    places = _places(geometry.unplace(unknown))[left]
    for row, name in enumerate(geometry.world.axes):
        if name != "t" or not unknown:
            wanted = before[numbers[left], image.world.axes.index(name)]
            np.testing.assert_allclose(places[:, row], wanted, rtol=0, atol=1e-9)


@pytest.mark.slow
@MODEST
@hypothesis.given(data=st.data())
def test_chains_keep_places_labels_and_components(backend: Any, data: st.DataObject) -> None:
    check(backend, data)


@pytest.mark.long
@LONG
@hypothesis.given(data=st.data())
def test_thousands_of_chains(backend: Any, data: st.DataObject) -> None:
    check(backend, data)
