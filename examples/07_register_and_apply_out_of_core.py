"""Register two Zarr volumes at a coarse level, and apply the transform at full resolution.

Run it with ``python examples/07_register_and_apply_out_of_core.py``. It needs the extras ``zarr``
and ``register``. Registration holds only the coarse level in memory; resampling holds the blocks
that are being computed and up to ``config(max_kept_bytes=...)`` of recently used chunks.
"""

from __future__ import annotations

import tempfile
import tracemalloc
from pathlib import Path

import dask
import numpy as np
import SimpleITK as sitk
import zarr

import spatial_duck as sd

SHAPE, CHUNK = (256, 160, 160), 32
MB = 1e6
CAP, KEPT = 12 * MB, 6 * MB


def volume(path: Path, truth: sd.Affine | None = None) -> sd.SpatialArray:
    """Write a volume slab by slab, moved by a transform if `truth` is given."""
    array = zarr.create_array(path, shape=SHAPE, chunks=(CHUNK,) * 3, dtype="float32")
    grid = sd.Geometry(SHAPE, (0.25, 0.4, 0.4), world=sd.World("xyz", "mm", "LPS"))
    rng = np.random.default_rng(0)
    waves, phases = rng.normal(0, 0.25, (12, 3)), rng.uniform(0, 7, 12)
    back = truth.inverse() if truth is not None else None
    for z in range(0, SHAPE[0], CHUNK):
        slab = np.moveaxis(np.indices((CHUNK, *SHAPE[1:]), np.float32), 0, -1) + [z, 0, 0]
        points = grid.index_to_physical(slab)
        points = (points if back is None else back(points)) - grid.center
        values = np.full(points.shape[:-1], 300.0)
        for wave, phase in zip(waves, phases, strict=True):
            values += 40 * np.cos(points @ wave + phase)
        array[z : z + CHUNK] = values * np.exp(-(((points / 24) ** 2).sum(-1) ** 2))
    return sd.SpatialArray(array, grid)


def run(folder: Path) -> None:
    euler = sitk.Euler3DTransform((32.0, 32.0, 32.0), 0.05, -0.06, 0.1, (2.0, -3.0, 1.5))
    truth = sd.from_simpleitk(euler)
    fixed = volume(folder / "fixed.zarr")
    moving = volume(folder / "moving.zarr", truth)
    # Compile and import everything first, so that only the volumes count as memory.
    sd.resample(moving[:128], fixed[:128], transform=truth).compute()
    small = sd.resample(moving[:32, :32, :32], fixed[:32, :32, :32], transform=truth)
    small.data.rechunk(16).store(np.empty(small.shape, small.dtype), scheduler="synchronous")
    sd.register(fixed, fixed, "rigid", metric="mean_squares", at=8)
    print(f"each volume has {fixed.nbytes / MB:.0f} MB")

    tracemalloc.start()
    with dask.config.set(scheduler="synchronous"):
        found = sd.register(fixed, moving, "rigid", metric="mean_squares", at=2)
        print(found)
        points = fixed.center + np.random.default_rng(1).uniform(-16, 16, (1000, 3))
        error = np.linalg.norm(found(points) - truth(points), axis=1).max()
        print(f"largest error of 1,000 points: {error:.3f} mm, from a level of 2 mm")
        peak = tracemalloc.get_traced_memory()[1]
        kept = "kept" if peak < CAP else "broken"
        print(f"peak memory {peak / MB:.1f} MB to register, cap of {CAP / MB:.0f} MB {kept}")

        tracemalloc.reset_peak()
        with sd.config(max_kept_bytes=KEPT):
            moved = sd.resample(moving, fixed, transform=found)  # lazy: reads nothing yet
        chunks = (CHUNK,) * 3
        result = zarr.create_array(
            folder / "moved.zarr", shape=moved.shape, chunks=chunks, dtype="float32"
        )
        print(f"applied block by block, {moved.data.npartitions} of up to {moved.data.chunksize}")
        moved.data.rechunk(chunks).store(result)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = "kept" if peak < CAP else "broken"
    print(f"peak memory {peak / MB:.1f} MB to apply, cap of {CAP / MB:.0f} MB {kept}")

    found.write(folder / "transform.h5")
    theirs = sitk.Resample(
        sd.to_simpleitk(moving.to("numpy")),
        sd.to_simpleitk(fixed.to("numpy")),
        sitk.ReadTransform(str(folder / "transform.h5")),
        sitk.sitkLinear,
    )
    far = np.abs(sitk.GetArrayFromImage(theirs) - result[...]).max()
    print(f"SimpleITK applies transform.h5 to the same voxels: {far < 1e-3} ({far:.0e} of 300)")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder))


if __name__ == "__main__":
    main()
