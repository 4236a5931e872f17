"""``config(on_bare=...)`` says which library takes an image's bare array, and what to use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import GeometryLossError

if TYPE_CHECKING:
    from collections.abc import Callable


def image() -> sd.SpatialArray:
    return sd.SpatialArray(np.ones((4, 5), "f4"), spacing=(2, 0.5), frame=None)


def taken_by(name: str, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function whose module is one of another library's."""
    code = {"function": function, "__name__": name}
    exec("def run(image):\n    return function(image)", code)
    run: Callable[[Any], Any] = code["run"]  # type: ignore[assignment]
    return run


TAKES = {"asarray": np.asarray, "array": np.array, "dlpack": np.from_dlpack, "buffer": memoryview}


@pytest.mark.parametrize("how", TAKES)
@pytest.mark.parametrize(
    "library, advice",
    [("itk.support.helpers", "to_itk"), ("torch.utils", "to_monai"), ("other", r"image\.data")],
)
def test_the_library_and_the_converter_are_named(library: str, advice: str, how: str) -> None:
    if how == "buffer" and not hasattr(memoryview, "__buffer__"):
        pytest.skip("before Python 3.12 a class has no buffer of its own")
    take = taken_by(library, TAKES[how])
    assert np.array_equal(np.asarray(take(image())), np.ones((4, 5)))  # off: not a word
    name = library.partition(".")[0]
    with sd.config(on_bare="raise"), pytest.raises(GeometryLossError, match=f"^{name} .*{advice}"):
        take(image())
    with sd.config(on_bare="warn"), pytest.warns(UserWarning, match=f"^{name} .*{advice}"):
        take(image())


@pytest.mark.slow
def test_the_package_itself_may() -> None:
    with sd.config(on_bare="raise"):
        found = np.flip(image() + 1, 0)
        assert found.sum() == 40
        assert sd.resample(image(), spacing=1.0).shape == (8, 3)
        assert "SpatialArray" in repr(image())
        assert found.data[0, 0] == 2


@pytest.mark.library
def test_libraries_that_take_the_bare_array() -> None:
    itk = pytest.importorskip("itk", reason="needs itk")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    torch = pytest.importorskip("torch", reason="needs torch")
    takes = {
        "itk": lambda i: itk.median_image_filter(i, radius=1),
        "nibabel": lambda i: nibabel.Nifti1Image(i, np.eye(4)).get_fdata(),
        "SimpleITK": sitk.GetImageFromArray,
        "torch": lambda i: torch.utils.dlpack.from_dlpack(i),
    }
    for name, take in takes.items():
        with sd.config(on_bare="raise"), pytest.raises(GeometryLossError, match=f"^{name} takes"):
            take(image())
