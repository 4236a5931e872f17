"""Features by pyradiomics of an image and a mask that was drawn on another grid.

Run it with ``python examples/radiomics_features.py``; it needs pyradiomics, nibabel and the extra
``resample``. pyradiomics requires image and mask on the same grid, up to a tolerance that users
often raise: here the mask is resampled to the image's grid, and both have the same geometry.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
from radiomics import featureextractor

import spatial_duck as sd
from spatial_duck import interop, measure

SHOWN = ("shape_VoxelVolume", "shape_MeshVolume", "shape_Maximum3DDiameter", "firstorder_Mean",
         "firstorder_Entropy", "glcm_Contrast")  # fmt: skip


def image_and_mask() -> tuple[sd.SpatialArray, sd.SpatialArray]:
    """Return a brain and its tumour, or a bright ball in noise if the real files are missing."""
    folder = Path(os.environ.get("SPATIAL_DUCK_DATA", ""), "nrrd")
    if (folder / "brain1_image.nrrd").is_file():
        return sd.read(folder / "brain1_image.nrrd"), sd.read(folder / "brain1_label.nrrd")
    grid = sd.Geometry((20, 48, 48), (3.0, 1.0, 1.0), frame="LPS", unit="mm")
    distance = np.linalg.norm(
        grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center, axis=-1
    )
    noise = np.random.default_rng(0).normal(100, 10, grid.shape)
    ball = distance < 12
    return sd.SpatialArray(noise + 50 * ball, grid), sd.SpatialArray(ball.astype("u1"), grid)


def main() -> None:
    logging.getLogger("radiomics").setLevel(logging.ERROR)
    image, mask = image_and_mask()
    print(image)
    # As if the mask came from another program, which cropped and reoriented it.
    inside = np.argwhere(np.asarray(mask))
    low, high = inside.min(axis=0), inside.max(axis=0) + 1
    cut = tuple(slice(max(a - 2, 0), b + 2) for a, b in zip(low, high, strict=True))
    foreign = sd.reorient(mask[cut], "RAS")
    print(f"the mask is on another grid: {foreign.shape}, axes run to {foreign.orientation}\n")

    on_grid = sd.resample(foreign, to=image, interpolation="nearest")
    extractor = featureextractor.RadiomicsFeatureExtractor(geometryTolerance=1e-9)
    found = extractor.execute(*interop.to_pyradiomics(image, on_grid))
    print("feature                          value")
    for name in SHOWN:
        print(f"{name:24} {float(found['original_' + name]):13.4g}")
    ours = float(measure.regionprops(on_grid)["volume"][0])
    same = np.isclose(ours, float(found["original_shape_VoxelVolume"]))
    print(f"\nvolume by sd.measure.regionprops: {ours:.4g} mm³, the same: {same}")


if __name__ == "__main__":
    main()
