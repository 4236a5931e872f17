"""OME-Zarr: what other readers see, what is kept beside it, and laziness."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError, GeometryLossError

if TYPE_CHECKING:
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")

VERSIONS = ("0.4", "0.5")


def ramp(shape: tuple[int, ...] = (19, 70, 131)) -> sd.SpatialArray:
    """A volume whose values are x + 2 y + 3 z at its own places."""
    image = sd.SpatialArray(
        np.zeros(shape), spacing=(2.5, 0.7, 0.5), origin=(-10, 20, 3.3), frame="RAS", unit="mm"
    )
    points = image.index_to_physical(np.moveaxis(np.indices(shape), 0, -1))
    return image.replace(data=points @ [3.0, 2.0, 1.0])


@pytest.mark.parametrize("version", VERSIONS)
def test_every_level_lies_where_its_values_are(version: str, tmp_path: Path) -> None:
    image = ramp()
    io.write(tmp_path / "a.ome.zarr", image, version=version, levels=4, chunks=32, factors=2)
    found = io.info(tmp_path / "a.ome.zarr")
    assert found.levels == 4
    for level in range(4):
        for exact in (True, False):
            part = io.read(tmp_path / "a.ome.zarr", level=level, exact=exact)
            points = part.index_to_physical(np.moveaxis(np.indices(part.shape), 0, -1))
            assert abs(points @ [3.0, 2.0, 1.0] - np.asarray(part)).max() < 1e-9
        assert io.info(tmp_path / "a.ome.zarr", level=level).geometry.shape == part.shape
    assert part.shape == (2, 8, 16)


def with_ngff_zarr(path: Path) -> list[tuple[np.ndarray, Any, Any, Any]]:
    """Each level's voxels, scale, translation and units, as ngff-zarr reads them."""
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    out = []
    for image in ngff_zarr.from_ngff_zarr(str(path)).images:
        places = [[part[d] for d in image.dims] for part in (image.scale, image.translation)]
        units = {d: u for d, u in (image.axes_units or {}).items() if u}
        out.append((np.asarray(image.data), *places, units))
    return out


def with_ome_zarr_py(path: Path) -> list[tuple[np.ndarray, Any, Any, Any]]:
    """The same as ome-zarr-py reads them."""
    pytest.importorskip("ome_zarr", reason="needs ome-zarr-py")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node,) = Reader(parse_url(str(path)))()
    units = {a["name"]: a["unit"] for a in node.metadata["axes"] if "unit" in a}
    return [
        (np.asarray(data), scale["scale"], shift["translation"], units)
        for data, (scale, shift) in zip(
            node.data, node.metadata["coordinateTransformations"], strict=True
        )
    ]


READERS = {"ngff-zarr": with_ngff_zarr, "ome-zarr-py": with_ome_zarr_py}
LEVELS: dict[str, dict[str, Any]] = {
    "isotropic first": {},
    "mean of 3": {"factors": 3},
    "gaussian": {"method": "gaussian", "factors": {"z": 1, "y": 2, "x": 3}},
    "nearest": {"method": "nearest", "factors": 2},
    "mode": {"method": "mode", "factors": 4},
    "shards": {"chunks": 16, "shards": 32},
}


@pytest.mark.fact("units", "OME-Zarr", "written", "ngff-zarr, ome-zarr-py")
@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", list(LEVELS))
@pytest.mark.parametrize("reader", list(READERS))
def test_other_libraries_read_the_same_points(
    reader: str, name: str, version: str, tmp_path: Path
) -> None:
    options = dict(LEVELS[name])
    if version == "0.4" and "shards" in options:
        pytest.skip("OME-Zarr 0.4 has no shards")
    image = ramp((19, 47, 61))
    io.write(tmp_path / "a.ome.zarr", image, version=version, levels=3, **options)
    levels = READERS[reader](tmp_path / "a.ome.zarr")
    assert len(levels) == 3
    for n, (data, scale, translation, units) in enumerate(levels):
        ours = io.read(tmp_path / "a.ome.zarr", level=n)
        assert list(scale) == ours.spacing.tolist()
        assert list(translation) == ours.origin.tolist()
        assert units == dict.fromkeys("zyx", "millimeter")
        assert np.array_equal(data, np.asarray(ours))
        if options.get("method") != "mode":
            at = np.moveaxis(np.indices(data.shape), 0, -1) * scale + translation
            assert abs(at @ [3.0, 2.0, 1.0] - data).max() < 1e-9


