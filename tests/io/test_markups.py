"""3D Slicer's markups: points where Slicer has them, with what it says of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, FrameError, GeometryLossError
from spatial_duck.testing import _strategies as strategies

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/"
    "Schema/markups-schema-v1.0.3.json#"
)
TYPES = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve", "Plane", "ROI")


def written(path: Path, *markups: dict[str, Any], schema: str = SCHEMA) -> Path:
    """Write a file as Slicer does."""
    path.write_text(json.dumps({"@schema": schema, "markups": list(markups)}))
    return path


def region(**more: Any) -> dict[str, Any]:
    """Return a region of interest, as Slicer saves one."""
    return {
        "type": "ROI", "name": "R", "coordinateSystem": "LPS", "coordinateUnits": "mm",
        "roiType": "Box", "center": [1.0, -2.0, 3.0], "size": [10.0, 20.0, 30.0],
        "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0], "insideOut": False,
        "controlPoints": [
            {
                "id": "1", "label": "R-1", "description": "", "position": [1.0, -2.0, 3.0],
                "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0], "selected": True,
                "positionStatus": "defined",
            }
        ],
        "display": {"color": [0.4, 1.0, 1.0]},
    } | more  # fmt: skip


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_read_and_written_as_it_was(kind: str, tmp_path: Path) -> None:
    given = region(type=kind)
    (markup,) = io.read_markups(written(tmp_path / "a.mrk.json", given))
    assert (markup.type, markup.name, markup.frame, markup.unit) == (kind, "R", "LPS", "mm")
    assert (markup.labels, markup.points.tolist()) == (("R-1",), [[1.0, -2.0, 3.0]])
    assert markup.attrs["size"] == [10.0, 20.0, 30.0]
    io.write_markups(tmp_path / "b.mrk.json", markup)
    back = json.loads((tmp_path / "b.mrk.json").read_text())
    assert back == {"@schema": SCHEMA, "markups": [given]}


@pytest.mark.parametrize(
    "given, frame, unit",
    [
        ({}, "LPS", "mm"),
        ({"coordinateSystem": "RAS"}, "RAS", "mm"),
        ({"coordinateSystem": "0"}, "RAS", "mm"),
        ({"coordinateUnits": ["um", "UCUM", "micrometer"]}, "LPS", "um"),
    ],
)
def test_coordinate_systems(given: dict[str, Any], frame: str, unit: str, tmp_path: Path) -> None:
    points = [{"label": "a", "position": [1, 2, 3]}]
    path = written(tmp_path / "a.mrk.json", {"type": "Line", "controlPoints": points, **given})
    (markup,) = io.read_markups(path)
    assert (markup.frame, markup.unit) == (frame, unit)
    assert markup.points_in("LPS").tolist() == [[1, 2, 3] if frame == "LPS" else [-1, -2, 3]]


def test_points_that_were_not_placed(tmp_path: Path) -> None:
    points = [
        {"label": "a", "positionStatus": "undefined", "position": [0.0, 0.0, 0.0]},
        {"label": "b"},
        {"label": "c", "position": [1.0, 2.0, 3.0]},
    ]
    path = written(tmp_path / "a.mrk.json", {"type": "Angle", "controlPoints": points})
    (markup,) = io.read_markups(path)
    assert np.isnan(markup.points).any(axis=1).tolist() == [True, True, False]
    io.write_markups(tmp_path / "b.mrk.json", markup)
    (again,) = io.read_markups(tmp_path / "b.mrk.json")
    assert np.array_equal(again.points, markup.points, equal_nan=True)


@given(data=st.data())
def test_points_of_voxels_are_found_in_any_image(data: st.DataObject) -> None:
    g = data.draw(strategies.geometries(dims=("z", "y", "x"), min_side=1))
    frame = g.frame or "LPS"
    g = g.replace(frame=frame, unit=g.unit[0] or "um")
    index = data.draw(st.tuples(*[st.integers(0, n - 1) for n in g.shape]))
    there = g.to_world(["x", "y", "z"]).to_frame("RAS").to_unit("mm").index_to_physical(index)
    markup = io.Markup([there], frame="RAS", unit="mm")
    assert np.allclose(g.physical_to_index(markup.points_in(g)), index, atol=1e-6)


@pytest.mark.slow
def test_values_are_sampled_at_markups(tmp_path: Path) -> None:
    image = sd.SpatialArray(
        np.arange(24.0).reshape(2, 3, 4), spacing=(2, 1, 1), unit="mm", frame="RAS"
    )
    at = image.index_to_physical((1, 2, 3))[::-1]  # x, y, z
    io.write_markups(tmp_path / "a.mrk.json", io.Markup([at], ["end"], frame="RAS"))
    (markup,) = io.read_markups(tmp_path / "a.mrk.json")
    assert sd.sample(image, markup.points_in(image)).tolist() == [23.0]
    microns = image.to_unit("um")
    assert sd.sample(microns, markup.points_in(microns)).tolist() == [23.0]


def test_other_frames_and_units_are_written_in_lps_and_mm(tmp_path: Path) -> None:
    io.write_markups(tmp_path / "a.mrk.json", io.Markup([[1, 2, 3]], frame="RPI", unit="cm"))
    (markup,) = io.read_markups(tmp_path / "a.mrk.json")
    assert (markup.frame, markup.unit) == ("LPS", "mm")
    assert np.allclose(markup.points, [[-10, 20, -30]])


@pytest.mark.parametrize(
    "given, said",
    [
        ({"type": "TestMarkup"}, "is of type 'TestMarkup'"),
        ({}, "is of type 'None'"),
        ({"type": "Line", "coordinateSystem": "XYZ"}, "LPS or RAS"),
        ({"type": "Line", "coordinateUnits": "px"}, "mm or um"),
        ({"type": "Line", "controlPoints": [{"position": [1, 2]}]}, "3 numbers"),
        ({"type": "Line", "controlPoints": [{"position": ["a", 2, 3]}]}, "3 numbers"),
        ({"type": "Line", "controlPoints": "none"}, "list of objects"),
    ],
)
def test_what_is_not_understood_is_named(given: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=said):
        io.read_markups(written(tmp_path / "a.mrk.json", given))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"@schema": "x", "markups": []}'])
def test_other_json_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.mrk.json").write_text(text)
    with pytest.raises(FormatError, match=r"a\.mrk\.json"):
        io.read_markups(tmp_path / "a.mrk.json")


def test_directions_are_never_left_in_another_frame(tmp_path: Path) -> None:
    turned = io.Markup([[1, 2, 3]], type="ROI", frame="LAS", attrs={"center": [1, 2, 3]})
    with pytest.raises(GeometryLossError, match="center"):
        io.write_markups(tmp_path / "a.mrk.json", turned)
    assert not (tmp_path / "a.mrk.json").exists()


def test_images_without_a_frame_take_no_points() -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4)))
    with pytest.raises(FrameError, match="unspecified"):
        io.Markup([[1, 2, 3]]).points_in(image)


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    path = tmp_path / "a.mrk.json"
    io.write_markups(path, io.Markup([[1, 2, 3]]))
    with pytest.raises(FileExistsError):
        io.write_markups(path, [])
    io.write_markups(path, [], overwrite=True)
    assert io.read_markups(path) == []


@pytest.mark.library
def test_what_slicerio_makes_of_a_list_of_points(tmp_path: Path) -> None:
    slicerio = pytest.importorskip("slicerio", reason="needs slicerio")
    fcsv = tmp_path / "F.fcsv"
    fcsv.write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "1,1.5,-2.25,3,0,0,0,1,1,1,0,F-1,,\n2,4,5,6,0,0,0,1,1,1,0,F-2,,\n"
    )
    slicerio.fcsv_to_markups_json(str(fcsv), str(tmp_path / "F.mrk.json"))
    (markup,) = io.read_markups(tmp_path / "F.mrk.json")
    assert markup.labels == ("F-1", "F-2")
    assert markup.points_in("LPS").tolist() == [[1.5, -2.25, 3.0], [4.0, 5.0, 6.0]]
