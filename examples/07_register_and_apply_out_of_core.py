"""Register two Zarr volumes at a coarse level, and apply the transform at full resolution.

Run it with ``python examples/07_register_and_apply_out_of_core.py``. It needs the extras ``zarr``
and ``register``. Only the coarse level and the blocks in flight are ever in memory.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import zarr

import spatial_duck as sd

SIDE, CHUNK = 128, 32


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


def volume(path: Path, truth: sd.Affine | None = None) -> sd.SpatialArray:
    """Write blobs to a Zarr array; a truth brings every point to where its value is found."""
    array = zarr.create_array(path, shape=(SIDE,) * 3, chunks=(CHUNK,) * 3, dtype="float32")
    grid = sd.Geometry(array.shape, (0.5,) * 3, world=sd.World("xyz", "mm", "LPS"))
    rng = np.random.default_rng(0)
    centres, widths = rng.uniform(14, 50, (12, 3)), rng.uniform(2, [4, 6, 8], (12, 3))
    back = truth.inverse() if truth is not None else None
    for z in range(0, SIDE, CHUNK):
        index = np.moveaxis(np.indices((CHUNK, SIDE, SIDE)), 0, -1) + [z, 0, 0]
        points = grid.index_to_physical(index)
        points = points if back is None else back(points)
        shapes = [
            np.exp(-(((points - c) / w) ** 2).sum(-1) / 2)
            for c, w in zip(centres, widths, strict=True)
        ]
        array[z : z + CHUNK] = 100 * np.sum(shapes, axis=0)
    return sd.SpatialArray(array, grid)


def run(folder: Path) -> None:
    euler = sitk.Euler3DTransform((32.0, 32.0, 32.0), 0.05, -0.06, 0.1, (2.0, -3.0, 1.5))
    truth = sd.from_simpleitk(euler)
    fixed = volume(folder / "fixed.zarr")
    moving = volume(folder / "moving.zarr", truth)

    transform = sd.register(fixed, moving, "rigid", metric="mean_squares", at=2)
    print(transform.report)
    points = np.random.default_rng(1).uniform(16, 48, (1000, 3))
    error = np.linalg.norm(transform(points) - truth(points), axis=1).max()
    print(f"largest error of 1,000 points: {error:.3f} mm, from a level of 2 mm")

    moved = sd.resample(moving, fixed, transform=transform)  # reads nothing yet
    print(f"lazy, in blocks of {moved.data.chunksize}: {type(moved.data).__name__}")
    result = zarr.create_array(
        folder / "moved.zarr", shape=moved.shape, chunks=(CHUNK,) * 3, dtype="float32"
    )
    moved.data.rechunk((CHUNK,) * 3).store(result)

    transform.write(folder / "transform.h5")
    theirs = sitk.Resample(
        sd.to_simpleitk(moving.compute()),
        sd.to_simpleitk(fixed.compute()),
        sitk.ReadTransform(str(folder / "transform.h5")),
        sitk.sitkLinear,
    )
    same = np.abs(sitk.GetArrayFromImage(theirs) - result[...]).max()
    print(f"SimpleITK applies transform.h5 to the same voxels: {same < 1e-3} ({same:.1e} of 100)")


if __name__ == "__main__":
    main()
