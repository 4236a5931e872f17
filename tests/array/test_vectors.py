"""Vector axes: what their values lie along, in which frame and unit."""

from __future__ import annotations

from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.errors import FrameError, GeometryError, GeometryMismatchError
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._operations import chains
from tests.effort import examples

SHAPE = (3, 4, 5)
FRAMES = ("LPS", "RAS", "LAS", "PLS", "SAR", "IPR")


def _field(data: Any = None, labels: Any = ("x", "y", "z"), **more: Any) -> sd.SpatialArray:
    """Return vectors on a grid, by default each of another value."""
    if data is None:
        data = np.arange(60 * len(labels), dtype="f4").reshape(*SHAPE, len(labels))
    more = {"frame": "LPS", "unit": "mm", "world": ("x", "y", "z"), **more}
    coords = {"component": ("c", list(labels), more.pop("tag", {}))}
    return sd.SpatialArray(data, dims=("x", "y", "z", "c"), spacing=2.0, coords=coords, **more)


def _vectors(image: Any) -> np.ndarray[Any, Any]:
    """Return each voxel's vector in LPS, as (…, 3), by arithmetic from its labels."""
    component = image.coords["component"]
    frame = component.attrs["frame"]
    lines = {"L": 0, "R": 0, "P": 1, "A": 1, "S": 2, "I": 2}
    values = np.moveaxis(np.asarray(image.data), image.dims.index("c"), -1)
    out = np.zeros((*values.shape[:-1], 3))
    for k, label in enumerate(component):
        letter = frame["xyz".index(label)]
        out[..., lines[letter]] = values[..., k] * (1 if letter in "LPS" else -1)
    return out


@pytest.mark.parametrize("first", FRAMES)
@pytest.mark.parametrize("second", FRAMES)
def test_vectors_are_the_same_in_every_frame(first: str, second: str) -> None:
    image = _field(frame=first)
    turned = image.to_frame(second)
    assert turned.frame == turned.coords["component"].attrs["frame"] == second
    assert np.array_equal(_vectors(turned), _vectors(image))
    assert turned.geometry.isclose(image.geometry)
    back = turned.to_frame(first)
    assert np.array_equal(back.data, image.data)
    assert back.coords == image.coords


def test_a_part_of_the_components_turns(backend: Any) -> None:
    image = _field(backend.make(np.ones((*SHAPE, 3), "f4")))
    turned = image[..., ::-2].to_frame("RAS")
    assert list(turned.coords["component"]) == ["z", "x"]
    assert backend.to_numpy(turned.compute().data)[0, 0, 0].tolist() == [1, -1]
    one = image[..., 1].to_frame("RAS")
    assert one.coords["component"].item() == "y"
    assert (backend.to_numpy(one.compute().data) == -1).all()
    assert str(turned.dtype).endswith("float32")


def test_nothing_is_computed(backend: Any) -> None:
    if not backend.lazy:
        pytest.skip("this backend is not lazy")
    image = _field(backend.make(np.ones((*SHAPE, 3), "f4")))
    with assert_lazy():
        turned = image.to_frame("RAS").to_unit("um").to_world(("z", "y", "x"))
    assert np.asarray(turned)[0, 0, 0].tolist() == [-1, -1, 1]


def test_no_value_is_touched_where_none_changes() -> None:
    image = _field()
    for same in (
        image.to_frame("LPS"), image.to_unit("um"), image.to_world(("z", "y", "x")),
        image.to_frame("PLS"), image[..., 2].to_frame("RAS"),
        image.replace(coords={}).to_frame("RAS"),
    ):  # fmt: skip
        assert np.shares_memory(same.data, image.data)


def test_units_are_not_scaled() -> None:
    image = _field().to_unit("um")
    assert image.unit == ("um",) * 3
    assert image.coords["component"].unit == "mm"
    assert _field(tag={"unit": "mm/s"}).coords["component"].unit == "mm/s"


def test_types_without_a_sign_are_refused() -> None:
    image = _field(np.zeros((*SHAPE, 3), "u1"))
    with pytest.raises(GeometryError, match=r"uint8 cannot change their sign.*astype"):
        image.to_frame("RAS")
    assert image.to_frame("PLS").dtype == "u1"


@pytest.mark.parametrize(
    "labels, new, signs",
    [
        (["xx", "xy", "xz", "yy", "yz", "zz"], ["xx", "xy", "xz", "yy", "yz", "zz"],
         [1, 1, -1, 1, -1, 1]),
        (["zz", "yx"], ["zz", "yx"], [1, 1]),
    ],
)  # fmt: skip
def test_tensors_turn_by_pairs(labels: list[str], new: list[str], signs: list[int]) -> None:
    image = _field(np.ones((*SHAPE, len(labels))), labels).to_frame("RAS")
    assert list(image.coords["component"]) == new
    assert image.data[0, 0, 0].tolist() == signs


