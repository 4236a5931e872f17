# %% [markdown]
# # Volumes in millilitres, and other measures of objects
#
# Every measure is in the image's unit, whatever its voxels. Needs the extra `resample`.

# %%
import numpy as np

import spatial_duck as sd

grid = sd.Geometry((20, 48, 48), (3, 1, 1), frame="LPS", unit="mm")
place = grid.index_to_physical(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.center
values = np.full(grid.shape, 50.0)
values[np.linalg.norm(place - [0, -8, -8], axis=-1) < 12] = 130
values[np.linalg.norm(place - [0, 14, 14], axis=-1) < 5] = 150
scan = sd.SpatialArray(values, grid)

# %% [markdown]
# Smooth by 1 mm, take a threshold, drop what is smaller than 0.1 ml, number the rest.

# %%
mask = sd.ndimage.gaussian_filter(scan, 1.0) > 90
mask = sd.segmentation.remove_small_objects(mask, "0.1 ml")
objects, count = sd.ndimage.label(mask)
print(count, "objects")
assert count == 2

# %% [markdown]
# A table of them: in cubic millimetres here. 1 ml is 1000 mm³, and in an image in centimetres a
# volume is in millilitres as it is.

# %%
table = sd.measure.regionprops(objects, scan)
for number, volume, mean in zip(
    table["label"], table["volume"] / 1000, table["mean_intensity"], strict=True
):
    print(f"object {number}: {volume:.2f} ml, mean {mean:.0f}")
in_cm = sd.measure.regionprops(objects.to_unit("cm"))
assert np.allclose(in_cm["volume"], table["volume"] / 1000)
assert np.allclose(table["volume"][0], 4 / 3 * np.pi * 12**3, rtol=0.05)

# %% [markdown]
# Surfaces are in the world as well, and agreement of two segmentations in its unit.

# %%
surface = sd.measure.marching_cubes(scan, 90)
print(f"{sd.measure.surface_area(surface) / 100:.1f} cm² of surface")
grown = sd.ndimage.binary_dilation(mask, 3.0)
print("Dice", sd.metrics.dice(mask, grown))
print("Hausdorff", sd.metrics.hausdorff(mask, grown), "mm")
assert 2 <= sd.metrics.hausdorff(mask, grown) <= 4.5
