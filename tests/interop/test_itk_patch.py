"""The functions of the patch for ITK in .docs/itk-duck-arrays.md, on ITK's own images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

pytestmark = pytest.mark.library

ROOT = Path(sd.__file__).resolve().parent.parent
TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


@pytest.fixture
def patch() -> dict[str, Any]:
    text = (ROOT / ".docs" / "itk-duck-arrays.md").read_text("utf-8")
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], found)
    return found


@pytest.mark.parametrize("n", [2, 3])
def test_there_and_back(patch: dict[str, Any], n: int) -> None:
    itk = pytest.importorskip("itk", reason="needs itk")
    image = sd.SpatialArray(
        np.random.default_rng(0).random((4, 5, 6)[-n:], "f4"), spacing=(2, 1, 0.5)[-n:],
        origin=(1, 2, 3)[-n:], direction=TURN[-n:, -n:], frame="LPS", unit="mm",
    )  # fmt: skip
    assert patch["is_spatial_arraylike"](image)
    assert not patch["is_spatial_arraylike"](np.asarray(image))
    native = patch["image_view_from_spatial_array"](image)
    index = (1, 2, 3)[-n:]
    point = native.TransformIndexToPhysicalPoint([int(i) for i in index[::-1]])
    assert np.allclose(list(point)[::-1], image.index_to_physical(index))
    back = patch["spatial_array_from_image"](native, image)
    assert back.geometry.isclose(image.geometry)
    assert np.array_equal(np.asarray(back), np.asarray(image))
    del itk
