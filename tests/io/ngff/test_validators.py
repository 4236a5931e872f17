"""What is written is valid by ome-zarr-models and ngff-zarr, for every combination of axes.

Points are compared with what these make of the transformations.
"""

from __future__ import annotations

import itertools
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import GeometryLossError
from tests.effort import examples

zarr = pytest.importorskip("zarr", reason="needs zarr")
models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")

#: On Python 3.11 there is no release of it that does.
KNOWS_06 = find_spec("ome_zarr_models.v06") is not None

VERSIONS = ("0.4", "0.5", "0.6")
DIMS = [
    order
    for space in (("y", "x"), ("z", "y", "x"))
    for more in ((), ("t",), ("c",), ("t", "c"))
    for order in itertools.permutations((*more, *space))
]
#: Length, spacing and origin of each axis.
SIZES = {"t": 2, "c": 3, "z": 4, "y": 66, "x": 70}
STEPS = {"t": (0.5, 3.0), "z": (2.0, -4.5), "y": (0.75, 10.0), "x": (0.3, 0.1)}


def attributes(path: Path) -> Any:
    found = dict(zarr.open_group(str(path), mode="r").attrs)
    return found.get("ome", found)


def check_valid(path: Path, version: str) -> None:
    """Let both validators read a store, with all rules that they have."""
    if version != "0.6" or KNOWS_06:
        opened = models.open_ome_zarr(zarr.open_group(str(path), mode="r"))
        assert opened.ome_zarr_version == version
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    pytest.importorskip("jsonschema", reason="ngff-zarr validates with jsonschema")
    from ngff_zarr.structural_validation import validate_structural

    found = ngff_zarr.from_ngff_zarr(str(path), validate=True, version=version)
    validate_structural(found.metadata)


