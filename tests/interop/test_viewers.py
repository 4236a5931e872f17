"""Interactive viewers get images where they lie."""

from __future__ import annotations

import gzip
import sys
import warnings
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.interop._viewers import view

TURNED = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
IMAGE = sd.SpatialArray(
    np.arange(120, dtype="f4").reshape(4, 5, 6), spacing=(3, 2, 1), origin=(5, 6, 7),
    direction=TURNED, frame="LPS", unit="mm",
)  # fmt: skip
MASK = IMAGE[1:3] > 50


@pytest.mark.filterwarnings("ignore")
def test_napari_shows_each_on_its_own_grid() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what napari's packages deprecate
        components = pytest.importorskip("napari.components", reason="needs napari")
    # The viewer without its window.
    viewer = view(IMAGE, MASK, IMAGE * 2, viewer=components.ViewerModel())
    assert [type(layer).__name__ for layer in viewer.layers] == ["Image", "Labels", "Image"]
    assert [layer.opacity for layer in viewer.layers] == [1, 0.5, 0.5]
    for layer, image in zip(viewer.layers, (IMAGE, MASK, IMAGE), strict=True):
        found = layer.data_to_world((1, 2, 3))
        assert np.allclose(found, image.index_to_physical((1, 2, 3)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_niivue_gets_nifti_with_the_geometry() -> None:
    ipyniivue = pytest.importorskip("ipyniivue", reason="needs ipyniivue")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    viewer: Any = view(IMAGE, MASK, viewer="niivue")
    assert isinstance(viewer, ipyniivue.NiiVue)
    assert [v.opacity for v in viewer.volumes] == [1, 0.5]
    for volume, image in zip(viewer.volumes, (IMAGE, MASK), strict=True):
        held = nibabel.Nifti1Image.from_bytes(gzip.decompress(volume.data))
        values = np.asarray(held.dataobj)
        assert np.array_equal(values.T, np.asarray(image))
        expected = image.geometry.to_frame("RAS").index_to_physical((1, 2, 3))
        world = dict(zip(image.world.axes, expected, strict=True))
        point = held.affine @ [3, 2, 1, 1]
        assert np.allclose(point[:3], [world[n] for n in "xyz"], atol=1e-4)


def test_what_is_no_viewer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'napari', 'niivue'"):
        view(IMAGE, viewer="paraview")
    with pytest.raises(TypeError, match="viewer must be"):
        view(IMAGE, viewer=3)
    for package in ("napari", "ipyniivue"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    monkeypatch.setattr("spatial_duck.interop._viewers.find_spec", lambda _: None)
    with pytest.raises(ImportError, match="napari"):
        view(IMAGE)
