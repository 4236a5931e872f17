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


@pytest.mark.parametrize("dims", [("z",), ("z", "y", "x")])
def test_an_axis_that_no_picture_has_is_refused_however_short(
    tmp_path: Path, dims: tuple[str, ...]
) -> None:
    image = sd.SpatialArray(np.zeros((1, 4, 5)[: len(dims)], "u1"), dims=dims)
    with pytest.raises(FormatError, match=r"one 2-D picture, .*image.isel\(z=0\)"):
        sd.write(tmp_path / "a.png", image)
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("key", [np.s_[1], np.s_[:, 2], np.s_[:, :, 3], np.s_[1, ::-1]])
@pytest.mark.parametrize("turned", [False, True])
def test_a_plane_of_a_volume_is_refused_for_its_place_and_written_without(
    tmp_path: Path, key: tuple[slice, ...], turned: bool
) -> None:
    direction = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0] if turned else None
    values = np.arange(60, dtype="u1").reshape(3, 4, 5)
    volume = sd.SpatialArray(
        values, spacing=(5, 2, 1), origin=(1, 2, 3), direction=direction, frame="LPS", unit="mm"
    )
    plane = volume[key]
    with pytest.raises(sd.GeometryLossError, match=r"where the plane lies.*oblique='drop'"):
        sd.write(tmp_path / "a.png", plane)
    assert not [*tmp_path.iterdir()]
    sd.write(tmp_path / "a.png", plane, oblique="drop")
    back = sd.read(tmp_path / "a.png")
    np.testing.assert_array_equal(back.data, plane.data)
    np.testing.assert_allclose(back.spacing, plane.spacing)
