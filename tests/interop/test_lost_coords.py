"""Coordinates that a library cannot store are named by its converter; what it holds is not."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.io._coords import same_coords

#: The converters, the package of each, and an image of channels that it takes.
CONVERTERS = {
    "simpleitk": "SimpleITK",
    "itk": "itk",
    "nibabel": "nibabel",
    "xarray": "xarray",
    "spatial_image": "spatial_image",
    "ngff_image": "ngff_zarr",
    "monai": "monai",
    "torchio": "torchio",
    "highdicom": "highdicom",
    "ants": "ants",
    "pyvista": "pyvista",
    "slicer": "numpy",
    "napari": "numpy",
    "rasterio": "rasterio",
    "rioxarray": "rioxarray",
}
#: What takes a picture of the Earth.
RASTERS = ("rasterio", "rioxarray")
NAMED = ("channel", "b_value", "gradient_direction", "note", "slice_time")


def channels(raster: bool = False) -> sd.SpatialArray:
    """Return an image of three channels with coordinates of all sorts."""
    facts: dict[str, Any] = {
        "channel": ("c", ["DAPI", "GFP", "RFP"]),
        "b_value": ("c", [0.0, 500.0, 1000.0], {"unit": "s/mm²"}),
        "gradient_direction": ("c", np.eye(3)),
        "note": ((), "of a test"),
        "slice_time": ("y", [0.0, 1.0, 2.0, 3.0], {"unit": "s"}),
    }
    dims = ("c", "y", "x") if raster else ("c", "z", "y", "x")
    world = ("x", "y") if raster else None
    return sd.SpatialArray(
        np.arange(3 * 2 * 4 * 5, dtype="f4").reshape(3, 2, 4, 5)[:, 0 if raster else slice(None)],
        spacing=2.0, dims=dims, world=world, unit="m" if raster else "mm",
        frame=None if raster else "LPS", coords=facts,
    )  # fmt: skip


@pytest.mark.parametrize("name", CONVERTERS)
def test_what_is_lost_is_named_and_what_is_held_comes_back(name: str) -> None:
    pytest.importorskip(CONVERTERS[name], reason=f"needs {CONVERTERS[name]}")
    image = channels(name in RASTERS)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        out = getattr(sd, f"to_{name}")(image)
    said = " ".join(str(w.message) for w in found if "cannot store" in str(w.message))
    assert all(w.filename == __file__ for w in found if "cannot store" in str(w.message))
    named = {coordinate for coordinate in NAMED if repr(coordinate) in said}
    back = {"slicer": lambda: sd.from_slicer(*out), "rasterio": lambda: None}.get(
        name, lambda: getattr(sd, f"from_{name}")(out)
    )()
    held = set() if back is None else {*same_coords(image, back.coords, image.coords)}
    assert named == set(image.coords) - held
    if name in ("xarray", "rioxarray"):
        assert not named
    else:
        assert "note" in named
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        getattr(sd, f"to_{name}")(image.replace(coords={}))


def test_pyramids_say_it_once() -> None:
    pytest.importorskip("ngff_zarr", reason="needs ngff_zarr")
    levels = sd.pyramid(channels(), 2)
    with pytest.warns(UserWarning, match="cannot store the coordinates.*'note'") as found:
        sd.to_ngff_multiscales(levels)
    assert len([w for w in found if "cannot store" in str(w.message)]) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["simpleitk", "itk"])
@pytest.mark.parametrize("labels", ["xyz", "zyx"])
def test_vectors_are_those_of_itk(name: str, labels: str) -> None:
    library = pytest.importorskip(CONVERTERS[name], reason=f"needs {CONVERTERS[name]}")
    values = np.broadcast_to(np.float32(["xyz".index(n) + 1 for n in labels]), (2, 3, 4, 3))
    field = sd.SpatialArray(
        values, dims=("z", "y", "x", "c"), frame="RAS", unit="mm",
        coords={"component": ("c", [*labels])},
    )  # fmt: skip
    out = getattr(sd, f"to_{name}")(field)
    read = library.GetArrayFromImage if name == "simpleitk" else library.array_from_image
    assert read(out)[0, 0, 0].tolist() == [-1, -2, 3]


@pytest.mark.filterwarnings("error")
def test_filters_that_give_coordinates_back_say_nothing() -> None:
    pytest.importorskip("SimpleITK", reason="needs SimpleITK")
    image = channels()[0]
    assert set(sd.sitk.Median(image).coords) == set(image.coords)
