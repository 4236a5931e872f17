# %% [markdown]
# # Resample as MONAI and TotalSegmentator do
#
# Pipelines that were trained behind `monai.transforms.Spacing` or TotalSegmentator's
# `change_spacing` want their values. What both do is a grid and an interpolation; `sd.resample`
# takes the grid, is lazy on Zarr and Dask, and gives the values. Needs MONAI and SciPy.

# %%
import monai.transforms
import numpy as np
import scipy.ndimage

import spatial_duck as sd

values = np.random.default_rng(0).normal(size=(20, 24, 13)).astype("float32")
image = sd.SpatialArray(
    values, dims=("x", "y", "z"), spacing=(0.9, 1.1, 3), origin=(5, -3, 10), frame="RAS", unit="mm"
)

# %% [markdown]
# ## MONAI's `Spacing`, and its inverse
#
# It keeps the centre of the first voxel. The grid is that of its answer, which `sd.asarray` reads;
# beyond the outermost centres it repeats the edge.

# %%
spacing = monai.transforms.Spacing((1.5, 1.5, 1.5), mode="bilinear", padding_mode="border")
theirs = spacing(sd.to_monai(image))
wanted = sd.asarray(theirs)[0].geometry
ours = sd.resample(image, to=wanted, interpolation="linear", fill="edge")
difference = np.abs(ours.data - np.asarray(theirs)[0]).max()
print(f"there: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# Its inverse interpolates again, onto the grid that the image came from: so does `to=image`. Labels
# go by `interpolation="nearest"`. `sd.conform` and `sd.restore` do both ways with one record.

# %%
back = np.asarray(spacing.inverse(theirs))[0]
difference = np.abs(sd.resample(ours, to=image, fill="edge").data - back).max()
print(f"and back: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# ## TotalSegmentator's `change_spacing`
#
# It calls `scipy.ndimage.zoom`, which puts the first and the last voxel centre of both grids on
# each other, so that voxels are not quite as long as was asked for.

# %%
zoomed = scipy.ndimage.zoom(values, image.spacing / 1.5, order=1, mode="nearest")
steps = (np.array(image.shape) - 1) / (np.array(zoomed.shape) - 1)
grid = image.geometry.replace(shape=zoomed.shape, spacing=(image.spacing * steps).tolist())
difference = np.abs(sd.resample(image, to=grid).data - zoomed).max()
print(f"zoom, linear: {difference:.1e}")
assert difference < 1e-5

# %% [markdown]
# The affine that it writes says 1.5 mm all the same. So its last voxel is said to lie elsewhere
# than where its value comes from; the grid above says where that is.

# %%
off = np.abs(grid.spacing - 1.5) * (np.array(grid.shape) - 1)
print(f"off by up to {off.max():.1f} mm")
assert off.max() > 1

# %% [markdown]
# Its cubic splines go through values that are continued by the outermost ones, those of
# `sd.resample` are mirrored as ITK's are. Away from the edges they are the same.

# %%
zoomed = scipy.ndimage.zoom(values, image.spacing / 1.5, order=3, mode="nearest")
difference = np.abs(sd.resample(image, to=grid, interpolation="cubic").data - zoomed)
print(f"zoom, cubic: {difference[6, 9, 12]:.1e} in the middle")
assert difference[6, 9, 12] < 1e-3
