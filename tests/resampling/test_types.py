"""Every type of value is resampled by every interpolation, or refused in words of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck.resampling import INTERPOLATIONS, resample

if TYPE_CHECKING:
    from tests.conftest import BackendCase

TYPES = ["?", "u1", ">i2", "i8", "f2", ">f2", "f4", ">f8", "g", "c8", "c16", "M8[s]", "m8[s]",
         "S3", "U2", "O", [("a", "f4")]]  # fmt: skip
#: What each interpolation can make of each kind of type; None is the default.
_PICKED = "biufmM"
_WEIGHED = "iufc"
GRIDS = {
    "axes": sd.Geometry((9, 5), (0.55, 1.0), (1.0, 0.2)),
    "turned": sd.Geometry((6, 5), origin=(1.0, 2.0), direction=[[0.8, -0.6], [0.6, 0.8]]),
}


def _can(dtype: np.dtype[Any], how: str | None) -> bool:
    how = how or ("nearest" if dtype.kind == "b" else "linear")
    if how == "nearest":
        return dtype.kind in _PICKED + "c"
    return dtype.kind in (_PICKED if how == "label" else _WEIGHED)


@pytest.mark.slow
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("how", [None, *INTERPOLATIONS])
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_every_type_by_every_interpolation(kind: Any, how: str | None, grid: str) -> None:
    dtype = np.dtype(kind)
    data = (np.arange(56).reshape(8, 7) % 5).astype("u1")
    image = sd.SpatialArray(data.astype(dtype) if dtype.names is None else np.zeros((8, 7), dtype))
    if not _can(dtype, how):
        with pytest.raises(TypeError, match=r"resample cannot make '\w+' values of type .*; \w+"):
            resample(image, GRIDS[grid], interpolation=how)
        return
    result = resample(image, GRIDS[grid], interpolation=how).data
    assert result.dtype == dtype.newbyteorder("=")
    assert result.shape == GRIDS[grid].shape
    if dtype.kind in "f" and how not in ("nearest", "label"):
        wide = resample(image.astype("f8"), GRIDS[grid], interpolation=how).data
        np.testing.assert_allclose(
            result.astype("f8"), wide, atol=4e-3 if dtype.itemsize == 2 else 1e-5
        )


def test_cubic_of_half_precision_is_scipys() -> None:
    data = np.random.default_rng(0).normal(size=12).astype("f2")
    to = sd.Geometry((9,), spacing=0.7, origin=(2.0,))
    result = resample(sd.SpatialArray(data), to, interpolation="cubic")
    at = [2 + 0.7 * np.arange(9)]
    wanted = scipy_nd.map_coordinates(data.astype("f8"), at, order=3, mode="mirror")
    np.testing.assert_allclose(result.data.astype("f8"), wanted, atol=5e-3)


def test_masks_are_picked_on_every_backend(backend: BackendCase) -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 2:7] = True
    image = sd.SpatialArray(backend.make(mask))
    turn = sd.Affine([[0, 1, 0], [1, 0, 0], [0, 0, 1]], image.world)
    result = resample(image, image, transform=turn)
    assert backend.to_numpy(result.data).dtype == bool
    np.testing.assert_array_equal(backend.to_numpy(result.data), mask.T)
    if backend.kind in ("numpy", "dask", "zarr3"):
        np.testing.assert_array_equal(np.asarray(sd.ndimage.rotate(image, 90)), mask.T)


@pytest.mark.parametrize("how", ["nearest", "label"])
def test_labels_keep_their_numbers_when_conformed(how: str) -> None:
    for dtype in ("i8", "u4", "u8"):
        labels = sd.SpatialArray(np.array([0, 16777217, 5], dtype))
        conformed, record = sd.conform(labels, multiple_of=4, interpolation=how)
        assert conformed.dtype == dtype
        assert conformed.data.tolist() == [0, 16777217, 5, 0]
        assert sd.restore(conformed, record).data.tolist() == [0, 16777217, 5]


def test_conform_smooths_as_resample_does() -> None:
    data = np.random.default_rng(0).normal(size=(40, 40)).astype("f4")
    image = sd.SpatialArray(data)
    conformed, _ = sd.conform(image, spacing=4.0, antialias=True)
    smooth = resample(image, conformed.geometry, antialias=True)
    np.testing.assert_array_equal(conformed.data, smooth.data)
    assert conformed.data.std() < 0.5 * sd.conform(image, spacing=4.0)[0].data.std()
