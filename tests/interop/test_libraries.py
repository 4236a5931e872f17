"""Images of other libraries: the same points there, the same image back, no copies."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import interop
from spatial_duck.errors import FormatError, FrameError, GeometryError, GeometryLossError
from spatial_duck.testing import _strategies as strategies
from spatial_duck.testing import assert_geometry_equal

LIBRARIES = ("simpleitk", "nibabel", "xarray")


def convert(name: str, image: Any) -> Any:
    pytest.importorskip({"simpleitk": "SimpleITK"}.get(name, name), reason=f"needs {name}")
    return getattr(interop, f"to_{name}")(image)


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARIES)
@given(data=st.data())
def test_there_and_back_is_exact_or_refused(name: str, data: Any) -> None:
    image = data.draw(strategies.images())
    try:
        other = convert(name, image)
    except (GeometryLossError, FrameError):
        assert name != "xarray"
        return
    except FormatError:
        assert image.size == 0 or image.ndim == 0
        return
    back = interop.asarray(other)
    _assert_same(back, image)


def _assert_same(back: sd.SpatialArray, image: sd.SpatialArray) -> None:
    assert np.array_equal(np.sort(np.asarray(back).ravel()), np.sort(np.asarray(image).ravel()))
    g, h = _comparable(back, image), image.geometry
    if h.frame != g.frame and set(h.world.axes) & set("xyz"):
        h = h.to_frame(g.frame)
    found = g.index_to_physical(np.indices(g.shape).reshape(g.ndim, -1).T)
    wanted = h.index_to_physical(np.indices(h.shape).reshape(h.ndim, -1).T)
    found = found[np.argsort(np.asarray(back).ravel())]
    wanted = wanted[np.argsort(np.asarray(image).ravel())]
    limit = 1e-6 * min(h.spacing, default=1.0)
    for column, axis in enumerate(g.world.axes):
        expected = wanted[:, h.world.axes.index(axis)] if axis in h.world.axes else 0.0
        if axis == "t":  # 32 bits in the header of NIfTI-1
            limit = max(limit, 1e-6 * float(abs(wanted[:, h.world.axes.index("t")]).max(initial=0)))
        assert np.all(abs(found[:, column] - expected) <= limit)


def _comparable(image: sd.SpatialArray, like: sd.SpatialArray) -> sd.Geometry:
    g = image.geometry
    units = dict(zip(like.world.axes, like.unit, strict=True))
    return g.to_unit({n: u for n, u in units.items() if u is not None and n in g.world.axes})


def oblique(dtype: str = "f4", shape: tuple[int, ...] = (3, 4, 5)) -> sd.SpatialArray:
    turn = np.linalg.qr(np.vander([1.0, 2.0, 3.5]))[0]
    return sd.SpatialArray(
        np.arange(np.prod(shape)).reshape(shape).astype(dtype), spacing=(3, 2, 1),
        origin=(5, 6, 7), direction=turn, frame="RAS", unit="mm",
    )  # fmt: skip


def test_simpleitk_agrees_on_points() -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    image = oblique()
    other = interop.to_simpleitk(image)
    ours = image.geometry.to_frame("LPS").to_world(("x", "y", "z"))
    for index in np.ndindex(image.shape):
        theirs = other.TransformIndexToPhysicalPoint(tuple(map(int, index[::-1])))
        assert np.allclose(ours.index_to_physical(index), theirs, atol=1e-9)
        assert other[index[::-1]] == np.asarray(image)[index]


def test_simpleitk_array_of_four_dimensions_is_no_vector_image() -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    image = sd.SpatialArray(
        np.zeros((2, 3, 4, 5)), dims=("t", "z", "y", "x"), spacing=(9, 3, 2, 1), frame="LPS"
    )
    other = interop.to_simpleitk(image)
    assert other.GetDimension() == 4
    assert other.GetSpacing() == (1, 2, 3, 9)
    image = sd.SpatialArray(np.zeros((2, 3, 4, 5)), dims=("c", "z", "y", "x"), frame="LPS")
    vectors = interop.to_simpleitk(image)
    assert (vectors.GetDimension(), vectors.GetNumberOfComponentsPerPixel()) == (3, 2)


def test_simpleitk_memory_is_shared_and_outlives_the_image() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    other = sitk.GetImageFromArray(np.arange(60, dtype="f4").reshape(3, 4, 5))
    view = sitk.GetArrayViewFromImage(other)
    ours = interop.from_simpleitk(other)
    assert not ours.data.flags.writeable
    assert np.shares_memory(ours.data, view)
    del view
    other += 1
    other[0, 0, 0] = 99
    del other
    assert np.array_equal(ours.data.ravel(), np.arange(60))


def test_nibabel_agrees_on_points_and_shares_memory(tmp_path: Any) -> None:
    nib = pytest.importorskip("nibabel", reason="needs nibabel")
    image = oblique()
    other = interop.to_nibabel(image)
    assert np.shares_memory(np.asarray(other.dataobj), image.data)
    ours = image.geometry.to_world(("x", "y", "z"))
    for index in np.ndindex(image.shape):
        theirs = nib.affines.apply_affine(other.affine, index[::-1])
        assert np.allclose(ours.index_to_physical(index), theirs, atol=1e-12)
    back = interop.from_nibabel(other)
    assert np.shares_memory(back.data, image.data)
    nib.save(other, tmp_path / "a.nii")
    assert np.allclose(nib.load(tmp_path / "a.nii").affine, other.affine, atol=1e-5)
    again = interop.asarray(nib.load(tmp_path / "a.nii"))
    assert np.array_equal(np.asarray(again).transpose(), np.asarray(image))


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [True, False])
@given(image=strategies.images())
def test_xarray_keeps_everything(wrap: bool, image: sd.SpatialArray) -> None:
    pytest.importorskip("xarray", reason="needs xarray")
    other = interop.to_xarray(image, wrap=wrap)
    back = interop.from_xarray(other)
    assert back.dims == image.dims
    assert back.world == image.world
    assert_geometry_equal(back, image, tolerance=1e-9)
    assert np.shares_memory(np.asarray(back), np.asarray(image)) or not image.size


@pytest.mark.parametrize("wrap", [True, False])
def test_xarray_slices_keep_their_place(wrap: bool) -> None:
    pytest.importorskip("xarray", reason="needs xarray")
    for image in (oblique(), sd.SpatialArray(np.zeros((4, 6)), spacing=(2, 0.3), origin=(5, 1))):
        other = interop.to_xarray(image, wrap=wrap)
        part = interop.from_xarray(other.isel({"y": slice(1, None, 2), "x": slice(None, None, -1)}))
        key = (..., slice(1, None, 2), slice(None, None, -1))
        assert_geometry_equal(part, image[key], tolerance=1e-9)
        assert isinstance(other.data, sd.SpatialArray) is wrap


def test_xarray_of_others() -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    array = xr.DataArray(
        np.zeros((3, 4)), dims=("y", "x"), coords={"y": [5.0, 3.0, 1.0], "x": [0, 1, 2, 3]}
    )
    image = sd.asarray(array)
    assert image.spacing.tolist() == [2, 1]
    assert image.origin.tolist() == [5, 0]
    assert image.direction.tolist() == [[-1, 0], [0, 1]]
    with pytest.raises(GeometryError, match="evenly"):
        sd.asarray(array.assign_coords(x=[0, 1, 2, 9]))


class Duck:
    """An image class that nobody has heard of."""

    def __init__(self, frame: str | None = None) -> None:
        self.array = np.arange(6.0).reshape(2, 3)
        self.spacing, self.origin, self.direction = (2.0, 1.0), (5.0, 6.0), np.eye(2)
        self.frame = frame

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


def test_anything_with_the_duck_interface() -> None:
    duck = Duck("LPS")
    image = sd.asarray(duck)
    assert np.shares_memory(image.data, duck.array)
    assert image.origin.tolist() == [5, 6]
    assert image.frame == "LPS"
    assert sd.asarray(image) is image
    with pytest.raises(TypeError, match="SpatialArray"):
        sd.asarray(np.zeros((2, 2)))


@pytest.mark.parametrize("name", ["simpleitk", "nibabel"])
def test_frames_are_not_guessed(name: str) -> None:
    image = sd.SpatialArray(np.zeros((2, 3, 4)), origin=(1, 2, 3))
    with pytest.raises(FrameError, match="frame="):
        convert(name, image)
    assert getattr(interop, f"to_{name}")(image, frame="LPS") is not None


def test_recognising_imports_nothing() -> None:
    code = (
        "import sys, numpy as np, spatial_duck as sd\n"
        "try: sd.asarray(np.zeros(3))\n"
        "except TypeError: pass\n"
        "print([m for m in ('SimpleITK', 'nibabel', 'xarray') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
