"""The patch for ITK in .docs/itk-duck-arrays.patch, applied to the helpers of the installed ITK."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.library

PATCH = Path(sd.__file__).resolve().parent.parent / ".docs" / "itk-duck-arrays.patch"
TURN = np.array([[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return ITK's helpers with the patch."""
    itk = pytest.importorskip("itk", reason="needs itk")
    git = shutil.which("git") or pytest.skip("needs git, which applies the patch")
    own = Path(itk.__file__).parent / "support" / "helpers.py"
    folder = tmp_path_factory.mktemp("itk")
    copy = folder / "Wrapping/Generators/Python/itk/support/helpers.py"
    copy.parent.mkdir(parents=True)
    shutil.copy(own, copy)
    subprocess.run([git, "apply", str(PATCH)], cwd=folder, check=True)
    spec = importlib.util.spec_from_file_location("patched_itk_helpers", copy)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def in_patched_itk(patched: ModuleType, name: str) -> Any:
    """Return a function of ITK as its own decorator makes it with the patch."""
    import itk

    return patched.accept_array_like_xarray_torch(getattr(itk, name).__wrapped__)


@dataclass
class Placed:
    """An array of another library: it says where it lies, and has no world and no frame."""

    data: Any
    spacing: Any
    origin: Any
    direction: Any = field(default_factory=lambda: np.eye(3))

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.data, dtype)


def made(n: int = 3, frame: str = "LPS") -> sd.SpatialArray:
    return sd.SpatialArray(
        np.random.default_rng(0).random((7, 5, 6)[-n:], "f4"), spacing=(2, 1, 0.5)[-n:],
        origin=(1, 2, 3)[-n:], direction=TURN[-n:, -n:], frame=frame, unit="mm",
    )  # fmt: skip


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("frame", ["LPS", "RAS"])
def test_a_filter_of_itk_takes_and_gives_images(patched: ModuleType, n: int, frame: str) -> None:
    image = made(n, frame)
    found = in_patched_itk(patched, "median_image_filter")(image, radius=1)
    wanted = sd.itk.median_image_filter(image, radius=1)
    assert isinstance(found, sd.SpatialArray)
    assert found.world == image.world
    assert found.geometry.isclose(wanted.geometry, tolerance=1e-9)
    assert np.array_equal(np.asarray(found), np.asarray(wanted))


def test_spacing_counts_and_a_new_grid_comes_back(patched: ModuleType) -> None:
    image = made(frame="RAS")
    smooth = in_patched_itk(patched, "smoothing_recursive_gaussian_image_filter")
    wanted = sd.itk.smoothing_recursive_gaussian_image_filter(image, sigma=2.0)
    assert np.allclose(np.asarray(smooth(image, sigma=2.0)), np.asarray(wanted))
    shrink = in_patched_itk(patched, "bin_shrink_image_filter")
    found = shrink(image, shrink_factors=[2, 1, 3])
    wanted = sd.itk.bin_shrink_image_filter(image, shrink_factors=[2, 1, 3])
    assert found.geometry.isclose(wanted.geometry, tolerance=1e-9)


def test_images_are_given_by_name(patched: ModuleType) -> None:
    import itk

    fixed, moving = made(), made()[::-1]
    moving = fixed.replace(data=np.ascontiguousarray(np.asarray(moving)))
    demons = in_patched_itk(patched, "demons_registration_filter")
    found = demons(fixed_image=fixed, moving_image=moving, number_of_iterations=2)
    wanted = itk.demons_registration_filter(
        fixed_image=sd.to_itk(fixed), moving_image=sd.to_itk(moving), number_of_iterations=2
    )
    assert np.array_equal(found, itk.array_from_image(wanted))


def test_images_that_are_apart(patched: ModuleType) -> None:
    image = made()
    add = in_patched_itk(patched, "add_image_filter")
    assert np.allclose(np.asarray(add(image, image)), 2 * np.asarray(image))
    with pytest.raises(RuntimeError, match="same physical space"):
        add(image, image.replace(origin=(9, 9, 9)))


def test_other_classes_come_back_as_they_are(patched: ModuleType) -> None:
    image = Placed(np.random.default_rng(0).random((4, 5, 6), "f4"), (3.0, 2.0, 1.0), (7, 8, 9))
    found = in_patched_itk(patched, "median_image_filter")(image, radius=1)
    assert isinstance(found, Placed)
    assert list(found.spacing) == [3, 2, 1]
    assert list(found.origin) == [7, 8, 9]
    assert np.array_equal(found.direction, np.eye(3))


def test_bare_arrays_are_treated_as_before(patched: ModuleType) -> None:
    import itk

    values = np.random.default_rng(0).random((7, 5, 6), "f4")
    found = in_patched_itk(patched, "median_image_filter")(values, radius=1)
    assert isinstance(found, np.ndarray)
    assert not isinstance(found, sd.SpatialArray)
    assert np.array_equal(found, itk.median_image_filter(values, radius=1))
    native = itk.image_from_array(values)
    assert isinstance(
        in_patched_itk(patched, "median_image_filter")(native, radius=1), type(native)
    )
