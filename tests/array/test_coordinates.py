"""Coordinates of images: what users give, what comes back, and what is kept."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryError

CHANNELS = ["DAPI", "GFP", "RFP"]


def _image(**more: Any) -> sd.SpatialArray:
    coords = {
        "channel": ("c", CHANNELS),
        "gain": ("c", [1.0, 2.0, 4.0], {"unit": "dB", "mode": "auto"}),
        "specimen": ((), "M01"),
        **more.pop("coords", {}),
    }
    data = more.pop("data", np.arange(3 * 4 * 5).reshape(3, 4, 5))
    return sd.SpatialArray(data, dims=("c", "y", "x"), spacing=(2.0, 0.5), coords=coords, **more)


def test_what_is_given_comes_back() -> None:
    coords = _image().coords
    assert list(coords) == ["channel", "gain", "specimen"]
    channel, gain, specimen = coords.values()
    assert (channel.dims, list(channel), len(channel)) == (("c",), CHANNELS, 3)
    assert (gain.unit, dict(gain.attrs), np.asarray(gain, "f4").dtype) == (
        "dB", {"mode": "auto"}, "f4",
    )  # fmt: skip
    assert (specimen.dims, specimen.item()) == ((), "M01")


@pytest.mark.parametrize(
    "given",
    [
        ("c", CHANNELS),
        (("c",), CHANNELS),
        ("c", np.array(CHANNELS, object)),
        (0, CHANNELS),
        ("c", CHANNELS, {}),
    ],
)
def test_spellings_of_one_coordinate(given: Any) -> None:
    assert _image(coords={"channel": given}).coords["channel"] == _image().coords["channel"]


@pytest.mark.parametrize(
    "name, given, message",
    [
        ("a", ("c", [1, 2]), "3 values, one for each index of axis 0 .'c'.*shape .2,."),
        ("a", ("q", [1, 2, 3]), "no axis 'q' among dims .'c', 'y', 'x'."),
        ("a", (("c", "y"), np.zeros((3, 4))), "one axis"),
        ("a", ((), [[1, 2], [3, 4]]), "one value"),
        ("a", ("c", [object()] * 3), "numbers, strings or times.*attrs"),
        ("a", ("c", np.zeros((3, 100))), "at most 16"),
        ("a", ("c", [1, 2, 3], 5), "attrs must be a mapping"),
        (3, ("c", [1, 2, 3]), "names must be strings"),
    ],
)
def test_what_is_no_coordinate_is_refused_with_its_name(
    name: Any, given: Any, message: str
) -> None:
    with pytest.raises(GeometryError, match=message):
        _image(coords={name: given})


def test_lazy_values_are_not_computed(backend: Any) -> None:
    if not backend.lazy:
        pytest.skip("this backend is not lazy")
    with pytest.raises(GeometryError, match="in memory"):
        _image(coords={"a": ("c", backend.make(np.arange(3)))})


def test_nobody_can_change_what_images_share() -> None:
    values = np.array([1.0, 2.0, 3.0])
    image = _image(coords={"gain": ("c", values)})
    values[0] = 9
    gain = image.coords["gain"]
    assert list(gain) == [1, 2, 3]
    for array in (gain.values, np.asarray(gain), image[::-1].coords["gain"].values):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9
    with pytest.raises(AttributeError, match="replace"):
        gain.unit = "s"
    with pytest.raises(TypeError):
        gain.attrs["a"] = 1
    with pytest.raises(AttributeError, match=r"replace\(coords"):
        image.coords = {}  # type: ignore[misc,assignment]


@pytest.mark.parametrize(
    "kept",
    [
        copy.copy,
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: x.replace(np.zeros(x.shape)),
        lambda x: x.replace(attrs={"a": 1}),
        lambda x: x.replace(dims=("channel", "y", "x"), coords=None).replace(dims=x.dims),
        lambda x: x.astype("f4"),
        lambda x: x.copy(),
        lambda x: x.compute(),
        lambda x: x.chunk(2).compute(),
        lambda x: x.to("dask"),
        lambda x: -x,
        lambda x: x * 2 + x,
    ],
)
def test_what_keeps_the_voxels_keeps_their_labels(kept: Any) -> None:
    image = _image()
    found = kept(image).coords
    assert dict(found) == dict(image.coords)
    assert not found["gain"].values.flags.writeable


def test_replace_says_other_coordinates() -> None:
    image = _image().replace(coords={"name": ("c", ["a", "b", "c"])})
    assert list(image.coords) == ["name"]
    assert list(image.replace(image.data[:2], shape=(2, 4, 5)).coords) == []
    assert not image.replace(coords={}).coords


def test_a_coordinate_of_the_axis_makes_it_plain() -> None:
    times = {"t": ("t", [0.0, 1.0, 5.0], {"unit": "s"})}
    image = sd.SpatialArray(np.zeros((3, 4, 5)), dims=("t", "y", "x"), coords=times)
    assert image.geometry.sampled_axes == (1, 2)
    assert image.world.axes == ("y", "x")
    assert not image.lost
    assert list(image[1:].coords["t"]) == [1, 5]
    assert pickle.loads(pickle.dumps(image)).geometry == image.geometry


def test_axes_follow_their_names() -> None:
    image = _image()
    assert image.T.coords["channel"].dims == ("c",)
    assert image.replace(dims=("lamp", "y", "x")).coords["channel"].dims == ("lamp",)
    assert np.stack([image[0], image[2]]).coords["channel"].dims == (None,)


def _series(backend: Any) -> sd.SpatialArray:
    coords = {
        "channel": ("c", ["DAPI", "GFP"]),
        "b_value": ("t", [0.0, 1000.0, 2000.0]),
        "slice_time": ("y", [0.0, 0.1, 0.2, 0.3]),
        "specimen": "M01",
    }
    data = backend.make(np.arange(2 * 3 * 4 * 5, dtype=float).reshape(2, 3, 4, 5))
    return sd.SpatialArray(data, dims=("c", "t", "y", "x"), spacing=(2.0, 1.0, 1.0), coords=coords)


ALL = {"channel", "b_value", "slice_time", "specimen"}
PHYSICAL = [
    (lambda x: sd.resample(x, spacing={"x": 0.5, "y": 0.5}), {"channel", "b_value", "specimen"}),
    (lambda x: sd.resample(x, x[..., ::-1].geometry), ALL),
    (
        lambda x: sd.resample(x, x.geometry.replace(origin=(0, 0.5, 0))),
        {"channel", "b_value", "specimen"},
    ),
    (lambda x: sd.crop(x, {"y": (1, 2)}), ALL),
    (lambda x: sd.map_blocks(lambda b: b * 2, x), ALL),
    (lambda x: sd.ndimage.gaussian_filter(x, 1.0), ALL),
    (lambda x: sd.pyramid(x, 2)[1], {"channel", "b_value", "specimen"}),
]


@pytest.mark.slow
@pytest.mark.parametrize("operation, left", PHYSICAL)
def test_physical_operations_keep_what_their_axes_carry(
    backend: Any, operation: Any, left: set[str]
) -> None:
    if backend.kind == "array_api_strict":
        pytest.skip("resampling has no kernels for this backend")
    image = _series(backend)
    found = operation(image)
    assert {*found.coords} == left
    for name in left - {"slice_time"}:
        assert found.coords[name] == image.coords[name]


def test_blocks_know_what_their_axes_carry() -> None:
    image = _series_of_numpy()
    seen = []

    def look(block: Any) -> Any:
        seen.append((list(block.coords["slice_time"]), list(block.coords["channel"])))
        return block

    sd.map_blocks(look, image, blocks=(3, 2, 5))
    assert seen == [([0.0, 0.1], ["DAPI", "GFP"]), ([0.2, 0.3], ["DAPI", "GFP"])]


def _series_of_numpy() -> sd.SpatialArray:
    class _NumPy:
        make = staticmethod(np.asarray)

    return _series(_NumPy)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([dt.date(2020, 1, 2), dt.date(2021, 3, 4)], "datetime64[D]"),
        ([dt.date(2020, 1, 2), dt.datetime(2021, 3, 4, 5)], "datetime64[us]"),
        ([dt.datetime(2020, 1, 2), dt.datetime(2021, 3, 4, 5)], "datetime64[us]"),
        ([dt.timedelta(1), dt.timedelta(seconds=2.5)], "timedelta64[us]"),
    ],
)
def test_times_of_python_are_times(values: list[Any], expected: str) -> None:
    image = sd.SpatialArray(np.zeros((2, 3)), dims="cx", coords={"time": ("c", values)})
    held = image.coords["time"].values
    assert held.dtype == expected
    np.testing.assert_array_equal(held, np.array(values, expected))


@pytest.mark.parametrize("values", [["a", 1], [1.5, "a"], (True, "a")])
def test_text_and_numbers_do_not_mix(values: Any) -> None:
    with pytest.raises(GeometryError, match=r"coords\['name'\] must hold values of one kind, got"):
        sd.SpatialArray(np.zeros((2, 3)), coords={"name": ("y", values)})


def test_isel_of_a_coordinate_names_its_axis() -> None:
    image = sd.SpatialArray(
        np.zeros((2, 3)), dims=("c", "x"), coords={"channel": ("c", ["DAPI", "GFP"])}
    )
    with pytest.raises(GeometryError, match=r"use isel\(c=...\) with an index, or sel\(channel="):
        image.isel(channel=0)
