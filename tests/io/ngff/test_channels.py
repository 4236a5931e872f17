"""What axes carry: channels of the standard, and all other coordinates beside it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError
from tests.effort import examples

zarr = pytest.importorskip("zarr", reason="needs zarr")

VERSIONS = ("0.4", "0.5", "0.6")
CHANNELS: dict[str, Any] = {
    "channel": ("c", ["DAPI", "GFP", "Cy5"]),
    "channel_color": ("c", ["0000FF", "00FF00", "FF0000"]),
    "display_window": ("c", [[0, 10], [1, 20], [2, 30]]),
    "display_range": ("c", [[0, 255]] * 3),
    "channel_active": ("c", [True, False, True]),
}


def image(**coords: Any) -> sd.SpatialArray:
    values = np.arange(3 * 4 * 5, dtype="u2").reshape(3, 4, 5)
    return sd.SpatialArray(values, dims=("c", "y", "x"), spacing=1.0, coords=coords or CHANNELS)


def omero(path: Path) -> Any:
    found = dict(zarr.open_group(str(path), mode="r").attrs)
    return found.get("ome", found).get("omero")


def same_coords(a: sd.SpatialArray, b: sd.SpatialArray) -> bool:
    return {**a.coords} == {**b.coords}


@pytest.mark.fact("names of channels", "OME-Zarr", "written", "ome-zarr-models", says="omero")
@pytest.mark.fact("colors of channels", "OME-Zarr", "written", "ome-zarr-models", says="omero")
@pytest.mark.fact("display windows", "OME-Zarr", "written", "ome-zarr-models", says="omero")
@pytest.mark.parametrize("version", VERSIONS)
def test_channels_there_and_back(version: str, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")
    if version == "0.6":
        pytest.importorskip("ome_zarr_models.v06", reason="needs ome-zarr-models with 0.6")
    io.write(tmp_path / "a.ome.zarr", image(), version=version)
    assert [c["label"] for c in omero(tmp_path / "a.ome.zarr")["channels"]] == [
        "DAPI", "GFP", "Cy5"
    ]  # fmt: skip
    models.open_ome_zarr(zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r"))
    back = io.read(tmp_path / "a.ome.zarr")
    assert same_coords(back, image())
    assert "omero" not in back.attrs["ome"]


@pytest.mark.parametrize("name", list(CHANNELS))
def test_what_is_made_up_does_not_come_back(name: str, tmp_path: Path) -> None:
    one = image(**{name: CHANNELS[name]})
    io.write(tmp_path / "a.ome.zarr", one)
    channels = omero(tmp_path / "a.ome.zarr")["channels"]
    # The standard wants both of every channel.
    assert all(len(c["color"]) == 6 and len(c["window"]) == 4 for c in channels)
    assert same_coords(io.read(tmp_path / "a.ome.zarr"), one)


def test_channels_follow_what_is_done_to_the_image(tmp_path: Path) -> None:
    done: dict[str, Any] = {
        "one": (lambda x: x[1:2], ["GFP"]),
        "turned": (lambda x: x[::-1], ["Cy5", "GFP", "DAPI"]),
        "an index": (lambda x: x[2], ["Cy5"]),
        "last": (lambda x: np.moveaxis(x, 0, -1)[..., 1:], ["GFP", "Cy5"]),
        "none": (lambda x: x.sum(axis=0), None),
    }
    for name, (function, wanted) in done.items():
        part = function(image())
        io.write(tmp_path / "a.ome.zarr", part, overwrite=True)
        found = omero(tmp_path / "a.ome.zarr")
        assert (found and [c["label"] for c in found["channels"]]) == wanted, name
        assert same_coords(io.read(tmp_path / "a.ome.zarr", dims=part.dims), part), name


@pytest.mark.fact("names of channels", "OME-Zarr", "read", "zarr")
@pytest.mark.fact("colors of channels", "OME-Zarr", "read", "zarr")
@pytest.mark.fact("display windows", "OME-Zarr", "read", "zarr")
def test_channels_of_others(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", shape=(3, 4, 5), chunks=(1, 4, 5), dtype="u2")
    axes = [{"name": "c", "type": "channel"}] + [{"name": n, "type": "space"} for n in "yx"]
    steps = [{"type": "scale", "scale": [1, 1, 1]}]
    datasets = [{"path": "0", "coordinateTransformations": steps}]
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]
    window = {"min": 0, "max": 99.5, "start": 3, "end": 7}
    channels: list[Any] = [
        {"label": "a", "color": "ff00ff", "window": window, "active": True, "family": "linear"},
        {"color": "00FF00", "window": window, "coefficient": 2},
        {"label": "c", "color": "00FF00", "window": window},
    ]
    group.attrs["omero"] = {"channels": channels, "rdefs": {"defaultZ": 3}}
    back = io.read(tmp_path / "a.zarr")
    assert list(back.coords["channel"]) == ["a", "", "c"]
    assert list(back.coords["channel_color"]) == ["ff00ff", "00FF00", "00FF00"]
    assert back.coords["display_window"].values.tolist() == [[3, 7]] * 3
    assert back.coords["display_range"].values.tolist() == [[0, 99.5]] * 3
    assert list(back.coords["channel_family"]) == ["linear", "", ""]
    assert np.array_equal(back.coords["channel_coefficient"], [np.nan, 2, np.nan], equal_nan=True)
    assert "channel_active" not in back.coords
    io.write(tmp_path / "b.ome.zarr", back)
    assert same_coords(io.read(tmp_path / "b.ome.zarr"), back)
    group.attrs["omero"] = {"channels": channels[:2]}
    with pytest.warns(UserWarning, match="2 channels, and the image has 3"):
        assert not io.read(tmp_path / "a.zarr").coords
    for wrong in ({"channels": 3}, {"channels": [None] * 3}, [], "x"):
        group.attrs["omero"] = wrong
        if wrong == {"channels": [None] * 3}:
            with pytest.warns(UserWarning, match="omero"):
                io.read(tmp_path / "a.zarr")
        else:
            assert not io.read(tmp_path / "a.zarr").coords


def test_attrs_do_not_name_channels(tmp_path: Path) -> None:
    told = {"ome": {"omero": {"channels": [{"label": "GFP"}]}}}
    plain = sd.SpatialArray(np.zeros((1, 4, 5)), dims=("c", "y", "x"), spacing=1.0, attrs=told)
    with pytest.warns(UserWarning, match="coordinates of the channel axis"):
        io.write(tmp_path / "a.ome.zarr", plain)
    assert omero(tmp_path / "a.ome.zarr") is None


VALUES = st.one_of(
    st.lists(st.floats(width=32), min_size=3, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3),
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=3, max_size=3
    ),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.datetimes(), min_size=3, max_size=3).map(lambda v: np.array(v, "M8[us]")),
    st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=3, max_size=3),
)
NAMES = st.sampled_from([*CHANNELS, "b_value", "gradient_direction", "channel_family"])


@pytest.mark.slow
@settings(max_examples=examples(30))
@given(
    coords=st.dictionaries(NAMES, st.tuples(st.sampled_from(["c", "t", "x", ()]), VALUES)),
    unit=st.sampled_from([None, "s/mm^2"]),
    version=st.sampled_from(VERSIONS),
    dims=st.permutations(("c", "t", "y", "x")),
)
def test_any_coordinate_there_and_back(
    coords: dict[str, Any], unit: str | None, version: str, dims: list[str]
) -> None:
    about = {"unit": unit, "how": {"a": [1, 2]}} if unit else {}
    given = {
        name: (where, values if where else values[0], about)
        for name, (where, values) in coords.items()
    }
    made = sd.SpatialArray(np.zeros((3, 3, 3, 3)), dims=dims, spacing=1.0, coords=given)
    with tempfile.TemporaryDirectory() as folder:
        io.write(Path(folder) / "a.ome.zarr", made, version=version)
        text = Path(folder) / "a.ome.zarr" / (".zattrs" if version == "0.4" else "zarr.json")
        json.loads(text.read_text(), parse_constant=lambda name: pytest.fail(name))
        back = io.read(Path(folder) / "a.ome.zarr", dims=dims)
        assert set(back.coords) == set(made.coords)
        for name in made.coords:
            assert back.coords[name] == made.coords[name]
            assert back.coords[name].dtype == made.coords[name].dtype


def test_complex_coordinates_come_back(tmp_path: Path) -> None:
    made = image(phase=("c", [1j, 2j, complex(3, np.nan)]))
    io.write(tmp_path / "a.ome.zarr", made)
    assert io.read(tmp_path / "a.ome.zarr").coords["phase"] == made.coords["phase"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"axis": 0, "values": [1, 2], "type": "i8", "attrs": {}},
        {"axis": 9, "values": [1, 2, 3], "type": "i8", "attrs": {}},
        {"axis": 0, "values": [1, 2, 3], "type": "O", "attrs": {}},
        {"axis": 0, "values": [1, 2, 3], "type": "i8", "attrs": 3},
        {"axis": 0, "values": {"a": 1}, "type": "f8", "attrs": {}},
        {"axis": "c"},
        3,
    ],
)
def test_coordinates_that_are_not_valid(wrong: Any, tmp_path: Path) -> None:
    io.write(tmp_path / "a.ome.zarr", image(b_value=("c", [1, 2, 3])))
    group = zarr.open_group(str(tmp_path / "a.ome.zarr"), mode="r+")
    group.attrs["spatial_duck"] = {**group.attrs["spatial_duck"], "coords": {"b_value": wrong}}
    with pytest.raises(FormatError, match="coordinates are not valid"):
        io.read(tmp_path / "a.ome.zarr", exact=False)
