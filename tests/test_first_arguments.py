"""What no function takes as its image is refused with what came and what to do, everywhere."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd

IMAGE = sd.SpatialArray(np.zeros((6, 7, 8), "f4"), frame="LPS", unit="mm")
#: What is no image: a value, and the words of the message that help.
WRONG: dict[str, tuple[Any, str]] = {
    "a bare array": (np.zeros((4, 5, 6)), r"SpatialArray\(data, spacing="),
    "a list": ([[1, 2], [3, 4]], r"SpatialArray\(data, spacing="),
    "a path": (Path("brain.nii.gz"), r"read\(path\)"),
    "a name": ("brain.nii.gz", r"read\(path\)"),
    "nothing": (None, r"asarray\("),
    "a number": (3, r"SpatialArray\(data, spacing="),
    "a geometry": (IMAGE.geometry, r"SpatialArray\(data, geometry\)"),
}
#: Functions whose first argument is no image, or that take arrays as well.
OTHERS = {
    "asarray", "read", "config", "random_affine", "random_elastic", "restore", "through_itk",
    "measure.surface_area", "to_multiscale_spatial_image", "to_ngff_multiscales", "read_pyramid",
    "itk", "sitk", "hook_itk", "patches", "register_landmarks",
}  # fmt: skip
#: How functions with further arguments are called.
HOW: dict[str, Any] = {
    "augment": lambda f, x: f(x, seed=0),
    "map_blocks": lambda f, x: f(np.negative, x),
    "reduce_blocks": lambda f, x: f(np.max, x),
    "register": lambda f, x: f(x, IMAGE),
    "sliding_window": lambda f, x: f(np.negative, x, window=4),
    "write": lambda f, x: f("image.nii", x),
    "to_pyradiomics": lambda f, x: f(x, IMAGE > 0),
}


def _functions() -> dict[str, Any]:
    found = {}
    for prefix in ("", "ndimage.", "measure.", "metrics.", "segmentation."):
        module = getattr(sd, prefix[:-1]) if prefix else sd
        for name in module.__all__:
            try:
                value = getattr(module, name)
            except ImportError:  # a library that is not installed
                continue
            path = prefix + name
            if inspect.isfunction(value) and path not in OTHERS and not name.startswith("from_"):
                found[path] = value
    return found


FUNCTIONS = _functions()


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", FUNCTIONS)
def test_what_is_no_image_is_refused(path: str, wrong: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    value, advice = WRONG[wrong]
    function, name = FUNCTIONS[path], path.rpartition(".")[2]
    if wrong == "a geometry" and name == "ball":
        return  # which needs no voxels
    needed = [
        p for p in inspect.signature(function).parameters.values() if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    with pytest.raises(TypeError, match=rf"^{name} needs an image as its \w+, got .*; .*{advice}"):
        HOW.get(path, lambda f, x: f(x, *[1.0] * (len(needed) - 1)))(function, value)
    assert not [*tmp_path.iterdir()]


#: Functions that move voxels alone, and so keep the mask of a masked array; `ball` takes the grid.
KEEP_MASKS = {"crop", "reorient", "ndimage.ball"}


def _masked(lazy: bool) -> sd.SpatialArray:
    data = np.ma.masked_greater(np.arange(6 * 7 * 8, dtype="i2").reshape(6, 7, 8), 100)
    if lazy:
        data = pytest.importorskip("dask.array", reason="needs dask").from_array(data, chunks=4)
    return IMAGE.replace(data)


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "Dask"])
@pytest.mark.parametrize("path", sorted({*FUNCTIONS} - KEEP_MASKS))
def test_masked_values_are_not_taken_for_values(
    path: str, lazy: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    function, name = FUNCTIONS[path], path.rpartition(".")[2]
    needed = [
        p for p in inspect.signature(function).parameters.values() if p.default is p.empty
        and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]  # fmt: skip
    with pytest.raises(TypeError, match=rf"^{name} would take masked values .*filled"):
        HOW.get(path, lambda f, x: f(x, *[1.0] * (len(needed) - 1)))(function, _masked(lazy))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("lazy", [False, True], ids=["in memory", "Dask"])
def test_functions_that_move_voxels_keep_masks(lazy: bool) -> None:
    image = _masked(lazy)
    bounds = [[1.0, 0, 0], [3, 4, 5]]
    for found in (sd.crop(image, bounds), sd.reorient(image, "RAI"), image[::-1]):
        data = found.compute().data
        assert isinstance(data, np.ma.MaskedArray)
        assert data.mask.any()
    assert sd.crop(image, bounds).compute().data.mask.tolist() == (
        image.compute().data[1:4, :5, :6].mask.tolist()
    )


def test_a_masked_array_without_masked_values_is_an_array() -> None:
    image = IMAGE.replace(np.ma.MaskedArray(IMAGE.data))
    assert sd.resample(image, spacing=2).shape == (3, 4, 4)
    with pytest.raises(TypeError, match=r"to\('cupy'\) would take masked values"):
        _masked(False).to("cupy")


def test_what_a_pyramid_or_a_record_must_be_is_said() -> None:
    for make in (sd.to_ngff_multiscales, sd.to_multiscale_spatial_image, sd.Pyramid):
        with pytest.raises(TypeError, match=r"got ndarray; pyramid\(image\) makes it"):
            make(np.zeros((4, 5)))
    with pytest.raises(TypeError, match="Pyramid needs an image as its levels, got ndarray"):
        sd.Pyramid([np.zeros((4, 5))])
    with pytest.raises(TypeError, match=r"the record that conform\(...\) gave"):
        sd.restore(np.zeros((4, 5)), IMAGE.geometry)
    with pytest.raises(TypeError, match=r"got ndarray; marching_cubes\(image\) makes one"):
        sd.measure.surface_area(np.zeros((4, 5)))


def test_images_of_libraries_are_taken() -> None:
    sitk = pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    image = sitk.GetImageFromArray(np.arange(24.0).reshape(2, 3, 4))
    image.SetSpacing((1.0, 2.0, 3.0))
    assert sd.crop(image, {"x": (0, 1)}).spacing.tolist() == [3, 2, 1]
    assert sd.ndimage.gaussian_filter(image, 1).shape == (2, 3, 4)
    grid = nibabel.Nifti1Image(np.zeros((3, 3, 3), "f4"), np.diag([2.0, 2, 2, 1]))
    ours = sd.SpatialArray(np.ones((6, 7, 8), "f4"), dims=("x", "y", "z"), frame="RAS", unit="mm")
    assert sd.resample(ours, grid).spacing.tolist() == [2, 2, 2]


FROM = sorted(name for name in sd.__all__ if name.startswith("from_") and name != "from_slicer")
#: What is no image of any library, and words of the advice.
FOREIGN = {
    "a bare array": (np.zeros((4, 5, 6)), r"SpatialArray\(data, spacing="),
    "a path": (Path("brain.nii.gz"), r"read\("),
    "nothing": (None, "asarray takes"),
    "an image of ours": (IMAGE, "a SpatialArray already"),
}


@pytest.mark.parametrize("foreign", FOREIGN)
@pytest.mark.parametrize("name", FROM)
def test_from_functions_say_what_they_take(name: str, foreign: str) -> None:
    value, advice = FOREIGN[foreign]
    try:
        function = getattr(sd, name)
        with pytest.raises(TypeError, match=f"^{name} takes .*{advice}"):
            function(value)
    except ImportError:
        pytest.skip(f"the library of {name} is not installed")


def test_an_image_of_another_library_is_sent_to_its_own_function() -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    with pytest.raises(TypeError, match=r"SimpleITK\.Image .*, got Nifti1Image; from_nibabel"):
        sd.from_simpleitk(nibabel.Nifti1Image(np.zeros((3, 4, 5), "f4"), np.eye(4)))
