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