@settings(max_examples=examples(40))
@given(
    dims=st.sampled_from(DIMS),
    version=st.sampled_from(VERSIONS),
    frame=st.sampled_from([None, "LPS", "RAS"]),
    unit=st.sampled_from([None, "mm", "um"]),
    short=st.sets(st.sampled_from("tczyx")),
    own=st.sampled_from([{}, {}, {"z": "Z", "y": "Y", "x": "X"}, {"y": "lat", "x": "lon"},
                         {"z": "slice"}]),
)  # fmt: skip
def test_axes_are_in_the_standards_order(
    dims: tuple[str, ...], version: str, frame: str | None, unit: str | None, short: set[str],
    own: dict[str, str],
) -> None:  # fmt: skip
    shape = [1 if name in short else SIZES[name] for name in dims]
    sampled = [name for name in dims if name != "c"]
    # A frame is of axes named x, y and z.
    frame = None if {"x", "y"} & own.keys() else frame
    called = tuple(own.get(n, n) for n in dims)
    image = sd.SpatialArray(
        np.arange(np.prod(shape), dtype="u4").reshape(shape), dims=called, unit=unit, frame=frame,
        spacing=[STEPS[n][0] for n in sampled], origin=[STEPS[n][1] for n in sampled],
        sampled=[own.get(n, n) for n in sampled],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.ome.zarr"
        io.write(path, image, version=version, levels=2)
        check_valid(path, version)
        order = [name for name in "tczyx" if name in dims]
        entry = attributes(path)["multiscales"][0]
        axes = entry["axes"] if version != "0.6" else entry["coordinateSystems"][0]["axes"]
        assert [a["name"] for a in axes] == order
        for exact in (True, False):
            back = io.read(path, dims=called if exact else dims, exact=exact)
            if exact:
                assert back.geometry == image.geometry
            # The orientations of y and x alone are no frame.
            said = frame if exact or ("z" in dims and "z" not in own) else None
            wanted = image.geometry
            if not exact:
                wanted = wanted.replace(dims=dims, world=sd.World(sampled, wanted.unit))
            wanted = wanted.replace(frame=said).to_world(back.world.axes)
            assert back.geometry.isclose(wanted, 1e-9)
            assert np.array_equal(np.asarray(back), image.data)


def turn(z: float, y: float, x: float) -> Any:
    """Return a rotation about three axes."""
    out = np.eye(3)
    for (a, b), angle in zip(((1, 2), (0, 2), (0, 1)), (z, y, x), strict=True):
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        out = step @ out
    return out


DIRECTIONS = {
    "oblique": turn(0.3, -0.7, 0.2),
    "mirrored": turn(0.3, -0.7, 0.2) * [-1, 1, 1],
    "sheared": np.array([[1, 0.3, 0], [0, np.sqrt(1 - 0.09), 0], [0, 0, 1]]),
    "flipped": np.diag([1.0, -1.0, 1.0]),
    "permuted": np.eye(3)[[2, 0, 1]],
}  # fmt: skip


def reached(path: Path, level: int, index: Any) -> dict[str, float]:
    """Where ome-zarr-models puts a voxel in the system "world", by the names of its axes."""
    group = zarr.open_group(str(path), mode="r")
    entry = models.open_ome_zarr(group).ome_attributes.multiscales[0]
    point = entry.datasets[level].coordinateTransformations[0].transform_point(index)
    for further in entry.coordinateTransformations or ():
        point = further.transform_point(point)
    (axes,) = [s.axes for s in entry.coordinateSystems if s.name == "world"]
    return {a.name: p for a, p in zip(axes, point, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize("more", [(), ("c",), ("t",), ("t", "c")])
@pytest.mark.parametrize("world", [("x", "y", "z"), ("z", "y", "x")])
@pytest.mark.parametrize("name", list(DIRECTIONS))
def test_06_holds_any_direction(
    name: str, world: tuple[str, ...], more: tuple[str, ...], tmp_path: Path
) -> None:
    n = len(more) + 3
    time = [m for m in more if m == "t"]
    direction = np.eye(len(time) + 3)
    direction[len(time) :, len(time) :] = DIRECTIONS[name]
    image = sd.SpatialArray(
        np.arange(2 ** len(more) * 4 * 66 * 70, dtype="i4").reshape(*[2] * len(more), 4, 66, 70),
        dims=(*more, "z", "y", "x"), spacing=[2.0] * len(time) + [3.0, 0.7, 0.3],
        origin=[1.5] * len(time) + [-7.1, 1 / 3, 1e4], direction=direction,
        world=sd.World((*time, *world), ("s",) * len(time) + ("mm",) * 3, "LPS"),
    )  # fmt: skip
    path = tmp_path / "a.ome.zarr"
    io.write(path, image, version="0.6", levels=3, factors=2)
    check_valid(path, "0.6")
    pyramid = sd.pyramid(image, levels=3, factors=2)
    for level, wanted in enumerate(pyramid):
        back = io.read(path, level=level)
        assert back.geometry == wanted.geometry
        assert np.array_equal(np.asarray(back), wanted.data)
        index = [1] * n
        there = dict(zip(wanted.world.axes, wanted.index_to_physical(index), strict=True))
        found = reached(path, level, index)
        assert all(abs(found[axis] - there[axis]) < 1e-9 for axis in there)
        # Without what is kept beside the standard.
        other = io.read(path, level=level, exact=False, system="world")
        assert other.frame == "LPS"
        assert other.geometry.to_world(wanted.world.axes).isclose(wanted.geometry, 1e-9)


def turned(angles: tuple[float, float, float], shear: float, flip: bool) -> Any:
    """Return a direction of unit columns: turned, sheared and mirrored."""
    direction = turn(*angles) @ np.array([[1, shear, 0], [0, 1, 0], [0, 0, -1 if flip else 1]])
    return direction / np.linalg.norm(direction, axis=0)


@settings(max_examples=examples(24))
@given(
    suffix=st.sampled_from([".nrrd", ".nii", ".mha"]),
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    shear=st.sampled_from([0.0, 0.0, 0.25]),
    flip=st.booleans(),
    spacing=st.tuples(*[st.floats(1e-2, 50)] * 3),
    origin=st.tuples(*[st.floats(-1e3, 1e3)] * 3),
    frame=st.sampled_from(["LPS", "RAS"]),
)
def test_geometry_of_other_formats_passes_through_06(
    suffix: str, angles: Any, shear: float, flip: bool, spacing: Any, origin: Any, frame: str
) -> None:
    """What a header says comes back to the bit, and into the same header again."""
    # In voxels: NIfTI-1 has origins in single precision, and is refused where that is too coarse.
    origin = [min(spacing) * o for o in origin]
    given_image = sd.SpatialArray(
        np.arange(24, dtype="i2").reshape(2, 3, 4), spacing=spacing, origin=origin, unit="mm",
        direction=turned(angles, shear, flip), frame=frame,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        first = Path(folder) / f"a{suffix}"
        io.write(first, given_image)
        image = io.read(first).compute()
        io.write(Path(folder) / "a.ome.zarr", image, version="0.6", levels=1)
        back = io.read(Path(folder) / "a.ome.zarr", dims=image.dims)
        assert back.geometry == image.geometry
        assert np.array_equal(np.asarray(back), np.asarray(image))
        io.write(Path(folder) / f"b{suffix}", back)
        again = io.read(Path(folder) / f"b{suffix}")
        io.write(Path(folder) / f"c{suffix}", image)
        assert again.geometry == io.read(Path(folder) / f"c{suffix}").geometry
        # By the standard alone.
        other = io.read(Path(folder) / "a.ome.zarr", dims=image.dims, exact=False, system="world")
        assert other.frame == image.frame
        assert other.geometry.to_world(image.world.axes).isclose(image.geometry, 1e-9)


def test_06_holds_a_plane_in_space(tmp_path: Path) -> None:
    volume = sd.SpatialArray(
        np.arange(4 * 5 * 6).reshape(4, 5, 6), spacing=(2, 0.7, 0.3), origin=(1, 2, 3),
        direction=DIRECTIONS["oblique"], frame="LPS", unit="mm",
    )  # fmt: skip
    plane = volume[:, 2]
    io.write(tmp_path / "a.ome.zarr", plane, version="0.6")
    check_valid(tmp_path / "a.ome.zarr", "0.6")
    back = io.read(tmp_path / "a.ome.zarr")
    assert back.shape == (4, 1, 6) or back.squeeze().shape == (4, 6)
    assert np.allclose(
        back.squeeze().index_to_physical([3, 5]), plane.index_to_physical([3, 5]), atol=1e-9
    )


def test_a_moment_is_an_axis_of_time(tmp_path: Path) -> None:
    movie = sd.SpatialArray(np.zeros((3, 4, 5)), dims=("t", "y", "x"), spacing=(2, 1, 1))
    io.write(tmp_path / "a.ome.zarr", movie[2], version="0.6")
    back = io.read(tmp_path / "a.ome.zarr")
    assert back.dims == ("t", "y", "x")
    assert back.index_to_physical([0, 1, 1]).tolist() == [4, 1, 1]
    with pytest.raises(GeometryLossError, match="world axes"):
        io.write(tmp_path / "b.ome.zarr", movie[2], version="0.5")


def test_a_changed_transformation_is_used(tmp_path: Path) -> None:
    """Registration by another program is not undone by what is kept beside the standard."""
    image = sd.SpatialArray(
        np.zeros((4, 5, 6)), direction=DIRECTIONS["oblique"], frame="LPS", unit="mm"
    )
    path = tmp_path / "a.ome.zarr"
    io.write(path, image, version="0.6")
    group = zarr.open_group(str(path), mode="r+")
    ome = dict(group.attrs["ome"])
    (further,) = ome["multiscales"][0]["coordinateTransformations"]
    further["rotation"][0][0] += 0.01
    further["type"] = "affine"
    further["affine"] = [[*row, 0.0] for row in further.pop("rotation")]
    group.update_attributes({"ome": ome})
    with pytest.warns(UserWarning, match="no longer fits"):
        io.read(path)
