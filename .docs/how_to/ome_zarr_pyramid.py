# %% [markdown]
# # An OME-Zarr pyramid from a stack of images
#
# A pyramid holds an image at several resolutions, so that a viewer reads only what it shows. Here
# every level knows where its voxels are, to the last digit. Needs the extras `zarr` and `io`.

# %%
import tempfile
from pathlib import Path

import numpy as np
import tifffile

import spatial_duck as sd

scratch = tempfile.TemporaryDirectory()
folder = Path(scratch.name)

# %% [markdown]
# A stack with two channels: 2 µm between planes, 0.5 µm in them. The channels have names, which
# OME-Zarr keeps.

# %%
stack = sd.SpatialArray(
    np.random.default_rng(0).integers(0, 4000, (2, 16, 96, 96)).astype("uint16"),
    dims=("c", "z", "y", "x"),
    spacing={"z": 2.0, "y": 0.5, "x": 0.5},
    unit="um",
    coords={"channel": ("c", ["DAPI", "GFP"])},
)

# %% [markdown]
# `levels` says how many; by default the axes with the smaller voxels are binned first, until the
# voxels are cubes. A lazy stack larger than memory is written in the same way, each chunk once.

# %%
path = folder / "cells.ome.zarr"
sd.write(path, stack, levels=3, chunks={"z": 8, "y": 32, "x": 32})
levels = sd.read_pyramid(path)
for level in levels:
    print(level.shape, level.spacing)

# %% [markdown]
# `read` opens one level, and reads nothing until it is asked to; `at` takes the coarsest level
# whose voxels are small enough.

# %%
whole = sd.read(path)
coarse = levels.at(1.0)
part = sd.crop(whole.sel(channel="GFP"), [[4, 10, 10], [12, 20, 20]])
print(part.compute())
assert np.array_equal(np.asarray(whole), np.asarray(stack))
assert list(whole.coords["channel"].values) == ["DAPI", "GFP"]
assert coarse.spacing.max() <= 2.0

# %% [markdown]
# The levels cover the same piece of the world: a point is found in each of them.

# %%
point = [10.0, 20.0, 20.0]
for level in levels:
    print(level.shape, level.physical_to_index(point))
edges = [np.asarray(level.bounds) for level in levels]
assert all(np.allclose(edges[0], other) for other in edges[1:])

# %% [markdown]
# ## A folder of planes
#
# Light-sheet microscopes write a file for each plane, which does not say where it lies. A pattern
# is sorted by the numbers in the names; `lazy=True` reads a plane when its voxels are needed. The
# planes are stacked along an axis `file`; what is known of the microscope makes them a volume.

# %%
for number, plane in enumerate(stack.data[0]):
    tifffile.imwrite(folder / f"plane_{number}.tif", plane)
planes = sd.read(folder / "plane_*.tif", lazy=True)
print(planes.dims, planes.coords["file"].values[-1])
volume = sd.SpatialArray(planes.data, spacing=(2.0, 0.5, 0.5), unit="um")
sd.write(folder / "volume.ome.zarr", volume)
written = sd.read(folder / "volume.ome.zarr")
print(written)
assert written.geometry.isclose(stack.isel(c=0).geometry)
assert np.array_equal(written, stack.isel(c=0))

# %%
scratch.cleanup()
