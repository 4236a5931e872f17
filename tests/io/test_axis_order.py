"""The order of axes on disk: as asked for, and by other libraries' reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("orientation", ["RAS", "LPI", "SAR", "IPR", "ASL"])
def test_the_axes_of_a_file_run_where_they_are_asked_to(tmp_path: Path, orientation: str) -> None:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    turn = np.array([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]])
    image = sd.SpatialArray(
        np.arange(60, dtype="i2").reshape(3, 4, 5), direction=turn, frame="LPS",
        spacing=(1.0, 2.0, 3.0), world=("x", "y", "z"), unit="mm",
    )  # fmt: skip
    path = tmp_path / "a.nii"
    image.write(path, axis_order=orientation)
    loaded = nibabel.load(path)
    assert "".join(nibabel.aff2axcodes(loaded.affine)) == orientation
    back = sd.reorient(sd.read(path), like=image)
    assert np.array_equal(back.data, image.data)
    assert back.geometry.to_frame("LPS").isclose(image.geometry)