def test_tensors_are_renamed() -> None:
    labels = ["xx", "xy", "xz", "yy", "yz", "zz"]
    image = _field(np.arange(360.0).reshape(*SHAPE, 6), labels).to_frame("PLS")
    assert list(image.coords["component"]) == ["yy", "xy", "yz", "xx", "xz", "zz"]


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: _field(labels=["x", "y", "DAPI"]), GeometryError, "must name world axes"),
        (lambda: _field(labels=["x", "y", "q"]), GeometryError, "must name world axes"),
        (
            lambda: sd.SpatialArray(np.zeros(3), coords={"component": ("x", ["x", "y", "z"])}),
            GeometryError,
            "plain axis",
        ),
        (lambda: _field(frame=None).to_frame("RAS"), FrameError, "to_frame"),
        (lambda: _field(tag={"frame": "XYZ"}), FrameError, "three letters"),
        (
            lambda: _field()[:, :, 0].to_world(("x", "y")),
            GeometryError,
            "components along .'z'.*left out",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make()


MIXTURES = [
    lambda a, b: a + b,
    lambda a, b: np.add(a, b),
    lambda a, b: np.where(a.data > 0, a, b),
    lambda a, b: np.concatenate([a, b], axis=3),
    lambda a, b: np.stack([a, b]),
    lambda a, b: a.__iadd__(b),
    lambda a, b: a.__setitem__(..., b),
    lambda a, b: np.copyto(a, b),
    lambda a, b: np.add(a.data, b, out=a),
    lambda a, b: a == b,
]


@pytest.mark.parametrize("mix", MIXTURES)
@pytest.mark.parametrize("other", [{"tag": {"frame": "RAS"}}, {"tag": {"unit": "um"}}])
def test_other_frames_and_units_do_not_mix(mix: Any, other: Any) -> None:
    a, b = _field(), _field(**other)
    before = a.data.copy()
    with pytest.raises(GeometryMismatchError, match=r"frame|unit"):
        mix(a, b)
    assert np.array_equal(a.data, before)


@pytest.mark.parametrize("mix", [m for n, m in enumerate(MIXTURES) if n != 3])
def test_other_components_do_not_mix(mix: Any) -> None:
    a, b = _field(), _field()[..., ::-1]
    before = a.data.copy()
    with pytest.raises(GeometryMismatchError, match="components"):
        mix(a, b)
    assert np.array_equal(a.data, before)


def test_what_mixes() -> None:
    image = _field()
    total = image + image.to_frame("RAS").to_frame("LPS") - image[..., :1] * 2
    assert list(total.coords["component"]) == ["x", "y", "z"]
    length = np.sqrt(image[..., 0] ** 2 + image[..., 1] ** 2)
    assert "component" not in length.coords
    assert "component" not in np.linalg.norm(image, axis=-1).coords
    joined = np.concatenate([image[..., 2:], image[..., :1]], axis=-1)
    assert list(joined.coords["component"]) == ["z", "x"]


def test_names_given_later_are_followed() -> None:
    image = _field().replace(frame="RAS", unit="um")
    component = image.coords["component"]
    assert (component.attrs["frame"], component.unit) == ("RAS", "um")


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[..., ::-1],
        lambda x: x[..., [1, 2, 0]],
        lambda x: x.to_frame("RAS"),
        lambda x: x.to_unit("um"),
        lambda x: x.to_world(("z", "y", "x")),
        lambda x: x.replace(geometry=x.geometry.to_frame("RAS")),
        lambda x: x.to_frame("PLS")[..., ::-1].to_unit("cm"),
    ],
)
def test_a_field_moves_points_as_its_components_say(change: Any) -> None:
    values = np.random.default_rng(0).normal(size=(*SHAPE, 3))
    image = _field(values)
    wanted = sd.DisplacementField(_field(values))
    field = sd.DisplacementField(change(image))
    points = np.random.default_rng(1).uniform(0, [4, 6, 8], (20, 3))
    world = field.world
    here = np.array([points[:, "xyz".index(a)] for a in world.axes]).T
    sign = {"LPS": (1, 1, 1), "RAS": (-1, -1, 1)}
    if world.frame == "PLS":
        there = points[:, [1, 0, 2]]
    else:
        there = np.array(
            [here[:, k] * sign[world.frame]["xyz".index(a)] for k, a in enumerate(world.axes)]
        ).T
    factor = {"mm": 1.0, "um": 1000.0, "cm": 0.1}[world.units[0]]
    moved = field(there * factor) / factor - there
    expected = wanted(points) - points
    if world.frame == "PLS":
        expected = expected[:, [1, 0, 2]]
    else:
        expected = np.array([
            expected[:, "xyz".index(a)] * sign[world.frame]["xyz".index(a)] for a in world.axes
        ]).T  # fmt: skip
    np.testing.assert_allclose(moved, expected, atol=1e-9)


def test_a_field_needs_a_component_for_each_axis() -> None:
    image = _field(labels=("x", "x", "z"))
    with pytest.raises(GeometryError, match="one along each"):
        sd.DisplacementField(image)


MODEST = hypothesis.settings(
    max_examples=examples(40), deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)


@pytest.mark.slow
@MODEST
@hypothesis.given(data=st.data())
def test_chains_turn_vectors(backend: Any, data: st.DataObject) -> None:
    _chain_turns_vectors(backend, data)


@pytest.mark.long
@hypothesis.settings(MODEST, max_examples=2000)
@hypothesis.given(data=st.data())
def test_many_chains_turn_vectors(backend: Any, data: st.DataObject) -> None:
    _chain_turns_vectors(backend, data)


def _chain_turns_vectors(backend: Any, data: st.DataObject) -> None:
    """A chain and then another frame is another frame and then the chain."""
    image = _field(backend.make(np.arange(180.0).reshape(*SHAPE, 3) + 1))
    early, late = image.to_frame("RAS"), image
    for operation in data.draw(chains((*SHAPE, 3), max_size=5, min_size=1)):
        hypothesis.note(operation)
        early, late = operation(early), operation(late)
    hypothesis.assume("component" in late.coords)
    late = late.to_frame("RAS") if late.frame else late
    hypothesis.assume(early.frame is not None)
    padded = backend.to_numpy(early.compute().data) == -1  # the fill of pad has no direction
    assert (
        (backend.to_numpy(early.compute().data) == backend.to_numpy(late.compute().data)) | padded
    ).all()
    assert early.coords["component"] == late.coords["component"]
