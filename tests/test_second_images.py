"""A second image on the grid of the first is an image of any library, or an array, everywhere."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryMismatchError

pytest.importorskip("scipy", reason="needs scipy")

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, (5, 5, 5)).astype("u1")
PLACE: dict[str, Any] = {"spacing": (2.0, 1.0, 0.5), "origin": (1.0, 2.0, 3.0)}
IMAGE = sd.SpatialArray(RNG.integers(0, 3, (5, 5, 5)), **PLACE)

#: The parameters that a second image on the same grid is given to.
NAMES = ("prediction", "intensity", "labels", "image")
#: Every function that takes one, called with it.
TAKE: dict[str, Any] = {
    "metrics.dice": lambda x: sd.metrics.dice(IMAGE, x),
    "metrics.jaccard": lambda x: sd.metrics.jaccard(IMAGE, x),
    "metrics.volume_similarity": lambda x: sd.metrics.volume_similarity(IMAGE, x),
    "metrics.surface_distances": lambda x: sd.metrics.surface_distances(IMAGE, x),
    "metrics.hausdorff": lambda x: sd.metrics.hausdorff(IMAGE, x),
    "metrics.average_surface_distance": lambda x: sd.metrics.average_surface_distance(IMAGE, x),
    "metrics.surface_dice": lambda x: sd.metrics.surface_dice(IMAGE, x, 1.0),
    "measure.regionprops": lambda x: dict(sd.measure.regionprops(IMAGE, x)),
    "ndimage.find_objects": lambda x: [p.geometry for p in sd.ndimage.find_objects(IMAGE, x)],
} | {
    f"ndimage.{name}": lambda x, name=name: getattr(sd.ndimage, name)(IMAGE, x, [1, 2])
    for name in (
        "center_of_mass", "extrema", "maximum", "maximum_position", "mean", "minimum",
        "median", "minimum_position", "standard_deviation", "sum_labels", "variance",
    )
}  # fmt: skip


class Image:
    """An image of a library that nobody knows."""

    def __init__(self, data: np.ndarray, spacing: Any, origin: Any) -> None:
        self.data, self.spacing, self.origin = data, np.array(spacing), np.array(origin)
        self.shape, self.dtype = data.shape, data.dtype

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype, copy=copy)


def test_all_functions_that_take_one_are_here() -> None:
    found = set()
    for module in ("metrics", "measure", "ndimage", "segmentation"):
        for name in getattr(sd, module).__all__:
            function = getattr(getattr(sd, module), name)
            if inspect.isfunction(function):
                second = [*inspect.signature(function).parameters][1:2]
                found |= {f"{module}.{name}"} if set(second) & set(NAMES) else set()
    assert found == set(TAKE)


@pytest.mark.parametrize("path", TAKE)
def test_images_of_others_are_taken_where_they_lie(path: str) -> None:
    function = TAKE[path]
    expected = function(sd.SpatialArray(LABELS, **PLACE))
    np.testing.assert_equal(function(Image(LABELS, **PLACE)), expected)
    if path != "ndimage.find_objects":  # which cuts pieces that know where they lie
        np.testing.assert_equal(function(LABELS), expected)
        np.testing.assert_equal(function(LABELS.tolist()), expected)
    for moved in ({"origin": (1.0, 2.0, 4.0)}, {"spacing": (0.5, 1.0, 2.0)}):
        with pytest.raises(GeometryMismatchError):
            function(Image(LABELS, **PLACE | moved))
    with pytest.raises(GeometryMismatchError, match="resample"):
        function(Image(LABELS[1:], **PLACE))
    with pytest.raises(TypeError):
        function("labels.nii.gz")
    with pytest.raises(TypeError, match=r"masked|needs an image"):
        function(np.ma.masked_array(LABELS, LABELS > 1))


@pytest.mark.library
@pytest.mark.parametrize("path", sorted({*TAKE} - {"ndimage.find_objects"}))
def test_tensors_are_taken(path: str) -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    function = TAKE[path]
    np.testing.assert_equal(function(torch.from_numpy(LABELS)), function(LABELS))
    image = sd.SpatialArray(torch.from_numpy(LABELS), **PLACE)
    np.testing.assert_equal(function(image), function(LABELS))
