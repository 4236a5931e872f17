"""Real images of other formats, oblique ones too, to OME-Zarr 0.6 and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import io

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

zarr = pytest.importorskip("zarr", reason="needs zarr")

IMAGES = (
    "nrrd/brain1_image.nrrd",
    "nrrd/brain1_label.nrrd",
    "nifti/S0_10slices.nii.gz",
    "nifti/someones_epi.nii.gz",
    "metaimage/3DCT_lung_baseline_small.mha",
    "metaimage/CT_2D_head_moving.mha",
    "minc/minc2-4d-d.mnc",
    "minc/small.mnc",
    "dicom/mr_philips_oblique",
    "dicom/ct_gantry_tilt",
    "dicom/generic_non_isotropic",
)


def reached(path: Path, index: list[int]) -> dict[str, float]:
    """Where a voxel lies by the numbers that ngff-zarr reads, by the names of axes."""
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="needs ngff-zarr")
    metadata = ngff_zarr.from_ngff_zarr(str(path)).metadata

    def through(step: Any, point: Any) -> Any:
        kind = step.type
        if kind == "sequence":
            for part in step.transformations:
                point = through(part, point)
            return point
        value = np.array(getattr(step, kind, None), float)
        if kind == "affine":
            return value[:, :-1] @ point + value[:, -1]
        return {"scale": value * point if value.ndim == 1 else None,
                "translation": value + point if value.ndim == 1 else None,
                "rotation": value @ point if value.ndim == 2 else None}[kind]  # fmt: skip

    point = np.array(index, float)
    for step in metadata.datasets[0].coordinateTransformations:
        point = through(step, point)
    for step in metadata.coordinateTransformations or ():
        point = through(step, point)
    (axes,) = [s.axes for s in metadata.coordinateSystems if s.name == "world"]
    return {a.name: float(p) for a, p in zip(axes, point, strict=True)}


@pytest.mark.parametrize("name", IMAGES)
def test_real_images_there_and_back(
    name: str, data_file: Callable[[str], Path], tmp_path: Path
) -> None:
    image = io.read(data_file(name))
    steps = [slice(None, None, max(1, n // 12)) for n in image.shape]
    image = image[tuple(steps)].compute()
    path = tmp_path / "a.ome.zarr"
    io.write(path, image, version="0.6", levels=2)
    back = io.read(path, dims=image.dims)
    assert back.geometry == image.geometry
    assert np.array_equal(np.asarray(back), np.asarray(image), equal_nan=image.dtype.kind == "f")
    stored = io.read(path)
    index = [min(1, n - 1) for n in stored.shape]
    there = dict(zip(stored.world.axes, stored.index_to_physical(index), strict=True))
    found = reached(path, index)
    assert all(abs(found[axis] - there[axis]) < 1e-9 for axis in there)
