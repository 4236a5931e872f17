"""Plugins for napari and imageio."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryLossError
from spatial_duck.io._registry import formats

ROOT = Path(sd.__file__).resolve().parent
TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


def image(dtype: str = "f4", direction: Any = TURN) -> sd.SpatialArray:
    values = np.random.default_rng(0).random((4, 5, 6)) * 9
    return sd.SpatialArray(
        values.astype(dtype), spacing=(2, 1, 0.5), origin=(1, 2, 3), direction=direction,
        frame="LPS", unit="mm",
    )  # fmt: skip


# --- napari -------------------------------------------------------------------------------


@pytest.fixture
def manifest() -> Any:
    npe2 = pytest.importorskip("npe2", reason="needs npe2")
    return npe2.PluginManifest.from_file(ROOT / "napari.yaml")


@pytest.mark.library
def test_the_manifest_is_valid_and_names_all_formats(manifest: Any) -> None:
    manifest.validate_imports()
    patterns = set(manifest.contributions.readers[0].filename_patterns)
    written = set(manifest.contributions.writers[0].filename_extensions)
    for fmt in formats():
        assert {f"*{suffix}" for suffix in fmt.suffixes} <= patterns, fmt.name
        if type(fmt).write is not sd.io.Format.write:
            assert set(fmt.suffixes) <= written, fmt.name


@pytest.mark.library
@pytest.mark.parametrize("ending", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize("kind", ["image", "labels"])
def test_layers_go_out_and_come_back(
    manifest: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, kind: str
) -> None:
    from npe2 import PluginManager, io_utils

    manager = PluginManager()
    manager.register(manifest)
    monkeypatch.setattr(PluginManager, "_PluginManager__instance", manager)  # writers ask it
    mine = image("u1" if kind == "labels" else "f4")
    data, meta, _ = sd.to_napari(mine, kind=kind)  # type: ignore[arg-type]
    path = str(tmp_path / f"a{ending}")
    io_utils._write(path, [(data, meta, kind)], plugin_name="spatial-duck", _pm=manager)
    (layer,) = io_utils._read([path], plugin_name="spatial-duck", stack=False, _pm=manager)
    back = sd.from_napari(layer)
    back = back.to_frame("LPS").to_world(mine.world.axes).transpose(*mine.dims)
    assert np.array_equal(np.asarray(back), np.asarray(mine))
    assert back.geometry.isclose(mine.geometry)
    if ending == ".nii.gz":  # the others cannot say that integers are labels
        assert layer[2] == kind


@pytest.mark.library
def test_the_whole_map_of_a_layer_is_written(tmp_path: Path) -> None:
    layers = pytest.importorskip("napari.layers", reason="needs napari")
    from spatial_duck.interop._napari_plugin import write_image

    layer = layers.Image(
        np.zeros((4, 5, 6), "f4"), scale=(2, 1, 0.5), translate=(1, 2, 3), rotate=(10, 20, 30),
        shear=(0.1, 0.2, 0.3), affine=np.diag([1.0, 2.0, 1.0, 1.0]),
    )  # fmt: skip
    data, meta, _ = layer.as_layer_data_tuple()
    write_image(str(tmp_path / "a.nrrd"), data, {**meta, "units": ("mm",) * 3})
    back = sd.read(tmp_path / "a.nrrd")
    where = dict(zip(back.world.axes, back.index_to_physical(
        [{"z": 1, "y": 2, "x": 3}[str(d)] for d in back.dims]), strict=True))  # fmt: skip
    found = [where[n] for n in "zyx"]
    assert np.allclose(found, layer.data_to_world((1, 2, 3)), atol=1e-4)


@pytest.mark.library
def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    from spatial_duck.interop._napari_plugin import write_image

    pytest.importorskip("tifffile", reason="needs tifffile")
    data, meta, _ = sd.to_napari(image())
    with pytest.raises(GeometryLossError):
        write_image(str(tmp_path / "a.tif"), data, meta)


def test_the_entry_point_names_the_manifest() -> None:
    points = entry_points(group="napari.manifest")
    found = [p.value for p in points if p.name == "spatial-duck"]
    if not found:
        pytest.skip("the installed package is older than its manifest")
    assert set(found) == {"spatial_duck:napari.yaml"}


# --- imageio ------------------------------------------------------------------------------


def test_imageio_gives_voxels_and_place(tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3", reason="needs imageio")
    plugin = sd.interop.ImageioPlugin
    path = tmp_path / "a.nrrd"
    iio.imwrite(path, image(), plugin=plugin)
    back = sd.read(path)
    assert np.array_equal(iio.imread(path, plugin=plugin), np.asarray(back))
    properties = iio.improps(path, plugin=plugin)
    assert properties.spacing == tuple(back.spacing)
    assert properties.shape == back.shape
    meta = iio.immeta(path, plugin=plugin)
    assert meta["frame"] == back.frame
    assert np.array_equal(meta["direction"], back.direction)
    planes = list(iio.imiter(path, plugin=plugin))
    assert np.array_equal(np.stack(planes), np.asarray(back))
    assert iio.improps(path, index=1, plugin=plugin).spacing == tuple(back[1].spacing)


def test_imageio_writes_bare_arrays_with_what_is_given(tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3", reason="needs imageio")
    given = {"spacing": (2, 1, 0.5), "unit": "mm", "frame": "LPS"}
    iio.imwrite(tmp_path / "a.nrrd", np.zeros((2, 3, 4), "f4"),
                plugin=sd.interop.ImageioPlugin, **given)  # fmt: skip
    assert sd.read(tmp_path / "a.nrrd").spacing.tolist() == [2, 1, 0.5]
    (tmp_path / "b.nrrd").write_bytes(b"nothing")
    with pytest.raises(OSError, match="can not handle"):
        iio.imread(tmp_path / "b.nrrd", plugin=sd.interop.ImageioPlugin)
