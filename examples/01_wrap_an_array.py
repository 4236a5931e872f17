"""Wrap an array, and see that NumPy's functions keep the physical position of each voxel.

Run it with ``python examples/01_wrap_an_array.py``. It needs NumPy alone.
"""

from __future__ import annotations

import numpy as np

import spatial_duck as sd


def main() -> None:
    # 5 slices of 3 mm, pixels of 0.5 mm; the centre of the first voxel is at the origin.
    volume = sd.SpatialArray(
        np.arange(5 * 6 * 8, dtype=np.int16).reshape(5, 6, 8),
        spacing=(3.0, 0.5, 0.5),
        origin=(-20.0, 10.0, 40.0),
        frame="LPS",
        unit="mm",
    )
    print(volume)

    # A voxel, found by its value, and its position: z, y, x in mm.
    marked = 157
    position = volume.index_to_physical(np.argwhere(volume.data == marked)[0])
    print(f"\nvoxel {marked} is at {position}\n")

    # Each operation changes the index of the marked voxel, and none changes its position.
    moved = {
        "volume": volume,
        "volume[1:, ::-1, ::2]": volume[1:, ::-1, 1::2],
        "np.flip(volume)": np.flip(volume),
        "np.rot90(volume, axes=(1, 2))": np.rot90(volume, axes=(1, 2)),
        "np.transpose(volume, (2, 0, 1))": np.transpose(volume, (2, 0, 1)),
        "np.pad(volume, 4)": np.pad(volume, 4),
        "volume[3]": volume[3],
        "volume * 1 + 0": volume * 1 + 0,
    }
    print(f"{'':<34}{'index of the voxel':<22}{'its position':<22}")
    for name, image in moved.items():
        index = np.argwhere(image.data == marked)[0]
        found = image.index_to_physical(index)
        assert np.allclose(found, position)
        print(f"{name:<34}{index.tolist()!s:<22}{found.tolist()!s:<22}")

    # An operation without a geometry for its result says so, and later use raises an error.
    flat = volume.reshape(-1)
    print(f"\nvolume.reshape(-1) has lost: {flat.lost}")
    try:
        flat.physical_to_index([0, 0, 0])
    except sd.GeometryLossError as error:
        print(f"GeometryLossError: {error}")

    # Arithmetic between images on different grids raises an error.
    try:
        volume[1:] - volume[:-1]
    except sd.GeometryMismatchError as error:
        print(f"\nvolume[1:] - volume[:-1]\nGeometryMismatchError: {error}")


if __name__ == "__main__":
    main()
