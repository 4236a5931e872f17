"""ngff-zarr's images: axes in the standard's order, channels both ways."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import interop

if TYPE_CHECKING:
    from pathlib import Path

nz = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")

COORDS = {
    "channel": ("c", ["DAPI", "GFP"]),
    "channel_color": ("c", ["0000FF", "00FF00"]),
    "display_window": ("c", [[0, 10], [5, 20]]),
    "display_range": ("c", [[0, 100], [0, 200]]),
}


def image(dims: tuple[str, ...]) -> sd.SpatialArray:
    sizes = {"t": 3, "c": 2, "z": 4, "y": 5, "x": 6}
    shape = [sizes[name] for name in dims]
    coords = COORDS if "c" in dims else {}
    return sd.SpatialArray(
        np.arange(np.prod(shape), dtype="u2").reshape(shape), dims=dims, coords=coords, frame="LPS",
        spacing=[1.0 + dims.index(n) for n in dims if n != "c"], unit="um",
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:ngff-zarr's NgffImage cannot store:UserWarning")
@pytest.mark.parametrize("dims", list(itertools.permutations("tczyx"))[::7])
def test_axes_are_in_the_standards_order(dims: tuple[str, ...], tmp_path: Path) -> None:
    models = pytest.importorskip("ome_zarr_models", reason="needs ome-zarr-models")
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    made = image(dims)
    other = interop.to_ngff_image(made)
    assert tuple(other.dims) == tuple("tczyx")
    assert np.array_equal(other.data.compute(), np.transpose(made.data, np.argsort(
        ["tczyx".index(n) for n in dims])))  # fmt: skip
    both = interop.to_ngff_multiscales(sd.Pyramid([made]))
    for version in ("0.4", "0.5"):
        path = tmp_path / f"{version}.zarr"
        nz.to_ngff_zarr(str(path), both, version=version)
        models.open_ome_zarr(zarr.open_group(str(path), mode="r"))
        back = sd.read(path, dims=dims)
        assert back.geometry.isclose(made.geometry)
        assert np.array_equal(np.asarray(back), made.data)
        for name in COORDS:
            assert np.array_equal(back.coords[name], made.coords[name])
        (again,) = interop.from_ngff_multiscales(nz.from_ngff_zarr(str(path)))
        for name in COORDS:
            assert np.array_equal(again.coords[name], made.coords[name])


@pytest.mark.filterwarnings("ignore:ngff-zarr's NgffImage cannot store:UserWarning")
def test_names_and_colors_of_one_image() -> None:
    other = interop.to_ngff_image(image(("c", "y", "x")))
    if not hasattr(other, "channel_names"):
        pytest.skip("this ngff-zarr knows no channels")
    assert other.channel_names == ["DAPI", "GFP"]
    back = interop.from_ngff_image(other)
    assert list(back.coords["channel"]) == ["DAPI", "GFP"]
    assert list(back.coords["channel_color"]) == ["0000FF", "00FF00"]
    assert interop.to_ngff_image(image(("y", "x"))).channel_names is None


def test_channels_of_ome_zarr_reach_ngff_zarr(tmp_path: Path) -> None:
    made = image(("t", "c", "y", "x"))
    sd.write(tmp_path / "a.ome.zarr", made, levels=1)
    other = nz.from_ngff_zarr(str(tmp_path / "a.ome.zarr"))
    channels = other.metadata.omero.channels
    assert [c.label for c in channels] == ["DAPI", "GFP"]
    assert [c.color for c in channels] == ["0000FF", "00FF00"]
    assert [(c.window.start, c.window.end) for c in channels] == [(0, 10), (5, 20)]
    assert [(c.window.min, c.window.max) for c in channels] == [(0, 100), (0, 200)]