_MULTISCALE_SPATIAL_IMAGE = """
import json, sys, numpy as np
from multiscale_spatial_image import to_multiscale
from spatial_image import to_spatial_image
made = to_spatial_image(
    np.random.default_rng(0).random((8, 12, 16)), dims=list("zyx"),
    scale={"z": 2.0, "y": 1.0, "x": 0.5}, translation={"z": 1.0, "y": 2.0, "x": 3.0},
)
levels = to_multiscale(made, [2])
levels.msi.to_zarr(sys.argv[1])
images = [levels[f"scale{n}"].image for n in range(2)]
print(json.dumps([[np.asarray(i).tolist(), [i.coords[d].values.tolist() for d in "zyx"]]
                  for i in images]))
"""


def test_what_multiscale_spatial_image_writes_lies_where_it_says(tmp_path: Path) -> None:
    # It has no reader of its own beyond that of ngff-zarr. In a process of its own: ITK's modules
    # do not load beside every other library.
    for name in ("multiscale_spatial_image", "itk"):
        if find_spec(name) is None:
            pytest.skip(f"needs {name}")
    path = tmp_path / "a.zarr"
    command = [sys.executable, "-W", "ignore", "-c", _MULTISCALE_SPATIAL_IMAGE, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        pytest.skip(f"multiscale-spatial-image does not run here: {ran.stderr[-300:]}")
    for n, (values, places) in enumerate(json.loads(ran.stdout.splitlines()[-1])):
        ours = io.read(path, level=n)
        assert np.array_equal(np.asarray(ours), values)
        for i, expected in enumerate(places):
            at = ours.origin[i] + ours.spacing[i] * np.arange(ours.shape[i])
            assert np.allclose(at, expected, atol=1e-12)


@pytest.mark.parametrize("version", VERSIONS)
def test_metadata_pass_the_models(version: str, tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")
    image = ramp()[None].replace(dims=("c", "z", "y", "x"))
    io.write(tmp_path / "a.ome.zarr", image, version=version)
    opened = models.open_ome_zarr(zarr.open_group(tmp_path / "a.ome.zarr", mode="r"))
    assert opened.ome_zarr_version == version


def oblique() -> sd.SpatialArray:
    angle = np.cos(0.3), np.sin(0.3)
    direction = [[1, 0, 0], [0, angle[0], -angle[1]], [0, angle[1], angle[0]]]
    return sd.SpatialArray(
        np.arange(24 * 80 * 90, dtype="i4").reshape(24, 80, 90), spacing=(3, 1, 1),
        origin=(1 / 3, 2, 3), direction=direction, frame="RAS", unit="mm",
    )  # fmt: skip


REFUSED = {
    "oblique": (oblique(), "oblique direction of axis 'y'"),
    "flipped": (ramp()[:, ::-1], "'y' runs backwards"),
    "another axis": (ramp().replace(dims=("y", "z", "x")), "world's 'z'"),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", list(REFUSED))
def test_what_the_standard_cannot_say_is_refused_or_kept(
    version: str, what: str, tmp_path: Path
) -> None:
    image, message = REFUSED[what]
    path = tmp_path / "a.ome.zarr"
    with pytest.raises(GeometryLossError, match=message) as caught:
        io.write(path, image, version=version)
    assert "oblique='keep'" in str(caught.value)
    assert not list(tmp_path.iterdir())
    io.write(path, image, version=version, oblique="keep", levels=2)
    back = io.read(path, dims=image.dims)
    assert back.geometry == image.geometry
    assert np.array_equal(np.asarray(back), np.asarray(image))
    # Other readers see the levels unrotated, but on top of each other.
    levels = [io.read(path, level=n, exact=False, dims=image.dims).geometry for n in (0, 1)]
    for axis in range(3):
        assert abs(levels[0].corner - levels[1].corner)[axis] < 1e-9
    # In the exact geometry each coarse voxel is at the centre of its bin.
    coarse = io.read(path, level=1, dims=image.dims)
    bins = np.round(coarse.spacing / image.spacing)
    assert np.allclose(coarse.origin, image.index_to_physical((bins - 1) / 2), atol=1e-12)


def edited(path: Path, version: str, change: Any) -> None:
    """Change a group's attributes on disk."""
    name = path / (".zattrs" if version == "0.4" else "zarr.json")
    content = json.loads(name.read_text())
    change(content if version == "0.4" else content["attributes"])
    name.write_text(json.dumps(content))


@pytest.mark.parametrize("version", VERSIONS)
def test_stale_exact_geometry_is_not_used(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    io.write(path, oblique(), version=version, oblique="keep")

    def change(attributes: Any) -> None:
        entry = attributes.get("ome", attributes)["multiscales"][0]["datasets"][0]
        entry["coordinateTransformations"][0]["scale"] = [9.0, 9.0, 9.0]

    edited(path, version, change)
    with pytest.warns(UserWarning, match="no longer fits"):
        assert io.read(path).spacing.tolist() == [9, 9, 9]


BROKEN = {
    "no multiscales": lambda a: a.get("ome", a).pop("multiscales"),
    "not a list": lambda a: a.get("ome", a).update(multiscales=3),
    "no axes": lambda a: a.get("ome", a)["multiscales"][0].pop("axes"),
    "axes of another number": lambda a: a.get("ome", a)["multiscales"][0]["axes"].pop(),
    "no datasets": lambda a: a.get("ome", a)["multiscales"][0].update(datasets=[]),
    "missing level": lambda a: a.get("ome", a)["multiscales"][0]["datasets"][0].update(path="9"),
    "path outside": lambda a: a.get("ome", a)["multiscales"][0]["datasets"][0].update(
        path="../../b"
    ),
    "scale of zero": lambda a: a.get("ome", a)["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ][0].update(scale=[0, 1, 1]),
    "scale of words": lambda a: a.get("ome", a)["multiscales"][0]["datasets"][0][
        "coordinateTransformations"
    ][0].update(scale=["a", 1, 1]),
    "own namespace": lambda a: a["spatial_duck"]["levels"][0].update(spacing=[1, "x", 1]),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("what", list(BROKEN))
def test_broken_metadata_are_format_errors(version: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"
    io.write(path, ramp((4, 5, 6)), version=version)
    edited(path, version, BROKEN[what])
    with pytest.raises(FormatError):
        io.read(path)


def chunk_files(path: Path) -> list[Path]:
    files = [p for p in (path / "0").rglob("*") if p.is_file()]
    return [p for p in files if not p.name.startswith((".z", "zarr"))]


@pytest.mark.parametrize("version", VERSIONS)
def test_opening_slicing_and_flipping_read_no_chunk(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    image = ramp((8, 32, 32))
    io.write(path, image, version=version, chunks=8, levels=1)
    # Without its chunks, whatever reads one would see fill values.
    chunks = chunk_files(path)
    assert len(chunks) == 16
    content = {p: p.read_bytes() for p in chunks}
    for p in chunks:
        p.write_bytes(b"broken")
    part = io.read(path)[2:, ::-1, ::2].transpose(2, 0, 1)
    assert part.geometry.isclose(image[2:, ::-1, ::2].transpose(2, 0, 1).geometry)
    for p, b in content.items():
        p.write_bytes(b)
    assert np.array_equal(np.asarray(part), np.asarray(image)[2:, ::-1, ::2].transpose(2, 0, 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_flipped_bit_is_found(version: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    rng = np.random.default_rng(0)
    io.write(path, ramp((8, 16, 16)).replace(data=rng.random((8, 16, 16))), version=version)
    (chunk,) = chunk_files(path)
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(bytes(content))
    with pytest.raises((OSError, ValueError, RuntimeError, zlib.error)):
        np.asarray(io.read(path))


def test_chunks_by_name_number_and_axis(tmp_path: Path) -> None:
    image = ramp((8, 32, 32))[None].replace(dims=("c", "z", "y", "x"))
    for chunks, wanted in (
        (16, (1, 8, 16, 16)),
        ({"z": 2, "c": 1}, (1, 2, 32, 32)),
        ((1, 3, 5, 7), (1, 3, 5, 7)),
        (None, (1, 8, 32, 32)),
    ):
        io.write(tmp_path / "a.zarr", image, chunks=chunks, overwrite=True)
        assert zarr.open_group(tmp_path / "a.zarr", mode="r")["0"].chunks == wanted


def test_attrs_survive(tmp_path: Path) -> None:
    image = ramp((4, 5, 6)).replace(attrs={"patient": "x", "n": [1, 2.5]})
    for version in VERSIONS:
        io.write(tmp_path / "a.zarr", image, version=version, overwrite=True)
        back = io.read(tmp_path / "a.zarr")
        assert (back.attrs["patient"], back.attrs["n"]) == ("x", [1, 2.5])


@pytest.mark.parametrize("bad", [{"version": "0.7"}, {"oblique": "drop"}, {"method": "median"},
                                 {"chunks": (1, 2)}, {"chunks": -1}])  # fmt: skip
def test_options_are_checked_before_anything_is_written(
    bad: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="must"):
        io.write(tmp_path / "a.zarr", ramp((4, 5, 6)), **bad)
    assert not list(tmp_path.iterdir())
