"""``array.spatial`` of xarray's arrays."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

xarray = pytest.importorskip("xarray", reason="needs xarray")

TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


def image(direction: Any = TURN) -> sd.SpatialArray:
    return sd.SpatialArray(
        np.random.default_rng(0).random((4, 5, 6)), spacing=(2, 1, 0.5), origin=(1, 2, 3),
        direction=direction, frame="LPS", unit="mm",
    )  # fmt: skip


@pytest.mark.parametrize("index", [True, False])
def test_what_it_does_is_what_images_do(index: bool) -> None:
    mine = image()
    array = sd.to_xarray(mine, index=index, name="ct")
    assert array.spatial.geometry == mine.geometry
    assert array.spatial.spacing.tolist() == [2, 1, 0.5]
    for found, wanted in (
        (array.spatial.resample(spacing=2), mine.resample(spacing=2)),
        (array.spatial.resample(array[1:]), mine.resample(mine[1:])),
        (array.spatial.reorient("RAS"), mine.reorient("RAS")),
        (array.spatial.crop(mine[1:3].bounds), mine.crop(mine[1:3].bounds)),
    ):
        assert isinstance(found, xarray.DataArray)
        assert found.name == "ct"
        assert isinstance(found.variable._data, sd.SpatialArray) != index
        back = sd.from_xarray(found)
        assert back.geometry.isclose(wanted.geometry)
        assert np.array_equal(np.asarray(back), np.asarray(wanted))


def test_plot() -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib").use("agg")
    assert sd.to_xarray(image(np.eye(3))).spatial.plot() is not None


@pytest.mark.slow
def test_it_is_there_once_arrays_are_converted() -> None:
    code = """if True:
        import sys, spatial_duck as sd
        assert "xarray" not in sys.modules
        import numpy as np, xarray
        array = xarray.DataArray(np.zeros((2, 3)), dims=("y", "x"))
        assert not hasattr(array, "spatial")
        sd.from_xarray(array)
        assert array.spatial.spacing.tolist() == [1, 1]
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
