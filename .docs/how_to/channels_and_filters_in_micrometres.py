# %% [markdown]
# # Channels by name, filters in micrometres
#
# The same numbers hold for the thick planes of a confocal stack and for a light sheet. Needs the
# extra `resample`.

# %%
import numpy as np

import spatial_duck as sd

rng = np.random.default_rng(0)
grid = sd.Geometry((12, 64, 64), (1.0, 0.25, 0.25), unit="um")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1))
nuclei = np.zeros(grid.shape)
for centre in ([5, 4, 4], [6, 11, 5], [5, 7, 12]):
    nuclei[np.linalg.norm(place - centre, axis=-1) < 2] = 500
stack = sd.SpatialArray(
    np.stack([nuclei, nuclei / 2]) + rng.normal(100, 20, (2, *grid.shape)),
    dims=("c", "z", "y", "x"),
    spacing={"z": 1.0, "y": 0.25, "x": 0.25},
    unit="um",
    coords={"channel": ("c", ["DAPI", "GFP"])},
)
print(stack)

# %% [markdown]
# A channel by its name; a plane by its place; a box in µm.

# %%
dapi = stack.sel(channel="DAPI")
plane = dapi.sel(z=5.0)
corner = sd.crop(dapi, [[0, 0, 0], [8, 6, 6]])
print(plane.shape, corner.shape)

# %% [markdown]
# Smoothing by 0.5 µm is half a voxel along z and two along x: the filter sees to that. Lengths may
# carry their unit.

# %%
smooth = sd.ndimage.gaussian_filter(dapi, 0.5)
same = sd.ndimage.gaussian_filter(dapi, "500 nm")
assert np.allclose(smooth.data, same.data)
background = sd.ndimage.grey_opening(smooth, 4.0)
mask = smooth - background > 150

# %% [markdown]
# Count and measure the nuclei, and what the other channel has inside them.

# %%
mask = sd.segmentation.remove_small_objects(mask, 1.0)  # µm³
cells, count = sd.ndimage.label(mask)
table = sd.measure.regionprops(cells, stack.sel(channel="GFP"))
print(count, "nuclei, volumes in µm³:", table["volume"].round(1))
print("GFP inside:", table["mean_intensity"].round(0))
assert count == 3
assert np.all(abs(table["mean_intensity"] - 350) < 60)

# %% [markdown]
# Rings of 1 µm around the nuclei, for what lies in the cytoplasm.

# %%
rings = sd.segmentation.expand_labels(cells, 1.0)
rings = np.where(cells > 0, 0, rings)
print("GFP around:", sd.measure.regionprops(rings, stack.sel(channel="GFP"))["mean_intensity"])
