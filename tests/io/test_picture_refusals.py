"""What a picture cannot hold is said first where nothing mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("imageio", reason="needs imageio")


@pytest.mark.parametrize("dtype", ["u1", "f4"])
def test_a_volume_is_refused_for_its_shape_and_not_for_its_place(
    tmp_path: Path, dtype: str
) -> None:
    volume = sd.SpatialArray(np.zeros((3, 4, 5), dtype), origin=(1, 2, 3), frame="LPS", unit="mm")
    with pytest.raises(FormatError, match=r"one 2-D picture, got shape \(3, 4, 5\)"):
        sd.write(tmp_path / "a.png", volume)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("dims", [("z",), ("z", "x"), ("z", "y", "x")])
def test_an_axis_that_no_picture_has_is_refused_however_short(
    tmp_path: Path, dims: tuple[str, ...]
) -> None:
    image = sd.SpatialArray(np.zeros((1, 4, 5)[: len(dims)], "u1"), dims=dims)
    with pytest.raises(FormatError, match=r"one 2-D picture, .*image.isel\(z=0\)"):
        sd.write(tmp_path / "a.png", image)
    assert not [*tmp_path.iterdir()]
