"""Stores of older and of development versions, and levels without a place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")

SPACE = [{"name": n, "type": "space", "unit": "micrometer"} for n in "yx"]
SCALE = [{"type": "scale", "scale": [2.0, 0.5]}]


def stored(path: Path, entry: dict[str, Any], shapes: Any, zarr_format: int = 2) -> Path:
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)
    for n, shape in enumerate(shapes):
        group.create_array(str(n), shape=shape, chunks=shape, dtype="u2", fill_value=n)
    if zarr_format == 2:
        group.attrs["multiscales"] = [entry]
    else:
        group.attrs["ome"] = {"version": entry.pop("version"), "multiscales": [entry]}
    return path


OLD = {
    "0.1": ({}, ("t", "c", "z", "y", "x"), (2, 3, 4, 5, 6)),
    "0.2": ({}, ("t", "c", "z", "y", "x"), (2, 3, 4, 5, 6)),
    "0.3": ({"axes": ["c", "y", "x"]}, ("c", "y", "x"), (3, 5, 6)),
    "0.3-dev": ({"axes": ["z", "y", "x"]}, ("z", "y", "x"), (4, 5, 6)),
}


@pytest.mark.parametrize("version", list(OLD))
def test_versions_without_transformations(version: str, tmp_path: Path) -> None:
    more, dims, shape = OLD[version]
    entry = {"version": version, "datasets": [{"path": "0"}, {"path": "1"}], **more}
    path = stored(tmp_path / "a.zarr", entry, (shape, (*shape[:-2], 2, 3)))
    with pytest.warns(UserWarning, match=rf"{version[:3]} has no voxel size"):
        image = io.read(path)
    assert image.dims == dims
    assert image.shape == shape
    assert set(image.spacing) == {1.0}
    assert set(image.world.units) == {None}
    assert "c" not in image.world.axes
    with pytest.raises(FormatError, match=r"coordinateTransformations.*spacing"):
        io.read(path, level=1)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("level", [0, 1])
def test_levels_without_a_place_are_refused(version: str, level: int, tmp_path: Path) -> None:
    datasets: list[dict[str, Any]] = [{"path": "0"}, {"path": "1"}]
    datasets[1 - level]["coordinateTransformations"] = SCALE
    entry = {"version": version, "axes": SPACE, "datasets": datasets}
    path = stored(tmp_path / "a.zarr", entry, ((8, 8), (4, 4)), 2 if version == "0.4" else 3)
    assert io.read(path, level=1 - level).spacing.tolist() == [2.0, 0.5]
    with pytest.raises(FormatError, match="coordinateTransformations"):
        io.read(path, level=level)


@pytest.mark.parametrize("version", ["0.4-dev", "0.5-dev", "0.5-dev2", "0.5.1", ""])
def test_development_versions_are_what_they_became(version: str, tmp_path: Path) -> None:
    entry = {"version": version, "axes": SPACE,
             "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}  # fmt: skip
    path = stored(tmp_path / "a.zarr", entry, ((8, 8),), 3 if "5" in version else 2)
    image = io.read(path)
    assert image.spacing.tolist() == [2.0, 0.5]
    assert image.unit == ("um", "um")


@pytest.mark.parametrize("version", ["0.6.dev4", "0.6-dev1", "0.6rc0", "0.5-dev1"])
def test_systems_of_development_versions(version: str, tmp_path: Path) -> None:
    system = {"name": "physical", "axes": SPACE}
    steps = [{"type": "scale", "scale": [2.0, 0.5], "input": "0", "output": "physical"}]
    entry = {"version": version, "coordinateSystems": [system],
             "datasets": [{"path": "0", "coordinateTransformations": steps}]}  # fmt: skip
    path = stored(tmp_path / "a.zarr", entry, ((8, 8),), 3)
    assert io.read(path).spacing.tolist() == [2.0, 0.5]


@pytest.mark.parametrize("version", ["0.7", "1.0", "0.0", "latest", "0.10"])
def test_versions_that_are_not_known_are_refused(version: str, tmp_path: Path) -> None:
    entry = {"version": version, "axes": SPACE,
             "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}  # fmt: skip
    path = stored(tmp_path / "a.zarr", entry, ((8, 8),))
    with pytest.raises(FormatError, match=r"is not read; 0\.1 to 0\.6 are"):
        io.read(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_chunks_that_are_missing_without_a_fill_value(zarr_format: int, tmp_path: Path) -> None:
    """A fill value of null is one that was never chosen; zarr gives zeros."""
    entry = {"version": "0.4" if zarr_format == 2 else "0.5", "axes": SPACE,
             "datasets": [{"path": "0", "coordinateTransformations": SCALE}]}  # fmt: skip
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=zarr_format)
    fill = None if zarr_format == 2 else 0
    array = group.create_array("0", shape=(8, 8), chunks=(4, 4), dtype="u2", fill_value=fill)
    array[:4] = 5
    if zarr_format == 2:
        group.attrs["multiscales"] = [entry]
    else:
        group.attrs["ome"] = {"version": entry.pop("version"), "multiscales": [entry]}
    image = io.read(tmp_path / "a.zarr")
    assert np.asarray(image)[[0, 7], 0].tolist() == [5, 0]
    assert np.asarray(image[::2, ::-1])[[0, 3], 0].tolist() == [5, 0]
    assert float(np.asarray(image.compute() + 0.5).sum()) == 5 * 32 + 32
    assert int(np.asarray(sd.pyramid(image, 2)[1])[0, 0]) == 5
    io.write(tmp_path / "b.ome.zarr", image)
    assert np.array_equal(np.asarray(io.read(tmp_path / "b.ome.zarr")), np.asarray(image))


def test_types_of_axes_are_what_the_file_says(tmp_path: Path) -> None:
    axes = [{"name": "frame", "type": "time", "unit": "second"},
            {"name": "row", "type": "space"}, {"name": "col", "type": "Space"}]  # fmt: skip
    steps = [{"type": "scale", "scale": [3.0, 2.0, 0.5]}]
    entry = {"version": "0.5", "axes": axes,
             "datasets": [{"path": "0", "coordinateTransformations": steps}]}  # fmt: skip
    path = stored(tmp_path / "a.zarr", entry, ((4, 130, 130),), 3)
    image = io.read(path)
    assert [image.world.type_of(name) for name in image.world.axes] == ["time", "space", "space"]
    assert {level.shape[0] for level in sd.pyramid(image, 3, factors=2)} == {4}
    assert image.world.units[0] == "s"
